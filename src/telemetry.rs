//! Traces, metrics and logs of one process.
//!
//! Causality is passed explicitly: code that works for a session opens a short span whose parent is the session's stored root
//! context (see docs/adr/0004). Lifetimes of an hour are not spans; a trace is visible from its first second. Logs are JSON
//! lines with trace ids.

use crate::config;
use crate::ids::{SessionId, TenantId};
use http::HeaderMap;
use opentelemetry::metrics::{Meter, MeterProvider, NoopMeterProvider};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What is queued waits for the collector at most this long when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(800);
/// One request to the collector.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who this process is, on every span and line.
#[derive(Clone, Debug)]
pub struct Identity {
    pub role: &'static str,
    pub tenant: TenantId,
    pub session: Option<SessionId>,
}

/// Ends with the process: [`Telemetry::shutdown`] sends what is still queued.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("telemetry.log is no filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("cannot build an OTLP exporter")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("a subscriber is already installed")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Install the process's subscriber. The one place that touches process-global state,
/// because `tracing` has it; called by `main` only.
pub fn init(config: &config::Telemetry, identity: &Identity) -> Result<Telemetry, TelemetryError> {
    let (provider, metrics) = if config.otlp_endpoint.is_empty() {
        (None, None)
    } else {
        (Some(tracer_provider(config, identity)?), Some(meter_provider(config, identity)?))
    };
    let lines = lines(config, identity)?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("interview-runtime"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            // Our own spans only: ractor opens a root of its own for each actor.
            .with_filter(EnvFilter::new("off,interview_runtime=info"))
    });
    tracing_subscriber::registry().with(traces).with(lines).try_init()?;
    Ok(Telemetry { traces: provider, metrics })
}

/// Log lines of this thread alone, for as long as the guard is held: of a process that does not
/// know its session yet.
pub fn lines_only(config: &config::Telemetry, identity: &Identity) -> Result<DefaultGuard, TelemetryError> {
    Ok(tracing_subscriber::registry().with(lines(config, identity)?).set_default())
}

fn lines<S>(config: &config::Telemetry, identity: &Identity) -> Result<impl Layer<S> + use<S>, TelemetryError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let lines = match config.log_format {
        config::LogFormat::Json => tracing_subscriber::fmt::layer()
            .event_format(JsonLines { identity: identity.clone() })
            .with_writer(std::io::stderr)
            .boxed(),
        config::LogFormat::Text => tracing_subscriber::fmt::layer().with_writer(std::io::stderr).boxed(),
    };
    Ok(lines.with_filter(EnvFilter::try_new(&config.log)?))
}

type Built<T> = Result<T, opentelemetry_otlp::ExporterBuildError>;

fn tracer_provider(config: &config::Telemetry, identity: &Identity) -> Built<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(config.signal("traces"))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource(identity)).build())
}

fn meter_provider(config: &config::Telemetry, identity: &Identity) -> Built<SdkMeterProvider> {
    let exporter = opentelemetry_otlp::MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(config.signal("metrics"))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let reader = PeriodicReader::builder(exporter).with_interval(config.metrics_interval()).build();
    Ok(SdkMeterProvider::builder().with_reader(reader).with_resource(resource(identity)).build())
}

fn resource(identity: &Identity) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.name", format!("interview-{}", identity.role)),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("tenant.id", identity.tenant.to_string()),
    ];
    attributes.extend(identity.session.map(|session| KeyValue::new("session.id", session.to_string())));
    for (name, variable) in [("cloud.region", "FLY_REGION"), ("host.id", "FLY_MACHINE_ID"), ("fly.app", "FLY_APP_NAME")] {
        attributes.extend(std::env::var(variable).ok().map(|value| KeyValue::new(name, value)));
    }
    Resource::builder().with_attributes(attributes).build()
}

