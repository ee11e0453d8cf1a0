import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import { ApiError, InterviewApi, type ClientConfig, type Me } from '../../sdk';
import { explain } from './explain';

export interface SandboxInfo {
  notice: string;
  sign_ins: { email: string; password: string; role: string; name: string }[];
}

export type AccountState =
  | { kind: 'loading' }
  | { kind: 'unavailable'; message: string }
  | { kind: 'signed_out' }
  | { kind: 'signed_in'; me: Me };

/** Who is using the page, and the clients that act in their name. */
class Account {
  state = $state<AccountState>({ kind: 'loading' });
  config = $state<ClientConfig | null>(null);
  sandbox = $state<SandboxInfo | null>(null);
  readonly api = new InterviewApi({ accessToken: () => this.#accessToken() });
  #supabase: SupabaseClient | null = null;
  readonly #tokenListeners = new Set<(token: string) => void>();

  async start(): Promise<void> {
    this.state = { kind: 'loading' };
    try {
      this.config = await this.api.config();
    } catch (error) {
      this.state = { kind: 'unavailable', message: explain(error) };
      return;
    }
    if (this.config.sandbox) void this.#loadSandbox();
    const { url, publishable_key: key } = this.config.supabase;
    this.#supabase = createClient(url, key, {
      auth: { flowType: 'pkce', storageKey: 'interview-account' },
    });
    this.#supabase.auth.onAuthStateChange((event, session) => {
      if (event === 'TOKEN_REFRESHED' && session) {
        for (const listener of this.#tokenListeners) listener(session.access_token);
      }
      if (event === 'SIGNED_OUT') this.state = { kind: 'signed_out' };
    });
    await this.#identify();
  }

  async signIn(email: string, password: string): Promise<void> {
    const { error } = await this.#auth.signInWithPassword({ email, password });
    if (error) throw error;
    await this.#identify();
  }

  /** Sends a six-digit code. A code, not a link: mail scanners open links and so use them up. */
  async sendCode(email: string): Promise<void> {
    const { error } = await this.#auth.signInWithOtp({ email, options: { shouldCreateUser: false } });
    if (error) throw error;
  }

  async verifyCode(email: string, token: string): Promise<void> {
    const { error } = await this.#auth.verifyOtp({ email, token, type: 'email' });
    if (error) throw error;
    await this.#identify();
  }

  async signOut(): Promise<void> {
    await this.#auth.signOut({ scope: 'local' });
    this.state = { kind: 'signed_out' };
  }

  onToken(listener: (token: string) => void): () => void {
    this.#tokenListeners.add(listener);
    return () => this.#tokenListeners.delete(listener);
  }

  get #auth(): SupabaseClient['auth'] {
    if (!this.#supabase) throw new Error('the account is not started');
    return this.#supabase.auth;
  }

  async #accessToken(): Promise<string | null> {
    if (!this.#supabase) return null;
    const { data } = await this.#supabase.auth.getSession();
    return data.session?.access_token ?? null;
  }

  async #identify(): Promise<void> {
    if ((await this.#accessToken()) === null) {
      this.state = { kind: 'signed_out' };
      return;
    }
    try {
      this.state = { kind: 'signed_in', me: await this.api.me() };
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        await this.signOut();
        throw error;
      }
      this.state = { kind: 'unavailable', message: explain(error) };
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

export const account = new Account();
