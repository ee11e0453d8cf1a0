//! From the outbox to the database, one batch at a time. The writer uses it, and the process for its last flush.
//!
//! It holds no state: what waits, and what is known about it, is in the journal. [`crate::domain::refusals`] decides what a
//! failure means; this code tries it. A panic in storing is a failure like any other: after the second one in a row it costs
//! the record that causes it, and never the actor that stores.

use super::journal::Journal;
use crate::domain::edge::Text;
use crate::domain::outbox::Batch;
use crate::domain::outbox_record::Record;
use crate::domain::refusals::{Failure, Patience, Refusals, Step, Taken};
use crate::error::{ErrorCode, Fault, FaultClass, chain};
use crate::integrations::store::StoreError;
use crate::ports::{DeadLetter, Rows};
use crate::telemetry::Trace;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use tracing::Instrument;

#[derive(Clone, Debug)]
pub struct Storing {
    pub journal: Journal,
    pub rows: Rows,
    pub trace: Trace,
    /// Records of a batch, at most.
    pub most: usize,
    pub patience: Patience,
}

#[derive(Debug)]
pub enum Progress {
    /// Nothing waits.
    Idle,
    /// All below this are stored: hand it to [`Journal::stored`]. Of what was set aside instead, the kind.
    Done { up_to: u64, set_aside: Option<&'static str> },
    /// Something was learned: go on at once.
    Again,
    /// Try again after a pause.
    Later(Trouble),
    /// Another process has this session.
    Fenced(Trouble),
}

/// Why something was not stored.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    // Not with the panic's own text: it may hold a candidate's words.
    #[error("a panic while it was stored")]
    Panic,
}

impl Trouble {
    fn failure(&self) -> Failure {
        match self {
            Self::Store(error) => error.failure(),
            Self::Panic => Failure::Broke,
        }
    }

    /// The database's own code, or ours: no words of anybody.
    fn cause(&self) -> &str {
        let state = if let Self::Store(error) = self { error.sql_state() } else { None };
        state.unwrap_or(self.code().as_str())
    }
}

impl Fault for Trouble {
    fn class(&self) -> FaultClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Panic => FaultClass::Bug,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Store(error) => error.code(),
            Self::Panic => ErrorCode::InternalFailure,
        }
    }
}

/// Records behind the head of the queue that may be tried as its neighbours.
const NEIGHBOURS: usize = 32;

impl Storing {
    /// Store the oldest batch, or find out a little more about what is in its way.
    pub async fn step(&self) -> Progress {
        let Some(batch) = self.journal.batch(self.journal.refusals(|known| known.batch(self.most))) else {
            return Progress::Idle;
        };
        let trouble = match self.store(&batch.records).await {
            Ok(()) => {
                self.journal.refusals(|known| known.stored(batch.records.iter().map(Record::kind), self.most));
                return Progress::Done { up_to: batch.up_to, set_aside: None };
            }
            Err(trouble @ Trouble::Store(StoreError::Fenced { .. })) => return Progress::Fenced(trouble),
            Err(trouble) => trouble,
        };
        match self.judge(&trouble, &batch).await {
            Step::Wait | Step::Probe => Progress::Later(trouble),
            Step::Again => Progress::Again,
            Step::Halve => {
                tracing::warn!(error_code = trouble.code().as_str(), error = %chain(&trouble), records = batch.records.len(), "transcript store refused a batch, looking for the record");
                Progress::Again
            }
            Step::SetAside | Step::GiveUp => self.part_with(trouble, &batch).await,
        }
    }

    /// Store all that waits, as long as there is something to win at once.
    pub async fn drain(&self) -> Result<(), Trouble> {
        loop {
            match self.step().await {
                Progress::Idle => return Ok(()),
                Progress::Done { up_to, .. } => drop(self.journal.stored(up_to)),
                Progress::Again => {}
                Progress::Later(trouble) | Progress::Fenced(trouble) => return Err(trouble),
            }
        }
    }

