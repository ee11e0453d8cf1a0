//! One interview's process, from boot to exit.
//!
//! It claims the session in the database, owns what must outlive the actors (journal, store, the listener), runs the tree,
//! starts a fresh tree when one crashes, and exits when the interview is over. Everything it holds can be rebuilt from
//! PostgreSQL.

use super::gauges::{observe, observe_refused};
use super::standby::{Assigned, Stop};
use super::{Exit, LINGER, stop_signal};
use crate::actors::TaskGuard;
use crate::actors::control_channel::hang_up;
use crate::actors::journal::Journal;
use crate::actors::messages::SessionMsg;
use crate::actors::session::{Session, SessionArgs, TREE_SHARE, TreeEnd};
use crate::actors::storing::Storing;
use crate::backoff::Backoff;
use crate::config::Config;
use crate::domain::claimed::{Claimed, Pulse};
use crate::domain::outbox::Limits;
use crate::domain::outbox_record::Record;
use crate::domain::phase::{Event, Phase};
use crate::domain::refusals::Patience;
use crate::domain::restart::{History, Intensity};
use crate::domain::transcript::Transcript;
use crate::error::ErrorCode;
use crate::error::chain;
use crate::error::{Fault, FaultClass};
use crate::http::limits::SessionLimits;
use crate::http::linger::Lingering;
use crate::http::server::{self, Bounds};
use crate::http::session::{SessionHttp, router};
use crate::ids::SessionId;
use crate::integrations::clients::{BuildError, Integrations, store};
use crate::integrations::store::StoreError;
use crate::ports::{Rows, Sessions};
use crate::telemetry::Trace;
use axum::serve::Listener;
use opentelemetry::metrics::Meter;
use ractor::{Actor, ActorRef};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Fresh trees within a process; above it the machine's restart policy takes over.
const TREES: Intensity = Intensity { restarts: 3, period_s: 60 };

/// What a process speaks to the outside with: real clients, or the models of the simulation.
#[derive(Clone, Debug)]
pub struct Outside {
    pub sessions: Arc<dyn Sessions>,
    pub integrations: Arc<Integrations>,
    /// Where gauges are read, if anywhere.
    pub meter: Option<Meter>,
}

/// Run the interview to its end, or until `stop`.
pub async fn run(config: Config, session: SessionId, stop: impl Future<Output = ()> + Send + 'static) -> Exit {
    run_measured(config, session, None, stop).await
}

/// As [`run`], stopped by SIGTERM and SIGINT, with gauges on `meter`.
pub async fn run_until_signal(config: Config, session: SessionId, meter: Meter) -> Exit {
    run_measured(config, session, Some(meter), stop_signal()).await
}

/// As [`run`], on a listener that is bound already, with gauges on `meter`.
pub async fn run_assigned(config: Config, assigned: Assigned, meter: Meter, stop: Stop) -> Exit {
    let listener = TcpListener::from_std(assigned.listener);
    run_on(config, assigned.session, Some(meter), listener, stop).await
}

