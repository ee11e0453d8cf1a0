import {
  Backoff,
  isRetryable,
  sleep,
  type Entry,
  type RecordingView,
  type SessionView,
  type SummaryView,
  type Uuid,
} from '../../sdk';
import { account } from './account.svelte';
import { explain } from './explain';
import { isOver } from './format';
import { poll } from './poll';

const RECORDING_EVERY_MS = 10_000;
/** A part that could not be read is asked for again this seldom: each reading is audited. */
const AGAIN_MS = 10_000;

/** One part of the page that is read, fails and is tried again by itself. */
class Part<T> {
  value = $state.raw<T | null>(null);
  /** Why the last reading failed; what was read before is still shown. */
  problem = $state<string | null>(null);
  #failedAt = -Infinity;

  get due(): boolean {
    return this.problem === null || Date.now() - this.#failedAt >= AGAIN_MS;
  }

  async read(from: () => Promise<T>): Promise<void> {
    try {
      this.value = await from();
      this.problem = null;
    } catch (error) {
      this.#failedAt = Date.now();
      this.problem = explain(error);
    }
  }
}

/** One interview as a recruiter follows it: its state and words live, then its summary and recording. */
export class DetailModel {
  session = $state.raw<SessionView | null>(null);
  entries = $state.raw<Entry[]>([]);
  readonly summary = new Part<SummaryView>();
  readonly recording = new Part<RecordingView>();
  problem = $state<string | null>(null);
  live = $state(false);
  readonly #sessionId: Uuid;
  #abort = new AbortController();
  #streaming = new AbortController();
  #stopPolling: (() => void) | null = null;
  /** Whether the whole transcript was read after the interview had ended. */
  #complete = false;
  #recordingReadAt = 0;

  constructor(sessionId: Uuid) {
    this.#sessionId = sessionId;
  }

  get over(): boolean {
    return this.session !== null && isOver(this.session.phase);
  }

  /** Nothing about this interview will change by itself any more. */
  get settled(): boolean {
    const video = this.recording.value?.state;
    const waitingForVideo = video === undefined || video === 'recording' || video === 'uploaded';
    const status = this.session?.summary.status;
    const waitingForSummary = status === 'pending' || (status !== 'none' && this.summary.value?.status !== status);
    return this.over && this.#complete && !waitingForVideo && !waitingForSummary;
  }

  async start(): Promise<void> {
    this.stop();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const backoff = new Backoff({ baseMs: 1_000, capMs: 10_000 });
    while (!(await this.#read(signal))) await sleep(backoff.next(), signal).catch(() => undefined);
    if (signal.aborted || this.session === null) return;
    // The stream is for the words; this catches what has no event of its own (summary, recording).
    this.#stopPolling = poll(4_000, () => this.#refresh());
    if (!this.over) void this.#follow();
  }

  /** `false`: it may succeed a little later. */
  async #read(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return true;
    const { api } = account;
    try {
      const [session, transcript] = await Promise.all([
        api.session(this.#sessionId),
        api.transcript(this.#sessionId, 'witness'),
      ]);
      this.session = session;
      for (const entry of transcript.entries) this.#upsert(entry);
      this.problem = null;
      return true;
    } catch (error) {
      this.problem = explain(error);
      return !isRetryable(error);
    }
  }

  stop(): void {
    this.#abort.abort();
    this.#streaming.abort();
    this.#stopPolling?.();
    this.#stopPolling = null;
  }

  async end(): Promise<void> {
    try {
      this.session = await account.api.endSession(this.#sessionId);
    } catch (error) {
      this.problem = explain(error);
    }
  }

  /** Why the invitation is not kept open longer; `null` when it is. */
  async extend(joinBy: Date): Promise<string | null> {
    try {
      this.session = await account.api.extendInvitation(this.#sessionId, joinBy);
      return null;
    } catch (error) {
      return explain(error);
    }
  }

  readSummary(): Promise<void> {
    return this.summary.read(() => account.api.summary(this.#sessionId));
  }

  readRecording(): Promise<void> {
    this.#recordingReadAt = Date.now();
    return this.recording.read(() => account.api.recording(this.#sessionId));
  }

  async #follow(): Promise<void> {
    const streaming = new AbortController();
    this.#streaming = streaming;
    try {
      await account.api.observe(
        this.#sessionId,
        {
          onConnected: (connected) => (this.live = connected),
          onEvent: (event) => {
            if (event.type === 'transcript_entry') this.#upsert(event.entry);
            else this.session = event.session;
            if (this.over) streaming.abort();
          },
        },
        streaming.signal,
      );
    } catch (error) {
      this.problem = explain(error);
    }
    this.live = false;
  }

  /** Reads of words, summary and recording are audited, so each is read once per change and not per poll. */
  async #refresh(): Promise<void> {
    if (this.settled || account.lapsed) return;
    const { api } = account;
    try {
      const session = await api.session(this.#sessionId);
      if (isOver(session.phase) && !this.#complete) {
        for (const entry of (await api.transcript(this.#sessionId, 'witness')).entries) this.#upsert(entry);
        this.#complete = true;
      }
      this.session = session;
      this.problem = null;
    } catch (error) {
      this.problem = explain(error);
    }
    const session = this.session;
    if (!session) return;
    const { recording, summary } = session;
    await Promise.all([
      isOver(session.phase) && this.recording.due && this.#recordingIsDue(recording.state) ? this.readRecording() : null,
      summary.status !== 'none' && summary.status !== this.summary.value?.status && this.summary.due
        ? this.readSummary()
        : null,
    ]);
  }

  /** The provider prepares a video without telling us when it is done, so it is asked now and then. */
  #recordingIsDue(state: string): boolean {
    const known = this.recording.value;
    // A last part may come after the interview's machine has gone.
    if (known === null || ['uploaded', 'recording'].includes(known.state)) {
      return Date.now() - this.#recordingReadAt > RECORDING_EVERY_MS;
    }
    return known.playback_url === null && state !== known.state;
  }

  #upsert(entry: Entry): void {
    const others = this.entries.filter((each) => each.seq !== entry.seq);
    this.entries = [...others, entry].sort((a, b) => a.seq - b.seq);
  }
}
