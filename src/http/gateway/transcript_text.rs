//! A transcript as text to read, and as captions under a video.

use crate::domain::transcript::{Entry, Source};
use crate::domain::voice::Speaker;
use std::fmt::Write as _;
use time::Duration;

/// A cue is shown at least and at most this long.
const SHORTEST_CUE: Duration = Duration::seconds(1);
const LONGEST_CUE: Duration = Duration::seconds(60);
/// No entry of an interview is further from the one in the middle.
const FURTHEST: Duration = Duration::days(1);

fn speaker(entry: &Entry) -> &'static str {
    match entry.speaker {
        Speaker::Ai => "Interviewer",
        Speaker::Candidate => "Candidate",
    }
}

/// The words on one line; an entry without words says so.
fn words(entry: &Entry) -> String {
    let text = entry.text.split_whitespace().collect::<Vec<_>>().join(" ");
    match (text.is_empty(), entry.interrupted) {
        (true, _) => "[not transcribed]".to_owned(),
        (false, true) => format!("{text} [interrupted]"),
        (false, false) if entry.source == Source::Typed => format!("{text} [typed]"),
        (false, false) => text,
    }
}

pub(super) fn plain_text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for (entry, start) in entries.iter().zip(starts(entries)) {
        let (hours, minutes, seconds) = (start.whole_hours(), start.whole_minutes() % 60, start.whole_seconds() % 60);
        let _ = writeln!(text, "[{hours:02}:{minutes:02}:{seconds:02}] {}: {}", speaker(entry), words(entry));
    }
    text
}

pub(super) fn web_vtt(entries: &[Entry]) -> String {
    let mut text = "WEBVTT\n".to_owned();
    let starts = starts(entries);
    for (index, entry) in entries.iter().enumerate() {
        let start = starts[index];
        let next = starts.get(index + 1).copied().unwrap_or(start + LONGEST_CUE / 10);
        let end = next.clamp(start + SHORTEST_CUE, start + LONGEST_CUE);
        let _ = write!(
            text,
            "\n{}\n{} --> {}\n<v {}>{}\n",
            entry.seq,
            timestamp(start),
            timestamp(end),
            speaker(entry),
            escape(&words(entry))
        );
    }
    text
}

/// When each entry begins, counted from the first; never backwards, as cues must not go. A time that cannot have been
/// (rows of before there was an edge for input hold what a browser wrote) moves none of the others.
fn starts(entries: &[Entry]) -> Vec<Duration> {
    let mut times: Vec<_> = entries.iter().map(|entry| entry.at).collect();
    times.sort_unstable();
    let Some(middle) = times.get(times.len() / 2).copied() else { return Vec::new() };
    times.retain(|at| (*at - middle).abs() <= FURTHEST);
    let (first, last) = (times[0], times[times.len() - 1]);
    let mut latest = Duration::ZERO;
    entries
        .iter()
        .map(|entry| {
            if (first..=last).contains(&entry.at) {
                latest = latest.max(entry.at - first);
            }
            latest
        })
        .collect()
}

fn timestamp(at: Duration) -> String {
    let ms = at.whole_milliseconds();
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000)
}

/// `-->` and markup must not come from what someone said.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;
    use time::macros::datetime;

    const START: OffsetDateTime = datetime!(2026-11-23 10:00:00 UTC);

    fn entry(seq: i32, speaker: Speaker, text: &str, at_ms: i64) -> Entry {
        Entry { at: (START + Duration::milliseconds(at_ms)).into(), ..Entry::heard(seq, speaker, text) }
    }

    #[test]
    fn cues_follow_each_other_and_carry_no_markup() {
        let entries = [
            entry(1, Speaker::Ai, "Hello,\nwelcome.", 0),
            entry(2, Speaker::Candidate, "x --> <b>y</b> & z", 3_661_500),
            entry(3, Speaker::Ai, "", 3_661_400),
        ];
        assert_eq!(
            web_vtt(&entries),
            "WEBVTT\n\n1\n00:00:00.000 --> 00:01:00.000\n<v Interviewer>Hello, welcome.\n\
             \n2\n01:01:01.500 --> 01:01:02.500\n<v Candidate>x --&gt; &lt;b&gt;y&lt;/b&gt; &amp; z\n\
             \n3\n01:01:01.500 --> 01:01:07.500\n<v Interviewer>[not transcribed]\n"
        );
        assert_eq!(web_vtt(&[]), "WEBVTT\n");
    }

    #[test]
    fn a_time_that_cannot_have_been_moves_no_other() {
        let mut entries: Vec<_> = (0..5).map(|n| entry(n, Speaker::Ai, "x", i64::from(n) * 1_000)).collect();
        entries[1].at = datetime!(0000-01-01 00:00:00 UTC).into();
        entries[3].at = datetime!(9999-12-31 23:59:59 UTC).into();
        assert_eq!(starts(&entries).iter().map(|at| at.whole_seconds()).collect::<Vec<_>>(), [0, 0, 2, 2, 4]);
    }

    #[test]
    fn text_is_one_line_for_each_entry() {
        let mut cut = entry(1, Speaker::Ai, "Tell me about", 0);
        cut.interrupted = true;
        let mut typed = entry(3, Speaker::Candidate, "I led it.\nAlone.", 70_000);
        typed.source = Source::Typed;
        let text = plain_text(&[cut, entry(2, Speaker::Candidate, "Sure.", 65_000), typed]);
        assert_eq!(
            text,
            "[00:00:00] Interviewer: Tell me about [interrupted]\n[00:01:05] Candidate: Sure.\n[00:01:10] Candidate: I led it. Alone. [typed]\n"
        );
    }
}
