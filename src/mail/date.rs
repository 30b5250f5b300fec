//! Dates: RFC 5322 read leniently, IMAP's date-time, and both written.
//!
//! # Standards
//! RFC 5322 §3.3 and §4.3 (obsolete zones and two-digit years), RFC 3501 §9 `date-time`.
//!
//! # Known gaps
//! Fields in other forms (asctime, ISO 8601) are not dates to us; SENTBEFORE and its like then do
//! not match such a message.

use crate::base::clock::UnixTime;

const SECONDS_PER_DAY: i64 = 86_400;

/// How many octets of a Date field are looked at.
const DATE_BYTES_MAX: usize = 256;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// RFC 5322 §4.3: the zones that have a meaning, in minutes east of UTC.
const NAMED_ZONES: [(&str, i16); 11] = [
    ("UT", 0),
    ("GMT", 0),
    ("UTC", 0),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
];

/// A date and time as written, with its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DateTime {
    /// The year, 1 to 9999.
    pub year: u16,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31, one that the month has.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60 (a leap second).
    pub second: u8,
    /// Minutes east of UTC.
    pub zone_minutes: i16,
}

impl DateTime {
    /// The moment `at` in a zone. Moments outside the years 1 to 9999 give the nearest there is.
    pub fn from_unix(at: UnixTime, zone_minutes: i16) -> DateTime {
        let first = day_number(1, 1, 1) * SECONDS_PER_DAY;
        let last = (day_number(9999, 12, 31) + 1) * SECONDS_PER_DAY - 1;
        let local = at.0.saturating_add(i64::from(zone_minutes) * 60).clamp(first, last);
        let (days, seconds) =
            (local.div_euclid(SECONDS_PER_DAY), local.rem_euclid(SECONDS_PER_DAY));
        let (year, month, day) = civil(days);
        DateTime {
            year,
            month,
            day,
            hour: (seconds / 3600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            zone_minutes,
        }
    }

    /// The moment it names.
    pub fn unix(&self) -> UnixTime {
        let clock = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60;
        let seconds = clock + i64::from(self.second) - i64::from(self.zone_minutes) * 60;
        UnixTime(i64::from(self.day_number()) * SECONDS_PER_DAY + seconds)
    }

    /// Days since 1970-01-01 of the date as written, zone and time left aside: what SENTON,
    /// SENTBEFORE, ON and BEFORE compare (RFC 3501 §6.4.4).
    pub fn day_number(&self) -> i32 {
        day_number(self.year, self.month, self.day) as i32
    }

    /// Reads a Date field's body leniently; `None` if no date can be made of it.
    ///
    /// The weekday is ignored, comments too; a missing zone counts as UTC, missing seconds as 0;
    /// two and three digit years are RFC 5322 §4.3's.
    pub fn parse_rfc5322(text: &[u8]) -> Option<DateTime> {
        let text = without_comments(&text[..text.len().min(DATE_BYTES_MAX)]);
        let mut words = text.split([' ', '\t', '\r', '\n', ',']).filter(|word| !word.is_empty());
        let mut word = words.next()?;
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            word = words.next()?;
        }
        // Some write `21-Nov-1997`; split it as if there were spaces.
        let mut date = word.splitn(3, '-');
        let day = date.next()?;
        let month = date.next().or_else(|| words.next())?;
        let year = date.next().or_else(|| words.next())?;
        let (hour, minute, second) = match words.next() {
            Some(time) => clock(time)?,
            None => (0, 0, 0),
        };
        let zone_minutes = words.next().map_or(0, |word| zone(word).unwrap_or(0));
        let year = obsolete_year(year)?;
        let (month, day) = (month_number(month)?, digits(day, 1..=2)? as u8);
        DateTime { year, month, day, hour, minute, second, zone_minutes }.checked()
    }

    /// Reads IMAP's `date-time` without the quotes: `17-Jul-1996 02:44:25 -0700`.
    pub fn parse_imap(text: &[u8]) -> Option<DateTime> {
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text.strip_prefix(' ').unwrap_or(text).split(' ');
        let (date, time, offset) = (words.next()?, words.next()?, words.next()?);
        let mut date = date.split('-');
        let (day, month, year) = (date.next()?, date.next()?, date.next()?);
        if words.next().is_some() || date.next().is_some() || time.len() != 8 || offset.len() != 5 {
            return None;
        }
        let (hour, minute, second) = clock(time)?;
        let month = month_number(month)?;
        let (day, year) = (digits(day, 1..=2)? as u8, digits(year, 4..=4)?);
        let zone_minutes = zone(offset)?;
        DateTime { year, month, day, hour, minute, second, zone_minutes }.checked()
    }

