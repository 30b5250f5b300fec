//! Flags and keywords of a message, and sets of UIDs.
//!
//! System flags are bits; keywords are bits too, numbered by a table that each mailbox keeps
//! ([`KEYWORDS_MAX`] of them at most), so that a row stays small and a change is one mask.
//!
//! # Standards
//! RFC 3501 §2.3.2 (flags), §9 (`flag-keyword` is an atom).

use serde::{Deserialize, Serialize};

/// Keywords that one mailbox can know. A bit set of one machine word; Thunderbird uses about ten.
pub const KEYWORDS_MAX: usize = 64;
/// Octets of one keyword. RFC 3501 names no bound; clients stay below 32.
pub const KEYWORD_BYTES_MAX: usize = 128;

/// The flags of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flags {
    /// System flags: an OR of the constants of [`Flags`].
    pub system: u8,
    /// Keywords: bit `n` stands for entry `n` of the mailbox's table.
    pub keywords: u64,
}

impl Flags {
    /// `\Seen`.
    pub const SEEN: u8 = 1;
    /// `\Answered`.
    pub const ANSWERED: u8 = 2;
    /// `\Flagged`.
    pub const FLAGGED: u8 = 4;
    /// `\Deleted`.
    pub const DELETED: u8 = 8;
    /// `\Draft`.
    pub const DRAFT: u8 = 16;
    /// All system flags that are stored. `\Recent` is not: it belongs to a session.
    pub const ALL: u8 = 31;

    /// No keyword, and these system flags.
    pub fn system(system: u8) -> Flags {
        Flags { system: system & Self::ALL, keywords: 0 }
    }

    /// Whether all of these system flags are set.
    pub fn has(self, system: u8) -> bool {
        self.system & system == system
    }

    /// These flags changed by `with`.
    pub fn changed(self, mode: FlagMode, with: Flags) -> Flags {
        match mode {
            FlagMode::Replace => with,
            FlagMode::Add => {
                Flags { system: self.system | with.system, keywords: self.keywords | with.keywords }
            }
            FlagMode::Remove => Flags {
                system: self.system & !with.system,
                keywords: self.keywords & !with.keywords,
            },
        }
    }
}

/// What STORE does with the flags that it names (RFC 3501 §6.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlagMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// Whether `word` can be a keyword: a non-empty atom (RFC 3501 §9) that is no system flag.
pub fn is_keyword(word: &str) -> bool {
    let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    !word.is_empty() && word.len() <= KEYWORD_BYTES_MAX && word.bytes().all(atom)
}

/// A set of UIDs as ascending ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// No UID.
    pub fn new() -> UidSet {
        UidSet::default()
    }

    /// The set of all UIDs from `first` to `last`, both within; the ends may stand in any order.
    pub fn range(first: u32, last: u32) -> UidSet {
        UidSet(vec![(first.min(last), first.max(last))])
    }

    /// The union of ranges in any order, each with both ends within.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u32, u32)>) -> UidSet {
        let mut sorted: Vec<(u32, u32)> =
            ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        sorted.sort_unstable();
        let mut set = UidSet::new();
        sorted.into_iter().for_each(|(first, last)| set.append(first, last));
        set
    }

    /// Adds a UID that is not below any in the set: the quick way to build one in order.
    pub fn push(&mut self, uid: u32) {
        self.append(uid, uid);
    }

    fn append(&mut self, first: u32, last: u32) {
        match self.0.last_mut() {
            Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    /// Whether `uid` is in the set.
    pub fn contains(&self, uid: u32) -> bool {
        let after = self.0.partition_point(|range| range.0 <= uid);
        after > 0 && self.0[after - 1].1 >= uid
    }

    /// The ranges, ascending, both ends within.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// All UIDs, ascending. A range may be as wide as 4 G: meet it with a view first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }

    /// How many UIDs.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|&(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the ranges stand as they must; a decoded set is asked before use.
    pub(super) fn is_canonical(&self) -> bool {
        let apart = |pair: &[(u32, u32)]| pair[0].1.checked_add(1).is_some_and(|n| n < pair[1].0);
        self.0.iter().all(|&(first, last)| first <= last) && self.0.windows(2).all(apart)
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        UidSet::from_ranges(uids.into_iter().map(|uid| (uid, uid)))
    }
}

impl std::fmt::Display for UidSet {
    /// As IMAP writes a `uid-set` (RFC 4315 §4): `1:3,7`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, &(first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}:{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_set_is_written_as_imap_writes_it() {
        let set: UidSet = [7, 1, 2, 3, 9, 10].into_iter().collect();
        assert_eq!(set.to_string(), "1:3,7,9:10");
        assert_eq!(UidSet::range(5, 2).to_string(), "2:5");
    }

    #[test]
    fn keywords_are_atoms() {
        assert!(is_keyword("$Forwarded") && is_keyword("NonJunk"));
        for bad in ["", "\\Seen", "a b", "a]", "ü", "(x", "\u{7f}"] {
            assert!(!is_keyword(bad), "{bad:?}");
        }
        assert!(!is_keyword(&"k".repeat(KEYWORD_BYTES_MAX + 1)));
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in(uids in prop::collection::vec(0u32..200, 0..100)) {
            let oracle: BTreeSet<u32> = uids.iter().copied().collect();
            let set: UidSet = uids.into_iter().collect();
            prop_assert!(set.is_canonical());
            let held: BTreeSet<u32> = set.iter().collect();
            prop_assert_eq!(&held, &oracle);
            prop_assert_eq!(set.len(), oracle.len() as u64);
            for uid in 0..201 {
                prop_assert_eq!(set.contains(uid), oracle.contains(&uid));
            }
        }
    }
}
