//! The on-disk format (to be described here).

use super::entry::Address;

/// The format version of segments that this version writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The list of a tombstone as it is handed in: segment and slot, little-endian, each 4 octets.
pub(super) fn encode_addresses(dead: &[Address]) -> Vec<u8> {
    dead.iter().flat_map(|at| [at.segment.to_le_bytes(), at.slot.to_le_bytes()].concat()).collect()
}
