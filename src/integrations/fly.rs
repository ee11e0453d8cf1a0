//! Fly Machines: create, watch and destroy the machine of one session.
//!
//! There is no idempotency header. A machine's name is unique in its app and takes its place. Lists lag, and some have been
//! wrong: never conclude from "not listed" that a machine does not exist.

pub mod apps;
mod machine;
mod pace;
mod spec;

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode};
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

pub use self::machine::{ExitEvent, Machine, MachineState, StateGroup};
use self::pace::Pace;
pub use self::spec::{
    Concurrency, Guest, Init, MachineConfig, MachineMetrics, MachineSpec, Port, Restart, RestartPolicy, Service, ServiceCheck,
    StopConfig,
};
use super::call_error::{CallError, CallErrorKind};
use super::http_client::{Answer, CallLimits, HttpClient, InvalidBaseUrl, Vendor, check_base_url, endpoint};
use crate::error::{ErrorCode, FaultClass};
use crate::ids::MachineId;

const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// The API answers 400 to more.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// For the answer to travel after the API's own waiting is over.
const WAIT_SLACK: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct FlyOptions {
    /// With the version: `https://api.machines.dev/v1`.
    pub base_url: Url,
    /// As `fly tokens create` prints it, with or without a scheme.
    pub api_token: SecretString,
    pub deadline: Duration,
    /// Creation picks a host and pulls nothing yet, but may take long.
    pub create_deadline: Duration,
    /// What Fly takes of one kind from one app; each gateway keeps to it by itself.
    pub requests_per_s: f64,
    pub burst: u32,
}

