import { describe, expect, it } from 'vitest';
import type { RelayedEntry } from '../types';
import { LIMITS, MAX_TEXT_BYTES, cleanEntry, cut, splitEntries, wellFormed } from './clean';

const bytes = (text: string) => new TextEncoder().encode(text).length;
const frame = (entries: RelayedEntry[]) => bytes(JSON.stringify({ type: 'transcript_update', seq: 2 ** 53, entries }));
const entry = (overrides: Partial<RelayedEntry> = {}): RelayedEntry => ({
  text: 'hello',
  speaker: 'candidate',
  timestamp: '2026-01-01T00:00:00Z',
  id: 'a',
  item_id: 'a',
  ...overrides,
});

describe('wellFormed', () => {
  it.each([
    ['Great job \ud83d', 'Great job \ufffd'],
    ['\ude00 late', '\ufffd late'],
    ['\ud83d\ud83d\ude00\ude00', '\ufffd\ud83d\ude00\ufffd'],
    ['a\u0000b', 'a\ufffdb'],
    ['日本語 😀 é', '日本語 😀 é'],
  ])('%j', (text, expected) => {
    expect(wellFormed(text)).toBe(expected);
  });
});

describe('cut', () => {
  it.each([
    ['abc', 2, 'ab'],
    ['é', 1, ''],
    ['a😀b', 4, 'a'],
    ['a😀b', 5, 'a😀'],
    ['語語', 5, '語'],
  ])('%j to %i bytes', (text, max, expected) => {
    expect(cut(text, max)).toBe(expected);
  });
});

describe('cleanEntry', () => {
  it('leaves a good entry as it is', () => {
    expect(cleanEntry(entry())).toEqual(entry());
  });

  it('cuts a text that is too long on the boundary of a character', () => {
    const { text } = cleanEntry(entry({ text: `a${'😀'.repeat(5_000)}` }));
    expect(bytes(text)).toBeLessThanOrEqual(MAX_TEXT_BYTES);
    expect(bytes(text)).toBeGreaterThan(MAX_TEXT_BYTES - 4);
    expect(text.endsWith('😀')).toBe(true);
  });

  it.each(['', 'it\u0000em', 'line\nbreak', 'x'.repeat(129), 'é'.repeat(65), '\ud83d', '\u202eabc', '\u2028'])(
    'leaves out the id %j and keeps the words',
    (id) => {
      const { timestamp, speaker, text } = entry();
      expect(cleanEntry(entry({ id, item_id: id }))).toEqual({ timestamp, speaker, text });
      expect(cleanEntry(entry({ item_id: id }))).toEqual({ timestamp, speaker, text, id: 'a' });
    },
  );

  it.each(['9999-12-31T23:59:59-01:00', '0000-01-01T00:00:00+01:00', 'yesterday', '+275760-09-13T00:00:00.000Z', ''])(
    'does not send the time %j, which would make the frame unreadable',
    (timestamp) => {
      expect(cleanEntry(entry({ timestamp })).timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    },
  );

  it('writes a time that is meant otherwise as RFC 3339', () => {
    expect(cleanEntry(entry({ timestamp: 'Thu, 01 Jan 2026 00:00:00 GMT' })).timestamp).toBe('2026-01-01T00:00:00.000Z');
  });
});

describe('splitEntries', () => {
  it('respects the number of entries and the size of a frame', () => {
    const entries = Array.from({ length: 7 }, (_, index) => entry({ text: `${index}`.repeat(10), id: `${index}` }));
    const byCount = splitEntries(entries, { max_frame_bytes: 65_536, max_entries: 3 });
    expect(byCount.map((batch) => batch.length)).toEqual([3, 3, 1]);
    const limits = { max_frame_bytes: 700, max_entries: 100 };
    for (const batch of splitEntries(entries, limits)) expect(frame(batch)).toBeLessThanOrEqual(700);
    expect(splitEntries(entries, limits).flat()).toEqual(entries);
  });

  it.each(['\u0001', '"', '\\', '😀', 'x'])('never makes a frame that is too long, also of %j', (character) => {
    const entries = Array.from({ length: 250 }, (_, index) =>
      cleanEntry(entry({ text: character.repeat(index % 5 === 0 ? 20_000 : 40), id: `${index}` })),
    );
    const batches = splitEntries(entries, LIMITS);
    for (const batch of batches) {
      expect(frame(batch)).toBeLessThan(LIMITS.max_frame_bytes);
      expect(batch.length).toBeLessThanOrEqual(100);
    }
    expect(batches.flat().map((each) => each.id)).toEqual(entries.map((each) => each.id));
    expect(batches.flat().every((each) => each.text !== '' && each.text === wellFormed(each.text))).toBe(true);
  });
});
