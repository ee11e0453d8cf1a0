use super::*;
use crate::edge::{Text, Timestamp};
use crate::usage::Tokens;
use crate::voice::{Delivery, ReplyOutcome};
use proptest::prelude::*;

pub(super) fn item(name: &str) -> ItemId {
    ItemId::from(name)
}
pub(super) fn reply(name: &str) -> ReplyId {
    ReplyId::from(name)
}
pub(super) fn at() -> Timestamp {
    Timestamp::UNIX_EPOCH
}
fn said(speaker: Speaker) -> ItemContent {
    ItemContent::Message { speaker, commentary: false }
}
pub(super) fn texts(transcript: &Transcript) -> Vec<String> {
    transcript.entries().into_iter().map(|entry| entry.text.into_string()).collect()
}

/// One turn of the candidate and the AI's answer, as the provider sends them.
pub(super) fn turn(n: usize, before: Option<&str>) -> Vec<VoiceEvent> {
    let (u, a, r) = (format!("u{n}"), format!("a{n}"), format!("r{n}"));
    vec![
        VoiceEvent::SpeechStarted { item: item(&u), start_ms: Some(1_000) },
        VoiceEvent::CandidateWords { item: item(&u), delta: format!(" I said {n}") },
        VoiceEvent::SpeechStopped { item: item(&u), end_ms: Some(2_000) },
        VoiceEvent::ItemPlaced { item: item(&u), previous: before.map(item), content: said(Speaker::Candidate) },
        VoiceEvent::ReplyStarted { reply: reply(&r), in_conversation: true, purpose: None },
        VoiceEvent::ReplyItem { reply: reply(&r), item: item(&a), commentary: false },
        VoiceEvent::ItemPlaced { item: item(&a), previous: Some(item(&u)), content: said(Speaker::Ai) },
        VoiceEvent::ReplyWords { item: item(&a), delta: format!("answer {n}") },
        VoiceEvent::CandidateSettled { item: item(&u), text: format!("I said {n}.\n"), recognition: Recognition::default() },
        VoiceEvent::ReplySettled { item: item(&a), text: format!("answer {n}.") },
        VoiceEvent::ReplyDone {
            reply: reply(&r),
            outcome: ReplyOutcome::Completed,
            texts: vec![(item(&a), format!("answer {n}."))],
            tokens: Some(Tokens { output_audio: 40, ..Tokens::default() }),
            delivery: Delivery::Audio,
        },
    ]
}

#[test]
fn a_late_candidate_transcript_stands_before_the_answer_it_led_to() {
    let mut transcript = Transcript::default();
    let mut events = turn(1, None);
    // The candidate's words arrive last of all.
    let late = events.remove(8);
    events.push(late);
    for event in &events {
        transcript.apply(event, at());
    }
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1."]);
    assert_eq!(transcript.entries().iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn an_interruption_after_the_text_was_final_revises_the_entry() {
    let mut transcript = Transcript::default();
    for event in &turn(1, None) {
        transcript.apply(event, at());
    }
    transcript.apply(&VoiceEvent::PlaybackCut { reply: reply("r1") }, at());
    let changed = transcript.apply(&VoiceEvent::ItemCut { item: item("a1"), heard_ms: 1_000 }, at());
    assert_eq!(changed.len(), 1);
    assert!(changed[0].interrupted && changed[0].revision > 1);
    assert_eq!((changed[0].heard_ms, changed[0].text.as_str()), (Some(Millis::new(1_000)), "answer 1."));
    assert_eq!(changed[0].heard_text.as_deref(), Some(""), "half of «answer 1.» cut at a word");
}

#[test]
fn a_failed_transcription_keeps_the_words_that_came() {
    let mut transcript = Transcript::default();
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u"), start_ms: None }, at());
    transcript.apply(&VoiceEvent::CandidateWords { item: item("u"), delta: " half a".into() }, at());
    let entries = transcript.apply(&VoiceEvent::CandidateFailed { item: item("u") }, at());
    assert_eq!((entries[0].status, entries[0].text.as_str()), (Status::Failed, "half a"));
}

#[test]
fn out_of_band_replies_and_silent_items_say_nothing() {
    let mut transcript = Transcript::default();
    transcript.apply(&VoiceEvent::ReplyStarted { reply: reply("x"), in_conversation: false, purpose: None }, at());
    transcript.apply(&VoiceEvent::ReplyItem { reply: reply("x"), item: item("i"), commentary: false }, at());
    assert!(transcript.apply(&VoiceEvent::ReplySettled { item: item("i"), text: "secret".into() }, at()).is_empty());
    transcript.apply(&VoiceEvent::ItemPlaced { item: item("t"), previous: None, content: ItemContent::Silent }, at());
    assert!(transcript.close().is_empty() && transcript.is_empty());
}

#[test]
fn closing_tells_what_never_arrived() {
    let mut transcript = Transcript::default();
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u"), start_ms: None }, at());
    assert!(transcript.awaits_words());
    let entries = transcript.close();
    assert_eq!((entries[0].status, entries[0].text.as_str()), (Status::Missing, ""));
    assert!(transcript.close().is_empty(), "closing twice says nothing new");
}

#[test]
fn a_new_chapter_goes_behind_the_old_one() {
    let mut transcript = Transcript::default();
    transcript.call_opened(1, Cause::Ours, at());
    for event in &turn(1, None) {
        transcript.apply(event, at());
    }
    let mut transcript = Transcript::restore(transcript.entries());
    transcript.call_opened(2, Cause::Ours, at());
    for event in &turn(2, None) {
        transcript.apply(event, at());
    }
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "I said 2.", "answer 2."]);
    let seqs: Vec<i32> = transcript.entries().iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs.iter().collect::<std::collections::HashSet<_>>().len(), 4, "{seqs:?}");
}

pub(super) fn client_report(key: &str, item_id: Option<&str>, text: &str) -> ClientReport {
    let key = EntryKey::stored(key.to_owned());
    ClientReport {
        key,
        item_id: item_id.map(item),
        speaker: Speaker::Candidate,
        text: text.into(),
        claimed: Some(at()),
        claimed_at: Text::default(),
    }
}

/// Long after our sideband joined the call.
pub(super) fn heard() -> (Transcript, Timestamp) {
    let mut transcript = Transcript::default();
    transcript.call_opened(1, Cause::Ours, at());
    transcript.sideband_back(at());
    pass(&mut transcript, time::Duration::hours(1));
    (transcript, at() + time::Duration::hours(1))
}

/// Time passes, whatever the wall clock shows.
pub(super) fn pass(transcript: &mut Transcript, time: time::Duration) {
    transcript.at_steady(transcript.steady + time);
}

#[test]
fn a_forged_word_of_the_browser_never_changes_what_was_heard() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    let answer =
        transcript.client_report(client_report("c:1", Some("u1"), "I lied"), now).pop().expect("answered with the truth");
    assert_eq!((answer.text.as_str(), answer.source), ("I said 1.", Source::Sideband));
    for (key, item) in [("c:2", None), ("c:3", Some("made-up"))] {
        let extra =
            transcript.client_report(client_report(key, item, "I am a genius"), now).pop().expect("kept as a client_report");
        assert!(!extra.authoritative);
    }
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1."]);
}

