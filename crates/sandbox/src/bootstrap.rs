//! Starts the demo tenant as its operator would: database, migrations, seed, apps and secrets, then the gateway's machine
//! through the Machines API.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fly::ORG;
use crate::postgres::PrivateCluster;
use crate::sandbox::{Sandbox, SandboxError};
use crate::supabase::User;
use crate::util::{lock, random_hex};

pub const TENANT_ID: &str = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001";
const PLAN_ID: &str = "d0000000-0000-4000-8000-000000000001";
pub const TENANT_SLUG: &str = "demo";
pub const TENANT_NAME: &str = "Demo";
pub const GATEWAY_APP: &str = "interviews-demo";
pub const SESSION_APP: &str = "interviews-demo-s";
pub const NETWORK: &str = "tenant-demo";

pub(crate) const DATABASE: &str = "interview";
/// The role the runtime logs in with; its migration makes it, without a password.
const ROLE: &str = "interview_runtime";
const IMAGE: &str = "registry.fly.io/interview-runtime@sha256:5a4dbd0c0000000000000000000000000000000000000000000000000000c0de";
pub(crate) const OPENAI_KEY: &str = "sk-sandbox-not-a-real-key";

const COMMAND_DEADLINE: Duration = Duration::from_mins(2);
const CALL_DEADLINE: Duration = Duration::from_secs(70);
const HEALTH_DEADLINE: Duration = Duration::from_secs(45);

fn failed(what: &str, reason: impl std::fmt::Display) -> SandboxError {
    SandboxError::Bootstrap { what: what.to_owned(), reason: reason.to_string() }
}

pub(crate) async fn run(sandbox: &Sandbox) -> Result<(), SandboxError> {
    if let Some(postgres) = sandbox.postgres() {
        postgres.create_database(DATABASE).await?;
        add_users(postgres, &sandbox.supabase().users()).await?;
    }
    if !sandbox.options.gateway {
        return Ok(());
    }
    check_files(sandbox)?;
    let postgres = sandbox.postgres().ok_or_else(|| failed("cannot start the gateway", "it needs the private PostgreSQL"))?;
    let say = |line: &str| sandbox.options.say(line);
    say("running the migrations");
    migrate(sandbox, postgres).await?;
    let password = random_hex::<18>();
    postgres.set_login(ROLE, &password).await?;
    *lock(&sandbox.database_url) = Some(postgres.url_for(ROLE, &password, DATABASE));
    if let Some(seed) = &sandbox.options.seed {
        say("loading the demo data");
        let sql = std::fs::read_to_string(seed).map_err(|error| failed(&format!("cannot read {}", seed.display()), error))?;
        postgres.run_sql(DATABASE, &sql).await?;
    }
    if let Some((file, position)) = &sandbox.options.plan {
        say("publishing the demo plan");
        publish_plan(sandbox, file, position).await?;
    }
    say("creating the demo tenant's apps");
    create_apps(sandbox).await?;
    say("starting the gateway");
    start_gateway(sandbox).await
}

fn check_files(sandbox: &Sandbox) -> Result<(), SandboxError> {
    let program = sandbox.options.runtime.first().map(String::as_str).unwrap_or_default();
    if program.contains('/') && !Path::new(program).is_file() {
        let reason = format!("{program} does not exist; build it first (`cargo build`) or name it with --runtime");
        return Err(failed("cannot start the runtime", reason));
    }
    match &sandbox.options.seed {
        Some(seed) if !seed.is_file() => Err(failed("cannot load the demo data", format!("{} does not exist", seed.display()))),
        _ => Ok(()),
    }
}

/// The people of `users.json`, where foreign keys to Supabase's own table find them.
async fn add_users(postgres: &PrivateCluster, users: &[User]) -> Result<(), SandboxError> {
    let list = serde_json::to_string(users).map_err(|error| failed("cannot write the users", error))?;
    let sql = format!(
        "insert into auth.users (id, email, raw_app_meta_data, raw_user_meta_data)
         select id, email, app_metadata, jsonb_build_object('name', name)
         from jsonb_to_recordset($users${list}$users$) as listed(id uuid, email text, name text, app_metadata jsonb)
         on conflict (id) do update set email = excluded.email, raw_app_meta_data = excluded.raw_app_meta_data"
    );
    Ok(postgres.run_sql(DATABASE, &sql).await?)
}

