//! The AI's side: a response is generated step by step, faster than it is played.

use std::time::Duration;

use serde_json::{Value, json};

use super::conversation::{Item, Place};
use super::interview::{END_TOOL, Prompt, end_arguments};
use super::obey::{Act, NEXT_TOOL, act};
use super::response::{Content, Part, PartProgress, Run, Step, item_value, place, plan, remove};
use super::{Due, Interviewer, Output};
use crate::openai::problem::Problem;
use crate::openai::script::Line;

/// Speech on its way to the candidate's ear.
#[derive(Debug)]
pub(super) struct Playback {
    response: String,
    item: String,
    starts: Duration,
    ends: Duration,
    pub(super) started: bool,
}

/// Why a response ends before it is complete.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    TurnDetected,
    ClientCancelled,
}

impl Interviewer {
    pub(super) fn has_active_response(&self) -> bool {
        self.runs.iter().any(|run| run.in_conversation)
    }

    /// `response.create`, already checked.
    pub(super) fn create_response(&mut self, params: &Value) -> Result<(), Problem> {
        if params["conversation"] == "none" {
            self.respond_out_of_band(params);
            return Ok(());
        }
        if let Some(active) = self.runs.iter().find(|run| run.in_conversation) {
            let message = format!(
                "Conversation already has an active response in progress: {}. Wait until the response is finished before creating a new one.",
                active.id
            );
            return Err(Problem::invalid("conversation_already_has_active_response", message));
        }
        let instructions = params["instructions"].as_str().unwrap_or_default();
        self.respond(Prompt::Asked { instructions }, params);
        Ok(())
    }

    /// Begins to say what the script has next.
    pub(super) fn respond(&mut self, prompt: Prompt<'_>, params: &Value) {
        if self.is_led() {
            return self.follow_instructions(prompt, params);
        }
        let utterance = self.progress.next(&self.script, prompt);
        let call = utterance.ends.then(|| self.end_call(params)).flatten();
        // A message before a tool call is a preamble, in the vendor's terms.
        let commentary = call.is_some();
        let mut parts = vec![self.message(utterance.line, commentary)];
        let mut arguments = None;
        if let Some(text) = call {
            let item = self.ids.next("item_");
            let id = self.ids.call();
            arguments = Some(text);
            let content = Content::Call { id, name: END_TOOL };
            parts.push(Part { item, previous: None, content, said: String::new(), progress: PartProgress::Planned });
        }
        self.start_run(parts, arguments.as_deref(), true, utterance.ends, params);
    }

    /// The session declares the tool by which its interviewer asks what comes next.
    fn is_led(&self) -> bool {
        self.session.value()["tools"].as_array().is_some_and(|tools| tools.iter().any(|tool| tool["name"] == NEXT_TOOL))
    }

    /// Says what the session tells it to.
    fn follow_instructions(&mut self, prompt: Prompt<'_>, params: &Value) {
        let note = if matches!(prompt, Prompt::Asked { .. }) { self.progress.take_note() } else { String::new() };
        let last = self.conversation.items().last().map(|item| &item.value);
        let answer = last.filter(|item| item["type"] == "function_call_output").and_then(|item| item["output"].as_str());
        let answer = answer.and_then(|output| serde_json::from_str::<Value>(output).ok());
        let instructions = self.session.value()["instructions"].as_str().unwrap_or_default();
        let part = match act(instructions, &note, answer.as_ref()) {
            Act::Say(text) => {
                self.progress.was_told_to_ask();
                let line = self.script.spoken(text);
                self.message(line, false)
            }
            Act::AskNext => {
                let content = Content::Call { id: self.ids.call(), name: NEXT_TOOL };
                let item = self.ids.next("item_");
                Part { item, previous: None, content, said: String::new(), progress: PartProgress::Planned }
            }
            Act::Nothing => self.message(self.script.listening.clone(), false),
        };
        let arguments = matches!(part.content, Content::Call { .. }).then_some("{}");
        self.start_run(vec![part], arguments, true, false, params);
    }

    fn respond_out_of_band(&mut self, params: &Value) {
        let line = Line { text: "Noted.".to_owned(), ..Line::default() };
        let part = self.message(line, false);
        self.start_run(vec![part], None, false, false, params);
    }

    fn message(&mut self, mut line: Line, commentary: bool) -> Part {
        if let Some(longest) = self.script.speed.longest_clip {
            line.clip = line.clip.shortened(longest);
        }
        Part {
            item: self.ids.next("item_"),
            previous: None,
            content: Content::Message { line, commentary },
            said: String::new(),
            progress: PartProgress::Planned,
        }
    }

    /// The arguments for the closing tool, if the session (or this response) declares it.
    fn end_call(&self, params: &Value) -> Option<String> {
        let pick = |field: &str| {
            let own = params.get(field).filter(|value| !value.is_null());
            own.unwrap_or(&self.session.value()[field]).clone()
        };
        if pick("tool_choice") == "none" {
            return None;
        }
        let tools = pick("tools");
        let tool = tools.as_array()?.iter().find(|tool| tool["name"] == END_TOOL)?;
        Some(end_arguments(&tool["parameters"]).to_string())
    }

