//! The arrival record: all that a fold, a header fetch or a search of headers needs of a message,
//! made where no key is and sealed under a key that follows from the message's session key.
//!
//! A record is read only by its owner's server after unlock, but whoever has the public half of the
//! storage key can write one. It is therefore a flat format with a version, decoded under a cap on
//! its length; hostile octets give an error and nothing else.
//!
//! The head of an arrival frame is `salt ‖ seal(HKDF(session key, salt), AAD, padded record)`. The
//! AAD ties it to server, account, object, subkey and the very OpenPGP message that it belongs to.
//! Padding to [`RECORD_STEP_BYTES`] keeps the lengths of subject and headers out of sight.
//!
//! Version 2 also says whether the message came encrypted as a whole, and then what is known of its
//! sender, so that the fold touches the identity's key for such messages only. Version 3 says which
//! fields are proved, where version 2 says so of From only. Both older ones are still read: what
//! they do not say is not known.
//!
//! # Known gaps
//! Records above 64 KiB lose their header block or structure; they are derived again from the
//! opened message when they are asked for ([`ArrivalRecord::complete`]).

use crate::base::clock::UnixTime;
use crate::base::crypto;
use crate::base::entropy::{self, Entropy};
use crate::base::ids::{AccountNumber, ObjectId};
use crate::journal::{Body, Class, Entry, LargeBody};
use crate::mail::limits::NESTING_DEPTH_MAX;
use crate::mail::{Analysis, Envelope, Part, ProvedFields, Structure};
use crate::pgp::{self, Fingerprint, SealError, SealKey, SessionKey};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Octets of a header block that a record keeps; larger ones are left out (48 KiB: Dovecot's and
/// Thunderbird's headers are below 16).
pub const HEADER_BYTES_MAX: usize = 48 * 1024;
/// Octets of a whole record, padded. Hostile senders reach it; real mail is below 8 KiB.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Records are padded to a multiple of this, in octets.
pub const RECORD_STEP_BYTES: usize = 512;
/// Octets of the `+detail` that a record keeps; RFC 5321 §4.5.3.1.1 allows a local part 64.
pub const DETAIL_BYTES_MAX: usize = 64;
/// Octets of a sender's certificate that a record keeps: a post-quantum one has 23 kB.
pub const CERTIFICATE_BYTES_MAX: usize = 24 * 1024;
/// Sealed bodies above this have a file of their own, in octets.
pub const LARGE_BODY_BYTES: usize = 256 * 1024;

/// Levels of parts: a nested message is two of them, its part and the root within.
const LEVELS_MAX: usize = 2 * NESTING_DEPTH_MAX + 2;

const SALT_BYTES: usize = 32;
const VERSION: u8 = 3;
/// Has yes or no where version 3 has a set, which are the sets of From alone and of nothing.
const VERSION_2: u8 = 2;
const VERSION_1: u8 = 1;
/// What version 1 lacks at its end: no `pgp_mime`.
const NOT_IN_VERSION_1: [u8; 1] = [0];
const KEY_LABEL: &str = "postseal record 1";
const AAD_LABEL: &[u8] = b"postseal arrival 1";

/// Where a message shall go when it is folded. A role, not a name: names are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// INBOX.
    Inbox,
    /// The mailbox for junk.
    Junk,
    /// None: an account record in the same batch has filed it (APPEND).
    Filed,
}

/// What is known of a message without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrivalRecord {
    /// Where it shall go.
    pub role: Role,
    /// The `+detail` of the recipient's address, as given.
    pub detail: Option<String>,
    /// When it was received.
    pub received: UnixTime,
    /// Exact octets of the message.
    pub size: u32,
    /// The header block with the empty line that ends it; `None` if it was left out.
    #[serde(with = "serde_bytes")]
    pub header: Option<Vec<u8>>,
    /// The envelope; `None` if it was left out.
    pub envelope: Option<Envelope>,
    /// The parts; `None` if they were left out.
    pub structure: Option<Structure>,
    /// Set where the message is built as whole-message PGP/MIME: what is known of its sender, by
    /// which the fold decides whether to open it.
    pub pgp_mime: Option<Sender>,
}