async fn migrate(sandbox: &Sandbox, postgres: &PrivateCluster) -> Result<(), SandboxError> {
    let url = postgres.admin_url_for(DATABASE);
    run_command(sandbox, "the migrations failed", &["migrate".as_ref()], &[("INTERVIEW__DATABASE__ADMIN_URL", &url)]).await
}

/// As an operator does it who has the tenant's login.
async fn publish_plan(sandbox: &Sandbox, file: &Path, position: &str) -> Result<(), SandboxError> {
    let url = lock(&sandbox.database_url).clone().unwrap_or_default();
    // What somebody made of it in an earlier run stays.
    let options = ["plan", "import", "--plan", PLAN_ID, "--if-absent", "--publish", "--position", position];
    let arguments: Vec<&OsStr> = options.into_iter().map(OsStr::new).chain([file.as_os_str()]).collect();
    let settings = [("INTERVIEW__DATABASE__URL", url.as_str()), ("INTERVIEW__TENANT__ID", TENANT_ID)];
    run_command(sandbox, "the demo plan cannot be published", &arguments, &settings).await
}

/// The runtime as a command of its operator, to its end.
async fn run_command(
    sandbox: &Sandbox,
    what: &str,
    command_line: &[&OsStr],
    settings: &[(&str, &str)],
) -> Result<(), SandboxError> {
    let (program, arguments) = sandbox.options.runtime.split_first().ok_or_else(|| failed(what, "no runtime was given"))?;
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .args(command_line)
        .env_clear()
        .envs(settings.iter().copied())
        .envs(sandbox.options.extra_env.iter().cloned())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for name in ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let output = tokio::time::timeout(COMMAND_DEADLINE, command.output())
        .await
        .map_err(|_| failed(what, "it took longer than two minutes"))?
        .map_err(|error| failed(what, error))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(failed(what, format!("{}\n{}", output.status, String::from_utf8_lossy(&text))))
}

/// What the session app's machines get.
pub(crate) fn settings(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let urls = sandbox.urls();
    let mut settings: BTreeMap<String, String> = [
        ("TENANT__ID", TENANT_ID),
        ("TENANT__SLUG", TENANT_SLUG),
        ("OPENAI__BASE_URL", &urls.openai),
        ("OPENAI__API_KEY", OPENAI_KEY),
        ("API_VIDEO__BASE_URL", &urls.api_video),
        ("API_VIDEO__UPLOAD_URL", &urls.upload),
        ("API_VIDEO__API_KEY", sandbox.api_video().api_key()),
        ("SUPABASE__ISSUER", &urls.issuer),
        ("SUPABASE__JWKS_URL", &urls.jwks),
        ("SUPABASE__PUBLIC_URL", &urls.supabase),
        ("SUPABASE__PUBLISHABLE_KEY", sandbox.supabase().publishable_key()),
        ("FLY__BASE_URL", &urls.fly),
        ("FLY__SESSION_APP", SESSION_APP),
        ("FLY__IMAGE", IMAGE),
        ("TELEMETRY__OTLP_ENDPOINT", &urls.otlp),
        ("TELEMETRY__METRICS_INTERVAL_MS", "1000"),
        ("HTTP__PUBLIC_URL", &urls.front),
        ("HTTP__ALLOWED_ORIGINS", &urls.front),
        ("ROUTING__PUBLIC_KEYS", &sandbox.routing_public_key),
        ("SANDBOX__ENABLED", "true"),
    ]
    .into_iter()
    .map(|(name, value)| (format!("INTERVIEW__{name}"), value.to_owned()))
    .collect();
    if let Some(url) = lock(&sandbox.database_url).clone() {
        settings.insert("INTERVIEW__DATABASE__URL".into(), url);
    }
    settings
}

/// A client of the Machines API with the operator's token.
struct Operator<'a> {
    base: &'a str,
    token: &'a str,
    client: reqwest::Client,
}

