//! Positions: as recruiters keep them, and as candidates see those that they are interviewed for.

use super::AppState;
use super::edit::{Answer, Asked, fields_invalid, refuse_archived};
use super::lists::{ListQuery, page};
use super::view::{Page, PlanName, PositionView};
use crate::domain::edge::FieldError;
use crate::domain::position::{PositionDraft, PositionPatch, RawPosition};
use crate::error::ErrorCode;
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::{LibraryCompetencyId, PositionId};
use crate::integrations::store::gateway::{Change, KeptPosition};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

const KIND: &str = "position";

#[derive(Debug, Serialize)]
struct KeptPositionView {
    id: Uuid,
    title: String,
    description: String,
    guidance: String,
    /// With which version of which plan its next interview is created.
    plan: Option<PlanName>,
    competencies: Vec<KeptCompetencyView>,
    #[serde(with = "time::serde::rfc3339::option")]
    archived_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    version: i32,
}

#[derive(Debug, Serialize)]
struct KeptCompetencyView {
    id: Uuid,
    name: String,
    description: String,
    library_id: Option<Uuid>,
}

impl From<KeptPosition> for KeptPositionView {
    fn from(kept: KeptPosition) -> Self {
        let plan = kept.plan().map(PlanName::from);
        let KeptPosition { row, competencies } = kept;
        let competencies = competencies.into_iter().map(|one| KeptCompetencyView {
            id: one.id,
            name: one.name,
            description: one.description,
            library_id: one.library_id,
        });
        Self {
            id: row.id,
            title: row.title,
            description: row.description,
            guidance: row.guidance,
            competencies: competencies.collect(),
            plan,
            archived_at: row.archived_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

/// An id that is none is one nobody has.
fn position_id(text: &str) -> Result<PositionId, ApiError> {
    text.parse().map_err(|_| not_found())
}

fn not_found() -> ApiError {
    ApiError::not_found(ErrorCode::PositionNotFound, "there is no such position")
}

/// `GET /api/positions`
pub(super) async fn list(
    State(state): State<AppState>,
    person: Person,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    if !person.is_recruiter() {
        let rows = state.store.positions(&person.scope()).await?;
        return Ok(Json(Page::whole(rows.into_iter().map(PositionView::from).collect())).into_response());
    }
    let Query(query) = query?;
    let filter = query.filter()?;
    let rows = state.store.kept_positions(&filter).await?;
    let page = page(&filter, rows, |kept| (&kept.row.sort_name, kept.row.created_at, kept.row.id), KeptPositionView::from);
    Ok(Json(page).into_response())
}

/// `GET /api/positions/{id}`
pub(super) async fn read(State(state): State<AppState>, person: Person, Path(id): Path<String>) -> Result<Answer, ApiError> {
    person.require_recruiter()?;
    let kept = state.store.kept_position(position_id(&id)?).await?.ok_or_else(not_found)?;
    Answer::read(&KeptPositionView::from(kept))
}

/// `POST /api/positions`
pub(super) async fn create(State(state): State<AppState>, asked: Asked) -> Result<Answer, ApiError> {
    let draft = PositionDraft::check(&asked.json::<RawPosition>()?, &[]).map_err(fields_invalid)?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    check_library(&mut change, &draft).await?;
    let kept = change.insert_position(&draft).await?;
    change.audit("created", (KIND, kept.row.id), json!({})).await?;
    Answer::kept(change, StatusCode::CREATED, &KeptPositionView::from(kept)).await
}

/// `POST /api/positions/{id}/duplicate`: also of an archived one.
pub(super) async fn duplicate(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    let id = position_id(&id)?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let original = change.position(id).await?.ok_or_else(not_found)?;
    let draft = PositionDraft::check(&original.raw().copied(), &[]).map_err(fields_invalid)?;
    let copy = PositionId(change.insert_position(&draft).await?.row.id);
    change.copy_plan(copy, id).await?;
    change.audit("created", (KIND, copy.0), json!({"copy_of": id})).await?;
    let kept = change.position(copy).await?.ok_or_else(not_found)?;
    Answer::kept(change, StatusCode::CREATED, &KeptPositionView::from(kept)).await
}

/// `PATCH /api/positions/{id}`
pub(super) async fn update(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    let (id, patch) = (position_id(&id)?, asked.json::<PositionPatch>()?);
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let before = change.position(id).await?.ok_or_else(not_found)?;
    asked.matches(before.row.version)?;
    refuse_archived(before.row.archived_at)?;
    let draft = PositionDraft::check(&before.raw().patched(patch), &before.competency_ids()).map_err(fields_invalid)?;
    let fields = changed(&before.raw(), &draft);
    if fields.is_empty() {
        return Answer::kept(change, StatusCode::OK, &KeptPositionView::from(before)).await;
    }
    check_library(&mut change, &draft).await?;
    let kept = change.update_position(id, &draft).await?;
    change.audit("changed", (KIND, id.0), json!({"fields": fields, "version": kept.row.version})).await?;
    Answer::kept(change, StatusCode::OK, &KeptPositionView::from(kept)).await
}

fn changed(before: &RawPosition, to: &PositionDraft) -> Vec<&'static str> {
    let competencies = before.competencies.len() == to.competencies.len()
        && before.competencies.iter().zip(&to.competencies).all(|(before, to)| {
            to.id == before.id
                && to.name == before.name.as_str()
                && to.description == before.description.as_str()
                && to.library_id == before.library_id
        });
    let same = [
        ("title", to.title == before.title.as_str()),
        ("description", to.description == before.description.as_str()),
        ("guidance", to.guidance == before.guidance.as_str()),
        ("competencies", competencies),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(field, _)| field).collect()
}

async fn check_library(change: &mut Change, draft: &PositionDraft) -> Result<(), ApiError> {
    let ids: Vec<LibraryCompetencyId> = draft.competencies.iter().filter_map(|one| one.library_id).collect();
    let missing = change.missing_from_library(&ids).await?;
    let errors: Vec<FieldError> = draft
        .competencies
        .iter()
        .enumerate()
        .filter(|(_, one)| one.library_id.is_some_and(|id| missing.contains(&id)))
        .map(|(at, _)| FieldError {
            field: format!("competencies[{at}].library_id").into(),
            message: "the library has no such competency".to_owned(),
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(fields_invalid(errors)) }
}

/// `POST /api/positions/{id}/archive`: once more changes nothing.
pub(super) async fn archive(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    set_archived(&state, &id, &asked, true).await
}

/// `POST /api/positions/{id}/restore`
pub(super) async fn restore(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    set_archived(&state, &id, &asked, false).await
}

async fn set_archived(state: &AppState, id: &str, asked: &Asked, archived: bool) -> Result<Answer, ApiError> {
    let id = position_id(id)?;
    let mut change = match asked.begin(state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let before = change.position(id).await?.ok_or_else(not_found)?;
    if before.row.archived_at.is_some() == archived {
        return Answer::kept(change, StatusCode::OK, &KeptPositionView::from(before)).await;
    }
    let kept = change.archive_position(id, archived).await?;
    change.audit(if archived { "archived" } else { "restored" }, (KIND, id.0), json!({})).await?;
    Answer::kept(change, StatusCode::OK, &KeptPositionView::from(kept)).await
}
