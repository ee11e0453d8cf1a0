//! How a session process ends when it is told to, and when it must: in time, with its exit code,
//! and with everything that was acknowledged in the database.

use crate::support::browser::Browser;
use crate::support::process::Process;
use crate::support::proxy::Proxy;
use crate::support::{World, wait_for};
use std::time::Duration;
use tokio::net::TcpListener;

/// Fly sends its signal and kills after five seconds by default.
const BUDGET: Duration = Duration::from_secs(3);

/// With a margin for a busy machine; what was measured is printed.
async fn interrupted(process: &mut Process, what: &str) {
    let ended = process.ended(BUDGET * 2).await;
    println!("{what}: exited after {:?}", ended.after);
    assert_eq!(ended.code, Some(75), "{what}: {:#?}", process.lines());
    assert!(ended.after < BUDGET + Duration::from_secs(1), "{what}: {:?}", ended.after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_and_sigterm_in_the_middle_of_storing_lose_nothing() {
    let world = World::start().await;
    for signal in ["TERM", "INT"] {
        let session = world.new_session().await;
        let mut process = world.spawn_ready(session, &[]).await;
        let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
        for seq in 1..=50 {
            browser.say(seq, &[&seq.to_string()]).await;
        }
        browser.expect("transcript_ack").await;
        process.signal(signal);
        interrupted(&mut process, signal).await;
        assert_eq!(browser.closed().await, 1012, "come back, somewhere else");
        let acked = browser.seen.iter().filter_map(|event| event["seq"].as_u64()).max().expect("some");
        let stored = world.rows(session).await.len() as u64;
        assert!(stored >= acked, "{signal}: {acked} acknowledged, {stored} stored");

        let mut process = world.spawn_ready(session, &[]).await;
        let mut browser = Browser::connect(&process.websocket_url(), &world.ticket(session).await).await.expect("comes back");
        let known = browser.expect("session_ready").await["acked_seq"].as_u64().expect("a number");
        assert!(known >= acked);
        for seq in acked + 1..=60 {
            browser.say(seq, &[&seq.to_string()]).await;
        }
        while browser.expect("transcript_ack").await["seq"] != 60 {}
        let texts: Vec<String> = world.rows(session).await.into_iter().map(|row| row.2).collect();
        assert_eq!(texts, (1..=60).map(|n| n.to_string()).collect::<Vec<_>>());
        process.signal(signal);
        interrupted(&mut process, signal).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_hangs_is_killed_after_its_share_and_the_others_still_stop_in_order() {
    let world = World::start().await;
    for child in ["signaling_socket", "control_channel", "recording_tracker", "transcript_writer"] {
        let session = world.new_session().await;
        let mut process = world.spawn_ready(session, &[]).await;
        let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
        browser.say(1, &["before"]).await;
        browser.expect("transcript_ack").await;
        process.debug(&format!("hang/{child}")).await;
        if child == "transcript_writer" {
            // Taken in, and never written by the writer.
            browser.say(2, &["after"]).await;
            wait_for("the entry waits", || async { process.backlog().await >= 2 }).await;
        }
        process.signal("TERM");
        wait_for("readiness is withdrawn first", || async { !process.ready().await }).await;
        interrupted(&mut process, child).await;
        let told = process.logged("actor_unresponsive").unwrap_or_else(|| panic!("{:#?}", process.lines()));
        assert_eq!(told["actor"], child);
        assert_eq!(browser.closed().await, 1012);
        let expected: &[&str] = if child == "transcript_writer" { &["before", "after"] } else { &["before"] };
        assert_eq!(world.rows(session).await.iter().map(|row| row.2.as_str()).collect::<Vec<_>>(), expected, "{child}");
        assert_eq!(world.text(session, "candidate_connected").await.as_deref(), Some("true"), "somebody else has to say so");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_its_database_still_stops_in_time_before_and_after_it_took_the_session() {
    let world = World::start().await;
    let proxy = Proxy::to(world.database_address());
    let url = world.database_through(&proxy);
    let overrides = [("INTERVIEW__DATABASE__URL", url.as_str())];
    let session = world.new_session().await;
    let mut process = world.spawn_ready(session, &overrides).await;
    let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    proxy.down();
    browser.say(1, &["unstored"]).await;
    browser.expect("degraded").await;
    process.signal("TERM");
    interrupted(&mut process, "database away").await;
    assert!(world.rows(session).await.is_empty(), "and it was not acknowledged: the browser still has it");

    let mut process = world.spawn(session, &overrides);
    wait_for("it waits for the database", || async { process.logged("transcript_store_unavailable").is_some() }).await;
    process.signal("INT");
    interrupted(&mut process, "database away at start").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_loop_that_stands_still_is_ended_and_the_next_process_goes_on() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut process = world.spawn_ready(session, &[("INTERVIEW__WATCHDOG__STALL_AFTER_MS", "4000")]).await;
    let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["before"]).await;
    browser.expect("transcript_ack").await;
    let stall = tokio::spawn(reqwest::Client::new().post(format!("http://{}/debug/stall/60000", process.address)).send());
    let ended = process.ended(Duration::from_secs(15)).await;
    println!("a stalled event loop was ended after {:?}", ended.after);
    assert_eq!(ended.code, Some(71), "{:#?}", process.lines());
    assert!(ended.after < Duration::from_secs(6), "noticed within 5 s: {:?}", ended.after);
    assert!(process.logged("event_loop_stalled").is_some(), "{:#?}", process.lines());
    stall.abort();
    let mut process = world.spawn_ready(session, &[]).await;
    let mut browser = Browser::connect(&process.websocket_url(), &world.ticket(session).await).await.expect("comes back");
    assert_eq!(browser.expect("session_ready").await["acked_seq"], 1);
    process.signal("TERM");
    interrupted(&mut process, "after a stall").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_as_a_whole_is_not_taken_for_a_stalled_one() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut process = world.spawn_ready(session, &[("INTERVIEW__WATCHDOG__STALL_AFTER_MS", "800")]).await;
    process.signal("STOP");
    // Longer than a stall may last.
    tokio::time::sleep(Duration::from_secs(2)).await;
    process.signal("CONT");
    process.until_ready().await;
    process.signal("TERM");
    interrupted(&mut process, "after a suspension").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_of_traces_that_never_answers_delays_neither_an_answer_nor_the_end() {
    let world = World::start().await;
    // It takes the connection and what is sent, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("bound"));
    for (what, endpoint) in [("silent collector", endpoint.as_str()), ("no collector", "http://127.0.0.1:9")] {
        let session = world.new_session().await;
        let mut process = world.spawn_ready(session, &[("INTERVIEW__TELEMETRY__OTLP_ENDPOINT", endpoint)]).await;
        let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
        for seq in 1..=100 {
            browser.say(seq, &[&seq.to_string()]).await;
        }
        while browser.expect("transcript_ack").await["seq"] != 100 {}
        process.signal("TERM");
        interrupted(&mut process, what).await;
        assert_eq!(world.rows(session).await.len(), 100);
    }
    world.stop().await;
}
