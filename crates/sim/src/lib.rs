//! Runs one interview's whole tree under simulated time and faults, seed by seed.
//!
//! The actors, the domain, the process loop and the socket's HTTP code are real. Everything outside the process (database,
//! voice, recording, summary, machines, browser) is a small model, in one thread and in virtual time. See docs/SIMULATION.md.
//!
//! Read [`plan`] (what will happen), [`run`] (how it happens), [`invariants`] (what must hold).

pub mod browser;
pub mod campaign;
pub mod conduct;
pub mod database;
pub mod faults;
pub mod ground_truth;
pub mod interviewer;
pub mod invariants;
pub mod machine;
pub mod plan;
pub mod run;
pub mod vendors;
pub mod voice;
pub mod world;
