//! The library of competencies: what positions and plans copy from.

use super::AppState;
use super::edit::{Answer, Asked, fields_invalid, refuse_archived};
use super::lists::{ListQuery, page};
use super::view::Page;
use crate::domain::position::{LibraryCompetencyDraft, LibraryCompetencyPatch, RawAnchors, RawLibraryCompetency};
use crate::error::ErrorCode;
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::LibraryCompetencyId;
use crate::integrations::store::gateway::{Change, LibraryRow, NameTaken};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

const KIND: &str = "competency";

#[derive(Debug, Serialize)]
pub(super) struct LibraryView {
    id: Uuid,
    name: String,
    definition: String,
    anchors: RawAnchors,
    /// How many positions have a copy of it.
    positions: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    archived_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    version: i32,
}

impl From<LibraryRow> for LibraryView {
    fn from(row: LibraryRow) -> Self {
        Self {
            id: row.id,
            anchors: row.anchors(),
            name: row.name,
            definition: row.definition,
            positions: row.positions,
            archived_at: row.archived_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

/// An id that is none is one nobody has.
fn competency_id(text: &str) -> Result<LibraryCompetencyId, ApiError> {
    text.parse().map_err(|_| not_found())
}

fn not_found() -> ApiError {
    ApiError::not_found(ErrorCode::CompetencyNotFound, "there is no such competency in the library")
}

fn name_taken(_: NameTaken) -> ApiError {
    let detail = "the library has a competency of this name";
    ApiError::new(StatusCode::CONFLICT, ErrorCode::CompetencyNameTaken, detail)
}

/// `GET /api/competencies`
pub(super) async fn list(
    State(state): State<AppState>,
    person: Person,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<LibraryView>>, ApiError> {
    person.require_recruiter()?;
    let Query(query) = query?;
    let filter = query.filter()?;
    if filter.newest_first {
        return Err(ApiError::invalid("sort: name"));
    }
    let rows = state.store.library(&filter).await?;
    Ok(Json(page(&filter, rows, |row| (&row.sort_name, row.created_at, row.id), LibraryView::from)))
}

/// `GET /api/competencies/{id}`
pub(super) async fn read(State(state): State<AppState>, person: Person, Path(id): Path<String>) -> Result<Answer, ApiError> {
    person.require_recruiter()?;
    let row = state.store.library_competency(competency_id(&id)?).await?.ok_or_else(not_found)?;
    Answer::read(&LibraryView::from(row))
}

/// `POST /api/competencies`
pub(super) async fn create(State(state): State<AppState>, asked: Asked) -> Result<Answer, ApiError> {
    let draft = LibraryCompetencyDraft::check(&asked.json::<RawLibraryCompetency>()?).map_err(fields_invalid)?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let id = change.insert_library_competency(&draft).await?.map_err(name_taken)?;
    change.audit("created", (KIND, id.0), json!({})).await?;
    answer(change, id, StatusCode::CREATED).await
}

/// `PATCH /api/competencies/{id}`: what was copied from it stays as it is.
pub(super) async fn update(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    let (id, patch) = (competency_id(&id)?, asked.json::<LibraryCompetencyPatch>()?);
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let before = change.library_competency(id).await?.ok_or_else(not_found)?;
    asked.matches(before.version)?;
    refuse_archived(before.archived_at)?;
    let draft = LibraryCompetencyDraft::check(&before.raw().patched(patch)).map_err(fields_invalid)?;
    let fields = changed(&before, &draft);
    if !fields.is_empty() {
        change.update_library_competency(id, &draft).await?.map_err(name_taken)?;
        change.audit("changed", (KIND, id.0), json!({"fields": fields, "version": before.version + 1})).await?;
    }
    answer(change, id, StatusCode::OK).await
}

fn changed(before: &LibraryRow, to: &LibraryCompetencyDraft) -> Vec<&'static str> {
    let [one, three, five] = &to.anchors;
    let same = [
        ("name", to.name == before.name.as_str()),
        ("definition", to.definition == before.definition.as_str()),
        ("anchors.1", *one == before.anchor_1.as_str()),
        ("anchors.3", *three == before.anchor_3.as_str()),
        ("anchors.5", *five == before.anchor_5.as_str()),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(field, _)| field).collect()
}

/// `POST /api/competencies/{id}/archive`: once more changes nothing.
pub(super) async fn archive(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    set_archived(&state, &id, &asked, true).await
}

/// `POST /api/competencies/{id}/restore`
pub(super) async fn restore(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    set_archived(&state, &id, &asked, false).await
}

async fn set_archived(state: &AppState, id: &str, asked: &Asked, archived: bool) -> Result<Answer, ApiError> {
    let id = competency_id(id)?;
    let mut change = match asked.begin(state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let before = change.library_competency(id).await?.ok_or_else(not_found)?;
    if before.archived_at.is_some() != archived {
        change.archive_library_competency(id, archived).await?.map_err(name_taken)?;
        change.audit(if archived { "archived" } else { "restored" }, (KIND, id.0), json!({})).await?;
    }
    answer(change, id, StatusCode::OK).await
}

/// As it is after the change.
async fn answer(mut change: Change, id: LibraryCompetencyId, status: StatusCode) -> Result<Answer, ApiError> {
    let row = change.library_competency(id).await?.ok_or_else(not_found)?;
    Answer::kept(change, status, &LibraryView::from(row)).await
}