#[test]
fn a_witness_that_came_first_is_overwritten_by_the_truth() {
    let (mut transcript, now) = heard();
    let early = transcript.client_report(client_report("c:1", Some("u1"), "forged"), now).pop().expect("kept");
    assert_eq!((early.key.as_str(), early.authoritative), ("u1", false));
    let truth: Vec<Entry> =
        turn(1, None).iter().flat_map(|event| transcript.apply(event, now)).filter(|e| e.key == "u1").collect();
    let last = truth.last().expect("the truth is told");
    assert_eq!((last.text.as_str(), last.seq, last.authoritative), ("I said 1.", early.seq, true));
    assert!(last.revision > early.revision);
}

#[test]
fn before_a_call_nothing_that_the_browser_tells_is_of_the_record() {
    let mut transcript = Transcript::default();
    for (key, item) in [("c:1", None), ("c:2", Some("u1"))] {
        let entry = transcript.client_report(client_report(key, item, "hello"), at()).pop().expect("kept");
        assert_eq!((entry.authoritative, entry.doubt, entry.source), (false, Some(Doubt::NoCall), Source::Browser));
        let again = transcript.client_report(client_report(key, item, "hello"), at()).pop().expect("told again");
        assert_eq!((again.seq, transcript.len()), (entry.seq, 0));
    }
    transcript.close();
    assert!(transcript.is_empty() && transcript.all_entries().len() == 2);
}

#[test]
fn the_same_words_without_an_item_are_one_entry() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    let told = transcript.client_report(client_report("h:1", None, "i said 1"), now).pop().expect("merged");
    assert_eq!(told.key, "u1");
}

/// The sideband breaks before the `cut`-th event of the second turn and is back before the third.
/// The browser relays what its own copy of the call's events settled, now or late.
fn with_a_gap(cut: usize, late: bool) -> Vec<String> {
    let (mut transcript, now) = heard();
    let relay = |transcript: &mut Transcript, now| {
        for (id, speaker, text) in [("u2", Speaker::Candidate, "I said 2."), ("a2", Speaker::Ai, "answer 2.")] {
            transcript.client_report(
                ClientReport { speaker, claimed: Some(now), ..client_report(&format!("c:{id}"), Some(id), text) },
                now,
            );
        }
    };
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    for event in &turn(2, Some("a1"))[..cut] {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    if !late {
        relay(&mut transcript, now);
    }
    transcript.sideband_back(now);
    for event in &turn(3, Some("a2")) {
        transcript.apply(event, now);
    }
    if late {
        relay(&mut transcript, now);
    }
    transcript.close();
    assert!(!transcript.awaits_words());
    texts(&transcript)
}

#[test]
fn what_was_said_while_the_line_was_away_is_the_browsers_to_tell_in_its_place() {
    let whole = ["I said 1.", "answer 1.", "I said 2.", "answer 2.", "I said 3.", "answer 3."];
    for cut in 0..turn(2, None).len() {
        for late in [false, true] {
            assert_eq!(with_a_gap(cut, late), whole, "line lost before event {cut}, browser late: {late}");
        }
    }
}

#[test]
fn a_browser_that_was_away_longer_than_the_line_still_fills_the_gap() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    transcript.sideband_back(now + time::Duration::seconds(5));
    for event in &turn(3, Some("a2")) {
        transcript.apply(event, now + time::Duration::seconds(9));
    }
    let much_later = now + time::Duration::hours(24);
    for (id, text) in [("u2", "I said 2."), ("a2", "answer 2.")] {
        transcript.client_report(ClientReport { claimed: Some(now), ..client_report(id, Some(id), text) }, much_later);
    }
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "I said 2.", "answer 2.", "I said 3.", "answer 3."]);
    // Said at another time, it is no part of what was missed.
    let forged = transcript
        .client_report(ClientReport { claimed: Some(much_later), ..client_report("x", Some("x"), "I am a genius") }, much_later);
    assert!(forged.iter().all(|entry| !entry.authoritative));
}

#[test]
fn words_of_a_call_of_which_an_earlier_process_stored_nothing_are_kept_with_a_doubt() {
    let now = at() + time::Duration::hours(1);
    let told = |mut transcript: Transcript| {
        transcript.sideband_back(now);
        transcript.client_report(ClientReport { claimed: Some(now), ..client_report("u1", Some("u1"), "hello") }, now);
        transcript.close();
        transcript.entries().pop().map(|entry| (entry.text.as_str() == "hello", entry.doubt))
    };
    assert_eq!(told(Transcript::restore(vec![]).taken_over(Some(at()), true)), Some((true, Some(Doubt::UnclosedGap))));
    assert_eq!(told(Transcript::restore(vec![])), None, "before the first call nothing was said");
}

#[test]
fn a_word_that_contradicts_what_was_heard_of_it_does_not_replace_it() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None)[..2] {
        transcript.apply(event, now);
    }
    transcript.client_report(client_report("c:1", Some("u1"), "We built it together"), now);
    assert!(transcript.sideband_lost().is_empty());
    let closed = transcript.close();
    assert_eq!((closed[0].text.as_str(), closed[0].status, closed[0].source), ("I said 1", Status::Partial, Source::Sideband));
    let told = transcript.client_report(client_report("c:2", Some("u1"), "I said 1 and a half."), now).pop().expect("told");
    assert_eq!((told.text.as_str(), told.source), ("I said 1", Source::Sideband), "the first word of a client_report counts");
}

#[test]
fn words_that_were_cut_by_a_gap_are_completed_by_the_browser() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None)[..2] {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    let cut = transcript.close();
    let told = transcript.client_report(client_report("c:1", Some("u1"), "I said 1, and more."), now).pop().expect("told");
    assert_eq!((told.text.as_str(), told.status, told.source), ("I said 1, and more.", Status::Final, Source::Browser));
    assert!(told.revision > cut[0].revision && told.seq == cut[0].seq);
}

/// C-15: the first break swallows the beginning, the second the end.
#[test]
fn what_is_known_in_pieces_is_completed_by_the_fuller_true_version() {
    let told = |words: &str| {
        let (mut transcript, now) = heard();
        for event in &turn(1, None) {
            transcript.apply(event, now);
        }
        transcript.apply(&VoiceEvent::ReplyStarted { reply: reply("r2"), in_conversation: true, purpose: None }, now);
        transcript.apply(&VoiceEvent::ReplyItem { reply: reply("r2"), item: item("a2"), commentary: false }, now);
        transcript.apply(&VoiceEvent::ReplyWords { item: item("a2"), delta: "It is".into() }, now);
        transcript.sideband_lost();
        transcript.sideband_back(now);
        transcript.apply(&VoiceEvent::ReplyWords { item: item("a2"), delta: "gy and 12 degrees".into() }, now);
        transcript.sideband_lost();
        transcript.client_report(ClientReport { speaker: Speaker::Ai, ..client_report("c:1", Some("a2"), words) }, now);
        transcript.close();
        transcript.entries().pop().map(|entry| (entry.text.into_string(), entry.source)).expect("an entry")
    };
    let whole = "It is foggy and 12 degrees in London.";
    assert_eq!(told(whole), (whole.to_owned(), Source::Browser));
    for false_one in ["It is sunny and 12 degrees.", "Well, it is foggy and 12 degrees.", "gy and 12 degrees: it is"] {
        assert_eq!(told(false_one), ("It is … gy and 12 degrees".to_owned(), Source::Sideband), "{false_one}");
    }
}

