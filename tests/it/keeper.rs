//! What happens to an interview whose machine is gone. Real gateways, real session processes, a real database; Fly is the
//! sandbox's.

use crate::interview::{connect, new_session, speakers, stored};
use crate::support::system::{System, second_gateway};
use crate::support::wait_for;
use interview_candidate::{Candidate, ConnectOptions, Join};
use interview_sandbox::SESSION_APP;
use interview_sandbox::faults::{Action, Fault};
use interview_sandbox::fly::model::MachineState;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::{Duration, Instant};

const ANSWER: Duration = Duration::from_millis(900);
const PATIENCE: Duration = Duration::from_mins(1);
const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";

/// Reconcilers that are quick to notice; a machine that may come back still gets its time.
pub const QUICK: &[(&str, &str)] = &[
    ("SESSION__HEARTBEAT_INTERVAL_MS", "300"),
    ("KEEPER__INTERVAL_MS", "200"),
    // Ten heartbeats: on a machine with much else to do a process may be late for a few.
    ("KEEPER__LOST_AFTER_MS", "3000"),
    ("KEEPER__STUCK_AFTER_MS", "30000"),
    ("KEEPER__ORPHAN_INTERVAL_MS", "500"),
    ("KEEPER__ORPHAN_GRACE_MS", "3000"),
    ("KEEPER__SUMMARY_RETRY_MS", "300"),
    ("KEEPER__RECORDING_CHECK_MS", "300"),
];

fn quick(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    QUICK.iter().chain(more).copied().collect()
}

/// A machine as the sandbox's Fly knows it.
#[derive(Debug)]
struct Made {
    id: String,
    name: String,
    region: String,
    alive: bool,
}

/// Every machine ever made for a session, oldest first.
fn machines(system: &System, session: &str) -> Vec<Made> {
    let of_session = |name: &str| name.starts_with(&format!("s-{session}"));
    system
        .sandbox
        .fly()
        .machines(SESSION_APP)
        .iter()
        .filter(|machine| of_session(&machine.name))
        .map(|machine| Made {
            id: machine.id.clone(),
            name: machine.name.clone(),
            region: machine.region.clone(),
            alive: !machine.state().is_gone(),
        })
        .collect()
}

fn alive(system: &System, session: &str) -> usize {
    machines(system, session).iter().filter(|machine| machine.alive).count()
}

pub async fn view(system: &System, recruiter: &str, session: &str) -> Value {
    system.get(recruiter, &format!("/api/sessions/{session}")).await.1
}

async fn attempt(system: &System, recruiter: &str, session: &str) -> i64 {
    view(system, recruiter, session).await["machine"]["attempt"].as_i64().unwrap_or(0)
}

/// The process of this attempt has taken the session up.
pub async fn until_attempt_runs(system: &System, session: &str, number: i32) {
    let admin = admin(system).await;
    wait_for("the next attempt's process runs", || async {
        // Asked at once: between two questions the reconciler may have begun the next attempt.
        sqlx::query_scalar(
            "select coalesce(attempt = $2 and heartbeat_at > attempt_at, false) from app.sessions where id = $1::uuid",
        )
        .bind(session)
        .bind(number)
        .fetch_one(&admin)
        .await
        .expect("the session row")
    })
    .await;
}

async fn lose(system: &System, recruiter: &str, session: &str) -> String {
    let id = view(system, recruiter, session).await["machine"]["id"].as_str().expect("a machine").to_owned();
    assert!(system.sandbox.fly().lose(&id));
    id
}

pub async fn admin(system: &System) -> PgPool {
    let url = system.sandbox.database_admin_url().expect("the sandbox has a database");
    PgPool::connect(&url).await.expect("a connection")
}

pub async fn order(system: &System, recruiter: &str) -> String {
    let body = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
    let (status, made) = system.post(recruiter, "/api/sessions", &body).await;
    assert_eq!(status, 201, "{made}");
    made["session_id"].as_str().expect("an id").to_owned()
}

