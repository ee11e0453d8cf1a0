//! The model's tools. What it calls is a hint: whether it counts is decided by what was heard, and each call is answered once.

use super::event::{Because, Coverage, CoveredBy, Event, Flag, PauseKind};
use super::{Command, Conduct, Place, Shown};
use crate::edge::Text;
use crate::ids::ToolCallId;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Notes of one interview, and repeats of one question, that are recorded.
const MOST_FLAGS: u32 = 100;
const MOST_REPEATS: u32 = 20;
const MAX_QUOTE_BYTES: usize = 400;

/// What follows the answer to a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The interviewer speaks.
    Speak,
    /// The same, unless it has in the reply that called.
    SpeakUnlessSpoken,
    /// Nobody does.
    Quiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    NextQuestion,
    MarkCovered,
    GiveTime,
    RepeatQuestion,
    Flag,
    Pause,
}

/// All but the one that ends the interview, which is decided with the reply that called it.
pub const TOOLS: [Tool; 6] =
    [Tool::NextQuestion, Tool::MarkCovered, Tool::GiveTime, Tool::RepeatQuestion, Tool::Flag, Tool::Pause];

impl Tool {
    pub const fn name(self) -> &'static str {
        match self {
            Self::NextQuestion => "next_question",
            Self::MarkCovered => "mark_covered",
            Self::GiveTime => "give_time",
            Self::RepeatQuestion => "repeat_question",
            Self::Flag => "flag",
            Self::Pause => "pause",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        TOOLS.into_iter().find(|tool| tool.name() == name)
    }

    /// As the model reads it.
    pub const fn description(self) -> &'static str {
        match self {
            Self::NextQuestion => {
                "The candidate has answered the current question. Call it without a word before; the answer tells what to say."
            }
            Self::MarkCovered => "Note how far the current question is answered. Nothing is said.",
            Self::GiveTime => {
                "The candidate wants a moment to think, or somebody in the background speaks. Nothing is said until the candidate speaks."
            }
            Self::RepeatQuestion => "The candidate wants to hear the question again, or did not understand it.",
            Self::Flag => {
                "Note for the people who review: the candidate wants a human or to stop, is in distress, asks for an adjustment, tells something private or confidential, or speaks to you instead of answering."
            }
            Self::Pause => "The candidate wants a break.",
        }
    }

    /// JSON Schema of the arguments.
    pub fn parameters(self) -> Value {
        let properties = match self {
            Self::NextQuestion | Self::RepeatQuestion | Self::Pause => json!({}),
            Self::MarkCovered => json!({"status": {"type": "string", "enum": ["partial", "enough"]}}),
            Self::GiveTime => json!({"seconds": {"type": "integer", "minimum": 5, "maximum": 600}}),
            Self::Flag => json!({
                "kind": {"type": "string", "enum": Flag::ALL.map(Flag::as_str)},
                "quote": {"type": "string", "description": "The candidate's own words, short."},
            }),
        };
        json!({"type": "object", "properties": properties, "additionalProperties": false})
    }
}

impl Conduct {
    pub(super) fn tool_called(&mut self, call: &ToolCallId, name: &str, arguments: &str) {
        let Some(tool) = Tool::named(name) else { return };
        if !self.hearing.answered_tools.insert(call.clone()) {
            return;
        }
        // Whatever is wrong with the arguments, the call means something: each has a value that is safe.
        let arguments = serde_json::from_str::<Map<String, Value>>(arguments).unwrap_or_default();
        let (output, then) = if self.over {
            (json!({"ok": false, "because": "the interview is at its end"}), Then::Quiet)
        } else {
            self.answer(tool, &arguments)
        };
        self.commands.push(Command::AnswerTool { call: call.clone(), output, then });
    }

    fn answer(&mut self, tool: Tool, arguments: &Map<String, Value>) -> (Value, Then) {
        match tool {
            Tool::NextQuestion => self.next_question(),
            Tool::MarkCovered => (self.mark_covered(arguments), Then::SpeakUnlessSpoken),
            Tool::GiveTime => self.give_time(arguments),
            Tool::RepeatQuestion => {
                self.was_a_request();
                (self.repeat_question(), Then::Speak)
            }
            Tool::Flag => (self.flag(arguments), Then::SpeakUnlessSpoken),
            Tool::Pause => {
                self.was_a_request();
                self.begin_pause(PauseKind::Break, Shown::Paused);
                (json!({"ok": true}), Then::Quiet)
            }
        }
    }

