//! Fly takes about one request a second of each kind from an app, a few at once. Asking
//! faster costs an answer 429 and a retry; waiting for one's turn costs only the wait.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// Turns for one kind of request of one app.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    burst: u32,
    /// When the bucket is full again.
    full_at: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(per_second: f64, burst: u32) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / per_second.max(0.001)).unwrap_or(Duration::from_secs(1));
        Self { interval, burst: burst.max(1), full_at: Mutex::new(None) }
    }

    /// Wait for a turn. False, at once, when that would take longer than `patience`.
    pub(super) async fn turn(&self, patience: Duration) -> bool {
        let Some(wait) = self.book(Instant::now(), patience) else { return false };
        tokio::time::sleep(wait).await;
        true
    }

    fn book(&self, now: Instant, patience: Duration) -> Option<Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = full_at.map_or(now, |at| at.max(now));
        let wait = (start + self.interval).saturating_duration_since(now + self.interval * self.burst);
        if wait > patience {
            return None;
        }
        *full_at = Some(start + self.interval);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_at_once_then_one_a_second_and_nobody_waits_too_long() {
        let (pace, now) = (Pace::new(1.0, 3), Instant::now());
        let patience = Duration::from_secs(3);
        let waits: Vec<_> = (0..8).map(|_| pace.book(now, patience).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(0), Some(0), Some(0), Some(1), Some(2), Some(3), None, None]);
        assert_eq!(pace.book(now + Duration::from_secs(7), patience), Some(Duration::ZERO), "the bucket fills again");
    }
}
