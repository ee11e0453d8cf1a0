//! Fly.io: the Machines API and the proxy in front of the machines.
//!
//! A "machine" is a child process of the binary that ships, with its own loopback address. So the code that is tested here is
//! the code that runs at Fly.

mod api;
mod apps;
mod checks;
mod faults;
mod lifecycle;
mod limits;
pub mod model;
mod original;
mod policies;
mod private;
pub mod proxy;
mod replay;
mod runner;
mod target;
mod tunnel;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::api::route_name;
use self::limits::Limits;
use self::model::{App, Config, MachineState, Status, ulid};
use self::runner::Order;
use crate::ledger::Ledger;
use crate::util::{lock, now, random_hex};

pub const VENDOR: &str = "fly";
pub const ORG: &str = "sandbox";

/// Destroyed machines that are still remembered, as Fly does.
const MAX_REMEMBERED: usize = 5_000;

#[derive(Clone, Debug)]
pub struct FlyOptions {
    /// Logs of the machines and notes for cleaning up.
    pub data_dir: PathBuf,
    /// Program and first arguments of every machine; `config.init.cmd` follows.
    pub runtime: Vec<String>,
    /// Further environment for every machine.
    pub extra_env: Vec<(String, String)>,
    /// Where machines without a wish (or with an alias such as `any`) are placed.
    pub region: String,
    /// Enforce Fly's 1 request per second and action (burst 3).
    pub rate_limits: bool,
    /// How many times faster than Fly's the clock of its rate limits runs.
    pub pace: f64,
    /// Between `created` and the start of the process.
    pub boot_time: Duration,
    /// How long a new machine is missing from lists.
    pub list_lag: Duration,
    /// How much later than the Machines API the proxy hears of a machine's birth and end.
    pub proxy_lag: Duration,
    /// The base of the private network's resolver, as machines reach it.
    pub private_resolver: String,
    /// How many machines an app may have before Fly says no.
    pub max_machines: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Org,
    Deploy { app: String, expires: Option<OffsetDateTime> },
}

impl Token {
    fn is_valid(&self) -> bool {
        !matches!(self, Self::Deploy { expires: Some(at), .. } if *at <= now())
    }
}

#[derive(Default)]
struct State {
    apps: BTreeMap<String, App>,
    machines: HashMap<String, Arc<Machine>>,
    tokens: HashMap<String, Token>,
}

struct Inner {
    options: FlyOptions,
    org_token: String,
    ledger: Ledger,
    state: Mutex<State>,
    limits: Limits,
    /// What went wrong on purpose, and how often it made a difference.
    felt: Mutex<BTreeMap<&'static str, u64>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Cheap to clone; all clones are one organisation.
#[derive(Clone)]
pub struct Fly {
    inner: Arc<Inner>,
}

/// One machine.
pub struct Machine {
    pub id: String,
    pub name: String,
    pub app: String,
    pub region: String,
    pub created: OffsetDateTime,
    external: Option<SocketAddr>,
    status: watch::Sender<Status>,
    orders: mpsc::Sender<Order>,
}

impl Machine {
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub fn state(&self) -> MachineState {
        self.status.borrow().state
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }

