//! What must hold at the end of every run, whatever happened in it. What must hold at every moment is checked in `browser` and
//! `database`.

use crate::database::Tables;
use crate::ground_truth::{CallFacts, Facts, Foreign, Heard, Said};
use crate::plan::{Conducted, Liar};
use crate::vendors::lines;
use crate::world::Walls;
use interview_runtime::domain::edge::Timestamp;
use interview_runtime::domain::transcript::{Doubt, Entry, Source, Status, can_be_judged};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

/// What is left when the run is over.
pub struct Evidence<'a> {
    pub tables: &'a Tables,
    pub truth: &'a Facts,
    pub orphans: &'a [String],
    /// What each summary was made of; a summary's `overall` is its index here.
    pub summary_inputs: &'a [String],
    pub tasks_left: usize,
    pub panics: &'a [String],
    /// The process that had it last, and the end it was taken to, were given enough time.
    pub over: bool,
    /// The page is not honest.
    pub liar: Option<Liar>,
    /// It is led through a plan.
    pub conducted: Option<Conducted>,
    pub walls: Walls,
    /// How many processes there were.
    pub processes: u32,
}

pub type Check = fn(&Evidence) -> Result<(), String>;

pub const ALL: &[(&str, Check)] = &[
    ("acknowledged_entries_are_stored_exactly_once", acknowledged_entries_are_stored_exactly_once),
    ("what_the_sideband_settled_is_stored_exactly_once", what_the_sideband_settled_is_stored_exactly_once),
    ("what_was_acknowledged_is_in_the_transcript", what_was_acknowledged_is_in_the_transcript),
    ("words_are_as_they_were_said", words_are_as_they_were_said),
    ("what_is_said_to_be_heard_was_said", what_is_said_to_be_heard_was_said),
    ("final_words_that_are_empty_take_nothing", final_words_that_are_empty_take_nothing),
    ("a_replaced_call_is_heard_out", a_replaced_call_is_heard_out),
    ("what_is_typed_is_in_the_transcript_once", what_is_typed_is_in_the_transcript_once),
    ("what_is_typed_is_told_to_a_call_once", what_is_typed_is_told_to_a_call_once),
    ("what_is_typed_reaches_the_interviewer", what_is_typed_reaches_the_interviewer),
    ("notes_are_no_words_of_the_record", notes_are_no_words_of_the_record),
    ("a_browser_is_believed_only_of_our_gaps", a_browser_is_believed_only_of_our_gaps),
    ("what_was_not_written_down_on_purpose_is_not_told_instead", what_was_not_written_down_on_purpose_is_not_told_instead),
    ("what_somebody_else_did_is_noted", what_somebody_else_did_is_noted),
    ("a_call_that_somebody_else_acts_in_is_replaced", a_call_that_somebody_else_acts_in_is_replaced),
    ("no_honest_interview_is_suspected", no_honest_interview_is_suspected),
    ("times_are_those_of_the_interview", times_are_those_of_the_interview),
    ("who_was_interrupted_is_told", who_was_interrupted_is_told),
    ("the_transcript_follows_the_conversation", the_transcript_follows_the_conversation),
    ("notes_of_a_client_keep_their_order", notes_of_a_client_keep_their_order),
    ("entry_numbers_are_given_once", entry_numbers_are_given_once),
    ("places_are_given_once", places_are_given_once),
    ("every_interview_ends", every_interview_ends),
    ("the_summary_was_made_of_the_transcript", the_summary_was_made_of_the_transcript),
    ("no_call_is_left_alive", no_call_is_left_alive),
    ("greeted_at_most_once", greeted_at_most_once),
    ("what_the_interviewer_owes_is_asked_for", what_the_interviewer_owes_is_asked_for),
    ("no_task_is_left", no_task_is_left),
    ("nothing_panics_by_itself", nothing_panics_by_itself),
];

pub fn verdict(wrong: &[String]) -> Result<(), String> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}

fn rows<'a>(evidence: &'a Evidence, key: &str) -> Vec<&'a Entry> {
    evidence.tables.entries.iter().map(|row| &row.entry).filter(|entry| entry.key == key).collect()
}

fn acknowledged_entries_are_stored_exactly_once(evidence: &Evidence) -> Result<(), String> {
    let wrong: Vec<String> = evidence
        .truth
        .acked
        .iter()
        .filter(|acked| !acked.poison)
        .filter_map(|acked| {
            let count = rows(evidence, &acked.key).len();
            (count != 1).then(|| format!("{} {count} times", acked.key))
        })
        .collect();
    verdict(&wrong)
}

