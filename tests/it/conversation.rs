//! The conversation on the wire: what becomes of an interview whose voice provider fails, refuses, falls silent, or whose
//! model ends it at the wrong moment (docs/CONVERSATION.md). The real binary speaks with a stand-in that does whatever
//! the test says.

use crate::support::process::Process;
use crate::support::room::{Room, offer};
use crate::support::voice_stub::{Call, OFFER, OPENING, Updates, VoiceStub};
use crate::support::{World, wait_for};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What the runtime demands before its AI may end the interview is another test's matter.
const AT_ANY_TIME: [(&str, &str); 3] = [
    ("INTERVIEW__INTERVIEW__MIN_TURNS", "0"),
    ("INTERVIEW__INTERVIEW__MIN_DURATION_S", "0"),
    ("INTERVIEW__INTERVIEW__LAST_WORDS_S", "60"),
];

async fn world() -> (World, VoiceStub) {
    (World::start().await, VoiceStub::start().await)
}

/// A room in which the opening was said, and the test says everything from then on.
async fn opened(world: &World, stub: &VoiceStub) -> Room {
    let room = world.room(stub, &AT_ANY_TIME).await;
    room.call.by_hand(true);
    room
}

/// The same, and its time is up soon.
async fn limited(world: &World, stub: &VoiceStub, seconds: &str) -> Room {
    let mut overrides = AT_ANY_TIME.to_vec();
    overrides.push(("INTERVIEW__INTERVIEW__DEFAULT_DURATION_S", seconds));
    let room = world.room(stub, &overrides).await;
    room.call.by_hand(true);
    room
}

async fn told(room: &mut Room, kind: &str, what: &str) {
    let is_it = |event: &Value| event["type"] == kind && event["what"] == what;
    if !room.browser.seen.iter().any(is_it) {
        while !is_it(&room.browser.expect(kind).await) {}
    }
}

async fn end(world: &World, process: &mut Process) -> (Option<String>, Option<String>) {
    process.ended(Duration::from_secs(40)).await;
    (world.text(process.session, "phase").await, world.text(process.session, "end_reason").await)
}

fn error(kind: &str, code: Value) -> Value {
    json!({"type": "failed", "error": {"type": kind, "code": code, "message": "no"}})
}

/// C-01.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_fails_is_asked_for_again_and_the_page_is_told() {
    let (world, stub) = world().await;
    let mut room = opened(&world, &stub).await;
    room.call.turn("I built a ledger.");
    room.call.created("r1", Value::Null);
    room.call.done("r1", "failed", error("server_error", Value::Null));
    room.call.until_asked(&["opening", "answer"]).await;
    told(&mut room, "degraded", "interviewer").await;
    // A limit, once more; then it is answered.
    room.call.created("r2", json!({"purpose": "answer"}));
    room.call.done("r2", "failed", error("rate_limit_exceeded", json!("rate_limit_exceeded")));
    room.call.until_asked(&["opening", "answer", "answer"]).await;
    room.call.reply_unheard("r3", json!({"purpose": "answer"}), "Which consistency did you need?");
    room.call.playback("r3", "stopped");
    told(&mut room, "restored", "interviewer").await;
    assert!(room.process.logged("reply_failed").is_some());
    let sent = room.call.sent("response.create");
    assert!(sent.iter().all(|sent| sent["response"]["instructions"].is_null()), "persona and rules stay: {sent:?}");
    room.over(&world).await;

    // The opening stays an opening, and waits for the candidate.
    stub.reply_by_hand();
    let (mut process, mut browser) = world.lobby(&stub, &[]).await;
    offer(&mut browser, OFFER).await;
    let call = stub.call(stub.calls() - 1).await;
    browser.send(json!({"type": "media_state", "state": "connected"})).await;
    call.until_asked(&["opening"]).await;
    call.created("r1", json!({"purpose": "opening"}));
    call.send(json!({"type": "input_audio_buffer.speech_started", "item_id": "i1", "audio_start_ms": 1}));
    call.done("r1", "failed", error("server_error", Value::Null));
    sleep(Duration::from_secs(4)).await;
    assert_eq!(call.asked(), ["opening"], "the candidate speaks");
    call.send(json!({"type": "input_audio_buffer.speech_stopped", "item_id": "i1", "audio_end_ms": 2}));
    call.until_asked(&["opening", "opening"]).await;
    // The account is used up: no call can help.
    call.done("r2", "failed", error("insufficient_quota", json!("insufficient_quota")));
    wait_for("it is logged", || async { process.logged("openai_quota_exhausted").is_some() }).await;
    assert_eq!(end(&world, &mut process).await, (Some("failed".into()), Some("interviewer_failed".into())));
    let error = browser_error(&mut browser).await;
    assert_eq!((&error["code"], &error["retryable"]), (&json!("openai_quota_exhausted"), &json!(false)));
    world.stop().await;
}

