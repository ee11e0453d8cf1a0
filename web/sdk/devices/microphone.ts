import { Emitter } from '../emitter';
import { withDeadline } from '../time';

export type MicrophoneStatus =
  | { kind: 'none' }
  | { kind: 'working' }
  /** The track lives and carries nothing: the system or a switch on the device has muted it. */
  | { kind: 'muted' }
  /** It is gone, and another one is being taken. */
  | { kind: 'replacing' }
  /** None can be had. Tried again when a device is connected, and when someone chooses one. */
  | { kind: 'lost'; error: unknown };

export type MicrophoneEvents = {
  status: MicrophoneStatus;
  track: MediaStreamTrack;
  /** Another one was taken without anybody's choice. */
  replaced: { label: string };
};

export interface MicrophoneOptions {
  /** Opens this device, or the system's choice. */
  open: (deviceId: string | null) => Promise<MediaStreamTrack>;
  /** `null` where the browser has none. */
  devices?: Pick<MediaDevices, 'addEventListener' | 'removeEventListener' | 'enumerateDevices'> | null;
  /** How long taking another one may last: a browser may ask the user about it. */
  replaceTimeoutMs?: number;
}

/** An interruption by the system ends by itself more often than not. */
const MUTED_PATIENCE_MS = 1_500;

/** One microphone at a time. Notices that it is gone or muted, and takes another one when it is gone. */
export class Microphone extends Emitter<MicrophoneEvents> {
  readonly #options: Required<MicrophoneOptions>;
  #track: MediaStreamTrack | null = null;
  #chosen: string | null = null;
  #status: MicrophoneStatus = { kind: 'none' };
  /** Rises with each request, so that a late answer does not undo a newer one. */
  #request = 0;
  #unwatch: () => void = () => undefined;
  #closed = false;
  /** The device of the track, when the system's list has named it: only then can it be missed there. */
  #listed = '';

  constructor(options: MicrophoneOptions) {
    super();
    this.#options = {
      devices: globalThis.navigator?.mediaDevices ?? null,
      replaceTimeoutMs: 30_000,
      ...options,
    };
    this.#options.devices?.addEventListener('devicechange', this.#onDeviceChange);
  }

  get track(): MediaStreamTrack | null {
    return this.#track;
  }

  get status(): MicrophoneStatus {
    return this.#status;
  }

  /** Takes the one that was chosen, or the system's. Rejects when that one cannot be had; then nothing has changed. */
  async choose(deviceId: string | null): Promise<void> {
    const request = (this.#request += 1);
    const track = await this.#options.open(deviceId);
    if (this.#closed || request !== this.#request) return track.stop();
    this.#chosen = deviceId;
    this.#take(track);
  }

  /** The page is looked at again. A system that took the microphone away for a phone call may not give it back. */
  onVisible(): void {
    const track = this.#track;
    if (this.#status.kind === 'lost' || track?.readyState === 'ended') void this.#replace();
    if (this.#status.kind !== 'muted') return;
    setTimeout(() => {
      if (this.#track === track && this.#status.kind === 'muted') void this.#replace();
    }, MUTED_PATIENCE_MS);
  }

  close(): void {
    this.#closed = true;
    this.#request += 1;
    this.#options.devices?.removeEventListener('devicechange', this.#onDeviceChange);
    this.#unwatch();
    this.#track?.stop();
    this.#track = null;
    this.#setStatus({ kind: 'none' });
  }

  #take(track: MediaStreamTrack): void {
    const before = this.#track;
    this.#watch(track);
    this.#track = track;
    this.emit('track', track);
    // After the change: a track that is still being sent must not end.
    before?.stop();
    this.#setStatus({ kind: track.muted ? 'muted' : 'working' });
    void this.#lookAround();
  }

  #watch(track: MediaStreamTrack): void {
    this.#unwatch();
    const onEnded = () => void this.#replace();
    const onMute = () => this.#setStatus({ kind: 'muted' });
    const onUnmute = () => this.#setStatus({ kind: 'working' });
    track.addEventListener('ended', onEnded);
    track.addEventListener('mute', onMute);
    track.addEventListener('unmute', onUnmute);
    this.#unwatch = () => {
      track.removeEventListener('ended', onEnded);
      track.removeEventListener('mute', onMute);
      track.removeEventListener('unmute', onUnmute);
    };
  }

  /** The chosen one if it can be had, else whatever the system offers. */
  async #replace(): Promise<void> {
    if (this.#closed || this.#status.kind === 'replacing') return;
    const request = (this.#request += 1);
    this.#setStatus({ kind: 'replacing' });
    try {
      const track = await withDeadline(this.#open(request), this.#options.replaceTimeoutMs, 'another microphone');
      if (this.#closed || request !== this.#request) return track.stop();
      this.#take(track);
      this.emit('replaced', { label: track.label });
    } catch (error) {
      if (this.#closed || request !== this.#request) return;
      this.#request += 1;
      this.#setStatus({ kind: 'lost', error });
    }
  }

  async #open(request: number): Promise<MediaStreamTrack> {
    const track = await (this.#chosen === null
      ? this.#options.open(null)
      : this.#options.open(this.#chosen).catch(() => this.#options.open(null)));
    // Too late: somebody chose another one, or waiting was given up.
    if (request !== this.#request) track.stop();
    return track;
  }

  readonly #onDeviceChange = () => void this.#lookAround();

  async #lookAround(): Promise<void> {
    const track = this.#track;
    if (this.#closed || this.#status.kind === 'none') return;
    if (this.#status.kind === 'lost' || track?.readyState === 'ended') return this.#replace();
    // Not every browser ends the track of a device that was pulled out.
    const id = track?.getSettings().deviceId ?? '';
    const devices = (await this.#options.devices?.enumerateDevices().catch(() => [])) ?? [];
    if (this.#track !== track || id === '') return;
    const listed = devices.some((device) => device.kind === 'audioinput' && device.deviceId === id);
    if (!listed && this.#listed === id) await this.#replace();
    this.#listed = listed ? id : '';
  }

  #setStatus(status: MicrophoneStatus): void {
    if (this.#closed && status.kind !== 'none') return;
    this.#status = status;
    this.emit('status', status);
  }
}
