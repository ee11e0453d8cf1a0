//! A model of PostgreSQL with the rows of one interview: transactions that are applied completely or not at all, epochs that
//! fence, keys that are unique, and all the ways to be unavailable. It does what `integrations/store/session.rs` requires of
//! the real one.

use crate::conduct;
use crate::faults::Fault;
use crate::ground_truth::GroundTruth;
use crate::plan::Plan;
use crate::vendors::INJECTED;
use crate::world::{KillSwitch, Point, World};
use async_trait::async_trait;
use fastrand::Rng;
use interview_runtime::domain::claimed::{Claimed, Pulse, Recording, Settings, TicketRefusal};
use interview_runtime::domain::conduct::Recorded;
use interview_runtime::domain::outbox_record::{Record, RecordingState, SummaryRecord};
use interview_runtime::domain::phase::{EndReason, Phase};
use interview_runtime::domain::protocol::ConsentKind;
use interview_runtime::domain::recording::KnownTake;
use interview_runtime::domain::seat::Seat;
use interview_runtime::domain::store_error::{Refusal, StoreError};
use interview_runtime::domain::summary::Competency;
use interview_runtime::domain::transcript::{Entry, Transcript};
use interview_runtime::ids::{
    CallId, CandidateId, CompetencyId, Epoch, PositionId, SessionId, TenantId, TicketHash, UserId, VideoId,
};
use interview_runtime::ports::{DeadLetter, Rows, SessionRows, Sessions};
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub const COMPETENCY: Uuid = Uuid::from_u128(0xc0);
pub const POLICY: &str = "7";
/// No real database takes this character in a text.
pub const POISON: char = '\u{1F4A3}';
/// With what it is refused.
const POISON_CODES: [&str; 12] =
    ["08P01", "0A000", "22021", "22P05", "23514", "26000", "40001", "42703", "53200", "54000", "57014", "XX000"];

#[derive(Clone, Debug)]
pub struct Row {
    pub entry: Entry,
    pub epoch: i32,
}

#[derive(Clone, Debug)]
pub struct Tables {
    pub epoch: i32,
    /// The process that has this epoch.
    pub holder: u32,
    pub phase: Phase,
    pub end: Option<EndReason>,
    pub segment: i32,
    pub call: Option<CallId>,
    pub ending_calls: Vec<CallId>,
    /// Every call that was ever stored.
    pub calls: Vec<CallId>,
    pub greeted: bool,
    pub acked_client_seq: u64,
    pub started_at: Option<OffsetDateTime>,
    pub end_requested: bool,
    pub entries: Vec<Row>,
    pub consents: Vec<ConsentKind>,
    pub recording: RecordingState,
    pub summaries: Vec<SummaryRecord>,
    pub summary_tries: i32,
    pub dead_letters: BTreeSet<(i32, u64)>,
    /// What was noted of the candidate's side: kind, when, and the time that was claimed.
    pub integrity: Vec<(String, OffsetDateTime, Option<String>)>,
    tickets: HashMap<String, bool>,
    /// By number; a repeat changes nothing.
    pub conducted: Vec<Recorded>,
}

#[derive(Debug, Default)]
struct Health {
    away_until: Option<Instant>,
    refuses: bool,
    slow_until: Option<Instant>,
    read_only_until: Option<Instant>,
    lose_replies: u32,
    unhealthy_at: Option<Instant>,
}

impl Health {
    /// Illnesses may overlap; it is well again after the longest.
    fn be_ill_for(&mut self, lasts: Duration) {
        self.unhealthy_at = self.unhealthy_at.max(Some(Instant::now() + lasts));
    }
}

/// What the gateway says to a page that wants to join.
#[derive(Clone, Debug)]
pub enum Ticket {
    Issued(String),
    Over,
    /// It cannot ask the database.
    NotNow,
}

#[derive(Clone, Debug)]
pub struct Database {
    inner: Arc<Mutex<Inner>>,
    pub world: World,
    truth: GroundTruth,
}

