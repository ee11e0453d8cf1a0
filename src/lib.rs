//! The runtime behind AI job interviews.
//!
//! One interview is one supervised tree of actors in one process on one machine. Start reading here: [`actors::tree`] is the
//! tree as data, [`domain::phase`] the life of an interview, [`roles::session`] one interview's process, [`roles::gateway`] the
//! tenant's gateway. ARCHITECTURE.md says who may import whom, and a test checks it.

pub mod actors;
pub mod config;
pub mod http;
pub mod integrations;
pub mod operator;
pub mod ports;
pub mod reconcilers;
pub mod roles;
pub mod signature;
pub mod telemetry;

pub use interview_domain as domain;
pub use interview_domain::{backoff, clock, error, ids};
pub use interview_rehearsal as rehearsal;
