use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::error::Fault;
use crate::integrations::test_server::{Reply, TestServer, dead_address, http_client};

const APP: &str = "interviews-demo-s";

fn client(base: Url) -> FlyClient {
    let mut options = FlyOptions::new(base, SecretString::from("FlyV1 fm2_abc,fm2_def"));
    options.create_deadline = Duration::from_millis(300);
    FlyClient::new(http_client(), options).expect("usable options")
}

fn spec() -> MachineSpec {
    MachineSpec {
        name: "s-1".into(),
        region: Some("iad,us,any".into()),
        skip_launch: false,
        min_secrets_version: Some(3),
        config: MachineConfig {
            image: "registry.fly.io/interviews-runtime@sha256:00".into(),
            init: Some(Init { cmd: vec!["session".into()] }),
            env: BTreeMap::from([("SESSION_ID".into(), "1".into())]),
            guest: Guest { cpu_kind: "shared".into(), cpus: 1, memory_mb: 512 },
            auto_destroy: true,
            restart: Restart { policy: RestartPolicy::OnFailure, max_retries: Some(3) },
            stop_config: StopConfig { signal: "SIGTERM".into(), timeout: "60s".into() },
            metadata: BTreeMap::from([("session_id".into(), "1".into())]),
            services: vec![Service::web(8080, "/healthz")],
            metrics: Some(MachineMetrics { port: 9091, path: "/metrics".into() }),
        },
    }
}

#[tokio::test]
async fn creation_has_the_wire_form() {
    let server = TestServer::always(Reply::json(
        200,
        r#"{"id":"148e","name":"s-1","state":"created","region":"iad","private_ip":"fdaa::3","config":{"metadata":{"session_id":"1"}}}"#,
    ))
    .await;
    let outcome = client(server.base()).create_machine(APP, &spec()).await.expect("an outcome");
    let CreateOutcome::Created(machine) = outcome else { panic!("{outcome:?}") };
    assert_eq!((machine.id.as_str(), machine.state, machine.region.as_deref()), ("148e", MachineState::Created, Some("iad")));
    assert_eq!(machine.metadata().and_then(|all| all.get("session_id")).map(String::as_str), Some("1"));

    let sent = server.only_request();
    assert_eq!(sent.line, "POST /v1/apps/interviews-demo-s/machines");
    assert_eq!(sent.header("authorization"), Some("FlyV1 fm2_abc,fm2_def"));
    let expected = json!({
        "name": "s-1", "region": "iad,us,any", "skip_launch": false, "min_secrets_version": 3,
        "config": {
            "image": "registry.fly.io/interviews-runtime@sha256:00",
            "init": {"cmd": ["session"]},
            "env": {"SESSION_ID": "1"},
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512},
            "auto_destroy": true,
            "restart": {"policy": "on-failure", "max_retries": 3},
            "stop_config": {"signal": "SIGTERM", "timeout": "60s"},
            "metadata": {"session_id": "1"},
            "services": [{
                "protocol": "tcp", "internal_port": 8080, "autostart": false, "autostop": "off",
                "concurrency": {"type": "connections", "soft_limit": 20, "hard_limit": 50},
                "ports": [{"port": 443, "handlers": ["tls", "http"]}, {"port": 80, "handlers": ["http"], "force_https": true}],
                "checks": [{"type": "http", "port": 8080, "method": "GET", "path": "/healthz", "interval": "15s",
                            "timeout": "2s", "grace_period": "5s"}]
            }],
            "metrics": {"port": 9091, "path": "/metrics"}
        }
    });
    assert_eq!(sent.json(), expected);
}

