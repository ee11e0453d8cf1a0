//! What requests that change something have in common: who asks, the Idempotency-Key, the version it was read at, the answer.

use super::AppState;
use super::sessions::idempotency_key;
use crate::domain::edge::FieldError;
use crate::error::ErrorCode;
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::integrations::store::gateway::{Begun, Change, KeptAnswer, OnceKey};
use aws_lc_rs::digest;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, OriginalUri, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;

/// A recruiter's request that changes something.
pub(super) struct Asked {
    pub(super) person: Person,
    pub(super) body: Bytes,
    headers: HeaderMap,
    once: Option<OnceKey>,
}

impl FromRequest<AppState> for Asked {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let person = Person::from_request_parts(&mut parts, state).await?;
        person.require_recruiter()?;
        // Only what makes something may do it twice.
        let key = if parts.method == Method::POST { idempotency_key(&parts.headers)? } else { None };
        let head = parts.clone();
        let body = Bytes::from_request(Request::from_parts(parts, body), state).await?;
        let once = key.map(|key| once(key, &head, &body));
        Ok(Self { person, body, headers: head.headers, once })
    }
}

fn once(key: String, head: &Parts, body: &[u8]) -> OnceKey {
    let path = head.extensions.get::<OriginalUri>().map_or(&head.uri, |OriginalUri(uri)| uri);
    let route = head.extensions.get::<MatchedPath>().map_or(path.path(), MatchedPath::as_str);
    let mut digest = digest::Context::new(&digest::SHA256);
    for part in [head.method.as_str().as_bytes(), b"\n", path.to_string().as_bytes(), b"\n", body] {
        digest.update(part);
    }
    let mut request = [0; 32];
    request.copy_from_slice(digest.finish().as_ref());
    OnceKey { key, route: format!("{} {route}", head.method), request }
}

impl Asked {
    /// The body; an empty one is null.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let body: &[u8] = if self.body.is_empty() { b"null" } else { &self.body };
        serde_json::from_slice(body).map_err(|error| ApiError::invalid(format!("the body: {error}")))
    }

    /// A change in this person's name, or the answer that the same request got before.
    pub(super) async fn begin(&self, state: &AppState) -> Result<Result<Change, Answer>, ApiError> {
        match state.store.begin_change(self.person.actor(), self.once.as_ref()).await? {
            Begun::Fresh(change) => Ok(Ok(change)),
            Begun::Answered(KeptAnswer { status, body }) => {
                let status = StatusCode::from_u16(status).map_err(|error| ApiError::internal(error.to_string()))?;
                Ok(Err(Answer { status, body }))
            }
            Begun::Conflicted => {
                let detail = "this Idempotency-Key was used for another request";
                Err(ApiError::new(StatusCode::CONFLICT, ErrorCode::IdempotencyConflicted, detail))
            }
        }
    }

    /// Refuse a change of what was read at another version than it has now.
    pub(super) fn matches(&self, version: i32) -> Result<(), ApiError> {
        let Some(named) = self.headers.get(header::IF_MATCH) else {
            let detail = "If-Match: send the ETag of what you have read, so that nobody else's change is undone";
            return Err(ApiError::new(StatusCode::PRECONDITION_REQUIRED, ErrorCode::VersionRequired, detail));
        };
        let named = named.to_str().unwrap_or_default();
        // A proxy that compresses makes an ETag weak.
        let is = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').parse() == Ok(version);
        if named.trim() == "*" || named.split(',').any(|tag| is(tag.trim())) {
            return Ok(());
        }
        let detail = "it was changed since you have read it; read it again";
        Err(ApiError::new(StatusCode::PRECONDITION_FAILED, ErrorCode::VersionConflicted, detail))
    }
}

/// What a change is answered with. The version in it is the ETag.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    /// Something that was read.
    pub(super) fn read(view: &impl Serialize) -> Result<Self, ApiError> {
        Ok(Self { status: StatusCode::OK, body: json(view)? })
    }

    /// Something that was changed: keeps the change.
    pub(super) async fn kept(change: Change, status: StatusCode, view: &impl Serialize) -> Result<Self, ApiError> {
        let body = json(view)?;
        change.commit(status.as_u16(), &body).await?;
        Ok(Self { status, body })
    }
}

fn json(view: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(view).map_err(|error| ApiError::internal(error.to_string()))
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let version = self.body.get("version").and_then(Value::as_i64);
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(tag) = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok()) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

pub(super) fn fields_invalid(errors: Vec<FieldError>) -> ApiError {
    let detail = match errors.first() {
        Some(first) => format!("{}: {}", first.field, first.message),
        None => "fields cannot be taken".to_owned(),
    };
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::FieldsInvalid, detail).with_fields(&errors)
}

/// What is archived is restored before it is changed.
pub(super) fn refuse_archived(archived_at: Option<OffsetDateTime>) -> Result<(), ApiError> {
    let detail = "it is archived; restore it first";
    if archived_at.is_none() { Ok(()) } else { Err(ApiError::new(StatusCode::CONFLICT, ErrorCode::ResourceArchived, detail)) }
}
