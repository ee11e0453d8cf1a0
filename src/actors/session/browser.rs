//! The session and the browser's connection, and what the browser reports about the recording.

use super::*;

impl SessionState {
    pub(super) async fn attach(&mut self, seat: Seat, reply: RpcReplyPort<Attached>, myself: &ActorRef<SessionMsg>) {
        let (sender, outgoing) = mpsc::channel(OUTGOING_QUEUE);
        let connection = self.journal.connect(sender);
        if let Some(older) = self.supervision.forget(Child::SignalingSocket) {
            older.stop(Some("superseded".to_owned()));
        }
        let (listener, socket) = watch::channel(None);
        self.socket = Some(Socket { connection, seat, listener });
        if let Err(error) = self.spawn(Child::SignalingSocket, myself).await {
            tracing::error!(error_code = ErrorCode::ActorStartFailed.as_str(), actor = "signaling_socket", %error, "child did not start");
        }
        self.visited = true;
        self.journal.greet(self.ready());
        self.journal.record(Record::Connected(true));
        if let Some(recording) = &self.recording {
            let _ = recording.cast(RecordingTrackerMsg::FindRecording);
        }
        if reply.send(Attached { connection, socket, outgoing }).is_err() {
            // The browser is gone already; its HTTP task will not tell us.
            return self.detach(connection, myself).await;
        }
        self.decide(Event::CandidateConnected, myself).await;
    }

    pub(super) async fn detach(&mut self, connection: ConnectionId, myself: &ActorRef<SessionMsg>) {
        self.journal.disconnect(connection);
        if self.socket.as_ref().is_some_and(|socket| socket.connection == connection) {
            self.socket = None;
            if let Some(cell) = self.supervision.forget(Child::SignalingSocket) {
                cell.stop(Some("disconnected".to_owned()));
            }
            self.journal.record(Record::Connected(false));
            self.decide(Event::CandidateDisconnected, myself).await;
        }
    }

    pub(super) fn ready(&self) -> SessionReady {
        SessionReady {
            session_id: self.session,
            process: self.store.epoch().0,
            phase: self.interview.phase(),
            segment: self.segment,
            acked_seq: self.journal.acked_client_seq(),
            heartbeat_interval_ms: self.config.socket.heartbeat_interval_ms,
            required_consents: self.claimed.required_consents.clone(),
            given_consents: self.consents.clone(),
            time_left_s: self.time_left_s(),
            greeted: self.interview.greeted(),
            plan: self.claimed.script(self.config.interview.default_duration()).is_some(),
            limits: FrameLimits { max_frame_bytes: MAX_FRAME_BYTES, max_entries: MAX_ENTRIES, max_typed_chars: typed::MAX_CHARS },
        }
    }

    /// How its noise is taken out depends on it.
    pub(super) fn microphone_reported(&mut self, microphone: Microphone) {
        if std::mem::replace(&mut self.microphone, microphone) != microphone {
            self.to_control(ControlChannelMsg::Microphone(microphone));
        }
    }

    pub(super) fn recording_reported(&self, report: RecordingReport) {
        if !self.consents.contains(&ConsentKind::Recording) {
            self.journal.tell(ServerEvent::Error {
                code: ErrorCode::ConsentRequired,
                message: "consent to a recording is required before there can be one".to_owned(),
                retryable: true,
                request_type: Some("recording_state"),
                seq: None,
                id: None,
            });
            return;
        }
        if let Some(recording) = &self.recording {
            let _ = recording.cast(RecordingTrackerMsg::Reported(report));
        }
    }

    /// The browser's claim is checked against our own videos and never used.
    pub(super) fn check_recording_url(&self, url: &str) {
        let claimed = crate::integrations::api_video::parse_recording_url(url);
        if claimed.is_none_or(|claimed| !self.videos.contains(&claimed)) {
            tracing::warn!(
                error_code = ErrorCode::RecordingUrlRefused.as_str(),
                "the browser named a recording that is not this interview's"
            );
            self.journal.tell(ServerEvent::Error {
                code: ErrorCode::RecordingUrlRefused,
                message: "recording_url is not this interview's recording; it was ignored".to_owned(),
                retryable: false,
                request_type: Some("end_session"),
                seq: None,
                id: None,
            });
        }
    }
}
