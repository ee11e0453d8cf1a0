//! What is heard: who has the floor, which turn is whose answer, and what was said to its end.
//!
//! The words of a reply count when it was generated to its end and played to its end. The words of a turn come after the turn, often
//! in the middle of the answer to it: so a turn belongs to the question at which it was committed, and to the time at which it began.

use super::event::{Event, Spot};
use super::{Command, Conduct, Moment, Place, ScriptProbe, Shown, is_said};
use crate::ids::{ItemId, ReplyId, ToolCallId};
use crate::recent::Recent;
use crate::voice::{Delivery, ItemContent, ReplyOutcome, VoiceEvent};
use std::collections::VecDeque;
use std::time::Duration;

/// Replies that were generated and may still be played.
const KEPT_REPLIES: usize = 4;
/// Items of one reply.
const MOST_ITEMS: usize = 16;
/// Turns whose words are still to come.
const MOST_TURNS: usize = 16;
/// Replies without the words of this place, until these count as said in other words.
const UNTIL_TAKEN: u32 = 3;
/// Speech lasts no longer than this once it is generated, if its end is not told.
const LONGEST_PLAYBACK: Duration = Duration::from_mins(1);
/// How long a letter is spoken, in a language with few of them.
const SPOKEN_LETTER: Duration = Duration::from_millis(150);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Floor {
    /// Our sideband does not hear.
    #[default]
    Unknown,
    Interviewer,
    Candidate,
    Nobody {
        since: Moment,
    },
}

#[derive(Debug, Default)]
pub(super) struct Hearing {
    floor: Floor,
    generated: VecDeque<Generated>,
    /// The reply that began last on this sideband.
    begun: Option<ReplyId>,
    /// The reply whose playback ended last, and whether it was cut: its words may be told after that.
    played: Option<(ReplyId, bool)>,
    /// Words of the reply that is being generated, for a provider that does not tell them again at its end.
    settled: Vec<(ItemId, String)>,
    /// What the candidate says, or said last, and since when.
    speech: Option<(ItemId, Moment)>,
    /// Turns that are over and whose words are still to come.
    turns: VecDeque<Turn>,
    /// Of them, those that were typed while the interviewer was heard: what it said last was not heard to its end yet.
    typed: VecDeque<ItemId>,
    /// Turns that asked for something: no answers.
    requests: Recent<ItemId>,
    /// The candidate's last turn, while the interviewer has said nothing after it.
    latest_turn: Option<ItemId>,
    /// The candidate's last words.
    pub(super) last_words: Option<ItemId>,
    /// The interviewer has spoken: before, the first words are not ours to ask for.
    pub(super) has_spoken: bool,
    /// What the interviewer said last asks something.
    pub(super) asked_something: bool,
    /// Replies that were heard in a row at this place without its words, and times that these were asked for.
    replies_without_words: u32,
    pub(super) prompts: u32,
    pub(super) prompted_at: Moment,
    /// Our sideband missed some of what was said at this place.
    missed_some: bool,
    pub(super) deaf: bool,
    pub(super) answered_tools: Recent<ToolCallId>,
}

#[derive(Debug)]
struct Generated {
    reply: ReplyId,
    item: Option<ItemId>,
    text: String,
}

#[derive(Debug)]
struct Turn {
    item: ItemId,
    place: Place,
    begun: Moment,
}

impl Hearing {
    pub(super) fn sideband_down(&mut self) {
        (self.floor, self.missed_some) = (Floor::Unknown, true);
    }

    /// Since when nobody speaks, as far as that can be heard.
    pub(super) fn quiet_since(&self) -> Option<Moment> {
        match self.floor {
            Floor::Nobody { since } if !self.deaf => Some(since),
            _ => None,
        }
    }

    /// The silence until now does not count.
    pub(super) fn begin_silence_anew(&mut self, now: Moment) {
        if matches!(self.floor, Floor::Nobody { .. }) {
            self.floor = Floor::Nobody { since: now };
        }
    }

    /// What the model hears of the candidate, and we do not.
    pub(super) fn may_have_missed(&self) -> bool {
        self.deaf || self.missed_some
    }

