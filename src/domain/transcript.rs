//! From voice events to transcript entries, in the order of the conversation.
//!
//! Order is the conversation's, not arrival's: the candidate's words are often final only
//! in the middle of the AI's answer. Each item of the conversation has a slot; a slot is
//! placed by its predecessor and settles when its words are final. A settled slot yields an
//! [`Entry`]; if it changes later (interrupted, moved) it yields the same entry again with a
//! higher revision, and storing an older revision changes nothing.

use super::voice::{ItemContent, Speaker, VoiceEvent};
use crate::ids::{ItemId, ReplyId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use time::OffsetDateTime;

/// Room between neighbours, so that a late item fits in without renumbering.
const STRIDE: i64 = 1 << 20;
/// One audio token of the AI is 50 ms of speech (reference: OpenAI Realtime costs).
const MS_PER_AUDIO_TOKEN: u64 = 50;

/// One thing said, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Stable number within the interview; what evidence points at.
    pub seq: i32,
    #[serde(skip)]
    pub key: String,
    pub item_id: Option<ItemId>,
    pub segment: i32,
    #[serde(skip)]
    pub position: i64,
    #[serde(skip)]
    pub revision: i32,
    pub speaker: Speaker,
    pub text: String,
    pub source: Source,
    #[serde(skip)]
    pub authoritative: bool,
    pub status: Status,
    pub interrupted: bool,
    pub heard_ms: Option<i32>,
    /// Estimate of the part that was heard: audio and text are not aligned.
    pub heard_text: Option<String>,
    pub commentary: bool,
    #[serde(skip)]
    pub started_ms: Option<i64>,
    #[serde(skip)]
    pub ended_ms: Option<i64>,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl Entry {
    /// What the entry weighs in the outbox.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.key.len() + 256
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Heard on our own control channel: the truth.
    Sideband,
    /// Said by the browser: the second witness.
    Browser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Final,
    /// The provider could not transcribe it.
    Failed,
    /// Said, but its words never arrived.
    Missing,
    /// Cut short by the end of the call.
    Partial,
}

/// What the browser says was said (`transcript_update`).
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    pub key: String,
    pub item_id: Option<ItemId>,
    pub speaker: Speaker,
    pub text: String,
    pub at: OffsetDateTime,
}

#[derive(Debug)]
struct Slot {
    /// Set once the slot is first told to the outside; see [`Entry::seq`].
    seq: Option<i32>,
    key: String,
    item: Option<ItemId>,
    segment: i32,
    position: i64,
    revision: i32,
    speaker: Option<Speaker>,
    silent: bool,
    text: String,
    /// None while words may still come.
    settled: Option<Status>,
    source: Source,
    authoritative: bool,
    reply: Option<ReplyId>,
    /// Told by the provider; an estimate of the heard text needs the length as well.
    heard_ms: Option<u64>,
    audio_ms: Option<u64>,
    commentary: bool,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    at: OffsetDateTime,
}

/// The transcript of one interview, across all its chapters.
#[derive(Debug, Default)]
pub struct Transcript {
    /// Sorted by position.
    slots: Vec<Slot>,
    by_item: HashMap<ItemId, String>,
    last_seq: i32,
    segment: i32,
    /// Replies that are not part of the conversation; their items say nothing.
    out_of_band: Vec<ReplyId>,
}

impl Transcript {
    /// A transcript that goes on from stored entries.
    pub fn restore(entries: Vec<Entry>) -> Self {
        let mut transcript = Self::default();
        for entry in entries {
            transcript.last_seq = transcript.last_seq.max(entry.seq);
            transcript.segment = transcript.segment.max(entry.segment);
            if let Some(item) = &entry.item_id {
                transcript.by_item.insert(item.clone(), entry.key.clone());
            }
            transcript.slots.push(Slot {
                seq: Some(entry.seq),
                key: entry.key,
                item: entry.item_id,
                segment: entry.segment,
                position: entry.position,
                revision: entry.revision,
                speaker: Some(entry.speaker),
                silent: false,
                text: entry.text,
                settled: Some(entry.status),
                source: entry.source,
                authoritative: entry.authoritative,
                reply: None,
                heard_ms: entry.heard_ms.map(|ms| ms.max(0) as u64),
                audio_ms: None,
                commentary: entry.commentary,
                started_ms: entry.started_ms,
                ended_ms: entry.ended_ms,
                at: entry.at,
            });
        }
        transcript.slots.sort_by_key(|slot| slot.position);
        transcript
    }

