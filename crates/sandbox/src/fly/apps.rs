//! The Machines API: apps, their secrets, addresses and tokens.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Answer, ApiError, bare_token};
use super::model::{App, FlyDuration};
use super::{Fly, Order, Token, policies};
use crate::ledger::RequestSummary;
use crate::util::{lock, now, random_bytes};

const MAX_APPS: usize = 1_000;

pub(super) fn routes() -> Router<Fly> {
    Router::new()
        .route("/apps", get(list).post(create))
        .route("/apps/{app}", get(read).delete(remove))
        .route("/apps/{app}/secrets", get(list_secrets).post(set_secrets))
        .route("/apps/{app}/ip_assignments", get(list_addresses).post(assign_address))
        .route("/apps/{app}/ip_assignments/{ip}", delete(release_address))
        .route("/apps/{app}/deploy_token", post(deploy_token))
        .route("/tokens/current", get(current_token))
        .merge(policies::routes())
}

fn app_json(app: &App, machines: usize) -> Value {
    json!({
        "id": app.name, "name": app.name, "status": "deployed", "network": app.network,
        "machine_count": machines, "volume_count": 0,
        "organization": { "name": app.org, "slug": app.org }
    })
}

fn find(fly: &Fly, name: &str) -> Result<App, ApiError> {
    fly.app(name).ok_or_else(|| ApiError::not_found("app"))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AppBody {
    name: String,
    app_name: String,
    org_slug: String,
    network: String,
}

async fn create(State(fly): State<Fly>, Json(body): Json<AppBody>) -> Answer {
    let name = if body.name.is_empty() { body.app_name } else { body.name };
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    if name.is_empty() || name.len() >= 63 || !name.bytes().all(plain) {
        let text = "Validation failed: Name under 63 chars using numbers, lowercase letters and dashes";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    if body.org_slug != super::ORG {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "unauthorized: no access to this organization"));
    }
    let mut state = lock(&fly.inner.state);
    if state.apps.contains_key(&name) {
        let text = "Validation failed: Name has already been taken";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, text).status("name_taken"));
    }
    if state.apps.len() >= MAX_APPS {
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "too many apps"));
    }
    let app = App {
        name: name.clone(),
        org: body.org_slug,
        network: if body.network.is_empty() { "default".into() } else { body.network },
        ..App::default()
    };
    state.apps.insert(name.clone(), app);
    Ok((StatusCode::CREATED, Json(json!({ "id": name, "created_at": crate::util::unix_ms(crate::util::now()) }))).into_response())
}

async fn list(State(fly): State<Fly>, Query(query): Query<Vec<(String, String)>>) -> Answer {
    let org = query.iter().find(|(key, _)| key == "org_slug").map(|(_, value)| value.as_str());
    let apps: Vec<App> =
        lock(&fly.inner.state).apps.values().filter(|app| org.is_none_or(|org| app.org == org)).cloned().collect();
    let shown: Vec<Value> = apps.iter().map(|app| app_json(app, fly.machines(&app.name).len())).collect();
    Ok(Json(json!({ "total_apps": shown.len(), "apps": shown })).into_response())
}

async fn read(State(fly): State<Fly>, Path(name): Path<String>) -> Answer {
    let app = find(&fly, &name)?;
    Ok(Json(app_json(&app, fly.machines(&name).len())).into_response())
}

async fn remove(State(fly): State<Fly>, Path(name): Path<String>) -> Answer {
    find(&fly, &name)?;
    for machine in fly.machines(&name) {
        machine.order(Order::Destroy);
    }
    let mut state = lock(&fly.inner.state);
    state.apps.remove(&name);
    state.tokens.retain(|_, token| !matches!(&token, Token::Deploy { app, .. } if *app == name));
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Values never come back; a digest shows whether one has changed.
fn secrets_json(app: &App) -> Vec<Value> {
    app.secrets
        .iter()
        .map(|(name, value)| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes());
            let digest = data_encoding::HEXLOWER.encode(&digest.as_ref()[..8]);
            json!({ "name": name, "digest": digest })
        })
        .collect()
}

async fn list_secrets(State(fly): State<Fly>, Path(name): Path<String>) -> Answer {
    Ok(Json(json!({ "secrets": secrets_json(&find(&fly, &name)?) })).into_response())
}

