//! Invites, as recruiters make and change them.

use super::AppState;
use super::edit::{idempotency_key, json_or_default};
use super::invite_link::new_secret;
use super::settings::Wishes;
use super::view::{Page, limit};
use crate::clock;
use crate::domain::edge::{Text, Timestamp};
use crate::domain::invite::{MOST_ATTEMPTS, Refusal, State as InviteState, check_window};
use crate::domain::mail::Locale;
use crate::domain::plan::PlanOffer;
use crate::domain::zone::Zone;
use crate::error::{ErrorCode, Fault, chain};
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::{CandidateId, InviteId, PositionId, Secret, SessionId};
use crate::integrations::store::gateway::invites::{InviteChange, InviteFilter, InviteRow, Made, NewInvite};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use time::OffsetDateTime;
use uuid::Uuid;

/// 5,000 rows with everything a row may say.
pub(super) const MAX_BULK_BYTES: usize = 4 * 1024 * 1024;
const MAX_ROWS: usize = 5_000;
/// Rows of one transaction.
const CHUNK: usize = 500;
const MAX_EXTERNAL_ID: usize = 200;
const MAX_REASON: usize = 500;
const MAX_SEARCH: usize = 100;
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

#[derive(Deserialize)]
pub(super) struct CreateRequest {
    candidate_id: CandidateId,
    position_id: PositionId,
    #[serde(default)]
    opens_at: Option<String>,
    closes_at: String,
    zone: String,
    #[serde(default)]
    locale: Option<String>,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    attempts: Option<u32>,
    #[serde(default)]
    settings: Option<Wishes>,
    /// By mail, to the candidate's address.
    #[serde(default)]
    send: bool,
}

#[derive(Serialize)]
pub(super) struct InviteView {
    invite_id: InviteId,
    state: InviteState,
    candidate: Candidate,
    position: Position,
    session_id: Option<SessionId>,
    external_id: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    opens_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    closes_at: OffsetDateTime,
    zone: String,
    locale: String,
    settings: Value,
    attempts: Attempts,
    reason: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    sent_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    opened_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
    /// Of the newest one; null where none was asked for.
    mail: Option<MailView>,
}

#[derive(Serialize)]
struct Candidate {
    id: CandidateId,
    name: String,
    email: String,
}

#[derive(Serialize)]
struct Position {
    id: PositionId,
    title: String,
}

#[derive(Serialize)]
struct Attempts {
    allowed: u32,
    used: u32,
}

#[derive(Serialize)]
struct MailView {
    state: String,
    failure: Option<String>,
}

impl From<InviteRow> for InviteView {
    fn from(row: InviteRow) -> Self {
        let InviteRow { invite, mail_failure: failure, .. } = row;
        Self {
            invite_id: row.id,
            state: invite.state,
            candidate: Candidate { id: row.candidate, name: row.candidate_name, email: row.candidate_email },
            position: Position { id: row.position, title: row.position_title },
            session_id: row.session,
            external_id: row.external_id,
            opens_at: *invite.opens,
            closes_at: *invite.closes,
            zone: row.zone,
            locale: row.locale,
            settings: row.settings,
            attempts: Attempts { allowed: invite.attempts, used: invite.used },
            reason: row.reason,
            created_at: row.created_at,
            sent_at: row.sent_at,
            opened_at: row.opened_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            mail: row.mail_state.map(|state| MailView { state, failure }),
        }
    }
}

#[derive(Serialize)]
pub(super) struct CreatedInvite {
    #[serde(flatten)]
    invite: InviteView,
    /// Shown once: only a hash of it is kept. Null where the invite was there already.
    link: Option<String>,
    warnings: Vec<String>,
}

/// `POST /api/invites`: rows only. A machine is asked for when the candidate comes.
pub(super) async fn create(
    State(state): State<AppState>,
    person: Person,
    headers: HeaderMap,
    body: Result<Json<CreateRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<CreatedInvite>), ApiError> {
    let Json(request) = body?;
    person.require_recruiter()?;
    refuse_key(&headers)?;
    let mail = mail_host(&state, request.send)?;
    let plans = state.store.plan_offers(&[request.position_id], None).await?;
    let ((mut new, warnings), secret) = (check(&state, request, &plans)?, new_secret("")?);
    new.link = Some(secret.hash);
    let (candidates, positions) = state.store.may_invite(&person.scope(), &[new.candidate], &[new.position]).await?;
    seen(&new, &candidates, &positions)?;
    let made = state.store.insert_invites(std::slice::from_ref(&new), &person.actor(), mail).await?;
    let (status, id, link) = match made.get(&new.id) {
        Some(Made::New(id)) => (StatusCode::CREATED, *id, Some(link_of(&state, &secret.text))),
        Some(Made::Known(id)) => (StatusCode::OK, *id, None),
        other => return Err(not_made(other)),
    };
    state.mail_queued.notify_one();
    Ok((status, Json(CreatedInvite { invite: view(&state, &person, id).await?, link, warnings })))
}

