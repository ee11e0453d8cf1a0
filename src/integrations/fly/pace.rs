//! Keeps to Fly's rate limit: about one request a second of each kind from an app, a few at once. A faster request costs a 429
//! and a retry; waiting for a turn costs only the wait.
//!
//! Turns are given in the order of the requests, so nobody is overtaken. A request that would wait longer than its deadline is
//! refused, so the queue is bounded. Another gateway uses the same allowance; only a 429 tells us of it.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// A vendor that asks for more means something else.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

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

    /// Fly said 429: what we took for ours is used up, for so long at least.
    pub(super) fn hold(&self, told: Option<Duration>) {
        self.hold_from(Instant::now(), told.unwrap_or(self.interval));
    }

    fn hold_from(&self, now: Instant, pause: Duration) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        // The next turn is `pause` away.
        let empty = now + self.interval * (self.burst - 1) + pause.min(LONGEST_HOLD);
        *full_at = Some(full_at.map_or(empty, |at| at.max(empty)));
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

    #[test]
    fn after_a_429_the_next_turn_is_as_far_as_told_and_a_longer_line_is_not_shortened() {
        let (pace, now, patience) = (Pace::new(1.0, 3), Instant::now(), Duration::from_mins(1));
        pace.hold_from(now, Duration::from_secs(2));
        assert_eq!(pace.book(now, patience), Some(Duration::from_secs(2)));
        assert_eq!(pace.book(now, patience), Some(Duration::from_secs(3)));
        pace.hold_from(now, Duration::from_secs(1));
        assert_eq!(pace.book(now, patience), Some(Duration::from_secs(4)), "who waits already keeps its place");
        pace.hold_from(now, Duration::from_hours(1));
        assert_eq!(pace.book(now, patience), Some(LONGEST_HOLD));
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_the_order_they_were_asked_for() {
        let pace = std::sync::Arc::new(Pace::new(10.0, 1));
        let order = std::sync::Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..20 {
            let (pace, order) = (pace.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                assert!(pace.turn(Duration::from_secs(5)).await);
                order.lock().expect("not poisoned").push(number);
            }));
            tokio::task::yield_now().await;
        }
        for one in waiting {
            one.await.expect("a turn");
        }
        assert_eq!(*order.lock().expect("not poisoned"), (0..20).collect::<Vec<_>>());
    }
}
