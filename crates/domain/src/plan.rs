//! A structured interview as data: what is asked, in which words, in which order, and in how much time.
//!
//! A plan is written as a draft and published as a version with a number. A version is never changed, and each interview keeps
//! the one that it began with: so the same questions were put to everybody who was interviewed with it. [`lint`] says what a
//! draft still lacks, [`canonical`] names a version by the digest of its content, [`diff`] says how two versions differ.
//!
//! What is spoken is in the plan in every language that the plan offers. Anchors, evidence, times and later questions are for
//! people and for our own code: they are never part of a call, where the candidate's browser can read them.

pub mod canonical;
pub mod diff;
pub mod lint;
mod offer;
mod pace;
pub mod schema;
mod spoken;

use crate::edge::{List, Prose, Slug, Whole};
use crate::ids::PlanId;
use crate::language::LanguageTag;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub use canonical::PlanHash;
pub use offer::PlanOffer;
pub use pace::Pace;
pub use spoken::{Spoken, SpokenError};

/// A document as its author writes it. It may have gaps: [`lint`] finds them before a version is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What the plan is called, for the people who work with it.
    pub title: Prose<200>,
    /// In which language the interview is held when the candidate asks for none, or for one that the plan does not have.
    pub default_language: LanguageTag,
    /// Every language in which the interview can be held. Each spoken text is there in all of them.
    pub languages: List<LanguageTag, 16>,
    /// How long the interview takes, as the candidate is told: opening, sections, the candidate's questions and closing.
    pub minutes: Whole<1, 240>,
    /// How long the interviewer waits before it takes a pause for the end of an answer.
    #[serde(default)]
    pub turn_taking: TurnTaking,
    /// What the candidate may take to think, when they ask for it. The clock stands meanwhile.
    #[serde(default)]
    pub think_time: ThinkTime,
    #[serde(default)]
    pub accommodations: Accommodations,
    /// What the candidate is judged by.
    pub competencies: List<Competency, 20>,
    /// Said first, without a question.
    pub opening: Passage,
    /// What is asked, in this order.
    pub sections: List<Section, 20>,
    /// Invites the candidate to ask.
    pub candidate_questions: Passage,
    /// Said last.
    pub closing: Passage,
}

/// Something that is said at its place in the interview, and the minutes that it may take with all that follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    pub minutes: Whole<0, 60>,
    pub spoken: Spoken,
}

/// Questions that belong together, with the minutes they may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Section {
    pub id: Slug,
    pub name: Prose<200>,
    pub minutes: Whole<1, 240>,
    pub questions: List<Question, 30>,
}

/// What an interview finds out, with an example of behaviour for three levels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Competency {
    pub id: Slug,
    pub name: Prose<200>,
    #[serde(default)]
    pub definition: Prose<2_000>,
    #[serde(default)]
    pub anchors: Anchors,
    /// What sounds like it and says nothing about it.
    #[serde(default)]
    pub not_evidence: List<Prose<400>, 10>,
}

/// Behaviour that a person can recognise, at the levels 1, 3 and 5.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Anchors {
    #[serde(rename = "1")]
    pub low: Prose<1_000>,
    #[serde(rename = "3")]
    pub middle: Prose<1_000>,
    #[serde(rename = "5")]
    pub high: Prose<1_000>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub id: Slug,
    pub kind: QuestionKind,
    /// Which competency the answer says something about. A warm-up has none.
    #[serde(default)]
    pub competency: Option<Slug>,
    /// Spoken as it is written.
    pub spoken: Spoken,
    /// In simpler words, for a candidate who did not understand it twice.
    #[serde(default)]
    pub simpler: Spoken,
    /// The only further questions that may be put, each at most once.
    #[serde(default)]
    pub probes: List<Probe, 3>,
    /// Fewer answers than this are not enough to go on, while there is time.
    #[serde(default = "one_turn")]
    pub min_turns: Whole<1, 20>,
    /// After this many answers the interview goes on.
    #[serde(default = "three_turns")]
    pub max_turns: Whole<1, 20>,
    /// How long it should take, with its probes.
    pub target_s: Whole<10, 3_600>,
    /// How long it may take.
    pub hard_s: Whole<10, 3_600>,
    /// What a good answer tells. Never spoken.
    #[serde(default)]
    pub evidence_sought: List<Prose<400>, 10>,
    /// What the linter found in this question or its probes and the author accepts, with the reason.
    #[serde(default)]
    pub accepted: List<Accepted, 4>,
}

/// `Whole::of` as serde calls it.
const fn one_turn() -> Whole<1, 20> {
    Whole::of::<1>()
}

