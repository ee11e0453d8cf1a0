//! Compares our restart decisions with those of Erlang/OTP's own supervisor.
//!
//! Random schedules of crashes run twice: in the `supervisor` of the installed Erlang/OTP, with real processes in virtual time
//! (`tests/otp/oracle.erl` says how), and in our [`Supervision`]. After every step both write down, for each child, how often it
//! was started and whether it runs (`+`), is stopped (`-`) or was given up (`!`), and which tree of the process this is. The
//! lines must be equal. The process's own level is [`History`] with the process's limit, as `roles::session` uses it.
//!
//! Needs `erlc` and `erl` (Debian: `erlang-base`); without them it says so and passes.
//! `OTP_SCHEDULES` and `OTP_SEED` change how many schedules and which.

use interview_runtime::actors::tree::{Child, Exhausted, Policy, Start, Supervision, TREE, Verdict};
use interview_runtime::domain::restart::{Ended, History, Intensity, Restart};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const SCHEDULES: usize = 10_000;

#[derive(Clone, Debug)]
enum Step {
    Ends { at_ms: u64, child: Child, reason: &'static str, failing_starts_ms: Vec<u64> },
    Starts { at_ms: u64, child: Child, failing_starts_ms: Vec<u64> },
    Stops { at_ms: u64, child: Child },
    RootCrashes { at_ms: u64 },
}

struct Schedule {
    trees: Intensity,
    table: &'static [Policy],
    steps: Vec<Step>,
}

// ---- schedules ----

fn schedule(rng: &mut fastrand::Rng) -> Schedule {
    let intensity = |rng: &mut fastrand::Rng| Intensity { restarts: rng.usize(0..6), period_s: rng.u64(1..20) };
    let table: &'static [Policy] = if rng.u8(0..4) == 0 {
        &TREE
    } else {
        let rows = TREE.iter().take(rng.usize(1..=TREE.len())).map(|row| Policy {
            child: row.child,
            start: *rng.choice(&[Start::WithTree, Start::WithTree, Start::OnDemand]).expect("some"),
            restart: *rng.choice(&[Restart::Permanent, Restart::Transient, Restart::Temporary]).expect("some"),
            intensity: intensity(rng),
            exhausted: *rng.choice(&[Exhausted::FailTree, Exhausted::Degrade, Exhausted::CloseSocket]).expect("some"),
            drain: row.drain,
        });
        rows.collect::<Vec<_>>().leak()
    };
    let trees = if rng.bool() { Intensity { restarts: 3, period_s: 60 } } else { intensity(rng) };
    let storm = rng.u8(0..10) == 0;
    let mut now_ms = 0;
    let steps = (0..rng.usize(5..60))
        .map(|_| {
            let row = rng.choice(table).expect("some");
            let period_ms = row.intensity.period_s * 1_000;
            now_ms += match rng.u8(0..10) {
                _ if storm => 0,
                0..=2 => 0,
                3..=5 => rng.u64(0..1_500),
                // Around the edge of the period, where whole seconds decide.
                6..=7 => (period_ms + *rng.choice(&[0, 1, 999, 1_000, 1_001]).expect("some")).saturating_sub(rng.u64(0..3)),
                8 => period_ms.saturating_sub(1_000),
                _ => rng.u64(0..2 * period_ms),
            };
            let (at_ms, child) = (now_ms, row.child);
            let failing = rng.u8(0..5) == 0;
            let failing_starts_ms: Vec<u64> =
                (0..if failing { rng.usize(1..5) } else { 0 }).map(|_| if rng.bool() { 0 } else { rng.u64(0..1_500) }).collect();
            match rng.u8(0..100) {
                0..=74 => {
                    let reason = *rng
                        .choice(&["crash", "crash", "crash", "killed", "normal", "shutdown", "{shutdown,why}"])
                        .expect("some");
                    Step::Ends { at_ms, child, reason: if storm { "crash" } else { reason }, failing_starts_ms }
                }
                75..=86 => Step::Starts { at_ms, child, failing_starts_ms },
                87..=92 => Step::Stops { at_ms, child },
                _ => Step::RootCrashes { at_ms },
            }
        })
        .collect();
    Schedule { trees, table, steps }
}