#[derive(Debug)]
struct Inner {
    tables: Tables,
    health: Health,
    rng: Rng,
    context: Claimed,
    /// With what poison is refused in this run, and what it is set aside as, if that is refused too.
    poison: (&'static str, Option<&'static str>),
    /// The first record of the batch at which the writer broke last. Not twice at the same: that would be poison.
    broke_at: Option<Record>,
    /// When the writer breaks: at its n-th batch.
    writer_panics: Vec<(Moment, u64)>,
    batches: u64,
}

/// A moment in which a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Taken,
    /// On its way, or stored with the reply on its way.
    Sent,
    Replied,
}

fn until(at: Option<Instant>) -> bool {
    at.is_some_and(|at| Instant::now() < at)
}

impl Database {
    pub fn new(world: World, truth: GroundTruth, plan: &Plan, seed: u64) -> Self {
        let tables = Tables {
            epoch: 0,
            holder: 0,
            phase: Phase::Created,
            end: None,
            segment: 0,
            call: None,
            ending_calls: vec![],
            calls: Vec::new(),
            greeted: false,
            acked_client_seq: 0,
            started_at: None,
            end_requested: false,
            entries: Vec::new(),
            consents: Vec::new(),
            recording: RecordingState::Waiting,
            summaries: Vec::new(),
            summary_tries: 0,
            dead_letters: BTreeSet::new(),
            integrity: Vec::new(),
            conducted: Vec::new(),
            tickets: HashMap::new(),
        };
        let consents = if plan.consents { vec![ConsentKind::AiEvaluation, ConsentKind::Recording] } else { vec![] };
        let context = Claimed {
            phase: Phase::Created,
            end: None,
            segment: 0,
            call: None,
            ending_calls: vec![],
            greeted: false,
            acked_client_seq: 0,
            candidate: CandidateId(Uuid::from_u128(0xca)),
            position: PositionId(Uuid::from_u128(0xb0)),
            position_title: "Engineer".to_owned(),
            position_description: "Builds things that do not lose anything.".to_owned(),
            guidance: String::new(),
            company: "Example".to_owned(),
            candidate_name: "Kim".to_owned(),
            competencies: vec![Competency {
                id: CompetencyId(COMPETENCY),
                name: "Care".to_owned(),
                description: "Takes care.".to_owned(),
            }],
            settings: Settings { voice: None, language: None, max_duration_s: Some(plan.max_duration_s) },
            required_consents: consents,
            consent_policy_version: POLICY.into(),
            judge_deaf_line: false,
            given_consents: vec![],
            recordings: vec![],
            traceparent: None,
            started_at: None,
            deadline_at: world.wall() + plan.limit,
            join_by: None,
            entries: vec![],
            plan: plan.conducted.map(|_| Arc::new(conduct::plan())),
            conducted: vec![],
        };
        let rng = Rng::with_seed(seed ^ 0xdb);
        // Dice of its own: what else happens stays as it was without it.
        let mut dice = Rng::with_seed(seed ^ 0x1f4a3);
        let mut code = || POISON_CODES[dice.usize(..POISON_CODES.len())];
        let poison = (code(), Some(code()).filter(|_| seed.is_multiple_of(3)));
        let (health, writer_panics) = (Health::default(), plan.writer_panics.clone());
        let inner = Inner { tables, health, rng, context, poison, broke_at: None, writer_panics, batches: 0 };
        Self { inner: Arc::new(Mutex::new(inner)), world, truth }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database as one process reaches it.
    pub fn door(&self, process: u32, cut: KillSwitch) -> Door {
        Door { database: self.clone(), process, cut }
    }

    pub fn look<T>(&self, with: impl FnOnce(&Tables) -> T) -> T {
        with(&self.lock().tables)
    }

    pub fn has_entry(&self, key: &str) -> bool {
        self.look(|tables| tables.entries.iter().any(|row| row.entry.key == key))
    }

    /// Nothing was wrong with it for this long.
    pub fn healthy_for(&self, long: Duration) -> bool {
        let inner = self.lock();
        let health = &inner.health;
        let now = !until(health.away_until) && !until(health.slow_until) && !until(health.read_only_until);
        now && health.unhealthy_at.is_none_or(|at| at.elapsed() > long)
    }

    pub fn is_away(&self) -> bool {
        until(self.lock().health.away_until)
    }

    // ---- faults ----

    pub fn go_away(&self, lasts: Duration, refuses: bool) {
        let mut inner = self.lock();
        (inner.health.away_until, inner.health.refuses) = (Some(Instant::now() + lasts), refuses);
        inner.health.be_ill_for(lasts);
    }

    pub fn be_slow(&self, lasts: Duration) {
        let mut inner = self.lock();
        inner.health.slow_until = Some(Instant::now() + lasts);
        inner.health.be_ill_for(lasts);
    }

    pub fn be_read_only(&self, lasts: Duration) {
        let mut inner = self.lock();
        inner.health.read_only_until = Some(Instant::now() + lasts);
        inner.health.be_ill_for(lasts);
    }

    pub fn lose_replies(&self, count: u32) {
        self.lock().health.lose_replies += count;
    }

    // ---- the gateway's side ----

    pub fn issue_ticket(&self) -> Ticket {
        let mut inner = self.lock();
        if until(inner.health.away_until) {
            return Ticket::NotNow;
        }
        if inner.tables.phase.is_terminal() {
            return Ticket::Over;
        }
        let ticket = format!("ticket{:016x}", inner.rng.u64(..));
        inner.tables.tickets.insert(ticket.clone(), false);
        Ticket::Issued(ticket)
    }

    pub fn request_end(&self) {
        self.lock().tables.end_requested = true;
    }
}

fn is_poison(record: &Record) -> bool {
    matches!(record, Record::Entry(entry) if entry.text.contains(POISON))
}

/// An error as PostgreSQL reports it.
fn refused(action: &'static str, sql_state: &str) -> StoreError {
    StoreError::Query { action, source: Refusal::of_state(sql_state, format!("refused with {sql_state}")) }
}

fn broken(action: &'static str) -> StoreError {
    StoreError::Query { action, source: Refusal::unreachable("the connection broke") }
}

/// As one process reaches the database.
#[derive(Clone, Debug)]
pub struct Door {
    database: Database,
    process: u32,
    cut: KillSwitch,
}

impl Door {
    async fn transact<T>(
        &self,
        action: &'static str,
        writes: bool,
        work: impl FnOnce(&mut Inner) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (there, back) = {
            let mut inner = self.database.lock();
            let slow = if until(inner.health.slow_until) { 1_500 } else { 0 };
            (inner.rng.u64(0..4) + slow, inner.rng.u64(0..4) + slow / 3)
        };
        sleep(Duration::from_millis(there)).await;
        let away = {
            let inner = self.database.lock();
            until(inner.health.away_until).then_some(inner.health.refuses)
        };
        match away {
            Some(true) => return Err(broken(action)),
            Some(false) => {
                sleep(Duration::from_secs(5)).await;
                return Err(broken(action));
            }
            None => {}
        }
        if self.cut.is_cut() {
            return Err(broken(action));
        }
        let (result, lost) = {
            let mut inner = self.database.lock();
            if writes && until(inner.health.read_only_until) {
                return Err(refused(action, "25006"));
            }
            let result = work(&mut inner);
            let lost = writes && result.is_ok() && inner.health.lose_replies > 0;
            if lost {
                inner.health.lose_replies -= 1;
            }
            (result, lost)
        };
        if writes && result.is_ok() {
            self.database.world.pass(Point::Commit);
        }
        sleep(Duration::from_millis(back)).await;
        if lost {
            self.database.world.count(Fault::ReplyLost);
            return Err(broken(action));
        }
        if self.cut.is_cut() { Err(broken(action)) } else { result }
    }
}

#[async_trait]
impl Sessions for Door {
    async fn claim(&self, _: TenantId, _: SessionId) -> Result<(Rows, Claimed), StoreError> {
        let database = &self.database;
        let (epoch, claimed) = self
            .transact("take the session", true, |inner| {
                inner.tables.epoch += 1;
                let before = std::mem::replace(&mut inner.tables.holder, self.process);
                // Who held it before can store nothing more of what it has heard.
                let stored = stored_keys(&inner.tables);
                database.truth.lock().forgive(before, |item| stored.contains_key(item));
                Ok((inner.tables.epoch, inner.claimed()))
            })
            .await?;
        database.world.note(format_args!("db: process {} holds epoch {epoch}, phase {}", self.process, claimed.phase.as_str()));
        Ok((Arc::new(ModelRows { door: self.clone(), epoch }), claimed))
    }

