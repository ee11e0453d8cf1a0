//! What PostgreSQL's errors mean: for the caller that waits, and for the record that was to be stored.

use crate::domain::refusals::Failure;
use crate::error::ErrorCode;
use crate::error::FaultClass;
use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use Failure::{Refused, Unclear};
use FaultClass::{Bug, Rejected, Transient};

/// Classes of SQLSTATE (PostgreSQL, appendix A). `Unclear` is whatever may also be the fault of this
/// moment: whether it is the record's own is found by trying others (`domain/refusals.rs`).
const CLASSES: &[(&str, (FaultClass, Failure))] = &[
    // The connection broke, or a pooler's did. A record at which it breaks each time is refused alone.
    ("08", (Transient, Unclear)),
    // Not supported: our SQL on this server. Stale plans are told apart below.
    ("0A", (Bug, Unclear)),
    // The value itself: a NUL, out of range, too long.
    ("22", (Rejected, Refused)),
    // A constraint: the value again, or a row that it needs is not there.
    ("23", (Rejected, Refused)),
    // Read-only after a failover; a transaction that stood idle too long.
    ("25", (Transient, Unclear)),
    // The server does not know a statement that we prepared (a pooler, DEALLOCATE).
    ("26", (Transient, Unclear)),
    // The login is refused (a password is being changed), the database is away (being restored).
    ("28", (Transient, Unclear)),
    ("3D", (Transient, Unclear)),
    // Serialization, deadlock: passes when tried again. If it never does, it is the record's.
    ("40", (Transient, Unclear)),
    // No such table, column or right: a bug, or a migration that is under way and meets everyone.
    ("42", (Bug, Unclear)),
    // Disk, memory or connections are used up.
    ("53", (Transient, Unclear)),
    // Too large or too complex for any server.
    ("54", (Rejected, Refused)),
    // In use, or locked by somebody.
    ("55", (Transient, Unclear)),
    // Shut down, starting; a statement that took too long (57014): a slow moment, or a slow record.
    ("57", (Transient, Unclear)),
    // The server's disk or files.
    ("58", (Transient, Unclear)),
    // An internal error, a damaged page or index: of the server, or where this one record goes.
    ("XX", (Transient, Unclear)),
];

pub(super) fn meaning_of(error: &Error) -> (FaultClass, Failure) {
    match error {
        Error::Database(error) if is_stale_plan(&**error) => (Transient, Unclear),
        Error::Database(error) => {
            let state = error.code().unwrap_or_default();
            // Also what a trigger raises without a class of its own.
            CLASSES.iter().find(|(class, _)| state.starts_with(class)).map_or((Bug, Unclear), |(_, meaning)| *meaning)
        }
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::BeginFailed => (Transient, Unclear),
        // It cannot even be written onto the line.
        Error::Encode(_) | Error::InvalidArgument(_) => (Bug, Refused),
        _ => (Bug, Unclear),
    }
}

/// The connection remembers a statement that the server has forgotten, or understands differently
/// since the schema changed. It fails on this connection for ever, and on the next one never.
fn is_stale_plan(error: &dyn DatabaseError) -> bool {
    match error.code().as_deref() {
        Some("26000") => true,
        // The code says only "not supported", and its words are in the server's language.
        Some("0A000") => {
            error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine) == Some("RevalidateCachedQuery")
        }
        _ => false,
    }
}

/// Since when the plans of all connections are out of date: older ones are replaced.
#[derive(Clone, Debug, Default)]
pub(super) struct Stale(Arc<Mutex<Option<Instant>>>);

impl Stale {
    pub fn note<T>(&self, outcome: &Result<T, Error>) {
        if let Err(Error::Database(error)) = outcome
            && is_stale_plan(&**error)
        {
            tracing::warn!(error_code = ErrorCode::DatabaseRefused.as_str(), cause = ?error.code(), "plans are out of date, replacing the connections");
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Whether a connection of this age is to be replaced.
    pub fn is(&self, age: Duration) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() <= age)
    }
}
