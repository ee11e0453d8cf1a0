//! Executes a plan's steps. Each step is safe to repeat, and is retried when its failure may pass.

use super::keys::Keys;
use super::settings::Sources;
use crate::backoff::Backoff;
use crate::clock;
use crate::config::Config;
use crate::config::operator::Settings;
use crate::domain::tenant_plan::{
    self, AddressKind, AppSeen, Names, Operation, Record, Refusal, SharedLogin, Step, TOKEN_SECRET, Wanted, Which, Written,
};
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::ids::{MachineId, TenantId};
use crate::integrations::call_error::CallError;
use crate::integrations::clients::http_client;
use crate::integrations::fly::FlyClient;
use crate::integrations::fly::apps::AppCreated;
use crate::integrations::http_client::HttpClient;
use crate::integrations::store::operator::{OperatorStore, TenantRow};
use crate::integrations::store::{MigrateError, StoreError};
use crate::signature::Underivable;
use std::time::Duration;
use tokio::time::Instant;

const TRIES: u32 = 5;
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A new app is not known everywhere at once.
const APP_APPEARS_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0:?} cannot be a tenant's name")]
    Name(String),
    #[error("another run for this tenant is at work")]
    Busy,
    #[error("the tenant {slug} has the id {id}")]
    OtherId { slug: String, id: TenantId },
    #[error("{0} was not confirmed")]
    NotConfirmed(String),
    #[error("the machine {name} of {app} is not this tenant's")]
    ForeignMachine { app: String, name: String },
    #[error("gateway {slot} of {app} does not become healthy: {why}")]
    Unhealthy { app: String, slot: u8, machine: Option<MachineId>, why: String },
    #[error("went back to the release before")]
    WentBack(#[source] Box<Problem>),
    #[error("cannot {step}")]
    Step { step: String, source: Box<Problem> },
    #[error("Fly")]
    Fly(#[from] CallError),
    #[error("the database")]
    Database(#[from] StoreError),
    #[error("the database")]
    Connect(#[from] MigrateError),
    #[error("{0}")]
    Setup(String),
    #[error(transparent)]
    Keys(#[from] Underivable),
    #[error("what was done does not show")]
    Unsettled,
}

impl Problem {
    pub(super) fn during(self, step: &Step) -> Self {
        Self::Step { step: step.to_string(), source: Box::new(self) }
    }

    fn root(&self) -> &Self {
        match self {
            Self::Step { source, .. } | Self::WentBack(source) => source.root(),
            other => other,
        }
    }

    pub(super) fn is_unhealthy(&self) -> bool {
        matches!(self.root(), Self::Unhealthy { .. })
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Fly(error) => error.class() == FaultClass::Transient,
            Self::Database(error) => error.class() == FaultClass::Transient,
            _ => false,
        }
    }

    pub(super) fn code(&self) -> ErrorCode {
        match self.root() {
            Self::Fly(error) => error.code(),
            Self::Database(_) | Self::Connect(_) => ErrorCode::DatabaseUnavailable,
            Self::Unhealthy { .. } => ErrorCode::TenantGatewayUnhealthy,
            Self::Setup(_) | Self::Keys(_) => ErrorCode::ConfigInvalid,
            Self::Unsettled => ErrorCode::TenantUnsettled,
            _ => ErrorCode::TenantRefused,
        }
    }

    /// What to do, in a line or two.
    pub(super) fn advice(&self) -> String {
        match self.root() {
            Self::Refused(_) => "Nothing was changed.".to_owned(),
            Self::Name(_) => {
                "Use 1 to 41 lower-case letters, digits and dashes, not at its ends, and no -s at the end: that is the session app's.".to_owned()
            }
            Self::Busy => "Wait until it is done, then run this again. A run that was killed lets go within seconds.".to_owned(),
            Self::OtherId { .. } => "Leave --id out, or choose another name.".to_owned(),
            Self::NotConfirmed(slug) => format!("Nothing was changed. Give --yes {slug}, or type the name when asked."),
            Self::ForeignMachine { app, name } => {
                format!("Look at it (fly machine list -a {app}); destroy {name} by hand if it is not needed, then run this again.")
            }
            Self::Unhealthy { app, machine, .. } => {
                let machine = machine.as_ref().map(|id| format!(" --machine {id}")).unwrap_or_default();
                format!("Its log tells why: fly logs -a {app}{machine}. Mostly a setting: interview-runtime doctor. Then run this again.")
            }
            Self::Fly(error) if error.code() == ErrorCode::FlyUnauthorized => {
                "Give an organisation token (fly tokens create org) in FLY_API_TOKEN, then run this again; what is done stays.".to_owned()
            }
            Self::Fly(error) => {
                let id = error.request_id().map(|id| format!(" Fly's request id: {id}.")).unwrap_or_default();
                format!("{}{id} Then run this again: it goes on where it stopped.", error.code().help().trim())
            }
            Self::Database(_) | Self::Connect(_) => {
                "Check database.admin_url, and that `interview-runtime migrate` has run; then run this again: it goes on where it stopped."
                    .to_owned()
            }
            Self::Unsettled => "Fly's lists may lag: run this again in a minute.".to_owned(),
            _ => "Correct it, then run this again: it goes on where it stopped.".to_owned(),
        }
    }
}

/// A read that is tried again when what failed may pass.
pub(super) async fn settled<T, F: Future<Output = Result<T, CallError>>>(call: impl Fn() -> F) -> Result<T, CallError> {
    let mut backoff = Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE);
    let mut tries = 1;
    loop {
        match call().await {
            Err(error) if tries < TRIES && error.class() == FaultClass::Transient => {
                tokio::time::sleep(pause(&mut backoff, error.retry_after())).await;
                tries += 1;
            }
            other => return other,
        }
    }
}

fn pause(backoff: &mut Backoff, asked: Option<Duration>) -> Duration {
    asked.unwrap_or_else(|| backoff.next_delay()).min(LONGEST_PAUSE * 2)
}

pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// A login from before gateways and sessions had their own, which stays for now.
    pub(super) shared_login: Option<String>,
}

/// One tenant's deployment, as one run changes it.
pub(super) struct Deployment {
    pub(super) config: Config,
    shared: Settings,
    pub(super) http: HttpClient,
    pub(super) fly: FlyClient,
    pub(super) store: OperatorStore,
    pub(super) names: Names,
    pub(super) tenant: TenantRow,
    pub(super) record: Record,
    keys: Keys,
}

impl Deployment {
    pub(super) fn new(
        config: Config,
        shared: Settings,
        fly: FlyClient,
        store: OperatorStore,
        names: Names,
        tenant: TenantRow,
        record: Record,
    ) -> Result<Self, Problem> {
        let http = http_client().map_err(|error| Problem::Setup(error.to_string()))?;
        let keys = Keys::new(&config.operator.root_key, tenant.id);
        Ok(Self { config, shared, http, fly, store, names, tenant, record, keys })
    }

    pub(super) fn slug(&self) -> &str {
        &self.names.slug
    }

    pub(super) fn tenant_id(&self) -> TenantId {
        self.tenant.id
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn set_record(&mut self, record: Record) {
        self.record = record;
    }

    pub(super) fn door(&self) -> String {
        self.config.operator.door_url(&self.names.gateway_app)
    }

    fn sources(&self) -> Sources<'_> {
        Sources { config: &self.config, shared: &self.shared, names: &self.names, tenant: self.tenant.id, keys: &self.keys }
    }

    /// What is missing now.
    pub(super) async fn plan(&mut self) -> Result<Plan, Problem> {
        let seen = self.observe().await?;
        let sources = self.sources();
        let wanted = Wanted {
            names: self.names.clone(),
            tenant: self.tenant.id,
            org: self.config.operator.org.clone(),
            gateways: self.config.operator.gateways,
            gateway_settings: sources.wanted(Which::Gateway, &self.record)?,
            session_settings: sources.wanted(Which::Session, &self.record)?,
            record: self.record.clone(),
        };
        let steps = if self.record.operation == Some(Operation::Destroy) {
            tenant_plan::plan_destroy(&wanted, &seen)?
        } else {
            tenant_plan::plan(&wanted, &seen)?
        };
        let shared = tenant_plan::shared_login(&wanted, &seen) == SharedLogin::InUse;
        Ok(Plan { steps, shared_login: shared.then(|| self.names.shared_login.clone()) })
    }

    pub(super) async fn perform(&mut self, step: &Step) -> Result<(), Problem> {
        let mut backoff = Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE);
        let mut tries = 1;
        loop {
            match self.once(step).await {
                Err(problem) if tries < TRIES && problem.is_transient() => {
                    let asked = if let Problem::Fly(error) = &problem { error.retry_after() } else { None };
                    tokio::time::sleep(pause(&mut backoff, asked)).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn once(&mut self, step: &Step) -> Result<(), Problem> {
        self.store.hold().await?;
        match step {
            Step::Record { .. } => self.write_record().await,
            Step::ClaimApp { app, network, .. } => self.claim_app(app, network).await,
            Step::PrepareLogin { which, login } => {
                let verifier = self.keys.database_verifier(*which);
                Ok(self.store.prepare_login(self.tenant.id, login, *which, &verifier).await?)
            }
            Step::SetSecrets { which, app, .. } => self.set_secrets(*which, app).await,
            Step::IssueToken { app, holder } => self.issue_token(app, holder).await,
            Step::ReleaseAddress { app, ip } => Ok(self.fly.release_address(app, ip).await?),
            Step::SetPolicy { app, replaces } => self.set_policy(app, replaces).await,
            Step::AssignAddress { app, kind } => self.assign_address(app, *kind).await,
            Step::StartGateway { slot, release, .. } => self.start_gateway(*slot, *release).await,
            Step::RemoveGateway { gateway, .. } => self.remove_gateway(gateway).await,
            Step::CheckDoor { .. } => self.check_door().await,
            Step::Settle => {
                self.record.operation = None;
                self.record.previous = None;
                self.write_record().await
            }
            Step::EndInterviews { .. } => self.end_interviews().await,
            Step::DeleteApp { app } => self.delete_app(app).await,
            Step::CloseInterviews => Ok(self.store.close_interviews(self.tenant.id).await?),
            Step::DropLogin { login } => Ok(self.store.drop_login(login).await?),
            Step::Forget => Ok(self.store.forget(self.tenant.id).await?),
        }
    }

    async fn write_record(&mut self) -> Result<(), Problem> {
        Ok(self.store.write(&self.tenant, &self.config.operator.org, &self.record).await?)
    }

    /// Create it, then wait until Fly tells of it, and that it is ours.
    async fn claim_app(&self, app: &str, network: &str) -> Result<(), Problem> {
        let org = &self.config.operator.org;
        let taken = self.fly.create_app(app, org, network).await? == AppCreated::NameTaken;
        let until = Instant::now() + APP_APPEARS_WITHIN;
        let foreign = |why: String| Problem::Refused(Refusal::ForeignApp { app: app.to_owned(), why });
        loop {
            match self.app(app).await? {
                AppSeen::Present { org: its, network: on } if its == *org && on == *network => return Ok(()),
                AppSeen::Present { org, network } => return Err(foreign(format!("it is in {org}, on the network {network}"))),
                // Of one that was just made, both are said for a moment.
                AppSeen::OutOfReach if taken => return Err(foreign("it is in another organisation".to_owned())),
                AppSeen::OutOfReach | AppSeen::Absent if Instant::now() >= until => {
                    return Err(foreign("Fly made it and does not tell of it".to_owned()));
                }
                AppSeen::OutOfReach | AppSeen::Absent => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn set_secrets(&mut self, which: Which, app: &str) -> Result<(), Problem> {
        let values = self.sources().of(which, &self.record)?;
        let fingerprint = self.keys.fingerprint(&values);
        let version = self.fly.set_secrets(app, &values).await?;
        let written = Written { version, fingerprint };
        match which {
            Which::Gateway => self.record.gateway_secrets = written,
            Which::Session => self.record.session_secrets = written,
        }
        self.write_record().await
    }

    /// A token cannot be read again: one whose way to the secrets was cut off stays unused until it expires.
    async fn issue_token(&mut self, app: &str, holder: &str) -> Result<(), Problem> {
        let life_h = self.config.operator.deploy_token_life_h;
        let expires_at = clock::now() + time::Duration::hours(i64::from(life_h));
        let token = self.fly.issue_deploy_token(app, life_h).await?;
        let value = [(TOKEN_SECRET.to_owned(), token)].into();
        let version = settled(|| self.fly.set_secrets(holder, &value)).await?;
        self.record.gateway_secrets.version = version;
        self.record.token_issued = self.record.token_wanted;
        self.write_record().await?;
        Ok(self.store.note_token(self.tenant.id, expires_at).await?)
    }

    /// The new one first: at no moment is there none.
    async fn set_policy(&self, app: &str, replaces: &[String]) -> Result<(), Problem> {
        let wanted = self.policy();
        let there = self.fly.network_policies(app).await?;
        if !there.iter().any(|policy| policy.name == wanted.name && policy.rules == wanted.rules) {
            self.fly.create_network_policy(app, &wanted).await?;
        }
        for id in replaces {
            self.fly.delete_network_policy(app, id).await?;
        }
        Ok(())
    }

    async fn assign_address(&self, app: &str, kind: AddressKind) -> Result<(), Problem> {
        // A try whose answer was lost may have done it.
        let is_kind = |address: &crate::integrations::fly::apps::AssignedAddress| match kind {
            AddressKind::SharedV4 => address.shared,
            _ => address.ip.contains(':') && !address.ip.starts_with("fdaa"),
        };
        if self.fly.addresses(app).await?.iter().any(is_kind) {
            return Ok(());
        }
        Ok(self.fly.assign_address(app, kind.as_str()).await?)
    }

    async fn end_interviews(&mut self) -> Result<(), Problem> {
        self.store.ask_interviews_to_end(self.tenant.id).await?;
        let until = Instant::now() + self.config.operator.drain();
        while self.store.interviews(self.tenant.id).await? > 0 && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn delete_app(&self, app: &str) -> Result<(), Problem> {
        self.fly.delete_app(app).await?;
        let until = Instant::now() + APP_APPEARS_WITHIN;
        while self.app(app).await? != AppSeen::Absent && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}
