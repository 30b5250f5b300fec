//! The on-disk format, octet by octet.
//!
//! # Files
//! All in the directory `journal/`; integers are little-endian.
//!
//! | name | what |
//! |---|---|
//! | `identity` | random names, incarnation, and which file this is (see `identity.rs`) |
//! | `00000001.segment` … | the segments, from 1 upwards; no number is given twice |
//! | `large/<object id>` | bodies above 256 KiB, a file each: the octets and nothing else |
//! | `reserve` | zeros, held back for erases when the disk is full |
//! | `*.new` | what was being written when the process ended; removed at open |
//!
//! # A segment
//! ```text
//! segment header 160 octets
//! then again and again: batch header 136, and for each of its frames: header 160, head, body
//! footer
//! ```
//! *Segment header*: magic `PSJRNL1\n` · format version u32 · feature bits u32 · journal id 16 ·
//! server id 16 · segment u32 · epoch u32 · incarnation u32 · carried frames u32 · previous segment
//! u32 (0: none) · 0 u32 · previous segment's end u64 · MAC of the last batch that counts there 32
//! · that batch's number u64 · 0 u64 · tag 32. What a previous segment holds behind the batch named
//! here was never acknowledged. This layout is kept by all versions, so that a newer one is told
//! from damage. When *carried frames* is not 0, the first batch repeats what stood unmarked at the
//! previous segment's end; the header then counts only together with that batch.
//!
//! *Batch header*: magic u32 · segment u32 · epoch u32 · frames u32 · batch number u64 · durable
//! below u64 (an offset in this segment) · octets of the batch, headers included, u64 · first slot
//! u32 · 0 u32 · number of the batch before u64 · its MAC 32 · tag 16 · MAC 32. A batch counts
//! whole or not at all. Numbers rise; one that is left out belonged to a write that failed.
//!
//! *Frame header*: magic u32 · segment u32 · slot u32 · epoch u32 · batch number u64 · class u8 ·
//! body kind u8 · 0 u16 · account u32 · object id 16 · previous frame of the account (segment u32,
//! slot u32; 0/0: none) · head length u32 · 0 u32 · body length u64 · SHA-256 of the head 32 ·
//! SHA-256 of the body 32 · presence u32 (1: payloads follow, 0: dropped by compaction) · 0 u32 ·
//! tag 16.
//!
//! *Footer* of a sealed segment: a table (postcard) · magic `PSFOOT1\n` · length of the table u64 ·
//! tag 32. It holds for each slot the offset of its frame header, and what a rebuild needs: a
//! summary for each account, the slots of tombstones, the objects of large bodies. Damaged, it is
//! found again by walking the segment.
//!
//! *Tombstone*: a frame whose head lists segment u32, slot u32, octets freed u64 for each dead
//! frame.
//!
//! # Tags, MACs, and what they cover
//! Every key is derived from the journal key and the journal id, one label a use. Tags are
//! HMAC-SHA256 of the structure they stand in (128 bits of it in batch and frame headers). A
//! batch's MAC is HMAC(MAC of the batch before ‖ batch header ‖ frame headers up to the body's
//! digest): cuts, inserts, repeats and swaps break the chain, and because frame headers hold the
//! digests of the payloads, payloads may be erased or dropped while the chain stays verifiable.
//! Only a frame's presence is outside the chain (it changes by compaction) and inside the frame's
//! tag.
//!
//! # Marks
//! A batch header says below which offset all was durable when it was written. Bad octets below the
//! highest such mark are damage: kept, named, stepped over. Above, they were never acknowledged:
//! cut, and what follows goes to a new segment under a higher epoch. A footer, or a segment that
//! names this one as its predecessor, marks all of it.
//!
//! # Limits
//! Segments below 4 GiB (offsets are u32), heads and inline bodies as in `entry`.
//!
//! # Known gaps
//! Damage to the very last batch, when no mark follows it, cannot be told from a torn write and is
//! cut (and reported as a cut). The writer adds a mark when it has nothing else to do. Removal of
//! whole segments at the end is not noticed, nor is a whole directory put back to an older state.

use super::entry::{Address, Class};
use crate::base::crypto::{self, Key};
use crate::base::ids::{AccountNumber, ObjectId};
use serde::{Deserialize, Serialize};

