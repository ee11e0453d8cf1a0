//! What to start, and how closely it follows the real services.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::api_video::MIN_PART_BYTES;
use crate::openai::{InterviewScript, ScriptSpeed};

/// Takes the lines that tell a person how far the start is.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Clone)]
pub struct SandboxOptions {
    /// Recordings, logs and the database cluster live here.
    pub data_dir: PathBuf,
    /// The front's port; 0 is any free one.
    pub port: u16,
    /// Start a private PostgreSQL with an empty database `interview`.
    pub postgres: bool,
    /// Connections that the private PostgreSQL takes.
    pub postgres_connections: u32,
    /// Bring the demo tenant up: migrations, seed, the gateway's machine.
    pub gateway: bool,
    /// The program (and first arguments) of every machine.
    pub runtime: Vec<String>,
    /// The built web application that the gateway serves.
    pub web_dir: Option<PathBuf>,
    /// SQL to run after the migrations.
    pub seed: Option<PathBuf>,
    /// A plan to publish after that, and the id of the position that uses it.
    pub plan: Option<(PathBuf, String)>,
    /// Further environment for every machine.
    pub extra_env: Vec<(String, String)>,
    /// The smallest upload part; 5 MiB at the vendor.
    pub min_part_bytes: u64,
    /// From the last part of a recording to `playable`.
    pub encoding_time: Duration,
    /// Enforce the vendors' rate limits.
    pub rate_limits: bool,
    /// How many times faster than Fly's the clock of Fly's rate limits runs.
    pub fly_pace: f64,
    /// Life of an access token in seconds.
    pub access_token_life: i64,
    /// Between a machine's creation and its process.
    pub boot_time: Duration,
    /// How much later than the Machines API the proxy hears of a machine's birth and end.
    pub proxy_lag: Duration,
    /// How long a machine may take to stop before it is killed.
    pub stop_grace: Duration,
    /// Shorten the interviewer's speech and pauses.
    pub fast: bool,
    /// How many questions the scripted interviewer asks.
    pub questions: Option<usize>,
    /// What is said; the built-in interview when absent.
    pub script: Option<InterviewScript>,
    /// The longest duration of an OpenAI call (an hour at the vendor).
    pub longest_call: Duration,
    /// The UDP port of all WebRTC sockets, 0 for any.
    pub udp_port: u16,
    pub progress: Option<Progress>,
}

impl SandboxOptions {
    /// The vendors' stand-ins only: no database, no machines until somebody makes them.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: 0,
            postgres: false,
            postgres_connections: 100,
            gateway: false,
            runtime: Vec::new(),
            web_dir: None,
            seed: None,
            plan: None,
            extra_env: Vec::new(),
            min_part_bytes: MIN_PART_BYTES,
            encoding_time: Duration::from_millis(1_500),
            rate_limits: true,
            fly_pace: 1.0,
            access_token_life: 3_600,
            boot_time: Duration::from_millis(150),
            proxy_lag: Duration::from_millis(200),
            stop_grace: Duration::from_secs(5),
            fast: false,
            questions: None,
            script: None,
            longest_call: Duration::from_hours(1),
            udp_port: 0,
            progress: None,
        }
    }

    /// With a private PostgreSQL.
    pub fn with_postgres(mut self) -> Self {
        self.postgres = true;
        self
    }

    /// Everything: database, demo tenant, a gateway that runs `runtime`.
    pub fn with_gateway(mut self, runtime: impl Into<String>) -> Self {
        self.postgres = true;
        self.gateway = true;
        self.runtime = vec![runtime.into()];
        self
    }

    /// The interview that is held, by these options.
    pub(crate) fn interview(&self) -> InterviewScript {
        let mut script = self.script.clone().unwrap_or_default();
        if self.fast {
            script.speed = ScriptSpeed::fast();
        }
        if let Some(questions) = self.questions {
            script = script.with_questions(questions);
        }
        script
    }

    pub(crate) fn say(&self, line: &str) {
        tracing::info!("{line}");
        if let Some(progress) = &self.progress {
            progress(line);
        }
    }
}

impl fmt::Debug for SandboxOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SandboxOptions")
            .field("data_dir", &self.data_dir)
            .field("port", &self.port)
            .field("postgres", &self.postgres)
            .field("gateway", &self.gateway)
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}
