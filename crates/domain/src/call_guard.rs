//! Detects what somebody else does in one of our calls.
//!
//! The candidate's browser has a channel into its call and can send there whatever we can send. The provider's events do not
//! tell who caused them. So this guard keeps what we, the candidate's voice and the provider's own turn taking let expect. An
//! event that nothing lets expect was caused by somebody else.

use super::edge::Label;
use super::voice::{ItemContent, ReplyOutcome, Speaker, VoiceEvent};
use crate::ids::{ItemId, ReplyId};
use crate::recent::Recent;
use std::collections::VecDeque;
use std::time::Duration;

/// Time since some moment before the first event; it goes on while the wall clock is set.
pub type Moment = Duration;

/// Items of which we remember that they were spoken; what is placed is nearly always the latest.
const REMEMBERED: usize = 64;
/// Replies that we have cancelled: their playback may be cut.
const CANCELLED: usize = 8;
/// For so long after our sideband has come, an event may belong to one that it was not there to hear.
const JOINING: Duration = Duration::from_secs(2);
/// For so long after we sent a command, its effect may come. Longer than we wait for a reply that we asked for.
const EFFECT_WITHIN: Duration = Duration::from_secs(30);
/// More commands than any call is sent in that time: a new call is told the whole conversation.
const MOST_EXPECTED: usize = 10_000;

/// Something that somebody else did in the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intrusion {
    SessionUpdated,
    ItemCreated(ItemId),
    ItemDeleted,
    ItemTruncated,
    /// What the call holds was asked for, with its audio: too much for our sideband.
    ItemRetrieved,
    ReplyCreated(ReplyId),
    ReplyCancelled,
    PlaybackCleared,
}

impl Intrusion {
    /// As it is noted (`integrity_events.kind`).
    pub fn label(&self) -> Label {
        Label::of(match self {
            Self::SessionUpdated => "foreign_session_update",
            Self::ItemCreated(_) => "foreign_item",
            Self::ItemDeleted => "foreign_item_deleted",
            Self::ItemTruncated => "foreign_item_truncated",
            Self::ItemRetrieved => "foreign_item_retrieved",
            Self::ReplyCreated(_) => "foreign_reply",
            Self::ReplyCancelled => "foreign_reply_cancelled",
            Self::PlaybackCleared => "foreign_playback_cleared",
        })
    }
}

/// A command of ours whose effect the call shows to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ours {
    Message,
    Reply,
    Cancel(ReplyId),
    Deletion(ItemId),
}

/// One command of ours, sent and not seen yet.
#[derive(Debug)]
struct Expected {
    what: Ours,
    /// As we named it; a refusal says the name.
    command: String,
    since: Moment,
}

#[derive(Debug, Default)]
pub struct CallGuard {
    joined_at: Option<Moment>,
    /// Our sideband carries the candidate's speech. One that does not (see [`crate::deaf_sideband`]) shows nothing
    /// of the turns that the provider answers, so nobody is accused of what follows from them.
    hears: bool,
    spoken: Recent<ItemId, REMEMBERED>,
    /// In the order in which they were sent.
    expected: VecDeque<Expected>,
    cancelled: Recent<ReplyId, CANCELLED>,
    /// A turn was committed then: the provider answers it by itself.
    owes_reply: Option<Moment>,
    /// The candidate spoke since the reply began: the provider may cut it.
    spoken_over: bool,
}

impl CallGuard {
    /// Our sideband is in the call, perhaps anew: what was under way is not known. What was sent on it is expected still.
    pub fn joined(&mut self, now: Moment) {
        let (expected, cancelled) = (std::mem::take(&mut self.expected), std::mem::take(&mut self.cancelled));
        let (joined_at, owes_reply) = (Some(now), Some(now));
        *self = Self { joined_at, owes_reply, spoken_over: true, hears: self.hears, expected, cancelled, ..Self::default() };
    }

    /// What was sent on it has had its effect unseen, or never will.
    pub fn sideband_lost(&mut self) {
        self.expected.clear();
    }

