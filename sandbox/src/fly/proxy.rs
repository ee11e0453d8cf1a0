//! Fly Proxy: from the public door to a machine, and on to another one when the first
//! answers with `fly-replay`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::service_address;
use super::model::MachineState;
use super::replay::{self, Fallback, Replay, Transform};
use super::runner::Order;
use super::{Fly, Machine, ulid};
use crate::ledger::{Entry, header_list};
use crate::listener::Peer;
use crate::util::now;

pub const VENDOR: &str = "fly-proxy";
/// The stand-in's door plays the part of Fly's TLS port: services are matched by it.
const EXTERNAL_PORT: u16 = 443;
/// Larger requests cannot be replayed.
const MAX_REPLAYED: usize = 1024 * 1024;
const MAX_HOPS: usize = 10;
const CONNECT: Duration = Duration::from_secs(2);
/// How long a machine that is booting, or an id that is not known yet, is tried.
const PATIENCE: Duration = Duration::from_secs(8);
const UNKNOWN_PATIENCE: Duration = Duration::from_millis(1_500);
const RETRY: Duration = Duration::from_millis(100);
const FIRST_BYTE: Duration = Duration::from_mins(1);
/// When one side of a tunnel has ended, the other may finish its sentence.
const HALF_CLOSED: Duration = Duration::from_secs(5);

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
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The public door.
#[derive(Clone)]
pub struct Door {
    fly: Fly,
    /// The app that answers when the host name names none.
    app: String,
    stop: CancellationToken,
    tasks: TaskTracker,
    tunnels: Arc<AtomicUsize>,
}

/// The request as the client sent it, kept for replays.
struct Original {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Kept,
    upgrade: Option<OnUpgrade>,
    client: Option<SocketAddr>,
    id: String,
}

enum Kept {
    Whole(Bytes),
    /// Too large to keep: sent once, as it comes.
    Stream(Option<Body>),
}

/// Where the request goes next.
#[derive(Clone, Debug, Default)]
struct Target {
    app: String,
    instance: Option<String>,
    prefer: Option<String>,
    regions: Vec<String>,
    /// Not this machine.
    except: Option<String>,
    patience: Option<Duration>,
}

/// Fly's names for a target that could not be reached.
#[derive(Clone, Copy, Debug)]
enum Missed {
    Timeout,
    RetriesExhausted,
    NoCandidate,
}

impl Missed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RetriesExhausted => "retries_exhausted",
            Self::NoCandidate => "no_candidate",
        }
    }
}

impl Door {
    pub fn new(fly: Fly, app: impl Into<String>, stop: CancellationToken, tasks: TaskTracker) -> Self {
        Self {
            fly,
            app: app.into(),
            stop,
            tasks,
            tunnels: Arc::default(),
        }
    }

    pub fn router(&self) -> Router {
        Router::new().fallback(enter).with_state(self.clone())
    }

    /// WebSockets that are open through the proxy right now.
    pub fn open_tunnels(&self) -> usize {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// `app.localhost` names an app, as `app.fly.dev` does; any other host is the default.
    fn app_of(&self, headers: &HeaderMap) -> String {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = host.split('.').next().unwrap_or_default();
        match self.fly.app(name) {
            Some(app) if app.is_public() => app.name,
            _ => self.app.clone(),
        }
    }
}

async fn enter(State(door): State<Door>, request: Request) -> Response {
    let app = door.app_of(request.headers());
    if !door.fly.app(&app).is_some_and(|app| app.is_public()) {
        return refuse(StatusCode::BAD_GATEWAY, "PA04", "no such app, or it has no public address");
    }
    let mut original = Original::keep(request).await;
    let begun = now();
    let mut hops = Vec::new();
    let mut response = door.deliver(&mut original, app, &mut hops).await;
    if let Ok(id) = HeaderValue::try_from(original.id.as_str()) {
        response.headers_mut().insert("fly-request-id", id);
    }
    response.headers_mut().append(header::VIA, HeaderValue::from_static("1.1 fly.io"));
    if !hops.is_empty() || response.status().is_server_error() {
        door.fly.inner.ledger.record(Entry {
            at: begun,
            vendor: VENDOR,
            method: original.method.to_string(),
            path: original.uri.path().to_owned(),
            query: original.uri.query().unwrap_or_default().to_owned(),
            headers: header_list(&original.headers),
            request: serde_json::Value::Null,
            status: response.status().as_u16(),
            response: json!({ "replays": hops }),
        });
    }
    response
}

fn refuse(status: StatusCode, code: &str, text: &str) -> Response {
    (status, format!("{code}: {text}\n")).into_response()
}

impl Original {
    async fn keep(mut request: Request) -> Self {
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
            id: format!("{}-sandbox", ulid()),
        }
    }

