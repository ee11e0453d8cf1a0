//! The state that outlives every actor: the transcript, the outbox, and the browser's connection.
//!
//! The process owns it and the children share it. It is locked for moments only, never across an await.

use super::budget::Budget;
use super::mailbox_limit::MailboxLimit;
use crate::domain::ack_window::{AckWindow, Arrival};
use crate::domain::conduct::Recorded;
use crate::domain::edge::{ClientId, EntryKey, Label, Text, Timestamp};
use crate::domain::outbox::{Batch, Limits, Outbox};
use crate::domain::outbox_record::Record;
use crate::domain::protocol::{ConsentKind, Refusal, ServerEvent, SessionReady, Subsystem, SummaryState, claimed_at, close};
use crate::domain::refusals::Refusals;
use crate::domain::replies::Trouble;
use crate::domain::transcript::{Cause, ClientReport, Entry, Transcript};
use crate::domain::typed::{self, TypedAnswer};
use crate::domain::usage::Usage;
use crate::domain::voice::{Speaker, VoiceEvent};
use crate::error::ErrorCode;
use crate::ids::{ConnectionId, ItemId};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

/// Events kept for a browser that comes back. What it missed must fit into its queue at once.
const REPLAYED_EVENTS: usize = 256;
/// Events on their way to one browser; a browser that reads slower is cut off.
pub const OUTGOING_QUEUE: usize = 2 * REPLAYED_EVENTS;

/// What one browser may tell in one interview: some twenty times of what two people can say.
const MAX_WITNESSED_ENTRIES: usize = 10_000;
const MAX_WITNESSED_BYTES: usize = 2 * 1024 * 1024;

/// Notes about the candidate's side in one process of an interview.
const MAX_INTEGRITY_EVENTS: u32 = 500;

const FROM_BROWSER: usize = 64;
const FROM_VOICE: usize = 512;

/// To the task that writes the browser's socket.
#[derive(Clone, Debug)]
pub enum Outgoing {
    Event { n: u64, event: Arc<ServerEvent> },
    Close { code: u16, reason: &'static str },
}

/// Released when everything recorded before it is in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The browser's updates up to this one; told to the connection that sent them.
    ClientSeq {
        connection: ConnectionId,
        seq: u64,
    },
    Consents(Vec<ConsentKind>),
    /// What the candidate typed under this name; told by the journal itself.
    Typed(ClientId),
    /// Everything decided up to a point; see [`Journal::when_all_stored`].
    AllStored(u64),
    /// The summary, or the reason for none.
    Summary(SummaryState),
}

#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
    begun: Instant,
    /// Something waits to be stored.
    waiting: Arc<Notify>,
    /// Something was stored, so there may be room for more.
    room: Arc<Notify>,
    /// The browser tells of what our sideband into the call did not bring: whoever holds the sideband asks whether it lives.
    sideband_in_doubt: watch::Sender<()>,
    /// Something that the candidate typed is stored: whoever holds the sideband puts it into the call.
    typed_waits: watch::Sender<()>,
    /// What waits for the actor that listens to the browser, and to the voice provider.
    pub from_browser: MailboxLimit,
    pub from_voice: MailboxLimit,
}

#[derive(Debug)]
struct Inner {
    transcript: Transcript,
    outbox: Outbox<Record, Receipt>,
    /// About the head of the outbox.
    refusals: Refusals,
    events: VecDeque<(u64, Arc<ServerEvent>)>,
    last_n: u64,
    /// Events up to this one are not kept any more, or were an earlier process's.
    forgotten_n: u64,
    /// Entries that a browser was told of: it hears as well when one is withdrawn.
    told: HashSet<i32>,
    client_connection: Option<(ConnectionId, mpsc::Sender<Outgoing>)>,
    last_connection: u64,
    ack_window: AckWindow,
    /// What the browser at the sideband may forget: all up to this one is committed.
    acked_client_seq: u64,
    /// On its way to the database.
    recorded_seq: u64,
    /// The latest acknowledgement that waits for the database.
    promised_seq: Option<u64>,
    /// What the browser has told in all; bounded, for it may be anyone's program.
    reported: (usize, usize),
    /// Nothing is added to what was said.
    sealed: bool,
    /// The latest receipt for everything.
    awaited: u64,
    integrity_events: u32,
    /// How much the candidate may still type.
    typing: Budget,
    /// The call whose interviewer knows the conversation before it: whoever was to tell it may crash.
    told_call: i32,
    /// The course of the interview through its plan.
    conducted: Vec<Recorded>,
    /// When the time of the interview was asked for, and what it was.
    interview_clock: Option<(Instant, Duration)>,
    /// What the browser was told does not work as it should. Whoever works on it may crash meanwhile.
    degraded: Vec<Subsystem>,
    /// What kept the interviewer from speaking, and how often.
    troubles: BTreeMap<Trouble, u64>,
    /// Turns that could not be transcribed, by the provider's code.
    not_transcribed: BTreeMap<String, u64>,
}