/// what was committed and is never transcribed stays missing, whatever the browser says and when.
#[test]
fn a_turn_whose_transcription_was_switched_off_is_missing() {
    for tampered in [false, true] {
        let (mut transcript, now) = heard();
        transcript.apply(&VoiceEvent::SpeechStarted { item: item("u1"), start_ms: None }, now);
        transcript.apply(&VoiceEvent::ItemPlaced { item: item("u1"), previous: None, content: ItemContent::Committed }, now);
        let told = transcript.client_report(client_report("c:1", Some("u1"), "PERFECT ANSWER"), now).pop().expect("kept");
        assert!(!told.authoritative);
        if tampered {
            transcript.transcription_tampered();
        } else {
            // Long overdue when the sideband breaks: not lost with it.
            pass(&mut transcript, time::Duration::minutes(1));
            transcript.apply(&turn(2, Some("u1"))[4], now);
        }
        transcript.sideband_lost();
        transcript.close();
        transcript.client_report(client_report("c:1", Some("u1"), "PERFECT ANSWER"), now);
        let entries = transcript.entries();
        assert_eq!((entries[0].status, entries[0].text.as_str()), (Status::Missing, ""), "tampered: {tampered}");
    }
}

/// A sideband that is half-open brings nothing, and nobody notices: the page's words are what shows it.
#[test]
fn a_line_is_in_doubt_while_the_browser_tells_what_it_did_not_bring() {
    let (mut transcript, now) = heard();
    let spoken = turn(1, None);
    for event in &spoken[..6] {
        transcript.apply(event, now);
    }
    assert!(!transcript.sideband_is_in_doubt());
    transcript.client_report(client_report("c:1", Some("u1"), "I said 1."), now);
    assert!(transcript.sideband_is_in_doubt(), "its words have not come");
    transcript.sideband_is_alive(now);
    assert!(!transcript.sideband_is_in_doubt(), "it answered");
    transcript.client_report(client_report("c:2", Some("u9"), "of an item that nobody named"), now);
    assert!(transcript.sideband_is_in_doubt() && transcript.awaits_words());
    transcript.sideband_lost();
    assert!(!transcript.sideband_is_in_doubt());
    let told =
        transcript.client_report(client_report("c:2", Some("u9"), "of an item that nobody named"), now).pop().expect("kept");
    assert_eq!((told.authoritative, told.doubt), (true, Some(Doubt::UnclosedGap)));
}

/// whatever the item that a client creates calls its content.
#[test]
fn items_that_were_put_into_the_call_by_hand_say_nothing() {
    for content in [ItemContent::Typed, said(Speaker::Candidate)] {
        let (mut transcript, now) = heard();
        for event in turn(1, None) {
            transcript.apply(&event, now);
        }
        transcript.apply(&VoiceEvent::ItemPlaced { item: item("x"), previous: None, content }, now);
        transcript.apply(
            &VoiceEvent::CandidateSettled { item: item("x"), text: "FORGED".into(), recognition: Recognition::default() },
            now,
        );
        assert!(!transcript.awaits_words());
        transcript.client_report(client_report("c:1", Some("x"), "FORGED"), now);
        transcript.close();
        assert_eq!(texts(&transcript), ["I said 1.", "answer 1."], "{content:?}");
        assert_eq!(transcript.all_entries().len(), 2);
    }
}

#[test]
fn a_deletion_loses_and_moves_nothing() {
    let (mut transcript, now) = heard();
    let events = turn(1, None);
    for event in &events[..4] {
        transcript.apply(event, now);
    }
    transcript.apply(&VoiceEvent::ItemDeleted { item: item("u1") }, now);
    for event in &events[4..] {
        transcript.apply(event, now);
    }
    transcript.apply(&VoiceEvent::ItemDeleted { item: item("a1") }, now);
    for event in turn(2, None) {
        transcript.apply(&event, now);
    }
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "I said 2.", "answer 2."]);
}

/// A page that is reloaded in the middle of the greeting must not be greeted again.
#[test]
fn a_new_call_is_told_also_what_was_heard_of_an_unfinished_turn() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None)[4..8] {
        transcript.apply(event, now);
    }
    assert!(transcript.history().is_empty(), "of the call that is open");
    transcript.call_opened(2, Cause::Ours, now);
    let told: Vec<String> = transcript.history().into_iter().map(|entry| entry.text.into_string()).collect();
    assert_eq!(told, ["answer 1"]);
    assert!(transcript.entries().is_empty(), "it is not settled by that");
}

/// What only the browser told stands somewhere, and the conversation goes on before it, for as long as it likes.
#[test]
fn a_call_that_the_client_opened_and_that_our_line_never_gets_into_is_a_gap_of_ours() {
    for (waited, believed) in [(1, false), (5, true)] {
        let (mut transcript, now) = heard();
        transcript.call_opened(2, Cause::Client, now);
        transcript.give_up_earlier_calls(Cause::Client);
        pass(&mut transcript, time::Duration::seconds(waited));
        let told = transcript.client_report(client_report("c:1", Some("x"), "said to nobody of us"), now);
        let told = told.first().expect("kept");
        assert_eq!((told.authoritative, told.doubt == Some(Doubt::UnclosedGap)), (believed, believed), "{waited}");
    }
}

#[test]
fn the_tail_of_a_call_that_was_replaced_is_in_the_record_before_anything_can_happen_to_the_process() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    transcript.client_report(client_report("c:x", Some("x"), "nobody listened"), now);
    transcript.sideband_back(now);
    transcript.call_opened(2, Cause::Ours, now);
    transcript.sideband_back(now);
    transcript.give_up_earlier_calls(Cause::Ours);
    let transcript = Transcript::restore(transcript.all_entries()).taken_over(Some(now), true);
    assert!(texts(&transcript).contains(&"nobody listened".to_owned()));
}

#[test]
fn an_invented_item_does_not_use_up_the_room_between_two_others() {
    let (mut transcript, now) = heard();
    for event in turn(1, None) {
        transcript.apply(&event, now);
    }
    transcript.client_report(client_report("c:1", Some("invented"), "FORGED"), now);
    for n in 2..100 {
        for event in turn(n, Some(&format!("a{}", n - 1))) {
            transcript.apply(&event, now);
        }
    }
    // A gap of an hour, told late: each stands before what was heard after it.
    transcript.sideband_lost();
    transcript.sideband_back(now);
    let placed = VoiceEvent::ItemPlaced { item: item("u100"), previous: Some(item("told 99")), content: ItemContent::Committed };
    transcript.apply(&placed, now);
    for n in 0..100 {
        let told = format!("told {n}");
        transcript.client_report(client_report(&told, Some(&told), &told), now);
    }
    let places: Vec<i64> = transcript.slots.iter().map(|slot| slot.position).collect();
    assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
    let texts =
        |transcript: &Transcript| texts(transcript).into_iter().filter(|text| !text.starts_with("told")).collect::<Vec<_>>();
    let expected: Vec<String> = (1..100).flat_map(|n| [format!("I said {n}."), format!("answer {n}.")]).collect();
    assert_eq!(texts(&transcript), expected);
}

