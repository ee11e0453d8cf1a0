//! The model's tool calls: each is answered once, within a second, and the conversation goes on.

use super::state::{Active, EndCall, PendingEnd, Wish};
use super::trouble::MOST_FAILURES;
use super::{Command, LONGEST_PLAYBACK, PLAYED_WITHIN, Purpose, Replies, TOOL_ANSWERED_WITHIN, Trouble};
use crate::conduct::Then;
use crate::ids::{ReplyId, ToolCallId};
use serde_json::{Value, json};

/// The model's way to say that the interview is over.
pub const END_INTERVIEW: &str = "end_interview";

impl Replies {
    pub(super) fn tool_called(&mut self, reply: Option<&ReplyId>, call: &ToolCallId, name: &str, arguments: &str) {
        if !self.answered.insert(call.clone()) {
            return;
        }
        let now = self.now;
        let of_active = |active: &&mut Active| reply.is_none_or(|reply| active.id == *reply);
        if let Some(active) = self.active.as_mut().filter(of_active) {
            (active.called_tool, active.progress) = (true, now);
        }
        if name != END_INTERVIEW {
            return self.refuse_tool(
                reply,
                call,
                json!({"error": format!("there is no tool {name:?}"), "tools": [END_INTERVIEW]}),
            );
        }
        if !is_object(arguments) {
            return self.refuse_tool(reply, call, json!({"error": "the arguments are no JSON object; call it again"}));
        }
        if !self.ending.is_no() {
            return self.answer_tool(call, json!({"ok": true}));
        }
        if let Some(because) = self.too_early() {
            return self.refuse_tool(reply, call, json!({"ok": false, "not_yet": because}));
        }
        if self.active.as_ref().is_some_and(|active| reply.is_none_or(|reply| active.id == *reply) && active.end_call.is_some()) {
            // Once more in one reply.
            return self.answer_tool(call, json!({"ok": true}));
        }
        if let Some(active) = self.active.as_mut().filter(of_active) {
            active.end_call = Some(EndCall { call: call.clone(), answered_by: Some(now + TOOL_ANSWERED_WITHIN) });
            return;
        }
        // It comes after its reply's end.
        let finished = self.finished.as_ref().filter(|finished| reply.is_none_or(|reply| finished.reply == *reply));
        match finished.map(|finished| (finished.reply.clone(), finished.completed, finished.spoke)) {
            Some((reply, true, spoke)) => {
                self.answer_tool(call, json!({"ok": true}));
                self.end_after(&reply, spoke);
            }
            _ => self.answer_tool(call, json!({"ok": false, "because": "the reply was not finished"})),
        }
    }

    /// Why the interviewer may not end the interview yet.
    pub(super) fn too_early(&self) -> Option<String> {
        let Self { rules, turns, .. } = self;
        let early = *turns < rules.min_turns && self.elapsed() < rules.min_duration;
        early.then(|| {
            format!("the candidate has answered {turns} times; ask on until they have answered {} times", rules.min_turns)
        })
    }

    fn answer_tool(&mut self, call: &ToolCallId, output: Value) {
        self.commands.push(Command::AnswerTool { call: call.clone(), output });
    }

    /// Somebody else knows the tool.
    pub(super) fn tool_answered(&mut self, reply: Option<&ReplyId>, call: &ToolCallId, output: Value, then: Then) {
        if !self.answered.insert(call.clone()) {
            return;
        }
        self.word_for_word |= output["require_repeat_verbatim"] == true;
        self.answer_tool(call, output);
        let now = self.now;
        if let Some(active) = self.active.as_mut().filter(|active| reply.is_none_or(|reply| active.id == *reply)) {
            (active.called_tool, active.progress) = (true, now);
            active.needs_reply |= then == Then::Speak;
            active.needs_words |= then == Then::SpeakUnlessSpoken;
            return;
        }
        // It comes after its reply's end.
        let spoken = self.finished.as_ref().is_some_and(|finished| reply == Some(&finished.reply) && finished.spoke);
        if then == Then::Speak || then == Then::SpeakUnlessSpoken && !spoken {
            self.go_on();
        }
    }

