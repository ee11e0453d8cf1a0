//! The control connection of a call: a WebSocket that joins the call from our side.
//!
//! The provider sends no `session.created` and no history on it. Send `session.update` first; `session.updated` then means
//! "ready". The provider does not say when the browser leaves. When in doubt, connect again:
//! [`ConnectSidebandError::CallGone`] then shows that the call is gone.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use http::header::AUTHORIZATION;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::events::{ClientEvent, ServerEvent};
use super::{ErrorBody, OpenAiClient, is_account_code};
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::ids::CallId;
use crate::integrations::call_error::{redact_secrets, truncated};
use crate::integrations::http_client::{Head, endpoint};

/// Media does not come this way, so frames are small.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Per session, and there is one process per session: small is enough.
const BUFFER_BYTES: usize = 8 * 1024;
const MAX_WRITE_BUFFER_BYTES: usize = 1024 * 1024;
const MAX_REASON_BYTES: usize = 123;
/// What the other side has to hang up after its goodbye and our answer.
const PARTING: Duration = Duration::from_millis(300);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What comes in.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most are events, and each is looked at once where it arrives")]
pub enum Inbound {
    Event(ServerEvent),
    /// The other side lives: it answered our ping or sent its own.
    Pong,
    /// The last thing that comes in.
    Closed(Closed),
}

/// A close frame, or the lack of one (`code` 1005).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub code: u16,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedMeaning {
    /// The call reached OpenAI's maximum duration.
    Expired,
    /// The call ended, or only this connection did: dial again to know.
    Ambiguous,
    /// OpenAI refused how we speak to it.
    Refused,
    /// OpenAI had trouble.
    Failed,
}

