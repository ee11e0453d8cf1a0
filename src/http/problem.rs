//! The answer to a refused request: `application/problem+json` (RFC 9457) with a stable code.

use super::body_timeout::timed_out;
use crate::domain::edge::FieldError;
use crate::error::{ErrorCode, Fault, FaultClass, chain};
use crate::integrations::call_error::CallError;
use crate::integrations::store::{Deadlocked, StoreError};
use crate::integrations::supabase::JwtError;
use axum::Json;
use axum::extract::Request;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Names one request in our answer and in our log.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Why a request is not done. What the caller is told is `detail`; `cause` is for the log only.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    code: ErrorCode,
    detail: String,
    retry_after: Option<Duration>,
    retryable: bool,
    deadlock: bool,
    cause: Option<String>,
    /// A further member of the answer (RFC 9457, extension members).
    extension: Option<(&'static str, Value)>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
            retryable: status.is_server_error(),
            deadlock: false,
            cause: None,
            extension: None,
        }
    }

    pub fn not_found(code: ErrorCode, detail: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub fn session_not_found() -> Self {
        Self::not_found(ErrorCode::SessionNotFound, "there is no such session")
    }

    /// Its machine is being made, or starts.
    pub fn session_not_ready(detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::SessionNotReady, detail).retry_after(Duration::from_secs(2))
    }

    pub fn session_over() -> Self {
        Self::new(StatusCode::GONE, ErrorCode::SessionOver, "the interview is over")
    }

    pub fn forbidden(detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorCode::PermissionDenied, detail)
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::RequestInvalid, detail)
    }

    pub fn internal(cause: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::InternalFailure, "something went wrong on our side");
        Self { retryable: false, ..error }.because(cause)
    }

    /// The caller may try again after this long.
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), retryable: true, ..self }
    }

    pub fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// With a further member, for what a code and a sentence cannot say.
    pub fn with(self, name: &'static str, value: Value) -> Self {
        Self { extension: Some((name, value)), ..self }
    }

    /// What is wrong with which field: `errors` of the problem.
    pub fn with_fields(self, fields: &[FieldError]) -> Self {
        self.with("errors", json!(fields))
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn code(&self) -> ErrorCode {
        self.code
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Once, where the request ends.
    pub fn log(&self, request_id: &str) {
        let cause = self.cause.as_deref().unwrap_or(&self.detail);
        let status = self.status.as_u16();
        if self.status.is_server_error() {
            tracing::error!(
                error_code = self.code.as_str(),
                http.response.status_code = status,
                request_id,
                error = cause,
                "request failed"
            );
        } else {
            tracing::info!(
                error_code = self.code.as_str(),
                http.response.status_code = status,
                request_id,
                error = cause,
                "request refused"
            );
        }
    }

    fn render(&self, request_id: Option<&str>) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "retryable": self.retryable,
            "request_id": request_id,
        });
        if let Some((name, value)) = &self.extension {
            body[*name] = value.clone();
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(wait) = self.retry_after {
            // Whole seconds, never too early.
            headers.insert(header::RETRY_AFTER, HeaderValue::from((wait.as_secs_f64().ceil() as u64).max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.render(None);
        // For the middleware below, which knows the request's id.
        response.extensions_mut().insert(self);
        response
    }
}

/// Give each request an id; name it in the answer.
pub async fn with_request_id(mut request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().simple().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        response = error.render(Some(&id));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (cause, deadlock) = (chain(&error), error.is_deadlock());
        let told = match error {
            StoreError::NotFound => Self::session_not_found(),
            error if error.class() == FaultClass::Transient => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::DatabaseUnavailable, "the database does not answer")
                    .retry_after(Duration::from_secs(2))
                    .because(cause)
            }
            _ => Self {
                retryable: false,
                ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::DatabaseRefused, "the database refused the request")
            }
            .because(cause),
        };
        Self { deadlock, ..told }
    }
}

impl Deadlocked for ApiError {
    fn is_deadlock(&self) -> bool {
        self.deadlock
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let cause = chain(&error);
        let wait = error.retry_after().unwrap_or(Duration::from_secs(5));
        if error.class() == FaultClass::Transient {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), "a service we depend on does not answer")
                .retry_after(wait)
                .because(cause)
        } else {
            Self { retryable: false, ..Self::new(StatusCode::BAD_GATEWAY, error.code(), "a service we depend on refused us") }
                .because(cause)
        }
    }
}

impl From<JwtError> for ApiError {
    fn from(error: JwtError) -> Self {
        let cause = chain(&error);
        if error.class() == FaultClass::Transient {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), "sign-ins cannot be checked at the moment")
                .retry_after(Duration::from_secs(2))
                .because(cause)
        } else {
            // The variants name a claim at most, never its value.
            Self::new(StatusCode::UNAUTHORIZED, error.code(), error.to_string())
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let detail = match &rejection {
            JsonRejection::MissingJsonContentType(_) => "send a body of JSON, with Content-Type: application/json".to_owned(),
            rejection => rejection.body_text(),
        };
        Self::of_body(rejection.status(), detail, &rejection)
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        Self::of_body(rejection.status(), rejection.body_text(), &rejection)
    }
}

impl ApiError {
    fn of_body(status: StatusCode, detail: String, rejection: &(dyn std::error::Error + 'static)) -> Self {
        if timed_out(rejection) {
            let (status, code) = (StatusCode::REQUEST_TIMEOUT, ErrorCode::RequestTimedOut);
            return Self { retryable: true, ..Self::new(status, code, "the request's body did not arrive in time") };
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::new(status, ErrorCode::RequestOversized, "the request body is too large");
        }
        // No body, no content type, no JSON, JSON of another shape: one answer for all of them.
        Self::invalid(detail)
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_names_code_and_status_but_never_the_cause() {
        let error = ApiError::session_over().because("secret cause");
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::GONE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.expect("a body");
        let text = String::from_utf8(body.to_vec()).expect("utf-8");
        assert!(text.contains(r#""code":"session_over""#) && !text.contains("secret cause"), "{text}");
    }
}
