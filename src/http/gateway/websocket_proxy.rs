//! `proxy_6pn`: the gateway itself proxies a WebSocket between a browser and the machine of its session, over the tenant's
//! private network.
//!
//! It makes the upgrade on both sides and then passes bytes. It does not read them: the session handles what they say, and also
//! a browser that sends nothing (by its heartbeat). Only the headers named in [`PASSED`] reach the machine.

use crate::backoff::Backoff;
use crate::config::Config;
use crate::domain::protocol::close;
use crate::domain::ws_frame_boundary::{FrameEdge, close_frame};
use crate::error::{ErrorCode, Fault, chain};
use crate::http::limits::{Address, FLY_CLIENT_IP};
use crate::http::problem::ApiError;
use crate::ids::{MachineId, SessionId};
use crate::integrations::private_network::{AddressError, PrivateNetwork};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Of the browser's request; the rest is nobody's word on the private side.
const PASSED: [HeaderName; 7] = [
    header::HOST,
    header::ORIGIN,
    header::USER_AGENT,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
];
/// Of the machine's acceptance.
const ANSWERED: [HeaderName; 3] =
    [header::SEC_WEBSOCKET_ACCEPT, header::SEC_WEBSOCKET_PROTOCOL, header::SEC_WEBSOCKET_EXTENSIONS];
const REPLAY_SOURCE: HeaderName = HeaderName::from_static("fly-replay-src");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// One knock at a machine's door; a lost packet is sent again within it.
const KNOCK: Duration = Duration::from_secs(3);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The browser's side switches as soon as our answer is written.
const SWITCH: Duration = Duration::from_secs(10);
/// When one side has ended, the other may finish its sentence.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Each way; more waits in TCP.
const BUFFER_BYTES: usize = 8 * 1024;
const HEAD_BYTES: usize = 16 * 1024;

/// Why a WebSocket is not carried.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("as many are carried as may be")]
    Full,
    #[error("the machine's address is not known")]
    Address(#[from] AddressError),
    #[error("the machine does not take a connection")]
    Connect(#[source] io::Error),
    #[error("the machine does not answer the upgrade in time")]
    TimedOut,
    #[error("the machine does not answer as HTTP has it")]
    Answer(#[from] hyper::Error),
}

impl ProxyError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Full => ErrorCode::CarriedSocketsExhausted,
            Self::Address(error) => error.code(),
            Self::Connect(_) | Self::TimedOut | Self::Answer(_) => ErrorCode::MachineUnreachable,
        }
    }
}

impl From<ProxyError> for ApiError {
    fn from(error: ProxyError) -> Self {
        let cause = format!("{}: {}", error.code().as_str(), chain(&error));
        match error {
            ProxyError::Full => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), "too many interviews at this moment")
                .retry_after(Duration::from_secs(5)),
            _ => ApiError::session_not_ready("the session's machine cannot be reached yet"),
        }
        .because(cause)
    }
}

/// Carries a bounded number of WebSockets. Cheap to clone.
#[derive(Clone)]
pub struct WebSocketProxy {
    network: PrivateNetwork,
    config: Arc<Config>,
    room: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl WebSocketProxy {
    pub fn new(network: PrivateNetwork, config: Arc<Config>, stopping: watch::Receiver<bool>) -> Self {
        let room = Arc::new(Semaphore::new(config.routing.max_carried));
        Self { network, config, room, stopping }
    }

    /// True once the process is told to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.clone()
    }

    /// How many there are now.
    pub fn carried(&self) -> usize {
        self.config.routing.max_carried.saturating_sub(self.room.available_permits())
    }

    /// Resolves when none is left; to be called once the process is told to stop.
    pub async fn emptied(&self) {
        let all = u32::try_from(self.config.routing.max_carried).unwrap_or(u32::MAX);
        let _ = self.room.acquire_many(all).await;
    }

