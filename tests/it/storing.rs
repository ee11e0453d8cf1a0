//! The database refuses records in every way: the others are stored in order, once, and a refused record is set aside. While the
//! database refuses everything, everything waits.

use async_trait::async_trait;
use interview_runtime::actors::journal::{Journal, Receipt};
use interview_runtime::actors::storing::{Progress, Storing};
use interview_runtime::domain::claimed::{Claimed, Pulse, Recording, TicketRefusal};
use interview_runtime::domain::edge::{Label, Timestamp};
use interview_runtime::domain::outbox::Limits;
use interview_runtime::domain::outbox_record::{Record, RecordingRecord, RecordingState};
use interview_runtime::domain::refusals::Patience;
use interview_runtime::domain::seat::Seat;
use interview_runtime::domain::store_error::{Refusal as Cause, StoreError};
use interview_runtime::domain::transcript::{Entry, Transcript};
use interview_runtime::ids::{Epoch, SessionId, TenantId};
use interview_runtime::ports::{DeadLetter, SessionRows};
use interview_runtime::telemetry::Trace;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, Once};
use time::OffsetDateTime;

const POISONED: &str = "poisoned record";
/// Of every class that PostgreSQL may answer with.
const CODES: [&str; 24] = [
    "08006", "08P01", "0A000", "21000", "22003", "22021", "22P05", "23505", "23514", "25006", "26000", "28P01", "3D000", "40001",
    "40P01", "42501", "42P01", "53100", "53200", "54000", "55P03", "57014", "58030", "XX000",
];

/// How the database meets one record, whoever brings it.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Code(&'static str),
    /// The connection breaks, or nothing comes back, each time that this record is sent.
    Cut,
    Silence,
    Panic,
}

impl Refusal {
    fn draw(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(0..16) {
            0..=11 => Self::Code(CODES[rng.usize(..CODES.len())]),
            12 => Self::Cut,
            13 => Self::Silence,
            _ => Self::Panic,
        }
    }

    /// How all are met while the database is away. What is said of a value is no outage.
    fn outage() -> Vec<Self> {
        let of_values = |code: &str| ["22", "23", "54"].contains(&&code[..2]);
        CODES.into_iter().filter(|code| !of_values(code)).map(Self::Code).chain([Self::Cut, Self::Silence]).collect()
    }

    fn happen(self) -> StoreError {
        let action = "store a record";
        match self {
            Self::Code(code) => StoreError::Query { action, source: Cause::of_state(code, code) },
            Self::Cut => StoreError::Query { action, source: Cause::unreachable("the connection broke") },
            Self::Silence => StoreError::TimedOut { action },
            Self::Panic => panic!("{POISONED}"),
        }
    }
}

