//! What is held in memory of every segment: where its frames stand and which are dead.
//!
//! Four octets and two bits a frame, so that a million stored messages cost some five megabytes.

use super::entry::{AccountHead, Address, Class, INLINE_BODY_BYTES_MAX};
use super::format::{AccountSummary, BodyKind, FrameHeader, Keys, Summary};
use super::reader::Identity;
use crate::base::disk::{Disk, DiskFile};
use crate::base::ids::{AccountNumber, ObjectId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What the writer and all readers share.
pub(super) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub keys: Keys,
    pub identity: Identity,
    tables: RwLock<Tables>,
}

impl Shared {
    pub fn new(disk: Arc<dyn Disk>, keys: Keys, identity: Identity, tables: Tables) -> Self {
        Shared { disk, keys, identity, tables: RwLock::new(tables) }
    }

    pub fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn tables_mut(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// All that readers may see: only what is durable.
#[derive(Default)]
pub(super) struct Tables {
    pub segments: BTreeMap<u32, Segment>,
    pub heads: HashMap<AccountNumber, AccountHead>,
}

impl Tables {
    /// Takes what a segment says of its accounts into the heads. In the order of segments.
    pub fn fold(&mut self, segment: u32, summary: &Summary) {
        for account in &summary.accounts {
            let head = self.heads.entry(account.account).or_default();
            if let Some(slot) = account.last_slot {
                head.last = Some(Address { segment, slot });
            }
            if account.has_record {
                head.arrivals_since_record = 0;
            }
            head.arrivals_since_record =
                head.arrivals_since_record.saturating_add(account.arrivals);
            head.bytes = head.bytes.saturating_add(account.bytes);
        }
    }

    /// Takes a frame that has just become durable into its account's head.
    pub fn note(&mut self, frame: &FrameHeader) {
        let head = self.heads.entry(frame.account).or_default();
        match frame.class {
            Class::Tombstone => return,
            Class::Arrival => {
                head.arrivals_since_record = head.arrivals_since_record.saturating_add(1);
            }
            Class::Account => head.arrivals_since_record = 0,
        }
        head.last = Some(frame.at);
        head.bytes = head.bytes.saturating_add(frame.charged_bytes());
    }

    /// Marks a frame dead. `false` if it is not known or was dead already.
    pub fn kill(&mut self, at: Address, bytes: u64) -> bool {
        let Some(segment) = self.segments.get_mut(&at.segment) else { return false };
        if at.slot as usize >= segment.offsets.len() || !segment.dead.set(at.slot) {
            return false;
        }
        segment.dead_bytes += weight(bytes);
        segment.unerased += 1;
        true
    }

    /// Gives octets of dead frames back to their account.
    pub fn release(&mut self, account: AccountNumber, bytes: u64) {
        let head = self.heads.entry(account).or_default();
        head.bytes = head.bytes.saturating_sub(bytes);
    }
}

/// One segment.
pub(super) struct Segment {
    pub file: Arc<dyn DiskFile>,
    /// Behind the last octet of durable batches.
    pub data_end: u64,
    /// Slot to offset of the frame header; 0 where it could not be read.
    pub offsets: Vec<u32>,
    pub dead: Bits,
    pub erased: Bits,
    /// Dead frames that the disk did not erase at their turn; tried again after the others.
    pub put_off: Bits,
    /// Dead frames that are not erased yet.
    pub unerased: u32,
    pub dead_bytes: u64,
    pub dropped_bytes: u64,
    pub sealed: bool,
}

impl Segment {
    pub fn new(file: Arc<dyn DiskFile>, data_end: u64, offsets: Vec<u32>) -> Self {
        Segment {
            file,
            data_end,
            offsets,
            dead: Bits::default(),
            erased: Bits::default(),
            put_off: Bits::default(),
            unerased: 0,
            dead_bytes: 0,
            dropped_bytes: 0,
            sealed: false,
        }
    }

    /// Takes what is dead as erased.
    pub fn all_erased(&mut self) {
        self.erased = self.dead.clone();
        self.unerased = 0;
    }

    /// Notes that a dead frame's payload is gone.
    pub fn mark_erased(&mut self, slot: u32) {
        if self.dead.get(slot) && self.erased.set(slot) {
            self.unerased -= 1;
        }
    }
}

/// What a dead frame of `bytes` octets counts for when it is decided whether to compact: a large
/// body is not in the segment, and heads beside one are small.
pub(super) fn weight(bytes: u64) -> u64 {
    if bytes > INLINE_BODY_BYTES_MAX as u64 { 0 } else { bytes }
}

/// A growing set of slots.
#[derive(Clone, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub fn get(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Adds a slot; `false` if it was there.
    pub fn set(&mut self, slot: u32) -> bool {
        let word = slot as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] >> (slot % 64) & 1 == 0;
        self.0[word] |= 1 << (slot % 64);
        new
    }
}

impl Bits {
    /// The lowest slot that is in this set and in none of the others.
    pub fn first_not_in(&self, others: [&Bits; 2]) -> Option<u32> {
        let words = self.0.iter().enumerate();
        let other = |at: usize| {
            others.iter().fold(0, |set, bits| set | bits.0.get(at).copied().unwrap_or(0))
        };
        let mut left = words.map(|(at, word)| (at, word & !other(at)));
        let (at, word) = left.find(|(_, word)| *word != 0)?;
        Some(at as u32 * 64 + word.trailing_zeros())
    }
}

/// Builds what a segment's footer will say.
#[derive(Clone, Default)]
pub(super) struct Builder {
    pub offsets: Vec<u32>,
    accounts: BTreeMap<AccountNumber, AccountSummary>,
    tombstones: Vec<u32>,
    large: Vec<(u32, ObjectId)>,
    pub dropped_bytes: u64,
}

impl Builder {
    /// Adds a frame. `false`, and nothing is changed, if its slot is taken.
    pub fn add(&mut self, offset: u64, frame: &FrameHeader) -> bool {
        let slot = frame.at.slot as usize;
        if self.offsets.get(slot).is_some_and(|held| *held != 0) {
            return false;
        }
        if self.offsets.len() <= slot {
            self.offsets.resize(slot + 1, 0);
        }
        self.offsets[slot] = offset as u32;
        self.summarise(frame);
        true
    }

    fn summarise(&mut self, frame: &FrameHeader) {
        let slot = frame.at.slot;
        if frame.body_kind == BodyKind::Large {
            self.large.push((slot, frame.object));
        }
        if !frame.present {
            self.dropped_bytes += weight(frame.charged_bytes());
        }
        let account = self.accounts.entry(frame.account).or_insert(AccountSummary {
            account: frame.account,
            last_slot: None,
            has_record: false,
            arrivals: 0,
            bytes: 0,
        });
        account.bytes += frame.charged_bytes();
        match frame.class {
            Class::Tombstone => {
                account.bytes -= frame.charged_bytes();
                self.tombstones.push(slot);
            }
            Class::Arrival => {
                account.last_slot = Some(slot);
                account.arrivals += 1;
            }
            Class::Account => {
                account.last_slot = Some(slot);
                account.has_record = true;
                account.arrivals = 0;
            }
        }
    }

    pub fn summary(&self) -> Summary {
        Summary {
            accounts: self.accounts.values().copied().collect(),
            tombstones: self.tombstones.clone(),
            large: self.large.clone(),
        }
    }
}
