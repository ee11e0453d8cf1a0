//! Candidates, as recruiters keep them.

use super::AppState;
use super::edit::{Answer, Asked, fields_invalid, refuse_archived};
use super::lists::{ListQuery, page};
use super::view::Page;
use crate::domain::candidate::{self, CandidateDraft, CandidatePatch, MergeRefusal, RawCandidate, Twin};
use crate::domain::edge::Text;
use crate::error::ErrorCode;
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::CandidateId;
use crate::integrations::store::gateway::{CandidateFilter, CandidateRow, ExternalIdTaken};
use crate::integrations::store::past_deadlocks;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

pub(super) const KIND: &str = "candidate";

#[derive(Debug, Serialize)]
pub(super) struct CandidateView {
    id: Uuid,
    name: String,
    email: String,
    external_id: Option<String>,
    tags: Vec<String>,
    has_account: bool,
    merged_into: Option<Uuid>,
    #[serde(with = "time::serde::rfc3339::option")]
    archived_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    version: i32,
}

impl From<CandidateRow> for CandidateView {
    fn from(row: CandidateRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            email: row.email,
            external_id: row.external_id,
            tags: row.tags,
            has_account: row.has_account,
            merged_into: row.merged_into,
            archived_at: row.archived_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

/// An id that is none is one nobody has.
fn candidate_id(text: &str) -> Result<CandidateId, ApiError> {
    text.parse().map_err(|_| not_found())
}

fn not_found() -> ApiError {
    ApiError::not_found(ErrorCode::CandidateNotFound, "there is no such candidate")
}

pub(super) fn external_id_taken(_: ExternalIdTaken) -> ApiError {
    let detail = "another candidate has this external id";
    ApiError::new(StatusCode::CONFLICT, ErrorCode::ExternalIdTaken, detail)
}

/// `GET /api/candidates`
pub(super) async fn list(
    State(state): State<AppState>,
    person: Person,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<CandidateView>>, ApiError> {
    person.require_recruiter()?;
    let Query(query) = query?;
    let filter = query.filter()?;
    let only = CandidateFilter { tag: query.tag, email: query.email.map(|email| email.to_lowercase()) };
    let rows = state.store.candidates(&filter, &only).await?;
    Ok(Json(page(&filter, rows, |row| (&row.sort_name, row.created_at, row.id), CandidateView::from)))
}

/// `GET /api/candidates/{id}`
pub(super) async fn read(State(state): State<AppState>, person: Person, Path(id): Path<String>) -> Result<Answer, ApiError> {
    person.require_recruiter()?;
    let row = state.store.candidate(candidate_id(&id)?).await?.ok_or_else(not_found)?;
    Answer::read(&CandidateView::from(row))
}

/// `POST /api/candidates`
pub(super) async fn create(State(state): State<AppState>, asked: Asked) -> Result<Answer, ApiError> {
    let draft = CandidateDraft::check(&asked.json::<RawCandidate>()?).map_err(fields_invalid)?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let row = change.insert_candidate(&draft).await?.map_err(external_id_taken)?;
    change.audit("created", (KIND, row.id), json!({})).await?;
    Answer::kept(change, StatusCode::CREATED, &CandidateView::from(row)).await
}

/// `PATCH /api/candidates/{id}`
pub(super) async fn update(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    let (id, patch) = (candidate_id(&id)?, asked.json::<CandidatePatch>()?);
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let before = change.candidate(id).await?.ok_or_else(not_found)?;
    asked.matches(before.version)?;
    refuse_archived(before.archived_at)?;
    let draft = CandidateDraft::check(&before.raw().patched(patch)).map_err(fields_invalid)?;
    let fields = changed(&before, &draft);
    if fields.is_empty() {
        return Answer::kept(change, StatusCode::OK, &CandidateView::from(before)).await;
    }
    let row = change.update_candidate(id, &draft).await?.map_err(external_id_taken)?;
    change.audit("changed", (KIND, row.id), json!({"fields": fields, "version": row.version})).await?;
    Answer::kept(change, StatusCode::OK, &CandidateView::from(row)).await
}

fn changed(before: &CandidateRow, to: &CandidateDraft) -> Vec<&'static str> {
    let tags = || to.tags.iter().map(Text::as_str).eq(before.tags.iter().map(String::as_str));
    let same = [
        ("name", to.name == before.name.as_str()),
        ("email", to.email.as_str() == before.email),
        ("external_id", to.external_id.as_deref() == before.external_id.as_deref()),
        ("tags", tags()),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(field, _)| field).collect()
}

/// `POST /api/candidates/{id}/archive`: once more changes nothing.
pub(super) async fn archive(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    set_archived(&state, &id, &asked, true).await
}

/// `POST /api/candidates/{id}/restore`
pub(super) async fn restore(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    set_archived(&state, &id, &asked, false).await
}

async fn set_archived(state: &AppState, id: &str, asked: &Asked, archived: bool) -> Result<Answer, ApiError> {
    let id = candidate_id(id)?;
    let mut change = match asked.begin(state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let before = change.candidate(id).await?.ok_or_else(not_found)?;
    if before.archived_at.is_some() == archived {
        return Answer::kept(change, StatusCode::OK, &CandidateView::from(before)).await;
    }
    if before.merged_into.is_some() {
        let detail = "this candidate was merged into another one, who has their interviews";
        return Err(ApiError::new(StatusCode::CONFLICT, ErrorCode::ResourceArchived, detail));
    }
    let row = change.archive_candidate(id, archived).await?;
    change.audit(if archived { "archived" } else { "restored" }, (KIND, id.0), json!({})).await?;
    Answer::kept(change, StatusCode::OK, &CandidateView::from(row)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeRequest {
    duplicate_id: CandidateId,
}

/// `POST /api/candidates/{id}/merge`: the duplicate's interviews become this candidate's, and the duplicate is archived.
pub(super) async fn merge(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    let (stays, goes) = (candidate_id(&id)?, asked.json::<MergeRequest>()?.duplicate_id);
    past_deadlocks(|| try_to_merge(&state, &asked, stays, goes)).await
}

async fn try_to_merge(state: &AppState, asked: &Asked, stays: CandidateId, goes: CandidateId) -> Result<Answer, ApiError> {
    let mut change = match asked.begin(state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let twins = change.twins([stays, goes]).await?;
    let find = |id: CandidateId| twins.iter().find(|twin: &&Twin| twin.id == id).ok_or_else(not_found);
    let merged = candidate::merge(find(stays)?, find(goes)?).map_err(not_merged)?;
    let (row, interviews) = change.merge_candidates(stays, goes, &merged).await?;
    change.audit("merged", (KIND, stays.0), json!({"duplicate": goes, "interviews": interviews})).await?;
    change.audit("archived", (KIND, goes.0), json!({"merged_into": stays})).await?;
    Answer::kept(change, StatusCode::OK, &CandidateView::from(row)).await
}

fn not_merged(refusal: MergeRefusal) -> ApiError {
    let refused = |code, detail| ApiError::new(StatusCode::CONFLICT, code, detail);
    match refusal {
        MergeRefusal::SamePerson => refused(ErrorCode::MergeRefused, "these are one and the same candidate already"),
        MergeRefusal::Archived => refused(ErrorCode::ResourceArchived, "one of them is archived; restore them first"),
        MergeRefusal::OpenInterview => {
            refused(ErrorCode::MergeRefused, "the duplicate has an interview that is not over; end it first")
        }
        MergeRefusal::TooManyTags => {
            refused(ErrorCode::MergeRefused, "together they have more tags than one may have; remove some first")
        }
    }
}
