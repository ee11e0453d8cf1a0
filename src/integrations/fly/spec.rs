//! The body of the request that creates a machine. Fly silently ignores unknown fields. So everything is typed, and a test
//! compares it with the wire form.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineSpec {
    /// Unique in its app: this is what makes creation idempotent.
    pub name: String,
    /// One code or several in order of preference: `iad,us,any`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    pub skip_launch: bool,
    /// The machine does not boot with secrets older than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_secrets_version: Option<u64>,
    pub config: MachineConfig,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineConfig {
    /// By digest.
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    pub env: BTreeMap<String, String>,
    pub guest: Guest,
    pub auto_destroy: bool,
    pub restart: Restart,
    pub stop_config: StopConfig,
    /// Without Fly's own keys: a deployment would else adopt the machine.
    pub metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MachineMetrics>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Init {
    pub cmd: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guest {
    pub cpu_kind: String,
    pub cpus: u32,
    /// In steps of 256.
    pub memory_mb: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restart {
    pub policy: RestartPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    No,
    Always,
    OnFailure,
}

/// Fly's defaults are SIGINT and five seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopConfig {
    pub signal: String,
    /// As `60s`, up to `300s`: a bare number would mean nanoseconds.
    pub timeout: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    pub protocol: String,
    pub internal_port: u16,
    /// False for a session: a stray request must not wake a finished one.
    pub autostart: bool,
    pub autostop: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    pub ports: Vec<Port>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<ServiceCheck>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Concurrency {
    #[serde(rename = "type")]
    pub kind: String,
    pub soft_limit: u32,
    pub hard_limit: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    pub port: u16,
    pub handlers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_https: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceCheck {
    #[serde(rename = "type")]
    pub kind: String,
    pub port: u16,
    pub method: String,
    pub path: String,
    pub interval: String,
    pub timeout: String,
    pub grace_period: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineMetrics {
    pub port: u16,
    pub path: String,
}

impl Service {
    /// HTTP and WebSockets behind Fly's proxy, with the proxy's health check.
    pub fn web(internal_port: u16, health_path: &str) -> Self {
        let port = |port, handlers: &[&str], force_https| Port {
            port,
            handlers: handlers.iter().map(|&handler| handler.to_owned()).collect(),
            force_https,
        };
        Self {
            protocol: "tcp".to_owned(),
            internal_port,
            autostart: false,
            autostop: "off".to_owned(),
            concurrency: Some(Concurrency { kind: "connections".to_owned(), soft_limit: 20, hard_limit: 50 }),
            ports: vec![port(443, &["tls", "http"], None), port(80, &["http"], Some(true))],
            checks: vec![ServiceCheck {
                kind: "http".to_owned(),
                port: internal_port,
                method: "GET".to_owned(),
                path: health_path.to_owned(),
                interval: "15s".to_owned(),
                timeout: "2s".to_owned(),
                grace_period: "5s".to_owned(),
            }],
        }
    }
}
