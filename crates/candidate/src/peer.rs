//! The media side: a WebRTC client in its own task.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::crypto::from_feature_flags;
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate as IceCandidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig, RtcError};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use crate::Error;
use crate::journal::Journal;

const PACKET: Duration = Duration::from_millis(20);
/// An Opus packet without sound. The sandbox listens to the level beside it only.
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
const SPEAKING: i8 = -20;
const QUIET: i8 = -110;
const COMMANDS: usize = 256;
const FAREWELL: Duration = Duration::from_millis(300);

/// What went over the wire so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioStats {
    pub packets_sent: u64,
    pub packets_received: u64,
    /// Packets that were not silence.
    pub speech_packets_received: u64,
}

#[derive(Debug, Default)]
struct Shared {
    connected: AtomicBool,
    channel_open: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    speech_received: AtomicU64,
}

#[derive(Debug)]
enum Command {
    Answer(String, oneshot::Sender<Result<(), Error>>),
    Speak(bool),
    Send(String),
    Close,
    /// Stop without a word, as a killed browser does.
    Vanish,
}

/// A candidate's browser, as far as WebRTC goes.
#[derive(Debug)]
pub struct WebRtcPeer {
    offer: String,
    commands: mpsc::Sender<Command>,
    journal: Journal,
    cursor: Mutex<usize>,
    shared: Arc<Shared>,
}

impl WebRtcPeer {
    /// A peer on 127.0.0.1, with its offer made: one audio track and the data channel.
    pub async fn new() -> Result<Self, Error> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let local = socket.local_addr()?;
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(Arc::new(from_feature_flags()))
            .clear_codecs()
            .enable_opus(true, false)
            .build(Instant::now());
        let candidate = IceCandidate::host(local, "udp").map_err(|error| Error::WebRtc(error.to_string()))?;
        rtc.add_local_candidate(candidate);
        let mut changes = rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        changes.add_channel("oai-events".to_owned());
        let (offer, pending) = changes.apply().ok_or_else(|| Error::WebRtc("nothing to offer".to_owned()))?;

