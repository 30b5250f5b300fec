//! The mailboxes of an account: an immutable picture of names, attributes and counts.
//!
//! # Standards
//! RFC 3501 §5.1 (names, hierarchy, INBOX), §6.3.9 (a subscription outlives its mailbox), RFC 6154
//! (special use).

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The hierarchy separator. The same for every account, never part of a name's segment.
pub const SEPARATOR: char = '/';
/// Octets of a full mailbox name in UTF-8. File systems and clients stop at 255 a segment.
pub const NAME_BYTES_MAX: usize = 1000;
/// Levels of hierarchy. Dovecot took 400 and needed 0.6 s for them; people use five.
pub const NAME_LEVELS_MAX: usize = 32;
/// Mailboxes of one account, placeholders of the hierarchy included.
pub const MAILBOXES_MAX: usize = 5_000;
/// Subscriptions of one account; they may name mailboxes that are not there.
pub const SUBSCRIPTIONS_MAX: usize = 2 * MAILBOXES_MAX;

/// Messages that an account may have through COPY. A copy takes next to nothing on the disk and 96
/// octets of memory while its owner is there, and each one doubles what the next may double;
/// messages that came, were appended or are moved are bounded by the disk and the quota.
pub const COPIED_MESSAGES_MAX: u64 = 1_000_000;

/// A mailbox's number within its account: stable through renames, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MailboxId(pub u32);

/// What a mailbox is for (RFC 6154 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// As IMAP writes it.
    pub fn attribute(self) -> &'static str {
        match self {
            SpecialUse::Archive => "\\Archive",
            SpecialUse::Drafts => "\\Drafts",
            SpecialUse::Junk => "\\Junk",
            SpecialUse::Sent => "\\Sent",
            SpecialUse::Trash => "\\Trash",
        }
    }
}

/// One name of the hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its number.
    pub id: MailboxId,
    /// Its full name in UTF-8, levels parted by [`SEPARATOR`]; `INBOX` always so written.
    pub name: Arc<str>,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// It holds no messages and cannot be selected (`\Noselect`): only a level for its children.
    pub no_select: bool,
    /// There are names below it.
    pub has_children: bool,
    /// It is subscribed.
    pub subscribed: bool,
    /// What STATUS says of it; zeros where it cannot be selected.
    pub status: Status,
}

/// What STATUS answers without any view (RFC 3501 §6.3.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Messages.
    pub messages: u32,
    /// Messages that no session has been told of as recent.
    pub recent: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// The sum of all messages' octets.
    pub bytes: u64,
    /// The UID that the next message gets at least.
    pub uid_next: u32,
    /// The effective UIDVALIDITY.
    pub uid_validity: u32,
    /// The highest mod-sequence.
    pub highest_modseq: u64,
}

/// An immutable picture of all mailboxes.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// In ascending order of names, by octets.
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
    pub(super) subscriptions: Arc<BTreeSet<String>>,
}

impl Catalog {
    /// All names in ascending order, by octets; a parent stands before its children.
    pub fn mailboxes(&self) -> &[Arc<Mailbox>] {
        &self.mailboxes
    }

    /// The mailbox of this name; INBOX in any case (RFC 3501 §5.1).
    pub fn by_name(&self, name: &str) -> Option<&Arc<Mailbox>> {
        let name = canonical(name);
        let at = self.mailboxes.binary_search_by(|mailbox| (*mailbox.name).cmp(&*name)).ok()?;
        Some(&self.mailboxes[at])
    }

    /// The mailbox of this number.
    pub fn by_id(&self, id: MailboxId) -> Option<&Arc<Mailbox>> {
        self.mailboxes.iter().find(|mailbox| mailbox.id == id)
    }

    /// The first mailbox that is for `special_use`.
    pub fn special(&self, special_use: SpecialUse) -> Option<&Arc<Mailbox>> {
        self.mailboxes.iter().find(|mailbox| mailbox.special_use == Some(special_use))
    }

    /// All subscribed names in ascending order, those of mailboxes that are not there included.
    pub fn subscriptions(&self) -> &BTreeSet<String> {
        &self.subscriptions
    }
}

/// Why a name cannot be a mailbox's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is empty, or a level of it is.
    EmptyLevel,
    /// It is longer than [`NAME_BYTES_MAX`] or deeper than [`NAME_LEVELS_MAX`].
    TooLong,
    /// It holds a control character, a list wildcard (`*`, `%`), or a level is `.` or `..`.
    BadCharacter,
}

/// The name as it is kept: checked, and a first level that is INBOX in any case written `INBOX`.
/// A separator at the end, by which CREATE announces children (RFC 3501 §6.3.3), is dropped.
pub fn check_name(name: &str) -> Result<String, NameError> {
    let name = name.strip_suffix(SEPARATOR).unwrap_or(name);
    let levels = || name.split(SEPARATOR);
    if levels().any(str::is_empty) {
        return Err(NameError::EmptyLevel);
    }
    if name.len() > NAME_BYTES_MAX || levels().count() > NAME_LEVELS_MAX {
        return Err(NameError::TooLong);
    }
    let bad = |c: char| c.is_control() || c == '*' || c == '%';
    if name.contains(bad) || levels().any(|level| level == "." || level == "..") {
        return Err(NameError::BadCharacter);
    }
    Ok(canonical(name).into_owned())
}

/// RFC 3501 §5.1: INBOX is compared without regard to case, alone and as the first level.
pub(super) fn canonical(name: &str) -> std::borrow::Cow<'_, str> {
    let (first, rest) = name.split_at(name.find(SEPARATOR).unwrap_or(name.len()));
    match first != INBOX && first.eq_ignore_ascii_case(INBOX) {
        true => format!("{INBOX}{rest}").into(),
        false => name.into(),
    }
}

/// The one mailbox that is always there.
pub const INBOX: &str = "INBOX";

/// The mailboxes that a new account has beside INBOX, all subscribed.
pub(super) const DEFAULTS: [(&str, SpecialUse); 5] = [
    ("Archive", SpecialUse::Archive),
    ("Drafts", SpecialUse::Drafts),
    ("Junk", SpecialUse::Junk),
    ("Sent", SpecialUse::Sent),
    ("Trash", SpecialUse::Trash),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_inbox_is_one() {
        assert_eq!(check_name("inbox/Lists/"), Ok("INBOX/Lists".into()));
        assert_eq!(check_name("Inboxes"), Ok("Inboxes".into()));
        assert_eq!(check_name("Übersicht"), Ok("Übersicht".into()));
        for empty in ["", "/", "a//b", "/a"] {
            assert_eq!(check_name(empty), Err(NameError::EmptyLevel), "{empty:?}");
        }
        for bad in ["a*", "%", "a\0b", "..", "a/./b", "a\u{85}"] {
            assert_eq!(check_name(bad), Err(NameError::BadCharacter), "{bad:?}");
        }
        let deep = vec!["a"; NAME_LEVELS_MAX + 1].join("/");
        assert_eq!(check_name(&deep), Err(NameError::TooLong));
        assert_eq!(check_name(&"n".repeat(NAME_BYTES_MAX + 1)), Err(NameError::TooLong));
    }
}
