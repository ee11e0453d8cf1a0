//! Plans: recruiters write drafts, publish versions and say which position uses which. A candidate sees none of it.
//!
//! A draft has a revision, which is its ETag. Who changes or publishes it sends that as `If-Match`, so that nobody overwrites what
//! they have not read.

use super::AppState;
use super::edit::{Answer, Asked};
use super::view::{Page, PlanName};
use crate::domain::plan::diff::{Change as Difference, diff};
use crate::domain::plan::lint::{Finding, Origin, lint, may_publish};
use crate::domain::plan::{Plan, PlanError, PlanHash};
use crate::error::ErrorCode;
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::{PlanId, PositionId, UserId};
use crate::integrations::store::gateway::Change;
use crate::integrations::store::gateway::plans::{PlanRow, Unchanged, VersionRow};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

const KIND: &str = "plan";

#[derive(Serialize)]
pub(super) struct PlanItem {
    plan_id: PlanId,
    name: String,
    /// Of the draft: its ETag.
    revision: i32,
    /// Null when nothing was published.
    newest_version: Option<i32>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    archived_at: Option<OffsetDateTime>,
}

impl From<PlanRow> for PlanItem {
    fn from(row: PlanRow) -> Self {
        let PlanRow { id: plan_id, name, revision, newest_version, created_at, updated_at, archived_at } = row;
        Self { plan_id, name, revision, newest_version, created_at, updated_at, archived_at }
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

impl From<(PlanRow, Plan)> for PlanView {
    fn from((row, draft): (PlanRow, Plan)) -> Self {
        let verdict = Verdict::of(&draft, Origin::Authored);
        Self { item: row.into(), draft, verdict }
    }
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
    number: i32,
    hash: PlanHash,
    origin: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    published_at: OffsetDateTime,
    /// Null: by the operator.
    published_by: Option<UserId>,
}

impl VersionItem {
    fn of(plan_id: PlanId, row: VersionRow) -> Self {
        let VersionRow { number, hash, origin, published_at, published_by } = row;
        Self { plan_id, number, hash, origin: origin.as_str(), published_at, published_by }
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
pub(super) async fn create(State(state): State<AppState>, asked: Asked) -> Result<Response, ApiError> {
    let draft = document(&asked.body)?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer.into_response()),
    };
    let id = PlanId(Uuid::now_v7());
    change.insert_plan(id, &draft).await?.map_err(not_changed)?;
    change.audit("created", (KIND, id.0), json!({})).await?;
    kept(change, StatusCode::CREATED, id).await
}

/// `GET /api/plans/{id}`
pub(super) async fn read(State(state): State<AppState>, person: Person, Path(id): Path<String>) -> Result<Response, ApiError> {
    person.require_recruiter()?;
    let view = PlanView::from(stored(&state, &person, plan_id(&id)?).await?);
    tagged(StatusCode::OK, view.item.revision, &view)
}

/// `PUT /api/plans/{id}/draft`
pub(super) async fn replace_draft(
    State(state): State<AppState>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (id, draft) = (plan_id(&id)?, document(&asked.body)?);
    let (row, _) = stored(&state, &asked.person, id).await?;
    asked.matches(row.revision)?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer.into_response()),
    };
    let revision = change.replace_draft(id, row.revision, &draft).await?.map_err(not_changed)?;
    change.audit("draft_changed", (KIND, id.0), json!({"revision": revision})).await?;
    kept(change, StatusCode::OK, id).await
}

/// `POST /api/plans/lint`: of a document that is stored nowhere, while it is written.
pub(super) async fn lint_document(asked: Asked) -> Result<Json<Verdict>, ApiError> {
    Ok(Json(Verdict::of(&document(&asked.body)?, Origin::Authored)))
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
pub(super) async fn publish(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    let id = plan_id(&id)?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let (row, draft) = change.plan(id).await?.ok_or_else(|| not_changed(Unchanged::NotFound))?;
    asked.matches(row.revision)?;
    let verdict = Verdict::of(&draft, Origin::Authored);
    if !verdict.may_publish {
        let detail = "the linter found errors in the draft";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::PlanNotPublishable, detail)
            .with("findings", json!(verdict.findings)));
    }
    let (version, is_new) = change.publish_plan(id, row.revision, &draft).await?.map_err(not_changed)?;
    if is_new {
        let detail = json!({"number": version.number, "hash": version.hash});
        change.audit("published", (KIND, id.0), detail).await?;
    }
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Answer::kept(change, status, &VersionItem::of(id, version)).await
}

