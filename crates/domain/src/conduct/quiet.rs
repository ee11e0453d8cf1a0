//! The ladder of silences: who says nothing for long is helped, and not hurried.

use super::event::{Event, PauseKind};
use super::instructions::Prompt;
use super::{Conduct, Due, Moment, Shown};
use std::time::Duration;

/// The page says that there is time.
const TAKE_YOUR_TIME_AFTER: Duration = Duration::from_secs(12);

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
    pub(super) fn quiet_deadlines(&self) -> [Option<(Moment, Due)>; 3] {
        // While a pause is granted nothing is due; what was asked was answered or not, the ladder is the question's.
        let quiet = self.hearing.quiet_since.filter(|_| self.state.pause.is_none());
        let Some(since) = quiet else { return [None; 3] };
        let show = (self.shown == Shown::Nothing).then(|| (since + TAKE_YOUR_TIME_AFTER, Due::TakeYourTime));
        let nudged = self.current().map(|(_, progress)| progress.nudged);
        let step = nudged.and_then(|nudged| Step::ALL.into_iter().find(|step| step.number() > nudged));
        [show, step.map(|step| (since + step.after(), Due::Nudge(step))), None]
    }

    pub(super) fn nudge(&mut self, step: Step) {
        let Some((at, _)) = self.current() else { return };
        let question = self.script.questions[at].id.clone();
        self.record(Event::Nudged { question, step: step.number() });
        // The next step has its own time, from the end of what is said now.
        self.hearing.quiet_since = Some(self.now);
        match step {
            Step::Soft => self.prompt(Prompt::SoftLine),
            Step::Offer => self.prompt(Prompt::OfferHelp),
            Step::Pause => self.begin_pause(PauseKind::Silence, Shown::Paused),
        }
    }
}
