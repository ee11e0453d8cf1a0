//! The machine of one attempt of one session: made, found again, looked at, destroyed.
//!
//! Its name is unique in its app, so that neither a lost answer nor two gateways at once can
//! make two of them: whoever comes second adopts the first one's.

use crate::backoff::Backoff;
use crate::config::Config;
use crate::domain::keeper::{Loss, MachineSeen, machine_name, placements};
use crate::error::{ErrorCode, Fault, FaultClass, chain};
use crate::ids::{CandidateId, MachineId, PositionId, SessionId};
use crate::integrations::call_error::CallError;
use crate::integrations::fly::{
    CreateOutcome, FlyClient, Guest, Init, Machine, MachineConfig, MachineSpec, Restart, RestartPolicy, Service, StateGroup,
    StopConfig,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where the session process listens inside its machine.
const SESSION_PORT: u16 = 8080;
const CREATE_ATTEMPTS: u32 = 2;
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
    /// Where the attempt before was lost.
    pub lost_in: Option<String>,
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error("cannot create the machine")]
    Call(#[from] CallError),
    #[error("the machine's name belongs to a machine that is not this session's")]
    NameTaken,
}

impl MachineError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Call(error) => error.code(),
            Self::NameTaken => ErrorCode::FlyMachineConflicted,
        }
    }
}

/// The machines of the tenant's sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Machines {
    fly: FlyClient,
    config: Arc<Config>,
}

impl Machines {
    pub fn new(fly: FlyClient, config: Arc<Config>) -> Self {
        Self { fly, config }
    }

    fn app(&self) -> &str {
        &self.config.fly.session_app
    }

    /// Create the attempt's machine, or adopt the one an earlier try has made.
    pub async fn provide(&self, order: &MachineOrder) -> Result<Machine, MachineError> {
        let mut places = placements(&self.config.fly.region, order.lost_in.as_deref()).into_iter();
        let mut spec = self.spec(order, places.next());
        let mut backoff = Backoff::new(LOOK_AGAIN_AFTER, LONGEST_PAUSE);
        let mut attempt = 1;
        loop {
            let (error, pause) = match self.fly.create_machine(self.app(), &spec).await {
                Ok(CreateOutcome::Created(machine)) => return Ok(*machine),
                Ok(CreateOutcome::AlreadyExists { machine_id: Some(id) }) => {
                    let machine = self.fly.get_machine(self.app(), &id).await?;
                    return machine.filter(|machine| owns(order, machine)).ok_or(MachineError::NameTaken);
                }
                Ok(CreateOutcome::AlreadyExists { machine_id: None }) => {
                    return self.find(order).await?.ok_or(MachineError::NameTaken);
                }
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

    async fn find(&self, order: &MachineOrder) -> Result<Option<Machine>, CallError> {
        let found = self.fly.find_by_metadata(self.app(), "session_id", &order.session.to_string()).await?;
        Ok(found.into_iter().find(|machine| owns(order, machine)))
    }

    /// What Fly says of a machine.
    pub async fn seen(&self, id: &MachineId) -> MachineSeen {
        let machine = match self.fly.get_machine(self.app(), id).await {
            Ok(machine) => machine,
            Err(error) => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %id, "Fly does not tell of a machine");
                return MachineSeen::Untold;
            }
        };
        // Fly keeps telling of destroyed machines: not found means that there was none.
        let Some(machine) = machine else { return MachineSeen::Lost(Loss::Gone) };
        match machine.state.group() {
            StateGroup::Gone => MachineSeen::Lost(Loss::Gone),
            StateGroup::Failed => MachineSeen::Lost(Loss::Failed),
            _ if machine.host_status.as_deref() == Some("unreachable") => MachineSeen::Lost(Loss::Unreachable),
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
        let (fly, tenant) = (&self.config.fly, self.config.tenant.id.to_string());
        let pairs = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        MachineSpec {
            name: machine_name(order.session, order.attempt),
            region,
            skip_launch: false,
            min_secrets_version: fly.min_secrets_version(),
            config: MachineConfig {
                image: fly.image.clone(),
                init: Some(Init { cmd: vec!["session".to_owned()] }),
                env: pairs(&[
                    ("SESSION_ID", order.session.to_string()),
                    ("TENANT_ID", tenant.clone()),
                    ("CANDIDATE_ID", order.candidate.to_string()),
                    ("POSITION_ID", order.position.to_string()),
                ]),
                guest: Guest { cpu_kind: "shared".to_owned(), cpus: 1, memory_mb: fly.memory_mb },
                auto_destroy: true,
                restart: Restart { policy: RestartPolicy::OnFailure, max_retries: Some(RESTARTS) },
                stop_config: StopConfig { signal: "SIGTERM".to_owned(), timeout: "60s".to_owned() },
                metadata: pairs(&[
                    ("session_id", order.session.to_string()),
                    ("tenant_id", tenant),
                    ("managed_by", MANAGED_BY.to_owned()),
                ]),
                services: vec![Service::web(SESSION_PORT, "/healthz")],
                metrics: None,
            },
        }
    }
}

/// Ours, by name and, where Fly tells it, by metadata; and not on its way out.
fn owns(order: &MachineOrder, machine: &Machine) -> bool {
    let session = order.session.to_string();
    machine.name.as_deref() == Some(machine_name(order.session, order.attempt).as_str())
        && machine.metadata().is_none_or(|all| all.get("session_id") == Some(&session))
        && machine.state.group() != StateGroup::Gone
}
