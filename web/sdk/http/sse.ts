import { createParser } from 'eventsource-parser';
import { DeadlineError } from '../time';

export interface SseMessage {
  event: string;
  data: string;
}

/**
 * Reads a `text/event-stream` body. `EventSource` cannot send an `Authorization` header, so the stream is
 * read with `fetch`. Comments count as a sign of life: when nothing at all arrives for `silenceMs`, the
 * stream is taken for dead and a `DeadlineError` is thrown.
 */
export async function* readSse(
  body: ReadableStream<Uint8Array>,
  silenceMs = 45_000,
): AsyncGenerator<SseMessage, void, void> {
  const pending: SseMessage[] = [];
  const parser = createParser({
    onEvent: ({ event, data }) => pending.push({ event: event ?? 'message', data }),
  });
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const chunk = await readWithin(reader, silenceMs);
      if (chunk.done) return;
      parser.feed(decoder.decode(chunk.value, { stream: true }));
      while (pending.length > 0) yield pending.shift() as SseMessage;
    }
  } finally {
    // Also reached when the consumer stops early: the connection must not stay open.
    await reader.cancel().catch(() => undefined);
  }
}

function readWithin(reader: ReadableStreamDefaultReader<Uint8Array>, ms: number) {
  let timer: ReturnType<typeof setTimeout>;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineError('a sign of life of the event stream', ms)), ms);
  });
  return Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
}
