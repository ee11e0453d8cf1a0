import { isAuthRetryableFetchError } from '@supabase/supabase-js';
import { ApiError, NetworkError, PageFault, isProgramError } from '../../sdk';
import { languageName } from './languages';

/** Refusals that a person meets, by their code. */
const WORDS: Readonly<Record<string, string>> = {
  seat_refused: 'Only the person who is invited can join this interview. You can watch it from its page.',
  session_already_open: 'You have an open interview for this position already. Join it from "Your interviews".',
  session_quota_exhausted: 'You cannot start another interview today. Join one that is open, or come back tomorrow.',
  tenant_sessions_exhausted: 'As many interviews as possible are open. Please try again when some have ended.',
  invitation_expired: 'This invitation has expired. Invite the candidate again.',
  invitation_taken: 'The candidate has begun the interview, so there is nothing to extend.',
  invitation_end_refused: 'It cannot be kept open that long. Choose an earlier time.',
  invite_unknown: 'This link leads nowhere. It may have been cut in the mail: copy all of it, or write to the person who sent it.',
  invite_too_early: 'This invitation cannot be used yet.',
  invite_expired: 'This invitation has expired.',
  invite_revoked: 'This invitation was withdrawn.',
  invite_spent: 'The interview of this invitation was held.',
  invite_exhausted: 'The interview could not be held several times. Write to the person who invited you.',
  invite_closed: 'This interview is no longer held. Write to the person who invited you.',
  invite_storing: 'Your interview is over and is being stored. Please try again in a moment.',
  invite_state_refused: 'The invite has changed meanwhile. Look at it again.',
  invite_window_invalid: 'Choose a time that is ahead, not earlier than before, and not too far away.',
  invite_token_refused: 'Open the link of your invitation again.',
  mail_unconfigured: 'No mail server is set up here. Copy the link and give it to the candidate yourself.',
  mail_address_refused: 'No mail can be sent to the address of this candidate. Correct it, or give them the link yourself.',
  service_saturated: 'The server is busy. Please try again in a moment.',
  fields_invalid: 'Some fields need another look.',
  version_conflicted: 'Somebody else has changed this since you opened it.',
  resource_archived: 'This is archived. Restore it first.',
  external_id_taken: 'Another candidate has this external id. Change one of them, or merge them.',
  competency_name_taken: 'The library has a competency of this name already.',
  plan_not_publishable: 'The check found errors in the draft. Mend them first.',
  plan_in_use: 'A position uses this plan. Give the position another one first.',
  plans_exhausted: 'There are as many plans as possible. Archive those that nobody uses.',
  streams_exhausted: 'You are watching as many interviews as possible. Close one of the windows, then try again.',
};

/** An error in words a person can act on. */
export function explain(error: unknown): string {
  if (error instanceof NetworkError && error.kind === 'timeout') {
    return 'The server took too long to answer. Please try again.';
  }
  if (error instanceof NetworkError || isAuthRetryableFetchError(error)) {
    return 'The server could not be reached. Please check your connection and try again.';
  }
  if (error instanceof ApiError) {
    const words = WORDS[error.code];
    if (words) return words;
    if (error.code === 'plan_language_missing') return inThePlan(error.problem.languages ?? []);
    if (error.status === 401) return 'You are signed out. Please sign in again.';
    if (error.status === 404) return 'This does not exist, or it belongs to someone else.';
    if (error.status === 429) return 'Too many requests. Please wait a moment and try again.';
    const reference = error.requestId ? ` (reference ${error.requestId})` : '';
    return `${sentence(error.message)}${reference}`;
  }
  if (isProgramError(error)) {
    const { code } = error instanceof PageFault ? error : new PageFault(error);
    return faultWords(code);
  }
  return error instanceof Error ? sentence(error.message) : 'Something went wrong.';
}

/** Why one of many was refused. */
export function refusalWords({ code, detail }: { code?: string; detail?: string }): string {
  return (code && WORDS[code]) || sentence((detail ?? '').replace(/^[a-z_.]+: /, ''));
}

function inThePlan(languages: string[]): string {
  const there = languages.length === 0 ? 'another one' : languages.map(languageName).join(' or ');
  return `The plan of this position is not written in this language. Choose ${there}, or give the position another plan.`;
}

/** Neither the network nor the person is at fault, and waiting would not help. */
export function faultWords(code: string): string {
  return `Something in this page does not work in this browser. Update the browser or open the page in another one; if it stays, write to the person who invited you and name this code: ${code}.`;
}

/** A warning of the server, without the name of the setting that it is about: the form that was filled in says that. */
export function warningWords(warning: string): string {
  if (warning === 'recording_unavailable') return 'The recording is not ready yet. It is tried again when the candidate comes.';
  return sentence(warning.replace(/^[a-z_.]+: /, ''));
}

function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return 'Something went wrong.';
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** Why the microphone or the camera is not available. */
export function explainMediaError(error: unknown, what: 'microphone' | 'camera'): string {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') {
    return `This page may not use your ${what}. Allow it in the address bar of your browser, then try again.`;
  }
  if (name === 'NotFoundError') return `No ${what} was found. Please connect one and try again.`;
  if (name === 'NotReadableError') return `Your ${what} is in use by another program. Close it there, then try again.`;
  return `Your ${what} could not be started.`;
}
