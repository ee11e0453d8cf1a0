//! Detects what somebody else does in one of our calls.
//!
//! The candidate's browser has a channel into its call and can send there whatever we can send. The provider's events do not
//! tell who caused them. So this guard counts every event that we, the candidate's voice or the provider's own turn taking
//! explain. An event that is left over was caused by somebody else.

use super::edge::{Label, Timestamp};
use super::voice::{ItemContent, ReplyOutcome, VoiceEvent};
use crate::ids::{ItemId, ReplyId};
use std::collections::VecDeque;
use time::Duration;

/// Items of which we remember that they were spoken; what is placed is nearly always the latest.
const REMEMBERED: usize = 64;
/// For so long after our line has come, an event may belong to one that it was not there to hear.
const JOINING: Duration = Duration::seconds(2);

/// Something that somebody else did in the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intrusion {
    SessionUpdated,
    ItemCreated(ItemId),
    ItemDeleted,
    ItemTruncated,
    /// What the call holds was asked for, with its audio: too much for our line.
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

/// What we send and expect to see the effect of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    Message,
    Reply,
    Cancel,
    Deletion,
}

#[derive(Debug, Default)]
pub struct CallGuard {
    joined_at: Option<Timestamp>,
    /// Our line carries the candidate's speech. One that does not (see `control_channel::notice_deafness`) shows nothing
    /// of the turns that the provider answers, so nobody is accused of what follows from them.
    hears: bool,
    spoken: VecDeque<ItemId>,
    /// Of ours, sent and not seen yet.
    messages: u32,
    replies: u32,
    cancels: u32,
    deletions: u32,
    /// A turn was committed: the provider answers it by itself.
    owes_reply: bool,
    /// The candidate spoke since the reply began: the provider may cut it.
    spoken_over: bool,
}

impl CallGuard {
    /// Our line is in the call, perhaps anew: what was under way is not known.
    pub fn joined(&mut self, now: Timestamp) {
        *self = Self { joined_at: Some(now), owes_reply: true, spoken_over: true, hears: self.hears, ..Self::default() };
    }

    pub fn sent(&mut self, what: Ours) {
        let count = self.count(what);
        *count = count.saturating_add(1);
    }

    /// The provider refused it: it has no effect.
    pub fn refused(&mut self, what: Ours) {
        let count = self.count(what);
        *count = count.saturating_sub(1);
    }

    /// Whether somebody else caused this.
    pub fn judge(&mut self, event: &VoiceEvent, now: Timestamp) -> Option<Intrusion> {
        self.hears |= event.is_candidate_speech();
        match event {
            VoiceEvent::SpeechStarted { item, .. } => {
                self.spoken_over = true;
                self.remember(item);
                None
            }
            VoiceEvent::ItemPlaced { item, content, .. } => self.placed(item, *content, now),
            VoiceEvent::ReplyStarted { reply, in_conversation: true, .. } => {
                let ours = self.take(Ours::Reply) || std::mem::take(&mut self.owes_reply);
                self.spoken_over = false;
                (!ours && !self.is_lenient(now)).then(|| Intrusion::ReplyCreated(reply.clone()))
            }
            VoiceEvent::ReplyItem { item, .. } => {
                self.remember(item);
                None
            }
            VoiceEvent::ReplyDone { outcome: ReplyOutcome::CancelledByClient, .. } => {
                (!self.take(Ours::Cancel)).then_some(Intrusion::ReplyCancelled)
            }
            VoiceEvent::PlaybackCut { .. } => {
                let expected = self.spoken_over || self.cancels > 0 || self.is_lenient(now);
                (!expected).then_some(Intrusion::PlaybackCleared)
            }
            VoiceEvent::ItemCut { .. } => {
                let expected = self.spoken_over || self.is_lenient(now);
                (!expected).then_some(Intrusion::ItemTruncated)
            }
            VoiceEvent::ItemDeleted { .. } => (!self.take(Ours::Deletion)).then_some(Intrusion::ItemDeleted),
            _ => None,
        }
    }

    fn placed(&mut self, item: &ItemId, content: ItemContent, now: Timestamp) -> Option<Intrusion> {
        match content {
            ItemContent::Committed => {
                self.owes_reply = true;
                self.remember(item);
                None
            }
            ItemContent::Typed => {
                let expected = self.spoken.contains(item) || self.take(Ours::Message);
                (!expected).then(|| Intrusion::ItemCreated(item.clone()))
            }
            ItemContent::Message { speaker: super::voice::Speaker::Candidate, .. } => {
                let expected = self.spoken.contains(item) || self.is_lenient(now);
                (!expected).then(|| Intrusion::ItemCreated(item.clone()))
            }
            // Without words it says nothing; a reply's are told with the reply.
            ItemContent::Message { .. } | ItemContent::Silent => None,
        }
    }

    /// What our line cannot explain may follow from what it was not there to hear, or does not carry.
    fn is_lenient(&self, now: Timestamp) -> bool {
        !self.hears || self.joined_at.is_none_or(|at| (now - at).abs() < JOINING)
    }

    fn remember(&mut self, item: &ItemId) {
        if self.spoken.contains(item) {
            return;
        }
        self.spoken.push_back(item.clone());
        if self.spoken.len() > REMEMBERED {
            self.spoken.pop_front();
        }
    }

    fn take(&mut self, what: Ours) -> bool {
        let count = self.count(what);
        let was = *count;
        *count = was.saturating_sub(1);
        was > 0
    }

