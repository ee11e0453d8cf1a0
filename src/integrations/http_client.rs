//! The one HTTP client of the process and the way every vendor call goes through
//! it: one deadline for the whole exchange, no redirects, no proxies from the
//! environment, a bounded body, and an error that says whether the vendor may
//! have acted on the request.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use crate::error::{ErrorCode, Fault, FaultClass};

/// Enough of an error body to see what happened.
const EXCERPT_BYTES: usize = 2 * 1024;
/// No vendor asks for a longer pause and means it; also keeps the arithmetic safe.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    OpenAi,
    ApiVideo,
    Fly,
    Supabase,
}

impl Vendor {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::ApiVideo => "api_video",
            Self::Fly => "fly",
            Self::Supabase => "supabase",
        }
    }

    const fn codes(self) -> VendorCodes {
        use ErrorCode as C;
        let (unauthorized, rate_limited, unavailable, timed_out, request_invalid, answer_invalid) =
            match self {
                Self::OpenAi => (
                    C::OpenAiUnauthorized,
                    C::OpenAiRateLimited,
                    C::OpenAiUnavailable,
                    C::OpenAiTimedOut,
                    C::OpenAiRequestInvalid,
                    C::OpenAiAnswerInvalid,
                ),
                Self::ApiVideo => (
                    C::ApiVideoUnauthorized,
                    C::ApiVideoRateLimited,
                    C::ApiVideoUnavailable,
                    C::ApiVideoTimedOut,
                    C::ApiVideoRequestInvalid,
                    C::ApiVideoAnswerInvalid,
                ),
                Self::Fly => (
                    C::FlyUnauthorized,
                    C::FlyRateLimited,
                    C::FlyUnavailable,
                    C::FlyTimedOut,
                    C::FlyRequestInvalid,
                    C::FlyAnswerInvalid,
                ),
                Self::Supabase => (
                    C::JwksUnavailable,
                    C::JwksUnavailable,
                    C::JwksUnavailable,
                    C::JwksUnavailable,
                    C::JwksUnavailable,
                    C::JwksUnavailable,
                ),
            };
        VendorCodes { unauthorized, rate_limited, unavailable, timed_out, request_invalid, answer_invalid }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

/// How one call may behave.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    pub vendor: Vendor,
    /// Names the call in logs: `create_call`, `destroy_machine`.
    pub action: &'static str,
    /// For everything: resolving, connecting, sending, waiting, reading the body.
    pub deadline: Duration,
    pub max_body_bytes: usize,
}

#[derive(Debug, Clone)]
pub struct HttpClientOptions {
    pub user_agent: String,
    pub connect_timeout: Duration,
    /// Idle connections are closed after this long, before a middlebox forgets them.
    pub pool_idle_timeout: Duration,
}

impl Default for HttpClientOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("interview-runtime/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(5),
            pool_idle_timeout: Duration::from_secs(30),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("build the http client")]
pub struct BuildHttpClientError(#[from] reqwest::Error);

impl Fault for BuildHttpClientError {
    fn class(&self) -> FaultClass {
        FaultClass::Rejected
    }

    fn code(&self) -> ErrorCode {
        ErrorCode::ConfigInvalid
    }
}

/// Cheap to clone; all clones share one connection pool.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
}

impl HttpClient {
    pub fn new(options: &HttpClientOptions) -> Result<Self, BuildHttpClientError> {
        let client = reqwest::Client::builder()
            .user_agent(&options.user_agent)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(options.pool_idle_timeout)
            .pool_max_idle_per_host(4)
            .tcp_nodelay(true)
            // A redirect of a vendor's API is a mistake; following it would carry
            // our key to another place.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A proxy variable left in an environment must not see interviews.
            .no_proxy()
            // Actors own retries: a hidden one could open a second billed call.
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Self { client })
    }

    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends one request and reads the whole answer, whatever its status. The
    /// vendor's module judges the status; see [`Answer::failure`].
    pub async fn send(&self, limits: CallLimits, request: RequestBuilder) -> Result<Answer, CallError> {
        let started = Instant::now();
        let result = self.exchange(limits, request).await;
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(answer) => tracing::debug!(
                vendor = limits.vendor.as_str(),
                action = limits.action,
                status = answer.head.status.as_u16(),
                request_id = answer.head.request_id(),
                elapsed_ms,
                "vendor answered"
            ),
            Err(error) => tracing::debug!(
                vendor = limits.vendor.as_str(),
                action = limits.action,
                error_code = error.code().as_str(),
                request_id = error.request_id(),
                elapsed_ms,
                "vendor call failed"
            ),
        }
        result
    }

    async fn exchange(&self, limits: CallLimits, request: RequestBuilder) -> Result<Answer, CallError> {
        let deadline = Instant::now() + limits.deadline;
        let mut response = match tokio::time::timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(CallError::from_transport(limits, error)),
            Err(_) => return Err(CallError::new(limits, CallErrorKind::TimedOut)),
        };
        let head = Head { status: response.status(), headers: std::mem::take(response.headers_mut()) };

        let announced = response.content_length().unwrap_or(0);
        if announced > limits.max_body_bytes as u64 {
            return Err(CallError::new(limits, CallErrorKind::BodyTooLarge).with_head(head));
        }
        let mut body = BytesMut::with_capacity(announced as usize);
        loop {
            match tokio::time::timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() > limits.max_body_bytes => {
                    return Err(CallError::new(limits, CallErrorKind::BodyTooLarge).with_head(head));
                }
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    let kind = CallErrorKind::BodyLost(error.without_url());
                    return Err(CallError::new(limits, kind).with_head(head));
                }
                Err(_) => return Err(CallError::new(limits, CallErrorKind::TimedOut).with_head(head)),
            }
        }
        Ok(Answer { limits, head, body: body.freeze() })
    }
}

