//! The browser's report of what was said, beside what our sideband hears.
//!
//! The browser belongs to the candidate. So its report fills gaps and changes nothing (decision 14, docs/PROTOCOL.md "What
//! counts as said"). It becomes a word of the record only for
//! - an item that our sideband has named and was cut off from before its words came,
//! - an item that the provider's own chain names: the predecessor of one that we heard after a gap,
//! - items that stand in the browser's copy between one that we heard before a gap of ours and one after it.
//!
//! A report about the end of a gap that never closes is in the record with a doubt. Everything else is kept beside the record.

use super::Transcript;
use super::entry::{ClientReport, Doubt, Entry, Source, Status};
use super::hearing::Cause;
use super::slot::Slot;
use crate::edge::{EntryKey, Timestamp};
use crate::ids::ItemId;
use crate::voice::Speaker;
use std::collections::VecDeque;
use time::Duration;

/// Items told in a row of which our sideband knows nothing. An honest browser tells of a gap of an hour in less.
const LONGEST_RUN: usize = 512;
/// Browsers relay words when they are final, a little out of the order in which they were said: a told item's neighbours
/// are the two known ones before and after it.
const NEIGHBOURS: usize = 2;
/// Words of committed audio come within seconds. What waited longer when the sideband was last heard was not lost with it.
pub(super) const LATEST_WORDS: Duration = Duration::seconds(20);

/// An item that only the browser has told of.
#[derive(Debug)]
struct Told {
    item: ItemId,
    segment: i32,
    /// Gaps when the known items before it were heard: it may have been said in a later one.
    after: usize,
    /// The last gap that it may have been said in.
    last: usize,
    /// Told while our sideband seemed to be up, and nothing came on it since: the sideband may be dead.
    unheard: bool,
    /// Told shortly before the sideband was lost: perhaps in the gap, perhaps while the sideband was there to hear.
    doubtful: bool,
    /// Known items told after it.
    followed_by: usize,
}

/// The browser's copy as far as it matters: the last items that we know, and those told since that we do not.
#[derive(Debug, Default)]
pub(super) struct Copy {
    run: VecDeque<Told>,
    /// Of the last known items that were told: segment, and how many gaps there were when each was heard.
    known: VecDeque<(i32, usize)>,
    /// It has the final words of an item that our sideband, which seems to be up, has not finished; nothing came on it since.
    is_ahead: bool,
}

impl Copy {
    /// Our sideband hears: what was told before was said while it was up.
    pub(super) fn sideband_is_alive(&mut self, segment: i32) {
        self.is_ahead = false;
        for told in self.run.iter_mut().filter(|told| told.segment == segment) {
            told.unheard = false;
        }
    }
}

impl Transcript {
    /// Take in the browser's word. Returns the entry to store: the acknowledgement means that
    /// its row is there, so a repetition yields it again.
    pub fn client_report(&mut self, client_report: ClientReport, now: Timestamp) -> Vec<Entry> {
        self.hearing.outlasts_client(self.steady);
        let Some(item) = client_report.item_id.clone() else { return self.note(client_report, now).into_iter().collect() };
        match self.index_of(&item) {
            Some(index) if self.slots[index].is_unnamed() => self.slots[index].entry().into_iter().collect(),
            Some(index) => {
                let mut entries = self.tell_known(index, None);
                entries.extend(self.client_report_of_named(index, client_report, now));
                entries
            }
            None => self.client_report_of_unknown(client_report, item, now),
        }
    }

    /// Words that name no item: kept, once. Nothing that is heard can be held against them.
    fn note(&mut self, client_report: ClientReport, now: Timestamp) -> Option<Entry> {
        if let Some(known) = self.told_before(&client_report) {
            return known.entry();
        }
        let doubt = if self.opened_at.is_some() { Doubt::NoItem } else { Doubt::NoCall };
        let index = self.insert_client_report(client_report, doubt, now);
        self.slots[index].entry()
    }

    fn told_before(&self, client_report: &ClientReport) -> Option<&Slot> {
        let same = || self.slots.iter().rev().take(16).find(|slot| is_the_same(slot, client_report));
        self.slots.iter().find(|slot| slot.key == client_report.key).or_else(same)
    }

