//! The failures of one vendor call, classified once.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::vendor_call::{CallLimits, Head, Vendor};
use crate::error::{ErrorCode, Fault, FaultClass};

/// Enough of an error body to see what happened.
const EXCERPT_BYTES: usize = 2 * 1024;

/// Up to 2 KiB of an error body with secret-looking words blanked. It does not
/// print by itself, since a vendor may echo what a candidate said.
#[derive(Clone)]
pub struct BodyExcerpt(String);

impl BodyExcerpt {
    pub fn new(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES)]);
        Self(redact_secrets(truncated(&text, EXCERPT_BYTES)))
    }

    /// For a person who debugs one call; do not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BodyExcerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

pub(crate) fn truncated(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Vendors echo parts of a refused key; this blanks every word that looks like one.
pub(crate) fn redact_secrets(text: &str) -> String {
    const PREFIXES: [&str; 9] = ["sk-", "sk_", "ek_", "sb_", "fm1r_", "fm1a_", "fm2_", "eyJ", "Bearer"];
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.+/=*,".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        let secret = is_word(first) && PREFIXES.iter().any(|prefix| run.contains(prefix) && run != "Bearer");
        out.push_str(if secret { "[redacted]" } else { run });
        rest = tail;
    }
    out
}

/// Where an answer stops being what we expect. Serde's own message would quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the expected json at line {line}, column {column}")]
pub struct Misfit {
    pub line: usize,
    pub column: usize,
}

impl From<serde_json::Error> for Misfit {
    fn from(error: serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }
}

#[derive(Debug)]
pub enum CallErrorKind {
    /// Not sent: too many of ours wait for their turn already.
    Held,
    /// No connection came about: the vendor has not seen the request.
    Connect(reqwest::Error),
    /// The request could not even be built.
    Build(reqwest::Error),
    Encode(serde_json::Error),
    /// The connection broke after the request may have been sent.
    Broken(reqwest::Error),
    TimedOut,
    /// The answer's headers arrived, its body did not.
    BodyLost(reqwest::Error),
    BodyTooLarge,
    Status {
        status: StatusCode,
        /// The vendor's own error code from the body, if it has one.
        vendor_code: Option<String>,
        excerpt: BodyExcerpt,
    },
    Decode(Misfit),
    Unexpected(&'static str),
}

/// One vendor call that did not give what was asked for.
pub struct CallError {
    pub vendor: Vendor,
    pub action: &'static str,
    kind: Box<CallErrorKind>,
    head: Option<Box<Head>>,
    class: FaultClass,
    code: ErrorCode,
}

impl CallError {
    pub fn new(limits: CallLimits, kind: CallErrorKind) -> Self {
        let (class, code) = classify(limits.vendor, &kind);
        Self { vendor: limits.vendor, action: limits.action, kind: Box::new(kind), head: None, class, code }
    }

    pub(crate) fn from_transport(limits: CallLimits, error: reqwest::Error) -> Self {
        // The URL may hold an upload token or a call id.
        let error = error.without_url();
        let kind = if error.is_connect() {
            CallErrorKind::Connect(error)
        } else if error.is_builder() {
            CallErrorKind::Build(error)
        } else if error.is_timeout() {
            CallErrorKind::TimedOut
        } else {
            CallErrorKind::Broken(error)
        };
        Self::new(limits, kind)
    }

    pub fn with_head(mut self, head: Head) -> Self {
        self.head = Some(Box::new(head));
        self
    }

    /// Replaces the judgement made from the status by a vendor's own knowledge.
    pub(crate) fn judged(mut self, class: FaultClass, code: ErrorCode) -> Self {
        self.class = class;
        self.code = code;
        self
    }

    pub fn kind(&self) -> &CallErrorKind {
        &self.kind
    }

    pub fn head(&self) -> Option<&Head> {
        self.head.as_deref()
    }

    pub fn status(&self) -> Option<StatusCode> {
        self.head.as_ref().map(|head| head.status)
    }

    pub fn request_id(&self) -> Option<&str> {
        self.head.as_ref().and_then(|head| head.request_id())
    }

    pub fn vendor_code(&self) -> Option<&str> {
        match self.kind() {
            CallErrorKind::Status { vendor_code, .. } => vendor_code.as_deref(),
            _ => None,
        }
    }

    pub fn excerpt(&self) -> Option<&BodyExcerpt> {
        match self.kind() {
            CallErrorKind::Status { excerpt, .. } => Some(excerpt),
            _ => None,
        }
    }

