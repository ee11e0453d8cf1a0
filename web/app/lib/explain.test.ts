import { expect, it } from 'vitest';
import { ApiError } from '../../sdk';
import { explain } from './explain';

it.each([
  [403, 'seat_refused', 'Only the person who is invited'],
  [429, 'streams_exhausted', 'Close one of the windows'],
  [429, 'request_rate_exceeded', 'wait a moment'],
])('says what a refusal (%i %s) means for the person', (status, code, words) => {
  expect(explain(new ApiError({ type: 'about:blank', title: code, status, code, detail: null, request_id: null }))).toContain(words);
});