/// What was known, when a message arrived, of who wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// What of the header is proved.
    pub proved: ProvedFields,
    /// The certificate known for the one address of From, binary; left out above
    /// [`CERTIFICATE_BYTES_MAX`].
    #[serde(with = "serde_bytes")]
    pub certificate: Option<Vec<u8>>,
}

/// Why a record cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalError {
    /// It was altered, belongs to another message, or the key is not its key.
    NotAuthentic,
    /// It is authentic and yet no record: a newer version, or hostile.
    Malformed,
    /// The message is larger than can be sealed (3 GiB).
    TooLarge,
    /// The OpenPGP library failed.
    Library,
}

impl std::fmt::Display for ArrivalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ArrivalError::NotAuthentic => "the arrival record was altered or is another message's",
            ArrivalError::Malformed => "the arrival record is malformed or of a newer version",
            ArrivalError::TooLarge => "the message is larger than 3 GiB",
            ArrivalError::Library => "the message could not be sealed",
        })
    }
}

impl std::error::Error for ArrivalError {}

/// Whom a message is sealed to.
#[derive(Clone, Debug)]
pub struct Destination<'a> {
    /// The server's id, as the journal's identity has it.
    pub server: [u8; 16],
    /// The account.
    pub account: AccountNumber,
    /// The pinned subkey of its current epoch.
    pub key: &'a SealKey,
}

/// A sealed message on its way into the journal.
#[derive(Debug)]
pub struct SealedArrival {
    /// Whose.
    pub account: AccountNumber,
    /// Its random name.
    pub object: ObjectId,
    /// The sealed arrival record.
    pub head: Vec<u8>,
    /// The OpenPGP message. Where it [is large](SealedArrival::is_large), the caller moves it into
    /// its file first.
    pub body: Body,
    /// Its session key; drop it unless the message is filed at once (APPEND).
    pub session_key: SessionKey,
    /// The subkey that it is sealed to.
    pub subkey: Fingerprint,
    /// Exact octets of the message.
    pub size: u32,
}

impl SealedArrival {
    /// Whether the body must go into a file of its own (`Log::write_large`) before it is submitted:
    /// take it with [`SealedArrival::take_large`], give it back with [`SealedArrival::set_large`].
    pub fn is_large(&self) -> bool {
        matches!(&self.body, Body::Inline(bytes) if bytes.len() > LARGE_BODY_BYTES)
    }

    /// Takes a large body out, to be written to its file.
    pub fn take_large(&mut self) -> Option<Vec<u8>> {
        if self.is_large() { self.take_body() } else { None }
    }

    /// Takes the body out, of whatever size, to be written to a file of its own.
    pub fn take_body(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.body, Body::None) {
            Body::Inline(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Octets that the frame would take in the journal's segment, its header left out.
    pub fn inline_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Inline(bytes) => bytes.len(),
            Body::None | Body::Large(_) => 0,
        };
        self.head.len() + body
    }

    /// The body is durable in its file.
    pub fn set_large(&mut self, body: LargeBody) {
        self.body = Body::Large(body);
    }

    /// The frame to submit.
    pub fn into_entry(self) -> Entry {
        let SealedArrival { account, object, head, body, .. } = self;
        Entry { class: Class::Arrival, account, object, head, body }
    }
}