/// Codes of a provider that are counted by themselves; of more, the rest is counted as `other`.
const MOST_CODES: usize = 16;

impl Journal {
    /// `last_n`: the highest event number that an earlier process may have used.
    pub fn new(mut transcript: Transcript, acked_client_seq: u64, limits: Limits, last_n: u64) -> Self {
        let late = transcript.take_late();
        let mut inner = Inner {
            transcript,
            outbox: Outbox::new(limits),
            refusals: Refusals::default(),
            events: VecDeque::new(),
            last_n,
            forgotten_n: last_n,
            told: HashSet::new(),
            client_connection: None,
            last_connection: 0,
            ack_window: AckWindow::after(acked_client_seq),
            acked_client_seq,
            recorded_seq: acked_client_seq,
            promised_seq: None,
            reported: (0, 0),
            sealed: false,
            awaited: 0,
            integrity_events: 0,
            typing: Budget::new(typed::AT_ONCE, typed::ONE_MORE_EVERY),
            told_call: 0,
            conducted: Vec::new(),
            interview_clock: None,
            degraded: Vec::new(),
            troubles: BTreeMap::new(),
            not_transcribed: BTreeMap::new(),
        };
        let waiting = Arc::new(Notify::new());
        inner.told_call = inner.transcript.segment();
        inner.take(late, &waiting);
        Self {
            inner: Arc::new(Mutex::new(inner)),
            begun: Instant::now(),
            waiting,
            room: Arc::new(Notify::new()),
            sideband_in_doubt: watch::Sender::new(()),
            typed_waits: watch::Sender::new(()),
            from_browser: MailboxLimit::new(FROM_BROWSER),
            from_voice: MailboxLimit::new(FROM_VOICE),
        }
    }

