import type { AuditLine, ListQuery } from '../../sdk';

/** What a list is narrowed to; it stands in the address, so that a link and a step back lead to the same list. */
export interface Filter {
  q: string;
  state: NonNullable<ListQuery['state']>;
  sort: NonNullable<ListQuery['sort']>;
}

const STATES: readonly string[] = ['active', 'archived', 'all'];

export function readFilter(hash: string): Filter {
  const search = new URLSearchParams(hash.split('?')[1] ?? '');
  const state = search.get('state') ?? '';
  return {
    q: search.get('q') ?? '',
    state: STATES.includes(state) ? (state as Filter['state']) : 'active',
    sort: search.get('sort') === '-created_at' ? '-created_at' : 'name',
  };
}

export function writeFilter(hash: string, { q, state, sort }: Filter): string {
  const search = new URLSearchParams();
  if (q.trim() !== '') search.set('q', q.trim());
  if (state !== 'active') search.set('state', state);
  if (sort !== 'name') search.set('sort', sort);
  const suffix = search.toString();
  return `${hash.split('?')[0] ?? ''}${suffix && `?${suffix}`}`;
}

/** Tags as a person types them, in one line. */
export function readTags(text: string): string[] {
  const tags = text.split(/[,;]/).map((tag) => tag.trim());
  return tags.filter((tag, at) => tag !== '' && tags.indexOf(tag) === at);
}

/** The list with the element at `at` one place further up or down; the same where there is no place. */
export function moved<T>(list: readonly T[], at: number, by: -1 | 1): T[] {
  const result = [...list];
  const [one, other] = [result[at], result[at + by]];
  if (one === undefined || other === undefined) return result;
  result[at] = other;
  result[at + by] = one;
  return result;
}

/** The names of the fields in which two records differ. */
export function differing<F extends object>(one: F, other: F): (keyof F & string)[] {
  const names = Object.keys(one) as (keyof F & string)[];
  return names.filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
}

/** A line of the history as a sentence without its person. */
export function changeWords({ action, detail }: Pick<AuditLine, 'action' | 'detail'>): string {
  if (action === 'created' && detail.copy_of) return 'Made as a copy';
  if (action === 'archived' && detail.merged_into) return 'Merged into another candidate';
  if (action === 'merged') return 'Merged with a duplicate';
  if (action === 'plan_set') return detail.plan ? `Given a plan, in version ${detail.plan.version}` : 'Left without a plan';
  const words = action.charAt(0).toUpperCase() + action.slice(1).replaceAll('_', ' ');
  if (detail.by === 'import') return `${words} by an import`;
  const fields = detail.fields?.map((field) => field.replaceAll('_', ' ').replace('anchors.', 'anchor ')) ?? [];
  return fields.length > 0 ? `${words}: ${fields.join(', ')}` : words;
}
