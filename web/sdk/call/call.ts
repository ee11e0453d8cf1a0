import { Emitter } from '../emitter';
import type { MediaState, MediaStats } from '../types';
import { StatsReader } from './stats';
import { parseVoiceEvent, type VoiceEvent } from './voice_events';

export type CallEvents = {
  state: MediaState;
  voice: VoiceEvent;
  remote_stream: MediaStream;
  stats: MediaStats;
  /** The line is gone and will not come back by itself. */
  lost: 'ice_failed' | 'silent' | 'hung_up';
};

export interface CallOptions {
  microphone: MediaStreamTrack;
  /** Takes the offer to the runtime and brings back the answer. */
  exchange: (offerSdp: string) => Promise<string>;
  createPeerConnection?: () => RTCPeerConnection;
  statsIntervalMs?: number;
  /** ICE may recover from `disconnected`; this long it is given the chance. */
  disconnectedGraceMs?: number;
}

/**
 * One call: the browser's half of the WebRTC connection to the voice model. A call is never repaired, only
 * replaced by a new one; the interview goes on across calls.
 */
export class Call extends Emitter<CallEvents> {
  readonly #options: Required<CallOptions>;
  readonly #peer: RTCPeerConnection;
  readonly #sender: RTCRtpSender;
  readonly #statsReader = new StatsReader();
  #state: MediaState = 'connecting';
  #closed = false;
  #statsTimer: ReturnType<typeof setInterval> | undefined;
  #graceTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: CallOptions) {
    super();
    this.#options = {
      createPeerConnection: () => new RTCPeerConnection(),
      statsIntervalMs: 5_000,
      disconnectedGraceMs: 6_000,
      ...options,
    };
    this.#peer = this.#options.createPeerConnection();
    this.#sender = this.#peer.addTrack(options.microphone, new MediaStream([options.microphone]));
    this.#peer.ontrack = (event) => {
      this.emit('remote_stream', event.streams[0] ?? new MediaStream([event.track]));
    };
    this.#peer.onconnectionstatechange = () => this.#onConnectionState();
    // The channel must be part of the offer: the provider does not add one later.
    const channel = this.#peer.createDataChannel('oai-events');
    channel.onmessage = (event: MessageEvent) => this.#onChannelMessage(event.data);
    channel.onclose = () => this.#lose('hung_up');
  }

  get state(): MediaState {
    return this.#state;
  }

  get alive(): boolean {
    return !this.#closed && this.#state !== 'failed';
  }

  /** Makes the offer, has it answered, and lets the browser connect. */
  async start(): Promise<void> {
    await this.#peer.setLocalDescription(await this.#peer.createOffer());
    const offer = this.#peer.localDescription?.sdp;
    if (!offer) throw new Error('the browser made no offer');
    const answer = await this.#options.exchange(offer);
    if (this.#closed) return;
    await this.#peer.setRemoteDescription({ type: 'answer', sdp: answer });
    this.#statsTimer = setInterval(() => void this.#readStats(), this.#options.statsIntervalMs);
  }

  /** Changes the microphone without a new offer. */
  async replaceMicrophone(track: MediaStreamTrack): Promise<void> {
    await this.#sender.replaceTrack(track);
  }

  async limitAudioBitrate(bitsPerSecond: number): Promise<void> {
    const parameters = this.#sender.getParameters();
    for (const encoding of parameters.encodings) encoding.maxBitrate = bitsPerSecond;
    await this.#sender.setParameters(parameters);
  }

  /** Raw WebRTC statistics, for diagnostics and tests. */
  statistics(): Promise<RTCStatsReport> {
    return this.#peer.getStats();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#statsTimer);
    clearTimeout(this.#graceTimer);
    this.#peer.onconnectionstatechange = null;
    this.#peer.close();
    this.removeAllListeners();
  }

  #onChannelMessage(data: unknown): void {
    const event = parseVoiceEvent(data);
    if (event) this.emit('voice', event);
  }

  #onConnectionState(): void {
    const state = mediaState(this.#peer.connectionState);
    if (state === this.#state) return;
    this.#state = state;
    clearTimeout(this.#graceTimer);
    this.emit('state', state);
    if (state === 'failed') this.#lose('ice_failed');
    if (state === 'disconnected') {
      this.#graceTimer = setTimeout(() => this.#lose('silent'), this.#options.disconnectedGraceMs);
    }
  }

  #lose(why: CallEvents['lost']): void {
    if (!this.#closed) this.emit('lost', why);
  }

  async #readStats(): Promise<void> {
    try {
      const report = await this.#peer.getStats();
      if (!this.#closed) {
        this.emit('stats', this.#statsReader.read(report as unknown as Map<string, never>, performance.now()));
      }
    } catch {
      // The connection was closed while the browser was counting.
    }
  }
}

export function mediaState(state: RTCPeerConnectionState): MediaState {
  switch (state) {
    case 'connected':
    case 'disconnected':
      return state;
    case 'failed':
    case 'closed':
      return 'failed';
    default:
      return 'connecting';
  }
}
