//! How many machines, connections and dollars many interviews at once need: a day of a company's
//! interviews, simulated on measured figures (docs/CAPACITY.md). The pool of machines is sized by
//! the function that sizes it in production.
//!
//! `scripts/capacity` runs it; `--tx-per-s`, `--tx-ms` and `--memory-mib` count on other figures.

use interview_runtime::domain::standby::{Size, balance, target};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Fly: creations of one app (superfly/docs, working-with-machines-api).
const CREATIONS_PER_S: f64 = 1.0;
const CREATION_BURST: f64 = 3.0;
/// A small image to a process that answers: "seconds", by the same docs; assumed here.
const BOOT_MEDIAN_S: f64 = 4.0;
const BOOT_SPREAD: f64 = 0.5;
/// A browser that waits longer has given up, and asks again.
const PATIENCE_S: f64 = 30.0;
/// Of the keepers (config/default.toml).
const PASS_S: u64 = 2;
const DEMAND_WINDOW_S: u64 = 3_600;
/// Interviews last as long as people talk: the median, and the spread of its logarithm.
const LENGTH_MEDIAN_S: f64 = 2_400.0;
const LENGTH_SPREAD: f64 = 0.35;
/// A working day, hour by hour, as parts of the busiest hour.
const DAY: [f64; 9] = [0.3, 0.7, 1.0, 1.0, 0.6, 0.8, 1.0, 0.8, 0.3];
/// Calendars offer half hours: this part of all comes for one, and comes within minutes of it.
const BY_APPOINTMENT: f64 = 0.7;
const PUNCTUALITY_S: f64 = 75.0;

/// By `scripts/chaos cost` on 2026-11-25, and the acknowledgement's median of docs/PERFORMANCE.md.
const MEASURED: Figures = Figures { tx_per_s: 1.2, tx_ms: 4.0, memory_mib: 20.2 };

#[derive(Clone, Copy)]
struct Figures {
    tx_per_s: f64,
    tx_ms: f64,
    memory_mib: f64,
}

fn main() {
    let mut figures = MEASURED;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let into = match name.as_str() {
            "--tx-per-s" => &mut figures.tx_per_s,
            "--tx-ms" => &mut figures.tx_ms,
            "--memory-mib" => &mut figures.memory_mib,
            // What `cargo bench` adds.
            _ => continue,
        };
        *into = arguments.next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} takes a number"));
    }
    println!("machines: from the candidate's click to a process that answers, seconds");
    println!(
        "| at once | tenants | pool, at most | busiest minute of one | p50 | p99 | longest | over {PATIENCE_S} s | pool's idle share of machine time |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (at_once, tenants) in [(100, 1), (100, 10), (1_000, 1), (1_000, 20), (10_000, 20), (10_000, 200)] {
        for most in [0, 30, 100, 400] {
            println!("{}", machines(at_once, tenants, most));
        }
    }
    println!("\ndatabase");
    println!(
        "| at once | transactions a second | server connections they keep busy | client connections, direct | with two gateways a tenant (20 tenants) |"
    );
    println!("|---|---|---|---|---|");
    for at_once in [100, 1_000, 10_000] {
        println!("{}", database(at_once, figures));
    }
    println!("\nsessions in one GiB of one process each: {:.0}", 1_024.0 / figures.memory_mib);
}

struct Arrival {
    at: f64,
    lasts: f64,
}

/// One tenant's day, in order.
fn day(at_once: f64, rng: &mut fastrand::Rng) -> Vec<Arrival> {
    let mean_length = LENGTH_MEDIAN_S * (LENGTH_SPREAD * LENGTH_SPREAD / 2.0).exp();
    let per_hour = at_once * 3_600.0 / mean_length;
    let mut all = Vec::new();
    for (hour, part) in DAY.iter().enumerate() {
        for _ in 0..poisson(per_hour * part, rng) {
            let from = hour as f64 * 3_600.0;
            let at = if rng.f64() < BY_APPOINTMENT {
                // Rather a little early than late.
                from + if rng.bool() { 1_800.0 } else { 0.0 } + PUNCTUALITY_S * normal(rng) - 30.0
            } else {
                from + rng.f64() * 3_600.0
            };
            all.push(Arrival { at: at.max(0.0), lasts: LENGTH_MEDIAN_S * (LENGTH_SPREAD * normal(rng)).exp() });
        }
    }
    all.sort_by(|a, b| a.at.total_cmp(&b.at));
    all
}

/// Fly's bucket of one app: when a creation that is wanted now may be sent.
struct Creations {
    tokens: f64,
    at: f64,
}

impl Creations {
    fn turn(&mut self, now: f64) -> f64 {
        if now > self.at {
            self.tokens = (self.tokens + (now - self.at) * CREATIONS_PER_S).min(CREATION_BURST);
            self.at = now;
        }
        self.tokens -= 1.0;
        if self.tokens >= 0.0 { now.max(self.at) } else { self.at - self.tokens / CREATIONS_PER_S }
    }

