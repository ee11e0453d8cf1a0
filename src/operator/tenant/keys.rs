//! Secrets that are derived instead of stored: a run that was interrupted and runs again writes the same values, and they are
//! stored nowhere but at Fly.

use crate::domain::tenant_plan::Which;
use crate::ids::TenantId;
use aws_lc_rs::{digest, hmac, pbkdf2};
use data_encoding::{BASE64, HEXLOWER};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// As PostgreSQL's own default; the password is no human's, so more would protect nothing.
const SCRAM_ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");
const SALT_BYTES: usize = 16;

pub(super) struct Keys {
    root: hmac::Key,
    tenant: TenantId,
}

impl Keys {
    pub(super) fn new(root: &SecretString, tenant: TenantId) -> Self {
        Self { root: hmac::Key::new(hmac::HMAC_SHA256, root.expose_secret().as_bytes()), tenant }
    }

    fn derive(&self, purpose: &str) -> hmac::Tag {
        hmac::sign(&self.root, format!("interview-runtime.{purpose}.{}", self.tenant).as_bytes())
    }

    fn secret(&self, purpose: &str) -> SecretString {
        HEXLOWER.encode(self.derive(purpose).as_ref()).into()
    }

    /// Its purpose is not `routing`: those secrets were given to the sessions' machines too.
    pub(super) fn routing(&self, generation: u32) -> SecretString {
        self.secret(&format!("routing-signing.{generation}"))
    }

    pub(super) fn database_password(&self, which: Which) -> SecretString {
        self.secret(match which {
            Which::Gateway => "database.gateway",
            Which::Session => "database.session",
        })
    }

    /// What PostgreSQL keeps of the password: it can check it with this, and nobody can sign in with it.
    pub(super) fn database_verifier(&self, which: Which) -> SecretString {
        let salt = self.derive(match which {
            Which::Gateway => "database-salt.gateway",
            Which::Session => "database-salt.session",
        });
        scram_verifier(&self.database_password(which), &salt.as_ref()[..SALT_BYTES]).into()
    }

    /// Tells two sets of secrets apart without telling what is in them.
    pub(super) fn fingerprint(&self, values: &BTreeMap<String, SecretString>) -> String {
        let mut context = hmac::Context::with_key(&self.root);
        for (name, value) in values {
            for part in [name.as_str(), value.expose_secret()] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part.as_bytes());
            }
        }
        HEXLOWER.encode(&context.sign().as_ref()[..16])
    }
}

/// RFC 5803, as PostgreSQL writes it.
fn scram_verifier(password: &SecretString, salt: &[u8]) -> String {
    let mut salted = [0u8; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, SCRAM_ITERATIONS, salt, password.expose_secret().as_bytes(), &mut salted);
    let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&salted, b"Server Key");
    format!(
        "SCRAM-SHA-256${SCRAM_ITERATIONS}:{}${}:{}",
        BASE64.encode(salt),
        BASE64.encode(stored.as_ref()),
        BASE64.encode(server.as_ref())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn keys(tenant: u128) -> Keys {
        Keys::new(&SecretString::from("0123456789abcdef0123456789abcdef"), TenantId(Uuid::from_u128(tenant)))
    }

    #[test]
    fn derived_secrets_are_the_same_each_time_and_another_for_each_tenant_and_generation() {
        let all = [
            keys(1).routing(1),
            keys(1).routing(2),
            keys(2).routing(1),
            keys(1).database_password(Which::Gateway),
            keys(1).database_password(Which::Session),
            keys(2).database_password(Which::Session),
        ];
        for (index, secret) in all.iter().enumerate() {
            assert_eq!(secret.expose_secret().len(), 64);
            assert!(all[..index].iter().all(|other| other.expose_secret() != secret.expose_secret()));
        }
        assert_eq!(keys(1).routing(1).expose_secret(), all[0].expose_secret());
    }

    #[test]
    fn a_fingerprint_changes_with_each_name_and_value() {
        let print = |pairs: &[(&str, &str)]| {
            keys(1).fingerprint(&pairs.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect())
        };
        let all = [print(&[("A", "1")]), print(&[("A", "2")]), print(&[("A1", "")]), print(&[("A", "1"), ("B", "")])];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one));
        }
    }

    /// The example of RFC 7677.
    #[test]
    fn the_verifier_is_the_one_of_the_standard() {
        let salt = BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = scram_verifier(&SecretString::from("pencil"), &salt);
        assert_eq!(
            verifier,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }
}
