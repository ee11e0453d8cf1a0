/** What a client does after the socket was closed with a given code. */
export type CloseAction =
  /** Get a new ticket and connect again, with backoff. */
  | 'reconnect'
  /** The other side is being replaced and is back in a moment: come back at once, each client a little apart. */
  | 'reconnect_at_once'
  /** The ticket was refused: get a new one and try once more at once; a second refusal is final. */
  | 'new_ticket_once'
  /** Never connect again. */
  | 'stop';

export type StopReason =
  | 'done'
  | 'policy'
  | 'too_big'
  | 'superseded'
  | 'ticket_refused'
  | 'session_over'
  | 'refused'
  /** This page's own code failed; coming back would not help. */
  | 'page_fault';

/** The table of docs/PROTOCOL.md. */
const TABLE: Readonly<Record<number, Exclude<CloseAction, 'stop'> | StopReason>> = {
  1000: 'done',
  1001: 'reconnect',
  // What this client sends is no text, or no protocol at all: sending it again would not help.
  1002: 'policy',
  1003: 'policy',
  1006: 'reconnect',
  1007: 'policy',
  1008: 'policy',
  1009: 'too_big',
  1011: 'reconnect',
  1012: 'reconnect_at_once',
  1013: 'reconnect',
  4001: 'superseded',
  4003: 'new_ticket_once',
};

/**
 * A code below 4000 that is not in the table says nothing about the interview, so the client comes back; an
 * unknown application code (4000 and up) is a refusal this client does not understand, so it does not insist.
 */
export function closeAction(code: number): CloseAction {
  const known = TABLE[code] ?? (code >= 4000 ? 'refused' : 'reconnect');
  switch (known) {
    case 'reconnect':
    case 'reconnect_at_once':
    case 'new_ticket_once':
      return known;
    default:
      return 'stop';
  }
}

export function stopReason(code: number): StopReason {
  const known = TABLE[code];
  switch (known) {
    case undefined:
    case 'reconnect':
    case 'reconnect_at_once':
      return 'refused';
    case 'new_ticket_once':
      return 'ticket_refused';
    default:
      return known;
  }
}