    /// Turns at this place whose words are still to come.
    pub(super) fn turns_at(&self, place: Place) -> usize {
        self.turns.iter().filter(|turn| turn.place == place).count()
    }

    pub(super) fn place_is_new(&mut self) {
        (self.replies_without_words, self.prompts) = (0, 0);
        self.missed_some = self.floor == Floor::Unknown;
    }

    /// As far as is known, the interviewer is not heard to the end yet of what it says.
    fn may_be_saying_something(&self, now: Moment) -> bool {
        match self.floor {
            Floor::Unknown | Floor::Interviewer => true,
            Floor::Nobody { since } => since > now,
            Floor::Candidate => false,
        }
    }

    /// The words are generated, and not heard to their end yet.
    pub(super) fn is_saying(&self, words: &str) -> bool {
        self.generated.iter().any(|generated| is_said(words, &generated.text))
    }

    /// It answers nothing, and ends no pause.
    pub(super) fn never_said(&mut self, item: &ItemId) {
        self.take_turn(item);
        self.latest_turn.take_if(|latest| latest == item);
    }

    fn take(&mut self, reply: &ReplyId) -> Option<Generated> {
        let at = self.generated.iter().position(|generated| generated.reply == *reply)?;
        self.generated.remove(at)
    }

    fn take_turn(&mut self, item: &ItemId) -> Option<Turn> {
        let at = self.turns.iter().position(|turn| turn.item == *item)?;
        self.turns.remove(at)
    }
}

impl Conduct {
    pub(super) fn heard(&mut self, event: &VoiceEvent) {
        let now = self.now;
        match event {
            VoiceEvent::SpeechStarted { item, .. } => {
                self.hearing.speech = Some((item.clone(), now));
                self.speaks(Floor::Candidate);
            }
            // A cough is no answer.
            VoiceEvent::SpeechStopped { .. } => self.hearing.floor = Floor::Nobody { since: now },
            VoiceEvent::ItemPlaced { item, content: ItemContent::Committed, .. } => self.turn_is_over(item),
            // They often come while the answer to them is played, so they say nothing about how far that was heard.
            VoiceEvent::CandidateSettled { item, text, .. } => self.settled(item, !text.trim().is_empty()),
            VoiceEvent::CandidateFailed { item } => self.settled(item, true),
            VoiceEvent::ReplyStarted { reply, in_conversation: true, .. } => {
                self.hearing.begun = Some(reply.clone());
                self.hearing.settled.clear();
                self.speaks(Floor::Interviewer);
            }
            VoiceEvent::PlaybackStarted { .. } => self.speaks(Floor::Interviewer),
            VoiceEvent::ReplySettled { item, text } if self.hearing.settled.len() < MOST_ITEMS => {
                self.hearing.settled.push((item.clone(), text.clone()));
            }
            VoiceEvent::ReplyDone { reply, outcome, texts, delivery, .. } => {
                let settled = std::mem::take(&mut self.hearing.settled);
                // What is written instead of spoken is heard by nobody.
                let counts = *outcome == ReplyOutcome::Completed && *delivery != Delivery::Text;
                let texts = if texts.is_empty() { &settled } else { texts };
                self.generated(reply, if counts { texts } else { &[] });
            }
            VoiceEvent::PlaybackEnded { reply } => {
                self.falls_silent(now);
                if let Some(generated) = self.is_played(reply, false) {
                    self.said(&generated);
                }
            }
            VoiceEvent::PlaybackCut { reply } => {
                self.falls_silent(now);
                self.is_played(reply, true);
            }
            VoiceEvent::ToolCalled { call, name, arguments, .. } => self.tool_called(call, name, arguments),
            _ => {}
        }
    }

    fn speaks(&mut self, floor: Floor) {
        self.hearing.floor = floor;
        self.hearing.has_spoken |= floor == Floor::Interviewer;
        if self.shown == Some(Shown::TakeYourTime) {
            self.show(Shown::Nothing);
        }
    }

    /// The interviewer says no more, or not after this; the candidate may speak already.
    fn falls_silent(&mut self, at: Moment) {
        if matches!(self.hearing.floor, Floor::Interviewer | Floor::Nobody { .. }) {
            self.hearing.floor = Floor::Nobody { since: at };
        }
    }

