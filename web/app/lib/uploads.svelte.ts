import { IndexedDbRecordingVault, Leftovers, type LeftoverStatus } from '../../sdk';
import { account } from './account.svelte';
import { isOver } from './format';
import type { Room } from './room.svelte';

export interface Sending {
  sentBytes: number;
  totalBytes: number;
}

/**
 * Everything of a recording that is still on this device, whichever page shows it: rooms whose last part is on its
 * way, and what earlier pages had to leave behind.
 */
class Uploads {
  #rooms = $state.raw<Room[]>([]);
  #left = $state.raw<LeftoverStatus>({ sending: false, sentBytes: 0, totalBytes: 0, lost: 0 });
  #leftovers: Leftovers | null = null;
  /** Somebody was asked by this page and wants to leave; the browser need not ask once more. */
  leaving = false;

  /** Sends what was left, now and as long as the page is open. */
  start(): void {
    if (this.#leftovers) return;
    this.#leftovers = new Leftovers({
      vault: new IndexedDbRecordingVault(),
      isOver: async (sessionId) => isOver((await account.api.session(sessionId)).phase),
      paused: () => this.talking,
    });
    this.#leftovers.on('status', (status) => (this.#left = status));
    this.#leftovers.start();
  }

  /** The room's upload belongs to the whole app from now on. */
  follow(room: Room): void {
    this.#rooms = [...this.#rooms.filter((each) => each.busy), room];
  }

  /** What runs out of time in a room is taken up here. */
  resume(): void {
    void this.#leftovers?.send();
  }

  /** Whether an interview goes on in this page. */
  get talking(): boolean {
    return this.#rooms.some((room) => room.talking);
  }

  /** Whether closing the page now would interrupt something. */
  get busy(): boolean {
    return this.#left.sending || this.#rooms.some((room) => room.busy);
  }

  /** What is on its way now, outside of a live room. */
  get sending(): Sending | null {
    const parts = this.#rooms.flatMap(({ talking, recording }) =>
      !talking && (recording.kind === 'uploading' || recording.kind === 'recording') ? [recording] : [],
    );
    const sum = { sentBytes: 0, totalBytes: 0 };
    for (const part of parts) {
      sum.sentBytes += part.sentBytes;
      sum.totalBytes += part.recordedBytes;
    }
    if (this.#left.sending) {
      sum.sentBytes += this.#left.sentBytes;
      sum.totalBytes += this.#left.totalBytes;
    }
    return parts.length > 0 || this.#left.sending ? sum : null;
  }

  get lost(): number {
    return this.#left.lost;
  }
}

export const uploads = new Uploads();
