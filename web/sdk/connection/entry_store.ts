import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import type { RelayedEntry, Uuid } from '../types';

/** One `transcript_update` that the server has not acknowledged yet. */
export interface PendingUpdate {
  seq: number;
  entries: RelayedEntry[];
}

/** Where unacknowledged updates survive a reload of the page. */
export interface EntryStore {
  load(sessionId: Uuid): Promise<PendingUpdate[]>;
  put(sessionId: Uuid, update: PendingUpdate): Promise<void>;
  /** Forgets everything up to and including `seq`. */
  acknowledge(sessionId: Uuid, seq: number): Promise<void>;
  /** Forgets this one, which was refused for good. */
  remove(sessionId: Uuid, seq: number): Promise<void>;
  /** Replaces all that is stored for the session (used when updates had to be numbered again). */
  replace(sessionId: Uuid, updates: PendingUpdate[]): Promise<void>;
}

export class MemoryEntryStore implements EntryStore {
  readonly #sessions = new Map<Uuid, Map<number, PendingUpdate>>();

  async load(sessionId: Uuid): Promise<PendingUpdate[]> {
    return [...this.#session(sessionId).values()].sort((a, b) => a.seq - b.seq);
  }

  async put(sessionId: Uuid, update: PendingUpdate): Promise<void> {
    this.#session(sessionId).set(update.seq, update);
  }

  async acknowledge(sessionId: Uuid, seq: number): Promise<void> {
    const session = this.#session(sessionId);
    for (const key of session.keys()) if (key <= seq) session.delete(key);
  }

  async remove(sessionId: Uuid, seq: number): Promise<void> {
    this.#session(sessionId).delete(seq);
  }

  async replace(sessionId: Uuid, updates: PendingUpdate[]): Promise<void> {
    this.#sessions.set(sessionId, new Map(updates.map((update) => [update.seq, update])));
  }

  #session(sessionId: Uuid): Map<number, PendingUpdate> {
    const existing = this.#sessions.get(sessionId);
    if (existing) return existing;
    const created = new Map<number, PendingUpdate>();
    this.#sessions.set(sessionId, created);
    return created;
  }
}

interface Schema extends DBSchema {
  pending_updates: { key: [Uuid, number]; value: PendingUpdate & { sessionId: Uuid } };
}

export class IndexedDbEntryStore implements EntryStore {
  readonly #database: Promise<IDBPDatabase<Schema>>;

  constructor(name = 'interview-client') {
    this.#database = open(name);
    // Each call below awaits this promise and reports its failure; without a handler of its own a browser
    // that forbids IndexedDB would also log an unhandled rejection.
    this.#database.catch(() => undefined);
  }

  async load(sessionId: Uuid): Promise<PendingUpdate[]> {
    const rows = await (await this.#database).getAll('pending_updates', rangeUpTo(sessionId, Infinity));
    return rows.map(({ seq, entries }) => ({ seq, entries }));
  }

  async put(sessionId: Uuid, update: PendingUpdate): Promise<void> {
    await (await this.#database).put('pending_updates', { sessionId, ...update });
  }

  async acknowledge(sessionId: Uuid, seq: number): Promise<void> {
    await (await this.#database).delete('pending_updates', rangeUpTo(sessionId, seq));
  }

  async remove(sessionId: Uuid, seq: number): Promise<void> {
    await (await this.#database).delete('pending_updates', [sessionId, seq]);
  }

  async replace(sessionId: Uuid, updates: PendingUpdate[]): Promise<void> {
    const transaction = (await this.#database).transaction('pending_updates', 'readwrite');
    await transaction.store.delete(rangeUpTo(sessionId, Infinity));
    for (const update of updates) await transaction.store.put({ sessionId, ...update });
    await transaction.done;
  }
}

/** Asynchronous to the caller in every case: where storage is blocked, touching `indexedDB` throws at once. */
async function open(name: string): Promise<IDBPDatabase<Schema>> {
  return openDB<Schema>(name, 1, {
    upgrade: (database) => {
      database.createObjectStore('pending_updates', { keyPath: ['sessionId', 'seq'] });
    },
  });
}

function rangeUpTo(sessionId: Uuid, seq: number): IDBKeyRange {
  return IDBKeyRange.bound([sessionId, -Infinity], [sessionId, seq]);
}
