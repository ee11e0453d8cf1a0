//! Verifies Supabase access tokens with the project's published keys.
//!
//! Only ES256 and RS256 are accepted. The key decides the algorithm, never the token. A revoked session is not visible here: a
//! token stays valid until it expires.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use self::keys::KeyCache;
use super::Redacted;
use super::call_error::CallError;
use super::http_client::{HttpClient, InvalidBaseUrl, check_base_url};
use crate::clock;
use crate::error::{ErrorCode, Fault, FaultClass};

/// Real tokens are 1 to 2 KiB; a proxy would refuse a larger header anyway.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
const MAX_KEY_ID_BYTES: usize = 128;
/// The longest that Supabase lets a project set.
const LONGEST_LIFE: Duration = Duration::from_hours(7 * 24);
/// For clocks that differ by a little. More would let expired tokens in.
const LEEWAY: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
pub struct JwksOptions {
    /// As the tokens name it: `https://<ref>.supabase.co/auth/v1`.
    pub issuer: String,
    /// May be another address than the issuer's, inside a private network.
    pub jwks_url: Url,
    pub audience: String,
    pub fetch_deadline: Duration,
    /// Supabase asks for no more than ten minutes.
    pub ttl: Duration,
    /// Between two fetches for keys we do not know, so that forged tokens cannot
    /// make us hammer the provider.
    pub refetch_interval: Duration,
    /// Between two fetches while there is no key at all: nobody can sign in.
    pub empty_refetch_interval: Duration,
    /// How long keys may be used beyond `ttl` while the provider is away.
    pub max_stale: Duration,
}

impl JwksOptions {
    pub fn new(issuer: impl Into<String>, jwks_url: Url) -> Self {
        Self {
            issuer: issuer.into(),
            jwks_url,
            audience: "authenticated".to_owned(),
            fetch_deadline: Duration::from_secs(5),
            ttl: Duration::from_mins(10),
            refetch_interval: Duration::from_secs(30),
            empty_refetch_interval: Duration::from_secs(1),
            max_stale: Duration::from_hours(1),
        }
    }
}

/// A signed-in user of one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    pub sub: Uuid,
    pub email: Option<Redacted>,
    pub tenant_id: Uuid,
    /// From `app_metadata`, which users cannot edit. Its values are the caller's.
    pub tenant_role: Option<String>,
    /// The Postgres role; always `authenticated`.
    pub role: String,
    /// Unix seconds.
    pub exp: u64,
    pub iat: Option<u64>,
    pub session_id: Option<Uuid>,
    /// How strong the sign-in was: `aal1`, `aal2`.
    pub assurance: Option<String>,
    /// All verified claims as JSON, for the database's row-level security.
    pub json: Redacted,
}

#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    #[error("the token is too long")]
    Oversized,
    #[error("the token is not a signed jwt")]
    Malformed,
    #[error("the token's algorithm is not accepted")]
    AlgorithmRefused,
    #[error("the token's key is not published")]
    KeyUnknown,
    #[error("the published keys are not available")]
    JwksUnavailable(#[source] Option<Arc<CallError>>),
    #[error("the signature is wrong")]
    SignatureInvalid,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token has another issuer")]
    IssuerRefused,
    #[error("the token is for another audience")]
    AudienceRefused,
    #[error("the claim {0} is missing or malformed")]
    ClaimInvalid(String),
    #[error("the token is not one of a signed-in user")]
    RoleRefused,
    #[error("anonymous users are not accepted")]
    AnonymousRefused,
    #[error("the token names no tenant")]
    TenantMissing,
}

impl Fault for JwtError {
    fn class(&self) -> FaultClass {
        match self {
            Self::JwksUnavailable(_) => FaultClass::Transient,
            _ => FaultClass::Client,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Oversized => ErrorCode::JwtOversized,
            Self::Malformed => ErrorCode::JwtMalformed,
            Self::AlgorithmRefused => ErrorCode::JwtAlgorithmRefused,
            Self::KeyUnknown => ErrorCode::JwtKeyUnknown,
            Self::JwksUnavailable(_) => ErrorCode::JwksUnavailable,
            Self::SignatureInvalid => ErrorCode::JwtSignatureInvalid,
            Self::Expired => ErrorCode::JwtExpired,
            Self::NotYetValid => ErrorCode::JwtNotYetValid,
            Self::IssuerRefused => ErrorCode::JwtIssuerRefused,
            Self::AudienceRefused => ErrorCode::JwtAudienceRefused,
            Self::ClaimInvalid(_) => ErrorCode::JwtClaimInvalid,
            Self::RoleRefused => ErrorCode::JwtRoleRefused,
            Self::AnonymousRefused => ErrorCode::JwtAnonymousRefused,
            Self::TenantMissing => ErrorCode::JwtTenantMissing,
        }
    }
}

