use super::*;
use proptest::prelude::*;

const MONTH: Duration = Duration::from_hours(24 * 30);

fn at(minute: i64) -> Timestamp {
    Timestamp::parse("2026-11-28T10:00:00Z").expect("a time") + time::Duration::minutes(minute)
}

fn invite(state: State) -> Invite {
    Invite { state, opens: at(10), closes: at(100), sent: false, opened: false, attempts: 1, used: 0, starts: 0, begun: None }
}

fn started(phase: Phase, end: Option<EndReason>, spoken: bool) -> Invite {
    Invite { opened: true, starts: 1, begun: Some(Begun { phase, end, spoken }), ..invite(State::Started) }
}

/// Every state × every action, at a moment within the window.
#[test]
fn what_may_be_done_in_which_state() {
    use Refusal::{Exhausted, Expired, Revoked, Spent, StillOpen, Taken};
    let now = at(50);
    let open = started(Phase::Live, None, true);
    let rows: [(Invite, _, _, _, _, _); 9] = [
        (invite(State::Created), Ok(Start::Begin), Ok(()), Ok(()), Ok(()), Err(StillOpen)),
        (invite(State::Sent), Ok(Start::Begin), Ok(()), Ok(()), Ok(()), Err(StillOpen)),
        (invite(State::Opened), Ok(Start::Begin), Ok(()), Ok(()), Ok(()), Err(StillOpen)),
        (invite(State::Bounced), Ok(Start::Begin), Ok(()), Ok(()), Ok(()), Err(StillOpen)),
        (open, Ok(Start::Resume), Ok(()), Err(Taken), Ok(()), Err(StillOpen)),
        (invite(State::Exhausted), Err(Exhausted), Err(Exhausted), Err(Exhausted), Ok(()), Ok(())),
        (invite(State::Finished), Err(Spent), Err(Spent), Err(Spent), Err(Spent), Ok(())),
        (invite(State::Expired), Err(Expired), Err(Expired), Ok(()), Ok(()), Ok(())),
        (invite(State::Revoked), Err(Revoked), Err(Revoked), Err(Revoked), Ok(()), Ok(())),
    ];
    for (invite, start, resend, extend, revoke, reopen) in rows {
        let state = invite.state;
        assert_eq!(invite.start(now).1, start, "start {state:?}");
        assert_eq!(invite.resend(now).map(drop), resend, "resend {state:?}");
        assert_eq!(invite.extend(at(200), now, MONTH).map(drop), extend, "extend {state:?}");
        assert_eq!(invite.revoke(now).map(drop), revoke, "revoke {state:?}");
        assert_eq!(invite.reopen(at(200), now, MONTH).map(drop), reopen, "reopen {state:?}");
    }
}

#[test]
fn the_window_decides_before_anything_is_begun_and_not_afterwards() {
    assert_eq!(invite(State::Sent).start(at(9)).1, Err(Refusal::TooEarly));
    assert_eq!(invite(State::Sent).start(at(10)).1, Ok(Start::Begin));
    assert_eq!(invite(State::Sent).start(at(99)).1, Ok(Start::Begin));
    assert_eq!(invite(State::Sent).start(at(100)).1, Err(Refusal::Expired));
    let open = started(Phase::Live, None, true);
    assert_eq!(open.start(at(1_000)).1, Ok(Start::Resume), "who is in it stays");
    assert_eq!(invite(State::Sent).settled(at(100)).state, State::Expired);
    let longer = invite(State::Expired).extend(at(200), at(150), MONTH).expect("longer");
    assert_eq!((longer.state, longer.start(at(150)).1), (State::Created, Ok(Start::Begin)));
}

#[test]
fn it_is_spent_by_an_interview_that_was_held_and_by_no_other() {
    use EndReason::{
        CandidateAbsent, CandidateEnded, CandidateLeft, InterviewerEnded, InterviewerFailed, MachineLost, NotTranscribed,
        RecruiterEnded, SetupFailed, TimeLimit,
    };
    for (end, spoken, state, used) in [
        (CandidateEnded, true, State::Finished, 1),
        (InterviewerEnded, true, State::Finished, 1),
        (RecruiterEnded, true, State::Finished, 1),
        (TimeLimit, true, State::Finished, 1),
        (CandidateLeft, true, State::Finished, 1),
        (CandidateAbsent, false, State::Opened, 0),
        (RecruiterEnded, false, State::Opened, 0),
        (SetupFailed, false, State::Opened, 0),
        (MachineLost, true, State::Opened, 0),
        (InterviewerFailed, true, State::Opened, 0),
        (NotTranscribed, true, State::Opened, 0),
    ] {
        let settled = started(Phase::Completed, Some(end), spoken).settled(at(50));
        assert_eq!((settled.state, settled.used), (state, used), "{end:?}");
        assert_eq!(settled.settled(at(50)), settled, "{end:?}: counted once");
    }
    let twice = Invite { attempts: 2, ..started(Phase::Completed, Some(CandidateEnded), true) }.settled(at(50));
    assert_eq!((twice.state, twice.used, twice.start(at(50)).1), (State::Opened, 1, Ok(Start::Begin)));
    let storing = started(Phase::Summarizing, Some(CandidateEnded), true);
    assert!(!storing.resumes() && started(Phase::Live, None, true).resumes());
    assert_eq!(storing.start(at(50)).1, Err(Refusal::Storing), "one that is being stored is not begun anew, nor spent yet");
}

