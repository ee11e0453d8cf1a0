//! All requests to the stand-ins, and their answers.
//!
//! The ledger is the evidence of a test. It shows the bytes on the vendor's side of the wire, so it does not depend on what a
//! client believes it sent. Calls that a vendor would not understand are listed separately as violations.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::faults::{self, Action, Connection, Faults, NamedFault};
use crate::util::{lock, now};

const MAX_ENTRIES: usize = 20_000;
const MAX_VIOLATIONS: usize = 2_000;
/// Bodies above this pass by without being looked at.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Text longer than this is cut in the ledger (never on the wire).
const MAX_TEXT: usize = 64 * 1024;

/// One exchange.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    #[serde(with = "time::serde::rfc3339")]
    pub at: time::OffsetDateTime,
    pub vendor: &'static str,
    pub method: String,
    /// The path as the vendor would see it, without the stand-in's prefix.
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub request: Value,
    /// 0 when no answer was sent (the connection was dropped or left hanging).
    pub status: u16,
    pub response: Value,
}

/// A call that the vendor would refuse or not understand.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    #[serde(with = "time::serde::rfc3339")]
    pub at: time::OffsetDateTime,
    pub vendor: String,
    pub text: String,
}

#[derive(Debug, Default)]
struct Inner {
    entries: VecDeque<Entry>,
    violations: VecDeque<Violation>,
    dropped: u64,
}

/// Cheap to clone; all clones write into one bounded book.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    inner: Arc<Mutex<Inner>>,
}

impl Ledger {
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes an exchange down. Credentials in its headers are replaced first.
    pub fn record(&self, mut entry: Entry) {
        for (name, value) in &mut entry.headers {
            redact(name, value);
        }
        let mut inner = lock(&self.inner);
        if inner.entries.len() >= MAX_ENTRIES {
            inner.entries.pop_front();
            inner.dropped += 1;
        }
        inner.entries.push_back(entry);
    }

    pub fn violation(&self, vendor: &str, text: String) {
        tracing::warn!(vendor, %text, "violation of a vendor's contract");
        let mut inner = lock(&self.inner);
        if inner.violations.len() >= MAX_VIOLATIONS {
            inner.violations.pop_front();
        }
        inner.violations.push_back(Violation { at: now(), vendor: vendor.to_owned(), text });
    }

    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.inner).entries.iter().cloned().collect()
    }

    /// The exchanges with one vendor, oldest first.
    pub fn of(&self, vendor: &str) -> Vec<Entry> {
        self.find(|entry| entry.vendor == vendor)
    }

    pub fn find(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        lock(&self.inner).entries.iter().filter(|entry| wanted(entry)).cloned().collect()
    }

    pub fn violations(&self) -> Vec<Violation> {
        lock(&self.inner).violations.iter().cloned().collect()
    }

    /// How many old entries had to make room.
    pub fn dropped(&self) -> u64 {
        lock(&self.inner).dropped
    }

    pub fn clear(&self) {
        *lock(&self.inner) = Inner::default();
    }
}

/// Keeps the scheme (`Bearer`, `Basic`) because a test may ask for it, never the value.
fn redact(name: &str, value: &mut String) {
    if !matches!(name.to_ascii_lowercase().as_str(), "authorization" | "proxy-authorization" | "apikey" | "cookie" | "set-cookie")
        || value.ends_with("[redacted]")
    {
        return;
    }
    *value = match value.split_once(' ') {
        Some((scheme, _)) if scheme.chars().all(char::is_alphanumeric) => format!("{scheme} [redacted]"),
        _ => "[redacted]".to_owned(),
    };
}

/// Header names and values as text.
pub fn header_list(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect()
}

/// A handler that reads its own (large) request body puts what should stand in the
/// ledger into the response's extensions.
#[derive(Clone, Debug)]
pub struct RequestSummary(pub Value);

/// Writes every exchange of a router down and lets faults strike it.
#[derive(Clone)]
pub struct Recorder {
    pub ledger: Ledger,
    pub faults: Faults,
    pub vendor: &'static str,
    /// The fault's name of a route, from method and path.
    pub route: fn(&Method, &str) -> &'static str,
}

impl Recorder {
    /// Puts the recorder around all routes and the fallback that `router` has now.
    pub fn wrap(self, router: Router) -> Router {
        router.layer(axum::middleware::from_fn_with_state(self, exchange))
    }
}

