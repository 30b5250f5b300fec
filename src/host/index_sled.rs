//! The index in sled: account to head. A cache that may vanish, and is treated as one.
//!
//! After a power cut a sled database may be an older one, an empty one, or one that panics when it
//! is opened or read. So it is believed only after a clean stop: a marker file names the journal
//! and the position at which the database was closed and synced, and the digest of its rows (a
//! damaged database may open as an empty one without a word). The marker is removed, durably,
//! before the database is opened, and written, durably, after it was closed. Without a marker the
//! database is deleted and made anew from what the journal says.
//!
//! Every call into sled is inside `catch_unwind`; a database that fails is dropped and goes on
//! being absent, which nobody but the next start notices.

use crate::base::crypto;
use crate::base::disk::{self, Disk};
use crate::base::ids::AccountNumber;
use crate::journal::{AccountHead, Position};
use crate::store::Index;
use serde::{Deserialize, Serialize};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The directory of the database.
const INDEX_DIR: &str = "index";
/// Says that the database was closed cleanly, and where the journal was.
const MARKER_PATH: &str = "index.closed";
/// Octets that a marker may have.
const MARKER_BYTES_MAX: u64 = 256;
/// Octets of sled's cache; its default is a gigabyte.
const CACHE_BYTES: u64 = 8 << 20;
/// Milliseconds between sled's own flushes. Nothing depends on them.
const FLUSH_EVERY_MS: u64 = 10_000;

/// What an index that was closed cleanly holds, and where the journal was then.
pub type Claim = (Position, Vec<(AccountNumber, AccountHead)>);

/// Makes sure that the index of a stopped server is made anew at its next start.
pub fn forget(disk: &dyn Disk) -> io::Result<()> {
    match disk.remove(MARKER_PATH) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.sync_dir(""),
    }
}

/// Where the journal stood at the last clean stop, if it was not opened since. Changes nothing.
pub fn stopped_at(disk: &dyn Disk) -> Option<Position> {
    let marker = disk::read_all(disk, MARKER_PATH, MARKER_BYTES_MAX).ok()?;
    read_marker(&marker).map(|marker| marker.position)
}

/// The index in sled.
pub struct SledIndex {
    database: Mutex<Option<sled::Db>>,
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl SledIndex {
    /// Opens the index in the data directory `root`, which `disk` is. What it claims to hold is
    /// returned if it was closed cleanly; otherwise it is empty.
    pub fn open(root: &Path, disk: Arc<dyn Disk>) -> io::Result<(SledIndex, Option<Claim>)> {
        let path = root.join(INDEX_DIR);
        let marker = take_marker(&*disk)?;
        let mut claim = None;
        let mut database = None;
        if let Some(marker) = marker
            && let Some((opened, heads)) = open_and_read(&path)
            && digest(&heads) == marker.rows_sha256
        {
            claim = Some((marker.position, heads));
            database = Some(opened);
        }
        if database.is_none() {
            remove_database(&path)?;
            database = guarded(|| open_database(&path).ok());
        }
        Ok((SledIndex { database: Mutex::new(database), disk, path }, claim))
    }

    /// Replaces all that the index holds.
    pub fn replace_all(&self, heads: &[(AccountNumber, AccountHead)]) {
        self.with(|database| database.clear());
        heads.iter().for_each(|(account, head)| self.put(*account, *head));
    }

    /// Closes the database and writes the marker: at the next open it is believed, if the journal
    /// is at `position` then.
    pub fn close(self, position: Position) -> io::Result<()> {
        let database = self.database.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let Some(database) = database else { return Ok(()) };
        let rows_sha256 = guarded(move || {
            let rows = read_all(&database).ok()?;
            database.flush().ok()?;
            drop(database);
            Some(digest(&rows))
        });
        let Some(rows_sha256) = rows_sha256 else { return Ok(()) };
        sync_tree(&self.path)?;
        let marker = Marker { version: MARKER_VERSION, position, rows_sha256 };
        let marker = postcard::to_allocvec(&marker).expect("plain integers always serialise");
        disk::replace(&*self.disk, MARKER_PATH, &marker)
    }

    /// Calls into sled; a failure or a panic ends the index for this run.
    fn with<T>(&self, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Option<T> {
        let mut held = self.database.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let database = held.as_ref()?;
        let answer = guarded(|| call(database).ok());
        if answer.is_none() {
            *held = None;
        }
        answer
    }
}

impl Index for SledIndex {
    fn get(&self, account: AccountNumber) -> Option<AccountHead> {
        let value = self.with(|database| database.get(key(account)))??;
        postcard::from_bytes(&value).ok()
    }

    fn put(&self, account: AccountNumber, head: AccountHead) {
        if let Ok(value) = postcard::to_allocvec(&head) {
            self.with(|database| database.insert(key(account), value));
        }
    }

    fn remove(&self, account: AccountNumber) {
        self.with(|database| database.remove(key(account)));
    }

    fn all(&self) -> Vec<(AccountNumber, AccountHead)> {
        self.with(read_all).unwrap_or_default()
    }
}

impl std::fmt::Debug for SledIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SledIndex")
    }
}