/// The format version of segments that this version writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The feature bits that this version knows: none yet.
pub const FEATURES_KNOWN: u32 = 0;
/// Octets of a segment header.
pub const SEGMENT_HEADER_BYTES: u64 = 160;
/// Octets of a batch header.
pub const BATCH_HEADER_BYTES: u64 = 136;
/// Octets of a frame header.
pub const FRAME_HEADER_BYTES: u64 = 160;
/// Octets behind the table of a footer.
pub const TRAILER_BYTES: u64 = 48;
/// Octets for each frame that a tombstone names.
pub const TOMBSTONE_ENTRY_BYTES: usize = 16;

const SEGMENT_MAGIC: &[u8; 8] = b"PSJRNL1\n";
const FOOTER_MAGIC: &[u8; 8] = b"PSFOOT1\n";
/// The first octets of a batch header.
pub(super) const BATCH_MAGIC: [u8; 4] = *b"\xB1PSb";
/// The first octets of a frame header.
pub(super) const FRAME_MAGIC: [u8; 4] = *b"\xF1PSf";
const SEGMENT_TAGGED: usize = 128;
const BATCH_TAGGED: usize = 88;
const FRAME_CHAINED: usize = 136;
const FRAME_TAGGED: usize = 144;

/// A MAC of the chain.
pub(super) type Mac = [u8; 32];

/// The keys of one journal, a label each.
pub(super) struct Keys {
    segment: Key,
    batch: Key,
    chain: Key,
    frame: Key,
    footer: Key,
}

impl Keys {
    /// The keys of the journal named `journal` under the server's journal key.
    pub fn derive(journal_key: &Key, journal: &[u8; 16]) -> Self {
        let key = |label| crypto::derive(journal_key.expose(), journal, label);
        Keys {
            segment: key("postseal journal segment header 1"),
            batch: key("postseal journal batch header 1"),
            chain: key("postseal journal chain 1"),
            frame: key("postseal journal frame header 1"),
            footer: key("postseal journal footer 1"),
        }
    }
}

/// The beginning of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub version: u32,
    pub features: u32,
    pub journal: [u8; 16],
    pub server: [u8; 16],
    pub segment: u32,
    pub epoch: u32,
    pub incarnation: u32,
    pub carried: u32,
    pub previous: Link,
}

/// Up to where the segment before counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// Its number, 0 if this is the first.
    pub segment: u32,
    /// Its end when the link was written, in octets.
    pub end: u64,
    /// The number of the last batch that counts, there or before.
    pub batch: u64,
    /// That batch's MAC.
    pub mac: Mac,
}

impl SegmentHeader {
    pub fn encode(&self, keys: &Keys) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES as usize);
        out.extend_from_slice(SEGMENT_MAGIC);
        put_u32(&mut out, self.version);
        put_u32(&mut out, self.features);
        out.extend_from_slice(&self.journal);
        out.extend_from_slice(&self.server);
        put_u32(&mut out, self.segment);
        put_u32(&mut out, self.epoch);
        put_u32(&mut out, self.incarnation);
        put_u32(&mut out, self.carried);
        put_u32(&mut out, self.previous.segment);
        put_u32(&mut out, 0);
        put_u64(&mut out, self.previous.end);
        out.extend_from_slice(&self.previous.mac);
        put_u64(&mut out, self.previous.batch);
        put_u64(&mut out, 0);
        debug_assert_eq!(out.len(), SEGMENT_TAGGED);
        let tag = crypto::hmac(&keys.segment, &[&out]);
        out.extend_from_slice(&tag);
        out
    }

    /// The header, if its tag is right; of whatever version.
    pub fn decode(bytes: &[u8], keys: &Keys) -> Option<Self> {
        let header = Self::read(bytes)?;
        let tag = crypto::hmac(&keys.segment, &[&bytes[..SEGMENT_TAGGED]]);
        let end = SEGMENT_HEADER_BYTES as usize;
        crypto::equal(&tag, &bytes[SEGMENT_TAGGED..end]).then_some(header)
    }

    /// The journal id that the header claims, to derive keys by.
    pub fn claimed_journal(bytes: &[u8]) -> Option<[u8; 16]> {
        Self::read(bytes).map(|header| header.journal)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < SEGMENT_HEADER_BYTES as usize || !bytes.starts_with(SEGMENT_MAGIC) {
            return None;
        }
        Some(SegmentHeader {
            version: u32_at(bytes, 8),
            features: u32_at(bytes, 12),
            journal: array_at(bytes, 16),
            server: array_at(bytes, 32),
            segment: u32_at(bytes, 48),
            epoch: u32_at(bytes, 52),
            incarnation: u32_at(bytes, 56),
            carried: u32_at(bytes, 60),
            previous: Link {
                segment: u32_at(bytes, 64),
                end: u64_at(bytes, 72),
                mac: array_at(bytes, 80),
                batch: u64_at(bytes, 112),
            },
        })
    }
}

