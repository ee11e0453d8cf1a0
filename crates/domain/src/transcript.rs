//! From voice events to transcript entries, in the order of the conversation.
//!
//! The order is that of the conversation, not of arrival: the candidate's words are often final only in the middle of the AI's
//! answer. Each item of the conversation has a slot. Its predecessor places the slot, and the slot settles when its words are
//! final. A settled slot yields an [`Entry`]. If it changes later (interrupted, moved), it yields the same entry again with a
//! higher revision. Storing an older revision changes nothing.

mod client_report;
mod entry;
mod hearing;
mod plausible;
mod slot;
mod typed;

pub use entry::{ClientReport, Doubt, Entry, Source, Status, Weight, can_be_judged};
pub use hearing::Cause;
pub use plausible::{Logprob, Recognition};

use super::edge::{EntryKey, Millis, Text, Timestamp};
use super::voice::{Delivery, ItemContent, Speaker, VoiceEvent};
use crate::ids::{ItemId, ReplyId};
use client_report::Copy as BrowsersCopy;
use hearing::Hearing;
use plausible::Turn;
use slot::{Slot, Typed};
use time::Duration;

/// Room between neighbours, so that a late item fits in without renumbering.
const STRIDE: i64 = 1 << 20;
/// Items that may begin in a call in the seconds after it was replaced.
const MOST_LATE: usize = 64;
/// Items that say nothing: what each new call is told of those before it, tool calls, and what somebody puts in by hand. Of
/// more than these no place is kept.
const MOST_SILENT: usize = 10_000;
/// Entries of the interviewer that may come back as an echo, or tell the script of the interview.
const INTERVIEWER_BEFORE: usize = 2;
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
    hearing: Hearing,
    /// Our sideband has carried speech of the candidate in the call that is open.
    carries_speech: bool,
    /// Gaps before the call that is open was opened.
    gaps_before_call: usize,
    /// Who made the gap that our sideband has just come back from; the next item that is placed stands behind it.
    hole: Option<Cause>,
    /// When our sideband last brought anything.
    last_heard: Timestamp,
    /// Time that nobody can set, since some moment before the first event: what is late is measured in it.
    steady: Duration,
    /// When our sideband last brought anything, and the sideband into the call before the one that is open.
    heard_at: Duration,
    heard_at_earlier: Duration,
    /// Items that began in the call before when it was replaced already.
    begun_too_late: Vec<ItemId>,
    opened_at: Option<Timestamp>,
    copy: BrowsersCopy,
    silent_items: usize,
    /// Changed by something else than what it is about; told with the next entries.
    late: Vec<Entry>,
    /// An earlier process held the interview.
    taken_over: bool,
    /// Whether words of a sideband that carries no speech are in the record, with the doubt.
    judge_deaf_line: bool,
}

impl Transcript {
    /// A transcript that goes on from stored entries.
    pub fn restore(entries: Vec<Entry>) -> Self {
        let mut transcript = Self::default();
        for entry in entries {
            transcript.last_seq = transcript.last_seq.max(entry.seq);
            transcript.segment = transcript.segment.max(entry.segment);
            transcript.last_heard = transcript.last_heard.max(entry.at);
            transcript.slots.push(Slot::restore(entry));
        }
        transcript.slots.sort_by_key(|slot| slot.position);
        transcript.restore_typed();
        transcript.restore_told();
        transcript
    }

    /// The tenant allows that words of a sideband that carries no speech are judged.
    pub fn judging_a_deaf_line(mut self, allowed: bool) -> Self {
        self.judge_deaf_line = allowed;
        self
    }

