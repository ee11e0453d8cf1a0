//! Only one writer: two real processes on one session, as when a machine that was believed lost is still there.

use crate::support::browser::Browser;
use crate::support::{World, wait_for};
use interview_candidate::WebRtcPeer;
use serde_json::json;
use std::time::Duration;

const TAKEOVERS: u64 = 10;
const WITHIN: Duration = Duration::from_secs(30);

fn update(seq: u64) -> serde_json::Value {
    json!({"type": "transcript_update", "seq": seq, "entries": [
        {"text": format!("words {seq}"), "speaker": "candidate", "timestamp": "2026-11-23T10:00:00.000Z", "id": format!("w{seq}")}
    ]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_takeover_the_older_process_writes_no_row_tells_its_browser_and_exits_with_0() {
    let world = World::start().await;
    let session = world.new_session().await;
    let mut current = world.spawn_ready(session, &[]).await;
    let mut browser = Browser::join(&current.websocket_url(), &world.ticket(session).await).await;
    let (mut sent, mut late) = (0, 0);
    let mut pace = tokio::time::interval(Duration::from_millis(25));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for takeover in 1..=TAKEOVERS {
        sent += 1;
        browser.send(update(sent)).await;
        browser.expect("transcript_ack").await;
        // Words are on their way while the next process takes the session.
        let next = world.spawn(session, &[]);
        let epoch = i32::try_from(takeover).expect("few");
        loop {
            // As fast as a browser may.
            pace.tick().await;
            sent += 1;
            assert!(browser.try_send(update(sent).to_string(), Duration::from_secs(5)).await, "the older one still listens");
            let now: i32 = sqlx::query_scalar("select epoch from app.sessions where id = $1")
                .bind(session.0)
                .fetch_one(&world.admin)
                .await
                .expect("the session row");
            if now > epoch {
                break;
            }
        }
        let of_older = || async {
            let sql = "select count(*) from app.transcript_entries where session_id = $1 and epoch <= $2";
            let rows: i64 = sqlx::query_scalar(sql).bind(session.0).bind(epoch).fetch_one(&world.admin).await.expect("a count");
            rows
        };
        let before = of_older().await;
        for _ in 0..5 {
            sent += 1;
            late += u64::from(browser.try_send(update(sent).to_string(), Duration::from_secs(5)).await);
        }
        assert_eq!(current.ended(WITHIN).await.code, Some(0), "{:#?}", current.lines());
        let told = browser.closed().await;
        assert!([1012, 4001].contains(&told), "the browser is told to come back or that it was superseded: {told}");
        assert_eq!(of_older().await, before, "takeover {takeover}: an older epoch wrote a row");

        // The page comes back and sends again what was not acknowledged.
        next.until_ready().await;
        current = next;
        browser = Browser::connect(&current.websocket_url(), &world.ticket(session).await).await.expect("taken back");
        let acked = browser.expect("session_ready").await["acked_seq"].as_u64().expect("a number");
        for seq in acked + 1..=sent {
            browser.send(update(seq)).await;
        }
        wait_for("all words are stored", || async { world.rows(session).await.len() as u64 == sent }).await;
    }
    let mut texts: Vec<String> = world.rows(session).await.into_iter().map(|row| row.2).collect();
    texts.sort();
    let mut wanted: Vec<String> = (1..=sent).map(|seq| format!("words {seq}")).collect();
    wanted.sort();
    assert_eq!(texts, wanted, "each once, none lost");
    println!("{TAKEOVERS} takeovers, {sent} entries, {late} sent to a process that was over: 0 rows of an older epoch");
    assert!(late > 0, "nothing was sent to an older process after its takeover: the test is void");
    current.signal("TERM");
    current.ended(WITHIN).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_no_longer_holds_the_session_lets_nobody_in_and_leaves_the_ticket_good() {
    let world = World::start().await;
    let session = world.new_session().await;
    // It will not hear by itself that it lost the session.
    let mut older = world.spawn_ready(session, &[("INTERVIEW__SESSION__HEARTBEAT_INTERVAL_MS", "3600000")]).await;
    let newer = world.spawn_ready(session, &[]).await;
    let ticket = world.ticket(session).await;
    let mut refused = Browser::connect(&older.websocket_url(), &ticket).await.expect("the socket opens");
    assert_eq!(refused.closed().await, 1012, "come back, to whoever holds it now");
    assert!(refused.seen.iter().all(|event| event["type"] != "session_ready"), "{:?}", refused.seen);
    assert_eq!(older.ended(WITHIN).await.code, Some(0), "{:#?}", older.lines());
    let mut browser = Browser::connect(&newer.websocket_url(), &ticket).await.expect("the same ticket");
    browser.expect("session_ready").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_a_fenced_process_cannot_write_down_is_hung_up() {
    let world = World::start().await;
    // A process may learn of its fence before it makes a call. Then it makes none, and it is tried again.
    for _ in 0..10 {
        offer_to_a_fenced_process(&world).await;
        if !world.openai.snapshot().calls.is_empty() {
            break;
        }
    }
    let calls = world.openai.snapshot().calls;
    assert_eq!(calls.iter().map(|call| call.alive).collect::<Vec<_>>(), [false], "nobody else knows of it");
    assert_eq!(world.ledger.find(|entry| entry.path.ends_with("/hangup")).len(), 1);
    world.stop().await;
}

async fn offer_to_a_fenced_process(world: &World) {
    let session = world.new_session().await;
    let mut older = world.spawn_ready(session, &[("INTERVIEW__SESSION__HEARTBEAT_INTERVAL_MS", "3600000")]).await;
    let mut browser = Browser::join(&older.websocket_url(), &world.ticket(session).await).await;
    browser.consent().await;
    let _newer = world.spawn_ready(session, &[]).await;
    let peer = WebRtcPeer::new().await.expect("a peer");
    browser.send(json!({"type": "sdp_offer", "sdp": peer.offer()})).await;
    assert_eq!(browser.closed().await, 1012);
    assert_eq!(older.ended(WITHIN).await.code, Some(0), "{:#?}", older.lines());
    peer.vanish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_on_a_machine_that_was_replaced_takes_nothing_back() {
    let world = World::start().await;
    let session = world.new_session().await;
    // Its host was lost and has come back; meanwhile the reconcilers have made the next machine.
    sqlx::query("update app.sessions set attempt = 2 where id = $1").bind(session.0).execute(&world.admin).await.expect("a row");
    let newer = world.spawn_ready(session, &[("INTERVIEW__SESSION__ATTEMPT", "2")]).await;
    let mut older = world.spawn(session, &[("INTERVIEW__SESSION__ATTEMPT", "1")]);
    assert_eq!(older.ended(WITHIN).await.code, Some(0), "{:#?}", older.lines());
    assert!(older.lines().iter().any(|line| line.contains("session_superseded")), "{:#?}", older.lines());
    let epoch: i32 = sqlx::query_scalar("select epoch from app.sessions where id = $1")
        .bind(session.0)
        .fetch_one(&world.admin)
        .await
        .expect("the session row");
    assert_eq!(epoch, 1, "the newer one holds it still");
    let mut browser = Browser::connect(&newer.websocket_url(), &world.ticket(session).await).await.expect("let in");
    browser.expect("session_ready").await;
    world.stop().await;
}
