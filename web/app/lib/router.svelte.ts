/** Hash routing: the server needs to know nothing about the app's pages. */
export type Route =
  | { page: 'home' }
  | { page: 'room'; sessionId: string }
  | { page: 'console' }
  | { page: 'detail'; sessionId: string }
  | { page: 'invites' }
  /** The secret stands behind the `#`, where no server sees it. */
  | { page: 'invite'; secret: string }
  | { page: DirectoryPage; id: string | null }
  | { page: 'plans'; id: string | null }
  | { page: 'import' }
  | { page: 'inviteMany' }
  | { page: 'unknown' };

/** A list where `id` is null, a form otherwise; `new` is an empty one. */
export type DirectoryPage = 'candidates' | 'positions' | 'competencies';

const isDirectory = (name: string | undefined): name is DirectoryPage =>
  name === 'candidates' || name === 'positions' || name === 'competencies';

export function parseRoute(hash: string): Route {
  const parts = hash.replace(/^#\/?/, '').split('?')[0]?.split('/').filter(Boolean) ?? [];
  const [first, second, third] = parts;
  if (first === undefined) return { page: 'home' };
  if (first === 'room' && second && !third) return { page: 'room', sessionId: decode(second) };
  if (first === 'console' && !second) return { page: 'console' };
  if (first === 'console' && second === 'sessions' && third) return { page: 'detail', sessionId: decode(third) };
  if (first === 'console' && second === 'invites' && third === 'many') return { page: 'inviteMany' };
  if (first === 'console' && second === 'invites' && !third) return { page: 'invites' };
  if (first === 'i' && second && !third) return { page: 'invite', secret: decode(second) };
  if (first === 'console' && second === 'candidates' && third === 'import') return { page: 'import' };
  if (first === 'console' && second === 'plans') return { page: 'plans', id: third === undefined ? null : decode(third) };
  if (first === 'console' && isDirectory(second)) return { page: second, id: third === undefined ? null : decode(third) };
  return { page: 'unknown' };
}

/** A broken escape is an address like any other: it leads nowhere. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const invitesPath = '#/console/invites';
export const INVITE_MANY_PATH = `${invitesPath}/many`;
export const roomPath = (sessionId: string) => `#/room/${encodeURIComponent(sessionId)}`;
export const detailPath = (sessionId: string) => `#/console/sessions/${encodeURIComponent(sessionId)}`;

export const directoryPath = (page: DirectoryPage, id?: string) =>
  `#/console/${page}${id === undefined ? '' : `/${encodeURIComponent(id)}`}`;
export const PLANS_PATH = '#/console/plans';
export const planPath = (id: string) => `${PLANS_PATH}/${encodeURIComponent(id)}`;
export const IMPORT_PATH = '#/console/candidates/import';

/** The link a recruiter sends to a candidate. */
export function joinLink(sessionId: string): string {
  return `${location.origin}/${roomPath(sessionId)}`;
}

/** Asks whether to leave; `go` leaves. */
export type AskToLeave = (go: () => void) => void;

interface Guard {
  hash: string;
  ask: AskToLeave;
}

/** Marks the entry of the history that a step back from a guarded page falls on. */
const HELD = 'held';

class Router {
  route = $state<Route>(parseRoute(location.hash));
  #guard: Guard | null = null;

  constructor() {
    addEventListener('popstate', () => this.#onStep());
    addEventListener('hashchange', () => {
      // Already answered as a step through the history; a link or a typed address is not.
      if (this.#guard && location.hash === this.#guard.hash) return;
      this.#onStep();
    });
  }

  go(path: string): void {
    location.hash = path;
  }

  /** Goes there without asking: what the page was kept for is done. */
  leave(path: string): void {
    this.#guard = null;
    this.go(path);
  }

  /**
   * Keeps this page until `ask` lets go of it: a step back, a gesture, another address. Staying is what happens
   * when nobody answers. Returns how to stop it.
   */
  hold(ask: AskToLeave): () => void {
    const guard = { hash: location.hash, ask };
    this.#guard = guard;
    // A step back then stays within the document also when the page was opened by its link.
    history.pushState(HELD, '', location.href);
    return () => {
      if (this.#guard !== guard) return;
      this.#guard = null;
      if (history.state === HELD) history.back();
    };
  }

  #onStep(): void {
    const guard = this.#guard;
    if (!guard) {
      const route = parseRoute(location.hash);
      if (JSON.stringify(route) !== JSON.stringify(this.route)) {
        this.route = route;
        scrollTo(0, 0);
      }
      return;
    }
    const target = location.hash === guard.hash ? '#/' : location.hash || '#/';
    history.pushState(HELD, '', guard.hash || '#/');
    guard.ask(() => {
      this.#guard = null;
      this.go(target);
    });
  }
}

export const router = new Router();
