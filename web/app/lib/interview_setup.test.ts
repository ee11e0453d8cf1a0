import { describe, expect, it } from 'vitest';
import { NetworkError, type PlanDocument, type PlanPin, type PositionWithCompetencies } from '../../sdk';
import { AS_THE_PLAN, InterviewSetup } from './interview_setup.svelte';

const position = (id: string, plan: PlanPin | null) => ({ id, title: id, description: '', competencies: [], plan }) as PositionWithCompetencies;
const GERMAN = { default_language: 'de', languages: ['de', 'ja'], minutes: 20 } as unknown as PlanDocument;

function setup(plan: (pin: PlanPin) => Promise<PlanDocument> = () => Promise.resolve(GERMAN)) {
  return new InterviewSetup({
    candidates: () => Promise.resolve({ items: [{ id: 'mei', name: 'Mei', email: 'mei@demo.test' }] }),
    positions: () => Promise.resolve({ items: [position('free', null), position('planned', { plan_id: 'p', version: 3 })] }),
    plan,
  });
}

describe('an interview that is being set up', () => {
  it('is for nobody until somebody is chosen, or for the same as before', async () => {
    const form = setup();
    await form.begin();
    expect([form.loaded, form.candidateId, form.positionId]).toEqual([true, '', '']);
    await form.begin({ candidateId: 'mei', positionId: 'planned' });
    expect([form.candidate?.name, form.position?.title, form.plan]).toEqual(['Mei', 'planned', GERMAN]);
    await form.begin();
    expect([form.candidateId, form.positionId, form.plan, form.minutes]).toEqual(['', '', null, 30]);
  });

  it('is in a language of the plan, and as long as the plan', async () => {
    const form = setup();
    await form.begin();
    form.language = 'fr-FR';
    await form.choosePosition('planned');
    expect(form.languages).toEqual([['de', 'German'], ['ja', 'Japanese']]);
    expect([form.language, form.minutes, form.settings]).toEqual(['de', AS_THE_PLAN, { language: 'de' }]);
    form.minutes = 10;
    expect([form.tooShort, form.settings]).toEqual([true, { language: 'de', max_duration_s: 600 }]);
    form.minutes = 20;
    expect(form.tooShort).toBe(false);
    // Without a plan the region is a choice again.
    await form.choosePosition('free');
    expect([form.language, form.minutes, form.plan, form.languages.length]).toEqual(['de-DE', 20, null, 10]);
    form.language = 'ja-JP';
    await form.choosePosition('planned');
    expect(form.language).toBe('ja');
  });

  it('takes no plan of a position that is no longer chosen, and says when one cannot be read', async () => {
    let answer: (plan: PlanDocument) => void = () => undefined;
    const form = setup(() => new Promise((resolve) => (answer = resolve)));
    await form.begin();
    const late = form.choosePosition('planned');
    expect(form.readingPlan).toBe(true);
    await form.choosePosition('free');
    answer(GERMAN);
    await late;
    expect([form.plan, form.readingPlan, form.language, form.minutes]).toEqual([null, false, 'en-US', 30]);

    const broken = setup(() => Promise.reject(new NetworkError('unreachable')));
    await broken.begin();
    await broken.choosePosition('planned');
    expect([broken.readingPlan, broken.plan, broken.problem?.includes('could not be reached')]).toEqual([false, null, true]);
  });
});
