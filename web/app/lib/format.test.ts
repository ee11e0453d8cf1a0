import { describe, expect, it } from 'vitest';
import { momentIn, outcome } from './format';

describe('an appointment', () => {
  it('is told in the zone of whoever keeps it, by name', () => {
    expect(momentIn('America/New_York', '2026-11-30T16:00:00Z')).toMatch(/11:00.*\(America\/New York\)$/);
    expect(momentIn('Mars/Olympus', '2026-11-30T16:00:00Z')).toMatch(/0?4:00|16:00/);
    expect(momentIn('UTC', 'never')).toBe('–');
    expect(momentIn('UTC', '2026-11-30T16:00:00Z')).toMatch(/[^(]UTC$/);
  });
});

describe('an interview that nobody came to', () => {
  const absent = { phase: 'completed', end_reason: 'candidate_absent' } as const;

  it('is an invitation that has expired, or one of several that an invite allows', () => {
    expect(outcome({ ...absent, invite: null }).label).toBe('Expired');
    expect(outcome({ ...absent, invite: { invite_id: 'i', closes_at: '2026-12-06T18:00:00Z' } }).label).toBe('Not begun');
    expect(outcome({ ...absent, end_reason: 'candidate_left', invite: null }).label).toBe('Completed');
  });
});
