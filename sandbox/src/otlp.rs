//! An OTLP receiver (http/protobuf): keeps the spans of all machines, so that a test can
//! ask "is this one trace?" instead of believing it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use data_encoding::HEXLOWER;
use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span as WireSpan;
use prost::Message as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::util::lock;

const MAX_SPANS: usize = 50_000;
const PROTOBUF: &str = "application/x-protobuf";

/// One span as it came over the wire.
#[derive(Clone, Debug, Serialize)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a root.
    pub parent_span_id: String,
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer` or `unspecified`.
    pub kind: &'static str,
    /// `unset`, `ok` or `error`.
    pub status: &'static str,
    pub status_message: String,
    pub start_unix_nano: u64,
    pub end_unix_nano: u64,
    pub attributes: BTreeMap<String, Value>,
    pub events: Vec<Event>,
    pub links: Vec<Link>,
    pub resource: BTreeMap<String, Value>,
    pub scope: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Event {
    pub name: String,
    pub at_unix_nano: u64,
    pub attributes: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Link {
    pub trace_id: String,
    pub span_id: String,
}

impl Span {
    pub fn is_root(&self) -> bool {
        self.parent_span_id.is_empty()
    }

    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end_unix_nano.saturating_sub(self.start_unix_nano))
    }

    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }
}

/// The spans received. Cheap to clone; bounded.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    spans: Arc<Mutex<VecDeque<Span>>>,
}

impl Traces {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn spans(&self) -> Vec<Span> {
        lock(&self.spans).iter().cloned().collect()
    }

    pub fn find(&self, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        lock(&self.spans).iter().filter(|span| wanted(span)).cloned().collect()
    }

    pub fn of_trace(&self, trace_id: &str) -> Vec<Span> {
        self.find(|span| span.trace_id == trace_id)
    }

    pub fn clear(&self) {
        lock(&self.spans).clear();
    }

    /// Waits until a span fits, at most for `deadline`.
    pub async fn wait_for(&self, deadline: Duration, wanted: impl Fn(&Span) -> bool) -> Option<Span> {
        let end = tokio::time::Instant::now() + deadline;
        loop {
            if let Some(span) = self.find(&wanted).pop() {
                return Some(span);
            }
            if tokio::time::Instant::now() >= end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn add(&self, request: ExportTraceServiceRequest) {
        let mut spans = lock(&self.spans);
        for group in request.resource_spans {
            let resource = attributes(group.resource.map(|resource| resource.attributes).unwrap_or_default());
            for scoped in group.scope_spans {
                let scope = scoped.scope.map(|scope| scope.name).unwrap_or_default();
                for span in scoped.spans {
                    if spans.len() >= MAX_SPANS {
                        spans.pop_front();
                    }
                    spans.push_back(read_span(span, resource.clone(), scope.clone()));
                }
            }
        }
    }
}

/// `/v1/traces` keeps, `/v1/metrics` and `/v1/logs` only accept.
pub fn router(traces: Traces) -> Router {
    Router::new()
        .route("/v1/traces", post(receive_traces))
        .route("/v1/metrics", post(accept))
        .route("/v1/logs", post(accept))
        .with_state(traces)
}

fn protobuf(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, PROTOBUF)], body).into_response()
}

async fn receive_traces(State(traces): State<Traces>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !text(header::CONTENT_TYPE).starts_with(PROTOBUF) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/x-protobuf").into_response();
    }
    if !matches!(text(header::CONTENT_ENCODING), "" | "identity") {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send it uncompressed").into_response();
    }
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => {
            traces.add(request);
            protobuf(StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// An empty message is a full success in every OTLP service.
async fn accept() -> Response {
    protobuf(StatusCode::OK, Vec::new())
}

fn read_span(span: WireSpan, resource: BTreeMap<String, Value>, scope: String) -> Span {
    let kind = match span.kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "unspecified",
    };
    let (status, status_message) = match span.status {
        Some(status) if status.code == 1 => ("ok", status.message),
        Some(status) if status.code == 2 => ("error", status.message),
        _ => ("unset", String::new()),
    };
    Span {
        trace_id: HEXLOWER.encode(&span.trace_id),
        span_id: HEXLOWER.encode(&span.span_id),
        parent_span_id: HEXLOWER.encode(&span.parent_span_id),
        name: span.name,
        kind,
        status,
        status_message,
        start_unix_nano: span.start_time_unix_nano,
        end_unix_nano: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        events: span
            .events
            .into_iter()
            .map(|event| Event { name: event.name, at_unix_nano: event.time_unix_nano, attributes: attributes(event.attributes) })
            .collect(),
        links: span
            .links
            .into_iter()
            .map(|link| Link { trace_id: HEXLOWER.encode(&link.trace_id), span_id: HEXLOWER.encode(&link.span_id) })
            .collect(),
        resource,
        scope,
    }
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, Value> {
    list.into_iter().map(|pair| (pair.key, pair.value.map_or(Value::Null, plain))).collect()
}

fn plain(value: AnyValue) -> Value {
    match value.value {
        Some(any_value::Value::StringValue(text)) => text.into(),
        Some(any_value::Value::BoolValue(flag)) => flag.into(),
        Some(any_value::Value::IntValue(number)) => number.into(),
        Some(any_value::Value::DoubleValue(number)) => number.into(),
        Some(any_value::Value::ArrayValue(list)) => list.values.into_iter().map(plain).collect(),
        Some(any_value::Value::KvlistValue(list)) => json!(attributes(list.values)),
        Some(any_value::Value::BytesValue(bytes)) => HEXLOWER.encode(&bytes).into(),
        _ => Value::Null,
    }
}
