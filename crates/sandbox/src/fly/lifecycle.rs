//! The Machines API: creating, starting, stopping and destroying machines, and who may.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Answer, ApiError, find, flag, machine_json};
use super::model::{Config, FlyDuration, Lease, MachineState};
use super::runner::Order;
use super::{CreateError, Draft, Fly, Machine, checks, faults};
use crate::faults::NamedFault;
use crate::process;
use crate::util::{now, random_hex};

const REGIONS: &[&str] = &[
    "ams", "arn", "bom", "cdg", "dfw", "ewr", "fra", "gru", "iad", "jnb", "lax", "lhr", "nrt", "ord", "sin", "sjc", "syd", "yyz",
];
const ALIASES: &[&str] = &["us", "usa", "eu", "na", "sa", "apac", "any"];

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct CreateBody {
    name: Option<String>,
    region: Option<String>,
    skip_launch: bool,
    skip_service_registration: bool,
    min_secrets_version: Option<u64>,
}

pub(super) async fn create(
    State(fly): State<Fly>,
    fault: Option<Extension<NamedFault>>,
    Path(app): Path<String>,
    body: Bytes,
) -> Answer {
    let raw: Value = serde_json::from_slice(&body).map_err(ApiError::invalid)?;
    for complaint in checks::complaints(&raw) {
        fly.inner.ledger.violation(super::VENDOR, complaint);
    }
    let wanted: CreateBody = serde_json::from_value(raw.clone()).map_err(ApiError::invalid)?;
    let config: Config =
        serde_json::from_value(raw["config"].clone()).map_err(|error| ApiError::invalid(format!("config: {error}")))?;
    let fault = fault.map(|Extension(NamedFault(name))| name).unwrap_or_default();
    if config.image.is_empty() {
        return Err(ApiError::invalid("config.image is required"));
    }
    let known = fly.app(&app).ok_or_else(|| ApiError::not_found("app"))?;
    if wanted.min_secrets_version.is_some_and(|version| version > known.secrets_version) {
        return Err(ApiError::invalid("min_secrets_version is newer than the app's secrets"));
    }
    let draft = Draft {
        name: wanted.name.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("machine-{}", random_hex::<4>())),
        region: choose_region(wanted.region.as_deref().unwrap_or_default(), &fly.options().region)?,
        config,
        raw_config: raw["config"].clone(),
        cordoned: wanted.skip_service_registration,
        external: None,
    };
    let name = draft.name.clone();
    // A name that is taken is told of before there could be a question of room.
    if !fly.is_taken(&app, &name)
        && let Some(refusal) = faults::refusal(&fly, &fault)
    {
        return Err(refusal);
    }
    let machine = fly.create(&app, draft).map_err(|error| match error {
        CreateError::NoApp => ApiError::not_found("app"),
        CreateError::NameTaken { id } => ApiError::new(
            StatusCode::CONFLICT,
            format!("already_exists: unique machine name violation, machine ID {id} already exists with name \"{name}\""),
        ),
        CreateError::TooMany => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "your organization has reached its machine limit")
        }
        CreateError::Stopping => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "shutting down"),
    })?;
    match fault.as_str() {
        _ if wanted.skip_launch => {}
        // Fly has left machines in `created` for hours after a good answer.
        "stuck_created" => fly.count("stuck_created"),
        boots => {
            let (booting, boot_time, fails) = (Arc::clone(&machine), fly.options().boot_time, boots == "launch_failed");
            if fails {
                fly.count("launch_failed");
            }
            fly.inner.tasks.spawn(async move {
                tokio::time::sleep(boot_time).await;
                if fails {
                    booting.change(|status| {
                        status.state = MachineState::Failed;
                        status.note("launch", "failed", "flyd", json!({ "error": "could not unpack image" }));
                    });
                } else {
                    booting.order(Order::Start);
                }
            });
        }
    }
    Ok(Json(machine_json(&machine, false)).into_response())
}

/// One code, a list in order of preference, or an alias.
fn choose_region(wanted: &str, home: &str) -> Result<String, ApiError> {
    let mut chosen = None;
    for code in wanted.split(',').map(str::trim).filter(|code| !code.is_empty()) {
        if REGIONS.contains(&code) {
            chosen.get_or_insert(code);
        } else if ALIASES.contains(&code) {
            chosen.get_or_insert(home);
        } else {
            return Err(ApiError::invalid(format!("region {code} not found")));
        }
    }
    Ok(chosen.unwrap_or(home).to_owned())
}

/// While somebody holds the lease, changes need its nonce.
fn check_lease(machine: &Machine, headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get("fly-machine-lease-nonce").and_then(|value| value.to_str().ok());
    match machine.status().lease {
        Some(lease) if lease.expires > now() && given != Some(lease.nonce.as_str()) => {
            Err(ApiError::new(StatusCode::CONFLICT, format!("lease currently held by {}", lease.owner)))
        }
        _ => Ok(()),
    }
}

fn send(machine: &Machine, order: Order) -> Result<(), ApiError> {
    if machine.order(order) {
        Ok(())
    } else {
        Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable: the machine has too many requests open"))
    }
}

pub(super) async fn start(State(fly): State<Fly>, Path((app, id)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let machine = find(&fly, &app, &id)?;
    check_lease(&machine, &headers)?;
    let previous = machine.state();
    if previous.is_gone() {
        return Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            format!("failed_precondition: unable to start machine from current state: '{}'", previous.as_str()),
        ));
    }
    send(&machine, Order::Start)?;
    Ok(Json(json!({ "previous_state": previous.as_str(), "migrated": false, "new_host": "" })).into_response())
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct StopBody {
    signal: Option<String>,
    timeout: Option<FlyDuration>,
}

