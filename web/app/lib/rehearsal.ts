import type { MisbehaviourReport, PersonaReport, PlanDocument, Rehearsal, RehearsalFinding } from '../../sdk';

/** What a page calls each candidate of a rehearsal. */
const PERSONAS: Readonly<Record<string, string>> = {
  plain: 'Answers well',
  silent: 'Says nothing',
  one_word: 'One word',
  rambling: 'Talks long',
  interrupting: 'Interrupts',
  injecting: 'Gives the AI orders',
  distressed: 'In distress',
  bilingual: 'Another language',
  noisy: 'A loud place',
  asks_for_answers: 'Asks for answers',
  leaves_early: 'Leaves early',
  echo: 'Echo',
};

const OUTCOMES: Readonly<Record<string, string>> = {
  completed: 'To the end',
  stopped: 'Stopped as they wished',
  time_limit: 'Time limit',
  failed: 'The interviewer fell silent',
  broken: 'Ended too early',
};

const words = (name: string) => name.replaceAll('_', ' ');

export const personaName = (persona: string) => PERSONAS[persona] ?? words(persona);
export const outcomeName = (outcome: string) => OUTCOMES[outcome] ?? words(outcome);

/** Where in the plan, as a person finds it: `Section 2 (Your work), question 1, probe 3`. Empty where it is about all of it. */
export function placeIn(finding: RehearsalFinding, plan: PlanDocument): string {
  const at = plan.sections.findIndex(({ id }) => id === finding.section);
  const section = plan.sections[at];
  if (!section) return '';
  const places = [`Section ${at + 1}${section.name ? ` (${section.name})` : ''}`];
  const question = section.questions.findIndex(({ id }) => id === finding.question);
  if (question >= 0) places.push(`question ${question + 1}`);
  const probe = section.questions[question]?.probes?.findIndex(({ id }) => id === finding.probe) ?? -1;
  if (probe >= 0) places.push(`probe ${probe + 1}`);
  return places.join(', ');
}

/** The sum of it in one sentence. */
export function summary({ passed, personas, misbehaving, findings }: Rehearsal): string {
  const all = [...findings, ...[...personas, ...misbehaving].flatMap((one) => one.findings)];
  const errors = all.filter(({ severity }) => severity === 'error').length;
  const interviews = counted(personas.length + misbehaving.length, 'interview');
  if (!passed) return `${counted(errors, 'error')} and ${counted(all.length - errors, 'warning')} in ${interviews}.`;
  return all.length === 0
    ? `All rules held in ${interviews}.`
    : `All rules held in ${interviews}; ${counted(all.length, 'warning')}.`;
}

export const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

/** The ways to misbehave under which a rule did not hold. */
export const broken = (misbehaving: readonly MisbehaviourReport[]) => misbehaving.filter(({ findings }) => findings.length > 0);

export const behaviourName = words;

/** Worst first within one interview is the server's order; who has errors comes before who has none. */
export function byTrouble(personas: readonly PersonaReport[]): PersonaReport[] {
  const weight = ({ findings }: PersonaReport) => Number(findings.some(({ severity }) => severity === 'error')) * 2 + Number(findings.length > 0);
  return [...personas].sort((one, other) => weight(other) - weight(one));
}
