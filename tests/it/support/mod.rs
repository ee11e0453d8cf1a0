//! One interview's process inside the test, against a real PostgreSQL and the stand-in of
//! OpenAI on real HTTP, WebSocket and WebRTC.

pub mod browser;
pub mod mutate;
pub mod operator;
pub mod page;
pub mod process;
pub mod processes;
pub mod proxy;
pub mod room;
pub mod storm;
pub mod stream;
pub mod system;
pub mod voice_stub;

use aws_lc_rs::digest::{SHA256, digest};
use interview_runtime::config::{Config, Role};
use interview_runtime::ids::SessionId;
use interview_runtime::roles::{self, Exit};
use interview_sandbox::faults::Faults;
use interview_sandbox::ledger::Ledger;
use interview_sandbox::openai::{self, InterviewScript, OpenAi, OpenAiOptions};
use interview_sandbox::postgres::{ClusterOptions, PrivateCluster};
use sqlx::PgPool;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// The gateway's alone.
pub const ROUTING_SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Of this secret, as `interview-runtime routing-public-keys` prints it.
pub const ROUTING_PUBLIC_KEY: &str = "bfWojW5xEbNs-y_p87TTGTPhoc32MmgCwbFKv2mpwas";
pub const TENANT: &str = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001";
pub const ORIGIN: &str = "http://localhost:8080";
const CANDIDATE: &str = "ca000000-0000-4000-8000-000000000011";
const POSITION: &str = "b0000000-0000-4000-8000-000000000001";
const RUNTIME_PASSWORD: &str = "0nly4thistest";

