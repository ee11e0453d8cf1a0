import type { PlanDocument } from '../../sdk';

export interface Place {
  /** As a person finds it: `Section 2, question 1, probe 3`. */
  words: string;
  /** The id of the element of the page that shows it; `null` when none does. */
  target: string | null;
}

const PASSAGES: Readonly<Record<string, string>> = {
  opening: 'Opening',
  candidate_questions: 'The candidate’s questions',
  closing: 'Closing',
};

/** Of fields whose name is not a word. */
const FIELDS: Readonly<Record<string, string>> = { target_s: 'time', hard_s: 'longest time', not_evidence: 'what is no evidence' };

/** Where in a plan a JSON pointer leads: people count from 1. */
export function placeOf(pointer: string, plan: PlanDocument): Place {
  const parts = pointer.split('/').slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const [head = '', ...rest] = parts;
  const passage = PASSAGES[head];
  if (passage !== undefined) return { words: named(passage, rest), target: `plan-${head}` };
  if (head === 'sections') return inSection(rest, plan);
  const at = number(rest[0]);
  if (head === 'competencies' && at !== null) {
    const name = plan.competencies[at]?.name;
    return { words: named(`Competency ${at + 1}${name ? ` (${name})` : ''}`, rest.slice(1)), target: competencyId(at) };
  }
  return { words: head === '' ? 'The whole plan' : named('The plan', parts), target: null };
}

export const competencyId = (competency: number) => `plan-competency-${competency + 1}`;
export const sectionId = (section: number) => `plan-section-${section + 1}`;
export const questionId = (section: number, question: number) => `${sectionId(section)}-question-${question + 1}`;

function inSection([section, ...rest]: string[], plan: PlanDocument): Place {
  const at = number(section);
  if (at === null) return { words: 'The sections', target: null };
  const name = plan.sections[at]?.name;
  const words = `Section ${at + 1}${name ? ` (${name})` : ''}`;
  const question = rest[0] === 'questions' ? number(rest[1]) : null;
  if (question === null) return { words: named(words, rest), target: sectionId(at) };
  const probe = rest[2] === 'probes' ? number(rest[3]) : null;
  const inner = probe === null ? named(`question ${question + 1}`, rest.slice(2)) : named(`question ${question + 1}, probe ${probe + 1}`, rest.slice(4));
  return { words: `${words}, ${inner}`, target: questionId(at, question) };
}

/** With the names of the fields that lead further in; where the words are spoken needs none. */
function named(words: string, fields: string[]): string {
  const told = fields.filter((field) => field !== 'spoken').map((field) => FIELDS[field] ?? field.replaceAll('_', ' '));
  return told.length === 0 ? words : `${words}: ${told.join(' ')}`;
}

function number(part: string | undefined): number | null {
  return part !== undefined && /^\d+$/.test(part) ? Number(part) : null;
}
