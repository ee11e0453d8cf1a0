import type { Entry } from '../types';

/** A line of the transcript as the runtime heard it itself. */
export const entryOf = (overrides: Partial<Entry> = {}): Entry => ({
  seq: 1,
  item_id: 'i1',
  segment: 1,
  speaker: 'candidate',
  text: 'I led the team.',
  source: 'sideband',
  status: 'final',
  interrupted: false,
  heard_ms: null,
  heard_text: null,
  commentary: false,
  at: '2026-01-01T10:00:00Z',
  ...overrides,
});
