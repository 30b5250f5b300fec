//! What a session holds of an unlocked account: views to read, a way to change, messages to open.
//!
//! A handle is made only by a login whose own credential opened a slot (the vault's witness is asked
//! for when it attaches to the account's task). Clones belong to the same session: they share its
//! cache of opened bodies, and the account counts them as one visitor.
//!
//! # Reading
//! [`AccountHandle::catalog`] and [`AccountHandle::view`] give immutable snapshots, at no cost.
//! [`AccountHandle::changes`] wakes when a newer one was published; a session compares the view it
//! has with the newest one at its own sync points, so that a client that stopped reading costs
//! nothing.
//!
//! # Opening messages
//! `card_now` and `body_now` read the disk and compute; call them inside
//! [`AccountHandle::blocking`], a chunk of rows at a time, never on the reactor. `card` and `body`
//! do that for a single row.
//!
//! # When the account locks
//! Everything answers [`Locked`] from that moment. The driver says BYE at the next point between two
//! responses and drops its handle, its views and its bodies: only then are the rows' keys gone too.

use super::board::Version;
use crate::account::{Catalog, Command, FlagNames, MailboxId, MailboxView, Outcome, Refusal, Row};
use crate::base::clock::UnixTime;
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::store::ArrivalRecord;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::watch;

/// A session's hold on an unlocked account.
#[derive(Clone)]
pub struct AccountHandle {}

/// A message to be filed by APPEND.
#[derive(Debug)]
pub struct Append {
    /// The name of the mailbox that it goes to.
    pub mailbox: String,
    /// Its flags.
    pub flags: FlagNames,
    /// Its INTERNALDATE; `None` for now.
    pub received: Option<UnixTime>,
    /// Its octets.
    pub message: Vec<u8>,
}

/// Why a change was not made. Nothing of it was.
#[derive(Debug)]
pub enum ApplyError {
    /// The account's rules say no.
    Refused(Refusal),
    /// The account is locked.
    Locked,
    /// No space is left: `NO [OVERQUOTA]` or `NO [UNAVAILABLE]`.
    Full,
    /// It could not be made durable now: `NO [UNAVAILABLE]`.
    Unavailable,
}

/// Why a message cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The account is locked.
    Locked,
    /// Another session has expunged the message and its octets are gone.
    Erased,
    /// The stored message is not what was written.
    Damaged,
    /// The disk cannot be read now.
    Unavailable,
}

impl AccountHandle {
    /// Whose account this is.
    pub fn account(&self) -> AccountNumber {
        todo!()
    }

    /// The mailboxes with their names and counts, as published last.
    pub fn catalog(&self) -> Result<Arc<Catalog>, Locked> {
        todo!()
    }

    /// The messages of one mailbox, as published last; `None` if there is no such mailbox.
    pub fn view(&self, mailbox: MailboxId) -> Result<Option<Arc<MailboxView>>, Locked> {
        let _ = mailbox;
        todo!()
    }

    /// Wakes at each publication, and when the account locks.
    pub fn changes(&self) -> watch::Receiver<Version> {
        todo!()
    }

    /// Makes a change. It is durable, and in the published views, when this returns.
    pub async fn apply(&self, command: Command) -> Result<Outcome, ApplyError> {
        let _ = command;
        todo!()
    }

    /// Seals a message and files it. It is durable, and in the published views, when this returns.
    /// Ask [`Catalog::by_name`] first, so that a literal is not read for a mailbox that is not there.
    pub async fn append(&self, append: Append) -> Result<Outcome, ApplyError> {
        let _ = append;
        todo!()
    }

    /// Claims messages as recent for this session (`\\Recent`, RFC 3501 §2.3.2): the UIDs that no
    /// session has been told of. For SELECT, not for EXAMINE.
    pub async fn claim_recent(&self, mailbox: MailboxId) -> Result<Range<u32>, Locked> {
        let _ = mailbox;
        todo!()
    }

    /// Runs `work` where it may block, under the limit of the machine's cores: the place for
    /// [`AccountHandle::card_now`], [`AccountHandle::body_now`] and for rendering and searching.
    /// Give it at most 256 rows or one large body at a time.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AccountHandle) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let _ = work;
        todo!()
    }

    /// The arrival record of a message: headers, envelope, structure, size; complete (what was too
    /// large for the record is derived from the body). Reads one head from the disk and opens it
    /// (symmetric). May block.
    pub fn card_now(&self, row: &Row) -> Result<ArrivalRecord, ReadError> {
        let _ = row;
        todo!()
    }

    /// The octets of a message, verified as a whole before the first one is given out. Kept for this
    /// session up to its byte budget, so that a large body that is fetched in pieces is opened once.
    /// May block.
    pub fn body_now(&self, row: &Row) -> Result<Arc<SecretBytes>, ReadError> {
        let _ = row;
        todo!()
    }

    /// [`AccountHandle::card_now`], from async code.
    pub async fn card(&self, row: &Row) -> Result<ArrivalRecord, ReadError> {
        let _ = row;
        todo!()
    }

    /// [`AccountHandle::body_now`], from async code.
    pub async fn body(&self, row: &Row) -> Result<Arc<SecretBytes>, ReadError> {
        let _ = row;
        todo!()
    }
}

/// The account is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked;
