//! The records that must be stored and are not stored yet.
//!
//! The process owns the outbox, never an actor, because an actor may die. A record leaves only when the database has
//! committed it. A receipt is released when everything before it is stored.

use std::collections::VecDeque;

/// A queue of records with receipts between them, bounded in count and bytes.
#[derive(Debug)]
pub struct Outbox<T, R> {
    records: VecDeque<Slot<T>>,
    receipts: VecDeque<(u64, R)>,
    /// Ordinal the next record gets; all below `next - records.len()` are stored.
    next: u64,
    bytes: usize,
    limits: Limits,
}

#[derive(Debug)]
struct Slot<T> {
    record: T,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub records: usize,
    pub bytes: usize,
}

/// Records to store next; hand [`Batch::up_to`] back to [`Outbox::stored`] after the commit.
#[derive(Debug)]
pub struct Batch<T> {
    pub records: Vec<T>,
    pub up_to: u64,
}

impl<T: Clone, R> Outbox<T, R> {
    pub fn new(limits: Limits) -> Self {
        Self { records: VecDeque::new(), receipts: VecDeque::new(), next: 0, bytes: 0, limits }
    }

    /// Whether whoever can wait with more should: nothing is ever refused, so peers are stopped
    /// being listened to instead.
    pub fn is_full(&self) -> bool {
        self.records.len() >= self.limits.records || self.bytes >= self.limits.bytes
    }

    pub fn push(&mut self, record: T, bytes: usize) {
        self.records.push_back(Slot { record, bytes });
        self.bytes += bytes;
        self.next += 1;
    }

    /// Released by [`Self::stored`] once everything pushed so far is stored.
    pub fn push_receipt(&mut self, receipt: R) {
        self.receipts.push_back((self.next, receipt));
    }

    /// The oldest records, at most `max`; they stay until [`Self::stored`]. Also some, with
    /// no records, when receipts wait for nothing but to be released.
    pub fn batch(&self, max: usize) -> Option<Batch<T>> {
        let records: Vec<T> = self.records.iter().take(max).map(|slot| slot.record.clone()).collect();
        let up_to = self.first() + records.len() as u64;
        let releases = self.receipts.front().is_some_and(|(after, _)| *after <= up_to);
        (!records.is_empty() || releases).then_some(Batch { records, up_to })
    }

    /// Everything below `up_to` is committed. Repeating an older `up_to` does nothing.
    pub fn stored(&mut self, up_to: u64) -> Vec<R> {
        while self.first() < up_to.min(self.next) {
            if let Some(slot) = self.records.pop_front() {
                self.bytes -= slot.bytes;
            }
        }
        let mut released = Vec::new();
        while self.receipts.front().is_some_and(|(after, _)| *after <= up_to) {
            released.extend(self.receipts.pop_front().map(|(_, receipt)| receipt));
        }
        released
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.receipts.is_empty()
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn first(&self) -> u64 {
        self.next - self.records.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outbox() -> Outbox<u32, u32> {
        Outbox::new(Limits { records: 1_000, bytes: 10_000 })
    }

    #[test]
    fn a_receipt_waits_for_everything_before_it() {
        let mut outbox = outbox();
        outbox.push(1, 1);
        outbox.push(2, 1);
        outbox.push_receipt(7);
        let batch = outbox.batch(1).expect("a record waits");
        assert_eq!(batch.records, [1]);
        assert!(outbox.stored(batch.up_to).is_empty(), "2 is not stored yet");
        let batch = outbox.batch(10).expect("a record waits");
        assert_eq!(outbox.stored(batch.up_to), [7]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_receipt_with_nothing_before_it_makes_an_empty_batch() {
        let mut outbox = outbox();
        outbox.push_receipt(1);
        let batch = outbox.batch(10).expect("the receipt waits");
        assert!(batch.records.is_empty());
        assert_eq!(outbox.stored(batch.up_to), [1]);
        assert!(outbox.batch(10).is_none());
    }

    #[test]
    fn an_outbox_is_full_by_count_or_by_bytes_and_has_room_again_when_something_is_stored() {
        for bytes in [1, 60] {
            let mut outbox: Outbox<u32, u32> = Outbox::new(Limits { records: if bytes == 1 { 2 } else { 1_000 }, bytes: 100 });
            outbox.push(1, bytes);
            assert!(!outbox.is_full());
            outbox.push(2, bytes);
            assert!(outbox.is_full());
            outbox.stored(1);
            assert!(!outbox.is_full());
        }
    }

    proptest! {
        /// Whatever the order of pushes, batches, commits and repeated commits: every record
        /// is stored once, in order, and receipts come out in order and never early.
        #[test]
        fn everything_is_stored_once_and_in_order(steps in proptest::collection::vec(0u8..6, 1..200)) {
            let mut outbox: Outbox<u64, u64> = Outbox::new(Limits { records: 1_000, bytes: 1_000 });
            let (mut pushed, mut stored, mut released) = (0u64, Vec::new(), Vec::new());
            let mut finish = |outbox: &mut Outbox<u64, u64>, max: usize, repeat: bool| {
                if let Some(batch) = outbox.batch(max) {
                    stored.extend(batch.records);
                    let done = stored.len() as u64;
                    for receipt in outbox.stored(batch.up_to) {
                        assert!(receipt <= done, "receipt {receipt} before record {done}");
                        released.push(receipt);
                    }
                    if repeat { assert!(outbox.stored(batch.up_to).is_empty()); }
                    true
                } else { false }
            };
            for step in steps {
                match step {
                    0..=2 => { outbox.push(pushed, 1); pushed += 1; }
                    3 => outbox.push_receipt(pushed),
                    4 => { finish(&mut outbox, 3, true); }
                    _ => { let _ = outbox.batch(2); } // a batch whose commit failed
                }
            }
            while finish(&mut outbox, 7, false) {}
            prop_assert_eq!(stored, (0..pushed).collect::<Vec<_>>());
            prop_assert!(released.windows(2).all(|w| w[0] <= w[1]));
            prop_assert!(outbox.is_empty() && outbox.bytes() == 0);
        }
    }
}
