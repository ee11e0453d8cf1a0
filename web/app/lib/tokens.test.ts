import { AuthClient } from '@supabase/supabase-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, InterviewApi, InterviewConnection, NetworkError, type ConnectionState } from '../../sdk';
import { AuthFetch } from './auth_fetch';
import { Tokens } from './tokens';

type Answer = () => Promise<Response> | Response;

const LIFE_S = 3_600;
const json = (status: number, body: unknown, headers?: HeadersInit) => Response.json(body, { status, ...(headers ? { headers } : {}) });
const silence: Answer = () => new Promise<Response>(() => undefined);
const inOutage: Record<string, Answer> = {
  'with 503': () => json(503, { msg: 'down' }),
  'with 500 and a code': () => json(500, { error_code: 'unexpected_failure' }),
  'with 429': () => json(429, { error_code: 'over_request_rate_limit' }),
  'with 408': () => json(408, { error: 'request timeout' }),
  'with a page of a proxy': () => new Response('<html>Log in to the hotel</html>', { status: 200 }),
  'with a forbidding page of a proxy': () => new Response('<html>blocked</html>', { status: 403 }),
  'with an empty answer': () => new Response(null, { status: 200 }),
  'with JSON without tokens': () => json(200, { ok: true }),
  'with half of JSON': () => new Response('{"access_token":"x"', { status: 200 }),
  'with 400 for a passing reason': () => json(400, { error_code: 'hook_timeout' }),
  'by a network error': () => Promise.reject(new TypeError('Failed to fetch')),
  'not at all': silence,
};
const refusals: Record<string, Answer> = {
  'refresh_token_not_found': () => json(400, { code: 400, error_code: 'refresh_token_not_found', msg: 'Invalid Refresh Token' }),
  'invalid_grant': () => json(400, { error: 'invalid_grant', error_description: 'Invalid Refresh Token' }),
  '401': () => json(401, { code: 'bad_jwt', message: 'no' }),
  '403': () => json(403, { error_code: 'user_banned', msg: 'no' }),
};

interface Options {
  expiresInS?: number;
  auth?: Answer | undefined;
}

class FakeSocket {
  readyState = 0;
  sent: string[] = [];
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  send(data: string): void {
    this.sent.push(data);
  }
  close(): void {
    this.readyState = 3;
  }
  ready(n: number): void {
    this.readyState = 1;
    this.onmessage?.({ data: JSON.stringify({ type: 'session_ready', n, acked_seq: 0, heartbeat_interval_ms: 3_600_000 }) });
  }
  drop(): void {
    this.readyState = 3;
    this.onclose?.({ code: 1006, reason: '' });
  }
}

