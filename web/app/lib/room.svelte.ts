import {
  IndexedDbEntryStore,
  IndexedDbRecordingVault,
  Interview,
  type CaptionsState,
  type ConnectionState,
  type ConsentKind,
  type InterviewState,
  type JoinInfo,
  type Levels,
  type RecordingStatus,
} from '../../sdk';
import { account } from './account.svelte';

const MOVED_IS_NEWS_MS = 5_000;
const SILENCE: Levels = { microphone: 0, remote: 0, behindMute: 0 };

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
  degraded = $state.raw<ReadonlySet<string>>(new Set());
  /** Why the runtime has refused words of this page for good, the first time it did. */
  refused = $state<string | null>(null);
  remoteStream = $state.raw<MediaStream | null>(null);
  muted = $state(false);
  secondsLeft = $state<number | null>(null);
  #sdk: Interview | null = null;
  #deadline: number | null = null;
  #cleanup: (() => void)[] = [];

  /** Whether leaving the page now would cost something. */
  get busy(): boolean {
    const talking = ['joining', 'calling', 'live', 'reconnecting', 'ending'].includes(this.interview.kind);
    return talking || this.recording.kind === 'recording' || this.recording.kind === 'uploading';
  }

  async start(
    join: JoinInfo,
    consents: ConsentKind[],
    microphone: MediaStreamTrack,
    camera: MediaStreamTrack | null,
  ): Promise<void> {
    const sdk = new Interview({
      sessionId: join.session_id,
      join: (signal, recording) => account.api.ticket(join.session_id, signal, recording),
      microphone,
      camera,
      consents,
      store: new IndexedDbEntryStore(),
      vault: new IndexedDbRecordingVault(),
    });
    this.#sdk = sdk;
    sdk.on('state', (state) => {
      this.interview = state;
      // The link is back before the call is; who comes back hears of the move, and then it is old news.
      if (state.kind === 'live') setTimeout(() => (this.moved = false), MOVED_IS_NEWS_MS);
    });
    sdk.on('resumed', ({ moved }) => (this.moved = moved));
    sdk.on('captions', (captions) => (this.captions = captions));
    sdk.on('link', (link) => (this.link = link));
    sdk.on('recording', (recording) => (this.recording = recording));
    sdk.on('degraded', (degraded) => (this.degraded = degraded));
    sdk.on('refused', ({ code }) => (this.refused ??= code));
    sdk.on('remote_stream', (stream) => (this.remoteStream = stream));
    sdk.on('deadline', (deadline) => {
      this.#deadline = deadline;
      this.#tick();
    });
    const timer = setInterval(() => this.#tick(), 500);
    this.#cleanup = [() => clearInterval(timer), account.onToken((token) => sdk.refreshAuth(token))];
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

  end(): void {
    this.#sdk?.end();
  }

  leave(): void {
    for (const clean of this.#cleanup.splice(0)) clean();
    this.#sdk?.leave();
  }

  #tick(): void {
    if (this.#deadline !== null) {
      this.secondsLeft = Math.max(0, (this.#deadline - performance.now()) / 1000);
    }
  }
}