    async fn store(&self, records: &[Record]) -> Result<(), Trouble> {
        if records.is_empty() {
            return Ok(());
        }
        let span = self.trace.adopt(tracing::info_span!(
            "transcript_writer.flush",
            batch.records = records.len(),
            error_code = tracing::field::Empty
        ));
        let stored = whole(self.rows.append(records)).instrument(span.clone()).await;
        if let Err(trouble) = &stored {
            span.record("error_code", trouble.code().as_str());
        }
        stored
    }

    async fn judge(&self, trouble: &Trouble, batch: &Batch<Record>) -> Step {
        let (records, patience) = (batch.records.len(), self.patience);
        let step = self.journal.refusals(|known| known.failed(trouble.failure(), records, patience));
        if step != Step::Probe {
            return step;
        }
        let kind = batch.records.first().map_or("", Record::kind);
        let taken = if records == 1 && self.takes_a_neighbour(kind).await { Taken::Neighbour } else { self.takes_empty().await };
        self.journal.refusals(|known| known.probed(taken, records, kind, patience))
    }

    /// Whether the database would take a record of this kind from behind the head.
    async fn takes_a_neighbour(&self, kind: &str) -> bool {
        let records = self.journal.batch(NEIGHBOURS + 1).map_or_else(Vec::new, |batch| batch.records);
        let neighbours: Vec<&Record> = records.iter().skip(1).filter(|record| record.kind() == kind).collect();
        let turn = self.journal.refusals(|known| known.turn(neighbours.len()));
        let Some(neighbour) = neighbours.get(turn) else { return false };
        whole(self.rows.rehearse(std::slice::from_ref(*neighbour))).await.is_ok()
    }

    /// Committed, unlike a rehearsal: a database on which commits hang is away.
    async fn takes_empty(&self) -> Taken {
        if whole(self.rows.append(&[])).await.is_ok() { Taken::Empty } else { Taken::Nothing }
    }

    /// One record must not hold up all others for ever. It leaves the outbox when it is kept
    /// elsewhere, or when that is refused as finally as it was itself.
    async fn part_with(&self, trouble: Trouble, batch: &Batch<Record>) -> Progress {
        let [record] = batch.records.as_slice() else { return Progress::Later(trouble) };
        let (kind, ordinal, cause) = (record.kind(), batch.up_to - 1, trouble.cause());
        let refusal = Text::bounded(chain(&trouble), MAX_REFUSAL_BYTES);
        let letter = DeadLetter { ordinal, record, code: trouble.code(), refusal };
        let Err(refused) = whole(self.rows.set_aside(letter)).await else {
            tracing::error!(error_code = ErrorCode::TranscriptRecordSetAside.as_str(), %cause, record.kind = kind, ordinal, "a record that the database does not take was set aside");
            self.journal.refusals(Refusals::was_set_aside);
            return self.without(record, batch);
        };
        let taken = self.takes_empty().await;
        let step = self.journal.refusals(|known| known.letter_failed(refused.failure(), taken, self.patience));
        if step != Step::GiveUp {
            return Progress::Later(refused);
        }
        tracing::error!(error_code = ErrorCode::TranscriptRecordLost.as_str(), %cause, letter_cause = %refused.cause(), record.kind = kind, ordinal, "a record can be stored nowhere; the others go on without it");
        self.journal.refusals(Refusals::was_lost);
        self.without(record, batch)
    }

    fn without(&self, record: &Record, batch: &Batch<Record>) -> Progress {
        if let Some(instead) = record.when_set_aside() {
            self.journal.record(instead);
        }
        Progress::Done { up_to: batch.up_to, set_aside: Some(record.kind()) }
    }
}

/// What the database says about one record is short.
const MAX_REFUSAL_BYTES: usize = 2_000;

/// `work`, of which a panic is one more way to fail. What it held is dropped, as when it is given up.
async fn whole(work: impl Future<Output = Result<(), StoreError>>) -> Result<(), Trouble> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Trouble::Panic),
    }
}
