use serde_json::json;

use super::*;

#[test]
fn empty_update_still_names_its_type() {
    let json = serde_json::to_value(SessionConfig::default()).expect("serializes");
    assert_eq!(json, json!({"type": "realtime"}));
}

#[test]
fn full_session_has_the_ga_shape() {
    let config = SessionConfig {
        model: Some("gpt-realtime-2.1".into()),
        instructions: Some("Be kind.".into()),
        output_modalities: Some(vec![Modality::Audio]),
        audio: Some(AudioConfig {
            input: Some(AudioInput {
                transcription: Field::Set(Transcription {
                    model: "gpt-realtime-whisper".into(),
                    language: Some("en".into()),
                    prompt: None,
                }),
                noise_reduction: Field::Set(NoiseReduction::NearField),
                turn_detection: Field::Set(TurnDetection::SemanticVad {
                    eagerness: Eagerness::Low,
                    create_response: true,
                    interrupt_response: true,
                }),
            }),
            output: Some(AudioOutput { voice: Some("marin".into()), speed: Some(1.0) }),
        }),
        tools: Some(vec![FunctionTool {
            name: "end_interview".into(),
            description: "Ends it.".into(),
            parameters: json!({"type": "object", "properties": {}, "required": []}),
        }]),
        tool_choice: Some(ToolChoice::Auto),
        max_output_tokens: Some(TokenLimit::Infinite),
        truncation: Some(Truncation::Auto),
        include: Some(vec!["item.input_audio_transcription.logprobs".into()]),
        ..SessionConfig::default()
    };
    let expected = json!({
        "type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be kind.", "output_modalities": ["audio"],
        "audio": {
            "input": {
                "transcription": {"model": "gpt-realtime-whisper", "language": "en"},
                "noise_reduction": {"type": "near_field"},
                "turn_detection": {
                    "type": "semantic_vad", "eagerness": "low", "create_response": true, "interrupt_response": true
                }
            },
            "output": {"voice": "marin", "speed": 1.0}
        },
        "tools": [{
            "type": "function", "name": "end_interview", "description": "Ends it.",
            "parameters": {"type": "object", "properties": {}, "required": []}
        }],
        "tool_choice": "auto", "max_output_tokens": "inf", "truncation": "auto",
        "include": ["item.input_audio_transcription.logprobs"]
    });
    assert_eq!(serde_json::to_value(&config).expect("serializes"), expected);
    let text = serde_json::to_string(&config).expect("serializes");
    assert!(!text.contains("temperature") && !text.contains("format"), "{text}");
}

#[test]
fn limits_and_cleared_fields_serialize_as_openai_wants_them() {
    let config = SessionConfig {
        max_output_tokens: Some(TokenLimit::At(512)),
        truncation: Some(Truncation::Retain(0.5)),
        audio: Some(AudioConfig {
            input: Some(AudioInput { turn_detection: Field::Clear, ..AudioInput::default() }),
            output: None,
        }),
        ..SessionConfig::default()
    };
    let expected = json!({
        "type": "realtime", "max_output_tokens": 512,
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
        "audio": {"input": {"turn_detection": null}}
    });
    assert_eq!(serde_json::to_value(config).expect("serializes"), expected);
}
