//! SignalingSocket: handles what one browser connection sends.
//!
//! The socket itself belongs to the HTTP task, which survives this actor. Answers go out through the journal. So a crash here
//! costs at most the message at hand, which a client repeats, and never the connection.

use super::Injected;
use super::journal::{Journal, Receipt};
use super::messages::{RecordingReport, SessionMsg, SignalingSocketMsg};
use crate::clock::Clock;
use crate::domain::edge::{ClientId, Label, Text};
use crate::domain::outbox_record::Record;
use crate::domain::phase::{EndReason, Event};
use crate::domain::protocol::{
    ClientEntry, ClientMessage, ConsentKind, MAX_ENTRIES, MAX_SEQ, MediaState, MediaStats, Microphone, QualityLevel, Refusal,
    ServerEvent, Unreadable, check_offer,
};
use crate::domain::seat::Seat;
use crate::domain::typed::TypedAnswer;
use crate::error::ErrorCode;
use crate::ids::ConnectionId;
use crate::telemetry::Trace;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub struct SignalingSocket;

#[derive(Clone)]
pub struct SignalingSocketArgs {
    pub connection: ConnectionId,
    pub seat: Seat,
    pub journal: Journal,
    pub session: ActorRef<SessionMsg>,
    pub trace: Trace,
    pub clock: Clock,
    pub consent_policy_version: Text,
}

pub struct SignalingSocketState {
    args: SignalingSocketArgs,
    quality: QualityLevel,
    /// What was stated over this connection; stating it again stores nothing.
    stated: Vec<ConsentKind>,
    /// It breaks with the next message (sandbox only).
    breaking: bool,
    /// The update at which we panicked last.
    broke_at: Option<u64>,
}

impl Actor for SignalingSocket {
    type Msg = SignalingSocketMsg;
    type State = SignalingSocketState;
    type Arguments = SignalingSocketArgs;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, args: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        Ok(SignalingSocketState { args, quality: QualityLevel::Good, stated: Vec::new(), breaking: false, broke_at: None })
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SignalingSocketMsg::Injected(Injected::PanicHolding) => {
                state.breaking = true;
                Ok(())
            }
            SignalingSocketMsg::Injected(fault) => {
                fault.strike("signaling_socket").await;
                Ok(())
            }
            SignalingSocketMsg::Received { message, permit } => {
                if state.breaking {
                    Injected::Panic.strike("signaling_socket").await;
                }
                let request_type = message.as_ref().map_or_else(|frame| frame.request_type, |message| Some(message.name()));
                let (seq, update) = match &message {
                    Ok(ClientMessage::TranscriptUpdate { seq, .. }) => (*seq, *seq),
                    Ok(_) => (None, None),
                    Err(frame) => (frame.seq, frame.seq.filter(|_| frame.is_update())),
                };
                let id = match &message {
                    Ok(ClientMessage::TypedAnswer { id, .. }) => ClientId::new(id).ok().map(|id| id.as_str().to_owned()),
                    Ok(_) => None,
                    Err(frame) => frame.id.clone(),
                };
                let name = request_type.unwrap_or("unreadable");
                let span = tracing::info_span!(
                    "signaling_socket.receive",
                    otel.name = format!("ws.{name}"),
                    otel.kind = "server",
                    error_code = tracing::field::Empty
                );
                let span = state.args.trace.adopt(span);
                let _entered = span.enter();
                if let Err(refusal) = state.receive_whole(message, update) {
                    span.record("error_code", refusal.code.as_str());
                    tracing::info!(
                        error_code = refusal.code.as_str(),
                        request_type = name,
                        seq,
                        "refused a message of the browser"
                    );
                    state.args.journal.tell(ServerEvent::Error {
                        code: refusal.code,
                        message: refusal.message,
                        retryable: refusal.retryable,
                        request_type,
                        seq,
                        id,
                    });
                }
                drop(permit);
                Ok(())
            }
        }
    }
}

impl SignalingSocketState {
    /// A message that makes us panic costs that message, and is told. The client may repeat it once: an
    /// update at which we panic again is refused for good, so that its number holds up nothing.
    fn receive_whole(&mut self, message: Result<ClientMessage, Unreadable>, seq: Option<u64>) -> Result<(), Refusal> {
        if let Ok(received) = catch_unwind(AssertUnwindSafe(|| self.receive(message))) {
            return received;
        }
        tracing::error!(error_code = ErrorCode::InternalFailure.as_str(), seq, "panicked at a message of the browser");
        let message = "this message cannot be processed".to_owned();
        let seq = seq.filter(|seq| is_seq(*seq));
        let again = seq.is_some() && self.broke_at == seq;
        self.broke_at = seq;
        let refusal = Refusal { code: ErrorCode::MessageInvalid, message, retryable: !again };
        if again {
            self.args.journal.client_report(self.args.connection, Err(refusal), seq, self.args.clock.now())
        } else {
            Err(refusal)
        }
    }

