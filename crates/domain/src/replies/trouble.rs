//! What keeps the interviewer from speaking, and how far it goes: ask again, then another call, then the end.

use super::state::{Active, Sideband, Wish};
use super::{ANSWER_WITHIN, Command, Moment, Purpose, RENEWED_WITHIN, Replies, Request, Trouble};
use crate::voice::Refusal;
use std::time::Duration;

/// Replies in a row that may come to nothing in one call.
pub(super) const MOST_FAILURES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Times in a row that nothing may come at all: the first is asked about, with the second the call is given up.
const MOST_SILENCES: u32 = 2;
/// Calls in a row that may be given up.
pub(super) const MOST_RENEWALS: u32 = 3;
/// Times that one request may meet a reply that is under way.
const MOST_REFUSALS: u32 = 8;

impl Replies {
    /// A reply came to nothing: it is asked for again, with its own purpose, after a growing pause.
    pub(super) fn again(&mut self, purpose: Purpose, trouble: Trouble) {
        self.trouble(trouble);
        self.failures += 1;
        if self.failures > MOST_FAILURES {
            return self.renew(trouble);
        }
        let pause = self.jitter.lengthen(FIRST_PAUSE * 2_u32.pow(self.failures - 1));
        self.want_again(purpose, pause);
    }

    fn want_again(&mut self, purpose: Purpose, pause: Duration) {
        if self.ending.is_no() || purpose.is_goodbye() {
            self.wish(Wish::after(purpose, self.now, pause));
        }
    }

    /// Nothing came where something was owed.
    pub(super) fn silent(&mut self, purpose: Purpose, trouble: Trouble) {
        self.trouble(trouble);
        self.silences += 1;
        if self.silences >= MOST_SILENCES {
            return self.renew(trouble);
        }
        self.want_again(purpose, Duration::ZERO);
    }

    /// Logged and counted each time; the page is told when the candidate would wait for it.
    pub(super) fn trouble(&mut self, trouble: Trouble) {
        if trouble == Trouble::ReplyIncomplete {
            return self.trouble_unseen(trouble);
        }
        let news = !self.late;
        self.late = true;
        self.commands.push(Command::Late { trouble, news });
    }

    /// The candidate does not wait for it.
    pub(super) fn trouble_unseen(&mut self, trouble: Trouble) {
        self.commands.push(Command::Late { trouble, news: false });
    }

    pub(super) fn went_well(&mut self) {
        (self.failures, self.silences, self.renewals) = (0, 0, 0);
        self.recovered();
    }

    pub(super) fn recovered(&mut self) {
        if std::mem::take(&mut self.late) {
            self.commands.push(Command::Recovered);
        }
    }

    /// It began and nothing more comes of it.
    pub(super) fn unstick(&mut self) {
        let Some(Active { id, purpose, spoke, .. }) = self.active.take() else { return };
        self.aside.remember(id.clone());
        self.commands.push(Command::Cancel { reply: id });
        let purpose = purpose.unwrap_or(Purpose::Answer);
        self.silent(if spoke && !purpose.is_goodbye() { Purpose::Continue } else { purpose }, Trouble::ReplyStuck);
    }

    /// The end of a turn was not noticed. If the provider does not close it when told to, the call is given up.
    pub(super) fn close_turn(&mut self) {
        self.trouble(Trouble::TurnNotClosed);
        if self.closing_turn.is_some() {
            return self.renew(Trouble::TurnNotClosed);
        }
        let request = Request::Turn(self.next_request());
        self.closing_turn = Some(request);
        self.floor.close_by(self.now + ANSWER_WITHIN);
        self.commands.push(Command::CloseTurn { request });
    }

    pub(super) fn refused(&mut self, refusal: Refusal, command: Option<&str>) {
        if refusal == Refusal::Account {
            return self.give_up(Trouble::Account);
        }
        if self.closing_turn.is_some_and(|request| command == Some(request.to_string().as_str())) {
            // There was nothing to close: whoever spoke has stopped.
            self.closing_turn = None;
            self.floor = Default::default();
            return self.owe();
        }
        let ours = |asked: &super::Asked| match command {
            Some(command) => command == asked.request.to_string(),
            // Nothing else of ours meets a reply that is under way.
            None => refusal == Refusal::AlreadyReplying,
        };
        let Some(asked) = self.asked.take_if(|asked| ours(asked)) else { return };
        if refusal != Refusal::AlreadyReplying {
            return self.again(asked.wish.purpose, Trouble::ReplyRefused);
        }
        // It met a reply that is under way: sent again, as it was, when that is done.
        let mut wish = asked.wish;
        wish.refusals += 1;
        if wish.refusals > MOST_REFUSALS {
            return self.renew(Trouble::ReplyRefused);
        }
        if self.active.is_none() {
            // One of which we have not heard yet, or missed the begin.
            let pause = Duration::from_millis(500) * 2_u32.pow(wish.refusals.min(4));
            wish.not_before = self.now + self.jitter.lengthen(pause);
        }
        if self.wish.is_none() {
            self.wish(wish);
        }
    }

    /// Another call, as long as that is any use.
    pub(super) fn renew(&mut self, trouble: Trouble) {
        if !self.ending.is_no() {
            return self.last_words_over();
        }
        if matches!(self.sideband, Sideband::Renewing { .. }) {
            return;
        }
        self.renewals += 1;
        if self.renewals >= MOST_RENEWALS {
            return self.give_up(trouble);
        }
        self.forget_call();
        (self.failures, self.silences) = (0, 0);
        if !std::mem::replace(&mut self.late, true) {
            self.commands.push(Command::Late { trouble, news: true });
        }
        self.sideband = Sideband::Renewing { by: self.now + RENEWED_WITHIN };
        self.commands.push(Command::RenewCall(trouble));
    }

    pub(super) fn give_up(&mut self, trouble: Trouble) {
        if !self.ending.is_no() {
            return self.last_words_over();
        }
        self.over = true;
        self.commands.push(Command::GiveUp(trouble));
    }

    /// The provider owes an answer from now on.
    pub(super) fn owe(&mut self) {
        self.owed = Some(self.now);
    }

    pub(super) fn elapsed(&self) -> Moment {
        self.begun.map_or(Moment::ZERO, |begun| self.now.saturating_sub(begun)) + self.rules.elapsed
    }
}