async fn browser_error(browser: &mut crate::support::browser::Browser) -> Value {
    let is_error = |event: &&Value| event["type"] == "error" && event["request_type"].is_null();
    if let Some(error) = browser.seen.iter().find(is_error) {
        return error.clone();
    }
    browser.expect("error").await
}

/// C-02.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_its_limit_cuts_goes_on_once_and_not_over_the_candidate() {
    let (world, stub) = world().await;
    let room = opened(&world, &stub).await;
    let cut = json!({"type": "incomplete", "reason": "max_output_tokens"});
    room.call.turn("I built a ledger.");
    room.call.created("r1", Value::Null);
    room.call.item("r1", "a1");
    room.call.playback("r1", "started");
    room.call.words("r1", "a1", "I was about to say something lon");
    room.call.done("r1", "incomplete", cut.clone());
    room.call.playback("r1", "stopped");
    room.call.until_asked(&["opening", "continue"]).await;
    assert!(room.call.notes().iter().any(|note| note.contains("cut off")), "{:?}", room.call.notes());
    room.call.reply_unheard("r2", json!({"purpose": "continue"}), "ger than that.");
    room.call.playback("r2", "stopped");

    room.call.turn("Go on.");
    room.call.created("r3", Value::Null);
    room.call.item("r3", "a3");
    room.call.words("r3", "a3", "I was about");
    room.call.send(json!({"type": "input_audio_buffer.speech_started", "item_id": "i3", "audio_start_ms": 1}));
    room.call.done("r3", "incomplete", cut);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(room.call.asked(), ["opening", "continue"], "the candidate has the floor");
    room.over(&world).await;
    world.stop().await;
}

/// C-03.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interviewer_that_lives_and_says_nothing_is_asked_once_then_called_anew() {
    let (world, stub) = world().await;
    let mut room = opened(&world, &stub).await;
    room.call.speech();
    let since = Instant::now();
    room.call.until_asked(&["opening", "answer"]).await;
    told(&mut room, "degraded", "interviewer").await;
    assert!(since.elapsed() < Duration::from_secs(12), "{:?}", since.elapsed());
    let mute = room.call.clone();
    room.renegotiate().await;
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    wait_for("the mute call is hung up", || async { mute.is_hung_up() }).await;
    assert!(room.process.logged("interviewer_silent").is_some());
    // The new call speaks.
    room.call.until_asked(&["thread"]).await;
    told(&mut room, "restored", "interviewer").await;
    // Whoever thinks sets nothing off.
    room.call.turn("It was hard.");
    room.call.reply("And what did you learn?");
    sleep(Duration::from_secs(15)).await;
    assert_eq!((room.call.asked(), stub.calls()), (vec!["thread".to_owned()], 2));
    room.over(&world).await;
    world.stop().await;
}

const UNDER_WAY: &str = "Conversation already has an active response in progress: resp_1. Wait until the response is finished before creating a new one.";

