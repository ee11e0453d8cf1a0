//! The WebRTC end of a call: one `Rtc` state machine, fed by its call's task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::crypto::from_feature_flags;
use str0m::media::{Frequency, MediaData, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig, RtcError};

use super::clips::{Clip, PACKET, SILENCE};
use super::net::{Datagram, UdpHub};
use super::problem::Problem;

/// One message may be as large as the browser says; several may wait.
const SEND_BUFFER: usize = 4 * 1024 * 1024;
const MAX_WAITING_TEXTS: usize = 4_096;
/// A timer that was late by more than this does not make up for it.
const LONGEST_CATCH_UP: Duration = Duration::from_millis(200);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    Connected,
    ChannelOpen,
    Text(String),
    /// A packet with sound, and its level in decibels below overload.
    Audio(i8),
    Gone,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Traffic {
    pub packets_in: u64,
    pub packets_out: u64,
    pub level: Option<i8>,
}

#[derive(Debug)]
pub struct Peer {
    rtc: Rtc,
    hub: UdpHub,
    ufrag: String,
    audio: Option<Mid>,
    channel: Option<ChannelId>,
    connected: bool,
    speech: VecDeque<Arc<[u8]>>,
    texts: VecDeque<Arc<str>>,
    silence: Arc<[u8]>,
    rtp_time: u64,
    next_packet: Instant,
    /// As if the network were gone: nothing comes in or goes out.
    pub cut_off: bool,
    pub traffic: Traffic,
}

