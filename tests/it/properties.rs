//! Properties over many random histories, from seeds that are printed when one fails.

use interview_runtime::actors::journal::{Journal, OUTGOING_QUEUE, Outgoing, Receipt};
use interview_runtime::domain::edge::{EntryKey, Millis, Text};
use interview_runtime::domain::outbox::Limits;
use interview_runtime::domain::outbox_record::Record;
use interview_runtime::domain::phase::{Effect, EndReason, Event, Interview, Phase, Resumed, Said, Timer};
use interview_runtime::domain::protocol::{ServerEvent as Told, SummaryState};
use interview_runtime::domain::transcript::{ClientReport, Status, Transcript};
use interview_runtime::domain::voice::Speaker;
use interview_runtime::error::ErrorCode;
use interview_runtime::ids::{ConnectionId, ItemId};
use interview_runtime::integrations::openai::events::ServerEvent;
use interview_runtime::integrations::openai::voice::translate;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use time::OffsetDateTime;
use tokio::sync::mpsc;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
/// Before the first connection there is this one.
const NOBODY: ConnectionId = ConnectionId(0);

/// Run a property for many seeds; the first that fails is named.
fn for_seeds(count: u64, property: impl Fn(&mut fastrand::Rng)) {
    for seed in 0..count {
        let run = std::panic::AssertUnwindSafe(|| property(&mut fastrand::Rng::with_seed(seed)));
        if let Err(panic) = std::panic::catch_unwind(run) {
            println!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

// ---- numbered updates: what is acknowledged, and what is stored ----

fn journal() -> Journal {
    Journal::new(Transcript::default(), 0, Limits { records: 5_000, bytes: 4 << 20 }, 0)
}

fn words(key: &str, text: &str) -> Vec<ClientReport> {
    let key = EntryKey::stored(format!("c:{key}"));
    let (text, claimed_at) = (text.into(), Text::default());
    vec![ClientReport { key, item_id: None, speaker: Speaker::Candidate, text, claimed: Some(NOW.into()), claimed_at }]
}

/// The database takes everything; the acknowledgements that this releases.
fn store(journal: &Journal, rows: &mut Vec<String>) -> Vec<u64> {
    let mut acks = Vec::new();
    while let Some(batch) = journal.batch(100) {
        for record in &batch.records {
            if let Record::Entry(entry) = record
                && !rows.iter().any(|row| *row == *entry.text)
            {
                rows.push(entry.text.as_str().to_owned());
            }
        }
        acks.extend(journal.stored(batch.up_to).into_iter().filter_map(|receipt| match receipt {
            Receipt::ClientSeq { seq, .. } => Some(seq),
            _ => None,
        }));
    }
    acks
}

#[test]
fn a_hundred_thousand_repeats_are_acknowledged_and_store_nothing() {
    let (journal, mut rows) = (journal(), Vec::new());
    for seq in 1..=100 {
        journal.client_report(NOBODY, Ok(words(&seq.to_string(), &format!("words {seq}"))), Some(seq), NOW).expect("taken");
    }
    assert_eq!(store(&journal, &mut rows).last(), Some(&100));
    for n in 0..100_000 {
        let seq = n % 100 + 1;
        journal
            .client_report(NOBODY, Ok(words(&seq.to_string(), &format!("words {seq}"))), Some(seq), NOW)
            .expect("a repeat is taken");
        if n % 1_000 == 0 {
            let batch = journal.batch(100).expect("an acknowledgement waits");
            assert!(batch.records.is_empty(), "a repeat stores nothing");
            assert_eq!(
                journal.stored(batch.up_to),
                [Receipt::ClientSeq { connection: NOBODY, seq: 100 }],
                "one acknowledgement for all of them"
            );
        }
    }
    assert!(journal.backlog().0 == 0 && rows.len() == 100);
}

#[test]
fn ten_thousand_other_words_under_the_same_number_overwrite_nothing() {
    let (journal, mut rows) = (journal(), Vec::new());
    for seq in 1..=100 {
        journal.client_report(NOBODY, Ok(words(&seq.to_string(), &format!("words {seq}"))), Some(seq), NOW).expect("taken");
    }
    for n in 0..10_000 {
        let seq = n % 100 + 1;
        // Half of them with the same key for the entry.
        let key = if n % 2 == 0 { seq.to_string() } else { format!("x{n}") };
        let refusal = journal.client_report(NOBODY, Ok(words(&key, &format!("other {n}"))), Some(seq), NOW).expect_err("refused");
        assert_eq!((refusal.code, refusal.retryable), (ErrorCode::SeqConflict, false));
    }
    store(&journal, &mut rows);
    assert_eq!(rows, (1..=100).map(|seq| format!("words {seq}")).collect::<Vec<_>>());
}

/// Send updates in this order, the database storing now and then: an acknowledgement never
/// covers what was not stored, never goes back, and in the end covers all.
fn arrive(order: &[u64], last: u64, stores: impl Fn(usize) -> bool) {
    let (journal, mut rows) = (journal(), Vec::new());
    let (mut came, mut acked) = (BTreeSet::new(), 0);
    for (step, seq) in order.iter().enumerate() {
        journal.client_report(NOBODY, Ok(words(&seq.to_string(), &seq.to_string())), Some(*seq), NOW).expect("taken");
        came.insert(*seq);
        if stores(step) || step + 1 == order.len() {
            for ack in store(&journal, &mut rows) {
                assert!(ack >= acked, "{ack} after {acked}");
                assert!((1..=ack).all(|seq| rows.contains(&seq.to_string())), "{ack} covers what is not stored: {rows:?}");
                acked = ack;
            }
            assert!(
                acked >= (1..=last).take_while(|seq| came.contains(seq)).last().unwrap_or(0),
                "what is whole is acknowledged"
            );
        }
    }
    assert_eq!((acked, rows.len() as u64), (last, last));
}

#[test]
fn in_whatever_order_updates_come_all_are_stored_once_and_no_gap_is_acknowledged() {
    let mut permutations = 0;
    let mut order = [1, 2, 3, 4, 5, 6, 7];
    // Heap's algorithm.
    let mut counters = [0; 7];
    let mut index = 0;
    arrive(&order, 7, |_| true);
    permutations += 1;
    while index < order.len() {
        if counters[index] < index {
            order.swap(if index % 2 == 0 { 0 } else { counters[index] }, index);
            arrive(&order, 7, |step| step % 2 == 0);
            permutations += 1;
            counters[index] += 1;
            index = 0;
        } else {
            counters[index] = 0;
            index += 1;
        }
    }
    assert_eq!(permutations, 5_040);
    for_seeds(10_000, |rng| {
        let last = rng.u64(1..30);
        let mut order: Vec<u64> = (1..=last).chain((0..rng.u64(0..10)).map(|_| rng.u64(1..=last))).collect();
        rng.shuffle(&mut order);
        let often = rng.usize(1..6);
        arrive(&order, last, |step| step % often == 0);
    });
}

// ---- resume ----

#[test]
fn a_browser_that_loses_its_line_again_and_again_sees_each_event_once_and_in_order() {
    for_seeds(3_000, |rng| {
        let journal = journal();
        let (mut told, mut seen, mut last_seen) = (0_u64, Vec::new(), 0);
        let mut line: Option<(_, mpsc::Receiver<Outgoing>)> = None;
        let mut listen = |receiver: &mut mpsc::Receiver<Outgoing>, most: usize, last_seen: &mut u64| {
            for _ in 0..most {
                match receiver.try_recv() {
                    Ok(Outgoing::Event { n, event }) => {
                        if let Told::SessionEnded { transcript_entries, .. } = &*event {
                            seen.push(*transcript_entries as u64);
                        }
                        *last_seen = n;
                    }
                    _ => return,
                }
            }
        };
        for _ in 0..rng.usize(10..120) {
            match rng.u8(0..10) {
                0..=4 if told < 400 => {
                    told += 1;
                    // An event that is told again, with a number to know it by.
                    let summary = SummaryState::Pending;
                    let reason = EndReason::TimeLimit;
                    journal.tell(Told::SessionEnded { reason, transcript_entries: told as usize, summary });
                    // And one that is not.
                    journal.tell(Told::TimeLeft { seconds: told });
                }
                5..=6 => {
                    // Lost: with what was under way, if anything.
                    if let Some((connection, mut receiver)) = line.take() {
                        listen(&mut receiver, rng.usize(0..5), &mut last_seen);
                        if rng.bool() {
                            journal.disconnect(connection);
                        }
                    }
                }
                7 => {
                    let (sender, receiver) = mpsc::channel(if rng.bool() { OUTGOING_QUEUE } else { 1_024 });
                    let connection = journal.connect(sender);
                    journal.replay(last_seen);
                    line = Some((connection, receiver));
                }
                _ => {
                    if let Some((_, receiver)) = &mut line {
                        listen(receiver, rng.usize(0..20), &mut last_seen);
                    }
                }
            }
        }
        drop(line);
        let (sender, mut receiver) = mpsc::channel(2_048);
        journal.connect(sender);
        journal.replay(last_seen);
        listen(&mut receiver, 2_048, &mut last_seen);
        assert_eq!(seen, (1..=told).collect::<Vec<_>>());
    });
}

// ---- the life of an interview ----

#[test]
fn no_history_leads_to_a_phase_that_does_not_follow_and_the_last_one_stays() {
    use EndReason::{CandidateEnded, InterviewerEnded, RecruiterEnded};
    use Timer::{Absence, AwaitedWords, Grace, LastWords, MediaAssumed, RecordingSettling, RollOver, TimeLimit};
    let event = |rng: &mut fastrand::Rng| match rng.u8(0..22) {
        0 => Event::Started,
        1 => Event::CandidateConnected,
        2 => Event::CandidateDisconnected,
        3 => Event::OfferArrived,
        4 => Event::CallOpened,
        5 => Event::CallFailed { fatal: rng.u8(0..8) == 0 },
        6 => Event::CallGone,
        7 => Event::ControlReady,
        8 => Event::ControlLost,
        9 => Event::MediaConnected,
        10 => Event::MediaLost,
        11 => Event::LastWordsOver,
        12 => Event::WordsSettled,
        13 | 14 => Event::AllStored,
        15 => Event::SummaryFinished,
        16 => Event::RecordingSettled,
        17 => Event::EndRequested(*rng.choice(&[CandidateEnded, InterviewerEnded, RecruiterEnded]).expect("some")),
        _ => Event::Due(
            *rng.choice(&[Absence, AwaitedWords, Grace, LastWords, MediaAssumed, RecordingSettling, RollOver, TimeLimit])
                .expect("some"),
        ),
    };
    let follows = |from: Phase, to: Phase| {
        matches!(
            (from, to),
            (Phase::Created, Phase::Ready | Phase::Ending)
                | (Phase::Ready, Phase::Live | Phase::Ending)
                | (Phase::Live, Phase::Ending)
                | (Phase::Ending, Phase::Summarizing | Phase::Completed | Phase::Failed)
                | (Phase::Summarizing, Phase::Completed)
        )
    };
    for_seeds(20_000, |rng| {
        let mut interview = Interview::new(Resumed { phase: Phase::Created, end: None, greeted: false, in_call: false });
        let mut phase = interview.phase();
        let (mut end, mut saved) = (None, vec![]);
        let spoken = rng.bool();
        for n in 0..rng.usize(1..150) {
            let event = if n == 0 { Event::Started } else { event(rng) };
            let before = (interview.phase(), interview.end());
            interview.set_said(Said { anything: spoken, by_interviewer: spoken, to_judge: spoken });
            let effects = interview.on(event.clone());
            saved.extend(
                effects.iter().filter_map(|effect| if let Effect::SavePhase(phase) = effect { Some(*phase) } else { None }),
            );
            if before.0.is_terminal() {
                assert_eq!((interview.phase(), interview.end()), before, "{event:?} after the end");
                assert!(
                    !effects.iter().any(|e| matches!(e, Effect::OpenCall | Effect::AskOpening | Effect::StartSummary)),
                    "{effects:?}"
                );
            }
            assert!(end.is_none() || interview.end() == end, "why it ended is decided once");
            end = interview.end();
        }
        for next in saved {
            assert!(next == phase || follows(phase, next), "{phase:?} -> {next:?}");
            phase = next;
        }
    });
}

// ---- the transcript ----

struct Wire {
    event: Value,
    /// Tells the order of the conversation; these keep their order among themselves.
    places: bool,
    /// The provider may leave it out, or we may miss it, and the transcript is the same.
    spare: bool,
}

/// What OpenAI sends for some turns, as recorded: in its own order.
fn history(rng: &mut fastrand::Rng) -> Vec<Wire> {
    let mut wires = Vec::new();
    let mut previous = Value::Null;
    let mut add = |event: Value, places: bool, spare: bool| wires.push(Wire { event, places, spare });
    for turn in 0..rng.usize(1..7) {
        let (user, reply, item) = (format!("item_u{turn}"), format!("resp_{turn}"), format!("item_a{turn}"));
        let said = format!("What the candidate says {}", rng.u32(..));
        let answered = format!("What the interviewer says, {} words of it", rng.u32(..));
        if rng.u8(0..8) > 0 {
            add(
                json!({"type": "input_audio_buffer.speech_started", "item_id": user, "audio_start_ms": turn * 10_000}),
                false,
                false,
            );
            for word in said.split_inclusive(' ') {
                add(
                    json!({"type": "conversation.item.input_audio_transcription.delta", "item_id": user, "delta": word}),
                    false,
                    true,
                );
            }
            add(
                json!({"type": "input_audio_buffer.speech_stopped", "item_id": user, "audio_end_ms": turn * 10_000 + 900}),
                false,
                false,
            );
            add(json!({"type": "input_audio_buffer.committed", "item_id": user, "previous_item_id": previous}), true, true);
            let placed =
                json!({"id": user, "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": null}]});
            add(json!({"type": "conversation.item.added", "previous_item_id": previous, "item": placed}), true, false);
            match rng.u8(0..10) {
                0 => add(
                    json!({"type": "conversation.item.input_audio_transcription.failed", "item_id": user, "error": {}}),
                    false,
                    false,
                ),
                1 => {}
                _ => add(
                    json!({"type": "conversation.item.input_audio_transcription.completed", "item_id": user, "transcript": said}),
                    false,
                    false,
                ),
            }
            previous = json!(user);
        }
        add(
            json!({"type": "response.created", "response": {"id": reply, "conversation_id": "conv", "status": "in_progress", "output": []}}),
            false,
            true,
        );
        let message = json!({"id": item, "type": "message", "role": "assistant", "content": []});
        add(json!({"type": "response.output_item.added", "response_id": reply, "item": message}), false, false);
        add(json!({"type": "conversation.item.added", "previous_item_id": previous, "item": message}), true, false);
        for word in answered.split_inclusive(' ') {
            add(
                json!({"type": "response.output_audio_transcript.delta", "response_id": reply, "item_id": item, "delta": word}),
                false,
                true,
            );
        }
        // Either of these two is enough.
        let twice = rng.bool();
        add(
            json!({"type": "response.output_audio_transcript.done", "response_id": reply, "item_id": item, "transcript": answered}),
            false,
            twice,
        );
        let whole = json!({"id": item, "type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": answered}]});
        let done = json!({"id": reply, "conversation_id": "conv", "status": "completed", "output": [whole],
            "usage": {"output_token_details": {"audio_tokens": 40}}});
        add(json!({"type": "response.done", "response": done}), false, false);
        if rng.u8(0..4) == 0 {
            add(
                json!({"type": "conversation.item.truncated", "item_id": item, "content_index": 0, "audio_end_ms": 700}),
                false,
                false,
            );
        } else {
            add(json!({"type": "output_audio_buffer.stopped", "response_id": reply}), false, true);
        }
        previous = json!(item);
    }
    wires
}

