import 'fake-indexeddb/auto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { IndexedDbRecordingVault } from './recording_vault';

const blob = (text: string) => new Blob([text]);
const texts = async (vault: IndexedDbRecordingVault, videoId: string) => {
  const leftover = await vault.leftover(videoId);
  return leftover && { stored: leftover.storedParts, slices: await Promise.all(leftover.slices.map((slice) => slice.text())) };
};

afterEach(() => {
  vi.useRealTimers();
});

describe('IndexedDbRecordingVault', () => {
  it('gives a new page what the earlier one recorded and had not seen stored', async () => {
    const before = new IndexedDbRecordingVault('vault-reload');
    for (const text of ['a', 'b', 'c', 'd']) await before.put('s1', 'v1', blob(text));
    await before.partStored('v1', 1, 3);
    await before.put('s1', 'v1', blob('e'));
    const after = new IndexedDbRecordingVault('vault-reload');
    expect(await after.unfinished('s1')).toEqual(['v1']);
    expect(await texts(after, 'v1')).toEqual({ stored: 1, slices: ['d', 'e'] });
    await after.partStored('v1', 1, 3);
    expect(await texts(after, 'v1'), 'a repeat takes nothing away').toEqual({ stored: 1, slices: ['d', 'e'] });
    await after.forget('v1');
    expect(await after.unfinished('s1')).toEqual([]);
    expect(await after.leftover('v1')).toBeNull();
  });

  it('keeps sessions and videos apart, and knows where each can be sent', async () => {
    const vault = new IndexedDbRecordingVault('vault-apart');
    await vault.put('s1', 'v1', blob('one'));
    const target = { uploadUrl: 'https://upload.test', token: 't' };
    await vault.put('s1', 'v2', blob('two'), target);
    await vault.put('s2', 'v3', blob('three'));
    expect(await vault.all()).toEqual([
      { videoId: 'v1', sessionId: 's1', target: null },
      { videoId: 'v2', sessionId: 's1', target },
      { videoId: 'v3', sessionId: 's2', target: null },
    ]);
    expect(await vault.unfinished('s1')).toEqual(['v1', 'v2']);
    await vault.forget('v1');
    expect(await vault.unfinished('s1')).toEqual(['v2']);
    expect(await texts(vault, 'v3')).toEqual({ stored: 0, slices: ['three'] });
  });

  it('does not keep a voice for longer than it could be of use', async () => {
    const vault = new IndexedDbRecordingVault('vault-old');
    vi.useFakeTimers({ toFake: ['Date'] });
    await vault.put('s1', 'v1', blob('old'));
    vi.setSystemTime(Date.now() + 25 * 60 * 60 * 1000);
    await vault.put('s1', 'v2', blob('new'));
    expect(await vault.unfinished('s1')).toEqual(['v2']);
    expect(await vault.leftover('v1')).toBeNull();
  });
});
