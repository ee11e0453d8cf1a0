import { describe, expect, it } from 'vitest';
import type { ConductRecord, QuestionRecord } from '../../sdk';
import { clockWords, deviationWords, faultWords, flagWords, questionWords } from './conduct_words';

const question = (change: Partial<QuestionRecord> = {}): QuestionRecord => ({
  id: 'needs',
  kind: 'core',
  text: 'Please tell me about a customer.',
  asked: { entry: 1, at_ms: 65_000, verbatim: true },
  seconds: 125,
  probes_used: [],
  probes: 0,
  answers: [2],
  coverage: 'enough',
  covered_by: 'turns',
  left: 'turns',
  dropped: false,
  thinks: 0,
  repeats: 0,
  ...change,
});
const record = (change: Partial<ConductRecord> = {}): ConductRecord => ({
  language: 'en',
  opened: true,
  invited: true,
  closed: true,
  questions: [question(), question({ id: 'team' })],
  pauses: [],
  flags: [],
  deviations: [],
  faults: { calls_replaced: 0, entries_incomplete: 0, entries_doubtful: 0 },
  ...change,
});

describe('the words of a conduct record', () => {
  it('tell what became of a question', () => {
    expect(questionWords(question())).toBe(
      'Asked as written, at 1:05, 2:05 minutes, 1 answer, as many answers as the plan allows',
    );
    expect(
      questionWords(question({ probes: 2, probes_used: ['a'], thinks: 1, repeats: 2, answers: [2, 4], left: null })),
    ).toBe('Asked as written, at 1:05, 2:05 minutes, 2 answers, 1 of 2 follow-ups, thought once, repeated 2 times');
    expect(questionWords(question({ asked: null }))).toBe('Not asked');
    expect(questionWords(question({ asked: null, dropped: true }))).toContain('no time');
  });

  it('name deviations by the number of their question', () => {
    const deviations = [{ kind: 'core_not_asked', question: 'team' }, { kind: 'not_closed' }];
    expect(deviationWords(record({ deviations }))).toEqual([
      'Question 2 was not asked.',
      'The interview ended without its closing words.',
    ]);
    expect(deviationWords(record({ deviations: [{ kind: 'news', question: 'gone' }] }))).toEqual([
      'Question gone was not as the plan says.',
    ]);
  });

  it('say nothing of faults when there are none', () => {
    expect(faultWords(record())).toBeNull();
    const faults = { calls_replaced: 1, entries_incomplete: 2, entries_doubtful: 0 };
    expect(faultWords(record({ faults }))).toBe(
      'The call was begun anew once. The words of 2 answers are not complete.',
    );
  });

  it('know what they do not know', () => {
    expect(flagWords('from_the_future')).toBe('Something to look at');
    expect(flagWords('wants_human')).toContain('person');
    expect(clockWords(-1)).toBe('0:00');
    expect(clockWords(600)).toBe('10:00');
  });
});