fn what_the_sideband_settled_is_stored_exactly_once(evidence: &Evidence) -> Result<(), String> {
    let wrong: Vec<String> = evidence
        .truth
        .said
        .values()
        .filter(|said| !said.settled_by.is_empty() && !is_of_a_replaced_call(evidence, said))
        .filter_map(|said| {
            let count = rows(evidence, &said.item).len();
            (count > 1 || count == 0 && !said.forgiven).then(|| format!("{} {count} times", said.item))
        })
        .collect();
    verdict(&wrong)
}

/// Whether a call after this one had been opened by then.
fn is_replaced_at(evidence: &Evidence, call: &str, at: Instant) -> bool {
    let calls = &evidence.truth.calls;
    let opened = calls.get(call).map(|call| call.opened);
    let later = calls.values().filter(|later| Some(later.opened) > opened);
    later.filter_map(|later| later.answered).any(|answered| answered <= at)
}

/// Of a call that was replaced before it took its place there: only what was on its way counts.
fn is_of_a_replaced_call(evidence: &Evidence, said: &Said) -> bool {
    is_replaced_at(evidence, &said.call, said.placed_at.unwrap_or(said.spoken_at))
}

/// Told by a page that was away while another, or the machine, had the call replaced: of which call it tells nobody
/// can know.
fn was_told_after_its_call(evidence: &Evidence, said: &Said) -> bool {
    evidence.truth.told.get(&said.item).is_some_and(|told| is_replaced_at(evidence, &said.call, told.last))
}

/// It fell into the gap between two processes, or lost its words in it, and was told to a third: where that gap was went with the second.
fn was_told_two_processes_later(evidence: &Evidence, said: &Said) -> bool {
    let (Some(call), Some(told)) = (evidence.truth.calls.get(&said.call), evidence.truth.told.get(&said.item)) else {
        return false;
    };
    let heard = call.heard.iter().map(|heard| (heard.process, heard.from));
    let since = heard.chain(evidence.truth.started.iter().copied()).filter(|(_, at)| *at > said.spoken_at && *at <= told.last);
    since.map(|(process, _)| process).collect::<BTreeSet<_>>().len() > 1
}

/// The process that heard the call ended before it could store anything of it. To its successor that sideband carried no
/// speech, and a browser is not believed of such a sideband.
fn left_no_trace_of_its_call(evidence: &Evidence, said: &Said) -> bool {
    let Some(heard) = evidence.truth.calls.get(&said.call).and_then(|call| call.heard.last()) else { return false };
    let of_the_call = |entry: &&Entry| evidence.truth.said.get(entry.key.as_str()).is_some_and(|other| other.call == said.call);
    let mut entries = evidence.tables.entries.iter().map(|row| &row.entry).filter(of_the_call);
    evidence.processes > heard.process
        && entries.all(|entry| entry.source == Source::Browser && entry.doubt == Some(Doubt::DeafSideband))
}

/// As long as a hang-up takes to reach the provider. What is said, or cut, in that moment only the page hears.
const HANGING_UP: Duration = Duration::from_millis(100);

fn was_told_as_the_call_ended(evidence: &Evidence, said: &Said) -> bool {
    let ended = evidence.truth.calls.get(&said.call).and_then(|call| call.hung_up.or(call.ended));
    let told = evidence.truth.told.get(&said.item);
    ended.zip(told).is_some_and(|(ended, told)| {
        told.first + HANGING_UP >= ended && said.settled_by.iter().all(|(_, at)| *at + HANGING_UP >= ended)
    })
}

/// Our sideband has heard more of it than a page tells: then it cannot be held against that.
const MOST_TOLD: usize = 12_000;

/// From a page's word of an item that no line brought, until the sideband is held for lost.
const FOUND_DEAD: Duration = Duration::from_millis(3_500);

/// The last sideband into the call was dead when it was said, or its words came, and the page told of it so late that nobody could notice while
/// the runtime held that sideband: there is nothing to tell it from a call in which nothing was said.
fn fell_unnoticed(evidence: &Evidence, said: &Said) -> bool {
    let Some(call) = evidence.truth.calls.get(&said.call) else { return false };
    let missed = |until: Instant| said.spoken_at >= until || said.settled_by.is_empty();
    // Whoever hangs up listens no more, however long the hang-up takes; nor does a process that dies while it waits for the answer.
    let died = call.heard.last().and_then(|last| evidence.truth.gone.get(&last.process).copied());
    let let_go = call.hung_up.into_iter().chain(call.ended).chain(died).min();
    let told = evidence.truth.told.get(&said.item).map(|told| told.first);
    let too_late = told.zip(let_go).is_none_or(|(told, let_go)| {
        told + FOUND_DEAD > let_go && !is_heard_until_it_answers(evidence, call, &said.call, told, let_go)
    });
    call.heard.last().is_some_and(|last| last.silent && last.until.is_some_and(missed)) && too_late
}

