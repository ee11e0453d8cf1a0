//! What whoever has the link of an invite may do: see what it is for, begin the interview, stay in it. No account is needed.
//!
//! The secret comes in the body, never in an address: it stands behind the `#` of the link, which browsers do not send.

use super::AppState;
use super::setup::{DEADLINE_SLACK, QUOTA_PAUSE, Setup, TENANT_PAUSE, nearest_region, quota};
use crate::clock;
use crate::domain::invite::{Refusal, State as InviteState};
use crate::domain::placement::Importance;
use crate::error::ErrorCode;
use crate::http::auth::{INVITE_TOKEN, Participant, bearer, invite_token_refused};
use crate::http::limits::{Address, Bound};
use crate::http::problem::ApiError;
use crate::ids::{Secret, SessionId, TicketHash, UserId};
use crate::integrations::store::gateway::NewSession;
use crate::integrations::store::gateway::invites::{InviteParties, OpenedInvite, StartOutcome};
use crate::telemetry::current_traceparent;
use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use tracing::Span;
use uuid::Uuid;

/// As long as one is written, with room for what comes after us.
const LONGEST_SECRET: usize = 100;

#[derive(Deserialize)]
pub(super) struct LinkRequest {
    secret: String,
}

/// How an invite stands, for the candidate.
#[derive(Serialize)]
pub(super) struct InvitePage {
    state: InviteState,
    /// Whether the button leads back into the interview. A `started` one that does not is being stored.
    resumes: bool,
    company: String,
    candidate: CandidateName,
    position: PositionTitle,
    #[serde(with = "time::serde::rfc3339")]
    opens_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    closes_at: OffsetDateTime,
    /// The candidate's, by its IANA name.
    zone: String,
    locale: String,
    /// Of the interview.
    language: Option<String>,
    max_duration_s: Option<u64>,
    attempts_left: u32,
    /// Ours: a device's clock may be wrong.
    #[serde(with = "time::serde::rfc3339")]
    now: OffsetDateTime,
}

#[derive(Serialize)]
struct CandidateName {
    name: String,
}

#[derive(Serialize)]
struct PositionTitle {
    title: String,
}

impl From<OpenedInvite> for InvitePage {
    fn from(opened: OpenedInvite) -> Self {
        let invite = opened.invite;
        Self {
            state: invite.state,
            resumes: invite.resumes(),
            company: opened.company,
            candidate: CandidateName { name: opened.candidate_name },
            position: PositionTitle { title: opened.position_title },
            opens_at: *invite.opens,
            closes_at: *invite.closes,
            zone: opened.zone,
            locale: opened.locale,
            language: opened.settings["language"].as_str().map(str::to_owned),
            max_duration_s: opened.settings["max_duration_s"].as_u64(),
            attempts_left: invite.attempts.saturating_sub(invite.used),
            now: *opened.now,
        }
    }
}

/// `POST /api/invite/open`: what the page shows. It spends nothing, however often.
pub(super) async fn open(
    State(state): State<AppState>,
    Extension(address): Extension<Address>,
    body: Result<Json<LinkRequest>, JsonRejection>,
) -> Result<Json<InvitePage>, ApiError> {
    let link = read_link(&state, address, body)?;
    let opened = state.store.open_invite(link).await?.ok_or_else(unknown)?;
    Ok(Json(opened.into()))
}