    /// Whether one could be sent at once: the pool does not queue before people.
    fn free(&self, now: f64) -> bool {
        (self.tokens + (now - self.at).max(0.0) * CREATIONS_PER_S).min(CREATION_BURST) >= 1.0
    }
}

#[derive(Default)]
struct Waits {
    all: Vec<f64>,
    busiest_minute: usize,
    pool_idle_s: f64,
    interview_s: f64,
}

fn machines(at_once: u32, tenants: u32, most: u32) -> String {
    let mut total = Waits::default();
    for tenant in 0..tenants {
        let mut rng = fastrand::Rng::with_seed(u64::from(at_once) << 20 | u64::from(tenants) << 8 | u64::from(tenant));
        simulate(f64::from(at_once) / f64::from(tenants), most, &mut rng, &mut total);
    }
    total.all.sort_by(f64::total_cmp);
    let at = |share: f64| total.all[((total.all.len() - 1) as f64 * share) as usize];
    let late = total.all.iter().filter(|wait| **wait > PATIENCE_S).count() as f64 / total.all.len() as f64;
    format!(
        "| {at_once} | {tenants} | {most} | {} | {:.1} | {:.1} | {:.0} | {:.1} % | {:.1} % |",
        total.busiest_minute,
        at(0.5),
        at(0.99),
        at(1.0),
        late * 100.0,
        100.0 * total.pool_idle_s / (total.pool_idle_s + total.interview_s)
    )
}

fn simulate(at_once: f64, most: u32, rng: &mut fastrand::Rng, total: &mut Waits) {
    let arrivals = day(at_once, rng);
    let mut creations = Creations { tokens: CREATION_BURST, at: 0.0 };
    let (mut ready, mut booting): (u32, BinaryHeap<Reverse<u64>>) = (0, BinaryHeap::new());
    let (mut minute, mut demand): (VecDeque<f64>, VecDeque<(f64, u32)>) = (VecDeque::new(), VecDeque::new());
    let mut next = arrivals.iter().peekable();
    let size = Size { min: most.min(2), max: most };
    for second in 0..(DAY.len() as u64 * 3_600) {
        let now = second as f64;
        while booting.peek().is_some_and(|Reverse(at_ms)| *at_ms as f64 / 1e3 <= now) {
            booting.pop();
            ready += 1;
        }
        while let Some(arrival) = next.next_if(|arrival| arrival.at < now + 1.0) {
            minute.push_back(arrival.at);
            while minute.front().is_some_and(|at| *at < arrival.at - 60.0) {
                minute.pop_front();
            }
            demand.push_back((arrival.at, minute.len() as u32));
            total.busiest_minute = total.busiest_minute.max(minute.len());
            total.interview_s += arrival.lasts;
            total.all.push(if ready > 0 {
                ready -= 1;
                0.1
            } else {
                creations.turn(arrival.at) - arrival.at + boot(rng)
            });
        }
        total.pool_idle_s += f64::from(ready);
        if second.is_multiple_of(PASS_S) {
            while demand.front().is_some_and(|(at, _)| *at < now - DEMAND_WINDOW_S as f64) {
                demand.pop_front();
            }
            let peak = demand.iter().map(|(_, count)| *count).max().unwrap_or(0);
            let change = balance(booting.len() as u32, ready, target(peak, size));
            ready -= change.release.min(ready);
            for _ in 0..change.make {
                if !creations.free(now) {
                    break;
                }
                let at = creations.turn(now) + boot(rng);
                booting.push(Reverse((at * 1e3) as u64));
            }
        }
    }
}

fn boot(rng: &mut fastrand::Rng) -> f64 {
    BOOT_MEDIAN_S * (BOOT_SPREAD * normal(rng)).exp()
}

fn database(at_once: u32, figures: Figures) -> String {
    let per_s = f64::from(at_once) * figures.tx_per_s;
    // Little's law; three times for what comes in bursts.
    let busy = per_s * figures.tx_ms / 1e3;
    format!(
        "| {at_once} | {per_s:.0} | {busy:.1}, say {:.0} | {at_once} | {} |",
        (busy * 3.0).ceil().max(2.0),
        at_once + 20 * 2 * 10
    )
}

fn normal(rng: &mut fastrand::Rng) -> f64 {
    // Box and Muller.
    (-2.0 * rng.f64().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

fn poisson(mean: f64, rng: &mut fastrand::Rng) -> u64 {
    // Near enough for means of this size, and exact for small ones.
    if mean > 50.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0) as u64;
    }
    let (limit, mut product, mut count) = ((-mean).exp(), rng.f64(), 0);
    while product > limit {
        product *= rng.f64();
        count += 1;
    }
    count
}