/// As the page does: a new ticket, a new socket, until the session takes us.
pub async fn come_back(system: &System, candidate: &str, id: &str) -> Candidate {
    let limit = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < limit, "the session did not take the candidate back within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (status, info) = system.post(candidate, &format!("/api/sessions/{id}/ticket"), &json!({})).await;
        if status != 200 {
            continue;
        }
        let text = |name: &str| info[name].as_str().expect(name).to_owned();
        let join = Join {
            consent_policy_version: Some(text("consent_policy_version")),
            ..Join::new(text("websocket_url"), text("websocket_ticket"))
        };
        let options = ConnectOptions { origin: Some(system.sandbox.urls().front.clone()), ..ConnectOptions::default() };
        if let Ok(candidate) = Candidate::connect_with(&join, options).await {
            return candidate;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interview_whose_machine_is_lost_goes_on_on_the_next_one_and_loses_nothing() {
    let system = System::start_with(QUICK).await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.sign_in("amara@demo.test").await);
    let id = new_session(&system, &recruiter).await;
    let mut candidate = connect(&system, &amara, &id).await;
    candidate.join().await.expect("joins");
    candidate.answer(ANSWER).await.expect("answers once");
    wait_for("question and answer are stored", || async {
        view(&system, &recruiter, &id).await["transcript_entries"].as_u64().unwrap_or(0) >= 2
    })
    .await;
    let path = format!("/api/sessions/{id}/transcript");
    let before = system.get(&recruiter, &path).await.1["entries"].as_array().expect("entries").clone();

    let (lost_at, lost) = (Instant::now(), lose(&system, &recruiter, &id).await);
    candidate.wait_closed(PATIENCE).await.expect("the line is lost");
    candidate.vanish().await;
    let mut candidate = come_back(&system, &amara, &id).await;
    println!("lost machine: the candidate was taken back after {} ms", lost_at.elapsed().as_millis());
    candidate.join().await.expect("joins again");
    candidate.attend(ANSWER, PATIENCE).await.expect("the interview goes on to its end");

    let (view, entries) = stored(&system, &recruiter, &id).await;
    assert_eq!(
        (view["machine"]["attempt"].as_i64(), view["end_reason"].as_str()),
        (Some(2), Some("interviewer_ended")),
        "{view}"
    );
    assert_eq!(view["summary"]["status"], "stored", "{view}");
    for entry in &before {
        assert!(entries.iter().any(|stored| stored["seq"] == entry["seq"] && stored["text"] == entry["text"]), "lost: {entry}");
    }
    let greets = |entry: &&Value| {
        entry["speaker"] == "ai" && entry["text"].as_str().is_some_and(|text| text.contains("Welcome") || text.contains("Hello"))
    };
    assert!(entries.iter().filter(greets).count() <= 1, "greeted once: {entries:#?}");
    let segments: Vec<i64> = entries.iter().filter_map(|entry| entry["segment"].as_i64()).collect();
    assert!(segments.contains(&1) && segments.contains(&2) && segments.is_sorted(), "{segments:?}");
    assert_eq!(speakers(&entries)[..2], ["ai", "candidate"]);
    let made = machines(&system, &id);
    assert_eq!(made.len(), 2, "one machine for each attempt: {made:?}");
    assert_eq!(made[0].id, lost);
    wait_for("no machine is left", || async { alive(&system, &id) == 0 }).await;
    wait_for("the reconciler's work is in the session's trace", || async {
        let trace = view["trace_id"].as_str().expect("a trace id");
        system.sandbox.traces().of_trace(trace).iter().any(|span| span.name == "keeper.replace_machine")
    })
    .await;
    assert!(system.sandbox.ledger().violations().is_empty(), "{:?}", system.sandbox.ledger().violations());
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_at_once_make_exactly_one_new_machine_for_each_lost_one() {
    let system = System::start_with(QUICK).await;
    second_gateway(&system).await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(order(&system, &recruiter).await);
    }
    for id in &sessions {
        until_attempt_runs(&system, id, 1).await;
    }
    for round in 2..=3 {
        for id in &sessions {
            lose(&system, &recruiter, id).await;
        }
        for id in &sessions {
            until_attempt_runs(&system, id, round).await;
        }
    }
    for id in &sessions {
        let made = machines(&system, id);
        let names: Vec<_> = made.iter().map(|machine| machine.name.as_str()).collect();
        assert_eq!(names, [format!("s-{id}"), format!("s-{id}-2"), format!("s-{id}-3")]);
        assert_eq!(alive(&system, id), 1, "{made:?}");
    }
    let creations = system
        .sandbox
        .ledger()
        .find(|entry| entry.method == "POST" && entry.status == 200 && entry.path.ends_with(&format!("{SESSION_APP}/machines")));
    println!("two gateways, 8 sessions lost twice: {} machines made", creations.len());
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_makes_no_second_machine_a_full_region_sends_to_the_next_and_lists_may_lie() {
    let system = System::start_with(&quick(&[("FLY__REGION", "iad,ord")])).await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let faults = system.sandbox.faults();
    let named = |name: &str| Action::Named(name.to_owned());

    // The answer to the reconciler's creation is lost, and the list it looks into is empty.
    let id = order(&system, &recruiter).await;
    until_attempt_runs(&system, &id, 1).await;
    assert_eq!(machines(&system, &id)[0].region, "iad");
    faults.add(Fault::once("fly", "machines.create", named("lose_answer")));
    faults.add(Fault::once("fly", "machines.list", named("list_empty")).times(2));
    lose(&system, &recruiter, &id).await;
    until_attempt_runs(&system, &id, 2).await;
    let made = machines(&system, &id);
    assert_eq!((made.len(), alive(&system, &id)), (2, 1), "{made:?}");
    assert_eq!(made[1].region, "ord", "the region that lost a machine is asked last");

    // The first creation of a session, the same.
    faults.clear();
    faults.add(Fault::once("fly", "machines.create", named("lose_answer")));
    let id = order(&system, &recruiter).await;
    until_attempt_runs(&system, &id, 1).await;
    assert_eq!(machines(&system, &id).len(), 1);

    // The region that is asked first has no room.
    lose(&system, &recruiter, &id).await;
    faults.add(Fault::once("fly", "machines.create", named("no_capacity")));
    until_attempt_runs(&system, &id, 2).await;
    assert_eq!(machines(&system, &id)[1].region, "iad");

    // Lists that lie destroy nothing that is needed.
    faults.add(Fault::once("fly", "machines.list", named("list_empty")).times(6));
    wait_for("the sweeps have seen the empty lists", || async { faults.pending().is_empty() }).await;
    assert_eq!(alive(&system, &id), 1);
    assert_eq!(attempt(&system, &recruiter, &id).await, 2);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_never_starts_or_falls_silent_is_replaced_and_one_that_restarts_is_not() {
    let system = System::start_with(&quick(&[("KEEPER__STUCK_AFTER_MS", "6000"), ("FLY__START_DEADLINE_MS", "3000")])).await;
    let recruiter = system.sign_in("recruiter@demo.test").await;

    // Its process dies and is started again by the machine itself.
    let restarting = order(&system, &recruiter).await;
    until_attempt_runs(&system, &restarting, 1).await;
    let machine = view(&system, &recruiter, &restarting).await["machine"]["id"].as_str().expect("a machine").to_owned();
    system.kill_machine(&machine);

    // Fly says yes and the machine stays `created`.
    system.sandbox.faults().add(Fault::once("fly", "machines.create", Action::Named("stuck_created".into())));
    let stuck = order(&system, &recruiter).await;
    until_attempt_runs(&system, &stuck, 2).await;
    wait_for("the stuck machine is destroyed", || async { alive(&system, &stuck) == 1 }).await;

    // Its process hangs; the machine claims to run.
    let silent = order(&system, &recruiter).await;
    until_attempt_runs(&system, &silent, 1).await;
    let first = machines(&system, &silent)[0].id.clone();
    let pid = system.sandbox.fly().machine(&first).and_then(|machine| machine.status().pid).expect("it runs");
    let stopped = std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status().expect("kill runs");
    assert!(stopped.success());
    until_attempt_runs(&system, &silent, 2).await;
    wait_for("the silent machine is destroyed", || async { alive(&system, &silent) == 1 }).await;

    assert_eq!(attempt(&system, &recruiter, &restarting).await, 1, "no double start");
    assert_eq!(machines(&system, &restarting).len(), 1);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_no_attempt_is_left_the_session_failed_with_its_reason_and_its_call_is_hung_up() {
    let system = System::start_with(&quick(&[("KEEPER__MAX_ATTEMPTS", "1")])).await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.sign_in("amara@demo.test").await);
    let id = new_session(&system, &recruiter).await;
    let mut candidate = connect(&system, &amara, &id).await;
    candidate.join().await.expect("joins");
    candidate.answer(ANSWER).await.expect("answers once");
    wait_for("question and answer are stored", || async {
        view(&system, &recruiter, &id).await["transcript_entries"].as_u64().unwrap_or(0) >= 2
    })
    .await;
    lose(&system, &recruiter, &id).await;
    wait_for("the session failed", || async { system.phase(&recruiter, &id).await == "failed" }).await;
    let view = view(&system, &recruiter, &id).await;
    assert_eq!(
        (view["end_reason"].as_str(), view["summary"]["status"].as_str()),
        (Some("machine_lost"), Some("failed")),
        "{view}"
    );
    assert!(view["transcript_entries"].as_u64().unwrap_or(0) >= 2, "what was stored stays: {view}");
    assert!(system.sandbox.openai().snapshot().calls.iter().all(|call| !call.alive), "the call is hung up");
    assert_eq!((machines(&system, &id).len(), alive(&system, &id)), (1, 0));
    let (status, problem) = system.post(&amara, &format!("/api/sessions/{id}/ticket"), &json!({})).await;
    assert_eq!((status, problem["code"].as_str()), (410, Some("session_over")), "{problem}");
    candidate.vanish().await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_that_no_session_needs_are_swept_and_the_others_stay() {
    let system = System::start_with(QUICK).await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let needed = order(&system, &recruiter).await;
    until_attempt_runs(&system, &needed, 1).await;
    let fly = system.sandbox.fly();
    let mut config = fly.machines(SESSION_APP).first().expect("a machine").status().raw_config;
    // It only has to be there: its process is this test's.
    let nowhere = "127.0.0.1:9".parse().expect("an address");
    let stranger = uuid::Uuid::new_v4().to_string();
    config["metadata"]["session_id"] = stranger.as_str().into();
    let deleted = fly.register_machine(SESSION_APP, &format!("s-{stranger}"), nowhere, config.clone()).expect("made");
    config["metadata"]["session_id"] = needed.as_str().into();
    let foreign = fly.register_machine(SESSION_APP, "operator-console", nowhere, config.clone()).expect("made");
    lose(&system, &recruiter, &needed).await;
    until_attempt_runs(&system, &needed, 2).await;
    let late = fly.register_machine(SESSION_APP, &format!("s-{needed}"), nowhere, config.clone()).expect("made");

    let state = |id: &str| fly.machine(id).expect("known").state();
    wait_for("the orphans are destroyed", || async {
        state(&deleted) == MachineState::Destroyed && state(&late) == MachineState::Destroyed
    })
    .await;
    assert_eq!(state(&foreign), MachineState::Started, "not one of ours by its name");
    assert_eq!(alive(&system, &needed), 1, "the current one stays");
    assert_eq!(attempt(&system, &recruiter, &needed).await, 2);
    fly.lose(&foreign);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_its_deadline_every_session_ends_with_or_without_its_process() {
    let system = System::start_with(&quick(&[("KEEPER__END_WITHIN_MS", "4000")])).await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.sign_in("amara@demo.test").await);
    let admin = admin(&system).await;
    let overdue = |id: String| {
        let admin = admin.clone();
        async move {
            sqlx::query("update app.sessions set deadline_at = now() - interval '1 second' where id = $1::uuid")
                .bind(id)
                .execute(&admin)
                .await
                .expect("the row changes");
        }
    };
    // Its process lives and ends when it is asked to.
    let living = order(&system, &recruiter).await;
    until_attempt_runs(&system, &living, 1).await;
    overdue(living.clone()).await;
    wait_for("the living one ends", || async { system.phase(&recruiter, &living).await == "completed" }).await;
    assert_eq!(view(&system, &recruiter, &living).await["end_reason"], "time_limit");

    // Nobody ever came, and its machine is gone: no new one is made for it.
    let unvisited = order(&system, &recruiter).await;
    until_attempt_runs(&system, &unvisited, 1).await;
    overdue(unvisited.clone()).await;
    lose(&system, &recruiter, &unvisited).await;
    wait_for("the unvisited one expires", || async { system.phase(&recruiter, &unvisited).await == "completed" }).await;
    let expired = view(&system, &recruiter, &unvisited).await;
    assert_eq!(
        (expired["end_reason"].as_str(), expired["machine"]["attempt"].as_i64()),
        (Some("candidate_absent"), Some(1)),
        "{expired}"
    );

    // It was held, and its machine is gone: the reconciler writes the summary.
    let held = new_session(&system, &recruiter).await;
    let mut candidate = connect(&system, &amara, &held).await;
    candidate.join().await.expect("joins");
    candidate.answer(ANSWER).await.expect("answers once");
    wait_for("question and answer are stored", || async {
        view(&system, &recruiter, &held).await["transcript_entries"].as_u64().unwrap_or(0) >= 2
    })
    .await;
    // The model is away when it is asked first: the next try brings it.
    let away = Action::Answer { status: 503, headers: vec![], body: "{}".into() };
    system.sandbox.faults().add(Fault::once("openai", "responses", away));
    overdue(held.clone()).await;
    lose(&system, &recruiter, &held).await;
    wait_for("the held one is completed", || async { system.phase(&recruiter, &held).await == "completed" }).await;
    wait_for("its summary is stored", || async { view(&system, &recruiter, &held).await["summary"]["status"] == "stored" }).await;
    let view = view(&system, &recruiter, &held).await;
    assert_eq!((view["end_reason"].as_str(), view["machine"]["attempt"].as_i64()), (Some("time_limit"), Some(1)), "{view}");
    assert!(system.sandbox.faults().pending().is_empty(), "the model was away as ordered");
    let tries: i64 = sqlx::query_scalar("select count(*) from app.summaries where session_id = $1::uuid")
        .bind(&held)
        .fetch_one(&admin)
        .await
        .expect("a count");
    assert_eq!(tries, 2, "one failed, one stored");
    assert!(system.sandbox.openai().snapshot().calls.iter().all(|call| !call.alive), "the call is hung up");
    for id in [&living, &unvisited, &held] {
        wait_for("no machine is left", || async { alive(&system, id) == 0 }).await;
    }
    candidate.vanish().await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_summary_that_the_database_refuses_is_set_aside_and_the_session_ends() {
    let system = System::start_with(&quick(&[("KEEPER__END_WITHIN_MS", "4000")])).await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.sign_in("amara@demo.test").await);
    let admin = admin(&system).await;
    let refusing = "create function app.refuse() returns trigger language plpgsql as $$ begin
             raise exception using errcode = '22P05', message = 'refused'; end $$;
         create trigger refuse before insert on app.summaries for each row when (new.content is not null) execute function app.refuse()";
    sqlx::raw_sql(refusing).execute(&admin).await.expect("a trigger");
    let held = new_session(&system, &recruiter).await;
    let mut candidate = connect(&system, &amara, &held).await;
    candidate.join().await.expect("joins");
    // Long enough for its words, however late the sound comes: a shorter one may be doubted, and then there is nothing to judge.
    candidate.answer(ANSWER * 3).await.expect("answers once");
    wait_for("question and answer are stored", || async {
        view(&system, &recruiter, &held).await["transcript_entries"].as_u64().unwrap_or(0) >= 2
    })
    .await;
    sqlx::query("update app.sessions set deadline_at = now() - interval '1 second' where id = $1::uuid")
        .bind(&held)
        .execute(&admin)
        .await
        .expect("the row changes");
    lose(&system, &recruiter, &held).await;
    wait_for("it is completed", || async { system.phase(&recruiter, &held).await == "completed" }).await;
    let kept: Vec<(String, String)> = sqlx::query_as(
        "select d.kind, s.failure from app.dead_letters d join app.summaries s using (session_id) where session_id = $1::uuid",
    )
    .bind(&held)
    .fetch_all(&admin)
    .await
    .expect("the dead letter and the reason");
    let why: Vec<(String, String)> = sqlx::query_as(
        "select 'summary', coalesce(failure, 'none') from app.summaries where session_id = $1::uuid
         union all select 'entry', concat_ws(' ', speaker, status, doubt, text) from app.transcript_entries where session_id = $1::uuid",
    )
    .bind(&held)
    .fetch_all(&admin)
    .await
    .expect("what is stored");
    assert_eq!(kept, [("summary".to_owned(), "transcript_record_set_aside".to_owned())], "{why:?}");
    candidate.vanish().await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_cannot_start_is_started_a_counted_number_of_times_and_its_session_failed() {
    let system = System::start_with(&quick(&[("KEEPER__MAX_ATTEMPTS", "2")])).await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let admin = admin(&system).await;
    let id = order(&system, &recruiter).await;
    // No process can read this, nor can the reconciler that finishes the session.
    sqlx::query("update app.sessions set settings = '{\"max_duration_s\": \"long\"}' where id = $1::uuid")
        .bind(&id)
        .execute(&admin)
        .await
        .expect("the row changes");
    let first = machines(&system, &id)[0].id.clone();
    if let Some(pid) = system.sandbox.fly().machine(&first).and_then(|machine| machine.status().pid) {
        // It may have started before the row was changed; then this is the first crash.
        let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    }
    wait_for("the session failed", || async { system.phase(&recruiter, &id).await == "failed" }).await;
    let starts: Vec<u32> = system
        .sandbox
        .fly()
        .machines(SESSION_APP)
        .iter()
        .filter(|machine| machine.name.starts_with(&format!("s-{id}")))
        .map(|machine| machine.status().restarts + 1)
        .collect();
    assert_eq!(starts, [4, 4], "three restarts by each machine, two machines");
    assert_eq!(view(&system, &recruiter, &id).await["end_reason"], "machine_lost");
    assert_eq!(alive(&system, &id), 0);
    system.stop().await;
}
