//! From voice events to transcript entries, in the order of the conversation.
//!
//! Order is the conversation's, not arrival's: the candidate's words are often final only
//! in the middle of the AI's answer. Each item of the conversation has a slot; a slot is
//! placed by its predecessor and settles when its words are final. A settled slot yields an
//! [`Entry`]; if it changes later (interrupted, moved) it yields the same entry again with a
//! higher revision, and storing an older revision changes nothing.

mod entry;
mod slot;
mod witness;

pub use entry::{Doubt, Entry, Source, Status, Weight, Witness, can_be_judged};

use super::edge::{EntryKey, Millis, Timestamp};
use super::voice::{ItemContent, Speaker, VoiceEvent};
use crate::ids::{ItemId, ReplyId};
use slot::Slot;
use witness::Gaps;

/// Room between neighbours, so that a late item fits in without renumbering.
const STRIDE: i64 = 1 << 20;
/// One audio token of the AI is 50 ms of speech (reference: OpenAI Realtime costs).
const MS_PER_AUDIO_TOKEN: u64 = 50;

/// The transcript of one interview, across all its chapters.
#[derive(Debug, Default)]
pub struct Transcript {
    /// Sorted by position.
    slots: Vec<Slot>,
    last_seq: i32,
    segment: i32,
    /// Replies that are not part of the conversation; their items say nothing.
    out_of_band: Vec<ReplyId>,
    gaps: Gaps,
    opened_at: Option<Timestamp>,
    /// Keys of what the browser told of items that we know nothing of, since we last heard anything:
    /// the line may be dead and nobody has noticed.
    unheard: Vec<EntryKey>,
}

impl Transcript {
    /// A transcript that goes on from stored entries.
    pub fn restore(entries: Vec<Entry>) -> Self {
        let mut transcript = Self::default();
        for entry in entries {
            transcript.last_seq = transcript.last_seq.max(entry.seq);
            transcript.segment = transcript.segment.max(entry.segment);
            transcript.slots.push(Slot::restore(entry));
        }
        transcript.slots.sort_by_key(|slot| slot.position);
        let told = transcript.slots.iter().rev().take_while(|slot| slot.source == Source::Browser);
        transcript.unheard = told.filter(|slot| slot.is_unconfirmed()).map(|slot| slot.key.clone()).collect();
        transcript
    }

    /// Items that arrive from now on belong to this chapter.
    pub fn open_segment(&mut self, segment: i32) {
        self.segment = self.segment.max(segment);
    }

    /// When the first call of the interview was opened.
    pub fn opened_at(&self) -> Option<Timestamp> {
        self.opened_at
    }

    /// The authoritative entries in order.
    pub fn entries(&self) -> Vec<Entry> {
        self.slots.iter().filter(|slot| slot.authoritative).filter_map(Slot::entry).collect()
    }

