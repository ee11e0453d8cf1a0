//! RecordingTracker: what the recording provider has, and what the browser says of it.
//!
//! The provider's status is the truth; the browser's reports make it visible sooner. The
//! upload token is deleted when nothing more is to come. Encoding is not waited for: it is
//! minutes of work for a machine that should be gone.

use super::TaskGuard;
use super::journal::Journal;
use super::session::SessionMsg;
use super::signaling_socket::RecordingReport;
use crate::backoff::Backoff;
use crate::domain::protocol::ClientRecordingState;
use crate::domain::record::{Record, RecordingRecord, RecordingState};
use crate::error::chain;
use crate::error::{Fault, FaultClass};
use crate::integrations::clients::Integrations;
use crate::integrations::outside::Rows;
use crate::integrations::store::session::Recording;
use crate::telemetry::Trace;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

pub struct RecordingTracker;

#[derive(Debug)]
pub enum RecordingTrackerMsg {
    Reported(RecordingReport),
    /// The candidate is here: whatever the gateway got from the provider is in the database now.
    FindRecording,
    Found(Recording),
    PollDue,
    Polled {
        state: RecordingState,
        parts: i32,
    },
    /// The interview is over: settle soon.
    Settle,
    /// Crash on purpose (sandbox only).
    Panic,
}

pub struct RecordingTrackerArgs {
    pub journal: Journal,
    pub session: ActorRef<SessionMsg>,
    pub trace: Trace,
    pub integrations: Arc<Integrations>,
    pub store: Rows,
    pub recording: Option<Recording>,
    pub poll_interval: Duration,
}

pub struct RecordingTrackerState {
    args: RecordingTrackerArgs,
    state: RecordingState,
    parts: i32,
    settling: bool,
    poll: Option<TaskGuard>,
    search: Option<TaskGuard>,
    ticker: Option<TaskGuard>,
}

/// While the interview waits for the last part.
const SETTLING_POLL: Duration = Duration::from_millis(750);

impl Actor for RecordingTracker {
    type Msg = RecordingTrackerMsg;
    type State = RecordingTrackerState;
    type Arguments = RecordingTrackerArgs;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, args: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        let ticker = args.recording.is_some().then(|| tick(args.poll_interval, myself));
        Ok(RecordingTrackerState {
            args,
            state: RecordingState::Waiting,
            parts: 0,
            settling: false,
            poll: None,
            search: None,
            ticker,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RecordingTrackerMsg::Panic => panic!("injected fault"),
            RecordingTrackerMsg::Reported(report) => {
                let parts = report.part.map_or(state.parts, |part| part.min(10_000) as i32).max(state.parts);
                match report.state {
                    ClientRecordingState::Recording | ClientRecordingState::PartStored => {
                        state.advance(RecordingState::Recording, parts)
                    }
                    ClientRecordingState::Failed => state.advance(RecordingState::Failed, parts),
                    // Believed once the provider says so too.
                    ClientRecordingState::Finished => {
                        state.advance(RecordingState::Recording, parts);
                        state.poll(&myself);
                    }
                }
            }
            RecordingTrackerMsg::FindRecording => state.find(&myself),
            RecordingTrackerMsg::Found(recording) => {
                state.search = None;
                let _ = state.args.session.cast(SessionMsg::RecordingFound(recording.video.clone()));
                state.args.recording = Some(recording);
                state.ticker = Some(tick(state.args.poll_interval, myself));
            }
            RecordingTrackerMsg::PollDue => state.poll(&myself),
            RecordingTrackerMsg::Polled { state: known, parts } => {
                state.poll = None;
                state.advance(known, parts.max(state.parts));
            }
            RecordingTrackerMsg::Settle => {
                state.settling = true;
                if state.args.recording.is_none() || state.state == RecordingState::Waiting && state.parts == 0 {
                    // Nothing was ever recorded: the provider has nothing to wait for.
                    state.settled();
                } else {
                    state.ticker = Some(tick(SETTLING_POLL, myself));
                    state.settle_if_done();
                }
            }
        }
        Ok(())
    }
}