pub(super) async fn stop(
    State(fly): State<Fly>,
    Path((app, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let machine = find(&fly, &app, &id)?;
    check_lease(&machine, &headers)?;
    let body: StopBody =
        if body.is_empty() { StopBody::default() } else { serde_json::from_slice(&body).map_err(ApiError::invalid)? };
    let signal = match body.signal.as_deref() {
        None | Some("") => None,
        Some(name) => Some(process::signal_by_name(name).ok_or_else(|| ApiError::invalid(format!("signal {name}")))?),
    };
    send(&machine, Order::Stop { signal, timeout: body.timeout.map(|timeout| timeout.0) })?;
    Ok(Json(json!({ "ok": true })).into_response())
}

pub(super) async fn signal(
    State(fly): State<Fly>,
    Path((app, id)): Path<(String, String)>,
    Json(body): Json<StopBody>,
) -> Answer {
    let machine = find(&fly, &app, &id)?;
    let name = body.signal.unwrap_or_default();
    let signal = process::signal_by_name(&name).ok_or_else(|| ApiError::invalid(format!("signal {name}")))?;
    send(&machine, Order::Signal(signal))?;
    Ok(Json(json!({ "ok": true })).into_response())
}

pub(super) async fn destroy(
    State(fly): State<Fly>,
    fault: Option<Extension<NamedFault>>,
    Path((app, id)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Answer {
    let machine = find(&fly, &app, &id)?;
    check_lease(&machine, &headers)?;
    let state = machine.state();
    let force = flag(&query, "force") || flag(&query, "kill");
    let running =
        matches!(state, MachineState::Started | MachineState::Starting | MachineState::Restarting | MachineState::Stopping);
    if running && !force {
        return Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            format!(
                "failed_precondition: unable to destroy machine, not currently in a state that allows it: '{}'",
                state.as_str()
            ),
        ));
    }
    if machine.status().unreachable && !state.is_gone() {
        // Nobody can be told there: it stays so until the host is back.
        fly.count("destroy_queued");
        machine.change(|status| {
            status.state = MachineState::Destroying;
            status.note("destroy", "destroying", "user", Value::Null);
        });
    } else if !state.is_gone() {
        if fault.is_some_and(|Extension(NamedFault(name))| name == "destroy_lingers") {
            fly.count("destroy_lingers");
            machine.change(|status| status.lingers = true);
        }
        send(&machine, Order::Destroy)?;
    }
    Ok(Json(json!({ "ok": true })).into_response())
}

pub(super) async fn cordon(State(fly): State<Fly>, Path((app, id)): Path<(String, String)>) -> Answer {
    find(&fly, &app, &id)?.change(|status| status.cordoned = true);
    Ok(Json(json!({ "ok": true })).into_response())
}

pub(super) async fn uncordon(State(fly): State<Fly>, Path((app, id)): Path<(String, String)>) -> Answer {
    find(&fly, &app, &id)?.change(|status| status.cordoned = false);
    Ok(Json(json!({ "ok": true })).into_response())
}

#[derive(Deserialize)]
pub(super) struct MetadataValue {
    value: String,
}

pub(super) async fn set_metadata(
    State(fly): State<Fly>,
    Path((app, id, key)): Path<(String, String, String)>,
    Json(body): Json<MetadataValue>,
) -> Answer {
    find(&fly, &app, &id)?.change(|status| {
        status.raw_config["metadata"][&key] = body.value.as_str().into();
        status.config.metadata.insert(key, body.value);
    });
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn delete_metadata(State(fly): State<Fly>, Path((app, id, key)): Path<(String, String, String)>) -> Answer {
    find(&fly, &app, &id)?.change(|status| {
        if let Some(all) = status.raw_config["metadata"].as_object_mut() {
            all.remove(&key);
        }
        status.config.metadata.remove(&key);
    });
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn lease_json(lease: &Lease, version: &str) -> Value {
    json!({ "status": "success", "data": {
        "nonce": lease.nonce, "expires_at": lease.expires.unix_timestamp(),
        "owner": lease.owner, "description": lease.description, "version": version
    } })
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct LeaseBody {
    ttl: Option<i64>,
    description: String,
}

pub(super) async fn take_lease(
    State(fly): State<Fly>,
    Path((app, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let machine = find(&fly, &app, &id)?;
    check_lease(&machine, &headers)?;
    let body: LeaseBody = serde_json::from_slice(&body).unwrap_or_default();
    let lease = Lease {
        nonce: random_hex::<6>(),
        owner: "sandbox@fly.io".into(),
        description: body.description,
        expires: now() + time::Duration::seconds(body.ttl.unwrap_or(13).clamp(1, 3_600)),
    };
    let shown = lease_json(&lease, &machine.status().instance_id);
    machine.change(|status| status.lease = Some(lease));
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

pub(super) async fn read_lease(State(fly): State<Fly>, Path((app, id)): Path<(String, String)>) -> Answer {
    let status = find(&fly, &app, &id)?.status();
    let lease = status.lease.filter(|lease| lease.expires > now());
    let lease = lease.ok_or_else(|| ApiError::not_found("lease"))?;
    Ok(Json(lease_json(&lease, &status.instance_id)).into_response())
}

pub(super) async fn release_lease(State(fly): State<Fly>, Path((app, id)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let machine = find(&fly, &app, &id)?;
    check_lease(&machine, &headers)?;
    machine.change(|status| status.lease = None);
    Ok(Json(json!({ "ok": true })).into_response())
}
