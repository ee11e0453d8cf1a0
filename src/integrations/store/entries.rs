//! Transcript entries as rows: one mapping for all readers.

use super::StoreError;
use crate::domain::edge::{EntryKey, Label, Millis};
use crate::domain::transcript::{Doubt, Entry, Logprob, Source, Status};
use crate::domain::voice::Speaker;
use crate::ids::ItemId;
use time::OffsetDateTime;

/// A row of `app.transcript_entries`.
pub(super) struct EntryRow {
    pub seq: i32,
    pub entry_key: String,
    pub item_id: Option<String>,
    pub segment: i32,
    pub position: i64,
    pub revision: i32,
    pub speaker: String,
    pub text: String,
    pub source: String,
    pub authoritative: bool,
    pub doubt: Option<String>,
    pub status: String,
    pub interrupted: bool,
    pub heard_ms: Option<i32>,
    pub heard_text: Option<String>,
    pub commentary: bool,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    pub at: OffsetDateTime,
    pub claimed_at: Option<String>,
    pub logprob: Option<f64>,
    pub language: Option<String>,
}

impl TryFrom<EntryRow> for Entry {
    type Error = StoreError;

    fn try_from(row: EntryRow) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.seq,
            key: EntryKey::stored(row.entry_key),
            item_id: row.item_id.map(ItemId::new),
            segment: row.segment,
            position: row.position,
            revision: row.revision,
            speaker: name::<Speaker>(&row.speaker)?,
            text: row.text.into(),
            source: name::<Source>(&row.source)?,
            authoritative: row.authoritative,
            doubt: row.doubt.as_deref().map(name::<Doubt>).transpose()?,
            status: name::<Status>(&row.status)?,
            interrupted: row.interrupted,
            heard_ms: row.heard_ms.map(|ms| Millis::stored(ms.into())),
            heard_text: row.heard_text.map(Into::into),
            commentary: row.commentary,
            started_ms: row.started_ms.map(Millis::stored),
            ended_ms: row.ended_ms.map(Millis::stored),
            at: row.at.into(),
            claimed_at: row.claimed_at.map(Into::into),
            logprob: row.logprob.and_then(Logprob::new),
            language: row.language.and_then(|language| Label::new(&language).ok()),
        })
    }
}

/// A value of one of our own enums, as a column has it.
pub(super) fn name<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| StoreError::Corrupt(error.to_string()))
}
