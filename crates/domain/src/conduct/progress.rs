//! How far the interview is. Made of the events alone.

use super::event::{Coverage, Event, PauseKind, Recorded, Spot};
use super::{Moment, Script};
use crate::edge::Slug;
use crate::ids::ItemId;
use std::time::Duration;

/// Where the interview is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The index of the question in its script.
    Question(usize),
    CandidateQuestions,
    Closing,
}

/// What became of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub asked: Option<Asked>,
    pub answers: Vec<ItemId>,
    pub probes_used: Vec<Slug>,
    pub coverage: Coverage,
    pub dropped: bool,
    pub thinks: u32,
    pub repeats: u32,
    /// The last step of the ladder of silences that was taken.
    pub nudged: u8,
    /// Nothing more is asked about it.
    pub no_probes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub item: ItemId,
    pub verbatim: bool,
    /// On the clock of the interview.
    pub at: Duration,
}

/// The clock of the interview stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) kind: PauseKind,
    pub(super) since: Moment,
    pub(super) until: Option<Moment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) place: Place,
    pub(super) questions: Vec<Progress>,
    pub(super) opened: bool,
    /// When the interview came to its place.
    pub(super) moved_at: Moment,
    pub(super) invited: bool,
    pub(super) closed: bool,
    pub(super) pause: Option<Pause>,
    /// Pauses that are over.
    paused: Duration,
    /// How often there was one.
    pub(super) pauses: u32,
    pub(super) flags: u32,
    pub(super) recorded: u32,
    /// Something was heard or decided: events beyond what the model was told.
    pub(super) begun: bool,
}

impl State {
    pub(super) fn new(script: &Script) -> Self {
        Self {
            place: first_place(script),
            questions: vec![Progress::default(); script.questions.len()],
            opened: false,
            moved_at: Moment::ZERO,
            invited: false,
            closed: false,
            pause: None,
            paused: Duration::ZERO,
            pauses: 0,
            flags: 0,
            recorded: 0,
            begun: false,
        }
    }

    /// What the interview has used of its time.
    pub(super) fn clock(&self, now: Moment) -> Duration {
        let pause = self.pause.map(|pause| now.saturating_sub(pause.since)).unwrap_or_default();
        now.saturating_sub(self.paused).saturating_sub(pause)
    }

    /// What a question has used of its time.
    pub(super) fn spent_on(&self, at: usize, now: Moment) -> Duration {
        self.questions[at].asked.as_ref().map(|asked| self.clock(now).saturating_sub(asked.at)).unwrap_or_default()
    }

    pub(super) fn apply(&mut self, script: &Script, recorded: &Recorded) {
        let at = recorded.at();
        self.recorded = recorded.number.saturating_add(1);
        self.begun |= !matches!(recorded.event, Event::Instructed { .. });
        let clock = self.clock(at);
        match &recorded.event {
            Event::Instructed { .. } => {}
            Event::Opened { .. } => self.opened = true,
            Event::Asked { question, item, verbatim } => {
                // Whoever asks has opened, in whatever words.
                self.opened = true;
                self.update(script, question, |progress| {
                    progress.asked = Some(Asked { item: item.clone(), verbatim: *verbatim, at: clock });
                });
            }
            Event::Probed { question, probe, .. } => {
                self.update(script, question, |progress| progress.probes_used.push(probe.clone()));
            }
            Event::Repeated { question } => self.update(script, question, |progress| progress.repeats += 1),
            Event::Answered { question, item } => {
                self.update(script, question, |progress| progress.answers.push(item.clone()));
            }
            Event::NoAnswer { question, item } => {
                self.update(script, question, |progress| progress.answers.retain(|answer| answer != item));
            }
            Event::Covered { question, coverage, .. } => {
                self.update(script, question, |progress| progress.coverage = *coverage);
            }
            Event::Dropped { question } => self.update(script, question, |progress| progress.dropped = true),
            Event::Nudged { question, step } => self.update(script, question, |progress| progress.nudged = *step),
            Event::Moved { to, .. } => {
                if let Some(place) = place_of(script, to) {
                    (self.place, self.moved_at) = (place, at);
                }
            }
            Event::Invited { .. } => self.invited = true,
            Event::Closed { .. } => self.closed = true,
            Event::PauseBegan { pause: kind, at_most_ms } => {
                self.end_pause(at);
                self.pauses = self.pauses.saturating_add(1);
                let until = at_most_ms.map(|at_most| at.saturating_add(Duration::from_millis(at_most)));
                self.pause = Some(Pause { kind: *kind, since: at, until });
                if let (PauseKind::Think, Place::Question(at)) = (kind, self.place) {
                    self.questions[at].thinks += 1;
                }
            }
            Event::PauseEnded => self.end_pause(at),
            Event::Flagged { flag, .. } => {
                self.flags = self.flags.saturating_add(1);
                if let Place::Question(at) = self.place {
                    self.questions[at].no_probes |= flag.ends_probing();
                }
            }
        }
    }

    fn end_pause(&mut self, at: Moment) {
        if let Some(pause) = self.pause.take() {
            self.paused += at.saturating_sub(pause.since);
        }
    }

    fn update(&mut self, script: &Script, question: &Slug, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = script.position(question).and_then(|at| self.questions.get_mut(at)) {
            change(progress);
        }
    }
}

fn first_place(script: &Script) -> Place {
    if script.questions.is_empty() { after_the_questions(script) } else { Place::Question(0) }
}

pub(super) fn after_the_questions(script: &Script) -> Place {
    if script.candidate_questions.is_empty() { Place::Closing } else { Place::CandidateQuestions }
}

fn place_of(script: &Script, spot: &Spot) -> Option<Place> {
    match spot {
        Spot::Question(id) => script.position(id).map(Place::Question),
        Spot::CandidateQuestions => Some(Place::CandidateQuestions),
        Spot::Closing => Some(Place::Closing),
    }
}
