import { describe, expect, it } from 'vitest';
import { closeAction, stopReason } from './close_codes';

describe('close codes', () => {
  it.each([
    [1000, 'stop', 'done'],
    [1008, 'stop', 'policy'],
    [1009, 'stop', 'too_big'],
    [4001, 'stop', 'superseded'],
    [4008, 'stop', 'consent_refused'],
    [4010, 'stop', 'session_over'],
    [4999, 'stop', 'refused'],
  ])('%i stops (%s, %s)', (code, action, reason) => {
    expect(closeAction(code)).toBe(action);
    expect(stopReason(code)).toBe(reason);
  });

  it.each([1001, 1005, 1006, 1011, 1012, 1013])('%i reconnects', (code) => {
    expect(closeAction(code)).toBe('reconnect');
  });

  it('4003 asks for one more ticket', () => {
    expect(closeAction(4003)).toBe('new_ticket_once');
    expect(stopReason(4003)).toBe('ticket_refused');
  });
});
