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
        let address = super::free_address();
        let mut child = Command::new(env!("CARGO_BIN_EXE_interview-runtime"))
            .arg("session")
            .env("SESSION_ID", session.to_string())
            .envs(self.keys(address, overrides))
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

    /// `TERM`, `INT`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
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
