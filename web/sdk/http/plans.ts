import type { PlanPin, Timestamp, Uuid } from '../types';
import type { InterviewApi } from './api';

/** What is said, by language. */
export type Spoken = Record<string, string>;

export type PlanTrigger =
  | 'no_example'
  | 'no_own_part'
  | 'no_reason'
  | 'no_result'
  | 'no_reflection'
  | 'short_answer'
  | { custom: string };

export interface PlanProbe {
  id: string;
  trigger?: PlanTrigger | null;
  spoken: Spoken;
}

/** What is optional may be left out of a document that a person writes; the server fills it in. */
export interface PlanQuestion {
  id: string;
  kind: 'core' | 'optional' | 'warmup';
  competency?: string | null;
  spoken: Spoken;
  /** In other words, for who did not understand it. */
  simpler?: Spoken;
  probes?: PlanProbe[];
  min_turns?: number;
  max_turns?: number;
  target_s: number;
  hard_s: number;
  evidence_sought?: string[];
  /** Findings that the author has read and means so. */
  accepted?: { finding: string; reason: string }[];
}

export interface PlanCompetency {
  id: string;
  name: string;
  definition?: string;
  /** Behaviour at the levels 1, 3 and 5. A draft may lack them. */
  anchors?: Record<string, string>;
  not_evidence?: string[];
}

export interface PlanPassage {
  minutes: number;
  spoken: Spoken;
}

export interface PlanSection {
  id: string;
  name: string;
  minutes: number;
  questions: PlanQuestion[];
}

/** docs/plan.schema.json has the limits. */
export interface PlanDocument {
  title: string;
  default_language: string;
  languages: string[];
  minutes: number;
  turn_taking?: 'patient' | 'normal' | 'brisk';
  think_time?: { seconds?: number; times_per_question?: number };
  accommodations?: { extra_time_percent?: number; allowed?: string[] };
  competencies: PlanCompetency[];
  opening: PlanPassage;
  sections: PlanSection[];
  candidate_questions: PlanPassage;
  closing: PlanPassage;
}

export interface PlanFinding {
  code: string;
  severity: 'error' | 'warning';
  /** A JSON pointer into the document. */
  path: string;
  language: string | null;
  message: string;
  /** Why the author accepts it. */
  accepted: string | null;
}

export interface PlanItem {
  plan_id: Uuid;
  name: string;
  /** Rises with each change of the draft; a change names the one it was made from. */
  revision: number;
  newest_version: number | null;
  created_at: Timestamp;
  updated_at: Timestamp;
  archived_at: Timestamp | null;
}

export interface PlanDetail extends PlanItem {
  draft: PlanDocument;
}

/** What the linter says about a document. */
export interface PlanVerdict {
  findings: PlanFinding[];
  may_publish: boolean;
}

/** What a rehearsal says is wrong; places are ids of the plan. */
export interface RehearsalFinding {
  code: string;
  severity: 'error' | 'warning';
  section: string | null;
  question: string | null;
  probe: string | null;
  message: string;
}

/** How an interview with one simulated candidate went. */
export interface PersonaReport {
  persona: string;
  described: string;
  outcome: 'completed' | 'stopped' | 'time_limit' | 'failed' | 'broken';
  /** Without pauses. */
  minutes: number;
  questions_asked: number;
  probes_fired: number;
  longest_silence_s: number;
  findings: RehearsalFinding[];
}

/** How it went with an interviewer's model that does not do as it is told. */
export interface MisbehaviourReport {
  behaviour: string;
  outcome: PersonaReport['outcome'];
  minutes: number;
  findings: RehearsalFinding[];
}

export interface Rehearsal {
  /** The digest of the draft that was rehearsed. */
  plan: string;
  language: string;
  minutes: number;
  limit_minutes: number;
  /** Whether there are no errors. */
  passed: boolean;
  personas: PersonaReport[];
  misbehaving: MisbehaviourReport[];
  findings: RehearsalFinding[];
}

export interface PlanVersion {
  plan_id: Uuid;
  number: number;
  hash: string;
  origin: 'authored' | 'migrated';
  published_at: Timestamp;
  published_by: Uuid | null;
}

export interface PublishedPlan extends PlanVersion {
  document: PlanDocument;
  findings: PlanFinding[];
}

