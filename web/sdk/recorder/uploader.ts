import { Backoff } from '../backoff';
import { Emitter } from '../emitter';
import { limitedBy } from '../signals';
import { sleep, withDeadline } from '../time';

export type UploadOutcome =
  /** The provider has every part. */
  | { kind: 'stored'; parts: number }
  /** The last part went out, but its answer was lost: the server can ask the provider, the page cannot. */
  | { kind: 'unconfirmed'; parts: number }
  /** Nothing was recorded, so nothing was sent. */
  | { kind: 'empty' }
  | { kind: 'failed'; reason: UploadFailure; parts: number };

export type UploadFailure =
  | 'refused'
  /** The video already holds parts of another recording. */
  | 'video_in_use'
  /** More was recorded than could be sent, up to the limit of what is kept in memory. */
  | 'buffer_full'
  | 'deadline'
  /** Our own code does not work in this browser: nothing was tried twice. */
  | 'page_fault';

export type UploaderEvents = {
  /** `slices`: how many of the slices that were pushed this part is made of. */
  part_stored: { part: number; bytes: number; slices: number };
  progress: { sentBytes: number; recordedBytes: number };
  /** The upload cannot go on; the recording is lost from here. */
  failed: UploadFailure;
};

export interface UploaderOptions {
  /** Without the token. */
  uploadUrl: string;
  token: string;
  videoId: string;
  /** The provider refuses smaller parts, except the last one. */
  minPartBytes?: number;
  maxBufferedBytes?: number;
  /** Parts of an earlier page that the provider has; what is pushed here goes on behind them. */
  storedParts?: number;
  /** What is pushed was recorded by an earlier page, and may have been sent by it. */
  resumed?: boolean;
  fetch?: typeof fetch;
  backoff?: Backoff;
  /** Deadline of one attempt to send one part of `bytes`. */
  attemptTimeoutMs?: (bytes: number) => number;
}

interface Part {
  number: number;
  blob: Blob;
  slices: number;
  last: boolean;
  attempts: number;
}

const ALREADY_SENT = 'video-content-range-by-part-part-already-sent';

/** At least 30 s, and time enough for a slow 64 kB/s line. */
const defaultAttemptTimeout = (bytes: number) => 30_000 + Math.ceil(bytes / 64);

/**
 * Uploads a recording that is still growing, in parts: `Content-Range: part n/*`, and `part n/n` for the
 * last one. Parts are sent one after the other and tried again until they are stored.
 */
export class PartUploader extends Emitter<UploaderEvents> {
  readonly #options: Required<Omit<UploaderOptions, 'backoff'>>;
  readonly #backoff: Backoff;
  readonly #abort = new AbortController();
  #slices: Blob[] = [];
  #sliceBytes = 0;
  #queue: Part[] = [];
  #queuedBytes = 0;
  #nextPart = 1;
  #recordedBytes = 0;
  #sentBytes = 0;
  #storedParts = 0;
  #failure: UploadFailure | null = null;
  #pump: Promise<void> | null = null;