/// The beginning of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub segment: u32,
    pub epoch: u32,
    pub frames: u32,
    pub batch: u64,
    pub durable_below: u64,
    pub bytes: u64,
    pub first_slot: u32,
    pub previous_batch: u64,
    pub previous_mac: Mac,
    pub mac: Mac,
}

impl BatchHeader {
    /// The header's octets, and in `self.mac` its MAC over `chained` (see
    /// [`FrameHeader::chained`]).
    pub fn encode(&mut self, keys: &Keys, chained: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(BATCH_HEADER_BYTES as usize);
        out.extend_from_slice(&BATCH_MAGIC);
        put_u32(&mut out, self.segment);
        put_u32(&mut out, self.epoch);
        put_u32(&mut out, self.frames);
        put_u64(&mut out, self.batch);
        put_u64(&mut out, self.durable_below);
        put_u64(&mut out, self.bytes);
        put_u32(&mut out, self.first_slot);
        put_u32(&mut out, 0);
        put_u64(&mut out, self.previous_batch);
        out.extend_from_slice(&self.previous_mac);
        debug_assert_eq!(out.len(), BATCH_TAGGED);
        let tag = crypto::hmac(&keys.batch, &[&out]);
        self.mac = crypto::hmac(&keys.chain, &[&self.previous_mac, &out, chained]);
        out.extend_from_slice(&tag[..16]);
        out.extend_from_slice(&self.mac);
        out
    }

    /// The header, if its tag is right. The MAC is checked by [`BatchHeader::covers`].
    pub fn decode(bytes: &[u8], keys: &Keys) -> Option<Self> {
        if bytes.len() < BATCH_HEADER_BYTES as usize || !bytes.starts_with(&BATCH_MAGIC) {
            return None;
        }
        let tag = crypto::hmac(&keys.batch, &[&bytes[..BATCH_TAGGED]]);
        if !crypto::equal(&tag[..16], &bytes[BATCH_TAGGED..BATCH_TAGGED + 16]) {
            return None;
        }
        Some(BatchHeader {
            segment: u32_at(bytes, 4),
            epoch: u32_at(bytes, 8),
            frames: u32_at(bytes, 12),
            batch: u64_at(bytes, 16),
            durable_below: u64_at(bytes, 24),
            bytes: u64_at(bytes, 32),
            first_slot: u32_at(bytes, 40),
            previous_batch: u64_at(bytes, 48),
            previous_mac: array_at(bytes, 56),
            mac: array_at(bytes, 104),
        })
    }

    /// Whether the MAC is right for these octets of the header and these of the frame headers.
    pub fn covers(&self, keys: &Keys, encoded: &[u8], chained: &[u8]) -> bool {
        let mac =
            crypto::hmac(&keys.chain, &[&self.previous_mac, &encoded[..BATCH_TAGGED], chained]);
        crypto::equal(&mac, &self.mac)
    }
}

/// Where a frame's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    None,
    Inline,
    Large,
}

/// The beginning of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub at: Address,
    pub epoch: u32,
    pub batch: u64,
    pub class: Class,
    pub body_kind: BodyKind,
    pub account: AccountNumber,
    pub object: ObjectId,
    pub previous: Option<Address>,
    pub head_bytes: u32,
    pub body_bytes: u64,
    pub head_sha256: [u8; 32],
    pub body_sha256: [u8; 32],
    pub present: bool,
}

