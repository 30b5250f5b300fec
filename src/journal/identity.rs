//! The file that names the journal and tells it from a copy of itself.
//!
//! It holds the inode number and birth time of the very file that it stands in. A directory that
//! was copied, or put back from a backup, has other ones: what is in it may be older than what
//! clients have seen, so the incarnation is raised, durably, before anything is served. Renaming
//! keeps the inode, so the file can be replaced atomically. A raw copy of the whole block device is
//! not noticed.

use crate::base::crypto::{self, Key};
use crate::base::disk::{self, Disk, FileIdentity};
use std::io;

/// Where it stands.
pub(super) const IDENTITY_PATH: &str = "journal/identity";
const MAGIC: &[u8; 8] = b"PSIDENT1";
const FILE_BYTES: usize = 92;
const TAGGED: usize = 60;

/// The names that the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub journal: [u8; 16],
    pub server: [u8; 16],
    pub incarnation: u32,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// There is no such file.
    Missing,
    /// It is not as it was written, or was written under another key.
    Damaged,
    /// It names itself.
    Original(Names),
    /// It names another file: this directory is a copy.
    Copied(Names),
}

/// Reads the file.
pub(super) fn load(disk: &dyn Disk, journal_key: &Key) -> io::Result<Stored> {
    let bytes = match disk::read_all(disk, IDENTITY_PATH, FILE_BYTES as u64) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::Missing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Stored::Damaged),
        other => other?,
    };
    let Some((names, file)) = decode(&bytes, journal_key) else { return Ok(Stored::Damaged) };
    Ok(match disk.identity(IDENTITY_PATH)? == file {
        true => Stored::Original(names),
        false => Stored::Copied(names),
    })
}

/// Replaces the file; durable when this returns.
pub(super) fn store(disk: &dyn Disk, journal_key: &Key, names: &Names) -> io::Result<()> {
    let beside = format!("{IDENTITY_PATH}.new");
    match disk.remove(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&beside)?;
    file.write_at(0, &encode(names, disk.identity(&beside)?, journal_key))?;
    file.sync_data()?;
    disk.rename(&beside, IDENTITY_PATH)?;
    disk.sync_dir("journal")
}

fn encode(names: &Names, file: FileIdentity, journal_key: &Key) -> Vec<u8> {
    let mut out = Vec::with_capacity(FILE_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&names.journal);
    out.extend_from_slice(&names.server);
    out.extend_from_slice(&names.incarnation.to_le_bytes());
    out.extend_from_slice(&file.inode.to_le_bytes());
    out.extend_from_slice(&file.born_ns.to_le_bytes());
    debug_assert_eq!(out.len(), TAGGED);
    out.extend_from_slice(&tag(&out, &names.journal, journal_key));
    out
}

fn decode(bytes: &[u8], journal_key: &Key) -> Option<(Names, FileIdentity)> {
    if bytes.len() != FILE_BYTES || !bytes.starts_with(MAGIC) {
        return None;
    }
    let journal: [u8; 16] = bytes[8..24].try_into().ok()?;
    if !crypto::equal(&tag(&bytes[..TAGGED], &journal, journal_key), &bytes[TAGGED..]) {
        return None;
    }
    let names = Names {
        journal,
        server: bytes[24..40].try_into().ok()?,
        incarnation: u32::from_le_bytes(bytes[40..44].try_into().ok()?),
    };
    let file = FileIdentity {
        inode: u64::from_le_bytes(bytes[44..52].try_into().ok()?),
        born_ns: u64::from_le_bytes(bytes[52..60].try_into().ok()?),
    };
    Some((names, file))
}

fn tag(bytes: &[u8], journal: &[u8; 16], journal_key: &Key) -> [u8; 32] {
    let key = crypto::derive(journal_key.expose(), journal, "postseal journal identity 1");
    crypto::hmac(&key, &[bytes])
}
