//! The order of events, against recordings (see the interviewer's documentation for sources).

use super::*;
use crate::openai::script::ScriptSpeed;

const SILENT: i8 = -100;
const LOUD: i8 = -20;

/// A call in virtual time.
struct Stage {
    interviewer: Interviewer,
    now: Duration,
    events: Vec<Value>,
    clips: Vec<Duration>,
    silenced: usize,
}

impl Stage {
    fn new(config: Value) -> Self {
        crate::openai::session::check(&config).unwrap();
        let script = InterviewScript::standard().with_questions(2).with_speed(ScriptSpeed::natural());
        let interviewer = Interviewer::new(script, "sess_test", Some(&config), 1_795_500_000, Ids::new(1));
        Self { interviewer, now: Duration::ZERO, events: Vec::new(), clips: Vec::new(), silenced: 0 }
    }

    fn interview() -> Self {
        let mut stage = Self::new(json!({
            "type": "realtime",
            "instructions": "You run a structured job interview.",
            "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}},
            "tools": [{"type": "function", "name": "end_interview", "parameters": {
                "type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]}}],
        }));
        stage.interviewer.media_connected(Duration::ZERO);
        stage
    }

    fn collect(&mut self) {
        for output in self.interviewer.take_outputs() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::ChannelEvent(_) => {}
                Output::Play(clip) => self.clips.push(clip.duration()),
                Output::Silence => self.silenced += 1,
            }
        }
    }

    fn send(&mut self, event: Value) {
        self.interviewer.client_event(self.now, &event.to_string());
        self.collect();
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.interviewer.advance(self.now);
        self.collect();
    }

    fn hear(&mut self, ms: u64, level: i8) {
        for _ in 0..ms / 20 {
            self.now += Duration::from_millis(20);
            self.interviewer.hear(self.now, level);
            self.collect();
        }
    }

    /// The candidate speaks, and the turn ends.
    fn turn(&mut self, ms: u64) {
        self.hear(ms, LOUD);
        self.hear(600, SILENT);
    }

    /// The types since the last look, each run of equal ones once.
    fn types(&mut self) -> Vec<String> {
        let mut types: Vec<String> = self.events.drain(..).map(|event| event["type"].as_str().unwrap().to_owned()).collect();
        types.dedup();
        types
    }

    fn last(&self, kind: &str) -> &Value {
        self.events.iter().rev().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    }
}

const ANSWER: &[&str] = &[
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "output_audio_buffer.started",
    "response.output_audio_transcript.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
    "output_audio_buffer.stopped",
];

fn owned(types: &[&str]) -> Vec<String> {
    types.iter().map(|&kind| kind.to_owned()).collect()
}

#[test]
fn the_opening_follows_the_recorded_order_and_is_generated_faster_than_it_is_heard() {
    let mut stage = Stage::interview();
    stage
        .send(json!({"type": "session.update", "event_id": "rt_1", "session": {"type": "realtime", "instructions": "Be kind."}}));
    stage.send(json!({"type": "response.create", "event_id": "rt_2"}));
    stage.wait(3_000);
    assert!(stage.events.iter().any(|event| event["type"] == "response.done"));
    assert!(stage.interviewer.is_speaking(), "generation is well ahead of the voice");
    stage.wait(20_000);
    let updated = stage.last("session.updated");
    assert_eq!(updated["session"]["instructions"], "Be kind.");
    assert_eq!(updated["session"]["tools"][0]["name"], "end_interview");
    let done = stage.last("response.done")["response"].clone();
    assert_eq!((&done["status"], &done["status_details"]), (&json!("completed"), &Value::Null));
    let tokens = done["usage"]["output_token_details"]["audio_tokens"].as_u64().unwrap();
    assert_eq!(u128::from(tokens) * 50 / 1_000, stage.clips[0].as_millis() / 1_000);
    assert_eq!(stage.last("conversation.item.done")["previous_item_id"], Value::Null);
    assert_eq!(stage.last("response.created")["response"]["usage"], Value::Null);
    let delta = stage.last("response.output_audio_transcript.delta");
    assert!(delta["obfuscation"].is_string());
    let mut expected = owned(&["session.updated"]);
    expected.extend(owned(ANSWER));
    assert_eq!(stage.types(), expected);
}

#[test]
fn the_candidates_words_are_final_in_the_middle_of_the_answer() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "response.create"}));
    stage.wait(20_000);
    let opening = stage.last("conversation.item.added")["item"]["id"].clone();
    stage.events.clear();
    stage.turn(3_000);
    stage.wait(20_000);

    let started = stage.last("input_audio_buffer.speech_started").clone();
    let committed = stage.last("input_audio_buffer.committed").clone();
    assert_eq!((&committed["item_id"], &committed["previous_item_id"]), (&started["item_id"], &opening));
    let completed = stage.last("conversation.item.input_audio_transcription.completed").clone();
    assert_eq!(completed["item_id"], started["item_id"]);
    assert!(completed["transcript"].as_str().unwrap().starts_with("I led the rebuild"));
    assert_eq!(completed["usage"]["type"], "duration");
    assert!(completed.get("logprobs").is_none(), "nobody asked for them");
    let deltas: String = stage
        .events
        .iter()
        .filter(|event| event["type"] == "conversation.item.input_audio_transcription.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(deltas.strip_prefix(' '), completed["transcript"].as_str());

    let types = stage.types();
    assert_eq!(
        types[..7],
        owned(&[
            "input_audio_buffer.speech_started",
            "conversation.item.input_audio_transcription.delta",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
        ])
    );
    let at = |kind: &str| types.iter().position(|it| it == kind).unwrap();
    let completed = at("conversation.item.input_audio_transcription.completed");
    assert!(at("response.content_part.added") < completed && completed < at("response.output_audio_transcript.done"));
    let mut answer: Vec<String> = types[6..].iter().filter(|kind| !kind.contains("transcription")).cloned().collect();
    answer.dedup();
    assert_eq!(answer, owned(ANSWER));
}

