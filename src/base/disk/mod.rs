//! The disk as the rooms see it: few operations, each with a stated durability.
//!
//! Nothing is durable until it is synced: file contents by [`DiskFile::sync_data`], names by
//! [`Disk::sync_dir`]. The real disk is in `host`; the twin in memory, which loses what was not
//! synced, tears writes and fails on demand, is in `memory`.
//!
//! Paths are relative to the disk's root, use `/`, and never contain `..`.

mod below;
pub mod memory;

pub use below::Below;

use std::io;
use std::sync::Arc;

/// A directory tree that files live in.
pub trait Disk: Send + Sync {
    /// Makes a new empty file; an existing one is an error of kind `AlreadyExists`.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading and writing; `NotFound` if there is none.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// The names of the entries of a directory, sorted; `NotFound` if there is no such directory.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes a directory and its parents; one that exists is no error. Mode 0700.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Renames a file over another, atomically; durable after `sync_dir` of the directory.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; durable after `sync_dir`.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// What tells this very file from a copy of it (inode and birth time, say).
    fn identity(&self, path: &str) -> io::Result<FileIdentity>;
    /// Octets that may still be written here, as far as the system knows.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file. Reads and writes name their place, so that many may use one handle.
pub trait DiskFile: Send + Sync {
    /// Fills `buffer` from `offset`; `UnexpectedEof` if the file is shorter.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`. After an error any part may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes contents and length durable. After an error nothing may be believed about what was
    /// written since the last success, and a later success does not mend that.
    fn sync_data(&self) -> io::Result<()>;
    /// The length, in octets.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves blocks so that the file may grow to `len` without running out of space; extends it
    /// with zeros. `StorageFull` if they are not there.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes a range read as zeros and gives its blocks back where the file system can.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Asks that the next reads come from the device and not from a cache. Best effort.
    fn drop_cache(&self) -> io::Result<()>;
}

/// What tells a file from a copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileIdentity {
    /// The inode number.
    pub inode: u64,
    /// Birth time in nanoseconds since 1970, or 0 where the file system keeps none.
    pub born_ns: u64,
}

/// Reads a whole file of at most `limit_bytes`; a longer one is `InvalidData`.
pub fn read_all(disk: &dyn Disk, path: &str, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let len = file.len()?;
    if len > limit_bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {len} octets")));
    }
    let mut bytes = vec![0; len as usize];
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
    file.read_at(0, &mut bytes).map_err(named)?;
    Ok(bytes)
}

/// Replaces (or makes) a small file so that after a power cut it is whole, the old or the new one:
/// write beside it, sync, rename, sync the directory. On return the new one is durable.
pub fn replace(disk: &dyn Disk, path: &str, bytes: &[u8]) -> io::Result<()> {
    let (dir, _) = path.rsplit_once('/').unwrap_or(("", path));
    let beside = format!("{path}.new");
    match disk.remove(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&beside)?;
    file.write_at(0, bytes)?;
    file.sync_data()?;
    disk.rename(&beside, path)?;
    disk.sync_dir(dir)
}
