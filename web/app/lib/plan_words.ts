import type { PlanChange, PlanDocument, PlanTrigger, Spoken } from '../../sdk';
import { languageName } from './languages';
import { keysOf, lengthWords } from './plan_edit';

export const KINDS = { core: 'Core', optional: 'Optional', warmup: 'Warm-up' } as const;

/** As it is offered to who writes a probe: when it is put. */
export const TRIGGERS: Readonly<Record<Exclude<PlanTrigger, object>, string>> = {
  no_example: 'The answer stays general: no situation is named',
  no_own_part: 'The answer tells what others did, or “we”',
  no_reason: 'The answer tells what was done and not why',
  no_result: 'The answer tells no outcome',
  no_reflection: 'The answer tells no lesson',
  short_answer: 'The answer has only a few words',
};

export const ACCOMMODATIONS: Readonly<Record<string, string>> = {
  captions: 'Captions',
  typed_answers: 'Typed answers',
  questions_shown: 'Questions shown as text',
  slower_speech: 'Slower speech',
  breaks: 'Breaks',
};

export const PACES = { patient: 'Patient', normal: 'Normal', brisk: 'Brisk' } as const;

/** Findings that the author may accept with a reason. */
export const ACCEPTABLE: Readonly<Record<string, string>> = {
  double_barrelled: 'Two questions in one',
  leading: 'Leads to an answer',
  forbidden_topic: 'A topic that is not for interviews',
};

export function triggerWords(trigger: PlanTrigger | string | null | undefined): string {
  if (trigger === null || trigger === undefined) return 'Not said when it is put';
  if (typeof trigger === 'object') return trigger.custom;
  return (TRIGGERS as Record<string, string>)[trigger] ?? trigger.replaceAll('_', ' ');
}

/** The words of a text in one language, or in another when it is not written in that. */
export const anyWords = (spoken: Spoken | undefined, language: string): string => spoken?.[language] || Object.values(spoken ?? {})[0] || '';

export interface ToldChange {
  /** The part of the plan that it belongs to. */
  where: string;
  what: PlanChange['what'];
  /** Which field of that part; empty: the part itself. */
  field: string;
  before: string | null;
  after: string | null;
  /** Of a text that is spoken. */
  language: string | null;
}

const PASSAGES: Readonly<Record<string, string>> = { opening: 'Opening', candidate_questions: 'The candidate’s questions', closing: 'Closing' };

const FIELDS: Readonly<Record<string, string>> = {
  title: 'Title',
  default_language: 'Language when nobody chooses one',
  languages: 'Language',
  minutes: 'Minutes',
  turn_taking: 'Turn taking',
  'think_time/seconds': 'Time to think (seconds)',
  'think_time/times_per_question': 'Times to think for one question',
  'accommodations/extra_time_percent': 'More time (percent)',
  'accommodations/allowed': 'Accommodation',
  name: 'Name',
  definition: 'Definition',
  'anchors/1': 'Level 1',
  'anchors/3': 'Level 3',
  'anchors/5': 'Level 5',
  not_evidence: 'Not evidence',
  kind: 'Kind',
  competency: 'Competency',
  spoken: 'Words',
  simpler: 'Simpler words',
  trigger: 'When it is put',
  'trigger/custom': 'When it is put',
  min_turns: 'Fewest answers',
  max_turns: 'Most answers',
  target_s: 'Should take',
  hard_s: 'May take',
  evidence_sought: 'Evidence sought',
  accepted: 'Accepted finding',
  competencies: 'Order of the competencies',
  sections: 'Order of the sections',
  questions: 'Order of the questions',
  probes: 'Order of the probes',
};

/** Lists of texts: what is added to them or removed is the text itself. */
const LISTS = ['languages', 'allowed', 'not_evidence', 'evidence_sought', 'accepted'];

/** Changes in words, by the parts that people know: names of sections, first words of questions. */
export function changesInWords(changes: readonly PlanChange[], before: PlanDocument, after: PlanDocument): ToldChange[] {
  return changes.map((change) => {
    const { where, rest, of } = place(change, before, after);
    const [head = '', second = ''] = rest;
    const told = { what: change.what, where, language: null as string | null };
    if (head === 'spoken' || head === 'simpler') {
      const field = second === '' ? FIELDS[head] : `${FIELDS[head]} in ${languageName(second)}`;
      const whole = (value: unknown) => (typeof value === 'object' ? anyWords(value as Spoken, of.default_language) : value);
      const [from, to] = [words(whole(change.before), '', of), words(whole(change.after), '', of)];
      return { ...told, field: field ?? head, before: from, after: to, language: second || null };
    }
    const listed = rest.findIndex((part) => LISTS.includes(part));
    const path = (listed === -1 ? rest : rest.slice(0, listed + 1)).join('/');
    const field = path === '' ? '' : (FIELDS[path] ?? path.replaceAll('_', ' ').replaceAll('/', ', '));
    const value = (of: PlanDocument, what: unknown) => (change.what === 'reordered' ? orderWords(what, of, change.path) : words(what, path, of));
    return { ...told, field, before: value(before, change.before), after: value(after, change.after) };
  });
}