#[test]
fn a_barge_in_after_the_answer_is_generated_clears_and_truncates() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "response.create"}));
    stage.wait(4_000);
    let item = stage.last("conversation.item.added")["item"]["id"].clone();
    assert_eq!(stage.types().last().unwrap(), "rate_limits.updated");
    stage.hear(200, LOUD);
    let truncated = stage.last("conversation.item.truncated");
    assert_eq!(truncated["item_id"], item);
    let heard = truncated["audio_end_ms"].as_u64().unwrap();
    assert!((3_000..4_200).contains(&heard), "{heard}");
    assert_eq!(stage.silenced, 1);
    let types = stage.types();
    assert_eq!(
        types,
        owned(&["input_audio_buffer.speech_started", "output_audio_buffer.cleared", "conversation.item.truncated"])
    );
    // The cleared audio never reports that it was heard to the end.
    stage.hear(600, SILENT);
    let next = stage.last("response.created")["response"]["id"].clone();
    stage.wait(20_000);
    for event in stage.events.iter().filter(|event| event["type"] == "output_audio_buffer.stopped") {
        assert_eq!(event["response_id"], next);
    }
}

#[test]
fn a_barge_in_while_generating_cancels() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "response.create"}));
    stage.wait(400);
    stage.events.clear();
    stage.hear(120, LOUD);
    let done = &stage.last("response.done")["response"];
    assert_eq!(done["status"], "cancelled");
    assert_eq!(done["status_details"]["reason"], "turn_detected");
    assert_eq!(done["output"][0]["status"], "incomplete");
    let types = stage.types();
    let from = types.iter().position(|kind| kind == "input_audio_buffer.speech_started").unwrap();
    assert_eq!(
        types[from..],
        owned(&[
            "input_audio_buffer.speech_started",
            "output_audio_buffer.cleared",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
            "conversation.item.truncated",
        ])
    );
}

#[test]
fn the_goodbye_calls_the_tool_in_the_same_response() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "response.create"}));
    stage.wait(20_000);
    for _ in 0..2 {
        stage.events.clear();
        stage.turn(2_000);
        stage.wait(20_000);
    }
    let call = stage.last("response.function_call_arguments.done").clone();
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["reason"].is_string());
    let output = stage.last("response.done")["response"]["output"].clone();
    assert_eq!((&output[0]["phase"], &output[1]["name"]), (&json!("commentary"), &json!("end_interview")));
    assert!(call["call_id"].as_str().unwrap().len() <= 32);
    let mut types: Vec<String> = stage.types().into_iter().filter(|kind| !kind.contains("transcription")).collect();
    types.dedup();
    let from = types.iter().position(|kind| kind == "response.content_part.added").unwrap();
    assert_eq!(
        types[from..],
        owned(&[
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "output_audio_buffer.started",
            "response.output_audio_transcript.delta",
            "response.output_item.added",
            "conversation.item.added",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
            "output_audio_buffer.stopped",
        ])
    );

    let call_id = call["call_id"].clone();
    stage.send(json!({"type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": call_id, "output": "{\"ok\":true}"}}));
    assert_eq!(stage.types(), owned(&["conversation.item.added", "conversation.item.done"]));
    assert!(stage.interviewer.is_over());
}

