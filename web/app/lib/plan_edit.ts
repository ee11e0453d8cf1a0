import type { PlanCompetency, PlanDocument, PlanProbe, PlanQuestion, PlanSection, Spoken } from '../../sdk';

/** Where something stands in a plan: names of members, and places in lists. */
export type Path = readonly (string | number)[];

/** As many parts as a plan may have (docs/plan.schema.json). */
export const MOST = { sections: 20, questions: 30, probes: 3, competencies: 20, languages: 16, lines: 10, lineLength: 400 } as const;

/** What the server takes where a document says nothing. */
export const UNSAID = {
  turn_taking: 'patient',
  think_time: { seconds: 120, times_per_question: 3 },
  accommodations: { extra_time_percent: 50, allowed: ['captions', 'typed_answers', 'questions_shown', 'slower_speech', 'breaks'] },
  min_turns: 1,
  max_turns: 3,
} as const;

export const pointerOf = (path: Path) => path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

export function at(whole: unknown, path: Path): unknown {
  return path.reduce((part: unknown, step) => (part as Record<string | number, unknown> | null | undefined)?.[step], whole);
}

/** The same with another value there; `undefined` takes the member away. What is not on the way stays the very same. */
export function put<T>(whole: T, path: Path, value: unknown): T {
  const [step, ...rest] = path;
  if (step === undefined) return value as T;
  const part = (whole as Record<string | number, unknown> | undefined)?.[step];
  const next = rest.length === 0 ? value : put(part, rest, value);
  if (typeof step === 'number') {
    const list: unknown[] = Array.isArray(whole) ? [...(whole as unknown[])] : [];
    list[step] = next;
    return list as T;
  }
  const { [step]: before, ...others } = (whole ?? {}) as Record<string, unknown>;
  if (next === undefined) return others as T;
  // In its place: a document that is read by people keeps its order.
  return (before === undefined ? { ...others, [step]: next } : { ...whole, [step]: next }) as T;
}

const listAt = (whole: unknown, path: Path) => (at(whole, path) ?? []) as unknown[];

export function inserted<T>(whole: T, path: Path, index: number, part: unknown): T {
  const list = listAt(whole, path);
  return put(whole, path, [...list.slice(0, index), part, ...list.slice(index)]);
}

export function removed<T>(whole: T, path: Path, index: number): T {
  return put(whole, path, listAt(whole, path).filter((_, n) => n !== index));
}

/** One place of a list to another, which may be in another list. */
export function carried<T>(whole: T, from: Path, index: number, to: Path, place: number): T {
  const part = listAt(whole, from)[index];
  if (part === undefined) return whole;
  return inserted(removed(whole, from, index), to, place, part);
}

/** What parts of a list are called: by their ids. A draft may have the same id twice. */
export function keysOf(parts: readonly { id: string }[]): string[] {
  const seen = new Map<string, number>();
  return parts.map(({ id }) => {
    const times = (seen.get(id) ?? 0) + 1;
    seen.set(id, times);
    return times === 1 ? id : `${id}#${times}`;
  });
}

/** An id for a new part: people never see it, and it never changes when the part is called something else. */
export function freshId(base: string, taken: Iterable<string>): string {
  const used = new Set(taken);
  const slug = base.normalize('NFKD').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 48) || 'part';
  for (let n = 1; ; n += 1) {
    const id = n === 1 ? slug : `${slug}-${n}`;
    if (!used.has(id)) return id;
  }
}

const ids = (parts: readonly { id: string }[]) => parts.map(({ id }) => id);
export const questionsOf = (plan: PlanDocument): PlanQuestion[] => plan.sections.flatMap(({ questions }) => questions);

export const newSection = (plan: PlanDocument): PlanSection => ({
  id: freshId('section', ids(plan.sections)),
  name: '',
  minutes: 5,
  questions: [],
});

export const newQuestion = (plan: PlanDocument): PlanQuestion => ({
  id: freshId('question', ids(questionsOf(plan))),
  kind: 'core',
  competency: null,
  spoken: {},
  simpler: {},
  probes: [],
  min_turns: 1,
  max_turns: 3,
  target_s: 180,
  hard_s: 240,
  evidence_sought: [],
  accepted: [],
});

export const newProbe = (question: PlanQuestion): PlanProbe => ({
  id: freshId('probe', ids(question.probes ?? [])),
  trigger: null,
  spoken: {},
});

export const newCompetency = (plan: PlanDocument, from?: Pick<PlanCompetency, 'name' | 'definition' | 'anchors'>): PlanCompetency => ({
  id: freshId(from?.name ?? 'competency', ids(plan.competencies)),
  name: from?.name ?? '',
  definition: from?.definition ?? '',
  anchors: { '1': '', '3': '', '5': '', ...from?.anchors },
  not_evidence: [],
});

