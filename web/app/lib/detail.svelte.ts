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

/** One interview as a recruiter follows it: its state and words live, then its summary and recording. */
export class DetailModel {
  session = $state.raw<SessionView | null>(null);
  entries = $state.raw<Entry[]>([]);
  summary = $state.raw<SummaryView | null>(null);
  recording = $state.raw<RecordingView | null>(null);
  problem = $state<string | null>(null);
  live = $state(false);
  readonly #sessionId: Uuid;
  readonly #abort = new AbortController();
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
    const video = this.recording?.state;
    const waitingForVideo = video === 'recording' || video === 'uploaded';
    const waitingForSummary = this.session?.summary.status === 'pending';
    return this.over && !waitingForVideo && !waitingForSummary;
  }

  async start(): Promise<void> {
    const { signal } = this.#abort;
    const backoff = new Backoff({ baseMs: 1_000, capMs: 10_000 });
    while (!(await this.#read())) await sleep(backoff.next(), signal).catch(() => undefined);
    if (signal.aborted || this.session === null) return;
    // The stream is for the words; this catches what has no event of its own (summary, recording).
    this.#stopPolling = poll(4_000, () => this.#refresh());
    if (!this.over) void this.#follow();
  }

  /** `false`: it may succeed a little later. */
  async #read(): Promise<boolean> {
    if (this.#abort.signal.aborted) return true;
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
    this.#stopPolling?.();
  }

  async end(): Promise<void> {
    try {
      this.session = await account.api.endSession(this.#sessionId);
    } catch (error) {
      this.problem = explain(error);
    }
  }

  async #follow(): Promise<void> {
    const streaming = new AbortController();
    const signal = AbortSignal.any([this.#abort.signal, streaming.signal]);
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
        signal,
      );
    } catch (error) {
      this.problem = explain(error);
    }
    this.live = false;
  }

  /** Reads of words, summary and recording are audited, so each is read once per change and not per poll. */
  async #refresh(): Promise<void> {
    if (this.settled && this.#complete) return;
    const { api } = account;
    try {
      const session = await api.session(this.#sessionId);
      if (isOver(session.phase) && !this.#complete) {
        for (const entry of (await api.transcript(this.#sessionId, 'witness')).entries) this.#upsert(entry);
        this.#complete = true;
      }
      const { recording, summary } = session;
      if (isOver(session.phase) && this.#recordingIsDue(recording.state)) {
        this.#recordingReadAt = Date.now();
        this.recording = await api.recording(this.#sessionId);
      }
      if (summary.status !== 'none' && summary.status !== this.summary?.status) {
        this.summary = await api.summary(this.#sessionId);
      }
      this.session = session;
      this.problem = null;
    } catch (error) {
      this.problem = explain(error);
    }
  }

  /** The provider prepares a video without telling us when it is done, so it is asked now and then. */
  #recordingIsDue(state: string): boolean {
    // A last part may come after the interview's machine has gone.
    if (this.recording === null || ['uploaded', 'recording'].includes(this.recording.state)) {
      return Date.now() - this.#recordingReadAt > RECORDING_EVERY_MS;
    }
    return this.recording.playback_url === null && state !== this.recording.state;
  }

  #upsert(entry: Entry): void {
    const others = this.entries.filter((each) => each.seq !== entry.seq);
    this.entries = [...others, entry].sort((a, b) => a.seq - b.seq);
  }
}
