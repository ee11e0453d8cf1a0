import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Mixer } from './mixer';

/** An audio context whose sources, clock and state a test can break. */
class FakeContext extends EventTarget {
  state = 'running';
  currentTime = 0;
  /** Whether time passes. */
  ticks = true;
  refuses: (stream: MediaStream) => boolean = () => false;
  resumes = 0;
  constructor() {
    super();
    setInterval(() => {
      if (this.ticks && this.state === 'running') this.currentTime += 0.01;
    }, 10);
  }
  createMediaStreamDestination() {
    return { stream: { getAudioTracks: () => [{ kind: 'audio' }] } };
  }
  createAnalyser() {
    return { fftSize: 0, connect: () => undefined, getFloatTimeDomainData: (into: Float32Array) => into.fill(0.5) };
  }
  createMediaStreamSource(stream: MediaStream) {
    if (this.refuses(stream)) throw new DOMException('different sample-rate', 'NotSupportedError');
    return { connect: () => undefined, disconnect: () => undefined };
  }
  async resume() {
    this.resumes += 1;
    if (this.state === 'interrupted') throw new DOMException('no', 'InvalidStateError');
    this.to('running');
  }
  async close() {
    this.state = 'closed';
  }
  to(state: string) {
    this.state = state;
    this.dispatchEvent(new Event('statechange'));
  }
}

const track = { kind: 'audio' } as MediaStreamTrack;
const remote = { id: 'remote' } as MediaStream;

async function setUp(change: (context: FakeContext) => void = () => undefined) {
  const context = new FakeContext();
  change(context);
  const mixer = new Mixer(() => context as unknown as AudioContext);
  const running: boolean[] = [];
  mixer.on('running', (now) => running.push(now));
  const resumed = mixer.resume();
  await vi.advanceTimersByTimeAsync(5_000);
  return { context, mixer, running, resumed: await resumed };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('MediaStream', class {});
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('the mixer', () => {
  it('has a mix and levels when all is well', async () => {
    const { mixer, resumed } = await setUp();
    mixer.setMicrophone(track);
    mixer.setRemote(remote);
    expect([resumed, mixer.measures, [...mixer.missing]]).toEqual([true, true, []]);
    expect(mixer.track).not.toBeNull();
    expect(mixer.levels().microphone).toBeGreaterThan(0.8);
    expect(mixer.levels().behindMute, 'nothing is muted').toBe(0);
  });

  it('does without the interviewer where the browser refuses that stream alone', async () => {
    const { mixer } = await setUp((context) => (context.refuses = (stream) => stream === remote));
    mixer.setMicrophone(track);
    const missing: string[][] = [];
    mixer.on('missing', (now) => missing.push([...now]));
    mixer.setRemote(remote);
    expect(missing).toEqual([['remote']]);
    expect(mixer.track).not.toBeNull();
    expect(mixer.levels().remote).toBe(0);
  });

  it('has no mix, and throws nothing, where the microphone is refused, before or from some moment on', async () => {
    const { mixer, context } = await setUp();
    mixer.setMicrophone(track);
    expect(mixer.track).not.toBeNull();
    context.refuses = () => true;
    mixer.setMicrophone(track);
    expect([mixer.track, mixer.measures]).toEqual([null, false]);
    context.refuses = () => false;
    mixer.setMicrophone(track);
    expect(mixer.track).not.toBeNull();
  });

  it('has no mix where there is no audio context at all', async () => {
    const mixer = new Mixer(() => {
      throw new TypeError('AudioContext is not a constructor');
    });
    mixer.setMicrophone(track);
    mixer.setRemote(remote);
    mixer.setBehindMute(track);
    expect(mixer.track).toBeNull();
    expect(await mixer.resume()).toBe(false);
    expect(mixer.levels()).toEqual({ microphone: 0, remote: 0, behindMute: 0 });
    await mixer.close();
  });

  it('does not believe a state, only the clock', async () => {
    const { mixer, resumed } = await setUp((context) => (context.ticks = false));
    expect([resumed, mixer.running, mixer.track]).toEqual([false, false, null]);
  });

  it('does not wait for a resume that never answers', async () => {
    const { resumed } = await setUp((context) => {
      context.state = 'suspended';
      context.resume = () => new Promise(() => undefined);
    });
    expect(resumed).toBe(false);
  });

  it('says that it was interrupted, and goes on when the system lets it', async () => {
    const { context, mixer, running } = await setUp();
    expect(running).toEqual([true]);
    context.to('interrupted');
    expect(running).toEqual([true, false]);
    expect(await Promise.race([mixer.resume(), vi.advanceTimersByTimeAsync(5_000).then(() => 'late')])).toBe(false);
    context.to('suspended');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(running).toEqual([true, false, true]);
    expect(mixer.running).toBe(true);
  });
});
