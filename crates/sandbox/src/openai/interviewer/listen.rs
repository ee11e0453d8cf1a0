//! The candidate's side: turns by voice activity, and the scripted transcript of them.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::conversation::{Item, Place};
use super::interview::Prompt;
use super::{Due, Interviewer};
use crate::openai::problem::Problem;
use crate::openai::vad::Turn;

/// How much of an answer is recognised before the turn ends, at most.
const HEARD_EARLY: f64 = 0.6;
/// What transcription models write where they hear noise.
const MADE_UP: &str = "Thank you for watching!";
/// As people speak.
const MS_PER_CHARACTER: u64 = 50;
const LIKELY: f64 = -0.05;
const UNLIKELY: f64 = -1.8;
/// With turn detection off, a turn ends only when a client says so.
const NO_TURNS: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
pub(super) struct Listening {
    /// The item that the current speech will become.
    current: Option<String>,
    started: Duration,
    /// The offset that was told for it.
    start_ms: u64,
    transcripts: Vec<Transcript>,
    /// Speech came in since the last commit (for sessions without turn detection).
    heard_something: bool,
}

/// Words of one turn, on their way to the client.
#[derive(Debug)]
struct Transcript {
    item: String,
    text: String,
    left: VecDeque<String>,
    /// Stop early words when so few are left.
    keep: usize,
    seconds: u64,
    fails: bool,
    /// Of each of its tokens.
    logprob: f64,
}

impl Interviewer {
    /// A packet of the candidate's voice came in.
    pub fn hear(&mut self, now: Duration, level: i8) {
        self.advance(now);
        if let Some(Turn::Started) = self.vad.hear(now, level) {
            self.listening.heard_something = true;
            if self.session.turn_taking().is_some() {
                self.speech_started();
            }
        }
    }

    /// How long a pause ends the turn; `None` while nothing can end it.
    pub(super) fn silence(&self) -> Option<Duration> {
        if !self.vad.speaking() {
            return None;
        }
        let silence = self.session.turn_taking().map_or(NO_TURNS, |turns| Duration::from_millis(turns.silence_ms));
        Some(if silence == NO_TURNS { silence } else { silence.min(self.script.speed.longest_silence) })
    }

    pub(super) fn turn_timer(&mut self) {
        let Some(silence) = self.silence() else { return };
        if let Some(Turn::Stopped) = self.vad.advance(self.now, silence) {
            self.speech_stopped();
        }
    }

    fn speech_started(&mut self) {
        let item = self.ids.next("item_");
        let prefix = self.session.turn_taking().map_or(0, |turns| turns.prefix_ms);
        self.listening.started = self.now;
        self.listening.current = Some(item.clone());
        let start_ms = self.audio_ms().saturating_sub(prefix);
        self.listening.start_ms = start_ms;
        self.emit("input_audio_buffer.speech_started", json!({ "audio_start_ms": start_ms, "item_id": item }));
        if self.session.turn_taking().is_some_and(|turns| turns.interrupt_response) {
            self.barge_in();
        }
        self.begin_transcript(&item);
    }

    fn begin_transcript(&mut self, item: &str) {
        let said = self.progress.candidate_says(&self.script);
        let made_up = std::mem::take(&mut self.make_up_transcription);
        let (text, logprob) = if made_up { (MADE_UP.to_owned(), UNLIKELY) } else { (said, LIKELY) };
        if self.session.transcriber().is_none() {
            return;
        }
        let words: VecDeque<String> = text.split_whitespace().map(|word| format!(" {word}")).collect();
        let keep = words.len() - (words.len() as f64 * HEARD_EARLY) as usize;
        let fails = std::mem::take(&mut self.fail_transcription);
        let transcript = Transcript { item: item.to_owned(), text, left: words, keep, seconds: 0, fails, logprob };
        self.listening.transcripts.push(transcript);
        self.timers.add(self.now + self.script.speed.heard_word, Due::HearWord { item: item.to_owned() });
    }

    fn speech_stopped(&mut self) {
        let Some(item) = self.listening.current.clone() else { return };
        // The words are scripted, and take their time whatever was said; what is made up has no more than its sound.
        let scripted =
            self.listening.transcripts.iter().find(|transcript| transcript.item == item && transcript.logprob == LIKELY);
        let spoken_ms = scripted.map_or(0, |transcript| MS_PER_CHARACTER * transcript.text.chars().count() as u64);
        let end_ms = self.audio_ms().max(self.listening.start_ms + spoken_ms);
        self.emit("input_audio_buffer.speech_stopped", json!({ "audio_end_ms": end_ms, "item_id": item }));
        self.commit();
        if self.session.turn_taking().is_some_and(|turns| turns.create_response) && !self.has_active_response() {
            self.respond(Prompt::TurnEnded, &Value::Null);
        }
    }

