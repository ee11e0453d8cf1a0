//! Many interviews requested at once from two real gateways, on a Fly with every fault that the real one has shown.
//!
//! Gateways, database, rows and heartbeats are real. A session's machine is a real process that only waits: this test sends its
//! heartbeats, through the store's own code, and decides its fate.

// The campaign and the test each use their part.
#![allow(dead_code)]

use super::processes::Processes;
use super::system::{System, second_gateway};
use super::wait_for;
use interview_runtime::config::{Config, Role};
use interview_runtime::integrations::clients;
use interview_runtime::reconcilers::Reconcilers;
use interview_sandbox::faults::{Action, Fault};
use interview_sandbox::fly::model::MachineState;
use interview_sandbox::{GATEWAY_APP, SESSION_APP};
use serde_json::json;
use sqlx::PgPool;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
/// Fly's minute is three seconds here: its limits, our deadlines, an interview's length.
const PACE: f64 = 20.0;
const ORPHAN_GRACE: Duration = Duration::from_secs(5);
/// Requests for an interview that are under way at once.
const AT_ONCE: usize = 6;
const KEYS: &[(&str, &str)] = &[
    ("SESSION__HEARTBEAT_INTERVAL_MS", "1000"),
    ("KEEPER__INTERVAL_MS", "300"),
    ("KEEPER__LOST_AFTER_MS", "3000"),
    ("KEEPER__STUCK_AFTER_MS", "10000"),
    ("KEEPER__END_WITHIN_MS", "5000"),
    ("KEEPER__ORPHAN_INTERVAL_MS", "2000"),
    ("KEEPER__ORPHAN_GRACE_MS", "5000"),
    ("FLY__START_DEADLINE_MS", "3000"),
    ("FLY__TIMEOUT_MS", "5000"),
    ("FLY__REGION", "iad,fra,any"),
    ("FLY__REQUESTS_PER_S", "20"),
    ("DATABASE__MAX_CONNECTIONS", "6"),
    ("TELEMETRY__OTLP_ENDPOINT", ""),
    ("TELEMETRY__LOG", "warn"),
];

/// What strikes a request, and with which probability.
const MOODS: &[(&str, f64, &[&str])] = &[
    ("machines.create", 0.03, &["rate_limited", "rate_limited_bare", "unavailable", "unavailable_after", "timed_out"]),
    ("machines.create", 0.03, &["timed_out_after", "lose_answer", "drop", "stuck_created", "launch_failed"]),
    ("machines.create", 0.02, &["no_capacity", "no_candidate_host", "region_full", "host_full", "concurrent_update"]),
    ("machines.create", 0.01, &["no_addresses", "volume_placement", "machine_limit", "hang"]),
    ("machines.list", 0.15, &["list_empty", "list_omits", "list_resurrects"]),
    ("machines.list", 0.03, &["unavailable", "timed_out", "lose_answer"]),
    ("machines.get", 0.05, &["not_found_yet", "host_blind", "unavailable", "rate_limited", "timed_out"]),
    ("machines.wait", 0.05, &["wait_elapsed", "unavailable", "rate_limited_bare", "drop"]),
    ("machines.destroy", 0.10, &["destroy_lingers", "unavailable_after"]),
    ("machines.destroy", 0.05, &["unavailable", "timed_out_after", "lose_answer", "rate_limited"]),
];

