import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Backoff } from '../backoff';
import { chooseMimeType } from './mime';
import { loudness } from './mixer';
import { PartUploader, type UploadFailure } from './uploader';

interface Sent {
  url: string;
  range: string | null;
  fields: string[];
  videoId: string;
  bytes: number;
}

const ALREADY_SENT = JSON.stringify({
  type: 'https://docs.api.video/reference/video-content-range-by-part-part-already-sent',
  status: 400,
});

type Answer = number | 'lost' | 'never' | { status: number; body: string };

function setUp(answers: Answer[] = [], options: { maxBufferedBytes?: number; storedParts?: number; resumed?: boolean } = {}) {
  const sent: Sent[] = [];
  const failures: UploadFailure[] = [];
  const uploader = new PartUploader({
    uploadUrl: 'https://upload.test/upload',
    token: 'to/1',
    videoId: 'vi1',
    minPartBytes: 100,
    ...options,
    backoff: new Backoff({ baseMs: 1_000, capMs: 30_000, random: () => 1 }),
    fetch: (async (url: string, init: RequestInit) => {
      const form = init.body as FormData;
      sent.push({
        url,
        range: new Headers(init.headers).get('content-range'),
        fields: [...form.keys()],
        videoId: String(form.get('videoId')),
        bytes: (form.get('file') as File).size,
      });
      const answer = answers.shift() ?? 201;
      if (answer === 'lost') throw new TypeError('failed to fetch');
      if (answer === 'never') {
        return new Promise<Response>((_, reject) => {
          init.signal?.addEventListener('abort', () => reject(new Error('aborted')));
        });
      }
      return typeof answer === 'number'
        ? new Response('{}', { status: answer })
        : new Response(answer.body, { status: answer.status });
    }) as unknown as typeof fetch,
  });
  uploader.on('failed', (reason) => failures.push(reason));
  return { uploader, sent, failures };
}