/// The sideband into a call that is replaced is asked whether it lives before it is given up, if nothing else happens meanwhile.
fn is_heard_until_it_answers(evidence: &Evidence, call: &CallFacts, name: &str, told: Instant, let_go: Instant) -> bool {
    let Some(line) = call.heard.last() else { return false };
    let window = told..told + FOUND_DEAD;
    is_replaced_at(evidence, name, let_go)
        && !is_replaced_at(evidence, name, told)
        && !is_disturbed(evidence, call, line, &window)
}

/// A crash, the end of its process, or two new calls: a sideband that was to be heard on for a while may not have been.
fn is_disturbed(evidence: &Evidence, call: &CallFacts, line: &Heard, window: &Range<Instant>) -> bool {
    let calls = &evidence.truth.calls;
    evidence.truth.crashes.iter().any(|at| window.contains(at))
        || evidence.processes > line.process
        || calls.values().any(|other| other.opened > call.opened && other.hung_up.is_some_and(|at| window.contains(&at)))
        || calls.values().filter(|other| other.answered.is_some_and(|at| window.contains(&at))).count() > 1
}

/// Stored is not enough: it has to be in what people read.
fn what_was_acknowledged_is_in_the_transcript(evidence: &Evidence) -> Result<(), String> {
    if evidence.liar.is_some() {
        return Ok(());
    }
    let is_stored = |said: &Said| evidence.tables.calls.iter().any(|call| call.as_str() == said.call);
    let wrong: Vec<String> = evidence
        .truth
        .acked
        .iter()
        .filter_map(|acked| evidence.truth.said.get(&acked.key))
        .filter(|said| is_stored(said) && !fell_unnoticed(evidence, said) && !was_told_after_its_call(evidence, said))
        .filter(|said| !was_told_two_processes_later(evidence, said) && !left_no_trace_of_its_call(evidence, said))
        .filter(|said| !was_told_as_the_call_ended(evidence, said) && said.full.len() <= MOST_TOLD)
        .filter_map(|said| {
            let rows = rows(evidence, &said.item);
            let words_lost = |entry: &&Entry| matches!(entry.status, Status::Missing | Status::Partial);
            match rows.iter().find(|entry| !entry.authoritative) {
                Some(_) => Some(said.item.clone()),
                None => rows.iter().find(|entry| words_lost(entry)).map(|_| format!("without its words {}", said.item)),
            }
        })
        .collect();
    verdict(&wrong)
}

/// A stretch of a call in which no line of ours heard it.
struct Gap {
    from: Instant,
    /// Something took its place in it, or may have been lost with the process that ended in it.
    fell: bool,
    /// When a sideband heard the first that came after it.
    closed: Option<Instant>,
    /// When somebody last began to speak after it, whatever became of that.
    followed: Option<Instant>,
    /// The browser made it.
    clients: bool,
}

/// As long as a gap of a browser may be, with what a sideband needs to be heard on.
const OF_A_CLIENT: Duration = Duration::from_millis(3_100);

fn gaps(evidence: &Evidence) -> Vec<Gap> {
    let mut gaps = lost_with_processes(evidence);
    for call in evidence.truth.calls.values() {
        let mut heard: Vec<Heard> = call.heard.clone();
        heard.sort_by_key(|heard| heard.from);
        let first = heard.first().map(|heard| heard.from);
        let gap = |from: Instant, to: Option<Instant>, hides: bool, clients: bool| {
            let fell = call.placed.iter().any(|at| *at > from && to.is_none_or(|to| *at < to));
            let after = |at: &&Instant| to.is_some_and(|to| **at >= to);
            let closed = call.goes_on.iter().filter(after).min().copied();
            let followed = call.begun.iter().filter(after).max().copied();
            Gap { from, fell: fell || hides, closed, followed, clients }
        };
        let clients = first.is_some_and(|first| first - call.opened <= OF_A_CLIENT) && is_unasked(evidence, call);
        // Whoever opened it died before it was in it, or after: the next process cannot know.
        let died = heard.first().is_some_and(|first| first.process != call.process);
        gaps.push(gap(call.opened, first, died, clients));
        for pair in heard.windows(2) {
            let died = pair[0].process != pair[1].process;
            let from = if died { last_stored(evidence, call, &pair[0], pair[1].from) } else { pair[0].last };
            gaps.push(gap(from, Some(pair[1].from), died, false));
        }
        if let Some(last) =
            heard.last().filter(|last| last.until < call.ended || call.hung_up.is_none_or(|at| last.until < Some(at)))
        {
            gaps.push(gap(last.last, None, true, false));
        }
    }
    gaps
}

