import Papa from 'papaparse';
import type { CandidateRecord, CreateInvite, ImportReport, ManyInvitesRow, Uuid } from '../../sdk';

/** As many as the server takes in one file, and in one request. */
export const MOST_PEOPLE = 5_000;
export const MOST_BYTES = 2 * 1024 * 1024;

/**
 * `wrong`: cannot be invited as it stands. `refused` and `unanswered`: can be tried again, and nobody is invited twice.
 */
export type PersonState = 'ready' | 'wrong' | 'created' | 'exists' | 'refused' | 'unanswered';

export interface Person {
  /** As a spreadsheet counts: the columns are named in row 1. */
  row: number;
  name: string;
  email: string;
  external_id: string;
  tags: string;
  state: PersonState;
  why: string | null;
  candidate: Uuid | null;
  /** Shown once. */
  link: string | null;
}

/** As the server's import reads the names of columns. */
const COLUMNS: Readonly<Record<string, 'name' | 'email' | 'external_id' | 'tags'>> = {
  name: 'name',
  fullname: 'name',
  candidate: 'name',
  email: 'email',
  emailaddress: 'email',
  mail: 'email',
  externalid: 'external_id',
  id: 'external_id',
  tags: 'tags',
  tag: 'tags',
};

export interface People {
  people: Person[];
  /** Why nothing of it can be read. */
  problem: string | null;
  /** Columns that mean nothing here. */
  ignored: string[];
}

const none = (problem: string): People => ({ people: [], problem, ignored: [] });

