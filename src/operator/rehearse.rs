//! `interview-runtime rehearse`: simulated candidates go through a plan, and rules say what is wrong with it. It needs nothing but the
//! file.

use super::plan::read;
use crate::domain::plan::Plan;
use crate::domain::plan::lint::Severity;
use crate::error::ErrorCode;
use crate::rehearsal::{Asked, Finding, NotRehearsed, Progress, Rehearsal, rehearse};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Of the table: candidate, outcome, and numbers.
const WIDTHS: [usize; 6] = [22, 12, 8, 10, 7, 8];

#[derive(clap::Args)]
pub struct Arguments {
    /// JSON; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// In which language of the plan; its own, when it is not given.
    #[arg(long)]
    language: Option<String>,
    /// Other pauses and hesitations of the candidates; the same seed gives the same rehearsal.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object for each file, one a line.
    #[arg(long)]
    json: bool,
}

/// The exit code: 0, or 1 when one of the plans cannot be read or has errors.
pub fn run(arguments: &Arguments) -> u8 {
    let mut code = 0;
    for file in &arguments.files {
        let plan = match read(file) {
            Ok(plan) => plan,
            Err(error) => {
                eprintln!("interview-runtime: {error}");
                code = 1;
                continue;
            }
        };
        match of_file(file, &plan, arguments) {
            Ok(rehearsal) if rehearsal.passed => {}
            // Nobody stops it here.
            Ok(_) | Err(NotRehearsed::Stopped) => code = 1,
            Err(NotRehearsed::Language) => {
                let offered: Vec<&str> = plan.languages.iter().map(crate::domain::language::LanguageTag::as_str).collect();
                let (code_of, wanted) = (ErrorCode::PlanLanguageMissing, arguments.language.as_deref().unwrap_or_default());
                eprintln!("interview-runtime: {code_of}: {}: no {wanted}, but {}", file.display(), offered.join(", "));
                code = 1;
            }
        }
    }
    code
}

fn of_file(file: &Path, plan: &Plan, arguments: &Arguments) -> Result<Rehearsal, NotRehearsed> {
    let asked = Asked { plan, language: arguments.language.as_deref(), seed: arguments.seed };
    if arguments.json {
        let rehearsal = rehearse(&asked, &|| true, &mut |_| {})?;
        println!("{}", json!({"file": file, "rehearsal": rehearsal}));
        return Ok(rehearsal);
    }
    println!("{}", file.display());
    println!("  {}", row(["candidate", "outcome", "minutes", "questions", "probes", "silence"].map(str::to_owned)));
    let rehearsal = rehearse(&asked, &|| true, &mut |progress| tell(&progress))?;
    for finding in &rehearsal.findings {
        println!("  {}", line(finding));
    }
    let count = |severity| rehearsal.all_findings().filter(|finding| finding.severity == severity).count();
    println!(
        "{}: in {}, {} minutes, {} errors, {} warnings",
        file.display(),
        rehearsal.language.described(),
        rehearsal.minutes,
        count(Severity::Error),
        count(Severity::Warning)
    );
    Ok(rehearsal)
}

/// Each interview as it ends.
fn tell(progress: &Progress<'_>) {
    let (cells, findings) = match progress {
        Progress::Persona(report) => (
            [
                report.persona.as_str().to_owned(),
                report.outcome.as_str().to_owned(),
                format!("{:.1}", report.minutes),
                report.questions_asked.to_string(),
                report.probes_fired.to_string(),
                format!("{:.1} s", report.longest_silence_s),
            ],
            &report.findings,
        ),
        Progress::Misbehaviour(report) => (
            [
                format!("! {}", report.behaviour.as_str()),
                report.outcome.as_str().to_owned(),
                format!("{:.1}", report.minutes),
                String::new(),
                String::new(),
                String::new(),
            ],
            &report.findings,
        ),
    };
    println!("  {}", row(cells));
    for finding in findings {
        println!("    {}", line(finding));
    }
}

fn row(cells: [String; 6]) -> String {
    let padded = cells.iter().zip(WIDTHS).enumerate();
    let cells = padded.map(|(n, (cell, width))| if n < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
    cells.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

/// `error over_time work/built-system: …`
fn line(finding: &Finding) -> String {
    let places = [&finding.section, &finding.question, &finding.probe];
    let place = places.into_iter().flatten().map(|slug| format!("{slug}")).collect::<Vec<_>>().join("/");
    let place = if place.is_empty() { String::new() } else { format!(" {place}") };
    format!("{} {}{place}: {}", finding.severity.as_str(), finding.code.as_str(), finding.message)
}
