//! An identity of its owner's own choosing: a certificate, or a secret key with its passphrase,
//! read, judged and cut down to what the server keeps.
//!
//! What is kept is version 4, which every peer can write to, with the one User ID of the account,
//! the owner's own signatures and nobody else's. Where the secret key is given, the certificate is
//! signed anew when it announces what not every program understands, or when it has no User ID of
//! the account's address yet. A certificate alone is taken as it is, for nobody here could sign it.
//!
//! # What is trusted
//! Nothing of the octets. The owner's word that the key is his comes from the credential, which is
//! the caller's to check.
//!
//! # Known gaps
//! - With the backend `crypto-rust`, RSA, DSA and ElGamal secret keys are refused: its arithmetic
//!   is not constant-time, and a server decrypts for whoever sends.
//! - A certificate alone may announce GnuPG's own OCB packets, which this library cannot open; nor
//!   has the server a key to open anything that is sent to it.
//!
//! # Standards
//! RFC 9580 §10.1, §10.2 (transferable keys), §3.7 (passphrases), §5.2.3.32 (features).

use super::cert::Fingerprint;
use super::publish::{is_of, system_time};
use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use crate::mail::Address;
use openpgp::cert::amalgamation::ValidAmalgamation;
use openpgp::cert::{CertParser, ValidCert};
use openpgp::crypto::Password;
use openpgp::packet::key::{SecretKeyMaterial, SecretParts, UnspecifiedRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::signature::subpacket::SubpacketTag;
use openpgp::packet::{Key, Signature, UserID};
use openpgp::parse::Parse;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::types::{Features, HashAlgorithm, KeyFlags, PublicKeyAlgorithm, SignatureType};
use openpgp::{Cert, KeyHandle, Packet};
use sequoia_openpgp as openpgp;
use std::fmt;
use std::time::SystemTime;

/// Octets that are read: a certificate with some hundred signatures of others on it.
pub const IMPORT_BYTES_MAX: usize = 64 * 1024;

/// Octets of what is kept, each of the public and the secret half.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Keys of one certificate.
const KEYS_MAX: usize = 16;

/// An identity that was imported.
#[derive(Debug)]
pub struct Imported {
    /// The certificate, binary, with the User ID of the account and no other.
    pub public: Vec<u8>,
    /// The same with its secret keys, unencrypted; `None` if only the certificate was given.
    pub secret: Option<SecretBytes>,
    /// The fingerprint of its primary key.
    pub fingerprint: Fingerprint,
}

/// Why an identity is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportError {
    /// It is longer than it may be, or has more keys.
    TooLarge,
    /// It is no certificate and no key, or more than one.
    Malformed,
    /// It is not of version 4.
    Version,
    /// It is revoked, expired, or too weak by the library's policy.
    Invalid,
    /// It has no User ID of the account's address, and no secret primary key to make one.
    OtherAddress,
    /// It has no key that mail can be encrypted to.
    NoEncryption,
    /// It comes with secret keys, but not with that of a key that mail is encrypted to.
    Incomplete,
    /// The secret keys are of an algorithm that this build does not open mail with.
    Algorithm,
    /// The passphrase is wrong, or none was given.
    Passphrase,
    /// The OpenPGP library failed.
    Library,
}

/// Whether the octets have secret keys that only a passphrase opens.
pub fn needs_passphrase(octets: &[u8]) -> bool {
    let Ok(cert) = one(octets) else { return false };
    cert.keys().secret().any(|key| locked(key.key().secret()))
}

/// Reads the identity of `address` from `octets`, binary or in armour.
pub fn import(
    octets: &[u8],
    address: &str,
    passphrase: Option<&SecretBytes>,
    now: UnixTime,
) -> Result<Imported, ImportError> {
    let cert = one(octets)?;
    if cert.keys().any(|key| key.key().version() != 4) {
        return Err(ImportError::Version);
    }
    let at = system_time(now).map_err(|_| ImportError::Library)?;
    let address = address.parse().map_err(|_| ImportError::OtherAddress)?;
    let cert = without_stubs(cert)?;
    if !cert.is_tsk() {
        let user_id = user_id(&judge(&cert, at)?, &address).ok_or(ImportError::OtherAddress)?;
        return kept(own(cert, &user_id)?, false);
    }
    if cert.keys().secret().any(|key| !may_open(key.key().pk_algo())) {
        return Err(ImportError::Algorithm);
    }
    let cert = unlock(cert, passphrase)?;
    let user_id = user_id(&judge(&cert, at)?, &address);
    let (cert, user_id) = bind(cert, user_id, &address, at)?;
    kept(own(cert, &user_id)?, true)
}

/// The one certificate that the octets hold.
fn one(octets: &[u8]) -> Result<Cert, ImportError> {
    if octets.len() > IMPORT_BYTES_MAX {
        return Err(ImportError::TooLarge);
    }
    let mut certs = CertParser::from_bytes(octets).map_err(|_| ImportError::Malformed)?;
    match (certs.next(), certs.next()) {
        (Some(Ok(cert)), None) if cert.keys().count() <= KEYS_MAX => Ok(cert),
        (Some(Ok(_)), None) => Err(ImportError::TooLarge),
        _ => Err(ImportError::Malformed),
    }
}

