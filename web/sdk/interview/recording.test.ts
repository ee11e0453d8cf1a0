import 'fake-indexeddb/auto';
import { describe, expect, it, vi } from 'vitest';
import { Emitter } from '../emitter';
import type { Recorder, RecorderEvents, RecorderOptions } from '../recorder/recorder';
import { IndexedDbRecordingVault } from '../recorder/recording_vault';
import { PartUploader, type UploadOutcome } from '../recorder/uploader';
import type { ClientMessage, JoinInfo, RecordingWish } from '../types';
import { Recording } from './recording';

class FakeRecorder extends Emitter<RecorderEvents> {
  outcome: UploadOutcome = { kind: 'stored', parts: 1 };
  constructor(readonly options: RecorderOptions) {
    super();
  }
  start(): void {
    this.emit('started', { mimeType: 'video/webm' });
  }
  async stop(): Promise<UploadOutcome> {
    return this.outcome;
  }
}

/** Locks as one browser has them, shared by its pages; a page that goes away lets go of its own. */
function lockManager() {
  const tails = new Map<string, Promise<unknown>>();
  return () => {
    let leave: () => void = () => undefined;
    const left = new Promise<void>((resolve) => (leave = resolve));
    const request = (name: string, work: () => Promise<unknown>) => {
      const turn = (tails.get(name) ?? Promise.resolve()).then(() => Promise.race([work(), left]));
      tails.set(name, turn.catch(() => undefined));
      return turn;
    };
    return { locks: { request } as unknown as LockManager, leave };
  };
}

/** A server that follows the protocol: a video that was begun and left is followed by a new one. */
function gateway() {
  let videos = 1;
  const wishes: RecordingWish[] = [];
  return {
    wishes,
    join: async (_: AbortSignal, wish: RecordingWish) => {
      wishes.push(wish);
      if (wish.left?.includes(`v${videos}`)) videos += 1;
      return joinInfo(videos);
    },
  };
}

const joinInfo = (video: number) =>
  ({
    video_id: `v${video}`,
    video_token: `token-${video}`,
    video_segment: video,
    video_upload_url: 'https://upload.test',
  }) as JoinInfo;

let databases = 0;
function browser() {
  databases += 1;
  const name = `recording-${databases}`;
  const pageLocks = lockManager();
  const server = gateway();
  const uploads: { videoId: string; token: string; range: string | null; body: string }[] = [];
  const page = (vault: IndexedDbRecordingVault | null = new IndexedDbRecordingVault(name)) => {
    const { locks, leave } = pageLocks();
    const recorders: FakeRecorder[] = [];
    const reports: ClientMessage[] = [];
    const recording = new Recording({
      sessionId: 's1',
      send: (message) => reports.push(message) > 0,
      join: server.join,
      vault,
      locks,
      createRecorder: (options) => {
        const recorder = new FakeRecorder(options);
        recorders.push(recorder);
        return recorder as unknown as Recorder;
      },
      createUploader: (options) =>
        new PartUploader({
          ...options,
          fetch: (async (url: string, init: RequestInit) => {
            const form = init.body as FormData;
            uploads.push({
              videoId: String(form.get('videoId')),
              token: new URL(url).searchParams.get('token') ?? '',
              range: new Headers(init.headers).get('content-range'),
              body: await (form.get('file') as File).text(),
            });
            return new Response('{}', { status: 201 });
          }) as unknown as typeof fetch,
        }),
    });
    const start = async () => {
      const join = await server.join(new AbortController().signal, await recording.wish());
      recording.start(join, {} as MediaStreamTrack, null);
      return join;
    };
    return { recording, recorders, reports, start, leave };
  };
  return { page, uploads, server, vault: () => new IndexedDbRecordingVault(name) };
}

const until = async (condition: () => boolean | Promise<boolean>) => {
  await vi.waitFor(async () => expect(await condition()).toBe(true), { timeout: 5_000, interval: 5 });
};

