//! Fly's rate limits: per action, scoped to an app or to a machine.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use crate::util::lock;

const MAX_BUCKETS: usize = 10_000;

struct Bucket {
    tokens: f64,
    filled: Instant,
}

pub(super) struct Limits {
    /// How many times faster than Fly's this clock runs.
    pace: f64,
    buckets: Mutex<HashMap<(String, &'static str), Bucket>>,
}

impl Limits {
    pub(super) fn new(pace: f64) -> Self {
        Self { pace, buckets: Mutex::default() }
    }

    /// True when the request may pass.
    pub(super) fn allow(&self, scope: &str, action: &'static str) -> bool {
        let (rate, burst) = if action == "machines.get" { (5.0, 10.0) } else { (1.0, 3.0) };
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| bucket.filled.elapsed().as_secs() < 10);
        }
        let bucket = buckets.entry((scope.to_owned(), action)).or_insert(Bucket { tokens: burst, filled: Instant::now() });
        bucket.tokens = (bucket.tokens + bucket.filled.elapsed().as_secs_f64() * rate * self.pace).min(burst);
        bucket.filled = Instant::now();
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_at_once_then_one_per_second() {
        let limits = Limits::new(1.0);
        assert!((0..3).all(|_| limits.allow("app", "machines.create")));
        assert!(!limits.allow("app", "machines.create"));
        assert!(limits.allow("app", "machines.list"), "each action has its own bucket");
        assert!(limits.allow("other", "machines.create"), "and each app");
    }
}
