//! Gives a standby machine its session, over the tenant's private network.
//!
//! An assignment names one session for one machine. The tenant's gateway signs it, and the machine knows only the public key
//! (`signature.rs`). It contains nothing else: the session's data is in the database, and the rest of a machine's environment
//! is the same for all sessions.

use super::call_error::{CallError, CallErrorKind};
use super::http_client::{CallLimits, HttpClient, Vendor};
use crate::clock;
use crate::ids::{MachineId, SessionId};
use crate::signature::{PublicKeys, SigningKeys};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

/// An assignment is answered at once; this is for clocks that differ.
const LIFETIME_S: i64 = 60;
const MAX_ANSWER_BYTES: usize = 4 * 1024;

/// The body of `POST /assign`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    pub session_id: SessionId,
    /// Unix seconds.
    pub expires: i64,
    pub nonce: Uuid,
    pub signature: String,
}

impl Assignment {
    pub fn sign(keys: &SigningKeys, machine: &MachineId, session: SessionId, now: OffsetDateTime) -> Self {
        let mut unsigned = Self {
            session_id: session,
            expires: now.unix_timestamp() + LIFETIME_S,
            nonce: Uuid::new_v4(),
            signature: String::new(),
        };
        unsigned.signature = keys.sign(&unsigned.message(machine));
        unsigned
    }

    /// Whether our gateway made it, for this machine, a moment ago.
    pub fn is_valid(&self, keys: &PublicKeys, machine: &MachineId, now: OffsetDateTime) -> bool {
        keys.verify(&self.message(machine), &self.signature) && self.expires >= now.unix_timestamp()
    }

    fn message(&self, machine: &MachineId) -> String {
        format!("standby-assign.{machine}.{}.{}.{}", self.session_id, self.expires, self.nonce)
    }
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct AssignClient {
    http: HttpClient,
    keys: SigningKeys,
    deadline: Duration,
}

impl AssignClient {
    pub fn new(http: HttpClient, keys: SigningKeys, deadline: Duration) -> Self {
        Self { http, keys, deadline }
    }

    /// Not safe to repeat: an answer that was lost may have been a yes.
    pub async fn assign(&self, at: SocketAddr, machine: &MachineId, session: SessionId) -> Result<(), CallError> {
        let limits = self.limits("assign_machine");
        let body = Assignment::sign(&self.keys, machine, session, clock::now());
        let request = self.http.request(Method::POST, url(limits, at, "/assign")?).json(&body);
        let answer = self.http.send(limits, request).await?;
        if answer.status() == StatusCode::ACCEPTED { Ok(()) } else { Err(answer.failure(None)) }
    }

    /// Whether a machine waits for its session.
    pub async fn is_ready(&self, at: SocketAddr) -> Result<bool, CallError> {
        let limits = self.limits("check_machine");
        let request = self.http.request(Method::GET, url(limits, at, "/readyz")?);
        Ok(self.http.send(limits, request).await?.status().is_success())
    }

    fn limits(&self, action: &'static str) -> CallLimits {
        CallLimits { vendor: Vendor::Machine, action, deadline: self.deadline, max_body_bytes: MAX_ANSWER_BYTES }
    }
}

fn url(limits: CallLimits, at: SocketAddr, path: &str) -> Result<Url, CallError> {
    Url::parse(&format!("http://{at}{path}"))
        .map_err(|_| CallError::new(limits, CallErrorKind::Unexpected("the machine's address makes no URL")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    fn keys(secret: &str) -> SigningKeys {
        SigningKeys::derive(&SecretString::from(secret), None).expect("a key pair")
    }

    #[test]
    fn an_assignment_is_for_one_machine_one_session_and_a_minute() {
        let (machine, session) = (MachineId::from("148e"), SessionId(Uuid::now_v7()));
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let signer = keys("0123456789abcdef0123456789abcdef");
        let ours = signer.public();
        let good = Assignment::sign(&signer, &machine, session, now);
        assert!(good.is_valid(&ours, &machine, now));
        assert!(!good.is_valid(&ours, &MachineId::from("148f"), now));
        assert!(!good.is_valid(&keys("another secret of another tenant").public(), &machine, now));
        assert!(!good.is_valid(&ours, &machine, now + time::Duration::seconds(LIFETIME_S + 1)));
        // With what the machine has, taken for a secret.
        assert!(!Assignment::sign(&keys(&ours.to_string()), &machine, session, now).is_valid(&ours, &machine, now));
        for changed in [
            Assignment { session_id: SessionId(Uuid::now_v7()), ..good.clone() },
            Assignment { expires: good.expires + 1, ..good.clone() },
            Assignment { nonce: Uuid::new_v4(), ..good.clone() },
            Assignment { signature: "zz".to_owned(), ..good.clone() },
            Assignment { signature: String::new(), ..good },
        ] {
            assert!(!changed.is_valid(&ours, &machine, now), "{changed:?}");
        }
    }
}