    async fn close(&self) {}
}

/// What the real tables take: no NUL, and no more than their columns hold.
fn unstorable(record: &Record) -> Option<String> {
    let bad = |text: &str, most: usize| text.contains('\0') || text.chars().count() > most;
    match record {
        Record::Entry(entry) => {
            let claimed = entry.claimed_at.as_ref().is_some_and(|claimed| bad(claimed, 64));
            let item = entry.item_id.as_ref().is_some_and(|item| bad(item.as_str(), 128));
            let key = entry.key.as_str();
            let wrong = bad(&entry.text, 65_536) || claimed || item || key.is_empty() || bad(key, 200);
            wrong.then(|| format!("{key:.60} with {} characters", entry.text.chars().count()))
        }
        Record::Integrity { kind, claimed_at, .. } => {
            let wrong = bad(kind.as_str(), 64) || claimed_at.as_ref().is_some_and(|claimed| bad(claimed, 64));
            wrong.then(|| "an integrity event".to_owned())
        }
        _ => None,
    }
}

fn stored_keys(tables: &Tables) -> BTreeMap<String, i32> {
    tables.entries.iter().map(|row| (row.entry.key.to_string(), row.epoch)).collect()
}

#[derive(Debug)]
struct ModelRows {
    door: Door,
    epoch: i32,
}

impl ModelRows {
    fn fence(&self, inner: &Inner) -> Result<(), StoreError> {
        if inner.tables.epoch == self.epoch { Ok(()) } else { Err(StoreError::Fenced { epoch: self.epoch }) }
    }
}

impl ModelRows {
    /// Whether the writer breaks at this batch. The process's last flush is not the writer's.
    fn breaks(&self, records: &[Record]) -> Option<Moment> {
        if !self.door.cut.in_actor() {
            return None;
        }
        let mut inner = self.door.database.lock();
        inner.batches += 1;
        let batches = inner.batches;
        let (moment, _) = *inner.writer_panics.iter().find(|(_, at)| *at == batches)?;
        let before = std::mem::replace(&mut inner.broke_at, records.first().cloned());
        (before.as_ref() != records.first()).then_some(moment)
    }

