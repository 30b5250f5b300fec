//! Certificates: the identity that peers write to, and the storage key of one epoch.
//!
//! # Standards
//! RFC 9580 §10.1 (certificates), §5.2.3.32 (features), RFC 9980 (ML-KEM-768+X25519).

use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use openpgp::Cert;
use openpgp::cert::{CertBuilder, CipherSuite};
use openpgp::packet::UserID;
use openpgp::serialize::{Serialize, SerializeInto};
use openpgp::types::{Features, KeyFlags, PublicKeyAlgorithmSpecification};
use sequoia_openpgp as openpgp;
use std::fmt;
use std::time::Duration;

/// Octets of an address in a User ID (RFC 5321 §4.5.3.1.3: a path has at most 256).
const ADDRESS_BYTES_MAX: usize = 256;

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

    pub(super) fn to_library(self) -> openpgp::Fingerprint {
        match self {
            Fingerprint::V4(bytes) => openpgp::Fingerprint::V4(bytes),
            Fingerprint::V6(bytes) => openpgp::Fingerprint::V6(bytes),
        }
    }

    pub(super) fn of(theirs: &openpgp::Fingerprint) -> Option<Fingerprint> {
        match theirs {
            openpgp::Fingerprint::V4(bytes) => Some(Fingerprint::V4(*bytes)),
            openpgp::Fingerprint::V6(bytes) => Some(Fingerprint::V6(*bytes)),
            _ => None,
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
    /// The address makes no User ID, or the certificate has none of that address.
    UserId,
    /// The time is no OpenPGP time (1970 to 2106).
    Time,
    /// These octets are not the certificate that they should be.
    Malformed,
    /// The certificate holds no subkey with the wanted fingerprint.
    NoSuchSubkey,
    /// The subkey's algorithm is not ML-KEM-768+X25519.
    Algorithm,
    /// The OpenPGP library failed.
    Library,
}

/// Makes the identity certificate of `address`: version 4, Ed25519 and X25519 in the form that
/// every peer knows, features SEIPDv1 only. It does not expire.
///
/// The library's own default announces SEIPDv2, and GnuPG 2.2 and RNP cannot read what is then
/// written to it.
pub fn generate_identity(address: &str, now: UnixTime) -> Result<CertPair, CertError> {
    let plausible = address.contains('@') && address.len() <= ADDRESS_BYTES_MAX;
    if !plausible || address.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(CertError::UserId);
    }
    let builder = CertBuilder::new()
        .set_cipher_suite(CipherSuite::Cv25519)
        .set_features(Features::empty().set_seipdv1())
        .map_err(|_| CertError::Library)?
        .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
        .add_userid(UserID::from(address));
    generate(builder, now)
}

/// Makes the storage certificate of one epoch: version 6, Ed25519 with one ML-KEM-768+X25519
/// subkey for encryption, features SEIPDv2, no User ID, no expiry.
pub fn generate_storage(now: UnixTime) -> Result<CertPair, CertError> {
    let builder = CertBuilder::new()
        .set_profile(openpgp::Profile::RFC9580)
        .and_then(|builder| builder.set_features(Features::empty().set_seipdv2()))
        .map_err(|_| CertError::Library)?
        .set_cipher_suite(CipherSuite::Cv25519)
        .set_encryption_algorithm(PublicKeyAlgorithmSpecification::mlkem768_x25519());
    generate(builder, now)
}

/// The fingerprint of a certificate's primary key, from its octets. Nothing else is looked at.
pub fn fingerprint(cert: &[u8]) -> Result<Fingerprint, CertError> {
    use openpgp::parse::Parse;
    let cert = Cert::from_bytes(cert).map_err(|_| CertError::Malformed)?;
    Fingerprint::of(&cert.fingerprint()).ok_or(CertError::Malformed)
}

fn generate(builder: CertBuilder, now: UnixTime) -> Result<CertPair, CertError> {
    // RFC 9580 §3.5: times are 32-bit counts of seconds since 1970.
    let seconds = u32::try_from(now.0).map_err(|_| CertError::Time)?;
    let for_mail = KeyFlags::empty().set_transport_encryption().set_storage_encryption();
    let (cert, _revocation) = builder
        .set_creation_time(std::time::UNIX_EPOCH + Duration::from_secs(seconds.into()))
        .add_subkey(for_mail, None, None)
        .generate()
        .map_err(|_| CertError::Library)?;
    let subkey = cert.keys().subkeys().next().ok_or(CertError::Library)?.key().fingerprint();
    Ok(CertPair {
        public: cert.to_vec().map_err(|_| CertError::Library)?,
        secret: secret_bytes(&cert)?,
        fingerprint: Fingerprint::of(&cert.fingerprint()).ok_or(CertError::Library)?,
        subkey: Fingerprint::of(&subkey).ok_or(CertError::Library)?,
    })
}