const fn three_turns() -> Whole<1, 20> {
    Whole::of::<3>()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// Put to everybody, in its place and its words.
    Core,
    /// Put when there is time.
    Optional,
    /// Put first, and never judged.
    Warmup,
}

impl QuestionKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Optional => "optional",
            Self::Warmup => "warmup",
        }
    }
}

/// A further question, put when the answer lacks something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub id: Slug,
    /// When it is put.
    #[serde(default)]
    pub trigger: Option<Trigger>,
    pub spoken: Spoken,
}

/// What an answer lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// It stays general: no situation is named.
    NoExample,
    /// It tells what others did, or "we".
    NoOwnPart,
    /// It tells what was done and not why.
    NoReason,
    /// It tells no outcome.
    NoResult,
    /// It tells no lesson.
    NoReflection,
    /// It has only a few words.
    ShortAnswer,
    /// Something else, in the author's words: `the answer names no numbers`.
    Custom(Prose<200>),
}

impl Trigger {
    /// As the interviewer is told it.
    pub fn described(&self) -> &str {
        match self {
            Self::NoExample => "the answer names no concrete situation",
            Self::NoOwnPart => "the answer does not say what the candidate did themselves",
            Self::NoReason => "the answer does not say why it was done that way",
            Self::NoResult => "the answer does not say how it ended",
            Self::NoReflection => "the answer does not say what the candidate learned from it",
            Self::ShortAnswer => "the answer has only a few words",
            Self::Custom(text) => text,
        }
    }
}

/// A finding that the author has read and accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    pub finding: Acceptable,
    pub reason: Prose<400>,
}

/// What the linter guesses from the words, so that it may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Acceptable {
    DoubleBarrelled,
    Leading,
    /// For work that is about it: who interviews a carer for children asks about children.
    ForbiddenTopic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnTaking {
    /// A pause of some seconds is a pause.
    #[default]
    Patient,
    Normal,
    /// For short answers.
    Brisk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ThinkTime {
    /// At most, at once.
    pub seconds: Whole<10, 600>,
    /// How often for one question.
    pub times_per_question: Whole<1, 10>,
}

impl ThinkTime {
    pub fn longest(self) -> Duration {
        Duration::from_secs(u64::from(self.seconds.get()))
    }
}

impl Default for ThinkTime {
    fn default() -> Self {
        Self { seconds: Whole::of::<120>(), times_per_question: Whole::of::<3>() }
    }
}

/// What may be granted to a candidate who asks for it, without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Accommodations {
    /// How much longer everything may take.
    pub extra_time_percent: Whole<0, 200>,
    pub allowed: List<Accommodation, 8>,
}

impl Default for Accommodations {
    fn default() -> Self {
        let allowed = List::new(Accommodation::ALL.to_vec()).unwrap_or_default();
        Self { extra_time_percent: Whole::of::<50>(), allowed }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accommodation {
    Captions,
    /// The candidate types instead of speaking.
    TypedAnswers,
    /// Each question is also shown as text.
    QuestionsShown,
    SlowerSpeech,
    Breaks,
}

impl Accommodation {
    pub const ALL: [Self; 5] = [Self::Captions, Self::TypedAnswers, Self::QuestionsShown, Self::SlowerSpeech, Self::Breaks];
}

impl Plan {
    /// The longest document that is read.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// As JSON. The error names the place.
    pub fn parse(json: &[u8]) -> Result<Self, PlanError> {
        if json.len() > Self::MAX_BYTES {
            return Err(PlanError::TooLong);
        }
        serde_json::from_slice(json).map_err(|error| PlanError::Invalid(error.to_string()))
    }

    /// In which of its languages an interview is held for a candidate who wants `wanted`; None when it has none that fits.
    pub fn language_for(&self, wanted: &str) -> Option<&LanguageTag> {
        LanguageTag::lookup(wanted, &self.languages)
    }

    /// All questions in the order in which they are asked.
    pub fn questions(&self) -> impl Iterator<Item = (&Section, &Question)> {
        self.sections.iter().flat_map(|section| section.questions.iter().map(move |question| (section, question)))
    }

    pub fn question(&self, id: &Slug) -> Option<&Question> {
        self.questions().map(|(_, question)| question).find(|question| question.id == *id)
    }

    pub fn competency(&self, id: &Slug) -> Option<&Competency> {
        self.competencies.iter().find(|competency| competency.id == *id)
    }
}

/// A published plan, as an interview keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanVersion {
    pub plan_id: PlanId,
    pub number: i32,
    pub hash: PlanHash,
    pub plan: Plan,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("a plan has at most {} bytes", Plan::MAX_BYTES)]
    TooLong,
    #[error("this is no plan: {0}")]
    Invalid(String),
}

#[cfg(test)]
mod tests;
