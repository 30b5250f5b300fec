//! One OpenPGP message to several certificates.
//!
//! Version 2 of encrypted data (AES-256, OCB) if every recipient's program says that it reads it,
//! with a padding packet; version 1 otherwise, which every program reads. Never compressed: the
//! length of compressed text tells about the text.
//!
//! # Standards
//! RFC 9580 §5.13 (both versions), §5.1 (session keys), §5.9 (literal: binary, no name, no date).

use super::seal::MimeError;
use crate::base::crypto::Key;
use crate::base::entropy::{self, Entropy};
use crate::pgp::frame;
use crate::pgp::peer::PeerCert;
use crate::pgp::seal::{self, SessionKey};
use openpgp::Packet;
use openpgp::crypto::symmetric::{BlockCipherMode, Encryptor, PaddingMode};
use openpgp::packet::PKESK;
use openpgp::packet::pkesk::{PKESK3, PKESK6};
use openpgp::serialize::SerializeInto;
use openpgp::types::{HashAlgorithm, SymmetricAlgorithm};
use sequoia_openpgp as openpgp;
use std::io::Write;
use std::sync::Arc;

/// Octets of a block of AES.
const BLOCK_BYTES: usize = 16;

/// Header of the packet at the end of version 1: tag 19, 20 octets (RFC 9580 §5.13.1).
const DIGEST_PACKET_HEAD: [u8; 2] = [0xD3, 0x14];

/// Whether all of them read version 2.
pub fn all_take_v2(to: &[Arc<PeerCert>]) -> bool {
    to.iter().all(|cert| cert.takes_seipdv2())
}

/// Version 2: the same framing as stored mail has, but to several keys.
pub fn v2(
    payload: &[u8],
    to: &[Arc<PeerCert>],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, MimeError> {
    let session_key = SessionKey::new(Key::random(entropy)).to_library();
    let message =
        wrapped(to, |cert| PKESK6::for_recipient(&session_key, cert.key()).map(PKESK::from))?;
    seal::encrypt(message, &session_key, payload, entropy).ok_or(MimeError::Library)
}

/// Version 1, framed with definite lengths. The library's stream writer would do the same with two
/// buffers of 4 MiB each, and to clear them when they are freed takes longer than all the rest.
pub fn v1(
    payload: &[u8],
    to: &[Arc<PeerCert>],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, MimeError> {
    let session_key = SessionKey::new(Key::random(entropy)).to_library();
    let message = wrapped(to, |cert| {
        PKESK3::for_recipient(SymmetricAlgorithm::AES256, &session_key, cert.key()).map(PKESK::from)
    })?;
    encrypt_v1(message, &session_key, payload, entropy).map_err(|_| MimeError::Library)
}

/// The session key for each recipient, one packet after the other.
fn wrapped(
    to: &[Arc<PeerCert>],
    wrap: impl Fn(&PeerCert) -> openpgp::Result<PKESK>,
) -> Result<Vec<u8>, MimeError> {
    let mut message = Vec::new();
    for cert in to {
        let packet = wrap(cert).and_then(|pkesk| Packet::from(pkesk).to_vec());
        message.extend_from_slice(&packet.map_err(|_| MimeError::Library)?);
    }
    Ok(message)
}

/// RFC 9580 §5.13.1: a random block, its last two octets again, the literal packet, and the packet
/// with the SHA-1 of all that, in CFB mode from a block of zeros.
fn encrypt_v1(
    mut message: Vec<u8>,
    session_key: &openpgp::crypto::SessionKey,
    payload: &[u8],
    entropy: &dyn Entropy,
) -> openpgp::Result<Vec<u8>> {
    let random: [u8; BLOCK_BYTES] = entropy::bytes(entropy);
    let head = frame::literal_head(payload.len());
    let pieces: [&[u8]; 5] =
        [&random, &random[BLOCK_BYTES - 2..], &head, payload, &DIGEST_PACKET_HEAD];
    let mut hash = HashAlgorithm::SHA1.context()?.for_digest();
    pieces.iter().for_each(|piece| hash.update(piece));
    let digest = hash.into_digest()?;
    let sealed_bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>() + digest.len();
    message.reserve_exact(sealed_bytes + frame::HEADER_BYTES_MAX + 1);
    message.extend_from_slice(&frame::header(frame::SEIPD, 1 + sealed_bytes));
    message.push(1);
    let (cipher, mode) = (SymmetricAlgorithm::AES256, BlockCipherMode::CFB);
    let mut writer = Encryptor::new(cipher, mode, PaddingMode::None, session_key, None, message)?;
    for piece in pieces.into_iter().chain([&digest[..]]) {
        writer.write_all(piece)?;
    }
    writer.finalize()
}
