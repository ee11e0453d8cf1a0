//! The GA session object: what is accepted, its defaults, and how an update changes it.

use serde_json::{Value, json};

use super::problem::Problem;
use super::session_shape::FIELDS;
use super::shape::{Shape, wrong_type};

pub const DEFAULT_MODEL: &str = "gpt-realtime-2.1";

/// Checks a session object as a client sends it; `session` is the name in the path.
pub fn check(session: &Value) -> Result<(), Problem> {
    let Some(map) = session.as_object() else { return Err(wrong_type("session", "an object", session)) };
    // The vendor looks at the type first: a beta client learns about that before anything else.
    if !map.contains_key("type") {
        return Err(Problem::missing_parameter("session.type"));
    }
    Shape::Object(FIELDS).check("session", session)?;
    check_modalities("session", &session["output_modalities"])?;
    let model = session["model"].as_str().unwrap_or(DEFAULT_MODEL);
    for field in ["reasoning", "parallel_tool_calls"] {
        if map.contains_key(field) && !reasons(model) {
            let path = format!("session.{field}");
            let message = format!("Unsupported parameter: '{path}' is not supported with the '{model}' model.");
            return Err(Problem::invalid("unsupported_parameter", message).at(path));
        }
    }
    Ok(())
}

pub fn check_modalities(path: &str, modalities: &Value) -> Result<(), Problem> {
    let Some(list) = modalities.as_array() else { return Ok(()) };
    if list.len() == 1 {
        return Ok(());
    }
    let message = format!("Invalid modalities: {modalities}. Supported combinations are: ['text'] and ['audio'].");
    Err(Problem::invalid("invalid_value", message).at(format!("{path}.output_modalities")))
}

/// Only the second generation reasons before it speaks.
pub fn reasons(model: &str) -> bool {
    model.starts_with("gpt-realtime-2") && !model.starts_with("gpt-realtime-2025")
}

/// A session as the vendor keeps it: complete, with defaults.
#[derive(Clone, Debug)]
pub struct Session {
    value: Value,
}

impl Session {
    /// The session of a new call. `request` has been checked.
    pub fn new(id: &str, expires_at: i64, request: Option<&Value>) -> Self {
        let model = request.and_then(|request| request["model"].as_str()).unwrap_or(DEFAULT_MODEL);
        let voice = if reasons(model) { "marin" } else { "alloy" };
        let mut session = Self {
            value: json!({
                "type": "realtime",
                "object": "realtime.session",
                "id": id,
                "model": model,
                "output_modalities": ["audio"],
                "instructions": "",
                "tools": [],
                "tool_choice": "auto",
                "max_output_tokens": "inf",
                "tracing": null,
                "truncation": "auto",
                "prompt": null,
                "expires_at": expires_at,
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcm", "rate": 24000},
                        "transcription": null,
                        "noise_reduction": null,
                        "turn_detection": server_vad(model),
                    },
                    "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": voice, "speed": 1.0},
                },
                "include": null,
            }),
        };
        if let Some(request) = request {
            session.merge(request);
        }
        session
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    pub fn model(&self) -> &str {
        self.value["model"].as_str().unwrap_or(DEFAULT_MODEL)
    }

    /// Applies a checked `session.update`. `has_spoken`: the voice is fixed by then.
    pub fn update(&mut self, request: &Value, has_spoken: bool) -> Result<(), Problem> {
        if request.get("model").is_some_and(|model| *model != self.value["model"]) {
            return Err(Problem::invalid("invalid_value", "The model of a session cannot be changed.").at("session.model"));
        }
        let voice = &request["audio"]["output"]["voice"];
        if has_spoken && !voice.is_null() && *voice != self.value["audio"]["output"]["voice"] {
            let message = "Cannot update a conversation's voice if assistant audio is present.";
            return Err(Problem::invalid("cannot_update_voice", message));
        }
        if !self.value["tracing"].is_null() && request.get("tracing").is_some_and(|tracing| *tracing != self.value["tracing"]) {
            let message = "Cannot update the tracing configuration once it is set.";
            return Err(Problem::invalid("invalid_value", message).at("session.tracing"));
        }
        self.merge(request);
        Ok(())
    }

    fn merge(&mut self, request: &Value) {
        let Some(fields) = request.as_object() else { return };
        for (name, value) in fields {
            if name != "audio" {
                self.value[name] = value.clone();
            }
        }
        for side in ["input", "output"] {
            let Some(fields) = request["audio"][side].as_object() else { continue };
            for (name, value) in fields {
                let value = match name.as_str() {
                    "transcription" => transcription(value),
                    "turn_detection" => self.turn_detection(value),
                    _ => value.clone(),
                };
                self.value["audio"][side][name] = value;
            }
        }
    }

    fn turn_detection(&self, request: &Value) -> Value {
        let mut complete = match request["type"].as_str() {
            Some("semantic_vad") => {
                json!({"type": "semantic_vad", "eagerness": "auto", "create_response": true, "interrupt_response": true})
            }
            Some(_) => server_vad(self.model()),
            None => return Value::Null,
        };
        for (name, value) in request.as_object().into_iter().flatten() {
            complete[name] = value.clone();
        }
        complete
    }

    pub fn turn_taking(&self) -> Option<TurnTaking> {
        let settings = &self.value["audio"]["input"]["turn_detection"];
        let silence_ms = match settings["type"].as_str()? {
            "server_vad" => settings["silence_duration_ms"].as_u64().unwrap_or(500),
            // The real model judges by meaning; a clock has to do here.
            _ => match settings["eagerness"].as_str() {
                Some("low") => 1_200,
                Some("high") => 500,
                _ => 800,
            },
        };
        Some(TurnTaking {
            silence_ms,
            prefix_ms: settings["prefix_padding_ms"].as_u64().unwrap_or(300),
            create_response: settings["create_response"].as_bool().unwrap_or(true),
            interrupt_response: settings["interrupt_response"].as_bool().unwrap_or(true),
            idle_timeout_ms: settings["idle_timeout_ms"].as_u64(),
        })
    }

    /// The name of the transcription model, when the input is transcribed at all.
    pub fn transcriber(&self) -> Option<&str> {
        self.value["audio"]["input"]["transcription"]["model"].as_str()
    }

    /// Whether the certainty of the transcription is told.
    pub fn wants_logprobs(&self) -> bool {
        let include = self.value["include"].as_array();
        include.is_some_and(|include| include.iter().any(|wanted| wanted == "item.input_audio_transcription.logprobs"))
    }

    /// Whether the answer is spoken (else it is text).
    pub fn speaks(&self) -> bool {
        self.value["output_modalities"][0] != "text"
    }
}

