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
use crate::base::entropy::Entropy;
use crate::pgp::peer::PeerCert;
use crate::pgp::seal::{self, SessionKey};
use openpgp::Packet;
use openpgp::packet::PKESK;
use openpgp::packet::pkesk::PKESK6;
use openpgp::serialize::SerializeInto;
use openpgp::serialize::stream::{Encryptor, LiteralWriter, Message, Recipient};
use openpgp::types::{Features, SymmetricAlgorithm};
use sequoia_openpgp as openpgp;
use std::io::Write;
use std::sync::Arc;

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
    let mut message = Vec::new();
    for cert in to {
        let pkesk = PKESK6::for_recipient(&session_key, cert.key())
            .and_then(|pkesk| Packet::from(PKESK::from(pkesk)).to_vec())
            .map_err(|_| MimeError::Library)?;
        message.extend_from_slice(&pkesk);
    }
    seal::encrypt(message, &session_key, payload, entropy).ok_or(MimeError::Library)
}

/// Version 1, by the library's stream writer. The session key is drawn by the library.
pub fn v1(payload: &[u8], to: &[Arc<PeerCert>]) -> Result<Vec<u8>, MimeError> {
    let recipients = to.iter().map(|cert| {
        let features = Features::empty().set_seipdv1();
        Recipient::new(features, Some(cert.key().keyid().into()), cert.key())
    });
    let mut sealed = Vec::with_capacity(payload.len() + payload.len() / 64 + 1024);
    write_v1(&mut sealed, payload, recipients).map_err(|_| MimeError::Library)?;
    Ok(sealed)
}

fn write_v1<'a>(
    sealed: &'a mut Vec<u8>,
    payload: &[u8],
    to: impl Iterator<Item = Recipient<'a>>,
) -> openpgp::Result<()> {
    let message = Encryptor::for_recipients(Message::new(sealed), to)
        .symmetric_algo(SymmetricAlgorithm::AES256)
        .build()?;
    let mut literal = LiteralWriter::new(message).build()?;
    literal.write_all(payload)?;
    literal.finalize()
}
