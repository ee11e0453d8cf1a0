//! One thing that is wrong with a plan.

use crate::language::LanguageTag;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub code: FindingCode,
    pub severity: Severity,
    /// Where in the document, as a JSON pointer (RFC 6901).
    pub path: String,
    /// Of which language, when only one is meant.
    pub language: Option<LanguageTag>,
    /// What is wrong and what to do, for the author.
    pub message: String,
    /// Why the author accepts it. Then it is a warning.
    pub accepted: Option<String>,
}

/// Errors come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The draft cannot be published.
    Error,
    Warning,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! finding_codes {
    ($( $(#[doc = $help:literal])+ $name:ident = $code:literal, )*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FindingCode {
            $( $(#[doc = $help])+ $name, )*
        }

        impl FindingCode {
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $code, )* }
            }

            /// What it means, in one line.
            pub const fn help(self) -> &'static str {
                match self { $( Self::$name => concat!($($help),+), )* }
            }
        }
    };
}

finding_codes! {
    /// A text that is needed is empty.
    MissingText = "missing_text",
    /// A spoken text is not there in a language that the plan offers.
    MissingTranslation = "missing_translation",
    /// A spoken text is there in a language that the plan does not offer.
    StrayTranslation = "stray_translation",
    /// The default language is not one of the languages.
    DefaultLanguageMissing = "default_language_missing",
    /// The words of this language are not read by the linter.
    LanguageNotChecked = "language_not_checked",
    /// Two parts of the same kind have the same id, or a language is there twice.
    DuplicateId = "duplicate_id",
    /// There is no core question.
    NoCoreQuestion = "no_core_question",
    /// A core or optional question says nothing about a competency.
    MissingCompetency = "missing_competency",
    /// A question names a competency that the plan does not have.
    UnknownCompetency = "unknown_competency",
    /// No core question asks for this competency.
    UnaskedCompetency = "unasked_competency",
    /// A competency has no example of behaviour for a level.
    MissingAnchors = "missing_anchors",
    /// A core question does not say what a good answer tells.
    MissingEvidence = "missing_evidence",
    /// A probe does not say when it is put.
    MissingTrigger = "missing_trigger",
    /// The minutes and seconds do not fit into each other.
    TimeBox = "time_box",
    /// The numbers of turns do not fit to each other or to the probes.
    Turns = "turns",
    /// A text takes too long to say.
    TooLong = "too_long",
    /// A text has a gap that somebody was to fill.
    Placeholder = "placeholder",
    /// A question asks two things: nobody knows which of them was answered.
    DoubleBarrelled = "double_barrelled",
    /// A question tells which answer is wanted.
    Leading = "leading",
    /// A topic that an interviewer must not open.
    ForbiddenTopic = "forbidden_topic",
}

impl Serialize for FindingCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Finding {
    pub(super) fn error(code: FindingCode, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, path: path.into(), language: None, message: message.into(), accepted: None }
    }

    pub(super) fn warning(code: FindingCode, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::error(code, path, message).warned()
    }

    pub(super) fn warned(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    pub(super) fn in_language(self, language: &LanguageTag) -> Self {
        Self { language: Some(language.clone()), ..self }
    }

    pub(super) fn accepted(self, reason: &str) -> Self {
        Self { accepted: Some(reason.to_owned()), ..self.warned() }
    }
}
