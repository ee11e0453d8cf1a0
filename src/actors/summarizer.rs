//! Summarizer: runs once, on the stored transcript, and reports the result to the session.
//!
//! It asks the model, compares the answer with what was said, and asks again after a bad answer. Each question costs money. So
//! each is counted in the session's row before it is asked: whoever asks, and however often they crash, there are no more than
//! `keeper.summary_tries`. If there is no summary, the reason is stored and nobody waits for ever: the reconcilers run the
//! summarizer again later on the same rows.

use super::TaskGuard;
use super::messages::{SessionMsg, SummarizerMsg};
use crate::backoff::Backoff;
use crate::domain::claimed::Claimed;
use crate::domain::edge::Label;
use crate::domain::outbox_record::{Record, SummaryRecord};
use crate::domain::summary::{self, Room, Summary};
use crate::domain::usage::{Kind, Usage};
use crate::error::chain;
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::ids::SessionId;
use crate::integrations::clients::Integrations;
use crate::integrations::openai::responses::{
    Effort, IncompleteReason, ResponseError, ResponseOutcome, ResponseRequest, safety_identifier,
};
use crate::ports::Rows;
use crate::telemetry::Trace;
use futures_util::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::Instrument;
use uuid::Uuid;

pub struct Summarizer;

pub struct SummarizerState {
    broken: Arc<Notify>,
    _work: TaskGuard,
}

pub struct SummarizerArgs {
    pub session: ActorRef<SessionMsg>,
    pub work: SummaryWork,
}

/// What a summary is made of and with; the gateway's reconcilers do the same work.
#[derive(Clone, Debug)]
pub struct SummaryWork {
    pub store: Rows,
    pub trace: Trace,
    pub integrations: Arc<Integrations>,
    pub claimed: Arc<Claimed>,
    pub session_id: SessionId,
    pub model: String,
    pub tries: Tries,
}

/// How often the model may be asked.
#[derive(Clone, Copy, Debug)]
pub struct Tries {
    /// For one interview (`keeper.summary_tries`).
    pub in_all: i32,
    /// At once, while it fails for a passing reason. More room for an answer that was cut off is not counted.
    pub at_once: u32,
}

impl Tries {
    /// A session's process is in a hurry: a browser waits, and its machine ends.
    pub fn of_session(in_all: i32) -> Self {
        Self { in_all, at_once: 3 }
    }

    /// Reconcilers have time: the pauses between their tries are in the rows.
    pub fn of_reconcilers(in_all: i32) -> Self {
        Self { in_all, at_once: 1 }
    }
}

/// Longer than this the machine does not wait for the model's vendor.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

impl Actor for Summarizer {
    type Msg = SummarizerMsg;
    type State = SummarizerState;
    type Arguments = SummarizerArgs;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, args: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        // The work is a task so that the actor can be stopped at any moment; if it panics,
        // so that the tree hears of it, the actor is killed with it.
        let broken = Arc::new(Notify::new());
        let fault = broken.clone();
        let work = async move {
            let work = async {
                tokio::select! {
                    record = summarize(&args.work) => record,
                    () = fault.notified() => panic!("injected fault in summarizer"),
                }
            };
            match AssertUnwindSafe(work).catch_unwind().await {
                Ok(record) => drop(args.session.cast(SessionMsg::Summarized(Box::new(record)))),
                Err(_) => myself.kill(),
            }
        };
        Ok(SummarizerState { broken, _work: TaskGuard::spawn(work) })
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // The work breaks, not only its keeper.
            SummarizerMsg::Injected(super::Injected::Panic | super::Injected::PanicHolding) => state.broken.notify_one(),
            SummarizerMsg::Injected(hang) => hang.strike("summarizer").await,
        }
        Ok(())
    }
}

/// Ask, check, ask again within the tries; the record holds the summary or why there is none.
pub async fn summarize(args: &SummaryWork) -> SummaryRecord {
    let span = args.trace.adopt(tracing::info_span!(
        "summarizer.summarize",
        gen_ai.request.model = args.model,
        tries = tracing::field::Empty,
        error_code = tracing::field::Empty
    ));
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(8));
    let (mut tries, mut failed, mut room) = (0, 0, Room::FIRST);
    let mut reason = ErrorCode::SummaryFailed.as_str();
    let outcome = loop {
        let failure = match attempt(args, room).instrument(span.clone()).await {
            Ok(summary) => break Ok(summary),
            // All are used up: the last reason is why.
            Err(None) => break Err(reason),
            Err(Some(failure)) => failure,
        };
        tries += 1;
        reason = failure.code;
        tracing::warn!(parent: &span, error_code = reason, error = failure.told, tries, "summary attempt failed");
        match failure.next {
            Next::GiveUp => break Err(reason),
            Next::MoreRoom => match room.more() {
                Some(more) => room = more,
                None => break Err(reason),
            },
            Next::Again { after } => {
                failed += 1;
                if failed >= args.tries.at_once {
                    break Err(reason);
                }
                tokio::time::sleep(after.unwrap_or_else(|| backoff.next_delay())).await;
            }
        }
    };
    span.record("tries", tries);
    if let Err(code) = outcome {
        span.record("error_code", code);
    }
    SummaryRecord { outcome, model: args.model.as_str().into() }
}

