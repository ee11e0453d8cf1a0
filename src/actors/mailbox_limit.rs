//! Limits and counts the messages that wait for an actor. ractor's mailboxes have neither a limit nor a gauge. So code that
//! brings messages from outside takes a permit of a gate for each.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Clone, Debug)]
pub struct MailboxLimit {
    permits: Arc<Semaphore>,
    limit: usize,
}

impl MailboxLimit {
    pub fn new(limit: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(limit)), limit }
    }

    /// Wait for a place. It is free again when the message that carries the permit is dropped,
    /// handled or not.
    pub async fn enter(&self) -> OwnedSemaphorePermit {
        self.permits.clone().acquire_owned().await.expect("a gate is never closed")
    }

    /// Messages that wait for the actor or are being handled.
    pub fn waiting(&self) -> usize {
        self.limit - self.permits.available_permits()
    }
}