#[derive(Deserialize)]
struct SecretsBody {
    values: Map<String, Value>,
}

async fn set_secrets(State(fly): State<Fly>, Path(name): Path<String>, body: Bytes) -> Answer {
    let body: SecretsBody = serde_json::from_slice(&body).map_err(ApiError::invalid)?;
    let mut state = lock(&fly.inner.state);
    let app = state.apps.get_mut(&name).ok_or_else(|| ApiError::not_found("app"))?;
    let summary: Map<String, Value> = body.values.keys().map(|secret| (secret.clone(), "[redacted]".into())).collect();
    for (secret, value) in body.values {
        match value {
            Value::Null => {
                app.secrets.remove(&secret);
            }
            Value::String(text) => {
                app.secrets.insert(secret, text);
            }
            _ => return Err(ApiError::invalid(format!("secret {secret} is not text"))),
        }
    }
    app.secrets_version += 1;
    let shown = json!({ "version": app.secrets_version, "secrets": secrets_json(app) });
    let mut response = Json(shown).into_response();
    response.extensions_mut().insert(RequestSummary(json!({ "values": summary })));
    Ok(response)
}

#[derive(Deserialize)]
struct AddressBody {
    #[serde(rename = "type")]
    kind: String,
}

fn address_json(kind: &str, address: &str) -> Value {
    json!({ "ip": address, "region": "global", "shared": kind == "shared_v4", "service_name": "" })
}

async fn assign_address(State(fly): State<Fly>, Path(name): Path<String>, Json(body): Json<AddressBody>) -> Answer {
    let [a, b] = random_bytes::<2>();
    let address = match body.kind.as_str() {
        "shared_v4" => "66.241.124.1".to_owned(),
        "v4" => format!("66.241.{a}.{b}"),
        "v6" => format!("2a09:8280:1::{a:x}:{b:x}"),
        "private_v6" => format!("fdaa::{a:x}:{b:x}"),
        other => return Err(ApiError::invalid(format!("type {other}"))),
    };
    let mut state = lock(&fly.inner.state);
    let app = state.apps.get_mut(&name).ok_or_else(|| ApiError::not_found("app"))?;
    app.addresses.push((body.kind.clone(), address.clone()));
    Ok((StatusCode::OK, Json(address_json(&body.kind, &address))).into_response())
}

async fn list_addresses(State(fly): State<Fly>, Path(name): Path<String>) -> Answer {
    let app = find(&fly, &name)?;
    let ips: Vec<Value> = app.addresses.iter().map(|(kind, address)| address_json(kind, address)).collect();
    Ok(Json(json!({ "ips": ips })).into_response())
}

async fn release_address(State(fly): State<Fly>, Path((name, ip)): Path<(String, String)>) -> Answer {
    let mut state = lock(&fly.inner.state);
    let app = state.apps.get_mut(&name).ok_or_else(|| ApiError::not_found("app"))?;
    app.addresses.retain(|(_, address)| *address != ip);
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct TokenBody {
    expiry: Option<FlyDuration>,
}

async fn deploy_token(State(fly): State<Fly>, Path(name): Path<String>, Json(body): Json<TokenBody>) -> Answer {
    find(&fly, &name)?;
    if body.expiry.is_none() {
        fly.inner.ledger.violation(super::VENDOR, format!("a deploy token of {name} without an expiry lives for 20 years"));
    }
    let expires = body.expiry.map(|life| now() + life.0);
    Ok(Json(json!({ "token": fly.issue_deploy_token(&name, expires) })).into_response())
}

/// What the token of this very request may do.
async fn current_token(State(fly): State<Fly>, headers: HeaderMap) -> Answer {
    let token = bare_token(&headers).and_then(|bare| lock(&fly.inner.state).tokens.get(bare).cloned());
    let apps = match token {
        Some(Token::Deploy { app, .. }) => json!([app]),
        _ => json!([]),
    };
    let shown = json!({ "organization": super::ORG, "org_slug": super::ORG, "apps": apps, "user": "", "token_id": "sandbox" });
    Ok(Json(json!({ "tokens": [shown] })).into_response())
}
