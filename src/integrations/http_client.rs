//! The one HTTP client of the process. Every vendor call goes through it: one deadline for the whole exchange, no redirects, no
//! proxies from the environment, a bounded body, and an error that says whether the vendor may have acted on the request.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use super::call_error::{BodyExcerpt, CallError, CallErrorKind, redact_secrets, truncated};
use crate::domain::edge::mend_surrogates;
use crate::error::{ErrorCode, Fault, FaultClass};

/// No vendor asks for a longer pause and means it; also keeps the arithmetic safe.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    OpenAi,
    ApiVideo,
    Fly,
    Supabase,
    /// A machine of ours, over the private network.
    Machine,
}

impl Vendor {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::ApiVideo => "api_video",
            Self::Fly => "fly",
            Self::Supabase => "supabase",
            Self::Machine => "machine",
        }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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
    let format =
        time::macros::format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
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
        // What is no text (half a character, bytes that are no UTF-8) costs its place, not the answer.
        serde_json::from_str(&mend_surrogates(&String::from_utf8_lossy(&self.body)))
            .map_err(|error| CallError::new(self.limits, CallErrorKind::Decode(error.into())).with_head(self.head.clone()))
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
#[path = "http_client_tests.rs"]
mod tests;