/// Valid now, for mail; with every secret key that mail needs, if there is any.
fn judge<'a>(cert: &'a Cert, at: SystemTime) -> Result<ValidCert<'a>, ImportError> {
    static POLICY: StandardPolicy = StandardPolicy::new();
    let valid = cert.with_policy(&POLICY, at).map_err(|_| ImportError::Invalid)?;
    valid.alive().map_err(|_| ImportError::Invalid)?;
    if matches!(valid.revocation_status(), openpgp::types::RevocationStatus::Revoked(_)) {
        return Err(ImportError::Invalid);
    }
    let mut keys =
        valid.keys().supported().alive().revoked(false).for_transport_encryption().peekable();
    if keys.peek().is_none() {
        return Err(ImportError::NoEncryption);
    }
    match cert.is_tsk() && keys.any(|key| !key.key().has_secret()) {
        true => Err(ImportError::Incomplete),
        false => Ok(valid),
    }
}

/// The User ID of the account: its bare address before one with a name.
fn user_id(valid: &ValidCert<'_>, address: &Address) -> Option<UserID> {
    let bare = address.to_string();
    let revoked = openpgp::types::RevocationStatus::NotAsFarAsWeKnow;
    valid
        .userids()
        .filter(|id| id.revocation_status() == revoked && is_of(id.userid(), address))
        .map(|id| id.userid())
        .min_by_key(|id| id.value() != bare.as_bytes())
        .cloned()
}

/// Secret keys that are kept elsewhere leave a stub, which holds no secret.
fn without_stubs(cert: Cert) -> Result<Cert, ImportError> {
    let is_stub = |secret: &SecretKeyMaterial| match secret {
        SecretKeyMaterial::Encrypted(encrypted) => !encrypted.s2k().is_supported(),
        SecretKeyMaterial::Unencrypted(_) => false,
    };
    let packets = cert.into_tsk().into_packets().map(|packet| match packet {
        Packet::SecretKey(key) if is_stub(key.secret()) => Packet::PublicKey(key.take_secret().0),
        Packet::SecretSubkey(key) if is_stub(key.secret()) => {
            Packet::PublicSubkey(key.take_secret().0)
        }
        other => other,
    });
    Cert::from_packets(packets).map_err(|_| ImportError::Malformed)
}

/// Whether this build opens mail with secret keys of the algorithm.
#[expect(deprecated, reason = "old keys name algorithms that are made no more")]
pub(super) fn may_open(algorithm: PublicKeyAlgorithm) -> bool {
    use PublicKeyAlgorithm as A;
    let constant_time = !matches!(
        algorithm,
        A::RSAEncryptSign
            | A::RSAEncrypt
            | A::RSASign
            | A::DSA
            | A::ElGamalEncrypt
            | A::ElGamalEncryptSign
    );
    constant_time || cfg!(feature = "crypto-openssl")
}

fn locked(secret: &SecretKeyMaterial) -> bool {
    matches!(secret, SecretKeyMaterial::Encrypted(encrypted) if encrypted.s2k().is_supported())
}

/// All secret keys in clear.
fn unlock(cert: Cert, passphrase: Option<&SecretBytes>) -> Result<Cert, ImportError> {
    let password = passphrase.map(|text| Password::from(text.expose()));
    let open = |key: Key<SecretParts, UnspecifiedRole>| match locked(key.secret()) {
        true => {
            let password = password.as_ref().ok_or(ImportError::Passphrase)?;
            key.decrypt_secret(password).map_err(|_| ImportError::Passphrase)
        }
        false => Ok(key),
    };
    let packets = cert.into_tsk().into_packets().map(|packet| match packet {
        Packet::SecretKey(key) => {
            open(key.role_into_unspecified()).map(|key| Packet::SecretKey(key.role_into_primary()))
        }
        Packet::SecretSubkey(key) => open(key.role_into_unspecified())
            .map(|key| Packet::SecretSubkey(key.role_into_subordinate())),
        other => Ok(other),
    });
    let packets = packets.collect::<Result<Vec<_>, _>>()?;
    Cert::from_packets(packets.into_iter()).map_err(|_| ImportError::Malformed)
}

