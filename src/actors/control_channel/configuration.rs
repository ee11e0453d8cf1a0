//! How the call is configured: asked for, compared with what the provider tells, and made smaller where it refuses.

use super::instructions::{DEFAULT_LANGUAGE, instructions};
use super::*;
use crate::domain::call_guard::Intrusion;
use crate::domain::call_setup::{Level, Transcription, Verdict};
use crate::domain::phase::EndReason;
use crate::domain::replies::Trouble;
use crate::integrations::openai::events::{ErrorDetail, SessionEvent};
use crate::integrations::openai::session_echo::TRANSCRIPTION;
use crate::integrations::openai::voice::CallSetup as Configured;

impl ControlChannelState {
    pub(super) fn asked_configuration(&self) -> SessionConfig {
        let (claimed, openai) = (&self.args.claimed, &self.args.config.openai);
        let configured = Configured {
            model: &openai.model,
            transcription_model: self.transcription_model(),
            voice: claimed.settings.voice.as_deref().unwrap_or(&openai.default_voice),
            language: match &self.conduct {
                Some(conduct) => conduct.script().language.as_str(),
                None => claimed.settings.language.as_deref().unwrap_or(DEFAULT_LANGUAGE),
            },
            instructions: instructions(claimed, self.conduct.as_ref()),
            plan: self.conduct.as_ref().map(|conduct| conduct.script().turn_taking),
            microphone: self.args.microphone,
        };
        match self.setup.level {
            Level::Full => configured.session(),
            Level::Small => configured.smaller_session(),
        }
    }

    pub(super) fn transcription_model(&self) -> &str {
        let openai = &self.args.config.openai;
        if self.setup.fallen_back && !openai.transcription_fallback_model.is_empty() {
            &openai.transcription_fallback_model
        } else {
            &openai.transcription_model
        }
    }

    /// The provider tells how the call is configured. Whether it is as it has to be: else nothing is said in it yet.
    pub(super) fn configuration_told(&mut self, told: &SessionEvent) -> bool {
        let deviations = self.deviations(told);
        if !deviations.is_empty() {
            tracing::warn!(error_code = ErrorCode::CallConfigurationRefused.as_str(), parts = ?deviations, "the call is configured otherwise than asked for");
        }
        match self.setup.told(deviations.is_empty()) {
            Verdict::Foreign => {
                if deviations.contains(&TRANSCRIPTION) {
                    self.args.journal.transcription_tampered();
                }
                self.intruded(&Intrusion::SessionUpdated);
                self.configure();
                true
            }
            verdict => self.follow_verdict(verdict),
        }
    }

    /// Of what we asked for last, or of what we asked for before and is told only now.
    fn deviations(&mut self, told: &SessionEvent) -> Vec<&'static str> {
        // They are told in their order: what comes before one that was told is over.
        match self.configurations.iter().rposition(|(_, sent)| told.deviations(sent).is_empty()) {
            Some(at) => {
                self.configurations.drain(..at);
                Vec::new()
            }
            None => told.deviations(&self.asked_configuration()),
        }
    }

    /// The instructions, or the microphone, have changed: the call is told, if it is not already.
    pub(super) fn instruct(&mut self) {
        let update = as_update(&self.asked_configuration());
        if self.configurations.last().is_some_and(|(_, sent)| *sent == update) {
            return;
        }
        if self.joined.as_ref().is_some_and(|joined| joined.ready) {
            self.configure();
        } else {
            // The next line begins with it.
            self.update.send_replace(update.clone());
            self.remember_configuration(self.first_of_sideband(), update);
        }
    }

    /// As each sideband names the configuration that it begins with.
    fn first_of_sideband(&self) -> String {
        format!("rt-{}-0", self.generation)
    }

    fn remember_configuration(&mut self, event_id: String, update: SessionConfig) {
        if self.configurations.len() >= MOST_CONFIGURATIONS {
            self.configurations.remove(0);
        }
        self.configurations.push((event_id, update));
    }

    /// Of the configuration that each sideband begins with, and of each that follows it.
    pub(super) fn is_configuration(&self, command: Option<&str>) -> bool {
        command.is_some_and(|command| {
            command == self.first_of_sideband() || self.configurations.iter().any(|(known, _)| known == command)
        })
    }

    pub(super) fn configuration_refused(&mut self) {
        tracing::warn!(error_code = ErrorCode::CallConfigurationRefused.as_str(), "the voice provider refuses the configuration");
        let verdict = self.setup.refused();
        self.follow_verdict(verdict);
    }

    fn follow_verdict(&mut self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Stands | Verdict::Foreign | Verdict::Nothing => true,
            Verdict::AskSmaller => {
                self.configure();
                false
            }
            Verdict::Renew => {
                self.decide(Input::Troubled(Trouble::Configuration));
                false
            }
        }
    }

    /// Ask for it, now and on each sideband that follows this one.
    fn configure(&mut self) {
        let update = as_update(&self.asked_configuration());
        self.update.send_replace(update.clone());
        self.sent += 1;
        let event_id = format!("rt-{}-{}", self.generation, self.sent);
        self.remember_configuration(event_id.clone(), update.clone());
        self.send_event(ClientEvent::SessionUpdate { event_id, session: Box::new(update) });
    }

    /// What the candidate says is not written down: another model may, and without any nobody can be judged.
    pub(super) fn not_transcribed(&mut self, error: &ErrorDetail) {
        let vendor_code = error.code.as_deref().or(error.kind.as_deref()).unwrap_or("unknown");
        tracing::warn!(
            error_code = ErrorCode::TranscriptionFailed.as_str(),
            openai.code = vendor_code,
            "what the candidate said could not be transcribed"
        );
        self.args.journal.count_failed_transcription(vendor_code);
        let openai = &self.args.config.openai;
        let fallback = &openai.transcription_fallback_model;
        let has_fallback = !fallback.is_empty() && *fallback != openai.transcription_model;
        match self.setup.not_transcribed(has_fallback) {
            Transcription::Goes => {}
            Transcription::FallBack => self.configure(),
            Transcription::Lost => {
                self.args.journal.count_trouble(Trouble::Transcription);
                tracing::error!(
                    error_code = ErrorCode::TranscriptionFailed.as_str(),
                    "no model transcribes the candidate; the interview ends"
                );
                self.tell(SessionMsg::Phase(Event::EndRequested(EndReason::NotTranscribed)));
            }
        }
    }
}
