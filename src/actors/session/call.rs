//! The session and its call: offers in, answers out.

use super::*;

impl SessionState {
    pub(super) async fn offered(&mut self, sdp: String, cause: Context, myself: &ActorRef<SessionMsg>) {
        if let Some(missing) = self.claimed.required_consents.iter().find(|kind| !self.consents.contains(kind)) {
            self.journal.tell(ServerEvent::Error {
                code: ErrorCode::ConsentRequired,
                message: format!("consent to {} is required before audio", missing.as_str()),
                retryable: true,
                request_type: Some("sdp_offer"),
                seq: None,
                id: None,
            });
            return;
        }
        if i64::from(self.segment) >= i64::from(self.config.limits.calls) {
            self.journal.tell(ServerEvent::Error {
                code: ErrorCode::CallsExhausted,
                message: format!("this interview had {} calls", self.segment),
                retryable: false,
                request_type: Some("sdp_offer"),
                seq: None,
                id: None,
            });
            return;
        }
        if !self.offers.take() {
            self.journal.tell(ServerEvent::Error {
                code: ErrorCode::OfferRateExceeded,
                message: format!("too many offers; one more is taken every {} s", OFFER_EVERY.as_secs()),
                retryable: true,
                request_type: Some("sdp_offer"),
                seq: None,
                id: None,
            });
            return;
        }
        self.offer = Some((sdp, cause));
        self.decide(Event::OfferArrived, myself).await;
    }

    pub(super) fn refuse_offer(&mut self) {
        self.offer = None;
        // The offer being answered may be one that a lost connection has delivered late: the
        // browser makes its next one when that is done.
        let open = self.interview.phase().is_open();
        let (code, message) = if open {
            (ErrorCode::OfferInProgress, "an offer is being answered already")
        } else {
            (ErrorCode::SessionOver, "the interview is over")
        };
        self.journal.tell(ServerEvent::Error {
            code,
            message: message.to_owned(),
            retryable: open,
            request_type: Some("sdp_offer"),
            seq: None,
            id: None,
        });
    }

    pub(super) async fn open_call(&mut self, myself: &ActorRef<SessionMsg>) {
        let Some((sdp, cause)) = self.offer.take() else { return };
        self.revive_control(myself).await;
        let replaces = self.call.clone();
        // Whoever brings an offer that nobody asked for, in a call that we hear, makes the gap until we hear the next.
        let asked_for = std::mem::take(&mut self.rolling_over);
        let unasked = replaces.is_some() && self.journal.is_heard() && !asked_for;
        let gap = if unasked { Cause::Client } else { Cause::Ours };
        let segment = self.segment + 1;
        self.to_control(ControlChannelMsg::Open { sdp, segment, replaces, gap, cause });
    }

    pub(super) async fn call_opened(&mut self, call: CallId, answer: String, myself: &ActorRef<SessionMsg>) {
        self.segment += 1;
        // The control channel hangs the one before up when its last words are here.
        self.hanging_up.extend(self.call.replace(call));
        self.record_calls();
        if self.interview.awaits_call() {
            self.journal.tell(ServerEvent::SdpAnswer { sdp: answer, segment: self.segment });
        }
        self.decide(Event::CallOpened, myself).await;
    }

    pub(super) async fn call_failed(&mut self, code: ErrorCode, fatal: bool, myself: &ActorRef<SessionMsg>) {
        self.journal.tell(ServerEvent::Error {
            code,
            message: "the call could not be opened".to_owned(),
            retryable: !fatal,
            request_type: Some("sdp_offer"),
            seq: None,
            id: None,
        });
        self.decide(Event::CallFailed { fatal }, myself).await;
    }

    /// The page is told why, and whoever reads the interview's row.
    pub(super) async fn interviewer_failed(&mut self, code: ErrorCode, myself: &ActorRef<SessionMsg>) {
        self.journal.tell(ServerEvent::Error {
            code,
            message: "the interviewer cannot speak; the interview is over".to_owned(),
            retryable: false,
            request_type: None,
            seq: None,
            id: None,
        });
        self.decide(Event::EndRequested(EndReason::InterviewerFailed), myself).await;
    }

    /// A call must not live on because nobody could listen to it.
    pub(super) async fn hang_up(&mut self, myself: &ActorRef<SessionMsg>) {
        let call = self.call.take();
        if call.is_some() {
            self.revive_control(myself).await;
        }
        self.hanging_up.extend(call.clone());
        self.to_control(ControlChannelMsg::HangUp { call });
    }

    /// The call does not work. What is being opened meanwhile goes on: the page waits for its answer.
    pub(super) async fn renew_call(&mut self, myself: &ActorRef<SessionMsg>) {
        // Without one it has ended by itself meanwhile.
        let Some(call) = self.call.take() else { return };
        self.revive_control(myself).await;
        self.hanging_up.push(call.clone());
        self.to_control(ControlChannelMsg::Renew { call });
        self.decide(Event::CallGone, myself).await;
    }

    /// The provider said that it does not know the call. Of one just made that has been wrong, and
    /// nobody else would end it: the candidate would talk on in a call that we do not hear.
    pub(super) fn end_gone_call(&mut self) {
        if let Some(call) = &self.call {
            self.hanging_up.push(call.clone());
            self.to_control(ControlChannelMsg::HangUpStray(call.clone()));
        }
    }

    pub(super) async fn hung_up(&mut self, call: &CallId, ended: bool, myself: &ActorRef<SessionMsg>) {
        let known = self.hanging_up.len();
        self.hanging_up.retain(|known| known != call);
        if ended && self.call.is_none() && self.hanging_up.is_empty() {
            self.call_over();
        } else if ended && self.call.is_some() && self.hanging_up.len() < known {
            self.record_calls();
        }
        self.finish(myself).await;
    }

    /// The machine goes when the last call is over, or cannot be ended.
    pub(super) async fn finish(&mut self, myself: &ActorRef<SessionMsg>) {
        if !self.finishing {
            return;
        }
        if self.hanging_up.is_empty() {
            self.end_tree(TreeEnd::Finished(self.interview.phase()), myself).await;
        } else {
            // Given up while it had calls to end: it is tried once more for them.
            self.revive_control(myself).await;
        }
    }

    /// The control channel was given up; for a new call, and to end one, it is tried once more.
    async fn revive_control(&mut self, myself: &ActorRef<SessionMsg>) {
        if self.control.is_none()
            && let Err(error) = self.spawn(Child::ControlChannel, myself).await
        {
            tracing::error!(error_code = ErrorCode::ActorStartFailed.as_str(), actor = "control_channel", %error, "child did not start");
        }
    }

    pub(super) fn call_over(&mut self) {
        self.call = None;
        self.record_calls();
    }

    /// Whoever takes the interview up must know of every call that may still be open.
    fn record_calls(&self) {
        let (call, ending) = (self.call.clone(), self.hanging_up.clone());
        self.journal.record(Record::Call { call, ending, segment: self.segment });
    }

    pub(super) fn to_control(&self, message: ControlChannelMsg) {
        if let Some(control) = &self.control {
            let _ = control.cast(message);
        }
    }
}
