//! Fly Proxy: from the public endpoint to a machine, and on to another one when the first answers with `fly-replay`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::original::{Original, strip_hop_by_hop};
use super::replay::{self, Fallback, Replay, Transform};
use super::target::{self, Missed, Target};
use super::{Fly, Machine, tunnel};
use crate::faults::{self, Action, Connection, Faults};
use crate::ledger::{Entry, header_list};
use crate::util::now;

pub const VENDOR: &str = "fly-proxy";
const MAX_HOPS: usize = 10;
const FIRST_BYTE: Duration = Duration::from_mins(1);
/// Where faults strike: whatever comes in, and the carrying out of a replay.
const REQUEST: &str = "request";
const REPLAY: &str = "replay";

/// The public door.
#[derive(Clone)]
pub struct Door {
    fly: Fly,
    /// The app that answers when the host name names none.
    app: String,
    faults: Faults,
    stop: CancellationToken,
    tasks: TaskTracker,
    tunnels: Arc<AtomicUsize>,
}

impl Door {
    pub fn new(fly: Fly, app: impl Into<String>, faults: Faults, stop: CancellationToken, tasks: TaskTracker) -> Self {
        Self { fly, app: app.into(), faults, stop, tasks, tunnels: Arc::default() }
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
    let connection = request.extensions().get::<Connection>().cloned();
    if let Some(action) = door.faults.take(VENDOR, REQUEST)
        && let Some(response) = faults::perform(action, connection.as_ref()).await
    {
        return response;
    }
    let mut original = Original::keep(request).await;
    original.connection = connection;
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

impl Door {
    /// Follows replays until a machine really answers.
    async fn deliver(&self, original: &mut Original, app: String, hops: &mut Vec<serde_json::Value>) -> Response {
        // A client may choose the machine, at any app with a public address.
        let forced = original.headers.get("fly-force-instance-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let mut target = Target { app, instance: forced, ..Target::default() };
        let mut extra = HeaderMap::new();
        let mut transform = Transform::default();
        // The machine that asked for the replay we are carrying out, and its wish.
        let mut asked: Option<(Arc<Machine>, Replay, Instant)> = None;
        let mut may_replay = true;
        loop {
            let fault = if asked.is_some() { self.fault(original.connection.clone()).await } else { None };
            let reached = match fault {
                Some(Ok(response)) => return response,
                Some(Err(missed)) => Err(missed),
                None => target::reach(&self.fly, &target, self.tunnels.load(Ordering::Relaxed)).await,
            };
            let (machine, connection) = match reached {
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
            if target.prefer.as_ref().is_some_and(|wanted| *wanted != machine.id)
                && let Ok(value) = HeaderValue::try_from(target.prefer.clone().unwrap_or_default())
            {
                extra.insert("fly-preferred-instance-unavailable", value);
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
                Err(refusal) => return *refusal,
            };
            extra = replay_headers(&machine, &replay);
            transform.clone_from(&replay.transform);
            asked = Some((machine, replay, Instant::now()));
        }
    }

    /// What goes wrong on order while a replay is carried out: an answer of the proxy's own, or
    /// one of its reasons for not reaching the machine.
    async fn fault(&self, connection: Option<Connection>) -> Option<Result<Response, Missed>> {
        match self.faults.take(VENDOR, REPLAY)? {
            Action::Named(name) => Missed::named(&name).map(Err),
            action => faults::perform(action, connection.as_ref()).await.map(Ok),
        }
    }

    fn violation(&self, text: String) {
        self.fly.inner.ledger.violation(VENDOR, text);
    }

    /// Replays stay within one private network.
    fn allowed(&self, source: &Machine, replay: &Replay) -> Result<Target, Box<Response>> {
        let name = replay.app.clone().unwrap_or_else(|| source.app.clone());
        let (Some(from), Some(to)) = (self.fly.app(&source.app), self.fly.app(&name)) else {
            return Err(refuse(StatusCode::BAD_GATEWAY, "PA04", "the app to replay to was not found").into());
        };
        if from.org != to.org || from.network != to.network {
            self.violation(format!("{} must not replay to {name}: it is on another network", source.app));
            return Err(refuse(StatusCode::BAD_GATEWAY, "PA05", "the app must not be replayed to from here").into());
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
        // Who asks for a replay and accepts the upgrade at the same time gets neither.
        if response.headers().contains_key(replay::HEADER) {
            self.violation("a fly-replay came with the 101 of the app that asks for it".to_owned());
            return Err("the app negotiated the upgrade and asked for a replay".to_owned());
        }
        let client = original.upgrade.take().ok_or("the machine switched protocols without being asked")?;
        Ok(tunnel::open(client, response, &self.tunnels, &self.stop, &self.tasks))
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
    let target = Target { app: source.app.clone(), instance, prefer, ..Target::default() };
    (target, headers)
}

fn unreachable_target(target: &Target, missed: Missed) -> Response {
    if target.instance.is_some() {
        return refuse(StatusCode::BAD_GATEWAY, "PR02", "the machine was not found or cannot be reached");
    }
    let text = format!("could not find a good candidate to send the request to ({})", missed.as_str());
    refuse(StatusCode::SERVICE_UNAVAILABLE, "PR01", &text)
}
