import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InterviewApi, type InterviewApiOptions } from './api';
import { ApiError, NetworkError } from './errors';

function setUp(accessToken?: InterviewApiOptions['accessToken'], statuses: number[] = []) {
  const sent: { url: string; token: string | null; body: unknown }[] = [];
  const api = new InterviewApi({
    ...(accessToken ? { accessToken } : {}),
    fetch: (async (input, init) => {
      sent.push({ url: String(input), token: new Headers(init?.headers).get('authorization'), body: init?.body });
      return Response.json({}, { status: statuses.shift() ?? 200 });
    }) as typeof fetch,
  });
  return { api, sent };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('InterviewApi and its token', () => {
  it('sends nothing that needs a token when nobody is signed in', async () => {
    const { api, sent } = setUp(() => null);
    for (const call of [api.me(), api.ticket('s1'), api.sessions(), api.transcriptFile('s1', 'vtt')]) {
      await expect(call).rejects.toMatchObject({ status: 401, code: 'signed_out', retryable: false });
    }
    await expect(api.events('s1').next()).rejects.toBeInstanceOf(ApiError);
    expect(sent).toEqual([]);
    await api.config();
    expect(sent).toMatchObject([{ url: '/api/config', token: null }]);
  });

  it('takes a token that cannot be had for a network error', async () => {
    const { api, sent } = setUp(() => Promise.reject(new Error('the auth server is away')));
    await expect(api.me()).rejects.toMatchObject({ name: 'NetworkError', kind: 'unreachable', retryable: true });
    expect(sent).toEqual([]);
  });

  it('does not wait for ever for one', async () => {
    const { api, sent } = setUp(() => new Promise(() => undefined));
    const asked = api.me().catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await asked).toBeInstanceOf(NetworkError);
    expect(sent).toEqual([]);
  });

  it('tries once more with another token after 401, and says what the second answer was', async () => {
    const tokens = (refused?: string) => (refused === 'old' ? 'new' : 'old');
    const good = setUp(tokens, [401, 200]);
    await good.api.ticket('s1', undefined, { left: ['vi1'] });
    expect(good.sent.map(({ token }) => token)).toEqual(['Bearer old', 'Bearer new']);
    expect(good.sent[1]?.body).toBe(good.sent[0]?.body);
    const bad = setUp(tokens, [401, 401]);
    await expect(bad.api.me()).rejects.toMatchObject({ status: 401 });
    expect(bad.sent).toHaveLength(2);
  });

  it('does not ask again with the same token', async () => {
    const { api, sent } = setUp(() => 'same', [401]);
    await expect(api.me()).rejects.toMatchObject({ status: 401, code: 'http_401' });
    expect(sent).toHaveLength(1);
  });

  it('leaves requests as they are when it was made without a source of tokens', async () => {
    const { api, sent } = setUp();
    await api.me();
    expect(sent).toMatchObject([{ url: '/api/me', token: null }]);
  });

  it('asks for the words of the browser when it is told to', async () => {
    const { api, sent } = setUp(() => 't');
    await api.transcript('s1', 'witness');
    await api.transcript('s1');
    expect(sent.map(({ url }) => url)).toEqual(['/api/sessions/s1/transcript?include=witness', '/api/sessions/s1/transcript']);
  });
});
