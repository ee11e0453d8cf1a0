//! What the call brings.

use super::state::{Active, Farewell, Finished, Wish};
use super::{ANSWER_WITHIN, BREATH, LONGEST_PLAYBACK, PLAYED_WITHIN, PROGRESS_WITHIN, Purpose, Replies, Trouble, is_farewell};
use crate::ids::{ItemId, ReplyId};
use crate::voice::{Delivery, ItemContent, ReplyOutcome, VoiceEvent};

impl Replies {
    pub(super) fn heard(&mut self, event: &VoiceEvent) {
        match event {
            VoiceEvent::SpeechStarted { item, .. } => self.candidate_speaks(item),
            VoiceEvent::SpeechStopped { .. } => self.floor.stop(self.now),
            VoiceEvent::ItemPlaced { item, content: ItemContent::Committed, .. } => {
                self.known_turns.remember(item.clone());
                self.turn_committed();
            }
            VoiceEvent::CandidateSettled { item, text, .. } => {
                self.last_turn = Some(text.clone());
                self.turn_settled(item);
            }
            VoiceEvent::CandidateFailed { item } => self.turn_settled(item),
            VoiceEvent::ReplyStarted { reply, in_conversation, purpose } => {
                self.reply_started(reply, *in_conversation, purpose.as_deref());
            }
            VoiceEvent::ReplyItem { reply, .. } => self.reply_goes_on(Some(reply), false),
            VoiceEvent::ReplyWords { delta: words, .. } => self.reply_goes_on(None, !words.is_empty()),
            VoiceEvent::ReplySettled { text, .. } => {
                self.reply_goes_on(None, !text.is_empty());
                if let Some(active) = &mut self.active {
                    active.farewell |= is_farewell(text);
                    text.clone_into(&mut active.text);
                }
            }
            VoiceEvent::ReplyDone { reply, outcome, texts, delivery, .. } => {
                self.reply_done(reply, *outcome, texts, *delivery);
            }
            VoiceEvent::PlaybackStarted { reply } => self.playback_started(reply),
            VoiceEvent::PlaybackEnded { reply } => self.playback_ended(reply),
            VoiceEvent::PlaybackCut { reply } => self.playback_cut(reply),
            VoiceEvent::ToolCalled { reply, call, name, arguments } => self.tool_called(reply.as_ref(), call, name, arguments),
            VoiceEvent::Refused { refusal, command } => self.refused(*refusal, command.as_deref()),
            VoiceEvent::Ready { .. }
            | VoiceEvent::ItemPlaced { .. }
            | VoiceEvent::ItemDeleted { .. }
            | VoiceEvent::CandidateWords { .. }
            | VoiceEvent::ItemCut { .. }
            | VoiceEvent::Expired => {}
        }
    }

    // ---- the candidate ----

    /// What was said is written down, or cannot be: the turn is over.
    fn turn_settled(&mut self, item: &ItemId) {
        if self.floor.is_over_by_words_of(item) {
            // Its end fell into a gap.
            self.turn_committed();
        } else if self.gap {
            self.turn_fell_into_gap(item);
        }
    }

    fn candidate_speaks(&mut self, item: &ItemId) {
        self.last_turn = None;
        self.known_turns.remember(item.clone());
        self.floor.take(item, self.now);
        self.farewell = None;
        self.spoken_into_the_end();
    }

    /// The provider answers it by itself. What we wanted to say is not said any more, but for a goodbye.
    fn turn_committed(&mut self) {
        self.floor = Default::default();
        self.turns += 1;
        self.closing_turn = None;
        self.drop_wish(|wish| wish.purpose.is_goodbye());
        (self.farewell, self.pending_end) = (None, None);
        self.owe();
        self.heard_out();
    }

    /// All that is known of it are its words. Its answer may be on its way: any sign of one fulfils the wish.
    pub(super) fn turn_fell_into_gap(&mut self, item: &ItemId) {
        if !self.known_turns.insert(item.clone()) {
            return;
        }
        if self.floor.is_over_by_later_turn() {
            self.floor = Default::default();
            self.heard_out();
        }
        let quiet = self.active.is_none() && self.asked.is_none() && self.wish.is_none() && self.owed.is_none();
        if quiet && self.ending.is_no() {
            self.wish(Wish { in_doubt: true, ..Wish::after(Purpose::Answer, self.now, ANSWER_WITHIN) });
        }
    }