    /// It leads nowhere; the interviewer has to go on.
    fn refuse_tool(&mut self, reply: Option<&ReplyId>, call: &ToolCallId, output: Value) {
        self.answer_tool(call, output);
        match &mut self.active {
            Some(active) if reply.is_none_or(|reply| active.id == *reply) => active.needs_reply = true,
            _ => self.go_on(),
        }
    }

    fn go_on(&mut self) {
        if self.ending.is_no() && self.wish.is_none() && self.owed.is_none() {
            self.wish(Wish::new(Purpose::Tool, self.now));
        }
    }

    /// Another reply begins: the end of the one before was not heard.
    pub(super) fn end_of_active_was_missed(&mut self) {
        if let Some(EndCall { call, answered_by: Some(_) }) = self.active.take().and_then(|active| active.end_call) {
            self.answer_tool(&call, json!({"ok": false, "because": "the reply was not heard to its end; the interview goes on"}));
        }
    }

    /// Its reply takes longer than a tool may wait.
    pub(super) fn answer_end_call_before_its_reply_is_done(&mut self) {
        let Some(end) = self.active.as_mut().and_then(|active| active.end_call.as_mut()) else { return };
        end.answered_by = None;
        let call = end.call.clone();
        self.answer_tool(&call, json!({"ok": true, "when": "this reply has been heard, unless the candidate speaks"}));
    }

    /// The reply is done: what its tools asked for is decided.
    pub(super) fn after_tools(&mut self, active: &Active, completed: bool) {
        if let Some(EndCall { call, answered_by }) = &active.end_call {
            if answered_by.is_some() {
                let output = if completed {
                    json!({"ok": true})
                } else {
                    json!({"ok": false, "because": "the reply was not finished; the interview goes on"})
                };
                self.answer_tool(call, output);
            }
            if completed && self.ending.is_no() {
                self.end_after(&active.id, active.spoke);
            }
        } else if (active.needs_reply || active.needs_words && !active.spoke) && completed {
            // A model that calls nothing but tools is not asked for ever.
            self.failures += u32::from(!active.spoke);
            if self.failures > MOST_FAILURES {
                return self.renew(Trouble::ReplyEmpty);
            }
            self.go_on();
        }
    }

    /// The interview ends when this has been heard: whoever speaks before has not been heard out.
    fn end_after(&mut self, reply: &ReplyId, spoke: bool) {
        let typed_over = self.wish.as_ref().is_some_and(|wish| wish.unheard_by.as_ref() == Some(reply));
        if !self.ending.is_no() || self.floor.is_taken() || typed_over {
            return;
        }
        if !spoke {
            // Nothing was said: the goodbye is still to come.
            self.goodbye_due = true;
            return self.end_by_interviewer();
        }
        let is_playing = self.playing.as_ref() == Some(reply);
        let by = self.now + if is_playing { LONGEST_PLAYBACK } else { PLAYED_WITHIN };
        self.pending_end = Some(PendingEnd { reply: reply.clone(), by });
    }

    pub(super) fn end_is_played(&mut self, reply: &ReplyId) {
        if let Some(end) = self.pending_end.as_mut().filter(|end| end.reply == *reply) {
            end.by = self.now + LONGEST_PLAYBACK;
        }
    }

    /// It was not heard to begin, or to end.
    pub(super) fn end_counts(&mut self) {
        if self.pending_end.take().is_some() {
            self.end_by_interviewer();
        }
    }

    pub(super) fn end_by_interviewer(&mut self) {
        self.commands.push(Command::EndInterview);
    }

    /// Nobody has said anything since the interviewer parted. While questions are left it is told so once: a candidate who wants to
    /// stop is not kept.
    pub(super) fn farewell_stands(&mut self) {
        self.farewell = None;
        let questions_left = self.questions_left && !std::mem::replace(&mut self.parted_early, true);
        if self.too_early().is_none() && !questions_left {
            self.end_by_interviewer();
        } else if self.wish.is_none() {
            self.wish(Wish::new(Purpose::Nudge, self.now));
        }
    }
}

/// The tool takes no arguments that are needed; none at all is as good.
fn is_object(arguments: &str) -> bool {
    arguments.trim().is_empty() || serde_json::from_str::<serde_json::Map<String, Value>>(arguments).is_ok()
}
