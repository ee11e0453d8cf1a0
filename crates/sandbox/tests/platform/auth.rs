use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
use serde_json::{Value, json};

use crate::{World, answer};

impl World {
    fn auth(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}/auth/v1{path}", self.sandbox.urls().supabase))
            .header("apikey", self.sandbox.supabase().publishable_key())
    }

    async fn sign_in(&self, email: &str) -> Value {
        let body = json!({ "email": email, "password": "interview", "gotrue_meta_security": {} });
        let (status, grant) = answer(self.auth(reqwest::Method::POST, "/token?grant_type=password").json(&body)).await;
        assert_eq!(status, 200, "{grant}");
        grant
    }
}

/// Checks a token as a backend does: with the JWKS, and nothing else.
async fn claims(world: &World, token: &str) -> Value {
    let response = world.http.get(&world.sandbox.urls().jwks).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "public, max-age=600");
    let keys: JwkSet = response.json().await.unwrap();
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).expect("the key is listed")).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["authenticated"]);
    validation.set_issuer(&[&world.sandbox.urls().issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    decode::<Value>(token, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn a_password_sign_in_gives_a_token_that_the_jwks_verifies() {
    let world = World::start().await;
    let grant = world.sign_in("recruiter@demo.test").await;
    assert_eq!(grant["token_type"], "bearer");
    assert_eq!(grant["user"]["user_metadata"]["name"], "Rita Keller");
    let claims = claims(&world, grant["access_token"].as_str().unwrap()).await;
    assert_eq!(claims["sub"], "7a000000-0000-4000-8000-000000000001");
    assert_eq!(claims["role"], "authenticated");
    assert_eq!(claims["aal"], "aal1");
    assert_eq!(claims["app_metadata"]["tenant_role"], "recruiter");
    assert_eq!(claims["app_metadata"]["tenant_id"], interview_sandbox::TENANT_ID);
    assert_eq!(claims["amr"][0]["method"], "password");
}

#[tokio::test]
async fn errors_have_the_style_that_the_client_asked_for() {
    let world = World::start().await;
    let wrong = json!({ "email": "recruiter@demo.test", "password": "wrong" });
    let post = || world.auth(reqwest::Method::POST, "/token?grant_type=password").json(&wrong);
    let (status, old) = answer(post()).await;
    assert_eq!(status, 400);
    assert_eq!(old, json!({ "code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials" }));
    let (_, new) = answer(post().header("x-supabase-api-version", "2024-01-01")).await;
    assert_eq!(new, json!({ "code": "invalid_credentials", "message": "Invalid login credentials" }));
    let response = post().header("x-supabase-api-version", "2024-01-01").send().await.unwrap();
    assert_eq!(response.headers()["x-supabase-api-version"], "2024-01-01", "supabase-js reads `code` only then");
    let (status, _) = answer(world.http.post(world.front("/sandbox/supabase/auth/v1/token")).json(&wrong)).await;
    assert_eq!(status, 401, "the apikey is required");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_signing_out_ends_the_session() {
    let world = World::start().await;
    let grant = world.sign_in("amara@demo.test").await;
    let refresh = |token: Value| {
        world.auth(reqwest::Method::POST, "/token?grant_type=refresh_token").json(&json!({ "refresh_token": token }))
    };
    let (status, second) = answer(refresh(grant["refresh_token"].clone())).await;
    assert_eq!(status, 200);
    assert_ne!(second["refresh_token"], grant["refresh_token"]);
    let bearer = second["access_token"].as_str().unwrap().to_owned();
    let (status, user) = answer(world.auth(reqwest::Method::GET, "/user").bearer_auth(&bearer)).await;
    assert_eq!((status, user["email"].as_str()), (200, Some("amara@demo.test")));
    let (status, _) = answer(world.auth(reqwest::Method::POST, "/logout?scope=global").bearer_auth(&bearer)).await;
    assert_eq!(status, 204);
    let (status, error) = answer(world.auth(reqwest::Method::GET, "/user").bearer_auth(&bearer)).await;
    assert_eq!((status, error["error_code"].as_str()), (403, Some("session_not_found")));
    let (status, error) = answer(refresh(second["refresh_token"].clone())).await;
    assert_eq!((status, error["error_code"].as_str()), (400, Some("refresh_token_not_found")));
}

#[tokio::test]
async fn a_code_from_the_mail_signs_in_once() {
    let world = World::start().await;
    let order = json!({ "email": "mei@demo.test", "create_user": false });
    let (status, _) = answer(world.auth(reqwest::Method::POST, "/otp").json(&order)).await;
    assert_eq!(status, 200);
    let (_, mails) = answer(world.http.get(world.front("/sandbox/mail"))).await;
    let code = &mails["items"][0]["code"];
    let verify = || {
        let body = json!({ "type": "email", "email": "mei@demo.test", "token": code });
        world.auth(reqwest::Method::POST, "/verify").json(&body)
    };
    let (status, grant) = answer(verify()).await;
    assert_eq!(status, 200, "{grant}");
    assert_eq!(grant["user"]["email"], "mei@demo.test");
    let (status, error) = answer(verify()).await;
    assert_eq!((status, error["error_code"].as_str()), (403, Some("otp_expired")));
    let stranger = json!({ "email": "stranger@nowhere.test", "create_user": false });
    let (status, error) = answer(world.auth(reqwest::Method::POST, "/otp").json(&stranger)).await;
    assert_eq!((status, error["error_code"].as_str()), (422, Some("otp_disabled")));
}

#[tokio::test]
async fn a_link_with_pkce_needs_the_browser_that_asked_for_it() {
    let world = World::start().await;
    let verifier = "a-long-and-random-verifier-of-the-page";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    let challenge = data_encoding::BASE64URL_NOPAD.encode(digest.as_ref());
    let order = json!({ "email": "jonas@demo.test", "code_challenge": challenge, "code_challenge_method": "s256" });
    let page = world.front("/welcome");
    let path = format!("/otp?redirect_to={page}");
    assert_eq!(answer(world.auth(reqwest::Method::POST, &path).json(&order)).await.0, 200);
    let follow = async || {
        assert_eq!(answer(world.auth(reqwest::Method::POST, &path).json(&order)).await.0, 200);
        let link = world.sandbox.supabase().mail().last().unwrap().link.clone();
        let response = world.http.get(link).send().await.unwrap();
        assert_eq!(response.status(), 303);
        let back = response.headers()["location"].to_str().unwrap().to_owned();
        back.strip_prefix(&format!("{page}?code=")).expect("a code").to_owned()
    };
    let exchange = |code: String, verifier: &str| {
        let body = json!({ "auth_code": code, "code_verifier": verifier });
        world.auth(reqwest::Method::POST, "/token?grant_type=pkce").json(&body)
    };
    assert_eq!(answer(exchange(follow().await, "another verifier")).await.0, 400);
    let (status, grant) = answer(exchange(follow().await, verifier)).await;
    assert_eq!((status, grant["user"]["email"].as_str()), (200, Some("jonas@demo.test")));
}

#[tokio::test]
async fn keys_rotate_with_and_without_the_old_one() {
    let world = World::start().await;
    let supabase = world.sandbox.supabase();
    let token = supabase.access_token("amara@demo.test").unwrap();
    supabase.rotate_keys(true);
    claims(&world, &token).await;
    assert_eq!(supabase.jwks()["keys"].as_array().unwrap().len(), 2);
    supabase.rotate_keys(false);
    assert_eq!(supabase.jwks()["keys"].as_array().unwrap().len(), 1);
    claims(&world, &supabase.access_token("amara@demo.test").unwrap()).await;
}
