//! What the call brings goes to whoever decides about it; what was decided is done here.

use super::*;
use crate::domain::call_guard::Intrusion;
use crate::domain::edge::Timestamp;
use crate::domain::replies::{Command, Trouble};
use crate::domain::usage::{Kind, Usage};
use crate::integrations::openai::events::{ErrorMeaning, NewItem, ResponseParams};
use crate::integrations::openai::voice::PURPOSE;
use std::collections::BTreeMap;

impl ControlChannelState {
    pub(super) fn heard(&mut self, event: &ServerEvent) {
        if let ServerEvent::SessionUpdated(updated) = event
            && !self.configuration_told(updated)
        {
            return;
        }
        match event {
            ServerEvent::Unknown { kind } => tracing::debug!(kind, "unknown event of the voice provider"),
            ServerEvent::ItemRetrieved => self.intruded(&Intrusion::ItemRetrieved),
            ServerEvent::InputTranscriptionFailed(failed) => self.not_transcribed(&failed.error),
            ServerEvent::InputTranscriptionCompleted(_) => self.setup.transcribed(),
            ServerEvent::Error(error) => {
                let command = error.error.event_id.as_deref();
                if let Some(command) = command {
                    self.guard.refused(command);
                }
                match error.error.meaning() {
                    ErrorMeaning::CallExpired => return self.sideband_changed(SidebandState::Gone),
                    ErrorMeaning::ResponseAlreadyActive | ErrorMeaning::NoActiveResponse => {}
                    ErrorMeaning::ItemExists => self.typed_is_there(command),
                    _ if self.is_configuration(command) => self.configuration_refused(),
                    ErrorMeaning::AccountBlocked | ErrorMeaning::Other => tracing::warn!(
                        error_code = ErrorCode::OpenAiEventRefused.as_str(),
                        openai.code = error.error.code,
                        openai.param = error.error.param,
                        "the voice provider refused an event of ours"
                    ),
                }
            }
            _ => {}
        }
        for event in translate(event) {
            self.count_usage(&event);
            let typed = self.typed_comes(&event);
            if typed.is_some() || self.guard(&event) {
                if let Some(change) = self.deaf_sideband.hear(&event) {
                    self.deafness_changed(change);
                }
                self.args.journal.hear(&event, self.args.integrations.clock.now());
                match typed {
                    Some(item) => self.typed_is_in(&item),
                    None => self.follow(&event),
                }
            }
        }
        self.check_words();
    }

    /// Whoever asked for it: it is paid for.
    pub(super) fn count_usage(&mut self, event: &VoiceEvent) {
        let at = self.args.integrations.clock.now().into();
        let Some(usage) = self.meter.hear(event, self.begun.elapsed(), at) else { return };
        let model = match usage.kind {
            Kind::Transcription => self.transcription_model(),
            Kind::Reply | Kind::Summary => &self.args.config.openai.model,
        };
        self.args.journal.record_usage(Usage { model: model.into(), ..usage });
    }

    fn follow(&mut self, event: &VoiceEvent) {
        match event {
            VoiceEvent::Ready { expires_at } => return self.ready(*expires_at),
            VoiceEvent::ReplyDone { reply, outcome, tokens, .. } => {
                let audio_tokens = tokens.map(|tokens| tokens.output_audio);
                let span = tracing::info_span!("control_channel.reply", reply.id = %reply, reply.outcome = ?outcome, gen_ai.usage.audio.output_tokens = audio_tokens);
                drop(self.args.trace.adopt(span));
            }
            _ => {}
        }
        let aside = event.reply().is_some_and(|reply| self.conversation.is_aside(reply));
        if aside && matches!(event, VoiceEvent::ToolCalled { .. }) {
            return;
        }
        if let VoiceEvent::ToolCalled { reply, call, name, arguments } = event
            && self.conducts_tool(reply.as_ref(), call, name, arguments)
        {
            return self.conduct(Conducted::Heard(event));
        }
        self.decide(Input::Heard(event));
        match event {
            _ if aside => {}
            VoiceEvent::CandidateSettled { item, .. } if self.args.journal.was_never_said(item) => {
                self.conduct(Conducted::NeverSaid(item));
            }
            _ => self.conduct(Conducted::Heard(event)),
        }
    }

