//! Containers, tokens and sign-in.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use data_encoding::BASE64;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use super::problem::Problem;
use super::state::{Class, MAX_TOKENS, MAX_VIDEOS, Pair, UploadToken, Video};
use super::{ApiVideo, playback, upload};
use crate::faults::NamedFault;
use crate::util::{lock, now, random_hex};

const BEARER_LIFE: Duration = Duration::from_hours(1);

pub(super) fn router(api: ApiVideo) -> Router {
    let project = Router::new()
        .route("/videos", get(list).post(create))
        .route("/videos/{id}", get(read).patch(update).delete(remove))
        .route("/videos/{id}/status", get(status))
        .route("/videos/{id}/source", post(upload::with_key))
        .route("/upload-tokens", get(list_tokens).post(create_token))
        .route("/upload-tokens/{token}", get(read_token).delete(remove_token))
        .layer(axum::middleware::from_fn_with_state(api.clone(), require_key));
    Router::new()
        .route("/auth/api-key", post(sign_in))
        .route("/auth/refresh", post(refresh))
        .route("/upload", post(upload::with_token))
        .merge(project)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn_with_state(api.clone(), limit_rate))
        .with_state(api)
}

pub(super) fn browser_router(api: ApiVideo) -> Router {
    Router::new()
        .route("/upload", post(upload::with_token))
        .route("/vod/{id}/token/{token}/mp4/source.mp4", get(playback::source))
        .route("/vod/{id}/token/{token}/session", get(playback::session))
        .route("/vod/{id}/mp4/source.mp4", get(playback::public_source))
        .fallback(unknown)
        .layer(DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn_with_state(api.clone(), limit_rate))
        .with_state(api)
}

/// Names for faults.
pub(crate) fn route_name(method: &Method, path: &str) -> &'static str {
    let mut parts = path.trim_matches('/').split('/');
    let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    match (first, second, third, method.as_str()) {
        ("videos", None, _, "POST") => "videos.create",
        ("videos", None, _, _) => "videos.list",
        ("videos", _, Some("status"), _) => "videos.status",
        ("videos", _, Some("source"), _) => "videos.source",
        ("videos", _, _, "PATCH") => "videos.update",
        ("videos", _, _, "DELETE") => "videos.delete",
        ("videos", ..) => "videos.get",
        ("upload-tokens", None, _, "POST") => "upload_tokens.create",
        ("upload-tokens", _, _, "DELETE") => "upload_tokens.delete",
        ("upload-tokens", ..) => "upload_tokens.get",
        ("upload", _, _, "OPTIONS") => "upload.preflight",
        ("upload", ..) => "upload",
        ("auth", ..) => "auth",
        ("vod", ..) => "vod",
        _ => "unknown",
    }
}

async fn unknown(State(api): State<ApiVideo>, method: Method, uri: http::Uri) -> Problem {
    api.inner.ledger.violation(super::VENDOR, format!("{method} {} is not an endpoint", uri.path()));
    Problem::new(StatusCode::NOT_FOUND, "unrecognized-request-url", "Unrecognized request URL.")
}

