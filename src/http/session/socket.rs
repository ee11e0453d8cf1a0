//! One browser connection: from bytes to messages and back.
//!
//! The task that reads holds the socket. The actor that handles the messages may crash and be replaced meanwhile. A browser
//! that sends faster than we read waits in TCP. A browser that reads slower than we send is disconnected and resumes.

use super::SessionHttp;
use super::frames::{Farewell, Sink, Stream, hear, limited, part, say};
use crate::actors::journal::Outgoing;
use crate::actors::messages::{Attached, SessionMsg, SignalingSocketMsg, SocketRef};
use crate::domain::claimed::TicketRefusal;
use crate::domain::protocol::{ClientMessage, MAX_FRAME_BYTES, SUBPROTOCOL, ServerEvent, close};
use crate::domain::seat::Seat;
use crate::error::{ErrorCode, Fault, chain};
use crate::http::limits::{Address, Held};
use crate::http::replay_state;
use crate::ids::{ConnectionId, SessionId};
use crate::integrations::store::StoreError;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const TICKET_PREFIX: &str = "ticket.";
/// How long a new connection waits for the tree.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(5);

pub async fn open_by_host(
    State(http): State<SessionHttp>,
    headers: HeaderMap,
    Client(client): Client,
    upgrade: WebSocketUpgrade,
) -> Response {
    accept(http, &headers, client, upgrade)
}

pub async fn open(
    State(http): State<SessionHttp>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
    Client(client): Client,
    upgrade: WebSocketUpgrade,
) -> Response {
    if session != http.session_id {
        return StatusCode::NOT_FOUND.into_response();
    }
    accept(http, &headers, client, upgrade)
}

/// Whose connection it is, as far as the network tells.
pub struct Client(Address);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Address::asking(&parts.extensions)))
    }
}

/// How a connection comes.
enum Shown {
    /// With its ticket in the handshake.
    Ticket(String),
    /// Without one. It has a place, until it has said one.
    Nothing(Held<Address>),
}

fn accept(http: SessionHttp, headers: &HeaderMap, client: Address, upgrade: WebSocketUpgrade) -> Response {
    // What the gateway signed proves that the request came through it. Absent when the
    // request reached us directly; the ticket decides in any case.
    if let Some(source) = headers.get("fly-replay-src").and_then(|value| value.to_str().ok())
        && !replay_state::admits(source, &http.config.routing.public_keys, http.session_id)
    {
        tracing::warn!(error_code = ErrorCode::ReplayStateRefused.as_str(), "a replayed request without the gateway's signature");
        return StatusCode::FORBIDDEN.into_response();
    }
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // Clients that are no browser send no origin; a browser's must be on the list, exactly.
    if let Some(origin) = &origin
        && !http.config.http.allowed_origins().contains(origin)
    {
        tracing::info!(error_code = ErrorCode::OriginRefused.as_str(), origin, "a page of a foreign origin was refused");
        return StatusCode::FORBIDDEN.into_response();
    }
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let ticket = offered.split(',').map(str::trim).find_map(|name| name.strip_prefix(TICKET_PREFIX)).map(str::to_owned);
    let shown = match ticket {
        Some(ticket) => http.limits.shown_ticket(client).map(|()| Shown::Ticket(ticket)),
        None => http.limits.ticketless(client).map(Shown::Nothing),
    };
    let shown = match shown {
        Ok(shown) => shown,
        Err(refusal) => return refusal.into_response(),
    };
    limited(upgrade, MAX_FRAME_BYTES)
        .protocols([SUBPROTOCOL])
        .on_upgrade(move |socket| serve(http, socket, client, shown, origin))
}

