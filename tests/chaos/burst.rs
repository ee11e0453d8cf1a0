//! Many sessions requested at the same moment, from a Fly that makes one machine a second: first without standby machines, then
//! with as many as there are requests.

use crate::support::system::System;
use interview_sandbox::SESSION_APP;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_mins(10);

struct Burst {
    answered: Vec<Duration>,
    ready: Vec<Duration>,
    /// Answers "try again later" on the way.
    put_off: usize,
    /// Machines that Fly was asked to make before the last session was ready.
    created: usize,
    on_standby: usize,
}

pub async fn compare(sessions: usize) {
    println!("burst: {sessions} sessions at once, Fly's limits on (1/s, burst 3)");
    let without = burst(sessions, 0).await;
    tell("without standby", &without);
    let with = burst(sessions, sessions).await;
    tell("with standby", &with);
    assert!(without.on_standby == 0 && with.on_standby == sessions, "the comparison is void: {}", with.on_standby);
}

fn tell(name: &str, burst: &Burst) {
    let text = |times: &[Duration]| {
        let mut times: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        format!("p50 {:.2} s, p99 {:.2} s, all {:.2} s", at(0.5), at(0.99), at(1.0))
    };
    println!(
        "{name}: answered {}; ready {}; {} of {} on machines that waited; {} machines created meanwhile; {} answers 'later'",
        text(&burst.answered),
        text(&burst.ready),
        burst.on_standby,
        burst.ready.len(),
        burst.created,
        burst.put_off
    );
}

async fn burst(sessions: usize, standby: usize) -> Burst {
    let pool = standby.to_string();
    let keys = [
        ("STANDBY__MAX", pool.as_str()),
        ("STANDBY__MIN", pool.as_str()),
        ("DATABASE__MAX_CONNECTIONS", "10"),
        // All machines share this computer's processors, which no machine of Fly does.
        ("STANDBY__ASSIGN_TIMEOUT_MS", "30000"),
        ("DATABASE__CONNECT_TIMEOUT_MS", "30000"),
        ("DATABASE__TRANSACTION_TIMEOUT_MS", "60000"),
        ("WATCHDOG__STALL_AFTER_MS", "60000"),
        // One person asks for all of them.
        ("LIMITS__PERSON_REQUESTS_BURST", "1000000"),
        ("LIMITS__RECRUITER_SESSIONS_PER_DAY", "1000000"),
        ("LIMITS__ADDRESS_REQUESTS_BURST", "1000000"),
    ];
    let system = System::start_changed(&keys, |options| {
        options.rate_limits = true;
        // Two for each session's process, and the gateway's.
        options.postgres_connections = 2 * sessions as u32 + 200;
        if let Ok(binary) = std::env::var("RUNTIME_BINARY") {
            options.runtime = vec![binary];
        }
    })
    .await;
    let admin = PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection");
    if standby > 0 {
        let (filling, limit) = (Instant::now(), Instant::now() + PATIENCE);
        while count(&admin, "select count(*) from app.standby_machines where state = 'ready'").await < standby as i64 {
            assert!(Instant::now() < limit, "the pool did not fill");
            sleep(Duration::from_millis(200)).await;
        }
        println!("  {standby} machines ready after {:.0} s", filling.elapsed().as_secs_f64());
    }
    let burst = ask(&system, &admin, sessions).await;
    admin.close().await;
    system.stop().await;
    burst
}

async fn ask(system: &System, admin: &PgPool, sessions: usize) -> Burst {
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let before = created(system);
    let from = Instant::now();
    let mut asked = JoinSet::new();
    for number in 0..sessions {
        let (url, token) = (format!("{}/api/sessions", system.sandbox.urls().front), recruiter.clone());
        asked.spawn(async move { one(&url, &token, number, from).await });
    }
    let seen = first_ready(admin, sessions, from);
    let (mut answered, mut put_off) = (Vec::new(), 0);
    let (ready, ()) = tokio::join!(seen, async {
        while let Some(answer) = asked.join_next().await {
            let (after, later) = answer.expect("the request ends");
            answered.push(after);
            put_off += later;
        }
    });
    let created = created(system) - before;
    let on_standby = count(admin, "select count(distinct machine_id) from app.standby_machines where state = 'claimed'").await;
    // Each session has one machine of its own, and no machine two sessions.
    let machines = count(admin, "select count(distinct machine_id) from app.sessions where phase = 'ready'").await;
    assert_eq!(machines, sessions as i64);
    Burst { answered, ready, put_off, created, on_standby: on_standby as usize }
}

/// As the page does: the same key until the answer is a yes.
async fn one(url: &str, token: &str, number: usize, from: Instant) -> (Duration, usize) {
    let client = reqwest::Client::builder().timeout(Duration::from_mins(2)).build().expect("a client");
    let body = json!({
        "candidate_id": "ca000000-0000-4000-8000-000000000011",
        "position_id": "b0000000-0000-4000-8000-000000000001",
        "settings": {}
    });
    let mut later = 0;
    loop {
        let request = client.post(url).bearer_auth(token).header("idempotency-key", format!("burst-{number}")).json(&body);
        let answer = request.send().await.expect("an answer");
        let (status, wait) = (answer.status(), answer.headers().get("retry-after").cloned());
        if status.is_success() {
            return (from.elapsed(), later);
        }
        let text = answer.json::<Value>().await.unwrap_or_default();
        assert!(status == 503 || status == 429, "{status} {text}");
        assert!(from.elapsed() < PATIENCE, "no machine within {PATIENCE:?}");
        later += 1;
        let seconds = wait.and_then(|wait| wait.to_str().ok()?.parse().ok()).unwrap_or(1);
        sleep(Duration::from_secs(seconds) + Duration::from_millis(fastrand::u64(..1_000))).await;
    }
}

/// When each session's process had taken it up and could let its candidate in.
async fn first_ready(admin: &PgPool, sessions: usize, from: Instant) -> Vec<Duration> {
    let mut seen: HashMap<uuid::Uuid, Duration> = HashMap::new();
    while seen.len() < sessions {
        assert!(from.elapsed() < PATIENCE, "{} of {sessions} ready", seen.len());
        let ready: Vec<uuid::Uuid> =
            sqlx::query_scalar("select id from app.sessions where phase = 'ready'").fetch_all(admin).await.expect("the sessions");
        for id in ready {
            seen.entry(id).or_insert_with(|| from.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    seen.into_values().collect()
}

fn created(system: &System) -> usize {
    let path = format!("{SESSION_APP}/machines");
    system.sandbox.ledger().find(|entry| entry.method == "POST" && entry.status == 200 && entry.path.ends_with(&path)).len()
}

async fn count(admin: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(admin).await.expect("a count")
}