/// Seals `message` and its record to `to`.
pub fn seal(
    to: &Destination<'_>,
    message: &[u8],
    record: &ArrivalRecord,
    entropy: &dyn Entropy,
) -> Result<SealedArrival, ArrivalError> {
    let sealed = to.key.seal(message, entropy).map_err(|error| match error {
        SealError::TooLarge => ArrivalError::TooLarge,
        SealError::Library => ArrivalError::Library,
    })?;
    let object = ObjectId::random(entropy);
    let salt: [u8; SALT_BYTES] = entropy::bytes(entropy);
    let subkey = *to.key.fingerprint();
    let digest = crypto::sha256(&[&sealed.message]);
    let aad = aad(&to.server, to.account, object, &subkey, &digest);
    let mut head = salt.to_vec();
    let key = record_key(&sealed.session_key, &salt);
    head.extend(crypto::seal(&key, &aad, &record.to_padded(), entropy));
    Ok(SealedArrival {
        account: to.account,
        object,
        head,
        body: Body::Inline(sealed.message),
        session_key: sealed.session_key,
        subkey,
        size: record.size,
    })
}

/// Opens the record in `head`. `digest` is the SHA-256 of the OpenPGP message, as the frame has it.
pub fn open_record(
    session_key: &SessionKey,
    server: &[u8; 16],
    account: AccountNumber,
    object: ObjectId,
    subkey: &Fingerprint,
    digest: &[u8; 32],
    head: &[u8],
) -> Result<ArrivalRecord, ArrivalError> {
    let (salt, sealed) = head.split_at_checked(SALT_BYTES).ok_or(ArrivalError::NotAuthentic)?;
    let aad = aad(server, account, object, subkey, digest);
    let plain = crypto::open(&record_key(session_key, salt), &aad, sealed)
        .ok_or(ArrivalError::NotAuthentic)?;
    ArrivalRecord::from_padded(plain.expose())
}

fn record_key(session_key: &SessionKey, salt: &[u8]) -> crypto::Key {
    crypto::derive(session_key.key().expose(), salt, KEY_LABEL)
}

fn aad(
    server: &[u8; 16],
    account: AccountNumber,
    object: ObjectId,
    subkey: &Fingerprint,
    digest: &[u8; 32],
) -> Vec<u8> {
    let account = account.0.to_be_bytes();
    // The fingerprint is the one part of varying length; it stands last.
    [AAD_LABEL, server, &account, &object.0, digest, subkey.as_bytes()].concat()
}

impl ArrivalRecord {
    /// The record of `message`, with what fits of its analysis.
    pub fn new(
        role: Role,
        detail: Option<&str>,
        received: UnixTime,
        message: &[u8],
        analysis: Analysis,
    ) -> Result<ArrivalRecord, ArrivalError> {
        let size = u32::try_from(message.len()).map_err(|_| ArrivalError::TooLarge)?;
        let header = &message[..analysis.header_bytes.min(message.len())];
        let mut record = ArrivalRecord {
            role,
            detail: detail.filter(|detail| detail.len() <= DETAIL_BYTES_MAX).map(str::to_owned),
            received,
            size,
            header: (header.len() <= HEADER_BYTES_MAX).then(|| header.to_vec()),
            envelope: Some(analysis.envelope),
            structure: Some(analysis.structure),
            pgp_mime: None,
        };
        record.shrink_to_fit();
        Ok(record)
    }

    /// The same, with what is known of the sender where the message is built as whole-message
    /// PGP/MIME and has no place yet.
    pub fn with_sender(mut self, sender: Sender) -> ArrivalRecord {
        let fits = |certificate: &Vec<u8>| certificate.len() <= CERTIFICATE_BYTES_MAX;
        if self.role != Role::Filed && self.structure.as_ref().is_some_and(pgp::mime::is_whole) {
            let certificate = sender.certificate.filter(fits);
            self.pgp_mime = Some(Sender { certificate, ..sender });
            self.shrink_to_fit();
        }
        self
    }

    /// What was left out is derived again from the opened message.
    pub fn complete(self, message: &[u8]) -> ArrivalRecord {
        if self.is_complete() {
            return self;
        }
        let analysis = crate::mail::analyse(message);
        let header = message[..analysis.header_bytes.min(message.len())].to_vec();
        ArrivalRecord {
            header: Some(header),
            envelope: Some(analysis.envelope),
            structure: Some(analysis.structure),
            ..self
        }
    }

