//! Mutated frames and provider events through the whole path: real session processes, a real PostgreSQL, a browser's socket on
//! one side and the voice provider's on the other, with valid inputs between the bad ones.
//!
//! No input ends a process, no valid input is lost or out of order, and each interview ends completed. A few thousand inputs in
//! every test run; `FUZZ_INPUTS=1000000 scripts/fuzz path` is the campaign (docs/HOSTILE_INPUT.md).

use crate::support::mutate::{lines, mutated, setting};
use crate::support::process::Process;
use crate::support::stream::Stream;
use crate::support::voice_stub::{Call, OFFER, VoiceStub};
use crate::support::{World, wait_for};
use interview_runtime::domain::protocol::ClientMessage;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// Interviews at once, and inputs to each.
const LANES: u64 = 3;
const OF_AN_INTERVIEW: u64 = 4_000;
/// Inputs to one side before the other has its turn.
const BURST: u64 = 200;
/// One good neighbour after so many bad inputs.
const NEIGHBOURS: u64 = 10;
/// Calls that are replaced because of what is done in them (`intrusions::MOST_REPLACED`).
const REPLACED: usize = 3;
/// A number that no neighbour has: it tells that all before it was read.
const MARKERS: u64 = 1 << 40;

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    frames: u64,
    events: u64,
    refused: u64,
    acknowledged: u64,
    set_aside: u64,
    reconnects: u64,
    calls: u64,
    neighbours: u64,
    lost: u64,
    ended_by_themselves: u64,
    completed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.events += other.events;
        self.refused += other.refused;
        self.acknowledged += other.acknowledged;
        self.set_aside += other.set_aside;
        self.reconnects += other.reconnects;
        self.calls += other.calls;
        self.neighbours += other.neighbours;
        self.lost += other.lost;
        self.ended_by_themselves += other.ended_by_themselves;
        self.completed += other.completed;
    }
}

struct Corpus {
    frames: Vec<String>,
    events: Vec<String>,
    /// What ends an interview or replaces its call, when it is understood: they come last.
    last_frames: Vec<String>,
    last_events: Vec<String>,
}

impl Corpus {
    fn load() -> Self {
        let (last_frames, frames) = lines(include_str!("corpus/frames.jsonl"))
            .into_iter()
            .partition(|frame| frame.contains("end_session") || frame.contains("sdp_offer"));
        let (last_events, events) =
            lines(include_str!("corpus/events.jsonl")).into_iter().partition(|event| event.contains("end_interview"));
        Self { frames, events, last_frames, last_events }
    }
}

/// One interview under fire.
struct Fire<'a> {
    world: &'a World,
    corpus: &'a Corpus,
    stub: VoiceStub,
    rng: fastrand::Rng,
    process: Process,
    page: Stream,
    call: Call,
    offer: String,
    opened: OffsetDateTime,
    number: u64,
    /// Good updates that were told, in their order, and those of them that had to be told again.
    told: Vec<String>,
    again: HashSet<String>,
    waiting: Vec<(u64, String)>,
    /// Good turns and replies, in their order.
    said: Vec<String>,
    turns: u64,
    /// Times that the call was replaced.
    replaced: usize,
    tally: Tally,
}

impl<'a> Fire<'a> {
    async fn open(world: &'a World, corpus: &'a Corpus, stub: &VoiceStub, seed: u64) -> Self {
        let session = world.new_session().await;
        let keys = [
            ("INTERVIEW__OPENAI__BASE_URL", stub.url.as_str()),
            ("INTERVIEW__SOCKET__FRAMES_PER_S", "1000000"),
            ("INTERVIEW__SOCKET__FRAMES_BURST", "1000000"),
            ("INTERVIEW__LIMITS__SHOWN_TICKETS_BURST", "1000000"),
            ("INTERVIEW__INTERVIEW__AWAITED_WORDS_S", "1"),
            ("INTERVIEW__TELEMETRY__LOG", "error"),
        ];
        let process = world.spawn_ready(session, &keys).await;
        let mut page = Stream::join(&process.websocket_url(), &world.ticket(session).await).await.expect("lets us in");
        page.consent().await;
        let (offer, opened) = (format!("{OFFER}a=interview:{session}\r\n"), OffsetDateTime::now_utc());
        let call = offer_again(&mut page, stub, &offer).await;
        Self {
            world,
            corpus,
            stub: stub.clone(),
            rng: fastrand::Rng::with_seed(seed),
            process,
            page,
            call,
            offer,
            opened,
            number: 0,
            told: vec![],
            again: HashSet::new(),
            waiting: vec![],
            said: vec![],
            turns: 0,
            replaced: 0,
            tally: Tally { calls: 1, ..Tally::default() },
        }
    }

