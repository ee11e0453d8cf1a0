//! What a rehearsal tells.

use crate::interviewer::Behaviour;
use crate::persona::Kind;
use interview_domain::edge::Slug;
use interview_domain::language::LanguageTag;
use interview_domain::plan::PlanHash;
use interview_domain::plan::lint::Severity;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rehearsal {
    /// The digest of the plan that was rehearsed.
    pub plan: PlanHash,
    pub language: LanguageTag,
    /// What the candidate is told, and after how long an interview ends in any case.
    pub minutes: u32,
    pub limit_minutes: u32,
    /// Whether no rule was broken: there are no errors.
    pub passed: bool,
    /// One interview with each kind of candidate, and an interviewer that does as it is told.
    pub personas: Vec<PersonaReport>,
    /// One with a good candidate for each way in which an interviewer's model misbehaves.
    pub misbehaving: Vec<MisbehaviourReport>,
    /// About the plan as a whole, errors first.
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PersonaReport {
    pub persona: Kind,
    /// What this candidate does, in one line.
    pub described: &'static str,
    pub outcome: Outcome,
    /// From the first word to the end, pauses left out.
    pub minutes: f64,
    pub questions_asked: usize,
    pub probes_fired: usize,
    /// Nobody spoke, no pause was granted and the page said nothing, at most.
    pub longest_silence_s: f64,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MisbehaviourReport {
    pub behaviour: Behaviour,
    pub outcome: Outcome,
    pub minutes: f64,
    /// Rules that did not hold although the server conducts.
    pub findings: Vec<Finding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// To the closing words.
    Completed,
    /// The candidate wanted to stop; or all was asked, or the time was up, and the interviewer left out the closing.
    Stopped,
    /// The time limit of the interview.
    TimeLimit,
    /// The interviewer could not be made to speak.
    Failed,
    /// It ended before all was asked, or not at all.
    Broken,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::TimeLimit => "time_limit",
            Self::Failed => "failed",
            Self::Broken => "broken",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub code: Code,
    pub severity: Severity,
    /// Where in the plan, by ids; null where it is about all of it.
    pub section: Option<Slug>,
    pub question: Option<Slug>,
    pub probe: Option<Slug>,
    /// What is wrong and what to change, in one sentence.
    pub message: String,
}

macro_rules! codes {
    ($( $(#[doc = $help:literal])+ $name:ident = $text:literal, )*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $( $(#[doc = $help])+ $name, )* }

        impl Code {
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }
        }
    };
}

codes! {
    /// The call was told something that the candidate's browser must not read.
    Leak = "leak",
    /// The interviewer brought up what it must not.
    ForbiddenTopic = "forbidden_topic",
    /// A core question was not asked.
    NotAsked = "not_asked",
    /// A question was asked twice without a reason.
    AskedAgain = "asked_again",
    /// Questions were not asked in the order of the plan.
    OutOfOrder = "out_of_order",
    /// A question was asked in other words.
    NotVerbatim = "not_verbatim",
    /// The interview did not end by its rules.
    NotEndedByRule = "not_ended_by_rule",
    /// The interviewer spoke into a moment to think, or it was counted.
    ThinkTime = "think_time",
    /// Nobody spoke for too long, and the page did not say why.
    Silence = "silence",
    /// The time is over before all is asked.
    OverTime = "over_time",
    /// A section takes longer than its minutes.
    SectionOverTime = "section_over_time",
    /// A text takes too long to listen to.
    TooLong = "too_long",
    /// No candidate was asked this probe.
    ProbeNeverFires = "probe_never_fires",
    /// No candidate was asked this question.
    NeverAsked = "never_asked",
}

impl Finding {
    pub(crate) fn error(code: Code, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, section: None, question: None, probe: None, message: message.into() }
    }

    pub(crate) fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    pub(crate) fn unless(self, harmless: bool) -> Self {
        if harmless { Self { severity: Severity::Warning, ..self } } else { self }
    }

    pub(crate) fn at(self, section: &Slug, question: &Slug) -> Self {
        Self { section: Some(section.clone()), question: Some(question.clone()), ..self }
    }

    pub(crate) fn in_section(self, section: &Slug) -> Self {
        Self { section: Some(section.clone()), ..self }
    }

    pub(crate) fn of_probe(self, probe: &Slug) -> Self {
        Self { probe: Some(probe.clone()), ..self }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl Rehearsal {
    /// All of them: of the plan, of each candidate, of each misbehaviour.
    pub fn all_findings(&self) -> impl Iterator<Item = &Finding> {
        let personas = self.personas.iter().flat_map(|persona| &persona.findings);
        let misbehaving = self.misbehaving.iter().flat_map(|one| &one.findings);
        self.findings.iter().chain(personas).chain(misbehaving)
    }
}