/// A process died: what it knew and had not stored is lost, of each call.
fn lost_with_processes(evidence: &Evidence) -> Vec<Gap> {
    let heard = || evidence.truth.calls.values().flat_map(|call| call.heard.iter().map(move |heard| (call, heard)));
    let last = heard().map(|(_, heard)| heard.process).max();
    let ends: Vec<_> = heard().filter(|(_, heard)| Some(heard.process) < last || evidence.processes > heard.process).collect();
    let lost = |(call, heard): (&CallFacts, &Heard)| {
        let from = last_stored(evidence, call, heard, heard.until.unwrap_or(heard.last));
        Gap { from, fell: true, closed: Some(from), followed: None, clients: false }
    };
    ends.into_iter().map(lost).collect()
}

/// When the last that a dead process had stored was said: what it heard after that nobody knows.
fn last_stored(evidence: &Evidence, call: &CallFacts, heard: &Heard, taken_over: Instant) -> Instant {
    let stored = |said: &&Said| rows(evidence, &said.item).iter().any(|row| row.source == Source::Sideband);
    let by_it = evidence
        .truth
        .said
        .values()
        .filter(|said| said.settled_by.iter().any(|(by, at)| *by == heard.process && *at < taken_over));
    let placed = by_it.filter(stored).filter_map(|said| said.placed_at).filter(|at| *at <= heard.last);
    placed.max().unwrap_or(call.opened)
}

/// It was offered while a call before it was heard, and nobody had asked for that.
fn is_unasked(evidence: &Evidence, call: &CallFacts) -> bool {
    let at = call.opened;
    let is_heard = |heard: &Heard| heard.from < at && heard.until.is_none_or(|until| until >= at);
    let earlier = evidence.truth.calls.values().filter(|earlier| earlier.opened < at && earlier.ended.is_none_or(|end| end > at));
    let mut heard = earlier.flat_map(|earlier| &earlier.heard);
    let asked = evidence.truth.asked.iter().any(|asked| *asked < at && at - *asked < Duration::from_secs(20));
    heard.any(is_heard) && !asked
}

/// Items that exist, or that may have fallen into a gap of ours. Of one that never closed: marked.
fn a_browser_is_believed_only_of_our_gaps(evidence: &Evidence) -> Result<(), String> {
    let truth = evidence.truth;
    let gaps = gaps(evidence);
    let told = evidence.tables.entries.iter().map(|row| &row.entry);
    let told = told.filter(|entry| entry.source == Source::Browser && entry.authoritative);
    let wrong: Vec<String> = told
        .filter_map(|entry| {
            let key = entry.key.as_str();
            if truth.said.contains_key(key) || truth.put.contains(key) {
                return None;
            }
            let Some(told) = truth.told.get(key) else { return Some(format!("{key}, which nobody told")) };
            let may_hold = |gap: &&Gap| {
                !gap.clients
                    && gap.from <= told.acked.max(Some(told.last)).unwrap_or(told.last)
                    && (gap.fell || gap.closed.is_none_or(|closed| told.first <= closed))
            };
            let mut holding = gaps.iter().filter(may_hold).peekable();
            if holding.peek().is_none() {
                return Some(format!("{key}, where no gap was"));
            }
            let closed = holding.any(|gap| gap.closed.is_some() || gap.followed.is_some_and(|at| told.first <= at));
            (!closed && entry.doubt != Some(Doubt::UnclosedGap)).then(|| format!("{key} without a doubt"))
        })
        .collect();
    verdict(&wrong)
}

/// What our sideband is said to have heard was said, in these words.
fn what_is_said_to_be_heard_was_said(evidence: &Evidence) -> Result<(), String> {
    let heard = evidence.tables.entries.iter().map(|row| &row.entry).filter(|entry| entry.source == Source::Sideband);
    let wrong: Vec<String> = heard
        .filter(|entry| {
            let Some(said) = evidence.truth.said.get(entry.key.as_str()) else { return !is_empty_hand(evidence, entry) };
            entry.text.split(" … ").any(|piece| !said.full.contains(piece.trim_end_matches("[…]").trim()))
        })
        .map(|entry| format!("{} {:.60}", entry.key, entry.text.as_str()))
        .collect();
    verdict(&wrong)
}

/// Sound of which nothing is written down: the candidate spoke and the call ended, or a browser put an item without
/// words into the call.
fn is_empty_hand(evidence: &Evidence, entry: &Entry) -> bool {
    let key = entry.key.as_str();
    entry.text.is_empty() && (key.starts_with("me_") || key.starts_with("derived:") || evidence.truth.put.contains(key))
}