    fn panic(&self, fault: Fault) -> ! {
        self.door.database.world.struck(fault);
        panic!("{INJECTED}");
    }
}

#[async_trait]
impl SessionRows for ModelRows {
    fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    async fn reread(&self) -> Result<Claimed, StoreError> {
        self.door.transact("read the session", false, |inner| Ok(inner.claimed())).await
    }

    async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        let epoch = self.epoch;
        let breaks = self.breaks(records);
        if breaks == Some(Moment::Taken) {
            self.panic(Fault::WriterPanicsBeforeSend);
        }
        // The client that goes away in the middle takes its transaction with it, or has sent all.
        let sent = breaks == Some(Moment::Sent);
        if sent && self.door.database.lock().rng.bool() {
            sleep(Duration::from_millis(1)).await;
            self.panic(Fault::WriterPanicsSent);
        }
        let stored = self
            .door
            .transact("store records", true, |inner| {
                self.fence(inner)?;
                if let Some(what) = records.iter().find_map(unstorable) {
                    self.door.database.world.violate("every_row_can_be_stored", what);
                    return Err(refused("store transcript entries", "22021"));
                }
                inner.refuse(records)?;
                for record in records {
                    inner.tables.store(record, epoch);
                }
                Ok(inner.tables.epoch)
            })
            .await
            .map(|current| {
                if epoch < current {
                    let what = format!("epoch {epoch} wrote under epoch {current}");
                    self.door.database.world.violate("no_row_of_an_older_epoch", what);
                }
            });
        let ends = |record: &Record| matches!(record, Record::Phase { phase: Phase::Ending, .. });
        if stored.is_ok() && records.iter().any(ends) {
            self.door.database.world.pass(Point::Ending);
        }
        let outcome = match &stored {
            Ok(()) => "stored",
            Err(StoreError::Fenced { .. }) => "fenced",
            Err(_) => "failed",
        };
        self.door.database.world.note(format_args!("db: process {} {outcome} {} records", self.door.process, records.len()));
        match breaks {
            // Applied, and the reply is not here yet for anyone but us.
            Some(Moment::Sent) => self.panic(Fault::WriterPanicsSent),
            Some(Moment::Replied) => self.panic(Fault::WriterPanicsReplied),
            Some(Moment::Taken) | None => {}
        }
        stored
    }

