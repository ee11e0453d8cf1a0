//! The request as the client sent it, kept so that it can be sent again.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use hyper::upgrade::OnUpgrade;

use super::model::ulid;
use super::replay::Transform;
use crate::faults::Connection;
use crate::listener::Peer;

/// Larger requests cannot be replayed.
const MAX_REPLAYED: usize = 1024 * 1024;
/// What only the proxy may say; whatever a client sends under these names is dropped.
const OWN_HEADERS: [&str; 8] = [
    "fly-replay-src",
    "fly-replay-failed",
    "fly-preferred-instance-unavailable",
    "fly-client-ip",
    "fly-region",
    "fly-forwarded-port",
    "fly-request-id",
    "x-forwarded-proto",
];
const HOP_BY_HOP: [&str; 8] =
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"];

/// The request as the client sent it, kept for replays.
pub(super) struct Original {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Kept,
    pub(super) upgrade: Option<OnUpgrade>,
    pub(super) client: Option<SocketAddr>,
    /// For a fault to cut.
    pub(super) connection: Option<Connection>,
    pub(super) id: String,
}

pub(super) enum Kept {
    Whole(Bytes),
    /// Too large to keep: sent once, as it comes.
    Stream(Option<Body>),
}

impl Original {
    pub(super) async fn keep(mut request: Request) -> Self {
        let upgrade = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let client = request.extensions().get::<Peer>().map(|peer| peer.0);
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        for name in OWN_HEADERS {
            headers.remove(name);
        }
        let body = if upgrade.is_some() { Kept::Whole(Bytes::new()) } else { Kept::read(body).await };
        Self {
            method: parts.method,
            uri: parts.uri,
            headers,
            body,
            upgrade,
            client,
            connection: None,
            id: format!("{}-sandbox", ulid()),
        }
    }

    /// The request for a machine: the original and what the proxy adds.
    pub(super) fn outgoing(&mut self, region: &str, transform: &Transform, extra: &HeaderMap) -> Option<http::Request<Body>> {
        let body = match &mut self.body {
            Kept::Whole(bytes) => Body::from(bytes.clone()),
            Kept::Stream(body) => body.take()?,
        };
        let path = transform.path.as_deref().or(self.uri.path_and_query().map(http::uri::PathAndQuery::as_str)).unwrap_or("/");
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = path.parse().ok()?;
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        strip_hop_by_hop(headers);
        if matches!(self.body, Kept::Whole(_)) {
            headers.remove(header::CONTENT_LENGTH);
        }
        if self.upgrade.is_some() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            if let Some(protocol) = self.headers.get(header::UPGRADE) {
                headers.insert(header::UPGRADE, protocol.clone());
            }
        }
        let client = self.client.map(|client| client.ip().to_string()).unwrap_or_default();
        for (name, value) in [
            ("fly-client-ip", client.as_str()),
            ("fly-region", region),
            ("fly-forwarded-port", "443"),
            ("fly-request-id", self.id.as_str()),
            ("x-forwarded-proto", "http"),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if let Ok(value) = HeaderValue::try_from(client) {
            headers.append("x-forwarded-for", value);
        }
        headers.append(header::VIA, HeaderValue::from_static("1.1 fly.io"));
        for (name, value) in extra {
            headers.insert(name.clone(), value.clone());
        }
        transform.apply(headers);
        Some(request)
    }
}

impl Kept {
    async fn read(body: Body) -> Self {
        let mut stream = body.into_data_stream();
        let mut read = Vec::new();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => read.extend_from_slice(&chunk),
                Err(error) => {
                    let failed = futures_util::stream::once(async { Err::<Bytes, _>(error) });
                    return Self::Stream(Some(Body::from_stream(failed)));
                }
            }
            if read.len() > MAX_REPLAYED {
                let begun = futures_util::stream::once(async { Ok(Bytes::from(read)) });
                return Self::Stream(Some(Body::from_stream(begun.chain(stream))));
            }
        }
        Self::Whole(read.into())
    }
}

pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}