    // A panic while the lock is held leaves plain data behind that is still whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.transcript.at_steady(self.begun.elapsed().try_into().unwrap_or(time::Duration::MAX));
        inner
    }

    // ---- what was said ----

    /// Take in what happened in the call; settled entries go to the outbox and the browser.
    pub fn hear(&self, event: &VoiceEvent, now: OffsetDateTime) -> usize {
        self.take_in(|transcript| transcript.apply(event, now.into()))
    }

    /// Whether the words of this turn were most likely said by nobody.
    pub fn was_never_said(&self, item: &ItemId) -> bool {
        self.lock().transcript.was_never_said(item)
    }

    /// The same of a call that was replaced, for words that were on their way.
    pub fn hear_late(&self, event: &VoiceEvent, now: OffsetDateTime) -> usize {
        self.take_in(|transcript| transcript.apply_late(event, now.into()))
    }

    fn take_in(&self, apply: impl FnOnce(&mut Transcript) -> Vec<Entry>) -> usize {
        let mut inner = self.lock();
        if inner.sealed {
            return 0;
        }
        let entries = apply(&mut inner.transcript);
        inner.take(entries, &self.waiting)
    }

    /// The call is over: settle what is left.
    pub fn close_transcript(&self) -> usize {
        let mut inner = self.lock();
        let entries = inner.transcript.close();
        inner.take(entries, &self.waiting)
    }

    /// Another process may take the interview up: see [`Transcript::interrupt`].
    pub fn interrupt_transcript(&self) {
        self.with_transcript(Transcript::interrupt);
    }

    /// Nothing is added from now on: what is stored when the outbox is empty is what was said.
    /// It holds for a fresh tree of this process as well.
    pub fn seal(&self) {
        self.lock().sealed = true;
    }

    /// Take in what the browser says was said, however full the outbox is (see [`Self::room`]);
    /// a repeat is acknowledged again, and a number that comes with other words changes nothing.
    pub fn client_report(
        &self,
        connection: ConnectionId,
        said: Result<Vec<ClientReport>, Refusal>,
        seq: Option<u64>,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let mut inner = self.lock();
        if connection != inner.connection() {
            // Superseded meanwhile: what it said counts, its numbers do not.
            return inner.take_words(said?, now);
        }
        let next = inner.ack_window.next();
        if seq.is_some_and(|seq| inner.ack_window.is_too_far(seq)) {
            return Err(Refusal::seq_gap(next));
        }
        let taken = said.and_then(|said| {
            let words = digest(&said);
            inner.take_update(said, words, seq.unwrap_or(next), now)?;
            Ok(words)
        });
        match (&taken, seq) {
            (Ok(words), seq) => inner.ack_window.take(seq.unwrap_or(next), *words),
            // The refusal is final: a client of any kind goes on with the next.
            (Err(refusal), Some(seq)) if !refusal.retryable => inner.ack_window.close(seq),
            (Err(_), _) => {}
        }
        let complete = inner.ack_window.complete();
        if complete > inner.recorded_seq {
            inner.recorded_seq = complete;
            inner.record(Record::ClientSeq(complete));
        }
        // One acknowledgement is enough for however many repeats. Where nothing is complete yet, there is nothing to tell.
        if inner.promised_seq != Some(complete) && (taken.is_ok() || complete > 0) {
            inner.promised_seq = Some(complete);
            inner.outbox.push_receipt(Receipt::ClientSeq { connection, seq: complete });
        }
        if inner.transcript.sideband_is_in_doubt() {
            self.sideband_in_doubt.send_replace(());
        }
        self.waiting.notify_one();
        taken.map(drop)
    }

    /// Take in what the candidate typed. It is told, to them and to the call, when it is stored; a repeat is answered again.
    pub fn take_typed(&self, answer: &TypedAnswer, item: ItemId, now: OffsetDateTime) -> Result<(), Refusal> {
        let mut inner = self.lock();
        inner.take_typed(answer, item, now)?;
        inner.outbox.push_receipt(Receipt::Typed(answer.id.clone()));
        self.waiting.notify_one();
        Ok(())
    }
    /// Marked when something typed is to be put into the call.
    pub fn typed_waits(&self) -> watch::Receiver<()> {
        self.typed_waits.subscribe()
    }
    /// See [`Transcript::typed_to_put_in`].
    pub fn typed_to_put_in(&self) -> Vec<(ItemId, Text)> {
        self.lock().transcript.typed_to_put_in()
    }
    pub fn awaits_typed(&self, item: &ItemId) -> bool {
        self.lock().transcript.awaits_typed(item)
    }
    pub fn typed_is_there(&self, item: &ItemId) {
        self.lock().transcript.typed_is_there(item);
    }

    /// What happened to the call, or to our sideband into it; see [`Transcript`] for what it means.
    fn with_transcript(&self, change: impl FnOnce(&mut Transcript) -> Vec<Entry>) {
        let mut inner = self.lock();
        let entries = change(&mut inner.transcript);
        inner.take(entries, &self.waiting);
    }
    /// Our own sideband into the call hears from now on.
    pub fn sideband_back(&self, now: OffsetDateTime) {
        self.with_transcript(|transcript| transcript.sideband_back(now.into()));
    }
    /// Marked whenever the sideband may be dead: above all when the browser tells of an item that it did not bring.
    pub fn sideband_in_doubt(&self) -> watch::Receiver<()> {
        self.sideband_in_doubt.subscribe()
    }
    /// Something else than the browser's word makes whoever holds the sideband ask.
    pub fn doubt_sideband(&self) {
        self.sideband_in_doubt.send_replace(());
    }
    /// It has answered.
    pub fn sideband_is_alive(&self, now: OffsetDateTime) {
        self.lock().transcript.sideband_is_alive(now.into());
    }
    /// Nothing is heard from now on.
    pub fn sideband_lost(&self) {
        self.with_transcript(Transcript::sideband_lost);
    }
    /// The same, by something that the browser can bring about at will.
    pub fn sideband_broken_by_client(&self) {
        self.with_transcript(Transcript::sideband_broken_by_client);
    }
    pub fn sideband_is_deaf(&self) {
        self.with_transcript(Transcript::sideband_is_deaf);
    }
    pub fn call_opened(&self, segment: i32, cause: Cause, now: OffsetDateTime) {
        self.with_transcript(|transcript| {
            transcript.call_opened(segment, cause, now.into());
            vec![]
        });
    }
    pub fn give_up_earlier_calls(&self, cause: Cause) {
        self.with_transcript(|transcript| transcript.give_up_earlier_calls(cause));
    }
    pub fn call_over(&self, cause: Cause) {
        self.with_transcript(|transcript| transcript.call_over(cause));
    }
    pub fn transcription_tampered(&self) {
        self.lock().transcript.transcription_tampered();
    }
    pub fn earlier_sideband_is_alive(&self) {
        self.lock().transcript.earlier_sideband_is_alive();
    }
    pub fn awaits_words_of_earlier_calls(&self) -> bool {
        self.lock().transcript.awaits_words_of_earlier_calls()
    }
    pub fn is_heard(&self) -> bool {
        self.lock().transcript.is_heard()
    }
    /// See [`Transcript::history`].
    pub fn history(&self) -> Vec<Entry> {
        self.lock().transcript.history()
    }
    /// What the call that is open has not been told of the chapters before it.
    pub fn untold_history(&self) -> Vec<Entry> {
        let inner = self.lock();
        if inner.told_call < inner.transcript.segment() { inner.transcript.history() } else { vec![] }
    }
    pub fn history_is_told(&self) {
        let mut inner = self.lock();
        inner.told_call = inner.transcript.segment();
    }
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().transcript.entries()
    }
    pub fn spoken(&self) -> usize {
        self.lock().transcript.len()
    }
    pub fn answered_turns(&self) -> Vec<ItemId> {
        self.lock().transcript.answered_turns()
    }
    pub fn unanswered_turn(&self) -> Option<ItemId> {
        self.lock().transcript.unanswered_turn()
    }
    /// Answers of the candidate.
    pub fn turns(&self) -> usize {
        self.lock().transcript.turns()
    }
    pub fn has_spoken(&self, speaker: Speaker) -> bool {
        self.lock().transcript.has_spoken(speaker)
    }
    /// Whether the candidate said anything to be judged by.
    pub fn can_be_judged(&self) -> bool {
        self.lock().transcript.can_be_judged()
    }
    pub fn awaits_words(&self) -> bool {
        self.lock().transcript.awaits_words()
    }
    /// All of the browser's updates up to this one are committed.
    pub fn acked_client_seq(&self) -> u64 {
        self.lock().acked_client_seq
    }

    // ---- what must be stored ----

    /// Something about the candidate's side that a person may want to know. Advisory, and bounded.
    pub fn note_integrity(&self, kind: Label, claimed: Option<&str>, now: OffsetDateTime) {
        let mut inner = self.lock();
        inner.integrity_events += 1;
        if inner.integrity_events > MAX_INTEGRITY_EVENTS {
            return;
        }
        let (now, time) = (now.into(), claimed.and_then(Timestamp::parse));
        let at = Timestamp::of_live_event(time, inner.transcript.opened_at(), now);
        let claimed_at = claimed.filter(|_| time != Some(at)).map(claimed_at);
        inner.record(Record::Integrity { kind, at, claimed_at });
        drop(inner);
        self.waiting.notify_one();
    }

    pub fn record(&self, record: Record) {
        self.lock().record(record);
        self.waiting.notify_one();
    }

    /// Release a receipt with this number once everything recorded so far is stored. One that an
    /// earlier tree waited for has another number.
    pub fn when_all_stored(&self) -> u64 {
        let number = {
            let mut inner = self.lock();
            inner.awaited += 1;
            let number = inner.awaited;
            inner.outbox.push_receipt(Receipt::AllStored(number));
            number
        };
        self.waiting.notify_one();
        number
    }

    /// Release `receipt` once everything recorded so far is stored.
    pub fn when_stored(&self, receipt: Receipt) {
        self.lock().outbox.push_receipt(receipt);
        self.waiting.notify_one();
    }

    pub async fn something_waits(&self) {
        self.waiting.notified().await;
    }
    pub fn batch(&self, max: usize) -> Option<Batch<Record>> {
        self.lock().outbox.batch(max)
    }
    /// What is known about the head of the outbox: whoever stores may crash over it.
    pub fn refusals<T>(&self, with: impl FnOnce(&mut Refusals) -> T) -> T {
        with(&mut self.lock().refusals)
    }
    pub fn stored(&self, up_to: u64) -> Vec<Receipt> {
        let receipts = {
            let mut inner = self.lock();
            let mut receipts = inner.outbox.stored(up_to);
            let current = inner.connection();
            receipts.retain(|receipt| !matches!(receipt, Receipt::ClientSeq { connection, .. } if *connection != current));
            for receipt in &receipts {
                match receipt {
                    Receipt::ClientSeq { seq, .. } => {
                        inner.acked_client_seq = inner.acked_client_seq.max(*seq);
                        inner.promised_seq = inner.promised_seq.filter(|promised| promised != seq);
                    }
                    // Here, for whoever stores may crash, or be gone already.
                    Receipt::Typed(id) => {
                        inner.typed_is_stored(id);
                        self.typed_waits.send_replace(());
                    }
                    Receipt::Consents(_) | Receipt::AllStored(_) | Receipt::Summary(_) => {}
                }
            }
            receipts
        };
        self.room.notify_waiters();
        receipts
    }
    pub fn is_full(&self) -> bool {
        self.lock().outbox.is_full()
    }
    /// Returns when the outbox has room. Whoever reads from a browser waits here, so that more
    /// than we may hold stays in TCP and with the browser. What our own sideband into the call hears
    /// does not wait: it comes once, and an interview bounds it.
    pub async fn room(&self) {
        loop {
            let mut stored = pin!(self.room.notified());
            stored.as_mut().enable();
            if !self.is_full() {
                return;
            }
            stored.await;
        }
    }
    pub fn is_stored(&self) -> bool {
        self.lock().outbox.is_empty()
    }
    pub fn backlog(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.outbox.len(), inner.outbox.bytes())
    }

    // ---- the browser's connection ----

    /// Events that the browser has not taken yet.
    pub fn outgoing(&self) -> usize {
        self.lock().client_connection.as_ref().map_or(0, |(_, outgoing)| outgoing.max_capacity() - outgoing.capacity())
    }

    /// A new browser connection; the newest wins and the one before is told.
    pub fn connect(&self, outgoing: mpsc::Sender<Outgoing>) -> ConnectionId {
        let mut inner = self.lock();
        inner.last_connection += 1;
        let connection = inner.connection();
        // Each browser counts for itself: the newcomer counts on from what it is told, and so
        // does the database. What older connections sent and is still on its way does not
        // count for it: it may be another page, whose words must not vouch for this one's.
        let mark = inner.acked_client_seq;
        inner.ack_window = AckWindow::after(mark);
        (inner.recorded_seq, inner.promised_seq) = (mark, None);
        inner.record(Record::ClientSeq(mark));
        if let Some((_, older)) = inner.client_connection.replace((connection, outgoing)) {
            let _ = older.try_send(Outgoing::Close { code: close::SUPERSEDED, reason: "superseded by a newer connection" });
        }
        connection
    }

    /// True when it was the current one.
    pub fn disconnect(&self, connection: ConnectionId) -> bool {
        let mut inner = self.lock();
        let current = inner.client_connection.as_ref().is_some_and(|(id, _)| *id == connection);
        if current {
            inner.client_connection = None;
        }
        current
    }

    /// Tell the browser, now or when it comes back.
    pub fn tell(&self, event: ServerEvent) {
        self.lock().tell(event);
    }

    /// Part of us does not work as it should: told once, and to each browser that comes. True when
    /// it is news.
    pub fn degraded(&self, what: Subsystem) -> bool {
        let mut inner = self.lock();
        let news = !inner.degraded.contains(&what);
        if news {
            inner.degraded.push(what);
            inner.tell(ServerEvent::Degraded { what });
        }
        news
    }

    /// It works again; told when it was degraded. True when it is news.
    pub fn restored(&self, what: Subsystem) -> bool {
        let mut inner = self.lock();
        let Some(index) = inner.degraded.iter().position(|known| *known == what) else { return false };
        inner.degraded.remove(index);
        inner.tell(ServerEvent::Restored { what });
        true
    }

    pub fn count_trouble(&self, trouble: Trouble) {
        *self.lock().troubles.entry(trouble).or_default() += 1;
    }

    pub fn troubles(&self) -> BTreeMap<Trouble, u64> {
        self.lock().troubles.clone()
    }

    pub fn count_failed_transcription(&self, code: &str) {
        let counts = &mut self.lock().not_transcribed;
        let known = counts.contains_key(code) || counts.len() < MOST_CODES;
        *counts.entry(if known { Text::bounded(code, 64).into_string() } else { "other".to_owned() }).or_default() += 1;
    }

    pub fn failed_transcriptions(&self) -> BTreeMap<String, u64> {
        self.lock().not_transcribed.clone()
    }

    pub fn record_usage(&self, usage: Usage) {
        self.lock().record(Record::Usage(usage));
        self.waiting.notify_one();
    }

    /// The course of the interview so far: what an earlier process stored, and what was decided since.
    pub fn conducted(&self) -> Vec<Recorded> {
        self.lock().conducted.clone()
    }
    pub fn know_conduct(&self, stored: Vec<Recorded>) {
        self.lock().conducted = stored;
    }
    pub fn record_conduct(&self, recorded: Recorded) {
        let mut inner = self.lock();
        inner.conducted.push(recorded.clone());
        inner.record(Record::Conduct(recorded));
        drop(inner);
        self.waiting.notify_one();
    }
    pub fn opened_at(&self) -> Option<Timestamp> {
        self.lock().transcript.opened_at()
    }

    /// Since the interview's first call; it goes on while processes come and go. The wall clock is asked once in each of them, for
    /// it may be set; what was recorded `least` is past, whatever that clock shows.
    pub fn interview_time(&self, now: OffsetDateTime, least: Duration) -> Duration {
        let mut inner = self.lock();
        let Some(opened_at) = inner.transcript.opened_at() else { return Duration::ZERO };
        let (then, elapsed) = *inner.interview_clock.get_or_insert_with(|| {
            let elapsed = (now - *opened_at).try_into().unwrap_or_default();
            (Instant::now(), least.max(elapsed))
        });
        elapsed + then.elapsed()
    }

    /// The first that a new connection hears.
    pub fn greet(&self, ready: SessionReady) {
        let mut inner = self.lock();
        inner.tell(ServerEvent::SessionReady(ready));
        for what in inner.degraded.clone() {
            inner.tell(ServerEvent::Degraded { what });
        }
    }

    /// Send again what a browser missed after `last_n`.
    pub fn replay(&self, last_n: u64) {
        let mut inner = self.lock();
        let missed: Vec<_> = inner.events.iter().filter(|(n, _)| *n > last_n).cloned().collect();
        let all_kept = last_n >= inner.forgotten_n;
        for (n, event) in missed {
            if all_kept || !matches!(*event, ServerEvent::TranscriptEntry { .. }) {
                inner.send(Outgoing::Event { n, event });
            }
        }
        if !all_kept {
            // What an earlier process told, or more than we keep: the words are what counts, and
            // they are all here. The rest of the state is in `session_ready`.
            let entries = inner.transcript.all_entries();
            for entry in &entries[entries.len().saturating_sub(REPLAYED_EVENTS / 2)..] {
                // Whoever was told a word hears when it changes.
                inner.told.insert(entry.seq);
                inner.tell(ServerEvent::TranscriptEntry { entry: entry.clone() });
            }
        }
        inner.tell(ServerEvent::Replayed {});
    }

    pub fn close_connection(&self, code: u16, reason: &'static str) {
        self.lock().send(Outgoing::Close { code, reason });
    }
}

