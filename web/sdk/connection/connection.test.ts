import 'fake-indexeddb/auto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, NetworkError } from '../http/errors';
import { fakeSockets, relayed as entry } from '../testing/wire';
import type { JoinInfo } from '../types';
import { InterviewConnection, type ConnectionState } from './connection';
import { IndexedDbEntryStore, MemoryEntryStore, type EntryStore } from './entry_store';
import { MAX_PENDING, Outbox } from './outbox';

const problem = (status: number, code: string) =>
  new ApiError({ type: 'about:blank', title: code, status, code, detail: null, request_id: null });

function setUp(options: { store?: EntryStore; join?: () => Promise<JoinInfo> } = {}) {
  const { sockets, openSocket, last } = fakeSockets();
  const states: ConnectionState[] = [];
  let tickets = 0;
  const connection = new InterviewConnection({
    sessionId: 's1',
    join:
      options.join ??
      (async () => {
        tickets += 1;
        return { websocket_url: 'wss://example.test/ws/s1', websocket_ticket: `t${tickets}` } as JoinInfo;
      }),
    ...(options.store ? { store: options.store } : {}),
    openSocket,
    random: () => 1,
  });
  connection.on('state', (state) => states.push(state));
  return { connection, sockets, states, last };
}

const flush = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('InterviewConnection', () => {
  it('does not come back after a fault of its own code, and says which', async () => {
    const joins = { count: 0 };
    const { connection, sockets } = setUp({
      join: async () => {
        joins.count += 1;
        throw new TypeError('AbortSignal.any is not a function');
      },
    });
    await connection.open();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(connection.state).toEqual({
      kind: 'closed',
      reason: 'page_fault',
      code: null,
      detail: 'TypeError: AbortSignal.any is not a function',
    });
    expect([joins.count, sockets.length]).toEqual([1, 0]);
  });

  it('connects although the storage never answers', async () => {
    const silent = { load: () => new Promise(() => undefined) } as unknown as EntryStore;
    const { connection, sockets } = setUp({ store: silent });
    let failed: unknown = null;
    connection.on('store_failure', (error) => (failed = error));
    const opened = connection.open();
    await vi.advanceTimersByTimeAsync(3_000);
    await opened;
    expect(sockets).toHaveLength(1);
    expect(failed).toMatchObject({ name: 'DeadlineError' });
  });

  it('connects where touching the storage throws', async () => {
    vi.stubGlobal('indexedDB', undefined);
    try {
      const { connection, last } = setUp({ store: new IndexedDbEntryStore('forbidden') });
      await connection.open();
      last().ready();
      connection.relay([entry('a')]);
      expect(last().of('transcript_update')).toHaveLength(1);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('sends the ticket as a subprotocol and never in the URL', async () => {
    const { connection, last } = setUp();
    await connection.open();
    expect(last().protocols).toEqual(['interview.v1', 'ticket.t1']);
    expect(last().url).not.toContain('t1');
  });

  it('numbers updates from the server mark and forgets them when they are acknowledged', async () => {
    const { connection, last } = setUp();
    await connection.open();
    last().ready({ acked_seq: 7 });
    connection.relay([entry('a')]);
    connection.relay([entry('b')]);
    expect(last().of('transcript_update').map((message) => message['seq'])).toEqual([8, 9]);
    last().receive({ type: 'transcript_ack', n: 2, seq: 8 });
    expect(connection.unacknowledged).toBe(1);
    last().receive({ type: 'transcript_ack', n: 3, seq: 9 });
    expect(connection.unacknowledged).toBe(0);
  });

  it('sends an update again after ten seconds without an acknowledgement, and not once more after it', async () => {
    const { connection, last } = setUp();
    await connection.open();
    last().ready({ heartbeat_interval_ms: 3_600_000 });
    connection.relay([entry('a')]);
    await vi.advanceTimersByTimeAsync(9_999);
    expect(last().of('transcript_update')).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(last().of('transcript_update')).toHaveLength(2);
    last().receive({ type: 'transcript_ack', n: 2, seq: 1 });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(last().of('transcript_update')).toHaveLength(2);
  });

  it('does not put off the repetition of an old update because of new ones', async () => {
    const { connection, last } = setUp();
    await connection.open();
    last().ready({ heartbeat_interval_ms: 3_600_000 });
    for (const text of ['a', 'b', 'c', 'd']) {
      connection.relay([entry(text)]);
      await vi.advanceTimersByTimeAsync(4_000);
    }
    expect(last().of('transcript_update').filter((message) => message['seq'] === 1)).toHaveLength(2);
  });

  it('does not put off the repetition of a lost update because newer ones are taken', async () => {
    const { connection, last } = setUp();
    await connection.open();
    last().ready({ heartbeat_interval_ms: 3_600_000 });
    // The first is lost inside: the mark stays before it, however many come behind.
    for (const n of [2, 3, 4, 5]) {
      connection.relay([entry(`${n}`)]);
      last().receive({ type: 'transcript_ack', n, seq: 0 });
      await vi.advanceTimersByTimeAsync(4_000);
    }
    expect(last().of('transcript_update').filter((message) => message['seq'] === 1)).toHaveLength(2);
  });

  it('keeps what was said while the link was down and sends it after the reconnect', async () => {
    const { connection, sockets, last } = setUp();
    await connection.open();
    last().ready();
    connection.relay([entry('a')]);
    last().drop(1006);
    connection.relay([entry('b')]);
    await vi.advanceTimersByTimeAsync(500);
    expect(sockets).toHaveLength(2);
    expect(last().protocols[1]).toBe('ticket.t2');
    // The mark may be another page's: nothing is dropped because of it.
    last().ready({ n: 5, acked_seq: 1 });
    expect(last().of('transcript_update')).toEqual([
      { type: 'transcript_update', seq: 2, entries: [entry('a')] },
      { type: 'transcript_update', seq: 3, entries: [entry('b')] },
    ]);
  });

  it('survives a reload: a new page finds the unacknowledged updates in IndexedDB', async () => {
    vi.useRealTimers();
    const store = new IndexedDbEntryStore('reload-test');
    const before = setUp({ store });
    await before.connection.open();
    before.last().ready();
    before.connection.relay([entry('a')]);
    before.connection.relay([entry('b')]);
    before.last().receive({ type: 'transcript_ack', n: 2, seq: 1 });
    await before.connection.stored();

    const after = setUp({ store: new IndexedDbEntryStore('reload-test') });
    await after.connection.open();
    after.last().ready({ acked_seq: 1, greeted: true });
    expect(after.last().of('transcript_update')).toEqual([
      { type: 'transcript_update', seq: 2, entries: [entry('b')] },
    ]);
    after.connection.relay([entry('c')]);
    expect(after.last().of('transcript_update').at(-1)?.['seq']).toBe(3);
  });

  it('numbers again when the server knows less than this client', async () => {
    const store = new MemoryEntryStore();
    await store.replace('s1', [
      { seq: 5, entries: [entry('e')] },
      { seq: 6, entries: [entry('f')] },
    ]);
    const { connection, last } = setUp({ store });
    await connection.open();
    last().ready({ acked_seq: 2 });
    expect(last().of('transcript_update').map((message) => message['seq'])).toEqual([3, 4]);
    await connection.stored();
    expect((await store.load('s1')).map((update) => update.seq)).toEqual([3, 4]);
  });

  it('goes on without storage when the browser forbids it', async () => {
    const forbidden: EntryStore = {
      load: () => Promise.reject(new Error('forbidden')),
      put: () => Promise.reject(new Error('forbidden')),
      acknowledge: () => Promise.reject(new Error('forbidden')),
      remove: () => Promise.reject(new Error('forbidden')),
      replace: () => Promise.reject(new Error('forbidden')),
    };
    const { connection, last } = setUp({ store: forbidden });
    const failures: unknown[] = [];
    connection.on('store_failure', (error) => failures.push(error));
    await connection.open();
    last().ready();
    connection.relay([entry('a')]);
    expect(connection.unacknowledged).toBe(1);
    expect(failures).toHaveLength(1);
  });

  it('resumes from the last event it saw', async () => {
    const { connection, last } = setUp();
    await connection.open();
    last().ready();
    last().receive({ type: 'replayed', n: 8 });
    last().receive({ type: 'time_left', n: 9, seconds: 3 });
    last().drop(1012);
    await vi.advanceTimersByTimeAsync(500);
    last().ready({ n: 12 });
    expect(last().of('resume')).toEqual([{ type: 'resume', last_event: 9 }]);
    // A newer event comes, and not yet what was missed.
    last().receive({ type: 'degraded', n: 13, what: 'storage' });
    // The events between are still to come, so the mark has not moved.
    last().drop(1006);
    await vi.advanceTimersByTimeAsync(1_000);
    last().ready({ n: 14 });
    expect(last().of('resume')).toEqual([{ type: 'resume', last_event: 9 }]);
  });

  it('asks for everything when the server counts from one again, or when the page is new', async () => {
    const first = setUp();
    await first.connection.open();
    first.last().ready({ greeted: true, n: 40 });
    expect(first.last().of('resume')).toEqual([{ type: 'resume', last_event: 0 }]);
    first.last().receive({ type: 'replayed', n: 41 });
    first.last().drop(1006);
    await vi.advanceTimersByTimeAsync(500);
    first.last().ready({ greeted: true, n: 1 });
    expect(first.last().of('resume')).toEqual([{ type: 'resume', last_event: 0 }]);
  });

  it('asks for what was said before anybody greeted', async () => {
    const { connection, last } = setUp();
    await connection.open();
    last().ready({ greeted: false, n: 7 });
    expect(last().of('resume')).toEqual([{ type: 'resume', last_event: 0 }]);
  });

  it('tells whether the interview goes on in another process', async () => {
    const { connection, last } = setUp();
    const resumed: boolean[] = [];
    connection.on('resumed', ({ moved }) => resumed.push(moved));
    await connection.open();
    last().ready({ process: 1 });
    expect(resumed).toEqual([]);
    last().drop(1006);
    await vi.advanceTimersByTimeAsync(500);
    last().ready({ process: 1, n: 4 });
    last().drop(1006);
    await vi.advanceTimersByTimeAsync(1_000);
    last().ready({ process: 2, n: 9 });
    expect(resumed).toEqual([false, true]);
  });

  it('notices a dead link by unanswered heartbeats and does not wait for a close event', async () => {
    const { connection, sockets, last } = setUp();
    await connection.open();
    last().ready();
    const socket = last();
    await vi.advanceTimersByTimeAsync(5_000);
    socket.receive({ type: 'heartbeat_ack' });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(connection.state.kind).toBe('ready');
    await vi.advanceTimersByTimeAsync(5_000);
    expect(socket.of('heartbeat').length).toBeGreaterThanOrEqual(3);
    expect(socket.closedByClient).toBe(true);
    await vi.advanceTimersByTimeAsync(500);
    expect(sockets).toHaveLength(2);
  });

  it('gives up a socket on which the runtime does not speak', async () => {
    const { connection, sockets } = setUp();
    await connection.open();
    await vi.advanceTimersByTimeAsync(15_500);
    expect(sockets).toHaveLength(2);
    expect(sockets[0]?.closedByClient).toBe(true);
  });

  it('asks a doubted link at once, keeps it when it answers, and gives it up when it does not', async () => {
    const { connection, sockets, last } = setUp();
    await connection.open();
    last().ready({ heartbeat_interval_ms: 3_600_000 });
    connection.probe();
    expect(last().of('heartbeat')).toHaveLength(1);
    last().receive({ type: 'heartbeat_ack' });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sockets).toHaveLength(1);
    connection.probe();
    connection.probe();
    expect(last().of('heartbeat')).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(4_600);
    expect(sockets).toHaveLength(2);
    expect(sockets[0]?.closedByClient).toBe(true);
  });

  it('comes back at once after a restart, but not again and again', async () => {
    const { connection, sockets, last, states } = setUp();
    await connection.open();
    last().ready();
    await vi.advanceTimersByTimeAsync(6_000);
    last().drop(1012);
    expect(states.at(-1)).toMatchObject({ kind: 'waiting', delayMs: 400 });
    await vi.advanceTimersByTimeAsync(400);
    expect(sockets).toHaveLength(2);
    last().drop(1012);
    expect(states.at(-1)).toMatchObject({ kind: 'waiting', delayMs: 500 });
    await vi.advanceTimersByTimeAsync(500);
    last().ready();
    last().drop(1012);
    expect(states.at(-1)).toMatchObject({ kind: 'waiting', delayMs: 1_000 });
  });

  it.each([1000, 1002, 1003, 1007, 1008, 1009, 4001, 4999])('never comes back after %i', async (code) => {
    const { connection, sockets, last } = setUp();
    await connection.open();
    last().ready();
    last().drop(code);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(sockets).toHaveLength(1);
    expect(connection.state).toMatchObject({ kind: 'closed', code });
  });

  it.each([1001, 1005, 1006, 1011, 1012, 1013])('comes back after %i with a ticket of its own', async (code) => {
    const { connection, sockets, last } = setUp();
    await connection.open();
    last().ready();
    last().drop(code);
    expect(sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(500);
    expect(sockets).toHaveLength(2);
    expect(last().protocols[1]).toBe('ticket.t2');
  });

  it.each([1_000, 120_000, 600_000, 86_400_000])('stores what it kept after %i ms without a network', async (awayMs) => {
    let network = true;
    const { connection, last } = setUp({
      join: async () => {
        if (!network) throw new NetworkError('unreachable');
        return { websocket_url: 'wss://example.test', websocket_ticket: 't' } as JoinInfo;
      },
    });
    await connection.open();
    last().ready();
    network = false;
    last().drop(1006);
    connection.relay([entry('said meanwhile')]);
    await vi.advanceTimersByTimeAsync(awayMs);
    network = true;
    await vi.advanceTimersByTimeAsync(15_000);
    last().ready({ n: 2 });
    expect(last().of('transcript_update')).toMatchObject([{ seq: 1, entries: [{ text: 'said meanwhile' }] }]);
    last().receive({ type: 'transcript_ack', n: 3, seq: 1 });
    expect(connection.unacknowledged).toBe(0);
    connection.close();
  });

  it('says so when the outbox is full, and keeps what it had', async () => {
    const { connection, last } = setUp();
    const lost: number[] = [];
    connection.on('overflow', ({ entries }) => lost.push(entries));
    await connection.open();
    last().ready();
    for (let index = 0; index < MAX_PENDING; index += 1) expect(connection.relay([entry(`${index}`)])).toBe(true);
    expect(connection.relay([entry('one too many')])).toBe(false);
    expect(lost).toEqual([1]);
    expect(connection.unacknowledged).toBe(MAX_PENDING);
    last().receive({ type: 'transcript_ack', n: 2, seq: 1 });
    expect(connection.relay([entry('fits again')])).toBe(true);
    expect(connection.unacknowledged).toBe(MAX_PENDING);
  });

  it('drops an update that the runtime will never take, says so, and goes on with the rest', async () => {
    const store = new MemoryEntryStore();
    const { connection, last } = setUp({ store });
    const refused: unknown[] = [];
    connection.on('refused', (each) => refused.push(each));
    await connection.open();
    last().ready();
    for (const text of ['a', 'b', 'c']) connection.relay([entry(text)]);
    const about = { type: 'error', message: '', request_type: 'transcript_update' };
    last().receive({ ...about, n: 2, code: 'message_invalid', retryable: false, seq: 2 });
    last().receive({ ...about, n: 3, code: 'sdp_invalid', retryable: false, request_type: 'sdp_offer', seq: null });
    expect(refused).toEqual([{ seq: 2, code: 'message_invalid', entries: [entry('b')] }]);
    expect(connection.unacknowledged).toBe(2);
    last().receive({ type: 'transcript_ack', n: 4, seq: 3 });
    expect(connection.unacknowledged).toBe(0);
    await connection.stored();
    expect(await store.load('s1')).toEqual([]);
  });

  it('stays away when a newer window took over', async () => {
    const { connection, sockets, last } = setUp();
    await connection.open();
    last().ready();
    last().drop(4001);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(sockets).toHaveLength(1);
    expect(connection.state).toMatchObject({ kind: 'closed', reason: 'superseded' });
  });

  it('tries one more ticket after a refusal, and only one', async () => {
    const { connection, sockets, last } = setUp();
    await connection.open();
    last().drop(4003);
    await flush();
    expect(sockets).toHaveLength(2);
    last().drop(4003);
    await flush();
    expect(sockets).toHaveLength(2);
    expect(connection.state).toMatchObject({ kind: 'closed', reason: 'ticket_refused' });
  });

  it('waits longer and longer, never longer than the cap, while there is no server', async () => {
    const { connection, states } = setUp({ join: () => Promise.reject(new NetworkError('unreachable')) });
    await connection.open();
    await vi.advanceTimersByTimeAsync(120_000);
    const delays = states.flatMap((state) => (state.kind === 'waiting' ? [state.delayMs] : []));
    expect(delays.slice(0, 6)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 8_000]);
    expect(Math.max(...delays)).toBe(8_000);
    connection.close();
  });

  it.each([
    [410, 'session_over', 'session_over'],
    [404, 'not_found', 'refused'],
  ])('does not insist when the ticket is refused with %i', async (status, code, reason) => {
    const { connection } = setUp({ join: () => Promise.reject(problem(status, code)) });
    await connection.open();
    expect(connection.state).toMatchObject({ kind: 'closed', reason });
  });

  it('comes back when the ticket endpoint is busy', async () => {
    let calls = 0;
    const { connection, sockets } = setUp({
      join: async () => {
        calls += 1;
        if (calls === 1) throw problem(503, 'busy');
        return { websocket_url: 'wss://example.test', websocket_ticket: 't' } as JoinInfo;
      },
    });
    await connection.open();
    await vi.advanceTimersByTimeAsync(500);
    expect(sockets).toHaveLength(1);
  });

  it('ignores frames it does not understand', async () => {
    const { connection, last } = setUp();
    await connection.open();
    last().ready();
    last().onmessage?.({ data: 'no json' });
    last().receive({ type: 'news_from_the_future', n: 5 });
    expect(connection.state.kind).toBe('ready');
  });
});

describe('Outbox', () => {
  it('is bounded in bytes as well', () => {
    const outbox = new Outbox({ sessionId: 's1', maxBytes: 3_000 });
    const long = entry('x'.repeat(600));
    expect(outbox.add([long])).not.toBeNull();
    expect(outbox.add([long])).not.toBeNull();
    expect(outbox.add([long])).toBeNull();
    outbox.acknowledge(1);
    expect(outbox.add([long])).toMatchObject({ seq: 3 });
  });
});
