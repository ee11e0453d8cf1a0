//! An OTLP receiver (http/protobuf). It keeps the spans and the newest gauges of all machines, so a test can check "is this one
//! trace?".

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
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span as WireSpan;
use prost::Message as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::util::lock;

const MAX_SPANS: usize = 50_000;
const MAX_GAUGES: usize = 5_000;
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

/// The newest value of one gauge of one process.
#[derive(Clone, Debug, Serialize)]
pub struct Gauge {
    pub name: String,
    pub value: f64,
    pub attributes: BTreeMap<String, Value>,
    pub resource: BTreeMap<String, Value>,
}

/// What was received. Cheap to clone; bounded.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    spans: Arc<Mutex<VecDeque<Span>>>,
    gauges: Arc<Mutex<VecDeque<Gauge>>>,
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

    /// The newest gauges of the session's processes.
    pub fn gauges_of(&self, session: &str) -> Vec<Gauge> {
        lock(&self.gauges)
            .iter()
            .filter(|gauge| gauge.resource.get("session.id").is_some_and(|id| id == session))
            .cloned()
            .collect()
    }

    /// The newest value of a gauge, of every process that has one.
    pub fn gauges_named(&self, name: &str) -> Vec<Gauge> {
        lock(&self.gauges).iter().filter(|gauge| gauge.name == name).cloned().collect()
    }

    fn add_gauges(&self, request: ExportMetricsServiceRequest) {
        let mut gauges = lock(&self.gauges);
        for group in request.resource_metrics {
            let resource = attributes(group.resource.map(|resource| resource.attributes).unwrap_or_default());
            for metric in group.scope_metrics.into_iter().flat_map(|scoped| scoped.metrics) {
                let Some(metric::Data::Gauge(gauge)) = metric.data else { continue };
                for point in gauge.data_points {
                    let value = match point.value {
                        Some(number_data_point::Value::AsDouble(value)) => value,
                        Some(number_data_point::Value::AsInt(value)) => value as f64,
                        None => continue,
                    };
                    let gauge = Gauge {
                        name: metric.name.clone(),
                        value,
                        attributes: attributes(point.attributes),
                        resource: resource.clone(),
                    };
                    gauges.retain(|known| {
                        (&known.name, &known.attributes, &known.resource) != (&gauge.name, &gauge.attributes, &gauge.resource)
                    });
                    if gauges.len() >= MAX_GAUGES {
                        gauges.pop_front();
                    }
                    gauges.push_back(gauge);
                }
            }
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

/// `/v1/traces` and `/v1/metrics` keep, `/v1/logs` only accepts.
pub fn router(traces: Traces) -> Router {
    Router::new()
        .route("/v1/traces", post(receive_traces))
        .route("/v1/metrics", post(receive_metrics))
        .route("/v1/logs", post(accept))
        .with_state(traces)
}

fn protobuf(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, PROTOBUF)], body).into_response()
}

async fn receive_traces(State(traces): State<Traces>, headers: HeaderMap, body: Bytes) -> Response {
    match decode::<ExportTraceServiceRequest>(&headers, body) {
        Ok(request) => {
            traces.add(request);
            protobuf(StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn receive_metrics(State(traces): State<Traces>, headers: HeaderMap, body: Bytes) -> Response {
    match decode::<ExportMetricsServiceRequest>(&headers, body) {
        Ok(request) => {
            traces.add_gauges(request);
            protobuf(StatusCode::OK, ExportMetricsServiceResponse::default().encode_to_vec())
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn decode<M: prost::Message + Default>(headers: &HeaderMap, body: Bytes) -> Result<M, (StatusCode, String)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !text(header::CONTENT_TYPE).starts_with(PROTOBUF) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/x-protobuf".to_owned()));
    }
    if !matches!(text(header::CONTENT_ENCODING), "" | "identity") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send it uncompressed".to_owned()));
    }
    M::decode(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
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
