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
export class Heartbeat {
  readonly #options: LinkWatchOptions;
  #interval: ReturnType<typeof setInterval> | undefined;
  #unanswered = 0;
  #probe: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkWatchOptions) {
    this.#options = options;
  }

  start(intervalMs: number): void {
    this.stop();
    this.#interval = setInterval(() => this.#beat(), Math.max(1_000, intervalMs));
  }

  onFrame(): void {
    this.#unanswered = 0;
    this.#endProbe();
  }

  /** Something else has failed, or the network has changed: asks now, and does not wait for the next beat. */
  probe(withinMs: number): void {
    if (this.#interval === undefined || this.#probe !== undefined) return;
    this.#probe = setTimeout(() => this.#die(), withinMs);
    this.#options.sendHeartbeat();
  }

  stop(): void {
    clearInterval(this.#interval);
    this.#interval = undefined;
    this.#unanswered = 0;
    this.#endProbe();
  }

  #endProbe(): void {
    clearTimeout(this.#probe);
    this.#probe = undefined;
  }

  #die(): void {
    this.stop();
    this.#options.onDead();
  }

  #beat(): void {
    if (this.#unanswered >= MISSED_HEARTBEATS) {
      this.#die();
      return;
    }
    this.#unanswered += 1;
    this.#options.sendHeartbeat();
  }
}
