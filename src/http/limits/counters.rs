//! Counters by key, in memory of a bounded size: rates, numbers at once, and which sessions are known.

use crate::ids::SessionId;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Keys that are counted apart; beyond them all others share one budget, so that memory is bounded.
const MOST_KEYS: usize = 20_000;
/// How often the keys are dropped that have nothing to be remembered for.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Ids of sessions that are remembered, and how long one that nobody has is believed not to exist.
const MOST_SEEN: usize = 10_000;
const UNKNOWN_FOR: Duration = Duration::from_mins(1);

/// The runtime's time, which the simulation makes up.
#[derive(Clone, Copy, Debug)]
struct RuntimeClock;

impl Clock for RuntimeClock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

/// A rate by key. `None` is everyone for whom there is no room.
pub(super) struct Rate<K: Hash + Eq + Clone> {
    limiter: RateLimiter<Option<K>, HashMapStateStore<Option<K>>, RuntimeClock, NoOpMiddleware<std::time::Instant>>,
    tidied: Mutex<Instant>,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    pub(super) fn new(per_s: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_s).allow_burst(burst);
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), RuntimeClock);
        Self { limiter, tidied: Mutex::new(Instant::now()) }
    }

    /// Take one, or learn when there will be one.
    pub(super) fn take(&self, key: K) -> Result<(), Duration> {
        let key = self.has_room().then_some(key);
        self.limiter.check_key(&key).map_err(|not_until| not_until.wait_time_from(RuntimeClock.now()))
    }

    fn has_room(&self) -> bool {
        if self.limiter.len() < MOST_KEYS {
            return true;
        }
        let mut tidied = lock(&self.tidied);
        if tidied.elapsed() >= TIDY_EVERY {
            *tidied = Instant::now();
            self.limiter.retain_recent();
        }
        self.limiter.len() < MOST_KEYS
    }
}

/// How many are held at once, by key and in all.
#[derive(Debug)]
pub(super) struct Counts<K> {
    held: Arc<Mutex<HashMap<K, usize>>>,
    each: usize,
    all: usize,
}

/// Which of two bounds is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Each,
    All,
}

impl<K: Hash + Eq + Copy> Counts<K> {
    pub(super) fn new(each: usize, all: usize) -> Self {
        Self { held: Arc::default(), each, all }
    }

    pub(super) fn hold(&self, key: K) -> Result<Held<K>, Full> {
        let mut held = lock(&self.held);
        if held.get(&key).is_some_and(|count| *count >= self.each) || self.each == 0 {
            return Err(Full::Each);
        }
        if held.values().sum::<usize>() >= self.all {
            return Err(Full::All);
        }
        *held.entry(key).or_default() += 1;
        Ok(Held { held: self.held.clone(), key })
    }
}

/// One of what is counted; given back when dropped.
#[derive(Debug)]
pub struct Held<K: Hash + Eq + Copy> {
    held: Arc<Mutex<HashMap<K, usize>>>,
    key: K,
}

impl<K: Hash + Eq + Copy> Drop for Held<K> {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sessions that were looked for: those that are there, and until when one is believed not to be.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<SessionId, Option<Instant>>);

impl Seen {
    pub(super) fn note(&mut self, id: SessionId, exists: bool, now: Instant) {
        if self.0.len() >= MOST_SEEN {
            self.0.retain(|_, until| until.is_none_or(|until| until > now));
        }
        if self.0.len() >= MOST_SEEN {
            self.0.clear();
        }
        self.0.insert(id, (!exists).then(|| now + UNKNOWN_FOR));
    }

    /// Whether it exists, if that is known.
    pub(super) fn exists(&self, id: SessionId, now: Instant) -> Option<bool> {
        match self.0.get(&id)? {
            None => Some(true),
            Some(until) => (*until > now).then_some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn of(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("not zero")
    }

    #[test]
    fn a_burst_is_taken_at_once_by_each_and_then_one_learns_how_long_to_wait() {
        let rate = Rate::new(of(1), of(3));
        let taken = |key: &'static str| (0..5).filter(|_| rate.take(key).is_ok()).count();
        assert_eq!((taken("a"), taken("b")), (3, 3));
        let wait = rate.take("a").expect_err("used up");
        assert!(wait > Duration::from_millis(500) && wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn more_keys_than_are_counted_apart_share_one_budget() {
        let rate = Rate::new(of(1), of(2));
        for key in 0..MOST_KEYS {
            assert!(rate.take(key).is_ok());
        }
        let strangers = (MOST_KEYS..MOST_KEYS + 100).filter(|key| rate.take(*key).is_ok()).count();
        assert_eq!((strangers, rate.limiter.len()), (2, MOST_KEYS + 1));
    }

    #[test]
    fn what_is_held_is_bounded_by_key_and_in_all_and_comes_back() {
        let counts = Counts::new(2, 3);
        let first = counts.hold('a').expect("a place");
        let _second = counts.hold('a').expect("a place");
        assert_eq!(counts.hold('a').expect_err("two of it"), Full::Each);
        let _third = counts.hold('b').expect("a place");
        assert_eq!(counts.hold('c').expect_err("three in all"), Full::All);
        drop(first);
        assert!(counts.hold('a').is_ok());
        assert_eq!(lock(&counts.held).len(), 2, "nothing is kept of who holds nothing");
    }

    #[test]
    fn a_session_that_is_not_there_is_not_looked_for_again_for_a_while() {
        let (mut seen, now, id) = (Seen::default(), Instant::now(), SessionId(Uuid::from_u128(1)));
        assert_eq!(seen.exists(id, now), None);
        seen.note(id, false, now);
        assert_eq!(seen.exists(id, now + UNKNOWN_FOR / 2), Some(false));
        assert_eq!(seen.exists(id, now + UNKNOWN_FOR), None);
        seen.note(id, true, now);
        assert_eq!(seen.exists(id, now + UNKNOWN_FOR * 100), Some(true));
        for n in 0..MOST_SEEN as u128 * 3 {
            seen.note(SessionId(Uuid::from_u128(n)), n % 2 == 0, now);
        }
        assert!(seen.0.len() <= MOST_SEEN);
    }
}
