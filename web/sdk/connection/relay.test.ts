import 'fake-indexeddb/auto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { relayed as entry } from '../testing/wire';
import type { ServerEvents } from '../types';
import { IndexedDbEntryStore, MemoryEntryStore, type EntryStore, type PendingUpdate } from './entry_store';
import { Outbox } from './outbox';
import { Relay, isAboutUpdates, type Refused } from './relay';

type Refusal = ServerEvents['error'];

const refusal = (overrides: Partial<Refusal>): Refusal => ({
  code: 'message_invalid',
  message: '',
  retryable: false,
  request_type: 'transcript_update',
  ...overrides,
});

/** As the runtime is, or as it was: without a number in its refusals, and without closing the gap they leave. */
class FakeRuntime {
  frames: PendingUpdate[] = [];
  stored = new Map<number, string>();
  refused = new Set<number>();
  acked = 0;
  /** What is wrong with the words, if anything. */
  judge: (text: string) => Partial<Refusal> | null = () => null;
  answers = true;

  constructor(readonly names: boolean) {}

  take(update: PendingUpdate): (() => void) | null {
    this.frames.push(update);
    if (!this.answers) return null;
    const text = update.entries.map((each) => each.text).join();
    const wrong = this.judge(text);
    return () => {
      if (wrong) {
        if (this.names && wrong.retryable !== true) this.refused.add(update.seq);
        this.relay.refuse(refusal({ ...wrong, ...(this.names ? { seq: update.seq } : {}) }));
      } else this.stored.set(update.seq, text);
      const before = this.acked;
      while (this.stored.has(this.acked + 1) || this.refused.has(this.acked + 1)) this.acked += 1;
      if (this.acked > before) this.relay.acknowledge(this.acked);
    };
  }

  relay!: Relay;

  get words(): string[] {
    return [...this.stored.values()].filter((text) => text !== '');
  }
}

