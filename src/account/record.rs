//! Records: what an account writes into its chain, one for each command.
//!
//! A frame's head is `version ‖ seal(index key, AAD, length ‖ postcard ‖ zeros)`. The plaintext is
//! padded to [`RECORD_STEP_BYTES`], the nonce is random. The AAD names format, journal, server,
//! account, object and index epoch, so that a record opens only where it was written. Each record
//! has the next number and the hash of the record before it.
//!
//! A record says what became of the state, not what was asked: UIDs, mod-sequences and names stand
//! in it, so that applying it again gives the same state.

use super::catalog::{MailboxId, SpecialUse};
use super::flags::{FlagMode, Flags, UidSet};
use super::view::Kind;
use crate::base::clock::UnixTime;
use crate::base::crypto::{self, Key};
use crate::base::entropy::Entropy;
use crate::base::ids::{AccountNumber, ObjectId};
use crate::base::secret::SecretBytes;
use crate::journal::{Address, Body, Class, Entry, HEAD_BYTES_MAX, Identity};
use serde::{Deserialize, Serialize};

/// Records are padded to a multiple of this, in octets, so that a flag looks like a move.
pub(super) const RECORD_STEP_BYTES: usize = 256;
/// Octets of a snapshot that one record carries, below the journal's bound for a head.
pub(super) const CHUNK_BYTES_MAX: usize = HEAD_BYTES_MAX - 64 * 1024;
/// Ranges of a UID set that one record carries: 10 octets each at most.
pub(super) const RANGES_MAX: usize = 64 * 1024;

const VERSION: u8 = 1;
const LABEL: &[u8] = b"postseal account record 1";
const LENGTH_BYTES: usize = 4;

/// A record's place in the chain and what it says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Numbers records from 1 without gaps.
    pub seq: u64,
    /// The hash of the record before: SHA-256 of its sealed octets; zeros before the first.
    pub previous: [u8; 32],
    /// Claims to `\Recent` since the record before: mailbox and the first UID not claimed.
    pub recent: Vec<(MailboxId, u32)>,
    /// The numbers of the newest snapshot's records: the first, and how many. Where they are
    /// missing later, nothing but the snapshot is.
    pub snapshot: (u64, u32),
    /// What happened.
    pub changes: Vec<Change>,
}

/// One thing that happened.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Change {
    /// Mailboxes came into being.
    Created(Vec<NewMailbox>),
    /// A mailbox is gone with all that was in it.
    Deleted(MailboxId),
    /// Mailboxes have other names.
    Renamed(Vec<(MailboxId, String)>),
    /// A name was subscribed or unsubscribed.
    Subscribed(String, bool),
    /// Arrivals got their UIDs.
    Folded(Folding),
    /// A message was filed; its frame stands in the slot before this record.
    Appended(Filing),
    /// Flags changed.
    Stored(Storing),
    /// Messages are gone.
    Expunged { mailbox: MailboxId, modseq: u64, uids: UidSet },
    /// Messages were copied.
    Copied(Copying),
    /// Something had been lost: every UIDVALIDITY is higher by one.
    Repaired,
    /// A piece of a snapshot.
    Chunk(Chunk),
    /// Messages that this very record folds are shown opened.
    Opened(Vec<OpenedView>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NewMailbox {
    pub id: MailboxId,
    pub name: String,
    /// Without the raises by incarnation and repair.
    pub uid_validity_base: u32,
    pub special_use: Option<SpecialUse>,
    pub no_select: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Folding {
    pub groups: Vec<FoldGroup>,
    /// Arrivals that got no UID: seen before, or filed by nobody.
    pub dropped: Vec<Address>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FoldGroup {
    pub mailbox: MailboxId,
    pub modseq: u64,
    pub rows: Vec<FoldedRow>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FoldedRow {
    pub frame: Address,
    pub object: u64,
    pub row: RowImage,
}

/// A folded message whose row stands for its opened view and no longer for what arrived.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenedView {
    pub mailbox: MailboxId,
    pub uid: u32,
    /// What arrived.
    pub arrival: Address,
    /// The view stands so many slots before the record.
    pub slots_before: u32,
    pub object: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Filing {
    pub mailbox: MailboxId,
    pub modseq: u64,
    pub keywords: Vec<(u8, String)>,
    pub object: u64,
    pub row: RowImage,
}

/// A row without its place.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RowImage {
    pub uid: u32,
    pub size: u32,
    pub flags: Flags,
    pub received: UnixTime,
    pub kind: Kind,
    pub key: KeyImage,
}

/// A session key as it stands in a record; zeroed when dropped.
#[derive(Clone, Debug)]
pub(super) struct KeyImage(pub SecretBytes);

impl PartialEq for KeyImage {
    fn eq(&self, other: &Self) -> bool {
        crypto::equal(self.0.expose(), other.0.expose())
    }
}

impl Serialize for KeyImage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for KeyImage {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        if bytes.len() != super::view::KEY_BYTES {
            return Err(serde::de::Error::invalid_length(bytes.len(), &"a session key"));
        }
        Ok(KeyImage(SecretBytes::new(bytes.to_vec())))
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Storing {
    pub mailbox: MailboxId,
    pub modseq: u64,
    /// Keywords that the mailbox meets for the first time, and their bits.
    pub keywords: Vec<(u8, String)>,
    pub mode: FlagMode,
    pub flags: Flags,
    pub uids: UidSet,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Copying {
    pub from: MailboxId,
    pub uids: UidSet,
    pub to: MailboxId,
    pub first_uid: u32,
    pub modseq: u64,
    /// Keywords that the destination meets for the first time, and their bits.
    pub keywords: Vec<(u8, String)>,
    /// Which bit of the source becomes which bit of the destination.
    pub bits: Vec<(u8, u8)>,
    /// MOVE: the source loses the messages, at this mod-sequence of its own.
    pub moved: Option<u64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// Random; tells the chunks of one snapshot from those of another.
    pub snapshot: u64,
    pub index: u32,
    pub count: u32,
    pub bytes: KeyBytes,
}

/// Octets that hold session keys; zeroed when dropped.
#[derive(Clone, Debug)]
pub(super) struct KeyBytes(pub SecretBytes);

impl PartialEq for KeyBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}

impl Serialize for KeyBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for KeyBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(|bytes| KeyBytes(SecretBytes::new(bytes.to_vec())))
    }
}

/// What records of one account are bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub journal: [u8; 16],
    pub server: [u8; 16],
    pub account: AccountNumber,
}

impl Place {
    pub(super) fn new(identity: Identity, account: AccountNumber) -> Place {
        Place { journal: identity.journal, server: identity.server, account }
    }

    fn aad(&self, object: ObjectId, epoch: u32) -> Vec<u8> {
        let (account, epoch) = (self.account.0.to_be_bytes(), epoch.to_be_bytes());
        [LABEL, &self.journal, &self.server, &account, &object.0, &epoch].concat()
    }
}

/// An index key and its number.
#[derive(Clone, Copy)]
pub(super) struct IndexKey<'a> {
    pub key: &'a Key,
    pub epoch: u32,
}