/// A database by the number of its calls.
#[derive(Debug, Default)]
struct Plan {
    /// How a record is met, and its letter.
    refused: BTreeMap<u64, (Refusal, Option<Refusal>)>,
    outages: Vec<(Range<u64>, Refusal)>,
    /// Calls that are committed and whose answer is lost.
    unanswered: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Tables {
    calls: u64,
    stored: Vec<u64>,
    aside: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct FakeRows {
    plan: Plan,
    tables: Mutex<Tables>,
}

/// The number that each record of a test carries.
fn number(record: &Record) -> u64 {
    match record {
        Record::ClientSeq(n) => *n,
        Record::Integrity { at, .. } => at.unix_timestamp() as u64,
        Record::Recording(recording) => recording.parts as u64,
        other => panic!("no such record here: {other:?}"),
    }
}

fn record(rng: &mut fastrand::Rng, n: u64) -> Record {
    match rng.u8(0..6) {
        0..=3 => {
            let at = OffsetDateTime::from_unix_timestamp(n as i64).expect("a small number");
            Record::Integrity { kind: Label::of("noted"), at: Timestamp::from(at), claimed_at: None }
        }
        4 => Record::ClientSeq(n),
        _ => {
            let state = RecordingState::Recording;
            Record::Recording(RecordingRecord {
                video: "vi".into(),
                state,
                parts: n as i32,
                failure: None,
                mime_type: None,
                incomplete: false,
            })
        }
    }
}

impl FakeRows {
    /// One call: whether the database is there at all, and whether the answer arrives.
    async fn call(&self, work: impl FnOnce(&mut Tables) -> Result<(), StoreError> + Send) -> Result<(), StoreError> {
        // Whoever asks may be gone before it is asked, or before it answers.
        tokio::task::yield_now().await;
        let done = {
            let mut tables = self.tables.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            tables.calls += 1;
            let now = tables.calls;
            if let Some((_, how)) = self.plan.outages.iter().find(|(when, _)| when.contains(&now)) {
                return Err(how.happen());
            }
            work(&mut tables)?;
            if self.plan.unanswered.contains(&now) { Err(Refusal::Cut.happen()) } else { Ok(()) }
        };
        tokio::task::yield_now().await;
        done
    }

    fn look(&self, records: &[Record]) -> Result<(), StoreError> {
        match records.iter().find_map(|record| self.plan.refused.get(&number(record))) {
            Some((how, _)) => Err(how.happen()),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl SessionRows for FakeRows {
    fn epoch(&self) -> Epoch {
        Epoch(1)
    }
    async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        self.call(|tables| {
            self.look(records)?;
            for record in records {
                // A repeat changes nothing.
                if !tables.stored.contains(&number(record)) {
                    tables.stored.push(number(record));
                }
            }
            Ok(())
        })
        .await
    }
    async fn rehearse(&self, records: &[Record]) -> Result<(), StoreError> {
        self.call(|_| self.look(records)).await
    }
    async fn set_aside(&self, letter: DeadLetter<'_>) -> Result<(), StoreError> {
        let number = number(letter.record);
        self.call(|tables| {
            if let Some((_, Some(how))) = self.plan.refused.get(&number) {
                return Err(how.happen());
            }
            tables.aside.insert(number);
            Ok(())
        })
        .await
    }
    async fn reread(&self) -> Result<Claimed, StoreError> {
        Err(StoreError::NotFound)
    }
    async fn count_summary_try(&self, _: i32) -> Result<bool, StoreError> {
        unreachable!("nobody summarizes here")
    }

    async fn heartbeat(&self) -> Result<Pulse, StoreError> {
        Ok(Pulse { end_requested: None, join_by: None })
    }
    async fn consume_ticket(&self, _: &str, _: Option<&str>) -> Result<Result<Seat, TicketRefusal>, StoreError> {
        Ok(Err(TicketRefusal::Unknown))
    }
    async fn recordings(&self) -> Result<Vec<Recording>, StoreError> {
        Ok(vec![])
    }
    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        Ok(vec![])
    }
}

/// Panics that are meant are not printed.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some(POISONED) {
                usual(panic);
            }
        }));
    });
}

fn draw(rng: &mut fastrand::Rng, records: u64, outages: bool) -> Plan {
    let mut plan = Plan::default();
    let often = [0, 1, 3, 9, 10][rng.usize(..5)];
    for n in 0..records {
        if rng.u8(0..10) < often {
            let letter = (rng.u8(0..4) == 0).then(|| Refusal::draw(rng));
            plan.refused.insert(n, (Refusal::draw(rng), letter));
        }
    }
    if outages {
        for _ in 0..rng.u8(0..4) {
            let (from, lasts) = (rng.u64(0..400), rng.u64(1..3_000));
            let outages = Refusal::outage();
            plan.outages.push((from..from + lasts, outages[rng.usize(..outages.len())]));
        }
        plan.unanswered = (0..rng.u8(0..10)).map(|_| rng.u64(0..200)).collect();
    }
    plan
}

/// Store all of it, with a storer that is killed now and then; the receipts in their order.
async fn store(storing: &Storing, rng: &mut fastrand::Rng) -> Vec<u64> {
    let mut released = Vec::new();
    for _ in 0..1_000_000 {
        let killed_after = if rng.u8(0..8) == 0 { rng.usize(0..3) } else { 100 };
        let killed = async {
            for _ in 0..killed_after {
                tokio::task::yield_now().await;
            }
        };
        let progress = tokio::select! { biased; () = killed => continue, progress = storing.step() => progress };
        match progress {
            Progress::Idle => return released,
            Progress::Done { up_to, .. } => {
                released.extend(storing.journal.stored(up_to).into_iter().map(|receipt| match receipt {
                    Receipt::AllStored(n) => n,
                    other => panic!("no such receipt here: {other:?}"),
                }));
            }
            Progress::Again | Progress::Later(_) => {}
            Progress::Fenced(trouble) => panic!("{trouble}"),
        }
    }
    panic!("it does not end: {:?}", storing.journal.backlog())
}

fn storing(rows: &Arc<FakeRows>, most: usize, patience: Patience) -> Storing {
    let journal = Journal::new(Transcript::default(), 0, Limits { records: 5_000, bytes: 4 << 20 }, 0);
    let trace = Trace::join(None, SessionId(uuid::Uuid::nil()), TenantId(uuid::Uuid::nil()));
    Storing { journal, rows: rows.clone(), trace, most, patience }
}

