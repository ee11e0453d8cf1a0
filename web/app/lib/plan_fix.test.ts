import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { PlanDocument, PlanFinding } from '../../sdk';
import { inserted, put } from './plan_edit';
import { acceptableIn, accepted, fixOf } from './plan_fix';

const file = fileURLToPath(new URL('../../../config/plans/software_engineer.json', import.meta.url));
const plan = JSON.parse(readFileSync(file, 'utf8')) as PlanDocument;
const found = (code: string, path: string, language: string | null = null): PlanFinding => ({
  code,
  path,
  language,
  severity: 'error',
  message: '',
  accepted: null,
});

it('a text that nobody speaks is removed', () => {
  const stray = put(plan, ['opening', 'spoken', 'fr'], 'Bonjour.');
  const fix = fixOf(found('stray_translation', '/opening/spoken', 'fr'), stray);
  expect([fix?.label, fix?.apply(stray)]).toEqual(['Remove the text in French', plan]);
});

it('two parts with one id are told apart', () => {
  const section = plan.sections[1];
  const twice = inserted(plan, ['sections', 1, 'questions'], 1, section?.questions[0]);
  const mended = fixOf(found('duplicate_id', '/sections/1/questions/1/id'), twice)?.apply(twice);
  expect(mended?.sections[1]?.questions.map(({ id }) => id)).toEqual(['built-system', 'built-system-2', 'hard-fault', 'disagreement', 'changed-mind']);
  const languages = put(plan, ['languages'], ['en', 'de', 'en']);
  expect(fixOf(found('duplicate_id', '/languages/2'), languages)?.apply(languages)).toEqual(plan);
});

it('the candidate is told what the parts take', () => {
  const longer = put(plan, ['sections', 0, 'minutes'], 7);
  expect(fixOf(found('time_box', '/minutes'), longer)?.apply(longer).minutes).toBe(30);
  expect(fixOf(found('time_box', '/sections/0/minutes'), longer)).toBeNull();
  const endless = put(plan, ['sections', 0, 'minutes'], 240);
  expect(fixOf(found('time_box', '/minutes'), endless)).toBeNull();
});

it('another default language is one that is there', () => {
  const lost = put(plan, ['default_language'], 'fr');
  expect(fixOf(found('default_language_missing', '/default_language'), lost)?.apply(lost)).toEqual(plan);
});

it('what the check guesses may be meant so, in a question and with a reason', () => {
  expect(acceptableIn(found('forbidden_topic', '/opening/spoken'))).toBeNull();
  expect(acceptableIn(found('too_long', '/sections/1/questions/0/spoken'))).toBeNull();
  const question = acceptableIn(found('forbidden_topic', '/sections/1/questions/0/probes/1/spoken'));
  expect(question).toEqual(['sections', 1, 'questions', 0]);
  const meant = accepted(plan, question ?? [], 'forbidden_topic', 'They care for children.');
  expect(meant.sections[1]?.questions[0]?.accepted).toEqual([{ finding: 'forbidden_topic', reason: 'They care for children.' }]);
  expect(accepted(meant, question ?? [], 'forbidden_topic', '').sections[1]?.questions[0]?.accepted).toEqual([]);
});
