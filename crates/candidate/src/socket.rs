//! The candidate as the runtime sees it: the WebSocket `interview.v1`, with media beside it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::Error;
use crate::journal::Journal;
use crate::peer::WebRtcPeer;
use crate::wire::{self, ToWire};

const OUTBOX: usize = 256;
/// Generous, because tests share machines.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a candidate needs to join; the gateway's JoinInfo has it all.
#[derive(Clone, Debug, Deserialize)]
pub struct Join {
    pub websocket_url: String,
    pub websocket_ticket: String,
    #[serde(default)]
    pub session_id: Option<String>,
    #[serde(default)]
    pub consent_policy_version: Option<String>,
}

impl Join {
    pub fn new(url: impl Into<String>, ticket: impl Into<String>) -> Self {
        Self { websocket_url: url.into(), websocket_ticket: ticket.into(), session_id: None, consent_policy_version: None }
    }
}

/// Where the ticket travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TicketIn {
    #[default]
    Subprotocol,
    /// In an `authenticate` message.
    FirstMessage,
    Nowhere,
}

#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub ticket_in: TicketIn,
    pub origin: Option<String>,
    /// Other headers of the handshake.
    pub headers: Vec<(String, String)>,
    /// Send heartbeats as the runtime asks for them.
    pub heartbeats: bool,
    /// How long each wait may take.
    pub patience: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { ticket_in: TicketIn::default(), origin: None, headers: Vec::new(), heartbeats: true, patience: PATIENCE }
    }
}

/// How the connection ended. No code: it broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub code: Option<u16>,
    pub reason: String,
}

/// How an interview went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The `session_ended` message.
    pub ended: Value,
    /// How often the candidate answered.
    pub answers: usize,
}

/// A candidate in an interview.
#[derive(Debug)]
pub struct Candidate {
    outbox: mpsc::Sender<ToWire>,
    journal: Journal,
    cursor: usize,
    peer: Option<WebRtcPeer>,
    join: Join,
    options: ConnectOptions,
}

impl Candidate {
    pub async fn connect(join: &Join) -> Result<Self, Error> {
        Self::connect_with(join, ConnectOptions::default()).await
    }

    pub async fn connect_with(join: &Join, options: ConnectOptions) -> Result<Self, Error> {
        let (outbox, journal) = dial(join, &options).await?;
        let candidate = Self { outbox, journal, cursor: 0, peer: None, join: join.clone(), options };
        candidate.authenticate().await?;
        Ok(candidate)
    }

    /// A new socket for the same candidate. Media stays as it is. `join` has a new ticket.
    pub async fn reconnect(&mut self, join: &Join) -> Result<(), Error> {
        let (outbox, journal) = dial(join, &self.options).await?;
        self.outbox = outbox;
        self.journal = journal;
        self.cursor = 0;
        self.join = join.clone();
        self.authenticate().await
    }

    async fn authenticate(&self) -> Result<(), Error> {
        if self.options.ticket_in == TicketIn::FirstMessage {
            self.send(json!({ "type": "authenticate", "ticket": self.join.websocket_ticket })).await?;
        }
        Ok(())
    }

    /// The next message of this type. An `error` on the way is a failure.
    pub async fn expect(&mut self, kind: &str) -> Result<Value, Error> {
        self.expect_within(kind, self.options.patience).await
    }

    pub async fn expect_within(&mut self, kind: &str, patience: Duration) -> Result<Value, Error> {
        let wanted = |message: &Value| message["type"] == kind || message["type"] == "error";
        let message = self.journal.wait(kind, &mut self.cursor, patience, wanted).await?;
        if message["type"] == "error" && kind != "error" {
            let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
            return Err(Error::Refused {
                wanted: kind.to_owned(),
                code: text("code"),
                message: text("message"),
                request_type: text("request_type"),
            });
        }
        Ok(message)
    }

