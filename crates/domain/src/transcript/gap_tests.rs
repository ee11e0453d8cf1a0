//! What the browser tells of gaps that end with a process, with a call, or in which somebody deletes what was said.

use super::tests::{at, client_report, heard, item, pass, reply, texts, turn};
use super::*;
use crate::voice::Speaker;

/// What a process leaves to the next, which finds the call alive.
fn next(transcript: &Transcript) -> Transcript {
    let mut next = Transcript::restore(transcript.all_entries()).taken_over(Some(at()), true);
    next.sideband_back(at());
    next
}

fn of_ai(key: &str, item_id: &str, text: &str) -> ClientReport {
    ClientReport { speaker: Speaker::Ai, ..client_report(key, Some(item_id), text) }
}

/// Where that gap lay only the second process knows.
#[test]
fn what_fell_between_two_processes_is_of_the_record_before_a_third_can_come() {
    let (mut first, now) = heard();
    for event in &turn(1, None) {
        first.apply(event, now);
    }
    let mut second = next(&first);
    let told = second.client_report(client_report("c:x", Some("x"), "and so it went"), now).pop().expect("stored");
    assert_eq!((told.authoritative, told.doubt), (true, Some(Doubt::UnclosedGap)));
    for event in &turn(2, Some("x")) {
        second.apply(event, now);
    }
    assert_eq!(texts(&next(&second)), ["I said 1.", "answer 1.", "and so it went", "I said 2.", "answer 2."]);
    // A gap of the sideband alone may turn out to be empty: nothing is believed of it before something stands behind it.
    let (mut alone, now) = heard();
    alone.sideband_lost();
    alone.sideband_back(now);
    let told = alone.client_report(client_report("c:x", Some("x"), "and so it went"), now).pop().expect("stored");
    assert!(!told.authoritative, "{told:?}");
}

/// The answer is being said, the browser has its words already, and then the candidate speaks over it.
fn cut_beside(words: &str) -> (Transcript, Timestamp, Vec<Entry>) {
    let (mut transcript, now) = heard();
    for event in &turn(1, None)[4..7] {
        transcript.apply(event, now);
    }
    transcript.apply(&VoiceEvent::ReplyWords { item: item("a1"), delta: "answer".into() }, now);
    transcript.client_report(of_ai("c:a1", "a1", words), now);
    transcript.apply(&VoiceEvent::PlaybackCut { reply: reply("r1") }, now);
    let cut = transcript.apply(&VoiceEvent::ItemCut { item: item("a1"), heard_ms: 700 }, now);
    (transcript, now, cut)
}

#[test]
fn words_that_stand_beside_are_stored_again_when_they_are_cut() {
    let (mut transcript, _, cut) = cut_beside("answer 1.");
    let [beside] = &cut[..] else { panic!("{cut:?}") };
    assert!(beside.interrupted && !beside.authoritative && beside.revision > 1, "{beside:?}");
    assert_eq!(transcript.interrupt(), [], "they stay beside, as they are stored");
    let taken = Transcript::restore(cut).taken_over(Some(at()), true).entries();
    assert_eq!(taken.iter().map(|entry| (entry.text.as_str(), entry.interrupted)).collect::<Vec<_>>(), [("answer 1.", true)]);
}

/// The next process does not know what this one has heard.
#[test]
fn a_process_that_stops_leaves_no_words_beside_that_contradict_what_it_heard() {
    let (mut transcript, ..) = cut_beside("I never said that");
    let left = transcript.interrupt();
    let [own] = &left[..] else { panic!("{left:?}") };
    assert_eq!((own.text.as_str(), own.status, own.source), ("answer", Status::Partial, Source::Sideband));
    assert!(own.authoritative && own.interrupted && own.revision > 2, "{own:?}");
    let mut taken = Transcript::restore(left).taken_over(Some(at()), true);
    taken.client_report(of_ai("c:a1", "a1", "I never said that"), at());
    assert_eq!(texts(&taken), ["answer"]);
}

