//! What the conduct of a structured interview decides (`domain::conduct`) is done here. An interview without a plan has none.

use super::*;
use crate::domain::conduct::{Command, Conduct, Input as Conducted, Moment, Script, Shown, Tool};
use crate::domain::protocol::{ServerEvent as ToBrowser, WaitingState};
use crate::domain::replies::END_INTERVIEW;
use crate::ids::{ReplyId, ToolCallId};
use crate::integrations::openai::events::NewItem;

/// The interview's plan in its language, as far as it is conducted already.
pub(super) fn conduct(args: &ControlChannelArgs) -> Option<Conduct> {
    let plan = args.claimed.plan.as_ref()?;
    let wanted = args.claimed.settings.language.as_deref().unwrap_or(plan.default_language.as_str());
    // In another language there is nothing to be said word for word.
    let language = plan.language_for(wanted)?;
    let script = Script::of(plan, language.as_str()).within(args.claimed.time_limit(&args.config));
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
        self.set_conduct_alarm();
    }

    /// Since the interview's first call; it goes on while processes come and go.
    fn interview_time(&self) -> Moment {
        let opened_at = self.args.journal.opened_at();
        let elapsed = opened_at.map(|at| self.args.integrations.clock.now() - *at);
        elapsed.and_then(|elapsed| elapsed.try_into().ok()).unwrap_or_default()
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
            Command::Show(shown) => self.args.journal.tell(waiting(shown)),
            Command::End => self.tell(SessionMsg::InterviewerEnded),
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
