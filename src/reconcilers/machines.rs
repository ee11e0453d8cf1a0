//! The machine of one attempt of one session: create it, find it again, check it, destroy it.
//!
//! Its name is unique in its app. So neither a lost answer nor two gateways at once can create two of them: the second one
//! adopts the machine of the first.

use crate::backoff::Backoff;
use crate::config::Config;
use crate::domain::placement::{Importance, Policy, Region, UnknownPlace};
use crate::domain::reconcile::{Loss, MachineSeen, machine_name};
use crate::error::{ErrorCode, Fault, FaultClass, chain};
use crate::ids::{CandidateId, MachineId, PositionId, SessionId};
use crate::integrations::call_error::CallError;
use crate::integrations::fly::{
    CreateOutcome, FlyClient, Guest, Init, Machine, MachineConfig, MachineSpec, MachineState, Restart, RestartPolicy, Service,
    StateGroup, StopConfig, WaitOutcome,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where the session process listens inside its machine.
const SESSION_PORT: u16 = 8080;
const CREATE_ATTEMPTS: u32 = 4;
/// Lists lag behind creations by about this much.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Starts of the process by its machine, after the first; times the attempts, what a process
/// that cannot start costs at most.
const RESTARTS: u32 = 3;
const MANAGED_BY: &str = "interview-runtime";

/// Whose machine is asked for.
#[derive(Clone, Debug)]
pub struct MachineOrder {
    pub session: SessionId,
    pub candidate: CandidateId,
    pub position: PositionId,
    pub attempt: u32,
    pub importance: Importance,
    /// Where the candidate is, if that is known.
    pub near: Option<Region>,
    /// Where the attempt before was lost.
    pub lost_in: Option<Region>,
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error("cannot create the machine")]
    Call(#[from] CallError),
    #[error("the machine's name belongs to a machine that is not this session's")]
    NameTaken,
    #[error("no machine was made in time")]
    OutOfTime,
}

impl MachineError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Call(error) => error.code(),
            Self::NameTaken => ErrorCode::FlyMachineConflicted,
            Self::OutOfTime => ErrorCode::FlyTimedOut,
        }
    }
}

/// The machines of the tenant's sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Machines {
    fly: FlyClient,
    config: Arc<Config>,
    policy: Policy,
}

impl Machines {
    pub fn new(fly: FlyClient, config: Arc<Config>) -> Result<Self, UnknownPlace> {
        let policy = config.fly.region.parse()?;
        Ok(Self { fly, config, policy })
    }

    fn app(&self) -> &str {
        &self.config.fly.session_app
    }

    /// Create the attempt's machine, or adopt the one an earlier try has made.
    pub async fn provide(&self, order: &MachineOrder) -> Result<Machine, MachineError> {
        let patience = self.config.fly.timeout() * 2;
        // Cut short there may be a machine: its name keeps the next try from making a second.
        tokio::time::timeout(patience, self.try_to_provide(order)).await.unwrap_or(Err(MachineError::OutOfTime))
    }

    async fn try_to_provide(&self, order: &MachineOrder) -> Result<Machine, MachineError> {
        let mut places = self.policy.tries(order.near, order.lost_in).into_iter();
        let mut spec = self.spec(order, places.next());
        let mut backoff = Backoff::new(LOOK_AGAIN_AFTER, LONGEST_PAUSE);
        let mut attempt = 1;
        loop {
            let (error, pause) = match self.fly.create_machine(self.app(), &spec).await {
                Ok(CreateOutcome::Created(machine)) => return Ok(*machine),
                Ok(CreateOutcome::AlreadyExists { machine_id }) => match self.holder(order, machine_id).await {
                    Ok(machine) => return machine.ok_or(MachineError::NameTaken),
                    // Asking again leads here again.
                    Err(error) => (error, backoff.next_delay()),
                },
                Ok(CreateOutcome::Ambiguous(error)) => {
                    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
                    if let Ok(Some(machine)) = self.find(order).await {
                        return Ok(machine);
                    }
                    // The name is unique: asking again makes no second machine.
                    (error, Duration::ZERO)
                }
                Ok(CreateOutcome::NoCapacity { error, .. }) => {
                    let Some(place) = places.next() else { return Err(error.into()) };
                    tracing::warn!(
                        error_code = error.code().as_str(),
                        region = spec.region,
                        next = place,
                        "no room, asking elsewhere"
                    );
                    spec.region = Some(place);
                    continue;
                }
                Err(error) => {
                    let pause = error.retry_after().unwrap_or_else(|| backoff.next_delay());
                    (error, pause)
                }
            };
            if attempt >= CREATE_ATTEMPTS || error.class() != FaultClass::Transient || pause > LONGEST_PAUSE * 2 {
                return Err(error.into());
            }
            tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "creating the machine again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Who has the name: ours to adopt, or None when it is somebody else's or on its way out.
    async fn holder(&self, order: &MachineOrder, id: Option<MachineId>) -> Result<Option<Machine>, CallError> {
        let Some(id) = id else { return self.find(order).await };
        let machine = match self.fly.get_machine(self.app(), &id).await? {
            Some(machine) => Some(machine),
            // Just made, and not known everywhere yet.
            None => self.find(order).await?,
        };
        Ok(machine.filter(|machine| self.owns(order, machine)))
    }

    async fn find(&self, order: &MachineOrder) -> Result<Option<Machine>, CallError> {
        let found = self.fly.find_by_metadata(self.app(), "session_id", &order.session.to_string()).await?;
        Ok(found.into_iter().find(|machine| self.owns(order, machine)))
    }

    /// Ours, by name and, where Fly tells it, by metadata; and not on its way out.
    fn owns(&self, order: &MachineOrder, machine: &Machine) -> bool {
        let (session, tenant) = (order.session.to_string(), self.config.tenant.id.to_string());
        machine.name.as_deref() == Some(machine_name(order.session, order.attempt).as_str())
            && machine
                .metadata()
                .is_none_or(|all| all.get("session_id") == Some(&session) && all.get("tenant_id") == Some(&tenant))
            && machine.state.group() != StateGroup::Gone
    }

    /// Whether a machine starts within `patience`. False: it did not, or will not.
    pub async fn starts(&self, id: &MachineId, patience: Duration) -> Result<bool, CallError> {
        // All ends at once, so that one which crashes at boot is heard of at once.
        let ends = [MachineState::Started, MachineState::Failed, MachineState::Destroyed];
        let outcome = self.fly.wait(self.app(), id, &ends, patience).await?;
        Ok(outcome == WaitOutcome::Reached(MachineState::Started))
    }

    /// What Fly says of a machine. `just_made`: Fly may not know it everywhere yet.
    pub async fn seen(&self, id: &MachineId, just_made: bool) -> MachineSeen {
        let machine = match self.fly.get_machine(self.app(), id).await {
            Ok(machine) => machine,
            Err(error) => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %id, "Fly does not tell of a machine");
                return MachineSeen::Unknown;
            }
        };
        // Fly keeps telling of destroyed machines: not found means that there was none.
        let Some(machine) = machine else {
            return if just_made { MachineSeen::Unknown } else { MachineSeen::Lost(Loss::Gone) };
        };
        match (machine.state.group(), machine.state) {
            (StateGroup::Gone, _) => MachineSeen::Lost(Loss::Gone),
            (StateGroup::Failed, _) => MachineSeen::Lost(Loss::Failed),
            _ if machine.host_status.as_deref() == Some("unreachable") => MachineSeen::Lost(Loss::Unreachable),
            (_, MachineState::Created | MachineState::Creating | MachineState::Starting) => MachineSeen::Booting,
            _ => MachineSeen::Alive,
        }
    }

