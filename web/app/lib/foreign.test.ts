import { describe, expect, it } from 'vitest';
import { harmless, isolated } from './foreign';
import { formatClock, formatDateTime } from './format';

describe('text of others', () => {
  it.each([
    ['plain words – “é” 日本語 😀', 'plain words – “é” 日本語 😀'],
    ['a\u0000b\u001b[2J', 'a\u2400b\u241b[2J'],
    ['a\u007fb\u0085c\u009b', 'a\ufffdb\ufffdc\ufffd'],
    ['one\ntwo\tthree', 'one two three'],
    ['I did \u202etneg\u202c it', 'I did \ufffdtneg\u202c it'],
    ['half \ud83d', 'half \ufffd'],
    ['שלום עולם', 'שלום עולם'],
  ])('%j', (text, expected) => {
    expect(harmless(text)).toBe(expected);
    expect(harmless(text)).toHaveLength(text.length);
  });

  it('keeps its direction to itself where there is no markup', () => {
    expect(isolated('Mei')).toBe('Mei');
    expect(isolated('José Ñandú')).toBe('José Ñandú');
    expect(isolated('שרה')).toBe('\u2068שרה\u2069');
    expect(isolated('a\u202bb')).toBe('\u2068a\u202bb\u2069');
  });
});

describe('a time that nobody can read', () => {
  it.each(['', 'yesterday', '+999999-01-01T00:00:00Z', null, undefined])('is a dash: %j', (value) => {
    expect([formatClock(value), formatDateTime(value)]).toEqual(['–', '–']);
  });
});
