//! A page that behaves like web/sdk, without the browser: it numbers its updates, keeps them until they are acknowledged, comes
//! back with a new ticket, and sends again what was not acknowledged.

// As in proxy.rs.
#![allow(dead_code)]

use super::process::Process;
use super::{ORIGIN, World};
use futures_util::{SinkExt, StreamExt};
use interview_runtime::ids::SessionId;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const PATIENCE: Duration = Duration::from_mins(1);
/// As in web/sdk: what was not acknowledged for this long is said again.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Page {
    pub session: SessionId,
    rng: fastrand::Rng,
    pace_ms: u64,
    /// Everything said, in order.
    pub said: Vec<String>,
    /// Messages that are not acknowledged: number and how many entries of `said`.
    pending: VecDeque<(u64, usize)>,
    next_seq: u64,
    socket: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    last_ack: Instant,
    pub progress: Arc<Progress>,
    /// Close codes and error events seen.
    pub told: Vec<Value>,
}

/// How far a page is, for others to watch.
#[derive(Debug, Default)]
pub struct Progress {
    pub said: AtomicUsize,
    pub acked: AtomicUsize,
}

impl Page {
    /// `pace_ms`: the longest pause between two messages.
    pub fn new(session: SessionId, rng: fastrand::Rng, pace_ms: u64) -> Self {
        let progress = Arc::default();
        let last_ack = Instant::now();
        Self {
            session,
            rng,
            pace_ms,
            said: vec![],
            pending: VecDeque::new(),
            next_seq: 1,
            socket: None,
            last_ack,
            progress,
            told: vec![],
        }
    }

    /// How many entries of `said` the server has acknowledged.
    pub fn acked(&self) -> usize {
        self.said.len() - self.pending.iter().map(|(_, entries)| entries).sum::<usize>()
    }

    pub fn in_flight(&self) -> usize {
        self.said.len() - self.acked()
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Say one to three things, heard now or later.
    pub async fn say(&mut self) {
        let entries = self.rng.usize(1..=3);
        self.said.extend((0..entries).map(|n| (self.said.len() + n).to_string()).collect::<Vec<_>>());
        self.pending.push_back((self.next_seq, entries));
        self.next_seq += 1;
        self.progress.said.store(self.said.len(), Ordering::Relaxed);
        if self.is_connected() {
            self.send(self.pending.len() - 1).await;
        }
    }

    async fn send(&mut self, index: usize) {
        let first = self.acked() + self.pending.iter().take(index).map(|(_, entries)| entries).sum::<usize>();
        let (seq, entries) = self.pending[index];
        let entries: Vec<Value> = self.said[first..first + entries]
            .iter()
            .map(|text| json!({"id": format!("e{text}"), "text": text, "speaker": "candidate", "timestamp": "2026-11-23T10:00:00Z"}))
            .collect();
        let message = json!({"type": "transcript_update", "seq": seq, "entries": entries}).to_string();
        if let Some(socket) = &mut self.socket
            && !matches!(timeout(PATIENCE, socket.send(Message::text(message))).await, Ok(Ok(())))
        {
            self.socket = None;
        }
    }

    async fn send_all(&mut self) {
        self.last_ack = Instant::now();
        for index in 0..self.pending.len() {
            self.send(index).await;
        }
    }

    /// One try to come back, with a new ticket.
    pub async fn connect(&mut self, world: &World, url: &str) -> bool {
        self.socket = None;
        let ticket = world.ticket(self.session).await;
        let mut request = url.into_client_request().expect("an address");
        request.headers_mut().insert("origin", ORIGIN.parse().expect("an origin"));
        let protocols = format!("interview.v1, ticket.{ticket}");
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().expect("protocols"));
        let opened = timeout(Duration::from_secs(5), tokio_tungstenite::connect_async(request)).await;
        let Ok(Ok((socket, _))) = opened else { return false };
        self.socket = Some(socket);
        let limit = Instant::now() + Duration::from_secs(15);
        while let Some(event) = self.event(limit).await {
            if event["type"] == "session_ready" {
                self.acknowledge(event["acked_seq"].as_u64().expect("a number"));
                self.send_all().await;
                return self.is_connected();
            }
        }
        self.socket = None;
        false
    }

    pub async fn come_back(&mut self, world: &World, process: &Process) {
        let limit = Instant::now() + PATIENCE;
        while !self.connect(world, &process.websocket_url()).await {
            let (told, log) = (self.told.last(), process.lines());
            assert!(Instant::now() < limit, "the page was not let in again: {told:?}; {log:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The next event; none at the limit, or when the connection is lost.
    async fn event(&mut self, limit: Instant) -> Option<Value> {
        let socket = self.socket.as_mut()?;
        loop {
            let next = tokio::select! { next = socket.next() => next, () = sleep_until(limit) => return None };
            match next {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).ok(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    self.told.push(json!({"closed": frame.map(|frame| u16::from(frame.code))}));
                    self.socket = None;
                    return None;
                }
                _ => {
                    self.socket = None;
                    return None;
                }
            }
        }
    }

    fn acknowledge(&mut self, seq: u64) {
        while self.pending.front().is_some_and(|(pending, _)| *pending <= seq) {
            self.pending.pop_front();
            self.last_ack = Instant::now();
        }
        self.progress.acked.store(self.acked(), Ordering::Relaxed);
    }

    fn take(&mut self, event: Value) {
        match event["type"].as_str() {
            Some("transcript_ack") => self.acknowledge(event["seq"].as_u64().expect("a number")),
            Some("error") => self.told.push(event),
            _ => {}
        }
    }

    /// Speak and listen until then, or until the connection is lost.
    pub async fn talk(&mut self, until: Instant) {
        let mut next = Instant::now();
        while self.is_connected() && Instant::now() < until {
            if Instant::now() >= next {
                self.say().await;
                next = Instant::now() + Duration::from_millis(self.rng.u64(1..=self.pace_ms));
            }
            if self.in_flight() > 0 && self.last_ack.elapsed() > ACK_TIMEOUT {
                self.send_all().await;
            }
            if let Some(event) = self.event(next.min(until)).await {
                self.take(event);
            }
        }
    }

    /// Listen until everything is acknowledged. False when the connection is lost before.
    pub async fn hear_out(&mut self) -> bool {
        let limit = Instant::now() + PATIENCE;
        while self.in_flight() > 0 && self.is_connected() {
            assert!(Instant::now() < limit, "{} entries were not acknowledged in time", self.in_flight());
            if self.last_ack.elapsed() > ACK_TIMEOUT {
                self.send_all().await;
            }
            if let Some(event) = self.event(Instant::now() + Duration::from_secs(1)).await {
                self.take(event);
            }
        }
        self.is_connected()
    }

    pub async fn end_interview(&mut self) {
        if let Some(socket) = &mut self.socket {
            let _ = socket.send(Message::text(json!({"type": "end_session"}).to_string())).await;
        }
    }

    /// The promise itself: what is stored is what was said, in order, each entry once, and at
    /// least as far as it was acknowledged.
    pub async fn check(&self, world: &World) {
        let stored: Vec<String> = world.rows(self.session).await.into_iter().map(|row| row.2).collect();
        assert!(stored.len() >= self.acked(), "LOST: {} acknowledged, {} stored ({})", self.acked(), stored.len(), self.session);
        assert!(stored.len() <= self.said.len(), "DOUBLED: {} said, {} stored ({})", self.said.len(), stored.len(), self.session);
        let wrong = stored.iter().zip(&self.said).position(|(stored, said)| stored != said);
        assert_eq!(wrong, None, "OUT OF ORDER at {wrong:?} ({})", self.session);
    }
}
