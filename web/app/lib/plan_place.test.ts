import { expect, it } from 'vitest';
import type { PlanDocument } from '../../sdk';
import { placeOf } from './plan_place';

const plan = {
  competencies: [{ id: 'listening', name: 'Listening', definition: '' }],
  sections: [
    { id: 'a', name: 'Start', minutes: 1, questions: [] },
    { id: 'b', name: 'Cases', minutes: 5, questions: [] },
  ],
} as Partial<PlanDocument> as PlanDocument;

it.each([
  ['/sections/1/questions/0/spoken', 'Section 2 (Cases), question 1', 'plan-section-2-question-1'],
  ['/sections/1/questions/0/probes/2/spoken', 'Section 2 (Cases), question 1, probe 3', 'plan-section-2-question-1'],
  ['/sections/0/questions/3/hard_s', 'Section 1 (Start), question 4: longest time', 'plan-section-1-question-4'],
  ['/sections/0/minutes', 'Section 1 (Start): minutes', 'plan-section-1'],
  ['/sections', 'The sections', null],
  ['/opening/spoken', 'Opening', 'plan-opening'],
  ['/candidate_questions/spoken/en', 'The candidate’s questions: en', 'plan-candidate_questions'],
  ['/competencies/0/anchors/3', 'Competency 1 (Listening): anchors 3', 'plan-competency-1'],
  ['/minutes', 'The plan: minutes', null],
  ['', 'The whole plan', null],
])('%s is %s', (pointer, words, target) => {
  expect(placeOf(pointer, plan)).toEqual({ words, target });
});
