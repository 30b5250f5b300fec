//! One unlocked account as a machine: fold, change, views.
//!
//! A [`Machine`] holds the state of one account in memory and knows nothing of tasks or threads. It
//! is loaded with the vault's witness ([`crate::vault::Unlocked`]) from the account's chain in the
//! journal. Every change goes the same way:
//!
//! 1. [`Machine::plan`] checks it and makes the frames ([`Planned`]); nothing changes yet.
//! 2. The caller submits [`Planned::take_batches`], one after the other, and waits until each is
//!    durable.
//! 3. [`Machine::commit`] changes the state and makes new views. On an error of step 2 the caller
//!    drops the plan: nothing happened.
//!
//! Folding ([`Machine::fold_work`], [`FoldWork::run`], [`Machine::plan_fold`]) and upkeep
//! ([`Machine::plan_upkeep`]) make plans too. Only one plan may be under way at a time.
//!
//! Sessions read [`Catalog`] and [`MailboxView`], which are immutable and hold only what is
//! durable, and open messages themselves with a [`Opener`].
//!
//! # Trust
//! Records are sealed under the account's index key and chained: a missing, repeated or swapped one
//! is noticed at load and reported as [`Damage`]; all else stays readable. Records cut off at the
//! very end are noticed by the journal, not here. Arrivals are hostile: folding only files and
//! flags, and what does not open becomes a placeholder.
//!
//! # Limits
//! [`MAILBOXES_MAX`] mailboxes, [`KEYWORDS_MAX`] keywords in each, 4 G UIDs in each, and
//! [`COPIED_MESSAGES_MAX`] messages by COPY. A message takes 96 octets of memory, and about 16 for
//! its object's short name, by which a second arrival of it is known.
//!
//! # Known gaps
//! - Claims to recent messages ride on the next record; lost in a crash, they are recent once more.
//! - The `+detail` of an address is kept in the arrival record and files nothing yet.
//! - A damaged snapshot is replaced by the one before it. If both are damaged, mail is found again
//!   from its frames and folded into INBOX; flags and mailboxes are lost.
//! - When a frame's header is damaged and no record shows what it was, UIDVALIDITY is raised to be
//!   safe, and clients load their mailboxes anew.
//!
//! # Standards
//! RFC 3501 (mailboxes, UIDs, flags), RFC 4315 (UIDPLUS), RFC 6154 (special use), RFC 6851 (MOVE),
//! RFC 7162 (mod-sequences are kept; CONDSTORE is not spoken yet).

mod catalog;
mod chain;
mod command;
mod flags;
mod fold;
mod letter;
mod machine;
mod open;
mod plan;
mod record;
mod snapshot;
mod state;
mod view;

pub use catalog::{
    COPIED_MESSAGES_MAX, Catalog, INBOX, MAILBOXES_MAX, Mailbox, MailboxId, NAME_BYTES_MAX,
    NAME_LEVELS_MAX, NameError, SEPARATOR, SUBSCRIPTIONS_MAX, SpecialUse, Status, check_name,
};
pub use command::{Command, FlagNames, Folded, Outcome, Refusal};
pub use flags::{FlagMode, Flags, KEYWORD_BYTES_MAX, KEYWORDS_MAX, UidSet, is_keyword};
pub use fold::{FoldWork, Opened};
pub use machine::{
    Damage, FOLD_BATCH_MAX, LoadError, Loaded, Machine, Planned, SNAPSHOT_BYTES, SNAPSHOT_RECORDS,
    Tuning,
};
pub use open::{OpenFailure, Opener};
pub use view::{Changes, Kind, MailboxView, PAGE_ROWS, Row};

#[cfg(test)]
mod tests;