    /// Only an update has its place in the order: any other frame is refused and nothing more.
    fn receive(&mut self, message: Result<ClientMessage, Unreadable>) -> Result<(), Refusal> {
        match message {
            Ok(message) => self.take(message),
            Err(frame) if frame.is_update() => {
                let seq = frame.seq.filter(|seq| is_seq(*seq));
                self.args.journal.client_report(self.args.connection, Err(frame.refusal), seq, self.args.clock.now())
            }
            Err(frame) => Err(frame.refusal),
        }
    }

    fn take(&mut self, message: ClientMessage) -> Result<(), Refusal> {
        let journal = &self.args.journal;
        match message {
            ClientMessage::Authenticate { .. } => Err(Refusal::invalid("this connection is authenticated already".to_owned())),
            ClientMessage::SdpOffer { sdp, microphone } => {
                check_offer(&sdp)?;
                self.tell_microphone(microphone);
                self.cast(SessionMsg::Offered { sdp, cause: Trace::context_of(&tracing::Span::current()) });
                Ok(())
            }
            ClientMessage::TranscriptUpdate { entries, seq } => {
                if seq.is_some_and(|seq| !is_seq(seq)) {
                    return Err(Refusal::invalid("seq must be an integer from 1 to 2^53".to_owned()));
                }
                let said = if entries.len() > MAX_ENTRIES {
                    Err(Refusal::invalid(format!("more than {MAX_ENTRIES} entries in one transcript_update")))
                } else {
                    entries.into_iter().map(ClientEntry::into_client_report).collect()
                };
                let taken = journal.client_report(self.args.connection, said, seq, self.args.clock.now());
                if taken.as_ref().is_err_and(|refusal| refusal.code == ErrorCode::SeqConflict) {
                    self.note(Label::of("transcript_seq_conflict"), None);
                }
                taken
            }
            ClientMessage::EndSession { recording_url } => {
                if let Some(url) = recording_url {
                    self.cast(SessionMsg::RecordingUrlClaimed { url });
                }
                self.cast(SessionMsg::Phase(Event::EndRequested(EndReason::CandidateEnded)));
                Ok(())
            }
            ClientMessage::Consent { kinds, policy_version } => self.consent(kinds, &policy_version),
            ClientMessage::Resume { last_event } => {
                journal.replay(last_event);
                Ok(())
            }
            ClientMessage::MediaState { state, stats, microphone } => {
                self.tell_microphone(microphone);
                self.cast(SessionMsg::MediaReported(state));
                if state == MediaState::Connected
                    && let Some(stats) = stats
                {
                    self.advise(stats);
                }
                Ok(())
            }
            ClientMessage::RecordingState { state, video_id, part, mime_type } => {
                // An odd name of the container is not worth the rest of the report.
                let mime_type = mime_type.and_then(|name| Label::new(&name).ok());
                self.cast(SessionMsg::RecordingReported(RecordingReport { video: video_id, state, part, mime_type }));
                Ok(())
            }
            ClientMessage::IntegrityEvent { kind, at } => {
                let kind = Label::new(&kind).map_err(|error| Refusal::invalid(format!("kind {error}")))?;
                self.note(kind, at.as_deref());
                Ok(())
            }
            // The connection lives on its own ticket; a fresh token changes nothing here.
            ClientMessage::RefreshAuth { .. } => Ok(()),
            ClientMessage::TypedAnswer { id, text } => {
                let answer = TypedAnswer::read(&id, &text)?;
                journal.take_typed(&answer, answer.item(fastrand::u128(..)), self.args.clock.now())
            }
            ClientMessage::Think {} => {
                self.cast(SessionMsg::Think);
                Ok(())
            }
            ClientMessage::GoOn {} => {
                self.cast(SessionMsg::GoOn);
                Ok(())
            }
            ClientMessage::Heartbeat {} => {
                journal.tell(ServerEvent::HeartbeatAck {});
                Ok(())
            }
        }
    }

    fn tell_microphone(&self, microphone: Option<Microphone>) {
        if let Some(microphone) = microphone {
            self.cast(SessionMsg::MicrophoneReported(microphone));
        }
    }

    fn note(&self, kind: Label, claimed: Option<&str>) {
        self.args.journal.note_integrity(kind, claimed, self.args.clock.now());
    }

