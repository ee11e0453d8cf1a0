//! The budget: what takes longer takes it from optional questions, and the closing has its place at the end.

use super::event::{Because, Coverage, CoveredBy, Event, PauseKind};
use super::instructions::Prompt;
use super::progress::after_the_questions;
use super::{Command, Conduct, Due, MOST_PAUSES, Moment, Place, Shown};
use crate::plan::QuestionKind;
use std::time::Duration;

/// The interviewer is told when this is left for questions.
const TELL_TIME_LEFT: Duration = Duration::from_mins(3);
/// The closing is said by then, or is not waited for.
const CLOSED_WITHIN: Duration = Duration::from_mins(2);

impl Conduct {
    pub(super) fn time_box_deadlines(&self) -> [Option<(Moment, Due)>; 4] {
        let running = self.state.pause.is_none();
        let left = self.left_for_questions();
        let closing = self.state.place == Place::Closing;
        let up = (running && !closing).then(|| (self.now + left, Due::TimeIsUp));
        let asks = matches!(self.state.place, Place::Question(_));
        let tell = (running && asks && !self.told_time && self.script.length > 3 * TELL_TIME_LEFT)
            .then(|| (self.now + left.saturating_sub(TELL_TIME_LEFT), Due::TellTime));
        let pause_over = self.state.pause.and_then(|pause| pause.until);
        let closed = (closing && !self.ended).then(|| (self.state.moved_at + CLOSED_WITHIN, Due::ClosingOver));
        [up, tell, pause_over.map(|at| (at, Due::PauseOver)), closed]
    }

    /// Until the closing has to begin.
    fn left_for_questions(&self) -> Duration {
        let reserve = match self.state.place {
            Place::Question(_) => self.script.reserve,
            // They have their own minutes; a minute is kept for the closing.
            Place::CandidateQuestions | Place::Closing => self.script.reserve.min(Duration::from_mins(1)),
        };
        let by_plan = self.script.length.saturating_sub(self.state.clock(self.now));
        by_plan.min(self.script.limit.saturating_sub(self.now)).saturating_sub(reserve)
    }

    pub(super) fn tell_time(&mut self) {
        self.told_time = true;
        let minutes = self.left_for_questions().as_secs().div_ceil(60).max(1);
        self.commands.push(Command::Note(format!(
            "About {minutes} minutes are left for questions. Do not mention the time; be brief between answers."
        )));
    }

    /// On to the next question that there is time for.
    pub(super) fn advance(&mut self, because: Because) {
        let Place::Question(at) = self.state.place else {
            return self.move_to(Place::Closing, because);
        };
        self.cover(at, because);
        let next = (at + 1..self.script.questions.len()).find(|next| self.has_time_for(*next));
        let until = next.unwrap_or(self.script.questions.len());
        for dropped in at + 1..until {
            self.record(Event::Dropped { question: self.script.questions[dropped].id.clone() });
        }
        self.move_to(next.map_or_else(|| after_the_questions(&self.script), Place::Question), because);
    }

    /// The interview's time is over: what is left is not asked.
    pub(super) fn close(&mut self, because: Because) {
        if let Place::Question(at) = self.state.place {
            self.cover(at, because);
            for left in at + 1..self.script.questions.len() {
                self.record(Event::Dropped { question: self.script.questions[left].id.clone() });
            }
        }
        self.move_to(Place::Closing, because);
        self.prompt(Prompt::Say);
    }

    fn has_time_for(&self, at: usize) -> bool {
        let question = &self.script.questions[at];
        if question.kind != QuestionKind::Optional {
            return true;
        }
        let core = |question: &&super::ScriptQuestion| question.kind == QuestionKind::Core;
        let needed: Duration = self.script.questions[at + 1..].iter().filter(core).map(|question| question.target).sum();
        self.left_for_questions() >= needed + question.target
    }

    fn cover(&mut self, at: usize, because: Because) {
        let progress = &self.state.questions[at];
        if progress.coverage != Coverage::None || progress.answers.is_empty() {
            return;
        }
        let (coverage, by) = match because {
            Because::Interviewer => (Coverage::Enough, CoveredBy::Interviewer),
            Because::Turns => (Coverage::Enough, CoveredBy::Turns),
            Because::Time | Because::TimeUp => (Coverage::Partial, CoveredBy::Time),
        };
        let question = self.script.questions[at].id.clone();
        self.record(Event::Covered { question, coverage, by });
    }

    fn move_to(&mut self, place: Place, because: Because) {
        if self.state.place == place {
            return;
        }
        self.record(Event::Moved { to: self.spot(place), because });
        self.hearing.place_is_new();
        self.commands.push(Command::Instruct);
    }

    // ---- pauses ----

    /// A moment to think: the clock stands, and nobody says a word.
    pub(super) fn think(&mut self, at_most: Duration) {
        let at_most = at_most.min(self.script.think);
        self.begin_pause(PauseKind::Think, Shown::Thinking { at_most });
    }

    /// Before the interview has begun there is nothing to think about; after as many moments as the plan grants there is time all
    /// the same.
    pub(super) fn think_asked(&mut self) {
        let granted = self.current().is_none_or(|(_, progress)| progress.thinks < self.script.thinks_per_question);
        match (self.hearing.has_spoken, granted) {
            (false, _) => {}
            (true, true) => self.think(self.script.think),
            (true, false) => self.show(Shown::TakeYourTime),
        }
    }

    pub(super) fn begin_pause(&mut self, pause: PauseKind, shown: Shown) {
        if self.state.pause.is_some_and(|known| known.kind == pause) || self.state.pauses >= MOST_PAUSES {
            return;
        }
        let at_most_ms = match shown {
            Shown::Thinking { at_most } => u64::try_from(at_most.as_millis()).ok(),
            Shown::Nothing | Shown::TakeYourTime | Shown::Paused => None,
        };
        self.record(Event::PauseBegan { pause, at_most_ms });
        self.show(shown);
    }

    /// The candidate is back: what was asked may be forgotten.
    pub(super) fn come_back(&mut self) {
        let waited = self.state.pause.is_some_and(|pause| pause.kind != PauseKind::Think);
        self.resume();
        if waited {
            self.prompt(Prompt::Say);
        }
    }

    pub(super) fn show_what_holds(&mut self) {
        let shown = match self.state.pause {
            Some(pause) => pause.until.map_or(Shown::Paused, |until| Shown::Thinking { at_most: until.saturating_sub(self.now) }),
            None => Shown::Nothing,
        };
        if self.shown.is_none() {
            self.show(shown);
        }
    }

    pub(super) fn resume(&mut self) {
        if self.state.pause.is_none() {
            return;
        }
        self.record(Event::PauseEnded);
        self.show(Shown::Nothing);
        // The silence that was granted does not count.
        self.hearing.begin_silence_anew(self.now);
    }
}
