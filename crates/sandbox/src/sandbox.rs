//! Starts and stops the whole sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api_video::{ApiVideo, ApiVideoOptions};
use crate::bootstrap::{self, DATABASE, GATEWAY_APP};
use crate::control::Control;
use crate::faults::Faults;
use crate::fly::proxy::Door;
use crate::fly::{Fly, FlyOptions};
use crate::ledger::Ledger;
use crate::listener::{self, ListenError};
use crate::openai::{OpenAi, OpenAiOptions};
use crate::options::SandboxOptions;
use crate::otlp::Traces;
use crate::postgres::{ClusterOptions, PostgresError, PrivateCluster};
use crate::supabase::{Supabase, SupabaseOptions, User};
use crate::util::lock;
use crate::{front, mail, process};

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("cannot use the data folder {path}: {source}")]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("another sandbox (process {pid}) is using the data folder {path}; stop it or choose another one with --data-dir")]
    Busy { pid: u32, path: PathBuf },
    #[error("{what}: {reason}")]
    Bootstrap { what: String, reason: String },
}

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Urls {
    /// What a browser opens.
    pub front: String,
    /// The base of the internal API.
    pub internal: String,
    pub openai: String,
    pub api_video: String,
    pub upload: String,
    /// The base a browser gives to `supabase-js`.
    pub supabase: String,
    pub issuer: String,
    pub jwks: String,
    pub fly: String,
    pub otlp: String,
    /// Of the server that catches mail.
    pub smtp: String,
}

impl Urls {
    fn new(front_port: u16, internal_port: u16, smtp_port: u16) -> Self {
        let front = format!("http://localhost:{front_port}");
        let internal = format!("http://127.0.0.1:{internal_port}");
        Self {
            openai: format!("{internal}/openai/v1"),
            api_video: format!("{internal}/api-video"),
            upload: format!("{front}/sandbox/api-video/upload"),
            supabase: format!("{front}/sandbox/supabase"),
            issuer: format!("{front}/sandbox/supabase/auth/v1"),
            jwks: format!("{internal}/supabase/auth/v1/.well-known/jwks.json"),
            fly: format!("{internal}/fly/v1"),
            otlp: format!("{internal}/otlp"),
            smtp: format!("smtp://127.0.0.1:{smtp_port}"),
            front,
            internal,
        }
    }
}

/// A running sandbox. [`Sandbox::stop`] ends it in order; dropping it ends it anyhow.
pub struct Sandbox {
    pub(crate) options: SandboxOptions,
    pub(crate) urls: Urls,
    pub(crate) control: Control,
    pub(crate) postgres: Option<PrivateCluster>,
    /// The login of the runtime's database role, once it exists.
    pub(crate) database_url: Mutex<Option<String>>,
    pub(crate) routing_secret: String,
    pub(crate) routing_public_key: String,
    stop: CancellationToken,
    tasks: TaskTracker,
    claim: Claim,
}

impl Sandbox {
    /// Starts what the options ask for. On an error nothing is left running.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let mut options = options;
        options.data_dir = prepare(&options.data_dir)?;
        let claim = Claim::new(&options.data_dir)?;
        let sandbox = Self::open(options, claim).await?;
        match bootstrap::run(&sandbox).await {
            Ok(()) => Ok(sandbox),
            Err(error) => {
                sandbox.stop().await;
                Err(error)
            }
        }
    }

    async fn open(options: SandboxOptions, claim: Claim) -> Result<Self, SandboxError> {
        // The ports first: a port that is taken is the likeliest trouble, and cheap.
        let fronts = listener::bind_front(options.port).await?;
        let (internal, smtp) = (listener::bind_internal().await?, listener::bind_internal().await?);
        let port = |listener: &tokio::net::TcpListener| listener.local_addr().map_or(0, |address| address.port());
        let urls = Urls::new(fronts.first().map_or(0, port), port(&internal), port(&smtp));

        let postgres = if options.postgres {
            options.say("starting a private PostgreSQL");
            let cluster = ClusterOptions {
                max_connections: options.postgres_connections,
                ..ClusterOptions::new(options.data_dir.join("postgres"))
            };
            let cluster = PrivateCluster::start(cluster).await?;
            options.say(&format!("{} on port {}", cluster.description(), cluster.port()));
            Some(cluster)
        } else {
            None
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let control = stand_ins(&options, &urls, &stop, &tasks);
        for listener in fronts {
            listener::serve(listener, front::front(&control), &stop, &tasks);
        }
        listener::serve(internal, front::internal(&control), &stop, &tasks);
        mail::serve(smtp, control.mailbox.clone(), &stop, &tasks);
        let routing_secret = crate::util::random_hex::<32>();
        let routing_public_key = public_key(&routing_secret)?;
        Ok(Self {
            options,
            urls,
            control,
            postgres,
            database_url: Mutex::new(None),
            routing_secret,
            routing_public_key,
            stop,
            tasks,
            claim,
        })
    }

    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    pub fn ledger(&self) -> &Ledger {
        &self.control.ledger
    }

    pub fn faults(&self) -> &Faults {
        &self.control.faults
    }

    pub fn traces(&self) -> &Traces {
        &self.control.traces
    }

    pub fn supabase(&self) -> &Supabase {
        &self.control.supabase
    }

    pub fn openai(&self) -> &OpenAi {
        &self.control.openai
    }

    pub fn api_video(&self) -> &ApiVideo {
        &self.control.api_video
    }

    pub fn fly(&self) -> &Fly {
        &self.control.fly
    }

    /// The organisation's token, bare, as `Authorization: Bearer` takes it.
    pub fn fly_token(&self) -> &str {
        self.control.fly.org_token().trim_start_matches("FlyV1 ")
    }

    /// The mails that have arrived.
    pub fn mailbox(&self) -> &mail::Mailbox {
        &self.control.mailbox
    }

    /// The proxy in front of the machines.
    pub fn door(&self) -> &Door {
        &self.control.door
    }

    /// The private database server, if it was asked for.
    pub fn postgres(&self) -> Option<&PrivateCluster> {
        self.postgres.as_ref()
    }

    /// The settings of the session app's machines, for running the runtime by hand.
    pub fn settings(&self) -> BTreeMap<String, String> {
        bootstrap::settings(self)
    }

    /// What the gateway signs with; the session app's machines do not have it.
    pub fn routing_secret(&self) -> &str {
        &self.routing_secret
    }

    /// Superuser URL of the database `interview`.
    pub fn database_admin_url(&self) -> Option<String> {
        Some(self.postgres.as_ref()?.admin_url_for(DATABASE))
    }

    /// URL of the same database by the login of the demo tenant's processes.
    pub fn runtime_database_url(&self) -> Option<String> {
        lock(&self.database_url).clone()
    }

    /// Stops machines, listeners and the database, in this order.
    pub async fn stop(&self) {
        self.control.fly.stop(self.options.stop_grace).await;
        self.control.openai.shutdown().await;
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(3), self.tasks.wait()).await;
        if let Some(postgres) = &self.postgres {
            postgres.stop().await;
        }
        self.claim.release();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Tasks hold the machines' processes and kill them as they are dropped.
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sandbox").field("urls", &self.urls).finish_non_exhaustive()
    }
}

