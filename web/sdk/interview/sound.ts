import { Emitter } from '../emitter';
import { Mixer, type Levels } from '../recorder/mixer';

export type SoundEvents = {
  /** Whether time passes in the mix. */
  running: boolean;
  /** What is recorded, or what of it can be mixed, is another than before. */
  changed: null;
};

/** The microphone of an interview, what is mixed of it and of the interviewer, and what of that can be recorded. */
export class Sound extends Emitter<SoundEvents> {
  readonly #mixer: Mixer;
  #microphone: MediaStreamTrack;
  #behindMute: MediaStreamTrack | null = null;
  #known = false;

  constructor(microphone: MediaStreamTrack, createMixer: () => Mixer = () => new Mixer()) {
    super();
    this.#microphone = microphone;
    this.#mixer = createMixer();
    this.#mixer.on('missing', () => this.emit('changed', null));
    this.#mixer.on('running', (running) => {
      this.emit('running', running);
      if (running) this.emit('changed', null);
    });
  }

  get microphone(): MediaStreamTrack {
    return this.#microphone;
  }

  get muted(): boolean {
    return !this.#microphone.enabled;
  }

  /** Whether there has been time enough to know if this browser mixes. */
  get known(): boolean {
    return this.#known;
  }

  /** Without a mix the candidate alone is recorded: a recording of one voice is better than none. */
  get recorded(): MediaStreamTrack {
    return this.#mixer.track ?? this.#microphone;
  }

  /** Whether both voices are in what is recorded. */
  get whole(): boolean {
    return this.#mixer.track !== null && !this.#mixer.missing.has('remote');
  }

  /** Whether `levels().microphone` says anything. */
  get measures(): boolean {
    return this.#mixer.measures;
  }

  get running(): boolean {
    return this.#mixer.running;
  }

  levels(): Levels {
    return this.#mixer.levels();
  }

  resume(): Promise<boolean> {
    return this.#mixer.resume();
  }

  /** Settles when it is known whether this browser mixes; never rejects. */
  async begin(): Promise<void> {
    this.#mixer.setMicrophone(this.#microphone);
    await this.#mixer.resume();
    this.#known = true;
  }

  setRemote(stream: MediaStream): void {
    this.#mixer.setRemote(stream);
  }

  setMuted(muted: boolean): void {
    this.#microphone.enabled = !muted;
    this.#listenBehindMute();
  }

  useMicrophone(track: MediaStreamTrack): void {
    track.enabled = this.#microphone.enabled;
    this.#microphone = track;
    this.#mixer.setMicrophone(track);
    this.#listenBehindMute();
  }

  /** The interview is over: nothing is heard any more, while the recording is still being finished. */
  silence(): void {
    this.#microphone.enabled = false;
    this.#hearBehindMute(null);
  }

  async close(): Promise<void> {
    this.#hearBehindMute(null);
    await this.#mixer.close();
  }

  /** Who speaks while muted wants to know it. What is heard here is measured, and neither sent nor recorded. */
  #listenBehindMute(): void {
    this.#hearBehindMute(this.muted ? cloneOf(this.#microphone) : null);
  }

  #hearBehindMute(track: MediaStreamTrack | null): void {
    this.#behindMute?.stop();
    this.#behindMute = track;
    this.#mixer.setBehindMute(track);
  }
}

function cloneOf(track: MediaStreamTrack): MediaStreamTrack | null {
  try {
    const clone = track.clone();
    clone.enabled = true;
    return clone;
  } catch {
    return null;
  }
}
