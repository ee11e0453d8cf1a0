//! The rows of all tenants, as their operator sees them, signed in as the database's owner.

use super::{During as _, MigrateError, StoreError};
use crate::domain::tenant_plan::{Operation, Record, Release, Which, Written};
use crate::ids::TenantId;
use secrecy::{ExposeSecret, SecretString};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::collections::BTreeSet;
use time::OffsetDateTime;

/// What a tenant is, besides its deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRow {
    pub id: TenantId,
    pub slug: String,
    pub name: String,
    /// None: nothing runs for it.
    pub record: Option<Record>,
    pub token_expires_at: Option<OffsetDateTime>,
    /// Interviews that are not over.
    pub interviews: u32,
}

#[derive(Debug)]
pub struct OperatorStore {
    admin_url: SecretString,
    connection: PgConnection,
    /// A connection whose transaction holds the row that keeps two runs for one tenant apart. It
    /// ends with this process. Not an advisory lock: every login may take one, and see its key.
    lock: Option<PgConnection>,
}

impl OperatorStore {
    pub async fn connect(admin_url: &SecretString) -> Result<Self, MigrateError> {
        let connection = PgConnection::connect(admin_url.expose_secret()).await?;
        Ok(Self { admin_url: admin_url.clone(), connection, lock: None })
    }

    /// False: another run for this tenant is at work.
    pub async fn lock(&mut self, slug: &str) -> Result<bool, StoreError> {
        sqlx::query!("insert into app.operator_locks (slug) values ($1) on conflict do nothing", slug)
            .execute(&mut self.connection)
            .await
            .during("make the tenant's lock")?;
        let mut holder = PgConnection::connect(self.admin_url.expose_secret()).await.during("connect for the tenant's lock")?;
        // It idles while Fly works, and that may take long.
        let begin = "begin; set local idle_in_transaction_session_timeout = 0; set local lock_timeout = 0";
        sqlx::raw_sql(begin).execute(&mut holder).await.during("begin the tenant's lock")?;
        let taken = sqlx::query!("select slug from app.operator_locks where slug = $1 for update skip locked", slug)
            .fetch_optional(&mut holder)
            .await
            .during("take the tenant's lock")?;
        self.lock = taken.map(|_| holder);
        Ok(self.lock.is_some())
    }

    /// Before each change: a run that has lost its lock must not go on beside another.
    pub async fn hold(&mut self) -> Result<(), StoreError> {
        let Some(holder) = &mut self.lock else { return Err(StoreError::NotFound) };
        holder.ping().await.during("hold the tenant's lock")
    }

    pub async fn tenants(&mut self) -> Result<Vec<TenantRow>, StoreError> {
        let rows = sqlx::query!(
            r#"select t.id, t.slug, t.name,
                      d.operation as "operation?", d.release as "release?", d.image as "image?",
                      d.previous_release, d.previous_image, d.region as "region?",
                      d.routing_generation as "routing_generation?", d.previous_generation,
                      d.token_wanted as "token_wanted?", d.token_issued as "token_issued?", d.token_expires_at,
                      d.gateway_version as "gateway_version?", d.gateway_fingerprint as "gateway_fingerprint?",
                      d.session_version as "session_version?", d.session_fingerprint as "session_fingerprint?",
                      (select count(*) from app.sessions s
                       where s.tenant_id = t.id and s.phase not in ('completed', 'failed')) as "interviews!"
               from app.tenants t left join app.tenant_deployments d on d.tenant_id = t.id
               order by t.slug"#
        )
        .fetch_all(&mut self.connection)
        .await
        .during("read the tenants")?;
        rows.into_iter()
            .map(|row| {
                let number = |value: Option<i32>| u32::try_from(value.unwrap_or_default()).unwrap_or_default();
                let operation = match row.operation.as_deref() {
                    None => None,
                    Some(text) => {
                        let unknown = || StoreError::Corrupt(format!("operation {text}"));
                        Some(Operation::parse(text).ok_or_else(unknown)?)
                    }
                };
                let written = |version: Option<i64>, fingerprint: Option<String>| Written {
                    version: u64::try_from(version.unwrap_or_default()).unwrap_or_default(),
                    fingerprint: fingerprint.unwrap_or_default(),
                };
                let record = row.image.map(|image| Record {
                    operation,
                    release: number(row.release),
                    image,
                    previous: row.previous_image.map(|image| Release { number: number(row.previous_release), image }),
                    region: row.region.unwrap_or_default(),
                    routing_generation: number(row.routing_generation),
                    previous_generation: row.previous_generation.map(|generation| number(Some(generation))),
                    token_wanted: number(row.token_wanted),
                    token_issued: number(row.token_issued),
                    gateway_secrets: written(row.gateway_version, row.gateway_fingerprint),
                    session_secrets: written(row.session_version, row.session_fingerprint),
                });
                Ok(TenantRow {
                    id: TenantId(row.id),
                    slug: row.slug,
                    name: row.name,
                    record,
                    token_expires_at: row.token_expires_at,
                    interviews: u32::try_from(row.interviews).unwrap_or(u32::MAX),
                })
            })
            .collect()
    }

