//! Session: the root of one interview's tree.
//!
//! `domain::phase` decides; this actor performs. It owns every child, follows [`super::tree::TREE`] when one ends, and never
//! waits for the outside: a child or a timer does everything that takes time.

use super::budget::Budget;
use super::control_channel::{ControlChannel, ControlChannelArgs};
use super::journal::{Journal, OUTGOING_QUEUE, Receipt};
use super::messages::{
    Attached, ControlChannelMsg, RecordingReport, RecordingTrackerMsg, SessionMsg, SignalingSocketMsg, Snapshot, SummarizerMsg,
    TranscriptWriterMsg,
};
use super::recording_tracker::{RecordingTracker, RecordingTrackerArgs};
use super::signaling_socket::{SignalingSocket, SignalingSocketArgs};
use super::summarizer::{Summarizer, SummarizerArgs, SummaryWork, Tries};
use super::transcript_writer::{TranscriptWriter, TranscriptWriterArgs};
use super::tree::{Child, Exhausted, Start, Supervision, TREE, Verdict};
use super::{Injected, TaskGuard};
use crate::backoff::Backoff;
use crate::domain::claimed::Claimed;
use crate::domain::edge::Timestamp;
use crate::domain::invitation;
use crate::domain::outbox_record::{Record, SummaryRecord};
use crate::domain::phase::{Effect, EndReason, Event, Interview, Phase, Resumed, Said, Timer};
use crate::domain::protocol::{
    ConsentKind, FrameLimits, MAX_ENTRIES, MAX_FRAME_BYTES, MediaState, Microphone, RenegotiateReason, ServerEvent, SessionReady,
    Subsystem, SummaryState, close,
};
use crate::domain::replies::Purpose;
use crate::domain::restart::Ended;
use crate::domain::seat::Seat;
use crate::domain::transcript::Cause;
use crate::domain::typed;
use crate::domain::voice::Speaker;
use crate::error::ErrorCode;
use crate::ids::{CallId, ConnectionId, SessionId, VideoId};
use crate::integrations::clients::Integrations;
use crate::ports::Rows;
use crate::telemetry::Trace;
use opentelemetry::Context;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

mod browser;
mod call;
mod children;
mod timers;

pub struct Session;

/// Of the time a process has to stop in, what its tree may take; the rest is for what is not
/// stored by then.
pub const TREE_SHARE: f64 = 0.6;

/// Offers at once, and how often one more. A page that reloads, or whose network changes, needs far fewer.
const OFFERS: u32 = 12;
const OFFER_EVERY: Duration = Duration::from_secs(15);

/// A control channel that did not stay alive is started again after this, and after longer each time.
const CONTROL_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// How the tree ended, as the process reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeEnd {
    /// Everything is stored; the machine may go.
    Finished(Phase),
    /// Told to stop before the end; someone will take the interview up again.
    Interrupted,
    /// Another process has taken the interview.
    Fenced,
    /// A child that the interview cannot do without does not stay alive.
    Exhausted(&'static str),
}

/// Everything an interview's tree needs from its process.
pub struct SessionArgs {
    pub session: SessionId,
    pub claimed: Arc<Claimed>,
    pub journal: Journal,
    pub store: Rows,
    pub integrations: Arc<Integrations>,
    pub config: Arc<crate::config::Config>,
    pub trace: Trace,
    pub ended: oneshot::Sender<TreeEnd>,
}

/// The current connection.
struct Socket {
    connection: ConnectionId,
    seat: Seat,
    /// Where its listener is announced.
    listener: watch::Sender<Option<ActorRef<SignalingSocketMsg>>>,
}

pub struct SessionState {
    session: SessionId,
    claimed: Arc<Claimed>,
    journal: Journal,
    store: Rows,
    integrations: Arc<Integrations>,
    config: Arc<crate::config::Config>,
    trace: Trace,
    ended: Option<oneshot::Sender<TreeEnd>>,
    interview: Interview,
    supervision: Supervision,
    control: Option<ActorRef<ControlChannelMsg>>,
    control_again: Backoff,
    recording: Option<ActorRef<RecordingTrackerMsg>>,
    writer: Option<ActorRef<TranscriptWriterMsg>>,
    socket: Option<Socket>,
    consents: Vec<ConsentKind>,
    offer: Option<(String, Context)>,
    microphone: Microphone,
    /// How many offers the browser may still bring, and since when it gains no more.
    offers: Budget,
    /// We have asked for the offer that comes next, as the provider's time for the call is nearly over.
    rolling_over: bool,
    call: Option<CallId>,
    /// Calls whose end is under way: none is forgotten before the provider has confirmed it.
    hanging_up: Vec<CallId>,
    /// The interview is over but for them.
    finishing: bool,
    videos: Vec<VideoId>,
    /// The receipt that tells that everything is stored.
    awaited: u64,
    segment: i32,
    /// Until when it is kept while nobody has begun it.
    join_by: Option<Timestamp>,
    /// The candidate was here, if only to begin.
    visited: bool,
    /// When the agreed time is over; known once the interview is live.
    time_limit: Option<Instant>,
    timers: HashMap<Timer, (u64, TaskGuard)>,
    armed: u64,
    ticker: Option<TaskGuard>,
}

