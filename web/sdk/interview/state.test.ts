import { describe, expect, it } from 'vitest';
import { missingConsents, transition, type InterviewInput, type InterviewState } from './state';

const run = (...inputs: InterviewInput[]) =>
  inputs.reduce<InterviewState>(transition, { kind: 'idle' }).kind;

const START: InterviewInput = { type: 'start' };
const READY: InterviewInput = { type: 'ready' };
const CONNECTED: InterviewInput = { type: 'call_connected' };
const LOST: InterviewInput = { type: 'call_lost', why: 'lost', at: 1 };
const ENDED: InterviewInput = { type: 'ended', reason: 'candidate_ended', summary: 'pending' };

describe('the states of an interview', () => {
  it('goes from joining over calling to live and to the end', () => {
    expect(run(START)).toBe('joining');
    expect(run(START, READY)).toBe('calling');
    expect(run(START, READY, CONNECTED)).toBe('live');
    expect(run(START, READY, CONNECTED, { type: 'end_requested' })).toBe('ending');
    expect(run(START, READY, CONNECTED, { type: 'end_requested' }, ENDED)).toBe('ended');
  });

  it('comes back from a lost line', () => {
    expect(run(START, READY, CONNECTED, LOST)).toBe('reconnecting');
    expect(run(START, READY, CONNECTED, LOST, CONNECTED)).toBe('live');
  });

  it('does not come back to life while ending', () => {
    const ending: InterviewInput[] = [START, READY, CONNECTED, { type: 'runtime_ending' }];
    expect(run(...ending, LOST)).toBe('ending');
    expect(run(...ending, CONNECTED)).toBe('ending');
  });

  it('stays where it ended, whatever comes later', () => {
    const inputs: InterviewInput[] = [START, READY, CONNECTED, LOST, { type: 'end_requested' }, ENDED];
    const finals: InterviewInput[] = [
      ENDED,
      { type: 'superseded' },
      { type: 'failed', code: 'call_failed', message: '' },
    ];
    for (const final of finals) {
      const state = transition({ kind: 'live' }, final);
      for (const later of [...inputs, ...finals]) expect(transition(state, later)).toBe(state);
    }
  });

  it('returns the same object when nothing changes', () => {
    const live: InterviewState = { kind: 'live' };
    expect(transition(live, READY)).toBe(live);
    expect(transition(live, START)).toBe(live);
  });
});

describe('missingConsents', () => {
  it('names what was not given', () => {
    expect(missingConsents(['ai_evaluation', 'recording'], ['recording'])).toEqual(['ai_evaluation']);
    expect(missingConsents([], [])).toEqual([]);
  });
});
