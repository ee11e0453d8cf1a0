//! The server events of the sideband that we use. The events that we send are in `client_events`.
//!
//! Parsing never fails. OpenAI adds fields and types without notice, and its own schema is not exactly what it sends. So a field
//! that is absent, null or of another form gets its default, and a frame without its essential fields becomes
//! [`ServerEvent::Unknown`]. Debug output shows only the length of words.

use crate::domain::edge::{Text, mend_surrogates};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use super::client_events::{ClientEvent, NewContent, NewItem, ResponseParams};
pub use super::event_fields::*;

#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent {
    /// Not sent to a sideband that joins; tolerated, never waited for.
    SessionCreated(SessionEvent),
    /// Our configuration stands: the sideband is ready.
    SessionUpdated(SessionEvent),
    /// The only trustworthy source of the conversation's order.
    ItemAdded(ItemEvent),
    /// For a candidate's item this comes before its words do.
    ItemDone(ItemEvent),
    ItemTruncated(ItemTruncated),
    ItemDeleted(ItemReference),
    InputTranscriptionDelta(TextDelta),
    InputTranscriptionCompleted(Transcript),
    InputTranscriptionFailed(TranscriptionFailed),
    SpeechStarted(SpeechBoundary),
    SpeechStopped(SpeechBoundary),
    InputCommitted(InputCommitted),
    /// The candidate said nothing for the configured idle time.
    InputTimedOut(SpeechBoundary),
    ResponseCreated(ResponseEvent),
    OutputItemAdded(OutputItem),
    OutputItemDone(OutputItem),
    /// The AI's words, of both the audio and the text modality.
    OutputDelta(TextDelta),
    OutputDone(Transcript),
    FunctionCallDone(FunctionCall),
    /// Generated, not heard: see the playback events.
    ResponseDone(ResponseEvent),
    PlaybackStarted(ResponseReference),
    /// Heard to the end.
    PlaybackStopped(ResponseReference),
    /// Cut off.
    PlaybackCleared(ResponseReference),
    RateLimitsUpdated(RateLimits),
    Error(ErrorEvent),
    /// Somebody asked for an item with its audio. We never do.
    ItemRetrieved,
    /// Known, and of no use to us.
    Ignored,
    /// A type we do not know, or a frame we cannot read: counted, never fatal.
    Unknown {
        kind: String,
    },
}

impl ServerEvent {
    pub fn parse(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(rename = "type")]
            kind: String,
        }
        let text = mend_surrogates(text);
        let Some(Envelope { kind }) = read(&text) else {
            return Self::Unknown { kind: "unreadable".to_owned() };
        };
        // A type comes from outside and ends up in a log line.
        Self::parse_kind(&kind, &text).unwrap_or_else(|| Self::Unknown { kind: Text::bounded(kind, 96).into_string() })
    }

    fn parse_kind(kind: &str, text: &str) -> Option<Self> {
        Some(match kind {
            "session.created" => Self::SessionCreated(read(text)?),
            "session.updated" => Self::SessionUpdated(read(text)?),
            "conversation.item.added" => Self::ItemAdded(read(text)?),
            "conversation.item.done" => Self::ItemDone(read(text)?),
            "conversation.item.truncated" => Self::ItemTruncated(read(text)?),
            "conversation.item.deleted" => Self::ItemDeleted(read(text)?),
            "conversation.item.input_audio_transcription.delta" => Self::InputTranscriptionDelta(read(text)?),
            "conversation.item.input_audio_transcription.completed" => Self::InputTranscriptionCompleted(read(text)?),
            "conversation.item.input_audio_transcription.failed" => Self::InputTranscriptionFailed(read(text)?),
            "input_audio_buffer.speech_started" => Self::SpeechStarted(read(text)?),
            "input_audio_buffer.speech_stopped" => Self::SpeechStopped(read(text)?),
            "input_audio_buffer.committed" => Self::InputCommitted(read(text)?),
            "input_audio_buffer.timeout_triggered" => Self::InputTimedOut(read(text)?),
            "response.created" => Self::ResponseCreated(read(text)?),
            "response.output_item.added" => Self::OutputItemAdded(read(text)?),
            "response.output_item.done" => Self::OutputItemDone(read(text)?),
            "response.output_audio_transcript.delta" | "response.output_text.delta" => Self::OutputDelta(read(text)?),
            "response.output_audio_transcript.done" | "response.output_text.done" => Self::OutputDone(read(text)?),
            "response.function_call_arguments.done" => Self::FunctionCallDone(read(text)?),
            "response.done" => Self::ResponseDone(read(text)?),
            "output_audio_buffer.started" => Self::PlaybackStarted(read(text)?),
            "output_audio_buffer.stopped" => Self::PlaybackStopped(read(text)?),
            "output_audio_buffer.cleared" => Self::PlaybackCleared(read(text)?),
            "rate_limits.updated" => Self::RateLimitsUpdated(read(text)?),
            "error" => Self::Error(read(text)?),
            "conversation.item.retrieved" => Self::ItemRetrieved,
            "conversation.created"
            | "conversation.item.created"
            | "conversation.item.input_audio_transcription.segment"
            | "input_audio_buffer.cleared"
            | "response.content_part.added"
            | "response.content_part.done"
            | "response.output_audio.delta"
            | "response.output_audio.done"
            | "response.function_call_arguments.delta" => Self::Ignored,
            _ => return None,
        })
    }

    /// Speech events prove that the sideband hears the candidate; without them the
    /// transcript has to come from the browser.
    pub fn is_candidate_speech(&self) -> bool {
        matches!(
            self,
            Self::SpeechStarted(_)
                | Self::SpeechStopped(_)
                | Self::InputCommitted(_)
                | Self::InputTranscriptionDelta(_)
                | Self::InputTranscriptionCompleted(_)
                | Self::InputTranscriptionFailed(_)
        )
    }
}

/// A key that comes twice counts as most JSON readers count it: the last one.
fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    let once = || serde_json::from_str::<Value>(text).ok();
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&once()?.to_string()).ok())
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