    /// The command has left on the sideband that we hear.
    pub fn sent(&mut self, what: Ours, command: &str, now: Moment) {
        if let Ours::Cancel(reply) = &what {
            self.cancelled.remember(reply.clone());
        }
        if self.expected.len() >= MOST_EXPECTED {
            self.expected.pop_front();
        }
        self.expected.push_back(Expected { what, command: command.to_owned(), since: now });
    }

    /// The provider refused it: it has no effect.
    pub fn refused(&mut self, command: &str) {
        self.expected.retain(|expected| expected.command != command);
    }

    /// Whether somebody else caused this.
    pub fn judge(&mut self, event: &VoiceEvent, now: Moment) -> Option<Intrusion> {
        self.hears |= event.is_candidate_speech();
        while self.expected.pop_front_if(|first| now.saturating_sub(first.since) > EFFECT_WITHIN).is_some() {}
        match event {
            VoiceEvent::SpeechStarted { item, .. } => {
                self.spoken_over = true;
                self.spoken.remember(item.clone());
                None
            }
            VoiceEvent::ItemPlaced { item, content, .. } => self.placed(item, *content, now),
            VoiceEvent::ReplyStarted { reply, in_conversation: true, purpose } => {
                let expected = self.reply_is_expected(purpose.is_some(), now);
                self.spoken_over = false;
                (!expected && !self.is_lenient(now)).then(|| Intrusion::ReplyCreated(reply.clone()))
            }
            VoiceEvent::ReplyItem { item, .. } => {
                self.spoken.remember(item.clone());
                None
            }
            VoiceEvent::ReplyDone { reply, outcome: ReplyOutcome::CancelledByClient, .. } => {
                (!self.take(&Ours::Cancel(reply.clone()))).then_some(Intrusion::ReplyCancelled)
            }
            VoiceEvent::PlaybackCut { reply } => {
                let expected = self.spoken_over || self.cancelled.contains(reply) || self.is_lenient(now);
                (!expected).then_some(Intrusion::PlaybackCleared)
            }
            VoiceEvent::ItemCut { .. } => {
                let expected = self.spoken_over || self.is_lenient(now);
                (!expected).then_some(Intrusion::ItemTruncated)
            }
            VoiceEvent::ItemDeleted { item } => (!self.take(&Ours::Deletion(item.clone()))).then_some(Intrusion::ItemDeleted),
            _ => None,
        }
    }

    fn placed(&mut self, item: &ItemId, content: ItemContent, now: Moment) -> Option<Intrusion> {
        match content {
            ItemContent::Committed => {
                self.owes_reply = Some(now);
                self.spoken.remember(item.clone());
                None
            }
            ItemContent::Typed => {
                let expected = self.spoken.contains(item) || self.take(&Ours::Message);
                (!expected).then(|| Intrusion::ItemCreated(item.clone()))
            }
            ItemContent::Message { speaker: Speaker::Candidate, .. } => {
                let expected = self.spoken.contains(item) || self.is_lenient(now);
                (!expected).then(|| Intrusion::ItemCreated(item.clone()))
            }
            // Without words it says nothing; a reply's are told with the reply.
            ItemContent::Message { .. } | ItemContent::Silent => None,
        }
    }

    /// The provider begins one for each turn, and one for each of our requests, which it names.
    fn reply_is_expected(&mut self, names_a_request: bool, now: Moment) -> bool {
        if names_a_request && self.take(&Ours::Reply) {
            return true;
        }
        let owed = self.owes_reply.take().is_some_and(|since| now.saturating_sub(since) <= EFFECT_WITHIN);
        owed || !names_a_request && self.take(&Ours::Reply)
    }

    /// What our sideband cannot explain may follow from what it was not there to hear, or does not carry.
    fn is_lenient(&self, now: Moment) -> bool {
        !self.hears || self.joined_at.is_none_or(|at| now.saturating_sub(at) < JOINING)
    }

    fn take(&mut self, what: &Ours) -> bool {
        let found = self.expected.iter().position(|expected| expected.what == *what);
        found.is_some_and(|index| self.expected.remove(index).is_some())
    }
}

#[cfg(test)]
#[path = "call_guard_tests.rs"]
mod tests;
