//! The sideband's connection: opens it, keeps it, opens it again.

use super::*;

/// Keeps the sideband open for as long as the call lives.
pub(super) struct SidebandTask {
    pub(super) voice: Arc<dyn VoiceProvider>,
    pub(super) call: CallId,
    pub(super) generation: u64,
    pub(super) target: ActorRef<ControlChannelMsg>,
    pub(super) trace: Trace,
    /// What each sideband begins with.
    pub(super) update: watch::Receiver<SessionConfig>,
    pub(super) journal: Journal,
    /// Just opened: it may not be known yet where we ask for it.
    pub(super) fresh: bool,
}

/// Times in a row that a known call may refuse us before it is begun anew: about twenty seconds, for the sideband of a
/// process before us may not be gone yet.
const REFUSALS: u32 = 8;
/// Lines in a row that may be opened and not be answered, be it with a close.
const UNANSWERED: u32 = 3;
/// Times in a row that our key may be refused: the provider was seen to do so once and let us in then.
const UNAUTHORIZED: u32 = 3;
/// A sideband that lived for so long was a good one: the next break begins with the shortest delay again.
const LIVED: Duration = Duration::from_secs(30);
/// From our first event on a sideband to the provider's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// From a ping, when the sideband is in doubt, to whatever comes. Words of an ended call are waited for longer than that.
const ALIVE_WITHIN: Duration = Duration::from_secs(3);
/// A sideband that brings nothing for so long is asked whether it lives: on one that is half-open the interviewer calls a tool that nobody
/// answers, and the candidate waits without a word. With the answer's three seconds, the page is told before it has waited for twelve.
const ASKED_WHEN_QUIET: Duration = Duration::from_secs(6);

fn after_a_sideband(backoff: &mut Backoff, lived: Duration) {
    if lived >= LIVED {
        backoff.reset();
    }
}

enum SidebandEnd {
    Redial,
    /// We were let in, and nobody answered.
    Unanswered,
    Oversized,
    Gone,
    /// Nobody listens to us any more.
    Unheard,
}

