//! Tickets, with which a browser joins: valid once, for a short time, from one origin.

use super::edit::json_or_default;
use super::invite_link::new_secret;
use super::takes::{RecordingWish, offer_take};
use super::view::CompetencyView;
use super::{AppState, session_id};
use crate::clock;
use crate::error::ErrorCode;
use crate::http::auth::{Participant, Person};
use crate::http::problem::ApiError;
use crate::ids::{PositionId, SessionId, TenantId, VideoId};
use crate::integrations::store::gateway::{JoinRow, NewTicket, OfferedTake};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

#[derive(Serialize)]
pub(super) struct JoinInfo {
    session_id: SessionId,
    websocket_url: String,
    /// For the candidate alone: the seat is theirs.
    websocket_ticket: Option<String>,
    /// Of the ticket.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    /// Once the candidate has consented to a recording.
    video_token: Option<String>,
    video_id: Option<VideoId>,
    /// Which take of the recording it is for, from 1.
    video_segment: Option<i32>,
    video_upload_url: String,
    /// Until when the interview is kept while nobody has begun it.
    #[serde(with = "time::serde::rfc3339::option")]
    join_by: Option<OffsetDateTime>,
    #[serde(flatten)]
    agreement: Agreement,
    warnings: Vec<String>,
}

/// What a candidate is told and asked before anything begins.
#[derive(Serialize)]
pub(super) struct Agreement {
    required_consents: Vec<String>,
    consent_policy_version: String,
    interview_context: InterviewContext,
}

#[derive(Serialize)]
struct InterviewContext {
    position: PositionContext,
    company: Company,
    competencies: Vec<CompetencyView>,
}

#[derive(Serialize)]
struct PositionContext {
    id: PositionId,
    title: String,
    description: String,
}

#[derive(Serialize)]
struct Company {
    id: TenantId,
    name: String,
}

/// All of it optional: who sends no body is asked nothing.
#[derive(Default, Deserialize)]
struct TicketRequest {
    #[serde(default)]
    recording: RecordingWish,
}

/// `POST /api/sessions/{id}/ticket`: to join, after a reload, to come back.
pub(super) async fn issue(
    State(state): State<AppState>,
    Participant(person): Participant,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<JoinInfo>, ApiError> {
    let id = session_id(&id)?;
    state.limits.ticket(person.user)?;
    let request = ticket_request(&body?)?;
    state.visible(&person, id).await?;
    let join = state.store.join(id).await?.ok_or_else(ApiError::session_not_found)?;
    if !is_seated(&person, id, &join) {
        let detail = "only the candidate of this interview may join it; watch it by its events";
        return Err(ApiError::new(StatusCode::FORBIDDEN, ErrorCode::SeatRefused, detail));
    }
    join_info(&state, &person, id, join, &headers, &request.recording, Vec::new()).await.map(Json)
}

/// Whether this is the person the interview is held with.
fn is_seated(person: &Person, id: SessionId, join: &JoinRow) -> bool {
    match person.invited {
        Some(invited) => invited.session == id,
        None => join.candidate_user == Some(person.user),
    }
}

fn ticket_request(body: &[u8]) -> Result<TicketRequest, ApiError> {
    let request: TicketRequest = json_or_default(body)?;
    if request.recording.is_valid() { Ok(request) } else { Err(ApiError::invalid("recording.left: too many".to_owned())) }
}

/// All that a browser needs to join; with a ticket, and a place to record into, for the candidate.
pub(super) async fn join_info(
    state: &AppState,
    person: &Person,
    id: SessionId,
    join: JoinRow,
    headers: &HeaderMap,
    wish: &RecordingWish,
    mut warnings: Vec<String>,
) -> Result<JoinInfo, ApiError> {
    if join.phase.is_terminal() {
        return Err(ApiError::session_over());
    }
    let (mut ticket, mut take) = (None, join.take.clone().filter(OfferedTake::takes_parts));
    if is_seated(person, id, &join) {
        ticket = Some(issue_ticket(state, person, id, headers).await?);
        // Whoever comes with it need not be looked for.
        state.limits.looked_for(id, true);
        take = offer_take(state, id, &join, wish).await?;
    }
    let (ticket, expires_at) = ticket.unzip();
    if take.is_none() {
        warnings.push("recording_unavailable".to_owned());
    }
    Ok(JoinInfo {
        session_id: id,
        websocket_url: state.config.http.websocket_url(id),
        websocket_ticket: ticket,
        expires_at,
        video_segment: take.as_ref().map(|take| take.segment),
        video_id: take.as_ref().and_then(|take| take.video.clone()),
        video_token: take.filter(|_| is_seated(person, id, &join) && join.recording_consented).and_then(|take| take.upload_token),
        video_upload_url: state.config.api_video.upload_url.to_string(),
        join_by: join.join_by,
        agreement: agreement(state, join),
        warnings,
    })
}

fn agreement(state: &AppState, join: JoinRow) -> Agreement {
    let JoinRow { position, .. } = join;
    Agreement {
        required_consents: join.required_consents,
        consent_policy_version: join.consent_policy_version,
        interview_context: InterviewContext {
            position: PositionContext { id: position.id, title: position.title, description: position.description },
            company: Company { id: state.store.tenant(), name: join.company },
            competencies: position.competencies.into_iter().map(CompetencyView::from).collect(),
        },
    }
}

/// `GET /api/sessions/{id}/preview`: what the candidate reads, for a recruiter. Nothing to join with.
pub(super) async fn preview(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<Agreement>, ApiError> {
    let id = session_id(&id)?;
    state.visible(&person, id).await?;
    person.require_recruiter()?;
    let join = state.store.join(id).await?.ok_or_else(ApiError::session_not_found)?;
    Ok(Json(agreement(&state, join)))
}

async fn issue_ticket(
    state: &AppState,
    person: &Person,
    id: SessionId,
    headers: &HeaderMap,
) -> Result<(String, OffsetDateTime), ApiError> {
    let ttl = Duration::seconds(i64::try_from(state.config.socket.ticket_ttl_s).unwrap_or(30));
    let ticket = new_secret("")?;
    let (origin, expires_at) = (origin(state, headers), clock::now() + ttl);
    state.store.insert_ticket(&NewTicket { hash: ticket.hash, session: id, user: person.user, origin, expires_at }).await?;
    Ok((ticket.text, expires_at))
}

/// Where the ticket may be used: the page that asked, if it is one of ours.
fn origin(state: &AppState, headers: &HeaderMap) -> String {
    let asked = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    asked
        .filter(|origin| state.config.http.allowed_origins().iter().any(|allowed| allowed == origin))
        .map_or_else(|| state.config.http.public_url.origin().ascii_serialization(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_asked_for_with_a_word_on_the_recording_or_without_a_body() {
        assert!(ticket_request(b"").is_ok() && ticket_request(b" \n").is_ok() && ticket_request(b"{}").is_ok());
        assert!(ticket_request(br#"{"recording":{"continues":"vi1"}}"#).is_ok());
        assert!(ticket_request(br#"{"recording":{"left":["vi1"],"more":1},"other":true}"#).is_ok());
        let many = serde_json::json!({"recording": {"left": vec!["v"; 101]}}).to_string();
        for bad in [&b"1"[..], b"{", br#"{"recording":{"left":"vi1"}}"#, many.as_bytes()] {
            assert!(ticket_request(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
