//! Bodies above [`super::INLINE_BODY_BYTES_MAX`]: a file each, durable before the frame that names it.
//!
//! In a segment such a body would keep every other writer waiting for its sync. A file whose frame
//! never became durable is an orphan and is swept at the next open.

use crate::base::disk::Disk;
use crate::base::ids::ObjectId;
use std::io;

/// A body that is durable in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeBody {
    pub(super) object: ObjectId,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
}

impl LargeBody {
    /// Octets of the body.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Writes `bytes` to the file that `object` names and makes it durable. The entry that carries the
/// result must have the same `object`.
pub fn write_large(_disk: &dyn Disk, _object: ObjectId, _bytes: &[u8]) -> io::Result<LargeBody> {
    todo!()
}
