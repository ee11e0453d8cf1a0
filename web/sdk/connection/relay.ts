import { Backoff } from '../backoff';
import type { RelayedEntry, ServerEvents } from '../types';
import { LIMITS, cleanEntry, splitEntries } from './clean';
import type { PendingUpdate } from './entry_store';
import type { Outbox } from './outbox';

/** An update that the runtime will never take. Its words are not in the record unless it heard them itself. */
export interface Refused {
  seq: number;
  code: string;
  entries: RelayedEntry[];
}

export interface RelayOptions {
  outbox: Outbox;
  /** Sends now, or returns `false`. */
  send: (update: PendingUpdate) => boolean;
  onRefused: (refused: Refused) => void;
  onOverflow: (entries: number) => void;
  ackTimeoutMs: number;
  random: () => number;
}

/** So many updates may be on their way: fewer than the runtime takes beyond a gap. */
const WINDOW = 1_000;
/** So many are repeated at once: the runtime closes a connection on which frames do not stop. */
const REPEATED = 200;
/** So often an update is sent to a runtime that refuses without saying which one. */
const TRIES = 3;

type Refusal = ServerEvents['error'];

export function isAboutUpdates(refusal: Refusal): boolean {
  // A frame that could not be read at all is refused without the name of its type.
  return (
    refusal.request_type === 'transcript_update' ||
    (refusal.request_type === null && refusal.code === 'message_invalid')
  );
}

/**
 * How transcript updates leave: in order, in a window, repeated until they are acknowledged, held back when
 * the runtime asks for patience, and given up when it refuses them for good.
 */
export class Relay {
  readonly #options: RelayOptions;
  readonly #patience: Backoff;
  #limits = { ...LIMITS };
  #open = false;
  /** The highest number that was sent on this socket and need not be sent again before the next repetition. */
  #sentUpTo = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The runtime asked for patience: nothing is sent until the timer fires. */
  #holding = false;
  /** The runtime refuses without a number: one update at a time, so that it is known which one is meant. */
  #careful = false;
  /** In careful mode: the update that is on its way alone, how often it was refused, and whether an answer is due. */
  #alone = { seq: 0, tries: 0, asked: false };

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#patience = new Backoff({ baseMs: 1_000, capMs: 30_000, random: options.random });
  }

  /** A socket is ready. Everything that is pending goes out again, numbered from the runtime's mark. */
  start(ackedSeq: number, limits: Partial<typeof LIMITS> | undefined): void {
    this.#limits = {
      max_frame_bytes: Math.min(LIMITS.max_frame_bytes, limits?.max_frame_bytes ?? Infinity),
      max_entries: Math.min(LIMITS.max_entries, limits?.max_entries ?? Infinity),
    };
    this.#options.outbox.synchronise(ackedSeq);
    this.#sentUpTo = ackedSeq;
    this.#open = true;
    this.#careful = false;
    this.#sendNew();
    this.#arm();
  }

  stop(): void {
    this.#open = false;
    this.#disarm();
  }

  /** `false` when some of it could not be kept. */
  add(entries: RelayedEntry[]): boolean {
    let kept = true;
    for (const batch of splitEntries(entries.map(cleanEntry), this.#limits)) {
      if (this.#options.outbox.add(batch) !== null) continue;
      kept = false;
      this.#options.onOverflow(batch.length);
    }
    this.#sendNew();
    // What waits longest decides: new updates must not put off the repetition of older ones.
    if (this.#timer === undefined) this.#arm();
    return kept;
  }

  acknowledge(seq: number): void {
    const before = this.#pending.length;
    const news = this.#options.outbox.acknowledge(seq);
    if (this.#pending.length < before) this.#patience.reset();
    if (this.#pending.length === 0) this.#careful = false;
    // An acknowledgement that closes nothing must not put off the repetition of what waits.
    if (this.#holding || !news) return;
    this.#sendNew();
    this.#arm();
  }

  refuse(refusal: Refusal): void {
    const { seq } = refusal;
    if (typeof seq !== 'number') this.#refuseUnnamed(refusal);
    else if (refusal.retryable) this.#holdBack(seq - 1);
    else this.#giveUp(seq, refusal.code);
  }

  get #pending(): readonly PendingUpdate[] {
    return this.#options.outbox.pending;
  }

  /** The number is closed by the runtime, so those behind it keep theirs. A repeat may be refused twice. */
  #giveUp(seq: number, code: string): void {
    const update = this.#options.outbox.remove(seq);
    if (update) this.#options.onRefused({ seq, code, entries: update.entries });
    if (this.#pending.length === 0) this.#disarm();
    else this.#sendNew();
  }

  /** An older runtime does not say which update it means, nor does it let the acknowledgement pass it. */
  #refuseUnnamed(refusal: Refusal): void {
    const head = this.#pending[0];
    if (!this.#open || !head) return;
    if (refusal.retryable) return this.#holdBack(this.#sentUpTo);
    if (this.#careful && this.#alone.asked && this.#alone.seq === head.seq) {
      this.#alone.asked = false;
      this.#alone.tries += 1;
      if (this.#alone.tries >= TRIES) {
        // An update of nothing takes the number, so that those behind it can be acknowledged.
        this.#options.send({ seq: head.seq, entries: [] });
        this.#giveUp(head.seq, refusal.code);
        this.#patience.reset();
        return;
      }
    }
    this.#careful = true;
    this.#holdBack(head.seq - 1);
  }

  /** Keeps everything and sends from `after` on when some time has passed. Many refusals make one pause. */
  #holdBack(after: number): void {
    this.#sentUpTo = Math.min(this.#sentUpTo, after);
    if (this.#holding || !this.#open) return;
    this.#disarm();
    this.#holding = true;
    this.#timer = setTimeout(() => this.#repeat(), this.#patience.next());
  }

  #repeat(): void {
    this.#holding = false;
    if (this.#careful) this.#sentUpTo = (this.#pending[0]?.seq ?? 1) - 1;
    else for (const update of this.#pending.slice(0, REPEATED)) this.#transmit(update);
    this.#sendNew();
    this.#arm();
  }

  #sendNew(): void {
    if (!this.#open || this.#holding) return;
    for (const update of this.#pending.slice(0, this.#careful ? 1 : WINDOW)) {
      if (update.seq > this.#sentUpTo && !this.#transmit(update)) return;
    }
  }

  #transmit(update: PendingUpdate): boolean {
    if (!this.#options.send(update)) return false;
    if (this.#careful) {
      const tries = this.#alone.seq === update.seq ? this.#alone.tries : 0;
      this.#alone = { seq: update.seq, tries, asked: true };
      this.#sentUpTo = update.seq;
    } else this.#sentUpTo = Math.max(this.#sentUpTo, update.seq);
    return true;
  }

  #arm(): void {
    this.#disarm();
    if (this.#pending.length === 0 || !this.#open) return;
    this.#timer = setTimeout(() => this.#repeat(), this.#options.ackTimeoutMs);
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#holding = false;
  }
}