/// C-04, C-07 (a).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_that_meets_a_reply_is_said_whole_when_that_is_done() {
    let (world, stub) = world().await;
    for (code, with_id) in [(json!("conversation_already_has_active_response"), true), (Value::Null, true), (Value::Null, false)]
    {
        let mut room = limited(&world, &stub, "10").await;
        room.call.turn("I built a ledger.");
        room.call.reply("Go on.");
        // The time is up while the candidate speaks.
        room.call.send(json!({"type": "input_audio_buffer.speech_started", "item_id": "u9", "audio_start_ms": 1}));
        while room.browser.expect("phase_changed").await["phase"] != "ending" {}
        sleep(Duration::from_millis(800)).await;
        assert_eq!(room.call.asked(), ["opening"], "the candidate speaks");
        room.call.speech_as("u9");
        room.call.until_asked(&["opening", "goodbye"]).await;
        room.call.refuse_last("response.create", &code, UNDER_WAY, with_id);
        room.call.reply_unheard("r1", Value::Null, "And what did you learn from it?");
        room.call.until_asked(&["opening", "goodbye", "goodbye"]).await;
        let said = room.call.notes().iter().filter(|note| note.contains("say goodbye")).count();
        assert_eq!(said, 1, "the model is told once: {:?}", room.call.notes());
        room.call.playback("r1", "stopped");
        room.call.reply_unheard("g1", json!({"purpose": "goodbye"}), "Thank you, goodbye.");
        sleep(Duration::from_secs(1)).await;
        assert!(!room.call.is_hung_up(), "it is still heard");
        room.call.playback("g1", "stopped");
        room.browser.expect("session_ended").await;
        assert_eq!(end(&world, &mut room.process).await, (Some("completed".into()), Some("time_limit".into())));
    }
    world.stop().await;
}

/// C-04 (c), (d).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_and_a_thread_that_meet_a_reply_are_asked_for_again() {
    let (world, stub) = world().await;
    stub.reply_by_hand();
    let (process, mut browser) = world.lobby(&stub, &AT_ANY_TIME).await;
    for purpose in ["opening", "thread"] {
        let calls = stub.calls();
        offer(&mut browser, OFFER).await;
        let call = stub.call(calls).await;
        browser.send(json!({"type": "media_state", "state": "connected"})).await;
        call.until_asked(&[purpose]).await;
        call.refuse_last("response.create", &Value::Null, UNDER_WAY, true);
        call.reply("And what did you learn from it?");
        call.until_asked(&[purpose, purpose]).await;
        call.reply_unheard("r2", json!({"purpose": purpose}), "Welcome.");
        call.playback("r2", "stopped");
        browser.send(json!({"type": "media_state", "state": "failed"})).await;
        browser.expect("media_renegotiate").await;
    }
    drop(process);
    world.stop().await;
}

/// C-05, C-06, C-08.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tool_that_ends_counts_in_a_reply_that_was_heard_and_no_other() {
    let (world, stub) = world().await;
    let mut room = opened(&world, &stub).await;
    // Cut by the candidate.
    room.call.turn("I built a ledger.");
    room.call.created("r1", Value::Null);
    room.call.item("r1", "a1");
    room.call.playback("r1", "started");
    room.call.words("r1", "a1", "Thank you for your time");
    room.call.tool("r1", "c1", "end_interview", "{}");
    sleep(Duration::from_millis(300)).await;
    room.call.send(json!({"type": "input_audio_buffer.speech_started", "item_id": "u2", "audio_start_ms": 1}));
    room.call.done("r1", "cancelled", json!({"type": "cancelled", "reason": "turn_detected"}));
    room.call.playback("r1", "cleared");
    sleep(Duration::from_millis(1_500)).await;
    room.call.speech_as("u2");
    room.call.completed("u2", "Wait, I have a question.");
    world.until_stored(room.session(), "Wait, I have a question.").await;
    assert!(room.call.outputs("c1")[0].contains("not finished"), "{:?}", room.call.outputs("c1"));
    room.call.reply("Of course.");
    assert_eq!(world.text(room.session(), "phase").await.as_deref(), Some("live"));

    // A tool that does not exist, and a malformed call, twice.
    for (call, name, arguments) in [("c2", "finish_call", "{}"), ("c3", "end_interview", "{\"reason\":")] {
        let asked = room.call.asked().len();
        room.call.turn("Go on.");
        let reply = format!("tool_{call}");
        room.call.created(&reply, Value::Null);
        room.call.tool(&reply, call, name, arguments);
        room.call.tool(&reply, call, name, arguments);
        room.call.done(&reply, "completed", Value::Null);
        wait_for("a reply is asked for", || async { room.call.asked().len() == asked + 1 }).await;
        assert_eq!(room.call.asked().last().map(String::as_str), Some("tool"));
        let outputs = room.call.outputs(call);
        assert!(outputs.len() == 1 && outputs[0].contains("error"), "{outputs:?}");
        let next = format!("after_{call}");
        room.call.reply_unheard(&next, json!({"purpose": "tool"}), "Let us go on.");
        room.call.playback(&next, "stopped");
    }

    // C-06 (a): nothing was said. (b): the candidate answers the goodbye.
    room.call.turn("That is all.");
    room.call.created("r9", Value::Null);
    room.call.tool("r9", "c9", "end_interview", "{}");
    room.call.done("r9", "completed", Value::Null);
    wait_for("a goodbye is asked for", || async { room.call.asked().last().is_some_and(|last| last == "goodbye") }).await;
    assert!(room.call.outputs("c9")[0].contains("true"));
    room.call.reply_unheard("g", json!({"purpose": "goodbye"}), "Thank you, goodbye.");
    room.call.playback("g", "stopped");
    sleep(Duration::from_millis(300)).await;
    room.call.send(json!({"type": "input_audio_buffer.speech_started", "item_id": "u3", "audio_start_ms": 1}));
    sleep(Duration::from_secs(3)).await;
    assert!(!room.call.is_hung_up(), "the candidate is heard out");
    room.call.speech_as("u3");
    room.call.completed("u3", "Thanks, bye.");
    room.browser.expect("session_ended").await;
    let entry = world.entry(room.session(), "Thanks, bye.").await.expect("it has its line");
    assert_eq!(entry["status"], "final");
    assert_eq!(end(&world, &mut room.process).await, (Some("completed".into()), Some("interviewer_ended".into())));
    world.stop().await;
}

