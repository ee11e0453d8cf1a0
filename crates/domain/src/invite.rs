//! An invite: a link for one candidate and one position, with a window. What may be done with it, and when.
//!
//! It needs no account: who has the link is the candidate. Opening it spends nothing, so a mail scanner may. It is spent when the
//! interview is finished; an unfinished one resumes, on any device. An interview that nobody began, or that we could not hold, does
//! not count as an attempt.
//!
//! Not to be confused with [`crate::invitation`], which is the time that one interview is kept for its candidate.

use crate::edge::Timestamp;
use crate::phase::{EndReason, Phase};
use serde::Serialize;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The row is there; no mail has left, or none is to.
    Created,
    Sent,
    /// Somebody has looked at the page behind the link.
    Opened,
    /// An interview was begun by it.
    Started,
    /// So many interviews were begun by it, and none held, that something is wrong: no other is begun before somebody opens it again.
    Exhausted,
    Finished,
    /// Its window has closed before an interview was begun.
    Expired,
    Revoked,
    /// The mail could not be delivered. The link works all the same.
    Bounced,
}

impl State {
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Sent,
        Self::Opened,
        Self::Started,
        Self::Exhausted,
        Self::Finished,
        Self::Expired,
        Self::Revoked,
        Self::Bounced,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Sent => "sent",
            Self::Opened => "opened",
            Self::Started => "started",
            Self::Exhausted => "exhausted",
            Self::Finished => "finished",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Bounced => "bounced",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// No interview runs by it, and one may still be begun.
    fn waits(self) -> bool {
        matches!(self, Self::Created | Self::Sent | Self::Opened | Self::Bounced)
    }
}

/// The interview that was begun last by an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub phase: Phase,
    pub end: Option<EndReason>,
    /// The candidate has spoken with the interviewer.
    pub spoken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Open,
    /// Over for the candidate, but not stored yet.
    Closing,
    /// It was held: an attempt.
    Held,
    /// Nobody began it, or we could not hold it.
    NotHeld,
}

impl Begun {
    fn course(self) -> Course {
        use EndReason::{InterviewerFailed, MachineLost, NotTranscribed, SetupFailed};
        let ours = matches!(self.end, Some(SetupFailed | MachineLost | InterviewerFailed | NotTranscribed));
        match self.phase {
            phase if phase.is_open() => Course::Open,
            phase if !phase.is_terminal() => Course::Closing,
            _ if !self.spoken || ours => Course::NotHeld,
            _ => Course::Held,
        }
    }
}

/// What is stored of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invite {
    pub state: State,
    pub opens: Timestamp,
    pub closes: Timestamp,
    pub sent: bool,
    pub opened: bool,
    /// Interviews that may be held by it, and that were.
    pub attempts: u32,
    pub used: u32,
    /// Interviews that were begun, held or not: each needs a machine.
    pub starts: u32,
    /// The newest of them.
    pub begun: Option<Begun>,
}

/// What the candidate's button does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Begin,
    /// Their interview is there and goes on.
    Resume,
}

/// Why something is not done with an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooEarly,
    Expired,
    Revoked,
    /// As many interviews were held as may be.
    Spent,
    /// As its state says.
    Exhausted,
    /// Its candidate or its position was archived: nobody begins an interview for them.
    Closed,
    /// Its interview is over and is being stored: whether another attempt is left is known then.
    Storing,
    /// An interview runs by it.
    Taken,
    /// It can be used, so there is nothing to open again.
    StillOpen,
    /// Its end would be past, or not later than it is.
    NotLater,
    /// Its end would be later than any may be.
    TooLate,
    /// No mail can be sent to its candidate's address.
    Unmailable,
}

/// Interviews that can be begun by one invite beyond those that may be held: each takes a machine, also when nobody comes to it.
const SPARE_STARTS: u32 = 4;
pub const MOST_ATTEMPTS: u32 = 5;

impl Invite {
    /// As it is now: what has happened to its interview, and to its window, since it was stored.
    pub fn settled(mut self, now: Timestamp) -> Self {
        if self.state == State::Started {
            match self.begun.map_or(Course::NotHeld, Begun::course) {
                Course::Open | Course::Closing => {}
                Course::NotHeld => self.state = self.resting(),
                Course::Held => {
                    self.used = self.used.saturating_add(1);
                    self.state = if self.used < self.attempts { self.resting() } else { State::Finished };
                }
            }
        }
        if self.state.waits() && self.closes <= now {
            self.state = State::Expired;
        }
        self
    }

    /// Where it is when nothing runs by it.
    fn resting(&self) -> State {
        match (self.opened, self.sent) {
            _ if self.starts >= self.attempts.saturating_add(SPARE_STARTS) => State::Exhausted,
            (true, _) => State::Opened,
            (false, true) => State::Sent,
            (false, false) => State::Created,
        }
    }

