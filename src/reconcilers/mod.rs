//! The reconcilers do for a tenant's sessions what no process of these sessions can do.
//!
//! Each duty is a loop of passes. A pass takes rows, does what [`crate::domain::reconcile`] decides, and gives the rows back. Each
//! pass is a task of its own, so a panic or a deadline costs one pass and never the loop. Everything that must be remembered
//! between passes is in the database. So any gateway may do any of the work, and two never do the same (ADR 0006).

mod finish;
pub mod machines;
mod mail;
mod orphans;
mod recordings;
mod sessions;
pub mod standby;

use crate::actors::TaskGuard;
use crate::config::Config;
use crate::domain::reconcile::Limits;
use crate::error::ErrorCode;
use crate::error::{Fault, chain};
use crate::ids::SessionId;
use crate::integrations::clients::Integrations;
use crate::integrations::mail::Mailer;
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::GatewayStore;
use crate::ports::Sessions;
use crate::telemetry::Trace;
use futures_util::future::join_all;
use machines::Machines;
use standby::Standby;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Rows of one pass.
const BATCH: i64 = 16;
/// One pass that takes all there is ends after so many calls' time, whatever there is.
const PASS_LIMIT: u32 = 40;
/// Rows that are worked on at once.
const AT_ONCE: usize = 4;

/// What every duty works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reconcilers {
    store: GatewayStore,
    sessions: Arc<dyn Sessions>,
    machines: Machines,
    standby: Standby,
    integrations: Arc<Integrations>,
    config: Arc<Config>,
    /// Something was handed over: finish it now.
    handed_over: Arc<Notify>,
    /// A recording has news.
    recording_news: Arc<Notify>,
    /// A mail waits.
    mail_queued: Arc<Notify>,
    /// None: no mail is sent.
    mailer: Option<Mailer>,
    visibility: Arc<sessions::DatabaseVisibility>,
}

impl Reconcilers {
    #[expect(clippy::too_many_arguments, reason = "wiring, called once")]
    pub fn new(
        store: GatewayStore,
        sessions: Arc<dyn Sessions>,
        machines: Machines,
        standby: Standby,
        integrations: Arc<Integrations>,
        config: Arc<Config>,
        recording_news: Arc<Notify>,
        mail_queued: Arc<Notify>,
        mailer: Option<Mailer>,
    ) -> Self {
        let (handed_over, visibility) = (Arc::new(Notify::new()), Arc::new(sessions::DatabaseVisibility::default()));
        Self {
            store,
            sessions,
            machines,
            standby,
            integrations,
            config,
            handed_over,
            recording_news,
            mail_queued,
            mailer,
            visibility,
        }
    }

    /// Do all loops until `stopping`. A pass under way then may end; who waits for us says how long.
    pub async fn run(self, stopping: watch::Receiver<bool>) {
        let every = self.config.keeper.interval();
        let call = self.config.fly.timeout();
        let never = Arc::new(Notify::new());
        let summary = self.config.openai.summary_timeout();
        let loops = [
            ReconcileLoop { name: "sessions", every, deadline: call * 8 + every, wake: never.clone() },
            ReconcileLoop { name: "starts", every, deadline: call * 5 + every, wake: never.clone() },
            ReconcileLoop { name: "finish", every, deadline: finish::longest(summary), wake: self.handed_over.clone() },
            ReconcileLoop { name: "orphans", every, deadline: call * 8, wake: never.clone() },
            ReconcileLoop { name: "recordings", every, deadline: call * 4, wake: self.recording_news.clone() },
            ReconcileLoop {
                name: "mail",
                every,
                deadline: mail::longest(self.config.mail.timeout()),
                wake: self.mail_queued.clone(),
            },
            ReconcileLoop { name: "invites", every, deadline: mail::longest(call), wake: never },
        ];
        let [sessions, starts, finish, orphans, recordings, mail, invites] = loops.map(|duty| (duty, stopping.clone()));
        let pools = TaskGuard::spawn(self.standby.clone().run(stopping));
        let each = || self.clone();
        let (kept, started, finished, swept, settled) = (each(), each(), each(), each(), each());
        let (sent, closed) = (each(), each());
        let loops = [
            TaskGuard::spawn(sessions.0.run(sessions.1, move || kept.clone().keep_sessions())),
            TaskGuard::spawn(starts.0.run(starts.1, move || started.clone().watch_starts())),
            TaskGuard::spawn(finish.0.run(finish.1, move || finished.clone().finish_sessions())),
            TaskGuard::spawn(orphans.0.run(orphans.1, move || swept.clone().sweep_orphans())),
            TaskGuard::spawn(recordings.0.run(recordings.1, move || settled.clone().settle_recordings())),
            TaskGuard::spawn(mail.0.run(mail.1, move || sent.clone().send_mails())),
            TaskGuard::spawn(invites.0.run(invites.1, move || closed.clone().settle_invites())),
            pools,
        ];
        join_all(loops.map(|mut guard| async move { guard.ended().await })).await;
    }

