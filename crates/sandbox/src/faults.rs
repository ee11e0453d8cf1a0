//! Faults on request: "the next two uploads answer 503", "the next answer gets lost".
//!
//! A fault names a vendor and a route, both by the names of the ledger. It is used up when it happens. Tests add faults in
//! process; a person does it with `POST /sandbox/faults`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::util::lock;

/// More orders than this are a runaway test, not a plan.
const MAX_PENDING: usize = 1_000;
/// A `hang` ends some day, so that nothing waits for ever on a forgotten fault.
const LONGEST_HANG: Duration = Duration::from_mins(10);

/// What happens to the request that the fault strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answer this instead of doing the work.
    Answer { status: u16, headers: Vec<(String, String)>, body: String },
    /// Do the work, later.
    Delay(Duration),
    /// Take the request and never answer.
    Hang,
    /// Close the connection without an answer.
    Drop,
    /// A fault that only one stand-in knows. `lose_answer` is known by all of them:
    /// the work is done, then the connection closes before the answer is sent.
    Named(String),
}

impl Action {
    fn name(&self) -> String {
        match self {
            Self::Answer { status, .. } => format!("answer {status}"),
            Self::Delay(_) => "delay".to_owned(),
            Self::Hang => "hang".to_owned(),
            Self::Drop => "drop".to_owned(),
            Self::Named(name) => name.clone(),
        }
    }
}

/// One order.
#[derive(Clone, Debug)]
pub struct Fault {
    pub vendor: String,
    /// A route's name, or `*` for all routes of the vendor.
    pub route: String,
    /// How many requests to let pass first.
    pub skip: u32,
    /// How many requests to strike after that; [`FOR_EVER`]: until the faults are cleared.
    pub times: u32,
    /// With which probability each of them is struck.
    pub chance: f64,
    pub action: Action,
}

pub const FOR_EVER: u32 = u32::MAX;

impl Fault {
    /// Strike the very next request to `route`.
    pub fn once(vendor: &str, route: &str, action: Action) -> Self {
        Self { vendor: vendor.to_owned(), route: route.to_owned(), skip: 0, times: 1, chance: 1.0, action }
    }

    /// Strike any request to `route` with this probability, until the faults are cleared.
    pub fn sometimes(vendor: &str, route: &str, chance: f64, action: Action) -> Self {
        Self { times: FOR_EVER, chance, ..Self::once(vendor, route, action) }
    }

    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

#[derive(Debug, Default)]
struct Orders {
    pending: Vec<Fault>,
    dice: u64,
    struck: BTreeMap<String, u64>,
}

impl Orders {
    /// From 0 to 1, by SplitMix64: the same seed gives the same row.
    fn roll(&mut self) -> f64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The orders that are still open. Cheap to clone; all clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    orders: Arc<Mutex<Orders>>,
}

impl Faults {
    pub fn new() -> Self {
        Self::default()
    }

    /// Orders a fault. The oldest order goes when there are too many.
    pub fn add(&self, fault: Fault) {
        let pending = &mut lock(&self.orders).pending;
        if pending.len() >= MAX_PENDING {
            pending.remove(0);
        }
        pending.push(fault);
    }

    /// What the chances are drawn from.
    pub fn seed(&self, seed: u64) {
        lock(&self.orders).dice = seed;
    }

    /// Asked by a stand-in for each request: what should go wrong now, if anything?
    pub fn take(&self, vendor: &str, route: &str) -> Option<Action> {
        let mut orders = lock(&self.orders);
        let mut index = 0;
        while index < orders.pending.len() {
            let fault = &orders.pending[index];
            let (meant, chance) = (fault.vendor == vendor && (fault.route == route || fault.route == "*"), fault.chance);
            if meant && (chance >= 1.0 || orders.roll() < chance) {
                break;
            }
            index += 1;
        }
        let fault = orders.pending.get_mut(index)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        let action = fault.action.clone();
        if fault.times != FOR_EVER {
            fault.times = fault.times.saturating_sub(1);
            if fault.times == 0 {
                orders.pending.remove(index);
            }
        }
        *orders.struck.entry(format!("{route} {}", action.name())).or_default() += 1;
        Some(action)
    }

    pub fn clear(&self) {
        lock(&self.orders).pending.clear();
    }

    pub fn pending(&self) -> Vec<Fault> {
        lock(&self.orders).pending.clone()
    }

    /// How often each kind has struck, by route and action.
    pub fn struck(&self) -> BTreeMap<String, u64> {
        lock(&self.orders).struck.clone()
    }
}

/// Marks a request that a [`Action::Named`] fault has struck, for its handler.
#[derive(Clone, Debug)]
pub struct NamedFault(pub String);

/// The TCP connection a request came on; the listener puts it into the request's
/// extensions so that a fault can cut it.
#[derive(Clone, Debug, Default)]
pub struct Connection(CancellationToken);

impl Connection {
    pub fn new() -> Self {
        Self::default()
    }

    /// Closes the connection; the answer that is being made is never sent.
    pub fn cut(&self) {
        self.0.cancel();
    }

