import { describe, expect, it } from 'vitest';
import { INVITE_STATES, actionsOf, endOfDay, localInput, mailTrouble, momentIn, resendWord, standing } from './invites';

const attempts = { allowed: 1, used: 0, exhausted: false };

describe('an invite in the console', () => {
  it('has a word and a way on in each state', () => {
    for (const state of Object.keys(INVITE_STATES) as (keyof typeof INVITE_STATES)[]) {
      expect(INVITE_STATES[state].label).not.toBe('');
      expect(actionsOf({ state, attempts }).length).toBeGreaterThan(0);
    }
    expect(actionsOf({ state: 'finished', attempts })).toEqual(['reopen']);
    expect(actionsOf({ state: 'started', attempts })).not.toContain('extend');
  });

  it('that cannot be begun any more is not shown as opened, and can be opened again', () => {
    const invite = { state: 'opened', attempts: { ...attempts, exhausted: true } } as const;
    expect(standing(invite).label).toBe('Cannot be begun');
    expect(actionsOf(invite)).toEqual(['reopen', 'revoke']);
    expect(standing({ state: 'opened', attempts }).label).toBe('Opened');
  });

  it('is sent again only when it was sent', () => {
    expect(resendWord({ sent_at: null, mail: null })).toBe('Send by mail');
    expect(resendWord({ sent_at: null, mail: { state: 'bounced', failure: null } })).toBe('Send again');
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
    expect(momentIn('UTC', '2026-11-30T16:00:00Z')).toMatch(/[^(]UTC$/);
  });

  it('is written into an input by the wall clock of the device', () => {
    expect(localInput(new Date(2026, 0, 5, 9, 7))).toBe('2026-01-05T09:07');
    expect(localInput(endOfDay(7, new Date(2026, 11, 28, 23, 59)))).toBe('2027-01-04T18:00');
  });
});
