import { Backoff } from '../backoff';
import { Emitter } from '../emitter';
import { describe } from '../fault';
import { ApiError, isRetryable } from '../http/errors';
import type {
  ClientMessage,
  JoinInfo,
  RelayedEntry,
  ServerEventName,
  ServerEvents,
  ServerMessage,
  Uuid,
} from '../types';
import { closeAction, stopReason, type StopReason } from './close_codes';
import type { EntryStore } from './entry_store';
import { Heartbeat } from './heartbeat';
import { Outbox } from './outbox';
import { Relay, isAboutUpdates, type Refused } from './relay';

export type ConnectionState =
  | { kind: 'idle' }
  /** Getting a ticket, opening the socket, waiting for `session_ready`. */
  | { kind: 'connecting'; attempt: number }
  | { kind: 'ready' }
  /** The link is down; the next attempt starts after `delayMs`. */
  | { kind: 'waiting'; attempt: number; delayMs: number }
  | { kind: 'closed'; reason: StopReason | 'closed_by_client'; code: number | null; detail: string | null };

export type ConnectionEvents = {
  state: ConnectionState;
  /** Entries cannot be kept across a reload any more (private window, full disk). */
  store_failure: unknown;
  /** The link is back. `moved`: with a process that does not know this connection's past. */
  resumed: { moved: boolean };
  /** The outbox is full: these entries are not kept. What the runtime itself has heard is not concerned. */
  overflow: { entries: number };
  /** The runtime will never take this update; it is not kept any more and the others go on. */
  refused: Refused;
} & ServerEvents;

export interface ConnectionOptions {
  sessionId: Uuid;
  /** Gets a fresh ticket; called before every attempt. */
  join: (signal: AbortSignal) => Promise<JoinInfo>;
  store?: EntryStore;
  openSocket?: (url: string, protocols: string[]) => WebSocket;
  random?: () => number;
  backoff?: { baseMs: number; capMs: number };
  /** An update that was not acknowledged for this long is sent again. */
  ackTimeoutMs?: number;
  /** From opening the socket to `session_ready`. */
  readyTimeoutMs?: number;
  /** How long a link that is doubted may take to answer. */
  probeTimeoutMs?: number;
}

/** A link that stood for so long was a good one. */
const STEADY_MS = 5_000;

/** Clients of one restarting machine come back within this time, each at its own moment. */
const RESTART_SPREAD_MS = 400;

/** The close code this side uses to leave; any code a browser lets a page send will do. */
const NORMAL_CLOSURE = 1000;

/**
 * The `interview.v1` socket: one object for the whole interview, any number of sockets underneath.
 *
 * It takes care of tickets, reconnects, the heartbeat, `resume`, and of transcript updates until they are
 * acknowledged. It does not know what the messages mean; `Interview` does.
 */
export class InterviewConnection extends Emitter<ConnectionEvents> {
  readonly #options: Required<Omit<ConnectionOptions, 'store'>>;
  readonly #outbox: Outbox;
  readonly #relay: Relay;
  readonly #backoff: Backoff;
  readonly #link: Heartbeat;
  #state: ConnectionState = { kind: 'idle' };
  #socket: WebSocket | null = null;
  #joinInfo: JoinInfo | null = null;
  #abort = new AbortController();
  #timers: Partial<Record<'retry' | 'ready', ReturnType<typeof setTimeout>>> = {};
  /** Where `resume` starts from: the last event that was seen in order. */
  #lastEvent = 0;
  /** Whether what this page missed was sent again. Until then newer events say nothing about those before. */
  #caughtUp = false;
  #latestEvent = 0;
  #ticketRefusals = 0;
  #restarts = 0;
  #readyAt: number | null = null;
  /** Which of the interview's processes this was connected to. */
  #process: number | null = null;

