//! Handles sessions whose process is silent, and sessions past their deadline.

use super::Reconcilers;
use super::machines::{MachineError, MachineOrder, Machines};
use crate::domain::phase::EndReason;
use crate::domain::placement::Region;
use crate::domain::reconcile::{Limits, Loss, MachineSeen, Verdict, decide};
use crate::error::ErrorCode;
use crate::error::{Fault, chain};
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::reconcile::KeptSession;
use futures_util::StreamExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// What became of asking for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Stored,
    /// There is none to be had now.
    NotNow,
    NameTaken,
}

/// Since when we see the database without a break. Before that, silence may have been ours.
#[derive(Debug, Default)]
pub(super) struct DatabaseVisibility(Mutex<Option<Instant>>);

impl DatabaseVisibility {
    fn opened(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now)
    }

    fn closed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Sessions that are worked on at once: more would only stand in line for Fly.
const AT_ONCE: usize = 8;
/// Machines whose start is waited for at once, and for how long in one pass.
const STARTS: i64 = 64;
const START_LOOK: Duration = Duration::from_secs(5);

impl Reconcilers {
    pub(super) async fn keep_sessions(self) -> Result<(), StoreError> {
        let (began, limit) = (Instant::now(), self.config.fly.timeout() * 2);
        // What is left then is the next pass's.
        while self.keep_batch().await? == AT_ONCE && began.elapsed() < limit {}
        Ok(())
    }

    /// How many there were.
    pub(super) async fn keep_batch(&self) -> Result<usize, StoreError> {
        let limits = self.limits();
        // Long enough for all that one session may take; a reconciler that dies leaves it to the next.
        // No more are taken than are worked on at once, so no lease ends in a queue.
        let lease = self.config.fly.timeout() * 4;
        let taken = self.see(self.store.take_silent(limits.lost_after, lease, AT_ONCE as i64).await)?;
        let count = taken.len();
        futures_util::stream::iter(taken)
            .for_each_concurrent(AT_ONCE, |session| {
                let reconcilers = self.clone();
                async move { reconcilers.keep(session).await }
            })
            .await;
        Ok(count)
    }

    /// What was taken, with the silence we have seen ourselves.
    fn see(&self, taken: Result<Vec<KeptSession>, StoreError>) -> Result<Vec<KeptSession>, StoreError> {
        let mut taken = taken.inspect_err(|_| self.visibility.closed())?;
        let seen_for = self.visibility.opened().elapsed();
        for session in &mut taken {
            session.health.silence = session.health.silence.min(seen_for);
        }
        Ok(taken)
    }

    async fn keep(&self, session: KeptSession) {
        let limits = self.limits();
        let machine = match &session.machine {
            _ if !session.health.needs_machine(&limits) => MachineSeen::Unknown,
            None => MachineSeen::None,
            Some(id) => self.machines.seen(id, false).await,
        };
        self.carry_out(&session, decide(&session.health, machine, &limits), limits.lost_after).await;
    }

    /// Machines that were just made: those that do not start are replaced. Who asked for the
    /// interview does not wait for this.
    pub(super) async fn watch_starts(self) -> Result<(), StoreError> {
        let since = self.config.fly.start_deadline() * 2;
        let lease = START_LOOK + self.config.fly.timeout() * 4;
        let taken = self.see(self.store.take_starting(since, lease, STARTS).await)?;
        futures_util::stream::iter(taken)
            .for_each_concurrent(STARTS as usize, |session| {
                let reconcilers = self.clone();
                async move { reconcilers.watch_start(session).await }
            })
            .await;
        Ok(())
    }

