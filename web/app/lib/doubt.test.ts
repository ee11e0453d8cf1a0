import { describe, expect, it } from 'vitest';
import { entryOf as entry } from '../../sdk/testing/transcript';
import { doubtNote, markOf } from './doubt';

describe('the mark of an entry', () => {
  it('is absent for what was heard, also from a runtime that says nothing about doubt', () => {
    expect(markOf(entry())).toBeNull();
    expect(markOf(entry({ authoritative: true, doubt: null, claimed_at: null }))).toBeNull();
  });

  it('says that the browser filled a gap of ours', () => {
    expect(markOf(entry({ source: 'browser' }))).toMatchObject({ label: 'From the browser', counts: true });
    expect(markOf(entry({ source: 'browser' }))?.text).toContain('fill the gap');
  });

  it.each(['unclosed_gap', 'deaf_line', 'no_item', 'no_call', 'unconfirmed'])('has words of its own for %s', (doubt) => {
    const mark = markOf(entry({ source: 'browser', authoritative: false, doubt }));
    expect(mark).toMatchObject({ label: 'Not part of the record', counts: false });
    expect(mark?.text).toContain('No judgement rests on them.');
    expect(mark?.text).not.toBe(markOf(entry({ source: 'browser', authoritative: false, doubt: 'other' }))?.text);
    expect(markOf(entry({ source: 'browser', doubt }))).toMatchObject({ label: 'In doubt', counts: true });
    expect(markOf(entry({ source: 'browser', doubt }))?.text).toContain(
      doubt === 'unclosed_gap' ? 'No judgement rests on them alone.' : 'Please weigh them with care.',
    );
  });

  it.each(['hallucination', 'echo', 'written'])('says of %s that nobody is judged by it', (doubt) => {
    const mark = markOf(entry({ doubt }));
    expect(mark).toMatchObject({ label: 'In doubt', counts: true });
    expect(mark?.text).toMatch(/ No judgement rests on them\.$/);
    expect(mark?.text).not.toContain('browser');
  });

  it.each(['news_from_the_future', '', 'toString', '__proto__'])('shows a doubt it does not know: %j', (doubt) => {
    const mark = markOf(entry({ doubt }));
    expect(mark?.label).toBe('In doubt');
    expect(mark?.text).toContain('could not confirm');
  });

  it('shows what does not count, whatever its reason', () => {
    expect(markOf(entry({ authoritative: false }))).toMatchObject({ counts: false });
  });
});

describe('the note over the transcript', () => {
  const plain = entry();
  const filled = entry({ source: 'browser' });
  const out = entry({ source: 'browser', authoritative: false, doubt: 'no_call' });

  it('is not there when all is well', () => {
    expect(doubtNote([])).toBeNull();
    expect(doubtNote([plain, plain])).toBeNull();
  });

  it('counts', () => {
    expect(doubtNote([plain, filled])).toBe(
      'Some words were reported by the candidate’s browser only; our own line did not hear them. 1 line of 2 is marked in the conversation.',
    );
    expect(doubtNote([plain, out, filled])).toContain('2 lines of 3 are marked in the conversation. No judgement rests on 1 of them.');
    expect(doubtNote([out])).toContain('No judgement rests on it.');
    expect(doubtNote([out, out])).toContain('No judgement rests on them.');
  });

  it('does not blame the browser for what is not from it', () => {
    expect(doubtNote([entry({ doubt: 'unconfirmed' })])).toContain('Some words are in doubt');
  });
});
