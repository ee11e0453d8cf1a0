//! The takes of the recording, as the gateway creates them: which container a page may record into.
//!
//! A container holds one stream of one recorder. A page that comes back cannot continue what an earlier page began. So its
//! ticket names a new container. A page that asks again without having recorded anything gets the same container: many reloads
//! leave no unused ones behind.

use super::AppState;
use crate::clock;
use crate::domain::outbox_record::RecordingState;
use crate::error::ErrorCode;
use crate::error::{Fault, chain};
use crate::ids::{SessionId, VideoId};
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::{JoinRow, OfferedTake, PreparedRecording};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{Instrument, Span};

/// The last part of a recording may come late.
pub(super) const UPLOAD_SLACK: Duration = Duration::from_hours(1);
const MAX_LEFT: usize = 100;
/// A candidate waits for the ticket; the recording is not worth more than this.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a page knows of the recording when it asks for a ticket.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RecordingWish {
    /// It is recording into this one and will go on.
    continues: Option<VideoId>,
    /// Were begun and are not recorded into any more.
    left: Vec<VideoId>,
}

impl RecordingWish {
    pub(super) fn is_valid(&self) -> bool {
        self.left.len() <= MAX_LEFT
    }
}

/// The container that whoever asks may record into, if any can be had.
pub(super) async fn offer_take(
    state: &AppState,
    id: SessionId,
    join: &JoinRow,
    wish: &RecordingWish,
) -> Result<Option<OfferedTake>, StoreError> {
    let Some(newest) = join.take.clone() else { return Ok(None) };
    if !join.phase.is_open() || !is_spent(state, &newest, wish).await {
        return Ok(Some(newest).filter(OfferedTake::takes_parts));
    }
    if i64::from(newest.segment) >= i64::from(state.config.limits.takes) {
        tracing::warn!(
            error_code = ErrorCode::RecordingTakesExhausted.as_str(),
            takes = newest.segment,
            "no further take for this interview"
        );
        return Ok(None);
    }
    let left = Duration::try_from(join.deadline_at - clock::now()).unwrap_or_default();
    let segment = newest.segment + 1;
    match prepare_soon(state, id, left + UPLOAD_SLACK).await {
        Some(prepared @ PreparedRecording::Waiting { .. }) => {
            if state.store.insert_recording(id, segment, &prepared).await? {
                tracing::info!(recording.take = segment, "the recording goes on in another container");
            } else {
                // Another request was quicker; its container is as good as ours.
                discard(state, &prepared).await;
            }
            Ok(state.store.newest_take(id).await?.filter(OfferedTake::takes_parts))
        }
        Some(PreparedRecording::Failed { .. }) | None => Ok(None),
    }
}

/// Whether nothing new may be recorded into it.
async fn is_spent(state: &AppState, newest: &OfferedTake, wish: &RecordingWish) -> bool {
    let Some(video) = &newest.video else { return false };
    if wish.continues.as_ref() == Some(video) {
        return false;
    }
    if wish.left.contains(video) || newest.parts > 0 {
        return true;
    }
    match newest.state {
        RecordingState::Waiting => false,
        // Begun by a page that may be gone: the provider knows whether anything has arrived.
        RecordingState::Recording => match timeout(PATIENCE / 2, state.api_video.status(video)).await {
            Ok(Ok(status)) => status.uploaded() || status.parts() > 0,
            Ok(Err(_)) | Err(_) => false,
        },
        RecordingState::Uploaded | RecordingState::Playable | RecordingState::Failed | RecordingState::Declined => true,
    }
}

/// As [`prepare`], as long as somebody waits for it. What comes later is thrown away, not left behind.
async fn prepare_soon(state: &AppState, id: SessionId, ttl: Duration) -> Option<PreparedRecording> {
    let (sender, prepared) = oneshot::channel();
    let state = state.clone();
    let work = async move {
        if let Err(late) = sender.send(prepare(&state, id, ttl).await) {
            discard(&state, &late).await;
        }
    };
    tokio::spawn(work.instrument(Span::current()));
    timeout(PATIENCE, prepared).await.ok()?.ok()
}

/// A container and a token to fill it with: both or neither.
pub(super) async fn prepare(state: &AppState, id: SessionId, ttl: Duration) -> PreparedRecording {
    // Ids only: names have no place at another company.
    let metadata = [("session_id", id.to_string()), ("tenant_id", state.store.tenant().to_string())];
    let title = format!("Interview {id}");
    let (video, token) = tokio::join!(state.api_video.create_video(&title, &metadata), state.api_video.create_upload_token(ttl));
    let error = match (video, token) {
        (Ok(video), Ok(token)) => {
            return PreparedRecording::Waiting {
                video_id: video.video_id.into_string(),
                upload_token: token.token.expose_secret().to_owned(),
            };
        }
        (Ok(video), Err(error)) => {
            throw_away(state, Some(&video.video_id), None).await;
            error
        }
        (Err(error), Ok(token)) => {
            throw_away(state, None, Some(&token.token)).await;
            error
        }
        (Err(error), Err(_)) => error,
    };
    tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "no container to record into");
    PreparedRecording::Failed { code: error.code().as_str() }
}

/// Nobody will record into it.
pub(super) async fn discard(state: &AppState, prepared: &PreparedRecording) {
    let PreparedRecording::Waiting { video_id, upload_token } = prepared else { return };
    throw_away(state, Some(&VideoId::new(video_id.clone())), Some(&upload_token.clone().into())).await;
}

async fn throw_away(state: &AppState, video: Option<&VideoId>, token: Option<&SecretString>) {
    let videos = async { if let Some(video) = video { state.api_video.delete_video(video).await.map(drop) } else { Ok(()) } };
    let tokens =
        async { if let Some(token) = token { state.api_video.delete_upload_token(token).await.map(drop) } else { Ok(()) } };
    let (deleted, revoked) = tokio::join!(videos, tokens);
    for error in [deleted.err(), revoked.err()].into_iter().flatten() {
        tracing::debug!(error_code = error.code().as_str(), "an empty container is left to expire");
    }
}
