//! The pools of standby machines: fills them, checks their machines, assigns and destroys them.
//!
//! As with all reconcilers, work is taken by rows: any gateway may do any of it. A pool is filled one machine after the other, so
//! that a session that needs a new machine does not wait long in Fly's queue.

use super::machines::{MachineOrder, MachineTemplate};
use super::{ReconcileLoop, StoreError};
use crate::actors::TaskGuard;
use crate::backoff::Backoff;
use crate::clock;
use crate::config::Config;
use crate::domain::placement::{Importance, Policy, UnknownPlace};
use crate::domain::standby::{Seen, Size, State, Step, standby_name, standby_row, target};
use crate::error::{ErrorCode, Fault, chain};
use crate::ids::{MachineId, SessionId, StandbyId};
use crate::integrations::assign::AssignClient;
use crate::integrations::call_error::CallError;
use crate::integrations::fly::{CreateOutcome, FlyClient, Machine, MachineSpec, StateGroup};
use crate::integrations::private_network::{AddressError, PrivateNetwork};
use crate::integrations::store::gateway::GatewayStore;
use crate::integrations::store::gateway::standby::{Claim, Made, Retirement, StandbyRow};
use futures_util::StreamExt;
use futures_util::future::join;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Notify, watch};

/// What machines that wait are sized for; a session of another size gets one made.
const WAITING: Importance = Importance::Standard;
/// Machines of one pass that are looked at, labelled or destroyed; and so many at once.
const BATCH: i64 = 64;
const AT_ONCE: usize = 16;
/// Machines of one pass that are made, one after the other.
const MADE_IN_A_PASS: i64 = 8;
/// A machine that starts is looked at this often.
const STARTING: Duration = Duration::from_secs(1);
/// Lists and names lag behind a creation whose answer was lost.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
/// A region without room is asked again after about this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The tenant's pools. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Standby {
    store: GatewayStore,
    fly: FlyClient,
    network: PrivateNetwork,
    assign: AssignClient,
    config: Arc<Config>,
    policy: Policy,
    /// Of the secrets that machines are made with and that we speak to them with.
    secrets: Arc<str>,
    /// A machine was given out: its place is to be filled.
    taken: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum AssignError {
    #[error("find the machine")]
    Network(#[from] AddressError),
    #[error("assign the machine")]
    Call(#[from] CallError),
}

impl AssignError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Network(error) => error.code(),
            Self::Call(error) => error.code(),
        }
    }
}

impl Standby {
    pub fn new(
        store: GatewayStore,
        fly: FlyClient,
        network: PrivateNetwork,
        assign: AssignClient,
        config: Arc<Config>,
    ) -> Result<Self, UnknownPlace> {
        let policy = config.fly.region.parse()?;
        let secrets = config.routing.standby_fingerprint(&config.database.url).into();
        Ok(Self { store, fly, network, assign, config, policy, secrets, taken: Arc::new(Notify::new()) })
    }

    fn app(&self) -> &str {
        &self.config.fly.session_app
    }

