//! The operator's configuration, and which part of it a tenant's machines get.

use super::{Config, ConfigError, DEFAULTS, Role, explain};
use config::{Config as Sources, Environment, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    pub org: String,
    pub root_key: SecretString,
    pub door_url: String,
    /// Where the door is, when its name does not lead there.
    pub door_address: String,
    pub gateways: u8,
    pub gateway_memory_mb: u32,
    pub deploy_token_life_h: u32,
    healthy_within_s: u64,
    drain_s: u64,
}

impl Operator {
    pub fn door_url(&self, app: &str) -> String {
        self.door_url.replace("{app}", app).trim_end_matches('/').to_owned()
    }
    pub fn healthy_within(&self) -> Duration {
        Duration::from_secs(self.healthy_within_s)
    }
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_s)
    }
}

/// Keys with their values, as environment variables.
pub type Settings = BTreeMap<String, SecretString>;

/// Sections and keys that are the operator's own, or different for each tenant.
const KEPT: [&str; 13] = [
    "operator.",
    "tenant.",
    "routing.secret",
    "routing.previous_secret",
    "routing.public_keys",
    "database.url",
    "database.admin_url",
    "fly.api_token",
    "fly.session_app",
    "fly.image",
    "fly.region",
    "fly.min_secrets_version",
    "http.",
];
/// Of the section `http` these are the same for all tenants.
const SHARED: [&str; 1] = ["http.web_dir"];

impl Config {
    /// As [`Config::load`], with a second file (TOML) of secrets over the first; and what the
    /// configuration sets beyond the defaults, which every tenant's machines get.
    pub fn load_operator(
        file: Option<&Path>,
        secrets: Option<&str>,
        overrides: Option<HashMap<String, String>>,
    ) -> Result<(Self, Settings), ConfigError> {
        let own_environment = overrides.is_none();
        let environment =
            Environment::with_prefix("INTERVIEW").prefix_separator("__").separator("__").try_parsing(true).source(overrides);
        let mut sources = Sources::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(path) = file {
            sources = sources.add_source(File::from(path).format(FileFormat::Toml));
        }
        if let Some(text) = secrets {
            sources = sources.add_source(File::from_str(text, FileFormat::Toml));
        }
        let sources = sources.add_source(environment).build()?;
        let mut config: Self = sources.clone().try_deserialize().map_err(|error| explain(&error, &sources))?;
        if own_environment {
            config.take_fly_token();
        }
        config.check(Role::Operator)?;
        let defaults = Sources::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml)).build()?;
        let (all, defaults) = (leaves(&sources)?, leaves(&defaults)?);
        let settings = all
            .into_iter()
            .filter(|(key, value)| defaults.get(key) != Some(value))
            .filter(|(key, _)| SHARED.contains(&key.as_str()) || !KEPT.iter().any(|kept| key.starts_with(kept)))
            .map(|(key, value)| (variable(&key), SecretString::from(value)))
            .collect();
        Ok((config, settings))
    }

    /// The configuration with what is wrong with it, for `doctor`; none when it cannot be read.
    pub fn examine(file: Option<&Path>, role: Role) -> (Option<Self>, Option<ConfigError>) {
        let environment = Environment::with_prefix("INTERVIEW").prefix_separator("__").separator("__").try_parsing(true);
        let mut sources = Sources::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(path) = file {
            sources = sources.add_source(File::from(path).format(FileFormat::Toml));
        }
        let sources = match sources.add_source(environment).build() {
            Ok(sources) => sources,
            Err(error) => return (None, Some(error.into())),
        };
        match sources.clone().try_deserialize::<Self>() {
            Ok(mut config) => {
                config.take_fly_token();
                let wrong = config.check(role).err();
                (Some(config), wrong)
            }
            Err(error) => (None, Some(explain(&error, &sources))),
        }
    }

    /// Where Fly's own tools look for it.
    fn take_fly_token(&mut self) {
        if self.fly.api_token.expose_secret().is_empty() {
            self.fly.api_token = std::env::var("FLY_API_TOKEN").unwrap_or_default().into();
        }
    }

    pub(super) fn check_operator(&self) -> Result<(), ConfigError> {
        let not_allowed = |key, value: &str, allowed| Err(ConfigError::NotAllowed { key, value: value.to_owned(), allowed });
        let operator = &self.operator;
        if operator.root_key.expose_secret().len() < 32 {
            return not_allowed(
                "operator.root_key",
                "(too short)",
                "at least 32 random characters, e.g. of `openssl rand -hex 32`",
            );
        }
        if operator.org.is_empty() {
            return not_allowed("operator.org", "(empty)", "the slug of the Fly organisation (`fly orgs list`)");
        }
        if !(1..=9).contains(&operator.gateways) {
            return not_allowed("operator.gateways", &operator.gateways.to_string(), "1 to 9");
        }
        if operator.deploy_token_life_h == 0 {
            return not_allowed("operator.deploy_token_life_h", "0", "1 or more");
        }
        if self.fly.api_token.expose_secret().is_empty() {
            let allowed = "an organisation token (`fly tokens create org`), in FLY_API_TOKEN or fly.api_token";
            return not_allowed("fly.api_token", "(empty)", allowed);
        }
        for (key, secret, allowed) in [
            ("database.admin_url", &self.database.admin_url, "postgres://owner:password@host:5432/database"),
            ("openai.api_key", &self.openai.api_key, "a project key (sk-…)"),
            ("api_video.api_key", &self.api_video.api_key, "an api.video key"),
        ] {
            if secret.expose_secret().is_empty() {
                return not_allowed(key, "(empty)", allowed);
            }
        }
        // The lock that keeps two runs apart is a connection's, and a transaction pooler's are nobody's.
        if url::Url::parse(self.database.admin_url.expose_secret()).is_ok_and(|url| url.port() == Some(6543)) {
            return not_allowed("database.admin_url", "port 6543", "a direct address (port 5432), not a transaction pooler");
        }
        self.check_database()
    }
}

