//! The journal: the append-only, authenticated log that is the one truth on disk.
//!
//! A machine over the trait [`Disk`]: no thread, no clock, no file of its own. `host` owns the
//! [`Journal`] in one thread and gathers what all tasks submit; every task reads through a
//! [`Reader`]. [`format`] describes every octet.

mod entry;
mod error;
pub mod format;
pub mod fsck;
mod large;
mod reader;

pub use entry::{
    AccountHead, Address, Body, Class, Entry, FrameInfo, HEAD_BYTES_MAX, INLINE_BODY_BYTES_MAX,
    TOMBSTONE_ADDRESSES_MAX,
};
pub use error::{AppendError, OpenError, ReadError, What};
pub use large::{LargeBody, write_large};
pub use reader::{Identity, Reader};

use crate::base::crypto::Key;
use crate::base::disk::Disk;
use crate::base::entropy::Entropy;
use crate::base::ids::AccountNumber;
use std::sync::Arc;

/// Segments that a journal may have: 64 TiB at the default size.
pub const SEGMENTS_MAX: usize = 1 << 20;

/// How a journal is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The key of all MACs. Lives outside the data directory.
    pub journal_key: Key,
    /// Octets after which a new segment is begun.
    pub segment_bytes_max: u64,
    /// Octets held back in a file that is given up for erases when the disk is full; 0 for none.
    pub reserve_bytes: u64,
}

impl Options {
    /// The defaults, under `journal_key`: segments of 64 MiB, a reserve of 64 MiB.
    pub fn new(journal_key: Key) -> Self {
        Options { journal_key, segment_bytes_max: 64 << 20, reserve_bytes: 64 << 20 }
    }
}

/// What was found and done at open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments there are.
    pub segments: u32,
    /// Whether the last one was closed cleanly.
    pub clean: bool,
    /// Torn tails that were cut: never acknowledged.
    pub cuts: Vec<Cut>,
    /// What is not as it was written.
    pub damage: Vec<Damage>,
    /// Frames carried from an unmarked tail into a new segment.
    pub carried_frames: u32,
    /// Large files that no live frame names and that were removed.
    pub orphans: u32,
    /// Whether this directory is a copy of another one: the incarnation was raised.
    pub copied: bool,
}

/// A tail that was never acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// In which segment.
    pub segment: u32,
    /// From where, in octets from its beginning.
    pub offset: u64,
    /// How many octets.
    pub bytes: u64,
}

/// Something that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// In which segment, 0 for the journal's own files.
    pub segment: u32,
    /// Where, in octets from its beginning.
    pub offset: u64,
    /// In which frame, where it can be told.
    pub slot: Option<u32>,
    /// What.
    pub what: What,
}

/// How far a journal had come: what an index is believed by after a clean stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The journal's random name.
    pub journal: [u8; 16],
    /// Its incarnation.
    pub incarnation: u32,
    /// The number of the last batch.
    pub batch: u64,
}

/// How much [`Journal::maintain`] may do in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Frames whose payloads are erased.
    pub frames: u32,
    /// Octets that compaction copies.
    pub bytes: u64,
}

/// The one writer.
pub struct Journal {}

impl Journal {
    /// Opens the journal in `disk`'s directory `journal/`, or makes it. What was never acknowledged
    /// is cut; what was is durable when this returns, or named in the [`Recovery`].
    pub fn open(
        _disk: Arc<dyn Disk>,
        _options: Options,
        _entropy: Arc<dyn Entropy>,
    ) -> Result<(Journal, Recovery), OpenError> {
        todo!()
    }

    /// Appends `batches`, each whole or not at all, with one write and one sync for as many as fit
    /// into a group. When this returns `Ok` for a batch, it is durable and readable; the addresses
    /// are those of its entries, in order: consecutive slots of one segment.
    pub fn append(&mut self, _batches: &[Vec<Entry>]) -> Vec<Result<Vec<Address>, AppendError>> {
        todo!()
    }

    /// What others read by.
    pub fn reader(&self) -> Reader {
        todo!()
    }

    /// How far the journal has come.
    pub fn position(&self) -> Position {
        todo!()
    }

    /// The heads of all accounts, for an index.
    pub fn heads(&self) -> Vec<(AccountNumber, AccountHead)> {
        todo!()
    }

    /// Erases what durable tombstones name and compacts segments, within `budget`. `true` if there
    /// is more to do.
    pub fn maintain(&mut self, _budget: Budget) -> bool {
        todo!()
    }

    /// Seals the last segment so that the next open need not read it. The position is to be written
    /// beside the index.
    pub fn close(self) -> Result<Position, std::io::Error> {
        todo!()
    }
}
