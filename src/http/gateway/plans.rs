//! Plans: recruiters write drafts, publish versions and say which position uses which. A candidate sees none of it.
//!
//! A draft has a revision, which is its ETag. Who changes or publishes it sends that as `If-Match`, so that nobody overwrites what
//! they have not read.

use super::AppState;
use super::view::{Page, PlanName};
use crate::domain::plan::diff::{Change, diff};
use crate::domain::plan::lint::{Finding, Origin, lint, may_publish};
use crate::domain::plan::{Plan, PlanError, PlanHash};
use crate::error::ErrorCode;
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::{PlanId, PositionId, UserId};
use crate::integrations::store::gateway::plans::{PlanRow, Unchanged, VersionRow};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Serialize)]
pub(super) struct PlanItem {
    plan_id: PlanId,
    name: String,
    revision: i32,
    /// The newest one; null when nothing was published.
    version: Option<i32>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    archived_at: Option<OffsetDateTime>,
}

impl From<PlanRow> for PlanItem {
    fn from(row: PlanRow) -> Self {
        let PlanRow { id: plan_id, name, revision, version, created_at, updated_at, archived_at } = row;
        Self { plan_id, name, revision, version, created_at, updated_at, archived_at }
    }
}

/// A plan with its draft, and what the linter says about that.
#[derive(Serialize)]
struct PlanView {
    #[serde(flatten)]
    item: PlanItem,
    draft: Plan,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Serialize)]
pub(super) struct Verdict {
    findings: Vec<Finding>,
    may_publish: bool,
}

impl Verdict {
    fn of(plan: &Plan, origin: Origin) -> Self {
        let findings = lint(plan, origin);
        Self { may_publish: may_publish(&findings), findings }
    }
}

#[derive(Serialize)]
pub(super) struct VersionItem {
    plan_id: PlanId,
    version: i32,
    hash: PlanHash,
    origin: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    published_at: OffsetDateTime,
    /// Null: by the operator.
    published_by: Option<UserId>,
}

impl VersionItem {
    fn of(plan_id: PlanId, row: VersionRow) -> Self {
        let VersionRow { number: version, hash, origin, published_at, published_by } = row;
        Self { plan_id, version, hash, origin: origin.as_str(), published_at, published_by }
    }
}

#[derive(Serialize)]
pub(super) struct VersionView {
    #[serde(flatten)]
    item: VersionItem,
    document: Plan,
    #[serde(flatten)]
    verdict: Verdict,
}

/// `GET /api/plans`
pub(super) async fn list(State(state): State<AppState>, person: Person) -> Result<Json<Page<PlanItem>>, ApiError> {
    person.require_recruiter()?;
    let rows = state.store.plans(&person.scope()).await?;
    Ok(Json(Page::whole(rows.into_iter().map(PlanItem::from).collect())))
}

/// `POST /api/plans`: the body is the document.
pub(super) async fn create(
    State(state): State<AppState>,
    person: Person,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    person.require_recruiter()?;
    let draft = document(&body?)?;
    let id = PlanId(Uuid::now_v7());
    state.store.insert_plan(id, &draft, Some(person.user)).await?.map_err(not_changed)?;
    shown(&state, &person, id, StatusCode::CREATED).await
}

/// `GET /api/plans/{id}`
pub(super) async fn read(State(state): State<AppState>, person: Person, Path(id): Path<String>) -> Result<Response, ApiError> {
    person.require_recruiter()?;
    shown(&state, &person, plan_id(&id)?, StatusCode::OK).await
}

/// `PUT /api/plans/{id}/draft`
pub(super) async fn replace_draft(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    person.require_recruiter()?;
    let (id, revision, draft) = (plan_id(&id)?, if_match(&headers)?, document(&body?)?);
    state.store.replace_draft(id, revision, &draft, Some(person.user)).await?.map_err(not_changed)?;
    shown(&state, &person, id, StatusCode::OK).await
}

/// `POST /api/plans/lint`: of a document that is stored nowhere, while it is written.
pub(super) async fn lint_document(person: Person, body: Result<Bytes, BytesRejection>) -> Result<Json<Verdict>, ApiError> {
    person.require_recruiter()?;
    Ok(Json(Verdict::of(&document(&body?)?, Origin::Authored)))
}