    /// All inputs of this interview; then its end.
    async fn hold(mut self, inputs: u64) -> Tally {
        while self.tally.frames + self.tally.events < inputs && !self.process.has_ended() {
            self.frames().await;
            self.events().await;
        }
        if self.process.has_ended() {
            println!("a process ended by itself: {:#?}", self.process.lines());
            self.tally.ended_by_themselves += 1;
            return self.tally;
        }
        self.finish().await;
        self.check().await;
        self.tally
    }

    // ---- the browser's side ----

    async fn frames(&mut self) {
        let before = self.page.told(|told| told.errors);
        let mut unreadable = 0;
        for n in 0..BURST {
            let frame = String::from_utf8_lossy(&mutated(&mut self.rng, &self.corpus.frames)).into_owned();
            unreadable += u64::from(ClientMessage::read(&frame).is_err());
            self.page.send(frame).await;
            if n % NEIGHBOURS == 0 {
                let text = format!("kept {}", self.told.len());
                self.told.push(text.clone());
                self.tell(text).await;
            }
        }
        self.tally.frames += BURST;
        let whole = self.confirm().await;
        let answered = self.page.told(|told| told.errors) - if whole { before } else { 0 };
        // The marker is refused as well.
        assert!(!whole || answered > unreadable, "{answered} refusals of {unreadable} frames that mean nothing");
    }

    async fn tell(&mut self, text: String) {
        self.number = self.number.max(self.page.told(|told| told.acked)) + 1;
        let entry = json!({"text": text, "speaker": "candidate", "timestamp": "2026-11-28T10:00:00Z", "id": text});
        self.page.say(json!({"type": "transcript_update", "seq": self.number, "entries": [entry]})).await;
        self.waiting.push((self.number, text));
    }

