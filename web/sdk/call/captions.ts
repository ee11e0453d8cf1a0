import type { Entry, Speaker } from '../types';
import type { VoiceEvent } from './voice_events';

/** One line of the conversation as it is shown. */
export interface Caption {
  /** The provider's item id, or `entry-<seq>` for a line that only the runtime told us about. */
  key: string;
  speaker: Speaker;
  text: string;
  /** `false` while words may still change. */
  settled: boolean;
  /** The other side cut this line short. */
  interrupted: boolean;
  /** The words could not be recognised. */
  failed: boolean;
  /** An answer in writing. */
  typed: boolean;
  /** Position in the stored transcript, once the runtime has settled it. */
  seq: number | null;
  /** When the line was first heard of, in ms since the epoch. */
  at: number;
}

export interface CaptionsState {
  /** In the order of the conversation, which is not the order of arrival. */
  lines: Caption[];
  aiSpeaking: boolean;
  candidateSpeaking: boolean;
  /** The AI is preparing an answer that is not audible yet. */
  aiThinking: boolean;
}

/** A slot in the provider's item list; tool calls take part in the order but have no words. */
interface Slot extends Caption {
  hidden: boolean;
  responseId: string | null;
}

/** An interview has a few hundred lines; this is the bound all the same. */
const MAX_SLOTS = 4_000;

/**
 * Turns two streams into one list of captions: the voice events of the data channel (fast, partial) and the
 * runtime's `transcript_entry` (settled, authoritative).
 *
 * - The candidate's words arrive after the answer to them has begun, so lines are placed by
 *   `previous_item_id`, never by arrival.
 * - `completed` replaces what the deltas said, unless it says nothing. What the runtime says replaces both.
 */
export class Captions {
  #slots: Slot[] = [];
  #aiSpeaking = false;
  #candidateSpeaking = false;
  #activeResponses = new Set<string>();
  /** Responses outside the conversation; nothing of them is shown. */
  readonly #outOfBand = new Set<string>();

  get state(): CaptionsState {
    return {
      lines: this.#slots.filter(isShown).map(({ hidden: _h, responseId: _r, ...line }) => line),
      aiSpeaking: this.#aiSpeaking,
      candidateSpeaking: this.#candidateSpeaking,
      aiThinking: this.#activeResponses.size > 0 && !this.#aiSpeaking,
    };
  }

  find(key: string): Caption | undefined {
    return this.#slots.find((slot) => slot.key === key);
  }

  /** A new call begins: nobody speaks, and unfinished lines of the last call will not be finished. */
  startCall(): void {
    this.#aiSpeaking = false;
    this.#candidateSpeaking = false;
    this.#activeResponses.clear();
    this.#slots = this.#slots.filter((slot) => slot.settled || slot.text !== '');
    for (const slot of this.#slots) slot.settled = true;
  }

  /** Returns the keys of lines that this event settled. */
  apply(event: VoiceEvent): string[] {
    switch (event.type) {
      case 'input_audio_buffer.speech_started':
        this.#candidateSpeaking = true;
        this.#slot(event.item_id, 'candidate');
        return [];
      case 'input_audio_buffer.speech_stopped':
        this.#candidateSpeaking = false;
        return [];
      case 'input_audio_buffer.committed':
        this.#candidateSpeaking = false;
        this.#slot(event.item_id, 'candidate');
        this.#place(event.item_id, event.previous_item_id);
        return [];
      case 'conversation.item.added':
        return this.#itemAdded(event);
      case 'conversation.item.deleted':
        this.#slots = this.#slots.filter((slot) => slot.key !== event.item_id);
        return [];
      case 'conversation.item.truncated':
        this.#interrupt(this.#slots.find((slot) => slot.key === event.item_id));
        return [];
      case 'conversation.item.input_audio_transcription.delta':
        this.#append(this.#slot(event.item_id, 'candidate'), event.delta);
        return [];
      case 'conversation.item.input_audio_transcription.completed':
        return this.#settle(this.#slot(event.item_id, 'candidate'), event.transcript);
      case 'conversation.item.input_audio_transcription.failed':
        return this.#fail(this.#slot(event.item_id, 'candidate'));
      default:
        return this.#applyResponse(event);
    }
  }

  /** The runtime's word on a line; it wins over what the data channel said. */
  applyEntry(entry: Entry): void {
    const key = entry.item_id ?? `entry-${entry.seq}`;
    const slot = this.#slots.find((each) => each.seq === entry.seq) ?? this.#slot(key, entry.speaker);
    slot.seq = entry.seq;
    slot.speaker = entry.speaker;
    slot.hidden = false;
    slot.settled = entry.status !== 'partial';
    slot.failed = entry.status === 'failed' || entry.status === 'missing';
    slot.interrupted = entry.interrupted;
    slot.typed = entry.source === 'typed';
    slot.text = entry.text?.trim() ?? '';
    const at = Date.parse(entry.at);
    if (!Number.isNaN(at)) slot.at = at;
    this.#placeBySeq(slot);
  }

  #applyResponse(event: VoiceEvent): string[] {
    switch (event.type) {
      case 'response.created':
        if (event.response.conversation_id === null) this.#outOfBand.add(event.response.id);
        else this.#activeResponses.add(event.response.id);
        return [];
      case 'response.output_audio_transcript.delta':
      case 'response.output_text.delta':
        if (!this.#outOfBand.has(event.response_id)) this.#append(this.#aiSlot(event), event.delta);
        return [];
      case 'response.output_audio_transcript.done':
        return this.#outOfBand.has(event.response_id)
          ? []
          : this.#settle(this.#aiSlot(event), event.transcript);
      case 'response.output_text.done':
        return this.#outOfBand.has(event.response_id) ? [] : this.#settle(this.#aiSlot(event), event.text);
      case 'response.done':
        return this.#responseDone(event.response);
      case 'output_audio_buffer.started':
        this.#aiSpeaking = true;
        return [];
      case 'output_audio_buffer.stopped':
        this.#aiSpeaking = false;
        return [];
      case 'output_audio_buffer.cleared':
        this.#aiSpeaking = false;
        this.#interrupt(this.#slots.findLast((slot) => slot.responseId === event.response_id));
        return [];
      default:
        return [];
    }
  }

  #itemAdded(event: Extract<VoiceEvent, { type: 'conversation.item.added' }>): string[] {
    const { item } = event;
    const spoken = item.type === 'message' && (item.role === 'user' || item.role === 'assistant');
    const slot = this.#slot(item.id, item.role === 'user' ? 'candidate' : 'ai');
    // Items the runtime itself writes into the conversation (typed text) are instructions, not speech. An answer in writing is one as
    // well: it is shown when the runtime tells of it.
    const typed = item.content?.some((part) => part.type === 'input_text') ?? false;
    if (slot.seq === null) slot.hidden = !spoken || typed;
    this.#place(item.id, event.previous_item_id);
    return [];
  }

