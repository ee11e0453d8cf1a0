//! Models with a known end of life.

use super::Finding;
use crate::config::Config;
use time::{Date, Month};

/// A vendor's notice this near is a failure waiting to happen.
const NEAR_DAYS: i64 = 60;

/// Model, or family with a `*`, and the day of its end: OpenAI's deprecations page and the notes
/// in its client library (openai-python), as of November 2026.
const ENDS: [(&str, i32, u8, u8); 13] = [
    ("gpt-realtime", 2027, 1, 20),
    ("gpt-realtime-2025-08-28", 2027, 1, 20),
    ("gpt-realtime-mini", 2027, 1, 20),
    ("gpt-realtime-mini-2025-12-15", 2027, 1, 20),
    ("whisper-1", 2027, 2, 26),
    ("gpt-4o-transcribe", 2027, 2, 26),
    ("gpt-4o-mini-transcribe", 2027, 2, 26),
    ("gpt-4o-mini-transcribe-2025-12-15", 2027, 2, 26),
    ("gpt-4o-transcribe-diarize", 2027, 2, 26),
    ("gpt-4o*", 2027, 1, 14),
    ("gpt-4.1*", 2027, 1, 14),
    ("gpt-5", 2026, 12, 11),
    ("o3", 2026, 12, 11),
];

pub(super) fn end_of(model: &str) -> Option<Date> {
    let fits = |known: &str| known.strip_suffix('*').map_or(known == model, |family| model.starts_with(family));
    let (_, year, month, day) = ENDS.iter().find(|(known, ..)| fits(known))?;
    Date::from_calendar_date(*year, Month::try_from(*month).ok()?, *day).ok()
}

pub(super) fn check(config: &Config, today: Date) -> Finding {
    let openai = &config.openai;
    let used = [
        ("openai.model", &openai.model),
        ("openai.transcription_model", &openai.transcription_model),
        ("openai.summary_model", &openai.summary_model),
    ];
    let ending: Vec<(&str, &String, Date)> =
        used.into_iter().filter_map(|(key, model)| end_of(model).map(|end| (key, model, end))).collect();
    let Some((key, model, end)) = ending.iter().min_by_key(|(_, _, end)| *end) else {
        return Finding::ok("models", "no end is known of any model in use (table of 2026-11)");
    };
    let found = format!("{model} ({key}) is switched off on {end}");
    let advice = format!("Set {key} to a model without an end, e.g. gpt-realtime-2.1, gpt-realtime-whisper, gpt-6-luna.");
    if (*end - today).whole_days() <= NEAR_DAYS {
        Finding::failure("models", found, advice)
    } else {
        Finding::warning("models", found, advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_names_have_their_end_and_the_defaults_none() {
        for (model, end) in [
            ("gpt-realtime", Some((2027, Month::January, 20))),
            ("gpt-realtime-2.1", None),
            ("gpt-realtime-whisper", None),
            ("gpt-4o-transcribe", Some((2027, Month::February, 26))),
            ("gpt-4o-2024-08-06", Some((2027, Month::January, 14))),
            ("gpt-6-luna", None),
        ] {
            let end = end.map(|(year, month, day)| Date::from_calendar_date(year, month, day).expect("a date"));
            assert_eq!(end_of(model), end, "{model}");
        }
    }
}
