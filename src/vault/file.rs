//! The account file: what stands on the disk for one account.

use super::keys::ServerKeys;
use crate::base::ids::AccountNumber;
use crate::pgp::{Fingerprint, SealKey};
use std::fmt;

/// An account file's size, in octets, above which it is refused unread.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A slot's number within its account; never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct SlotId(pub u32);

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum SlotKind {
    /// The chosen password (Argon2id). Exactly one.
    Password,
    /// A generated app password that opens the vault.
    App,
    /// A generated app password that is checked and opens nothing: it wraps no key.
    LoginOnly,
    /// The recovery code; works without the server's pepper. At most one.
    Recovery,
}

/// One account, as its file has it. A value: changes make a new one, with `generation` one higher,
/// and the caller replaces the file durably before anybody hears of the change.
#[derive(Clone, Debug)]
pub struct AccountFile {
    number: AccountNumber,
    address: String,
}

/// Why bytes are no account file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// Above 4 MiB.
    TooLarge,
    /// Not an account file, or cut short; the offset in octets.
    Malformed(usize),
    /// A format version that this program does not know.
    Version(u16),
    /// The MAC is wrong: altered by somebody without the journal key, or another server's file.
    /// Mail to this account is deferred (451).
    Mac,
    /// The parts contradict each other, or ask for parameters beyond the limits.
    Inconsistent,
}

impl AccountFile {
    /// Reads a file and checks its MAC.
    pub fn from_bytes(bytes: &[u8], server: &ServerKeys) -> Result<AccountFile, FileError> {
        let _ = (bytes, server);
        todo!()
    }

    /// The file's octets, with the MAC.
    pub fn to_bytes(&self, server: &ServerKeys) -> Vec<u8> {
        let _ = server;
        todo!()
    }

    /// The account's number.
    pub fn number(&self) -> AccountNumber {
        self.number
    }

    /// The account's address, in clear.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Counts the changes of this file, from 1.
    pub fn generation(&self) -> u64 {
        todo!()
    }

    /// Whether the account is locked by command: no login by protocol opens it.
    pub fn is_locked(&self) -> bool {
        todo!()
    }

    /// Whether the operator has seen the password or the recovery code that are in force.
    pub fn operator_knows(&self) -> bool {
        todo!()
    }

    /// The identity certificate, public, binary.
    pub fn identity_cert(&self) -> &[u8] {
        todo!()
    }

    /// The current epoch's number, from 1.
    pub fn epoch(&self) -> u32 {
        todo!()
    }

    /// The current epoch's subkey.
    pub fn subkey(&self) -> &Fingerprint {
        todo!()
    }

    /// The key that arrivals are sealed to, pinned. Parses; keep the result while the file stands.
    pub fn seal_key(&self) -> Result<SealKey, FileError> {
        todo!()
    }

    /// The slots as the file shows them; their labels are in the vault.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, SlotKind)> + '_ {
        [].into_iter()
    }

    /// The file with the lock set. Needs no credential: locking harms nobody.
    pub fn locked(&self) -> AccountFile {
        todo!()
    }

    /// The file with the next epoch as the current one, if one was made in advance. Needs no
    /// credential, so that locked accounts rotate too.
    pub fn next_epoch(&self) -> Option<AccountFile> {
        todo!()
    }

    /// Octets of the identity and storage certificates, of both together, for reports.
    pub fn cert_bytes(&self) -> usize {
        todo!()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::TooLarge => f.write_str("the account file is above 4 MiB"),
            FileError::Malformed(offset) => write!(f, "no account file, seen at octet {offset}"),
            FileError::Version(version) => write!(f, "format version {version} is not known"),
            FileError::Mac => f.write_str("the MAC is wrong: altered, or another server's file"),
            FileError::Inconsistent => f.write_str("the parts contradict each other"),
        }
    }
}

impl std::error::Error for FileError {}
