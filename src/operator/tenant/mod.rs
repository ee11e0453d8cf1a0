//! `interview-runtime tenant …`: what the operator does for a tenant at Fly and in the database.
//!
//! Every command reads what exists, plans what is missing (`domain/tenant_plan.rs`), prints the plan, executes it and reads
//! again. A run that was interrupted is finished by running it again.

mod execute;
mod gateways;
mod keys;
mod observe;
mod settings;

use self::execute::{Deployment, Plan, Problem};
use crate::config::Config;
use crate::config::operator::Settings;
use crate::domain::tenant_plan::{self, Names, Operation, Order, Record, Refusal, Step};
use crate::error::chain;
use crate::ids::TenantId;
use crate::integrations::clients::http_client;
use crate::integrations::fly::{FlyClient, FlyOptions};
use crate::integrations::store::operator::{OperatorStore, TenantRow};
use crate::roles::Exit;
use clap::Subcommand;
use std::io::{BufRead, IsTerminal, Write};
use uuid::Uuid;

const SHARED_LOGIN_ENDS: &str = "the next upgrade or rotate-secrets moves the apps to their own; the first command after the interviews of before are over drops it";
/// A plan's end is looked at again: Fly's lists lag.
const ROUNDS: u32 = 4;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Make a tenant, or mend what is missing of one.
    Create {
        /// Short name: lower-case letters, digits, dashes. Part of the apps' names, never changed.
        tenant: String,
        /// The tenant's UUID, as sign-in tokens carry it; a new one when absent.
        #[arg(long)]
        id: Option<TenantId>,
        /// As people read it; the short name when absent.
        #[arg(long)]
        name: Option<String>,
        /// Where its machines are: a code or a list by preference (`iad,us,any`); fly.region when absent.
        #[arg(long)]
        region: Option<String>,
        /// By digest; fly.image when absent.
        #[arg(long)]
        image: Option<String>,
        /// Print the plan and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// All tenants, what runs for them and what is under way.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Replace the gateways one after another by ones of another image. Interviews under way keep theirs.
    Upgrade {
        tenant: String,
        /// By digest: registry.fly.io/interview-runtime@sha256:…
        #[arg(long)]
        image: String,
        #[arg(long)]
        dry_run: bool,
    },
    /// New secrets, without breaking interviews under way. Neither flag: routing and token.
    RotateSecrets {
        tenant: String,
        /// A new routing secret; the one before stays accepted until --retire or the next rotation.
        #[arg(long)]
        routing: bool,
        /// A new deploy token for the gateways.
        #[arg(long)]
        token: bool,
        /// The provider keys as the configuration has them now.
        #[arg(long)]
        provider: bool,
        /// Stop accepting the routing secret from before the last rotation.
        #[arg(long, conflicts_with_all = ["routing", "token", "provider"])]
        retire: bool,
        /// With --retire: although interviews are under way.
        #[arg(long, requires = "retire")]
        force: bool,
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove everything that runs for a tenant. Its data stays in the database.
    Destroy {
        tenant: String,
        /// The tenant's short name once more, instead of being asked for it.
        #[arg(long)]
        yes: Option<String>,
        /// Although interviews are under way: they are asked to end first.
        #[arg(long)]
        force: bool,
        #[arg(long)]
        dry_run: bool,
    },
}

impl Command {
    fn tenant(&self) -> &str {
        match self {
            Self::Create { tenant, .. }
            | Self::Upgrade { tenant, .. }
            | Self::RotateSecrets { tenant, .. }
            | Self::Destroy { tenant, .. } => tenant,
            Self::List { .. } => "",
        }
    }

    fn dry_run(&self) -> bool {
        match self {
            Self::Create { dry_run, .. }
            | Self::Upgrade { dry_run, .. }
            | Self::RotateSecrets { dry_run, .. }
            | Self::Destroy { dry_run, .. } => *dry_run,
            Self::List { .. } => true,
        }
    }

    fn order(&self, config: &Config) -> Option<Order> {
        Some(match self {
            Self::Create { region, image, .. } => Order::Create {
                image: image.clone().unwrap_or_else(|| config.fly.image.clone()),
                region: region.clone().unwrap_or_else(|| config.fly.region.clone()),
            },
            Self::Upgrade { image, .. } => Order::Upgrade { image: image.clone() },
            Self::RotateSecrets { retire: true, force, .. } => Order::Retire { force: *force },
            Self::RotateSecrets { routing, token, provider, .. } => {
                let neither = !routing && !token && !provider;
                Order::Rotate { routing: *routing || neither, token: *token || neither }
            }
            Self::Destroy { force, .. } => Order::Destroy { force: *force },
            Self::List { .. } => return None,
        })
    }
}

/// Progress goes to standard output; a closed pipe must not stop a run half-way.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Run one command to its end.
pub async fn run(config: Config, shared: Settings, command: Command) -> Exit {
    match dispatch(config, shared, command).await {
        Ok(()) => Exit::Done,
        Err(problem) => {
            eprintln!("interview-runtime: {}: {}", problem.code(), chain(&problem));
            eprintln!("{}", problem.advice());
            Exit::Failed
        }
    }
}

async fn dispatch(config: Config, shared: Settings, command: Command) -> Result<(), Problem> {
    let mut store = OperatorStore::connect(&config.database.admin_url).await?;
    if let Command::List { json } = command {
        let tenants = store.tenants().await?;
        say(&if json { list_json(&tenants) } else { list_text(&tenants) });
        return Ok(());
    }
    let slug = command.tenant().to_owned();
    let names = Names::of(&slug).ok_or_else(|| Problem::Name(slug.clone()))?;
    if !store.lock(&slug).await? {
        return Err(Problem::Busy);
    }
    let row = tenant_row(&mut store, &command, &slug).await?;
    if let Command::Destroy { yes, dry_run: false, .. } = &command {
        confirm(&slug, yes.as_deref())?;
    }
    let Some(order) = command.order(&config) else { return Ok(()) };
    if matches!(order, Order::Destroy { .. }) && row.record.is_none() {
        say(&format!("nothing runs for {slug}"));
        return Ok(());
    }
    let record = tenant_plan::begin(&order, &slug, row.record.as_ref(), row.interviews)?;
    let fly = fly_client(&config)?;
    let mut deployment = Deployment::new(config, shared, fly, store, names, row, record)?;
    if command.dry_run() {
        let Plan { steps, .. } = deployment.plan().await?;
        print_plan(&deployment, &steps);
        return Ok(());
    }
    let done = converge(&mut deployment).await;
    match done {
        Err(problem) if problem.is_unhealthy() && order.operation() == Operation::Upgrade => go_back(deployment, problem).await,
        other => other,
    }
}

fn fly_client(config: &Config) -> Result<FlyClient, Problem> {
    let http = http_client().map_err(|error| Problem::Setup(error.to_string()))?;
    let options = FlyOptions {
        deadline: config.fly.timeout(),
        create_deadline: config.fly.timeout() * 2,
        requests_per_s: config.fly.requests_per_s,
        burst: config.fly.burst,
        ..FlyOptions::new(config.fly.base_url.clone(), config.fly.api_token.clone())
    };
    FlyClient::new(http, options).map_err(|error| Problem::Setup(error.to_string()))
}

/// The tenant as the database knows it, or as it is to be.
async fn tenant_row(store: &mut OperatorStore, command: &Command, slug: &str) -> Result<TenantRow, Problem> {
    let tenants = store.tenants().await?;
    let known = tenants.iter().find(|tenant| tenant.slug == slug);
    let Command::Create { id, name, .. } = command else {
        return known.cloned().ok_or_else(|| Problem::Refused(Refusal::Unknown(slug.to_owned())));
    };
    if let Some(known) = known {
        return match id {
            Some(id) if *id != known.id => Err(Problem::OtherId { slug: slug.to_owned(), id: known.id }),
            _ => Ok(known.clone()),
        };
    }
    let id = id.unwrap_or_else(|| TenantId(Uuid::now_v7()));
    if let Some(other) = tenants.iter().find(|tenant| tenant.id == id) {
        return Err(Problem::OtherId { slug: other.slug.clone(), id });
    }
    let name = name.clone().unwrap_or_else(|| slug.to_owned());
    Ok(TenantRow { id, slug: slug.to_owned(), name, record: None, token_expires_at: None, interviews: 0 })
}

fn confirm(slug: &str, yes: Option<&str>) -> Result<(), Problem> {
    let typed = match yes {
        Some(name) => name.to_owned(),
        None if std::io::stdin().is_terminal() => {
            say(&format!("This removes everything that runs for {slug}. Type its name to go on:"));
            let mut line = String::new();
            let _ = std::io::stdin().lock().read_line(&mut line);
            line.trim().to_owned()
        }
        None => String::new(),
    };
    if typed == slug { Ok(()) } else { Err(Problem::NotConfirmed(slug.to_owned())) }
}

fn print_plan(deployment: &Deployment, steps: &[Step]) {
    say(&format!("tenant {} ({}), release {}", deployment.slug(), deployment.tenant_id(), deployment.record().release));
    if steps.is_empty() {
        say("nothing to do: all of it is there");
    }
    for (index, step) in steps.iter().enumerate() {
        say(&format!("{:>3}. {step}", index + 1));
    }
}

/// Plan, execute, look again, until nothing is left.
async fn converge(deployment: &mut Deployment) -> Result<(), Problem> {
    for round in 0..ROUNDS {
        let Plan { steps, shared_login } = deployment.plan().await?;
        if round == 0 || !steps.is_empty() {
            print_plan(deployment, &steps);
        }
        if steps.is_empty() {
            say(&format!("{} is complete: {}", deployment.slug(), deployment.door()));
            if let Some(login) = shared_login {
                say(&format!(
                    "the database login {login}, from before gateways and sessions had their own, stays: {SHARED_LOGIN_ENDS}"
                ));
            }
            return Ok(());
        }
        let destroyed = steps.last() == Some(&Step::Forget);
        for (index, step) in steps.iter().enumerate() {
            say(&format!("[{}/{}] {step}", index + 1, steps.len()));
            let begun = tokio::time::Instant::now();
            deployment.perform(step).await.map_err(|problem| problem.during(step))?;
            say(&format!("      done in {} ms", begun.elapsed().as_millis()));
        }
        if destroyed {
            say(&format!("nothing runs for {} any more; its data is still in the database", deployment.slug()));
            return Ok(());
        }
    }
    Err(Problem::Unsettled)
}

/// The new gateways do not become healthy: those of the release before, as they were.
async fn go_back(mut deployment: Deployment, problem: Problem) -> Result<(), Problem> {
    let Some(record) = tenant_plan::back(deployment.record()) else { return Err(problem) };
    say(&format!("{}; going back to release {} ({})", chain(&problem), record.release, record.image));
    deployment.set_record(record);
    converge(&mut deployment).await?;
    Err(Problem::WentBack(Box::new(problem)))
}

fn under_way(record: Option<&Record>) -> &'static str {
    match record {
        None => "nothing runs",
        Some(Record { operation: None, .. }) => "complete",
        Some(Record { operation: Some(Operation::Create), .. }) => "create under way",
        Some(Record { operation: Some(Operation::Upgrade), .. }) => "upgrade under way",
        Some(Record { operation: Some(Operation::Rotate), .. }) => "rotate-secrets under way",
        Some(Record { operation: Some(Operation::Destroy), .. }) => "destroy under way",
    }
}

