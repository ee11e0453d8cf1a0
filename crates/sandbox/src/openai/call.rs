//! One call: its peer, its sidebands and its interviewer, in one task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::interviewer::{Interviewer, Output};
use super::net::Datagram;
use super::peer::{Peer, PeerEvent};
use super::recording::WireLog;
use crate::util::lock;

pub const EXPIRED: &str = "Your session hit the maximum duration of 60 minutes.";
const MAX_SIDEBANDS: usize = 8;
const DATAGRAMS_AT_ONCE: usize = 64;
/// How long a closed peer may take to say goodbye.
const FAREWELL: Duration = Duration::from_millis(300);

/// From the outside to the call's task.
#[derive(Debug)]
pub enum Command {
    Attach { sideband: u64, outbox: mpsc::Sender<ToSideband> },
    Detach { sideband: u64 },
    ClientEvent { text: String },
    HangUp,
    Fault(String),
}

/// From the call's task to a sideband's socket.
#[derive(Clone, Debug)]
pub enum ToSideband {
    Event(Arc<str>),
    Close {
        code: u16,
        reason: &'static str,
    },
    /// Cut the connection without a word.
    Drop,
}

/// What can be seen of a call from outside.
#[derive(Clone, Debug, Serialize)]
pub struct CallSnapshot {
    pub call_id: String,
    pub session_id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: time::OffsetDateTime,
    /// The call can still be joined.
    pub alive: bool,
    pub end_reason: Option<&'static str>,
    pub peer_connected: bool,
    pub channel_open: bool,
    pub sidebands: usize,
    pub packets_in: u64,
    pub packets_out: u64,
    /// Of the last packet with sound, in decibels below overload.
    pub audio_level: Option<i8>,
    pub candidate_speaks: bool,
    pub interviewer_speaks: bool,
    pub questions_asked: usize,
    pub interview_over: bool,
    /// Server events sent so far, by type.
    pub events_sent: BTreeMap<String, u64>,
    pub client_events: u64,
    pub session: Value,
    pub items: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    HungUp,
    Expired,
    PeerLeft,
    PeerClosed,
    NeverConnected,
    Shutdown,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::HungUp => "hung_up",
            Self::Expired => "expired",
            Self::PeerLeft => "peer_left",
            Self::PeerClosed => "peer_closed_by_fault",
            Self::NeverConnected => "never_connected",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What the registry keeps of a call.
#[derive(Clone, Debug)]
pub struct CallHandle {
    pub commands: mpsc::Sender<Command>,
    pub state: Arc<Mutex<CallSnapshot>>,
    /// Made with an ephemeral key: the vendor finds no session for its sideband.
    pub ephemeral: bool,
}

impl CallHandle {
    pub fn is_alive(&self) -> bool {
        lock(&self.state).alive
    }
}

pub struct CallTask {
    pub peer: Peer,
    pub interviewer: Interviewer,
    pub datagrams: mpsc::Receiver<Datagram>,
    pub commands: mpsc::Receiver<Command>,
    pub state: Arc<Mutex<CallSnapshot>>,
    pub started: Instant,
    pub longest: Duration,
    pub patience: Duration,
    pub stop: CancellationToken,
    pub log: WireLog,
    pub sidebands: Sidebands,
    /// Faults: events that sidebands do not get to see.
    pub muted: Muted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Muted {
    #[default]
    Nothing,
    /// What the candidate says and when: as if the vendor did not send it to sidebands.
    Speech,
    Everything,
}

#[derive(Debug, Default)]
pub struct Sidebands {
    outboxes: Vec<(u64, mpsc::Sender<ToSideband>)>,
}

impl Sidebands {
    /// Above the bound the oldest has to go; clients use one.
    fn attach(&mut self, id: u64, outbox: mpsc::Sender<ToSideband>) {
        if self.outboxes.len() >= MAX_SIDEBANDS {
            let (_, oldest) = self.outboxes.remove(0);
            let _ = oldest.try_send(ToSideband::Drop);
        }
        self.outboxes.push((id, outbox));
    }

