//! One interview's whole tree under simulated time and faults, seed by seed.
//!
//! The actors, the domain, the process loop and the socket's HTTP code are the real ones; what
//! is outside of the process (database, voice, recording, summary, machines, browser) are
//! small models in one thread and in virtual time. See docs/SIMULATION.md.
//!
//! Read [`plan`] (what will happen), [`run`] (how it happens), [`invariants`] (what must hold).

pub mod book;
pub mod browser;
pub mod campaign;
pub mod database;
pub mod faults;
pub mod invariants;
pub mod machine;
pub mod plan;
pub mod run;
pub mod vendors;
pub mod voice;
pub mod world;
