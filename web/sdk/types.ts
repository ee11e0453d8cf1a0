/** The wire types of the HTTP API and of the `interview.v1` WebSocket, as the server documents them. */

export type Uuid = string;
/** RFC 3339. */
export type Timestamp = string;

export type Phase = 'created' | 'ready' | 'live' | 'ending' | 'summarizing' | 'completed' | 'failed';

export type EndReason =
  | 'candidate_ended'
  | 'interviewer_ended'
  | 'recruiter_ended'
  | 'time_limit'
  | 'candidate_absent'
  | 'candidate_left'
  | 'setup_failed'
  | 'machine_lost'
  | 'interviewer_failed'
  | 'not_transcribed'
  | 'superseded';

export type Speaker = 'ai' | 'candidate';
export type ConsentKind = 'ai_evaluation' | 'recording' | (string & {});

export interface Position {
  id: Uuid;
  title: string;
  description: string;
}

export interface Competency {
  id: Uuid;
  name: string;
  description: string;
}

export interface ClientConfig {
  tenant: { id: Uuid; slug: string };
  supabase: { url: string; publishable_key: string };
  sandbox: boolean;
  version: string;
}

export interface Me {
  user_id: Uuid;
  email: string;
  role: 'recruiter' | 'candidate';
  tenant_id: Uuid;
  candidate_id: Uuid | null;
}

/** One version of a plan. */
export interface PlanPin {
  plan_id: Uuid;
  version: number;
}

export interface PositionWithCompetencies extends Position {
  competencies: Competency[];
  /** For recruiters: with what its next interview is created. */
  plan?: PlanPin | null;
}

export interface Candidate {
  id: Uuid;
  name: string;
  email: string;
}

export interface SessionSettings {
  voice?: string;
  language?: string;
  temperature?: number;
  max_duration_s?: number;
}

export interface CreateSession {
  candidate_id: Uuid;
  position_id: Uuid;
  settings: SessionSettings;
}

/** What a candidate is told and asked before anything begins. */
export interface Agreement {
  required_consents: ConsentKind[];
  consent_policy_version: string;
  interview_context: {
    position: Position;
    company: { id: Uuid; name: string };
    competencies: Competency[];
  };
}

export interface JoinInfo extends Agreement {
  session_id: Uuid;
  websocket_url: string;
  websocket_ticket: string;
  expires_at: Timestamp;
  /** `null` until the candidate has consented to a recording: the next ticket has it. */
  video_token: string | null;
  video_id: string | null;
  /** Which take of the recording the video is for, from 1. */
  video_segment: number | null;
  video_upload_url: string;
  /** Until when the interview is kept while nobody has begun it; `null`: that is not told. */
  join_by: Timestamp | null;
  warnings: string[];
}

/** Who creates an interview and is not its candidate gets no ticket: the seat is the candidate's. */
export type CreatedSession = Omit<JoinInfo, 'websocket_ticket' | 'expires_at'> & {
  websocket_ticket: string | null;
  expires_at: Timestamp | null;
};

/**
 * What a page knows of the recording when it asks for a ticket. A video that was begun cannot be continued
 * by another recorder, so the answer names a new one when it must.
 */
export interface RecordingWish {
  /** This page is recording into this video and will go on doing so. */
  continues?: string;
  /** Videos that were begun and are not recorded into any more. */
  left?: string[];
}

