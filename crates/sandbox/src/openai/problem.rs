//! Errors as OpenAI words them: the same object over HTTP and inside `error` events.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub kind: &'static str,
    pub code: Option<String>,
    pub message: String,
    pub param: Option<String>,
}

impl Problem {
    pub fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "invalid_request_error",
            code: Some(code.to_owned()),
            message: message.into(),
            param: None,
        }
    }

    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub fn unknown_parameter(path: &str) -> Self {
        Self::invalid("unknown_parameter", format!("Unknown parameter: '{path}'.")).at(path)
    }

    pub fn missing_parameter(path: &str) -> Self {
        Self::invalid("missing_required_parameter", format!("Missing required parameter: '{path}'.")).at(path)
    }

    pub fn unauthorized(message: &str) -> Self {
        Self::invalid("invalid_api_key", message).status(StatusCode::UNAUTHORIZED)
    }

    /// As the vendor answers for a call that is over or never was.
    pub fn call_not_found() -> Self {
        Self::invalid("call_id_not_found", "No session found for the provided call_id").status(StatusCode::NOT_FOUND)
    }

    pub fn body(&self) -> Value {
        json!({ "error": self.fields() })
    }

    fn fields(&self) -> Value {
        json!({ "message": self.message, "type": self.kind, "param": self.param, "code": self.code })
    }

    /// As the `error` of an event; `event_id` is the one of the client's event.
    pub fn event_error(&self, event_id: Option<&str>) -> Value {
        let mut fields = self.fields();
        fields["event_id"] = event_id.map_or(Value::Null, Value::from);
        fields
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self.body())).into_response()
    }
}
