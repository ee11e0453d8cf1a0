//! What an interview is, without sockets, database or its own clock.
//!
//! An interview has one or more calls to the voice provider, one after the other (the code also calls them chapters). Its
//! phases only go forward ([`phase`]): created, ready, live, ending, summarizing, completed or failed.
//!
//! - [`transcript`] turns each [`voice::VoiceEvent`] into entries, in the order of the conversation.
//! - [`replies`] decides who speaks next, and [`call_setup`] how a call is configured.
//! - [`typed`] is what the candidate writes instead of saying it.
//! - [`outbox`] holds everything that must be stored until the database has it. [`refusals`] decides about records that the
//!   database does not accept.
//! - [`summary`] turns the stored transcript into a judged summary in which every quote can be found.
//! - [`recording`] follows what the browser records, take by take.
//! - [`invite`] is a link by which a candidate without an account comes, and [`mail`] what is written to people.
//! - [`seat`] is the person who uses the browser's connection. [`invitation`] says how long the interview is kept for them.
//! - [`candidate`], [`candidate_import`] and [`position`] say what a company may keep of people, positions and competencies.
//! - [`plan`] is a structured interview as data: what is asked, in which words, in which order and time.
//! - [`conduct`] leads an interview through its plan: the current question, the clock, pauses, the closing.
//! - [`instructions`] is what the interviewer's model is told in a call.
//! - [`protocol`] has the messages between the browser and us.
//!
//! Nothing here waits, spawns or talks to the outside: all of it is tested with plain values. It is a crate of its own, so the
//! compiler enforces this: none of its dependencies can wait, store or send. The runtime exports it as
//! `interview_runtime::domain`.

pub mod ack_window;
pub mod backoff;
pub mod call_guard;
pub mod call_setup;
pub mod candidate;
pub mod candidate_import;
pub mod claimed;
pub mod clock;
pub mod conduct;
pub mod deaf_sideband;
pub mod edge;
pub mod error;
pub mod ids;
pub mod instructions;
pub mod invitation;
pub mod invite;
pub mod language;
pub mod mail;
pub mod outbox;
pub mod outbox_record;
pub mod phase;
pub mod placement;
pub mod plan;
pub mod position;
pub mod protocol;
pub mod recent;
pub mod reconcile;
pub mod recording;
pub mod refusals;
pub mod replies;
pub mod restart;
pub mod seat;
pub mod standby;
pub mod store_error;
pub mod summary;
pub mod tenant_plan;
pub mod transcript;
pub mod typed;
pub mod usage;
pub mod voice;
pub mod ws_frame_boundary;
pub mod zone;
