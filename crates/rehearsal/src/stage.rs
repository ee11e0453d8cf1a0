//! One interview of a rehearsal: the domain's conduct and replies, as the control channel runs them, in virtual time.
//!
//! What the control channel (`src/actors/control_channel`) does with a command is done here to a model of the call ([`crate::call`]).
//! Everything is decided by the domain.

use crate::call::{Call, DELAY, Due};
use crate::candidate::Candidate;
use crate::interviewer::{Behaviour, Interviewer};
use crate::persona::Persona;
use crate::phrases::Phrases;
use crate::secrets::Secrets;
use crate::watch::Watch;
use interview_domain::conduct::{self, Conduct, Recorded, Script, Shown, Then, Tool};
use interview_domain::edge::Timestamp;
use interview_domain::ids::{ReplyId, ToolCallId};
use interview_domain::instructions::{Names, tools};
use interview_domain::plan::{Pace, Plan};
use interview_domain::replies::{self, END_INTERVIEW, Purpose, Replies, Request, Rules, Trouble};
use interview_domain::transcript::{Cause, Transcript};
use interview_domain::voice::VoiceEvent;
use std::sync::Arc;
use std::time::Duration;

pub type Moment = Duration;

/// After the time limit the last words have so long (`interview.last_words_s`).
const LAST_WORDS: Duration = Duration::from_mins(1);
/// More happens in no interview.
const MOST_STEPS: u32 = 200_000;
/// The session hears of it by a message.
const DECIDED: Duration = Duration::from_millis(2);
/// A page brings another call within this.
const NEW_CALL: Duration = Duration::from_secs(2);

/// How the interview ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The interviewer did, after all was said or because the candidate wanted to stop.
    Interviewer,
    /// Its time limit.
    Limit,
    /// The interviewer could not be made to speak.
    Failed(Trouble),
    /// Nothing ended it.
    Never,
    /// Whoever wanted the rehearsal does not wait for it any more.
    Stopped,
}

pub struct Setup<'a> {
    pub plan: &'a Plan,
    pub script: &'a Arc<Script>,
    pub persona: &'a Persona,
    pub behaviour: Behaviour,
    pub phrases: &'a Phrases,
    pub pace: Pace,
    pub seed: u64,
}

/// What came of it.
pub struct Held {
    pub end: End,
    pub took: Moment,
    pub events: Vec<Recorded>,
    pub transcript: Transcript,
    pub watch: Watch,
}

pub struct Stage<'a> {
    pub script: &'a Arc<Script>,
    pub now: Moment,
    pub call: Call<'a>,
    pub conduct: Conduct,
    replies: Replies,
    transcript: Transcript,
    pub watch: Watch,
    secrets: &'a mut Secrets,
    events: Vec<Recorded>,
    questions_left: Option<bool>,
    calls: i32,
    ending: Option<End>,
    over: bool,
}

impl<'a> Stage<'a> {
    pub fn new(setup: Setup<'a>, secrets: &'a mut Secrets) -> Self {
        let Setup { plan, script, persona, behaviour, phrases, pace, seed } = setup;
        let questions = plan.questions().map(|(_, question)| question).collect();
        let candidate = Candidate::new(persona, questions, phrases, pace, seed);
        let model = Interviewer::new(behaviour, phrases);
        Self {
            script,
            now: Moment::ZERO,
            call: Call::new(script.turn_taking, pace, candidate, model),
            conduct: Conduct::new(script.clone()),
            replies: Replies::new(Rules::default(), seed),
            transcript: Transcript::default(),
            watch: Watch::default(),
            secrets,
            events: Vec::new(),
            questions_left: None,
            calls: 0,
            ending: None,
            over: false,
        }
    }

    /// The whole interview. `goes_on` is asked now and then.
    pub fn run(mut self, goes_on: &dyn Fn() -> bool) -> Held {
        self.call.after(Moment::ZERO, Moment::ZERO, Due::CallOpens);
        let limit = self.script.limit;
        self.call.after(Moment::ZERO, limit, Due::TimeLimit);
        let mut steps = 0;
        let end = loop {
            if self.over {
                break self.ending.unwrap_or(End::Never);
            }
            steps += 1;
            if steps % 64 == 0 && !goes_on() {
                break End::Stopped;
            }
            let due = self.call.next_due();
            let deadlines = [due, self.conduct.next_deadline(), self.replies.next_deadline()];
            let Some(at) = deadlines.into_iter().flatten().min() else { break End::Never };
            if steps > MOST_STEPS || at > limit.saturating_add(LAST_WORDS) {
                break self.ending.unwrap_or(End::Never);
            }
            self.now = self.now.max(at);
            self.watch.time_passes(self.now);
            match self.call.take_due(self.now) {
                Some(due) => self.happens(due),
                None if self.replies.next_deadline().is_some_and(|at| at <= self.now) => self.decide(replies::Input::Tick),
                None => self.conduct(conduct::Input::Tick),
            }
            self.candidate_turns();
            self.watch.floor(self.now, self.call.somebody_speaks());
        };
        Held { end, took: self.now, events: self.events, transcript: self.transcript, watch: self.watch }
    }

    // ---- the call ----

    pub fn call_opens(&mut self) {
        self.calls += 1;
        let at = self.wall();
        self.transcript.call_opened(self.calls, Cause::Ours, at);
        self.decide(replies::Input::CallOpened);
        self.instruct();
        self.transcript.sideband_back(at);
        self.decide(replies::Input::Ready);
        self.conduct(conduct::Input::SidebandUp { said: None });
        self.decide(replies::Input::Want(if self.calls == 1 { Purpose::Opening } else { Purpose::Thread }));
    }

