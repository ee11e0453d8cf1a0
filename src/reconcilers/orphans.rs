//! Destroys machines that no session needs, and forgets old Idempotency-Keys.

use super::{AT_ONCE, Reconcilers};
use crate::clock;
use crate::domain::reconcile::{Claimant, Owner, is_orphan, machine_owner};
use crate::error::ErrorCode;
use crate::error::{Fault, chain};
use crate::ids::{MachineId, SessionId};
use crate::integrations::fly::{Machine, StateGroup};
use crate::integrations::store::StoreError;
use futures_util::StreamExt;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Keys that are a day old stand for nothing already (`begin_change`); this only keeps their table small.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// A machine with the session and attempt its name tells.
struct Named {
    id: MachineId,
    session: SessionId,
    attempt: u32,
    age: Duration,
}

impl Reconcilers {
    /// Lists lag and have been plainly wrong, so a list only says where to look: a machine is
    /// judged by its own state and by rows that are read after it.
    pub(super) async fn sweep_orphans(self) -> Result<(), StoreError> {
        if self.store.take_duty("idempotency_keys", FORGET_EVERY).await? {
            self.store.forget_old_keys().await?;
        }
        if self.store.take_duty("orphans", self.config.keeper.orphan_interval()).await? { self.sweep_now().await } else { Ok(()) }
    }

    pub(super) async fn sweep_now(&self) -> Result<(), StoreError> {
        let machines = match self.machines.all().await {
            Ok(machines) => machines,
            Err(error) => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "the machines cannot be listed");
                return Ok(());
            }
        };
        self.standby.sweep(&machines).await?;
        let tenant = self.store.tenant().to_string();
        let named: Vec<Named> = machines.iter().filter_map(|machine| name(machine, &tenant)).collect();
        let orphans = self.orphans(named).await?;
        futures_util::stream::iter(orphans)
            .for_each_concurrent(AT_ONCE, |machine| {
                let reconcilers = self.clone();
                async move { reconcilers.sweep(machine).await }
            })
            .await;
        Ok(())
    }

    async fn orphans(&self, machines: Vec<Named>) -> Result<Vec<Named>, StoreError> {
        let sessions: Vec<SessionId> = machines.iter().map(|machine| machine.session).collect();
        let owners = self.store.owners(&sessions).await?;
        let grace = self.config.keeper.orphan_grace();
        Ok(machines
            .into_iter()
            .filter(|named| {
                let owner = owners.get(&named.session).map(|row| Owner {
                    attempt: row.attempt,
                    machine: row.machine.as_ref().map(MachineId::as_str),
                    over_for: row.over_for,
                    handed_over: row.handed_over,
                });
                let machine = Claimant { machine: named.id.as_str(), attempt: named.attempt, age: named.age };
                is_orphan(&machine, owner.as_ref(), grace)
            })
            .collect())
    }

    async fn sweep(&self, named: Named) {
        // The list may be old: its word is not enough to kill a process.
        match self.machines.get(&named.id).await {
            Ok(Some(machine)) if machine.state.group() != StateGroup::Gone => {}
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(error_code = error.code().as_str(), machine.id = %named.id, "left to the next sweep");
                return;
            }
        }
        match self.machines.destroy(&named.id).await {
            Ok(()) => {
                tracing::warn!(error_code = ErrorCode::MachineOrphaned.as_str(), session.id = %named.session, machine.id = %named.id, attempt = named.attempt, "an orphaned machine was destroyed");
            }
            Err(error) => {
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), machine.id = %named.id, "an orphaned machine was not destroyed");
            }
        }
    }
}

/// Ours and still there; None for everybody else's.
fn name(machine: &Machine, tenant: &str) -> Option<Named> {
    let (session, attempt) = machine_owner(machine.name.as_deref()?)?;
    let told = |key: &str| machine.metadata().and_then(|all| all.get(key));
    let contradicts =
        told("tenant_id").is_some_and(|id| id != tenant) || told("session_id").is_some_and(|id| *id != session.to_string());
    if contradicts || machine.state.group() == StateGroup::Gone {
        return None;
    }
    // Without a known age it is too young to judge.
    let created = machine.created_at.as_deref().and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok())?;
    let age = Duration::try_from(clock::now() - created).unwrap_or_default();
    Some(Named { id: machine.id.clone(), session, attempt, age })
}
