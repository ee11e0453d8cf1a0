//! Each kind of failure that the campaigns found, as a plan written by hand: the meaning of a seed changes with the plan.

use interview_runtime::actors::tree::Child;
use interview_sim::plan::{Action, Conducted, Ending, Liar, Lie, Plan};
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
    let mut plan = Plan {
        at: vec![(Duration::from_mins(1), Action::End(ending))],
        on: on.to_vec(),
        ending,
        conducted: None,
        ..Plan::draw(0)
    };
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

/// When something was noted first, at `from` or later.
fn noted(lines: &[String], from: Duration, what: &str) -> Option<Duration> {
    let mut timed = lines.iter().filter_map(|line| {
        let (at, line) = line.trim_start().split_once(' ')?;
        Some((Duration::from_millis(at.parse().ok()?), line))
    });
    timed.find(|(at, line)| *at >= from && line.contains(what)).map(|(at, _)| at)
}

/// The line into the call becomes half-open after twenty seconds: seeds in which nobody is told of it at once.
fn with_dead_line(plan: &Plan) -> impl Iterator<Item = (u64, Outcome)> {
    let mut plan = plan.clone();
    plan.at.push((Duration::from_secs(20), Action::DropSideband));
    let played = (0..30).map(move |seed| (seed, simulate(seed, plan.clone())));
    played.filter(|(_, outcome)| {
        let noticed = noted(&outcome.lines, Duration::from_secs(20), "degraded what=\"control\"");
        noticed.is_none_or(|at| at > Duration::from_secs(21))
    })
}

/// The page cannot tell what the line does not bring: nothing is read from it while the database is away.
#[test]
fn a_dead_line_is_found_by_what_does_not_come_and_costs_no_call() {
    let away = Action::DatabaseAway { lasts: Duration::from_secs(40), refuses: true };
    let plan = Plan { max_records: 4, ..minute(&[(10, away)], &[]) };
    let (mut struck, mut found) = (0, 0);
    for (seed, outcome) in with_dead_line(&plan) {
        struck += 1;
        let again = noted(&outcome.lines, Duration::from_secs(20), "joins rtc_0 as line 2");
        found += usize::from(again.is_some_and(|at| at < Duration::from_secs(50)));
        let renewed = noted(&outcome.lines, Duration::from_secs(20), "media_renegotiate");
        assert_eq!(renewed, None, "seed {seed}: {:#?}", outcome.lines);
        assert_eq!(outcome.violations, NOTHING, "seed {seed}");
    }
    assert!(struck > 5 && found > 0, "{found} of {struck}");
}

#[test]
fn a_line_that_may_be_dead_is_asked_before_its_call_is_replaced_or_ended() {
    let plan = minute(&[], &[]);
    let mut struck = 0;
    for (seed, outcome) in with_dead_line(&plan) {
        let Some(told) = noted(&outcome.lines, Duration::from_secs(20), "transcript_ack") else { continue };
        struck += 1;
        for (after_ms, action) in [(100, Action::SecondTab), (1_000, Action::SecondTab), (500, Action::End(plan.ending))] {
            let mut plan = plan.clone();
            plan.at.push((Duration::from_secs(20), Action::DropSideband));
            plan.at.push((told + Duration::from_millis(after_ms), action.clone()));
            assert_eq!(simulate(seed, plan).violations, NOTHING, "seed {seed}, {action:?} after {after_ms} ms");
        }
    }
    assert!(struck > 5, "{struck}");
}

/// Seed 5092506: nobody has the answer of the dead line, nor knows that it was asked.
#[test]
fn a_process_that_dies_while_it_waits_for_a_dead_line_of_a_replaced_call_takes_that_with_it() {
    let plan = minute(&[], &[]);
    let mut struck = 0;
    for (seed, outcome) in with_dead_line(&plan) {
        let Some(told) = noted(&outcome.lines, Duration::from_secs(20), "transcript_ack") else { continue };
        for kill_ms in [1_500, 2_500, 3_300] {
            let mut plan = plan.clone();
            plan.at.push((Duration::from_secs(20), Action::DropSideband));
            plan.at.push((told + Duration::from_millis(100), Action::SecondTab));
            plan.at.push((told + Duration::from_millis(kill_ms), Action::Kill));
            let outcome = simulate(seed, plan);
            let (opened, killed) = (noted(&outcome.lines, told, "rtc_1 opened"), noted(&outcome.lines, told, "act: Kill"));
            struck += usize::from(opened.is_some_and(|opened| Some(opened) < killed));
            assert_eq!(outcome.violations, NOTHING, "seed {seed}, killed after {kill_ms} ms");
        }
    }
    assert!(struck > 5, "{struck}");
}

/// Seed 10016907: the runtime cancels a reply that somebody else asked for, and expects that it falls silent.
#[test]
fn a_page_that_silences_a_reply_which_was_cancelled_for_it_is_not_noted_again() {
    let lies = [(20, Action::Lie(Lie::Reply)), (21, Action::Lie(Lie::Clear))];
    let plan = Plan { liar: Some(Liar { twists: false, calm: true }), ..minute(&lies, &[]) };
    let mut struck = 0;
    for seed in 0..60 {
        let outcome = simulate(seed, plan.clone());
        struck += usize::from(noted(&outcome.lines, Duration::from_secs(21), "does output_audio_buffer.clear").is_some());
        assert_eq!(outcome.violations, NOTHING, "seed {seed}");
    }
    assert!(struck > 5, "{struck}");
}

