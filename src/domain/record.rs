//! What one interview leaves behind, record by record, in the order it was decided.

use super::phase::{EndReason, Phase};
use super::protocol::ConsentKind;
use super::summary::Summary;
use super::transcript::Entry;
use crate::ids::{CallId, VideoId};
use time::OffsetDateTime;

/// One durable fact. All of them pass through the outbox, so that the database sees them in
/// the order the interview decided them.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Entry(Entry),
    /// The browser's messages up to this one are stored; the latest of these counts.
    ClientSeq(u64),
    Phase {
        phase: Phase,
        end: Option<EndReason>,
        at: OffsetDateTime,
    },
    /// The chapter that is open now; none between chapters.
    Call {
        call: Option<CallId>,
        segment: i32,
    },
    Greeted,
    Connected(bool),
    Consent {
        kind: ConsentKind,
        policy_version: String,
    },
    Recording(RecordingRecord),
    Summary(SummaryRecord),
    Integrity {
        kind: String,
        at: OffsetDateTime,
    },
}

impl Record {
    /// What the record weighs in the outbox.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Entry(entry) => entry.bytes(),
            Self::Summary(_) => 16 * 1024,
            _ => 128,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecordingRecord {
    pub video: VideoId,
    pub state: RecordingState,
    pub parts: i32,
    pub failure: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingState {
    Waiting,
    Recording,
    Uploaded,
    Playable,
    Failed,
    Declined,
}

impl RecordingState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Recording => "recording",
            Self::Uploaded => "uploaded",
            Self::Playable => "playable",
            Self::Failed => "failed",
            Self::Declined => "declined",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Recording, Self::Uploaded, Self::Playable, Self::Failed, Self::Declined]
            .into_iter()
            .find(|state| state.as_str() == name)
    }

    /// Whether nothing more is to be expected from the browser.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Uploaded | Self::Playable | Self::Failed | Self::Declined)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRecord {
    pub outcome: Result<Summary, &'static str>,
    pub model: String,
}
