//! What one interview costs: processor, memory, connections, transactions and bytes of its
//! session process, measured in interviews with real media (docs/CAPACITY.md).

use crate::support::{ORIGIN, World};
use crate::{Options, Report};
use interview_candidate::{Candidate, ConnectOptions, Join};
use interview_runtime::ids::SessionId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_mins(3);
const ANSWER: Duration = Duration::from_millis(900);
const SAMPLE: Duration = Duration::from_millis(100);
/// Of `/proc/*/stat` on Linux.
const TICKS_PER_S: f64 = 100.0;
const OWN_COMMITS: f64 = 3.0;

/// `times` interviews, `lanes` at once.
pub async fn measure(world: Arc<World>, options: Options) -> Report {
    let mut report = Report::default();
    let (before, from) = (Database::look(&world).await, Instant::now());
    let (stop, held) = (Arc::new(AtomicBool::new(false)), Arc::new(Held::default()));
    let sampler = tokio::spawn(watch_connections(world.clone(), stop.clone(), held.clone()));
    let mut all = Vec::new();
    while all.len() < options.times as usize {
        let lanes = (options.times as usize - all.len()).min(options.lanes as usize);
        let running: Vec<_> = (0..lanes).map(|_| tokio::spawn(interview(world.clone()))).collect();
        for one in running {
            all.push(one.await.expect("the interview is held"));
        }
    }
    stop.store(true, Ordering::Relaxed);
    sampler.await.expect("the sampler ends");
    let after = Database::look(&world).await;

    let n = all.len() as f64;
    let sum = |of: fn(&Cost) -> f64| all.iter().map(of).sum::<f64>();
    let minutes = sum(|cost| cost.lasted.as_secs_f64()) / 60.0;
    println!("  interviews {n}, {:.1} min in all, {:.0} s of this run", minutes, from.elapsed().as_secs_f64());
    println!("  processor: {:.2} s an interview, {:.2} s a minute of it", sum(|c| c.cpu_s) / n, sum(|c| c.cpu_s) / minutes);
    println!("  of it before the first word (start, TLS, sign-in): {:.2} s", sum(|c| c.start_cpu_s) / n);
    println!(
        "  memory at its peak: {:.1} MiB (largest {:.1})",
        sum(|c| c.peak_mib) / n,
        all.iter().map(|c| c.peak_mib).fold(0.0, f64::max)
    );
    println!("  entries: {:.1} an interview, {:.1} a minute", sum(|c| c.entries as f64) / n, sum(|c| c.entries as f64) / minutes);
    let (samples, seen) = (held.samples.load(Ordering::Relaxed).max(1), held.connections.load(Ordering::Relaxed));
    // Without our own: each sample, and for each interview its row, its ticket and the look at the end.
    let commits = (after.commits - before.commits) as f64 - samples as f64 - OWN_COMMITS * n;
    println!(
        "  connections to the database: {:.2} on average, {} at most, with {} processes at once",
        seen as f64 / samples as f64,
        held.most.load(Ordering::Relaxed),
        options.lanes
    );
    println!(
        "  transactions: {:.0} an interview, {:.1} a second of it; write-ahead log {:.0} KiB an interview; stored {:.0} KiB an interview",
        commits / n,
        commits / minutes / 60.0,
        (after.wal - before.wal) as f64 / n / 1024.0,
        (after.bytes - before.bytes) as f64 / n / 1024.0
    );
    report.faults = options.times;
    report.met_work = options.times;
    report.interviews = all.len() as u32;
    report.entries = all.iter().map(|cost| cost.entries).sum();
    report
}

struct Cost {
    lasted: Duration,
    cpu_s: f64,
    start_cpu_s: f64,
    peak_mib: f64,
    entries: usize,
}

async fn interview(world: Arc<World>) -> Cost {
    let session = world.new_session().await;
    let mut process = world.spawn_ready(session, &[("INTERVIEW__SESSION__HEARTBEAT_INTERVAL_MS", "2000")]).await;
    let (pid, from) = (process.pid(), Instant::now());
    let start_cpu_s = cpu_s(pid).expect("it runs");
    let mut candidate = connect(&world, session, &process.websocket_url()).await;
    candidate.join().await.expect("joins");
    let mut last = (start_cpu_s, 0.0);
    let attended = candidate.attend(ANSWER, PATIENCE);
    tokio::pin!(attended);
    let outcome = loop {
        tokio::select! {
            outcome = &mut attended => break outcome,
            () = sleep(SAMPLE) => last = (cpu_s(pid).unwrap_or(last.0), peak_mib(pid).unwrap_or(last.1)),
        }
    };
    outcome.unwrap_or_else(|error| panic!("{session}: {error}: {:#?}", process.lines()));
    // It may end at any moment now; what cannot be read any more was read just before.
    let ended = process.ended(PATIENCE);
    tokio::pin!(ended);
    let ended = loop {
        tokio::select! {
            ended = &mut ended => break ended,
            () = sleep(Duration::from_millis(5)) => last = (cpu_s(pid).unwrap_or(last.0), peak_mib(pid).unwrap_or(last.1)),
        }
    };
    assert_eq!(ended.code, Some(0));
    let entries = world.rows(session).await.len();
    Cost { lasted: from.elapsed(), cpu_s: last.0, start_cpu_s, peak_mib: last.1, entries }
}

async fn connect(world: &World, session: SessionId, url: &str) -> Candidate {
    let join = Join { consent_policy_version: Some("2026-11".to_owned()), ..Join::new(url, world.ticket(session).await) };
    let options = ConnectOptions { origin: Some(ORIGIN.to_owned()), ..ConnectOptions::default() };
    Candidate::connect_with(&join, options).await.expect("let in")
}

/// User and system time so far.
fn cpu_s(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; the state is the first field after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_S)
}

fn peak_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib / 1024.0)
}

#[derive(Default)]
struct Held {
    samples: AtomicU64,
    connections: AtomicU64,
    most: AtomicU64,
}

async fn watch_connections(world: Arc<World>, stop: Arc<AtomicBool>, held: Arc<Held>) {
    while !stop.load(Ordering::Relaxed) {
        let sql = "select count(*) from pg_stat_activity where usename = 'interview_runtime'";
        let now: i64 = sqlx::query_scalar(sql).fetch_one(&world.admin).await.expect("a count");
        held.samples.fetch_add(1, Ordering::Relaxed);
        held.connections.fetch_add(now as u64, Ordering::Relaxed);
        held.most.fetch_max(now as u64, Ordering::Relaxed);
        sleep(SAMPLE).await;
    }
}

/// What the server has counted.
struct Database {
    commits: i64,
    wal: i64,
    bytes: i64,
}

impl Database {
    async fn look(world: &World) -> Self {
        let sql = "select count(*)::int8, (pg_current_wal_lsn() - '0/0')::int8, \
                   (select sum(pg_total_relation_size(c.oid))::int8 from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                    where n.nspname = 'app' and c.relkind = 'r') from app.sessions";
        let (_, wal, bytes): (i64, i64, i64) = sqlx::query_as(sql).fetch_one(&world.admin).await.expect("figures");
        let sql = "select coalesce(sum(xact_commit), 0)::int8 from pg_stat_database where datname = current_database()";
        let commits: i64 = sqlx::query_scalar(sql).fetch_one(&world.admin).await.expect("figures");
        Self { commits, wal, bytes }
    }
}
