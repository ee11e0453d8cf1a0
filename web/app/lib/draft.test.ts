import { beforeEach, describe, expect, it } from 'vitest';
import { Draft } from './draft.svelte';
import { kept } from './kept';

describe('the draft of an answer', () => {
  beforeEach(() => kept.set('interview-draft:s1', 'null'));

  it('survives a reload, with the name it was sent under, and goes when the runtime has it', () => {
    const draft = new Draft('s1');
    draft.text = 'I led it.';
    draft.open = true;
    const id = draft.submit();
    expect(draft.submit()).toBe(id);
    const again = new Draft('s1');
    expect([again.text, again.pending, again.open]).toEqual(['I led it.', id, true]);
    expect(new Draft('s2').text).toBe('');
    again.sent('another');
    expect(again.text).toBe('I led it.');
    again.sent(id);
    expect([again.text, again.pending]).toEqual(['', null]);
    again.text = 'And more.';
    expect(again.submit()).not.toBe(id);
  });

  it('stays when it is refused, and may be sent under another name', () => {
    const draft = new Draft('s1');
    draft.text = 'Too much.';
    const id = draft.submit();
    draft.refused(id);
    expect([draft.text, draft.pending]).toEqual(['Too much.', null]);
    expect(draft.submit()).not.toBe(id);
  });

  it('is empty where what was kept cannot be read', () => {
    kept.set('interview-draft:s1', '{"text":');
    expect(new Draft('s1').text).toBe('');
  });
});