fn tick(every: Duration, target: ActorRef<RecordingTrackerMsg>) -> TaskGuard {
    TaskGuard::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if target.cast(RecordingTrackerMsg::PollDue).is_err() {
                return;
            }
        }
    })
}

impl RecordingTrackerState {
    /// Forward only: a late report of a part does not undo an upload.
    fn advance(&mut self, to: RecordingState, parts: i32) {
        let rank = |state: RecordingState| match state {
            RecordingState::Waiting => 0,
            RecordingState::Recording => 1,
            RecordingState::Failed | RecordingState::Declined => 2,
            RecordingState::Uploaded => 3,
            RecordingState::Playable => 4,
        };
        let to = if rank(to) > rank(self.state) { to } else { self.state };
        if to != self.state || parts != self.parts {
            self.state = to;
            self.parts = parts;
            self.args.journal.record(Record::Recording(RecordingRecord { state: to, parts, failure: None }));
        }
        self.settle_if_done();
    }

    fn settle_if_done(&mut self) {
        if self.settling && self.state.is_settled() {
            self.settled();
        }
    }

    fn settled(&mut self) {
        self.settling = false;
        self.ticker = None;
        if let Some(token) = self.args.recording.as_mut().and_then(|recording| recording.upload_token.take()) {
            let (integrations, trace) = (self.args.integrations.clone(), self.args.trace.clone());
            let span = trace.adopt(tracing::info_span!("recording_tracker.delete_upload_token"));
            self.poll = Some(TaskGuard::spawn(
                async move {
                    if let Err(error) = integrations.video.delete_upload_token(&token).await {
                        tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "upload token was not deleted; it expires by itself");
                    }
                }
                .instrument(span),
            ));
        }
        let _ = self.args.session.cast(SessionMsg::RecordingSettled);
    }

    fn find(&mut self, myself: &ActorRef<RecordingTrackerMsg>) {
        if self.args.recording.is_some() || self.search.is_some() {
            return;
        }
        let (store, target) = (self.args.store.clone(), myself.clone());
        self.search = Some(TaskGuard::spawn(async move {
            let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
            for _ in 0..10 {
                match store.recording().await {
                    Ok(Some(recording)) => return drop(target.cast(RecordingTrackerMsg::Found(recording))),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(error_code = error.code().as_str(), "recording not read"),
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }));
    }

    /// One question at a time; an answer that never comes is cut by the client's deadline.
    fn poll(&mut self, myself: &ActorRef<RecordingTrackerMsg>) {
        let Some(video) = self.args.recording.as_ref().map(|recording| recording.video.clone()) else { return };
        if self.poll.is_some() || (self.state == RecordingState::Waiting && !self.settling) {
            return;
        }
        let (integrations, target, parts) = (self.args.integrations.clone(), myself.clone(), self.parts);
        let known = self.state;
        let span = self.args.trace.adopt(tracing::info_span!("recording_tracker.poll", error_code = tracing::field::Empty));
        self.poll = Some(TaskGuard::spawn(
            async move {
                let (state, parts) = match integrations.video.status(&video).await {
                    Ok(status) => {
                        let state = if status.playable() {
                            RecordingState::Playable
                        } else if status.uploaded() {
                            RecordingState::Uploaded
                        } else {
                            known
                        };
                        (state, status.parts() as i32)
                    }
                    Err(error) => {
                        tracing::Span::current().record("error_code", error.code().as_str());
                        if error.class() != FaultClass::Transient {
                            tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "recording status is not to be had");
                        }
                        (known, parts)
                    }
                };
                let _ = target.cast(RecordingTrackerMsg::Polled { state, parts });
            }
            .instrument(span),
        ));
    }
}
