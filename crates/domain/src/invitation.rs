//! The end of an invitation: how long an interview that nobody has begun is kept, and who may change that.

use super::edge::Timestamp;
use super::phase::Phase;
use std::time::Duration;

/// What is stored of an interview that is to be kept longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    pub phase: Phase,
    /// The candidate has spoken with the interviewer.
    pub begun: bool,
    /// Somebody has asked for the end.
    pub ending: bool,
    pub made: Timestamp,
    pub join_by: Timestamp,
}

/// Why the end of an invitation stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The interview is over, or is being ended.
    Over,
    /// It ended before it was asked for: the process may be ending the interview already.
    Expired,
    Begun,
    /// Not later than it is now.
    NotLater,
    /// Later than any invitation may end: a machine waits for it all the time.
    TooLate,
}

impl Invitation {
    /// Whether it may be moved to `asked`. The same end again is no change and no fault.
    pub fn extend(&self, asked: Timestamp, now: Timestamp, longest: Duration) -> Result<(), Refusal> {
        let longest = time::Duration::try_from(longest).unwrap_or(time::Duration::MAX);
        match self.phase {
            Phase::Completed | Phase::Failed | Phase::Ending | Phase::Summarizing => Err(Refusal::Over),
            Phase::Created | Phase::Ready | Phase::Live if self.ending => Err(Refusal::Over),
            Phase::Live => Err(Refusal::Begun),
            Phase::Created | Phase::Ready if self.begun => Err(Refusal::Begun),
            Phase::Created | Phase::Ready if self.join_by <= now => Err(Refusal::Expired),
            Phase::Created | Phase::Ready if asked < self.join_by => Err(Refusal::NotLater),
            Phase::Created | Phase::Ready if asked > self.made + longest => Err(Refusal::TooLate),
            Phase::Created | Phase::Ready => Ok(()),
        }
    }
}

/// How long the process of an interview that nobody has begun waits on. `visited`: the candidate was
/// here and is about to begin. `slack`: what was extended in the last moment is heard of within it.
pub fn absence(join_by: Timestamp, now: Timestamp, visited: bool, grace: Duration, slack: Duration) -> Duration {
    let left = Duration::try_from(join_by - now).unwrap_or_default() + slack;
    if visited { left.max(grace) } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn at(minute: i64) -> Timestamp {
        Timestamp::parse("2026-11-28T10:00:00Z").expect("a time") + time::Duration::minutes(minute)
    }

    fn open() -> Invitation {
        Invitation { phase: Phase::Ready, begun: false, ending: false, made: at(0), join_by: at(30) }
    }

    #[test]
    fn an_invitation_ends_later_only_while_nobody_has_come_and_within_a_bound() {
        assert_eq!(open().extend(at(60), at(10), DAY), Ok(()));
        assert_eq!(open().extend(at(30), at(10), DAY), Ok(()), "the same again");
        assert_eq!(open().extend(at(29), at(10), DAY), Err(Refusal::NotLater));
        assert_eq!(open().extend(at(24 * 60), at(10), DAY), Ok(()));
        assert_eq!(open().extend(at(24 * 60 + 1), at(10), DAY), Err(Refusal::TooLate));
        assert_eq!(open().extend(at(60), at(30), DAY), Err(Refusal::Expired));
        for (phase, begun, ending, refusal) in [
            (Phase::Created, true, false, Refusal::Begun),
            (Phase::Live, false, false, Refusal::Begun),
            (Phase::Ready, false, true, Refusal::Over),
            (Phase::Ending, true, false, Refusal::Over),
            (Phase::Completed, false, false, Refusal::Over),
            (Phase::Failed, false, false, Refusal::Over),
        ] {
            let invitation = Invitation { phase, begun, ending, ..open() };
            assert_eq!(invitation.extend(at(60), at(10), DAY), Err(refusal), "{phase:?}");
        }
    }

    #[test]
    fn a_candidate_who_is_just_beginning_is_not_sent_away() {
        let (grace, slack) = (Duration::from_mins(2), Duration::from_secs(6));
        let minutes = |count: u64| Duration::from_mins(count) + slack;
        assert_eq!(absence(at(30), at(10), false, grace, slack), minutes(20));
        assert_eq!(absence(at(30), at(10), true, grace, slack), minutes(20));
        assert_eq!(absence(at(30), at(31), false, grace, slack), slack);
        assert_eq!(absence(at(30), at(31), true, grace, slack), grace);
    }
}