fn stand_ins(options: &SandboxOptions, urls: &Urls, stop: &CancellationToken, tasks: &TaskTracker) -> Control {
    let (ledger, faults) = (Ledger::new(), Faults::new());
    let supabase = Supabase::new(SupabaseOptions {
        issuer: urls.issuer.clone(),
        users: User::built_in(),
        access_token_life: options.access_token_life,
    });
    let openai = OpenAi::new(OpenAiOptions {
        ledger: ledger.clone(),
        faults: faults.clone(),
        script: options.interview(),
        api_key: Some(bootstrap::OPENAI_KEY.to_owned()),
        longest_call: options.longest_call,
        udp_port: options.udp_port,
        ..OpenAiOptions::default()
    });
    let api_video = ApiVideo::new(
        ApiVideoOptions {
            data_dir: options.data_dir.join("api-video"),
            public_base: format!("{}/sandbox/api-video", urls.front),
            min_part_bytes: options.min_part_bytes,
            encoding_time: options.encoding_time,
            rate_limits: options.rate_limits,
        },
        ledger.clone(),
    );
    let fly = Fly::new(
        FlyOptions {
            data_dir: options.data_dir.join("machines"),
            runtime: options.runtime.clone(),
            extra_env: options.extra_env.clone(),
            region: "fra".into(),
            rate_limits: options.rate_limits,
            pace: options.fly_pace,
            boot_time: options.boot_time,
            list_lag: Duration::from_millis(150),
            proxy_lag: options.proxy_lag,
            private_resolver: format!("{}/private", urls.internal),
            max_machines: 500,
        },
        ledger.clone(),
    );
    let door = Door::new(fly.clone(), GATEWAY_APP, faults.clone(), stop.clone(), tasks.clone());
    Control { ledger, faults, traces: Traces::new(), supabase, openai, api_video, fly, door, mailbox: mail::Mailbox::default() }
}

fn prepare(data_dir: &Path) -> Result<PathBuf, SandboxError> {
    let error = |source| SandboxError::DataDir { path: data_dir.to_owned(), source };
    std::fs::create_dir_all(data_dir).map_err(error)?;
    std::fs::canonicalize(data_dir).map_err(error)
}

/// One sandbox per data folder: two would share recordings and a database cluster.
struct Claim(PathBuf);

impl Claim {
    fn new(data_dir: &Path) -> Result<Self, SandboxError> {
        let pid_file = data_dir.join("sandbox.pid");
        let written = std::fs::read_to_string(&pid_file).unwrap_or_default();
        if let Some(pid) = process::still_lives(&written) {
            return Err(SandboxError::Busy { pid, path: data_dir.to_owned() });
        }
        let own = process::identity(std::process::id()).unwrap_or_default();
        std::fs::write(&pid_file, own).map_err(|source| SandboxError::DataDir { path: pid_file.clone(), source })?;
        Ok(Self(pid_file))
    }

    fn release(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for Claim {
    // Also when a start is given up half-way.
    fn drop(&mut self) {
        self.release();
    }
}

/// The public key of a routing secret, from its description (docs/DEPLOY.md) and not from the runtime's code: HKDF-SHA256 without
/// salt makes the seed of an Ed25519 key pair.
fn public_key(secret: &str) -> Result<String, SandboxError> {
    let failed = || SandboxError::Bootstrap { what: "cannot derive the routing key".into(), reason: "aws-lc refused".into() };
    let extracted = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]), secret.as_bytes());
    let expanded = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, extracted.as_ref()), b"interview-runtime routing Ed25519\x01");
    let pair = Ed25519KeyPair::from_seed_unchecked(expanded.as_ref()).map_err(|_| failed())?;
    Ok(data_encoding::BASE64URL_NOPAD.encode(pair.public_key().as_ref()))
}

#[cfg(test)]
mod tests {
    /// Computed by Python's `cryptography`.
    #[test]
    fn the_routing_key_is_the_documented_one() {
        let key = super::public_key("0123456789abcdef0123456789abcdef").expect("a key");
        assert_eq!(key, "bfWojW5xEbNs-y_p87TTGTPhoc32MmgCwbFKv2mpwas");
    }
}
