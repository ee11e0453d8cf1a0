//! What a process serves while it waits for its session: its health, and the one assignment.

use crate::clock;
use crate::error::ErrorCode;
use crate::http::health;
use crate::http::problem::ApiError;
use crate::ids::{MachineId, SessionId};
use crate::integrations::assign::Assignment;
use crate::signature::PublicKeys;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

const MAX_BODY_BYTES: usize = 4 * 1024;

/// A process that waits. The first assignment takes the sender; there is no second one.
#[derive(Clone)]
pub struct Waiting(Arc<Inner>);

struct Inner {
    machine: MachineId,
    gateway: PublicKeys,
    assigned: Mutex<Option<oneshot::Sender<SessionId>>>,
}

impl Waiting {
    /// With where the session arrives.
    pub fn new(machine: MachineId, gateway: PublicKeys) -> (Self, oneshot::Receiver<SessionId>) {
        let (sender, assigned) = oneshot::channel();
        (Self(Arc::new(Inner { machine, gateway, assigned: Mutex::new(Some(sender)) })), assigned)
    }
}

pub fn router(waiting: Waiting) -> Router {
    Router::new()
        .route("/assign", post(assign))
        .fallback(not_yet)
        .with_state(waiting)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .merge(health::router(Arc::new(AtomicBool::new(true))))
}

async fn assign(
    State(Waiting(waiting)): State<Waiting>,
    body: Result<Json<Assignment>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let refused = |status, detail| {
        tracing::warn!(error_code = ErrorCode::AssignmentRefused.as_str(), reason = detail, "an assignment was refused");
        ApiError::new(status, ErrorCode::AssignmentRefused, detail)
    };
    let Ok(Json(assignment)) = body else { return Err(refused(StatusCode::BAD_REQUEST, "not an assignment")) };
    if !assignment.is_valid(&waiting.gateway, &waiting.machine, clock::now()) {
        return Err(refused(StatusCode::UNAUTHORIZED, "not signed for this machine, or too old"));
    }
    let sender = waiting.assigned.lock().unwrap_or_else(PoisonError::into_inner).take();
    match sender.map(|sender| sender.send(assignment.session_id)) {
        Some(Ok(())) => Ok(StatusCode::ACCEPTED),
        // Told to stop a moment ago.
        Some(Err(_)) => Err(refused(StatusCode::SERVICE_UNAVAILABLE, "this machine is stopping")),
        None => Err(refused(StatusCode::CONFLICT, "this machine has its session")),
    }
}

/// A browser that is sent here before the session has begun tries again.
async fn not_yet() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::SessionNotReady, "the session is starting")
        .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SigningKeys;
    use axum::body::Body;
    use axum::http::{Request, header};
    use secrecy::SecretString;
    use tower::ServiceExt;
    use uuid::Uuid;

    async fn post_to(waiting: &Waiting, body: String) -> StatusCode {
        let request = Request::post("/assign").header(header::CONTENT_TYPE, "application/json").body(Body::from(body));
        router(waiting.clone()).oneshot(request.expect("a request")).await.expect("an answer").status()
    }

    #[tokio::test]
    async fn one_assignment_is_taken_and_whatever_is_not_ours_is_not() {
        let derive = |secret: &str| SigningKeys::derive(&SecretString::from(secret), None).expect("a key pair");
        let keys = derive("0123456789abcdef0123456789abcdef");
        let (machine, session) = (MachineId::from("148e"), SessionId(Uuid::now_v7()));
        let (waiting, assigned) = Waiting::new(machine.clone(), keys.public());
        let json = |assignment: &Assignment| serde_json::to_string(assignment).expect("JSON");
        let good = Assignment::sign(&keys, &machine, session, clock::now());

        let other = Assignment { session_id: SessionId(Uuid::now_v7()), ..good.clone() };
        let old = Assignment::sign(&keys, &machine, session, clock::now() - time::Duration::hours(1));
        let elsewhere = Assignment::sign(&keys, &MachineId::from("148f"), session, clock::now());
        // All that a machine knows, taken for a secret, signs nothing that it takes.
        let forged = Assignment::sign(&derive(&keys.public().to_string()), &machine, session, clock::now());
        for refused in [&other, &old, &elsewhere, &forged] {
            assert_eq!(post_to(&waiting, json(refused)).await, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(post_to(&waiting, "{}".to_owned()).await, StatusCode::BAD_REQUEST);

        assert_eq!(post_to(&waiting, json(&good)).await, StatusCode::ACCEPTED);
        assert_eq!(post_to(&waiting, json(&good)).await, StatusCode::CONFLICT, "a replay");
        let second = Assignment::sign(&keys, &machine, SessionId(Uuid::now_v7()), clock::now());
        assert_eq!(post_to(&waiting, json(&second)).await, StatusCode::CONFLICT);
        assert_eq!(assigned.await.expect("assigned"), session);
    }
}
