import { Emitter } from '../emitter';
import { sleep, withDeadline } from '../time';

/** How loud each side is right now, 0 (silence) to 1. */
export interface Levels {
  microphone: number;
  remote: number;
  /** What a muted microphone would have carried. */
  behindMute: number;
}

export type MixerInput = 'microphone' | 'remote';

export type MixerEvents = {
  /** Which voices are not in the mix, because the browser refused to take them in. */
  missing: ReadonlySet<MixerInput>;
  /** Whether time passes in the mix. A phone call or a locked screen stops it. */
  running: boolean;
};

interface Graph {
  context: AudioContext;
  output: MediaStreamAudioDestinationNode;
  inputs: Record<MixerInput, Input>;
  behindMute: Input;
}

/** A browser that refuses may leave `resume()` without an answer. */
const RESUME_MS = 1_500;
/** Within this time the clock of a running context moves, also on a busy machine. */
const CLOCK_MS = 1_000;
const LOOK_MS = 50;

/**
 * Mixes the microphone and the AI's voice into the one audio track that is recorded, and measures both.
 * Nothing is played from here: the page plays the AI's voice through an audio element. Nothing here ever throws:
 * the call does not depend on it.
 */
export class Mixer extends Emitter<MixerEvents> {
  readonly #graph: Graph | null;
  readonly #missing = new Set<MixerInput>();
  #running = false;
  /** A mix in which no time has ever passed would be recorded as silence. */
  #hasRun = false;

  constructor(createContext: () => AudioContext = () => new AudioContext()) {
    super();
    this.#graph = build(createContext);
    this.#graph?.context.addEventListener('statechange', this.#onStateChange);
  }

  /** The mix, for a `MediaRecorder`; `null` where this browser cannot mix the candidate's voice. */
  get track(): MediaStreamTrack | null {
    if (!this.#graph || !this.#hasRun || this.#missing.has('microphone')) return null;
    return this.#graph.output.stream.getAudioTracks()[0] ?? null;
  }

  get missing(): ReadonlySet<MixerInput> {
    return new Set(this.#missing);
  }

  get running(): boolean {
    return this.#running;
  }

  /** Whether the microphone's level says anything. */
  get measures(): boolean {
    return this.#running && !this.#missing.has('microphone');
  }

  /**
   * Sets the mix going: browsers suspend it unless the user has clicked, and interrupt it for a phone call. Its state
   * alone proves nothing, so the clock is looked at. Settles within a few seconds and never rejects.
   */
  async resume(): Promise<boolean> {
    const context = this.#graph?.context;
    if (!context || context.state === 'closed') return false;
    if (context.state !== 'running') {
      await withDeadline(context.resume(), RESUME_MS, 'the sound of this page').catch(() => undefined);
    }
    const before = context.currentTime;
    for (let waited = 0; waited < CLOCK_MS && context.currentTime === before; waited += LOOK_MS) await sleep(LOOK_MS);
    this.#setRunning(context.currentTime > before);
    return this.#running;
  }

  setMicrophone(track: MediaStreamTrack): void {
    this.#connect('microphone', new MediaStream([track]));
  }

  setRemote(stream: MediaStream): void {
    this.#connect('remote', stream);
  }

  /** Measured only: it is neither recorded nor sent. */
  setBehindMute(track: MediaStreamTrack | null): void {
    this.#graph?.behindMute.connect(track ? new MediaStream([track]) : null);
  }

  levels(): Levels {
    const graph = this.#graph;
    if (!graph) return { microphone: 0, remote: 0, behindMute: 0 };
    return {
      microphone: graph.inputs.microphone.level(),
      remote: graph.inputs.remote.level(),
      behindMute: graph.behindMute.level(),
    };
  }

  async close(): Promise<void> {
    const context = this.#graph?.context;
    context?.removeEventListener('statechange', this.#onStateChange);
    if (context && context.state !== 'closed') await context.close().catch(() => undefined);
  }

  #connect(name: MixerInput, stream: MediaStream): void {
    const heard = this.#graph?.inputs[name].connect(stream) ?? false;
    if (this.#missing.has(name) === !heard) return;
    if (heard) this.#missing.delete(name);
    else this.#missing.add(name);
    this.emit('missing', this.missing);
  }

  readonly #onStateChange = () => {
    const state: string = this.#graph?.context.state ?? 'closed';
    // While the system has interrupted it, nothing can be done; it becomes `suspended` when that is over.
    if (state === 'running' || state === 'suspended') void this.resume();
    else this.#setRunning(false);
  };

  #setRunning(running: boolean): void {
    if (running === this.#running) return;
    this.#running = running;
    this.#hasRun ||= running;
    this.emit('running', running);
  }
}

function build(createContext: () => AudioContext): Graph | null {
  try {
    const context = createContext();
    const output = context.createMediaStreamDestination();
    return {
      context,
      output,
      inputs: { microphone: new Input(context, output), remote: new Input(context, output) },
      behindMute: new Input(context, null),
    };
  } catch {
    return null;
  }
}

class Input {
  readonly #context: AudioContext;
  readonly #analyser: AnalyserNode;
  readonly #samples: Float32Array<ArrayBuffer>;
  #source: MediaStreamAudioSourceNode | null = null;

  constructor(context: AudioContext, output: AudioNode | null) {
    this.#context = context;
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 512;
    if (output) this.#analyser.connect(output);
    this.#samples = new Float32Array(this.#analyser.fftSize);
  }

  /** `false` when the browser refuses; Firefox does for a device of another sample rate. */
  connect(stream: MediaStream | null): boolean {
    try {
      this.#source?.disconnect();
      this.#source = stream ? this.#context.createMediaStreamSource(stream) : null;
      this.#source?.connect(this.#analyser);
      return true;
    } catch {
      this.#source = null;
      return false;
    }
  }

  level(): number {
    if (!this.#source) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return loudness(Math.sqrt(sum / this.#samples.length));
  }
}

/** Root mean square to 0..1 on a scale of decibels, as ears hear it: -60 dB is 0, -12 dB is 1. */
export function loudness(rms: number): number {
  if (rms <= 0) return 0;
  return Math.min(1, Math.max(0, (20 * Math.log10(rms) + 60) / 48));
}
