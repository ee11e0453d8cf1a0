//! A model of the voice provider: calls, their conversations, and the sidebands into them.
//!
//! It keeps the provider's difficult habits: words become final long after they were said, replies are generated before they
//! are heard, replies are interrupted, there is one reply at a time, only `previous_item_id` tells the order, and nothing is
//! repeated for a connection that joins late.

use crate::conduct;
use crate::faults::Fault;
use crate::ground_truth::{Facts, Foreign, GroundTruth, Heard};
use crate::interviewer::{Interviewer, Told, Turn};
use crate::plan::{CallFault, Conducted, Plan};
use crate::world::{KillSwitch, Point, World};
use async_trait::async_trait;
use fastrand::Rng;
use http::{HeaderMap, HeaderValue, StatusCode};
use interview_runtime::domain::voice::Speaker;
use interview_runtime::ids::{CallId, ItemId};
use interview_runtime::integrations::call_error::{BodyExcerpt, CallError, CallErrorKind};
use interview_runtime::integrations::http_client::{CallLimits, Head, Vendor};
use interview_runtime::integrations::openai::calls::{CallCreated, CreateCallError, HungUp};
use interview_runtime::integrations::openai::events::{ClientEvent, ServerEvent};
use interview_runtime::integrations::openai::session_config::SessionConfig;
use interview_runtime::integrations::openai::sideband::{Closed, ConnectSidebandError, Inbound, SidebandError};
use interview_runtime::ports::{Sideband, SidebandRead, SidebandWrite, VoiceProvider};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

const LIFETIME: Duration = Duration::from_hours(1);
/// A call whose browser is gone, or never came, is ended by the provider.
const MEDIA_PATIENCE: Duration = Duration::from_secs(30);

/// A new call is told of all chapters before it at once.
const MOST_AT_ONCE: u32 = 5_000;

/// An offer with this in it is refused.
pub const JUNK: &str = "junk";

/// A sideband on which nothing comes, not even the answer to a ping, is held for lost after this.
const SILENCE: Duration = Duration::from_secs(50);

fn limits(action: &'static str) -> CallLimits {
    CallLimits { vendor: Vendor::OpenAi, action, deadline: Duration::from_secs(10), max_body_bytes: 1 }
}

fn status(action: &'static str, status: u16, retry_after: Option<&'static str>) -> CallError {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = HeaderMap::new();
    headers.extend(retry_after.map(|value| (http::header::RETRY_AFTER, HeaderValue::from_static(value))));
    let kind = CallErrorKind::Status { status, vendor_code: None, excerpt: BodyExcerpt::new(b"") };
    CallError::new(limits(action), kind).with_head(Head { status, headers })
}

/// What goes over a sideband: the event, and what it tells of which item.
#[derive(Clone, Debug, Default)]
struct Wire {
    text: String,
    places: Option<String>,
    settles: Option<String>,
    cuts: Option<String>,
    /// Words that are not final.
    begins: Option<String>,
    /// The call's configuration: the sideband is heard from here on.
    configures: bool,
    /// What somebody else than the runtime did, as it has to be noted.
    foreign: Option<&'static str>,
    /// A reply begins; whether the runtime asked for it.
    begins_reply: Option<bool>,
}

impl Wire {
    fn of(event: &Value) -> Self {
        Self { text: event.to_string(), ..Self::default() }
    }
}

#[derive(Debug)]
enum ToSideband {
    Wire(Wire),
    /// Closed, or half-open.
    Lost {
        close: Option<u16>,
    },
    Silent,
    Expired,
    Pong,
}

#[derive(Debug)]
enum Input {
    Media(mpsc::UnboundedSender<Value>),
    MediaGone,
    Joined {
        line: u64,
        to: mpsc::UnboundedSender<ToSideband>,
    },
    Said {
        line: u64,
        event: ClientEvent,
    },
    Ping {
        line: u64,
    },
    /// What the browser does on its data channel.
    Done(Value),
    DropLines {
        close: Option<u16>,
    },
    /// The interviewer is to end the interview with its next reply.
    Conclude,
    End,
}

#[derive(Debug)]
struct Call {
    to: mpsc::UnboundedSender<Input>,
    opened: Instant,
    opener: u32,
    alive: bool,
    excused: bool,
    /// The model is generating a reply.
    replying: bool,
}

/// What one process is about to do with its sideband into the call, as the provider sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    Idle,
    /// Opening a call, or joining one.
    Dialing,
    Open {
        line: u64,
        call: String,
    },
    /// Its sideband was lost, or it was not let in: it waits for its next try.
    Backoff,
}

#[derive(Clone, Debug)]
pub struct Voice {
    inner: Arc<Mutex<Inner>>,
    world: World,
    truth: GroundTruth,
}

#[derive(Debug)]
struct Inner {
    calls: BTreeMap<String, Call>,
    controls: BTreeMap<u32, Control>,
    call_faults: VecDeque<CallFault>,
    sideband_refusals: u32,
    hang_hang_ups: bool,
    concluding: bool,
    lifetime: Duration,
    expires: bool,
    last_line: u64,
    odd: bool,
    reply_faults: bool,
    conducted: Option<Conducted>,
    rng: Rng,
}

/// As the runtime names an item: what is no id is replaced by one.
fn key(item: &str) -> String {
    ItemId::new(item).into_string()
}

impl Voice {
    pub fn new(world: World, truth: GroundTruth, plan: &Plan, seed: u64) -> Self {
        let inner = Inner {
            calls: BTreeMap::new(),
            controls: BTreeMap::new(),
            call_faults: plan.call_faults.clone(),
            sideband_refusals: plan.sideband_refusals,
            hang_hang_ups: false,
            concluding: false,
            lifetime: plan.call_lifetime.unwrap_or(LIFETIME),
            expires: plan.call_lifetime.is_some(),
            last_line: 0,
            odd: plan.odd_voice,
            reply_faults: plan.reply_faults,
            conducted: plan.conducted,
            rng: Rng::with_seed(seed ^ 0x0a1),
        };
        Self { inner: Arc::new(Mutex::new(inner)), world, truth }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn process_begins(&self, process: u32) {
        self.truth.lock().started.push((process, Instant::now()));
    }

    pub fn door(&self, process: u32, cut: KillSwitch) -> Arc<VoiceDoor> {
        Arc::new(VoiceDoor { voice: self.clone(), process, cut })
    }

    fn tell(&self, call: &str, input: Input) -> bool {
        self.lock().calls.get(call).is_some_and(|call| call.alive && call.to.send(input).is_ok())
    }

    // ---- the control channel's state ----

    fn control_is(&self, process: u32, control: Control) {
        let point = match control {
            Control::Dialing => Some(Point::Dialing),
            Control::Backoff => Some(Point::SidebandLost),
            Control::Idle | Control::Open { .. } => None,
        };
        self.lock().controls.insert(process, control);
        if let Some(point) = point {
            self.world.pass(point);
        }
    }

    /// The fault that a panic of this process's control channel is, now.
    pub fn control_panics(&self, process: u32) -> Fault {
        let inner = self.lock();
        match inner.controls.get(&process).unwrap_or(&Control::Idle) {
            Control::Idle => Fault::ControlPanicsIdle,
            Control::Dialing => Fault::ControlPanicsDialing,
            Control::Backoff => Fault::ControlPanicsBackoff,
            Control::Open { call, .. } if inner.calls.get(call).is_some_and(|call| call.replying) => Fault::ControlPanicsReplying,
            Control::Open { .. } => Fault::ControlPanicsOpen,
        }
    }

    // ---- the browser's side ----

    /// The browser's media reach the call; what is said in it comes back.
    pub fn connect_media(&self, call: &str) -> Option<mpsc::UnboundedReceiver<Value>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.tell(call, Input::Media(sender)).then_some(receiver)
    }

    /// The browser says something on its own channel into the call.
    pub fn do_in_call(&self, call: &str, event: Value) -> bool {
        self.tell(call, Input::Done(event))
    }