/// Share one per process.
#[derive(Debug)]
pub struct JwksVerifier {
    issuer: String,
    audience: String,
    keys: KeyCache,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions a verifier must understand; we understand none.
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Payload {
    sub: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    is_anonymous: Option<bool>,
    #[serde(default)]
    app_metadata: Option<AppMetadata>,
    exp: u64,
    #[serde(default)]
    iat: Option<u64>,
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    aal: Option<String>,
}

#[derive(Deserialize)]
struct AppMetadata {
    #[serde(default)]
    tenant_id: Option<String>,
    #[serde(default)]
    tenant_role: Option<String>,
}

impl JwksVerifier {
    pub fn new(http: HttpClient, options: JwksOptions) -> Result<Self, InvalidBaseUrl> {
        check_base_url(&options.jwks_url)?;
        Ok(Self { issuer: options.issuer.clone(), audience: options.audience.clone(), keys: KeyCache::new(http, options) })
    }

    /// Fetches the keys before the first user waits for them.
    pub async fn warm_up(&self) -> Result<(), JwtError> {
        match self.keys.refresh("").await {
            Err(JwtError::KeyUnknown) => Ok(()),
            other => other.map(drop),
        }
    }

    pub async fn verify(&self, token: &str) -> Result<Claims, JwtError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwtError::Oversized);
        }
        let header = read_header(token)?;
        let kid = header.kid.filter(|kid| !kid.is_empty() && kid.len() <= MAX_KEY_ID_BYTES).ok_or(JwtError::Malformed)?;
        let wanted = match header.alg.as_str() {
            "ES256" => Algorithm::ES256,
            "RS256" => Algorithm::RS256,
            _ => return Err(JwtError::AlgorithmRefused),
        };
        if header.crit.is_some() {
            return Err(JwtError::Malformed);
        }
        let key = self.keys.get(&kid).await?;
        if key.algorithm != wanted {
            return Err(JwtError::AlgorithmRefused);
        }
        let data = jsonwebtoken::decode::<Value>(token, &key.decoding, &self.validation(key.algorithm)).map_err(refused)?;
        read_claims(data.claims)
    }

    /// The library checks `iss` and `aud` only if present, unless they are required.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }
}

fn read_header(token: &str) -> Result<Header, JwtError> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(JwtError::Malformed);
    };
    let header = BASE64URL_NOPAD.decode(header.as_bytes()).map_err(|_| JwtError::Malformed)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| JwtError::Malformed)?;
    // An unsigned token says `none` in some casing; name its algorithm, not its shape.
    if signature.is_empty() && header.alg.eq_ignore_ascii_case("none") {
        return Err(JwtError::AlgorithmRefused);
    }
    Ok(header)
}

fn refused(error: jsonwebtoken::errors::Error) -> JwtError {
    match error.into_kind() {
        ErrorKind::InvalidSignature => JwtError::SignatureInvalid,
        ErrorKind::ExpiredSignature => JwtError::Expired,
        ErrorKind::ImmatureSignature => JwtError::NotYetValid,
        ErrorKind::InvalidIssuer => JwtError::IssuerRefused,
        ErrorKind::InvalidAudience => JwtError::AudienceRefused,
        ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => JwtError::ClaimInvalid(name),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            JwtError::AlgorithmRefused
        }
        _ => JwtError::Malformed,
    }
}

fn read_claims(claims: Value) -> Result<Claims, JwtError> {
    let json = claims.to_string();
    let payload: Payload = serde_json::from_value(claims).map_err(|error| JwtError::ClaimInvalid(error_field(&error)))?;
    check_times(&payload)?;
    let role = payload.role.filter(|role| role == "authenticated").ok_or(JwtError::RoleRefused)?;
    if payload.is_anonymous == Some(true) {
        return Err(JwtError::AnonymousRefused);
    }
    let uuid = |name: &str, text: &str| Uuid::parse_str(text).map_err(|_| JwtError::ClaimInvalid(name.to_owned()));
    let sub = uuid("sub", &payload.sub)?;
    let app = payload.app_metadata.ok_or(JwtError::TenantMissing)?;
    let tenant_id = app.tenant_id.filter(|id| !id.is_empty()).ok_or(JwtError::TenantMissing)?;
    let session_id = payload.session_id.filter(|id| !id.is_empty());
    Ok(Claims {
        sub,
        email: payload.email.filter(|email| !email.is_empty()).map(Redacted::new),
        tenant_id: uuid("app_metadata.tenant_id", &tenant_id)?,
        tenant_role: app.tenant_role,
        role,
        exp: payload.exp,
        iat: payload.iat,
        session_id: session_id.map(|id| uuid("session_id", &id)).transpose()?,
        assurance: payload.aal,
        json: json.into(),
    })
}

/// That it has not expired is known; that it ever will, and was not made in the future, is not.
fn check_times(payload: &Payload) -> Result<(), JwtError> {
    let now = u64::try_from(clock::now().unix_timestamp()).unwrap_or_default();
    if payload.exp > now + LONGEST_LIFE.as_secs() + LEEWAY.as_secs() {
        return Err(JwtError::ClaimInvalid("exp".to_owned()));
    }
    if payload.iat.is_some_and(|iat| iat > now + LEEWAY.as_secs()) {
        return Err(JwtError::NotYetValid);
    }
    Ok(())
}

/// Serde's message would quote the value; only the kind of mismatch is told.
fn error_field(error: &serde_json::Error) -> String {
    if error.is_data() { "of another type".to_owned() } else { "unreadable".to_owned() }
}

#[cfg(test)]
#[path = "supabase_tests.rs"]
mod tests;
