//! The route to a session's WebSocket: Fly's proxy is told to pass the request to the session's machine, or this gateway
//! proxies it there.
//!
//! With `fly_replay` the session's machine must accept the upgrade. If the gateway accepted it, the proxy would not replay the
//! request.

use super::websocket_proxy::{asks_for_websocket, no_websocket};
use super::{AppState, session_id};
use crate::clock;
use crate::config::RoutingMode;
use crate::http::limits::Address;
use crate::http::problem::ApiError;
use crate::http::replay_state;
use crate::ids::{MachineId, SessionId};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const FLY_REPLAY: HeaderName = HeaderName::from_static("fly-replay");
const FLY_REPLAY_FAILED: &str = "fly-replay-failed";
const UUID_CHARS: usize = 36;

/// `GET /ws/{session_id}`
pub(super) async fn by_path(
    State(state): State<AppState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    route(&state, session_id(&id)?, request).await
}

/// `GET /ws` at `interview-{session_id}.…`
pub(super) async fn by_host(State(state): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = session_in_host(host).ok_or_else(ApiError::session_not_found)?;
    let id = session_id(id)?;
    route(&state, id, request).await
}

/// The UUID at the end of the first label.
fn session_in_host(host: &str) -> Option<&str> {
    let label = host.split(['.', ':']).next()?;
    label.get(label.len().checked_sub(UUID_CHARS)?..)
}

async fn route(state: &AppState, id: SessionId, request: Request) -> Result<Response, ApiError> {
    if !asks_for_websocket(&request) {
        return Err(no_websocket());
    }
    let client = Address::asking(request.extensions());
    // Nobody has signed in yet: what is asked of the database here is asked for a stranger.
    if !state.limits.look_for(id, client)? {
        return Err(ApiError::session_not_found());
    }
    let machine = machine_of(state, id).await?;
    let proof = replay_state::sign(&state.signing, id, clock::now());
    match state.config.routing.mode {
        RoutingMode::FlyReplay => match request.headers().get(FLY_REPLAY_FAILED) {
            // The proxy tried and gave the request back; it cannot be replayed a second time.
            Some(failure) => {
                let failure = failure.to_str().unwrap_or("?");
                Err(ApiError::session_not_ready("the session is starting").because(format!("fly-replay-failed: {failure}")))
            }
            None => replay(state, &machine, &proof),
        },
        RoutingMode::Proxy6pn => match state.websocket_proxy.carry(request, id, client, &machine, &proof).await {
            Ok(response) => Ok(response),
            Err(error) => {
                // It may have ended while we knocked.
                machine_of(state, id).await?;
                Err(error.into())
            }
        },
    }
}

/// The machine of a session that is not over.
async fn machine_of(state: &AppState, id: SessionId) -> Result<MachineId, ApiError> {
    let row = state.store.route(id).await?;
    state.limits.looked_for(id, row.is_some());
    let row = row.ok_or_else(ApiError::session_not_found)?;
    if row.phase.is_terminal() {
        return Err(ApiError::session_over());
    }
    row.machine.ok_or_else(|| ApiError::session_not_ready("the session's machine is being made"))
}

fn replay(state: &AppState, machine: &MachineId, proof: &str) -> Result<Response, ApiError> {
    // Whole seconds: the only form that Fly's own examples have.
    let (app, timeout) = (&state.config.fly.session_app, state.config.routing.connect_timeout().as_secs().max(1));
    let value = format!("app={app};instance={machine};state={proof};timeout={timeout}s;fallback=force_self");
    let value = HeaderValue::from_str(&value).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(FLY_REPLAY, value)]).into_response())
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