/// As an Erlang term.
fn term(schedule: &Schedule) -> String {
    let children: Vec<String> = schedule
        .table
        .iter()
        .map(|row| {
            let start = if row.start == Start::WithTree { "with_tree" } else { "on_demand" };
            let restart = format!("{:?}", row.restart).to_lowercase();
            let (restarts, period_s) = (row.intensity.restarts, row.intensity.period_s);
            format!("{{{},{start},{restart},{restarts},{period_s},{}}}", row.child.name(), row.exhausted == Exhausted::FailTree)
        })
        .collect();
    let steps: Vec<String> = schedule
        .steps
        .iter()
        .map(|step| match step {
            Step::Ends { at_ms, child, reason, failing_starts_ms } => {
                format!("{{'end',{at_ms},{},{reason},{failing_starts_ms:?}}}", child.name())
            }
            Step::Starts { at_ms, child, failing_starts_ms } => {
                format!("{{start,{at_ms},{},{failing_starts_ms:?}}}", child.name())
            }
            Step::Stops { at_ms, child } => format!("{{stop,{at_ms},{}}}", child.name()),
            Step::RootCrashes { at_ms } => format!("{{crash_root,{at_ms}}}"),
        })
        .collect();
    let Intensity { restarts, period_s } = schedule.trees;
    format!("{{schedule,{{{restarts},{period_s}}},[{}],[{}]}}.\n", children.join(","), steps.join(","))
}

// ---- the same in our code ----

#[derive(Default)]
struct Counted {
    restarted: usize,
    rested: usize,
    degraded: usize,
    trees_failed: usize,
    roots_restarted: usize,
    processes_ended: usize,
    failed_starts: usize,
}

struct Ours<'a> {
    schedule: &'a Schedule,
    now_ms: u64,
    supervision: Supervision,
    trees: History,
    tree: usize,
    state: HashMap<Child, char>,
    attempts: HashMap<Child, usize>,
    over: bool,
    counted: &'a mut Counted,
}

fn ours(schedule: &Schedule, counted: &mut Counted) -> String {
    let mut ours = Ours {
        schedule,
        now_ms: 0,
        supervision: Supervision::following(schedule.table),
        trees: History::default(),
        tree: 0,
        state: HashMap::new(),
        attempts: HashMap::new(),
        over: false,
        counted,
    };
    ours.spawn_tree();
    let mut line = String::new();
    for step in &schedule.steps {
        ours.step(step);
        for row in schedule.table {
            let attempts = ours.attempts.get(&row.child).copied().unwrap_or(0);
            let state = ours.state.get(&row.child).filter(|_| !ours.over).map(char::to_string).unwrap_or_default();
            let _ = write!(line, "{attempts}{state} ");
        }
        if ours.over {
            line.push_str("over");
            break;
        }
        let _ = write!(line, "{};", ours.tree);
    }
    line
}

