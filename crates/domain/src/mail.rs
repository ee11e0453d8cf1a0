//! What is written to people: in which language, how a moment is told, and when a mail that did not leave is tried again.

use crate::backoff::Backoff;
use crate::edge::Timestamp;
use crate::zone::{Local, Zone};
use serde::Serialize;
use std::time::Duration;

/// Why a mail is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Here is your link. Also when it is sent again, and when its window has moved.
    Invite,
    /// Your link works no longer.
    Withdrawal,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Invite, Self::Withdrawal];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Withdrawal => "withdrawal",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The languages that mails are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Locale {
    En,
    De,
    Ja,
}

impl Locale {
    pub const ALL: [Self; 3] = [Self::En, Self::De, Self::Ja];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Ja => "ja",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|locale| locale.as_str() == name)
    }

    /// In which language somebody is written to who is interviewed in this one: `de` for `de-AT`, English where there is no mail in it.
    pub fn of_language(tag: &str) -> Self {
        Self::named(tag.split('-').next().unwrap_or(tag)).unwrap_or(Self::En)
    }

    /// Date, time and zone: nobody has to guess any of them.
    pub fn moment(self, at: Timestamp, zone: &Zone) -> String {
        let Local { year, month, day, weekday, hour, minute, offset } = zone.local(at);
        let index = usize::try_from(month - 1).unwrap_or(0);
        let name = zone.name().replace('_', " ");
        // UTC says its offset by its name.
        let zone = |comma: &str| if name == "UTC" { name.clone() } else { format!("{name}{comma}UTC{offset}") };
        match self {
            Self::En => {
                format!("{}, {day} {} {year}, {hour:02}:{minute:02} ({})", EN_DAYS[weekday], EN_MONTHS[index], zone(", "))
            }
            Self::De => {
                format!("{}, {day}. {} {year}, {hour:02}:{minute:02} Uhr ({})", DE_DAYS[weekday], DE_MONTHS[index], zone(", "))
            }
            Self::Ja => format!("{year}年{month}月{day}日({}){hour:02}:{minute:02}({})", JA_DAYS[weekday], zone("、")),
        }
    }
}

const EN_DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const EN_MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DE_DAYS: [&str; 7] = ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"];
const DE_MONTHS: [&str; 12] =
    ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"];
const JA_DAYS: [&str; 7] = ["月", "火", "水", "木", "金", "土", "日"];

/// The pause before the next try of a mail that was tried `tries` times: it doubles up to an hour, and no two mails of one
/// outage come back at once.
pub fn pause(tries: u32, first: Duration) -> Duration {
    let mut backoff = Backoff::new(first, LONGEST_PAUSE.max(first));
    let mut pause = first;
    for _ in 0..tries.clamp(1, 32) {
        pause = backoff.next_delay();
    }
    pause
}

const LONGEST_PAUSE: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_with_day_and_zone_in_each_language() {
        let (at, zone) =
            (Timestamp::parse("2026-11-30T16:00:00Z").expect("a time"), Zone::parse("America/New_York").expect("a zone"));
        for (locale, told) in [
            (Locale::En, "Monday, 30 November 2026, 11:00 (America/New York, UTC-05:00)"),
            (Locale::De, "Montag, 30. November 2026, 11:00 Uhr (America/New York, UTC-05:00)"),
            (Locale::Ja, "2026年11月30日(月)11:00(America/New York、UTC-05:00)"),
        ] {
            assert_eq!(locale.moment(at, &zone), told);
            assert_eq!(Locale::named(locale.as_str()), Some(locale));
        }
        let utc = Zone::parse("UTC").expect("a zone");
        assert_eq!(Locale::En.moment(at, &utc), "Monday, 30 November 2026, 16:00 (UTC)");
    }

    #[test]
    fn a_mail_comes_back_later_each_time_and_never_too_late() {
        let first = Duration::from_secs(30);
        for tries in 1..40 {
            let doubled = first * 2u32.saturating_pow(tries - 1);
            let least = doubled.min(LONGEST_PAUSE);
            let pause = pause(tries, first);
            assert!((least..=LONGEST_PAUSE * 2).contains(&pause) && pause <= least * 2, "{tries}: {pause:?}");
        }
    }
}
