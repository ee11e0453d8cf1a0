use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    lost_after: Duration::from_secs(10),
    start_within: Duration::from_secs(20),
    stuck_after: Duration::from_mins(1),
    end_within: Duration::from_mins(1),
    max_attempts: 3,
};

fn live() -> SessionHealth {
    SessionHealth {
        phase: Phase::Live,
        attempt: 1,
        silence: Duration::ZERO,
        overdue: None,
        end_asked: None,
        end: None,
        joined: true,
    }
}

fn silent(seconds: u64) -> SessionHealth {
    SessionHealth { silence: Duration::from_secs(seconds), ..live() }
}

#[test]
fn a_lost_machine_is_replaced_at_once_and_one_that_may_come_back_gets_its_time() {
    for loss in [Loss::Gone, Loss::Failed, Loss::Unreachable] {
        assert_eq!(decide(&silent(10), MachineSeen::Lost(loss), &LIMITS), Verdict::Replace(loss));
        assert_eq!(decide(&silent(9), MachineSeen::Lost(loss), &LIMITS), Verdict::Leave);
    }
    assert_eq!(decide(&silent(59), MachineSeen::Alive, &LIMITS), Verdict::Leave);
    assert_eq!(decide(&silent(60), MachineSeen::Alive, &LIMITS), Verdict::Replace(Loss::Silent));
    assert_eq!(decide(&silent(600), MachineSeen::Unknown, &LIMITS), Verdict::Leave);
    assert_eq!(decide(&silent(10), MachineSeen::None, &LIMITS), Verdict::Provide);
}

#[test]
fn when_no_attempt_is_left_what_was_held_is_concluded_and_the_rest_failed() {
    let last = SessionHealth { attempt: 3, ..silent(10) };
    assert_eq!(decide(&last, MachineSeen::Lost(Loss::Gone), &LIMITS), Verdict::GiveUp(Loss::Gone));
    let ending = SessionHealth { phase: Phase::Ending, end: Some(EndReason::CandidateEnded), ..last };
    assert_eq!(decide(&ending, MachineSeen::Lost(Loss::Gone), &LIMITS), Verdict::Conclude(EndReason::CandidateEnded));
    let summarizing = SessionHealth { phase: Phase::Summarizing, attempt: 1, end: Some(EndReason::TimeLimit), ..last };
    assert_eq!(decide(&summarizing, MachineSeen::Lost(Loss::Gone), &LIMITS), Verdict::Conclude(EndReason::TimeLimit));
}

#[test]
fn past_its_deadline_a_living_session_is_asked_and_a_silent_one_ended() {
    let late = SessionHealth { overdue: Some(Duration::from_secs(1)), ..live() };
    assert_eq!(decide(&late, MachineSeen::Unknown, &LIMITS), Verdict::AskToEnd);
    let asked = |seconds| SessionHealth { end_asked: Some(Duration::from_secs(seconds)), ..late };
    assert_eq!(decide(&asked(59), MachineSeen::Unknown, &LIMITS), Verdict::Leave);
    assert_eq!(decide(&asked(60), MachineSeen::Unknown, &LIMITS), Verdict::Conclude(EndReason::TimeLimit));
    let silent = SessionHealth { silence: Duration::from_secs(11), ..late };
    assert_eq!(decide(&silent, MachineSeen::Unknown, &LIMITS), Verdict::Conclude(EndReason::TimeLimit));
    let never_joined = SessionHealth { joined: false, phase: Phase::Ready, ..silent };
    assert_eq!(decide(&never_joined, MachineSeen::Unknown, &LIMITS), Verdict::Conclude(EndReason::CandidateAbsent));
}

#[test]
fn a_machine_that_does_not_start_has_until_the_start_deadline() {
    assert_eq!(decide(&silent(19), MachineSeen::Booting, &LIMITS), Verdict::Leave);
    assert_eq!(decide(&silent(20), MachineSeen::Booting, &LIMITS), Verdict::Replace(Loss::NotStarted));
    let last = SessionHealth { attempt: 3, ..silent(20) };
    assert_eq!(decide(&last, MachineSeen::Booting, &LIMITS), Verdict::GiveUp(Loss::NotStarted));
}

#[test]
fn a_machine_is_an_orphan_only_when_its_session_can_do_without_it() {
    let grace = Duration::from_secs(30);
    let machine = Claimant { machine: "a", attempt: 1, age: Duration::from_mins(1) };
    let owner = Owner { attempt: 1, machine: Some("a"), over_for: None, handed_over: false };
    assert!(!is_orphan(&machine, Some(&owner), grace), "the current one");
    assert!(!is_orphan(&machine, Some(&Owner { machine: None, ..owner }), grace), "not written yet");
    assert!(is_orphan(&machine, Some(&Owner { machine: Some("b"), ..owner }), grace), "another took its place");
    assert!(is_orphan(&machine, Some(&Owner { attempt: 2, machine: None, ..owner }), grace), "an older attempt");
    assert!(!is_orphan(&Claimant { attempt: 2, ..machine }, Some(&owner), grace), "newer than what we read");
    assert!(is_orphan(&machine, None, grace), "no such session");
    let fenced = Owner { handed_over: true, over_for: Some(Duration::ZERO), ..owner };
    assert!(is_orphan(&Claimant { age: Duration::ZERO, ..machine }, Some(&fenced), grace), "its process can write nothing");
    assert!(is_orphan(&machine, Some(&Owner { over_for: Some(grace), ..owner }), grace), "over");
    assert!(
        !is_orphan(&machine, Some(&Owner { over_for: Some(Duration::ZERO), ..owner }), grace),
        "just over: it ends by itself"
    );
    assert!(!is_orphan(&Claimant { age: Duration::from_secs(29), ..machine }, None, grace), "too young to judge");
}

