//! The built web app, and what its pages may load.

use crate::config::Config;
use crate::ids::SessionId;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use std::path::Path;
use tower_http::services::{ServeDir, ServeFile};
use url::{Origin, Url};
use uuid::Uuid;

/// Names in this folder carry a hash of their content.
const HASHED: &str = "/assets";

/// Serve the app from `web_dir`; addresses that are no file are the app's own.
pub(super) fn serve(router: Router, web_dir: Option<&Path>) -> Router {
    let Some(dir) = web_dir else { return router };
    // A missing asset must stay a 404: a page in place of a script is harder to understand.
    let assets = Router::new()
        .fallback_service(ServeDir::new(dir.join(HASHED.trim_start_matches('/'))))
        .layer(middleware::map_response(kept_for_ever));
    let pages = Router::new()
        .fallback_service(ServeDir::new(dir).fallback(ServeFile::new(dir.join("index.html"))))
        .layer(middleware::map_response(asked_again));
    router.nest(HASHED, assets).fallback_service(pages)
}

/// What is no file is an error, and kept by nobody (`http::headers`).
async fn kept_for_ever(response: Response) -> Response {
    cached(response, "public, max-age=31536000, immutable")
}

async fn asked_again(response: Response) -> Response {
    cached(response, "no-cache")
}

fn cached(mut response: Response, how: &'static str) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(how));
    response
}

/// What a page may load, and whom it may speak with.
pub(super) fn content_policy(config: &Config) -> String {
    let origin = |text: &str| {
        Url::parse(text).ok().map(|url| url.origin()).filter(Origin::is_tuple).map(|origin| origin.ascii_serialization())
    };
    let upload = origin(config.api_video.upload_url.as_str());
    let mut connect = vec!["'self'".to_owned()];
    // Not every browser counts a WebSocket of the same origin as 'self'.
    connect.extend(websocket_source(config));
    connect.extend(origin(&config.supabase.public_url));
    connect.extend(upload.clone());
    connect.dedup();
    // Playback addresses are the provider's; it serves them from several of its hosts.
    let hosted = config.api_video.upload_url.host_str().is_some_and(|host| host.ends_with("api.video"));
    let playback = if hosted { Some("https://*.api.video".to_owned()) } else { upload };
    let playback = playback.map_or_else(String::new, |source| format!(" {source}"));
    format!(
        "default-src 'self'; connect-src {}; media-src 'self' blob:{playback}; frame-src 'self'{playback}; img-src 'self' data:; \
         worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
        connect.join(" ")
    )
}

/// Where sockets are opened; a session in the host name becomes a wildcard.
fn websocket_source(config: &Config) -> Option<String> {
    let (placeholder, id) = (Uuid::nil().to_string(), SessionId(Uuid::nil()));
    let url = Url::parse(&config.http.websocket_url(id)).ok()?;
    let host = url.host_str()?;
    let host = match host.split_once('.') {
        Some((label, rest)) if label.contains(&placeholder) => format!("*.{rest}"),
        _ => host.to_owned(),
    };
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    Some(format!("{}://{host}{port}", url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;

    fn policy(more: &[(&str, &str)]) -> String {
        let mut overrides: std::collections::HashMap<String, String> = [
            ("INTERVIEW__TENANT__ID", "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001"),
            ("INTERVIEW__DATABASE__URL", "postgres://runtime@localhost:5432/db"),
            ("INTERVIEW__ROUTING__PUBLIC_KEYS", "bfWojW5xEbNs-y_p87TTGTPhoc32MmgCwbFKv2mpwas"),
            ("INTERVIEW__OPENAI__API_KEY", "key"),
            ("INTERVIEW__API_VIDEO__API_KEY", "key"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        overrides.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        content_policy(&Config::load(None, Role::Session, Some(overrides)).expect("a configuration"))
    }

    #[test]
    fn the_policy_names_the_origins_a_page_speaks_with() {
        let policy = policy(&[
            ("INTERVIEW__HTTP__PUBLIC_URL", "https://interviews-acme.fly.dev"),
            ("INTERVIEW__SUPABASE__PUBLIC_URL", "https://ref.supabase.co"),
        ]);
        let connect = "connect-src 'self' wss://interviews-acme.fly.dev https://ref.supabase.co https://ws.api.video;";
        assert!(policy.contains(connect), "{policy}");
        assert!(policy.contains("media-src 'self' blob: https://*.api.video;"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }

    #[test]
    fn a_session_in_the_host_name_is_a_wildcard() {
        let policy = policy(&[("INTERVIEW__HTTP__WEBSOCKET_URL", "wss://interview-{session_id}.rt.example.com/ws")]);
        assert!(policy.contains("wss://*.rt.example.com"), "{policy}");
    }
}
