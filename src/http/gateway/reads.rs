//! What an interview left behind: transcript, summary, recording. Each look is audited.

use super::transcript_text::{plain_text, web_vtt};
use super::view::summary_status;
use super::{AppState, session_id};
use crate::domain::transcript::Entry;
use crate::error::chain;
use crate::error::{ErrorCode, Fault};
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::{SessionId, VideoId};
use crate::integrations::Redacted;
use crate::integrations::store::gateway::RecordingRow;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Text,
    Vtt,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Include {
    /// Also what only the browser said.
    Witness,
}

#[derive(Deserialize)]
pub(super) struct TranscriptQuery {
    #[serde(default)]
    format: Format,
    include: Option<Include>,
}

#[derive(Serialize)]
struct TranscriptBody {
    entries: Vec<Entry>,
}

/// `GET /api/sessions/{id}/transcript`
pub(super) async fn transcript(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
    query: Result<Query<TranscriptQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let id = session_id(&id)?;
    let Query(query) = query?;
    let witnesses = query.include == Some(Include::Witness);
    let entries = state.store.transcript(&person.scope(), id, witnesses).await?.ok_or_else(ApiError::session_not_found)?;
    person.require_recruiter()?;
    state.store.audit(person.user, "transcript_viewed", id).await?;
    let typed = |kind: &'static str, text: String| ([(header::CONTENT_TYPE, kind)], text).into_response();
    Ok(match query.format {
        Format::Json => Json(TranscriptBody { entries }).into_response(),
        Format::Text => typed("text/plain; charset=utf-8", plain_text(&entries)),
        Format::Vtt => typed("text/vtt; charset=utf-8", web_vtt(&entries)),
    })
}

#[derive(Serialize)]
pub(super) struct SummaryBody {
    status: &'static str,
    version: Option<i32>,
    model: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    created_at: Option<OffsetDateTime>,
    content: Option<Value>,
    failure: Option<String>,
}

/// `GET /api/sessions/{id}/summary`: the newest one.
pub(super) async fn summary(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<SummaryBody>, ApiError> {
    let id = session_id(&id)?;
    let session = state.visible(&person, id).await?;
    person.require_recruiter()?;
    let row = state.store.summary(&person.scope(), id).await?;
    let status = summary_status(session.phase, row.as_ref().map(|row| row.status.as_str()));
    let Some(row) = row else {
        return Ok(Json(SummaryBody { status, version: None, model: None, created_at: None, content: None, failure: None }));
    };
    state.store.audit(person.user, "summary_viewed", id).await?;
    Ok(Json(SummaryBody {
        status,
        version: Some(row.version),
        model: row.model,
        created_at: Some(row.created_at),
        content: row.content,
        failure: row.failure,
    }))
}

#[derive(Serialize)]
pub(super) struct RecordingBody {
    state: String,
    provider: String,
    video_id: Option<String>,
    parts: i32,
    /// Good for one viewer, once: never stored.
    playback_url: Option<Redacted>,
}

/// `GET /api/sessions/{id}/recording`
pub(super) async fn recording(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<RecordingBody>, ApiError> {
    let id = session_id(&id)?;
    let session = state.visible(&person, id).await?;
    let not_found = || ApiError::not_found(ErrorCode::RecordingNotFound, "there is no recording for this session");
    let row = session.recording.ok_or_else(not_found)?;
    let shown = playable(&state, id, &row).await?;
    let mut playback_url = None;
    if let Some(video) = &shown {
        // Audited first: no address leaves without a line.
        state.store.audit(person.user, "recording_viewed", id).await?;
        let playback = state.api_video.playback(video).await?;
        playback_url = playback.mp4_url.or(playback.player_url);
    }
    let settled = if shown.is_some() { "playable".to_owned() } else { row.state };
    Ok(Json(RecordingBody { state: settled, provider: row.provider, video_id: row.video_id, parts: row.parts, playback_url }))
}

/// The video, if it can be watched. The session's machine does not wait for the encoding, so
/// who looks first after it asks the provider and keeps the answer.
async fn playable(state: &AppState, id: SessionId, row: &RecordingRow) -> Result<Option<VideoId>, ApiError> {
    let Some(video) = row.video_id.as_deref().map(VideoId::from) else { return Ok(None) };
    match row.state.as_str() {
        "playable" => Ok(Some(video)),
        "uploaded" => match state.api_video.status(&video).await {
            Ok(status) if status.playable() => {
                state.store.recording_playable(id, video.as_str()).await?;
                Ok(Some(video))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "cannot ask whether the recording is playable");
                Ok(None)
            }
        },
        _ => Ok(None),
    }
}
