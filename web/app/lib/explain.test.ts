import { expect, it } from 'vitest';
import { ApiError } from '../../sdk';
import { readProblem } from '../../sdk/http/errors';
import { explain, warningWords } from './explain';

it.each([
  [403, 'seat_refused', 'Only the person who is invited'],
  [429, 'streams_exhausted', 'Close one of the windows'],
  [429, 'request_rate_exceeded', 'wait a moment'],
])('says what a refusal (%i %s) means for the person', (status, code, words) => {
  expect(explain(new ApiError({ type: 'about:blank', title: code, status, code, detail: null, request_id: null }))).toContain(words);
});

it('tells a warning as a sentence', () => {
  expect(warningWords('settings.max_duration_s: the plan takes 25 minutes; in 10 a part is left out')).toBe('The plan takes 25 minutes; in 10 a part is left out.');
  expect(warningWords('recording_unavailable')).toContain('tried again');
});

it('names the languages that a plan has', async () => {
  const body = { code: 'plan_language_missing', detail: 'no', languages: ['de', 'ja', 7] };
  expect(explain(await readProblem(Response.json(body, { status: 422 })))).toContain('Choose German or Japanese');
});
