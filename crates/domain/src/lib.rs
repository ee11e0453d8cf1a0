//! What an interview is, without a socket, a clock of its own or a database.
//!
//! An interview is a book; each call to the voice provider is a chapter of it. It moves
//! forward only ([`phase`]): created, ready, live, ending, summarizing, completed or failed.
//! What is said arrives as [`voice::VoiceEvent`]s, which [`transcript`] turns into entries in
//! the order of the conversation. Everything that must be stored waits in the [`outbox`]
//! until the database has it; [`refusals`] decides about what it does not take. [`summary`] turns
//! the stored transcript into a judged summary in which every quote can be found. [`recording`]
//! follows what the browser records beside it, take by take. [`seat`] is who sits at the browser's end,
//! [`invitation`] until when it is kept for them. [`protocol`] is what the browser and we say to each other.
//!
//! Nothing here waits, spawns or talks to the outside: all of it is tested with plain values. It is a crate of its own
//! so that the compiler keeps it so: none of its dependencies can wait, store or send. The runtime shows it as
//! `interview_runtime::domain`.

pub mod backoff;
pub mod call_guard;
pub mod clock;
pub mod edge;
pub mod error;
pub mod frame_edge;
pub mod ids;
pub mod invitation;
pub mod keeper;
pub mod outbox;
pub mod phase;
pub mod placement;
pub mod protocol;
pub mod record;
pub mod recording;
pub mod refusals;
pub mod restart;
pub mod seat;
pub mod standby;
pub mod summary;
pub mod tenant_plan;
pub mod transcript;
pub mod updates;
pub mod voice;
