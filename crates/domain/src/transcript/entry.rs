//! The entries that the transcript yields, and what a browser reports to it.

use super::plausible::Logprob;
use crate::edge::{EntryKey, Label, Millis, Text, Timestamp};
use crate::ids::ItemId;
use crate::voice::Speaker;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;

/// One thing said, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Stable number within the interview; what evidence points at.
    pub seq: i32,
    #[serde(skip)]
    pub key: EntryKey,
    pub item_id: Option<ItemId>,
    pub segment: i32,
    #[serde(skip)]
    pub position: i64,
    #[serde(skip)]
    pub revision: i32,
    pub speaker: Speaker,
    pub text: Text,
    pub source: Source,
    /// Whether it is a word of the record. What is not is kept and shown, and nobody is judged by it.
    pub authoritative: bool,
    /// Why it is not the record's, or may carry no judgement by itself.
    pub doubt: Option<Doubt>,
    pub status: Status,
    pub interrupted: bool,
    pub heard_ms: Option<Millis>,
    /// Estimate of the part that was heard: audio and text are not aligned.
    pub heard_text: Option<Text>,
    pub commentary: bool,
    #[serde(skip)]
    pub started_ms: Option<Millis>,
    #[serde(skip)]
    pub ended_ms: Option<Millis>,
    pub at: Timestamp,
    /// The time that the browser claimed, where it cannot have been then.
    pub claimed_at: Option<Text>,
    /// How certain the transcription was of the candidate's words (mean natural logarithm per token), where it tells.
    pub logprob: Option<Logprob>,
    /// The language that it heard, as it names it.
    pub language: Option<Label>,
}

impl Entry {
    /// What the entry weighs in the outbox.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.key.as_str().len() + 256
    }

    /// What the entry's words weigh where the candidate is judged; none where nobody is judged by them.
    pub fn weight(&self) -> Option<Weight> {
        if !self.authoritative || self.speaker != Speaker::Candidate || self.text.trim().is_empty() {
            return None;
        }
        match self.doubt {
            // Words of a sideband that carries no speech are the record's where a tenant allows it.
            None | Some(Doubt::DeafSideband) => Some(Weight::Full),
            Some(Doubt::UnclosedGap) => Some(Weight::Supporting),
            Some(Doubt::NoItem | Doubt::NoCall | Doubt::Unconfirmed | Doubt::Hallucination | Doubt::Echo | Doubt::Written) => {
                None
            }
        }
    }
}

/// Whether the candidate said anything to be judged by: without it no summary is asked for.
pub fn can_be_judged(entries: impl IntoIterator<Item = impl Borrow<Entry>>) -> bool {
    entries.into_iter().any(|entry| entry.borrow().weight().is_some())
}

/// What words can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Full,
    /// A judgement beside others, never one alone.
    Supporting,
}

impl Entry {
    /// Final words that our own sideband heard, with a place and a time to be changed: what tests of both crates begin with.
    pub fn heard(seq: i32, speaker: Speaker, text: &str) -> Self {
        Self {
            seq,
            key: EntryKey::stored(seq.to_string()),
            item_id: None,
            segment: 1,
            position: i64::from(seq),
            revision: 1,
            speaker,
            text: text.into(),
            source: Source::Sideband,
            authoritative: true,
            doubt: None,
            status: Status::Final,
            interrupted: false,
            heard_ms: None,
            heard_text: None,
            commentary: false,
            started_ms: None,
            ended_ms: None,
            at: Timestamp::UNIX_EPOCH,
            claimed_at: None,
            logprob: None,
            language: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Heard on our own control channel: the truth.
    Sideband,
    /// Said by the browser: the second client report.
    Browser,
    /// Typed by the candidate through our own socket, and put into the call by us.
    Typed,
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

/// Why words are doubtful: of those that only the browser told, whether we would have heard them; of those that we heard, whether
/// somebody said them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Told of a gap of ours that never closed: nothing that we heard stands behind it. It is in the record,
    /// and no judgement rests on it alone.
    UnclosedGap,
    /// Our sideband carried no speech of the candidate.
    #[serde(rename = "deaf_line")]
    DeafSideband,
    /// It names no item of a call.
    NoItem,
    /// Told before there was a call.
    NoCall,
    /// Told of an item that our sideband, which was there to hear, did not hear; or in a gap that the browser made.
    Unconfirmed,
    /// Most likely made up by the transcription model: more words than fit into the sound, words that it is not certain of itself,
    /// or another script than the interview's.
    Hallucination,
    /// The interviewer's own words, out of the candidate's microphone.
    Echo,
    /// Of the interviewer: written instead of spoken, so nobody heard it.
    Written,
}

impl Doubt {
    pub const ALL: [Self; 8] = [
        Self::UnclosedGap,
        Self::DeafSideband,
        Self::NoItem,
        Self::NoCall,
        Self::Unconfirmed,
        Self::Hallucination,
        Self::Echo,
        Self::Written,
    ];

    /// Nobody said the words, as far as we know.
    pub fn was_never_said(self) -> bool {
        matches!(self, Self::Hallucination | Self::Echo | Self::Written)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnclosedGap => "unclosed_gap",
            Self::DeafSideband => "deaf_line",
            Self::NoItem => "no_item",
            Self::NoCall => "no_call",
            Self::Unconfirmed => "unconfirmed",
            Self::Hallucination => "hallucination",
            Self::Echo => "echo",
            Self::Written => "written",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|doubt| doubt.as_str() == name)
    }
}

/// What the browser says was said (`transcript_update`).
#[derive(Clone, Debug, PartialEq)]
pub struct ClientReport {
    pub key: EntryKey,
    pub item_id: Option<ItemId>,
    pub speaker: Speaker,
    pub text: Text,
    /// When, as it claims; none if that is no time.
    pub claimed: Option<Timestamp>,
    /// The same as it wrote it.
    pub claimed_at: Text,
}
