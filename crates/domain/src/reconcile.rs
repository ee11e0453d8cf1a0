//! Decides what happens to an interview whose process or machine is silent.
//!
//! The gateway's reconcilers read the stored session, its machine as Fly reports it, and how long the session has been silent.
//! [`decide`] says what to do. Two rules come first. A machine that may still start its process again gets time for that. A
//! missing answer from Fly does not count as bad news.

use super::phase::{EndReason, Phase};
use crate::ids::SessionId;
use std::time::Duration;

/// A session that is not over, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHealth {
    pub phase: Phase,
    /// Machines asked for so far, the current one included.
    pub attempt: u32,
    /// Since its process was last heard of, or since its attempt began; and no longer than we
    /// ourselves have seen the database without a break.
    pub silence: Duration,
    /// Past its deadline by this much.
    pub overdue: Option<Duration>,
    /// The end was asked for this long ago.
    pub end_asked: Option<Duration>,
    /// The end that was decided, if one was.
    pub end: Option<EndReason>,
    /// Whether an interview was ever under way.
    pub joined: bool,
}

/// A session's machine, as far as Fly tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineSeen {
    /// Fly did not answer: nothing follows from that.
    Unknown,
    /// None is stored for this attempt.
    None,
    /// Destroyed, failed, or on a host that is out of reach: its process will not come back.
    Lost(Loss),
    /// It is made, but its process has not been started yet.
    Booting,
    /// It runs, restarts or stops: its process may be back in a moment.
    Alive,
}

/// How a machine was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    Gone,
    Failed,
    Unreachable,
    /// It was made and did not start: Fly has left machines in `created` for hours.
    NotStarted,
    /// It claims to be there, but nothing is heard of its process.
    Silent,
}

impl Loss {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::NotStarted => "not_started",
            Self::Silent => "silent",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Silent for this long: worth a question to Fly.
    pub lost_after: Duration,
    /// A machine that is made has this long to start.
    pub start_within: Duration,
    /// Silent for this long on a machine that claims to be there.
    pub stuck_after: Duration,
    /// From being asked for the end to having ended, for a session past its deadline.
    pub end_within: Duration,
    pub max_attempts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Leave,
    /// Make or find the machine of the current attempt.
    Provide,
    /// Give it up and make the next attempt's.
    Replace(Loss),
    /// No more attempts: the session failed.
    GiveUp(Loss),
    /// Its process lives past the deadline: ask it to end.
    AskToEnd,
    /// End it without its process; the reconcilers write what is missing.
    Conclude(EndReason),
}

impl SessionHealth {
    /// Whether Fly's word on the machine can change the verdict.
    pub fn needs_machine(&self, limits: &Limits) -> bool {
        !self.phase.is_terminal() && self.overdue.is_none() && self.silence >= limits.lost_after
    }

    fn end_without_process(&self) -> EndReason {
        self.end.unwrap_or(if self.joined { EndReason::TimeLimit } else { EndReason::CandidateAbsent })
    }
}

pub fn decide(session: &SessionHealth, machine: MachineSeen, limits: &Limits) -> Verdict {
    if session.phase.is_terminal() {
        return Verdict::Leave;
    }
    if session.overdue.is_some() {
        return overdue(session, limits);
    }
    if session.silence < limits.lost_after {
        return Verdict::Leave;
    }
    let loss = match machine {
        // The next machine would do nothing but what the reconcilers can do.
        MachineSeen::None if session.phase == Phase::Summarizing => return Verdict::Conclude(session.end_without_process()),
        MachineSeen::None => return Verdict::Provide,
        MachineSeen::Lost(loss) => loss,
        MachineSeen::Booting if session.silence >= limits.start_within => Loss::NotStarted,
        MachineSeen::Alive if session.silence >= limits.stuck_after => Loss::Silent,
        MachineSeen::Booting | MachineSeen::Alive | MachineSeen::Unknown => return Verdict::Leave,
    };
    match session.phase {
        Phase::Summarizing => Verdict::Conclude(session.end_without_process()),
        _ if session.attempt < limits.max_attempts => Verdict::Replace(loss),
        // It was held, and its words are stored.
        Phase::Ending => Verdict::Conclude(session.end_without_process()),
        _ => Verdict::GiveUp(loss),
    }
}

fn overdue(session: &SessionHealth, limits: &Limits) -> Verdict {
    let lives = session.silence < limits.lost_after;
    match session.end_asked {
        None if lives => Verdict::AskToEnd,
        Some(asked) if lives && asked < limits.end_within => Verdict::Leave,
        _ => Verdict::Conclude(session.end_without_process()),
    }
}

/// The name of an attempt's machine: unique in its app, so that no attempt has two.
pub fn machine_name(session: impl std::fmt::Display, attempt: u32) -> String {
    if attempt <= 1 { format!("s-{session}") } else { format!("s-{session}-{attempt}") }
}

/// Whose machine it is, by its name.
pub fn machine_owner(name: &str) -> Option<(SessionId, u32)> {
    let rest = name.strip_prefix("s-")?;
    let (session, attempt) = rest.split_at_checked(UUID_CHARS)?;
    let attempt = if attempt.is_empty() { 1 } else { attempt.strip_prefix('-')?.parse().ok()? };
    let session: SessionId = session.parse().ok()?;
    (machine_name(session, attempt) == name).then_some((session, attempt))
}

const UUID_CHARS: usize = 36;

/// A machine of ours, held against the session it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimant<'a> {
    pub machine: &'a str,
    /// The attempt it was made for, by its metadata.
    pub attempt: u32,
    pub age: Duration,
}

/// What is stored of the session that a machine names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    pub attempt: u32,
    pub machine: Option<&'a str>,
    /// Over for this long: terminal, or finished by the reconcilers.
    pub over_for: Option<Duration>,
    /// The reconcilers have taken it from its process, which can write nothing any more.
    pub handed_over: bool,
}

/// Whether nobody needs a machine any more. `grace`: a new machine's row may not be written
/// yet, and the process of a finished interview ends by itself.
pub fn is_orphan(machine: &Claimant<'_>, owner: Option<&Owner<'_>>, grace: Duration) -> bool {
    if owner.is_some_and(|owner| owner.handed_over) {
        return true;
    }
    if machine.age < grace {
        return false;
    }
    let Some(owner) = owner else { return true };
    if owner.over_for.is_some_and(|over| over >= grace) {
        return true;
    }
    match machine.attempt.cmp(&owner.attempt) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => owner.machine.is_some_and(|current| current != machine.machine),
        // The row is older than the machine: not for us to judge.
        std::cmp::Ordering::Greater => false,
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
