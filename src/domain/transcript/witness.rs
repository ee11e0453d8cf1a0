//! The second witness: what the browser says was said.
//!
//! What our own line into the call heard is never changed by it. What the line was not
//! there to hear is the browser's to tell: while the line is away, items that it left
//! unfinished, and items that the conversation's own chain names and we never saw.

use super::entry::{Entry, Source, Status, Witness};
use super::slot::Slot;
use super::{STRIDE, Transcript};
use crate::domain::edge::{EntryKey, Timestamp};
use crate::ids::ItemId;
use std::collections::VecDeque;
use time::Duration;

/// Browsers relay in batches and their clocks differ from ours.
const SLACK: Duration = Duration::seconds(30);
/// Older gaps are forgotten; a line that breaks more often is given up.
const REMEMBERED_GAPS: usize = 64;

/// When our line into the call was away.
#[derive(Debug)]
pub(super) struct Gaps {
    since: Option<Timestamp>,
    past: VecDeque<(Timestamp, Timestamp)>,
    /// There may have been a call already: then something may have been missed.
    call: bool,
}

impl Default for Gaps {
    /// Before the first call there is no line; a restored transcript knows not for how long.
    fn default() -> Self {
        Self { since: Some(Timestamp::UNIX_EPOCH), past: VecDeque::new(), call: false }
    }
}

impl Gaps {
    fn open(&mut self, now: Timestamp) {
        if self.since.is_none() {
            self.since = Some(now);
            self.call = true;
        }
    }

    fn close(&mut self, now: Timestamp) {
        // Before the first call nothing was said.
        if let Some(since) = self.since.take()
            && self.call
        {
            self.past.push_back((since, now));
            if self.past.len() > REMEMBERED_GAPS {
                self.past.pop_front();
            }
        }
    }

    /// Whether something said at `at`, and told us now, may have been said in a gap. A client's
    /// time is not to be trusted, but it can claim nothing except that it spoke in one.
    fn cover(&self, at: Timestamp, now: Timestamp) -> bool {
        self.past.iter().any(|(from, to)| now <= *to + SLACK || (*from + -SLACK <= at && at <= *to + SLACK))
    }
}

impl Transcript {
    /// An earlier process held the interview: a call of which it could store nothing may have
    /// been under way.
    pub fn taken_over(mut self) -> Self {
        self.gaps.call = true;
        self
    }

    /// Our line into the call broke: the words of what is unfinished may never come.
    pub fn line_lost(&mut self, now: Timestamp) -> Vec<Entry> {
        self.gaps.open(now);
        for slot in &mut self.slots {
            slot.orphaned |= slot.settled.is_none() && !slot.silent;
        }
        self.believe_what_was_told()
    }

    pub fn line_back(&mut self, now: Timestamp) -> Vec<Entry> {
        self.gaps.call |= !self.slots.is_empty();
        self.gaps.close(now);
        // What a process before us was told.
        self.believe_what_was_told()
    }

    fn believe_what_was_told(&mut self) -> Vec<Entry> {
        let orphans: Vec<usize> = (0..self.slots.len())
            .filter(|index| {
                let slot = &self.slots[*index];
                slot.orphaned && slot.witness.is_some() && (slot.settled.is_none() || slot.lacks_words())
            })
            .collect();
        let mut entries: Vec<Entry> = orphans.into_iter().filter_map(|index| self.believe_witness(index)).collect();
        entries.extend(self.believe_unheard());
        entries
    }

    /// A line that is lost was often dead for a while before: what the browser told meanwhile, of
    /// items that we never saw, was said in the gap.
    pub(super) fn believe_unheard(&mut self) -> Vec<Entry> {
        let keys = std::mem::take(&mut self.unheard);
        let unheard: Vec<usize> = (0..self.slots.len())
            .filter(|index| self.slots[*index].is_unconfirmed() && keys.contains(&self.slots[*index].key))
            .collect();
        unheard
            .into_iter()
            .filter_map(|index| {
                self.slots[index].authoritative = true;
                self.revise_at(index)
            })
            .collect()
    }

    /// Whether our own line hears the call now.
    pub fn is_heard(&self) -> bool {
        self.gaps.since.is_none()
    }

    /// Take in the browser's word. Returns the entry to store: the acknowledgement means that
    /// its row is there, so a repetition yields it again.
    pub fn witness(&mut self, witness: Witness, now: Timestamp) -> Option<Entry> {
        if let Some(index) = witness.item_id.as_ref().and_then(|item| self.index_of(item)) {
            return self.witness_of_item(index, witness);
        }
        if let Some(known) = self.told_before(&witness) {
            return known.entry();
        }
        // Without an item there is nothing that later words could be held against.
        let authoritative = !self.is_heard() || witness.item_id.is_some() && self.gaps.cover(witness.claimed.unwrap_or(now), now);
        Some(self.insert_witness(witness, authoritative, now))
    }

