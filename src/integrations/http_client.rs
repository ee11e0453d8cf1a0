//! The one HTTP client of the process. Every vendor call goes through it: one deadline for the whole exchange, no redirects, no
//! proxies from the environment, a bounded body, and an error that says whether the vendor may have acted on the request.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use super::call_error::{BodyExcerpt, CallError, CallErrorKind, redact_secrets, truncated};
pub use super::vendor_call::{CallLimits, Head, Vendor};
use crate::domain::edge::mend_surrogates;
use crate::error::{ErrorCode, Fault, FaultClass};

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

// Headers may hold tokens (`set-cookie`, `location`), so only the status prints.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)
    }
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