fn token_life(tenant: &TenantRow) -> String {
    tenant.token_expires_at.map(|at| at.date().to_string()).unwrap_or_default()
}

fn list_text(tenants: &[TenantRow]) -> String {
    let line = |[tenant, id, release, interviews, state, token, image]: [&str; 7]| {
        format!("{tenant:<20} {id:<36} {release:>7} {interviews:>10} {state:<24} {token:<12} {image}")
    };
    let heading = line(["tenant", "id", "release", "interviews", "state", "token until", "image"]);
    let lines = tenants.iter().map(|tenant| {
        let record = tenant.record.as_ref();
        line([
            &tenant.slug,
            &tenant.id.to_string(),
            &record.map(|record| record.release.to_string()).unwrap_or_default(),
            &tenant.interviews.to_string(),
            under_way(record),
            &token_life(tenant),
            record.map(|record| record.image.as_str()).unwrap_or_default(),
        ])
    });
    std::iter::once(heading).chain(lines).collect::<Vec<_>>().join("\n")
}

fn list_json(tenants: &[TenantRow]) -> String {
    let items: Vec<serde_json::Value> = tenants
        .iter()
        .map(|tenant| {
            let record = tenant.record.as_ref();
            serde_json::json!({
                "tenant": tenant.slug, "id": tenant.id, "name": tenant.name, "interviews": tenant.interviews,
                "state": under_way(record), "release": record.map(|record| record.release),
                "image": record.map(|record| &record.image), "region": record.map(|record| &record.region),
                "token_expires": token_life(tenant),
            })
        })
        .collect();
    serde_json::json!({ "items": items }).to_string()
}