impl FrameHeader {
    pub fn encode(&self, keys: &Keys) -> [u8; FRAME_HEADER_BYTES as usize] {
        let mut out = Vec::with_capacity(FRAME_HEADER_BYTES as usize);
        out.extend_from_slice(&FRAME_MAGIC);
        put_u32(&mut out, self.at.segment);
        put_u32(&mut out, self.at.slot);
        put_u32(&mut out, self.epoch);
        put_u64(&mut out, self.batch);
        out.extend_from_slice(&[class_code(self.class), self.body_kind as u8, 0, 0]);
        put_u32(&mut out, self.account.0);
        out.extend_from_slice(&self.object.0);
        let previous = self.previous.unwrap_or(Address { segment: 0, slot: 0 });
        put_u32(&mut out, previous.segment);
        put_u32(&mut out, previous.slot);
        put_u32(&mut out, self.head_bytes);
        put_u32(&mut out, 0);
        put_u64(&mut out, self.body_bytes);
        out.extend_from_slice(&self.head_sha256);
        out.extend_from_slice(&self.body_sha256);
        debug_assert_eq!(out.len(), FRAME_CHAINED);
        put_u32(&mut out, self.present as u32);
        put_u32(&mut out, 0);
        let tag = crypto::hmac(&keys.frame, &[&out]);
        out.extend_from_slice(&tag[..16]);
        out.try_into().expect("the fields above have the header's length")
    }

    /// The header, if its tag is right.
    pub fn decode(bytes: &[u8], keys: &Keys) -> Option<Self> {
        if bytes.len() < FRAME_HEADER_BYTES as usize || !bytes.starts_with(&FRAME_MAGIC) {
            return None;
        }
        let tag = crypto::hmac(&keys.frame, &[&bytes[..FRAME_TAGGED]]);
        if !crypto::equal(&tag[..16], &bytes[FRAME_TAGGED..FRAME_HEADER_BYTES as usize]) {
            return None;
        }
        let previous = Address { segment: u32_at(bytes, 48), slot: u32_at(bytes, 52) };
        Some(FrameHeader {
            at: Address { segment: u32_at(bytes, 4), slot: u32_at(bytes, 8) },
            epoch: u32_at(bytes, 12),
            batch: u64_at(bytes, 16),
            class: class_of(bytes[24])?,
            body_kind: body_kind_of(bytes[25])?,
            account: AccountNumber(u32_at(bytes, 28)),
            object: ObjectId(array_at(bytes, 32)),
            previous: (previous.segment != 0).then_some(previous),
            head_bytes: u32_at(bytes, 56),
            body_bytes: u64_at(bytes, 64),
            head_sha256: array_at(bytes, 72),
            body_sha256: array_at(bytes, 104),
            present: u32_at(bytes, 136) == 1,
        })
    }

    /// The octets of an encoded header that the chain covers.
    pub fn chained(encoded: &[u8]) -> &[u8] {
        &encoded[..FRAME_CHAINED]
    }

    /// Octets that follow the header in the segment.
    pub fn payload_bytes(&self) -> u64 {
        match (self.present, self.body_kind) {
            (false, _) => 0,
            (true, BodyKind::Inline) => u64::from(self.head_bytes) + self.body_bytes,
            (true, _) => u64::from(self.head_bytes),
        }
    }

    /// Octets that count for the account: head and body, wherever the body is.
    pub fn charged_bytes(&self) -> u64 {
        u64::from(self.head_bytes) + self.body_bytes
    }
}

/// What a sealed segment holds, at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Footer {
    pub segment: u32,
    pub epoch: u32,
    /// Where the last batch ends and the footer begins.
    pub data_end: u64,
    pub last_batch: u64,
    pub last_mac: Mac,
    /// Octets of payloads that compaction dropped.
    pub dropped_bytes: u64,
    /// Whether all that was dead anywhere had been erased when this was written.
    pub erases_done: bool,
    /// For each slot the offset of its frame header, 0 where none could be read.
    pub offsets: Vec<u32>,
    pub summary: Summary,
}

