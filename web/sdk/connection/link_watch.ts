export interface LinkWatchOptions {
  sendHeartbeat: () => void;
  onDead: () => void;
}

/** The runtime answers every heartbeat; this much later than the second missed one, the link is dead. */
const GRACE_MS = 3_000;

/**
 * Sends a heartbeat at the interval the server asked for, and notices a link on which nothing arrives any
 * more. A half-open TCP connection reports no error by itself.
 */
export class LinkWatch {
  readonly #options: LinkWatchOptions;
  #interval: ReturnType<typeof setInterval> | undefined;
  #lastFrameAt = 0;

  constructor(options: LinkWatchOptions) {
    this.#options = options;
  }

  start(intervalMs: number): void {
    this.stop();
    const every = Math.max(1_000, intervalMs);
    this.#lastFrameAt = performance.now();
    this.#interval = setInterval(() => {
      if (performance.now() - this.#lastFrameAt > 2 * every + GRACE_MS) {
        this.stop();
        this.#options.onDead();
      } else {
        this.#options.sendHeartbeat();
      }
    }, every);
  }

  onFrame(): void {
    this.#lastFrameAt = performance.now();
  }

  stop(): void {
    clearInterval(this.#interval);
    this.#interval = undefined;
  }
}