/** The real sign-in library, the real API client and the real connection; only the two servers are made up. */
async function setUp(options: Options = {}) {
  const issued = (n: number) => ({
    access_token: `access-${n}`,
    refresh_token: `refresh-${n}`,
    token_type: 'bearer',
    expires_in: LIFE_S,
    expires_at: Math.floor(Date.now() / 1000) + LIFE_S,
    user: { id: 'u1' },
  });
  const kept = new Map<string, string>();
  const first = { ...issued(0), expires_at: Math.floor(Date.now() / 1000) + (options.expiresInS ?? LIFE_S) };
  kept.set('account', JSON.stringify(first));
  let renewals = 0;
  const good: Answer = () => json(200, issued((renewals += 1)));
  const servers = {
    auth: options.auth ?? good,
    api: ((token) => json(200, { websocket_url: 'wss://example.test', websocket_ticket: token })) as (token: string) => Response,
    authCalls: 0,
    /** The token of each request to our own API. */
    apiCalls: [] as (string | null)[],
  };
  const network = new AuthFetch(
    (async (_input, init) => {
      servers.authCalls += 1;
      const aborted = new Promise<never>((_, reject) =>
        init?.signal?.addEventListener('abort', () => reject(init.signal?.reason as Error)),
      );
      return Promise.race([servers.auth(), aborted]);
    }) as typeof fetch,
    () => 1,
  );
  const auth = new AuthClient({
    url: 'https://auth.test/auth/v1',
    headers: {},
    storageKey: 'account',
    storage: {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
      removeItem: (key: string) => void kept.delete(key),
    },
    detectSessionInUrl: false,
    fetch: network.fetch,
  });
  const events: string[] = [];
  auth.onAuthStateChange((event) => void events.push(event));
  const tokens = new Tokens(auth);
  const api = new InterviewApi({
    baseUrl: 'https://api.test',
    accessToken: (refused) => tokens.current(refused),
    fetch: (async (_input, init) => {
      const token = new Headers(init?.headers).get('authorization');
      servers.apiCalls.push(token);
      return servers.api(token ?? '');
    }) as typeof fetch,
  });
  const sockets: FakeSocket[] = [];
  const states: ConnectionState[] = [];
  const connection = new InterviewConnection({
    sessionId: 's1',
    join: (signal) => api.ticket('s1', signal),
    openSocket: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket as unknown as WebSocket;
    },
    random: () => 1,
  });
  connection.on('state', (state) => states.push(state));
  await vi.advanceTimersByTimeAsync(0);
  return { servers, good, auth, network, tokens, api, connection, sockets, states, events, kept, issued };
}

const started: Awaited<ReturnType<typeof setUp>>[] = [];
async function begun(options: Options = {}) {
  const all = await setUp(options);
  started.push(all);
  return all;
}

/** At most 20 seconds. */
async function until(condition: () => boolean) {
  for (let waited = 0; waited < 200 && !condition(); waited += 1) await vi.advanceTimersByTimeAsync(100);
  expect(condition()).toBe(true);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] });
  vi.setSystemTime(new Date('2026-06-01T12:00:00Z'));
});

afterEach(() => {
  for (const { connection, auth } of started.splice(0)) {
    connection.close();
    void auth.stopAutoRefresh();
  }
  vi.useRealTimers();
});

describe('while the auth server answers', () => {
  it.each(Object.entries(inOutage))('%s, the candidate waits and comes back without doing anything', async (_, answer) => {
    const { servers, good, connection, sockets, states, events, kept } = await begun();
    await connection.open();
    sockets[0]?.ready(1);
    servers.auth = answer;
    // The token has run out, and the socket drops.
    await vi.advanceTimersByTimeAsync((LIFE_S + 5) * 1_000);
    const before = servers.authCalls;
    sockets[0]?.drop();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(servers.authCalls - before).toBeLessThan(8);
    expect(connection.state.kind).not.toBe('closed');
    expect(servers.apiCalls).toEqual(['Bearer access-0']);
    expect(kept.has('account')).toBe(true);

    servers.auth = good;
    await until(() => sockets.length === 2);
    sockets[1]?.ready(2);
    expect(states.at(-1)?.kind).toBe('ready');
    expect(servers.apiCalls.every((token) => token?.startsWith('Bearer access-'))).toBe(true);
    expect(events).not.toContain('SIGNED_OUT');
  });

  it('with 503, a token that is still good is used meanwhile', async () => {
    const { servers, api } = await begun({ expiresInS: 120 });
    servers.auth = inOutage['with 503'] as Answer;
    await vi.advanceTimersByTimeAsync(100_000);
    expect(servers.authCalls).toBeGreaterThan(3);
    await expect(api.ticket('s1')).resolves.toMatchObject({ websocket_ticket: 'Bearer access-0' });
  });

  it('with 503 and Retry-After, as late as it asks', async () => {
    const { servers } = await begun();
    servers.auth = () => json(503, {}, { 'retry-after': '20' });
    await vi.advanceTimersByTimeAsync((LIFE_S - 30) * 1_000);
    const before = servers.authCalls;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(servers.authCalls - before).toBeLessThanOrEqual(3);
  });

  it('not at all, a request is a network error and nothing goes out', async () => {
    const { servers, api } = await begun({ expiresInS: -60, auth: silence });
    const asked = api.ticket('s1').catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(21_000);
    expect(await asked).toBeInstanceOf(NetworkError);
    expect(servers.apiCalls).toEqual([]);
  });

  it('with 503 for long, it is not asked in a tight loop', async () => {
    const { servers } = await begun({ expiresInS: -60, auth: inOutage['with 503'] });
    await vi.advanceTimersByTimeAsync(600_000);
    expect(servers.authCalls).toBeGreaterThan(60);
    expect(servers.authCalls).toBeLessThan(90);
  });

  it('with 503, signing out does not wait for it', async () => {
    const { network, auth, events, kept } = await begun({ expiresInS: -60, auth: inOutage['with 503'] });
    await vi.advanceTimersByTimeAsync(30_000);
    let out = false;
    void network.leave(() => auth.signOut({ scope: 'local' })).then(() => (out = true));
    await vi.advanceTimersByTimeAsync(100);
    expect(out).toBe(true);
    expect(events).toContain('SIGNED_OUT');
    expect(kept.has('account')).toBe(false);
  });
});