    /// What a machine of ours would be made from now.
    fn made_from(&self) -> Made<'_> {
        Made { image: &self.config.fly.image, secrets: &self.secrets }
    }

    fn pools(&self) -> Vec<String> {
        self.config.standby.pools(&self.config.fly.region)
    }

    /// Give a session's attempt, for which no machine was asked yet, one that is ready. False: it
    /// needs one made.
    pub async fn give(&self, order: &MachineOrder) -> bool {
        let (session, attempt, fly) = (order.session, order.attempt, &self.config.fly);
        if self.config.standby.max == 0 || fly.size(order.importance) != fly.size(WAITING) {
            return false;
        }
        // In this order; a machine of any other pool is still quicker than one that must be made.
        let places = self.policy.tries(order.near, order.lost_in).into_iter().next().unwrap_or_default();
        let regions: Vec<String> = places.split(',').map(str::to_owned).collect();
        let claim = match self.store.claim_standby(session, attempt, self.made_from(), &regions).await {
            Ok(Some(claim)) => claim,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "no standby machine was claimed");
                return false;
            }
        };
        self.taken.notify_one();
        match self.hand(&claim, session).await {
            Ok(()) => {
                tracing::info!(session.id = %session, machine.id = %claim.machine, machine.region = claim.region, attempt, "a standby machine took the session");
                true
            }
            Err(error) => {
                tracing::warn!(error_code = ErrorCode::StandbyUnassigned.as_str(), session.id = %session, machine.id = %claim.machine, cause = error.code().as_str(), error = %chain(&error), "a standby machine did not take the session");
                if let Err(error) = self.store.contaminate_claim(&claim, session, attempt).await {
                    // The session's next machine takes its place in the row, and the sweep finds this one.
                    tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "a standby machine was not marked");
                }
                false
            }
        }
    }

    async fn hand(&self, claim: &Claim, session: SessionId) -> Result<(), AssignError> {
        let at = self.network.address(self.app(), &claim.machine).await?;
        Ok(self.assign.assign(at, &claim.machine, session).await?)
    }

    /// Keep the pools until `stopping`.
    pub(super) async fn run(self, stopping: watch::Receiver<bool>) {
        let (every, call) = (self.config.keeper.interval(), self.config.fly.timeout());
        let (keep, fill) = (self.clone(), self.clone());
        let wake = self.taken.clone();
        let keeping = ReconcileLoop { name: "standby", every, deadline: call * 4, wake };
        let filling = ReconcileLoop { name: "standby_fill", every, deadline: call * 4, wake: Arc::new(Notify::new()) };
        let mut keeping = TaskGuard::spawn(keeping.run(stopping.clone(), move || keep.clone().keep()));
        let mut filling = TaskGuard::spawn(filling.run(stopping, move || fill.clone().fill()));
        join(keeping.ended(), filling.ended()).await;
    }

    /// Want pools of the right size, give up what is of no more use, see to the others.
    async fn keep(self) -> Result<(), StoreError> {
        let (standby, pools) = (&self.config.standby, self.pools());
        if !pools.is_empty() {
            let peaks = self.store.busiest_minutes(&pools, standby.demand_window()).await?;
            for region in &pools {
                let wanted = target(peaks.get(region).copied().unwrap_or(0), Size { min: standby.min, max: standby.max });
                let change = self.store.want_pool(region, self.made_from(), wanted).await?;
                if change.make + change.release > 0 {
                    tracing::info!(region, target = wanted, make = change.make, release = change.release, "a pool changes");
                }
            }
        }
        let retired = self
            .store
            .retire_standby(Retirement {
                // Before the process ends by itself.
                max_age: standby.max_idle().mul_f64(0.9),
                unwanted_for: standby.unwanted_after(),
                grace: self.config.keeper.orphan_grace(),
            })
            .await?;
        if retired > 0 {
            tracing::info!(machines = retired, "standby machines are given up");
        }
        let lease = self.config.fly.timeout() * 4;
        let taken = self.store.take_standby(false, lease, BATCH).await?;
        futures_util::stream::iter(taken)
            .for_each_concurrent(AT_ONCE, |row| {
                let pools = self.clone();
                async move {
                    if let Err(error) = pools.see_to(&row).await {
                        tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), standby.id = %row.id, "a standby machine was not seen to");
                    }
                }
            })
            .await;
        Ok(())
    }

    async fn fill(self) -> Result<(), StoreError> {
        let lease = self.config.fly.timeout() * 4;
        let mut backoff = Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE / 2);
        for _ in 0..MADE_IN_A_PASS {
            let Some(row) = self.store.take_standby(true, lease, 1).await?.pop() else { break };
            self.make(&row, &mut backoff).await?;
        }
        Ok(())
    }

    async fn see_to(&self, row: &StandbyRow) -> Result<(), StoreError> {
        match (row.stored.next(), &row.machine, row.session) {
            (Step::Check, Some(machine), _) => self.check(row, machine).await,
            (Step::Label, Some(machine), Some(session)) => self.label(row, machine, session).await,
            (Step::Destroy, Some(machine), _) => self.destroy(row, machine).await,
            (Step::Forget, ..) => self.store.forget_standby(row.id).await,
            _ => Ok(()),
        }
    }

    /// Asked for again under the same name, a machine whose answer was lost is found, not made twice.
    async fn make(&self, row: &StandbyRow, backoff: &mut Backoff) -> Result<(), StoreError> {
        let (error, pause) = match self.fly.create_machine(self.app(), &self.spec(row)).await {
            Ok(CreateOutcome::Created(machine)) => return self.made(row, &machine.id, machine.region.as_deref()).await,
            Ok(CreateOutcome::AlreadyExists { machine_id: Some(id) }) => {
                let found = self.fly.get_machine(self.app(), &id).await.ok().flatten();
                let region = found.and_then(|machine| machine.region);
                return self.made(row, &id, region.as_deref()).await;
            }
            Ok(CreateOutcome::AlreadyExists { machine_id: None }) => {
                return self.store.standby_later(row.id, LONGEST_PAUSE).await;
            }
            Ok(CreateOutcome::Ambiguous(error)) => (error, LOOK_AGAIN_AFTER),
            Ok(CreateOutcome::NoCapacity { error, .. }) => (error, LONGEST_PAUSE),
            Err(error) => {
                let pause = error.retry_after().unwrap_or_else(|| backoff.next_delay());
                (error, pause)
            }
        };
        tracing::warn!(error_code = ErrorCode::StandbyUnmade.as_str(), cause = error.code().as_str(), error = %chain(&error), region = row.region, "a standby machine was not made");
        self.store.standby_later(row.id, pause).await
    }

    async fn made(&self, row: &StandbyRow, machine: &MachineId, region: Option<&str>) -> Result<(), StoreError> {
        if self.store.standby_made(row.id, machine, region).await? {
            return Ok(());
        }
        // Its place was given up meanwhile.
        if let Err(error) = self.fly.destroy_machine(self.app(), machine, true).await {
            tracing::info!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %machine, "left to the sweep");
        }
        Ok(())
    }

    async fn check(&self, row: &StandbyRow, machine: &MachineId) -> Result<(), StoreError> {
        let standby = &self.config.standby;
        let state = row.stored.judge(self.seen(machine).await, standby.start_timeout());
        let look_again = match state {
            State::Ready => standby.check_interval(),
            State::Contaminated => Duration::ZERO,
            _ => STARTING,
        };
        let current = self.store.standby_seen(row.id, state, look_again).await?;
        if current && state == State::Contaminated {
            tracing::warn!(error_code = ErrorCode::StandbyLost.as_str(), machine.id = %machine, region = row.region, "a waiting machine is lost");
        }
        Ok(())
    }

    async fn seen(&self, machine: &MachineId) -> Seen {
        let answers =
            async { Ok::<_, AssignError>(self.assign.is_ready(self.network.address(self.app(), machine).await?).await?) };
        match answers.await {
            Ok(true) => return Seen::Answers,
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %machine, "a waiting machine is silent");
            }
        }
        match self.fly.get_machine(self.app(), machine).await {
            // What Fly does not tell is not taken for bad news.
            Err(_) => Seen::Silent,
            Ok(Some(machine)) if !matches!(machine.state.group(), StateGroup::Gone | StateGroup::Failed) => Seen::Silent,
            Ok(_) => Seen::Lost,
        }
    }

    async fn label(&self, row: &StandbyRow, machine: &MachineId, session: SessionId) -> Result<(), StoreError> {
        match self.fly.set_metadata(self.app(), machine, "session_id", &session.to_string()).await {
            // One that is gone needs no label.
            Ok(_) => self.store.standby_labelled(row.id).await,
            Err(error) => {
                tracing::info!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %machine, "a machine was not labelled");
                self.store.standby_later(row.id, SHORTEST_PAUSE).await
            }
        }
    }

    async fn destroy(&self, row: &StandbyRow, machine: &MachineId) -> Result<(), StoreError> {
        match self.fly.destroy_machine(self.app(), machine, true).await {
            Ok(_) => {
                tracing::info!(machine.id = %machine, region = row.region, "a standby machine is destroyed");
                self.store.forget_standby(row.id).await
            }
            Err(error) => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %machine, "a standby machine was not destroyed");
                self.store.standby_later(row.id, SHORTEST_PAUSE).await
            }
        }
    }

    /// Machines of pools that no row knows, of a list that may lag: nobody will ever use them.
    pub(super) async fn sweep(&self, listed: &[Machine]) -> Result<(), StoreError> {
        let (tenant, grace) = (self.store.tenant().to_string(), self.config.keeper.orphan_grace());
        let named: Vec<(StandbyId, &MachineId)> = listed
            .iter()
            .filter(|machine| machine.state.group() != StateGroup::Gone)
            .filter(|machine| machine.metadata().and_then(|all| all.get("tenant_id")).is_none_or(|id| *id == tenant))
            .filter(|machine| age(machine).is_some_and(|age| age >= grace))
            .filter_map(|machine| Some((standby_row(machine.name.as_deref()?)?, &machine.id)))
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let ids: Vec<StandbyId> = named.iter().map(|(id, _)| *id).collect();
        let known = self.store.known_standby(&ids).await?;
        for (id, machine) in named.into_iter().filter(|(id, _)| !known.contains(id)) {
            match self.fly.destroy_machine(self.app(), machine, true).await {
                Ok(_) => {
                    tracing::warn!(error_code = ErrorCode::MachineOrphaned.as_str(), standby.id = %id, machine.id = %machine, "an orphaned standby machine was destroyed");
                }
                Err(error) => {
                    tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %machine, "an orphaned machine was not destroyed");
                }
            }
        }
        Ok(())
    }

    fn spec(&self, row: &StandbyRow) -> MachineSpec {
        let template = MachineTemplate {
            name: standby_name(row.id),
            region: Some(row.region.clone()).filter(|region| !region.is_empty()),
            image: &row.image,
            command: "standby",
            importance: WAITING,
            env: &[],
            metadata: &[("role", "standby".to_owned()), ("image", row.image.clone())],
        };
        template.build(&self.config)
    }
}

/// None: not told, so too young to judge.
fn age(machine: &Machine) -> Option<Duration> {
    let created = OffsetDateTime::parse(machine.created_at.as_deref()?, &Rfc3339).ok()?;
    Some(Duration::try_from(clock::now() - created).unwrap_or_default())
}
