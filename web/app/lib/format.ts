import type { Assessment, EndReason, Phase, Recommendation, SessionView } from '../../sdk';

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
/** An appointment: nobody should have to guess its day or its zone. */
const MOMENT: Intl.DateTimeFormatOptions = {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  timeZoneName: 'short',
};
const moment = new Intl.DateTimeFormat(undefined, MOMENT);
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** One time that nobody can read must not keep the page from being drawn. */
function format(how: Intl.DateTimeFormat, value: string | null | undefined): string {
  const at = Date.parse(value ?? '');
  return Number.isNaN(at) ? '–' : how.format(at);
}

export const formatDateTime = (value: string | null | undefined) => format(dateTime, value);
export const formatMoment = (value: string | null | undefined) => format(moment, value);
export const formatClock = (value: string | null | undefined) => format(clock, value);

/** By its IANA name: `Europe/Berlin`. */
export const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
/** As people read it: `America/New York`. */
export const zoneName = (zone: string) => zone.replaceAll('_', ' ');

/** An appointment in the zone of whoever keeps it, with the zone's name. */
export function momentIn(zone: string, value: string | null | undefined): string {
  let how: Intl.DateTimeFormat;
  try {
    how = new Intl.DateTimeFormat(undefined, { ...MOMENT, timeZone: zone });
  } catch {
    // An older browser may not know a zone that the server does.
    return format(new Intl.DateTimeFormat(undefined, { ...MOMENT, timeZone: 'UTC' }), value);
  }
  const told = format(how, value);
  // Of some zones the short name is the whole one: UTC is not told twice.
  return told === '–' || told.endsWith(zone) ? told : `${told} (${zoneName(zone)})`;
}

/** How long it is until then, in words; `null` when it is over or nobody knows. */
export function timeUntil(value: string | null | undefined, now = Date.now()): string | null {
  const seconds = (Date.parse(value ?? '') - now) / 1000;
  if (!(seconds > 0)) return null;
  const words = (count: number, unit: string) => `${count} ${unit}${count === 1 ? '' : 's'}`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return 'less than a minute';
  if (minutes < 120) return words(minutes, 'minute');
  return minutes < 48 * 60 ? words(Math.floor(minutes / 60), 'hour') : words(Math.floor(minutes / 1440), 'day');
}

/** 75 → "1:15" */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = String(whole % 60).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

export function formatBytes(bytes: number): string {
  return bytes < 1024 * 1024
    ? `${Math.ceil(bytes / 1024)} KB`
    : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

export type Tone = 'neutral' | 'active' | 'good' | 'caution' | 'bad';

export const PHASES: Record<Phase, { label: string; tone: Tone }> = {
  created: { label: 'Invited', tone: 'neutral' },
  ready: { label: 'Ready to start', tone: 'neutral' },
  live: { label: 'In progress', tone: 'active' },
  ending: { label: 'Ending', tone: 'active' },
  summarizing: { label: 'Writing summary', tone: 'active' },
  completed: { label: 'Completed', tone: 'good' },
  failed: { label: 'Failed', tone: 'bad' },
};

export const END_REASONS: Record<EndReason, string> = {
  candidate_ended: 'Ended by the candidate',
  interviewer_ended: 'Finished by the interviewer',
  recruiter_ended: 'Ended by a recruiter',
  time_limit: 'The time was up',
  candidate_absent: 'The candidate did not come',
  candidate_left: 'The candidate left and did not return',
  setup_failed: 'The interview could not be set up',
  machine_lost: 'The connection to the interview was lost for good',
  interviewer_failed: 'The interviewer could not be made to speak',
  not_transcribed: 'What was said could not be written down',
  superseded: 'Continued elsewhere',
};

export const RECOMMENDATIONS: Record<Recommendation, { label: string; tone: Tone }> = {
  advance: { label: 'Advance', tone: 'good' },
  hold: { label: 'Hold', tone: 'caution' },
  decline: { label: 'Decline', tone: 'bad' },
  insufficient_evidence: { label: 'Not enough evidence', tone: 'neutral' },
};

export const ASSESSMENTS: Record<Assessment, { label: string; tone: Tone }> = {
  strong: { label: 'Strong', tone: 'good' },
  adequate: { label: 'Adequate', tone: 'neutral' },
  weak: { label: 'Weak', tone: 'caution' },
  not_assessed: { label: 'Not assessed', tone: 'neutral' },
};

const RECORDING_LABELS: Record<string, string> = {
  none: 'None',
  waiting: 'Not started',
  recording: 'Recording',
  uploaded: 'Uploaded, being prepared',
  playable: 'Ready to watch',
  failed: 'Failed',
  declined: 'Declined by the candidate',
};

export const recordingLabel = (state: string) => RECORDING_LABELS[state] ?? state.replaceAll('_', ' ');

export const SUMMARY_LABELS: Record<SessionView['summary']['status'], string> = {
  none: '–',
  pending: 'Being written',
  stored: 'Ready',
  failed: 'Failed',
};

export function isOver(phase: Phase): boolean {
  return phase === 'completed' || phase === 'failed';
}

/**
 * How an interview stands for whoever looks after it: nobody came is an expired invitation, not a completed interview. By an invite
 * another is begun, as long as that is open.
 */
export function outcome(session: Pick<SessionView, 'phase' | 'end_reason' | 'invite'>): { label: string; tone: Tone } {
  const absent = isOver(session.phase) && session.end_reason === 'candidate_absent';
  if (!absent) return PHASES[session.phase];
  return session.invite ? { label: 'Not begun', tone: 'neutral' } : { label: 'Expired', tone: 'caution' };
}

/** The one that is going on comes first; otherwise the order stays. */
export function resumeFirst(sessions: SessionView[]): SessionView[] {
  const rank = ({ phase }: SessionView) => (phase === 'live' ? 0 : 1);
  return [...sessions].sort((a, b) => rank(a) - rank(b));
}

/**
 * The recording in a few words. After the end nothing is being recorded any more: what has not arrived by then is still
 * on the candidate's device, or lost.
 */
export function recordingWords(session: Pick<SessionView, 'phase' | 'recording'>): string {
  const { state, incomplete } = session.recording;
  if (!isOver(session.phase)) return recordingLabel(state);
  if (state === 'waiting') return 'Nothing has arrived';
  if (state === 'recording') return 'A part of the recording is missing';
  return incomplete ? `${recordingLabel(state)}; a part is missing` : recordingLabel(state);
}

/** May the candidate still come in? */
export function isJoinable(phase: Phase): boolean {
  return phase === 'created' || phase === 'ready' || phase === 'live';
}