/// A sealed record: its frame, and what the next record names as the one before.
#[derive(Debug)]
pub(super) struct SealedRecord {
    pub entry: Entry,
    pub hash: [u8; 32],
}

impl Record {
    /// Seals the record into a frame.
    pub(super) fn seal(
        &self,
        place: &Place,
        key: IndexKey<'_>,
        entropy: &dyn Entropy,
    ) -> SealedRecord {
        let object = ObjectId::random(entropy);
        let mut head = vec![VERSION];
        let plain = self.to_padded();
        let aad = place.aad(object, key.epoch);
        head.extend(crypto::seal(key.key, &aad, plain.expose(), entropy));
        let hash = hash(&head);
        let account = place.account;
        let entry = Entry { class: Class::Account, account, object, head, body: Body::None };
        SealedRecord { entry, hash }
    }

    /// Opens a frame's head with any of `keys`; `None` if it is no record of this place. Says which
    /// epoch's key it was.
    pub(super) fn open(
        head: &[u8],
        object: ObjectId,
        place: &Place,
        keys: &[IndexKey<'_>],
    ) -> Option<(Record, u32)> {
        let (version, sealed) = head.split_first()?;
        if *version != VERSION {
            return None;
        }
        keys.iter().find_map(|key| {
            let plain = crypto::open(key.key, &place.aad(object, key.epoch), sealed)?;
            Some((Record::from_padded(plain.expose())?, key.epoch))
        })
    }

    fn to_padded(&self) -> SecretBytes {
        let size = postcard::experimental::serialized_size(self).unwrap_or(0) + LENGTH_BYTES;
        let mut out = Vec::with_capacity(size.next_multiple_of(RECORD_STEP_BYTES));
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        let mut out =
            postcard::to_extend(self, out).expect("a record has no type that postcard lacks");
        let length = (out.len() - LENGTH_BYTES) as u32;
        out[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        out.resize(out.len().next_multiple_of(RECORD_STEP_BYTES), 0);
        SecretBytes::new(out)
    }

    pub(super) fn from_padded(bytes: &[u8]) -> Option<Record> {
        let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
        let body = rest.get(..u32::from_be_bytes(*length) as usize)?;
        let (record, left) = postcard::take_from_bytes::<Record>(body).ok()?;
        (left.is_empty() && record.is_canonical()).then_some(record)
    }

    fn is_canonical(&self) -> bool {
        self.changes.iter().all(|change| match change {
            Change::Stored(storing) => storing.uids.is_canonical(),
            Change::Expunged { uids, .. } => uids.is_canonical(),
            Change::Copied(copying) => copying.uids.is_canonical(),
            _ => true,
        })
    }
}

/// What the next record names as the one before.
pub(super) fn hash(head: &[u8]) -> [u8; 32] {
    crypto::sha256(&[head])
}

/// An object's short name, by which a second arrival of it is known.
pub(super) fn short(object: ObjectId) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&object.0[..8]);
    u64::from_be_bytes(first)
}