/// Item, speaker, words, how they ended, whether they were cut off and after how long.
type Settled = (Option<String>, Speaker, String, Status, bool, Option<i32>);

/// What is left when the call is over, in order.
fn settled<'a>(wires: impl Iterator<Item = &'a Wire>) -> Vec<Settled> {
    let mut transcript = Transcript::default();
    for wire in wires {
        let event = ServerEvent::parse(&wire.event.to_string());
        assert!(!matches!(event, ServerEvent::Unknown { .. }), "{}", wire.event);
        for event in translate(&event) {
            transcript.apply(&event, NOW.into());
        }
    }
    transcript.close();
    let entries = transcript.entries().into_iter();
    entries
        .map(|entry| {
            (
                entry.item_id.map(ItemId::into_string),
                entry.speaker,
                entry.text.into_string(),
                entry.status,
                entry.interrupted,
                entry.heard_ms.map(Millis::get),
            )
        })
        .collect()
}

/// What tells the conversation's order (`item.added`) keeps its order, as it does on the one
/// connection it comes on. Everything else may come at any time, more than once; what only says
/// earlier or again what another event says as well may be lost.
#[test]
fn however_the_providers_events_are_mixed_doubled_and_lost_the_transcript_is_the_same() {
    for_seeds(5_000, |rng| {
        let canonical = history(rng);
        let expected = settled(canonical.iter());
        let kept: Vec<&Wire> = canonical.iter().filter(|wire| !(wire.spare && rng.u8(0..4) == 0)).collect();
        // Without final words the partial ones are all there is: then their order is the provider's.
        let ends_partial: BTreeSet<String> = expected
            .iter()
            .filter(|entry| matches!(entry.3, Status::Partial | Status::Failed | Status::Missing))
            .filter_map(|entry| entry.0.clone())
            .collect();
        let fixed = |wire: &Wire| {
            wire.event["type"]
                .as_str()
                .is_some_and(|kind| kind.contains("transcription.delta") || kind.contains("transcript.delta"))
                && ends_partial.contains(wire.event["item_id"].as_str().unwrap_or_default())
        };
        let mut mixed: Vec<&Wire> = kept.iter().copied().filter(|wire| !fixed(wire)).collect();
        let doubles: Vec<&Wire> = mixed.iter().copied().filter(|_| rng.u8(0..5) == 0).collect();
        mixed.extend(doubles.into_iter().filter(|wire| !wire.places));
        rng.shuffle(&mut mixed);
        let mut places = canonical.iter().filter(|wire| wire.places && kept.iter().any(|other| std::ptr::eq(*other, *wire)));
        for wire in &mut mixed {
            if wire.places {
                *wire = places.next().expect("as many as before");
            }
        }
        // What must keep its order goes in as it was, before everything that ends it.
        let first: Vec<&Wire> = canonical.iter().filter(|wire| fixed(wire)).collect();
        let seen = settled(first.into_iter().chain(mixed));
        assert_eq!(seen, expected);
    });
}
