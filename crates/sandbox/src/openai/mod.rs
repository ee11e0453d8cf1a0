//! A stand-in for OpenAI: Realtime calls with a real WebRTC peer, their sideband WebSocket, and the Responses API, all in the
//! wire formats of the GA interface.
//!
//! It is as strict as the vendor. Where the vendor's documents and recordings of its traffic differ, it follows the recordings.

mod call;
mod clips;
mod http_api;
mod interviewer;
mod net;
mod peer;
mod problem;
mod recording;
mod responses;
mod script;
mod session;
mod session_shape;
mod shape;
mod sideband;
mod vad;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use http::Method;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use call::CallSnapshot;
pub use clips::{Clip, ClipError};
pub use script::{InterviewScript, Line, Question, ScriptSpeed};

use call::{CallHandle, CallTask, Command, Muted, Sidebands};
use interviewer::{Ids, Interviewer};
use net::UdpHub;
use peer::Peer;
use problem::Problem;
use recording::WireLog;

use crate::faults::Faults;
use crate::ledger::{Ledger, Recorder};
use crate::util::{lock, now, random_bytes, random_hex};

pub(crate) const VENDOR: &str = "openai";
const DATAGRAM_QUEUE: usize = 512;
const COMMAND_QUEUE: usize = 256;
/// Ended calls that can still be looked at.
const MEMORY: usize = 256;
const MAX_SECRETS: usize = 1_000;
/// Calls end within this when the stand-in stops.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// How the stand-in behaves.
#[derive(Clone, Debug)]
pub struct OpenAiOptions {
    pub ledger: Ledger,
    pub faults: Faults,
    pub script: InterviewScript,
    /// The project key that is accepted; without one, any key that begins with `sk-`.
    pub api_key: Option<String>,
    /// The longest duration of a call; the vendor's is an hour.
    pub longest_call: Duration,
    /// How long a call waits for its peer to connect.
    pub connect_patience: Duration,
    /// The port of all WebRTC sockets, 0 for any. Fix it where a port must be published.
    pub udp_port: u16,
    pub max_calls: usize,
}

impl Default for OpenAiOptions {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            faults: Faults::default(),
            script: InterviewScript::standard(),
            api_key: None,
            longest_call: Duration::from_hours(1),
            connect_patience: Duration::from_mins(2),
            udp_port: 0,
            max_calls: 1_000,
        }
    }
}

/// An ephemeral key and the session it stands for.
#[derive(Clone, Debug)]
struct Secret {
    value: String,
    expires_at: i64,
    session: Option<Value>,
}

#[derive(Debug, Default)]
struct Registry {
    calls: HashMap<String, CallHandle>,
    /// Call ids in the order of their making.
    order: VecDeque<String>,
    secrets: VecDeque<Secret>,
}

#[derive(Debug)]
struct Inner {
    options: OpenAiOptions,
    registry: Mutex<Registry>,
    hub: Mutex<Option<UdpHub>>,
    sidebands: AtomicU64,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The stand-in. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct OpenAi {
    inner: Arc<Inner>,
}

/// Everything there is to see.
#[derive(Clone, Debug, Serialize)]
pub struct OpenAiSnapshot {
    pub calls: Vec<CallSnapshot>,
    pub secrets: usize,
}

impl OpenAi {
    pub fn new(options: OpenAiOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                options,
                registry: Mutex::default(),
                hub: Mutex::default(),
                sidebands: AtomicU64::default(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        }
    }

    /// All calls, the oldest first.
    pub fn snapshot(&self) -> OpenAiSnapshot {
        let registry = lock(&self.inner.registry);
        let calls = registry.order.iter().filter_map(|id| registry.calls.get(id)).map(|call| lock(&call.state).clone());
        OpenAiSnapshot { calls: calls.collect(), secrets: registry.secrets.len() }
    }

    pub fn call(&self, call_id: &str) -> Option<CallSnapshot> {
        lock(&self.inner.registry).calls.get(call_id).map(|call| lock(&call.state).clone())
    }

    /// Lets something go wrong now, in one call or in all that live. Gives the number of
    /// calls it was sent to.
    ///
    /// `drop_sideband`, `close_sideband`, `mute_sideband_speech`, `mute_sideband`,
    /// `unmute_sideband`, `fail_transcription`, `make_up_transcription`,
    /// `lose_network`, `hang_up_peer`, `expire_call`.
    pub fn inject(&self, name: &str, call_id: Option<&str>) -> usize {
        let registry = lock(&self.inner.registry);
        let wanted = registry.calls.iter().filter(|(id, _)| call_id.is_none_or(|wanted| wanted == id.as_str()));
        wanted.filter(|(_, call)| call.commands.try_send(Command::Fault(name.to_owned())).is_ok()).count()
    }

