//! What all parts of one simulated interview share: the trace, the counters, the violations that were found, the wall clock,
//! and the points at which a planned fault may happen.

use crate::faults::{Counters, Fault};
use crate::plan::Action;
use interview_runtime::clock::Clock;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Where a fault can be made to strike exactly, rather than at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A transaction was applied; its reply is still on the way.
    Commit,
    /// The process took an event from its sideband.
    Heard,
    /// The browser sends a frame.
    Frame,
    /// The browser sends words that nobody else has heard.
    Note,
    /// The provider opened a call; its answer is still on the way.
    CallOpened,
    /// The process asks for a call, or for its sideband into one.
    Dialing,
    /// The model begins a reply.
    Replying,
    /// The process lost its sideband, or was not let in.
    SidebandLost,
    /// It is stored that the end has begun.
    Ending,
    /// A page begins to be at this stage.
    PageNew,
    PageOffered,
    PageAnswered,
    PageConnected,
    PageClosing,
}

const POINTS: usize = Point::PageClosing as usize + 1;

/// How far the newest page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No link, or nothing heard on it yet.
    Away,
    /// Nothing is offered yet, or not anew.
    New,
    Offered,
    Answered,
    Connected,
    Closing,
}

/// What the machines' clock showed, which may jump: the least since the beginning and since the first call was opened,
/// and the most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walls {
    pub least: Option<OffsetDateTime>,
    pub least_in_call: Option<OffsetDateTime>,
    pub most: Option<OffsetDateTime>,
}

#[derive(Clone, Debug)]
pub struct World(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    born: Instant,
    hash: DefaultHasher,
    lines: Option<Vec<String>>,
    events: u64,
    counters: Counters,
    violations: Vec<String>,
    clock_offset: time::Duration,
    walls: Walls,
    passed: [u64; POINTS],
    page: (u32, Stage),
    struck_at: Option<Instant>,
    armed: Vec<(Point, u64, Action)>,
    strike: mpsc::UnboundedSender<Action>,
}

impl World {
    pub fn new(keep_lines: bool, armed: Vec<(Point, u64, Action)>, strike: mpsc::UnboundedSender<Action>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            born: Instant::now(),
            hash: DefaultHasher::new(),
            lines: keep_lines.then(Vec::new),
            events: 0,
            counters: Counters::default(),
            violations: Vec::new(),
            clock_offset: time::Duration::ZERO,
            walls: Walls::default(),
            passed: [0; POINTS],
            page: (0, Stage::Away),
            struck_at: None,
            armed,
            strike,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One line of the trace.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        let mut inner = self.lock();
        let line = format!("{:>10} {what}", inner.born.elapsed().as_millis());
        inner.hash.write(line.as_bytes());
        inner.events += 1;
        if let Some(lines) = &mut inner.lines {
            lines.push(line);
        }
    }

    pub fn count(&self, fault: Fault) {
        self.lock().counters.count(fault);
        self.note(format_args!("FAULT {}", fault.name()));
    }

    pub fn counters(&self) -> Counters {
        self.lock().counters.clone()
    }

    /// An invariant does not hold.
    pub fn violate(&self, invariant: &'static str, what: impl fmt::Display) {
        let text = format!("{invariant}: {what}");
        self.note(format_args!("VIOLATION {text}"));
        self.lock().violations.push(text);
    }

    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    pub fn trace(&self) -> (u64, u64, Vec<String>) {
        let inner = self.lock();
        (inner.hash.finish(), inner.events, inner.lines.clone().unwrap_or_default())
    }

    /// Something reached a point; a fault that was planned for it strikes now, if one was.
    pub fn pass(&self, point: Point) -> bool {
        let mut inner = self.lock();
        inner.passed[point as usize] += 1;
        let passed = inner.passed[point as usize];
        let armed = inner.armed.iter().position(|(at, count, _)| *at == point && *count == passed);
        if let Some(index) = armed {
            let (_, _, action) = inner.armed.remove(index);
            let _ = inner.strike.send(action);
        }
        armed.is_some()
    }

    /// The newest page is what a browser's line is about.
    pub fn page_is(&self, page: u32, stage: Stage) {
        {
            let mut inner = self.lock();
            if page < inner.page.0 || inner.page == (page, stage) {
                return;
            }
            inner.page = (page, stage);
        }
        self.pass(match stage {
            Stage::Away => return,
            Stage::New => Point::PageNew,
            Stage::Offered => Point::PageOffered,
            Stage::Answered => Point::PageAnswered,
            Stage::Connected => Point::PageConnected,
            Stage::Closing => Point::PageClosing,
        });
    }

    pub fn page_is_newest(&self, page: u32) -> bool {
        self.lock().page.0 == page
    }

    pub fn stage(&self) -> Stage {
        self.lock().page.1
    }

    /// A child panics now.
    pub fn struck(&self, fault: Fault) {
        self.count(fault);
        self.lock().struck_at = Some(Instant::now());
    }

    /// Any child panicked.
    pub fn was_struck(&self) -> bool {
        self.lock().struck_at.is_some()
    }

    /// No child panicked for this long.
    pub fn calm_for(&self, long: std::time::Duration) -> bool {
        self.lock().struck_at.is_none_or(|at| at.elapsed() > long)
    }

    /// By the clock of our machines, which may jump.
    pub fn wall(&self) -> OffsetDateTime {
        self.true_time() + self.lock().clock_offset
    }

    /// By the clock of the pages.
    pub fn true_time(&self) -> OffsetDateTime {
        // A fixed day: nothing may depend on when the simulation runs.
        OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000) + self.lock().born.elapsed()
    }

    pub fn jump(&self, by: time::Duration) {
        self.mark_wall(false);
        self.lock().clock_offset += by;
        self.mark_wall(false);
    }

    pub fn mark_wall(&self, first_call: bool) {
        let now = self.wall();
        let walls = &mut self.lock().walls;
        walls.least = Some(walls.least.map_or(now, |least| least.min(now)));
        walls.most = walls.most.max(Some(now));
        if first_call || walls.least_in_call.is_some() {
            walls.least_in_call = Some(walls.least_in_call.map_or(now, |least| least.min(now)));
        }
    }

    pub fn walls(&self) -> Walls {
        self.mark_wall(false);
        self.lock().walls
    }

    pub fn clock(&self) -> Clock {
        let world = self.clone();
        Clock::from_fn(move || world.wall())
    }
}

/// Set when a process is killed: whatever it still does reaches nobody.
#[derive(Clone, Debug, Default)]
pub struct KillSwitch(Arc<AtomicBool>, Arc<OnceLock<tokio::task::Id>>);

impl KillSwitch {
    pub fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The process's own loop runs in this task; its actors run in others.
    pub fn begins_here(&self) {
        let _ = self.1.set(tokio::task::id());
    }

    pub fn in_actor(&self) -> bool {
        tokio::task::try_id() != self.1.get().copied()
    }
}
