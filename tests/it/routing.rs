//! How a WebSocket reaches its session's machine, in both modes: through Fly's proxy, and proxied by the gateway itself. Real
//! gateways, real session processes.

use crate::support::browser::Browser;
use crate::support::system::System;
use crate::support::{uuid, wait_for};
use interview_sandbox::faults::{Action, Fault};
use interview_sandbox::fly::model::MachineState;
use interview_sandbox::{GATEWAY_APP, SESSION_APP, TENANT_ID};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::net::SocketAddr;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Error;
use uuid::Uuid;

const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const AMARA: &str = "ca000000-0000-4000-8000-000000000011";

async fn order(system: &System, recruiter: &str) -> String {
    let body = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
    let (status, made) = system.post(recruiter, "/api/sessions", &body).await;
    assert_eq!(status, 201, "{made}");
    made["session_id"].as_str().expect("an id").to_owned()
}

async fn ready(system: &System, recruiter: &str) -> String {
    let id = order(system, recruiter).await;
    wait_for("the session's process is ready", || async { system.phase(recruiter, &id).await == "ready" }).await;
    id
}

async fn machine_of(system: &System, recruiter: &str, session: &str) -> String {
    let (_, view) = system.get(recruiter, &format!("/api/sessions/{session}")).await;
    view["machine"]["id"].as_str().unwrap_or_else(|| panic!("no machine: {view}")).to_owned()
}

/// A refused handshake: its status, what it says of when to come again, and its problem.
pub async fn refusal(system: &System, path: &str, headers: &[(&str, &str)]) -> (u16, Option<u64>, Value) {
    let url = format!("{}{path}", system.sandbox.urls().front);
    let mut request = reqwest::Client::new()
        .get(url)
        .timeout(Duration::from_secs(30))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    let retry = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    (answer.status().as_u16(), retry, answer.json().await.unwrap_or(Value::Null))
}

fn status(refused: Result<Browser, Error>) -> u16 {
    match refused {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => 101,
    }
}

/// How many WebSockets the gateway says it carries.
pub fn carried(system: &System) -> Option<f64> {
    let gauges = system.sandbox.traces().gauges_named("interview.gateway.carried");
    // Of a gateway that was restarted, both processes' are kept; one machine has one at a time.
    gauges.last().map(|gauge| gauge.value)
}