/// Found by tests/it/fuzz_path.rs: notes went before an early item of which the provider told another predecessor later.
#[test]
fn an_item_that_has_its_place_does_not_draw_what_is_told_later_before_it() {
    let (mut transcript, now) = heard();
    let place = |transcript: &mut Transcript, name: &str, previous: Option<&str>| {
        let (item, previous) = (item(name), previous.map(item));
        transcript.apply(&VoiceEvent::ItemPlaced { item, previous, content: ItemContent::Committed }, now);
    };
    place(&mut transcript, "u1", None);
    place(&mut transcript, "u2", Some("lost"));
    transcript.client_report(client_report("c:1", None, "one"), now);
    place(&mut transcript, "u1", Some("nobody"));
    transcript.client_report(client_report("c:2", None, "two"), now);
    // Known after all, and early: what it stood behind is not missing any more.
    place(&mut transcript, "u2", Some("u1"));
    transcript.client_report(client_report("c:3", None, "three"), now);
    // Known long before it had a place.
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u3"), start_ms: None }, now);
    transcript.client_report(client_report("c:4", None, "four"), now);
    place(&mut transcript, "u3", Some("lost as well"));
    transcript.client_report(client_report("c:5", None, "five"), now);
    let all: Vec<String> = transcript.all_entries().iter().map(|entry| entry.text.to_string()).collect();
    assert_eq!(all, ["one", "two", "three", "four", "five"]);
}

/// H-06: half a character, null, or nothing.
#[test]
fn an_empty_final_takes_nothing_from_the_words_that_came() {
    let (mut transcript, now) = heard();
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u"), start_ms: None }, now);
    transcript.apply(&VoiceEvent::CandidateWords { item: item("u"), delta: "I agree with you ".into() }, now);
    let settled = transcript
        .apply(&VoiceEvent::CandidateSettled { item: item("u"), text: String::new(), recognition: Recognition::default() }, now);
    assert_eq!((settled[0].text.as_str(), settled[0].status), ("I agree with you", Status::Final));
    transcript
        .apply(&VoiceEvent::CandidateSettled { item: item("u"), text: " ".into(), recognition: Recognition::default() }, now);
    assert_eq!(texts(&transcript), ["I agree with you"]);
}

/// A turn is wordless when our sideband heard all of it, and not when a gap of ours may have taken its words. Whether the
/// browser may fill it is another question.
#[test]
fn an_empty_final_after_a_gap_of_ours_leaves_a_missing_turn() {
    for (gap, tampered, left) in [(false, false, None), (true, false, Some(Status::Missing)), (true, true, Some(Status::Missing))]
    {
        let (mut transcript, now) = heard();
        transcript.apply(&turn(1, None)[0], now);
        transcript.apply(&turn(1, None)[3], now);
        if tampered {
            transcript.transcription_tampered();
        }
        if gap {
            transcript.sideband_lost();
            transcript.sideband_back(now);
        }
        transcript.apply(
            &VoiceEvent::CandidateSettled { item: item("u1"), text: String::new(), recognition: Recognition::default() },
            now,
        );
        transcript.client_report(client_report("c:1", Some("u1"), "PERFECT ANSWER"), now);
        let words = if gap && !tampered { "PERFECT ANSWER" } else { "" };
        let entries = transcript.entries();
        let status = if words.is_empty() { left } else { Some(Status::Final) };
        assert_eq!(entries.first().map(|entry| entry.status), status, "gap {gap}, tampered {tampered}");
        assert_eq!(entries.first().map_or("", |entry| entry.text.as_str()), words, "gap {gap}, tampered {tampered}");
    }
}

/// words told in a gap that an offer of the browser made.
#[test]
fn a_gap_that_the_browser_made_is_not_the_browsers_to_fill() {
    for (cause, waited, believed) in [(Cause::Client, 1, false), (Cause::Client, 5, true), (Cause::Ours, 1, true)] {
        let (mut transcript, now) = heard();
        for event in &turn(1, None) {
            transcript.apply(event, now);
        }
        transcript.call_opened(2, cause, now);
        transcript.give_up_earlier_calls(Cause::Client);
        let forged = transcript.client_report(client_report("c:1", Some("x"), "that was outstanding"), now).pop().expect("kept");
        assert!(!forged.authoritative);
        // The wall clock is set meanwhile: it says nothing about the gap.
        pass(&mut transcript, time::Duration::seconds(waited));
        let now = now + time::Duration::hours(3);
        transcript.sideband_back(now);
        for event in turn(3, Some("x")) {
            transcript.apply(&event, now);
        }
        transcript.close();
        assert_eq!(texts(&transcript).contains(&"that was outstanding".to_owned()), believed, "{cause:?} {waited}");
    }
}

/// The browser can have the provider send more than our sideband takes, as often as it likes, for as long as it likes.
#[test]
fn a_gap_of_a_line_that_the_browser_broke_is_not_the_browsers_to_fill() {
    for (by_client, believed) in [(true, false), (false, true)] {
        let (mut transcript, now) = heard();
        for event in &turn(1, None) {
            transcript.apply(event, now);
        }
        transcript.apply(&VoiceEvent::SpeechStarted { item: item("u2"), start_ms: None }, now);
        if by_client {
            transcript.sideband_broken_by_client()
        } else {
            transcript.sideband_lost()
        };
        transcript.client_report(client_report("c:2", Some("u2"), "BETTER WORDS"), now);
        pass(&mut transcript, time::Duration::seconds(30));
        transcript.client_report(client_report("c:x", Some("x"), "INVENTED"), now);
        transcript.sideband_back(now);
        for event in turn(3, Some("x")) {
            transcript.apply(&event, now);
        }
        transcript.close();
        let texts = texts(&transcript);
        for forged in ["BETTER WORDS", "INVENTED"] {
            assert_eq!(texts.iter().any(|text| text == forged), believed, "{texts:?}");
        }
    }
}

/// While our sideband comes, an item of the candidate may have been spoken before, or put there by hand.
#[test]
fn what_is_placed_while_our_line_comes_counts_by_the_words_of_the_line_only() {
    for heard in [false, true] {
        let mut transcript = Transcript::default();
        transcript.call_opened(1, Cause::Ours, at());
        transcript.sideband_back(at());
        let placed = VoiceEvent::ItemPlaced { item: item("x"), previous: None, content: said(Speaker::Candidate) };
        transcript.apply(&placed, at());
        transcript.client_report(client_report("c:x", Some("x"), "as the browser says"), at());
        if heard {
            transcript.apply(
                &VoiceEvent::CandidateSettled {
                    item: item("x"),
                    text: "as it was said".into(),
                    recognition: Recognition::default(),
                },
                at(),
            );
        }
        pass(&mut transcript, time::Duration::minutes(1));
        transcript.sideband_lost();
        transcript.sideband_back(at());
        transcript.client_report(client_report("c:x", Some("x"), "as the browser says"), at());
        transcript.close();
        let expected = if heard { "as it was said" } else { "" };
        assert_eq!(transcript.entries()[0].text.as_str(), expected);
    }
}

#[test]
fn what_is_told_between_two_known_items_of_a_gap_of_ours_is_of_the_record_and_a_tail_is_doubtful() {
    let (mut transcript, now) = heard();
    let relay = |transcript: &mut Transcript, id: &str| {
        transcript.client_report(client_report(&format!("c:{id}"), Some(id), &format!("words of {id}")), now)
    };
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    relay(&mut transcript, "a1");
    transcript.sideband_lost();
    let open = relay(&mut transcript, "u2").pop().expect("kept");
    assert_eq!((open.authoritative, open.doubt), (true, Some(Doubt::UnclosedGap)));
    relay(&mut transcript, "a2");
    transcript.sideband_back(now);
    for event in turn(3, Some("a2")) {
        transcript.apply(&event, now);
    }
    relay(&mut transcript, "u3");
    let doubts = |transcript: &Transcript| {
        transcript
            .all_entries()
            .into_iter()
            .map(|entry| (entry.key.to_string(), entry.authoritative, entry.doubt))
            .collect::<Vec<_>>()
    };
    assert_eq!(doubts(&transcript)[2..4], [("u2".to_owned(), true, None), ("a2".to_owned(), true, None)]);
    relay(&mut transcript, "a3");
    // Our sideband was there: what it did not hear was not said.
    relay(&mut transcript, "x");
    transcript.apply(&VoiceEvent::PlaybackStarted { reply: reply("r3") }, now);
    transcript.sideband_lost();
    relay(&mut transcript, "u4");
    transcript.close();
    let all = doubts(&transcript);
    assert!(all.contains(&("x".to_owned(), false, Some(Doubt::Unconfirmed))), "{all:?}");
    assert!(all.contains(&("u4".to_owned(), true, Some(Doubt::UnclosedGap))), "{all:?}");
}

