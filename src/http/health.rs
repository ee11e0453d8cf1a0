//! Whether the process lives, and whether it accepts requests. The same for both roles.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// `/healthz` answers as long as the process lives; `/readyz` while `ready` is set.
pub fn router(ready: Arc<AtomicBool>) -> Router {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(readiness)).with_state(ready)
}

async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

async fn readiness(State(ready): State<Arc<AtomicBool>>) -> (StatusCode, Json<Health>) {
    if ready.load(Ordering::Relaxed) {
        (StatusCode::OK, Json(Health { status: "ready" }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "not_ready" }))
    }
}