    /// The request for a machine: the original and what the proxy adds.
    fn outgoing(&mut self, region: &str, transform: &Transform, extra: &HeaderMap) -> Option<http::Request<Body>> {
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

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

impl Door {
    /// Follows replays until a machine really answers.
    async fn deliver(&self, original: &mut Original, app: String, hops: &mut Vec<serde_json::Value>) -> Response {
        let mut target = Target {
            app,
            ..Target::default()
        };
        let mut extra = HeaderMap::new();
        let mut transform = Transform::default();
        // The machine that asked for the replay we are carrying out, and its wish.
        let mut asked: Option<(Arc<Machine>, Replay, Instant)> = None;
        let mut may_replay = true;
        loop {
            let (machine, connection) = match self.reach(&target).await {
                Ok(reached) => reached,
                Err(missed) => match asked.take() {
                    Some((source, replay, since)) if replay.fallback.is_some() => {
                        (target, extra) = fall_back(&source, &replay, missed, since);
                        (transform, may_replay) = (Transform::default(), false);
                        hops.push(json!({ "fallback_to": source.id, "reason": missed.as_str() }));
                        continue;
                    }
                    _ => return unreachable_target(&target, missed),
                },
            };
            if target.prefer.as_ref().is_some_and(|wanted| *wanted != machine.id) {
                if let Ok(value) = HeaderValue::try_from(target.prefer.clone().unwrap_or_default()) {
                    extra.insert("fly-preferred-instance-unavailable", value);
                }
            }
            let Some(request) = original.outgoing(&self.fly.options().region, &transform, &extra) else {
                return refuse(StatusCode::BAD_GATEWAY, "PA01", "the request is too large to be replayed");
            };
            let response = match self.send(connection, request, original).await {
                Ok(response) => response,
                Err(error) => return refuse(StatusCode::BAD_GATEWAY, "PR01", &error),
            };
            let replay = match read_replay(response).await {
                Ok(Ok(replay)) => replay,
                Ok(Err(response)) => return response,
                Err(error) => {
                    self.violation(format!("{} answered an invalid fly-replay: {error}", machine.app));
                    return refuse(StatusCode::BAD_GATEWAY, "PA03", &error);
                }
            };
            if !may_replay {
                return refuse(StatusCode::BAD_GATEWAY, "PA02", "a request that fell back cannot be replayed again");
            }
            if hops.len() >= MAX_HOPS {
                return refuse(StatusCode::BAD_GATEWAY, "PA02", "replayed too many times");
            }
            hops.push(json!({
                "from": machine.id, "app": replay.app, "instance": replay.instance, "region": replay.regions.join(","),
                "state": replay.state.is_some(), "fallback": replay.fallback.is_some()
            }));
            target = match self.allowed(&machine, &replay) {
                Ok(target) => target,
                Err(refusal) => return refusal,
            };
            extra = replay_headers(&machine, &replay);
            transform.clone_from(&replay.transform);
            asked = Some((machine, replay, Instant::now()));
        }
    }

    fn violation(&self, text: String) {
        self.fly.inner.ledger.violation(VENDOR, text);
    }

    /// Replays stay within one private network.
    fn allowed(&self, source: &Machine, replay: &Replay) -> Result<Target, Response> {
        let name = replay.app.clone().unwrap_or_else(|| source.app.clone());
        let (Some(from), Some(to)) = (self.fly.app(&source.app), self.fly.app(&name)) else {
            return Err(refuse(StatusCode::BAD_GATEWAY, "PA04", "the app to replay to was not found"));
        };
        if from.org != to.org || from.network != to.network {
            self.violation(format!("{} must not replay to {name}: it is on another network", source.app));
            return Err(refuse(StatusCode::BAD_GATEWAY, "PA05", "the app must not be replayed to from here"));
        }
        Ok(Target {
            app: name,
            instance: replay.instance.clone(),
            prefer: replay.prefer_instance.clone(),
            regions: replay.regions.clone(),
            except: replay.elsewhere.then(|| source.id.clone()),
            patience: replay.timeout,
        })
    }

    /// Connects to a machine that fits, waiting a while for one that is starting.
    async fn reach(&self, target: &Target) -> Result<(Arc<Machine>, TcpStream), Missed> {
        let begun = Instant::now();
        let patience = target.patience.unwrap_or(PATIENCE);
        let mut tried = false;
        loop {
            let (candidates, hopeless) = self.candidates(target);
            for machine in candidates {
                let Some(address) = service_address(&machine, EXTERNAL_PORT) else { continue };
                tried = true;
                let connect = tokio::time::timeout(CONNECT, TcpStream::connect(address));
                if let Ok(Ok(stream)) = connect.await {
                    let _ = stream.set_nodelay(true);
                    return Ok((machine, stream));
                }
            }
            let patience = if hopeless { patience.min(UNKNOWN_PATIENCE) } else { patience };
            if begun.elapsed() >= patience {
                return Err(match (tried, target.patience) {
                    _ if hopeless => Missed::NoCandidate,
                    (_, Some(_)) => Missed::Timeout,
                    (true, None) => Missed::RetriesExhausted,
                    (false, None) => Missed::NoCandidate,
                });
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Machines to try, best first; and whether nothing is going to become one.
    fn candidates(&self, target: &Target) -> (Vec<Arc<Machine>>, bool) {
        let mut hopeless = true;
        let mut found: Vec<Arc<Machine>> = self
            .fly
            .machines(&target.app)
            .into_iter()
            .filter(|machine| {
                let status = machine.status();
                let wanted = target.instance.as_ref().is_none_or(|id| *id == machine.id)
                    && target.except.as_ref().is_none_or(|id| *id != machine.id)
                    && (target.regions.is_empty() || target.regions.contains(&machine.region) || target.regions.iter().any(|region| region == "any"));
                let named = target.instance.is_some();
                let service = status.config.services.iter().find(|service| {
                    service.ports.iter().any(|port| port.port == Some(EXTERNAL_PORT))
                });
                let Some(service) = service.filter(|_| wanted && (named || !status.cordoned)) else {
                    return false;
                };
                match status.state {
                    MachineState::Started => hopeless = false,
                    MachineState::Created | MachineState::Starting | MachineState::Restarting => {
                        hopeless = false;
                        return false;
                    }
                    MachineState::Stopped if service.autostart != Some(false) && !status.config.auto_destroy => {
                        hopeless = false;
                        machine.order(Order::Start);
                        return false;
                    }
                    _ => return false,
                }
                true
            })
            .collect();
        let shift = found.len().max(1);
        found.rotate_left(self.tunnels.load(Ordering::Relaxed) % shift);
        found.sort_by_key(|machine| target.prefer.as_ref() != Some(&machine.id));
        (found, hopeless)
    }

    async fn send(&self, stream: TcpStream, request: http::Request<Body>, original: &mut Original) -> Result<Response, String> {
        let text = |error: hyper::Error| error.to_string();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                _ = connection.with_upgrades() => {}
                () = stop.cancelled() => {}
            }
        });
        let response = tokio::time::timeout(FIRST_BYTE, sender.send_request(request))
            .await
            .map_err(|_| "the machine did not answer in time".to_owned())?
            .map_err(text)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let mut response = response.map(Body::new);
            strip_hop_by_hop(response.headers_mut());
            return Ok(response);
        }
        let client = original.upgrade.take().ok_or("the machine switched protocols without being asked")?;
        Ok(self.tunnel(client, response))
    }

    /// Answers 101 and copies bytes both ways until either side has ended.
    fn tunnel(&self, client: OnUpgrade, mut response: hyper::Response<hyper::body::Incoming>) -> Response {
        let machine = hyper::upgrade::on(&mut response);
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        let (stop, open) = (self.stop.clone(), Arc::clone(&self.tunnels));
        self.tasks.spawn(async move {
            let both = async { tokio::try_join!(client, machine) };
            let Ok(Ok((client, machine))) = tokio::time::timeout(Duration::from_secs(10), both).await else { return };
            open.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = copy_both(TokioIo::new(client), TokioIo::new(machine)) => {}
                () = stop.cancelled() => {}
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
        answer
    }
}

async fn copy_both(
    client: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    machine: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_machine, mut to_machine) = tokio::io::split(machine);
    let up = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_machine).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut to_machine).await;
    };
    let down = async {
        let _ = tokio::io::copy(&mut from_machine, &mut to_client).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut to_client).await;
    };
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        () = &mut up => { let _ = tokio::time::timeout(HALF_CLOSED, down).await; }
        () = &mut down => { let _ = tokio::time::timeout(HALF_CLOSED, up).await; }
    }
}