    /// All machines that say they are ours.
    pub async fn all(&self) -> Result<Vec<Machine>, CallError> {
        self.fly.find_by_metadata(self.app(), "managed_by", MANAGED_BY).await
    }

    pub async fn get(&self, id: &MachineId) -> Result<Option<Machine>, CallError> {
        self.fly.get_machine(self.app(), id).await
    }

    /// Kill and destroy. Safe to repeat.
    pub async fn destroy(&self, id: &MachineId) -> Result<(), CallError> {
        self.fly.destroy_machine(self.app(), id, true).await.map(drop)
    }

    fn spec(&self, order: &MachineOrder, region: Option<String>) -> MachineSpec {
        let session = order.session.to_string();
        let template = MachineTemplate {
            name: machine_name(order.session, order.attempt),
            region,
            image: &self.config.fly.image,
            command: "session",
            importance: order.importance,
            env: &[
                ("SESSION_ID", session.clone()),
                ("CANDIDATE_ID", order.candidate.to_string()),
                ("POSITION_ID", order.position.to_string()),
                ("INTERVIEW__SESSION__ATTEMPT", order.attempt.to_string()),
            ],
            metadata: &[("session_id", session), ("attempt", order.attempt.to_string())],
        };
        template.build(&self.config)
    }
}

/// A machine of the session app, made for a session or to wait for one.
pub(super) struct MachineTemplate<'a> {
    pub(super) name: String,
    pub(super) region: Option<String>,
    pub(super) image: &'a str,
    pub(super) command: &'a str,
    pub(super) importance: Importance,
    pub(super) env: &'a [(&'a str, String)],
    pub(super) metadata: &'a [(&'a str, String)],
}

impl MachineTemplate<'_> {
    pub(super) fn build(self, config: &Config) -> MachineSpec {
        let (size, tenant) = (config.fly.size(self.importance), config.tenant.id.to_string());
        let with = |pairs: &[(&str, String)], common: &[(&str, &str)]| -> BTreeMap<String, String> {
            let own = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
            own.chain(common.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))).collect()
        };
        MachineSpec {
            name: self.name,
            region: self.region,
            skip_launch: false,
            min_secrets_version: config.fly.min_secrets_version(),
            config: MachineConfig {
                image: self.image.to_owned(),
                init: Some(Init { cmd: vec![self.command.to_owned()] }),
                env: with(self.env, &[("TENANT_ID", &tenant)]),
                guest: Guest { cpu_kind: size.cpu_kind.as_str().to_owned(), cpus: size.cpus, memory_mb: size.memory_mb },
                auto_destroy: true,
                restart: Restart { policy: RestartPolicy::OnFailure, max_retries: Some(RESTARTS) },
                stop_config: StopConfig { signal: "SIGTERM".to_owned(), timeout: "60s".to_owned() },
                metadata: with(self.metadata, &[("tenant_id", &tenant), ("managed_by", MANAGED_BY)]),
                services: vec![Service::web(SESSION_PORT, "/healthz")],
                metrics: None,
            },
        }
    }
}

#[cfg(test)]
#[path = "machines_tests.rs"]
mod tests;
