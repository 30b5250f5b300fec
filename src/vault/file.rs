//! The account file: what stands on the disk for one account.
//!
//! # Format
//! Numbers in the frame are big-endian. The body is
//! [postcard](https://postcard.jamesmunns.com/wire-format): integers as varints, sequences and
//! strings with their length in front.
//!
//! | octets | what |
//! |---|---|
//! | 8 | `PSEALACC` |
//! | 2 | format version, 1; 2 if the body has the field `unpublished` |
//! | 4 | octets of the body |
//! | n | body |
//! | 32 | HMAC-SHA256 over all before it, under HKDF(journal key, "postseal account file mac 1") |
//!
//! | body field | type | what |
//! |---|---|---|
//! | number | u32 | the account's number |
//! | address | string | its address |
//! | generation | u64 | counts changes of the file, from 1 |
//! | locked | bool | locked by command |
//! | password_known | bool | the operator has seen the password in force |
//! | recovery_known | bool | the operator has seen the recovery code in force |
//! | identity_cert | bytes | OpenPGP certificate, public, version 4 |
//! | epochs | sequence | {number u32, cert bytes, subkey fingerprint}, current and prepared |
//! | current | u32 | the current epoch's number |
//! | slots | sequence | {id u32, kind, kdf, salt 32, commitment 32, wrapped AMK or nothing} |
//! | vault | bytes | AES-256-GCM-SIV under the AMK (nonce 12, ciphertext, tag 16) |
//! | unpublished | bool | version 2 only: the identity certificate is given to nobody |
//!
//! Version 2 is written only where it says something that version 1 cannot, so that programs which
//! know version 1 alone read all other files.
//!
//! Kinds of slot: 0 password, 1 app password, 2 login-only, 3 recovery code. KDFs: 0 Argon2id with
//! {memory in KiB, passes, lanes, peppered}, 1 HKDF. The sealed vault is described by
//! `sealed::Vault`; all that stands in clear here is repeated or hashed there.
//!
//! # What is in clear, and so told to who copies the disk
//! Address, number, certificates and their dates, number and kinds of slots, how often the file
//! changed, whether it is locked. Not: labels of app passwords, when slots were made.
//!
//! # What is trusted
//! Nothing before the MAC is right; then the form is checked with every limit, so that a hostile
//! holder of the journal key gets no bomb through; then each unlock holds all of it against the
//! vault. The caller checks that [`AccountFile::number`] is the one that the file's name says.

