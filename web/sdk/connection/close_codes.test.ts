import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { closeAction, stopReason } from './close_codes';

describe('close codes', () => {
  it.each([
    [1000, 'done'],
    [1002, 'policy'],
    [1003, 'policy'],
    [1007, 'policy'],
    [1008, 'policy'],
    [1009, 'too_big'],
    [4001, 'superseded'],
    [4999, 'refused'],
  ])('%i stops (%s)', (code, reason) => {
    expect(closeAction(code)).toBe('stop');
    expect(stopReason(code)).toBe(reason);
  });

  it.each([1001, 1005, 1006, 1011, 1013, 1015, 3000])('%i reconnects', (code) => {
    expect(closeAction(code)).toBe('reconnect');
  });

  it('1012 comes back at once', () => {
    expect(closeAction(1012)).toBe('reconnect_at_once');
  });

  it('4003 asks for one more ticket', () => {
    expect(closeAction(4003)).toBe('new_ticket_once');
    expect(stopReason(4003)).toBe('ticket_refused');
  });

  it('does what the published table says', () => {
    const page = readFileSync(new URL('../../../docs/PROTOCOL.md', import.meta.url), 'utf8');
    const table = page.slice(page.indexOf('### Close codes'), page.indexOf('### What counts as said'));
    const rows = [...table.matchAll(/^\| ([\d, ]+) \|.*\| ([a-z]+)[^|]* \|$/gm)];
    const published = rows.flatMap(([, codes, reconnect]) =>
      (codes ?? '').split(',').map((code) => [Number(code), reconnect] as const),
    );
    expect(published.length).toBeGreaterThan(10);
    for (const [code, reconnect] of published) {
      const action = closeAction(code);
      const words = { reconnect: 'yes', reconnect_at_once: 'yes', new_ticket_once: 'once', stop: 'no' }[action];
      expect(`${code}: ${words}`).toBe(`${code}: ${reconnect}`);
    }
  });
});