fn check(seed: u64, patience: Patience, outages: bool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let records = rng.u64(1..60);
    let rows = Arc::new(FakeRows { plan: draw(&mut rng, records, outages), ..FakeRows::default() });
    let storing = storing(&rows, rng.usize(1..40), patience);
    let mut receipts = Vec::new();
    for n in 0..records {
        storing.journal.record(record(&mut rng, n));
        if rng.u8(0..5) == 0 {
            receipts.push(storing.journal.when_all_stored());
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let released = runtime.block_on(async {
        if outages {
            return store(&storing, &mut rng).await;
        }
        storing.drain().await.expect("nothing is waited for");
        receipts.clone()
    });
    let tables = rows.tables.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (kept, lost): (Vec<_>, Vec<_>) = rows.plan.refused.iter().partition(|(_, (_, letter))| letter.is_none());
    let good: Vec<u64> = (0..records).filter(|n| !rows.plan.refused.contains_key(n)).collect();
    assert_eq!(tables.stored, good, "seed {seed}: the others are stored, in order, once");
    let aside: BTreeSet<u64> = kept.iter().map(|(n, _)| **n).collect();
    assert_eq!(tables.aside, aside, "seed {seed}: what is refused is kept aside");
    let totals = storing.journal.refusals(|known| known.totals());
    assert_eq!(totals, (kept.len() as u64, lost.len() as u64), "seed {seed}: and counted");
    assert_eq!(released, receipts, "seed {seed}");
}

#[test]
fn whichever_records_are_refused_with_whatever_and_whenever_all_is_away_the_others_are_stored_in_order() {
    hush();
    for seed in 0..500 {
        check(seed, Patience::USUAL, true);
    }
}

#[test]
fn the_last_flush_stores_what_can_be_stored_and_keeps_the_rest_without_waiting() {
    hush();
    for seed in 0..2_000 {
        check(seed, Patience::LAST, false);
    }
}

/// Whatever an outage looks like, and whoever asks: nothing is set aside, nothing is given up.
#[test]
fn while_the_database_takes_nothing_everything_waits() {
    hush();
    for how in Refusal::outage() {
        for patience in [Patience::USUAL, Patience::LAST] {
            let plan = Plan { outages: vec![(0..u64::MAX, how)], ..Plan::default() };
            let rows = Arc::new(FakeRows { plan, ..FakeRows::default() });
            let storing = storing(&rows, 10, patience);
            let mut rng = fastrand::Rng::with_seed(1);
            (0..20).for_each(|n| storing.journal.record(record(&mut rng, n)));
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            for _ in 0..5_000 {
                let progress = runtime.block_on(storing.step());
                assert!(matches!(progress, Progress::Later(_)), "{how:?}: {progress:?}");
            }
            assert_eq!(storing.journal.backlog().0, 20, "{how:?}");
            assert_eq!(storing.journal.refusals(|known| known.totals()), (0, 0), "{how:?}");
        }
    }
}

// ---- the same with the real process and the real PostgreSQL ----

mod real {
    use crate::support::browser::Browser;
    use crate::support::{World, wait_for};
    use interview_runtime::ids::SessionId;
    use interview_runtime::roles::Exit;
    use serde_json::json;
    use std::time::{Duration, Instant};

    /// Words that name a SQLSTATE are refused with it, slow ones take longer than a statement may, and
    /// of some not even the letter is taken.
    const REFUSING: &str = "
        create function app.refuse() returns trigger language plpgsql as $$ begin
          if new.text like 'slow%' then perform pg_sleep(30); end if;
          if new.text like 'forget%' then execute 'deallocate all'; end if;
          if new.text like 'refuse %' then raise exception using errcode = substr(new.text, 8, 5), message = 'refused'; end if;
          return new; end $$;
        create function app.refuse_letter() returns trigger language plpgsql as $$ begin
          if convert_from(new.content, 'UTF8') like '%unkept%' then raise exception using errcode = '22P05', message = 'refused'; end if;
          return new; end $$;
        create trigger refuse before insert on app.transcript_entries for each row execute function app.refuse();
        create trigger refuse before insert on app.dead_letters for each row execute function app.refuse_letter()";

    async fn texts(world: &World, session: SessionId) -> Vec<String> {
        world.rows(session).await.into_iter().map(|row| row.2).collect()
    }

    /// The words of the dead letters, and what PostgreSQL said, as the runbook reads them.
    async fn letters(world: &World, session: SessionId) -> Vec<(String, String)> {
        sqlx::query_as(
            "select convert_from(content, 'UTF8')::json #>> '{entry,text}', refusal from app.dead_letters
             where session_id = $1 order by ordinal",
        )
        .bind(session.0)
        .fetch_all(&world.admin)
        .await
        .expect("the dead letters")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn records_that_are_refused_by_class_are_set_aside_the_others_stored_and_the_interview_ends() {
        let world = World::start().await;
        world.sql(REFUSING).await;
        let session = world.new_session().await;
        let runtime = world.run_with(session, &[("INTERVIEW__DATABASE__STATEMENT_TIMEOUT_MS", "300")]).await;
        let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
        let bad = ["refuse 22021", "refuse 23514", "refuse 54000", "refuse 22P05 unkept", "refuse XX000", "refuse 40001", "slow"];
        let mut good = Vec::new();
        let from = Instant::now();
        for (n, bad) in bad.iter().enumerate() {
            let (before, after) = (format!("{n} before"), format!("{n} after"));
            browser.say(n as u64 + 1, &[&before, bad, &after]).await;
            good.extend([before, after]);
        }
        while browser.expect("transcript_ack").await["seq"] != bad.len() {}
        println!("{} refused ones were found within {:?}", bad.len(), from.elapsed());
        browser.send(json!({"type": "end_session"})).await;
        assert_eq!(runtime.exit().await, Exit::Done);
        assert_eq!(world.text(session, "phase").await.as_deref(), Some("completed"));
        assert_eq!(texts(&world, session).await, good);
        let kept: Vec<String> = letters(&world, session).await.into_iter().map(|(text, _)| text).collect();
        assert_eq!(kept, bad.into_iter().filter(|text| !text.contains("unkept")).collect::<Vec<_>>());
        world.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_connection_with_stale_plans_is_replaced() {
        let world = World::start().await;
        world.sql(REFUSING).await;
        let session = world.new_session().await;
        // One connection, so that it is the one that is stale.
        let mut runtime = world.run_with(session, &[("INTERVIEW__DATABASE__MAX_CONNECTIONS", "1")]).await;
        let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
        // 26000: the server forgets what was prepared, in the middle of a batch.
        let from = Instant::now();
        for seq in 1..=5 {
            browser.say(seq, &[&format!("forget {seq}"), &format!("after {seq}")]).await;
        }
        while browser.expect("transcript_ack").await["seq"] != 5 {}
        assert!(from.elapsed() < Duration::from_secs(10), "{:?}", from.elapsed());
        // 0A000: a column that is read has another type.
        world.sql("alter table app.websocket_tickets alter column origin type varchar(300)").await;
        let ticket = world.ticket(session).await;
        let mut ready = false;
        for _ in 0..3 {
            if let Ok(mut next) = Browser::connect(&runtime.websocket_url(), &ticket).await {
                ready = tokio::time::timeout(Duration::from_secs(5), next.hears("session_ready")).await.unwrap_or(false);
            }
            if ready {
                break;
            }
        }
        assert!(ready, "the page that comes back is let in");
        assert_eq!(letters(&world, session).await, []);
        runtime.stop();
        assert_eq!(runtime.exit().await, Exit::Interrupted);
        world.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_tree_that_fails_over_a_refused_record_leaves_the_words_behind_it_stored() {
        let world = World::start().await;
        world.sql(REFUSING).await;
        let session = world.new_session().await;
        let runtime = world.run(session).await;
        let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
        browser.say(1, &["before", "refuse XX000", "after"]).await;
        while browser.expect("degraded").await["what"] != "storage" {}
        for time in 1..=11 {
            runtime.crash("transcript_writer").await;
            if time < 11 {
                wait_for("the writer is back", || async {
                    runtime.restarts("transcript_writer").await == time && runtime.runs("transcript_writer").await
                })
                .await;
            }
        }
        assert_eq!(runtime.exit().await, Exit::Failed);
        assert_eq!(texts(&world, session).await, ["before", "after"]);
        let [(text, refusal)] = &letters(&world, session).await[..] else { panic!("one letter") };
        assert_eq!(text, "refuse XX000");
        assert!(refusal.contains("refused"), "{refusal}");
        // The machine starts it again; nothing was lost that the page was shown.
        let mut runtime = world.run(session).await;
        let mut browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
        browser.say(2, &["later"]).await;
        browser.expect("transcript_ack").await;
        assert_eq!(texts(&world, session).await, ["before", "after", "later"]);
        runtime.stop();
        assert_eq!(runtime.exit().await, Exit::Interrupted);
        world.stop().await;
    }
}
