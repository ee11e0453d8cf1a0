import { describe, expect, it } from 'vitest';
import { INVITE_STATES, actionsOf, endOfDay, localInput, mailTrouble, resendWord } from './invites';

describe('an invite in the console', () => {
  it('has a word and a way on in each state', () => {
    for (const state of Object.keys(INVITE_STATES) as (keyof typeof INVITE_STATES)[]) {
      expect(INVITE_STATES[state].label).not.toBe('');
      expect(actionsOf({ state }).length).toBeGreaterThan(0);
    }
    expect(actionsOf({ state: 'finished' })).toEqual(['reopen']);
    expect(actionsOf({ state: 'exhausted' })).toEqual(['reopen', 'revoke']);
    expect(actionsOf({ state: 'started' })).not.toContain('extend');
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

  it('is written into an input by the wall clock of the device', () => {
    expect(localInput(new Date(2026, 0, 5, 9, 7))).toBe('2026-01-05T09:07');
    expect(localInput(endOfDay(7, new Date(2026, 11, 28, 23, 59)))).toBe('2027-01-04T18:00');
  });
});
