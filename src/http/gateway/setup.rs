//! What an interview needs from outside before anyone can join: a machine and, if one is available, a video to record into.
//! Both are requested at the same time.

use super::AppState;
use super::takes::{UPLOAD_SLACK, discard, prepare};
use crate::backoff::Backoff;
use crate::domain::placement::{Importance, Region};
use crate::error::ErrorCode;
use crate::error::{Fault, chain};
use crate::http::problem::ApiError;
use crate::ids::{CandidateId, MachineId, PositionId, SessionId, UserId};
use crate::integrations::fly::Machine;
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::{FailedSetup, SessionQuota};
use crate::reconcilers::machines::{MachineError, MachineOrder};
use axum::http::{HeaderMap, StatusCode};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{Instrument, Span};

/// For so long it is tried to take a failed set-up back.
const UNDO_WITHIN: Duration = Duration::from_mins(1);
/// The reconcilers make the later ones.
const FIRST_ATTEMPT: u32 = 1;

/// Between the time limit and the moment a session is held for lost.
pub(super) const DEADLINE_SLACK: time::Duration = time::Duration::minutes(10);
/// A quota of a day does not come back soon; an interview of the tenant ends every now and then.
pub(super) const QUOTA_PAUSE: Duration = Duration::from_hours(1);
pub(super) const TENANT_PAUSE: Duration = Duration::from_mins(1);

pub(super) fn quota(state: &AppState, by_candidate: bool) -> SessionQuota {
    let limits = &state.config.limits;
    let (open, per_day) = if by_candidate {
        (Some(limits.candidate_open_sessions), limits.candidate_sessions_per_day)
    } else {
        (None, limits.recruiter_sessions_per_day)
    };
    SessionQuota { open, per_day, tenant_open: limits.tenant_open_sessions }
}

/// Where the request came in: Fly's edge is the one nearest to who asks. Any other word in the
/// header says nothing, and the tenant's policy stands either way.
pub(super) fn nearest_region(headers: &HeaderMap) -> Option<Region> {
    Region::named(headers.get("fly-region")?.to_str().ok()?.trim())
}

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
    /// In a task of its own: a browser that goes away must not leave half a session behind.
    pub(super) async fn run_detached(self, state: &AppState) -> Result<(), ApiError> {
        let state = state.clone();
        let task = tokio::spawn(async move { self.run(&state).await }.instrument(Span::current()));
        task.await.map_err(|error| ApiError::internal(error.to_string()))?
    }

    /// Make machine and video. Only the machine is needed; safe to run again. What answers an error leaves neither.
    pub(super) async fn run(self, state: &AppState) -> Result<(), ApiError> {
        let (machine, recording) = tokio::join!(self.machine(state), self.recording(state));
        if let Err(error) = recording {
            // The session's row is there, so this is the database going away between two statements.
            tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "the recording was not stored");
        }
        let machine = match machine {
            // A machine that waited is in the session's row already.
            Ok(None) => return Ok(()),
            Ok(Some(machine)) => machine,
            Err(error) => {
                self.undo(state, error.code().as_str(), None, false);
                return Err(unavailable(&error));
            }
        };
        let region = machine.region.as_deref().unwrap_or_default();
        if let Err(error) = state.store.set_machine(self.session, FIRST_ATTEMPT, &machine.id, region).await {
            self.undo(state, error.code().as_str(), Some(machine.id), false);
            return Err(error.into());
        }
        tracing::info!(machine.id = %machine.id, machine.region = region, machine.state = machine.state.as_str(), "machine ready to boot");
        Ok(())
    }

    /// Take back what was made for a session whose request is answered with an error: nobody knows of it. In a task of
    /// its own, as whatever failed may take a while to come back. `with_machine`: although its row names one.
    pub(super) fn undo(self, state: &AppState, code: &'static str, machine: Option<MachineId>, with_machine: bool) {
        let state = state.clone();
        let work = async move {
            let end = Instant::now() + UNDO_WITHIN;
            let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
            let failed = loop {
                match state.store.fail_setup(self.session, self.by, code, with_machine).await {
                    Ok(failed) => break failed,
                    Err(error) if Instant::now() >= end => {
                        // A reconciler finds it then, and gives it a machine that ends by itself when nobody comes.
                        tracing::error!(error_code = error.code().as_str(), error = %chain(&error), "a set-up is left half undone");
                        return;
                    }
                    Err(_) => sleep(backoff.next_delay()).await,
                }
            };
            // Another request with the same key was luckier, or it is over already.
            let Some(FailedSetup { machine: named, prepared }) = failed else { return };
            for prepared in &prepared {
                discard(&state, prepared).await;
            }
            // One that is not known here is swept as an orphan.
            if let Some(machine) = machine.or(named)
                && let Err(error) = state.machines.destroy(&machine).await
            {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %machine, "a machine is left to the sweep");
            }
        };
        tokio::spawn(work.instrument(Span::current()));
    }

    async fn recording(self, state: &AppState) -> Result<(), StoreError> {
        if !self.with_recording {
            return Ok(());
        }
        let ttl = state.config.interview.longest(self.max_duration_s) + UPLOAD_SLACK;
        let prepared = prepare(state, self.session, ttl).await;
        let kept = state.store.insert_recording(self.session, 1, &prepared).await;
        if !matches!(kept, Ok(true)) {
            // Another request with the same key was quicker, or it could not be written down.
            discard(state, &prepared).await;
        }
        kept.map(drop)
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

fn unavailable(error: &MachineError) -> ApiError {
    let detail = "no machine could be had for this interview; try again";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::MachineUnavailable, detail)
        .retry_after(Duration::from_secs(5))
        .because(format!("{}: {}", error.code().as_str(), chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_nearest_region_is_the_edges_or_unknown() {
        let near = |value: &'static str| {
            nearest_region(&HeaderMap::from_iter([("fly-region".parse().expect("a name"), HeaderValue::from_static(value))]))
        };
        assert_eq!(near("nrt").map(Region::as_str), Some("nrt"));
        assert_eq!((near("mars"), near("any"), near("iad,fra"), nearest_region(&HeaderMap::new())), (None, None, None, None));
    }
}
