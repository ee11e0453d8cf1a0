import { Backoff } from '../backoff';
import { Emitter } from '../emitter';
import { Recorder, type RecorderOptions } from '../recorder/recorder';
import { LEFTOVER_TIMEOUT_MS, isDone, lockName, sendLeftover, type CreateUploader, type Locks } from '../recorder/leftovers';
import type { RecordingVault, UploadTarget } from '../recorder/recording_vault';
import type { UploadOutcome } from '../recorder/uploader';
import { sleep, withDeadline } from '../time';
import type { ClientMessage, JoinInfo, RecordingWish, Uuid } from '../types';

interface Bytes {
  sentBytes: number;
  recordedBytes: number;
}

export type RecordingStatus =
  /** Not part of this interview, or not consented to. */
  | { kind: 'off' }
  /** `take` counts from 1; a reload or a failure in the middle begins the next one. */
  | ({ kind: 'recording'; take: number } & Bytes)
  /** The next take is being prepared: it broke, or (`planned`) another camera or microphone was chosen. */
  | { kind: 'interrupted'; planned: boolean }
  /** Stopped; the last part is on its way. */
  | ({ kind: 'uploading' } & Bytes)
  | { kind: 'stored' }
  /** All parts were sent, the last answer was lost; the server finds out by itself. */
  | { kind: 'unconfirmed' }
  | { kind: 'failed'; reason: string };

export interface RecordingOptions {
  sessionId: Uuid;
  /** `false` when the link is down. */
  send: (message: ClientMessage) => boolean;
  /** Gets a video to record into. */
  join: (signal: AbortSignal, wish: RecordingWish) => Promise<JoinInfo>;
  /** Where recorded sound and picture survive a reload. */
  vault?: RecordingVault | null;
  createRecorder?: (options: RecorderOptions) => Recorder;
  createUploader?: CreateUploader;
  /** Keeps two pages from sending the same leftover at the same time. */
  locks?: Locks | null;
}

/** One MediaRecorder and the one video it fills. */
interface Take {
  videoId: string;
  recorder: Recorder;
  release: () => void;
}

/** How often a broken recording is begun again. */
const MAX_REGAINS = 3;
/** A browser's storage may not answer at all; nobody waits for it. */
const VAULT_MS = 3_000;

/**
 * The recording of one interview. A video takes one stream of one MediaRecorder, so a recording that was
 * interrupted, by a reload or by a failure, goes on in another video: the next take. What the earlier one
 * left unsent is sent from the vault.
 */
export class Recording extends Emitter<{ status: RecordingStatus }> {
  readonly #options: RecordingOptions;
  readonly #vault: RecordingVault | null;
  readonly #locks: Locks | null;
  readonly #backoff = new Backoff({ baseMs: 1_000, capMs: 15_000 });
  readonly #abort = new AbortController();
  #media: { audio: MediaStreamTrack; video: MediaStreamTrack | null } | null = null;
  #take: Take | null = null;
  /** Videos that were begun, by this page or an earlier one, and cannot be gone on with. */
  readonly #spent = new Set<string>();
  #regains = 0;
  /** A ticket with a token is being asked for. */
  #asking = false;
  /** A video that is ready while there is no microphone to record. */
  #offered: JoinInfo | null = null;
  #vaultWork: Promise<unknown> = Promise.resolve();
  #leftovers: Promise<void> = Promise.resolve();
  #finishing: Promise<void> | null = null;
  #status: RecordingStatus = { kind: 'off' };
  /** Reports that could not be sent while the link was down, in order. */
  #unsent: ClientMessage[] = [];
  #bytes: Bytes = { sentBytes: 0, recordedBytes: 0 };

  constructor(options: RecordingOptions) {
    super();
    this.#options = options;
    this.#vault = options.vault ?? null;
    this.#locks = options.locks === undefined ? (globalThis.navigator?.locks ?? null) : options.locks;
  }

  get status(): RecordingStatus {
    return this.#status;
  }