const slice = (bytes: number) => new Blob([new Uint8Array(bytes)]);
const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('PartUploader', () => {
  it('says that it does not work here, and does not try it again', async () => {
    const { uploader, sent, failures } = setUp();
    vi.stubGlobal('FormData', undefined);
    try {
      uploader.push(slice(150));
      uploader.push(slice(10));
      await settle(60_000);
    } finally {
      vi.unstubAllGlobals();
    }
    expect(await uploader.finish(1_000)).toEqual({ kind: 'failed', reason: 'page_fault', parts: 0 });
    expect([failures, sent]).toEqual([['page_fault'], []]);
  });

  it('joins slices into parts and numbers them, the last with its total', async () => {
    const { uploader, sent } = setUp();
    for (const bytes of [60, 60, 60, 60, 30]) uploader.push(slice(bytes));
    const outcome = await uploader.finish(5_000);
    expect(sent.map(({ range, bytes }) => [range, bytes])).toEqual([
      ['part 1/*', 120],
      ['part 2/*', 120],
      ['part 3/3', 30],
    ]);
    expect(sent[0]).toMatchObject({
      url: 'https://upload.test/upload?token=to%2F1',
      fields: ['videoId', 'file'],
      videoId: 'vi1',
    });
    expect(outcome).toEqual({ kind: 'stored', parts: 3 });
  });

  it('sends a short recording as one part', async () => {
    const { uploader, sent } = setUp();
    uploader.push(slice(10));
    expect(await uploader.finish(5_000)).toEqual({ kind: 'stored', parts: 1 });
    expect(sent.map(({ range }) => range)).toEqual(['part 1/1']);
  });

  it('never sends an empty last part', async () => {
    const { uploader, sent } = setUp();
    uploader.push(slice(150));
    uploader.push(slice(0));
    expect(await uploader.finish(5_000)).toEqual({ kind: 'stored', parts: 1 });
    expect(sent).toMatchObject([{ range: 'part 1/1', bytes: 150 }]);
  });

  it('says so when nothing was recorded', async () => {
    const { uploader, sent } = setUp();
    expect(await uploader.finish(5_000)).toEqual({ kind: 'empty' });
    expect(sent).toEqual([]);
  });

  it('tries again after 5xx, 429 and a broken line, with growing pauses', async () => {
    const { uploader, sent } = setUp([503, 429, 'lost', 201]);
    uploader.push(slice(150));
    uploader.push(slice(1));
    await settle();
    expect(sent).toHaveLength(1);
    await settle(1_000);
    expect(sent).toHaveLength(2);
    await settle(1_999);
    expect(sent).toHaveLength(2);
    await settle(1);
    await settle(4_000);
    expect(sent.map(({ range }) => range)).toEqual(Array(4).fill('part 1/*'));
    expect(uploader.storedParts).toBe(1);
  });

  it('takes "already sent" for success when the first answer was lost', async () => {
    const { uploader, sent } = setUp(['lost', { status: 400, body: ALREADY_SENT }]);
    uploader.push(slice(10));
    const finished = uploader.finish(20_000);
    await settle(1_000);
    expect(await finished).toEqual({ kind: 'stored', parts: 1 });
    expect(sent).toHaveLength(2);
  });

  it('does not mix its parts into the video of another page', async () => {
    const { uploader, failures } = setUp([{ status: 400, body: ALREADY_SENT }]);
    uploader.push(slice(10));
    expect(await uploader.finish(5_000)).toEqual({ kind: 'failed', reason: 'video_in_use', parts: 0 });
    expect(failures).toEqual(['video_in_use']);
  });

  it('goes on where an earlier page stopped, and takes what that page had sent for sent', async () => {
    const { uploader, sent } = setUp([{ status: 400, body: ALREADY_SENT }, 201], { storedParts: 2, resumed: true });
    const parts: object[] = [];
    uploader.on('part_stored', (part) => parts.push(part));
    for (const bytes of [60, 60, 20]) uploader.push(slice(bytes));
    expect(await uploader.finish(5_000)).toEqual({ kind: 'stored', parts: 4 });
    expect(sent.map(({ range, bytes }) => [range, bytes])).toEqual([
      ['part 3/*', 120],
      ['part 4/4', 20],
    ]);
    expect(parts).toEqual([
      { part: 3, bytes: 120, slices: 2 },
      { part: 4, bytes: 20, slices: 1 },
    ]);
  });

  it.each([400, 401, 404, 413])('gives up at once after %i', async (status) => {
    const { uploader, sent, failures } = setUp([status]);
    uploader.push(slice(10));
    expect(await uploader.finish(5_000)).toEqual({ kind: 'failed', reason: 'refused', parts: 0 });
    uploader.push(slice(200));
    await settle(60_000);
    expect(sent).toHaveLength(1);
    expect(failures).toEqual(['refused']);
  });

  it('reports a last part without an answer as unconfirmed, within the deadline', async () => {
    vi.useRealTimers();
    const { uploader, failures } = setUp(['never']);
    uploader.push(slice(10));
    const startedAt = performance.now();
    expect(await uploader.finish(60)).toEqual({ kind: 'unconfirmed', parts: 1 });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(failures).toEqual([]);
  });

  it('fails, and does not pretend, when an earlier part is missing at the deadline', async () => {
    vi.useRealTimers();
    const { uploader } = setUp(['never']);
    uploader.push(slice(150));
    uploader.push(slice(10));
    expect(await uploader.finish(60)).toEqual({ kind: 'failed', reason: 'deadline', parts: 0 });
  });

  it('does not fill the memory when nothing can be sent', async () => {
    const { uploader, failures } = setUp(['never'], { maxBufferedBytes: 300 });
    for (let index = 0; index < 4; index += 1) uploader.push(slice(90));
    expect(failures).toEqual(['buffer_full']);
    expect(uploader.failure).toBe('buffer_full');
  });
});

describe('chooseMimeType', () => {
  it('takes the first type the browser can write', () => {
    expect(chooseMimeType(true, () => true)).toBe('video/webm;codecs=vp8,opus');
    expect(chooseMimeType(true, (type) => type.startsWith('video/mp4'))).toBe('video/mp4;codecs=avc1.42E01E,mp4a.40.2');
    expect(chooseMimeType(false, (type) => type.startsWith('audio/mp4'))).toBe('audio/mp4;codecs=mp4a.40.2');
    expect(chooseMimeType(false, () => false)).toBeNull();
  });
});

describe('loudness', () => {
  it('goes from silence to 1 and not beyond', () => {
    expect(loudness(0)).toBe(0);
    expect(loudness(0.000_1)).toBe(0);
    expect(loudness(0.05)).toBeGreaterThan(0.5);
    expect(loudness(1)).toBe(1);
  });
});