    /// True unless it is certain that the vendor did not act on the request. A
    /// call that is not idempotent must then look before it repeats.
    pub fn may_have_happened(&self) -> bool {
        match self.kind() {
            CallErrorKind::Held | CallErrorKind::Connect(_) | CallErrorKind::Build(_) | CallErrorKind::Encode(_) => false,
            CallErrorKind::Status { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            _ => true,
        }
    }
}

fn classify(vendor: Vendor, kind: &CallErrorKind) -> (FaultClass, ErrorCode) {
    let codes = VendorCodes::of(vendor);
    match kind {
        CallErrorKind::Connect(_) | CallErrorKind::Broken(_) | CallErrorKind::BodyLost(_) => {
            (FaultClass::Transient, codes.unavailable)
        }
        CallErrorKind::TimedOut => (FaultClass::Transient, codes.timed_out),
        CallErrorKind::Held => (FaultClass::Transient, codes.rate_limited),
        CallErrorKind::Build(_) | CallErrorKind::Encode(_) => (FaultClass::Bug, codes.request_invalid),
        CallErrorKind::BodyTooLarge => (FaultClass::Rejected, codes.answer_invalid),
        // A gateway's HTML page in place of JSON passes; so this is worth a retry.
        CallErrorKind::Decode(_) | CallErrorKind::Unexpected(_) => (FaultClass::Transient, codes.answer_invalid),
        CallErrorKind::Status { status, .. } => match status.as_u16() {
            401 | 403 => (FaultClass::Rejected, codes.unauthorized),
            429 => (FaultClass::Transient, codes.rate_limited),
            408 | 409 | 500..=599 => (FaultClass::Transient, codes.unavailable),
            400..=499 => (FaultClass::Bug, codes.request_invalid),
            // 1xx to 3xx that the caller did not expect: redirects, mostly.
            _ => (FaultClass::Rejected, codes.answer_invalid),
        },
    }
}

impl Fault for CallError {
    fn class(&self) -> FaultClass {
        self.class
    }

    fn code(&self) -> ErrorCode {
        self.code
    }

    fn retry_after(&self) -> Option<Duration> {
        self.head.as_ref().and_then(|head| head.retry_after())
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.vendor, self.action)?;
        match self.kind() {
            CallErrorKind::Held => f.write_str("too many are waiting for their turn"),
            CallErrorKind::Connect(_) => f.write_str("could not connect"),
            CallErrorKind::Build(_) | CallErrorKind::Encode(_) => f.write_str("could not build the request"),
            CallErrorKind::Broken(_) => f.write_str("the connection broke"),
            CallErrorKind::TimedOut => f.write_str("no answer within the deadline"),
            CallErrorKind::BodyLost(_) => f.write_str("the answer broke off"),
            CallErrorKind::BodyTooLarge => f.write_str("the answer is too large"),
            CallErrorKind::Status { status, vendor_code: Some(code), .. } => {
                write!(f, "status {} ({code})", status.as_u16())
            }
            CallErrorKind::Status { status, .. } => write!(f, "status {}", status.as_u16()),
            CallErrorKind::Decode(_) => f.write_str("the answer cannot be decoded"),
            CallErrorKind::Unexpected(what) => f.write_str(what),
        }
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallError")
            .field("vendor", &self.vendor)
            .field("action", &self.action)
            .field("kind", &self.kind)
            .field("code", &self.code)
            .field("class", &self.class)
            .field("request_id", &self.request_id())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            CallErrorKind::Connect(error)
            | CallErrorKind::Build(error)
            | CallErrorKind::Broken(error)
            | CallErrorKind::BodyLost(error) => Some(error),
            CallErrorKind::Decode(misfit) => Some(misfit),
            CallErrorKind::Encode(error) => Some(error),
            _ => None,
        }
    }
}

struct VendorCodes {
    unauthorized: ErrorCode,
    rate_limited: ErrorCode,
    unavailable: ErrorCode,
    timed_out: ErrorCode,
    request_invalid: ErrorCode,
    answer_invalid: ErrorCode,
}

impl VendorCodes {
    const fn of(vendor: Vendor) -> Self {
        use ErrorCode as C;
        let (unauthorized, rate_limited, unavailable, timed_out, request_invalid, answer_invalid) = match vendor {
            Vendor::OpenAi => (
                C::OpenAiUnauthorized,
                C::OpenAiRateLimited,
                C::OpenAiUnavailable,
                C::OpenAiTimedOut,
                C::OpenAiRequestInvalid,
                C::OpenAiAnswerInvalid,
            ),
            Vendor::ApiVideo => (
                C::ApiVideoUnauthorized,
                C::ApiVideoRateLimited,
                C::ApiVideoUnavailable,
                C::ApiVideoTimedOut,
                C::ApiVideoRequestInvalid,
                C::ApiVideoAnswerInvalid,
            ),
            Vendor::Fly => (
                C::FlyUnauthorized,
                C::FlyRateLimited,
                C::FlyUnavailable,
                C::FlyTimedOut,
                C::FlyRequestInvalid,
                C::FlyAnswerInvalid,
            ),
            Vendor::Supabase => (
                C::JwksUnavailable,
                C::JwksUnavailable,
                C::JwksUnavailable,
                C::JwksUnavailable,
                C::JwksUnavailable,
                C::JwksUnavailable,
            ),
            Vendor::Machine => (
                C::AssignmentRefused,
                C::MachineUnreachable,
                C::MachineUnreachable,
                C::MachineUnreachable,
                C::MachineUnreachable,
                C::MachineUnreachable,
            ),
        };
        Self { unauthorized, rate_limited, unavailable, timed_out, request_invalid, answer_invalid }
    }
}

#[cfg(test)]
#[path = "call_error_tests.rs"]
mod tests;
