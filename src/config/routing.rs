//! `[routing]`: how a WebSocket reaches its session's machine, and the keys that prove who sent it.

use super::{ConfigError, Sandbox, ms};
use crate::signature::{self, PublicKeys, SigningKeys, Underivable};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    pub mode: RoutingMode,
    secret: SecretString,
    previous_secret: SecretString,
    pub public_keys: PublicKeys,
    connect_timeout_ms: u64,
    upgrade_timeout_ms: u64,
    pub max_carried: usize,
    pub machine_address: String,
    private_resolver: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingMode {
    FlyReplay,
    #[serde(rename = "proxy_6pn")]
    Proxy6pn,
}

impl Routing {
    /// The gateway's; no other role has the secrets.
    pub fn signing_keys(&self) -> Result<SigningKeys, Underivable> {
        SigningKeys::derive(&self.secret, self.previous_secret())
    }

    /// Of what a standby machine is made with: the keys that it accepts, and its database. A pool is replaced when a key is rotated,
    /// and again when one is retired. Only gateways make it and compare it.
    pub fn standby_fingerprint(&self, database: &SecretString) -> String {
        let made_with = format!("standby-secrets.{}.{}", self.previous_secret.expose_secret(), database.expose_secret());
        signature::fingerprint(&self.secret, &made_with)
    }

    /// Still signed with, while it is replaced.
    fn previous_secret(&self) -> Option<&SecretString> {
        Some(&self.previous_secret).filter(|secret| !secret.expose_secret().is_empty())
    }

    pub(super) fn check_secrets(&self) -> Result<(), ConfigError> {
        let previous = self.previous_secret().map(|secret| ("routing.previous_secret", secret));
        for (key, secret) in std::iter::once(("routing.secret", &self.secret)).chain(previous) {
            let value = match secret.expose_secret().len() {
                0 => "(empty)",
                1..32 => "(too short)",
                _ => continue,
            };
            return Err(ConfigError::NotAllowed { key, value: value.into(), allowed: "at least 32 random characters" });
        }
        Ok(())
    }

    /// A session's machine verifies what the gateway signed. With a secret it could sign it itself.
    pub(super) fn check_machine(&self) -> Result<(), ConfigError> {
        let refused = |key, value: &str, allowed| Err(ConfigError::NotAllowed { key, value: value.into(), allowed });
        for (key, secret) in [("routing.secret", &self.secret), ("routing.previous_secret", &self.previous_secret)] {
            if !secret.expose_secret().is_empty() {
                return refused(
                    key,
                    "a value",
                    "nothing: only the gateway may have it, a session's machine gets routing.public_keys",
                );
            }
        }
        if self.public_keys.is_empty() {
            return refused(
                "routing.public_keys",
                "(empty)",
                "the gateway's keys, as `interview-runtime routing-public-keys` prints them",
            );
        }
        Ok(())
    }

    pub fn connect_timeout(&self) -> Duration {
        ms(self.connect_timeout_ms)
    }
    pub fn upgrade_timeout(&self) -> Duration {
        ms(self.upgrade_timeout_ms)
    }
    /// The sandbox's stand-in for the names of the private network.
    pub fn private_resolver(&self) -> Option<Url> {
        Url::parse(&self.private_resolver).ok()
    }

    pub(super) fn check(&self, sandbox: &Sandbox) -> Result<(), ConfigError> {
        let not_allowed = |key, value: &str, allowed| Err(ConfigError::NotAllowed { key, value: format!("{value:?}"), allowed });
        if self.connect_timeout_ms < 100 || self.connect_timeout_ms > 60_000 {
            return not_allowed("routing.connect_timeout_ms", &self.connect_timeout_ms.to_string(), "100 to 60000");
        }
        if self.max_carried == 0 || self.max_carried > 65_536 {
            return not_allowed("routing.max_carried", &self.max_carried.to_string(), "1 to 65536");
        }
        let port = self.machine_address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !port || !self.machine_address.contains("{machine_id}") {
            return not_allowed("routing.machine_address", &self.machine_address, "a host name with {machine_id}, and a port");
        }
        if !self.private_resolver.is_empty() && (!sandbox.enabled || self.private_resolver().is_none()) {
            let allowed = "empty; the address of the sandbox's resolver with sandbox.enabled = true";
            return not_allowed("routing.private_resolver", &self.private_resolver, allowed);
        }
        Ok(())
    }
}