        let (commands, inbox) = mpsc::channel(COMMANDS);
        let journal = Journal::default();
        let shared = Arc::new(Shared::default());
        let task = Task {
            rtc,
            socket,
            local,
            mid,
            pending: Some(pending),
            channel: None,
            texts: VecDeque::new(),
            speaking: false,
            rtp_time: 0,
            next_packet: Instant::now(),
            journal: journal.clone(),
            shared: shared.clone(),
            over: false,
        };
        tokio::spawn(task.run(inbox));
        Ok(Self { offer: offer.to_sdp_string(), commands, journal, cursor: Mutex::new(0), shared })
    }

    /// The SDP offer, to be sent byte for byte.
    pub fn offer(&self) -> &str {
        &self.offer
    }

    pub async fn accept(&self, answer: &str) -> Result<(), Error> {
        let (reply, accepted) = oneshot::channel();
        self.command(Command::Answer(answer.to_owned(), reply)).await?;
        accepted.await.unwrap_or_else(|_| Err(Error::WebRtc("the peer is closed".to_owned())))
    }

    /// Waits until media flows and the data channel is open.
    pub async fn wait_connected(&self, patience: Duration) -> Result<(), Error> {
        let until = Instant::now() + patience;
        while !self.is_connected() {
            if Instant::now() >= until {
                return Err(Error::Timeout { wanted: "a peer connection".to_owned(), waited: patience, seen: Vec::new() });
            }
            if self.is_closed() {
                return Err(Error::WebRtc("the peer connection failed".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed) && self.shared.channel_open.load(Ordering::Relaxed) && !self.is_closed()
    }

    /// The other side hung up, or we did.
    pub fn is_closed(&self) -> bool {
        self.journal.closed().is_some()
    }

    pub async fn wait_closed(&self, patience: Duration) -> Result<(), Error> {
        self.journal.wait_closed(patience).await.map(|_| ())
    }

    /// Speaks for so long, then is silent again.
    pub async fn speak(&self, length: Duration) -> Result<(), Error> {
        self.set_speaking(true).await?;
        tokio::time::sleep(length).await;
        self.set_speaking(false).await
    }

    pub async fn set_speaking(&self, speaking: bool) -> Result<(), Error> {
        self.command(Command::Speak(speaking)).await
    }

    /// Sends a client event on the data channel.
    pub async fn send(&self, event: &Value) -> Result<(), Error> {
        self.command(Command::Send(event.to_string())).await
    }

    /// The next server event of this type that was not waited for yet.
    pub async fn wait_event(&self, kind: &str, patience: Duration) -> Result<Value, Error> {
        self.wait_event_where(kind, patience, |event| event["type"] == kind).await
    }

    pub async fn wait_event_where(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Error> {
        let mut cursor = *self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.journal.wait(what, &mut cursor, patience, wanted).await;
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
        found
    }

    /// Later waits look only at what comes from now on.
    pub fn skip_events(&self) {
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = self.journal.len();
    }

    /// All server events so far.
    pub fn events(&self) -> Vec<Value> {
        self.journal.entries()
    }

    pub fn stats(&self) -> AudioStats {
        AudioStats {
            packets_sent: self.shared.sent.load(Ordering::Relaxed),
            packets_received: self.shared.received.load(Ordering::Relaxed),
            speech_packets_received: self.shared.speech_received.load(Ordering::Relaxed),
        }
    }

    /// Closes the connection politely.
    pub async fn close(&self) {
        let _ = self.command(Command::Close).await;
    }

    /// Is gone from one moment to the next.
    pub async fn vanish(&self) {
        let _ = self.command(Command::Vanish).await;
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| Error::WebRtc("the peer is closed".to_owned()))
    }
}

struct Task {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    mid: Mid,
    pending: Option<SdpPendingOffer>,
    channel: Option<ChannelId>,
    texts: VecDeque<String>,
    speaking: bool,
    rtp_time: u64,
    next_packet: Instant,
    journal: Journal,
    shared: Arc<Shared>,
    over: bool,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut buffer = vec![0; 2_048];
        loop {
            let wake = self.drive(Instant::now()).unwrap_or_else(|error| {
                tracing::debug!(%error, "the candidate's peer failed");
                self.over = true;
                Instant::now()
            });
            if self.over || !self.rtc.is_alive() {
                break;
            }
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    if let Ok((length, source)) = received {
                        self.receive(source, &buffer[..length]);
                    }
                }
                command = inbox.recv() => match command {
                    Some(Command::Vanish) => break,
                    // A dropped handle is a closed tab.
                    Some(Command::Close) | None => {
                        self.say_goodbye().await;
                        break;
                    }
                    Some(command) => self.obey(command),
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
        self.shared.connected.store(false, Ordering::Relaxed);
        self.journal.close(None, "the peer connection is closed".to_owned());
    }

    fn receive(&mut self, source: SocketAddr, bytes: &[u8]) {
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, bytes) {
            let _ = self.rtc.handle_input(Input::Receive(Instant::now(), receive));
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Answer(answer, reply) => {
                let accepted = self.accept(&answer);
                let _ = reply.send(accepted);
            }
            Command::Speak(speaking) => self.speaking = speaking,
            Command::Send(text) => self.texts.push_back(text),
            Command::Close | Command::Vanish => self.over = true,
        }
    }

    fn accept(&mut self, answer: &str) -> Result<(), Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::WebRtc(error.to_string());
        let answer = SdpAnswer::from_sdp_string(answer).map_err(|error| wrong(&error))?;
        let pending = self.pending.take().ok_or_else(|| wrong(&"the offer was answered already"))?;
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(|error| wrong(&error))
    }

    fn drive(&mut self, now: Instant) -> Result<Instant, RtcError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        let connected = self.shared.connected.load(Ordering::Relaxed);
        if connected {
            self.send_audio(now)?;
        }
        self.send_texts()?;
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    let at = if connected { at.min(self.next_packet) } else { at };
                    return Ok(at.max(now + Duration::from_millis(1)));
                }
                // A full buffer loses a packet, as networks do.
                Output::Transmit(transmit) => {
                    let _ = self.socket.try_send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(event) => self.notice(event, now),
            }
            if !self.rtc.is_alive() {
                return Ok(now);
            }
        }
    }

    fn notice(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => {
                self.next_packet = now;
                self.shared.connected.store(true, Ordering::Relaxed);
            }
            Event::ChannelOpen(id, _) => {
                self.channel = Some(id);
                self.shared.channel_open.store(true, Ordering::Relaxed);
            }
            Event::ChannelData(data) => match serde_json::from_slice(&data.data) {
                Ok(event) => self.journal.push(event),
                Err(error) => tracing::debug!(%error, "not an event"),
            },
            Event::MediaData(data) => {
                self.shared.received.fetch_add(1, Ordering::Relaxed);
                if data.data.len() > SILENCE.len() {
                    self.shared.speech_received.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::ChannelClose(_) | Event::Closed | Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.over = true;
            }
            _ => {}
        }
    }

    fn send_audio(&mut self, now: Instant) -> Result<(), RtcError> {
        // A loaded machine wakes us late; half a second of packets is not sent at once.
        if now.saturating_duration_since(self.next_packet) > PACKET * 25 {
            self.next_packet = now;
        }
        while self.next_packet <= now {
            let Some(pt) = self.rtc.media(self.mid).and_then(|media| media.remote_pts().first().copied()) else { return Ok(()) };
            let level = if self.speaking { SPEAKING } else { QUIET };
            if let Some(writer) = self.rtc.writer(self.mid) {
                let time = MediaTime::new(self.rtp_time, Frequency::FORTY_EIGHT_KHZ);
                // Chromium sets the voice bit on every packet, so do we.
                writer.audio_level(level, true).write(pt, self.next_packet, time, SILENCE.to_vec())?;
                self.shared.sent.fetch_add(1, Ordering::Relaxed);
            }
            self.rtp_time += 960;
            self.next_packet += PACKET;
        }
        Ok(())
    }

    fn send_texts(&mut self) -> Result<(), RtcError> {
        let Some(id) = self.channel else { return Ok(()) };
        while let Some(text) = self.texts.front() {
            let Some(mut channel) = self.rtc.channel(id) else { break };
            if !channel.write(false, text.as_bytes())? {
                break;
            }
            self.texts.pop_front();
        }
        Ok(())
    }

    async fn say_goodbye(&mut self) {
        if self.rtc.close().is_err() {
            return;
        }
        let until = Instant::now() + FAREWELL;
        let mut buffer = vec![0; 2_048];
        while self.rtc.is_alive() && Instant::now() < until {
            let Ok(wake) = self.drive(Instant::now()) else { return };
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    if let Ok((length, source)) = received {
                        self.receive(source, &buffer[..length]);
                    }
                }
                () = tokio::time::sleep_until(wake.min(until).into()) => {}
            }
        }
    }
}
