//! The small values of the grammar: tags, mailbox names, flags, dates.
//!
//! Each is checked once, when it is made, and is what it says from then on.
//!
//! # Standards
//! RFC 3501 §9 (tag, mailbox, flag, date, date-time), RFC 3501 §5.1.3 (modified UTF-7).

use super::{limits, utf7};
use crate::base::clock::UnixTime;
use std::fmt;

/// What a client puts before a command, and gets back with its end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// RFC 3501 §9: `tag = 1*<any ASTRING-CHAR except "+">`.
    pub fn new(bytes: &[u8]) -> Option<Tag> {
        let fits = !bytes.is_empty() && bytes.len() <= limits::TAG_BYTES_MAX;
        let valid = bytes.iter().all(|&byte| is_astring_char(byte) && byte != b'+');
        (fits && valid).then(|| Tag(bytes.iter().map(|&byte| char::from(byte)).collect()))
    }

    /// The tag as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.0)
    }
}

/// A mailbox name, decoded from modified UTF-7. `INBOX` is always in capitals. Secret: folder names
/// are sealed on disk, so that this does not print itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(String);

/// What stands between the levels of a mailbox name.
pub const HIERARCHY_SEPARATOR: char = '/';

impl MailboxName {
    /// The name of the mailbox that mail arrives in.
    pub fn inbox() -> MailboxName {
        MailboxName("INBOX".into())
    }

    /// A name as it stands on the wire; `None` if it is no modified UTF-7 or too long.
    pub fn from_wire(bytes: &[u8]) -> Option<MailboxName> {
        let name = utf7::decode(bytes)?;
        (name.len() <= limits::MAILBOX_BYTES_MAX).then(|| Self::from_decoded(&name))
    }

    /// A name in UTF-8. RFC 3501 §5.1: INBOX is case-insensitive, at the top and nowhere else; its
    /// children are reached through any spelling of it too.
    pub fn from_decoded(name: &str) -> MailboxName {
        let (top, rest) = match name.find(HIERARCHY_SEPARATOR) {
            Some(end) => name.split_at(end),
            None => (name, ""),
        };
        match top.eq_ignore_ascii_case("INBOX") {
            true => MailboxName(format!("INBOX{rest}")),
            false => MailboxName(name.to_owned()),
        }
    }

    /// The name in UTF-8.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in modified UTF-7, as the wire has it.
    pub fn to_wire(&self) -> String {
        utf7::encode(&self.0)
    }

    /// Whether it is INBOX itself.
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailboxName(..)")
    }
}

/// A flag that a client may set. `\Recent` is none: RFC 3501 §2.3.2 reserves it to the server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// A keyword: an atom, at most [`limits::KEYWORD_BYTES_MAX`] octets. Compared without regard to
    /// case by who stores it.
    Keyword(String),
}

impl Flag {
    /// The five system flags, in the order in which we write them.
    pub const SYSTEM: [Flag; 5] =
        [Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Seen, Flag::Draft];

    /// How it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Flag::Answered => "\\Answered",
            Flag::Flagged => "\\Flagged",
            Flag::Deleted => "\\Deleted",
            Flag::Seen => "\\Seen",
            Flag::Draft => "\\Draft",
            Flag::Keyword(name) => name,
        }
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flag::Keyword(_) => write!(f, "Keyword(..)"),
            system => write!(f, "{}", system.as_str()),
        }
    }
}

/// A day, as SEARCH has it: no time, no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// The year, 0 to 9999.
    pub year: u16,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day, 1 to 31 and within the month.
    pub day: u8,
}

impl Date {
    /// A day that the calendar has.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Date> {
        let valid = year <= 9999 && (1..=12).contains(&month);
        (valid && (1..=days_in_month(year, month)).contains(&day)).then_some(Date {
            year,
            month,
            day,
        })
    }

    /// The day, in UTC, that `time` falls on, clamped to the years 0 to 9999.
    pub fn of(time: UnixTime) -> Date {
        let days = time.0.div_euclid(86_400).clamp(FIRST_DAY, LAST_DAY);
        let (year, month, day) = civil_from_days(days);
        Date { year: year.clamp(0, 9999) as u16, month, day }
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        days_from_civil(i64::from(self.year), self.month, self.day)
    }
}

/// 0000-01-01 and 9999-12-31 as days since 1970-01-01.
const FIRST_DAY: i64 = -719_528;
const LAST_DAY: i64 = 2_932_896;

/// The English names that IMAP's dates use.
pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A date-time of APPEND: a point in time. The zone it was written in is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub UnixTime);

impl DateTime {
    /// The point in time that a local date, time of day and zone (minutes east of UTC) name.
    pub fn new(date: Date, seconds_of_day: u32, zone_minutes: i32) -> DateTime {
        let local = date.days() * 86_400 + i64::from(seconds_of_day);
        DateTime(UnixTime(local - i64::from(zone_minutes) * 60))
    }

    /// `"dd-Mon-yyyy hh:mm:ss +0000"` without the quotes (RFC 3501 §9, date-time); always in UTC.
    pub fn to_wire(self) -> String {
        let date = Date::of(self.0);
        let clock = self.0.0.rem_euclid(86_400);
        let month = MONTHS[usize::from(date.month - 1)];
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        let (day, year) = (date.day, date.year);
        format!("{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} +0000")
    }
}

fn days_in_month(year: u16, month: u8) -> u8 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar. Years begin in March here, so
/// that the leap day is the last of its year.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
    let month = ((month_from_march + 2) % 12 + 1) as u8;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// RFC 3501 §9: `ATOM-CHAR`, any CHAR but `atom-specials`.
pub fn is_atom_char(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e)
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// RFC 3501 §9: `ASTRING-CHAR = ATOM-CHAR / resp-specials`.
pub fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inbox_has_one_spelling_and_its_children_too() {
        assert!(MailboxName::from_wire(b"inBox").unwrap().is_inbox());
        assert_eq!(MailboxName::from_wire(b"inbox/a").unwrap().as_str(), "INBOX/a");
        assert_eq!(MailboxName::from_wire(b"a/inbox").unwrap().as_str(), "a/inbox");
        assert!(MailboxName::from_wire(b"&").is_none());
    }

    #[test]
    fn known_instants_are_written_as_the_grammar_wants() {
        assert_eq!(DateTime(UnixTime(0)).to_wire(), " 1-Jan-1970 00:00:00 +0000");
        assert_eq!(DateTime(UnixTime(951_868_799)).to_wire(), "29-Feb-2000 23:59:59 +0000");
        assert_eq!(DateTime(UnixTime(i64::MAX)).to_wire().len(), 26);
        assert_eq!(DateTime(UnixTime(i64::MIN)).to_wire().len(), 26);
    }

    #[test]
    fn the_calendar_has_no_thirtieth_of_february() {
        assert!(Date::new(2000, 2, 29).is_some());
        assert!(Date::new(1900, 2, 29).is_none());
        assert!(Date::new(2026, 2, 30).is_none());
        assert!(Date::new(2026, 13, 1).is_none());
        assert!(Date::new(2026, 1, 0).is_none());
    }

    proptest! {
        #[test]
        fn days_and_dates_are_each_others_inverse(days in FIRST_DAY..=LAST_DAY) {
            let date = Date::of(UnixTime(days * 86_400 + 86_399));
            prop_assert_eq!(date.days(), days);
            prop_assert!(Date::new(date.year, date.month, date.day).is_some());
        }
    }
}