/// Status and headers of an answer.
#[derive(Clone)]
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The vendor's own name for this exchange; support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        ["x-request-id", "fly-request-id", "sb-request-id", "cf-ray"].iter().find_map(|name| self.header(name))
    }

    /// Understands `retry-after-ms`, `retry-after` in seconds or as a date, and
    /// the header api.video uses instead.
    pub fn retry_after(&self) -> Option<Duration> {
        let milliseconds = self.header("retry-after-ms").and_then(|v| v.trim().parse::<f64>().ok());
        if let Some(duration) = milliseconds.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()) {
            return Some(duration.min(LONGEST_RETRY_AFTER));
        }
        let value = self.header("retry-after").or_else(|| self.header("x-ratelimit-retry-after"))?.trim();
        let duration = match value.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
            Err(_) => until_http_date(value)?,
        };
        Some(duration.min(LONGEST_RETRY_AFTER))
    }
}

// Headers may hold tokens (`set-cookie`, `location`), so only the status prints.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)
    }
}

fn until_http_date(text: &str) -> Option<Duration> {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let at = time::PrimitiveDateTime::parse(text, &format).ok()?.assume_utc();
    Some(SystemTime::from(at).duration_since(SystemTime::now()).unwrap_or_default())
}

/// A complete answer, of any status.
#[derive(Debug)]
pub struct Answer {
    limits: CallLimits,
    pub head: Head,
    pub body: Bytes,
}

impl Answer {
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| CallError::new(self.limits, CallErrorKind::Decode(error)).with_head(self.head.clone()))
    }

    /// The answer as a failure, judged by its status alone. Vendor modules look at
    /// the body first and refine this with [`CallError::judged`].
    pub fn failure(&self, vendor_code: Option<&str>) -> CallError {
        let kind = CallErrorKind::Status {
            status: self.head.status,
            vendor_code: vendor_code.map(|code| redact_secrets(truncated(code, 128))),
            excerpt: BodyExcerpt::new(&self.body),
        };
        CallError::new(self.limits, kind).with_head(self.head.clone())
    }

    /// The answer has the right status but not the content we rely on.
    pub fn unexpected(&self, what: &'static str) -> CallError {
        CallError::new(self.limits, CallErrorKind::Unexpected(what)).with_head(self.head.clone())
    }
}

/// Up to 2 KiB of an error body with secret-looking words blanked. It does not
/// print by itself, since a vendor may echo what a candidate said.
#[derive(Clone)]
pub struct BodyExcerpt(String);

impl BodyExcerpt {
    fn new(body: &[u8]) -> Self {
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

fn truncated(text: &str, limit: usize) -> &str {
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

#[derive(Debug)]
pub enum CallErrorKind {
    /// No connection came about: the vendor has not seen the request.
    Connect(reqwest::Error),
    /// The request could not even be built.
    Build(reqwest::Error),
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
    Decode(serde_json::Error),
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
    pub(crate) fn new(limits: CallLimits, kind: CallErrorKind) -> Self {
        let (class, code) = classify(limits.vendor, &kind);
        Self { vendor: limits.vendor, action: limits.action, kind: Box::new(kind), head: None, class, code }
    }

    fn from_transport(limits: CallLimits, error: reqwest::Error) -> Self {
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

    fn with_head(mut self, head: Head) -> Self {
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
            CallErrorKind::Connect(_) | CallErrorKind::Build(_) => false,
            CallErrorKind::Status { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            _ => true,
        }
    }
}

fn classify(vendor: Vendor, kind: &CallErrorKind) -> (FaultClass, ErrorCode) {
    let codes = vendor.codes();
    match kind {
        CallErrorKind::Connect(_) | CallErrorKind::Broken(_) | CallErrorKind::BodyLost(_) => {
            (FaultClass::Transient, codes.unavailable)
        }
        CallErrorKind::TimedOut => (FaultClass::Transient, codes.timed_out),
        CallErrorKind::Build(_) => (FaultClass::Bug, codes.request_invalid),
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
            CallErrorKind::Connect(_) => f.write_str("could not connect"),
            CallErrorKind::Build(_) => f.write_str("could not build the request"),
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
            .finish()
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            CallErrorKind::Connect(error)
            | CallErrorKind::Build(error)
            | CallErrorKind::Broken(error)
            | CallErrorKind::BodyLost(error) => Some(error),
            CallErrorKind::Decode(error) => Some(error),
            _ => None,
        }
    }
}

/// `base` with path segments appended; each segment is escaped, so that no id can
/// climb out of its place.
pub(crate) fn endpoint(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Options are checked once, so that a wrong base URL is found at start.
pub fn check_base_url(url: &Url) -> Result<(), InvalidBaseUrl> {
    let usable = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if usable { Ok(()) } else { Err(InvalidBaseUrl) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a base url must be http or https, without user, query or fragment")]
pub struct InvalidBaseUrl;

#[cfg(test)]
mod tests;