impl Inner {
    fn connection(&self) -> ConnectionId {
        ConnectionId(self.last_connection)
    }

    fn take_update(&mut self, said: Vec<ClientReport>, words: u64, seq: u64, now: OffsetDateTime) -> Result<(), Refusal> {
        // Whoever repeats what is stored already must hear that it is.
        if self.sealed && !said.iter().all(|client_report| self.transcript.knows(client_report)) {
            return Err(Refusal::session_over());
        }
        match self.ack_window.judge(seq, words) {
            Arrival::New | Arrival::Old => self.take_words(said, now),
            Arrival::Repeat => Ok(()),
            Arrival::Conflict => Err(Refusal::seq_conflict(seq)),
            Arrival::TooFarAhead => Err(Refusal::seq_gap(self.ack_window.next())),
        }
    }

    fn take_words(&mut self, said: Vec<ClientReport>, now: OffsetDateTime) -> Result<(), Refusal> {
        let bytes: usize = said.iter().map(|client_report| client_report.text.len()).sum();
        let (entries, all_bytes) = (self.reported.0 + said.len(), self.reported.1 + bytes);
        if entries > MAX_WITNESSED_ENTRIES || all_bytes > MAX_WITNESSED_BYTES {
            let message = "more was told than is said in any interview".to_owned();
            return Err(Refusal { code: ErrorCode::TranscriptFull, message, retryable: false });
        }
        self.reported = (entries, all_bytes);
        for client_report in said {
            for entry in self.transcript.client_report(client_report, now.into()) {
                self.record(Record::Entry(entry));
            }
        }
        Ok(())
    }