    /// Somebody looks at its page. Never refused, for the page says how it stands.
    pub fn open(mut self, now: Timestamp) -> Self {
        self = self.settled(now);
        if self.state.waits() {
            self.opened = true;
            self.state = State::Opened;
        }
        self
    }

    /// The candidate wants to be interviewed.
    pub fn start(mut self, now: Timestamp) -> (Self, Result<Start, Refusal>) {
        self = self.settled(now);
        let decided = match self.state {
            State::Started if self.resumes() => Ok(Start::Resume),
            // One that is being stored is over; whether another attempt is left is known when it is stored.
            State::Started => Err(Refusal::Storing),
            State::Finished => Err(Refusal::Spent),
            State::Expired => Err(Refusal::Expired),
            State::Revoked => Err(Refusal::Revoked),
            State::Exhausted => Err(Refusal::Exhausted),
            _ if now < self.opens => Err(Refusal::TooEarly),
            _ => Ok(Start::Begin),
        };
        if decided == Ok(Start::Begin) {
            self.opened = true;
            self.starts += 1;
            self.state = State::Started;
        }
        (self, decided)
    }

    /// Its mail has left, or was refused for good.
    pub fn mailed(mut self, delivered: bool) -> Self {
        match (self.state, delivered) {
            (State::Created | State::Bounced, true) => self.state = State::Sent,
            (State::Created | State::Sent, false) => self.state = State::Bounced,
            _ => {}
        }
        self.sent |= delivered;
        self
    }

    /// Its interview is there, and whoever has the link may go back into it. Otherwise one that was begun is over, and being stored.
    pub fn resumes(&self) -> bool {
        self.state == State::Started && self.begun.map(Begun::course) == Some(Course::Open)
    }

    /// Whether its link may be given out once more.
    pub fn resend(self, now: Timestamp) -> Result<Self, Refusal> {
        let invite = self.settled(now);
        match invite.state {
            State::Finished => Err(Refusal::Spent),
            State::Expired => Err(Refusal::Expired),
            State::Revoked => Err(Refusal::Revoked),
            State::Exhausted => Err(Refusal::Exhausted),
            _ => Ok(invite),
        }
    }

    /// Keep it open until `closes`, also when it has expired.
    pub fn extend(self, closes: Timestamp, now: Timestamp, longest: Duration) -> Result<Self, Refusal> {
        let mut invite = self.settled(now);
        match invite.state {
            State::Finished => return Err(Refusal::Spent),
            State::Revoked => return Err(Refusal::Revoked),
            State::Started => return Err(Refusal::Taken),
            State::Exhausted => return Err(Refusal::Exhausted),
            State::Expired => invite.state = invite.resting(),
            _ => {}
        }
        if closes < invite.closes || closes <= now {
            return Err(Refusal::NotLater);
        }
        check_end(closes, invite.opens.max(now), longest)?;
        invite.closes = closes;
        Ok(invite)
    }

    /// Its link leads nowhere from now on. Asking again changes nothing.
    pub fn revoke(self, now: Timestamp) -> Result<Self, Refusal> {
        let invite = self.settled(now);
        if invite.state == State::Finished { Err(Refusal::Spent) } else { Ok(Self { state: State::Revoked, ..invite }) }
    }

    /// Another interview by it, after it was over for whatever reason.
    pub fn reopen(self, closes: Timestamp, now: Timestamp, longest: Duration) -> Result<Self, Refusal> {
        let mut invite = self.settled(now);
        if !matches!(invite.state, State::Exhausted | State::Finished | State::Expired | State::Revoked) {
            return Err(Refusal::StillOpen);
        }
        // What was revoked may still run for a moment.
        if invite.begun.map(Begun::course) == Some(Course::Open) {
            return Err(Refusal::Taken);
        }
        if closes <= now {
            return Err(Refusal::NotLater);
        }
        check_end(closes, invite.opens.max(now), longest)?;
        invite.closes = closes;
        invite.attempts = invite.attempts.max(invite.used.saturating_add(1));
        invite.starts = 0;
        invite.state = invite.resting();
        Ok(invite)
    }
}

/// Whether a new invite may have this window.
pub fn check_window(opens: Timestamp, closes: Timestamp, now: Timestamp, longest: Duration) -> Result<(), Refusal> {
    if closes <= opens || closes <= now {
        return Err(Refusal::NotLater);
    }
    check_end(closes, opens.max(now), longest)?;
    check_end(opens, now, longest)?;
    // A window that began so long ago is a typing error.
    check_end(now, opens, longest)
}

fn check_end(closes: Timestamp, from: Timestamp, longest: Duration) -> Result<(), Refusal> {
    let longest = time::Duration::try_from(longest).unwrap_or(time::Duration::MAX);
    if closes > from + longest { Err(Refusal::TooLate) } else { Ok(()) }
}

#[cfg(test)]
#[path = "invite_tests.rs"]
mod tests;
