//! What must hold at the end of every run, whatever happened in it. What must hold at every
//! moment is checked where that moment is: in `browser` and `database`.

use crate::book::{Pages, Said};
use crate::database::Tables;
use crate::vendors::lines;
use interview_runtime::domain::transcript::{Entry, Source, Status, can_be_judged};
use std::collections::{BTreeMap, HashSet};

/// What is left when the run is over.
pub struct Evidence<'a> {
    pub tables: &'a Tables,
    pub book: &'a Pages,
    pub orphans: &'a [String],
    /// What each summary was made of; a summary's `overall` is its index here.
    pub summary_inputs: &'a [String],
    pub tasks_left: usize,
    pub panics: &'a [String],
    /// The process that had it last, and the end it was taken to, were given enough time.
    pub over: bool,
}

type Check = fn(&Evidence) -> Result<(), String>;

pub const ALL: &[(&str, Check)] = &[
    ("acknowledged_entries_are_stored_exactly_once", acknowledged_entries_are_stored_exactly_once),
    ("what_the_sideband_settled_is_stored_exactly_once", what_the_sideband_settled_is_stored_exactly_once),
    ("what_was_acknowledged_is_in_the_transcript", what_was_acknowledged_is_in_the_transcript),
    ("words_are_as_they_were_said", words_are_as_they_were_said),
    ("who_was_interrupted_is_told", who_was_interrupted_is_told),
    ("the_transcript_follows_the_conversation", the_transcript_follows_the_conversation),
    ("notes_of_a_client_keep_their_order", notes_of_a_client_keep_their_order),
    ("entry_numbers_are_given_once", entry_numbers_are_given_once),
    ("every_interview_ends", every_interview_ends),
    ("the_summary_was_made_of_the_transcript", the_summary_was_made_of_the_transcript),
    ("no_call_is_left_alive", no_call_is_left_alive),
    ("greeted_at_most_once", greeted_at_most_once),
    ("no_task_is_left", no_task_is_left),
    ("nothing_panics_by_itself", nothing_panics_by_itself),
];

fn verdict(wrong: &[String]) -> Result<(), String> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}

fn rows<'a>(evidence: &'a Evidence, key: &str) -> Vec<&'a Entry> {
    evidence.tables.entries.iter().map(|row| &row.entry).filter(|entry| entry.key == key).collect()
}

fn acknowledged_entries_are_stored_exactly_once(evidence: &Evidence) -> Result<(), String> {
    let wrong: Vec<String> = evidence
        .book
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
        .book
        .said
        .values()
        .filter(|said| !said.settled_by.is_empty())
        .filter_map(|said| {
            let count = rows(evidence, &said.item).len();
            (count > 1 || count == 0 && !said.forgiven).then(|| format!("{} {count} times", said.item))
        })
        .collect();
    verdict(&wrong)
}

/// Stored is not enough: it has to be in what people read.
fn what_was_acknowledged_is_in_the_transcript(evidence: &Evidence) -> Result<(), String> {
    let wrong: Vec<String> = evidence
        .book
        .acked
        .iter()
        .filter(|acked| evidence.book.said.contains_key(&acked.key))
        .filter(|acked| rows(evidence, &acked.key).iter().any(|entry| !entry.authoritative))
        .map(|acked| acked.key.clone())
        .collect();
    verdict(&wrong)
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
                .book
                .said
                .get(entry.key.as_str())
                .and_then(|said| said.text.as_ref())
                .is_some_and(|text| **text != *entry.text)
        })
        .map(|entry| format!("{} is {:?}", entry.key, entry.text))
        .collect();
    verdict(&wrong)
}

/// The next chapter, and whoever judges, must know what was not heard to its end.
fn who_was_interrupted_is_told(evidence: &Evidence) -> Result<(), String> {
    let cut = evidence.book.said.values().filter(|said| !said.cut_by.is_empty() && !said.cut_forgiven);
    let wrong: Vec<String> = cut
        .filter(|said| rows(evidence, &said.item).iter().any(|entry| !entry.interrupted))
        .map(|said| said.item.clone())
        .collect();
    verdict(&wrong)
}

/// Of those whose place the same line told us.
fn the_transcript_follows_the_conversation(evidence: &Evidence) -> Result<(), String> {
    let mut last: BTreeMap<u64, &Said> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in evidence.tables.in_order() {
        let Some(said) = evidence.book.said.get(entry.key.as_str()) else { continue };
        let Some(line) = said.placed_on else { continue };
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
        .transcript()
        .into_iter()
        .filter(|entry| !evidence.book.late_notes.iter().any(|note| entry.key == note.as_str()))
        .filter_map(|entry| {
            Some((evidence.book.notes.iter().position(|note| entry.key == note.as_str())?, entry.key.to_string()))
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
    let book = evidence.book;
    if book.greetings > 1 && !book.greeting_forgiven {
        return Err(format!("{} times", book.greetings));
    }
    Ok(())
}

fn no_task_is_left(evidence: &Evidence) -> Result<(), String> {
    if evidence.tasks_left > 0 { Err(format!("{} tasks", evidence.tasks_left)) } else { Ok(()) }
}

fn nothing_panics_by_itself(evidence: &Evidence) -> Result<(), String> {
    verdict(evidence.panics)
}
