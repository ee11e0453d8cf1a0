//! The database goes away, answers late, refuses or dies: nothing is lost, nothing is doubled, and the browser is told.
//! `scripts/chaos` repeats this with real kills.

use crate::support::browser::Browser;
use crate::support::proxy::{Line, Proxy};
use crate::support::{Runtime, World, wait_for};
use interview_runtime::ids::SessionId;
use interview_runtime::roles::Exit;
use serde_json::json;
use std::time::{Duration, Instant};

const QUIET_HEART: (&str, &str) = ("INTERVIEW__SESSION__HEARTBEAT_INTERVAL_MS", "3600000");

/// A session process whose database stands behind a proxy, and its browser.
const HEARD: &str = "I built a queue that never lost a message.";

async fn behind(proxy: &Proxy, world: &World, overrides: &[(&str, &str)]) -> (SessionId, Runtime, Browser) {
    let session = world.new_session().await;
    // So that there is something to judge at the end.
    world.heard(session, "candidate", HEARD).await;
    let url = world.database_through(proxy);
    let mut all = vec![("INTERVIEW__DATABASE__URL", url.as_str())];
    all.extend_from_slice(overrides);
    let runtime = world.run_with(session, &all).await;
    let browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    (session, runtime, browser)
}

async fn texts(world: &World, session: SessionId) -> Vec<String> {
    world.rows(session).await.into_iter().map(|row| row.2).filter(|text| text != HEARD).collect()
}

async fn acked(browser: &mut Browser, seq: u64) {
    while browser.expect("transcript_ack").await["seq"] != seq {}
}