/// C-05, the variant; and a farewell that comes without the tool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_before_its_time_is_refused_and_a_farewell_without_the_tool_ends_all_the_same() {
    let (world, stub) = world().await;
    let mut room = world.room(&stub, &[("INTERVIEW__INTERVIEW__LAST_WORDS_S", "60")]).await;
    room.call.by_hand(true);
    for n in 1..=2 {
        room.call.turn(&format!("Answer {n}."));
        let reply = format!("early{n}");
        room.call.created(&reply, Value::Null);
        room.call.tool(&reply, &reply, "end_interview", "{}");
        room.call.done(&reply, "completed", Value::Null);
        wait_for("a reply is asked for", || async { room.call.asked().len() == n + 1 }).await;
        assert!(room.call.outputs(&reply)[0].contains("not_yet"), "{:?}", room.call.outputs(&reply));
        let next = format!("next{n}");
        room.call.reply_unheard(&next, json!({"purpose": "tool"}), "Let us go on.");
        room.call.playback(&next, "stopped");
    }
    assert_eq!(world.text(room.session(), "phase").await.as_deref(), Some("live"));
    room.call.turn("Answer 3.");
    room.call.reply("Thank you for your time. Goodbye!");
    let parted = Instant::now();
    while world.text(room.session(), "phase").await.as_deref() == Some("live") {
        assert!(parted.elapsed() < Duration::from_secs(40), "nobody ends it");
        room.browser.send(json!({"type": "heartbeat"})).await;
        sleep(Duration::from_secs(1)).await;
    }
    room.browser.expect("session_ended").await;
    assert!(parted.elapsed() >= Duration::from_secs(18), "{:?}", parted.elapsed());
    assert_eq!(end(&world, &mut room.process).await.1.as_deref(), Some("interviewer_ended"));
    world.stop().await;
}

/// C-07 (b), (c).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_that_is_cut_is_said_again_shorter_and_its_time_counts_from_its_start() {
    let (world, stub) = world().await;
    let mut room = limited(&world, &stub, "8").await;
    // Audio of the reply before is still being heard when the time is up.
    room.call.turn("I built a ledger.");
    room.call.reply_unheard("r1", Value::Null, "A long story");
    room.call.until_asked(&["opening", "goodbye"]).await;
    room.call.created("g1", json!({"purpose": "goodbye"}));
    room.call.item("g1", "ag1");
    room.call.words_done("g1", "ag1", "Thank you very much.");
    room.call.done("g1", "completed", Value::Null);
    sleep(Duration::from_secs(10)).await;
    assert!(!room.call.is_hung_up(), "the goodbye has not begun");
    room.call.playback("r1", "stopped");
    room.call.playback("g1", "started");
    sleep(Duration::from_millis(500)).await;
    room.call.send(json!({"type": "input_audio_buffer.speech_started", "item_id": "u2", "audio_start_ms": 1}));
    room.call.playback("g1", "cleared");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(room.call.asked().len(), 2, "not into the sentence");
    room.call.speech_as("u2");
    room.call.completed("u2", "One more thing.");
    room.call.until_asked(&["opening", "goodbye", "goodbye"]).await;
    assert!(room.call.notes().last().is_some_and(|note| note.contains("one short sentence")), "{:?}", room.call.notes());
    room.call.reply_unheard("g2", json!({"purpose": "goodbye"}), "Goodbye.");
    room.call.playback("g2", "stopped");
    room.browser.expect("session_ended").await;
    assert_eq!(end(&world, &mut room.process).await.1.as_deref(), Some("time_limit"));
    world.stop().await;
}