export interface PlanChange {
  /** By ids: `sections/main/questions/needs/spoken/en`. */
  path: string;
  what: 'added' | 'removed' | 'changed' | 'reordered';
  before?: unknown;
  after?: unknown;
}

/** Structured interviews as data, for recruiters. */
export class PlansApi {
  constructor(private readonly http: InterviewApi) {}

  /** All of them: what was changed last comes first, what is archived last. */
  async list(): Promise<PlanItem[]> {
    const plans: PlanItem[] = [];
    let next: string | null = null;
    do {
      const query: string = next === null ? '' : `?cursor=${encodeURIComponent(next)}`;
      const page: { items: PlanItem[]; next_cursor: string | null } = await this.http.request(`/api/plans${query}`);
      plans.push(...page.items);
      next = page.next_cursor;
    } while (next !== null);
    return plans.sort(byUse);
  }

  read(id: Uuid): Promise<PlanDetail> {
    return this.http.request(path(id));
  }

  /** Of the draft. It takes the server a while. */
  lint(id: Uuid): Promise<PlanVerdict> {
    return this.http.request(path(id, 'lint'), { method: 'POST' });
  }

  /** Simulated candidates go through the draft, in one of its languages. It takes the server some seconds, and stores nothing. */
  rehearse(id: Uuid, language?: string): Promise<Rehearsal> {
    const query = language === undefined ? '' : `?language=${encodeURIComponent(language)}`;
    return this.http.request(`${path(id, 'rehearse')}${query}`, { method: 'POST' });
  }

  /** Of a document that is stored nowhere, while it is written. */
  check(document: Blob): Promise<PlanVerdict> {
    return this.http.request('/api/plans/lint', { method: 'POST', file: json(document) });
  }

  /**
   * `document`: the text of a file as it is, so that an error names the line its author sees. The same `key` for every try: a
   * lost answer must not make two.
   */
  create(document: Blob, key: string): Promise<PlanDetail & PlanVerdict> {
    return this.http.request('/api/plans', { method: 'POST', file: json(document), headers: { 'idempotency-key': key } });
  }

  /** Refused with `version_conflicted` when the draft is no longer at `revision`. */
  replaceDraft(id: Uuid, revision: number, document: Blob): Promise<PlanDetail & PlanVerdict> {
    return this.http.request(path(id, 'draft'), { method: 'PUT', file: json(document), headers: { 'if-match': `"${revision}"` } });
  }

  /** Repeating it is harmless: a draft that is the newest version stays that one. */
  publish(id: Uuid, revision: number): Promise<PlanVersion> {
    return this.http.request(path(id, 'publish'), { method: 'POST', headers: { 'if-match': `"${revision}"` } });
  }

  archive(id: Uuid): Promise<PlanDetail> {
    return this.http.request(path(id, 'archive'), { method: 'POST' });
  }

  restore(id: Uuid): Promise<PlanDetail> {
    return this.http.request(path(id, 'restore'), { method: 'POST' });
  }

  async versions(id: Uuid): Promise<PlanVersion[]> {
    return (await this.http.request<{ items: PlanVersion[] }>(path(id, 'versions'))).items;
  }

  version(id: Uuid, number: number): Promise<PublishedPlan> {
    return this.http.request(path(id, `versions/${number}`));
  }

  /** Interviews for the position are created with the plan's newest version from now on; with `null` without a plan. */
  useFor(position: Uuid, plan: Uuid | null): Promise<{ position_id: Uuid; plan: PlanPin | null }> {
    const where = `/api/positions/${encodeURIComponent(position)}/plan`;
    return this.http.request(where, { method: 'PUT', body: { plan_id: plan } });
  }

  /** From one version to another, or to the draft. */
  async diff(id: Uuid, from: number, to?: number): Promise<PlanChange[]> {
    const query = to === undefined ? `from=${from}` : `from=${from}&to=${to}`;
    return (await this.http.request<{ changes: PlanChange[] }>(`${path(id, 'diff')}?${query}`)).changes;
  }
}

function byUse(one: PlanItem, other: PlanItem): number {
  const archived = Number(one.archived_at !== null) - Number(other.archived_at !== null);
  return archived || Date.parse(other.updated_at) - Date.parse(one.updated_at);
}
const json = (content: Blob) => ({ type: 'application/json', content });

function path(id: Uuid, part?: string): string {
  return `/api/plans/${encodeURIComponent(id)}${part ? `/${part}` : ''}`;
}
