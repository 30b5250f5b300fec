//! Opening: the session key from the first octets of a message, and the whole message with it.
//!
//! Not one octet of plaintext is released before the last tag is verified. What is opened has the
//! one shape that `seal` makes: one PKESK, no SKESK, one SEIPDv2 to the end, in it one literal and
//! perhaps padding, all with definite lengths. Anything else is refused.
//!
//! # Standards
//! RFC 9580 §5.1.2 (PKESK 6), §5.13.2 (SEIPDv2), RFC 9980 §4.3.1 (PKESK of ML-KEM-768+X25519).

use super::cert::{CertError, Fingerprint};
use super::frame;
use super::seal::SessionKey;
use crate::base::kem::{HybridSecret, WRAPPED_BYTES, Wrapped};
use crate::base::secret::SecretBytes;
use openpgp::crypto::aead::{DecryptionContext, SEIPv2Schedule, Schedule};
use openpgp::crypto::mpi::SecretKeyMaterial;
use openpgp::packet::key::SecretKeyMaterial as Protection;
use openpgp::parse::Parse;
use openpgp::types::{AEADAlgorithm, SymmetricAlgorithm};
use openpgp::{Packet, PacketPile};
use sequoia_openpgp as openpgp;
use std::fmt;
use std::ops::Range;

/// RFC 9980 §4.3.1: the algorithm ML-KEM-768+X25519.
const MLKEM768_X25519: u8 = 35;

/// RFC 9580 §5.1.2: a PKESK's version, the length of what names the key, its version and
/// fingerprint.
const PKESK_HEAD_BYTES: usize = 3 + 32;

/// The secret half of one epoch's subkey. Its memory is zeroed when it is dropped.
pub struct OpenKey {
    fingerprint: Fingerprint,
    key: HybridSecret,
}

/// Why a message does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is not framed as a stored message; the offset in octets where that was seen.
    Malformed(usize),
    /// It has not exactly one PKESK, or it has a SKESK.
    Recipients,
    /// Its PKESK is to another subkey.
    OtherKey,
    /// Its algorithms are not ours.
    Algorithm,
    /// It was altered or cut, or the key is not its key.
    NotAuthentic,
}

/// The subkey that a message is sealed to, from its first
/// [`PKESK_PREFIX_BYTES`](super::PKESK_PREFIX_BYTES) octets (or all of it, if it is shorter).
pub fn recipient(prefix: &[u8]) -> Result<Fingerprint, OpenError> {
    match &prefix[pkesk(prefix)?] {
        // RFC 9580 §5.1.2: version 6, length of what follows, key version 6, fingerprint.
        [6, 33, 6, rest @ ..] => {
            let bytes = rest.first_chunk::<32>().ok_or(OpenError::Malformed(0))?;
            Ok(Fingerprint::V6(*bytes))
        }
        _ => Err(OpenError::Algorithm),
    }
}

/// Opens a whole message; what is returned is the literal's octets, verified to the end.
pub fn open(session_key: &SessionKey, message: &[u8]) -> Result<SecretBytes, OpenError> {
    let body = encrypted_body(message)?;
    let (salt, sealed) = frame::seipd_parts(&message[body.clone()])?;
    let plain_bytes = frame::plain_bytes(sealed.len()).ok_or(OpenError::Malformed(body.start))?;
    let schedule = frame::schedule(&session_key.to_library(), salt).ok_or(OpenError::Algorithm)?;
    let mut plain = SecretBytes::zeroed(plain_bytes);
    decrypt(&schedule, sealed, plain.expose_mut()).ok_or(OpenError::NotAuthentic)?;
    let literal = frame::literal_range(plain.expose())?;
    plain.keep(literal);
    Ok(plain)
}

impl OpenKey {
    /// Takes the subkey with fingerprint `subkey` out of a transferable secret key.
    pub fn from_secret(secret: &SecretBytes, subkey: &Fingerprint) -> Result<OpenKey, CertError> {
        let packets = PacketPile::from_bytes(secret.expose()).map_err(|_| CertError::Malformed)?;
        let wanted = packets.into_children().find_map(|packet| match packet {
            Packet::SecretSubkey(key) => {
                (Fingerprint::of(&key.fingerprint()).as_ref() == Some(subkey)).then_some(key)
            }
            _ => None,
        });
        let key = wanted.ok_or(CertError::NoSuchSubkey)?;
        let Protection::Unencrypted(secret) = key.secret() else {
            return Err(CertError::Malformed);
        };
        let key = secret.map(hybrid_secret)?;
        Ok(OpenKey { fingerprint: *subkey, key })
    }

    /// The fingerprint of the subkey.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The session key of a message, from its first octets (see [`recipient`]).
    pub fn session_key(&self, prefix: &[u8]) -> Result<SessionKey, OpenError> {
        if recipient(prefix)? != self.fingerprint {
            return Err(OpenError::OtherKey);
        }
        let wrapped = wrapped_key(&prefix[pkesk(prefix)?])?;
        self.key.unwrap(&wrapped).map(SessionKey::new).ok_or(OpenError::NotAuthentic)
    }
}