    /// Whether the browser's word changes nothing: it, or the truth, is here already.
    pub fn knows(&self, client_report: &ClientReport) -> bool {
        let of_item = client_report.item_id.as_ref().and_then(|item| self.index_of(item)).map(|index| &self.slots[index]);
        match of_item {
            Some(slot) => slot.silent && !slot.unheard || slot.settled.is_some() && !slot.lacks_words(),
            None => self.told_before(client_report).is_some(),
        }
    }

    // ---- items that our sideband has named ----

    fn client_report_of_named(&mut self, index: usize, client_report: ClientReport, now: Timestamp) -> Option<Entry> {
        let slot = &mut self.slots[index];
        match slot.settled {
            Some(_) if !slot.lacks_words() => return slot.entry(),
            None if slot.unheard => return self.client_report_of_unheard(index, client_report, now),
            None if slot.silent => return None,
            Some(_) | None => {}
        }
        slot.speaker.get_or_insert(client_report.speaker);
        slot.spoken |= slot.may_be_filled();
        slot.client_report.get_or_insert(client_report.text);
        if let Some(entry) = self.believe_client_report(index) {
            return Some(entry);
        }
        if self.slots[index].settled.is_some() {
            return self.slots[index].entry();
        }
        // Kept beside, to be overwritten by the truth under the same key.
        self.copy.is_ahead |= self.slots[index].segment == self.segment;
        self.number_slot(index);
        self.slots[index].beside()
    }

    /// Our sideband tells that the candidate's item is there, and carries no speech: kept, as all that a deaf line leaves.
    fn client_report_of_unheard(&mut self, index: usize, client_report: ClientReport, now: Timestamp) -> Option<Entry> {
        let (deaf, judged) = (self.hearing.deaf, self.judge_deaf_line);
        let at = Timestamp::of_live_event(client_report.claimed, self.opened_at, now);
        let slot = &mut self.slots[index];
        slot.silent = false;
        slot.speaker = Some(Speaker::Candidate);
        slot.at = at;
        slot.claimed_at = (client_report.claimed != Some(at)).then_some(client_report.claimed_at);
        slot.text = client_report.text.trimmed();
        slot.settled = Some(Status::Final);
        slot.source = Source::Browser;
        slot.authoritative = deaf && judged;
        slot.doubt = Some(if deaf { Doubt::DeafSideband } else { Doubt::Unconfirmed });
        self.revise_at(index)
    }

    /// Settle the slot by the browser's word, where a gap of ours took the words and what we heard of it agrees.
    pub(super) fn believe_client_report(&mut self, index: usize) -> Option<Entry> {
        let slot = &mut self.slots[index];
        let words = slot.client_report.clone().filter(|_| slot.may_be_filled())?.trimmed();
        if words.is_empty() || !slot.agrees_with(&words) {
            return None;
        }
        slot.text = words;
        slot.settled = Some(Status::Final);
        slot.source = Source::Browser;
        slot.doubt = slot.cut_by_end.then_some(Doubt::UnclosedGap);
        self.revise_at(index)
    }

    /// The sideband, or the call, is gone: the words of what is unfinished may never come.
    pub(super) fn orphan_open_slots(&mut self, cause: Cause, by_end: bool, up_to_segment: i32) -> Vec<Entry> {
        let (segment, heard_at, heard_at_earlier) = (self.segment, self.heard_at, self.heard_at_earlier);
        let is_meant = |slot: &Slot| slot.is_open() && slot.segment <= up_to_segment;
        let open: Vec<usize> = (0..self.slots.len()).filter(|index| is_meant(&self.slots[*index])).collect();
        for &index in &open {
            let slot = &mut self.slots[index];
            slot.break_off();
            let heard_at = if slot.segment < segment { heard_at_earlier } else { heard_at };
            let overdue = slot.committed_at.is_some_and(|at| heard_at - at > LATEST_WORDS);
            if slot.orphaned.is_none() && !overdue {
                slot.orphaned = Some(cause);
                slot.cut_by_end = by_end;
            }
        }
        open.into_iter().filter_map(|index| self.believe_client_report(index)).collect()
    }

    // ---- items that our sideband has not named ----