async fn by_path_and_by_host_and_after_the_gateway_was_replaced(mode: &str) {
    let system = System::start_with(&[("ROUTING__MODE", mode)]).await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let id = ready(&system, &recruiter).await;
    let mut browser = system.join(&system.amara().await, &id).await;
    browser.say(1, &["by path"]).await;
    browser.expect("transcript_ack").await;
    if mode == "proxy_6pn" {
        wait_for("the gauge tells of it", || async { carried(&system) == Some(1.0) }).await;
    }

    // The seed's form; what a client claims to be from the proxy is nobody's word.
    let front = system.sandbox.urls().front.clone();
    let port = front.rsplit_once(':').expect("a port").1;
    let (url, host) = (format!("ws://127.0.0.1:{port}/ws"), format!("interview-{id}.localhost:{port}"));
    let ticket =
        async || system.join_info(&system.amara().await, &id).await["websocket_ticket"].as_str().expect("a ticket").to_owned();
    let forged = [("host", host.as_str()), ("fly-replay-src", "instance=x;state=99999999999-00")];
    let used = ticket().await;
    let mut newer = Browser::connect_with(&url, &used, &front, &forged).await.expect("the socket opens by host name");
    newer.expect("session_ready").await;
    assert_eq!(browser.closed().await, 4001, "the newer socket won: it is the same session");
    newer.say(2, &["by host"]).await;
    newer.expect("transcript_ack").await;

    // The same checks as by path.
    let by_host = [("host", host.as_str())];
    let elsewhere = Browser::connect_with(&url, &ticket().await, "https://evil.test", &by_host).await;
    assert_eq!(status(elsewhere), 403, "an origin that is not on the list");
    let mut again = Browser::connect_with(&url, &used, &front, &by_host).await.expect("refused after the handshake");
    assert_eq!(again.closed().await, 4003, "a ticket works once");
    let unknown = format!("interview-{}.localhost:{port}", Uuid::new_v4());
    for host in [unknown.as_str(), "interview-1.localhost", "localhost"] {
        let (status, _, problem) = refusal(&system, "/ws", &[("host", host)]).await;
        assert_eq!((status, problem["code"].as_str()), (404, Some("session_not_found")), "{host}: {problem}");
    }

    // The gateway is replaced in the middle of it.
    let gateway = system.sandbox.fly().machines(GATEWAY_APP).remove(0);
    let pid = gateway.status().pid.expect("it runs");
    let sent = std::process::Command::new("kill").args(["-s", "TERM", &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let last = if mode == "proxy_6pn" {
        assert_eq!(newer.closed().await, 1012, "come back at once");
        2
    } else {
        wait_for("the gateway is gone", || async { gateway.status().pid != Some(pid) }).await;
        newer.say(3, &["the gateway is not on the way"]).await;
        newer.expect("transcript_ack").await;
        3
    };
    wait_for("a new gateway answers", || async {
        let healthy = reqwest::get(format!("{front}/healthz")).await;
        gateway.status().pid.is_some_and(|new| new != pid) && healthy.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let info = system.join_info(&system.amara().await, &id).await;
    let url = info["websocket_url"].as_str().expect("an address");
    let ticket = info["websocket_ticket"].as_str().expect("a ticket");
    let mut back = Browser::connect_from(url, ticket, &front).await.expect("the socket opens");
    assert_eq!(back.expect("session_ready").await["acked_seq"], last);
    back.say(last + 1, &["back"]).await;
    back.expect("transcript_ack").await;
    let machine = machine_of(&system, &recruiter, &id).await;
    let restarts = system.sandbox.fly().machine(&machine).expect("it is known").status().restarts;
    assert_eq!(restarts, 0, "the session's own process noticed nothing");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fly_replay_by_path_and_by_host_and_after_the_gateway_was_replaced() {
    by_path_and_by_host_and_after_the_gateway_was_replaced("fly_replay").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_6pn_by_path_and_by_host_and_after_the_gateway_was_replaced() {
    by_path_and_by_host_and_after_the_gateway_was_replaced("proxy_6pn").await;
}

async fn a_machine_that_is_starting_gone_or_done_with_is_told_apart(mode: &str) {
    // No keeper makes another machine while we look.
    let system = System::start_with(&[
        ("ROUTING__MODE", mode),
        ("ROUTING__CONNECT_TIMEOUT_MS", "2500"),
        ("KEEPER__LOST_AFTER_MS", "120000"),
        ("KEEPER__STUCK_AFTER_MS", "120000"),
        ("FLY__START_DEADLINE_MS", "120000"),
    ])
    .await;
    let recruiter = system.sign_in("recruiter@demo.test").await;

    // It starts while the browser is on its way: the browser waits and is let in.
    let id = order(&system, &recruiter).await;
    let mut early = system.join(&system.amara().await, &id).await;
    early.say(1, &["early"]).await;
    early.expect("transcript_ack").await;

    // What goes wrong between the proxy and a machine that is well is told as what it is.
    let path = format!("/ws/{id}");
    if mode == "fly_replay" {
        for reason in ["timeout", "retries_exhausted", "no_candidate"] {
            system.sandbox.faults().add(Fault::once("fly-proxy", "replay", Action::Named(reason.into())));
            let (status, retry, problem) = refusal(&system, &path, &[]).await;
            assert_eq!((status, problem["code"].as_str()), (503, Some("session_not_ready")), "{reason}: {problem}");
            assert!(retry.is_some_and(|seconds| seconds > 0) && problem["retryable"] == true, "{reason}: {problem}");
        }
    } else {
        let silent = Action::Answer { status: 500, headers: vec![], body: String::new() };
        system.sandbox.faults().add(Fault::once("fly", "private.resolve", silent).times(50));
        let (status, retry, problem) = refusal(&system, &path, &[]).await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("session_not_ready")), "{problem}");
        assert!(retry.is_some_and(|seconds| seconds > 0), "{problem}");
        system.sandbox.faults().clear();
        // An ordinary request is no WebSocket.
        let (status, problem) = system.get(&recruiter, &path).await;
        assert_eq!((status, problem["code"].as_str()), (426, Some("request_invalid")), "{problem}");
    }
    let mut again = system.join(&system.amara().await, &id).await;
    again.say(2, &["again"]).await;
    again.expect("transcript_ack").await;

    // Lost with its host: whether or not the proxy has heard of it yet.
    let machine = machine_of(&system, &recruiter, &id).await;
    assert!(system.sandbox.fly().lose(&machine));
    for _ in 0..2 {
        let (status, retry, problem) = refusal(&system, &path, &[]).await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("session_not_ready")), "{problem}");
        assert!(retry.is_some() && problem["request_id"].is_string(), "{problem}");
    }

    // Over.
    let done = ready(&system, &recruiter).await;
    let (status, _) = system.post(&recruiter, &format!("/api/sessions/{done}/end"), &json!({})).await;
    assert_eq!(status, 202);
    wait_for("it is over", || async { system.phase(&recruiter, &done).await == "completed" }).await;
    let (status, retry, problem) = refusal(&system, &format!("/ws/{done}"), &[]).await;
    assert_eq!((status, retry, problem["code"].as_str()), (410, None, Some("session_over")), "{problem}");
    assert_eq!(problem["retryable"], false, "{problem}");

    // Asked for, and no machine yet.
    let unmade = fake_session(&system, None).await;
    let (status, retry, problem) = refusal(&system, &format!("/ws/{unmade}"), &[]).await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("session_not_ready")), "{problem}");
    assert!(retry.is_some());
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fly_replay_tells_a_machine_that_is_starting_gone_or_done_with_apart() {
    a_machine_that_is_starting_gone_or_done_with_is_told_apart("fly_replay").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_6pn_tells_a_machine_that_is_starting_gone_or_done_with_apart() {
    a_machine_that_is_starting_gone_or_done_with_is_told_apart("proxy_6pn").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_hears_late_of_a_machine_gives_its_browsers_back_until_it_knows() {
    let system = System::start_changed(&[], |options| options.proxy_lag = Duration::from_secs(4)).await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let id = order(&system, &recruiter).await;
    let path = format!("/ws/{id}");
    let (status, retry, problem) = refusal(&system, &path, &[]).await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("session_not_ready")), "{problem}");
    assert!(retry.is_some());
    let machine = machine_of(&system, &recruiter, &id).await;
    wait_for("the process runs, whatever the proxy knows", || async {
        system.sandbox.fly().machine(&machine).expect("it is known").state() == MachineState::Started
    })
    .await;
    // The browser asks again, and is let in once the proxy knows.
    wait_for("the proxy knows", || async { refusal(&system, &path, &[("origin", "https://evil.test")]).await.0 == 403 }).await;
    let mut browser = system.join(&system.amara().await, &id).await;
    browser.say(1, &["at last"]).await;
    browser.expect("transcript_ack").await;
    system.stop().await;
}

async fn admin(system: &System) -> PgPool {
    let url = system.sandbox.database_admin_url().expect("the sandbox has a database");
    PgPool::connect(&url).await.expect("a connection")
}

/// A session whose machine is whatever listens at `address`.
pub async fn fake_session(system: &System, address: Option<SocketAddr>) -> Uuid {
    let id = Uuid::new_v4();
    let machine = address.map(|address| {
        let config = json!({"image": "i", "services": [{"internal_port": 8080, "ports": [{"port": 443}]}]});
        system.sandbox.fly().register_machine(SESSION_APP, &format!("s-{id}-1"), address, config).expect("a machine")
    });
    let admin = admin(system).await;
    sqlx::query(
        "insert into app.sessions (tenant_id, id, candidate_id, position_id, deadline_at, attempt, machine_id, heartbeat_at)
         values ($1, $2, $3, $4, now() + interval '2 hours', 1, $5, now())",
    )
    .bind(uuid(TENANT_ID))
    .bind(id)
    .bind(uuid(AMARA))
    .bind(uuid(ENGINEER))
    .bind(machine)
    .execute(&admin)
    .await
    .expect("a session row");
    admin.close().await;
    id
}
