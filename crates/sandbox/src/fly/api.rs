//! The Machines API: machines.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{MachineState, image_ref, timestamp};
use super::{Fly, Machine, ORG, Token, apps, faults, lifecycle};
use crate::faults::NamedFault;
use crate::util::{lock, now};

pub(super) type Answer = Result<Response, ApiError>;

/// Fly's error: text, and sometimes a status word that outranks the text.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) code: StatusCode,
    pub(super) text: String,
    pub(super) status: Option<&'static str>,
}

impl ApiError {
    pub(super) fn new(code: StatusCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), status: None }
    }

    pub(super) fn status(mut self, status: &'static str) -> Self {
        self.status = Some(status);
        self
    }

    pub(super) fn invalid(text: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("invalid_argument: {text}"))
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("not_found: {what} not found"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.text });
        if let Some(status) = self.status {
            body["status"] = status.into();
        }
        (self.code, Json(body)).into_response()
    }
}

pub(super) fn router(fly: Fly) -> Router {
    let machine = "/apps/{app}/machines/{id}";
    let at = |rest: &str| format!("{machine}{rest}");
    Router::new()
        .merge(apps::routes())
        .route("/apps/{app}/machines", get(list).post(lifecycle::create))
        .route(machine, get(read).delete(lifecycle::destroy))
        .route(&at("/wait"), get(wait))
        .route(&at("/start"), post(lifecycle::start))
        .route(&at("/stop"), post(lifecycle::stop))
        .route(&at("/signal"), post(lifecycle::signal))
        .route(&at("/cordon"), post(lifecycle::cordon))
        .route(&at("/uncordon"), post(lifecycle::uncordon))
        .route(&at("/events"), get(events))
        .route(&at("/metadata"), get(metadata))
        .route(&at("/metadata/{key}"), post(lifecycle::set_metadata).delete(lifecycle::delete_metadata))
        .route(&at("/lease"), get(lifecycle::read_lease).post(lifecycle::take_lease).delete(lifecycle::release_lease))
        .route("/orgs/{org}/machines", get(list_org))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(axum::middleware::from_fn_with_state(fly.clone(), guard))
        .with_state(fly)
}

/// Names for faults and rate limits.
pub(crate) fn route_name(method: &Method, path: &str) -> &'static str {
    let path = path.trim_matches('/');
    let path = path.strip_prefix("v1/").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').collect();
    match (parts.as_slice(), method.as_str()) {
        (["apps"], "POST") => "apps.create",
        (["apps"], _) => "apps.list",
        (["apps", _], "DELETE") => "apps.delete",
        (["apps", _], _) => "apps.get",
        (["apps", _, "machines"], "POST") => "machines.create",
        (["apps", _, "machines"], _) => "machines.list",
        (["apps", _, "machines", _], "DELETE") => "machines.destroy",
        (["apps", _, "machines", _], _) => "machines.get",
        (["apps", _, "machines", _, "wait"], _) => "machines.wait",
        (["apps", _, "machines", _, "start"], _) => "machines.start",
        (["apps", _, "machines", _, "stop"], _) => "machines.stop",
        (["apps", _, "machines", _, "signal"], _) => "machines.signal",
        (["apps", _, "machines", _, "cordon" | "uncordon"], _) => "machines.cordon",
        (["apps", _, "machines", _, "events"], _) => "machines.events",
        (["apps", _, "machines", _, "metadata", ..], _) => "machines.metadata",
        (["apps", _, "machines", _, "lease"], _) => "machines.lease",
        (["apps", _, "secrets", ..], _) => "secrets",
        (["apps", _, "ip_assignments", ..], _) => "ip_assignments",
        (["apps", _, "deploy_token"], _) => "deploy_token",
        (["apps", _, "network_policies", ..], _) => "network_policies",
        (["tokens", "current"], _) => "tokens.current",
        (["orgs", ..], _) => "orgs.machines",
        _ => "unknown",
    }
}

async fn unknown(State(fly): State<Fly>, method: Method, uri: http::Uri) -> ApiError {
    fly.inner.ledger.violation(super::VENDOR, format!("{method} {} is not in the stand-in's Machines API", uri.path()));
    ApiError::new(StatusCode::NOT_FOUND, "not_found: no such endpoint")
}

/// Token, rate limit, and a request id on every answer.
async fn guard(State(fly): State<Fly>, request: Request, next: Next) -> Response {
    let struck = request.extensions().get::<NamedFault>().map(|NamedFault(name)| name.clone()).unwrap_or_default();
    let mut response = match admit(&fly, &request) {
        Ok(()) => match faults::before(&fly, &struck) {
            Some(answer) => answer,
            None => next.run(request).await,
        },
        Err(error) => error.into_response(),
    };
    if response.status().is_success()
        && let Some(answer) = faults::after(&fly, &struck)
    {
        response = answer;
    }
    let id = format!("{}-fra", super::ulid());
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert("fly-request-id", id);
    }
    response
}