/// C-10, C-13.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_not_let_in_is_tried_again_and_then_another_call_is_begun() {
    let (world, stub) = world().await;
    stub.refuse_joins(1, 401);
    let room = world.room(&stub, &[]).await;
    assert_eq!(room.call.asked(), ["opening"], "greeted after a second try");
    room.over(&world).await;

    // Never let in: another call, and the books say so.
    stub.refuse_joins(u32::MAX, 401);
    let (mut process, mut browser) = world.lobby(&stub, &[]).await;
    let calls = stub.calls();
    offer(&mut browser, OFFER).await;
    browser.send(json!({"type": "media_state", "state": "connected"})).await;
    while browser.expect("degraded").await["what"] != "control" {}
    for _ in 0..2 {
        browser.expect("media_renegotiate").await;
        offer(&mut browser, OFFER).await;
    }
    assert_eq!(end(&world, &mut process).await, (Some("failed".into()), Some("interviewer_failed".into())));
    assert_eq!(stub.calls(), calls + 3, "and no more");
    assert!(world.noted(process.session, "control_given_up").await > 0);

    // Let in, and closed at our first word.
    stub.refuse_joins(0, 401);
    stub.close_lines(Some(1008));
    let (process, mut browser) = world.lobby(&stub, &[]).await;
    let calls = stub.calls();
    offer(&mut browser, OFFER).await;
    let call = stub.call_opened(calls).await;
    browser.expect("media_renegotiate").await;
    let joins = call.closed_joins();
    assert!((2..=6).contains(&joins), "{joins} joins");
    stub.close_lines(None);
    offer(&mut browser, OFFER).await;
    browser.send(json!({"type": "media_state", "state": "connected"})).await;
    browser.until_told(OPENING).await;
    drop(process);
    world.stop().await;
}

/// C-14.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_names_no_conversation_belongs_to_it_unless_it_says_null() {
    let (world, stub) = world().await;
    let room = opened(&world, &stub).await;
    let created = |reply: &str, more: Value| {
        let mut response = json!({"id": reply, "status": "in_progress", "metadata": null, "output": []});
        if let (Some(response), Some(more)) = (response.as_object_mut(), more.as_object()) {
            response.extend(more.clone());
        }
        room.call.send(json!({"type": "response.created", "response": response}));
    };
    for (reply, more, text) in [
        ("r1", json!({}), "Said without a conversation id."),
        ("r2", json!({"conversation_id": null}), "Said beside the conversation."),
    ] {
        created(reply, more);
        let item = format!("a_{reply}");
        room.call.item(reply, &item);
        room.call.words_done(reply, &item, text);
        room.call.done(reply, "completed", Value::Null);
    }
    world.until_stored(room.session(), "Said without a conversation id.").await;
    room.call.turn("Yes.");
    world.until_stored(room.session(), "Yes.").await;
    assert!(world.entry(room.session(), "Said beside the conversation.").await.is_none());
    room.call.reply("Go on.");
    room.over(&world).await;
    world.stop().await;
}

