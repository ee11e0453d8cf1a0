//! The supervisor tree of one interview, as data.
//!
//! There is one list for everything. Children start from first to last and stop from last to first. Each child has a time
//! budget to stop and is killed after it. The row of a child says how it is restarted, how often, and what its loss means. The
//! session actor follows this table.

use crate::backoff::Backoff;
use crate::domain::restart::{Ended, History, Intensity, Restart};
use crate::error::ErrorCode;
use ractor::{ActorCell, ActorId};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Child {
    TranscriptWriter,
    RecordingTracker,
    Summarizer,
    ControlChannel,
    SignalingSocket,
}

impl Child {
    pub fn name(self) -> &'static str {
        match self {
            Self::TranscriptWriter => "transcript_writer",
            Self::RecordingTracker => "recording_tracker",
            Self::Summarizer => "summarizer",
            Self::ControlChannel => "control_channel",
            Self::SignalingSocket => "signaling_socket",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        TREE.iter().map(|row| row.child).find(|child| child.name() == name)
    }

    pub fn policy(self) -> &'static Policy {
        TREE.iter().find(|row| row.child == self).expect("every child has a row in TREE")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    WithTree,
    /// When the interview needs it.
    OnDemand,
}

/// What it means that a child cannot be kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The tree fails; the process starts a fresh one from the database.
    FailTree,
    /// The interview goes on without it, visibly.
    Degrade,
    /// The browser is told to come back with a new connection.
    CloseSocket,
}

#[derive(Debug)]
pub struct Policy {
    pub child: Child,
    pub start: Start,
    pub restart: Restart,
    pub intensity: Intensity,
    pub exhausted: Exhausted,
    /// What it may take to finish its queue when it is told to stop.
    pub drain: Duration,
}

const fn within(restarts: usize, period_s: u64) -> Intensity {
    Intensity { restarts, period_s }
}

#[rustfmt::skip]
pub const TREE: [Policy; 5] = [
    Policy { child: Child::TranscriptWriter, start: Start::WithTree, restart: Restart::Permanent, intensity: within(10, 60),  exhausted: Exhausted::FailTree,    drain: Duration::from_secs(2) },
    Policy { child: Child::RecordingTracker, start: Start::WithTree, restart: Restart::Transient, intensity: within(3, 60),   exhausted: Exhausted::Degrade,     drain: Duration::from_millis(500) },
    Policy { child: Child::Summarizer,       start: Start::OnDemand, restart: Restart::Transient, intensity: within(3, 120),  exhausted: Exhausted::Degrade,     drain: Duration::from_millis(500) },
    Policy { child: Child::ControlChannel,   start: Start::WithTree, restart: Restart::Permanent, intensity: within(5, 60),   exhausted: Exhausted::Degrade,     drain: Duration::from_secs(1) },
    Policy { child: Child::SignalingSocket,  start: Start::OnDemand, restart: Restart::Transient, intensity: within(5, 60),   exhausted: Exhausted::CloseSocket, drain: Duration::from_millis(500) },
];

/// What to do about a child that ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not one of ours any more, or it was meant to end.
    Nothing,
    RestartAfter(Duration),
    GiveUp(Exhausted),
}

#[derive(Debug)]
struct Running {
    child: Child,
    cell: ActorCell,
}

struct Record {
    history: History,
    backoff: Backoff,
    restarts: u32,
}

/// Who runs, and how often each had to be started again.
pub struct Supervision {
    table: &'static [Policy],
    running: HashMap<ActorId, Running>,
    records: HashMap<Child, Record>,
    born: Instant,
}

impl Default for Supervision {
    fn default() -> Self {
        Self::following(&TREE)
    }
}

impl Supervision {
    /// Supervision by another table than [`TREE`].
    pub fn following(table: &'static [Policy]) -> Self {
        Self { table, running: HashMap::new(), records: HashMap::new(), born: Instant::now() }
    }

    /// A child started.
    pub fn started(&mut self, child: Child, cell: ActorCell) {
        self.running.insert(cell.get_id(), Running { child, cell });
    }

    /// From now on its end means nothing: it was replaced or is no longer needed.
    pub fn forget(&mut self, child: Child) -> Option<ActorCell> {
        let id = *self.running.iter().find(|(_, running)| running.child == child)?.0;
        self.running.remove(&id).map(|running| running.cell)
    }

