//! A browser's socket that is read while it writes, for tests that send much.

// The campaigns use the other parts.
#![allow(dead_code)]

use super::ORIGIN;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const PATIENCE: Duration = Duration::from_mins(2);

/// What the page has heard so far.
#[derive(Debug, Default)]
pub struct Told {
    pub ready: Option<u64>,
    pub consented: bool,
    /// Answers to offers, and refusals of them.
    pub answers: usize,
    pub errors: u64,
    pub acks: u64,
    /// All updates up to this number are stored.
    pub acked: u64,
    /// Numbers of updates that were refused.
    pub refused: HashSet<u64>,
    pub ended: bool,
    /// The code that the connection ended with.
    pub closed: Option<u16>,
}

pub struct Stream {
    sink: SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>,
    told: Arc<Mutex<Told>>,
    changed: watch::Receiver<()>,
}

impl Stream {
    /// None: the process does not let us in.
    pub async fn join(url: &str, ticket: &str) -> Option<Self> {
        let mut request = url.into_client_request().ok()?;
        request.headers_mut().insert("origin", ORIGIN.parse().ok()?);
        request.headers_mut().insert("sec-websocket-protocol", format!("interview.v1, ticket.{ticket}").parse().ok()?);
        let (socket, _) = tokio_tungstenite::connect_async(request).await.ok()?;
        let (sink, mut stream) = socket.split();
        let told = Arc::<Mutex<Told>>::default();
        let (change, changed) = watch::channel(());
        let (heard, listening) = (told.clone(), change);
        tokio::spawn(async move {
            let mut code = 1006;
            while let Some(Ok(message)) = stream.next().await {
                let text = match message {
                    Message::Text(text) => text,
                    Message::Close(frame) => {
                        code = frame.map_or(1005, |frame| frame.code.into());
                        continue;
                    }
                    _ => continue,
                };
                let event: Value = serde_json::from_str(&text).expect("JSON");
                heard.lock().unwrap_or_else(PoisonError::into_inner).take(&event);
                listening.send_replace(());
            }
            heard.lock().unwrap_or_else(PoisonError::into_inner).closed = Some(code);
            listening.send_replace(());
        });
        let mut page = Self { sink, told, changed };
        page.until("the greeting", |told| told.ready.is_some()).await.then_some(page)
    }

    /// What is sent to a connection that is over is lost, as it would be.
    pub async fn send(&mut self, text: String) {
        let _ = timeout(PATIENCE, self.sink.send(Message::text(text))).await.expect("it is read");
    }

    pub async fn say(&mut self, message: Value) {
        self.send(message.to_string()).await;
    }

    pub async fn consent(&mut self) {
        self.say(json!({"type": "consent", "kinds": ["ai_evaluation", "recording"], "policy_version": "2026-11"})).await;
        assert!(self.until("the consent", |told| told.consented).await, "it is recorded");
    }

    pub fn told<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn closed(&self) -> Option<u16> {
        self.told(|told| told.closed)
    }

    /// Waits until it was told this; false when the connection ends before.
    pub async fn until(&mut self, what: &str, heard: impl Fn(&Told) -> bool) -> bool {
        let wait = async {
            loop {
                let (heard, closed) = self.told(|told| (heard(told), told.closed.is_some()));
                if heard || closed {
                    return heard;
                }
                let _ = self.changed.changed().await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} did not come"))
    }
}

impl Told {
    fn take(&mut self, event: &Value) {
        match event["type"].as_str().unwrap_or_default() {
            "session_ready" => {
                self.acked = event["acked_seq"].as_u64().unwrap_or_default();
                self.ready = Some(self.acked);
            }
            "consent_recorded" => self.consented = true,
            "sdp_answer" => self.answers += 1,
            "transcript_ack" => {
                self.acks += 1;
                self.acked = self.acked.max(event["seq"].as_u64().unwrap_or_default());
            }
            "error" => {
                self.errors += 1;
                if event["request_type"] == "transcript_update" {
                    self.refused.extend(event["seq"].as_u64());
                }
                self.answers += usize::from(event["request_type"] == "sdp_offer");
            }
            "session_ended" => self.ended = true,
            _ => {}
        }
    }
}