    async fn watch_start(&self, mut session: KeptSession) {
        let (began, limits) = (Instant::now(), self.limits());
        let Some(id) = session.machine.clone() else { return };
        let left = limits.start_within.saturating_sub(session.health.silence);
        match self.machines.starts(&id, left.min(START_LOOK)).await {
            // Its process is heard of soon, or missed by the other duty.
            Ok(true) => return self.give_back(&session, limits.lost_after).await,
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %id, "Fly does not tell whether a machine starts");
                return self.give_back(&session, self.config.keeper.interval()).await;
            }
        }
        session.health.silence += began.elapsed();
        // A machine that was never heard of is not given the time of one that may come back.
        let silent_for = session.health.silence;
        let at_once = Limits { lost_after: Duration::ZERO, ..limits };
        let verdict = decide(&session.health, self.machines.seen(&id, true).await, &at_once);
        self.carry_out(&session, verdict, silent_for).await;
    }

    /// `silent_for`: what was decided holds only while nothing has been heard for so long.
    async fn carry_out(&self, session: &KeptSession, verdict: Verdict, silent_for: Duration) {
        let done = match verdict {
            Verdict::Leave => Ok(self.config.keeper.interval()),
            Verdict::Provide => self.provide(session).await,
            Verdict::Replace(loss) => self.replace(session, loss, silent_for).await,
            Verdict::GiveUp(loss) => self.give_up(session, loss, silent_for).await,
            Verdict::AskToEnd => self.ask_to_end(session).await,
            Verdict::Conclude(end) => self.conclude(session, end, silent_for).await,
        };
        let pause = done.unwrap_or_else(|error| {
            tracing::warn!(error_code = ErrorCode::KeeperPassFailed.as_str(), session.id = %session.id, cause = error.code().as_str(), error = %chain(&error), "a session was not seen to");
            self.config.keeper.interval()
        });
        self.give_back(session, pause).await;
    }

    /// Nobody needs to look at it before `pause` is over.
    async fn give_back(&self, session: &KeptSession, pause: Duration) {
        if let Err(error) = self.store.keep_for(session.id, pause).await {
            tracing::debug!(error_code = error.code().as_str(), session.id = %session.id, "the lease was not given back; it ends by itself");
        }
    }

    // Each tells how long the session need not be looked at again.

    async fn provide(&self, session: &KeptSession) -> Result<Duration, StoreError> {
        let attempt = session.health.attempt;
        let span = tracing::info_span!("keeper.provide_machine", attempt, error_code = ErrorCode::MachineMissing.as_str());
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        let made = async {
            tracing::warn!(error_code = ErrorCode::MachineMissing.as_str(), session.id = %session.id, attempt, "a session has no machine");
            self.make(session, attempt).await
        }
        .instrument(span)
        .await?;
        match made {
            Made::Stored | Made::NotNow => Ok(self.pause_after(made)),
            // Its name is held by what will never run again, for as long as Fly likes.
            Made::NameTaken if attempt < self.limits().max_attempts => {
                self.replace(session, Loss::Gone, self.limits().lost_after).await
            }
            Made::NameTaken => self.give_up(session, Loss::Gone, self.limits().lost_after).await,
        }
    }

    async fn replace(&self, session: &KeptSession, loss: Loss, silent_for: Duration) -> Result<Duration, StoreError> {
        let (watched, next) = (&session.health, session.health.attempt + 1);
        let span = tracing::info_span!(
            "keeper.replace_machine",
            attempt = next,
            machine.lost = loss.as_str(),
            error_code = ErrorCode::MachineLost.as_str()
        );
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        async {
            // The row moves first: whatever happens to us now, one next attempt is all there is.
            if !self.store.begin_attempt(session.id, watched.attempt, silent_for, loss.as_str()).await? {
                return Ok(self.config.keeper.interval());
            }
            let silent_ms = u64::try_from(watched.silence.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(error_code = ErrorCode::MachineLost.as_str(), session.id = %session.id, machine.id = session.machine.as_ref().map(tracing::field::display), machine.lost = loss.as_str(), attempt = next, silent_ms, "a machine is lost, making the next");
            // Nobody has asked for this attempt's machine: one that waits will do.
            let given = self.standby.give(&order(session, next)).await;
            let made = if given { Ok(Made::Stored) } else { self.make(session, next).await };
            if let Some(old) = &session.machine {
                destroy(&self.machines, old).await;
            }
            made.map(|made| self.pause_after(made))
        }
        .instrument(span)
        .await
    }

    fn pause_after(&self, made: Made) -> Duration {
        match made {
            Made::Stored => self.config.keeper.interval(),
            // A little later: what is missing now may be there then.
            Made::NotNow | Made::NameTaken => self.config.keeper.lost_after(),
        }
    }

    /// Make or find the attempt's machine and store it.
    async fn make(&self, session: &KeptSession, attempt: u32) -> Result<Made, StoreError> {
        match self.machines.provide(&order(session, attempt)).await {
            Ok(machine) => {
                let region = machine.region.as_deref().unwrap_or_default();
                let current = self.store.set_machine(session.id, attempt, &machine.id, region).await?;
                tracing::info!(session.id = %session.id, machine.id = %machine.id, machine.region = region, attempt, current, "machine ready to boot");
                Ok(Made::Stored)
            }
            Err(error) => {
                tracing::warn!(error_code = ErrorCode::MachineUnavailable.as_str(), session.id = %session.id, cause = error.code().as_str(), error = %chain(&error), attempt, "no machine to be had");
                Ok(if matches!(error, MachineError::NameTaken) { Made::NameTaken } else { Made::NotNow })
            }
        }
    }

    async fn give_up(&self, session: &KeptSession, loss: Loss, silent_for: Duration) -> Result<Duration, StoreError> {
        let span =
            tracing::info_span!("keeper.give_up", machine.lost = loss.as_str(), error_code = ErrorCode::SessionGivenUp.as_str());
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        async {
            if self.hand_over(session, EndReason::MachineLost, silent_for).await? {
                tracing::error!(error_code = ErrorCode::SessionGivenUp.as_str(), session.id = %session.id, attempt = session.health.attempt, machine.lost = loss.as_str(), "no attempt is left");
            }
            // Whoever finishes it need not wait.
            Ok(Duration::ZERO)
        }
        .instrument(span)
        .await
    }

    async fn ask_to_end(&self, session: &KeptSession) -> Result<Duration, StoreError> {
        let span = tracing::info_span!("keeper.ask_to_end", error_code = ErrorCode::SessionOverdue.as_str());
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        async {
            tracing::warn!(error_code = ErrorCode::SessionOverdue.as_str(), session.id = %session.id, "past its deadline, asked to end");
            self.store.ask_to_end(session.id).await.map(|()| self.config.keeper.interval())
        }
        .instrument(span)
        .await
    }

    async fn conclude(&self, session: &KeptSession, end: EndReason, silent_for: Duration) -> Result<Duration, StoreError> {
        let span = tracing::info_span!("keeper.conclude", end_reason = end.as_str());
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        async {
            if self.hand_over(session, end, silent_for).await? {
                let phase = session.health.phase.as_str();
                if session.health.overdue.is_some() {
                    tracing::warn!(error_code = ErrorCode::SessionOverdue.as_str(), session.id = %session.id, phase, end_reason = end.as_str(), "ended without its process");
                } else {
                    tracing::warn!(error_code = ErrorCode::MachineLost.as_str(), session.id = %session.id, phase, end_reason = end.as_str(), "its machine is lost, the reconcilers finish it");
                }
            }
            // Whoever finishes it need not wait.
            Ok(Duration::ZERO)
        }
        .instrument(span)
        .await
    }

    async fn hand_over(&self, session: &KeptSession, end: EndReason, silent_for: Duration) -> Result<bool, StoreError> {
        let taken = self.store.hand_over(session.id, session.health.attempt, silent_for, end).await?;
        if taken {
            self.handed_over.notify_one();
            if let Some(machine) = &session.machine {
                destroy(&self.machines, machine).await;
            }
        }
        Ok(taken)
    }
}

/// Nobody needs it any more. The sweep for orphans finds it again if this does not work.
async fn destroy(machines: &Machines, machine: &crate::ids::MachineId) {
    if let Err(error) = machines.destroy(machine).await {
        tracing::info!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %machine, "left to the sweep");
    }
}

fn order(session: &KeptSession, attempt: u32) -> MachineOrder {
    MachineOrder {
        session: session.id,
        candidate: session.candidate,
        position: session.position,
        attempt,
        importance: session.importance,
        near: None,
        lost_in: session.region.as_deref().filter(|_| attempt > 1).and_then(Region::named),
    }
}
