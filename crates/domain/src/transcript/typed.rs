//! What the candidate typed through our own socket. It is a word of the record as soon as it is taken; the call gets it when it is
//! stored, under a name that nobody else knows until then.

use super::Transcript;
use super::entry::{Entry, Source, Status};
use super::slot::{Slot, Typed};
use crate::edge::{EntryKey, Text, Timestamp};
use crate::ids::ItemId;

impl Transcript {
    /// At the end of the conversation, until the provider tells its place there. `item` is its name in the call.
    pub fn type_in(&mut self, key: EntryKey, item: ItemId, text: Text, now: Timestamp) -> Option<Entry> {
        let index = self.slots.len();
        let position = self.position_at(index);
        let slot = Slot::new(key, Some(item), self.segment, position, now).typed(Typed::Kept);
        self.slots.push(Slot { text, settled: Some(Status::Final), ..slot });
        self.number_slot(index);
        self.slots[index].entry()
    }

    /// What was typed under this key.
    pub fn typed(&self, key: &EntryKey) -> Option<&Text> {
        self.slots.iter().rev().find(|slot| slot.typed.is_some() && slot.key == *key).map(|slot| &slot.text)
    }

    pub fn typed_answers(&self) -> usize {
        self.slots.iter().filter(|slot| slot.typed.is_some()).count()
    }

    /// It is in the database. The entry, when that is news.
    pub fn typed_is_stored(&mut self, key: &EntryKey) -> Option<Entry> {
        let segment = self.segment;
        let slot = self.slots.iter_mut().rev().find(|slot| slot.typed == Some(Typed::Kept) && slot.key == *key)?;
        slot.typed = Some(Typed::Stored);
        // A call that was opened meanwhile was not told of it.
        slot.segment = segment;
        slot.entry()
    }

    /// What the open call may not have. What was typed before it was opened it is told with the chapters before.
    pub fn typed_to_put_in(&self) -> Vec<(ItemId, Text)> {
        let waits = |slot: &&Slot| slot.typed == Some(Typed::Stored) && slot.segment == self.segment;
        self.slots.iter().filter(waits).filter_map(|slot| Some((slot.item.clone()?, slot.text.clone()))).collect()
    }

    /// The call does not have it yet, as far as we know: whatever comes under this name is ours.
    pub fn awaits_typed(&self, item: &ItemId) -> bool {
        self.index_of(item).is_some_and(|index| self.slots[index].typed == Some(Typed::Stored))
    }

    /// The call has it already, from a process or a sideband before this one.
    pub fn typed_is_there(&mut self, item: &ItemId) {
        if let Some(index) = self.index_of(item).filter(|index| self.slots[*index].typed.is_some()) {
            self.slots[index].typed = Some(Typed::InCall);
        }
    }

    /// What our sideband heard behind it, in the same call, shows that the call has it: a sideband that hears puts it in. So nobody who takes it
    /// out of the call has it put in again at another place.
    pub(super) fn restore_typed(&mut self) {
        for index in 0..self.slots.len() {
            let segment = self.slots[index].segment;
            let heard = |slot: &Slot| slot.source == Source::Sideband && slot.segment == segment;
            if self.slots[index].typed.is_some() && self.slots[index + 1..].iter().any(heard) {
                let slot = &mut self.slots[index];
                (slot.typed, slot.placed, slot.named) = (Some(Typed::InCall), Some(0), Some(0));
            }
        }
    }

    /// True when it had its place: who puts an item of this name into the call once more moves nothing.
    pub(super) fn typed_is_placed(&mut self, item: &ItemId) -> bool {
        let Some(slot) = self.index_of(item).map(|index| &mut self.slots[index]) else { return false };
        match slot.typed {
            None => false,
            Some(Typed::Stored) => {
                slot.typed = Some(Typed::InCall);
                false
            }
            Some(Typed::Kept | Typed::InCall) => true,
        }
    }
}