/// What makes an invite once is its external id: an answer that is kept under a key would hold the link.
fn refuse_key(headers: &HeaderMap) -> Result<(), ApiError> {
    if idempotency_key(headers)?.is_none() {
        return Ok(());
    }
    Err(ApiError::invalid("Idempotency-Key: an invite is made once by its external_id; send that instead"))
}

#[derive(Deserialize)]
pub(super) struct BulkRequest {
    invites: Vec<Value>,
}

#[derive(Serialize)]
pub(super) struct BulkAnswer {
    results: Vec<BulkRow>,
    created: usize,
    existing: usize,
    refused: usize,
}

/// What became of one row.
#[derive(Serialize)]
pub(super) struct BulkRow {
    row: usize,
    /// `created`, `exists` or `refused`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_id: Option<InviteId>,
    /// Of a row that is not sent by mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl BulkRow {
    fn refused(row: usize, error: &ApiError) -> Self {
        let (code, detail) = (Some(error.code()), Some(error.detail().to_owned()));
        Self { row, status: "refused", invite_id: None, link: None, code, detail, warnings: Vec::new() }
    }
}

/// A row that may become an invite.
struct Checked {
    row: usize,
    send: bool,
    secret: Secret,
    new: NewInvite,
    warnings: Vec<String>,
}

