import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

/** A window's history, as far as a step through it goes. */
class FakeWindow extends EventTarget {
  entries: { hash: string; state: unknown }[] = [{ hash: '', state: null }];
  at = 0;
  location = {};
  history = {
    pushState: (state: unknown, _: string, url: string) => {
      this.entries = [...this.entries.slice(0, this.at + 1), { hash: `#${url.split('#')[1] ?? ''}`, state }];
      this.at += 1;
    },
    back: () => this.step(-1),
  };

  constructor() {
    super();
    const fake = this;
    Object.defineProperties(this.location, {
      hash: { get: () => fake.hash, set: (hash: string) => fake.follow(hash) },
      href: { get: () => `https://app.test/${fake.hash}` },
    });
    Object.defineProperty(this.history, 'state', { get: () => fake.entries[fake.at]?.state });
  }

  get hash(): string {
    return this.entries[this.at]?.hash ?? '';
  }

  /** A link or a typed address. */
  follow(hash: string): void {
    this.history.pushState(null, '', hash);
    this.dispatchEvent(new Event('popstate'));
    this.dispatchEvent(new Event('hashchange'));
  }

  step(by: number): void {
    const before = this.hash;
    this.at += by;
    this.dispatchEvent(new Event('popstate'));
    if (this.hash !== before) this.dispatchEvent(new Event('hashchange'));
  }
}

let page: FakeWindow;

async function setUp() {
  page = new FakeWindow();
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
  vi.stubGlobal('location', page.location);
  vi.stubGlobal('history', page.history);
  vi.stubGlobal('scrollTo', () => undefined);
  vi.resetModules();
  const { router } = await import('./router.svelte');
  page.follow('#/room/s1');
  let go: (() => void) | null = null;
  let asked = 0;
  const release = router.hold((leave) => {
    asked += 1;
    go = leave;
  });
  return { router, release, asked: () => asked, leave: () => go?.() };
}

beforeEach(() => {
  vi.unstubAllGlobals();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

describe('a page that asks before it is left', () => {
  it('stays after a step back, however often, and goes where the step led when told so', async () => {
    const { router, asked, leave } = await setUp();
    page.step(-1);
    expect([asked(), router.route.page, page.hash]).toEqual([1, 'room', '#/room/s1']);
    page.step(-1);
    page.step(-1);
    expect([asked(), router.route.page]).toEqual([3, 'room']);
    leave();
    expect([router.route.page, page.hash]).toEqual(['home', '#/']);
  });

  it('asks once about another address, and goes there', async () => {
    const { router, asked, leave } = await setUp();
    page.follow('#/console');
    expect([asked(), router.route.page, page.hash]).toEqual([1, 'room', '#/room/s1']);
    leave();
    expect(router.route.page).toBe('console');
  });

  it('asks nobody once it need not', async () => {
    const { router, release, asked } = await setUp();
    release();
    expect(page.history).toMatchObject({ state: null });
    page.step(-1);
    expect([asked(), router.route.page]).toEqual([0, 'home']);
  });
});

describe('an address', () => {
  it('that is broken leads nowhere, and breaks nothing', async () => {
    const { router, release } = await setUp();
    release();
    page.follow('#/room/%E0%A4%A');
    expect(router.route).toEqual({ page: 'room', sessionId: '%E0%A4%A' });
    page.follow('#/nowhere');
    expect(router.route.page).toBe('unknown');
  });
});
