//! Actions that are due later, ordered by due time and then by creation.

use std::time::Duration;

#[derive(Debug)]
pub struct Timers<T> {
    entries: Vec<(Duration, u64, T)>,
    made: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), made: 0 }
    }
}

impl<T> Timers<T> {
    pub fn add(&mut self, due: Duration, what: T) {
        self.made += 1;
        self.entries.push((due, self.made, what));
    }

    pub fn next(&self) -> Option<Duration> {
        self.entries.iter().map(|(due, _, _)| *due).min()
    }

    /// The earliest entry that is due by `now`.
    pub fn pop(&mut self, now: Duration) -> Option<(Duration, T)> {
        let (index, _) = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, (due, _, _))| *due <= now)
            .min_by_key(|(_, (due, made, _))| (*due, *made))?;
        let (due, _, what) = self.entries.swap_remove(index);
        Some((due, what))
    }

    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.entries.retain(|(_, _, what)| keep(what));
    }
}
