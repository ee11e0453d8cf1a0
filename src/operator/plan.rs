//! `interview-runtime plan`: reads plans from files, checks them, stores, publishes and writes them.
//!
//! `lint` needs nothing but the file. The others work on one tenant's rows by its gateway's login (`database.url`, `tenant.id`); the audit
//! has them under no account.

use crate::config::{Config, Role};
use crate::domain::plan::lint::{Finding, Origin, Severity, lint, may_publish};
use crate::domain::plan::schema::json_schema;
use crate::domain::plan::{Plan, PlanError};
use crate::error::{ErrorCode, chain};
use crate::ids::{PlanId, PositionId};
use crate::integrations::clients;
use crate::integrations::store::StoreError;
use crate::integrations::store::gateway::plans::{Unchanged, VersionRow};
use crate::integrations::store::gateway::{Change, GatewayStore};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use uuid::Uuid;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Check plans in files: exit code 0, or 1 when one has errors.
    Lint {
        /// JSON; `-` is standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// One JSON object for each file, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Print what a plan may consist of, as JSON Schema.
    Schema,
    /// Store a file as the draft of a new plan, or of one that is there. Prints the plan's id.
    Import {
        /// JSON; `-` is standard input.
        file: PathBuf,
        /// Which plan: made when it is not there, and its draft replaced when it is.
        #[arg(long)]
        plan: Option<PlanId>,
        /// Change nothing when the plan is there already.
        #[arg(long, requires = "plan")]
        if_absent: bool,
        /// Also make a version of it.
        #[arg(long)]
        publish: bool,
        /// Which position uses that version from now on.
        #[arg(long, requires = "publish")]
        position: Option<PositionId>,
    },
    /// Write a plan as a file has it.
    Export {
        plan: PlanId,
        /// The draft, when it is not given.
        #[arg(long)]
        version: Option<i32>,
        /// Standard output, when it is not given.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Make a version of a plan's draft. Prints its number.
    Publish {
        plan: PlanId,
        /// Which position uses it from now on.
        #[arg(long)]
        position: Option<PositionId>,
    },
}

const KIND: &str = "plan";

/// Why a command did not do what it says.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{}: cannot read {}: {source}", ErrorCode::PlanInvalid, .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {}: {source}", ErrorCode::PlanInvalid, .path.display())]
    Invalid { path: PathBuf, source: PlanError },
    #[error("cannot write {}: {source}", .path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("{}: the linter found errors", ErrorCode::PlanNotPublishable)]
    NotPublishable(Vec<Finding>),
    #[error("{}: {}", .0.code(), .0.code().help().trim())]
    Unchanged(Unchanged),
    #[error("{}: {}", ErrorCode::DatabaseUnavailable, chain(.0))]
    Store(#[from] StoreError),
    #[error("{}: {}", ErrorCode::ConfigInvalid, .0)]
    Config(String),
}

/// The exit code: 0 done, 1 not done or errors found, 78 wrongly configured.
pub async fn run(config: Option<PathBuf>, command: Command) -> u8 {
    let done = match command {
        Command::Lint { files, json } => return lint_files(&files, json),
        Command::Schema => {
            print!("{}", json_schema());
            return 0;
        }
        Command::Import { file, plan, if_absent, publish, position } => {
            let document = match read(&file) {
                Ok(document) if publish => check(&document).map(|()| document),
                read => read,
            };
            match document {
                Ok(document) => import(config, &document, plan, if_absent, publish, position).await,
                Err(error) => Err(error),
            }
        }
        Command::Export { plan, version, out } => export(config, plan, version, out).await,
        Command::Publish { plan, position } => publish_draft(config, plan, position).await,
    };
    let Err(error) = done else { return 0 };
    if let Failed::NotPublishable(findings) = &error {
        for finding in findings {
            eprintln!("{}", line(finding));
        }
    }
    eprintln!("interview-runtime: {error}");
    if matches!(error, Failed::Config(_)) { crate::roles::Exit::Misconfigured.code() } else { 1 }
}

fn lint_files(files: &[PathBuf], as_json: bool) -> u8 {
    let mut code = 0;
    for file in files {
        let findings = match read(file) {
            Ok(plan) => lint(&plan, Origin::Authored),
            Err(error) => {
                eprintln!("interview-runtime: {error}");
                code = 1;
                continue;
            }
        };
        if !may_publish(&findings) {
            code = 1;
        }
        if as_json {
            println!("{}", json!({"file": file, "may_publish": may_publish(&findings), "findings": findings}));
        } else {
            let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
            println!("{}: {} errors, {} warnings", file.display(), count(Severity::Error), count(Severity::Warning));
            for finding in &findings {
                println!("  {}", line(finding));
            }
        }
    }
    code
}

/// `error leading /sections/0/questions/2/spoken (en): …`
fn line(finding: &Finding) -> String {
    let Finding { code, severity, path, language, message, accepted } = finding;
    let language = language.as_ref().map_or_else(String::new, |language| format!(" ({language})"));
    let accepted = accepted.as_ref().map_or_else(String::new, |reason| format!(" Accepted: {reason}"));
    format!("{} {} {path}{language}: {message}{accepted}", severity.as_str(), code.as_str())
}

async fn import(
    config: Option<PathBuf>,
    document: &Plan,
    plan: Option<PlanId>,
    if_absent: bool,
    publish: bool,
    position: Option<PositionId>,
) -> Result<(), Failed> {
    let store = store(config)?;
    let id = plan.unwrap_or_else(|| PlanId(Uuid::now_v7()));
    let known = store.plan(&store.own_scope(), id).await?;
    println!("{id}");
    match known {
        Some(_) if if_absent => return Ok(()),
        Some((_, draft)) if draft == *document => {}
        Some((row, _)) => {
            let mut change = store.begin_operators_change().await?;
            let revision = change.replace_draft(id, row.revision, document).await?.map_err(Failed::Unchanged)?;
            change.audit("draft_changed", (KIND, id.0), json!({"revision": revision})).await?;
            keep(change).await?;
        }
        None => {
            let mut change = store.begin_operators_change().await?;
            change.insert_plan(id, document).await?.map_err(Failed::Unchanged)?;
            change.audit("created", (KIND, id.0), json!({})).await?;
            keep(change).await?;
        }
    }
    if publish {
        use_version(&store, id, position).await?;
    }
    store.close().await;
    Ok(())
}

async fn export(config: Option<PathBuf>, id: PlanId, version: Option<i32>, out: Option<PathBuf>) -> Result<(), Failed> {
    let store = store(config)?;
    let plan = match version {
        Some(number) => {
            let version = store.plan_version(&store.own_scope(), id, number).await?;
            version.ok_or(Failed::Unchanged(Unchanged::VersionNotFound))?.1
        }
        None => store.plan(&store.own_scope(), id).await?.ok_or(Failed::Unchanged(Unchanged::NotFound))?.1,
    };
    store.close().await;
    let text = serde_json::to_string_pretty(&plan).map_err(|error| Failed::Store(StoreError::Corrupt(error.to_string())))? + "\n";
    if let Some(path) = out {
        return std::fs::write(&path, text).map_err(|source| Failed::Unwritable { path, source });
    }
    print!("{text}");
    Ok(())
}

async fn publish_draft(config: Option<PathBuf>, id: PlanId, position: Option<PositionId>) -> Result<(), Failed> {
    let store = store(config)?;
    let version = use_version(&store, id, position).await?;
    println!("{}", version.number);
    store.close().await;
    Ok(())
}

/// Publish the draft as it is now, and let the position use it.
async fn use_version(store: &GatewayStore, id: PlanId, position: Option<PositionId>) -> Result<VersionRow, Failed> {
    let mut change = store.begin_operators_change().await?;
    let (row, draft) = change.plan(id).await?.ok_or(Failed::Unchanged(Unchanged::NotFound))?;
    check(&draft)?;
    let (version, is_new) = change.publish_plan(id, row.revision, &draft).await?.map_err(Failed::Unchanged)?;
    if is_new {
        let detail = json!({"number": version.number, "hash": version.hash});
        change.audit("published", (KIND, id.0), detail).await?;
    }
    if let Some(position) = position {
        let used = Some((id, Some(version.number)));
        let (_, is_new) = change.set_position_plan(position, used).await?.map_err(Failed::Unchanged)?;
        if is_new {
            let detail = json!({"plan": {"plan_id": id, "version": version.number}});
            change.audit("plan_set", ("position", position.0), detail).await?;
        }
    }
    keep(change).await?;
    Ok(version)
}

async fn keep(change: Change) -> Result<(), StoreError> {
    change.commit(200, &Value::Null).await
}

fn check(plan: &Plan) -> Result<(), Failed> {
    let findings = lint(plan, Origin::Authored);
    if may_publish(&findings) { Ok(()) } else { Err(Failed::NotPublishable(findings)) }
}

pub(super) fn read(path: &Path) -> Result<Plan, Failed> {
    let unreadable = |source| Failed::Unreadable { path: path.to_owned(), source };
    // One more than may be, so that what is too long is known to be.
    let longest = Plan::MAX_BYTES as u64 + 1;
    let mut json = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().take(longest).read_to_end(&mut json).map_err(unreadable)?;
    } else {
        std::fs::File::open(path).and_then(|file| file.take(longest).read_to_end(&mut json)).map_err(unreadable)?;
    }
    Plan::parse(&json).map_err(|source| Failed::Invalid { path: path.to_owned(), source })
}

fn store(file: Option<PathBuf>) -> Result<GatewayStore, Failed> {
    let config = Config::load(file.as_deref(), Role::Plans, None).map_err(|error| Failed::Config(error.to_string()))?;
    let store = clients::store(&config).map_err(|error| Failed::Config(chain(&error)))?;
    Ok(GatewayStore::new(store, config.tenant.id))
}
