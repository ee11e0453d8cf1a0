//! A tenant's gateways: creates them, waits until they are healthy, removes them.

use super::execute::{Deployment, Problem};
use crate::domain::tenant_plan::GatewaySeen;
use crate::error::Fault as _;
use crate::ids::MachineId;
use crate::integrations::fly::{
    Concurrency, CreateOutcome, Guest, Init, Machine, MachineConfig, MachineSpec, MachineState, Restart, RestartPolicy, Service,
    StateGroup, StopConfig, WaitOutcome,
};
use crate::integrations::http_client::{CallLimits, Vendor};
use http::{HeaderValue, Method, header};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const ROLE: &str = "gateway";
pub(super) const RELEASE: &str = "release";
pub(super) const SLOT: &str = "slot";
pub(super) const SECRETS: &str = "session_secrets";
pub(super) const PORT: u16 = 8080;
/// A gateway serves many watchers at once (config/default.toml).
const CONNECTIONS: &str = "10";
const STOP_WITHIN: Duration = Duration::from_secs(15);
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
const PROBE_EVERY: Duration = Duration::from_millis(250);

fn name_of(slot: u8, release: u32) -> String {
    format!("gateway-{slot}-r{release}")
}

pub(super) fn numbers_of(name: &str) -> Option<(u8, u32)> {
    let (slot, release) = name.strip_prefix("gateway-")?.split_once("-r")?;
    Some((slot.parse().ok()?, release.parse().ok()?))
}

impl Deployment {
    fn gateway_spec(&self, slot: u8, release: u32) -> MachineSpec {
        let pairs = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        let record = &self.record;
        MachineSpec {
            name: name_of(slot, release),
            region: Some(record.region.clone()).filter(|region| !region.is_empty()),
            skip_launch: false,
            min_secrets_version: Some(record.gateway_secrets.version).filter(|version| *version > 0),
            config: MachineConfig {
                image: record.image.clone(),
                init: Some(Init { cmd: vec![ROLE.to_owned()] }),
                // What belongs to a release is the machine's; what all of them share is a secret.
                env: pairs(&[
                    ("RUNTIME_ROLE", ROLE.to_owned()),
                    ("INTERVIEW__FLY__IMAGE", record.image.clone()),
                    ("INTERVIEW__FLY__REGION", record.region.clone()),
                    ("INTERVIEW__FLY__MIN_SECRETS_VERSION", record.session_secrets.version.to_string()),
                    ("INTERVIEW__DATABASE__MAX_CONNECTIONS", CONNECTIONS.to_owned()),
                ]),
                guest: Guest { cpu_kind: "shared".to_owned(), cpus: 1, memory_mb: self.config.operator.gateway_memory_mb },
                auto_destroy: false,
                restart: Restart { policy: RestartPolicy::Always, max_retries: None },
                stop_config: StopConfig { signal: "SIGTERM".to_owned(), timeout: "10s".to_owned() },
                metadata: pairs(&[
                    ("tenant_id", self.tenant.id.to_string()),
                    ("managed_by", "interview-runtime".to_owned()),
                    ("role", ROLE.to_owned()),
                    (RELEASE, release.to_string()),
                    (SLOT, slot.to_string()),
                    (SECRETS, record.session_secrets.version.to_string()),
                ]),
                services: vec![Service {
                    autostart: true,
                    concurrency: Some(Concurrency { kind: "requests".to_owned(), soft_limit: 200, hard_limit: 250 }),
                    ..Service::web(PORT, "/healthz")
                }],
                metrics: None,
            },
        }
    }

