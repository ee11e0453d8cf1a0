use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64;
use jsonwebtoken::{EncodingKey, Header as JwtHeader};
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::integrations::test_server::{Reply, TestServer, http_client};

const ISSUER: &str = "https://demo.supabase.co/auth/v1";
const USER: &str = "7a000000-0000-4000-8000-000000000001";
const TENANT: &str = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001";

struct Signer {
    kid: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
    jwk: Value,
    public: Vec<u8>,
}

impl Signer {
    fn ec(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let public = pair.public_key().as_ref().to_vec();
        let encoding = EncodingKey::from_ec_der(pair.to_pkcs8v1().expect("pkcs8").as_ref());
        // An uncompressed point: 4, x, y.
        let (x, y) = (BASE64URL_NOPAD.encode(&public[1..33]), BASE64URL_NOPAD.encode(&public[33..]));
        let jwk =
            json!({"kid": kid, "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "key_ops": ["verify"], "x": x, "y": y});
        Self { kid: kid.to_owned(), algorithm: Algorithm::ES256, encoding, jwk, public }
    }

    fn rsa(kid: &str) -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).expect("pkcs8");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(pkcs8.as_ref()));
        let encoding = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a pem");
        let public = pair.public_key();
        let (n, e) = (public.modulus(), public.exponent());
        let n = BASE64URL_NOPAD.encode(n.big_endian_without_leading_zero());
        let e = BASE64URL_NOPAD.encode(e.big_endian_without_leading_zero());
        let jwk = json!({"kid": kid, "kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e});
        Self { kid: kid.to_owned(), algorithm: Algorithm::RS256, encoding, jwk, public: public.as_ref().to_vec() }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = JwtHeader { kid: Some(self.kid.clone()), ..JwtHeader::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.encoding).expect("signs")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "authenticated", "sub": USER, "exp": now() + 3600, "iat": now(), "role": "authenticated",
        "aal": "aal1", "session_id": "11111111-1111-4111-8111-111111111111", "email": "recruiter@demo.test", "phone": "",
        "is_anonymous": false, "amr": [{"method": "password", "timestamp": 1}],
        "app_metadata": {"provider": "email", "tenant_id": TENANT, "tenant_role": "recruiter"}, "user_metadata": {}
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn without(key: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(key);
    claims
}

fn jwks(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk.clone()).collect::<Vec<_>>()}).to_string()
}

fn options(server: &TestServer) -> JwksOptions {
    JwksOptions::new(ISSUER, server.base())
}

async fn verifier(signers: &[&Signer]) -> (JwksVerifier, TestServer) {
    let server = TestServer::always(Reply::json(200, &jwks(signers))).await;
    (JwksVerifier::new(http_client(), options(&server)).expect("usable options"), server)
}

async fn code_of(verifier: &JwksVerifier, token: &str) -> ErrorCode {
    verifier.verify(token).await.expect_err("refused").code()
}

/// A token of our own making, signed or not.
fn raw_token(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}.{}", encode(header), encode(claims), BASE64URL_NOPAD.encode(signature))
}

