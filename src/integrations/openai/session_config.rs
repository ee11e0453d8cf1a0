//! The GA session object, as `POST /realtime/calls` and `session.update` accept it. Only fields that are set are sent, because
//! OpenAI rejects the whole object for one unknown or misplaced field. The GA session has no `temperature`, and over WebRTC the
//! audio formats are negotiated by SDP, so neither exists here.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A field that `session.update` can leave alone, clear, or set.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Field<T> {
    #[default]
    Keep,
    /// Sent as `null`.
    Clear,
    Set(T),
}

impl<T> Field<T> {
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(value) => value.serialize(serializer),
            Self::Keep | Self::Clear => serializer.serialize_none(),
        }
    }
}

/// `model` and, once audio was made, `voice` cannot change during a call: leave
/// both out of an update.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SessionConfig {
    /// Without it OpenAI refuses the update and the model runs on its defaults.
    #[serde(rename = "type")]
    pub kind: SessionKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The browser can read this: no rubric and no secret belongs here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_modalities: Option<Vec<Modality>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<FunctionTool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<TokenLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncation: Option<Truncation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
    /// `gpt-realtime-2` and later only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionKind {
    #[default]
    Realtime,
}

/// One at a time: audio output always carries its transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    Audio,
    Text,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AudioConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<AudioInput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<AudioOutput>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AudioInput {
    #[serde(skip_serializing_if = "Field::is_keep")]
    pub transcription: Field<Transcription>,
    #[serde(skip_serializing_if = "Field::is_keep")]
    pub noise_reduction: Field<NoiseReduction>,
    /// Set it always: the defaults differ from model to model.
    #[serde(skip_serializing_if = "Field::is_keep")]
    pub turn_detection: Field<TurnDetection>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transcription {
    pub model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// `gpt-realtime-whisper` has no prompt; others do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NoiseReduction {
    NearField,
    FarField,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnDetection {
    /// `low` eagerness waits longest and so does not cut a candidate who thinks.
    SemanticVad { eagerness: Eagerness, create_response: bool, interrupt_response: bool },
    ServerVad {
        threshold: f32,
        prefix_padding_ms: u32,
        silence_duration_ms: u32,
        create_response: bool,
        interrupt_response: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        idle_timeout_ms: Option<u32>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Eagerness {
    Low,
    Medium,
    High,
    Auto,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AudioOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// 0.25 to 1.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename = "function")]
pub struct FunctionTool {
    pub name: String,
    pub description: String,
    /// A JSON schema.
    pub parameters: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolChoice {
    Auto,
    None,
    Required,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLimit {
    Infinite,
    /// 1 to 4096.
    At(u32),
}

impl Serialize for TokenLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Infinite => serializer.serialize_str("inf"),
            Self::At(tokens) => serializer.serialize_u32(*tokens),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Truncation {
    Auto,
    Disabled,
    /// Keeps this share (0 to 1) of the context when it overflows.
    Retain(f32),
}

impl Serialize for Truncation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(tag = "type", rename = "retention_ratio")]
        struct Ratio {
            retention_ratio: f32,
        }
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Disabled => serializer.serialize_str("disabled"),
            Self::Retain(share) => Ratio { retention_ratio: *share }.serialize(serializer),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reasoning {
    pub effort: Effort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
}

#[cfg(test)]
#[path = "session_config_tests.rs"]
mod tests;