    fn client_report_of_unknown(&mut self, client_report: ClientReport, item: ItemId, now: Timestamp) -> Vec<Entry> {
        if self.opened_at.is_none() {
            let index = self.insert_client_report(client_report, Doubt::NoCall, now);
            return self.slots[index].entry().into_iter().collect();
        }
        let doubt = if self.hearing.deaf { Doubt::DeafSideband } else { Doubt::Unconfirmed };
        let chained = self.slots.iter().position(|slot| slot.awaits.as_ref() == Some(&item));
        let hole = chained.and_then(|index| self.slots[index].hole);
        let named = chained.and_then(|index| self.slots[index].named);
        let index = self.insert_client_report(client_report, doubt, now);
        if chained.is_some() && hole == Some(Cause::Ours) && !self.hearing.deaf {
            let mut entries = self.name(index, named.unwrap_or(self.hearing.gaps()));
            entries.extend(self.slots[index].entry());
            return entries;
        }
        self.remember_told(item, index);
        let told = self.tail_so_far(index);
        vec![told.or_else(|| self.slots[index].entry())].into_iter().flatten().collect()
    }

    /// The browser tells what our sideband, which counts as up, has not brought, and nothing came on it since.
    pub fn sideband_is_in_doubt(&self) -> bool {
        let is_unheard = |told: &Told| told.unheard && told.segment == self.segment;
        self.hearing.is_up() && (self.copy.is_ahead || self.copy.run.iter().any(is_unheard))
    }

    /// The same of the sideband into a call that was replaced.
    pub(super) fn earlier_sideband_is_in_doubt(&self) -> bool {
        self.copy.run.iter().any(|told| told.unheard && told.segment < self.segment)
    }

    /// The browser alone tells of it, and our sideband may have been away when it was said.
    pub(super) fn may_have_fallen_into_gap(&self, slot: &Slot) -> bool {
        let told = self.copy.run.iter().find(|told| Some(&told.item) == slot.item.as_ref());
        told.is_some_and(|told| self.hearing.tail_between(told.after, told.last, self.steady))
    }

    fn remember_told(&mut self, item: ItemId, index: usize) {
        let segment = self.slots[index].segment;
        if self.copy.run.len() >= LONGEST_RUN || self.hearing.deaf {
            return;
        }
        // Before the first known item of a call there is the beginning of the call.
        let neighbours = self.copy.known.iter().filter(|(of, _)| *of == segment).map(|(_, gaps)| *gaps);
        let after = neighbours.min().unwrap_or(self.gaps_before_call);
        let last = self.hearing.gaps();
        self.slots[index].told_in = Some((after, last));
        self.copy.run.push_back(Told {
            item,
            segment,
            after,
            last,
            unheard: self.hearing.is_up(),
            doubtful: false,
            followed_by: 0,
        });
    }

    /// Told in a gap of ours that is open, or that has opened since without our noticing: in the record with a doubt
    /// until the gap closes behind it. So is what may have been said between two processes: nothing can ever show that
    /// nothing was, and where that gap lay only this process knows.
    fn tail_so_far(&mut self, index: usize) -> Option<Entry> {
        let item = self.slots[index].item.clone()?;
        let told = self.copy.run.iter().find(|told| told.item == item)?;
        let fell = if self.hearing.is_up() {
            self.hearing.died_between(told.after, told.last)
        } else {
            // Of a call that is over no gap closes any more.
            let open = if self.hearing.is_away() { self.hearing.gaps().saturating_sub(1) } else { 0 };
            self.hearing.tail_between(told.after.max(open), told.last, self.steady)
        };
        if fell { self.admit(index, Some(Doubt::UnclosedGap)) } else { None }
    }

    /// Our sideband is lost now; when it died nobody knows. What was told since it last brought anything was said in the gap.
    pub(super) fn believe_unheard(&mut self) -> Vec<Entry> {
        let (gap, segment) = (self.hearing.gaps(), self.segment);
        let mut items = Vec::new();
        // A sideband on which nothing came for so long was dead.
        let silent = self.steady - self.heard_at >= LATEST_WORDS;
        for told in self.copy.run.iter_mut().filter(|told| told.unheard && told.segment == segment) {
            (told.unheard, told.doubtful) = (false, !silent);
            told.last = gap;
            items.push((told.item.clone(), told.after));
        }
        let known = |(item, after)| Some((self.index_of(&item)?, after));
        let told: Vec<(usize, usize)> = items.into_iter().filter_map(known).collect();
        for (index, after) in &told {
            self.slots[*index].told_in = Some((*after, gap));
        }
        told.into_iter().filter_map(|(index, _)| self.tail_so_far(index)).collect()
    }

