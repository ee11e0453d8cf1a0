//! How a session process starts when what it needs is not there, and how it says so.

use crate::support::browser::Browser;
use crate::support::proxy::Proxy;
use crate::support::{World, wait_for};
use interview_runtime::ids::SessionId;
use interview_runtime::roles::Exit;
use interview_sandbox::faults::{Action, Fault};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_before_its_database_waits_for_it_and_holds_the_interview() {
    let world = World::start().await;
    let session = world.new_session().await;
    let proxy = Proxy::to(world.database_address());
    proxy.down();
    let mut process = world.spawn(session, &[("INTERVIEW__DATABASE__URL", &world.database_through(&proxy))]);
    wait_for("it waits for the database", || async { process.logged("transcript_store_unavailable").is_some() }).await;
    assert!(!process.ready().await, "nothing can be promised without the database");
    proxy.up();
    process.until_ready().await;
    let mut browser = Browser::join(&process.websocket_url(), &world.ticket(session).await).await;
    browser.say(1, &["better late"]).await;
    browser.expect("transcript_ack").await;
    assert_eq!(world.rows(session).await.len(), 1);
    process.signal("TERM");
    assert_eq!(process.ended(PATIENCE).await.code, Some(75));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_database_stays_away_exits_to_be_restarted_after_the_wait() {
    let world = World::start().await;
    let session = world.new_session().await;
    let proxy = Proxy::to(world.database_address());
    proxy.down();
    let url = world.database_through(&proxy);
    let overrides = [("INTERVIEW__DATABASE__URL", url.as_str()), ("INTERVIEW__SESSION__CLAIM_TIMEOUT_MS", "1000")];
    let mut process = world.spawn(session, &overrides);
    let ended = process.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(70), "{:#?}", process.lines());
    assert!(ended.after >= Duration::from_secs(1), "it waited: {ended:?}");
    let last = process.lines().pop().expect("it says why");
    assert!(last.contains("transcript_store_unavailable") && last.contains("cannot take the session"), "{last}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_does_not_exist_or_was_deleted_ends_its_machine_with_success() {
    let world = World::start().await;
    let deleted = world.new_session().await;
    sqlx::query("delete from app.sessions where id = $1").bind(deleted.0).execute(&world.admin).await.expect("deletes");
    for session in [deleted, SessionId(Uuid::new_v4())] {
        let mut process = world.spawn(session, &[]);
        let ended = process.ended(PATIENCE).await;
        assert_eq!(ended.code, Some(0), "a restart would be in vain: {:#?}", process.lines());
        assert!(process.logged("session_not_found").is_some(), "{:#?}", process.lines());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_exits_with_its_own_code_and_names_the_key() {
    let world = World::start().await;
    let session = world.new_session().await;
    for (variable, value, key) in [
        ("INTERVIEW__SESSION__CLAIM_TIMEOUT_MS", "soon", "session.claim_timeout_ms"),
        ("INTERVIEW__DATABASE__URL", "postgres://interview_runtime:hidden@localhost:6543/x", "database.url"),
        ("INTERVIEW__OPENAI__API_KEY", "", "openai.api_key"),
        ("INTERVIEW__NO_SUCH", "1", "no_such"),
    ] {
        let mut process = world.spawn(session, &[(variable, value)]);
        assert_eq!(process.ended(PATIENCE).await.code, Some(78), "{variable}");
        let told = process.lines().join("\n");
        assert!(told.contains("config_invalid") && told.contains(key), "{key}: {told}");
        assert!(!told.contains("hidden"), "{told}");
    }
    assert_eq!(world.text(session, "epoch").await.as_deref(), Some("0"), "nothing was taken");
    world.stop().await;
}

#[tokio::test]
async fn a_summarizer_that_crashes_while_it_works_is_restarted_and_one_summary_is_stored() {
    let world = World::start().await;
    let session = world.new_session().await;
    world.heard(session, "candidate", "I built a queue that never lost a message.").await;
    let runtime = world.run(session).await;
    let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
    world.faults.add(Fault::once("openai", "responses", Action::Hang));
    browser.send(json!({"type": "end_session"})).await;
    wait_for("the model is asked and does not answer", || async { world.faults.pending().is_empty() }).await;
    assert!(runtime.runs("summarizer").await);
    runtime.crash("summarizer").await;
    assert_eq!(runtime.exit().await, Exit::Done);
    assert_eq!(world.text(session, "phase").await.as_deref(), Some("completed"));
    let stored: Vec<(i32, String)> = sqlx::query_as("select version, status from app.summaries where session_id = $1")
        .bind(session.0)
        .fetch_all(&world.admin)
        .await
        .expect("the summaries");
    assert_eq!(stored, [(1, "stored".to_owned())]);
    world.stop().await;
}