    /// Ends all calls and their sockets.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(STOP_DEADLINE, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("calls did not end in time");
        }
    }

    fn ledger(&self) -> &Ledger {
        &self.inner.options.ledger
    }

    fn hub(&self) -> Result<UdpHub, Problem> {
        let mut hub = lock(&self.inner.hub);
        if let Some(hub) = hub.as_ref() {
            return Ok(hub.clone());
        }
        let bound = UdpHub::bind(self.inner.options.udp_port, &self.inner.stop).map_err(|error| {
            tracing::error!(%error, port = self.inner.options.udp_port, "no udp socket for webrtc");
            Problem {
                status: http::StatusCode::INTERNAL_SERVER_ERROR,
                kind: "server_error",
                code: None,
                message: format!("no UDP socket for WebRTC: {error}"),
                param: None,
            }
        })?;
        Ok(hub.insert(bound).clone())
    }

    /// Starts a call for a browser's offer. Gives its id and the SDP answer.
    fn start_call(&self, offer: &str, session: Option<&Value>, ephemeral: bool) -> Result<(String, String), Problem> {
        let options = &self.inner.options;
        if self.living_calls() >= options.max_calls {
            let problem = Problem::invalid("rate_limit_exceeded", "Too many concurrent sessions.");
            return Err(problem.status(http::StatusCode::TOO_MANY_REQUESTS));
        }
        let hub = self.hub()?;
        let started = Instant::now();
        let (peer, answer) = Peer::accept(offer, hub.clone(), started)?;
        let mut ids = Ids::new(u64::from_le_bytes(random_bytes()));
        let call_id = ids.next("rtc_u2_");
        let session_id = call_id.replacen("rtc_", "sess_", 1);
        let created_at = now();
        let expires_at = (created_at + options.longest_call).unix_timestamp();
        let interviewer = Interviewer::new(options.script.clone(), &session_id, session, expires_at, ids);

        let (datagram_sender, datagrams) = mpsc::channel(DATAGRAM_QUEUE);
        hub.register(peer.ufrag(), datagram_sender);
        let (commands, inbox) = mpsc::channel(COMMAND_QUEUE);
        let state = Arc::new(Mutex::new(first_snapshot(&call_id, &session_id, created_at, &interviewer)));
        let task = CallTask {
            peer,
            interviewer,
            datagrams,
            commands: inbox,
            state: state.clone(),
            started,
            longest: options.longest_call,
            patience: options.connect_patience,
            stop: self.inner.stop.clone(),
            log: WireLog { ledger: options.ledger.clone(), call_id: call_id.clone() },
            sidebands: Sidebands::default(),
            muted: Muted::default(),
        };
        self.inner.tasks.spawn(task.run());
        self.remember(call_id.clone(), CallHandle { commands, state, ephemeral });
        Ok((call_id, answer))
    }

    fn living_calls(&self) -> usize {
        lock(&self.inner.registry).calls.values().filter(|call| call.is_alive()).count()
    }

    fn remember(&self, call_id: String, handle: CallHandle) {
        let mut registry = lock(&self.inner.registry);
        let registry = &mut *registry;
        registry.calls.insert(call_id.clone(), handle);
        registry.order.push_back(call_id);
        // The oldest ended calls are forgotten first; living ones never.
        let mut surplus = registry.order.len().saturating_sub(MEMORY);
        registry.order.retain(|id| {
            let forget = surplus > 0 && registry.calls.get(id).is_none_or(|call| !call.is_alive());
            if forget {
                surplus -= 1;
                registry.calls.remove(id);
            }
            !forget
        });
    }

    /// A call that can be joined or hung up.
    fn living_call(&self, call_id: &str) -> Result<CallHandle, Problem> {
        let call = lock(&self.inner.registry).calls.get(call_id).cloned();
        call.filter(CallHandle::is_alive).ok_or_else(Problem::call_not_found)
    }

    fn next_sideband(&self) -> u64 {
        self.inner.sidebands.fetch_add(1, Ordering::Relaxed)
    }

    fn is_project_key(&self, key: &str) -> bool {
        match &self.inner.options.api_key {
            Some(expected) => key == expected,
            None => key.starts_with("sk-"),
        }
    }

    fn add_secret(&self, lifetime_s: i64, session: Option<Value>) -> Secret {
        let value = format!("ek_{}", random_hex::<16>());
        let secret = Secret { value, expires_at: now().unix_timestamp() + lifetime_s, session };
        let mut registry = lock(&self.inner.registry);
        if registry.secrets.len() >= MAX_SECRETS {
            registry.secrets.pop_front();
        }
        registry.secrets.push_back(secret.clone());
        secret
    }

    fn secret(&self, value: &str) -> Option<Secret> {
        let registry = lock(&self.inner.registry);
        let secret = registry.secrets.iter().find(|secret| secret.value == value)?;
        (secret.expires_at > now().unix_timestamp()).then(|| secret.clone())
    }
}

fn first_snapshot(call_id: &str, session_id: &str, created_at: time::OffsetDateTime, interviewer: &Interviewer) -> CallSnapshot {
    CallSnapshot {
        call_id: call_id.to_owned(),
        session_id: session_id.to_owned(),
        created_at,
        alive: true,
        end_reason: None,
        peer_connected: false,
        channel_open: false,
        sidebands: 0,
        packets_in: 0,
        packets_out: 0,
        audio_level: None,
        candidate_speaks: false,
        interviewer_speaks: false,
        questions_asked: 0,
        interview_over: false,
        events_sent: std::collections::BTreeMap::new(),
        client_events: 0,
        session: interviewer.session().value().clone(),
        items: Vec::new(),
    }
}

/// The vendor's API, to be mounted wherever its base URL shall be.
pub fn router(openai: OpenAi) -> Router {
    let recorder = Recorder {
        ledger: openai.inner.options.ledger.clone(),
        faults: openai.inner.options.faults.clone(),
        vendor: VENDOR,
        route: route_name,
    };
    recorder.wrap(http_api::routes().merge(sideband::routes()).merge(responses::routes()).with_state(openai))
}

/// The names that faults use.
fn route_name(method: &Method, path: &str) -> &'static str {
    match path {
        _ if *method == Method::OPTIONS => "preflight",
        "/v1/realtime/calls" => "realtime.calls",
        "/v1/realtime" => "realtime.sideband",
        "/v1/realtime/client_secrets" => "realtime.client_secrets",
        "/v1/responses" => "responses",
        _ if path.ends_with("/hangup") => "realtime.hangup",
        _ if path.starts_with("/v1/models") => "models",
        _ => "unknown",
    }
}
