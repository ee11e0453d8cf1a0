//! The session as supervisor: start, restart, give up, stop, by the table in `tree`.

use super::*;

impl SessionState {
    pub(super) async fn spawn(&mut self, child: Child, myself: &ActorRef<SessionMsg>) -> Result<(), ActorProcessingErr> {
        let cell: ActorCell = match child {
            Child::TranscriptWriter => {
                let args = TranscriptWriterArgs {
                    journal: self.journal.clone(),
                    store: self.store.clone(),
                    session: myself.clone(),
                    trace: self.trace.clone(),
                    batch_records: self.config.outbox.batch_records,
                };
                let (writer, _) = Actor::spawn_linked(None, TranscriptWriter, args, myself.get_cell()).await?;
                self.writer.insert(writer).get_cell()
            }
            Child::RecordingTracker => {
                let args = RecordingTrackerArgs {
                    journal: self.journal.clone(),
                    session: myself.clone(),
                    trace: self.trace.clone(),
                    integrations: self.integrations.clone(),
                    store: self.store.clone(),
                    recordings: self.claimed.recordings.clone(),
                    poll_interval: self.config.api_video.poll_interval(),
                    // The rest of the time is for closing what did not come.
                    patience: self.length_of(Timer::RecordingSettling).mul_f32(0.6),
                };
                let (tracker, _) = Actor::spawn_linked(None, RecordingTracker, args, myself.get_cell()).await?;
                self.recording.insert(tracker).get_cell()
            }
            Child::Summarizer => {
                let work = SummaryWork {
                    store: self.store.clone(),
                    trace: self.trace.clone(),
                    integrations: self.integrations.clone(),
                    claimed: self.claimed.clone(),
                    session_id: self.session,
                    model: self.config.openai.summary_model.clone(),
                    tries: Tries::of_session(self.config.keeper.summary_tries),
                };
                let args = SummarizerArgs { session: myself.clone(), work };
                Actor::spawn_linked(None, Summarizer, args, myself.get_cell()).await?.0.get_cell()
            }
            Child::ControlChannel => {
                let args = ControlChannelArgs {
                    journal: self.journal.clone(),
                    session: myself.clone(),
                    trace: self.trace.clone(),
                    integrations: self.integrations.clone(),
                    claimed: self.claimed.clone(),
                    config: self.config.clone(),
                    attach: self.call.clone(),
                    microphone: self.microphone,
                };
                let (control, _) = Actor::spawn_linked(None, ControlChannel, args, myself.get_cell()).await?;
                // Those that the one before us let fade, or was about to end: nobody else ends them.
                for call in &self.hanging_up {
                    control.cast(ControlChannelMsg::HangUpStray(call.clone()))?;
                }
                self.control.insert(control).get_cell()
            }
            Child::SignalingSocket => {
                let Some(Socket { connection, seat, listener }) = &self.socket else { return Ok(()) };
                let args = SignalingSocketArgs {
                    connection: *connection,
                    seat: *seat,
                    journal: self.journal.clone(),
                    session: myself.clone(),
                    trace: self.trace.clone(),
                    clock: self.integrations.clock.clone(),
                    consent_policy_version: self.claimed.consent_policy_version.clone(),
                };
                let (socket, _) = Actor::spawn_linked(None, SignalingSocket, args, myself.get_cell()).await?;
                let cell = socket.get_cell();
                listener.send_replace(Some(socket));
                cell
            }
        };
        self.supervision.started(child, cell);
        Ok(())
    }

    pub(super) async fn follow(&mut self, child: Child, verdict: Verdict, myself: &ActorRef<SessionMsg>) {
        match verdict {
            Verdict::Nothing => {}
            Verdict::RestartAfter(Duration::ZERO) => self.restart(child, myself).await,
            Verdict::RestartAfter(delay) => {
                myself.send_after(delay, move || SessionMsg::RestartDue(child));
            }
            Verdict::GiveUp(exhausted) => self.give_up(child, exhausted, myself).await,
        }
    }