#[derive(Serialize)]
pub(super) struct StartedPage {
    session_id: SessionId,
    token: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// `POST /api/invite/start`: begin the interview, or come back to the one that runs. Its machine is asked for now.
pub(super) async fn start(
    State(state): State<AppState>,
    Extension(address): Extension<Address>,
    headers: HeaderMap,
    body: Result<Json<LinkRequest>, JsonRejection>,
) -> Result<Json<StartedPage>, ApiError> {
    let link = read_link(&state, address, body)?;
    let token = new_secret(INVITE_TOKEN)?;
    let expires_at = clock::now() + token_life(&state);
    let make = |parties: &InviteParties| new_session(&state, parties);
    let outcome = state.store.start_invite(link, token.hash, expires_at, quota(&state, false), make).await?;
    let started = match outcome.ok_or_else(unknown)? {
        StartOutcome::Started(started) => started,
        StartOutcome::Refused(refusal) => return Err(refused(refusal)),
        StartOutcome::PersonFull => return Err(state.limits.refuse(Bound::CandidateSessions, QUOTA_PAUSE)),
        StartOutcome::TenantFull => return Err(state.limits.refuse(Bound::TenantSessions, TENANT_PAUSE)),
    };
    Span::current().record("session.id", tracing::field::display(started.session));
    if started.fresh {
        let importance = started.parties.settings["importance"].as_str().and_then(Importance::named);
        let setup = Setup {
            session: started.session,
            candidate: started.parties.candidate,
            position: started.parties.position,
            by: UserId(started.parties.candidate.0),
            max_duration_s: max_duration_s(&state, &started.parties.settings),
            importance: importance.unwrap_or_default(),
            near: nearest_region(&headers),
            with_recording: true,
            fresh: true,
        };
        // Who asks at the same time is answered before this; a reconciler would make the machine if we died here.
        setup.run_detached(&state).await?;
    }
    Ok(Json(StartedPage { session_id: started.session, token: token.text, expires_at }))
}

#[derive(Serialize)]
pub(super) struct RenewedToken {
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// `POST /api/invite/renew`: the page lives.
pub(super) async fn renew(
    State(state): State<AppState>,
    Participant(person): Participant,
    headers: HeaderMap,
) -> Result<Json<RenewedToken>, ApiError> {
    if person.invited.is_none() {
        return Err(ApiError::forbidden("only a token of an invite is renewed here"));
    }
    let expires_at = clock::now() + token_life(&state);
    let renewed = state.store.renew_token(TicketHash::of(bearer(&headers)?), expires_at).await?;
    // It was revoked, or has expired, since this request was let in.
    if renewed { Ok(Json(RenewedToken { expires_at })) } else { Err(invite_token_refused()) }
}

fn read_link(state: &AppState, address: Address, body: Result<Json<LinkRequest>, JsonRejection>) -> Result<TicketHash, ApiError> {
    state.limits.invite_link(address)?;
    let Json(request) = body?;
    let secret = request.secret.trim();
    if secret.is_empty() || secret.len() > LONGEST_SECRET { Err(unknown()) } else { Ok(TicketHash::of(secret)) }
}

pub(super) fn new_secret(prefix: &str) -> Result<Secret, ApiError> {
    Secret::new(prefix).ok_or_else(|| ApiError::internal("no randomness"))
}

fn token_life(state: &AppState) -> Duration {
    seconds(state.config.invites.token_ttl_s)
}

fn seconds(count: u64) -> Duration {
    Duration::seconds(i64::from(u32::try_from(count).unwrap_or(u32::MAX)))
}

fn max_duration_s(state: &AppState, settings: &Value) -> u64 {
    settings["max_duration_s"].as_u64().unwrap_or(state.config.interview.default_duration_s)
}

fn new_session(state: &AppState, parties: &InviteParties) -> NewSession {
    let join_by = clock::now() + seconds(state.config.interview.absence_timeout_s);
    NewSession {
        id: SessionId(Uuid::now_v7()),
        candidate: parties.candidate,
        position: parties.position,
        settings: parties.settings.clone(),
        deadline_at: join_by + seconds(max_duration_s(state, &parties.settings)) + DEADLINE_SLACK,
        join_by,
        traceparent: current_traceparent(),
        created_by: UserId(parties.candidate.0),
        // The invite's row sees to it that there is one at a time.
        by_candidate: false,
        invite: None,
        idempotency_key: None,
    }
}

fn unknown() -> ApiError {
    ApiError::not_found(ErrorCode::InviteUnknown, "this link leads to no invite; it may have been cut in a mail program")
}

/// Why the candidate cannot begin.
pub(super) fn refused(refusal: Refusal) -> ApiError {
    let (status, code, detail) = match refusal {
        Refusal::TooEarly => (StatusCode::FORBIDDEN, ErrorCode::InviteTooEarly, "this invite cannot be used yet"),
        Refusal::Expired => (StatusCode::GONE, ErrorCode::InviteExpired, "this invite has expired"),
        Refusal::Revoked => (StatusCode::GONE, ErrorCode::InviteRevoked, "this invite was withdrawn"),
        Refusal::Spent => (StatusCode::GONE, ErrorCode::InviteSpent, "the interview of this invite was held"),
        Refusal::Exhausted => (StatusCode::GONE, ErrorCode::InviteExhausted, "the interview could not be held, too many times"),
        Refusal::Closed => (
            StatusCode::GONE,
            ErrorCode::InviteClosed,
            "this interview is no longer held: its candidate or position was archived",
        ),
        Refusal::Storing => {
            (StatusCode::CONFLICT, ErrorCode::InviteStoring, "your interview is over and is being stored; ask again in a moment")
        }
        Refusal::Taken | Refusal::StillOpen | Refusal::NotLater | Refusal::TooLate | Refusal::Unmailable => {
            (StatusCode::CONFLICT, ErrorCode::InviteStateRefused, "this invite cannot be used like this now")
        }
    };
    ApiError::new(status, code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_code_of_its_own() {
        for (refusal, status, code) in [
            (Refusal::TooEarly, 403, "invite_too_early"),
            (Refusal::Expired, 410, "invite_expired"),
            (Refusal::Revoked, 410, "invite_revoked"),
            (Refusal::Spent, 410, "invite_spent"),
            (Refusal::Exhausted, 410, "invite_exhausted"),
            (Refusal::Closed, 410, "invite_closed"),
            (Refusal::Storing, 409, "invite_storing"),
        ] {
            let error = refused(refusal);
            assert_eq!((error.status().as_u16(), error.code().as_str()), (status, code));
        }
    }
}
