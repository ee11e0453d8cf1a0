export interface LinkWatchOptions {
  sendHeartbeat: () => void;
  onDead: () => void;
}

/** So many heartbeats in a row without any frame from the other side mean that the link is dead. */
const MISSED_HEARTBEATS = 2;

/**
 * Sends a heartbeat at the interval the server asked for, and notices a link on which nothing arrives any
 * more: a half-open TCP connection reports no error by itself. It counts heartbeats and not seconds,
 * because browsers slow the timers of hidden tabs down, and a sleeping laptop stops them.
 */
export class LinkWatch {
  readonly #options: LinkWatchOptions;
  #interval: ReturnType<typeof setInterval> | undefined;
  #unanswered = 0;

  constructor(options: LinkWatchOptions) {
    this.#options = options;
  }

  start(intervalMs: number): void {
    this.stop();
    this.#interval = setInterval(() => this.#beat(), Math.max(1_000, intervalMs));
  }

  onFrame(): void {
    this.#unanswered = 0;
  }

  stop(): void {
    clearInterval(this.#interval);
    this.#interval = undefined;
    this.#unanswered = 0;
  }

  #beat(): void {
    if (this.#unanswered >= MISSED_HEARTBEATS) {
      this.stop();
      this.#options.onDead();
      return;
    }
    this.#unanswered += 1;
    this.#options.sendHeartbeat();
  }
}
