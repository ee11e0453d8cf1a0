import {
  IndexedDbEntryStore,
  IndexedDbRecordingVault,
  Interview,
  NetworkError,
  describe,
  type CaptionsState,
  type ConnectionState,
  type ConsentKind,
  type InterviewState,
  type JoinInfo,
  type Levels,
  type RecordingStatus,
  type RecordingWish,
  type TypedStatus,
  type Waiting,
} from '../../sdk';
import { account } from './account.svelte';
import { Hearing, type Note } from './hearing';

const MOVED_IS_NEWS_MS = 5_000;
const LISTEN_MS = 100;
const SILENCE: Levels = { microphone: 0, remote: 0, behindMute: 0 };
const TALKING: InterviewState['kind'][] = ['joining', 'calling', 'live', 'reconnecting', 'ending'];

/** What the room shows, as Svelte state; the work is done by the SDK's `Interview`. */
export class Room {
  interview = $state.raw<InterviewState>({ kind: 'idle' });
  captions = $state.raw<CaptionsState>({
    lines: [],
    aiSpeaking: false,
    candidateSpeaking: false,
    aiThinking: false,
  });
  link = $state.raw<ConnectionState>({ kind: 'idle' });
  /** Whether the interview came back in another process than the one it was lost in. */
  moved = $state(false);
  recording = $state.raw<RecordingStatus>({ kind: 'off' });
  /** `false`: the recording stands still, because the system has interrupted this page's sound. */
  mixRunning = $state(true);
  interviewerRecorded = $state(true);
  degraded = $state.raw<ReadonlySet<string>>(new Set());
  /** The interview is led through a plan. */
  plan = $state(false);
  /** How many characters an answer in writing may have; `null`: none is taken. */
  mostTyped = $state<number | null>(null);
  /** What becomes of the latest answer in writing. */
  typed = $state.raw<TypedStatus>({ kind: 'idle' });
  /** Why nobody speaks. */
  waiting = $state.raw<Waiting>({ state: 'nothing', at_most_s: null });
  /** Why the runtime has refused words of this page for good, the first time it did. */
  refused = $state<string | null>(null);
  remoteStream = $state.raw<MediaStream | null>(null);
  muted = $state(false);
  /** The candidate speaks and is not heard. */
  unheard = $state<Note>(null);
  secondsLeft = $state<number | null>(null);
  readonly #hearing = new Hearing();
  #sdk: Interview | null = null;
  #microphone: MediaStreamTrack | null = null;
  #deadline: number | null = null;
  #cleanup: (() => void)[] = [];

  /** Whether the interview goes on in this page. */
  get talking(): boolean {
    return TALKING.includes(this.interview.kind);
  }

  /** Whether leaving the page now would cost something. */
  get busy(): boolean {
    const { kind } = this.recording;
    return this.talking || kind === 'recording' || kind === 'uploading';
  }

  /** The interviewer waits for the candidate. */
  get turn(): boolean {
    const { lines, aiSpeaking, aiThinking, candidateSpeaking } = this.captions;
    return this.interview.kind === 'live' && lines.length > 0 && !aiSpeaking && !aiThinking && !candidateSpeaking;
  }

  /** Never rejects: what cannot be begun has failed, and the page says so. */
  async start(
    join: JoinInfo,
    consents: ConsentKind[],
    microphone: MediaStreamTrack,
    camera: MediaStreamTrack | null,
  ): Promise<void> {
    try {
      await this.#begin(join, consents, microphone, camera);
    } catch (error) {
      this.leave();
      this.interview = { kind: 'failed', code: 'page_fault', message: describe(error) };
    }
  }