#[test]
fn a_goodbye_that_was_cut_is_said_again() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "response.create"}));
    stage.wait(20_000);
    stage.turn(2_000);
    stage.wait(20_000);
    stage.turn(2_000);
    stage.wait(100);
    stage.events.clear();
    stage.turn(2_000);
    stage.wait(20_000);
    assert_eq!(stage.last("response.function_call_arguments.done")["name"], "end_interview");
}

#[test]
fn races_are_refused_with_the_clients_event_id() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "response.cancel", "event_id": "rt_0"}));
    assert_eq!(stage.last("error")["error"]["code"], "response_cancel_not_active");
    stage.send(json!({"type": "response.create", "event_id": "rt_3"}));
    stage.send(json!({"type": "response.create", "event_id": "rt_4"}));
    let error = &stage.last("error")["error"];
    assert_eq!(error["code"], "conversation_already_has_active_response");
    assert_eq!(error["event_id"], "rt_4");
    stage.wait(500);
    stage.send(json!({"type": "response.cancel", "event_id": "rt_5"}));
    assert_eq!(stage.last("response.done")["response"]["status_details"]["reason"], "client_cancelled");
}

#[test]
fn an_update_with_an_unknown_field_changes_nothing() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "session.update", "event_id": "rt_1",
        "session": {"type": "realtime", "instructions": "new", "temperature": 0.7}}));
    let error = &stage.last("error")["error"];
    assert_eq!((&error["code"], &error["param"]), (&json!("unknown_parameter"), &json!("session.temperature")));
    assert_eq!(stage.interviewer.session().value()["instructions"], "You run a structured job interview.");
    stage.send(json!({"type": "session.update", "session": {"instructions": "new"}}));
    assert_eq!(stage.last("error")["error"]["param"], "session.type");
    stage.send(json!({"type": "input_audio_buffer.shout"}));
    assert_eq!(stage.last("error")["error"]["param"], "type");
}

#[test]
fn turn_detection_settings_are_honoured() {
    let mut stage = Stage::interview();
    let set = |detection: Value| json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}});
    stage.send(set(json!({"type": "server_vad", "create_response": false, "interrupt_response": false})));
    stage.send(json!({"type": "response.create"}));
    stage.wait(4_000);
    stage.events.clear();
    stage.turn(1_000);
    stage.wait(2_000);
    let types = stage.types();
    assert!(types.contains(&"conversation.item.input_audio_transcription.completed".to_owned()));
    assert!(!types.iter().any(|kind| kind.starts_with("response.") || kind.ends_with("cleared")), "{types:?}");

    stage.wait(20_000);
    stage.send(set(Value::Null));
    stage.events.clear();
    stage.turn(1_000);
    assert!(stage.types().is_empty());
    stage.send(json!({"type": "input_audio_buffer.commit"}));
    stage.wait(1_000);
    let types = stage.types();
    assert_eq!(types[0], "input_audio_buffer.committed");
    stage.send(json!({"type": "input_audio_buffer.commit"}));
    assert_eq!(stage.last("error")["error"]["code"], "input_audio_buffer_commit_empty");
}

#[test]
fn items_can_be_created_read_moved_and_deleted() {
    let mut stage = Stage::interview();
    let message = |id: &str, role: &str, kind: &str| json!({"type": "message", "id": id, "role": role, "content": [{"type": kind, "text": "hello"}]});
    stage.send(json!({"type": "conversation.item.create", "item": message("a", "user", "input_text")}));
    stage.send(json!({"type": "conversation.item.create", "item": message("b", "assistant", "output_text")}));
    assert_eq!(stage.last("conversation.item.added")["previous_item_id"], "a");
    stage.send(
        json!({"type": "conversation.item.create", "previous_item_id": "root", "item": message("c", "system", "input_text")}),
    );
    assert_eq!(stage.last("conversation.item.added")["previous_item_id"], Value::Null);
    stage.send(json!({"type": "conversation.item.create", "previous_item_id": "zz", "item": message("d", "user", "input_text")}));
    assert_eq!(stage.last("error")["error"]["code"], "item_create_invalid_previous_item_id");
    stage.send(json!({"type": "conversation.item.create", "item": message("e", "assistant", "output_audio")}));
    assert_eq!(stage.last("error")["error"]["code"], "invalid_value");
    stage.send(
        json!({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "call_x", "output": "1"}}),
    );
    assert_eq!(stage.last("error")["error"]["code"], "invalid_tool_call_id");
    stage.send(json!({"type": "conversation.item.retrieve", "item_id": "b"}));
    assert_eq!(stage.last("conversation.item.retrieved")["item"]["content"][0]["text"], "hello");
    stage.send(json!({"type": "conversation.item.delete", "item_id": "b"}));
    stage.send(json!({"type": "conversation.item.delete", "item_id": "b"}));
    assert_eq!(stage.last("error")["error"]["code"], "item_delete_invalid_item_id");
    let ids: Vec<&str> = stage.interviewer.items().iter().map(Item::id).collect();
    assert_eq!(ids, ["c", "a"]);
}

