//! Client events: what a browser or a sideband may request from the session.

use serde_json::{Value, json};

use super::Interviewer;
use super::conversation::{Item, Place};
use super::respond::Cut;
use crate::openai::problem::Problem;
use crate::openai::session::{check, check_modalities};
use crate::openai::session_shape::{AUDIO_OUTPUT, MODALITIES, OUTPUT_TOKENS, PROMPT, REASONING, TOOL_CHOICE, TOOLS};
use crate::openai::shape::{Shape, may, must};

use std::time::Duration;

const EVENT_ID: Shape = Shape::TextUpTo(512);
const CONTENT: Shape = Shape::List(&Shape::Tagged(&[
    ("input_text", &[must("text", Shape::Text)]),
    ("output_text", &[must("text", Shape::Text)]),
    ("input_audio", &[may("audio", Shape::Nullable(&Shape::Text)), may("transcript", Shape::Nullable(&Shape::Text))]),
    ("input_image", &[may("image_url", Shape::Text), may("detail", Shape::OneOf(&["auto", "low", "high"]))]),
]));
const STATUS: Shape = Shape::OneOf(&["completed", "incomplete", "in_progress"]);
const ITEM: Shape = Shape::Tagged(&[
    (
        "message",
        &[
            may("id", Shape::TextUpTo(32)),
            may("object", Shape::OneOf(&["realtime.item"])),
            may("status", STATUS),
            must("role", Shape::OneOf(&["system", "user", "assistant"])),
            must("content", CONTENT),
        ],
    ),
    (
        "function_call",
        &[
            may("id", Shape::TextUpTo(32)),
            may("object", Shape::OneOf(&["realtime.item"])),
            may("status", STATUS),
            may("call_id", Shape::TextUpTo(32)),
            must("name", Shape::Text),
            must("arguments", Shape::Text),
        ],
    ),
    (
        "function_call_output",
        &[
            may("id", Shape::TextUpTo(32)),
            may("object", Shape::OneOf(&["realtime.item"])),
            may("status", STATUS),
            must("call_id", Shape::TextUpTo(32)),
            must("output", Shape::Text),
        ],
    ),
]);
const RESPONSE: Shape = Shape::Object(&[
    may("output_modalities", MODALITIES),
    may("instructions", Shape::Text),
    may("audio", Shape::Object(&[may("output", AUDIO_OUTPUT)])),
    may("tools", TOOLS),
    may("tool_choice", TOOL_CHOICE),
    may("parallel_tool_calls", Shape::Bool),
    may("reasoning", REASONING),
    may("max_output_tokens", OUTPUT_TOKENS),
    may("conversation", Shape::OneOf(&["auto", "none"])),
    may("metadata", Shape::Nullable(&Shape::Map)),
    may("prompt", PROMPT),
    may("input", Shape::Any),
]);
const EVENT: Shape = Shape::Tagged(&[
    ("session.update", &[may("event_id", EVENT_ID), must("session", Shape::Map)]),
    ("input_audio_buffer.append", &[may("event_id", EVENT_ID), must("audio", Shape::Text)]),
    ("input_audio_buffer.commit", &[may("event_id", EVENT_ID)]),
    ("input_audio_buffer.clear", &[may("event_id", EVENT_ID)]),
    (
        "conversation.item.create",
        &[may("event_id", EVENT_ID), may("previous_item_id", Shape::Nullable(&Shape::Text)), must("item", ITEM)],
    ),
    (
        "conversation.item.truncate",
        &[
            may("event_id", EVENT_ID),
            must("item_id", Shape::Text),
            must("content_index", Shape::Integer(0, 1_000)),
            must("audio_end_ms", Shape::Integer(0, i32::MAX as i64)),
        ],
    ),
    ("conversation.item.delete", &[may("event_id", EVENT_ID), must("item_id", Shape::Text)]),
    ("conversation.item.retrieve", &[may("event_id", EVENT_ID), must("item_id", Shape::Text)]),
    ("response.create", &[may("event_id", EVENT_ID), may("response", Shape::Nullable(&RESPONSE))]),
    ("response.cancel", &[may("event_id", EVENT_ID), may("response_id", Shape::Text)]),
    ("output_audio_buffer.clear", &[may("event_id", EVENT_ID)]),
]);

