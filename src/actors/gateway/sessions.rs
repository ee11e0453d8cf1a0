//! Sessions whose process is silent, or that ran past their deadline.

use super::machines::{MachineOrder, Machines};
use super::{AT_ONCE, BATCH, Keepers};
use crate::domain::keeper::{Loss, MachineSeen, Verdict, decide};
use crate::domain::phase::EndReason;
use crate::error::{Fault, chain};
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::keeper::KeptSession;
use futures_util::StreamExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// Since when we see the database without a break. Before that, silence may have been ours.
#[derive(Debug, Default)]
pub(super) struct Eyes(Mutex<Option<Instant>>);

impl Eyes {
    fn opened(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now)
    }

    fn closed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Keepers {
    pub(super) async fn keep_sessions(self) -> Result<(), StoreError> {
        let limits = self.limits();
        // Long enough for all that one session may take; a keeper that dies leaves it to the next.
        let lease = self.config.fly.timeout() * 4;
        let taken = match self.store.take_silent(limits.lost_after, lease, BATCH).await {
            Ok(taken) => taken,
            Err(error) => {
                self.eyes.closed();
                return Err(error);
            }
        };
        let seen_for = self.eyes.opened().elapsed();
        futures_util::stream::iter(taken)
            .for_each_concurrent(AT_ONCE, |mut session| {
                let keepers = self.clone();
                async move {
                    session.watched.silence = session.watched.silence.min(seen_for);
                    keepers.keep(session).await;
                }
            })
            .await;
        Ok(())
    }

    async fn keep(&self, session: KeptSession) {
        let limits = self.limits();
        let machine = match &session.machine {
            _ if !session.watched.needs_machine(&limits) => MachineSeen::Untold,
            None => MachineSeen::None,
            Some(id) => self.machines.seen(id).await,
        };
        let verdict = decide(&session.watched, machine, &limits);
        let done = match verdict {
            Verdict::Leave => Ok(true),
            Verdict::Provide => self.provide(&session).await,
            Verdict::Replace(loss) => self.replace(&session, loss).await,
            Verdict::GiveUp(loss) => self.give_up(&session, loss).await,
            Verdict::AskToEnd => self.ask_to_end(&session).await,
            Verdict::Conclude(end) => self.conclude(&session, end).await,
        };
        let pause = match done {
            Ok(true) => Duration::ZERO,
            // A little later: what is missing now may be there then.
            Ok(false) => self.config.keeper.lost_after(),
            Err(error) => {
                tracing::warn!(error_code = "keeper_pass_failed", session.id = %session.id, cause = error.code().as_str(), error = %chain(&error), "a session was not seen to");
                Duration::ZERO
            }
        };
        if let Err(error) = self.store.keep_for(session.id, pause).await {
            tracing::debug!(error_code = error.code().as_str(), session.id = %session.id, "the lease was not given back; it ends by itself");
        }
    }

    async fn provide(&self, session: &KeptSession) -> Result<bool, StoreError> {
        let span =
            tracing::info_span!("keeper.provide_machine", attempt = session.watched.attempt, error_code = "machine_missing");
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        async {
            tracing::warn!(error_code = "machine_missing", session.id = %session.id, attempt = session.watched.attempt, "a session has no machine");
            self.make(session, session.watched.attempt).await
        }
        .instrument(span)
        .await
    }

    async fn replace(&self, session: &KeptSession, loss: Loss) -> Result<bool, StoreError> {
        let (watched, next) = (&session.watched, session.watched.attempt + 1);
        let span = tracing::info_span!(
            "keeper.replace_machine",
            attempt = next,
            machine.lost = loss.as_str(),
            error_code = "machine_lost"
        );
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        async {
            // The row moves first: whatever happens to us now, one next attempt is all there is.
            if !self.store.begin_attempt(session.id, watched.attempt, self.limits().lost_after, loss.as_str()).await? {
                return Ok(true);
            }
            let silent_ms = u64::try_from(watched.silence.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(error_code = "machine_lost", session.id = %session.id, machine.id = session.machine.as_ref().map(tracing::field::display), machine.lost = loss.as_str(), attempt = next, silent_ms, "a machine is lost, making the next");
            let made = self.make(session, next).await;
            if let Some(old) = &session.machine {
                destroy(&self.machines, old).await;
            }
            made
        }
        .instrument(span)
        .await
    }

    /// Make or find the attempt's machine and store it. False: there is none to be had now.
    async fn make(&self, session: &KeptSession, attempt: u32) -> Result<bool, StoreError> {
        let order = MachineOrder {
            session: session.id,
            candidate: session.candidate,
            position: session.position,
            attempt,
            lost_in: session.region.clone().filter(|_| attempt > 1),
        };
        match self.machines.provide(&order).await {
            Ok(machine) => {
                let region = machine.region.as_deref().unwrap_or_default();
                let current = self.store.set_machine(session.id, attempt, &machine.id, region).await?;
                tracing::info!(session.id = %session.id, machine.id = %machine.id, machine.region = region, attempt, current, "machine ready to boot");
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(error_code = "machine_unavailable", session.id = %session.id, cause = error.code().as_str(), error = %chain(&error), attempt, "no machine to be had");
                Ok(false)
            }
        }
    }

    async fn give_up(&self, session: &KeptSession, loss: Loss) -> Result<bool, StoreError> {
        let span = tracing::info_span!("keeper.give_up", machine.lost = loss.as_str(), error_code = "session_given_up");
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        async {
            if self.hand_over(session, EndReason::MachineLost).await? {
                tracing::error!(error_code = "session_given_up", session.id = %session.id, attempt = session.watched.attempt, machine.lost = loss.as_str(), "no attempt is left");
            }
            Ok(true)
        }
        .instrument(span)
        .await
    }

    async fn ask_to_end(&self, session: &KeptSession) -> Result<bool, StoreError> {
        let span = tracing::info_span!("keeper.ask_to_end", error_code = "session_overdue");
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        async {
            tracing::warn!(error_code = "session_overdue", session.id = %session.id, "past its deadline, asked to end");
            self.store.ask_to_end(session.id).await.map(|()| true)
        }
        .instrument(span)
        .await
    }

    async fn conclude(&self, session: &KeptSession, end: EndReason) -> Result<bool, StoreError> {
        let span = tracing::info_span!("keeper.conclude", end_reason = end.as_str());
        let span = self.trace(session.id, session.traceparent.as_deref()).adopt(span);
        async {
            if self.hand_over(session, end).await? {
                let phase = session.watched.phase.as_str();
                if session.watched.overdue.is_some() {
                    tracing::warn!(error_code = "session_overdue", session.id = %session.id, phase, end_reason = end.as_str(), "ended without its process");
                } else {
                    tracing::warn!(error_code = "machine_lost", session.id = %session.id, phase, end_reason = end.as_str(), "its machine is lost, the keepers finish it");
                }
            }
            Ok(true)
        }
        .instrument(span)
        .await
    }

    async fn hand_over(&self, session: &KeptSession, end: EndReason) -> Result<bool, StoreError> {
        let taken = self.store.hand_over(session.id, session.watched.attempt, self.limits().lost_after, end).await?;
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
