//! The machine: load, plan, commit.

use super::catalog::{Catalog, MailboxId};
use super::command::{Command, Outcome, Refusal};
use super::view::MailboxView;
use crate::base::clock::UnixTime;
use crate::base::entropy::Entropy;
use crate::base::ids::AccountNumber;
use crate::journal::{Address, Entry, ReadError, Reader};
use crate::vault::Unlocked;
use std::ops::Range;
use std::sync::Arc;

/// Messages that one fold step gives UIDs to; a login waits for one such step at most (57 ms).
pub const FOLD_BATCH_MAX: usize = 256;

/// One account, unlocked.
pub struct Machine {
    unlocked: Unlocked,
    reader: Reader,
    entropy: Arc<dyn Entropy>,
}

/// A loaded account.
pub struct Loaded {
    /// The machine.
    pub machine: Machine,
    /// What was not as it was written. To be reported; what could be read is there.
    pub damage: Vec<Damage>,
}

/// Why an account could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The disk cannot be read now.
    Unavailable(std::io::ErrorKind),
}

/// Something in an account's chain that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A frame cannot be read.
    Unreadable(ReadError),
    /// A record does not open, or is none.
    Forged(Address),
    /// Records are missing: those with these numbers.
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A record stands there a second time.
    Repeated(Address),
    /// A record stands behind one that came after it.
    Swapped(Address),
    /// A record does not continue the one before it.
    Broken(Address),
    /// The only snapshot is incomplete; messages were found again from their frames.
    NoSnapshot,
}

/// A change that is ready to be made durable.
#[derive(Debug)]
pub struct Planned {
    batches: Vec<Vec<Entry>>,
}

impl Planned {
    /// The batches to submit, in this order, each only when the one before is durable. Empty if
    /// nothing has to be written; commit all the same.
    pub fn take_batches(&mut self) -> Vec<Vec<Entry>> {
        std::mem::take(&mut self.batches)
    }
}

/// Arrivals taken out for a fold step: owns all it needs, so that it can run on another thread.
pub struct FoldWork {
    _private: (),
}

/// What a fold step found.
pub struct Opened {
    _private: (),
}

impl FoldWork {
    /// Opens the records: one public-key operation a message, about 220 us each. Blocks.
    pub fn run(self) -> Opened {
        todo!()
    }
}

impl Machine {
    /// Loads the account that `unlocked` is the witness of. Reads its chain back to the newest
    /// complete snapshot; blocks. A new account gets its mailboxes by the first
    /// [`Machine::plan_upkeep`].
    pub fn load(
        unlocked: Unlocked,
        reader: Reader,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Loaded, LoadError> {
        let _ = Machine { unlocked, reader, entropy };
        todo!()
    }

    /// Whose.
    pub fn account(&self) -> AccountNumber {
        self.unlocked.account()
    }

    /// The mailboxes as of the last commit.
    pub fn catalog(&self) -> Arc<Catalog> {
        todo!()
    }

    /// The messages of a mailbox as of the last commit.
    pub fn view(&self, mailbox: MailboxId) -> Option<Arc<MailboxView>> {
        let _ = mailbox;
        todo!()
    }

    /// Checks a change and makes its frames. `now` dates a new UIDVALIDITY, nothing else.
    pub fn plan(&mut self, command: Command, now: UnixTime) -> Result<Planned, Refusal> {
        let _ = (command, now, &self.reader, &self.entropy);
        todo!()
    }

    /// What was planned is durable at these addresses (one list a batch): changes the state and
    /// makes new views.
    pub fn commit(&mut self, planned: Planned, addresses: Vec<Vec<Address>>) -> Outcome {
        let _ = (planned, addresses);
        todo!()
    }

    /// Looks for arrivals that came since the last look, and says how many wait. Cheap if none came.
    pub fn waiting(&mut self) -> Result<usize, ReadError> {
        todo!()
    }

    /// Takes up to `most` (and [`FOLD_BATCH_MAX`]) arrivals out for opening; `None` if none waits.
    pub fn fold_work(&mut self, most: usize) -> Result<Option<FoldWork>, ReadError> {
        let _ = most;
        todo!()
    }

    /// Gives what was opened its UIDs. One record, whole or absent.
    pub fn plan_fold(&mut self, opened: Opened, now: UnixTime) -> Planned {
        let _ = (opened, now);
        todo!()
    }

    /// The next piece of work on the account's own records, `None` if there is none: set-up of a new
    /// account, repair after damage (both before anybody is served), and snapshots when due.
    /// Call it after load until it is `None`, and after commits.
    pub fn plan_upkeep(&mut self, now: UnixTime) -> Option<Planned> {
        let _ = now;
        todo!()
    }

    /// Whether a message was expunged since the index key was made, so that a new one is wanted:
    /// `SlotAuthority::begin_index_rekey` at the next login, daily at most.
    pub fn wants_index_rekey(&self, now: UnixTime) -> bool {
        let _ = now;
        todo!()
    }

    /// Takes over a witness with a new index key. From the next [`Machine::plan_upkeep`] on, all is
    /// written anew under it.
    pub fn adopt(&mut self, unlocked: Unlocked) {
        self.unlocked = unlocked;
    }

    /// Whether nothing live is sealed under the previous index key any more, so that it may leave
    /// the vault (`IndexRekey::end`, `SlotAuthority::end_index_rekey`).
    pub fn previous_index_key_is_unused(&self) -> bool {
        todo!()
    }

    /// Claims messages of a mailbox as recent for one session (`\Recent`): those UIDs that no
    /// session has claimed. The claim becomes durable with the next record; lost in a crash, the
    /// messages are recent once more (RFC 3501 §2.3.2).
    pub fn claim_recent(&mut self, mailbox: MailboxId) -> Range<u32> {
        let _ = mailbox;
        todo!()
    }
}