/// One scheme, then the token: `Bearer FlyV1 …` is what a careless client sends.
pub(super) fn bare_token(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())?;
    given.strip_prefix("Bearer ").or_else(|| given.strip_prefix("FlyV1 "))
}

fn admit(fly: &Fly, request: &Request) -> Result<(), ApiError> {
    let bare = bare_token(request.headers()).unwrap_or_default();
    let token = lock(&fly.inner.state).tokens.get(bare).cloned();
    let token = token
        .filter(Token::is_valid)
        .ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized: token validation error"))?;
    let path = request.uri().path();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let app = match parts.as_slice() {
        ["apps", app, ..] => Some(*app),
        _ => None,
    };
    if let Token::Deploy { app: own, .. } = &token
        && app != Some(own.as_str())
        && path != "/tokens/current"
    {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "unauthorized: the token has no access to this app"));
    }
    let action = route_name(request.method(), path);
    let scope = match parts.as_slice() {
        ["apps", _, "machines", id, ..] => (*id).to_owned(),
        _ => app.unwrap_or(ORG).to_owned(),
    };
    if fly.options().rate_limits && action.starts_with("machines.") && !fly.inner.limits.allow(&scope, action) {
        fly.count("rate_limit_reached");
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded"));
    }
    Ok(())
}

pub(super) fn find(fly: &Fly, app: &str, id: &str) -> Result<Arc<Machine>, ApiError> {
    fly.machine(id).filter(|machine| machine.app == app).ok_or_else(|| ApiError::not_found(&format!("machine {id}")))
}

/// A machine as the API shows it; `summary` leaves the configuration out.
pub(super) fn machine_json(machine: &Machine, summary: bool) -> Value {
    let status = machine.status();
    let mut shown = json!({
        "id": machine.id,
        "name": machine.name,
        "state": status.state.as_str(),
        "region": machine.region,
        "instance_id": status.instance_id,
        "private_ip": status.address.map(|address| address.ip().to_string()).unwrap_or_default(),
        "image_ref": image_ref(&status.config.image),
        "created_at": timestamp(machine.created),
        "updated_at": timestamp(status.updated),
        "host_status": if status.unreachable { "unreachable" } else { "ok" },
        "cordoned": status.cordoned,
        "events": status.events.iter().take(50).map(super::model::MachineEvent::json).collect::<Vec<_>>(),
        "checks": [],
    });
    // A host that is out of reach takes the configuration with it.
    if !summary && !status.unreachable {
        shown["config"] = answered_config(status.raw_config);
    }
    shown
}

/// Fly takes `autostop` as a word and answers it as a boolean.
fn answered_config(mut config: Value) -> Value {
    for service in config["services"].as_array_mut().into_iter().flatten() {
        let answered = match service["autostop"].as_str() {
            Some("off") => Value::Bool(false),
            Some("stop") => Value::Bool(true),
            _ => continue,
        };
        service["autostop"] = answered;
    }
    config
}

pub(super) fn flag(query: &[(String, String)], name: &str) -> bool {
    query.iter().any(|(key, value)| key == name && value == "true")
}

fn fits(machine: &Machine, query: &[(String, String)], include_deleted: bool, newer_than: Duration) -> bool {
    let status = machine.status();
    if status.state == MachineState::Destroyed && !include_deleted {
        return false;
    }
    if now() - machine.created < newer_than {
        return false;
    }
    query.iter().all(|(key, value)| match key.as_str() {
        "state" => value.split(',').any(|state| state == status.state.as_str()),
        "region" => value.split(',').any(|region| region == machine.region),
        _ => key.strip_prefix("metadata.").is_none_or(|name| status.config.metadata.get(name) == Some(value)),
    })
}