async fn serve(http: SessionHttp, socket: WebSocket, client: Address, shown: Shown, origin: Option<String>) {
    let (mut sink, mut stream) = socket.split();
    let seat = match authenticate(&http, &mut stream, client, shown, origin.as_deref()).await {
        Ok(seat) => seat,
        Err((code, farewell)) => {
            tracing::info!(error_code = code.as_str(), ?farewell, "a connection was refused");
            return part(sink, stream, farewell).await;
        }
    };
    let Some(Attached { connection, socket, outgoing }) = attach(&http, seat).await else {
        return part(sink, stream, Farewell::Ours(close::TRY_LATER, "the interview is restarting")).await;
    };
    // Whichever ends first ends the other: the socket is one thing. When a tree ends both may, and
    // what the line was told to say goes before the listener's silence.
    let farewell = tokio::select! {
        biased;
        farewell = write(&http, &mut sink, outgoing) => farewell,
        farewell = read(&http, &mut stream, socket) => farewell,
    };
    detach(&http, connection);
    part(sink, stream, farewell).await;
}

/// The tree may be between two lives: its next root is waited for.
async fn attach(http: &SessionHttp, seat: Seat) -> Option<Attached> {
    let mut roots = http.root.clone();
    timeout(ATTACH_TIMEOUT, async {
        loop {
            let root = roots.borrow_and_update().clone();
            match ractor::call!(root, |reply| SessionMsg::Attach { seat, reply }) {
                Ok(attached) => return Some(attached),
                Err(_) => roots.changed().await.ok()?,
            }
        }
    })
    .await
    .ok()
    .flatten()
}

fn detach(http: &SessionHttp, connection: ConnectionId) {
    let _ = http.root.borrow().cast(SessionMsg::Detached { connection });
}

async fn authenticate(
    http: &SessionHttp,
    stream: &mut Stream,
    client: Address,
    shown: Shown,
    origin: Option<&str>,
) -> Result<Seat, (ErrorCode, Farewell)> {
    let refused = |code, why| Err((code, Farewell::Ours(close::TICKET_REFUSED, why)));
    let ticket = match shown {
        Shown::Ticket(ticket) => ticket,
        Shown::Nothing(_place) => {
            let limit = Duration::from_millis(http.config.socket.authenticate_timeout_ms);
            let ticket = match timeout(limit, hear(stream, limit)).await {
                Ok(Ok(Message::Text(text))) => match ClientMessage::read(text.as_str()) {
                    Ok(ClientMessage::Authenticate { ticket, .. }) => ticket,
                    _ => return refused(ErrorCode::TicketMissing, "the first message must be authenticate"),
                },
                Ok(Ok(_)) => return refused(ErrorCode::TicketMissing, "the first message must be authenticate"),
                Err(_) | Ok(Err(Farewell::Ours(close::GOING_AWAY, _))) => {
                    return refused(ErrorCode::TicketMissing, "no ticket in time");
                }
                Ok(Err(farewell)) => return Err((ErrorCode::TicketMissing, farewell)),
            };
            if http.limits.shown_ticket(client).is_err() {
                let farewell = Farewell::Ours(close::TRY_LATER, "too many tickets from this address");
                return Err((ErrorCode::TicketRateExceeded, farewell));
            }
            ticket
        }
    };
    match http.store.consume_ticket(&ticket, origin).await {
        Ok(Ok(seat)) => Ok(seat),
        Ok(Err(refusal)) => match refusal {
            TicketRefusal::Unknown => refused(ErrorCode::TicketUnknown, "ticket unknown"),
            TicketRefusal::Expired => refused(ErrorCode::TicketExpired, "ticket expired"),
            TicketRefusal::Consumed => refused(ErrorCode::TicketConsumed, "ticket used before"),
            TicketRefusal::WrongOrigin => refused(ErrorCode::TicketRefused, "ticket of another origin"),
        },
        // The ticket is good still, for the process that holds the session now.
        Err(error @ StoreError::Fenced { .. }) => {
            let _ = http.root.borrow().cast(SessionMsg::Fenced);
            Err((error.code(), Farewell::Ours(close::RESTART, "moved to another machine")))
        }
        Err(error) => {
            tracing::error!(error_code = error.code().as_str(), error = %chain(&error), "cannot check a ticket");
            Err((error.code(), Farewell::Ours(close::TRY_LATER, "tickets cannot be checked now")))
        }
    }
}

