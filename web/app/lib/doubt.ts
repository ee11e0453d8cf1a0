import type { Doubt, Entry } from '../../sdk';

/** What a reader must know of where words come from. */
export interface Mark {
  /** In a word or two. */
  label: string;
  /** What it means. */
  text: string;
  /** Whether judgements may rest on it. */
  counts: boolean;
}

const WHY = new Map<string, string>([
  ['unclosed_gap', 'Our own line was lost here and did not come back, so the browser’s words could not be compared.'],
  ['deaf_line', 'Our own line was up and heard nobody speak.'],
  ['no_item', 'The browser did not say which part of the call these words belong to.'],
  ['no_call', 'There was no call at that time.'],
  ['unconfirmed', 'Our own line has no trace of these words.'],
  ['hallucination', 'The transcription most likely made these words up: nobody seems to have said them.'],
  ['echo', 'These are the interviewer’s own words, picked up by the microphone.'],
  ['written', 'The interviewer’s model wrote this instead of saying it, so the candidate did not hear it.'],
]);
/** Heard on our own line, and most likely said by nobody. */
const NEVER_SAID = new Set(['hallucination', 'echo', 'written']);
/** A newer service may have reasons that this page does not know. */
const SOME_REASON = 'Our own line could not confirm these words.';
const FILLED = 'Our own line was away for a moment here; these words fill the gap.';

/** `null`: heard on our own line, and nothing speaks against it. Older services say nothing, and mean that. */
export function markOf(entry: Entry): Mark | null {
  const counts = entry.authoritative !== false;
  const doubt = entry.doubt ?? null;
  const fromBrowser = entry.source === 'browser';
  if (counts && doubt === null && !fromBrowser) return null;
  const label = !counts ? 'Not part of the record' : doubt !== null ? 'In doubt' : 'From the browser';
  const why = counts && doubt === null ? FILLED : (WHY.get(doubt ?? '') ?? SOME_REASON);
  const from = fromBrowser ? 'Reported by the candidate’s browser only. ' : '';
  return { label, text: `${from}${why}${weight(counts, doubt)}`, counts };
}

/** A tenant may have doubtful words judged, so only what always holds is promised. */
function weight(counts: boolean, doubt: Doubt | null): string {
  if (!counts || NEVER_SAID.has(doubt ?? '')) return ' No judgement rests on them.';
  if (doubt === null) return '';
  return doubt === 'unclosed_gap' ? ' No judgement rests on them alone.' : ' Please weigh them with care.';
}

/** Over the whole transcript: how much of it is marked, and what that means. */
export function doubtNote(entries: Entry[]): string | null {
  const marks = entries.map(markOf).filter((mark) => mark !== null);
  if (marks.length === 0) return null;
  const fromBrowser = entries.every((entry) => markOf(entry) === null || entry.source === 'browser');
  const out = marks.filter((mark) => !mark.counts).length;
  const what = fromBrowser
    ? 'Some words were reported by the candidate’s browser only; our own line did not hear them.'
    : 'Some words are in doubt.';
  const counted = `${lines(marks.length)} of ${entries.length} ${marks.length === 1 ? 'is' : 'are'} marked in the conversation.`;
  const left = out > 0 ? ` No judgement rests on ${out === marks.length ? (out === 1 ? 'it' : 'them') : `${out} of them`}.` : '';
  return `${what} ${counted}${left}`;
}

const lines = (count: number) => (count === 1 ? '1 line' : `${count} lines`);
