//! What is heard of a question: the words of a reply count when it was generated to its end and played to its end.

use super::event::{Event, Spot};
use super::instructions::Prompt;
use super::{Conduct, Moment, Place, Shown, is_said};
use crate::ids::{ItemId, ReplyId};
use crate::voice::{ItemContent, ReplyOutcome, VoiceEvent};
use std::collections::VecDeque;

/// Replies that were generated and may still be played.
const KEPT_REPLIES: usize = 4;
/// Items of one reply.
const MOST_ITEMS: usize = 16;
/// Replies without the question that is to be asked, until the interviewer is asked to put it, and until it counts as asked
/// in other words.
const UNTIL_PROMPTED: u32 = 1;
const UNTIL_TAKEN: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Hearing {
    generated: VecDeque<Generated>,
    /// Words of the reply that is being generated, for a provider that does not tell them again at its end.
    settled: Vec<(ItemId, String)>,
    /// Since when nobody speaks, after the interviewer has.
    pub(super) quiet_since: Option<Moment>,
    /// The candidate's last words.
    pub(super) last_words: Option<ItemId>,
    /// Replies that were heard in a row at this place without its question.
    pub(super) replies_without_question: u32,
    pub(super) answered_tools: VecDeque<crate::ids::ToolCallId>,
}

#[derive(Debug)]
struct Generated {
    reply: ReplyId,
    item: Option<ItemId>,
    text: String,
}

impl Hearing {
    fn take(&mut self, reply: &ReplyId) -> Option<Generated> {
        let at = self.generated.iter().position(|generated| generated.reply == *reply)?;
        self.generated.remove(at)
    }
}

impl Conduct {
    pub(super) fn heard(&mut self, event: &VoiceEvent) {
        match event {
            VoiceEvent::SpeechStarted { .. } => {
                self.hearing.quiet_since = None;
                if self.shown == Shown::TakeYourTime {
                    self.show(Shown::Nothing);
                }
            }
            // A cough is no answer.
            VoiceEvent::SpeechStopped { .. } => self.hearing.quiet_since = Some(self.now),
            VoiceEvent::ItemPlaced { content: ItemContent::Committed, .. } => self.said_before(),
            VoiceEvent::CandidateSettled { item, text } if !text.trim().is_empty() => {
                self.said_before();
                self.hearing.last_words = Some(item.clone());
                self.answered(item);
            }
            VoiceEvent::CandidateFailed { item } => self.answered(item),
            VoiceEvent::ReplyStarted { in_conversation: true, .. } => {
                self.hearing.quiet_since = None;
                self.hearing.settled.clear();
            }
            VoiceEvent::ReplySettled { item, text } if self.hearing.settled.len() < MOST_ITEMS => {
                self.hearing.settled.push((item.clone(), text.clone()));
            }
            VoiceEvent::ReplyDone { reply, outcome: ReplyOutcome::Completed, texts, .. } => {
                let settled = std::mem::take(&mut self.hearing.settled);
                self.generated(reply, if texts.is_empty() { &settled } else { texts });
            }
            VoiceEvent::PlaybackEnded { reply } => {
                self.hearing.quiet_since = Some(self.now);
                if let Some(generated) = self.hearing.take(reply) {
                    self.said(&generated);
                }
            }
            VoiceEvent::PlaybackCut { reply } => {
                self.hearing.take(reply);
            }
            VoiceEvent::ToolCalled { call, name, arguments, .. } => self.tool_called(call, name, arguments),
            _ => {}
        }
    }

    /// Whoever answers has heard what was said before, unless they cut it.
    fn said_before(&mut self) {
        while let Some(generated) = self.hearing.generated.pop_front() {
            self.said(&generated);
        }
    }

    fn generated(&mut self, reply: &ReplyId, texts: &[(ItemId, String)]) {
        let text = texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" ");
        if text.trim().is_empty() {
            // Only a tool was called: nobody speaks.
            self.hearing.quiet_since = Some(self.now);
            return;
        }
        let item = texts.last().map(|(item, _)| item.clone());
        self.hearing.generated.push_back(Generated { reply: reply.clone(), item, text });
        if self.hearing.generated.len() > KEPT_REPLIES {
            self.hearing.generated.pop_front();
        }
    }

    /// The interviewer was heard to the end of this.
    fn said(&mut self, generated: &Generated) {
        let Generated { item: Some(item), text, .. } = generated else { return };
        let before = self.state.recorded;
        if !self.state.opened && (self.script.opening.is_empty() || is_said(&self.script.opening, text)) {
            self.record(Event::Opened { item: item.clone() });
        }
        match self.state.place {
            Place::Question(at) => self.said_at_question(at, item, text),
            Place::CandidateQuestions if !self.state.invited => {
                if self.counts_as_said(&self.script.candidate_questions.clone(), text).is_some() {
                    self.record(Event::Invited { item: item.clone() });
                }
            }
            Place::Closing if !self.state.closed => {
                if self.counts_as_said(&self.script.closing.clone(), text).is_some() {
                    self.record(Event::Closed { item: item.clone() });
                    self.end();
                }
            }
            Place::CandidateQuestions | Place::Closing => {}
        }
        if self.state.recorded != before {
            self.commands.push(super::Command::Instruct);
        }
    }

    fn said_at_question(&mut self, at: usize, item: &ItemId, text: &str) {
        let (question, progress) = (&self.script.questions[at], &self.state.questions[at]);
        let id = question.id.clone();
        if progress.asked.is_none() {
            if let Some(verbatim) = self.counts_as_said(&question.text.clone(), text) {
                self.record(Event::Asked { question: id, item: item.clone(), verbatim });
            }
            return;
        }
        let used = |probe: &&super::ScriptProbe| !progress.probes_used.contains(&probe.id) && is_said(&probe.text, text);
        if let Some(probe) = question.probes.iter().find(used) {
            let probe = probe.id.clone();
            self.record(Event::Probed { question: id, probe, item: item.clone() });
        }
    }

    /// Whether what was to be said here was, and in its words. An interviewer that does not say it is asked to, once; when it
    /// goes on without, the interview does too, and the record shows it.
    fn counts_as_said(&mut self, wanted: &str, text: &str) -> Option<bool> {
        if is_said(wanted, text) {
            self.hearing.replies_without_question = 0;
            return Some(true);
        }
        self.hearing.replies_without_question += 1;
        match self.hearing.replies_without_question {
            UNTIL_TAKEN.. => {
                self.hearing.replies_without_question = 0;
                return Some(false);
            }
            // Whoever was asked something else answers that first.
            UNTIL_PROMPTED.. if !ends_with_question(text) => self.prompt(Prompt::Say),
            _ => {}
        }
        None
    }
}

fn ends_with_question(text: &str) -> bool {
    text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '”' | '»' | '」')).ends_with(['?', '？', '؟', ';'])
}

impl Conduct {
    /// By its name in the record.
    pub(super) fn spot(&self, place: Place) -> Spot {
        match place {
            Place::Question(at) => Spot::Question(self.script.questions[at].id.clone()),
            Place::CandidateQuestions => Spot::CandidateQuestions,
            Place::Closing => Spot::Closing,
        }
    }
}
