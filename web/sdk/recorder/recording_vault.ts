import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import type { Uuid } from '../types';

/** What an earlier page recorded into a video and has not seen confirmed. */
export interface Leftover {
  videoId: string;
  /** Parts the provider has confirmed. */
  storedParts: number;
  /** The rest, in order; it begins where a part begins. */
  slices: Blob[];
}

/** Where a recording can be sent. The token opens it for an hour after the interview's end at the latest. */
export interface UploadTarget {
  uploadUrl: string;
  token: string;
}

export interface KeptTake {
  videoId: string;
  sessionId: Uuid;
  /** `null`: kept by an older version of this page, which only the room can send. */
  target: UploadTarget | null;
}

/**
 * Keeps what was recorded until the provider has it, across a reload or a crash of the page. The provider
 * takes parts of 5 MiB and more: of a recording without a picture, that is ten minutes that a reload
 * would otherwise lose.
 */
export interface RecordingVault {
  put(sessionId: Uuid, videoId: string, slice: Blob, target?: UploadTarget): Promise<void>;
  /** A part made of the oldest `slices` slices is stored: they are not needed any more. */
  partStored(videoId: string, part: number, slices: number): Promise<void>;
  /** Everything about this video has been said. */
  forget(videoId: string): Promise<void>;
  /** The videos of this session that something is left of, oldest first. */
  unfinished(sessionId: Uuid): Promise<string[]>;
  /** What is left of any session, oldest first. */
  all(): Promise<KeptTake[]>;
  leftover(videoId: string): Promise<Leftover | null>;
}

interface Take {
  videoId: string;
  sessionId: Uuid;
  storedParts: number;
  firstSlice: number;
  nextSlice: number;
  startedAt: number;
  target?: UploadTarget;
}

interface Schema extends DBSchema {
  takes: { key: string; value: Take };
  slices: { key: [string, number]; value: { videoId: string; n: number; blob: Blob } };
}

/** A voice does not stay on a disk for longer than it could still be of use: upload tokens are dead by then. */
const MAX_AGE_MS = 24 * 60 * 60 * 1000;

export class IndexedDbRecordingVault implements RecordingVault {
  readonly #database: Promise<IDBPDatabase<Schema>>;

  constructor(name = 'interview-recording') {
    this.#database = open(name);
    // Each call awaits this promise and reports its failure; without a handler of its own a browser that
    // forbids IndexedDB would also log an unhandled rejection.
    this.#database.catch(() => undefined);
  }

  async put(sessionId: Uuid, videoId: string, blob: Blob, target?: UploadTarget): Promise<void> {
    const transaction = (await this.#database).transaction(['takes', 'slices'], 'readwrite');
    const takes = transaction.objectStore('takes');
    const take = (await takes.get(videoId)) ?? {
      videoId,
      sessionId,
      storedParts: 0,
      firstSlice: 0,
      nextSlice: 0,
      startedAt: Date.now(),
    };
    await transaction.objectStore('slices').put({ videoId, n: take.nextSlice, blob });
    await takes.put({ ...take, nextSlice: take.nextSlice + 1, ...(target ? { target } : {}) });
    await transaction.done;
  }

  async partStored(videoId: string, part: number, slices: number): Promise<void> {
    const transaction = (await this.#database).transaction(['takes', 'slices'], 'readwrite');
    const takes = transaction.objectStore('takes');
    const take = await takes.get(videoId);
    // A repeat, or a take that is forgotten already.
    if (take && take.storedParts < part) {
      const firstSlice = take.firstSlice + slices;
      await transaction.objectStore('slices').delete(IDBKeyRange.bound([videoId, 0], [videoId, firstSlice], false, true));
      await takes.put({ ...take, storedParts: part, firstSlice });
    }
    await transaction.done;
  }

  async forget(videoId: string): Promise<void> {
    const transaction = (await this.#database).transaction(['takes', 'slices'], 'readwrite');
    await transaction.objectStore('slices').delete(IDBKeyRange.bound([videoId, 0], [videoId, Infinity]));
    await transaction.objectStore('takes').delete(videoId);
    await transaction.done;
  }

  async unfinished(sessionId: Uuid): Promise<string[]> {
    return (await this.all()).filter((take) => take.sessionId === sessionId).map((take) => take.videoId);
  }

  async all(): Promise<KeptTake[]> {
    await this.#forgetOld();
    const takes = await (await this.#database).getAll('takes');
    return takes
      .sort((a, b) => a.startedAt - b.startedAt)
      .map(({ videoId, sessionId, target }) => ({ videoId, sessionId, target: target ?? null }));
  }

  async leftover(videoId: string): Promise<Leftover | null> {
    const database = await this.#database;
    const take = await database.get('takes', videoId);
    if (!take) return null;
    const slices = await database.getAll('slices', IDBKeyRange.bound([videoId, take.firstSlice], [videoId, Infinity]));
    return { videoId, storedParts: take.storedParts, slices: slices.map(({ blob }) => blob) };
  }

  async #forgetOld(): Promise<void> {
    for (const take of await (await this.#database).getAll('takes')) {
      if (Date.now() - take.startedAt > MAX_AGE_MS) await this.forget(take.videoId);
    }
  }
}

/** Asynchronous to the caller in every case: where storage is blocked, touching `indexedDB` throws at once. */
async function open(name: string): Promise<IDBPDatabase<Schema>> {
  return openDB<Schema>(name, 1, {
    upgrade: (database) => {
      database.createObjectStore('takes', { keyPath: 'videoId' });
      database.createObjectStore('slices', { keyPath: ['videoId', 'n'] });
    },
  });
}
