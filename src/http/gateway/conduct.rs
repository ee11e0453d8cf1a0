//! The conduct record: what became of the plan in one interview.

use super::{AppState, session_id};
use crate::domain::conduct::{ConductRecord, Script};
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::PlanId;
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub(super) struct ConductBody {
    /// Null: the position had no plan when the interview was made.
    plan: Option<PlanBody>,
    /// Null: the interview was held without a plan, or in a language that its plan does not have.
    record: Option<ConductRecord>,
}

#[derive(Serialize)]
struct PlanBody {
    id: PlanId,
    version: i32,
    title: String,
    /// SHA-256 of the plan's document: what it was can be proved.
    hash: String,
    /// What replied, transcribed and summarized.
    models: BTreeMap<String, Vec<String>>,
}

/// `GET /api/sessions/{id}/conduct`
pub(super) async fn read(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<ConductBody>, ApiError> {
    let id = session_id(&id)?;
    state.visible(&person, id).await?;
    person.require_recruiter()?;
    let Some(course) = state.store.course(&person.scope(), id).await? else {
        return Ok(Json(ConductBody { plan: None, record: None }));
    };
    let entries = state.store.transcript(&person.scope(), id, false).await?.ok_or_else(ApiError::session_not_found)?;
    state.store.audit(person.user, "conduct_viewed", id).await?;
    let wanted = course.language.as_deref().unwrap_or(course.plan.default_language.as_str());
    let script = course.plan.language_for(wanted).map(|language| Script::of(&course.plan, language.as_str()));
    let mut models = BTreeMap::<String, Vec<String>>::new();
    for (kind, model) in course.models {
        models.entry(kind).or_default().push(model);
    }
    Ok(Json(ConductBody {
        plan: Some(PlanBody {
            id: course.plan_id,
            version: course.version,
            title: course.plan.title.to_string(),
            hash: course.hash.to_string(),
            models,
        }),
        record: script.map(|script| ConductRecord::of(&script, &course.events, &entries)),
    }))
}