impl Closed {
    pub fn meaning(&self) -> ClosedMeaning {
        let reason = self.reason.to_ascii_lowercase();
        // 1001 also means an ordinary restart, so the text decides.
        if reason.contains("maximum duration") || reason.contains("session_expired") {
            return ClosedMeaning::Expired;
        }
        match self.code {
            1000 | 1001 | 1005 => ClosedMeaning::Ambiguous,
            1002 | 1003 | 1007 | 1008 | 1009 | 4000..=4999 => ClosedMeaning::Refused,
            _ => ClosedMeaning::Failed,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectSidebandError {
    #[error("openai refused our key for the control connection")]
    Unauthorized { request_id: Option<String> },
    #[error("openai knows no such call")]
    CallGone { status: u16, vendor_code: Option<String>, request_id: Option<String> },
    #[error("openai refused the control connection with status {status}")]
    Refused { status: u16, vendor_code: Option<String>, request_id: Option<String>, retry_after: Option<Duration> },
    #[error("the control connection did not open within the deadline")]
    TimedOut,
    #[error("the control connection could not be opened")]
    Connect(#[source] Box<tungstenite::Error>),
}

impl Fault for ConnectSidebandError {
    fn class(&self) -> FaultClass {
        match self {
            Self::Unauthorized { .. } | Self::CallGone { .. } => FaultClass::Rejected,
            Self::Refused { vendor_code: Some(code), .. } if is_account_code(code) => FaultClass::Rejected,
            Self::Refused { status: 400..=407 | 410..=428, .. } => FaultClass::Bug,
            Self::Refused { .. } | Self::TimedOut | Self::Connect(_) => FaultClass::Transient,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Unauthorized { .. } => ErrorCode::OpenAiUnauthorized,
            Self::CallGone { .. } => ErrorCode::OpenAiCallGone,
            Self::Refused { vendor_code: Some(code), .. } if is_account_code(code) => ErrorCode::OpenAiQuotaExhausted,
            Self::Refused { status: 429, .. } => ErrorCode::OpenAiRateLimited,
            Self::Refused { status: 400..=407 | 410..=428, .. } => ErrorCode::OpenAiRequestInvalid,
            Self::Refused { .. } | Self::Connect(_) => ErrorCode::OpenAiUnavailable,
            Self::TimedOut => ErrorCode::OpenAiTimedOut,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SidebandError {
    #[error("the control connection broke")]
    Lost(#[source] Box<tungstenite::Error>),
    #[error("nothing arrived on the control connection for too long")]
    Silent,
    #[error("a frame could not be sent within the deadline")]
    WriteTimedOut,
    #[error("a frame is larger than we accept")]
    TooLarge,
    #[error("an event could not be encoded")]
    Encode(#[source] serde_json::Error),
}

impl Fault for SidebandError {
    fn class(&self) -> FaultClass {
        match self {
            Self::Encode(_) => FaultClass::Bug,
            _ => FaultClass::Transient,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Silent => ErrorCode::OpenAiSidebandSilent,
            Self::Encode(_) => ErrorCode::OpenAiRequestInvalid,
            Self::Lost(_) | Self::WriteTimedOut | Self::TooLarge => ErrorCode::OpenAiSidebandLost,
        }
    }
}

/// Both halves in one hand; [`Sideband::split`] gives them to two tasks.
#[derive(Debug)]
pub struct Sideband {
    reader: SidebandReader,
    writer: SidebandWriter,
    pub request_id: Option<String>,
}

#[derive(Debug)]
pub struct SidebandReader {
    stream: SplitStream<Socket>,
    silence_deadline: Duration,
    /// Kept between reads: one that is cancelled (to write, to ping) must not make a silent line look alive.
    heard_at: Instant,
    /// The other side's goodbye. Our answer to it leaves while we go on reading.
    goodbye: Option<Closed>,
}

#[derive(Debug)]
pub struct SidebandWriter {
    sink: SplitSink<Socket, Message>,
    write_deadline: Duration,
}

/// The frame layer of the connection; `scripts/autobahn` holds it against the Autobahn suite.
pub fn frame_settings(max_message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes))
}

impl OpenAiClient {
    pub async fn connect_sideband(&self, call_id: &CallId) -> Result<Sideband, ConnectSidebandError> {
        let request = self.sideband_request(call_id).map_err(|e| ConnectSidebandError::Connect(Box::new(e)))?;
        let connect = tokio_tungstenite::connect_async_with_config(request, Some(frame_settings(MAX_MESSAGE_BYTES)), true);
        let (socket, response) = match tokio::time::timeout(self.options.handshake_deadline, connect).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(tungstenite::Error::Http(response))) => return Err(refusal(*response)),
            Ok(Err(error)) => return Err(ConnectSidebandError::Connect(Box::new(error))),
            Err(_) => return Err(ConnectSidebandError::TimedOut),
        };
        let head = Head { status: response.status(), headers: response.headers().clone() };
        let (sink, stream) = socket.split();
        Ok(Sideband {
            reader: SidebandReader {
                stream,
                silence_deadline: self.options.silence_deadline,
                heard_at: Instant::now(),
                goodbye: None,
            },
            writer: SidebandWriter { sink, write_deadline: self.options.write_deadline },
            request_id: head.request_id().map(str::to_owned),
        })
    }

    fn sideband_request(&self, call_id: &CallId) -> Result<http::Request<()>, tungstenite::Error> {
        let mut url = endpoint(&self.options.base_url, &["realtime"]);
        let scheme = if url.scheme() == "http" { "ws" } else { "wss" };
        // `set_scheme` cannot fail from one special scheme to another.
        let _ = url.set_scheme(scheme);
        url.query_pairs_mut().append_pair("call_id", call_id.as_str());
        let mut request = url.as_str().into_client_request()?;
        if let Some(value) = self.authorization() {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let agent = concat!("interview-runtime/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(http::header::USER_AGENT, http::HeaderValue::from_static(agent));
        Ok(request)
    }
}

fn refusal(response: http::Response<Option<Vec<u8>>>) -> ConnectSidebandError {
    let (parts, body) = response.into_parts();
    let head = Head { status: parts.status, headers: parts.headers };
    let fields = serde_json::from_slice::<ErrorBody>(&body.unwrap_or_default()).unwrap_or_default().error;
    let vendor_code = fields.code.or(fields.kind).filter(|code| !code.is_empty());
    let vendor_code = vendor_code.map(|code| redact_secrets(truncated(&code, 128)));
    let request_id = head.request_id().map(str::to_owned);
    let status = head.status.as_u16();
    match head.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ConnectSidebandError::Unauthorized { request_id },
        StatusCode::NOT_FOUND | StatusCode::GONE => ConnectSidebandError::CallGone { status, vendor_code, request_id },
        _ => ConnectSidebandError::Refused { status, vendor_code, request_id, retry_after: head.retry_after() },
    }
}

impl Sideband {
    pub async fn send(&mut self, event: &ClientEvent) -> Result<(), SidebandError> {
        self.writer.send(event).await
    }

    pub async fn next(&mut self) -> Result<Inbound, SidebandError> {
        self.reader.next().await
    }

    pub async fn ping(&mut self) -> Result<(), SidebandError> {
        self.writer.ping().await
    }

    pub async fn close(&mut self) -> Result<(), SidebandError> {
        self.writer.close().await
    }

    pub fn split(self) -> (SidebandReader, SidebandWriter) {
        (self.reader, self.writer)
    }
}

impl SidebandReader {
    /// Safe to cancel. After `Closed` or an error the connection is spent.
    pub async fn next(&mut self) -> Result<Inbound, SidebandError> {
        loop {
            if self.goodbye.is_some() {
                let _ = tokio::time::timeout(PARTING, async { while let Some(Ok(_)) = self.stream.next().await {} }).await;
                return Ok(Inbound::Closed(self.goodbye.take().unwrap_or_else(|| closed(None))));
            }
            let deadline = self.heard_at + self.silence_deadline;
            let message = match tokio::time::timeout_at(deadline, self.stream.next()).await {
                Err(_) => return Err(SidebandError::Silent),
                Ok(None) => return Ok(Inbound::Closed(closed(None))),
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed))) => {
                    return Ok(Inbound::Closed(closed(None)));
                }
                Ok(Some(Err(tungstenite::Error::Capacity(_)))) => return Err(SidebandError::TooLarge),
                Ok(Some(Err(error))) => return Err(SidebandError::Lost(Box::new(error))),
            };
            self.heard_at = Instant::now();
            match message {
                Message::Text(text) => return Ok(Inbound::Event(ServerEvent::parse(&text))),
                // The library answers pings while it reads.
                Message::Pong(_) | Message::Ping(_) => return Ok(Inbound::Pong),
                Message::Close(frame) => self.goodbye = Some(closed(frame)),
                // The protocol has no binary frames.
                Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }
}

impl SidebandWriter {
    pub async fn send(&mut self, event: &ClientEvent) -> Result<(), SidebandError> {
        let text = serde_json::to_string(event).map_err(SidebandError::Encode)?;
        self.write(Message::text(text)).await
    }

    pub async fn ping(&mut self) -> Result<(), SidebandError> {
        self.write(Message::Ping(Bytes::new())).await
    }

    /// Says goodbye; the other side's answer comes to the reader.
    pub async fn close(&mut self) -> Result<(), SidebandError> {
        let goodbye = CloseFrame { code: tungstenite::protocol::frame::coding::CloseCode::Normal, reason: "".into() };
        self.write(Message::Close(Some(goodbye))).await
    }

    async fn write(&mut self, message: Message) -> Result<(), SidebandError> {
        match tokio::time::timeout(self.write_deadline, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Err(_) | Ok(Err(tungstenite::Error::WriteBufferFull(_))) => Err(SidebandError::WriteTimedOut),
            Ok(Err(tungstenite::Error::Capacity(_))) => Err(SidebandError::TooLarge),
            Ok(Err(error)) => Err(SidebandError::Lost(Box::new(error))),
        }
    }
}

fn closed(frame: Option<CloseFrame>) -> Closed {
    match frame {
        Some(frame) => Closed { code: frame.code.into(), reason: redact_secrets(truncated(&frame.reason, MAX_REASON_BYTES)) },
        None => Closed { code: 1005, reason: String::new() },
    }
}

#[cfg(test)]
#[path = "sideband_tests.rs"]
mod tests;
