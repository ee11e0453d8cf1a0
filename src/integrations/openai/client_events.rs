//! The events that we send on the sideband.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::session_config::{SessionConfig, ToolChoice};
use crate::ids::{ItemId, ReplyId, ToolCallId};
use crate::integrations::Redacted;

/// What we send. The `event_id` comes back in an error that the event causes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum ClientEvent {
    #[serde(rename = "session.update")]
    SessionUpdate { event_id: String, session: Box<SessionConfig> },
    #[serde(rename = "response.create")]
    ResponseCreate {
        event_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        response: Option<ResponseParams>,
    },
    #[serde(rename = "response.cancel")]
    ResponseCancel {
        event_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        response_id: Option<ReplyId>,
    },
    #[serde(rename = "conversation.item.create")]
    ItemCreate {
        event_id: String,
        /// Absent: at the end. `root`: at the front.
        #[serde(skip_serializing_if = "Option::is_none")]
        previous_item_id: Option<ItemId>,
        item: NewItem,
    },
    #[serde(rename = "conversation.item.delete")]
    ItemDelete { event_id: String, item_id: ItemId },
    /// Closes the candidate's turn, whose end was not noticed.
    #[serde(rename = "input_audio_buffer.commit")]
    InputCommit { event_id: String },
    /// Stops what the candidate hears; send `ResponseCancel` before it.
    #[serde(rename = "output_audio_buffer.clear")]
    PlaybackClear { event_id: String },
}

impl ClientEvent {
    pub fn event_id(&self) -> &str {
        match self {
            Self::SessionUpdate { event_id, .. }
            | Self::ResponseCreate { event_id, .. }
            | Self::ResponseCancel { event_id, .. }
            | Self::ItemCreate { event_id, .. }
            | Self::ItemDelete { event_id, .. }
            | Self::InputCommit { event_id }
            | Self::PlaybackClear { event_id } => event_id,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ResponseParams {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Everything in it can be read by the browser.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NewItem {
    Message {
        /// None: the provider names it.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<ItemId>,
        role: &'static str,
        content: [NewContent; 1],
    },
    FunctionCallOutput {
        call_id: ToolCallId,
        output: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NewContent {
    InputText { text: Redacted },
    OutputText { text: Redacted },
}

impl NewItem {
    /// A note to the model.
    pub fn system(text: impl Into<Redacted>) -> Self {
        Self::Message { id: None, role: "system", content: [NewContent::InputText { text: text.into() }] }
    }

    /// Earlier words of the candidate, to continue a conversation in a new call.
    pub fn user(text: impl Into<Redacted>) -> Self {
        Self::Message { id: None, role: "user", content: [NewContent::InputText { text: text.into() }] }
    }

    /// What the candidate typed.
    pub fn typed(id: ItemId, text: impl Into<Redacted>) -> Self {
        Self::Message { id: Some(id), role: "user", content: [NewContent::InputText { text: text.into() }] }
    }

    /// Earlier words of the AI.
    pub fn assistant(text: impl Into<Redacted>) -> Self {
        Self::Message { id: None, role: "assistant", content: [NewContent::OutputText { text: text.into() }] }
    }

    pub fn function_output(call_id: ToolCallId, output: &Value) -> Self {
        Self::FunctionCallOutput { call_id, output: output.to_string() }
    }
}
