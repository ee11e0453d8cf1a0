//! The tenant's public endpoint, with the real binary as gateway and as session machine.

use crate::support::system::System;
use crate::support::wait_for;
use interview_sandbox::SESSION_APP;
use interview_sandbox::faults::{Action, Fault};
use interview_sandbox::fly::Machine;
use serde_json::json;
use sqlx::PgPool;
use std::sync::Arc;

const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
const JONAS: &str = "ca000000-0000-4000-8000-000000000012";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_made_once_routed_to_its_machine_and_ended_by_the_recruiter() {
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let order = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {"voice": "alloy", "language": "en-US", "temperature": 0.7}});
    let (status, made) = system.post_with(&recruiter, "/api/sessions", &order, &[("idempotency-key", "one")]).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["interview_context"]["position"]["title"], "Senior Software Engineer");
    let (video, ticket) = (&made["video_id"], &made["websocket_ticket"]);
    assert!(video.is_string() && ticket.is_null() && made["video_token"].is_null(), "a recruiter does not sit in it: {made}");
    assert_eq!(made["warnings"].as_array().map(Vec::len), Some(1), "temperature is told of: {made}");
    let (status, again) = system.post_with(&recruiter, "/api/sessions", &order, &[("idempotency-key", "one")]).await;
    assert_eq!((status, &again["session_id"]), (200, &made["session_id"]), "{again}");

    let id = made["session_id"].as_str().expect("an id").to_owned();
    wait_for("the session's process is ready", || async { system.phase(&recruiter, &id).await == "ready" }).await;
    // The browser's socket, through the gateway's fly-replay, reaches that process.
    let mut browser = system.join(&system.amara().await, &id).await;
    browser.say(1, &["hello"]).await;
    browser.expect("transcript_ack").await;

    let (status, _) = system.post(&recruiter, &format!("/api/sessions/{id}/end"), &json!({})).await;
    assert_eq!(status, 202);
    browser.expect("session_ended").await;
    wait_for("the interview is stored", || async { system.phase(&recruiter, &id).await == "completed" }).await;
    let (_, view) = system.get(&recruiter, &format!("/api/sessions/{id}")).await;
    assert_eq!(view["end_reason"], "recruiter_ended", "{view}");
    let machine = view["machine"]["id"].as_str().expect("a machine").to_owned();
    wait_for("the machine is destroyed", || async { system.machine_state(&machine).await == "destroyed" }).await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_and_bad_tokens_get_problems_and_make_nothing() {
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let candidate = system.sign_in("amara@demo.test").await;
    let stranger = system.sign_in("other@rival.test").await;
    let order = |candidate: &str, position: &str| json!({"candidate_id": candidate, "position_id": position, "settings": {}});
    let unknown = "00000000-0000-4000-8000-000000000099";
    for (token, body, status, code) in [
        (&recruiter, order(AMARA, unknown), 404, "position_not_found"),
        (&recruiter, order(unknown, ENGINEER), 404, "candidate_not_found"),
        (&recruiter, json!({"candidate_id": "x", "position_id": ENGINEER}), 400, ""),
        (&recruiter, json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {"max_duration_s": 1}}), 422, ""),
        (&candidate, order(JONAS, ENGINEER), 404, "candidate_not_found"),
        (&stranger, order(AMARA, ENGINEER), 403, "jwt_tenant_refused"),
        (&"nonsense".to_owned(), order(AMARA, ENGINEER), 401, ""),
        (&String::new(), order(AMARA, ENGINEER), 401, "jwt_missing"),
    ] {
        let (got, problem) = system.post(token, "/api/sessions", &body).await;
        assert!(got == status || (400..=422).contains(&got) && code.is_empty(), "{body}: {got} {problem}");
        assert!(problem["code"].is_string() && problem["request_id"].is_string(), "{problem}");
        assert!(code.is_empty() || problem["code"] == code, "{body}: {problem}");
    }
    for bad in system.bad_tokens("recruiter@demo.test") {
        let (status, problem) = system.get(&bad.1, "/api/sessions").await;
        assert_eq!(status, 401, "{}: {problem}", bad.0);
    }
    let (_, list) = system.get(&recruiter, "/api/sessions").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0), "{list}");

    // Another tenant's person sees nothing of a session that exists.
    let (_, made) = system.post(&recruiter, "/api/sessions", &order(AMARA, ENGINEER)).await;
    let id = made["session_id"].as_str().expect("an id");
    for path in ["", "/transcript", "/summary", "/recording"] {
        let (status, problem) = system.get(&stranger, &format!("/api/sessions/{id}{path}")).await;
        assert!(matches!(status, 401 | 403 | 404), "{path}: {status} {problem}");
    }
    let (status, _) = system.get(&candidate, &format!("/api/sessions/{id}/summary")).await;
    assert!(matches!(status, 403 | 404), "a candidate does not read the summary: {status}");
    system.stop().await;
}

fn containers(system: &System) -> usize {
    system.sandbox.api_video().snapshot()["videos"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_recording_the_interview_is_held_and_without_a_machine_it_is_refused() {
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let order = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
    let broken = || Action::Answer { status: 500, headers: vec![], body: "{}".into() };
    system.sandbox.faults().add(Fault::once("api.video", "videos.create", broken()).times(3));
    let (status, made) = system.post(&recruiter, "/api/sessions", &order).await;
    assert_eq!(status, 201, "{made}");
    assert!(made["video_id"].is_null() && made["warnings"].to_string().contains("recording"), "{made}");
    system.sandbox.faults().clear();

    system.sandbox.faults().add(
        Fault::once(
            "fly",
            "machines.create",
            Action::Answer {
                status: 422,
                headers: vec![],
                body: r#"{"error":"could not find a candidate host","status":"insufficient_capacity"}"#.into(),
            },
        )
        .times(9),
    );
    let before = containers(&system);
    let (status, problem) = system.post(&recruiter, "/api/sessions", &order).await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("machine_unavailable")), "{problem}");
    wait_for("its video is gone as well", || async { containers(&system) == before }).await;
    system.sandbox.faults().clear();

    // The database refuses the row's machine: machine and video are there already, and go.
    let admin = PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection");
    let refuse = "create function app.refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end';
                  create trigger refuse before update of machine_id on app.sessions for each row execute function app.refuse()";
    sqlx::raw_sql(refuse).execute(&admin).await.expect("it refuses from now on");
    let machines = || system.sandbox.fly().machines(SESSION_APP);
    let (before, running) = (containers(&system), |machine: &Arc<Machine>| !machine.state().is_gone());
    let known = machines().len();
    let (status, problem) = system.post(&recruiter, "/api/sessions", &order).await;
    assert_eq!((status, problem["code"].as_str()), (500, Some("database_refused")), "{problem}");
    assert_eq!(machines().len(), known + 1, "a machine was made");
    wait_for("and is gone", || async { machines().iter().filter(|machine| running(machine)).count() == 1 }).await;
    wait_for("with its video", || async { containers(&system) == before }).await;
    let failed: i64 = sqlx::query_scalar("select count(*) from app.sessions where end_reason = 'setup_failed'")
        .fetch_one(&admin)
        .await
        .expect("a count");
    assert_eq!(failed, 2);
    system.stop().await;
}
