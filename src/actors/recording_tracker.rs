//! RecordingTracker: what the recording provider has, and what the browser reports about it.
//!
//! `domain::recording` decides; this actor asks the provider and acts. Upload tokens are deleted when no more parts will come.
//! The actor does not wait for encoding: that takes minutes, and the machine should be gone by then.

use super::TaskGuard;
use super::journal::Journal;
use super::messages::{RecordingReport, RecordingTrackerMsg, Seen, SessionMsg};
use crate::backoff::Backoff;
use crate::domain::claimed::Recording;
use crate::domain::outbox_record::{Record, RecordingRecord, RecordingState};
use crate::domain::phase::Event;
use crate::domain::protocol::{ClientRecordingState, ServerEvent};
use crate::domain::recording::Takes;
use crate::error::chain;
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::ids::VideoId;
use crate::integrations::clients::Integrations;
use crate::ports::Rows;
use crate::telemetry::Trace;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

pub struct RecordingTracker;

pub struct RecordingTrackerArgs {
    pub journal: Journal,
    pub session: ActorRef<SessionMsg>,
    pub trace: Trace,
    pub integrations: Arc<Integrations>,
    pub store: Rows,
    pub recordings: Vec<Recording>,
    pub poll_interval: Duration,
    /// How long the browser is given for the takes before its newest one.
    pub patience: Duration,
}

pub struct RecordingTrackerState {
    args: RecordingTrackerArgs,
    takes: Takes,
    tokens: HashMap<VideoId, SecretString>,
    /// Reports of a take that the database was not asked about yet.
    early: Vec<RecordingReport>,
    settling: bool,
    poll: Option<TaskGuard>,
    search: Option<TaskGuard>,
    ticker: Option<TaskGuard>,
    patience: Option<TaskGuard>,
    cleanup: Option<TaskGuard>,
}

/// While the interview waits for the last part.
const SETTLING_POLL: Duration = Duration::from_millis(750);
/// A browser names one take; more unknown ones are somebody's game.
const MAX_EARLY_REPORTS: usize = 16;

impl Actor for RecordingTracker {
    type Msg = RecordingTrackerMsg;
    type State = RecordingTrackerState;
    type Arguments = RecordingTrackerArgs;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, mut args: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        let ticker = Some(tick(args.poll_interval, myself));
        let recordings = std::mem::take(&mut args.recordings);
        let mut state = RecordingTrackerState {
            args,
            takes: Takes::new(Vec::new()),
            tokens: HashMap::new(),
            early: Vec::new(),
            settling: false,
            poll: None,
            search: None,
            ticker,
            patience: None,
            cleanup: None,
        };
        state.learn(recordings);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RecordingTrackerMsg::Injected(fault) => fault.strike("recording_tracker").await,
            RecordingTrackerMsg::Reported(report) => {
                if let Err(report) = state.reported(report, &myself) {
                    state.ask_about(report, &myself);
                }
            }
            RecordingTrackerMsg::FindRecording => state.find(&myself),
            RecordingTrackerMsg::Found(None) => state.search = None,
            RecordingTrackerMsg::Found(Some(recordings)) => {
                state.search = None;
                if state.learn(recordings) {
                    let _ = state.args.session.cast(SessionMsg::RecordingsFound(state.takes.videos()));
                }
                for report in std::mem::take(&mut state.early) {
                    if state.reported(report, &myself).is_err() {
                        state.refuse();
                    }
                }
            }
            RecordingTrackerMsg::PollDue => state.poll(&myself),
            RecordingTrackerMsg::Polled { closed, seen } => {
                state.poll = None;
                for video in closed {
                    let change = state.takes.closed(&video);
                    state.store(change);
                }
                for Seen { video, state: known, parts } in seen {
                    let change = state.takes.seen(&video, known, parts);
                    state.store(change);
                }
                state.settle_if_done();
            }
            RecordingTrackerMsg::Settle { patient } => {
                state.settling = true;
                state.takes.settle(patient);
                state.ticker = Some(tick(SETTLING_POLL, myself.clone()));
                if patient {
                    let after = state.args.patience;
                    state.patience = Some(TaskGuard::spawn(async move {
                        tokio::time::sleep(after).await;
                        let _ = myself.cast(RecordingTrackerMsg::PatienceOver);
                    }));
                }
                state.settle_if_done();
            }
            RecordingTrackerMsg::PatienceOver => state.takes.lose_patience(),
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
    fn learn(&mut self, recordings: Vec<Recording>) -> bool {
        let mut known = Vec::with_capacity(recordings.len());
        for recording in recordings {
            if let Some(token) = recording.upload_token {
                self.tokens.insert(recording.take.video.clone(), token);
            }
            known.push(recording.take);
        }
        self.takes.learn(known)
    }