    pub fn disconnect_media(&self, call: &str) {
        self.tell(call, Input::MediaGone);
    }

    // ---- faults ----

    pub fn drop_sidebands(&self) -> bool {
        let close = [Some(1001), Some(1011), None][self.lock().rng.usize(0..3)];
        let alive = self.alive();
        alive.iter().filter(|call| self.tell(call, Input::DropLines { close })).count() > 0
    }

    pub fn end_calls(&self) -> bool {
        let alive = self.alive();
        for call in &alive {
            self.end(call);
        }
        !alive.is_empty()
    }

    pub fn hang_hang_ups(&self) {
        self.lock().hang_hang_ups = true;
    }

    /// From now on the interviewer says goodbye and calls its tool as soon as it speaks.
    pub fn conclude(&self) {
        self.lock().concluding = true;
        for call in self.alive() {
            self.tell(&call, Input::Conclude);
        }
    }

    // ---- what is known at the end ----

    pub fn alive(&self) -> Vec<String> {
        self.lock().calls.iter().filter(|(_, call)| call.alive).map(|(id, _)| id.clone()).collect()
    }

    /// Calls that should have been hung up and live on.
    pub fn orphans(&self) -> Vec<String> {
        self.lock().calls.iter().filter(|(_, call)| call.alive && !call.excused).map(|(id, _)| id.clone()).collect()
    }

    /// A process dies before it could store that it opened these calls: nobody can know them.
    pub fn excuse(&self, process: u32, stored: &[CallId]) {
        for (id, call) in &mut self.lock().calls {
            call.excused |= call.opener == process && !stored.iter().any(|known| known.as_str() == id);
        }
    }

    /// The provider's own day ends: for calls that nobody could know.
    pub fn end_excused(&self) {
        for call in self.alive() {
            self.end(&call);
        }
    }

    fn end(&self, id: &str) {
        let mut inner = self.lock();
        if let Some(call) = inner.calls.get_mut(id)
            && std::mem::replace(&mut call.alive, false)
        {
            let _ = call.to.send(Input::End);
        }
    }

    fn open(&self, process: u32, config: Value) -> String {
        let (to, inputs) = mpsc::unbounded_channel();
        let (id, lifetime, expires, rng, concluding, odd, faulty, led) = {
            let mut inner = self.lock();
            let id = format!("rtc_{}", inner.calls.len());
            let call = Call { to, opened: Instant::now(), opener: process, alive: true, excused: false, replying: false };
            inner.calls.insert(id.clone(), call);
            let rng = Rng::with_seed(inner.rng.u64(..));
            let odd = inner.odd.then(|| Rng::with_seed(inner.calls.len() as u64 ^ 0x0dd ^ rng.get_seed()));
            let faulty = inner.reply_faults.then(|| Rng::with_seed(inner.calls.len() as u64 ^ 0x4e91 ^ rng.get_seed()));
            let led = inner.conducted.map(|conducted| {
                let dice = Rng::with_seed(inner.calls.len() as u64 ^ 0x1ed ^ rng.get_seed());
                Interviewer::new(dice, conducted.wayward)
            });
            (id, inner.lifetime, inner.expires, rng, inner.concluding, odd, faulty, led)
        };
        self.world.note(format_args!("voice: {id} opened by process {process}"));
        self.truth.lock().call_opened(&id, process);
        self.world.mark_wall(true);
        let conversation = Conversation {
            voice: self.clone(),
            id: id.clone(),
            rng,
            expires_at: Instant::now() + lifetime,
            expires,
            asked: config.clone(),
            config,
            items: Vec::new(),
            lines: Vec::new(),
            owed: true,
            spoken_over: true,
            odd,
            faulty,
            led,
            is_typed: false,
            calling: None,
            quiet: Quiet::default(),
            silent_since: None,
            taken: (Instant::now(), 0),
            owed_since: None,
            parting: false,
            browser: None,
            media_since: Instant::now(),
            due: BTreeMap::new(),
            steps: 0,
            names: 0,
            active: None,
            playing: None,
            cancelled: None,
            concluding,
            concluded: false,
        };
        tokio::spawn(conversation.run(inputs));
        id
    }
}

/// The provider as one process reaches it.
#[derive(Debug)]
pub struct VoiceDoor {
    voice: Voice,
    process: u32,
    cut: KillSwitch,
}

#[async_trait]
impl VoiceProvider for VoiceDoor {
    async fn create_call(&self, sdp: &str, config: &SessionConfig) -> Result<CallCreated, CreateCallError> {
        let (there, back, fault) = {
            let mut inner = self.voice.lock();
            (inner.rng.u64(20..200), inner.rng.u64(20..200), inner.call_faults.pop_front())
        };
        let _dialing = Dialing::begin(&self.voice, self.process);
        sleep(Duration::from_millis(there)).await;
        if self.cut.is_cut() {
            return Err(CreateCallError::Open(CallError::new(limits("create_call"), CallErrorKind::TimedOut)));
        }
        let refused = |code, after| Err(CreateCallError::Open(status("create_call", code, after)));
        if sdp.contains(JUNK) {
            self.voice.world.count(Fault::OfferRefused);
            return refused(400, None);
        }
        match fault {
            Some(CallFault::RateLimited) => {
                self.voice.world.count(Fault::CallRateLimited);
                return refused(429, Some("1"));
            }
            Some(CallFault::Fails) => {
                self.voice.world.count(Fault::CallFails);
                return refused(500, None);
            }
            _ => {}
        }
        let id = self.voice.open(self.process, serde_json::to_value(config).unwrap_or_default());
        self.voice.world.pass(Point::CallOpened);
        let call_id = CallId::new(id.clone());
        match fault {
            Some(CallFault::Hangs) => {
                self.voice.world.count(Fault::CallHangs);
                sleep(Duration::from_secs(10)).await;
                Err(CreateCallError::Open(CallError::new(limits("create_call"), CallErrorKind::TimedOut)))
            }
            Some(CallFault::Orphaned) => {
                self.voice.world.count(Fault::CallOrphaned);
                let source = CallError::new(limits("create_call"), CallErrorKind::Unexpected("the answer is not an sdp"));
                Err(CreateCallError::Orphaned { call_id, source })
            }
            _ => {
                sleep(Duration::from_millis(back)).await;
                if self.cut.is_cut() {
                    return Err(CreateCallError::Open(CallError::new(limits("create_call"), CallErrorKind::TimedOut)));
                }
                if let Some(call) = self.voice.truth.lock().calls.get_mut(&id) {
                    call.answered = Some(Instant::now());
                }
                Ok(CallCreated { call_id, answer_sdp: format!("v=0\r\ns={id}\r\n"), request_id: None })
            }
        }
    }

    async fn hang_up(&self, call: &CallId) -> Result<HungUp, CallError> {
        if !self.cut.is_cut()
            && let Some(call) = self.voice.truth.lock().calls.get_mut(call.as_str())
        {
            call.hung_up.get_or_insert_with(Instant::now);
        }
        let (delay, hangs) = {
            let mut inner = self.voice.lock();
            (inner.rng.u64(10..80), std::mem::take(&mut inner.hang_hang_ups))
        };
        if hangs {
            self.voice.world.count(Fault::HangsInShutdown);
            sleep(Duration::from_secs(5)).await;
            return Err(CallError::new(limits("hang_up"), CallErrorKind::TimedOut));
        }
        sleep(Duration::from_millis(delay)).await;
        if self.cut.is_cut() {
            return Err(CallError::new(limits("hang_up"), CallErrorKind::TimedOut));
        }
        let alive = self.voice.lock().calls.get(call.as_str()).is_some_and(|call| call.alive);
        self.voice.world.note(format_args!("voice: process {} hangs up {call}", self.process));
        self.voice.end(call.as_str());
        Ok(if alive { HungUp::Ending } else { HungUp::AlreadyEnded })
    }

