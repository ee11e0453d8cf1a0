import { isAuthApiError, isAuthSessionMissingError, type AuthClient, type Session } from '@supabase/supabase-js';

type Auth = Pick<InstanceType<typeof AuthClient>, 'getSession' | 'refreshSession' | 'onAuthStateChange'>;

/** A token that runs out within this time may have run out when it arrives. */
const ARRIVAL_MS = 5_000;
/** From here on a renewal is begun; a hidden page has no clock of its own that would do it. */
const RENEW_BEFORE_MS = 90_000;
/** A server that refuses a token this new would refuse the next one as well. */
const NEW_MS = 30_000;

/** The access token of whoever is signed in. */
export class Tokens {
  readonly #auth: Auth;
  #session: Session | null = null;
  #goodUntil = 0;
  #renewedAt = -Infinity;

  constructor(auth: Auth) {
    this.#auth = auth;
    auth.onAuthStateChange((event, session) => {
      this.#session = session;
      // A token that has just come is new, whatever a clock that is fast says of it.
      this.#goodUntil =
        event === 'TOKEN_REFRESHED' && session
          ? Date.now() + session.expires_in * 1000
          : (session?.expires_at ?? Infinity) * 1000;
    });
  }

  /**
   * A token that can be used now; `null` when nobody is signed in. Rejects, or does not settle, while it cannot be
   * renewed: that is no reason to sign in again. `refused`: the token that a server has just refused.
   */
  async current(refused?: string): Promise<string | null> {
    const known = this.#session;
    if (known && known.access_token !== refused) {
      const left = this.#goodUntil - Date.now();
      if (left < RENEW_BEFORE_MS) void this.#auth.getSession().catch(() => undefined);
      if (left > ARRIVAL_MS) return known.access_token;
    }
    if (refused === undefined) return this.#tokenOf(await this.#auth.getSession());
    if (Date.now() - this.#renewedAt < NEW_MS) return refused;
    const renewed = this.#tokenOf(await this.#auth.refreshSession());
    this.#renewedAt = Date.now();
    return renewed;
  }

  #tokenOf({ data, error }: { data: { session: Session | null }; error: unknown }): string | null {
    if (data.session) return data.session.access_token;
    if (error && !isAuthApiError(error) && !isAuthSessionMissingError(error)) throw error;
    return null;
  }
}
