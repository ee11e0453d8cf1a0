//! Runs many seeds on several threads and adds up their counters.

use crate::faults::{Counters, Fault};
use crate::plan::Plan;
use crate::run::{Outcome, simulate, simulate_plan};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What came of a range of seeds.
#[derive(Debug, Default)]
pub struct Campaign {
    pub runs: u64,
    pub failed: Vec<Outcome>,
    pub counters: Counters,
    pub simulated: Duration,
    pub took: Duration,
    /// The hash of each seed's trace, for the seeds that were asked for.
    pub hashes: Vec<(u64, u64)>,
}

impl Campaign {
    /// A fault that never happened was not tested: then the campaign says nothing.
    pub fn missing_faults(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|fault| self.counters.of(*fault) == 0).collect()
    }
}

/// The longest silence of each interview with a provider that fails, the longest last, with its seed; and what went wrong otherwise.
pub fn silences(interviews: u64, jobs: usize) -> (Vec<(Duration, u64)>, Vec<Outcome>, Counters) {
    let next = AtomicU64::new(0);
    let total = Mutex::new((Vec::new(), Vec::new(), Counters::default()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= interviews {
                        return;
                    }
                    let outcome = simulate_plan(seed, Plan::with_a_failing_provider(seed), false);
                    let Ok(mut total) = total.lock() else { return };
                    total.0.push((outcome.longest_silence, seed));
                    total.2.add(&outcome.counters);
                    if !outcome.violations.is_empty() {
                        total.1.push(outcome);
                    }
                }
            });
        }
    });
    let mut total = total.into_inner().unwrap_or_default();
    total.0.sort_unstable();
    total
}

/// Run the seeds over `jobs` threads; each seed has a runtime of its own. Stops early after
/// `most_failures` seeds that fail.
pub fn campaign(seeds: Range<u64>, jobs: usize, most_failures: usize, sample_every: u64) -> Campaign {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Campaign::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = simulate(seed, false);
                    let Ok(mut total) = total.lock() else { return };
                    if total.failed.len() >= most_failures {
                        return;
                    }
                    total.runs += 1;
                    total.counters.add(&outcome.counters);
                    total.simulated += outcome.simulated;
                    if sample_every > 0 && seed.is_multiple_of(sample_every) {
                        total.hashes.push((seed, outcome.hash));
                    }
                    if !outcome.violations.is_empty() {
                        total.failed.push(outcome);
                    }
                }
            });
        }
    });
    let mut total = total.into_inner().unwrap_or_default();
    total.took = began.elapsed();
    total.failed.sort_by_key(|outcome| outcome.seed);
    total.hashes.sort_unstable();
    total
}
