import { Backoff } from '../backoff';
import { Call, type CallOptions } from '../call/call';
import type { VoiceEvent } from '../call/voice_events';
import { Emitter } from '../emitter';
import { describe, isProgramError } from '../fault';
import { sleep, withDeadline } from '../time';
import type { MediaState, MediaStats } from '../types';
import type { CallEnd } from './state';

/** The runtime refused an offer. */
export class OfferRefused extends Error {
  override readonly name = 'OfferRefused';
  constructor(
    readonly code: string,
    message: string,
    readonly retryable: boolean,
  ) {
    super(message);
  }
}

/** The link to the runtime went away while an offer was under way; it is made again when the link is back. */
export class LinkLost extends Error {
  override readonly name = 'LinkLost';
}

export type CallLineEvents = {
  connected: null;
  /** The call is gone and a new one is being placed. */
  lost: CallEnd;
  /** No call could be placed; nothing more is tried. */
  failed: { code: string; message: string };
  media: { state: MediaState; stats?: MediaStats };
  voice: VoiceEvent;
  new_call: null;
  remote_stream: MediaStream;
};

export interface CallLineOptions {
  microphone: MediaStreamTrack;
  exchange: (offerSdp: string) => Promise<string>;
  createCall?: (options: CallOptions) => Call;
  maxAttempts?: number;
  connectTimeoutMs?: number;
  backoff?: Backoff;
}

/** A browser may be out of peer connections for a moment, which some report as an error of the program. */
const MAX_FAULTS = 2;

/** The runtime may be about to say why it hung up (the interview ended, a new call is wanted). */
const HUNG_UP_GRACE_MS = 1_500;

/** Keeps a voice call up: places it, notices that it is lost, places the next one. One call at a time. */
export class CallSupervisor extends Emitter<CallLineEvents> {
  readonly #options: Required<CallLineOptions>;
  #microphone: MediaStreamTrack;
  #call: Call | null = null;
  #placing = false;
  readonly #abort = new AbortController();

  constructor(options: CallLineOptions) {
    super();
    this.#options = {
      createCall: (callOptions) => new Call(callOptions),
      maxAttempts: 6,
      connectTimeoutMs: 15_000,
      backoff: new Backoff({ baseMs: 800, capMs: 8_000 }),
      ...options,
    };
    this.#microphone = options.microphone;
  }

  get call(): Call | null {
    return this.#call;
  }

  /** Places a call unless one is up or on its way. */
  async ensure(): Promise<void> {
    if (!this.#call?.alive) await this.#place();
  }

  /** Drops the call there is and places a new one, unless a new one is on its way. */
  async replace(why: CallEnd): Promise<void> {
    // Both sides notice a lost call. Who asks for what is being done must not undo it.
    if (this.#placing) return;
    if (this.#call) this.#drop(why);
    await this.#place();
  }

  async replaceMicrophone(track: MediaStreamTrack): Promise<void> {
    this.#microphone = track;
    await this.#call?.replaceMicrophone(track);
  }

  close(): void {
    this.#abort.abort();
    this.#call?.close();
    this.#call = null;
  }

  #drop(why: CallEnd): void {
    this.#call?.close();
    this.#call = null;
    this.emit('lost', why);
  }

  async #place(): Promise<void> {
    if (this.#placing || this.#abort.signal.aborted) return;
    this.#placing = true;
    this.#options.backoff.reset();
    try {
      while (!this.#abort.signal.aborted) {
        if (await this.#attempt()) return;
        await sleep(this.#options.backoff.next(), this.#abort.signal);
      }
    } catch {
      // Reported by `#attempt`, or the line was closed while waiting.
    } finally {
      this.#placing = false;
    }
  }

  /** `true` when the call is up; throws when nothing more should be tried for now. */
  async #attempt(): Promise<boolean> {
    let call: Call | null = null;
    try {
      call = this.#options.createCall({ microphone: this.#microphone, exchange: this.#options.exchange });
      this.#call = call;
      this.emit('new_call', null);
      const connected = this.#watch(call);
      // It may fail before anyone waits for it; `withDeadline` below still sees the failure.
      connected.catch(() => undefined);
      await call.start();
      await withDeadline(connected, this.#options.connectTimeoutMs, 'the voice connection');
      return true;
    } catch (error) {
      call?.close();
      if (this.#call === call) this.#call = null;
      if (error instanceof LinkLost) throw error;
      const refused = error instanceof OfferRefused ? error : null;
      // Code that does not work here will not work a little later.
      const fault = isProgramError(error);
      const attempts = fault ? MAX_FAULTS : this.#options.maxAttempts;
      const exhausted = this.#options.backoff.attempt + 1 >= attempts;
      if (exhausted || refused?.retryable === false) {
        const message = error instanceof Error && !fault ? error.message : describe(error);
        this.emit('failed', { code: refused?.code ?? (fault ? 'page_fault' : 'call_failed'), message });
        throw error;
      }
      return false;
    }
  }

  /** Wires a call's events; resolves when its voice connection stands. */
  #watch(call: Call): Promise<void> {
    call.on('voice', (event) => this.emit('voice', event));
    call.on('remote_stream', (stream) => this.emit('remote_stream', stream));
    call.on('stats', (stats) => this.emit('media', { state: call.state, stats }));
    call.on('state', (state) => this.emit('media', { state }));
    return new Promise((resolve, reject) => {
      let up = false;
      call.on('state', (state) => {
        if (state !== 'connected' || up) return;
        up = true;
        this.emit('connected', null);
        resolve();
      });
      call.on('lost', (why) => {
        if (!up) reject(new Error(`the voice connection did not come up: ${why}`));
        else void this.#onLost(call, why === 'hung_up' ? HUNG_UP_GRACE_MS : 0);
      });
    });
  }

  async #onLost(call: Call, graceMs: number): Promise<void> {
    await sleep(graceMs, this.#abort.signal).catch(() => undefined);
    if (this.#abort.signal.aborted || this.#call !== call) return;
    this.#drop('lost');
    await this.#place();
  }
}
