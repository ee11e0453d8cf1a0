//! The time zone of a person, by its IANA name, and a moment as that person reads it.

use crate::edge::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The rules come with the program: a machine without a zone database knows as much as any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A moment on a wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    pub year: i16,
    pub month: i8,
    pub day: i8,
    /// From Monday, 0.
    pub weekday: usize,
    pub hour: i8,
    pub minute: i8,
    /// From UTC: `+01:00`.
    pub offset: String,
}

impl Zone {
    /// None for a name that is not in the database. `europe/berlin` is `Europe/Berlin`.
    pub fn parse(name: &str) -> Option<Self> {
        if name.len() > 64 || name.is_empty() {
            return None;
        }
        TimeZoneDatabase::bundled().get(name).ok().filter(|zone| zone.iana_name().is_some()).map(Self)
    }

    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    pub fn local(&self, at: Timestamp) -> Local {
        let moment = jiff::Timestamp::from_second(at.unix_timestamp()).unwrap_or(jiff::Timestamp::MAX);
        let zoned = moment.to_zoned_datetime(self.0.clone());
        let offset = zoned.offset().seconds();
        let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
        Local {
            year: zoned.year(),
            month: zoned.month(),
            day: zoned.day(),
            weekday: usize::try_from(zoned.weekday().to_monday_zero_offset()).unwrap_or(0),
            hour: zoned.hour(),
            minute: zoned.minute(),
            offset: format!("{sign}{:02}:{:02}", offset / 3_600, offset % 3_600 / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(zone: &str, at: &str) -> String {
        let zone = Zone::parse(zone).unwrap_or_else(|| panic!("{zone}"));
        let Local { year, month, day, weekday, hour, minute, offset } = zone.local(Timestamp::parse(at).expect("a time"));
        format!("{weekday} {year}-{month:02}-{day:02} {hour:02}:{minute:02} {offset} {}", zone.name())
    }

    #[test]
    fn a_moment_is_read_in_the_zone_of_its_reader() {
        assert_eq!(local("Europe/Berlin", "2026-11-30T16:00:00Z"), "0 2026-11-30 17:00 +01:00 Europe/Berlin");
        assert_eq!(local("europe/berlin", "2026-07-31T23:30:00Z"), "5 2026-08-01 01:30 +02:00 Europe/Berlin");
        assert_eq!(local("Asia/Tokyo", "2026-12-31T15:00:00Z"), "4 2027-01-01 00:00 +09:00 Asia/Tokyo");
        assert_eq!(local("Asia/Kathmandu", "2026-11-30T16:00:00Z"), "0 2026-11-30 21:45 +05:45 Asia/Kathmandu");
        assert_eq!(local("America/St_Johns", "2026-11-30T16:00:00Z"), "0 2026-11-30 12:30 -03:30 America/St_Johns");
        assert_eq!(local("UTC", "9999-12-31T23:59:59Z").split(' ').nth(1), Some("9999-12-30"), "the last day that can be told");
    }

    #[test]
    fn a_zone_that_does_not_exist_is_none() {
        for bad in ["", "Mars/Olympus", "+01:00", "Europe", "../etc/passwd", "Europe/Berlin\0", &"x".repeat(65)] {
            assert_eq!(Zone::parse(bad), None, "{bad:?}");
        }
    }
}
