//! The published keys, fetched when needed and never more often than we allow.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use http::Method;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{JwksOptions, JwtError, MAX_KEY_ID_BYTES};
use crate::error::Fault;
use crate::integrations::call_error::CallError;
use crate::integrations::http_client::{CallLimits, HttpClient, Vendor};

const MAX_JWKS_BYTES: usize = 64 * 1024;
/// A project has two or three keys.
const MAX_KEYS: usize = 16;
const MIN_RSA_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct KeyCache {
    http: HttpClient,
    options: JwksOptions,
    keys: RwLock<Arc<KeySet>>,
    /// Held while fetching, so that there is one fetch at a time.
    attempt: Mutex<LastAttempt>,
}

#[derive(Debug, Default)]
pub(super) struct KeySet {
    pub(super) keys: HashMap<String, Key>,
    /// `None` until the first fetch succeeds.
    fetched_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct LastAttempt {
    at: Option<Instant>,
    failure: Option<Arc<CallError>>,
}

#[derive(Clone)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.algorithm)
    }
}

#[derive(Deserialize)]
struct WireKeys {
    #[serde(default)]
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct WireKey {
    kid: String,
    kty: String,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
}

impl KeyCache {
    pub(super) fn new(http: HttpClient, options: JwksOptions) -> Self {
        Self { http, options, keys: RwLock::default(), attempt: Mutex::default() }
    }

    pub(super) fn snapshot(&self) -> Arc<KeySet> {
        // A poisoned lock still holds a whole key set: it is replaced at once.
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn get(&self, kid: &str) -> Result<Key, JwtError> {
        let set = self.snapshot();
        if set.is_younger_than(self.options.ttl)
            && let Some(key) = set.keys.get(kid)
        {
            return Ok(key.clone());
        }
        self.refresh(kid).await
    }

    pub(super) async fn refresh(&self, kid: &str) -> Result<Key, JwtError> {
        let asked = Instant::now();
        let mut attempt = match self.attempt.try_lock() {
            Ok(attempt) => attempt,
            // Somebody fetches already; an old key is good enough meanwhile.
            Err(_) => match self.stale(kid) {
                Some(key) => return Ok(key),
                None => self.attempt.lock().await,
            },
        };
        let set = self.snapshot();
        if set.is_younger_than(self.options.ttl)
            && let Some(key) = set.keys.get(kid)
        {
            return Ok(key.clone());
        }
        let interval = if set.keys.is_empty() && set.fetched_at.is_none() {
            self.options.empty_refetch_interval
        } else {
            self.options.refetch_interval
        };
        // Those who queued behind a fetch take its result, or the wait adds up.
        if attempt.at.is_none_or(|at| at < asked && at.elapsed() >= interval) {
            // Set before the fetch: a request that is dropped midway counts too.
            attempt.at = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => {
                    let fresh = Arc::new(KeySet { keys, fetched_at: Some(Instant::now()) });
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                    attempt.failure = None;
                }
                Err(error) => {
                    tracing::warn!(error_code = error.code().as_str(), "could not fetch the published keys");
                    attempt.failure = Some(Arc::new(error));
                }
            }
        }
        match self.stale(kid) {
            Some(key) => Ok(key),
            None if attempt.failure.is_some() || self.snapshot().fetched_at.is_none() => {
                Err(JwtError::JwksUnavailable(attempt.failure.clone()))
            }
            None => Err(JwtError::KeyUnknown),
        }
    }

    /// The key if it is not older than we accept while the provider is away.
    fn stale(&self, kid: &str) -> Option<Key> {
        let set = self.snapshot();
        if !set.is_younger_than(self.options.ttl + self.options.max_stale) {
            return None;
        }
        set.keys.get(kid).cloned()
    }

    async fn fetch(&self) -> Result<HashMap<String, Key>, CallError> {
        let limits = CallLimits {
            vendor: Vendor::Supabase,
            action: "fetch_jwks",
            deadline: self.options.fetch_deadline,
            max_body_bytes: MAX_JWKS_BYTES,
        };
        let request = self.http.request(Method::GET, self.options.jwks_url.clone());
        let answer = self.http.send(limits, request).await?;
        if !answer.status().is_success() {
            return Err(answer.failure(None));
        }
        let wire: WireKeys = answer.json()?;
        Ok(wire.keys.into_iter().filter_map(usable_key).take(MAX_KEYS).collect())
    }
}

impl KeySet {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.fetched_at.is_some_and(|at| at.elapsed() < age)
    }
}

/// Keys of other kinds are left out: a key set may hold keys for others.
fn usable_key(value: Value) -> Option<(String, Key)> {
    let key: WireKey = serde_json::from_value(value).ok()?;
    if key.usage.as_deref().is_some_and(|usage| usage != "sig") || key.kid.is_empty() || key.kid.len() > MAX_KEY_ID_BYTES {
        return None;
    }
    let alg = key.alg.as_deref();
    let (algorithm, decoding) = match (key.kty.as_str(), key.crv.as_deref()) {
        ("EC", Some("P-256")) if alg.is_none_or(|alg| alg == "ES256") => {
            (Algorithm::ES256, DecodingKey::from_ec_components(key.x.as_deref()?, key.y.as_deref()?).ok()?)
        }
        ("RSA", _) if alg.is_none_or(|alg| alg == "RS256") => {
            let modulus = key.n.as_deref()?;
            if BASE64URL_NOPAD.decode(modulus.as_bytes()).ok()?.len() < MIN_RSA_BYTES {
                return None;
            }
            (Algorithm::RS256, DecodingKey::from_rsa_components(modulus, key.e.as_deref()?).ok()?)
        }
        _ => return None,
    };
    Some((key.kid, Key { algorithm, decoding }))
}
