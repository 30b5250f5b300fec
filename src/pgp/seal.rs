//! Sealing: one message to one pinned subkey, in one pass, with definite lengths.
//!
//! The message is PKESK, then SEIPDv2 (AES-256, OCB, chunks of 4 KiB) around a literal packet with
//! the original octets and a padding packet (Padmé). No stream writer takes part.

use super::cert::{CertError, Fingerprint};
use crate::base::crypto::Key;
use crate::base::entropy::Entropy;

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
}

/// The public half of one epoch's subkey, pinned by its fingerprint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SealKey {
    fingerprint: Fingerprint,
}

/// A sealed message.
#[derive(Debug)]
pub struct Sealed {
    /// The OpenPGP message: one PKESK, one SEIPDv2.
    pub message: Vec<u8>,
    /// Its session key.
    pub session_key: SessionKey,
}

impl SealKey {
    /// Takes the subkey with fingerprint `subkey` out of a certificate. Whatever else the
    /// certificate holds, and what it says about dates and purposes, is not looked at.
    pub fn from_cert(cert: &[u8], subkey: &Fingerprint) -> Result<SealKey, CertError> {
        let _ = (cert, subkey);
        todo!()
    }

    /// The fingerprint of the subkey.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Seals `literal` (octets as they came) under a fresh session key.
    pub fn seal(&self, literal: &[u8], entropy: &dyn Entropy) -> Result<Sealed, CertError> {
        let _ = (literal, entropy);
        todo!()
    }
}
