//! The socket of a browser, without the browser.

use super::ORIGIN;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const PATIENCE: Duration = Duration::from_secs(15);

pub struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub seen: Vec<Value>,
}

impl Browser {
    pub async fn connect(url: &str, ticket: &str) -> Result<Self, Error> {
        Self::connect_from(url, ticket, ORIGIN).await
    }

    pub async fn connect_from(url: &str, ticket: &str, origin: &str) -> Result<Self, Error> {
        Self::connect_with(url, ticket, origin, &[]).await
    }

    /// With further headers, or another `host` than the address has.
    pub async fn connect_with(url: &str, ticket: &str, origin: &str, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        request.headers_mut().insert("origin", origin.parse().expect("an origin"));
        let protocols = if ticket.is_empty() { "interview.v1".to_owned() } else { format!("interview.v1, ticket.{ticket}") };
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().expect("protocols"));
        let (socket, answer) = tokio_tungstenite::connect_async(request).await?;
        assert_eq!(answer.headers()["sec-websocket-protocol"], "interview.v1");
        Ok(Self { socket, seen: Vec::new() })
    }

    /// As [`Self::connect_from`], to an address that the URL's host does not lead to.
    pub async fn connect_at(address: &str, url: &str, ticket: &str, origin: &str) -> Result<Self, Error> {
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("origin", origin.parse().expect("an origin"));
        request
            .headers_mut()
            .insert("sec-websocket-protocol", format!("interview.v1, ticket.{ticket}").parse().expect("protocols"));
        let stream = MaybeTlsStream::Plain(TcpStream::connect(address).await?);
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self { socket, seen: Vec::new() })
    }

    /// Connected, and greeted with `session_ready`.
    pub async fn join(url: &str, ticket: &str) -> Self {
        let mut browser = Self::connect(url, ticket).await.expect("the socket opens");
        browser.expect("session_ready").await;
        browser
    }

    pub async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.expect("the frame is sent");
    }

    /// False when the other side does not take it in time; then it may have been sent in part.
    pub async fn try_send(&mut self, text: String, within: Duration) -> bool {
        timeout(within, self.socket.send(Message::text(text))).await.is_ok_and(|sent| sent.is_ok())
    }

    /// The next event of this type; others are kept in `seen`.
    pub async fn expect(&mut self, kind: &str) -> Value {
        timeout(PATIENCE, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let event: Value = serde_json::from_str(&text).expect("JSON");
                        self.seen.push(event.clone());
                        if event["type"] == kind {
                            return event;
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("waiting for {kind}: {other:?}; seen: {:?}", self.seen),
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{kind} did not come; seen: {:?}", self.seen))
    }

    /// Whether this comes before the connection ends.
    pub async fn hears(&mut self, kind: &str) -> bool {
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Text(text) = message {
                let event: Value = serde_json::from_str(&text).expect("JSON");
                self.seen.push(event.clone());
                if event["type"] == kind {
                    return true;
                }
            }
        }
        false
    }

    /// The code the connection is closed with.
    pub async fn closed(&mut self) -> u16 {
        timeout(PATIENCE, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                    Some(Ok(Message::Text(text))) => self.seen.push(serde_json::from_str(&text).expect("JSON")),
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return 1006,
                }
            }
        })
        .await
        .expect("the connection is closed in time")
    }

    pub async fn consent(&mut self) {
        self.send(json!({"type": "consent", "kinds": ["ai_evaluation", "recording"], "policy_version": "2026-11"})).await;
        self.expect("consent_recorded").await;
    }

    pub async fn say(&mut self, seq: u64, texts: &[&str]) {
        let entries: Vec<Value> =
            texts.iter().map(|text| json!({"text": text, "speaker": "candidate", "timestamp": "2026-11-23T10:00:00.000Z", "id": format!("{seq}-{text}")})).collect();
        self.send(json!({"type": "transcript_update", "entries": entries, "seq": seq})).await;
    }
}
