//! From the wire to messages and back. No decisions are made here.

pub mod auth;
mod body_timeout;
pub mod gateway;
pub mod headers;
pub mod health;
pub mod limits;
pub mod linger;
pub mod problem;
pub mod replay_state;
pub mod server;
pub mod session;
pub mod standby;
