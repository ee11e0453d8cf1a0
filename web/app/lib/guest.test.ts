import { describe, expect, it, vi } from 'vitest';
import type { InterviewApi } from '../../sdk';
import { Guest } from './guest';

const started = (token: string, session = 's1') => ({ session_id: session, token, expires_at: '2026-11-29T10:00:00Z' });

function guest(answers: ReturnType<typeof started>[]) {
  const startInvite = vi.fn(async () => answers.shift() ?? started('none'));
  return { startInvite, guest: new Guest({ startInvite } as unknown as InterviewApi, 'secret', started('one')) };
}

describe('a candidate without an account', () => {
  it('gets another token when theirs is refused, once for all who ask', async () => {
    const { startInvite, guest: it } = guest([started('two')]);
    expect(await it.token()).toBe('one');
    expect(await Promise.all([it.token('one'), it.token('one'), it.token('one')])).toEqual(['two', 'two', 'two']);
    expect(startInvite).toHaveBeenCalledTimes(1);
    expect(startInvite).toHaveBeenCalledWith('secret');
    expect(await it.token('one')).toBe('two');
  });

  it('keeps the token that is refused when the link leads to another interview by now', async () => {
    const { guest: it } = guest([started('two', 's2')]);
    expect(await it.token('one')).toBe('one');
  });
});
