/** How loud each side is right now, 0 (silence) to 1. */
export interface Levels {
  microphone: number;
  remote: number;
}

/**
 * Mixes the microphone and the AI's voice into the one audio track that is recorded, and measures both.
 * Nothing is played from here: the page plays the AI's voice through an audio element.
 */
export class Mixer {
  readonly #context: AudioContext;
  readonly #output: MediaStreamAudioDestinationNode;
  readonly #inputs: Record<keyof Levels, Input>;

  constructor(context: AudioContext = new AudioContext()) {
    this.#context = context;
    this.#output = context.createMediaStreamDestination();
    this.#inputs = {
      microphone: new Input(context, this.#output),
      remote: new Input(context, this.#output),
    };
  }

  /** The mix, for a `MediaRecorder`. */
  get track(): MediaStreamTrack {
    const [track] = this.#output.stream.getAudioTracks();
    if (!track) throw new Error('the audio context has no output track');
    return track;
  }

  /** Browsers start an audio context suspended unless the user has clicked. */
  async resume(): Promise<void> {
    if (this.#context.state === 'suspended') await this.#context.resume();
  }

  setMicrophone(track: MediaStreamTrack): void {
    this.#inputs.microphone.connect(new MediaStream([track]));
  }

  setRemote(stream: MediaStream): void {
    this.#inputs.remote.connect(stream);
  }

  levels(): Levels {
    return { microphone: this.#inputs.microphone.level(), remote: this.#inputs.remote.level() };
  }

  async close(): Promise<void> {
    if (this.#context.state !== 'closed') await this.#context.close();
  }
}

class Input {
  readonly #context: AudioContext;
  readonly #analyser: AnalyserNode;
  readonly #samples: Float32Array<ArrayBuffer>;
  #source: MediaStreamAudioSourceNode | null = null;

  constructor(context: AudioContext, output: AudioNode) {
    this.#context = context;
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 512;
    this.#analyser.connect(output);
    this.#samples = new Float32Array(this.#analyser.fftSize);
  }

  connect(stream: MediaStream): void {
    this.#source?.disconnect();
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  level(): number {
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
