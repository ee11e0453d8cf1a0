//! A deadline for each unit of work of a session process.
//!
//! PostgreSQL stops a slow statement by itself, but not when the network loses the request or the answer. Then only the client
//! can give up. Work that it gave up was rolled back or committed; writing it again changes nothing.

use super::StoreError;
use crate::domain::claimed::{Claimed, Pulse, Recording, TicketRefusal};
use crate::domain::outbox_record::Record;
use crate::domain::seat::Seat;
use crate::domain::transcript::Entry;
use crate::ids::Epoch;
use crate::ports::{DeadLetter, SessionRows};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::timeout;

#[derive(Debug)]
pub struct Bounded<R> {
    pub rows: R,
    pub deadline: Duration,
}

/// What `work` answers, or that it took too long.
pub(super) async fn within<T>(
    deadline: Duration,
    action: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(deadline, work).await.unwrap_or(Err(StoreError::TimedOut { action }))
}

#[async_trait]
impl<R: SessionRows> SessionRows for Bounded<R> {
    fn epoch(&self) -> Epoch {
        self.rows.epoch()
    }
    async fn reread(&self) -> Result<Claimed, StoreError> {
        within(self.deadline, "read the session", self.rows.reread()).await
    }
    async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        within(self.deadline, "store a batch", self.rows.append(records)).await
    }
    async fn rehearse(&self, records: &[Record]) -> Result<(), StoreError> {
        within(self.deadline, "rehearse a batch", self.rows.rehearse(records)).await
    }
    async fn set_aside(&self, letter: DeadLetter<'_>) -> Result<(), StoreError> {
        within(self.deadline, "set a record aside", self.rows.set_aside(letter)).await
    }
    async fn heartbeat(&self) -> Result<Pulse, StoreError> {
        within(self.deadline, "touch the session", self.rows.heartbeat()).await
    }
    async fn consume_ticket(&self, ticket: &str, origin: Option<&str>) -> Result<Result<Seat, TicketRefusal>, StoreError> {
        within(self.deadline, "consume a ticket", self.rows.consume_ticket(ticket, origin)).await
    }
    async fn recordings(&self) -> Result<Vec<Recording>, StoreError> {
        within(self.deadline, "read the recordings", self.rows.recordings()).await
    }
    async fn count_summary_try(&self, most: i32) -> Result<bool, StoreError> {
        within(self.deadline, "count a try of the summary", self.rows.count_summary_try(most)).await
    }
    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        within(self.deadline, "read the transcript", self.rows.entries()).await
    }
}