    /// An earlier process held the interview. With a call that may live on, its death made a gap in it.
    pub fn taken_over(mut self, opened_at: Option<Timestamp>, in_call: bool) -> Self {
        self.taken_over = true;
        self.opened_at = opened_at;
        // What stands last, not what has the highest time or number: the clock may have been set, words may have come late.
        let by_our_sideband = |slot: &&mut Slot| slot.source == Source::Sideband;
        let latest = self.slots.iter_mut().rfind(by_our_sideband).map_or(self.last_heard, |slot| slot.at);
        let is_recent = |slot: &Slot| (latest - slot.at).abs() <= client_report::LATEST_WORDS;
        for (back, slot) in self.slots.iter_mut().rev().filter(by_our_sideband).enumerate() {
            // The last turn and its answer may have been under way, whatever the clock says.
            if back >= 2 && !is_recent(slot) {
                break;
            }
            // A process that stops in order settles what it cannot wait for.
            if in_call && slot.lacks_words() {
                slot.orphaned = Some(Cause::Ours);
            }
        }
        self.hearing.taken_over();
        let mut believed = self.believe_unheard();
        if !in_call {
            believed.extend(self.admit_tails());
            self.hearing.call_over();
        }
        let beside = 0..self.slots.len();
        believed.extend(beside.filter_map(|index| self.believe_client_report(index)).collect::<Vec<_>>());
        self.late.extend(believed);
        self
    }

