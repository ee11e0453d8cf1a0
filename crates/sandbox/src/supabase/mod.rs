//! Supabase Auth (GoTrue) as a browser and a backend see it: sign-in, refresh, one-time
//! codes, PKCE, JWKS. Paths, bodies and errors are GoTrue's own, so the real
//! `@supabase/supabase-js` signs in here.

mod routes;
mod store;
mod tokens;

use std::sync::{Arc, Mutex};

use axum::Router;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use self::store::Store;
use self::tokens::SigningKey;
pub use self::tokens::{MintKey, MintOptions};
use crate::util::{lock, random_hex};

pub const VENDOR: &str = "supabase";

/// The name of a route, for faults.
pub(crate) fn route_name(_: &http::Method, path: &str) -> &'static str {
    routes::route_name(path)
}

/// Somebody who may sign in, as `users.json` has them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct User {
    pub id: Uuid,
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub app_metadata: Value,
}

impl User {
    /// The users that come with the sandbox.
    pub fn built_in() -> Vec<Self> {
        serde_json::from_str(include_str!("../../users.json")).expect("users.json is checked by a test")
    }
}

/// A mail that Supabase would have sent; nothing leaves the sandbox.
#[derive(Clone, Debug, Serialize)]
pub struct Mail {
    #[serde(with = "time::serde::rfc3339")]
    pub at: time::OffsetDateTime,
    pub to: String,
    pub subject: String,
    /// The six digits that a person would type in.
    pub code: String,
    /// The link that a person would follow.
    pub link: String,
}

#[derive(Clone, Debug)]
pub struct SupabaseOptions {
    /// `iss` of every token; also the base of the links in mails.
    pub issuer: String,
    pub users: Vec<User>,
    /// Life of an access token in seconds (3600 at Supabase).
    pub access_token_life: i64,
}

struct Inner {
    options: SupabaseOptions,
    publishable_key: String,
    secret_key: String,
    keys: Mutex<Vec<SigningKey>>,
    store: Mutex<Store>,
}

/// Cheap to clone; all clones are the same project.
#[derive(Clone)]
pub struct Supabase {
    inner: Arc<Inner>,
}

impl Supabase {
    pub fn new(options: SupabaseOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                publishable_key: format!("sb_publishable_{}", random_hex::<12>()),
                secret_key: format!("sb_secret_{}", random_hex::<16>()),
                keys: Mutex::new(vec![SigningKey::generate()]),
                store: Mutex::new(Store::new(options.users.clone())),
                options,
            }),
        }
    }

    /// GoTrue's routes, to be mounted where `/auth/v1` is.
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }

    pub fn issuer(&self) -> &str {
        &self.inner.options.issuer
    }

    pub fn publishable_key(&self) -> &str {
        &self.inner.publishable_key
    }

    /// The key of trusted servers (`sb_secret_…`).
    pub fn secret_key(&self) -> &str {
        &self.inner.secret_key
    }

    pub fn user(&self, email: &str) -> Option<User> {
        lock(&self.inner.store).by_email(email).cloned()
    }

    pub fn users(&self) -> Vec<User> {
        lock(&self.inner.store).users().to_vec()
    }

    /// A good token for a user of the sandbox, as a sign-in would give it.
    pub fn access_token(&self, email: &str) -> Option<String> {
        Some(self.mint(self.options_for(&self.user(email)?)))
    }

    /// What [`Supabase::mint`] needs for a good token of this user, ready to be spoilt.
    pub fn options_for(&self, user: &User) -> MintOptions {
        let mut app_metadata = json!({ "provider": "email", "providers": ["email"] });
        if let (Some(all), Some(own)) = (app_metadata.as_object_mut(), user.app_metadata.as_object()) {
            all.extend(own.clone());
        }
        let mut options = MintOptions::new(user.id.to_string(), self.issuer());
        options.email.clone_from(&user.email);
        options.app_metadata = app_metadata;
        options.expires_in = self.inner.options.access_token_life;
        options
    }

    /// Signs whatever is ordered, however wrong.
    pub fn mint(&self, options: MintOptions) -> String {
        let keys = lock(&self.inner.keys);
        let current = keys.last().expect("there is always a key");
        tokens::mint(current, &options)
    }

    /// Makes a new signing key. With `keep_old` the JWKS lists both, as it does during
    /// an orderly rotation; without, every token so far becomes invalid. Answers the
    /// new key's id.
    pub fn rotate_keys(&self, keep_old: bool) -> String {
        let mut keys = lock(&self.inner.keys);
        if !keep_old {
            keys.clear();
        }
        keys.push(SigningKey::generate());
        keys.last().map(|key| key.kid.clone()).unwrap_or_default()
    }

    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = lock(&self.inner.keys).iter().map(SigningKey::jwk).collect();
        json!({ "keys": keys })
    }

    /// The mails so far, newest last.
    pub fn mail(&self) -> Vec<Mail> {
        lock(&self.inner.store).mail()
    }
}
