//! Standby machines: real gateways, real processes, a real database; Fly is the sandbox's. The burst of a hundred is a campaign
//! of its own (scripts/chaos burst).

use crate::interview::{connect, new_session, stored};
use crate::keeper::{QUICK, admin, come_back, order, until_attempt_runs, view};
use crate::support::process::Process;
use crate::support::system::{System, second_gateway};
use crate::support::{ROUTING_SECRET, World, wait_for};
use futures_util::future::join_all;
use interview_runtime::clock;
use interview_runtime::ids::{MachineId, SessionId, TenantId};
use interview_runtime::integrations::assign::Assignment;
use interview_runtime::integrations::store::Named;
use interview_runtime::integrations::store::gateway::GatewayStore;
use interview_runtime::integrations::store::gateway::standby::Made;
use interview_runtime::signature::SigningKeys;
use interview_sandbox::fly::Machine;
use interview_sandbox::{GATEWAY_APP, SESSION_APP};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const ANSWER: Duration = Duration::from_millis(900);
const PATIENCE: Duration = Duration::from_mins(1);
const IMAGE: &str = "registry.fly.io/interview-runtime@sha256:0001";

const OURS: Made<'static> = Made { image: IMAGE, secrets: "a" };

/// Quick reconcilers, and machines that get a minute for everything on a busy computer.
fn pool(size: &'static str, more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let standby = [
        ("STANDBY__MAX", size),
        ("STANDBY__MIN", size),
        ("STANDBY__CHECK_INTERVAL_MS", "1000"),
        ("STANDBY__ASSIGN_TIMEOUT_MS", "20000"),
        ("STANDBY__UNWANTED_AFTER_MS", "3000"),
    ];
    QUICK.iter().chain(&standby).chain(more).copied().collect()
}

/// The machines of pools that are alive, oldest first.
fn waiting(system: &System) -> Vec<Arc<Machine>> {
    let all = system.sandbox.fly().machines(SESSION_APP);
    all.into_iter().filter(|machine| machine.name.starts_with("standby-") && !machine.state().is_gone()).collect()
}

async fn ready(admin: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select machine_id from app.standby_machines where state = 'ready' order by created_at")
        .fetch_all(admin)
        .await
        .expect("the pool's rows")
}

async fn until_ready(admin: &PgPool, size: usize) -> Vec<String> {
    wait_for("the pool is ready", || async { ready(admin).await.len() == size }).await;
    ready(admin).await
}

async fn machine_of(system: &System, recruiter: &str, session: &str) -> String {
    view(system, recruiter, session).await["machine"]["id"].as_str().expect("a machine").to_owned()
}

