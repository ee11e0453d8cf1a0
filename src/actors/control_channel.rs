//! ControlChannel: our own connection into the call.
//!
//! It opens the call with the browser's offer and joins it on a second connection (the sideband). From then on it hears
//! everything that is said and instructs the model. The answer goes back to the browser before the sideband has joined,
//! because the media come first.

use super::TaskGuard;
use super::journal::Journal;
use super::messages::{CallRefused, ControlChannelMsg, SessionMsg, SidebandState};
use crate::backoff::Backoff;
use crate::config::Config;
use crate::domain::call_guard::{CallGuard, Intrusion};
use crate::domain::call_setup::CallSetup;
use crate::domain::claimed::Claimed;
use crate::domain::conduct::{Conduct, Input as Conducted};
use crate::domain::deaf_sideband::{Change, DeafSideband};
use crate::domain::edge::Label;
use crate::domain::phase::{EndReason, Event};
use crate::domain::protocol::{Microphone, Subsystem};
use crate::domain::replies::{Input, Moment, Purpose, Replies, Rules};
use crate::domain::transcript::{Cause, Entry};
use crate::domain::usage::Meter;
use crate::domain::voice::{Speaker, VoiceEvent};
use crate::error::chain;
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::ids::{CallId, ItemId};
use crate::integrations::clients::Integrations;
use crate::integrations::openai::events::{ClientEvent, ServerEvent};
use crate::integrations::openai::session_config::SessionConfig;
use crate::integrations::openai::session_echo::as_update;
use crate::integrations::openai::sideband::{ClosedMeaning, ConnectSidebandError, Inbound, SidebandError};
use crate::integrations::openai::voice::translate;
use crate::ports::{self, VoiceProvider};
use crate::telemetry::Trace;
use opentelemetry::Context;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::Instrument;

mod calls;
mod conducting;
mod configuration;
mod conversation;
mod instructions;
mod intrusions;
mod sideband;
mod typed;

pub use calls::hang_up;
use calls::open_call;
use sideband::SidebandTask;

pub struct ControlChannel;

pub struct ControlChannelArgs {
    pub journal: Journal,
    pub session: ActorRef<SessionMsg>,
    pub trace: Trace,
    pub integrations: Arc<Integrations>,
    pub claimed: Arc<Claimed>,
    pub config: Arc<Config>,
    /// A call that lives already: this actor was restarted in the middle of it.
    pub attach: Option<CallId>,
    pub microphone: Microphone,
}

const WAITING_COMMANDS: usize = 64;
const MOST_CONFIGURATIONS: usize = 8;
const OPEN_TRIES: u32 = 3;
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A fresh call may not be known yet where the sideband asks for it.
const FRESH_CALL: Duration = Duration::from_secs(10);
/// Words of a call that was replaced are waited for so long.
const LATE_WORDS: Duration = Duration::from_secs(5);

struct Joined {
    call: CallId,
    generation: u64,
    commands: mpsc::Sender<ClientEvent>,
    ready: bool,
    /// What the call is told of the chapters before it.
    history: Vec<Entry>,
    /// What the candidate typed and is on its way on this sideband.
    typed: Vec<ItemId>,
    _sideband: TaskGuard,
}

pub struct ControlChannelState {
    args: ControlChannelArgs,
    myself: ActorRef<ControlChannelMsg>,
    joined: Option<Joined>,
    opening: Option<Opening>,
    /// The call that was replaced, heard on for the words that are still on their way.
    fading: Option<Fading>,
    hang_ups: Vec<tokio::task::JoinHandle<()>>,
    generation: u64,
    sent: u64,
    /// Decides about the interviewer's replies; its time begins with us.
    conversation: Replies,
    begun: Instant,
    alarm: Option<(Moment, TaskGuard)>,
    /// Leads through the interview's plan, if it has one; its time begins with the interview.
    conduct: Option<Conduct>,
    conduct_alarm: Option<(Moment, TaskGuard)>,
    /// As it was told last.
    questions_left: Option<bool>,
    /// How the call is configured, and what each sideband begins with.
    setup: CallSetup,
    update: watch::Sender<SessionConfig>,
    /// Updates of ours that may still be refused or told, the latest last.
    configurations: Vec<(String, SessionConfig)>,
    awaiting_words: bool,
    deaf_sideband: DeafSideband,
    /// What the calls cost.
    meter: Meter,
    guard: CallGuard,
    /// What somebody else did in this call.
    intrusions: u32,
    /// Calls that were replaced because of it.
    replaced: u32,
}