async fn list(
    State(fly): State<Fly>,
    fault: Option<Extension<NamedFault>>,
    Path(app): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answer {
    if fly.app(&app).is_none() {
        return Err(ApiError::not_found("app"));
    }
    let lie = fault.map(|Extension(NamedFault(name))| name).unwrap_or_default();
    let mut machines = fly.machines(&app);
    let include_deleted = flag(&query, "include_deleted") || lie == "list_resurrects";
    machines.retain(|machine| fits(machine, &query, include_deleted, fly.options().list_lag));
    let mut shown: Vec<Value> = machines.iter().map(|machine| machine_json(machine, flag(&query, "summary"))).collect();
    // Lists have been plainly wrong at Fly; a client must not believe them.
    match lie.as_str() {
        "list_empty" if !shown.is_empty() => {
            fly.count("list_empty");
            shown.clear();
        }
        "list_omits" if shown.len() > 1 => {
            fly.count("list_omits");
            let mut turn = false;
            shown.retain(|_| {
                turn = !turn;
                turn
            });
        }
        "list_resurrects" if shown.iter().any(|machine| machine["state"] == "destroyed") => {
            fly.count("list_resurrects");
            for machine in &mut shown {
                machine["state"] = "started".into();
            }
        }
        _ => {}
    }
    Ok(Json(shown).into_response())
}

async fn list_org(State(fly): State<Fly>, Query(query): Query<Vec<(String, String)>>) -> Answer {
    let names: Vec<String> = lock(&fly.inner.state).apps.keys().cloned().collect();
    let mut shown = Vec::new();
    for app in names {
        for machine in fly.machines(&app) {
            if fits(&machine, &query, flag(&query, "include_deleted"), fly.options().list_lag) {
                let mut value = machine_json(&machine, false);
                value["app_name"] = machine.app.as_str().into();
                shown.push(value);
            }
        }
    }
    Ok(Json(json!({ "machines": shown, "error_regions": [], "last_updated": timestamp(now()) })).into_response())
}

/// A machine that was just made may not be known everywhere yet.
const YOUNG: Duration = Duration::from_secs(3);

async fn read(State(fly): State<Fly>, fault: Option<Extension<NamedFault>>, Path((app, id)): Path<(String, String)>) -> Answer {
    let machine = find(&fly, &app, &id)?;
    let mut shown = machine_json(&machine, false);
    match fault.as_ref().map(|Extension(NamedFault(name))| name.as_str()) {
        Some("not_found_yet") if now() - machine.created < YOUNG => {
            fly.count("not_found_yet");
            return Err(ApiError::not_found(&format!("machine {id}")));
        }
        Some("host_blind") => {
            fly.count("host_blind");
            shown["host_status"] = "unreachable".into();
            shown.as_object_mut().map(|shown| shown.remove("config"));
        }
        _ => {}
    }
    Ok(Json(shown).into_response())
}

async fn wait(
    State(fly): State<Fly>,
    fault: Option<Extension<NamedFault>>,
    Path((app, id)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answer {
    let machine = find(&fly, &app, &id)?;
    let mut states = Vec::new();
    let mut seconds = 60u64;
    for (key, value) in &query {
        match key.as_str() {
            "state" => {
                for word in value.split(',') {
                    states.extend(wait_states(word)?);
                }
            }
            "timeout" => {
                let digits = value.strip_suffix('s').unwrap_or(value);
                seconds = digits.parse().map_err(|_| ApiError::invalid("timeout is not a number"))?;
            }
            _ => {}
        }
    }
    if !(1..=60).contains(&seconds) {
        return Err(ApiError::invalid("timeout must be within [1s, 1m0s]"));
    }
    if states.is_empty() {
        states.push(MachineState::Started);
    }
    let elapsed = fault.is_some_and(|Extension(NamedFault(name))| name == "wait_elapsed");
    if elapsed {
        fly.count("wait_elapsed");
    }
    let patience = if elapsed { Duration::ZERO } else { Duration::from_secs(seconds) };
    match machine.wait_for(&states, patience).await {
        Some(state) => {
            let status = machine.status();
            let event = status.events.front().map(|event| event.id.clone());
            let body = json!({ "ok": true, "state": state.as_str(), "version": status.instance_id, "event_id": event });
            Ok(Json(body).into_response())
        }
        None => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("deadline_exceeded: machine {id} is {} after {seconds}s", machine.state().as_str()),
        )),
    }
}

fn wait_states(word: &str) -> Result<Vec<MachineState>, ApiError> {
    Ok(match word {
        "started" => vec![MachineState::Started],
        "stopped" => vec![MachineState::Stopped],
        "destroyed" => vec![MachineState::Destroyed],
        "failed" => vec![MachineState::Failed],
        "suspended" => vec![],
        "settled" => vec![MachineState::Started, MachineState::Stopped, MachineState::Failed, MachineState::Destroyed],
        _ => return Err(ApiError::invalid(format!("state {word} cannot be waited for"))),
    })
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn events(State(fly): State<Fly>, Path((app, id)): Path<(String, String)>, Query(query): Query<Limit>) -> Answer {
    let status = find(&fly, &app, &id)?.status();
    let limit = query.limit.unwrap_or(20).min(50);
    let events: Vec<Value> = status.events.iter().take(limit).map(super::model::MachineEvent::json).collect();
    Ok(Json(events).into_response())
}

async fn metadata(State(fly): State<Fly>, Path((app, id)): Path<(String, String)>) -> Answer {
    Ok(Json(find(&fly, &app, &id)?.status().config.metadata).into_response())
}
