//! What the machine knows.

use super::{COMMITTED_WITHIN, LONGEST_TURN, LONGEST_TURN_AFTER_GAP, Moment, PAUSE_WITHIN, Purpose, Request};
use crate::ids::{ItemId, ReplyId, ToolCallId};
use std::time::Duration;

/// What the interview demands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// The interviewer may end it after so many turns of the candidate, or so much time.
    pub min_turns: usize,
    pub min_duration: Duration,
    /// The interview began before this machine did, so long ago, with so many turns.
    pub begun: bool,
    pub elapsed: Duration,
    pub turns: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sideband {
    /// There is no call.
    None,
    /// On its way into the call; into a fresh one it has to come by then.
    Joining {
        by: Option<Moment>,
    },
    Ready,
    /// We have asked for another call.
    Renewing {
        by: Moment,
    },
}

/// Whether the candidate has the floor.
#[derive(Debug, Default)]
pub(super) struct Floor {
    /// What they say now.
    item: Option<ItemId>,
    /// Since when they speak.
    pub(super) speaking: Option<Moment>,
    /// When they stopped; whether it was a turn shows when it is committed.
    pub(super) stopped: Option<Moment>,
    /// By when the turn is to be closed.
    by: Moment,
    /// All that is known of it was heard before our sideband was away.
    since_before_gap: bool,
}

impl Floor {
    pub(super) fn is_taken(&self) -> bool {
        self.speaking.is_some() || self.stopped.is_some()
    }

    pub(super) fn take(&mut self, item: &ItemId, now: Moment) {
        (self.stopped, self.since_before_gap) = (None, false);
        self.item = Some(item.clone());
        if self.speaking.is_none() {
            (self.speaking, self.by) = (Some(now), now + LONGEST_TURN);
        }
    }

    pub(super) fn stop(&mut self, now: Moment) {
        (self.speaking, self.stopped) = (None, Some(now));
    }

    /// Words are written down of turns that are over only.
    pub(super) fn is_over_by_words_of(&self, item: &ItemId) -> bool {
        self.is_taken() && self.item.as_ref() == Some(item)
    }

    pub(super) fn closes_by(&self) -> Option<Moment> {
        self.speaking.map(|_| self.by)
    }

    pub(super) fn close_by(&mut self, by: Moment) {
        self.by = by;
    }

    pub(super) fn after_gap(&mut self, now: Moment) {
        self.by = self.by.min(now + LONGEST_TURN_AFTER_GAP);
        self.since_before_gap = self.is_taken();
    }

    /// A turn that followed in the gap is over: then so is this one.
    pub(super) fn is_over_by_later_turn(&self) -> bool {
        self.since_before_gap
    }
}

/// A reply that is being generated.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) id: ReplyId,
    /// Why we asked for it; none: the provider answers a turn.
    pub(super) purpose: Option<Purpose>,
    pub(super) progress: Moment,
    /// It has words, or is heard.
    pub(super) spoke: bool,
    /// It has called the tool that ends the interview.
    pub(super) end_call: Option<EndCall>,
    pub(super) called_tool: bool,
    /// It called a tool whose answer it has to speak about: another reply has to follow.
    pub(super) needs_reply: bool,
    /// The same, unless it has spoken itself.
    pub(super) needs_words: bool,
    pub(super) farewell: bool,
    /// Its words, as far as they are known.
    pub(super) text: String,
}

impl Active {
    pub(super) fn new(id: ReplyId, purpose: Option<Purpose>, now: Moment) -> Self {
        Self {
            id,
            purpose,
            progress: now,
            spoke: false,
            end_call: None,
            called_tool: false,
            needs_reply: false,
            needs_words: false,
            farewell: false,
            text: String::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct EndCall {
    pub(super) call: ToolCallId,
    /// None: it is answered already.
    pub(super) answered_by: Option<Moment>,
}

/// The last reply that was generated to its end.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) reply: ReplyId,
    pub(super) completed: bool,
    pub(super) spoke: bool,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) at: Moment,
    pub(super) wish: Wish,
}

#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) purpose: Purpose,
    pub(super) since: Moment,
    pub(super) not_before: Moment,
    /// The model has been told why.
    pub(super) noted: bool,
    /// Times that it met a reply that was under way.
    pub(super) refusals: u32,
    /// What it asks for may be under way: any sign of that fulfils it.
    pub(super) in_doubt: bool,
    /// The reply that was under way when its reason came: that one cannot fulfil it.
    pub(super) unheard_by: Option<ReplyId>,
    /// It does not begin while something is heard, until then.
    pub(super) waits_until: Option<Moment>,
}

impl Wish {
    pub(super) fn new(purpose: Purpose, now: Moment) -> Self {
        Self {
            purpose,
            since: now,
            not_before: now,
            noted: false,
            refusals: 0,
            in_doubt: false,
            unheard_by: None,
            waits_until: None,
        }
    }

    pub(super) fn after(purpose: Purpose, now: Moment, pause: Duration) -> Self {
        Self { not_before: now + pause, ..Self::new(purpose, now) }
    }

    /// What broke off is gone on with, unless a turn is committed meanwhile.
    pub(super) fn unless_answered(purpose: Purpose, now: Moment) -> Self {
        Self::after(purpose, now, COMMITTED_WITHIN)
    }

    /// Only a goodbye is ever said into speech, and only after it has waited.
    pub(super) fn sent_at(&self, floor_taken: bool, playing: bool) -> Option<Moment> {
        match (floor_taken, self.purpose.is_goodbye()) {
            (false, _) => Some(self.not_before.max(self.waits_until.filter(|_| playing).unwrap_or_default())),
            (true, true) => Some(self.not_before.max(self.since + PAUSE_WITHIN)),
            (true, false) => None,
        }
    }
}

/// The interviewer has ended the interview in a reply that is being heard to its end.
#[derive(Debug)]
pub(super) struct PendingEnd {
    pub(super) reply: ReplyId,
    pub(super) by: Moment,
}

/// The interviewer has parted without ending the interview.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) reply: ReplyId,
    pub(super) ends_at: Option<Moment>,
}

/// Spreads the pauses of many interviews (SplitMix64).
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The pause, lengthened by up to half of itself.
    pub(super) fn lengthen(&mut self, pause: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        pause + pause * u32::from(mixed.to_le_bytes()[0]) / 512
    }
}