async fn run_measured(
    config: Config,
    session: SessionId,
    meter: Option<Meter>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Exit {
    let listener = TcpListener::bind(config.http.bind).await;
    run_on(config, session, meter, listener, stop).await
}

async fn run_on(
    config: Config,
    session: SessionId,
    meter: Option<Meter>,
    listener: std::io::Result<TcpListener>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Exit {
    let (outside, listener) = match (outside(&config, meter), listener) {
        (Ok(outside), Ok(listener)) => (outside, listener),
        (Err(error), _) => return misconfigured(&error),
        (_, Err(error)) => return misconfigured(&error),
    };
    run_with(outside, Lingering(listener), Arc::new(config), session, stop).await
}

fn outside(config: &Config, meter: Option<Meter>) -> Result<Outside, BuildError> {
    Ok(Outside { integrations: Arc::new(Integrations::new(config)?), sessions: Arc::new(store(config)?), meter })
}

fn misconfigured(error: &dyn std::error::Error) -> Exit {
    tracing::error!(error_code = ErrorCode::ConfigInvalid.as_str(), error = %chain(error), "cannot start");
    Exit::Misconfigured
}

/// As [`run`], with what is outside and the listener given.
pub async fn run_with<L>(
    outside: Outside,
    listener: L,
    config: Arc<Config>,
    session: SessionId,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Exit
where
    L: Listener<Addr = SocketAddr>,
    L::Io: Unpin,
{
    tokio::pin!(stop);
    let booted = tokio::select! {
        booted = boot(outside, config, session) => booted,
        () = &mut stop => {
            tracing::info!("told to stop before the session was taken");
            return Exit::Interrupted;
        }
    };
    match booted {
        Ok(process) => process.run(listener, stop).await,
        Err(exit) => exit,
    }
}

/// The stages of an exit: the tree stops, what is not stored is, the listener and the pool close.
#[derive(Clone, Copy)]
struct Deadline {
    tree: Instant,
    flush: Instant,
    exit: Instant,
}

impl Deadline {
    fn after(budget: Duration) -> Self {
        let from = Instant::now();
        // The tree keeps its own share; a moment more, so that it is the one to say what hung.
        Self { tree: from + budget.mul_f64(TREE_SHARE + 0.1), flush: from + budget.mul_f64(0.9), exit: from + budget }
    }
}

struct Process {
    config: Arc<Config>,
    session: SessionId,
    outside: Outside,
    rows: Rows,
    claimed: Arc<Claimed>,
    journal: Journal,
    trace: Trace,
}

/// A tree does not outlive the process it belongs to, even if that is dropped half-way.
struct Root(ActorRef<SessionMsg>);

impl Drop for Root {
    fn drop(&mut self) {
        self.0.kill();
    }
}

async fn boot(outside: Outside, config: Arc<Config>, session: SessionId) -> Result<Process, Exit> {
    let (rows, claimed) = claim(&*outside.sessions, &config, session).await?;
    let trace = Trace::join(claimed.traceparent.as_deref(), session, config.tenant.id);
    let started =
        trace.adopt(tracing::info_span!("session.start", session.phase = claimed.phase.as_str(), session.epoch = rows.epoch().0));
    started.in_scope(|| {
        tracing::info!(
            phase = claimed.phase.as_str(),
            epoch = rows.epoch().0,
            entries = claimed.entries.len(),
            "session taken up"
        )
    });
    let limits = Limits { records: config.outbox.max_records, bytes: config.outbox.max_bytes };
    let transcript = Transcript::restore(claimed.entries.clone()).judging_a_deaf_line(claimed.judge_deaf_line);
    let opened_at = (claimed.segment > 0).then(|| claimed.started_at.unwrap_or_else(|| outside.integrations.clock.now()).into());
    // After the end of the talk nothing is added to what was said: it may be summarized already.
    let goes_on = !rows.epoch().is_first() && claimed.phase <= Phase::Ending;
    let journal = Journal::new(
        if goes_on { transcript.taken_over(opened_at, claimed.call.is_some()) } else { transcript },
        claimed.acked_client_seq,
        limits,
        rows.epoch().events_before(),
    );
    journal.know_conduct(claimed.conducted.clone());
    if let Some(meter) = &outside.meter {
        observe(meter, &journal);
    }
    Ok(Process { config, session, outside, rows, claimed: Arc::new(claimed), journal, trace })
}

/// Take the session; the database may be away for a while.
async fn claim(sessions: &dyn Sessions, config: &Config, session: SessionId) -> Result<(Rows, Claimed), Exit> {
    let deadline = Instant::now() + config.session.claim_timeout();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match sessions.claim(config.tenant.id, session).await {
            Ok(taken) => return Ok(taken),
            Err(error @ (StoreError::NotFound | StoreError::Superseded { .. })) => {
                // Nothing to do here, now or later: the session was deleted, or has another machine.
                tracing::error!(error_code = error.code().as_str(), error = %chain(&error), "not taken");
                return Err(Exit::Done);
            }
            Err(error) if error.class() == FaultClass::Transient && Instant::now() < deadline => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "the database is away, waiting for it");
                tokio::time::sleep(backoff.next_delay()).await;
            }
            Err(error) => {
                tracing::error!(error_code = error.code().as_str(), error = %chain(&error), "cannot take the session");
                return Err(Exit::Failed);
            }
        }
    }
}