impl FlyOptions {
    pub fn new(base_url: Url, api_token: SecretString) -> Self {
        Self {
            base_url,
            api_token,
            deadline: Duration::from_secs(10),
            create_deadline: Duration::from_secs(30),
            requests_per_s: 1.0,
            burst: 3,
        }
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct FlyClient {
    http: HttpClient,
    options: Arc<FlyOptions>,
    creations: Arc<Pace>,
    lists: Arc<Pace>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlyOptionsError {
    #[error("fly base url")]
    BaseUrl(#[source] InvalidBaseUrl),
    #[error("the fly token is empty or holds characters a header cannot carry")]
    ApiToken,
}

/// What became of a creation. A failure that leaves it certain that there is no
/// machine is an error instead.
#[derive(Debug)]
pub enum CreateOutcome {
    Created(Box<Machine>),
    /// The name is taken, by an earlier try of ours as a rule: read the machine and
    /// adopt it if its metadata names our session.
    AlreadyExists {
        machine_id: Option<MachineId>,
    },
    /// There may be a machine: look it up by metadata and name after a second, and
    /// only then repeat with the same name.
    Ambiguous(CallError),
    NoCapacity {
        scope: CapacityScope,
        error: CallError,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapacityScope {
    /// This host is full: another machine may land elsewhere.
    Host,
    /// Try the next region.
    Region,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitOutcome {
    /// One of the asked states, as Fly names it.
    Reached(MachineState),
    /// Not yet; wait again.
    TimedOut,
    /// The API lost sight of it: destroyed long ago, or never there.
    NotFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    Destroying,
    AlreadyGone,
}

impl FlyClient {
    pub fn new(http: HttpClient, options: FlyOptions) -> Result<Self, FlyOptionsError> {
        check_base_url(&options.base_url).map_err(FlyOptionsError::BaseUrl)?;
        let pace = || Arc::new(Pace::new(options.requests_per_s, options.burst));
        let (creations, lists) = (pace(), pace());
        let client = Self { http, options: Arc::new(options), creations, lists };
        client.authorization().ok_or(FlyOptionsError::ApiToken)?;
        Ok(client)
    }

    pub async fn create_machine(&self, app: &str, spec: &MachineSpec) -> Result<CreateOutcome, CallError> {
        let limits = Self::limits("create_machine", self.options.create_deadline);
        if !self.creations.turn(self.options.create_deadline).await {
            return Err(CallError::new(limits, CallErrorKind::Held));
        }
        let request = self.request(Method::POST, &["apps", app, "machines"]).json(spec);
        let answer = match self.http.send(limits, request).await {
            Ok(answer) => answer,
            Err(error) if error.may_have_happened() => return Ok(CreateOutcome::Ambiguous(error)),
            Err(error) => return Err(error),
        };
        if answer.status().is_success() {
            return Ok(match answer.json::<Machine>() {
                Ok(machine) => CreateOutcome::Created(Box::new(machine)),
                Err(error) => CreateOutcome::Ambiguous(error),
            });
        }
        heed(&self.creations, &answer);
        match judge(&answer) {
            Judgement::NameTaken(machine_id) => Ok(CreateOutcome::AlreadyExists { machine_id }),
            Judgement::NoCapacity(scope, error) => Ok(CreateOutcome::NoCapacity { scope, error }),
            Judgement::Failed(error) if error.may_have_happened() => Ok(CreateOutcome::Ambiguous(error)),
            Judgement::Failed(error) => Err(error),
        }
    }

    /// `None`: never existed. A destroyed machine is found, in state `Destroyed`.
    pub async fn get_machine(&self, app: &str, id: &MachineId) -> Result<Option<Machine>, CallError> {
        let limits = Self::limits("get_machine", self.options.deadline);
        let request = self.request(Method::GET, &["apps", app, "machines", id.as_str()]);
        let answer = self.http.send(limits, request).await?;
        match answer.status() {
            status if status.is_success() => answer.json().map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(failed(&answer)),
        }
    }

    /// Machines that carry this metadata. A machine on an unreachable host comes
    /// without its configuration and so without metadata; it is kept in the result.
    pub async fn find_by_metadata(&self, app: &str, key: &str, value: &str) -> Result<Vec<Machine>, CallError> {
        let limits = Self::limits("find_by_metadata", self.options.deadline);
        if !self.lists.turn(self.options.deadline).await {
            return Err(CallError::new(limits, CallErrorKind::Held));
        }
        let query = [(format!("metadata.{key}"), value)];
        let request = self.request(Method::GET, &["apps", app, "machines"]).query(&query);
        let answer = self.http.send(limits, request).await?;
        if !answer.status().is_success() {
            heed(&self.lists, &answer);
            return Err(failed(&answer));
        }
        // `null` is how Go spells an empty list.
        let mut machines = answer.json::<Option<Vec<Machine>>>()?.unwrap_or_default();
        machines.retain(|machine| machine.metadata().is_none_or(|all| all.get(key).is_some_and(|v| v == value)));
        Ok(machines)
    }

    /// Blocks at Fly until one of `states` is reached. `started` means that the
    /// machine has booted, not that our port listens.
    pub async fn wait(
        &self,
        app: &str,
        id: &MachineId,
        states: &[MachineState],
        timeout: Duration,
    ) -> Result<WaitOutcome, CallError> {
        let timeout = timeout.clamp(Duration::from_secs(1), LONGEST_WAIT);
        let limits = Self::limits("wait", timeout + WAIT_SLACK);
        let names: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let query = [("state", names.join(",")), ("timeout", timeout.as_secs().to_string())];
        let request = self.request(Method::GET, &["apps", app, "machines", id.as_str(), "wait"]).query(&query);
        let answer = self.http.send(limits, request).await?;
        match answer.status() {
            status if status.is_success() => Ok(WaitOutcome::Reached(waited_state(&answer, states))),
            StatusCode::REQUEST_TIMEOUT => Ok(WaitOutcome::TimedOut),
            StatusCode::NOT_FOUND => Ok(WaitOutcome::NotFound),
            _ => Err(failed(&answer)),
        }
    }

    /// Sends the signal; the machine's own stop settings are the default.
    pub async fn stop_machine(&self, app: &str, id: &MachineId) -> Result<(), CallError> {
        let limits = Self::limits("stop_machine", self.options.deadline);
        let request = self.request(Method::POST, &["apps", app, "machines", id.as_str(), "stop"]);
        let answer = self.http.send(limits, request.json(&serde_json::json!({}))).await?;
        match answer.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            _ => Err(failed(&answer)),
        }
    }

    /// Safe to repeat. `force` kills a running machine.
    pub async fn destroy_machine(&self, app: &str, id: &MachineId, force: bool) -> Result<Destroyed, CallError> {
        let limits = Self::limits("destroy_machine", self.options.deadline);
        let request = self
            .request(Method::DELETE, &["apps", app, "machines", id.as_str()])
            .query(&[("force", if force { "true" } else { "false" })]);
        let answer = self.http.send(limits, request).await?;
        match answer.status() {
            status if status.is_success() => Ok(Destroyed::Destroying),
            StatusCode::NOT_FOUND => Ok(Destroyed::AlreadyGone),
            _ => Err(failed(&answer)),
        }
    }

    /// A note on a machine, without a restart. Safe to repeat; false when there is no such machine.
    pub async fn set_metadata(&self, app: &str, id: &MachineId, key: &str, value: &str) -> Result<bool, CallError> {
        let limits = Self::limits("set_metadata", self.options.deadline);
        let request = self.request(Method::POST, &["apps", app, "machines", id.as_str(), "metadata", key]);
        let answer = self.http.send(limits, request.json(&serde_json::json!({ "value": value }))).await?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(failed(&answer)),
        }
    }

    fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&authorization(self.options.api_token.expose_secret())?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let request = self.http.request(method, endpoint(&self.options.base_url, segments));
        match self.authorization() {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    fn limits(action: &'static str, deadline: Duration) -> CallLimits {
        CallLimits { vendor: Vendor::Fly, action, deadline, max_body_bytes: MAX_ANSWER_BYTES }
    }
}

fn heed(pace: &Pace, answer: &Answer) {
    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
        pace.hold(answer.head.retry_after());
    }
}

/// Macaroons go under Fly's own scheme, everything else under `Bearer`.
fn authorization(token: &str) -> Option<String> {
    let mut token = token.trim();
    while let Some((scheme, rest)) = token.split_once(char::is_whitespace) {
        if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("flyv1") {
            return None;
        }
        token = rest.trim_start();
    }
    if token.is_empty() {
        return None;
    }
    let is_macaroon = |part: &str| ["fm1r_", "fm1a_", "fm2_"].iter().any(|prefix| part.starts_with(prefix));
    let scheme = if token.split(',').any(is_macaroon) { "FlyV1" } else { "Bearer" };
    Some(format!("{scheme} {token}"))
}

/// With one state asked for, the answer needs no body to say which it was.
fn waited_state(answer: &Answer, asked: &[MachineState]) -> MachineState {
    #[derive(Deserialize)]
    struct Waited {
        state: MachineState,
    }
    match (answer.json::<Waited>(), asked) {
        (Ok(waited), _) => waited.state,
        (Err(_), [only]) => *only,
        (Err(_), _) => MachineState::Unknown,
    }
}

enum Judgement {
    NameTaken(Option<MachineId>),
    NoCapacity(CapacityScope, CallError),
    Failed(CallError),
}

fn failed(answer: &Answer) -> CallError {
    match judge(answer) {
        Judgement::Failed(error) | Judgement::NoCapacity(_, error) => error,
        Judgement::NameTaken(_) => answer.failure(None).judged(FaultClass::Transient, ErrorCode::FlyMachineConflicted),
    }
}

/// Fly's own client does the same: `status` decides if it is known, else the text,
/// and the text of a server error means nothing.
fn judge(answer: &Answer) -> Judgement {
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        error: Option<String>,
        #[serde(default)]
        status: Option<String>,
    }
    let body = serde_json::from_slice::<Body>(&answer.body).unwrap_or_default();
    let status = body.status.as_deref().filter(|status| !status.is_empty());
    let text = body.error.as_deref().unwrap_or_default();
    let failure = answer.failure(status);
    if answer.status().is_server_error() {
        return Judgement::Failed(failure);
    }
    let no_capacity = |scope, failure: CallError| {
        Judgement::NoCapacity(scope, failure.judged(FaultClass::Transient, ErrorCode::FlyCapacityExhausted))
    };
    let limited = |failure: CallError| Judgement::Failed(failure.judged(FaultClass::Rejected, ErrorCode::FlyLimitReached));
    match status {
        Some("insufficient_capacity") => return no_capacity(CapacityScope::Region, failure),
        Some("volume_placement_capacity") => return no_capacity(CapacityScope::Host, failure),
        Some("name_taken") => return limited(failure),
        _ => {}
    }
    match answer.status().as_u16() {
        404 => Judgement::Failed(failure.judged(FaultClass::Rejected, ErrorCode::FlyMachineNotFound)),
        409 if text.contains("unique machine name violation") => Judgement::NameTaken(named_machine(text)),
        409 if text.contains("no capacity") => no_capacity(CapacityScope::Region, failure),
        409 if text.contains("could not reserve resource") || text.contains("insufficient") => {
            no_capacity(CapacityScope::Host, failure)
        }
        409 => Judgement::Failed(failure.judged(FaultClass::Transient, ErrorCode::FlyMachineConflicted)),
        412 if text.contains("insufficient resources") => no_capacity(CapacityScope::Host, failure),
        422 if text.contains("could not find a candidate host") => no_capacity(CapacityScope::Region, failure),
        422 if is_account_limit(text) => limited(failure),
        _ => Judgement::Failed(failure),
    }
}

fn is_account_limit(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["already been taken", "uniqueness constraint", "limit", "billing", "payment", "trial"].iter().any(|word| text.contains(word))
}

/// `already_exists: … machine ID 148e123 already exists with name "s-…"`
fn named_machine(text: &str) -> Option<MachineId> {
    let (_, rest) = text.split_once("machine ID ")?;
    let id = rest.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    (!id.is_empty() && id.len() <= 64).then(|| MachineId::from(id))
}

#[cfg(test)]
#[path = "fly_tests.rs"]
mod tests;
