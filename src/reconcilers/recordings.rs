//! Follows recordings that no process follows any more, until they are playable or known never to be.

use super::{AT_ONCE, BATCH, Reconcilers};
use crate::domain::outbox_record::RecordingState;
use crate::domain::recording::{KnownTake, Takes};
use crate::error::{ErrorCode, Fault, chain};
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::reconcile::UnsettledRecording;
use futures_util::StreamExt;
use std::time::Duration;
use tracing::Instrument;

const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// Looks at a take that nothing has arrived of, before it is given up.
const EMPTY_LOOKS: u32 = 3;

impl Reconcilers {
    pub(super) async fn settle_recordings(self) -> Result<(), StoreError> {
        let keeper = &self.config.keeper;
        let taken = self.store.take_recordings(keeper.recording_check(), LONGEST_PAUSE, keeper.upload_grace(), BATCH).await?;
        futures_util::stream::iter(taken)
            .for_each_concurrent(AT_ONCE, |recording| {
                let reconcilers = self.clone();
                async move { reconcilers.settle(recording).await }
            })
            .await;
        Ok(())
    }

    async fn settle(&self, recording: UnsettledRecording) {
        let trace = self.trace(recording.session, recording.traceparent.as_deref());
        let span = trace.adopt(tracing::info_span!(
            "keeper.settle_recording",
            recording.state = recording.state.as_str(),
            checks = recording.checks,
            error_code = tracing::field::Empty
        ));
        async {
            if let Err(error) = self.look(&recording).await {
                tracing::Span::current().record("error_code", error.code().as_str());
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), session.id = %recording.session, "a recording was not settled");
            }
        }
        .instrument(span)
        .await;
    }

    async fn look(&self, recording: &UnsettledRecording) -> Result<(), StoreError> {
        let status = match self.integrations.video.status(&recording.video).await {
            Ok(status) => status,
            Err(error) => {
                tracing::Span::current().record("error_code", error.code().as_str());
                let lost = error.code() == ErrorCode::ApiVideoVideoNotFound;
                return if lost { self.fail(recording, error.code()).await } else { self.out_of_looks(recording).await };
            }
        };
        // What the page claimed to have sent counts for nothing here.
        let parts = i32::try_from(status.parts()).unwrap_or(i32::MAX);
        if status.playable() {
            return self.store_state(recording, RecordingState::Playable, parts).await;
        }
        if status.uploaded() {
            self.store_state(recording, RecordingState::Uploaded, parts).await?;
            return self.out_of_looks(recording).await;
        }
        if parts == 0 {
            return match recording.state {
                _ if recording.checks <= EMPTY_LOOKS => Ok(()),
                // Nobody ever began to record.
                RecordingState::Waiting => self.store_state(recording, RecordingState::Declined, 0).await,
                _ => self.fail(recording, ErrorCode::RecordingFailed).await,
            };
        }
        self.close(recording, parts).await?;
        self.out_of_looks(recording).await
    }

    /// Its sender is gone with its session: what has arrived is all there will be.
    async fn close(&self, recording: &UnsettledRecording, parts: i32) -> Result<(), StoreError> {
        let (video, state) = (recording.video.clone(), RecordingState::Recording);
        let mut takes = Takes::new(vec![KnownTake { segment: 1, video: video.clone(), state, parts }]);
        takes.settle(false);
        takes.seen(&video, state, parts);
        for (video, part) in takes.to_close() {
            match self.integrations.video.close_upload(&video, part).await {
                Ok(()) => {
                    tracing::info!(session.id = %recording.session, %video, part, "an interrupted take was closed with what had arrived");
                    self.store.recording_cut_off(recording.session, video.as_str()).await?;
                }
                Err(error) => {
                    tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), session.id = %recording.session, "an interrupted take could not be closed");
                }
            }
        }
        Ok(())
    }

    async fn store_state(&self, recording: &UnsettledRecording, state: RecordingState, parts: i32) -> Result<(), StoreError> {
        if !self.store.settle_recording(recording, state, parts, None).await? {
            return Ok(());
        }
        tracing::info!(session.id = %recording.session, video = %recording.video, state = state.as_str(), "a recording was settled");
        self.delete_token(recording).await;
        Ok(())
    }

    async fn out_of_looks(&self, recording: &UnsettledRecording) -> Result<(), StoreError> {
        if recording.checks < self.config.keeper.recording_checks {
            return Ok(());
        }
        self.fail(recording, ErrorCode::RecordingAbandoned).await
    }

    async fn fail(&self, recording: &UnsettledRecording, code: ErrorCode) -> Result<(), StoreError> {
        if self.store.settle_recording(recording, RecordingState::Failed, recording.parts, Some(code.as_str())).await? {
            tracing::warn!(error_code = code.as_str(), session.id = %recording.session, video = %recording.video, "a recording will not become playable");
            self.delete_token(recording).await;
        }
        Ok(())
    }

    async fn delete_token(&self, recording: &UnsettledRecording) {
        let Some(token) = &recording.upload_token else { return };
        if let Err(error) = self.integrations.video.delete_upload_token(token).await {
            tracing::info!(error_code = error.code().as_str(), error = %chain(&error), "an upload token was not deleted; it expires by itself");
        }
    }
}
