//! Creates, reads and ends interviews.

use super::edit::idempotency_key;
use super::invite_link::refused;
use super::settings::Wishes;
use super::setup::{DEADLINE_SLACK, QUOTA_PAUSE, Setup, TENANT_PAUSE, nearest_region, quota};
use super::takes::RecordingWish;
use super::tickets::{JoinInfo, join_info};
use super::view::{Page, SessionView, limit, read_cursor, write_cursor};
use super::{AppState, session_id};
use crate::clock;
use crate::domain::edge::Timestamp;
use crate::domain::invitation::Refusal;
use crate::domain::invite;
use crate::domain::phase::Phase;
use crate::domain::placement::Importance;
use crate::error::ErrorCode;
use crate::http::auth::{Participant, Person};
use crate::http::limits::Bound;
use crate::http::problem::ApiError;
use crate::ids::{CandidateId, InviteId, PositionId, SessionId};
use crate::integrations::store::gateway::{Inserted, KnownSession, NewSession, PageKey, SessionRow};
use crate::telemetry::current_traceparent;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use time::Duration;
use tracing::Span;
use uuid::Uuid;

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;

#[derive(Deserialize)]
pub(super) struct CreateRequest {
    candidate_id: CandidateId,
    position_id: PositionId,
    #[serde(default)]
    settings: Option<Wishes>,
}

/// `POST /api/sessions`
pub(super) async fn create(
    State(state): State<AppState>,
    person: Person,
    headers: HeaderMap,
    body: Result<Json<CreateRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<JoinInfo>), ApiError> {
    let Json(request) = body?;
    let idempotency_key = idempotency_key(&headers)?;
    let by_candidate = !person.is_recruiter();
    // One after the other, so that what is counted in the database holds.
    let _creating = if by_candidate { Some(state.limits.creating(person.user)?) } else { None };
    let invite = check_parties(&state, &person, request.candidate_id, request.position_id).await?;
    let plans = state.store.plan_offers(&[request.position_id], invite).await?;
    let settings = request.settings.unwrap_or_default().check(&state.config, plans.get(&request.position_id))?;
    if settings.importance != Importance::default() {
        // A larger machine costs the tenant more.
        person.require_recruiter()?;
    }
    let seconds = |count: u64| Duration::seconds(i64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    let join_by = clock::now() + seconds(state.config.interview.absence_timeout_s);
    let new = NewSession {
        id: SessionId(Uuid::now_v7()),
        candidate: request.candidate_id,
        position: request.position_id,
        settings: settings.to_json(),
        deadline_at: join_by + seconds(settings.max_duration_s) + DEADLINE_SLACK,
        join_by,
        traceparent: current_traceparent(),
        created_by: person.user,
        by_candidate,
        invite,
        idempotency_key,
    };
    let mut setup = Setup {
        session: new.id,
        candidate: new.candidate,
        position: new.position,
        by: person.user,
        max_duration_s: settings.max_duration_s,
        importance: settings.importance,
        near: nearest_region(&headers),
        with_recording: true,
        fresh: true,
    };
    let (status, needs_setup) = match state.store.insert_session(&new, quota(&state, by_candidate)).await? {
        Inserted::New => (StatusCode::CREATED, true),
        Inserted::Known(known) => {
            let unfinished = repeated(&new, &known)?;
            setup = Setup { session: known.id, with_recording: !known.has_recording, fresh: false, ..setup };
            (StatusCode::OK, unfinished)
        }
        Inserted::OpenAlready(open) => {
            let detail = format!("this interview is open already: {open}");
            return Err(ApiError::new(StatusCode::CONFLICT, ErrorCode::SessionAlreadyOpen, detail));
        }
        // A recruiter asked for it, and it was archived or merged at the same moment.
        Inserted::NotInvited(invite::Refusal::Closed) if new.invite.is_none() => {
            return Err(ApiError::not_found(ErrorCode::CandidateNotFound, "the candidate or the position was archived"));
        }
        Inserted::NotInvited(refusal) => return Err(refused(refusal)),
        Inserted::PersonFull if by_candidate => return Err(state.limits.refuse(Bound::CandidateSessions, QUOTA_PAUSE)),
        Inserted::PersonFull => return Err(state.limits.refuse(Bound::RecruiterSessions, QUOTA_PAUSE)),
        Inserted::TenantFull => return Err(state.limits.refuse(Bound::TenantSessions, TENANT_PAUSE)),
    };
    Span::current().record("session.id", tracing::field::display(setup.session));
    if needs_setup {
        setup.run_detached(&state).await?;
    }
    let joined = async {
        let join = state.store.join(setup.session).await?.ok_or_else(ApiError::session_not_found)?;
        join_info(&state, &person, setup.session, join, &headers, &RecordingWish::default(), settings.warnings).await
    };
    match joined.await {
        Ok(join) => Ok((status, Json(join))),
        Err(error) => {
            // Without a key nobody can ask for this one again.
            if setup.fresh && new.idempotency_key.is_none() {
                setup.undo(&state, error.code().as_str(), None, true);
            }
            Err(error)
        }
    }
}

/// Recruiters ask for anyone; candidates for themselves, by an invite of theirs.
async fn check_parties(
    state: &AppState,
    person: &Person,
    candidate: CandidateId,
    position: PositionId,
) -> Result<Option<InviteId>, ApiError> {
    let (candidates, positions) = state.store.may_invite(&person.scope(), &[candidate], &[position]).await?;
    if candidates.is_empty() {
        return Err(ApiError::not_found(ErrorCode::CandidateNotFound, "there is no such candidate"));
    }
    let no_position = || ApiError::not_found(ErrorCode::PositionNotFound, "there is no such position");
    if person.is_recruiter() {
        return if positions.is_empty() { Err(no_position()) } else { Ok(None) };
    }
    state.store.invite_for(candidate, position).await?.map(Some).ok_or_else(no_position)
}

/// The key was used before. True when that request was cut off before it had a machine.
fn repeated(new: &NewSession, known: &KnownSession) -> Result<bool, ApiError> {
    if (known.candidate, known.position, &known.settings) != (new.candidate, new.position, &new.settings) {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            ErrorCode::IdempotencyConflicted,
            "this Idempotency-Key was used for another request",
        ));
    }
    if known.phase.is_terminal() {
        return Err(ApiError::session_over());
    }
    Ok(known.phase == Phase::Created && known.machine.is_none())
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    limit: Option<i64>,
    cursor: Option<String>,
}