struct Opening {
    segment: i32,
    replaces: Option<CallId>,
    gap: Cause,
    _task: TaskGuard,
}

struct Fading {
    call: CallId,
    sideband: Joined,
    _timer: TaskGuard,
}

impl Actor for ControlChannel {
    type Msg = ControlChannelMsg;
    type State = ControlChannelState;
    type Arguments = ControlChannelArgs;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, args: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        let attach = args.attach.clone();
        // No two interviews pause alike.
        let seed = args.claimed.candidate.0.as_u64_pair().1 ^ u64::from(args.claimed.segment.unsigned_abs());
        let conversation = Replies::new(rules(&args), seed);
        let conduct = conducting::conduct(&args);
        let mut state = ControlChannelState {
            args,
            joined: None,
            opening: None,
            fading: None,
            hang_ups: Vec::new(),
            generation: 0,
            sent: 0,
            conversation,
            begun: Instant::now(),
            alarm: None,
            conduct,
            conduct_alarm: None,
            questions_left: None,
            setup: CallSetup::default(),
            update: watch::Sender::new(SessionConfig::default()),
            configurations: Vec::new(),
            myself: myself.clone(),
            awaiting_words: false,
            deaf_sideband: DeafSideband::default(),
            meter: Meter::default(),
            guard: CallGuard::default(),
            intrusions: 0,
            replaced: 0,
        };
        if let Some(call) = attach {
            state.attach(call);
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ControlChannelMsg::Injected(fault) => fault.strike("control_channel").await,
            ControlChannelMsg::Open { sdp, segment, replaces, gap, cause } => {
                let task = state.open(sdp, &cause, &myself);
                state.opening = Some(Opening { segment, replaces, gap, _task: task });
            }
            ControlChannelMsg::Opened(Ok((call, answer))) => state.opened(call, answer, &myself),
            ControlChannelMsg::FadeOver => state.end_fade(),
            ControlChannelMsg::Opened(Err(CallRefused { code, fatal })) => {
                state.opening = None;
                state.tell(SessionMsg::CallFailed { code, fatal });
            }
            ControlChannelMsg::Heard { generation, event, permit } => {
                if state.joined.as_ref().is_some_and(|joined| joined.generation == generation) {
                    state.heard(&event);
                } else if state.fading.as_ref().is_some_and(|fading| fading.sideband.generation == generation) {
                    state.heard_late(&event);
                }
                drop(permit);
            }
            ControlChannelMsg::Sent { generation, what, command } => {
                if state.joined.as_ref().is_some_and(|joined| joined.generation == generation) {
                    state.guard.sent(what, &command, state.begun.elapsed());
                }
            }
            ControlChannelMsg::Sideband { generation, state: change } => {
                if state.joined.as_ref().is_some_and(|joined| joined.generation == generation) {
                    state.sideband_changed(change);
                } else if state.fading.as_ref().is_some_and(|fading| fading.sideband.generation == generation) {
                    state.fading_sideband_changed(change);
                }
            }
            ControlChannelMsg::Ask(purpose) => state.decide(Input::Want(purpose)),
            ControlChannelMsg::LetLastWordsOut { goodbye } => {
                state.conduct(Conducted::Ended);
                state.decide(Input::End { goodbye });
            }
            ControlChannelMsg::ConductDue => {
                state.conduct_alarm = None;
                state.conduct(Conducted::Tick);
            }
            ControlChannelMsg::Microphone(microphone) => {
                state.args.microphone = microphone;
                state.instruct();
            }
            ControlChannelMsg::TypedWaits => state.put_typed_in(),
            ControlChannelMsg::Think => state.conduct(Conducted::ThinkAsked),
            ControlChannelMsg::GoOn => state.conduct(Conducted::Resumed),
            ControlChannelMsg::RepliesDue => {
                state.alarm = None;
                state.decide(Input::Tick);
            }
            ControlChannelMsg::AwaitWords => {
                state.awaiting_words = true;
                // What a dead sideband does not bring would be waited for in vain, and the browser not be believed of it.
                state.args.journal.doubt_sideband();
                state.check_words();
            }
            ControlChannelMsg::HangUp { call } => {
                state.opening = None;
                state.end_call(call);
            }
            ControlChannelMsg::Renew { call } => state.renew(call),
            ControlChannelMsg::HangUpStray(call) => state.hang_up(call),
        }
        Ok(())
    }

    /// A call must not outlive us unheard: the hang-ups under way are waited for.
    async fn post_stop(&self, _: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        state.end_fade();
        for hang_up in state.hang_ups.drain(..) {
            let _ = tokio::time::timeout(Duration::from_millis(800), hang_up).await;
        }
        Ok(())
    }
}

