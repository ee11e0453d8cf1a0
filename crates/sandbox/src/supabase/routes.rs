//! The HTTP routes of GoTrue.

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::store::{Challenge, Grant, RefreshError};
use super::{Supabase, User, tokens};
use crate::util::{lock, now, rfc3339};

/// From this API version on, errors have the newer shape.
const API_VERSION: &str = "2024-01-01";

pub(super) fn router(supabase: Supabase) -> Router {
    let guarded = Router::new()
        .route("/token", post(token))
        .route("/otp", post(otp))
        .route("/magiclink", post(otp))
        .route("/user", get(user))
        .route("/logout", post(logout))
        .route("/settings", get(settings))
        .route("/health", get(health))
        .layer(axum::middleware::from_fn_with_state(supabase.clone(), require_api_key));
    Router::new()
        .route("/verify", get(follow_link).post(verify))
        .route("/.well-known/jwks.json", get(jwks))
        .merge(guarded)
        .with_state(supabase)
}

/// Names for faults.
pub(crate) fn route_name(path: &str) -> &'static str {
    let path = path.trim_start_matches("/auth/v1");
    match path {
        "/token" => "token",
        "/otp" | "/magiclink" => "otp",
        "/verify" => "verify",
        "/user" => "user",
        "/logout" => "logout",
        "/.well-known/jwks.json" => "jwks",
        _ => "other",
    }
}

struct AuthError {
    status: StatusCode,
    code: &'static str,
    message: String,
    new_style: bool,
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let body = if self.new_style {
            json!({ "code": self.code, "message": self.message })
        } else {
            json!({ "code": self.status.as_u16(), "error_code": self.code, "msg": self.message })
        };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert("x-sb-error-code", HeaderValue::from_static(self.code));
        if self.new_style {
            // Without it, supabase-js looks for the code where the older shape has it.
            response.headers_mut().insert("x-supabase-api-version", HeaderValue::from_static(API_VERSION));
        }
        response
    }
}

/// Makes errors in the style that this client asked for.
fn refuse(headers: &HeaderMap, status: StatusCode, code: &'static str, message: impl Into<String>) -> AuthError {
    let version = headers.get("x-supabase-api-version").and_then(|value| value.to_str().ok()).unwrap_or_default();
    AuthError { status, code, message: message.into(), new_style: version >= API_VERSION }
}

async fn require_api_key(State(supabase): State<Supabase>, request: Request, next: Next) -> Response {
    let from_query = request.uri().query().and_then(|query| {
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "apikey").map(|(_, value)| value.into_owned())
    });
    let key = request.headers().get("apikey").and_then(|value| value.to_str().ok()).map(str::to_owned).or(from_query);
    let refusal = match key.as_deref() {
        Some(key) if key == supabase.publishable_key() || key == supabase.secret_key() => None,
        Some(_) => Some(json!({
            "message": "Invalid API key",
            "hint": "Double check your Supabase `anon` or `service_role` API key."
        })),
        None => Some(json!({
            "message": "No API key found in request",
            "hint": "No `apikey` request header or url param was found."
        })),
    };
    match refusal {
        Some(body) => (StatusCode::UNAUTHORIZED, Json(body)).into_response(),
        None => next.run(request).await,
    }
}

fn user_json(user: &User) -> Value {
    let at = rfc3339(now());
    let mut app_metadata = json!({ "provider": "email", "providers": ["email"] });
    if let (Some(all), Some(own)) = (app_metadata.as_object_mut(), user.app_metadata.as_object()) {
        all.extend(own.clone());
    }
    json!({
        "id": user.id, "aud": "authenticated", "role": "authenticated", "email": user.email,
        "email_confirmed_at": at, "phone": "", "confirmed_at": at, "last_sign_in_at": at,
        "app_metadata": app_metadata,
        "user_metadata": { "email": user.email, "email_verified": true, "name": user.name, "sub": user.id },
        "identities": [], "created_at": at, "updated_at": at, "is_anonymous": false
    })
}