    /// False when the machine has too many orders open; the caller answers 503.
    fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Waits until one of `states` is reached, or was passed through since the call.
    pub async fn wait_for(&self, states: &[MachineState], deadline: Duration) -> Option<MachineState> {
        let since = now();
        let mut changes = self.status.subscribe();
        let reached = |status: &Status| {
            let passed = |state: &&MachineState| {
                let recent = status.events.iter().take_while(|event| event.at >= since);
                let lingers = status.lingers && **state == MachineState::Destroyed && status.state.is_gone();
                status.state == **state || lingers || recent.into_iter().any(|event| event.status == state.as_str())
            };
            states.iter().find(passed).copied()
        };
        let wait = async {
            loop {
                let found = reached(&changes.borrow_and_update());
                if found.is_some() {
                    return found;
                }
                if changes.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(deadline, wait).await.ok().flatten()
    }
}

/// Why a machine was not created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateError {
    NoApp,
    NameTaken { id: String },
    TooMany,
    Stopping,
}

/// What a machine is created from.
struct Draft {
    name: String,
    region: String,
    config: Config,
    raw_config: Value,
    cordoned: bool,
    external: Option<SocketAddr>,
}

impl Fly {
    pub fn new(options: FlyOptions, ledger: Ledger) -> Self {
        runner::clear_leftovers(&options.data_dir);
        let org_token = format!("FlyV1 fm2_{}", random_hex::<24>());
        let limits = Limits::new(options.pace);
        let fly = Self {
            inner: Arc::new(Inner {
                options,
                org_token: org_token.clone(),
                ledger,
                state: Mutex::new(State::default()),
                limits,
                felt: Mutex::default(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        };
        fly.remember_token(&org_token, Token::Org);
        fly
    }

    /// The Machines API, to be mounted where `/v1` is.
    pub fn router(&self) -> Router {
        api::router(self.clone())
    }

    pub fn options(&self) -> &FlyOptions {
        &self.inner.options
    }

    /// A token for all apps.
    pub fn org_token(&self) -> &str {
        &self.inner.org_token
    }

    /// A token for one app, like `fly tokens create deploy`.
    pub fn deploy_token(&self, app: &str) -> String {
        self.issue_deploy_token(app, None)
    }

    fn issue_deploy_token(&self, app: &str, expires: Option<OffsetDateTime>) -> String {
        let token = format!("FlyV1 fm2_{}", random_hex::<24>());
        self.remember_token(&token, Token::Deploy { app: app.to_owned(), expires });
        token
    }

    fn remember_token(&self, token: &str, kind: Token) {
        let bare = token.trim_start_matches("FlyV1 ").to_owned();
        lock(&self.inner.state).tokens.insert(bare, kind);
    }

    pub fn machine(&self, id: &str) -> Option<Arc<Machine>> {
        lock(&self.inner.state).machines.get(id).cloned()
    }

    /// The machines of an app, destroyed ones included, oldest first.
    pub fn machines(&self, app: &str) -> Vec<Arc<Machine>> {
        let state = lock(&self.inner.state);
        let mut machines: Vec<_> = state.machines.values().filter(|machine| machine.app == app).cloned().collect();
        machines.sort_by_key(|machine| machine.created);
        machines
    }

    pub fn app(&self, name: &str) -> Option<App> {
        lock(&self.inner.state).apps.get(name).cloned()
    }

    /// Makes an app without the API; for tests.
    pub fn register_app(&self, name: &str, network: &str, public: bool) {
        let mut app = App { name: name.to_owned(), org: ORG.to_owned(), network: network.to_owned(), ..App::default() };
        if public {
            app.addresses.push(("shared_v4".into(), "66.241.124.1".into()));
        }
        lock(&self.inner.state).apps.insert(name.to_owned(), app);
    }

    /// A started machine whose services are at `address`, in whatever process that is;
    /// for tests. `config` is a machine's config as the API takes it.
    pub fn register_machine(&self, app: &str, name: &str, address: SocketAddr, config: Value) -> Result<String, CreateError> {
        let parsed = serde_json::from_value(config.clone()).unwrap_or_default();
        let machine = self.create(
            app,
            Draft {
                name: name.to_owned(),
                region: self.options().region.clone(),
                config: parsed,
                raw_config: config,
                cordoned: false,
                external: Some(address),
            },
        )?;
        machine.order(Order::Start);
        Ok(machine.id.clone())
    }

    fn create(&self, app: &str, draft: Draft) -> Result<Arc<Machine>, CreateError> {
        if self.inner.stop.is_cancelled() {
            return Err(CreateError::Stopping);
        }
        let mut state = lock(&self.inner.state);
        if !state.apps.contains_key(app) {
            return Err(CreateError::NoApp);
        }
        let alive: Vec<&Arc<Machine>> =
            state.machines.values().filter(|machine| machine.app == app && machine.state() != MachineState::Destroyed).collect();
        if let Some(holder) = alive.iter().find(|machine| machine.name == draft.name) {
            return Err(CreateError::NameTaken { id: holder.id.clone() });
        }
        if alive.len() >= self.options().max_machines {
            return Err(CreateError::TooMany);
        }
        forget_oldest(&mut state.machines);
        let at = now();
        let mut status = Status {
            state: MachineState::Created,
            config: draft.config,
            raw_config: draft.raw_config,
            instance_id: ulid(),
            updated: at,
            events: std::collections::VecDeque::new(),
            lease: None,
            cordoned: draft.cordoned,
            address: draft.external,
            pid: None,
            restarts: 0,
            unreachable: false,
            lingers: false,
        };
        status.note("launch", "created", "user", Value::Null);
        let (orders, queue) = mpsc::channel(32);
        let machine = Arc::new(Machine {
            // 14 hexadecimal digits, like Fly's.
            id: random_hex::<7>(),
            name: draft.name,
            app: app.to_owned(),
            region: draft.region,
            created: at,
            external: draft.external,
            status: watch::Sender::new(status),
            orders,
        });
        state.machines.insert(machine.id.clone(), Arc::clone(&machine));
        drop(state);
        self.inner.tasks.spawn(runner::live(self.clone(), Arc::clone(&machine), queue));
        Ok(machine)
    }

    fn is_taken(&self, app: &str, name: &str) -> bool {
        let live = |machine: &&Arc<Machine>| machine.name == name && machine.state() != MachineState::Destroyed;
        self.machines(app).iter().any(|machine| live(&machine))
    }

    /// The environment of a machine's process, and nothing else.
    fn environment(&self, machine: &Machine, address: SocketAddr) -> BTreeMap<String, String> {
        let status = machine.status();
        let mut env = BTreeMap::new();
        for name in ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE"] {
            if let Ok(value) = std::env::var(name) {
                env.insert(name.to_owned(), value);
            }
        }
        env.extend(status.config.env.clone());
        // A secret wins over a variable of the same name.
        env.extend(self.app(&machine.app).map(|app| app.secrets).unwrap_or_default());
        env.extend(self.options().extra_env.iter().cloned());
        for (name, value) in [
            ("FLY_APP_NAME", machine.app.clone()),
            ("FLY_MACHINE_ID", machine.id.clone()),
            ("FLY_ALLOC_ID", machine.id.clone()),
            ("FLY_MACHINE_VERSION", status.instance_id),
            ("FLY_REGION", machine.region.clone()),
            ("PRIMARY_REGION", self.options().region.clone()),
            ("FLY_PRIVATE_IP", address.ip().to_string()),
            ("FLY_IMAGE_REF", status.config.image),
            ("INTERVIEW__HTTP__BIND", address.to_string()),
        ] {
            env.insert(name.to_owned(), value);
        }
        if let Some(resolver) = self.resolver_for(&machine.app) {
            env.insert("INTERVIEW__ROUTING__PRIVATE_RESOLVER".to_owned(), resolver);
        }
        env
    }

    /// Apps and machines, for people and tests.
    pub fn snapshot(&self) -> Value {
        let state = lock(&self.inner.state);
        let mut machines: Vec<_> = state.machines.values().collect();
        machines.sort_by_key(|machine| machine.created);
        let machines: Vec<Value> = machines
            .iter()
            .map(|machine| {
                let status = machine.status();
                json!({
                    "id": machine.id, "name": machine.name, "app": machine.app, "region": machine.region,
                    "state": status.state.as_str(), "address": status.address.map(|address| address.to_string()),
                    "pid": status.pid, "restarts": status.restarts, "metadata": status.config.metadata,
                    "created_at": model::timestamp(machine.created),
                })
            })
            .collect();
        let apps: Vec<Value> = state
            .apps
            .values()
            .map(|app| json!({ "name": app.name, "network": app.network, "public": app.is_public(), "secrets": app.secrets.keys().collect::<Vec<_>>() }))
            .collect();
        json!({ "apps": apps, "machines": machines })
    }

    /// A machine is lost with its host: killed, not restarted, gone. False when there is none.
    pub fn lose(&self, id: &str) -> bool {
        self.machine(id).is_some_and(|machine| machine.order(Order::Destroy))
    }

    /// The process of a machine is done: it ends and its machine goes by its own rules.
    pub fn finish(&self, id: &str) -> bool {
        self.machine(id).is_some_and(|machine| machine.order(Order::Stop { signal: None, timeout: None }))
    }

    /// Stops every machine: SIGTERM, up to `grace`, then kill. No process is left.
    pub async fn stop(&self, grace: Duration) {
        self.inner.stop.cancel();
        let machines: Vec<_> = lock(&self.inner.state).machines.values().cloned().collect();
        for machine in &machines {
            machine.order(Order::Stop { signal: Some(rustix::process::Signal::TERM), timeout: Some(grace) });
            machine.order(Order::Destroy);
        }
        // The task that gets the orders ends with the machine's destruction.
        self.inner.tasks.close();
        let _ = tokio::time::timeout(grace + Duration::from_secs(5), self.inner.tasks.wait()).await;
    }
}

fn forget_oldest(machines: &mut HashMap<String, Arc<Machine>>) {
    if machines.len() < MAX_REMEMBERED {
        return;
    }
    let oldest = machines
        .values()
        .filter(|machine| machine.state() == MachineState::Destroyed)
        .min_by_key(|machine| machine.created)
        .map(|machine| machine.id.clone());
    if let Some(id) = oldest {
        machines.remove(&id);
    }
}
