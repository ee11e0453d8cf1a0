//! The conduct record: what became of the plan in one interview, for the people who review it.
//!
//! Made of the stored events and the transcript alone, so it is the same whenever it is made.

use super::event::{Because, Coverage, CoveredBy, Event, Flag, PauseKind, Recorded, Spot};
use super::progress::{Place, Progress, State};
use super::{Moment, Script};
use crate::edge::{Slug, Text};
use crate::ids::ItemId;
use crate::language::LanguageTag;
use crate::plan::QuestionKind;
use crate::transcript::{Entry, Status};
use crate::voice::Speaker;
use serde::Serialize;
use std::collections::HashMap;

/// What became of the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConductRecord {
    /// The interview was held in it.
    pub language: LanguageTag,
    /// Whether the opening, the invitation to ask and the closing were heard.
    pub opened: bool,
    pub invited: bool,
    pub closed: bool,
    /// In the order of the plan.
    pub questions: Vec<QuestionRecord>,
    pub pauses: Vec<PauseRecord>,
    pub flags: Vec<FlagRecord>,
    /// Where the interview was not what the plan says, most important first.
    pub deviations: Vec<Deviation>,
    /// What the model of each call was told, by its digest.
    pub prompts: Vec<PromptRecord>,
    pub faults: Faults,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuestionRecord {
    pub id: Slug,
    pub kind: QuestionKind,
    pub text: String,
    pub asked: Option<AskedRecord>,
    /// On the clock of the interview, which stands in pauses: from the question to the next part.
    pub seconds: u64,
    /// Probes that were put, of how many there are.
    pub probes_used: Vec<Slug>,
    pub probes: usize,
    /// Entries of the transcript with the answers.
    pub answers: Vec<i32>,
    pub coverage: Coverage,
    pub covered_by: Option<CoveredBy>,
    /// Why the interview went on; none while it has not.
    pub left: Option<Because>,
    /// There was no time for it.
    pub dropped: bool,
    /// Moments to think, and times that it was put again.
    pub thinks: u32,
    pub repeats: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AskedRecord {
    /// The entry of the transcript, if it is there.
    pub entry: Option<i32>,
    /// Milliseconds since the interview began.
    pub at_ms: u64,
    /// In the words of the plan.
    pub verbatim: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PauseRecord {
    pub kind: PauseKind,
    pub began_ms: u64,
    /// None: the interview ended in it.
    pub ended_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlagRecord {
    pub flag: Flag,
    pub at_ms: u64,
    pub quote: Option<Text>,
    /// The candidate's last words then.
    pub entry: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PromptRecord {
    pub at_ms: u64,
    pub sha256: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deviation {
    pub kind: DeviationKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Slug>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviationKind {
    CoreNotAsked,
    /// In other words than the plan's.
    NotVerbatim,
    NotOpened,
    NotClosed,
    /// Optional, and there was no time.
    OptionalDropped,
}

/// What went wrong with the call, whoever brought it about, as far as the transcript shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Calls beyond the first.
    pub calls_replaced: u32,
    /// Turns whose words never came, or came in part.
    pub entries_incomplete: usize,
    pub entries_doubtful: usize,
}

impl ConductRecord {
    pub fn of(script: &Script, events: &[Recorded], entries: &[Entry]) -> Self {
        let by_item: HashMap<&ItemId, i32> =
            entries.iter().filter_map(|entry| Some((entry.item_id.as_ref()?, entry.seq))).collect();
        let course = Course::of(script, events);
        let questions: Vec<QuestionRecord> =
            (0..script.questions.len()).map(|at| course.question(script, at, &by_item)).collect();
        let flags = events.iter().filter_map(|recorded| match &recorded.event {
            Event::Flagged { flag, quote, item } => Some(FlagRecord {
                flag: *flag,
                at_ms: recorded.at_ms,
                quote: quote.clone(),
                entry: item.as_ref().and_then(|item| by_item.get(item).copied()),
            }),
            _ => None,
        });
        let prompts = events.iter().filter_map(|recorded| match &recorded.event {
            Event::Instructed { sha256 } => Some(PromptRecord { at_ms: recorded.at_ms, sha256: sha256.clone() }),
            _ => None,
        });
        let (opened, invited, closed) = (course.state.opened, course.state.invited, course.state.closed);
        Self {
            language: script.language.clone(),
            opened,
            invited,
            closed,
            deviations: deviations(&questions, opened, closed),
            questions,
            pauses: course.pauses,
            flags: flags.collect(),
            prompts: prompts.collect(),
            faults: Faults::of(entries),
        }
    }
}

/// The interview, event by event.
struct Course {
    state: State,
    seconds: Vec<u64>,
    asked_ms: Vec<Option<u64>>,
    left: Vec<Option<Because>>,
    covered_by: Vec<Option<CoveredBy>>,
    pauses: Vec<PauseRecord>,
}

impl Course {
    fn of(script: &Script, events: &[Recorded]) -> Self {
        let count = script.questions.len();
        let mut course = Self {
            state: State::new(script),
            seconds: vec![0; count],
            asked_ms: vec![None; count],
            left: vec![None; count],
            covered_by: vec![None; count],
            pauses: Vec::new(),
        };
        for recorded in events {
            course.take(script, recorded);
        }
        // The interview ended at the question that it was at.
        if let Some(last) = events.last() {
            course.leave(last.at());
        }
        course
    }

    fn take(&mut self, script: &Script, recorded: &Recorded) {
        match &recorded.event {
            Event::Asked { question, .. } => set(&mut self.asked_ms, script.position(question), recorded.at_ms),
            Event::Covered { question, by, .. } => set(&mut self.covered_by, script.position(question), *by),
            Event::Moved { because, to } => {
                let from = self.leave(recorded.at());
                let stays = matches!((to, from), (Spot::Question(to), Some(from)) if script.position(to) == Some(from));
                if !stays {
                    set(&mut self.left, from, *because);
                }
            }
            Event::PauseBegan { pause, .. } => {
                self.end_pause(recorded.at_ms);
                self.pauses.push(PauseRecord { kind: *pause, began_ms: recorded.at_ms, ended_ms: None });
            }
            Event::PauseEnded => self.end_pause(recorded.at_ms),
            _ => {}
        }
        self.state.apply(script, recorded);
    }

    /// The question that the interview is at has taken so long.
    fn leave(&mut self, at: Moment) -> Option<usize> {
        let Place::Question(question) = self.state.place else { return None };
        self.seconds[question] = self.state.spent_on(question, at).as_secs();
        Some(question)
    }

    fn end_pause(&mut self, at_ms: u64) {
        if let Some(open) = self.pauses.last_mut().filter(|pause| pause.ended_ms.is_none()) {
            open.ended_ms = Some(at_ms);
        }
    }

    fn question(&self, script: &Script, at: usize, by_item: &HashMap<&ItemId, i32>) -> QuestionRecord {
        let (question, progress): (_, &Progress) = (&script.questions[at], &self.state.questions[at]);
        QuestionRecord {
            id: question.id.clone(),
            kind: question.kind,
            text: question.text.clone(),
            asked: progress.asked.as_ref().zip(self.asked_ms[at]).map(|(asked, at_ms)| AskedRecord {
                entry: by_item.get(&asked.item).copied(),
                at_ms,
                verbatim: asked.verbatim,
            }),
            seconds: self.seconds[at],
            probes_used: progress.probes_used.clone(),
            probes: question.probes.len(),
            answers: progress.answers.iter().filter_map(|item| by_item.get(item).copied()).collect(),
            coverage: progress.coverage,
            covered_by: self.covered_by[at],
            left: self.left[at],
            dropped: progress.dropped,
            thinks: progress.thinks,
            repeats: progress.repeats,
        }
    }
}

fn set<T>(values: &mut [Option<T>], at: Option<usize>, value: T) {
    if let Some(known) = at.and_then(|at| values.get_mut(at)) {
        *known = Some(value);
    }
}

fn deviations(questions: &[QuestionRecord], opened: bool, closed: bool) -> Vec<Deviation> {
    let of_question = questions.iter().filter_map(|question| {
        let kind = match (&question.asked, question.kind) {
            (None, QuestionKind::Core) => DeviationKind::CoreNotAsked,
            (None, _) if question.dropped => DeviationKind::OptionalDropped,
            (Some(asked), _) if !asked.verbatim => DeviationKind::NotVerbatim,
            _ => return None,
        };
        Some(Deviation { kind, question: Some(question.id.clone()) })
    });
    let whole = [(opened, DeviationKind::NotOpened), (closed, DeviationKind::NotClosed)];
    let of_whole = whole.into_iter().filter(|(was, _)| !was).map(|(_, kind)| Deviation { kind, question: None });
    let mut all: Vec<Deviation> = of_question.chain(of_whole).collect();
    all.sort_by_key(|deviation| deviation.kind);
    all
}

impl Faults {
    fn of(entries: &[Entry]) -> Self {
        let last_call = entries.iter().map(|entry| entry.segment).max().unwrap_or_default();
        let of_record = || entries.iter().filter(|entry| entry.authoritative);
        let is_incomplete = |entry: &&Entry| entry.status != Status::Final && entry.speaker == Speaker::Candidate;
        Self {
            calls_replaced: u32::try_from(last_call - 1).unwrap_or_default(),
            entries_incomplete: of_record().filter(is_incomplete).count(),
            entries_doubtful: of_record().filter(|entry| entry.doubt.is_some()).count(),
        }
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