impl Ours<'_> {
    fn spawn_tree(&mut self) {
        self.tree += 1;
        self.supervision = Supervision::following(self.schedule.table);
        for row in self.schedule.table {
            if row.start == Start::WithTree {
                *self.attempts.entry(row.child).or_default() += 1;
            }
            self.state.insert(row.child, if row.start == Start::WithTree { '+' } else { '-' });
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Ends { at_ms, child, reason, failing_starts_ms } => {
                self.now_ms = self.now_ms.max(*at_ms);
                if self.state[child] == '+' {
                    let ended = if matches!(*reason, "crash" | "killed") { Ended::Abnormally } else { Ended::Normally };
                    self.ended(*child, ended, failing_starts_ms);
                }
            }
            Step::Starts { at_ms, child, failing_starts_ms } => {
                self.now_ms = self.now_ms.max(*at_ms);
                if self.state[child] != '+' {
                    *self.attempts.entry(*child).or_default() += 1;
                    match failing_starts_ms.first() {
                        // Who asked for it is told; nothing is tried again.
                        Some(takes_ms) => self.now_ms += takes_ms,
                        None => drop(self.state.insert(*child, '+')),
                    }
                }
            }
            Step::Stops { at_ms, child } => {
                self.now_ms = self.now_ms.max(*at_ms);
                if self.state[child] == '+' {
                    self.state.insert(*child, '-');
                }
            }
            Step::RootCrashes { at_ms } => {
                self.now_ms = self.now_ms.max(*at_ms);
                if self.trees.admit(self.now_ms / 1_000, self.schedule.trees) {
                    self.counted.roots_restarted += 1;
                    self.spawn_tree();
                } else {
                    self.counted.processes_ended += 1;
                    self.over = true;
                }
            }
        }
    }

    fn ended(&mut self, child: Child, mut ended: Ended, failing_starts_ms: &[u64]) {
        let mut failing = failing_starts_ms.iter();
        loop {
            match self.supervision.judge_at(child, ended, self.now_ms / 1_000) {
                Verdict::Nothing => {
                    self.counted.rested += 1;
                    self.state.insert(child, '-');
                }
                Verdict::RestartAfter(_) => {
                    self.counted.restarted += 1;
                    *self.attempts.entry(child).or_default() += 1;
                    if let Some(takes_ms) = failing.next() {
                        self.counted.failed_starts += 1;
                        self.now_ms += takes_ms;
                        ended = Ended::Abnormally;
                        continue;
                    }
                }
                Verdict::GiveUp(Exhausted::FailTree) => {
                    self.counted.trees_failed += 1;
                    self.over = true;
                }
                Verdict::GiveUp(_) => {
                    self.counted.degraded += 1;
                    self.state.insert(child, '!');
                }
            }
            return;
        }
    }
}

// ---- the oracle ----

