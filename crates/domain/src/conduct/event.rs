//! What was decided and seen about the course of an interview. These are stored, and never changed.

use crate::edge::{Slug, Text};
use crate::ids::ItemId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An event with its place and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// From 0, without gaps.
    pub number: u32,
    /// Milliseconds since the interview began.
    pub at_ms: u64,
    pub event: Event,
}

impl Recorded {
    pub fn new(number: u32, at: Duration, event: Event) -> Self {
        Self { number, at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX), event }
    }

    pub fn at(&self) -> Duration {
        Duration::from_millis(self.at_ms)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A call was opened, and its model told this.
    Instructed {
        /// Of the part that does not change: SHA-256 in hexadecimal letters.
        sha256: Text,
    },
    /// The opening was heard.
    Opened {
        item: ItemId,
    },
    /// The question was heard to its end.
    Asked {
        question: Slug,
        item: ItemId,
        /// In the words of the plan.
        verbatim: bool,
    },
    Probed {
        question: Slug,
        probe: Slug,
        item: ItemId,
    },
    /// It was put again, for a candidate who asked for that.
    Repeated {
        question: Slug,
    },
    Answered {
        question: Slug,
        item: ItemId,
    },
    /// It asked for something (a moment, a break, the question again), and answered nothing.
    NoAnswer {
        question: Slug,
        item: ItemId,
    },
    Covered {
        question: Slug,
        coverage: Coverage,
        by: CoveredBy,
    },
    Moved {
        to: Spot,
        because: Because,
    },
    /// There is no time for it.
    Dropped {
        question: Slug,
    },
    /// The candidate was invited to ask.
    Invited {
        item: ItemId,
    },
    Closed {
        item: ItemId,
    },
    PauseBegan {
        pause: PauseKind,
        /// It ends by itself then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most_ms: Option<u64>,
    },
    PauseEnded,
    /// Nobody spoke for long, and the candidate was told something.
    Nudged {
        question: Slug,
        step: u8,
    },
    /// The interviewer noted something for the people who review.
    Flagged {
        flag: Flag,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<Text>,
        /// The candidate's last words then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<ItemId>,
    },
}

/// A place of the interview by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spot {
    Question(Slug),
    CandidateQuestions,
    Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// The interviewer has what it needs.
    Interviewer,
    /// As many answers as the plan allows.
    Turns,
    /// As much time as the plan allows for the question.
    Time,
    /// The interview's own time is over.
    TimeUp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    #[default]
    None,
    Partial,
    Enough,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoveredBy {
    /// A hint of the model.
    Interviewer,
    Turns,
    Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseKind {
    /// A moment to think, which ends by itself.
    Think,
    /// The candidate wants a break, until they come back.
    Break,
    /// Nobody answered for two minutes.
    Silence,
}

/// What a person has to see. None of it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    WantsHuman,
    WantsToStop,
    Distress,
    Abuse,
    /// Words to the model instead of answers.
    Manipulation,
    /// Something that must not be judged: health, family, origin, …
    Protected,
    /// What another employer would not want told.
    Confidential,
    Adjustment,
    Technical,
    Other,
}

impl Flag {
    pub const ALL: [Self; 10] = [
        Self::WantsHuman,
        Self::WantsToStop,
        Self::Distress,
        Self::Abuse,
        Self::Manipulation,
        Self::Protected,
        Self::Confidential,
        Self::Adjustment,
        Self::Technical,
        Self::Other,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WantsHuman => "wants_human",
            Self::WantsToStop => "wants_to_stop",
            Self::Distress => "distress",
            Self::Abuse => "abuse",
            Self::Manipulation => "manipulation",
            Self::Protected => "protected",
            Self::Confidential => "confidential",
            Self::Adjustment => "adjustment",
            Self::Technical => "technical",
            Self::Other => "other",
        }
    }

    /// Nothing more is asked about what was said just now.
    pub fn ends_probing(self) -> bool {
        matches!(self, Self::Distress | Self::Protected | Self::Confidential)
    }
}
