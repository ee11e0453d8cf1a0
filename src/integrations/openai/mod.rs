//! OpenAI: the WebRTC call (`calls`), its control connection (`sideband` with
//! `events`), and the text model that writes summaries (`responses`).

pub mod calls;
mod client_events;
mod event_fields;
pub mod events;
pub mod responses;
pub mod session_config;
pub mod session_echo;
pub mod sideband;
pub mod voice;

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Method};
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::call_error::CallError;
use super::http_client::{Answer, CallLimits, HttpClient, InvalidBaseUrl, Vendor, check_base_url, endpoint};
use crate::error::{ErrorCode, FaultClass};

#[derive(Debug, Clone)]
pub struct OpenAiOptions {
    /// With the version: `https://api.openai.com/v1`.
    pub base_url: Url,
    /// The project key. Call and sideband must use the same one.
    pub api_key: SecretString,
    pub call_deadline: Duration,
    pub hang_up_deadline: Duration,
    /// OpenAI was seen to hold a doomed handshake for 5.5 s before refusing it.
    pub handshake_deadline: Duration,
    /// For one frame to leave this process.
    pub write_deadline: Duration,
    /// With a ping every 20 s, two missed answers and some slack.
    pub silence_deadline: Duration,
    pub response_deadline: Duration,
}

impl OpenAiOptions {
    pub fn new(base_url: Url, api_key: SecretString) -> Self {
        Self {
            base_url,
            api_key,
            call_deadline: Duration::from_secs(10),
            hang_up_deadline: Duration::from_secs(5),
            handshake_deadline: Duration::from_secs(8),
            write_deadline: Duration::from_secs(5),
            silence_deadline: Duration::from_secs(50),
            response_deadline: Duration::from_mins(2),
        }
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct OpenAiClient {
    http: HttpClient,
    options: Arc<OpenAiOptions>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenAiOptionsError {
    #[error("openai base url")]
    BaseUrl(#[source] InvalidBaseUrl),
    #[error("the openai key is empty or holds characters a header cannot carry")]
    ApiKey,
}

impl OpenAiClient {
    pub fn new(http: HttpClient, options: OpenAiOptions) -> Result<Self, OpenAiOptionsError> {
        check_base_url(&options.base_url).map_err(OpenAiOptionsError::BaseUrl)?;
        let client = Self { http, options: Arc::new(options) };
        client.authorization().ok_or(OpenAiOptionsError::ApiKey)?;
        Ok(client)
    }

    /// `None` only for a key that [`OpenAiClient::new`] refuses.
    fn authorization(&self) -> Option<HeaderValue> {
        let key = self.options.api_key.expose_secret().trim();
        if key.is_empty() {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn post(&self, segments: &[&str]) -> RequestBuilder {
        let mut request = self
            .http
            .request(Method::POST, endpoint(&self.options.base_url, segments))
            // Lets OpenAI's support find a request whose answer never came.
            .header("x-client-request-id", Uuid::new_v4().to_string());
        if let Some(value) = self.authorization() {
            request = request.header(AUTHORIZATION, value);
        }
        request
    }

    fn limits(action: &'static str, deadline: Duration, max_body_bytes: usize) -> CallLimits {
        CallLimits { vendor: Vendor::OpenAi, action, deadline, max_body_bytes }
    }
}

/// `{"error":{"type","code","message","param"}}`; all may be empty or absent.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error: ErrorFields,
}

#[derive(Debug, Default, Deserialize)]
struct ErrorFields {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// Codes by which OpenAI says that the account itself is the problem: retrying or
/// dialling again cannot help.
pub(crate) fn is_account_code(code: &str) -> bool {
    matches!(
        code,
        "insufficient_quota"
            | "credit_balance_exhausted"
            | "billing_hard_limit_reached"
            | "billing_not_active"
            | "account_deactivated"
            | "access_terminated"
    )
}

/// Reads an error answer: the body's code first, then the status, then OpenAI's
/// own advice on retrying.
fn judge(answer: &Answer) -> CallError {
    let fields = serde_json::from_slice::<ErrorBody>(&answer.body).unwrap_or_default().error;
    let code = [&fields.code, &fields.kind].into_iter().flatten().find(|text| !text.is_empty());
    let failure = answer.failure(code.map(String::as_str));
    let is = |wanted: fn(&str) -> bool| [&fields.code, &fields.kind].into_iter().flatten().any(|text| wanted(text));

    if is(is_account_code) {
        return failure.judged(FaultClass::Rejected, ErrorCode::OpenAiQuotaExhausted);
    }
    if is(|text| text == "invalid_api_key") {
        return failure.judged(FaultClass::Rejected, ErrorCode::OpenAiUnauthorized);
    }
    if is(|text| matches!(text, "model_not_found" | "model_not_available")) {
        return failure.judged(FaultClass::Rejected, ErrorCode::OpenAiModelUnavailable);
    }
    if answer.status().as_u16() == 400 && is_offer_problem(&fields) {
        return failure.judged(FaultClass::Client, ErrorCode::OpenAiOfferRefused);
    }
    with_retry_advice(answer, failure)
}

/// OpenAI's own SDKs put `x-should-retry` above the status.
fn with_retry_advice(answer: &Answer, failure: CallError) -> CallError {
    use crate::error::Fault;
    let (class, code) = (failure.class(), failure.code());
    match answer.head.header("x-should-retry") {
        Some("true") => failure.judged(FaultClass::Transient, code),
        Some("false") if class.is_transient() => failure.judged(FaultClass::Rejected, code),
        _ => failure,
    }
}

fn is_offer_problem(fields: &ErrorFields) -> bool {
    if fields.code.as_deref() == Some("invalid_offer") {
        return true;
    }
    let message = fields.message.as_deref().unwrap_or_default();
    message.contains("SDP") || message.contains("WHIP") || message.contains("parse offer")
}
