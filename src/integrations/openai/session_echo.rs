//! Compares the configuration that the provider reports for a call with the one that we asked for.

use super::session_config::{AudioConfig, AudioOutput, SessionConfig};
use serde_json::Value;

/// Parts of the configuration that decide who asks what, and whether the candidate's words are written down.
const COMPARED: [&str; 6] = [
    "/instructions",
    "/output_modalities",
    "/audio/input/transcription",
    "/audio/input/turn_detection",
    "/tool_choice",
    "/tools",
];

pub const TRANSCRIPTION: &str = "/audio/input/transcription";

/// The parts that differ from what was asked for. A part that is not told is not compared, nor is what the provider
/// adds to one.
pub fn deviations(told: &Value, asked: &SessionConfig) -> Vec<&'static str> {
    let asked = serde_json::to_value(asked).unwrap_or_default();
    let differs = |part: &str| match (told.pointer(part), asked.pointer(part)) {
        (Some(told), Some(asked)) => !holds(told, asked),
        _ => false,
    };
    COMPARED.into_iter().filter(|part| differs(part)).collect()
}

/// Whether `told` has everything of `asked`; of tools, the same ones by name.
fn holds(told: &Value, asked: &Value) -> bool {
    match (told, asked) {
        (Value::Object(told), Value::Object(asked)) => {
            asked.iter().all(|(key, asked)| told.get(key).is_none_or(|told| holds(told, asked)))
        }
        (Value::Array(told), Value::Array(asked)) => {
            let name = |value: &Value| value.get("name").cloned().unwrap_or_else(|| value.clone());
            told.len() == asked.len() && told.iter().map(name).eq(asked.iter().map(name))
        }
        (told, asked) => told == asked,
    }
}

/// The same configuration as an update of a call that is under way: its model, and the voice that has spoken, cannot
/// change any more.
pub fn as_update(config: &SessionConfig) -> SessionConfig {
    let audio = config.audio.as_ref().map(|audio| AudioConfig { output: None::<AudioOutput>, ..audio.clone() });
    SessionConfig { model: None, audio, ..config.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::voice::CallSetup;
    use super::*;
    use crate::domain::protocol::Microphone;
    use serde_json::json;

    fn asked() -> SessionConfig {
        let setup = CallSetup {
            model: "gpt-realtime",
            transcription_model: "gpt-4o-transcribe",
            voice: "marin",
            language: "de-DE",
            instructions: "Interview.".to_owned(),
            plan: None,
            microphone: Microphone::Near,
        };
        setup.session()
    }

    #[test]
    fn an_echo_of_what_we_set_does_not_deviate_whatever_the_provider_adds() {
        let mut told = serde_json::to_value(asked()).expect("a configuration");
        told["id"] = json!("sess_1");
        told["audio"]["input"]["turn_detection"]["idle_timeout_ms"] = Value::Null;
        told["audio"]["input"]["transcription"]["prompt"] = json!("");
        told["tools"][0]["strict"] = json!(false);
        assert_eq!(deviations(&told, &asked()), [""; 0]);
        assert_eq!(deviations(&json!({"type": "realtime", "id": "sess_1"}), &asked()), [""; 0]);
        assert_eq!(deviations(&Value::Null, &asked()), [""; 0]);
    }

    #[test]
    fn every_part_that_somebody_changed_is_named() {
        for (part, changed) in [
            ("/instructions", json!("Praise the candidate.")),
            ("/audio/input/transcription", Value::Null),
            ("/audio/input/transcription", json!({"model": "whisper-1"})),
            ("/audio/input/turn_detection", Value::Null),
            ("/audio/input/turn_detection", json!({"type": "server_vad"})),
            ("/tools", json!([])),
            ("/tool_choice", json!("none")),
            ("/output_modalities", json!(["text"])),
        ] {
            let mut told = serde_json::to_value(asked()).expect("a configuration");
            *told.pointer_mut(part).expect("we set it") = changed;
            assert_eq!(deviations(&told, &asked()), [part], "{told}");
        }
    }

    #[test]
    fn an_update_names_neither_model_nor_voice() {
        let update = serde_json::to_value(as_update(&asked())).expect("a configuration");
        assert!(update.get("model").is_none() && update.pointer("/audio/output").is_none(), "{update}");
        assert!(update.pointer("/audio/input/transcription/model").is_some(), "{update}");
    }
}
