/** What a client does after the socket was closed with a given code. */
export type CloseAction =
  /** Get a new ticket and connect again, with backoff. */
  | 'reconnect'
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
  | 'consent_refused'
  | 'session_over'
  | 'refused';

const STOP_REASONS: Readonly<Record<number, StopReason>> = {
  1000: 'done',
  1008: 'policy',
  1009: 'too_big',
  4001: 'superseded',
  4003: 'ticket_refused',
  4008: 'consent_refused',
  4010: 'session_over',
};

/**
 * 1001 going away, 1005/1006 no close frame, 1011 server error, 1012 restart and 1013 try later all mean
 * "the interview still exists, come back". An unknown code below 4000 is treated the same; an unknown
 * application code (4000 and up) is a refusal this client does not understand, so it does not insist.
 */
export function closeAction(code: number): CloseAction {
  if (code === 4003) return 'new_ticket_once';
  if (code in STOP_REASONS || code >= 4000) return 'stop';
  return 'reconnect';
}

export function stopReason(code: number): StopReason {
  return STOP_REASONS[code] ?? 'refused';
}
