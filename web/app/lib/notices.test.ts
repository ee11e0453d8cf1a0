import { describe, expect, it } from 'vitest';
import type { ConnectionState, InterviewState, RecordingStatus } from '../../sdk';
import {
  PATIENCE_MS,
  linkNotice,
  microphoneNotice,
  recordingNotice,
  recordingWord,
  refusedNotice,
  typedNotice,
  unheardNotice,
  whenBack,
  whileSilent,
} from './notices';

const lost: InterviewState = { kind: 'reconnecting', since: 0, why: 'lost' };
const rollover: InterviewState = { kind: 'reconnecting', since: 0, why: 'rollover' };
const ready: ConnectionState = { kind: 'ready' };
const waiting: ConnectionState = { kind: 'waiting', attempt: 1, delayMs: 500 };
const bytes = { sentBytes: 0, recordedBytes: 0 };

describe('the words of the room', () => {
  it('tell a lost call from a lost connection and from a planned change', () => {
    const titles = [whileSilent(lost, ready, 0), whileSilent(lost, waiting, 0), whileSilent(rollover, ready, 0)].map(
      ({ title }) => title,
    );
    expect(new Set(titles).size).toBe(3);
  });

  it('give advice only when waiting has not helped', () => {
    expect(whileSilent(lost, waiting, 0).text).toContain('nothing you need to do');
    expect(whileSilent(lost, waiting, PATIENCE_MS).text).toContain('check your internet connection');
  });

  it('say that nothing was lost when the machine was replaced', () => {
    expect(whenBack(true).text).toContain('Nothing was lost');
    expect(whenBack(false).text).not.toContain('machine');
  });

  it('mention the link only while it is away', () => {
    expect(linkNotice(ready)).toBeNull();
    expect(linkNotice({ kind: 'idle' })).toBeNull();
    expect(linkNotice(waiting)).toContain('kept on this device');
    expect(linkNotice({ kind: 'connecting', attempt: 2 })).not.toBeNull();
  });

  it('do not ask anybody to go on when the interview is over', () => {
    expect(refusedNotice('session_over')).toContain('already over');
    expect(refusedNotice('session_over')).not.toContain('go on');
    for (const code of ['message_invalid', 'transcript_full', 'seq_conflict', 'other']) {
      expect(refusedNotice(code)).toContain('Please go on');
    }
  });

  it('say when the recording was lost and when it is back, and nothing when all is well', () => {
    const first: RecordingStatus = { kind: 'recording', take: 1, ...bytes };
    const again: RecordingStatus = { kind: 'recording', take: 2, ...bytes };
    expect(recordingNotice(first)).toBeNull();
    expect(recordingNotice(again)).toContain('goes on');
    expect(recordingNotice({ kind: 'interrupted', planned: false })).toContain('begun again');
    expect(recordingNotice({ kind: 'failed', reason: 'x' })).toContain('words of your interview are kept');
    expect([first, again].map(recordingWord)).toEqual(['Recording', 'Recording again']);
  });

  it('say at once that nobody is heard, and how to choose another microphone', () => {
    expect(microphoneNotice({ kind: 'working' })).toBeNull();
    expect(microphoneNotice({ kind: 'none' })).toBeNull();
    expect(microphoneNotice({ kind: 'muted' })).toMatchObject({ choose: true, serious: false });
    expect(microphoneNotice({ kind: 'replacing' })).toMatchObject({ choose: false });
    const lost = microphoneNotice({ kind: 'lost', error: new DOMException('', 'NotFoundError') });
    expect(lost).toMatchObject({ choose: true, serious: true });
    expect(lost?.text).toContain('No microphone was found');
    expect(unheardNotice('muted')).toContain('You are muted');
    expect(unheardNotice('silent')).toContain('We cannot hear you');
    expect(unheardNotice(null)).toBeNull();
  });

  it('say what becomes of an answer in writing', () => {
    const answer = { id: 'a', text: 'x' };
    const sending = (held: string | null) => ({ kind: 'sending', answer, held }) as const;
    expect(typedNotice({ kind: 'idle' }, true)).toBeNull();
    expect(typedNotice(sending(null), true)?.text).toBe('Sending …');
    expect(typedNotice(sending(null), false)?.text).toContain('when it is back');
    expect(typedNotice(sending('typed_before_call'), true)?.text).toContain('as soon as the interviewer is there');
    expect(typedNotice(sending('news'), true)).toEqual({ text: 'Sending …', serious: false });
    expect(typedNotice({ kind: 'sent', answer }, true)?.text).toContain('Sent.');
    expect(typedNotice({ kind: 'refused', answer, code: 'session_over' }, true)).toMatchObject({ serious: true });
    expect(typedNotice({ kind: 'refused', answer, code: 'news' }, true)?.text).toContain('say it instead');
  });

  it('do not speak of an interruption when another camera was chosen', () => {
    expect(recordingNotice({ kind: 'interrupted', planned: true })).toBeNull();
    expect(recordingWord({ kind: 'interrupted', planned: true })).toBe('Recording');
  });
});
