use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Link};
use prost::Message as _;
use std::time::Duration;

use crate::{World, answer};

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(Any::StringValue(value.into())) }), ..KeyValue::default() }
}

#[tokio::test]
async fn spans_arrive_with_parents_links_and_attributes() {
    let world = World::start().await;
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0x01; 8],
        parent_span_id: vec![0x02; 8],
        name: "session.start".into(),
        kind: 5,
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 3_000,
        attributes: vec![text("session.id", "s-1")],
        links: vec![Link { trace_id: vec![0xcd; 16], span_id: vec![0x03; 8], ..Link::default() }],
        status: Some(Status { code: 2, message: "boom".into() }),
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: vec![text("service.name", "runtime")], ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    let post = |body: Vec<u8>| {
        world
            .http
            .post(format!("{}/v1/traces", world.sandbox.urls().otlp))
            .header("content-type", "application/x-protobuf")
            .body(body)
    };
    assert_eq!(answer(post(request.encode_to_vec())).await.0, 200);
    assert_eq!(answer(post(vec![0xff, 0xff, 0xff])).await.0, 400);

    let traces = world.sandbox.traces();
    let seen = traces.wait_for(Duration::from_secs(1), |span| span.name == "session.start").await.unwrap();
    assert_eq!(seen.trace_id, "ab".repeat(16));
    assert_eq!((seen.kind, seen.status, seen.status_message.as_str()), ("consumer", "error", "boom"));
    assert_eq!(seen.attribute("session.id").unwrap(), "s-1");
    assert_eq!(seen.resource["service.name"], "runtime");
    assert_eq!(seen.links[0].span_id, "03".repeat(8));
    assert!(!seen.is_root());
    let (_, listed) = answer(world.http.get(world.internal("/sandbox/traces"))).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let metrics = world.internal("/otlp/v1/metrics");
    assert_eq!(answer(world.http.post(metrics).header("content-type", "application/x-protobuf").body("")).await.0, 200);
}