describe('when the refresh token itself is refused', () => {
  it.each(Object.entries(refusals))('with %s, signing in again is the way, and nothing goes out', async (_, answer) => {
    const { servers, api, connection, sockets, events } = await begun();
    await connection.open();
    sockets[0]?.ready(1);
    servers.auth = answer;
    await vi.advanceTimersByTimeAsync((LIFE_S + 5) * 1_000);
    sockets[0]?.drop();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(connection.state).toMatchObject({ kind: 'closed', reason: 'refused' });
    expect(events).toContain('SIGNED_OUT');
    expect(servers.apiCalls).toEqual(['Bearer access-0']);
    const error = await api.ticket('s1').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect((error as ApiError).code).toBe('signed_out');
    expect(servers.apiCalls).toHaveLength(1);
  });
});

describe('a token that our own API refuses', () => {
  it('is renewed once and the request is made again, also when our clock says it is good', async () => {
    const { servers, api } = await begun();
    servers.api = (token) => (token === 'Bearer access-0' ? json(401, { code: 'token_expired' }) : json(200, { websocket_ticket: token }));
    await expect(api.ticket('s1')).resolves.toMatchObject({ websocket_ticket: 'Bearer access-1' });
    expect(servers.apiCalls).toEqual(['Bearer access-0', 'Bearer access-1']);
  });

  it('is renewed once, and not for each request, when the clock of this device is a day fast', async () => {
    const { servers, api, issued } = await begun({ expiresInS: -86_400 });
    servers.auth = () => json(200, { ...issued(1), expires_at: Math.floor(Date.now() / 1000) - 82_800 });
    for (let index = 0; index < 5; index += 1) await api.ticket('s1');
    expect(servers.apiCalls).toHaveLength(5);
    expect(servers.authCalls).toBeLessThanOrEqual(2);
  });

  it('is not renewed over and over when the new one is refused as well', async () => {
    const { servers, api } = await begun();
    servers.api = () => json(401, { code: 'unauthorized' });
    for (let index = 0; index < 5; index += 1) {
      await expect(api.ticket('s1')).rejects.toMatchObject({ status: 401 });
    }
    expect(servers.authCalls).toBe(1);
    expect(servers.apiCalls).toHaveLength(6);
  });

  it('is waited for when it cannot be renewed at once', async () => {
    const { servers, good, connection, sockets } = await begun();
    servers.api = (token) =>
      token === 'Bearer access-0' ? json(401, { code: 'token_expired' }) : json(200, { websocket_url: 'wss://x', websocket_ticket: token });
    servers.auth = inOutage['with 503'] as Answer;
    void connection.open();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(connection.state.kind).not.toBe('closed');
    servers.auth = good;
    await until(() => sockets.length === 1);
  });
});
