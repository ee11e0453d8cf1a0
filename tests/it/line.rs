//! Our own sideband breaks while people speak.

use crate::interview::{connect, new_session, speakers, stored};
use crate::support::browser::Browser;
use crate::support::system::System;
use crate::support::{ORIGIN, World, wait_for};
use interview_candidate::{Candidate, ConnectOptions, Join};
use interview_runtime::roles::Exit;
use interview_sandbox::faults::{Action, Fault};
use serde_json::{Value, json};
use std::time::Duration;

const ANSWER: Duration = Duration::from_millis(900);
const PATIENCE: Duration = Duration::from_mins(1);

/// What a page relays of its own copy of the call's events.
fn said(candidate: &Candidate) -> Vec<Value> {
    let events = candidate.peer().map(interview_candidate::WebRtcPeer::events).unwrap_or_default();
    let entry = |event: &Value, speaker: &str| json!({"text": event["transcript"], "speaker": speaker, "item_id": event["item_id"], "id": event["item_id"], "timestamp": "2026-01-01T00:00:00Z"});
    let mut entries = Vec::new();
    for event in &events {
        match event["type"].as_str() {
            Some("conversation.item.input_audio_transcription.completed") => entries.push(entry(event, "candidate")),
            Some("response.output_audio_transcript.done") => entries.push(entry(event, "ai")),
            _ => {}
        }
    }
    // In the order of the conversation: the candidate's words become final late.
    let order: Vec<Value> = events
        .iter()
        .filter(|event| event["type"] == "conversation.item.added")
        .map(|event| event["item"]["id"].clone())
        .collect();
    entries.sort_by_key(|entry| order.iter().position(|id| *id == entry["item_id"]));
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_nobody_of_ours_heard_is_told_by_the_browser_and_stands_in_its_place() {
    let system = System::start().await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.sign_in("amara@demo.test").await);
    let id = new_session(&system, &recruiter).await;
    let mut candidate = connect(&system, &amara, &id).await;
    candidate.join().await.expect("joins");
    wait_for("the first question is stored", || async {
        system.get(&recruiter, &format!("/api/sessions/{id}")).await.1["transcript_entries"].as_u64() == Some(1)
    })
    .await;

    // The line breaks and stays away for one whole turn of both.
    let away = Action::Answer { status: 503, headers: vec![], body: String::new() };
    system.sandbox.faults().add(Fault::once("openai", "realtime.sideband", away).times(1_000));
    system.crash(&id, "control_channel").await;
    candidate.answer(ANSWER).await.expect("answers");
    wait_for("answer and next question are spoken", || async { said(&candidate).len() == 3 }).await;
    system.sandbox.faults().clear();
    wait_for("the line is back", || async { system.session_snapshot(&id).await["control_ready"] == true }).await;
    // The browser tells late, when the line hears again.
    candidate.transcript_update(json!(said(&candidate))).await.expect("relays");
    candidate.expect_within("transcript_ack", PATIENCE).await.expect("is stored");

    candidate.attend(ANSWER, PATIENCE).await.expect("the interview goes on to its end");
    let (_, entries) = stored(&system, &recruiter, &id).await;
    assert_eq!(speakers(&entries), ["ai", "candidate", "ai", "candidate", "ai"], "{entries:#?}");
    let sources: Vec<&str> = entries.iter().filter_map(|entry| entry["source"].as_str()).collect();
    assert_eq!(sources, ["sideband", "browser", "browser", "sideband", "sideband"], "{entries:#?}");
    assert!(entries.iter().all(|entry| entry["status"] == "final"), "{entries:#?}");
    system.stop().await;
}

#[tokio::test]
async fn a_browser_that_comes_back_to_a_new_process_hears_what_it_missed_under_rising_numbers() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run(session).await;
    let mut browser = Browser::connect(&runtime.websocket_url(), &world.ticket(session).await).await.expect("connects");
    let first = browser.expect("session_ready").await["n"].as_u64().expect("a number");
    browser.say(1, &["one", "two"]).await;
    let seen = browser.expect("transcript_ack").await["n"].as_u64().expect("a number");
    assert!(seen > first);
    runtime.stop();
    assert_eq!(runtime.exit().await, Exit::Interrupted);

    let mut runtime = world.run(session).await;
    let mut browser = Browser::connect(&runtime.websocket_url(), &world.ticket(session).await).await.expect("connects again");
    let mut last = browser.expect("session_ready").await["n"].as_u64().expect("a number");
    assert!(last > seen, "{last} after {seen}");
    browser.send(json!({"type": "resume", "last_event": seen})).await;
    for text in ["one", "two"] {
        let event = browser.expect("transcript_entry").await;
        let n = event["n"].as_u64().expect("a number");
        assert!(n > last && event["entry"]["text"] == text, "{event}");
        last = n;
    }
    runtime.stop();
    runtime.exit().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_call_is_told_the_whole_conversation_however_long_it_was() {
    let world = World::start().await;
    let session = world.new_session().await;
    let said: Vec<String> = (0..180).map(|n| format!("sentence {n}")).collect();
    for sentence in &said {
        world.heard(session, "candidate", sentence).await;
    }
    let mut runtime = world.run(session).await;

    let join = Join {
        consent_policy_version: Some("2026-11".to_owned()),
        ..Join::new(runtime.websocket_url(), world.ticket(session).await)
    };
    let options = ConnectOptions { origin: Some(ORIGIN.to_owned()), ..Default::default() };
    let mut candidate = Candidate::connect_with(&join, options).await.expect("connects");
    candidate.join().await.expect("joins");
    let told = || {
        let items = world.openai.snapshot().calls.into_iter().next_back().map(|call| call.items).unwrap_or_default();
        let text = |item: &Value| item["content"][0]["text"].as_str().map(str::to_owned);
        items.iter().filter_map(text).filter(|text| text.starts_with("sentence")).collect::<Vec<_>>()
    };
    wait_for("the call knows the conversation", || async { told().len() >= said.len() }).await;
    assert_eq!(told(), said);
    candidate.vanish().await;
    runtime.stop();
    runtime.exit().await;
    world.stop().await;
}
