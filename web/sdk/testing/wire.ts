// What the tests of the socket share: the other end of it, and words to send over it.
import type { RelayedEntry, ServerEvents } from '../types';

/** A `session_ready` as a runtime sends it to a page that comes for the first time. */
export function sessionReady(overrides: object = {}): { type: string; n: number } & ServerEvents['session_ready'] {
  return {
    type: 'session_ready',
    n: 1,
    session_id: 's1',
    phase: 'live',
    segment: 1,
    acked_seq: 0,
    heartbeat_interval_ms: 5_000,
    required_consents: [],
    given_consents: [],
    time_left_s: 60,
    greeted: false,
    limits: { max_frame_bytes: 65_536, max_entries: 100, max_typed_chars: 4_000 },
    ...overrides,
  };
}

/** The browser's WebSocket, with the test at its other end. */
export class FakeSocket {
  readyState = 0;
  sent: Record<string, unknown>[] = [];
  closedByClient = false;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(data: string): void {
    this.sent.push(JSON.parse(data) as Record<string, unknown>);
  }

  close(): void {
    this.readyState = 3;
    this.closedByClient = true;
  }

  receive(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  ready(overrides: object = {}): void {
    this.readyState = 1;
    this.receive(sessionReady(overrides));
  }

  drop(code: number): void {
    this.readyState = 3;
    this.onclose?.({ code, reason: '' });
  }

  of(type: string): Record<string, unknown>[] {
    return this.sent.filter((message) => message['type'] === type);
  }
}

/** Opens sockets for a connection under test and remembers them. */
export function fakeSockets() {
  const sockets: FakeSocket[] = [];
  const openSocket = (url: string, protocols: string[]) => {
    const socket = new FakeSocket(url, protocols);
    sockets.push(socket);
    return socket as unknown as WebSocket;
  };
  return { sockets, openSocket, last: () => sockets.at(-1) as FakeSocket };
}

export const relayed = (text: string): RelayedEntry => ({
  text,
  speaker: 'candidate',
  timestamp: '2026-01-01T00:00:00Z',
  id: text,
  item_id: text,
});
