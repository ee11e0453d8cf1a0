import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CallEvents, CallOptions, Call } from '../call/call';
import type { VoiceEvent } from '../call/voice_events';
import { Emitter } from '../emitter';
import type { Mixer, MixerEvents, MixerInput } from '../recorder/mixer';
import type { Recorder, RecorderEvents, RecorderOptions } from '../recorder/recorder';
import type { UploadOutcome } from '../recorder/uploader';
import { fakeSockets } from '../testing/wire';
import type { ConsentKind, JoinInfo } from '../types';
import { Interview } from './interview';

class FakeCall extends Emitter<CallEvents> {
  state = 'connecting' as const;
  alive = true;
  constructor(readonly options: CallOptions) {
    super();
  }
  async start(): Promise<void> {
    await this.options.exchange(`offer`);
  }
  close(): void {
    this.alive = false;
    this.removeAllListeners();
  }
}

class FakeRecorder extends Emitter<RecorderEvents> {
  constructor(readonly options: RecorderOptions) {
    super();
  }
  stopped = false;
  outcome: UploadOutcome = { kind: 'stored', parts: 2 };
  start(): void {
    this.emit('started', { mimeType: 'video/webm' });
  }
  async stop(): Promise<UploadOutcome> {
    this.stopped = true;
    return this.outcome;
  }
}

const JOIN = {
  session_id: 's1',
  websocket_url: 'wss://example.test/ws',
  websocket_ticket: 't',
  video_token: 'to1',
  video_id: 'vi1',
  video_upload_url: 'https://upload.test',
  consent_policy_version: '7',
} as JoinInfo;

class FakeMixer extends Emitter<MixerEvents> {
  track: MediaStreamTrack | null = {} as MediaStreamTrack;
  missing = new Set<MixerInput>();
  measures = true;
  running = true;
  behindMute: MediaStreamTrack | null = null;
  microphones: MediaStreamTrack[] = [];
  remotes: MediaStream[] = [];
  resume = () => Promise.resolve(true);
  close = async () => undefined;
  setMicrophone = (track: MediaStreamTrack) => void this.microphones.push(track);
  setRemote = (stream: MediaStream) => void this.remotes.push(stream);
  setBehindMute = (track: MediaStreamTrack | null) => (this.behindMute = track);
  levels = () => ({ microphone: 0, remote: 0, behindMute: 0 });
}

