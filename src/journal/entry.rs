//! What is written to the journal, and where it stands: addresses, classes, entries, heads.

use super::large::LargeBody;
use crate::base::ids::{AccountNumber, ObjectId};
use serde::{Deserialize, Serialize};

/// Where a frame stands. It never changes: compaction keeps segment numbers and slots.
///
/// Addresses order as frames were appended. The entries of one batch get consecutive slots of one
/// segment, in the order of the batch; an entry that must point at another one of its own batch
/// therefore says how many slots before or behind it that one is, because the address itself is
/// given later, and again when an unmarked tail is carried into a new segment after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The segment's number; the first is 1.
    pub segment: u32,
    /// The frame's place among the frames of its segment, from 0.
    pub slot: u32,
}

/// What a frame is. Stands in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// A sealed message with its sealed arrival record.
    Arrival,
    /// A sealed record of one account.
    Account,
    /// The addresses of frames that are to be erased.
    Tombstone,
}

/// One frame to be appended.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is.
    pub class: Class,
    /// Whose it is.
    pub account: AccountNumber,
    /// Its random name.
    pub object: ObjectId,
    /// The first payload, read on its own: a sealed record. At most [`HEAD_BYTES_MAX`].
    pub head: Vec<u8>,
    /// The second payload.
    pub body: Body,
}

/// Octets that an entry's head may have.
pub const HEAD_BYTES_MAX: usize = 1 << 20;
/// Octets that a body inside a segment may have; above, it must be written by
/// [`super::write_large`] first.
pub const INLINE_BODY_BYTES_MAX: usize = 256 << 10;
/// Frames that one tombstone may name. Each is looked at before the tombstone is written, so this
/// bounds how long one entry keeps all others waiting.
pub const TOMBSTONE_ADDRESSES_MAX: usize = 1024;

/// The second payload of an entry.
#[derive(Clone, Debug)]
pub enum Body {
    /// There is none.
    None,
    /// Inside the segment; at most [`INLINE_BODY_BYTES_MAX`].
    Inline(Vec<u8>),
    /// In a file of its own, already durable.
    Large(LargeBody),
}

impl Entry {
    /// An entry that marks `dead`, frames of `account`, to be erased once it is durable. At most
    /// [`TOMBSTONE_ADDRESSES_MAX`]; addresses that are dead already are left out in silence.
    pub fn tombstone(account: AccountNumber, object: ObjectId, dead: &[Address]) -> Entry {
        let head = super::format::encode_addresses(dead);
        Entry { class: Class::Tombstone, account, object, head, body: Body::None }
    }
}

/// What can be known of an account without any key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountHead {
    /// Its newest frame of class arrival or account; the way back is [`FrameInfo::previous`].
    pub last: Option<Address>,
    /// Arrivals behind its newest account record: what the tray holds at least.
    pub arrivals_since_record: u32,
    /// Octets of heads and bodies that are not dead, large bodies included.
    pub bytes: u64,
}

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo {
    /// What it is.
    pub class: Class,
    /// Whose it is.
    pub account: AccountNumber,
    /// Its random name.
    pub object: ObjectId,
    /// Octets of its head.
    pub head_bytes: u32,
    /// Octets of its body, 0 if there is none.
    pub body_bytes: u64,
    /// The SHA-256 of its body: what a sealed record in its head can be bound to.
    pub body_sha256: [u8; 32],
    /// The frame of class arrival or account that the same account had before this one.
    pub previous: Option<Address>,
    /// Whether a durable tombstone names it: its payloads are gone or will be soon.
    pub dead: bool,
}
