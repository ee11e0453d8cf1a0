//! PostgreSQL, the only store. SQL is in this folder and nowhere else.
//!
//! Every unit of work is one transaction. It first takes a role and the claims that row level security reads; without them it
//! sees nothing. Supabase's own login may bypass row level security, so we never use it. Our logins are `interview_runtime`
//! (migrations/0001) and two for each tenant (`operator.rs`).

mod bounded;
mod classes;
pub mod doctor;
mod entries;
pub mod gateway;
pub mod operator;
pub mod session;
mod standby;
mod transaction;

use crate::backoff::Backoff;
use crate::config::Pooler;
use crate::ids::{MachineId, SessionId, TenantId};
use classes::Stale;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::str::FromStr;
use std::time::Duration;

pub use crate::domain::store_error::StoreError;
pub use transaction::Transaction;

/// A pool of connections, opened when first needed.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    /// One unit of work of a session process, from asking for a connection to the commit.
    deadline: Duration,
    statement_timeout_ms: u64,
    pooler: Pooler,
    attempt: Option<i32>,
    stale: Stale,
}

#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub url: SecretString,
    pub max_connections: u32,
    pub connect_timeout: Duration,
    pub statement_timeout_ms: u64,
    pub transaction_timeout: Duration,
    pub pooler: Pooler,
    /// Which of a session's machines this is, if it was made for one.
    pub attempt: Option<i32>,
}

pub use standby::Named;

/// What a connection that comes back may take to prove that it lives.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
const DEADLOCK_PAUSE: Duration = Duration::from_millis(100);
const MOST_DEADLOCKS: u32 = 3;

/// Whose rows a transaction may see.
#[derive(Clone, Debug)]
pub enum Scope {
    /// One interview's process: this interview alone.
    Session { tenant: TenantId, session: SessionId },
    /// A process that does not know its session: the session that names its machine.
    Machine { tenant: TenantId, machine: MachineId },
    /// The tenant's door, acting for itself.
    Gateway { tenant: TenantId },
    /// A signed-in person, with the verified claims of their token.
    Person { claims: Value },
}

impl Scope {
    fn role(&self) -> &'static str {
        match self {
            Self::Session { .. } | Self::Machine { .. } => "interview_session",
            Self::Gateway { .. } => "interview_gateway",
            Self::Person { .. } => "authenticated",
        }
    }

    fn claims(&self) -> Value {
        match self {
            Self::Session { tenant, session } => json!({"app_metadata": {"tenant_id": tenant}, "interview_session_id": session}),
            Self::Machine { tenant, machine } => json!({"app_metadata": {"tenant_id": tenant}, "interview_machine_id": machine}),
            Self::Gateway { tenant } => json!({"app_metadata": {"tenant_id": tenant}}),
            Self::Person { claims } => claims.clone(),
        }
    }
}

/// An error that may say: the database has ended this one of two that waited for each other.
pub trait Deadlocked {
    fn is_deadlock(&self) -> bool;
}

impl Deadlocked for StoreError {
    fn is_deadlock(&self) -> bool {
        self.sql_state() == Some("40P01")
    }
}

/// Does the work of one transaction, and again after a deadlock: whoever it was with has gone on. Everybody takes locks in one order
/// (invites, candidates, positions, sessions); what is added while somebody waits may still cross.
pub async fn past_deadlocks<T, E: Deadlocked, W: Future<Output = Result<T, E>>>(work: impl Fn() -> W) -> Result<T, E> {
    let mut backoff = Backoff::new(DEADLOCK_PAUSE, DEADLOCK_PAUSE * 4);
    for _ in 0..MOST_DEADLOCKS {
        match work().await {
            Err(error) if error.is_deadlock() => {
                tracing::info!("a deadlock in the database: done again");
                // Whoever it was with is woken up now: who comes back at once takes the same lock from it again.
                tokio::time::sleep(backoff.next_delay()).await;
            }
            done => return done,
        }
    }
    work().await
}

/// Names what failed, for the error's text.
pub(crate) trait During<T> {
    fn during(self, action: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, action: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::Query { action, source: classes::refusal(&error) })
    }
}

