//! Clients for everything outside this process. A client gives each call one deadline. It never retries and never spawns: the
//! caller (an actor) does both. Errors carry a class, a stable code, the vendor's request id and, where the vendor named one,
//! the time to wait.

pub mod api_video;
pub mod assign;
pub mod call_error;
pub mod clients;
pub mod fly;
pub mod http_client;
pub mod mail;
pub mod openai;
pub mod private_network;
pub mod store;
pub mod supabase;
pub mod vendor_call;

#[cfg(test)]
pub(crate) mod test_server;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that must not reach a log or a span: a candidate's words, a playback URL
/// with its one-use token. It prints as its length; reading it is spelled out.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted(String);

impl Redacted {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl From<String> for Redacted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Redacted {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
