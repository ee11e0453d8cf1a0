//! `interview-runtime doctor`: checks everything that a role needs, all at the same time, each with a deadline.

mod checks;
mod models;

use crate::config::{Config, Role};
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// For one check, whatever it asks.
const DEADLINE: Duration = Duration::from_secs(12);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    Gateway,
    Session,
    Operator,
}

impl Subject {
    fn role(self) -> Role {
        match self {
            Self::Gateway => Role::Gateway,
            Self::Session => Role::Session,
            Self::Operator => Role::Operator,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Ok,
    Warning,
    Failure,
}

impl Level {
    /// The exit code that tells the worst finding.
    fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Failure => 2,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    level: Level,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), advice: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    fn failure(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Failure, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Print what is found; the exit code.
pub async fn run(file: Option<PathBuf>, subject: Subject, json: bool) -> u8 {
    let (config, wrong) = Config::examine(file.as_deref(), subject.role());
    let mut findings = vec![match &wrong {
        None => Finding::ok("configuration", "every key this role needs is there and may be what it is"),
        Some(error) => {
            Finding::failure("configuration", error.to_string(), "Correct this key: config/default.toml explains each.")
        }
    }];
    if let Some(config) = &config {
        findings.push(models::check(config, crate::clock::now().date()));
        findings.extend(ask(config, subject).await);
    }
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    println!("{}", if json { as_json(&findings) } else { as_text(&findings) });
    worst.code()
}

async fn ask(config: &Config, subject: Subject) -> Vec<Finding> {
    let mut checks: Vec<(&'static str, BoxFuture<'_, Vec<Finding>>)> = vec![
        ("database", Box::pin(checks::database(config, subject))),
        ("openai", Box::pin(checks::openai(config))),
        ("api_video", Box::pin(checks::api_video(config))),
        ("telemetry", Box::pin(checks::telemetry(config))),
    ];
    if subject != Subject::Session {
        checks.push(("fly", Box::pin(checks::fly(config, subject))));
        checks.push(("supabase", Box::pin(checks::supabase(config))));
    }
    if subject == Subject::Gateway {
        checks.push(("mail", Box::pin(checks::mail(config))));
    }
    let limited = checks.into_iter().map(|(name, check)| async move {
        tokio::time::timeout(DEADLINE, check).await.unwrap_or_else(|_| {
            let advice = "Check that this machine reaches it: name resolution, firewall, the address in the configuration.";
            vec![Finding::failure(name, format!("no answer within {} s", DEADLINE.as_secs()), advice)]
        })
    });
    join_all(limited).await.into_iter().flatten().collect()
}

fn as_text(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let mark = match finding.level {
            Level::Ok => "ok     ",
            Level::Warning => "WARNING",
            Level::Failure => "FAILURE",
        };
        let advice = finding.advice.as_ref().map(|advice| format!("\n        -> {advice}")).unwrap_or_default();
        format!("{mark} {}: {}{advice}", finding.check, finding.found)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn as_json(findings: &[Finding]) -> String {
    serde_json::json!({ "findings": findings }).to_string()
}