    fn take_typed(&mut self, answer: &TypedAnswer, item: ItemId, now: OffsetDateTime) -> Result<(), Refusal> {
        let key = answer.key();
        if let Some(known) = self.transcript.typed(&key) {
            return if *known == answer.text { Ok(()) } else { Err(Refusal::typed_otherwise()) };
        }
        if self.sealed {
            return Err(Refusal::session_over());
        }
        if self.transcript.opened_at().is_none() {
            return Err(Refusal::typed_before_call());
        }
        if self.transcript.typed_answers() >= typed::MOST {
            return Err(Refusal::typed_too_often());
        }
        if !self.typing.take() {
            return Err(Refusal::typed_too_fast());
        }
        if let Some(entry) = self.transcript.type_in(key, item, answer.text.clone(), now.into()) {
            self.record(Record::Entry(entry));
        }
        Ok(())
    }

    fn typed_is_stored(&mut self, id: &ClientId) {
        if let Some(entry) = self.transcript.typed_is_stored(&EntryKey::of_typed(id)) {
            self.told.insert(entry.seq);
            self.tell(ServerEvent::TranscriptEntry { entry });
        }
        self.tell(ServerEvent::TypedAnswerAck { id: id.as_str().to_owned() });
    }

    fn take(&mut self, entries: Vec<Entry>, waiting: &Notify) -> usize {
        let taken = entries.len();
        for entry in entries {
            if entry.authoritative || self.told.contains(&entry.seq) {
                self.told.insert(entry.seq);
                self.tell(ServerEvent::TranscriptEntry { entry: entry.clone() });
            }
            self.record(Record::Entry(entry));
        }
        if taken > 0 {
            waiting.notify_one();
        }
        taken
    }

