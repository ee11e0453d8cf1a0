import type { PlanDocument, PlanFinding, PlanQuestion } from '../../sdk';
import { languageName } from './languages';
import { at, freshId, minutesOf, put, questionsOf, removed, said, type Path } from './plan_edit';
import { stepsOf } from './plan_place';
import { ACCEPTABLE } from './plan_words';

export interface Fix {
  label: string;
  apply: (plan: PlanDocument) => PlanDocument;
}

/** What one press can mend; `null` when a person has to think. */
export function fixOf({ code, path, language }: PlanFinding, plan: PlanDocument): Fix | null {
  const steps = stepsOf(path);
  const [head, place] = steps;
  if (code === 'stray_translation' && language !== null) {
    return { label: `Remove the text in ${languageName(language)}`, apply: (now) => said(now, steps, language, '') };
  }
  if (code === 'duplicate_id' && head === 'languages' && typeof place === 'number') {
    return { label: 'Remove it once', apply: (now) => removed(now, ['languages'], place) };
  }
  if (code === 'duplicate_id' && steps.at(-1) === 'id') return { label: 'Tell them apart', apply: (now) => put(now, steps, unique(now, steps)) };
  if (code === 'default_language_missing' && plan.languages[0] !== undefined) {
    const [first] = plan.languages;
    return { label: `Use ${languageName(first)}`, apply: (now) => ({ ...now, default_language: first }) };
  }
  if (code === 'time_box' && path === '/minutes') {
    const { sum } = minutesOf(plan);
    return sum >= 1 && sum <= 240 ? { label: `Tell the candidate ${sum} minutes`, apply: (now) => ({ ...now, minutes: sum }) } : null;
  }
  return null;
}

/** An id that no other part of the same kind has. */
function unique(plan: PlanDocument, steps: Path): string {
  const parts = steps.length === 5 ? questionsOf(plan) : ((at(plan, steps.slice(0, -2)) ?? []) as { id: string }[]);
  return freshId(String(at(plan, steps)), parts.map(({ id }) => id));
}

/** The question in which a finding may be accepted with a reason; `null` where nothing can be accepted. */
export function acceptableIn({ code, path }: PlanFinding): Path | null {
  const steps = stepsOf(path);
  return code in ACCEPTABLE && steps[0] === 'sections' && steps[2] === 'questions' ? steps.slice(0, 4) : null;
}

/** With the reason for it; without any when that is empty. */
export function accepted(plan: PlanDocument, question: Path, finding: string, reason: string): PlanDocument {
  const others = ((at(plan, question) as PlanQuestion | undefined)?.accepted ?? []).filter((one) => one.finding !== finding);
  return put(plan, [...question, 'accepted'], reason === '' ? others : [...others, { finding, reason }]);
}
