//! Processes end in the middle of interviews, and their machine starts them again.

use crate::support::World;
use crate::support::page::Page;
use crate::support::process::Process;
use crate::{Options, Report};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Faults in one interview, before it is ended and looked at as a whole.
const PER_INTERVIEW: u32 = 20;
const EXIT_LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Signals {
    Kill,
    Stop,
}

pub async fn sigkill(world: Arc<World>, options: Options) -> Report {
    lanes(world, options, Signals::Kill).await
}

pub async fn sigterm(world: Arc<World>, options: Options) -> Report {
    lanes(world, options, Signals::Stop).await
}

async fn lanes(world: Arc<World>, options: Options, signals: Signals) -> Report {
    let mut lanes = Vec::new();
    for lane in 0..options.lanes {
        let times = options.times.div_ceil(options.lanes);
        let rng = fastrand::Rng::with_seed(options.seed + u64::from(lane));
        lanes.push(tokio::spawn(lane_of(world.clone(), times, rng, signals)));
    }
    let mut report = Report::default();
    for lane in lanes {
        report.add(lane.await.expect("the promise held"));
    }
    report
}

async fn lane_of(world: Arc<World>, times: u32, mut rng: fastrand::Rng, signals: Signals) -> Report {
    let mut report = Report::default();
    while report.faults < times {
        let rounds = PER_INTERVIEW.min(times - report.faults);
        interview(&world, rounds, &mut rng, signals, &mut report).await;
        println!("  {} of {times} in this lane", report.faults);
    }
    report
}

async fn interview(world: &World, rounds: u32, rng: &mut fastrand::Rng, signals: Signals, report: &mut Report) {
    let session = world.new_session().await;
    let mut page = Page::new(session, rng.fork(), 15);
    let mut process = world.spawn(session, &[]);
    for _ in 0..rounds {
        let starting = rng.u32(..10) == 0;
        if starting {
            sleep(Duration::from_millis(rng.u64(..60))).await;
        } else {
            page.come_back(world, &process).await;
            page.talk(Instant::now() + Duration::from_millis(rng.u64(..400))).await;
        }
        report.faults += 1;
        report.met_work += u32::from(page.in_flight() > 0);
        // A process that has just begun has its parent's way with SIGINT, which may be to ignore it.
        let signal = match signals {
            Signals::Kill => "KILL",
            Signals::Stop if !starting && rng.bool() => "INT",
            Signals::Stop => "TERM",
        };
        end(&mut process, &mut page, signal, report).await;
        page.check(world).await;
        process = world.spawn(session, &[]);
    }
    page.come_back(world, &process).await;
    assert!(page.hear_out().await, "{:?}", process.lines());
    page.check(world).await;
    assert_eq!(page.in_flight(), 0);
    page.end_interview().await;
    let ended = process.ended(EXIT_LIMIT).await;
    assert_eq!(ended.code, Some(0), "{session}: {:#?}", process.lines());
    assert_eq!(world.text(session, "phase").await.as_deref(), Some("completed"));
    let expected = page.said.len();
    assert_eq!(world.rows(session).await.len(), expected);
    assert_eq!(world.summaries(session).await, 1, "{session}: one summary, whatever died");
    report.interviews += 1;
    report.entries += expected;
}

async fn end(process: &mut Process, page: &mut Page, signal: &str, report: &mut Report) {
    process.signal(signal);
    if signal == "KILL" {
        let ended = process.ended(EXIT_LIMIT).await;
        assert_eq!(ended.code, None, "the kill ended it");
        return;
    }
    // The page talks on: it does not know.
    let (ended, ()) = tokio::join!(process.ended(EXIT_LIMIT), page.talk(Instant::now() + Duration::from_millis(500)));
    // Told before its handlers stood, the signal itself ends it; it held nothing then.
    assert!(ended.code == Some(75) || (ended.code.is_none() && !page.is_connected()), "{ended:?}: {:#?}", process.lines());
    // Nothing of it was acknowledged, so the page says it again; but it took too long.
    report.late_flushes += u32::from(process.logged("last_flush_timed_out").is_some());
    report.took.push(("exit", ended.after));
}