    /// One pass of each duty that ends sessions, now, until nothing is left to take: afterwards no session is past
    /// its deadline and no machine is nobody's, if Fly and the database answer. It is told from
    /// the rows that it has itself seen silent, so a fresh reconciler looks twice.
    pub async fn pass(&self) -> Result<(), StoreError> {
        let (began, limit) = (Instant::now(), self.config.fly.timeout() * PASS_LIMIT);
        while self.keep_batch().await? > 0 && began.elapsed() < limit {}
        while self.finish_batch().await? > 0 && began.elapsed() < limit {}
        self.sweep_now().await?;
        self.clone().settle_recordings().await
    }

    fn limits(&self) -> Limits {
        let keeper = &self.config.keeper;
        Limits {
            lost_after: keeper.lost_after(),
            start_within: self.config.fly.start_deadline(),
            stuck_after: keeper.stuck_after(),
            end_within: keeper.end_within(),
            max_attempts: keeper.max_attempts,
        }
    }

    /// A reconciler's work on a session belongs to the session's trace.
    fn trace(&self, session: SessionId, traceparent: Option<&str>) -> Trace {
        Trace::join(traceparent, session, self.store.tenant())
    }
}

/// One loop.
struct ReconcileLoop {
    name: &'static str,
    every: Duration,
    /// Of one pass.
    deadline: Duration,
    wake: Arc<Notify>,
}

impl ReconcileLoop {
    async fn run<F>(self, mut stopping: watch::Receiver<bool>, pass: impl Fn() -> F)
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        while !*stopping.borrow() {
            self.supervise(pass()).await;
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = self.wake.notified() => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        }
    }

    async fn supervise(&self, pass: impl Future<Output = Result<(), StoreError>> + Send + 'static) {
        let mut task = AbortOnDrop(tokio::spawn(pass));
        match tokio::time::timeout(self.deadline, &mut task.0).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                tracing::warn!(error_code = ErrorCode::KeeperPassFailed.as_str(), duty = self.name, cause = error.code().as_str(), error = %chain(&error), "a reconciler's pass failed");
            }
            Ok(Err(error)) => {
                tracing::error!(error_code = ErrorCode::KeeperPassCrashed.as_str(), duty = self.name, %error, "a reconciler's pass crashed");
            }
            Err(_) => {
                tracing::error!(
                    error_code = ErrorCode::KeeperPassTimedOut.as_str(),
                    duty = self.name,
                    "a reconciler's pass was cut"
                );
            }
        }
    }
}

/// A pass ends with its loop.
struct AbortOnDrop(tokio::task::JoinHandle<Result<(), StoreError>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_panics_fails_or_hangs_costs_one_pass() {
        let (stop, stopping) = watch::channel(false);
        let passes = Arc::new(AtomicU32::new(0));
        let (every, deadline) = (Duration::from_secs(1), Duration::from_secs(5));
        let duty = ReconcileLoop { name: "test", every, deadline, wake: Arc::new(Notify::new()) };
        let counter = passes.clone();
        let work = move || {
            let turn = counter.fetch_add(1, Ordering::Relaxed);
            async move {
                match turn {
                    0 => panic!("injected"),
                    1 => Err(StoreError::NotFound),
                    2 => std::future::pending().await,
                    _ => Ok(()),
                }
            }
        };
        let mut running = TaskGuard::spawn(duty.run(stopping, work));
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(passes.load(Ordering::Relaxed) > 50);
        stop.send(true).expect("the loop listens");
        tokio::time::timeout(Duration::from_secs(1), running.ended()).await.expect("the loop stops");
    }
}