/// What OTP did with each case; None when there is no Erlang here.
fn otp(task: &str, cases: &str) -> Option<Vec<String>> {
    if Command::new("erlc").arg("-help").output().is_err() {
        // Past the test harness's capture: a check that did not run must be seen.
        let _ = writeln!(
            std::io::stderr(),
            "\nNOTICE: no Erlang/OTP here (Debian: erlang-base): the OTP comparison ({task}) was SKIPPED\n"
        );
        return None;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (folder.path().join("cases"), folder.path().join("seen"));
    std::fs::write(&input, cases).expect("cases written");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otp/oracle.erl");
    let run = |command: &mut Command| {
        let done = command.output().expect("Erlang runs");
        assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    };
    run(Command::new("erlc").arg("-o").arg(folder.path()).arg(source));
    let erl = ["-noshell", "-noinput", "-pa"];
    let release =
        run(Command::new("erl").args(erl).arg(folder.path()).args(["-run", "oracle", "main", task]).args([&input, &output]));
    println!("the oracle is Erlang/OTP {release}");
    Some(std::fs::read_to_string(&output).expect("the oracle's answer").lines().map(str::to_owned).collect())
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn restarts_are_decided_as_by_otp() {
    let mut rng = fastrand::Rng::with_seed(setting("OTP_SEED", 20_261_123));
    let schedules: Vec<Schedule> = (0..setting("OTP_SCHEDULES", SCHEDULES as u64)).map(|_| schedule(&mut rng)).collect();
    let Some(theirs) = otp("restarts", &schedules.iter().map(term).collect::<String>()) else { return };
    assert_eq!(theirs.len(), schedules.len());

    let mut counted = Counted::default();
    let mut steps = 0;
    for (schedule, theirs) in schedules.iter().zip(&theirs) {
        let ours = ours(schedule, &mut counted);
        steps += ours.matches(';').count() + usize::from(ours.ends_with("over"));
        assert_eq!(&ours, theirs, "ours, OTP's; of {}", term(schedule));
    }
    println!(
        "{} schedules, {steps} steps, 0 differences: {} restarts, {} of them could not start, {} rested, {} degraded, {} trees failed, {} trees started afresh, {} processes ended",
        schedules.len(),
        counted.restarted,
        counted.failed_starts,
        counted.rested,
        counted.degraded,
        counted.trees_failed,
        counted.roots_restarted,
        counted.processes_ended
    );
    for count in [
        counted.restarted,
        counted.failed_starts,
        counted.rested,
        counted.degraded,
        counted.trees_failed,
        counted.roots_restarted,
        counted.processes_ended,
    ] {
        assert!(count > schedules.len() / 20, "a kind of decision was hardly taken");
    }

    // The comparison can fail: a period that is one second shorter is noticed.
    let differs = schedules.iter().zip(&theirs).filter(|(schedule, theirs)| {
        let shorter = schedule
            .table
            .iter()
            .map(|row| Policy { intensity: Intensity { period_s: row.intensity.period_s - 1, ..row.intensity }, ..*row });
        let mutant = Schedule { trees: schedule.trees, table: shorter.collect::<Vec<_>>().leak(), steps: schedule.steps.clone() };
        ours(&mutant, &mut Counted::default()) != **theirs
    });
    let noticed = differs.count();
    println!("with a period one second shorter {noticed} schedules differ");
    assert!(noticed > 0);
}

// ---- shutdown ----

/// A child that stops when told to, or never.
struct Member;

struct Ending {
    name: &'static str,
    how: &'static str,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.seen.lock().expect("not poisoned").push(format!("{}:{}", self.name, self.how));
    }
}

impl Actor for Member {
    type Msg = ();
    type State = Ending;
    type Arguments = Ending;

    async fn pre_start(&self, _: ActorRef<()>, ending: Ending) -> Result<Ending, ActorProcessingErr> {
        Ok(ending)
    }
    async fn handle(&self, _: ActorRef<()>, (): (), _: &mut Ending) -> Result<(), ActorProcessingErr> {
        std::future::pending().await
    }
    async fn post_stop(&self, _: ActorRef<()>, ending: &mut Ending) -> Result<(), ActorProcessingErr> {
        ending.how = "shutdown";
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn children_are_stopped_in_otps_order_and_one_that_hangs_does_not_keep_the_others() {
    const BUDGET: Duration = Duration::from_millis(10);
    let table: &'static [Policy] = TREE.iter().map(|row| Policy { drain: BUDGET, ..*row }).collect::<Vec<_>>().leak();
    // Every subset of the children hangs.
    let hangs = |subset: usize, index: usize| subset & (1 << index) != 0;
    let mut cases = String::new();
    for subset in 0..1 << table.len() {
        let members: Vec<String> = table
            .iter()
            .enumerate()
            .map(|(index, row)| {
                let how = if hangs(subset, index) { "hangs" } else { "obeys" };
                format!("{{{},{},{how}}}", row.child.name(), row.drain.as_millis())
            })
            .collect();
        let _ = writeln!(cases, "{{shutdown,[{}]}}.", members.join(","));
    }
    let theirs = otp("shutdown", &cases);
    for subset in 0..1 << table.len() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut supervision = Supervision::following(table);
        let mut tasks = Vec::new();
        for (index, row) in table.iter().enumerate() {
            let ending = Ending { name: row.child.name(), how: "killed", seen: seen.clone() };
            let (member, task) = Actor::spawn(None, Member, ending).await.expect("starts");
            if hangs(subset, index) {
                member.cast(()).expect("takes the message");
            }
            supervision.started(row.child, member.get_cell());
            tasks.push(task);
        }
        tokio::task::yield_now().await;
        let begun = Instant::now();
        supervision.stop_all(None).await;
        let took = begun.elapsed();
        for task in tasks {
            let _ = task.await;
        }
        let seen = seen.lock().expect("not poisoned").join(" ");
        if let Some(theirs) = &theirs {
            assert_eq!(seen, theirs[subset], "ours, OTP's");
        }
        let budgets = BUDGET * (subset.count_ones() + 1);
        assert!(took <= budgets, "{took:?} for {} hanging children", subset.count_ones());
    }
}