describe('Recording', () => {
  it('asks for the token that the first ticket, from before the consent, does not have', async () => {
    const { page, server } = browser();
    const { recording, recorders } = page();
    const join = { ...(await server.join(new AbortController().signal, {})), video_token: null };
    for (let again = 0; again < 3; again += 1) recording.start(join, {} as MediaStreamTrack, null);
    await until(() => recorders.length > 0);
    expect(recorders.map((recorder) => recorder.options.token)).toEqual(['token-1']);
    expect(server.wishes.length).toBe(2);
  });

  it('goes on after a reload in a new video, and sends what the earlier page had left', async () => {
    const { page, uploads, server, vault } = browser();
    const first = page();
    await first.start();
    first.recorders[0]?.emit('slice', new Blob(['one ']));
    first.recorders[0]?.emit('slice', new Blob(['two']));
    await until(async () => (await vault().leftover('v1'))?.slices.length === 2);
    first.leave();

    const second = page();
    expect(await second.recording.wish()).toEqual({ left: ['v1'] });
    const join = await second.start();
    expect(join.video_id).toBe('v2');
    expect(second.recording.status).toMatchObject({ kind: 'recording', take: 2 });
    expect(await second.recording.wish(), 'a reconnect keeps the video').toEqual({ continues: 'v2' });
    await until(() => uploads.length === 1);
    expect(uploads).toEqual([{ videoId: 'v1', token: 'token-2', range: 'part 1/1', body: 'one two' }]);
    await until(() => second.reports.some((report) => 'video_id' in report && report.video_id === 'v1'));
    expect(second.reports).toContainEqual({ type: 'recording_state', state: 'finished', video_id: 'v1', part: 1 });
    await second.recording.finish(1_000);
    expect(second.recording.status).toEqual({ kind: 'stored' });
    expect(await vault().unfinished('s1')).toEqual([]);
    expect(server.wishes).toEqual([{}, { left: ['v1'] }]);
  });

  it('does not send what another window is still sending', async () => {
    const { page, uploads, vault } = browser();
    const first = page();
    await first.start();
    first.recorders[0]?.emit('slice', new Blob(['mine']));
    await until(async () => (await vault().unfinished('s1')).length === 1);
    const second = page();
    await second.start();
    await first.recording.finish(1_000);
    expect(first.recording.status).toEqual({ kind: 'stored' });
    await second.recording.finish(1_000);
    expect(uploads, 'the first window has sent it itself').toEqual([]);
  });

  it('begins the next take when one breaks, and rescues what was recorded of it', async () => {
    const { page, uploads } = browser();
    const { recording, recorders, reports, start } = page();
    const kinds: string[] = [];
    recording.on('status', (status) => kinds.push(status.kind));
    await start();
    recorders[0]?.emit('slice', new Blob(['kept']));
    recorders[0]?.emit('failed', 'refused');
    expect(recording.status.kind).toBe('interrupted');
    await until(() => recording.status.kind === 'recording');
    expect(recording.status).toMatchObject({ take: 2 });
    await until(() => uploads.length === 1);
    expect(uploads[0]).toMatchObject({ videoId: 'v1', token: 'token-2', body: 'kept' });
    expect(reports).toContainEqual({ type: 'recording_state', state: 'failed', video_id: 'v1' });
    await recording.finish(1_000);
    expect(kinds).toEqual(['recording', 'interrupted', 'recording', 'uploading', 'stored']);
  });

  it('does not mix two recordings in one video, whatever it is offered', async () => {
    const { page, vault } = browser();
    await vault().put('s1', 'v1', new Blob(['from before']));
    const { recording, recorders } = page();
    await recording.wish();
    recording.start(joinInfo(1), {} as MediaStreamTrack, null);
    expect(recorders).toHaveLength(0);
    expect(recording.status).toEqual({ kind: 'failed', reason: 'no_other_video' });
  });

  it('records without a vault where the browser forbids one', async () => {
    const { page } = browser();
    const forbidden = {
      put: () => Promise.reject(new Error('forbidden')),
      unfinished: () => Promise.reject(new Error('forbidden')),
      forget: () => Promise.reject(new Error('forbidden')),
      leftover: () => Promise.reject(new Error('forbidden')),
      partStored: () => Promise.reject(new Error('forbidden')),
      purge: () => Promise.reject(new Error('forbidden')),
    } as unknown as IndexedDbRecordingVault;
    const { recording, recorders, start } = page(forbidden);
    await start();
    recorders[0]?.emit('slice', new Blob(['x']));
    recorders[0]?.emit('part_stored', { part: 1, bytes: 1, slices: 1 });
    await recording.finish(1_000);
    expect(recording.status).toEqual({ kind: 'stored' });
  });

  it('reports in order what could not be said while the link was down, and fails only once', async () => {
    let up = false;
    const reports: ClientMessage[] = [];
    const recording = new Recording({
      sessionId: 's1',
      send: (message) => up && reports.push(message) > 0,
      join: () => Promise.reject(new Error('no server')),
      locks: null,
      createRecorder: (options) => new FakeRecorder(options) as unknown as Recorder,
    });
    recording.start(joinInfo(1), {} as MediaStreamTrack, null);
    await recording.finish(1_000);
    expect(reports).toEqual([]);
    up = true;
    recording.onLinkReady();
    expect(reports).toMatchObject([{ state: 'recording' }, { state: 'finished', part: 1 }]);
  });

  it('records another microphone or camera in the next take, and finishes the one there was', async () => {
    const { page, vault } = browser();
    const { recording, recorders, reports, start } = page();
    const statuses: string[] = [];
    recording.on('status', (status) => statuses.push(status.kind === 'interrupted' ? `planned ${status.planned}` : status.kind));
    await start();
    recorders[0]?.emit('slice', new Blob(['first']));
    const [audio, video] = [{ id: 'a' } as MediaStreamTrack, { id: 'v' } as MediaStreamTrack];
    await recording.replaceMedia(audio, video);
    expect(recorders).toHaveLength(2);
    expect(recorders[1]?.options).toMatchObject({ audio, video, videoId: 'v2' });
    expect(reports).toContainEqual({ type: 'recording_state', state: 'finished', video_id: 'v1', part: 1 });
    expect(reports).not.toContainEqual(expect.objectContaining({ state: 'failed' }));
    await recording.replaceMedia(audio, video);
    expect(recorders, 'the same again changes nothing').toHaveLength(2);
    await recording.finish(1_000);
    expect(statuses).toEqual(['recording', 'planned true', 'recording', 'uploading', 'stored']);
    expect(await vault().unfinished('s1')).toEqual([]);
  });

  it('waits with the next take for a microphone when the one it recorded has ended', async () => {
    const { page } = browser();
    const { recording, recorders, start } = page();
    const ended = { readyState: 'ended' } as MediaStreamTrack;
    await start();
    await recording.replaceMedia(ended, null);
    expect(recorders, 'nothing could be recorded').toHaveLength(1);
    const audio = { readyState: 'live' } as MediaStreamTrack;
    await recording.replaceMedia(audio, null);
    expect(recorders).toHaveLength(2);
    expect(recorders[1]?.options.audio).toBe(audio);
    await recording.finish(1_000);
    expect(recording.status).toEqual({ kind: 'stored' });
  });

  it('keeps where each take can be sent, and tells the container it was given', async () => {
    const { page, vault } = browser();
    const { recorders, reports, start } = page();
    await start();
    recorders[0]?.emit('slice', new Blob(['x']));
    await until(async () => (await vault().all()).length === 1);
    expect(await vault().all()).toEqual([
      { videoId: 'v1', sessionId: 's1', target: { uploadUrl: 'https://upload.test', token: 'token-1' } },
    ]);
    expect(reports[0]).toEqual({ type: 'recording_state', state: 'recording', video_id: 'v1', mime_type: 'video/webm' });
  });

  it('asks for a video all the same when the storage never answers', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const { page } = browser();
      const silent = { unfinished: () => new Promise(() => undefined) } as unknown as IndexedDbRecordingVault;
      const wish = page(silent).recording.wish();
      await vi.advanceTimersByTimeAsync(3_000);
      expect(await wish).toEqual({});
    } finally {
      vi.useRealTimers();
    }
  });
});