/** A CSV file, or cells that were copied from a spreadsheet. */
export function readPeople(text: string): People {
  const { data, errors } = Papa.parse<string[]>(text.replace(/^\ufeff/, ''), { delimitersToGuess: [',', ';', '\t'] });
  const open = errors.find(({ type }) => type === 'Quotes');
  if (open) return none(`In row ${(open.row ?? 0) + 1} a quotation mark stands where none can be, or one is missing.`);
  const [header = [], ...rows] = data;
  const titles = header.map((title) => COLUMNS[title.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')]);
  const at = (name: (typeof COLUMNS)[string]) => titles.indexOf(name);
  if (at('name') === -1 || at('email') === -1) {
    return none('The first line must name the columns: name and email, and if you like external_id and tags.');
  }
  const twice = titles.find((title, n) => title !== undefined && titles.indexOf(title) !== n);
  if (twice) return none(`The column ${twice} is there twice.`);
  const cell = (cells: string[], name: (typeof COLUMNS)[string]) => (cells[at(name)] ?? '').trim();
  const people = rows.flatMap((cells, n): Person[] => {
    // What a spreadsheet leaves below its table.
    if (cells.every((one) => one.trim() === '')) return [];
    const fields = { name: cell(cells, 'name'), email: cell(cells, 'email'), external_id: cell(cells, 'external_id'), tags: cell(cells, 'tags') };
    return [{ row: n + 2, ...fields, state: 'ready', why: null, candidate: null, link: null }];
  });
  if (people.length === 0) return none('There are no rows below the first line.');
  if (people.length > MOST_PEOPLE) return none(`There are more than ${MOST_PEOPLE.toLocaleString('en')} rows. Invite them in parts.`);
  const ignored = header.map((title) => title.trim()).filter((title, n) => title !== '' && titles[n] === undefined);
  return { people: withoutDoubles(people), problem: null, ignored };
}

function withoutDoubles(people: Person[]): Person[] {
  const seen = new Map<string, number>();
  return people.map((person) => {
    if (Object.values(person).some((value) => typeof value === 'string' && /[\r\n]/.test(value))) return wrong(person, 'A cell has a line break.');
    const keys = [`@${person.email.toLowerCase()}`, ...(person.external_id ? [`#${person.external_id}`] : [])];
    const first = keys.map((key) => seen.get(key)).find((row) => row !== undefined);
    if (first !== undefined && person.email !== '') return wrong(person, `The same person is in row ${first} already.`);
    for (const key of keys) seen.set(key, person.row);
    return person;
  });
}

const wrong = (person: Person, why: string): Person => ({ ...person, state: 'wrong', why });

/** The rows that are to be looked at by the server, one in a line. */
export function peopleAsCsv(people: readonly Person[]): Blob {
  const rows = people.map(({ name, email, external_id, tags }) => [name, email, external_id, tags]);
  return new Blob([Papa.unparse([['name', 'email', 'external_id', 'tags'], ...rows])]);
}

/** With what the server found in the rows that were sent. */
export function judged(all: readonly Person[], sent: readonly Person[], { errors }: Pick<ImportReport, 'errors'>): Person[] {
  const of = (line: number) => sent[line - 2];
  const found = new Map<Person, string[]>();
  for (const { line, field, message } of errors) {
    const person = of(line);
    if (!person) continue;
    const words = message.replace(/\bline (\d+)/g, (_, other: string) => `row ${of(Number(other))?.row ?? other}`);
    found.set(person, [...(found.get(person) ?? []), `${field.replaceAll('_', ' ')} ${words}`]);
  }
  return all.map((person) => {
    const told = found.get(person);
    return told ? wrong(person, `The ${told.join('; the ')}.`) : person;
  });
}

/** Who of them is which candidate: by the external id, or else by the address. */
export function identified(people: readonly Person[], candidates: readonly Pick<CandidateRecord, 'id' | 'email' | 'external_id'>[]): Person[] {
  const byId = new Map(candidates.flatMap(({ id, external_id }) => (external_id ? [[external_id, id] as const] : [])));
  const byEmail = new Map(candidates.map(({ id, email }) => [email.toLowerCase(), id] as const));
  return people.map((person) => ({
    ...person,
    candidate: person.candidate ?? (person.external_id ? byId.get(person.external_id) : undefined) ?? byEmail.get(person.email.toLowerCase()) ?? null,
  }));
}

export type Common = Omit<CreateInvite, 'candidate_id' | 'external_id'>;

/** For those who are known. One person, one position and one end are one invite, however often they are sent. */
export function requestsFor(people: readonly Person[], common: Common): CreateInvite[] {
  return people.flatMap(({ candidate }) =>
    candidate === null ? [] : [{ ...common, candidate_id: candidate, external_id: `csv:${common.position_id}:${common.closes_at}:${candidate}` }],
  );
}

/** With what became of the rows that were sent; `words` says why one was refused. */
export function answered(
  all: readonly Person[],
  sent: readonly Person[],
  results: readonly ManyInvitesRow[],
  words: (result: ManyInvitesRow) => string,
): Person[] {
  const became = new Map(results.flatMap((result) => (sent[result.row] ? [[sent[result.row]?.row, result] as const] : [])));
  return all.map((person) => {
    const result = became.get(person.row);
    if (!result) return person;
    return { ...person, state: result.status, why: result.status === 'refused' ? words(result) : null, link: result.link ?? person.link };
  });
}

export const isOpen = ({ state }: Person) => state === 'ready' || state === 'refused' || state === 'unanswered';

export function counted(people: readonly Person[]): Record<PersonState, number> {
  const counts: Record<PersonState, number> = { ready: 0, wrong: 0, created: 0, exists: 0, refused: 0, unanswered: 0 };
  for (const { state } of people) counts[state] += 1;
  return counts;
}

/** For a spreadsheet; what would be run there as a formula is made text. */
export function resultsAsCsv(people: readonly Person[], words: Readonly<Record<PersonState, string>>): Blob {
  const rows = people.map(({ row, name, email, state, why, link }) => [row, name, email, words[state], why ?? '', link ?? '']);
  return new Blob(['\ufeff', Papa.unparse([['row', 'name', 'email', 'result', 'why', 'link'], ...rows], { escapeFormulae: true })]);
}
