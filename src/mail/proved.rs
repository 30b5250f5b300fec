//! Which fields of a header somebody vouches for.
//!
//! A signature covers the fields that it names, and no others (RFC 6376 §5.4.2): of a field that
//! stands n times, the n last ones if `h=` has its name n times. Who mails a signed message again
//! can put a second To in front, or a Cc where there was none, and the signature still holds. So a
//! field counts as covered only if all that there are of it are.

use super::header::fields;
use serde::{Deserialize, Serialize};

/// The fields that are told apart. Arrival records have the places in this list as bits.
const NAMES: [&str; 6] = ["From", "To", "Cc", "Subject", "Comments", "Keywords"];

/// A set of fields of one message. That From is in it says that its author is proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvedFields(u8);

impl ProvedFields {
    /// None.
    pub const NONE: ProvedFields = ProvedFields(0);
    /// From, and no other.
    pub const FROM: ProvedFields = ProvedFields(1);
    /// All: who wrote the header has logged in.
    pub const ALL: ProvedFields = ProvedFields((1 << NAMES.len()) - 1);

    /// The fields of `block` that a signature over these `names` (`h=`) covers, each with all that
    /// there are of it.
    pub fn signed<N: AsRef<str>>(block: &[u8], names: &[N]) -> ProvedFields {
        let is_signed = |name: &&str| {
            let of_name = fields(block).filter(|field| field.is(name));
            // RFC 5322 §4.5: white space before the colon is obsolete, and signers do not know it.
            let plain = |raw: &[u8]| raw.get(name.len()) == Some(&b':');
            let there = of_name.map(|field| plain(field.raw)).collect::<Vec<_>>();
            let signed = names.iter().filter(|signed| signed.as_ref().eq_ignore_ascii_case(name));
            there.iter().all(|plain| *plain) && (1..=signed.count()).contains(&there.len())
        };
        let bits = NAMES.iter().enumerate().filter(|(_, name)| is_signed(name));
        ProvedFields(bits.fold(0, |all, (at, _)| all | 1 << at))
    }

    /// What is in one of them.
    pub fn or(self, other: ProvedFields) -> ProvedFields {
        ProvedFields(self.0 | other.0)
    }

    /// Whether From is in it: its one address is the author's.
    pub fn author(self) -> bool {
        self.has(b"From")
    }

    /// Whether the field of this name is in it, in any case.
    pub fn has(self, name: &[u8]) -> bool {
        let at = NAMES.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name));
        at.is_some_and(|at| self.0 & 1 << at != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_covered_if_all_that_there_are_of_it_are() {
        for (block, names, covered) in [
            ("From: a\r\nTo: b\r\n\r\nCc: c\r\n", "from:to:cc", "From To"),
            ("from: a\r\nTO: b\r\n", "FROM:To", "From To"),
            ("From: a\r\nTo: b\r\n", "from", "From"),
            ("To: eve\r\nFrom: a\r\nTo: b\r\n", "from:to", "From"),
            ("To: c\r\nFrom: a\r\nTo: b\r\n", "from:to:to", "From To"),
            ("Cc: eve\r\nFrom: a\r\n", "from:to", "From"),
            // Named once more than it stands there, which a space before the colon would use up.
            ("Cc : eve\r\nFrom: a\r\nCc: b\r\n", "from:cc:cc", "From"),
            (
                "Subject: a\r\nComments: b\r\nKeywords: c\r\n",
                "subject:keywords",
                "Subject Keywords",
            ),
            ("Subject: a\r\n", "", ""),
        ] {
            let names: Vec<&str> = names.split(':').collect();
            let found = ProvedFields::signed(block.as_bytes(), &names);
            let found: Vec<&str> = NAMES.into_iter().filter(|n| found.has(n.as_bytes())).collect();
            assert_eq!(found.join(" "), covered, "{block}");
        }
    }

    #[test]
    fn a_set_is_of_what_it_says() {
        assert!(ProvedFields::ALL.author() && ProvedFields::ALL.has(b"keywords"));
        assert!(ProvedFields::FROM.author() && !ProvedFields::FROM.has(b"To"));
        assert!(!ProvedFields::default().author() && !ProvedFields::ALL.has(b"Reply-To"));
        assert_eq!(ProvedFields::NONE.or(ProvedFields::FROM), ProvedFields::FROM);
    }

    /// Before other fields were told apart, a record had yes or no in this place.
    #[test]
    fn yes_and_no_are_read_as_from_and_nothing() {
        for (says, set) in [(true, ProvedFields::FROM), (false, ProvedFields::NONE)] {
            let octets = postcard::to_allocvec(&says).unwrap();
            assert_eq!(postcard::from_bytes(&octets), Ok(set));
        }
    }
}