fn final_words_that_are_empty_take_nothing(evidence: &Evidence) -> Result<(), String> {
    let wrong: Vec<String> = evidence
        .truth
        .said
        .values()
        .filter(|said| !said.forgiven)
        .filter(|said| !said.settled_by.iter().any(|(_, at)| is_replaced_at(evidence, &said.call, *at)))
        .filter(|said| !said.begun_by.is_empty() && !said.settled_by.is_empty())
        .filter(|said| said.settled_by.iter().all(|(settled, _)| said.begun_by.iter().any(|(begun, _)| begun == settled)))
        .filter(|said| !has_crashed_over(evidence, said))
        .filter_map(|said| Some((said, said.only_begun.as_ref()?)))
        .filter(|(said, words)| rows(evidence, &said.item).iter().any(|row| row.text.as_str() != words.as_str()))
        .map(|(said, _)| said.item.clone())
        .collect();
    verdict(&wrong)
}

/// What waited for the actor that panicked was lost with it.
fn has_crashed_over(evidence: &Evidence, said: &Said) -> bool {
    let (first, last) = (said.begun_by.iter().map(|(_, at)| *at).min(), said.settled_by.iter().map(|(_, at)| *at).max());
    evidence.truth.crashes.iter().any(|at| Some(*at) >= first && Some(*at) <= last)
}

/// The sideband into a call that is replaced is heard on for words that are on their way.
const HEARD_ON: Duration = Duration::from_millis(4_900);

fn a_replaced_call_is_heard_out(evidence: &Evidence) -> Result<(), String> {
    let calls = &evidence.truth.calls;
    let mut wrong = Vec::new();
    for (name, call) in calls {
        let Some(answered) = calls
            .values()
            .filter(|later| later.opened > call.opened)
            .filter_map(|later| later.answered)
            .min()
            .filter(|at| call.ended.is_none_or(|ended| ended > *at))
        else {
            continue;
        };
        let (Some(hung_up), Some(line)) = (call.hung_up, call.heard.last()) else { continue };
        let window = answered - Duration::from_millis(400)..answered + HEARD_ON;
        let in_time =
            line.given_up && line.until.is_some_and(|until| window.contains(&until)) && (answered..window.end).contains(&hung_up);
        if !in_time || is_disturbed(evidence, call, line, &window) {
            continue;
        }
        let open = |said: &&Said| {
            said.call == *name
                && said.placed_on == Some(line.line)
                && said.placed_at.is_some_and(|at| at + Duration::from_millis(400) < answered)
                && said.settled_by.is_empty()
                && !said.unwritten
        };
        wrong.extend(evidence.truth.said.values().find(open).map(|said| format!("{name} with {} open", said.item)));
    }
    verdict(&wrong)
}

/// Each that was acknowledged, and none that nobody typed.
fn what_is_typed_is_in_the_transcript_once(evidence: &Evidence) -> Result<(), String> {
    let is_whole = |entry: &Entry, text: &str| {
        entry.text == *text && entry.source == Source::Typed && entry.authoritative && entry.status == Status::Final
    };
    let mut wrong = Vec::new();
    for (id, written) in evidence.truth.typed.iter().filter(|(_, written)| written.acked.is_some()) {
        let rows = rows(evidence, &format!("t:{id}"));
        if rows.len() != 1 || !is_whole(rows[0], &written.text) {
            wrong.push(format!("{id} {} times: {rows:?}", rows.len()));
        }
    }
    let typed = evidence.tables.entries.iter().map(|row| &row.entry).filter(|entry| entry.source == Source::Typed);
    for entry in typed {
        let written = entry.key.as_str().strip_prefix("t:").and_then(|id| evidence.truth.typed.get(id));
        if !written.is_some_and(|written| is_whole(entry, &written.text)) {
            wrong.push(format!("nobody typed {}", entry.key));
        }
    }
    verdict(&wrong)
}

/// With the conversation before it, or by itself.
fn what_is_typed_is_told_to_a_call_once(evidence: &Evidence) -> Result<(), String> {
    // Whoever takes it out of the call on the browser's channel may hear it put in again.
    if evidence.liar.is_some() {
        return Ok(());
    }
    let mut wrong = Vec::new();
    for written in evidence.truth.typed.values() {
        let mut calls: Vec<&str> =
            evidence.truth.typed_in.iter().filter(|(_, text)| *text == written.text).map(|(call, _)| call.as_str()).collect();
        calls.sort_unstable();
        wrong.extend(calls.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("{:?} in {}", written.text, pair[0])));
    }
    verdict(&wrong)
}

/// A sideband of ours that was there for so long, with nothing in its way, has put it in.
const PUT_IN: Duration = Duration::from_secs(5);