    /// The provider does not answer what nobody spoke. What is being said is heard to its end first.
    pub(super) fn typed(&mut self, item: &ItemId) {
        self.known_turns.remember(item.clone());
        self.last_turn = None;
        (self.farewell, self.pending_end) = (None, None);
        if !self.ending.is_no() {
            return;
        }
        self.owe();
        // What is still to be said for a reason of its own is said with it in view.
        if self.wish.as_ref().is_none_or(|wish| !wish.purpose.has_content()) {
            let unheard_by = self.active.as_ref().map(|active| active.id.clone());
            // Its end may have fallen into a gap.
            let waits_until = Some(self.now + if self.gap { PROGRESS_WITHIN } else { LONGEST_PLAYBACK });
            self.wish(Wish { unheard_by, waits_until, ..Wish::new(Purpose::Answer, self.now) });
        }
    }

    // ---- the interviewer ----

    fn reply_started(&mut self, reply: &ReplyId, in_conversation: bool, purpose: Option<&str>) {
        if !in_conversation {
            return self.aside.remember(reply.clone());
        }
        let ours = self.asked.take_if(|asked| purpose == Some(asked.wish.purpose.as_str())).map(|asked| asked.wish.purpose);
        self.reply_is_under_way(ours.is_none());
        if ours.is_some_and(Purpose::is_goodbye) {
            self.goodbye_begins(reply);
        }
        self.end_of_active_was_missed();
        self.active = Some(Active::new(reply.clone(), ours, self.now));
    }

    /// What was owed, or in doubt, is being given.
    fn reply_is_under_way(&mut self, by_itself: bool) {
        self.owed = None;
        self.farewell = None;
        self.drop_wish(|wish| !wish.in_doubt || wish.purpose.is_goodbye());
        if by_itself {
            // The provider answers a turn when it is over, whether we heard its end or not.
            self.floor = Default::default();
        }
    }

    fn reply_goes_on(&mut self, reply: Option<&ReplyId>, has_words: bool) {
        let (now, known) = (self.now, reply.is_some_and(|reply| self.is_known(reply)));
        match (&mut self.active, reply) {
            (Some(active), Some(reply)) if active.id != *reply => {}
            (Some(active), _) => {
                active.progress = now;
                active.spoke |= has_words;
            }
            // We missed how it began.
            (None, Some(reply)) if !known => {
                self.reply_is_under_way(true);
                self.active = Some(Active::new(reply.clone(), None, now));
            }
            (None, _) => {}
        }
    }

    fn is_known(&self, reply: &ReplyId) -> bool {
        self.aside.contains(reply) || self.finished.as_ref().is_some_and(|finished| finished.reply == *reply)
    }

    /// The end of another reply changes nothing about the active one.
    fn take_active(&mut self, reply: &ReplyId) -> Option<Active> {
        match &self.active {
            Some(active) if active.id == *reply => self.active.take(),
            None if !self.is_known(reply) => {
                self.reply_is_under_way(true);
                Some(Active::new(reply.clone(), None, self.now))
            }
            _ => None,
        }
    }

    fn reply_done(&mut self, reply: &ReplyId, outcome: ReplyOutcome, texts: &[(ItemId, String)], delivery: Delivery) {
        if outcome == ReplyOutcome::AccountBlocked {
            return self.give_up(Trouble::Account);
        }
        let Some(mut active) = self.take_active(reply) else { return };
        active.spoke |= texts.iter().any(|(_, text)| !text.trim().is_empty());
        active.spoke &= delivery != Delivery::Text;
        if let Some((_, text)) = texts.last() {
            active.farewell |= is_farewell(text);
            text.clone_into(&mut active.text);
        }
        if let Some(asked) = &mut self.asked {
            // Ours may have waited for it.
            asked.at = self.now;
        }
        if let Some(wish) = self.wish.as_mut().filter(|wish| wish.refusals > 0) {
            wish.not_before = self.now;
        }
        let completed = outcome == ReplyOutcome::Completed;
        self.finished = Some(Finished { reply: reply.clone(), completed, spoke: active.spoke });
        if active.spoke && completed {
            self.fulfilled(reply);
        }
        self.after_tools(&active, completed);
        let goodbye = active.purpose.is_some_and(Purpose::is_goodbye);
        match outcome {
            ReplyOutcome::Completed if active.spoke => self.said(&active),
            ReplyOutcome::Completed if active.called_tool => {}
            ReplyOutcome::Cancelled if goodbye => self.goodbye_cut(reply),
            ReplyOutcome::Cancelled => self.broke_off(&active),
            ReplyOutcome::CancelledByClient if self.aside.contains(reply) => {}
            // Of a goodbye that broke off the rest is not asked for.
            _ if goodbye && active.spoke => self.said(&active),
            ReplyOutcome::Incomplete if active.purpose == Some(Purpose::Continue) => self.said(&active),
            ReplyOutcome::Incomplete => self.again(active.again(), Trouble::ReplyIncomplete),
            ReplyOutcome::Completed => self.again(active.again(), Trouble::ReplyEmpty),
            _ => self.again(active.again(), Trouble::ReplyFailed),
        }
        self.last_words_generated(reply);
    }