    /// The tenant and what runs for it, as one.
    pub async fn write(&mut self, tenant: &TenantRow, org: &str, record: &Record) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await.during("begin a transaction")?;
        sqlx::query!(
            "insert into app.tenants (id, slug, name) values ($1, $2, $3) on conflict (id) do nothing",
            tenant.id.0,
            tenant.slug,
            tenant.name
        )
        .execute(&mut *transaction)
        .await
        .during("write the tenant")?;
        let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let version = |written: &Written| i64::try_from(written.version).unwrap_or(i64::MAX);
        sqlx::query!(
            "insert into app.tenant_deployments (tenant_id, org, operation, release, image, previous_release, previous_image, region,
               routing_generation, previous_generation, token_wanted, token_issued, gateway_version, gateway_fingerprint,
               session_version, session_fingerprint)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
             on conflict (tenant_id) do update set
               operation = excluded.operation, release = excluded.release, image = excluded.image,
               previous_release = excluded.previous_release, previous_image = excluded.previous_image,
               routing_generation = excluded.routing_generation, previous_generation = excluded.previous_generation,
               token_wanted = excluded.token_wanted, token_issued = excluded.token_issued,
               gateway_version = excluded.gateway_version, gateway_fingerprint = excluded.gateway_fingerprint,
               session_version = excluded.session_version, session_fingerprint = excluded.session_fingerprint,
               updated_at = now()",
            tenant.id.0,
            org,
            record.operation.map(Operation::as_str),
            number(record.release),
            record.image,
            record.previous.as_ref().map(|release| number(release.number)),
            record.previous.as_ref().map(|release| release.image.as_str()),
            record.region,
            number(record.routing_generation),
            record.previous_generation.map(number),
            number(record.token_wanted),
            number(record.token_issued),
            version(&record.gateway_secrets),
            record.gateway_secrets.fingerprint,
            version(&record.session_secrets),
            record.session_secrets.fingerprint
        )
        .execute(&mut *transaction)
        .await
        .during("write the tenant's deployment")?;
        transaction.commit().await.during("commit the tenant's deployment")
    }

    pub async fn note_token(&mut self, tenant: TenantId, expires_at: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!("update app.tenant_deployments set token_expires_at = $2 where tenant_id = $1", tenant.0, expires_at)
            .execute(&mut self.connection)
            .await
            .during("note the deploy token")?;
        Ok(())
    }

    pub async fn forget(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        sqlx::query!("delete from app.tenant_deployments where tenant_id = $1", tenant.0)
            .execute(&mut self.connection)
            .await
            .during("forget the deployment")?;
        Ok(())
    }

    /// The tenant's logins that are there and bound to it.
    pub async fn logins(&mut self, tenant: TenantId) -> Result<BTreeSet<String>, StoreError> {
        let there = sqlx::query_scalar!(
            "select l.login from app.tenant_logins l join pg_roles r on r.rolname = l.login where l.tenant_id = $1 and r.rolcanlogin",
            tenant.0
        );
        let there = there.fetch_all(&mut self.connection).await.during("look for the logins")?;
        Ok(there.into_iter().collect())
    }

    /// Make the login, or make it again. `verifier` is what PostgreSQL keeps of a password: the
    /// password itself never travels, and stands in no log of statements.
    pub async fn prepare_login(
        &mut self,
        tenant: TenantId,
        login: &str,
        which: Which,
        verifier: &SecretString,
    ) -> Result<(), StoreError> {
        let (role, may_take) = match which {
            Which::Gateway => ("gateway", "interview_gateway, authenticated"),
            Which::Session => ("session", "interview_session"),
        };
        let mut transaction = self.connection.begin().await.during("begin a transaction")?;
        let there = sqlx::query_scalar!(r#"select exists (select from pg_roles where rolname = $1) as "there!""#, login)
            .fetch_one(&mut *transaction)
            .await
            .during("look for the login")?;
        let create = if there { "" } else { "create role %1$I; " };
        // Bound before it may sign in.
        sqlx::query!(
            "insert into app.tenant_logins (login, tenant_id, role) values ($1, $2, $3)
             on conflict (login) do update set tenant_id = excluded.tenant_id, role = excluded.role",
            login,
            tenant.0,
            role
        )
        .execute(&mut *transaction)
        .await
        .during("bind the login")?;
        let template = format!("{create}alter role %1$I login noinherit nobypassrls password %2$L; grant {may_take} to %1$I");
        let statement = sqlx::query_scalar!(
            r#"select format($1::text, $2::text, $3::text) as "statement!""#,
            template,
            login,
            verifier.expose_secret()
        )
        .fetch_one(&mut *transaction)
        .await
        .during("spell the login")?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut *transaction).await.during("make the login")?;
        transaction.commit().await.during("commit the login")
    }

    pub async fn drop_login(&mut self, login: &str) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await.during("begin a transaction")?;
        sqlx::query!("delete from app.tenant_logins where login = $1", login)
            .execute(&mut *transaction)
            .await
            .during("unbind the login")?;
        let statement = sqlx::query_scalar!(r#"select format('drop role if exists %I', $1::text) as "statement!""#, login)
            .fetch_one(&mut *transaction)
            .await
            .during("spell the login")?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut *transaction).await.during("drop the login")?;
        transaction.commit().await.during("commit the login's end")
    }

    /// Interviews that are not over.
    pub async fn interviews(&mut self, tenant: TenantId) -> Result<u32, StoreError> {
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!" from app.sessions where tenant_id = $1 and phase not in ('completed', 'failed')"#,
            tenant.0
        );
        let count = count.fetch_one(&mut self.connection).await.during("count the interviews")?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    pub async fn ask_interviews_to_end(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        sqlx::query!(
            "update app.sessions set end_requested_at = coalesce(end_requested_at, now())
             where tenant_id = $1 and phase not in ('completed', 'failed')",
            tenant.0
        )
        .execute(&mut self.connection)
        .await
        .during("ask the interviews to end")?;
        Ok(())
    }

    /// What is not over by now has no machine any more. The epoch fences off whoever may be left.
    pub async fn close_interviews(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        sqlx::query!(
            "update app.sessions set phase = 'failed', end_reason = coalesce(end_reason, 'machine_lost'), ended_at = coalesce(ended_at, now()),
               call_id = null, candidate_connected = false, epoch = epoch + 1
             where tenant_id = $1 and phase not in ('completed', 'failed')",
            tenant.0
        )
        .execute(&mut self.connection)
        .await
        .during("close the interviews")?;
        Ok(())
    }
}
