//! Network policies: which machines of one private network may open connections to which.
//!
//! They are in Fly's guide and not in its OpenAPI document. As in the guide: they do not affect traffic through the proxy, and
//! the first rule in a direction closes everything else in it.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Fly;
use super::api::{Answer, ApiError};
use crate::util::{lock, random_hex};

const MAX_POLICIES: usize = 50;

pub(super) fn routes() -> Router<Fly> {
    Router::new()
        .route("/apps/{app}/network_policies", get(list).post(create))
        .route("/apps/{app}/network_policies/{id}", delete(remove))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    name: String,
    selector: Value,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    action: String,
    direction: String,
    ports: Vec<PortRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortRule {
    protocol: String,
    port: u16,
}

fn read(value: &Value) -> Result<Policy, ApiError> {
    let policy: Policy = serde_json::from_value(value.clone()).map_err(ApiError::invalid)?;
    let known = policy.rules.iter().all(|rule| {
        rule.action == "allow"
            && matches!(rule.direction.as_str(), "ingress" | "egress")
            && rule.ports.iter().all(|port| matches!(port.protocol.as_str(), "tcp" | "udp"))
    });
    let selects = ["all", "machines", "metadata"].iter().any(|key| !policy.selector[key].is_null());
    if policy.name.is_empty() || !known || !selects {
        return Err(ApiError::invalid("policy: a name, a selector and rules that allow ports are needed"));
    }
    Ok(policy)
}

async fn create(State(fly): State<Fly>, Path(name): Path<String>, body: Bytes) -> Answer {
    let value: Value = serde_json::from_slice(&body).map_err(ApiError::invalid)?;
    read(&value)?;
    let mut state = lock(&fly.inner.state);
    let app = state.apps.get_mut(&name).ok_or_else(|| ApiError::not_found("app"))?;
    if app.policies.len() >= MAX_POLICIES {
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "too many network policies"));
    }
    let id = random_hex::<8>();
    let shown = with_id(&id, &value);
    app.policies.insert(id, value);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

fn with_id(id: &str, policy: &Value) -> Value {
    let mut shown = policy.clone();
    shown["id"] = id.into();
    shown
}

async fn list(State(fly): State<Fly>, Path(name): Path<String>) -> Answer {
    let app = fly.app(&name).ok_or_else(|| ApiError::not_found("app"))?;
    let shown: Vec<Value> = app.policies.iter().map(|(id, policy)| with_id(id, policy)).collect();
    Ok(Json(json!(shown)).into_response())
}

async fn remove(State(fly): State<Fly>, Path((name, id)): Path<(String, String)>) -> Answer {
    let mut state = lock(&fly.inner.state);
    let app = state.apps.get_mut(&name).ok_or_else(|| ApiError::not_found("app"))?;
    app.policies.remove(&id).ok_or_else(|| ApiError::not_found("network policy"))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl Fly {
    /// Whether a machine of one app may open a TCP connection to a machine of another over the
    /// private network, by the apps' networks and policies. Only policies for all machines are judged.
    pub fn may_connect(&self, from: &str, to: &str, port: u16) -> bool {
        let (Some(from), Some(to)) = (self.app(from), self.app(to)) else { return false };
        let open = |policies: &std::collections::BTreeMap<String, Value>, direction: &str| {
            let rules: Vec<Rule> = policies
                .values()
                .filter_map(|policy| read(policy).ok())
                .flat_map(|policy| policy.rules)
                .filter(|rule| rule.direction == direction)
                .collect();
            let named = |rule: &Rule| rule.ports.iter().any(|open| open.protocol == "tcp" && open.port == port);
            rules.is_empty() || rules.iter().any(named)
        };
        from.org == to.org && from.network == to.network && open(&from.policies, "egress") && open(&to.policies, "ingress")
    }
}
