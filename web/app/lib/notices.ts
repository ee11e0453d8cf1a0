import type { ConnectionState, InterviewState, MicrophoneStatus, RecordingStatus, TypedStatus } from '../../sdk';
import { explainMediaError } from './explain';
import type { Note } from './hearing';

/** What the room says when something is not as it should be: what happens, what is safe, what to do. */
export interface Words {
  title: string;
  text: string;
}

/** After this long, waiting alone is no good advice any more. */
export const PATIENCE_MS = 20_000;

/** Over the whole room: nobody can be heard at the moment. */
export function whileSilent(interview: InterviewState, link: ConnectionState, silentMs: number): Words {
  if (interview.kind === 'reconnecting' && interview.why === 'rollover') {
    return {
      title: 'One moment',
      text: 'The call is being renewed, as every long call is. The interviewer knows where you stopped.',
    };
  }
  if (link.kind === 'ready') {
    return {
      title: 'The line was lost',
      text: 'We are getting it back; there is nothing you need to do. What you said is safe, and the interviewer knows where you stopped.',
    };
  }
  return {
    title: 'The connection was lost',
    text:
      silentMs < PATIENCE_MS
        ? 'We are getting it back; there is nothing you need to do. What you said is kept, and your interview waits a while for you.'
        : 'Please check your internet connection. We keep trying; your interview waits a while for you, and what you said is kept. Reloading the page may help as well; the interview goes on where it stopped.',
  };
}

export function whenBack(moved: boolean): Words {
  return {
    title: 'You are back',
    text: moved
      ? 'Your interview was moved to another of our machines. Nothing was lost; it goes on where it stopped.'
      : 'The interview goes on where it stopped.',
  };
}

/** Beside the conversation, which goes on. */
export function linkNotice(link: ConnectionState): string | null {
  return link.kind === 'ready' || link.kind === 'idle' || link.kind === 'closed'
    ? null
    : 'The connection to our service is interrupted, your call is not. Please go on: what is said is kept on this device until the connection is back.';
}

export const LINK_BACK = 'The connection is back. Nothing was lost.';

/** Said once, however many words there are: the candidate can do nothing about it and should not worry. */
export function refusedNotice(code: string): string {
  return code === 'session_over'
    ? 'Your last words came when the interview was already over, so they are not part of it.'
    : 'A few words could not be added from this device. Please go on: what the interviewer’s own line hears is kept.';
}

/** What becomes of an answer in writing, beside the box that it was written in. */
export function typedNotice(status: TypedStatus, linkUp: boolean): { text: string; serious: boolean } | null {
  switch (status.kind) {
    case 'idle':
      return null;
    case 'sent':
      return { text: 'Sent. The interviewer answers in a moment.', serious: false };
    case 'refused':
      return { text: TYPED_REFUSED.get(status.code) ?? 'This could not be taken. Please say it instead.', serious: true };
    case 'sending':
      if (!linkUp) return { text: 'The connection is interrupted. Your answer is sent when it is back.', serious: false };
      return { text: (status.held && TYPED_HELD.get(status.held)) ?? 'Sending …', serious: false };
  }
}

const TYPED_HELD = new Map([
  ['typed_before_call', 'Your answer is sent as soon as the interviewer is there.'],
  ['typed_rate_exceeded', 'That was quick. Your answer is sent in a few seconds.'],
]);
const TYPED_REFUSED = new Map([
  ['typed_answers_exhausted', 'An interview can have no more written answers than you have sent. Please speak from now on.'],
  ['session_over', 'The interview was over already, so this is not part of it.'],
  ['message_invalid', 'This could not be taken. Please shorten it, or say it instead.'],
]);

/** One notice per change of the recording that a candidate should hear of. */
export function recordingNotice(recording: RecordingStatus): string | null {
  switch (recording.kind) {
    case 'interrupted':
      return recording.planned ? null : 'The recording was interrupted and is being begun again. Please go on.';
    case 'recording':
      return recording.take > 1 ? 'The recording goes on. What was recorded before is kept.' : null;
    case 'failed':
      return 'We cannot record any more. Please go on: the words of your interview are kept, and these are what is assessed.';
    default:
      return null;
  }
}

export function recordingWord(recording: RecordingStatus): string {
  switch (recording.kind) {
    case 'recording':
      return recording.take > 1 ? 'Recording again' : 'Recording';
    case 'interrupted':
      return recording.planned ? 'Recording' : 'Getting the recording back';
    case 'failed':
      return 'Not recording';
    default:
      return 'Recording stopped';
  }
}

export interface DeviceNotice {
  text: string;
  /** Nothing is heard until the candidate does something. */
  serious: boolean;
  /** Whether choosing another microphone may help. */
  choose: boolean;
}

/** Said at once: nobody should speak into a microphone that is gone. */
export function microphoneNotice(status: MicrophoneStatus): DeviceNotice | null {
  switch (status.kind) {
    case 'muted':
      return {
        text: 'You cannot be heard: your system, or a switch on the device, has muted your microphone. Turn it on there, or choose another one.',
        serious: false,
        choose: true,
      };
    case 'replacing':
      return {
        text: 'Your microphone is gone. We are taking another one; you cannot be heard until then.',
        serious: false,
        choose: false,
      };
    case 'lost':
      return {
        text: `You cannot be heard: your microphone is gone. ${explainMediaError(status.error, 'microphone')} The interview waits.`,
        serious: true,
        choose: true,
      };
    default:
      return null;
  }
}

export function unheardNotice(note: Note): string | null {
  switch (note) {
    case 'muted':
      return 'You are muted: the interviewer does not hear you.';
    case 'silent':
      return 'We cannot hear you. If you are speaking, your microphone gives no sound. If you are thinking, take your time.';
    default:
      return null;
  }
}
