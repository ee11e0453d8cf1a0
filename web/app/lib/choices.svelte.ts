import { kept } from './kept';

export type CaptionSize = 'normal' | 'large' | 'largest';

interface Kept {
  microphoneId: string | null;
  speakerId: string;
  cameraOn: boolean;
  cameraId: string | null;
  captions: CaptionSize;
}

const NOTHING: Kept = { microphoneId: null, speakerId: '', cameraOn: false, cameraId: null, captions: 'normal' };

/** What a candidate has chosen in this interview; it is the same after a reload. */
export class Choices {
  readonly #key: string;
  #kept = $state.raw<Kept>(NOTHING);

  constructor(sessionId: string) {
    this.#key = `interview-choices:${sessionId}`;
    this.#kept = { ...NOTHING, ...kept.read<Partial<Kept>>(this.#key) };
  }

  get all(): Kept {
    return this.#kept;
  }

  set(change: Partial<Kept>): void {
    this.#kept = { ...this.#kept, ...change };
    kept.write(this.#key, this.#kept);
  }
}