impl Interviewer {
    /// A client event arrived. `Some` is the refusal, which has been sent already.
    pub fn client_event(&mut self, now: Duration, text: &str) -> Option<Problem> {
        self.advance(now);
        let event: Value = match serde_json::from_str(text) {
            Ok(event) => event,
            Err(error) => {
                let problem = Problem::invalid("invalid_json", format!("Invalid JSON: {error}"));
                self.refuse(&problem, None);
                return Some(problem);
            }
        };
        let outcome = EVENT.check("", &event).and_then(|()| self.obey(&event));
        let problem = outcome.err()?;
        self.refuse(&problem, event["event_id"].as_str());
        Some(problem)
    }

    fn obey(&mut self, event: &Value) -> Result<(), Problem> {
        match event["type"].as_str().unwrap_or_default() {
            "session.update" => self.update_session(&event["session"]),
            "conversation.item.create" => self.create_item(event),
            "conversation.item.delete" => self.delete_item(event),
            "conversation.item.retrieve" => self.retrieve_item(event),
            "conversation.item.truncate" => self.truncate_item(event),
            "response.create" => {
                check_modalities("response", &event["response"]["output_modalities"])?;
                self.create_response(&event["response"])
            }
            "response.cancel" => self.cancel_response(event["response_id"].as_str()),
            "output_audio_buffer.clear" => {
                self.clear_playback();
                Ok(())
            }
            "input_audio_buffer.commit" => self.commit_by_hand(),
            "input_audio_buffer.clear" => {
                self.clear_input();
                Ok(())
            }
            // Over WebRTC the audio comes by the media track; nothing is made of this.
            _ => Ok(()),
        }
    }

    fn update_session(&mut self, request: &Value) -> Result<(), Problem> {
        check(request)?;
        self.session.update(request, self.has_spoken)?;
        let session = self.session.value().clone();
        self.emit("session.updated", json!({ "session": session }));
        Ok(())
    }

    fn create_item(&mut self, event: &Value) -> Result<(), Problem> {
        let item = &event["item"];
        check_content(item)?;
        if self.conversation.is_full() {
            return Err(Problem::invalid("conversation_full", "The conversation has too many items."));
        }
        if let Some(id) = item["id"].as_str()
            && self.conversation.get(id).is_some()
        {
            let message = format!("Error creating item: the item with id '{id}' already exists.");
            return Err(Problem::invalid("item_create_duplicate_item_id", message).at("item.id"));
        }
        if item["type"] == "function_call_output" {
            let call = item["call_id"].as_str().unwrap_or_default();
            // A call that is still being generated may be answered already.
            if !self.conversation.has_call(call) {
                let message = format!("Tool call ID '{call}' not found in conversation.");
                return Err(Problem::invalid("invalid_tool_call_id", message));
            }
        }
        let id = item["id"].as_str().map_or_else(|| self.ids.next("item_"), str::to_owned);
        let mut value = item.clone();
        value["id"] = id.as_str().into();
        if item["type"] == "message" {
            value["status"] = "completed".into();
        }
        if item["type"] == "function_call" && item["call_id"].is_null() {
            value["call_id"] = self.ids.call().into();
        }
        let previous = event["previous_item_id"].as_str();
        let place = match previous {
            None => Place::End,
            Some("root") => Place::Front,
            Some(previous) => Place::After(previous),
        };
        if !self.conversation.insert(place, Item { value: value.clone(), audio_ms: 0 }) {
            let previous = previous.unwrap_or_default();
            let message = format!("Error creating item: the previous item with id '{previous}' does not exist.");
            return Err(Problem::invalid("item_create_invalid_previous_item_id", message).at("previous_item_id"));
        }
        self.notice_message(item);
        let previous = self.conversation.before(&id).map(str::to_owned);
        self.emit("conversation.item.added", json!({ "previous_item_id": previous, "item": value }));
        self.emit("conversation.item.done", json!({ "previous_item_id": previous, "item": value }));
        Ok(())
    }