impl Actor for Session {
    type Msg = SessionMsg;
    type State = SessionState;
    type Arguments = SessionArgs;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, args: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        let claimed = args.claimed.clone();
        // A chapter that has begun goes on in its call. Another, of which nobody knows how far it came,
        // begins anew: there somebody may wait for first words.
        let begun = args.journal.entries().iter().any(|entry| entry.segment == claimed.segment && entry.speaker == Speaker::Ai);
        let mut state = SessionState {
            session: args.session,
            interview: Interview::new(Resumed {
                phase: claimed.phase,
                end: claimed.end,
                greeted: claimed.greeted,
                in_call: begun && claimed.call.is_some(),
            }),
            consents: claimed.given_consents.clone(),
            call: claimed.call.clone(),
            hanging_up: claimed.ending_calls.clone(),
            finishing: false,
            videos: claimed.recordings.iter().map(|recording| recording.take.video.clone()).collect(),
            awaited: 0,
            segment: claimed.segment,
            join_by: claimed.join_by,
            visited: false,
            claimed,
            journal: args.journal,
            store: args.store,
            integrations: args.integrations,
            config: args.config,
            trace: args.trace,
            ended: Some(args.ended),
            supervision: Supervision::default(),
            control: None,
            control_again: Backoff::new(CONTROL_AGAIN.0, CONTROL_AGAIN.1),
            recording: None,
            writer: None,
            socket: None,
            offer: None,
            microphone: Microphone::default(),
            offers: Budget::new(OFFERS, OFFER_EVERY),
            rolling_over: false,
            time_limit: None,
            timers: HashMap::new(),
            armed: 0,
            ticker: None,
        };
        let stray = state.call.take_if(|_| !state.interview.in_call());
        for row in TREE.iter().filter(|row| row.start == Start::WithTree) {
            state.spawn(row.child, &myself).await?;
        }
        // A call that an earlier process left behind and that has no ears is ended.
        if let (Some(call), Some(control)) = (stray, &state.control) {
            state.hanging_up.push(call.clone());
            control.cast(ControlChannelMsg::HangUpStray(call))?;
        }
        state.decide(Event::Started, &myself).await;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SessionMsg::Attach { seat, reply } => state.attach(seat, reply, &myself).await,
            SessionMsg::Detached { connection } => state.detach(connection, &myself).await,
            SessionMsg::Offered { sdp, cause } => state.offered(sdp, cause, &myself).await,
            SessionMsg::ConsentsStored(kinds) => {
                state.consents.extend(kinds);
                state.consents.sort_unstable();
                state.consents.dedup();
            }
            SessionMsg::MediaReported(MediaState::Connected) => state.decide(Event::MediaConnected, &myself).await,
            SessionMsg::MediaReported(MediaState::Failed) => state.decide(Event::MediaLost, &myself).await,
            // The browser's own ICE may still recover.
            SessionMsg::MediaReported(MediaState::Connecting | MediaState::Disconnected) => {}
            SessionMsg::MicrophoneReported(microphone) => state.microphone_reported(microphone),
            SessionMsg::Think => state.to_control(ControlChannelMsg::Think),
            SessionMsg::GoOn => state.to_control(ControlChannelMsg::GoOn),
            SessionMsg::RecordingReported(report) => state.recording_reported(report),
            SessionMsg::RecordingsFound(videos) => state.videos = videos,
            SessionMsg::RecordingUrlClaimed { url } => state.check_recording_url(&url),
            SessionMsg::Phase(event) => state.decide(event, &myself).await,
            SessionMsg::CallOpened { call, answer } => state.call_opened(call, answer, &myself).await,
            SessionMsg::CallFailed { code, fatal } => state.call_failed(code, fatal, &myself).await,
            SessionMsg::InterviewerFailed { code } => state.interviewer_failed(code, &myself).await,
            SessionMsg::RenewCall => state.renew_call(&myself).await,
            SessionMsg::CallGone => {
                state.end_gone_call();
                state.call_over();
                state.decide(Event::CallGone, &myself).await;
            }
            SessionMsg::HungUp { call, ended } => state.hung_up(&call, ended, &myself).await,
            SessionMsg::ControlReady { expires_in } => {
                state.control_again.reset();
                if let Some(expires_in) = expires_in {
                    let before = Duration::from_secs(state.config.openai.roll_over_before_s);
                    state.arm(Timer::RollOver, timers::roll_over_in(expires_in, before), &myself);
                }
                state.decide(Event::ControlReady, &myself).await;
            }
            SessionMsg::JoinBy(at) => state.keep_until(at, &myself).await,
            SessionMsg::AllStored(number) => {
                // Any other was awaited by a tree before this one.
                if number == state.awaited {
                    state.decide(Event::AllStored, &myself).await;
                }
            }
            SessionMsg::Fenced => state.end_tree(TreeEnd::Fenced, &myself).await,
            SessionMsg::Summarized(summary) => {
                // One that was dismissed meanwhile is not heard any more.
                if state.dismiss_summarizer() {
                    state.summarized(*summary);
                }
            }
            SessionMsg::SummaryStored(summary) => state.summary_stored(summary, &myself).await,
            SessionMsg::TimerDue { timer, armed } => {
                if state.timers.get(&timer).is_some_and(|(current, _)| *current == armed) {
                    state.timers.remove(&timer);
                    state.decide(Event::Due(timer), &myself).await;
                }
            }
            SessionMsg::TimeLeftDue => state.journal.tell(ServerEvent::TimeLeft { seconds: state.time_left_s() }),
            SessionMsg::RestartDue(child) => state.restart(child, &myself).await,
            SessionMsg::Shutdown => state.end_tree(TreeEnd::Interrupted, &myself).await,
            SessionMsg::GetSnapshot { reply } => {
                let _ = reply.send(state.snapshot());
            }
            SessionMsg::Crash => panic!("injected fault in session"),
            SessionMsg::Inject(child, fault) => state.inject(child, fault),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (id, ended, reason) = match &event {
            SupervisionEvent::ActorFailed(cell, error) => (cell.get_id(), Ended::Abnormally, error.to_string()),
            // A killed actor is reported as terminated, with this reason.
            SupervisionEvent::ActorTerminated(cell, _, Some(reason)) if reason == "killed" => {
                (cell.get_id(), Ended::Abnormally, reason.clone())
            }
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell.get_id(), Ended::Normally, reason.clone().unwrap_or_default())
            }
            _ => return Ok(()),
        };
        if let Some((child, verdict)) = state.supervision.ended(id, ended) {
            if ended == Ended::Abnormally {
                let span = state.trace.adopt(tracing::info_span!(
                    "session.child_failed",
                    actor = child.name(),
                    otel.status_code = "error"
                ));
                span.in_scope(|| {
                    tracing::error!(error_code = ErrorCode::ActorCrashed.as_str(), actor = child.name(), reason, "child failed")
                });
            }
            if child == Child::ControlChannel {
                // Until it is back nothing is asked of it that would be lost.
                state.control = None;
                state.journal.sideband_lost();
                // The sideband into one that was replaced is gone with it.
                state.journal.give_up_earlier_calls(Cause::Ours);
                state.decide(Event::ControlLost, &myself).await;
            }
            state.follow(child, verdict, &myself).await;
            // What it was opening nobody opens any more; the browser may ask again.
            if child == Child::ControlChannel && state.interview.awaits_call() {
                state.call_failed(ErrorCode::ActorCrashed, false, &myself).await;
            }
        }
        Ok(())
    }
}

