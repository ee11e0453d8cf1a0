import { Emitter } from '../emitter';
import type { Uuid } from '../types';
import type { RecordingVault, UploadTarget } from './recording_vault';
import { PartUploader, type UploadOutcome, type UploaderOptions } from './uploader';

export type CreateUploader = (options: UploaderOptions) => PartUploader;
export type Locks = Pick<LockManager, 'request'>;

/** How long one attempt to send what was left may take. */
export const LEFTOVER_TIMEOUT_MS = 120_000;

export const lockName = (videoId: string) => `interview-recording:${videoId}`;

/**
 * Whether what is kept of a video is of no use any more: it was sent, or it never can be. Where only the last answer
 * is missing, it is sent once more; the provider says when it has it already.
 */
export function isDone(outcome: UploadOutcome): boolean {
  switch (outcome.kind) {
    case 'stored':
    case 'empty':
      return true;
    case 'unconfirmed':
      return false;
    case 'failed':
      return outcome.reason === 'refused' || outcome.reason === 'video_in_use';
  }
}

interface Sending {
  vault: RecordingVault;
  videoId: string;
  target: UploadTarget;
  createUploader?: CreateUploader | undefined;
  onProgress?: (bytes: { sentBytes: number; recordedBytes: number }) => void;
}

/**
 * Sends what an earlier page has recorded and not sent; `null` when nothing is left. Hold the video's lock. What was
 * refused is still there: another token may open the video.
 */
export async function sendLeftover({ vault, videoId, target, ...options }: Sending): Promise<UploadOutcome | null> {
  const leftover = await vault.leftover(videoId);
  if (!leftover) return null;
  const create = options.createUploader ?? ((uploaderOptions) => new PartUploader(uploaderOptions));
  const uploader = create({
    ...target,
    videoId,
    storedParts: leftover.storedParts,
    resumed: true,
    // It is on the disk already.
    maxBufferedBytes: Infinity,
  });
  uploader.on('part_stored', ({ part, slices }) => void vault.partStored(videoId, part, slices).catch(() => undefined));
  if (options.onProgress) uploader.on('progress', options.onProgress);
  for (const slice of leftover.slices) uploader.push(slice);
  const outcome = await uploader.finish(LEFTOVER_TIMEOUT_MS);
  if (outcome.kind !== 'failed' && isDone(outcome)) await vault.forget(videoId);
  return outcome;
}

export interface LeftoverStatus {
  sending: boolean;
  sentBytes: number;
  totalBytes: number;
  /** Recordings that waited here and cannot be sent any more. */
  lost: number;
}

export interface LeftoversOptions {
  vault: RecordingVault;
  /**
   * Whether this interview is over, so that there will be no other token. Until then what was refused is left to the
   * room, which has a newer one. May reject.
   */
  isOver: (sessionId: Uuid) => Promise<boolean>;
  /** Keeps two pages from sending the same. */
  locks?: Locks | null;
  createUploader?: CreateUploader;
  /** A page that is in a call keeps the line for it. */
  paused?: () => boolean;
  retryMs?: number;
}

/**
 * Sends recordings that earlier pages had to leave on this device, of whichever interview: while this page is open,
 * and again when the network comes back.
 */
export class Leftovers extends Emitter<{ status: LeftoverStatus }> {
  readonly #options: LeftoversOptions;
  #status: LeftoverStatus = { sending: false, sentBytes: 0, totalBytes: 0, lost: 0 };
  #running: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = true;
  /** What this page cannot send: another version of it may, or the room with a newer token. */
  readonly #givenUp = new Set<string>();

  constructor(options: LeftoversOptions) {
    super();
    this.#options = options;
  }

  get status(): LeftoverStatus {
    return this.#status;
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    globalThis.addEventListener?.('online', this.#onOnline);
    void this.send();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.('online', this.#onOnline);
  }

  /** One round through all that is kept. Never rejects. */
  send(): Promise<void> {
    this.#running ??= this.#round()
      // A browser that forbids storage has kept nothing.
      .catch(() => undefined)
      .finally(() => {
        this.#running = null;
        this.#set({ sending: false });
        clearTimeout(this.#timer);
        if (!this.#stopped) this.#timer = setTimeout(() => void this.send(), this.#options.retryMs ?? 60_000);
      });
    return this.#running;
  }

  readonly #onOnline = () => void this.send();

  async #round(): Promise<void> {
    for (const { videoId, sessionId, target } of await this.#options.vault.all()) {
      if (this.#options.paused?.()) return;
      if (target && !this.#givenUp.has(videoId)) await this.#free(videoId, () => this.#sendOne(videoId, sessionId, target));
    }
  }

  async #sendOne(videoId: string, sessionId: Uuid, target: UploadTarget): Promise<void> {
    const outcome = await sendLeftover({
      vault: this.#options.vault,
      videoId,
      target,
      createUploader: this.#options.createUploader,
      onProgress: ({ sentBytes, recordedBytes }) => this.#set({ sending: true, sentBytes, totalBytes: recordedBytes }),
    });
    if (outcome?.kind !== 'failed' || outcome.reason === 'deadline') return;
    const over = isDone(outcome) && (await this.#options.isOver(sessionId).catch(() => false));
    if (!over) {
      this.#givenUp.add(videoId);
      return;
    }
    await this.#options.vault.forget(videoId);
    this.#set({ lost: this.#status.lost + 1 });
  }

  /** Runs `work` unless another page holds the video; that page sends it itself. */
  async #free(videoId: string, work: () => Promise<void>): Promise<void> {
    const { locks = globalThis.navigator?.locks ?? null } = this.#options;
    if (!locks) return work();
    return locks.request(lockName(videoId), { ifAvailable: true }, (lock) => (lock ? work() : undefined));
  }

  #set(change: Partial<LeftoverStatus>): void {
    this.#status = { ...this.#status, ...change };
    this.emit('status', this.#status);
  }
}
