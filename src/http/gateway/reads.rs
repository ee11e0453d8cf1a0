//! What an interview has stored: transcript, summary, recording. Each access is audited.

use super::takes::UPLOAD_SLACK;
use super::transcript_text::{plain_text, web_vtt};
use super::view::summary_status;
use super::{AppState, session_id};
use crate::clock;
use crate::domain::outbox_record::RecordingState;
use crate::domain::transcript::Entry;
use crate::error::chain;
use crate::error::{ErrorCode, Fault};
use crate::http::auth::Person;
use crate::http::problem::ApiError;
use crate::ids::VideoId;
use crate::integrations::Redacted;
use crate::integrations::store::gateway::{RecordingRow, SessionRow};
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
    /// `witness` on the wire: what is kept beside the record.
    #[serde(rename = "witness")]
    ClientReport,
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
    let client_reports = query.include == Some(Include::ClientReport);
    let entries = state.store.transcript(&person.scope(), id, client_reports).await?.ok_or_else(ApiError::session_not_found)?;
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

/// The recording as a whole, and its takes. Most interviews have one; a reload in the middle
/// begins another.
#[derive(Serialize)]
pub(super) struct RecordingBody {
    state: &'static str,
    provider: String,
    /// Of the first take that can be watched, or else of the first.
    video_id: Option<String>,
    parts: i32,
    /// What the browser says it has written into it.
    mime_type: Option<String>,
    /// A part of it is missing: not there yet, or it never came.
    incomplete: bool,
    playback_url: Option<Redacted>,
    segments: Vec<TakeBody>,
}

#[derive(Clone, Serialize)]
pub(super) struct TakeBody {
    segment: i32,
    state: &'static str,
    video_id: Option<String>,
    parts: i32,
    mime_type: Option<String>,
    incomplete: bool,
    /// Good for one viewer, once: never stored.
    playback_url: Option<Redacted>,
}