/// What was done and seen; whatever breaks the promise panics where it is seen.
#[derive(Debug, Default)]
pub struct Outcome {
    pub sessions: i64,
    pub refused: usize,
    /// Of each kind, how often it made a difference.
    pub faults: BTreeMap<String, u64>,
    pub machines: usize,
    pub attempts: BTreeMap<i32, i64>,
    pub phases: BTreeMap<String, i64>,
    pub ends: BTreeMap<String, i64>,
    pub before_pass: (i64, usize),
    pub pass: Duration,
    pub asking: Vec<Duration>,
    pub requests: usize,
    pub too_many: usize,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut asking = self.asking.clone();
        asking.sort_unstable();
        let at = |share: f64| asking.get((asking.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or_default();
        writeln!(f, "{} sessions, {} requests refused after their tries", self.sessions, self.refused)?;
        writeln!(f, "asking for one: p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0))?;
        writeln!(f, "{} machines made; {} requests to Fly, {} answered 429", self.machines, self.requests, self.too_many)?;
        writeln!(f, "0 attempts with two live machines")?;
        writeln!(f, "attempts {:?}; phases {:?}; ends {:?}", self.attempts, self.phases, self.ends)?;
        let (open, alive) = self.before_pass;
        writeln!(f, "before the last pass: {open} sessions open past their deadline, {alive} machines alive")?;
        writeln!(f, "after it ({:?}): 0 open, 0 alive", self.pass)?;
        let mut line = String::new();
        for (fault, times) in &self.faults {
            write!(line, "{fault} {times}; ")?;
        }
        write!(f, "faults: {line}")
    }
}

/// Every fault the storm holds, by the name it is counted under.
pub fn expected_faults() -> Vec<String> {
    let of_fly = ["rate_limit_reached", "host_unreachable", "destroy_queued"].map(str::to_owned);
    let of_processes = [
        "machine lost",
        "host lost",
        "host cut off",
        "process hung",
        "process killed",
        "late write fenced off",
        "gateway killed",
    ];
    let ordered = MOODS.iter().flat_map(|(route, _, names)| {
        names.iter().map(move |name| if is_general(name) { format!("{route} {name}") } else { (*name).to_owned() })
    });
    ordered.chain(of_fly).chain(of_processes.map(str::to_owned)).collect()
}

/// Known by all stand-ins or on all routes: counted as it strikes.
fn is_general(name: &str) -> bool {
    let after = name.trim_end_matches("_after");
    matches!(name, "drop" | "hang" | "lose_answer" | "rate_limited_bare")
        || matches!(after, "rate_limited" | "unavailable" | "timed_out")
}

fn action(name: &str) -> Action {
    match name {
        "drop" => Action::Drop,
        "hang" => Action::Hang,
        name => Action::Named(name.to_owned()),
    }
}

struct Storm {
    system: System,
    admin: PgPool,
    processes: Arc<Processes>,
    reconcilers: Reconcilers,
    recruiter: String,
}

impl Storm {
    async fn start(seed: u64) -> Self {
        let system = System::start_changed(KEYS, |options| {
            // A session's machine waits to be told its fate; everything else is what ships.
            let program = options.runtime[0].clone();
            let script = "[ \"$1\" = session ] && exec sleep 3600; exec \"$0\" \"$@\"";
            options.runtime = ["/bin/sh", "-c", script, &program].map(str::to_owned).into();
            options.rate_limits = true;
            options.fly_pace = PACE;
        })
        .await;
        second_gateway(&system).await;
        let url = system.sandbox.database_admin_url().expect("the sandbox has a database");
        let admin = PgPool::connect(&url).await.expect("a connection");
        let mut keys: HashMap<String, String> = system.sandbox.settings().into_iter().collect();
        keys.extend(KEYS.iter().map(|(key, value)| (format!("INTERVIEW__{key}"), (*value).to_owned())));
        keys.insert("INTERVIEW__ROUTING__SECRET".into(), system.sandbox.routing_secret().to_owned());
        keys.insert("INTERVIEW__FLY__API_TOKEN".into(), system.sandbox.fly().deploy_token(SESSION_APP));
        keys.insert("INTERVIEW__HTTP__BIND".into(), "127.0.0.1:0".into());
        let config = Arc::new(Config::load(None, Role::Gateway, Some(keys)).expect("a valid configuration"));
        let reconcilers = interview_runtime::roles::gateway::reconcilers(&config).expect("reconcilers");
        // From here on they have seen the database: silence is silence.
        reconcilers.pass().await.expect("a first look");
        let processes = Arc::new(Processes {
            store: clients::store(&config).expect("a valid address"),
            fly: system.sandbox.fly().clone(),
            seed,
            stop: AtomicBool::new(false),
            counts: Mutex::default(),
        });
        let recruiter = system.sign_in("recruiter@demo.test").await;
        system.sandbox.faults().seed(seed);
        Self { system, admin, processes, reconcilers, recruiter }
    }

    fn break_loose(&self) {
        for (route, chance, names) in MOODS {
            for name in *names {
                self.system.sandbox.faults().add(Fault::sometimes("fly", route, *chance, action(name)));
            }
        }
    }

    /// As a client does it: again with the same key when no answer or a passing refusal comes.
    async fn ask(&self, number: usize) -> bool {
        let importance = ["standard", "high", "critical"][number % 3];
        let body = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {"importance": importance}});
        let key = format!("storm-{number}");
        for _ in 0..3 {
            let answer = self.system.try_post(&self.recruiter, "/api/sessions", &body, &[("idempotency-key", &key)]).await;
            match answer {
                Some((200 | 201, _)) => return true,
                Some((status, problem)) if status < 500 && problem["code"] != "session_over" => panic!("{status} {problem}"),
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
        false
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.admin).await.expect("a count")
    }

    async fn open(&self) -> i64 {
        self.count("select count(*) from app.sessions where phase not in ('completed', 'failed')").await
    }

    async fn grouped(&self, sql: &'static str) -> BTreeMap<String, i64> {
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&self.admin).await.expect("counts");
        rows.into_iter().collect()
    }