/// Signs the User ID, and the certificate itself where it is signed, anew if that is needed.
fn bind(
    cert: Cert,
    user_id: Option<UserID>,
    address: &Address,
    at: SystemTime,
) -> Result<(Cert, UserID), ImportError> {
    let known = user_id.clone();
    let bound = user_id.unwrap_or_else(|| UserID::from(address.to_string()));
    let (of_id, direct) = signatures(&cert, known.as_ref(), at)?;
    let announces = |signature: &Signature| {
        let plain = Features::empty().set_seipdv1();
        signature.features().is_some_and(|features| features != plain)
            || signature.preferred_aead_ciphersuites().is_some()
    };
    let mut signatures = of_id.iter().chain(&direct);
    if known.is_some() && !signatures.any(announces) {
        return Ok((cert, bound));
    }
    // Without the secret primary key nothing can be signed: what is there must do.
    let Ok(primary) = cert.primary_key().key().clone().parts_into_secret() else {
        return known.map(|_| (cert, bound)).ok_or(ImportError::OtherAddress);
    };
    let mut signer = primary.into_keypair().map_err(|_| ImportError::Library)?;
    let library = |_| ImportError::Library;
    let mut packets: Vec<Packet> = vec![bound.clone().into()];
    let fresh = of_id.map_or_else(binding, SignatureBuilder::from);
    let signed = plain(fresh, at)?.sign_userid_binding(&mut signer, None, &bound);
    packets.push(signed.map_err(library)?.into());
    if let Some(direct) = direct {
        let signed = plain(direct.into(), at)?.sign_direct_key(&mut signer, None);
        packets.push(signed.map_err(library)?.into());
    }
    let (cert, _) = cert.insert_packets(packets).map_err(library)?;
    Ok((cert, bound))
}

/// The signatures in force on the User ID and on the primary key itself.
fn signatures(
    cert: &Cert,
    user_id: Option<&UserID>,
    at: SystemTime,
) -> Result<(Option<Signature>, Option<Signature>), ImportError> {
    let valid = judge(cert, at)?;
    let of_id = valid
        .userids()
        .find(|id| Some(id.userid()) == user_id)
        .map(|id| id.binding_signature().clone());
    Ok((of_id, valid.direct_key_signature().ok().cloned()))
}

/// What binds a User ID to a certificate that has none of ours: for certifying and signing.
fn binding() -> SignatureBuilder {
    SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_hash_algo(HashAlgorithm::SHA512)
        .set_key_flags(KeyFlags::empty().set_certification().set_signing())
        .expect("two flags fit into a subpacket")
}

/// Announces what every program knows.
fn plain(builder: SignatureBuilder, at: SystemTime) -> Result<SignatureBuilder, ImportError> {
    builder
        .modify_hashed_area(|mut area| {
            area.remove_all(SubpacketTag::PreferredAEADCiphersuites);
            Ok(area)
        })
        .and_then(|builder| builder.set_features(Features::empty().set_seipdv1()))
        .and_then(|builder| builder.set_signature_creation_time(at))
        .map_err(|_| ImportError::Library)
}

/// The certificate with one User ID and its owner's own signatures.
fn own(cert: Cert, user_id: &UserID) -> Result<Cert, ImportError> {
    let owner = KeyHandle::from(cert.fingerprint());
    let is_own =
        |signature: &Signature| signature.get_issuers().iter().any(|issuer| issuer.aliases(&owner));
    let cert = cert.retain_userids(|id| id.userid() == user_id).retain_user_attributes(|_| false);
    let packets = cert.into_tsk().into_packets().filter(|packet| match packet {
        Packet::Signature(signature) => is_own(signature),
        Packet::Unknown(_) => false,
        _ => true,
    });
    Cert::from_packets(packets).map_err(|_| ImportError::Library)
}

fn kept(cert: Cert, with_secret: bool) -> Result<Imported, ImportError> {
    let fingerprint = Fingerprint::of(&cert.fingerprint()).ok_or(ImportError::Malformed)?;
    let secret = with_secret.then(|| super::cert::secret_bytes(&cert)).transpose();
    let secret = secret.map_err(|_| ImportError::Library)?;
    let public = cert.strip_secret_key_material().to_vec().map_err(|_| ImportError::Library)?;
    let lengths = [public.len(), secret.as_ref().map_or(0, |secret| secret.expose().len())];
    match lengths.iter().any(|length| *length > KEPT_BYTES_MAX) {
        true => Err(ImportError::TooLarge),
        false => Ok(Imported { public, secret, fingerprint }),
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ImportError::TooLarge => "the key is too large, or has too many keys below it",
            ImportError::Malformed => "the file does not hold exactly one OpenPGP key",
            ImportError::Version => {
                "the key is not of version 4, and most programs could not write to it"
            }
            ImportError::Invalid => "the key is revoked, expired, or too weak",
            ImportError::OtherAddress => "the key has no User ID with the account's address",
            ImportError::NoEncryption => "no mail can be encrypted to the key",
            ImportError::Incomplete => {
                "the file lacks the secret half of a key that mail is encrypted to"
            }
            ImportError::Algorithm => {
                "RSA, DSA and ElGamal secret keys are refused: this build computes with them at a \
                 speed that gives them away bit by bit (builds with crypto-openssl take them)"
            }
            ImportError::Passphrase => "the key's passphrase is wrong, or was not given",
            ImportError::Library => "the OpenPGP library failed",
        })
    }
}

impl std::error::Error for ImportError {}

#[cfg(test)]
mod tests;