/// The version of the marker and of what the database holds.
const MARKER_VERSION: u32 = 1;

/// What is written after a clean stop.
#[derive(Serialize, Deserialize)]
struct Marker {
    version: u32,
    position: Position,
    rows_sha256: [u8; 32],
}

/// Reads the marker and removes it, durably: from now on the database may be in any state.
fn take_marker(disk: &dyn Disk) -> io::Result<Option<Marker>> {
    let marker = match disk::read_all(disk, MARKER_PATH, MARKER_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other,
    };
    disk.remove(MARKER_PATH)?;
    disk.sync_dir("")?;
    Ok(marker.ok().and_then(|marker| read_marker(&marker)))
}

fn read_marker(bytes: &[u8]) -> Option<Marker> {
    let marker = postcard::from_bytes::<Marker>(bytes).ok()?;
    (marker.version == MARKER_VERSION).then_some(marker)
}

/// The digest of all rows, in the order of accounts.
fn digest(heads: &[(AccountNumber, AccountHead)]) -> [u8; 32] {
    let rows = postcard::to_allocvec(heads).expect("plain integers always serialise");
    crypto::sha256(&[&rows])
}

fn open_and_read(path: &Path) -> Option<(sled::Db, Vec<(AccountNumber, AccountHead)>)> {
    guarded(|| {
        let database = open_database(path).ok()?;
        let heads = read_all(&database).ok()?;
        Some((database, heads))
    })
}

fn open_database(path: &Path) -> sled::Result<sled::Db> {
    sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .open()
}

fn read_all(database: &sled::Db) -> sled::Result<Vec<(AccountNumber, AccountHead)>> {
    let mut heads = Vec::new();
    for row in database.iter() {
        let (key, value) = row?;
        let account = <[u8; 4]>::try_from(&key[..]).map(u32::from_be_bytes);
        let head = postcard::from_bytes(&value);
        let (Ok(account), Ok(head)) = (account, head) else {
            return Err(sled::Error::ReportableBug("a row that was not written".into()));
        };
        heads.push((AccountNumber(account), head));
    }
    Ok(heads)
}

/// Runs a call into sled; a panic is an answer like any other: none.
fn guarded<T>(call: impl FnOnce() -> Option<T>) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(call)).ok().flatten()
}

fn key(account: AccountNumber) -> [u8; 4] {
    account.0.to_be_bytes()
}

fn remove_database(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes every file below `path` durable, and the names: sled's own flush does not.
fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_tree(&entry.path())?,
            false => std::fs::File::open(entry.path())?.sync_all()?,
        }
    }
    std::fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::DataDir;
    use crate::journal::Address;

    fn scratch(name: &str) -> (PathBuf, Arc<dyn Disk>) {
        let dir =
            std::env::temp_dir().join(format!("postseal-index-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let disk = Arc::new(DataDir::open(&dir).unwrap());
        (dir, disk)
    }

    fn head(slot: u32) -> AccountHead {
        AccountHead { last: Some(Address { segment: 1, slot }), ..AccountHead::default() }
    }

    fn position(batch: u64) -> Position {
        Position { journal: [1; 16], incarnation: 1, batch }
    }

    #[test]
    fn it_is_believed_once_after_a_clean_stop() {
        let (dir, disk) = scratch("clean");
        let (index, claim) = SledIndex::open(&dir, disk.clone()).unwrap();
        assert_eq!(claim, None);
        index.put(AccountNumber(3), head(7));
        assert_eq!(index.get(AccountNumber(3)), Some(head(7)));
        index.close(position(9)).unwrap();
        let (index, claim) = SledIndex::open(&dir, disk.clone()).unwrap();
        assert_eq!(claim, Some((position(9), vec![(AccountNumber(3), head(7))])));
        drop(index);
        let (index, claim) = SledIndex::open(&dir, disk).unwrap();
        assert_eq!(claim, None, "the marker is gone since the last open");
        assert_eq!(index.all(), []);
        drop(index);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_database_that_cannot_be_read_is_made_anew() {
        let (dir, disk) = scratch("broken");
        let (index, _) = SledIndex::open(&dir, disk.clone()).unwrap();
        (0..100).for_each(|n| index.put(AccountNumber(n), head(n)));
        index.close(position(1)).unwrap();
        std::fs::write(dir.join(INDEX_DIR).join("db"), vec![0xA5; 100_000]).unwrap();
        let (index, claim) = SledIndex::open(&dir, disk).unwrap();
        assert_eq!(claim, None);
        index.put(AccountNumber(1), head(2));
        assert_eq!(index.all(), [(AccountNumber(1), head(2))]);
        drop(index);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