    // ---- the sideband ----

    /// Whoever was asked something may be silent since before: their time begins anew.
    pub(super) fn sideband_up(&mut self, said: Option<(&ItemId, &str)>) {
        self.hearing.has_spoken |= self.state.begun;
        self.hearing.missed_some |= self.state.begun;
        if self.hearing.floor == Floor::Unknown {
            self.hearing.floor = Floor::Nobody { since: self.now };
        }
        if let Some((item, text)) = said.filter(|(_, text)| self.is_unsaid() && is_said(self.text_here(), text)) {
            self.said(&Generated { reply: ReplyId::new(item.as_str()), item: Some(item.clone()), text: text.to_owned() });
        }
        // A page that was told by a process before us may show what holds no more.
        self.show_what_holds();
    }

    // ---- the candidate ----

    fn turn_is_over(&mut self, item: &ItemId) {
        self.said_before();
        let begun = self.hearing.speech.as_ref().filter(|(speech, _)| speech == item).map_or(self.now, |(_, at)| *at);
        self.remember_turn(item, begun);
    }

    fn remember_turn(&mut self, item: &ItemId, begun: Moment) {
        if self.hearing.turns.iter().any(|turn| turn.item == *item) {
            return;
        }
        self.hearing.turns.push_back(Turn { item: item.clone(), place: self.state.place, begun });
        if self.hearing.turns.len() > MOST_TURNS {
            self.hearing.turns.pop_front();
        }
        self.hearing.latest_turn = Some(item.clone());
    }

    /// A turn with its words. Unlike a voice it cuts nobody: what is being said is heard to its end all the same, and counts then.
    pub(super) fn typed(&mut self, item: &ItemId) {
        self.remember_turn(item, self.now);
        self.hearing.typed.push_back(item.clone());
        if self.hearing.typed.len() > MOST_TURNS {
            self.hearing.typed.pop_front();
        }
        if self.shown == Some(Shown::TakeYourTime) {
            self.show(Shown::Nothing);
        }
    }

    pub(super) fn settle_typed(&mut self) {
        if self.hearing.typed.is_empty() || self.hearing.may_be_saying_something(self.now) {
            return;
        }
        // Whoever has written was not silent.
        self.hearing.begin_silence_anew(self.now);
        for item in std::mem::take(&mut self.hearing.typed) {
            self.settled(&item, true);
        }
    }

    /// The words of a turn are known, or will never be.
    pub(super) fn settled(&mut self, item: &ItemId, has_words: bool) {
        let turn = self.hearing.take_turn(item);
        if !has_words {
            return;
        }
        let turn = turn.unwrap_or_else(|| Turn { item: item.clone(), place: self.state.place, begun: self.now });
        self.hearing.last_words = Some(item.clone());
        self.hearing.latest_turn.get_or_insert_with(|| item.clone());
        // What was said before a pause asked for it.
        let before_pause = self.state.pause.is_some_and(|pause| turn.begun < pause.since);
        if before_pause || self.hearing.requests.contains(item) {
            return;
        }
        self.resume();
        let Place::Question(at) = turn.place else { return };
        let progress = &self.state.questions[at];
        if progress.asked.is_none() || progress.answers.contains(item) {
            return;
        }
        let question = self.script.questions[at].id.clone();
        self.record(Event::Answered { question, item: item.clone() });
        if self.state.place == turn.place {
            self.answer_is_complete(at);
        }
    }

    /// The turn before asked for something, and answered nothing.
    pub(super) fn was_a_request(&mut self) {
        let Some(item) = self.hearing.latest_turn.take() else { return };
        self.hearing.take_turn(&item);
        let answered = self.state.questions.iter().position(|progress| progress.answers.contains(&item));
        self.hearing.requests.remember(item.clone());
        if let Some(at) = answered {
            let question = self.script.questions[at].id.clone();
            self.record(Event::NoAnswer { question, item });
        }
    }

    // ---- the interviewer ----

    /// Whoever answers has heard what was said before, unless they cut it.
    fn said_before(&mut self) {
        while let Some(generated) = self.hearing.generated.pop_front() {
            self.said(&generated);
        }
    }