/** A text of one language; an empty one is none. */
export function said<T>(whole: T, path: Path, language: string, words: string): T {
  return put(whole, [...path, language], words === '' ? undefined : words);
}

/** Each text that is spoken, and where. `simpler` may be left out as a whole. */
export function spokenTexts(plan: PlanDocument): { path: Path; spoken: Spoken }[] {
  const texts: { path: Path; spoken: Spoken }[] = [{ path: ['opening', 'spoken'], spoken: plan.opening.spoken }];
  for (const [s, section] of plan.sections.entries()) {
    for (const [q, question] of section.questions.entries()) {
      const here: Path = ['sections', s, 'questions', q];
      texts.push({ path: [...here, 'spoken'], spoken: question.spoken });
      if (Object.keys(question.simpler ?? {}).length > 0) texts.push({ path: [...here, 'simpler'], spoken: question.simpler ?? {} });
      for (const [p, probe] of (question.probes ?? []).entries()) texts.push({ path: [...here, 'probes', p, 'spoken'], spoken: probe.spoken });
    }
  }
  texts.push({ path: ['candidate_questions', 'spoken'], spoken: plan.candidate_questions.spoken });
  texts.push({ path: ['closing', 'spoken'], spoken: plan.closing.spoken });
  return texts;
}

/** Where nothing is written in this language. */
export const untold = (plan: PlanDocument, language: string): Path[] =>
  spokenTexts(plan).filter(({ spoken }) => !spoken[language]?.trim()).map(({ path }) => path);

export function withLanguage(plan: PlanDocument, language: string): PlanDocument {
  if (plan.languages.includes(language)) return plan;
  const languages = [...plan.languages, language];
  // A plan without its default language gets one that it has.
  const known = languages.includes(plan.default_language);
  return { ...plan, languages, ...(known ? {} : { default_language: language }) };
}

/** Without the language and everything that was written in it. */
export function withoutLanguage(plan: PlanDocument, language: string): PlanDocument {
  const languages = plan.languages.filter((one) => one !== language);
  let rest: PlanDocument = { ...plan, languages };
  if (plan.default_language === language && languages[0] !== undefined) rest = { ...rest, default_language: languages[0] };
  return spokenTexts(plan)
    .filter(({ spoken }) => language in spoken)
    .reduce((result, { path }) => said(result, path, language, ''), rest);
}

/** Without the competency; questions that asked for it ask for none. */
export function withoutCompetency(plan: PlanDocument, index: number): PlanDocument {
  const gone = plan.competencies[index]?.id;
  const rest = removed(plan, ['competencies'], index);
  if (gone === undefined || rest.competencies.some(({ id }) => id === gone)) return rest;
  return plan.sections.reduce(
    (result, section, s) =>
      section.questions.reduce(
        (inner, { competency }, q) => (competency === gone ? put(inner, ['sections', s, 'questions', q, 'competency'], null) : inner),
        result,
      ),
    rest,
  );
}

export interface Minutes {
  /** Opening, sections, the candidate's questions, closing. */
  parts: { label: string; minutes: number }[];
  sum: number;
  /** As the candidate is told. */
  told: number;
}

export function minutesOf(plan: PlanDocument): Minutes {
  const parts = [
    { label: 'Opening', minutes: plan.opening.minutes },
    ...plan.sections.map(({ name, minutes }, n) => ({ label: name || `Section ${n + 1}`, minutes })),
    { label: 'The candidate’s questions', minutes: plan.candidate_questions.minutes },
    { label: 'Closing', minutes: plan.closing.minutes },
  ];
  return { parts, sum: parts.reduce((sum, { minutes }) => sum + minutes, 0), told: plan.minutes };
}

/** What the questions of a section should take; those that are put only when there is time apart. */
export function secondsOf({ questions }: PlanSection): { needed: number; optional: number } {
  const sum = (optional: boolean) =>
    questions.filter(({ kind }) => (kind === 'optional') === optional).reduce((all, { target_s }) => all + target_s, 0);
  return { needed: sum(false), optional: sum(true) };
}

/** `4 min 30 s` */
export function lengthWords(seconds: number): string {
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  if (minutes === 0) return `${rest} s`;
  return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`;
}

/** Lines of a field as the list that they stand for: empty ones are none, and what is too much is left out. */
export function readLines(text: string): { lines: string[]; problem: string | null } {
  const all = text.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  const kept = all.slice(0, MOST.lines).map((line) => line.slice(0, MOST.lineLength));
  if (all.length > MOST.lines) return { lines: kept, problem: `At most ${MOST.lines} lines: what follows is not kept.` };
  const long = all.some((line) => line.length > MOST.lineLength);
  return { lines: kept, problem: long ? `A line has at most ${MOST.lineLength} characters: the rest is not kept.` : null };
}
