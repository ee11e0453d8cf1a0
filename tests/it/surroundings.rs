//! A machine whose clock jumps and whose file descriptors run out.

use crate::support::browser::Browser;
use crate::support::{World, wait_for};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_jumps_by_hours_changes_no_deadline_no_order_and_no_line() {
    let library = ["x86_64", "aarch64"]
        .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1"))
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(library) = library else {
        println!("SKIPPED: libfaketime is not installed (apt-get install faketime)");
        return;
    };
    let world = World::start().await;
    let session = world.new_session().await;
    let folder = tempfile::tempdir().expect("a folder");
    let clock = folder.path().join("clock");
    let set = |offset: &str| std::fs::write(&clock, offset).expect("written");
    set("+0");
    let environment = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("a path")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        // Any deadline on the wall clock would strike at the first jump.
        ("INTERVIEW__INTERVIEW__GRACE_S", "60"),
    ];
    let mut process = world.spawn_ready(session, &environment).await;
    let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    let mut texts = Vec::new();
    for (index, offset) in ["+1h", "-1h", "+0", "-26h", "+26h", "+0"].iter().cycle().take(60).enumerate() {
        set(offset);
        let text = index.to_string();
        browser.say(index as u64 + 1, &[&text]).await;
        assert_eq!(browser.expect("transcript_ack").await["seq"], index as u64 + 1);
        texts.push(text);
    }
    let jumps = process.lines();
    assert_eq!(world.rows(session).await.into_iter().map(|row| row.2).collect::<Vec<_>>(), texts);
    assert_eq!(world.text(session, "phase").await.as_deref(), Some("ready"), "{jumps:#?}");
    // The log's own times show that the clock did jump.
    set("+26h");
    process.signal("TERM");
    let ended = process.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(75), "{:#?}", process.lines());
    assert!(ended.after < Duration::from_secs(4), "{:?}", ended.after);
    let day =
        |line: &String| serde_json::from_str::<serde_json::Value>(line).ok()?["timestamp"].as_str().map(|at| at[..10].to_owned());
    let lines = process.lines();
    let (first, last) = (lines.first().and_then(day), lines.last().and_then(day));
    assert!(first.is_some() && first < last, "the clock did not jump: {first:?} {last:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_file_descriptors_left_holds_its_interview_and_takes_browsers_again_later() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut process = world.spawn_limited(session, 40).await;
    let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["before"]).await;
    browser.expect("transcript_ack").await;
    let mut crowd = Vec::new();
    for _ in 0..80 {
        crowd.push(TcpStream::connect(process.address).await.expect("the kernel takes it"));
    }
    wait_for("no descriptor is left", || async { process.descriptors() >= 40 }).await;
    for seq in 2..=20 {
        browser.say(seq, &[&seq.to_string()]).await;
        assert_eq!(browser.expect("transcript_ack").await["seq"], seq);
    }
    drop(crowd);
    wait_for("it accepts again", || process.ready()).await;
    let mut again = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    again.say(21, &["after"]).await;
    again.expect("transcript_ack").await;
    assert_eq!(world.rows(session).await.len(), 21);
    process.signal("TERM");
    assert_eq!(process.ended(PATIENCE).await.code, Some(75), "{:#?}", process.lines());
    assert!(!process.lines().iter().any(|line| line.contains("panicked")), "{:#?}", process.lines());
    world.stop().await;
}
