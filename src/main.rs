//! The command line: reads the configuration, starts telemetry, runs a role, exits with its code.

use clap::{Parser, Subcommand};
use interview_runtime::config::{Config, Role};
use interview_runtime::error::ErrorCode;
use interview_runtime::ids::{MachineId, SessionId};
use interview_runtime::operator;
use interview_runtime::roles::{self, Exit};
use interview_runtime::telemetry::{self, Identity, Telemetry};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// A TOML file over the defaults; the environment (INTERVIEW__SECTION__KEY) is over both.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hold one interview and exit when all of it is stored.
    Session {
        /// Which one; the gateway sets it on the machine.
        #[arg(long, env = "SESSION_ID")]
        session_id: SessionId,
    },
    /// Wait for an interview, then hold it: a machine that is ready before anyone asks.
    Standby {
        /// This machine, as Fly names it.
        #[arg(long, env = "FLY_MACHINE_ID")]
        machine_id: String,
    },
    /// The tenant's door: HTTP API, tickets, routing, the web app.
    Gateway,
    /// Print the public keys of the gateway's routing secrets: routing.public_keys of its sessions' machines.
    RoutingPublicKeys,
    /// Bring the database to this version's schema, as its owner.
    Migrate,
    /// Check everything a role needs, and say what to do: exit code 0, 1 (warnings) or 2 (failures).
    Doctor {
        /// Whose configuration it is.
        #[arg(long, value_enum, default_value_t = operator::doctor::Subject::Gateway)]
        role: operator::doctor::Subject,
        #[arg(long)]
        json: bool,
    },
    /// Check, store, publish and write plans of interviews (docs/PLANS.md).
    Plan {
        #[command(subcommand)]
        command: operator::plan::Command,
    },
    /// Let simulated candidates go through plans in files: exit code 0, or 1 when one has errors (docs/PLANS.md).
    Rehearse(operator::rehearse::Arguments),
    /// Make, change and remove tenants (docs/TENANTS.md).
    Tenant {
        /// A further TOML file with the secrets; `-` is standard input. They are never arguments.
        #[arg(long, global = true)]
        secrets: Option<PathBuf>,
        #[command(subcommand)]
        command: operator::tenant::Command,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let exit = match arguments.command {
        Command::Doctor { role, json } => {
            return ExitCode::from(block_on(operator::doctor::run(arguments.config, role, json), Exit::Failed.code()));
        }
        Command::Plan { command } => {
            return ExitCode::from(block_on(operator::plan::run(arguments.config, command), Exit::Failed.code()));
        }
        Command::Rehearse(arguments) => return ExitCode::from(operator::rehearse::run(&arguments)),
        Command::Session { session_id } => with_role(arguments.config, Role::Session, Some(session_id)),
        Command::Standby { machine_id } => standby(arguments.config, MachineId::new(machine_id)),
        Command::Gateway => with_role(arguments.config, Role::Gateway, None),
        Command::RoutingPublicKeys => routing_public_keys(arguments.config),
        Command::Migrate => migrate(arguments.config),
        Command::Tenant { secrets, command } => tenant(arguments.config, secrets, command),
    };
    ExitCode::from(exit.code())
}

fn load(file: Option<PathBuf>, role: Role) -> Result<Config, Exit> {
    Config::load(file.as_deref(), role, None).map_err(|error| {
        eprintln!("interview-runtime: config_invalid: {error}");
        Exit::Misconfigured
    })
}

