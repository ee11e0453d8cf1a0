import { Backoff, limitedBy, retryAfter, sleep } from '../../sdk';

const DEADLINE_MS = 10_000;
/** A server that asks for more patience than this is asked all the same. */
const LONGEST_PAUSE_MS = 30_000;

/** Says that the refresh token itself is no good, whatever the status. */
const REFUSED = /^(invalid_grant|refresh_token_|session_(not_found|expired)|user_(not_found|banned))/;
/** Says that the very same question may be answered a little later. */
const PASSING = /rate_limit|timeout|unavailable|server_error|unexpected_failure|conflict/;

/**
 * How the sign-in library reaches the auth server. The library ends the session on any answer to a renewal that
 * it does not understand, waits for ever for one that does not come, and after a failure does not ask again for a
 * minute. So a renewal is not answered here before the auth server has given new tokens, or has refused the
 * refresh token itself. Everything else (no answer, 5xx, 429, a proxy's page) is waited out.
 */
export class AuthFetch {
  readonly #fetch: typeof fetch;
  readonly #random: () => number;
  #leaving = false;
  #wake = new AbortController();

  constructor(send: typeof fetch = globalThis.fetch.bind(globalThis), random = Math.random) {
    this.#fetch = send;
    this.#random = random;
    globalThis.addEventListener?.('online', () => this.#wakeUp());
  }

  readonly fetch: typeof fetch = (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    return url.includes('grant_type=refresh_token') ? this.#renew(input, init) : this.#once(input, init);
  };

  /** Runs `task` (signing out) without waiting for a renewal, which nobody needs any more. */
  async leave(task: () => Promise<unknown>): Promise<void> {
    this.#leaving = true;
    this.#wakeUp();
    try {
      await task();
    } finally {
      this.#leaving = false;
    }
  }

  async #renew(input: RequestInfo | URL, init: RequestInit | undefined): Promise<Response> {
    const backoff = new Backoff({ baseMs: 500, capMs: 8_000, random: this.#random });
    for (;;) {
      if (this.#leaving) return new Response('{"error_code":"refresh_token_not_found"}', { status: 400 });
      const wake = this.#wake.signal;
      let pause = backoff.next();
      try {
        const answer = await this.#once(input, init, wake);
        if (await isFinal(answer.clone())) return answer;
        pause = Math.max(pause, Math.min(retryAfter(answer.headers.get('retry-after')) ?? 0, LONGEST_PAUSE_MS));
      } catch {
        // No answer at all.
      }
      await sleep(pause, wake).catch(() => undefined);
    }
  }

  /** One try, within a deadline from sending to the last byte. */
  async #once(input: RequestInfo | URL, init: RequestInit | undefined, wake?: AbortSignal): Promise<Response> {
    const limit = limitedBy([wake, init?.signal], DEADLINE_MS);
    try {
      const response = await this.#fetch(input, { ...init, signal: limit.signal });
      // A body of nothing is no body: some statuses may not have one.
      const body = (await response.text()) || null;
      const { status, statusText, headers } = response;
      return new Response(body, { status, statusText, headers });
    } finally {
      limit.release();
    }
  }

  #wakeUp(): void {
    const asleep = this.#wake;
    this.#wake = new AbortController();
    asleep.abort();
  }
}

/** Whether the auth server has given new tokens, or will never give any for this refresh token. */
async function isFinal(answer: Response): Promise<boolean> {
  let body: unknown;
  try {
    body = JSON.parse(await answer.text());
  } catch {
    return false;
  }
  if (typeof body !== 'object' || body === null) return false;
  const fields = body as Record<string, unknown>;
  if (answer.ok) return ['access_token', 'refresh_token', 'expires_in'].every((name) => Boolean(fields[name]));
  return isRefusal(answer.status, fields);
}

function isRefusal(status: number, fields: Record<string, unknown>): boolean {
  if (status < 400 || status >= 500 || status === 408 || status === 429) return false;
  const code = [fields['error_code'], fields['error'], fields['code']].find((each) => typeof each === 'string') ?? '';
  if (PASSING.test(code as string)) return false;
  return REFUSED.test(code as string) || status === 400 || status === 401 || status === 403;
}
