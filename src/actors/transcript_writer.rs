//! TranscriptWriter: from the outbox to PostgreSQL, in batches, in order, until it is there.
//!
//! It holds nothing of its own: a batch that was not confirmed is still in the outbox when
//! the next incarnation looks. A database that is away is waited for; a record that the
//! database never takes is found by halving the batch, and set aside.

use super::TaskGuard;
use super::journal::{Journal, Receipt};
use super::session::SessionMsg;
use crate::backoff::Backoff;
use crate::domain::outbox::Batch;
use crate::domain::protocol::{ServerEvent, Subsystem, SummaryState};
use crate::domain::record::{Record, SummaryRecord};
use crate::error::{Fault, FaultClass, chain};
use crate::integrations::outside::{DeadLetter, Rows};
use crate::integrations::store::StoreError;
use crate::mutants::planted;
use crate::telemetry::Trace;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::time::Duration;
use tracing::Instrument;

pub struct TranscriptWriter;

#[derive(Debug)]
pub enum TranscriptWriterMsg {
    /// Something new waits in the outbox.
    FlushDue,
    /// The pause after a failure is over.
    RetryDue,
    /// Break on purpose (sandbox only).
    Injected(super::Injected),
}

pub struct TranscriptWriterArgs {
    pub journal: Journal,
    pub store: Rows,
    pub session: ActorRef<SessionMsg>,
    pub trace: Trace,
    pub batch_records: usize,
}

pub struct TranscriptWriterState {
    args: TranscriptWriterArgs,
    backoff: Backoff,
    /// Until the next retry nothing is tried: what is new waits with the rest.
    paused: bool,
    /// Records of the next batch, at most: small while a bad one is looked for.
    batch_records: usize,
    /// Times that the database refused the record at the head, alone.
    refusals: u32,
    _waker: TaskGuard,
}

/// What to do after a batch was not stored.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    /// A later wake-up tries again, or never.
    Pause,
}

/// A record that the database refuses as it is: it will not change its mind.
const MAX_REFUSALS: u32 = 3;
/// A statement that the database refuses: perhaps a migration is under way.
const MAX_BUG_REFUSALS: u32 = 20;

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
        if planted!(args.journal, OutboxClearedOnCrash)
            && let Some(batch) = args.journal.batch(usize::MAX)
        {
            args.journal.stored(batch.up_to);
        }
        myself.cast(TranscriptWriterMsg::FlushDue)?;
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        let batch_records = args.batch_records;
        Ok(TranscriptWriterState { args, backoff, paused: false, batch_records, refusals: 0, _waker: waker })
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
        while let Some(batch) = self.args.journal.batch(self.batch_records) {
            let Err(error) = self.store(&batch).await else {
                self.confirm(batch.up_to, None);
                continue;
            };
            if self.recover(&error, &batch, myself).await == Next::Pause {
                return;
            }
        }
    }

    async fn store(&self, batch: &Batch<Record>) -> Result<(), StoreError> {
        if batch.records.is_empty() {
            return Ok(());
        }
        let span = self.args.trace.adopt(tracing::info_span!(
            "transcript_writer.flush",
            batch.records = batch.records.len(),
            error_code = tracing::field::Empty
        ));
        let stored = self.args.store.append(&batch.records).instrument(span.clone()).await;
        if let Err(error) = &stored {
            span.record("error_code", error.code().as_str());
        }
        stored
    }

    /// `refused`: what was set aside instead.
    fn confirm(&mut self, up_to: u64, refused: Option<&Record>) {
        self.backoff.reset();
        self.refusals = 0;
        self.batch_records = (self.batch_records * 2).min(self.args.batch_records);
        if self.args.journal.restored(Subsystem::Storage) {
            tracing::info!("transcript store is back");
        }
        for receipt in self.args.journal.stored(up_to) {
            match receipt {
                Receipt::ClientSeq { seq, .. } => self.args.journal.tell(ServerEvent::TranscriptAck { seq }),
                Receipt::Consents(kinds) => {
                    self.args.journal.tell(ServerEvent::ConsentRecorded { kinds: kinds.clone() });
                    let _ = self.args.session.cast(SessionMsg::ConsentsStored(kinds));
                }
                Receipt::AllStored(number) => {
                    let _ = self.args.session.cast(SessionMsg::AllStored(number));
                }
                Receipt::Summary(summary) => {
                    let refused = matches!(refused, Some(Record::Summary(_)));
                    let summary = if refused { SummaryState::Failed } else { summary };
                    let _ = self.args.session.cast(SessionMsg::SummaryStored(summary));
                }
            }
        }
    }

    async fn recover(&mut self, error: &StoreError, batch: &Batch<Record>, myself: &ActorRef<TranscriptWriterMsg>) -> Next {
        if matches!(error, StoreError::Fenced { .. }) {
            tracing::error!(error_code = error.code().as_str(), "another process took this session");
            let _ = self.args.session.cast(SessionMsg::Fenced);
            return Next::Pause;
        }
        if error.class() == FaultClass::Transient {
            return self.wait(error, myself);
        }
        if let [record] = batch.records.as_slice() {
            self.refusals += 1;
            let patience = if error.class() == FaultClass::Bug { MAX_BUG_REFUSALS } else { MAX_REFUSALS };
            if self.refusals < patience || planted!(self.args.journal, PoisonBlocksAll) {
                return self.wait(error, myself);
            }
            return self.set_aside(record, batch.up_to - 1, error, myself).await;
        }
        // One of them is refused, or all: halves find out.
        tracing::warn!(error_code = error.code().as_str(), error = %chain(error), records = batch.records.len(), "transcript store refused a batch, looking for the record");
        self.batch_records = batch.records.len() / 2;
        Next::GoOn
    }

    fn wait(&mut self, error: &StoreError, myself: &ActorRef<TranscriptWriterMsg>) -> Next {
        if self.args.journal.degraded(Subsystem::Storage) {
            let (records, bytes) = self.args.journal.backlog();
            tracing::warn!(error_code = error.code().as_str(), error = %chain(error), records, bytes, "transcript store unavailable, keeping records");
        }
        if planted!(self.args.journal, NoRetryOfStoring) {
            return Next::Pause;
        }
        self.paused = true;
        myself.send_after(self.backoff.next_delay(), || TranscriptWriterMsg::RetryDue);
        Next::Pause
    }

    async fn set_aside(
        &mut self,
        record: &Record,
        ordinal: u64,
        refusal: &StoreError,
        myself: &ActorRef<TranscriptWriterMsg>,
    ) -> Next {
        if let Err(error) = set_aside(&self.args.store, record, ordinal, refusal).await {
            return self.wait(&error, myself);
        }
        self.confirm(ordinal + 1, Some(record));
        Next::GoOn
    }
}

/// One record must not hold up all others for ever. It leaves the outbox only when it is kept
/// elsewhere.
pub async fn set_aside(rows: &Rows, record: &Record, ordinal: u64, refusal: &StoreError) -> Result<(), StoreError> {
    rows.set_aside(DeadLetter { ordinal, record, code: refusal.code(), refusal: chain(refusal) }).await?;
    if let Record::Summary(SummaryRecord { outcome: Ok(_), model }) = record {
        // In its place the reason for none, so that nobody waits for it.
        let reason = SummaryRecord { outcome: Err(refusal.code().as_str()), model: model.clone() };
        rows.append(&[Record::Summary(reason)]).await?;
    }
    tracing::error!(error_code = "transcript_record_set_aside", error = %chain(refusal), record.kind = record.kind(), ordinal, "a record that the database never takes was set aside");
    Ok(())
}