/// Reads until the connection ends.
async fn read(http: &SessionHttp, stream: &mut Stream, mut socket: SocketRef) -> Farewell {
    let dead_after = Duration::from_millis(http.config.socket.dead_after_ms);
    let mut bucket = Bucket::new(http.config.socket.frames_per_s, http.config.socket.frames_burst);
    let restarting = Farewell::Ours(close::TRY_LATER, "restarting");
    loop {
        // The database is away and we hold all we may: the rest waits in TCP. Pings go on.
        if http.journal.is_full() {
            tracing::warn!(error_code = ErrorCode::OutboxFull.as_str(), "not reading from the browser until there is room");
            http.journal.room().await;
        }
        let message = match hear(stream, dead_after).await {
            Ok(message) => message,
            Err(farewell) => return farewell,
        };
        if !bucket.take() {
            tracing::info!(error_code = ErrorCode::FrameRateExceeded.as_str(), "a browser sends frames faster than the limit");
            return Farewell::Ours(close::POLICY, "too many frames");
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                tracing::info!(error_code = ErrorCode::FrameBinaryRefused.as_str(), "a binary frame of a browser");
                return Farewell::Ours(1003, "text frames only");
            }
            Message::Close(_) => return Farewell::Theirs,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        let permit = http.journal.from_browser.enter().await;
        let message = ClientMessage::read(text.as_str());
        // The listener may be between two lives; it is back in milliseconds or the tree ends.
        let mut message = Some(SignalingSocketMsg::Received { message, permit });
        while let Some(waiting) = message.take() {
            let listener = socket.borrow_and_update().clone();
            let returned = match listener {
                Some(listener) => match listener.cast(waiting) {
                    Ok(()) => None,
                    Err(ractor::MessagingErr::SendErr(waiting)) => Some(waiting),
                    Err(_) => return restarting,
                },
                None => Some(waiting),
            };
            if returned.is_some() && !matches!(timeout(Duration::from_secs(5), socket.changed()).await, Ok(Ok(()))) {
                return restarting;
            }
            message = returned;
        }
    }
}

async fn write(http: &SessionHttp, sink: &mut Sink, mut outgoing: mpsc::Receiver<Outgoing>) -> Farewell {
    #[derive(Serialize)]
    struct Frame<'a> {
        #[serde(flatten)]
        event: &'a ServerEvent,
        #[serde(skip_serializing_if = "Option::is_none")]
        n: Option<u64>,
    }
    let mut pings = tokio::time::interval(Duration::from_millis(http.config.socket.heartbeat_interval_ms));
    pings.tick().await;
    loop {
        let message = tokio::select! {
            next = outgoing.recv() => match next {
                Some(Outgoing::Event { n, event }) => {
                    let n = (!matches!(*event, ServerEvent::HeartbeatAck {})).then_some(n);
                    match serde_json::to_string(&Frame { event: &event, n }) {
                        Ok(text) => Message::Text(text.into()),
                        Err(error) => { tracing::error!(error_code = ErrorCode::EventUnserializable.as_str(), %error, "an event could not be written"); continue }
                    }
                }
                Some(Outgoing::Close { code, reason }) => return Farewell::Ours(code, reason),
                // The journal let go of this line: the browser read too slowly.
                None => return Farewell::Ours(close::TRY_LATER, "too slow"),
            },
            _ = pings.tick() => Message::Ping(bytes::Bytes::new()),
        };
        if !say(sink, message).await {
            return Farewell::Lost;
        }
    }
}

/// A token bucket: so many frames a second on average, so many at once.
struct Bucket {
    tokens: f64,
    per_s: f64,
    burst: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_s: u32, burst: u32) -> Self {
        Self { tokens: f64::from(burst), per_s: f64::from(per_s), burst: f64::from(burst), at: Instant::now() }
    }

    fn take(&mut self) -> bool {
        let now = Instant::now();
        self.tokens = (self.tokens + now.duration_since(self.at).as_secs_f64() * self.per_s).min(self.burst);
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}