    fn count(&mut self, what: Ours) -> &mut u32 {
        match what {
            Ours::Message => &mut self.messages,
            Ours::Reply => &mut self.replies,
            Ours::Cancel => &mut self.cancels,
            Ours::Deletion => &mut self.deletions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::{Delivery, Speaker};

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn later() -> Timestamp {
        START + Duration::minutes(1)
    }

    fn guard() -> CallGuard {
        let mut guard = CallGuard::default();
        guard.joined(START);
        assert_eq!(guard.judge(&VoiceEvent::SpeechStarted { item: "u0".into(), start_ms: None }, later()), None);
        // The turn that may have been under way.
        assert_eq!(guard.judge(&started("r0"), later()), None);
        guard
    }

    fn started(reply: &str) -> VoiceEvent {
        VoiceEvent::ReplyStarted { reply: reply.into(), in_conversation: true, purpose: None }
    }
    fn placed(item: &str, content: ItemContent) -> VoiceEvent {
        VoiceEvent::ItemPlaced { item: item.into(), previous: None, content }
    }
    fn said() -> ItemContent {
        ItemContent::Message { speaker: Speaker::Candidate, commentary: false }
    }
    fn done(outcome: ReplyOutcome) -> VoiceEvent {
        VoiceEvent::ReplyDone { reply: "r".into(), outcome, texts: vec![], audio_tokens: None, delivery: Delivery::Unknown }
    }

    fn judge(guard: &mut CallGuard, events: Vec<VoiceEvent>) -> Vec<Intrusion> {
        events.iter().filter_map(|event| guard.judge(event, later())).collect()
    }

    #[test]
    fn an_honest_conversation_has_nobody_else_in_it() {
        let mut guard = guard();
        guard.sent(Ours::Message);
        guard.sent(Ours::Reply);
        let events = vec![
            placed("seed", ItemContent::Typed),
            started("r1"),
            VoiceEvent::ReplyItem { reply: "r1".into(), item: "a1".into(), commentary: false },
            placed("a1", ItemContent::Message { speaker: Speaker::Ai, commentary: false }),
            VoiceEvent::PlaybackStarted { reply: "r1".into() },
            VoiceEvent::SpeechStarted { item: "u1".into(), start_ms: None },
            done(ReplyOutcome::Cancelled),
            VoiceEvent::PlaybackCut { reply: "r1".into() },
            VoiceEvent::ItemCut { item: "a1".into(), heard_ms: 700 },
            placed("u1", ItemContent::Committed),
            placed("u1", said()),
            started("r2"),
        ];
        assert_eq!(judge(&mut guard, events), []);
    }

    #[test]
    fn what_nobody_of_ours_did_is_somebody_elses() {
        for (event, intrusion) in [
            (placed("x", ItemContent::Typed), Intrusion::ItemCreated("x".into())),
            (placed("x", said()), Intrusion::ItemCreated("x".into())),
            (started("x"), Intrusion::ReplyCreated("x".into())),
            (done(ReplyOutcome::CancelledByClient), Intrusion::ReplyCancelled),
            (VoiceEvent::PlaybackCut { reply: "r0".into() }, Intrusion::PlaybackCleared),
            (VoiceEvent::ItemCut { item: "a0".into(), heard_ms: 1 }, Intrusion::ItemTruncated),
            (VoiceEvent::ItemDeleted { item: "a0".into() }, Intrusion::ItemDeleted),
        ] {
            assert_eq!(judge(&mut guard(), vec![event]), [intrusion]);
        }
    }

    #[test]
    fn on_a_line_that_carries_no_speech_nobody_is_accused_of_the_turns_it_does_not_show() {
        let mut guard = CallGuard::default();
        guard.joined(START);
        let answer = |n: usize| {
            let (reply, item) = (format!("r{n}"), format!("a{n}"));
            vec![
                placed(&format!("u{n}"), said()),
                started(&reply),
                VoiceEvent::ReplyItem { reply: reply.as_str().into(), item: item.as_str().into(), commentary: false },
                VoiceEvent::PlaybackCut { reply: reply.as_str().into() },
                VoiceEvent::ItemCut { item: item.as_str().into(), heard_ms: 1 },
            ]
        };
        assert_eq!(judge(&mut guard, (0..5).flat_map(answer).collect()), []);
        // What comes with words was put in by hand, whatever the line carries.
        assert_eq!(judge(&mut guard, vec![placed("x", ItemContent::Typed)]), [Intrusion::ItemCreated("x".into())]);
        // Once it has carried speech it does so, also when it broke and is back.
        judge(&mut guard, vec![VoiceEvent::SpeechStarted { item: "u".into(), start_ms: None }, started("r")]);
        guard.joined(START);
        judge(&mut guard, vec![started("r")]);
        assert_eq!(judge(&mut guard, vec![started("y")]), [Intrusion::ReplyCreated("y".into())]);
    }

    #[test]
    fn what_we_sent_is_expected_once_and_not_at_all_when_it_was_refused() {
        for (ours, event) in [
            (Ours::Message, placed("x", ItemContent::Typed)),
            (Ours::Reply, started("x")),
            (Ours::Cancel, done(ReplyOutcome::CancelledByClient)),
            (Ours::Deletion, VoiceEvent::ItemDeleted { item: "x".into() }),
        ] {
            let mut guard = guard();
            guard.sent(ours);
            assert_eq!(guard.judge(&event, later()), None);
            assert!(guard.judge(&event, later()).is_some(), "{event:?}");
            guard.sent(ours);
            guard.refused(ours);
            assert!(guard.judge(&event, later()).is_some(), "{event:?}");
        }
    }
}