#[test]
fn what_cannot_be_held_is_not_tried_for_ever() {
    let mut it = invite(State::Sent);
    let mut begun = 0;
    while let (next, Ok(Start::Begin)) = it.start(at(50)) {
        begun += 1;
        let failed = Begun { phase: Phase::Failed, end: Some(EndReason::SetupFailed), spoken: false };
        it = Invite { begun: Some(failed), ..next };
        assert!(begun <= 20, "endless");
    }
    assert_eq!((begun, it.start(at(50)).1), (1 + SPARE_STARTS, Err(Refusal::Exhausted)));
    // A recruiter sees it, also when its window is over, and opens it again.
    assert_eq!((it.settled(at(50)).state, it.settled(at(150)).state), (State::Exhausted, State::Exhausted));
    let again = it.reopen(at(200), at(150), MONTH).expect("opened again");
    assert_eq!((again.state, again.start(at(160)).1), (State::Opened, Ok(Start::Begin)));
}

#[test]
fn a_mail_moves_a_state_only_forward() {
    for (state, sent, bounced) in [
        (State::Created, State::Sent, State::Bounced),
        (State::Sent, State::Sent, State::Bounced),
        (State::Bounced, State::Sent, State::Bounced),
        (State::Opened, State::Opened, State::Opened),
        (State::Started, State::Started, State::Started),
        (State::Revoked, State::Revoked, State::Revoked),
    ] {
        assert_eq!((invite(state).mailed(true).state, invite(state).mailed(false).state), (sent, bounced), "{state:?}");
    }
    assert!(invite(State::Opened).mailed(true).sent);
}

#[test]
fn a_window_is_ahead_and_not_endless() {
    assert_eq!(check_window(at(0), at(60), at(0), MONTH), Ok(()));
    assert_eq!(check_window(at(-60), at(60), at(0), MONTH), Ok(()));
    for (opens, closes) in [(60, 60), (60, 0), (-60, 0)] {
        assert_eq!(check_window(at(opens), at(closes), at(0), MONTH), Err(Refusal::NotLater));
    }
    assert_eq!(check_window(at(0), at(60 * 24 * 31), at(0), MONTH), Err(Refusal::TooLate));
    let first = Timestamp::parse("0001-01-01T00:00:00Z").expect("a time");
    let last = Timestamp::parse("9999-12-31T23:59:59Z").expect("a time");
    assert_eq!(check_window(first, at(60), at(0), MONTH), Err(Refusal::TooLate));
    assert_eq!(check_window(at(0), last, at(0), MONTH), Err(Refusal::TooLate));
    assert_eq!(check_window(at(60 * 24 * 31), at(60 * 24 * 32), at(0), MONTH), Err(Refusal::TooLate));
    assert_eq!(invite(State::Sent).extend(at(99), at(50), MONTH), Err(Refusal::NotLater));
    assert_eq!(invite(State::Expired).extend(at(110), at(150), MONTH), Err(Refusal::NotLater));
    assert_eq!(invite(State::Finished).reopen(at(60 * 24 * 32), at(50), MONTH), Err(Refusal::TooLate));
}

#[test]
fn what_is_opened_again_gives_one_more_attempt() {
    let spent = Invite { used: 1, starts: 20, opened: true, ..invite(State::Finished) };
    let again = spent.reopen(at(200), at(150), MONTH).expect("opened again");
    assert_eq!((again.state, again.attempts, again.start(at(150)).1), (State::Opened, 2, Ok(Start::Begin)));
    let running = Invite { state: State::Revoked, ..started(Phase::Live, None, true) };
    assert_eq!(running.reopen(at(200), at(50), MONTH), Err(Refusal::Taken));
}

fn any_state() -> impl Strategy<Value = State> {
    proptest::sample::select(State::ALL.as_slice())
}

proptest! {
    /// Whatever happens in whatever order: no more interviews are held than there are attempts.
    #[test]
    fn never_more_interviews_than_attempts(steps in proptest::collection::vec((0u8..6, 0i64..120), 0..60), state in any_state()) {
        let mut it = invite(state);
        let mut held = 0;
        for (step, minute) in steps {
            let now = at(minute);
            it = match step {
                0 => it.open(now),
                1 => {
                    let (next, decided) = it.start(now);
                    let live = Begun { phase: Phase::Live, end: None, spoken: true };
                    if decided == Ok(Start::Begin) { Invite { begun: Some(live), ..next } } else { next }
                }
                2 if it.state == State::Started => {
                    let over = Begun { phase: Phase::Completed, end: Some(EndReason::CandidateEnded), spoken: true };
                    held += u32::from(it.begun.is_some_and(|begun| begun.phase == Phase::Live));
                    Invite { begun: Some(over), ..it }.settled(now)
                }
                3 => it.mailed(minute % 2 == 0),
                4 => it.extend(at(minute + 100), now, MONTH).unwrap_or(it),
                _ => it.settled(now),
            };
            prop_assert!(held <= it.attempts && it.used <= it.attempts);
            prop_assert_eq!(State::named(it.state.as_str()), Some(it.state));
        }
    }
}
