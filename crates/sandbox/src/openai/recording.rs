//! Realtime client events in the ledger, beside the HTTP exchanges.

use serde_json::{Value, json};

use super::VENDOR;
use super::problem::Problem;
use crate::ledger::{Entry, Ledger};
use crate::util::now;

/// Refusals that correct clients meet too, because both sides act at the same time.
const RACES: &[&str] = &["conversation_already_has_active_response", "response_cancel_not_active", "call_id_not_found"];

/// Writes down what clients of one call send.
#[derive(Clone, Debug)]
pub struct WireLog {
    pub ledger: Ledger,
    pub call_id: String,
}

impl WireLog {
    /// As method `WS`, with status 200 or that of the refusal.
    pub fn client_event(&self, from: &str, text: &str, refusal: Option<&Problem>) {
        let request = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        if let Some(problem) = refusal {
            report(&self.ledger, &format!("{from}: {}", request["type"]), problem);
        }
        self.ledger.record(Entry {
            at: now(),
            vendor: VENDOR,
            method: "WS".to_owned(),
            path: "/v1/realtime".to_owned(),
            query: format!("call_id={}", self.call_id),
            headers: vec![("x-sandbox-from".to_owned(), from.to_owned())],
            request,
            status: refusal.map_or(200, |problem| problem.status.as_u16()),
            response: refusal.map_or(Value::Null, |problem| json!({ "error": problem.event_error(None) })),
        });
    }
}

/// A refusal is a violation, unless it is part of normal life.
pub fn report(ledger: &Ledger, what: &str, problem: &Problem) {
    let code = problem.code.as_deref().unwrap_or_default();
    if !RACES.contains(&code) {
        ledger.violation(VENDOR, format!("{what}: {} ({code})", problem.message));
    }
}
