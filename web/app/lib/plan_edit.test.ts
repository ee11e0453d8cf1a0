import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { PlanDocument } from '../../sdk';
import { changesBetween } from './plan_diff';
import {
  carried,
  freshId,
  inserted,
  keysOf,
  lengthWords,
  minutesOf,
  newCompetency,
  newProbe,
  newQuestion,
  newSection,
  pointerOf,
  put,
  readLines,
  removed,
  said,
  secondsOf,
  spokenTexts,
  untold,
  withLanguage,
  withoutCompetency,
  withoutLanguage,
} from './plan_edit';
import { planText, readDocument } from './plan_read';

const FOLDER = fileURLToPath(new URL('../../../config/plans', import.meta.url));
const STARTS = fileURLToPath(new URL('../assets/plan_start', import.meta.url));
const read = (folder: string) =>
  readdirSync(folder).filter((name) => name.endsWith('.json')).map((name) => [name, readFileSync(join(folder, name), 'utf8')] as const);
const samples = read(FOLDER).map(([name, text]) => [name, JSON.parse(text) as PlanDocument] as const);
const engineer = samples.find(([name]) => name === 'software_engineer.json')?.[1] as PlanDocument;

/** As a browser would lose a change that was made in place. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(frozen);
  return value;
}

describe.each(samples)('%s', (_, sample) => {
  const plan = frozen(sample);

  it('is read as it stands, and written as it stands', () => {
    expect(samples.length).toBeGreaterThanOrEqual(3);
    expect(readDocument(planText(plan))).toEqual({ document: plan, problem: null });
  });

  it('differs in one text after one text was changed', () => {
    const [language = ''] = plan.languages;
    for (const { path } of spokenTexts(plan)) {
      const edited = said(plan, path, language, 'Other words.');
      const changes = changesBetween(plan, edited);
      expect(changes).toMatchObject([{ what: 'changed', after: 'Other words.' }]);
      // The rest is as it was, letter for letter.
      const before = planText(plan).split('\n');
      const after = planText(edited).split('\n');
      expect(after.length).toBe(before.length);
      expect(after.filter((line, n) => line !== before[n])).toHaveLength(1);
    }
    expect(changesBetween(plan, put(plan, ['competencies', 0, 'anchors', '3'], 'x'))).toMatchObject([{ what: 'changed', after: 'x' }]);
  });

  it('is the same after a change that was taken back', () => {
    const path = ['sections', 1, 'questions'];
    const added = inserted(plan, path, 1, newQuestion(plan));
    expect(planText(removed(added, path, 1))).toBe(planText(plan));
    expect(planText(carried(carried(plan, path, 0, path, 2), path, 2, path, 0))).toBe(planText(plan));
    const [language = ''] = plan.languages;
    const without = said(plan, ['closing', 'spoken'], language, '');
    expect(without.closing.spoken[language]).toBeUndefined();
    expect(said(without, ['closing', 'spoken'], language, plan.closing.spoken[language] ?? '')).toEqual(plan);
  });

  it('fills its minutes', () => {
    const { sum, told } = minutesOf(plan);
    expect(sum).toBe(told);
  });
});

it.each(read(STARTS))('%s is a plan to begin from: complete, in time', (_, text) => {
  const { document } = readDocument(text);
  const [language = ''] = document?.languages ?? [];
  expect(document && untold(document, language)).toEqual([]);
  expect(document && minutesOf(document).sum).toBe(document?.minutes);
});

describe('an edit', () => {
  it('leaves what it does not touch the very same', () => {
    const plan = frozen(engineer);
    const edited = put(plan, ['sections', 1, 'questions', 0, 'target_s'], 200);
    expect(edited.sections[1]?.questions[0]?.target_s).toBe(200);
    expect(edited.sections[0]).toBe(plan.sections[0]);
    expect(edited.sections[1]?.questions[1]).toBe(plan.sections[1]?.questions[1]);
  });

  it('makes what is not there yet', () => {
    const bare = { ...engineer };
    delete bare.think_time;
    expect(put(bare, ['think_time', 'seconds'], 60).think_time).toEqual({ seconds: 60 });
    expect(put({}, ['competencies', 0, 'anchors', '5'], 'x')).toEqual({ competencies: [{ anchors: { '5': 'x' } }] });
    expect(pointerOf(['a', 0, 'b/c~d'])).toBe('/a/0/b~1c~0d');
  });

  it('moves a question to another section', () => {
    const moved = carried(frozen(engineer), ['sections', 1, 'questions'], 3, ['sections', 0, 'questions'], 1);
    expect(moved.sections.map(({ questions }) => questions.map(({ id }) => id))).toEqual([
      ['current-work', 'changed-mind'],
      ['built-system', 'hard-fault', 'disagreement'],
    ]);
  });

  it('gives new parts ids that nothing else has', () => {
    expect(freshId('Teilnahme über Bord!', [])).toBe('teilnahme-u-ber-bord');
    expect(freshId('協力', ['part'])).toBe('part-2');
    const plan = inserted(engineer, ['sections', 0, 'questions'], 0, newQuestion(engineer));
    expect(newQuestion(plan).id).toBe('question-2');
    expect(newSection(inserted(plan, ['sections'], 0, newSection(plan))).id).toBe('section-2');
    expect(newProbe({ ...newQuestion(plan), probes: [{ id: 'probe', spoken: {} }] }).id).toBe('probe-2');
    expect(newCompetency(plan, { name: 'Collaboration' }).id).toBe('collaboration-2');
    expect(keysOf([{ id: 'a' }, { id: 'a' }, { id: 'b' }])).toEqual(['a', 'a#2', 'b']);
  });
});

describe('languages', () => {
  it('are missing everywhere when they are new', () => {
    const plan = withLanguage(frozen(engineer), 'fr');
    expect(plan.languages).toEqual(['en', 'de', 'fr']);
    expect(untold(plan, 'fr')).toHaveLength(spokenTexts(plan).length);
    expect(untold(plan, 'de')).toEqual([]);
    expect(withLanguage(plan, 'fr')).toBe(plan);
  });

  it('go with their texts, and another one takes the place of the default', () => {
    const plan = withoutLanguage(frozen(engineer), 'en');
    expect([plan.languages, plan.default_language]).toEqual([['de'], 'de']);
    expect(spokenTexts(plan).every(({ spoken }) => Object.keys(spoken).join() === 'de')).toBe(true);
    expect(withoutLanguage(withLanguage(engineer, 'fr'), 'fr')).toEqual(engineer);
  });
});

it('asks no question for a competency that is gone', () => {
  const plan = withoutCompetency(frozen(engineer), 0);
  expect(plan.competencies.map(({ id }) => id)).toEqual(['problem-solving', 'collaboration']);
  expect(plan.sections[1]?.questions.map(({ competency }) => competency)).toEqual([null, 'problem-solving', 'collaboration', null]);
});

it('tells times as people do', () => {
  const [start, work] = engineer.sections;
  expect(start && secondsOf(start)).toEqual({ needed: 90, optional: 0 });
  expect(work && secondsOf(work)).toEqual({ needed: 780, optional: 150 });
  expect([45, 60, 270].map(lengthWords)).toEqual(['45 s', '1 min', '4 min 30 s']);
});

it('reads lines as a list, and says what it does not keep', () => {
  expect(readLines(' one\n\n two \n')).toEqual({ lines: ['one', 'two'], problem: null });
  const many = readLines(Array.from({ length: 12 }, (_, n) => `line ${n}`).join('\n'));
  expect([many.lines.length, many.problem]).toEqual([10, 'At most 10 lines: what follows is not kept.']);
  expect(readLines('x'.repeat(401)).lines[0]).toHaveLength(400);
  expect(readLines('x'.repeat(401)).problem).toContain('400');
});

describe('JSON that somebody types', () => {
  it.each([
    ['{', /^This is not JSON: /],
    ['[]', /^The whole must be an object\.$/],
    ['{"title": "T"}', /^The plan lacks “default_language”\.$/],
    [planText({ ...engineer, minutes: '25' as unknown as number }), /^\/minutes must be a number\.$/],
    [planText(put(engineer, ['sections', 1, 'questions', 0, 'spoken'], ['x'])), /^\/sections\/1\/questions\/0\/spoken must be texts by language\.$/],
    [planText(put(engineer, ['sections', 1, 'questions', 0, 'probes', 0, 'trigger'], 3)), /trigger must be the name of a trigger/],
    [planText(put(engineer, ['languages'], [1])), /^\/languages must be a list of texts\.$/],
  ])('is no plan: %.20s', (text, why) => {
    expect(readDocument(text).problem).toMatch(why);
  });
});
