import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, NetworkError, type Entry, type RecordingView, type SessionView, type SummaryView } from '../../sdk';
import { account } from './account.svelte';
import { DetailModel } from './detail.svelte';

const session = { session_id: 's1', phase: 'completed', summary: { status: 'none' }, recording: { state: 'none' } } as SessionView;
const entry = { seq: 1, text: 'hello', source: 'browser', authoritative: false, doubt: 'no_call' } as Entry;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.stubGlobal('document', { hidden: true, addEventListener: () => undefined, removeEventListener: () => undefined });
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('one interview in the console', () => {
  it('comes back by itself, and asks for what only the browser told', async () => {
    const read = vi.spyOn(account.api, 'session').mockRejectedValue(new NetworkError('unreachable'));
    const words = vi.spyOn(account.api, 'transcript').mockResolvedValue({ entries: [entry] });
    const model = new DetailModel('s1');
    void model.start();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(model.problem).toContain('could not be reached');
    expect(read.mock.calls.length).toBeLessThan(10);
    read.mockResolvedValue(session);
    await vi.advanceTimersByTimeAsync(10_000);
    expect([model.problem, model.session, model.entries]).toEqual([null, session, [entry]]);
    expect(words).toHaveBeenCalledWith('s1', 'witness');
    model.stop();
  });

  it('does not insist when it is refused, nor after the page was left', async () => {
    const problem = { type: '', title: 'no', status: 404, code: 'not_found', detail: null, request_id: null };
    const read = vi.spyOn(account.api, 'session').mockRejectedValue(new ApiError(problem));
    vi.spyOn(account.api, 'transcript').mockResolvedValue({ entries: [] });
    await new DetailModel('s1').start();
    expect(read).toHaveBeenCalledTimes(1);
    read.mockRejectedValue(new NetworkError('timeout'));
    const left = new DetailModel('s1');
    void left.start();
    await vi.advanceTimersByTimeAsync(0);
    left.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(read).toHaveBeenCalledTimes(2);
  });

  it('reads each part by itself: one that fails says so, and is tried again, but seldom', async () => {
    vi.stubGlobal('document', { hidden: false, addEventListener: () => undefined, removeEventListener: () => undefined });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const over = { ...session, summary: { status: 'stored' }, recording: { state: 'playable' } } as SessionView;
    vi.spyOn(account.api, 'session').mockResolvedValue(over);
    vi.spyOn(account.api, 'transcript').mockResolvedValue({ entries: [entry] });
    const summary = { status: 'stored' } as SummaryView;
    vi.spyOn(account.api, 'summary').mockResolvedValue(summary);
    const recording = vi.spyOn(account.api, 'recording').mockRejectedValue(new NetworkError('unreachable'));
    const model = new DetailModel('s1');
    void model.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([model.problem, model.summary.value, model.summary.problem]).toEqual([null, summary, null]);
    expect(model.recording.problem).toContain('could not be reached');
    expect(model.recording.value).toBeNull();
    expect(recording.mock.calls.length).toBeGreaterThan(3);
    expect(recording.mock.calls.length).toBeLessThan(7);
    const view = { state: 'playable', segments: [], parts: 1, playback_url: 'u' } as unknown as RecordingView;
    recording.mockResolvedValue(view);
    await vi.advanceTimersByTimeAsync(15_000);
    expect([model.recording.value, model.recording.problem, model.settled]).toEqual([view, null, true]);
    const calls = recording.mock.calls.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(recording.mock.calls.length, 'nothing more to ask').toBe(calls);
    model.stop();
  });

  it('asks nothing while nobody is signed in', async () => {
    vi.stubGlobal('document', { hidden: false, addEventListener: () => undefined, removeEventListener: () => undefined });
    const live = { ...session, phase: 'live' } as SessionView;
    const read = vi.spyOn(account.api, 'session').mockResolvedValue(live);
    vi.spyOn(account.api, 'transcript').mockResolvedValue({ entries: [entry] });
    vi.spyOn(account.api, 'observe').mockResolvedValue(undefined);
    const model = new DetailModel('s1');
    void model.start();
    await vi.advanceTimersByTimeAsync(5_000);
    account.lapsed = true;
    const before = read.mock.calls.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(read.mock.calls.length).toBe(before);
    expect(model.session, 'what was read stays').toEqual(live);
    account.lapsed = false;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(read.mock.calls.length).toBeGreaterThan(before);
    model.stop();
  });
});