/// `POST /api/plans/{id}/lint`: of the draft.
pub(super) async fn lint_draft(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<Verdict>, ApiError> {
    person.require_recruiter()?;
    let (_, draft) = stored(&state, &person, plan_id(&id)?).await?;
    Ok(Json(Verdict::of(&draft, Origin::Authored)))
}

/// `POST /api/plans/{id}/publish`: 201 with the new version; 200 when the draft is the newest one already.
pub(super) async fn publish(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<VersionItem>), ApiError> {
    person.require_recruiter()?;
    let (id, revision) = (plan_id(&id)?, if_match(&headers)?);
    let (row, draft) = stored(&state, &person, id).await?;
    if row.revision != revision {
        return Err(not_changed(Unchanged::Stale(row.revision)));
    }
    let verdict = Verdict::of(&draft, Origin::Authored);
    if !verdict.may_publish {
        let detail = "the linter found errors in the draft";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::PlanNotPublishable, detail)
            .with("findings", json!(verdict.findings)));
    }
    let published = state.store.publish_plan(id, revision, &draft, Some(person.user)).await?.map_err(not_changed)?;
    let (version, is_new) = published;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(VersionItem::of(id, version))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchiveRequest {
    archived: bool,
}

/// `PUT /api/plans/{id}/archived`
pub(super) async fn archive(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    body: Result<Json<ArchiveRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    person.require_recruiter()?;
    let (id, Json(request)) = (plan_id(&id)?, body?);
    state.store.archive_plan(id, request.archived, Some(person.user)).await?.map_err(not_changed)?;
    shown(&state, &person, id, StatusCode::OK).await
}