fn what_is_typed_reaches_the_interviewer(evidence: &Evidence) -> Result<(), String> {
    let mut wrong = Vec::new();
    for written in evidence.truth.typed.values() {
        let Some(acked) = written.acked else { continue };
        let row = evidence
            .tables
            .entries
            .iter()
            .find(|row| row.entry.source == Source::Typed && row.entry.text.as_str() == written.text);
        for (name, call) in &evidence.truth.calls {
            // A process that takes up a call which another opened does not know that it was told nothing.
            if acked < call.opened && call.heard.first().is_some_and(|line| line.process != call.process) {
                continue;
            }
            let newest = evidence.truth.started.iter().filter(|(_, at)| *at <= acked).map(|(process, _)| *process).max();
            let there = |line: &&Heard| {
                let (from, until) = (line.from.max(acked), line.until.or(call.ended));
                // A process that another has replaced does not know of it.
                let knows = Some(line.process) >= newest && !two_processes_act_in_one_call(evidence);
                // Known gap (docs/SIMULATION.md): its process stored it and was killed before it put it in, while a reply was on its
                // way. Its successor takes that reply, heard behind it, for the sign that the call has it.
                let knows = knows && row.is_none_or(|row| u32::try_from(row.epoch).is_ok_and(|epoch| epoch >= line.process));
                let window = from..from + PUT_IN;
                let crashed = evidence.truth.crashes.iter().any(|at| window.contains(at));
                let left = call.hung_up.into_iter().chain(until).min();
                knows && !line.silent && !crashed && left.is_none_or(|left| left > window.end)
            };
            let told = evidence.truth.typed_in.iter().any(|(call, text)| call == name && *text == written.text);
            if !told && call.heard.iter().any(|line| there(&line)) && !is_replaced_at(evidence, name, acked + PUT_IN) {
                wrong.push(format!("{:?} not in {name}", written.text));
            }
        }
    }
    verdict(&wrong)
}

fn notes_are_no_words_of_the_record(evidence: &Evidence) -> Result<(), String> {
    let notes = evidence.tables.entries.iter().map(|row| &row.entry).filter(|entry| entry.item_id.is_none());
    let wrong: Vec<String> = notes.filter(|entry| entry.authoritative).map(|entry| entry.key.to_string()).collect();
    verdict(&wrong)
}

/// In a calm call our sideband was there all the time: nothing but somebody's hand kept the words away.
fn what_was_not_written_down_on_purpose_is_not_told_instead(evidence: &Evidence) -> Result<(), String> {
    if !evidence.liar.is_some_and(|liar| liar.calm) {
        return Ok(());
    }
    let unwritten = evidence.truth.said.values().filter(|said| said.unwritten && said.placed_on.is_some());
    let told = |said: &&Said| rows(evidence, &said.item).iter().any(|row| row.source == Source::Browser && row.authoritative);
    verdict(&unwritten.filter(told).map(|said| said.item.clone()).collect::<Vec<_>>())
}

/// What our sideband showed, in a process that could store it.
fn what_somebody_else_did_is_noted(evidence: &Evidence) -> Result<(), String> {
    let noted: BTreeSet<&str> = evidence.tables.integrity.iter().map(|(kind, ..)| kind.as_str()).collect();
    // In a call that was replaced nobody listens for that: only words that were on their way are taken from it.
    let replaced = |foreign: &Foreign| is_replaced_at(evidence, &foreign.call, foreign.at);
    let shown = evidence.truth.foreign.iter().filter(|foreign| !foreign.forgiven && !replaced(foreign));
    let wrong: Vec<String> = shown
        .filter(|foreign| !noted.contains(foreign.kind))
        .map(|foreign| format!("{} in {}", foreign.kind, foreign.call))
        .collect();
    verdict(&wrong)
}

/// Often enough a call is given back; then it is the provider that changes it.
const REPLACED_AT_MOST: usize = 3;
const REPLACED_WITHIN: Duration = Duration::from_secs(30);

fn a_call_that_somebody_else_acts_in_is_replaced(evidence: &Evidence) -> Result<(), String> {
    let replaced = evidence.tables.integrity.iter().filter(|(kind, ..)| kind == "call_replaced").count();
    if replaced >= REPLACED_AT_MOST {
        return Ok(());
    }
    let mut wrong = Vec::new();
    for (name, call) in &evidence.truth.calls {
        for line in &call.heard {
            let doings: Vec<_> =
                evidence.truth.foreign.iter().filter(|foreign| foreign.line == line.line && !foreign.forgiven).collect();
            let [first, second, ..] = doings[..] else { continue };
            let crashed = evidence.truth.crashes.iter().any(|at| *at >= first.at && *at <= second.at + REPLACED_WITHIN);
            if !crashed && call.ended.is_none_or(|ended| ended > second.at + REPLACED_WITHIN) {
                wrong.push(format!("{name} after {} and {}", first.kind, second.kind));
            }
        }
    }
    verdict(&wrong)
}

