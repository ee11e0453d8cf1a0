import { Backoff } from '../backoff';
import { PageFault, isProgramError } from '../fault';
import { limitedBy } from '../signals';
import { DeadlineError, sleep, withDeadline } from '../time';
import type {
  Agreement,
  Candidate,
  ClientConfig,
  CreateInvite,
  CreatedInvite,
  InvitePage,
  InviteState,
  InviteView,
  StartedInvite,
  CreateSession,
  Entry,
  CreatedSession,
  JoinInfo,
  ManyInvitesRow,
  Me,
  Page,
  PositionWithCompetencies,
  RecordingView,
  RecordingWish,
  SessionView,
  ConductView,
  SummaryView,
  Uuid,
} from '../types';
import { ApiError, NetworkError, readProblem, signedOut } from './errors';
import { readSse } from './sse';

export interface InterviewApiOptions {
  /** Origin of the tenant's gateway. Empty means "the page's own origin". */
  baseUrl?: string;
  /**
   * Called before each request, so that a refreshed token is picked up. `null`: nobody is signed in, and nothing is
   * sent. When it rejects, or takes too long, the token cannot be had at the moment: that is a `NetworkError`.
   * `refused` is the token that was just answered with 401; a different one is tried once. Without this function
   * requests go out as they are.
   */
  accessToken?: (refused?: string) => Promise<string | null> | string | null;
  /** The server has refused a token, also a new one: whoever uses the page has to sign in again. */
  onUnauthorized?: () => void;
  fetch?: typeof fetch;
  /** Deadline of one call, from sending to the end of the answer. */
  timeoutMs?: number;
}

export type SessionEvent =
  | { type: 'session'; session: SessionView }
  | { type: 'transcript_entry'; entry: Entry };

export interface ObserveHandlers {
  onEvent: (event: SessionEvent) => void;
  /** `false` while the stream is down and will be opened again. */
  onConnected?: (connected: boolean) => void;
}

export interface CallOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  body?: unknown;
  /** A body that is no JSON. */
  file?: { type: string; content: Blob };
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** Needs no token. */
  open?: boolean;
  /** The answer goes on for as long as it likes, so `signal` must reach into it. */
  stream?: boolean;
}

/** The HTTP side of the interview service. Every failure is an `ApiError` or a `NetworkError`. */
export class InterviewApi {
  readonly #baseUrl: string;
  readonly #accessToken: InterviewApiOptions['accessToken'];
  readonly #onUnauthorized: InterviewApiOptions['onUnauthorized'];
  readonly #fetch: typeof fetch;
  readonly #timeoutMs: number;

  constructor(options: InterviewApiOptions = {}) {
    this.#baseUrl = (options.baseUrl ?? '').replace(/\/$/, '');
    this.#accessToken = options.accessToken;
    this.#onUnauthorized = options.onUnauthorized;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.#timeoutMs = options.timeoutMs ?? 20_000;
  }

  config(): Promise<ClientConfig> {
    return this.#json('/api/config', { open: true });
  }

  me(): Promise<Me> {
    return this.#json('/api/me');
  }

  positions(): Promise<{ items: PositionWithCompetencies[] }> {
    return this.#json('/api/positions');
  }

  candidates(): Promise<{ items: Candidate[] }> {
    return this.#json('/api/candidates');
  }

