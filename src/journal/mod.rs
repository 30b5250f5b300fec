//! The journal: the append-only, authenticated log that is the one truth on disk.
//!
//! A machine over the trait `base::disk::Disk`: no thread, no clock, no file of its own. `host`
//! owns the [`Journal`] in one thread and gathers what all tasks submit; every task reads through a
//! [`Reader`]. [`mod@format`] describes every octet.

mod append;
mod entry;
mod error;
pub mod events;
pub mod format;
pub mod fsck;
mod identity;
mod large;
mod maintain;
mod open;
mod reader;
mod recover;
mod reserve;
#[cfg(test)]
mod sim_tests;
mod table;
#[cfg(test)]
mod tests;
mod walk;

pub use append::GROUP_BYTES_MAX;
pub use entry::{
    AccountHead, Address, Body, Class, Entry, FrameInfo, HEAD_BYTES_MAX, INLINE_BODY_BYTES_MAX,
    TOMBSTONE_ADDRESSES_MAX,
};
pub use error::{AppendError, OpenError, ReadError, What};
pub use large::{LargeBody, remove_large, write_large};
pub use reader::{Identity, Reader};

use crate::base::crypto::Key;
use crate::base::ids::AccountNumber;
use append::Active;
use format::Link;
use maintain::Compaction;
use open::Leftovers;
use reserve::Reserve;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use table::Shared;

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
    /// The heads that an index holds and the position it was closed at. They are believed only if
    /// the journal was closed cleanly at that very position; else the heads are made from the
    /// footers.
    pub index: Option<(Position, Vec<(AccountNumber, AccountHead)>)>,
    /// Where the journal stood at the last clean stop, if it was not opened since. Files that no
    /// frame names are removed only if it stands there still: else a frame that names them may be
    /// missing.
    pub stopped_at: Option<Position>,
}

impl Options {
    /// The defaults, under `journal_key`: segments of 64 MiB, a reserve of 64 MiB.
    pub fn new(journal_key: Key) -> Self {
        let (segment_bytes_max, reserve_bytes) = (64 << 20, 64 << 20);
        Options { journal_key, segment_bytes_max, reserve_bytes, index: None, stopped_at: None }
    }

    /// Small segments and no reserve, for journals in memory.
    pub fn small(journal_key: Key) -> Self {
        Options { segment_bytes_max: 64 << 10, reserve_bytes: 0, ..Options::new(journal_key) }
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

impl Damage {
    /// Of the journal as a whole.
    fn of_all(what: What) -> Damage {
        Damage { segment: 0, offset: 0, slot: None, what }
    }
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

impl Position {
    /// Whether it is behind `batch` of the journal with this name. The copy of a journal keeps its
    /// name.
    fn is_beyond(&self, journal: &[u8; 16], batch: u64) -> bool {
        self.journal == *journal && self.batch > batch
    }
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
pub struct Journal {
    shared: Arc<Shared>,
    options: Options,
    active: Option<Active>,
    /// What the next segment continues.
    link: Link,
    next_number: u32,
    next_epoch: u32,
    next_batch: u64,
    reserve: Reserve,
    /// The group that is being written.
    buffer: Vec<u8>,
    compaction: Option<Compaction>,
    /// Segments that could not be compacted; not tried again in this life.
    uncompactable: BTreeSet<u32>,
    /// Segments with erased frames whose erasing was not synced yet.
    punched: BTreeSet<u32>,
    found: Leftovers,
}

impl Journal {
    /// What others read by.
    pub fn reader(&self) -> Reader {
        Reader(self.shared.clone())
    }

    /// How far the journal has come.
    pub fn position(&self) -> Position {
        let link = self.active.as_ref().map_or(self.link, |active| active.link);
        let identity = self.shared.identity;
        let (journal, incarnation) = (identity.journal, identity.incarnation);
        Position { journal, incarnation, batch: link.batch }
    }

    /// The heads of all accounts, for an index.
    pub fn heads(&self) -> Vec<(AccountNumber, AccountHead)> {
        self.reader().accounts()
    }

    /// Whether the disk is full and only what frees space is taken.
    pub fn is_full(&self) -> bool {
        self.reserve.is_spent()
    }

    /// Erases what is still to be erased and seals the last segment, so that the next open need not
    /// read it. The position is to be written beside the index.
    pub fn close(mut self) -> io::Result<Position> {
        let erases_done = self.erase_all();
        let position = self.position();
        if let Some(active) = self.active.take() {
            self.write_footer(active.number, active.link, &active.builder, erases_done)?;
        }
        Ok(position)
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal")
    }
}
