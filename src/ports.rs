//! What one interview needs from the outside, as traits.
//!
//! Actors and process hold these traits, not the clients. The clients of this folder implement them, and so do the models of
//! the simulation (docs/SIMULATION.md). Each implementation promises what the whole folder promises: one deadline for each
//! call, no retry, no task of its own.

use crate::domain::claimed::{Claimed, Pulse, Recording, TicketRefusal};
use crate::domain::edge::Text;
use crate::domain::outbox_record::Record;
use crate::domain::seat::Seat;
use crate::domain::store_error::StoreError;
use crate::domain::transcript::Entry;
use crate::error::ErrorCode;
use crate::ids::{CallId, Epoch, SessionId, TenantId, VideoId};
use crate::integrations::api_video::VideoStatus;
use crate::integrations::call_error::CallError;
use crate::integrations::openai::calls::{CallCreated, CreateCallError, HungUp};
use crate::integrations::openai::events::ClientEvent;
use crate::integrations::openai::responses::{ResponseError, ResponseOutcome, ResponseRequest};
use crate::integrations::openai::session_config::SessionConfig;
use crate::integrations::openai::sideband::{ConnectSidebandError, Inbound, SidebandError};
use async_trait::async_trait;
use secrecy::SecretString;
use std::fmt::Debug;
use std::sync::Arc;

/// Where a process takes its session from.
#[async_trait]
pub trait Sessions: Debug + Send + Sync {
    /// Take the session: raises its epoch, so that whoever held it before can write no more.
    async fn claim(&self, tenant: TenantId, session: SessionId) -> Result<(Rows, Claimed), StoreError>;
    async fn close(&self);
}

/// One session's rows under the epoch that was taken.
#[async_trait]
pub trait SessionRows: Debug + Send + Sync {
    fn epoch(&self) -> Epoch;
    /// Read everything again: for a fresh tree in the same process.
    async fn reread(&self) -> Result<Claimed, StoreError>;
    /// Store records in order, all or none. Repeating a batch changes nothing.
    async fn append(&self, records: &[Record]) -> Result<(), StoreError>;
    /// As [`Self::append`], and taken back: whether the database would take them.
    async fn rehearse(&self, records: &[Record]) -> Result<(), StoreError>;
    /// Keep a record that [`Self::append`] refuses where a person finds it. Repeating it changes nothing.
    async fn set_aside(&self, letter: DeadLetter<'_>) -> Result<(), StoreError>;
    /// Alive, and still ours? Also learns whether someone asked for the end.
    async fn heartbeat(&self) -> Result<Pulse, StoreError>;
    /// Take a ticket once. `origin` is None for clients that are no browser.
    async fn consume_ticket(&self, ticket: &str, origin: Option<&str>) -> Result<Result<Seat, TicketRefusal>, StoreError>;
    /// The takes of the recording; the gateway makes them.
    async fn recordings(&self) -> Result<Vec<Recording>, StoreError>;
    /// Count a question to the summary's model before it is asked. False: it was asked `most` times already.
    async fn count_summary_try(&self, most: i32) -> Result<bool, StoreError>;
    /// The stored transcript in order.
    async fn entries(&self) -> Result<Vec<Entry>, StoreError>;
}

/// A record that the database does not take, and why.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    /// Its number within the process.
    pub ordinal: u64,
    pub record: &'a Record,
    pub code: ErrorCode,
    pub refusal: Text,
}

pub type Rows = Arc<dyn SessionRows>;

/// Who carries the voice of the call.
#[async_trait]
pub trait VoiceProvider: Debug + Send + Sync {
    /// Not safe to repeat without a look at [`CreateCallError::is_safe_to_repeat`].
    async fn create_call(&self, sdp: &str, session: &SessionConfig) -> Result<CallCreated, CreateCallError>;
    /// Safe to repeat.
    async fn hang_up(&self, call: &CallId) -> Result<HungUp, CallError>;
    /// Our own connection into a call that lives.
    async fn join(&self, call: &CallId) -> Result<Sideband, ConnectSidebandError>;
}

/// Our own connection into a call, in two halves.
pub type Sideband = (Box<dyn SidebandRead>, Box<dyn SidebandWrite>);

#[async_trait]
pub trait SidebandRead: Send {
    /// Safe to cancel. After `Closed` or an error the connection is spent.
    async fn next(&mut self) -> Result<Inbound, SidebandError>;
}

#[async_trait]
pub trait SidebandWrite: Send {
    async fn send(&mut self, event: &ClientEvent) -> Result<(), SidebandError>;
    async fn ping(&mut self) -> Result<(), SidebandError>;
    async fn close(&mut self) -> Result<(), SidebandError>;
}

/// Who writes the summary.
#[async_trait]
pub trait SummaryModel: Debug + Send + Sync {
    async fn ask(&self, request: &ResponseRequest) -> Result<ResponseOutcome, ResponseError>;
}

/// Who keeps the recording.
#[async_trait]
pub trait VideoProvider: Debug + Send + Sync {
    async fn status(&self, video: &VideoId) -> Result<VideoStatus, CallError>;
    /// End an upload whose sender is gone with `part`, so that what has arrived can be watched.
    async fn close_upload(&self, video: &VideoId, part: u32) -> Result<(), CallError>;
    async fn delete_upload_token(&self, token: &SecretString) -> Result<(), CallError>;
}
