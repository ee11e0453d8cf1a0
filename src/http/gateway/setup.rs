//! What an interview needs from outside before anyone can join: a machine and, if it can be
//! had, a video to record into. Both are asked for side by side.

use super::AppState;
use super::takes::{UPLOAD_SLACK, prepare};
use crate::actors::gateway::machines::{MachineError, MachineOrder};
use crate::domain::placement::{Importance, Region};
use crate::error::{Fault, chain};
use crate::http::problem::ApiError;
use crate::ids::{CandidateId, PositionId, SessionId, UserId};
use crate::integrations::fly::Machine;
use crate::integrations::store::StoreError;
use axum::http::StatusCode;
use std::time::Duration;

/// The keepers make the later ones.
const FIRST_ATTEMPT: u32 = 1;

/// A session whose surroundings are to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) session: SessionId,
    pub(super) candidate: CandidateId,
    pub(super) position: PositionId,
    pub(super) by: UserId,
    pub(super) max_duration_s: u64,
    pub(super) importance: Importance,
    pub(super) near: Option<Region>,
    pub(super) with_recording: bool,
    /// Nobody asked for its machine yet.
    pub(super) fresh: bool,
}

impl Setup {
    /// Make machine and video. Only the machine is needed; safe to run again.
    pub(super) async fn run(self, state: &AppState) -> Result<(), ApiError> {
        let (machine, recording) = tokio::join!(self.machine(state), self.recording(state));
        if let Err(error) = recording {
            // The session's row is there, so this is the database going away between two statements.
            tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "the recording was not stored");
        }
        match machine {
            // A machine that waited is in the session's row already.
            Ok(None) => Ok(()),
            Ok(Some(machine)) => {
                let region = machine.region.as_deref().unwrap_or_default();
                state.store.set_machine(self.session, FIRST_ATTEMPT, &machine.id, region).await?;
                tracing::info!(machine.id = %machine.id, machine.region = region, machine.state = machine.state.as_str(), "machine ready to boot");
                Ok(())
            }
            Err(error) => self.give_up(state, &error).await,
        }
    }

    async fn give_up(self, state: &AppState, error: &MachineError) -> Result<(), ApiError> {
        let code = error.code();
        state.store.fail_setup(self.session, self.by, code.as_str()).await?;
        let cause = format!("{}: {}", code.as_str(), chain(error));
        Err(ApiError::named(
            StatusCode::SERVICE_UNAVAILABLE,
            "machine_unavailable",
            "no machine could be had for this interview; try again",
        )
        .retry_after(Duration::from_secs(5))
        .because(cause))
    }

    async fn recording(self, state: &AppState) -> Result<(), StoreError> {
        if !self.with_recording {
            return Ok(());
        }
        let interview = &state.config.interview;
        let ttl = Duration::from_secs(interview.absence_timeout_s + self.max_duration_s) + UPLOAD_SLACK;
        let prepared = prepare(state, self.session, ttl).await;
        state.store.insert_recording(self.session, 1, &prepared).await.map(drop)
    }

    async fn machine(self, state: &AppState) -> Result<Option<Machine>, MachineError> {
        let order = MachineOrder {
            session: self.session,
            candidate: self.candidate,
            position: self.position,
            attempt: FIRST_ATTEMPT,
            importance: self.importance,
            near: self.near,
            lost_in: None,
        };
        // One that an earlier request asked for may exist: then only its name leads to it.
        if self.fresh && state.standby.give(&order).await {
            return Ok(None);
        }
        state.machines.provide(&order).await.map(Some)
    }
}