/// Everything outside of the session process.
pub struct World {
    pub admin: PgPool,
    pub openai: OpenAi,
    pub faults: Faults,
    pub ledger: Ledger,
    cluster: PrivateCluster,
    openai_url: String,
    runtime_url: String,
    _data: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::with_script(InterviewScript::standard()).await
    }

    pub async fn with_script(script: InterviewScript) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let cluster = PrivateCluster::start(ClusterOptions::new(data.path().join("pg"))).await.expect("PostgreSQL starts");
        let admin_url = cluster.create_database("interview").await.expect("a database");
        interview_runtime::integrations::store::migrate(&admin_url.clone().into()).await.expect("the migrations apply");
        cluster.set_login("interview_runtime", RUNTIME_PASSWORD).await.expect("the runtime may sign in");
        let seed = include_str!("../../../config/sandbox_seed.sql");
        cluster.run_sql("interview", seed).await.expect("the seed applies");
        let admin = PgPool::connect(&admin_url).await.expect("a connection");

        let (ledger, faults) = (Ledger::default(), Faults::default());
        let options = OpenAiOptions { ledger: ledger.clone(), faults: faults.clone(), script, ..OpenAiOptions::default() };
        let openai = OpenAi::new(options);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let router = axum::Router::new().nest("/openai", openai::router(openai.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            runtime_url: cluster.url_for("interview_runtime", RUNTIME_PASSWORD, "interview"),
            openai_url: format!("http://{address}/openai/v1"),
            admin,
            openai,
            faults,
            ledger,
            cluster,
            _data: data,
        }
    }

    /// A session as the gateway would have left it.
    pub async fn new_session(&self) -> SessionId {
        let id = Uuid::new_v4();
        sqlx::query(
            "insert into app.sessions (tenant_id, id, candidate_id, position_id, deadline_at, attempt) values ($1, $2, $3, $4, now() + interval '2 hours', 1)",
        )
        .bind(uuid(TENANT))
        .bind(id)
        .bind(uuid(CANDIDATE))
        .bind(uuid(POSITION))
        .execute(&self.admin)
        .await
        .expect("a session row");
        SessionId(id)
    }

    /// A session that keeps version 1 of this plan.
    pub async fn planned_session(&self, plan: &serde_json::Value) -> SessionId {
        let (id, plan_id) = (Uuid::new_v4(), Uuid::new_v4());
        let mut tx = self.admin.begin().await.expect("a transaction");
        for sql in [
            "insert into app.plans (tenant_id, id, draft) values ($1, $2, $3)",
            "insert into app.plan_versions (tenant_id, plan_id, number, document) values ($1, $2, 1, $3)",
        ] {
            sqlx::query(sql).bind(uuid(TENANT)).bind(plan_id).bind(plan).execute(&mut *tx).await.expect("a plan");
        }
        sqlx::query(
            "insert into app.sessions (tenant_id, id, candidate_id, position_id, deadline_at, attempt, plan_id, plan_version)
             values ($1, $2, $3, $4, now() + interval '2 hours', 1, $5, 1)",
        )
        .bind(uuid(TENANT))
        .bind(id)
        .bind(uuid(CANDIDATE))
        .bind(uuid(POSITION))
        .bind(plan_id)
        .execute(&mut *tx)
        .await
        .expect("a session row");
        tx.commit().await.expect("stored");
        SessionId(id)
    }

    pub async fn ticket(&self, session: SessionId) -> String {
        self.ticket_for(session, ORIGIN, 30).await
    }

    pub async fn ticket_for(&self, session: SessionId, origin: &str, ttl_s: i32) -> String {
        let ticket = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        sqlx::query(
            "insert into app.websocket_tickets (tenant_id, token_sha256, session_id, user_id, origin, expires_at) values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
        )
        .bind(uuid(TENANT))
        .bind(digest(&SHA256, ticket.as_bytes()).as_ref())
        .bind(session.0)
        .bind(Uuid::new_v4())
        .bind(origin)
        .bind(f64::from(ttl_s))
        .execute(&self.admin)
        .await
        .expect("a ticket row");
        ticket
    }

    /// Start the session's process in this test.
    pub async fn run(&self, session: SessionId) -> Runtime {
        self.run_with(session, &[]).await
    }

    pub async fn run_with(&self, session: SessionId, overrides: &[(&str, &str)]) -> Runtime {
        let address = free_address();
        let keys = self.keys(address, overrides);
        let config = Config::load(None, Role::Session, Some(keys)).expect("a valid configuration");
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(roles::session::run(config, session, async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        let runtime = Runtime { address, session, task, stop: Some(stop) };
        wait_for("the process listens", || async { runtime.snapshot().await.is_some() }).await;
        runtime
    }

    /// The configuration of a session process that listens on `address`, as environment variables.
    /// The database as the runtime's own login.
    pub fn store(&self) -> interview_runtime::integrations::store::Store {
        self.store_with(&[])
    }

    pub fn store_with(&self, overrides: &[(&str, &str)]) -> interview_runtime::integrations::store::Store {
        let keys = self.keys(free_address(), overrides);
        let config = Config::load(None, Role::Session, Some(keys)).expect("a valid configuration");
        interview_runtime::integrations::clients::store(&config).expect("a valid address")
    }

    fn keys(&self, address: SocketAddr, overrides: &[(&str, &str)]) -> HashMap<String, String> {
        let mut keys: HashMap<String, String> = [
            ("INTERVIEW__HTTP__BIND", address.to_string()),
            ("INTERVIEW__TENANT__ID", TENANT.to_owned()),
            ("INTERVIEW__DATABASE__URL", self.runtime_url.clone()),
            ("INTERVIEW__ROUTING__PUBLIC_KEYS", ROUTING_PUBLIC_KEY.to_owned()),
            ("INTERVIEW__OPENAI__BASE_URL", self.openai_url.clone()),
            ("INTERVIEW__OPENAI__API_KEY", "sk-sandbox".to_owned()),
            ("INTERVIEW__API_VIDEO__API_KEY", "unused".to_owned()),
            ("INTERVIEW__SANDBOX__ENABLED", "true".to_owned()),
            ("INTERVIEW__SANDBOX__FAULT_INJECTION", "true".to_owned()),
            ("INTERVIEW__SESSION__HEARTBEAT_INTERVAL_MS", "200".to_owned()),
            // A debug build signs in to PostgreSQL for a second on a busy machine; the test of the
            // watchdog sets its own.
            ("INTERVIEW__WATCHDOG__STALL_AFTER_MS", "60000".to_owned()),
            ("INTERVIEW__INTERVIEW__LAST_WORDS_S", "8".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        keys.extend(overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        keys
    }

    /// PostgreSQL itself, for a proxy to stand before.
    pub fn database_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.cluster.port()))
    }

    /// The runtime's database address, through a proxy.
    pub fn database_through(&self, proxy: &proxy::Proxy) -> String {
        self.database_at(proxy.address)
    }

    pub fn database_at(&self, address: SocketAddr) -> String {
        self.runtime_url.replace(&self.database_address().to_string(), &address.to_string())
    }

    pub async fn kill_database(&self) {
        self.cluster.kill().await;
    }

    pub async fn restart_database(&self) {
        self.cluster.restart().await.expect("PostgreSQL starts again");
    }

    /// Run a script as the database's owner.
    pub async fn sql(&self, script: &str) {
        self.cluster.run_sql("interview", script).await.expect("the script runs");
    }

    /// Statements that write the transcript at this moment.
    pub async fn writing(&self) -> i64 {
        let sql = "select count(*) from pg_stat_activity where state = 'active' and usename = 'interview_runtime' and query like 'insert into app.transcript_entries%'";
        sqlx::query_scalar(sql).fetch_one(&self.admin).await.expect("a count")
    }

    /// Words that our line heard in a call of an earlier process: something to judge.
    pub async fn heard(&self, session: SessionId, speaker: &str, text: &str) {
        sqlx::query(
            "with begun as (update app.sessions set segment = 1, started_at = coalesce(started_at, now()) where id = $2)
             insert into app.transcript_entries (tenant_id, session_id, seq, entry_key, item_id, segment, position, speaker, text,
               source, status, at, epoch)
             select $1, $2, n, 'heard-' || n, 'heard-' || n, 1, n * 1048576, $3, $4, 'sideband', 'final', now(), 0
             from (select count(*)::int + 1 as n from app.transcript_entries where session_id = $2) numbers",
        )
        .bind(uuid(TENANT))
        .bind(session.0)
        .bind(speaker)
        .bind(text)
        .execute(&self.admin)
        .await
        .expect("an entry");
    }

    /// Everything that is stored of what was said, also what is no word of the record.
    pub async fn rows(&self, session: SessionId) -> Vec<(i32, String, String, String)> {
        sqlx::query_as("select seq, speaker, text, source from app.transcript_entries where session_id = $1 order by position")
            .bind(session.0)
            .fetch_all(&self.admin)
            .await
            .expect("the transcript")
    }

    pub async fn text(&self, session: SessionId, column: &str) -> Option<String> {
        let sql = format!("select {column}::text from app.sessions where id = $1");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(session.0).fetch_one(&self.admin).await.expect("the session row")
    }

    pub async fn stop(self) {
        self.admin.close().await;
        self.openai.shutdown().await;
        self.cluster.stop().await;
    }
}

/// The process under test.
pub struct Runtime {
    pub address: SocketAddr,
    pub session: SessionId,
    task: JoinHandle<Exit>,
    stop: Option<oneshot::Sender<()>>,
}

impl Runtime {
    pub fn websocket_url(&self) -> String {
        format!("ws://{}/ws/{}", self.address, self.session)
    }

    pub async fn snapshot(&self) -> Option<serde_json::Value> {
        let answer = reqwest::Client::new()
            .get(format!("http://{}/debug/snapshot", self.address))
            .timeout(Duration::from_secs(2))
            .send()
            .await
            .ok()?;
        answer.json().await.ok()
    }

    pub async fn crash(&self, child: &str) {
        let answer = reqwest::Client::new()
            .post(format!("http://{}/debug/crash/{child}", self.address))
            .send()
            .await
            .expect("the process answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    pub async fn restarts(&self, child: &str) -> u64 {
        self.snapshot().await.map_or(0, |snapshot| snapshot["restarts"][child].as_u64().unwrap_or(0))
    }

    pub async fn runs(&self, child: &str) -> bool {
        self.snapshot()
            .await
            .is_some_and(|snapshot| snapshot["running"].as_array().is_some_and(|names| names.iter().any(|name| name == child)))
    }

    /// As SIGTERM would.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    pub async fn exit(self) -> Exit {
        // Dropping the sender must not look like a signal.
        let _keep = self.stop;
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .expect("the process ends in time")
            .expect("the process does not panic")
    }
}

/// An address that nothing listens on now; below the ports that the system gives to connections,
/// which would take it before a process that is only starting does.
pub fn free_address() -> SocketAddr {
    let addresses = std::iter::repeat_with(|| SocketAddr::from(([127, 0, 0, 1], fastrand::u16(10_000..32_000))));
    addresses.take(1_000).find(|address| std::net::TcpListener::bind(address).is_ok()).expect("a free port")
}

pub fn uuid(text: &str) -> Uuid {
    text.parse().expect("a UUID")
}

/// Wait for a condition, with a limit.
pub async fn wait_for<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let limit = tokio::time::Instant::now() + Duration::from_mins(1);
    while !condition().await {
        assert!(tokio::time::Instant::now() < limit, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
