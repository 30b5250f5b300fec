//! What lies sealed in the account file: every secret of the account, and what its public part must
//! say.
//!
//! It is encoded with postcard into a buffer of its exact size, padded with zeros to a multiple of
//! 1 KiB (so that its length tells neither labels nor the number of epochs that were), and sealed
//! under the AMK. No buffer grows on the way: a reallocation would leave secrets behind.

use super::file::{AccountFile, SlotId, SlotKind};
use super::login::Tampered;
use crate::base::clock::UnixTime;
use crate::base::crypto::{self, Key};
use crate::base::entropy::Entropy;
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::pgp::{CertPair, Fingerprint};
use serde::{Deserialize, Serialize};

/// Octets to which a vault is padded.
const PADDED_BYTES: usize = 1024;

/// The secrets of one account.
#[derive(Serialize, Deserialize)]
pub struct Vault {
    pub number: AccountNumber,
    pub address: String,
    /// The file's generation when the vault was last written; the file's may be higher, for changes
    /// that need no credential.
    pub generation: u64,
    pub identity: Identity,
    /// All epochs whose secrets still exist, ascending, the prepared ones last.
    pub epochs: Vec<Epoch>,
    /// The current epoch when the vault was last written. The file's may be later, never earlier:
    /// an earlier one is a rollback to a key that somebody may have.
    pub epoch_floor: u32,
    #[serde(with = "key")]
    pub index_key: Key,
    pub index_epoch: u32,
    pub previous_index_key: Option<KeyBox>,
    pub slots: Vec<ListedSlot>,
    pub next_slot: u32,
    /// Follows the fields above, where it says something.
    #[serde(skip)]
    pub tail: Tail,
}

/// What was added to the vault after its first form. An empty one is not written, and the zeros of
/// the padding read as an empty one: vaults of both forms are read by programs that know this one,
/// and a vault without a tail by those that do not.
#[derive(Default, Serialize, Deserialize)]
pub struct Tail {
    /// Identities that were replaced, for mail that was encrypted to them.
    pub previous: Vec<Identity>,
}

/// The identity's secret half, and its public half by fingerprint and hash.
#[derive(Serialize, Deserialize)]
pub struct Identity {
    pub fingerprint: Fingerprint,
    pub cert_digest: [u8; 32],
    #[serde(with = "bytes")]
    pub secret: SecretBytes,
}

/// One epoch's secret half, and its public half by fingerprints and hash.
#[derive(Serialize, Deserialize)]
pub struct Epoch {
    pub number: u32,
    pub fingerprint: Fingerprint,
    pub subkey: Fingerprint,
    pub cert_digest: [u8; 32],
    #[serde(with = "bytes")]
    pub secret: SecretBytes,
}

/// A slot that may exist.
#[derive(Serialize, Deserialize)]
pub struct ListedSlot {
    pub id: SlotId,
    pub kind: SlotKind,
    pub label: String,
    pub created: UnixTime,
    pub digest: [u8; 32],
}

/// A key that may be absent.
#[derive(Serialize, Deserialize)]
pub struct KeyBox(#[serde(with = "key")] pub Key);

impl Identity {
    pub fn of(pair: &CertPair) -> Identity {
        Identity {
            fingerprint: pair.fingerprint,
            cert_digest: cert_digest(&pair.public),
            secret: pair.secret.clone(),
        }
    }
}

impl Epoch {
    pub fn of(number: u32, pair: &CertPair) -> Epoch {
        Epoch {
            number,
            fingerprint: pair.fingerprint,
            subkey: pair.subkey,
            cert_digest: cert_digest(&pair.public),
            secret: pair.secret.clone(),
        }
    }
}

impl Vault {
    /// Seals under the AMK.
    pub fn seal(&self, amk: &Key, entropy: &dyn Entropy) -> Vec<u8> {
        let size = size(self);
        let tail = if self.tail.previous.is_empty() { 0 } else { self::size(&self.tail) };
        let mut plain = SecretBytes::zeroed((size + tail).next_multiple_of(PADDED_BYTES));
        let (own, rest) = plain.expose_mut().split_at_mut(size);
        postcard::to_slice(self, own).expect("the buffer has the size just counted");
        if tail > 0 {
            postcard::to_slice(&self.tail, rest).expect("the buffer has the size just counted");
        }
        crypto::seal(amk, &binding(self.number), plain.expose(), entropy)
    }

    /// Opens the vault of `file` and holds the file against it.
    pub fn open(file: &AccountFile, amk: &Key) -> Result<Vault, Tampered> {
        let plain = crypto::open(amk, &binding(file.number()), file.sealed_vault())
            .ok_or(Tampered::Vault)?;
        let (mut vault, mut padding) =
            postcard::take_from_bytes::<Vault>(plain.expose()).map_err(|_| Tampered::Vault)?;
        if padding.iter().any(|octet| *octet != 0) {
            (vault.tail, padding) =
                postcard::take_from_bytes::<Tail>(padding).map_err(|_| Tampered::Vault)?;
        }
        if padding.iter().any(|octet| *octet != 0) || padding.len() >= PADDED_BYTES {
            return Err(Tampered::Vault);
        }
        vault.compare(file)?;
        Ok(vault)
    }

    /// The epoch with this number.
    pub fn epoch(&self, number: u32) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.number == number)
    }

    /// Whether the public part is what the vault says. The vault is the authority.
    fn compare(&self, file: &AccountFile) -> Result<(), Tampered> {
        let same = self.number == file.number() && self.address == file.address();
        if !same || file.generation() < self.generation {
            return Err(Tampered::Header);
        }
        if cert_digest(file.identity_cert()) != self.identity.cert_digest {
            return Err(Tampered::IdentityCert);
        }
        if file.epoch() < self.epoch_floor {
            return Err(Tampered::StorageCert);
        }
        for shown in file.public_epochs() {
            let epoch = self.epoch(shown.number).ok_or(Tampered::StorageCert)?;
            let digest = cert_digest(&shown.cert);
            if epoch.subkey != shown.subkey || epoch.cert_digest != digest {
                return Err(Tampered::StorageCert);
            }
        }
        let listed = self.slots.iter().map(|slot| (slot.id, slot.kind, slot.digest));
        let shown = file.whole_slots().iter().map(|slot| (slot.id, slot.kind, slot.digest()));
        match listed.eq(shown) {
            true => Ok(()),
            false => Err(Tampered::SlotList),
        }
    }
}

fn size(value: &impl Serialize) -> usize {
    postcard::experimental::serialized_size(value).expect("a vault is plain data")
}

fn binding(account: AccountNumber) -> Vec<u8> {
    [b"postseal vault 1".as_slice(), &account.0.to_be_bytes()].concat()
}

pub(super) fn cert_digest(cert: &[u8]) -> [u8; 32] {
    crypto::sha256(&[b"postseal certificate 1", cert])
}

/// Secret octets as a byte string, copied once, from the opened buffer into their own.
mod bytes {
    use crate::base::secret::SecretBytes;
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(secret: &SecretBytes, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(secret.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<SecretBytes, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = SecretBytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<SecretBytes, E> {
                Ok(SecretBytes::copy_from(bytes))
            }
        }
        d.deserialize_bytes(Bytes)
    }
}

/// A key as a byte string of 32 octets.
mod key {
    use crate::base::crypto::Key;
    use serde::de::{Deserializer, Error};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(key: &Key, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(key.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Key, D::Error> {
        let bytes = super::bytes::deserialize(d)?;
        Key::copy_from(bytes.expose()).ok_or_else(|| D::Error::custom("not 32 octets"))
    }
}
