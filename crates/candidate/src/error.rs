use std::time::Duration;

/// What can go wrong while being a candidate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no {wanted} within {waited:?}; what came: {seen:?}")]
    Timeout { wanted: String, waited: Duration, seen: Vec<String> },
    #[error("waited for {wanted}, but the runtime refused {request_type}: {code}: {message}")]
    Refused { wanted: String, code: String, message: String, request_type: String },
    #[error("waited for {wanted}, but the connection closed with {code:?} {reason}")]
    Closed { wanted: String, code: Option<u16>, reason: String },
    #[error("the websocket could not be opened: {0}")]
    Connect(String),
    #[error("the websocket handshake was answered with status {0}")]
    Handshake(u16),
    #[error("no udp socket: {0}")]
    Udp(#[from] std::io::Error),
    #[error("webrtc: {0}")]
    WebRtc(String),
    #[error("not connected to any media")]
    NoMedia,
    #[error("the message lacks {0}")]
    Missing(&'static str),
}