/// How often each machine was a session's, by the database.
async fn holders(admin: &PgPool, machine: &str) -> i64 {
    sqlx::query_scalar("select count(*) from app.sessions where machine_id = $1")
        .bind(machine)
        .fetch_one(admin)
        .await
        .expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_claims_at_once_from_two_gateways_get_ten_machines_each_once() {
    let world = World::start().await;
    let tenant: TenantId = crate::support::TENANT.parse().expect("a tenant");
    sqlx::query(
        "insert into app.standby_machines (tenant_id, id, region, image, secrets, state, machine_id, machine_region)
         select $1, gen_random_uuid(), 'fra', $2, 'a', 'ready', 'machine-' || n, 'fra' from generate_series(1, 10) n",
    )
    .bind(tenant.0)
    .bind(IMAGE)
    .execute(&world.admin)
    .await
    .expect("ten machines");
    let gateways = [GatewayStore::new(world.store(), tenant), GatewayStore::new(world.store(), tenant)];
    let mut sessions = Vec::new();
    for _ in 0..20 {
        sessions.push(world.new_session().await);
    }
    let regions = ["fra".to_owned()];
    let claims =
        sessions.iter().enumerate().map(|(index, session)| gateways[index % 2].claim_standby(*session, 1, OURS, &regions));
    let claims: Vec<_> = join_all(claims).await.into_iter().map(|claim| claim.expect("the database answers")).collect();
    let given: Vec<_> = sessions.iter().zip(&claims).filter_map(|(session, claim)| Some((*session, claim.as_ref()?))).collect();
    let distinct: HashSet<_> = given.iter().map(|(_, claim)| claim.machine.clone()).collect();
    assert_eq!((given.len(), distinct.len()), (10, 10), "each machine once, none left");

    // The session's row says the same, and the machine's process is told so, and no other.
    let store = world.store();
    for (session, claim) in &given {
        assert_eq!(world.text(*session, "machine_id").await.as_deref(), Some(claim.machine.as_str()));
        assert_eq!(store.named(tenant, &claim.machine).await.expect("an answer"), Named::Session(*session));
    }
    let (session, claim) = given[0];
    let stranger = TenantId(Uuid::now_v7());
    assert_eq!(
        store.named(stranger, &claim.machine).await.expect("an answer"),
        Named::Free,
        "another tenant's process sees nothing"
    );
    assert_eq!(store.named(tenant, &MachineId::from("unknown")).await.expect("an answer"), Named::Free);

    // An attempt that has a machine, that is over, or another image: nothing is taken for it.
    sqlx::query("update app.standby_machines set state = 'ready', session_id = null where machine_id = $1")
        .bind(claim.machine.as_str())
        .execute(&world.admin)
        .await
        .expect("the row changes");
    assert!(gateways[0].claim_standby(session, 1, OURS, &regions).await.expect("an answer").is_none());
    assert!(gateways[0].claim_standby(world.new_session().await, 2, OURS, &regions).await.expect("an answer").is_none());
    for other in [Made { image: "another image", ..OURS }, Made { secrets: "b", ..OURS }] {
        assert!(gateways[0].claim_standby(world.new_session().await, 1, other, &regions).await.expect("an answer").is_none());
    }
    let again =
        gateways[1].claim_standby(world.new_session().await, 1, OURS, &regions).await.expect("an answer").expect("it is free");
    assert_eq!(again.machine, claim.machine);

    // A session that moved on leaves its machine spent.
    let (moved, claim) = given[1];
    sqlx::query("update app.sessions set machine_id = 'the-next', attempt = 2 where id = $1")
        .bind(moved.0)
        .execute(&world.admin)
        .await
        .expect("the row changes");
    assert_eq!(store.named(tenant, &claim.machine).await.expect("an answer"), Named::Spent);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interview_on_a_standby_machine_survives_a_kill_ends_normally_and_its_machine_is_destroyed() {
    let system = System::start_with(&pool("2", &[])).await;
    let (recruiter, amara, admin) =
        (system.sign_in("recruiter@demo.test").await, system.sign_in("amara@demo.test").await, admin(&system).await);
    let before = until_ready(&admin, 2).await;
    let id = new_session(&system, &recruiter).await;
    let machine = machine_of(&system, &recruiter, &id).await;
    assert_eq!(machine, before[0], "the oldest that waits");
    assert!(!system.sandbox.fly().machines(SESSION_APP).iter().any(|machine| machine.name == format!("s-{id}")));
    wait_for("Fly knows whose it is", || async {
        system
            .sandbox
            .fly()
            .machine(&machine)
            .is_some_and(|machine| machine.status().config.metadata.get("session_id") == Some(&id))
    })
    .await;
    let after = until_ready(&admin, 2).await;
    assert!(!after.contains(&machine), "its place is filled by another: {after:?}");

    let mut candidate = connect(&system, &amara, &id).await;
    candidate.join().await.expect("joins");
    candidate.answer(ANSWER).await.expect("answers once");
    wait_for("question and answer are stored", || async {
        view(&system, &recruiter, &id).await["transcript_entries"].as_u64().unwrap_or(0) >= 2
    })
    .await;
    system.kill_machine(&machine);
    candidate.wait_closed(PATIENCE).await.expect("the line is lost");
    candidate.vanish().await;
    let mut candidate = come_back(&system, &amara, &id).await;
    candidate.join().await.expect("joins again");
    candidate.attend(ANSWER, PATIENCE).await.expect("the interview goes on to its end");

    let (view, entries) = stored(&system, &recruiter, &id).await;
    assert_eq!(
        (view["machine"]["attempt"].as_i64(), view["machine"]["id"].as_str()),
        (Some(1), Some(machine.as_str())),
        "{view}"
    );
    assert_eq!(
        (view["end_reason"].as_str(), view["summary"]["status"].as_str()),
        (Some("interviewer_ended"), Some("stored")),
        "{view}"
    );
    let segments: Vec<i64> = entries.iter().filter_map(|entry| entry["segment"].as_i64()).collect();
    assert!(segments.contains(&1) && segments.contains(&2) && segments.is_sorted(), "{segments:?}");
    wait_for("the machine is destroyed", || async { system.machine_state(&machine).await == "destroyed" }).await;
    wait_for("its row is gone", || async {
        let rows: i64 = sqlx::query_scalar("select count(*) from app.standby_machines where machine_id = $1")
            .bind(&machine)
            .fetch_one(&admin)
            .await
            .expect("a count");
        rows == 0
    })
    .await;
    // It is an ordinary session process: its telemetry says whose it is.
    assert!(!system.sandbox.traces().gauges_of(&id).is_empty());
    assert!(system.sandbox.ledger().violations().is_empty(), "{:?}", system.sandbox.ledger().violations());
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_machine_is_replaced_and_given_to_nobody_and_a_lost_attempt_goes_on_on_another_that_waits() {
    let system = System::start_with(&pool("1", &[])).await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);

    // Dead before anyone noticed: the session gets a machine of its own.
    let dead = until_ready(&admin, 1).await.remove(0);
    sqlx::query("update app.standby_machines set due_at = now() + interval '1 hour'")
        .execute(&admin)
        .await
        .expect("nobody looks");
    assert!(system.sandbox.fly().lose(&dead));
    wait_for("it is gone", || async { system.machine_state(&dead).await == "destroyed" }).await;
    let id = order(&system, &recruiter).await;
    until_attempt_runs(&system, &id, 1).await;
    let own = machine_of(&system, &recruiter, &id).await;
    assert_eq!(system.sandbox.fly().machine(&own).expect("a machine").name, format!("s-{id}"));
    assert_eq!(holders(&admin, &dead).await, 0);

    // Dead, and a reconciler looks: another takes its place.
    let first = until_ready(&admin, 1).await.remove(0);
    assert_ne!(first, dead);
    assert!(system.sandbox.fly().lose(&first));
    wait_for("another is ready", || async { ready(&admin).await.first().is_some_and(|machine| *machine != first) }).await;

    // Killed, it is started again by its machine and waits as before.
    let second = until_ready(&admin, 1).await.remove(0);
    system.kill_machine(&second);
    wait_for("its process is started again", || async {
        system.sandbox.fly().machine(&second).is_some_and(|machine| machine.status().restarts == 1)
    })
    .await;
    until_ready(&admin, 1).await;
    let id = order(&system, &recruiter).await;
    until_attempt_runs(&system, &id, 1).await;

    // The attempt's machine is lost: the next one is a machine that waits.
    let next = until_ready(&admin, 1).await.remove(0);
    let lost = machine_of(&system, &recruiter, &id).await;
    assert!(system.sandbox.fly().lose(&lost));
    until_attempt_runs(&system, &id, 2).await;
    assert_eq!(machine_of(&system, &recruiter, &id).await, next);
    assert_eq!((holders(&admin, &first).await, holders(&admin, &lost).await), (0, 0));
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_image_replaces_the_pool_and_a_machine_that_no_row_knows_is_destroyed() {
    let system = System::start_with(&pool("2", &[])).await;
    let admin = admin(&system).await;
    let old = until_ready(&admin, 2).await;
    second_gateway_with(&system, &json!({"INTERVIEW__FLY__IMAGE": IMAGE})).await;
    // Two gateways of two images each keep their own pool.
    until_ready(&admin, 4).await;
    let gateway = system.sandbox.fly().machines(GATEWAY_APP).first().expect("a gateway").id.clone();
    assert!(system.sandbox.fly().lose(&gateway));
    wait_for("the old image's machines are gone", || async {
        let alive = waiting(&system);
        alive.len() == 2 && alive.iter().all(|machine| machine.status().config.image == IMAGE)
    })
    .await;
    assert!(until_ready(&admin, 2).await.iter().all(|machine| !old.contains(machine)));

    // Its row is lost, as if the database had been set back.
    let unknown = ready(&admin).await.remove(0);
    sqlx::query("delete from app.standby_machines where machine_id = $1")
        .bind(&unknown)
        .execute(&admin)
        .await
        .expect("a row less");
    wait_for("the sweep destroys it", || async { system.machine_state(&unknown).await == "destroyed" }).await;
    until_ready(&admin, 2).await;
    assert!(system.sandbox.ledger().violations().is_empty(), "{:?}", system.sandbox.ledger().violations());
    system.stop().await;
}

async fn second_gateway_with(system: &System, secrets: &Value) {
    set_secrets(system, GATEWAY_APP, secrets).await;
    second_gateway(system).await;
}

async fn set_secrets(system: &System, app: &str, secrets: &Value) {
    let url = format!("{}/apps/{app}/secrets", system.sandbox.urls().fly);
    let request = reqwest::Client::new().post(url).header("authorization", system.sandbox.fly().org_token());
    let answer = request.json(&json!({ "values": secrets })).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
}

fn signing(secret: &str) -> SigningKeys {
    SigningKeys::derive(&SecretString::from(secret), None).expect("a key pair")
}

async fn assign(address: &str, assignment: &Assignment) -> u16 {
    let request = reqwest::Client::new().post(format!("http://{address}/assign")).json(assignment);
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gateway_did_not_sign_for_this_machine_a_moment_ago_is_refused_and_so_is_a_second_session() {
    let system = System::start_with(&pool("1", &[])).await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let id = until_ready(&admin, 1).await.remove(0);
    let machine = system.sandbox.fly().machine(&id).expect("a machine");
    let address = machine.status().address.expect("an address").to_string();
    let secret = signing(system.sandbox.routing_secret());
    // All that a machine knows.
    let forged_with = signing(&system.sandbox.settings()["INTERVIEW__ROUTING__PUBLIC_KEYS"]);
    let (id, session, now) = (MachineId::new(id), SessionId(Uuid::now_v7()), clock::now());

    assert_eq!(assign(&address, &Assignment::sign(&forged_with, &id, session, now)).await, 401);
    assert_eq!(assign(&address, &Assignment::sign(&secret, &id, session, now - time::Duration::minutes(10))).await, 401);
    assert_eq!(assign(&address, &Assignment::sign(&secret, &MachineId::from("another"), session, now)).await, 401);
    let changed = Assignment { session_id: SessionId(Uuid::now_v7()), ..Assignment::sign(&secret, &id, session, now) };
    assert_eq!(assign(&address, &changed).await, 401);

    // It still waits, and takes the session it is given.
    let ours = order(&system, &recruiter).await;
    assert_eq!(machine_of(&system, &recruiter, &ours).await, id.as_str());
    until_attempt_runs(&system, &ours, 1).await;
    let genuine = Assignment::sign(&secret, &id, ours.parse().expect("an id"), clock::now());
    for assignment in [&genuine, &genuine, &Assignment::sign(&secret, &id, session, clock::now())] {
        let status = assign(&address, assignment).await;
        assert!(status >= 400, "an assignment after the first: {status}");
    }
    wait_for("the session goes on", || async { view(&system, &recruiter, &ours).await["phase"] == "ready" }).await;
    assert_eq!(machine.status().restarts, 0);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_keys_are_rotated_each_gateway_has_a_pool_that_knows_its_key_and_an_interview_on_an_old_machine_goes_on() {
    const NEXT: &str = "fedcba9876543210fedcba9876543210";
    const JONAS: &str = "ca000000-0000-4000-8000-000000000012";
    const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
    let system = System::start_with(&pool("1", &[])).await;
    let (recruiter, amara, admin) = (system.sign_in("recruiter@demo.test").await, system.amara().await, admin(&system).await);
    until_ready(&admin, 1).await;
    let old = new_session(&system, &recruiter).await;
    let mut browser = system.join(&amara, &old).await;
    browser.say(1, &["before"]).await;
    browser.expect("transcript_ack").await;
    let first = until_ready(&admin, 1).await.remove(0);

    // As `tenant rotate-secrets` does it: the machines learn both keys, then a new gateway signs with both.
    let before = system.sandbox.routing_secret();
    let both = SigningKeys::derive(&NEXT.into(), Some(&before.into())).expect("key pairs").public().to_string();
    set_secrets(&system, SESSION_APP, &json!({"INTERVIEW__ROUTING__PUBLIC_KEYS": both})).await;
    let secrets = json!({"INTERVIEW__ROUTING__SECRET": NEXT, "INTERVIEW__ROUTING__PREVIOUS_SECRET": before});
    second_gateway_with(&system, &secrets).await;
    until_ready(&admin, 2).await;
    let gateway = system.sandbox.fly().machines(GATEWAY_APP).first().expect("a gateway").id.clone();
    assert!(system.sandbox.fly().lose(&gateway));
    wait_for("the pool of the previous key is gone", || async {
        let left = ready(&admin).await;
        left.len() == 1 && left[0] != first
    })
    .await;

    // The machine that knows the previous key only still takes its candidate, from the new gateway.
    let mut again = system.join(&amara, &old).await;
    again.say(2, &["after"]).await;
    again.expect("transcript_ack").await;
    // And a machine that waits takes a session that the new key signed.
    let next = ready(&admin).await.remove(0);
    let body = json!({"candidate_id": JONAS, "position_id": ENGINEER, "settings": {}});
    let (status, made) = system.post(&recruiter, "/api/sessions", &body).await;
    assert_eq!(status, 201, "{made}");
    let new = made["session_id"].as_str().expect("an id");
    until_attempt_runs(&system, new, 1).await;
    assert_eq!(machine_of(&system, &recruiter, new).await, next);
    assert!(system.sandbox.ledger().violations().is_empty(), "{:?}", system.sandbox.ledger().violations());
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_pool_nothing_waits_and_each_session_gets_a_machine_of_its_own() {
    let system = System::start_with(QUICK).await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let id = order(&system, &recruiter).await;
    until_attempt_runs(&system, &id, 1).await;
    let machines = system.sandbox.fly().machines(SESSION_APP);
    let names: Vec<&str> = machines.iter().map(|machine| machine.name.as_str()).collect();
    assert_eq!(names, [format!("s-{id}")]);
    let rows: i64 =
        sqlx::query_scalar("select (select count(*) from app.standby_machines) + (select count(*) from app.standby_pools)")
            .fetch_one(&admin)
            .await
            .expect("a count");
    assert_eq!(rows, 0);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_waits_ends_with_0_when_told_or_when_nobody_comes_and_one_that_crashed_goes_on_with_its_session() {
    let world = World::start().await;
    let mut told: Process = world.spawn_standby("machine-1", &[]);
    told.until_ready().await;
    told.signal("TERM");
    assert_eq!(told.ended(PATIENCE).await.code, Some(0), "{:#?}", told.lines());
    let mut idle = world.spawn_standby("machine-2", &[("INTERVIEW__STANDBY__MAX_IDLE_S", "2")]);
    assert_eq!(idle.ended(PATIENCE).await.code, Some(0), "{:#?}", idle.lines());

    // Assigned, told to stop: as any session's process.
    let session = world.new_session().await;
    let mut process = world.spawn_standby("machine-3", &[]);
    process.until_ready().await;
    let secret = signing(ROUTING_SECRET);
    let assignment = Assignment::sign(&secret, &MachineId::from("machine-3"), session, clock::now());
    assert_eq!(assign(&process.address.to_string(), &assignment).await, 202);
    wait_for("it runs the session", || async { world.text(session, "epoch").await.as_deref() == Some("1") }).await;
    process.signal("TERM");
    assert_eq!(process.ended(PATIENCE).await.code, Some(75), "{:#?}", process.lines());

    // The row names the machine, the process crashed before it was told.
    sqlx::query("update app.sessions set machine_id = 'machine-3' where id = $1")
        .bind(session.0)
        .execute(&world.admin)
        .await
        .expect("the row changes");
    let mut process = world.spawn_standby("machine-3", &[]);
    wait_for("it runs the session again", || async { world.text(session, "epoch").await.as_deref() == Some("2") }).await;
    process.signal("KILL");
    process.ended(PATIENCE).await;

    // The session has moved on: this machine gets no other.
    sqlx::query(
        "insert into app.standby_machines (tenant_id, id, region, image, secrets, state, machine_id, session_id)
         select tenant_id, gen_random_uuid(), 'fra', $2, 'a', 'claimed', machine_id, id from app.sessions where id = $1",
    )
    .bind(session.0)
    .bind(IMAGE)
    .execute(&world.admin)
    .await
    .expect("its row");
    sqlx::query("update app.sessions set machine_id = 'machine-4', attempt = 2 where id = $1")
        .bind(session.0)
        .execute(&world.admin)
        .await
        .expect("the row changes");
    let mut spent = world.spawn_standby("machine-3", &[]);
    assert_eq!(spent.ended(PATIENCE).await.code, Some(0), "{:#?}", spent.lines());
    assert_eq!(world.text(session, "epoch").await.as_deref(), Some("2"), "it did not take the session");
    world.stop().await;
}