/// One that is fenced and cannot know it yet: what it asks for in the call is somebody else's doing to its successor.
fn two_processes_act_in_one_call(evidence: &Evidence) -> bool {
    // Also in one instant: each may set right what the other has just asked for.
    let overlap = |a: &Heard, b: &Heard| {
        a.process != b.process && a.until.is_none_or(|until| b.from <= until) && b.until.is_none_or(|until| a.from <= until)
    };
    let mut calls = evidence.truth.calls.values().map(|call| &call.heard);
    calls.any(|heard| heard.iter().enumerate().any(|(index, a)| heard[index + 1..].iter().any(|b| overlap(a, b))))
}

fn no_honest_interview_is_suspected(evidence: &Evidence) -> Result<(), String> {
    if evidence.liar.is_some() || two_processes_act_in_one_call(evidence) {
        return Ok(());
    }
    let suspected = |kind: &&str| kind.starts_with("foreign_") || *kind == "call_replaced";
    let kinds = evidence.tables.integrity.iter().map(|(kind, ..)| kind.as_str()).filter(suspected);
    verdict(&kinds.map(str::to_owned).collect::<Vec<_>>())
}

/// By our own clock, and what a page claimed otherwise stands beside.
fn times_are_those_of_the_interview(evidence: &Evidence) -> Result<(), String> {
    let walls = evidence.walls;
    let slack = time::Duration::minutes(1);
    let (Some(born), Some(most)) = (walls.least, walls.most) else { return Ok(()) };
    let opened = walls.least_in_call.unwrap_or(born);
    let mut wrong = Vec::new();
    for entry in evidence.tables.entries.iter().map(|row| &row.entry) {
        let least = if entry.doubt == Some(Doubt::NoCall) { born } else { opened };
        if *entry.at < least - slack || *entry.at > most {
            wrong.push(format!("{} at {}", entry.key, *entry.at));
        }
        let claimed = evidence.truth.told.get(entry.key.as_str()).filter(|_| entry.item_id.is_none());
        if let Some(told) = claimed
            && Timestamp::parse(&told.claimed) != Some(entry.at)
            && entry.claimed_at.as_deref() != Some(told.claimed.replace('\0', "\u{fffd}").as_str())
        {
            wrong.push(format!("{} without the time that was claimed", entry.key));
        }
    }
    for (kind, at, _) in &evidence.tables.integrity {
        if *at < born - slack || *at > most {
            wrong.push(format!("{kind} at {at}"));
        }
    }
    verdict(&wrong)
}

/// What is longer than a column is cut, and marked.
fn is_written_as(entry: &Entry, text: &str) -> bool {
    let cut = entry.text.strip_suffix("[…]").filter(|_| text.len() > 65_536);
    cut.map_or(*text == *entry.text, |cut| text.starts_with(cut.trim_end()))
}

fn words_are_as_they_were_said(evidence: &Evidence) -> Result<(), String> {
    let wrong: Vec<String> = evidence
        .tables
        .entries
        .iter()
        .map(|row| &row.entry)
        .filter(|entry| entry.source == Source::Sideband && entry.status == Status::Final)
        .filter(|entry| {
            evidence
                .truth
                .said
                .get(entry.key.as_str())
                .and_then(|said| said.text.as_ref())
                .is_some_and(|text| !is_written_as(entry, text))
        })
        .map(|entry| format!("{} is {:?}", entry.key, entry.text))
        .collect();
    verdict(&wrong)
}

/// The next chapter, and whoever judges, must know what was not heard to its end.
fn who_was_interrupted_is_told(evidence: &Evidence) -> Result<(), String> {
    let replaced = |said: &Said| said.cut_by.iter().all(|(_, at)| is_replaced_at(evidence, &said.call, *at));
    let cut = evidence.truth.said.values().filter(|said| !said.cut_by.is_empty() && !said.cut_forgiven && !replaced(said));
    let wrong: Vec<String> = cut
        .filter(|said| rows(evidence, &said.item).iter().any(|entry| !entry.interrupted))
        .map(|said| said.item.clone())
        .collect();
    verdict(&wrong)
}

/// The process whose line took its place from the provider was replaced before it could store that.
fn was_heard_by_two(said: &Said) -> bool {
    said.settled_by.iter().any(|(by, _)| *by > said.placed_by)
}

/// Of those whose place the same sideband told us.
fn the_transcript_follows_the_conversation(evidence: &Evidence) -> Result<(), String> {
    let mut last: BTreeMap<u64, &Said> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in evidence.tables.in_order() {
        let Some(said) = evidence.truth.said.get(entry.key.as_str()) else { continue };
        let Some(line) = said.placed_on.filter(|_| !is_of_a_replaced_call(evidence, said) && !was_heard_by_two(said)) else {
            continue;
        };
        if let Some(before) = last.insert(line, said)
            && before.order > said.order
        {
            wrong.push(format!("{} stands behind {}", said.item, before.item));
        }
    }
    verdict(&wrong)
}