/// `GET /api/sessions/{id}/recording`. A candidate sees how far it is; who may play it is the company's to decide.
pub(super) async fn recording(
    State(state): State<AppState>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<RecordingBody>, ApiError> {
    let id = session_id(&id)?;
    let session = state.visible(&person, id).await?;
    let rows = state.store.recordings(&person.scope(), id).await?;
    let provider = rows.first().map(|row| row.provider.clone());
    let provider =
        provider.ok_or_else(|| ApiError::not_found(ErrorCode::RecordingNotFound, "there is no recording for this session"))?;
    let mut takes = Vec::with_capacity(rows.len());
    for row in rows {
        takes.push(seen_take(&state, &session, row).await?);
    }
    let incomplete = takes.iter().any(|take| take.incomplete);
    // A container that nothing was recorded into is no take of the recording.
    let held: Vec<SeenTake> = takes.iter().filter(|take| take.holds_something()).cloned().collect();
    let shown = if held.is_empty() { takes.split_off(takes.len() - 1) } else { held };
    let playable = person.is_recruiter() && shown.iter().any(|take| take.state == RecordingState::Playable);
    if playable {
        // Audited first: no address leaves without a line.
        state.store.audit(person.user, "recording_viewed", id).await?;
    }
    let whole = state_of_all(&shown);
    let mut segments = Vec::with_capacity(shown.len());
    for take in shown {
        segments.push(take.into_body(playable.then_some(&state)).await?);
    }
    let first = segments.iter().find(|take| take.playback_url.is_some()).or(segments.first()).cloned();
    Ok(Json(RecordingBody {
        state: whole.as_str(),
        provider,
        video_id: first.as_ref().and_then(|take| take.video_id.clone()),
        parts: segments.iter().map(|take| take.parts).sum(),
        mime_type: first.as_ref().and_then(|take| take.mime_type.clone()),
        incomplete,
        playback_url: first.and_then(|take| take.playback_url),
        segments,
    }))
}

#[derive(Clone)]
struct SeenTake {
    segment: i32,
    video: Option<VideoId>,
    state: RecordingState,
    parts: i32,
    mime_type: Option<String>,
    incomplete: bool,
}

impl SeenTake {
    fn holds_something(&self) -> bool {
        self.parts > 0 || matches!(self.state, RecordingState::Recording | RecordingState::Uploaded | RecordingState::Playable)
    }

    /// With an address to play it from, where there is a state to ask for one.
    async fn into_body(self, state: Option<&AppState>) -> Result<TakeBody, ApiError> {
        let mut playback_url = None;
        if self.state == RecordingState::Playable
            && let (Some(state), Some(video)) = (state, &self.video)
        {
            let playback = state.api_video.playback(video).await?;
            playback_url = playback.mp4_url.or(playback.player_url);
        }
        let video_id = self.video.map(VideoId::into_string);
        Ok(TakeBody {
            segment: self.segment,
            state: self.state.as_str(),
            video_id,
            parts: self.parts,
            mime_type: self.mime_type,
            incomplete: self.incomplete,
            playback_url,
        })
    }
}

/// As far as its least finished take, of those that hold something.
fn state_of_all(takes: &[SeenTake]) -> RecordingState {
    let any = |state| takes.iter().any(|take| take.state == state);
    [RecordingState::Recording, RecordingState::Uploaded, RecordingState::Playable]
        .into_iter()
        .find(|state| any(*state))
        .or(takes.last().map(|take| take.state))
        .unwrap_or(RecordingState::Waiting)
}

/// One take, as the provider has it now. The session's machine waits neither for the encoding
/// nor for a last part that comes late, so who looks first after it asks the provider, keeps
/// the answer, and closes what nobody will go on with.
async fn seen_take(state: &AppState, session: &SessionRow, row: RecordingRow) -> Result<SeenTake, ApiError> {
    let known = RecordingState::named(&row.state).unwrap_or(RecordingState::Failed);
    let over = session.phase.is_terminal();
    let mut take = SeenTake {
        segment: row.segment,
        video: row.video_id.map(VideoId::new),
        state: known,
        parts: row.parts,
        mime_type: row.mime_type,
        incomplete: row.incomplete || over && known == RecordingState::Recording,
    };
    let Some(video) = take.video.clone() else { return Ok(take) };
    if !(take.state == RecordingState::Uploaded || over && take.holds_something() && take.state != RecordingState::Playable) {
        return Ok(take);
    }
    let status = match state.api_video.status(&video).await {
        Ok(status) => status,
        Err(error) => {
            tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "cannot ask what became of the recording");
            return Ok(take);
        }
    };
    take.parts = take.parts.max(i32::try_from(status.parts()).unwrap_or(i32::MAX));
    if status.playable() || status.uploaded() {
        take.state = if status.playable() { RecordingState::Playable } else { RecordingState::Uploaded };
        take.incomplete = row.incomplete;
        state.store.recording_seen(session.id, video.as_str(), take.state, take.parts).await?;
    } else if status.parts() > 0 && over && session.ended_at.is_some_and(|at| clock::now() - at > UPLOAD_SLACK) {
        // Its upload token is dead: what is there now is all that will ever come.
        match state.api_video.close_upload(&video, status.parts() + 1).await {
            Ok(()) => state.store.recording_cut_off(session.id, video.as_str()).await?,
            Err(error) => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "an interrupted take could not be closed");
            }
        }
    }
    Ok(take)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_as_far_as_its_least_finished_take() {
        use RecordingState::{Failed, Playable, Recording, Uploaded, Waiting};
        let all = |states: &[RecordingState]| {
            let takes: Vec<SeenTake> = states
                .iter()
                .map(|state| SeenTake { segment: 1, video: None, state: *state, parts: 0, mime_type: None, incomplete: false })
                .collect();
            state_of_all(&takes)
        };
        assert_eq!(all(&[Playable, Recording]), Recording);
        assert_eq!(all(&[Playable, Uploaded]), Uploaded);
        assert_eq!(all(&[Failed, Playable]), Playable);
        assert_eq!(all(&[Failed]), Failed);
        assert_eq!(all(&[Waiting]), Waiting);
    }
}
