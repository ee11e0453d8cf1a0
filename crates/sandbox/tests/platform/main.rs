//! The platform half of the sandbox over real HTTP: auth, recordings, machines, the
//! proxy, the database, telemetry.

#![allow(clippy::unwrap_used)]

mod auth;
mod database;
mod faults;
mod machines;
mod proxy;
mod recordings;
mod telemetry;

use interview_sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;
use std::time::Duration;

/// A sandbox with its own data folder, without rate limits.
struct World {
    sandbox: Sandbox,
    http: reqwest::Client,
    _data: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut options = SandboxOptions::new(data.path());
        options.rate_limits = false;
        options.min_part_bytes = 10;
        options.boot_time = Duration::from_millis(20);
        options.encoding_time = Duration::from_millis(100);
        change(&mut options);
        let sandbox = Sandbox::start(options).await.unwrap();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Self { sandbox, http, _data: data }
    }

    fn front(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.urls().front)
    }

    fn internal(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.urls().internal)
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