/// What is said stands at the end of the conversation: all that we know behind its predecessor was deleted.
#[test]
fn who_deletes_in_a_gap_what_was_said_before_it_does_not_keep_it_open() {
    for previous in [None, Some("u1")] {
        let (mut transcript, now) = heard();
        for event in &turn(1, None) {
            transcript.apply(event, now);
        }
        transcript.sideband_lost();
        transcript.sideband_back(now);
        for event in &turn(2, previous) {
            transcript.apply(event, now);
        }
        transcript.client_report(client_report("c:x", Some("x"), "that was outstanding"), now);
        transcript.call_over(Cause::Ours);
        assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "I said 2.", "answer 2."], "behind {previous:?}");
    }
}

#[test]
fn a_replaced_call_is_waited_for_while_its_line_may_be_dead() {
    for dead in [false, true] {
        let (mut transcript, now) = heard();
        for event in &turn(1, None) {
            transcript.apply(event, now);
        }
        // Nothing comes on the sideband from here on, and nobody knows.
        transcript.client_report(client_report("c:x", Some("x"), "and so it went"), now);
        transcript.call_opened(2, Cause::Ours, now);
        transcript.sideband_back(now);
        pass(&mut transcript, time::Duration::seconds(1));
        assert!(transcript.awaits_words_of_earlier_calls());
        if dead {
            transcript.give_up_earlier_calls(Cause::Ours);
        } else {
            transcript.earlier_sideband_is_alive();
        }
        assert!(!transcript.awaits_words_of_earlier_calls());
        transcript.give_up_earlier_calls(Cause::Client);
        assert_eq!(texts(&transcript).contains(&"and so it went".to_owned()), dead);
    }
}

#[test]
fn the_last_turn_is_unanswered_until_something_of_the_interviewer_stands_behind_it() {
    let (mut transcript, now) = heard();
    let events = turn(1, None);
    for event in &events[..4] {
        transcript.apply(event, now);
    }
    assert_eq!(transcript.unanswered_turn(), None, "it may go on");
    transcript.apply(&events[8], now);
    assert_eq!(transcript.unanswered_turn(), Some(item("u1")));
    for event in &events[4..7] {
        transcript.apply(event, now);
    }
    assert_eq!(transcript.unanswered_turn(), None);
    transcript.sideband_lost();
    transcript.client_report(client_report("c:u2", Some("u2"), "Then I rewrote it."), now);
    assert_eq!(transcript.unanswered_turn(), Some(item("u2")), "by the browser's word, in a gap of ours");
    transcript.client_report(of_ai("c:a2", "a2", "And then?"), now);
    assert_eq!(transcript.unanswered_turn(), None);
    transcript.sideband_back(now);
    transcript.client_report(client_report("c:u3", Some("u3"), "Then it was fast."), now);
    assert_eq!(transcript.unanswered_turn(), Some(item("u3")), "told when the line is back");
    // Our sideband was there to hear.
    let (mut transcript, now) = heard();
    transcript.apply(&turn(1, None)[4], now);
    transcript.apply(&turn(1, None)[5], now);
    transcript.client_report(client_report("c:x", Some("x"), "that was outstanding"), now);
    assert_eq!(transcript.unanswered_turn(), None);
}

/// It awaits the item before it, which nobody ever told of.
#[test]
fn a_gap_of_a_call_that_is_over_draws_nothing_of_the_next_into_it() {
    let (mut transcript, now) = heard();
    transcript.sideband_lost();
    transcript.sideband_back(now);
    for event in &turn(1, Some("never told")) {
        transcript.apply(event, now);
    }
    transcript.call_over(Cause::Ours);
    transcript.call_opened(2, Cause::Ours, now);
    transcript.sideband_back(now);
    for event in &turn(2, None) {
        transcript.apply(event, now);
    }
    transcript.client_report(client_report("c:x", Some("x"), "and so it went"), now);
    transcript.sideband_lost();
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "I said 2.", "answer 2.", "and so it went"]);
}
