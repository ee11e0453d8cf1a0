//! Stand-ins for everything an interview needs from outside, on the vendors' own wire
//! formats, in one process that needs no key and no network.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api_video;
mod bootstrap;
mod control;
mod cors;
pub mod faults;
pub mod fly;
mod front;
pub mod ledger;
pub mod listener;
pub mod mail;
pub mod openai;
mod options;
pub mod otlp;
pub mod postgres;
mod process;
mod sandbox;
pub mod supabase;
mod util;

pub use self::bootstrap::{GATEWAY_APP, NETWORK, SESSION_APP, TENANT_ID, TENANT_NAME, TENANT_SLUG};
pub use self::options::SandboxOptions;
pub use self::sandbox::{Sandbox, SandboxError, Urls};