    /// Hand the request to the machine; `proof` tells it that it came through this gateway.
    pub(super) async fn carry(
        &self,
        mut request: Request,
        session: SessionId,
        client: Address,
        machine: &MachineId,
        proof: &str,
    ) -> Result<Response, ProxyError> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| ProxyError::Full)?;
        let browser = hyper::upgrade::on(&mut request);
        let outgoing = outgoing(request.headers(), session, client, proof);
        let stream = self.reach(machine).await?;
        let answer = timeout(self.config.routing.upgrade_timeout(), exchange(stream, outgoing));
        match answer.await.map_err(|_| ProxyError::TimedOut)?? {
            Exchanged::Refused(status) => Ok(status.into_response()),
            Exchanged::Accepted(headers, upgraded) => {
                let (stopping, silence) = (self.stopping.clone(), self.silence());
                let line = Line { session, browser, machine: upgraded, stopping, silence, room };
                // As long as the socket, so outside of the request's span, which ends now.
                tokio::spawn(line.carry());
                Ok(accepted(&headers))
            }
        }
    }

    /// The session's own pings come more often than this.
    fn silence(&self) -> Duration {
        Duration::from_millis(self.config.socket.dead_after_ms * 2)
    }

    /// A machine that is booting is knocked at until it opens, as Fly's proxy does.
    async fn reach(&self, machine: &MachineId) -> Result<TcpStream, ProxyError> {
        let end = Instant::now() + self.config.routing.connect_timeout();
        let mut backoff = Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE);
        loop {
            let error = match timeout_at(end, self.connect(machine)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => error,
                Err(_) => ProxyError::Connect(io::ErrorKind::TimedOut.into()),
            };
            let pause = backoff.next_delay();
            if Instant::now() + pause >= end {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    async fn connect(&self, machine: &MachineId) -> Result<TcpStream, ProxyError> {
        let address = self.network.address(&self.config.fly.session_app, machine).await?;
        let connected = timeout(KNOCK, TcpStream::connect(address)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(ProxyError::Connect)?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

/// RFC 6455, 4.2.1: HTTP/1.1, GET, `Upgrade: websocket`, `Connection: Upgrade`.
pub(super) fn asks_for_websocket(request: &Request) -> bool {
    let names = |header: HeaderName, wanted: &str| {
        let values = request.headers().get_all(header).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && names(header::CONNECTION, "upgrade")
        && names(header::UPGRADE, "websocket")
}

pub(super) fn no_websocket() -> ApiError {
    let detail = "this address takes WebSockets over HTTP/1.1 only";
    ApiError::new(StatusCode::UPGRADE_REQUIRED, ErrorCode::RequestInvalid, detail)
}

/// The request as the machine gets it.
fn outgoing(asked: &HeaderMap, session: SessionId, client: Address, proof: &str) -> hyper::Request<Body> {
    let mut request = hyper::Request::new(Body::empty());
    *request.uri_mut() = format!("/ws/{session}").parse().unwrap_or_default();
    let headers = request.headers_mut();
    for name in PASSED {
        for value in asked.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
    // As Fly's proxy says it with a replay: the machine counts by it.
    if let Ok(value) = HeaderValue::try_from(client.0.to_string()) {
        headers.insert(FLY_CLIENT_IP, value);
    }
    if let Ok(value) = HeaderValue::try_from(format!("state={proof}")) {
        headers.insert(REPLAY_SOURCE, value);
    }
    request
}

fn accepted(answered: &HeaderMap) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    for name in ANSWERED {
        for value in answered.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
    response
}

enum Exchanged {
    Accepted(HeaderMap, Upgraded),
    Refused(StatusCode),
}

async fn exchange(stream: TcpStream, request: hyper::Request<Body>) -> Result<Exchanged, hyper::Error> {
    let (mut sender, connection) = http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
    let ask = async move {
        let mut response = sender.send_request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Exchanged::Refused(response.status()));
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Exchanged::Accepted(headers, hyper::upgrade::on(response).await?))
    };
    // The connection works while it is asked; its own failure is the request's as well.
    let (answer, _) = tokio::join!(ask, connection.with_upgrades());
    answer
}

/// One WebSocket under way.
struct Line {
    session: SessionId,
    browser: OnUpgrade,
    machine: Upgraded,
    stopping: watch::Receiver<bool>,
    silence: Duration,
    /// Given back when the line ends.
    room: OwnedSemaphorePermit,
}

impl Line {
    async fn carry(self) {
        let begun = Instant::now();
        let Ok(Ok(browser)) = timeout(SWITCH, self.browser).await else {
            return tracing::info!(session.id = %self.session, "the browser went away before its WebSocket was open");
        };
        let (from_browser, to_browser) = tokio::io::split(TokioIo::new(browser));
        let (from_machine, to_machine) = tokio::io::split(TokioIo::new(self.machine));
        let mut up = pin!(pass(from_browser, to_machine));
        let mut down = pin!(pass_until(from_machine, to_browser, self.stopping, self.silence));
        let first = tokio::select! {
            ended = &mut up => {
                let _ = timeout(LAST_WORDS, down).await;
                ended
            }
            ended = &mut down => {
                let _ = timeout(LAST_WORDS, up).await;
                ended
            }
        };
        drop(self.room);
        tracing::info!(session.id = %self.session, carried_ms = begun.elapsed().as_millis() as u64, first, "a carried WebSocket ended");
    }
}

/// To the machine. One that is not listened to waits in TCP: the session reads when it can.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> &'static str {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                if to.write_all(&buffer[..read]).await.is_err() {
                    return "machine";
                }
            }
        }
    }
    let _ = to.shutdown().await;
    "browser"
}

/// Resolves when the process is told to stop.
async fn told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// To the browser, which is told to come back at once when the gateway stops.
async fn pass_until(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut stopping: watch::Receiver<bool>,
    silence: Duration,
) -> &'static str {
    let mut buffer = [0; BUFFER_BYTES];
    let mut edge = FrameEdge::default();
    let ended = loop {
        let read = tokio::select! {
            biased;
            () = told(&mut stopping), if edge.is_reached() => {
                let _ = timeout(LAST_WORDS, to.write_all(&close_frame(close::RESTART))).await;
                break "gateway";
            }
            read = timeout(silence, from.read(&mut buffer)) => read,
        };
        match read {
            Err(_) => break "silence",
            Ok(Ok(0) | Err(_)) => break "machine",
            Ok(Ok(read)) => {
                edge.pass(&buffer[..read]);
                // A browser that does not read is the session's to notice; this is for when it cannot.
                if !matches!(timeout(silence, to.write_all(&buffer[..read])).await, Ok(Ok(()))) {
                    return "browser";
                }
            }
        }
    };
    let _ = to.shutdown().await;
    ended
}