fn notes_of_a_client_keep_their_order(evidence: &Evidence) -> Result<(), String> {
    let places: Vec<(usize, String)> = evidence
        .tables
        .in_order()
        .into_iter()
        .filter(|entry| !evidence.truth.late_notes.iter().any(|note| entry.key == note.as_str()))
        .filter_map(|entry| {
            Some((evidence.truth.notes.iter().position(|note| entry.key == note.as_str())?, entry.key.to_string()))
        })
        .collect();
    let page = |key: &str| key.split('-').nth(1).map(str::to_owned);
    let wrong: Vec<String> = places
        .windows(2)
        .filter(|pair| page(&pair[0].1) == page(&pair[1].1) && pair[0].0 > pair[1].0)
        .map(|pair| format!("{} before {}", pair[0].1, pair[1].1))
        .collect();
    verdict(&wrong)
}

/// Evidence points at them.
fn entry_numbers_are_given_once(evidence: &Evidence) -> Result<(), String> {
    let mut seen = HashSet::new();
    let twice: Vec<String> = evidence
        .tables
        .entries
        .iter()
        .filter(|row| !seen.insert(row.entry.seq))
        .map(|row| format!("{} of {}", row.entry.seq, row.entry.key))
        .collect();
    verdict(&twice)
}

/// Two rows at one place have no order.
fn places_are_given_once(evidence: &Evidence) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    let twice = evidence.tables.entries.iter().filter_map(|row| {
        let entry = &row.entry;
        let before = seen.insert(entry.position, entry.key.clone())?;
        Some(format!("{before} and {} at {}", entry.key, entry.position))
    });
    verdict(&twice.collect::<Vec<_>>())
}

fn every_interview_ends(evidence: &Evidence) -> Result<(), String> {
    let tables = evidence.tables;
    if !evidence.over {
        return Err(format!("still {} at its deadline", tables.phase.as_str()));
    }
    if !tables.phase.is_terminal() || tables.end.is_none() {
        return Err(format!("left {} with reason {:?}", tables.phase.as_str(), tables.end));
    }
    if tables.summaries.is_empty() && can_be_judged(tables.transcript()) {
        return Err("neither a summary nor a reason for none is stored".to_owned());
    }
    Ok(())
}

/// Nothing is acknowledged, or told in the transcript, that whoever judged had not read.
fn the_summary_was_made_of_the_transcript(evidence: &Evidence) -> Result<(), String> {
    let Some(summary) = evidence.tables.summaries.iter().find_map(|summary| summary.outcome.as_ref().ok()) else {
        return Ok(());
    };
    // One that rests on nothing does not say what it was made of.
    let Ok(index) = summary.overall.parse::<usize>() else { return Ok(()) };
    let input = evidence.summary_inputs.get(index).ok_or_else(|| format!("made of an input that is not known: {index}"))?;
    let read = lines(input);
    let wrong: Vec<String> = evidence
        .tables
        .transcript()
        .into_iter()
        .filter(|entry| !entry.text.is_empty())
        .filter(|entry| !read.iter().any(|line| line["entry"] == entry.seq && line["text"] == entry.text.as_str()))
        .map(|entry| format!("without {} {:?}", entry.key, entry.text))
        .collect();
    verdict(&wrong)
}

fn no_call_is_left_alive(evidence: &Evidence) -> Result<(), String> {
    verdict(evidence.orphans)
}

fn greeted_at_most_once(evidence: &Evidence) -> Result<(), String> {
    let truth = evidence.truth;
    if truth.greetings > 1 && !truth.greeting_forgiven {
        return Err(format!("{} times", truth.greetings));
    }
    Ok(())
}

/// A reply that fails is asked for again within 8 s, one that does not come within 5 s; and a sideband that has just come
/// waits for what may be on its way.
const OWED_AT_MOST: Duration = Duration::from_secs(12);

fn what_the_interviewer_owes_is_asked_for(evidence: &Evidence) -> Result<(), String> {
    let late = evidence.truth.owed.iter().filter(|(_, owed)| *owed > OWED_AT_MOST);
    verdict(&late.map(|(call, owed)| format!("{call} for {owed:?}")).collect::<Vec<_>>())
}

fn no_task_is_left(evidence: &Evidence) -> Result<(), String> {
    if evidence.tasks_left > 0 { Err(format!("{} tasks", evidence.tasks_left)) } else { Ok(()) }
}

fn nothing_panics_by_itself(evidence: &Evidence) -> Result<(), String> {
    verdict(evidence.panics)
}
