//! The end: the goodbye, heard to its end, and a short quiet after it.

use super::state::Wish;
use super::{Command, Moment, PLAYED_WITHIN, PROGRESS_WITHIN, Purpose, Replies};
use crate::ids::ReplyId;
use std::time::Duration;

/// The whole of it, should the sideband or the model do nothing that we wait for.
const GOODBYE_BEGINS_WITHIN: Duration = Duration::from_secs(40);
/// A goodbye lasts so long at most, from its start.
const LONGEST_GOODBYE: Duration = Duration::from_secs(20);
/// What is being said when the interviewer ends the interview.
const LONGEST_SENTENCE: Duration = Duration::from_secs(20);
/// After the last word, in case the candidate answers it.
const QUIET: Duration = Duration::from_millis(1_500);
/// Who speaks into the quiet is heard out.
const LONGEST_LAST_ANSWER: Duration = Duration::from_secs(15);
/// A sideband that breaks meanwhile is waited for.
const LINE_BACK_WITHIN: Duration = Duration::from_secs(8);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    No,
    /// What is being said is heard to its end.
    Finishing {
        until: Moment,
    },
    Goodbye(Goodbye),
    Quiet {
        until: Moment,
    },
    /// The candidate speaks.
    HearingOut {
        until: Moment,
    },
    Over,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Goodbye {
    because: &'static str,
    /// It was cut once.
    repeated: bool,
    reply: Option<ReplyId>,
    generated: bool,
    plays: bool,
    until: Moment,
}

impl Ending {
    pub(super) fn is_no(&self) -> bool {
        *self == Self::No
    }

    pub(super) fn until(&self) -> Option<Moment> {
        match self {
            Self::No | Self::Over => None,
            Self::Finishing { until } | Self::Quiet { until } | Self::HearingOut { until } => Some(*until),
            Self::Goodbye(goodbye) => Some(goodbye.until),
        }
    }

    pub(super) fn sideband_down(&mut self, now: Moment) {
        match self {
            Self::No | Self::Over => {}
            Self::Finishing { until } | Self::Quiet { until } | Self::HearingOut { until } => {
                *until = (*until).min(now + LINE_BACK_WITHIN);
            }
            Self::Goodbye(goodbye) => goodbye.until = goodbye.until.min(now + LINE_BACK_WITHIN),
        }
    }
}

impl Replies {
    pub(super) fn end(&mut self, goodbye: Option<&'static str>) {
        if !self.ending.is_no() {
            return;
        }
        (self.farewell, self.pending_end) = (None, None);
        self.drop_wish(|_| false);
        let due = std::mem::take(&mut self.goodbye_due);
        match goodbye.or(due.then_some("interviewer_ended")) {
            Some(because) => self.say_goodbye(because, false),
            None if self.active.is_some() || self.playing.is_some() => {
                // Its end may have fallen into a gap.
                let longest = if self.gap { PROGRESS_WITHIN } else { LONGEST_SENTENCE };
                self.ending = Ending::Finishing { until: self.now + longest };
            }
            None => self.quiet(),
        }
    }

    fn say_goodbye(&mut self, because: &'static str, repeated: bool) {
        let until = self.now + GOODBYE_BEGINS_WITHIN;
        self.ending = Ending::Goodbye(Goodbye { because, repeated, reply: None, generated: false, plays: false, until });
        self.wish(Wish::new(Purpose::Goodbye { because, short: repeated }, self.now));
    }

    fn goodbye(&mut self) -> Option<&mut Goodbye> {
        match &mut self.ending {
            Ending::Goodbye(goodbye) => Some(goodbye),
            _ => None,
        }
    }

    pub(super) fn goodbye_begins(&mut self, reply: &ReplyId) {
        if let Some(goodbye) = self.goodbye() {
            (goodbye.reply, goodbye.generated, goodbye.plays) = (Some(reply.clone()), false, false);
        }
    }

    /// Its time counts from here, and not from the end of the interview: another may still have been heard.
    pub(super) fn goodbye_is_played(&mut self, reply: &ReplyId) {
        let now = self.now;
        if let Some(goodbye) = self.goodbye().filter(|goodbye| goodbye.reply.as_ref() == Some(reply)) {
            (goodbye.plays, goodbye.until) = (true, now + LONGEST_GOODBYE);
        }
    }

    pub(super) fn goodbye_generated(&mut self) {
        let (now, other_plays) = (self.now, self.playing.is_some());
        if let Some(goodbye) = self.goodbye() {
            goodbye.generated = true;
            if !goodbye.plays && !other_plays {
                goodbye.until = now + PLAYED_WITHIN;
            }
        }
    }

    /// Heard to its end, whatever it was.
    pub(super) fn last_words_played(&mut self, reply: &ReplyId) {
        let now = self.now;
        match &mut self.ending {
            Ending::Goodbye(goodbye) if goodbye.reply.as_ref() == Some(reply) => self.quiet(),
            Ending::Goodbye(goodbye) if goodbye.generated && !goodbye.plays => goodbye.until = now + PLAYED_WITHIN,
            Ending::Finishing { .. } if self.active.is_none() => self.quiet(),
            _ => {}
        }
    }

    pub(super) fn last_words_generated(&mut self, reply: &ReplyId) {
        let is_other = self.playing.as_ref().is_none_or(|playing| playing != reply);
        if matches!(self.ending, Ending::Finishing { .. }) && is_other && self.playing.is_none() {
            self.ending = Ending::Finishing { until: self.now + PLAYED_WITHIN };
        }
    }

    /// A goodbye that was cut is said once more, and shorter.
    pub(super) fn goodbye_cut(&mut self, reply: &ReplyId) {
        match &self.ending {
            Ending::Goodbye(goodbye) if goodbye.reply.as_ref() == Some(reply) => {
                if goodbye.repeated {
                    return self.hear_out();
                }
                let because = goodbye.because;
                self.say_goodbye(because, true);
            }
            Ending::Finishing { .. } if self.active.is_none() => self.hear_out(),
            _ => {}
        }
    }

    fn quiet(&mut self) {
        self.drop_wish(|_| false);
        self.ending = Ending::Quiet { until: self.now + QUIET };
        if self.floor.is_taken() {
            self.hear_out();
        }
    }

    pub(super) fn spoken_into_the_end(&mut self) {
        if matches!(self.ending, Ending::Quiet { .. }) {
            self.hear_out();
        }
    }

    fn hear_out(&mut self) {
        if self.floor.is_taken() {
            self.drop_wish(|_| false);
            self.ending = Ending::HearingOut { until: self.now + LONGEST_LAST_ANSWER };
        } else {
            self.last_words_over();
        }
    }

    /// The candidate has stopped.
    pub(super) fn heard_out(&mut self) {
        if matches!(self.ending, Ending::HearingOut { .. }) && !self.floor.is_taken() {
            self.last_words_over();
        }
    }

    pub(super) fn ending_is_due(&mut self) {
        match self.ending {
            Ending::No | Ending::Over => {}
            Ending::Finishing { .. } => self.quiet(),
            // Its time is over, or it was never heard.
            Ending::Goodbye(_) => self.hear_out(),
            Ending::Quiet { .. } | Ending::HearingOut { .. } => self.last_words_over(),
        }
    }

    pub(super) fn last_words_over(&mut self) {
        self.ending = Ending::Over;
        self.over = true;
        self.commands.push(Command::LastWordsOver);
    }
}