    /// Writes `Fri, 21 Nov 1997 09:55:06 -0600`.
    pub fn to_rfc5322(&self) -> String {
        let weekday = WEEKDAYS[self.day_number().rem_euclid(7) as usize];
        let month = self.month_name();
        let DateTime { year, day, hour, minute, second, .. } = self;
        let zone = self.zone();
        format!("{weekday}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} {zone}")
    }

    /// Writes IMAP's `date-time` without the quotes: `17-Jul-1996 02:44:25 -0700`, day padded by a
    /// space.
    pub fn to_imap(&self) -> String {
        let month = self.month_name();
        let DateTime { year, day, hour, minute, second, .. } = self;
        let zone = self.zone();
        format!("{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} {zone}")
    }

    fn month_name(&self) -> &'static str {
        MONTHS[usize::from(self.month.clamp(1, 12) - 1)]
    }

    fn zone(&self) -> String {
        let (sign, minutes) =
            (if self.zone_minutes < 0 { '-' } else { '+' }, self.zone_minutes.unsigned_abs());
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }

    fn checked(self) -> Option<DateTime> {
        let clock = self.hour <= 23 && self.minute <= 59 && self.second <= 60;
        let date = (1..=9999).contains(&self.year) && (1..=12).contains(&self.month);
        let fits = date && (1..=days_in(self.year, self.month)).contains(&self.day) && clock;
        fits.then_some(self)
    }
}

fn without_comments(text: &[u8]) -> String {
    let (mut depth, mut out) = (0u32, String::with_capacity(text.len()));
    for octet in text {
        match octet {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(if octet.is_ascii() { char::from(*octet) } else { '?' }),
            _ => {}
        }
    }
    out
}

/// `hh:mm[:ss]`; a fraction behind the seconds is dropped.
fn clock(text: &str) -> Option<(u8, u8, u8)> {
    let mut fields = text.splitn(3, ':');
    let (hour, minute) = (digits(fields.next()?, 1..=2)?, digits(fields.next()?, 2..=2)?);
    let second = match fields.next() {
        Some(second) => digits(second.split('.').next()?, 2..=2)?,
        None => 0,
    };
    Some((hour as u8, minute as u8, second as u8))
}

/// `+hhmm`, or a name of RFC 5322 §4.3.
fn zone(text: &str) -> Option<i16> {
    if let Some((_, minutes)) = NAMED_ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text))
    {
        return Some(*minutes);
    }
    let (sign, number) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let number = digits(number, 4..=4)?;
    (number % 100 <= 59).then(|| sign * (number / 100 * 60 + number % 100) as i16)
}

/// RFC 5322 §4.3: 00 to 49 are 2000 to 2049, 50 to 999 are counted from 1900.
fn obsolete_year(text: &str) -> Option<u16> {
    let year = digits(text, 2..=4)?;
    Some(match (text.len(), year) {
        (2, 0..=49) => year + 2000,
        (2 | 3, _) => year + 1900,
        _ => year,
    })
}

fn month_number(text: &str) -> Option<u8> {
    let name = text.get(..3)?;
    let index = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    Some(index as u8 + 1)
}

fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let fits = lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