    /// As an honest page does: a number that is refused, since a bad input has taken it, is left for another, and what a
    /// lost connection had not acknowledged is told again. False when the connection was lost on the way.
    async fn confirm(&mut self) -> bool {
        let mut whole = true;
        loop {
            let marker = MARKERS + self.rng.u64(..1 << 30);
            let nameless = json!({"text": "", "speaker": "ai", "timestamp": "", "id": ""});
            self.page.say(json!({"type": "transcript_update", "seq": marker, "entries": [nameless]})).await;
            if !self.page.until("the marker", |told| told.refused.contains(&marker)).await {
                whole = false;
                if !self.reconnect().await {
                    return false;
                }
            }
            let refused: HashSet<u64> = self.page.told(|told| told.refused.clone());
            let last = self.waiting.iter().map(|(seq, _)| *seq).filter(|seq| !refused.contains(seq)).max().unwrap_or(0);
            self.page.until("the acknowledgement", |told| told.acked >= last).await;
            let acked = self.page.told(|told| told.acked);
            let (stored, open): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.waiting).into_iter().partition(|(seq, _)| *seq <= acked && !refused.contains(seq));
            drop(stored);
            if open.is_empty() {
                return whole;
            }
            for (_, text) in open {
                self.again.insert(text.clone());
                self.tell(text).await;
            }
        }
    }

    /// With a new ticket; everything that was not acknowledged is numbered anew. False when the process is gone.
    async fn reconnect(&mut self) -> bool {
        self.count_page();
        // Each `resume` among the inputs is answered with up to 256 events: some pages read too slowly for that. At the
        // end the line is closed in order.
        let code = self.page.closed();
        assert!(matches!(code, None | Some(1000 | 1013)), "closed with {code:?}");
        self.tally.reconnects += 1;
        let ticket = self.world.ticket(self.process.session).await;
        let Some(page) = Stream::join(&self.process.websocket_url(), &ticket).await else { return false };
        self.page = page;
        self.number = 0;
        for (_, text) in std::mem::take(&mut self.waiting) {
            self.again.insert(text.clone());
            self.tell(text).await;
        }
        true
    }

    fn count_page(&mut self) {
        let (errors, acks) = self.page.told(|told| (told.errors, told.acks));
        self.tally.refused += errors;
        self.tally.acknowledged += acks;
    }

    // ---- the provider's side ----

    async fn events(&mut self) {
        for n in 0..BURST {
            let event = String::from_utf8_lossy(&mutated(&mut self.rng, &self.corpus.events)).into_owned();
            self.call.send_text(event);
            // While the call may still be replaced, what is said in it may end with it.
            if n % NEIGHBOURS == 0 && self.replaced == REPLACED {
                let text = self.next_turn("said");
                if self.rng.bool() {
                    self.call.turn(&text);
                } else {
                    self.call.reply(&text);
                }
                self.said.push(text);
            }
        }
        self.tally.events += BURST;
        // Of a call that is replaced it may be stored or not.
        let text = self.next_turn("last");
        self.call.turn(&text);
        let (world, call, session) = (self.world, self.call.clone(), self.process.session);
        let heard = async || is_stored(world, session, &text).await || call.is_hung_up();
        wait_for("the last turn is heard, or its call is replaced", &heard).await;
        if !call.is_hung_up() || self.page.closed().is_some() && !self.reconnect().await {
            return;
        }
        self.replaced += 1;
        self.tally.calls += 1;
        self.call = offer_again(&mut self.page, &self.stub, &self.offer).await;
    }

    fn next_turn(&mut self, kind: &str) -> String {
        self.turns += 1;
        format!("{kind} {}", self.turns)
    }

    // ---- the end ----

    async fn finish(&mut self) {
        for _ in 0..BURST / 4 {
            let (frames, events) = (&self.corpus.last_frames, &self.corpus.last_events);
            let frame = mutated(&mut self.rng, frames);
            self.page.send(String::from_utf8_lossy(&frame).into_owned()).await;
            self.call.send_text(String::from_utf8_lossy(&mutated(&mut self.rng, events)).into_owned());
        }
        self.tally.frames += BURST / 4;
        self.tally.events += BURST / 4;
        self.page.say(json!({"type": "end_session"})).await;
        while !self.page.until("the end", |told| told.ended).await {
            // The end may have come while we were away: then nobody lets us in any more.
            if !self.reconnect().await {
                break;
            }
            self.page.say(json!({"type": "end_session"})).await;
        }
        self.count_page();
        let ended = self.process.ended(Duration::from_mins(1)).await;
        let panicked = self.process.lines().iter().any(|line| line.contains("panicked at"));
        if ended.code != Some(0) || panicked {
            println!("{:?}: {:#?}", ended.code, self.process.lines());
            self.tally.ended_by_themselves += 1;
        }
    }

    async fn check(&mut self) {
        let session = self.process.session;
        if self.world.text(session, "phase").await.as_deref() == Some("completed") {
            self.tally.completed += 1;
        }
        self.tally.set_aside += self.world.set_aside(session).await.len() as u64;
        let rows = self.world.entries(session).await;
        let texts = |prefix: &str| -> Vec<String> {
            let all = rows.iter().filter_map(|row| row["text"].as_str()).filter(|text| text.starts_with(prefix));
            all.map(str::to_owned).collect()
        };
        let (kept, said) = (texts("kept "), texts("said "));
        self.tally.neighbours += (self.told.len() + self.said.len()) as u64;
        for (expected, found) in [(&self.told, &kept), (&self.said, &said)] {
            let lost: Vec<_> = expected.iter().filter(|text| found.iter().filter(|row| row == text).count() != 1).collect();
            if !lost.is_empty() {
                println!("{session}: not stored, or not once: {lost:?}");
            }
            self.tally.lost += lost.len() as u64;
        }
        let in_order = |texts: &[String]| texts.iter().filter(|text| !self.again.contains(*text)).cloned().collect::<Vec<_>>();
        assert_eq!(in_order(&kept), in_order(&self.told), "{session}: updates in order");
        assert_eq!(said, self.said, "{session}: turns in order");
        let heard = |row: &&Value| row["text"].as_str().is_some_and(|text| text.starts_with("said "));
        assert!(rows.iter().filter(heard).all(|row| row["authoritative"] == true && row["source"] == "sideband"), "{session}");
        self.check_rows().await;
    }

    /// Whatever came in, what is stored is clean.
    async fn check_rows(&self) {
        let unclean: Vec<Value> = sqlx::query_scalar(
            "select to_jsonb(e) from app.transcript_entries e where session_id = $1
             and (text ~ '[\\x01-\\x08\\x0b-\\x1f\\x7f\\u202a-\\u202e]' or at < $2 or at > now() or length(entry_key) > 140)",
        )
        .bind(self.process.session.0)
        .bind(self.opened - Duration::from_mins(1))
        .fetch_all(&self.world.admin)
        .await
        .expect("rows");
        assert!(unclean.is_empty(), "{unclean:#?}");
    }
}

