//! Everything that was received, in order, and waiting for more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Error;

/// The oldest entries make room for new ones.
const MAX_ENTRIES: usize = 20_000;
/// How many names an error shows.
const SHOWN: usize = 30;

#[derive(Debug, Default)]
struct Inner {
    entries: VecDeque<Value>,
    forgotten: usize,
    closed: Option<(Option<u16>, String)>,
}

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, entry: Value) {
        let mut inner = self.lock();
        if inner.entries.len() >= MAX_ENTRIES {
            inner.entries.pop_front();
            inner.forgotten += 1;
        }
        inner.entries.push_back(entry);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Nothing more will come. Only the first reason counts.
    pub(crate) fn close(&self, code: Option<u16>, reason: String) {
        self.lock().closed.get_or_insert((code, reason));
        self.changed.notify_waiters();
    }

    pub(crate) fn closed(&self) -> Option<(Option<u16>, String)> {
        self.lock().closed.clone()
    }

    pub(crate) fn entries(&self) -> Vec<Value> {
        self.lock().entries.iter().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        let inner = self.lock();
        inner.forgotten + inner.entries.len()
    }

    /// The first entry at or after `cursor` that `wanted` likes. The cursor moves behind it.
    pub(crate) async fn wait(
        &self,
        what: &str,
        cursor: &mut usize,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Error> {
        let deadline = Instant::now() + patience;
        let from = *cursor;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let inner = self.lock();
                let skip = cursor.saturating_sub(inner.forgotten);
                if let Some((index, entry)) = inner.entries.iter().enumerate().skip(skip).find(|(_, entry)| wanted(entry)) {
                    *cursor = inner.forgotten + index + 1;
                    return Ok(entry.clone());
                }
                if let Some((code, reason)) = inner.closed.clone() {
                    return Err(Error::Closed { wanted: what.to_owned(), code, reason });
                }
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Error::Timeout { wanted: what.to_owned(), waited: patience, seen: self.names(from) });
            }
        }
    }

    /// Waits for the end.
    pub(crate) async fn wait_closed(&self, patience: Duration) -> Result<(Option<u16>, String), Error> {
        let deadline = Instant::now() + patience;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(closed) = self.closed() {
                return Ok(closed);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Error::Timeout { wanted: "close".to_owned(), waited: patience, seen: self.names(0) });
            }
        }
    }

    fn names(&self, from: usize) -> Vec<String> {
        let inner = self.lock();
        let skip = from.saturating_sub(inner.forgotten);
        let mut names: Vec<String> =
            inner.entries.iter().skip(skip).map(|entry| entry["type"].as_str().unwrap_or("?").to_owned()).collect();
        names.dedup();
        names.split_off(names.len().saturating_sub(SHOWN))
    }
}
