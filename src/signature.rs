//! Signatures between our own processes: the gateway signs (Ed25519), a session's machine only verifies.
//!
//! The gateway's key pair is derived from `routing.secret`, which a session's machine must not have. So whoever takes over a
//! machine cannot speak as the gateway (ADR 0016).

use aws_lc_rs::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use aws_lc_rs::{hkdf, hmac};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;

/// Present and previous, while they are rotated.
pub const MAX_KEYS: usize = 2;
/// A change of it changes every key pair.
const PURPOSE: &[u8] = b"interview-runtime routing Ed25519";
const SEED_BYTES: usize = 32;

/// No key pair could be made of a secret; aws-lc has no reason to say so.
#[derive(Debug, thiserror::Error)]
#[error("no Ed25519 key pair can be derived from routing.secret")]
pub struct Underivable;

/// The gateway's key pairs: the one to sign with first, and the previous one while they are rotated. Cheap to clone.
#[derive(Clone)]
pub struct SigningKeys {
    current: Arc<Ed25519KeyPair>,
    previous: Option<Arc<Ed25519KeyPair>>,
}

impl SigningKeys {
    pub fn derive(current: &SecretString, previous: Option<&SecretString>) -> Result<Self, Underivable> {
        Ok(Self { current: derive(current)?, previous: previous.map(derive).transpose()? })
    }

    /// By the present key. `message` begins with what it is for, so that no signature serves two purposes.
    pub fn sign(&self, message: &str) -> String {
        signed(&self.current, message)
    }

    /// One signature by each key: a machine that knows only one of them finds its own.
    pub fn sign_by_each(&self, message: &str) -> impl Iterator<Item = String> {
        std::iter::once(&self.current).chain(&self.previous).map(move |key| signed(key, message))
    }

    /// What the machines get.
    pub fn public(&self) -> PublicKeys {
        let keys = std::iter::once(&self.current).chain(&self.previous);
        PublicKeys(keys.filter_map(|key| key.public_key().as_ref().try_into().ok()).collect())
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({})", self.public())
    }
}

fn signed(key: &Ed25519KeyPair, message: &str) -> String {
    BASE64URL_NOPAD.encode(key.sign(message.as_bytes()).as_ref())
}

/// The seed is HKDF-SHA256 (RFC 5869) of the secret, without salt.
fn derive(secret: &SecretString) -> Result<Arc<Ed25519KeyPair>, Underivable> {
    let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secret.expose_secret().as_bytes());
    let mut seed = [0u8; SEED_BYTES];
    pseudorandom.expand(&[PURPOSE], hkdf::HKDF_SHA256).and_then(|material| material.fill(&mut seed)).map_err(|_| Underivable)?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map(Arc::new).map_err(|_| Underivable)
}

/// What a machine knows of its gateway: at most [`MAX_KEYS`] public keys, as base64url and comma-separated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicKeys(Vec<[u8; ED25519_PUBLIC_KEY_LEN]>);

#[derive(Debug, thiserror::Error)]
pub enum MalformedKeys {
    #[error("key {0} is not a public key of `interview-runtime routing-public-keys`: 43 characters of base64url")]
    Key(usize),
    #[error("{0} keys, of which at most two are known: the present and the previous one")]
    TooMany(usize),
}

impl PublicKeys {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of these keys made it.
    pub fn verify(&self, message: &str, signature: &str) -> bool {
        let Ok(signature) = BASE64URL_NOPAD.decode(signature.as_bytes()) else { return false };
        self.0.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signature).is_ok())
    }
}

impl TryFrom<String> for PublicKeys {
    type Error = MalformedKeys;

    fn try_from(text: String) -> Result<Self, MalformedKeys> {
        let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.len() > MAX_KEYS {
            return Err(MalformedKeys::TooMany(words.len()));
        }
        let key = |(index, word): (usize, &&str)| {
            let bytes = BASE64URL_NOPAD.decode(word.as_bytes()).ok();
            bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(MalformedKeys::Key(index + 1))
        };
        words.iter().enumerate().map(key).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.0.iter().map(|key| BASE64URL_NOPAD.encode(key)).collect();
        f.write_str(&keys.join(","))
    }
}

/// An HMAC: whoever can check it can make it. So it is for what a gateway tells other gateways.
pub fn fingerprint(secret: &SecretString, message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    HEXLOWER.encode(hmac::sign(&key, message.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str) -> SigningKeys {
        SigningKeys::derive(&SecretString::from(secret), None).expect("a key pair")
    }

    fn read(text: &str) -> Result<PublicKeys, MalformedKeys> {
        PublicKeys::try_from(text.to_owned())
    }

    /// Computed by Python's `cryptography`: HKDF(SHA256(), 32, None, b"interview-runtime routing Ed25519").
    #[test]
    fn the_key_pair_follows_from_the_secret_as_documented() {
        assert_eq!(keys("0123456789abcdef0123456789abcdef").public().to_string(), "bfWojW5xEbNs-y_p87TTGTPhoc32MmgCwbFKv2mpwas");
    }

    #[test]
    fn only_the_public_key_of_the_signer_verifies() {
        let (ours, other) = (keys("first secret of thirty-two letters"), keys("other secret of thirty-two letters"));
        let signature = ours.sign("purpose.message");
        assert!(ours.public().verify("purpose.message", &signature));
        assert!(!ours.public().verify("purpose.another", &signature));
        assert!(!other.public().verify("purpose.message", &signature));
        assert!(!PublicKeys::default().verify("purpose.message", &signature), "no key admits nothing");
        for odd in ["", "zz", "====", &signature[1..]] {
            assert!(!ours.public().verify("purpose.message", odd), "{odd}");
        }
    }

    /// What a machine holds, used as a secret, makes the key pair of nobody.
    #[test]
    fn a_public_key_cannot_sign() {
        let ours = keys("first secret of thirty-two letters").public();
        let forged = keys(&ours.to_string());
        assert!(!ours.verify("purpose.message", &forged.sign("purpose.message")));
        let as_seed = Ed25519KeyPair::from_seed_unchecked(&ours.0[0]).expect("32 bytes are a seed");
        assert!(!ours.verify("purpose.message", &signed(&as_seed, "purpose.message")));
        let as_hmac = fingerprint(&SecretString::from(ours.to_string()), "purpose.message");
        assert!(!ours.verify("purpose.message", &as_hmac));
    }

    #[test]
    fn public_keys_are_read_as_they_are_written_and_nothing_else_is() {
        let (one, two) = (SecretString::from("one".repeat(11)), SecretString::from("two".repeat(11)));
        let both = SigningKeys::derive(&one, Some(&two)).expect("key pairs").public();
        assert_eq!(read(&both.to_string()).expect("two keys"), both);
        assert_eq!(read(&both.to_string().replace(',', " , ")).expect("with spaces"), both);
        assert!(read("").expect("none").is_empty());
        let good = keys("a secret").public().to_string();
        for bad in [
            "short".to_owned(),
            // What `openssl rand -hex 32` prints: a routing secret in the wrong place.
            "0123456789abcdef".repeat(4),
            format!("{good}="),
            good.replacen(char::is_alphanumeric, "*", 1),
            format!("{good},{}", &good[1..]),
            format!("{good},{good},{good}"),
        ] {
            let error = read(&bad).expect_err(&bad).to_string();
            assert!(!error.contains(&bad), "the value is not told, it may be a secret: {error}");
        }
    }
}
