import { Microphone, Mixer, type MicrophoneStatus } from '../../sdk';
import type { Choices } from './choices.svelte';
import { explainMediaError } from './explain';

const MICROPHONE_CONSTRAINTS: MediaTrackConstraints = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};
const CAMERA_CONSTRAINTS: MediaTrackConstraints = {
  width: { ideal: 640 },
  height: { ideal: 480 },
  frameRate: { ideal: 20, max: 30 },
};

/** Microphone, camera and speaker of one visit to the room. */
export class Devices {
  microphones = $state<MediaDeviceInfo[]>([]);
  cameras = $state<MediaDeviceInfo[]>([]);
  speakers = $state<MediaDeviceInfo[]>([]);
  microphone = $state.raw<MediaStreamTrack | null>(null);
  microphoneStatus = $state.raw<MicrophoneStatus>({ kind: 'none' });
  /** The name of the microphone that took the place of a lost one. */
  replacement = $state.raw<{ label: string } | null>(null);
  camera = $state.raw<MediaStreamTrack | null>(null);
  microphoneError = $state<string | null>(null);
  cameraError = $state<string | null>(null);
  /** `false`: this browser does not let the page measure the microphone. It can be used all the same. */
  measures = $state(true);
  readonly #choices: Choices;
  #keeper: Microphone | null = null;
  #meter: Mixer | null = null;
  readonly #onDeviceChange = () => void this.#list();

  constructor(choices: Choices) {
    this.#choices = choices;
  }