    pub fn restarts(&self, child: Child) -> u32 {
        self.records.get(&child).map_or(0, |record| record.restarts)
    }

    pub fn cell(&self, child: Child) -> Option<ActorCell> {
        self.running.values().find(|running| running.child == child).map(|running| running.cell.clone())
    }

    pub fn runs(&self, child: Child) -> bool {
        self.cell(child).is_some()
    }

    /// A running child ended.
    pub fn ended(&mut self, id: ActorId, ended: Ended) -> Option<(Child, Verdict)> {
        let child = self.running.remove(&id)?.child;
        Some((child, self.judge(child, ended)))
    }

    /// A child could not even start: no event tells of it, so the spawner does.
    pub fn judge(&mut self, child: Child, ended: Ended) -> Verdict {
        self.judge_at(child, ended, self.born.elapsed().as_secs())
    }

    /// As [`Self::judge`], at `now_s` by a monotonic clock. The decisions are those of OTP's
    /// `supervisor`, one for each child; `tests/it/otp.rs` compares them with the original.
    pub fn judge_at(&mut self, child: Child, ended: Ended, now_s: u64) -> Verdict {
        let policy = self.table.iter().find(|row| row.child == child).expect("every child has a row");
        if !policy.restart.wants(ended) {
            return Verdict::Nothing;
        }
        let record = self.records.entry(child).or_insert_with(|| Record {
            history: History::default(),
            backoff: Backoff::new(Duration::from_millis(10), Duration::from_secs(2)),
            restarts: 0,
        });
        if !record.history.admit(now_s, policy.intensity) {
            // Who starts it once more, starts with a clean record.
            record.history = History::default();
            return Verdict::GiveUp(policy.exhausted);
        }
        record.restarts += 1;
        if record.history.recent() == 1 {
            // The first fault in a while: be back at once.
            record.backoff.reset();
            return Verdict::RestartAfter(Duration::ZERO);
        }
        Verdict::RestartAfter(record.backoff.next_delay())
    }

    /// Stop everyone in reverse start order: finish the queue within the budget, or be killed.
    /// In a `hurry` all have that long together, and each the share of it that its row names.
    pub async fn stop_all(&mut self, hurry: Option<Duration>) {
        let all: Duration = self.table.iter().map(|policy| policy.drain).sum();
        let pace = hurry.map_or(1.0, |hurry| hurry.div_duration_f64(all).min(1.0));
        for policy in self.table.iter().rev() {
            let budget = policy.drain.mul_f64(pace);
            while let Some(cell) = self.forget(policy.child) {
                if cell.drain_and_wait(Some(budget)).await.is_err() {
                    tracing::error!(
                        error_code = ErrorCode::ActorUnresponsive.as_str(),
                        actor = policy.child.name(),
                        "child did not stop in time, killing it"
                    );
                    let _ = cell.kill_and_wait(Some(budget)).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_has_one_row_and_the_writer_stops_last() {
        for row in &TREE {
            assert_eq!(TREE.iter().filter(|other| other.child == row.child).count(), 1);
            assert_eq!(Child::named(row.child.name()), Some(row.child));
        }
        assert_eq!(TREE.first().map(|row| row.child), Some(Child::TranscriptWriter), "first to start is last to stop");
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_loop_is_restarted_as_often_as_the_table_says_and_then_given_up() {
        for policy in &TREE {
            let mut supervision = Supervision::default();
            let mut restarts = 0;
            let given_up = loop {
                match supervision.judge(policy.child, Ended::Abnormally) {
                    Verdict::RestartAfter(_) => restarts += 1,
                    verdict => break verdict,
                }
            };
            assert_eq!(
                (restarts, given_up),
                (policy.intensity.restarts, Verdict::GiveUp(policy.exhausted)),
                "{:?}",
                policy.child
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_now_and_then_is_restarted_at_once_for_ever() {
        let mut supervision = Supervision::default();
        for _ in 0..100 {
            assert_eq!(supervision.judge(Child::ControlChannel, Ended::Abnormally), Verdict::RestartAfter(Duration::ZERO));
            tokio::time::advance(Duration::from_secs(61)).await;
        }
    }
}