/// `Ok(Err(response))` is an ordinary answer.
async fn read_replay(response: Response) -> Result<Result<Replay, Response>, String> {
    if let Some(value) = response.headers().get(replay::HEADER) {
        let text = value.to_str().map_err(|error| error.to_string())?;
        return replay::from_header(text).map(Ok);
    }
    let json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with(replay::JSON_TYPE));
    if json {
        let bytes = axum::body::to_bytes(response.into_body(), 64 * 1024).await.map_err(|error| error.to_string())?;
        return replay::from_json(&bytes).map(Ok);
    }
    Ok(Err(response))
}

/// What the target of a replay is told about its origin.
fn replay_headers(source: &Machine, replay: &Replay) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let micros = now().unix_timestamp_nanos() / 1_000;
    let mut text = format!("instance={};region={};t={micros}", source.id, source.region);
    if let Some(state) = &replay.state {
        text.push_str(";state=");
        text.push_str(state);
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert("fly-replay-src", value);
    }
    headers
}

/// The original request goes back to the app that wanted it replayed.
fn fall_back(source: &Machine, replay: &Replay, missed: Missed, since: Instant) -> (Target, HeaderMap) {
    let own = Some(source.id.clone());
    let (instance, prefer) = match replay.fallback {
        Some(Fallback::PreferSelf) => (None, own),
        _ => (own, None),
    };
    let text = format!(
        "instance={};app={};region={};replay_source={};reason={};elapsed_ms={}",
        replay.instance.as_deref().unwrap_or_default(),
        replay.app.as_deref().unwrap_or(&source.app),
        replay.regions.join(","),
        source.id,
        missed.as_str(),
        since.elapsed().as_millis()
    );
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert("fly-replay-failed", value);
    }
    let target = Target {
        app: source.app.clone(),
        instance,
        prefer,
        ..Target::default()
    };
    (target, headers)
}

fn unreachable_target(target: &Target, missed: Missed) -> Response {
    if target.instance.is_some() {
        return refuse(StatusCode::BAD_GATEWAY, "PR02", "the machine was not found or cannot be reached");
    }
    let text = format!("could not find a good candidate to send the request to ({})", missed.as_str());
    refuse(StatusCode::SERVICE_UNAVAILABLE, "PR01", &text)
}
