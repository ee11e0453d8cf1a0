//! What the conduct of a structured interview decides (`domain::conduct`) is done here. An interview without a plan has none.

use super::instructions::prefix_digest;
use super::*;
use crate::domain::conduct::{Command, Conduct, Input as Conducted, Moment, Shown, Tool};
use crate::domain::protocol::{ServerEvent as ToBrowser, WaitingState};
use crate::domain::replies::END_INTERVIEW;
use crate::ids::{ReplyId, ToolCallId};
use crate::integrations::openai::events::NewItem;

/// The interview's plan in its language, as far as it is conducted already.
pub(super) fn conduct(args: &ControlChannelArgs) -> Option<Conduct> {
    let script = args.claimed.script(args.config.interview.default_duration())?;
    Some(Conduct::replay(Arc::new(script), &args.journal.conducted()))
}

impl ControlChannelState {
    pub(super) fn conduct(&mut self, input: Conducted<'_>) {
        let reply = match input {
            Conducted::Heard(VoiceEvent::ToolCalled { reply, .. }) => reply.clone(),
            _ => None,
        };
        let now = self.interview_time();
        let Some(conduct) = &mut self.conduct else { return };
        for command in conduct.step(input, now) {
            tracing::debug!(?command, "the conduct decided");
            self.perform_conduct(command, reply.as_ref());
        }
        self.tell_questions_left();
        self.set_conduct_alarm();
    }

    /// A call was opened with our instructions.
    pub(super) fn record_prompt(&mut self) {
        if let Some(conduct) = &self.conduct {
            let digest = prefix_digest(&self.args.claimed, conduct);
            self.conduct(Conducted::Instructed(&digest));
        }
    }

    fn tell_questions_left(&mut self) {
        let left = self.conduct.as_ref().map(|conduct| conduct.questions_left() > 0);
        if let Some(left) = left.filter(|left| self.questions_left.replace(*left) != Some(*left)) {
            self.decide(Input::QuestionsLeft(left));
        }
    }

    fn interview_time(&self) -> Moment {
        let least = self.conduct.as_ref().map(Conduct::now).unwrap_or_default();
        self.args.journal.interview_time(self.args.integrations.clock.now(), least)
    }

    /// The sideband hears; what the interviewer said last is known from the transcript, whoever heard it.
    pub(super) fn conduct_sideband_up(&mut self) {
        if self.conduct.is_none() {
            return;
        }
        let last = self.args.journal.entries().pop().filter(|last| last.speaker == Speaker::Ai && !last.interrupted);
        let said = last.as_ref().and_then(|last| Some((last.item_id.as_ref()?, last.text.as_str())));
        self.conduct(Conducted::SidebandUp { said });
    }

    fn set_conduct_alarm(&mut self) {
        let due = self.conduct.as_ref().and_then(Conduct::next_deadline);
        if self.conduct_alarm.as_ref().map(|(at, _)| *at) == due {
            return;
        }
        let now = self.interview_time();
        let target = self.myself.clone();
        self.conduct_alarm = due.map(|at| {
            let guard = TaskGuard::spawn(async move {
                tokio::time::sleep(at.saturating_sub(now)).await;
                let _ = target.cast(ControlChannelMsg::ConductDue);
            });
            (at, guard)
        });
    }

    fn perform_conduct(&mut self, command: Command, reply: Option<&ReplyId>) {
        match command {
            Command::Record(recorded) => self.args.journal.record_conduct(recorded),
            Command::Instruct => self.instruct(),
            Command::AnswerTool { call, output, then } => {
                self.decide(Input::ToolAnswered { reply, call: &call, output: &output, then });
            }
            Command::Prompt => self.decide(Input::Want(Purpose::Conduct)),
            Command::Note(note) => self.create_item(NewItem::system(note)),
            Command::Show(shown) => {
                self.args.journal.tell(waiting(shown));
                self.decide(Input::Paused(matches!(shown, Shown::Thinking { .. } | Shown::Paused)));
            }
            Command::End => self.tell(SessionMsg::Phase(Event::EndRequested(EndReason::InterviewerEnded))),
        }
    }

    /// A tool of the plan's is answered by the conduct, and so is the one that ends the interview while the plan does not
    /// allow it. Whether it was.
    pub(super) fn conducts_tool(&mut self, reply: Option<&ReplyId>, call: &ToolCallId, name: &str, arguments: &str) -> bool {
        let Some(conduct) = &self.conduct else { return false };
        if Tool::named(name).is_some() {
            return true;
        }
        let refused = (name == END_INTERVIEW).then(|| conduct.refuses_end(arguments)).flatten();
        let Some(because) = refused else { return false };
        let output = serde_json::json!({"ok": false, "not_yet": because});
        self.decide(Input::ToolAnswered { reply, call, output: &output, then: crate::domain::conduct::Then::Speak });
        true
    }

    /// What the model is told when it is asked to say something out of turn.
    pub(super) fn conduct_note(&self) -> Option<String> {
        self.conduct.as_ref()?.prompt_note()
    }
}

fn waiting(shown: Shown) -> ToBrowser {
    let (state, at_most_s) = match shown {
        Shown::Nothing => (WaitingState::Nothing, None),
        Shown::TakeYourTime => (WaitingState::TakeYourTime, None),
        Shown::Thinking { at_most } => (WaitingState::Thinking, Some(at_most.as_secs())),
        Shown::Paused => (WaitingState::Paused, None),
    };
    ToBrowser::Waiting { state, at_most_s }
}