  /** The devices are let go of at the end, and may be wanted again: an interview is taken back from another window. */
  #keep(): Microphone {
    if (this.#keeper) return this.#keeper;
    navigator.mediaDevices?.addEventListener('devicechange', this.#onDeviceChange);
    const keeper = new Microphone({ open: openMicrophone });
    keeper.on('status', (status) => {
      this.microphoneStatus = status;
      if (status.kind === 'lost') this.microphoneError = explainMediaError(status.error, 'microphone');
      if (status.kind === 'working') this.microphoneError = null;
    });
    keeper.on('track', (track) => {
      this.microphone = track;
      this.#meter?.setMicrophone(track);
    });
    keeper.on('replaced', (replacement) => {
      this.replacement = replacement;
      void this.#list();
    });
    this.#keeper = keeper;
    return keeper;
  }

  get speakerId(): string {
    return this.#choices.all.speakerId;
  }

  /** Firefox before 116 and Safari cannot choose a speaker; there the system's choice stands. */
  get canChooseSpeaker(): boolean {
    return this.speakers.length > 0 && 'setSinkId' in HTMLMediaElement.prototype;
  }

  /** The one that was chosen in this interview, or the system's. */
  async openMicrophone(deviceId?: string): Promise<void> {
    this.microphoneError = null;
    this.replacement = null;
    if (deviceId) this.#choices.set({ microphoneId: deviceId });
    const chosen = deviceId ?? this.#choices.all.microphoneId;
    const keeper = this.#keep();
    try {
      // What was chosen before a reload may have been pulled out since.
      if (deviceId || chosen === null) await keeper.choose(chosen);
      else await keeper.choose(chosen).catch(() => keeper.choose(null));
    } catch (error) {
      this.microphoneError = explainMediaError(error, 'microphone');
    }
    await this.#list();
  }

  async openCamera(deviceId?: string): Promise<void> {
    this.cameraError = null;
    const chosen = deviceId ?? this.#choices.all.cameraId;
    try {
      const track = await openCamera(chosen).catch((error: unknown) => {
        if (deviceId || chosen === null) throw error;
        return openCamera(null);
      });
      track.addEventListener('ended', () => this.#onCameraEnded(track));
      const before = this.camera;
      this.camera = track;
      before?.stop();
      this.#choices.set({ cameraOn: true, ...(deviceId ? { cameraId: deviceId } : {}) });
    } catch (error) {
      this.cameraError = explainMediaError(error, 'camera');
    }
    await this.#list();
  }

  closeCamera(): void {
    this.#choices.set({ cameraOn: false });
    this.#stopCamera();
  }

  chooseSpeaker(deviceId: string): void {
    this.#choices.set({ speakerId: deviceId });
  }

  /** The page is looked at again, or the network of devices may have changed without a word. */
  onVisible(): void {
    this.#keeper?.onVisible();
    void this.#meter?.resume();
  }

  onTouched(): void {
    if (!this.measures) void this.#meter?.resume();
  }

  /** 0..1, for the meter of the device check. */
  level(): number {
    return this.#meter?.levels().microphone ?? 0;
  }

  /** Measuring is for the check; the room has its own meter. */
  async startMeter(): Promise<void> {
    const meter = (this.#meter ??= new Mixer());
    meter.on('running', () => (this.measures = meter.measures));
    meter.on('missing', () => (this.measures = meter.measures));
    if (this.microphone) meter.setMicrophone(this.microphone);
    await meter.resume();
    if (this.#meter === meter) this.measures = meter.measures;
  }

  async stopMeter(): Promise<void> {
    const meter = this.#meter;
    this.#meter = null;
    await meter?.close();
  }

  /** Plays three soft tones through the chosen speaker. `false`: this browser plays none. */
  async testSpeaker(): Promise<boolean> {
    try {
      await this.#playTones();
      return true;
    } catch {
      return false;
    }
  }

  async #playTones(): Promise<void> {
    const context = new AudioContext();
    const output = context.createMediaStreamDestination();
    const audio = new Audio();
    audio.srcObject = output.stream;
    await useSpeaker(audio, this.speakerId);
    await audio.play();
    const start = context.currentTime + 0.05;
    [392, 494, 587].forEach((frequency, index) => tone(context, output, frequency, start + index * 0.28));
    setTimeout(() => void context.close(), 1_800);
  }

  async release(): Promise<void> {
    navigator.mediaDevices?.removeEventListener('devicechange', this.#onDeviceChange);
    this.#keeper?.close();
    this.#keeper = null;
    this.microphone = null;
    this.#stopCamera();
    await this.stopMeter();
  }

  #stopCamera(): void {
    this.camera?.stop();
    this.camera = null;
  }

  #onCameraEnded(track: MediaStreamTrack): void {
    if (this.camera !== track) return;
    this.camera = null;
    this.cameraError = 'Your camera was disconnected. The interview goes on without a picture; you can turn a camera on again.';
  }

  async #list(): Promise<void> {
    const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    const named = devices.filter((device) => device.deviceId !== '' && device.label !== '');
    this.microphones = named.filter((device) => device.kind === 'audioinput');
    this.cameras = named.filter((device) => device.kind === 'videoinput');
    this.speakers = named.filter((device) => device.kind === 'audiooutput');
  }
}

/** Whether this page, opened as it is, can hold a call at all. Without https a browser hides its microphone. */
export function canCall(): boolean {
  return Boolean(globalThis.navigator?.mediaDevices?.getUserMedia) && 'RTCPeerConnection' in globalThis;
}

async function openMicrophone(deviceId: string | null): Promise<MediaStreamTrack> {
  const audio = { ...MICROPHONE_CONSTRAINTS, ...exactly(deviceId) };
  const [track] = (await navigator.mediaDevices.getUserMedia({ audio })).getAudioTracks();
  if (!track) throw new DOMException('the browser gave no microphone', 'NotFoundError');
  return track;
}

async function openCamera(deviceId: string | null): Promise<MediaStreamTrack> {
  const video = { ...CAMERA_CONSTRAINTS, ...exactly(deviceId) };
  const [track] = (await navigator.mediaDevices.getUserMedia({ video })).getVideoTracks();
  if (!track) throw new DOMException('the browser gave no camera', 'NotFoundError');
  return track;
}

export async function useSpeaker(audio: HTMLAudioElement, deviceId: string): Promise<void> {
  // Back to the system's choice with an empty id. A speaker that is gone leaves the one before.
  if ('setSinkId' in audio && audio.sinkId !== deviceId) await audio.setSinkId(deviceId).catch(() => undefined);
}

function exactly(deviceId: string | null): MediaTrackConstraints {
  return deviceId ? { deviceId: { exact: deviceId } } : {};
}

function tone(context: AudioContext, output: AudioNode, frequency: number, at: number): void {
  const oscillator = context.createOscillator();
  const gain = context.createGain();
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(0.14, at + 0.04);
  gain.gain.exponentialRampToValueAtTime(0.001, at + 0.42);
  oscillator.connect(gain).connect(output);
  oscillator.start(at);
  oscillator.stop(at + 0.45);
}