/// All values by their dotted keys, as text.
fn leaves(sources: &Sources) -> Result<BTreeMap<String, String>, config::ConfigError> {
    let tree: Value = sources.clone().try_deserialize()?;
    let mut found = BTreeMap::new();
    collect("", &tree, &mut found);
    Ok(found)
}

fn collect(key: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                collect(&if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, inner, into);
            }
        }
        Value::String(text) => drop(into.insert(key.to_owned(), text.clone())),
        other => drop(into.insert(key.to_owned(), other.to_string())),
    }
}

/// `openai.api_key` as its environment variable.
pub fn variable(key: &str) -> String {
    format!("INTERVIEW__{}", key.replace('.', "__").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(more: &[(&str, &str)]) -> HashMap<String, String> {
        let mut all: HashMap<String, String> = [
            ("INTERVIEW__OPERATOR__ORG", "ours"),
            ("INTERVIEW__OPERATOR__ROOT_KEY", "0123456789abcdef0123456789abcdef"),
            ("INTERVIEW__FLY__API_TOKEN", "fm2_hidden"),
            ("INTERVIEW__DATABASE__URL", "postgres://interview_runtime:hidden@localhost:5432/db"),
            ("INTERVIEW__DATABASE__ADMIN_URL", "postgres://postgres:hidden@localhost:5432/db"),
            ("INTERVIEW__OPENAI__API_KEY", "sk-hidden"),
            ("INTERVIEW__API_VIDEO__API_KEY", "hidden"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        all.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        all
    }

    #[test]
    fn a_tenant_gets_what_is_set_beyond_the_defaults_and_nothing_of_the_operators_own() {
        let more = [("INTERVIEW__OPENAI__MODEL", "gpt-realtime-2.1-mini"), ("INTERVIEW__OPENAI__CALL_TIMEOUT_MS", "10000")];
        let secrets = "[supabase]\nissuer = \"https://x.test/auth/v1\"\n[telemetry]\nmetrics_interval_ms = 5000\n";
        let (_, settings) = Config::load_operator(None, Some(secrets), Some(keys(&more))).expect("valid");
        let names: Vec<&str> = settings.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "INTERVIEW__API_VIDEO__API_KEY",
                "INTERVIEW__OPENAI__API_KEY",
                "INTERVIEW__OPENAI__MODEL",
                "INTERVIEW__SUPABASE__ISSUER",
                "INTERVIEW__TELEMETRY__METRICS_INTERVAL_MS",
            ]
        );
        assert_eq!(settings["INTERVIEW__TELEMETRY__METRICS_INTERVAL_MS"].expose_secret(), "5000");
        assert!(!format!("{settings:?}").contains("hidden"));
    }

    #[test]
    fn the_owner_does_not_come_through_a_transaction_pooler() {
        let pooled = [("INTERVIEW__DATABASE__ADMIN_URL", "postgres://postgres:hidden@localhost:6543/db")];
        let error = Config::load_operator(None, None, Some(keys(&pooled))).expect_err("refused").to_string();
        assert!(error.contains("port 6543") && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn a_missing_key_is_named_with_what_to_do() {
        for (key, told) in [
            ("INTERVIEW__FLY__API_TOKEN", "fly tokens create org"),
            ("INTERVIEW__OPERATOR__ROOT_KEY", "openssl rand"),
            ("INTERVIEW__OPERATOR__ORG", "fly orgs list"),
            ("INTERVIEW__DATABASE__ADMIN_URL", "database.admin_url"),
        ] {
            let error = Config::load_operator(None, None, Some(keys(&[(key, "")]))).expect_err(key).to_string();
            assert!(error.contains(told) && !error.contains("hidden"), "{error}");
        }
    }
}
