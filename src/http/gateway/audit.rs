//! The history of one thing: who changed what of it.

use super::AppState;
use super::view::{Page, limit};
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::integrations::store::gateway::AuditRow;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 200;

#[derive(Deserialize)]
pub(super) struct AuditQuery {
    target_kind: String,
    target_id: Uuid,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct AuditView {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    actor: Uuid,
    actor_role: String,
    action: String,
    detail: Value,
}

/// `GET /api/audit`
pub(super) async fn list(
    State(state): State<AppState>,
    person: Person,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<Page<AuditView>>, ApiError> {
    person.require_recruiter()?;
    let Query(query) = query?;
    let limit = limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let is_kind = (1..=64).contains(&query.target_kind.len()) && query.target_kind.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_kind {
        return Err(ApiError::invalid("target_kind: candidate, position, competency, plan or invite"));
    }
    let before = match query.cursor.as_deref().map(str::parse::<i64>) {
        None => i64::MAX,
        Some(Ok(before)) => before,
        Some(Err(_)) => return Err(ApiError::invalid("cursor: take it from next_cursor")),
    };
    let rows = state.store.audit_of(&person.scope(), &query.target_kind, query.target_id, before, limit + 1).await?;
    Ok(Json(Page::of(rows, limit, |row| row.n.to_string(), AuditView::from)))
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        Self { at: row.at, actor: row.actor, actor_role: row.actor_role, action: row.action, detail: row.detail }
    }
}