  constructor(options: UploaderOptions) {
    super();
    this.#options = {
      minPartBytes: 5 * 1024 * 1024,
      maxBufferedBytes: 256 * 1024 * 1024,
      storedParts: 0,
      resumed: false,
      fetch: globalThis.fetch.bind(globalThis),
      attemptTimeoutMs: defaultAttemptTimeout,
      ...options,
    };
    this.#storedParts = this.#options.storedParts;
    this.#nextPart = this.#storedParts + 1;
    this.#backoff = options.backoff ?? new Backoff({ baseMs: 1_000, capMs: 30_000 });
  }

  get failure(): UploadFailure | null {
    return this.#failure;
  }

  get storedParts(): number {
    return this.#storedParts;
  }

  /** Takes the next slice of the recording. */
  push(slice: Blob): void {
    if (this.#failure || slice.size === 0) return;
    if (this.#queuedBytes + this.#sliceBytes + slice.size > this.#options.maxBufferedBytes) {
      this.#fail('buffer_full');
      return;
    }
    this.#recordedBytes += slice.size;
    // What is already here is sent before the new slice joins: so one slice is always kept back, and the
    // last part can never be empty, which the provider would refuse.
    if (this.#sliceBytes >= this.#options.minPartBytes) this.#enqueue(false);
    this.#slices.push(slice);
    this.#sliceBytes += slice.size;
    this.#reportProgress();
  }

  /** Sends what is left as the last part. Settles within `deadlineMs`, whatever happens. */
  async finish(deadlineMs: number): Promise<UploadOutcome> {
    if (!this.#failure && this.#sliceBytes > 0) this.#enqueue(true);
    const parts = this.#nextPart - 1;
    await withDeadline(this.#pump ?? Promise.resolve(), deadlineMs, 'the upload').catch(() => undefined);
    const outcome = this.#outcome(parts);
    this.#abort.abort();
    return outcome;
  }

  #outcome(parts: number): UploadOutcome {
    if (this.#failure) return { kind: 'failed', reason: this.#failure, parts: this.#storedParts };
    if (parts === 0) return { kind: 'empty' };
    if (this.#storedParts === parts) return { kind: 'stored', parts };
    const waiting = this.#queue[0];
    if (waiting?.last && waiting.attempts > 0) return { kind: 'unconfirmed', parts };
    return { kind: 'failed', reason: 'deadline', parts: this.#storedParts };
  }

  #enqueue(last: boolean): void {
    const blob = new Blob(this.#slices);
    this.#queue.push({ number: this.#nextPart, blob, slices: this.#slices.length, last, attempts: 0 });
    this.#nextPart += 1;
    this.#queuedBytes += blob.size;
    this.#slices = [];
    this.#sliceBytes = 0;
    this.#pump ??= this.#drain().finally(() => {
      this.#pump = null;
    });
  }

  async #drain(): Promise<void> {
    for (let part = this.#queue[0]; part && !this.#failure; part = this.#queue[0]) {
      await this.#sendUntilStored(part);
      if (this.#failure || this.#abort.signal.aborted) return;
      this.#queue.shift();
      this.#queuedBytes -= part.blob.size;
      this.#sentBytes += part.blob.size;
      this.#storedParts += 1;
      this.emit('part_stored', { part: part.number, bytes: part.blob.size, slices: part.slices });
      this.#reportProgress();
    }
  }

  async #sendUntilStored(part: Part): Promise<void> {
    this.#backoff.reset();
    while (!this.#abort.signal.aborted) {
      // What the network may do to us is judged in there; anything that is thrown is a fault of ours.
      const verdict = await this.#sendOnce(part).catch(() => 'page_fault' as const);
      if (verdict === 'stored') return;
      if (verdict !== 'again') {
        this.#fail(verdict);
        return;
      }
      await sleep(this.#backoff.next(), this.#abort.signal).catch(() => undefined);
    }
  }

  async #sendOnce(part: Part): Promise<'stored' | 'again' | UploadFailure> {
    // The page that was here before may have sent this very part without hearing the answer.
    const repeated = part.attempts > 0 || this.#options.resumed;
    part.attempts += 1;
    const form = new FormData();
    form.append('videoId', this.#options.videoId);
    form.append('file', part.blob, 'file');
    const url = `${this.#options.uploadUrl}?token=${encodeURIComponent(this.#options.token)}`;
    const total = part.last ? String(part.number) : '*';
    const limit = limitedBy([this.#abort.signal], this.#options.attemptTimeoutMs(part.blob.size));
    const request: RequestInit = {
      method: 'POST',
      headers: { 'content-range': `part ${part.number}/${total}` },
      body: form,
      signal: limit.signal,
    };
    let response: Response;
    let body: string;
    try {
      response = await this.#options.fetch(url, request);
      body = await response.text();
    } catch {
      return 'again';
    } finally {
      limit.release();
    }
    return judge(response.status, body, repeated);
  }

  #fail(reason: UploadFailure): void {
    if (this.#failure) return;
    this.#failure = reason;
    this.#slices = [];
    this.#sliceBytes = 0;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.emit('failed', reason);
  }

  #reportProgress(): void {
    this.emit('progress', { sentBytes: this.#sentBytes, recordedBytes: this.#recordedBytes });
  }
}

/**
 * "Already sent" answers a part whose first answer was lost, and is then as good as a 201. As the answer to
 * a first attempt it means something else: another recording (a page that was reloaded) owns this video,
 * and ours would be mixed into it.
 */
function judge(status: number, body: string, repeated: boolean): 'stored' | 'again' | UploadFailure {
  if (status >= 200 && status < 300) return 'stored';
  if (status === 400 && body.includes(ALREADY_SENT)) return repeated ? 'stored' : 'video_in_use';
  if (status >= 500 || status === 408 || status === 425 || status === 429) return 'again';
  return 'refused';
}
