//! The ladder of silences: who says nothing for long is helped, and not hurried.

use super::event::{Event, PauseKind};
use super::instructions::Prompt;
use super::{Conduct, Due, Moment, Shown};
use std::time::Duration;

/// The page says that there is time. Nobody waits for longer than twelve seconds without a word: two are for what is noticed late.
const TAKE_YOUR_TIME_AFTER: Duration = Duration::from_secs(10);

/// The words that are due are asked for when nobody has spoken for so long: longer than a reply takes that is on its way.
const SAY_AFTER: Duration = Duration::from_secs(4);
const SAY_AFTER_QUESTION: Duration = Duration::from_secs(20);
/// Times that the words of one place are asked for.
const MOST_PROMPTS: u32 = 5;

/// Each once per question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One soft line.
    Soft,
    /// Repeat, skip, think or type?
    Offer,
    /// The interview waits.
    Pause,
}

impl Step {
    const ALL: [Self; 3] = [Self::Soft, Self::Offer, Self::Pause];

    const fn after(self) -> Duration {
        match self {
            Self::Soft => Duration::from_secs(20),
            Self::Offer => Duration::from_secs(45),
            Self::Pause => Duration::from_mins(2),
        }
    }

    /// From 1.
    const fn number(self) -> u8 {
        match self {
            Self::Soft => 1,
            Self::Offer => 2,
            Self::Pause => 3,
        }
    }
}

impl Conduct {
    /// While a pause is granted nothing is due.
    pub(super) fn quiet_deadlines(&self) -> [Option<(Moment, Due)>; 3] {
        let Some(since) = self.hearing.quiet_since().filter(|_| self.state.pause.is_none()) else { return [None; 3] };
        let shows_nothing = matches!(self.shown, None | Some(Shown::Nothing));
        let show = shows_nothing.then(|| (since + TAKE_YOUR_TIME_AFTER, Due::TakeYourTime));
        let unsaid = self.hearing.has_spoken && self.is_unsaid() && !self.ended && self.hearing.prompts < MOST_PROMPTS;
        // Whoever was asked something else answers that first.
        let wait = if self.hearing.asked_something { SAY_AFTER_QUESTION } else { SAY_AFTER };
        let say = unsaid.then(|| (since.max(self.hearing.prompted_at) + wait, Due::Say));
        let asked = self.current().filter(|(_, progress)| progress.asked.is_some());
        let step = asked.and_then(|(_, progress)| Step::ALL.into_iter().find(|step| step.number() > progress.nudged));
        [show, say, step.map(|step| (since + step.after(), Due::Nudge(step)))]
    }

    /// The words of this place were not said, and nobody speaks.
    pub(super) fn ask_for_what_is_due(&mut self) {
        self.hearing.prompts += 1;
        // The silence lasts until somebody speaks: the page says so, whatever becomes of the request.
        self.hearing.prompted_at = self.now;
        self.prompt(Prompt::Say);
    }

    pub(super) fn nudge(&mut self, step: Step) {
        let Some((at, _)) = self.current() else { return };
        let question = self.script.questions[at].id.clone();
        self.record(Event::Nudged { question, step: step.number() });
        // The next step has its own time, from the end of what is said now.
        self.hearing.begin_silence_anew(self.now);
        match step {
            Step::Soft => self.prompt(Prompt::SoftLine),
            Step::Offer => self.prompt(Prompt::OfferHelp),
            Step::Pause => self.begin_pause(PauseKind::Silence, Shown::Paused),
        }
    }
}