    pub(super) async fn restart(&mut self, child: Child, myself: &ActorRef<SessionMsg>) {
        if self.supervision.runs(child) || self.ended.is_none() {
            return;
        }
        let span = self.trace.adopt(tracing::info_span!(
            "session.restart_child",
            actor = child.name(),
            restart.count = self.supervision.restarts(child)
        ));
        tracing::info!(parent: &span, actor = child.name(), "restarting child");
        if let Err(error) = self.spawn(child, myself).await {
            tracing::error!(error_code = ErrorCode::ActorStartFailed.as_str(), actor = child.name(), %error, "child did not start");
            let verdict = self.supervision.judge(child, Ended::Abnormally);
            // Boxed: giving up and restarting may follow each other.
            Box::pin(self.follow(child, verdict, myself)).await;
        }
    }

    pub(super) async fn give_up(&mut self, child: Child, exhausted: Exhausted, myself: &ActorRef<SessionMsg>) {
        tracing::error!(
            error_code = ErrorCode::ActorExhausted.as_str(),
            actor = child.name(),
            ?exhausted,
            "child does not stay alive"
        );
        match exhausted {
            Exhausted::FailTree => self.end_tree(TreeEnd::Exhausted(child.name()), myself).await,
            Exhausted::CloseSocket => self.journal.close_connection(close::TRY_LATER, "try again later"),
            Exhausted::Degrade => match child {
                Child::Summarizer => {
                    let outcome = Err(ErrorCode::SummaryFailed.as_str());
                    self.summarized(SummaryRecord { outcome, model: self.config.openai.summary_model.as_str().into() });
                }
                Child::RecordingTracker => {
                    self.recording = None;
                    self.journal.degraded(Subsystem::Recording);
                    self.decide(Event::RecordingSettled, myself).await;
                }
                _ => {
                    self.control = None;
                    self.journal.sideband_lost();
                    self.journal.degraded(Subsystem::Control);
                    self.decide(Event::ControlLost, myself).await;
                    // Without it nobody notices what the interviewer owes.
                    let again = self.control_again.next_delay();
                    myself.send_after(again, || SessionMsg::RestartDue(Child::ControlChannel));
                }
            },
        }
    }

    pub(super) async fn end_tree(&mut self, end: TreeEnd, myself: &ActorRef<SessionMsg>) {
        let Some(ended) = self.ended.take() else { return };
        self.timers.clear();
        self.ticker = None;
        let (code, reason) = match end {
            TreeEnd::Finished(_) => (close::DONE, "the interview is over"),
            TreeEnd::Fenced => (close::RESTART, "moved to another machine"),
            TreeEnd::Interrupted | TreeEnd::Exhausted(_) => (close::RESTART, "restarting"),
        };
        if let (TreeEnd::Exhausted(_), Some(writer)) = (end, &self.writer) {
            writer.stop(None);
        }
        // A stop by the machine is in a hurry; an interview that is over is not.
        let hurry = (end == TreeEnd::Interrupted).then(|| self.config.session.shutdown_timeout().mul_f64(TREE_SHARE));
        self.supervision.stop_all(hurry).await;
        self.journal.close_connection(code, reason);
        let _ = ended.send(end);
        myself.stop(None);
    }

    /// Break a child on purpose (sandbox only).
    pub(super) fn inject(&self, child: Child, fault: Injected) {
        match child {
            Child::TranscriptWriter => drop(self.writer.as_ref().map(|it| it.cast(TranscriptWriterMsg::Injected(fault)))),
            Child::RecordingTracker => drop(self.recording.as_ref().map(|it| it.cast(RecordingTrackerMsg::Injected(fault)))),
            Child::ControlChannel => self.to_control(ControlChannelMsg::Injected(fault)),
            Child::SignalingSocket => {
                if let Some(socket) = &self.socket
                    && let Some(listener) = socket.listener.borrow().as_ref()
                {
                    let _ = listener.cast(SignalingSocketMsg::Injected(fault));
                }
            }
            Child::Summarizer => {
                if let Some(cell) = self.supervision.cell(Child::Summarizer) {
                    let _ = ActorRef::<SummarizerMsg>::from(cell).cast(SummarizerMsg::Injected(fault));
                }
            }
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            phase: self.interview.phase(),
            end: self.interview.end(),
            segment: self.segment,
            call: self.call.clone(),
            connected: self.interview.connected(),
            control_ready: self.journal.is_heard(),
            entries: self.journal.spoken(),
            backlog_records: self.journal.backlog().0,
            running: TREE.iter().map(|row| row.child).filter(|child| self.supervision.runs(*child)).map(Child::name).collect(),
            restarts: TREE.iter().map(|row| (row.child.name(), self.supervision.restarts(row.child))).collect(),
        }
    }
}