    pub async fn was_cut(&self) {
        self.0.cancelled().await;
    }
}

/// Does what `action` says before the handler runs. `Some` is the answer to send
/// instead of the handler's; `None` means go on with the work.
pub async fn perform(action: Action, connection: Option<&Connection>) -> Option<Response> {
    match action {
        Action::Answer { status, headers, body } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Some(response.body(Body::from(body)).unwrap_or_else(|error| {
                let mut response = Response::new(Body::from(error.to_string()));
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                response
            }))
        }
        Action::Delay(duration) => {
            tokio::time::sleep(duration).await;
            None
        }
        Action::Hang => {
            tokio::time::sleep(LONGEST_HANG).await;
            Some(close(connection).await)
        }
        Action::Drop => Some(close(connection).await),
        Action::Named(_) => None,
    }
}

/// Ends the connection without a complete answer.
pub async fn close(connection: Option<&Connection>) -> Response {
    if let Some(connection) = connection {
        connection.cut();
        // The listener drops this very future; the wait only covers the way there.
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    // Without a handle on the connection the best cut is a body that fails at once.
    let broken =
        futures_util::stream::once(async { Err::<bytes::Bytes, std::io::Error>(std::io::ErrorKind::ConnectionAborted.into()) });
    Response::new(Body::from_stream(broken))
}

/// A fault as `POST /sandbox/faults` takes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultOrder {
    pub vendor: String,
    pub route: String,
    #[serde(default = "one")]
    pub times: u32,
    #[serde(default)]
    pub skip: u32,
    #[serde(default = "always")]
    pub chance: f64,
    pub action: ActionOrder,
}

fn always() -> f64 {
    1.0
}

fn one() -> u32 {
    1
}

/// `"hang"`, `"drop"`, `"garbage"`, the name of a stand-in's own fault, or an object.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum ActionOrder {
    Word(String),
    Delay {
        delay_ms: u64,
    },
    Answer {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: Value,
    },
}

impl From<ActionOrder> for Action {
    fn from(order: ActionOrder) -> Self {
        match order {
            ActionOrder::Word(word) => match word.as_str() {
                "hang" => Self::Hang,
                "drop" => Self::Drop,
                "garbage" => Self::Answer {
                    status: 200,
                    headers: vec![("content-type".into(), "application/json".into())],
                    body: "{\"half\": \"an answ".into(),
                },
                _ => Self::Named(word),
            },
            ActionOrder::Delay { delay_ms } => Self::Delay(Duration::from_millis(delay_ms)),
            ActionOrder::Answer { status, headers, body } => Self::Answer {
                status,
                headers: headers.into_iter().collect(),
                body: match body {
                    Value::Null => String::new(),
                    Value::String(text) => text,
                    other => other.to_string(),
                },
            },
        }
    }
}

impl From<Action> for ActionOrder {
    fn from(action: Action) -> Self {
        match action {
            Action::Answer { status, headers, body } => {
                Self::Answer { status, headers: headers.into_iter().collect(), body: Value::String(body) }
            }
            Action::Delay(duration) => Self::Delay { delay_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) },
            Action::Hang => Self::Word("hang".into()),
            Action::Drop => Self::Word("drop".into()),
            Action::Named(name) => Self::Word(name),
        }
    }
}

impl From<FaultOrder> for Fault {
    fn from(order: FaultOrder) -> Self {
        let FaultOrder { vendor, route, times, skip, chance, action } = order;
        Self { vendor, route, skip, times, chance, action: action.into() }
    }
}

impl From<Fault> for FaultOrder {
    fn from(fault: Fault) -> Self {
        let Fault { vendor, route, skip, times, chance, action } = fault;
        Self { vendor, route, times, skip, chance, action: action.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chance_strikes_as_often_as_it_says_and_the_same_seed_the_same_requests() {
        let row = |seed: u64| {
            let faults = Faults::new();
            faults.seed(seed);
            faults.add(Fault::sometimes("fly", "*", 0.2, Action::Drop));
            let row: Vec<bool> = (0..1_000).map(|_| faults.take("fly", "machines.list").is_some()).collect();
            assert_eq!(faults.struck().get("machines.list drop").copied(), Some(row.iter().filter(|hit| **hit).count() as u64));
            row
        };
        let hits = row(7).into_iter().filter(|hit| *hit).count();
        assert!((150..250).contains(&hits), "{hits} of 1,000");
        assert_eq!(row(7), row(7));
        assert_ne!(row(7), row(8));
    }

    #[test]
    fn an_order_is_used_up_and_the_next_one_gets_its_turn() {
        let faults = Faults::new();
        faults.add(Fault::once("fly", "machines.get", Action::Hang).after(1));
        faults.add(Fault::sometimes("fly", "machines.get", 1.0, Action::Drop));
        let taken: Vec<_> = (0..4).map(|_| faults.take("fly", "machines.get")).collect();
        assert_eq!(taken, [None, Some(Action::Hang), Some(Action::Drop), Some(Action::Drop)]);
        assert_eq!(faults.take("fly", "machines.list"), None);
    }
}