async fn stop(mut runtime: Runtime) {
    runtime.stop();
    assert_eq!(runtime.exit().await, Exit::Interrupted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_costs_nothing_is_told_and_is_used_at_once_when_it_is_back() {
    let world = World::start().await;
    // A half-open line is found out only by waiting for it.
    let impatient =
        [("INTERVIEW__DATABASE__CONNECT_TIMEOUT_MS", "1000"), ("INTERVIEW__DATABASE__TRANSACTION_TIMEOUT_MS", "1000")];
    for outage in ["refused", "swallowed", "half-open"] {
        let proxy = Proxy::to(world.database_address());
        let (session, runtime, mut browser) = behind(&proxy, &world, &impatient).await;
        browser.say(1, &["1"]).await;
        acked(&mut browser, 1).await;
        match outage {
            "refused" => proxy.down(),
            "swallowed" => proxy.set(Line { hole: true, ..Line::default() }),
            _ => {
                proxy.set(Line { refuse: true, ..Line::default() });
                proxy.half_open();
            }
        }
        for seq in 2..=20 {
            browser.say(seq, &[&seq.to_string()]).await;
        }
        assert_eq!(browser.expect("degraded").await["what"], "storage", "{outage}");
        // The outage itself; nothing is waited for.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(texts(&world, session).await.len(), 1, "{outage}: nothing reaches the database");
        let back = Instant::now();
        proxy.up();
        acked(&mut browser, 20).await;
        let late = back.elapsed();
        println!("{outage}: everything acknowledged {late:?} after the database's return");
        assert!(late < Duration::from_secs(5), "{outage}: {late:?}");
        assert!(browser.seen.iter().any(|event| event["type"] == "restored" && event["what"] == "storage"), "{outage}");
        let expected: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
        assert_eq!(texts(&world, session).await, expected, "{outage}: all of it, once, in order");
        stop(runtime).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_stores_nothing_twice() {
    let world = World::start().await;
    let proxy = Proxy::to(world.database_address());
    let (session, runtime, mut browser) = behind(&proxy, &world, &[QUIET_HEART]).await;
    let count = |table: &'static str| {
        let sql = format!("select count(*) from app.{table} where session_id = $1");
        let admin = world.admin.clone();
        async move {
            let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql)).bind(session.0).fetch_one(&admin);
            count.await.expect("a count")
        }
    };
    for seq in 1..=20 {
        proxy.cut_reply_to("COMMIT");
        browser.send(json!({"type": "integrity_event", "kind": "tab_hidden", "at": format!("2026-11-23T10:00:{seq:02}Z")})).await;
        browser.say(seq, &[&seq.to_string()]).await;
        acked(&mut browser, seq).await;
        wait_for("the answer was lost", || async { proxy.sprung() == seq }).await;
    }
    let expected: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
    assert_eq!(texts(&world, session).await, expected);
    assert_eq!(count("integrity_events").await, 20);
    // Every commit of the end, the summary's among them.
    for _ in 0..8 {
        proxy.cut_reply_to("COMMIT");
    }
    browser.send(json!({"type": "end_session"})).await;
    assert_eq!(runtime.exit().await, Exit::Done);
    assert!(proxy.sprung() > 21, "the fault happened: {}", proxy.sprung());
    assert_eq!(count("summaries").await, 1);
    assert_eq!(texts(&world, session).await, expected);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_gets_one_statement_at_a_time_and_larger_batches() {
    let world = World::start().await;
    let slow = "create function app.slow() returns trigger language plpgsql as 'begin perform pg_sleep(2); return null; end';
                create trigger slow before insert on app.transcript_entries for each statement execute function app.slow()";
    world.sql(slow).await;
    let session = world.new_session().await;
    // One connection: the heartbeat has to wait for it as well (an exhausted pool).
    let runtime = world.run_with(session, &[("INTERVIEW__DATABASE__MAX_CONNECTIONS", "1")]).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["1"]).await;
    wait_for("the first statement runs", || async { world.writing().await == 1 }).await;
    for seq in 2..=40 {
        browser.say(seq, &[&seq.to_string()]).await;
    }
    let last_said = Instant::now();
    let mut most = 0;
    while texts(&world, session).await.len() < 40 {
        most = most.max(world.writing().await);
        assert!(last_said.elapsed() < Duration::from_secs(20), "not stored");
    }
    acked(&mut browser, 40).await;
    let took = last_said.elapsed();
    println!("2 s a statement: the last of 40 was acknowledged {took:?} after it was said");
    assert_eq!(most, 1, "one statement in flight");
    assert!(took < Duration::from_secs(6), "about twice a statement: {took:?}");
    let batches: i64 = sqlx::query_scalar("select count(distinct stored_at) from app.transcript_entries where session_id = $1")
        .bind(session.0)
        .fetch_one(&world.admin)
        .await
        .expect("a count");
    assert!(batches <= 3, "{batches} batches for 40 entries");
    stop(runtime).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_stops_reading_from_the_browser_and_drops_nothing() {
    const ALL: u64 = 1_500;
    let world = World::start().await;
    let proxy = Proxy::to(world.database_address());
    let session = world.new_session().await;
    let url = world.database_through(&proxy);
    let overrides = [
        ("INTERVIEW__DATABASE__URL", url.as_str()),
        ("INTERVIEW__OUTBOX__MAX_RECORDS", "50"),
        ("INTERVIEW__SOCKET__FRAMES_PER_S", "1000000"),
        ("INTERVIEW__SOCKET__FRAMES_BURST", "1000000"),
    ];
    let mut process = world.spawn_ready(session, &overrides).await;
    let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    let idle = process.memory_kib();
    proxy.down();
    // White space weighs on the line and is nothing that was said.
    let padding = " ".repeat(15_000);
    let frame = |seq: u64| {
        let entry =
            json!({"text": seq.to_string(), "speaker": "candidate", "timestamp": "2026-11-23T10:00:00Z", "id": seq.to_string()});
        json!({"type": "transcript_update", "entries": [entry], "seq": seq}).to_string() + &padding
    };
    let mut sent = 0;
    while sent < ALL && browser.try_send(frame(sent + 1), Duration::from_secs(2)).await {
        sent += 1;
    }
    assert!(sent < ALL, "the process goes on reading: {sent} messages of 15 kB");
    assert!(process.logged("outbox_full").is_some(), "it says so");
    let full = process.memory_kib();
    println!("stopped reading after {sent} messages of 15 kB; memory {idle} kB idle, {full} kB full");
    assert!(full < idle + 32 * 1024, "{idle} kB idle, {full} kB full");
    proxy.up();
    // The one that was cut short is sent again: a repeat is harmless.
    for seq in sent + 1..=ALL {
        browser.send_text(frame(seq)).await;
    }
    acked(&mut browser, ALL).await;
    let numbers: Vec<u64> = texts(&world, session).await.iter().filter_map(|text| text.split(' ').next()?.parse().ok()).collect();
    assert_eq!(numbers, (1..=ALL).collect::<Vec<_>>(), "all of it, once, in order");
    process.signal("TERM");
    assert_eq!(process.ended(Duration::from_secs(10)).await.code, Some(75));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_entries_with_one_that_the_database_refuses_the_others_are_stored_and_it_is_kept() {
    let world = World::start().await;
    world.sql("alter table app.transcript_entries add constraint poison check (text <> 'poison')").await;
    let session = world.new_session().await;
    let runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    let mut all: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    all[537] = "poison".to_owned();
    for (index, chunk) in all.chunks(100).enumerate() {
        let texts: Vec<&str> = chunk.iter().map(String::as_str).collect();
        browser.say(index as u64 + 1, &texts).await;
    }
    acked(&mut browser, 10).await;
    all.remove(537);
    assert_eq!(texts(&world, session).await, all);
    let kept: Vec<(String, String, String)> =
        sqlx::query_as("select kind, convert_from(content, 'UTF8')::json #>> '{entry,text}', refusal from app.dead_letters where session_id = $1")
            .bind(session.0)
            .fetch_all(&world.admin)
            .await
            .expect("the dead letters");
    let [(kind, text, refusal)] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((kind.as_str(), text.as_str()), ("entry", "poison"));
    assert!(refusal.contains("poison"), "PostgreSQL's own words, with the constraint's name: {refusal}");
    stop(runtime).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_while_the_database_refuses_one_record_stores_those_behind_it() {
    let world = World::start().await;
    world.sql("alter table app.transcript_entries add constraint poison check (text <> 'poison')").await;
    let session = world.new_session().await;
    let runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["before", "poison", "after"]).await;
    // Refused, and to be tried twice more.
    while browser.expect("degraded").await["what"] != "storage" {}
    stop(runtime).await;
    assert_eq!(texts(&world, session).await, ["before", "after"]);
    let kept: i64 = sqlx::query_scalar("select count(*) from app.dead_letters where session_id = $1")
        .bind(session.0)
        .fetch_one(&world.admin)
        .await
        .expect("a count");
    assert_eq!(kept, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_and_serialization_failures_are_tried_again_until_they_pass() {
    let world = World::start().await;
    let failing = "create sequence app.failures;
         create function app.fail_first() returns trigger language plpgsql as $$ begin
           case nextval('app.failures') when 1, 3 then raise exception using errcode = '40001', message = 'could not serialize';
             when 2, 4 then raise exception using errcode = '40P01', message = 'deadlock detected'; else null; end case;
           return new; end $$;
         grant usage on sequence app.failures to public;
         create trigger fail_first before insert on app.transcript_entries for each row execute function app.fail_first()";
    world.sql(failing).await;
    let session = world.new_session().await;
    let runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["serialized"]).await;
    acked(&mut browser, 1).await;
    let failures: i64 = sqlx::query_scalar("select last_value from app.failures").fetch_one(&world.admin).await.expect("a count");
    assert!(failures > 4, "the fault happened: {failures}");

    // A failover: whoever is connected is on a standby now, and stays there.
    world.sql("alter database interview set default_transaction_read_only = on").await;
    world.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'interview_runtime'").await;
    browser.say(2, &["to the standby"]).await;
    while browser.expect("degraded").await["what"] != "storage" {}
    world.sql("begin read write; alter database interview reset default_transaction_read_only; commit").await;
    acked(&mut browser, 2).await;
    assert_eq!(texts(&world, session).await, ["serialized", "to the standby"]);
    stop(runtime).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_server_that_is_killed_and_comes_back_has_everything_that_was_acknowledged() {
    let world = World::start().await;
    let session = world.new_session().await;
    let runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    let mut seq = 0;
    for _ in 0..3 {
        for _ in 0..20 {
            seq += 1;
            browser.say(seq, &[&seq.to_string()]).await;
        }
        // Some are stored, some are on their way, one is being committed perhaps.
        browser.expect("transcript_ack").await;
        world.kill_database().await;
        seq += 1;
        browser.say(seq, &[&seq.to_string()]).await;
        world.restart_database().await;
        acked(&mut browser, seq).await;
    }
    let expected: Vec<String> = (1..=seq).map(|n| n.to_string()).collect();
    assert_eq!(texts(&world, session).await, expected);
    stop(runtime).await;
    world.stop().await;
}
