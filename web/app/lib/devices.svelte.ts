import { Mixer, type Levels } from '../../sdk';
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
  camera = $state.raw<MediaStreamTrack | null>(null);
  speakerId = $state('');
  microphoneError = $state<string | null>(null);
  cameraError = $state<string | null>(null);
  #meter: Mixer | null = null;
  readonly #onDeviceChange = () => void this.#list();

  constructor() {
    navigator.mediaDevices?.addEventListener('devicechange', this.#onDeviceChange);
  }

  get supported(): boolean {
    return 'mediaDevices' in navigator && 'RTCPeerConnection' in globalThis;
  }

  async openMicrophone(deviceId?: string): Promise<void> {
    this.microphoneError = null;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: { ...MICROPHONE_CONSTRAINTS, ...exactly(deviceId) },
      });
      this.microphone?.stop();
      this.microphone = stream.getAudioTracks()[0] ?? null;
      await this.#startMeter();
    } catch (error) {
      this.microphoneError = explainMediaError(error, 'microphone');
    }
    await this.#list();
  }

  async openCamera(deviceId?: string): Promise<void> {
    this.cameraError = null;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        video: { ...CAMERA_CONSTRAINTS, ...exactly(deviceId) },
      });
      this.camera?.stop();
      this.camera = stream.getVideoTracks()[0] ?? null;
    } catch (error) {
      this.cameraError = explainMediaError(error, 'camera');
    }
    await this.#list();
  }

  closeCamera(): void {
    this.camera?.stop();
    this.camera = null;
  }

  /** 0..1, for the meter of the device check. */
  level(): number {
    const levels: Levels | undefined = this.#meter?.levels();
    return levels?.microphone ?? 0;
  }

  /** Plays three soft tones through the chosen speaker. */
  async testSpeaker(): Promise<void> {
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

  /** The meter is not needed in the room, which has its own. */
  async stopMeter(): Promise<void> {
    await this.#meter?.close();
    this.#meter = null;
  }

  async release(): Promise<void> {
    navigator.mediaDevices?.removeEventListener('devicechange', this.#onDeviceChange);
    await this.stopMeter();
    this.microphone?.stop();
    this.microphone = null;
    this.closeCamera();
  }

  async #startMeter(): Promise<void> {
    if (!this.microphone) return;
    this.#meter ??= new Mixer();
    await this.#meter.resume();
    this.#meter.setMicrophone(this.microphone);
  }

  async #list(): Promise<void> {
    const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    const named = devices.filter((device) => device.deviceId !== '' && device.label !== '');
    this.microphones = named.filter((device) => device.kind === 'audioinput');
    this.cameras = named.filter((device) => device.kind === 'videoinput');
    this.speakers = named.filter((device) => device.kind === 'audiooutput');
  }
}

/** Firefox and Safari cannot choose a speaker; there the system's choice stands. */
export async function useSpeaker(audio: HTMLAudioElement, deviceId: string): Promise<void> {
  if (deviceId !== '' && 'setSinkId' in audio) await audio.setSinkId(deviceId).catch(() => undefined);
}

function exactly(deviceId: string | undefined): MediaTrackConstraints {
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