/// How the session takes turns; without it the client commits turns by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnTaking {
    pub silence_ms: u64,
    pub prefix_ms: u64,
    pub create_response: bool,
    pub interrupt_response: bool,
    pub idle_timeout_ms: Option<u64>,
}

fn server_vad(model: &str) -> Value {
    json!({
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": if reasons(model) { 500 } else { 200 },
        "create_response": true,
        "interrupt_response": true,
        "idle_timeout_ms": null,
    })
}

fn transcription(request: &Value) -> Value {
    if request.is_null() {
        return Value::Null;
    }
    let mut complete = json!({"model": "gpt-4o-mini-transcribe", "language": null, "prompt": null});
    for (name, value) in request.as_object().into_iter().flatten() {
        complete[name] = value.clone();
    }
    complete
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(session: Value) -> (String, String) {
        let problem = check(&session).unwrap_err();
        (problem.code.unwrap(), problem.param.unwrap_or_default())
    }

    #[test]
    fn refuses_the_beta_shape_and_what_is_gone() {
        for (session, code, param) in [
            (json!({"voice": "alloy"}), "missing_required_parameter", "session.type"),
            (json!({"type": "realtime", "temperature": 0.7}), "unknown_parameter", "session.temperature"),
            (json!({"type": "realtime", "modalities": ["text"]}), "unknown_parameter", "session.modalities"),
            (json!({"type": "realtime", "turn_detection": null}), "unknown_parameter", "session.turn_detection"),
            (json!({"type": "transcription"}), "invalid_value", "session.type"),
            (json!({"type": "realtime", "output_modalities": ["text", "audio"]}), "invalid_value", "session.output_modalities"),
            (
                json!({"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcm"}}}}),
                "missing_required_parameter",
                "session.audio.output.format.rate",
            ),
            (
                json!({"type": "realtime", "audio": {"input": {"turn_detection": {"type": "semantic_vad", "threshold": 0.5}}}}),
                "unknown_parameter",
                "session.audio.input.turn_detection.threshold",
            ),
            (
                json!({"type": "realtime", "model": "gpt-realtime-1.5", "reasoning": {"effort": "low"}}),
                "unsupported_parameter",
                "session.reasoning",
            ),
            (
                json!({"type": "realtime", "audio": {"output": {"speed": 3}}}),
                "decimal_above_max_value",
                "session.audio.output.speed",
            ),
        ] {
            assert_eq!(refused(session), (code.to_owned(), param.to_owned()));
        }
    }

    #[test]
    fn fills_defaults_and_merges_updates() {
        let request = json!({"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}});
        check(&request).unwrap();
        let mut session = Session::new("sess_1", 7, Some(&request));
        assert_eq!(session.value()["audio"]["input"]["transcription"]["language"], Value::Null);
        assert_eq!(session.value()["audio"]["output"]["voice"], "marin");
        assert_eq!(session.turn_taking().unwrap().silence_ms, 500);

        session.update(&json!({"type": "realtime", "audio": {"input": {"turn_detection": null}}}), false).unwrap();
        assert_eq!(session.turn_taking(), None);
        assert_eq!(session.transcriber(), Some("gpt-realtime-whisper"));

        let voice = json!({"type": "realtime", "audio": {"output": {"voice": "cedar"}}});
        assert_eq!(session.update(&voice, true).unwrap_err().code.as_deref(), Some("cannot_update_voice"));
        session.update(&voice, false).unwrap();
        assert_eq!(session.value()["audio"]["output"]["voice"], "cedar");
    }
}
