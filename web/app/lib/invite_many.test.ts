import { beforeEach, describe, expect, it } from 'vitest';
import { ApiError, NetworkError, type CandidateRecord, type CreateInvite, type ImportReport } from '../../sdk';
import { InviteBatch, type BatchSource } from './invite_batch.svelte';
import { judged, peopleAsCsv, readPeople, resultsAsCsv, type Common } from './invite_many';

const report = (errors: ImportReport['errors'] = [], dry_run = true): ImportReport => ({
  dry_run,
  rows: 0,
  created: 0,
  updated: 0,
  unchanged: 0,
  refused: errors.length,
  errors,
  errors_left_off: 0,
  ignored_columns: [],
});

describe('a list of people', () => {
  it('is read as a spreadsheet writes it: any order and separator, empty rows, a byte order mark', () => {
    const { people, ignored } = readPeople('\ufeffE-Mail;Full name;Phone\r\namara@x.test;"Okafor; Amara";1\r\n;;\r\nmei@x.test;Mei;2\r\n');
    expect(people.map(({ row, name, email, state }) => [row, name, email, state])).toEqual([
      [2, 'Okafor; Amara', 'amara@x.test', 'ready'],
      [4, 'Mei', 'mei@x.test', 'ready'],
    ]);
    expect(ignored).toEqual(['Phone']);
  });

  it.each([
    ['', 'The first line must name the columns: name and email, and if you like external_id and tags.'],
    ['name,mail,email\na,b,c', 'The column email is there twice.'],
    ['name,email\n', 'There are no rows below the first line.'],
    ['name,email\n"Amara,a@x.test\nMei,m@x.test', expect.stringContaining('quotation mark')],
    [`name,email\n${'a,b@x.test\n'.repeat(5_001)}`, 'There are more than 5,000 rows. Invite them in parts.'],
  ])('is refused in words: %.30j', (text, problem) => {
    expect(readPeople(text)).toEqual({ people: [], problem, ignored: [] });
  });

  it('has nobody twice, and nobody in two lines', () => {
    const { people } = readPeople('name,email,id\nA,a@x.test,1\nB,A@X.test,2\nC,c@x.test,1\n"D\nE",d@x.test,');
    expect(people.map(({ state, why }) => [state, why])).toEqual([
      ['ready', null],
      ['wrong', 'The same person is in row 2 already.'],
      ['wrong', 'The same person is in row 2 already.'],
      ['wrong', 'A cell has a line break.'],
    ]);
  });

  it('takes what the server found to its rows, by the numbers that people see', async () => {
    const { people } = readPeople('name,email\nA,a@x.test\n\nB,A@x.test\nC,c\nD,d@x.test');
    const sent = people.filter(({ state }) => state === 'ready');
    expect(await peopleAsCsv(sent).text()).toBe('name,email,external_id,tags\r\nA,a@x.test,,\r\nC,c,,\r\nD,d@x.test,,');
    const now = judged(people, sent, report([
      { line: 3, field: 'email', message: 'is not an e-mail address' },
      { line: 4, field: 'external_id', message: 'is the same candidate as on line 2' },
    ]));
    expect(now.map(({ row, state, why }) => [row, state, why])).toEqual([
      [2, 'ready', null],
      [4, 'wrong', 'The same person is in row 2 already.'],
      [5, 'wrong', 'The email is not an e-mail address.'],
      [6, 'wrong', 'The external id is the same candidate as on row 2.'],
    ]);
  });

  it('leads to no formula in a spreadsheet', async () => {
    const [person] = readPeople('name,email\n=1+1,a@x.test').people;
    const words = { ready: 'r', wrong: 'w', created: 'c', exists: 'e', refused: 'x', unanswered: 'u' };
    expect(await resultsAsCsv(person ? [person] : [], words).text()).toContain(`"'=1+1"`);
  });
});

/** A server that keeps candidates and invites, and can be made to fail. */
class Server implements BatchSource {
  known: CandidateRecord[] = [];
  invites = new Map<string, string>();
  requests: CreateInvite[][] = [];
  lose: 'before' | 'after' | null = null;
  bad: string[] = [];

  import = async (file: Blob, dryRun: boolean) => {
    const lines = (await file.text()).split('\r\n').slice(1);
    if (!dryRun) {
      for (const line of lines) {
        const [name = '', email = ''] = line.split(',');
        if (!this.known.some((one) => one.email === email.toLowerCase())) {
          this.known.unshift({ id: `c${this.known.length}`, name, email: email.toLowerCase(), external_id: null } as CandidateRecord);
        }
      }
    }
    return report([], dryRun);
  };

