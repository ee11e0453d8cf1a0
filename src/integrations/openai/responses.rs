//! The Responses API: one request, one structured text.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event_fields::{TokenDetails, lenient, lenient_list, lenient_number};
pub use super::session_config::Effort;
use super::session_config::Reasoning;
use super::{OpenAiClient, is_account_code, judge};
use crate::domain::edge::Text;
use crate::domain::usage::Tokens;
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::integrations::Redacted;
use crate::integrations::call_error::{CallError, CallErrorKind};

const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Of a name that the provider gives to something.
const MAX_NAME_BYTES: usize = 128;

/// Without `Debug`: the input is what a candidate said.
#[derive(Clone)]
pub struct ResponseRequest {
    pub model: String,
    pub instructions: String,
    pub input: String,
    /// Up to 64 of `A-Za-z0-9_-`.
    pub schema_name: String,
    /// The answer's shape; every property required, no additional ones.
    pub schema: Value,
    /// Includes reasoning tokens.
    pub max_output_tokens: u32,
    pub effort: Effort,
    pub metadata: Vec<(String, String)>,
    /// See [`safety_identifier`].
    pub safety_identifier: Option<String>,
}

/// Stands for a person towards OpenAI without telling who it is.
pub fn safety_identifier(id: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, id.as_bytes()).as_ref())
}

#[derive(Debug, Clone)]
pub struct ResponseOutcome {
    pub id: Text,
    /// The model that answered, which may be a dated version of the one asked for.
    pub model: Text,
    pub text: Redacted,
    pub request_id: Option<String>,
    pub tokens: Tokens,
}

#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    #[error("ask the model")]
    Call(#[source] CallError),
    #[error("the model refused to answer")]
    Refused { refusal: Redacted, tokens: Tokens },
    #[error("the answer was cut off ({})", reason.as_str())]
    Incomplete { reason: IncompleteReason, tokens: Tokens },
    #[error("the model failed ({code})")]
    Failed { code: String },
    #[error("the answer holds no text (status {status})")]
    Empty { status: String, tokens: Tokens },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncompleteReason {
    /// Ask again with a larger limit.
    MaxOutputTokens,
    ContentFilter,
    #[default]
    #[serde(other)]
    Other,
}

impl IncompleteReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxOutputTokens => "max_output_tokens",
            Self::ContentFilter => "content_filter",
            Self::Other => "other",
        }
    }
}

impl ResponseError {
    /// What an answer costs that cannot be used; none where there was no answer.
    pub fn tokens(&self) -> Option<Tokens> {
        match self {
            Self::Refused { tokens, .. } | Self::Incomplete { tokens, .. } | Self::Empty { tokens, .. } => Some(*tokens),
            Self::Call(_) | Self::Failed { .. } => None,
        }
    }
}

impl Fault for ResponseError {
    fn class(&self) -> FaultClass {
        match self {
            Self::Call(error) => error.class(),
            Self::Refused { .. } | Self::Incomplete { reason: IncompleteReason::ContentFilter, .. } => FaultClass::Rejected,
            Self::Failed { code } if !matches!(code.as_str(), "server_error" | "rate_limit_exceeded") => FaultClass::Rejected,
            Self::Incomplete { .. } | Self::Failed { .. } | Self::Empty { .. } => FaultClass::Transient,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Call(error) => error.code(),
            Self::Refused { .. } => ErrorCode::OpenAiSummaryRefused,
            Self::Incomplete { .. } => ErrorCode::OpenAiSummaryIncomplete,
            Self::Failed { code } if is_account_code(code) => ErrorCode::OpenAiQuotaExhausted,
            Self::Failed { .. } => ErrorCode::OpenAiSummaryFailed,
            Self::Empty { .. } => ErrorCode::OpenAiAnswerInvalid,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(error) => error.retry_after(),
            _ => None,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    /// The provider would else keep the interview.
    store: bool,
    max_output_tokens: u32,
    reasoning: Reasoning,
    instructions: &'a str,
    input: [InputMessage<'a>; 1],
    text: TextOptions<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
}

#[derive(Serialize)]
struct InputMessage<'a> {
    role: &'static str,
    content: [InputText<'a>; 1],
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "input_text")]
struct InputText<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct TextOptions<'a> {
    format: Format<'a>,
}

/// Unlike in Chat Completions, name and schema stand beside `type`.
#[derive(Serialize)]
#[serde(tag = "type", rename = "json_schema")]
struct Format<'a> {
    name: &'a str,
    strict: bool,
    schema: &'a Value,
}

