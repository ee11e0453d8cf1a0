//! What a browser joins with: a ticket that works once, for a short while, from one origin.

use super::takes::{RecordingWish, offer_take};
use super::view::CompetencyView;
use super::{AppState, session_id};
use crate::clock;
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::{PositionId, SessionId, TenantId, VideoId};
use crate::integrations::store::gateway::NewTicket;
use aws_lc_rs::{digest, rand};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

const TICKET_BYTES: usize = 32;

#[derive(Serialize)]
pub(super) struct JoinInfo {
    session_id: SessionId,
    websocket_url: String,
    websocket_ticket: String,
    /// Of the ticket.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    video_token: Option<String>,
    video_id: Option<VideoId>,
    /// Which take of the recording it is for, from 1.
    video_segment: Option<i32>,
    video_upload_url: String,
    required_consents: Vec<String>,
    consent_policy_version: String,
    interview_context: InterviewContext,
    warnings: Vec<String>,
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
    person: Person,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<JoinInfo>, ApiError> {
    let id = session_id(&id)?;
    let request = ticket_request(&body)?;
    // Who sees a session is its candidate or a recruiter: both may join.
    state.visible(&person, id).await?;
    join_info(&state, &person, id, &headers, &request.recording, Vec::new()).await.map(Json)
}

fn ticket_request(body: &[u8]) -> Result<TicketRequest, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(TicketRequest::default());
    }
    let request: TicketRequest = serde_json::from_slice(body).map_err(|error| ApiError::invalid(error.to_string()))?;
    if request.recording.is_valid() { Ok(request) } else { Err(ApiError::invalid("recording.left: too many".to_owned())) }
}

/// Mint a ticket and gather all that a browser needs to use it.
pub(super) async fn join_info(
    state: &AppState,
    person: &Person,
    id: SessionId,
    headers: &HeaderMap,
    wish: &RecordingWish,
    mut warnings: Vec<String>,
) -> Result<JoinInfo, ApiError> {
    let join = state.store.join(id).await?.ok_or_else(ApiError::session_not_found)?;
    if join.phase.is_terminal() {
        return Err(ApiError::session_over());
    }
    let ttl = Duration::seconds(i64::try_from(state.config.socket.ticket_ttl_s).unwrap_or(30));
    let (ticket, sha256) = mint()?;
    let expires_at = clock::now() + ttl;
    let origin = origin(state, headers);
    state.store.insert_ticket(&NewTicket { sha256, session: id, user: person.user, origin, expires_at }).await?;
    let take = offer_take(state, id, &join, wish).await?;
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
        video_token: take.and_then(|take| take.upload_token),
        video_upload_url: state.config.api_video.upload_url.to_string(),
        required_consents: join.required_consents,
        consent_policy_version: join.consent_policy_version,
        interview_context: InterviewContext {
            position: PositionContext {
                id: join.position.id,
                title: join.position.title,
                description: join.position.description,
            },
            company: Company { id: state.store.tenant(), name: join.company },
            competencies: join.position.competencies.into_iter().map(CompetencyView::from).collect(),
        },
        warnings,
    })
}

/// A ticket and what is kept of it.
fn mint() -> Result<(String, Vec<u8>), ApiError> {
    let mut secret = [0; TICKET_BYTES];
    rand::fill(&mut secret).map_err(|_| ApiError::internal("no randomness"))?;
    let ticket = BASE64URL_NOPAD.encode(&secret);
    let sha256 = digest::digest(&digest::SHA256, ticket.as_bytes()).as_ref().to_vec();
    Ok((ticket, sha256))
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
    fn tickets_differ_and_fit_a_subprotocol() {
        let ((one, hash), (other, _)) = (mint().expect("a ticket"), mint().expect("a ticket"));
        assert_ne!(one, other);
        assert_eq!((one.len(), hash.len()), (43, 32));
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }

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
