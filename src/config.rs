//! Configuration: config/default.toml, then a file, then the environment. It is checked once.

mod mail;
pub mod operator;
mod routing;

pub use self::mail::{Invites, Mail};
pub use self::operator::Operator;
pub use self::routing::{Routing, RoutingMode};
use crate::domain::placement::{Importance, Policy};
use crate::ids::TenantId;
use config::{Config as Sources, Environment, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// Fly sets it on each of its machines.
const FLY_MACHINE: &str = "FLY_MACHINE_ID";
const DEFAULTS: &str = include_str!("../config/default.toml");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub http: Http,
    pub tenant: Tenant,
    pub database: Database,
    pub openai: OpenAi,
    pub api_video: ApiVideo,
    pub supabase: Supabase,
    pub fly: Fly,
    pub keeper: Keeper,
    pub standby: Standby,
    pub routing: Routing,
    pub limits: Limits,
    pub interview: Interview,
    pub invites: Invites,
    pub mail: Mail,
    pub socket: Socket,
    pub outbox: OutboxLimits,
    pub session: Session,
    pub watchdog: Watchdog,
    pub telemetry: Telemetry,
    pub sandbox: Sandbox,
    pub operator: Operator,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub bind: SocketAddr,
    pub public_url: Url,
    allowed_origins: String,
    web_dir: String,
    websocket_url: String,
    /// Requests come through Fly's proxy, as the process runs on one of its machines.
    #[serde(skip)]
    pub behind_fly: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: SecretString,
    pub admin_url: SecretString,
    pub max_connections: u32,
    connect_timeout_ms: u64,
    pub statement_timeout_ms: u64,
    transaction_timeout_ms: u64,
    pub pooler: Pooler,
}