/// A lying page cuts an item of the gap, so that our sideband names it: what it invents after that gap has no neighbour by that.
#[test]
fn what_is_named_late_is_no_neighbour_of_what_was_told_after_it() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    transcript.client_report(client_report("c:a2", Some("a2"), "words of a2"), now);
    transcript.sideband_back(now);
    transcript.client_report(client_report("c:x", Some("x"), "x"), now);
    transcript.apply(&VoiceEvent::ItemCut { item: item("a2"), heard_ms: 7 }, now);
    let doubts = |transcript: &Transcript| {
        let of = |key: &str| transcript.all_entries().into_iter().find(|entry| entry.key == key).expect("it is kept");
        [of("a2"), of("x")].map(|entry| (entry.authoritative, entry.doubt))
    };
    assert_eq!(doubts(&transcript), [(true, None), (false, Some(Doubt::Unconfirmed))]);
    transcript.close();
    assert_eq!(doubts(&transcript)[1], (true, Some(Doubt::UnclosedGap)), "it may have fallen into the gap too");
}

/// When it was told: on the sideband that was dead already, in the gap, after it.
#[test]
fn what_was_told_of_a_gap_in_which_nothing_fell_is_withdrawn() {
    for when in 0..3 {
        let (mut transcript, now) = heard();
        for event in &turn(1, None) {
            transcript.apply(event, now);
        }
        transcript.client_report(client_report("c:a1", Some("a1"), "answer 1."), now);
        pass(&mut transcript, time::Duration::minutes(1));
        let mut told = Vec::new();
        let tell = |transcript: &mut Transcript, told: &mut Vec<Entry>| {
            told.extend(transcript.client_report(client_report("c:x", Some("x"), "that was outstanding"), now));
        };
        if when == 0 {
            tell(&mut transcript, &mut told);
        }
        told.extend(transcript.sideband_lost());
        if when == 1 {
            tell(&mut transcript, &mut told);
        }
        if when < 2 {
            let last = told.last().expect("kept");
            assert_eq!((last.authoritative, last.doubt), (true, Some(Doubt::UnclosedGap)), "{when}: it may have been said");
        }
        transcript.sideband_back(now);
        if when == 2 {
            tell(&mut transcript, &mut told);
        }
        pass(&mut transcript, time::Duration::minutes(1));
        let news: Vec<Entry> = turn(2, Some("a1")).iter().flat_map(|event| transcript.apply(event, now)).collect();
        let withdrawn = news.iter().filter(|entry| entry.key == "x").map(|entry| (entry.authoritative, entry.doubt));
        let expected: &[_] = if when < 2 { &[(false, Some(Doubt::Unconfirmed))] } else { &[] };
        assert_eq!(withdrawn.collect::<Vec<_>>(), expected, "{when}: told again once, as what it is now");
        for known in ["u2", "a2"] {
            transcript.client_report(client_report(&format!("c:{known}"), Some(known), "words"), now);
        }
        transcript.close();
        assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "I said 2.", "answer 2."], "{when}");
    }
}

#[test]
fn what_was_told_without_doubt_is_withdrawn_too_and_what_was_told_of_an_earlier_call_is_not() {
    let (mut transcript, now) = heard();
    let tell = |transcript: &mut Transcript, id: &str| {
        transcript.client_report(client_report(&format!("c:{id}"), Some(id), &format!("words of {id}")), now);
    };
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    tell(&mut transcript, "a1");
    transcript.sideband_lost();
    tell(&mut transcript, "of the first call");
    transcript.call_opened(2, Cause::Ours, now);
    transcript.give_up_earlier_calls(Cause::Ours);
    transcript.sideband_back(now);
    pass(&mut transcript, time::Duration::minutes(1));
    for event in &turn(2, None) {
        transcript.apply(event, now);
    }
    tell(&mut transcript, "u2");
    tell(&mut transcript, "a2");
    transcript.sideband_lost();
    tell(&mut transcript, "x");
    transcript.sideband_back(now);
    pass(&mut transcript, time::Duration::minutes(1));
    // Somebody begins to speak: known behind the gap, so that what was told before it stands between two known items.
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u3"), start_ms: None }, now);
    tell(&mut transcript, "u3");
    let x = |transcript: &Transcript| {
        transcript.all_entries().into_iter().find(|entry| entry.key == "x").map(|x| (x.authoritative, x.doubt))
    };
    assert_eq!(x(&transcript), Some((true, None)));
    for event in &turn(3, Some("a2")) {
        transcript.apply(event, now);
    }
    assert_eq!(x(&transcript), Some((false, Some(Doubt::Unconfirmed))));
    assert!(texts(&transcript).contains(&"words of of the first call".to_owned()), "{:?}", texts(&transcript));
}

#[test]
fn of_words_without_end_no_more_is_kept_than_can_be_stored() {
    let (mut transcript, now) = heard();
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u"), start_ms: None }, now);
    for _ in 0..3 {
        transcript.apply(&VoiceEvent::CandidateWords { item: item("u"), delta: "🎤".repeat(1 << 20) }, now);
    }
    assert!(transcript.slots[0].heard.concat().len() <= Text::MAX_BYTES + 8);
    let entries = transcript
        .apply(&VoiceEvent::CandidateSettled { item: item("u"), text: String::new(), recognition: Recognition::default() }, now);
    assert!(entries[0].text.len() <= Text::MAX_BYTES && entries[0].text.ends_with(" […]"));
}

/// Whoever owns the browser can put items into the call for as long as it lasts.
#[test]
fn items_that_say_nothing_are_not_kept_without_bound() {
    let (mut transcript, now) = heard();
    for n in 0..MOST_SILENT + 1_000 {
        let content = [ItemContent::Typed, ItemContent::Silent, said(Speaker::Candidate)][n % 3];
        let previous = n.checked_sub(1).map(|n| item(&format!("x{n}")));
        transcript.take_in(&VoiceEvent::ItemPlaced { item: item(&format!("x{n}")), previous, content }, now);
    }
    assert_eq!(transcript.slots.len(), MOST_SILENT);
    for event in &turn(1, Some(&format!("x{}", MOST_SILENT + 999))) {
        transcript.apply(event, now);
    }
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1."], "what is said is kept all the same");
}

#[test]
fn what_begins_before_a_gap_and_is_placed_behind_it_does_not_show_that_the_gap_is_empty() {
    let (mut transcript, now) = heard();
    let tell = |transcript: &mut Transcript, id: &str| {
        transcript.client_report(client_report(&format!("c:{id}"), Some(id), &format!("words of {id}")), now);
    };
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    let committed = |of: &str, behind: &str| VoiceEvent::ItemPlaced {
        item: item(of),
        previous: Some(item(behind)),
        content: ItemContent::Committed,
    };
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("late"), start_ms: None }, now);
    for (of, behind) in [("late", "second"), ("next", "late")] {
        transcript.sideband_lost();
        pass(&mut transcript, time::Duration::minutes(1));
        transcript.sideband_back(now);
        pass(&mut transcript, time::Duration::minutes(1));
        transcript.apply(&committed(of, behind), now);
    }
    for told in ["a1", "first", "second", "late", "next"] {
        tell(&mut transcript, told);
    }
    transcript.close();
    assert!(texts(&transcript).contains(&"words of first".to_owned()), "{:?}", texts(&transcript));
}