    /// The time is up, or the interviewer has ended the interview: last words are let out.
    pub fn ends(&mut self, end: End, goodbye: Option<&'static str>) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(end);
        self.conduct(conduct::Input::Ended);
        self.decide(replies::Input::End { goodbye });
    }

    /// As the control channel follows an event of the call.
    pub fn hear(&mut self, event: &VoiceEvent) {
        let at = self.wall();
        self.transcript.apply(event, at);
        let aside = event.reply().is_some_and(|reply| self.replies.is_aside(reply));
        if let VoiceEvent::ToolCalled { reply, call, name, arguments } = event {
            if aside {
                return;
            }
            if self.conducts_tool(reply.as_ref(), call, name, arguments) {
                return self.conduct(conduct::Input::Heard(event));
            }
        }
        self.decide(replies::Input::Heard(event));
        match event {
            _ if aside => {}
            VoiceEvent::CandidateSettled { item, .. } if self.transcript.was_never_said(item) => {
                self.conduct(conduct::Input::NeverSaid(item));
            }
            _ => self.conduct(conduct::Input::Heard(event)),
        }
    }

    fn wall(&self) -> Timestamp {
        Timestamp::of_unix(1_800_000_000 + self.now.as_secs()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn conducts_tool(&mut self, reply: Option<&ReplyId>, call: &ToolCallId, name: &str, arguments: &str) -> bool {
        if Tool::named(name).is_some() {
            return true;
        }
        let refused = (name == END_INTERVIEW).then(|| self.conduct.refuses_end(arguments)).flatten();
        let Some(because) = refused else { return false };
        let output = serde_json::json!({"ok": false, "not_yet": because});
        self.decide(replies::Input::ToolAnswered { reply, call, output: &output, then: Then::Speak });
        true
    }

    // ---- deciding and performing ----

    pub fn conduct(&mut self, input: conduct::Input<'_>) {
        let reply = match input {
            conduct::Input::Heard(VoiceEvent::ToolCalled { reply, .. }) => reply.clone(),
            _ => None,
        };
        for command in self.conduct.step(input, self.now) {
            match command {
                conduct::Command::Record(recorded) => self.events.push(recorded),
                conduct::Command::Instruct => self.instruct(),
                conduct::Command::AnswerTool { call, output, then } => {
                    self.decide(replies::Input::ToolAnswered { reply: reply.as_ref(), call: &call, output: &output, then });
                }
                conduct::Command::Prompt => self.decide(replies::Input::Want(Purpose::Conduct)),
                conduct::Command::Note(note) => self.tell(&note),
                conduct::Command::Show(shown) => {
                    self.watch.page_shows(self.now, shown);
                    self.call.page_shows(shown);
                    self.decide(replies::Input::Paused(matches!(shown, Shown::Thinking { .. } | Shown::Paused)));
                }
                conduct::Command::End => {
                    self.call.after(self.now, DECIDED, Due::Ends);
                }
            }
        }
        let left = self.conduct.questions_left() > 0;
        if self.questions_left.replace(left) != Some(left) {
            self.decide(replies::Input::QuestionsLeft(left));
        }
    }

    pub fn decide(&mut self, input: replies::Input<'_>) {
        for command in self.replies.step(input, self.now) {
            match command {
                replies::Command::Ask { request, purpose, tell } => {
                    let note = if purpose == Purpose::Conduct { self.conduct.prompt_note() } else { purpose.note() };
                    if let Some(note) = note.filter(|_| tell) {
                        self.tell(&note);
                    }
                    self.call.after(self.now, DELAY, Due::Requested { request, purpose });
                }
                replies::Command::Cancel { reply } => self.cancels(&reply),
                replies::Command::CloseTurn { request } => self.closes_turn(request),
                replies::Command::AnswerTool { output, .. } => {
                    self.secrets.told(&output.to_string(), self.conduct.place());
                    self.call.model.is_answered(&output);
                }
                replies::Command::EndInterview => {
                    self.call.after(self.now, DECIDED, Due::Ends);
                }
                replies::Command::LastWordsOver => {
                    self.ending.get_or_insert(End::Interviewer);
                    self.over = true;
                }
                replies::Command::Late { news, .. } => self.watch.trouble(self.now, news),
                replies::Command::Recovered => self.watch.recovered(self.now),
                replies::Command::RenewCall(_) => {
                    self.call.hangs_up();
                    self.transcript.call_over(Cause::Client);
                    self.decide(replies::Input::CallOver);
                    self.call.after(self.now, NEW_CALL, Due::CallOpens);
                }
                replies::Command::GiveUp(trouble) => (self.ending, self.over) = (Some(End::Failed(trouble)), true),
            }
        }
    }

    fn closes_turn(&mut self, request: Request) {
        if !self.call.is_speaking() {
            self.hear(&VoiceEvent::Refused {
                refusal: interview_domain::voice::Refusal::Other,
                command: Some(request.to_string()),
            });
            return;
        }
        self.call.candidate_is_closed(self.now);
    }

    /// A silent item of the call: everybody in it can read it.
    fn tell(&mut self, note: &str) {
        self.secrets.told(note, self.conduct.place());
        self.call.model.is_told(note);
    }

    /// What the call is configured with, and everybody in it can read. It reaches the model a moment later.
    fn instruct(&mut self) {
        let names = Names { company: "Company", position: "Position", candidate: "Candidate" };
        let instructions = names.with_plan(&self.conduct);
        self.secrets.told(&instructions, self.conduct.place());
        if self.calls <= 1 && self.events.is_empty() {
            for tool in tools(true) {
                self.secrets.told(&format!("{} {} {}", tool.name, tool.description, tool.parameters), self.conduct.place());
            }
            self.call.instructed = instructions;
            return;
        }
        self.call.after(self.now, DELAY, Due::Instructed(instructions));
    }
}
