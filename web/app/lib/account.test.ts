import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const CONFIG = { supabase: { url: 'https://auth.test', publishable_key: 'key' }, sandbox: false };
const SESSION = { access_token: 'a', refresh_token: 'r', token_type: 'bearer', expires_in: 3_600, user: { id: 'u1' } };

let answers: Record<string, () => Response>;
let asked: string[];
let tokens: Record<string, string | null>;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
  asked = [];
  tokens = {};
  answers = {
    '/api/config': () => Response.json(CONFIG),
    '/api/me': () => Response.json({ email: 'mei@demo.test', role: 'candidate' }),
    '/auth/v1/token': () => Response.json(SESSION),
  };
  vi.stubGlobal('fetch', async (input: string, init?: RequestInit) => {
    const path = new URL(input, 'https://app.test').pathname;
    asked.push(path);
    tokens[path] = new Headers(init?.headers).get('authorization');
    return answers[path]?.() ?? new Response(null, { status: 404 });
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('the account', () => {
  // There is one account per page, so this is one story.
  it('waits for the service whenever it is away, and leaves refusals to the form', async () => {
    // It takes hold of `fetch` when it is made.
    const { account } = await import('./account.svelte');
    answers['/api/config'] = () => new Response('away', { status: 502 });
    void account.start();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(account.state.kind).toBe('unavailable');
    expect(asked.length).toBeLessThan(10);
    answers['/api/config'] = () => Response.json(CONFIG);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(account.state.kind).toBe('signed_out');
    expect(asked).not.toContain('/api/me');

    await account.signIn('mei@demo.test', 'secret');
    expect(account.state).toMatchObject({ kind: 'signed_in', me: { role: 'candidate' } });

    answers['/api/me'] = () => new Response('away', { status: 503 });
    void account.start();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(account.state.kind).toBe('unavailable');
    answers['/api/me'] = () => Response.json({ email: 'mei@demo.test', role: 'candidate' });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(account.state.kind).toBe('signed_in');

    // A token that is refused while somebody is at work: the page stays, and they sign in again over it.
    answers['/api/positions'] = () => new Response('{}', { status: 401 });
    await account.api.positions().catch(() => undefined);
    expect(account.state.kind).toBe('signed_in');
    expect(account.lapsed).toBe(true);
    // What goes wrong over an open page is for the form; the page, which may be in a call, stays.
    for (const status of [503, 403]) {
      answers['/api/me'] = () => new Response('{}', { status });
      await expect(account.signIn('mei@demo.test', 'secret')).rejects.toMatchObject({ status });
      expect([account.state.kind, account.lapsed]).toEqual(['signed_in', true]);
    }
    answers['/api/me'] = () => Response.json({ email: 'mei@demo.test', role: 'candidate' });
    await account.signIn('mei@demo.test', 'secret');
    expect(account.lapsed).toBe(false);
    expect(account.state.kind).toBe('signed_in');

    await account.signOut();
    expect(tokens).toMatchObject({
      '/auth/v1/token': 'Bearer key',
      '/auth/v1/logout': 'Bearer a',
      '/api/config': null,
      '/api/me': 'Bearer a',
    });
    expect(account.state.kind).toBe('signed_out');
    answers['/api/me'] = () => Response.json({ code: 'forbidden', detail: 'another tenant' }, { status: 403 });
    await expect(account.signIn('mei@demo.test', 'secret')).rejects.toThrow('another tenant');
    expect(account.state.kind).toBe('signed_out');
  });
});
