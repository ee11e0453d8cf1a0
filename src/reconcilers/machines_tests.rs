//! How each answer of the Machines API is handled, class by class (docs/FLY.md has the table): a scripted server, the real
//! client, the real decisions.

use super::*;
use crate::config::Role;
use crate::integrations::fly::FlyOptions;
use crate::integrations::test_server::{Reply, Request, TestServer, http_client};
use serde_json::{Value, json};
use std::time::Instant;
use uuid::Uuid;

const TENANT: &str = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001";
const SESSION: &str = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c00aa";

fn machines(server: &TestServer, region: &str) -> Machines {
    let keys = [
        ("TENANT__ID", TENANT),
        ("DATABASE__URL", "postgres://runtime@localhost:5432/db"),
        ("ROUTING__SECRET", "0123456789abcdef0123456789abcdef"),
        ("OPENAI__API_KEY", "key"),
        ("API_VIDEO__API_KEY", "key"),
        ("SUPABASE__ISSUER", "https://x.supabase.co/auth/v1"),
        ("FLY__API_TOKEN", "fm2_abc"),
        ("FLY__SESSION_APP", "interviews-demo-s"),
        ("FLY__IMAGE", "registry.fly.io/interviews-runtime@sha256:00"),
        ("FLY__REGION", region),
    ];
    let keys = keys.map(|(key, value)| (format!("INTERVIEW__{key}"), value.to_owned())).into();
    let config = Config::load(None, Role::Gateway, Some(keys)).expect("a valid configuration");
    let options = FlyOptions {
        deadline: Duration::from_secs(10),
        create_deadline: Duration::from_secs(10),
        requests_per_s: 1_000.0,
        ..FlyOptions::new(server.base(), "fm2_abc".to_owned().into())
    };
    let fly = FlyClient::new(http_client(), options).expect("usable options");
    Machines::new(fly, Arc::new(config)).expect("a policy")
}

fn order() -> MachineOrder {
    MachineOrder {
        session: SESSION.parse().expect("a UUID"),
        candidate: CandidateId(Uuid::nil()),
        position: PositionId(Uuid::nil()),
        attempt: 2,
        importance: Importance::Standard,
        near: None,
        lost_in: None,
    }
}

/// The machine that was asked for, as Fly shows it.
fn shown(id: &str) -> Value {
    json!({
        "id": id, "name": format!("s-{SESSION}-2"), "state": "created", "region": "iad",
        "config": {"metadata": {"session_id": SESSION, "tenant_id": TENANT, "managed_by": MANAGED_BY}}
    })
}

fn changed(key: &str, value: &Value) -> String {
    let mut machine = shown("148e");
    *machine.pointer_mut(key).expect("a field of the machine") = value.clone();
    machine.to_string()
}

fn made() -> Reply {
    Reply::json(200, &shown("148e").to_string())
}

fn refused(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({ "error": text }).to_string())
}

fn taken() -> Reply {
    let text =
        format!("already_exists: unique machine name violation, machine ID 148e already exists with name \"s-{SESSION}-2\"");
    refused(409, &text)
}

fn nothing_listed() -> Reply {
    Reply::json(200, "[]")
}

fn is_creation(request: &Request) -> bool {
    request.line.starts_with("POST ")
}