    /// The sideband into a call that was replaced brings something: it was there to hear.
    pub fn earlier_sideband_is_alive(&mut self) {
        self.heard_at_earlier = self.steady;
        let segment = self.segment;
        for told in self.copy.run.iter_mut().filter(|told| told.segment < segment) {
            told.unheard = false;
        }
    }

    /// The calls before the one that is open are over: no gap of theirs closes any more.
    pub(super) fn admit_tails_of_earlier_calls(&mut self, cause: Cause) -> Vec<Entry> {
        let segment = self.segment;
        let mut items = Vec::new();
        for told in self.copy.run.iter_mut().filter(|told| told.segment < segment) {
            // If the sideband into it was dead, what was told since it last brought anything was said in that gap.
            let unheard = std::mem::take(&mut told.unheard) && cause == Cause::Ours;
            if unheard || self.hearing.tail_between(told.after, told.last, self.steady) {
                items.push(told.item.clone());
            }
        }
        let indices: Vec<usize> = items.iter().filter_map(|item| self.index_of(item)).collect();
        indices.into_iter().filter_map(|index| self.admit(index, Some(Doubt::UnclosedGap))).collect()
    }

    /// The browser tells of an item that we know: those it told of before and after it have a neighbour. Or it told of one
    /// earlier that we know now (`told_as`): that is no neighbour of what it told of since.
    fn tell_known(&mut self, index: usize, told_as: Option<i32>) -> Vec<Entry> {
        let (segment, Some(gaps)) = (self.slots[index].segment, self.slots[index].named) else { return vec![] };
        // What was put into the call by hand, be it by us, is no neighbour of what was said.
        if self.slots[index].typed.is_some()
            || self.slots[index].silent
            || self.slots[index].unheard
            || std::mem::replace(&mut self.slots[index].told, true)
        {
            return vec![];
        }
        let heard = self.slots[index].source == Source::Sideband && self.slots[index].settled.is_some();
        let after = gaps.saturating_sub(usize::from(self.slots[index].begun_unheard));
        self.copy.known.push_back((segment, after));
        if self.copy.known.len() > NEIGHBOURS {
            self.copy.known.pop_front();
        }
        let is_later = |slot: &&Slot| told_as.is_some() && slot.source == Source::Browser && slot.seq > told_as;
        let later: Vec<ItemId> = self.slots.iter().filter(is_later).filter_map(|slot| slot.item.clone()).collect();
        let mut closed = Vec::new();
        for told in self.copy.run.iter_mut().filter(|told| !later.contains(&told.item)) {
            if told.segment == segment && self.hearing.ours_between(told.after, told.last.min(gaps)) {
                closed.push((told.item.clone(), told.doubtful.then_some(Doubt::UnclosedGap)));
            }
            if told.segment != segment {
                // Of another call: it says nothing of this one.
                continue;
            }
            // Of what was heard before that gap nothing follows for what stands behind it.
            // Nor while the sideband may be dead, for one whose words it did not bring.
            told.followed_by += usize::from(gaps >= told.last && (heard || !told.unheard));
            // Our sideband heard all of what was said after it, since the last gap: it would have heard this too.
            told.unheard &= !heard || gaps < self.hearing.gaps();
        }
        self.copy.run.retain(|told| told.followed_by < NEIGHBOURS && !closed.iter().any(|(item, _)| *item == told.item));
        let closed = closed.into_iter().filter_map(|(item, doubt)| Some((self.index_of(&item)?, doubt))).collect::<Vec<_>>();
        closed.into_iter().filter_map(|(index, doubt)| self.admit(index, doubt)).collect()
    }

    /// Our sideband, or the provider's chain, names an item that the browser has told of before.
    fn name(&mut self, index: usize, gaps: usize) -> Vec<Entry> {
        (self.slots[index].named, self.slots[index].begun_unheard) = (Some(gaps), true);
        self.admit(index, None);
        if let Some(item) = self.slots[index].item.clone() {
            self.copy.run.retain(|told| told.item != item);
        }
        self.tell_known(index, self.slots[index].seq)
    }