#[test]
fn an_item_that_is_named_by_its_end_after_a_gap_keeps_the_words_that_the_browser_told() {
    let (mut transcript, now) = heard();
    transcript.sideband_lost();
    transcript.sideband_back(now);
    transcript.client_report(client_report("c:a2", Some("a2"), "words of a2"), now);
    transcript.apply(&VoiceEvent::ItemCut { item: item("a2"), heard_ms: 7 }, now);
    // Final words that are empty do not make the browser's words ours.
    transcript.apply(&VoiceEvent::ReplySettled { item: item("a2"), text: String::new() }, now);
    let entry = transcript.entries().pop().expect("it is there");
    assert_eq!((entry.text.as_str(), entry.source, entry.status), ("words of a2", Source::Browser, Status::Final));
}

#[test]
fn what_was_open_at_a_stop_is_recent_by_its_place_whatever_the_clock_and_the_numbers_say() {
    let (mut transcript, now) = heard();
    let hour = time::Duration::hours(1);
    // Never settled, and numbered last of all.
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u0"), start_ms: None }, now);
    for event in &turn(1, Some("u0")) {
        transcript.apply(event, now + hour);
    }
    transcript.apply(&turn(2, Some("a1"))[0], now + time::Duration::minutes(1));
    transcript.interrupt();
    let mut transcript = Transcript::restore(transcript.all_entries()).taken_over(Some(now), true);
    transcript.client_report(client_report("c:u2", Some("u2"), "I said 2."), now);
    assert!(texts(&transcript).contains(&"I said 2.".to_owned()));
}

#[test]
fn words_that_come_late_of_what_began_in_a_gap_of_a_replaced_call_stand_at_its_end() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    transcript.sideband_back(now);
    transcript.call_opened(2, Cause::Ours, now);
    transcript.sideband_back(now);
    for event in &turn(3, None) {
        transcript.apply(event, now);
    }
    transcript.apply_late(
        &VoiceEvent::CandidateSettled { item: item("u2"), text: "I said 2.".into(), recognition: Recognition::default() },
        now,
    );
    // What begins there now, nobody of ours asked for.
    transcript.apply_late(&turn(4, None)[0], now);
    transcript.apply_late(
        &VoiceEvent::CandidateSettled { item: item("u4"), text: "I said 4.".into(), recognition: Recognition::default() },
        now,
    );
    let texts = texts(&transcript);
    assert_eq!(texts.iter().position(|text| text == "I said 2."), Some(2), "{texts:?}");
    assert!(!texts.contains(&"I said 4.".to_owned()));
}

/// The transcription streams, and then says nothing in the end: these words are all there is.
#[test]
fn words_that_come_late_of_what_began_in_a_call_before_it_was_replaced_are_kept() {
    let (mut transcript, now) = heard();
    transcript.apply(&turn(1, None)[0], now);
    transcript.apply(&turn(1, None)[3], now);
    transcript.call_opened(2, Cause::Ours, now);
    transcript.sideband_back(now);
    transcript.apply_late(&VoiceEvent::CandidateWords { item: item("u1"), delta: "I said 1.".into() }, now);
    // Of what begins there now nothing is kept.
    transcript.apply_late(&turn(2, None)[0], now);
    transcript.apply_late(&VoiceEvent::CandidateWords { item: item("u2"), delta: "I said 2.".into() }, now);
    transcript.apply_late(
        &VoiceEvent::CandidateSettled { item: item("u1"), text: String::new(), recognition: Recognition::default() },
        now,
    );
    transcript.close();
    assert_eq!(texts(&transcript), ["I said 1."]);
}

#[test]
fn who_deletes_what_was_said_opens_no_gap_again_in_which_nothing_fell() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    transcript.sideband_back(now);
    for deleted in ["u1", "a1"] {
        transcript.apply(&VoiceEvent::ItemDeleted { item: item(deleted) }, now);
    }
    transcript.client_report(client_report("c:a1", Some("a1"), "question 1"), now);
    for event in &turn(2, None) {
        transcript.apply(event, now);
    }
    transcript.client_report(client_report("c:x", Some("x"), "that was outstanding"), now);
    transcript.client_report(client_report("c:u2", Some("u2"), "I said 2."), now);
    transcript.close();
    assert!(!texts(&transcript).contains(&"that was outstanding".to_owned()));
}

#[test]
fn words_that_come_after_a_stop_belong_to_what_had_begun_before_it() {
    let (mut transcript, now) = heard();
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u1"), start_ms: None }, now);
    transcript.apply(&VoiceEvent::ItemPlaced { item: item("u1"), previous: None, content: ItemContent::Committed }, now);
    transcript.interrupt();
    for settles in [false, true] {
        let mut transcript = Transcript::restore(transcript.all_entries()).taken_over(Some(now), true);
        transcript.sideband_back(now);
        transcript.apply(&VoiceEvent::CandidateWords { item: item("u1"), delta: "I said".into() }, now);
        if settles {
            transcript.apply(
                &VoiceEvent::CandidateSettled { item: item("u1"), text: String::new(), recognition: Recognition::default() },
                now,
            );
        }
        transcript.close();
        assert_eq!(texts(&transcript), ["I said"], "{settles}");
    }
}

#[test]
fn a_dead_line_is_not_proved_alive_by_what_it_did_not_bring() {
    let (mut transcript, now) = heard();
    for event in turn(1, None)
        .iter()
        .chain(&turn(2, Some("a1")))
        .filter(|event| !matches!(event, VoiceEvent::CandidateSettled { .. } | VoiceEvent::ReplySettled { .. }))
    {
        transcript.apply(event, now);
    }
    for (key, id) in [("c:x", "x"), ("c:u1", "u1"), ("c:u2", "u2")] {
        transcript.client_report(client_report(key, Some(id), "nobody of us heard it"), now);
    }
    transcript.sideband_lost();
    let told = transcript.all_entries().into_iter().find(|entry| entry.key.as_str() == "x").expect("kept");
    assert_eq!((told.authoritative, told.doubt), (true, Some(Doubt::UnclosedGap)));
}

#[test]
fn who_begins_to_speak_before_the_first_item_hides_no_empty_gap() {
    let (mut transcript, now) = heard();
    transcript.sideband_lost();
    transcript.sideband_back(now);
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u1"), start_ms: None }, now);
    transcript.client_report(client_report("c:x", Some("x"), "that was outstanding"), now);
    for event in &turn(2, None)[3..] {
        transcript.apply(event, now);
    }
    transcript.client_report(client_report("c:a2", Some("a2"), "question 2"), now);
    transcript.close();
    assert!(!texts(&transcript).contains(&"that was outstanding".to_owned()));
}

