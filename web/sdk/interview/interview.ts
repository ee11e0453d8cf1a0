import type { CallOptions, Call } from '../call/call';
import { Captions, type CaptionsState } from '../call/captions';
import type { VoiceEvent } from '../call/voice_events';
import { InterviewConnection, type ConnectionOptions, type ConnectionState } from '../connection/connection';
import type { EntryStore } from '../connection/entry_store';
import type { Refused } from '../connection/relay';
import { microphoneKind } from '../devices/kind';
import { Emitter } from '../emitter';
import type { Levels, Mixer } from '../recorder/mixer';
import type { Recorder, RecorderOptions } from '../recorder/recorder';
import { withDeadline } from '../time';
import type { RecordingVault } from '../recorder/recording_vault';
import type { ConsentKind, JoinInfo, MicrophoneKind, RecordingWish, RelayedEntry, ServerEvents, Uuid, Waiting } from '../types';
import { CallSupervisor, LinkLost, OfferRefused } from './call_supervisor';
import { isFinal, missingConsents, transition, type InterviewInput, type InterviewState } from './state';
import { Recording, type RecordingStatus } from './recording';
import { Sound } from './sound';
import { TypedAnswers, type TypedAnswer, type TypedStatus } from './typed';

export type InterviewEvents = {
  state: InterviewState;
  captions: CaptionsState;
  /** The link to the runtime (not the voice): is it up? */
  link: ConnectionState;
  /** The link is back; `moved`: the interview goes on in another process than before. */
  resumed: { moved: boolean };
  recording: RecordingStatus;
  /** `performance.now()` at which the interview's time is up. */
  deadline: number;
  /** What the runtime cannot do at the moment, for example `storage`. */
  degraded: ReadonlySet<string>;
  /** Whether the interview is led through a plan: the candidate may ask for a moment to think. */
  plan: boolean;
  /** How many characters an answer in writing may have; `null`: the runtime takes none. */
  typing: number | null;
  /** What becomes of the latest answer in writing. */
  typed: TypedStatus;
  /** Why nobody speaks. */
  waiting: Waiting;
  /** The runtime will never take these words from this page. What it heard itself is not concerned. */
  refused: Refused;
  remote_stream: MediaStream;
  /** Whether time passes in the recording's mix; a phone call or a locked screen stops it. */
  mix_running: boolean;
  /** Whether the interviewer's voice can be part of the recording in this browser. The call does not depend on it. */
  interviewer_recorded: boolean;
};

export interface InterviewOptions {
  sessionId: Uuid;
  /** Gets a fresh ticket. `recording` tells the server which video this page can use. */
  join: (signal: AbortSignal, recording: RecordingWish) => Promise<JoinInfo>;
  microphone: MediaStreamTrack;
  camera?: MediaStreamTrack | null;
  /** What the candidate agreed to. */
  consents: ConsentKind[];
  store?: EntryStore;
  /** Where what was recorded survives a reload. */
  vault?: RecordingVault;
  /** Seams for tests. */
  openSocket?: ConnectionOptions['openSocket'];
  createCall?: (options: CallOptions) => Call;
  createMixer?: () => Mixer;
  createRecorder?: (options: RecorderOptions) => Recorder;
}

const OFFER_TIMEOUT_MS = 20_000;
/** How long the page waits for the runtime to confirm the end. */
const END_TIMEOUT_MS = 30_000;
/** How long the last part of the recording may take after the end. */
const UPLOAD_TIMEOUT_MS = 120_000;
/** The interviewer may finish its sentence before the recording stops. */
const GOODBYE_TIMEOUT_MS = 12_000;

/** The provider's limit is minutes away when a change of calls is asked for. */
const ROLLOVER_TIMEOUT_MS = 20_000;

/**
 * One interview from the candidate's side: ties the socket, the voice call, the captions and the recording
 * together. What it is doing is always in `state`; see `machine.ts` for the way through it.
 */