/** Which part it belongs to, by the names of that part, and what is left of the path. */
function place({ path }: PlanChange, before: PlanDocument, after: PlanDocument): { where: string; rest: string[]; of: PlanDocument } {
  const [head = '', ...rest] = path.split('/');
  const passage = PASSAGES[head];
  if (passage !== undefined) return { where: passage, rest, of: after };
  const [key, ...inner] = rest;
  if (head === 'competencies' && key !== undefined) {
    const of = keysOf(after.competencies).includes(key) ? after : before;
    return { where: `Competency “${named(of.competencies, key)?.name || key}”`, rest: inner, of };
  }
  if (head !== 'sections' || key === undefined) return { where: 'The plan', rest: [head, ...rest].filter(Boolean), of: after };
  return inSection(key, inner, keysOf(after.sections).includes(key) ? after : before, before);
}

function inSection(key: string, [list, question, ...rest]: string[], of: PlanDocument, before: PlanDocument) {
  const section = named(of.sections, key);
  const where = `Section “${section?.name || key}”`;
  if (list !== 'questions' || question === undefined) return { where, rest: [list, question, ...rest].filter((part) => part !== undefined), of };
  const found = named(section?.questions ?? [], question) ?? named(named(before.sections, key)?.questions ?? [], question);
  const asked = `${where}, question “${shortened(anyWords(found?.spoken, of.default_language)) || question}”`;
  const [probes, probe, ...inner] = rest;
  if (probes !== 'probes' || probe === undefined) return { where: asked, rest, of };
  const put = named(found?.probes ?? [], probe) ?? { spoken: undefined };
  return { where: `${asked}, probe “${shortened(anyWords(put.spoken, of.default_language)) || probe}”`, rest: inner, of };
}

const named = <T extends { id: string }>(parts: readonly T[], key: string): T | undefined => parts[keysOf(parts).indexOf(key)];

export function shortened(text: string, most = 60): string {
  const letters = [...text];
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join('').trimEnd()}…`;
}

function words(value: unknown, path: string, plan: PlanDocument): string | null {
  if (value === undefined || value === null) return value === null && path === 'competency' ? 'None' : null;
  if (typeof value === 'number') return path.endsWith('_s') ? lengthWords(value) : String(value);
  if (typeof value === 'string') {
    if (path === 'competency') return named(plan.competencies, value)?.name ?? value;
    if (path === 'languages' || path === 'default_language') return languageName(value);
    if (path === 'trigger') return triggerWords(value);
    const told: Record<string, string> = { ...KINDS, ...PACES, ...ACCOMMODATIONS };
    return ['kind', 'turn_taking', 'accommodations/allowed'].includes(path) ? (told[value] ?? value) : value;
  }
  const part = value as Record<string, unknown>;
  if (path === 'trigger') return triggerWords(part as { custom: string });
  if (typeof part['reason'] === 'string') return part['reason'];
  // A whole part: what it is called.
  if (typeof part['name'] === 'string') return part['name'] || null;
  return part['spoken'] === undefined ? null : anyWords(part['spoken'] as Spoken, plan.default_language) || null;
}

function orderWords(value: unknown, plan: PlanDocument, path: string): string | null {
  if (!Array.isArray(value)) return null;
  const keys = value as string[];
  const [head, section, list, question] = path.split('/');
  const names = (key: string): string => {
    if (head === 'competencies') return named(plan.competencies, key)?.name || key;
    if (head !== 'sections') return head === 'languages' ? languageName(key) : (ACCOMMODATIONS[key] ?? key);
    if (section === undefined) return named(plan.sections, key)?.name || key;
    const questions = named(plan.sections, section)?.questions ?? [];
    if (list === 'questions' && question === undefined) return anyWords(named(questions, key)?.spoken, plan.default_language) || key;
    return anyWords(named(named(questions, question ?? '')?.probes ?? [], key)?.spoken, plan.default_language) || key;
  };
  return keys.map((key) => shortened(names(key), 40)).join(' · ');
}
