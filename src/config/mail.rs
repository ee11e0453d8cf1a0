//! The keys of `[mail]` and `[invites]`.

use super::{ConfigError, Sandbox, ms};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invites {
    pub longest_window_d: u64,
    pub token_ttl_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    pub smtp_url: SecretString,
    pub from: String,
    pub reply_to: String,
    timeout_ms: u64,
    retry_ms: u64,
    pub tries: u32,
    pub at_once: usize,
}

impl Invites {
    pub fn longest_window(&self) -> Duration {
        Duration::from_secs(self.longest_window_d.saturating_mul(24 * 3_600))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let not_allowed = |key, value: u64, allowed| Err(ConfigError::NotAllowed { key, value: value.to_string(), allowed });
        if !(1..=3_650).contains(&self.longest_window_d) {
            return not_allowed("invites.longest_window_d", self.longest_window_d, "1 to 3650");
        }
        if !(60..=3_600).contains(&self.token_ttl_s) {
            return not_allowed("invites.token_ttl_s", self.token_ttl_s, "60 to 3600");
        }
        Ok(())
    }
}

impl Mail {
    /// Whether mail can be sent at all.
    pub fn is_set(&self) -> bool {
        !self.smtp_url.expose_secret().is_empty()
    }

    pub fn timeout(&self) -> Duration {
        ms(self.timeout_ms)
    }

    pub fn retry(&self) -> Duration {
        ms(self.retry_ms)
    }

    /// Passwords and candidates' names never leave in the clear, except into the sandbox.
    pub(super) fn check(&self, sandbox: &Sandbox) -> Result<(), ConfigError> {
        let not_allowed = |key, value: &str, allowed| Err(ConfigError::NotAllowed { key, value: value.to_owned(), allowed });
        if !self.is_set() {
            return Ok(());
        }
        let allowed = "empty, smtps://user:password@host or smtp://user:password@host:587?tls=required";
        let Ok(url) = Url::parse(self.smtp_url.expose_secret()) else {
            return not_allowed("mail.smtp_url", "(no URL)", allowed);
        };
        let required = url.query_pairs().any(|(key, value)| key == "tls" && value == "required");
        match url.scheme() {
            _ if url.host_str().is_none() => return not_allowed("mail.smtp_url", "(no host)", allowed),
            "smtps" => {}
            "smtp" if required || sandbox.enabled => {}
            "smtp" => return not_allowed("mail.smtp_url", "(without TLS)", allowed),
            _ => return not_allowed("mail.smtp_url", "(another scheme)", allowed),
        }
        for (key, value) in [("mail.from", &self.from), ("mail.reply_to", &self.reply_to)] {
            let needed = key == "mail.from" || !value.is_empty();
            if needed && value.parse::<lettre::message::Mailbox>().is_err() {
                return not_allowed(key, value, "an address, such as \"Acme interviews <interviews@acme.example>\"");
            }
        }
        if !(1..=100).contains(&self.tries) {
            return not_allowed("mail.tries", &self.tries.to_string(), "1 to 100");
        }
        if !(1..=64).contains(&self.at_once) {
            return not_allowed("mail.at_once", &self.at_once.to_string(), "1 to 64");
        }
        Ok(())
    }
}
