import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { PlanDocument } from '../../sdk';
import { changesBetween, merged, same } from './plan_diff';
import { carried, inserted, newQuestion, newSection, put, removed, said, withoutLanguage } from './plan_edit';
import { changesInWords } from './plan_words';

const file = fileURLToPath(new URL('../../../config/plans/software_engineer.json', import.meta.url));
const plan = JSON.parse(readFileSync(file, 'utf8')) as PlanDocument;
const QUESTIONS = ['sections', 1, 'questions'] as const;
const WORK = 'Section “Your work”';
const BUILT = `${WORK}, question “Please describe one system that you built, and that other p…”`;

const told = (after: PlanDocument) => changesInWords(changesBetween(plan, after), plan, after);

describe('what differs, for people', () => {
  it('is nothing where only the order of members differs', () => {
    const turned = Object.fromEntries(Object.entries(plan).reverse()) as unknown as PlanDocument;
    expect(same(plan, turned)).toBe(true);
    expect(changesBetween(plan, turned)).toEqual([]);
  });

  it('names the part, the field and both texts', () => {
    const after = put(said(plan, [...QUESTIONS, 0, 'spoken'], 'de', 'Neue Worte.'), ['minutes'], 30);
    expect(told(after)).toEqual([
      { where: 'The plan', what: 'changed', field: 'Minutes', before: '25', after: '30', language: null },
      {
        where: BUILT,
        what: 'changed',
        field: 'Words in German',
        before: 'Beschreiben Sie bitte ein System, das Sie gebaut haben und auf das sich andere heute verlassen.',
        after: 'Neue Worte.',
        language: 'de',
      },
    ]);
  });

  it.each([
    ['a removed question', removed(plan, QUESTIONS, 0), [BUILT, 'removed', '', 'Please describe one system that you built, and that other people rely on today.', null]],
    [
      'a new question without words',
      inserted(plan, QUESTIONS, 4, newQuestion(plan)),
      [`${WORK}, question “question”`, 'added', '', null, null],
    ],
    ['a new section', inserted(plan, ['sections'], 2, { ...newSection(plan), name: 'More' }), ['Section “More”', 'added', '', null, 'More']],
    [
      'questions in another order',
      carried(plan, QUESTIONS, 0, QUESTIONS, 1),
      [
        WORK,
        'reordered',
        'Order of the questions',
        'Please describe one system that you bui… · Please tell me about a fault whose caus… · Please tell me about a technical decisi… · Which technical opinion have you change…',
        'Please tell me about a fault whose caus… · Please describe one system that you bui… · Please tell me about a technical decisi… · Which technical opinion have you change…',
      ],
    ],
    ['a kind', put(plan, [...QUESTIONS, 0, 'kind'], 'optional'), [BUILT, 'changed', 'Kind', 'Core', 'Optional']],
    ['no competency', put(plan, [...QUESTIONS, 0, 'competency'], null), [BUILT, 'changed', 'Competency', 'Technical depth', 'None']],
    ['a time', put(plan, [...QUESTIONS, 0, 'hard_s'], 450), [BUILT, 'changed', 'May take', '7 min', '7 min 30 s']],
    [
      'a trigger',
      put(plan, [...QUESTIONS, 0, 'probes', 0, 'trigger'], { custom: 'no team is named' }),
      [`${BUILT}, probe “Which part of it did you build yourself?”`, 'changed', 'When it is put', 'The answer tells what others did, or “we”', 'no team is named'],
    ],
    [
      'an evidence with a slash',
      put(plan, [...QUESTIONS, 0, 'evidence_sought'], ['How the parts act together', 'A choice and its alternative', 'A limit that was known or measured', 'a/b']),
      [BUILT, 'added', 'Evidence sought', null, 'a/b'],
    ],
    [
      'an accommodation',
      put(plan, ['accommodations', 'allowed'], ['captions', 'typed_answers', 'questions_shown', 'slower_speech']),
      ['The plan', 'removed', 'Accommodation', 'Breaks', null],
    ],
    ['an anchor', put(plan, ['competencies', 0, 'anchors', '3'], 'x'), ['Competency “Technical depth”', 'changed', 'Level 3', expect.stringContaining('Explains how'), 'x']],
  ])('%s', (_, after, [where, what, field, before, now]) => {
    expect(told(after)).toEqual([{ where, what, field, before, after: now, language: null }]);
  });

  it('a language that is gone is told with each of its texts', () => {
    const changes = told(withoutLanguage(plan, 'de'));
    expect(changes[0]).toMatchObject({ where: 'The plan', what: 'removed', field: 'Language', before: 'German' });
    expect(changes.slice(1).every(({ what, language }) => what === 'removed' && language === 'de')).toBe(true);
  });
});

describe('two people at one draft', () => {
  it('both have what only one of them has changed', () => {
    const mine = said(inserted(plan, QUESTIONS, 0, newQuestion(plan)), ['opening', 'spoken'], 'en', 'Mine.');
    const theirs = put(removed(plan, QUESTIONS, 3), [...QUESTIONS, 1, 'target_s'], 200);
    const { document, clashes } = merged(plan, mine, theirs);
    expect(clashes).toEqual([]);
    expect(document.opening.spoken['en']).toBe('Mine.');
    expect(document.sections[1]?.questions.map(({ id, target_s }) => [id, target_s])).toEqual([
      ['question', 180],
      ['built-system', 270],
      ['hard-fault', 200],
      ['disagreement', 240],
    ]);
  });

  it('what both have changed stays mine, and is named', () => {
    const { document, clashes } = merged(plan, put(plan, ['title'], 'Mine'), put(put(plan, ['title'], 'Theirs'), ['minutes'], 30));
    expect([document.title, document.minutes, clashes]).toEqual(['Mine', 30, ['title']]);
  });

  it('a question that I took away stays when they went on writing it', () => {
    const { document, clashes } = merged(plan, removed(plan, QUESTIONS, 0), put(plan, [...QUESTIONS, 0, 'target_s'], 200));
    expect(document.sections[1]?.questions).toHaveLength(4);
    expect(clashes).toEqual(['sections/work/questions/built-system']);
  });

  it('my order stays mine, and their new question stands where it stood', () => {
    const mine = carried(plan, QUESTIONS, 2, QUESTIONS, 0);
    const theirs = inserted(plan, QUESTIONS, 2, { ...newQuestion(plan), id: 'theirs' });
    expect(merged(plan, mine, theirs).document.sections[1]?.questions.map(({ id }) => id)).toEqual([
      'disagreement',
      'built-system',
      'hard-fault',
      'theirs',
      'changed-mind',
    ]);
  });

  it('the same change is no clash', () => {
    const both = put(plan, ['minutes'], 30);
    expect(merged(plan, both, put(plan, ['minutes'], 30))).toEqual({ document: both, clashes: [] });
  });
});