    async fn join(&self, call: &CallId) -> Result<Sideband, ConnectSidebandError> {
        let (delay, fresh, refused, anothers) = {
            let mut inner = self.voice.lock();
            let known = inner.calls.get(call.as_str());
            let fresh = known.is_some_and(|call| call.opened.elapsed() < Duration::from_millis(400));
            let anothers = known.is_some_and(|call| call.opener != self.process);
            let refused = inner.sideband_refusals > 0;
            inner.sideband_refusals = inner.sideband_refusals.saturating_sub(1);
            (inner.rng.u64(20..150), fresh && inner.rng.u8(0..4) == 0, refused, anothers)
        };
        let dialing = Dialing::begin(&self.voice, self.process);
        sleep(Duration::from_millis(delay)).await;
        if self.cut.is_cut() {
            return Err(ConnectSidebandError::TimedOut);
        }
        if refused {
            dialing.becomes(Control::Backoff);
            self.voice.world.count(Fault::SidebandRefused);
            return Err(ConnectSidebandError::Refused { status: 503, vendor_code: None, request_id: None, retry_after: None });
        }
        let gone = || ConnectSidebandError::CallGone { status: 404, vendor_code: None, request_id: None };
        if fresh {
            dialing.becomes(Control::Backoff);
            return Err(gone());
        }
        let (to, from) = mpsc::unbounded_channel();
        let line = {
            let mut inner = self.voice.lock();
            inner.last_line += 1;
            inner.last_line
        };
        if !self.voice.tell(call.as_str(), Input::Joined { line, to }) {
            return Err(gone());
        }
        self.voice.world.note(format_args!("voice: process {} joins {call} as line {line}", self.process));
        if anothers {
            self.voice.world.count(Fault::CallTakenUp);
        }
        dialing.becomes(Control::Open { line, call: call.as_str().to_owned() });
        let reader = Reader {
            voice: self.voice.clone(),
            process: self.process,
            cut: self.cut.clone(),
            call: call.as_str().to_owned(),
            line,
            from,
            noticed_at: None,
            ready_at: None,
            carries_speech: false,
            reply_expected: true,
            cut_expected: true,
        };
        let writer = Writer { voice: self.voice.clone(), cut: self.cut.clone(), call: call.as_str().to_owned(), line };
        Ok((Box::new(reader), Box::new(writer)))
    }
}

/// Until it becomes something else, or is given up.
struct Dialing<'a> {
    voice: &'a Voice,
    process: u32,
}

impl<'a> Dialing<'a> {
    fn begin(voice: &'a Voice, process: u32) -> Self {
        voice.control_is(process, Control::Dialing);
        Self { voice, process }
    }

    fn becomes(&self, control: Control) {
        self.voice.control_is(self.process, control);
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        let mut inner = self.voice.lock();
        if inner.controls.get(&self.process) == Some(&Control::Dialing) {
            inner.controls.insert(self.process, Control::Idle);
        }
    }
}

struct Reader {
    voice: Voice,
    process: u32,
    cut: KillSwitch,
    call: String,
    line: u64,
    from: mpsc::UnboundedReceiver<ToSideband>,
    /// It is half-open: nothing comes any more, and at this time that is noticed.
    noticed_at: Option<Instant>,
    /// Since when it is heard on.
    ready_at: Option<Instant>,
    /// It has brought speech of the candidate.
    carries_speech: bool,
    /// A turn may have been under way when it came: its reply, and its end, are nobody's doing.
    reply_expected: bool,
    cut_expected: bool,
}

/// What a sideband shows sooner than this may belong to something that it was not there to hear.
const JOINING: Duration = Duration::from_secs(2);

impl Reader {
    fn is_open(&self) -> bool {
        matches!(self.voice.lock().controls.get(&self.process), Some(Control::Open { line, .. }) if *line == self.line)
    }

    /// What is heard from when to when, and what of it somebody else did.
    fn note_hearing(&mut self, truth: &mut Facts, wire: &Wire) {
        let now = Instant::now();
        if wire.configures && self.ready_at.is_none() {
            self.ready_at = Some(now);
            let heard = Heard {
                line: self.line,
                process: self.process,
                from: now,
                last: now,
                until: None,
                silent: false,
                given_up: false,
            };
            truth.calls.entry(self.call.clone()).and_modify(|call| call.heard.push(heard));
        }
        truth.heard_on(&self.call, self.line, |heard| heard.last = now);
        // The configuration names such events too.
        let speech = ["\"type\":\"input_audio_buffer.", "\"type\":\"conversation.item.input_audio_transcription."];
        self.carries_speech |= speech.iter().any(|kind| wire.text.contains(kind));
        // A sideband that has carried no speech yet accuses nobody of what follows from speech.
        let joined = !self.carries_speech || self.ready_at.is_none_or(|at| at.elapsed() < JOINING);
        let expected = match wire.foreign {
            None => true,
            Some("foreign_item_deleted" | "foreign_session_update" | "foreign_reply_cancelled") => self.ready_at.is_none(),
            Some("foreign_reply") => joined || std::mem::take(&mut self.reply_expected),
            Some("foreign_item_truncated" | "foreign_playback_cleared") => joined || self.cut_expected,
            Some(_) => joined,
        };
        if let Some(ours) = wire.begins_reply {
            self.reply_expected &= ours;
            self.cut_expected = false;
        }
        if let Some(kind) = wire.foreign.filter(|_| !expected) {
            let (call, line, process) = (self.call.clone(), self.line, self.process);
            truth.foreign.push(Foreign { kind, call, line, process, at: now, forgiven: false });
        }
    }

    fn ends(&self, control: Control) {
        if self.is_open() {
            self.voice.control_is(self.process, control);
        }
    }
}

/// The sideband is given up, by whoever held it.
impl Drop for Reader {
    fn drop(&mut self) {
        self.ends(Control::Idle);
        let mut truth = self.voice.truth.lock();
        truth.forgive_cuts(Instant::now());
        truth.heard_on(&self.call, self.line, |heard| {
            heard.given_up = heard.until.is_none();
            heard.until.get_or_insert_with(Instant::now);
        });
    }
}

#[async_trait]
impl SidebandRead for Reader {
    async fn next(&mut self) -> Result<Inbound, SidebandError> {
        let next = match self.noticed_at {
            None => self.from.recv().await,
            Some(at) => {
                sleep_until(at).await;
                Some(ToSideband::Silent)
            }
        };
        if !matches!(next, Some(ToSideband::Wire(_) | ToSideband::Pong)) {
            let silent = matches!(next, Some(ToSideband::Lost { close: None }));
            let mut truth = self.voice.truth.lock();
            let over = truth.calls.get(&self.call).is_some_and(|call| call.ended.is_some());
            truth.heard_on(&self.call, self.line, |heard| {
                heard.until.get_or_insert_with(Instant::now);
                // Noticed when the call is over, it is noticed too late.
                heard.silent = silent || heard.silent && over;
            });
            drop(truth);
        }
        if let Some(ToSideband::Lost { close: None }) = next {
            self.noticed_at = Some(Instant::now() + SILENCE);
            return self.next().await;
        }
        if self.cut.is_cut() {
            return Err(SidebandError::Silent);
        }
        let closed = |code, reason: &str| Ok(Inbound::Closed(Closed { code, reason: reason.to_owned() }));
        match &next {
            Some(ToSideband::Wire(_) | ToSideband::Pong) => {}
            Some(ToSideband::Expired) => self.ends(Control::Idle),
            Some(ToSideband::Lost { .. } | ToSideband::Silent) | None => self.ends(Control::Backoff),
        }
        match next {
            Some(ToSideband::Wire(wire)) => {
                let voice = self.voice.clone();
                let mut truth = voice.truth.lock();
                if let Some(said) = wire.places.as_ref().and_then(|item| truth.said.get_mut(item)) {
                    (said.placed_on, said.placed_by, said.placed_at) = (Some(self.line), self.process, Some(Instant::now()));
                }
                if let Some(said) = wire.settles.as_ref().and_then(|item| truth.said.get_mut(item)) {
                    said.settled_by.push((self.process, Instant::now()));
                    if said.placed_on.is_none() {
                        truth.calls.entry(self.call.clone()).and_modify(|call| call.goes_on.push(Instant::now()));
                    }
                }
                if let Some(said) = wire.cuts.as_ref().and_then(|item| truth.said.get_mut(item)) {
                    said.cut_by.push((self.process, Instant::now()));
                    voice.world.note(format_args!("line {}: {} is cut", self.line, said.item));
                }
                if let Some(said) = wire.begins.as_ref().and_then(|item| truth.said.get_mut(item)) {
                    said.begun_by.push((self.process, Instant::now()));
                }
                self.note_hearing(&mut truth, &wire);
                drop(truth);
                voice.world.pass(Point::Heard);
                if let Some(item) = wire.places.as_ref().or(wire.settles.as_ref()) {
                    let what = if wire.places.is_some() { "takes its place" } else { "has its words" };
                    self.voice.world.note(format_args!("line {}: {item} {what}", self.line));
                }
                Ok(Inbound::Event(ServerEvent::parse(&wire.text)))
            }
            Some(ToSideband::Pong) => Ok(Inbound::Pong),
            Some(ToSideband::Lost { close: Some(code) }) => closed(code, ""),
            Some(ToSideband::Lost { close: None } | ToSideband::Silent) => Err(SidebandError::Silent),
            Some(ToSideband::Expired) => closed(1001, "Your session hit the maximum duration of 60 minutes."),
            None => closed(1005, ""),
        }
    }
}

