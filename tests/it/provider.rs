//! What happens to an interview when the voice or summary provider is slow, busy, broken, or has forgotten the call.

use crate::interview::{Begun, begun, speakers, stored};
use crate::support::browser::Browser;
use crate::support::system::System;
use crate::support::{World, wait_for};
use interview_candidate::WebRtcPeer;
use interview_runtime::ids::SessionId;
use interview_runtime::roles::Exit;
use interview_sandbox::faults::{Action, Fault};
use serde_json::{Value, json};
use std::time::Duration;

const LIMITED: &str = r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Action {
    let mut headers: Vec<(String, String)> = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    headers.push(("content-type".into(), "application/json".into()));
    Action::Answer { status, headers, body: body.into() }
}

/// The requests for a call, and how long after the one before each came.
fn calls_opened(world: &World) -> Vec<time::Duration> {
    let at: Vec<_> = world.ledger.find(|entry| entry.path == "/v1/realtime/calls").iter().map(|entry| entry.at).collect();
    at.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

async fn offer(browser: &mut Browser) -> WebRtcPeer {
    let peer = WebRtcPeer::new().await.expect("a peer");
    browser.send(json!({"type": "sdp_offer", "sdp": peer.offer()})).await;
    peer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_honoured_and_the_browser_notices_nothing() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    browser.consent().await;
    world.faults.add(Fault::once("openai", "realtime.calls", answer(429, &[("retry-after", "2")], LIMITED)));
    let peer = offer(&mut browser).await;
    browser.expect("sdp_answer").await;
    let waited = calls_opened(&world);
    assert!(waited.len() == 1 && waited[0] >= time::Duration::seconds(2), "{waited:?}");
    peer.vanish().await;
    runtime.stop();
    runtime.exit().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_of_errors_are_tried_three_times_and_no_more() {
    let world = World::start().await;
    for action in [answer(500, &[], "oops"), answer(502, &[], "<html>"), answer(503, &[], ""), Action::Drop] {
        let session = world.new_session().await;
        let mut runtime = world.run(session).await;
        let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
        browser.consent().await;
        world.ledger.clear();
        world.faults.add(Fault::once("openai", "realtime.calls", action.clone()).times(100));
        let peer = offer(&mut browser).await;
        let error = browser.expect("error").await;
        assert_eq!((&error["retryable"], &error["request_type"]), (&json!(true), &json!("sdp_offer")), "{error}");
        let tries = calls_opened(&world).len() + 1;
        // A connection that breaks after the request was sent may have opened a call: not repeated blindly.
        assert!(if action == Action::Drop { tries <= 3 } else { tries == 3 }, "{tries} tries of {action:?}");
        world.faults.clear();
        // The same browser may offer again, on the same socket.
        browser.send(json!({"type": "sdp_offer", "sdp": peer.offer()})).await;
        browser.expect("sdp_answer").await;
        peer.vanish().await;
        runtime.stop();
        runtime.exit().await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_never_answers_is_given_up_at_the_deadline_and_may_be_asked_again() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run_with(session, &[("INTERVIEW__OPENAI__CALL_TIMEOUT_MS", "1500")]).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    browser.consent().await;
    world.faults.add(Fault::once("openai", "realtime.calls", Action::Hang));
    let asked = tokio::time::Instant::now();
    let peer = offer(&mut browser).await;
    let error = browser.expect("error").await;
    assert!(asked.elapsed() >= Duration::from_millis(1_500), "{:?}", asked.elapsed());
    assert_eq!((&error["retryable"], &error["request_type"]), (&json!(true), &json!("sdp_offer")), "{error}");
    assert_eq!(calls_opened(&world).len(), 0, "one try: the call may have been opened");
    browser.send(json!({"type": "sdp_offer", "sdp": peer.offer()})).await;
    browser.expect("sdp_answer").await;
    peer.vanish().await;
    runtime.stop();
    runtime.exit().await;
    world.stop().await;
}

/// No line of ours is let into the call any more: it is hung up, a new one is asked for, and the interview goes on.
async fn begins_a_new_call_when_refused_by(refusal: Action) {
    let system = System::start().await;
    let Begun { recruiter, id, mut candidate, .. } = begun(&system, 3).await;
    system.sandbox.faults().add(Fault::once("openai", "realtime.sideband", refusal).times(1_000));
    system.crash(&id, "control_channel").await;
    let asked = candidate.expect_within("media_renegotiate", Duration::from_mins(1)).await.expect("is asked for a new offer");
    assert_eq!(asked["reason"], "lost");
    // Only the line was refused: the call would live on, and be paid for, with nobody of ours in it.
    wait_for("what we do not hear is hung up", || async {
        !system.sandbox.ledger().find(|entry| entry.vendor == "openai" && entry.path.ends_with("/hangup")).is_empty()
    })
    .await;
    system.sandbox.faults().clear();
    candidate.peer().expect("a peer").vanish().await;
    candidate.connect_media().await.expect("a new call");
    candidate.attend(Duration::from_millis(900), Duration::from_mins(1)).await.expect("the interview goes on to its end");
    let (_, entries) = stored(&system, &recruiter, &id).await;
    assert_eq!(&speakers(&entries)[..3], ["ai", "candidate", "ai"], "{entries:#?}");
    let segments: Vec<i64> = entries.iter().filter_map(|entry| entry["segment"].as_i64()).collect();
    assert!(segments.is_sorted() && segments.contains(&2), "{segments:?}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_the_provider_no_longer_knows_is_replaced_and_the_thread_goes_on() {
    begins_a_new_call_when_refused_by(Action::Named("refuse_sideband_404".into())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_lets_no_second_line_in_is_begun_anew() {
    let busy = r#"{"error":{"message":"busy","type":"invalid_request_error","param":null,"code":"in_use"}}"#;
    begins_a_new_call_when_refused_by(answer(409, &[], busy)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_opened_and_never_answered_is_dialled_again() {
    let system = System::start().await;
    // The candidate stays, or the call would end.
    let Begun { id, candidate: _candidate, .. } = begun(&system, 3).await;
    let openai = system.sandbox.openai();
    let dialled = || system.sandbox.ledger().find(|entry| entry.path == "/v1/realtime").len();
    let before = dialled();
    assert_eq!(openai.inject("mute_sideband", None), 1);
    system.crash(&id, "control_channel").await;
    wait_for("the line after the one that was not answered", || async { dialled() >= before + 2 }).await;
    assert_eq!(system.session_snapshot(&id).await["control_ready"], false);
    assert_eq!(openai.inject("unmute_sideband", None), 1);
    wait_for("a line is answered", || async { system.session_snapshot(&id).await["control_ready"] == true }).await;
    system.stop().await;
}

/// An interview of one sentence that its candidate ends.
async fn ended(world: &World) -> (SessionId, Exit, Vec<Value>) {
    let session = world.new_session().await;
    world.heard(session, "candidate", "I have led a team of five.").await;
    let runtime = world.run_with(session, &[("INTERVIEW__OPENAI__SUMMARY_TIMEOUT_MS", "1000")]).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    let end = json!({"type": "end_session", "recording_url": "https://evil.test/vod/vi1/hls/manifest.m3u8", "reason": "done"});
    for _ in 0..3 {
        browser.send(end.clone()).await;
    }
    assert_eq!(browser.closed().await, 1000, "{:?}", browser.seen);
    (session, runtime.exit().await, browser.seen)
}

#[tokio::test]
async fn a_summary_that_cannot_be_had_is_stored_as_its_reason_and_the_process_ends() {
    let world = World::start().await;
    let named = |name: &str| Action::Named(name.into());
    let limited = answer(429, &[("retry-after", "3600")], LIMITED);
    let unauthorized =
        answer(401, &[], r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#);
    let actions =
        [named("garbage_text"), named("refusal"), named("incomplete"), named("failed"), Action::Hang, limited, unauthorized];
    for action in actions {
        world.faults.add(Fault::once("openai", "responses", action.clone()).times(100));
        world.ledger.clear();
        let (session, exit, seen) = ended(&world).await;
        assert_eq!(exit, Exit::Done, "{action:?}");
        assert_eq!(world.text(session, "phase").await.as_deref(), Some("completed"), "{action:?}");
        let (status, failure): (String, Option<String>) =
            sqlx::query_as("select status, failure from app.summaries where session_id = $1")
                .bind(session.0)
                .fetch_one(&world.admin)
                .await
                .expect("a row tells how it went");
        assert!(status == "failed" && failure.is_some_and(|code| !code.is_empty()), "{action:?}");
        let tries = world.ledger.find(|entry| entry.path == "/v1/responses").len();
        assert!((1..=4).contains(&tries), "{tries} tries of {action:?}");
        let refused = seen.iter().filter(|event| event["code"] == "recording_url_refused").count();
        assert!(refused >= 1, "a forged recording_url is refused, and refused only: {seen:?}");
        let ended: Vec<_> = seen.iter().filter(|event| event["type"] == "session_ended").map(|event| &event["summary"]).collect();
        assert_eq!(ended, ["pending", "failed"], "ended once, and what became of the summary: {seen:?}");
        world.faults.clear();
    }
    let (session, exit, _) = ended(&world).await;
    assert_eq!(exit, Exit::Done);
    let status: String = sqlx::query_scalar("select status from app.summaries where session_id = $1")
        .bind(session.0)
        .fetch_one(&world.admin)
        .await
        .expect("a summary");
    assert_eq!(status, "stored", "without a fault there is one");
    world.stop().await;
}