fn hs256(header: &Value, claims: &Value, key: &[u8]) -> String {
    let unsigned = raw_token(header, claims, b"");
    let unsigned = unsigned.trim_end_matches('.');
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let tag = aws_lc_rs::hmac::sign(&key, unsigned.as_bytes());
    format!("{unsigned}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

#[tokio::test]
async fn signed_in_user_is_accepted_with_one_fetch() {
    let (ec, rsa) = (Signer::ec("k1"), Signer::rsa("k2"));
    let (verifier, server) = verifier(&[&ec, &rsa]).await;
    for signer in [&ec, &rsa, &ec] {
        let user = verifier.verify(&signer.sign(&claims())).await.expect("accepted");
        assert_eq!((user.sub.to_string(), user.tenant_id.to_string()), (USER.to_owned(), TENANT.to_owned()));
        assert_eq!((user.tenant_role.as_deref(), user.role.as_str()), (Some("recruiter"), "authenticated"));
        assert_eq!(user.email.as_ref().map(Redacted::as_str), Some("recruiter@demo.test"));
        assert!(user.json.as_str().contains("app_metadata"));
        assert!(!format!("{user:?}").contains("recruiter@demo.test"));
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn claims_by_the_table() {
    use ErrorCode as C;
    let signer = Signer::ec("k1");
    let (verifier, _server) = verifier(&[&signer]).await;
    let refused = [
        (with("exp", json!(now() - LEEWAY.as_secs() - 5)), C::JwtExpired),
        (without("exp"), C::JwtClaimInvalid),
        (with("exp", json!("tomorrow")), C::JwtClaimInvalid),
        (with("exp", json!(now() + LONGEST_LIFE.as_secs() + 3600)), C::JwtClaimInvalid),
        (with("exp", json!(253_402_300_800_u64)), C::JwtClaimInvalid),
        (with("exp", json!(u64::MAX)), C::JwtClaimInvalid),
        (with("exp", json!(1e300)), C::JwtClaimInvalid),
        (with("exp", json!(-1)), C::JwtClaimInvalid),
        (with("iat", json!(now() + 600)), C::JwtNotYetValid),
        (with("iat", json!(u64::MAX)), C::JwtNotYetValid),
        (with("iat", json!("now")), C::JwtClaimInvalid),
        (with("sub", json!("")), C::JwtClaimInvalid),
        (with("sub", json!(7)), C::JwtClaimInvalid),
        (with("sub", json!(format!("{USER}\0"))), C::JwtClaimInvalid),
        (with("role", json!(["authenticated"])), C::JwtClaimInvalid),
        (with("role", json!("authenticated\0")), C::JwtRoleRefused),
        (with("app_metadata", json!({"tenant_id": TENANT, "tenant_role": ["owner"]})), C::JwtClaimInvalid),
        (with("app_metadata", json!([])), C::JwtTenantMissing),
        (with("nbf", json!(now() + 600)), C::JwtNotYetValid),
        (without("iss"), C::JwtClaimInvalid),
        (with("iss", json!("https://evil.supabase.co/auth/v1")), C::JwtIssuerRefused),
        (with("iss", json!(format!("{ISSUER}/"))), C::JwtIssuerRefused),
        (without("aud"), C::JwtClaimInvalid),
        (with("aud", json!("anon")), C::JwtAudienceRefused),
        (with("aud", json!(["anon", "other"])), C::JwtAudienceRefused),
        (without("sub"), C::JwtClaimInvalid),
        (with("sub", json!("admin")), C::JwtClaimInvalid),
        (without("role"), C::JwtRoleRefused),
        (with("role", json!("service_role")), C::JwtRoleRefused),
        (with("role", json!("anon")), C::JwtRoleRefused),
        (with("is_anonymous", json!(true)), C::JwtAnonymousRefused),
        (without("app_metadata"), C::JwtTenantMissing),
        (with("app_metadata", json!({"provider": "email"})), C::JwtTenantMissing),
        (with("app_metadata", json!({"tenant_id": ""})), C::JwtTenantMissing),
        (with("app_metadata", json!({"tenant_id": "all"})), C::JwtClaimInvalid),
        (with("app_metadata", json!({"tenant_id": 7})), C::JwtClaimInvalid),
        (with("session_id", json!("x")), C::JwtClaimInvalid),
    ];
    for (claims, code) in refused {
        assert_eq!(code_of(&verifier, &signer.sign(&claims)).await, code, "{claims}");
    }
    // A tenant in `user_metadata` is what users write themselves.
    let mut forged = without("app_metadata");
    forged["user_metadata"] = json!({"tenant_id": TENANT});
    assert_eq!(code_of(&verifier, &signer.sign(&forged)).await, C::JwtTenantMissing);

    let accepted = [
        with("aud", json!(["authenticated", "other"])),
        with("exp", json!(now() - 5)),
        without("is_anonymous"),
        with("email", json!("")),
        without("session_id"),
        with("nbf", json!(now() + 5)),
        with("iat", json!(0)),
        without("iat"),
        // What users write themselves reaches neither the database nor a decision.
        with("user_metadata", json!({"a\0\u{202e}": "\0".repeat(500)})),
    ];
    for claims in accepted {
        verifier.verify(&signer.sign(&claims)).await.unwrap_or_else(|error| panic!("{claims}: {error}"));
    }
}

#[tokio::test]
async fn algorithms_of_an_attacker_are_refused() {
    use ErrorCode as C;
    let (ec, rsa) = (Signer::ec("k1"), Signer::rsa("k2"));
    let (verifier, server) = verifier(&[&ec, &rsa]).await;
    for none in ["none", "None", "NONE", "nOnE"] {
        for signature in [&b""[..], b"x"] {
            let token = raw_token(&json!({"alg": none, "kid": "k1"}), &claims(), signature);
            assert_eq!(code_of(&verifier, &token).await, C::JwtAlgorithmRefused, "{none}");
        }
    }
    // The public key as a shared secret, as bytes and as the text of the key set.
    for (kid, signer) in [("k1", &ec), ("k2", &rsa)] {
        for secret in [signer.public.clone(), signer.jwk.to_string().into_bytes()] {
            let token = hs256(&json!({"alg": "HS256", "kid": kid}), &claims(), &secret);
            assert_eq!(code_of(&verifier, &token).await, C::JwtAlgorithmRefused);
        }
    }
    for alg in ["HS384", "HS512", "PS256", "ES384", "RS512", "EdDSA", "es256", "", "ES256K"] {
        let token = raw_token(&json!({"alg": alg, "kid": "k1"}), &claims(), b"x");
        assert_eq!(code_of(&verifier, &token).await, C::JwtAlgorithmRefused, "{alg}");
    }
    assert!(server.requests().is_empty(), "refused before anything is fetched");

    // Accepted algorithms, but not those of the named keys.
    let crossed = raw_token(&json!({"alg": "RS256", "kid": "k1"}), &claims(), b"x");
    assert_eq!(code_of(&verifier, &crossed).await, C::JwtAlgorithmRefused);
    let forged = raw_token(&json!({"alg": "ES256", "kid": "k1"}), &claims(), &[0; 64]);
    assert_eq!(code_of(&verifier, &forged).await, C::JwtSignatureInvalid);
    let stranger = Signer::ec("k1").sign(&claims());
    assert_eq!(code_of(&verifier, &stranger).await, C::JwtSignatureInvalid);
}

#[tokio::test]
async fn shapeless_tokens_are_refused_without_a_fetch() {
    use ErrorCode as C;
    let signer = Signer::ec("k1");
    let (verifier, server) = verifier(&[&signer]).await;
    let good = signer.sign(&claims());
    let malformed = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "sb_publishable_abc".to_owned(),
        good.replacen('.', "", 1),
        format!("{good}.x"),
        raw_token(&json!({"alg": "ES256"}), &claims(), b"x"),
        raw_token(&json!({"alg": "ES256", "kid": ""}), &claims(), b"x"),
        raw_token(&json!({"alg": "ES256", "kid": "k".repeat(200)}), &claims(), b"x"),
        raw_token(&json!({"alg": "ES256", "kid": 7}), &claims(), b"x"),
        raw_token(&json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false}), &claims(), b"x"),
        raw_token(&json!(["ES256"]), &claims(), b"x"),
    ];
    for token in malformed {
        assert_eq!(code_of(&verifier, &token).await, C::JwtMalformed, "{token}");
    }
    assert_eq!(code_of(&verifier, &"a".repeat(MAX_TOKEN_BYTES + 1)).await, C::JwtOversized);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn forged_key_ids_cannot_make_us_fetch() {
    let signer = Signer::ec("k1");
    let (verifier, server) = verifier(&[&signer]).await;
    verifier.verify(&signer.sign(&claims())).await.expect("accepted");
    for number in 0..50 {
        let token = raw_token(&json!({"alg": "ES256", "kid": format!("forged-{number}")}), &claims(), b"x");
        assert_eq!(code_of(&verifier, &token).await, ErrorCode::JwtKeyUnknown);
    }
    assert_eq!(server.requests().len(), 1, "no fetch within the interval");
}

#[tokio::test]
async fn many_users_at_once_share_one_fetch() {
    let signer = Signer::ec("k1");
    let (verifier, server) = verifier(&[&signer]).await;
    let token = signer.sign(&claims());
    let verifications = (0..20).map(|_| verifier.verify(&token));
    for result in futures_util::future::join_all(verifications).await {
        result.expect("accepted");
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn waiting_for_a_silent_provider_does_not_add_up() {
    let server = TestServer::always(Reply::Hang).await;
    let mut options = options(&server);
    options.fetch_deadline = Duration::from_millis(100);
    options.empty_refetch_interval = Duration::from_millis(1);
    let verifier = JwksVerifier::new(http_client(), options).expect("usable options");
    let token = Signer::ec("k1").sign(&claims());
    let started = Instant::now();
    let verifications = (0..20).map(|_| verifier.verify(&token));
    for result in futures_util::future::join_all(verifications).await {
        assert_eq!(result.expect_err("nobody answers").code(), ErrorCode::JwksUnavailable);
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn rotated_key_is_found_after_the_interval() {
    let (old, new) = (Signer::ec("k1"), Signer::ec("k2"));
    let (before, after) = (jwks(&[&old]), jwks(&[&old, &new]));
    let server = TestServer::start(move |number, _| Reply::json(200, if number == 0 { &before } else { &after })).await;
    let mut options = options(&server);
    options.refetch_interval = Duration::from_millis(200);
    let verifier = JwksVerifier::new(http_client(), options).expect("usable options");
    verifier.verify(&old.sign(&claims())).await.expect("accepted");
    let token = new.sign(&claims());
    assert_eq!(code_of(&verifier, &token).await, ErrorCode::JwtKeyUnknown);
    tokio::time::sleep(Duration::from_millis(250)).await;
    verifier.verify(&token).await.expect("accepted after the rotation");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn old_keys_serve_while_the_provider_is_away_but_not_for_ever() {
    let signer = Signer::ec("k1");
    let keys = jwks(&[&signer]);
    let away = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&away);
    let server = TestServer::start(
        move |_, _| {
            if switch.load(Ordering::SeqCst) { Reply::json(503, "{}") } else { Reply::json(200, &keys) }
        },
    )
    .await;
    let mut options = options(&server);
    options.ttl = Duration::from_millis(50);
    options.refetch_interval = Duration::from_millis(1);
    options.max_stale = Duration::from_secs(3);
    let verifier = JwksVerifier::new(http_client(), options).expect("usable options");
    let token = signer.sign(&claims());
    verifier.verify(&token).await.expect("accepted");
    away.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    verifier.verify(&token).await.expect("accepted with an old key");
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    let error = loop {
        match verifier.verify(&token).await {
            Err(error) => break error,
            Ok(_) => assert!(tokio::time::Instant::now() < limit, "an old key serves for ever"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((error.class(), error.code()), (FaultClass::Transient, ErrorCode::JwksUnavailable));
    away.store(false, Ordering::SeqCst);
    // Longer than `refetch_interval`, within which the last failure is told again.
    tokio::time::sleep(Duration::from_millis(20)).await;
    verifier.verify(&token).await.expect("accepted again");
}

#[tokio::test]
async fn provider_away_at_start_is_not_the_users_fault() {
    let signer = Signer::ec("k1");
    let keys = jwks(&[&signer]);
    let fetches = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetches);
    let server = TestServer::start(move |number, _| {
        count.fetch_add(1, Ordering::SeqCst);
        if number == 0 { Reply::json(500, "{}") } else { Reply::json(200, &keys) }
    })
    .await;
    let mut options = options(&server);
    options.empty_refetch_interval = Duration::from_millis(100);
    let verifier = JwksVerifier::new(http_client(), options).expect("usable options");
    let token = signer.sign(&claims());
    for _ in 0..5 {
        assert_eq!(code_of(&verifier, &token).await, ErrorCode::JwksUnavailable);
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_millis(120)).await;
    verifier.warm_up().await.expect("fetched");
    verifier.verify(&token).await.expect("accepted");
}

#[tokio::test]
async fn odd_key_sets_give_only_usable_keys() {
    let (good, weak) = (Signer::ec("good"), Signer::ec("weak"));
    let mut encryption = Signer::ec("enc").jwk;
    encryption["use"] = json!("enc");
    let mut wrong_alg = weak.jwk.clone();
    wrong_alg["alg"] = json!("ES384");
    let short_rsa = json!({"kid": "short", "kty": "RSA", "alg": "RS256", "n": BASE64URL_NOPAD.encode(&[0xff; 128]), "e": "AQAB"});
    let secret = json!({"kid": "oct", "kty": "oct", "alg": "HS256", "k": "c2VjcmV0"});
    let keys = json!({"keys": [encryption, wrong_alg, short_rsa, secret, {"kty": "XYZ"}, 7, null, good.jwk]});
    let server = TestServer::always(Reply::json(200, &keys.to_string())).await;
    let verifier = JwksVerifier::new(http_client(), options(&server)).expect("usable options");
    verifier.verify(&good.sign(&claims())).await.expect("accepted");
    assert_eq!(verifier.keys.snapshot().keys.len(), 1);
    assert_eq!(code_of(&verifier, &weak.sign(&claims())).await, ErrorCode::JwtKeyUnknown);
}
