//! `interview-sandbox`: runs a full interview without any key.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use interview_sandbox::postgres::{ClusterOptions, PrivateCluster};
use interview_sandbox::{Sandbox, SandboxOptions};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "interview-sandbox", version, about = "Stand-ins for everything an AI interview needs from outside")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything, and stay until Ctrl-C.
    Serve(Serve),
    /// Start only a private PostgreSQL, print its superuser URL, and stay until standard input closes or Ctrl-C.
    Postgres {
        /// Where the cluster lives; kept between runs.
        #[arg(long, default_value = ".sandbox")]
        data_dir: PathBuf,
        /// Also create this database, and print its URL instead.
        #[arg(long)]
        database: Option<String>,
    },
}

#[derive(Args)]
struct Serve {
    /// The port of the page.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// Recordings, logs and the database; kept between runs.
    #[arg(long, default_value = ".sandbox")]
    data_dir: PathBuf,
    /// The program that every machine runs.
    #[arg(long, default_value = "target/debug/interview-runtime")]
    runtime: PathBuf,
    /// The built web application.
    #[arg(long, default_value = "web/dist")]
    web_dir: PathBuf,
    /// SQL to run after the migrations.
    #[arg(long, default_value = "config/sandbox_seed.sql")]
    seed: PathBuf,
    /// A plan to publish after that, and the position that uses it.
    #[arg(long, value_name = "FILE=POSITION", value_parser = pair)]
    plan: Option<(String, String)>,
    /// Further environment for every machine.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A quick interviewer: short lines, short pauses.
    #[arg(long)]
    fast: bool,
    /// How many questions the interviewer asks.
    #[arg(long)]
    questions: Option<usize>,
    /// The smallest part of an upload (the vendor's is 5 MiB).
    #[arg(long, default_value_t = interview_sandbox::api_video::MIN_PART_BYTES)]
    min_part_bytes: u64,
    /// The UDP port of WebRTC; any free one by default.
    #[arg(long, default_value_t = 0)]
    udp_port: u16,
    /// The longest duration of a call in seconds (an hour at the vendor).
    #[arg(long)]
    longest_call_s: Option<u64>,
    /// How many milliseconds later than the Machines API the proxy hears of a machine's birth and end.
    #[arg(long, default_value_t = 200)]
    proxy_lag_ms: u64,
    /// Do not enforce the vendors' rate limits.
    #[arg(long)]
    no_rate_limits: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match Cli::parse().command {
        Command::Serve(arguments) => serve(arguments).await,
        Command::Postgres { data_dir, database } => postgres(data_dir, database).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("interview-sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C or SIGTERM.
async fn told_to_stop() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn serve(arguments: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let mut options = SandboxOptions::new(arguments.data_dir).with_gateway(arguments.runtime.display().to_string());
    options.port = arguments.port;
    if arguments.web_dir.is_dir() {
        options.web_dir = Some(arguments.web_dir);
    } else {
        eprintln!("note: {} does not exist, so there will be no page; build it first", arguments.web_dir.display());
    }
    options.seed = Some(arguments.seed);
    options.plan = arguments.plan.map(|(file, position)| (file.into(), position));
    options.extra_env = arguments.set;
    options.fast = arguments.fast;
    options.questions = arguments.questions;
    options.udp_port = arguments.udp_port;
    if let Some(seconds) = arguments.longest_call_s {
        options.longest_call = std::time::Duration::from_secs(seconds);
    }
    options.min_part_bytes = arguments.min_part_bytes;
    options.rate_limits = !arguments.no_rate_limits;
    options.proxy_lag = Duration::from_millis(arguments.proxy_lag_ms);
    if arguments.fast {
        options.encoding_time = Duration::from_millis(200);
        options.boot_time = Duration::from_millis(10);
    }
    options.progress = Some(Arc::new(|line: &str| println!("  {line}")));

    println!("interview-sandbox is starting");
    // A signal during the start drops it, and with it every process begun so far.
    let sandbox = tokio::select! {
        started = Sandbox::start(options) => started?,
        stopped = told_to_stop() => return Ok(stopped?),
    };
    print_welcome(&sandbox);
    told_to_stop().await?;
    println!("stopping");
    sandbox.stop().await;
    Ok(())
}

fn print_welcome(sandbox: &Sandbox) {
    println!("\nready: {}\n", sandbox.urls().front);
    println!("  {:<10} {:<22} {:<10} name", "role", "e-mail", "password");
    for user in sandbox.supabase().users() {
        if user.app_metadata["tenant_id"] != interview_sandbox::TENANT_ID {
            continue;
        }
        let role = user.app_metadata["tenant_role"].as_str().unwrap_or_default();
        let password = user.password.as_deref().unwrap_or_default();
        println!("  {role:<10} {:<22} {password:<10} {}", user.email, user.name);
    }
    println!("\n  mail that was sent:            {}/sandbox/mailbox", sandbox.urls().front);
    println!("  what was asked of the vendors: {}/sandbox/ledger", sandbox.urls().front);
    println!("  machines and recordings:       {}/sandbox/state", sandbox.urls().front);
    println!("  Ctrl-C stops everything\n");
    let _ = std::io::stdout().flush();
}

async fn postgres(data_dir: PathBuf, database: Option<String>) -> Result<(), Box<dyn std::error::Error>> {
    let start = async {
        let cluster = PrivateCluster::start(ClusterOptions::new(data_dir.join("postgres"))).await?;
        let url = match &database {
            Some(name) => cluster.create_database(name).await?,
            None => cluster.admin_url(),
        };
        Ok::<_, interview_sandbox::postgres::PostgresError>((cluster, url))
    };
    let (cluster, url) = tokio::select! {
        started = start => started?,
        stopped = told_to_stop() => return Ok(stopped?),
    };
    println!("{url}");
    std::io::stdout().flush()?;
    // A plain thread: a read of standard input cannot be taken back.
    let (closed, input_closed) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut buffer = [0u8; 256];
        while matches!(std::io::stdin().read(&mut buffer), Ok(read) if read > 0) {}
        drop(closed);
    });
    tokio::select! {
        _ = input_closed => {}
        stopped = told_to_stop() => stopped?,
    }
    cluster.stop().await;
    Ok(())
}