struct Writer {
    voice: Voice,
    cut: KillSwitch,
    call: String,
    line: u64,
}

#[async_trait]
impl SidebandWrite for Writer {
    async fn send(&mut self, event: &ClientEvent) -> Result<(), SidebandError> {
        let sent = !self.cut.is_cut() && self.voice.tell(&self.call, Input::Said { line: self.line, event: event.clone() });
        if sent { Ok(()) } else { Err(SidebandError::WriteTimedOut) }
    }

    async fn ping(&mut self) -> Result<(), SidebandError> {
        let sent = !self.cut.is_cut() && self.voice.tell(&self.call, Input::Ping { line: self.line });
        if sent { Ok(()) } else { Err(SidebandError::WriteTimedOut) }
    }

    async fn close(&mut self) -> Result<(), SidebandError> {
        Ok(())
    }
}

/// What happens in the call after a while.
#[derive(Debug)]
enum Due {
    Tell(Wire),
    /// The words of an item are final.
    Final {
        item: String,
        wire: Wire,
    },
    ReplyDone {
        reply: String,
        wire: Wire,
    },
    Heard {
        reply: String,
    },
    CandidateSpeaks,
    CandidateStops {
        item: String,
    },
    Reply,
    /// Of a reply in which only a tool is called.
    Called {
        reply: String,
        wire: Wire,
    },
    CallDone {
        reply: String,
        wire: Wire,
    },
    /// The interviewer wants to end the interview again.
    Conclude,
}

/// How long nobody has spoken, on a sideband that is heard.
#[derive(Debug, Default)]
struct Quiet {
    since: Option<Instant>,
    found: bool,
}

struct Reply {
    id: String,
    item: String,
    text: String,
    /// Its final words say nothing.
    begun: bool,
    /// Its words are out already.
    settled: bool,
}

struct Conversation {
    voice: Voice,
    id: String,
    rng: Rng,
    expires_at: Instant,
    expires: bool,
    /// As it is now, and as it was asked for.
    config: Value,
    asked: Value,
    items: Vec<String>,
    lines: Vec<(u64, mpsc::UnboundedSender<ToSideband>)>,
    /// A turn was committed that no reply has followed yet.
    owed: bool,
    /// The candidate spoke since the last reply began.
    spoken_over: bool,
    /// Dice for what no document promises.
    odd: Option<Rng>,
    /// Dice for replies that come to nothing.
    faulty: Option<Rng>,
    /// It is led through a plan.
    led: Option<Interviewer>,
    /// The candidate typed since the last reply began.
    is_typed: bool,
    /// A reply in which only a tool is called.
    calling: Option<String>,
    quiet: Quiet,
    /// The same, also while no line hears it.
    silent_since: Option<Instant>,
    /// How much it was sent at this instant.
    taken: (Instant, u32),
    /// Since when a reply is owed that will not come by itself, on a sideband that is heard.
    owed_since: Option<Instant>,
    /// The goodbye was asked for: no turn is answered any more, and the end has a limit of its own.
    parting: bool,
    browser: Option<mpsc::UnboundedSender<Value>>,
    media_since: Instant,
    due: BTreeMap<(Instant, u64), Due>,
    steps: u64,
    names: u64,
    /// Being generated.
    active: Option<Reply>,
    /// Being heard.
    playing: Option<(String, String)>,
    /// The last reply that the runtime cancelled.
    cancelled: Option<String>,
    concluding: bool,
    concluded: bool,
}

async fn all_closed(lines: &[(u64, mpsc::UnboundedSender<ToSideband>)]) {
    for (_, to) in lines {
        to.closed().await;
    }
}

