import { Backoff } from '../backoff';
import type { ClientMessage, ServerEvents } from '../types';

/** An answer in writing. The same `id` again is the same answer, so that a repeat is harmless. */
export interface TypedAnswer {
  id: string;
  text: string;
}

export type TypedStatus =
  | { kind: 'idle' }
  /** Until the runtime has stored it, also while the link is down. `held`: why the runtime asks for patience. */
  | { kind: 'sending'; answer: TypedAnswer; held: string | null }
  | { kind: 'sent'; answer: TypedAnswer }
  /** It will never be taken. */
  | { kind: 'refused'; answer: TypedAnswer; code: string };

export interface TypedAnswersOptions {
  /** Sends now, or returns `false`. */
  send: (message: ClientMessage) => boolean;
  onStatus: (status: TypedStatus) => void;
  /** An answer that was not acknowledged for this long is sent again. */
  ackTimeoutMs?: number;
  random?: () => number;
}

/** One answer at a time, sent until the runtime has it or refuses it for good. */
export class TypedAnswers {
  readonly #options: TypedAnswersOptions;
  readonly #patience: Backoff;
  #pending: TypedAnswer | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: TypedAnswersOptions) {
    this.#options = options;
    this.#patience = new Backoff({ baseMs: 1_000, capMs: 15_000, ...(options.random ? { random: options.random } : {}) });
  }

  /** `false` while another one is on its way. */
  submit(answer: TypedAnswer): boolean {
    if (this.#pending && this.#pending.id !== answer.id) return false;
    this.#pending = answer;
    this.#options.onStatus({ kind: 'sending', answer, held: null });
    this.#transmit();
    return true;
  }

  /** The link is back: whether the runtime has it nobody knows. */
  onReady(): void {
    if (this.#pending) this.#transmit();
  }

  acknowledge(id: string): void {
    const answer = this.#take(id);
    if (answer) this.#options.onStatus({ kind: 'sent', answer });
  }

  refuse(refusal: ServerEvents['error']): void {
    if (refusal.request_type !== 'typed_answer' || !this.#pending || refusal.id !== this.#pending.id) return;
    if (refusal.retryable) {
      this.#options.onStatus({ kind: 'sending', answer: this.#pending, held: refusal.code });
      this.#later(this.#patience.next());
      return;
    }
    const answer = this.#take(refusal.id);
    if (answer) this.#options.onStatus({ kind: 'refused', answer, code: refusal.code });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#pending = null;
  }

  #take(id: string): TypedAnswer | null {
    if (this.#pending?.id !== id) return null;
    const answer = this.#pending;
    this.close();
    this.#patience.reset();
    return answer;
  }

  #transmit(): void {
    if (!this.#pending) return;
    // While the link is down it waits for the next one.
    if (this.#options.send({ type: 'typed_answer', ...this.#pending })) this.#later(this.#options.ackTimeoutMs ?? 10_000);
  }

  #later(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#transmit(), delayMs);
  }
}