    /// One that cannot keep up is cut off, as a socket with a full buffer would be.
    fn send(&mut self, message: &ToSideband) {
        self.outboxes.retain(|(_, outbox)| outbox.try_send(message.clone()).is_ok());
    }
}

impl CallTask {
    pub async fn run(mut self) {
        let end = self.live().await;
        tracing::debug!(call = %lock(&self.state).call_id, reason = end.name(), "a call ends");
        {
            let mut state = lock(&self.state);
            state.alive = false;
            state.end_reason = Some(end.name());
            state.peer_connected = false;
            state.channel_open = false;
        }
        match end {
            End::HungUp => self.sidebands.send(&ToSideband::Close { code: 1000, reason: "" }),
            End::Expired => self.sidebands.send(&ToSideband::Close { code: 1001, reason: EXPIRED }),
            End::Shutdown => self.sidebands.send(&ToSideband::Drop),
            // The vendor tells a sideband nothing when the peer leaves.
            End::PeerLeft | End::PeerClosed | End::NeverConnected => {}
        }
        if end != End::PeerLeft {
            self.close_peer().await;
        }
        self.peer.unregister();
        self.keep_sidebands().await;
    }

    async fn live(&mut self) -> End {
        loop {
            let now = Instant::now();
            let wake = match self.turn(now) {
                Ok(wake) => wake,
                Err(end) => return end,
            };
            tokio::select! {
                datagram = self.datagrams.recv() => self.receive(datagram),
                command = self.commands.recv() => {
                    let Some(command) = command else { return End::Shutdown };
                    if let Some(end) = self.obey(command) {
                        return end;
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
                () = self.stop.cancelled() => return End::Shutdown,
            }
        }
    }

    fn receive(&mut self, datagram: Option<Datagram>) {
        let now = Instant::now();
        let mut next = datagram;
        for _ in 0..DATAGRAMS_AT_ONCE {
            let Some(datagram) = next else { return };
            self.peer.receive(&datagram, now);
            next = self.datagrams.try_recv().ok();
        }
    }

    /// Lets everything happen that is due, and says when to come back.
    fn turn(&mut self, now: Instant) -> Result<Instant, End> {
        let age = now.duration_since(self.started);
        if age >= self.longest {
            self.expire(age);
            return Err(End::Expired);
        }
        if age >= self.patience && !self.peer.is_connected() {
            return Err(End::NeverConnected);
        }
        let mut events = Vec::new();
        let mut wake = self.peer.drive(now, &mut events);
        let mut gone = false;
        for event in events {
            match event {
                PeerEvent::Connected => self.interviewer.media_connected(age),
                PeerEvent::ChannelOpen => self.interviewer.channel_opened(age),
                PeerEvent::Audio(level) => self.interviewer.hear(age, level),
                PeerEvent::Text(text) => self.client_event("data-channel", &text, age),
                PeerEvent::Gone => gone = true,
            }
        }
        self.interviewer.advance(age);
        if self.deliver() {
            // What was just said must leave in this very turn.
            wake = now;
        }
        self.publish();
        if gone || !self.peer.is_alive() {
            return Err(End::PeerLeft);
        }
        if let Some(due) = self.interviewer.deadline() {
            wake = wake.min(self.started + due);
        }
        Ok(wake.min(self.started + self.longest))
    }

    fn client_event(&mut self, from: &'static str, text: &str, age: Duration) {
        lock(&self.state).client_events += 1;
        let refusal = self.interviewer.client_event(age, text);
        self.log.client_event(from, text, refusal.as_ref());
    }

    fn obey(&mut self, command: Command) -> Option<End> {
        let age = self.started.elapsed();
        match command {
            Command::Attach { sideband, outbox } => self.sidebands.attach(sideband, outbox),
            Command::Detach { sideband } => self.sidebands.outboxes.retain(|(id, _)| *id != sideband),
            Command::ClientEvent { text } => self.client_event("sideband", &text, age),
            Command::HangUp => return Some(End::HungUp),
            Command::Fault(name) => return self.fault(&name, age),
        }
        None
    }

    fn fault(&mut self, name: &str, age: Duration) -> Option<End> {
        match name {
            "drop_sideband" => {
                self.sidebands.send(&ToSideband::Drop);
                self.sidebands.outboxes.clear();
            }
            "close_sideband" => {
                self.sidebands.send(&ToSideband::Close { code: 1011, reason: "internal error" });
                self.sidebands.outboxes.clear();
            }
            "mute_sideband_speech" => self.muted = Muted::Speech,
            "mute_sideband" => self.muted = Muted::Everything,
            "unmute_sideband" => self.muted = Muted::Nothing,
            "fail_transcription" => self.interviewer.fail_next_transcription(),
            "make_up_transcription" => self.interviewer.make_up_next_transcription(),
            "lose_network" => self.peer.cut_off = true,
            "hang_up_peer" => return Some(End::PeerClosed),
            "expire_call" => {
                self.expire(age);
                return Some(End::Expired);
            }
            other => tracing::warn!(fault = other, "no such fault in a call"),
        }
        None
    }

    fn expire(&mut self, age: Duration) {
        self.interviewer.advance(age);
        self.interviewer.expire(EXPIRED);
        self.deliver();
    }

    /// Hands the interviewer's outputs on. `true` when the peer got something.
    fn deliver(&mut self) -> bool {
        let outputs = self.interviewer.take_outputs();
        let any = !outputs.is_empty();
        for output in outputs {
            match output {
                Output::Event(event) => {
                    let kind = event["type"].as_str().unwrap_or_default();
                    let text: Arc<str> = Arc::from(event.to_string());
                    let hidden = match self.muted {
                        Muted::Nothing => false,
                        Muted::Speech => is_about_speech(kind),
                        Muted::Everything => true,
                    };
                    if !hidden {
                        self.sidebands.send(&ToSideband::Event(text.clone()));
                    }
                    self.count(kind);
                    self.peer.send(text);
                }
                Output::ChannelEvent(event) => {
                    self.count(event["type"].as_str().unwrap_or_default());
                    self.peer.send(Arc::from(event.to_string()));
                }
                Output::Play(clip) => self.peer.play(&clip),
                Output::Silence => self.peer.silence(),
            }
        }
        if any {
            let mut state = lock(&self.state);
            state.items = self.interviewer.items().iter().map(|item| item.value.clone()).collect();
            state.session = self.interviewer.session().value().clone();
            state.questions_asked = self.interviewer.questions_asked();
            state.interview_over = self.interviewer.is_over();
        }
        any
    }

    fn count(&self, kind: &str) {
        *lock(&self.state).events_sent.entry(kind.to_owned()).or_default() += 1;
    }

    fn publish(&self) {
        let mut state = lock(&self.state);
        state.peer_connected = self.peer.is_connected();
        state.channel_open = self.peer.has_channel();
        state.sidebands = self.sidebands.outboxes.len();
        state.packets_in = self.peer.traffic.packets_in;
        state.packets_out = self.peer.traffic.packets_out;
        state.audio_level = self.peer.traffic.level;
        state.candidate_speaks = self.interviewer.hears_speech();
        state.interviewer_speaks = self.interviewer.is_speaking();
    }

    /// The last words leave first, then the connection is closed politely.
    async fn close_peer(&mut self) {
        let mut events = Vec::new();
        self.peer.drive(Instant::now(), &mut events);
        self.peer.close();
        let until = Instant::now() + FAREWELL;
        while self.peer.is_alive() && Instant::now() < until {
            let wake = self.peer.drive(Instant::now(), &mut events).min(until);
            tokio::select! {
                datagram = self.datagrams.recv() => self.receive(datagram),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Sidebands of an ended call stay open and silent until they give up, or until the
    /// call would have expired.
    async fn keep_sidebands(&mut self) {
        let expiry = self.started + self.longest;
        loop {
            self.sidebands.outboxes.retain(|(_, outbox)| !outbox.is_closed());
            lock(&self.state).sidebands = self.sidebands.outboxes.len();
            if self.sidebands.outboxes.is_empty() {
                return;
            }
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Detach { sideband }) => self.sidebands.outboxes.retain(|(id, _)| *id != sideband),
                    Some(Command::Fault(name)) if name == "drop_sideband" => self.sidebands.send(&ToSideband::Drop),
                    Some(_) => {}
                    None => return,
                },
                () = tokio::time::sleep_until(expiry.into()) => return,
                () = self.stop.cancelled() => return,
            }
        }
    }
}

fn is_about_speech(kind: &str) -> bool {
    kind.starts_with("input_audio_buffer.") || kind.starts_with("conversation.item.input_audio_transcription.")
}