async fn exchange(State(recorder): State<Recorder>, request: Request, next: Next) -> Response {
    let route = (recorder.route)(request.method(), request.uri().path());
    let connection = request.extensions().get::<Connection>().cloned();
    let mut entry = Entry {
        at: now(),
        vendor: recorder.vendor,
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: header_list(request.headers()),
        request: Value::Null,
        status: 0,
        response: Value::Null,
    };
    let (mut request, body) = match observe_request(request).await {
        Ok(observed) => observed,
        Err(refusal) => return refusal,
    };
    entry.request = body;

    let (mut lose_answer, mut hold_answer) = (false, false);
    match recorder.faults.take(recorder.vendor, route) {
        None => {}
        Some(Action::Named(name)) if name == "lose_answer" => lose_answer = true,
        Some(Action::Named(name)) if name == "hold_answer" => hold_answer = true,
        Some(Action::Named(name)) => {
            request.extensions_mut().insert(NamedFault(name));
        }
        Some(action) => {
            if matches!(action, Action::Hang | Action::Drop) {
                entry.response = json!({ "fault": format!("{action:?}") });
                recorder.ledger.record(entry.clone());
            }
            let logged = matches!(action, Action::Hang | Action::Drop);
            if let Some(response) = faults::perform(action, connection.as_ref()).await {
                if logged {
                    return response;
                }
                return finish(&recorder, entry, response).await;
            }
        }
    }
    let response = finish(&recorder, entry, next.run(request).await).await;
    if hold_answer {
        let _ = faults::perform(Action::Hang, connection.as_ref()).await;
    }
    if lose_answer {
        return faults::close(connection.as_ref()).await;
    }
    response
}

async fn finish(recorder: &Recorder, mut entry: Entry, response: Response) -> Response {
    if let Some(RequestSummary(summary)) = response.extensions().get::<RequestSummary>() {
        entry.request = summary.clone();
    }
    entry.status = response.status().as_u16();
    let (response, body) = observe_response(response).await;
    entry.response = body;
    recorder.ledger.record(entry);
    response
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body that is small enough, and hands back an equal request.
async fn observe_request(request: Request) -> Result<(Request, Value), Response> {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let multipart = content_type(request.headers()).starts_with("multipart/");
    let large = declared_length(request.headers()).is_none_or(|length| length > MAX_BODY);
    if upgrade || (multipart && large) {
        return Ok((request, Value::Null));
    }
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
    let seen = if multipart { describe_multipart(&parts.headers, bytes.clone()).await } else { describe(&bytes) };
    Ok((Request::from_parts(parts, Body::from(bytes)), seen))
}

async fn observe_response(response: Response) -> (Response, Value) {
    let kind = content_type(response.headers()).to_owned();
    let textual = kind.starts_with("text/") || kind.contains("json") || kind.contains("sdp");
    let streamed = kind.starts_with("text/event-stream");
    if !textual || streamed || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let note = if kind.is_empty() { Value::Null } else { json!({ "content_type": kind }) };
        return (response, note);
    }
    let (parts, body) = response.into_parts();
    match axum::body::to_bytes(body, MAX_BODY * 4).await {
        Ok(bytes) => {
            let seen = describe(&bytes);
            (Response::from_parts(parts, Body::from(bytes)), seen)
        }
        Err(error) => {
            tracing::error!(%error, "a stand-in's answer could not be read");
            (StatusCode::INTERNAL_SERVER_ERROR.into_response(), Value::Null)
        }
    }
}

/// JSON when it is JSON, else text, cut at a bound.
pub fn describe(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let mut end = text.len().min(MAX_TEXT);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            Value::String(text[..end].to_owned())
        }
        Err(_) => json!({ "bytes": bytes.len() }),
    }
}

/// Names, sizes and content types of the parts; the text of small text parts.
pub async fn describe_multipart(headers: &HeaderMap, bytes: Bytes) -> Value {
    let mut request = http::Request::new(Body::from(bytes));
    *request.headers_mut() = headers.clone();
    let Ok(mut form) = Multipart::from_request(request, &()).await else {
        return json!({ "multipart": "unreadable" });
    };
    let mut parts = Vec::new();
    while let Ok(Some(field)) = form.next_field().await {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let kind = field.content_type().map(str::to_owned);
        let content = field.bytes().await.unwrap_or_default();
        let mut part = json!({ "name": name, "size": content.len() });
        if let Some(kind) = kind {
            part["content_type"] = kind.into();
        }
        match file_name {
            Some(file_name) => part["filename"] = file_name.into(),
            None if content.len() <= MAX_TEXT => part["text"] = describe(&content),
            None => {}
        }
        parts.push(part);
    }
    json!({ "multipart": parts })
}