impl Conversation {
    async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        // A candidate who hears nothing says hello.
        self.after(8_000, 16_000, Due::CandidateSpeaks);
        loop {
            self.note_reply();
            let silence = self.note_silence();
            let patience = self.browser.is_none().then(|| self.media_since + MEDIA_PATIENCE);
            let next = self.due.keys().next().map(|(at, _)| *at);
            let wake = [Some(self.expires_at), patience, next, silence].into_iter().flatten().min().unwrap_or(self.expires_at);
            tokio::select! {
                biased;
                input = inputs.recv() => match input {
                    Some(Input::End) | None => break,
                    Some(input) => self.input(input),
                },
                // Nobody of the runtime hears from now on what is owed.
                () = all_closed(&self.lines), if self.owed_since.is_some() => self.cared_for(),
                () = sleep_until(wake) => {
                    if Instant::now() >= self.expires_at {
                        self.expire();
                        break;
                    }
                    if patience.is_some_and(|at| Instant::now() >= at) {
                        break;
                    }
                    while let Some(first) = self.due.first_entry() {
                        if first.key().0 > Instant::now() { break }
                        let due = first.remove();
                        self.happens(due);
                    }
                }
            }
        }
        self.voice.world.note(format_args!("voice: {} is over", self.id));
        conduct::call_is_quiet(&self.voice.truth, &self.id, None);
        self.cared_for();
        if let Some(call) = self.voice.truth.lock().calls.get_mut(&self.id) {
            call.ended = Some(Instant::now());
        }
        self.voice.end(&self.id);
    }

    fn note_reply(&self) {
        let replying = self.is_replying();
        let began = {
            let mut inner = self.voice.lock();
            let Some(call) = inner.calls.get_mut(&self.id) else { return };
            !std::mem::replace(&mut call.replying, replying) && replying
        };
        if began {
            self.voice.world.pass(Point::Replying);
        }
    }

    fn is_replying(&self) -> bool {
        self.active.is_some() || self.calling.is_some()
    }

    /// When it is to be looked at next.
    fn note_silence(&mut self) -> Option<Instant> {
        let expected = |due: &Due| matches!(due, Due::CandidateStops { .. } | Due::Reply);
        let speaks = self.is_replying() || self.playing.is_some() || self.due.values().any(expected);
        let heard = self.led.is_some() && self.browser.is_some() && !self.lines.is_empty() && !self.parting;
        let since = *self.quiet.since.get_or_insert_with(Instant::now);
        let until = conduct::silent_until(&self.voice.truth, since).filter(|_| heard);
        if until.is_some_and(|until| Instant::now() > until) && !self.quiet.found {
            self.quiet.found = true;
            if self.voice.world.calm_for(conduct::SILENT_AT_MOST) {
                self.voice.truth.lock().silences.push(format!("{} for {:?}", self.id, since.elapsed()));
            }
        }
        // Measured also while our sideband is away: the candidate does not know of it.
        let is_there = self.led.is_some() && self.browser.is_some() && !self.parting;
        if speaks || !is_there {
            self.silent_since = None;
        }
        let silent = (!speaks).then(|| *self.silent_since.get_or_insert_with(Instant::now));
        conduct::call_is_quiet(&self.voice.truth, &self.id, is_there.then_some(silent));
        if speaks || !heard {
            self.quiet = Quiet::default();
        }
        until.filter(|_| !self.quiet.found && !speaks).map(|until| until + Duration::from_millis(1))
    }

    fn expire(&mut self) {
        if self.expires {
            self.voice.world.count(Fault::CallExpires);
        }
        for (_, to) in self.lines.drain(..) {
            let _ = to.send(ToSideband::Expired);
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Media(to) => self.browser = Some(to),
            Input::MediaGone => {
                self.browser = None;
                self.media_since = Instant::now();
            }
            Input::Joined { line, to } => {
                (self.owed_since, self.quiet) = (None, Quiet::default());
                self.lines.push((line, to));
            }
            Input::DropLines { close } => {
                self.owed_since = None;
                for (_, to) in self.lines.drain(..) {
                    self.voice.world.count(Fault::SidebandDropped);
                    let _ = to.send(ToSideband::Lost { close });
                }
            }
            Input::Conclude => self.concluding = true,
            // What is sent on a sideband that is lost arrives nowhere.
            Input::Said { line, event } if self.lines.iter().any(|(number, _)| *number == line) && self.takes_more() => {
                self.told(line, &event);
            }
            Input::Ping { line } => {
                if let Some((_, to)) = self.lines.iter().find(|(number, _)| *number == line) {
                    let _ = to.send(ToSideband::Pong);
                }
            }
            Input::Done(event) => self.done_by_browser(&event),
            Input::Said { .. } | Input::End => {}
        }
    }

    /// Two that answer each other without end would never let the time go on.
    fn takes_more(&mut self) -> bool {
        let now = Instant::now();
        if self.taken.0 != now {
            self.taken = (now, 0);
        }
        self.taken.1 += 1;
        if self.taken.1 == MOST_AT_ONCE {
            self.voice.world.violate("what_is_sent_comes_to_an_end", &self.id);
        }
        self.taken.1 < MOST_AT_ONCE
    }

    /// The runtime tells the model something.
    fn told(&mut self, line: u64, event: &ClientEvent) {
        match event {
            ClientEvent::SessionUpdate { session, .. } => {
                let update = serde_json::to_value(session).unwrap_or_default();
                merge(&mut self.asked, &update, 0);
                self.configure(&update);
            }
            // Nobody speaks here for so long that the runtime would close a turn.
            ClientEvent::InputCommit { event_id } => self.refuse(line, "input_audio_buffer_commit_empty", event_id),
            ClientEvent::ResponseCreate { event_id, response } => {
                self.cared_for();
                if self.is_replying() {
                    return self.refuse(line, "conversation_already_has_active_response", event_id);
                }
                let purpose = response.as_ref().and_then(|response| response.metadata.as_ref()?.get("purpose").cloned());
                if self.faulty.as_mut().is_some_and(|dice| dice.u8(0..16) == 0) {
                    self.voice.world.count(Fault::ReplyRefused);
                    self.owes();
                    return self.refuse(line, "server_error", event_id);
                }
                self.reply(purpose.as_deref(), None);
            }
            ClientEvent::ResponseCancel { event_id, response_id } => {
                self.cared_for();
                let meant = |active: &str| response_id.as_ref().is_none_or(|reply| reply.as_str() == active);
                if self.active.as_ref().is_some_and(|active| meant(&active.id)) {
                    self.cancelled = self.active.as_ref().map(|active| active.id.clone());
                    self.cancel(None);
                } else if self.calling.as_deref().is_some_and(meant) {
                    self.cancel_call();
                } else {
                    self.refuse(line, "response_cancel_not_active", event_id);
                }
            }
            ClientEvent::ItemCreate { event_id, item, .. } => {
                let mut item = serde_json::to_value(item).unwrap_or_default();
                let named = item["id"].as_str().map(str::to_owned);
                if named.as_ref().is_some_and(|id| self.items.contains(id)) {
                    return self.refuse(line, "item_create_duplicate_item_id", event_id);
                }
                self.is_typed |= named.is_some();
                if named.is_some() && !self.is_replying() && self.playing.is_none() && !self.concluded {
                    // Unless a turn is under way, which is answered by itself.
                    let turn = |due: &Due| matches!(due, Due::CandidateStops { .. } | Due::Reply);
                    if !self.due.values().any(turn) {
                        self.owes();
                    }
                }
                if item["role"] == "user" {
                    let text = item["content"][0]["text"].as_str().unwrap_or_default().to_owned();
                    self.voice.truth.lock().typed_in.push((self.id.clone(), text));
                }
                let id = named.unwrap_or_else(|| self.name("seed"));
                item["id"] = json!(id);
                let refused = ["not_yet", "not finished"];
                if item["output"].as_str().is_some_and(|output| refused.iter().any(|words| output.contains(words))) {
                    // It tries again when it speaks next, or a while later.
                    (self.concluding, self.concluded) = (self.led.is_none(), false);
                    if self.led.is_some() && self.voice.lock().concluding {
                        self.at(Duration::from_secs(20), Due::Conclude);
                    }
                }
                if item.to_string().contains("at its end") {
                    (self.parting, self.owed_since) = (true, None);
                }
                self.is_told(&item);
                self.place(item, None);
            }
            ClientEvent::ItemDelete { event_id, item_id } => {
                if !self.delete(item_id.as_str(), None) {
                    self.refuse(line, "item_delete_invalid_item_id", event_id);
                }
            }
            ClientEvent::PlaybackClear { .. } => {}
        }
    }

    /// In an interview with a plan.
    fn is_told(&mut self, item: &Value) {
        let Some(led) = &mut self.led else { return };
        let told = led.is_told(item);
        let is_output = item["output"].is_string();
        if told == Told::Speak {
            self.owes();
        } else if is_output {
            self.cared_for();
            // The candidate waits for nothing, or goes on after a while.
            self.after(3_000, 40_000, Due::CandidateSpeaks);
        }
    }

    fn refuse(&self, line: u64, code: &str, event_id: &str) {
        let error = json!({"type": "error", "error": {"code": code, "event_id": event_id}});
        if let Some((_, to)) = self.lines.iter().find(|(number, _)| *number == line) {
            let _ = to.send(ToSideband::Wire(Wire::of(&error)));
        }
    }

    /// Whoever updates it, everyone hears how the call is configured then.
    fn configure(&mut self, update: &Value) {
        merge(&mut self.config, update, 0);
        let left = self.expires_at.saturating_duration_since(Instant::now());
        let mut session = self.config.clone();
        session["id"] = json!(format!("sess_{}", self.id));
        session["expires_at"] = json!((self.voice.world.wall() + left).unix_timestamp());
        let foreign = (self.config != self.asked).then_some("foreign_session_update");
        self.tell(Wire { configures: true, foreign, ..Wire::of(&json!({"type": "session.updated", "session": session})) });
    }

    fn cancel_call(&mut self) {
        let Some(reply) = self.calling.take() else { return };
        let details = json!({"type": "cancelled", "reason": "client_cancelled"});
        let response =
            json!({"id": reply, "status": "cancelled", "conversation_id": "conv", "status_details": details, "output": []});
        self.tell_now(&json!({"type": "response.done", "response": response}));
    }

    fn cancel(&mut self, foreign: Option<&'static str>) {
        let Some(active) = self.active.take() else { return };
        let half = self.cut_off(&active);
        let mut wire = done(&active.id, &active.item, &half, "cancelled", 20);
        let mut event: Value = serde_json::from_str(&wire.text).unwrap_or_default();
        event["response"]["status_details"] = json!({"type": "cancelled", "reason": "client_cancelled"});
        (wire.text, wire.foreign) = (event.to_string(), foreign);
        self.tell(wire);
    }

    /// The words of a reply that ends before it is said.
    fn cut_off(&self, active: &Reply) -> String {
        let said_so_far = if active.settled || active.begun { active.text.len() } else { active.text.len() / 2 };
        let half: String = active.text.chars().take(said_so_far).collect::<String>().trim().to_owned();
        if let Some(said) = self.voice.truth.lock().said.get_mut(&key(&active.item)) {
            (said.text, said.only_begun) = (Some(half.clone()), None);
        }
        half
    }

    fn delete(&mut self, item: &str, foreign: Option<&'static str>) -> bool {
        let Some(index) = self.items.iter().position(|known| known == item) else { return false };
        self.items.remove(index);
        self.tell(Wire { foreign, ..Wire::of(&json!({"type": "conversation.item.deleted", "item_id": item})) });
        true
    }

    /// The browser's own channel lets it do whatever we can.
    fn done_by_browser(&mut self, event: &Value) {
        let what = event["type"].as_str().unwrap_or_default();
        self.voice.world.note(format_args!("voice: {} the browser does {what}", self.id));
        match what {
            "session.update" => self.configure(&event["session"]),
            "conversation.item.create" => self.put(event),
            "conversation.item.delete" => {
                let latest = self.items.last().cloned().unwrap_or_default();
                self.delete(event["item_id"].as_str().unwrap_or(&latest), Some("foreign_item_deleted"));
            }
            "conversation.item.truncate" => {
                let spoken = self.items.iter().rev().find(|item| item.starts_with("ai_"));
                let Some(item) = spoken.cloned() else { return };
                let foreign = (!self.spoken_over).then_some("foreign_item_truncated");
                let event = json!({"type": "conversation.item.truncated", "item_id": item, "audio_end_ms": 1});
                self.tell(Wire { foreign, ..Wire::of(&event) });
            }
            "response.create" if !self.is_replying() => {
                let foreign = (!std::mem::take(&mut self.owed)).then_some("foreign_reply");
                self.reply(None, foreign);
            }
            "response.cancel" => self.cancel(Some("foreign_reply_cancelled")),
            "output_audio_buffer.clear" => {
                if let Some((reply, _)) = self.playing.take() {
                    // What the runtime has cancelled it would silence itself.
                    let expected = self.spoken_over || self.cancelled.as_ref() == Some(&reply);
                    let foreign = (!expected).then_some("foreign_playback_cleared");
                    let event = json!({"type": "output_audio_buffer.cleared", "response_id": reply});
                    self.tell(Wire { foreign, ..Wire::of(&event) });
                    self.after(800, 4_000, Due::CandidateSpeaks);
                }
            }
            _ => {}
        }
    }

    /// An item that nobody said.
    fn put(&mut self, event: &Value) {
        let mut item = event["item"].clone();
        let id = item["id"].as_str().map_or_else(|| self.name("put"), str::to_owned);
        if self.items.contains(&id) {
            return;
        }
        item["id"] = json!(id);
        let mut truth = self.voice.truth.lock();
        truth.put.insert(key(&id));
        truth.calls.entry(self.id.clone()).and_modify(|call| call.placed.push(Instant::now()));
        drop(truth);
        let previous = match event["previous_item_id"].as_str() {
            Some("root") => None,
            Some(previous) if self.items.iter().any(|item| item == previous) => Some(previous.to_owned()),
            _ => self.items.last().cloned(),
        };
        let index = previous.as_ref().and_then(|previous| self.items.iter().position(|item| item == previous));
        self.items.insert(index.map_or(0, |index| index + 1), id.clone());
        let says = item["content"].as_array().is_some_and(|parts| parts.iter().any(|part| part["type"] != "output_audio"));
        let foreign = says.then_some("foreign_item");
        let event = json!({"type": "conversation.item.added", "previous_item_id": previous, "item": item});
        self.tell(Wire { places: Some(key(&id)), foreign, ..Wire::of(&event) });
    }

    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}_{}_{}", self.id, self.names)
    }

    /// Of something that is said.
    fn item_name(&mut self, kind: &str) -> String {
        let name = self.name(kind);
        let odd = self.odd.as_mut().map_or(9, |odd| odd.u8(0..30));
        if odd < 2 {
            self.voice.world.count(Fault::VoiceOddId);
        }
        match odd {
            0 => format!("{name}{}", "x".repeat(300)),
            1 => format!("{name}\0x"),
            _ => name,
        }
    }

    /// What is said, as it goes over the wire, and as a person would read it.
    fn words(&mut self, words: String) -> (Words, String) {
        let odd = self.odd.as_mut().map_or(9, |odd| odd.u8(0..24));
        let world = &self.voice.world;
        match odd {
            0 => {
                world.count(Fault::VoiceOddText);
                (Words::Final(format!("{words} a\0b")), format!("{words} a\u{fffd}b"))
            }
            1 => {
                world.count(Fault::VoiceOddText);
                (Words::Final(format!("{words} {HALF}")), format!("{words} \u{fffd}"))
            }
            2 => {
                world.count(Fault::VoiceLongText);
                let long = format!("{words} {}", "x".repeat(70_000 - words.len() - 1));
                (Words::Final(long.clone()), long)
            }
            3..=5 => {
                world.count(Fault::VoiceEmptyFinal);
                let last = [Some(Value::Null), None, Some(json!(""))];
                (Words::Begun(words.clone(), last[usize::from(odd - 3)].clone()), words)
            }
            _ => (Words::Final(words.clone()), words),
        }
    }

    fn odd_ms(&mut self, usual: u64) -> u64 {
        let odd = self.odd.as_mut().is_some_and(|odd| odd.u8(0..20) == 0);
        if odd {
            self.voice.world.count(Fault::VoiceOddTime);
        }
        if odd { u64::MAX } else { usual }
    }

    // ---- telling ----

    fn tell(&mut self, wire: Wire) {
        if let Some(browser) = &self.browser {
            let _ = browser.send(serde_json::from_str(&wire.text).unwrap_or_default());
        }
        // Half a character is no character of ours, but may be escaped in JSON.
        let mut wire = wire;
        if wire.text.contains(HALF) {
            wire.text = wire.text.replace(HALF, "\\ud83d");
        }
        self.lines.retain(|(_, to)| to.send(ToSideband::Wire(wire.clone())).is_ok());
    }

    fn tell_now(&mut self, event: &Value) {
        self.tell(Wire::of(event));
    }

    fn at(&mut self, after: Duration, due: Due) {
        self.steps += 1;
        self.due.insert((Instant::now() + after, self.steps), due);
    }

    fn after(&mut self, from_ms: u64, to_ms: u64, due: Due) {
        let after = Duration::from_millis(self.rng.u64(from_ms..to_ms));
        self.at(after, due);
    }

    /// The item takes its place at the end of the conversation.
    fn place(&mut self, item: Value, said: Option<Speaker>) {
        let id = item["id"].as_str().unwrap_or_default().to_owned();
        if let Some(speaker) = said {
            self.voice.truth.lock().speak(&key(&id), &self.id, speaker);
        }
        if let Some(call) = self.voice.truth.lock().calls.get_mut(&self.id) {
            call.placed.push(Instant::now());
            call.goes_on.push(Instant::now());
        }
        let previous = self.items.last().cloned();
        self.items.push(id.clone());
        let event = json!({"type": "conversation.item.added", "previous_item_id": previous, "item": item});
        self.tell(Wire { places: Some(key(&id)), ..Wire::of(&event) });
    }

    // ---- the AI ----

    /// The runtime has done something about what is owed, or it is given.
    fn cared_for(&mut self) {
        if let Some(since) = self.owed_since.take() {
            let mut truth = self.voice.truth.lock();
            // In a pause nothing is owed.
            if truth.pause_shown.is_none() && truth.paused_until < Some(since) {
                truth.owed.push((self.id.clone(), since.elapsed()));
            }
        }
    }

    fn owes(&mut self) {
        if self.browser.is_some() && !self.lines.is_empty() && !self.parting {
            self.owed_since.get_or_insert_with(Instant::now);
        }
    }

    /// The reply comes to nothing. False: it does come.
    fn comes_to_nothing(&mut self, purpose: Option<&str>) -> bool {
        let Some(dice) = &mut self.faulty else { return false };
        let (fault, status) = match dice.u8(0..24) {
            0 | 1 => (Fault::ReplyFails, Some("failed")),
            2 => (Fault::ReplyEmpty, Some("completed")),
            3 => (Fault::ReplyNeverBegins, None),
            _ => return false,
        };
        self.voice.world.count(fault);
        self.owes();
        let Some(status) = status else { return true };
        let id = self.name("resp");
        (self.owed, self.spoken_over) = (self.owed && purpose.is_some(), false);
        let metadata = purpose.map(|purpose| json!({"purpose": purpose}));
        let response = json!({"id": id, "conversation_id": "conv", "metadata": metadata});
        let created = json!({"type": "response.created", "response": response});
        self.tell(Wire { begins_reply: Some(purpose.is_some()), ..Wire::of(&created) });
        let details = json!({"type": status, "error": {"type": "server_error", "code": null}});
        let response = json!({"id": id, "conversation_id": "conv", "status": status, "status_details": details, "output": []});
        let done = json!({"type": "response.done", "response": response});
        self.after(50, 400, Due::Tell(Wire::of(&done)));
        true
    }

    fn reply(&mut self, purpose: Option<&str>, foreign: Option<&'static str>) {
        if foreign.is_none() && self.comes_to_nothing(purpose) {
            return;
        }
        self.cared_for();
        let (concluding, turn) = (self.concluding && !self.concluded, self.turn(purpose));
        if let (false, Some(Turn::Calls { tool, arguments })) = (concluding, &turn) {
            return self.call_tool(purpose, tool, arguments);
        }
        if let Some(purpose) = purpose {
            conduct::speaks_when_asked(&self.voice.truth, &self.id, purpose);
        }
        if purpose == Some("opening") {
            self.voice.truth.lock().greetings += 1;
            self.voice.world.note(format_args!("voice: {} greets", self.id));
        }
        if let Some((before, item)) = self.playing.take() {
            // Its audio is heard first; here it is heard at once.
            self.is_heard_out(&item);
            self.tell_now(&json!({"type": "output_audio_buffer.stopped", "response_id": before}));
        }
        let (id, item) = (self.name("resp"), self.item_name("ai"));
        let metadata = purpose.map(|purpose| json!({"purpose": purpose}));
        (self.owed, self.spoken_over) = (self.owed && purpose.is_some(), false);
        let created =
            json!({"type": "response.created", "response": {"id": id, "conversation_id": "conv", "metadata": metadata}});
        self.tell(Wire { foreign, begins_reply: Some(purpose.is_some()), ..Wire::of(&created) });
        let mut words = self.rng.usize(4..24);
        let mut content = "words ".repeat(words);
        if let Some(Turn::Says(said)) = turn {
            (words, content) = (said.split(' ').count(), said);
        }
        let (told, text) = self.words(format!("{} says {content}", key(&item)).trim().to_owned());
        let concludes = std::mem::take(&mut self.concluding) && !self.concluded;
        let begun = matches!(told, Words::Begun(..));
        self.active = Some(Reply { id: id.clone(), item: item.clone(), text: text.clone(), begun, settled: false });
        self.playing = Some((id.clone(), item.clone()));
        self.tell_now(&json!({"type": "response.output_item.added", "response_id": id, "item": {"id": item, "type": "message", "role": "assistant"}}));
        self.place(json!({"id": item, "type": "message", "role": "assistant", "content": []}), Some(Speaker::Ai));
        self.tell_now(&json!({"type": "output_audio_buffer.started", "response_id": id}));
        if let Some(said) = self.voice.truth.lock().said.get_mut(&key(&item)) {
            said.full.clone_from(&text);
        }
        let half: String = if begun { text.clone() } else { text.chars().take(text.len() / 2).collect() };
        let delta = json!({"type": "response.output_audio_transcript.delta", "response_id": id, "item_id": item, "delta": half});
        self.at(Duration::from_millis(150), Due::Tell(Wire { begins: Some(key(&item)), ..Wire::of(&delta) }));
        let generated = Duration::from_millis(self.rng.u64(300..900));
        let settled = json!({"type": "response.output_audio_transcript.done", "response_id": id, "item_id": item});
        let wire = Wire { settles: Some(key(&item)), ..Wire::of(&told.into_event(settled)) };
        self.at(generated, Due::Final { item: item.clone(), wire });
        if concludes {
            self.concluded = true;
            let call = self.name("call");
            let tool = json!({"type": "response.function_call_arguments.done", "response_id": id, "item_id": call, "call_id": call, "name": "end_interview", "arguments": "{}"});
            self.at(generated, Due::Tell(Wire::of(&tool)));
        }
        // Some deltas and the whole text come with the end only.
        let incomplete = self.faulty.as_mut().is_some_and(|dice| dice.u8(0..20) == 0);
        if incomplete {
            self.voice.world.count(Fault::ReplyIncomplete);
        }
        let mut done = done(&id, &item, &text, if incomplete { "incomplete" } else { "completed" }, words as u64 * 8);
        if begun {
            done.text = done.text.replace(r#""transcript":"#, r#""nothing":"#);
            done.settles = None;
        }
        self.at(generated + Duration::from_millis(30), Due::ReplyDone { reply: id.clone(), wire: done });
        let heard = Duration::from_millis(words as u64 * 250 + self.rng.u64(0..500));
        self.at(generated.max(heard), Due::Heard { reply: id });
        if self.rng.u8(0..6) == 0 {
            // The candidate cuts in.
            self.after(400, 2_500, Due::CandidateSpeaks);
        }
    }

    fn is_heard_out(&self, item: &str) {
        if let Some(said) = self.voice.truth.lock().said.get_mut(&key(item)) {
            said.heard_out = Some(Instant::now());
        }
    }

    /// What a model does that is led through a plan.
    fn turn(&mut self, purpose: Option<&str>) -> Option<Turn> {
        let to_turn = purpose.is_none() || std::mem::take(&mut self.is_typed);
        let led = self.led.as_mut()?;
        if purpose == Some("goodbye") {
            return Some(Turn::Says("Thank you, goodbye.".to_owned()));
        }
        let (turn, erred) = led.replies(self.config["instructions"].as_str().unwrap_or_default(), to_turn);
        if erred {
            self.voice.world.count(Fault::WaywardInterviewer);
        }
        Some(turn)
    }

    /// A reply in which nothing is said.
    fn call_tool(&mut self, purpose: Option<&str>, tool: &str, arguments: &str) {
        let (id, call) = (self.name("resp"), self.name("call"));
        (self.owed, self.spoken_over) = (self.owed && purpose.is_some(), false);
        let metadata = purpose.map(|purpose| json!({"purpose": purpose}));
        let response = json!({"id": id, "conversation_id": "conv", "metadata": metadata});
        let created = json!({"type": "response.created", "response": response});
        self.tell(Wire { begins_reply: Some(purpose.is_some()), ..Wire::of(&created) });
        self.voice.world.note(format_args!("voice: {} calls {tool}", self.id));
        self.calling = Some(id.clone());
        let called = json!({"type": "response.function_call_arguments.done", "response_id": id, "item_id": call, "call_id": call, "name": tool, "arguments": arguments});
        let output = json!({"id": call, "type": "function_call", "call_id": call, "name": tool, "arguments": arguments});
        let done = json!({"type": "response.done", "response": {"id": id, "status": "completed", "conversation_id": "conv", "output": [output]}});
        let takes = Duration::from_millis(self.rng.u64(100..400));
        self.at(takes, Due::Called { reply: id.clone(), wire: Wire::of(&called) });
        self.at(takes + Duration::from_millis(30), Due::CallDone { reply: id, wire: Wire::of(&done) });
    }

    // ---- what becomes due ----

    fn happens(&mut self, due: Due) {
        match due {
            Due::Tell(wire) => self.tell(wire),
            Due::Final { item, wire } => {
                // A reply that was cut off meanwhile has its words in `response.done`.
                let cut = self.active.as_ref().is_none_or(|reply| reply.item != item) && item.starts_with("ai_");
                if !cut {
                    if let Some(active) = self.active.as_mut().filter(|reply| reply.item == item) {
                        active.settled = true;
                    }
                    self.settle(&item, &wire);
                }
            }
            Due::ReplyDone { reply, wire } => {
                if self.active.take_if(|active| active.id == reply).is_some() {
                    self.tell(wire);
                }
            }
            Due::Heard { reply } => {
                if let Some((_, item)) = self.playing.take_if(|(playing, _)| *playing == reply) {
                    self.is_heard_out(&item);
                    self.tell_now(&json!({"type": "output_audio_buffer.stopped", "response_id": reply}));
                    if !self.concluded {
                        let silent = self.led.as_mut().is_some_and(Interviewer::leaves_the_candidate_silent);
                        if silent {
                            self.voice.world.count(Fault::SilentCandidate);
                            self.after(15_000, 150_000, Due::CandidateSpeaks);
                        } else {
                            self.after(800, 4_000, Due::CandidateSpeaks);
                        }
                    }
                }
            }
            Due::Called { reply, wire } => {
                if self.calling.as_ref() == Some(&reply) {
                    // An answer to the call.
                    self.owes();
                    self.tell(wire);
                }
            }
            Due::CallDone { reply, wire } => {
                if self.calling.take_if(|calling| *calling == reply).is_some() {
                    self.tell(wire);
                }
            }
            Due::Conclude => self.concluding = true,
            Due::CandidateSpeaks => self.candidate_speaks(),
            Due::CandidateStops { item } => self.candidate_stops(&item),
            Due::Reply => {
                if !self.is_replying() {
                    self.reply(None, None);
                }
            }
        }
    }

    fn settle(&mut self, item: &str, wire: &Wire) {
        let event: Value = serde_json::from_str(&wire.text).unwrap_or_default();
        let text = event["transcript"].as_str().filter(|text| !text.is_empty());
        if let Some(said) = self.voice.truth.lock().said.get_mut(&key(item)) {
            said.text = text.map(|text| text.replace(['\0', HALF], "\u{fffd}"));
            said.only_begun = (text.is_none() && !said.full.is_empty()).then(|| said.full.clone());
        }
        self.tell(wire.clone());
    }

    fn candidate_speaks(&mut self) {
        if self.browser.is_none() {
            // Nobody is there; perhaps later.
            return self.after(2_000, 6_000, Due::CandidateSpeaks);
        }
        if self.due.values().any(|due| matches!(due, Due::CandidateStops { .. } | Due::Reply)) {
            return;
        }
        let item = self.item_name("me");
        self.spoken_over = true;
        // Whoever speaks waits for nothing.
        self.owed_since = None;
        let start = self.odd_ms(1);
        self.voice.truth.lock().calls.entry(self.id.clone()).and_modify(|call| call.begun.push(Instant::now()));
        self.tell_now(&json!({"type": "input_audio_buffer.speech_started", "item_id": item, "audio_start_ms": start}));
        if let Some(reply) = self.calling.take() {
            let response = json!({"id": reply, "status": "cancelled", "conversation_id": "conv", "status_details": {"type": "cancelled", "reason": "turn_detected"}, "output": []});
            self.tell_now(&json!({"type": "response.done", "response": response}));
        }
        if let Some((reply, cut)) = self.playing.take() {
            if std::mem::take(&mut self.concluded) {
                // The goodbye was not heard.
                self.concluding = true;
            }
            if let Some(active) = self.active.take() {
                let half = self.cut_off(&active);
                self.tell(done(&active.id, &active.item, &half, "cancelled", 20));
            }
            self.tell_now(&json!({"type": "output_audio_buffer.cleared", "response_id": reply}));
            let truncated = json!({"type": "conversation.item.truncated", "item_id": cut, "audio_end_ms": self.odd_ms(700)});
            self.tell(Wire { cuts: Some(key(&cut)), ..Wire::of(&truncated) });
        }
        self.after(600, 4_000, Due::CandidateStops { item });
    }

    fn candidate_stops(&mut self, item: &str) {
        let end = self.odd_ms(2);
        self.tell_now(&json!({"type": "input_audio_buffer.speech_stopped", "item_id": item, "audio_end_ms": end}));
        self.owed = true;
        let previous = self.items.last().cloned();
        self.tell_now(&json!({"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": previous}));
        self.place(
            json!({"id": item, "type": "message", "role": "user", "content": [{"type": "input_audio"}]}),
            Some(Speaker::Candidate),
        );
        let failed = self.rng.u8(0..25) == 0;
        let event = if failed {
            json!({"type": "conversation.item.input_audio_transcription.failed", "item_id": item, "error": {}})
        } else {
            let answers = format!("{} answers {}", key(item), self.rng.u32(..));
            let (told, text) = self.words(answers);
            if let Some(said) = self.voice.truth.lock().said.get_mut(&key(item)) {
                said.full = text;
            }
            if let Words::Begun(words, _) = &told {
                let delta = json!({"type": "conversation.item.input_audio_transcription.delta", "item_id": item, "delta": words});
                let wire = Wire { begins: Some(key(item)), ..Wire::of(&delta) };
                self.at(Duration::from_millis(100), Due::Tell(wire));
            }
            told.into_event(json!({"type": "conversation.item.input_audio_transcription.completed", "item_id": item}))
        };
        let wire = Wire { settles: Some(key(item)), ..Wire::of(&event) };
        // Often in the middle of the answer, sometimes after it.
        let latest = if self.rng.u8(0..5) == 0 { 5_000 } else { 1_500 };
        if self.config["audio"]["input"]["transcription"].is_null() {
            if let Some(said) = self.voice.truth.lock().said.get_mut(&key(item)) {
                said.unwritten = true;
            }
        } else {
            self.after(150, latest, Due::Final { item: item.to_owned(), wire });
        }
        self.after(200, 700, Due::Reply);
    }
}