async fn is_stored(world: &World, session: interview_runtime::ids::SessionId, text: &str) -> bool {
    let sql = "select exists (select from app.transcript_entries where session_id = $1 and text = $2)";
    sqlx::query_scalar(sql).bind(session.0).bind(text).fetch_one(&world.admin).await.expect("an answer")
}

async fn offer_again(page: &mut Stream, stub: &VoiceStub, offer: &str) -> Call {
    let before = page.told(|told| told.answers);
    page.say(json!({"type": "sdp_offer", "sdp": offer})).await;
    assert!(page.until("the answer", |told| told.answers > before).await, "an offer is answered");
    let call = stub.call_of(offer).await;
    page.say(json!({"type": "media_state", "state": "connected"})).await;
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuzzed_frames_and_provider_events_through_the_whole_path_to_a_real_postgresql() {
    let (inputs, seed) = (setting("FUZZ_INPUTS", 5_000), setting("FUZZ_SEED", 1));
    let lanes = setting("FUZZ_LANES", LANES);
    let (world, corpus, from) = (Arc::new(World::start().await), Arc::new(Corpus::load()), Instant::now());
    let taken = Arc::new(AtomicU64::new(0));
    let share = OF_AN_INTERVIEW.min(inputs.div_ceil(lanes));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..lanes {
        let (world, corpus, taken) = (world.clone(), corpus.clone(), taken.clone());
        running.spawn(async move {
            let (stub, mut tally) = (VoiceStub::start().await, Tally::default());
            loop {
                let begun = taken.fetch_add(share, Ordering::Relaxed);
                if begun >= inputs {
                    return tally;
                }
                let fire = Fire::open(&world, &corpus, &stub, seed.wrapping_mul(1_000_003).wrapping_add(begun)).await;
                tally += fire.hold(share).await;
                if inputs > 100_000 && begun % (25 * share) == 0 {
                    println!("  {begun} of {inputs} after {:.0} s: {tally:?}", from.elapsed().as_secs_f64());
                }
            }
        });
    }
    let mut tally = Tally::default();
    while let Some(lane) = running.join_next().await {
        tally += lane.expect("no promise was broken");
    }
    println!(
        "the whole path, seed {seed}: {} inputs ({} frames, {} provider events) in {:.0} s; {} answered with an error, {} acknowledgements, \
         {} records set aside, {} reconnects, {} calls; {} good neighbours, {} lost; {} processes ended by themselves; {} interviews completed",
        tally.frames + tally.events,
        tally.frames,
        tally.events,
        from.elapsed().as_secs_f64(),
        tally.refused,
        tally.acknowledged,
        tally.set_aside,
        tally.reconnects,
        tally.calls,
        tally.neighbours,
        tally.lost,
        tally.ended_by_themselves,
        tally.completed
    );
    let interviews = inputs.div_ceil(share);
    assert_eq!((tally.lost, tally.ended_by_themselves, tally.completed), (0, 0, interviews), "{tally:?}");
    assert!(
        tally.frames + tally.events >= inputs && tally.refused > 0 && tally.acknowledged > 0,
        "the campaign is void: {tally:?}"
    );
    if let Ok(world) = Arc::try_unwrap(world) {
        world.stop().await;
    }
}