/// `GET /api/plans/{id}/versions`: newest first.
pub(super) async fn versions(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<Page<VersionItem>>, ApiError> {
    person.require_recruiter()?;
    let id = plan_id(&id)?;
    let rows = state.store.plan_versions(&person.scope(), id).await?;
    if rows.is_empty() {
        stored(&state, &person, id).await?;
    }
    Ok(Json(Page::whole(rows.into_iter().map(|row| VersionItem::of(id, row)).collect())))
}

/// `GET /api/plans/{id}/versions/{number}`
pub(super) async fn version(
    State(state): State<AppState>,
    person: Person,
    Path((id, number)): Path<(String, String)>,
) -> Result<Json<VersionView>, ApiError> {
    person.require_recruiter()?;
    let (id, number) = (plan_id(&id)?, number.parse::<i32>().map_err(|_| version_not_found())?);
    let (row, document) = published(&state, &person, id, number).await?;
    let verdict = Verdict::of(&document, row.origin);
    Ok(Json(VersionView { item: VersionItem::of(id, row), document, verdict }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompareQuery {
    from: i32,
    /// The draft, when it is not given.
    to: Option<i32>,
}

#[derive(Serialize)]
pub(super) struct Comparison {
    from: i32,
    to: Option<i32>,
    changes: Vec<Change>,
}

/// `GET /api/plans/{id}/diff?from=1&to=2`
pub(super) async fn compare(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    query: Result<Query<CompareQuery>, QueryRejection>,
) -> Result<Json<Comparison>, ApiError> {
    person.require_recruiter()?;
    let (id, Query(CompareQuery { from, to })) = (plan_id(&id)?, query?);
    let (_, before) = published(&state, &person, id, from).await?;
    let after = match to {
        Some(to) => published(&state, &person, id, to).await?.1,
        None => stored(&state, &person, id).await?.1,
    };
    let changes = diff(&before, &after).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(Json(Comparison { from, to, changes }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UseRequest {
    /// Null: interviews for the position are created without a plan.
    plan_id: Option<PlanId>,
    /// The newest one, when it is not given.
    #[serde(default)]
    version: Option<i32>,
}

#[derive(Serialize)]
pub(super) struct UseView {
    position_id: PositionId,
    plan: Option<PlanName>,
}

/// `PUT /api/positions/{id}/plan`: for interviews that are created from now on.
pub(super) async fn set_of_position(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    body: Result<Json<UseRequest>, JsonRejection>,
) -> Result<Json<UseView>, ApiError> {
    person.require_recruiter()?;
    let Json(request) = body?;
    let position_id: PositionId = id.parse().map_err(|_| not_changed(Unchanged::PositionNotFound))?;
    let used = request.plan_id.map(|plan| (plan, request.version));
    let used = state.store.set_position_plan(position_id, used, Some(person.user)).await?.map_err(not_changed)?;
    Ok(Json(UseView { position_id, plan: used.map(PlanName::from) }))
}

async fn stored(state: &AppState, person: &Person, id: PlanId) -> Result<(PlanRow, Plan), ApiError> {
    state.store.plan(&person.scope(), id).await?.ok_or_else(|| not_changed(Unchanged::NotFound))
}

async fn published(state: &AppState, person: &Person, id: PlanId, number: i32) -> Result<(VersionRow, Plan), ApiError> {
    state.store.plan_version(&person.scope(), id, number).await?.ok_or_else(version_not_found)
}

/// The plan as it is now, under the ETag of its draft.
async fn shown(state: &AppState, person: &Person, id: PlanId, status: StatusCode) -> Result<Response, ApiError> {
    let (row, draft) = stored(state, person, id).await?;
    let etag = HeaderValue::from_str(&format!("\"{}\"", row.revision)).map_err(|error| ApiError::internal(error.to_string()))?;
    let verdict = Verdict::of(&draft, Origin::Authored);
    let view = PlanView { item: row.into(), draft, verdict };
    Ok((status, [(header::ETAG, etag)], Json(view)).into_response())
}

fn document(body: &Bytes) -> Result<Plan, ApiError> {
    Plan::parse(body).map_err(|error| {
        let status = match error {
            PlanError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            PlanError::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        ApiError::new(status, ErrorCode::PlanInvalid, error.to_string())
    })
}

fn plan_id(text: &str) -> Result<PlanId, ApiError> {
    text.parse().map_err(|_| not_changed(Unchanged::NotFound))
}

/// The revision that the caller has read.
fn if_match(headers: &HeaderMap) -> Result<i32, ApiError> {
    let required = || {
        let detail = "If-Match: the ETag of the plan as you read it";
        ApiError::new(StatusCode::PRECONDITION_REQUIRED, ErrorCode::PlanRevisionRequired, detail)
    };
    let value = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()).ok_or_else(required)?;
    value.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|tag| tag.parse().ok()).ok_or_else(required)
}

fn version_not_found() -> ApiError {
    not_changed(Unchanged::VersionNotFound)
}

fn not_changed(unchanged: Unchanged) -> ApiError {
    let refused = |status, code, detail: &str| ApiError::new(status, code, detail);
    match unchanged {
        Unchanged::NotFound => refused(StatusCode::NOT_FOUND, ErrorCode::PlanNotFound, "there is no such plan"),
        Unchanged::VersionNotFound => {
            refused(StatusCode::NOT_FOUND, ErrorCode::PlanVersionNotFound, "the plan has no such version")
        }
        Unchanged::PositionNotFound => refused(StatusCode::NOT_FOUND, ErrorCode::PositionNotFound, "there is no such position"),
        Unchanged::Archived => refused(StatusCode::CONFLICT, ErrorCode::PlanArchived, "the plan is archived"),
        Unchanged::InUse => refused(StatusCode::CONFLICT, ErrorCode::PlanInUse, "a position uses the plan"),
        Unchanged::Full => refused(StatusCode::CONFLICT, ErrorCode::PlansExhausted, "there are as many plans as there may be"),
        Unchanged::Stale(revision) => {
            let detail = format!("the draft was changed meanwhile; its revision is {revision} now");
            refused(StatusCode::PRECONDITION_FAILED, ErrorCode::PlanChanged, &detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_a_draft_names_the_revision_that_they_read() {
        let read = |value: &'static str| if_match(&HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static(value))]));
        assert_eq!(read("\"7\"").expect("an ETag"), 7);
        for bad in ["7", "*", "W/\"7\"", "\"seven\"", ""] {
            assert_eq!(read(bad).expect_err(bad).code(), ErrorCode::PlanRevisionRequired, "{bad}");
        }
        assert!(if_match(&HeaderMap::new()).is_err());
    }
}
