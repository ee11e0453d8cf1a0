//! What the errors of the database driver mean.

use crate::domain::refusals::Failure;
use crate::domain::store_error::Refusal;
use crate::error::{ErrorCode, FaultClass, chain};
use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use Failure::{Refused, Unclear};
use FaultClass::{Bug, Transient};

pub(super) fn refusal(error: &Error) -> Refusal {
    let text = chain(error);
    let (class, failure) = match error {
        Error::Database(error) if is_stale_plan(&**error) => (Transient, Unclear),
        Error::Database(error) => return Refusal::of_state(&error.code().unwrap_or_default(), text),
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
    };
    let sql_state = error.as_database_error().and_then(DatabaseError::code).map(Cow::into_owned);
    Refusal { class, failure, sql_state, text }
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
