//! Tracks which of the browser's numbered updates we have, and whether a number came twice with different words.
//!
//! An acknowledgement covers all updates up to its number. So it must never pass a gap: a browser that is told that 3 is stored
//! forgets 2. An update behind a gap is accepted and stored at once, and acknowledged when the gap is closed.

use std::collections::{BTreeMap, BTreeSet};

/// Updates beyond a gap; a browser that is further ahead has to wait.
pub const MAX_AHEAD: usize = 1_024;
/// Updates whose words we can still compare; older ones are known by the keys of their entries.
const REMEMBERED: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    New,
    /// It is here already, with the same words.
    Repeat,
    /// It was here before this process was: its entries' keys tell what is new.
    Old,
    /// The number is taken by other words: the first stay.
    Conflict,
    /// Too many beyond a gap.
    TooFarAhead,
}

#[derive(Debug, Default)]
pub struct AckWindow {
    /// All up to this one are here.
    complete: u64,
    ahead: BTreeSet<u64>,
    words: BTreeMap<u64, u64>,
}

impl AckWindow {
    /// Updates that go on from what is stored.
    pub fn after(complete: u64) -> Self {
        Self { complete, ..Self::default() }
    }

    /// What an update without a number counts as.
    pub fn next(&self) -> u64 {
        self.complete + 1
    }

    /// All up to this one are here.
    pub fn complete(&self) -> u64 {
        self.complete
    }

    pub fn has_gap(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// What `seq` with a digest of its words is to us.
    pub fn judge(&self, seq: u64, words: u64) -> Arrival {
        match self.words.get(&seq) {
            Some(known) if *known == words => Arrival::Repeat,
            Some(_) => Arrival::Conflict,
            None if seq <= self.complete => Arrival::Old,
            None if self.is_too_far(seq) => Arrival::TooFarAhead,
            None => Arrival::New,
        }
    }

    /// Beyond a gap with no room for more behind it.
    pub fn is_too_far(&self, seq: u64) -> bool {
        seq > self.complete + 1 && self.ahead.len() >= MAX_AHEAD && !self.ahead.contains(&seq)
    }

    /// It was taken in.
    pub fn take(&mut self, seq: u64, words: u64) {
        self.words.insert(seq, words);
        if self.words.len() > REMEMBERED + MAX_AHEAD {
            self.words.pop_first();
        }
        self.close(seq);
    }

    /// It was taken in or is refused for good: those behind it need not wait for it.
    pub fn close(&mut self, seq: u64) {
        if seq > self.complete {
            self.ahead.insert(seq);
        }
        while self.ahead.remove(&(self.complete + 1)) {
            self.complete += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_never_passed_and_closes_at_once() {
        let mut updates = AckWindow::after(0);
        for (seq, complete) in [(1, 1), (3, 1), (4, 1), (2, 4), (5, 5)] {
            assert_eq!(updates.judge(seq, seq), Arrival::New);
            updates.take(seq, seq);
            assert_eq!((updates.complete(), updates.has_gap()), (complete, seq == 3 || seq == 4));
        }
    }

    #[test]
    fn a_number_with_other_words_is_a_conflict() {
        let mut updates = AckWindow::after(7);
        assert_eq!(updates.judge(7, 1), Arrival::Old);
        updates.take(8, 1);
        assert_eq!((updates.judge(8, 1), updates.judge(8, 2)), (Arrival::Repeat, Arrival::Conflict));
    }

    #[test]
    fn a_refused_number_is_passed_and_may_come_again() {
        let mut updates = AckWindow::after(0);
        updates.take(2, 2);
        updates.close(1);
        assert_eq!(updates.complete(), 2);
        assert_eq!(updates.judge(1, 1), Arrival::Old);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut updates = AckWindow::after(0);
        for seq in (2..).take(MAX_AHEAD) {
            updates.take(seq, seq);
        }
        assert_eq!(updates.judge(1 << 53, 0), Arrival::TooFarAhead);
        assert_eq!(updates.judge(1, 1), Arrival::New, "closing the gap is always possible");
        for seq in 1..100_000 {
            updates.take(seq, seq);
        }
        assert_eq!((updates.words.len(), updates.ahead.len(), updates.complete()), (REMEMBERED + MAX_AHEAD, 0, 99_999));
    }
}
