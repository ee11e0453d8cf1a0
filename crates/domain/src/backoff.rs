//! Delays between tries: exponential, with jitter and a cap.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// An endless sequence of delays; who retries decides when to stop.
pub struct Backoff {
    builder: ExponentialBuilder,
    delays: ExponentialBackoff,
    max: Duration,
}

impl Backoff {
    /// Delays from `min`, doubling to `max`, each lengthened by up to its own size.
    pub fn new(min: Duration, max: Duration) -> Self {
        let builder =
            ExponentialBuilder::new().with_min_delay(min).with_max_delay(max).with_factor(2.0).without_max_times().with_jitter();
        Self { builder, delays: builder.build(), max }
    }

    /// The next delay; never more than twice the cap.
    pub fn next_delay(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.max).min(self.max * 2)
    }

    /// Start again from the shortest delay, after a success.
    pub fn reset(&mut self) {
        self.delays = self.builder.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_stay_between_the_shortest_and_twice_the_cap(min_ms in 1u64..1_000, factor in 1u64..100, tries in 1usize..64) {
            let (min, max) = (Duration::from_millis(min_ms), Duration::from_millis(min_ms * factor));
            let mut backoff = Backoff::new(min, max);
            for _ in 0..tries {
                let delay = backoff.next_delay();
                prop_assert!(delay >= min && delay <= max * 2, "{delay:?} outside {min:?}..2*{max:?}");
            }
        }
    }
}