impl SessionState {
    // ---- deciding and performing ----

    async fn decide(&mut self, event: Event, myself: &ActorRef<SessionMsg>) {
        let before = self.interview.greeted();
        let name = format!("{event:?}");
        self.interview.set_said(Said {
            anything: self.journal.spoken() > 0,
            by_interviewer: self.journal.has_spoken(Speaker::Ai),
            to_judge: self.journal.can_be_judged(),
        });
        let effects = self.interview.on(event);
        tracing::debug!(event = name, ?effects, phase = self.interview.phase().as_str(), "decided");
        if self.interview.greeted() && !before {
            self.journal.record(Record::Greeted);
        }
        for effect in effects {
            self.perform(effect, myself).await;
        }
    }

    async fn perform(&mut self, effect: Effect, myself: &ActorRef<SessionMsg>) {
        match effect {
            Effect::SavePhase(phase) => self.save_phase(phase, myself),
            Effect::OpenCall => self.open_call(myself).await,
            Effect::RefuseOffer => self.refuse_offer(),
            Effect::AskOpening => self.to_control(ControlChannelMsg::Ask(Purpose::Opening)),
            Effect::ContinueThread => self.to_control(ControlChannelMsg::Ask(Purpose::Thread)),
            Effect::AskForOffer { rollover } => {
                self.rolling_over = rollover;
                let reason = if rollover { RenegotiateReason::Rollover } else { RenegotiateReason::Lost };
                self.journal.tell(ServerEvent::MediaRenegotiate { reason });
            }
            Effect::LetLastWordsOut { goodbye } => {
                self.to_control(ControlChannelMsg::LetLastWordsOut { goodbye: goodbye.map(EndReason::as_str) });
            }
            Effect::AwaitWords => self.to_control(ControlChannelMsg::AwaitWords),
            Effect::HangUp => self.hang_up(myself).await,
            Effect::CloseTranscript => {
                self.journal.close_transcript();
            }
            Effect::SettleRecording => {
                if let Some(recording) = &self.recording {
                    let _ = recording.cast(RecordingTrackerMsg::Settle { patient: self.interview.connected() });
                }
            }
            Effect::SealTranscript => self.journal.seal(),
            Effect::AwaitStored => self.awaited = self.journal.when_all_stored(),
            Effect::TellEnded => self.tell_ended(SummaryState::Pending),
            Effect::StartSummary => {
                if let Err(error) = self.spawn(Child::Summarizer, myself).await {
                    tracing::error!(error_code = ErrorCode::ActorStartFailed.as_str(), actor = "summarizer", %error, "child did not start");
                }
            }
            Effect::Finish => {
                self.finishing = true;
                self.finish(myself).await;
            }
            Effect::Arm(Timer::TimeLimit) => self.arm_time_limit(myself),
            Effect::Arm(Timer::Grace) => {
                let grace = self.length_of(Timer::Grace);
                self.journal.record(Record::ReturnBy(self.return_by(grace)));
                self.arm(Timer::Grace, grace, myself);
            }
            Effect::Arm(timer) => self.arm(timer, self.length_of(timer), myself),
            Effect::Disarm(timer) => {
                self.timers.remove(&timer);
            }
        }
    }

