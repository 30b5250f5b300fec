//! The file: changes are appended, and now and then the whole is written anew.
//!
//! What [`File::write`] has said is done is durable. After an error, or behind a tail that cannot
//! be read, nothing is appended any more: the whole is written into a new file that takes the place
//! of the old one. Until then the old one stays as it is.

use super::record::{self, Binding, HEADER_BYTES, ID_BYTES, MAGIC, Record};
use crate::base::crypto::Key;
use crate::base::disk::{self, Disk, DiskFile};
use crate::base::entropy::{self, Entropy};
use std::io;
use std::sync::Arc;

const DIR: &str = "ledger";
const PATH: &str = "ledger/ledger";
const NEW: &str = "ledger/ledger.new";

/// Octets of a file that is read: twice what the memory may hold.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Octets that are written at once.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Octets that may be appended before the whole is written anew, beside as many as it had.
const SLACK_BYTES: u64 = 1024 * 1024;

/// The file, as far as it is open.
pub(super) struct File {
    disk: Arc<dyn Disk>,
    entropy: Arc<dyn Entropy>,
    key: Key,
    /// Where to append; nothing when the whole must be written.
    tail: Option<Tail>,
}

struct Tail {
    file: Arc<dyn DiskFile>,
    id: [u8; ID_BYTES],
    number: u64,
    at: u64,
    /// Its length when it was written as a whole.
    whole: u64,
}

/// What was in a file.
pub(super) struct Opened {
    pub file: File,
    pub records: Vec<Record>,
    /// Octets that cannot be read, or were not to be read at all.
    pub lost_bytes: u64,
}

impl File {
    /// Opens the file; none, and none that can be read, is an empty one.
    pub fn open(disk: Arc<dyn Disk>, entropy: Arc<dyn Entropy>, key: Key) -> Opened {
        let mut file = File { disk, entropy, key, tail: None };
        let bytes = match disk::read_all(&*file.disk, PATH, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                let lost = file.disk.open(PATH).and_then(|file| file.len()).unwrap_or(1);
                let lost_bytes = if error.kind() == io::ErrorKind::NotFound { 0 } else { lost };
                return Opened { file, records: Vec::new(), lost_bytes };
            }
        };
        let Some(contents) = record::read_file(&bytes, &file.key) else {
            return Opened { file, records: Vec::new(), lost_bytes: bytes.len() as u64 };
        };
        let lost_bytes = (bytes.len() - contents.whole_bytes) as u64;
        if let (0, Ok(open)) = (lost_bytes, file.disk.open(PATH)) {
            let (number, at) = (contents.records.len() as u64, bytes.len() as u64);
            file.tail = Some(Tail { file: open, id: contents.id, number, at, whole: at });
        }
        Opened { file, records: contents.records, lost_bytes }
    }

    /// Whether the whole is due, and not only what has changed.
    pub fn wants_all(&self) -> bool {
        self.tail.as_ref().is_none_or(|tail| tail.at > 2 * tail.whole + SLACK_BYTES)
    }

    /// Makes `records` durable: the whole if it is due ([`File::wants_all`]), else what has
    /// changed.
    pub fn write(&mut self, records: &[Record]) -> io::Result<()> {
        let all = self.wants_all();
        match self.tail.take().filter(|_| !all) {
            Some(tail) => self.tail = Some(self.append(tail, records)?),
            None => self.tail = Some(self.replace(records)?),
        }
        Ok(())
    }

    fn append(&self, mut tail: Tail, records: &[Record]) -> io::Result<Tail> {
        self.put(&mut tail, Vec::new(), records)?;
        tail.file.sync_data()?;
        Ok(tail)
    }

    fn replace(&self, records: &[Record]) -> io::Result<Tail> {
        self.disk.create_dir(DIR)?;
        match self.disk.remove(NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (file, id) = (self.disk.create(NEW)?, entropy::bytes(&*self.entropy));
        let mut tail = Tail { file, id, number: 0, at: 0, whole: 0 };
        let header = [MAGIC.as_slice(), &id].concat();
        debug_assert_eq!(header.len(), HEADER_BYTES);
        self.put(&mut tail, header, records)?;
        tail.file.sync_data()?;
        self.disk.rename(NEW, PATH)?;
        self.disk.sync_dir(DIR)?;
        self.disk.sync_dir("")?;
        tail.whole = tail.at;
        Ok(tail)
    }

    fn put(&self, tail: &mut Tail, mut chunk: Vec<u8>, records: &[Record]) -> io::Result<()> {
        let id = tail.id;
        let binding = Binding { key: &self.key, id: &id };
        for record in records {
            binding.write(record, tail.number, &*self.entropy, &mut chunk);
            tail.number += 1;
            if chunk.len() >= CHUNK_BYTES {
                tail.write(&chunk)?;
                chunk.clear();
            }
        }
        tail.write(&chunk)
    }
}

impl Tail {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_at(self.at, chunk)?;
        self.at += chunk.len() as u64;
        Ok(())
    }
}