impl ControlChannelState {
    fn tell(&self, message: SessionMsg) {
        let _ = self.args.session.cast(message);
    }

    // ---- opening and ending ----

    fn open(&mut self, sdp: String, cause: &Context, myself: &ActorRef<ControlChannelMsg>) -> TaskGuard {
        let voice = self.args.integrations.voice.clone();
        let setup = self.asked_configuration();
        let (target, trace) = (myself.clone(), self.args.trace.clone());
        let span = trace.adopt_under(
            tracing::info_span!("control_channel.open_call", tries = tracing::field::Empty, error_code = tracing::field::Empty),
            cause,
        );
        TaskGuard::spawn(
            async move {
                let opened = open_call(&*voice, &sdp, &setup, &trace).await;
                let _ = target.cast(ControlChannelMsg::Opened(opened));
            }
            .instrument(span),
        )
    }

    /// The new call stands: only now the one before may go.
    fn opened(&mut self, call: CallId, answer: String, myself: &ActorRef<ControlChannelMsg>) {
        let Some(Opening { segment, replaces, gap, .. }) = self.opening.take() else { return };
        self.end_fade();
        self.forget_call();
        self.setup.call_opened();
        self.decide(Input::CallOpened);
        self.args.journal.call_opened(segment, gap, self.args.integrations.clock.now());
        self.record_prompt();
        self.tell(SessionMsg::CallOpened { call: call.clone(), answer });
        let sideband = self.joined.take().filter(|sideband| sideband.ready);
        if let Some(before) = replaces {
            self.fade(before, sideband, myself);
        }
        self.join(call, self.args.journal.history(), true);
    }

    fn end_call(&mut self, call: Option<CallId>) {
        self.end_fade();
        let joined = self.joined.take().map(|joined| joined.call);
        if let Some(call) = call.or(joined) {
            self.hang_up(call);
        }
        self.forget_call();
        self.decide(Input::CallOver);
        self.args.journal.call_over(Cause::Client);
    }

    fn renew(&mut self, call: CallId) {
        if self.joined.as_ref().is_some_and(|joined| joined.call != call) {
            // The next stands already.
            return self.hang_up(call);
        }
        if let Some(opening) = &mut self.opening {
            opening.replaces = None;
        }
        self.end_call(Some(call));
    }

    /// Words of the call before may still be on their way; when they are here, or late, it is hung up. So it is heard on
    /// while it is not known whether its sideband is dead: there is nothing left to learn that from afterwards.
    fn fade(&mut self, call: CallId, sideband: Option<Joined>, myself: &ActorRef<ControlChannelMsg>) {
        self.args.journal.doubt_sideband();
        let awaited = self.args.journal.awaits_words_of_earlier_calls();
        let Some(sideband) = sideband.filter(|_| awaited) else {
            self.args.journal.give_up_earlier_calls(Cause::Client);
            return self.hang_up(call);
        };
        let target = myself.clone();
        let timer = TaskGuard::spawn(async move {
            tokio::time::sleep(LATE_WORDS).await;
            let _ = target.cast(ControlChannelMsg::FadeOver);
        });
        self.fading = Some(Fading { call, sideband, _timer: timer });
    }

    fn end_fade(&mut self) {
        if let Some(fading) = self.fading.take() {
            self.args.journal.give_up_earlier_calls(Cause::Client);
            self.hang_up(fading.call);
        }
    }

    /// Of a call that was replaced only the words count that were on their way.
    fn heard_late(&mut self, event: &ServerEvent) {
        let now = self.args.integrations.clock.now();
        self.args.journal.earlier_sideband_is_alive();
        for event in translate(event) {
            self.count_usage(&event);
            self.args.journal.hear_late(&event, now);
        }
        self.end_fade_when_heard_out();
    }

    fn fading_sideband_changed(&mut self, state: SidebandState) {
        if state == SidebandState::Alive {
            self.args.journal.earlier_sideband_is_alive();
            return self.end_fade_when_heard_out();
        }
        // What it did not bring was lost with the sideband, not left by the browser, unless that broke the sideband.
        let cause = if state == SidebandState::Oversized { Cause::Client } else { Cause::Ours };
        self.args.journal.give_up_earlier_calls(cause);
        self.end_fade();
    }

    fn end_fade_when_heard_out(&mut self) {
        if !self.args.journal.awaits_words_of_earlier_calls() {
            self.end_fade();
        }
        self.check_words();
    }

