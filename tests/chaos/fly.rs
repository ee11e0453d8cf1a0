//! A thousand interviews on a Fly with every fault that the real one has shown.

use crate::Options;
use crate::support::storm::{expected_faults, storm};
use std::time::Instant;

pub async fn campaign(options: &Options) {
    println!("fly: {} sessions, seed {}", options.times, options.seed);
    let from = Instant::now();
    let outcome = storm(options.times as usize, options.seed, "chaos-fly").await;
    println!("{outcome}\nin {:.0} s", from.elapsed().as_secs_f64());
    let missing: Vec<String> =
        expected_faults().into_iter().filter(|fault| outcome.faults.get(fault).copied().unwrap_or(0) == 0).collect();
    // A fault that never struck was not survived.
    assert!(missing.is_empty(), "the campaign is void without {missing:?}");
}
