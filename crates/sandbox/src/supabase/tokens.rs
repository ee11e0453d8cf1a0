//! Signing keys and access tokens, valid ones and (for tests) every kind of invalid one.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::util::{now, random_hex};

/// One P-256 key of the project.
#[derive(Clone)]
pub(super) struct SigningKey {
    pub(super) kid: String,
    encoding: EncodingKey,
    x: String,
    y: String,
}

impl SigningKey {
    pub(super) fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a P-256 key can be made");
        let document = pair.to_pkcs8v1().expect("a fresh key can be written as PKCS#8");
        // Uncompressed point: 0x04, 32 bytes x, 32 bytes y.
        let point = pair.public_key().as_ref();
        Self {
            kid: Uuid::new_v4().to_string(),
            encoding: EncodingKey::from_ec_der(document.as_ref()),
            x: BASE64URL_NOPAD.encode(&point[1..33]),
            y: BASE64URL_NOPAD.encode(&point[33..65]),
        }
    }

    pub(super) fn jwk(&self) -> Value {
        json!({
            "kid": self.kid, "alg": "ES256", "kty": "EC", "crv": "P-256",
            "x": self.x, "y": self.y, "use": "sig", "key_ops": ["verify"], "ext": true
        })
    }

    pub(super) fn sign(&self, kid: Option<String>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = kid;
        jsonwebtoken::encode(&header, claims, &self.encoding).expect("claims made here can be signed")
    }
}

/// How a token is signed.
#[derive(Clone, Debug, Default)]
pub enum MintKey {
    /// The project's current key.
    #[default]
    Current,
    /// A key the JWKS does not list, under a `kid` it does not list.
    Foreign,
    /// A key the JWKS does not list, under the `kid` of the current key: a forgery.
    ForgedWithKnownKid,
    /// HS256 with this secret, under the `kid` of the current key.
    Hs256(String),
    /// `alg: none`, no signature.
    Unsigned,
}

/// A token to order. [`MintOptions::new`] is a good one; change what should be wrong.
#[derive(Clone, Debug)]
pub struct MintOptions {
    pub subject: String,
    pub email: String,
    pub app_metadata: Value,
    /// `None` leaves the claim out.
    pub issuer: Option<String>,
    /// Text or an array; `Null` leaves the claim out.
    pub audience: Value,
    pub role: String,
    /// Seconds from now; negative is expired.
    pub expires_in: i64,
    pub session_id: Uuid,
    pub is_anonymous: bool,
    pub authentication_method: String,
    pub key: MintKey,
    /// Set or replace any claim; `Null` removes it.
    pub claims: Map<String, Value>,
}

impl MintOptions {
    pub fn new(subject: impl Into<String>, issuer: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            email: String::new(),
            app_metadata: json!({}),
            issuer: Some(issuer.into()),
            audience: "authenticated".into(),
            role: "authenticated".into(),
            expires_in: 3_600,
            session_id: Uuid::new_v4(),
            is_anonymous: false,
            authentication_method: "password".into(),
            key: MintKey::Current,
            claims: Map::new(),
        }
    }

    pub(super) fn claims(&self) -> Value {
        let at = now().unix_timestamp();
        let mut claims = json!({
            "aud": self.audience,
            "exp": at + self.expires_in,
            "iat": at.min(at + self.expires_in - 1),
            "sub": self.subject,
            "email": self.email,
            "phone": "",
            "app_metadata": self.app_metadata,
            "user_metadata": { "email": self.email, "email_verified": true, "sub": self.subject },
            "role": self.role,
            "aal": "aal1",
            "amr": [{ "method": self.authentication_method, "timestamp": at }],
            "session_id": self.session_id,
            "is_anonymous": self.is_anonymous,
        });
        if let Some(issuer) = &self.issuer {
            claims["iss"] = issuer.as_str().into();
        }
        let claims_map = claims.as_object_mut().expect("made as an object above");
        if self.audience.is_null() {
            claims_map.remove("aud");
        }
        for (name, value) in &self.claims {
            if value.is_null() {
                claims_map.remove(name);
            } else {
                claims_map.insert(name.clone(), value.clone());
            }
        }
        claims
    }
}

pub(super) fn mint(current: &SigningKey, options: &MintOptions) -> String {
    let claims = options.claims();
    match &options.key {
        MintKey::Current => current.sign(Some(current.kid.clone()), &claims),
        MintKey::Foreign => {
            let foreign = SigningKey::generate();
            foreign.sign(Some(foreign.kid.clone()), &claims)
        }
        MintKey::ForgedWithKnownKid => SigningKey::generate().sign(Some(current.kid.clone()), &claims),
        MintKey::Hs256(secret) => {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some(current.kid.clone());
            jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret.as_bytes()))
                .expect("claims made here can be signed")
        }
        MintKey::Unsigned => {
            let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
            format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(&claims))
        }
    }
}

/// The claims of a token that one of `keys` has signed and that has not expired.
pub(super) fn read(keys: &[SigningKey], token: &str) -> Option<Value> {
    let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
    let key = keys.iter().find(|key| key.kid == kid)?;
    let decoding = jsonwebtoken::DecodingKey::from_ec_components(&key.x, &key.y).ok()?;
    let mut validation = jsonwebtoken::Validation::new(Algorithm::ES256);
    validation.set_audience(&["authenticated"]);
    validation.leeway = 0;
    jsonwebtoken::decode::<Value>(token, &decoding, &validation).ok().map(|token| token.claims)
}

/// Shaped like GoTrue's: short, opaque.
pub(super) fn refresh_token() -> String {
    random_hex::<8>()
}