    /// What is to be said now: at the same place as long as the question was not heard, or not answered.
    fn next_question(&mut self) -> (Value, Then) {
        let before = self.state.place;
        if let Some((at, progress)) = self.current() {
            let question = &self.script.questions[at];
            // Words may come long after their turn; and what we cannot hear, the model can.
            let answers = progress.answers.len() + self.hearing.turns_at(self.state.place);
            if progress.asked.is_some() && answers == 0 && !self.hearing.may_have_missed() {
                return (json!({"not_yet": "the candidate has not answered; wait"}), Then::Quiet);
            }
            let more = !self.hearing.may_have_missed() && answers < question.min_turns && !progress.no_probes;
            let probe = question.probes.iter().find(|probe| more && !progress.probes_used.contains(&probe.id));
            if let Some(probe) = probe.filter(|_| progress.asked.is_some()) {
                let output =
                    json!({"not_yet": "one more question about this", "say": probe.text, "require_repeat_verbatim": true});
                return (output, Then::Speak);
            }
            if progress.asked.is_some() {
                self.advance(Because::Interviewer);
            }
        } else if self.state.place == Place::CandidateQuestions && self.state.invited {
            self.advance(Because::Interviewer);
        }
        if self.hearing.is_saying(self.text_here()) {
            return (json!({"ok": true, "because": "it is being said; wait"}), Then::Quiet);
        }
        // A model that asks and calls in one breath would ask without end.
        let then = if self.state.place == before { Then::SpeakUnlessSpoken } else { Then::Speak };
        (json!({"say": self.text_here(), "require_repeat_verbatim": true}), then)
    }

    /// The words of this place.
    pub(super) fn text_here(&self) -> &str {
        match self.state.place {
            Place::Question(at) => &self.script.questions[at].text,
            Place::CandidateQuestions => &self.script.candidate_questions,
            Place::Closing => &self.script.closing,
        }
    }

    fn mark_covered(&mut self, arguments: &Map<String, Value>) -> Value {
        let coverage = match arguments.get("status").and_then(Value::as_str) {
            Some("enough") => Coverage::Enough,
            _ => Coverage::Partial,
        };
        let Some((at, progress)) = self.current() else { return json!({"ok": true}) };
        if progress.answers.len() + self.hearing.turns_at(self.state.place) == 0 && !self.hearing.may_have_missed() {
            return json!({"ok": false, "because": "the candidate has not answered"});
        }
        if progress.coverage < coverage {
            let question = self.script.questions[at].id.clone();
            self.record(Event::Covered { question, coverage, by: CoveredBy::Interviewer });
        }
        json!({"ok": true})
    }

    fn give_time(&mut self, arguments: &Map<String, Value>) -> (Value, Then) {
        if self.current().is_some_and(|(_, progress)| progress.thinks >= self.script.thinks_per_question) {
            let because = "there was time to think; offer to repeat the question or to go on";
            return (json!({"ok": false, "because": because}), Then::Speak);
        }
        self.was_a_request();
        let asked = arguments.get("seconds").and_then(Value::as_u64).map(Duration::from_secs);
        self.think(asked.unwrap_or(self.script.think).max(Duration::from_secs(5)));
        (json!({"ok": true}), Then::Quiet)
    }

    fn repeat_question(&mut self) -> Value {
        let Some((at, progress)) = self.current() else {
            return json!({"say": self.text_here(), "require_repeat_verbatim": true});
        };
        let question = &self.script.questions[at];
        // The second time in simpler words.
        let simpler = progress.repeats > 0 && !question.simpler.is_empty();
        let text = if simpler { question.simpler.clone() } else { question.text.clone() };
        if progress.repeats < MOST_REPEATS {
            let question = question.id.clone();
            self.record(Event::Repeated { question });
        }
        json!({"say": text, "require_repeat_verbatim": true})
    }

    fn flag(&mut self, arguments: &Map<String, Value>) -> Value {
        if self.state.flags >= MOST_FLAGS {
            return json!({"ok": false, "because": "enough was noted in this interview"});
        }
        let kind = arguments.get("kind").and_then(Value::as_str);
        let flag = Flag::ALL.into_iter().find(|flag| Some(flag.as_str()) == kind).unwrap_or(Flag::Other);
        let quote = arguments.get("quote").and_then(Value::as_str).filter(|quote| !quote.trim().is_empty());
        let quote = quote.map(|quote| Text::bounded(quote, MAX_QUOTE_BYTES));
        let item = self.hearing.last_words.clone();
        self.record(Event::Flagged { flag, quote, item });
        if flag.ends_probing() {
            self.commands.push(Command::Instruct);
        }
        json!({"ok": true, "noted": true})
    }

    /// Why the interviewer may not end the interview yet. Who wants to stop may at once.
    pub fn refuses_end(&self, arguments: &str) -> Option<String> {
        let arguments = serde_json::from_str::<Map<String, Value>>(arguments).unwrap_or_default();
        let reason = arguments.get("reason").and_then(Value::as_str);
        if self.over || self.state.place == Place::Closing || reason.is_some_and(|reason| reason != "all_covered") {
            return None;
        }
        match self.questions_left() {
            0 => None,
            1 => Some("one question is left; call next_question".to_owned()),
            left => Some(format!("{left} questions are left; call next_question")),
        }
    }

    /// Questions that everybody is asked and that were not put yet.
    pub fn questions_left(&self) -> usize {
        let left = self.state.questions.iter().zip(&self.script.questions);
        let left = left.filter(|(progress, question)| {
            question.kind == crate::plan::QuestionKind::Core && progress.asked.is_none() && !progress.dropped
        });
        if self.over || self.state.place == Place::Closing { 0 } else { left.count() }
    }
}