  async #begin(
    join: JoinInfo,
    consents: ConsentKind[],
    microphone: MediaStreamTrack,
    camera: MediaStreamTrack | null,
  ): Promise<void> {
    const sdk = new Interview({
      sessionId: join.session_id,
      join: (signal, recording) => ticket(join.session_id, signal, recording),
      microphone,
      camera,
      consents,
      store: new IndexedDbEntryStore(),
      vault: new IndexedDbRecordingVault(),
    });
    this.#sdk = sdk;
    this.#microphone = microphone;
    sdk.on('state', (state) => {
      this.interview = state;
      // The link is back before the call is; who comes back hears of the move, and then it is old news.
      if (state.kind === 'live') setTimeout(() => (this.moved = false), MOVED_IS_NEWS_MS);
    });
    sdk.on('resumed', ({ moved }) => (this.moved = moved));
    sdk.on('captions', (captions) => (this.captions = captions));
    sdk.on('link', (link) => (this.link = link));
    sdk.on('recording', (recording) => (this.recording = recording));
    sdk.on('mix_running', (running) => (this.mixRunning = running));
    sdk.on('interviewer_recorded', (recorded) => (this.interviewerRecorded = recorded));
    sdk.on('degraded', (degraded) => (this.degraded = degraded));
    sdk.on('plan', (plan) => (this.plan = plan));
    sdk.on('typing', (most) => (this.mostTyped = most));
    sdk.on('typed', (status) => (this.typed = status));
    sdk.on('waiting', (waiting) => (this.waiting = waiting));
    sdk.on('refused', ({ code }) => (this.refused ??= code));
    sdk.on('remote_stream', (stream) => (this.remoteStream = stream));
    sdk.on('deadline', (deadline) => {
      this.#deadline = deadline;
      this.#tick();
    });
    const clock = setInterval(() => this.#tick(), 500);
    const ear = setInterval(() => this.#listen(), LISTEN_MS);
    this.#cleanup = [
      () => clearInterval(clock),
      () => clearInterval(ear),
      account.onToken((token) => sdk.refreshAuth(token)),
    ];
    await sdk.start();
  }

  levels(): Levels {
    return this.#sdk?.levels() ?? SILENCE;
  }

  /** For diagnostics: what WebRTC counts. */
  async statistics(): Promise<RTCStatsReport | null> {
    return (await this.#sdk?.callStatistics()) ?? null;
  }

  toggleMuted(): void {
    this.muted = !this.muted;
    this.#sdk?.setMuted(this.muted);
  }

  useMicrophone(track: MediaStreamTrack): void {
    if (track === this.#microphone || !this.#sdk) return;
    this.#microphone = track;
    void this.#sdk.useMicrophone(track).catch(() => undefined);
    this.#sdk.integrityEvent('microphone_changed');
  }

  useCamera(track: MediaStreamTrack | null): void {
    this.#sdk?.useCamera(track);
  }

  /** Sets the recording's sound going again. `true` when it runs. */
  resumeMix(): Promise<boolean> {
    return this.#sdk?.resumeMix() ?? Promise.resolve(false);
  }

  /** `false` while another one is on its way. */
  typeAnswer(id: string, text: string): boolean {
    return this.#sdk?.typeAnswer({ id, text }) ?? false;
  }

  think(): void {
    this.#sdk?.think();
  }

  goOn(): void {
    this.#sdk?.goOn();
  }

  end(): void {
    this.#sdk?.end();
  }

  leave(): void {
    for (const clean of this.#cleanup.splice(0)) clean();
    this.#sdk?.leave();
    // The SDK does not call leaving a change of the interview, which goes on without this page.
    if (this.talking) this.interview = { kind: 'idle' };
  }

  #listen(): void {
    const sdk = this.#sdk;
    if (!sdk) return;
    const { microphone, behindMute } = sdk.levels();
    const level = sdk.measures ? microphone : null;
    this.unheard = this.#hearing.hear({ level, behindMute, muted: this.muted, turn: this.turn }, performance.now());
  }

  #tick(): void {
    if (this.#deadline !== null) {
      this.secondsLeft = Math.max(0, (this.#deadline - performance.now()) / 1000);
    }
  }
}

/** Who was signed out in the middle of an interview is waited for: they can sign in again over it. */
async function ticket(sessionId: string, signal: AbortSignal, recording: RecordingWish): Promise<JoinInfo> {
  try {
    return await account.api.ticket(sessionId, signal, recording);
  } catch (error) {
    throw account.lapsed ? new NetworkError('unreachable', error) : error;
  }
}
