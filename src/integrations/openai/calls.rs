//! Opening and hanging up a WebRTC call with the project key.

use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, LOCATION};
use reqwest::multipart::{Form, Part};

use super::session_config::SessionConfig;
use super::{OpenAiClient, judge};
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::ids::CallId;
use crate::integrations::call_error::{CallError, CallErrorKind};
use crate::integrations::http_client::Head;

/// A real answer is about 2 KiB.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
const MAX_CALL_ID_BYTES: usize = 256;

/// A call that OpenAI has opened and bills from now on.
#[derive(Debug, Clone)]
pub struct CallCreated {
    pub call_id: CallId,
    /// Goes to the browser as it is.
    pub answer_sdp: String,
    pub request_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HungUp {
    /// The end of the call has begun.
    Ending,
    /// There was nothing left to end.
    AlreadyEnded,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateCallError {
    #[error("open the call")]
    Open(#[source] CallError),
    /// OpenAI holds a billed call that nobody can join: hang it up.
    #[error("call {call_id} was opened without a usable answer")]
    Orphaned {
        call_id: CallId,
        #[source]
        source: CallError,
    },
}

impl CreateCallError {
    /// The call that the caller has to hang up.
    pub fn orphan(&self) -> Option<&CallId> {
        match self {
            Self::Orphaned { call_id, .. } => Some(call_id),
            Self::Open(_) => None,
        }
    }

    /// True if repeating cannot open a second call beside an unknown first one.
    pub fn is_safe_to_repeat(&self) -> bool {
        match self {
            Self::Orphaned { .. } => true,
            // OpenAI answers a failed offer before a call exists, so a status is
            // safe even if it is a 5xx; silence is not.
            Self::Open(error) => {
                matches!(error.kind(), CallErrorKind::Connect(_) | CallErrorKind::Status { .. })
            }
        }
    }

    pub fn call_error(&self) -> &CallError {
        match self {
            Self::Open(source) | Self::Orphaned { source, .. } => source,
        }
    }
}

impl Fault for CreateCallError {
    fn class(&self) -> FaultClass {
        match self {
            Self::Open(error) => error.class(),
            Self::Orphaned { .. } => FaultClass::Transient,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Open(error) => error.code(),
            Self::Orphaned { .. } => ErrorCode::OpenAiCallOrphaned,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.call_error().retry_after()
    }
}

impl OpenAiClient {
    /// Posts the browser's offer, byte for byte, with the whole configuration: the
    /// model may begin before any control connection has joined.
    pub async fn create_call(&self, sdp: &str, session: &SessionConfig) -> Result<CallCreated, CreateCallError> {
        let limits = Self::limits("create_call", self.options.call_deadline, MAX_ANSWER_BYTES);
        let bug = |source| CreateCallError::Open(CallError::new(limits, CallErrorKind::Encode(source)));
        let session = serde_json::to_string(session).map_err(bug)?;
        let form = Form::new()
            .part("sdp", typed_part(sdp.to_owned(), "application/sdp"))
            .part("session", typed_part(session, "application/json"));
        let request = self.post(&["realtime", "calls"]).header(ACCEPT, "application/sdp").multipart(form);

        let answer = match self.http.send(limits, request).await {
            Ok(answer) => answer,
            Err(error) => {
                return Err(match error.head().and_then(opened_call) {
                    Some(call_id) => CreateCallError::Orphaned { call_id, source: error },
                    None => CreateCallError::Open(error),
                });
            }
        };
        if answer.status() != StatusCode::CREATED {
            return Err(CreateCallError::Open(judge(&answer)));
        }
        let Some(call_id) = opened_call(&answer.head) else {
            return Err(CreateCallError::Open(answer.unexpected("the answer names no call")));
        };
        // The content type is no help: OpenAI calls its SDP `text/plain`.
        match std::str::from_utf8(&answer.body) {
            Ok(text) if text.starts_with("v=0") => {
                Ok(CallCreated { call_id, answer_sdp: text.to_owned(), request_id: answer.head.request_id().map(str::to_owned) })
            }
            _ => Err(CreateCallError::Orphaned { call_id, source: answer.unexpected("the answer is not an sdp") }),
        }
    }

    /// Safe to repeat.
    pub async fn hang_up(&self, call_id: &CallId) -> Result<HungUp, CallError> {
        let limits = Self::limits("hang_up", self.options.hang_up_deadline, 64 * 1024);
        let request = self.post(&["realtime", "calls", call_id.as_str(), "hangup"]);
        let answer = self.http.send(limits, request).await?;
        match answer.status() {
            status if status.is_success() => Ok(HungUp::Ending),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(HungUp::AlreadyEnded),
            _ => Err(judge(&answer)),
        }
    }
}

/// A part without a file name: OpenAI's fields are not files.
fn typed_part(text: String, content_type: &'static str) -> Part {
    Part::text(text).mime_str(content_type).expect("our two content types are well-formed")
}

/// Only a 201 opens a call; the `Location` of a redirect is something else.
fn opened_call(head: &Head) -> Option<CallId> {
    if head.status != StatusCode::CREATED {
        return None;
    }
    call_id_from_location(head.headers.get(LOCATION)?.to_str().ok()?)
}

/// Takes relative and absolute addresses, doubled path parts, and `?call_id=`.
fn call_id_from_location(location: &str) -> Option<CallId> {
    let location = location.split('#').next().unwrap_or_default();
    let (path, query) = location.split_once('?').unwrap_or((location, ""));
    let last_segment = path.rsplit('/').find(|segment| !segment.is_empty());
    let from_query = query.split('&').find_map(|pair| pair.strip_prefix("call_id="));
    last_segment.into_iter().chain(from_query).find(|id| is_call_id(id)).map(CallId::from)
}

fn is_call_id(text: &str) -> bool {
    text.len() > "rtc_".len()
        && text.len() <= MAX_CALL_ID_BYTES
        && text.starts_with("rtc_")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