async fn wrong_method(State(api): State<ApiVideo>, method: Method, uri: http::Uri) -> Problem {
    api.inner.ledger.violation(super::VENDOR, format!("{method} is not a method of {}", uri.path()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed.")
}

/// The vendor says on every answer how much of the minute's allowance is left.
async fn limit_rate(State(api): State<ApiVideo>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let class = if path == "/upload" || path.ends_with("/source") {
        Class::Upload
    } else if request.method() == Method::GET || path.starts_with("/auth") {
        Class::Read
    } else {
        Class::Write
    };
    let allowance = lock(&api.inner.state).count(class);
    let mut response = if allowance.exceeded && api.inner.options.rate_limits {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests.").into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-limit", HeaderValue::from(allowance.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(allowance.remaining));
    headers.insert("x-ratelimit-retry-after", HeaderValue::from(allowance.seconds_left));
    response
}

async fn require_key(State(api): State<ApiVideo>, request: Request, next: Next) -> Response {
    match check_key(&api, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check_key(api: &ApiVideo, headers: &HeaderMap) -> Result<(), Problem> {
    let unauthorized = |slug, title| Problem::new(StatusCode::UNAUTHORIZED, slug, title);
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| unauthorized("authentication-missing-authorization-header", "Missing Authorization header."))?;
    if let Some(basic) = value.strip_prefix("Basic ") {
        // The key is the user name and the password is empty: the colon stays.
        let wanted = format!("{}:", api.api_key());
        return match BASE64.decode(basic.as_bytes()) {
            Ok(given) if given == wanted.as_bytes() => Ok(()),
            _ => Err(unauthorized("authentication-invalid-api-key", "The API key is invalid.")),
        };
    }
    let bearer = value.strip_prefix("Bearer ").unwrap_or_default();
    let state = lock(&api.inner.state);
    match state.bearers.get(bearer) {
        Some(since) if since.elapsed() < BEARER_LIFE => Ok(()),
        _ => Err(unauthorized("authentication-invalid-access-token", "The access token is invalid.")),
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SignIn {
    api_key: String,
    refresh_token: String,
}

async fn sign_in(State(api): State<ApiVideo>, Json(body): Json<SignIn>) -> Result<Json<Value>, Problem> {
    if body.api_key != api.api_key() {
        return Err(Problem::bad("authentication-invalid-api-key", "The API key is invalid."));
    }
    Ok(Json(grant(&api)))
}

async fn refresh(State(api): State<ApiVideo>, Json(body): Json<SignIn>) -> Result<Json<Value>, Problem> {
    if lock(&api.inner.state).refresh.remove(&body.refresh_token).is_none() {
        return Err(Problem::bad("invalid-attribute", "The refresh token is invalid.").named("refreshToken"));
    }
    Ok(Json(grant(&api)))
}

fn grant(api: &ApiVideo) -> Value {
    let (access, refresh) = (random_hex::<20>(), random_hex::<20>());
    let mut state = lock(&api.inner.state);
    state.bearers.retain(|_, since| since.elapsed() < BEARER_LIFE);
    state.refresh.retain(|_, since| since.elapsed() < BEARER_LIFE * 24);
    state.bearers.insert(access.clone(), Instant::now());
    state.refresh.insert(refresh.clone(), Instant::now());
    json!({ "token_type": "Bearer", "expires_in": BEARER_LIFE.as_secs(), "access_token": access, "refresh_token": refresh })
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct VideoBody {
    title: Option<String>,
    description: Option<String>,
    public: Option<bool>,
    mp4_support: Option<bool>,
    tags: Option<Vec<String>>,
    metadata: Option<Vec<Pair>>,
}

impl VideoBody {
    fn apply(self, video: &mut Video) {
        video.title = self.title.unwrap_or_else(|| std::mem::take(&mut video.title));
        video.description = self.description.unwrap_or_else(|| std::mem::take(&mut video.description));
        video.public = self.public.unwrap_or(video.public);
        video.mp4_support = self.mp4_support.unwrap_or(video.mp4_support);
        video.tags = self.tags.unwrap_or_else(|| std::mem::take(&mut video.tags));
        video.metadata = self.metadata.unwrap_or_else(|| std::mem::take(&mut video.metadata));
        video.updated = now();
    }
}

fn parse<T: for<'a> Deserialize<'a>>(body: &Bytes) -> Result<T, Problem> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad("invalid-attribute", format!("This attribute is invalid: {error}.")))
}

fn new_id() -> String {
    format!("vi{}", random_hex::<11>())
}

/// Makes a container; also for an upload that names none.
pub(super) fn new_video(api: &ApiVideo, title: &str) -> Result<Video, Problem> {
    let mut state = lock(&api.inner.state);
    if state.videos.len() >= MAX_VIDEOS {
        return Err(Problem::internal("too many videos for the stand-in"));
    }
    let video = Video::new(new_id(), title.to_owned());
    state.videos.insert(video.id.clone(), video.clone());
    Ok(video)
}

async fn create(State(api): State<ApiVideo>, body: Bytes) -> Result<Response, Problem> {
    let body: VideoBody = parse(&body)?;
    if body.title.as_deref().unwrap_or_default().is_empty() {
        return Err(Problem::bad("attribute-required", "This attribute is required.").named("title"));
    }
    let id = new_video(&api, "")?.id;
    body.apply(lock(&api.inner.state).video(&id)?);
    Ok((StatusCode::CREATED, Json(shown(&api, &id)?)).into_response())
}

/// The container with its assets; a private one gets a new one-use token each time.
pub(super) fn shown(api: &ApiVideo, id: &str) -> Result<Value, Problem> {
    let mut state = lock(&api.inner.state);
    let video = state.video(id)?.clone();
    let base = &api.inner.options.public_base;
    let vod = if video.public {
        format!("{base}/vod/{id}")
    } else {
        let token = random_hex::<16>();
        state.remember_play_token(token.clone(), id, random_hex::<16>());
        format!("{base}/vod/{id}/token/{token}")
    };
    let assets = json!({
        "hls": format!("{vod}/hls/manifest.m3u8"),
        "iframe": format!("<iframe src=\"{vod}/player\" width=\"100%\" height=\"100%\" frameborder=\"0\" scrolling=\"no\" allowfullscreen=\"true\"></iframe>"),
        "player": format!("{vod}/player"),
        "thumbnail": format!("{vod}/thumbnail.jpg"),
        "mp4": format!("{vod}/mp4/source.mp4"),
    });
    Ok(video.json(&assets))
}

async fn read(State(api): State<ApiVideo>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    shown(&api, &id).map(Json)
}

async fn update(State(api): State<ApiVideo>, Path(id): Path<String>, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: VideoBody = parse(&body)?;
    body.apply(lock(&api.inner.state).video(&id)?);
    shown(&api, &id).map(Json)
}

async fn remove(State(api): State<ApiVideo>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let removed = lock(&api.inner.state).videos.remove(&id);
    removed.ok_or_else(|| Problem::not_found("videoId"))?;
    match tokio::fs::remove_dir_all(api.folder(&id)).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Problem::internal(error)),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

async fn status(
    State(api): State<ApiVideo>,
    fault: Option<Extension<NamedFault>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let mut state = lock(&api.inner.state);
    let video = state.video(&id)?;
    let mut status = video.status_json(api.inner.options.encoding_time);
    if fault.is_some_and(|Extension(NamedFault(name))| name == "encoding_failed") {
        for quality in status["encoding"]["qualities"].as_array_mut().into_iter().flatten() {
            quality["status"] = "failed".into();
        }
        status["encoding"]["playable"] = false.into();
    }
    Ok(Json(status))
}

/// `metadata[key]=value`, `tags[]`, `title`, `currentPage`, `pageSize`.
async fn list(State(api): State<ApiVideo>, Query(query): Query<Vec<(String, String)>>) -> Result<Json<Value>, Problem> {
    let number = |name: &str, default: usize| -> Result<usize, Problem> {
        match query.iter().find(|(key, _)| key == name) {
            None => Ok(default),
            Some((_, value)) => value
                .parse()
                .ok()
                .filter(|number| (1..=100).contains(number) || name == "currentPage")
                .ok_or_else(|| Problem::bad("invalid-attribute", "This attribute is invalid.").named(name)),
        }
    };
    let (page, size) = (number("currentPage", 1)?.max(1), number("pageSize", 25)?);
    let fits = |video: &Video| {
        query.iter().all(|(key, value)| {
            if let Some(name) = key.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']')) {
                return video.metadata.iter().any(|pair| pair.key == name && &pair.value == value);
            }
            match key.as_str() {
                "tags[]" => video.tags.contains(value),
                "title" => video.title.contains(value.as_str()),
                _ => true,
            }
        })
    };
    let mut found: Vec<(time::OffsetDateTime, String)> = {
        let state = lock(&api.inner.state);
        let fitting = state.videos.values().filter(|video| fits(video));
        fitting.map(|video| (video.created, video.id.clone())).collect()
    };
    found.sort_by(|left, right| right.cmp(left));
    let total = found.len();
    let data = found.iter().skip((page - 1) * size).take(size).map(|(_, id)| shown(&api, id)).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({
        "data": data,
        "pagination": {
            "currentPage": page, "currentPageItems": data.len(), "pageSize": size,
            "pagesTotal": total.div_ceil(size), "itemsTotal": total, "links": []
        }
    })))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenBody {
    ttl: u64,
}

async fn create_token(State(api): State<ApiVideo>, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: TokenBody = parse(&body)?;
    if body.ttl > 2_147_483_647 {
        return Err(Problem::bad("invalid-attribute", "This attribute is invalid.").named("ttl"));
    }
    let token = format!("to{}", random_hex::<11>());
    let held = UploadToken { ttl: body.ttl, created: now() };
    let answer = held.json(&token);
    let mut state = lock(&api.inner.state);
    if state.tokens.len() >= MAX_TOKENS {
        state.tokens.retain(|_, token| token.is_valid());
    }
    state.tokens.insert(token, held);
    Ok(Json(answer))
}

async fn read_token(State(api): State<ApiVideo>, Path(token): Path<String>) -> Result<Json<Value>, Problem> {
    let state = lock(&api.inner.state);
    let held = state.tokens.get(&token).ok_or_else(|| Problem::not_found("uploadToken"))?;
    Ok(Json(held.json(&token)))
}

async fn list_tokens(State(api): State<ApiVideo>) -> Json<Value> {
    let state = lock(&api.inner.state);
    let data: Vec<Value> = state.tokens.iter().map(|(token, held)| held.json(token)).take(100).collect();
    Json(json!({
        "pagination": {
            "currentPage": 1, "currentPageItems": data.len(), "pageSize": 100,
            "pagesTotal": 1, "itemsTotal": data.len(), "links": []
        },
        "data": data
    }))
}

async fn remove_token(State(api): State<ApiVideo>, Path(token): Path<String>) -> Result<StatusCode, Problem> {
    let removed = lock(&api.inner.state).tokens.remove(&token);
    removed.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| Problem::not_found("uploadToken"))
}
