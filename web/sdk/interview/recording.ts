import { Emitter } from '../emitter';
import { Recorder, type RecorderOptions } from '../recorder/recorder';
import type { ClientMessage, JoinInfo } from '../types';

export type RecordingStatus =
  /** Not part of this interview, or not consented to. */
  | { kind: 'off' }
  | { kind: 'recording'; sentBytes: number; recordedBytes: number }
  /** Stopped; the last part is on its way. */
  | { kind: 'uploading'; sentBytes: number; recordedBytes: number }
  | { kind: 'stored' }
  /** All parts were sent, the last answer was lost; the server finds out by itself. */
  | { kind: 'unconfirmed' }
  | { kind: 'failed'; reason: string };

export interface RecordingOptions {
  /** `false` when the link is down. */
  send: (message: ClientMessage) => boolean;
  createRecorder?: (options: RecorderOptions) => Recorder;
  /** Where it is noted which videos this browser has sent something into, across reloads. */
  begunVideos?: Pick<Storage, 'getItem' | 'setItem'> | null;
}

/** The recording of one interview: starts it once, reports it to the runtime, finishes it once. */
export class Recording extends Emitter<{ status: RecordingStatus }> {
  readonly #options: RecordingOptions;
  #recorder: Recorder | null = null;
  #videoId = '';
  #status: RecordingStatus = { kind: 'off' };
  /** Reports that could not be sent while the link was down, in order. */
  #unsent: ClientMessage[] = [];
  #bytes = { sentBytes: 0, recordedBytes: 0 };

  constructor(options: RecordingOptions) {
    super();
    this.#options = options;
  }

  get status(): RecordingStatus {
    return this.#status;
  }

  get started(): boolean {
    return this.#status.kind !== 'off';
  }

  start(join: JoinInfo, audio: MediaStreamTrack, video: MediaStreamTrack | null): void {
    if (this.started || join.video_token === null || join.video_id === null) return;
    this.#videoId = join.video_id;
    // What an earlier page sent cannot be continued: a recording is one stream of one MediaRecorder.
    if (this.#options.begunVideos?.getItem(begunKey(join.video_id)) != null) {
      this.#fail('interrupted_by_reload');
      return;
    }
    const create = this.#options.createRecorder ?? ((options) => new Recorder(options));
    try {
      this.#recorder = create({
        audio,
        video,
        uploadUrl: join.video_upload_url,
        token: join.video_token,
        videoId: join.video_id,
      });
      this.#wire(this.#recorder);
      this.#recorder.start();
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : 'recorder_error');
    }
  }

  /** Finishes the recording; never rejects and settles within the deadline. */
  async finish(deadlineMs: number): Promise<void> {
    const recorder = this.#recorder;
    if (!recorder || this.#status.kind !== 'recording') return;
    this.#setStatus({ kind: 'uploading', ...this.#bytes });
    const outcome = await recorder.stop(deadlineMs);
    switch (outcome.kind) {
      case 'stored':
      case 'unconfirmed':
        // The runtime asks the provider either way; a lost answer is no failure of the recording.
        this.#report({
          type: 'recording_state',
          state: 'finished',
          video_id: this.#videoId,
          part: outcome.parts,
        });
        this.#setStatus({ kind: outcome.kind });
        break;
      case 'empty':
        this.#fail('nothing_recorded');
        break;
      case 'failed':
        this.#fail(outcome.reason);
    }
  }

  /** Sends what could not be sent while the link was down. */
  onLinkReady(): void {
    const unsent = this.#unsent;
    this.#unsent = [];
    for (const message of unsent) this.#report(message);
  }

  #wire(recorder: Recorder): void {
    recorder.on('started', () => {
      this.#report({ type: 'recording_state', state: 'recording', video_id: this.#videoId });
      this.#setStatus({ kind: 'recording', ...this.#bytes });
    });
    recorder.on('claimed', () => this.#options.begunVideos?.setItem(begunKey(this.#videoId), '1'));
    recorder.on('part_stored', ({ part }) => {
      this.#report({ type: 'recording_state', state: 'part_stored', video_id: this.#videoId, part });
    });
    recorder.on('progress', (bytes) => {
      this.#bytes = bytes;
      const { kind } = this.#status;
      if (kind === 'recording' || kind === 'uploading') this.#setStatus({ kind, ...bytes });
    });
    recorder.on('failed', (reason) => this.#fail(reason));
  }

  #fail(reason: string): void {
    if (this.#status.kind === 'failed') return;
    this.#report({ type: 'recording_state', state: 'failed', video_id: this.#videoId });
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

const begunKey = (videoId: string) => `interview-recording-begun:${videoId}`;
