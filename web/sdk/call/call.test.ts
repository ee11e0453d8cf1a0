import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MediaState } from '../types';
import { Call, mediaState } from './call';

class FakePeer {
  connectionState: RTCPeerConnectionState = 'new';
  localDescription: { sdp: string } | null = null;
  remote: unknown = null;
  closed = false;
  onconnectionstatechange: (() => void) | null = null;
  ontrack: unknown = null;
  channel = { onmessage: null as ((event: { data: unknown }) => void) | null, onclose: null as (() => void) | null };
  addTrack = () => ({});
  createDataChannel = () => this.channel;
  createOffer = async () => ({ type: 'offer', sdp: 'offer' });
  setLocalDescription = async () => {
    this.localDescription = { sdp: 'offer' };
  };
  setRemoteDescription = async (description: unknown) => {
    this.remote = description;
  };
  getStats = async () => new Map();
  close = () => {
    this.closed = true;
  };
  becomes(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
}

async function connected() {
  const peer = new FakePeer();
  const call = new Call({
    microphone: {} as MediaStreamTrack,
    exchange: async () => 'answer',
    createPeerConnection: () => peer as unknown as RTCPeerConnection,
    disconnectedGraceMs: 6_000,
  });
  const states: MediaState[] = [];
  const lost: string[] = [];
  call.on('state', (state) => states.push(state));
  call.on('lost', (why) => lost.push(why));
  await call.start();
  peer.becomes('connected');
  return { peer, call, states, lost };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  vi.stubGlobal('MediaStream', class {});
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('Call', () => {
  it('is lost at once when ICE fails', async () => {
    const { peer, lost, states, call } = await connected();
    peer.becomes('failed');
    expect(lost).toEqual(['ice_failed']);
    expect(states.at(-1)).toBe('failed');
    expect(call.alive).toBe(false);
  });

  it('is given time to recover from `disconnected`, and is lost when it does not', async () => {
    const { peer, lost } = await connected();
    peer.becomes('disconnected');
    await vi.advanceTimersByTimeAsync(5_900);
    peer.becomes('connected');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lost, 'it came back').toEqual([]);
    peer.becomes('disconnected');
    await vi.advanceTimersByTimeAsync(5_999);
    expect(lost).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(lost).toEqual(['silent']);
  });

  it('is lost when the provider closes the data channel, and not when we hang up', async () => {
    const hungUp = await connected();
    hungUp.peer.channel.onclose?.();
    expect(hungUp.lost).toEqual(['hung_up']);
    const ours = await connected();
    ours.call.close();
    ours.peer.channel.onclose?.();
    ours.peer.becomes('failed');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(ours.lost).toEqual([]);
    expect(ours.peer.closed).toBe(true);
  });

  it('does not take an answer that comes after it was closed', async () => {
    let answer: (sdp: string) => void = () => undefined;
    const peer = new FakePeer();
    const call = new Call({
      microphone: {} as MediaStreamTrack,
      exchange: () => new Promise((resolve) => (answer = resolve)),
      createPeerConnection: () => peer as unknown as RTCPeerConnection,
    });
    const started = call.start();
    await vi.advanceTimersByTimeAsync(0);
    call.close();
    answer('late');
    await started;
    expect(peer.remote).toBeNull();
  });
});

it.each<[RTCPeerConnectionState, MediaState]>([
  ['new', 'connecting'],
  ['connecting', 'connecting'],
  ['connected', 'connected'],
  ['disconnected', 'disconnected'],
  ['failed', 'failed'],
  ['closed', 'failed'],
])('a connection that is %s is told as %s', (state, told) => {
  expect(mediaState(state)).toBe(told);
});
