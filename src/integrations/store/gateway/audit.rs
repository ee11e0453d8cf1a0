//! What was changed by whom, as a recruiter may read it.

use super::super::{During, Scope, StoreError};
use super::GatewayStore;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct AuditRow {
    pub n: i64,
    pub at: OffsetDateTime,
    pub actor: Uuid,
    pub actor_role: String,
    pub action: String,
    pub detail: Value,
}

impl GatewayStore {
    /// The lines about one thing, the newest first, older than `before`. Read as that person.
    pub async fn audit_of(
        &self,
        person: &Scope,
        kind: &str,
        target: Uuid,
        before: i64,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut tx = self.store.begin(person).await?;
        let rows = sqlx::query_as!(
            AuditRow,
            "select n, at, actor, actor_role, action, detail from app.audit
             where tenant_id = $1 and target_kind = $2 and target_id = $3 and n < $4 order by n desc limit $5",
            self.tenant.0,
            kind,
            target,
            before,
            limit,
        )
        .fetch_all(&mut *tx)
        .await
        .during("read the audit")?;
        tx.commit().await.during("read the audit")?;
        Ok(rows)
    }
}
