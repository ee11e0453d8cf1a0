import type { InterviewApi, StartedInvite } from '../../sdk';

const RENEW_MS = 120_000;

/** A candidate who came by the link of an invite: a token in place of an account, renewed while the page lives. */
export class Guest {
  readonly sessionId: string;
  readonly #api: InterviewApi;
  readonly #secret: string;
  #token: string;
  #again: Promise<string> | null = null;

  constructor(api: InterviewApi, secret: string, started: StartedInvite) {
    this.#api = api;
    this.#secret = secret;
    this.sessionId = started.session_id;
    this.#token = started.token;
  }

  /** `refused`: it has expired while the page slept. The link gives another one, once for all who ask. */
  async token(refused?: string): Promise<string> {
    if (refused !== this.#token) return this.#token;
    this.#again ??= this.#startAgain().finally(() => (this.#again = null));
    return this.#again;
  }

  /** Renews until the returned function is called. */
  keepAlive(): () => void {
    const timer = setInterval(() => void this.#api.renewInviteToken().catch(() => undefined), RENEW_MS);
    return () => clearInterval(timer);
  }

  async #startAgain(): Promise<string> {
    const started = await this.#api.startInvite(this.#secret);
    // Of another interview it would be of no use here: the page opens that one from the link.
    if (started.session_id === this.sessionId) this.#token = started.token;
    return this.#token;
  }
}
