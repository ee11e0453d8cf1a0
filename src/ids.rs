//! Ids are types: no bare `Uuid` or `String` id crosses a function.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    )+};
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )+};
}

uuid_id! {
    /// A company whose interviews we run.
    TenantId,
    /// One interview: the book whose chapters are calls.
    SessionId,
    /// A person who is interviewed, as the tenant knows them.
    CandidateId,
    /// A job that is interviewed for.
    PositionId,
    /// What a position is judged by.
    CompetencyId,
    /// An account in Supabase Auth.
    UserId,
    /// A place in the pool of machines that wait for a session.
    StandbyId,
}

text_id! {
    /// One WebRTC call at the voice provider.
    CallId,
    /// One turn of the conversation, as the voice provider names it.
    ItemId,
    /// One answer of the AI, as the voice provider names it.
    ReplyId,
    /// One function call of the model.
    ToolCallId,
    /// One recording at the recording provider.
    VideoId,
    /// A Fly Machine.
    MachineId,
}

/// Which of a session's browser connections: the newest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Fencing token of a session process: an older epoch writes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Epoch(pub i32);

impl Epoch {
    /// No process held the session before this one.
    pub fn is_first(self) -> bool {
        self.0 <= 1
    }

    /// The number before a process's first event. Numbers rise across processes, so a browser
    /// that resumes on a new one is understood; they stay below 2^53 for 2^21 epochs.
    pub fn events_before(self) -> u64 {
        u64::from(self.0.unsigned_abs()) << 32
    }
}
