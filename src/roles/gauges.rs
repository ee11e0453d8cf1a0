//! Gauges for everything in a process that can fill up.

use crate::actors::journal::Journal;
use crate::http::gateway::websocket_proxy::WebSocketProxy;
use crate::http::limits::Refused;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// Names are part of what operators build on: `docs/RUNBOOK.md` lists them.
pub fn observe(meter: &Meter, journal: &Journal) {
    let gauge = |name: &'static str, unit: &'static str, description: &'static str, read: fn(&Journal) -> usize| {
        let journal = journal.clone();
        // The provider keeps the callback; the handle is of no use to us.
        let _ = meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| observer.observe(read(&journal) as u64, &[]))
            .build();
    };
    gauge("interview.outbox.records", "{record}", "Records that are not stored yet", |journal| journal.backlog().0);
    gauge("interview.outbox.size", "By", "Their size", |journal| journal.backlog().1);
    gauge("interview.line.events", "{event}", "Events on their way to the browser", Journal::outgoing);

    let counter = |name: &'static str, description: &'static str, read: fn((u64, u64)) -> u64| {
        let journal = journal.clone();
        let _ = meter
            .u64_observable_counter(name)
            .with_unit("{record}")
            .with_description(description)
            .with_callback(move |observer| observer.observe(read(journal.refusals(|known| known.totals())), &[]))
            .build();
    };
    counter("interview.records.set_aside", "Records that the database does not take, kept in app.dead_letters", |(aside, _)| {
        aside
    });
    counter("interview.records.lost", "Records that could be stored nowhere", |(_, lost)| lost);

    let conversation = journal.clone();
    let _ = meter
        .u64_observable_counter("interview.replies.troubles")
        .with_unit("{trouble}")
        .with_description("What kept the interviewer from speaking")
        .with_callback(move |observer| {
            for (trouble, times) in conversation.troubles() {
                observer.observe(times, &[KeyValue::new("trouble", trouble.as_str())]);
            }
        })
        .build();
    let conversation = journal.clone();
    let _ = meter
        .u64_observable_counter("interview.transcription.failed")
        .with_unit("{turn}")
        .with_description("Turns of the candidate that could not be transcribed")
        .with_callback(move |observer| {
            for (code, times) in conversation.failed_transcriptions() {
                observer.observe(times, &[KeyValue::new("code", code)]);
            }
        })
        .build();

    let journal = journal.clone();
    let _ = meter
        .u64_observable_gauge("interview.mailbox.messages")
        .with_unit("{message}")
        .with_description("Messages from outside that wait for an actor")
        .with_callback(move |observer| {
            for (actor, gate) in [("signaling_socket", &journal.from_browser), ("control_channel", &journal.from_voice)] {
                observer.observe(gate.waiting() as u64, &[KeyValue::new("actor", actor)]);
            }
        })
        .build();
}

/// How often each bound of docs/LIMITS.md has refused somebody.
pub fn observe_refused(meter: &Meter, refused: &Refused) {
    let refused = refused.clone();
    let _ = meter
        .u64_observable_counter("interview.refused")
        .with_unit("{request}")
        .with_description("Requests and connections refused because of a bound")
        .with_callback(move |observer| {
            for (bound, times) in refused.all().filter(|(_, times)| *times > 0) {
                observer.observe(times, &[KeyValue::new("bound", bound.as_str())]);
            }
        })
        .build();
}

/// WebSockets that a gateway carries at this moment.
pub fn observe_carried(meter: &Meter, websocket_proxy: &WebSocketProxy) {
    let websocket_proxy = websocket_proxy.clone();
    let _ = meter
        .u64_observable_gauge("interview.gateway.carried")
        .with_unit("{connection}")
        .with_description("WebSockets that this gateway carries to their machines")
        .with_callback(move |observer| observer.observe(websocket_proxy.carried() as u64, &[]))
        .build();
}
