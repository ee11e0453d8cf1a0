import type { ConsentKind, EndReason } from '../types';

export type FailureCode =
  | 'consent_refused'
  | 'call_failed'
  | 'link_refused'
  | 'end_unconfirmed'
  /** This page's own code failed. */
  | 'page_fault'
  | (string & {});

/** Why a call is replaced: it broke, or it reached the provider's limit and the next one takes over as planned. */
export type CallEnd = 'lost' | 'rollover';

/** Where an interview is, from the candidate's page. */
export type InterviewState =
  | { kind: 'idle' }
  /** Getting the ticket and opening the socket for the first time. */
  | { kind: 'joining' }
  /** The runtime is there; the voice call is being set up. */
  | { kind: 'calling' }
  | { kind: 'live' }
  /** The voice line is gone and is being built again. The interview waits. */
  | { kind: 'reconnecting'; since: number; why: CallEnd }
  | { kind: 'ending' }
  | { kind: 'ended'; reason: EndReason | null; summary: string | null }
  /** The same interview was opened somewhere else. */
  | { kind: 'superseded' }
  | { kind: 'failed'; code: FailureCode; message: string };

export type InterviewInput =
  | { type: 'start' }
  | { type: 'ready' }
  | { type: 'call_connected' }
  | { type: 'call_lost'; at: number; why: CallEnd }
  | { type: 'end_requested' }
  | { type: 'runtime_ending' }
  | { type: 'ended'; reason: EndReason | null; summary: string | null }
  | { type: 'superseded' }
  | { type: 'failed'; code: FailureCode; message: string };

export function isFinal(state: InterviewState): boolean {
  return ['ended', 'superseded', 'failed'].includes(state.kind);
}

/** The whole life of an interview in one place. Returns the same object when the input changes nothing. */
export function transition(state: InterviewState, input: InterviewInput): InterviewState {
  if (isFinal(state)) return state;
  switch (input.type) {
    case 'start':
      return state.kind === 'idle' ? { kind: 'joining' } : state;
    case 'ready':
      return state.kind === 'joining' ? { kind: 'calling' } : state;
    case 'call_connected':
      return state.kind === 'calling' || state.kind === 'reconnecting' ? { kind: 'live' } : state;
    case 'call_lost':
      return state.kind === 'live' ? { kind: 'reconnecting', since: input.at, why: input.why } : state;
    case 'end_requested':
    case 'runtime_ending':
      return state.kind === 'idle' || state.kind === 'ending' ? state : { kind: 'ending' };
    case 'ended':
      return { kind: 'ended', reason: input.reason, summary: input.summary };
    case 'superseded':
      return { kind: 'superseded' };
    case 'failed':
      return { kind: 'failed', code: input.code, message: input.message };
  }
}

/** Which of the required consents are missing. */
export function missingConsents(required: ConsentKind[], given: ConsentKind[]): ConsentKind[] {
  return required.filter((kind) => !given.includes(kind));
}