impl SidebandTask {
    pub(super) async fn run(self, mut commands: mpsc::Receiver<ClientEvent>) {
        let born = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let (mut joined_once, mut failures) = (false, 0);
        loop {
            let span = self.trace.adopt(tracing::info_span!(
                "control_channel.connect",
                otel.kind = "client",
                error_code = tracing::field::Empty
            ));
            let error = match self.voice.join(&self.call).instrument(span.clone()).await {
                Ok(sideband) => {
                    drop(span);
                    joined_once = true;
                    let opened = Instant::now();
                    match self.converse(sideband, &mut commands).await {
                        SidebandEnd::Redial => {
                            failures = 0;
                            after_a_sideband(&mut backoff, opened.elapsed());
                            self.report(SidebandState::Down);
                        }
                        SidebandEnd::Unanswered if failures >= UNANSWERED => return self.report(SidebandState::Gone),
                        SidebandEnd::Unanswered => failures += 1,
                        SidebandEnd::Oversized => self.report(SidebandState::Oversized),
                        SidebandEnd::Gone => return self.report(SidebandState::Gone),
                        SidebandEnd::Unheard => return,
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                    continue;
                }
                Err(error) => error,
            };
            span.record("error_code", error.code().as_str());
            let fresh = self.fresh && !joined_once && born.elapsed() < FRESH_CALL;
            failures += 1;
            match &error {
                ConnectSidebandError::CallGone { .. } if !fresh => return self.report(SidebandState::Gone),
                ConnectSidebandError::Unauthorized { .. } if failures > UNAUTHORIZED => {
                    return self.report(SidebandState::GivenUp);
                }
                // Not beside another, it may be. A call that we shall not hear is begun anew.
                ConnectSidebandError::Refused { status: 400..=428, .. } if !fresh && failures > REFUSALS => {
                    return self.report(SidebandState::Gone);
                }
                _ if failures > 30 => return self.report(SidebandState::GivenUp),
                _ => tracing::debug!(error_code = error.code().as_str(), failures, "the sideband did not open"),
            }
            tokio::time::sleep(error.retry_after().unwrap_or_else(|| backoff.next_delay())).await;
        }
    }

    /// Told before its effect can be heard.
    fn sent(&self, command: &ClientEvent) {
        if let Some(what) = intrusions::effect(command) {
            let command = command.event_id().to_owned();
            let _ = self.target.cast(ControlChannelMsg::Sent { generation: self.generation, what, command });
        }
    }

    fn report(&self, state: SidebandState) {
        let _ = self.target.cast(ControlChannelMsg::Sideband { generation: self.generation, state });
    }

    async fn converse(
        &self,
        (mut reader, mut writer): ports::Sideband,
        commands: &mut mpsc::Receiver<ClientEvent>,
    ) -> SidebandEnd {
        // No session.created comes to a sideband: our own update tells when we are heard.
        let update = ClientEvent::SessionUpdate {
            event_id: format!("rt-{}-0", self.generation),
            session: Box::new(self.update.borrow().clone()),
        };
        if writer.send(&update).await.is_err() {
            return SidebandEnd::Unanswered;
        }
        let mut pings = tokio::time::interval(PING_INTERVAL);
        pings.tick().await;
        let answer_by = Instant::now() + ANSWER_WITHIN;
        let mut answered = false;
        let (mut doubt, mut alive_by) = (self.journal.sideband_in_doubt(), None);
        let mut typed = self.journal.typed_waits();
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                inbound = reader.next() => match inbound {
                    Ok(Inbound::Event(event)) => {
                        (alive_by, heard_at) = (None, Instant::now());
                        answered |= matches!(event, ServerEvent::SessionUpdated(_) | ServerEvent::Error(_));
                        let permit = self.journal.from_voice.enter().await;
                        if self.target.cast(ControlChannelMsg::Heard { generation: self.generation, event: Box::new(event), permit }).is_err() {
                            return SidebandEnd::Unheard;
                        }
                    }
                    Ok(Inbound::Pong) => {
                        heard_at = Instant::now();
                        if alive_by.take().is_some() { self.report(SidebandState::Alive) }
                    }
                    Ok(Inbound::Closed(closed)) => {
                        tracing::info!(close.code = closed.code, "the sideband was closed");
                        return match closed.meaning() {
                            ClosedMeaning::Expired => SidebandEnd::Gone,
                            _ if answered => SidebandEnd::Redial,
                            _ => SidebandEnd::Unanswered,
                        };
                    }
                    Err(error) => {
                        tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "the sideband broke");
                        if matches!(error, SidebandError::TooLarge) {
                            return SidebandEnd::Oversized;
                        }
                        return if answered { SidebandEnd::Redial } else { SidebandEnd::Unanswered };
                    }
                },
                command = commands.recv() => match command {
                    Some(command) if writer.send(&command).await.is_ok() => self.sent(&command),
                    Some(_) => return SidebandEnd::Redial,
                    None => { let _ = writer.close().await; return SidebandEnd::Unheard }
                },
                () = tokio::time::sleep_until(answer_by), if !answered => {
                    tracing::warn!(error_code = ErrorCode::OpenAiSidebandSilent.as_str(), "the sideband was opened and does not answer");
                    return SidebandEnd::Unanswered;
                }
                Ok(()) = typed.changed() => {
                    let _ = self.target.cast(ControlChannelMsg::TypedWaits);
                }
                Ok(()) = doubt.changed(), if alive_by.is_none() => {
                    alive_by = Some(Instant::now() + ALIVE_WITHIN);
                    if writer.ping().await.is_err() { return SidebandEnd::Redial }
                }
                () = tokio::time::sleep_until(heard_at + ASKED_WHEN_QUIET), if answered && alive_by.is_none() => {
                    alive_by = Some(Instant::now() + ALIVE_WITHIN);
                    if writer.ping().await.is_err() { return SidebandEnd::Redial }
                }
                () = tokio::time::sleep_until(alive_by.unwrap_or(answer_by)), if alive_by.is_some() => {
                    tracing::warn!(error_code = ErrorCode::OpenAiSidebandSilent.as_str(), "the sideband is in doubt and does not answer");
                    return SidebandEnd::Redial;
                }
                _ = pings.tick() => if writer.ping().await.is_err() { return SidebandEnd::Redial },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-16.
    #[test]
    fn a_line_that_lived_is_dialled_again_at_once() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        for _ in 0..5 {
            for _ in 0..6 {
                backoff.next_delay();
                after_a_sideband(&mut backoff, Duration::from_millis(10));
            }
            assert!(backoff.next_delay() >= Duration::from_secs(5), "one that breaks at once is not hurried");
            after_a_sideband(&mut backoff, Duration::from_mins(3));
            assert!(backoff.next_delay() <= Duration::from_millis(400));
        }
    }
}