    fn consent(&mut self, kinds: Vec<ConsentKind>, policy_version: &str) -> Result<(), Refusal> {
        if *policy_version != *self.args.consent_policy_version {
            let message = format!("the policy in force is {}", self.args.consent_policy_version.as_str());
            return Err(Refusal { code: ErrorCode::ConsentPolicyOutdated, message, retryable: false });
        }
        for kind in kinds.iter().copied() {
            if !self.stated.contains(&kind) {
                self.stated.push(kind);
                let given_by = self.args.seat;
                self.args.journal.record(Record::Consent { kind, policy_version: policy_version.into(), given_by });
            }
        }
        self.args.journal.when_stored(Receipt::Consents(kinds));
        Ok(())
    }

    /// Advice changes only when the sideband does.
    fn advise(&mut self, stats: MediaStats) {
        let bad = |value: Option<f64>, limit: f64| value.is_some_and(|value| value > limit);
        let level = if bad(stats.rtt_ms, 600.0) || bad(stats.jitter_ms, 100.0) {
            QualityLevel::Poor
        } else if bad(stats.rtt_ms, 300.0) || bad(stats.jitter_ms, 40.0) {
            QualityLevel::Fair
        } else {
            QualityLevel::Good
        };
        if std::mem::replace(&mut self.quality, level) != level {
            let (audio, video) = match level {
                QualityLevel::Good => (64_000, 600_000),
                QualityLevel::Fair => (32_000, 250_000),
                QualityLevel::Poor => (24_000, 100_000),
            };
            self.args.journal.tell(ServerEvent::QualityAdvice {
                level,
                max_audio_bitrate_bps: audio,
                max_video_bitrate_bps: video,
            });
        }
    }

    fn cast(&self, message: SessionMsg) {
        // The session is our parent: if it is gone, so are we in a moment.
        let _ = self.args.session.cast(message);
    }
}

fn is_seq(seq: u64) -> bool {
    (1..=MAX_SEQ).contains(&seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::journal::{OUTGOING_QUEUE, Outgoing};
    use crate::domain::outbox::Limits;
    use crate::domain::transcript::Transcript;
    use crate::ids::{SessionId, TenantId, TicketHash, UserId};
    use std::sync::atomic::{AtomicBool, Ordering};
    use time::OffsetDateTime;
    use tokio::sync::mpsc;

    struct Nobody;

    impl Actor for Nobody {
        type Msg = SessionMsg;
        type State = ();
        type Arguments = ();
        async fn pre_start(&self, _: ActorRef<SessionMsg>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
    }

    /// No message that makes us panic is known, so the clock stands for what it would meet.
    static BREAKS: AtomicBool = AtomicBool::new(false);

    fn update(seq: u64) -> ClientMessage {
        let entry = serde_json::json!({"text": "words", "speaker": "candidate", "timestamp": "2026-11-23T10:00:00Z", "id": seq.to_string()});
        serde_json::from_value(serde_json::json!({"type": "transcript_update", "entries": [entry], "seq": seq}))
            .expect("a message")
    }

    #[tokio::test]
    async fn an_update_that_makes_us_panic_may_be_repeated_once_and_then_holds_up_nothing() {
        let journal = Journal::new(Transcript::default(), 0, Limits { records: 100, bytes: 1 << 20 }, 0);
        let (outgoing, _line): (_, mpsc::Receiver<Outgoing>) = mpsc::channel(OUTGOING_QUEUE);
        let clock = Clock::from_fn(|| {
            assert!(!BREAKS.swap(false, Ordering::Relaxed), "injected");
            OffsetDateTime::UNIX_EPOCH
        });
        let args = SignalingSocketArgs {
            connection: journal.connect(outgoing),
            seat: Seat { user: UserId(uuid::Uuid::nil()), ticket: TicketHash::of("a ticket") },
            journal: journal.clone(),
            session: Actor::spawn(None, Nobody, ()).await.expect("it starts").0,
            trace: Trace::join(None, SessionId(uuid::Uuid::nil()), TenantId(uuid::Uuid::nil())),
            clock,
            consent_policy_version: Text::default(),
        };
        let mut state =
            SignalingSocketState { args, quality: QualityLevel::Good, stated: Vec::new(), breaking: false, broke_at: None };
        for retryable in [true, false] {
            BREAKS.store(true, Ordering::Relaxed);
            let refusal = state.receive_whole(Ok(update(1)), Some(1)).expect_err("it panics");
            assert_eq!((refusal.code, refusal.retryable), (ErrorCode::MessageInvalid, retryable));
        }
        state.receive_whole(Ok(update(2)), Some(2)).expect("the next one is taken");
        let batch = journal.batch(usize::MAX).expect("something waits");
        journal.stored(batch.up_to);
        let stored = batch.records.iter().filter(|record| matches!(record, Record::Entry(_))).count();
        assert_eq!((journal.acked_client_seq(), stored), (2, 1));
    }
}
