//! A candidate without a browser.
//!
//! [`WebRtcPeer`] is the microphone and the ear: a real WebRTC client with one audio track
//! and the data channel `oai-events`. [`Candidate`] adds the WebSocket `interview.v1` and
//! holds a whole interview. Both are for tests and benches; every wait has a deadline, and
//! what came instead is part of the error.

mod error;
mod journal;
mod peer;
mod socket;
mod wire;

pub use error::Error;
pub use peer::{AudioStats, WebRtcPeer};
pub use socket::{Candidate, Closed, ConnectOptions, Join, Outcome, TicketIn};
