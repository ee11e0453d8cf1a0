export interface BackoffOptions {
  /** Upper bound of the first delay. */
  baseMs: number;
  /** No delay is ever longer than this. */
  capMs: number;
  /** Returns a number in [0, 1). */
  random?: () => number;
}

/**
 * Capped exponential backoff with "equal jitter": half of each delay is fixed, half is random. Many
 * clients that lost the same machine at the same moment therefore do not come back at the same moment,
 * and none of them comes back at once.
 */
export class Backoff {
  readonly #options: Required<BackoffOptions>;
  #attempt = 0;

  constructor(options: BackoffOptions) {
    this.#options = { random: Math.random, ...options };
  }

  /** How many delays were handed out since the last reset. */
  get attempt(): number {
    return this.#attempt;
  }

  next(): number {
    const { baseMs, capMs, random } = this.#options;
    const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return ceiling / 2 + random() * (ceiling / 2);
  }

  reset(): void {
    this.#attempt = 0;
  }
}
