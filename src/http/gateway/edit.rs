//! What requests that change something have in common: who asks, the Idempotency-Key, the version it was read at, the answer.

use super::AppState;
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

const MAX_KEY_BYTES: usize = 200;

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

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY_BYTES => Ok(Some(key.to_owned())),
        _ => Err(ApiError::invalid(format!("Idempotency-Key: 1 to {MAX_KEY_BYTES} visible ASCII characters"))),
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

/// What a body says that may also be left out.
pub(super) fn json_or_default<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| ApiError::invalid(error.to_string()))
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
        if !self.headers.contains_key(header::IF_MATCH) {
            let detail = "If-Match: send the ETag of what you have read, so that nobody else's change is undone";
            return Err(ApiError::new(StatusCode::PRECONDITION_REQUIRED, ErrorCode::VersionRequired, detail));
        }
        if names_version(&self.headers, version) {
            return Ok(());
        }
        let detail = "it was changed since you have read it; read it again";
        Err(ApiError::new(StatusCode::PRECONDITION_FAILED, ErrorCode::VersionConflicted, detail))
    }
}

/// Whether `If-Match` is `*`, or has the very tag that was given out. What is not written like one names nothing.
fn names_version(headers: &HeaderMap, version: i32) -> bool {
    let named: Vec<&str> = headers.get_all(header::IF_MATCH).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    if let [only] = named.as_slice()
        && only.trim() == "*"
    {
        return true;
    }
    let ours = format!("\"{version}\"");
    // A proxy that compresses makes an ETag weak.
    let is = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag) == ours;
    named.iter().flat_map(|list| list.split(',')).any(|tag| is(tag.trim()))
}

/// What a change is answered with. The version in it, or the revision, is the ETag: also of an answer that is given again.
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
        let version = ["version", "revision"].iter().find_map(|key| self.body.get(key)?.as_i64());
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Kept answers are only a status and a body: what is given again has the tag that it had.
    #[test]
    fn an_answer_has_its_tag_whether_it_is_new_or_given_again() {
        for (body, tag) in [
            (json!({"id": 1, "version": 3}), Some("\"3\"")),
            (json!({"plan_id": 1, "revision": 7, "newest_version": 2}), Some("\"7\"")),
            (json!({"plan": null}), None),
        ] {
            let response = Answer { status: StatusCode::OK, body }.into_response();
            assert_eq!(response.headers().get(header::ETAG).and_then(|value| value.to_str().ok()), tag);
        }
    }

    #[test]
    fn a_version_is_named_by_its_very_tag() {
        let names = |values: &[&'static str]| {
            let values = values.iter().map(|value| (header::IF_MATCH, HeaderValue::from_static(value)));
            names_version(
                &values.fold(HeaderMap::new(), |mut map, (name, value)| {
                    map.append(name, value);
                    map
                }),
                12,
            )
        };
        for good in [&["*"][..], &["\"12\""], &["W/\"12\""], &["\"3\" , \"12\""], &["\"3\"", "\"12\""]] {
            assert!(names(good), "{good:?}");
        }
        for bad in [
            &["12"][..],
            &["'12'"],
            &["\"12"],
            &["\"+12\""],
            &["\"012\""],
            &["W/W/\"12\""],
            &["w/\"12\""],
            &["\"\"12\"\""],
            &["*, \"3\""],
            &["\"3\"", "*"],
            &[""],
            &["\" 12 \""],
        ] {
            assert!(!names(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_body_that_may_be_left_out_is_read_where_there_is_one() {
        assert_eq!(json_or_default::<Option<u8>>(b" \n").ok(), Some(None));
        assert_eq!(json_or_default::<Option<u8>>(b"7").ok(), Some(Some(7)));
        assert!(json_or_default::<Option<u8>>(b"{").is_err());
    }

    #[test]
    fn an_idempotency_key_is_short_and_visible() {
        let with = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", HeaderValue::from_bytes(value).expect("a header"));
            idempotency_key(&headers)
        };
        assert_eq!(with(b"k-1").expect("a key").as_deref(), Some("k-1"));
        assert!(with(b" ").is_err());
        assert!(with(&[b'x'; 201]).is_err());
        assert!(with("ü".as_bytes()).is_err());
        assert_eq!(idempotency_key(&HeaderMap::new()).expect("none is fine"), None);
    }
}