/// Outcome or error of a creation, in one word.
async fn create(status: u16, body: &str) -> String {
    let server = TestServer::always(Reply::json(status, body)).await;
    match client(server.base()).create_machine(APP, &spec()).await {
        Ok(CreateOutcome::Created(_)) => "created".to_owned(),
        Ok(CreateOutcome::AlreadyExists { machine_id }) => {
            format!("exists {}", machine_id.map(crate::ids::MachineId::into_string).unwrap_or_default())
        }
        Ok(CreateOutcome::Ambiguous(_)) => "ambiguous".to_owned(),
        Ok(CreateOutcome::NoCapacity { scope, error }) => {
            assert_eq!(error.code(), ErrorCode::FlyCapacityExhausted);
            format!("full {scope:?}")
        }
        Err(error) => format!("{} {}", error.class(), error.code()),
    }
}

#[tokio::test]
async fn creation_failures_by_the_table() {
    let text = |error: &str| json!({ "error": error }).to_string();
    let taken = r#"already_exists: unique machine name violation, machine ID 148e123 already exists with name "s-1""#;
    let cases = [
        (409, text(taken), "exists 148e123"),
        (409, text("already_exists: unique machine name violation"), "exists "),
        (
            409,
            text("aborted: could not reserve resource for machine: insufficient CPUs available to fulfill request"),
            "full Host",
        ),
        (409, text("aborted: insufficient IPs"), "full Host"),
        (409, text("aborted: no capacity"), "full Region"),
        (409, text("aborted: machine update failed due to concurrent update"), "transient fly_machine_conflicted"),
        (412, text("insufficient resources to create new machine with existing volume"), "full Host"),
        (412, json!({"error": "x", "status": "volume_placement_capacity"}).to_string(), "full Host"),
        (422, text("could not find a candidate host"), "full Region"),
        (422, json!({"error": "x", "status": "insufficient_capacity"}).to_string(), "full Region"),
        (
            422,
            json!({"error": "Validation failed: Name has already been taken", "status": "name_taken"}).to_string(),
            "rejected fly_limit_reached",
        ),
        (422, text("please add a payment method"), "rejected fly_limit_reached"),
        (422, text("your organization has reached its machine limit"), "rejected fly_limit_reached"),
        (422, text("invalid config.guest"), "bug fly_request_invalid"),
        (400, text("invalid_argument: x"), "bug fly_request_invalid"),
        (401, text("token validation error"), "rejected fly_unauthorized"),
        (403, String::new(), "rejected fly_unauthorized"),
        (404, text("app not found"), "rejected fly_machine_not_found"),
        (429, String::new(), "transient fly_rate_limited"),
        (408, text("request timed out"), "ambiguous"),
        (500, text("could not find a candidate host"), "ambiguous"),
        (503, json!({"status": "insufficient_capacity"}).to_string(), "ambiguous"),
        (200, "<html>".to_owned(), "ambiguous"),
    ];
    for (status, body, expected) in cases {
        assert_eq!(create(status, &body).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn silence_after_the_request_is_ambiguous_no_connection_is_not() {
    for reply in [Reply::Hang, Reply::Raw(Vec::new())] {
        let server = TestServer::always(reply).await;
        let outcome = client(server.base()).create_machine(APP, &spec()).await;
        assert!(matches!(outcome, Ok(CreateOutcome::Ambiguous(_))), "{outcome:?}");
    }
    let error = client(dead_address().await).create_machine(APP, &spec()).await.expect_err("nobody there");
    assert!(error.class().is_transient());
}

#[tokio::test]
async fn machines_are_read_leniently() {
    let body = r#"{"id":"1","state":"brand_new","config":null,"host_status":"unreachable","nonce":5,
        "incomplete_config":{"metadata":{"session_id":"1"}},
        "events":[{"type":"exit","timestamp":20,"request":{"exit_event":{"exit_code":137,"oom_killed":true}}},
                  {"type":"exit","timestamp":30,"request":{"MonitorEvent":{"exit_event":{"exit_code":0,"requested_stop":true}}}},
                  {"type":"start","timestamp":40,"request":null},{"odd":true}]}"#;
    let server = TestServer::always(Reply::json(200, body)).await;
    let machine = client(server.base()).get_machine(APP, &MachineId::from("1")).await.expect("read").expect("found");
    assert_eq!((machine.state, machine.state.group()), (MachineState::Unknown, StateGroup::Unknown));
    assert!(machine.metadata().is_some());
    let exit = machine.last_exit().expect("an exit");
    assert_eq!((exit.exit_code, exit.requested_stop, exit.oom_killed), (Some(0), true, false));

    let server = TestServer::always(Reply::json(404, r#"{"error":"not found"}"#)).await;
    assert_eq!(client(server.base()).get_machine(APP, &MachineId::from("1")).await.expect("read"), None);
}

#[tokio::test]
async fn list_is_filtered_again_here() {
    let body = r#"[{"id":"1","state":"started","config":{"metadata":{"session_id":"1"}}},
        {"id":"2","state":"started","config":{"metadata":{"session_id":"2"}}},{"id":"3","state":"started","host_status":"unreachable"}]"#;
    let server = TestServer::always(Reply::json(200, body)).await;
    let machines = client(server.base()).find_by_metadata(APP, "session_id", "1").await.expect("a list");
    let ids: Vec<&str> = machines.iter().map(|machine| machine.id.as_str()).collect();
    assert_eq!(ids, ["1", "3"]);
    assert_eq!(server.only_request().line, "GET /v1/apps/interviews-demo-s/machines?metadata.session_id=1");

    let server = TestServer::always(Reply::json(200, "null")).await;
    assert!(client(server.base()).find_by_metadata(APP, "session_id", "1").await.expect("a list").is_empty());
}

#[tokio::test]
async fn wait_asks_for_several_states_and_at_most_a_minute() {
    let server = TestServer::always(Reply::json(200, r#"{"ok":true,"state":"failed","version":"01"}"#)).await;
    let states = [MachineState::Started, MachineState::Failed, MachineState::Destroyed];
    let id = MachineId::from("1");
    let outcome = client(server.base()).wait(APP, &id, &states, Duration::from_mins(10)).await.expect("an answer");
    assert_eq!(outcome, WaitOutcome::Reached(MachineState::Failed));
    let line = server.only_request().line;
    assert_eq!(line, "GET /v1/apps/interviews-demo-s/machines/1/wait?state=started%2Cfailed%2Cdestroyed&timeout=60");

    for (status, expected) in [(408, WaitOutcome::TimedOut), (404, WaitOutcome::NotFound)] {
        let server = TestServer::always(Reply::json(status, "{}")).await;
        let outcome = client(server.base()).wait(APP, &id, &states, Duration::ZERO).await.expect("an answer");
        assert_eq!(outcome, expected);
        assert!(server.only_request().line.ends_with("timeout=1"));
    }
}

#[tokio::test]
async fn destroying_twice_is_no_failure() {
    for (status, expected) in [(200, Destroyed::Destroying), (404, Destroyed::AlreadyGone)] {
        let server = TestServer::always(Reply::json(status, "{}")).await;
        let id = MachineId::from("1");
        assert_eq!(client(server.base()).destroy_machine(APP, &id, true).await.expect("destroyed"), expected);
        assert_eq!(server.only_request().line, "DELETE /v1/apps/interviews-demo-s/machines/1?force=true");
    }
}

#[test]
fn tokens_with_and_without_scheme() {
    let value = |token: &str| authorization(token);
    let macaroon = Some("FlyV1 fm2_abc".to_owned());
    for token in ["fm2_abc", "FlyV1 fm2_abc", "Bearer fm2_abc", "bearer FlyV1 fm2_abc", " flyv1  fm2_abc\n"] {
        assert_eq!(value(token), macaroon, "{token:?}");
    }
    assert_eq!(value("fo1_xyz"), Some("Bearer fo1_xyz".to_owned()));
    assert_eq!(value("FlyV1 fo1_xyz"), Some("Bearer fo1_xyz".to_owned()));
    assert_eq!(value("fm1r_a,fm2_b"), Some("FlyV1 fm1r_a,fm2_b".to_owned()));
    for bad in ["", "  ", "Basic abc", "a b"] {
        assert_eq!(value(bad), None, "{bad:?}");
    }
}
