import type { ConductRecord, QuestionRecord } from '../../sdk';

/** A wish or a situation that the interviewer noted. A newer service may have kinds that this page does not know. */
const FLAGS = new Map<string, string>([
  ['wants_human', 'Wants to talk to a person'],
  ['wants_to_stop', 'Wanted to stop'],
  ['distress', 'Was in distress'],
  ['abuse', 'Abusive words'],
  ['manipulation', 'Spoke to the model instead of answering'],
  ['protected', 'Told something personal that must not be judged'],
  ['confidential', 'Told something confidential'],
  ['adjustment', 'Asked for an adjustment'],
  ['technical', 'Technical trouble'],
]);
export const flagWords = (flag: string): string => FLAGS.get(flag) ?? 'Something to look at';

const DEVIATIONS = new Map<string, string>([
  ['core_not_asked', 'was not asked'],
  ['not_verbatim', 'was asked in other words than the plan’s'],
  ['optional_dropped', 'was left out, for there was no time'],
  ['not_opened', 'The opening was not heard.'],
  ['not_closed', 'The interview ended without its closing words.'],
]);

/** In the order of their weight, a sentence each. */
export function deviationWords(record: ConductRecord): string[] {
  const numbered = new Map(record.questions.map((question, index) => [question.id, index + 1]));
  return record.deviations.map(({ kind, question }) => {
    const words = DEVIATIONS.get(kind) ?? 'was not as the plan says';
    return question === undefined ? words : `Question ${numbered.get(question) ?? question} ${words}.`;
  });
}

const PAUSES = new Map<string, string>([
  ['think', 'A moment to think'],
  ['break', 'A break'],
  ['silence', 'Nobody answered'],
]);
export const pauseWords = (kind: string): string => PAUSES.get(kind) ?? 'A pause';

/** `1:05`, `12:30`. */
export function clockWords(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

const LEFT = new Map<string, string>([
  ['interviewer', 'the interviewer had enough'],
  ['turns', 'as many answers as the plan allows'],
  ['time', 'its time was over'],
  ['time_up', 'the interview’s time was over'],
]);

/** What became of a question, in a line. */
export function questionWords(question: QuestionRecord): string {
  if (question.asked === null) return question.dropped ? 'Left out: there was no time' : 'Not asked';
  const parts = [
    question.asked.verbatim ? 'Asked as written' : 'Asked in other words',
    `at ${clockWords(question.asked.at_ms / 1000)}`,
    `${clockWords(question.seconds)} minutes`,
    count(question.answers.length, 'answer'),
  ];
  if (question.probes > 0) parts.push(`${question.probes_used.length} of ${count(question.probes, 'follow-up')}`);
  if (question.thinks > 0) parts.push(`thought ${times(question.thinks)}`);
  if (question.repeats > 0) parts.push(`repeated ${times(question.repeats)}`);
  const left = question.left === null ? undefined : LEFT.get(question.left);
  if (left !== undefined) parts.push(left);
  return parts.join(', ');
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
const times = (n: number) => (n === 1 ? 'once' : `${n} times`);

/** What went wrong with the call, whoever brought it about; `null`: nothing that is known. */
export function faultWords({ faults }: ConductRecord): string | null {
  const parts: string[] = [];
  if (faults.calls_replaced > 0) parts.push(`The call was begun anew ${times(faults.calls_replaced)}.`);
  if (faults.entries_incomplete > 0) parts.push(`The words of ${count(faults.entries_incomplete, 'answer')} are not complete.`);
  if (faults.entries_doubtful > 0) parts.push(`In doubt: ${count(faults.entries_doubtful, 'line')} of the conversation.`);
  return parts.length === 0 ? null : parts.join(' ');
}
