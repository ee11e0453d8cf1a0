//! What is spoken in one interview: a plan in one language, without all that the candidate's browser must not read.

use crate::edge::Slug;
use crate::language::LanguageTag;
use crate::plan::{Plan, QuestionKind, TurnTaking};
use std::time::Duration;

/// A plan in the language of the interview. It has no anchors, no evidence and no competencies, so that none of them can get
/// into a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub language: LanguageTag,
    pub opening: String,
    pub questions: Vec<ScriptQuestion>,
    /// Invites the candidate to ask. Empty: the plan has no such part in this language.
    pub candidate_questions: String,
    pub closing: String,
    /// The whole interview.
    pub length: Duration,
    /// What candidate's questions and closing need of it.
    pub reserve: Duration,
    /// By when it is over, from its begin, however long it stood still.
    pub limit: Duration,
    /// A moment to think is at most so long.
    pub think: Duration,
    pub thinks_per_question: u32,
    pub turn_taking: TurnTaking,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptQuestion {
    pub id: Slug,
    pub kind: QuestionKind,
    pub text: String,
    /// In simpler words; empty when the plan has none.
    pub simpler: String,
    pub probes: Vec<ScriptProbe>,
    pub min_turns: usize,
    pub max_turns: usize,
    pub target: Duration,
    pub hard: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptProbe {
    pub id: Slug,
    /// When it is put: `the answer names no concrete situation`.
    pub when: String,
    pub text: String,
}

impl Script {
    /// The plan in the language that fits `wanted` best, else in its own. Questions without a text in it are left out; a
    /// published plan has none.
    pub fn of(plan: &Plan, wanted: &str) -> Self {
        let language = plan.language_for(wanted).unwrap_or(&plan.default_language).clone();
        let spoken = |spoken: &crate::plan::Spoken| spoken.get(&language).unwrap_or_default().to_owned();
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        let minutes = |minutes: u32| seconds(60 * minutes);
        let questions = plan
            .questions()
            .map(|(_, question)| ScriptQuestion {
                id: question.id.clone(),
                kind: question.kind,
                text: spoken(&question.spoken),
                simpler: spoken(&question.simpler),
                probes: question
                    .probes
                    .iter()
                    .map(|probe| ScriptProbe {
                        id: probe.id.clone(),
                        when: probe.trigger.as_ref().map_or("the answer stays general", |trigger| trigger.described()).to_owned(),
                        text: spoken(&probe.spoken),
                    })
                    .filter(|probe| !probe.text.is_empty())
                    .collect(),
                min_turns: question.min_turns.get() as usize,
                max_turns: question.max_turns.get().max(question.min_turns.get()) as usize,
                target: seconds(question.target_s.get()),
                hard: seconds(question.hard_s.get().max(question.target_s.get())),
            })
            .filter(|question| !question.text.is_empty())
            .collect();
        Self {
            opening: spoken(&plan.opening.spoken),
            questions,
            candidate_questions: spoken(&plan.candidate_questions.spoken),
            closing: spoken(&plan.closing.spoken),
            length: minutes(plan.minutes.get()),
            reserve: minutes(plan.candidate_questions.minutes.get() + plan.closing.minutes.get()),
            limit: Duration::MAX,
            think: plan.think_time.longest(),
            thinks_per_question: plan.think_time.times_per_question.get(),
            turn_taking: plan.turn_taking,
            language,
        }
    }

    /// The same in an interview that may take no longer than this. However short it is, most of it is for questions.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        let length = self.length.min(limit);
        Self { length, reserve: self.reserve.min(length / 4), limit, ..self }
    }

    pub fn position(&self, id: &Slug) -> Option<usize> {
        self.questions.iter().position(|question| question.id == *id)
    }
}
