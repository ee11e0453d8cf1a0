//! The command line of the simulation.

use clap::{Parser, Subcommand};
use interview_sim::campaign::{Campaign, campaign, silences};
use interview_sim::faults::Fault;
use interview_sim::plan::Plan;
use interview_sim::run::{simulate, simulate_plan, watch_panics};
use std::ops::Range;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// What `silence` allows: the promise itself (R17), not the room that the invariant of a run has.
const WITHOUT_A_WORD: Duration = Duration::from_secs(12);

#[derive(Parser)]
#[command(about = "Simulated interviews, seed by seed (docs/SIMULATION.md)")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a range of seeds and check every invariant in each.
    Run {
        #[arg(long, value_parser = range, default_value = "0..10000")]
        seeds: Range<u64>,
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Replay every so-many-th seed in a process of its own and compare the traces; 0: none.
        #[arg(long, default_value_t = 0)]
        replay_every: u64,
        /// Stop after so many failing seeds.
        #[arg(long, default_value_t = 20)]
        failures: usize,
    },
    /// Interviews with a provider that fails in every way: for how long does nobody speak, and the page says nothing?
    Silence {
        #[arg(long, default_value_t = 1_000)]
        interviews: u64,
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Print the trace of this one instead.
        #[arg(long)]
        replay: Option<u64>,
    },
    /// Run one seed and print its trace.
    Replay {
        #[arg(long)]
        seed: u64,
        /// Only the hash of the trace.
        #[arg(long)]
        hash: bool,
        /// The runtime's own log lines as well (a tracing filter, e.g. info).
        #[arg(long)]
        log: Option<String>,
    },
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("a range looks like 0..10000")?;
    let number = |text: &str| text.replace('_', "").parse().map_err(|_| format!("{text:?} is no number"));
    Ok(number(from)?..number(to)?)
}

fn main() -> ExitCode {
    watch_panics();
    match Arguments::parse().command {
        Task::Run { seeds, jobs, replay_every, failures } => run(seeds, jobs, replay_every, failures),
        Task::Silence { interviews, jobs, replay: None } => silence(interviews, jobs),
        Task::Silence { replay: Some(seed), .. } => {
            let outcome = simulate_plan(seed, Plan::with_a_failing_provider(seed), true);
            for line in &outcome.lines {
                println!("{line}");
            }
            println!("silent for {:?} at most, {:?}", outcome.longest_silence, outcome.violations);
            ExitCode::SUCCESS
        }
        Task::Replay { seed, hash, log } => replay(seed, hash, log),
    }
}

fn run(seeds: Range<u64>, jobs: usize, replay_every: u64, failures: usize) -> ExitCode {
    let result = campaign(seeds.clone(), jobs, failures, replay_every);
    for fault in Fault::ALL {
        println!("{:>9}  {:>2}  {}", result.counters.of(*fault), fault.row(), fault.name());
    }
    let took = result.took.as_secs_f64();
    println!(
        "{} interviews of seeds {}..{} in {took:.0} s: {:.0} a second, {:.0} times as fast as they would take",
        result.runs,
        seeds.start,
        seeds.end,
        result.runs as f64 / took,
        result.simulated.as_secs_f64() / took,
    );
    let mut good = report(&result);
    if replay_every > 0 {
        good &= replays_agree(&result);
    }
    // Rare faults need their number of seeds to show up.
    if seeds.end - seeds.start >= 5_000 {
        for fault in result.missing_faults() {
            println!("VOID: {:?} never happened: {}", fault, fault.name());
            good = false;
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn silence(interviews: u64, jobs: usize) -> ExitCode {
    let (silences, failed, counters) = silences(interviews, jobs);
    for fault in Fault::ALL.iter().filter(|fault| counters.of(**fault) > 0) {
        println!("{:>9}  {:>2}  {}", counters.of(*fault), fault.row(), fault.name());
    }
    for (what, share) in [("half", 50), ("90 %", 90), ("99 %", 99), ("all", 100)] {
        let at = (silences.len() * share).div_ceil(100).saturating_sub(1);
        let (silence, seed) = silences.get(at).copied().unwrap_or_default();
        println!("{what} of {interviews} interviews: at most {:.3} s of silence (seed {seed})", silence.as_secs_f64());
    }
    for outcome in &failed {
        println!("FAILED seed {}: {:?}", outcome.seed, outcome.violations);
    }
    let good = silences.last().is_none_or(|(longest, _)| *longest <= WITHOUT_A_WORD) && failed.is_empty();
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(result: &Campaign) -> bool {
    for outcome in &result.failed {
        println!("FAILED seed {}: replay with `scripts/sim replay --seed {}`", outcome.seed, outcome.seed);
        for violation in &outcome.violations {
            println!("    {violation}");
        }
    }
    println!("{} failed", result.failed.len());
    result.failed.is_empty()
}

/// The same seed in a fresh process must make the same trace.
fn replays_agree(result: &Campaign) -> bool {
    let Ok(program) = std::env::current_exe() else { return false };
    let mut different = 0;
    for (seed, hash) in &result.hashes {
        let again = Command::new(&program).args(["replay", "--hash", "--seed", &seed.to_string()]).output();
        let again = again.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        if again != format!("{hash:016x}") {
            different += 1;
            println!("DIFFERENT seed {seed}: {hash:016x} here, {again} in a fresh process");
        }
    }
    println!("{} seeds replayed in fresh processes: {different} differ", result.hashes.len());
    different == 0
}

fn replay(seed: u64, hash: bool, log: Option<String>) -> ExitCode {
    if let Some(filter) = log {
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_ansi(false).with_writer(std::io::stdout).init();
    }
    if !hash {
        // Before it runs: also of one that does not end.
        println!("{:?}", Plan::draw(seed));
    }
    let outcome = simulate(seed, !hash);
    if hash {
        println!("{:016x}", outcome.hash);
        return ExitCode::SUCCESS;
    }
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("seed {seed}: {} events, trace {:016x}", outcome.events, outcome.hash);
    for violation in &outcome.violations {
        println!("VIOLATION {violation}");
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
