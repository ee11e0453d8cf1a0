//! The sideband: a WebSocket beside a call, for the server that made it.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::OpenAi;
use super::call::{CallHandle, Command, ToSideband};
use super::http_api::{Caller, authenticate, refuse, refuse_beta};
use super::problem::Problem;
use crate::faults::NamedFault;

/// Events a reader may be behind.
const OUTBOX: usize = 4_096;
const MAX_MESSAGE: usize = 1024 * 1024;
const SEND_DEADLINE: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Router<OpenAi> {
    Router::new().route("/v1/realtime", get(join))
}

#[derive(Debug, Deserialize)]
struct Target {
    call_id: Option<String>,
    model: Option<String>,
    intent: Option<String>,
}

async fn join(
    State(openai): State<OpenAi>,
    Query(target): Query<Target>,
    fault: Option<Extension<NamedFault>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let fault = fault.map(|Extension(NamedFault(name))| name);
    if fault.as_deref() == Some("refuse_sideband_404") {
        return refuse(&openai, "a sideband", Problem::call_not_found());
    }
    let call = match find(&openai, &target, &headers) {
        Ok(call) => call,
        Err(problem) => return refuse(&openai, "GET /v1/realtime", problem),
    };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let problem = Problem::invalid("invalid_request", format!("Expected a WebSocket upgrade: {rejection}"));
            return refuse(&openai, "GET /v1/realtime", problem);
        }
    };
    let beta = refuse_beta(&headers).err();
    if let Some(problem) = &beta {
        super::recording::report(openai.ledger(), "GET /v1/realtime", problem);
    }
    let id = openai.next_sideband();
    let tasks = openai.inner.tasks.clone();
    upgrade.max_message_size(MAX_MESSAGE).on_upgrade(move |socket| {
        // Tracked, so that a stop waits for the last frames.
        tasks.track_future(async move {
            match (beta, fault.as_deref()) {
                (Some(problem), _) => refuse_on_socket(socket, &problem).await,
                (None, Some("drop_sideband")) => drop(socket),
                (None, _) => serve(socket, id, call, openai.inner.stop.clone()).await,
            }
        })
    })
}

fn find(openai: &OpenAi, target: &Target, headers: &HeaderMap) -> Result<CallHandle, Problem> {
    match authenticate(openai, headers)? {
        Caller::Project => {}
        Caller::Ephemeral { .. } => return Err(Problem::unauthorized("A sideband needs the key that made the call.")),
    }
    let Some(call_id) = &target.call_id else {
        // A plain Realtime socket carries audio; interviews do not use it.
        let message = "This stand-in only serves sideband sockets: 'call_id' is required.";
        return Err(Problem::invalid("missing_required_parameter", message).at("call_id"));
    };
    if target.model.is_some() || target.intent.is_some() {
        let message = "'model', 'call_id' and 'intent' are mutually exclusive.";
        return Err(Problem::invalid("invalid_request", message).at("call_id"));
    }
    let call = openai.living_call(call_id)?;
    if call.ephemeral {
        return Err(Problem::call_not_found());
    }
    Ok(call)
}

/// The vendor lets a beta client in, tells it why not, and closes.
async fn refuse_on_socket(mut socket: WebSocket, problem: &Problem) {
    let event = json!({ "type": "error", "event_id": "event_beta", "error": problem.event_error(None) });
    let _ = socket.send(Message::Text(event.to_string().into())).await;
    let frame = CloseFrame { code: 4000, reason: Utf8Bytes::from_static("beta_api_shape_disabled") };
    let _ = socket.send(Message::Close(Some(frame))).await;
}

async fn serve(mut socket: WebSocket, id: u64, call: CallHandle, stop: tokio_util::sync::CancellationToken) {
    let (outbox, mut events) = mpsc::channel(OUTBOX);
    if call.commands.send(Command::Attach { sideband: id, outbox }).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(ToSideband::Event(text)) => {
                    let sent = socket.send(Message::Text(Utf8Bytes::from(&*text)));
                    if !matches!(tokio::time::timeout(SEND_DEADLINE, sent).await, Ok(Ok(()))) {
                        break;
                    }
                }
                Some(ToSideband::Close { code, reason }) => {
                    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
                    let closed = socket.send(Message::Close(Some(frame)));
                    let _ = tokio::time::timeout(SEND_DEADLINE, closed).await;
                    // The other side's answer to the close, or a second of patience.
                    let _ = tokio::time::timeout(Duration::from_secs(1), socket.recv()).await;
                    return;
                }
                Some(ToSideband::Drop) | None => return,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let text = text.as_str().to_owned();
                    // Of an ended call nobody reads; the vendor does not say so either.
                    let _ = tokio::time::timeout(SEND_DEADLINE, call.commands.send(Command::ClientEvent { text })).await;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
            () = stop.cancelled() => return,
        }
    }
    let _ = tokio::time::timeout(SEND_DEADLINE, call.commands.send(Command::Detach { sideband: id })).await;
}