    /// The next message that `wanted` likes, whatever else comes.
    pub async fn wait_message(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Error> {
        self.journal.wait(what, &mut self.cursor, patience, wanted).await
    }

    /// Sends any message.
    pub async fn send(&self, message: Value) -> Result<(), Error> {
        self.send_text(message.to_string()).await
    }

    /// Sends text as it is, JSON or not.
    pub async fn send_text(&self, text: impl Into<String>) -> Result<(), Error> {
        self.order(ToWire::Text(text.into())).await
    }

    pub async fn send_binary(&self, bytes: Vec<u8>) -> Result<(), Error> {
        self.order(ToWire::Binary(bytes)).await
    }

    /// Gives all consents that `session_ready` asks for, and waits for the receipt.
    pub async fn consent(&mut self, ready: &Value) -> Result<Value, Error> {
        let kinds = ready["required_consents"].clone();
        self.consent_to(kinds).await
    }

    pub async fn consent_to(&mut self, kinds: Value) -> Result<Value, Error> {
        let version = self.join.consent_policy_version.as_deref().unwrap_or("1").to_owned();
        self.send(json!({ "type": "consent", "kinds": kinds, "policy_version": version })).await?;
        self.expect("consent_recorded").await
    }

    /// Offers media, waits until it flows, and says so.
    pub async fn connect_media(&mut self) -> Result<(), Error> {
        let peer = WebRtcPeer::new().await?;
        self.send(json!({ "type": "sdp_offer", "sdp": peer.offer() })).await?;
        let answer = self.expect("sdp_answer").await?;
        peer.accept(answer["sdp"].as_str().ok_or(Error::Missing("sdp"))?).await?;
        peer.wait_connected(self.options.patience).await?;
        self.peer = Some(peer);
        self.media_state("connected").await
    }

    pub async fn media_state(&self, state: &str) -> Result<(), Error> {
        self.send(json!({ "type": "media_state", "state": state })).await
    }

    /// From the first message to flowing media. Gives `session_ready`.
    pub async fn join(&mut self) -> Result<Value, Error> {
        let ready = self.expect("session_ready").await?;
        self.consent(&ready).await?;
        self.connect_media().await?;
        Ok(ready)
    }

    /// Speaks for so long.
    pub async fn speak(&self, length: Duration) -> Result<(), Error> {
        self.peer()?.speak(length).await
    }

    /// The next event of this type on the data channel.
    pub async fn wait_event(&self, kind: &str) -> Result<Value, Error> {
        self.peer()?.wait_event(kind, self.options.patience).await
    }

    /// Lets the interviewer finish, then answers.
    pub async fn answer(&self, length: Duration) -> Result<(), Error> {
        self.wait_event("output_audio_buffer.stopped").await?;
        self.speak(length).await
    }

    /// Answers question after question until the runtime says that the session ended.
    pub async fn attend(&mut self, answer: Duration, patience: Duration) -> Result<Outcome, Error> {
        let until = tokio::time::Instant::now() + patience;
        let mut answers = 0;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let ended = |message: &Value| message["type"] == "session_ended";
            let (journal, cursor) = (self.journal.clone(), &mut self.cursor);
            let peer = self.peer.as_ref().ok_or(Error::NoMedia)?;
            tokio::select! {
                ended = journal.wait("session_ended", cursor, left, ended) => {
                    return Ok(Outcome { ended: ended?, answers });
                }
                heard = peer.wait_event("output_audio_buffer.stopped", left), if !peer.is_closed() => {
                    // The peer may be hung up a moment before the session is over.
                    if heard.is_ok() && peer.speak(answer).await.is_ok() {
                        answers += 1;
                    }
                }
            }
        }
    }

    /// Relays what was said, as a browser does.
    pub async fn transcript_update(&self, entries: Value) -> Result<(), Error> {
        self.send(json!({ "type": "transcript_update", "entries": entries })).await
    }

