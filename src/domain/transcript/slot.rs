//! One item of the conversation, from the first sign of it to its settled words.

use super::entry::{Doubt, Entry, Source, Status};
use crate::domain::edge::{EntryKey, Millis, Text, Timestamp};
use crate::domain::voice::Speaker;
use crate::ids::{ItemId, ReplyId};

#[derive(Debug)]
pub(super) struct Slot {
    /// Set once the slot is first told to the outside; see [`Entry::seq`].
    pub(super) seq: Option<i32>,
    pub(super) key: EntryKey,
    pub(super) item: Option<ItemId>,
    pub(super) segment: i32,
    pub(super) position: i64,
    pub(super) revision: i32,
    pub(super) speaker: Option<Speaker>,
    pub(super) silent: bool,
    pub(super) text: String,
    /// None while words may still come.
    pub(super) settled: Option<Status>,
    pub(super) source: Source,
    pub(super) authoritative: bool,
    pub(super) doubt: Option<Doubt>,
    pub(super) reply: Option<ReplyId>,
    /// Told by the provider; an estimate of the heard text needs the length as well.
    pub(super) heard_ms: Option<Millis>,
    pub(super) audio_ms: Option<Millis>,
    pub(super) commentary: bool,
    pub(super) started_ms: Option<Millis>,
    pub(super) ended_ms: Option<Millis>,
    /// What the browser says was said, while the words are not settled.
    pub(super) witness: Option<String>,
    /// Begun before we listened, or the line broke before it was settled: the truth may never come.
    pub(super) orphaned: bool,
    /// Stands behind an item that nobody has told us of yet.
    pub(super) awaits: Option<ItemId>,
    pub(super) at: Timestamp,
    pub(super) claimed_at: Option<Text>,
}

impl Slot {
    pub(super) fn new(key: EntryKey, item: Option<ItemId>, segment: i32, position: i64, at: Timestamp) -> Self {
        Self {
            seq: None,
            key,
            item,
            segment,
            position,
            revision: 0,
            speaker: None,
            silent: false,
            text: String::new(),
            settled: None,
            source: Source::Sideband,
            authoritative: true,
            doubt: None,
            reply: None,
            heard_ms: None,
            audio_ms: None,
            commentary: false,
            started_ms: None,
            ended_ms: None,
            witness: None,
            orphaned: false,
            awaits: None,
            at,
            claimed_at: None,
        }
    }

    /// As stored by an earlier process.
    pub(super) fn restore(entry: Entry) -> Self {
        if entry.source == Source::Browser && !entry.authoritative && entry.status == Status::Partial {
            // The browser's word, kept beside until ours came.
            let beside = Self::new(entry.key, entry.item_id, entry.segment, entry.position, entry.at);
            return Self {
                seq: Some(entry.seq),
                revision: entry.revision,
                speaker: Some(entry.speaker),
                witness: Some(entry.text.into_string()),
                orphaned: true,
                ..beside
            };
        }
        Self {
            seq: Some(entry.seq),
            revision: entry.revision,
            speaker: Some(entry.speaker),
            text: entry.text.into_string(),
            settled: Some(entry.status),
            source: entry.source,
            authoritative: entry.authoritative,
            doubt: entry.doubt,
            claimed_at: entry.claimed_at,
            heard_ms: entry.heard_ms,
            commentary: entry.commentary,
            started_ms: entry.started_ms,
            ended_ms: entry.ended_ms,
            ..Self::new(entry.key, entry.item_id, entry.segment, entry.position, entry.at)
        }
    }

    /// Someone spoke, and the words may still come.
    pub(super) fn is_open(&self) -> bool {
        self.settled.is_none() && !self.silent && self.speaker.is_some()
    }

    /// We were there and did not hear it to its end.
    pub(super) fn lacks_words(&self) -> bool {
        self.source == Source::Sideband && matches!(self.settled, Some(Status::Missing | Status::Partial))
    }

    /// Told by the browser alone, while we believed to be there.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.source == Source::Browser && !self.authoritative && self.item.is_some()
    }

    pub(super) fn add_words(&mut self, delta: &str) {
        if self.settled.is_none() {
            self.text.push_str(delta);
        }
    }

    pub(super) fn entry(&self) -> Option<Entry> {
        self.as_settled(self.settled?)
    }

    /// The entry that it would be with this status.
    pub(super) fn as_settled(&self, status: Status) -> Option<Entry> {
        let (seq, speaker) = (self.seq?, self.speaker?);
        Some(Entry {
            seq,
            key: self.key.clone(),
            item_id: self.item.clone(),
            segment: self.segment,
            position: self.position,
            revision: self.revision,
            speaker,
            text: self.text.clone().into(),
            source: self.source,
            authoritative: self.authoritative,
            doubt: self.doubt,
            status,
            interrupted: self.heard_ms.is_some(),
            heard_ms: self.heard_ms,
            heard_text: self.heard_text().map(Into::into),
            commentary: self.commentary,
            started_ms: self.started_ms,
            ended_ms: self.ended_ms,
            at: self.at,
            claimed_at: self.claimed_at.clone(),
        })
    }

    /// The share of the text that corresponds to the share of the audio, cut at a word.
    fn heard_text(&self) -> Option<String> {
        let (heard, audio) = (self.heard_ms?.get(), self.audio_ms?.get());
        if heard >= audio {
            return Some(self.text.clone());
        }
        let wanted =
            self.text.chars().count() as u128 * u128::from(heard.unsigned_abs()) / u128::from(audio.unsigned_abs().max(1));
        let cut: String = self.text.chars().take(wanted as usize).collect();
        Some(cut.rsplit_once(char::is_whitespace).map_or("", |(words, _)| words).to_owned())
    }
}
