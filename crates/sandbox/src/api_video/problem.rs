//! api.video's error bodies.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: String,
    name: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, slug: &'static str, title: impl Into<String>) -> Self {
        Self { status, slug, title: title.into(), name: None }
    }

    pub(super) fn bad(slug: &'static str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, slug, title)
    }

    pub(super) fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "resource-not-found", "The requested resource was not found.").named(what)
    }

    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "the recording store failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "An internal error occurred.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("https://docs.api.video/reference/{}", self.slug),
            "title": self.title,
            "status": self.status.as_u16(),
        });
        if let Some(name) = self.name {
            body["name"] = name.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/problem+json"));
        response
    }
}
