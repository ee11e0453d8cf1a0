//! The records of one interview, in the order in which they were decided.

use super::conduct::Recorded;
use super::edge::{Label, Text, Timestamp};
use super::phase::{EndReason, Phase};
use super::protocol::ConsentKind;
use super::seat::Seat;
use super::summary::Summary;
use super::transcript::Entry;
use super::usage::Usage;
use crate::error::ErrorCode;
use crate::ids::{CallId, VideoId};
use serde_json::{Value, json};

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
        at: Timestamp,
    },
    /// The chapter that is open now; none between chapters.
    Call {
        call: Option<CallId>,
        /// Earlier ones that are not known to be over.
        ending: Vec<CallId>,
        segment: i32,
    },
    Greeted,
    Connected(bool),
    /// Until when a candidate who is gone is waited for.
    ReturnBy(Timestamp),
    Consent {
        kind: ConsentKind,
        policy_version: Text,
        /// Who gave it, and the ticket they came with.
        given_by: Seat,
    },
    Recording(RecordingRecord),
    Summary(SummaryRecord),
    /// What a vendor was asked for, and what it costs.
    Usage(Usage),
    /// About the course of the interview through its plan.
    Conduct(Recorded),
    Integrity {
        kind: Label,
        at: Timestamp,
        /// The time that the browser claimed, where it cannot have been then.
        claimed_at: Option<Text>,
    },
}

impl Record {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Entry(_) => "entry",
            Self::ClientSeq(_) => "client_seq",
            Self::Phase { .. } => "phase",
            Self::Call { .. } => "call",
            Self::Greeted => "greeted",
            Self::Connected(_) => "connected",
            Self::ReturnBy(_) => "return_by",
            Self::Consent { .. } => "consent",
            Self::Recording(_) => "recording",
            Self::Summary(_) => "summary",
            Self::Usage(_) => "usage",
            Self::Conduct(_) => "conduct",
            Self::Integrity { .. } => "integrity",
        }
    }

    /// All of it, for a person who has to store it by hand.
    pub fn content(&self) -> Value {
        match self {
            Self::Entry(entry) => {
                json!({"entry": entry, "key": entry.key, "position": entry.position, "revision": entry.revision, "authoritative": entry.authoritative})
            }
            Self::ClientSeq(seq) => json!({"seq": seq}),
            Self::Phase { phase, end, at } => json!({"phase": phase, "end": end, "at": at.unix_timestamp()}),
            Self::Call { call, ending, segment } => {
                let ending: Vec<&str> = ending.iter().map(CallId::as_str).collect();
                json!({"call": call.as_ref().map(CallId::as_str), "ending": ending, "segment": segment})
            }
            Self::Greeted => json!({}),
            Self::Connected(connected) => json!({"connected": connected}),
            Self::ReturnBy(at) => json!({"at": at.unix_timestamp()}),
            Self::Consent { kind, policy_version, given_by } => {
                let (user, ticket) = (given_by.user, given_by.ticket.to_string());
                json!({"kind": kind, "policy_version": policy_version, "given_by": user, "ticket_sha256": ticket})
            }
            Self::Recording(recording) => {
                json!({"video": recording.video.as_str(), "state": recording.state.as_str(), "parts": recording.parts, "failure": recording.failure,
                       "mime_type": recording.mime_type, "incomplete": recording.incomplete})
            }
            Self::Summary(summary) => match &summary.outcome {
                Ok(content) => json!({"content": content, "model": summary.model}),
                Err(failure) => json!({"failure": failure, "model": summary.model}),
            },
            Self::Usage(usage) => json!({"kind": usage.kind.as_str(), "subject": usage.subject, "model": usage.model}),
            Self::Conduct(recorded) => json!({"number": recorded.number, "at_ms": recorded.at_ms, "event": recorded.event}),
            Self::Integrity { kind, at, claimed_at } => {
                json!({"kind": kind, "at": at.unix_timestamp(), "claimed_at": claimed_at})
            }
        }
    }

    /// What to store when this one cannot be: whoever waits for a summary learns that there is none.
    pub fn when_set_aside(&self) -> Option<Self> {
        let Self::Summary(SummaryRecord { outcome: Ok(_), model }) = self else { return None };
        Some(Self::Summary(SummaryRecord { outcome: Err(ErrorCode::TranscriptRecordSetAside.as_str()), model: model.clone() }))
    }

    /// What the record weighs in the outbox.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Entry(entry) => entry.bytes(),
            Self::Summary(_) => 16 * 1024,
            Self::Usage(_) => 512,
            // An id, and at most a short quote.
            Self::Conduct(_) => 1024,
            _ => 128,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecordingRecord {
    pub video: VideoId,
    pub state: RecordingState,
    pub parts: i32,
    pub failure: Option<Text>,
    /// What the browser writes; none when it has not said so.
    pub mime_type: Option<Label>,
    /// It was begun, and the rest of it never came.
    pub incomplete: bool,
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
    pub model: Text,
}