export class Interview extends Emitter<InterviewEvents> {
  readonly #options: InterviewOptions;
  readonly #connection: InterviewConnection;
  readonly #line: CallSupervisor;
  readonly #captions = new Captions();
  readonly #recording: Recording;
  readonly #sound: Sound;
  readonly #typed: TypedAnswers;
  #microphone: MediaStreamTrack;
  readonly #relayed = new Set<string>();
  readonly #degraded = new Set<string>();
  #state: InterviewState = { kind: 'idle' };
  #answer: { resolve: (sdp: string) => void; reject: (error: Error) => void } | null = null;
  #endTimer: ReturnType<typeof setTimeout> | undefined;
  #endRequested = false;
  /** The newest event of the runtime when the current call was placed. */
  #callSince = 0;
  #captionsQueued = false;
  #quietWaiters: (() => void)[] = [];
  #camera: MediaStreamTrack | null;
  #interviewerRecorded = true;

  constructor(options: InterviewOptions) {
    super();
    this.#options = options;
    this.#camera = options.camera ?? null;
    this.#microphone = options.microphone;
    this.#connection = new InterviewConnection({
      sessionId: options.sessionId,
      join: async (signal) => options.join(signal, await this.#recording.wish()),
      ...(options.store ? { store: options.store } : {}),
      ...(options.openSocket ? { openSocket: options.openSocket } : {}),
    });
    this.#line = new CallSupervisor({
      microphone: options.microphone,
      exchange: (sdp) => this.#exchange(sdp),
      ...(options.createCall ? { createCall: options.createCall } : {}),
    });
    this.#recording = new Recording({
      sessionId: options.sessionId,
      send: (message) => this.#connection.send(message),
      join: options.join,
      vault: options.vault ?? null,
      ...(options.createRecorder ? { createRecorder: options.createRecorder } : {}),
    });
    this.#sound = new Sound(options.microphone, options.createMixer);
    this.#typed = new TypedAnswers({
      send: (message) => this.#connection.send(message),
      onStatus: (status) => this.emit('typed', status),
    });
    this.#wireConnection();
    this.#wireLine();
    this.#recording.on('status', (status) => {
      // It may begin after the call: its ticket is asked for when the agreement is known.
      if (status.kind === 'recording') this.#setInterviewerRecorded(this.#sound.whole);
      this.emit('recording', status);
    });
    this.#sound.on('running', (running) => this.emit('mix_running', running));
    this.#sound.on('changed', () => this.#onSoundChanged());
  }

  get state(): InterviewState {
    return this.#state;
  }

  get captions(): CaptionsState {
    return this.#captions.state;
  }

  get join(): JoinInfo | null {
    return this.#connection.joinInfo;
  }

  get recording(): RecordingStatus {
    return this.#recording.status;
  }

  get muted(): boolean {
    return this.#sound.muted;
  }

  levels(): Levels {
    return this.#sound.levels();
  }

  /** Whether `levels().microphone` says anything: a browser may refuse to measure, which harms nothing else. */
  get measures(): boolean {
    return this.#sound.measures;
  }

  get mixRunning(): boolean {
    return this.#sound.running;
  }

  /** Sets going again what the system has interrupted. `true` when time passes in the mix. */
  resumeMix(): Promise<boolean> {
    return this.#sound.resume();
  }

  /** Diagnostics of the current call; `null` while there is none. */
  async callStatistics(): Promise<RTCStatsReport | null> {
    return (await this.#line.call?.statistics()) ?? null;
  }

  async start(): Promise<void> {
    if (this.#state.kind !== 'idle') return;
    this.#dispatch({ type: 'start' });
    // The call does not wait for the mix. The recording does, for the moment it takes to know whether there is one.
    void this.#sound.begin().then(() => this.#record());
    await this.#connection.open();
  }

  setMuted(muted: boolean): void {
    this.#sound.setMuted(muted);
  }

  /** Uses another microphone from now on. */
  async useMicrophone(track: MediaStreamTrack): Promise<void> {
    this.#sound.useMicrophone(track);
    this.#microphone = track;
    await this.#line.replaceMicrophone(track);
    this.#onSoundChanged();
  }

  /** Records this camera from now on, or none. */
  useCamera(track: MediaStreamTrack | null): void {
    if (track === this.#camera) return;
    this.#camera = track;
    this.#onSoundChanged();
  }

  /** Passes a renewed access token on; an interview may last longer than a token. */
  refreshAuth(token: string): void {
    this.#connection.send({ type: 'refresh_auth', token });
  }

  /** Advisory notes for the recruiter's record; never part of an assessment. */
  integrityEvent(kind: string): void {
    this.#connection.send({ type: 'integrity_event', kind, at: new Date().toISOString() });
  }

  #onSoundChanged(): void {
    if (this.#recording.status.kind !== 'off') this.#setInterviewerRecorded(this.#sound.whole);
    void this.#recording.replaceMedia(this.#sound.recorded, this.#camera);
  }

  #setInterviewerRecorded(recorded: boolean): void {
    if (recorded === this.#interviewerRecorded) return;
    this.#interviewerRecorded = recorded;
    if (!recorded) this.integrityEvent('recording_without_interviewer');
    this.emit('interviewer_recorded', recorded);
  }

  /** Answers in writing; `typed` tells what becomes of it. `false` while the one before is on its way. */
  typeAnswer(answer: TypedAnswer): boolean {
    return this.#typed.submit(answer);
  }

  /** The candidate wants a moment to think; `waiting` tells when it is granted. */
  think(): void {
    this.#connection.send({ type: 'think' });
  }

  /** The candidate goes on before the moment, or the break, is over. */
  goOn(): void {
    this.#connection.send({ type: 'go_on' });
  }

  /** Ends the interview on the candidate's wish. */
  end(reason = 'candidate_ended'): void {
    if (isFinal(this.#state) || this.#state.kind === 'idle') return;
    this.#dispatch({ type: 'end_requested' });
    this.#endRequested = true;
    this.#sound.silence();
    this.#connection.send({ type: 'end_session', reason });
    void this.#recording.finish(UPLOAD_TIMEOUT_MS);
    clearTimeout(this.#endTimer);
    this.#endTimer = setTimeout(
      () => this.#dispatch({ type: 'ended', reason: null, summary: null }),
      END_TIMEOUT_MS,
    );
  }

  /** Leaves without ending the interview: it can be joined again until its time is up. */
  leave(): void {
    void this.#shutDown();
  }

  #dispatch(input: InterviewInput): void {
    const next = transition(this.#state, input);
    if (next === this.#state) return;
    this.#state = next;
    this.emit('state', next);
    if (isFinal(next)) void this.#shutDown();
  }

  async #shutDown(): Promise<void> {
    clearTimeout(this.#endTimer);
    this.#line.close();
    this.#typed.close();
    this.#rejectAnswer(new LinkLost('the interview is over'));
    // The socket stays until the recording is reported, as long as the runtime keeps it open.
    await this.#recording.finish(UPLOAD_TIMEOUT_MS);
    this.#connection.close();
    await this.#sound.close();
  }

  #wireConnection(): void {
    const connection = this.#connection;
    connection.on('state', (state) => this.#onLink(state));
    connection.on('resumed', (resumed) => this.emit('resumed', resumed));
    connection.on('refused', (refused) => this.emit('refused', refused));
    connection.on('session_ready', (ready) => void this.#onReady(ready));
    connection.on('consent_recorded', () => void this.#onConsented());
    connection.on('sdp_answer', ({ sdp }) => {
      this.#answer?.resolve(sdp);
      this.#answer = null;
    });
    connection.on('typed_answer_ack', ({ id }) => this.#typed.acknowledge(id));
    connection.on('error', (error) => {
      this.#typed.refuse(error);
      if (error.request_type !== 'sdp_offer') return;
      this.#rejectAnswer(new OfferRefused(error.code, error.message, error.retryable));
    });
    connection.on('transcript_entry', ({ entry }) => {
      this.#captions.applyEntry(entry);
      this.#queueCaptions();
    });
    connection.on('phase_changed', ({ phase }) => {
      if (phase === 'ending' || phase === 'summarizing') void this.#onRuntimeEnding();
    });
    connection.on('media_renegotiate', ({ n, reason }) => void this.#renegotiate(n, reason));
    connection.on('quality_advice', ({ max_audio_bitrate_bps: limit }) => {
      if (limit > 0) void this.#line.call?.limitAudioBitrate(limit).catch(() => undefined);
    });
    connection.on('time_left', ({ seconds }) => this.#setDeadline(seconds));
    connection.on('waiting', (waiting) => this.emit('waiting', waiting));
    connection.on('degraded', ({ what }) => this.#setDegraded(what, true));
    connection.on('restored', ({ what }) => this.#setDegraded(what, false));
    connection.on('session_ended', ({ reason, summary }) => {
      this.#dispatch({ type: 'ended', reason, summary });
    });
  }

  #wireLine(): void {
    const line = this.#line;
    line.on('new_call', () => {
      this.#callSince = this.#connection.latestEvent;
      this.#captions.startCall();
      this.#queueCaptions();
    });
    line.on('connected', () => this.#onCallConnected());
    line.on('lost', (why) => {
      this.#dispatch({ type: 'call_lost', at: performance.now(), why });
      // What took the voice away has often taken the link as well, and a dead link says nothing.
      if (why === 'lost') this.#connection.probe();
    });
    line.on('failed', ({ code, message }) => {
      // While the interview is ending, a call that cannot be placed again is of no interest.
      if (this.#state.kind !== 'ending') this.#dispatch({ type: 'failed', code, message });
    });
    line.on('media', ({ state, stats }) => {
      this.#connection.send({ type: 'media_state', state, ...(stats ? { stats } : {}), ...this.#heardBy() });
    });
    line.on('voice', (event) => this.#onVoice(event));
    line.on('remote_stream', (stream) => {
      // To be heard comes first.
      this.emit('remote_stream', stream);
      this.#sound.setRemote(stream);
    });
  }

  #onLink(state: ConnectionState): void {
    this.emit('link', state);
    if (state.kind === 'waiting') this.#rejectAnswer(new LinkLost('the link to the runtime is down'));
    if (state.kind !== 'closed') return;
    switch (state.reason) {
      case 'closed_by_client':
        return;
      case 'done':
      case 'session_over':
        this.#dispatch({ type: 'ended', reason: null, summary: null });
        return;
      case 'superseded':
        this.#dispatch({ type: 'superseded' });
        return;
      default:
        this.#dispatch({
          type: 'failed',
          code: state.reason === 'page_fault' ? 'page_fault' : 'link_refused',
          message: state.detail ?? state.reason,
        });
    }
  }

  #onReady(ready: { n?: number } & ServerEvents['session_ready']): void {
    // A server that counts anew has asked for nothing yet that the call there is could have met.
    if (ready.n !== undefined) this.#callSince = Math.min(this.#callSince, ready.n);
    this.#setDeadline(ready.time_left_s);
    // What does not work now is told next; what did not work in another process is no matter.
    this.#degraded.clear();
    this.emit('degraded', new Set());
    this.emit('plan', ready.plan ?? false);
    this.emit('typing', ready.limits.max_typed_chars ?? null);
    this.#typed.onReady();
    this.#recording.onLinkReady();
    if (ready.phase === 'completed' || ready.phase === 'failed') {
      this.#dispatch({ type: 'ended', reason: null, summary: null });
      return;
    }
    if (ready.phase === 'ending' || ready.phase === 'summarizing') void this.#onRuntimeEnding();
    if (this.#endRequested) {
      this.#connection.send({ type: 'end_session', reason: 'candidate_ended' });
      return;
    }
    if (missingConsents(ready.required_consents, this.#options.consents).length > 0) {
      this.#dispatch({
        type: 'failed',
        code: 'consent_refused',
        message: 'a consent that this interview needs was not given',
      });
      return;
    }
    if (missingConsents(this.#options.consents, ready.given_consents).length === 0) this.#onConsented();
    else this.#sendConsent();
    // A video that was not to be had at first may be there now.
    this.#record();
  }

  #sendConsent(): void {
    this.#connection.send({
      type: 'consent',
      kinds: this.#options.consents,
      policy_version: this.join?.consent_policy_version ?? '',
    });
  }

  #onConsented(): void {
    this.#dispatch({ type: 'ready' });
    if (this.#state.kind !== 'ending') void this.#line.ensure();
  }

  #onCallConnected(): void {
    this.#dispatch({ type: 'call_connected' });
    this.#record();
  }

  #record(): void {
    if (this.#sound.known && this.#state.kind === 'live' && this.join && this.#options.consents.includes('recording')) {
      this.#recording.start(this.join, this.#sound.recorded, this.#camera);
    }
  }

  async #renegotiate(n: number | undefined, reason: string): Promise<void> {
    // A replayed request that is older than the call there is has been met by that call.
    const met = () => n !== undefined && n <= this.#callSince;
    if (met()) return;
    // A planned change of calls cuts nobody short.
    if (reason === 'rollover') await this.#untilQuiet(ROLLOVER_TIMEOUT_MS);
    if (met() || this.#state.kind === 'ending' || isFinal(this.#state)) return;
    await this.#line.replace(reason === 'rollover' ? 'rollover' : 'lost');
  }

  async #onRuntimeEnding(): Promise<void> {
    if (isFinal(this.#state)) return;
    this.#dispatch({ type: 'runtime_ending' });
    await this.#untilQuiet(GOODBYE_TIMEOUT_MS);
    await this.#recording.finish(UPLOAD_TIMEOUT_MS);
  }

  /** Nobody speaks, and no answer is on its way. */
  get #quiet(): boolean {
    const { aiSpeaking, aiThinking, candidateSpeaking } = this.#captions.state;
    return !aiSpeaking && !aiThinking && !candidateSpeaking;
  }

  /** Resolves when nobody speaks: what is being said can be heard to its end. */
  async #untilQuiet(timeoutMs: number): Promise<void> {
    if (this.#quiet) return;
    const quiet = new Promise<void>((resolve) => this.#quietWaiters.push(resolve));
    await withDeadline(quiet, timeoutMs, 'a pause in the conversation').catch(() => undefined);
  }

  #onVoice(event: VoiceEvent): void {
    for (const key of this.#captions.apply(event)) this.#relay(key);
    if (this.#quiet) {
      for (const resolve of this.#quietWaiters.splice(0)) resolve();
    }
    this.#queueCaptions();
  }

  /** Tells the runtime what was said, as a second witness beside its own control channel. */
  #relay(key: string): void {
    const line = this.#captions.find(key);
    if (!line || this.#relayed.has(key)) return;
    this.#relayed.add(key);
    const entry: RelayedEntry = {
      text: line.text,
      speaker: line.speaker,
      timestamp: new Date(line.at).toISOString(),
      id: key,
      item_id: key,
    };
    this.#connection.relay([entry]);
  }

  #exchange(sdp: string): Promise<string> {
    this.#rejectAnswer(new LinkLost('a newer offer was made'));
    if (!this.#connection.send({ type: 'sdp_offer', sdp, ...this.#heardBy() })) {
      return Promise.reject(new LinkLost('the link to the runtime is down'));
    }
    const answer = new Promise<string>((resolve, reject) => {
      this.#answer = { resolve, reject };
    });
    return withDeadline(answer, OFFER_TIMEOUT_MS, 'the answer to the offer');
  }

  /** The provider takes other noise out of a microphone across the room than out of one at the mouth. */
  #heardBy(): { microphone?: MicrophoneKind } {
    const microphone = microphoneKind(this.#microphone.label ?? '');
    return microphone ? { microphone } : {};
  }

  #rejectAnswer(error: Error): void {
    this.#answer?.reject(error);
    this.#answer = null;
  }

  #setDeadline(seconds: number): void {
    this.emit('deadline', performance.now() + seconds * 1000);
  }

  #setDegraded(what: string, degraded: boolean): void {
    if (degraded) this.#degraded.add(what);
    else this.#degraded.delete(what);
    this.emit('degraded', new Set(this.#degraded));
  }

  /** Many events arrive in one go; listeners hear once. */
  #queueCaptions(): void {
    if (this.#captionsQueued) return;
    this.#captionsQueued = true;
    queueMicrotask(() => {
      this.#captionsQueued = false;
      this.emit('captions', this.#captions.state);
    });
  }
}