  #responseDone(response: Extract<VoiceEvent, { type: 'response.done' }>['response']): string[] {
    this.#activeResponses.delete(response.id);
    if (this.#outOfBand.delete(response.id)) return [];
    const settled: string[] = [];
    for (const item of response.output ?? []) {
      if (item.type !== 'message' || !item.id) continue;
      const slot = this.#slot(item.id, 'ai');
      slot.responseId = response.id;
      const text = item.content?.map((part) => part.transcript ?? part.text ?? '').join('') ?? '';
      if (!slot.settled && text.trim() !== '') settled.push(...this.#settle(slot, text));
      if (response.status === 'cancelled') this.#interrupt(slot);
    }
    return settled;
  }

  #aiSlot(event: { item_id: string; response_id: string }): Slot {
    const slot = this.#slot(event.item_id, 'ai');
    slot.responseId = event.response_id;
    return slot;
  }

  #append(slot: Slot, delta: string): void {
    if (!slot.settled) slot.text = (slot.text + delta).trimStart();
  }

  #settle(slot: Slot, text: unknown): string[] {
    const first = !slot.settled;
    const words = typeof text === 'string' ? text.trim() : '';
    // The runtime has spoken: a late event of the data channel does not change its words.
    if (slot.seq === null && words !== '') slot.text = words;
    // Words of deltas may end with the space before the next one.
    slot.text = slot.text.trim();
    slot.settled = true;
    return first && slot.text !== '' ? [slot.key] : [];
  }

  #fail(slot: Slot): string[] {
    slot.settled = true;
    slot.failed = true;
    return [];
  }

  #interrupt(slot: Slot | undefined): void {
    if (slot && slot.speaker === 'ai') slot.interrupted = true;
  }

  #slot(key: string, speaker: Speaker): Slot {
    const existing = this.#slots.find((slot) => slot.key === key);
    if (existing) return existing;
    const slot: Slot = {
      key,
      speaker,
      text: '',
      settled: false,
      interrupted: false,
      failed: false,
      typed: false,
      seq: null,
      at: Date.now(),
      hidden: false,
      responseId: null,
    };
    this.#slots.push(slot);
    if (this.#slots.length > MAX_SLOTS) this.#slots.shift();
    return slot;
  }

  /** Moves a slot right behind the item it follows. `null` and unknown items leave it where it is. */
  #place(key: string, previousKey: string | null | undefined): void {
    if (!previousKey || previousKey === key) return;
    const slot = this.#slots.find((each) => each.key === key);
    const previous = this.#slots.findIndex((each) => each.key === previousKey);
    if (!slot || previous < 0 || this.#slots[previous + 1] === slot) return;
    this.#slots.splice(this.#slots.indexOf(slot), 1);
    this.#slots.splice(this.#slots.findIndex((each) => each.key === previousKey) + 1, 0, slot);
  }

  /** Moves a slot only if its number contradicts the numbers around it. */
  #placeBySeq(slot: Slot): void {
    const seq = slot.seq ?? 0;
    const index = this.#slots.indexOf(slot);
    const wrong = this.#slots.some(
      (each, at) =>
        each.seq !== null && ((at < index && each.seq > seq) || (at > index && each.seq < seq)),
    );
    if (!wrong) return;
    this.#slots.splice(index, 1);
    const after = this.#slots.findLastIndex((each) => each.seq !== null && each.seq < seq);
    const before = this.#slots.findIndex((each) => each.seq !== null && each.seq > seq);
    this.#slots.splice(after >= 0 ? after + 1 : Math.max(0, before), 0, slot);
  }
}

function isShown(slot: Slot): boolean {
  if (slot.hidden) return false;
  return slot.text !== '' || slot.failed || !slot.settled;
}
