//! Finishes sessions that no machine will finish, and retries summaries that failed for a passing reason.
//!
//! The reconciler claims the session as its own process would: the epoch rises, the records go the same way, and the Summarizer
//! writes the summary.

use super::{AT_ONCE, Reconcilers};
use crate::actors::journal::Journal;
use crate::actors::storing::{Storing, Trouble};
use crate::actors::summarizer::{SummaryWork, Tries, summarize};
use crate::domain::outbox::Limits;
use crate::domain::outbox_record::{Record, SummaryRecord};
use crate::domain::phase::{EndReason, Phase};
use crate::domain::refusals::Patience;
use crate::domain::transcript::{Transcript, can_be_judged};
use crate::error::{ErrorCode, Fault, chain};
use crate::ids::CallId;
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::reconcile::Unfinished;
use crate::telemetry::Trace;
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

/// Each holds a transcript and waits for a model.
const BATCH: i64 = AT_ONCE as i64;
const HANG_UP_TRIES: u32 = 2;

/// The tries of one summary and what is around it.
pub(super) const fn longest(one_answer: Duration) -> Duration {
    one_answer.saturating_mul(5)
}

/// Failures of a summary that another day may mend. What the model declines stays declined.
fn passing_reasons() -> Vec<String> {
    use ErrorCode::{
        OpenAiAnswerInvalid, OpenAiRateLimited, OpenAiSummaryFailed, OpenAiTimedOut, OpenAiUnavailable, SummaryFailed,
        SummaryInvalid, TranscriptStoreUnavailable,
    };
    [
        OpenAiUnavailable,
        OpenAiTimedOut,
        OpenAiRateLimited,
        OpenAiAnswerInvalid,
        OpenAiSummaryFailed,
        SummaryFailed,
        SummaryInvalid,
        TranscriptStoreUnavailable,
    ]
    .map(|code| code.as_str().to_owned())
    .into()
}

/// How a session was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finished {
    Whole,
    /// Perhaps another time.
    WithoutSummary,
}

impl Finished {
    fn with(summary: &SummaryRecord) -> Self {
        if summary.outcome.is_ok() { Self::Whole } else { Self::WithoutSummary }
    }
}

impl Reconcilers {
    pub(super) async fn finish_sessions(self) -> Result<(), StoreError> {
        self.finish_batch().await.map(drop)
    }

    /// How many there were.
    pub(super) async fn finish_batch(&self) -> Result<usize, StoreError> {
        let (keeper, lease) = (&self.config.keeper, longest(self.config.openai.summary_timeout()));
        let taken =
            self.store.take_unfinished(&passing_reasons(), keeper.summary_tries, keeper.summary_retry(), lease, BATCH).await?;
        let count = taken.len();
        futures_util::stream::iter(taken)
            .for_each_concurrent(AT_ONCE, |session| {
                let reconcilers = self.clone();
                async move { reconcilers.finish_one(session).await }
            })
            .await;
        Ok(count)
    }

    async fn finish_one(&self, session: Unfinished) {
        let trace = self.trace(session.id, session.traceparent.as_deref());
        let verb = if session.summary_only {
            tracing::info_span!("keeper.summarize_again", error_code = tracing::field::Empty)
        } else {
            tracing::info_span!("keeper.finish_session", error_code = tracing::field::Empty)
        };
        let span = trace.adopt(verb);
        let outcome = self.finish(&session, trace).instrument(span.clone()).await;
        let pause = match outcome {
            Ok(Finished::Whole) => Duration::ZERO,
            // Not at once again: others wait.
            Ok(Finished::WithoutSummary) => self.config.keeper.summary_retry(),
            Err(error) => {
                span.record("error_code", error.code().as_str());
                tracing::warn!(parent: &span, error_code = ErrorCode::SessionUnfinished.as_str(), session.id = %session.id, cause = error.code().as_str(), error = %chain(&error), "a session was not finished");
                self.config.keeper.lost_after()
            }
        };
        if let Err(error) = self.store.keep_for(session.id, pause).await {
            tracing::debug!(error_code = error.code().as_str(), session.id = %session.id, "the lease was not given back; it ends by itself");
        }
    }

