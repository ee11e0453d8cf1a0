// The small parts that stand between the page and a browser that refuses.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SessionView } from '../../sdk';
import { Choices } from './choices.svelte';
import { explain } from './explain';
import { formatMoment, outcome, recordingWords, resumeFirst, timeUntil } from './format';
import { kept } from './kept';
import { Playback } from './playback.svelte';
import { randomUuid } from './uuid';
import { keepAwake } from './wake_lock';

afterEach(() => {
  vi.unstubAllGlobals();
});

const forbidden = () => {
  throw new DOMException('Access is denied', 'SecurityError');
};

describe('what is kept for this tab', () => {
  it('lives as long as the page where storage is forbidden', () => {
    vi.stubGlobal('sessionStorage', { getItem: forbidden, setItem: forbidden });
    kept.write('forbidden', ['recording']);
    expect(kept.read('forbidden')).toEqual(['recording']);
    expect(kept.get('unknown')).toBeNull();
  });

  it('is nothing when it cannot be read', () => {
    kept.set('broken', '{');
    expect(kept.read('broken')).toBeNull();
  });

  it('is what was chosen in this interview, and not in another', () => {
    new Choices('s1').set({ captions: 'large', cameraOn: true });
    expect(new Choices('s1').all).toMatchObject({ captions: 'large', cameraOn: true, speakerId: '' });
    expect(new Choices('s2').all).toMatchObject({ captions: 'normal', cameraOn: false });
  });
});

describe('a fault', () => {
  it('is not explained as an outage', () => {
    const words = explain(new TypeError('AbortSignal.any is not a function'));
    expect(words).toContain('does not work in this browser');
    expect(words).toMatch(/page-[0-9a-z]{6}/);
    expect(words).not.toContain('try again');
  });
});

describe('an id', () => {
  it('is made without crypto.randomUUID, which needs https', () => {
    vi.stubGlobal('crypto', { getRandomValues: (into: Uint8Array) => into.fill(0xff) });
    expect(randomUuid()).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff');
  });
});

describe('the lists', () => {
  const session = (
    phase: SessionView['phase'],
    end_reason: SessionView['end_reason'] = null,
    state = 'none',
    incomplete = false,
  ) => ({ phase, end_reason, recording: { state, video_id: null, parts: 0, mime_type: null, incomplete } }) as SessionView;

  it('show the interview that goes on first', () => {
    const all = [session('completed'), session('created'), session('live'), session('ready')];
    expect(resumeFirst(all).map(({ phase }) => phase)).toEqual(['live', 'completed', 'created', 'ready']);
  });

  it('do not call an invitation that nobody took completed', () => {
    expect(outcome(session('completed', 'candidate_absent'))).toEqual({ label: 'Expired', tone: 'caution' });
    expect(outcome(session('completed', 'candidate_ended')).label).toBe('Completed');
  });

  it('do not call a recording running after the end', () => {
    expect(recordingWords(session('live', null, 'recording'))).toBe('Recording');
    expect(recordingWords(session('completed', null, 'recording', true))).toBe('A part of the recording is missing');
    expect(recordingWords(session('completed', null, 'playable', true))).toBe('Ready to watch; a part is missing');
    expect(recordingWords(session('completed', null, 'waiting'))).toBe('Nothing has arrived');
    expect(recordingWords(session('completed', null, 'playable'))).toBe('Ready to watch');
  });
});

describe('the end of an invitation', () => {
  it('has a date, a time and a zone', () => {
    const words = formatMoment('2026-11-28T13:35:00Z');
    expect(words).toContain('2026');
    expect(words).toMatch(/\d\d:35/);
    const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: 'short' })
      .formatToParts(Date.parse('2026-11-28T13:35:00Z'))
      .find(({ type }) => type === 'timeZoneName');
    expect(words).toContain(zone?.value);
    expect(formatMoment(null)).toBe('–');
  });

  it('is so far away', () => {
    const at = (seconds: number) => timeUntil(new Date(seconds * 1000).toISOString(), 0);
    expect([at(30), at(60), at(61), at(119 * 60), at(120 * 60), at(47 * 3600), at(50 * 3600)]).toEqual([
      'less than a minute', '1 minute', '1 minute', '119 minutes', '2 hours', '47 hours', '2 days',
    ]);
    expect([at(0), at(-5), timeUntil(null), timeUntil('nonsense')]).toEqual([null, null, null, null]);
  });
});