function setUp(consents: ConsentKind[] = ['ai_evaluation', 'recording'], onCall: () => void = () => undefined) {
  const { sockets, openSocket, last: socket } = fakeSockets();
  const calls: FakeCall[] = [];
  const mixer = new FakeMixer();
  const recorders: FakeRecorder[] = [];
  const microphone = { enabled: true } as MediaStreamTrack;
  // The first ticket comes before the agreement, so without the token of the recording.
  let tickets = 0;
  const interview = new Interview({
    sessionId: 's1',
    join: async () => (tickets++ === 0 ? { ...JOIN, video_token: null } : JOIN),
    microphone,
    consents,
    openSocket,
    createCall: (options) => {
      const call = new FakeCall(options);
      calls.push(call);
      onCall();
      return call as unknown as Call;
    },
    createMixer: () => mixer as unknown as Mixer,
    createRecorder: (options) => {
      const recorder = new FakeRecorder(options);
      recorders.push(recorder);
      return recorder as unknown as Recorder;
    },
  });
  const call = () => calls.at(-1) as FakeCall;
  const flush = () => vi.advanceTimersByTimeAsync(0);
  const ready = async (overrides: object = {}) => {
    socket().ready({
      phase: 'ready',
      heartbeat_interval_ms: 3_600_000,
      required_consents: ['ai_evaluation', 'recording'],
      given_consents: ['ai_evaluation', 'recording'],
      ...overrides,
    });
    await flush();
  };
  const answer = async () => {
    socket().receive({ type: 'sdp_answer', n: 2, sdp: 'answer', segment: 1 });
    await flush();
    call().emit('state', 'connected');
    await flush();
  };
  const live = async () => {
    await interview.start();
    await ready();
    await answer();
    expect(interview.state.kind).toBe('live');
  };
  return { interview, mixer, sockets, calls, recorders, microphone, socket, call, flush, ready, answer, live };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('Interview', () => {
  it('makes no offer before the consent is recorded', async () => {
    const { interview, socket, calls, ready, flush } = setUp();
    await interview.start();
    await ready({ given_consents: [] });
    expect(socket().of('consent')).toEqual([
      { type: 'consent', kinds: ['ai_evaluation', 'recording'], policy_version: '7' },
    ]);
    expect(calls).toHaveLength(0);
    socket().receive({ type: 'consent_recorded', n: 2, kinds: ['ai_evaluation', 'recording'] });
    await flush();
    expect(socket().of('sdp_offer')).toHaveLength(1);
  });

  it('does not start when a required consent is missing', async () => {
    const { interview, calls, ready } = setUp(['ai_evaluation']);
    await interview.start();
    await ready({ given_consents: [] });
    expect(interview.state).toMatchObject({ kind: 'failed', code: 'consent_refused' });
    expect(calls).toHaveLength(0);
  });

  it('keeps the call when only the link to the runtime was lost', async () => {
    const { live, sockets, socket, calls, call, ready, interview } = setUp();
    await live();
    socket().drop(1006);
    await vi.advanceTimersByTimeAsync(600);
    expect(sockets).toHaveLength(2);
    await ready({ n: 9, phase: 'live', greeted: true });
    expect(calls).toHaveLength(1);
    expect(call().alive).toBe(true);
    expect(interview.state.kind).toBe('live');
  });

  it('places a new call when the runtime asks for one, but not for a request that was met already', async () => {
    const { live, socket, calls, answer, flush, interview } = setUp();
    await live();
    socket().receive({ type: 'media_renegotiate', n: 5, reason: 'rollover' });
    await flush();
    expect(calls).toHaveLength(2);
    expect(calls[0]?.alive).toBe(false);
    expect(interview.state.kind).toBe('reconnecting');
    await answer();
    expect(interview.state.kind).toBe('live');
    socket().receive({ type: 'media_renegotiate', n: 5, reason: 'rollover' });
    await flush();
    expect(calls).toHaveLength(2);
  });

  it('places a new call when a server that counts its events anew asks for one', async () => {
    const { live, socket, calls, ready, flush } = setUp();
    await live();
    socket().receive({ type: 'time_left', n: 40, seconds: 3 });
    socket().receive({ type: 'media_renegotiate', n: 41, reason: 'lost' });
    await flush();
    socket().drop(1012);
    await vi.advanceTimersByTimeAsync(600);
    await ready({ n: 1, phase: 'ready', greeted: false });
    const before = calls.length;
    socket().receive({ type: 'sdp_answer', n: 2, sdp: 'answer', segment: 1 });
    calls.at(-1)?.emit('state', 'connected');
    await flush();
    socket().receive({ type: 'media_renegotiate', n: 3, reason: 'lost' });
    await flush();
    expect(calls.length).toBe(before + 1);
  });

  it('forgets at each reconnect what did not work, and hears what does not work now', async () => {
    const { live, socket, ready, interview } = setUp();
    let degraded: string[] = [];
    interview.on('degraded', (now) => (degraded = [...now]));
    await live();
    socket().receive({ type: 'degraded', n: 40, what: 'control' });
    expect(degraded).toEqual(['control']);
    socket().drop(1012);
    await vi.advanceTimersByTimeAsync(600);
    await ready({ n: 50 });
    expect(degraded).toEqual([]);
    socket().receive({ type: 'degraded', n: 51, what: 'storage' });
    expect(degraded).toEqual(['storage']);
  });

  it('places one new call when both sides have noticed that the old one is lost', async () => {
    const { live, calls, call, socket, answer, flush, interview } = setUp();
    await live();
    call().emit('state', 'failed');
    call().emit('lost', 'ice_failed');
    await flush();
    expect(socket().of('media_state').at(-1)).toMatchObject({ state: 'failed' });
    socket().receive({ type: 'media_renegotiate', n: 9, reason: 'lost' });
    await flush();
    expect(calls).toHaveLength(2);
    expect(call().alive).toBe(true);
    await answer();
    expect(interview.state.kind).toBe('live');
  });

  it('replaces a call whose line has failed', async () => {
    const { live, calls, call, answer, flush, interview, recorders } = setUp();
    await live();
    call().emit('lost', 'ice_failed');
    await flush();
    expect(calls).toHaveLength(2);
    await answer();
    expect(interview.state.kind).toBe('live');
    expect(recorders).toHaveLength(1);
  });

  it('tries an offer again when the runtime says it may, and gives up when it may not', async () => {
    const { interview, ready, calls, socket, flush } = setUp();
    await interview.start();
    await ready();
    const refuse = (retryable: boolean) =>
      socket().receive({ type: 'error', n: 3, code: 'upstream', message: 'no', retryable, request_type: 'sdp_offer' });
    refuse(true);
    await flush();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(calls).toHaveLength(2);
    refuse(false);
    await flush();
    expect(interview.state).toMatchObject({ kind: 'failed', code: 'upstream' });
  });

  it('does not keep an offer waiting on a link that has gone, and makes it again on the next one', async () => {
    const { interview, ready, calls, socket, answer } = setUp();
    await interview.start();
    await ready();
    socket().drop(1006);
    await vi.advanceTimersByTimeAsync(600);
    await ready({ n: 4 });
    expect(calls).toHaveLength(2);
    await answer();
    expect(interview.state.kind).toBe('live');
  });

  it('relays each settled line once', async () => {
    const { live, socket, call, flush } = setUp();
    await live();
    const event: VoiceEvent = {
      type: 'conversation.item.input_audio_transcription.completed',
      item_id: 'u1',
      transcript: 'I used Rust.',
    };
    call().emit('voice', event);
    call().emit('voice', event);
    await flush();
    const updates = socket().of('transcript_update');
    expect(updates).toHaveLength(1);
    expect(updates[0]).toMatchObject({
      seq: 1,
      entries: [{ text: 'I used Rust.', speaker: 'candidate', id: 'u1', item_id: 'u1' }],
    });
  });

  it('says which words the runtime will not take, and goes on without them', async () => {
    const { interview, live, socket, call, flush } = setUp();
    const refused: string[] = [];
    interview.on('refused', ({ code, entries }) => refused.push(`${code} ${entries[0]?.text}`));
    await live();
    const say = (item_id: string, transcript: string) =>
      call().emit('voice', { type: 'conversation.item.input_audio_transcription.completed', item_id, transcript });
    say('u1', 'half \ud83d');
    socket().receive({ type: 'error', code: 'transcript_full', message: '', retryable: false, request_type: 'transcript_update', seq: 1 });
    say('u1', 'half \ud83d');
    say('u2', 'and more');
    await flush();
    expect(refused).toEqual(['transcript_full half \ufffd']);
    expect(socket().of('transcript_update').map(({ seq }) => seq)).toEqual([1, 2]);
    expect(interview.state.kind).toBe('live');
  });

  it('ends on the wish of the candidate, again after a reconnect, and reports the recording', async () => {
    const { live, interview, socket, microphone, recorders, ready, flush } = setUp();
    await live();
    socket().drop(1006);
    interview.end();
    expect(microphone.enabled).toBe(false);
    expect(recorders[0]?.stopped).toBe(true);
    await vi.advanceTimersByTimeAsync(600);
    await ready({ n: 9, phase: 'live' });
    expect(socket().of('end_session')).toHaveLength(1);
    expect(socket().of('recording_state')).toMatchObject([{ state: 'finished', video_id: 'vi1', part: 2 }]);
    socket().receive({ type: 'session_ended', n: 10, reason: 'candidate_ended', transcript_entries: 4, summary: 'pending' });
    await flush();
    expect(interview.state).toEqual({ kind: 'ended', reason: 'candidate_ended', summary: 'pending' });
  });

  it('does not wait for ever for the end to be confirmed', async () => {
    const { live, interview } = setUp();
    await live();
    interview.end();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(interview.state).toMatchObject({ kind: 'ended', reason: null });
  });

  it('lets the interviewer finish its goodbye before the recording stops', async () => {
    const { live, interview, socket, call, recorders, flush } = setUp();
    await live();
    call().emit('voice', { type: 'output_audio_buffer.started', response_id: 'r1' });
    socket().receive({ type: 'phase_changed', n: 5, phase: 'ending', reason: 'interviewer_ended' });
    await flush();
    expect(interview.state.kind).toBe('ending');
    expect(recorders[0]?.stopped).toBe(false);
    call().emit('voice', { type: 'output_audio_buffer.stopped', response_id: 'r1' });
    await flush();
    expect(recorders[0]?.stopped).toBe(true);
  });

  it('steps aside when the interview was opened elsewhere', async () => {
    const { live, interview, socket, sockets, call } = setUp();
    await live();
    socket().drop(4001);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(interview.state.kind).toBe('superseded');
    expect(call().alive).toBe(false);
    expect(sockets).toHaveLength(1);
  });

  it('makes sure of the link when the voice is lost, because a dead link says nothing', async () => {
    const { live, call, socket, sockets, flush } = setUp();
    await live();
    const dead = socket();
    call().emit('lost', 'ice_failed');
    await flush();
    expect(dead.of('heartbeat')).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(4_600);
    expect(sockets).toHaveLength(2);
  });

  it('lets whoever speaks finish before a planned change of calls', async () => {
    const { live, socket, calls, call, flush, interview } = setUp();
    await live();
    call().emit('voice', { type: 'output_audio_buffer.started', response_id: 'r1' });
    socket().receive({ type: 'media_renegotiate', n: 5, reason: 'rollover' });
    await flush();
    expect(calls).toHaveLength(1);
    call().emit('voice', { type: 'output_audio_buffer.stopped', response_id: 'r1' });
    await flush();
    expect(calls).toHaveLength(2);
    expect(interview.state).toMatchObject({ kind: 'reconnecting', why: 'rollover' });
  });

  it('does not wait for a pause for ever', async () => {
    const { live, socket, calls, call } = setUp();
    await live();
    call().emit('voice', { type: 'input_audio_buffer.speech_started', item_id: 'u1' } as VoiceEvent);
    socket().receive({ type: 'media_renegotiate', n: 5, reason: 'rollover' });
    await vi.advanceTimersByTimeAsync(19_000);
    expect(calls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1_500);
    expect(calls).toHaveLength(2);
  });

  it('records the candidate alone, and says so, where nothing can be mixed', async () => {
    const { mixer, interview, live, recorders, microphone, socket } = setUp();
    const told: boolean[] = [];
    interview.on('interviewer_recorded', (recorded) => told.push(recorded));
    mixer.track = null;
    await live();
    expect(recorders[0]?.options.audio).toBe(microphone);
    expect(told).toEqual([false]);
    expect(socket().of('integrity_event')).toMatchObject([{ kind: 'recording_without_interviewer' }]);
  });

  it('lets the interviewer be heard although the mix refuses its voice', async () => {
    const { mixer, interview, live, call, recorders } = setUp();
    const heard: MediaStream[] = [];
    const told: boolean[] = [];
    interview.on('remote_stream', (stream) => heard.push(stream));
    interview.on('interviewer_recorded', (recorded) => told.push(recorded));
    await live();
    mixer.missing.add('remote');
    const stream = {} as MediaStream;
    call().emit('remote_stream', stream);
    mixer.emit('missing', mixer.missing);
    expect(heard).toEqual([stream]);
    expect(mixer.remotes).toEqual([stream]);
    expect(told).toEqual([false]);
    expect(recorders, 'the mix goes on with the other voice').toHaveLength(1);
  });

  it('does not wait for the mix with the call, only with the recording', async () => {
    const { mixer, interview, ready, answer, recorders, flush } = setUp();
    let known: (running: boolean) => void = () => undefined;
    mixer.resume = () => new Promise((resolve) => (known = resolve));
    await interview.start();
    await ready();
    await answer();
    expect(interview.state.kind).toBe('live');
    expect(recorders).toHaveLength(0);
    known(false);
    await flush();
    expect(recorders).toHaveLength(1);
  });

  it('puts another microphone into the call, the mix and what is heard behind mute', async () => {
    const { mixer, interview, live, call } = setUp();
    await live();
    const replaced: MediaStreamTrack[] = [];
    (call() as unknown as Call).replaceMicrophone = async (track) => void replaced.push(track);
    interview.setMuted(true);
    const stops: string[] = [];
    const clone = { enabled: false, stop: () => stops.push('clone') } as unknown as MediaStreamTrack;
    const track = { enabled: true, clone: () => clone } as unknown as MediaStreamTrack;
    await interview.useMicrophone(track);
    expect(replaced).toEqual([track]);
    expect(mixer.microphones.at(-1)).toBe(track);
    expect(track.enabled, 'muted stays muted').toBe(false);
    expect(mixer.behindMute).toBe(clone);
    expect(clone.enabled).toBe(true);
    interview.setMuted(false);
    expect([mixer.behindMute, stops]).toEqual([null, ['clone']]);
  });

  it('calls a fault of its own a fault, after two tries', async () => {
    const { interview, ready, calls } = setUp(undefined, () => {
      throw new TypeError('RTCPeerConnection is not a constructor');
    });
    await interview.start();
    await ready();
    expect(interview.state.kind).toBe('calling');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(interview.state).toEqual({
      kind: 'failed',
      code: 'page_fault',
      message: 'TypeError: RTCPeerConnection is not a constructor',
    });
    expect(calls).toHaveLength(2);
  });
});