/// `POST /api/invites/bulk`: up to 5,000 at once, each with a result of its own. Each row needs an external id: who sends the same
/// rows again makes nothing twice.
pub(super) async fn create_many(
    State(state): State<AppState>,
    person: Person,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<BulkAnswer>, ApiError> {
    let body = body?;
    person.require_recruiter()?;
    refuse_key(&headers)?;
    let turn = state.checks.turn().await?;
    let rows = turn.run(move || read_rows(&body)).await??;
    let named: HashSet<PositionId> = rows.iter().filter_map(|raw| raw["position_id"].as_str()?.parse().ok()).collect();
    let plans = state.store.plan_offers(&named.into_iter().collect::<Vec<_>>(), None).await?;
    let checking = state.clone();
    let (mut checked, mut results) = turn.run(move || check_rows(&checking, rows, &plans)).await??;
    drop(turn);
    let candidates: Vec<_> = checked.iter().map(|each| each.new.candidate).collect::<HashSet<_>>().into_iter().collect();
    let positions: Vec<_> = checked.iter().map(|each| each.new.position).collect::<HashSet<_>>().into_iter().collect();
    let (candidates, positions) = state.store.may_invite(&person.scope(), &candidates, &positions).await?;
    checked.retain(|each| match seen(&each.new, &candidates, &positions) {
        Ok(()) => true,
        Err(error) => {
            results.push(BulkRow::refused(each.row, &error));
            false
        }
    });
    let (mailed, given): (Vec<_>, Vec<_>) = checked.into_iter().partition(|each| each.send);
    for (rows, send) in [(mailed, true), (given, false)] {
        for chunk in rows.chunks(CHUNK) {
            let new: Vec<NewInvite> = chunk.iter().map(|each| each.new.clone()).collect();
            let made = state.store.insert_invites(&new, &person.actor(), mail_host(&state, send)?).await;
            // What was made before keeps its results: a link is told only once.
            match made {
                Ok(made) => results.extend(chunk.iter().map(|each| bulk_row(&state, each, made.get(&each.new.id)))),
                Err(error) => {
                    tracing::error!(error_code = error.code().as_str(), error = %chain(&error), rows = chunk.len(), "a part of many invites is not made");
                    let error = ApiError::from(error);
                    results.extend(chunk.iter().map(|each| BulkRow::refused(each.row, &error)));
                }
            }
        }
    }
    state.mail_queued.notify_one();
    results.sort_by_key(|result| result.row);
    let count = |status| results.iter().filter(|result| result.status == status).count();
    let (created, existing, refused) = (count("created"), count("exists"), count("refused"));
    Ok(Json(BulkAnswer { results, created, existing, refused }))
}

fn read_rows(body: &[u8]) -> Result<Vec<Value>, ApiError> {
    let request: BulkRequest = serde_json::from_slice(body).map_err(|error| ApiError::invalid(error.to_string()))?;
    let fits = (1..=MAX_ROWS).contains(&request.invites.len());
    if fits { Ok(request.invites) } else { Err(ApiError::invalid(format!("invites: 1 to {MAX_ROWS}"))) }
}

/// The rows that may be made, and the results of the others.
fn check_rows(state: &AppState, rows: Vec<Value>, plans: &Plans) -> Result<(Vec<Checked>, Vec<BulkRow>), ApiError> {
    let (mut checked, mut results) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let mut external_ids = HashSet::new();
    for (row, raw) in rows.into_iter().enumerate() {
        match check_row(state, raw, plans, &mut external_ids).map(|row| (row, new_secret(""))) {
            Ok(((send, mut new, warnings), secret)) => {
                let secret = secret?;
                new.link = (!send).then_some(secret.hash);
                checked.push(Checked { row, send, secret, new, warnings });
            }
            Err(error) => results.push(BulkRow::refused(row, &error)),
        }
    }
    Ok((checked, results))
}

fn check_row(
    state: &AppState,
    raw: Value,
    plans: &Plans,
    external_ids: &mut HashSet<String>,
) -> Result<(bool, NewInvite, Vec<String>), ApiError> {
    let request: CreateRequest = serde_json::from_value(raw).map_err(|error| ApiError::invalid(error.to_string()))?;
    let send = request.send;
    mail_host(state, send)?;
    let (new, warnings) = check(state, request, plans)?;
    let Some(external) = &new.external_id else { return Err(ApiError::invalid("external_id: each row needs one")) };
    if !external_ids.insert(external.clone()) {
        return Err(ApiError::invalid("external_id: another row has it already"));
    }
    Ok((send, new, warnings))
}

fn bulk_row(state: &AppState, checked: &Checked, made: Option<&Made>) -> BulkRow {
    let row = |status, id| BulkRow {
        row: checked.row,
        status,
        invite_id: Some(id),
        link: None,
        code: None,
        detail: None,
        warnings: checked.warnings.clone(),
    };
    match made {
        Some(Made::New(id)) => {
            let link = checked.new.link.map(|_| link_of(state, &checked.secret.text));
            BulkRow { link, ..row("created", *id) }
        }
        Some(Made::Known(id)) => row("exists", *id),
        other => BulkRow::refused(checked.row, &not_made(other)),
    }
}

fn not_made(made: Option<&Made>) -> ApiError {
    match made {
        Some(Made::Conflicts) => {
            let detail = "external_id: it stands for an invite of another candidate or position";
            ApiError::new(StatusCode::CONFLICT, ErrorCode::InviteConflicted, detail)
        }
        Some(Made::CandidateGone) => no_candidate(),
        Some(Made::PositionGone) => no_position(),
        Some(Made::Unmailable) => unmailable(),
        Some(Made::New(_) | Made::Known(_)) | None => ApiError::internal("an invite that was not made, for no reason"),
    }
}

fn unmailable() -> ApiError {
    let detail = "no mail can be sent to the candidate's address; correct it, or give the link to them yourself";
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::MailAddressRefused, detail)
}

fn no_candidate() -> ApiError {
    ApiError::not_found(ErrorCode::CandidateNotFound, "there is no such candidate")
}

fn no_position() -> ApiError {
    ApiError::not_found(ErrorCode::PositionNotFound, "there is no such position")
}

fn seen(new: &NewInvite, candidates: &HashSet<CandidateId>, positions: &HashSet<PositionId>) -> Result<(), ApiError> {
    if !candidates.contains(&new.candidate) {
        return Err(no_candidate());
    }
    if !positions.contains(&new.position) {
        return Err(no_position());
    }
    Ok(())
}

/// What the plans of the positions offer, where they have one.
type Plans = HashMap<PositionId, PlanOffer>;

