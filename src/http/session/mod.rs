//! What a session process serves: its one WebSocket, its health, and, in the sandbox only, ways to break it on purpose.

pub mod frames;
pub mod socket;

use crate::actors::Injected;
use crate::actors::journal::Journal;
use crate::actors::messages::{SessionMsg, Snapshot};
use crate::actors::tree::Child;
use crate::config::Config;
use crate::http::headers::{NO_PAGE, with_security_headers};
use crate::http::health;
use crate::http::limits::SessionLimits;
use crate::ids::SessionId;
use crate::ports::Rows;
use crate::telemetry::Trace;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use ractor::ActorRef;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::watch;

#[derive(Clone)]
pub struct SessionHttp {
    pub limits: SessionLimits,
    pub config: Arc<Config>,
    pub session_id: SessionId,
    pub store: Rows,
    pub journal: Journal,
    /// The tree's root; replaced when the tree is started afresh.
    pub root: watch::Receiver<ActorRef<SessionMsg>>,
    pub trace: Trace,
    pub ready: Arc<AtomicBool>,
}

pub fn router(http: SessionHttp) -> Router {
    let health = health::router(http.ready.clone());
    let mut router = Router::new()
        .route("/ws/{session_id}", get(socket::open))
        // The seed's form: the session is in the host name.
        .route("/ws", get(socket::open_by_host));
    if http.config.sandbox.enabled {
        router = router.route("/debug/snapshot", get(snapshot));
    }
    if http.config.sandbox.fault_injection {
        router = router
            .route("/debug/crash/{child}", post(crash))
            .route("/debug/crash-holding/{child}", post(crash_holding))
            .route("/debug/hang/{child}", post(hang))
            .route("/debug/stall/{ms}", post(stall));
    }
    let config = http.config.clone();
    with_security_headers(router.with_state(http).merge(health), &config, NO_PAGE)
}

async fn snapshot(State(http): State<SessionHttp>) -> Result<Json<Snapshot>, StatusCode> {
    let root = http.root.borrow().clone();
    ractor::call_t!(root, |reply| SessionMsg::GetSnapshot { reply }, Duration::from_secs(2).as_millis() as u64)
        .map(Json)
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn crash(State(http): State<SessionHttp>, Path(child): Path<String>) -> StatusCode {
    match child.as_str() {
        "session" => tell(&http, SessionMsg::Crash),
        _ => inject(&http, &child, Injected::Panic),
    }
}

async fn crash_holding(State(http): State<SessionHttp>, Path(child): Path<String>) -> StatusCode {
    inject(&http, &child, Injected::PanicHolding)
}

async fn hang(State(http): State<SessionHttp>, Path(child): Path<String>) -> StatusCode {
    inject(&http, &child, Injected::Hang)
}

fn inject(http: &SessionHttp, child: &str, fault: Injected) -> StatusCode {
    Child::named(child).map_or(StatusCode::NOT_FOUND, |child| tell(http, SessionMsg::Inject(child, fault)))
}

fn tell(http: &SessionHttp, message: SessionMsg) -> StatusCode {
    match http.root.borrow().cast(message) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Blocks the event loop, as a forgotten blocking call would.
async fn stall(Path(ms): Path<u64>) -> StatusCode {
    std::thread::sleep(Duration::from_millis(ms));
    StatusCode::OK
}
