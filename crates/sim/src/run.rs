//! One seed, one interview: builds the world, runs it, and checks the result.

use crate::browser::{Kept, Left, Page, Surroundings, UserAction};
use crate::conduct;
use crate::database::Database;
use crate::faults::{Counters, Fault};
use crate::ground_truth::GroundTruth;
use crate::invariants::{self, Evidence};
use crate::machine::Fleet;
use crate::plan::{Action, Ending, Plan};
use crate::vendors::{INJECTED, Videos, Writer};
use crate::voice::Voice;
use crate::world::{Stage, World};
use fastrand::Rng;
use interview_runtime::actors::tree::Child;
use interview_runtime::config::{Config, Role};
use interview_runtime::roles::Exit;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub seed: u64,
    pub violations: Vec<String>,
    pub counters: Counters,
    /// Of the whole trace.
    pub hash: u64,
    pub events: u64,
    pub lines: Vec<String>,
    pub simulated: Duration,
    /// Of an interview with a plan: the longest time in which nobody spoke, no pause was granted and the page said nothing.
    pub longest_silence: Duration,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Whom a planted panic strikes, for the panic hook: the state of a child is read there, at
    /// the very instant.
    static SCENE: RefCell<Option<Surroundings>> = const { RefCell::new(None) };
}

/// Planted panics are silent, all others are findings. For the tool's `main`.
pub fn watch_panics() {
    std::panic::set_hook(Box::new(|info| {
        let said = info.payload_as_str().unwrap_or("a panic without words");
        if let Some(child) = said.strip_prefix("injected fault in ") {
            SCENE.with_borrow(|scene| scene.iter().for_each(|around| struck(around, child)));
        } else if said != INJECTED {
            let at = info.location().map(ToString::to_string).unwrap_or_default();
            PANICS.with_borrow_mut(|panics| panics.push(format!("{said} at {at}")));
        }
    }));
}

/// A child panics now: counted by the state it is in.
fn struck(around: &Surroundings, child: &str) {
    let world = &around.world;
    if matches!(child, "session" | "control_channel") {
        let mut truth = around.truth.lock();
        truth.forgive_mailbox(Instant::now());
        truth.crashes.push(Instant::now());
    }
    world.struck(match child {
        "signaling_socket" => match world.stage() {
            Stage::Away => Fault::SignalingPanicsAway,
            Stage::New => Fault::SignalingPanicsNew,
            Stage::Offered => Fault::SignalingPanicsOffered,
            Stage::Answered => Fault::SignalingPanicsAnswered,
            Stage::Connected => Fault::SignalingPanicsConnected,
            Stage::Closing => Fault::SignalingPanicsClosing,
        },
        "control_channel" => around.voice.control_panics(around.fleet.newest().unwrap_or(0)),
        "transcript_writer" => Fault::WriterPanicsIdle,
        "recording_tracker" => Fault::RecordingTrackerPanics,
        "summarizer" => Fault::SummarizerPanics,
        _ => Fault::SessionPanics,
    });
}

/// Run one interview to its end, in virtual time.
pub fn simulate(seed: u64, keep_lines: bool) -> Outcome {
    simulate_plan(seed, Plan::draw(seed), keep_lines)
}

/// As [`simulate`], with what will happen given: the seed is for all other dice.
pub fn simulate_plan(seed: u64, plan: Plan, keep_lines: bool) -> Outcome {
    // The dice of the runtime's own backoff are this thread's.
    fastrand::seed(seed);
    PANICS.with_borrow_mut(Vec::clear);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    match builder.build() {
        Ok(runtime) => runtime.block_on(direct(seed, plan, keep_lines)),
        Err(error) => Outcome {
            seed,
            violations: vec![format!("no runtime: {error}")],
            counters: Counters::default(),
            hash: 0,
            events: 0,
            lines: vec![],
            simulated: Duration::ZERO,
            longest_silence: Duration::ZERO,
        },
    }
}

