//! Conducts a structured interview: which question is put now, when the next one follows, how much time is left.
//!
//! The server conducts and the model talks. The model is told the current question and its probes, and has a few tools; what it
//! says and calls are hints. [`Conduct::step`] takes what happened and the time, and answers with commands. All that it decides
//! about the interview is an [`Event`]: the events are stored, and [`Conduct::replay`] makes the same state of them after a crash.
//!
//! Time is measured from the begin of the interview. The clock of the interview stands while it is paused.

mod asked;
mod event;
mod hearing;
mod instructions;
mod progress;
mod quiet;
mod report;
mod script;
mod time_box;
mod tools;

pub use asked::{is_said, likeness};
pub use event::{Because, Coverage, CoveredBy, Event, Flag, PauseKind, Recorded, Spot};
pub use instructions::Prompt;
pub use progress::{Place, Progress};
pub use report::{
    AskedRecord, ConductRecord, Deviation, DeviationKind, Faults, FlagRecord, PauseRecord, PromptRecord, QuestionRecord,
};
pub use script::{Script, ScriptProbe, ScriptQuestion};
pub use tools::{TOOLS, Then, Tool};

use crate::edge::Text;
use crate::ids::{ItemId, ToolCallId};
use crate::voice::VoiceEvent;
use hearing::Hearing;
use progress::State;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Moments to think that a candidate may ask for by the button, in all. Each is kept: whoever owns the page could ask without end.
const MOST_PAUSES: u32 = 300;

