//! The key pairs of the queue: one a day, each with a journal of its own, destroyed together.
//!
//! The file lies in the data directory, sealed under the queue's root key, which lies elsewhere.
//! Who takes the directory has nothing without the root key; who takes both has the secrets of days
//! whose items are still queued, and of no other: when a day is past and its last item gone, its
//! secret is taken out of the file, and the blocks of the file's old form are zeroed.
//!
//! ```text
//! relay/epochs     magic `PSQUEUE1` · sealed (AES-256-GCM-SIV, root key's child) list (postcard)
//! relay/<slot>/    the journal of the day that has this slot; slots are used again
//! ```
//! # Known gaps
//! Zeroing blocks binds neither a solid-state disk nor a snapshot: what is left there opens for who
//! has the root key.

use crate::base::clock::UnixTime;
use crate::base::crypto::{self, Key};
use crate::base::disk::{self, Disk};
use crate::base::entropy::Entropy;
use crate::base::secret::SecretBytes;
use crate::pgp::{self, CertError, Fingerprint, OpenKey, SealKey};
use serde::{Deserialize, Serialize};
use std::io;

/// The file, from the root of the data directory.
pub const FILE: &str = "relay/epochs";

/// Days that may have items at once. A day is kept longer than the queue's lifetime only by what
/// somebody holds.
pub const EPOCHS_MAX: usize = 400;

/// Octets of the file: some 5 KiB a day.
const FILE_BYTES_MAX: u64 = 16 << 20;

const MAGIC: &[u8; 8] = b"PSQUEUE1";
const SECONDS_PER_DAY: i64 = 86_400;

/// The day of a time, UTC.
pub fn day(at: UnixTime) -> i64 {
    at.0.div_euclid(SECONDS_PER_DAY)
}

/// One day's key pair.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Its number: rises, is never given twice.
    pub number: u32,
    /// The day, in days since 1970-01-01 UTC, by the clock as it was.
    pub day: i64,
    /// The directory of its journal.
    pub slot: u32,
    public: Vec<u8>,
    subkey: Fingerprint,
    secret: SecretBytes,
}

impl Epoch {
    /// The half that seals.
    pub fn seal_key(&self) -> Result<SealKey, CertError> {
        SealKey::from_cert(&self.public, &self.subkey)
    }

    /// The half that opens.
    pub fn open_key(&self) -> Result<OpenKey, CertError> {
        OpenKey::from_secret(&self.secret, &self.subkey)
    }
}

/// All days that have a key pair.
#[derive(Clone, Debug, Default)]
pub struct Epochs {
    epochs: Vec<Epoch>,
    next: u32,
}

/// Why the file cannot be used.
#[derive(Debug)]
pub enum EpochsError {
    /// The disk failed.
    Io(io::Error),
    /// It was sealed under another key, or it is damaged.
    WrongKey,
    /// There are more days than [`EPOCHS_MAX`].
    TooMany,
    /// A key pair could not be made or read.
    Key(CertError),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    next: u32,
    epochs: Vec<StoredEpoch>,
}

#[derive(Serialize, Deserialize)]
struct StoredEpoch {
    number: u32,
    day: i64,
    slot: u32,
    #[serde(with = "serde_bytes")]
    public: Vec<u8>,
    subkey: Fingerprint,
    #[serde(with = "serde_bytes")]
    secret: Vec<u8>,
}

impl Epochs {
    /// Reads the file; nothing if there is none.
    pub fn load(disk: &dyn Disk, root: &Key) -> Result<Option<Epochs>, EpochsError> {
        let bytes = match disk::read_all(disk, FILE, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(EpochsError::Io(error)),
        };
        let sealed = bytes.strip_prefix(MAGIC).ok_or(EpochsError::WrongKey)?;
        let plain = crypto::open(&file_key(root), MAGIC, sealed).ok_or(EpochsError::WrongKey)?;
        let stored: Stored =
            postcard::from_bytes(plain.expose()).map_err(|_| EpochsError::WrongKey)?;
        let epochs = stored.epochs.into_iter().map(|stored| Epoch {
            number: stored.number,
            day: stored.day,
            slot: stored.slot,
            public: stored.public,
            subkey: stored.subkey,
            secret: SecretBytes::new(stored.secret),
        });
        Ok(Some(Epochs { epochs: epochs.collect(), next: stored.next }))
    }

