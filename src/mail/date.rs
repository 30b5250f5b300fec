//! Dates: RFC 5322 read leniently, IMAP's date-time, and both written.

use crate::base::clock::UnixTime;

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
    /// The moment `at`, in a zone.
    pub fn from_unix(at: UnixTime, zone_minutes: i16) -> DateTime {
        let _ = (at, zone_minutes);
        todo!()
    }

    /// The moment it names.
    pub fn unix(&self) -> UnixTime {
        todo!()
    }

    /// Days since 1970-01-01 of the date as written, zone and time left aside: what SENTON,
    /// SENTBEFORE, ON and BEFORE compare (RFC 3501 §6.4.4).
    pub fn day_number(&self) -> i32 {
        todo!()
    }

    /// Reads a Date field's body leniently; `None` if no date can be made of it.
    pub fn parse_rfc5322(text: &[u8]) -> Option<DateTime> {
        let _ = text;
        todo!()
    }

    /// Reads IMAP's `date-time` without the quotes: `17-Jul-1996 02:44:25 -0700`.
    pub fn parse_imap(text: &[u8]) -> Option<DateTime> {
        let _ = text;
        todo!()
    }

    /// Writes `Fri, 21 Nov 1997 09:55:06 -0600`.
    pub fn to_rfc5322(&self) -> String {
        todo!()
    }

    /// Writes IMAP's `date-time` without the quotes: `17-Jul-1996 02:44:25 -0700`, day padded by a
    /// space.
    pub fn to_imap(&self) -> String {
        todo!()
    }
}
