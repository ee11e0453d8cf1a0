import type { InviteState, InviteView } from '../../sdk';
import type { Tone } from './format';

export const INVITE_STATES: Record<InviteState, { label: string; tone: Tone }> = {
  created: { label: 'Not sent', tone: 'neutral' },
  sent: { label: 'Sent', tone: 'neutral' },
  opened: { label: 'Opened', tone: 'active' },
  started: { label: 'In the interview', tone: 'active' },
  exhausted: { label: 'Cannot be begun', tone: 'bad' },
  finished: { label: 'Finished', tone: 'good' },
  expired: { label: 'Expired', tone: 'caution' },
  revoked: { label: 'Revoked', tone: 'neutral' },
  bounced: { label: 'Mail bounced', tone: 'bad' },
};

export type InviteAction = 'link' | 'resend' | 'extend' | 'revoke' | 'reopen';

/** What a recruiter can do with an invite as it stands; the server decides in the end. */
export function actionsOf({ state }: Pick<InviteView, 'state'>): InviteAction[] {
  switch (state) {
    case 'created':
    case 'sent':
    case 'opened':
    case 'bounced':
      return ['link', 'resend', 'extend', 'revoke'];
    case 'started':
      return ['link', 'resend', 'revoke'];
    case 'exhausted':
      return ['reopen', 'revoke'];
    case 'expired':
      return ['extend', 'reopen', 'revoke'];
    case 'finished':
    case 'revoked':
      return ['reopen'];
  }
}

/** Nobody sends again what was never sent. */
export const resendWord = ({ sent_at, mail }: Pick<InviteView, 'sent_at' | 'mail'>) =>
  sent_at === null && mail === null ? 'Send by mail' : 'Send again';

/** What a person has to know of the mail beside the state; `null` when there is nothing to do. */
export function mailTrouble(invite: Pick<InviteView, 'mail'>): string | null {
  switch (invite.mail?.state) {
    case 'bounced':
      return 'The address does not exist. Correct it, or give the link in another way.';
    case 'failed':
      return invite.mail.failure === 'replaced' ? null : 'The mail could not be sent. Send it again.';
    case 'queued':
    case 'sending':
      return 'The mail is on its way.';
    default:
      return null;
  }
}

/** Mails are written in these; in English for every other language. */
export const MAILED = ['en', 'de', 'ja'];

/** For an input of the type `datetime-local`: the wall clock of this device. */
export function localInput(at: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** The end of the day, so many days from now. */
export function endOfDay(days: number, from = new Date()): Date {
  const at = new Date(from);
  at.setDate(at.getDate() + days);
  at.setHours(18, 0, 0, 0);
  return at;
}