/// What stands between us and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooler {
    /// A server connection for each of ours, from its beginning to its end.
    None,
    /// A server connection for each transaction: nothing may stay behind on one.
    Transaction,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAi {
    pub base_url: Url,
    pub api_key: SecretString,
    pub model: String,
    pub transcription_model: String,
    pub transcription_fallback_model: String,
    pub default_voice: String,
    pub summary_model: String,
    call_timeout_ms: u64,
    sideband_timeout_ms: u64,
    summary_timeout_ms: u64,
    pub roll_over_before_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiVideo {
    pub base_url: Url,
    pub upload_url: Url,
    pub api_key: SecretString,
    pub webhook_secret: SecretString,
    timeout_ms: u64,
    poll_interval_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supabase {
    pub issuer: String,
    jwks_url: String,
    pub public_url: String,
    pub publishable_key: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fly {
    pub base_url: Url,
    pub api_token: SecretString,
    pub session_app: String,
    pub image: String,
    pub region: String,
    timeout_ms: u64,
    start_deadline_ms: u64,
    pub standard: MachineSize,
    pub high: MachineSize,
    pub critical: MachineSize,
    pub requests_per_s: f64,
    pub burst: u32,
    min_secrets_version: u64,
}

/// The guest of a machine, within what Fly sells.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSize {
    pub cpu_kind: CpuKind,
    pub cpus: u32,
    pub memory_mb: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuKind {
    /// A sixteenth of a CPU, more for a while.
    Shared,
    Performance,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keeper {
    interval_ms: u64,
    lost_after_ms: u64,
    stuck_after_ms: u64,
    end_within_ms: u64,
    pub max_attempts: u32,
    orphan_interval_ms: u64,
    orphan_grace_ms: u64,
    upload_grace_ms: u64,
    recording_check_ms: u64,
    pub recording_checks: u32,
    summary_retry_ms: u64,
    pub summary_tries: i32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standby {
    pub max: u32,
    pub min: u32,
    regions: String,
    demand_window_s: u64,
    start_timeout_ms: u64,
    check_interval_ms: u64,
    assign_timeout_ms: u64,
    max_idle_s: u64,
    unwanted_after_ms: u64,
}

/// docs/LIMITS.md says what each is counted by.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub gateway_connections: usize,
    pub session_connections: usize,
    head_timeout_ms: u64,
    body_timeout_ms: u64,
    pub address_requests_per_s: NonZeroU32,
    pub address_requests_burst: NonZeroU32,
    pub unseen_sessions_per_s: NonZeroU32,
    pub unseen_sessions_burst: NonZeroU32,
    pub invite_links_per_s: NonZeroU32,
    pub invite_links_burst: NonZeroU32,
    pub person_requests_per_s: NonZeroU32,
    pub person_requests_burst: NonZeroU32,
    pub tickets_per_s: NonZeroU32,
    pub tickets_burst: NonZeroU32,
    pub streams_per_person: usize,
    pub streams: usize,
    pub candidate_open_sessions: u32,
    pub candidate_sessions_per_day: u32,
    pub recruiter_sessions_per_day: u32,
    pub tenant_open_sessions: u32,
    pub ticketless_per_address: usize,
    pub ticketless: usize,
    pub shown_tickets_per_s: NonZeroU32,
    pub shown_tickets_burst: NonZeroU32,
    pub calls: u32,
    pub takes: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interview {
    pub absence_timeout_s: u64,
    pub longest_invitation_s: u64,
    pub grace_s: u64,
    pub default_duration_s: u64,
    pub max_duration_s: u64,
    pub last_words_s: u64,
    pub min_turns: usize,
    pub min_duration_s: u64,
    pub awaited_words_s: u64,
    pub recording_settle_s: u64,
    pub media_assumed_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Socket {
    pub heartbeat_interval_ms: u64,
    pub dead_after_ms: u64,
    pub ticket_ttl_s: u64,
    pub authenticate_timeout_ms: u64,
    pub frames_per_s: u32,
    pub frames_burst: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxLimits {
    pub max_records: usize,
    pub max_bytes: usize,
    pub batch_records: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Which of its session's machines this is; the gateway tells it to each that it makes.
    pub attempt: Option<i32>,
    pub heartbeat_interval_ms: u64,
    pub claim_timeout_ms: u64,
    pub shutdown_timeout_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    stall_after_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub otlp_endpoint: String,
    pub metrics_interval_ms: u64,
    pub log: String,
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    pub enabled: bool,
    pub fault_injection: bool,
}

/// Which command the configuration is for: each needs its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Session,
    Gateway,
    Migrate,
    Operator,
    /// To print the gateway's public keys.
    RoutingPublicKeys,
    /// Works on a tenant's plans, by its gateway's login.
    Plans,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration: {0}")]
    Read(#[from] config::ConfigError),
    #[error("configuration key {key}: {value} is not allowed; allowed: {allowed}")]
    NotAllowed { key: &'static str, value: String, allowed: &'static str },
    #[error("configuration key {key}: {value} is not understood ({why}); {about}")]
    NotUnderstood { key: String, value: String, why: String, about: String },
}

/// Name the key, the value and what is allowed; the last from the comments of the defaults.
fn explain(error: &config::ConfigError, sources: &config::Config) -> ConfigError {
    let told = error.to_string();
    let Some((why, key)) = told.split_once(" for key `").and_then(|(why, rest)| Some((why, rest.split('`').next()?))) else {
        return ConfigError::NotUnderstood {
            key: "(unknown)".into(),
            value: String::new(),
            why: told,
            about: "see config/default.toml".into(),
        };
    };
    let secret = ["api_key", "secret", "token", "url", "public_keys"].iter().any(|word| key.ends_with(word));
    let value = if secret {
        "the value".into()
    } else {
        sources.get_string(key).map_or_else(|_| "the value".into(), |value| format!("{value:?}"))
    };
    ConfigError::NotUnderstood { key: key.to_owned(), value, why: why.to_owned(), about: about(key) }
}

/// The comment and the default of a key in config/default.toml.
fn about(key: &str) -> String {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut comment = Vec::new();
    let mut inside = false;
    for line in DEFAULTS.lines() {
        if let Some(header) = line.strip_prefix('[') {
            inside = header.trim_end_matches(']') == section;
            comment.clear();
        } else if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if inside && line.split('=').next().map(str::trim) == Some(name) {
            let default = line.split_once('=').map_or("", |(_, default)| default.trim());
            comment.push("default");
            return format!("{} {default}", comment.join(" "));
        } else {
            comment.clear();
        }
    }
    "there is no such key".to_owned()
}

/// A year. A longer one is a slip, and too long to reckon with.
const LONGEST_S: u64 = 365 * 24 * 3_600;
/// What is done again and again leaves room for the rest.
const SHORTEST_INTERVAL_MS: f64 = 10.0;

/// The configuration as it came, before it is known what each value is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Section(BTreeMap<String, Raw>),
    Number(f64),
    Text(String),
    Other(IgnoredAny),
}

/// Durations are known by the end of their keys.
fn check_durations(sources: &Sources) -> Result<(), ConfigError> {
    fn look(path: &str, raw: &Raw, refused: &mut Vec<(String, &'static str)>) {
        let number = match raw {
            Raw::Section(keys) => return keys.iter().for_each(|(key, raw)| look(&format!("{path}.{key}"), raw, refused)),
            Raw::Number(number) => *number,
            Raw::Text(text) => text.parse().unwrap_or_default(),
            Raw::Other(_) => return,
        };
        let longest = match path.rsplit_once('_') {
            Some((_, "ms")) => LONGEST_S * 1_000,
            Some((front, "s")) if !front.ends_with("_per") => LONGEST_S,
            Some((_, "h")) => LONGEST_S / 3_600,
            _ => return,
        };
        if !(0.0..=longest as f64).contains(&number) {
            refused.push((path.trim_start_matches('.').to_owned(), "a duration is 0 to one year"));
        } else if path.ends_with("interval_ms") && number < SHORTEST_INTERVAL_MS {
            refused.push((path.trim_start_matches('.').to_owned(), "an interval is 10 ms or more"));
        }
    }
    let (raw, mut refused): (Raw, _) = (sources.clone().try_deserialize()?, Vec::new());
    look("", &raw, &mut refused);
    match refused.into_iter().next() {
        Some((key, why)) => Err(ConfigError::NotUnderstood {
            value: sources.get_string(&key).unwrap_or_default(),
            about: about(&key),
            why: why.to_owned(),
            key,
        }),
        None => Ok(()),
    }
}

impl Config {
    /// Read and check. `overrides` is the environment, or a stand-in for it in tests.
    pub fn load(
        file: Option<&Path>,
        role: Role,
        overrides: Option<std::collections::HashMap<String, String>>,
    ) -> Result<Self, ConfigError> {
        let behind_fly = match &overrides {
            Some(keys) => keys.contains_key(FLY_MACHINE),
            None => std::env::var_os(FLY_MACHINE).is_some(),
        };
        let environment =
            Environment::with_prefix("INTERVIEW").prefix_separator("__").separator("__").try_parsing(true).source(overrides);
        let mut sources = Sources::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(path) = file {
            sources = sources.add_source(File::from(path).format(FileFormat::Toml));
        }
        let sources = sources.add_source(environment).build()?;
        check_durations(&sources)?;
        let mut config: Self = sources.clone().try_deserialize().map_err(|error| explain(&error, &sources))?;
        config.http.behind_fly = behind_fly;
        config.check(role)?;
        Ok(config)
    }

    fn check(&self, role: Role) -> Result<(), ConfigError> {
        let not_allowed = |key, value: &str, allowed| Err(ConfigError::NotAllowed { key, value: format!("{value:?}"), allowed });
        let secret = |key, secret: &SecretString, allowed: &'static str| {
            if secret.expose_secret().is_empty() {
                Err(ConfigError::NotAllowed { key, value: "(empty)".into(), allowed })
            } else {
                Ok(())
            }
        };
        if role == Role::Migrate {
            return secret("database.admin_url", &self.database.admin_url, "postgres://owner:password@host:5432/database");
        }
        if role == Role::Operator {
            return self.check_operator();
        }
        if role == Role::RoutingPublicKeys {
            return self.routing.check_secrets();
        }
        self.check_database()?;
        self.check_counts()?;
        if self.tenant.id.0.is_nil() {
            return not_allowed("tenant.id", &self.tenant.id.to_string(), "the tenant's UUID");
        }
        if role == Role::Plans {
            return Ok(());
        }
        match role {
            Role::Session => self.routing.check_machine()?,
            _ => self.routing.check_secrets()?,
        }
        secret("openai.api_key", &self.openai.api_key, "a project key (sk-…)")?;
        secret("api_video.api_key", &self.api_video.api_key, "an api.video key")?;
        if self.sandbox.fault_injection && !self.sandbox.enabled {
            return not_allowed("sandbox.fault_injection", "true", "true only with sandbox.enabled = true");
        }
        if self.interview.default_duration_s == 0 || self.interview.default_duration_s > self.interview.max_duration_s {
            return not_allowed(
                "interview.default_duration_s",
                &self.interview.default_duration_s.to_string(),
                "1 to interview.max_duration_s",
            );
        }
        if self.interview.longest_invitation_s < self.interview.absence_timeout_s {
            return not_allowed(
                "interview.longest_invitation_s",
                &self.interview.longest_invitation_s.to_string(),
                "interview.absence_timeout_s or more",
            );
        }
        if self.telemetry.otlp_endpoint.contains("/v1/") {
            return not_allowed(
                "telemetry.otlp_endpoint",
                &self.telemetry.otlp_endpoint,
                "the collector's base, e.g. http://localhost:4318 (/v1/traces and /v1/metrics are appended)",
            );
        }
        if self.telemetry.metrics_interval_ms < 100 {
            return not_allowed("telemetry.metrics_interval_ms", &self.telemetry.metrics_interval_ms.to_string(), "100 or more");
        }
        if role == Role::Gateway {
            self.routing.check(&self.sandbox)?;
            let keeper = &self.keeper;
            if keeper.lost_after() <= self.session.heartbeat_interval() * 2 || keeper.stuck_after() < keeper.lost_after() {
                return not_allowed(
                    "keeper.lost_after_ms",
                    &keeper.lost_after_ms.to_string(),
                    "more than two of session.heartbeat_interval_ms, and no more than keeper.stuck_after_ms",
                );
            }
            self.fly.check(keeper)?;
            self.mail.check(&self.sandbox)?;
            self.invites.check()?;
            let standby = &self.standby;
            if standby.min > standby.max {
                return not_allowed("standby.min", &standby.min.to_string(), "0 to standby.max");
            }
            if standby.unwanted_after() < keeper.interval() * 4 {
                return not_allowed(
                    "standby.unwanted_after_ms",
                    &standby.unwanted_after_ms.to_string(),
                    "four of keeper.interval_ms or more",
                );
            }
            secret("fly.api_token", &self.fly.api_token, "a deploy token of the session app")?;
            for (key, value) in [
                ("fly.session_app", &self.fly.session_app),
                ("fly.image", &self.fly.image),
                ("supabase.issuer", &self.supabase.issuer),
            ] {
                if value.is_empty() {
                    return not_allowed(key, value, "a value");
                }
            }
        }
        Ok(())
    }

    /// What is held at once has its room beforehand, and none of it can be nothing.
    fn check_counts(&self) -> Result<(), ConfigError> {
        const MOST: usize = 1_000_000;
        let (limits, outbox) = (&self.limits, &self.outbox);
        let counts = [
            ("database.max_connections", self.database.max_connections as usize, MOST),
            ("routing.max_carried", self.routing.max_carried, MOST),
            ("limits.gateway_connections", limits.gateway_connections, MOST),
            ("limits.session_connections", limits.session_connections, MOST),
            ("limits.streams", limits.streams, MOST),
            ("limits.streams_per_person", limits.streams_per_person, MOST),
            ("limits.ticketless", limits.ticketless, MOST),
            ("limits.ticketless_per_address", limits.ticketless_per_address, MOST),
            ("outbox.max_records", outbox.max_records, MOST),
            ("outbox.batch_records", outbox.batch_records, MOST),
            ("outbox.max_bytes", outbox.max_bytes, usize::MAX),
        ];
        match counts.into_iter().find(|(_, count, most)| !(1..=*most).contains(count)) {
            Some((key, count, _)) => {
                Err(ConfigError::NotAllowed { key, value: count.to_string(), allowed: "1 to 1,000,000 (bytes: any but 0)" })
            }
            None => Ok(()),
        }
    }

    fn check_database(&self) -> Result<(), ConfigError> {
        let allowed = "postgres://role:password@host:5432/database; port 6543 only with database.pooler = \"transaction\"";
        let refused = |value: &str| Err(ConfigError::NotAllowed { key: "database.url", value: value.to_owned(), allowed });
        match Url::parse(self.database.url.expose_secret()) {
            Err(_) => refused("(no URL)"),
            Ok(url) if !matches!(url.scheme(), "postgres" | "postgresql") => refused("(another scheme)"),
            Ok(url) if url.port() == Some(6543) && self.database.pooler == Pooler::None => refused("port 6543"),
            Ok(_) => Ok(()),
        }
    }
}

const fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

impl Http {
    pub fn allowed_origins(&self) -> Vec<String> {
        self.allowed_origins.split(',').map(str::trim).filter(|o| !o.is_empty()).map(str::to_owned).collect()
    }
    pub fn web_dir(&self) -> Option<PathBuf> {
        (!self.web_dir.is_empty()).then(|| PathBuf::from(&self.web_dir))
    }
    /// The right side of what must be one of its kind everywhere: Message-IDs, entries of calendars.
    pub fn host(&self) -> &str {
        self.public_url.host_str().unwrap_or("localhost")
    }
    /// Where a candidate comes with an invite. The secret stands behind the `#`, which browsers do not send.
    pub fn invite_link(&self, secret: &str) -> String {
        format!("{}/#/i/{secret}", self.public_url.as_str().trim_end_matches('/'))
    }
    /// The address a browser opens its WebSocket at. Opaque to clients.
    pub fn websocket_url(&self, session: crate::ids::SessionId) -> String {
        if !self.websocket_url.is_empty() {
            return self.websocket_url.replace("{session_id}", &session.to_string());
        }
        let base = self.public_url.as_str().trim_end_matches('/').replacen("http", "ws", 1);
        format!("{base}/ws/{session}")
    }
}
impl Telemetry {
    /// Where a signal goes: `traces` or `metrics`.
    pub fn signal(&self, name: &str) -> String {
        format!("{}/v1/{name}", self.otlp_endpoint.trim_end_matches('/'))
    }
    pub fn metrics_interval(&self) -> Duration {
        ms(self.metrics_interval_ms)
    }
}

impl Database {
    pub fn connect_timeout(&self) -> Duration {
        ms(self.connect_timeout_ms)
    }
    pub fn transaction_timeout(&self) -> Duration {
        ms(self.transaction_timeout_ms)
    }
}
impl OpenAi {
    pub fn call_timeout(&self) -> Duration {
        ms(self.call_timeout_ms)
    }
    pub fn sideband_timeout(&self) -> Duration {
        ms(self.sideband_timeout_ms)
    }
    pub fn summary_timeout(&self) -> Duration {
        ms(self.summary_timeout_ms)
    }
}
impl ApiVideo {
    pub fn timeout(&self) -> Duration {
        ms(self.timeout_ms)
    }
    pub fn poll_interval(&self) -> Duration {
        ms(self.poll_interval_ms)
    }
}
impl Supabase {
    pub fn jwks_url(&self) -> String {
        if self.jwks_url.is_empty() { format!("{}/.well-known/jwks.json", self.issuer) } else { self.jwks_url.clone() }
    }
}
impl Fly {
    pub fn timeout(&self) -> Duration {
        ms(self.timeout_ms)
    }
    pub fn start_deadline(&self) -> Duration {
        ms(self.start_deadline_ms)
    }
    pub fn min_secrets_version(&self) -> Option<u64> {
        (self.min_secrets_version > 0).then_some(self.min_secrets_version)
    }
    pub fn size(&self, importance: Importance) -> &MachineSize {
        match importance {
            Importance::Standard => &self.standard,
            Importance::High => &self.high,
            Importance::Critical => &self.critical,
        }
    }

    fn check(&self, keeper: &Keeper) -> Result<(), ConfigError> {
        let not_allowed = |key, value: String, allowed| Err(ConfigError::NotAllowed { key, value, allowed });
        if self.region.parse::<Policy>().is_err() {
            let allowed = "region codes, aliases (us, eu, na, sa, apac) or any, comma-separated";
            return not_allowed("fly.region", format!("{:?}", self.region), allowed);
        }
        if self.start_deadline() < keeper.lost_after() {
            let allowed = "no less than keeper.lost_after_ms";
            return not_allowed("fly.start_deadline_ms", self.start_deadline_ms.to_string(), allowed);
        }
        let sizes = [("fly.standard", &self.standard), ("fly.high", &self.high), ("fly.critical", &self.critical)];
        match sizes.into_iter().find(|(_, size)| !size.is_sold()) {
            None => Ok(()),
            Some((key, size)) => {
                let allowed = "1, 2, 4, 8 or 16 cpus (shared: up to 8) with, each, 256 to 2048 MB (performance: 2048 to 8192 MB), in steps of 256";
                not_allowed(key, format!("{size:?}"), allowed)
            }
        }
    }
}
impl MachineSize {
    fn is_sold(&self) -> bool {
        let (cpus, least, most): (&[u32], u32, u32) = match self.cpu_kind {
            CpuKind::Shared => (&[1, 2, 4, 8], 256, 2_048),
            CpuKind::Performance => (&[1, 2, 4, 8, 16], 2_048, 8_192),
        };
        let fits = |memory: u32| memory >= least.saturating_mul(self.cpus) && memory <= most.saturating_mul(self.cpus);
        cpus.contains(&self.cpus) && fits(self.memory_mb) && self.memory_mb.is_multiple_of(256)
    }
}
impl CpuKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Performance => "performance",
        }
    }
}
impl Keeper {
    pub fn interval(&self) -> Duration {
        ms(self.interval_ms)
    }
    pub fn lost_after(&self) -> Duration {
        ms(self.lost_after_ms)
    }
    pub fn stuck_after(&self) -> Duration {
        ms(self.stuck_after_ms)
    }
    pub fn end_within(&self) -> Duration {
        ms(self.end_within_ms)
    }
    pub fn orphan_interval(&self) -> Duration {
        ms(self.orphan_interval_ms)
    }
    pub fn orphan_grace(&self) -> Duration {
        ms(self.orphan_grace_ms)
    }
    pub fn upload_grace(&self) -> Duration {
        ms(self.upload_grace_ms)
    }
    pub fn recording_check(&self) -> Duration {
        ms(self.recording_check_ms)
    }
    pub fn summary_retry(&self) -> Duration {
        ms(self.summary_retry_ms)
    }
}
impl Standby {
    /// Where pools are; `anywhere` when no regions are named. Empty: there are none.
    pub fn pools(&self, anywhere: &str) -> Vec<String> {
        let named: Vec<String> = self.regions.split(',').map(str::trim).filter(|r| !r.is_empty()).map(str::to_owned).collect();
        match (self.max, named.is_empty()) {
            (0, _) => Vec::new(),
            (_, true) => vec![anywhere.to_owned()],
            (_, false) => named,
        }
    }
    pub fn demand_window(&self) -> Duration {
        Duration::from_secs(self.demand_window_s)
    }
    pub fn start_timeout(&self) -> Duration {
        ms(self.start_timeout_ms)
    }
    pub fn check_interval(&self) -> Duration {
        ms(self.check_interval_ms)
    }
    pub fn assign_timeout(&self) -> Duration {
        ms(self.assign_timeout_ms)
    }
    pub fn max_idle(&self) -> Duration {
        Duration::from_secs(self.max_idle_s)
    }
    pub fn unwanted_after(&self) -> Duration {
        ms(self.unwanted_after_ms)
    }
}
impl Interview {
    /// Of an interview whose settings do not say.
    pub fn default_duration(&self) -> Duration {
        Duration::from_secs(self.default_duration_s)
    }
    /// For the whole of an interview, from when it is asked for to its last part: what is made for it lives so long.
    pub fn longest(&self, max_duration_s: u64) -> Duration {
        Duration::from_secs(self.longest_invitation_s.saturating_add(max_duration_s))
    }
}
impl Limits {
    pub fn head_timeout(&self) -> Duration {
        ms(self.head_timeout_ms)
    }
    pub fn body_timeout(&self) -> Duration {
        ms(self.body_timeout_ms)
    }
}
impl Session {
    pub fn heartbeat_interval(&self) -> Duration {
        ms(self.heartbeat_interval_ms)
    }
    pub fn claim_timeout(&self) -> Duration {
        ms(self.claim_timeout_ms)
    }
    pub fn shutdown_timeout(&self) -> Duration {
        ms(self.shutdown_timeout_ms)
    }
}
impl Watchdog {
    pub fn stall_after(&self) -> Duration {
        ms(self.stall_after_ms)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
