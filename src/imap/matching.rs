//! Decides whether a message meets a SEARCH program, from what is known of it.
//!
//! A [`Program`] is made once for a command: sets are resolved, texts folded and numbered. The
//! answer for a message may be "not known yet": a program is first tried with a message's row
//! alone, and then as [`super::Scan`] finds its texts or does not.
//!
//! # Standards
//! RFC 3501 §6.4.4.

use super::command::{SearchKey, When};
use super::limits::SEARCH_TEXTS_MAX;
use super::value::{Date, Flag};
use crate::base::clock::UnixTime;
use crate::mail::DateTime;
use memchr::memmem::Finder;

const _: () = assert!(SEARCH_TEXTS_MAX <= u64::BITS as usize, "each text has its bit");

/// A message that may be found.
pub trait Candidate {
    /// Whether it has a flag or keyword.
    fn has_flag(&self, flag: &Flag) -> bool;
    /// Whether it is recent for this session.
    fn is_recent(&self) -> bool;
    /// Its UID.
    fn uid(&self) -> u32;
    /// Its number for this client; 0 if it has none.
    fn number(&self) -> u32;
    /// Its INTERNALDATE.
    fn received(&self) -> UnixTime;
    /// Its size in octets.
    fn size(&self) -> u32;
}

/// What is known of a message beside its row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// The day of its Date field, if it has one; `None` while its header was not read.
    pub(super) sent: Option<Option<Date>>,
    /// The texts of which it is known whether they are there: a bit each.
    decided: u64,
    found: u64,
}

impl Known {
    /// Whether nobody has to look for this text any more.
    pub(super) fn is_decided(&self, text: &Text) -> bool {
        self.decided & text.bit != 0
    }

    /// The text is there.
    pub(super) fn find(&mut self, text: &Text) {
        self.decided |= text.bit;
        self.found |= text.bit;
    }

    /// The text is not there, unless it was found.
    pub(super) fn close(&mut self, text: &Text) {
        self.decided |= text.bit;
    }
}

/// Where a text is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the fields of this name.
    Field(String),
    /// In the parts.
    Body,
    /// In the header and the parts.
    Everywhere,
}

/// A text to look for, without regard to case.
pub(super) struct Text {
    pub(super) place: Place,
    pub(super) finder: Finder<'static>,
    bit: u64,
}

/// A SEARCH program that is made ready for one view of a mailbox.
pub struct Program {
    root: Test,
    tests: usize,
    pub(super) texts: Vec<Text>,
    /// Octets of the longest text.
    pub(super) longest: usize,
}

enum Test {
    All,
    Recent,
    Flag(Flag, bool),
    Received(When, Date),
    Sent(When, Date),
    Larger(u32),
    Smaller(u32),
    /// The text with this bit.
    Text(u64),
    Uids(Vec<(u32, u32)>),
    Messages(Vec<(u32, u32)>),
    Not(Box<Test>),
    Or(Box<Test>, Box<Test>),
    And(Vec<Test>),
}

impl Program {
    /// The program for `key`, `*` being the highest number and the highest UID of `largest`; `None`
    /// if it asks for more than [`SEARCH_TEXTS_MAX`] texts.
    pub fn new(key: &SearchKey, largest: (u32, u32)) -> Option<Program> {
        let mut maker = Maker { largest, tests: 0, texts: Vec::new() };
        let root = maker.test(key)?;
        let Maker { tests, texts, .. } = maker;
        let longest = texts.iter().map(|text| text.finder.needle().len()).max().unwrap_or(0);
        Some(Program { root, tests, texts, longest })
    }

    /// How many tests a message may have to pass: what it costs to try one.
    pub fn tests(&self) -> usize {
        self.tests
    }

    /// Whether a message meets it; `None` if that cannot be said with what is known.
    pub fn meets(&self, candidate: &impl Candidate, known: &Known) -> Option<bool> {
        self.root.holds(candidate, known)
    }
}