/// As every interview begins with it; to read it takes longer than many an interview.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let keys: HashMap<String, String> = [
        ("INTERVIEW__TENANT__ID", "00000000-0000-0000-0000-0000000000a1"),
        ("INTERVIEW__DATABASE__URL", "postgres://sim@localhost/sim"),
        ("INTERVIEW__ROUTING__PUBLIC_KEYS", "bfWojW5xEbNs-y_p87TTGTPhoc32MmgCwbFKv2mpwas"),
        ("INTERVIEW__OPENAI__API_KEY", "sk-sim"),
        ("INTERVIEW__API_VIDEO__API_KEY", "sim"),
        ("INTERVIEW__SANDBOX__ENABLED", "true"),
        ("INTERVIEW__SANDBOX__FAULT_INJECTION", "true"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    Config::load(None, Role::Session, Some(keys)).expect("the simulation's configuration is valid")
});

fn config(plan: &Plan) -> Config {
    let mut config = CONFIG.clone();
    config.interview.absence_timeout_s = 300;
    config.interview.grace_s = plan.grace_s;
    config.outbox.max_records = plan.max_records;
    config.session.heartbeat_interval_ms = plan.heartbeat_ms;
    if plan.call_lifetime.is_some() {
        config.openai.roll_over_before_s = 15;
    }
    config
}

/// What happens next, outside of the process.
#[derive(Debug)]
enum Step {
    Act(Action),
    StartProcess,
    OpenPage(Kept),
}

struct Director {
    plan: Plan,
    seed: u64,
    rng: Rng,
    around: Surroundings,
    agenda: BTreeMap<(Instant, u64), Step>,
    steps: u64,
    pages: u32,
    open_pages: usize,
    /// The page that the candidate looks at.
    page: Option<(Kept, mpsc::UnboundedSender<UserAction>)>,
    /// Facts that someone left open.
    others: Vec<mpsc::UnboundedSender<UserAction>>,
    left: mpsc::UnboundedSender<(u32, Left)>,
    reopened: u32,
    person_gone: bool,
    starting: bool,
    /// Processes that were told to stop, and when.
    told: BTreeMap<u32, Instant>,
}