use super::keys::ServerKeys;
use super::slot::Slot;
use crate::base::crypto;
use crate::base::ids::AccountNumber;
use crate::pgp::{Fingerprint, SealKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An account file's size, in octets, above which it is refused unread.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// App passwords (login-only ones included) that an account may have.
pub const APP_SLOTS_MAX: usize = 32;

/// Epochs whose public half may stand in a file: the current one and prepared ones.
const PUBLIC_EPOCHS_MAX: usize = 8;

const MAGIC: &[u8; 8] = b"PSEALACC";
const VERSION: u16 = 1;
/// The version of a file whose certificate is not given out.
const VERSION_UNPUBLISHED: u16 = 2;
const HEAD_BYTES: usize = 14;
const MAC_BYTES: usize = 32;

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
#[derive(Clone, Serialize, Deserialize)]
pub struct AccountFile {
    pub(super) number: AccountNumber,
    pub(super) address: String,
    pub(super) generation: u64,
    pub(super) locked: bool,
    pub(super) password_known: bool,
    pub(super) recovery_known: bool,
    pub(super) identity_cert: Vec<u8>,
    pub(super) epochs: Vec<PublicEpoch>,
    pub(super) current: u32,
    pub(super) slots: Vec<Slot>,
    pub(super) vault: Vec<u8>,
    /// Stands behind the body, see [`AccountFile::tail`].
    #[serde(skip)]
    pub(super) unpublished: bool,
}

/// The public half of one epoch.
#[derive(Clone, Serialize, Deserialize)]
pub struct PublicEpoch {
    pub number: u32,
    pub cert: Vec<u8>,
    pub subkey: Fingerprint,
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
    /// Reads a file: MAC first, then the form.
    pub fn from_bytes(bytes: &[u8], server: &ServerKeys) -> Result<AccountFile, FileError> {
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(FileError::TooLarge);
        }
        let (version, framed, mac) = frame(bytes)?;
        if !crypto::equal(mac, &crypto::hmac(&server.mac, &[framed])) {
            return Err(FileError::Mac);
        }
        let (mut file, rest) = postcard::take_from_bytes::<AccountFile>(&framed[HEAD_BYTES..])
            .map_err(|_| FileError::Malformed(HEAD_BYTES))?;
        file.unpublished = version == VERSION_UNPUBLISHED;
        match rest == file.tail() && file.is_consistent() {
            true => Ok(file),
            false => Err(FileError::Inconsistent),
        }
    }

    /// The file's octets, with the MAC.
    pub fn to_bytes(&self, server: &ServerKeys) -> Vec<u8> {
        let mut body = postcard::to_allocvec(self).expect("an account file is plain data");
        body.extend_from_slice(self.tail());
        let length = u32::try_from(body.len()).expect("keys and slots are bounded");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len() + MAC_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.version().to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&body);
        let mac = crypto::hmac(&server.mac, &[&bytes]);
        bytes.extend_from_slice(&mac);
        bytes
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
        self.generation
    }

    /// Whether the account is locked by command: no login by protocol opens it.
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Whether the operator has seen the password or the recovery code that are in force.
    pub fn operator_knows(&self) -> bool {
        self.password_known || self.recovery_known
    }

    /// Whether the identity certificate is given to whoever asks. An owner may not want it.
    pub fn is_published(&self) -> bool {
        !self.unpublished
    }

    /// The file with the certificate given out, or given to nobody. Needs no credential: who could
    /// change it can also take the listener away.
    pub fn publishing(&self, published: bool) -> AccountFile {
        AccountFile { unpublished: !published, ..self.changed() }
    }

    /// The identity certificate, public, binary.
    pub fn identity_cert(&self) -> &[u8] {
        &self.identity_cert
    }

    /// The current epoch's number, from 1.
    pub fn epoch(&self) -> u32 {
        self.current
    }

    /// The current epoch's subkey.
    pub fn subkey(&self) -> &Fingerprint {
        &self.current_epoch().subkey
    }

    /// The current epoch's storage certificate, public, binary.
    pub fn storage_cert(&self) -> &[u8] {
        &self.current_epoch().cert
    }

    /// The key that arrivals are sealed to, pinned. Parses; keep the result while the file stands.
    pub fn seal_key(&self) -> Result<SealKey, FileError> {
        let epoch = self.current_epoch();
        SealKey::from_cert(&epoch.cert, &epoch.subkey).map_err(|_| FileError::Inconsistent)
    }

    /// The slots as the file shows them; their labels are in the vault.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, SlotKind)> + '_ {
        self.slots.iter().map(|slot| (slot.id, slot.kind))
    }

    /// The file with the lock set. Needs no credential: locking harms nobody.
    pub fn locked(&self) -> AccountFile {
        AccountFile { locked: true, ..self.changed() }
    }

    /// The file with the next epoch as the current one, if one was made in advance. Needs no
    /// credential, so that locked accounts rotate too.
    pub fn next_epoch(&self) -> Option<AccountFile> {
        let next = self.epochs.iter().map(|epoch| epoch.number).find(|n| *n > self.current)?;
        let mut file = self.changed();
        file.current = next;
        file.epochs.retain(|epoch| epoch.number >= next);
        Some(file)
    }

    /// The next generation of this file, to be changed.
    pub(super) fn changed(&self) -> AccountFile {
        AccountFile { generation: self.generation + 1, ..self.clone() }
    }

    pub(super) fn public_epochs(&self) -> &[PublicEpoch] {
        &self.epochs
    }

    pub(super) fn whole_slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn sealed_vault(&self) -> &[u8] {
        &self.vault
    }

    fn version(&self) -> u16 {
        if self.unpublished { VERSION_UNPUBLISHED } else { VERSION }
    }

    /// What version 2 has behind the fields of version 1.
    fn tail(&self) -> &'static [u8] {
        if self.unpublished { &[1] } else { &[] }
    }

    fn current_epoch(&self) -> &PublicEpoch {
        self.epochs
            .iter()
            .find(|epoch| epoch.number == self.current)
            .expect("a consistent file shows its current epoch")
    }

    /// Every limit, and what must hold between the parts, before anything is run or believed.
    fn is_consistent(&self) -> bool {
        let ascending = |numbers: &[u32]| numbers.windows(2).all(|pair| pair[0] < pair[1]);
        let epochs: Vec<_> = self.epochs.iter().map(|epoch| epoch.number).collect();
        let slots: Vec<_> = self.slots.iter().map(|slot| slot.id.0).collect();
        let count = |kinds: &[SlotKind]| {
            self.slots.iter().filter(|slot| kinds.contains(&slot.kind)).count()
        };
        self.generation > 0
            && ascending(&epochs)
            && epochs.len() <= PUBLIC_EPOCHS_MAX
            && epochs.contains(&self.current)
            && ascending(&slots)
            && count(&[SlotKind::Password]) == 1
            && count(&[SlotKind::Recovery]) <= 1
            && count(&[SlotKind::App, SlotKind::LoginOnly]) <= APP_SLOTS_MAX
            && self.slots.iter().all(Slot::is_consistent)
    }
}

/// Splits a file into its version, what the MAC covers and the MAC.
fn frame(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), FileError> {
    let head = bytes.first_chunk::<HEAD_BYTES>().ok_or(FileError::Malformed(bytes.len()))?;
    let (magic, rest) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(FileError::Malformed(0));
    }
    let version = u16::from_be_bytes([rest[0], rest[1]]);
    if version != VERSION && version != VERSION_UNPUBLISHED {
        return Err(FileError::Version(version));
    }
    let body = u32::from_be_bytes([rest[2], rest[3], rest[4], rest[5]]) as usize;
    match bytes.len().checked_sub(HEAD_BYTES + MAC_BYTES) == Some(body) {
        true => {
            let (framed, mac) = bytes.split_at(HEAD_BYTES + body);
            Ok((version, framed, mac))
        }
        false => Err(FileError::Malformed(bytes.len())),
    }
}

impl fmt::Debug for AccountFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountFile({}, generation {})", self.number, self.generation)
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