/// Makes a program.
struct Maker {
    largest: (u32, u32),
    tests: usize,
    texts: Vec<Text>,
}

impl Maker {
    fn test(&mut self, key: &SearchKey) -> Option<Test> {
        self.tests += 1;
        Some(match key {
            SearchKey::All => Test::All,
            SearchKey::Recent => Test::Recent,
            SearchKey::Flag(flag, set) => Test::Flag(flag.clone(), *set),
            SearchKey::Received(when, day) => Test::Received(*when, *day),
            SearchKey::Sent(when, day) => Test::Sent(*when, *day),
            SearchKey::Larger(octets) => Test::Larger(*octets),
            SearchKey::Smaller(octets) => Test::Smaller(*octets),
            SearchKey::Header(name, text) => self.text(Place::Field(name.clone()), text)?,
            SearchKey::Body(text) => self.text(Place::Body, text)?,
            SearchKey::Text(text) => self.text(Place::Everywhere, text)?,
            SearchKey::Uids(set) => Test::Uids(set.resolve(self.largest.1)),
            SearchKey::Messages(set) => Test::Messages(set.resolve(self.largest.0)),
            SearchKey::Not(key) => Test::Not(Box::new(self.test(key)?)),
            SearchKey::Or(left, right) => {
                Test::Or(Box::new(self.test(left)?), Box::new(self.test(right)?))
            }
            SearchKey::And(keys) => {
                Test::And(keys.iter().map(|key| self.test(key)).collect::<Option<_>>()?)
            }
        })
    }

    fn text(&mut self, place: Place, text: &str) -> Option<Test> {
        if self.texts.len() == SEARCH_TEXTS_MAX {
            return None;
        }
        let bit = 1 << self.texts.len();
        let finder = Finder::new(&fold(text)).into_owned();
        self.texts.push(Text { place, finder, bit });
        Some(Test::Text(bit))
    }
}

impl Test {
    fn holds(&self, candidate: &impl Candidate, known: &Known) -> Option<bool> {
        Some(match self {
            Test::All => true,
            Test::Recent => candidate.is_recent(),
            Test::Flag(flag, set) => candidate.has_flag(flag) == *set,
            Test::Received(when, day) => {
                let date = DateTime::from_unix(candidate.received(), 0);
                when.holds(Date(date.day_number()), *day)
            }
            Test::Sent(when, day) => known.sent?.is_some_and(|sent| when.holds(sent, *day)),
            Test::Larger(octets) => candidate.size() > *octets,
            Test::Smaller(octets) => candidate.size() < *octets,
            Test::Text(bit) if known.decided & bit == 0 => return None,
            Test::Text(bit) => known.found & bit != 0,
            Test::Uids(ranges) => within(ranges, candidate.uid()),
            Test::Messages(ranges) => within(ranges, candidate.number()),
            Test::Not(test) => !test.holds(candidate, known)?,
            Test::Or(left, right) => {
                either(left.holds(candidate, known), || right.holds(candidate, known), true)?
            }
            Test::And(tests) => {
                let mut all = Some(true);
                for test in tests {
                    all = either(all, || test.holds(candidate, known), false);
                    if all == Some(false) {
                        break;
                    }
                }
                all?
            }
        })
    }
}

/// Joins two answers of which `decisive` alone decides: OR with `true`, AND with `false`.
fn either(
    left: Option<bool>,
    right: impl FnOnce() -> Option<bool>,
    decisive: bool,
) -> Option<bool> {
    if left == Some(decisive) {
        return left;
    }
    match (left, right()) {
        (_, Some(right)) if right == decisive => Some(right),
        (Some(left), Some(_)) => Some(left),
        _ => None,
    }
}

fn within(ranges: &[(u32, u32)], number: u32) -> bool {
    let after = ranges.partition_point(|range| range.0 <= number);
    after > 0 && ranges[after - 1].1 >= number
}

/// Text as it is compared.
pub(super) fn fold(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.chars().flat_map(char::to_lowercase).collect(),
    }
}
