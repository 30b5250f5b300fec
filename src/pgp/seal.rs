//! Sealing: one message to one pinned subkey, in one pass, with definite lengths.
//!
//! The message is PKESK, then SEIPDv2 (AES-256, OCB, chunks of 4 KiB) around a literal packet with
//! the original octets and a padding packet (Padmé). Its length is known before the first octet is
//! encrypted, so that no stream writer takes part, nothing is buffered twice, and chunk `i` stands
//! at a place that can be computed. The plaintext is read where it lies; only the chunks at a seam
//! between packets are gathered, in a buffer that is zeroed.
//!
//! # Standards
//! RFC 9980 §4.3.1 (PKESK of ML-KEM-768+X25519), RFC 9580 §5.1.2 (PKESK 6), §5.13.2 (SEIPDv2), §5.9
//! (literal), §5.14 (padding), §4.2.1 (lengths).

use super::cert::{CertError, Fingerprint};
use super::frame;
use crate::base::crypto::Key;
use crate::base::entropy::{self, Entropy};
use crate::base::kem::HybridKey;
use crate::base::secret::Secret;
use openpgp::crypto::aead::{EncryptionContext, SEIPv2Schedule, Schedule};
use openpgp::crypto::mpi::{Ciphertext, PublicKey};
use openpgp::packet::PKESK;
use openpgp::packet::pkesk::PKESK6;
use openpgp::parse::Parse;
use openpgp::serialize::SerializeInto;
use openpgp::types::{AEADAlgorithm, PublicKeyAlgorithm, SymmetricAlgorithm};
use openpgp::{Packet, PacketPile};
use sequoia_openpgp as openpgp;
use std::fmt;
use std::sync::Arc;

/// Octets of a message that may be sealed: lengths are 32 bits wide (RFC 9580 §4.2.1.3), and the
/// rest of that is room for tags and padding.
const LITERAL_BYTES_MAX: usize = 3 << 30;

/// Octets of a certificate that is looked at. Ours have about two thousand.
pub(super) const CERT_BYTES_MAX: usize = 64 * 1024;

/// The session key of one message. It opens that message and its arrival record, nothing else.
#[derive(Clone, Debug)]
pub struct SessionKey(Key);

impl SessionKey {
    /// The session key that is this key (from a row of the account's table, say).
    pub fn new(key: Key) -> Self {
        SessionKey(key)
    }

    /// The key, to derive from or to store sealed.
    pub fn key(&self) -> &Key {
        &self.0
    }

    /// As the library wants it, in memory that it zeroes.
    pub(super) fn to_library(&self) -> openpgp::crypto::SessionKey {
        openpgp::crypto::SessionKey::from(&self.0.expose()[..])
    }
}

/// The public half of one epoch's subkey, pinned by its fingerprint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SealKey {
    fingerprint: Fingerprint,
    key: Arc<HybridKey>,
}

/// A sealed message.
#[derive(Debug)]
pub struct Sealed {
    /// The OpenPGP message: one PKESK, one SEIPDv2.
    pub message: Vec<u8>,
    /// Its session key.
    pub session_key: SessionKey,
}

/// Why a message was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// Above 3 GiB.
    TooLarge,
    /// The OpenPGP library failed.
    Library,
}

impl SealKey {
    /// Takes the subkey with fingerprint `subkey` out of a certificate. Whatever else the
    /// certificate holds, and what it says about dates and purposes, is not looked at: the
    /// fingerprint is the hash of the key, and who names it has decided.
    pub fn from_cert(cert: &[u8], subkey: &Fingerprint) -> Result<SealKey, CertError> {
        if cert.len() > CERT_BYTES_MAX {
            return Err(CertError::Malformed);
        }
        let packets = PacketPile::from_bytes(cert).map_err(|_| CertError::Malformed)?;
        let wanted = packets.into_children().find_map(|packet| match packet {
            Packet::PublicSubkey(key) => {
                (Fingerprint::of(&key.fingerprint()).as_ref() == Some(subkey)).then_some(key)
            }
            _ => None,
        });
        let key = wanted.ok_or(CertError::NoSuchSubkey)?;
        let PublicKey::MLKEM768_X25519 { ecdh, mlkem } = key.mpis() else {
            return Err(CertError::Algorithm);
        };
        let key = HybridKey::new(ecdh, mlkem).ok_or(CertError::Malformed)?;
        Ok(SealKey { fingerprint: *subkey, key: Arc::new(key) })
    }

