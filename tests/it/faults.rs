//! A panic in each child of the real tree, and the ways the outside fails.

use crate::support::browser::Browser;
use crate::support::{World, wait_for};
use interview_runtime::roles::Exit;
use interview_sandbox::faults::{Action, Fault};
use serde_json::json;

#[tokio::test]
async fn a_panic_in_each_child_is_survived_by_the_socket_the_siblings_and_the_words() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    let mut seq = 0;
    for child in ["transcript_writer", "recording_tracker", "control_channel", "signaling_socket"] {
        for time in 1..=2 {
            runtime.crash(child).await;
            wait_for(child, || async { runtime.restarts(child).await == time && runtime.runs(child).await }).await;
            seq += 1;
            browser.say(seq, &["after the crash"]).await;
            assert_eq!(browser.expect("transcript_ack").await["seq"], seq);
        }
    }
    let snapshot = runtime.snapshot().await.expect("the process answers");
    let running: Vec<_> = snapshot["running"].as_array().expect("a list").iter().filter_map(|name| name.as_str()).collect();
    assert_eq!(running, ["transcript_writer", "recording_tracker", "control_channel", "signaling_socket"]);
    assert_eq!(world.rows(session).await.len(), seq as usize);
    runtime.stop();
    assert_eq!(runtime.exit().await, Exit::Interrupted);
    world.stop().await;
}

#[tokio::test]
async fn a_panic_of_the_root_starts_a_fresh_tree_from_the_database() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["before"]).await;
    browser.expect("transcript_ack").await;
    runtime.crash("session").await;
    assert_eq!(browser.closed().await, 1012, "restarting: come back");
    let mut browser = Browser::connect(&runtime.websocket_url(), &world.ticket(session).await).await.expect("comes back");
    assert_eq!(browser.expect("session_ready").await["acked_seq"], 1);
    browser.say(2, &["after"]).await;
    browser.expect("transcript_ack").await;
    assert_eq!(world.rows(session).await.len(), 2);
    runtime.stop();
    assert_eq!(runtime.exit().await, Exit::Interrupted);
    world.stop().await;
}

#[tokio::test]
async fn a_child_that_does_not_stay_alive_ends_the_process_for_a_restart() {
    let world = World::start().await;
    let session = world.new_session().await;
    let runtime = world.run(session).await;
    for _ in 0..11 {
        let before = runtime.restarts("transcript_writer").await;
        runtime.crash("transcript_writer").await;
        if before < 10 {
            wait_for("the writer is back", || async {
                runtime.restarts("transcript_writer").await == before + 1 && runtime.runs("transcript_writer").await
            })
            .await;
        }
    }
    assert_eq!(runtime.exit().await, Exit::Failed);
    world.stop().await;
}

#[tokio::test]
async fn a_second_process_fences_the_first() {
    let world = World::start().await;
    let session = world.new_session().await;
    let older = world.run(session).await;
    let mut browser = Browser::join(&older.websocket_url(), &world.ticket(session).await).await;
    let mut newer = world.run(session).await;
    browser.say(1, &["to the older"]).await;
    assert_eq!(older.exit().await, Exit::Done);
    assert_eq!(browser.closed().await, 1012);
    assert!(world.rows(session).await.is_empty(), "an older epoch writes nothing");
    newer.stop();
    newer.exit().await;
    world.stop().await;
}

const OFFER: &str =
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";

fn answer(status: u16, body: &str) -> Action {
    Action::Answer { status, headers: vec![("content-type".into(), "application/json".into())], body: body.into() }
}

#[tokio::test]
async fn what_openai_refuses_is_told_and_leaves_the_interview_in_a_known_state() {
    let world = World::start().await;
    let limited = r#"{"error":{"message":"slow","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#;
    for (action, code, retryable) in [
        (answer(429, limited), "openai_rate_limited", true),
        (answer(500, "oops"), "openai_unavailable", true),
        (answer(201, "<html>garbage</html>"), "openai_answer_invalid", true),
        (
            answer(401, r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#),
            "openai_unauthorized",
            false,
        ),
    ] {
        let session = world.new_session().await;
        let mut runtime = world.run(session).await;
        let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
        browser.consent().await;
        world.faults.add(Fault::once("openai", "realtime.calls", action).times(3));
        browser.send(json!({"type": "sdp_offer", "sdp": OFFER})).await;
        let error = browser.expect("error").await;
        assert_eq!((error["code"].as_str(), error["retryable"].as_bool()), (Some(code), Some(retryable)), "{error}");
        if retryable {
            browser.say(1, &["the socket lives on"]).await;
            browser.expect("transcript_ack").await;
            runtime.stop();
            assert_eq!(runtime.exit().await, Exit::Interrupted);
        } else {
            assert_eq!(runtime.exit().await, Exit::Done);
            assert_eq!(world.text(session, "phase").await.as_deref(), Some("failed"));
            assert_eq!(world.text(session, "end_reason").await.as_deref(), Some("setup_failed"));
        }
        world.faults.clear();
    }
    world.stop().await;
}

#[tokio::test]
async fn a_candidate_who_never_comes_ends_the_interview() {
    let world = World::start().await;
    let session = world.new_session().await;
    let runtime = world.run_with(session, &[("INTERVIEW__INTERVIEW__ABSENCE_TIMEOUT_S", "1")]).await;
    assert_eq!(runtime.exit().await, Exit::Done);
    assert_eq!(world.text(session, "end_reason").await.as_deref(), Some("candidate_absent"));
    assert_eq!(world.text(session, "phase").await.as_deref(), Some("completed"));
    world.stop().await;
}