    async fn finish(&self, session: &Unfinished, trace: Trace) -> Result<Finished, StoreError> {
        for call in &session.calls {
            self.hang_up(call).await;
        }
        let (rows, claimed) = match self.sessions.claim(self.store.tenant(), session.id).await {
            Ok(taken) => taken,
            Err(error) if error.class().is_transient() || session.summary_only => return Err(error),
            Err(error) => {
                tracing::error!(error_code = ErrorCode::SessionUnreadable.as_str(), session.id = %session.id, cause = error.code().as_str(), error = %chain(&error), "a session cannot be read, so nobody can finish it");
                self.store.fail_unreadable(session.id, error.code().as_str()).await?;
                return Ok(Finished::Whole);
            }
        };
        let work = SummaryWork {
            store: rows.clone(),
            trace,
            integrations: self.integrations.clone(),
            claimed: Arc::new(claimed),
            session_id: session.id,
            model: self.config.openai.summary_model.clone(),
            tries: Tries::of_reconcilers(self.config.keeper.summary_tries),
        };
        if session.summary_only {
            return self.summarize_again(&work).await;
        }
        let end = work.claimed.end.unwrap_or(EndReason::TimeLimit);
        let closed = |phase| {
            let at = self.integrations.clock.now().into();
            [
                Record::Call { call: None, ending: vec![], segment: 0 },
                Record::Connected(false),
                Record::Phase { phase, end: Some(end), at },
            ]
        };
        let reason = |code| Record::Summary(SummaryRecord { outcome: Err(code), model: work.model.as_str().into() });
        let said = can_be_judged(&work.claimed.entries);
        let mut finished = Finished::Whole;
        let records = if end == EndReason::MachineLost {
            let why = said.then(|| reason(ErrorCode::MachineLost.as_str()));
            why.into_iter().chain(closed(Phase::Failed)).collect()
        } else if said {
            let entered = Record::Phase { phase: Phase::Summarizing, end: Some(end), at: self.integrations.clock.now().into() };
            rows.append(&[entered]).await?;
            let summary = summarize(&work).await;
            finished = Finished::with(&summary);
            [Record::Summary(summary)].into_iter().chain(closed(Phase::Completed)).collect::<Vec<_>>()
        } else {
            closed(Phase::Completed).into()
        };
        // All of the end or nothing: whoever takes the session next does not find half of it.
        store(&work, records).await?;
        tracing::info!(session.id = %session.id, end_reason = end.as_str(), "the reconcilers finished a session");
        Ok(finished)
    }

    async fn summarize_again(&self, work: &SummaryWork) -> Result<Finished, StoreError> {
        let summary = summarize(work).await;
        let finished = Finished::with(&summary);
        tracing::info!(session.id = %work.session_id, stored = summary.outcome.is_ok(), "a summary was tried again");
        store(work, vec![Record::Summary(summary)]).await?;
        Ok(finished)
    }

    /// It may be gone with its process; then this costs one call.
    async fn hang_up(&self, call: &CallId) {
        for _ in 0..HANG_UP_TRIES {
            match self.integrations.voice.hang_up(call).await {
                Ok(_) => return,
                Err(error) if error.class().is_transient() => {
                    tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "the call was not hung up");
                }
                Err(error) => {
                    tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "the call cannot be hung up; it ends by itself");
                    return;
                }
            }
        }
    }
}

/// All at once; and without a record that the database does not take, which is set aside.
async fn store(work: &SummaryWork, records: Vec<Record>) -> Result<(), StoreError> {
    let (most, limits) = (records.len(), Limits { records: usize::MAX, bytes: usize::MAX });
    let journal = Journal::new(Transcript::default(), 0, limits, 0);
    for record in records {
        journal.record(record);
    }
    let (rows, trace) = (work.store.clone(), work.trace.clone());
    let storing = Storing { journal, rows, trace, most, patience: Patience::LAST };
    storing.drain().await.map_err(|trouble| match trouble {
        Trouble::Store(error) => error,
        Trouble::Panic => StoreError::Corrupt(trouble.to_string()),
    })
}
