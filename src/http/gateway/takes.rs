//! The recording's takes, as the door makes them: which container a page may record into.
//!
//! A container holds one stream of one recorder. A page that comes back cannot go on with
//! what an earlier one has begun, so its ticket names a new container. Asking again without
//! having recorded anything gets the same one: a reload storm leaves no pile behind.

use super::AppState;
use crate::clock;
use crate::domain::record::RecordingState;
use crate::error::{Fault, chain};
use crate::ids::{SessionId, VideoId};
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::{JoinRow, OfferedTake, PreparedRecording};
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// The last part of a recording may come late.
pub(super) const UPLOAD_SLACK: Duration = Duration::from_hours(1);
/// More than any interview needs; what asks for more is no page of ours.
const MAX_TAKES: i32 = 50;
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
    if newest.segment >= MAX_TAKES {
        tracing::warn!(error_code = "recording_takes_exhausted", takes = newest.segment, "no further take for this interview");
        return Ok(None);
    }
    let left = Duration::try_from(join.deadline_at - clock::now()).unwrap_or_default();
    let segment = newest.segment + 1;
    match timeout(PATIENCE, prepare(state, id, left + UPLOAD_SLACK)).await {
        Ok(prepared @ PreparedRecording::Waiting { .. }) => {
            if state.store.insert_recording(id, segment, &prepared).await? {
                tracing::info!(recording.take = segment, "the recording goes on in another container");
            } else {
                // Another request was quicker; its container is as good as ours.
                discard(state, &prepared).await;
            }
            Ok(state.store.newest_take(id).await?.filter(OfferedTake::takes_parts))
        }
        Ok(PreparedRecording::Failed { .. }) | Err(_) => Ok(None),
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

/// A container and a token to fill it with.
pub(super) async fn prepare(state: &AppState, id: SessionId, ttl: Duration) -> PreparedRecording {
    // Ids only: names have no place at another company.
    let metadata = [("session_id", id.to_string()), ("tenant_id", state.store.tenant().to_string())];
    let title = format!("Interview {id}");
    let (video, token) = tokio::join!(state.api_video.create_video(&title, &metadata), state.api_video.create_upload_token(ttl));
    match (video, token) {
        (Ok(video), Ok(token)) => PreparedRecording::Waiting {
            video_id: video.video_id.into_string(),
            upload_token: token.token.expose_secret().to_owned(),
        },
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "no container to record into");
            PreparedRecording::Failed { code: error.code().as_str() }
        }
    }
}

async fn discard(state: &AppState, prepared: &PreparedRecording) {
    let PreparedRecording::Waiting { video_id, upload_token } = prepared else { return };
    let (video, token) = (VideoId::new(video_id.clone()), upload_token.clone().into());
    let (deleted, revoked) = tokio::join!(state.api_video.delete_video(&video), state.api_video.delete_upload_token(&token));
    for error in [deleted.err(), revoked.err()].into_iter().flatten() {
        tracing::debug!(error_code = error.code().as_str(), "an empty container is left to expire");
    }
}
