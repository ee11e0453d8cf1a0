//! What a page must know to begin: the company, and who is signed in.

use super::AppState;
use crate::http::auth::{Person, Role};
use crate::http::problem::ApiError;
use crate::ids::{CandidateId, TenantId, UserId};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};

/// What a page must know before anyone has signed in.
pub(super) async fn config(State(state): State<AppState>) -> Json<Value> {
    let config = &state.config;
    Json(json!({
        "tenant": {"id": config.tenant.id, "slug": config.tenant.slug},
        "supabase": {"url": config.supabase.public_url, "publishable_key": config.supabase.publishable_key},
        "sandbox": config.sandbox.enabled,
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

#[derive(Serialize)]
pub(super) struct Me {
    user_id: UserId,
    email: Option<String>,
    role: Role,
    tenant_id: TenantId,
    candidate_id: Option<CandidateId>,
}

pub(super) async fn me(State(state): State<AppState>, person: Person) -> Result<Json<Me>, ApiError> {
    let candidate_id = state.store.candidate_of(&person.scope(), person.user).await?;
    Ok(Json(Me {
        user_id: person.user,
        email: person.email.map(|email| email.as_str().to_owned()),
        role: person.role,
        tenant_id: person.tenant,
        candidate_id,
    }))
}
