//! The fields of the server events. Only fields without which a frame has no meaning are required.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::session_config::SessionConfig;
use super::{is_account_code, session_echo};
use crate::domain::edge::{Label, Millis, Text};
use crate::domain::transcript::Recognition;
use crate::domain::usage::Tokens;
use crate::domain::voice::Delivery;
use crate::ids::{ItemId, ReplyId, ToolCallId};
use crate::integrations::Redacted;

/// Whatever does not fit becomes the default.
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// Elements that do not fit are left out.
pub(super) fn lenient_list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    let elements: Vec<Box<RawValue>> = serde_json::from_str(raw.get()).unwrap_or_default();
    Ok(elements.iter().filter_map(|element| serde_json::from_str(element.get()).ok()).collect())
}

/// Of a name that ends up in a log line or is compared with one of ours.
const MAX_NAME_BYTES: usize = 128;

/// As it can be logged.
fn short_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw: Option<String> = lenient(deserializer)?;
    Ok(raw.map(|raw| Text::bounded(raw, MAX_NAME_BYTES).into_string()))
}

/// Milliseconds and counts are integers by the schema and may come as `400.0`.
pub(super) fn lenient_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let rounded = || value.as_f64().filter(|n| n.is_finite() && *n >= 0.0).map(|n| n.round() as u64);
    Ok(value.as_u64().or_else(rounded))
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SessionEvent {
    #[serde(deserialize_with = "lenient")]
    pub session: SessionEcho,
}