/// Beside the invite: what somebody should know who asked for it like this.
fn check(state: &AppState, request: CreateRequest, plans: &Plans) -> Result<(NewInvite, Vec<String>), ApiError> {
    let now: Timestamp = clock::now().into();
    let opens = request.opens_at.as_deref().map(|text| moment("opens_at", text)).transpose()?.unwrap_or(now);
    let closes = moment("closes_at", &request.closes_at)?;
    check_window(opens, closes, now, state.config.invites.longest_window()).map_err(|refusal| not_changed(state, refusal))?;
    let zone = Zone::parse(&request.zone)
        .ok_or_else(|| ApiError::invalid("zone: the IANA name of a time zone, such as \"Europe/Berlin\""))?;
    let settings = request.settings.unwrap_or_default().check(&state.config, plans.get(&request.position_id))?;
    let locale = match &request.locale {
        None => settings.language.as_deref().map_or(Locale::En, Locale::of_language),
        Some(name) => Locale::named(name)
            .ok_or_else(|| ApiError::invalid(format!("locale: one of {}", Locale::ALL.map(Locale::as_str).join(", "))))?,
    };
    let attempts = request.attempts.unwrap_or(1);
    if !(1..=MOST_ATTEMPTS).contains(&attempts) {
        return Err(ApiError::invalid(format!("attempts: 1 to {MOST_ATTEMPTS}")));
    }
    let external_id = request.external_id.map(|raw| usable("external_id", &raw, MAX_EXTERNAL_ID)).transpose()?;
    let new = NewInvite {
        id: InviteId(Uuid::now_v7()),
        candidate: request.candidate_id,
        position: request.position_id,
        external_id,
        opens,
        closes,
        zone: zone.name().to_owned(),
        locale: locale.as_str(),
        settings: settings.to_json(),
        attempts,
        link: None,
    };
    Ok((new, settings.warnings))
}

fn moment(key: &str, text: &str) -> Result<Timestamp, ApiError> {
    Timestamp::parse(text).ok_or_else(|| ApiError::invalid(format!("{key}: a time as RFC 3339 has it")))
}

/// As somebody wrote it, or refused: what was changed would not be found again.
fn usable(key: &str, raw: &str, most: usize) -> Result<String, ApiError> {
    let text = Text::new(raw.trim());
    let whole = text.as_str() == raw.trim() && !text.is_empty() && text.chars().count() <= most;
    if whole { Ok(text.into_string()) } else { Err(ApiError::invalid(format!("{key}: 1 to {most} characters of text"))) }
}

/// The right side of a mail's Message-ID, where one is to be sent.
fn mail_host(state: &AppState, send: bool) -> Result<Option<&str>, ApiError> {
    if !send {
        return Ok(None);
    }
    if !state.config.mail.is_set() {
        let detail = "no mail server is configured; give the link to the candidate yourself";
        return Err(ApiError::new(StatusCode::CONFLICT, ErrorCode::MailUnconfigured, detail));
    }
    Ok(Some(state.config.http.host()))
}

/// The secret stands behind the `#`: no server and no log ever sees it in an address.
fn link_of(state: &AppState, secret: &str) -> String {
    state.config.http.invite_link(secret)
}

async fn view(state: &AppState, person: &Person, id: InviteId) -> Result<InviteView, ApiError> {
    Ok(state.store.invite(&person.scope(), id).await?.ok_or_else(not_found)?.into())
}

fn not_found() -> ApiError {
    ApiError::not_found(ErrorCode::InviteUnknown, "there is no such invite")
}

