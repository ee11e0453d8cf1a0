import { describe, expect, it } from 'vitest';
import { NetworkError, type Page } from '../../sdk';
import { Feed } from './feed.svelte';

interface Item {
  id: number;
  state: string;
}

const item = (id: number, state = 'sent'): Item => ({ id, state });
const range = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, n) => item(from - n));
const ids = (feed: Feed<Item>) => feed.items?.map(({ id }) => id);

/** A list on a server: 50 a page, newest first. */
function server(all: Item[]) {
  const state = { all, waiting: null as Promise<void> | null };
  const feed = new Feed<Item>(
    async ({ limit, cursor }): Promise<Page<Item>> => {
      const from = cursor ? state.all.findIndex(({ id }) => String(id) === cursor) + 1 : 0;
      const items = state.all.slice(from, from + limit);
      const next_cursor = from + limit < state.all.length ? String(items.at(-1)?.id) : null;
      await state.waiting;
      return { items, next_cursor };
    },
    ({ id }) => String(id),
  );
  return { state, feed };
}

describe('a list that is read again and again', () => {
  it('keeps older pages, and what newer items push down to them', async () => {
    const { state, feed } = server(range(120, 1));
    await feed.refresh();
    expect([ids(feed)?.length, feed.cursor]).toEqual([50, '71']);
    await feed.more();
    expect([ids(feed)?.length, feed.cursor]).toEqual([100, '21']);
    state.all = [...range(123, 121), ...state.all];
    await feed.refresh();
    expect(ids(feed)).toEqual(range(123, 21).map(({ id }) => id));
    expect(feed.cursor).toBe('21');
    await feed.more();
    expect([ids(feed)?.length, feed.cursor]).toEqual([123, null]);
  });

  it('shows what was done with one of an older page', async () => {
    const { feed } = server(range(60, 1));
    await feed.refresh();
    await feed.more();
    feed.replace(item(3, 'revoked'));
    await feed.refresh();
    expect(feed.items?.find(({ id }) => id === 3)?.state).toBe('revoked');
    expect(ids(feed)?.length).toBe(60);
  });

  it('takes no answer to an earlier question, and shows what is there when there is none', async () => {
    const { state, feed } = server(range(70, 1));
    await feed.refresh();
    await feed.more();
    let answer = () => undefined as void;
    state.waiting = new Promise((resolve) => (answer = resolve));
    const late = feed.more();
    feed.restart();
    state.all = [item(5)];
    state.waiting = null;
    await feed.refresh();
    answer();
    await late;
    expect([ids(feed), feed.cursor, feed.busy]).toEqual([[5], null, false]);

    state.waiting = Promise.reject(new NetworkError('unreachable'));
    await feed.refresh();
    expect([ids(feed), feed.problem?.includes('could not be reached')]).toEqual([[5], true]);
  });

  it('loses one that was the only one', async () => {
    const { state, feed } = server([item(1)]);
    await feed.refresh();
    state.all = [];
    await feed.refresh();
    expect(ids(feed)).toEqual([]);
  });
});
