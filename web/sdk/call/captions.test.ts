import { beforeEach, describe, expect, it } from 'vitest';
import { entryOf } from '../testing/transcript';
import type { Entry } from '../types';
import { Captions } from './captions';
import { parseVoiceEvent, type VoiceEvent } from './voice_events';

const added = (id: string, role: 'user' | 'assistant', previous: string | null): VoiceEvent => ({
  type: 'conversation.item.added',
  previous_item_id: previous,
  item: { id, type: 'message', role, content: [] },
});
const aiDelta = (item_id: string, delta: string, response_id = 'r1'): VoiceEvent => ({
  type: 'response.output_audio_transcript.delta',
  item_id,
  response_id,
  delta,
});
const aiDone = (item_id: string, transcript: string, response_id = 'r1'): VoiceEvent => ({
  type: 'response.output_audio_transcript.done',
  item_id,
  response_id,
  transcript,
});
const heard = (item_id: string, transcript: string): VoiceEvent => ({
  type: 'conversation.item.input_audio_transcription.completed',
  item_id,
  transcript,
});
const entry = (overrides: Partial<Entry>) => entryOf({ item_id: null, speaker: 'ai', text: 'x', ...overrides });

describe('Captions', () => {
  let captions: Captions;
  const texts = () => captions.state.lines.map((line) => line.text);
  const apply = (...events: VoiceEvent[]) => events.flatMap((event) => captions.apply(event));

  beforeEach(() => {
    captions = new Captions();
  });

  it('shows deltas as they come and replaces them with the settled words', () => {
    apply(added('a1', 'assistant', null), aiDelta('a1', 'Hello'), aiDelta('a1', ' Mei'));
    expect(captions.state.lines[0]).toMatchObject({ text: 'Hello Mei', settled: false, speaker: 'ai' });
    expect(apply(aiDone('a1', 'Hello, Mei.\n'))).toEqual(['a1']);
    expect(captions.state.lines[0]).toMatchObject({ text: 'Hello, Mei.', settled: true });
    apply(aiDelta('a1', ' late'));
    expect(texts()).toEqual(['Hello, Mei.']);
  });

  it('places the words of the candidate before the answer that has already begun', () => {
    apply(
      { type: 'input_audio_buffer.speech_started', item_id: 'u1' },
      { type: 'input_audio_buffer.speech_stopped', item_id: 'u1' },
      { type: 'input_audio_buffer.committed', item_id: 'u1', previous_item_id: 'a0' },
      added('u1', 'user', 'a0'),
      added('a1', 'assistant', 'u1'),
      aiDelta('a1', 'I see.'),
      heard('u1', ' I used Rust. '),
    );
    expect(texts()).toEqual(['I used Rust.', 'I see.']);
  });

  it('puts an item into its place when it is heard of late', () => {
    apply(added('a1', 'assistant', null), aiDone('a1', 'One'));
    apply(added('a2', 'assistant', 'u1'), aiDone('a2', 'Three'));
    apply(added('u1', 'user', 'a1'), heard('u1', 'Two'));
    expect(texts()).toEqual(['One', 'Two', 'Three']);
  });

  it('takes deltas for an item that only speech_started has mentioned', () => {
    apply(
      { type: 'input_audio_buffer.speech_started', item_id: 'u1' },
      { type: 'conversation.item.input_audio_transcription.delta', item_id: 'u1', delta: ' I have' },
    );
    expect(captions.state).toMatchObject({ candidateSpeaking: true });
    expect(captions.state.lines[0]).toMatchObject({ text: 'I have', settled: false, speaker: 'candidate' });
  });

  it.each(['', '   ', null, undefined, 7])('keeps the words that came before a final of %j', (transcript) => {
    captions.apply({ type: 'conversation.item.input_audio_transcription.delta', item_id: 'u1', delta: 'I agree with you ' });
    const event = parseVoiceEvent(
      JSON.stringify({ type: 'conversation.item.input_audio_transcription.completed', item_id: 'u1', transcript }),
    );
    expect(captions.apply(event as VoiceEvent)).toEqual(['u1']);
    expect(captions.find('u1')).toMatchObject({ text: 'I agree with you', settled: true });
  });

  it('marks an interruption in any order, also after the words were settled', () => {
    apply(
      { type: 'response.created', response: { id: 'r1', conversation_id: 'c1' } },
      { type: 'output_audio_buffer.started', response_id: 'r1' },
      aiDone('a1', 'A long question'),
      { type: 'response.done', response: { id: 'r1', status: 'completed', output: [] } },
    );
    expect(captions.state.aiSpeaking).toBe(true);
    apply(
      { type: 'input_audio_buffer.speech_started', item_id: 'u1' },
      { type: 'output_audio_buffer.cleared', response_id: 'r1' },
      { type: 'conversation.item.truncated', item_id: 'a1', audio_end_ms: 1_860 },
    );
    expect(captions.state.aiSpeaking).toBe(false);
    expect(captions.find('a1')).toMatchObject({ interrupted: true, settled: true, text: 'A long question' });
  });

  it('marks a cancelled response and fills words whose events were missed', () => {
    const settled = apply({
      type: 'response.done',
      response: {
        id: 'r1',
        status: 'cancelled',
        output: [
          { id: 'a1', type: 'message', role: 'assistant', content: [{ type: 'output_audio', transcript: 'What m' }] },
        ],
      },
    });
    expect(settled).toEqual(['a1']);
    expect(captions.find('a1')).toMatchObject({ interrupted: true, text: 'What m' });
  });

  it('says thinking between the start of a response and its sound', () => {
    apply({ type: 'response.created', response: { id: 'r1', conversation_id: 'c1' } });
    expect(captions.state.aiThinking).toBe(true);
    apply({ type: 'output_audio_buffer.started', response_id: 'r1' });
    expect(captions.state).toMatchObject({ aiThinking: false, aiSpeaking: true });
  });

  it('shows nothing of responses outside the conversation, of tool calls and of typed instructions', () => {
    apply({ type: 'response.created', response: { id: 'r9', conversation_id: null } });
    expect(apply(aiDelta('x1', 'secret', 'r9'), aiDone('x1', 'secret', 'r9'))).toEqual([]);
    apply({ type: 'conversation.item.added', previous_item_id: null, item: { id: 'f1', type: 'function_call' } });
    apply({
      type: 'conversation.item.added',
      previous_item_id: 'f1',
      item: { id: 't1', type: 'message', role: 'user', content: [{ type: 'input_text', text: 'go on' }] },
    });
    apply(added('a1', 'assistant', 't1'), aiDone('a1', 'Right.'));
    expect(texts()).toEqual(['Right.']);
  });

  it('keeps a line whose words could not be recognised', () => {
    apply({ type: 'conversation.item.input_audio_transcription.failed', item_id: 'u1' });
    expect(captions.state.lines[0]).toMatchObject({ failed: true, settled: true });
  });

  it('lets the word of the runtime win, whenever it comes', () => {
    apply(added('u1', 'user', null), heard('u1', 'I used rest'));
    captions.applyEntry(entry({ seq: 2, item_id: 'u1', speaker: 'candidate', text: 'I used Rust' }));
    apply(heard('u1', 'I used rest'));
    expect(captions.find('u1')).toMatchObject({ text: 'I used Rust', seq: 2 });
    captions.applyEntry(entry({ seq: 2, item_id: 'u1', speaker: 'candidate', text: 'I used Rust', interrupted: true }));
    expect(captions.state.lines).toHaveLength(1);
    expect(captions.state.lines[0]?.interrupted).toBe(true);
  });

  it('rebuilds the conversation after a reload, in the order of the transcript', () => {
    apply(added('a9', 'assistant', null), aiDone('a9', 'And then?'));
    for (const seq of [2, 1, 3]) captions.applyEntry(entry({ seq, item_id: `old${seq}`, text: `line ${seq}` }));
    captions.applyEntry(entry({ seq: 4, item_id: 'a9', text: 'And then?' }));
    expect(texts()).toEqual(['line 1', 'line 2', 'line 3', 'And then?']);
  });

  it('shows an answer in writing when the runtime tells of it, whichever comes first', () => {
    const item: VoiceEvent = {
      type: 'conversation.item.added',
      previous_item_id: null,
      item: { id: 't1', type: 'message', role: 'user', content: [{ type: 'input_text' }] },
    } as VoiceEvent;
    const told = entry({ seq: 1, item_id: 't1', speaker: 'candidate', text: 'I led it.', source: 'typed' });
    for (const tellsFirst of [true, false]) {
      captions = new Captions();
      if (tellsFirst) captions.applyEntry(told);
      apply(item);
      if (!tellsFirst) {
        expect(texts()).toEqual([]);
        captions.applyEntry(told);
      }
      expect(captions.state.lines).toMatchObject([{ text: 'I led it.', typed: true, settled: true }]);
    }
  });

  it('closes what the last call left unfinished', () => {
    apply({ type: 'input_audio_buffer.speech_started', item_id: 'u1' }, aiDelta('a1', 'Half a'));
    captions.startCall();
    expect(captions.state).toMatchObject({ candidateSpeaking: false, aiSpeaking: false });
    expect(captions.state.lines).toMatchObject([{ text: 'Half a', settled: true }]);
  });
});

describe('parseVoiceEvent', () => {
  it.each([
    ['no json', 'no json'],
    ['another type', '{"type":"rate_limits.updated","rate_limits":[]}'],
    ['a missing field', '{"type":"response.output_audio_transcript.delta","item_id":"a"}'],
    ['a field of the wrong kind', '{"type":"response.done","response":{"id":3}}'],
    ['a name every object has', '{"type":"constructor"}'],
    ['null', 'null'],
  ])('ignores %s', (_name, data) => {
    expect(parseVoiceEvent(data)).toBeNull();
  });

  it('keeps unknown fields out of the way', () => {
    const data = '{"type":"response.output_audio_transcript.delta","item_id":"a","response_id":"r","delta":"x","obfuscation":"zz"}';
    expect(parseVoiceEvent(data)).toMatchObject({ delta: 'x' });
  });
});