fn invite_id(text: &str) -> Result<InviteId, ApiError> {
    text.parse().map_err(|_| not_found())
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    /// One or more, separated by commas.
    state: Option<String>,
    q: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// `GET /api/invites`: the newest first.
pub(super) async fn list(
    State(state): State<AppState>,
    person: Person,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<InviteView>>, ApiError> {
    let Query(query) = query?;
    person.require_recruiter()?;
    let limit = limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let states: Vec<String> = query
        .state
        .iter()
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if states.iter().any(|name| InviteState::named(name).is_none()) {
        return Err(ApiError::invalid(format!("state: of {}", InviteState::ALL.map(InviteState::as_str).join(", "))));
    }
    let search = query.q.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let filter = InviteFilter {
        states,
        search: search.map(|text| usable("q", text, MAX_SEARCH)).transpose()?,
        after: query
            .cursor
            .map(|text| text.parse().map_err(|_| ApiError::invalid("cursor: take it from next_cursor")))
            .transpose()?,
        limit: limit + 1,
    };
    let rows = state.store.invites(&person.scope(), &filter).await?;
    // Ids rise with time.
    Ok(Json(Page::of(rows, limit, |row| row.id.to_string(), InviteView::from)))
}

/// `GET /api/invites/{id}`
pub(super) async fn read(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<InviteView>, ApiError> {
    person.require_recruiter()?;
    Ok(Json(view(&state, &person, invite_id(&id)?).await?))
}

/// Does what a recruiter asks for, where they see the invite.
async fn change(state: &AppState, person: &Person, id: &str, change: InviteChange, send: bool) -> Result<InviteView, ApiError> {
    person.require_recruiter()?;
    let id = invite_id(id)?;
    mail_host(state, send)?;
    view(state, person, id).await?;
    let longest = state.config.invites.longest_window();
    let done = state.store.change_invite(id, &person.actor(), &change, (send, state.config.http.host()), longest).await?;
    done.map_err(|refusal| not_changed(state, refusal))?;
    state.mail_queued.notify_one();
    view(state, person, id).await
}

fn not_changed(state: &AppState, refusal: Refusal) -> ApiError {
    let conflict = |code, detail: &str| ApiError::new(StatusCode::CONFLICT, code, detail);
    let window = |detail: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InviteWindowInvalid, detail);
    match refusal {
        Refusal::Expired => conflict(ErrorCode::InviteExpired, "the invite has expired; extend it first"),
        Refusal::Revoked => conflict(ErrorCode::InviteRevoked, "the invite was revoked; open it again first"),
        Refusal::Spent => conflict(ErrorCode::InviteSpent, "the interview of this invite was held; open it again first"),
        Refusal::Taken => conflict(ErrorCode::InviteStateRefused, "an interview runs by this invite"),
        Refusal::StillOpen => conflict(ErrorCode::InviteStateRefused, "the invite is open; extend it instead"),
        Refusal::Exhausted => conflict(ErrorCode::InviteExhausted, "none of many interviews could be held; open it again first"),
        Refusal::TooEarly | Refusal::Closed | Refusal::Storing => conflict(ErrorCode::InviteStateRefused, "not in this state"),
        Refusal::NotLater => window("closes_at: after opens_at, after now, and not earlier than before".to_owned()),
        Refusal::Unmailable => unmailable(),
        Refusal::TooLate => window(format!("a window is at most {} days long and away", state.config.invites.longest_window_d)),
    }
}

#[derive(Serialize)]
pub(super) struct LinkView {
    link: String,
}

/// `POST /api/invites/{id}/link`: another link, shown once. The others keep working.
pub(super) async fn link(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<LinkView>, ApiError> {
    let secret = new_secret("")?;
    change(&state, &person, &id, InviteChange::Link { hash: secret.hash }, false).await?;
    Ok(Json(LinkView { link: link_of(&state, &secret.text) }))
}

/// `POST /api/invites/{id}/resend`: by mail, once more.
pub(super) async fn resend(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<InviteView>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(change(&state, &person, &id, InviteChange::Resend, true).await?)))
}

#[derive(Deserialize)]
pub(super) struct ExtendRequest {
    closes_at: String,
    #[serde(default)]
    send: bool,
}

/// `POST /api/invites/{id}/extend`
pub(super) async fn extend(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    body: Result<Json<ExtendRequest>, JsonRejection>,
) -> Result<Json<InviteView>, ApiError> {
    let Json(request) = body?;
    let closes = moment("closes_at", &request.closes_at)?;
    Ok(Json(change(&state, &person, &id, InviteChange::Extend { closes }, request.send).await?))
}

#[derive(Default, Deserialize)]
pub(super) struct RevokeRequest {
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /api/invites/{id}/revoke`: the links lead nowhere, tokens are refused at once, an interview that runs is ended. Whoever got
/// a mail gets another that says so.
pub(super) async fn revoke(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<InviteView>, ApiError> {
    let request: RevokeRequest = json_or_default(&body?)?;
    let reason = request.reason.filter(|text| !text.trim().is_empty());
    let reason = reason.map(|raw| usable("reason", &raw, MAX_REASON)).transpose()?;
    Ok(Json(change(&state, &person, &id, InviteChange::Revoke { reason }, state.config.mail.is_set()).await?))
}

#[derive(Deserialize)]
pub(super) struct ReopenRequest {
    reason: String,
    closes_at: String,
    #[serde(default)]
    send: bool,
}

/// `POST /api/invites/{id}/reopen`: one more attempt, with a reason.
pub(super) async fn reopen(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    body: Result<Json<ReopenRequest>, JsonRejection>,
) -> Result<Json<InviteView>, ApiError> {
    let Json(request) = body?;
    let closes = moment("closes_at", &request.closes_at)?;
    let reason = usable("reason", &request.reason, MAX_REASON)?;
    Ok(Json(change(&state, &person, &id, InviteChange::Reopen { closes, reason }, request.send).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tenant_names_is_kept_as_it_was_or_refused() {
        assert_eq!(usable("external_id", " ATS-17 ", 200).expect("usable"), "ATS-17");
        assert_eq!(usable("reason", "técnica 技術", 500).expect("usable"), "técnica 技術");
        for bad in ["", "  ", "a\0b", "\u{202e}x", &"x".repeat(201)] {
            assert_eq!(usable("external_id", bad, 200).expect_err("refused").code(), ErrorCode::RequestInvalid, "{bad:?}");
        }
    }
}
