//! `/sandbox/…`: what happened, which faults come next, who may sign in.

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_video::ApiVideo;
use crate::bootstrap::{TENANT_ID, TENANT_NAME, TENANT_SLUG};
use crate::faults::{FaultOrder, Faults};
use crate::fly::Fly;
use crate::fly::proxy::Door;
use crate::ledger::Ledger;
use crate::mail::{self, Mailbox};
use crate::openai::OpenAi;
use crate::otlp::Traces;
use crate::supabase::Supabase;

const NOTICE: &str =
    "This is a sandbox. The interviewer's voice is recorded beforehand, and a candidate's words are scripted, not recognised.";

#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) traces: Traces,
    pub(crate) supabase: Supabase,
    pub(crate) openai: OpenAi,
    pub(crate) api_video: ApiVideo,
    pub(crate) fly: Fly,
    pub(crate) door: Door,
    pub(crate) mailbox: Mailbox,
}

pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/info", get(info))
        .route("/mail", get(mail))
        .nest_service("/mailbox", mail::router(control.mailbox.clone()))
        .route("/ledger", get(ledger).delete(clear_ledger))
        .route("/violations", get(violations))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/openai/inject", post(inject))
        .route("/fly/lose", post(lose_machine))
        .route("/state", get(state))
        .route("/traces", get(traces).delete(clear_traces))
        .with_state(control)
}

async fn info(State(control): State<Control>) -> Json<Value> {
    let sign_ins: Vec<Value> = control
        .supabase
        .users()
        .iter()
        .filter(|user| user.app_metadata["tenant_id"] == TENANT_ID)
        .filter_map(|user| {
            let password = user.password.as_deref()?;
            Some(json!({
                "email": user.email, "password": password, "name": user.name,
                "role": user.app_metadata["tenant_role"],
            }))
        })
        .collect();
    Json(json!({
        "sandbox": true,
        "tenant": { "id": TENANT_ID, "slug": TENANT_SLUG, "name": TENANT_NAME },
        "sign_ins": sign_ins,
        "notice": NOTICE,
    }))
}

async fn mail(State(control): State<Control>) -> Json<Value> {
    Json(json!({ "items": control.supabase.mail() }))
}

#[derive(Deserialize)]
struct LedgerQuery {
    vendor: Option<String>,
    /// Only the last so many.
    limit: Option<usize>,
}

async fn ledger(State(control): State<Control>, Query(query): Query<LedgerQuery>) -> Json<Value> {
    let mut entries = control.ledger.find(|entry| query.vendor.as_deref().is_none_or(|vendor| vendor == entry.vendor));
    if let Some(limit) = query.limit {
        entries.drain(..entries.len().saturating_sub(limit));
    }
    Json(json!({ "items": entries, "dropped": control.ledger.dropped() }))
}

async fn clear_ledger(State(control): State<Control>) -> StatusCode {
    control.ledger.clear();
    StatusCode::NO_CONTENT
}

async fn violations(State(control): State<Control>) -> Json<Value> {
    Json(json!({ "items": control.ledger.violations() }))
}

async fn faults(State(control): State<Control>) -> Json<Value> {
    let pending: Vec<FaultOrder> = control.faults.pending().into_iter().map(Into::into).collect();
    Json(json!({ "items": pending }))
}

async fn add_fault(State(control): State<Control>, Json(order): Json<FaultOrder>) -> StatusCode {
    control.faults.add(order.into());
    StatusCode::CREATED
}

async fn clear_faults(State(control): State<Control>) -> StatusCode {
    control.faults.clear();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Injection {
    name: String,
    call_id: Option<String>,
}

/// Something goes wrong now, in one living call or in all.
async fn inject(State(control): State<Control>, Json(body): Json<Injection>) -> Json<Value> {
    let calls = control.openai.inject(&body.name, body.call_id.as_deref());
    Json(json!({ "calls": calls }))
}

#[derive(Deserialize)]
struct Loss {
    machine_id: String,
}

/// The host of a machine is gone, and the machine with it: no signal, no restart.
async fn lose_machine(State(control): State<Control>, Json(body): Json<Loss>) -> StatusCode {
    if control.fly.lose(&body.machine_id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn state(State(control): State<Control>) -> Json<Value> {
    Json(json!({
        "fly": control.fly.snapshot(),
        "open_tunnels": control.door.open_tunnels(),
        "openai": control.openai.snapshot(),
        "api_video": control.api_video.snapshot(),
    }))
}

#[derive(Deserialize)]
struct TraceQuery {
    trace_id: Option<String>,
}

async fn traces(State(control): State<Control>, Query(query): Query<TraceQuery>) -> Json<Value> {
    let spans = control.traces.find(|span| query.trace_id.as_deref().is_none_or(|id| id == span.trace_id));
    Json(json!({ "items": spans }))
}

async fn clear_traces(State(control): State<Control>) -> StatusCode {
    control.traces.clear();
    StatusCode::NO_CONTENT
}