/// C-11: the next call is told what was heard, in a script without spaces too, and nothing empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_heard_of_a_reply_is_known_in_a_script_without_spaces() {
    let (world, stub) = world().await;
    let mut room = opened(&world, &stub).await;
    room.call.turn("はい。");
    let text = "これまでの経験について教えてください";
    room.call.created("r1", Value::Null);
    room.call.item("r1", "a1");
    room.call.playback("r1", "started");
    room.call.words("r1", "a1", text);
    room.call.words_done("r1", "a1", text);
    // 6 s of audio.
    let output =
        json!([{"id": "a1", "type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": text}]}]);
    let done = json!({"id": "r1", "status": "completed", "conversation_id": "conv_1", "output": output,
        "usage": {"output_token_details": {"audio_tokens": 120}}});
    room.call.send(json!({"type": "response.done", "response": done}));
    room.call.send(json!({"type": "input_audio_buffer.speech_started", "item_id": "u3", "audio_start_ms": 1}));
    room.call.playback("r1", "cleared");
    room.call.send(json!({"type": "conversation.item.truncated", "item_id": "a1", "content_index": 0, "audio_end_ms": 4000}));
    room.call.speech_as("u3");
    room.call.completed("u3", "すみません。");
    world.until_stored(room.session(), "すみません。").await;
    let entry = world.entry(room.session(), text).await.expect("it is stored");
    assert_eq!(entry["heard_text"], "これまでの経験について教", "two thirds of it: {entry}");
    room.browser.send(json!({"type": "media_state", "state": "failed"})).await;
    room.renegotiate().await;
    room.call.until_asked(&["thread"]).await;
    let seeds: Vec<String> = room.call.sent("conversation.item.create").iter().map(|sent| sent["item"].to_string()).collect();
    assert!(seeds.iter().any(|seed| seed.contains("これまでの経験について教")), "{seeds:?}");
    assert!(!seeds.iter().any(|seed| seed.contains(r#""text":"""#)), "{seeds:?}");
    room.over(&world).await;
    world.stop().await;
}

/// C-12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_without_words_are_nowhere_and_wait_for_nothing() {
    let (world, stub) = world().await;
    let mut room = world.room(&stub, &[("INTERVIEW__INTERVIEW__AWAITED_WORDS_S", "30")]).await;
    room.call.by_hand(true);
    room.call.turn("");
    room.call.reply("I did not understand.");
    room.call.turn("Real words.");
    room.call.reply("Go on.");
    world.until_stored(room.session(), "Real words.").await;
    room.call.send(json!({"type": "input_audio_buffer.speech_started", "item_id": "u3", "audio_start_ms": 1}));
    room.call.send(json!({"type": "input_audio_buffer.speech_stopped", "item_id": "u3", "audio_end_ms": 2}));
    sleep(Duration::from_secs(4)).await;
    let ending = Instant::now();
    room.browser.send(json!({"type": "end_session"})).await;
    room.browser.expect("session_ended").await;
    assert!(ending.elapsed() < Duration::from_secs(5), "nothing was waited for: {:?}", ending.elapsed());
    room.process.ended(Duration::from_secs(30)).await;
    let rows = world.entries(room.session()).await;
    let empty: Vec<&Value> = rows.iter().filter(|row| row["text"] == "").collect();
    assert!(empty.is_empty(), "{empty:?}");
    let shown = room.browser.seen.iter().filter(|event| event["type"] == "transcript_entry" && event["entry"]["text"] == "");
    assert_eq!(shown.count(), 0);
    world.stop().await;
}

fn not_transcribed(call: &Call) {
    let item = call.speech();
    let error = json!({"type": "invalid_request_error", "code": "DeploymentNotFound", "message": "no", "param": null});
    call.send(json!({"type": "conversation.item.input_audio_transcription.failed", "item_id": item, "content_index": 0, "error": error}));
    call.reply("Go on.");
}

/// C-17.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_that_no_model_writes_down_end_the_interview_and_say_why() {
    let (world, stub) = world().await;
    let mut room = opened(&world, &stub).await;
    let model = || room.call.configuration()["audio"]["input"]["transcription"]["model"].clone();
    let first = model();
    for _ in 0..3 {
        not_transcribed(&room.call);
    }
    wait_for("the other model", || async { model() != first }).await;
    let logged = room.process.logged("transcription_failed").expect("it is logged");
    assert_eq!(logged["openai.code"], "DeploymentNotFound");
    assert_eq!(world.text(room.session(), "phase").await.as_deref(), Some("live"));
    room.call.by_hand(false);
    for _ in 0..3 {
        not_transcribed(&room.call);
    }
    room.browser.expect("session_ended").await;
    assert_eq!(room.call.asked().last().map(String::as_str), Some("goodbye"));
    assert_eq!(end(&world, &mut room.process).await.1.as_deref(), Some("not_transcribed"));
    world.stop().await;
}