    /// Items that arrive from now on belong to this chapter.
    pub fn open_segment(&mut self, segment: i32) {
        self.segment = self.segment.max(segment);
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

    /// Whether someone spoke and the words are still awaited.
    pub fn awaits_words(&self) -> bool {
        self.slots.iter().any(|slot| slot.settled.is_none() && !slot.silent && slot.speaker.is_some())
    }

    /// Take in what happened. Returns the entries that are new or changed.
    pub fn apply(&mut self, event: &VoiceEvent, now: OffsetDateTime) -> Vec<Entry> {
        let touched = match event {
            VoiceEvent::SpeechStarted { item, start_ms } => {
                let slot = self.slot(item, now);
                slot.speaker = Some(Speaker::Candidate);
                slot.started_ms = start_ms.map(|ms| ms as i64);
                vec![]
            }
            VoiceEvent::SpeechStopped { item, end_ms } => {
                self.slot(item, now).ended_ms = end_ms.map(|ms| ms as i64);
                vec![]
            }
            VoiceEvent::ItemPlaced { item, previous, content } => self.place(item, previous.as_ref(), content, now),
            VoiceEvent::ItemDeleted { item } => {
                let slot = self.slot(item, now);
                slot.silent = slot.settled.is_none();
                vec![]
            }
            VoiceEvent::CandidateWords { item, delta } => {
                let slot = self.slot(item, now);
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
                let slot = self.slot(item, now);
                slot.speaker.get_or_insert(Speaker::Ai);
                slot.add_words(delta);
                vec![]
            }
            VoiceEvent::ReplySettled { item, text } => self.settle(item, Speaker::Ai, Some(text), Status::Final, now),
            VoiceEvent::ReplyDone { reply, texts, audio_tokens, .. } => self.reply_done(reply, texts, *audio_tokens, now),
            VoiceEvent::PlaybackCut { reply } => self.mark_cut(reply),
            VoiceEvent::ItemCut { item, heard_ms } => {
                let slot = self.slot(item, now);
                slot.speaker.get_or_insert(Speaker::Ai);
                slot.heard_ms = Some(slot.heard_ms.map_or(*heard_ms, |known| known.max(*heard_ms)));
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
        let open: Vec<ItemId> = self
            .slots
            .iter_mut()
            .filter(|slot| slot.settled.is_none() && !slot.silent && slot.speaker.is_some())
            .filter_map(|slot| {
                slot.text = slot.text.trim().to_owned();
                slot.settled = Some(if slot.text.is_empty() { Status::Missing } else { Status::Partial });
                slot.item.clone()
            })
            .collect();
        open.iter().filter_map(|item| self.revise(item)).collect()
    }

    /// Take in the browser's word. `alone`: the control channel hears nothing now.
    ///
    /// What the control channel heard is never changed by it; what it has not settled yet
    /// is kept under the same item, to be overwritten by the truth.
    pub fn witness(&mut self, witness: Witness, alone: bool) -> Option<Entry> {
        if let Some(item) = &witness.item_id
            && let Some(slot) = self.find(item)
            && slot.settled.is_some()
        {
            // Say it again: the acknowledgement must mean that the row is there.
            return slot.entry();
        }
        if let Some(known) = self.slots.iter().find(|slot| slot.key == witness.key) {
            return known.entry();
        }
        if let Some(same) = self.slots.iter().rev().take(16).find(|slot| {
            witness.item_id.is_none()
                && slot.settled.is_some()
                && slot.source == Source::Sideband
                && slot.speaker == Some(witness.speaker)
                && same_words(&slot.text, &witness.text)
        }) {
            return same.entry();
        }
        let placed = witness.item_id.as_ref().and_then(|item| self.slots.iter().position(|s| s.item.as_ref() == Some(item)));
        let position = placed.map_or_else(|| self.end_position(), |index| self.slots[index].position);
        let seq = placed.and_then(|index| self.slots[index].seq).unwrap_or_else(|| self.next_seq());
        if let Some(index) = placed {
            self.slots[index].seq = Some(seq);
        }
        let key = witness.item_id.as_ref().map_or(witness.key, |item| item.0.clone());
        let entry = Entry {
            seq,
            key: key.clone(),
            item_id: witness.item_id.clone(),
            segment: self.segment,
            position,
            revision: 0,
            speaker: witness.speaker,
            text: witness.text.trim().to_owned(),
            source: Source::Browser,
            authoritative: alone,
            status: Status::Final,
            interrupted: false,
            heard_ms: None,
            heard_text: None,
            commentary: false,
            started_ms: None,
            ended_ms: None,
            at: witness.at,
        };
        if placed.is_none() {
            let mut slot = Slot::new(key, witness.item_id.clone(), self.segment, position, witness.at);
            slot.seq = Some(seq);
            slot.speaker = Some(witness.speaker);
            slot.text.clone_from(&entry.text);
            slot.source = Source::Browser;
            slot.authoritative = alone;
            // With an item id the truth may still come; without one this is all there is.
            slot.settled = Some(Status::Final);
            if let Some(item) = witness.item_id {
                self.by_item.insert(item, slot.key.clone());
            }
            self.slots.push(slot);
        }
        Some(entry)
    }

    fn place(&mut self, item: &ItemId, previous: Option<&ItemId>, content: &ItemContent, now: OffsetDateTime) -> Vec<ItemId> {
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
        if let Some(index) = self.slots.iter().position(|slot| slot.item.as_ref() == Some(item))
            && self.slots[index].seq.is_none()
            && says(&self.slots[index])
        {
            self.slots[index].seq = Some(self.next_seq());
        }
    }

    /// Put the item right behind its predecessor. True when it had stood elsewhere.
    fn reposition(&mut self, item: &ItemId, previous: Option<&ItemId>) -> bool {
        let Some(from) = self.slots.iter().position(|slot| slot.item.as_ref() == Some(item)) else { return false };
        let segment = self.slots[from].segment;
        let after = match previous {
            Some(previous) => match self.slots.iter().position(|slot| slot.item.as_ref() == Some(previous)) {
                Some(index) => Some(index),
                // A predecessor we never heard of: stay where arrival put it.
                None => return false,
            },
            None => self.slots.iter().rposition(|slot| slot.segment < segment),
        };
        let to = after.map_or(0, |index| index + 1);
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

    fn settle(
        &mut self,
        item: &ItemId,
        speaker: Speaker,
        text: Option<&str>,
        status: Status,
        now: OffsetDateTime,
    ) -> Vec<ItemId> {
        let slot = self.slot(item, now);
        slot.speaker.get_or_insert(speaker);
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
        now: OffsetDateTime,
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
            slot.audio_ms = Some(tokens * MS_PER_AUDIO_TOKEN);
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
        slot.heard_ms.get_or_insert(0);
        slot.item.clone().into_iter().collect()
    }

    /// The slot's entry with the next revision, if it is settled.
    fn revise(&mut self, item: &ItemId) -> Option<Entry> {
        let index = self.slots.iter().position(|slot| slot.item.as_ref() == Some(item))?;
        if self.slots[index].settled.is_none() || self.slots[index].silent {
            return None;
        }
        if self.slots[index].seq.is_none() {
            let seq = self.next_seq();
            self.slots[index].seq = Some(seq);
        }
        self.slots[index].revision += 1;
        self.slots[index].entry()
    }

    fn find(&self, item: &ItemId) -> Option<&Slot> {
        self.by_item.get(item)?;
        self.slots.iter().find(|slot| slot.item.as_ref() == Some(item))
    }

    fn slot(&mut self, item: &ItemId, now: OffsetDateTime) -> &mut Slot {
        if !self.by_item.contains_key(item) {
            let position = self.end_position();
            self.by_item.insert(item.clone(), item.0.clone());
            self.slots.push(Slot::new(item.0.clone(), Some(item.clone()), self.segment, position, now));
        }
        let index =
            self.slots.iter().position(|slot| slot.item.as_ref() == Some(item)).expect("every item in by_item has a slot");
        &mut self.slots[index]
    }

    fn end_position(&self) -> i64 {
        self.slots.last().map_or(0, |slot| slot.position) + STRIDE
    }

    fn next_seq(&mut self) -> i32 {
        self.last_seq += 1;
        self.last_seq
    }
}

impl Slot {
    fn new(key: String, item: Option<ItemId>, segment: i32, position: i64, at: OffsetDateTime) -> Self {
        Self {
            seq: None,
            key,
            item,
            segment,
            position,
            revision: 0,
            speaker: None,
            silent: false,
            text: String::new(),
            settled: None,
            source: Source::Sideband,
            authoritative: true,
            reply: None,
            heard_ms: None,
            audio_ms: None,
            commentary: false,
            started_ms: None,
            ended_ms: None,
            at,
        }
    }

    fn add_words(&mut self, delta: &str) {
        if self.settled.is_none() {
            self.text.push_str(delta);
        }
    }

    fn entry(&self) -> Option<Entry> {
        let (seq, speaker, status) = (self.seq?, self.speaker?, self.settled?);
        Some(Entry {
            seq,
            key: self.key.clone(),
            item_id: self.item.clone(),
            segment: self.segment,
            position: self.position,
            revision: self.revision,
            speaker,
            text: self.text.clone(),
            source: self.source,
            authoritative: self.authoritative,
            status,
            interrupted: self.heard_ms.is_some(),
            heard_ms: self.heard_ms.map(|ms| ms.min(i32::MAX as u64) as i32),
            heard_text: self.heard_text(),
            commentary: self.commentary,
            started_ms: self.started_ms,
            ended_ms: self.ended_ms,
            at: self.at,
        })
    }

    /// The share of the text that corresponds to the share of the audio, cut at a word.
    fn heard_text(&self) -> Option<String> {
        let (heard, audio) = (self.heard_ms?, self.audio_ms?);
        if heard >= audio {
            return Some(self.text.clone());
        }
        let wanted = self.text.chars().count() as u64 * heard / audio.max(1);
        let cut: String = self.text.chars().take(wanted as usize).collect();
        Some(cut.rsplit_once(char::is_whitespace).map_or("", |(words, _)| words).to_owned())
    }
}

fn same_words(one: &str, other: &str) -> bool {
    let words = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect::<Vec<_>>()
    };
    words(one) == words(other)
}

#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;
