import { describe, expect, it } from 'vitest';
import type { PlanDocument, PlanFinding } from '../../sdk';
import { carried, removed } from './plan_edit';
import { countWords, fieldId, followed, gathered, outwards, placeOf, within } from './plan_place';

const question = (id: string) => ({ id, kind: 'core', spoken: {}, target_s: 60, hard_s: 90, probes: [{ id: 'own', spoken: {} }] });
const plan = {
  languages: ['en'],
  competencies: [{ id: 'listening', name: 'Listening', definition: '' }],
  sections: [
    { id: 'a', name: 'Start', minutes: 1, questions: [question('one')] },
    { id: 'b', name: 'Cases', minutes: 5, questions: [question('two'), question('three')] },
  ],
} as Partial<PlanDocument> as PlanDocument;

const finding = (path: string, severity: PlanFinding['severity'] = 'error'): PlanFinding => ({
  code: 'too_long',
  severity,
  path,
  language: null,
  message: '',
  accepted: null,
});

it.each([
  ['/sections/1/questions/0/spoken', 'Section 2 (Cases), question 1'],
  ['/sections/1/questions/0/probes/2/spoken', 'Section 2 (Cases), question 1, probe 3'],
  ['/sections/0/questions/3/hard_s', 'Section 1 (Start), question 4: longest time'],
  ['/sections/0/minutes', 'Section 1 (Start): minutes'],
  ['/sections', 'The sections'],
  ['/opening/spoken', 'Opening'],
  ['/candidate_questions/spoken/en', 'The candidate’s questions: en'],
  ['/competencies/0/anchors/3', 'Competency 1 (Listening): anchors 3'],
  ['/minutes', 'The plan: minutes'],
  ['', 'The whole plan'],
])('%s is %s', (pointer, words) => {
  expect(placeOf(pointer, plan)).toBe(words);
});

describe('the field of a finding', () => {
  it('is the one that its path names, or the nearest that it lies in', () => {
    expect(outwards('/competencies/0/anchors').map(fieldId)).toEqual(['plan-competencies-0-anchors', 'plan-competencies-0', 'plan-competencies']);
  });

  it('follows its part to where that moves, and goes with it', () => {
    const found = [finding('/sections/1/questions/0/probes/0/spoken'), finding('/sections/0/minutes'), finding('/minutes')];
    const swapped = carried(plan, ['sections', 1, 'questions'], 0, ['sections', 1, 'questions'], 1);
    expect(followed(found, plan, swapped).map(({ path }) => path)).toEqual(['/sections/1/questions/1/probes/0/spoken', '/sections/0/minutes', '/minutes']);
    const shorter = removed(plan, ['sections'], 0);
    expect(followed(found, plan, shorter).map(({ path }) => path)).toEqual(['/sections/0/questions/0/probes/0/spoken', '/minutes']);
  });

  it('counts for the part that it lies in, and for no other', () => {
    const found = [finding('/sections/1/questions/0/spoken'), finding('/sections/1/questions/0', 'warning'), finding('/sections/10/minutes')];
    expect(countWords(within(found, '/sections/1'))).toBe('1 error, 1 warning');
    expect(countWords(within(found, '/sections/0'))).toBe('');
    expect(countWords([finding('/a'), finding('/b')])).toBe('2 errors');
  });

  it('is told once where nothing of a language is there', () => {
    const missing = (path: string, language: string) => ({ ...finding(path), code: 'missing_translation', language });
    const found = [missing('/a', 'fr'), missing('/b', 'fr'), finding('/c'), missing('/a', 'de'), missing('/c', 'fr'), finding('/c')];
    expect(gathered(found).map(({ finding: { path, language }, more }) => [path, language, more])).toEqual([
      ['/a', 'fr', 2],
      ['/c', null, 0],
      ['/a', 'de', 0],
      ['/c', null, 0],
    ]);
  });
});