    /// Our sideband names it by an event of its own, after a gap of ours or while it is up and the browser was quicker.
    pub(super) fn line_names(&mut self, index: usize, its_begin: bool) {
        let gaps = self.hearing.gaps();
        let slot = &mut self.slots[index];
        if slot.named.is_some() {
            return;
        }
        slot.named = Some(gaps);
        slot.begun_unheard = !its_begin && gaps > 0;
        if slot.source != Source::Browser {
            return;
        }
        if slot.authoritative {
            // Said in a gap of ours, and it is there.
            slot.doubt = None;
        } else {
            // The truth is on its way: until then the browser's word stands beside it.
            slot.client_report = Some(std::mem::take(&mut slot.text));
            (slot.settled, slot.source, slot.authoritative, slot.doubt) = (None, Source::Sideband, true, None);
        }
        if let Some(item) = slot.item.clone() {
            self.copy.run.retain(|told| told.item != item);
        }
        let known = self.tell_known(index, self.slots[index].seq);
        self.late.extend(known);
    }

    /// The provider's chain names `item` as what was said before the slot at `index`.
    pub(super) fn chain_names(&mut self, item: &ItemId, index: usize) {
        let (hole, gaps) = (self.slots[index].hole, self.slots[index].named);
        if hole != Some(Cause::Ours) {
            return;
        }
        if let Some(told) = self.index_of(item)
            && self.slots[told].is_unnamed()
        {
            let entries = self.name(told, gaps.unwrap_or(self.hearing.gaps()));
            let own = self.slots[told].entry();
            self.late.extend(own.into_iter().chain(entries));
        }
    }

    /// The call, or the interview, is over: no gap closes any more. What was told of one of ours stays in the record,
    /// with the doubt.
    pub(super) fn admit_tails(&mut self) -> Vec<Entry> {
        self.hearing.outlasts_client(self.steady);
        let run = std::mem::take(&mut self.copy.run);
        let tails = run.into_iter().filter(|told| self.hearing.tail_between(told.after, told.last, self.steady));
        let indices: Vec<usize> = tails.filter_map(|told| self.index_of(&told.item)).collect();
        indices.into_iter().filter_map(|index| self.admit(index, Some(Doubt::UnclosedGap))).collect()
    }

    /// Our sideband is found to carry no speech of the candidate: what was told of items that it does not know is doubtful
    /// for that reason.
    pub(super) fn doubt_told(&mut self) -> Vec<Entry> {
        // That this sideband carries no speech says nothing of the sideband into a call before it.
        let (segment, run) = (self.segment, std::mem::take(&mut self.copy.run));
        let (run, of_earlier_calls): (VecDeque<Told>, _) = run.into_iter().partition(|told| told.segment == segment);
        self.copy.run = of_earlier_calls;
        let told = run.iter().filter_map(|told| self.index_of(&told.item)).filter(|index| self.slots[*index].is_unnamed());
        let mut doubtful: Vec<usize> = told.collect();
        let is_meant = |slot: &Slot| slot.unheard && slot.source == Source::Browser && slot.segment == self.segment;
        doubtful.extend((0..self.slots.len()).filter(|index| is_meant(&self.slots[*index])));
        let judged = self.judge_deaf_line;
        doubtful
            .into_iter()
            .filter_map(|index| {
                let slot = &mut self.slots[index];
                (slot.authoritative, slot.doubt) = (judged, Some(Doubt::DeafSideband));
                self.revise_at(index)
            })
            .collect()
    }