struct Failure {
    code: &'static str,
    told: String,
    next: Next,
}

enum Next {
    GiveUp,
    Again { after: Option<Duration> },
    MoreRoom,
}

impl Failure {
    fn of(error: &(impl Fault + std::error::Error)) -> Self {
        let after = error.retry_after();
        let again = error.class() == FaultClass::Transient && after.is_none_or(|after| after <= LONGEST_RETRY_AFTER);
        let next = if again { Next::Again { after } } else { Next::GiveUp };
        Self { code: error.code().as_str(), told: chain(error), next }
    }

    fn of_answer(error: &ResponseError) -> Self {
        let cut = matches!(error, ResponseError::Incomplete { reason: IncompleteReason::MaxOutputTokens, .. });
        let failure = Self::of(error);
        if cut { Self { next: Next::MoreRoom, ..failure } } else { failure }
    }
}

/// What the answer costs, whether it can be used or not. Nobody loses a summary because it could not be counted.
async fn count_usage(args: &SummaryWork, answer: &Result<ResponseOutcome, ResponseError>) {
    let (subject, model, outcome, tokens) = match answer {
        Ok(answer) => (answer.id.clone(), answer.model.clone(), "completed", answer.tokens),
        Err(error) => {
            let Some(tokens) = error.tokens() else { return };
            // It has no name that we know.
            (Uuid::new_v4().to_string().into(), args.model.as_str().into(), error.code().as_str(), tokens)
        }
    };
    let at = args.integrations.clock.now().into();
    let (kind, outcome) = (Kind::Summary, Label::of(outcome));
    let usage = Usage { kind, subject, model, outcome, tokens, audio_ms: None, latency_ms: None, at };
    if let Err(error) = args.store.append(&[Record::Usage(usage)]).await {
        tracing::warn!(error_code = error.code().as_str(), error = chain(&error), "the cost of a summary is not stored");
    }
}

/// None: the model was asked as often as it may be.
async fn attempt(args: &SummaryWork, room: Room) -> Result<Summary, Option<Failure>> {
    let stored = args.store.entries().await.map_err(|error| Failure::of(&error))?;
    let entries: Vec<_> = stored.into_iter().filter(|entry| entry.authoritative).collect();
    let claimed = &args.claimed;
    let request = ResponseRequest {
        model: args.model.clone(),
        instructions: summary::INSTRUCTIONS.to_owned(),
        input: summary::prompt(&claimed.position_title, &claimed.competencies, &entries),
        schema_name: "interview_summary".to_owned(),
        schema: summary::schema(),
        max_output_tokens: room.tokens,
        // A summary is reading and sorting; more thought costs time and tokens.
        effort: if room.think_less { Effort::Minimal } else { Effort::Low },
        metadata: vec![("session_id".to_owned(), args.session_id.to_string())],
        safety_identifier: Some(safety_identifier(&claimed.candidate.to_string())),
    };
    if !args.store.count_summary_try(args.tries.in_all).await.map_err(|error| Failure::of(&error))? {
        return Err(None);
    }
    let answer = args.integrations.summaries.ask(&request).await;
    count_usage(args, &answer).await;
    let answer = answer.map_err(|error| Failure::of_answer(&error))?;
    match summary::check(answer.text.as_str(), &claimed.competencies, &entries) {
        Ok(checked) => {
            if checked.quotes_removed > 0 {
                tracing::warn!(
                    error_code = ErrorCode::SummaryQuoteUnverified.as_str(),
                    removed = checked.quotes_removed,
                    "removed quotes that were not said"
                );
            }
            Ok(checked.summary)
        }
        // The answer is the candidate's data: only its shape is told.
        Err(error) => {
            let (code, next) = (ErrorCode::SummaryInvalid.as_str(), Next::Again { after: None });
            Err(Some(Failure { code, told: error.to_string(), next }))
        }
    }
}
