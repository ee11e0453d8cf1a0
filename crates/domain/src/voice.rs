//! The seam between the interview and the provider of the voice.
//!
//! The control channel translates a provider's wire events into these events, and these commands into the provider's commands.
//! OpenAI Realtime is the first adapter.

use crate::edge::Timestamp;
use crate::ids::{ItemId, ReplyId, ToolCallId};
use crate::transcript::Recognition;
use crate::usage::Tokens;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    Ai,
    Candidate,
}

impl Speaker {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ai => "ai",
            Self::Candidate => "candidate",
        }
    }
}

/// What happened in the call.
#[derive(Clone, Debug, PartialEq)]
pub enum VoiceEvent {
    /// The control channel is configured and hears the call.
    Ready {
        /// When the provider ends the call by itself.
        expires_at: Option<Timestamp>,
    },
    SpeechStarted {
        item: ItemId,
        start_ms: Option<u64>,
    },
    SpeechStopped {
        item: ItemId,
        end_ms: Option<u64>,
    },
    /// The item has its place in the conversation: after `previous`, or first in its chapter.
    ItemPlaced {
        item: ItemId,
        previous: Option<ItemId>,
        content: ItemContent,
    },
    ItemDeleted {
        item: ItemId,
    },
    /// More of the candidate's words; not yet final.
    CandidateWords {
        item: ItemId,
        delta: String,
    },
    CandidateSettled {
        item: ItemId,
        text: String,
        recognition: Recognition,
    },
    /// The provider could not transcribe what the candidate said.
    CandidateFailed {
        item: ItemId,
    },
    ReplyStarted {
        reply: ReplyId,
        in_conversation: bool,
        /// Why we asked for it, if we did.
        purpose: Option<String>,
    },
    /// The reply writes this item.
    ReplyItem {
        reply: ReplyId,
        item: ItemId,
        commentary: bool,
    },
    ReplyWords {
        item: ItemId,
        delta: String,
    },
    ReplySettled {
        item: ItemId,
        text: String,
    },
    /// The reply is generated (not: heard). Carries all its texts, for what was missed.
    ReplyDone {
        reply: ReplyId,
        outcome: ReplyOutcome,
        texts: Vec<(ItemId, String)>,
        tokens: Option<Tokens>,
        delivery: Delivery,
    },
    PlaybackStarted {
        reply: ReplyId,
    },
    /// Heard to the end.
    PlaybackEnded {
        reply: ReplyId,
    },
    /// Cut off by the candidate.
    PlaybackCut {
        reply: ReplyId,
    },
    /// Only this much of the item was heard.
    ItemCut {
        item: ItemId,
        heard_ms: u64,
    },
    ToolCalled {
        /// Told by most.
        reply: Option<ReplyId>,
        call: ToolCallId,
        name: String,
        arguments: String,
    },
    /// The provider refused one of our commands; the call goes on.
    Refused {
        refusal: Refusal,
        /// Which, as we named it.
        command: Option<String>,
    },
    /// The provider's time for this call is over.
    Expired,
}

impl VoiceEvent {
    /// The reply that it is about.
    pub fn reply(&self) -> Option<&ReplyId> {
        match self {
            Self::ReplyStarted { reply, .. }
            | Self::ReplyItem { reply, .. }
            | Self::ReplyDone { reply, .. }
            | Self::PlaybackStarted { reply }
            | Self::PlaybackEnded { reply }
            | Self::PlaybackCut { reply } => Some(reply),
            Self::ToolCalled { reply, .. } => reply.as_ref(),
            _ => None,
        }
    }

    /// Only a sideband that carries the candidate's speech brings this.
    pub fn is_candidate_speech(&self) -> bool {
        matches!(
            self,
            Self::SpeechStarted { .. }
                | Self::SpeechStopped { .. }
                | Self::ItemPlaced { content: ItemContent::Committed, .. }
                | Self::CandidateWords { .. }
                | Self::CandidateSettled { .. }
                | Self::CandidateFailed { .. }
        )
    }
}

/// What an item of the conversation is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemContent {
    /// Audio of the candidate that was committed on the call.
    Committed,
    /// A message without words yet. It was said if its audio was committed, or if it is a reply's.
    Message { speaker: Speaker, commentary: bool },
    /// A message that came with words: put into the call by hand, by us (history, notes) or by somebody else. It was
    /// not said, unless its audio was committed or it is a reply's.
    Typed,
    /// Holds a place and says nothing: tool calls.
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyOutcome {
    Completed,
    /// The candidate spoke over it.
    Cancelled,
    /// A client of the call cancelled it.
    CancelledByClient,
    Failed,
    Incomplete,
    /// The account at the provider is used up or blocked: trying again cannot help.
    AccountBlocked,
}

/// How a reply reaches the candidate, as far as it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    #[default]
    Unknown,
    Audio,
    /// Nobody hears it.
    Text,
}

/// Why a command of ours had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A request for a reply met one that is under way.
    AlreadyReplying,
    /// There was no reply to cancel.
    NothingToCancel,
    /// The call has reached its longest duration.
    Expired,
    Account,
    Other,
}