    /// Seeded history tells the interviewer where the interview stands.
    fn notice_message(&mut self, item: &Value) {
        let Some(role) = item["role"].as_str() else { return };
        let texts = item["content"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
        let text: Vec<&str> = texts.collect();
        self.progress.saw_message(&self.script, role, &text.join(" "));
    }

    fn delete_item(&mut self, event: &Value) -> Result<(), Problem> {
        let id = event["item_id"].as_str().unwrap_or_default();
        if !self.conversation.remove(id) {
            return Err(no_such_item("deleting", "item_delete_invalid_item_id", id));
        }
        self.emit("conversation.item.deleted", json!({ "item_id": id }));
        Ok(())
    }

    fn retrieve_item(&mut self, event: &Value) -> Result<(), Problem> {
        let id = event["item_id"].as_str().unwrap_or_default();
        let item = self.conversation.get(id).ok_or_else(|| no_such_item("retrieving", "item_retrieve_invalid_item_id", id))?;
        let mut value = item.value.clone();
        // The real answer holds the audio too; half a second of silence stands for it.
        for part in value["content"].as_array_mut().into_iter().flatten() {
            if part["type"] == "input_audio" || part["type"] == "output_audio" {
                part["audio"] = data_encoding::BASE64.encode(&vec![0; 24_000]).into();
            }
        }
        self.emit("conversation.item.retrieved", json!({ "item": value }));
        Ok(())
    }

    fn truncate_item(&mut self, event: &Value) -> Result<(), Problem> {
        let id = event["item_id"].as_str().unwrap_or_default();
        let item = self.conversation.get(id).ok_or_else(|| no_such_item("truncating", "item_truncate_invalid_item_id", id))?;
        if item.value["role"] != "assistant" || item.value["content"][0]["type"] != "output_audio" {
            let message = "Only model output audio messages can be truncated";
            return Err(Problem::invalid("unsupported_content_type", message).at("item_id"));
        }
        let (has, wanted) = (item.audio_ms, event["audio_end_ms"].as_u64().unwrap_or_default());
        if wanted > has {
            let message = format!("Audio content of {has}ms is already shorter than {wanted}ms");
            return Err(Problem::invalid("invalid_value", message));
        }
        self.conversation.truncate(id, wanted);
        let fields = json!({ "item_id": id, "content_index": event["content_index"], "audio_end_ms": wanted });
        self.emit("conversation.item.truncated", fields);
        Ok(())
    }

    fn cancel_response(&mut self, id: Option<&str>) -> Result<(), Problem> {
        let active = self.active_response();
        if active.is_none() || id.is_some_and(|id| Some(id) != active) {
            return Err(Problem::invalid("response_cancel_not_active", "Cancellation failed: no active response found"));
        }
        self.cut_active(Cut::ClientCancelled);
        Ok(())
    }
}

/// Each role has its own kinds of content.
fn check_content(item: &Value) -> Result<(), Problem> {
    let allowed: &[&str] = match item["role"].as_str() {
        Some("system") => &["input_text"],
        Some("user") => &["input_text", "input_audio", "input_image"],
        Some("assistant") => &["output_text"],
        _ => return Ok(()),
    };
    for (index, part) in item["content"].as_array().into_iter().flatten().enumerate() {
        let kind = part["type"].as_str().unwrap_or_default();
        if !allowed.contains(&kind) {
            let listed: Vec<String> = allowed.iter().map(|name| format!("'{name}'")).collect();
            let message = format!("Invalid value: '{kind}'. Supported values are: {}.", listed.join(", "));
            return Err(Problem::invalid("invalid_value", message).at(format!("item.content[{index}].type")));
        }
    }
    Ok(())
}

fn no_such_item(doing: &str, code: &str, id: &str) -> Problem {
    Problem::invalid(code, format!("Error {doing} item: the item with id '{id}' does not exist.")).at("item_id")
}