/// `POST /api/plans/{id}/archive`: once more changes nothing.
pub(super) async fn archive(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Response, ApiError> {
    set_archived(&state, &id, &asked, true).await
}

/// `POST /api/plans/{id}/restore`
pub(super) async fn restore(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Response, ApiError> {
    set_archived(&state, &id, &asked, false).await
}

async fn set_archived(state: &AppState, id: &str, asked: &Asked, archived: bool) -> Result<Response, ApiError> {
    let id = plan_id(id)?;
    let mut change = match asked.begin(state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer.into_response()),
    };
    if change.archive_plan(id, archived).await?.map_err(not_changed)? {
        change.audit(if archived { "archived" } else { "restored" }, (KIND, id.0), json!({})).await?;
    }
    kept(change, StatusCode::OK, id).await
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
    changes: Vec<Difference>,
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
struct UseRequest {
    /// Null: interviews for the position are created without a plan.
    plan_id: Option<PlanId>,
    /// The newest one, when it is not given.
    #[serde(default)]
    version: Option<i32>,
}

#[derive(Serialize)]
struct UseView {
    position_id: PositionId,
    plan: Option<PlanName>,
}

/// `PUT /api/positions/{id}/plan`: for interviews that are created from now on.
pub(super) async fn set_of_position(
    State(state): State<AppState>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Answer, ApiError> {
    let request: UseRequest = asked.json()?;
    let position_id: PositionId = id.parse().map_err(|_| not_changed(Unchanged::PositionNotFound))?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let used = request.plan_id.map(|plan| (plan, request.version));
    let plan = change.set_position_plan(position_id, used).await?.map_err(not_changed)?.map(PlanName::from);
    change.audit("plan_set", ("position", position_id.0), json!({"plan": plan})).await?;
    Answer::kept(change, StatusCode::OK, &UseView { position_id, plan }).await
}

async fn stored(state: &AppState, person: &Person, id: PlanId) -> Result<(PlanRow, Plan), ApiError> {
    state.store.plan(&person.scope(), id).await?.ok_or_else(|| not_changed(Unchanged::NotFound))
}

async fn published(state: &AppState, person: &Person, id: PlanId, number: i32) -> Result<(VersionRow, Plan), ApiError> {
    state.store.plan_version(&person.scope(), id, number).await?.ok_or_else(version_not_found)
}

/// Keeps the change; the answer is the plan as it is then.
async fn kept(mut change: Change, status: StatusCode, id: PlanId) -> Result<Response, ApiError> {
    let view = PlanView::from(change.plan(id).await?.ok_or_else(|| not_changed(Unchanged::NotFound))?);
    let body = serde_json::to_value(&view).map_err(|error| ApiError::internal(error.to_string()))?;
    change.commit(status.as_u16(), &body).await?;
    tagged(status, view.item.revision, &body)
}

fn tagged(status: StatusCode, revision: i32, view: &impl Serialize) -> Result<Response, ApiError> {
    let tag = HeaderValue::from_str(&format!("\"{revision}\"")).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok((status, [(header::ETAG, tag)], Json(view)).into_response())
}

fn document(body: &[u8]) -> Result<Plan, ApiError> {
    Plan::parse(body).map_err(|error| {
        let status = match error {
            PlanError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            PlanError::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        ApiError::new(status, ErrorCode::PlanInvalid, error.to_string())
    })
}

/// An id that is none is one nobody has.
fn plan_id(text: &str) -> Result<PlanId, ApiError> {
    text.parse().map_err(|_| not_changed(Unchanged::NotFound))
}

fn version_not_found() -> ApiError {
    not_changed(Unchanged::VersionNotFound)
}

fn not_changed(unchanged: Unchanged) -> ApiError {
    let (status, detail) = match unchanged {
        Unchanged::NotFound => (StatusCode::NOT_FOUND, "there is no such plan"),
        Unchanged::VersionNotFound => (StatusCode::NOT_FOUND, "the plan has no such version"),
        Unchanged::PositionNotFound => (StatusCode::NOT_FOUND, "there is no such position"),
        Unchanged::Archived => (StatusCode::CONFLICT, "the plan is archived; restore it first"),
        Unchanged::InUse => (StatusCode::CONFLICT, "a position uses the plan"),
        Unchanged::Full => (StatusCode::CONFLICT, "there are as many plans as there may be"),
        Unchanged::Stale => (StatusCode::PRECONDITION_FAILED, "the draft was changed since you have read it; read it again"),
    };
    ApiError::new(status, unchanged.code(), detail)
}
