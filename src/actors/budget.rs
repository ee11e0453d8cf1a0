//! A budget that allows a number of actions at once, and one more after each pause.

use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub struct Budget {
    left: u32,
    most: u32,
    every: Duration,
    since: Instant,
}

impl Budget {
    pub fn new(most: u32, every: Duration) -> Self {
        Self { left: most, most, every, since: Instant::now() }
    }

    /// Takes one; false when none is left.
    pub fn take(&mut self) -> bool {
        while self.left < self.most && self.since.elapsed() >= self.every {
            self.left += 1;
            self.since += self.every;
        }
        if self.left == self.most {
            self.since = Instant::now();
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_used_up_comes_back_one_by_one() {
        let mut budget = Budget::new(3, Duration::from_secs(10));
        let mut take = |times: u32| (0..times).filter(|_| budget.take()).count();
        assert_eq!(take(5), 3);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(take(1), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(take(2), 1);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(take(5), 3);
    }
}