    fn save_phase(&mut self, phase: Phase, myself: &ActorRef<SessionMsg>) {
        let end = self.interview.end();
        tracing::info!(phase = phase.as_str(), reason = end.map(EndReason::as_str), "phase changed");
        if phase.is_terminal() {
            // The sideband is closed with the process; nobody will be there to say so.
            self.journal.record(Record::Connected(false));
        }
        self.journal.record(Record::Phase { phase, end, at: self.integrations.clock.now().into() });
        self.journal.tell(ServerEvent::PhaseChanged { phase, reason: end });
        if phase == Phase::Live {
            let target = myself.clone();
            self.ticker = Some(TaskGuard::spawn(async move {
                let mut ticks = tokio::time::interval(Duration::from_secs(15));
                loop {
                    ticks.tick().await;
                    if target.cast(SessionMsg::TimeLeftDue).is_err() {
                        return;
                    }
                }
            }));
        } else if !phase.is_open() {
            self.ticker = None;
        }
    }

    fn tell_ended(&self, summary: SummaryState) {
        if let Some(reason) = self.interview.end() {
            self.journal.tell(ServerEvent::SessionEnded { reason, transcript_entries: self.journal.spoken(), summary });
        }
    }

    fn summarized(&mut self, summary: SummaryRecord) {
        let state = if summary.outcome.is_ok() { SummaryState::Stored } else { SummaryState::Failed };
        self.journal.record(Record::Summary(summary));
        self.journal.when_stored(Receipt::Summary(state));
    }

    /// Told, and gone on from, when it is so. A tree before this one may have waited for it as well.
    async fn summary_stored(&mut self, summary: SummaryState, myself: &ActorRef<SessionMsg>) {
        self.dismiss_summarizer();
        self.tell_ended(summary);
        self.decide(Event::SummaryFinished, myself).await;
    }

    /// False: there was none.
    fn dismiss_summarizer(&mut self) -> bool {
        self.supervision.forget(Child::Summarizer).inspect(|summarizer| summarizer.stop(None)).is_some()
    }
}
