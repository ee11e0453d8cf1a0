//! The edge for input: all data from outside passes these types before it becomes a record.
//!
//! Browser frames, HTTP bodies, provider events, a model's answers, webhooks, token claims and configuration are read into
//! raw strings and numbers. A [`crate::outbox_record::Record`] holds none of those. It holds [`Text`], [`Label`], [`Timestamp`],
//! [`Millis`] and ids, and these can only be made by making the input harmless (`tests/it/architecture.rs` checks the fields).
//! So everything that reaches the database can be stored, and nothing that is shown can change the page around it.
//!
//! Documents that people write, such as a plan, consist of [`Prose`], [`Slug`], [`Whole`] and [`List`].

mod authored;
mod field;
mod ids;
mod json;
mod part;
mod text;
mod time;

pub use authored::{List, ListError, Prose, ProseError, Slug, SlugError, Whole, WholeError};
pub use field::{EmailAddress, FieldError, Fields};
pub use ids::{ClientId, ClientIdError, EntryKey};
pub use json::{Place, mend_surrogates};
pub use part::{PartNumber, PartNumberError};
pub use text::{Label, LabelError, Text};
pub use time::{Millis, Timestamp};
