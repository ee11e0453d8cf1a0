//! What the transcript yields, and what a browser brings to it.

use crate::domain::voice::Speaker;
use crate::ids::ItemId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// One thing said, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Stable number within the interview; what evidence points at.
    pub seq: i32,
    #[serde(skip)]
    pub key: String,
    pub item_id: Option<ItemId>,
    pub segment: i32,
    #[serde(skip)]
    pub position: i64,
    #[serde(skip)]
    pub revision: i32,
    pub speaker: Speaker,
    pub text: String,
    pub source: Source,
    #[serde(skip)]
    pub authoritative: bool,
    pub status: Status,
    pub interrupted: bool,
    pub heard_ms: Option<i32>,
    /// Estimate of the part that was heard: audio and text are not aligned.
    pub heard_text: Option<String>,
    pub commentary: bool,
    #[serde(skip)]
    pub started_ms: Option<i64>,
    #[serde(skip)]
    pub ended_ms: Option<i64>,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl Entry {
    /// What the entry weighs in the outbox.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.key.len() + 256
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Heard on our own control channel: the truth.
    Sideband,
    /// Said by the browser: the second witness.
    Browser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Final,
    /// The provider could not transcribe it.
    Failed,
    /// Said, but its words never arrived.
    Missing,
    /// Cut short by the end of the call; of the browser's word beside ours: not confirmed yet.
    Partial,
}

/// What the browser says was said (`transcript_update`).
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    pub key: String,
    pub item_id: Option<ItemId>,
    pub speaker: Speaker,
    pub text: String,
    pub at: OffsetDateTime,
}