    /// Entries that changed and were not told yet.
    pub fn take_late(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.late)
    }

    /// A call was opened, a new chapter: items that arrive from now on belong to it. Our sideband is not in it yet.
    pub fn call_opened(&mut self, segment: i32, cause: Cause, now: Timestamp) {
        self.segment = self.segment.max(segment);
        self.heard_at_earlier = self.heard_at;
        self.begun_too_late.clear();
        self.opened_at.get_or_insert(now);
        self.gaps_before_call = self.hearing.gaps();
        self.carries_speech = false;
        self.hearing.call_opened(cause, self.steady);
    }

    /// The chapters before the one that is open are over: what is not settled in them never will be.
    pub fn give_up_earlier_calls(&mut self, cause: Cause) -> Vec<Entry> {
        let mut entries = self.orphan_open_slots(cause, true, self.segment - 1);
        entries.extend(self.admit_tails_of_earlier_calls(cause));
        entries
    }

    /// The call is over.
    pub fn call_over(&mut self, cause: Cause) -> Vec<Entry> {
        self.release_what_was_no_turn();
        let mut entries = self.orphan_open_slots(cause, true, i32::MAX);
        entries.extend(self.admit_tails());
        self.hearing.call_over();
        entries
    }

    /// Our sideband into the call broke: the words of what is unfinished may never come.
    pub fn sideband_lost(&mut self) -> Vec<Entry> {
        self.sideband_broke(Cause::Ours)
    }

    /// The same by something that the browser can bring about at will: the gap is not the browser's to fill.
    pub fn sideband_broken_by_client(&mut self) -> Vec<Entry> {
        self.sideband_broke(Cause::Client)
    }

    fn sideband_broke(&mut self, cause: Cause) -> Vec<Entry> {
        if !self.hearing.lost(cause, self.steady) {
            return vec![];
        }
        let mut entries = self.orphan_open_slots(cause, false, i32::MAX);
        entries.extend(self.believe_unheard());
        entries
    }

    /// Our sideband brings something, or answers: what was told before was said while it was up.
    pub fn sideband_is_alive(&mut self, now: Timestamp) {
        if self.hearing.is_up() {
            self.copy.sideband_is_alive(self.segment);
            (self.last_heard, self.heard_at) = (now, self.steady);
        }
    }

    pub fn sideband_back(&mut self, now: Timestamp) -> Vec<Entry> {
        self.hearing.back(self.steady);
        self.hole = self.hearing.cause(self.hearing.gaps());
        (self.last_heard, self.heard_at) = (now, self.steady);
        self.take_late()
    }

    /// Our sideband is up and carries no speech of the candidate: what only the browser tells is doubtful.
    pub fn sideband_is_deaf(&mut self) -> Vec<Entry> {
        self.hearing.deaf = true;
        self.doubt_told()
    }

    /// Somebody changed how the candidate's audio is transcribed: no word of the browser settles what is open now.
    pub fn transcription_tampered(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.settled.is_none() && slot.speaker == Some(Speaker::Candidate)) {
            slot.tampered = true;
        }
    }

    /// Whether our own sideband hears the call now.
    pub fn is_heard(&self) -> bool {
        self.hearing.is_up() && !self.hearing.deaf
    }

    /// The call that was opened last.
    pub fn segment(&self) -> i32 {
        self.segment
    }

    /// When the first call of the interview was opened.
    pub fn opened_at(&self) -> Option<Timestamp> {
        self.opened_at
    }

    /// Everything that is settled, in order: also what is no word of the record.
    pub fn all_entries(&self) -> Vec<Entry> {
        self.slots.iter().filter(|slot| !slot.silent).filter_map(Slot::entry).collect()
    }

    /// The authoritative entries in order.
    pub fn entries(&self) -> Vec<Entry> {
        self.slots.iter().filter(|slot| slot.authoritative).filter_map(Slot::entry).collect()
    }

    /// What a new call is told of the chapters before it: also what was heard of a turn that is not finished. A greeting that the
    /// new call cuts off was heard all the same.
    pub fn history(&self) -> Vec<Entry> {
        let was_heard =
            |slot: &&Slot| slot.authoritative && slot.doubt != Some(Doubt::Written) && slot.typed != Some(Typed::Kept);
        let before = self.slots.iter().filter(|slot| slot.segment < self.segment).filter(was_heard);
        before.filter_map(|slot| slot.entry().or_else(|| slot.so_far())).collect()
    }

    /// How many authoritative entries are settled.
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.authoritative && slot.entry().is_some()).count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Answers of the candidate that are settled.
    pub fn turns(&self) -> usize {
        let was_said = |slot: &Slot| slot.authoritative && !slot.doubt.is_some_and(Doubt::was_never_said);
        let counts = |slot: &&Slot| was_said(slot) && slot.speaker == Some(Speaker::Candidate) && slot.entry().is_some();
        self.slots.iter().filter(counts).count()
    }

    /// Whether the words of this turn were most likely said by nobody.
    pub fn was_never_said(&self, item: &ItemId) -> bool {
        let of_item = |slot: &&Slot| slot.item.as_ref() == Some(item);
        self.slots.iter().rev().find(of_item).is_some_and(|slot| slot.doubt.is_some_and(Doubt::was_never_said))
    }

    /// Turns of the candidate that something of the interviewer stands behind.
    pub fn answered_turns(&self) -> Vec<ItemId> {
        let replies = self.slots.iter().rposition(|slot| slot.speaker == Some(Speaker::Ai)).unwrap_or_default();
        let turns = self.slots.iter().take(replies).filter(|slot| slot.speaker == Some(Speaker::Candidate));
        turns.filter_map(|slot| slot.item.clone()).collect()
    }

    /// The candidate's turn, if it is the last that anybody told of: nothing of the interviewer stands behind it.
    pub fn unanswered_turn(&self) -> Option<ItemId> {
        let counts = |slot: &Slot| slot.authoritative || self.may_have_fallen_into_gap(slot);
        let speaks = |slot: &&Slot| counts(slot) && !slot.silent && !slot.wordless && slot.item.is_some();
        let last = self.slots.iter().rfind(speaks).filter(|last| last.speaker == Some(Speaker::Candidate))?;
        // Whoever speaks on is not answered yet.
        last.item.clone().filter(|_| last.settled.is_some())
    }

    /// Also by the browser's word alone, where a process before us may have heard it and stored nothing.
    pub fn has_spoken(&self, speaker: Speaker) -> bool {
        let counts = |slot: &Slot| slot.authoritative || self.taken_over && slot.item.is_some();
        self.slots.iter().any(|slot| counts(slot) && slot.speaker == Some(speaker) && slot.settled.is_some())
    }

    pub fn can_be_judged(&self) -> bool {
        can_be_judged(self.slots.iter().filter_map(Slot::entry))
    }

    /// Whether someone spoke and the words are still awaited, or the browser told of an item that our sideband did not
    /// bring: it may be dead.
    pub fn awaits_words(&self) -> bool {
        self.slots.iter().any(|slot| slot.is_open() && !self.was_no_turn(slot)) || self.sideband_is_in_doubt()
    }

    fn was_no_turn(&self, slot: &Slot) -> bool {
        self.hearing.is_up() && slot.was_no_turn(self.hearing.gaps(), self.steady)
    }

    /// Speech that was no turn leaves no line. Decided while our sideband still hears the call.
    fn release_what_was_no_turn(&mut self) {
        for index in 0..self.slots.len() {
            self.slots[index].silent |= self.was_no_turn(&self.slots[index]);
        }
    }

    /// The same of the chapters before the one that is open.
    pub fn awaits_words_of_earlier_calls(&self) -> bool {
        self.slots.iter().any(|slot| slot.is_open() && slot.segment < self.segment) || self.earlier_sideband_is_in_doubt()
    }

    fn knows_item(&self, item: &ItemId) -> bool {
        self.index_of(item).is_some()
    }

    fn is_open(&self, item: &ItemId) -> bool {
        self.index_of(item).is_some_and(|index| self.slots[index].is_open())
    }

    /// So much time has passed; it goes on while the wall clock is set.
    pub fn at_steady(&mut self, since_begin: Duration) {
        self.steady = since_begin;
    }

    /// Take in what happened. Returns the entries that are new or changed.
    pub fn apply(&mut self, event: &VoiceEvent, now: Timestamp) -> Vec<Entry> {
        self.sideband_is_alive(now);
        self.carries_speech |= event.is_candidate_speech();
        self.take_in(event, now)
    }

    /// The same of the sideband into a call that was replaced: only the words count that were on their way.
    pub fn apply_late(&mut self, event: &VoiceEvent, now: Timestamp) -> Vec<Entry> {
        match event {
            VoiceEvent::SpeechStarted { item, .. }
            | VoiceEvent::ItemPlaced { item, .. }
            | VoiceEvent::ReplyItem { item, .. }
            | VoiceEvent::ItemCut { item, .. }
                if !self.knows_item(item) && self.begun_too_late.len() < MOST_LATE =>
            {
                self.begun_too_late.push(item.clone());
                vec![]
            }
            // Its final words may be empty: then these are all there is.
            VoiceEvent::CandidateWords { item, .. } | VoiceEvent::ReplyWords { item, .. } if self.is_open(item) => {
                self.take_in(event, now)
            }
            VoiceEvent::CandidateSettled { item, .. }
            | VoiceEvent::CandidateFailed { item }
            | VoiceEvent::ReplySettled { item, .. }
                if self.knows_item(item) || self.may_have_been_missed(item) =>
            {
                if !self.knows_item(item) {
                    self.insert_earlier(item, now);
                }
                self.take_in(event, now)
            }
            _ => vec![],
        }
    }

    /// An unknown item of a replaced call: nothing shows that it began only after that.
    fn may_have_been_missed(&self, item: &ItemId) -> bool {
        self.begun_too_late.len() < MOST_LATE && !self.begun_too_late.contains(item)
    }

    fn take_in(&mut self, event: &VoiceEvent, now: Timestamp) -> Vec<Entry> {
        let touched = match event {
            VoiceEvent::SpeechStarted { item, start_ms } => {
                let slot = self.slot(item, now);
                slot.speaker = Some(Speaker::Candidate);
                slot.spoken = true;
                // A turn in several parts has one beginning.
                slot.started_ms = slot.started_ms.or(start_ms.map(Millis::new));
                vec![]
            }
            VoiceEvent::SpeechStopped { item, end_ms } => {
                let steady = self.steady;
                let slot = self.begun(item, now);
                slot.spoken = true;
                slot.ended_ms = end_ms.map(Millis::new);
                slot.stopped_at = Some(steady);
                vec![]
            }
            VoiceEvent::ItemPlaced { item, previous, content } => self.place(item, previous.as_ref(), *content, now),
            VoiceEvent::ItemDeleted { item } => {
                // What was said stays said, and the chain that goes on without it does not move it.
                self.slot(item, now).deleted = true;
                vec![]
            }
            VoiceEvent::CandidateWords { item, delta } => {
                self.add_words(item, Speaker::Candidate, delta, now);
                vec![]
            }
            VoiceEvent::CandidateSettled { item, text, recognition } => {
                let touched = self.settle(item, Speaker::Candidate, Some(text), Status::Final, now);
                for item in &touched {
                    self.doubt_words(item, recognition);
                }
                touched
            }
            VoiceEvent::CandidateFailed { item } => self.settle(item, Speaker::Candidate, None, Status::Failed, now),
            VoiceEvent::ReplyStarted { reply, in_conversation, .. } => {
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
                slot.spoken = true;
                slot.commentary |= commentary;
                slot.silent |= silent;
                vec![]
            }
            VoiceEvent::ReplyWords { item, delta } => {
                self.add_words(item, Speaker::Ai, delta, now);
                vec![]
            }
            VoiceEvent::ReplySettled { item, text } => self.settle(item, Speaker::Ai, Some(text), Status::Final, now),
            VoiceEvent::ReplyDone { reply, texts, tokens, delivery, .. } => {
                let mut touched = self.reply_done(reply, texts, tokens.map(|tokens| tokens.output_audio), now);
                if *delivery == Delivery::Text {
                    touched.extend(self.mark_written(reply));
                }
                touched
            }
            VoiceEvent::PlaybackCut { reply } => self.mark_cut(reply),
            VoiceEvent::ItemCut { item, heard_ms } => {
                let slot = self.begun(item, now);
                slot.speaker.get_or_insert(Speaker::Ai);
                slot.spoken = true;
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
        let mut entries: Vec<Entry> = touched.iter().filter_map(|item| self.revise(item)).collect();
        entries.extend(self.take_late());
        entries
    }

    fn add_words(&mut self, item: &ItemId, speaker: Speaker, delta: &str, now: Timestamp) {
        let slot = self.begun(item, now);
        slot.speaker.get_or_insert(speaker);
        slot.spoken = true;
        slot.add_words(delta);
    }

    /// Nothing is heard any more: what is not settled now never will be.
    pub fn close(&mut self) -> Vec<Entry> {
        self.settle_open(false)
    }

    /// This process stops; another may take the interview up. It believes what the browser told of what we did not hear
    /// to its end, so that is not taken from it: it stands beside, acknowledged.
    pub fn interrupt(&mut self) -> Vec<Entry> {
        self.settle_open(true)
    }

    fn settle_open(&mut self, copies_stay: bool) -> Vec<Entry> {
        self.release_what_was_no_turn();
        let mut entries = self.take_late();
        entries.extend(self.admit_tails());
        let open: Vec<usize> = (0..self.slots.len()).filter(|index| self.slots[*index].is_open()).collect();
        for index in open {
            if copies_stay && self.slots[index].may_stay_beside() {
                continue;
            }
            if let Some(entry) = self.believe_client_report(index) {
                entries.push(entry);
                continue;
            }
            let slot = &mut self.slots[index];
            slot.text = slot.words_heard();
            slot.settled = Some(if slot.text.is_empty() { Status::Missing } else { Status::Partial });
            entries.extend(self.revise_at(index));
        }
        entries
    }

    fn place(&mut self, item: &ItemId, previous: Option<&ItemId>, content: ItemContent, now: Timestamp) -> Vec<ItemId> {
        if self.typed_is_placed(item) {
            return vec![];
        }
        let (just_come, steady, gaps) = (self.hearing.has_just_come(self.steady), self.steady, self.hearing.gaps());
        let carries_speech = self.carries_speech;
        let is_message = matches!(content, ItemContent::Message { .. });
        if !self.knows_item(item) && content != ItemContent::Committed && !(is_message && just_come) {
            if self.silent_items >= MOST_SILENT {
                return vec![];
            }
            self.silent_items += 1;
        }
        let behind_unknown = previous.is_some_and(|previous| self.index_of(previous).is_none());
        let slot = self.slot(item, now);
        let placed_before = slot.placed.is_some();
        slot.placed.get_or_insert(gaps);
        match content {
            ItemContent::Committed => {
                slot.speaker.get_or_insert(Speaker::Candidate);
                (slot.spoken, slot.unproven) = (true, false);
                slot.committed_at.get_or_insert(steady);
            }
            // Whether its audio was committed our sideband may not have been there to hear.
            ItemContent::Message { speaker, commentary } if slot.spoken || just_come => {
                // It may as well have been put there by hand: only what our sideband hears of it counts.
                slot.unproven |= !slot.spoken;
                slot.speaker.get_or_insert(speaker);
                slot.spoken = true;
                slot.commentary |= commentary;
            }
            ItemContent::Typed if slot.spoken => {}
            ItemContent::Message { .. } | ItemContent::Typed | ItemContent::Silent => {
                slot.silent = slot.settled.is_none();
                let of_candidate = matches!(content, ItemContent::Message { speaker: Speaker::Candidate, .. });
                slot.unheard = slot.silent && of_candidate && !carries_speech;
            }
        }
        let says = slot.spoken && !slot.silent && slot.speaker.is_some();
        if says && !slot.unproven {
            self.deleted_in_gap(item, previous);
        }
        if self.hole.is_some()
            && let Some(known) = self.continues(item, previous)
        {
            self.hearing.gaps_are_empty_since(known);
            self.withdraw_told();
        }
        // What is put there by hand may stand anywhere: only what is said has the gap before it, or what stands behind
        // an item that we do not know.
        if (says || behind_unknown)
            && let Some(hole) = self.hole.take()
        {
            let slot = self.slot(item, now);
            slot.hole = slot.hole.or(Some(hole));
        }
        let moved = self.reposition(item, previous, placed_before);
        if says && let Some(index) = self.index_of(item) {
            // Numbers follow the conversation even when the words come late.
            self.number_slot(index);
        }
        if moved { vec![item.clone()] } else { vec![] }
    }

    /// What is said takes its place at the end of the conversation. So what we know behind its predecessor, and heard
    /// before our gap, somebody deleted in the gap.
    fn deleted_in_gap(&mut self, item: &ItemId, previous: Option<&ItemId>) {
        let Some(from) = previous.map_or(Some(0), |previous| self.index_of(previous).map(|index| index + 1)) else { return };
        let (segment, gaps) = (self.segment, self.hearing.gaps());
        if self.hole.is_none() {
            return;
        }
        let before_gap =
            |slot: &Slot| slot.segment == segment && slot.placed.is_some() && slot.named.is_some_and(|named| named < gaps);
        let gone = self.slots[from..].iter_mut().filter(|slot| before_gap(slot) && slot.item.as_ref() != Some(item));
        gone.for_each(|slot| slot.deleted = true);
    }

    /// Where nothing that we do not know stands before the item: how many gaps there were when the one before it was placed.
    fn continues(&self, item: &ItemId, previous: Option<&ItemId>) -> Option<usize> {
        // What has only begun is not in the chain yet.
        let is_in_chain = |slot: &Slot| slot.named.is_some() && slot.spoken && (slot.placed.is_some() || slot.begun_unheard);
        let of_call = |slot: &&Slot| slot.segment == self.segment && is_in_chain(slot) && slot.item.as_ref() != Some(item);
        let (from, heard) = match previous {
            Some(previous) => {
                let index = self.index_of(previous)?;
                let before = &self.slots[index];
                // It may have begun before the gap that the one before it fell into.
                (index + 1, before.named.and(before.placed)?)
            }
            None => (0, self.gaps_before_call),
        };
        // What somebody deleted has gone from the chain, and was heard all the same.
        let mut behind = self.slots[from..].iter().filter(of_call).peekable();
        let mut heard_last = heard;
        while let Some(deleted) = behind.next_if(|slot| slot.deleted) {
            heard_last = heard_last.max(deleted.placed.unwrap_or(0));
        }
        (previous.is_some() || behind.peek().is_none()).then_some(heard_last)
    }

    /// Put the item right behind its predecessor. True when it had stood elsewhere.
    fn reposition(&mut self, item: &ItemId, previous: Option<&ItemId>, placed_before: bool) -> bool {
        let Some(from) = self.index_of(item) else { return false };
        let segment = self.slots[from].segment;
        let after = match previous {
            Some(previous) => {
                let known = self.index_of(previous);
                if known.is_none() {
                    // Stay where arrival put it; the browser may tell what stands before. One that has its place keeps it.
                    if !placed_before {
                        self.slots[from].awaits = Some(previous.clone());
                    }
                    return false;
                }
                self.slots[from].awaits = None;
                self.chain_names(previous, from);
                known
            }
            None => self.slots.iter().rposition(|slot| slot.segment < segment),
        };
        let mut to = after.map_or(0, |index| index + 1);
        // What was told without a place of its own stands where it was told, what somebody deleted where it was said:
        // before what comes later.
        // So does what is known by its end alone: its place was told when nobody listened.
        let by_end = |slot: &Slot| slot.begun_unheard && slot.placed.is_none();
        let has_no_place = |slot: &Slot| slot.item.is_none() || slot.deleted || slot.is_unnamed() || by_end(slot);
        while to < from && has_no_place(&self.slots[to]) {
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
        let position = self.position_at(to);
        self.slots.insert(to, Slot { position, ..slot });
        true
    }

    fn settle(&mut self, item: &ItemId, speaker: Speaker, text: Option<&str>, status: Status, now: Timestamp) -> Vec<ItemId> {
        let slot = self.begun(item, now);
        if slot.typed.is_some() {
            return vec![];
        }
        slot.speaker.get_or_insert(speaker);
        slot.spoken = true;
        let text = Text::new(text.unwrap_or_default()).trimmed();
        if (status == Status::Failed || text.is_empty()) && slot.source == Source::Browser && slot.settled.is_some() {
            // The provider has no words; the browser's are better than none, and stay the browser's.
            return vec![];
        }
        // Final words that are empty, or that nobody can read, take nothing from those that came before.
        let text = match (text.is_empty(), slot.settled) {
            (true, None) => slot.words_heard(),
            (true, Some(_)) => slot.text.clone(),
            (false, _) => text,
        };
        let stronger = slot.source == Source::Browser
            || slot.settled.is_none()
            || slot.settled == Some(Status::Missing)
            || slot.settled == Some(Status::Partial);
        if !stronger && (slot.text == text || status == Status::Failed) {
            return vec![];
        }
        // Nothing was heard of it, and a gap of ours explains that: somebody may have said something all the same.
        let fell_into_gap = slot.orphaned == Some(Cause::Ours);
        let status = if status == Status::Final && text.is_empty() && fell_into_gap { Status::Missing } else { status };
        slot.wordless = speaker == Speaker::Candidate && status == Status::Final && text.is_empty();
        slot.text = text;
        slot.settled = Some(status);
        slot.source = Source::Sideband;
        slot.authoritative = true;
        slot.doubt = None;
        vec![item.clone()]
    }

    /// Whether somebody said what the provider heard.
    fn doubt_words(&mut self, item: &ItemId, recognition: &Recognition) {
        let Some(index) = self.index_of(item) else { return };
        self.slots[index].recognition = recognition.clone();
        let heard = &self.slots[index];
        if heard.settled != Some(Status::Final) || heard.text.is_empty() {
            return;
        }
        let of_interviewer = self.slots[..index].iter().rev().filter(|slot| slot.speaker == Some(Speaker::Ai) && !slot.silent);
        let before: Vec<Text> = of_interviewer
            .take(INTERVIEWER_BEFORE)
            .map(|slot| if slot.text.is_empty() { slot.words_heard() } else { slot.text.clone() })
            .collect();
        let before: Vec<&str> = before.iter().map(Text::as_str).collect();
        let turn = Turn { text: &heard.text, speech: heard.speech(), recognition: &heard.recognition, before: &before };
        self.slots[index].doubt = turn.doubt();
    }

    /// The reply came as text: it is the interviewer's, and nobody heard it.
    fn mark_written(&mut self, reply: &ReplyId) -> Vec<ItemId> {
        let of_reply = self.slots.iter_mut().filter(|slot| slot.reply.as_ref() == Some(reply) && slot.doubt.is_none());
        let marked = of_reply.filter_map(|slot| {
            slot.doubt = Some(Doubt::Written);
            slot.item.clone()
        });
        marked.collect()
    }

    fn reply_done(
        &mut self,
        reply: &ReplyId,
        texts: &[(ItemId, String)],
        audio_tokens: Option<u32>,
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
            slot.audio_ms = Some(Millis::new(u64::from(tokens) * MS_PER_AUDIO_TOKEN));
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
        let slot = &self.slots[index];
        if slot.silent || slot.wordless {
            return None;
        }
        if slot.settled.is_none() {
            // What stands beside is stored: so is what becomes known of it.
            slot.beside()?;
            self.slots[index].revision += 1;
            return self.slots[index].beside();
        }
        self.number_slot(index);
        self.slots[index].revision += 1;
        self.slots[index].entry()
    }

    fn slot(&mut self, item: &ItemId, now: Timestamp) -> &mut Slot {
        self.slot_since(item, now, true)
    }

    fn slot_since(&mut self, item: &ItemId, now: Timestamp, its_begin: bool) -> &mut Slot {
        let index = self.index_of(item).unwrap_or_else(|| self.insert(item, now));
        self.line_names(index, its_begin);
        &mut self.slots[index]
    }

    /// As [`Self::slot`], for what no item begins with: of one that we hear of by it first, we missed
    /// the beginning, and perhaps all its words.
    fn begun(&mut self, item: &ItemId, now: Timestamp) -> &mut Slot {
        let late = self.index_of(item).is_none_or(|index| self.slots[index].named.is_none());
        let cause = self.hearing.cause(self.hearing.gaps());
        let slot = self.slot_since(item, now, false);
        if late {
            slot.orphaned = slot.orphaned.or(cause);
            slot.heard_begin = false;
            slot.begun_unheard = cause.is_some();
        }
        if late && let Some(index) = self.index_of(item) {
            // What the browser told of it before is all there may ever be.
            let believed = self.believe_client_report(index);
            self.late.extend(believed);
        }
        self.slot_since(item, now, false)
    }

    /// Before what is known to stand behind it, else at the end.
    fn insert(&mut self, item: &ItemId, now: Timestamp) -> usize {
        let behind = self.slots.iter().rposition(|slot| slot.awaits.as_ref() == Some(item));
        let (index, segment) = behind.map_or((self.slots.len(), self.segment), |index| (index, self.slots[index].segment));
        let position = self.position_at(index);
        if let Some(index) = behind {
            self.slots[index].awaits = None;
        }
        let slot = Slot::new(EntryKey::of_item(item), Some(item.clone()), segment, position, now);
        self.slots.insert(index, Slot { named: Some(self.hearing.gaps()), ..slot });
        index
    }

    /// It began in a call that was replaced, when our sideband did not hear it: it stands at the end of that call.
    fn insert_earlier(&mut self, item: &ItemId, now: Timestamp) {
        let index = self.slots.iter().position(|slot| slot.segment >= self.segment).unwrap_or(self.slots.len());
        let position = self.position_at(index);
        let slot = Slot::new(EntryKey::of_item(item), Some(item.clone()), self.segment - 1, position, now);
        let gaps = self.gaps_before_call;
        let orphaned = self.hearing.cause(gaps);
        self.slots.insert(index, Slot { named: Some(gaps), begun_unheard: true, heard_begin: false, orphaned, ..slot });
    }

    /// A position for what is to stand before the slot at `index`, or at the end.
    fn position_at(&mut self, index: usize) -> i64 {
        let before = index.checked_sub(1).map(|index| self.slots[index].position);
        if index == self.slots.len() {
            return before.unwrap_or(0) + STRIDE;
        }
        let before = before.unwrap_or(self.slots[index].position - 2 * STRIDE);
        self.make_room(index, before);
        before + (self.slots[index].position - before) / 2
    }

    /// Each that comes between two others halves their room: when it is used up, those behind move on, as few as need to.
    fn make_room(&mut self, from: usize, before: i64) {
        if self.slots[from].position - before > 1 {
            return;
        }
        let mut position = before + 2 * STRIDE;
        for index in from..self.slots.len() {
            if self.slots[index].position >= position {
                return;
            }
            self.slots[index].position = position;
            position += STRIDE;
            let moved = self.revise_at(index);
            self.late.extend(moved);
        }
    }

    fn number_slot(&mut self, index: usize) -> i32 {
        *self.slots[index].seq.get_or_insert_with(|| {
            self.last_seq += 1;
            self.last_seq
        })
    }
}

#[cfg(test)]
mod forgery_tests;
#[cfg(test)]
mod gap_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod typed_tests;
