//! The browser's socket: tickets, acknowledgements, bad input.

use crate::support::browser::Browser;
use crate::support::{ORIGIN, World, wait_for};
use interview_runtime::roles::Exit;
use interview_sandbox::faults::{Action, Fault};
use serde_json::json;

#[tokio::test]
async fn an_entry_is_acknowledged_when_it_is_stored_and_a_repeat_changes_nothing() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    for _ in 0..3 {
        browser.say(1, &["hello", "world"]).await;
        assert_eq!(browser.expect("transcript_ack").await["seq"], 1);
        assert_eq!(world.rows(session).await.len(), 2, "acknowledged means stored, once");
    }
    browser.say(2, &["again"]).await;
    assert_eq!(browser.expect("transcript_ack").await["seq"], 2);

    // A process that takes the session up again knows what was acknowledged.
    runtime.stop();
    assert_eq!(runtime.exit().await, Exit::Interrupted);
    let mut runtime = world.run(session).await;
    let mut browser = Browser::connect(&runtime.websocket_url(), &world.ticket(session).await).await.expect("joins");
    assert_eq!(browser.expect("session_ready").await["acked_seq"], 2);
    browser.say(1, &["hello"]).await;
    browser.expect("transcript_ack").await;
    assert_eq!(world.rows(session).await.iter().map(|row| row.2.as_str()).collect::<Vec<_>>(), ["hello", "world", "again"]);
    runtime.stop();
    runtime.exit().await;
    world.stop().await;
}

/// What is acknowledged is in what the summary is made of; what comes later is in neither.
#[tokio::test]
async fn words_that_come_when_the_summary_has_begun_are_refused_and_a_repeat_is_acknowledged() {
    let world = World::start().await;
    world.faults.add(Fault::once("openai", "responses", Action::Hang).times(100));
    let session = world.new_session().await;
    world.heard(session, "candidate", "heard").await;
    let mut runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["in time"]).await;
    browser.expect("transcript_ack").await;
    browser.send(json!({"type": "end_session", "reason": "candidate_ended"})).await;
    assert_eq!(browser.expect("session_ended").await["summary"], "pending");
    browser.say(2, &["too late"]).await;
    let refused = browser.expect("error").await;
    let told = ["code", "request_type", "seq", "retryable"].map(|field| refused[field].clone());
    assert_eq!(told, [json!("session_over"), json!("transcript_update"), json!(2), json!(false)]);
    // The refusal is final: the order is closed over it, and a repeat of what is stored is acknowledged as ever.
    assert_eq!(browser.expect("transcript_ack").await["seq"], 2);
    browser.say(1, &["in time"]).await;
    assert_eq!(browser.expect("transcript_ack").await["seq"], 2);
    assert_eq!(world.rows(session).await.iter().map(|row| row.2.as_str()).collect::<Vec<_>>(), ["heard", "in time"]);
    runtime.stop();
    assert_eq!(runtime.exit().await, Exit::Interrupted);
    world.stop().await;
}

#[tokio::test]
async fn a_ticket_works_once_for_one_session_and_one_origin() {
    let world = World::start().await;
    let (session, other) = (world.new_session().await, world.new_session().await);
    let mut runtime = world.run(session).await;
    let url = runtime.websocket_url();
    let used = world.ticket(session).await;
    let _first = Browser::join(&url, &used).await;
    let refused = [
        used,
        world.ticket(other).await,
        world.ticket_for(session, "https://evil.test", 30).await,
        world.ticket_for(session, ORIGIN, -1).await,
        "x".repeat(64),
    ];
    for ticket in refused {
        let mut browser = Browser::connect(&url, &ticket).await.expect("the handshake itself is answered");
        assert_eq!(browser.closed().await, 4003, "{ticket}");
    }
    for origin in ["https://evil.test", "http://localhost:8080.evil.test", "http://localhost:80800", "null"] {
        assert!(Browser::connect_from(&url, &world.ticket(session).await, origin).await.is_err(), "{origin}");
    }
    runtime.stop();
    runtime.exit().await;
    world.stop().await;
}

#[tokio::test]
async fn the_ticket_may_come_as_the_first_message() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run_with(session, &[("INTERVIEW__SOCKET__AUTHENTICATE_TIMEOUT_MS", "300")]).await;
    let mut browser = Browser::connect(&runtime.websocket_url(), "").await.expect("opens");
    browser.send(json!({"type": "authenticate", "ticket": world.ticket(session).await})).await;
    browser.expect("session_ready").await;
    let mut silent = Browser::connect(&runtime.websocket_url(), "").await.expect("opens");
    assert_eq!(silent.closed().await, 4003);
    runtime.stop();
    runtime.exit().await;
    world.stop().await;
}

#[tokio::test]
async fn the_newer_connection_wins_and_the_older_is_told() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run(session).await;
    let mut older = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    let mut newer = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    assert_eq!(older.closed().await, 4001);
    newer.say(1, &["still here"]).await;
    newer.expect("transcript_ack").await;
    runtime.stop();
    runtime.exit().await;
    world.stop().await;
}

#[tokio::test]
async fn bad_input_gets_a_typed_error_and_loses_nothing() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    for (frame, code) in [
        ("not json".to_owned(), "message_invalid"),
        (deep, "message_invalid"),
        (json!({"type": "no_such_type"}).to_string(), "message_invalid"),
        (json!({"type": "transcript_update", "entries": "x"}).to_string(), "message_invalid"),
        (json!({"type": "transcript_update", "entries": [], "seq": 1.5}).to_string(), "message_invalid"),
        (json!({"type": "transcript_update", "entries": [], "seq": -1}).to_string(), "message_invalid"),
        (json!({"type": "transcript_update", "entries": [], "seq": 9_007_199_254_740_993_u64}).to_string(), "message_invalid"),
        (json!({"type": "transcript_update", "entries": [{"text": "a", "speaker": "ai", "timestamp": "", "item_id": "a\u{0}b"}]}).to_string(), "message_invalid"),
        (json!({"type": "sdp_offer", "sdp": "hello"}).to_string(), "sdp_invalid"),
        (json!({"type": "sdp_offer", "sdp": 7}).to_string(), "message_invalid"),
        (json!({"type": "consent", "kinds": ["ai_evaluation"], "policy_version": "1999"}).to_string(), "consent_policy_outdated"),
    ] {
        browser.send_text(frame.clone()).await;
        let error = browser.expect("error").await;
        assert_eq!(error["code"], code, "{frame:.80}");
    }
    let offer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
    browser.send(json!({"type": "sdp_offer", "sdp": offer})).await;
    assert_eq!(browser.expect("error").await["code"], "consent_required");
    browser.say(1, &["still alive"]).await;
    browser.expect("transcript_ack").await;
    browser.send_text("x".repeat(1_000_000)).await;
    let code = browser.closed().await;
    assert!(code == 1009 || code == 1006, "{code}");
    wait_for("the candidate is seen to be gone", || async {
        world.text(session, "candidate_connected").await.as_deref() == Some("false")
    })
    .await;
    assert_eq!(world.rows(session).await.len(), 1);
    runtime.stop();
    assert_eq!(runtime.exit().await, Exit::Interrupted);
    world.stop().await;
}
