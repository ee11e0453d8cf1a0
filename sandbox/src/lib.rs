//! Stand-ins for everything an interview needs from outside, on the vendors' own wire
//! formats, in one process that needs no key and no network.

pub mod api_video;
mod cors;
pub mod faults;
pub mod fly;
pub mod ledger;
pub mod listener;
pub mod otlp;
pub mod postgres;
mod process;
pub mod supabase;
mod util;
