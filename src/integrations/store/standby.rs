//! The session to which this machine belongs, as its process asks when it starts.

use super::bounded::within;
use super::{During, Scope, Store, StoreError};
use crate::ids::{MachineId, SessionId, TenantId};

/// What is stored of a machine that was made to wait for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A session that is not over names it.
    Session(SessionId),
    /// It had its session, or is to be destroyed: it gets no other.
    Spent,
    Free,
}

impl Store {
    /// The session's row decides: a machine whose session has moved on must not take it again.
    pub async fn named(&self, tenant: TenantId, machine: &MachineId) -> Result<Named, StoreError> {
        within(self.deadline, "look up the machine's session", async {
            let mut tx = self.begin(&Scope::Machine { tenant, machine: machine.clone() }).await?;
            let row = sqlx::query!(
                r#"select (select id from app.sessions where tenant_id = $1 and machine_id = $2
                            and phase not in ('completed', 'failed') and handed_over_at is null limit 1) as session,
                          exists (select from app.standby_machines where tenant_id = $1 and machine_id = $2
                            and state in ('claimed', 'contaminated')) as "spent!""#,
                tenant.0,
                machine.as_str(),
            )
            .fetch_one(&mut *tx)
            .await
            .during("look up the machine's session")?;
            tx.commit().await.during("look up the machine's session")?;
            Ok(match (row.session, row.spent) {
                (Some(session), _) => Named::Session(SessionId(session)),
                (None, true) => Named::Spent,
                (None, false) => Named::Free,
            })
        })
        .await
    }
}