    async fn rehearse(&self, records: &[Record]) -> Result<(), StoreError> {
        self.door
            .transact("rehearse records", true, |inner| {
                self.fence(inner)?;
                inner.refuse(records)
            })
            .await
    }

    async fn set_aside(&self, letter: DeadLetter<'_>) -> Result<(), StoreError> {
        self.door
            .transact("set a record aside", true, |inner| {
                self.fence(inner)?;
                if let (Some(code), true) = (inner.poison.1, is_poison(letter.record)) {
                    return Err(refused("set a record aside", code));
                }
                inner.tables.dead_letters.insert((self.epoch, letter.ordinal));
                Ok(())
            })
            .await
    }

    async fn heartbeat(&self) -> Result<Pulse, StoreError> {
        self.door
            .transact("touch the session", false, |inner| {
                self.fence(inner)?;
                Ok(Pulse { end_requested: inner.tables.end_requested.then_some(EndReason::RecruiterEnded), join_by: None })
            })
            .await
    }

    async fn consume_ticket(&self, ticket: &str, _: Option<&str>) -> Result<Result<Seat, TicketRefusal>, StoreError> {
        self.door
            .transact("consume a ticket", true, |inner| {
                match inner.tables.tickets.get(ticket) {
                    None => return Ok(Err(TicketRefusal::Unknown)),
                    Some(true) => return Ok(Err(TicketRefusal::Consumed)),
                    Some(false) => {}
                }
                self.fence(inner)?;
                inner.tables.tickets.insert(ticket.to_owned(), true);
                Ok(Ok(Seat { user: UserId(Uuid::from_u128(1)), ticket: TicketHash::of(ticket) }))
            })
            .await
    }

    async fn recordings(&self) -> Result<Vec<Recording>, StoreError> {
        self.door.transact("read the recordings", false, |inner| Ok(inner.tables.recordings())).await
    }

    async fn count_summary_try(&self, most: i32) -> Result<bool, StoreError> {
        self.door
            .transact("count a try of the summary", true, |inner| {
                self.fence(inner)?;
                let counted = inner.tables.summary_tries < most;
                inner.tables.summary_tries += i32::from(counted);
                Ok(counted)
            })
            .await
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        self.door.transact("read the transcript", false, |inner| Ok(inner.tables.in_order())).await
    }
}

impl Inner {
    /// What the database refuses of these, if anything.
    fn refuse(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let refused = |code| Err(refused("store transcript entries", code));
        if records.iter().any(is_poison) {
            // Where that may be anyone's fault, it takes its time until it is held for the record's.
            self.health.be_ill_for(Duration::ZERO);
            return refused(self.poison.0);
        }
        if self.tables.number_is_taken(records) {
            return refused("23505");
        }
        Ok(())
    }