/// The transferable secret key, written once into a buffer of its exact size.
pub(super) fn secret_bytes(cert: &Cert) -> Result<SecretBytes, CertError> {
    let tsk = cert.as_tsk();
    let mut secret = SecretBytes::zeroed(tsk.serialized_len());
    let mut place = &mut *secret.expose_mut();
    tsk.serialize(&mut place).map_err(|_| CertError::Library)?;
    let unused = place.len();
    let len = secret.expose().len() - unused;
    secret.keep(0..len);
    Ok(secret)
}

impl fmt::Display for CertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CertError::UserId => "the address is no User ID of the certificate",
            CertError::Time => "the time is not between 1970 and 2106",
            CertError::Malformed => "not a certificate",
            CertError::NoSuchSubkey => "the certificate has no such subkey",
            CertError::Algorithm => "the subkey's algorithm is not ML-KEM-768+X25519",
            CertError::Library => "the OpenPGP library failed",
        })
    }
}

impl std::error::Error for CertError {}

#[cfg(test)]
mod tests {
    use super::*;
    use openpgp::parse::Parse;
    use openpgp::policy::StandardPolicy;
    use openpgp::types::PublicKeyAlgorithm;

    const NOW: UnixTime = UnixTime(1_795_000_000);

    fn parsed(bytes: &[u8]) -> Cert {
        Cert::from_bytes(bytes).unwrap()
    }

    #[test]
    fn an_identity_is_what_old_peers_can_write_to() {
        let pair = generate_identity("alice@example.org", NOW).unwrap();
        let cert = parsed(&pair.public);
        let policy = StandardPolicy::new();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(NOW.0 as u64);
        let valid = cert.with_policy(&policy, time).unwrap();
        // GnuPG looks at the User ID's signature, others at the direct key signature.
        let user_id = cert.userids().next().unwrap();
        let signatures = user_id.self_signatures().chain(cert.primary_key().self_signatures());
        let mut seen = 0;
        for signature in signatures {
            assert_eq!(signature.features(), Some(Features::empty().set_seipdv1()));
            assert!(signature.preferred_aead_ciphersuites().is_none());
            seen += 1;
        }
        assert_eq!(seen, 2);
        assert!(valid.primary_key().key_expiration_time().is_none());
        let algorithms: Vec<_> = cert.keys().map(|k| k.key().pk_algo()).collect();
        assert_eq!(algorithms, [PublicKeyAlgorithm::EdDSA, PublicKeyAlgorithm::ECDH]);
        assert!(cert.keys().all(|k| k.key().version() == 4));
        assert_eq!(cert.userids().next().unwrap().userid().value(), b"alice@example.org");
        assert!(!cert.is_tsk() && parsed(pair.secret.expose()).is_tsk());
    }

    #[test]
    fn a_storage_certificate_is_post_quantum_nameless_and_does_not_expire() {
        let pair = generate_storage(NOW).unwrap();
        let cert = parsed(&pair.public);
        let policy = StandardPolicy::new();
        let late = std::time::UNIX_EPOCH + Duration::from_secs(u32::MAX as u64);
        let valid = cert.with_policy(&policy, late).unwrap();
        let subkeys: Vec<_> = valid.keys().subkeys().for_storage_encryption().alive().collect();
        assert_eq!(subkeys.len(), 1);
        assert_eq!(subkeys[0].key().pk_algo(), PublicKeyAlgorithm::MLKEM768_X25519);
        assert_eq!(Fingerprint::of(&subkeys[0].key().fingerprint()), Some(pair.subkey));
        let direct = valid.direct_key_signature().unwrap();
        assert_eq!(direct.features(), Some(Features::empty().set_seipdv2()));
        assert_eq!(cert.userids().count(), 0);
        assert!(cert.keys().all(|k| k.key().version() == 6));
        assert_eq!(fingerprint(&pair.public), Ok(pair.fingerprint));
    }

    #[test]
    fn what_makes_no_certificate_is_refused() {
        for address in ["alice", "a b@example.org", "a\n@example.org", ""] {
            assert_eq!(generate_identity(address, NOW).unwrap_err(), CertError::UserId);
        }
        assert_eq!(generate_storage(UnixTime(-1)).unwrap_err(), CertError::Time);
        assert_eq!(generate_storage(UnixTime(1 << 32)).unwrap_err(), CertError::Time);
    }
}
