import { Emitter } from '../emitter';
import { DeadlineError, withDeadline } from '../time';
import { chooseMimeType } from './mime';
import { PartUploader, type UploadOutcome, type UploaderOptions } from './uploader';

export interface RecorderOptions extends UploaderOptions {
  audio: MediaStreamTrack;
  /** Without a camera the recording is audio only. */
  video?: MediaStreamTrack | null;
  videoBitsPerSecond?: number;
  audioBitsPerSecond?: number;
  timesliceMs?: number;
}

export type RecorderEvents = {
  started: { mimeType: string };
  slice: Blob;
  part_stored: { part: number; bytes: number; slices: number };
  progress: { sentBytes: number; recordedBytes: number };
  failed: string;
};

/** How long the browser may take to hand out the last slice. */
const LAST_SLICE_MS = 3_000;

/** Records the mixed audio and, when there is one, the camera; uploads while it records. */
export class Recorder extends Emitter<RecorderEvents> {
  readonly #uploader: PartUploader;
  readonly #media: MediaRecorder;
  readonly #timesliceMs: number;
  readonly #stopped: Promise<void>;
  #finishing: Promise<UploadOutcome> | null = null;

  /** Throws when this browser cannot record at all. */
  constructor(options: RecorderOptions) {
    super();
    const mimeType = chooseMimeType(Boolean(options.video));
    if (mimeType === null) throw new Error('this browser can record neither WebM nor MP4');
    const tracks = options.video ? [options.audio, options.video] : [options.audio];
    // What is not handed out yet is all that a reload can lose.
    this.#timesliceMs = options.timesliceMs ?? 2_000;
    this.#media = new MediaRecorder(new MediaStream(tracks), {
      mimeType,
      audioBitsPerSecond: options.audioBitsPerSecond ?? 64_000,
      ...(options.video ? { videoBitsPerSecond: options.videoBitsPerSecond ?? 600_000 } : {}),
    });
    this.#uploader = new PartUploader(options);
    this.#uploader.on('part_stored', (part) => this.emit('part_stored', part));
    this.#uploader.on('progress', (progress) => this.emit('progress', progress));
    this.#uploader.on('failed', (reason) => {
      if (this.#media.state !== 'inactive') this.#media.stop();
      this.emit('failed', reason);
    });
    this.#media.ondataavailable = (event) => {
      if (event.data.size > 0) this.emit('slice', event.data);
      this.#uploader.push(event.data);
    };
    this.#media.onerror = () => this.emit('failed', 'recorder_error');
    this.#stopped = new Promise((resolve) => {
      this.#media.onstop = () => {
        resolve();
        // The browser stops by itself when the tracks have ended.
        if (!this.#finishing) this.emit('failed', 'tracks_ended');
      };
    });
  }

  get recording(): boolean {
    return this.#media.state === 'recording';
  }

  start(): void {
    this.#media.start(this.#timesliceMs);
    this.emit('started', { mimeType: this.#media.mimeType });
  }

  /** Stops and sends what is left. Settles within the deadline and never rejects. */
  stop(deadlineMs: number): Promise<UploadOutcome> {
    this.#finishing ??= this.#finish(deadlineMs);
    return this.#finishing;
  }

  async #finish(deadlineMs: number): Promise<UploadOutcome> {
    const startedAt = performance.now();
    if (this.#media.state !== 'inactive') {
      this.#media.stop();
      await withDeadline(this.#stopped, LAST_SLICE_MS, 'the last slice').catch((error: unknown) => {
        if (!(error instanceof DeadlineError)) throw error;
      });
    }
    return this.#uploader.finish(Math.max(1_000, deadlineMs - (performance.now() - startedAt)));
  }
}
