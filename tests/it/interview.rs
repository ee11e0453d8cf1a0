//! A whole interview with a real WebRTC peer, from the recruiter's request to the destroyed
//! machine, and what becomes of it when things break on the way.

use crate::keeper::come_back;
use crate::support::system::System;
use crate::support::wait_for;
use interview_candidate::{Candidate, ConnectOptions, Join};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ANSWER: Duration = Duration::from_millis(900);
const PATIENCE: Duration = Duration::from_mins(1);

pub async fn new_session(system: &System, recruiter: &str) -> String {
    let order = json!({"candidate_id": "ca000000-0000-4000-8000-000000000011", "position_id": "b0000000-0000-4000-8000-000000000001", "settings": {"language": "en-US"}});
    let (status, made) = system.post(recruiter, "/api/sessions", &order).await;
    assert_eq!(status, 201, "{made}");
    let id = made["session_id"].as_str().expect("an id").to_owned();
    wait_for("the session's process is ready", || async { system.phase(recruiter, &id).await == "ready" }).await;
    id
}

pub async fn connect(system: &System, candidate: &str, id: &str) -> Candidate {
    let info = system.join_info(candidate, id).await;
    let text = |name: &str| info[name].as_str().expect(name).to_owned();
    let join = Join {
        consent_policy_version: Some(text("consent_policy_version")),
        ..Join::new(text("websocket_url"), text("websocket_ticket"))
    };
    let options = ConnectOptions { origin: Some(system.sandbox.urls().front.clone()), ..ConnectOptions::default() };
    Candidate::connect_with(&join, options).await.expect("the candidate connects")
}

/// An interview in which the candidate has answered once.
pub struct Begun {
    pub recruiter: String,
    pub amara: String,
    pub id: String,
    pub candidate: Candidate,
}

/// Begin one, and wait until so many entries of it are stored.
pub async fn begun(system: &System, entries: u64) -> Begun {
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.sign_in("amara@demo.test").await);
    let id = new_session(system, &recruiter).await;
    let mut candidate = connect(system, &amara, &id).await;
    candidate.join().await.expect("joins");
    candidate.answer(ANSWER).await.expect("answers once");
    wait_for("what was said is stored", || async {
        system.get(&recruiter, &format!("/api/sessions/{id}")).await.1["transcript_entries"].as_u64() >= Some(entries)
    })
    .await;
    Begun { recruiter, amara, id, candidate }
}

pub async fn stored(system: &System, recruiter: &str, id: &str) -> (Value, Vec<Value>) {
    wait_for("the interview is stored", || async { system.phase(recruiter, id).await == "completed" }).await;
    let (_, view) = system.get(recruiter, &format!("/api/sessions/{id}")).await;
    let (_, transcript) = system.get(recruiter, &format!("/api/sessions/{id}/transcript")).await;
    (view, transcript["entries"].as_array().expect("entries").clone())
}

