//! The session process as its machine runs it: the real binary, with its log and its exit code.

// As in proxy.rs.
#![allow(dead_code)]

use super::{World, wait_for};
use interview_runtime::ids::SessionId;
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub struct Process {
    pub address: SocketAddr,
    pub session: SessionId,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: tokio::task::JoinHandle<()>,
}

/// RUNTIME_BINARY: another build of it, for a campaign that runs for long.
fn binary() -> String {
    std::env::var("RUNTIME_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_interview-runtime").to_owned())
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// None: a signal ended it.
    pub code: Option<i32>,
    /// Since the wait for it began.
    pub after: Duration,
}

impl World {
    /// Start the real binary; it may not be ready, or ever be.
    pub fn spawn(&self, session: SessionId, overrides: &[(&str, &str)]) -> Process {
        self.spawn_as(Command::new(binary()), session, overrides)
    }

    /// Start the real binary on a machine that is to wait for a session.
    pub fn spawn_standby(&self, machine: &str, overrides: &[(&str, &str)]) -> Process {
        let mut command = Command::new(binary());
        command.arg("standby").env("FLY_MACHINE_ID", machine);
        self.spawn_process(command, SessionId(uuid::Uuid::nil()), overrides)
    }

    /// With so many file descriptors, in a folder where nothing can be written; ready for browsers.
    pub async fn spawn_limited(&self, session: SessionId, descriptors: u32) -> Process {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")).arg(binary()).current_dir("/proc");
        let process = self.spawn_as(shell, session, &[]);
        process.until_ready().await;
        process
    }

    /// A gateway on all addresses of the machine; `address` is one of them.
    pub fn spawn_gateway(&self) -> Process {
        self.spawn_gateway_with(&[])
    }

    pub fn spawn_gateway_with(&self, overrides: &[(&str, &str)]) -> Process {
        let nobody = "http://127.0.0.1:9";
        let address = super::free_address();
        let bind = format!("[::]:{}", address.port());
        let mut command = Command::new(binary());
        let keys = [
            ("INTERVIEW__HTTP__BIND", bind.as_str()),
            ("INTERVIEW__ROUTING__SECRET", super::ROUTING_SECRET),
            ("INTERVIEW__FLY__BASE_URL", nobody),
            ("INTERVIEW__FLY__API_TOKEN", "none"),
            ("INTERVIEW__FLY__SESSION_APP", "interviews-s"),
            ("INTERVIEW__FLY__IMAGE", "registry.fly.io/interview-runtime"),
            ("INTERVIEW__SUPABASE__ISSUER", nobody),
        ];
        command.arg("gateway").envs(self.keys(address, &[&keys, overrides].concat()));
        Self::follow(command, address, SessionId(uuid::Uuid::nil()))
    }

    fn spawn_as(&self, mut command: Command, session: SessionId, overrides: &[(&str, &str)]) -> Process {
        command.arg("session").env("SESSION_ID", session.to_string());
        self.spawn_process(command, session, overrides)
    }

    fn spawn_process(&self, mut command: Command, session: SessionId, overrides: &[(&str, &str)]) -> Process {
        let address = super::free_address();
        command.envs(self.keys(address, overrides));
        Self::follow(command, address, session)
    }

    fn follow(mut command: Command, address: SocketAddr, session: SessionId) -> Process {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let reader = tokio::spawn({
            let log = log.clone();
            async move {
                let mut lines = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            }
        });
        Process { address, session, child, log, reader }
    }

    /// Start the real binary and wait until it takes browsers.
    pub async fn spawn_ready(&self, session: SessionId, overrides: &[(&str, &str)]) -> Process {
        let process = self.spawn(session, overrides);
        process.until_ready().await;
        process
    }

    pub async fn summaries(&self, session: SessionId) -> i64 {
        let count = sqlx::query_scalar("select count(*) from app.summaries where session_id = $1");
        count.bind(session.0).fetch_one(&self.admin).await.expect("a count")
    }

    /// The chapters of the entries, in the order of the conversation.
    pub async fn segments(&self, session: SessionId) -> Vec<i32> {
        let all = sqlx::query_scalar("select segment from app.transcript_entries where session_id = $1 order by position");
        all.bind(session.0).fetch_all(&self.admin).await.expect("the transcript")
    }
}

impl Process {
    pub fn websocket_url(&self) -> String {
        format!("ws://{}/ws/{}", self.address, self.session)
    }

    pub async fn ready(&self) -> bool {
        let get = reqwest::Client::new().get(format!("http://{}/readyz", self.address)).timeout(Duration::from_secs(1)).send();
        get.await.is_ok_and(|answer| answer.status().is_success())
    }

    pub async fn until_ready(&self) {
        wait_for("the process is ready", || self.ready()).await;
    }

    /// Ask the process to break in a way.
    pub async fn debug(&self, what: &str) {
        let answer =
            reqwest::Client::new().post(format!("http://{}/debug/{what}", self.address)).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{what}: {}", answer.status());
    }

    /// Records that wait for the database.
    pub async fn backlog(&self) -> u64 {
        let answer = reqwest::get(format!("http://{}/debug/snapshot", self.address)).await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")["backlog_records"].as_u64().expect("a number")
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    /// Resident memory.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// `TERM`, `INT`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// It is over, whoever ended it.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    pub async fn ended(&mut self, within: Duration) -> Ended {
        let from = Instant::now();
        let status = tokio::time::timeout(within, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("not ended in {within:?}; log: {:#?}", self.lines()))
            .expect("it can be waited for");
        let after = from.elapsed();
        let _ = (&mut self.reader).await;
        Ended { code: status.code(), after }
    }

    pub fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The log's line with this error code.
    pub fn logged(&self, code: &str) -> Option<Value> {
        self.lines().iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| line["error_code"] == code)
    }
}