fn with_role(file: Option<PathBuf>, role: Role, session: Option<SessionId>) -> Exit {
    let config = match load(file, role) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let name = if role == Role::Session { "session" } else { "gateway" };
    let identity = Identity { role: name, tenant: config.tenant.id, session };
    let (telemetry, runtime) = match (telemetry(&config, &identity), runtime()) {
        (Ok(telemetry), Ok(runtime)) => (telemetry, runtime),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let stall_after = config.watchdog.stall_after();
    let exit = runtime.block_on(watched(stall_after, async {
        match session {
            Some(session) => roles::session::run_until_signal(config, session, telemetry.meter()).await,
            None => roles::gateway::run_until_signal(config, telemetry.meter()).await,
        }
    }));
    telemetry.shutdown();
    exit.unwrap_or_else(|exit| exit)
}

/// Until it is assigned, the process does not know whose telemetry it would send: it only logs.
fn standby(file: Option<PathBuf>, machine: MachineId) -> Exit {
    let (config, runtime) = match (load(file, Role::Session), runtime()) {
        (Ok(config), Ok(runtime)) => (config, runtime),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let mut identity = Identity { role: "standby", tenant: config.tenant.id, session: None };
    let lines = match telemetry::lines_only(&config.telemetry, &identity) {
        Ok(lines) => lines,
        Err(error) => return unusable(&error),
    };
    let stall_after = config.watchdog.stall_after();
    let mut stop: roles::standby::Stop = Box::pin(roles::stop_signal());
    let assigned = runtime.block_on(watched(stall_after, roles::standby::wait(&config, machine, &mut stop)));
    drop(lines);
    let assigned = match assigned.and_then(|waited| waited) {
        Ok(assigned) => assigned,
        Err(exit) => return exit,
    };
    identity = Identity { role: "session", session: Some(assigned.session), ..identity };
    let telemetry = match telemetry(&config, &identity) {
        Ok(telemetry) => telemetry,
        Err(exit) => return exit,
    };
    let meter = telemetry.meter();
    let exit = runtime.block_on(watched(stall_after, roles::session::run_assigned(config, assigned, meter, stop)));
    telemetry.shutdown();
    exit.unwrap_or_else(|exit| exit)
}

fn telemetry(config: &Config, identity: &Identity) -> Result<Telemetry, Exit> {
    telemetry::init(&config.telemetry, identity).map_err(|error| unusable(&error))
}

fn unusable(error: &dyn std::error::Error) -> Exit {
    eprintln!("interview-runtime: {error}");
    Exit::Misconfigured
}

/// One thread: a session waits for the network nearly all its life.
fn runtime() -> Result<Runtime, Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        eprintln!("interview-runtime: cannot start: {error}");
        Exit::Failed
    })
}

/// Run `work` with the watchdog beside it.
async fn watched<T>(stall_after: Duration, work: impl Future<Output = T>) -> Result<T, Exit> {
    let _watchdog = roles::watchdog::guard_process(stall_after).map_err(|error| {
        eprintln!("interview-runtime: cannot start: {error}");
        Exit::Failed
    })?;
    Ok(work.await)
}

fn routing_public_keys(file: Option<PathBuf>) -> Exit {
    let config = match load(file, Role::RoutingPublicKeys) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    match config.routing.signing_keys() {
        Ok(keys) => {
            println!("{}", keys.public());
            Exit::Done
        }
        Err(error) => unusable(&error),
    }
}

fn migrate(file: Option<PathBuf>) -> Exit {
    let config = match load(file, Role::Migrate) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let migrated =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string()).and_then(
            |runtime| {
                let work = interview_runtime::integrations::store::migrate(&config.database.admin_url);
                runtime.block_on(work).map_err(|error| interview_runtime::error::chain(&error))
            },
        );
    match migrated {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("interview-runtime: {}: {error}", ErrorCode::MigrationFailed);
            Exit::Failed
        }
    }
}

fn tenant(file: Option<PathBuf>, secrets: Option<PathBuf>, command: operator::tenant::Command) -> Exit {
    let secrets = match secrets.map(|path| read_secrets(&path)).transpose() {
        Ok(secrets) => secrets,
        Err(error) => {
            eprintln!("interview-runtime: config_invalid: cannot read the file of --secrets: {error}");
            return Exit::Misconfigured;
        }
    };
    let (config, settings) = match Config::load_operator(file.as_deref(), secrets.as_deref(), None) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("interview-runtime: config_invalid: {error}");
            return Exit::Misconfigured;
        }
    };
    block_on(operator::tenant::run(config, settings, command), Exit::Failed)
}

/// `otherwise`: when there is no reactor to run it on.
fn block_on<T>(command: impl Future<Output = T>, otherwise: T) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            eprintln!("interview-runtime: cannot start: {error}");
            otherwise
        }
    }
}

fn read_secrets(path: &std::path::Path) -> std::io::Result<String> {
    if path.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) }
}
