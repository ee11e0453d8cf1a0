//! What a login may do in the database, for `doctor`.

use super::{During as _, Scope, Store, StoreError};
use crate::ids::{MachineId, TenantId};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    pub login: String,
    /// Superuser, or exempt from row level security.
    pub bypasses: bool,
    pub owns_tables: bool,
    /// May use a role that only the other of a tenant's two logins should have.
    pub may_more: bool,
    /// The one tenant that this login may speak for.
    pub bound_to: Option<TenantId>,
    pub schema_version: i64,
    pub encrypted: bool,
}

/// The newest migration that this program knows.
pub fn newest_migration() -> i64 {
    sqlx::migrate!("./migrations").iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Whose login is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOf {
    Gateway,
    Session,
}

impl Store {
    /// An error when the login may not take its process's role.
    pub async fn facts(&self, tenant: TenantId, whose: LoginOf) -> Result<DatabaseFacts, StoreError> {
        let (scope, others) = match whose {
            LoginOf::Gateway => (Scope::Gateway { tenant }, "interview_session"),
            LoginOf::Session => (Scope::Machine { tenant, machine: MachineId::new(String::new()) }, "interview_gateway"),
        };
        let mut transaction = self.begin(&scope).await?;
        let row = sqlx::query!(
            r#"select session_user::text as "login!", r.rolsuper or r.rolbypassrls as "bypasses!",
                      exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                              where n.nspname = 'app' and c.relowner = r.oid) as "owns_tables!",
                      pg_has_role(session_user, $1::text::name, 'member') as "may_more!",
                      app.login_tenant() as "bound_to?: Uuid", coalesce(app.schema_version(), 0) as "schema_version!",
                      coalesce((select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()), false) as "encrypted!"
               from pg_roles r where r.rolname = session_user"#,
            others
        )
        .fetch_one(&mut *transaction)
        .await
        .during("ask what the login may do")?;
        Ok(DatabaseFacts {
            login: row.login,
            bypasses: row.bypasses,
            owns_tables: row.owns_tables,
            may_more: row.may_more,
            bound_to: row.bound_to.map(TenantId),
            schema_version: row.schema_version,
            encrypted: row.encrypted,
        })
    }
}
