use serde_json::{Value, json};

use super::*;
use crate::integrations::openai::session_config::SessionConfig;

fn parse(value: Value) -> ServerEvent {
    ServerEvent::parse(&value.to_string())
}

/// The recorded script of a sideband, where it is at hand.
fn fixture() -> Option<String> {
    let path = std::env::var("INTERVIEW_FIXTURES")
        .map_or_else(|_| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures"), std::path::PathBuf::from);
    let path = path.join("sideband_interview.jsonl");
    let script = std::fs::read_to_string(&path).ok();
    if script.is_none() {
        println!("skipped: no recorded sideband script, set INTERVIEW_FIXTURES to its directory");
    }
    script
}

#[test]
fn every_frame_of_the_recorded_script_is_understood() {
    let Some(script) = fixture() else { return };
    let mut understood = 0;
    for line in script.lines() {
        let line: Value = serde_json::from_str(line).expect("json");
        if line["dir"] != "recv" {
            continue;
        }
        let event = ServerEvent::parse(&line["frame"].to_string());
        assert!(!matches!(event, ServerEvent::Unknown { .. }), "{}", line["frame"]);
        understood += usize::from(!matches!(event, ServerEvent::Ignored));
    }
    assert!(understood > 50, "only {understood} frames carry something");
}

#[test]
fn fields_may_be_null_absent_or_odd() {
    let event = parse(json!({
        "type": "response.done", "event_id": "e", "response": {
            "id": "resp_1", "status": "brand_new", "status_details": null, "usage": null, "metadata": "odd",
            "conversation_id": 7,
            "output": [
                {"id": "item_1", "type": "message", "role": "assistant", "status": null,
                 "content": [{"type": "output_audio", "transcript": "Hello."}, 5], "phase": null},
                {"no": "id"}
            ]
        }
    }));
    let ServerEvent::ResponseDone(ResponseEvent { response }) = event else { panic!("{event:?}") };
    assert_eq!(response.status, ResponseStatus::Unknown);
    assert_eq!((response.usage, response.metadata, response.in_conversation), (None, None, true));
    assert_eq!(response.output.len(), 1, "an item without id means nothing");
    assert_eq!(response.output[0].text().as_deref(), Some("Hello."));
}

#[test]
fn what_comes_twice_or_is_nested_without_end_costs_no_word() {
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    let completed = |fields: &str| {
        let kind = "conversation.item.input_audio_transcription.completed";
        ServerEvent::parse(&format!(r#"{{"type":"{kind}","item_id":"a",{fields}}}"#))
    };
    for fields in [
        r#""transcript":"words""#.to_owned(),
        r#""transcript":"first","transcript":"words""#.to_owned(),
        r#""item_id":"a","type":"conversation.item.input_audio_transcription.completed","transcript":"words""#.to_owned(),
        format!(r#""transcript":"words","usage":{deep},"extra":{deep}"#),
        r#""transcript":"words","usage":{"type":"tokens","total_tokens":-1}"#.to_owned(),
        r#""transcript":"words","content_index":18446744073709551616"#.to_owned(),
    ] {
        let ServerEvent::InputTranscriptionCompleted(told) = completed(&fields) else { panic!("{fields:.80}") };
        assert_eq!((told.item_id.as_str(), told.transcript.as_str()), ("a", "words"), "{fields:.80}");
    }
    for odd in [format!(r#""transcript":{deep}"#), r#""transcript":{"transcript":"x"}"#.to_owned()] {
        let ServerEvent::InputTranscriptionCompleted(told) = completed(&odd) else { panic!("{odd:.80}") };
        assert_eq!(told.transcript.as_str(), "", "{odd:.80}");
    }
    assert!(matches!(ServerEvent::parse(&deep), ServerEvent::Unknown { .. }));
    assert!(matches!(ServerEvent::parse(&format!(r#"{{"type":{deep}}}"#)), ServerEvent::Unknown { .. }));
    let foreign =
        format!(r#"{{"type":"conversation.item.added","item":{{"id":"x","type":"message","role":"user","content":{deep}}}}}"#);
    assert!(matches!(ServerEvent::parse(&foreign), ServerEvent::ItemAdded(_)));
}

#[test]
fn what_an_error_names_can_be_logged() {
    let long = format!("a\0\u{202e}{}", "x".repeat(100_000));
    let error = parse(json!({"type": "error", "error": {"type": long, "code": long, "param": long, "event_id": long}}));
    let ServerEvent::Error(ErrorEvent { error }) = error else { panic!("{error:?}") };
    for name in [error.kind, error.code, error.param, error.event_id] {
        let name = name.expect("it is told");
        assert!(name.len() <= 128 && name.starts_with("a\u{fffd}\u{fffd}x"), "{name}");
    }
}

#[test]
fn when_a_call_ends_is_a_time_or_nothing() {
    use crate::domain::edge::Timestamp;
    use crate::domain::voice::VoiceEvent;
    use crate::integrations::openai::voice::translate;
    let told = |at: &str| {
        let event = ServerEvent::parse(&format!(r#"{{"type":"session.updated","session":{{"expires_at":{at}}}}}"#));
        translate(&event)
    };
    let ready = |expires_at| vec![VoiceEvent::Ready { expires_at }];
    assert_eq!(told("1764350000"), ready(Timestamp::of_unix(1_764_350_000)));
    for odd in ["9223372036854775808", "18446744073709551615", "1e300", "-1", "null", "\"soon\"", "253402300800", "[]"] {
        assert_eq!(told(odd), ready(None), "{odd}");
    }
}

#[test]
fn candidate_item_has_no_words_yet() {
    let event = parse(json!({
        "type": "conversation.item.added", "previous_item_id": null,
        "item": {"id": "item_B", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": null}]}
    }));
    let ServerEvent::ItemAdded(ItemEvent { previous_item_id: None, item }) = event else { panic!("{event:?}") };
    assert_eq!((item.kind, item.role, item.text()), (ItemKind::Message, ItemRole::User, None));
}

#[test]
fn numbers_may_be_fractions() {
    let event = parse(json!({"type": "conversation.item.truncated", "item_id": "i", "content_index": 0, "audio_end_ms": 1860.4}));
    assert_eq!(event, ServerEvent::ItemTruncated(ItemTruncated { item_id: "i".into(), audio_end_ms: Some(1860) }));
    let event = parse(json!({"type": "conversation.item.truncated", "item_id": "i", "audio_end_ms": -1}));
    assert_eq!(event, ServerEvent::ItemTruncated(ItemTruncated { item_id: "i".into(), audio_end_ms: None }));
}

#[test]
fn text_and_audio_words_read_the_same() {
    for (kind, field) in [("response.output_audio_transcript.done", "transcript"), ("response.output_text.done", "text")] {
        let event = parse(json!({"type": kind, "response_id": "r", "item_id": "i", "content_index": 0, field: "Hi."}));
        let ServerEvent::OutputDone(done) = event else { panic!("{event:?}") };
        assert_eq!(done.transcript.as_str(), "Hi.");
    }
}

#[test]
fn frames_without_meaning_are_counted_not_fatal() {
    let unknown = |text: &str| matches!(ServerEvent::parse(text), ServerEvent::Unknown { .. });
    for text in
        ["", "null", "[]", "7", "{}", "not json", r#"{"type":7}"#, r#"{"type":"response.done"}"#, r#"{"type":"future.event"}"#]
    {
        assert!(unknown(text), "{text}");
    }
    let ServerEvent::Unknown { kind } = ServerEvent::parse(&format!(r#"{{"type":"{}"}}"#, "é".repeat(500))) else {
        panic!("known?")
    };
    assert!(kind.len() <= 96);
    assert!(unknown(&"[".repeat(100_000)), "deep nesting is refused, not a stack overflow");
}

#[test]
fn errors_mean_something() {
    let meaning = |code: &str| {
        let event = parse(
            json!({"type": "error", "error": {"type": "invalid_request_error", "code": code, "message": "m", "event_id": "rt-1"}}),
        );
        let ServerEvent::Error(ErrorEvent { error }) = event else { panic!("{event:?}") };
        assert_eq!(error.event_id.as_deref(), Some("rt-1"));
        error.meaning()
    };
    assert_eq!(meaning("session_expired"), ErrorMeaning::CallExpired);
    assert_eq!(meaning("conversation_already_has_active_response"), ErrorMeaning::ResponseAlreadyActive);
    assert_eq!(meaning("response_cancel_not_active"), ErrorMeaning::NoActiveResponse);
    assert_eq!(meaning("insufficient_quota"), ErrorMeaning::AccountBlocked);
    assert_eq!(meaning("unknown_parameter"), ErrorMeaning::Other);
    assert_eq!(parse(json!({"type": "error"})), ServerEvent::Error(ErrorEvent::default()));
}

#[test]
fn nobodys_words_print() {
    let canary = "my-secret-words";
    let frames = [
        json!({"type": "response.output_audio_transcript.delta", "item_id": "i", "delta": canary}),
        json!({"type": "conversation.item.input_audio_transcription.completed", "item_id": "i", "transcript": canary}),
        json!({"type": "conversation.item.done", "item": {"id": "i", "content": [{"type": "output_audio", "transcript": canary}]}}),
        json!({"type": "response.function_call_arguments.done", "call_id": "c", "arguments": canary}),
        json!({"type": "error", "error": {"message": canary}}),
    ];
    for frame in frames {
        let event = parse(frame);
        assert!(!format!("{event:?}").contains(canary), "{event:?}");
    }
    let sent = ClientEvent::ItemCreate { event_id: "e".into(), previous_item_id: None, item: NewItem::user(canary) };
    assert!(!format!("{sent:?}").contains(canary));
}

#[test]
fn client_events_have_the_wire_form() {
    let id = || "rt-1".to_owned();
    let cases = [
        (
            ClientEvent::SessionUpdate {
                event_id: id(),
                session: Box::new(SessionConfig { instructions: Some("x".into()), ..SessionConfig::default() }),
            },
            json!({"type": "session.update", "event_id": "rt-1", "session": {"type": "realtime", "instructions": "x"}}),
        ),
        (ClientEvent::ResponseCreate { event_id: id(), response: None }, json!({"type": "response.create", "event_id": "rt-1"})),
        (
            ClientEvent::ResponseCreate {
                event_id: id(),
                response: Some(ResponseParams { instructions: Some("Greet.".into()), ..ResponseParams::default() }),
            },
            json!({"type": "response.create", "event_id": "rt-1", "response": {"instructions": "Greet."}}),
        ),
        (
            ClientEvent::ItemCreate { event_id: id(), previous_item_id: None, item: NewItem::system("Five minutes left.") },
            json!({"type": "conversation.item.create", "event_id": "rt-1", "item": {
                "type": "message", "role": "system", "content": [{"type": "input_text", "text": "Five minutes left."}]}}),
        ),
        (
            ClientEvent::ItemCreate { event_id: id(), previous_item_id: None, item: NewItem::assistant("Hi.") },
            json!({"type": "conversation.item.create", "event_id": "rt-1", "item": {
                "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}}),
        ),
        (
            ClientEvent::ItemCreate {
                event_id: id(),
                previous_item_id: None,
                item: NewItem::function_output("call_x".into(), &json!({"ok": true})),
            },
            json!({"type": "conversation.item.create", "event_id": "rt-1", "item": {
                "type": "function_call_output", "call_id": "call_x", "output": "{\"ok\":true}"}}),
        ),
        (
            ClientEvent::ResponseCancel { event_id: id(), response_id: None },
            json!({"type": "response.cancel", "event_id": "rt-1"}),
        ),
        (ClientEvent::PlaybackClear { event_id: id() }, json!({"type": "output_audio_buffer.clear", "event_id": "rt-1"})),
    ];
    for (event, expected) in cases {
        assert_eq!(event.event_id(), "rt-1");
        assert_eq!(serde_json::to_value(&event).expect("serializes"), expected);
    }
}
