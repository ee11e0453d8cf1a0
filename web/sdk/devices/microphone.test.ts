import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Microphone, type MicrophoneStatus } from './microphone';

class FakeTrack extends EventTarget {
  readyState = 'live';
  muted = false;
  constructor(
    readonly deviceId: string,
    readonly label = deviceId,
  ) {
    super();
  }
  getSettings() {
    return { deviceId: this.deviceId };
  }
  stop() {
    this.readyState = 'ended';
  }
  /** What the browser does when a device goes away. */
  end() {
    this.readyState = 'ended';
    this.dispatchEvent(new Event('ended'));
  }
  say(what: 'mute' | 'unmute') {
    this.muted = what === 'mute';
    this.dispatchEvent(new Event(what));
  }
}

class FakeDevices extends EventTarget {
  connected = ['usb', 'built-in'];
  enumerateDevices = async () =>
    this.connected.map((deviceId) => ({ kind: 'audioinput', deviceId, label: deviceId })) as MediaDeviceInfo[];
  change(...connected: string[]) {
    this.connected = connected;
    this.dispatchEvent(new Event('devicechange'));
  }
}

async function setUp(chosen: string | null = 'usb') {
  const devices = new FakeDevices();
  const opened: FakeTrack[] = [];
  const asked: (string | null)[] = [];
  const statuses: MicrophoneStatus['kind'][] = [];
  const replaced: string[] = [];
  const open = vi.fn(async (deviceId: string | null) => {
    asked.push(deviceId);
    const device = deviceId ?? devices.connected[0];
    if (!device || !devices.connected.includes(device)) throw new DOMException('none', 'NotFoundError');
    const track = new FakeTrack(device);
    opened.push(track);
    return track as unknown as MediaStreamTrack;
  });
  const microphone = new Microphone({ open, devices: devices as unknown as MediaDevices });
  microphone.on('status', ({ kind }) => statuses.push(kind));
  microphone.on('replaced', ({ label }) => replaced.push(label));
  await microphone.choose(chosen);
  await vi.advanceTimersByTimeAsync(0);
  const last = () => opened.at(-1) as FakeTrack;
  return { devices, microphone, opened, asked, statuses, replaced, open, last };
}

const flush = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('a microphone', () => {
  it('that is gone is followed by the chosen one, or by the default when that is gone', async () => {
    const { devices, last, asked, statuses, replaced, microphone } = await setUp();
    last().end();
    await flush();
    expect(asked).toEqual(['usb', 'usb']);
    devices.connected = ['built-in'];
    last().end();
    await flush();
    expect(asked.slice(2)).toEqual(['usb', null]);
    expect(replaced).toEqual(['usb', 'built-in']);
    expect(statuses).toEqual(['working', 'replacing', 'working', 'replacing', 'working']);
    expect(microphone.track?.readyState).toBe('live');
  });

  it('is asked for again when none could be had and one is connected, or the page is seen again', async () => {
    const { devices, last, microphone, opened, asked } = await setUp();
    devices.connected = [];
    last().end();
    await flush();
    expect(microphone.status).toMatchObject({ kind: 'lost', error: { name: 'NotFoundError' } });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked, 'nothing is tried in between').toEqual(['usb', 'usb', null]);
    microphone.onVisible();
    await flush();
    expect(microphone.status.kind).toBe('lost');
    devices.change('headset');
    await flush();
    expect(microphone.status.kind).toBe('working');
    expect(opened.at(-1)?.deviceId).toBe('headset');
  });

  it('is missed in the list of devices where its track does not end', async () => {
    const { devices, last, asked } = await setUp();
    const before = last();
    devices.change('usb', 'built-in', 'other');
    await flush();
    expect(asked).toEqual(['usb']);
    devices.change('built-in');
    await flush();
    expect(last().deviceId).toBe('built-in');
    expect(before.readyState, 'the old one is let go').toBe('ended');
  });

  it('that no list has ever named cannot be missed in one', async () => {
    const { devices, last, asked } = await setUp();
    last().getSettings = () => ({ deviceId: 'made-by-the-page' });
    devices.change('built-in');
    devices.change('usb');
    await flush();
    expect(asked).toEqual(['usb']);
  });

  it('muted by the system is said at once, and taken anew when the page is seen and it stays so', async () => {
    const { last, microphone, asked } = await setUp();
    last().say('mute');
    expect(microphone.status.kind).toBe('muted');
    last().say('unmute');
    expect(microphone.status.kind).toBe('working');
    last().say('mute');
    microphone.onVisible();
    await vi.advanceTimersByTimeAsync(1_000);
    last().say('unmute');
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked, 'it came back by itself').toEqual(['usb']);
    last().say('mute');
    microphone.onVisible();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(asked).toEqual(['usb', 'usb']);
    expect(microphone.status.kind).toBe('working');
  });

  it('keeps what it has when another one is chosen that cannot be had', async () => {
    const { microphone, last } = await setUp();
    await expect(microphone.choose('nonsense')).rejects.toMatchObject({ name: 'NotFoundError' });
    expect(microphone.track).toBe(last());
    expect(microphone.status.kind).toBe('working');
  });

  it('does not wait for ever for an answer, and lets a late one go', async () => {
    const { open, last, microphone } = await setUp();
    const late = new FakeTrack('late');
    let answer: (track: MediaStreamTrack) => void = () => undefined;
    open.mockImplementation(() => new Promise((resolve) => (answer = resolve)));
    last().end();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(microphone.status.kind).toBe('lost');
    answer(late as unknown as MediaStreamTrack);
    await flush();
    expect(late.readyState).toBe('ended');
  });

  it('hears nothing of its devices after it was closed', async () => {
    const { microphone, devices, last, asked } = await setUp();
    const track = last();
    microphone.close();
    expect(track.readyState).toBe('ended');
    track.end();
    devices.change('built-in');
    await flush();
    expect(asked).toEqual(['usb']);
    expect(microphone.status.kind).toBe('none');
  });
});