    /// The speech heard so far becomes an item of the conversation.
    fn commit(&mut self) {
        let Some(id) = self.listening.current.take() else { return };
        self.listening.heard_something = false;
        self.progress.candidate_spoke();
        let length = self.now.saturating_sub(self.listening.started);
        let previous = self.conversation.last_id().map(str::to_owned);
        self.emit("input_audio_buffer.committed", json!({ "previous_item_id": previous, "item_id": id }));
        let value = json!({
            "id": id,
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{ "type": "input_audio", "transcript": null }],
        });
        let audio_ms = length.as_millis() as u64;
        self.conversation.insert(Place::End, Item { value: value.clone(), audio_ms });
        self.emit("conversation.item.added", json!({ "previous_item_id": previous, "item": value }));
        // Done at once: the words of the turn come by other events, later.
        self.emit("conversation.item.done", json!({ "previous_item_id": previous, "item": value }));
        if let Some(transcript) = self.listening.transcripts.iter_mut().find(|transcript| transcript.item == id) {
            transcript.seconds = length.as_secs().max(1);
            self.timers.retain(|due| !matches!(due, Due::HearWord { item } if *item == id));
            self.timers.add(self.now + self.script.speed.transcribe / 2, Due::HearRest { item: id.clone() });
            self.timers.add(self.now + self.script.speed.transcribe, Due::Transcribed { item: id });
        }
    }

    /// `input_audio_buffer.commit`: a turn ended by hand.
    pub(super) fn commit_by_hand(&mut self) -> Result<(), Problem> {
        if !self.listening.heard_something {
            let message = "Error committing input audio buffer: buffer too small. \
                           Expected at least 100ms of audio, but buffer only has 0.00ms of audio.";
            return Err(Problem::invalid("input_audio_buffer_commit_empty", message));
        }
        self.vad.reset();
        if self.listening.current.is_none() {
            let item = self.ids.next("item_");
            self.listening.current = Some(item.clone());
            self.begin_transcript(&item);
        }
        self.commit();
        Ok(())
    }

    pub(super) fn clear_input(&mut self) {
        self.vad.reset();
        self.listening.heard_something = false;
        if let Some(item) = self.listening.current.take() {
            self.listening.transcripts.retain(|transcript| transcript.item != item);
        }
        self.emit("input_audio_buffer.cleared", json!({}));
    }

    pub(super) fn hear_word(&mut self, item: &str) {
        let Some(transcript) = self.listening.transcripts.iter_mut().find(|transcript| transcript.item == item) else { return };
        if transcript.fails || transcript.left.len() <= transcript.keep {
            return;
        }
        let word = transcript.left.pop_front().unwrap_or_default();
        self.transcript_delta(item, &word);
        self.timers.add(self.now + self.script.speed.heard_word, Due::HearWord { item: item.to_owned() });
    }

    pub(super) fn hear_rest(&mut self, item: &str) {
        let Some(transcript) = self.listening.transcripts.iter_mut().find(|transcript| transcript.item == item) else { return };
        if transcript.fails {
            return;
        }
        for word in std::mem::take(&mut transcript.left) {
            self.transcript_delta(item, &word);
        }
    }

    fn transcript_delta(&mut self, item: &str, word: &str) {
        let fields = json!({ "item_id": item, "content_index": 0 });
        self.emit_delta("conversation.item.input_audio_transcription.delta", fields, word);
    }

    pub(super) fn transcribed(&mut self, item: &str) {
        let Some(index) = self.listening.transcripts.iter().position(|transcript| transcript.item == item) else { return };
        let transcript = self.listening.transcripts.remove(index);
        if transcript.fails {
            let error = json!({
                "type": "server_error",
                "code": "transcription_failed",
                "message": "Input transcription failed.",
            });
            let fields = json!({ "item_id": item, "content_index": 0, "error": error });
            self.emit("conversation.item.input_audio_transcription.failed", fields);
            return;
        }
        if let Some(item) = self.conversation.get_mut(item) {
            item.value["content"][0]["transcript"] = transcript.text.as_str().into();
        }
        let usage = if self.session.transcriber() == Some("gpt-realtime-whisper") {
            json!({ "type": "duration", "seconds": transcript.seconds })
        } else {
            let (heard, words) = (transcript.seconds * 10, transcript.text.split_whitespace().count() as u64);
            json!({
                "type": "tokens",
                "input_tokens": heard,
                "output_tokens": words,
                "total_tokens": heard + words,
                "input_token_details": { "text_tokens": 0, "audio_tokens": heard },
            })
        };
        let mut fields = json!({ "item_id": item, "content_index": 0, "transcript": transcript.text, "usage": usage });
        if self.session.wants_logprobs() {
            let token = |word: &str| json!({ "token": word, "logprob": transcript.logprob, "bytes": word.as_bytes() });
            fields["logprobs"] = transcript.text.split_inclusive(' ').map(token).collect();
        }
        self.emit("conversation.item.input_audio_transcription.completed", fields);
    }

    /// Starts the clock of `idle_timeout_ms`, which runs from the end of the AI's speech.
    pub(super) fn watch_for_idleness(&mut self) {
        let Some(timeout) = self.session.turn_taking().and_then(|turns| turns.idle_timeout_ms) else { return };
        self.timers.retain(|due| !matches!(due, Due::Idle { .. }));
        self.timers.add(self.now + Duration::from_millis(timeout), Due::Idle { since: self.now });
    }

    pub(super) fn idle(&mut self, since: Duration) {
        let busy = self.vad.speaking() || self.has_active_response() || !self.playbacks.is_empty();
        if busy || self.listening.started > since || self.progress.is_over() {
            return;
        }
        let item = self.ids.next("item_");
        let end_ms = self.audio_ms();
        let start_ms = end_ms.saturating_sub(self.now.saturating_sub(since).as_millis() as u64);
        let fields = json!({ "audio_start_ms": start_ms, "audio_end_ms": end_ms, "item_id": item });
        self.emit("input_audio_buffer.timeout_triggered", fields);
        self.respond(Prompt::Idle, &Value::Null);
    }

    /// Offset in the session's input audio.
    fn audio_ms(&self) -> u64 {
        self.now.saturating_sub(self.media_since.unwrap_or(self.now)).as_millis() as u64
    }
}