export interface SessionView {
  session_id: Uuid;
  phase: Phase;
  end_reason: EndReason | null;
  candidate: { id: Uuid; name: string };
  position: { id: Uuid; title: string };
  /** What it is held with. */
  plan: PlanPin | null;
  /** That it was begun by, for recruiters: its end counts for the candidate, and not `join_by`. */
  invite: { invite_id: Uuid; closes_at: Timestamp } | null;
  created_at: Timestamp;
  started_at: Timestamp | null;
  ended_at: Timestamp | null;
  deadline_at: Timestamp;
  /** Until when it is kept while nobody has begun it. */
  join_by: Timestamp | null;
  /** Until when a live one waits for a candidate who is gone. */
  return_by: Timestamp | null;
  candidate_connected: boolean;
  machine: { id: string | null; region: string | null; attempt: number };
  recording: {
    state: string;
    video_id: string | null;
    parts: number;
    /** What the browser has written into it, as it said. */
    mime_type: string | null;
    /** A part of it is missing: not there yet, or it never came. */
    incomplete: boolean;
  };
  summary: { status: 'none' | 'pending' | 'stored' | 'failed' };
  transcript_entries: number;
  trace_id: string | null;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

/** One settled line of the conversation. The same `seq` may arrive again with more knowledge. */
export interface Entry {
  seq: number;
  item_id: string | null;
  segment: number;
  speaker: Speaker;
  text: string;
  /** `sideband`: heard on the runtime's own line. `typed`: the candidate's answer in writing. */
  source: 'sideband' | 'browser' | 'typed' | (string & {});
  /** Whether judgements may rest on it. Absent in older runtimes, where every entry that is shown counts. */
  authoritative?: boolean;
  /** Why it is in doubt; `null` or absent: it is not. */
  doubt?: Doubt | null;
  status: 'final' | 'failed' | 'missing' | 'partial';
  interrupted: boolean;
  heard_ms: number | null;
  heard_text: string | null;
  commentary: boolean;
  at: Timestamp;
  /** The time that the browser claimed, when it was too far off to be true; `at` is then the nearest that can be. */
  claimed_at?: string | null;
  /** How certain the transcription was: the mean natural logarithm of the probability of a token. */
  logprob?: number | null;
  /** The language that the transcription heard. */
  language?: string | null;
}

export type Doubt =
  | 'unclosed_gap'
  | 'deaf_line'
  | 'no_item'
  | 'no_call'
  | 'unconfirmed'
  | 'hallucination'
  | 'echo'
  | 'written'
  | (string & {});

/** What became of the plan in one interview. */
export interface ConductView {
  /** `null`: the position had no plan. `models` by kind: `reply`, `transcription`, `summary`. */
  plan: { id: Uuid; version: number; title: string; hash: string; models: Record<string, string[]> } | null;
  /** `null`: it was held without a plan, or in a language that its plan does not have. */
  record: ConductRecord | null;
}

export interface ConductRecord {
  language: string;
  opened: boolean;
  invited: boolean;
  closed: boolean;
  questions: QuestionRecord[];
  pauses: { kind: 'think' | 'break' | 'silence' | (string & {}); began_ms: number; ended_ms: number | null }[];
  /** What the interviewer noted for people; `entry` is the candidate’s last line then. */
  flags: { flag: string; at_ms: number; quote: string | null; entry: number | null }[];
  deviations: { kind: string; question?: string }[];
  /** For each call, the SHA-256 of the part of its instructions that does not change. Absent in older runtimes. */
  prompts?: { at_ms: number; sha256: string }[];
  faults: { calls_replaced: number; entries_incomplete: number; entries_doubtful: number };
}

export interface QuestionRecord {
  id: string;
  kind: string;
  text: string;
  asked: { entry: number | null; at_ms: number; verbatim: boolean } | null;
  /** Without pauses. */
  seconds: number;
  probes_used: string[];
  probes: number;
  /** `seq` of the transcript entries. */
  answers: number[];
  coverage: string;
  covered_by: string | null;
  left: string | null;
  dropped: boolean;
  thinks: number;
  repeats: number;
}

export interface Evidence {
  /** `seq` of the transcript entry that was quoted. */
  entry: number;
  quote: string;
}

export type Recommendation = 'advance' | 'hold' | 'decline' | 'insufficient_evidence';
export type Assessment = 'strong' | 'adequate' | 'weak' | 'not_assessed';

export interface Summary {
  overall: string;
  recommendation: Recommendation;
  competencies: {
    competency_id: Uuid;
    name: string;
    assessment: Assessment;
    rationale: string;
    evidence: Evidence[];
  }[];
  strengths: { text: string; evidence: Evidence[] }[];
  concerns: { text: string; evidence: Evidence[] }[];
}

export interface SummaryView {
  status: 'none' | 'pending' | 'stored' | 'failed';
  version: number;
  model: string | null;
  created_at: Timestamp | null;
  content: Summary | null;
  failure: string | null;
}

export interface RecordingView {
  state: string;
  provider: string | null;
  video_id: string | null;
  parts: number;
  mime_type: string | null;
  incomplete: boolean;
  playback_url: string | null;
  /** Every take that something was recorded into, in order; most interviews have one. */
  segments: RecordingSegment[];
}

export interface RecordingSegment {
  segment: number;
  state: string;
  video_id: string | null;
  parts: number;
  mime_type: string | null;
  incomplete: boolean;
  playback_url: string | null;
}

// ---- WebSocket, client to runtime -------------------------------------------------------------

export interface RelayedEntry {
  text: string;
  speaker: Speaker;
  timestamp: Timestamp;
  id?: string;
  item_id?: string;
}

export type MediaState = 'connecting' | 'connected' | 'disconnected' | 'failed';

export interface MediaStats {
  rtt_ms: number | null;
  jitter_ms: number | null;
  packets_lost: number | null;
  bitrate_bps: number | null;
}

export type RecordingState = 'recording' | 'part_stored' | 'finished' | 'failed';

/** At the mouth, or across the room. */
export type MicrophoneKind = 'near' | 'far';

export type ClientMessage =
  | { type: 'sdp_offer'; sdp: string; microphone?: MicrophoneKind }
  | { type: 'transcript_update'; entries: RelayedEntry[]; seq: number }
  | { type: 'end_session'; reason?: string; recording_url?: string }
  | { type: 'consent'; kinds: ConsentKind[]; policy_version: string }
  | { type: 'resume'; last_event: number }
  | { type: 'media_state'; state: MediaState; stats?: MediaStats; microphone?: MicrophoneKind }
  | {
      type: 'recording_state';
      state: RecordingState;
      video_id: string;
      part?: number;
      /** With `recording`: the container this browser writes. */
      mime_type?: string;
    }
  | { type: 'integrity_event'; kind: string; at: Timestamp }
  | { type: 'refresh_auth'; token: string }
  | { type: 'heartbeat' }
  | { type: 'typed_answer'; id: string; text: string }
  | { type: 'think' }
  | { type: 'go_on' };

/** Why nobody speaks. */
export interface Waiting {
  state: 'nothing' | 'take_your_time' | 'thinking' | 'paused' | (string & {});
  /** Of a moment to think: how long at most. */
  at_most_s: number | null;
}

// ---- WebSocket, runtime to client -------------------------------------------------------------

export interface ServerEvents {
  session_ready: {
    session_id: Uuid;
    /** Rises with each process that takes the interview up. */
    process?: number;
    phase: Phase;
    segment: number;
    acked_seq: number;
    heartbeat_interval_ms: number;
    required_consents: ConsentKind[];
    given_consents: ConsentKind[];
    time_left_s: number;
    greeted: boolean;
    /** The interview is led through a plan: `think` and `go_on` are answered. */
    plan?: boolean;
    limits: {
      max_frame_bytes: number;
      max_entries: number;
      /** Of a typed answer. Absent: the runtime takes none. */
      max_typed_chars?: number;
    };
  };
  consent_recorded: { kinds: ConsentKind[] };
  sdp_answer: { sdp: string; segment: number };
  transcript_ack: { seq: number };
  transcript_entry: { entry: Entry };
  /** The `typed_answer` is stored. */
  typed_answer_ack: { id: string };
  phase_changed: { phase: Phase; reason: EndReason | null };
  media_renegotiate: { reason: 'lost' | 'rollover' | (string & {}); n?: number };
  quality_advice: {
    level: 'good' | 'fair' | 'poor' | (string & {});
    max_audio_bitrate_bps: number;
    max_video_bitrate_bps: number;
  };
  time_left: { seconds: number };
  waiting: Waiting;
  degraded: { what: string };
  restored: { what: string };
  session_ended: {
    reason: EndReason;
    transcript_entries: number;
    summary: 'pending' | 'stored' | 'failed' | (string & {});
  };
  error: {
    code: string;
    message: string;
    /** `false`: sending the same again is of no use. */
    retryable: boolean;
    request_type: string | null;
    /** Which `transcript_update` is meant. Older runtimes do not say. */
    seq?: number | null;
    /** Which `typed_answer` is meant. */
    id?: string | null;
  };
  replayed: object;
  heartbeat_ack: object;
}

export type ServerEventName = keyof ServerEvents;
export type ServerMessage = {
  [K in ServerEventName]: { type: K; n?: number } & ServerEvents[K];
}[ServerEventName];

// ---- Invites: a link for a candidate without an account -----------------------------------------

export type InviteState = 'created' | 'sent' | 'opened' | 'started' | 'exhausted' | 'finished' | 'expired' | 'revoked' | 'bounced';

export interface InviteView {
  invite_id: Uuid;
  state: InviteState;
  candidate: Candidate;
  position: { id: Uuid; title: string };
  session_id: Uuid | null;
  external_id: string | null;
  opens_at: Timestamp;
  closes_at: Timestamp;
  /** The candidate's, by its IANA name. */
  zone: string;
  locale: string;
  settings: SessionSettings;
  attempts: { allowed: number; used: number };
  reason: string | null;
  created_at: Timestamp;
  sent_at: Timestamp | null;
  opened_at: Timestamp | null;
  started_at: Timestamp | null;
  finished_at: Timestamp | null;
  /** What became of the newest mail; `null` where none was asked for. */
  mail: { state: 'queued' | 'sending' | 'sent' | 'bounced' | 'failed'; failure: string | null } | null;
}

export interface CreateInvite {
  candidate_id: Uuid;
  position_id: Uuid;
  opens_at?: Timestamp;
  closes_at: Timestamp;
  zone: string;
  locale?: string;
  external_id?: string;
  attempts?: number;
  settings?: SessionSettings;
  send?: boolean;
}

/** What became of one row of many. The link is told for rows that are not sent by mail, and once. */
export interface ManyInvitesRow {
  row: number;
  status: 'created' | 'exists' | 'refused';
  invite_id?: Uuid;
  link?: string;
  code?: string;
  detail?: string;
  warnings?: string[];
}

/** The link is told once: only a hash of it is kept. `null` where the invite was there already. */
export type CreatedInvite = InviteView & { link: string | null; warnings: string[] };

/** What whoever has the link is shown. */
export interface InvitePage {
  state: InviteState;
  /** Whether the button leads back into the interview. A `started` one that does not is being stored. */
  resumes: boolean;
  company: string;
  candidate: { name: string };
  position: { title: string };
  opens_at: Timestamp;
  closes_at: Timestamp;
  zone: string;
  locale: string;
  language: string | null;
  max_duration_s: number | null;
  attempts_left: number;
  /** By the server's clock. */
  now: Timestamp;
}

export interface StartedInvite {
  session_id: Uuid;
  /** In place of an account: good for this interview, until `expires_at`. */
  token: string;
  expires_at: Timestamp;
}
