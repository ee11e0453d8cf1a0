import type { Candidate, Competency, Page, PlanPin, Position, Timestamp, Uuid } from '../types';
import type { InterviewApi } from './api';

/** What every thing that a company keeps has. */
export interface Kept {
  id: Uuid;
  archived_at: Timestamp | null;
  created_at: Timestamp;
  updated_at: Timestamp;
  /** Rises with each change; a change names the version it was made from. */
  version: number;
}

export interface CandidateRecord extends Candidate, Kept {
  external_id: string | null;
  tags: string[];
  has_account: boolean;
  /** Archived, because this is the same person as that candidate. */
  merged_into: Uuid | null;
}

export interface CandidateFields {
  name: string;
  email: string;
  external_id: string | null;
  tags: string[];
}

export interface PositionRecord extends Position, Kept {
  guidance: string;
  /** With which version of which plan its next interview is created. */
  plan: PlanPin | null;
  competencies: (Competency & { library_id: Uuid | null })[];
}

export interface PositionFields {
  title: string;
  description: string;
  guidance: string;
  /** Exactly these, in this order; without `id` it is a new one. */
  competencies: { id?: Uuid | null; name: string; description: string; library_id: Uuid | null }[];
}

export interface Anchors {
  '1': string;
  '3': string;
  '5': string;
}

export interface LibraryCompetency extends Kept {
  name: string;
  definition: string;
  anchors: Anchors;
  /** How many positions have a copy of it. */
  positions: number;
}

export interface LibraryFields {
  name: string;
  definition: string;
  anchors: Anchors;
}

export interface ListQuery {
  q?: string;
  state?: 'active' | 'archived' | 'all';
  sort?: 'name' | '-created_at';
  limit?: number;
  cursor?: string | null;
  tag?: string;
  email?: string;
}

export interface ImportReport {
  dry_run: boolean;
  rows: number;
  created: number;
  updated: number;
  unchanged: number;
  refused: number;
  errors: { line: number; field: string; message: string }[];
  errors_left_off: number;
  ignored_columns: string[];
}

/** One change of something that a company keeps. */
export interface AuditLine {
  at: Timestamp;
  actor: Uuid;
  /** As it was then. */
  actor_role: string;
  action: 'created' | 'changed' | 'archived' | 'restored' | 'merged' | (string & {});
  target_kind: 'candidate' | 'position' | 'competency';
  detail: { fields?: string[]; by?: string; copy_of?: Uuid; merged_into?: Uuid; duplicate?: Uuid; plan?: PlanPin | null };
}

/** One list of a company's things, and what is done with them. */
export class Collection<T extends Kept, Fields> {
  constructor(
    protected readonly http: InterviewApi,
    protected readonly path: string,
  ) {}

  list(query: ListQuery = {}): Promise<Page<T>> {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
    }
    const suffix = search.toString();
    return this.http.request(`${this.path}${suffix && `?${suffix}`}`);
  }

  read(id: Uuid): Promise<T> {
    return this.http.request(this.one(id));
  }

  /** The same `key` for every try: a lost answer must not make two. */
  create(fields: Fields, key: string): Promise<T> {
    return this.http.request(this.path, { method: 'POST', body: fields, headers: { 'idempotency-key': key } });
  }

  /** Refused with `version_conflicted` when it is no longer at `version`. */
  update(id: Uuid, version: number, fields: Partial<Fields>): Promise<T> {
    return this.http.request(this.one(id), { method: 'PATCH', body: fields, headers: { 'if-match': `"${version}"` } });
  }

  archive(id: Uuid): Promise<T> {
    return this.http.request(this.one(id, 'archive'), { method: 'POST' });
  }

  restore(id: Uuid): Promise<T> {
    return this.http.request(this.one(id, 'restore'), { method: 'POST' });
  }

  protected one(id: Uuid, verb?: string): string {
    return `${this.path}/${encodeURIComponent(id)}${verb ? `/${verb}` : ''}`;
  }
}

export class Candidates extends Collection<CandidateRecord, CandidateFields> {
  constructor(http: InterviewApi) {
    super(http, '/api/candidates');
  }

  /** A CSV file; with `dryRun` it is only looked at. */
  importFile(content: Blob, dryRun: boolean, key?: string): Promise<ImportReport> {
    return this.http.request(`${this.path}/import?dry_run=${dryRun}`, {
      method: 'POST',
      file: { type: 'text/csv', content },
      ...(key ? { headers: { 'idempotency-key': key } } : {}),
    });
  }

  /** The interviews of `duplicate` become those of `id`, and `duplicate` is archived. */
  merge(id: Uuid, duplicate: Uuid): Promise<CandidateRecord> {
    return this.http.request(this.one(id, 'merge'), { method: 'POST', body: { duplicate_id: duplicate } });
  }
}

export class Positions extends Collection<PositionRecord, PositionFields> {
  constructor(http: InterviewApi) {
    super(http, '/api/positions');
  }

  duplicate(id: Uuid, key: string): Promise<PositionRecord> {
    return this.http.request(this.one(id, 'duplicate'), { method: 'POST', headers: { 'idempotency-key': key } });
  }
}

/** What a company makes by itself, for its recruiters. */
export class DirectoryApi {
  readonly candidates: Candidates;
  readonly positions: Positions;
  readonly competencies: Collection<LibraryCompetency, LibraryFields>;

  constructor(private readonly http: InterviewApi) {
    this.candidates = new Candidates(http);
    this.positions = new Positions(http);
    this.competencies = new Collection(http, '/api/competencies');
  }

  /** Who changed what of one thing, the newest first. */
  history(kind: AuditLine['target_kind'], id: Uuid, cursor: string | null = null): Promise<Page<AuditLine>> {
    const search = new URLSearchParams({ target_kind: kind, target_id: id, ...(cursor ? { cursor } : {}) });
    return this.http.request(`/api/audit?${search.toString()}`);
  }
}
