import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { limitedBy } from './signals';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

/** How many listeners a signal has at the moment. */
function counted(controller: AbortController) {
  const { signal } = controller;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = ((...args: Parameters<typeof add>) => {
    listeners += 1;
    add(...args);
  }) as typeof signal.addEventListener;
  signal.removeEventListener = ((...args: Parameters<typeof remove>) => {
    listeners -= 1;
    remove(...args);
  }) as typeof signal.removeEventListener;
  return () => listeners;
}

describe('a limited signal', () => {
  it('needs neither AbortSignal.any nor AbortSignal.timeout', () => {
    vi.stubGlobal('AbortSignal', class {});
    try {
      const limit = limitedBy([], 50);
      vi.advanceTimersByTime(50);
      expect(limit.signal.aborted).toBe(true);
      expect(limit.signal.reason).toMatchObject({ name: 'TimeoutError' });
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('is aborted by whichever comes first, with its reason', () => {
    const [one, other] = [new AbortController(), new AbortController()];
    const limit = limitedBy([one.signal, null, undefined, other.signal], 1_000);
    expect(limit.signal.aborted).toBe(false);
    other.abort('enough');
    expect(limit.signal.reason).toBe('enough');
    one.abort('later');
    expect(limit.signal.reason).toBe('enough');
  });

  it('is aborted at once by a signal that is aborted already', () => {
    const gone = new AbortController();
    gone.abort('gone');
    expect(limitedBy([gone.signal], 1_000).signal.reason).toBe('gone');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('leaves nothing behind on a signal that lives on', () => {
    const long = new AbortController();
    const listeners = counted(long);
    const limit = limitedBy([long.signal], 1_000);
    expect(listeners()).toBe(1);
    limit.release();
    expect(listeners()).toBe(0);
    vi.advanceTimersByTime(5_000);
    long.abort();
    expect(limit.signal.aborted).toBe(false);
    const timed = limitedBy([new AbortController().signal, long.signal], 10);
    expect(timed.signal.aborted).toBe(true);
  });
});