fn grant_json(supabase: &Supabase, grant: &Grant) -> Value {
    let mut options = supabase.options_for(&grant.user);
    options.session_id = grant.session;
    options.authentication_method.clone_from(&grant.method);
    options.claims.insert(
        "user_metadata".into(),
        json!({
            "email": grant.user.email, "email_verified": true,
            "name": grant.user.name, "sub": grant.user.id
        }),
    );
    let life = options.expires_in;
    json!({
        "access_token": supabase.mint(options),
        "token_type": "bearer",
        "expires_in": life,
        "expires_at": now().unix_timestamp() + life,
        "refresh_token": grant.refresh_token,
        "user": user_json(&grant.user),
    })
}

#[derive(Deserialize)]
struct GrantType {
    #[serde(default)]
    grant_type: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenBody {
    email: String,
    password: String,
    refresh_token: String,
    auth_code: String,
    code_verifier: String,
}

fn parse<T: for<'a> Deserialize<'a>>(headers: &HeaderMap, body: &Bytes) -> Result<T, AuthError> {
    serde_json::from_slice(body).map_err(|error| {
        let text = format!("Could not parse request body as JSON: {error}");
        refuse(headers, StatusCode::BAD_REQUEST, "bad_json", text)
    })
}

async fn token(
    State(supabase): State<Supabase>,
    Query(kind): Query<GrantType>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, AuthError> {
    let body: TokenBody = parse(&headers, &body)?;
    let bad = |code, message: &str| refuse(&headers, StatusCode::BAD_REQUEST, code, message);
    let mut store = lock(&supabase.inner.store);
    let grant = match kind.grant_type.as_str() {
        "password" => {
            let user = store
                .by_email(&body.email)
                .filter(|user| user.password.as_deref() == Some(body.password.as_str()))
                .cloned()
                .ok_or_else(|| bad("invalid_credentials", "Invalid login credentials"))?;
            store.open_session(&user, "password")
        }
        "refresh_token" => store.refresh(&body.refresh_token).map_err(|error| match error {
            RefreshError::Unknown => bad("refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found"),
            RefreshError::AlreadyUsed => bad("refresh_token_already_used", "Invalid Refresh Token: Already Used"),
        })?,
        "pkce" => {
            let user = store
                .exchange(&body.auth_code, &body.code_verifier)
                .ok_or_else(|| bad("bad_code_verifier", "code challenge does not match previously saved code verifier"))?;
            store.open_session(&user, "otp")
        }
        _ => return Err(bad("validation_failed", "unsupported_grant_type")),
    };
    drop(store);
    Ok(Json(grant_json(&supabase, &grant)))
}

#[derive(Deserialize)]
struct OtpBody {
    #[serde(default)]
    email: String,
    #[serde(default = "yes")]
    create_user: bool,
    #[serde(default)]
    code_challenge: Option<String>,
    #[serde(default)]
    code_challenge_method: Option<String>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Redirect {
    redirect_to: String,
    token: String,
    token_hash: String,
}

async fn otp(
    State(supabase): State<Supabase>,
    Query(query): Query<Redirect>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, AuthError> {
    let body: OtpBody = parse(&headers, &body)?;
    if !body.email.contains('@') {
        let text = "Unable to validate email address: invalid format";
        return Err(refuse(&headers, StatusCode::BAD_REQUEST, "validation_failed", text));
    }
    let mut store = lock(&supabase.inner.store);
    let known = store.by_email(&body.email).cloned();
    let user = match known {
        Some(user) => Some(user),
        None if body.create_user => store.sign_up(&body.email),
        None => None,
    }
    .ok_or_else(|| refuse(&headers, StatusCode::UNPROCESSABLE_ENTITY, "otp_disabled", "Signups not allowed for otp"))?;
    let challenge = body.code_challenge.filter(|value| !value.is_empty()).map(|value| Challenge {
        value,
        s256: body.code_challenge_method.is_some_and(|method| method.eq_ignore_ascii_case("s256")),
    });
    store.send_code(&user, supabase.issuer(), &query.redirect_to, challenge);
    Ok(Json(json!({})))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct VerifyBody {
    email: Option<String>,
    token: String,
    token_hash: String,
}

async fn verify(State(supabase): State<Supabase>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>, AuthError> {
    let body: VerifyBody = parse(&headers, &body)?;
    let secret = if body.token_hash.is_empty() { &body.token } else { &body.token_hash };
    let mut store = lock(&supabase.inner.store);
    let (user, _) = store
        .redeem(body.email.as_deref(), secret)
        .ok_or_else(|| refuse(&headers, StatusCode::FORBIDDEN, "otp_expired", "Token has expired or is invalid"))?;
    let grant = store.open_session(&user, "otp");
    drop(store);
    Ok(Json(grant_json(&supabase, &grant)))
}

/// The link of a mail: back to the page, with a code (PKCE) or with the session itself.
async fn follow_link(State(supabase): State<Supabase>, Query(query): Query<Redirect>) -> Response {
    let secret = if query.token_hash.is_empty() { &query.token } else { &query.token_hash };
    let mut store = lock(&supabase.inner.store);
    let redeemed = store.redeem(None, secret);
    let target = match redeemed {
        None => format!(
            "{}#error=access_denied&error_code=otp_expired&error_description=Email+link+is+invalid+or+has+expired",
            query.redirect_to
        ),
        Some((user, Some(challenge))) => {
            let code = store.auth_code(&user, challenge);
            let separator = if query.redirect_to.contains('?') { '&' } else { '?' };
            format!("{}{separator}code={code}", query.redirect_to)
        }
        Some((user, None)) => {
            let grant = store.open_session(&user, "otp");
            let answer = grant_json(&supabase, &grant);
            let text = |name: &str| answer[name].to_string().trim_matches('"').to_owned();
            format!(
                "{}#access_token={}&expires_at={}&expires_in={}&refresh_token={}&token_type=bearer&type=magiclink",
                query.redirect_to,
                text("access_token"),
                text("expires_at"),
                text("expires_in"),
                text("refresh_token"),
            )
        }
    };
    (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response()
}

/// Who is asking, if the token is good and its session has not been ended.
fn bearer(supabase: &Supabase, headers: &HeaderMap) -> Result<(User, Uuid), AuthError> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(|| {
            let text = "This endpoint requires a valid Bearer token";
            refuse(headers, StatusCode::UNAUTHORIZED, "no_authorization", text)
        })?;
    let bad = |message: &str| refuse(headers, StatusCode::FORBIDDEN, "bad_jwt", message);
    let keys = lock(&supabase.inner.keys).clone();
    let claims = tokens::read(&keys, token).ok_or_else(|| bad("invalid JWT: unable to parse or verify signature"))?;
    let id = |name: &str| claims[name].as_str().and_then(|text| Uuid::parse_str(text).ok());
    let user = id("sub").ok_or_else(|| bad("invalid claim: missing sub claim"))?;
    let session = id("session_id").unwrap_or_default();
    let store = lock(&supabase.inner.store);
    if !store.has_session(session) {
        let text = "Session from session_id claim in JWT does not exist";
        return Err(refuse(headers, StatusCode::FORBIDDEN, "session_not_found", text));
    }
    let user = store.by_id(user).cloned().ok_or_else(|| {
        let text = "User from sub claim in JWT does not exist";
        refuse(headers, StatusCode::FORBIDDEN, "user_not_found", text)
    })?;
    Ok((user, session))
}

async fn user(State(supabase): State<Supabase>, headers: HeaderMap) -> Result<Json<Value>, AuthError> {
    bearer(&supabase, &headers).map(|(user, _)| Json(user_json(&user)))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Scope {
    scope: String,
}

async fn logout(
    State(supabase): State<Supabase>,
    Query(query): Query<Scope>,
    headers: HeaderMap,
) -> Result<StatusCode, AuthError> {
    let (user, session) = bearer(&supabase, &headers)?;
    lock(&supabase.inner.store).log_out(user.id, session, &query.scope);
    Ok(StatusCode::NO_CONTENT)
}

async fn settings() -> Json<Value> {
    Json(json!({
        "external": { "email": true, "phone": false, "google": false, "anonymous_users": false },
        "disable_signup": false, "mailer_autoconfirm": false, "phone_autoconfirm": false,
        "sms_provider": "", "saml_enabled": false
    }))
}

async fn health() -> Json<Value> {
    Json(json!({ "version": "sandbox", "name": "GoTrue", "description": "GoTrue is a user registration and authentication API" }))
}

async fn jwks(State(supabase): State<Supabase>) -> Response {
    let mut response = Json(supabase.jwks()).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    response
}