/// C-18.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_is_refused_or_changed_is_made_smaller_then_the_call_is_replaced() {
    let (world, stub) = world().await;
    stub.take_updates(Updates::Refused { smaller_too: false });
    let room = world.room(&stub, &[]).await;
    let updates = room.call.sent("session.update");
    assert_eq!(updates.len(), 2, "{updates:?}");
    let input = &updates[1]["session"]["audio"]["input"];
    assert!(input["turn_detection"]["type"] == "server_vad" && input["transcription"]["model"].is_string(), "{input}");
    room.over(&world).await;

    for updates in [Updates::Refused { smaller_too: true }, Updates::ToldWithoutTranscription] {
        stub.take_updates(updates);
        let (mut process, mut browser) = world.lobby(&stub, &[]).await;
        let calls = stub.calls();
        offer(&mut browser, OFFER).await;
        browser.send(json!({"type": "media_state", "state": "connected"})).await;
        for _ in 0..2 {
            browser.expect("media_renegotiate").await;
            offer(&mut browser, OFFER).await;
        }
        assert_eq!(end(&world, &mut process).await, (Some("failed".into()), Some("interviewer_failed".into())));
        assert_eq!(stub.calls(), calls + 3);
        assert!(process.logged("call_configuration_refused").is_some());
        assert_eq!(world.noted(process.session, "foreign_session_update").await, 0, "nobody is accused of it");
    }
    world.stop().await;
}

/// C-09: each call of the interview names the language to speak and to keep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_language_is_named_in_every_call() {
    let (world, stub) = world().await;
    for (tag, name, hint) in
        [("de-DE", "German", json!("de")), ("fil", "Filipino", Value::Null), ("yue", "Yue Chinese", Value::Null)]
    {
        let session = world.new_session().await;
        world.set_language(session, tag).await;
        let (process, mut browser) = world.lobby_of(session, &stub, &[]).await;
        for _ in 0..2 {
            let calls = stub.calls();
            offer(&mut browser, OFFER).await;
            let call = stub.call(calls).await;
            let configuration = call.configuration();
            let instructions = configuration["instructions"].as_str().unwrap_or_default();
            assert!(instructions.contains(&format!("Speak {name} ({tag})")), "{instructions}");
            assert_eq!(configuration["audio"]["input"]["transcription"]["language"], hint, "{tag}");
            browser.send(json!({"type": "media_state", "state": "failed"})).await;
            browser.expect("media_renegotiate").await;
        }
        drop(process);
    }
    world.stop().await;
}

/// S-04.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_that_nobody_said_are_kept_with_a_mark_and_nobody_is_judged_by_them() {
    let (world, stub) = world().await;
    let said = "I built a ledger for two teams.";
    for is_answered in [false, true] {
        let room = opened(&world, &stub).await;
        let session = room.session();
        let completed = |item: &str, text: &str, logprobs: Value| {
            let kind = "conversation.item.input_audio_transcription.completed";
            json!({"type": kind, "item_id": item, "content_index": 0, "transcript": text, "logprobs": logprobs, "languages": ["en"]})
        };
        for (item, ms, text, logprob) in [
            ("noise", 200, "Thank you for watching!", Value::Null),
            ("breath", 1_500, "Thank you.", json!([{"token": "Thank", "logprob": -1.9}, {"token": " you", "logprob": -0.9}])),
            ("foreign", 1_200, "MBC 뉴스 이덕영입니다.", json!("no list")),
        ] {
            room.call.speech_for(item, ms);
            room.call.send(completed(item, text, logprob));
            room.call.reply(&format!("Could you say that again, after {item}?"));
        }
        room.call.speech_for("loud", 2_000);
        room.call.send(completed("loud", "say that again, after foreign", Value::Null));
        if is_answered {
            room.call.speech_for("short", 200);
            room.call.send(completed("short", "Yes.", json!([{"token": "Yes.", "logprob": -0.1}])));
            room.call.turn(said);
            world.until_stored(session, said).await;
        }
        world.until_stored(session, "say that again, after foreign").await;
        let asked = stub.summaries_asked().len();
        room.over(&world).await;

        let rows = world.entries(session).await;
        let of = |item: &str| rows.iter().find(|row| row["item_id"] == item).unwrap_or_else(|| panic!("{item}: {rows:#?}"));
        let doubts = ["noise", "breath", "foreign", "loud"].map(|item| of(item)["doubt"].clone());
        assert_eq!(doubts, ["hallucination", "hallucination", "hallucination", "echo"].map(Value::from));
        assert!(rows.iter().all(|row| row["authoritative"] == true && row["source"] == "sideband"), "{rows:#?}");
        assert_eq!((&of("breath")["logprob"], &of("breath")["language"]), (&json!(-1.4), &json!("en")));
        assert_eq!(of("noise")["logprob"], Value::Null);
        if is_answered {
            assert_eq!(of("short")["doubt"], Value::Null, "a short answer is one");
            let prompt = stub.summaries_asked().last().map(Value::to_string).unwrap_or_default();
            assert!(prompt.contains("hallucination") && prompt.contains(said), "{prompt}");
        } else {
            assert_eq!(stub.summaries_asked().len(), asked, "nobody said anything");
        }
    }
    world.stop().await;
}

