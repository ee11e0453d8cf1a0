import { AuthClient } from '@supabase/supabase-js';
import { ApiError, Backoff, DirectoryApi, InterviewApi, PlansApi, isRetryable, sleep, type ClientConfig, type Me } from '../../sdk';
import { AuthFetch } from './auth_fetch';
import { explain } from './explain';
import type { Guest } from './guest';
import { Tokens } from './tokens';

export interface SandboxInfo {
  notice: string;
  sign_ins: { email: string; password: string; role: string; name: string }[];
}

export type AccountState =
  | { kind: 'loading' }
  /** `retrying`: it may pass, and is waited for. Otherwise the page itself, or what it was told, is at fault. */
  | { kind: 'unavailable'; message: string; retrying: boolean }
  | { kind: 'signed_out' }
  | { kind: 'signed_in'; me: Me };

type Auth = InstanceType<typeof AuthClient>;

/** Who is using the page, and the clients that act in their name. */
class Account {
  state = $state<AccountState>({ kind: 'loading' });
  config = $state<ClientConfig | null>(null);
  sandbox = $state<SandboxInfo | null>(null);
  /** Signed out without having wished so: the page stays as it is until someone signs in again. */
  lapsed = $state(false);
  /** Came by the link of an invite: as long as this is set, everything is asked for in their name. */
  guest = $state.raw<Guest | null>(null);
  readonly api = new InterviewApi({
    accessToken: (refused) => this.#accessToken(refused),
    onUnauthorized: () => this.#lapse(),
  });
  readonly directory = new DirectoryApi(this.api);
  readonly plans = new PlansApi(this.api);
  #client: { auth: Auth; tokens: Tokens; network: AuthFetch } | null = null;
  #trying = new AbortController();
  readonly #tokenListeners = new Set<(token: string) => void>();

  /** Goes on until the service answers: who reloads in an outage comes back without doing anything. */
  async start(): Promise<void> {
    this.#trying.abort();
    const trying = new AbortController();
    this.#trying = trying;
    this.state = { kind: 'loading' };
    const backoff = new Backoff({ baseMs: 1_000, capMs: 10_000 });
    while (!trying.signal.aborted) {
      try {
        await this.#open();
        await this.#identify();
        return;
      } catch (error) {
        if (trying.signal.aborted) return;
        if (isRefusal(error)) return;
        const retrying = isRetryable(error);
        this.state = { kind: 'unavailable', message: explain(error), retrying };
        if (!retrying) return;
      }
      await sleep(backoff.next(), trying.signal).catch(() => undefined);
    }
  }

  async signIn(email: string, password: string): Promise<void> {
    const { error } = await this.#auth.signInWithPassword({ email, password });
    if (error) throw error;
    await this.#enter();
  }

  /** Sends a six-digit code. A code, not a link: mail scanners open links and so use them up. */
  async sendCode(email: string): Promise<void> {
    const { error } = await this.#auth.signInWithOtp({ email, options: { shouldCreateUser: false } });
    if (error) throw error;
  }

  async verifyCode(email: string, token: string): Promise<void> {
    const { error } = await this.#auth.verifyOtp({ email, token, type: 'email' });
    if (error) throw error;
    await this.#enter();
  }

  async signOut(): Promise<void> {
    this.#trying.abort();
    // Before the library tells of it: this one was wished for.
    this.state = { kind: 'signed_out' };
    this.lapsed = false;
    await this.#client?.network.leave(() => this.#auth.signOut({ scope: 'local' }));
  }

  onToken(listener: (token: string) => void): () => void {
    this.#tokenListeners.add(listener);
    return () => this.#tokenListeners.delete(listener);
  }

  get #auth(): Auth {
    if (!this.#client) throw new Error('the account is not started');
    return this.#client.auth;
  }

  async #accessToken(refused?: string): Promise<string | null> {
    if (this.guest) return this.guest.token(refused);
    const token = (await this.#client?.tokens.current(refused)) ?? null;
    if (token === null) this.#lapse();
    return token;
  }

  /** Where somebody was at work, what they see stays; they sign in again over it. */
  #lapse(): void {
    if (this.state.kind === 'signed_in' && !this.guest) this.lapsed = true;
  }

  async #open(): Promise<void> {
    if (this.#client) return;
    this.config = await this.api.config();
    if (this.config.sandbox) void this.#loadSandbox();
    const { url, publishable_key: key } = this.config.supabase;
    const network = new AuthFetch();
    const auth = new AuthClient({
      url: new URL('auth/v1', url.endsWith('/') ? url : `${url}/`).href,
      // The library replaces this very name by the session's token.
      headers: { apikey: key, Authorization: `Bearer ${key}` },
      storageKey: 'interview-account',
      flowType: 'pkce',
      fetch: network.fetch,
    });
    auth.onAuthStateChange((event, session) => {
      if (event === 'TOKEN_REFRESHED' && session) {
        for (const listener of this.#tokenListeners) listener(session.access_token);
      }
      if (event !== 'SIGNED_OUT') return;
      if (this.state.kind === 'signed_in') this.#lapse();
      else this.state = { kind: 'signed_out' };
    });
    this.#client = { auth, tokens: new Tokens(auth), network };
  }

  /** After signing in: a refusal is for the form, an outage is waited for. */
  async #enter(): Promise<void> {
    try {
      await this.#identify();
    } catch (error) {
      // Over a page that is open, and may be in a call, everything is for the form: starting anew would close it.
      if (isRefusal(error) || this.lapsed) throw error;
      await this.start();
    }
  }

  async #identify(): Promise<void> {
    try {
      this.state = { kind: 'signed_in', me: await this.api.me() };
      this.lapsed = false;
    } catch (error) {
      if (error instanceof ApiError && error.code === 'signed_out' && !this.lapsed) {
        this.state = { kind: 'signed_out' };
        return;
      }
      if (isRefusal(error) && !this.lapsed) await this.signOut();
      throw error;
    }
  }

  async #loadSandbox(): Promise<void> {
    try {
      const response = await fetch('/sandbox/info');
      if (response.ok) this.sandbox = (await response.json()) as SandboxInfo;
    } catch {
      // Only the shortcuts are missing then; signing in by hand still works.
    }
  }
}

/** The service knows who this is, and does not let them in. */
function isRefusal(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 401 || error.status === 403);
}

export const account = new Account();