  /**
   * Creates an interview. Pass the same `idempotencyKey` when you try again after a lost answer: the
   * server then returns the first interview instead of making a second one.
   */
  createSession(request: CreateSession, idempotencyKey: string): Promise<CreatedSession> {
    return this.#json('/api/sessions', {
      method: 'POST',
      body: request,
      headers: { 'idempotency-key': idempotencyKey },
    });
  }

  /** A fresh single-use ticket: for joining, and for every reconnect. */
  ticket(sessionId: Uuid, signal?: AbortSignal, recording?: RecordingWish): Promise<JoinInfo> {
    return this.#json(`${sessionPath(sessionId)}/ticket`, {
      method: 'POST',
      signal,
      ...(recording ? { body: { recording } } : {}),
    });
  }

  sessions(page: { limit?: number; cursor?: string | null } = {}): Promise<Page<SessionView>> {
    const query = new URLSearchParams();
    if (page.limit !== undefined) query.set('limit', String(page.limit));
    if (page.cursor) query.set('cursor', page.cursor);
    const suffix = query.toString();
    return this.#json(`/api/sessions${suffix && `?${suffix}`}`);
  }

  session(sessionId: Uuid): Promise<SessionView> {
    return this.#json(sessionPath(sessionId));
  }

  /** Asks the interview to end. Repeating it is harmless. */
  endSession(sessionId: Uuid): Promise<SessionView> {
    return this.#json(`${sessionPath(sessionId)}/end`, { method: 'POST' });
  }

  /** Keeps an interview that nobody has begun until later. Repeating it is harmless. */
  extendInvitation(sessionId: Uuid, joinBy: Date): Promise<SessionView> {
    return this.#json(`${sessionPath(sessionId)}/extend`, { method: 'POST', body: { join_by: joinBy.toISOString() } });
  }

  /** What the candidate reads, for a recruiter. */
  preview(sessionId: Uuid): Promise<Agreement> {
    return this.#json(`${sessionPath(sessionId)}/preview`);
  }

  /** `witness`: also what only the browser told and no judgement rests on. */
  transcript(sessionId: Uuid, include?: 'witness'): Promise<{ entries: Entry[] }> {
    return this.#json(`${sessionPath(sessionId)}/transcript${include ? `?include=${include}` : ''}`);
  }

  /** The transcript as a file for people (`text`) or for a video player (`vtt`). */
  async transcriptFile(sessionId: Uuid, format: 'text' | 'vtt'): Promise<string> {
    const response = await this.#send(`${sessionPath(sessionId)}/transcript?format=${format}`, {});
    return response.text();
  }

  /** What became of the plan. Each reading is audited. */
  conduct(sessionId: Uuid): Promise<ConductView> {
    return this.#json(`${sessionPath(sessionId)}/conduct`);
  }

  summary(sessionId: Uuid): Promise<SummaryView> {
    return this.#json(`${sessionPath(sessionId)}/summary`);
  }

  recording(sessionId: Uuid): Promise<RecordingView> {
    return this.#json(`${sessionPath(sessionId)}/recording`);
  }

  // ---- Invites, for recruiters ----

  invites(page: { state?: InviteState[]; q?: string; limit?: number; cursor?: string | null } = {}): Promise<Page<InviteView>> {
    const query = new URLSearchParams();
    if (page.state?.length) query.set('state', page.state.join(','));
    if (page.q) query.set('q', page.q);
    if (page.limit !== undefined) query.set('limit', String(page.limit));
    if (page.cursor) query.set('cursor', page.cursor);
    const suffix = query.toString();
    return this.#json(`/api/invites${suffix && `?${suffix}`}`);
  }

  /** The same `external_id` makes one invite, however often it is asked for. */
  createInvite(request: CreateInvite): Promise<CreatedInvite> {
    return this.#json('/api/invites', { method: 'POST', body: request });
  }

  /** Up to 5,000, each with a result of its own. Each needs an `external_id`: the same rows again make nothing twice. */
  createInvites(invites: CreateInvite[]): Promise<{ results: ManyInvitesRow[]; created: number; existing: number; refused: number }> {
    return this.#json('/api/invites/bulk', { method: 'POST', body: { invites } });
  }

  /** Another link, told once. Those before it keep working. */
  inviteLink(inviteId: Uuid): Promise<{ link: string }> {
    return this.#json(`${invitePath(inviteId)}/link`, { method: 'POST' });
  }

  resendInvite(inviteId: Uuid): Promise<InviteView> {
    return this.#json(`${invitePath(inviteId)}/resend`, { method: 'POST' });
  }

  extendInvite(inviteId: Uuid, closesAt: Date, send: boolean): Promise<InviteView> {
    return this.#json(`${invitePath(inviteId)}/extend`, { method: 'POST', body: { closes_at: closesAt.toISOString(), send } });
  }

  revokeInvite(inviteId: Uuid, reason: string): Promise<InviteView> {
    return this.#json(`${invitePath(inviteId)}/revoke`, { method: 'POST', body: { reason } });
  }

  reopenInvite(inviteId: Uuid, closesAt: Date, reason: string, send: boolean): Promise<InviteView> {
    const body = { closes_at: closesAt.toISOString(), reason, send };
    return this.#json(`${invitePath(inviteId)}/reopen`, { method: 'POST', body });
  }

  // ---- For whoever has the link of an invite ----

  /** What it is for. It spends nothing. */
  openInvite(secret: string): Promise<InvitePage> {
    return this.#json('/api/invite/open', { method: 'POST', body: { secret }, open: true });
  }

  /** Begins the interview, or finds the one that runs. Repeating it is harmless. */
  startInvite(secret: string): Promise<StartedInvite> {
    return this.#json('/api/invite/start', { method: 'POST', body: { secret }, open: true });
  }

  /** Keeps the token of an invite, with which this client signs in, good for some minutes more. */
  renewInviteToken(): Promise<{ expires_at: string }> {
    return this.#json('/api/invite/renew', { method: 'POST' });
  }

  /** One run of the live event stream. Ends when the server closes it. */
  async *events(sessionId: Uuid, signal?: AbortSignal): AsyncGenerator<SessionEvent, void, void> {
    const response = await this.#send(`${sessionPath(sessionId)}/events`, {
      headers: { accept: 'text/event-stream' },
      signal,
      stream: true,
    });
    if (!response.body) return;
    for await (const message of readSse(response.body)) {
      const event = parseSessionEvent(message.event, message.data);
      if (event) yield event;
    }
  }

  /**
   * Follows an interview until `signal` is aborted: opens the event stream again whenever it breaks, with
   * backoff. Rejects when the server refuses for good (for example 401 or 404), and when a handler throws.
   */
  async observe(sessionId: Uuid, handlers: ObserveHandlers, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ baseMs: 1_000, capMs: 15_000 });
    while (!signal.aborted) {
      try {
        const openedAt = Date.now();
        for await (const event of this.events(sessionId, signal)) {
          // Only a stream that held for a while counts as good: one that opens and breaks at once, over
          // and over, must not be reopened without a pause.
          if (Date.now() - openedAt > 10_000) backoff.reset();
          tell(handlers, event);
        }
      } catch (error) {
        if (signal.aborted) return;
        if ((error instanceof ApiError && !error.retryable) || error instanceof PageFault) throw error;
      }
      if (signal.aborted) return;
      handlers.onConnected?.(false);
      await sleep(backoff.next(), signal).catch(() => undefined);
    }
  }

  /** One call of the API, for clients of parts of it (`DirectoryApi`). */
  request<T>(path: string, options: CallOptions = {}): Promise<T> {
    return this.#json(path, options);
  }

  async #json<T>(path: string, options: CallOptions = {}): Promise<T> {
    const response = await this.#send(path, options);
    try {
      return (await withDeadline(response.json(), this.#timeoutMs, 'the body of the answer')) as T;
    } catch (error) {
      throw asNetworkError(error, options.signal);
    }
  }

  async #send(path: string, options: CallOptions): Promise<Response> {
    const token = options.open ? null : await this.#token();
    let response = await this.#attempt(path, options, token);
    if (response.status === 401 && token !== null) {
      const renewed = await this.#token(token);
      if (renewed !== token) {
        void response.body?.cancel();
        response = await this.#attempt(path, options, renewed);
      }
    }
    if (response.status === 401 && token !== null) this.#onUnauthorized?.();
    if (!response.ok) throw await readProblem(response);
    return response;
  }

  /** The token to send; `null` when this client was made without any. No request that needs one goes out without. */
  async #token(refused?: string): Promise<string | null> {
    if (!this.#accessToken) return null;
    let token: string | null;
    try {
      token = await withDeadline(Promise.resolve(this.#accessToken(refused)), this.#timeoutMs, 'a token');
    } catch (error) {
      if (isProgramError(error)) throw new PageFault(error);
      throw error instanceof ApiError ? error : asNetworkError(error, undefined);
    }
    if (!token) throw signedOut();
    return token;
  }

  async #attempt(path: string, options: CallOptions, token: string | null): Promise<Response> {
    const headers = new Headers({ accept: 'application/json', ...options.headers });
    if (token) headers.set('authorization', `Bearer ${token}`);
    const init: RequestInit = { method: options.method ?? 'GET', headers };
    if (options.body !== undefined) {
      headers.set('content-type', 'application/json');
      init.body = JSON.stringify(options.body);
    } else if (options.file) {
      headers.set('content-type', options.file.type);
      init.body = options.file.content;
    }
    // The deadline ends when the headers are here.
    const deadline = limitedBy([], this.#timeoutMs);
    const limit = limitedBy([options.signal, deadline.signal]);
    init.signal = limit.signal;
    try {
      return await this.#fetch(this.#baseUrl + path, init);
    } catch (error) {
      throw asNetworkError(error, options.signal);
    } finally {
      deadline.release();
      if (!options.stream) limit.release();
    }
  }
}

/** What a listener does wrong must not look like a stream that broke. */
function tell(handlers: ObserveHandlers, event: SessionEvent): void {
  try {
    handlers.onConnected?.(true);
    handlers.onEvent(event);
  } catch (error) {
    throw new PageFault(error);
  }
}

function sessionPath(sessionId: Uuid): string {
  return `/api/sessions/${encodeURIComponent(sessionId)}`;
}

function invitePath(inviteId: Uuid): string {
  return `/api/invites/${encodeURIComponent(inviteId)}`;
}

function asNetworkError(error: unknown, signal: AbortSignal | undefined): unknown {
  const name = error instanceof Error ? error.name : '';
  if (name === 'TimeoutError' || error instanceof DeadlineError) return new NetworkError('timeout', error);
  // The caller gave up on purpose; that is not the network's fault.
  if (name === 'AbortError' && signal?.aborted) return error;
  return new NetworkError('unreachable', error);
}

/** Unknown or malformed events are skipped: a newer server may send more than this client knows. */
export function parseSessionEvent(name: string, data: string): SessionEvent | null {
  try {
    if (name === 'session') return { type: 'session', session: JSON.parse(data) as SessionView };
    if (name === 'transcript_entry') return { type: 'transcript_entry', entry: JSON.parse(data) as Entry };
  } catch {
    return null;
  }
  return null;
}
