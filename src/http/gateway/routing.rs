//! The way to a session's WebSocket: Fly's proxy is told to hand the request to its machine.
//!
//! The upgrade is the session machine's to accept; answering it here would keep the proxy
//! from replaying it.

use super::{AppState, session_id};
use crate::clock;
use crate::config::RoutingMode;
use crate::error::ErrorCode;
use crate::http::problem::ApiError;
use crate::http::replay_state;
use crate::ids::SessionId;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::time::Duration;

const FLY_REPLAY: HeaderName = HeaderName::from_static("fly-replay");
const FLY_REPLAY_FAILED: &str = "fly-replay-failed";
const UUID_CHARS: usize = 36;

/// `GET /ws/{session_id}`
pub(super) async fn by_path(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    route(&state, session_id(&id)?, &headers).await
}

/// `GET /ws` at `interview-{session_id}.…`
pub(super) async fn by_host(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = session_in_host(host).ok_or_else(ApiError::session_not_found)?;
    route(&state, session_id(id)?, &headers).await
}

/// The UUID at the end of the first label.
fn session_in_host(host: &str) -> Option<&str> {
    let label = host.split(['.', ':']).next()?;
    label.get(label.len().checked_sub(UUID_CHARS)?..)
}

async fn route(state: &AppState, id: SessionId, headers: &HeaderMap) -> Result<Response, ApiError> {
    let row = state.store.route(id).await?.ok_or_else(ApiError::session_not_found)?;
    if row.phase.is_terminal() {
        return Err(ApiError::session_over());
    }
    let Some(machine) = row.machine else { return Err(not_ready("the session's machine is being made")) };
    // The proxy tried and gave the request back; it cannot be replayed a second time.
    if let Some(failure) = headers.get(FLY_REPLAY_FAILED) {
        return Err(
            not_ready("the session is starting").because(format!("fly-replay-failed: {}", failure.to_str().unwrap_or("?")))
        );
    }
    match state.config.routing.mode {
        RoutingMode::FlyReplay => {
            let signed = replay_state::sign(&state.config.routing.secrets(), id, clock::now());
            let app = &state.config.fly.session_app;
            let value = format!("app={app};instance={machine};state={signed};timeout=10s;fallback=force_self");
            let value = HeaderValue::from_str(&value).map_err(|error| ApiError::internal(error.to_string()))?;
            Ok((StatusCode::TEMPORARY_REDIRECT, [(FLY_REPLAY, value)]).into_response())
        }
    }
}

fn not_ready(detail: &'static str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::SessionNotReady, detail).retry_after(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::session_in_host;

    #[test]
    fn the_session_is_the_end_of_the_first_label() {
        let id = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001";
        for host in [format!("interview-{id}.example.com"), format!("{id}.rt.example.com:443")] {
            assert_eq!(session_in_host(&host), Some(id), "{host}");
        }
        for host in ["", "localhost:8080", "interviews.fly.dev"] {
            assert_eq!(session_in_host(host), None, "{host}");
        }
    }
}
