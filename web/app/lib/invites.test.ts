import { describe, expect, it } from 'vitest';
import { INVITE_STATES, actionsOf, endOfDay, localInput, mailTrouble, momentIn } from './invites';

describe('an invite in the console', () => {
  it('has a word and a way on in each state', () => {
    for (const state of Object.keys(INVITE_STATES) as (keyof typeof INVITE_STATES)[]) {
      expect(INVITE_STATES[state].label).not.toBe('');
      expect(actionsOf(state).length).toBeGreaterThan(0);
    }
    expect(actionsOf('finished')).toEqual(['reopen']);
    expect(actionsOf('started')).not.toContain('extend');
  });

  it('tells of a mail only what a person has to do', () => {
    expect(mailTrouble({ mail: null })).toBeNull();
    expect(mailTrouble({ mail: { state: 'sent', failure: null } })).toBeNull();
    expect(mailTrouble({ mail: { state: 'failed', failure: 'replaced' } })).toBeNull();
    expect(mailTrouble({ mail: { state: 'bounced', failure: 'mail_bounced: 550' } })).toContain('does not exist');
  });

  it('is told in the zone of the candidate, by name', () => {
    expect(momentIn('America/New_York', '2026-11-30T16:00:00Z')).toMatch(/11:00.*\(America\/New York\)$/);
    expect(momentIn('Mars/Olympus', '2026-11-30T16:00:00Z')).toMatch(/0?4:00|16:00/);
    expect(momentIn('UTC', 'never')).toBe('–');
  });

  it('is written into an input by the wall clock of the device', () => {
    expect(localInput(new Date(2026, 0, 5, 9, 7))).toBe('2026-01-05T09:07');
    expect(localInput(endOfDay(7, new Date(2026, 11, 28, 23, 59)))).toBe('2027-01-04T18:00');
  });
});
