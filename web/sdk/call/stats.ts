import type { MediaStats } from '../types';

/** The few fields of an `RTCStatsReport` this needs; all optional, as browsers differ. */
interface AnyStats {
  type: string;
  kind?: string;
  nominated?: boolean;
  state?: string;
  currentRoundTripTime?: number;
  jitter?: number;
  packetsLost?: number;
  bytesReceived?: number;
}

/** Reads successive stats reports of one call and computes what the runtime wants to know. */
export class StatsReader {
  #last: { bytes: number; atMs: number } | null = null;

  read(report: Iterable<[string, AnyStats]> | Map<string, AnyStats>, nowMs: number): MediaStats {
    const stats: MediaStats = { rtt_ms: null, jitter_ms: null, packets_lost: null, bitrate_bps: null };
    for (const [, entry] of report) {
      if (entry.type === 'candidate-pair' && entry.nominated && entry.currentRoundTripTime !== undefined) {
        stats.rtt_ms = Math.round(entry.currentRoundTripTime * 1000);
      }
      if (entry.type === 'inbound-rtp' && entry.kind === 'audio') this.#readInbound(entry, stats, nowMs);
    }
    return stats;
  }

  #readInbound(entry: AnyStats, stats: MediaStats, nowMs: number): void {
    if (entry.jitter !== undefined) stats.jitter_ms = Math.round(entry.jitter * 1000);
    // WebRTC reports a negative loss when duplicates arrived.
    if (entry.packetsLost !== undefined) stats.packets_lost = Math.max(0, entry.packetsLost);
    if (entry.bytesReceived === undefined) return;
    if (this.#last && nowMs > this.#last.atMs) {
      const bits = (entry.bytesReceived - this.#last.bytes) * 8;
      stats.bitrate_bps = Math.max(0, Math.round((bits * 1000) / (nowMs - this.#last.atMs)));
    }
    this.#last = { bytes: entry.bytesReceived, atMs: nowMs };
  }
}