    /// How many authoritative entries are settled.
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.authoritative && slot.entry().is_some()).count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn has_spoken(&self, speaker: Speaker) -> bool {
        self.slots.iter().any(|slot| slot.authoritative && slot.speaker == Some(speaker) && slot.settled.is_some())
    }

    pub fn can_be_judged(&self) -> bool {
        can_be_judged(self.slots.iter().filter_map(Slot::entry))
    }

    /// Whether someone spoke and the words are still awaited.
    pub fn awaits_words(&self) -> bool {
        self.slots.iter().any(Slot::is_open)
    }

    /// Take in what happened. Returns the entries that are new or changed.
    pub fn apply(&mut self, event: &VoiceEvent, now: Timestamp) -> Vec<Entry> {
        if self.is_heard() {
            self.unheard.clear();
        }
        let touched = match event {
            VoiceEvent::SpeechStarted { item, start_ms } => {
                let slot = self.slot(item, now);
                slot.speaker = Some(Speaker::Candidate);
                slot.started_ms = start_ms.map(Millis::new);
                vec![]
            }
            VoiceEvent::SpeechStopped { item, end_ms } => {
                self.begun(item, now).ended_ms = end_ms.map(Millis::new);
                vec![]
            }
            VoiceEvent::ItemPlaced { item, previous, content } => self.place(item, previous.as_ref(), content, now),
            VoiceEvent::ItemDeleted { item } => {
                let slot = self.slot(item, now);
                slot.silent = slot.settled.is_none();
                vec![]
            }
            VoiceEvent::CandidateWords { item, delta } => {
                let slot = self.begun(item, now);
                slot.speaker.get_or_insert(Speaker::Candidate);
                slot.add_words(delta);
                vec![]
            }
            VoiceEvent::CandidateSettled { item, text } => self.settle(item, Speaker::Candidate, Some(text), Status::Final, now),
            VoiceEvent::CandidateFailed { item } => self.settle(item, Speaker::Candidate, None, Status::Failed, now),
            VoiceEvent::ReplyStarted { reply, in_conversation } => {
                if !in_conversation {
                    self.out_of_band.push(reply.clone());
                }
                vec![]
            }
            VoiceEvent::ReplyItem { reply, item, commentary } => {
                let silent = self.out_of_band.contains(reply);
                let slot = self.slot(item, now);
                slot.speaker.get_or_insert(Speaker::Ai);
                slot.reply = Some(reply.clone());
                slot.commentary |= commentary;
                slot.silent |= silent;
                vec![]
            }
            VoiceEvent::ReplyWords { item, delta } => {
                let slot = self.begun(item, now);
                slot.speaker.get_or_insert(Speaker::Ai);
                slot.add_words(delta);
                vec![]
            }
            VoiceEvent::ReplySettled { item, text } => self.settle(item, Speaker::Ai, Some(text), Status::Final, now),
            VoiceEvent::ReplyDone { reply, texts, audio_tokens, .. } => self.reply_done(reply, texts, *audio_tokens, now),
            VoiceEvent::PlaybackCut { reply } => self.mark_cut(reply),
            VoiceEvent::ItemCut { item, heard_ms } => {
                let slot = self.begun(item, now);
                slot.speaker.get_or_insert(Speaker::Ai);
                slot.heard_ms = slot.heard_ms.max(Some(Millis::new(*heard_ms)));
                vec![item.clone()]
            }
            VoiceEvent::Ready { .. }
            | VoiceEvent::PlaybackStarted { .. }
            | VoiceEvent::PlaybackEnded { .. }
            | VoiceEvent::ToolCalled { .. }
            | VoiceEvent::Refused { .. }
            | VoiceEvent::Expired => vec![],
        };
        touched.iter().filter_map(|item| self.revise(item)).collect()
    }

    /// The call is over: what is not settled now never will be.
    pub fn close(&mut self) -> Vec<Entry> {
        let open: Vec<usize> = (0..self.slots.len()).filter(|index| self.slots[*index].is_open()).collect();
        let believed = if self.is_heard() { vec![] } else { self.believe_unheard() };
        let settled = open
            .into_iter()
            .filter_map(|index| {
                if let Some(entry) = self.believe_witness(index) {
                    return Some(entry);
                }
                let slot = &mut self.slots[index];
                slot.text = slot.text.trim().to_owned();
                slot.settled = Some(if slot.text.is_empty() { Status::Missing } else { Status::Partial });
                self.revise_at(index)
            })
            .collect::<Vec<_>>();
        believed.into_iter().chain(settled).collect()
    }

    fn place(&mut self, item: &ItemId, previous: Option<&ItemId>, content: &ItemContent, now: Timestamp) -> Vec<ItemId> {
        self.slot(item, now);
        let moved = self.reposition(item, previous);
        self.number(item, content);
        let slot = self.slot(item, now);
        match content {
            ItemContent::Said { speaker, text, commentary } => {
                slot.speaker.get_or_insert(*speaker);
                slot.commentary |= commentary;
                if let Some(text) = text
                    && !text.trim().is_empty()
                {
                    let (speaker, text) = (*speaker, text.clone());
                    return self.settle(item, speaker, Some(&text), Status::Final, now);
                }
            }
            ItemContent::Silent => slot.silent = slot.settled.is_none(),
            ItemContent::Unknown => {}
        }
        if moved { vec![item.clone()] } else { vec![] }
    }

    /// Who is placed gets a number, so that numbers follow the conversation even when the
    /// words come late.
    fn number(&mut self, item: &ItemId, content: &ItemContent) {
        let says = |slot: &Slot| match content {
            ItemContent::Said { .. } => !slot.silent,
            ItemContent::Unknown => slot.speaker.is_some() && !slot.silent,
            ItemContent::Silent => false,
        };
        if let Some(index) = self.index_of(item)
            && says(&self.slots[index])
        {
            self.number_slot(index);
        }
    }

    /// Put the item right behind its predecessor. True when it had stood elsewhere.
    fn reposition(&mut self, item: &ItemId, previous: Option<&ItemId>) -> bool {
        let Some(from) = self.index_of(item) else { return false };
        let segment = self.slots[from].segment;
        let after = match previous {
            Some(previous) => {
                let known = self.index_of(previous);
                if known.is_none() {
                    // Stay where arrival put it; the browser may tell what stands before.
                    self.slots[from].awaits = Some(previous.clone());
                    return false;
                }
                known
            }
            None => self.slots.iter().rposition(|slot| slot.segment < segment),
        };
        let mut to = after.map_or(0, |index| index + 1);
        // What was told without a place of its own stands where it was told: before what comes later.
        while to < from && self.slots[to].item.is_none() {
            to += 1;
        }
        if from == to {
            return false;
        }
        let slot = self.slots.remove(from);
        let to = if from < to { to - 1 } else { to };
        if from == to {
            self.slots.insert(to, slot);
            return false;
        }
        let before = to.checked_sub(1).map_or(0, |index| self.slots[index].position);
        let next = self.slots.get(to).map_or(before + 2 * STRIDE, |slot| slot.position);
        self.slots.insert(to, Slot { position: before + (next - before) / 2, ..slot });
        true
    }

    fn settle(&mut self, item: &ItemId, speaker: Speaker, text: Option<&str>, status: Status, now: Timestamp) -> Vec<ItemId> {
        let slot = self.slot(item, now);
        slot.speaker.get_or_insert(speaker);
        if status == Status::Failed && slot.source == Source::Browser && slot.settled.is_some() {
            // The provider has no words; the browser's are better than none.
            return vec![];
        }
        let text = text.map_or_else(|| slot.text.trim().to_owned(), |text| text.trim().to_owned());
        let stronger = slot.source == Source::Browser
            || slot.settled.is_none()
            || slot.settled == Some(Status::Missing)
            || slot.settled == Some(Status::Partial);
        if !stronger && (slot.text == text || status == Status::Failed) {
            return vec![];
        }
        slot.text = text;
        slot.settled = Some(status);
        slot.source = Source::Sideband;
        slot.authoritative = true;
        vec![item.clone()]
    }

    fn reply_done(
        &mut self,
        reply: &ReplyId,
        texts: &[(ItemId, String)],
        audio_tokens: Option<u64>,
        now: Timestamp,
    ) -> Vec<ItemId> {
        let mut touched = Vec::new();
        for (item, text) in texts {
            if !text.trim().is_empty() {
                touched.extend(self.settle(item, Speaker::Ai, Some(text), Status::Final, now));
            }
        }
        // The length of the speech is only known for the reply; it is its one message's.
        if let Some(tokens) = audio_tokens
            && let [(item, _)] = texts
        {
            let slot = self.slot(item, now);
            slot.audio_ms = Some(Millis::new(tokens.saturating_mul(MS_PER_AUDIO_TOKEN)));
            if slot.heard_ms.is_some() && !touched.contains(item) {
                touched.push(item.clone());
            }
        }
        self.out_of_band.retain(|known| known != reply);
        touched
    }

    /// The candidate spoke over the reply; how much was heard follows in `ItemCut`.
    fn mark_cut(&mut self, reply: &ReplyId) -> Vec<ItemId> {
        let Some(slot) = self.slots.iter_mut().rev().find(|slot| slot.reply.as_ref() == Some(reply)) else { return vec![] };
        slot.heard_ms.get_or_insert_default();
        slot.item.clone().into_iter().collect()
    }

    /// The item's entry with the next revision, if it is settled.
    fn revise(&mut self, item: &ItemId) -> Option<Entry> {
        self.revise_at(self.index_of(item)?)
    }

    fn revise_at(&mut self, index: usize) -> Option<Entry> {
        if self.slots[index].settled.is_none() || self.slots[index].silent {
            return None;
        }
        self.number_slot(index);
        self.slots[index].revision += 1;
        self.slots[index].entry()
    }

    fn slot(&mut self, item: &ItemId, now: Timestamp) -> &mut Slot {
        let index = self.index_of(item).unwrap_or_else(|| self.insert(item, now));
        &mut self.slots[index]
    }

    /// As [`Self::slot`], for what no item begins with: of one that we hear of by it first, we missed
    /// the beginning, and perhaps all its words.
    fn begun(&mut self, item: &ItemId, now: Timestamp) -> &mut Slot {
        let late = self.index_of(item).is_none();
        let slot = self.slot(item, now);
        slot.orphaned |= late;
        slot
    }

    /// Before what is known to stand behind it, else at the end.
    fn insert(&mut self, item: &ItemId, now: Timestamp) -> usize {
        let behind = self.slots.iter().rposition(|slot| slot.awaits.as_ref() == Some(item));
        let (index, position, segment) = match behind {
            Some(index) => (index, self.position_before(index), self.slots[index].segment),
            None => (self.slots.len(), self.end_position(), self.segment),
        };
        if let Some(index) = behind {
            self.slots[index].awaits = None;
        }
        self.slots.insert(index, Slot::new(EntryKey::of_item(item), Some(item.clone()), segment, position, now));
        index
    }

    fn end_position(&self) -> i64 {
        self.slots.last().map_or(0, |slot| slot.position) + STRIDE
    }

    fn number_slot(&mut self, index: usize) -> i32 {
        *self.slots[index].seq.get_or_insert_with(|| {
            self.last_seq += 1;
            self.last_seq
        })
    }
}

#[cfg(test)]
mod tests;