describe('the voice of the interviewer', () => {
  class FakeAudio extends EventTarget {
    srcObject: unknown = null;
    plays = 0;
    refuses: string | null = null;
    async play() {
      this.plays += 1;
      if (this.refuses) throw new DOMException('no', this.refuses);
      this.dispatchEvent(new Event('playing'));
    }
  }
  const flush = () => new Promise((resolve) => setTimeout(resolve));
  const setUp = () => {
    const audio = new FakeAudio();
    const playback = new Playback();
    const detach = playback.attach(audio as unknown as HTMLAudioElement);
    return { audio, playback, detach };
  };

  beforeEach(() => {
    vi.stubGlobal('document', { hidden: false });
  });

  it('plays again after it was stopped, and waits while the page is hidden', async () => {
    const { audio, playback } = setUp();
    playback.setStream({} as MediaStream);
    await flush();
    audio.dispatchEvent(new Event('pause'));
    await flush();
    expect(audio.plays).toBe(2);
    vi.stubGlobal('document', { hidden: true });
    audio.dispatchEvent(new Event('pause'));
    await flush();
    expect([audio.plays, playback.blocked]).toEqual([2, false]);
    vi.stubGlobal('document', { hidden: false });
    expect(await playback.play()).toBe(true);
  });

  it('asks for a click when it is refused, until it plays', async () => {
    const { audio, playback } = setUp();
    audio.refuses = 'NotAllowedError';
    playback.setStream({} as MediaStream);
    await flush();
    expect(playback.blocked).toBe(true);
    audio.refuses = null;
    expect(await playback.play()).toBe(true);
    expect(playback.blocked).toBe(false);
  });

  it('is not blocked because a newer stream took its place', async () => {
    const { audio, playback, detach } = setUp();
    audio.refuses = 'AbortError';
    playback.setStream({} as MediaStream);
    await flush();
    expect(playback.blocked).toBe(false);
    detach();
    audio.dispatchEvent(new Event('pause'));
    await flush();
    expect(audio.plays).toBe(1);
  });
});

describe('the screen', () => {
  it('is kept on, again after the page was hidden, and let go', async () => {
    const page = new EventTarget() as EventTarget & { hidden: boolean };
    page.hidden = false;
    const locks: { released: boolean; release: () => Promise<void> }[] = [];
    const request = async () => {
      const lock = { released: false, release: async () => void (lock.released = true) };
      locks.push(lock);
      return lock;
    };
    vi.stubGlobal('document', page);
    vi.stubGlobal('navigator', { wakeLock: { request } });
    const flush = () => new Promise((resolve) => setTimeout(resolve));
    const release = keepAwake();
    await flush();
    page.dispatchEvent(new Event('visibilitychange'));
    await flush();
    expect(locks, 'one is enough').toHaveLength(1);
    (locks[0] as { released: boolean }).released = true;
    page.dispatchEvent(new Event('visibilitychange'));
    await flush();
    expect(locks).toHaveLength(2);
    release();
    await flush();
    expect(locks[1]?.released).toBe(true);
    page.dispatchEvent(new Event('visibilitychange'));
    await flush();
    expect(locks).toHaveLength(2);
  });

  it('goes dark where a browser has no such thing', async () => {
    const page = Object.assign(new EventTarget(), { hidden: false });
    vi.stubGlobal('document', page);
    vi.stubGlobal('navigator', {});
    const release = keepAwake();
    await new Promise((resolve) => setTimeout(resolve));
    expect(release).not.toThrow();
  });
});