fn done(reply: &str, item: &str, text: &str, status: &str, tokens: u64) -> Wire {
    let event = json!({"type": "response.done", "response": {
        "id": reply, "status": status, "conversation_id": "conv",
        "usage": {"output_token_details": {"audio_tokens": tokens}},
        "output": [{"id": item, "type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": text}]}],
    }});
    Wire { settles: Some(key(item)), ..Wire::of(&event) }
}

/// Stands for half a surrogate pair, which no string of ours can hold.
pub const HALF: char = '\u{f8ff}';

/// How words come.
enum Words {
    Final(String),
    /// All of them before the final ones, which say nothing.
    Begun(String, Option<Value>),
}

impl Words {
    fn into_event(self, mut event: Value) -> Value {
        match self {
            Self::Final(words) => event["transcript"] = json!(words),
            Self::Begun(_, Some(last)) => event["transcript"] = last,
            Self::Begun(_, None) => {}
        }
        event
    }
}

/// As the provider takes an update in: parts that are not named stay, and what stands deeper than the audio's input
/// and output is replaced whole.
fn merge(config: &mut Value, update: &Value, depth: u8) {
    let (Some(known), Some(update)) = (config.as_object_mut(), update.as_object()) else { return };
    for (part, told) in update {
        match known.get_mut(part) {
            Some(known) if known.is_object() && told.is_object() && depth < 2 => merge(known, told, depth + 1),
            _ => drop(known.insert(part.clone(), told.clone())),
        }
    }
}