impl Peer {
    /// Accepts a browser's offer. Gives the peer and the SDP answer.
    pub fn accept(offer: &str, hub: UdpHub, now: Instant) -> Result<(Self, String), Problem> {
        check_offer(offer)?;
        let offer = SdpOffer::from_sdp_string(offer).map_err(|error| parse_failure(&error.to_string()))?;
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(Arc::new(from_feature_flags()))
            .clear_codecs()
            .enable_opus(true, false)
            .set_ice_lite(true)
            .set_sctp_max_buffered_amount(SEND_BUFFER)
            .build(now);
        for address in hub.addresses() {
            if let Ok(candidate) = Candidate::host(address, "udp") {
                rtc.add_local_candidate(candidate);
            }
        }
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| {
            tracing::debug!(%error, "an offer was refused");
            Problem::invalid("invalid_offer", "Please try again with a WHIP-compliant offer")
        })?;
        let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        let peer = Self {
            rtc,
            hub,
            ufrag,
            audio: None,
            channel: None,
            connected: false,
            speech: VecDeque::new(),
            texts: VecDeque::new(),
            silence: Arc::from(SILENCE.as_slice()),
            rtp_time: 0,
            next_packet: now,
            cut_off: false,
            traffic: Traffic::default(),
        };
        Ok((peer, answer.to_sdp_string()))
    }

    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// No datagram is for this peer any more.
    pub fn unregister(&self) {
        self.hub.unregister(&self.ufrag);
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    pub fn has_channel(&self) -> bool {
        self.channel.is_some()
    }

    pub fn receive(&mut self, datagram: &Datagram, now: Instant) {
        if self.cut_off {
            return;
        }
        let Ok(receive) = Receive::new(Protocol::Udp, datagram.source, datagram.destination, &datagram.bytes) else { return };
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
            tracing::debug!(%error, "a datagram was refused");
        }
    }

    /// Appends speech to what is being said.
    pub fn play(&mut self, clip: &Clip) {
        self.speech.extend(clip.packets().iter().cloned());
    }

    pub fn silence(&mut self) {
        self.speech.clear();
    }

    /// Sends text on the data channel. Without a channel nobody listens.
    pub fn send(&mut self, text: Arc<str>) {
        if self.channel.is_some() && self.texts.len() < MAX_WAITING_TEXTS {
            self.texts.push_back(text);
        }
    }

    /// Says goodbye on the wire; keep driving until [`Peer::is_alive`] is false.
    pub fn close(&mut self) {
        if let Err(error) = self.rtc.close() {
            tracing::debug!(%error, "closing a peer failed");
            self.rtc.disconnect();
        }
    }

    pub fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// Does what is due. Gives what happened and when to come again.
    pub fn drive(&mut self, now: Instant, events: &mut Vec<PeerEvent>) -> Instant {
        let step = self.advance(now, events);
        step.unwrap_or_else(|error| {
            tracing::debug!(%error, "a peer failed");
            self.rtc.disconnect();
            events.push(PeerEvent::Gone);
            now + Duration::from_secs(1)
        })
    }

    fn advance(&mut self, now: Instant, events: &mut Vec<PeerEvent>) -> Result<Instant, RtcError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.send_audio(now)?;
        self.send_texts()?;
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    let at = if self.connected { at.min(self.next_packet) } else { at };
                    return Ok(at.max(now + Duration::from_millis(1)));
                }
                Output::Transmit(transmit) => {
                    if !self.cut_off {
                        self.hub.send(transmit.source, transmit.destination, &transmit.contents);
                    }
                }
                Output::Event(event) => self.notice(event, now, events),
            }
            if !self.rtc.is_alive() {
                return Ok(now + Duration::from_secs(1));
            }
        }
    }

    fn notice(&mut self, event: Event, now: Instant, events: &mut Vec<PeerEvent>) {
        match event {
            Event::Connected => {
                self.connected = true;
                self.next_packet = now;
                events.push(PeerEvent::Connected);
            }
            Event::MediaAdded(media) => self.audio = Some(media.mid),
            Event::MediaData(data) => self.hear(&data, events),
            Event::ChannelOpen(id, label) => {
                tracing::debug!(label, "data channel open");
                self.channel = Some(id);
                events.push(PeerEvent::ChannelOpen);
            }
            // Binary is not part of the protocol.
            Event::ChannelData(data) => events.extend(String::from_utf8(data.data).ok().map(PeerEvent::Text)),
            Event::ChannelClose(id) if self.channel == Some(id) => events.push(PeerEvent::Gone),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if self.connected => events.push(PeerEvent::Gone),
            Event::Closed => events.push(PeerEvent::Gone),
            _ => {}
        }
    }

    fn hear(&mut self, data: &MediaData, events: &mut Vec<PeerEvent>) {
        self.traffic.packets_in += 1;
        // Chromium probes the path with empty packets that say nothing about sound.
        let Some(level) = data.ext_vals.audio_level.filter(|_| !data.data.is_empty()) else { return };
        self.traffic.level = Some(level);
        events.push(PeerEvent::Audio(level));
    }

    /// One packet each 20 ms, speech or silence: a gap would be filled with noise.
    fn send_audio(&mut self, now: Instant) -> Result<(), RtcError> {
        let Some(mid) = self.audio.filter(|_| self.connected) else { return Ok(()) };
        if now.saturating_duration_since(self.next_packet) > LONGEST_CATCH_UP {
            self.next_packet = now;
        }
        while self.next_packet <= now {
            let packet = self.speech.pop_front().unwrap_or_else(|| self.silence.clone());
            // The browser chose the number: 111 in Chromium, 109 in Firefox.
            let Some(pt) = self.rtc.media(mid).and_then(|media| media.remote_pts().first().copied()) else { return Ok(()) };
            if let Some(writer) = self.rtc.writer(mid) {
                let time = MediaTime::new(self.rtp_time, Frequency::FORTY_EIGHT_KHZ);
                writer.write(pt, self.next_packet, time, packet)?;
                self.traffic.packets_out += 1;
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
            // Not accepted: the buffer is full, the next round tries again.
            if !channel.write(false, text.as_bytes())? {
                break;
            }
            self.texts.pop_front();
        }
        Ok(())
    }
}

/// What the vendor's parser wants before it looks at the content.
fn check_offer(offer: &str) -> Result<(), Problem> {
    if !offer.ends_with('\n') {
        return Err(parse_failure("failed to unmarshal SDP: EOF"));
    }
    if !offer.starts_with("v=0") {
        return Err(parse_failure("failed to unmarshal SDP: sdp: syntax error at pos 0"));
    }
    if !offer.lines().any(|line| line.starts_with("m=audio")) || !offer.contains("a=ice-ufrag:") {
        return Err(Problem::invalid("invalid_offer", "Please try again with a WHIP-compliant offer"));
    }
    Ok(())
}

fn parse_failure(reason: &str) -> Problem {
    Problem::invalid("invalid_offer", format!("Failed to parse offer: {reason}"))
}
