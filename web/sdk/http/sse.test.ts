import { describe, expect, it } from 'vitest';
import { InterviewApi, parseSessionEvent } from './api';
import { ApiError, NetworkError } from './errors';
import { readSse } from './sse';

function streamOf(...chunks: (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) {
        controller.enqueue(typeof chunk === 'string' ? encoder.encode(chunk) : chunk);
      }
      controller.close();
    },
  });
}

async function collect(stream: ReadableStream<Uint8Array>) {
  const messages = [];
  for await (const message of readSse(stream)) messages.push(message);
  return messages;
}

describe('readSse', () => {
  it('reads events across chunk borders and skips comments', async () => {
    const messages = await collect(
      streamOf(': keep-alive\n\nevent: sess', 'ion\ndata: {"a":', '1}\n\n', 'data: plain\r\n\r\n'),
    );
    expect(messages).toEqual([
      { event: 'session', data: '{"a":1}' },
      { event: 'message', data: 'plain' },
    ]);
  });

  it('keeps letters together that a chunk border cuts', async () => {
    const bytes = new TextEncoder().encode('data: größer\n\n');
    const cut = bytes.indexOf(0xc3) + 1;
    expect(await collect(streamOf(bytes.slice(0, cut), bytes.slice(cut)))).toEqual([
      { event: 'message', data: 'größer' },
    ]);
  });

  it('gives up a stream that shows no sign of life', async () => {
    const silent = new ReadableStream<Uint8Array>({});
    await expect(readSse(silent, 20).next()).rejects.toThrow('sign of life');
  });
});

describe('parseSessionEvent', () => {
  it('skips what it does not know', () => {
    expect(parseSessionEvent('something_new', '{}')).toBeNull();
    expect(parseSessionEvent('session', 'no json')).toBeNull();
    expect(parseSessionEvent('transcript_entry', '{"seq":1}')).toEqual({
      type: 'transcript_entry',
      entry: { seq: 1 },
    });
  });
});

describe('InterviewApi', () => {
  const apiWith = (respond: (url: string, init: RequestInit) => Promise<Response>) =>
    new InterviewApi({
      baseUrl: 'https://example.test/',
      accessToken: () => 'token-1',
      fetch: ((url: string, init: RequestInit) => respond(url, init)) as unknown as typeof fetch,
      timeoutMs: 50,
    });

  it('turns a problem document into a typed error', async () => {
    const api = apiWith(async () =>
      Response.json(
        { type: 'about:blank', title: 'Too many', status: 429, code: 'rate_limited', detail: 'slow down', request_id: 'r1' },
        { status: 429, headers: { 'content-type': 'application/problem+json', 'retry-after': '2' } },
      ),
    );
    const error = await api.me().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ code: 'rate_limited', requestId: 'r1', retryAfterMs: 2_000, retryable: true });
  });

  it('gives a typed error for a page of HTML too', async () => {
    const api = apiWith(async () => new Response('<h1>Bad gateway</h1>', { status: 502 }));
    await expect(api.me()).rejects.toMatchObject({ code: 'http_502', retryable: true });
  });

  it('sends the token and the idempotency key', async () => {
    let seen: { url: string; headers: Headers } | null = null;
    const api = apiWith(async (url, init) => {
      seen = { url, headers: new Headers(init.headers) };
      return Response.json({}, { status: 201 });
    });
    await api.createSession({ candidate_id: 'c', position_id: 'p', settings: {} }, 'key-1');
    expect(seen!.url).toBe('https://example.test/api/sessions');
    expect(seen!.headers.get('authorization')).toBe('Bearer token-1');
    expect(seen!.headers.get('idempotency-key')).toBe('key-1');
  });

  it('has a deadline', async () => {
    const api = apiWith(
      (_url, init) =>
        new Promise((_, reject) => {
          init.signal?.addEventListener('abort', () => reject(init.signal?.reason as Error));
        }),
    );
    const error = await api.me().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NetworkError);
    expect(error).toMatchObject({ kind: 'timeout' });
  });
});