    fn record(&mut self, record: Record) {
        let bytes = record.bytes();
        self.outbox.push(record, bytes);
    }

    fn tell(&mut self, event: ServerEvent) {
        self.last_n += 1;
        let (n, event) = (self.last_n, Arc::new(event));
        if event.replayable() {
            self.events.push_back((n, event.clone()));
            if self.events.len() > REPLAYED_EVENTS
                && let Some((n, _)) = self.events.pop_front()
            {
                self.forgotten_n = n;
            }
        }
        self.send(Outgoing::Event { n, event });
    }

    /// A browser that does not read is cut off: it resumes and loses nothing. The last place of
    /// its queue is kept for the farewell, so that it always learns why.
    fn send(&mut self, outgoing: Outgoing) {
        let Some((_, connection)) = &self.client_connection else { return };
        let farewell = match outgoing {
            Outgoing::Event { .. } if connection.capacity() > 1 => {
                if connection.try_send(outgoing).is_err() {
                    self.client_connection = None;
                }
                return;
            }
            Outgoing::Event { .. } => Outgoing::Close { code: close::TRY_LATER, reason: "too slow" },
            Outgoing::Close { .. } => outgoing,
        };
        let _ = connection.try_send(farewell);
        self.client_connection = None;
    }
}

/// Enough to notice that the same number came with other words.
fn digest(said: &[ClientReport]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for client_report in said {
        (&client_report.key, &client_report.item_id, client_report.speaker.as_str(), &client_report.text).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::edge::{EntryKey, Text};
    use crate::domain::phase::Phase;
    use crate::domain::protocol::FrameLimits;

    const EARLIER: u64 = 1 << 32;

    fn journal(last_n: u64) -> Journal {
        Journal::new(Transcript::default(), 0, Limits { records: 10_000, bytes: 1 << 24 }, last_n)
    }

    fn ready() -> SessionReady {
        SessionReady {
            session_id: crate::ids::SessionId(uuid::Uuid::nil()),
            process: 1,
            phase: Phase::Live,
            segment: 1,
            acked_seq: 0,
            heartbeat_interval_ms: 1,
            required_consents: vec![],
            given_consents: vec![],
            time_left_s: 1,
            greeted: true,
            plan: false,
            limits: FrameLimits { max_frame_bytes: 1, max_entries: 1, max_typed_chars: 1 },
        }
    }

    fn client_report(n: u64, text: &str) -> ClientReport {
        let key = EntryKey::stored(format!("c:{n}"));
        let text = Text::from(text);
        ClientReport { key, item_id: None, speaker: Speaker::Candidate, text, claimed: None, claimed_at: Text::default() }
    }

    fn say(journal: &Journal, n: u64) {
        let at = OffsetDateTime::UNIX_EPOCH;
        let said = client_report(n, &format!("word {n}"));
        let connection = journal.lock().connection();
        journal.client_report(connection, Ok(vec![said]), Some(n), at).expect("there is room");
    }

    /// What a new connection hears when it resumes after `last_n`.
    fn resumed(journal: &Journal, last_n: u64) -> Vec<(u64, String)> {
        let (outgoing, mut events) = mpsc::channel(OUTGOING_QUEUE);
        journal.connect(outgoing);
        journal.replay(last_n);
        let mut heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
            .filter_map(|outgoing| match outgoing {
                Outgoing::Event { n, event } => Some((n, serde_json::to_string(&*event).expect("an event is JSON"))),
                Outgoing::Close { .. } => None,
            })
            .collect();
        let (_, last) = heard.pop().expect("something is sent");
        assert_eq!(last, r#"{"type":"replayed"}"#, "it tells that nothing is missing any more");
        heard
    }

    #[test]
    fn a_browser_of_an_earlier_process_hears_every_word_again_in_order() {
        let journal = journal(EARLIER);
        for n in 1..=20 {
            say(&journal, n);
        }
        let heard = resumed(&journal, EARLIER - 3);
        assert_eq!(heard.len(), 20);
        assert!(heard.is_sorted_by_key(|(n, _)| *n) && heard[0].0 > EARLIER, "{heard:?}");
        assert!(heard.iter().zip(1..).all(|((_, event), n)| event.contains(&format!("\"word {n}\""))), "{heard:?}");
    }

    #[test]
    fn who_comes_hears_what_does_not_work_and_everyone_hears_once_that_it_does_again() {
        let journal = journal(0);
        journal.restored(Subsystem::Control);
        journal.degraded(Subsystem::Storage);
        journal.degraded(Subsystem::Storage);
        let (outgoing, mut events) = mpsc::channel(OUTGOING_QUEUE);
        journal.connect(outgoing);
        journal.greet(ready());
        journal.restored(Subsystem::Storage);
        journal.restored(Subsystem::Storage);
        let kinds: Vec<String> = std::iter::from_fn(|| events.try_recv().ok())
            .filter_map(|outgoing| match outgoing {
                Outgoing::Event { event, .. } => Some(serde_json::to_value(&*event).expect("JSON")["type"].to_string()),
                Outgoing::Close { .. } => None,
            })
            .collect();
        assert_eq!(kinds, ["\"session_ready\"", "\"degraded\"", "\"restored\""]);
    }

    #[test]
    fn who_was_told_an_entry_hears_when_it_is_withdrawn_and_nobody_of_what_was_never_the_records() {
        let journal = journal(0);
        let told = Entry::heard(1, Speaker::Candidate, "in a gap");
        let withdrawn = |seq| Entry { seq, revision: 2, authoritative: false, ..told.clone() };
        journal.take_in(|_| vec![told.clone(), withdrawn(1), withdrawn(2)]);
        let heard = resumed(&journal, 0);
        let told: Vec<bool> = heard.iter().map(|(_, event)| event.contains("\"authoritative\":true")).collect();
        assert_eq!(told, [true, false], "{heard:?}");
        let batch = journal.batch(usize::MAX).expect("something waits");
        assert_eq!(batch.records.iter().filter(|record| matches!(record, Record::Entry(_))).count(), 3, "all is stored");
    }

    #[test]
    fn a_browser_that_missed_little_hears_just_that() {
        let journal = journal(EARLIER);
        for _ in 0..5 {
            journal.tell(ServerEvent::Restored { what: Subsystem::Storage });
        }
        let numbers: Vec<u64> = resumed(&journal, EARLIER + 2).into_iter().map(|(n, _)| n).collect();
        assert_eq!(numbers, [EARLIER + 3, EARLIER + 4, EARLIER + 5]);
    }

    #[test]
    fn a_browser_that_does_not_read_is_cut_off_and_always_learns_why() {
        let last_word = |end: fn(&Journal)| {
            let (journal, (outgoing, mut events)) = (journal(0), mpsc::channel(OUTGOING_QUEUE));
            journal.connect(outgoing);
            for _ in 0..OUTGOING_QUEUE - 1 {
                journal.tell(ServerEvent::TimeLeft { seconds: 1 });
            }
            end(&journal);
            match std::iter::from_fn(|| events.try_recv().ok()).last() {
                Some(Outgoing::Close { code, .. }) => code,
                event => panic!("no farewell but {event:?}"),
            }
        };
        let superseded = |journal: &Journal| {
            journal.connect(mpsc::channel(OUTGOING_QUEUE).0);
        };
        assert_eq!(last_word(superseded), close::SUPERSEDED);
        assert_eq!(last_word(|journal| journal.tell(ServerEvent::TimeLeft { seconds: 0 })), close::TRY_LATER);
        assert_eq!(last_word(|journal| journal.close_connection(close::DONE, "done")), close::DONE);
    }

    #[test]
    fn after_the_end_a_repeat_is_acknowledged_and_a_new_word_is_refused_and_changes_nothing() {
        let journal = journal(0);
        let told = |n: u64, text: &str| {
            let at = OffsetDateTime::UNIX_EPOCH;
            let connection = journal.lock().connection();
            journal.client_report(connection, Ok(vec![client_report(n, text)]), Some(n), at)
        };
        told(1, "in time").expect("the door is open");
        journal.seal();
        let awaited = journal.when_all_stored();
        told(1, "in time").expect("a repeat");
        assert_eq!(told(2, "too late").expect_err("nothing is added").code, ErrorCode::SessionOver);
        let batch = journal.batch(usize::MAX).expect("something waits");
        let words = batch.records.iter().filter(|record| matches!(record, Record::Entry(_))).count();
        let receipts = journal.stored(batch.up_to);
        // The refused one is not stored, and not waited for.
        assert_eq!((words, journal.acked_client_seq()), (1, 2));
        assert!(receipts.contains(&Receipt::AllStored(awaited)), "{receipts:?}");
    }

    #[test]
    fn what_a_browser_tells_and_what_is_noted_about_it_has_an_end() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let full = |entries: usize, each: usize, updates: u64| {
            let journal = journal(0);
            let told = |n: u64, entries: usize| {
                let connection = journal.lock().connection();
                let said = (0..entries as u64).map(|entry| client_report(n * 100_000 + entry, &"x".repeat(each))).collect();
                journal.client_report(connection, Ok(said), Some(n), at)
            };
            for n in 1..=updates {
                told(n, entries).expect("there is room");
            }
            let waiting = journal.backlog().0;
            let refusal = told(updates + 1, 1).expect_err("there is none left");
            assert_eq!((refusal.code, refusal.retryable), (ErrorCode::TranscriptFull, false));
            let grown = journal.backlog().0 - waiting;
            assert!(grown <= 1, "the answer to the number alone waits: {grown}");
        };
        full(MAX_WITNESSED_ENTRIES / 10, 1, 10);
        full(MAX_WITNESSED_BYTES / 1024 / 8, 1024, 8);

        let journal = journal(0);
        for _ in 0..2 * MAX_INTEGRITY_EVENTS {
            journal.note_integrity(Label::of("call_replaced"), None, at);
        }
        let noted = journal.batch(usize::MAX).expect("something waits").records.len();
        assert_eq!(noted, MAX_INTEGRITY_EVENTS as usize);
    }

    #[test]
    fn however_much_was_missed_a_resume_never_overflows_the_line() {
        let journal = journal(0);
        for n in 1..=2_000 {
            say(&journal, n);
            journal.tell(ServerEvent::Degraded { what: Subsystem::Storage });
        }
        let heard = resumed(&journal, 1);
        assert!(
            heard.len() <= OUTGOING_QUEUE && heard.last().is_some_and(|(_, event)| event.contains("word 2000")),
            "{}",
            heard.len()
        );
    }
}