    /// Gives back a report of a take that we do not know.
    fn reported(&mut self, report: RecordingReport, myself: &ActorRef<RecordingTrackerMsg>) -> Result<(), RecordingReport> {
        let Ok(change) = self.takes.reported(report.video.as_ref(), report.state, report.part, report.mime_type.clone()) else {
            return Err(report);
        };
        self.store(change);
        if report.state == ClientRecordingState::Finished {
            self.poll(myself);
        }
        self.settle_if_done();
        Ok(())
    }

    /// The gateway may have made it since we looked.
    fn ask_about(&mut self, report: RecordingReport, myself: &ActorRef<RecordingTrackerMsg>) {
        if self.early.len() >= MAX_EARLY_REPORTS {
            return self.refuse();
        }
        self.early.push(report);
        self.find(myself);
    }

    fn refuse(&self) {
        let code = ErrorCode::RecordingUnknown;
        tracing::info!(error_code = code.as_str(), "the browser reported a recording that is not this interview's");
        self.args.journal.tell(ServerEvent::Error {
            code,
            message: "this interview has no such recording".to_owned(),
            retryable: false,
            request_type: Some("recording_state"),
            seq: None,
            id: None,
        });
    }

    fn store(&self, change: Option<RecordingRecord>) {
        if let Some(change) = change {
            self.args.journal.record(Record::Recording(change));
        }
    }

    fn settle_if_done(&mut self) {
        if self.settling && self.takes.is_settled() {
            self.settling = false;
            self.ticker = None;
            self.patience = None;
            self.delete_tokens();
            let _ = self.args.session.cast(SessionMsg::Phase(Event::RecordingSettled));
        }
    }

    fn delete_tokens(&mut self) {
        let tokens: Vec<SecretString> = self.tokens.drain().map(|(_, token)| token).collect();
        let integrations = self.args.integrations.clone();
        let span = self.args.trace.adopt(tracing::info_span!("recording_tracker.delete_upload_token"));
        self.cleanup = Some(TaskGuard::spawn(
            async move {
                for token in tokens {
                    if let Err(error) = integrations.video.delete_upload_token(&token).await {
                        tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "upload token was not deleted; it expires by itself");
                    }
                }
            }
            .instrument(span),
        ));
    }

    /// A page that comes (back) may have got a new take from the gateway.
    fn find(&mut self, myself: &ActorRef<RecordingTrackerMsg>) {
        if self.search.is_some() {
            return;
        }
        let (store, target) = (self.args.store.clone(), myself.clone());
        // The gateway makes the first take while our machine boots; later ones are there before the page is.
        let first = self.takes.is_empty();
        self.search = Some(TaskGuard::spawn(async move {
            let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
            let mut found = None;
            for _ in 0..10 {
                match store.recordings().await {
                    Ok(recordings) => {
                        let any = !recordings.is_empty();
                        found = Some(recordings);
                        if any || !first {
                            break;
                        }
                    }
                    Err(error) => tracing::debug!(error_code = error.code().as_str(), "recordings not read"),
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
            let _ = target.cast(RecordingTrackerMsg::Found(found));
        }));
    }

    /// One round of questions at a time; an answer that never comes is cut by the client's deadline.
    fn poll(&mut self, myself: &ActorRef<RecordingTrackerMsg>) {
        let (ask, close) = (self.takes.to_ask(), self.takes.to_close());
        if self.poll.is_some() || ask.is_empty() {
            return;
        }
        let (integrations, target) = (self.args.integrations.clone(), myself.clone());
        let span = self.args.trace.adopt(tracing::info_span!("recording_tracker.poll", error_code = tracing::field::Empty));
        self.poll = Some(TaskGuard::spawn(
            async move {
                let mut closed = Vec::with_capacity(close.len());
                for (video, part) in close {
                    match integrations.video.close_upload(&video, part).await {
                        Ok(()) => {
                            tracing::info!(%video, part, "an interrupted take was closed with what had arrived");
                            closed.push(video);
                        }
                        Err(error) => complain(&error, "an interrupted take could not be closed"),
                    }
                }
                let mut seen = Vec::with_capacity(ask.len());
                for video in ask {
                    match integrations.video.status(&video).await {
                        Ok(status) => {
                            let state = if status.playable() {
                                RecordingState::Playable
                            } else if status.uploaded() {
                                RecordingState::Uploaded
                            } else {
                                RecordingState::Recording
                            };
                            seen.push(Seen { video, state, parts: i32::try_from(status.parts()).unwrap_or(i32::MAX) });
                        }
                        Err(error) => complain(&error, "recording status is not to be had"),
                    }
                }
                let _ = target.cast(RecordingTrackerMsg::Polled { closed, seen });
            }
            .instrument(span),
        ));
    }
}

/// The next round asks again; only what will not change by itself is worth a sideband.
fn complain(error: &crate::integrations::call_error::CallError, what: &'static str) {
    tracing::Span::current().record("error_code", error.code().as_str());
    if error.class() != FaultClass::Transient {
        tracing::warn!(error_code = error.code().as_str(), error = %chain(error), "{what}");
    }
}
