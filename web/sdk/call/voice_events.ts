/**
 * The events of OpenAI's `oai-events` data channel that this client reads. Only the fields it uses are
 * named. Everything else, unknown types included, is ignored: the provider adds fields and types freely.
 */
export interface VoiceItem {
  id: string;
  type: string;
  role?: string | null;
  content?: { type: string; transcript?: string | null; text?: string | null }[] | null;
}

interface AiText {
  response_id: string;
  item_id: string;
}

export type VoiceEvent =
  | { type: 'input_audio_buffer.speech_started'; item_id: string }
  | { type: 'input_audio_buffer.speech_stopped'; item_id: string }
  | { type: 'input_audio_buffer.committed'; item_id: string; previous_item_id?: string | null }
  | { type: 'conversation.item.added'; item: VoiceItem; previous_item_id?: string | null }
  | { type: 'conversation.item.deleted'; item_id: string }
  | { type: 'conversation.item.truncated'; item_id: string; audio_end_ms?: number }
  | { type: 'conversation.item.input_audio_transcription.delta'; item_id: string; delta: string }
  | { type: 'conversation.item.input_audio_transcription.completed'; item_id: string; transcript?: string | null }
  | { type: 'conversation.item.input_audio_transcription.failed'; item_id: string }
  | { type: 'response.created'; response: { id: string; conversation_id?: string | null } }
  | ({ type: 'response.output_audio_transcript.delta'; delta: string } & AiText)
  | ({ type: 'response.output_audio_transcript.done'; transcript?: string | null } & AiText)
  | ({ type: 'response.output_text.delta'; delta: string } & AiText)
  | ({ type: 'response.output_text.done'; text?: string | null } & AiText)
  | {
      type: 'response.done';
      response: { id: string; status?: string | null; output?: VoiceItem[] | null };
    }
  | { type: 'output_audio_buffer.started'; response_id: string }
  | { type: 'output_audio_buffer.stopped'; response_id: string }
  | { type: 'output_audio_buffer.cleared'; response_id: string };

/** The string (or object) fields without which an event of a type cannot be used. A final without words still ends its line. */
const REQUIRED: Readonly<Record<VoiceEvent['type'], readonly string[]>> = {
  'input_audio_buffer.speech_started': ['item_id'],
  'input_audio_buffer.speech_stopped': [],
  'input_audio_buffer.committed': ['item_id'],
  'conversation.item.added': ['item'],
  'conversation.item.deleted': ['item_id'],
  'conversation.item.truncated': ['item_id'],
  'conversation.item.input_audio_transcription.delta': ['item_id', 'delta'],
  'conversation.item.input_audio_transcription.completed': ['item_id'],
  'conversation.item.input_audio_transcription.failed': ['item_id'],
  'response.created': ['response'],
  'response.output_audio_transcript.delta': ['item_id', 'response_id', 'delta'],
  'response.output_audio_transcript.done': ['item_id', 'response_id'],
  'response.output_text.delta': ['item_id', 'response_id', 'delta'],
  'response.output_text.done': ['item_id', 'response_id'],
  'response.done': ['response'],
  'output_audio_buffer.started': ['response_id'],
  'output_audio_buffer.stopped': ['response_id'],
  'output_audio_buffer.cleared': ['response_id'],
};

/** `null` for anything this client has no use for. */
export function parseVoiceEvent(data: unknown): VoiceEvent | null {
  if (typeof data !== 'string') return null;
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const event = value as Record<string, unknown>;
  const type = event['type'];
  if (typeof type !== 'string' || !Object.hasOwn(REQUIRED, type)) return null;
  const usable = REQUIRED[type as VoiceEvent['type']].every((field) => isUsable(field, event[field]));
  return usable ? (event as unknown as VoiceEvent) : null;
}

function isUsable(field: string, value: unknown): boolean {
  if (field !== 'item' && field !== 'response') return typeof value === 'string';
  return typeof value === 'object' && value !== null && typeof (value as { id?: unknown }).id === 'string';
}