  candidates: BatchSource['candidates'] = ({ cursor }) => {
    const from = Number(cursor ?? 0);
    const next = from + 200;
    return Promise.resolve({ items: this.known.slice(from, next), next_cursor: next < this.known.length ? String(next) : null });
  };

  invite: BatchSource['invite'] = (invites) => {
    this.requests.push(invites);
    const { lose } = this;
    this.lose = null;
    if (lose === 'before') return Promise.reject(new NetworkError('unreachable'));
    const results = invites.map(({ candidate_id, external_id = '' }, row) => {
      if (this.bad.includes(candidate_id)) return { row, status: 'refused' as const, code: 'mail_address_refused' };
      if (this.invites.has(external_id)) return { row, status: 'exists' as const };
      this.invites.set(external_id, candidate_id);
      return { row, status: 'created' as const, link: `https://x/#/i/${candidate_id}` };
    });
    return lose === 'after' ? Promise.reject(new NetworkError('timeout')) : Promise.resolve({ results });
  };
}

const COMMON: Common = { position_id: 'p', closes_at: '2027-01-01T00:00:00.000Z', zone: 'Europe/Berlin', send: false };

describe('many are invited', () => {
  let server: Server;
  let batch: InviteBatch;
  beforeEach(() => {
    server = new Server();
    batch = new InviteBatch(server);
  });
  const file = (count: number) => `name,email\n${Array.from({ length: count }, (_, n) => `P${n},P${n}@x.test`).join('\n')}`;

  it('nothing is made before it was looked at', async () => {
    await batch.check(file(3));
    expect([batch.phase, batch.open, server.known.length, server.requests.length]).toEqual(['checked', 3, 0, 0]);
    await batch.check('nonsense');
    expect([batch.phase, batch.people, batch.problem]).toEqual(['empty', [], expect.stringContaining('The first line')]);
  });

  it('each once, in parts, with a link that is to be kept', async () => {
    await batch.check(file(450));
    await batch.invite(COMMON);
    expect([batch.phase, batch.open, batch.counts.created, batch.linksToKeep]).toEqual(['done', 0, 450, true]);
    expect(server.requests.map((part) => part.length)).toEqual([200, 200, 50]);
    expect(new Set(server.invites.values()).size).toBe(450);
    expect(batch.people[7]?.link).toMatch(/^https:\/\/x\/#\/i\//);
  });

  it.each(['before', 'after'] as const)('nobody twice when an answer is lost, %s they were made', async (lose) => {
    await batch.check(file(250));
    server.lose = lose;
    await batch.invite(COMMON);
    expect([batch.counts.unanswered, batch.counts.ready, batch.open]).toEqual([200, 50, 250]);
    expect(batch.problem).not.toBeNull();
    await batch.invite(COMMON);
    expect([batch.open, batch.problem, server.invites.size]).toEqual([0, null, 250]);
    expect(batch.counts.exists).toBe(lose === 'after' ? 200 : 0);
  });

  it('the same file on another day invites nobody again', async () => {
    await batch.check(file(2));
    await batch.invite(COMMON);
    const again = new InviteBatch(server);
    await again.check(file(2));
    await again.invite(COMMON);
    expect([again.counts.exists, server.known.length, server.invites.size]).toEqual([2, 2, 2]);
  });

  it('who is refused is told why and can be tried again', async () => {
    await batch.check(file(2));
    server.bad = ['c0'];
    await batch.invite(COMMON);
    expect([batch.counts.created, batch.counts.refused]).toEqual([1, 1]);
    expect(batch.people.find(({ state }) => state === 'refused')?.why).toContain('No mail can be sent');
    server.bad = [];
    await batch.invite(COMMON);
    expect([batch.counts.created, server.requests.at(-1)?.length]).toEqual([2, 1]);
  });

  it('a server that cannot look changes nothing', async () => {
    server.import = () => Promise.reject(new ApiError({ type: '', title: 'x', status: 503, code: 'service_saturated', detail: null, request_id: null }));
    await batch.check(file(2));
    expect([batch.phase, batch.problem]).toEqual(['empty', 'The server is busy. Please try again in a moment.']);
  });
});