async function setUp(options: { names?: boolean; store?: EntryStore } = {}) {
  const runtime = new FakeRuntime(options.names ?? true);
  const refused: Refused[] = [];
  const store = options.store ?? new MemoryEntryStore();
  const outbox = new Outbox({ sessionId: 's1', store });
  await outbox.load();
  const relay = new Relay({
    outbox,
    send: (update) => {
      const answer = runtime.take(JSON.parse(JSON.stringify(update)) as PendingUpdate);
      if (answer) queueMicrotask(answer);
      return true;
    },
    onRefused: (each) => refused.push(each),
    onOverflow: () => undefined,
    ackTimeoutMs: 10_000,
    random: () => 1,
  });
  runtime.relay = relay;
  const say = async (...texts: string[]) => {
    for (const text of texts) relay.add([entry(text)]);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { runtime, relay, outbox, store, refused, say };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('a refusal with a number', () => {
  it.each(['message_invalid', 'transcript_full', 'seq_conflict', 'session_over', 'news_from_the_future'])(
    '%s ends this update, is told once, and the rest goes on under the same numbers',
    async (code) => {
      const { runtime, relay, outbox, store, refused, say } = await setUp();
      runtime.judge = (text) => (text === 'bad' ? { code } : null);
      relay.start(0, undefined);
      await say('one', 'bad', 'two', 'three');
      expect(refused).toEqual([{ seq: 2, code, entries: [entry('bad')] }]);
      expect([...runtime.stored]).toEqual([[1, 'one'], [3, 'two'], [4, 'three']]);
      expect(outbox.pending).toEqual([]);
      await outbox.settled();
      expect(await store.load('s1')).toEqual([]);
      await vi.advanceTimersByTimeAsync(600_000);
      expect(runtime.frames).toHaveLength(4);
      expect(refused).toHaveLength(1);
    },
  );

  it('is final before the acknowledgement passes it, also when nothing else is waiting', async () => {
    const { relay, outbox, refused, runtime } = await setUp();
    runtime.answers = false;
    relay.start(0, undefined);
    relay.add([entry('bad')]);
    relay.refuse(refusal({ seq: 1 }));
    relay.refuse(refusal({ seq: 1 }));
    relay.refuse(refusal({ seq: 77 }));
    expect(refused.map(({ seq }) => seq)).toEqual([1]);
    expect(outbox.pending).toEqual([]);
    relay.add([entry('good')]);
    expect(runtime.frames.at(-1)?.seq).toBe(2);
  });

  it('does not come back after a reload', async () => {
    vi.useRealTimers();
    const open = () => new IndexedDbEntryStore('refused-test');
    const before = new Outbox({ sessionId: 's1', store: open() });
    await before.load();
    for (const text of ['one', 'bad', 'two']) before.add([entry(text)]);
    expect(before.remove(2)?.entries).toEqual([entry('bad')]);
    expect(before.remove(2)).toBeNull();
    await before.settled();
    const after = new Outbox({ sessionId: 's1', store: open() });
    await after.load();
    expect(after.pending.map(({ seq }) => seq)).toEqual([1, 3]);
    after.synchronise(0);
    expect(after.pending.map(({ seq, entries }) => [seq, entries[0]?.text])).toEqual([[1, 'one'], [2, 'two']]);
  });

  it('ends six hundred of them one after the other', async () => {
    const { runtime, relay, outbox, refused, say } = await setUp();
    runtime.judge = () => ({ code: 'transcript_full' });
    relay.start(0, undefined);
    await say(...Array.from({ length: 600 }, (_, index) => `${index}`));
    expect(refused).toHaveLength(600);
    expect(outbox.pending).toEqual([]);
    expect(runtime.frames).toHaveLength(600);
  });
});

describe('a refusal that asks for patience', () => {
  it.each([{ code: 'seq_gap' }, { code: 'rate_limited' }])('$code is kept and tried again, ever more rarely', async ({ code }) => {
    const { runtime, relay, outbox, refused, say } = await setUp();
    runtime.judge = (text) => (text === 'later' ? { code, retryable: true } : null);
    relay.start(0, undefined);
    await say('one', 'later', 'two');
    const sent = () => runtime.frames.filter(({ seq }) => seq === 2).length;
    expect(sent()).toBe(1);
    await vi.advanceTimersByTimeAsync(999);
    expect(sent()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent()).toBe(2);
    await vi.advanceTimersByTimeAsync(300_000);
    expect(sent()).toBeLessThan(20);
    runtime.judge = () => null;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(runtime.words.sort()).toEqual(['later', 'one', 'two']);
    expect([outbox.pending, refused]).toEqual([[], []]);
  });

  it('makes one pause of many, and holds new words back in it', async () => {
    const { runtime, relay, say } = await setUp();
    runtime.judge = () => ({ code: 'rate_limited', retryable: true });
    relay.start(0, undefined);
    await say(...Array.from({ length: 50 }, (_, index) => `${index}`));
    expect(runtime.frames).toHaveLength(50);
    await say('meanwhile');
    expect(runtime.frames).toHaveLength(50);
    runtime.judge = () => null;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(runtime.words).toHaveLength(51);
    expect(runtime.frames).toHaveLength(101);
  });
});

describe('an older runtime, which does not say what it refuses', () => {
  it('gets each update alone; the one it refuses three times is dropped, and no other', async () => {
    const { runtime, relay, outbox, refused, say } = await setUp({ names: false });
    runtime.judge = (text) => (text.startsWith('bad') ? {} : null);
    relay.start(0, undefined);
    await say('one', 'bad a', 'two', 'bad b', 'three');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(refused.map(({ entries }) => entries[0]?.text)).toEqual(['bad a', 'bad b']);
    expect(runtime.words.sort()).toEqual(['one', 'three', 'two']);
    expect(outbox.pending).toEqual([]);
    const sent = runtime.frames.length;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(runtime.frames).toHaveLength(sent);
    await say('four');
    expect(runtime.words).toContain('four');
  });

  it('does not lose the oldest one because a later one is bad and nothing can be committed', async () => {
    const { runtime, relay, outbox, refused, say } = await setUp({ names: false });
    runtime.answers = false;
    relay.start(0, undefined);
    await say('good', 'bad');
    relay.refuse(refusal({}));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(refused).toEqual([]);
    expect(outbox.pending).toHaveLength(2);
  });

  it('counts frames it could not read at all', () => {
    expect(isAboutUpdates(refusal({ request_type: null }))).toBe(true);
    expect(isAboutUpdates(refusal({ request_type: null, code: 'other' }))).toBe(false);
    expect(isAboutUpdates(refusal({ request_type: 'sdp_offer' }))).toBe(false);
  });

  it('is not asked in a tight loop', async () => {
    const { runtime, relay, say } = await setUp({ names: false });
    runtime.judge = () => ({ code: 'seq_gap', retryable: true });
    relay.start(0, undefined);
    await say('one');
    await vi.advanceTimersByTimeAsync(300_000);
    expect(runtime.frames.length).toBeLessThan(20);
  });
});

describe('the window', () => {
  it('never goes further beyond what is acknowledged than the runtime takes, and repeats little at a time', async () => {
    const { runtime, relay, outbox, say } = await setUp();
    runtime.answers = false;
    relay.start(0, undefined);
    await say(...Array.from({ length: 1_500 }, (_, index) => `${index}`));
    expect(runtime.frames).toHaveLength(1_000);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(runtime.frames).toHaveLength(1_200);
    runtime.answers = true;
    await vi.advanceTimersByTimeAsync(100_000);
    expect(outbox.pending).toEqual([]);
    expect(runtime.words).toHaveLength(1_500);
  });
});

describe('what an older page left behind', () => {
  it('is made fit before it is sent', async () => {
    const store = new MemoryEntryStore();
    await store.put('s1', { seq: 1, entries: [{ ...entry('a'), text: 'half \ud83d', item_id: 'a\u0000' }] });
    const { runtime, relay } = await setUp({ store });
    relay.start(0, undefined);
    expect(runtime.frames[0]?.entries).toEqual([
      { text: 'half \ufffd', speaker: 'candidate', timestamp: '2026-01-01T00:00:00Z', id: 'a' },
    ]);
  });
});