    fn told_before(&self, witness: &Witness) -> Option<&Slot> {
        let same = || self.slots.iter().rev().take(16).find(|slot| is_the_same(slot, witness));
        self.slots.iter().find(|slot| slot.key == witness.key).or_else(same)
    }

    /// Whether the browser's word changes nothing: it, or the truth, is here already.
    pub fn knows(&self, witness: &Witness) -> bool {
        let of_item = witness.item_id.as_ref().and_then(|item| self.index_of(item)).map(|index| &self.slots[index]);
        match of_item {
            Some(slot) => slot.silent || slot.settled.is_some() && !slot.lacks_words(),
            None => self.told_before(witness).is_some(),
        }
    }

    /// Of an item that we know ourselves.
    fn witness_of_item(&mut self, index: usize, witness: Witness) -> Option<Entry> {
        let away = !self.is_heard();
        let slot = &mut self.slots[index];
        match slot.settled {
            Some(_) if !slot.lacks_words() => return slot.entry(),
            None if slot.silent => return None,
            Some(_) | None => {}
        }
        slot.speaker.get_or_insert(witness.speaker);
        slot.witness.get_or_insert_with(|| witness.text.into_string());
        if (away || slot.orphaned || slot.settled.is_some())
            && let Some(entry) = self.believe_witness(index)
        {
            return Some(entry);
        }
        if self.slots[index].settled.is_some() {
            return self.slots[index].entry();
        }
        // Kept beside, to be overwritten by the truth under the same key.
        let seq = self.number_slot(index);
        let slot = &self.slots[index];
        Some(Entry {
            seq,
            text: slot.witness.as_deref().unwrap_or_default().trim().into(),
            source: Source::Browser,
            authoritative: false,
            ..slot.as_settled(Status::Partial)?
        })
    }

    /// Settle the slot by the browser's word, if it agrees with what we heard ourselves.
    pub(super) fn believe_witness(&mut self, index: usize) -> Option<Entry> {
        let slot = &mut self.slots[index];
        let words = slot.witness.as_deref()?.trim();
        if words.is_empty() || !begins_with(words, &slot.text) {
            return None;
        }
        slot.text = words.to_owned();
        slot.settled = Some(Status::Final);
        slot.source = Source::Browser;
        self.revise_at(index)
    }

    /// Of an item that we never saw. It stands before the first item whose predecessor is
    /// missing, else at the end: browsers tell in the order of the conversation.
    fn insert_witness(&mut self, witness: Witness, authoritative: bool, now: Timestamp) -> Entry {
        let awaiting = self.slots.iter().position(|slot| slot.awaits.is_some());
        let named = awaiting.is_some_and(|index| self.slots[index].awaits == witness.item_id);
        if named && let Some(index) = awaiting {
            self.slots[index].awaits = None;
        }
        let (index, position) = match awaiting {
            Some(index) => (index, self.position_before(index)),
            None => (self.slots.len(), self.end_position()),
        };
        let key = witness.item_id.as_ref().map_or(witness.key, EntryKey::of_item);
        let segment = awaiting.map_or(self.segment, |index| self.slots[index].segment);
        let mut slot = Slot::new(key, witness.item_id, segment, position, witness.claimed.unwrap_or(now));
        slot.speaker = Some(witness.speaker);
        witness.text.trim().clone_into(&mut slot.text);
        slot.source = Source::Browser;
        slot.authoritative = authoritative || named;
        slot.settled = Some(Status::Final);
        if slot.is_unconfirmed() {
            self.unheard.push(slot.key.clone());
        }
        self.slots.insert(index, slot);
        self.number_slot(index);
        self.slots[index].as_settled(Status::Final).expect("it has a number and a speaker")
    }

    pub(super) fn position_before(&self, index: usize) -> i64 {
        let next = self.slots[index].position;
        let before = index.checked_sub(1).map_or(next - 2 * STRIDE, |index| self.slots[index].position);
        before + (next - before) / 2
    }

    pub(super) fn index_of(&self, item: &ItemId) -> Option<usize> {
        // What is spoken of is nearly always recent.
        self.slots.iter().rposition(|slot| slot.item.as_ref() == Some(item))
    }
}

fn is_the_same(slot: &Slot, witness: &Witness) -> bool {
    witness.item_id.is_none()
        && slot.settled.is_some()
        && slot.source == Source::Sideband
        && slot.speaker == Some(witness.speaker)
        && words(&slot.text).eq(words(&witness.text))
}

fn begins_with(told: &str, heard: &str) -> bool {
    let mut told = words(told);
    let mut heard: Vec<String> = words(heard).collect();
    // The last word may have been cut in the middle.
    let cut = heard.pop();
    heard.into_iter().all(|word| told.next() == Some(word))
        && cut.is_none_or(|cut| told.next().is_some_and(|word| word.starts_with(&cut)))
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}
