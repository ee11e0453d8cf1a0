import { NetworkError, type CandidateRecord, type CreateInvite, type ImportReport, type ListQuery, type ManyInvitesRow, type Page } from '../../sdk';
import { account } from './account.svelte';
import { explain, refusalWords } from './explain';
import {
  answered,
  counted,
  identified,
  isOpen,
  judged,
  peopleAsCsv,
  readPeople,
  requestsFor,
  type Common,
  type Person,
} from './invite_many';

/** What the server does for it. */
export interface BatchSource {
  import: (file: Blob, dryRun: boolean) => Promise<ImportReport>;
  candidates: (query: ListQuery) => Promise<Page<CandidateRecord>>;
  invite: (invites: CreateInvite[]) => Promise<{ results: ManyInvitesRow[] }>;
}

const SERVER: BatchSource = {
  import: (file, dryRun) => account.directory.candidates.importFile(file, dryRun),
  candidates: (query) => account.directory.candidates.list(query),
  invite: (invites) => account.api.createInvites(invites),
};

/** So many in one request: what is lost with one answer is looked for again. */
const PART = 200;
const PAGE = 200;

/** Many people from a file: looked at, then made candidates and invited, each with a result of its own. */
export class InviteBatch {
  people = $state.raw<Person[]>([]);
  ignored = $state.raw<string[]>([]);
  /** What the import would do, or has done, with the people themselves. */
  report = $state.raw<ImportReport | null>(null);
  phase = $state<'empty' | 'checking' | 'checked' | 'inviting' | 'done'>('empty');
  /** Of those who are to be invited now. */
  progress = $state({ done: 0, of: 0 });
  problem = $state<string | null>(null);
  /** Links that were told, and are lost when the page is left. */
  linksToKeep = $state(false);
  #round = 0;

  constructor(private readonly source: BatchSource = SERVER) {}

  readonly counts = $derived(counted(this.people));
  readonly open = $derived(this.people.filter(isOpen).length);

  clear(): void {
    this.#round += 1;
    [this.people, this.ignored, this.report, this.problem] = [[], [], null, null];
    [this.phase, this.linksToKeep] = ['empty', false];
  }

  /** Only looks: nothing is made. */
  async check(text: string): Promise<void> {
    this.clear();
    const round = this.#round;
    const read = readPeople(text);
    this.problem = read.problem;
    if (read.problem !== null) return;
    [this.people, this.ignored, this.phase] = [read.people, read.ignored, 'checking'];
    try {
      const sent = read.people.filter(isOpen);
      const report = sent.length === 0 ? null : await this.source.import(peopleAsCsv(sent), true);
      if (round !== this.#round) return;
      this.report = report;
      if (report) this.people = judged(this.people, sent, report);
      this.phase = 'checked';
    } catch (error) {
      if (round !== this.#round) return;
      this.clear();
      this.problem = explain(error);
    }
  }

  /** All who are not invited yet, also those who were refused or whose answer was lost. */
  async invite(common: Common): Promise<void> {
    if (this.phase === 'inviting') return;
    this.phase = 'inviting';
    this.problem = null;
    this.progress = { done: 0, of: this.open };
    try {
      await this.#makeCandidates();
      await this.#find();
      await this.#send(common);
    } catch (error) {
      this.problem = explain(error);
    }
    this.phase = 'done';
  }

  /** Somebody who is there already is left as they are. */
  async #makeCandidates(): Promise<void> {
    const sent = this.people.filter((person) => isOpen(person) && person.candidate === null);
    if (sent.length === 0) return;
    this.report = await this.source.import(peopleAsCsv(sent), false);
    this.people = judged(this.people, sent, this.report);
  }

  /** The import does not say which candidates they are. The newest come first: most of them were made just now. */
  async #find(): Promise<void> {
    let cursor: string | null = null;
    do {
      if (!this.people.some((person) => isOpen(person) && person.candidate === null)) return;
      const page: Page<CandidateRecord> = await this.source.candidates({ state: 'active', sort: '-created_at', limit: PAGE, cursor });
      this.people = identified(this.people, page.items);
      cursor = page.next_cursor;
    } while (cursor !== null);
    this.people = this.people.map((person) =>
      isOpen(person) && person.candidate === null ? { ...person, state: 'refused', why: 'This candidate is not in the list. Try again.' } : person,
    );
  }

  async #send(common: Common): Promise<void> {
    const open = this.people.filter((person) => isOpen(person) && person.candidate !== null);
    this.progress = { done: 0, of: open.length };
    for (let from = 0; from < open.length; from += PART) {
      const part = open.slice(from, from + PART);
      try {
        const { results } = await this.source.invite(requestsFor(part, common));
        this.people = answered(this.people, part, results, refusalWords);
      } catch (error) {
        const state = error instanceof NetworkError ? 'unanswered' : 'refused';
        const rows = new Set(part.map(({ row }) => row));
        this.people = this.people.map((person) => (rows.has(person.row) ? { ...person, state, why: explain(error) } : person));
        // What follows would most likely meet the same.
        throw error;
      } finally {
        this.linksToKeep ||= part.some(({ row }) => this.people.some((person) => person.row === row && person.link !== null));
        this.progress = { done: Math.min(from + PART, open.length), of: open.length };
      }
    }
  }
}