    /// The provider's chain shows that nothing fell into a gap: what only the browser told, and of that gap alone, was not
    /// said in it. What was told of calls before this one stays.
    pub(super) fn withdraw_told(&mut self) {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let told = slot.segment == self.segment && slot.source == Source::Browser && slot.is_unnamed();
            let stands = told && slot.authoritative && slot.doubt != Some(Doubt::DeafSideband);
            if let Some((after, last)) = slot.told_in.filter(|_| stands)
                && !self.hearing.ours_between(after, last)
            {
                let slot = &mut self.slots[index];
                (slot.authoritative, slot.doubt) = (false, Some(Doubt::Unconfirmed));
                let withdrawn = self.revise_at(index);
                self.late.extend(withdrawn);
            }
        }
    }

    /// Into the record. Nothing when it is there like that already.
    fn admit(&mut self, index: usize, doubt: Option<Doubt>) -> Option<Entry> {
        let slot = &mut self.slots[index];
        if slot.source != Source::Browser || slot.authoritative && (slot.doubt.is_none() || slot.doubt == doubt) {
            return None;
        }
        (slot.authoritative, slot.doubt) = (true, doubt);
        self.revise_at(index)
    }

    /// It stands before the first item whose predecessor is missing, else at the end: browsers tell in the order of the
    /// conversation. What names no item never stands before what was told like that earlier.
    fn insert_client_report(&mut self, client_report: ClientReport, doubt: Doubt, now: Timestamp) -> usize {
        let last_note = || self.slots.iter().rposition(|slot| slot.item.is_none());
        let from = if client_report.item_id.is_none() { last_note().map_or(0, |index| index + 1) } else { 0 };
        // A call before this one keeps waiting for what it is waiting for.
        let waits = |slot: &Slot| {
            slot.awaits.is_some() && (slot.segment == self.segment || slot.awaits.as_ref() == client_report.item_id.as_ref())
        };
        let awaiting = (from..self.slots.len()).find(|index| waits(&self.slots[*index]));
        if let Some(index) = awaiting
            && self.slots[index].awaits == client_report.item_id
        {
            self.slots[index].awaits = None;
        }
        let index = awaiting.unwrap_or(self.slots.len());
        let position = self.position_at(index);
        let key = client_report.item_id.as_ref().map_or(client_report.key, EntryKey::of_item);
        let segment = awaiting.map_or(self.segment, |index| self.slots[index].segment);
        let at = Timestamp::of_live_event(client_report.claimed, self.opened_at, now);
        let mut slot = Slot::new(key, client_report.item_id, segment, position, at);
        slot.claimed_at = (client_report.claimed != Some(at)).then_some(client_report.claimed_at);
        slot.speaker = Some(client_report.speaker);
        slot.text = client_report.text.trimmed();
        slot.source = Source::Browser;
        slot.authoritative = doubt == Doubt::DeafSideband && self.judge_deaf_line;
        slot.doubt = Some(doubt);
        slot.settled = Some(Status::Final);
        self.slots.insert(index, slot);
        self.number_slot(index);
        index
    }

    pub(super) fn index_of(&self, item: &ItemId) -> Option<usize> {
        // What is spoken of is nearly always recent.
        self.slots.iter().rposition(|slot| slot.item.as_ref() == Some(item))
    }

    /// Items of a process before us of which only the browser told, at the end of what is stored.
    pub(super) fn restore_told(&mut self) {
        // What our sideband heard later proves that it was there to hear.
        let in_full =
            |slot: &&Slot| slot.source == Source::Sideband && matches!(slot.settled, Some(Status::Final | Status::Failed));
        let heard = self.slots.iter().filter(in_full).filter_map(|slot| slot.seq).max();
        let told = self.slots.iter().rev().filter(|slot| slot.source == Source::Browser && slot.seq > heard);
        let in_a_gap = |slot: &&Slot| matches!(slot.doubt, Some(Doubt::Unconfirmed | Doubt::UnclosedGap)) && slot.is_unnamed();
        let told = told.filter(in_a_gap);
        let told: Vec<(ItemId, i32)> = told.filter_map(|slot| Some((slot.item.clone()?, slot.segment))).collect();
        let run = told.into_iter().take(LONGEST_RUN).rev();
        self.copy.run = run
            .map(|(item, segment)| Told { item, segment, after: 0, last: 0, unheard: true, doubtful: false, followed_by: 0 })
            .collect();
    }
}

fn is_the_same(slot: &Slot, client_report: &ClientReport) -> bool {
    client_report.item_id.is_none()
        && slot.settled.is_some()
        && slot.source == Source::Sideband
        && slot.speaker == Some(client_report.speaker)
        && words(&slot.text).eq(words(&client_report.text))
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}
