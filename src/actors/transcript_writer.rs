//! TranscriptWriter: from the outbox to PostgreSQL, in batches and in order, until everything is stored.
//!
//! It holds no state of its own: a batch that was not confirmed is still in the outbox when the next incarnation starts. It
//! waits for a database that is away. A record that the database does not accept is found and set aside ([`super::storing`]).

use super::TaskGuard;
use super::journal::{Journal, Receipt};
use super::messages::{SessionMsg, TranscriptWriterMsg};
use super::storing::{Progress, Storing, Trouble};
use crate::backoff::Backoff;
use crate::domain::protocol::{ServerEvent, Subsystem, SummaryState};
use crate::domain::refusals::Patience;
use crate::error::{Fault, chain};
use crate::ports::Rows;
use crate::telemetry::Trace;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::time::Duration;

pub struct TranscriptWriter;

pub struct TranscriptWriterArgs {
    pub journal: Journal,
    pub store: Rows,
    pub session: ActorRef<SessionMsg>,
    pub trace: Trace,
    pub batch_records: usize,
}

pub struct TranscriptWriterState {
    journal: Journal,
    session: ActorRef<SessionMsg>,
    storing: Storing,
    backoff: Backoff,
    /// Until the next retry nothing is tried: what is new waits with the rest.
    paused: bool,
    _waker: TaskGuard,
}

impl Actor for TranscriptWriter {
    type Msg = TranscriptWriterMsg;
    type State = TranscriptWriterState;
    type Arguments = TranscriptWriterArgs;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, args: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        let (journal, target) = (args.journal.clone(), myself.clone());
        // At most one wake-up waits in the mailbox for each that is being handled.
        let waker = TaskGuard::spawn(async move {
            loop {
                journal.something_waits().await;
                if target.cast(TranscriptWriterMsg::FlushDue).is_err() {
                    return;
                }
            }
        });
        myself.cast(TranscriptWriterMsg::FlushDue)?;
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        let TranscriptWriterArgs { journal, store: rows, session, trace, batch_records: most } = args;
        let storing = Storing { journal: journal.clone(), rows, trace, most, patience: Patience::USUAL };
        Ok(TranscriptWriterState { journal, session, storing, backoff, paused: false, _waker: waker })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TranscriptWriterMsg::Injected(fault) => fault.strike("transcript_writer").await,
            TranscriptWriterMsg::FlushDue if state.paused => {}
            TranscriptWriterMsg::FlushDue => state.flush(&myself).await,
            TranscriptWriterMsg::RetryDue => {
                state.paused = false;
                state.flush(&myself).await;
            }
        }
        Ok(())
    }
}

impl TranscriptWriterState {
    async fn flush(&mut self, myself: &ActorRef<TranscriptWriterMsg>) {
        loop {
            match self.storing.step().await {
                Progress::Idle => return,
                Progress::Done { up_to, set_aside } => self.confirm(up_to, set_aside),
                Progress::Again => {}
                Progress::Later(trouble) => return self.wait(&trouble, myself),
                Progress::Fenced(trouble) => {
                    tracing::error!(error_code = trouble.code().as_str(), "another process took this session");
                    let _ = self.session.cast(SessionMsg::Fenced);
                    return;
                }
            }
        }
    }

    /// `set_aside`: the kind of the record that is kept elsewhere instead.
    fn confirm(&mut self, up_to: u64, set_aside: Option<&'static str>) {
        self.backoff.reset();
        if self.journal.restored(Subsystem::Storage) {
            tracing::info!("transcript store is back");
        }
        for receipt in self.journal.stored(up_to) {
            match receipt {
                Receipt::ClientSeq { seq, .. } => self.journal.tell(ServerEvent::TranscriptAck { seq }),
                Receipt::Consents(kinds) => {
                    self.journal.tell(ServerEvent::ConsentRecorded { kinds: kinds.clone() });
                    let _ = self.session.cast(SessionMsg::ConsentsStored(kinds));
                }
                // The journal has told of it.
                Receipt::Typed(_) => {}
                Receipt::AllStored(number) => {
                    let _ = self.session.cast(SessionMsg::AllStored(number));
                }
                Receipt::Summary(summary) => {
                    let summary = if set_aside == Some("summary") { SummaryState::Failed } else { summary };
                    let _ = self.session.cast(SessionMsg::SummaryStored(summary));
                }
            }
        }
    }

    fn wait(&mut self, trouble: &Trouble, myself: &ActorRef<TranscriptWriterMsg>) {
        if self.journal.degraded(Subsystem::Storage) {
            let (records, bytes) = self.journal.backlog();
            tracing::warn!(error_code = trouble.code().as_str(), error = %chain(trouble), records, bytes, "transcript store unavailable, keeping records");
        }
        self.paused = true;
        myself.send_after(self.backoff.next_delay(), || TranscriptWriterMsg::RetryDue);
    }
}
