import type { RelayedEntry } from '../types';

/** What the runtime takes; anything beyond is refused for good, so it is never sent. */
export const MAX_TEXT_BYTES = 16 * 1024;
export const MAX_ID_BYTES = 128;
export const LIMITS = { max_frame_bytes: 64 * 1024, max_entries: 100 };

/** UTF-8 bytes that JSON needs around the entries of a `transcript_update`. */
const ENVELOPE_BYTES = 256;

/** The first and the last moment that RFC 3339 can name. */
const YEAR_0 = Date.UTC(-1, 12);
const YEAR_9999 = Date.UTC(10_000, 0) - 1;

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

const encoder = new TextEncoder();

/**
 * Half a character (a lone surrogate) and NUL become U+FFFD. In a pattern with the `u` flag a surrogate that
 * is part of a pair is no match, so this is `toWellFormed` for browsers of any age.
 */
export function wellFormed(text: string): string {
  return text.replace(/[\0\p{Surrogate}]/gu, '\uFFFD');
}

/** The longest beginning of `text` that fits into so many UTF-8 bytes; no character is cut in two. */
export function cut(text: string, maxBytes: number): string {
  const { read } = encoder.encodeInto(text, new Uint8Array(Math.max(0, maxBytes)));
  return text.slice(0, read);
}

/**
 * An entry as the runtime takes it. An id that it would refuse is left out and the words are kept: without
 * `id` the runtime knows a repeat by the words themselves, without `item_id` it cannot tell which of the
 * provider's items they belong to and keeps them as a claim. A made-up id would claim more than is known.
 */
export function cleanEntry(entry: RelayedEntry): RelayedEntry {
  const { text, speaker, timestamp, id, item_id: itemId } = entry;
  return {
    text: cut(wellFormed(text), MAX_TEXT_BYTES),
    speaker,
    timestamp: cleanTime(timestamp),
    ...(isUsableId(id) ? { id } : {}),
    ...(isUsableId(itemId) ? { item_id: itemId } : {}),
  };
}

function isUsableId(id: string | undefined): id is string {
  if (typeof id !== 'string' || id === '' || encoder.encode(id).length > MAX_ID_BYTES) return false;
  return !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(id);
}

/** A time that RFC 3339 cannot write makes the whole frame unreadable. */
function cleanTime(timestamp: string): string {
  const at = Date.parse(timestamp);
  const isWritable = at >= YEAR_0 && at <= YEAR_9999;
  if (isWritable && RFC_3339.test(timestamp)) return timestamp;
  return new Date(isWritable ? at : Math.min(Math.max(Date.now(), YEAR_0), YEAR_9999)).toISOString();
}

/** Cuts entries into batches that respect the limits on entries and on bytes per frame. */
export function splitEntries(
  entries: RelayedEntry[],
  limits: { max_frame_bytes: number; max_entries: number },
): RelayedEntry[][] {
  const budget = limits.max_frame_bytes - ENVELOPE_BYTES;
  const batches: RelayedEntry[][] = [];
  let bytes = 0;
  for (const whole of entries) {
    const entry = fit(whole, budget);
    const size = jsonBytes(entry);
    const current = batches.at(-1);
    if (current && current.length < limits.max_entries && bytes + size <= budget) {
      current.push(entry);
      bytes += size;
    } else {
      batches.push([entry]);
      bytes = size;
    }
  }
  return batches;
}

/** JSON writes a control character with six bytes, so a text of few bytes can make a frame that is too long. */
function fit(entry: RelayedEntry, budget: number): RelayedEntry {
  let fitting = entry;
  for (let size = jsonBytes(entry); size > budget && fitting.text !== ''; size = jsonBytes(fitting)) {
    const bytes = encoder.encode(fitting.text).length;
    fitting = { ...fitting, text: cut(fitting.text, Math.min(bytes - 1, Math.floor((bytes * budget) / size))) };
  }
  return fitting;
}

const jsonBytes = (entry: RelayedEntry) => encoder.encode(JSON.stringify(entry)).length + 1;