    fn generated(&mut self, reply: &ReplyId, texts: &[(ItemId, String)]) {
        let text = texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" ");
        if text.trim().is_empty() {
            // Only a tool was called, or nothing came of it.
            return self.falls_silent(self.now);
        }
        let item = texts.last().map(|(item, _)| item.clone());
        let generated = Generated { reply: reply.clone(), item, text };
        match self.hearing.played.take_if(|(played, _)| played == reply) {
            Some((_, true)) => return,
            Some((_, false)) => return self.said(&generated),
            None => {}
        }
        // Of one that began before our sideband was there, the end of its playback may have been told before as well.
        let letters = u32::try_from(generated.text.chars().count()).unwrap_or(u32::MAX);
        let is_whole = self.hearing.begun.as_ref() == Some(reply);
        let lasts = if is_whole { LONGEST_PLAYBACK } else { LONGEST_PLAYBACK.min(SPOKEN_LETTER.saturating_mul(letters)) };
        self.falls_silent(self.now + lasts);
        self.hearing.generated.push_back(generated);
        if self.hearing.generated.len() > KEPT_REPLIES {
            self.hearing.generated.pop_front();
        }
    }

    fn is_played(&mut self, reply: &ReplyId, cut: bool) -> Option<Generated> {
        let generated = self.hearing.take(reply);
        if generated.is_none() {
            self.hearing.played = Some((reply.clone(), cut));
        }
        generated
    }

    /// The interviewer was heard to the end of this.
    fn said(&mut self, generated: &Generated) {
        let Generated { item: Some(item), text, .. } = generated else { return };
        let before = self.state.recorded;
        self.hearing.latest_turn = None;
        self.hearing.asked_something = ends_with_question(text);
        if !self.state.opened && (self.script.opening.is_empty() || is_said(&self.script.opening, text)) {
            self.record(Event::Opened { item: item.clone() });
        }
        if self.is_unsaid() {
            if let Some(verbatim) = self.counts_as_said(text) {
                self.words_are_said(item, verbatim);
            }
        } else if let Some((at, progress)) = self.current() {
            let used = |probe: &&ScriptProbe| !progress.probes_used.contains(&probe.id) && is_said(&probe.text, text);
            let question = &self.script.questions[at];
            if let Some(probe) = question.probes.iter().find(used) {
                let (question, probe) = (question.id.clone(), probe.id.clone());
                self.record(Event::Probed { question, probe, item: item.clone() });
            }
        }
        if self.state.recorded != before {
            self.commands.push(Command::Instruct);
        }
    }

    fn words_are_said(&mut self, item: &ItemId, verbatim: bool) {
        let item = item.clone();
        match self.state.place {
            Place::Question(at) => {
                let question = self.script.questions[at].id.clone();
                self.record(Event::Asked { question, item, verbatim });
            }
            Place::CandidateQuestions => self.record(Event::Invited { item }),
            Place::Closing => {
                self.record(Event::Closed { item });
                self.end();
            }
        }
    }

    /// The words of this place were not heard yet.
    pub(super) fn is_unsaid(&self) -> bool {
        match self.state.place {
            Place::Question(at) => self.state.questions[at].asked.is_none(),
            Place::CandidateQuestions => !self.state.invited,
            Place::Closing => !self.state.closed,
        }
    }

    /// Whether the words of this place were said, and as they are written. When the interviewer goes on without them again and
    /// again, the interview does too, and the record shows it.
    fn counts_as_said(&mut self, text: &str) -> Option<bool> {
        if is_said(self.text_here(), text) {
            return Some(true);
        }
        self.hearing.replies_without_words += 1;
        (self.hearing.replies_without_words >= UNTIL_TAKEN).then_some(false)
    }

    /// By its name in the record.
    pub(super) fn spot(&self, place: Place) -> Spot {
        match place {
            Place::Question(at) => Spot::Question(self.script.questions[at].id.clone()),
            Place::CandidateQuestions => Spot::CandidateQuestions,
            Place::Closing => Spot::Closing,
        }
    }
}

fn ends_with_question(text: &str) -> bool {
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '”' | '»' | '」'));
    text.ends_with(['?', '？', '؟', ';'])
}
