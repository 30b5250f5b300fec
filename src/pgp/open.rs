//! Opening: the session key from the first octets of a message, and the whole message with it.
//!
//! Not one octet of plaintext is released before the last tag is verified. What is opened has the
//! one shape that `seal` makes, as an independent program may also write it: one PKESK, no SKESK,
//! one SEIPDv2, in it one literal and perhaps padding. Anything else is refused.

use super::cert::{CertError, Fingerprint};
use super::seal::SessionKey;
use crate::base::secret::SecretBytes;
use std::fmt;

/// The secret half of one epoch's subkey. Its memory is zeroed when it is dropped.
pub struct OpenKey {
    fingerprint: Fingerprint,
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

/// The subkey that a message is sealed to, from its first
/// [`PKESK_PREFIX_BYTES`](super::PKESK_PREFIX_BYTES) octets (or all of it, if it is shorter).
pub fn recipient(prefix: &[u8]) -> Result<Fingerprint, OpenError> {
    let _ = prefix;
    todo!()
}

/// Opens a whole message; what is returned is the literal's octets, verified to the end.
pub fn open(session_key: &SessionKey, message: &[u8]) -> Result<SecretBytes, OpenError> {
    let _ = (session_key, message);
    todo!()
}

impl OpenKey {
    /// Takes the subkey with fingerprint `subkey` out of a transferable secret key.
    pub fn from_secret(secret: &SecretBytes, subkey: &Fingerprint) -> Result<OpenKey, CertError> {
        let _ = (secret, subkey);
        todo!()
    }

    /// The fingerprint of the subkey.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The session key of a message, from its first octets (see [`recipient`]).
    pub fn session_key(&self, prefix: &[u8]) -> Result<SessionKey, OpenError> {
        let _ = prefix;
        todo!()
    }
}

impl fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenKey({})", self.fingerprint)
    }
}