/// `GET /api/sessions`
pub(super) async fn list(
    State(state): State<AppState>,
    person: Person,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<SessionView>>, ApiError> {
    let Query(query) = query?;
    let limit = limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = query.cursor.as_deref().map(read_cursor).transpose()?;
    // One more than asked for tells whether there is another page.
    let rows = state.store.sessions(&person.scope(), after, limit + 1).await?;
    let cursor = |row: &SessionRow| write_cursor(PageKey { created_at: row.created_at, id: row.id });
    Ok(Json(Page::of(rows, limit, cursor, SessionView::from)))
}

/// `GET /api/sessions/{id}`
pub(super) async fn read(
    State(state): State<AppState>,
    Participant(person): Participant,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, ApiError> {
    let id = session_id(&id)?;
    Ok(Json(state.visible(&person, id).await?.into()))
}

/// `POST /api/sessions/{id}/end`: the session's process hears of it with its next heartbeat.
pub(super) async fn end(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<SessionView>), ApiError> {
    let id = session_id(&id)?;
    state.visible(&person, id).await?;
    person.require_recruiter()?;
    state.store.request_end(id, person.user).await?;
    Ok((StatusCode::ACCEPTED, Json(state.visible(&person, id).await?.into())))
}

#[derive(Deserialize)]
pub(super) struct ExtendRequest {
    join_by: String,
}

/// `POST /api/sessions/{id}/extend`: keep an interview that nobody has begun until later. The process hears of it with
/// its next heartbeat. Asking again changes nothing.
pub(super) async fn extend(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    body: Result<Json<ExtendRequest>, JsonRejection>,
) -> Result<Json<SessionView>, ApiError> {
    let Json(request) = body?;
    let id = session_id(&id)?;
    state.visible(&person, id).await?;
    person.require_recruiter()?;
    let asked = Timestamp::parse(&request.join_by);
    let asked = asked.ok_or_else(|| ApiError::invalid("join_by: a time as RFC 3339 has it"))?;
    let longest = std::time::Duration::from_secs(state.config.interview.longest_invitation_s);
    state.store.extend_invitation(id, person.user, asked, longest).await?.map_err(|refusal| not_extended(refusal, longest))?;
    Ok(Json(state.visible(&person, id).await?.into()))
}

fn not_extended(refusal: Refusal, longest: std::time::Duration) -> ApiError {
    let refused = |status, code, detail: String| ApiError::new(status, code, detail);
    match refusal {
        Refusal::Over => ApiError::session_over(),
        Refusal::Expired => refused(StatusCode::GONE, ErrorCode::InvitationExpired, "the invitation has expired".to_owned()),
        Refusal::Begun => {
            refused(StatusCode::CONFLICT, ErrorCode::InvitationTaken, "the candidate has begun the interview".to_owned())
        }
        Refusal::NotLater => {
            let detail = "an invitation can be extended, not shortened; end the interview instead".to_owned();
            refused(StatusCode::BAD_REQUEST, ErrorCode::InvitationEndRefused, detail)
        }
        Refusal::TooLate => {
            let detail = format!("an invitation ends at most {} hours after it was made", longest.as_secs() / 3_600);
            refused(StatusCode::BAD_REQUEST, ErrorCode::InvitationEndRefused, detail)
        }
    }
}