    /// The call is configured: it is told of the chapters before it, and of what waits.
    fn ready(&mut self, expires_at: Option<Timestamp>) {
        let Some(joined) = &mut self.joined else { return };
        if std::mem::replace(&mut joined.ready, true) {
            return;
        }
        let history = std::mem::take(&mut joined.history);
        joined.typed.clear();
        self.guard.joined(self.begun.elapsed());
        for entry in &history {
            let (text, item): (_, fn(&str) -> NewItem) = match entry.speaker {
                Speaker::Ai => (entry.heard_text.as_deref().unwrap_or(&entry.text), |text| NewItem::assistant(text)),
                Speaker::Candidate => (entry.text.as_str(), |text| NewItem::user(text)),
            };
            if !text.trim().is_empty() {
                self.create_item(item(text));
            }
        }
        self.args.journal.history_is_told();
        self.args.journal.sideband_back(self.args.integrations.clock.now());
        self.args.journal.restored(Subsystem::Control);
        self.deaf_sideband.sideband_back();
        let left = expires_at.and_then(|at| Duration::try_from(at - self.args.integrations.clock.now().into()).ok());
        self.tell(SessionMsg::ControlReady { expires_in: left.filter(|left| !left.is_zero()) });
        self.decide(Input::Ready);
        self.put_typed_in();
        self.notice_unanswered_turn();
        self.conduct_sideband_up();
        // Decided while the sideband was on its way.
        self.instruct();
    }

    /// The browser may tell, before our sideband is back or later, of a turn of which our sideband heard nothing.
    pub(super) fn notice_unanswered_turn(&mut self) {
        if let Some(turn) = self.args.journal.unanswered_turn() {
            self.decide(Input::TurnInGap(&turn));
            self.conduct(Conducted::TurnInGap(&turn));
        }
    }

    /// While our sideband carries no speech of the candidate the browser is believed, and everyone can see it.
    fn deafness_changed(&mut self, change: Change) {
        match change {
            Change::Deaf => {
                tracing::warn!(
                    error_code = ErrorCode::SidebandDeaf.as_str(),
                    "the sideband carries no speech of the candidate, falling back to the browser's word"
                );
                self.args.journal.sideband_is_deaf();
                self.conduct(Conducted::Deaf(true));
                self.args.journal.degraded(Subsystem::Control);
            }
            Change::Hears => {
                self.conduct(Conducted::Deaf(false));
                self.args.journal.sideband_back(self.args.integrations.clock.now());
                self.args.journal.restored(Subsystem::Control);
            }
        }
    }

    // ---- deciding and performing ----

    pub(super) fn decide(&mut self, input: Input<'_>) {
        if matches!(input, Input::Heard(VoiceEvent::ToolCalled { .. }) | Input::Typed { .. } | Input::Tick) {
            // What only the browser told counts as well, and what was typed.
            self.conversation.know_turns(self.args.journal.turns());
        }
        let commands = self.conversation.step(input, self.begun.elapsed());
        for command in commands {
            tracing::debug!(?command, "the conversation decided");
            self.perform(command);
        }
        self.set_alarm();
    }

