//! The frame layer of a browser's connection: its limits, what ends it, and how both sides close it.
//!
//! `scripts/autobahn` compares it with the Autobahn test suite.

use crate::error::ErrorCode;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::time::timeout;

pub type Sink = SplitSink<WebSocket, Message>;
pub type Stream = SplitStream<WebSocket>;

/// A browser that does not take its bytes for this long is gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What the other side has to answer our close frame, or to hang up after its own.
const PARTING: Duration = Duration::from_secs(2);

/// Close codes of RFC 6455 that the protocol of the interview has no own use for.
const PROTOCOL_ERROR: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// The settings of every connection. A larger message is refused by its length, before any
/// of it is kept; the library has no compression, so none is agreed on.
pub fn limited<F>(upgrade: WebSocketUpgrade<F>, max_message_bytes: usize) -> WebSocketUpgrade<F> {
    upgrade.max_frame_size(max_message_bytes).max_message_size(max_message_bytes).read_buffer_size(4 * 1024).write_buffer_size(0)
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// We end it, and why.
    Ours(u16, &'static str),
    /// The other side said goodbye.
    Theirs,
    /// Nobody is there to say it to.
    Lost,
}

/// The next message of the other side, or how the connection ends.
pub async fn hear(stream: &mut Stream, patience: Duration) -> Result<Message, Farewell> {
    match timeout(patience, stream.next()).await {
        Err(_) => Err(Farewell::Ours(crate::domain::protocol::close::GOING_AWAY, "nothing heard for too long")),
        Ok(None) => Err(Farewell::Lost),
        Ok(Some(Ok(Message::Close(_)))) => Err(Farewell::Theirs),
        Ok(Some(Ok(message))) => Ok(message),
        Ok(Some(Err(error))) => Err(fault(&error.to_string())),
    }
}

/// The library's errors reach us as text only; the Autobahn cases and `tests/it/bounds.rs`
/// notice if the text changes.
fn fault(error: &str) -> Farewell {
    if error.starts_with("Space limit") {
        tracing::info!(error_code = ErrorCode::FrameOversized.as_str(), "a frame is larger than the limit");
        Farewell::Ours(TOO_BIG, "frame too big")
    } else if error.starts_with("UTF-8") {
        Farewell::Ours(NOT_UTF8, "text is not UTF-8")
    } else if error.starts_with("WebSocket protocol error") && !error.contains("without closing handshake") {
        Farewell::Ours(PROTOCOL_ERROR, "not as RFC 6455 has it")
    } else {
        Farewell::Lost
    }
}

/// Send one message; false when the other side does not take it.
pub async fn say(sink: &mut Sink, message: Message) -> bool {
    matches!(timeout(WRITE_TIMEOUT, sink.send(message)).await, Ok(Ok(())))
}

/// End the connection so that neither side takes it for a loss: a close frame each way, then
/// the end of the stream. The answer to theirs is sent, and the one to ours heard, only
/// while we read.
pub async fn part(mut sink: Sink, mut stream: Stream, farewell: Farewell) {
    match farewell {
        Farewell::Lost => return,
        Farewell::Theirs => {}
        Farewell::Ours(code, reason) => {
            if !say(&mut sink, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await {
                return;
            }
        }
    }
    let _ = timeout(PARTING, async { while let Some(Ok(_)) = stream.next().await {} }).await;
}
