/** Hash routing: the server needs to know nothing about the app's pages. */
export type Route =
  | { page: 'home' }
  | { page: 'room'; sessionId: string }
  | { page: 'console' }
  | { page: 'detail'; sessionId: string }
  | { page: 'unknown' };

export function parseRoute(hash: string): Route {
  const parts = hash.replace(/^#\/?/, '').split('?')[0]?.split('/').filter(Boolean) ?? [];
  const [first, second, third] = parts;
  if (first === undefined) return { page: 'home' };
  if (first === 'room' && second && !third) return { page: 'room', sessionId: decodeURIComponent(second) };
  if (first === 'console' && !second) return { page: 'console' };
  if (first === 'console' && second === 'sessions' && third) {
    return { page: 'detail', sessionId: decodeURIComponent(third) };
  }
  return { page: 'unknown' };
}

export const roomPath = (sessionId: string) => `#/room/${encodeURIComponent(sessionId)}`;
export const detailPath = (sessionId: string) => `#/console/sessions/${encodeURIComponent(sessionId)}`;

/** The link a recruiter sends to a candidate. */
export function joinLink(sessionId: string): string {
  return `${location.origin}/${roomPath(sessionId)}`;
}

class Router {
  route = $state<Route>(parseRoute(location.hash));

  constructor() {
    addEventListener('hashchange', () => {
      this.route = parseRoute(location.hash);
      scrollTo(0, 0);
    });
  }

  go(path: string): void {
    location.hash = path;
  }
}

export const router = new Router();