impl Telemetry {
    /// Send what is queued, within a deadline. Losing telemetry never delays the end further.
    ///
    /// The metrics SDK (0.33) takes a timeout and ignores it, so the deadline is kept here: what
    /// hangs is left to its thread, and ends with the process.
    pub fn shutdown(self) {
        let Self { traces, metrics } = self;
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (done, flushed) = mpsc::channel::<()>();
        let traces_done = done.clone();
        std::thread::spawn(move || {
            let _ = traces.map(|traces| traces.shutdown_with_timeout(FLUSH_TIMEOUT));
            drop(traces_done);
        });
        std::thread::spawn(move || {
            let _ = metrics.map(|metrics| metrics.shutdown_with_timeout(FLUSH_TIMEOUT));
            drop(done);
        });
        // Disconnected: both are done.
        let _ = flushed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    /// Without an endpoint nobody reads what is measured, and nothing is.
    pub fn meter(&self) -> Meter {
        let name = "interview-runtime";
        self.metrics.as_ref().map_or_else(|| NoopMeterProvider::new().meter(name), |metrics| metrics.meter(name))
    }
}

/// The trace one session's work belongs to.
#[derive(Clone, Debug)]
pub struct Trace {
    root: Context,
    session: SessionId,
    tenant: TenantId,
}

impl Trace {
    /// Work for this session joins the trace that asked for the interview.
    pub fn join(traceparent: Option<&str>, session: SessionId, tenant: TenantId) -> Self {
        let websocket_proxy: HashMap<String, String> =
            traceparent.map(|value| ("traceparent".to_owned(), value.to_owned())).into_iter().collect();
        let root = TraceContextPropagator::new().extract_with_context(&Context::new(), &websocket_proxy);
        Self { root, session, tenant }
    }

    /// Make `span` work of this session: `trace.adopt(info_span!("transcript_writer.flush"))`.
    pub fn adopt(&self, span: Span) -> Span {
        self.adopt_under(span, &self.root)
    }

    /// The same, caused by the work `parent` stands for.
    pub fn adopt_under(&self, span: Span, parent: &Context) -> Span {
        // Fails only for a span that no layer listens to.
        let _ = span.set_parent(parent.clone());
        span.set_attribute("session.id", self.session.to_string());
        span.set_attribute("tenant.id", self.tenant.to_string());
        span
    }

    /// The context of a span, to hand to whoever continues its work.
    pub fn context_of(span: &Span) -> Context {
        span.context()
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// A span for a request: the root of a trace of ours. The caller's is a link, and what it says of sampling
/// is nobody's word: a stranger may neither switch our traces off nor choose where they belong.
pub fn request_span(name: &'static str, headers: &HeaderMap, tenant: TenantId) -> Span {
    let span = tracing::info_span!(target: "interview_runtime", "http.request", otel.name = name, otel.kind = "server", tenant.id = %tenant,
        session.id = tracing::field::Empty, http.response.status_code = tracing::field::Empty, error.type = tracing::field::Empty);
    let callers = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    let callers = callers.span().span_context().clone();
    if callers.is_valid() {
        span.add_link(callers);
    }
    span
}

/// The W3C `traceparent` of the current span: where a session's trace begins.
pub fn current_traceparent() -> Option<String> {
    let mut websocket_proxy = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut websocket_proxy);
    websocket_proxy.remove("traceparent")
}

/// One JSON object a line: what a log backend and a person with `jq` both read.
struct JsonLines {
    identity: Identity,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = JsonFields(Map::new());
        let now = crate::clock::now().format(&time::format_description::well_known::Rfc3339).map_err(|_| fmt::Error)?;
        fields.0.insert("timestamp".into(), now.into());
        fields.0.insert("level".into(), event.metadata().level().as_str().into());
        fields.0.insert("target".into(), event.metadata().target().into());
        fields.0.insert("role".into(), self.identity.role.into());
        fields.0.insert("tenant.id".into(), self.identity.tenant.to_string().into());
        if let Some(session) = self.identity.session {
            fields.0.insert("session.id".into(), session.to_string().into());
        }
        // The layer activates the OpenTelemetry context of the span that is entered.
        let context = Context::current();
        let span = context.span().span_context().clone();
        if span.is_valid() {
            fields.0.insert("trace_id".into(), span.trace_id().to_string().into());
            fields.0.insert("span_id".into(), span.span_id().to_string().into());
        }
        event.record(&mut fields);
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

struct JsonFields(Map<String, Value>);

impl Visit for JsonFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.0.insert(field.name().to_owned(), text.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
