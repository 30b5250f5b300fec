//! Bodies above [`super::INLINE_BODY_BYTES_MAX`]: a file each, durable before the frame that names
//! it.
//!
//! In a segment such a body would keep every other writer waiting for its sync. A file whose frame
//! never became durable is an orphan and is swept at the next open.

use super::error::{ReadError, What};
use super::format::FrameHeader;
use crate::base::crypto;
use crate::base::disk::{Disk, DiskFile};
use crate::base::ids::ObjectId;
use std::io;

/// The directory of large bodies.
pub(super) const LARGE_DIR: &str = "journal/large";
/// Octets between two syncs of one file, so that no other writer waits for a long one.
const SYNC_EVERY_BYTES: usize = 4 << 20;

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
/// result must have the same `object`. After an error the file is removed, as far as that works;
/// what is left is an orphan.
pub fn write_large(disk: &dyn Disk, object: ObjectId, bytes: &[u8]) -> io::Result<LargeBody> {
    let path = path(&object);
    let file = disk.create(&path)?;
    let written = write_whole(&*file, bytes).and_then(|()| disk.sync_dir(LARGE_DIR));
    if let Err(error) = written {
        // A second error here changes nothing: the file stays as an orphan.
        let _ = disk.remove(&path);
        return Err(error);
    }
    Ok(LargeBody { object, bytes: bytes.len() as u64, sha256: crypto::sha256(&[bytes]) })
}

fn write_whole(file: &dyn DiskFile, bytes: &[u8]) -> io::Result<()> {
    let mut offset = 0;
    for part in bytes.chunks(SYNC_EVERY_BYTES) {
        file.write_at(offset, part)?;
        file.sync_data()?;
        offset += part.len() as u64;
    }
    Ok(())
}

/// Takes the body of `object` away again: no entry names it, and none ever will.
pub fn remove_large(disk: &dyn Disk, object: ObjectId) -> io::Result<()> {
    disk.remove(&path(&object))
}

/// The first `bytes` octets of the body that `header` names.
pub(super) fn read(
    disk: &dyn Disk,
    header: &FrameHeader,
    bytes: u64,
) -> Result<Vec<u8>, ReadError> {
    let damaged = ReadError::Damaged(header.at, What::LargeFile);
    let file = disk.open(&path(&header.object)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => damaged,
        kind => ReadError::Io(kind),
    })?;
    let len = file.len().map_err(|error| ReadError::Io(error.kind()))?;
    if len != header.body_bytes {
        return Err(damaged);
    }
    let mut out = vec![0; bytes as usize];
    file.read_at(0, &mut out).map_err(|error| ReadError::Io(error.kind()))?;
    Ok(out)
}

/// Where the body of `object` is.
pub(super) fn path(object: &ObjectId) -> String {
    format!("{LARGE_DIR}/{object}")
}