impl Operator<'_> {
    async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Result<Value, SandboxError> {
        let what = format!("the Machines API refused {method} {path}");
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("authorization", self.token)
            .timeout(CALL_DEADLINE);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|error| failed(&what, error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| failed(&what, error))?;
        if !status.is_success() {
            return Err(failed(&what, format!("{status} {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, SandboxError> {
        self.call(reqwest::Method::POST, path, Some(body)).await
    }
}

fn operator(sandbox: &Sandbox) -> Operator<'_> {
    Operator { base: &sandbox.urls().fly, token: sandbox.fly().org_token(), client: reqwest::Client::new() }
}

async fn create_apps(sandbox: &Sandbox) -> Result<(), SandboxError> {
    let operator = operator(sandbox);
    for app in [GATEWAY_APP, SESSION_APP] {
        operator.post("/apps", json!({ "name": app, "org_slug": ORG, "network": NETWORK })).await?;
    }
    let answer = operator.post(&format!("/apps/{SESSION_APP}/deploy_token"), json!({ "expiry": "720h" })).await?;
    let token = answer["token"].as_str().unwrap_or_default().to_owned();

    let sessions = settings(sandbox);
    let mut gateway = sessions.clone();
    gateway.remove("INTERVIEW__ROUTING__PUBLIC_KEYS");
    gateway.insert("INTERVIEW__ROUTING__SECRET".into(), sandbox.routing_secret.clone());
    gateway.insert("INTERVIEW__FLY__API_TOKEN".into(), token);
    gateway.insert("INTERVIEW__MAIL__SMTP_URL".into(), sandbox.urls().smtp.clone());
    gateway.insert("INTERVIEW__MAIL__FROM".into(), "Northwind Labs <interviews@demo.test>".into());
    if !sandbox.options.rate_limits {
        gateway.insert("INTERVIEW__FLY__REQUESTS_PER_S".into(), "1000".into());
    }
    if let Some(web_dir) = &sandbox.options.web_dir {
        let absolute = std::path::absolute(web_dir).unwrap_or_else(|_| web_dir.clone());
        gateway.insert("INTERVIEW__HTTP__WEB_DIR".into(), absolute.display().to_string());
    }
    for (app, values) in [(GATEWAY_APP, gateway), (SESSION_APP, sessions)] {
        operator.post(&format!("/apps/{app}/secrets"), json!({ "values": values })).await?;
    }
    operator.post(&format!("/apps/{GATEWAY_APP}/ip_assignments"), json!({ "type": "shared_v4" })).await?;
    Ok(())
}

async fn start_gateway(sandbox: &Sandbox) -> Result<(), SandboxError> {
    let operator = operator(sandbox);
    let path = format!("/apps/{GATEWAY_APP}/machines");
    let created = operator.post(&path, json!({
        "name": "gateway-1",
        "region": "fra",
        "config": {
            "image": IMAGE,
            "init": { "cmd": ["gateway"] },
            "env": { "RUNTIME_ROLE": "gateway" },
            "guest": { "cpu_kind": "shared", "cpus": 1, "memory_mb": 256 },
            "restart": { "policy": "always" },
            "stop_config": { "signal": "SIGTERM", "timeout": "5s" },
            "metadata": { "role": "gateway" },
            "services": [{
                "protocol": "tcp", "internal_port": 8080, "autostart": true, "autostop": "off",
                "ports": [
                    { "port": 443, "handlers": ["tls", "http"] },
                    { "port": 80, "handlers": ["http"], "force_https": true }
                ],
                "checks": [{ "type": "http", "port": 8080, "method": "GET", "path": "/healthz", "interval": "15s", "timeout": "2s" }]
            }]
        }
    })).await?;
    let id = created["id"].as_str().unwrap_or_default().to_owned();
    let wait = format!("{path}/{id}/wait?state=started,failed,destroyed&timeout=60");
    operator.call(reqwest::Method::GET, &wait, None).await?;
    until_healthy(sandbox, &id).await
}

async fn until_healthy(sandbox: &Sandbox, id: &str) -> Result<(), SandboxError> {
    let client = reqwest::Client::new();
    let url = format!("{}/healthz", sandbox.urls().front);
    let end = tokio::time::Instant::now() + HEALTH_DEADLINE;
    loop {
        let answer = client.get(&url).timeout(Duration::from_secs(5)).send().await;
        let last = match answer {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => response.status().to_string(),
            Err(error) => error.to_string(),
        };
        let crashing = sandbox.fly().machine(id).is_some_and(|machine| machine.status().restarts >= 3);
        if crashing || tokio::time::Instant::now() >= end {
            let log = log_tail(sandbox, id);
            return Err(failed("the gateway does not answer", format!("{url}: {last}\n{log}")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The last lines of a machine's log: they usually say what is wrong.
fn log_tail(sandbox: &Sandbox, id: &str) -> String {
    let Some(machine) = sandbox.fly().machine(id) else { return String::new() };
    let path = sandbox.fly().options().data_dir.join(format!("{}-{}-{}.log", machine.app, machine.name, machine.id));
    let log = std::fs::read_to_string(&path).unwrap_or_default();
    let tail: Vec<&str> = log.lines().rev().take(20).collect();
    format!("{}:\n{}", path.display(), tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
}
