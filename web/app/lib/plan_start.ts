import type { PlanDocument } from '../../sdk';

/** Small correct plans to begin from, each in one language. */
const STARTS: Readonly<Record<string, () => Promise<{ default: unknown }>>> = {
  en: () => import('../assets/plan_start/en.json'),
  de: () => import('../assets/plan_start/de.json'),
  ja: () => import('../assets/plan_start/ja.json'),
};

export const START_LANGUAGES = Object.keys(STARTS);

export async function startingPlan(language: string, title: string): Promise<PlanDocument> {
  const load = STARTS[language] ?? STARTS['en'];
  if (!load) throw new Error('There is no plan to begin from.');
  const start = (await load()).default as PlanDocument;
  return { ...start, title: title.trim() || start.title };
}