    /// Whether nothing was left out.
    pub fn is_complete(&self) -> bool {
        self.header.is_some() && self.envelope.is_some() && self.structure.is_some()
    }

    /// Leaves out what is largest until the rest fits.
    fn shrink_to_fit(&mut self) {
        let room = RECORD_BYTES_MAX - 1 - 4;
        if encoded_bytes(self) > room {
            self.structure = None;
        }
        if encoded_bytes(self) > room {
            self.envelope = None;
        }
        if encoded_bytes(self) > room {
            self.header = None;
        }
    }

    /// Version, length, postcard, zeros up to the next step.
    pub(super) fn to_padded(&self) -> Vec<u8> {
        let body = postcard::to_allocvec(self).expect("a record has no type that postcard lacks");
        let mut out = Vec::with_capacity((body.len() + 5).next_multiple_of(RECORD_STEP_BYTES));
        out.push(VERSION);
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
        out.extend_from_slice(&body);
        out.resize(out.len().next_multiple_of(RECORD_STEP_BYTES), 0);
        out
    }

    pub(super) fn from_padded(bytes: &[u8]) -> Result<ArrivalRecord, ArrivalError> {
        let malformed = ArrivalError::Malformed;
        let (front, rest) = bytes.split_at_checked(5).ok_or(malformed)?;
        let length = u32::from_be_bytes(front[1..].try_into().map_err(|_| malformed)?) as usize;
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(malformed);
        }
        let (body, padding) = rest.split_at_checked(length).ok_or(malformed)?;
        let body = match front[0] {
            VERSION | VERSION_2 => Cow::Borrowed(body),
            VERSION_1 => Cow::Owned([body, &NOT_IN_VERSION_1].concat()),
            _ => return Err(malformed),
        };
        let (record, left) =
            postcard::take_from_bytes::<ArrivalRecord>(&body).map_err(|_| malformed)?;
        let clean = left.is_empty() && padding.iter().all(|&byte| byte == 0);
        if clean && record.is_plausible() { Ok(record) } else { Err(malformed) }
    }

    /// Hostile records must not lead anybody to octets that are not there.
    fn is_plausible(&self) -> bool {
        let within = |span: crate::mail::Span| span.start <= span.end && span.end <= self.size;
        let header_fits =
            self.header.as_ref().is_none_or(|header| header.len() <= self.size as usize);
        let detail_fits = self.detail.as_ref().is_none_or(|d| d.len() <= DETAIL_BYTES_MAX);
        let parts_fit = self.structure.as_ref().is_none_or(|structure| {
            let parts = &structure.parts;
            !parts.is_empty()
                && parts.iter().all(|part| within(part.header) && within(part.body))
                && is_a_tree(parts)
        });
        let certificate = self.pgp_mime.as_ref().and_then(|sender| sender.certificate.as_ref());
        let certificate_fits = certificate.is_none_or(|cert| cert.len() <= CERTIFICATE_BYTES_MAX);
        header_fits && detail_fits && parts_fit && certificate_fits
    }
}

/// Whether parts lie within each other, and not deeper than a reader can follow them: what is made
/// of them later goes down level by level.
fn is_a_tree(parts: &[Part]) -> bool {
    let mut ends = vec![parts.len()];
    for (at, part) in parts.iter().enumerate() {
        while ends.len() > 1 && ends.last().is_some_and(|end| at >= *end) {
            ends.pop();
        }
        let end = at + usize::from(part.entries.max(1));
        if ends.last().is_some_and(|outer| end > *outer) || ends.len() > LEVELS_MAX {
            return false;
        }
        ends.push(end);
    }
    true
}

fn encoded_bytes(record: &ArrivalRecord) -> usize {
    postcard::experimental::serialized_size(record).unwrap_or(usize::MAX)
}