/// The regions of each creation that was asked for; all under one name.
fn asked(server: &TestServer) -> Vec<String> {
    let bodies: Vec<Value> = server.requests().iter().filter(|request| is_creation(request)).map(Request::json).collect();
    assert!(bodies.iter().all(|body| body["name"] == format!("s-{SESSION}-2")), "one name: {bodies:#?}");
    bodies.iter().map(|body| body["region"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The first creations are answered by `first`, one after the other, the next ones well;
/// everything else by `rest`.
async fn server(first: Vec<Reply>, rest: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> TestServer {
    let creations = std::sync::atomic::AtomicUsize::new(0);
    TestServer::start(move |_, request| {
        if !is_creation(request) {
            return rest(request);
        }
        let turn = creations.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        first.get(turn).cloned().unwrap_or_else(made)
    })
    .await
}

async fn provided(first: Vec<Reply>, rest: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (String, Vec<String>) {
    let server = server(first, rest).await;
    let outcome = match machines(&server, "iad,ord,any").provide(&order()).await {
        Ok(machine) => machine.id.to_string(),
        Err(error) => format!("{} ({error})", error.code()),
    };
    (outcome, asked(&server))
}

#[tokio::test]
async fn a_taken_name_is_adopted_when_name_and_metadata_are_ours() {
    let (outcome, asked) = provided(vec![taken()], |_| made()).await;
    assert_eq!((outcome.as_str(), asked.len()), ("148e", 1));
    // The host is out of reach and took the metadata with it: the name is ours alone.
    let bare = json!({"id": "148e", "name": format!("s-{SESSION}-2"), "state": "started", "host_status": "unreachable"});
    let (outcome, _) = provided(vec![taken()], move |_| Reply::json(200, &bare.to_string())).await;
    assert_eq!(outcome, "148e");
}

#[tokio::test]
async fn a_taken_name_whose_holder_is_not_ours_or_on_its_way_out_is_not_adopted() {
    for body in [
        changed("/name", &json!("s-other")),
        changed("/config/metadata/session_id", &json!("another")),
        changed("/config/metadata/tenant_id", &json!("another")),
        changed("/state", &json!("destroying")),
    ] {
        let told = body.clone();
        let (outcome, asked) = provided(vec![taken()], move |_| Reply::json(200, &told)).await;
        assert!(outcome.starts_with("fly_machine_conflicted"), "{body}: {outcome}");
        assert_eq!(asked.len(), 1);
    }
}

#[tokio::test]
async fn a_holder_that_is_not_told_or_not_known_yet_is_looked_for_in_the_list() {
    let list = || Reply::json(200, &json!([shown("148e")]).to_string());
    let unnamed = refused(409, "already_exists: unique machine name violation");
    let (outcome, _) = provided(vec![unnamed], move |_| list()).await;
    assert_eq!(outcome, "148e");
    let (outcome, _) = provided(vec![taken()], move |request| {
        if request.line.contains("/148e") { refused(404, "not_found: machine not found") } else { list() }
    })
    .await;
    assert_eq!(outcome, "148e");
}

#[tokio::test]
async fn an_ambiguous_answer_is_followed_by_a_look_after_a_second_and_the_machine_is_adopted() {
    let broken = [refused(408, "deadline_exceeded"), Reply::json(502, "<html>"), Reply::Raw(Vec::new())];
    for reply in broken {
        let began = Instant::now();
        let told = format!("{reply:?}");
        let (outcome, asked) = provided(vec![reply], |_| Reply::json(200, &json!([shown("148e")]).to_string())).await;
        assert_eq!((outcome.as_str(), asked.len()), ("148e", 1), "{told}: no second creation");
        assert!(began.elapsed() >= LOOK_AGAIN_AFTER, "lists lag");
    }
}

#[tokio::test]
async fn an_ambiguous_answer_without_a_machine_is_asked_again_under_the_same_name() {
    for reply in [refused(408, "deadline_exceeded"), Reply::json(500, "{}")] {
        let (outcome, asked) = provided(vec![reply], |_| nothing_listed()).await;
        assert_eq!(
            (outcome.as_str(), asked.as_slice()),
            ("148e", ["iad,ord,any".to_owned(), "iad,ord,any".to_owned()].as_slice())
        );
    }
}

#[tokio::test]
async fn a_list_that_lies_after_an_ambiguous_answer_makes_no_second_machine() {
    // It was made, the list is empty, and the same name is refused: there is one.
    let (outcome, asked) = provided(vec![refused(408, "deadline_exceeded"), taken()], |request| {
        if request.line.contains("/148e") { made() } else { nothing_listed() }
    })
    .await;
    assert_eq!((outcome.as_str(), asked.len()), ("148e", 2));
}

#[tokio::test]
async fn want_of_room_in_every_shape_sends_to_the_next_region() {
    let status = |status: u16, word: &str| Reply::json(status, &json!({"error": "x", "status": word}).to_string());
    let full = [
        status(422, "insufficient_capacity"),
        refused(422, "insufficient resources to create new machine: could not find a candidate host"),
        refused(409, "aborted: no capacity"),
        refused(409, "aborted: could not reserve resource for machine: insufficient memory available on the current host"),
        refused(409, "aborted: insufficient IPs available"),
        status(412, "volume_placement_capacity"),
        refused(412, "insufficient resources to create new machine with existing volume"),
    ];
    for reply in full {
        let told = format!("{reply:?}");
        let (outcome, asked) = provided(vec![reply], |_| nothing_listed()).await;
        assert_eq!(
            (outcome.as_str(), asked.as_slice()),
            ("148e", ["iad,ord,any".to_owned(), "ord,any".to_owned()].as_slice()),
            "{told}"
        );
    }
}

#[tokio::test]
async fn want_of_room_everywhere_is_told_after_every_place_was_asked() {
    let full = || refused(409, "aborted: no capacity");
    let (outcome, asked) = provided(vec![full(), full(), full(), full()], |_| nothing_listed()).await;
    assert!(outcome.starts_with("fly_capacity_exhausted"), "{outcome}");
    assert_eq!(asked, ["iad,ord,any", "ord,any", "any"]);
}

#[tokio::test]
async fn a_conflict_with_another_change_is_asked_again() {
    let (outcome, asked) =
        provided(vec![refused(409, "aborted: machine update failed due to concurrent update")], |_| nothing_listed()).await;
    assert_eq!((outcome.as_str(), asked.len()), ("148e", 2));
}

#[tokio::test]
async fn what_only_an_operator_can_change_is_told_at_once() {
    let rejected = [
        (refused(422, "your organization has reached its machine limit"), "fly_limit_reached"),
        (refused(422, "please add a payment method"), "fly_limit_reached"),
        (refused(401, "token validation error"), "fly_unauthorized"),
        (refused(403, "no access"), "fly_unauthorized"),
        (refused(404, "app not found"), "fly_machine_not_found"),
    ];
    for (reply, code) in rejected {
        let (outcome, asked) = provided(vec![reply], |_| nothing_listed()).await;
        assert!(outcome.starts_with(code), "{outcome} instead of {code}");
        assert_eq!(asked.len(), 1, "{code}: asked once");
    }
}

#[tokio::test]
async fn a_request_that_fly_calls_invalid_is_our_bug_and_is_asked_once() {
    for status in [400, 422] {
        let (outcome, asked) = provided(vec![refused(status, "invalid_argument: config.guest")], |_| nothing_listed()).await;
        assert!(outcome.starts_with("fly_request_invalid"), "{outcome}");
        assert_eq!(asked.len(), 1);
    }
}

#[tokio::test]
async fn a_429_is_waited_for_as_long_as_fly_says_or_by_our_own_jitter() {
    for headers in [&[("retry-after", "1")][..], &[]] {
        let began = Instant::now();
        let (outcome, asked) = provided(vec![Reply::new(429, headers, "{}")], |_| nothing_listed()).await;
        assert_eq!((outcome.as_str(), asked.len()), ("148e", 2));
        assert!(began.elapsed() >= Duration::from_secs(1));
    }
    let (outcome, asked) = provided(vec![Reply::new(429, &[("retry-after", "3600")], "{}")], |_| nothing_listed()).await;
    assert!(outcome.starts_with("fly_rate_limited") && asked.len() == 1, "nobody waits an hour: {outcome}");
}

#[tokio::test]
async fn tries_are_counted_however_passing_the_failure() {
    let server = server(vec![Reply::json(503, "{}"); 10], |_| nothing_listed()).await;
    let error = machines(&server, "iad").provide(&order()).await.expect_err("away");
    assert_eq!((error.code(), asked(&server).len()), (ErrorCode::FlyUnavailable, CREATE_ATTEMPTS as usize));
}

#[tokio::test]
async fn waiting_for_a_start_hears_of_every_end() {
    let id = MachineId::from("148e");
    for (reply, expected) in [
        (Reply::json(200, r#"{"ok":true,"state":"started"}"#), Ok(true)),
        (Reply::json(200, r#"{"ok":true,"state":"failed"}"#), Ok(false)),
        (Reply::json(200, r#"{"ok":true,"state":"destroyed"}"#), Ok(false)),
        (refused(408, "deadline_exceeded"), Ok(false)),
        (refused(404, "not_found"), Ok(false)),
        (refused(400, "invalid_argument: timeout"), Err(ErrorCode::FlyRequestInvalid)),
        (refused(429, "rate limit exceeded"), Err(ErrorCode::FlyRateLimited)),
    ] {
        let told = format!("{reply:?}");
        let server = TestServer::always(reply).await;
        let outcome = machines(&server, "any").starts(&id, Duration::from_secs(5)).await;
        assert_eq!(outcome.map_err(|error| error.code()), expected, "{told}");
        assert!(server.only_request().line.ends_with("/148e/wait?state=started%2Cfailed%2Cdestroyed&timeout=5"));
    }
}

#[tokio::test]
async fn what_fly_shows_of_a_machine_is_read_for_what_it_means() {
    let id = MachineId::from("148e");
    let state = |state: &str| Reply::json(200, &changed("/state", &json!(state)));
    let unreachable = json!({"id": "148e", "state": "started", "host_status": "unreachable"});
    for (reply, just_made, expected) in [
        (state("created"), false, MachineSeen::Booting),
        (state("starting"), false, MachineSeen::Booting),
        (state("started"), false, MachineSeen::Alive),
        (state("restarting"), false, MachineSeen::Alive),
        (state("a_new_word"), false, MachineSeen::Alive),
        (state("failed"), false, MachineSeen::Lost(Loss::Failed)),
        (state("launch_failed"), false, MachineSeen::Lost(Loss::Failed)),
        (state("destroying"), false, MachineSeen::Lost(Loss::Gone)),
        (state("destroyed"), false, MachineSeen::Lost(Loss::Gone)),
        (Reply::json(200, &unreachable.to_string()), false, MachineSeen::Lost(Loss::Unreachable)),
        (refused(404, "not_found"), false, MachineSeen::Lost(Loss::Gone)),
        (refused(404, "not_found"), true, MachineSeen::Unknown),
        (refused(500, "x"), false, MachineSeen::Unknown),
        (refused(429, "x"), false, MachineSeen::Unknown),
    ] {
        let told = format!("{reply:?}");
        let server = TestServer::always(reply).await;
        assert_eq!(machines(&server, "any").seen(&id, just_made).await, expected, "{told}");
    }
}

#[tokio::test]
async fn importance_decides_the_guest_and_the_candidates_region_the_order() {
    let server = server(Vec::new(), |_| nothing_listed()).await;
    let machines = machines(&server, "iad,fra,any");
    for importance in Importance::ALL {
        let near = Region::named("lhr");
        machines.provide(&MachineOrder { importance, near, ..order() }).await.expect("made");
    }
    let bodies: Vec<Value> = server.requests().iter().map(Request::json).collect();
    let guests: Vec<&Value> = bodies.iter().map(|body| &body["config"]["guest"]).collect();
    assert_eq!(*guests[0], json!({"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}));
    assert_eq!(*guests[1], json!({"cpu_kind": "shared", "cpus": 2, "memory_mb": 1024}));
    assert_eq!(*guests[2], json!({"cpu_kind": "performance", "cpus": 1, "memory_mb": 2048}));
    assert!(bodies.iter().all(|body| body["region"] == "lhr,fra,eu,iad,any" && body["config"]["metadata"]["attempt"] == "2"));
}
