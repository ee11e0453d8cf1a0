//! A candidate without a browser.
//!
//! [`WebRtcPeer`] sends and receives the audio: it is a real WebRTC client with one audio track and the data channel
//! `oai-events`. [`Candidate`] adds the WebSocket `interview.v1` and takes part in a whole interview. Both are for tests and
//! benches. Every wait has a deadline, and its error contains what was received instead.

mod error;
mod journal;
mod peer;
mod socket;
mod wire;

pub use error::Error;
pub use peer::{AudioStats, WebRtcPeer};
pub use socket::{Candidate, Closed, ConnectOptions, Join, Outcome, TicketIn};