fn days_in(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar. Years begin in March, so that the leap day is
/// the last of its year and months have a regular length.
fn day_number(year: u16, month: u8, day: u8) -> i64 {
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let since_0000_03_01 = 365 * year + leaps + (153 * month + 2) / 5 + day - 1;
    since_0000_03_01 - 719_468
}

/// The reverse of [`day_number`], for the years 1 to 9999.
fn civil(days: i64) -> (u16, u8, u8) {
    // 400 years have 146,097 days; one year more than the estimate is never too early.
    let mut year = (days * 400).div_euclid(146_097).saturating_add(1971).clamp(1, 9999) as u16;
    while year > 1 && day_number(year, 1, 1) > days {
        year -= 1;
    }
    let mut month = 12;
    while month > 1 && day_number(year, month, 1) > days {
        month -= 1;
    }
    (year, month, (days - day_number(year, month, 1) + 1) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rfc5322(text: &str) -> Option<(i64, i16)> {
        DateTime::parse_rfc5322(text.as_bytes()).map(|d| (d.unix().0, d.zone_minutes))
    }

    #[test]
    fn dates_of_rfc_5322_are_read() {
        // RFC 5322 appendix A.1.1, A.6.2 and §4.3.
        assert_eq!(rfc5322("Fri, 21 Nov 1997 09:55:06 -0600"), Some((880_127_706, -360)));
        assert_eq!(rfc5322("21 Nov 97 09:55:06 GMT"), Some((880_106_106, 0)));
        assert_eq!(
            rfc5322("Thu,\r\n      13\r\n        Feb\r\n  1969\r\n 23:32\r\n   -0330 (NFT)"),
            Some((-27_723_480, -210))
        );
        assert_eq!(rfc5322("1 Jan 70 00:00 UT"), Some((0, 0)));
        assert_eq!(rfc5322("1 Jan 100 00:00:00 PST"), rfc5322("1 Jan 2000 00:00:00 -0800"));
        assert_eq!(rfc5322("29 Feb 2024 23:59:60 +0000"), Some((1_709_251_200, 0)));
    }

    #[test]
    fn what_other_programs_write_is_read_too() {
        let at = rfc5322("Fri, 21 Nov 1997 09:55:06 +0000");
        assert_eq!(rfc5322("Friday, 21 November 1997 09:55:06"), at);
        assert_eq!(rfc5322("21-Nov-1997 09:55:06 (comment (nested)) Z"), at);
        assert_eq!(rfc5322("Fri 21 Nov 1997 9:55:06.123 +0000"), at);
        for bad in ["", "x", "32 Jan 2000 00:00", "29 Feb 2023 00:00", "1 Foo 2000", "1 Jan", "9"] {
            assert_eq!(rfc5322(bad), None, "{bad}");
        }
    }

    #[test]
    fn imap_dates_are_read_strictly_and_written_alike() {
        let at = DateTime::parse_imap(b"17-Jul-1996 02:44:25 -0700").unwrap();
        assert_eq!(at.unix().0, 837_596_665);
        assert_eq!(at.to_imap(), "17-Jul-1996 02:44:25 -0700");
        assert_eq!(at.to_rfc5322(), "Wed, 17 Jul 1996 02:44:25 -0700");
        let early = DateTime::parse_imap(b" 1-Jan-2000 00:00:00 +0530").unwrap();
        assert_eq!(early.to_imap(), " 1-Jan-2000 00:00:00 +0530");
        assert_eq!(early.day_number(), 10_957);
        for bad in ["17-Jul-96 02:44:25 -0700", "17-Jul-1996 2:44:25 -0700", "17-Jul-1996 02:44:25"]
        {
            assert_eq!(DateTime::parse_imap(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn moments_beyond_the_calendar_give_its_ends() {
        assert_eq!(DateTime::from_unix(UnixTime(i64::MAX), 0).year, 9999);
        assert_eq!(DateTime::from_unix(UnixTime(i64::MIN), -600).year, 1);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_the_same_moment(
            at in -62_000_000_000i64..253_000_000_000, zone in -840i16..=840,
        ) {
            let date = DateTime::from_unix(UnixTime(at), zone);
            prop_assert_eq!(date.unix(), UnixTime(at));
            prop_assert_eq!(DateTime::parse_imap(date.to_imap().as_bytes()), Some(date));
            if date.year >= 1000 {
                prop_assert_eq!(DateTime::parse_rfc5322(date.to_rfc5322().as_bytes()), Some(date));
            }
        }

        #[test]
        fn any_octets_are_a_date_or_not(
            text in any::<Vec<u8>>(), words in "[0-9A-Za-z:+, -]{0,40}",
        ) {
            for text in [&text[..], words.as_bytes()] {
                for date in [DateTime::parse_rfc5322(text), DateTime::parse_imap(text)] {
                    prop_assert!(date.is_none_or(|d| DateTime::from_unix(d.unix(), 0).year > 0));
                }
            }
        }
    }
}
