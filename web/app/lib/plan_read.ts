import type { PlanDocument } from '../../sdk';

export type Read = { document: PlanDocument; problem: null } | { document: null; problem: string };

/** A plan as people read it. */
export const planText = (document: PlanDocument) => `${JSON.stringify(document, null, 2)}\n`;

/**
 * A plan that somebody writes as JSON. What a form needs must be there; whether it is a correct plan is for the server and its
 * check to say.
 */
export function readDocument(text: string): Read {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { document: null, problem: `This is not JSON: ${error instanceof Error ? error.message : 'it cannot be read'}` };
  }
  const wrong = faultOf(value);
  return wrong === null ? { document: value as PlanDocument, problem: null } : { document: null, problem: wrong };
}

type Shape = 'text' | 'number' | 'texts' | 'spoken' | 'trigger' | Shape[] | { [name: string]: Shape };

const SPOKEN: Shape = 'spoken';
const PASSAGE: Shape = { minutes: 'number', spoken: SPOKEN };
/** A `?` may be left out. */
const PLAN: Shape = {
  title: 'text',
  default_language: 'text',
  languages: 'texts',
  minutes: 'number',
  'turn_taking?': 'text',
  'think_time?': { 'seconds?': 'number', 'times_per_question?': 'number' },
  'accommodations?': { 'extra_time_percent?': 'number', 'allowed?': 'texts' },
  competencies: [
    { id: 'text', name: 'text', 'definition?': 'text', 'anchors?': { '1?': 'text', '3?': 'text', '5?': 'text' }, 'not_evidence?': 'texts' },
  ],
  opening: PASSAGE,
  sections: [
    {
      id: 'text',
      name: 'text',
      minutes: 'number',
      questions: [
        {
          id: 'text',
          kind: 'text',
          'competency?': 'text',
          spoken: SPOKEN,
          'simpler?': SPOKEN,
          'probes?': [{ id: 'text', 'trigger?': 'trigger', spoken: SPOKEN }],
          'min_turns?': 'number',
          'max_turns?': 'number',
          target_s: 'number',
          hard_s: 'number',
          'evidence_sought?': 'texts',
          'accepted?': [{ finding: 'text', reason: 'text' }],
        },
      ],
    },
  ],
  candidate_questions: PASSAGE,
  closing: PASSAGE,
};

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown) => typeof value === 'string';

function faultOf(value: unknown, shape: Shape = PLAN, where = ''): string | null {
  const fault = (what: string) => `${where || 'The whole'} must be ${what}.`;
  if (shape === 'text') return isText(value) ? null : fault('a text');
  if (shape === 'number') return typeof value === 'number' ? null : fault('a number');
  if (shape === 'texts') return Array.isArray(value) && value.every(isText) ? null : fault('a list of texts');
  if (shape === 'spoken') return isObject(value) && Object.values(value).every(isText) ? null : fault('texts by language');
  if (shape === 'trigger') {
    return isText(value) || (isObject(value) && isText(value['custom'])) ? null : fault('the name of a trigger, or {"custom": "…"}');
  }
  if (Array.isArray(shape)) {
    const [inner] = shape;
    if (!Array.isArray(value)) return fault('a list');
    return first(value, (part, n) => (inner === undefined ? null : faultOf(part, inner, `${where}/${n}`)));
  }
  if (!isObject(value)) return fault('an object');
  return first(Object.entries(shape), ([member, inner]) => {
    const name = member.replace('?', '');
    const part = value[name];
    // A null says nothing: the server knows whether it may stand there.
    if (member.endsWith('?') && (part === undefined || part === null)) return null;
    if (part === undefined) return `${where || 'The plan'} lacks “${name}”.`;
    return faultOf(part, inner, `${where}/${name}`);
  });
}

function first<T>(parts: T[], fault: (part: T, n: number) => string | null): string | null {
  for (const [n, part] of parts.entries()) {
    const found = fault(part, n);
    if (found !== null) return found;
  }
  return null;
}