/// Seed 10027359: what is told of the time between two processes is believed, also if the first was never in the call.
#[test]
fn what_a_page_tells_of_a_call_that_its_process_left_before_it_heard_it_may_have_fallen_there() {
    let lies: Vec<(u64, Action)> = (4..24).map(|second| (second, Action::Lie(Lie::Invent { items: 1 }))).collect();
    let mut plan = Plan { liar: Some(Liar { twists: false, calm: false }), sideband_refusals: 4, ..minute(&lies, &[]) };
    plan.at.push((Duration::from_secs(5), Action::Sigterm));
    let mut struck = 0;
    for seed in 0..40 {
        let outcome = simulate(seed, plan.clone());
        let (joined, left) =
            (noted(&outcome.lines, Duration::ZERO, "joins rtc_0"), noted(&outcome.lines, Duration::ZERO, "1 exits"));
        struck += usize::from(joined.is_some() && left < joined);
        assert_eq!(outcome.violations, NOTHING, "seed {seed}");
    }
    assert!(struck > 5, "{struck}");
}

/// Whoever brings an offer while the call is found to be no use, has the next.
#[test]
fn an_offer_that_is_being_answered_survives_the_end_of_a_call_that_does_not_work() {
    let plan = Plan { reply_faults: true, ..minute(&[], &[]) };
    let mut struck = 0;
    for seed in 0..300 {
        let outcome = simulate(seed, plan.clone());
        let Some(renewed) = noted(&outcome.lines, Duration::ZERO, "media_renegotiate reason=\"lost\"") else { continue };
        for early_ms in (200..1_200).step_by(50) {
            let mut plan = plan.clone();
            plan.at.push((renewed.saturating_sub(Duration::from_millis(early_ms)), Action::SecondTab));
            let outcome = simulate(seed, plan);
            let opened = noted(&outcome.lines, Duration::ZERO, "voice: rtc_1 opened");
            let between = noted(&outcome.lines, renewed, "process 1 hangs up rtc_0").zip(opened);
            struck += usize::from(between.is_some_and(|(ended, opened)| ended < opened + Duration::from_millis(100)));
            assert_eq!(outcome.violations, NOTHING, "seed {seed}, {early_ms} ms before");
        }
    }
    assert!(struck > 5, "{struck}");
}

/// The clock of the plan goes on steadily, whoever reads it: a panic does not make it be read again.
#[test]
fn a_wall_clock_that_is_set_moves_no_interview_with_a_plan() {
    for hours in [1, -1] {
        let at = [(12, Action::JumpClock { hours }), (14, Action::Crash(Some(Child::ControlChannel))), (30, Action::Crash(None))];
        // The limit of the session is reckoned by the wall clock, for whoever comes next.
        let plan = Plan { conducted: Some(Conducted { wayward: false }), max_duration_s: 7_200, ..minute(&at, &[]) };
        let mut went_on = 0;
        for seed in 0..20 {
            let outcome = simulate(seed, plan.clone());
            let conducted: Vec<&String> = outcome.lines.iter().filter(|line| line.contains(" conduct ")).collect();
            assert!(!conducted.iter().any(|line| line.contains("TimeUp")), "seed {seed}: {conducted:#?}");
            let at = |line: &&String| line.split_once(" at ")?.1.split_once(':')?.0.parse::<u64>().ok();
            went_on += usize::from(conducted.last().and_then(at).is_some_and(|at| (33_000..60_000).contains(&at)));
            assert_eq!(outcome.violations, NOTHING, "seed {seed}");
        }
        assert!(went_on > 5, "{went_on} of 20, {hours} hours");
    }
}

/// R17: without it nobody notices what the interviewer owes.
#[test]
fn a_control_channel_that_was_given_up_is_started_again() {
    let crashes = [(15, Action::CrashLoop(Child::ControlChannel))];
    for seed in 0..5 {
        let outcome = simulate(seed, minute(&crashes, &[]));
        let since = Duration::from_secs(15);
        let (lost, back) = ("degraded what=\"control\"", "restored what=\"control\"");
        let (lost, back) = (noted(&outcome.lines, since, lost), noted(&outcome.lines, since, back));
        assert!(lost.zip(back).is_some_and(|(lost, back)| back < lost + Duration::from_secs(12)), "{:#?}", outcome.lines);
        assert_eq!(outcome.violations, NOTHING, "seed {seed}");
    }
}

#[test]
fn nobody_waits_in_silence_for_more_than_twelve_seconds_whatever_the_provider_does() {
    let mut longest = Duration::ZERO;
    for seed in 0..40 {
        let outcome = simulate(seed, Plan::with_a_failing_provider(seed));
        assert_eq!(outcome.violations, NOTHING, "seed {seed}");
        assert!(outcome.longest_silence <= Duration::from_secs(12), "seed {seed}: {:?}", outcome.longest_silence);
        longest = longest.max(outcome.longest_silence);
    }
    assert!(longest > Duration::from_secs(5), "somebody was silent: {longest:?}");
}
