//! The small values of the grammar: tags, mailbox names, flags, dates.
//!
//! Each is checked once, when it is made, and is what it says from then on.
//!
//! # Standards
//! RFC 3501 §9 (tag, mailbox, flag, date), RFC 3501 §5.1.3 (modified UTF-7).

use super::{limits, utf7};
use crate::mail::DateTime;
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

/// A day, as SEARCH has it: no time, no zone; days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

impl Date {
    /// RFC 3501 §9: `date-text`, `1-Feb-1994`; `None` for a day that the calendar has not.
    pub fn parse(text: &[u8]) -> Option<Date> {
        let day_digits = text.iter().position(|&byte| byte == b'-')?;
        let pad: &[u8] = if day_digits == 1 { b" " } else { b"" };
        let noon = [pad, text, b" 12:00:00 +0000"].concat();
        DateTime::parse_imap(&noon).map(|date| Date(date.day_number()))
    }
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

    #[test]
    fn inbox_has_one_spelling_and_its_children_too() {
        assert!(MailboxName::from_wire(b"inBox").unwrap().is_inbox());
        assert_eq!(MailboxName::from_wire(b"inbox/a").unwrap().as_str(), "INBOX/a");
        assert_eq!(MailboxName::from_wire(b"a/inbox").unwrap().as_str(), "a/inbox");
        assert!(MailboxName::from_wire(b"&").is_none());
    }

    #[test]
    fn a_day_is_read_with_one_digit_or_two() {
        assert_eq!(Date::parse(b"1-Jan-1970"), Some(Date(0)));
        assert_eq!(Date::parse(b"02-jan-1970"), Some(Date(1)));
        for bad in [&b"30-Feb-2026"[..], b"1-Foo-2026", b"1-Jan-26", b"", b"-", b"1-Jan-2026 "] {
            assert_eq!(Date::parse(bad), None, "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
