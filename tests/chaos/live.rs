//! Interviews with real media and our own sideband into the call. Their process is killed.

use crate::support::{ORIGIN, World};
use crate::{Options, Report};
use interview_candidate::{Candidate, ConnectOptions, Join};
use interview_runtime::ids::SessionId;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_mins(2);
const ANSWER: Duration = Duration::from_millis(900);

pub async fn kills(world: Arc<World>, options: Options) -> Report {
    let mut lanes = Vec::new();
    for lane in 0..options.lanes.min(options.times) {
        let (world, rng) = (world.clone(), fastrand::Rng::with_seed(options.seed + u64::from(lane)));
        let times = options.times.div_ceil(options.lanes.min(options.times));
        lanes.push(tokio::spawn(lane_of(world, times, rng)));
    }
    let mut report = Report::default();
    for lane in lanes {
        report.add(lane.await.expect("the promise held"));
    }
    report
}

async fn lane_of(world: Arc<World>, times: u32, mut rng: fastrand::Rng) -> Report {
    let mut report = Report::default();
    for _ in 0..times {
        interview(&world, &mut rng, &mut report).await;
        println!("  {} of {times} in this lane", report.faults);
    }
    report
}

/// A new socket: of a new page, or of one whose voice is still up.
async fn connect(world: &World, session: SessionId, url: &str, mut talking: Option<Candidate>) -> Candidate {
    let limit = Instant::now() + PATIENCE;
    loop {
        let join = Join { consent_policy_version: Some("2026-11".to_owned()), ..Join::new(url, world.ticket(session).await) };
        let options = ConnectOptions { origin: Some(ORIGIN.to_owned()), ..ConnectOptions::default() };
        let connected = match talking.take() {
            None => Candidate::connect_with(&join, options).await,
            Some(mut candidate) => match candidate.reconnect(&join).await {
                Ok(()) => Ok(candidate),
                Err(error) => {
                    talking = Some(candidate);
                    Err(error)
                }
            },
        };
        match connected {
            Ok(candidate) => return candidate,
            Err(error) => assert!(Instant::now() < limit, "not let in: {error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn distinct(sorted: &[i32]) -> impl Iterator<Item = i32> {
    sorted.chunk_by(|one, next| one == next).map(|same| same[0])
}

async fn interview(world: &World, rng: &mut fastrand::Rng, report: &mut Report) {
    let session = world.new_session().await;
    let mut process = world.spawn(session, &[]);
    let mut candidate = connect(world, session, &process.websocket_url(), None).await;
    candidate.join().await.expect("joins");
    candidate.answer(ANSWER).await.expect("answers once");
    // Anywhere: in an answer of the AI, before it, or while words are transcribed.
    sleep(Duration::from_millis(rng.u64(..3_000))).await;
    let known = world.rows(session).await;
    process.signal("KILL");
    process.ended(PATIENCE).await;
    report.faults += 1;
    candidate.wait_closed(PATIENCE).await.expect("the line is lost");
    // Half of the pages are reloaded; the others talk on, and nobody may disturb them. A call in which
    // the interviewer is not known to have spoken is begun anew.
    let talks = rng.bool() && known.iter().any(|row| row.1 == "ai");
    if !talks {
        candidate.vanish().await;
    }

    let mut process = world.spawn(session, &[]);
    let back = Instant::now();
    let mut candidate = connect(world, session, &process.websocket_url(), talks.then_some(candidate)).await;
    if talks {
        candidate.expect("session_ready").await.expect("is taken back");
        candidate.media_state("connected").await.expect("says that it talks");
        report.took.push(("process started to a page that talks on", back.elapsed()));
    } else {
        candidate.join().await.expect("joins again");
        report.took.push(("process started to media again", back.elapsed()));
    }
    candidate.attend(ANSWER, PATIENCE).await.unwrap_or_else(|error| panic!("{session}: {error}: {:#?}", process.lines()));
    let ended = process.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{session}: {:#?}", process.lines());

    let rows = world.rows(session).await;
    for before in &known {
        let same = rows.iter().filter(|row| row.0 == before.0).collect::<Vec<_>>();
        assert!(same.len() == 1 && same[0].2 == before.2, "{session}: {before:?} became {same:?}");
    }
    let greetings = rows.iter().filter(|row| row.1 == "ai" && (row.2.contains("Welcome") || row.2.contains("Hello"))).count();
    assert!(greetings <= 1, "{session}: greeted {greetings} times: {rows:#?}");
    assert_eq!(world.text(session, "phase").await.as_deref(), Some("completed"));
    assert_eq!(world.summaries(session).await, 1, "{session}");
    let segments: Vec<i32> = world.segments(session).await;
    let chapters = if talks { 1 } else { 2 };
    assert!(segments.is_sorted() && (1..=chapters).eq(distinct(&segments)), "{session}: {chapters}, but {segments:?}");
    report.met_work += u32::from(!known.is_empty());
    report.interviews += 1;
    report.entries += rows.len();
}