    fn said(&mut self, active: &Active) {
        self.went_well();
        self.notice_repetition(active);
        if active.purpose.is_some_and(Purpose::is_goodbye) {
            return self.goodbye_generated();
        }
        if active.farewell && self.pending_end.is_none() && self.ending.is_no() {
            let is_playing = self.playing.as_ref() == Some(&active.id);
            let ends_at = (!is_playing).then(|| self.now + PLAYED_WITHIN + super::FAREWELL_QUIET);
            self.farewell = Some(Farewell { reply: active.id.clone(), ends_at });
        }
    }

    /// The interviewer has spoken by itself: what had no content of its own, and an opening that was not asked for yet,
    /// is said.
    fn fulfilled(&mut self, by: &ReplyId) {
        self.drop_wish(|wish| {
            let sent = wish.refusals > 0;
            wish.purpose.is_goodbye() || wish.purpose.has_content() && sent || wish.unheard_by.as_ref() == Some(by)
        });
    }

    /// Cut by a voice. If that was a turn, it is answered; if not, the interviewer goes on.
    fn broke_off(&mut self, active: &Active) {
        if active.spoke {
            self.went_well();
        }
        if self.ending.is_no() && self.wish.is_none() && self.owed.is_none() {
            self.wish(Wish::unless_answered(active.again(), self.now));
        }
    }

    fn playback_started(&mut self, reply: &ReplyId) {
        self.playing = Some(reply.clone());
        self.recovered();
        match &mut self.active {
            Some(active) if active.id == *reply => {
                active.spoke = true;
                active.progress = self.now;
            }
            Some(_) => {}
            None => self.drop_wish(|wish| !wish.in_doubt || wish.purpose.is_goodbye()),
        }
        self.end_is_played(reply);
        self.goodbye_is_played(reply);
        if let Some(farewell) = self.farewell.as_mut().filter(|farewell| farewell.reply == *reply) {
            farewell.ends_at = None;
        }
    }

    fn playback_ended(&mut self, reply: &ReplyId) {
        self.playing.take_if(|playing| playing == reply);
        // Heard to its end: nobody waits for it.
        self.drop_wish(|wish| !wish.in_doubt || wish.purpose.is_goodbye());
        if let Some(wish) = self.wish.as_mut().filter(|wish| wish.waits_until.is_some()) {
            wish.not_before = wish.not_before.max(self.now + BREATH);
        }
        if let Some(farewell) = self.farewell.as_mut().filter(|farewell| farewell.reply == *reply) {
            farewell.ends_at = Some(self.now + super::FAREWELL_QUIET);
        }
        if self.pending_end.take_if(|end| end.reply == *reply).is_some() {
            self.end_by_interviewer();
        }
        self.last_words_played(reply);
    }

    fn playback_cut(&mut self, reply: &ReplyId) {
        self.playing.take_if(|playing| playing == reply);
        self.pending_end.take_if(|end| end.reply == *reply);
        self.farewell = None;
        if !self.ending.is_no() {
            return self.goodbye_cut(reply);
        }
        let quiet = self.wish.is_none() && self.owed.is_none() && self.active.is_none() && self.asked.is_none();
        if quiet {
            self.wish(Wish::unless_answered(Purpose::Continue, self.now));
        }
    }
}

impl Active {
    /// What it is asked for again with.
    fn again(&self) -> Purpose {
        let purpose = self.purpose.unwrap_or(Purpose::Answer);
        if self.spoke && !purpose.is_goodbye() { Purpose::Continue } else { purpose }
    }
}

/// In any script: a question mark, or the particle that stands for it.
pub(super) fn is_question(text: &str) -> bool {
    text.contains(['?', '？', '؟', '՞', '\u{37e}']) || text.trim_end_matches('。').ends_with('か')
}
