//! The database ends, or goes away, in the middle of several interviews at once.

use crate::support::World;
use crate::support::page::{Page, Progress};
use crate::support::process::Process;
use crate::support::proxy::{Line, Proxy};
use crate::{Options, Report};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_mins(2);
const FASTEST_PACE_MS: u64 = 80;

/// An interview that goes on until it is told to stop.
struct Lane {
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<(Page, Process)>,
}

impl Lane {
    async fn start(world: &Arc<World>, rng: fastrand::Rng, pace_ms: u64, overrides: &[(&str, &str)]) -> Self {
        let session = world.new_session().await;
        let process = world.spawn_ready(session, overrides).await;
        let mut page = Page::new(session, rng, pace_ms);
        page.come_back(world, &process).await;
        let (progress, stop) = (page.progress.clone(), Arc::new(AtomicBool::new(false)));
        let (world, stopped) = (world.clone(), stop.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                page.talk(Instant::now() + Duration::from_millis(50)).await;
                // A socket has no reason to end while the process lives.
                assert!(page.is_connected(), "the socket was lost: {:?}; {:#?}", page.told, process.lines());
            }
            assert!(page.hear_out().await);
            page.check(&world).await;
            (page, process)
        });
        Self { progress, stop, task }
    }

    fn in_flight(&self) -> bool {
        self.progress.said.load(Ordering::Relaxed) > self.progress.acked.load(Ordering::Relaxed)
    }
}

struct Lanes(Vec<Lane>);

impl Lanes {
    async fn start(world: &Arc<World>, options: &Options, overrides: &[(&str, &str)]) -> Self {
        let mut lanes = Vec::new();
        // In a long outage a page says everything again and again: what it may tell is bounded.
        let pace_ms = FASTEST_PACE_MS.max(options.seconds * 20);
        for lane in 0..options.lanes {
            let rng = fastrand::Rng::with_seed(options.seed + 1 + u64::from(lane));
            lanes.push(Lane::start(world, rng, pace_ms, overrides).await);
        }
        Self(lanes)
    }

    /// Returns how long it took each lane to hear the first acknowledgement and to catch up.
    async fn recovered(&self, what: (&'static str, &'static str), report: &mut Report) {
        let from = Instant::now();
        let at: Vec<(usize, usize)> = self
            .0
            .iter()
            .map(|lane| (lane.progress.acked.load(Ordering::Relaxed), lane.progress.said.load(Ordering::Relaxed)))
            .collect();
        let mut first = vec![None; self.0.len()];
        let mut all = vec![None; self.0.len()];
        while all.iter().any(Option::is_none) {
            assert!(from.elapsed() < PATIENCE, "not recovered: {first:?} {all:?}");
            for (index, lane) in self.0.iter().enumerate() {
                assert!(!lane.task.is_finished(), "an interview broke");
                let acked = lane.progress.acked.load(Ordering::Relaxed);
                if acked > at[index].0 || acked >= at[index].1 {
                    first[index].get_or_insert(from.elapsed());
                }
                if acked >= at[index].1 {
                    all[index].get_or_insert(from.elapsed());
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
        report.took.extend(first.into_iter().flatten().map(|took| (what.0, took)));
        report.took.extend(all.into_iter().flatten().map(|took| (what.1, took)));
    }

    fn met_work(&self) -> u32 {
        u32::from(self.0.iter().any(Lane::in_flight))
    }

    async fn finish(self, world: &World, report: &mut Report) {
        for lane in &self.0 {
            lane.stop.store(true, Ordering::Relaxed);
        }
        for lane in self.0 {
            let (mut page, mut process) = lane.task.await.expect("the promise held");
            assert_eq!(page.in_flight(), 0);
            page.end_interview().await;
            let ended = process.ended(Duration::from_secs(30)).await;
            assert_eq!(ended.code, Some(0), "{:#?}", process.lines());
            assert_eq!(world.rows(page.session).await.len(), page.said.len());
            assert_eq!(world.summaries(page.session).await, 1);
            report.interviews += 1;
            report.entries += page.said.len();
        }
    }
}

/// Interviews are ended and looked at as a whole after so many faults.
const PER_GROUP: u32 = 25;
/// Fewer: in a long outage more is said, and what one browser may tell is bounded.
const OUTAGES_PER_GROUP: u32 = 5;

pub async fn kills(world: Arc<World>, options: Options) -> Report {
    let (mut report, mut rng) = (Report::default(), fastrand::Rng::with_seed(options.seed));
    while report.faults < options.times {
        let lanes = Lanes::start(&world, &options, &[]).await;
        for _ in 0..PER_GROUP.min(options.times - report.faults) {
            sleep(Duration::from_millis(rng.u64(..400))).await;
            report.met_work += lanes.met_work();
            world.kill_database().await;
            sleep(Duration::from_millis(rng.u64(..300))).await;
            world.restart_database().await;
            lanes.recovered(("first ack after the restart", "all acked after the restart"), &mut report).await;
            report.faults += 1;
        }
        lanes.finish(&world, &mut report).await;
        println!("  {} of {}", report.faults, options.times);
    }
    report
}

pub async fn outages(world: Arc<World>, options: Options) -> Report {
    let (mut report, mut rng) = (Report::default(), fastrand::Rng::with_seed(options.seed));
    let proxy = Proxy::to(world.database_address());
    let url = world.database_through(&proxy);
    while report.faults < options.times {
        let lanes = Lanes::start(&world, &options, &[("INTERVIEW__DATABASE__URL", &url)]).await;
        for _ in 0..OUTAGES_PER_GROUP.min(options.times - report.faults) {
            sleep(Duration::from_millis(rng.u64(..400))).await;
            let told = match rng.u32(..4) {
                0 => {
                    proxy.down();
                    ("refused: first ack", "refused: all acked")
                }
                1 => {
                    proxy.set(Line { hole: true, ..Line::default() });
                    ("swallowed: first ack", "swallowed: all acked")
                }
                2 => {
                    proxy.set(Line { refuse: true, ..Line::default() });
                    proxy.half_open();
                    ("half-open: first ack", "half-open: all acked")
                }
                _ => {
                    proxy.set(Line { delay: Duration::from_millis(rng.u64(..200)), rate: Some(20_000), ..Line::default() });
                    ("slow: first ack", "slow: all acked")
                }
            };
            let lasts = Duration::from_millis(rng.u64(100.max(options.seconds * 1_000 / 10)..=options.seconds * 1_000));
            sleep(lasts).await;
            report.met_work += lanes.met_work();
            proxy.up();
            lanes.recovered(told, &mut report).await;
            report.faults += 1;
            println!("  {} of {}: {} for {lasts:?}", report.faults, options.times, told.0);
        }
        lanes.finish(&world, &mut report).await;
    }
    report
}
