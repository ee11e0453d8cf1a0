import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ClientMessage } from '../types';
import { TypedAnswers, type TypedStatus } from './typed';

const ANSWER = { id: 'a-1', text: 'I led it.' };

function setUp() {
  const sent: ClientMessage[] = [];
  const statuses: TypedStatus[] = [];
  const link = { up: true };
  const typed = new TypedAnswers({
    send: (message) => link.up && sent.push(message) > 0,
    onStatus: (status) => statuses.push(status),
    random: () => 1,
  });
  const refuse = (code: string, retryable: boolean, id: string | null = ANSWER.id) =>
    typed.refuse({ code, message: '', retryable, request_type: 'typed_answer', id });
  const now = () => statuses.at(-1);
  return { sent, now, statuses, link, typed, refuse };
}

describe('typed answers', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('are sent, and done when the runtime has them', () => {
    const { sent, now, typed } = setUp();
    expect(typed.submit(ANSWER)).toBe(true);
    expect(sent).toEqual([{ type: 'typed_answer', ...ANSWER }]);
    expect(now()).toEqual({ kind: 'sending', answer: ANSWER, held: null });
    typed.acknowledge('another');
    expect(now()?.kind).toBe('sending');
    typed.acknowledge(ANSWER.id);
    expect(now()).toEqual({ kind: 'sent', answer: ANSWER });
    vi.advanceTimersByTime(60_000);
    expect(sent).toHaveLength(1);
  });

  it('are sent again with the same id after a silence and on a new link', () => {
    const { sent, link, typed } = setUp();
    typed.submit(ANSWER);
    vi.advanceTimersByTime(10_000);
    expect(sent).toHaveLength(2);
    link.up = false;
    vi.advanceTimersByTime(120_000);
    link.up = true;
    typed.onReady();
    expect(sent).toHaveLength(3);
    expect(new Set(sent.map((message) => 'id' in message && message.id)).size).toBe(1);
  });

  it('wait while the runtime asks for patience, and end when it will never take them', () => {
    const { sent, now, typed, refuse } = setUp();
    typed.submit(ANSWER);
    refuse('typed_before_call', true);
    expect(now()).toEqual({ kind: 'sending', answer: ANSWER, held: 'typed_before_call' });
    vi.advanceTimersByTime(2_000);
    expect(sent).toHaveLength(2);
    refuse('message_invalid', false, 'another');
    expect(now()?.kind).toBe('sending');
    refuse('typed_answers_exhausted', false);
    expect(now()).toEqual({ kind: 'refused', answer: ANSWER, code: 'typed_answers_exhausted' });
    vi.advanceTimersByTime(60_000);
    expect(sent).toHaveLength(2);
  });

  it('go one after the other', () => {
    const { typed } = setUp();
    typed.submit(ANSWER);
    expect(typed.submit({ id: 'a-2', text: 'And more.' })).toBe(false);
    typed.acknowledge(ANSWER.id);
    expect(typed.submit({ id: 'a-2', text: 'And more.' })).toBe(true);
  });
});