    fn claimed(&self) -> Claimed {
        let tables = &self.tables;
        Claimed {
            phase: tables.phase,
            end: tables.end,
            segment: tables.segment,
            call: tables.call.clone(),
            ending_calls: tables.ending_calls.clone(),
            greeted: tables.greeted,
            acked_client_seq: tables.acked_client_seq,
            given_consents: tables.consents.clone(),
            // The gateway has not got it from the provider yet when the first process starts.
            recordings: if tables.epoch > 1 { tables.recordings() } else { vec![] },
            started_at: tables.started_at,
            entries: tables.in_order(),
            conducted: tables.conducted.clone(),
            ..self.context.clone()
        }
    }
}

impl Tables {
    fn store(&mut self, record: &Record, epoch: i32) {
        match record {
            Record::Entry(entry) => self.upsert(entry, epoch),
            Record::ClientSeq(seq) => self.acked_client_seq = *seq,
            Record::Phase { phase, end, at } => {
                self.phase = *phase;
                self.end = end.or(self.end);
                if *phase == Phase::Live {
                    self.started_at.get_or_insert(**at);
                }
            }
            Record::Call { call, ending, segment } => {
                self.ending_calls.clone_from(ending);
                self.calls.extend(call.clone());
                self.call.clone_from(call);
                self.segment = self.segment.max(*segment);
            }
            Record::Greeted => self.greeted = true,
            Record::Consent { kind, .. } => {
                if !self.consents.contains(kind) {
                    self.consents.push(*kind);
                }
            }
            Record::Recording(recording) => self.recording = recording.state,
            // One summary, and before it each reason for none that is news.
            Record::Summary(summary) => {
                let stored = self.summaries.iter().any(|old| old.outcome.is_ok());
                if !stored && self.summaries.last().is_none_or(|last| last.outcome != summary.outcome) {
                    self.summaries.push(summary.clone());
                }
            }
            Record::Integrity { kind, at, claimed_at } => {
                let claimed = claimed_at.as_ref().map(|claimed| claimed.as_str().to_owned());
                self.integrity.push((kind.as_str().to_owned(), **at, claimed));
            }
            Record::Conduct(recorded) => {
                if self.conducted.last().is_none_or(|last| last.number < recorded.number) {
                    self.conducted.push(recorded.clone());
                }
            }
            Record::Connected(_) | Record::ReturnBy(_) | Record::Usage(_) => {}
        }
    }

    fn upsert(&mut self, entry: &Entry, epoch: i32) {
        let known = self.entries.iter_mut().find(|row| row.entry.key == entry.key);
        match known {
            Some(row) => {
                if entry.revision > row.entry.revision {
                    // The number of an entry is what evidence points at: it never changes.
                    let seq = row.entry.seq;
                    *row = Row { entry: Entry { seq, ..entry.clone() }, epoch };
                }
            }
            None => self.entries.push(Row { entry: entry.clone(), epoch }),
        }
    }

    fn recordings(&self) -> Vec<Recording> {
        let take = KnownTake { segment: 1, video: VideoId::from("viSim"), state: self.recording, parts: 0 };
        vec![Recording { take, upload_token: Some(SecretString::from("toSim")) }]
    }

    /// A number belongs to one entry: the table's primary key.
    fn number_is_taken(&self, records: &[Record]) -> bool {
        records.iter().any(|record| {
            let Record::Entry(entry) = record else { return false };
            self.entries.iter().any(|row| row.entry.seq == entry.seq && row.entry.key != entry.key)
                && !self.entries.iter().any(|row| row.entry.key == entry.key)
        })
    }

    pub fn in_order(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.entries.iter().map(|row| row.entry.clone()).collect();
        entries.sort_by_key(|entry| (entry.position, entry.seq));
        entries
    }

    /// The transcript as people read it.
    pub fn transcript(&self) -> Vec<Entry> {
        self.in_order().into_iter().filter(|entry| entry.authoritative).collect()
    }
}

/// What the runtime itself would make of the rows: they must be readable again.
pub fn restores(tables: &Tables) -> usize {
    Transcript::restore(tables.in_order()).len()
}
