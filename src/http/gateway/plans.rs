//! Plans: recruiters write drafts, publish versions and say which position uses which. A candidate sees none of it.
//!
//! A draft has a revision, which is its ETag. Who changes or publishes it sends that as `If-Match`, so that nobody overwrites what
//! they have not read.

use super::AppState;
use super::edit::{Answer, Asked};
use super::lists::{ListQuery, page};
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
use crate::rehearsal::{Asked as ToRehearse, NotRehearsed, Rehearsal, rehearse};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::{Duration, Instant};
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

/// A plan with its draft. What the linter says about that is told to whoever has changed it, or asks: it takes a while.
#[derive(Serialize)]
struct PlanView {
    #[serde(flatten)]
    item: PlanItem,
    draft: Plan,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

impl From<(PlanRow, Plan)> for PlanView {
    fn from((row, draft): (PlanRow, Plan)) -> Self {
        Self { item: row.into(), draft, verdict: None }
    }
}

#[derive(Serialize)]
pub(super) struct Verdict {
    findings: Vec<Finding>,
    may_publish: bool,
}

impl Verdict {
    /// Not on the event loop ([`super::checks`]).
    fn of(plan: &Plan) -> Self {
        let findings = lint(plan, Origin::Authored);
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
}

/// `GET /api/plans`: the newest first, also those that are archived.
pub(super) async fn list(
    State(state): State<AppState>,
    person: Person,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<PlanItem>>, ApiError> {
    person.require_recruiter()?;
    let filter = query?.0.newest_of_all().filter()?;
    let rows = state.store.plans(&person.scope(), &filter).await?;
    Ok(Json(page(&filter, rows, |row| (&row.name, row.created_at, row.id.0), PlanItem::from)))
}

/// `POST /api/plans`: the body is the document.
pub(super) async fn create(State(state): State<AppState>, asked: Asked) -> Result<Answer, ApiError> {
    let (draft, verdict) = read_and_lint(&state, &asked).await?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let id = PlanId(Uuid::now_v7());
    change.insert_plan(id, &draft).await?.map_err(not_changed)?;
    change.audit("created", (KIND, id.0), json!({})).await?;
    kept(change, StatusCode::CREATED, id, Some(verdict)).await
}

/// `GET /api/plans/{id}`
pub(super) async fn read(State(state): State<AppState>, person: Person, Path(id): Path<String>) -> Result<Answer, ApiError> {
    person.require_recruiter()?;
    Answer::read(&PlanView::from(stored(&state, &person, plan_id(&id)?).await?))
}

/// `PUT /api/plans/{id}/draft`
pub(super) async fn replace_draft(
    State(state): State<AppState>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Answer, ApiError> {
    let id = plan_id(&id)?;
    let (row, _) = stored(&state, &asked.person, id).await?;
    asked.matches(row.revision)?;
    let (draft, verdict) = read_and_lint(&state, &asked).await?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let revision = change.replace_draft(id, row.revision, &draft).await?.map_err(not_changed)?;
    change.audit("draft_changed", (KIND, id.0), json!({"revision": revision})).await?;
    kept(change, StatusCode::OK, id, Some(verdict)).await
}

/// `POST /api/plans/lint`: of a document that is stored nowhere, while it is written.
pub(super) async fn lint_document(State(state): State<AppState>, asked: Asked) -> Result<Json<Verdict>, ApiError> {
    Ok(Json(read_and_lint(&state, &asked).await?.1))
}

/// `POST /api/plans/{id}/lint`: of the draft.
pub(super) async fn lint_draft(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<Verdict>, ApiError> {
    person.require_recruiter()?;
    let (_, draft) = stored(&state, &person, plan_id(&id)?).await?;
    Ok(Json(state.checks.run(move || Verdict::of(&draft)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RehearseQuery {
    /// The plan's own, when it is not given.
    language: Option<String>,
}

/// No plan that anybody can speak takes longer.
const REHEARSED_WITHIN: Duration = Duration::from_secs(5);

/// `POST /api/plans/{id}/rehearse?language=de`: of the draft, with all simulated candidates. It stores nothing.
pub(super) async fn rehearse_draft(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    query: Result<Query<RehearseQuery>, QueryRejection>,
) -> Result<Json<Rehearsal>, ApiError> {
    person.require_recruiter()?;
    let (id, Query(RehearseQuery { language })) = (plan_id(&id)?, query?);
    let (_, draft) = stored(&state, &person, id).await?;
    let offered = draft.languages.clone();
    let work = move || {
        let until = Instant::now() + REHEARSED_WITHIN;
        let asked = ToRehearse { plan: &draft, language: language.as_deref(), seed: 0 };
        rehearse(&asked, &|| Instant::now() < until, &mut |_| {})
    };
    match state.checks.run(work).await? {
        Ok(rehearsal) => Ok(Json(rehearsal)),
        Err(NotRehearsed::Stopped) => Err(state.checks.took_too_long()),
        Err(NotRehearsed::Language) => {
            let detail = "the plan does not have this language";
            let refused = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::PlanLanguageMissing, detail);
            Err(refused.with("languages", json!(offered)))
        }
    }
}

/// `POST /api/plans/{id}/publish`: 201 with the new version; 200 when the draft is the newest one already.
pub(super) async fn publish(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    let id = plan_id(&id)?;
    // Before the transaction: no more of them are open than linters run.
    let turn = state.checks.turn().await?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let (row, draft) = change.plan(id).await?.ok_or_else(|| not_changed(Unchanged::NotFound))?;
    asked.matches(row.revision)?;
    let (verdict, draft) = turn.run(move || (Verdict::of(&draft), draft)).await?;
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
pub(super) async fn archive(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    set_archived(&state, &id, &asked, true).await
}

/// `POST /api/plans/{id}/restore`
pub(super) async fn restore(State(state): State<AppState>, Path(id): Path<String>, asked: Asked) -> Result<Answer, ApiError> {
    set_archived(&state, &id, &asked, false).await
}

async fn set_archived(state: &AppState, id: &str, asked: &Asked, archived: bool) -> Result<Answer, ApiError> {
    let id = plan_id(id)?;
    let mut change = match asked.begin(state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    if change.archive_plan(id, archived).await?.map_err(not_changed)? {
        change.audit(if archived { "archived" } else { "restored" }, (KIND, id.0), json!({})).await?;
    }
    kept(change, StatusCode::OK, id, None).await
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
    Ok(Json(VersionView { item: VersionItem::of(id, row), document }))
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
    let changes = state.checks.run(move || diff(&before, &after)).await?;
    let changes = changes.map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(Json(Comparison { from, to, changes }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UseRequest {
    /// Null: interviews for the position are created without a plan. Who says nothing about it takes none away.
    #[serde(deserialize_with = "Option::deserialize")]
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
    let (plan, is_new) = change.set_position_plan(position_id, used).await?.map_err(not_changed)?;
    let plan = plan.map(PlanName::from);
    if is_new {
        change.audit("plan_set", ("position", position_id.0), json!({"plan": plan})).await?;
    }
    Answer::kept(change, StatusCode::OK, &UseView { position_id, plan }).await
}

async fn stored(state: &AppState, person: &Person, id: PlanId) -> Result<(PlanRow, Plan), ApiError> {
    state.store.plan(&person.scope(), id).await?.ok_or_else(|| not_changed(Unchanged::NotFound))
}

async fn published(state: &AppState, person: &Person, id: PlanId, number: i32) -> Result<(VersionRow, Plan), ApiError> {
    state.store.plan_version(&person.scope(), id, number).await?.ok_or_else(version_not_found)
}

/// Keeps the change; the answer is the plan as it is then.
async fn kept(mut change: Change, status: StatusCode, id: PlanId, verdict: Option<Verdict>) -> Result<Answer, ApiError> {
    let view = PlanView::from(change.plan(id).await?.ok_or_else(|| not_changed(Unchanged::NotFound))?);
    Answer::kept(change, status, &PlanView { verdict, ..view }).await
}

/// The document in a request's body, and what is to be said about it.
async fn read_and_lint(state: &AppState, asked: &Asked) -> Result<(Plan, Verdict), ApiError> {
    let body = asked.body.clone();
    let read = move || {
        document(&body).map(|plan| {
            let verdict = Verdict::of(&plan);
            (plan, verdict)
        })
    };
    state.checks.run(read).await?
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
        Unchanged::Archived => (StatusCode::CONFLICT, "it is archived; restore it first"),
        Unchanged::InUse => (StatusCode::CONFLICT, "a position uses the plan"),
        Unchanged::Full => (StatusCode::CONFLICT, "there are as many plans as there may be"),
        Unchanged::Stale => (StatusCode::PRECONDITION_FAILED, "the draft was changed since you have read it; read it again"),
    };
    ApiError::new(status, unchanged.code(), detail)
}