    fn start_run(&mut self, parts: Vec<Part>, arguments: Option<&str>, in_conversation: bool, ends: bool, params: &Value) {
        let speaks = match params["output_modalities"][0].as_str() {
            Some(modality) => modality == "audio",
            None => self.session.speaks(),
        };
        let max_output_tokens = params.get("max_output_tokens").unwrap_or(&self.session.value()["max_output_tokens"]).clone();
        let run = Run {
            id: self.ids.next("resp_"),
            in_conversation,
            speaks,
            metadata: params["metadata"].clone(),
            max_output_tokens,
            steps: plan(&parts, arguments, speaks),
            parts,
            ends_interview: ends,
        };
        let response = self.response_object(&run, "in_progress", Value::Null, Value::Null);
        self.emit("response.created", json!({ "response": response }));
        self.timers.add(self.now + self.script.speed.think, Due::Generate { response: run.id.clone() });
        self.runs.push(run);
    }

    /// Takes the next steps of a response, up to the next pause.
    pub(super) fn generate(&mut self, response: &str) {
        while let Some(index) = self.runs.iter().position(|run| run.id == response) {
            let Some(step) = self.runs[index].steps.pop_front() else { return };
            let pause = match step {
                Step::Words(..) => self.script.speed.per_word,
                _ => Duration::ZERO,
            };
            // A response that ends is taken out of the list, so it is moved while it works.
            let mut run = self.runs.remove(index);
            let finished = matches!(step, Step::Finish);
            self.take_step(&mut run, step);
            if finished {
                return;
            }
            self.runs.insert(index, run);
            if pause > Duration::ZERO {
                self.timers.add(self.now + pause, Due::Generate { response: response.to_owned() });
                return;
            }
        }
    }

    fn take_step(&mut self, run: &mut Run, step: Step) {
        match step {
            Step::Added(index) => self.item_added(run, index),
            Step::Open(index) => {
                run.parts[index].progress = PartProgress::Open;
                let kind = if run.speaks { "audio" } else { "text" };
                let words = if run.speaks { "transcript" } else { "text" };
                let mut fields = place(run, index);
                fields["part"] = json!({ "type": kind, words: "" });
                self.emit("response.content_part.added", fields);
            }
            Step::Words(index, words) => {
                let mut fields = place(run, index);
                let kind = match &run.parts[index].content {
                    Content::Call { id, .. } => {
                        fields["call_id"] = id.as_str().into();
                        remove(&mut fields, "content_index");
                        "response.function_call_arguments.delta"
                    }
                    Content::Message { .. } if run.speaks => "response.output_audio_transcript.delta",
                    Content::Message { .. } => "response.output_text.delta",
                };
                run.parts[index].progress = PartProgress::Open;
                run.parts[index].said.push_str(&words);
                self.emit_delta(kind, fields, &words);
            }
            Step::Play(index) => self.play(run, index),
            Step::Closed(index) => self.content_closed(run, index),
            Step::Done(index) => self.item_done(run, index, "completed"),
            Step::Finish => self.finish(run, "completed", Value::Null),
        }
    }

    fn item_added(&mut self, run: &mut Run, index: usize) {
        let item = item_value(run, index, "in_progress");
        let previous = match index.checked_sub(1) {
            Some(before) => Some(run.parts[before].item.clone()),
            None => self.conversation.last_id().map(str::to_owned),
        };
        let part = &mut run.parts[index];
        part.previous.clone_from(&previous);
        part.progress = PartProgress::Added;
        let fields = json!({ "response_id": run.id, "output_index": index, "item": item });
        self.emit("response.output_item.added", fields);
        if run.in_conversation {
            self.conversation.insert(Place::End, Item { value: item.clone(), audio_ms: 0 });
            self.emit("conversation.item.added", json!({ "previous_item_id": previous, "item": item }));
        }
    }

    /// The first audio is there: it goes to the peer, if one is connected.
    fn play(&mut self, run: &Run, index: usize) {
        let part = &run.parts[index];
        let Content::Message { line, .. } = &part.content else { return };
        self.has_spoken = true;
        if self.media_since.is_none() || line.clip.packets().is_empty() {
            return;
        }
        let length = line.clip.duration();
        if let Some(item) = self.conversation.get_mut(&part.item) {
            item.audio_ms = length.as_millis() as u64;
        }
        // Speech is not mixed: it waits for what is still being played.
        let starts = self.playbacks.back().map_or(self.now, |playback| playback.ends.max(self.now));
        let ends = starts + length;
        self.outputs.push(Output::Play(line.clip.clone()));
        self.playbacks.push_back(Playback { response: run.id.clone(), item: part.item.clone(), starts, ends, started: false });
        self.timers.add(ends, Due::PlaybackEnds { response: run.id.clone() });
        if starts > self.now {
            self.timers.add(starts, Due::PlaybackStarts { response: run.id.clone() });
        } else {
            self.playback_starts(&run.id.clone());
        }
    }

