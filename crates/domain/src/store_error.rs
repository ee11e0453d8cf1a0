//! Why the store did not do what was asked: for the caller that waits, and for the record that was to be stored.

use crate::error::{ErrorCode, Fault, FaultClass};
use crate::refusals::Failure;

use Failure::{Refused, Unclear};
use FaultClass::{Bug, Rejected, Transient};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {action}")]
    Query { action: &'static str, source: Refusal },
    #[error("another process has taken this session: our epoch {epoch} is over")]
    Fenced { epoch: i32 },
    #[error("a newer machine than that of attempt {attempt} has this session")]
    Superseded { attempt: i32 },
    #[error("no answer in time: cannot {action}")]
    TimedOut { action: &'static str },
    #[error("the database takes no writes: this connection leads to a standby")]
    ReadOnly,
    #[error("no such session")]
    NotFound,
    #[error("a stored value is not understood: {0}")]
    Corrupt(String),
}

/// What a database said, or the way to it.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub class: FaultClass,
    pub failure: Failure,
    /// PostgreSQL's code for it (its documentation, appendix A).
    pub sql_state: Option<String>,
    pub text: String,
}

impl Refusal {
    /// The database answered with this code.
    pub fn of_state(sql_state: &str, text: impl Into<String>) -> Self {
        // Also what a trigger raises without a class of its own.
        let known = CLASSES.iter().find(|(class, _)| sql_state.starts_with(class));
        let (class, failure) = known.map_or((Bug, Unclear), |(_, meaning)| *meaning);
        Self { class, failure, sql_state: Some(sql_state.to_owned()), text: text.into() }
    }

    /// Nothing came back.
    pub fn unreachable(text: impl Into<String>) -> Self {
        Self { class: Transient, failure: Unclear, sql_state: None, text: text.into() }
    }
}

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

impl StoreError {
    /// What it says about what was to be stored.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Query { source, .. } => source.failure,
            Self::Corrupt(_) => Refused,
            Self::Fenced { .. } | Self::Superseded { .. } | Self::TimedOut { .. } | Self::ReadOnly | Self::NotFound => Unclear,
        }
    }

    pub fn sql_state(&self) -> Option<&str> {
        if let Self::Query { source, .. } = self { source.sql_state.as_deref() } else { None }
    }
}

impl Fault for StoreError {
    fn class(&self) -> FaultClass {
        match self {
            Self::Query { source, .. } => source.class,
            Self::TimedOut { .. } | Self::ReadOnly => Transient,
            Self::Fenced { .. } | Self::Superseded { .. } | Self::NotFound => Rejected,
            Self::Corrupt(_) => Bug,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Query { source, .. } if source.class == Transient => ErrorCode::TranscriptStoreUnavailable,
            Self::TimedOut { .. } | Self::ReadOnly => ErrorCode::TranscriptStoreUnavailable,
            Self::Fenced { .. } | Self::Superseded { .. } => ErrorCode::SessionSuperseded,
            Self::NotFound => ErrorCode::SessionNotFound,
            Self::Query { .. } | Self::Corrupt(_) => ErrorCode::TranscriptStoreRefused,
        }
    }
}