#[test]
fn a_machines_name_tells_its_session_and_attempt() {
    let session: SessionId = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001".parse().expect("a UUID");
    for attempt in [1, 2, 3, 12] {
        assert_eq!(machine_owner(&machine_name(session, attempt)), Some((session, attempt)));
    }
    for name in [
        "",
        "s-",
        "gateway-1",
        "s-0d3e8d2c",
        &format!("s-{session}-"),
        &format!("s-{session}-1"),
        &format!("s-{session}x2"),
        "s-ä",
    ] {
        assert_eq!(machine_owner(name), None, "{name}");
    }
}

fn seconds(most: u64) -> impl Strategy<Value = Duration> {
    (0..most).prop_map(Duration::from_secs)
}

fn any_session() -> impl Strategy<Value = SessionHealth> {
    let phase = prop::sample::select(vec![
        Phase::Created,
        Phase::Ready,
        Phase::Live,
        Phase::Ending,
        Phase::Summarizing,
        Phase::Completed,
        Phase::Failed,
    ]);
    let end = prop::sample::select(vec![None, Some(EndReason::CandidateEnded), Some(EndReason::TimeLimit)]);
    (phase, 1u32..6, seconds(120), prop::option::of(seconds(120)), prop::option::of(seconds(120)), end, any::<bool>()).prop_map(
        |(phase, attempt, silence, overdue, end_asked, end, joined)| SessionHealth {
            phase,
            attempt,
            silence,
            overdue,
            end_asked,
            end,
            joined,
        },
    )
}

fn any_machine() -> impl Strategy<Value = MachineSeen> {
    prop::sample::select(vec![
        MachineSeen::Unknown,
        MachineSeen::None,
        MachineSeen::Booting,
        MachineSeen::Alive,
        MachineSeen::Lost(Loss::Gone),
        MachineSeen::Lost(Loss::Failed),
        MachineSeen::Lost(Loss::Unreachable),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_decision_breaks_a_rule(session in any_session(), machine in any_machine()) {
        let verdict = decide(&session, machine, &LIMITS);
        let heard = session.silence < LIMITS.lost_after;
        if session.phase.is_terminal() {
            prop_assert_eq!(verdict, Verdict::Leave);
        }
        if heard && session.overdue.is_none() {
            prop_assert_eq!(verdict, Verdict::Leave, "a process that is heard of is left alone");
        }
        match verdict {
            Verdict::Replace(loss) => {
                prop_assert!(session.attempt < LIMITS.max_attempts, "never more than the attempts allowed");
                let started = session.silence >= LIMITS.stuck_after;
                let in_time = machine == MachineSeen::Booting && session.silence >= LIMITS.start_within;
                prop_assert!(matches!(machine, MachineSeen::Lost(_)) || in_time || started, "no double start");
                prop_assert_eq!(loss == Loss::Silent, machine == MachineSeen::Alive);
                prop_assert_eq!(loss == Loss::NotStarted, machine == MachineSeen::Booting);
            }
            Verdict::GiveUp(_) => {
                prop_assert!(session.attempt >= LIMITS.max_attempts && session.phase.is_open());
                prop_assert!(!matches!(machine, MachineSeen::Unknown | MachineSeen::None));
            }
            Verdict::Provide => prop_assert_eq!(machine, MachineSeen::None),
            Verdict::AskToEnd => prop_assert!(session.overdue.is_some() && session.end_asked.is_none() && heard),
            Verdict::Conclude(reason) => {
                prop_assert!(session.end.is_none_or(|end| end == reason), "a decided end stays");
                prop_assert!(session.overdue.is_some() || !session.phase.is_open(), "an open session is not cut short");
            }
            Verdict::Leave => {}
        }
        if !session.needs_machine(&LIMITS) {
            prop_assert_eq!(verdict, decide(&session, MachineSeen::Unknown, &LIMITS), "Fly is asked whenever its word counts");
        }
    }

    /// Whatever happens to its machines, a session that nobody serves is over in bounded passes.
    #[test]
    fn every_session_ends(mut session in any_session(), machines in prop::collection::vec(any_machine(), 64)) {
        session.attempt = 1;
        session.overdue = None;
        session.end_asked = None;
        let (mut clock, mut made) = (Duration::ZERO, 1);
        let mut over = session.phase.is_terminal();
        for machine in machines {
            let step = Duration::from_secs(30);
            clock += step;
            session.silence += step;
            session.overdue = clock.checked_sub(Duration::from_mins(15));
            match decide(&session, machine, &LIMITS) {
                Verdict::Leave => {}
                Verdict::Provide => session.silence = Duration::ZERO,
                Verdict::Replace(_) => {
                    session.attempt += 1;
                    session.silence = Duration::ZERO;
                    made += 1;
                }
                Verdict::AskToEnd => session.end_asked = Some(Duration::ZERO),
                Verdict::GiveUp(_) | Verdict::Conclude(_) => {
                    over = true;
                    break;
                }
            }
        }
        prop_assert!(over, "{session:?}");
        prop_assert!(made <= LIMITS.max_attempts);
    }

    #[test]
    fn the_current_machine_of_a_running_session_is_never_an_orphan(attempt in 1u32..5, age in seconds(1_000)) {
        let machine = Claimant { machine: "a", attempt, age };
        let owner = Owner { attempt, machine: Some("a"), over_for: None, handed_over: false };
        prop_assert!(!is_orphan(&machine, Some(&owner), Duration::from_secs(30)));
    }
}