pub fn speakers(entries: &[Value]) -> Vec<&str> {
    entries.iter().filter_map(|entry| entry["speaker"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interview_is_held_stored_summarized_and_its_machine_destroyed() {
    let system = System::start().await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.sign_in("amara@demo.test").await);
    let id = new_session(&system, &recruiter).await;
    let mut candidate = connect(&system, &amara, &id).await;
    candidate.join().await.expect("consent, offer, answer, media");
    let outcome = candidate.attend(ANSWER, PATIENCE).await.expect("the interviewer ends the interview");
    assert_eq!(outcome.ended["reason"], "interviewer_ended", "{}", outcome.ended);
    assert!(candidate.peer().expect("a peer").stats().speech_packets_received > 20, "the interviewer was heard");

    let (view, entries) = stored(&system, &recruiter, &id).await;
    assert_eq!(view["summary"]["status"], "stored", "{view}");
    // Question, answer, question, answer, goodbye: in the order of the conversation.
    assert_eq!(speakers(&entries), ["ai", "candidate", "ai", "candidate", "ai"], "{entries:#?}");
    assert!(
        entries.iter().all(|entry| entry["source"] == "sideband" && entry["text"].as_str().is_some_and(|text| !text.is_empty())),
        "{entries:#?}"
    );

    let (_, summary) = system.get(&recruiter, &format!("/api/sessions/{id}/summary")).await;
    let mut quotes = 0;
    for judged in ["competencies", "strengths", "concerns"]
        .iter()
        .flat_map(|list| summary["content"][list].as_array().cloned().unwrap_or_default())
    {
        for evidence in judged["evidence"].as_array().expect("a list") {
            let entry = entries.iter().find(|entry| entry["seq"] == evidence["entry"]).expect("the quoted entry exists");
            assert!(entry["text"].as_str().expect("text").contains(evidence["quote"].as_str().expect("a quote")), "{evidence}");
            quotes += 1;
        }
    }
    assert!(quotes > 0, "{summary}");

    let machine = view["machine"]["id"].as_str().expect("a machine").to_owned();
    wait_for("the machine is destroyed", || async { system.machine_state(&machine).await == "destroyed" }).await;
    assert!(system.sandbox.ledger().violations().is_empty(), "{:?}", system.sandbox.ledger().violations());
    one_trace(&system, &view, &id).await;
    let gauges = system.sandbox.traces().gauges_of(&id);
    for name in ["interview.outbox.records", "interview.outbox.size", "interview.line.events"] {
        assert!(gauges.iter().any(|gauge| gauge.name == name && gauge.value == 0.0), "{name} is empty at the end: {gauges:?}");
    }
    let actors: Vec<_> = gauges
        .iter()
        .filter(|gauge| gauge.name == "interview.mailbox.messages")
        .map(|gauge| &gauge.attributes["actor"])
        .collect();
    assert_eq!(actors.len(), 2, "{gauges:?}");
    system.stop().await;
}

/// One trace, begun by the recruiter's request, holds the actors' work and the vendors' calls.
async fn one_trace(system: &System, view: &Value, id: &str) {
    let trace = view["trace_id"].as_str().expect("a trace id").to_owned();
    let wanted = [
        "ws.sdp_offer",
        "control_channel.open_call",
        "openai.realtime.calls.create",
        "control_channel.connect",
        "transcript_writer.flush",
        "summarizer.summarize",
        "control_channel.hang_up",
    ];
    wait_for("the spans arrive", || async {
        let spans = system.sandbox.traces().of_trace(&trace);
        let known = |id: &str| id.is_empty() || spans.iter().any(|span| span.span_id == id);
        wanted.iter().all(|name| spans.iter().any(|span| span.name == *name))
            && spans.iter().all(|span| span.is_root() || known(&span.parent_span_id))
    })
    .await;
    let spans = system.sandbox.traces().of_trace(&trace);
    let of_session = system.sandbox.traces().find(|span| span.attribute("session.id").is_some_and(|value| value == id));
    let strays: Vec<_> = of_session
        .iter()
        .filter(|span| span.trace_id != trace && !span.name.starts_with("http."))
        .map(|span| &span.name)
        .collect();
    assert!(strays.is_empty(), "work of this session in another trace: {strays:?}");
    for span in &spans {
        assert!(span.attribute("tenant.id").is_some(), "{} has no tenant.id", span.name);
        assert!(span.attribute("session.id").is_some(), "{} has no session.id", span.name);
        assert!(
            span.is_root() || spans.iter().any(|parent| parent.span_id == span.parent_span_id),
            "{} hangs in the air",
            span.name
        );
    }
    assert_eq!(spans.iter().filter(|span| span.is_root()).count(), 1, "one root");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_candidate_may_leave_and_the_words_so_far_are_kept() {
    let system = System::start().await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.sign_in("amara@demo.test").await);
    let id = new_session(&system, &recruiter).await;
    let mut candidate = connect(&system, &amara, &id).await;
    candidate.join().await.expect("joins");
    candidate.answer(ANSWER).await.expect("answers once");
    candidate.end("enough").await.expect("ends");
    let ended = candidate.expect_within("session_ended", PATIENCE).await.expect("is told");
    assert_eq!(ended["reason"], "candidate_ended");
    let (view, entries) = stored(&system, &recruiter, &id).await;
    assert_eq!(view["end_reason"], "candidate_ended");
    assert_eq!(&speakers(&entries)[..2], ["ai", "candidate"], "{entries:#?}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_comes_back_on_its_machine_and_the_interview_goes_on_without_a_second_greeting() {
    let system = System::start().await;
    let Begun { recruiter, amara, id, candidate: mut gone } = begun(&system, 2).await;
    let (_, view) = system.get(&recruiter, &format!("/api/sessions/{id}")).await;
    system.kill_machine(view["machine"]["id"].as_str().expect("a machine"));
    gone.wait_closed(PATIENCE).await.expect("the line is lost");

    // The page would do the same: a new ticket, a new socket, a new offer.
    gone.vanish().await;
    let mut candidate = come_back(&system, &amara, &id).await;
    candidate.join().await.expect("joins again");
    candidate.attend(ANSWER, PATIENCE).await.expect("the interview goes on to its end");
    let (_, entries) = stored(&system, &recruiter, &id).await;
    let greetings = entries
        .iter()
        .filter(|entry| {
            entry["speaker"] == "ai"
                && entry["text"].as_str().is_some_and(|text| text.contains("Welcome") || text.contains("Hello"))
        })
        .count();
    assert!(greetings <= 1, "greeted once: {entries:#?}");
    let segments: Vec<i64> = entries.iter().filter_map(|entry| entry["segment"].as_i64()).collect();
    assert!(segments.contains(&1) && segments.contains(&2) && segments.is_sorted(), "{segments:?}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_takes_up_the_call_that_lives_and_the_candidate_talks_on() {
    let system = System::start().await;
    let Begun { recruiter, amara, id, mut candidate } = begun(&system, 3).await;
    let (_, view) = system.get(&recruiter, &format!("/api/sessions/{id}")).await;
    system.kill_machine(view["machine"]["id"].as_str().expect("a machine"));
    candidate.wait_closed(PATIENCE).await.expect("the line is lost");
    // A page whose voice is still up brings a new socket and nothing else.
    let limit = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < limit, "the process did not take the candidate back within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let info = system.join_info(&amara, &id).await;
        let text = |name: &str| info[name].as_str().expect(name).to_owned();
        if candidate.reconnect(&Join::new(text("websocket_url"), text("websocket_ticket"))).await.is_ok() {
            break;
        }
    }
    let ready = candidate.expect("session_ready").await.expect("is taken back");
    assert_eq!((ready["process"].as_u64(), ready["segment"].as_i64()), (Some(2), Some(1)), "{ready}");
    candidate.media_state("connected").await.expect("says that it talks");
    wait_for("the next process listens", || async { system.session_snapshot(&id).await["control_ready"] == true }).await;
    let calls = system.sandbox.openai().snapshot().calls;
    let told: Vec<_> = calls.iter().map(|call| (call.alive, call.sidebands)).collect();
    assert_eq!(told, [(true, 1)], "one call, and a line of ours in it");

    candidate.attend(ANSWER, PATIENCE).await.expect("the interview goes on to its end");
    let told = candidate.messages();
    assert!(!told.iter().any(|message| message["type"] == "media_renegotiate"), "{told:#?}");
    let (view, entries) = stored(&system, &recruiter, &id).await;
    assert_eq!(view["end_reason"], "interviewer_ended");
    assert_eq!(speakers(&entries), ["ai", "candidate", "ai", "candidate", "ai"], "{entries:#?}");
    assert!(entries.iter().all(|entry| entry["segment"] == 1), "{entries:#?}");
    assert_eq!(system.sandbox.openai().snapshot().calls.len(), 1);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panics_between_two_turns_of_a_live_call_cost_no_word() {
    let system = System::start().await;
    // The provider replays nothing: what is said while no sideband is joined is the browser's
    // to tell. So the next question is waited for, and afterwards the sideband.
    let Begun { recruiter, id, mut candidate, .. } = begun(&system, 3).await;
    for child in ["control_channel", "transcript_writer", "signaling_socket", "recording_tracker"] {
        system.crash(&id, child).await;
    }
    wait_for("the sideband is joined again", || async {
        let snapshot = system.session_snapshot(&id).await;
        let back = snapshot["restarts"]["control_channel"] == 1 && snapshot["control_ready"] == true;
        back && system.sandbox.openai().snapshot().calls.iter().any(|call| call.alive && call.sidebands == 1)
    })
    .await;
    candidate.attend(ANSWER, PATIENCE).await.expect("the interview goes on to its end");
    let (view, entries) = stored(&system, &recruiter, &id).await;
    assert_eq!(view["end_reason"], "interviewer_ended");
    assert_eq!(&speakers(&entries)[..2], ["ai", "candidate"], "{entries:#?}");
    assert_eq!(speakers(&entries).last(), Some(&"ai"), "{entries:#?}");
    system.stop().await;
}
