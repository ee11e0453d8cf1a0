//! The WebSocket in its own task: reads into the journal, writes, keeps the heartbeat.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::journal::Journal;

/// A runtime that does not read for so long is gone.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// How long the other side may take to answer our close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) enum ToWire {
    Text(String),
    /// A raw frame, for tests of what must be refused.
    Binary(Vec<u8>),
    Close(u16),
    /// Cut the connection without a close frame.
    Drop,
    Heartbeats(bool),
}

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) async fn run(mut socket: Socket, mut inbox: mpsc::Receiver<ToWire>, journal: Journal, heartbeats: bool) {
    let mut beat: Option<tokio::time::Interval> = None;
    let mut beating = heartbeats;
    let end = loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let Ok(value) = serde_json::from_str::<Value>(&text) else {
                        break (None, format!("not JSON: {text}"));
                    };
                    if value["type"] == "session_ready" {
                        beat = interval(&value);
                    }
                    if value["type"] != "heartbeat_ack" {
                        journal.push(value);
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    // The stream answers the close by itself when it is polled once more.
                    let _ = tokio::time::timeout(Duration::from_secs(1), socket.next()).await;
                    break frame.map_or((None, String::new()), |frame| (Some(frame.code.into()), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => break (None, error.to_string()),
                None => break (None, "the connection ended".to_owned()),
            },
            order = inbox.recv() => {
                let message = match order {
                    Some(ToWire::Text(text)) => Message::text(text),
                    Some(ToWire::Binary(bytes)) => Message::binary(bytes),
                    Some(ToWire::Heartbeats(on)) => {
                        beating = on;
                        continue;
                    }
                    Some(ToWire::Close(code)) => {
                        let frame = CloseFrame { code: code.into(), reason: "".into() };
                        break close(&mut socket, frame).await;
                    }
                    Some(ToWire::Drop) | None => break (None, "we dropped the connection".to_owned()),
                };
                if !send(&mut socket, message).await {
                    break (None, "sending failed".to_owned());
                }
            }
            () = tick(beat.as_mut()), if beating => {
                if !send(&mut socket, Message::text(json!({ "type": "heartbeat" }).to_string())).await {
                    break (None, "sending failed".to_owned());
                }
            }
        }
    };
    journal.close(end.0, end.1);
}

async fn send(socket: &mut Socket, message: Message) -> bool {
    matches!(tokio::time::timeout(SEND_DEADLINE, socket.send(message)).await, Ok(Ok(())))
}

async fn close(socket: &mut Socket, frame: CloseFrame) -> (Option<u16>, String) {
    let code = frame.code.into();
    let handshake = async {
        socket.close(Some(frame)).await.ok()?;
        while let Some(Ok(_)) = socket.next().await {}
        Some(())
    };
    let _ = tokio::time::timeout(CLOSE_DEADLINE, handshake).await;
    (Some(code), "we closed".to_owned())
}

fn interval(ready: &Value) -> Option<tokio::time::Interval> {
    let ms = ready["heartbeat_interval_ms"].as_u64().filter(|ms| *ms > 0)?;
    let period = Duration::from_millis(ms);
    Some(tokio::time::interval_at(tokio::time::Instant::now() + period, period))
}

async fn tick(beat: Option<&mut tokio::time::Interval>) {
    match beat {
        Some(beat) => {
            beat.tick().await;
        }
        None => std::future::pending().await,
    }
}