    /// The fingerprint of the subkey.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Seals `literal` (octets as they came) under a fresh session key.
    pub fn seal(&self, literal: &[u8], entropy: &dyn Entropy) -> Result<Sealed, SealError> {
        if literal.len() > LITERAL_BYTES_MAX {
            return Err(SealError::TooLarge);
        }
        let session_key = SessionKey(Key::random(entropy));
        let pkesk = self.pkesk(&session_key).ok_or(SealError::Library)?;
        let message = encrypt(pkesk, &session_key.to_library(), literal, entropy);
        Ok(Sealed { message: message.ok_or(SealError::Library)?, session_key })
    }

    /// The packet that gives the session key to the subkey's owner.
    fn pkesk(&self, session_key: &SessionKey) -> Option<Vec<u8>> {
        let wrapped = self.key.wrap(session_key.key())?;
        let esk = Ciphertext::MLKEM768_X25519 {
            ecdh: Box::new(wrapped.x25519),
            mlkem: Box::new(wrapped.mlkem),
            esk: wrapped.wrapped.into(),
        };
        let algorithm = PublicKeyAlgorithm::MLKEM768_X25519;
        let pkesk = PKESK6::new(Some(self.fingerprint.to_library()), algorithm, esk).ok()?;
        Packet::from(PKESK::from(pkesk)).to_vec().ok()
    }
}

/// Appends the SEIPDv2 packet to `message`, which holds the PKESKs.
pub(super) fn encrypt(
    message: Vec<u8>,
    session_key: &openpgp::crypto::SessionKey,
    literal: &[u8],
    entropy: &dyn Entropy,
) -> Option<Vec<u8>> {
    let head = frame::literal_head(literal.len());
    let padding = frame::padding(head.len() + literal.len(), entropy);
    let pieces: [&[u8]; 3] = [&head, literal, &padding];
    let plain_bytes = pieces.iter().map(|piece| piece.len()).sum();
    let salt: [u8; frame::SALT_BYTES] = entropy::bytes(entropy);
    let packet = frame::seipd_head(plain_bytes, &salt);
    let mut message = message;
    let mut place = message.len() + packet.len();
    message.reserve_exact(packet.len() + frame::sealed_bytes(plain_bytes));
    message.extend_from_slice(&packet);
    message.resize(place + frame::sealed_bytes(plain_bytes), 0);
    let schedule = frame::schedule(session_key, &salt)?;
    let mut chunks = Chunks { pieces, gathered: Secret::zeroed() };
    for index in 0.. {
        let Some(chunk) = chunks.next_chunk() else {
            let mut last = encryption(&schedule, index, Some(plain_bytes))?;
            last.encrypt_seal(&mut message[place..], b"").ok()?;
            break;
        };
        let end = place + chunk.len() + frame::TAG_BYTES;
        encryption(&schedule, index, None)?.encrypt_seal(&mut message[place..end], chunk).ok()?;
        place = end;
    }
    Some(message)
}

/// The cipher for one chunk, or for the tag behind the last one if the total is given.
fn encryption(
    schedule: &SEIPv2Schedule,
    index: u64,
    total: Option<usize>,
) -> Option<EncryptionContext> {
    let mut make = |key: &openpgp::crypto::SessionKey, nonce: &[u8], aad: &[u8]| {
        AEADAlgorithm::OCB.context(SymmetricAlgorithm::AES256, key, aad, nonce)?.for_encryption()
    };
    match total {
        None => schedule.chunk(index, &mut make).ok(),
        Some(bytes) => schedule.finalizer(index, bytes as u64, &mut make).ok(),
    }
}

/// The plaintext in chunks: borrowed where a piece has a whole one, gathered at the seams.
struct Chunks<'a> {
    pieces: [&'a [u8]; 3],
    gathered: Secret<{ frame::CHUNK_BYTES }>,
}

impl Chunks<'_> {
    fn next_chunk(&mut self) -> Option<&[u8]> {
        let first = self.pieces.iter_mut().find(|piece| !piece.is_empty())?;
        if let Some((chunk, rest)) = first.split_at_checked(frame::CHUNK_BYTES) {
            *first = rest;
            return Some(chunk);
        }
        let mut filled = 0;
        for piece in &mut self.pieces {
            let (part, rest) = piece.split_at(piece.len().min(frame::CHUNK_BYTES - filled));
            self.gathered.expose_mut()[filled..filled + part.len()].copy_from_slice(part);
            filled += part.len();
            *piece = rest;
        }
        Some(&self.gathered.expose()[..filled])
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SealError::TooLarge => "a message above 3 GiB is not sealed",
            SealError::Library => "the OpenPGP library failed",
        })
    }
}

impl std::error::Error for SealError {}
