import { describe, expect, it } from 'vitest';
import { Hearing, SILENT_MS, type Note, type Sample } from './hearing';

const quiet: Sample = { level: 0, behindMute: 0, muted: false, turn: true };

/** Samples of 100 ms, as the room takes them; the last note. */
function over(hearing: Hearing, ms: number, sample: Partial<Sample>, from = 0): Note {
  let note: Note = null;
  for (let at = from; at <= from + ms; at += 100) note = hearing.hear({ ...quiet, ...sample }, at);
  return note;
}

describe('what is heard of a candidate', () => {
  it('is nothing at all for ten seconds of their turn: that is said', () => {
    const hearing = new Hearing();
    expect(over(hearing, SILENT_MS - 100, {})).toBeNull();
    expect(over(hearing, 200, {}, SILENT_MS)).toBe('silent');
    expect(over(hearing, 100, { level: 0.02 }, SILENT_MS + 500), 'a sound is enough').toBeNull();
  });

  it('is the room of someone who thinks: nothing is said', () => {
    expect(over(new Hearing(), 60_000, { level: 0.05 })).toBeNull();
  });

  it('does not matter while the interviewer speaks, or where nothing can be measured', () => {
    expect(over(new Hearing(), 60_000, { turn: false })).toBeNull();
    expect(over(new Hearing(), 60_000, { level: null })).toBeNull();
  });

  it('while muted: speech is said at once, a click or the room is not', () => {
    expect(over(new Hearing(), 60_000, { muted: true, behindMute: 0.2 })).toBeNull();
    expect(over(new Hearing(), 200, { muted: true, behindMute: 0.9 })).toBeNull();
    const hearing = new Hearing();
    expect(over(hearing, 500, { muted: true, behindMute: 0.6 })).toBe('muted');
    expect(over(hearing, 3_000, { muted: true }, 600), 'it stays for a moment').toBe('muted');
    expect(over(hearing, 3_000, { muted: true }, 3_600)).toBeNull();
  });

  it('is not spoken of as muted any more after unmuting', () => {
    const hearing = new Hearing();
    over(hearing, 500, { muted: true, behindMute: 0.6 });
    expect(over(hearing, 100, {}, 600)).toBeNull();
  });
});