    pub async fn end(&self, reason: &str) -> Result<(), Error> {
        self.send(json!({ "type": "end_session", "reason": reason })).await
    }

    /// After a reconnect: which events are missing here.
    pub async fn resume(&self, last_event: u64) -> Result<(), Error> {
        self.send(json!({ "type": "resume", "last_event": last_event })).await
    }

    pub async fn heartbeats(&self, on: bool) -> Result<(), Error> {
        self.order(ToWire::Heartbeats(on)).await
    }

    /// The highest event number seen on this connection.
    pub fn last_event(&self) -> u64 {
        self.messages().iter().filter_map(|message| message["n"].as_u64()).max().unwrap_or(0)
    }

    /// All messages of this connection, without heartbeat acks.
    pub fn messages(&self) -> Vec<Value> {
        self.journal.entries()
    }

    pub fn peer(&self) -> Result<&WebRtcPeer, Error> {
        self.peer.as_ref().ok_or(Error::NoMedia)
    }

    /// Waits until the runtime closes the connection.
    pub async fn wait_closed(&self, patience: Duration) -> Result<Closed, Error> {
        let (code, reason) = self.journal.wait_closed(patience).await?;
        Ok(Closed { code, reason })
    }

    /// Closes the tab: media first, then the socket.
    pub async fn hang_up(&mut self) {
        if let Some(peer) = self.peer.take() {
            peer.close().await;
        }
        let _ = self.order(ToWire::Close(1000)).await;
        let _ = self.journal.wait_closed(self.options.patience).await;
    }

    /// The network is gone for the socket; media goes on.
    pub async fn drop_socket(&self) {
        let _ = self.order(ToWire::Drop).await;
        let _ = self.journal.wait_closed(self.options.patience).await;
    }

    /// The tab crashes: nothing says goodbye.
    pub async fn vanish(&mut self) {
        if let Some(peer) = self.peer.take() {
            peer.vanish().await;
        }
        self.drop_socket().await;
    }

    async fn order(&self, order: ToWire) -> Result<(), Error> {
        self.outbox.send(order).await.map_err(|_| {
            let (code, reason) = self.journal.closed().unwrap_or_default();
            Error::Closed { wanted: "to send".to_owned(), code, reason }
        })
    }
}

async fn dial(join: &Join, options: &ConnectOptions) -> Result<(mpsc::Sender<ToWire>, Journal), Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Connect(error.to_string());
    let mut request = join.websocket_url.as_str().into_client_request().map_err(|error| wrong(&error))?;
    let protocols = match options.ticket_in {
        TicketIn::Subprotocol => format!("interview.v1, ticket.{}", join.websocket_ticket),
        TicketIn::FirstMessage | TicketIn::Nowhere => "interview.v1".to_owned(),
    };
    let mut headers = vec![("sec-websocket-protocol".to_owned(), protocols)];
    headers.extend(options.origin.iter().map(|origin| ("origin".to_owned(), origin.clone())));
    headers.extend(options.headers.iter().cloned());
    for (name, value) in headers {
        let name = http::HeaderName::try_from(name).map_err(|error| wrong(&error))?;
        let value = http::HeaderValue::try_from(value).map_err(|error| wrong(&error))?;
        request.headers_mut().insert(name, value);
    }
    let connected = tokio::time::timeout(options.patience, connect_async(request)).await;
    let (socket, _) = match connected {
        Ok(Ok(connected)) => connected,
        Ok(Err(WsError::Http(response))) => return Err(Error::Handshake(response.status().as_u16())),
        Ok(Err(error)) => return Err(wrong(&error)),
        Err(_) => return Err(wrong(&"no answer to the handshake in time")),
    };
    let (outbox, inbox) = mpsc::channel(OUTBOX);
    let journal = Journal::default();
    tokio::spawn(wire::run(socket, inbox, journal.clone(), options.heartbeats));
    Ok((outbox, journal))
}