impl Process {
    async fn run<L>(self, listener: L, mut stop: Pin<&mut impl Future<Output = ()>>) -> Exit
    where
        L: Listener<Addr = SocketAddr>,
        L::Io: Unpin,
    {
        let ready = Arc::new(AtomicBool::new(true));
        let mut claimed = self.claimed.clone();
        let (mut root, mut ended) = match self.spawn_tree(&claimed).await {
            Ok(spawned) => spawned,
            Err(exit) => return exit,
        };
        let (announce, current) = watch::channel(root.0.clone());
        let limits = SessionLimits::new(&self.config.limits);
        if let Some(meter) = &self.outside.meter {
            observe_refused(meter, limits.refused());
        }
        let http = SessionHttp {
            limits,
            config: self.config.clone(),
            session_id: self.session,
            store: self.rows.clone(),
            journal: self.journal.clone(),
            root: current.clone(),
            trace: self.trace.clone(),
            ready: ready.clone(),
        };
        let (closing, mut closed) = watch::channel(false);
        let bounds = Bounds::of(&self.config, self.config.limits.session_connections);
        let mut server = TaskGuard::spawn(server::serve(listener, router(http), bounds, async move {
            let _ = closed.wait_for(|closed| *closed).await;
        }));
        tracing::info!(address = %self.config.http.bind, "session process ready");
        let heart = TaskGuard::spawn(beat(self.rows.clone(), self.config.session.heartbeat_interval(), current));

        // When the process must be gone, once it was told to stop.
        let mut deadline: Option<Deadline> = None;
        let (mut trees, born) = (History::default(), Instant::now());
        let mut finished = false;
        let exit = loop {
            let end = tokio::select! {
                end = &mut ended => end,
                () = &mut stop, if deadline.is_none() => {
                    let by = *deadline.insert(Deadline::after(self.config.session.shutdown_timeout()));
                    ready.store(false, Ordering::Relaxed);
                    tracing::info!("told to stop, flushing");
                    let _ = root.0.cast(SessionMsg::Shutdown);
                    let Ok(end) = tokio::time::timeout_at(by.tree, &mut ended).await else {
                        tracing::error!(error_code = ErrorCode::ActorUnresponsive.as_str(), actor = "session", "the tree did not stop in time");
                        break Exit::Interrupted;
                    };
                    end
                }
            };
            match end {
                Ok(TreeEnd::Finished(phase)) => {
                    tracing::info!(phase = phase.as_str(), "the interview is over");
                    finished = true;
                    break Exit::Done;
                }
                Ok(TreeEnd::Interrupted) => break Exit::Interrupted,
                // Someone else holds the interview; this machine is of no more use.
                Ok(TreeEnd::Fenced) => break Exit::Done,
                Ok(TreeEnd::Exhausted(child)) => {
                    tracing::error!(error_code = ErrorCode::TreeFailed.as_str(), actor = child, "the tree cannot be kept up");
                    break Exit::Failed;
                }
                // The sender was dropped: the root crashed and took its children with it.
                Err(_) => {
                    tracing::error!(error_code = ErrorCode::TreeCrashed.as_str(), "the root of the tree crashed");
                    if deadline.is_some() || !trees.admit(born.elapsed().as_secs(), TREES) {
                        break Exit::Failed;
                    }
                    self.journal.close_connection(crate::domain::protocol::close::RESTART, "restarting");
                    // With the tree went our sideband into the call.
                    self.journal.sideband_lost();
                    let fresh = tokio::select! {
                        fresh = self.refresh(&claimed) => fresh,
                        () = &mut stop => break Exit::Interrupted,
                    };
                    claimed = match fresh {
                        Ok(fresh) => fresh,
                        Err(exit) => break exit,
                    };
                    (root, ended) = match self.spawn_tree(&claimed).await {
                        Ok(spawned) => spawned,
                        Err(exit) => break exit,
                    };
                    announce.send_replace(root.0.clone());
                }
            }
        };
        ready.store(false, Ordering::Relaxed);
        drop(heart);
        let deadline = deadline.unwrap_or_else(|| Deadline::after(self.config.session.shutdown_timeout()));
        // Whoever takes up may still learn the words of what is unfinished, if it keeps its place. Here, for
        // there may be no tree left to do it: the root crashed, and we were told to stop before the next.
        if matches!(exit, Exit::Interrupted | Exit::Failed) {
            self.journal.interrupt_transcript();
        }
        self.last_flush(Patience::LAST, deadline.flush).await;
        let _ = tokio::time::timeout_at(deadline.exit, self.leave_calls()).await;
        // A tree that takes up an end which only the journal knows finishes before that is stored:
        // then the interview is not over, and the machine starts us again.
        let exit = if finished && self.journal.backlog().0 > 0 { Exit::Failed } else { exit };
        let _ = closing.send(true);
        let lingering = || deadline.exit.min(Instant::now() + LINGER);
        let _ = tokio::time::timeout_at(lingering(), server.ended()).await;
        let _ = tokio::time::timeout_at(lingering(), self.outside.sessions.close()).await;
        exit
    }
}