fn hybrid_secret(secret: &SecretKeyMaterial) -> Result<HybridSecret, CertError> {
    let SecretKeyMaterial::MLKEM768_X25519 { ecdh, mlkem } = secret else {
        return Err(CertError::Algorithm);
    };
    let x25519 = ecdh.as_ref().try_into().map_err(|_| CertError::Malformed)?;
    let mlkem_seed = mlkem.as_ref().try_into().map_err(|_| CertError::Malformed)?;
    HybridSecret::new(x25519, mlkem_seed).ok_or(CertError::Malformed)
}

/// What a PKESK holds behind the fingerprint of its subkey, in fields of fixed lengths: the share,
/// the ciphertext, and the wrapped session key with its length before it.
fn wrapped_key(pkesk: &[u8]) -> Result<Wrapped, OpenError> {
    let fields = pkesk.get(PKESK_HEAD_BYTES..).ok_or(OpenError::Malformed(pkesk.len()))?;
    let Some((&MLKEM768_X25519, fields)) = fields.split_first() else {
        return Err(OpenError::Algorithm);
    };
    let fixed = || {
        let (x25519, rest) = fields.split_first_chunk()?;
        let (mlkem, rest) = rest.split_first_chunk()?;
        let (length, wrapped) = rest.split_first()?;
        let wrapped: &[u8; WRAPPED_BYTES] = wrapped.try_into().ok()?;
        let is_whole = usize::from(*length) == WRAPPED_BYTES;
        is_whole.then_some(Wrapped { x25519: *x25519, mlkem: *mlkem, wrapped: *wrapped })
    };
    fixed().ok_or(OpenError::Malformed(PKESK_HEAD_BYTES))
}

/// Where the body of the leading PKESK lies, all of which must be there.
fn pkesk(prefix: &[u8]) -> Result<Range<usize>, OpenError> {
    let first = frame::packet(prefix, 0)?;
    match first.tag {
        frame::PKESK if first.body.end <= prefix.len() => Ok(first.body),
        frame::PKESK => Err(OpenError::Malformed(prefix.len())),
        frame::SKESK | frame::SEIPD => Err(OpenError::Recipients),
        _ => Err(OpenError::Malformed(0)),
    }
}

/// Where the body of the SEIPDv2 packet lies: directly behind the one PKESK, up to the end.
fn encrypted_body(message: &[u8]) -> Result<Range<usize>, OpenError> {
    let start = pkesk(message)?.end;
    let second = frame::packet(message, start)?;
    match second.tag {
        frame::SEIPD if second.body.end == message.len() => Ok(second.body),
        frame::PKESK | frame::SKESK => Err(OpenError::Recipients),
        _ => Err(OpenError::Malformed(start)),
    }
}

/// Decrypts all chunks and verifies all tags, the last one over the total length too; `None` if one
/// is wrong.
fn decrypt(schedule: &SEIPv2Schedule, sealed: &[u8], plain: &mut [u8]) -> Option<()> {
    let total = plain.len();
    let (chunks, last) = sealed.split_at(sealed.len() - frame::TAG_BYTES);
    let mut index = 0;
    let sealed_chunks = chunks.chunks(frame::CHUNK_BYTES + frame::TAG_BYTES);
    for (chunk, place) in sealed_chunks.zip(plain.chunks_mut(frame::CHUNK_BYTES)) {
        decryption(schedule, index, None)?.decrypt_verify(place, chunk).ok()?;
        index += 1;
    }
    decryption(schedule, index, Some(total))?.decrypt_verify(&mut [], last).ok()
}

/// The cipher for one chunk, or for the tag behind the last one if the total is given.
fn decryption(
    schedule: &SEIPv2Schedule,
    index: u64,
    total: Option<usize>,
) -> Option<DecryptionContext> {
    let mut make = |key: &openpgp::crypto::SessionKey, nonce: &[u8], aad: &[u8]| {
        AEADAlgorithm::OCB.context(SymmetricAlgorithm::AES256, key, aad, nonce)?.for_decryption()
    };
    match total {
        None => schedule.chunk(index, &mut make).ok(),
        Some(bytes) => schedule.finalizer(index, bytes as u64, &mut make).ok(),
    }
}

impl fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenKey({})", self.fingerprint)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Malformed(offset) => write!(f, "not a stored message at octet {offset}"),
            OpenError::Recipients => f.write_str("not exactly one recipient"),
            OpenError::OtherKey => f.write_str("sealed to another subkey"),
            OpenError::Algorithm => f.write_str("algorithms are not those of stored mail"),
            OpenError::NotAuthentic => f.write_str("altered, cut, or under another key"),
        }
    }
}

impl std::error::Error for OpenError {}