impl Store {
    /// Connections are opened lazily: a process can start while the database is away.
    pub fn new(options: &StoreOptions) -> Result<Self, StoreError> {
        let connect = PgConnectOptions::from_str(options.url.expose_secret())
            .during("read the database address")?
            .application_name("interview-runtime");
        let connect = match options.pooler {
            Pooler::None => connect.options([
                ("statement_timeout", options.statement_timeout_ms.to_string()),
                ("idle_in_transaction_session_timeout", (options.statement_timeout_ms * 2).to_string()),
            ]),
            // A pooler takes no settings for a connection that is not ours; each transaction brings them.
            Pooler::Transaction => connect.statement_cache_capacity(0),
        };
        let stale = Stale::default();
        let of_pool = stale.clone();
        let pool = PgPoolOptions::new()
            .before_acquire(move |_, connection| {
                let fresh = !of_pool.is(connection.age);
                Box::pin(async move { Ok(fresh) })
            })
            .max_connections(options.max_connections)
            .min_connections(0)
            .acquire_timeout(options.connect_timeout)
            .idle_timeout(Duration::from_mins(1))
            // Work that was given up leaves a connection that may never answer again: without a
            // limit of its own it would hold its place in the pool for as long as TCP hopes.
            .after_release(|connection, _| {
                Box::pin(async move {
                    let alive = tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await;
                    alive.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                })
            })
            .connect_lazy_with(connect);
        Ok(Self {
            pool,
            deadline: options.transaction_timeout,
            statement_timeout_ms: options.statement_timeout_ms,
            pooler: options.pooler,
            attempt: options.attempt,
            stale,
        })
    }

    /// Start a unit of work as `scope`. One round trip sets role and claims, for this transaction only.
    pub async fn begin(&self, scope: &Scope) -> Result<Transaction, StoreError> {
        let mut transaction = Transaction::begin(&self.pool, self.pooler == Pooler::None, self.stale.clone()).await?;
        let taken = sqlx::query!(
            r#"select set_config('role', $1, true) as role, set_config('request.jwt.claims', $2, true) as claims,
                      set_config('statement_timeout', $3, true) as statement_timeout,
                      set_config('idle_in_transaction_session_timeout', $4, true) as idle_timeout,
                      current_setting('transaction_read_only') = 'on' as "read_only!""#,
            scope.role(),
            scope.claims().to_string(),
            self.statement_timeout_ms.to_string(),
            (self.statement_timeout_ms * 2).to_string(),
        )
        .fetch_one(&mut *transaction)
        .await
        .during("take a role")?;
        // After a failover an old connection may lead to a standby for ever: end it, so that the
        // next one is made to whoever takes writes now.
        if taken.read_only && matches!(scope, Scope::Session { .. }) {
            let end = "set local role none; select pg_terminate_backend(pg_backend_pid())";
            let _ = sqlx::raw_sql(end).execute(&mut *transaction).await;
            return Err(StoreError::ReadOnly);
        }
        Ok(transaction)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.pool.acquire().await.during("reach the database")?.ping().await.during("ping the database")
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Apply the migrations as the owner. Safe to run again, and by several at once.
pub async fn migrate(admin_url: &SecretString) -> Result<(), MigrateError> {
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(10))
        .connect(admin_url.expose_secret())
        .await?;
    let lock = lock_migrations(&pool).await?;
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.set_locking(false).run(&pool).await?;
    lock.commit().await?;
    pool.close().await;
    Ok(())
}

/// In place of sqlx's own lock, which is advisory: every login may take it, and keep it. A schema of its
/// own, because a project of Supabase grants what is made in `public` to everyone.
async fn lock_migrations(pool: &PgPool) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    let make = "create schema if not exists interview_operator; create table if not exists interview_operator.migration_lock ()";
    if let Err(error) = sqlx::raw_sql(make).execute(pool).await {
        // Of several that make it at once all but one are told that it is there, and then it is.
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if !matches!(code.as_deref(), Some("23505" | "42P06" | "42P07")) {
            return Err(error);
        }
        sqlx::raw_sql(make).execute(pool).await?;
    }
    let mut lock = pool.begin().await?;
    let take = "set local idle_in_transaction_session_timeout = 0; set local lock_timeout = '10min';
                lock table interview_operator.migration_lock in access exclusive mode";
    sqlx::raw_sql(take).execute(&mut *lock).await?;
    Ok(lock)
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("cannot connect to the database")]
    Connect(#[from] sqlx::Error),
    #[error("cannot apply the migrations")]
    Apply(#[from] sqlx::migrate::MigrateError),
}