    fn set_alarm(&mut self) {
        let due = self.conversation.next_deadline();
        if self.alarm.as_ref().map(|(at, _)| *at) == due {
            return;
        }
        let (begun, target) = (self.begun, self.myself.clone());
        self.alarm = due.map(|at| {
            let guard = TaskGuard::spawn(async move {
                tokio::time::sleep_until(begun + at).await;
                let _ = target.cast(ControlChannelMsg::RepliesDue);
            });
            (at, guard)
        });
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Ask { request, purpose, tell } => {
                let note = if purpose == Purpose::Conduct { self.conduct_note() } else { purpose.note() };
                if let Some(note) = note.filter(|_| tell) {
                    self.create_item(NewItem::system(note));
                }
                let metadata = BTreeMap::from([(PURPOSE.to_owned(), purpose.as_str().to_owned())]);
                let response = Some(ResponseParams { metadata: Some(metadata), ..ResponseParams::default() });
                self.send_event(ClientEvent::ResponseCreate { event_id: request.to_string(), response });
            }
            Command::Cancel { reply } => {
                self.send(|event_id| ClientEvent::ResponseCancel { event_id, response_id: Some(reply) });
            }
            Command::CloseTurn { request } => {
                self.send_event(ClientEvent::InputCommit { event_id: request.to_string() });
            }
            Command::AnswerTool { call, output } => self.create_item(NewItem::function_output(call, &output)),
            Command::EndInterview => self.tell(SessionMsg::Phase(Event::EndRequested(EndReason::InterviewerEnded))),
            Command::LastWordsOver => self.tell(SessionMsg::Phase(Event::LastWordsOver)),
            Command::Late { trouble, news } => {
                tracing::warn!(error_code = code(trouble).as_str(), trouble = trouble.as_str(), "the interviewer is late");
                self.args.journal.count_trouble(trouble);
                if trouble.is_silence() {
                    self.args.journal.doubt_sideband();
                }
                if news {
                    self.args.journal.degraded(Subsystem::Interviewer);
                }
            }
            Command::Recovered => {
                self.args.journal.restored(Subsystem::Interviewer);
            }
            Command::RenewCall(trouble) => {
                tracing::warn!(
                    error_code = code(trouble).as_str(),
                    trouble = trouble.as_str(),
                    "the call does not work, another is begun"
                );
                self.tell(SessionMsg::RenewCall);
            }
            Command::GiveUp(trouble) => {
                tracing::error!(
                    error_code = code(trouble).as_str(),
                    trouble = trouble.as_str(),
                    "the interviewer cannot be made to speak"
                );
                self.args.journal.count_trouble(trouble);
                self.tell(SessionMsg::InterviewerFailed { code: code(trouble) });
            }
        }
    }

    pub(super) fn create_item(&mut self, item: NewItem) {
        self.send(|event_id| ClientEvent::ItemCreate { event_id, previous_item_id: None, item });
    }

    pub(super) fn send(&mut self, event: impl FnOnce(String) -> ClientEvent) {
        self.sent += 1;
        let event = event(format!("rt-{}-{}", self.generation, self.sent));
        self.send_event(event);
    }

    /// False: there is no line to send it on.
    pub(super) fn send_event(&mut self, event: ClientEvent) -> bool {
        let sent = self.joined.as_ref().is_some_and(|joined| joined.commands.try_send(event).is_ok());
        if !sent {
            tracing::warn!(error_code = ErrorCode::ControlCommandDropped.as_str(), "no line to send a command on");
        }
        sent
    }

    pub(super) fn check_words(&mut self) {
        if self.awaiting_words && !self.args.journal.awaits_words() {
            self.awaiting_words = false;
            self.tell(SessionMsg::Phase(Event::WordsSettled));
        }
    }
}

/// What an operator looks up.
fn code(trouble: Trouble) -> ErrorCode {
    match trouble {
        Trouble::ReplyFailed
        | Trouble::ReplyEmpty
        | Trouble::ReplyIncomplete
        | Trouble::ReplyRepeated
        | Trouble::ReplyRefused => ErrorCode::ReplyFailed,
        Trouble::ReplyNotBegun | Trouble::ReplyStuck | Trouble::TurnNotAnswered | Trouble::TurnNotClosed => {
            ErrorCode::InterviewerSilent
        }
        Trouble::SidebandNotJoined | Trouble::CallNotRenewed => ErrorCode::ControlChannelGivenUp,
        Trouble::Configuration => ErrorCode::CallConfigurationRefused,
        Trouble::Transcription => ErrorCode::TranscriptionFailed,
        Trouble::Account => ErrorCode::OpenAiQuotaExhausted,
    }
}