async fn direct(seed: u64, plan: Plan, keep_lines: bool) -> Outcome {
    let born = Instant::now();
    let (strike, mut strikes) = mpsc::unbounded_channel();
    let (exit, mut exits) = mpsc::unbounded_channel();
    let (left, mut lefts) = mpsc::unbounded_channel();
    let world = World::new(keep_lines, plan.on.clone(), strike);
    world.note(format_args!("seed {seed}: {:?} {:?}", plan.at, plan.on));
    world.mark_wall(false);
    let truth = GroundTruth::default();
    let database = Database::new(world.clone(), truth.clone(), &plan, seed);
    let voice = Voice::new(world.clone(), truth.clone(), &plan, seed);
    let (writer, videos) = (Writer::new(world.clone(), &plan), Videos::new(world.clone(), &plan));
    let config = Arc::new(config(&plan));
    let fleet = Fleet::new(world.clone(), database.clone(), voice.clone(), writer.clone(), videos.clone(), config, exit);
    let (quiet, rude, liar, conducted) = (plan.quiet_client, plan.rude_client, plan.liar, plan.conducted);
    let limit = born + plan.limit;
    let around = Surroundings { world, truth, database, voice, videos, fleet, quiet, rude, liar };
    SCENE.set(Some(around.clone()));
    let mut director = Director {
        seed,
        rng: Rng::with_seed(seed ^ 0xd1),
        agenda: BTreeMap::new(),
        steps: 0,
        pages: 0,
        open_pages: 0,
        page: None,
        others: Vec::new(),
        left,
        reopened: 0,
        person_gone: false,
        starting: false,
        told: BTreeMap::new(),
        around,
        plan,
    };
    director.begin();
    let over = loop {
        if director.is_over() {
            break true;
        }
        let next = director.agenda.keys().next().map_or(limit, |(at, _)| *at);
        tokio::select! {
            biased;
            Some(action) = strikes.recv() => director.act(action).await,
            Some((number, exit)) = exits.recv() => director.exited(number, exit),
            Some((page, how)) = lefts.recv() => director.page_left(page, how),
            () = sleep_until(next.min(limit)) => {
                if Instant::now() >= limit {
                    break false;
                }
                if let Some(((at, _), _)) = director.agenda.first_key_value()
                    && *at <= Instant::now()
                    && let Some((_, step)) = director.agenda.pop_first()
                {
                    director.step(step).await;
                }
            }
        }
    };
    let simulated = born.elapsed();
    director.close();
    let around = director.around;
    SCENE.set(None);
    // What is not over by itself within minutes is left over.
    sleep(Duration::from_mins(3)).await;
    let orphans = around.voice.orphans();
    around.voice.end_excused();
    sleep(Duration::from_secs(1)).await;
    let tasks_left = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let panics = PANICS.with_borrow(Clone::clone);
    let summary_inputs = writer.inputs();
    let world = around.world.clone();
    around.database.look(|tables| {
        let truth = around.truth.lock();
        let evidence = Evidence {
            liar,
            conducted,
            walls: world.walls(),
            processes: around.fleet.started(),
            tables,
            truth: &truth,
            orphans: &orphans,
            summary_inputs: &summary_inputs,
            tasks_left,
            panics: &panics,
            over,
        };
        let of_the_plan = conducted.map(|_| conduct::ALL).unwrap_or_default();
        for (name, check) in invariants::ALL.iter().chain(of_the_plan) {
            if let Err(what) = check(&evidence) {
                world.violate(name, what);
            }
        }
        for entry in tables.in_order() {
            let (seq, key, place, segment) = (entry.seq, &entry.key, entry.position, entry.segment);
            let (revision, source, counts, status) = (entry.revision, entry.source, entry.authoritative, entry.status);
            let words = entry.text.as_str().chars().take(60).collect::<String>();
            world.note(format_args!(
                "row {seq} {key} at {place} of {segment} rev {revision} {source:?} {counts} {status:?} {:?} {words:?}",
                entry.doubt
            ));
        }
        for recorded in &tables.conducted {
            world.note(format_args!("conduct {} at {}: {:?}", recorded.number, recorded.at_ms, recorded.event));
        }
        world.note(format_args!("end: {} entries, {:?}, {:?}", tables.transcript().len(), tables.phase, tables.end));
    });
    let (hash, events, lines) = world.trace();
    let longest_silence = around.truth.lock().longest_silence;
    Outcome { seed, violations: world.violations(), counters: world.counters(), hash, events, lines, simulated, longest_silence }
}

impl Director {
    fn begin(&mut self) {
        let plan = self.plan.at.clone();
        self.step_in(Duration::ZERO, Step::StartProcess);
        self.starting = true;
        let comes = Duration::from_millis(self.rng.u64(20..2_000));
        self.step_in(comes, Step::OpenPage(Kept::default()));
        for (at, action) in plan {
            self.step_in(at, Step::Act(action));
        }
    }

    fn step_in(&mut self, after: Duration, step: Step) {
        self.steps += 1;
        self.agenda.insert((Instant::now() + after, self.steps), step);
    }

