//! Certificates: the identity that peers write to, and the storage key of one epoch.
//!
//! # Standards
//! RFC 9580 §10.1 (certificates), §5.2.3.32 (features), RFC 9980 (ML-KEM-768+X25519).

use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use std::fmt;

/// The fingerprint of a key or subkey.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Fingerprint {
    /// A version 4 key (SHA-1 of the key packet).
    V4([u8; 20]),
    /// A version 6 key (SHA-256 of the key packet).
    V6([u8; 32]),
}

impl Fingerprint {
    /// The octets: 20 or 32.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Fingerprint::V4(bytes) => bytes,
            Fingerprint::V6(bytes) => bytes,
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A certificate and its secret half.
#[derive(Debug)]
pub struct CertPair {
    /// The public certificate, binary, as anybody may see it.
    pub public: Vec<u8>,
    /// The same with its secret keys, unencrypted (a transferable secret key, RFC 9580 §10.2).
    pub secret: SecretBytes,
    /// The fingerprint of the certificate's primary key.
    pub fingerprint: Fingerprint,
    /// The fingerprint of its one encryption subkey.
    pub subkey: Fingerprint,
}

/// Why a certificate cannot be made or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertError {
    /// The address makes no User ID, or the time no OpenPGP time (1970 to 2106).
    Input,
    /// These octets are not the certificate that they should be.
    Malformed,
    /// The certificate holds no subkey with the wanted fingerprint.
    NoSuchSubkey,
    /// The subkey's algorithm is not ML-KEM-768+X25519.
    Algorithm,
    /// The OpenPGP library failed.
    Library,
}

impl fmt::Display for CertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CertError::Input => "address or time make no certificate",
            CertError::Malformed => "not a certificate",
            CertError::NoSuchSubkey => "the certificate has no such subkey",
            CertError::Algorithm => "the subkey's algorithm is not ML-KEM-768+X25519",
            CertError::Library => "the OpenPGP library failed",
        })
    }
}

impl std::error::Error for CertError {}

/// Makes the identity certificate of `address`: version 4, Ed25519 and X25519, features SEIPDv1
/// only, so that every peer can write to it. It does not expire.
pub fn generate_identity(address: &str, now: UnixTime) -> Result<CertPair, CertError> {
    let _ = (address, now);
    todo!()
}

/// Makes the storage certificate of one epoch: version 6, Ed25519 with one ML-KEM-768+X25519
/// subkey for encryption, features SEIPDv2, no User ID, no expiry.
pub fn generate_storage(now: UnixTime) -> Result<CertPair, CertError> {
    let _ = now;
    todo!()
}