  constructor(options: ConnectionOptions) {
    super();
    this.#options = {
      openSocket: (url, protocols) => new WebSocket(url, protocols),
      backoff: { baseMs: 500, capMs: 8_000 },
      ackTimeoutMs: 10_000,
      readyTimeoutMs: 15_000,
      probeTimeoutMs: 4_000,
      random: Math.random,
      ...options,
    };
    this.#outbox = new Outbox({
      sessionId: options.sessionId,
      ...(options.store ? { store: options.store } : {}),
      onStoreFailure: (error) => this.emit('store_failure', error),
    });
    this.#relay = new Relay({
      outbox: this.#outbox,
      send: (update) => this.send({ type: 'transcript_update', ...update }),
      onRefused: (refused) => this.emit('refused', refused),
      onOverflow: (count) => this.emit('overflow', { entries: count }),
      ackTimeoutMs: this.#options.ackTimeoutMs,
      random: this.#options.random,
    });
    this.#backoff = new Backoff({
      ...this.#options.backoff,
      random: this.#options.random,
    });
    this.#link = new Heartbeat({
      sendHeartbeat: () => this.send({ type: 'heartbeat' }),
      // A dead link gives no close event for minutes, so the socket is given up without waiting for one.
      onDead: () => this.#dropSocket(1006),
    });
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The answer to the latest ticket request. */
  get joinInfo(): JoinInfo | null {
    return this.#joinInfo;
  }

  /** Number of transcript updates the server has not acknowledged. */
  get unacknowledged(): number {
    return this.#outbox.pending.length;
  }

  get acknowledgedSeq(): number {
    return this.#outbox.acknowledgedSeq;
  }

  /** The highest event number the server has shown so far; what is replayed is at or below it. */
  get latestEvent(): number {
    return this.#latestEvent;
  }

  async open(): Promise<void> {
    if (this.#state.kind !== 'idle') return;
    this.#setState({ kind: 'connecting', attempt: 1 });
    await this.#outbox.load();
    globalThis.addEventListener?.('online', this.#onOnline);
    if (this.#abort.signal.aborted) return;
    await this.#connect();
  }

  /** Leaves for good. The interview itself goes on until someone ends it. */
  close(): void {
    this.#finish('closed_by_client', null, null);
  }

  /** Sends now, or not at all: returns `false` while the link is down. */
  send(message: ClientMessage): boolean {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Hands entries over for storage. They are kept until acknowledged, whatever happens to the link. */
  relay(entries: RelayedEntry[]): boolean {
    return this.#relay.add(entries);
  }

  /** Something beside this link has failed: makes sure within seconds that the link still carries. */
  probe(): void {
    if (this.#state.kind === 'ready') this.#link.probe(this.#options.probeTimeoutMs);
  }

  /** Resolves when the entries handed over so far are in the store that survives a reload. */
  stored(): Promise<void> {
    return this.#outbox.settled();
  }

  readonly #onOnline = () => {
    // A link that stood before the network changed may be dead without a word.
    this.probe();
    if (this.#state.kind !== 'waiting') return;
    clearTimeout(this.#timers.retry);
    void this.#connect();
  };

  async #connect(): Promise<void> {
    this.#setState({ kind: 'connecting', attempt: this.#backoff.attempt + 1 });
    try {
      this.#joinInfo = await this.#options.join(this.#abort.signal);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (isRetryable(error)) this.#retryLater(error instanceof ApiError ? error.retryAfterMs : null);
      else this.#refused(error);
      return;
    }
    if (this.#abort.signal.aborted) return;
    try {
      this.#openSocket(this.#joinInfo);
    } catch (error) {
      this.#finish('page_fault', null, describe(error));
    }
  }

  #refused(error: unknown): void {
    const over = error instanceof ApiError && (error.status === 410 || error.code === 'session_over');
    if (!(error instanceof ApiError)) this.#finish('page_fault', null, describe(error));
    else this.#finish(over ? 'session_over' : 'refused', null, error.message);
  }

  #openSocket(join: JoinInfo): void {
    const protocols = ['interview.v1', `ticket.${join.websocket_ticket}`];
    const socket = this.#options.openSocket(join.websocket_url, protocols);
    this.#socket = socket;
    socket.onmessage = (event: MessageEvent) => {
      if (this.#socket === socket && typeof event.data === 'string') this.#onFrame(event.data);
    };
    socket.onclose = (event: CloseEvent) => {
      if (this.#socket === socket) this.#onClose(event.code, event.reason);
    };
    this.#timers.ready = setTimeout(() => this.#dropSocket(1006), this.#options.readyTimeoutMs);
  }

  #onFrame(text: string): void {
    this.#link.onFrame();
    let message: ServerMessage;
    try {
      message = JSON.parse(text) as ServerMessage;
    } catch {
      return;
    }
    if (message.type === 'session_ready') this.#onReady(message);
    else if (message.n !== undefined) {
      this.#latestEvent = Math.max(this.#latestEvent, message.n);
      if (message.type === 'replayed') this.#caughtUp = true;
      if (this.#caughtUp) this.#lastEvent = this.#latestEvent;
    }
    if (message.type === 'transcript_ack') this.#relay.acknowledge(message.seq);
    if (message.type === 'error' && isAboutUpdates(message)) this.#relay.refuse(message);
    // Types this client does not know have no listeners, so they fall through without harm.
    this.emit(message.type as ServerEventName, message as never);
  }

  #onReady(ready: { n?: number } & ServerEvents['session_ready']): void {
    clearTimeout(this.#timers.ready);
    this.#ticketRefusals = 0;
    this.#readyAt = performance.now();
    this.#link.start(ready.heartbeat_interval_ms);
    if (ready.n !== undefined) {
      // A server that has lost its memory counts from one again: then everything it has is news.
      if (ready.n <= this.#lastEvent) this.#lastEvent = 0;
      this.#latestEvent = ready.n;
    }
    this.#caughtUp = false;
    const before = this.#process;
    this.#process = ready.process ?? 0;
    this.#setState({ kind: 'ready' });
    if (before !== null) this.emit('resumed', { moved: before !== this.#process });
    // Also of a page that has seen nothing: words may be there before anybody greeted.
    this.send({ type: 'resume', last_event: this.#lastEvent });
    this.#relay.start(ready.acked_seq, ready.limits);
  }

  #onClose(code: number, detail: string): void {
    this.#forgetSocket();
    // A link that fell at once was no success: whoever comes back to it has to wait longer each time.
    if (this.#readyAt !== null && performance.now() - this.#readyAt > STEADY_MS) {
      this.#backoff.reset();
      this.#restarts = 0;
    }
    this.#readyAt = null;
    switch (closeAction(code)) {
      case 'reconnect':
        this.#retryLater(null);
        break;
      case 'reconnect_at_once':
        // A second restart in a row is no restart any more, but a crash loop.
        if (this.#restarts > 0) this.#retryLater(null);
        else this.#retryIn(this.#options.random() * RESTART_SPREAD_MS);
        this.#restarts += 1;
        break;
      case 'new_ticket_once':
        this.#ticketRefusals += 1;
        if (this.#ticketRefusals > 1) this.#finish('ticket_refused', code, detail);
        else void this.#connect();
        break;
      case 'stop':
        this.#finish(stopReason(code), code, detail);
    }
  }

  #dropSocket(code: number): void {
    const socket = this.#socket;
    this.#forgetSocket();
    socket?.close();
    if (socket) this.#onClose(code, 'no sign of life');
  }

  #retryLater(retryAfterMs: number | null): void {
    this.#retryIn(Math.max(this.#backoff.next(), Math.min(retryAfterMs ?? 0, 60_000)));
  }

  #retryIn(delayMs: number): void {
    this.#setState({ kind: 'waiting', attempt: this.#backoff.attempt, delayMs });
    this.#timers.retry = setTimeout(() => void this.#connect(), delayMs);
  }

  #forgetSocket(): void {
    clearTimeout(this.#timers.ready);
    this.#relay.stop();
    this.#link.stop();
    this.#socket = null;
  }

  #finish(reason: StopReason | 'closed_by_client', code: number | null, detail: string | null): void {
    if (this.#state.kind === 'closed') return;
    const socket = this.#socket;
    this.#abort.abort();
    this.#forgetSocket();
    clearTimeout(this.#timers.retry);
    globalThis.removeEventListener?.('online', this.#onOnline);
    socket?.close(NORMAL_CLOSURE);
    this.#setState({ kind: 'closed', reason, code, detail });
  }

  #setState(state: ConnectionState): void {
    this.#state = state;
    this.emit('state', state as never);
  }
}