#[test]
fn what_the_next_call_brings_says_nothing_of_the_line_into_the_one_before() {
    let (mut transcript, now) = heard();
    let spoken = turn(1, None);
    // Its words never come: that sideband is dead, and nobody knows.
    for event in spoken.iter().filter(|event| !matches!(event, VoiceEvent::CandidateSettled { .. })) {
        transcript.apply(event, now);
    }
    transcript.client_report(client_report("c:u1", Some("u1"), "I said 1."), now);
    pass(&mut transcript, time::Duration::minutes(1));
    transcript.call_opened(2, Cause::Ours, now);
    transcript.sideband_back(now);
    for event in &turn(2, None) {
        transcript.apply(event, now);
    }
    transcript.give_up_earlier_calls(Cause::Ours);
    assert!(texts(&transcript).contains(&"I said 1.".to_owned()));
}

#[test]
fn what_an_earlier_process_heard_later_proves_that_it_was_there() {
    for later in [false, true] {
        let (mut transcript, now) = heard();
        transcript.client_report(client_report("c:x", Some("x"), "that was outstanding"), now);
        if later {
            for event in &turn(1, None) {
                transcript.apply(event, now);
            }
        }
        let mut transcript = Transcript::restore(transcript.all_entries()).taken_over(Some(now), true);
        transcript.sideband_back(now);
        transcript.close();
        assert_eq!(texts(&transcript).contains(&"that was outstanding".to_owned()), !later);
    }
}

#[test]
fn what_is_told_before_what_was_said_before_it_may_still_have_fallen_on_a_dead_line() {
    let (mut transcript, now) = heard();
    transcript.apply(&VoiceEvent::SpeechStarted { item: item("u1"), start_ms: None }, now);
    transcript.client_report(client_report("c:a1", Some("a1"), "answer 1"), now);
    transcript.client_report(client_report("c:u1", Some("u1"), "I said 1."), now);
    transcript.sideband_lost();
    assert_eq!(texts(&transcript).len(), 2);
}

#[test]
fn what_was_told_in_a_call_that_is_over_is_not_believed_of_a_gap_in_the_next() {
    for (cause, believed) in [(Cause::Client, false), (Cause::Ours, true)] {
        let (mut transcript, now) = heard();
        for event in &turn(1, None) {
            transcript.apply(event, now);
        }
        transcript.client_report(client_report("c:x", Some("x"), "that was outstanding"), now);
        transcript.call_opened(2, Cause::Client, now);
        transcript.sideband_back(now);
        transcript.give_up_earlier_calls(cause);
        for event in &turn(2, None) {
            transcript.apply(event, now);
        }
        transcript.sideband_lost();
        transcript.close();
        assert_eq!(texts(&transcript).contains(&"that was outstanding".to_owned()), believed, "{cause:?}");
    }
}

#[test]
fn an_invented_item_does_not_use_up_the_places_of_what_is_said() {
    let (mut transcript, now) = heard();
    transcript.client_report(client_report("c:x", Some("x"), "that was outstanding"), now);
    // Nor does one of which the sideband has heard only the end.
    transcript.sideband_lost();
    transcript.sideband_back(now);
    transcript.apply(
        &VoiceEvent::CandidateSettled { item: item("u0"), text: "I said 0.".into(), recognition: Recognition::default() },
        now,
    );
    for n in 1..=60 {
        for event in &turn(n, (n > 1).then(|| format!("a{}", n - 1)).as_deref()) {
            transcript.apply(event, now);
        }
    }
    let positions: Vec<i64> = transcript.entries().into_iter().map(|entry| entry.position).collect();
    assert!(positions.len() == 122 && positions.windows(2).all(|pair| pair[0] < pair[1]), "{positions:?}");
}

#[test]
fn an_item_that_somebody_put_first_does_not_hide_that_nothing_fell_into_a_gap() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    transcript.sideband_back(now);
    let root = VoiceEvent::ItemPlaced { item: item("put"), previous: None, content: ItemContent::Typed };
    transcript.apply(&root, now);
    for event in &turn(2, Some("a1")) {
        transcript.apply(event, now);
    }
    for told in ["u1", "x", "a2"] {
        transcript.client_report(client_report(&format!("c:{told}"), Some(told), "that was outstanding"), now);
    }
    transcript.close();
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "I said 2.", "answer 2."]);
}

/// Seed 4435: everything that is not acknowledged is sent again with each new link.
#[test]
fn a_repeat_of_what_is_known_says_nothing_of_what_was_told_before_it() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    for _ in 0..3 {
        transcript.client_report(client_report("c:u2", Some("u2"), "said on a dead line"), now);
        transcript.client_report(client_report("c:a1", Some("a1"), "answer 1."), now);
    }
    transcript.sideband_lost();
    assert!(!texts(&transcript).contains(&"said on a dead line".to_owned()), "our line heard what was told after it");
    let (mut transcript, now) = heard();
    transcript.apply(&turn(1, None)[0], now);
    for _ in 0..3 {
        transcript.client_report(client_report("c:u2", Some("a1"), "said on a dead line"), now);
        transcript.client_report(client_report("c:u1", Some("u1"), "I said 1."), now);
    }
    transcript.sideband_lost();
    assert!(texts(&transcript).contains(&"said on a dead line".to_owned()));
}

#[test]
fn what_was_said_in_a_gap_may_be_told_behind_what_the_line_heard_the_end_of() {
    for (first, told) in [
        // Cut in a gap, and known by that alone; by its last words; by the chain.
        (Some(VoiceEvent::ItemCut { item: item("a2"), heard_ms: 7 }), ["a2", "u2"]),
        (Some(VoiceEvent::ReplySettled { item: item("a2"), text: "words of a2".into() }), ["a2", "u2"]),
        (None, ["a2", "u2"]),
    ] {
        let (mut transcript, now) = heard();
        for event in &turn(1, None) {
            transcript.apply(event, now);
        }
        transcript.sideband_lost();
        transcript.sideband_back(now);
        if let Some(event) = first {
            transcript.apply(&event, now);
        }
        for event in &turn(3, Some("a2"))[..4] {
            transcript.apply(event, now);
        }
        for id in told {
            transcript.client_report(client_report(&format!("c:{id}"), Some(id), &format!("words of {id}")), now);
        }
        for event in &turn(3, Some("a2"))[4..] {
            transcript.apply(event, now);
        }
        transcript.client_report(client_report("c:u3", Some("u3"), "I said 3."), now);
        transcript.close();
        assert!(transcript.all_entries().iter().all(|entry| entry.authoritative && entry.status == Status::Final));
        assert_eq!(transcript.len(), 6);
    }
}

#[test]
fn words_of_a_line_that_carries_no_speech_are_doubtful_and_of_the_record_only_where_the_tenant_says_so() {
    for allowed in [false, true] {
        let mut transcript = Transcript::default().judging_a_deaf_line(allowed);
        transcript.call_opened(1, Cause::Ours, at());
        transcript.sideband_back(at());
        let now = at() + time::Duration::minutes(1);
        pass(&mut transcript, time::Duration::minutes(1));
        transcript.apply(&turn(1, None)[4], now);
        transcript.client_report(client_report("c:1", Some("u1"), "hello"), now);
        // Items of answers may come without their speech.
        let placed = |name: &str| VoiceEvent::ItemPlaced { item: item(name), previous: None, content: said(Speaker::Candidate) };
        for (name, deaf) in [("u2", false), ("u3", true)] {
            transcript.apply(&placed(name), now);
            if deaf {
                transcript.sideband_is_deaf();
            }
            transcript.client_report(client_report(name, Some(name), "with a place"), now);
        }
        transcript.client_report(client_report("c:4", Some("u4"), "again"), now);
        transcript.close();
        let all: Vec<_> = transcript.all_entries().into_iter().map(|entry| (entry.authoritative, entry.doubt)).collect();
        assert_eq!(all, [(allowed, Some(Doubt::DeafSideband)); 4]);
    }
}

