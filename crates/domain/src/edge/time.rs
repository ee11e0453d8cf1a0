//! Times and durations that can be stored, formatted and used in calculations.

use serde::{Serialize, Serializer};
use std::ops::{Add, Deref, Sub};
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use time::{Duration, OffsetDateTime, UtcOffset};

/// A time in UTC, of the years 1 to 9999 and of whole microseconds: every database column takes it and gives it back as it
/// was, every format writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(OffsetDateTime);

const FIRST: OffsetDateTime = datetime!(0001-01-01 00:00:00 UTC);
const LAST: OffsetDateTime = datetime!(9999-12-31 23:59:59.999 UTC);
/// A browser's clock and ours differ, and what it reports may have begun before the call was open.
const SLACK: Duration = Duration::minutes(1);

impl Timestamp {
    pub const UNIX_EPOCH: Self = Self(OffsetDateTime::UNIX_EPOCH);

    /// None for a time that is out of range in UTC: `9999-12-31T23:59:59-01:00` is in the year 10000.
    pub fn new(at: OffsetDateTime) -> Option<Self> {
        let at = at.checked_to_offset(UtcOffset::UTC)?.truncate_to_microsecond();
        (FIRST..=LAST).contains(&at).then_some(Self(at))
    }

    /// The time of an event that happens now, in a call that was opened at `opened`: what the browser
    /// claims, but never before the call and never in the future. Without a claim that can be read: now.
    pub fn of_live_event(claimed: Option<Self>, opened: Option<Self>, now: Self) -> Self {
        let Some(claimed) = claimed else { return now };
        let first = opened.unwrap_or(now) + -SLACK;
        // The wall clock may have jumped back to before the call: then now is all there is.
        claimed.max(first).min(now)
    }

    /// Of a vendor's Unix seconds; none for a time that cannot be.
    pub fn of_unix(seconds: u64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok().and_then(Self::new)
    }

    /// As a client wrote it (RFC 3339).
    pub fn parse(raw: &str) -> Option<Self> {
        OffsetDateTime::parse(raw, &Rfc3339).ok().and_then(Self::new)
    }
}

/// Out of range becomes the nearest time in range. For our own clock and the database's columns.
impl From<OffsetDateTime> for Timestamp {
    fn from(at: OffsetDateTime) -> Self {
        Self::new(at).unwrap_or(Self(if at.year() < 5_000 { FIRST } else { LAST }))
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::UNIX_EPOCH
    }
}

/// Stays in range.
impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        self.0.checked_add(by).map_or(if by.is_negative() { Self(FIRST) } else { Self(LAST) }, Self::from)
    }
}

impl Sub for Timestamp {
    type Output = Duration;
    fn sub(self, other: Self) -> Duration {
        self.0 - other.0
    }
}

impl Deref for Timestamp {
    type Target = OffsetDateTime;
    fn deref(&self) -> &OffsetDateTime {
        &self.0
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        time::serde::rfc3339::serialize(&self.0, serializer)
    }
}

/// Milliseconds of audio. Bounded to 24 days, so that no column and no sum overflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Millis(i32);

impl Millis {
    pub fn new(ms: u64) -> Self {
        Self(i32::try_from(ms).unwrap_or(i32::MAX))
    }

    /// As a column has it.
    pub fn stored(ms: i64) -> Self {
        Self::new(u64::try_from(ms).unwrap_or(0))
    }

    pub fn get(self) -> i32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_that_is_out_of_range_in_utc_is_none() {
        for bad in ["9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00", "0000-06-01T00:00:00Z", "yesterday", ""] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
        for good in ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2024-06-10T14:32:01.123+02:00"] {
            assert!(Timestamp::parse(good).is_some(), "{good}");
        }
    }

    #[test]
    fn a_live_event_is_never_before_its_call_nor_in_the_future() {
        let at = |text| Timestamp::parse(text).expect("valid");
        let (opened, now) = (at("2026-11-28T10:00:00Z"), at("2026-11-28T10:30:00Z"));
        for (claimed, told) in [
            ("2024-06-10T14:32:01Z", "2026-11-28T09:59:00Z"),
            ("2026-11-28T10:10:00Z", "2026-11-28T10:10:00Z"),
            ("9999-12-31T23:59:59Z", "2026-11-28T10:30:00Z"),
        ] {
            assert_eq!(Timestamp::of_live_event(Some(at(claimed)), Some(opened), now), at(told));
        }
        assert_eq!(Timestamp::of_live_event(None, Some(opened), now), now);
        assert_eq!(Timestamp::of_live_event(Some(at("2024-06-10T14:32:01Z")), None, now), at("2026-11-28T10:29:00Z"));
        assert_eq!(Timestamp::of_live_event(Some(now), Some(now), opened), opened, "the clock was set back");
    }

    #[test]
    fn unix_seconds_that_are_no_time_are_none() {
        assert_eq!(Timestamp::of_unix(1_764_350_000).map(|at| at.unix_timestamp()), Some(1_764_350_000));
        for odd in [253_402_300_800, i64::MAX as u64, 1 << 63, u64::MAX] {
            assert_eq!(Timestamp::of_unix(odd), None, "{odd}");
        }
    }

    #[test]
    fn milliseconds_do_not_overflow() {
        assert_eq!(Millis::new(5_000_000_000).get(), i32::MAX);
        assert_eq!(Millis::new(u64::MAX), Millis::stored(i64::MAX));
        assert_eq!(Millis::stored(-1).get(), 0);
    }

    proptest! {
        #[test]
        fn every_time_can_be_written_and_comes_back_from_a_column_as_it_was(
            seconds in any::<i64>(), nanoseconds in 0u32..1_000_000_000, offset in -86_399i32..86_400,
        ) {
            let offset = UtcOffset::from_whole_seconds(offset).expect("in range");
            if let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds % 253_402_300_800)
                && let Ok(at) = at.replace_nanosecond(nanoseconds)
                && let Some(at) = at.checked_to_offset(offset)
            {
                let at = Timestamp::from(at);
                prop_assert!(at.format(&Rfc3339).is_ok() && (1..=9999).contains(&at.year()));
                // As PostgreSQL keeps it: microseconds since 2000.
                let epoch = datetime!(2000-01-01 00:00:00 UTC);
                let column = i64::try_from((*at - epoch).whole_microseconds()).expect("a column takes it");
                prop_assert_eq!(Timestamp::from(epoch + Duration::microseconds(column)), at);
            }
        }

        #[test]
        fn what_is_reckoned_with_a_time_is_one_of_a_column_too(nanoseconds in any::<i64>()) {
            let at = Timestamp::UNIX_EPOCH + Duration::nanoseconds(nanoseconds);
            prop_assert_eq!(at.nanosecond() % 1_000, 0);
        }
    }
}
