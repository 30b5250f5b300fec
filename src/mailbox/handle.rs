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

use crate::account::{Catalog, Command, MailboxId, MailboxView, Outcome, Refusal, Row};
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::store::ArrivalRecord;
use std::sync::Arc;
use tokio::sync::watch;

/// A session's hold on an unlocked account.
#[derive(Clone)]
pub struct AccountHandle {}

/// Which state of the account was published last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Grows by one with each publication.
    pub number: u64,
    /// The account was locked; nothing will be published any more.
    pub locked: bool,
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
    /// The stored message is damaged or was erased.
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

    /// The arrival record of a message: headers, envelope, structure, size. Reads one head from the
    /// disk and opens it (symmetric). May block.
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
