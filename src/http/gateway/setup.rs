//! What an interview needs from outside before anyone can join: a machine and, if it can be
//! had, a video to record into. Both are asked for side by side.

use super::AppState;
use super::takes::{UPLOAD_SLACK, prepare};
use crate::error::chain;
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::http::problem::ApiError;
use crate::ids::{CandidateId, PositionId, SessionId, UserId};
use crate::integrations::call_error::CallError;
use crate::integrations::fly::{
    CreateOutcome, Guest, Init, Machine, MachineConfig, MachineSpec, Restart, RestartPolicy, Service, StateGroup, StopConfig,
};
use crate::integrations::store::StoreError;
use axum::http::StatusCode;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where the session process listens inside its machine.
const SESSION_PORT: u16 = 8080;
const CREATE_ATTEMPTS: u32 = 2;
/// Lists lag behind creations by about this much.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const MANAGED_BY: &str = "interview-runtime";

/// A session whose surroundings are to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) session: SessionId,
    pub(super) candidate: CandidateId,
    pub(super) position: PositionId,
    pub(super) by: UserId,
    pub(super) max_duration_s: u64,
    pub(super) with_recording: bool,
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
            Ok(machine) => {
                let region = machine.region.as_deref().unwrap_or_default();
                state.store.set_machine(self.session, &machine.id, region).await?;
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

    /// Create the machine, or adopt the one an earlier try has made.
    async fn machine(self, state: &AppState) -> Result<Machine, MachineError> {
        let (app, spec) = (&state.config.fly.session_app, self.spec(state));
        let mut attempt = 1;
        loop {
            let (error, pause) = match state.fly.create_machine(app, &spec).await {
                Ok(CreateOutcome::Created(machine)) => return Ok(*machine),
                Ok(CreateOutcome::AlreadyExists { machine_id: Some(id) }) => {
                    let machine = state.fly.get_machine(app, &id).await?;
                    return machine.filter(|machine| self.owns(machine)).ok_or(MachineError::NameTaken);
                }
                Ok(CreateOutcome::AlreadyExists { machine_id: None }) => {
                    return self.find(state).await?.ok_or(MachineError::NameTaken);
                }
                Ok(CreateOutcome::Ambiguous(error)) => {
                    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
                    if let Ok(Some(machine)) = self.find(state).await {
                        return Ok(machine);
                    }
                    // The name is unique: asking again makes no second machine.
                    (error, Duration::ZERO)
                }
                Ok(CreateOutcome::NoCapacity { error, .. }) => return Err(error.into()),
                Err(error) => {
                    let pause = error.retry_after().unwrap_or(LOOK_AGAIN_AFTER);
                    (error, pause)
                }
            };
            if attempt >= CREATE_ATTEMPTS || error.class() != FaultClass::Transient || pause > LONGEST_PAUSE {
                return Err(error.into());
            }
            tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "creating the machine again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn find(self, state: &AppState) -> Result<Option<Machine>, CallError> {
        let app = &state.config.fly.session_app;
        let found = state.fly.find_by_metadata(app, "session_id", &self.session.to_string()).await?;
        Ok(found.into_iter().find(|machine| self.owns(machine)))
    }

    /// Ours, by name and, where Fly tells it, by metadata; and not on its way out.
    fn owns(self, machine: &Machine) -> bool {
        let session = self.session.to_string();
        machine.name.as_deref() == Some(self.name().as_str())
            && machine.metadata().is_none_or(|all| all.get("session_id") == Some(&session))
            && machine.state.group() != StateGroup::Gone
    }

    fn name(self) -> String {
        format!("s-{}", self.session)
    }

    fn spec(self, state: &AppState) -> MachineSpec {
        let (fly, tenant) = (&state.config.fly, state.store.tenant().to_string());
        let pairs = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        MachineSpec {
            name: self.name(),
            region: (!fly.region.is_empty()).then(|| fly.region.clone()),
            skip_launch: false,
            min_secrets_version: None,
            config: MachineConfig {
                image: fly.image.clone(),
                init: Some(Init { cmd: vec!["session".to_owned()] }),
                env: pairs(&[
                    ("SESSION_ID", self.session.to_string()),
                    ("TENANT_ID", tenant.clone()),
                    ("CANDIDATE_ID", self.candidate.to_string()),
                    ("POSITION_ID", self.position.to_string()),
                ]),
                guest: Guest { cpu_kind: "shared".to_owned(), cpus: 1, memory_mb: fly.memory_mb },
                auto_destroy: true,
                restart: Restart { policy: RestartPolicy::OnFailure, max_retries: Some(3) },
                stop_config: StopConfig { signal: "SIGTERM".to_owned(), timeout: "60s".to_owned() },
                metadata: pairs(&[
                    ("session_id", self.session.to_string()),
                    ("tenant_id", tenant),
                    ("managed_by", MANAGED_BY.to_owned()),
                ]),
                services: vec![Service::web(SESSION_PORT, "/healthz")],
                metrics: None,
            },
        }
    }
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
enum MachineError {
    #[error("cannot create the machine")]
    Call(#[from] CallError),
    #[error("the machine's name belongs to a machine that is not this session's")]
    NameTaken,
}

impl MachineError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Call(error) => error.code(),
            Self::NameTaken => ErrorCode::FlyMachineConflicted,
        }
    }
}