  /** What a request for a ticket must say, so that the answer names the right video. */
  async wish(): Promise<RecordingWish> {
    if (this.#take) return { continues: this.#take.videoId };
    const unfinished = this.#keep((vault) => vault.unfinished(this.#options.sessionId));
    const kept = await withDeadline(unfinished, VAULT_MS, 'the vault').catch(() => undefined);
    for (const videoId of kept ?? []) this.#spent.add(videoId);
    const left = [...this.#spent];
    return left.length > 0 ? { left } : {};
  }

  start(join: JoinInfo, audio: MediaStreamTrack, video: MediaStreamTrack | null): void {
    if (this.#status.kind !== 'off' || this.#finishing) return;
    if (join.video_id === null) return;
    if (this.#spent.has(join.video_id)) return this.#fail('no_other_video');
    this.#media = { audio, video };
    if (join.video_token === null) void this.#beginWithToken();
    else this.#go(join);
  }

  #go(join: JoinInfo): void {
    this.#begin(join);
    this.#sendLeftovers(join);
  }

  /** The ticket came before the consent, so without the token: the next one has it. */
  async #beginWithToken(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    const join = await this.#nextVideo({ atOnce: true });
    this.#asking = false;
    if (this.#abort.signal.aborted || this.#status.kind !== 'off') return;
    if (join) this.#go(join);
    else this.#fail('no_video');
  }

  /**
   * Records something else from now on. A MediaRecorder cannot change its tracks, so another take begins; the one
   * there is is finished and sent.
   */
  async replaceMedia(audio: MediaStreamTrack, video: MediaStreamTrack | null): Promise<void> {
    if (!this.#media || (audio === this.#media.audio && video === this.#media.video)) return;
    this.#media = { audio, video };
    const take = this.#take;
    const offered = this.#offered;
    this.#offered = null;
    if (offered) this.#begin(offered);
    // While the next take is being prepared, it takes what is there when it begins.
    if (!take || this.#finishing) return;
    this.#take = null;
    this.#spent.add(take.videoId);
    this.#setStatus({ kind: 'interrupted', planned: true });
    const sent = take.recorder
      .stop(LEFTOVER_TIMEOUT_MS)
      .then((outcome) => this.#settle(take.videoId, outcome))
      .then(() => take.release());
    this.#leftovers = Promise.all([this.#leftovers, sent]).then(() => undefined);
    await this.#beginNext('no_other_video');
  }

  /** Finishes the recording; never rejects and settles within the deadline. */
  finish(deadlineMs: number): Promise<void> {
    this.#finishing ??= this.#finish(deadlineMs);
    return this.#finishing;
  }

  /** Sends what could not be sent while the link was down. */
  onLinkReady(): void {
    const unsent = this.#unsent;
    this.#unsent = [];
    for (const message of unsent) this.#report(message);
  }

  async #finish(deadlineMs: number): Promise<void> {
    this.#abort.abort();
    const take = this.#take;
    const leftovers = withDeadline(this.#leftovers, deadlineMs, 'the rest of an earlier take').catch(() => undefined);
    if (take) {
      this.#setStatus({ kind: 'uploading', ...this.#bytes });
      const outcome = await take.recorder.stop(deadlineMs);
      this.#take = null;
      await this.#settle(take.videoId, outcome);
      await leftovers;
      take.release();
      if (outcome.kind === 'stored' || outcome.kind === 'unconfirmed') this.#setStatus({ kind: outcome.kind });
      else this.#fail(outcome.kind === 'failed' ? outcome.reason : 'nothing_recorded');
      return;
    }
    await leftovers;
    if (this.#status.kind !== 'interrupted') return;
    if (this.#status.planned) this.#setStatus({ kind: 'stored' });
    else this.#fail('interrupted');
  }

  #begin(join: JoinInfo): void {
    const { video_id: videoId, video_token: token, video_upload_url: uploadUrl } = join;
    if (!this.#media || videoId === null || token === null) return;
    if (this.#media.audio.readyState === 'ended') {
      this.#offered = join;
      return;
    }
    const create = this.#options.createRecorder ?? ((options) => new Recorder(options));
    try {
      const recorder = create({ ...this.#media, uploadUrl, token, videoId });
      const take = { videoId, recorder, release: this.#hold(videoId) };
      this.#take = take;
      this.#bytes = { sentBytes: 0, recordedBytes: 0 };
      this.#wire(take, join.video_segment ?? 1, { uploadUrl, token });
      recorder.start();
    } catch (error) {
      // This browser cannot record; asking for another video would not change that.
      this.#fail(error instanceof Error ? error.message : 'recorder_error');
    }
  }

  #wire(take: Take, number: number, target: UploadTarget): void {
    const { recorder, videoId } = take;
    recorder.on('started', ({ mimeType }) => {
      this.#report({ type: 'recording_state', state: 'recording', video_id: videoId, mime_type: mimeType });
      this.#setStatus({ kind: 'recording', take: number, ...this.#bytes });
    });
    recorder.on('slice', (slice) => {
      void this.#keep((vault) => vault.put(this.#options.sessionId, videoId, slice, target));
    });
    recorder.on('part_stored', ({ part, slices }) => {
      void this.#keep((vault) => vault.partStored(videoId, part, slices));
      this.#report({ type: 'recording_state', state: 'part_stored', video_id: videoId, part });
    });
    recorder.on('progress', (bytes) => {
      this.#bytes = bytes;
      if (this.#take !== take) return;
      if (this.#status.kind === 'recording') this.#setStatus({ ...this.#status, ...bytes });
      if (this.#status.kind === 'uploading') this.#setStatus({ kind: 'uploading', ...bytes });
    });
    recorder.on('failed', (reason) => void this.#onBroken(take, reason));
  }

  /** What became of a video, told to the runtime and to the vault. */
  async #settle(videoId: string, outcome: UploadOutcome): Promise<void> {
    if (outcome.kind === 'stored' || outcome.kind === 'unconfirmed') {
      // The runtime asks the provider either way; a lost answer is no failure of the recording.
      this.#report({ type: 'recording_state', state: 'finished', video_id: videoId, part: outcome.parts });
    } else {
      this.#report({ type: 'recording_state', state: 'failed', video_id: videoId });
    }
    // What ran out of time is sent by whichever page of ours is opened next.
    if (isDone(outcome)) await this.#keep((vault) => vault.forget(videoId));
  }

  async #onBroken(take: Take, reason: string): Promise<void> {
    if (this.#take !== take || this.#finishing) return;
    this.#take = null;
    this.#spent.add(take.videoId);
    this.#report({ type: 'recording_state', state: 'failed', video_id: take.videoId });
    take.release();
    void take.recorder.stop(0);
    if (this.#regains >= MAX_REGAINS) return this.#fail(reason);
    this.#regains += 1;
    this.#setStatus({ kind: 'interrupted', planned: false });
    return this.#beginNext(reason);
  }

  async #beginNext(reason: string): Promise<void> {
    const join = await this.#nextVideo();
    if (this.#abort.signal.aborted) return;
    if (!join) return this.#fail(reason);
    this.#go(join);
  }

  /** Asks for another video until there is one; `null` when there will be none. */
  async #nextVideo({ atOnce = false } = {}): Promise<JoinInfo | null> {
    this.#backoff.reset();
    for (let tries = 0; tries < 10; tries += 1) {
      try {
        if (tries > 0 || !atOnce) await sleep(this.#backoff.next(), this.#abort.signal);
        const join = await this.#options.join(this.#abort.signal, await this.wish());
        if (join.video_id !== null && join.video_token !== null && !this.#spent.has(join.video_id)) return join;
      } catch {
        if (this.#abort.signal.aborted) return null;
      }
    }
    return null;
  }

  #sendLeftovers(join: JoinInfo): void {
    this.#leftovers = this.#leftovers.then(async () => {
      const videos = await this.#keep((vault) => vault.unfinished(this.#options.sessionId));
      for (const videoId of videos ?? []) {
        if (videoId !== this.#take?.videoId) await this.#sendLeftover(videoId, join).catch(() => undefined);
      }
    });
  }

  /** With this page's own token: it opens every video of the project, the earlier one may be gone. */
  async #sendLeftover(videoId: string, join: JoinInfo): Promise<void> {
    const { video_token: token, video_upload_url: uploadUrl } = join;
    const { createUploader } = this.#options;
    const vault = this.#vault;
    if (token === null || !vault) return;
    // The lock is had when the page that recorded it is gone for certain: it may have sent everything itself.
    const send = async () => {
      await this.#vaultWork;
      const outcome = await sendLeftover({ vault, videoId, target: { uploadUrl, token }, createUploader });
      if (outcome) await this.#settle(videoId, outcome);
    };
    await (this.#locks ? this.#locks.request(lockName(videoId), send) : send());
  }

  /** Holds the video's lock until released or until the page is gone. */
  #hold(videoId: string): () => void {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    // Where storage is blocked, locks are refused as well; there is nothing then that two pages could both send.
    void Promise.resolve()
      .then(() => this.#locks?.request(lockName(videoId), () => held))
      .catch(() => undefined);
    return release;
  }

  /**
   * One piece of work at a time, so that nothing is kept of a video that was forgotten. The vault is a
   * safety net: a browser that forbids it records all the same.
   */
  #keep<T>(work: (vault: RecordingVault) => Promise<T>): Promise<T | undefined> {
    const vault = this.#vault;
    const done = this.#vaultWork.then(() => (vault ? work(vault) : undefined)).catch(() => undefined);
    this.#vaultWork = done;
    return done;
  }

  #fail(reason: string): void {
    if (this.#status.kind === 'failed') return;
    this.#setStatus({ kind: 'failed', reason });
  }

  #report(message: ClientMessage): void {
    if (!this.#options.send(message) && this.#unsent.length < 100) this.#unsent.push(message);
  }

  #setStatus(status: RecordingStatus): void {
    this.#status = status;
    this.emit('status', status);
  }
}