/// Time since the interview began.
pub type Moment = Duration;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    Heard(&'a VoiceEvent),
    /// A call was opened, and its model told a text with this digest, beside what changes.
    Instructed(&'a Text),
    /// Our sideband into the call does not hear, so that a silence on it means nothing.
    SidebandDown,
    /// Our sideband hears, for the first time or again. The interviewer's last words that are known, if they were not cut.
    SidebandUp {
        said: Option<(&'a ItemId, &'a str)>,
    },
    /// Whether the sideband carries nothing of the candidate's speech: no silence on it means anything.
    Deaf(bool),
    /// The candidate's turn of which only the browser tells.
    TurnInGap(&'a ItemId),
    /// The candidate's typed words stand in the conversation.
    Typed(&'a ItemId),
    /// The words of this turn were most likely said by nobody: noise, or the interviewer's own (ADR 0021).
    NeverSaid(&'a ItemId),
    /// The candidate wants a moment to think, by the page's button.
    ThinkAsked,
    /// The candidate goes on before the moment is over, by the page's button.
    Resumed,
    /// The interview is at its end; nothing more is conducted.
    Ended,
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// To be stored, in this order.
    Record(Recorded),
    /// [`Conduct::instructions`] are others now.
    Instruct,
    /// Answer the model's tool call.
    AnswerTool { call: ToolCallId, output: Value, then: Then },
    /// Ask the interviewer to say something, when the floor is free. [`Conduct::prompt_note`] tells what.
    Prompt,
    /// Tell the model silently.
    Note(String),
    /// What the page shows while nobody speaks.
    Show(Shown),
    /// All is said.
    End,
}

/// Why nobody speaks, as the page tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    /// It is the candidate's turn, and nobody is in a hurry.
    TakeYourTime,
    /// A moment to think was granted, for at most so long.
    Thinking {
        at_most: Duration,
    },
    Paused,
}

#[derive(Debug)]
pub struct Conduct {
    script: Arc<Script>,
    /// Made of the events alone.
    state: State,
    /// What is heard right now. A crash loses it: a question that was just being put is put once more.
    hearing: Hearing,
    now: Moment,
    commands: Vec<Command>,
    prompt: Option<Prompt>,
    /// None: what an earlier process told is not known.
    shown: Option<Shown>,
    told_time: bool,
    ended: bool,
    over: bool,
}

impl Conduct {
    pub fn new(script: Arc<Script>) -> Self {
        Self::replay(script, [])
    }

    /// The state that these events made.
    pub fn replay<'a>(script: Arc<Script>, events: impl IntoIterator<Item = &'a Recorded>) -> Self {
        let mut state = State::new(&script);
        let mut now = Moment::ZERO;
        for recorded in events {
            state.apply(&script, recorded);
            now = now.max(recorded.at());
        }
        Self {
            script,
            state,
            hearing: Hearing::default(),
            now,
            commands: Vec::new(),
            prompt: None,
            shown: None,
            told_time: false,
            ended: false,
            over: false,
        }
    }

    /// Decide. Whatever has become due by `now` is decided as well.
    pub fn step(&mut self, input: Input<'_>, now: Moment) -> Vec<Command> {
        self.now = self.now.max(now);
        if !self.over {
            self.take(input);
            self.settle_typed();
            while let Some(due) = self.due() {
                self.happens(due);
            }
        } else if let Input::Heard(VoiceEvent::ToolCalled { call, name, arguments, .. }) = input {
            self.tool_called(call, name, arguments);
        }
        std::mem::take(&mut self.commands)
    }

    /// When [`Input::Tick`] is wanted, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.deadlines().map(|(at, _)| at).min()
    }

    /// What is past for certain: the time of the last event, or of the last step.
    pub fn now(&self) -> Moment {
        self.now
    }

    pub fn place(&self) -> Place {
        self.state.place
    }

    pub fn progress(&self) -> &[Progress] {
        &self.state.questions
    }

    pub fn script(&self) -> &Script {
        &self.script
    }

    /// How many events were recorded.
    pub fn recorded(&self) -> u32 {
        self.state.recorded
    }

    /// What the model is told when it is asked for what was prompted last.
    pub fn prompt_note(&self) -> Option<String> {
        self.prompt.map(|prompt| self.note(prompt))
    }

    fn take(&mut self, input: Input<'_>) {
        match input {
            Input::Heard(event) => self.heard(event),
            Input::Instructed(sha256) => self.record(Event::Instructed { sha256: sha256.clone() }),
            Input::SidebandDown => self.hearing.sideband_down(),
            Input::SidebandUp { said } => self.sideband_up(said),
            Input::Deaf(deaf) => self.hearing.deaf = deaf,
            Input::TurnInGap(item) => self.settled(item, true),
            Input::Typed(item) => self.typed(item),
            Input::NeverSaid(item) => self.hearing.never_said(item),
            Input::ThinkAsked => self.think_asked(),
            Input::Resumed => self.come_back(),
            Input::Ended => {
                self.over = true;
                self.show(Shown::Nothing);
            }
            Input::Tick => {}
        }
    }

    fn due(&self) -> Option<Due> {
        let (_, due) = self.deadlines().filter(|(at, _)| *at <= self.now).min_by_key(|(at, _)| *at)?;
        Some(due)
    }

    fn deadlines(&self) -> impl Iterator<Item = (Moment, Due)> {
        let open = !self.over;
        self.time_box_deadlines().into_iter().chain(self.quiet_deadlines()).flatten().filter(move |_| open)
    }

    fn happens(&mut self, due: Due) {
        match due {
            Due::TimeIsUp => self.close(Because::TimeUp),
            Due::TellTime => self.tell_time(),
            Due::PauseOver => self.resume(),
            Due::Say => self.ask_for_what_is_due(),
            Due::ClosingOver => self.end(),
            Due::TakeYourTime => self.show(Shown::TakeYourTime),
            Due::Nudge(step) => self.nudge(step),
        }
    }

    fn record(&mut self, event: Event) {
        let recorded = Recorded::new(self.state.recorded, self.now, event);
        self.state.apply(&self.script, &recorded);
        self.commands.push(Command::Record(recorded));
    }

    fn show(&mut self, shown: Shown) {
        if self.shown != Some(shown) {
            self.shown = Some(shown);
            self.commands.push(Command::Show(shown));
        }
    }

    fn prompt(&mut self, prompt: Prompt) {
        self.prompt = Some(prompt);
        self.commands.push(Command::Prompt);
    }

    /// All is said; whoever ends the interview is told once.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.commands.push(Command::End);
        }
    }

    /// The candidate's answer that is being given belongs to this.
    fn current(&self) -> Option<(usize, &Progress)> {
        match self.state.place {
            Place::Question(at) => self.state.questions.get(at).map(|progress| (at, progress)),
            Place::CandidateQuestions | Place::Closing => None,
        }
    }

    /// What the budget of the question says about the answers so far.
    fn answer_is_complete(&mut self, at: usize) {
        let (question, progress) = (&self.script.questions[at], &self.state.questions[at]);
        let spent = self.state.spent_on(at, self.now);
        let (turns, time) = (progress.answers.len() >= question.max_turns, spent >= question.hard);
        if turns || time {
            self.advance(if turns { Because::Turns } else { Because::Time });
        }
    }
}

/// What becomes due by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    TimeIsUp,
    TellTime,
    PauseOver,
    Say,
    ClosingOver,
    TakeYourTime,
    Nudge(quiet::Step),
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
