//! The entry of a candidate's calendar (RFC 5545, RFC 5546). Times are UTC, so that no zone has to be described. Its id stays; a
//! higher sequence replaces it, and CANCEL removes it. The link is not in it: calendars are shared.

use icalendar::{Calendar, Component, Event, Property};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, UtcOffset};

const UTC: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");
/// A window that is longer is not an appointment: its last hour is.
const LONGEST: Duration = Duration::hours(12);

pub(super) struct Appointment<'a> {
    pub(super) cancelled: bool,
    pub(super) uid: &'a str,
    pub(super) sequence: i32,
    pub(super) opens_at: OffsetDateTime,
    pub(super) closes_at: OffsetDateTime,
    pub(super) summary: &'a str,
    pub(super) organizer: &'a str,
    pub(super) attendee: &'a str,
}

pub(super) fn calendar(appointment: &Appointment<'_>) -> String {
    let Appointment { opens_at, closes_at, .. } = *appointment;
    let begins = if closes_at - opens_at > LONGEST { closes_at - Duration::hours(1) } else { opens_at };
    let (method, status) = if appointment.cancelled { ("CANCEL", "CANCELLED") } else { ("REQUEST", "CONFIRMED") };
    let attendee = Property::new("ATTENDEE", format!("mailto:{}", appointment.attendee))
        .add_parameter("ROLE", "REQ-PARTICIPANT")
        .add_parameter("PARTSTAT", "NEEDS-ACTION")
        .add_parameter("RSVP", "FALSE")
        .done();
    let event = Event::new()
        .uid(appointment.uid)
        .sequence(u32::try_from(appointment.sequence).unwrap_or_default())
        .summary(appointment.summary)
        .add_property("DTSTART", utc(begins))
        .add_property("DTEND", utc(closes_at))
        .add_property("STATUS", status)
        .add_property("TRANSP", "TRANSPARENT")
        .add_property("ORGANIZER", format!("mailto:{}", appointment.organizer))
        .append_property(attendee)
        .done();
    let mut calendar = Calendar::empty();
    for (key, value) in
        [("VERSION", "2.0"), ("PRODID", "-//interview-runtime//EN"), ("CALSCALE", "GREGORIAN"), ("METHOD", method)]
    {
        calendar.append_property((key, value));
    }
    calendar.push(event).done().to_string()
}

fn utc(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).format(UTC).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn entry(cancelled: bool, hours: i64) -> String {
        let opens_at = datetime!(2026-11-30 09:00 +1);
        calendar(&Appointment {
            cancelled,
            uid: "0190@interviews.acme.example",
            sequence: 3,
            opens_at,
            closes_at: opens_at + Duration::hours(hours),
            summary: "Acme: your interview, for the position Principal Engineer; payments and everything around them, Berlin",
            organizer: "interviews@acme.example",
            attendee: "amara@demo.test",
        })
    }

    #[test]
    fn an_entry_is_in_utc_has_one_id_and_a_later_one_replaces_it() {
        let entry = entry(false, 2);
        for line in [
            "METHOD:REQUEST\r\n",
            "UID:0190@interviews.acme.example\r\n",
            "SEQUENCE:3\r\n",
            "DTSTART:20261130T080000Z\r\n",
            "DTEND:20261130T100000Z\r\n",
            "STATUS:CONFIRMED\r\n",
            "ORGANIZER:mailto:interviews@acme.example\r\n",
        ] {
            assert!(entry.contains(line), "{line:?} in {entry}");
        }
        assert!(entry.lines().all(|line| line.len() <= 75), "folded: {entry}");
        assert!(
            entry.replace("\r\n ", "").contains(r"SUMMARY:Acme: your interview\, for the position Principal Engineer\; payments")
        );
        assert!(entry.contains("DTSTAMP:") && !entry.contains("TZID"));
    }

    #[test]
    fn a_withdrawal_cancels_and_a_long_window_is_its_last_hour() {
        let entry = entry(true, 48);
        for line in ["METHOD:CANCEL\r\n", "STATUS:CANCELLED\r\n", "DTSTART:20261202T070000Z\r\n", "DTEND:20261202T080000Z\r\n"] {
            assert!(entry.contains(line), "{line:?} in {entry}");
        }
    }
}