/// What was told in a gap of ours stays in the record when the sideband into the next call carries no speech.
#[test]
fn a_deaf_line_says_nothing_of_the_call_before_it() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    transcript.client_report(client_report("c:u2", Some("u2"), "I said 2."), now);
    assert!(texts(&transcript).contains(&"I said 2.".to_owned()), "in the record, with the doubt");
    transcript.call_opened(2, Cause::Ours, now);
    transcript.sideband_back(now);
    transcript.sideband_is_deaf();
    transcript.give_up_earlier_calls(Cause::Ours);
    transcript.close();
    let told = transcript.all_entries().into_iter().find(|entry| entry.text == "I said 2.").expect("kept");
    assert_eq!((told.authoritative, told.doubt), (true, Some(Doubt::UnclosedGap)));
}

proptest! {
    /// Any duplication and any local disorder of the final events ends in the same transcript.
    #[test]
    fn duplicated_and_swapped_events_settle_the_same(swaps in proptest::collection::vec((0usize..64, 0usize..4), 0..24), repeats in proptest::collection::vec(0usize..64, 0..24)) {
        let mut events: Vec<VoiceEvent> = (1..=4).flat_map(|n| turn(n, (n > 1).then(|| format!("a{}", n - 1)).as_deref())).collect();
        let mut straight = Transcript::default();
        for event in &events { straight.apply(event, at()); }
        for index in repeats { let event = events[index % events.len()].clone(); events.push(event); }
        // Texts may be late by any amount; the order of placement events is the provider's.
        for (index, by) in swaps {
            let index = index % events.len();
            let placed = |e: &VoiceEvent| matches!(e, VoiceEvent::ItemPlaced { .. } | VoiceEvent::SpeechStarted { .. } | VoiceEvent::ReplyItem { .. });
            if index + by < events.len() && !placed(&events[index]) && !placed(&events[index + by]) {
                events.swap(index, index + by);
            }
        }
        let mut shuffled = Transcript::default();
        for event in &events { shuffled.apply(event, at()); }
        prop_assert_eq!(texts(&straight), texts(&shuffled));
    }
}

#[test]
fn who_takes_up_a_call_in_the_middle_of_a_turn_puts_late_words_before_the_answer_to_them() {
    let mut transcript = Transcript::default();
    // The process that heard the candidate begin is gone; the answer is placed behind its words.
    let events = turn(2, Some("a1"));
    for event in events[4..].iter().filter(|event| !matches!(event, VoiceEvent::CandidateSettled { .. })) {
        transcript.apply(event, at());
    }
    transcript.apply(&events[8], at());
    assert_eq!(texts(&transcript), ["I said 2.", "answer 2."]);
    let entries = transcript.entries();
    assert!(entries[0].position < entries[1].position, "{entries:?}");
}

#[test]
fn what_the_line_told_after_all_is_not_given_up_for_the_browsers_word_when_it_breaks_again() {
    let mut transcript = Transcript::default();
    let events = turn(1, None);
    for event in &events[..4] {
        transcript.apply(event, at());
    }
    transcript.sideband_lost();
    transcript.client_report(client_report("w1", Some("u1"), "I said 1. And I invented it."), at());
    transcript.sideband_back(at());
    let truth = transcript.apply(&events[8], at());
    assert_eq!((truth[0].text.as_str(), truth[0].source), ("I said 1.", Source::Sideband));
    assert_eq!(transcript.sideband_lost(), [], "nothing is said anew");
    assert_eq!(texts(&transcript), ["I said 1."]);
}

#[test]
fn what_was_told_while_the_line_was_dead_and_nobody_had_noticed_is_believed_when_it_is_lost() {
    let (mut transcript, now) = heard();
    for event in &turn(1, None) {
        transcript.apply(event, now);
    }
    let forged = transcript.client_report(client_report("w1", Some("x"), "I never said that"), now).pop().expect("stored");
    let mut after = turn(2, Some("a1"));
    transcript.apply(&after.remove(0), now);
    // From here on nothing comes any more.
    let told = transcript.client_report(client_report("w2", Some("u3"), "and so it went"), now).pop().expect("stored");
    assert!(!forged.authoritative && !told.authoritative);
    let believed = transcript.sideband_lost();
    let seen = |entries: &[Entry]| entries.iter().map(|entry| (entry.key.to_string(), entry.doubt)).collect::<Vec<_>>();
    assert_eq!(seen(&believed), [("u3".to_owned(), Some(Doubt::UnclosedGap))]);
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "and so it went"]);

    // A process that takes over before anybody has noticed believes it as well, and what was kept beside.
    let mut entries = transcript.entries();
    (entries[2].authoritative, entries[2].doubt) = (false, Some(Doubt::Unconfirmed));
    let beside = Entry { source: Source::Browser, authoritative: false, status: Status::Partial, ..entries[0].clone() };
    let mut next = Transcript::restore(vec![beside, entries[1].clone(), entries[2].clone()]).taken_over(Some(at()), true);
    let mut believed: Vec<String> = next.take_late().iter().map(|entry| entry.key.to_string()).collect();
    believed.sort();
    assert_eq!(believed, ["u1", "u3"]);
}

#[test]
fn of_what_was_said_before_we_listened_and_is_cut_off_now_the_browser_tells_the_words() {
    let mut transcript = Transcript::restore(vec![]).taken_over(Some(at()), true);
    transcript.sideband_back(at());
    let cut = VoiceEvent::ItemCut { item: item("a1"), heard_ms: 700 };
    transcript.apply(&cut, at());
    let told = transcript.client_report(client_report("w1", Some("a1"), "Tell me about"), at()).pop().expect("stored");
    assert!(told.authoritative && told.interrupted, "{told:?}");
}

#[test]
fn what_the_browser_told_without_a_place_stays_before_what_came_later() {
    let mut transcript = Transcript::default();
    let mut events = turn(1, None);
    for event in events.drain(..) {
        transcript.apply(&event, at());
    }
    transcript.sideband_lost();
    let note = transcript.client_report(client_report("c:1", None, "a note"), at()).pop().expect("told");
    // More turns than halving the room before it would ever give places for.
    for n in 2..60 {
        for event in turn(n, Some(&format!("a{}", n - 1))) {
            transcript.apply(&event, at());
        }
    }
    let slots: Vec<(&str, i64)> = transcript.slots.iter().map(|slot| (slot.key.as_str(), slot.position)).collect();
    assert_eq!(slots[2], (note.key.as_str(), note.position), "{slots:?}");
    assert!(slots.windows(2).all(|pair| pair[0].1 < pair[1].1), "each has a place of its own: {slots:?}");
}

#[test]
fn what_was_unfinished_when_a_process_left_keeps_its_place_for_what_the_browser_tells_the_next() {
    let (mut transcript, now) = heard();
    // The answer has its words, what it answers has not.
    for event in turn(1, None).iter().filter(|event| !matches!(event, VoiceEvent::CandidateSettled { .. })) {
        transcript.apply(event, now);
    }
    transcript.sideband_lost();
    transcript.close();
    let mut next = Transcript::restore(transcript.entries()).taken_over(Some(at()), true);
    next.client_report(client_report("w1", Some("u1"), "I said 1."), now);
    assert_eq!(texts(&next), ["I said 1.", "answer 1."]);
}
