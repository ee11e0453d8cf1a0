import { describe, expect, it } from 'vitest';
import { PageFault, describe as words, isProgramError, supportCode } from './fault';
import { InterviewApi, parseSessionEvent } from './http/api';
import { ApiError, NetworkError, isRetryable } from './http/errors';

const json = (body: unknown) => new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json' } });

describe('a fault of the page', () => {
  it('is told from the network and from the server', () => {
    expect(isProgramError(new TypeError('x is not a function'))).toBe(true);
    expect(isProgramError(new ReferenceError('x'))).toBe(true);
    expect(isProgramError(new NetworkError('unreachable', new TypeError('Failed to fetch')))).toBe(false);
    expect(isProgramError(new DOMException('no', 'NotAllowedError'))).toBe(false);
    expect(isRetryable(new PageFault(new TypeError('x')))).toBe(false);
  });

  it('has a code that is the same for the same fault, and another one for another', () => {
    const any = new PageFault(new TypeError('AbortSignal.any is not a function'));
    expect(any.message).toBe('TypeError: AbortSignal.any is not a function');
    expect(any.code).toMatch(/^page-[0-9a-z]{6}$/);
    expect(supportCode(any.message)).toBe(any.code);
    expect(new PageFault(any).code).toBe(any.code);
    expect(supportCode('TypeError: other')).not.toBe(any.code);
    expect(words('just words')).toBe('just words');
  });

  it('in getting a token is not taken for an outage; a failed fetch is', async () => {
    const broken = new InterviewApi({
      accessToken: () => {
        throw new TypeError('tokens.current is not a function');
      },
      fetch: (async () => json({})) as typeof fetch,
    });
    await expect(broken.me()).rejects.toBeInstanceOf(PageFault);
    const away = new InterviewApi({
      fetch: (async () => {
        throw new TypeError('Failed to fetch');
      }) as typeof fetch,
    });
    await expect(away.me()).rejects.toBeInstanceOf(NetworkError);
  });

  it('of a listener ends the following of an interview, and is not a broken stream', async () => {
    let opened = 0;
    const api = new InterviewApi({
      fetch: (async () => {
        opened += 1;
        return new Response('event: session\ndata: {"session_id":"s1"}\n\n');
      }) as typeof fetch,
    });
    expect(parseSessionEvent('session', '{}')).not.toBeNull();
    const onEvent = () => {
      throw new TypeError('undefined is not an object');
    };
    await expect(api.observe('s1', { onEvent }, new AbortController().signal)).rejects.toBeInstanceOf(PageFault);
    expect(opened).toBe(1);
  });

  it('says when a token is refused for good, also a new one', async () => {
    let told = 0;
    const api = new InterviewApi({
      accessToken: (refused) => (refused ? 'second' : 'first'),
      onUnauthorized: () => (told += 1),
      fetch: (async () => new Response('{}', { status: 401 })) as typeof fetch,
    });
    await expect(api.me()).rejects.toBeInstanceOf(ApiError);
    expect(told).toBe(1);
  });
});