    fn hang_up(&mut self, call: CallId) {
        self.hang_ups.retain(|hang_up| !hang_up.is_finished());
        let voice = self.args.integrations.voice.clone();
        let span = self.args.trace.adopt(tracing::info_span!(
            "control_channel.hang_up",
            otel.kind = "client",
            error_code = tracing::field::Empty
        ));
        let session = self.args.session.clone();
        let task = async move {
            let ended = hang_up(&*voice, &call).await;
            let _ = session.cast(SessionMsg::HungUp { call, ended });
        };
        self.hang_ups.push(tokio::spawn(task.instrument(span)));
    }

    fn forget_call(&mut self) {
        self.deaf_sideband = DeafSideband::default();
        self.intrusions = 0;
        self.guard = CallGuard::default();
    }

    // ---- the sideband ----

    /// Somebody may wait for the interviewer there: its last words, if any, were the candidate's.
    fn attach(&mut self, call: CallId) {
        let entries = self.args.journal.entries();
        let owed = entries.last().is_none_or(|last| last.speaker == Speaker::Candidate);
        let answered_turns = self.args.journal.answered_turns();
        self.decide(Input::Attached { owed, answered_turns: &answered_turns });
        self.join(call, self.args.journal.untold_history(), false);
    }

    fn join(&mut self, call: CallId, history: Vec<Entry>, fresh: bool) {
        self.generation += 1;
        let update = as_update(&self.asked_configuration());
        self.configurations = vec![(format!("rt-{}-0", self.generation), update.clone())];
        self.update.send_replace(update);
        // All of the chapters before are told at once.
        let (commands, receiver) = mpsc::channel(WAITING_COMMANDS + history.len());
        let sideband = SidebandTask {
            voice: self.args.integrations.voice.clone(),
            call: call.clone(),
            generation: self.generation,
            target: self.myself.clone(),
            trace: self.args.trace.clone(),
            update: self.update.subscribe(),
            journal: self.args.journal.clone(),
            fresh,
        };
        self.joined = Some(Joined {
            call,
            generation: self.generation,
            commands,
            ready: false,
            history,
            typed: Vec::new(),
            _sideband: TaskGuard::spawn(sideband.run(receiver)),
        });
    }

    fn sideband_changed(&mut self, state: SidebandState) {
        match state {
            SidebandState::Alive => {
                self.args.journal.sideband_is_alive(self.args.integrations.clock.now());
                self.notice_unanswered_turn();
                self.check_words();
            }
            SidebandState::Down | SidebandState::Oversized => {
                self.guard.sideband_lost();
                if state == SidebandState::Oversized {
                    self.args.journal.sideband_broken_by_client();
                    self.intruded(&Intrusion::ItemRetrieved);
                } else {
                    self.args.journal.sideband_lost();
                }
                if let Some(joined) = &mut self.joined {
                    joined.ready = false;
                }
                self.decide(Input::SidebandDown);
                self.conduct(Conducted::SidebandDown);
                self.args.journal.degraded(Subsystem::Control);
                self.tell(SessionMsg::Phase(Event::ControlLost));
            }
            SidebandState::Gone => {
                self.joined = None;
                self.forget_call();
                self.args.journal.call_over(Cause::Ours);
                self.tell(SessionMsg::CallGone);
                self.decide(Input::CallGone);
                self.check_words();
            }
            SidebandState::GivenUp => {
                self.args.journal.sideband_lost();
                tracing::error!(
                    error_code = ErrorCode::ControlChannelGivenUp.as_str(),
                    "the sideband cannot be joined; the browser's word is all we have"
                );
                self.args.journal.note_integrity(Label::of("control_given_up"), None, self.args.integrations.clock.now());
                self.args.journal.degraded(Subsystem::Control);
                self.decide(Input::SidebandGivenUp);
            }
        }
    }
}

/// What the interview demands of its interviewer, and how far it is: a process before us may have begun it.
fn rules(args: &ControlChannelArgs) -> Rules {
    let interview = &args.config.interview;
    let now = args.integrations.clock.now();
    let begun = args.journal.opened_at().map(|at| now - *at).or(args.claimed.started_at.map(|at| now - at));
    Rules {
        // A plan says itself when it is too early.
        min_turns: if args.claimed.plan.is_some() { 0 } else { interview.min_turns },
        min_duration: Duration::from_secs(interview.min_duration_s),
        begun: begun.is_some(),
        elapsed: begun.and_then(|elapsed| elapsed.try_into().ok()).unwrap_or_default(),
        turns: args.journal.turns(),
    }
}