impl Process {
    /// Spawn the tree.
    async fn spawn_tree(&self, claimed: &Arc<Claimed>) -> Result<(Root, oneshot::Receiver<TreeEnd>), Exit> {
        let (sender, ended) = oneshot::channel();
        let args = SessionArgs {
            session: self.session,
            claimed: claimed.clone(),
            journal: self.journal.clone(),
            store: self.rows.clone(),
            integrations: self.outside.integrations.clone(),
            config: self.config.clone(),
            trace: self.trace.clone(),
            ended: sender,
        };
        match Actor::spawn(None, Session, args).await {
            Ok((root, _)) => Ok((Root(root), ended)),
            Err(error) => {
                tracing::error!(error_code = ErrorCode::ActorStartFailed.as_str(), actor = "session", %error, "the tree did not start");
                Err(Exit::Failed)
            }
        }
    }

    /// What the crashed root knew is in the database, and, where that cannot be written now, in
    /// the journal.
    async fn refresh(&self, old: &Claimed) -> Result<Arc<Claimed>, Exit> {
        // A fresh tree goes on with what is refused.
        self.last_flush(Patience::USUAL, Instant::now() + self.config.session.shutdown_timeout()).await;
        let deadline = Instant::now() + self.config.session.claim_timeout();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            match self.rows.reread().await {
                Ok(fresh) => {
                    let unstored = self.journal.batch(usize::MAX).map_or_else(Vec::new, |batch| batch.records);
                    return Ok(Arc::new(fresh.after(&unstored)));
                }
                Err(error) if error.class() == FaultClass::Transient && Instant::now() < deadline => {
                    tokio::time::sleep(backoff.next_delay()).await
                }
                Err(error) => {
                    tracing::error!(error_code = error.code().as_str(), error = %chain(&error), entries = old.entries.len(), "cannot read the session again");
                    return Err(Exit::Failed);
                }
            }
        }
    }

    /// Whatever the writer could not store before it stopped; until `deadline`, and as long as there is
    /// something to win at once.
    async fn last_flush(&self, patience: Patience, deadline: Instant) {
        let storing = Storing {
            journal: self.journal.clone(),
            rows: self.rows.clone(),
            trace: self.trace.clone(),
            most: self.config.outbox.batch_records,
            patience,
        };
        let flush = async {
            if let Err(trouble) = storing.drain().await {
                let (records, bytes) = self.journal.backlog();
                tracing::error!(error_code = trouble.code().as_str(), error = %chain(&trouble), records, bytes, "the last flush failed; what was not acknowledged stays with the browser");
            }
        };
        if tokio::time::timeout_at(deadline, flush).await.is_err() {
            tracing::error!(
                error_code = ErrorCode::LastFlushTimedOut.as_str(),
                records = self.journal.backlog().0,
                "the last flush did not finish in time"
            );
        }
    }
}

impl Process {
    /// Whoever takes up, or holds the interview already, cannot know of a call that we could not write
    /// down: it ends with us, else the candidate talks on in it and nobody hears.
    async fn leave_calls(&self) {
        let unstored = self.journal.batch(usize::MAX).map_or_else(Vec::new, |batch| batch.records);
        for record in unstored {
            if let Record::Call { call, ending, .. } = record {
                for call in call.iter().chain(&ending) {
                    hang_up(&*self.outside.integrations.voice, call).await;
                }
            }
        }
    }
}

/// Tell the database that we live; hear whether the session is still ours and wanted.
async fn beat(rows: Rows, every: Duration, root: watch::Receiver<ActorRef<SessionMsg>>) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let message = match rows.heartbeat().await {
            Ok(Pulse { end_requested: Some(reason), .. }) => SessionMsg::Phase(Event::EndRequested(reason)),
            Ok(Pulse { end_requested: None, join_by: Some(join_by) }) => SessionMsg::JoinBy(join_by),
            Ok(Pulse { end_requested: None, join_by: None }) => continue,
            Err(StoreError::Fenced { .. }) => SessionMsg::Fenced,
            Err(error) => {
                tracing::debug!(error_code = error.code().as_str(), "heartbeat not stored");
                continue;
            }
        };
        let current = root.borrow().clone();
        let _ = current.cast(message);
    }
}
