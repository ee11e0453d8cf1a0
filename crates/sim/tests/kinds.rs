//! Each kind of failure that the campaigns found, as a plan written by hand: the meaning of a seed changes with the plan.

use interview_runtime::actors::tree::Child;
use interview_sim::plan::{Action, Ending, Plan};
use interview_sim::run::{Outcome, simulate_plan, watch_panics};
use interview_sim::world::Point;
use std::time::Duration;

const NOTHING: &[String] = &[];

/// A planted panic is watched; one of the test itself must be heard.
fn simulate(seed: u64, plan: Plan) -> Outcome {
    watch_panics();
    let outcome = simulate_plan(seed, plan, true);
    drop(std::panic::take_hook());
    outcome
}

/// A minute in which nothing happens but this.
fn minute(at: &[(u64, Action)], on: &[(Point, u64, Action)]) -> Plan {
    let ending = Ending::Candidate { twice: false, forged: false };
    let mut plan = Plan { at: vec![(Duration::from_mins(1), Action::End(ending))], on: on.to_vec(), ending, ..Plan::draw(0) };
    plan.at.extend(at.iter().map(|(second, action)| (Duration::from_secs(*second), action.clone())));
    plan
}

/// The first moment at which the answer has its words and the words that it answers are still awaited.
fn answered_early(lines: &[String]) -> Option<Duration> {
    let told = |line: &String, what: &str| {
        let (at, line) = line.trim_start().split_once(" line 1: ")?;
        Some((Duration::from_millis(at.parse().ok()?), line.strip_suffix(what)?.to_owned()))
    };
    let words: Vec<_> = lines.iter().filter_map(|line| told(line, " has its words")).collect();
    let places: Vec<_> = lines.iter().filter_map(|line| told(line, " takes its place")).collect();
    words.iter().find_map(|(answered, answer)| {
        let place = places.iter().position(|(_, item)| item == answer && item.starts_with("ai_"))?;
        let (_, question) = &places[place.checked_sub(1)?];
        let late = words.iter().any(|(at, item)| item == question && *at > *answered + Duration::from_millis(50));
        late.then_some(*answered)
    })
}

#[test]
fn told_to_stop_while_no_tree_stands_a_process_keeps_the_place_of_what_is_unfinished() {
    let mut struck = 0;
    for seed in (0..400).step_by(10) {
        let mut plan = Plan::draw(seed);
        let Some(at) = answered_early(&simulate(seed, plan.clone()).lines) else { continue };
        struck += 1;
        plan.at.push((at + Duration::from_millis(1), Action::Crash(None)));
        plan.at.push((at + Duration::from_millis(2), Action::Sigterm));
        assert_eq!(simulate(seed, plan).violations, NOTHING, "seed {seed}");
    }
    assert!(struck > 10, "{struck}");
}

#[test]
fn a_call_that_a_process_could_not_write_down_before_it_stopped_ends_with_it() {
    let read_only = Action::DatabaseReadOnly { lasts: Duration::from_secs(25) };
    let outcome = simulate(0, minute(&[(20, Action::Sigterm)], &[(Point::CallOpened, 1, read_only)]));
    let hung_up = outcome.lines.iter().any(|line| line.contains("process 1 hangs up rtc_0"));
    assert!(hung_up && outcome.violations == NOTHING, "{:#?}", outcome.lines);
}

#[test]
fn a_note_that_was_lost_inside_and_is_sent_again_on_the_next_link_is_no_disorder() {
    let note = || Action::Note { poison: false };
    // Nobody hears the call, so that what is typed is in the transcript.
    let at = [(10, Action::CrashLoop(Child::ControlChannel)), (20, note()), (22, note()), (24, Action::DropLink)];
    let outcome = simulate(0, minute(&at, &[(Point::Note, 1, Action::CrashHolding)]));
    assert_eq!(outcome.violations, NOTHING, "{:#?}", outcome.lines);
}
