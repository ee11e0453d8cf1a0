import 'fake-indexeddb/auto';
import { describe, expect, it, vi } from 'vitest';
import { Leftovers, lockName, type Locks } from './leftovers';
import { IndexedDbRecordingVault } from './recording_vault';
import { PartUploader } from './uploader';

let databases = 0;

/** A provider that answers each part as told, and what was sent to it. */
function setUp(answer: (videoId: string) => Response | Promise<Response> = () => new Response('{}', { status: 201 })) {
  databases += 1;
  const vault = new IndexedDbRecordingVault(`leftovers-${databases}`);
  const sent: string[] = [];
  const held = new Set<string>();
  const locks = {
    request: async (name: string, _: unknown, work: (lock: unknown) => Promise<unknown>) => work(held.has(name) ? null : {}),
  } as unknown as Locks;
  let paused = false;
  const over = { is: true };
  const leftovers = new Leftovers({
    vault,
    locks,
    isOver: async () => over.is,
    paused: () => paused,
    createUploader: (options) =>
      new PartUploader({
        ...options,
        fetch: (async (url: string, init: RequestInit) => {
          const form = init.body as FormData;
          const videoId = String(form.get('videoId'));
          sent.push(`${new URL(url).searchParams.get('token')} ${videoId} ${await (form.get('file') as File).text()}`);
          return answer(videoId);
        }) as unknown as typeof fetch,
      }),
  });
  const keep = (session: string, video: string, text: string) =>
    vault.put(session, video, new Blob([text]), { uploadUrl: 'https://upload.test/u', token: `token-${video}` });
  return { vault, sent, held, over, leftovers, keep, pause: (now: boolean) => (paused = now) };
}

describe('what earlier pages left on the device', () => {
  it('is sent with what is kept beside it, of any interview, and then it is gone', async () => {
    const { vault, sent, leftovers, keep } = setUp();
    await keep('s1', 'v1', 'one ');
    await keep('s1', 'v1', 'two');
    await keep('s2', 'v2', 'three');
    const sending: boolean[] = [];
    leftovers.on('status', (status) => sending.push(status.sending));
    await leftovers.send();
    expect(sent).toEqual(['token-v1 v1 one two', 'token-v2 v2 three']);
    expect(await vault.all()).toEqual([]);
    expect(sending).toContain(true);
    expect(leftovers.status).toMatchObject({ sending: false, lost: 0 });
    await leftovers.send();
    expect(sent).toHaveLength(2);
  });

  it('is left to the page that holds it, and to a call that needs the line', async () => {
    const { vault, sent, held, leftovers, keep, pause } = setUp();
    await keep('s1', 'v1', 'x');
    held.add(lockName('v1'));
    await leftovers.send();
    held.clear();
    pause(true);
    await leftovers.send();
    expect(sent).toEqual([]);
    expect(await vault.all()).toHaveLength(1);
    pause(false);
    await leftovers.send();
    expect(sent).toHaveLength(1);
  });

  it('is deleted when it can never be sent, and that is said', async () => {
    const { vault, leftovers, keep } = setUp(() => new Response('{"title":"token"}', { status: 401 }));
    await keep('s1', 'v1', 'too late');
    await leftovers.send();
    expect(await vault.all()).toEqual([]);
    expect(leftovers.status.lost).toBe(1);
  });

  it('is left to the room while the interview goes on: another token may open it', async () => {
    const { vault, leftovers, keep, over, sent } = setUp(() => new Response('{"title":"token"}', { status: 401 }));
    over.is = false;
    await keep('s1', 'v1', 'not yet');
    await leftovers.send();
    await leftovers.send();
    expect(sent, 'this page has no other token').toHaveLength(1);
    expect(await vault.all()).toHaveLength(1);
    expect(leftovers.status.lost).toBe(0);
  });

  it('stays when the network is away', async () => {
    const { vault, leftovers, keep, sent } = setUp(() => Promise.reject(new TypeError('Failed to fetch')));
    await keep('s1', 'v1', 'x');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const round = leftovers.send();
      while (sent.length === 0) await new Promise((resolve) => setImmediate(resolve));
      await vi.advanceTimersByTimeAsync(130_000);
      await round;
    } finally {
      vi.useRealTimers();
    }
    expect(sent.length).toBeGreaterThan(2);
    expect(await vault.all()).toHaveLength(1);
    expect(leftovers.status).toMatchObject({ sending: false, lost: 0 });
  });

  it('is not tried again and again by code that does not work', async () => {
    const { vault, leftovers, keep, sent } = setUp();
    await keep('s1', 'v1', 'x');
    vi.stubGlobal('FormData', undefined);
    try {
      await leftovers.send();
      await leftovers.send();
    } finally {
      vi.unstubAllGlobals();
    }
    await leftovers.send();
    expect(sent, 'this page has given it up').toEqual([]);
    expect(await vault.all(), 'another version of it may').toHaveLength(1);
  });

  it('is nothing where a browser forbids storage', async () => {
    const forbidden = { all: () => Promise.reject(new DOMException('no', 'SecurityError')) };
    const leftovers = new Leftovers({
      vault: forbidden as unknown as IndexedDbRecordingVault,
      isOver: async () => true,
      locks: null,
    });
    await leftovers.send();
    expect(leftovers.status.sending).toBe(false);
  });
});