    /// Replaces the file, and zeroes what it was before: no longer held secrets are gone from the
    /// file system when this returns.
    pub fn store(&self, disk: &dyn Disk, root: &Key, entropy: &dyn Entropy) -> io::Result<()> {
        let epochs = self.epochs.iter().map(|epoch| StoredEpoch {
            number: epoch.number,
            day: epoch.day,
            slot: epoch.slot,
            public: epoch.public.clone(),
            subkey: epoch.subkey,
            secret: epoch.secret.expose().to_vec(),
        });
        let stored = Stored { next: self.next, epochs: epochs.collect() };
        let plain = postcard::to_allocvec(&stored).map_err(io::Error::other)?;
        let plain = SecretBytes::new(plain);
        stored.epochs.into_iter().for_each(|epoch| drop(SecretBytes::new(epoch.secret)));
        let sealed = crypto::seal(&file_key(root), MAGIC, plain.expose(), entropy);
        let before = disk.open(FILE).ok();
        disk::replace(disk, FILE, &[&MAGIC[..], &sealed].concat())?;
        if let Some(before) = before {
            // The new one is durable; what happens to the old one can no longer lose anything.
            let zeroed = before.len().and_then(|len| before.punch(0, len));
            let _ = zeroed.and_then(|()| before.sync_data());
        }
        Ok(())
    }

    /// Makes the key pair of the day of `now`, in the lowest slot that is free.
    pub fn begin(&mut self, now: UnixTime) -> Result<&Epoch, EpochsError> {
        if self.epochs.len() >= EPOCHS_MAX {
            return Err(EpochsError::TooMany);
        }
        let pair = pgp::generate_storage(now).map_err(EpochsError::Key)?;
        let is_free = |slot: &u32| self.epochs.iter().all(|epoch| epoch.slot != *slot);
        let slot = (0..).find(is_free).unwrap_or(0);
        self.epochs.push(Epoch {
            number: self.next,
            day: day(now),
            slot,
            public: pair.public,
            subkey: pair.subkey,
            secret: pair.secret,
        });
        self.next += 1;
        self.epochs.last().ok_or(EpochsError::TooMany)
    }

    /// Takes a key pair out.
    pub fn end(&mut self, number: u32) {
        self.epochs.retain(|epoch| epoch.number != number);
    }

    /// All of them, oldest first.
    pub fn all(&self) -> &[Epoch] {
        &self.epochs
    }
}

/// The key of the file, of the root key.
fn file_key(root: &Key) -> Key {
    crypto::derive(root.expose(), b"", "postseal queue epochs 1")
}

/// The key of the MACs in the journals, of the root key.
pub fn journal_key(root: &Key) -> Key {
    crypto::derive(root.expose(), b"", "postseal queue journal 1")
}

impl std::fmt::Display for EpochsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EpochsError::Io(error) => write!(f, "{FILE}: {error}"),
            EpochsError::WrongKey => write!(f, "{FILE}: sealed under another key, or damaged"),
            EpochsError::TooMany => write!(f, "{FILE}: more than {EPOCHS_MAX} days have items"),
            EpochsError::Key(error) => write!(f, "{FILE}: {error}"),
        }
    }
}

impl std::error::Error for EpochsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::memory::{Loss, MemoryDisk};
    use crate::base::entropy::SeededEntropy;

    const NOW: UnixTime = UnixTime(1_795_000_000);

    #[test]
    fn key_pairs_come_back_and_a_destroyed_one_does_not() {
        let (disk, entropy) = (MemoryDisk::new(), SeededEntropy::new(1));
        let root = Key::random(&entropy);
        disk.create_dir("relay").unwrap();
        disk.sync_dir("").unwrap();
        assert!(Epochs::load(&disk, &root).unwrap().is_none());
        let mut epochs = Epochs::default();
        let first = epochs.begin(NOW).unwrap().clone();
        let second = epochs.begin(UnixTime(NOW.0 + SECONDS_PER_DAY)).unwrap().clone();
        assert_eq!((first.slot, second.slot, second.day - first.day), (0, 1, 1));
        epochs.store(&disk, &root, &entropy).unwrap();
        let sealed = first.seal_key().unwrap().seal(b"x", &entropy).unwrap().message;
        disk.power_cut(Loss::All);

        let mut epochs = Epochs::load(&disk, &root).unwrap().unwrap();
        let opener = epochs.all()[0].open_key().unwrap();
        assert!(opener.session_key(&sealed).is_ok());
        assert!(matches!(Epochs::load(&disk, &Key::zeroed()), Err(EpochsError::WrongKey)));
        epochs.end(first.number);
        epochs.store(&disk, &root, &entropy).unwrap();
        disk.power_cut(Loss::All);
        let mut epochs = Epochs::load(&disk, &root).unwrap().unwrap();
        assert_eq!(epochs.all().len(), 1);
        let third = epochs.begin(NOW).unwrap();
        assert_eq!((third.number, third.slot), (2, 0), "slots are used again, numbers are not");
    }

    #[test]
    fn the_file_s_old_form_is_zeroed() {
        let (disk, entropy) = (MemoryDisk::new(), SeededEntropy::new(1));
        disk.create_dir("relay").unwrap();
        let root = Key::random(&entropy);
        let mut epochs = Epochs::default();
        epochs.begin(NOW).unwrap();
        epochs.store(&disk, &root, &entropy).unwrap();
        let old = disk.open(FILE).unwrap();
        epochs.end(0);
        epochs.store(&disk, &root, &entropy).unwrap();
        let mut bytes = vec![1; old.len().unwrap() as usize];
        old.read_at(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|octet| *octet == 0));
    }
}