    pub(super) fn playback_starts(&mut self, response: &str) {
        let Some(playback) = self.playbacks.iter_mut().find(|playback| playback.response == response) else { return };
        playback.started = true;
        self.emit("output_audio_buffer.started", json!({ "response_id": response }));
    }

    pub(super) fn playback_ends(&mut self, response: &str) {
        let before = self.playbacks.len();
        self.playbacks.retain(|playback| playback.response != response);
        if self.playbacks.len() < before {
            self.emit("output_audio_buffer.stopped", json!({ "response_id": response }));
            self.watch_for_idleness();
        }
    }

    fn content_closed(&mut self, run: &mut Run, index: usize) {
        run.parts[index].progress = PartProgress::Closed;
        let part = &run.parts[index];
        let said = part.said.clone();
        match &part.content {
            Content::Call { id, name } => {
                let mut fields = place(run, index);
                remove(&mut fields, "content_index");
                fields["call_id"] = id.as_str().into();
                fields["name"] = (*name).into();
                fields["arguments"] = said.into();
                self.emit("response.function_call_arguments.done", fields);
            }
            Content::Message { .. } => {
                let (done, words, kind) = if run.speaks {
                    self.emit("response.output_audio.done", place(run, index));
                    ("response.output_audio_transcript.done", "transcript", "audio")
                } else {
                    ("response.output_text.done", "text", "text")
                };
                let mut fields = place(run, index);
                fields[words] = said.clone().into();
                self.emit(done, fields);
                let mut fields = place(run, index);
                fields["part"] = json!({ "type": kind, words: said });
                self.emit("response.content_part.done", fields);
            }
        }
    }

    fn item_done(&mut self, run: &mut Run, index: usize, status: &str) {
        run.parts[index].progress = PartProgress::Done;
        let item = item_value(run, index, status);
        let part = &run.parts[index];
        if run.in_conversation {
            if let Some(kept) = self.conversation.get_mut(&part.item) {
                kept.value = item.clone();
            }
            // The vendor often forgets the place of a completed message here; `added` had it.
            let forgets = status == "completed" && matches!(part.content, Content::Message { .. });
            let previous = if forgets { None } else { part.previous.clone() };
            self.emit("conversation.item.done", json!({ "previous_item_id": previous, "item": item }));
        }
        let fields = json!({ "response_id": run.id, "output_index": index, "item": item });
        self.emit("response.output_item.done", fields);
    }

    fn finish(&mut self, run: &Run, status: &str, details: Value) {
        let usage = self.usage(run);
        let response = self.response_object(run, status, details, usage);
        self.emit("response.done", json!({ "response": response }));
        let remaining = 15_000_000 - self.used_tokens.min(15_000_000);
        let limits = json!([{ "name": "tokens", "limit": 15_000_000, "remaining": remaining, "reset_seconds": 0.004 }]);
        self.emit("rate_limits.updated", json!({ "rate_limits": limits }));
    }

    /// The candidate speaks while the AI does.
    pub(super) fn barge_in(&mut self) {
        let heard = self.clear_playback();
        self.cut_active(Cut::TurnDetected);
        for (item, heard_ms) in heard {
            self.conversation.truncate(&item, heard_ms);
            let fields = json!({ "item_id": item, "content_index": 0, "audio_end_ms": heard_ms });
            self.emit("conversation.item.truncated", fields);
        }
    }

    /// Silences the AI. Gives what was heard of each item that was being played.
    pub(super) fn clear_playback(&mut self) -> Vec<(String, u64)> {
        let mut heard = Vec::new();
        let playbacks: Vec<Playback> = self.playbacks.drain(..).collect();
        for playback in &playbacks {
            if playback.started {
                self.emit("output_audio_buffer.cleared", json!({ "response_id": playback.response }));
                heard.push((playback.item.clone(), self.now.saturating_sub(playback.starts).as_millis() as u64));
            }
        }
        if !playbacks.is_empty() {
            self.outputs.push(Output::Silence);
            self.watch_for_idleness();
        }
        heard
    }

    /// Ends the response that writes the conversation. `false`: there is none.
    pub(super) fn cut_active(&mut self, cut: Cut) -> bool {
        let Some(index) = self.runs.iter().position(|run| run.in_conversation) else { return false };
        let mut run = self.runs.remove(index);
        for index in 0..run.parts.len() {
            let progress = run.parts[index].progress;
            if progress == PartProgress::Open {
                self.content_closed(&mut run, index);
            }
            if progress > PartProgress::Planned && progress < PartProgress::Done {
                self.item_done(&mut run, index, "incomplete");
            }
        }
        let reason = match cut {
            Cut::TurnDetected => "turn_detected",
            Cut::ClientCancelled => "client_cancelled",
        };
        self.finish(&run, "cancelled", json!({ "type": "cancelled", "reason": reason }));
        if run.ends_interview {
            self.progress.goodbye_was_cut();
        }
        true
    }

    /// The id of the response that writes the conversation.
    pub(super) fn active_response(&self) -> Option<&str> {
        self.runs.iter().find(|run| run.in_conversation).map(|run| run.id.as_str())
    }
}