    async fn described(&self, which: &str) -> Vec<String> {
        let sql = format!(
            "select concat_ws(' ', id, phase, end_reason, 'attempt', attempt, machine_id, 'epoch', epoch, 'silent', now() - greatest(heartbeat_at, attempt_at), 'handed over', handed_over_at, 'kept', kept_until - now(), 'overdue', now() - deadline_at) from app.sessions where {which}"
        );
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&self.admin).await.expect("rows")
    }

    fn alive(&self) -> usize {
        self.system.sandbox.fly().machines(SESSION_APP).iter().filter(|machine| !machine.state().is_gone()).count()
    }

    fn kill_a_gateway(&self, which: usize) {
        let gateways = self.system.sandbox.fly().machines(GATEWAY_APP);
        let Some(pid) = gateways.get(which % gateways.len()).and_then(|machine| machine.status().pid) else { return };
        let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        self.processes.count("gateway killed");
    }

    /// The storm ends, the gateways and all processes with it; what is open is past its deadline.
    async fn cut(&self) {
        let fly = self.system.sandbox.fly();
        self.processes.stop.store(true, Ordering::Relaxed);
        for gateway in fly.machines(GATEWAY_APP) {
            fly.lose(&gateway.id);
        }
        wait_for("the gateways are gone", || async {
            fly.machines(GATEWAY_APP).iter().all(|machine| machine.state() == MachineState::Destroyed)
        })
        .await;
        self.system.sandbox.faults().clear();
        for machine in fly.machines(SESSION_APP) {
            fly.host_returns(&machine.id);
        }
        sqlx::query(
            "update app.sessions set deadline_at = now() - interval '1 second' where phase not in ('completed', 'failed')",
        )
        .execute(&self.admin)
        .await
        .expect("the rows change");
        // What a gateway held when it was killed is free when its lease ends. The longest ends in a minute, which is as long as
        // one wait.
        wait_for("the leases of the dead are half over", || async {
            self.count(
                "select count(*) from app.sessions where phase not in ('completed', 'failed') and kept_until > now() + interval '30 s'",
            )
            .await
                == 0
        })
        .await;
        wait_for("the leases of the dead are over", || async {
            self.count("select count(*) from app.sessions where phase not in ('completed', 'failed') and kept_until > now()")
                .await
                == 0
        })
        .await;
        // Nothing was heard for so long, and no machine is too young to judge.
        tokio::time::sleep(ORPHAN_GRACE + Duration::from_secs(1)).await;
    }

    /// For each session and attempt, no two machines were there at one time.
    fn check_machines(&self) -> usize {
        let machines = self.system.sandbox.fly().machines(SESSION_APP);
        type Life = (OffsetDateTime, OffsetDateTime, String);
        let mut lives: HashMap<(String, String), Vec<Life>> = HashMap::new();
        for machine in &machines {
            let status = machine.status();
            let told = |key: &str| status.config.metadata.get(key).cloned().unwrap_or_default();
            let gone = status.events.iter().filter(|event| event.status == "destroyed").map(|event| event.at).max();
            let life = (machine.created, gone.unwrap_or_else(OffsetDateTime::now_utc), machine.id.clone());
            lives.entry((told("session_id"), told("attempt"))).or_default().push(life);
        }
        for (whose, mut lives) in lives {
            lives.sort();
            assert!(lives.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two at once for {whose:?}: {lives:#?}");
        }
        machines.len()
    }
}

/// `times` interviews; the last tenth is still under way when everything of ours is cut off.
pub async fn storm(times: usize, seed: u64, told: &str) -> Outcome {
    let storm = Arc::new(Storm::start(seed).await);
    let driving = tokio::spawn(storm.processes.clone().run());
    storm.break_loose();
    let (next, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let asking = Arc::new(Mutex::new(Vec::new()));
    let mut askers = Vec::new();
    for _ in 0..AT_ONCE {
        let (storm, next, refused, asking) = (storm.clone(), next.clone(), refused.clone(), asking.clone());
        askers.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= times {
                    return;
                }
                if number > 0 && number % (times / 4).max(1) == 0 {
                    storm.kill_a_gateway(number / (times / 4).max(1));
                }
                if number > 0 && number % 200 == 0 {
                    println!("  {number} of {times}, {} open, {} machines", storm.open().await, storm.alive());
                }
                let began = Instant::now();
                if !storm.ask(number).await {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                asking.lock().expect("not poisoned").push(began.elapsed());
            }
        }));
    }
    for asker in askers {
        asker.await.expect("every request was answered as it may be");
    }
    let few = (times as i64 / 10).max(4);
    let limit = Instant::now() + Duration::from_mins(10);
    while storm.open().await > few {
        assert!(Instant::now() < limit, "{} sessions do not move on in the storm", storm.open().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    storm.cut().await;
    driving.await.expect("the processes were driven to the end");

    let mut outcome = Outcome { before_pass: (storm.open().await, storm.alive()), ..Outcome::default() };
    let began = Instant::now();
    storm.reconcilers.pass().await.expect("the last pass");
    outcome.pass = began.elapsed();
    let open = storm.described("phase not in ('completed', 'failed')").await;
    assert!(open.is_empty(), "not over after one pass: {open:#?}");
    // Told to go; Fly takes a moment.
    wait_for("no machine is left after one pass", || async { storm.alive() == 0 }).await;

    outcome.machines = storm.check_machines();
    outcome.refused = refused.load(Ordering::Relaxed);
    outcome.asking.clone_from(&asking.lock().expect("not poisoned"));
    outcome.sessions = storm.count("select count(*) from app.sessions").await;
    assert!(outcome.sessions >= times as i64, "each request left its row");
    let keys = storm.count("select count(idempotency_key) from app.sessions").await;
    let distinct = storm.count("select count(distinct idempotency_key) from app.sessions").await;
    assert_eq!(keys, distinct, "one session for each key");
    outcome.phases = storm.grouped("select phase, count(*) from app.sessions group by 1").await;
    outcome.ends = storm.grouped("select coalesce(end_reason, 'none'), count(*) from app.sessions group by 1").await;
    let attempts = storm.grouped("select attempt::text, count(*) from app.sessions group by 1").await;
    outcome.attempts = attempts.into_iter().map(|(attempt, count)| (attempt.parse().expect("a number"), count)).collect();
    assert!(outcome.attempts.keys().all(|attempt| *attempt <= 4), "{:?}", outcome.attempts);
    let requests = storm.system.sandbox.ledger().of("fly");
    outcome.requests = requests.len();
    outcome.too_many = requests.iter().filter(|entry| entry.status == 429).count();
    outcome.faults = faults(&storm);
    let violations = storm.system.sandbox.ledger().violations();
    assert!(violations.is_empty(), "{violations:?}");
    storm.system.leave_evidence(told);
    if let Ok(storm) = Arc::try_unwrap(storm) {
        storm.admin.close().await;
        storm.system.stop().await;
    }
    outcome
}

fn faults(storm: &Storm) -> BTreeMap<String, u64> {
    let struck = storm.system.sandbox.faults().struck();
    let general = struck.into_iter().filter(|(name, _)| name.split_once(' ').is_some_and(|(_, name)| is_general(name)));
    let felt = storm.system.sandbox.fly().felt();
    let of_fly = felt.into_iter().filter(|(name, _)| !is_general(name)).map(|(name, times)| (name.to_owned(), times));
    let counts = storm.processes.counts.lock().expect("not poisoned").clone();
    general.chain(of_fly).chain(counts.into_iter().map(|(name, times)| (name.to_owned(), times))).collect()
}
