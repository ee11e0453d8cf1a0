import { describe, expect, it } from 'vitest';
import { Backoff } from './backoff';

describe('Backoff', () => {
  it('stays between half of the ceiling and the ceiling, and below the cap', () => {
    for (const random of [() => 0, () => 0.5, () => 0.999_999]) {
      const backoff = new Backoff({ baseMs: 500, capMs: 15_000, random });
      for (let attempt = 0; attempt < 60; attempt += 1) {
        const ceiling = Math.min(15_000, 500 * 2 ** attempt);
        const delay = backoff.next();
        expect(delay).toBeGreaterThanOrEqual(ceiling / 2);
        expect(delay).toBeLessThanOrEqual(ceiling);
      }
    }
  });

  it('spreads clients that lost the same machine', () => {
    const delays = Array.from({ length: 200 }, () => new Backoff({ baseMs: 1_000, capMs: 9_000 }).next());
    expect(new Set(delays.map((delay) => Math.round(delay / 50))).size).toBeGreaterThan(5);
  });

  it('starts over after a reset', () => {
    const backoff = new Backoff({ baseMs: 100, capMs: 10_000, random: () => 1 });
    backoff.next();
    backoff.next();
    backoff.reset();
    expect(backoff.next()).toBe(100);
    expect(backoff.attempt).toBe(1);
  });
});
