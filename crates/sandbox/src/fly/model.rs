//! Apps, machines and their events, in Fly's own words.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::util::{now, random_bytes, rfc3339, unix_ms};

const MAX_EVENTS: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineState {
    Created,
    Starting,
    Started,
    Restarting,
    Stopping,
    Stopped,
    Failed,
    Destroying,
    Destroyed,
}

impl MachineState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
        }
    }

    /// `wait?state=settled`: any state that lasts.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Started | Self::Stopped | Self::Failed | Self::Destroyed)
    }

    pub fn is_gone(self) -> bool {
        matches!(self, Self::Destroying | Self::Destroyed)
    }
}

#[derive(Clone, Debug, Default)]
pub struct App {
    pub name: String,
    pub org: String,
    pub network: String,
    pub secrets: BTreeMap<String, String>,
    pub secrets_version: u64,
    /// Type and address. Without a public one the app cannot be reached from outside.
    pub addresses: Vec<(String, String)>,
    /// Network policies as they came, each with its id.
    pub policies: BTreeMap<String, Value>,
}

impl App {
    pub fn is_public(&self) -> bool {
        self.addresses.iter().any(|(kind, _)| matches!(kind.as_str(), "v4" | "v6" | "shared_v4"))
    }
}

/// The fields of `config` that the stand-in acts on. The whole is kept as it came.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    pub image: String,
    pub env: BTreeMap<String, String>,
    pub init: Init,
    pub auto_destroy: bool,
    pub restart: Option<Restart>,
    pub stop_config: StopConfig,
    pub metadata: BTreeMap<String, String>,
    pub services: Vec<Service>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Init {
    pub cmd: Vec<String>,
    pub entrypoint: Vec<String>,
    pub exec: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Restart {
    #[serde(default = "on_failure")]
    pub policy: String,
    pub max_retries: Option<u32>,
}

fn on_failure() -> String {
    "on-failure".into()
}

impl Restart {
    /// What Fly assumes without a `restart` object.
    pub fn assumed() -> Self {
        Self { policy: on_failure(), max_retries: None }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StopConfig {
    pub signal: Option<String>,
    pub timeout: Option<FlyDuration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub protocol: String,
    pub internal_port: u16,
    pub autostart: Option<bool>,
    pub ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Port {
    pub port: Option<u16>,
    pub handlers: Vec<String>,
}

/// `"15s"`, `"1m30s"`, `"500ms"`, or a number of nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlyDuration(pub Duration);

impl<'de> Deserialize<'de> for FlyDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = match &value {
            Value::Number(number) => number.as_u64().map(Duration::from_nanos),
            Value::String(text) => read_duration(text),
            _ => None,
        };
        read.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{value} is not a duration")))
    }
}

fn read_duration(text: &str) -> Option<Duration> {
    let (mut total, mut rest) = (Duration::ZERO, text.trim());
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number * unit).ok()?;
        rest = &rest[end..];
    }
    Some(total)
}

#[derive(Clone, Debug)]
pub struct MachineEvent {
    pub id: String,
    pub kind: &'static str,
    pub status: &'static str,
    pub source: &'static str,
    pub at: OffsetDateTime,
    pub request: Value,
}

impl MachineEvent {
    pub fn json(&self) -> Value {
        let mut event = json!({
            "id": self.id, "type": self.kind, "status": self.status,
            "source": self.source, "timestamp": unix_ms(self.at)
        });
        if !self.request.is_null() {
            event["request"] = self.request.clone();
        }
        event
    }
}

#[derive(Clone, Debug)]
pub struct Lease {
    pub nonce: String,
    pub owner: String,
    pub description: String,
    pub expires: OffsetDateTime,
}

/// What changes about a machine.
#[derive(Clone, Debug)]
pub struct Status {
    pub state: MachineState,
    pub config: Config,
    pub raw_config: Value,
    /// Version of the configuration: new with every update.
    pub instance_id: String,
    pub updated: OffsetDateTime,
    /// Newest first, as the API gives them.
    pub events: VecDeque<MachineEvent>,
    pub lease: Option<Lease>,
    pub cordoned: bool,
    /// Where the services listen: the machine's own loopback address.
    pub address: Option<SocketAddr>,
    pub pid: Option<u32>,
    pub restarts: u32,
    /// Its host cannot be reached: Fly tells no configuration, and a destruction waits.
    pub unreachable: bool,
    /// `destroying` for a while longer, though waiting for `destroyed` is over.
    pub lingers: bool,
}

impl Status {
    pub fn note(&mut self, kind: &'static str, status: &'static str, source: &'static str, request: Value) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_back();
        }
        self.updated = now();
        self.events.push_front(MachineEvent { id: ulid(), kind, status, source, at: self.updated, request });
    }
}

/// The port behind an external port; a machine is only reachable through a service.
pub fn internal_port(config: &Config, external: u16) -> Option<u16> {
    config
        .services
        .iter()
        .find(|service| service.ports.iter().any(|port| port.port == Some(external)))
        .map(|service| service.internal_port)
}

/// 26 characters, sortable by time.
pub fn ulid() -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let at = u128::try_from(unix_ms(now())).unwrap_or_default();
    let random = u128::from_be_bytes(random_bytes::<16>()) >> 48;
    let number = (at << 80) | random;
    (0..26u32).rev().map(|place| LETTERS[(number >> (place * 5)) as usize & 31] as char).collect()
}

pub fn image_ref(image: &str) -> Value {
    let (path, digest) = image.split_once('@').unwrap_or((image, ""));
    let (registry, rest) = path.split_once('/').unwrap_or(("docker-hub-mirror.fly.io", path));
    let (repository, tag) = rest.split_once(':').unwrap_or((rest, ""));
    json!({ "registry": registry, "repository": repository, "tag": tag, "digest": digest })
}

pub fn timestamp(at: OffsetDateTime) -> String {
    rfc3339(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_in_all_three_forms() {
        let read = |value: Value| serde_json::from_value::<FlyDuration>(value).map(|duration| duration.0).ok();
        assert_eq!(read(json!("15s")), Some(Duration::from_secs(15)));
        assert_eq!(read(json!("1m30s")), Some(Duration::from_secs(90)));
        assert_eq!(read(json!("500ms")), Some(Duration::from_millis(500)));
        assert_eq!(read(json!(5_000_000_000u64)), Some(Duration::from_secs(5)));
        assert_eq!(read(json!("soon")), None);
        assert_eq!(read(json!("")), None);
    }

    #[test]
    fn ulids_are_sortable_by_time() {
        let first = ulid();
        std::thread::sleep(Duration::from_millis(3));
        let second = ulid();
        assert_eq!(first.len(), 26);
        assert!(first < second);
    }
}