/// What a rebuild needs of a segment besides its offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// Sorted by account.
    pub accounts: Vec<AccountSummary>,
    /// The slots of tombstones.
    pub tombstones: Vec<u32>,
    /// The slots and objects of frames with a large body.
    pub large: Vec<(u32, ObjectId)>,
}

/// One account's part in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccountSummary {
    pub account: AccountNumber,
    /// Its last frame here of class arrival or account.
    pub last_slot: Option<u32>,
    /// Whether there is an account record here.
    pub has_record: bool,
    /// Arrivals behind the last account record here, or all if there is none.
    pub arrivals: u32,
    /// Octets of heads and bodies appended here.
    pub bytes: u64,
}

impl Footer {
    pub fn encode(&self, keys: &Keys) -> Vec<u8> {
        let mut out = postcard::to_allocvec(self).expect("plain integers always serialise");
        let len = (out.len() as u64).to_le_bytes();
        let tag = crypto::hmac(&keys.footer, &[&out, &len]);
        out.extend_from_slice(FOOTER_MAGIC);
        out.extend_from_slice(&len);
        out.extend_from_slice(&tag);
        out
    }

    /// The length of the table that `trailer`, a file's last octets, claims, and whether it begins
    /// as one.
    pub fn table_bytes(trailer: &[u8; TRAILER_BYTES as usize]) -> (u64, bool) {
        (u64_at(trailer, 8), trailer.starts_with(FOOTER_MAGIC))
    }

    /// The footer, if its tag is right.
    pub fn decode(table: &[u8], trailer: &[u8], keys: &Keys) -> Option<Self> {
        let len = (table.len() as u64).to_le_bytes();
        let tag = crypto::hmac(&keys.footer, &[table, &len]);
        if trailer.len() != TRAILER_BYTES as usize || !crypto::equal(&tag, &trailer[16..]) {
            return None;
        }
        postcard::from_bytes(table).ok()
    }
}

/// The list of a tombstone as it is handed in: segment and slot, each 4 octets. What is written has
/// the octets freed with each ([`encode_dead`]).
pub(super) fn encode_addresses(dead: &[Address]) -> Vec<u8> {
    let mut out = Vec::with_capacity(dead.len() * 8);
    for at in dead {
        put_u32(&mut out, at.segment);
        put_u32(&mut out, at.slot);
    }
    out
}

/// What [`encode_addresses`] made.
pub(super) fn decode_addresses(head: &[u8]) -> Option<Vec<Address>> {
    let (entries, rest) = head.as_chunks::<8>();
    let address = |entry: &[u8; 8]| Address { segment: u32_at(entry, 0), slot: u32_at(entry, 4) };
    rest.is_empty().then(|| entries.iter().map(address).collect())
}

/// The head of a tombstone: dead frames and the octets that each frees.
pub(super) fn encode_dead(dead: &[(Address, u64)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(dead.len() * TOMBSTONE_ENTRY_BYTES);
    for (at, bytes) in dead {
        put_u32(&mut out, at.segment);
        put_u32(&mut out, at.slot);
        put_u64(&mut out, *bytes);
    }
    out
}

/// What [`encode_dead`] made.
pub(super) fn decode_dead(head: &[u8]) -> Option<Vec<(Address, u64)>> {
    let (entries, rest) = head.as_chunks::<TOMBSTONE_ENTRY_BYTES>();
    let dead = |entry: &[u8; TOMBSTONE_ENTRY_BYTES]| {
        let at = Address { segment: u32_at(entry, 0), slot: u32_at(entry, 4) };
        (at, u64_at(entry, 8))
    };
    rest.is_empty().then(|| entries.iter().map(dead).collect())
}

fn class_code(class: Class) -> u8 {
    match class {
        Class::Arrival => 1,
        Class::Account => 2,
        Class::Tombstone => 3,
    }
}

fn class_of(code: u8) -> Option<Class> {
    match code {
        1 => Some(Class::Arrival),
        2 => Some(Class::Account),
        3 => Some(Class::Tombstone),
        _ => None,
    }
}

fn body_kind_of(code: u8) -> Option<BodyKind> {
    [BodyKind::None, BodyKind::Inline, BodyKind::Large].into_iter().find(|kind| *kind as u8 == code)
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
