import { withDeadline } from '../time';
import type { RelayedEntry, Uuid } from '../types';
import { cleanEntry } from './clean';
import { MemoryEntryStore, type EntryStore, type PendingUpdate } from './entry_store';

/** More unacknowledged updates than any interview can produce; a bound all the same. */
export const MAX_PENDING = 2_000;
/** As much as a browser keeps without asking the user. */
export const MAX_PENDING_BYTES = 4 * 1024 * 1024;

/** A browser's storage may not answer at all; the interview does not wait for it. */
const LOAD_MS = 3_000;

export interface OutboxOptions {
  sessionId: Uuid;
  store?: EntryStore;
  maxPending?: number;
  maxBytes?: number;
  /** Told once when entries can no longer be kept across a reload (storage forbidden or full). */
  onStoreFailure?: (error: unknown) => void;
}

/**
 * The transcript updates the server has not acknowledged. The server acknowledges only what it has
 * committed, so an update stays here until then: it is sent again after a reconnect and after a silence.
 * Repeats are harmless, because the server keys the rows.
 */
export class Outbox {
  readonly #sessionId: Uuid;
  readonly #onStoreFailure: (error: unknown) => void;
  readonly #maxPending: number;
  readonly #maxBytes: number;
  #store: EntryStore;
  #pending: PendingUpdate[] = [];
  #nextSeq = 1;
  #acked = 0;
  #bytes = 0;
  /** Store writes run one after the other, so that a late `put` cannot revive an acknowledged update. */
  #writes: Promise<void> = Promise.resolve();

  constructor(options: OutboxOptions) {
    this.#sessionId = options.sessionId;
    this.#store = options.store ?? new MemoryEntryStore();
    this.#maxPending = options.maxPending ?? MAX_PENDING;
    this.#maxBytes = options.maxBytes ?? MAX_PENDING_BYTES;
    this.#onStoreFailure = options.onStoreFailure ?? (() => undefined);
  }

  get pending(): readonly PendingUpdate[] {
    return this.#pending;
  }

  get acknowledgedSeq(): number {
    return this.#acked;
  }

  /** Reads what an earlier page left behind. Call once, before the first connection. */
  async load(): Promise<void> {
    try {
      const left = await withDeadline(this.#store.load(this.#sessionId), LOAD_MS, 'what an earlier page left');
      // An older version of this page may have left what is refused today.
      this.#pending = left.map(({ seq, entries }) => ({ seq, entries: entries.map(cleanEntry) }));
    } catch (error) {
      this.#fallBack(error);
    }
    this.#nextSeq = (this.#pending.at(-1)?.seq ?? 0) + 1;
    this.#bytes = sizeOf(this.#pending);
  }

  /**
   * Counts on from the server's mark at (re)connect. Everything that is pending is numbered anew behind it
   * and sent again: the mark vouches for none of it, because another page of the same interview may have
   * moved it. What the server has already is not stored twice.
   */
  synchronise(ackedSeq: number): void {
    if (this.#pending.some((update, index) => update.seq !== ackedSeq + 1 + index)) {
      this.#pending = this.#pending.map((update, index) => ({ ...update, seq: ackedSeq + 1 + index }));
      const renumbered = [...this.#pending];
      this.#write(() => this.#store.replace(this.#sessionId, renumbered));
    }
    this.#acked = ackedSeq;
    this.#nextSeq = ackedSeq + this.#pending.length + 1;
  }

  /**
   * Adds an update; `null` when the outbox is full. Then the new update is the one that is not taken: what
   * is here already was promised to be kept, and a gap in the middle could not be told from a whole.
   */
  add(entries: RelayedEntry[]): PendingUpdate | null {
    const update = { seq: this.#nextSeq, entries };
    const bytes = sizeOf([update]);
    if (this.#pending.length >= this.#maxPending || this.#bytes + bytes > this.#maxBytes) return null;
    this.#bytes += bytes;
    this.#nextSeq += 1;
    this.#pending.push(update);
    this.#write(() => this.#store.put(this.#sessionId, update));
    return update;
  }

  /** Whether that is news: the server repeats its mark for each update that it takes beyond a gap. */
  acknowledge(seq: number): boolean {
    if (seq <= this.#acked && (this.#pending[0]?.seq ?? Infinity) > seq) return false;
    this.#acked = Math.max(this.#acked, seq);
    this.#pending = this.#pending.filter((update) => update.seq > seq);
    this.#bytes = sizeOf(this.#pending);
    this.#write(() => this.#store.acknowledge(this.#sessionId, seq));
    return true;
  }

  /** Takes an update out that will never be accepted. The others keep their numbers. */
  remove(seq: number): PendingUpdate | null {
    const update = this.#pending.find((each) => each.seq === seq);
    if (!update) return null;
    this.#pending = this.#pending.filter((each) => each !== update);
    this.#bytes -= sizeOf([update]);
    this.#write(() => this.#store.remove(this.#sessionId, seq));
    return update;
  }

  /** Resolves when everything so far has reached the store. */
  settled(): Promise<void> {
    return this.#writes;
  }

  #write(operation: () => Promise<void>): void {
    this.#writes = this.#writes.then(operation).catch((error: unknown) => this.#fallBack(error));
  }

  #fallBack(error: unknown): void {
    if (this.#store instanceof MemoryEntryStore) return;
    this.#store = new MemoryEntryStore();
    this.#onStoreFailure(error);
  }
}

const sizeOf = (updates: readonly PendingUpdate[]) =>
  updates.reduce((sum, { entries }) => sum + entries.reduce((all, entry) => all + 2 * entry.text.length + 200, 0), 0);