/// One row for each request to the vendor, whatever becomes of it, and however often it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replies_transcriptions_and_the_summary_cost_is_stored() {
    let (world, stub) = world().await;
    let usage = json!({"input_tokens": 900, "output_tokens": 80, "input_tokens_details": {"cached_tokens": 512}});
    let filtered = json!({"reason": "content_filter"});
    stub.answer_summaries(200, json!({"id": "resp_1", "status": "incomplete", "incomplete_details": filtered, "usage": usage}));
    let room = opened(&world, &stub).await;
    let session = room.session();
    let item = room.call.speech();
    let completed = |usage: Value| {
        let kind = "conversation.item.input_audio_transcription.completed";
        json!({"type": kind, "item_id": item, "content_index": 0, "transcript": "I built a ledger.", "usage": usage})
    };
    room.call.send(completed(json!({"type": "duration", "seconds": 3.2})));
    room.call.send(completed(json!({"type": "duration", "seconds": 3.2})));
    let done = |reply: &str, status: &str, usage: Value| {
        let response = json!({"id": reply, "status": status, "conversation_id": "conv_1", "output": [], "usage": usage});
        json!({"type": "response.done", "response": response})
    };
    let usage = json!({
        "total_tokens": 153, "input_tokens": 113, "output_tokens": 40,
        "input_token_details": {"text_tokens": 13, "audio_tokens": 100, "cached_tokens": 64},
        "output_token_details": {"text_tokens": 10, "audio_tokens": 30},
    });
    room.call.created("r1", Value::Null);
    room.call.item("r1", "a1");
    room.call.words_done("r1", "a1", "Which consistency did you need?");
    // Generated before it is heard.
    room.call.send(done("r1", "completed", usage.clone()));
    room.call.playback("r1", "started");
    room.call.playback("r1", "stopped");
    room.call.created("r2", Value::Null);
    room.call.send(done("r2", "failed", json!({"input_token_details": {"text_tokens": -1, "audio_tokens": 1e300}})));
    wait_for("both replies are counted", || async { world.usage(session).await.iter().any(|row| row["subject"] == "r2") }).await;
    room.over(&world).await;
    let rows = world.usage(session).await;
    let of = |subject: &str| -> Vec<&Value> { rows.iter().filter(|row| row["subject"] == subject).collect() };
    let [told] = of("r1")[..] else { panic!("one row: {rows:#?}") };
    let tokens = ["input_text", "input_audio", "input_cached", "output_text", "output_audio"];
    assert_eq!(tokens.map(|kind| told[format!("{kind}_tokens")].as_u64()), [13, 100, 64, 10, 30].map(Some));
    assert_eq!((&told["kind"], &told["outcome"]), (&json!("reply"), &json!("completed")));
    assert!(told["latency_ms"].as_u64().is_some_and(|ms| ms < 60_000), "{told}");
    let [failed] = of("r2")[..] else { panic!("what fails may cost as well: {rows:#?}") };
    assert_eq!((&failed["outcome"], &failed["input_text_tokens"]), (&json!("failed"), &json!(0)));
    let [heard] = of(&item)[..] else { panic!("told twice, counted once: {rows:#?}") };
    assert_eq!((&heard["kind"], &heard["audio_ms"]), (&json!("transcription"), &json!(3_200)));
    let summary = rows.iter().find(|row| row["kind"] == "summary").unwrap_or_else(|| panic!("{rows:#?}"));
    assert_eq!(summary["outcome"], "openai_summary_incomplete", "it is paid for all the same");
    assert_eq!(tokens.map(|kind| summary[format!("{kind}_tokens")].as_u64()), [900, 0, 512, 80, 0].map(Some));
    world.stop().await;
}
