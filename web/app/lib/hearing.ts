export interface Sample {
  /** 0..1 of the microphone; `null` where the browser does not let the page measure it. */
  level: number | null;
  /** What a muted microphone would carry. */
  behindMute: number;
  muted: boolean;
  /** The interviewer waits for an answer. */
  turn: boolean;
}

export type Note = 'silent' | 'muted' | null;

/** A living microphone in a quiet room is never at exactly nothing for this long. */
export const SILENT_MS = 10_000;
/** From here on it is speech and not the room; so long of it is no click of the mouse. */
const SPEECH_LEVEL = 0.35;
const SPEECH_MS = 300;
/** How long "you are muted" stays after the last sound. */
const MUTED_MS = 4_000;

/** Notices that a candidate who speaks is not heard. Thinking in silence is nothing to speak of. */
export class Hearing {
  #quietSince: number | null = null;
  #speechMs = 0;
  #spokeAt = -Infinity;
  #last: number | null = null;

  hear({ level, behindMute, muted, turn }: Sample, now: number): Note {
    const elapsed = this.#last === null ? 0 : now - this.#last;
    this.#last = now;
    if (muted) {
      this.#quietSince = null;
      // Falls as it rises, so that words with pauses count and single noises do not add up.
      this.#speechMs = Math.max(0, this.#speechMs + (behindMute > SPEECH_LEVEL ? elapsed : -elapsed / 2));
      if (this.#speechMs >= SPEECH_MS) {
        this.#spokeAt = now;
        this.#speechMs = SPEECH_MS;
      }
      return now - this.#spokeAt < MUTED_MS ? 'muted' : null;
    }
    this.#speechMs = 0;
    this.#spokeAt = -Infinity;
    if (level !== 0 || !turn) this.#quietSince = null;
    else this.#quietSince ??= now;
    return this.#quietSince !== null && now - this.#quietSince >= SILENT_MS ? 'silent' : null;
  }
}