#[test]
fn a_seeded_conversation_is_never_greeted() {
    let mut stage = Stage::interview();
    for (role, kind, text) in [
        ("assistant", "output_text", "Hello. To begin, please tell me about a project you are proud of."),
        ("user", "input_text", "I built a billing service."),
    ] {
        stage.send(json!({"type": "conversation.item.create",
            "item": {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}}));
    }
    stage.send(json!({"type": "response.create", "response": {"instructions": "Continue the interview."}}));
    stage.wait(20_000);
    let said = stage.last("response.output_audio_transcript.done")["transcript"].as_str().unwrap();
    assert!(said.starts_with("Let us pick up") && said.contains("hardest problem"), "{said}");
}

#[test]
fn last_words_and_out_of_band_responses() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "response.create"}));
    stage.wait(20_000);
    let items = stage.interviewer.items().len();
    stage.send(json!({"type": "response.create", "response": {"conversation": "none", "output_modalities": ["text"], "metadata": {"for": "note"}}}));
    stage.wait(1_000);
    let done = &stage.last("response.done")["response"];
    assert_eq!((&done["conversation_id"], &done["metadata"]["for"]), (&Value::Null, &json!("note")));
    assert_eq!(done["output"][0]["content"][0]["type"], "output_text");
    assert_eq!(stage.interviewer.items().len(), items);
    stage.send(json!({"type": "response.create", "response": {"instructions": "Thank the candidate and say goodbye."}}));
    stage.wait(10_000);
    assert!(stage.last("response.output_audio_transcript.done")["transcript"].as_str().unwrap().starts_with("Our time is up"));
    assert!(stage.interviewer.is_over());
}

#[test]
fn a_failed_transcription_is_terminal_for_its_item() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "response.create"}));
    stage.wait(20_000);
    stage.events.clear();
    stage.interviewer.fail_next_transcription();
    stage.turn(1_500);
    stage.wait(2_000);
    let failed = stage.last("conversation.item.input_audio_transcription.failed");
    assert_eq!(failed["item_id"], stage.last("input_audio_buffer.committed")["item_id"]);
    assert!(!stage.types().iter().any(|kind| kind.contains("transcription.delta") || kind.contains("transcription.completed")));
}

#[test]
fn silence_is_broken_once_when_the_session_wants_that() {
    let mut stage = Stage::interview();
    stage.send(json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {
        "turn_detection": {"type": "server_vad", "idle_timeout_ms": 6000}}}}}));
    stage.send(json!({"type": "response.create"}));
    stage.wait(13_000);
    stage.events.clear();
    stage.wait(6_000);
    assert!(stage.events.iter().any(|event| event["type"] == "input_audio_buffer.timeout_triggered"));
    stage.wait(3_000);
    assert!(stage.last("response.output_audio_transcript.done")["transcript"].as_str().unwrap().contains("still there"));
    assert_eq!(stage.interviewer.questions_asked(), 1);
}

#[test]
fn without_media_a_call_still_runs_but_plays_nothing() {
    let mut stage = Stage::new(json!({"type": "realtime"}));
    stage.send(json!({"type": "response.create"}));
    stage.wait(10_000);
    assert!(stage.clips.is_empty());
    assert!(!stage.types().iter().any(|kind| kind.starts_with("output_audio_buffer")));
}

#[test]
fn expiry_is_announced() {
    let mut stage = Stage::interview();
    stage.interviewer.expire("Your session hit the maximum duration of 60 minutes.");
    stage.collect();
    assert_eq!(stage.last("error")["error"]["code"], "session_expired");
}