    fn is_over(&self) -> bool {
        let ended = self.around.database.look(|tables| tables.phase.is_terminal());
        ended && self.around.fleet.count() == 0 && self.open_pages == 0 && !self.starting
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Act(action) => self.act(action).await,
            Step::StartProcess => {
                self.starting = false;
                self.around.fleet.start();
            }
            Step::OpenPage(kept) => self.open_page(kept),
        }
    }

    fn open_page(&mut self, kept: Kept) {
        if self.person_gone {
            return;
        }
        self.pages += 1;
        self.open_pages += 1;
        let name = self.pages;
        let (actions, receiver) = mpsc::unbounded_channel();
        let page = Page::new(self.around.clone(), name, kept.clone(), self.seed, receiver);
        let left = self.left.clone();
        tokio::spawn(async move {
            let how = page.run().await;
            let _ = left.send((name, how));
        });
        self.page = Some((kept, actions));
    }

    fn page_left(&mut self, page: u32, how: Left) {
        self.open_pages -= 1;
        if how == Left::Superseded {
            self.around.world.count(Fault::TwoBrowsers);
        }
        let current = page == self.pages;
        if !current || how != Left::Failed || self.person_gone {
            return;
        }
        // A person loads the page again, some times.
        self.reopened += 1;
        let Some((kept, _)) = self.page.take() else { return };
        if self.reopened <= 6 {
            let after = Duration::from_millis(self.rng.u64(2_000..12_000));
            self.step_in(after, Step::OpenPage(kept));
        }
    }

    fn tell_page(&mut self, action: UserAction) {
        if let Some((_, actions)) = &self.page {
            let _ = actions.send(action);
        }
    }

    // ---- processes ----

    fn start_later(&mut self, from_ms: u64, to_ms: u64) {
        if std::mem::replace(&mut self.starting, true) {
            return;
        }
        let after = Duration::from_millis(self.rng.u64(from_ms..to_ms));
        self.step_in(after, Step::StartProcess);
    }

    /// What this process heard and could not store, and what it opened and could not write
    /// down, is lost with it.
    fn forgive(&self, process: u32) {
        let around = &self.around;
        let (stored, calls, greeted) = around.database.look(|tables| {
            let keys: Vec<String> = tables.entries.iter().map(|row| row.entry.key.to_string()).collect();
            (keys, tables.calls.clone(), tables.greeted)
        });
        let mut truth = around.truth.lock();
        truth.process_gone(process);
        truth.forgive(process, |item| stored.iter().any(|key| key == item));
        truth.greeting_forgiven |= !greeted && truth.greetings > 0;
        around.voice.excuse(process, &calls);
    }

    fn exited(&mut self, number: u32, exit: Exit) {
        let around = &self.around;
        around.world.note(format_args!("machine: process {number} exits: {exit:?}"));
        let newest = around.fleet.newest() == Some(number);
        around.fleet.gone(number);
        let holds = around.database.look(|tables| tables.holder == number);
        if !holds || exit != Exit::Done && !around.database.healthy_for(Duration::from_secs(4)) {
            self.forgive(number);
        } else if exit == Exit::Interrupted
            && let Some(told) = self.told.get(&number)
        {
            around.truth.lock().orderly.insert(number, *told);
        }
        if !newest {
            return;
        }
        match exit {
            Exit::Done => {
                if self.around.database.look(|tables| !tables.phase.is_terminal() && tables.holder == number) {
                    self.around.world.violate("done_means_over", format!("process {number} left an open interview"));
                    self.start_later(500, 1_000);
                }
            }
            // The simulation has no watchdog; its machine would treat it as any failure.
            Exit::Failed | Exit::Stalled => self.start_later(500, 3_000),
            Exit::Interrupted => self.start_later(1_000, 15_000),
            Exit::Misconfigured => self.around.world.violate("done_means_over", "misconfigured"),
        }
    }

    // ---- what is planned ----

    async fn act(&mut self, action: Action) {
        self.around.world.note(format_args!("act: {action:?}"));
        match action {
            Action::Crash(child) => self.crash(child).await,
            Action::CrashHolding => {
                self.around.fleet.request("POST", "/debug/crash-holding/signaling_socket").await;
            }
            Action::CrashLoop(child) => {
                self.around.world.count(Fault::CrashLoop);
                for _ in 0..13 {
                    self.crash(Some(child)).await;
                    sleep(Duration::from_millis(40)).await;
                }
            }
            Action::Kill => {
                let Some(number) = self.around.fleet.newest() else { return };
                self.around.world.count(Fault::Killed);
                self.around.fleet.kill(number);
                self.forgive(number);
                self.start_later(300, 3_000);
            }
            Action::Sigterm => {
                if let Some(number) = self.around.fleet.newest()
                    && self.around.fleet.terminate(number)
                {
                    self.around.world.count(Fault::Sigterm);
                    self.told.insert(number, Instant::now());
                }
            }
            Action::SecondProcess => {
                if self.around.fleet.newest().is_some() && !self.around.database.look(|tables| tables.phase.is_terminal()) {
                    self.around.world.count(Fault::TwoProcesses);
                    let greeted = self.around.database.look(|tables| tables.greeted);
                    let mut truth = self.around.truth.lock();
                    truth.greeting_forgiven |= !greeted && truth.greetings > 0;
                    drop(truth);
                    self.around.fleet.start();
                }
            }
            Action::DatabaseAway { lasts, refuses } => {
                self.around.world.count(Fault::DatabaseAway);
                self.around.database.go_away(lasts, refuses);
            }
            Action::DatabaseSlow { lasts } => {
                self.around.world.count(Fault::DatabaseSlow);
                self.around.database.be_slow(lasts);
            }
            Action::DatabaseReadOnly { lasts } => {
                self.around.world.count(Fault::DatabaseReadOnly);
                self.around.database.be_read_only(lasts);
            }
            Action::LoseReplies(count) => self.around.database.lose_replies(count),
            Action::DropSideband => drop(self.around.voice.drop_sidebands()),
            Action::EndCall => {
                if self.around.voice.end_calls() {
                    self.around.world.count(Fault::CallGone);
                }
            }
            Action::HangHangUps => self.around.voice.hang_hang_ups(),
            Action::JumpClock { hours } => {
                self.around.world.count(Fault::ClockJumps);
                self.around.world.jump(time::Duration::hours(hours));
            }
            Action::Reload => self.reload(),
            Action::DropLink => self.tell_page(UserAction::DropLink),
            Action::LastWord => {
                self.tell_page(UserAction::DropLink);
                self.tell_page(UserAction::Note { poison: false });
            }
            Action::GoSilent(lasts) => self.tell_page(UserAction::GoSilent(lasts)),
            Action::SecondTab => {
                self.others.extend(self.page.take().map(|(_, actions)| actions));
                self.open_page(Kept::default());
            }
            Action::Note { poison } => self.tell_page(UserAction::Note { poison }),
            Action::RenewToken => self.tell_page(UserAction::RenewToken),
            Action::Type => self.tell_page(UserAction::Type),
            Action::Think => self.tell_page(UserAction::Think),
            Action::GoOn => self.tell_page(UserAction::GoOn),
            Action::Odd(oddity) => self.tell_page(UserAction::Odd(oddity)),
            Action::Lie(lie) => self.tell_page(UserAction::Lie(lie)),
            Action::End(ending) => self.end(ending),
            Action::Probe => self.probe().await,
        }
    }

    fn reload(&mut self) {
        if let Some((kept, _)) = self.page.take() {
            self.around.world.count(Fault::Reloaded);
            self.open_page(kept);
        }
    }

    fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Candidate { twice, forged } => self.tell_page(UserAction::End { twice, forged }),
            Ending::Recruiter => self.around.database.request_end(),
            Ending::Interviewer => self.around.voice.conclude(),
            Ending::TimeLimit => {}
            Ending::Leaves => {
                self.person_gone = true;
                self.page = None;
                self.others.clear();
            }
        }
    }

    async fn crash(&mut self, child: Option<Child>) {
        let path = format!("/debug/crash/{}", child.map_or("session", Child::name));
        let _ = self.around.fleet.request("POST", &path).await;
    }

    /// The outbox keeps to its cap; what the interview itself decides may pass it by a little.
    async fn probe(&mut self) {
        let Some(answer) = self.around.fleet.request("GET", "/debug/snapshot").await else { return };
        let Some((_, body)) = answer.split_once("\r\n\r\n") else { return };
        let snapshot: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let backlog = snapshot["backlog_records"].as_u64().unwrap_or(0);
        if backlog > self.plan.max_records as u64 + 100 {
            self.around.world.violate("the_outbox_keeps_to_its_cap", format!("{backlog} records"));
        }
        self.around.world.note(format_args!("probe: {backlog} records wait"));
    }

    /// Nobody looks at the page any more, unless someone who does not leave.
    fn close(&mut self) {
        self.page = None;
        self.others.clear();
        for number in 1..=self.around.fleet.newest().unwrap_or(0) {
            self.around.fleet.kill(number);
        }
    }
}
