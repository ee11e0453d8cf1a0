//! A change that a person makes: one transaction, in which its line of the audit is written and, where the request has an
//! Idempotency-Key, its answer is kept.

use super::super::{During, StoreError, Transaction};
use super::GatewayStore;
use crate::ids::{TenantId, UserId};
use serde_json::Value;
use uuid::Uuid;

/// Who changes something.
#[derive(Clone, Debug)]
pub struct Actor {
    pub user: UserId,
    /// As the token has it now.
    pub role: String,
}

/// What makes a request the same as one before.
#[derive(Clone, Debug)]
pub struct OnceKey {
    pub key: String,
    /// For whoever reads the table.
    pub route: String,
    /// SHA-256 of method, path and body.
    pub request: [u8; 32],
}

/// The answer that a key got.
#[derive(Clone, Debug)]
pub struct KeptAnswer {
    pub status: u16,
    pub body: Value,
}

#[derive(Debug)]
pub enum Begun {
    Fresh(Change),
    /// Answered before; nothing is done again.
    Answered(KeptAnswer),
    /// The key stands for another request.
    Conflicted,
}

/// Ends without a trace when dropped before [`Change::commit`].
#[derive(Debug)]
pub struct Change {
    pub(super) tx: Transaction,
    pub(super) tenant: TenantId,
    actor: Actor,
    key: Option<String>,
}

impl GatewayStore {
    /// Begin a change as the gateway, in the name of `actor`. A request with the same key that is under way is waited for.
    pub async fn begin_change(&self, actor: Actor, once: Option<&OnceKey>) -> Result<Begun, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        if let Some(once) = once
            && let Some(known) = self.claim_key(&mut tx, &actor, once).await?
        {
            return Ok(known);
        }
        Ok(Begun::Fresh(Change { tx, tenant: self.tenant, actor, key: once.map(|once| once.key.clone()) }))
    }

    /// None: the key is ours. A key older than a day stands for nothing any more.
    async fn claim_key(&self, tx: &mut Transaction, actor: &Actor, once: &OnceKey) -> Result<Option<Begun>, StoreError> {
        let claimed = sqlx::query_scalar!(
            r#"insert into app.idempotency_keys as k (tenant_id, person, key, route, request_sha256) values ($1, $2, $3, $4, $5)
               on conflict (tenant_id, person, key) do update
                 set route = excluded.route, request_sha256 = excluded.request_sha256, status = null, response = null, created_at = now()
                 where k.created_at < now() - interval '24 hours'
               returning true as "claimed!""#,
            self.tenant.0,
            actor.user.0,
            once.key,
            once.route,
            once.request.as_slice(),
        )
        .fetch_optional(&mut **tx)
        .await
        .during("claim an Idempotency-Key")?;
        if claimed.is_some() {
            return Ok(None);
        }
        let known = sqlx::query!(
            "select request_sha256, status, response from app.idempotency_keys where tenant_id = $1 and person = $2 and key = $3",
            self.tenant.0,
            actor.user.0,
            once.key,
        )
        .fetch_one(&mut **tx)
        .await
        .during("read an Idempotency-Key")?;
        if known.request_sha256 != once.request {
            return Ok(Some(Begun::Conflicted));
        }
        let answered = || StoreError::Corrupt("an Idempotency-Key without its answer".to_owned());
        let status = known.status.and_then(|status| u16::try_from(status).ok()).ok_or_else(answered)?;
        Ok(Some(Begun::Answered(KeptAnswer { status, body: known.response.ok_or_else(answered)? })))
    }

    /// Forget the keys that stand for nothing any more. How many there were.
    pub async fn forget_old_keys(&self) -> Result<u64, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let gone = sqlx::query!(
            "delete from app.idempotency_keys where tenant_id = $1 and created_at < now() - interval '24 hours'",
            self.tenant.0
        )
        .execute(&mut *tx)
        .await
        .during("forget old Idempotency-Keys")?;
        tx.commit().await.during("forget old Idempotency-Keys")?;
        Ok(gone.rows_affected())
    }
}

impl Change {
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// A line of the audit: `action` is a verb in the past, `target` a kind and its id. What is in `detail` is never
    /// forgotten: names of fields, not a person's data.
    pub async fn audit(&mut self, action: &str, target: (&str, Uuid), detail: Value) -> Result<(), StoreError> {
        self.audit_all(action, target.0, &[target.1], detail).await
    }

    /// The same for many.
    pub async fn audit_all(&mut self, action: &str, kind: &str, targets: &[Uuid], detail: Value) -> Result<(), StoreError> {
        write_audit(&mut self.tx, self.tenant, &self.actor, (action, kind), targets, detail).await
    }

    /// Until the change is committed nobody else makes one that waits for this too.
    pub(super) async fn alone_with(&mut self, what: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into app.keeper_duties (tenant_id, duty) values ($1, $2)
             on conflict (tenant_id, duty) do update set due_at = now()",
            self.tenant.0,
            what,
        )
        .execute(&mut *self.tx)
        .await
        .during("wait for another change")?;
        Ok(())
    }

    /// The same for whoever does not wait. False: another change has it now. The row is inserted only where there is none: an insert waits for
    /// whoever changes the one that is there.
    pub(super) async fn try_alone_with(&mut self, what: &str) -> Result<bool, StoreError> {
        sqlx::query!(
            "insert into app.keeper_duties (tenant_id, duty)
             select $1, $2 where not exists (select from app.keeper_duties where tenant_id = $1 and duty = $2)
             on conflict (tenant_id, duty) do nothing",
            self.tenant.0,
            what,
        )
        .execute(&mut *self.tx)
        .await
        .during("look for another change")?;
        let ours = sqlx::query_scalar!(
            "select duty from app.keeper_duties where tenant_id = $1 and duty = $2 for update skip locked",
            self.tenant.0,
            what,
        );
        Ok(ours.fetch_optional(&mut *self.tx).await.during("look for another change")?.is_some())
    }

    /// Keep the change, and under its key the answer that the same request gets again.
    pub async fn commit(mut self, status: u16, body: &Value) -> Result<(), StoreError> {
        if let Some(key) = &self.key {
            sqlx::query!(
                "update app.idempotency_keys set status = $4, response = $5 where tenant_id = $1 and person = $2 and key = $3",
                self.tenant.0,
                self.actor.user.0,
                key,
                i16::try_from(status).unwrap_or(i16::MAX),
                body,
            )
            .execute(&mut *self.tx)
            .await
            .during("keep the answer of an Idempotency-Key")?;
        }
        self.tx.commit().await.during("commit a change")
    }
}

/// A line of the audit for each of these: (`action`, kind), as [`Change::audit`] has it.
pub(super) async fn write_audit(
    tx: &mut Transaction,
    tenant: TenantId,
    by: &Actor,
    (action, kind): (&str, &str),
    targets: &[Uuid],
    detail: Value,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into app.audit (tenant_id, actor, actor_role, action, target_kind, target_id, detail)
         select $1, $2, $3, $4, $5, target, $7 from unnest($6::uuid[]) target",
        tenant.0,
        by.user.0,
        by.role,
        action,
        kind,
        targets,
        detail,
    )
    .execute(&mut **tx)
    .await
    .during("write the audit")?;
    Ok(())
}

/// Whether a statement failed because `constraint` (a unique index) holds the value already.
pub(super) fn taken(error: &sqlx::Error, constraint: &str) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation() && error.constraint() == Some(constraint))
}
