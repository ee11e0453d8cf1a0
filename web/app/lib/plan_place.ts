import type { PlanDocument, PlanFinding } from '../../sdk';
import { namesOf } from './plan_diff';
import { at, type Path } from './plan_edit';

const PASSAGES: Readonly<Record<string, string>> = {
  opening: 'Opening',
  candidate_questions: 'The candidate’s questions',
  closing: 'Closing',
};

/** Of fields whose name is not a word. */
const FIELDS: Readonly<Record<string, string>> = { target_s: 'time', hard_s: 'longest time', not_evidence: 'what is no evidence' };

/** The steps of a JSON pointer; what looks like a place in a list is one. */
export const stepsOf = (pointer: string): Path =>
  pointer.split('/').slice(1).map((part) => number(part) ?? part.replaceAll('~1', '/').replaceAll('~0', '~'));

/** The id of the element that shows what a pointer leads to. */
export const fieldId = (pointer: string) => `plan${pointer.replaceAll('/', '-')}`;

/** The pointer itself, then what it is a part of, the nearest first. */
export function outwards(pointer: string): string[] {
  const parts = pointer.split('/');
  return parts.slice(1).map((_, n) => parts.slice(0, parts.length - n).join('/'));
}

/** Where in a plan a JSON pointer leads, as a person finds it: `Section 2, question 1, probe 3`. People count from 1. */
export function placeOf(pointer: string, plan: PlanDocument): string {
  const [head = '', ...rest] = stepsOf(pointer).map(String);
  const passage = PASSAGES[head];
  if (passage !== undefined) return named(passage, rest);
  if (head === 'sections') return inSection(rest, plan);
  const competency = number(rest[0]);
  if (head === 'competencies' && competency !== null) {
    const name = plan.competencies[competency]?.name;
    return named(`Competency ${competency + 1}${name ? ` (${name})` : ''}`, rest.slice(1));
  }
  return head === '' ? 'The whole plan' : named('The plan', [head, ...rest]);
}

function inSection([section, ...rest]: string[], plan: PlanDocument): string {
  const place = number(section);
  if (place === null) return 'The sections';
  const name = plan.sections[place]?.name;
  const words = `Section ${place + 1}${name ? ` (${name})` : ''}`;
  const question = rest[0] === 'questions' ? number(rest[1]) : null;
  if (question === null) return named(words, rest);
  const probe = rest[2] === 'probes' ? number(rest[3]) : null;
  const asked = `${words}, question ${question + 1}`;
  return probe === null ? named(asked, rest.slice(2)) : named(`${asked}, probe ${probe + 1}`, rest.slice(4));
}

/** With the names of the fields that lead further in; where the words are spoken needs none. */
function named(words: string, fields: string[]): string {
  const told = fields.filter((field) => field !== 'spoken').map((field) => FIELDS[field] ?? field.replaceAll('_', ' '));
  return told.length === 0 ? words : `${words}: ${told.join(' ')}`;
}

function number(part: string | undefined): number | null {
  return part !== undefined && /^\d+$/.test(part) ? Number(part) : null;
}

/**
 * What was found in `before`, at its places in `after`: parts have moved meanwhile, or are gone, and what was found in those is
 * gone too.
 */
export function followed(findings: readonly PlanFinding[], before: PlanDocument, after: PlanDocument): PlanFinding[] {
  if (before === after) return [...findings];
  return findings.flatMap((finding) => {
    const path = follow(finding.path, before, after);
    return path === null ? [] : [path === finding.path ? finding : { ...finding, path }];
  });
}

function follow(pointer: string, before: PlanDocument, after: PlanDocument): string | null {
  let [one, other]: unknown[] = [before, after];
  let path = '';
  for (const step of stepsOf(pointer)) {
    let next = step;
    if (typeof step === 'number' && Array.isArray(one)) {
      const name = namesOf(one)[step];
      next = name === undefined ? -1 : namesOf(Array.isArray(other) ? other : []).indexOf(name);
      if (next === -1) return null;
    }
    path += `/${String(next).replaceAll('~', '~0').replaceAll('/', '~1')}`;
    [one, other] = [at(one, [step]), at(other, [next])];
  }
  return path;
}

/** What was found there, and in its parts. */
export const within = (findings: readonly PlanFinding[], pointer: string): PlanFinding[] =>
  findings.filter(({ path }) => path === pointer || path.startsWith(`${pointer}/`));

/** `2 errors, 1 warning`; empty when there is nothing to mend. */
export function countWords(findings: readonly PlanFinding[]): string {
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const warnings = findings.length - errors;
  const told = [errors > 0 && `${errors} ${errors === 1 ? 'error' : 'errors'}`, warnings > 0 && `${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`];
  return told.filter(Boolean).join(', ');
}

/** What is not translated yet is counted beside the languages, and told where it is to be written. */
export const shownIn = (findings: readonly PlanFinding[], language: string): PlanFinding[] =>
  findings.filter((finding) => finding.code !== 'missing_translation' || finding.language === language);

/** Many texts that are missing in one language are told once, at the first of them. */
export function gathered(findings: readonly PlanFinding[]): { finding: PlanFinding; more: number }[] {
  const told: { finding: PlanFinding; more: number }[] = [];
  for (const finding of findings) {
    const alike = told.find((one) => finding.code === 'missing_translation' && one.finding.code === finding.code && one.finding.language === finding.language);
    if (alike) alike.more += 1;
    else told.push({ finding, more: 0 });
  }
  return told;
}