impl<'a> Body<'a> {
    fn new(request: &'a ResponseRequest) -> Self {
        Self {
            model: &request.model,
            store: false,
            max_output_tokens: request.max_output_tokens,
            reasoning: Reasoning { effort: request.effort },
            instructions: &request.instructions,
            input: [InputMessage { role: "user", content: [InputText { text: &request.input }] }],
            text: TextOptions { format: Format { name: &request.schema_name, strict: true, schema: &request.schema } },
            metadata: request.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            safety_identifier: request.safety_identifier.as_deref(),
        }
    }
}

/// It is paid for: a field of another form than expected costs that field.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    #[serde(deserialize_with = "lenient")]
    id: String,
    #[serde(deserialize_with = "lenient")]
    status: Option<String>,
    #[serde(deserialize_with = "lenient")]
    model: Option<String>,
    #[serde(deserialize_with = "lenient")]
    error: Option<ReplyError>,
    #[serde(deserialize_with = "lenient")]
    incomplete_details: Option<IncompleteDetails>,
    #[serde(deserialize_with = "lenient_list")]
    output: Vec<Output>,
    #[serde(deserialize_with = "lenient")]
    usage: ReplyUsage,
}

/// Text in, text out; what it thought is part of the output.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ReplyUsage {
    #[serde(deserialize_with = "lenient_number")]
    input_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient_number")]
    output_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    input_tokens_details: TokenDetails,
}

impl ReplyUsage {
    fn tokens(&self) -> Tokens {
        let count = |told: Option<u64>| u32::try_from(told.unwrap_or_default()).unwrap_or(u32::MAX);
        Tokens {
            input_text: count(self.input_tokens),
            input_cached: count(self.input_tokens_details.cached_tokens),
            output_text: count(self.output_tokens),
            ..Tokens::default()
        }
    }
}

#[derive(Deserialize)]
struct ReplyError {
    #[serde(default)]
    code: Option<String>,
}

#[derive(Deserialize)]
struct IncompleteDetails {
    #[serde(default)]
    reason: IncompleteReason,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Output {
    Message {
        #[serde(default)]
        content: Vec<Content>,
    },
    /// Reasoning comes first, of no use here.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content {
    OutputText {
        text: String,
    },
    Refusal {
        #[serde(default)]
        refusal: String,
    },
    #[serde(other)]
    Other,
}

impl OpenAiClient {
    /// A repeat costs tokens but does no harm.
    pub async fn create_response(&self, request: &ResponseRequest) -> Result<ResponseOutcome, ResponseError> {
        let limits = Self::limits("create_response", self.options.response_deadline, MAX_ANSWER_BYTES);
        let body = serde_json::to_vec(&Body::new(request))
            .map_err(|source| ResponseError::Call(CallError::new(limits, CallErrorKind::Encode(source))))?;
        let call = self.post(&["responses"]).header(http::header::CONTENT_TYPE, "application/json").body(body);
        let answer = self.http.send(limits, call).await.map_err(ResponseError::Call)?;
        if !answer.status().is_success() {
            return Err(ResponseError::Call(judge(&answer)));
        }
        let reply: Reply = answer.json().map_err(ResponseError::Call)?;
        reply.into_outcome(request, answer.head.request_id())
    }
}

/// As it can be logged.
fn name(raw: String) -> String {
    Text::bounded(raw, MAX_NAME_BYTES).into_string()
}

impl Reply {
    fn into_outcome(self, request: &ResponseRequest, request_id: Option<&str>) -> Result<ResponseOutcome, ResponseError> {
        let tokens = self.usage.tokens();
        let status = self.status.unwrap_or_default();
        if status == "failed" || self.error.is_some() {
            let code = self.error.and_then(|error| error.code).map_or_else(|| "unnamed".to_owned(), name);
            return Err(ResponseError::Failed { code });
        }
        if status == "incomplete" {
            let reason = self.incomplete_details.map(|details| details.reason).unwrap_or_default();
            return Err(ResponseError::Incomplete { reason, tokens });
        }
        let mut text = String::new();
        for output in self.output {
            let Output::Message { content } = output else { continue };
            for part in content {
                match part {
                    Content::OutputText { text: more } => text.push_str(&more),
                    Content::Refusal { refusal } => return Err(ResponseError::Refused { refusal: refusal.into(), tokens }),
                    Content::Other => {}
                }
            }
        }
        if status != "completed" || text.is_empty() {
            return Err(ResponseError::Empty { status: name(status), tokens });
        }
        Ok(ResponseOutcome {
            id: Text::bounded(self.id, MAX_NAME_BYTES),
            model: Text::bounded(self.model.as_ref().unwrap_or(&request.model), MAX_NAME_BYTES),
            text: text.into(),
            request_id: request_id.map(str::to_owned),
            tokens,
        })
    }
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
