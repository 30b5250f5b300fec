//! What can be asked of an account, and what it answers.

use super::catalog::{MailboxId, NameError, SpecialUse};
use super::flags::{FlagMode, UidSet};
use crate::base::clock::UnixTime;
use crate::store::SealedArrival;

/// A change. Each is one record in the journal, whole or absent.
#[derive(Debug)]
pub enum Command {
    /// STORE: changes the flags of messages.
    Store {
        /// Where.
        mailbox: MailboxId,
        /// Of which messages; UIDs that are not there are passed over.
        uids: UidSet,
        /// How the flags named here meet those that are there.
        mode: FlagMode,
        /// Which flags.
        flags: FlagNames,
        /// RFC 7162 §3.1.3: leaves messages alone whose mod-sequence is above this one.
        unchanged_since: Option<u64>,
    },
    /// EXPUNGE, UID EXPUNGE, CLOSE: removes messages that have `\Deleted`.
    Expunge {
        /// Where.
        mailbox: MailboxId,
        /// Only these (UID EXPUNGE, RFC 4315 §2.1), or all.
        uids: Option<UidSet>,
    },
    /// COPY.
    Copy {
        /// Where the messages are.
        from: MailboxId,
        /// Which; UIDs that are not there are passed over.
        uids: UidSet,
        /// The name of the mailbox that they go to.
        to: String,
    },
    /// MOVE (RFC 6851): copied and removed in one step.
    Move {
        /// Where the messages are.
        from: MailboxId,
        /// Which; UIDs that are not there are passed over.
        uids: UidSet,
        /// The name of the mailbox that they go to.
        to: String,
    },
    /// APPEND: files a message that the caller has sealed (`store::seal`).
    Append {
        /// The name of the mailbox that it goes to.
        to: String,
        /// The sealed message; a large body is in its file already.
        message: Box<SealedArrival>,
        /// Its flags.
        flags: FlagNames,
        /// Its INTERNALDATE.
        received: UnixTime,
    },
    /// CREATE: a mailbox, and the levels above it that are missing (as `\Noselect` names).
    Create {
        /// Its name.
        name: String,
        /// What it is for.
        special_use: Option<SpecialUse>,
    },
    /// DELETE. A mailbox with names below it stays as a `\Noselect` name.
    Delete {
        /// Its name.
        name: String,
    },
    /// RENAME, with all names below. INBOX stays, and its messages move (RFC 3501 §6.3.5).
    Rename {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// SUBSCRIBE; the mailbox need not be there.
    Subscribe {
        /// Its name.
        name: String,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// Its name.
        name: String,
    },
}

/// Flags as a client names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagNames {
    /// System flags: an OR of the constants of [`super::Flags`].
    pub system: u8,
    /// Keywords, any case; a new one is added to the mailbox's table.
    pub keywords: Vec<String>,
}

/// What a change did. All of it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// STORE.
    Stored {
        /// Messages whose flags are now other than before.
        changed: UidSet,
        /// Messages left alone because of `unchanged_since` (RFC 7162: `MODIFIED`).
        modified: UidSet,
    },
    /// EXPUNGE: these are gone.
    Expunged {
        /// Which.
        uids: UidSet,
    },
    /// COPY and MOVE: what COPYUID says (RFC 4315 §3). Sets pair in ascending order.
    Copied {
        /// The destination.
        mailbox: MailboxId,
        /// Its effective UIDVALIDITY.
        uid_validity: u32,
        /// The messages that were there to copy.
        from: UidSet,
        /// Their UIDs in the destination. Both empty if none was there.
        to: UidSet,
    },
    /// APPEND: what APPENDUID says.
    Appended {
        /// The destination.
        mailbox: MailboxId,
        /// Its effective UIDVALIDITY.
        uid_validity: u32,
        /// The message's UID.
        uid: u32,
    },
    /// CREATE.
    Created {
        /// The new mailbox.
        mailbox: MailboxId,
    },
    /// DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, or nothing had to be done.
    Done,
    /// A fold step.
    Folded(Folded),
    /// Work on the account's own files: set-up, snapshot, repair, new index key.
    Maintained,
}

/// What a fold step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Messages that got a UID.
    pub messages: u32,
    /// Of these, placeholders for what could not be opened.
    pub placeholders: u32,
    /// Of the messages, those that came encrypted and are shown opened.
    pub opened: u32,
    /// Arrivals that were dropped because their object had been seen before.
    pub repeated: u32,
}

/// Why a change was not made. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no mailbox of that number or name: `NO [NONEXISTENT]`.
    NoSuchMailbox,
    /// The destination of COPY, MOVE or APPEND is not there: `NO [TRYCREATE]`.
    NoSuchDestination,
    /// The name is only a level of the hierarchy.
    NotSelectable,
    /// There is one of that name already: `NO [ALREADYEXISTS]`.
    Exists,
    /// The name cannot be a mailbox's: `NO [CANNOT]`.
    BadName(NameError),
    /// INBOX cannot be deleted; a mailbox cannot move below itself: `NO [CANNOT]`.
    Cannot,
    /// A `\Noselect` name with names below it cannot be deleted (RFC 3501 §6.3.4).
    HasChildren,
    /// There are [`super::MAILBOXES_MAX`] already: `NO [LIMIT]`.
    TooManyMailboxes,
    /// There are [`super::SUBSCRIPTIONS_MAX`] already: `NO [LIMIT]`.
    TooManySubscriptions,
    /// A word is no keyword: `BAD`.
    BadKeyword,
    /// The mailbox knows [`super::KEYWORDS_MAX`] already: `NO [LIMIT]`.
    TooManyKeywords,
    /// The copy would make them more than [`super::COPIED_MESSAGES_MAX`]: `NO [LIMIT]`.
    TooManyMessages,
    /// The mailbox has given out all its UIDs: `NO [LIMIT]`.
    NoMoreUids,
    /// The message was sealed for another account or epoch. Not a client's doing.
    BadMessage,
}
