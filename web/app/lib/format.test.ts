import { describe, expect, it } from 'vitest';
import { momentIn } from './format';

describe('an appointment', () => {
  it('is told in the zone of whoever keeps it, by name', () => {
    expect(momentIn('America/New_York', '2026-11-30T16:00:00Z')).toMatch(/11:00.*\(America\/New York\)$/);
    expect(momentIn('Mars/Olympus', '2026-11-30T16:00:00Z')).toMatch(/0?4:00|16:00/);
    expect(momentIn('UTC', 'never')).toBe('–');
    expect(momentIn('UTC', '2026-11-30T16:00:00Z')).toMatch(/[^(]UTC$/);
  });
});