impl SessionEvent {
    /// The parts in which the call is configured otherwise than asked for.
    pub fn deviations(&self, asked: &SessionConfig) -> Vec<&'static str> {
        session_echo::deviations(&self.session.all.0, asked)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SessionEcho {
    #[serde(deserialize_with = "lenient")]
    pub id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub model: Option<String>,
    /// Unix seconds at which OpenAI ends the call.
    #[serde(deserialize_with = "lenient_number")]
    pub expires_at: Option<u64>,
    /// Everything else that it told.
    #[serde(flatten)]
    all: Configuration,
}

/// Not printed: it holds the interviewer's instructions.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
struct Configuration(Value);

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[configuration]")
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ItemEvent {
    #[serde(default, deserialize_with = "lenient")]
    pub previous_item_id: Option<ItemId>,
    pub item: Item,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ItemReference {
    pub item_id: ItemId,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ItemTruncated {
    pub item_id: ItemId,
    #[serde(default, deserialize_with = "lenient_number")]
    pub audio_end_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TextDelta {
    pub item_id: ItemId,
    #[serde(default, deserialize_with = "lenient")]
    pub response_id: Option<ReplyId>,
    #[serde(default, deserialize_with = "lenient")]
    pub content_index: u32,
    #[serde(default, deserialize_with = "lenient")]
    pub delta: Redacted,
}

/// Final words; they replace what the deltas brought.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Transcript {
    pub item_id: ItemId,
    #[serde(default, deserialize_with = "lenient")]
    pub response_id: Option<ReplyId>,
    #[serde(default, deserialize_with = "lenient")]
    pub content_index: u32,
    /// The audio events call it `transcript`, the text event `text`.
    #[serde(default, alias = "text", deserialize_with = "lenient")]
    pub transcript: Redacted,
    #[serde(default, deserialize_with = "lenient")]
    pub usage: Option<TranscriptionUsage>,
    /// Of each token, where the session's `include` asks for them.
    #[serde(default, deserialize_with = "lenient_list")]
    pub logprobs: Vec<TokenLogprob>,
    /// The languages that the transcription heard, most certain first.
    #[serde(default, deserialize_with = "lenient_list")]
    pub languages: Vec<String>,
}

impl Transcript {
    pub fn recognition(&self) -> Recognition {
        let language = self.languages.first().and_then(|language| Label::new(language).ok());
        let told = Recognition::new(self.logprobs.iter().map(|token| token.logprob), language);
        match &self.usage {
            Some(TranscriptionUsage::Tokens { input_token_details: input, output_tokens }) => {
                let output = TokenDetails { text_tokens: *output_tokens, ..TokenDetails::default() };
                Recognition { tokens: tokens(input, &output), ..told }
            }
            Some(TranscriptionUsage::Duration { seconds }) => {
                // Saturates, and is 0 for what is no number.
                let audio_ms = Some(Millis::new((seconds * 1_000.0).round() as u64));
                Recognition { audio_ms, ..told }
            }
            None => told,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TokenLogprob {
    pub logprob: f64,
}

/// Billed by tokens or by time, depending on the model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TranscriptionUsage {
    Tokens {
        #[serde(default, deserialize_with = "lenient")]
        input_token_details: TokenDetails,
        #[serde(default, deserialize_with = "lenient_number")]
        output_tokens: Option<u64>,
    },
    Duration {
        #[serde(default)]
        seconds: f64,
    },
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TranscriptionFailed {
    pub item_id: ItemId,
    #[serde(default, deserialize_with = "lenient")]
    pub error: ErrorDetail,
}

/// `at_ms` counts from the start of the session's input audio, not of the clock.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SpeechBoundary {
    pub item_id: ItemId,
    #[serde(default, deserialize_with = "lenient_number")]
    pub audio_start_ms: Option<u64>,
    #[serde(default, deserialize_with = "lenient_number")]
    pub audio_end_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InputCommitted {
    pub item_id: ItemId,
    #[serde(default, deserialize_with = "lenient")]
    pub previous_item_id: Option<ItemId>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ResponseReference {
    pub response_id: ReplyId,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OutputItem {
    #[serde(default, deserialize_with = "lenient")]
    pub response_id: Option<ReplyId>,
    pub item: Item,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FunctionCall {
    pub call_id: ToolCallId,
    #[serde(default, deserialize_with = "lenient")]
    pub response_id: Option<ReplyId>,
    #[serde(default, deserialize_with = "lenient")]
    pub item_id: Option<ItemId>,
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    /// JSON in a string; it may have line breaks and trailing spaces.
    #[serde(default, deserialize_with = "lenient")]
    pub arguments: Redacted,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ResponseEvent {
    pub response: Response,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Response {
    pub id: ReplyId,
    #[serde(default, deserialize_with = "lenient")]
    pub status: ResponseStatus,
    #[serde(default, deserialize_with = "lenient")]
    pub status_details: Option<StatusDetails>,
    #[serde(default, deserialize_with = "lenient_list")]
    pub output: Vec<Item>,
    #[serde(default, deserialize_with = "lenient")]
    pub usage: Option<Usage>,
    /// `None` for a response outside the conversation: keep it out of the transcript.
    /// False only where it says `null`: one that says nothing belongs to the conversation, for its words are heard.
    #[serde(default = "yes", rename = "conversation_id", deserialize_with = "is_not_null")]
    pub in_conversation: bool,
    #[serde(default, deserialize_with = "lenient")]
    pub metadata: Option<BTreeMap<String, String>>,
}

fn yes() -> bool {
    true
}

fn is_not_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(!Value::deserialize(deserializer)?.is_null())
}

impl Response {
    /// Whether its words are audio, by what it holds.
    pub fn delivery(&self) -> Delivery {
        let parts = self.output.iter().filter(|item| item.kind == ItemKind::Message).flat_map(|item| &item.content);
        let kinds: Vec<&str> = parts.map(|part| part.kind.as_str()).collect();
        if kinds.iter().any(|kind| kind.ends_with("audio")) {
            Delivery::Audio
        } else if kinds.iter().any(|kind| kind.ends_with("text")) {
            Delivery::Text
        } else {
            Delivery::Unknown
        }
    }

    /// The account cannot go on.
    pub fn is_account_blocked(&self) -> bool {
        let error = self.status_details.as_ref().and_then(|details| details.error.as_ref());
        error.is_some_and(|error| error.meaning() == ErrorMeaning::AccountBlocked)
    }

    /// By a `response.cancel`, not by the candidate's speech.
    pub fn is_cancelled_by_client(&self) -> bool {
        self.status_details.as_ref().is_some_and(|details| details.reason.as_deref() == Some("client_cancelled"))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    InProgress,
    Completed,
    Cancelled,
    Failed,
    Incomplete,
    #[default]
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StatusDetails {
    /// `turn_detected`, `client_cancelled`, `max_output_tokens`, `content_filter`.
    #[serde(deserialize_with = "lenient")]
    pub reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub error: Option<ErrorDetail>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Usage {
    #[serde(deserialize_with = "lenient_number")]
    pub total_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient_number")]
    pub input_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient_number")]
    pub output_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub output_token_details: TokenDetails,
    #[serde(deserialize_with = "lenient")]
    pub input_token_details: TokenDetails,
}

impl Usage {
    pub fn tokens(&self) -> Tokens {
        tokens(&self.input_token_details, &self.output_token_details)
    }
}

fn tokens(input: &TokenDetails, output: &TokenDetails) -> Tokens {
    let count = |told: Option<u64>| u32::try_from(told.unwrap_or_default()).unwrap_or(u32::MAX);
    Tokens {
        input_text: count(input.text_tokens),
        input_audio: count(input.audio_tokens),
        input_cached: count(input.cached_tokens),
        output_text: count(output.text_tokens),
        output_audio: count(output.audio_tokens),
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TokenDetails {
    #[serde(deserialize_with = "lenient_number")]
    pub text_tokens: Option<u64>,
    /// One output audio token is 50 ms of speech.
    #[serde(deserialize_with = "lenient_number")]
    pub audio_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient_number")]
    pub cached_tokens: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Item {
    pub id: ItemId,
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    pub kind: ItemKind,
    #[serde(default, deserialize_with = "lenient")]
    pub role: ItemRole,
    /// `completed`, `incomplete`, `in_progress`.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Option<String>,
    /// `commentary` for words spoken before a tool call; else `final_answer`.
    #[serde(default, deserialize_with = "lenient")]
    pub phase: Option<String>,
    #[serde(default, deserialize_with = "lenient_list")]
    pub content: Vec<ContentPart>,
    #[serde(default, deserialize_with = "lenient")]
    pub call_id: Option<ToolCallId>,
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub arguments: Redacted,
}

impl Item {
    /// The words of the item, if it has any yet.
    pub fn text(&self) -> Option<String> {
        let words: Vec<&str> = self.content.iter().filter_map(ContentPart::words).collect();
        (!words.is_empty()).then(|| words.concat())
    }

    pub fn is_commentary(&self) -> bool {
        self.phase.as_deref() == Some("commentary")
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    Message,
    FunctionCall,
    FunctionCallOutput,
    #[default]
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemRole {
    User,
    Assistant,
    System,
    #[default]
    #[serde(other)]
    None,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ContentPart {
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub kind: String,
    #[serde(deserialize_with = "lenient")]
    pub text: Option<Redacted>,
    #[serde(deserialize_with = "lenient")]
    pub transcript: Option<Redacted>,
}

impl ContentPart {
    fn words(&self) -> Option<&str> {
        self.transcript.as_ref().or(self.text.as_ref()).map(Redacted::as_str)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    #[serde(deserialize_with = "lenient_list")]
    pub rate_limits: Vec<RateLimit>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RateLimit {
    pub name: String,
    #[serde(default, deserialize_with = "lenient_number")]
    pub limit: Option<u64>,
    #[serde(default, deserialize_with = "lenient_number")]
    pub remaining: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub reset_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ErrorEvent {
    #[serde(deserialize_with = "lenient")]
    pub error: ErrorDetail,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    #[serde(rename = "type", deserialize_with = "short_name")]
    pub kind: Option<String>,
    #[serde(deserialize_with = "short_name")]
    pub code: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub message: Redacted,
    #[serde(deserialize_with = "short_name")]
    pub param: Option<String>,
    /// Which of our events caused it.
    #[serde(deserialize_with = "short_name")]
    pub event_id: Option<String>,
}

/// What an error asks us to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorMeaning {
    /// The call reached its maximum duration.
    CallExpired,
    /// Our `response.create` met a response that is under way: send it again later.
    ResponseAlreadyActive,
    /// Our `response.cancel` came too late: nothing to do.
    NoActiveResponse,
    /// There is an item of the name that we gave to one.
    ItemExists,
    /// The account cannot go on: do not dial again.
    AccountBlocked,
    /// One of our events was refused; the call goes on.
    Other,
}

impl ErrorDetail {
    pub fn meaning(&self) -> ErrorMeaning {
        let known = |code: &str| match code {
            "session_expired" => Some(ErrorMeaning::CallExpired),
            "conversation_already_has_active_response" => Some(ErrorMeaning::ResponseAlreadyActive),
            "response_cancel_not_active" => Some(ErrorMeaning::NoActiveResponse),
            "item_create_duplicate_item_id" => Some(ErrorMeaning::ItemExists),
            "invalid_api_key" => Some(ErrorMeaning::AccountBlocked),
            code if is_account_code(code) => Some(ErrorMeaning::AccountBlocked),
            _ => None,
        };
        let told = [&self.code, &self.kind].into_iter().flatten().find_map(|code| known(code));
        // The code was seen to be null; then only the text tells.
        let by_text = || {
            let text = self.message.as_str().to_ascii_lowercase();
            let by_part = [
                ("already has an active response", ErrorMeaning::ResponseAlreadyActive),
                ("already exists", ErrorMeaning::ItemExists),
            ];
            by_part.into_iter().find(|(part, _)| text.contains(part)).map(|(_, meaning)| meaning)
        };
        told.or_else(by_text).unwrap_or(ErrorMeaning::Other)
    }
}
