//! TranscriptWriter: from the outbox to PostgreSQL, in batches, in order, until it is there.
//!
//! It holds nothing of its own: a batch that was not confirmed is still in the outbox when
//! the next incarnation looks.

use super::TaskGuard;
use super::journal::{Journal, Receipt};
use super::session::SessionMsg;
use crate::backoff::Backoff;
use crate::domain::protocol::{ServerEvent, Subsystem};
use crate::error::{Fault, FaultClass, chain};
use crate::integrations::outside::Rows;
use crate::integrations::store::StoreError;
use crate::mutants::planted;
use crate::telemetry::Trace;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::time::Duration;
use tracing::Instrument;

pub struct TranscriptWriter;

#[derive(Debug)]
pub enum TranscriptWriterMsg {
    /// Something waits in the outbox.
    FlushDue,
    /// Crash on purpose (sandbox only).
    Panic,
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
    /// Told the browser that storing is late.
    degraded: bool,
    /// Tries of the batch at the head that the database refused.
    refusals: u32,
    _waker: TaskGuard,
}

/// After this many refusals of the same batch its first record is set aside.
const MAX_REFUSALS: u32 = 3;

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
        while planted!(args.journal, OutboxClearedOnCrash) && args.journal.discard_first().is_some() {}
        myself.cast(TranscriptWriterMsg::FlushDue)?;
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
        Ok(TranscriptWriterState { args, backoff, degraded: false, refusals: 0, _waker: waker })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TranscriptWriterMsg::Panic => panic!("injected fault"),
            TranscriptWriterMsg::FlushDue => {
                while let Some(batch) = state.args.journal.batch(state.args.batch_records) {
                    let span = tracing::info_span!(
                        "transcript_writer.flush",
                        batch.records = batch.records.len(),
                        error_code = tracing::field::Empty
                    );
                    let span = state.args.trace.adopt(span);
                    let stored = if batch.records.is_empty() {
                        Ok(())
                    } else {
                        state.args.store.append(&batch.records).instrument(span.clone()).await
                    };
                    match stored {
                        Ok(()) => state.confirm(batch.up_to),
                        Err(error) => {
                            span.record("error_code", error.code().as_str());
                            if !state.retry_later(&error, &myself) {
                                return Ok(());
                            }
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

impl TranscriptWriterState {
    fn confirm(&mut self, up_to: u64) {
        self.backoff.reset();
        self.refusals = 0;
        if std::mem::take(&mut self.degraded) {
            self.args.journal.tell(ServerEvent::Restored { what: Subsystem::Storage });
        }
        for receipt in self.args.journal.stored(up_to) {
            match receipt {
                Receipt::ClientSeq { seq, .. } => self.args.journal.tell(ServerEvent::TranscriptAck { seq }),
                Receipt::Consents(kinds) => {
                    self.args.journal.tell(ServerEvent::ConsentRecorded { kinds: kinds.clone() });
                    let _ = self.args.session.cast(SessionMsg::ConsentsStored(kinds));
                }
                Receipt::AllStored => {
                    let _ = self.args.session.cast(SessionMsg::AllStored);
                }
            }
        }
    }

    /// True: go on at once. False: a later wake-up tries again, or never.
    fn retry_later(&mut self, error: &StoreError, myself: &ActorRef<TranscriptWriterMsg>) -> bool {
        let (records, bytes) = self.args.journal.backlog();
        match error.class() {
            FaultClass::Transient => {
                if !std::mem::replace(&mut self.degraded, true) {
                    tracing::warn!(error_code = error.code().as_str(), error = %chain(error), records, bytes, "transcript store unavailable, keeping records");
                    self.args.journal.tell(ServerEvent::Degraded { what: Subsystem::Storage });
                }
            }
            _ if matches!(error, StoreError::Fenced { .. }) => {
                tracing::error!(error_code = error.code().as_str(), "another process took this session");
                let _ = self.args.session.cast(SessionMsg::Fenced);
                return false;
            }
            _ => {
                self.refusals += 1;
                tracing::error!(error_code = error.code().as_str(), error = %chain(error), records, tries = self.refusals, "transcript store refused a batch");
                if self.refusals >= MAX_REFUSALS && !planted!(self.args.journal, PoisonBlocksAll) && self.set_first_aside() {
                    return true;
                }
            }
        }
        if planted!(self.args.journal, NoRetryOfStoring) {
            return false;
        }
        myself.send_after(self.backoff.next_delay(), || TranscriptWriterMsg::FlushDue);
        false
    }

    /// One record must not hold up all others for ever. Smaller batches find it first.
    fn set_first_aside(&mut self) -> bool {
        if self.args.batch_records > 1 {
            self.args.batch_records = 1;
            self.refusals = 0;
            return true;
        }
        self.refusals = 0;
        if let Some(record) = self.args.journal.discard_first() {
            let kind = std::mem::discriminant(&record);
            tracing::error!(error_code = "transcript_record_set_aside", record.kind = ?kind, "a record that the database never takes was set aside");
        }
        true
    }
}
