//! Private playback: a token serves one player, for 24 hours, with `Range` requests.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use super::ApiVideo;
use super::problem::Problem;
use crate::util::lock;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Session {
    avh: Option<String>,
}

/// Who plays, as far as plain HTTP can tell.
fn player(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    String::from_utf8_lossy(agent.unwrap_or_default()).into_owned()
}

fn spent() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "private-video-token-invalid",
        "The private token is unknown, was used by another player, or has expired.",
    )
}

pub(super) async fn session(
    State(api): State<ApiVideo>,
    Path((id, token)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = lock(&api.inner.state).play_session(&token, &id, &player(&headers));
    let session = session.ok_or_else(spent)?;
    Ok(Json(json!({ "session_token": session })).into_response())
}

pub(super) async fn source(
    State(api): State<ApiVideo>,
    Path((id, token)): Path<(String, String)>,
    Query(session): Query<Session>,
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    let player = player(request.headers());
    if !lock(&api.inner.state).may_play(&token, &id, &player, session.avh.as_deref()) {
        return Err(spent());
    }
    serve(&api, &id, request).await
}

pub(super) async fn public_source(
    State(api): State<ApiVideo>,
    Path(id): Path<String>,
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    let public = lock(&api.inner.state).video(&id)?.public;
    if !public {
        return Err(spent());
    }
    serve(&api, &id, request).await
}

async fn serve(api: &ApiVideo, id: &str, request: axum::extract::Request) -> Result<Response, Problem> {
    let playable = lock(&api.inner.state).video(id)?.playable(api.inner.options.encoding_time);
    let path = api.recording(id).filter(|_| playable).ok_or_else(|| Problem::not_found("videoId"))?;
    let mut head = [0u8; 4];
    if let Ok(mut file) = tokio::fs::File::open(&path).await {
        let _ = tokio::io::AsyncReadExt::read(&mut file, &mut head).await;
    }
    // WebM begins with the EBML mark; browsers' other format is MP4.
    let kind = if head == [0x1a, 0x45, 0xdf, 0xa3] { "video/webm" } else { "video/mp4" };
    let Ok(served) = ServeFile::new(&path).oneshot(request).await;
    let mut response = served.map(Body::new);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}
