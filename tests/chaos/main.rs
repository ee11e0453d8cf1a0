//! The campaigns: real session processes and a real PostgreSQL are broken at random instants, again and again. After each fault
//! the promise is checked (docs/CHAOS.md). Started by scripts/chaos.

#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod support;

mod burst;
mod cost;
mod database;
mod door;
mod fly;
mod live;
mod signals;

use interview_sandbox::openai::InterviewScript;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::World;

const USAGE: &str = "usage: scripts/chaos MODE [--times N] [--seed N] [--lanes N] [--seconds N]
modes:
  sigkill    session processes are killed (SIGKILL) and started again
  sigterm    session processes are told to stop (SIGTERM, SIGINT) and started again
  postgres   the database server is killed (SIGKILL, all its processes) and started again
  outage     the database goes away behind a proxy: refused, swallowed, half-open, cut
  burst      so many sessions asked for at once, without and with machines that wait (docs/STANDBY.md)
  live       as sigkill, in interviews with real WebRTC media and our own line into the call
  cost       nothing breaks: what an interview with real media costs is measured
  door       what ten times a bound gets an attacker, and what a neighbour notices (docs/LIMITS.md)
  fly        interviews asked for on a Fly with every fault on (--times 1000)
  smoke      a few of each";

#[derive(Clone, Debug)]
pub struct Options {
    times: u32,
    seed: u64,
    lanes: u32,
    seconds: u64,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let mut options = Options { times: 100, seed: fastrand::u64(..1 << 32), lanes: 4, seconds: 3 };
    while let Some(name) = arguments.next() {
        let value: u64 = arguments.next().and_then(|value| value.parse().ok()).unwrap_or_else(|| usage());
        match name.as_str() {
            "--times" => options.times = value as u32,
            "--seed" => options.seed = value,
            "--lanes" => options.lanes = value as u32,
            "--seconds" => options.seconds = value,
            _ => usage(),
        }
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(async {
        let few = |times| Options { times, ..options.clone() };
        match mode.as_str() {
            "sigkill" => run(&mode, &options, signals::sigkill).await,
            "sigterm" => run(&mode, &options, signals::sigterm).await,
            "postgres" => run(&mode, &options, database::kills).await,
            "outage" => run(&mode, &options, database::outages).await,
            "burst" => burst::compare(options.times as usize).await,
            "live" => run(&mode, &options, live::kills).await,
            "cost" => run(&mode, &options, cost::measure).await,
            "door" => door::profiles(&options).await,
            "fly" => fly::campaign(&options).await,
            "smoke" => {
                run("sigkill", &few(10), signals::sigkill).await;
                run("sigterm", &few(10), signals::sigterm).await;
                run("postgres", &few(2), database::kills).await;
                run("outage", &few(4), database::outages).await;
                run("live", &few(1), live::kills).await;
            }
            _ => usage(),
        }
    });
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    std::process::exit(2)
}

async fn run<F: Future<Output = Report>>(mode: &str, options: &Options, campaign: impl Fn(Arc<World>, Options) -> F) {
    println!("{mode}: times {}, seed {}, lanes {}, seconds {}", options.times, options.seed, options.lanes, options.seconds);
    let world = Arc::new(World::with_script(InterviewScript::standard()).await);
    let from = Instant::now();
    let report = campaign(world.clone(), options.clone()).await;
    if let Ok(world) = Arc::try_unwrap(world) {
        world.stop().await;
    }
    println!("{mode}: {report}in {:.0} s", from.elapsed().as_secs_f64());
    // A run in which the fault never met work under way proves nothing.
    assert!(report.faults >= options.times && report.met_work > 0, "the campaign is void");
}

/// What was done and seen. Whatever breaks the promise panics where it is seen.
#[derive(Debug, Default)]
pub struct Report {
    pub faults: u32,
    /// Faults while something said was not acknowledged yet.
    pub met_work: u32,
    pub entries: usize,
    pub interviews: u32,
    /// Stops in which not everything that was read could be stored in time.
    pub late_flushes: u32,
    /// Named durations, told as median, 99th percentile and maximum.
    pub took: Vec<(&'static str, Duration)>,
}

impl Report {
    pub fn add(&mut self, other: Self) {
        self.faults += other.faults;
        self.met_work += other.met_work;
        self.entries += other.entries;
        self.interviews += other.interviews;
        self.late_flushes += other.late_flushes;
        self.took.extend(other.took);
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = format!(
            "{} faults, {} of them with entries in flight; {} interviews, {} entries: 0 lost, 0 doubled, 0 out of order; {} late flushes; ",
            self.faults, self.met_work, self.interviews, self.entries, self.late_flushes
        );
        let mut names: Vec<&str> = self.took.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let mut all: Vec<f64> =
                self.took.iter().filter(|(of, _)| *of == name).map(|(_, took)| took.as_secs_f64() * 1e3).collect();
            all.sort_by(f64::total_cmp);
            let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
            write!(text, "{name} (n={}): p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms; ", all.len(), at(0.5), at(0.99), at(1.0))?;
        }
        f.write_str(&text)
    }
}
