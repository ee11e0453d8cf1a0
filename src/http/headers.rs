//! The headers that every answer of every listener carries, whatever the request's result is.

use crate::config::Config;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;

/// For a listener that serves no page.
pub const NO_PAGE: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self), display-capture=(), geolocation=(), payment=()",
    ),
    // No other site's window has a handle on ours, and none may load what is ours.
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// A year, without subdomains: they may be somebody else's.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Wrap everything: what answers outside of this layer answers without its headers.
pub fn with_security_headers(router: Router, config: &Config, content_policy: &str) -> Router {
    let mut headers = HeaderMap::new();
    headers.extend(ALWAYS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    // Origins are ASCII; a value that is not would only mean the strictest policy.
    let policy = HeaderValue::from_str(content_policy).unwrap_or(HeaderValue::from_static(NO_PAGE));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    // The sandbox is served over plain HTTP.
    if !config.sandbox.enabled {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    router.layer(middleware::from_fn_with_state(headers, add))
}

/// An answer depends on who asks, so nobody keeps it unless it says otherwise; an error is never kept.
async fn add(State(all): State<HeaderMap>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let failed = response.status().is_client_error() || response.status().is_server_error();
    let headers = response.headers_mut();
    headers.extend(all);
    if failed || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, NO_STORE);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::routing::get;
    use tower::ServiceExt;

    async fn answered(sandbox: bool, path: &str) -> Response {
        let keys = [
            ("INTERVIEW__TENANT__ID", "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001"),
            ("INTERVIEW__DATABASE__URL", "postgres://runtime@localhost:5432/db"),
            ("INTERVIEW__ROUTING__PUBLIC_KEYS", "bfWojW5xEbNs-y_p87TTGTPhoc32MmgCwbFKv2mpwas"),
            ("INTERVIEW__OPENAI__API_KEY", "key"),
            ("INTERVIEW__API_VIDEO__API_KEY", "key"),
            ("INTERVIEW__SANDBOX__ENABLED", if sandbox { "true" } else { "false" }),
        ];
        let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let config = Config::load(None, Role::Session, Some(keys)).expect("a configuration");
        let kept = get(|| async { [(header::CACHE_CONTROL, "public, max-age=60")] });
        let failed = get(|| async { (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "public, max-age=60")]) });
        let router = Router::new().route("/kept", kept).route("/failed", failed);
        let request = Request::get(path).body(Body::empty()).expect("a request");
        with_security_headers(router, &config, NO_PAGE).oneshot(request).await.expect("an answer")
    }

    #[tokio::test]
    async fn outside_of_the_sandbox_browsers_are_told_to_use_https_only() {
        for (sandbox, told) in [(true, None), (false, Some(&HTTPS_ONLY))] {
            for path in ["/kept", "/failed", "/nowhere"] {
                assert_eq!(answered(sandbox, path).await.headers().get(header::STRICT_TRANSPORT_SECURITY), told);
            }
        }
    }

    #[tokio::test]
    async fn an_error_is_kept_by_nobody_whatever_it_says() {
        for (path, how) in [("/kept", "public, max-age=60"), ("/failed", "no-store"), ("/nowhere", "no-store")] {
            assert_eq!(answered(true, path).await.headers()[header::CACHE_CONTROL], how, "{path}");
        }
    }
}