    /// Started, and answering through the tenant's own door. Asking twice makes no second one: the
    /// name is unique in its app.
    pub(super) async fn start_gateway(&self, slot: u8, release: u32) -> Result<(), Problem> {
        let until = Instant::now() + self.config.operator.healthy_within();
        let machine = self.provide_gateway(slot, release).await?;
        let app = &self.names.gateway_app;
        let states = [MachineState::Started, MachineState::Failed, MachineState::Stopped, MachineState::Destroyed];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.fly.wait(app, &machine, &states, left.min(Duration::from_mins(1))).await {
                Ok(WaitOutcome::Reached(MachineState::Started)) => break,
                Ok(WaitOutcome::Reached(state)) => {
                    return Err(self.unhealthy(slot, &machine, &format!("its state is {}", state.as_str())));
                }
                Ok(WaitOutcome::TimedOut | WaitOutcome::NotFound) => {}
                Err(error) if error.class().is_transient() => {}
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= until {
                return Err(self.unhealthy(slot, &machine, "it did not start"));
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
        self.until_answers(Some((slot, &machine)), until).await
    }

    async fn provide_gateway(&self, slot: u8, release: u32) -> Result<MachineId, Problem> {
        let app = &self.names.gateway_app;
        let spec = self.gateway_spec(slot, release);
        match self.fly.create_machine(app, &spec).await? {
            CreateOutcome::Created(machine) => Ok(machine.id),
            // By an earlier try of ours; its metadata has to say so.
            CreateOutcome::AlreadyExists { machine_id: Some(id) } => {
                let machine = self.fly.get_machine(app, &id).await?;
                let tenant = self.tenant.id.to_string();
                let ours = |machine: &Machine| {
                    machine
                        .metadata()
                        .is_none_or(|all| all.get("tenant_id") == Some(&tenant) && all.get(RELEASE) == Some(&release.to_string()))
                };
                match machine.filter(ours) {
                    Some(machine) => Ok(machine.id),
                    None => Err(Problem::ForeignMachine { app: app.clone(), name: spec.name }),
                }
            }
            CreateOutcome::AlreadyExists { machine_id: None } => {
                Err(Problem::ForeignMachine { app: app.clone(), name: spec.name })
            }
            CreateOutcome::Ambiguous(error) | CreateOutcome::NoCapacity { error, .. } => Err(error.into()),
        }
    }

    fn unhealthy(&self, slot: u8, machine: &MachineId, why: &str) -> Problem {
        Problem::Unhealthy { app: self.names.gateway_app.clone(), slot, machine: Some(machine.clone()), why: why.to_owned() }
    }

    /// The public door, and each gateway behind it.
    pub(super) async fn check_door(&self) -> Result<(), Problem> {
        let until = Instant::now() + self.config.operator.healthy_within();
        let machines = super::execute::settled(|| self.fly.find_by_metadata(&self.names.gateway_app, "role", ROLE)).await?;
        for machine in machines.iter().filter(|machine| machine.state.group() == StateGroup::Running) {
            let slot = machine.name.as_deref().and_then(numbers_of).map_or(0, |(slot, _)| slot);
            self.until_answers(Some((slot, &machine.id)), until).await?;
        }
        self.until_answers(None, until).await
    }

    async fn until_answers(&self, gateway: Option<(u8, &MachineId)>, until: Instant) -> Result<(), Problem> {
        loop {
            let last = match self.probe(gateway.map(|(_, id)| id)).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) => format!("{} answers {status}", self.door()),
                Err(error) => format!("{}: {error}", self.door()),
            };
            if Instant::now() >= until {
                let (slot, machine) = gateway.map_or((0, None), |(slot, id)| (slot, Some(id.clone())));
                return Err(Problem::Unhealthy { app: self.names.gateway_app.clone(), slot, machine, why: last });
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }

    async fn probe(&self, machine: Option<&MachineId>) -> Result<http::StatusCode, Problem> {
        let limits = CallLimits { vendor: Vendor::Fly, action: "door", deadline: PROBE_DEADLINE, max_body_bytes: 64 * 1024 };
        let door = url::Url::parse(&format!("{}/healthz", self.door())).map_err(|error| Problem::Setup(error.to_string()))?;
        let address = &self.config.operator.door_address;
        let mut request = if address.is_empty() {
            self.http.request(Method::GET, door)
        } else {
            let host = door.authority().to_owned();
            let at = url::Url::parse(&format!("http://{address}/healthz")).map_err(|error| Problem::Setup(error.to_string()))?;
            self.http.request(Method::GET, at).header(header::HOST, host)
        };
        if let Some(id) = machine.and_then(|id| HeaderValue::from_str(id.as_str()).ok()) {
            request = request.header("fly-force-instance-id", id);
        }
        Ok(self.http.send(limits, request).await?.status())
    }

    /// Told to stop, given time for requests under way, destroyed; its name is free then.
    pub(super) async fn remove_gateway(&self, gateway: &GatewaySeen) -> Result<(), Problem> {
        let (app, id) = (&self.names.gateway_app, &gateway.id);
        if gateway.runs {
            self.fly.stop_machine(app, id).await?;
            let stopped = [MachineState::Stopped, MachineState::Destroyed];
            let _ = self.fly.wait(app, id, &stopped, STOP_WITHIN).await;
        }
        self.fly.destroy_machine(app, id, true).await?;
        match self.fly.wait(app, id, &[MachineState::Destroyed], Duration::from_mins(1)).await? {
            // Not yet: its host is out of reach, and Fly finishes it when the host returns.
            WaitOutcome::Reached(_) | WaitOutcome::NotFound | WaitOutcome::TimedOut => Ok(()),
        }
    }
}
