//! Certificates of others: judged once, pinned to one subkey, then only used.
//!
//! What a directory of keys hands out is hostile: it may be large, a heap of certificates, full of
//! signatures that strangers have made, or about somebody else. [`judge_cert`] throws away what is
//! not needed before any signature is verified, and says either which one key mail to an address is
//! sealed to, or why there is none. What it keeps can be stored and judged again.
//!
//! # What is trusted
//! The library's standard policy at the given time says which algorithms still hold. A User ID
//! counts if the key itself has signed it; third parties' signatures count for nothing, but for the
//! directory that named the certificate.
//!
//! # Standards
//! RFC 9580 §10.1 (certificates), §5.2.1 (signature types), §5.2.3.29 (key flags), §5.2.3.32
//! (features); draft-koch-openpgp-webkey-service §3.1 (what a directory may return).
//!
//! # Known gaps
//! A revocation by a key that was named as revoker (§5.2.3.23) is not seen: it would need a second
//! certificate. With the pure Rust backend RSA keys above 4096 bits are not usable.

use super::cert::Fingerprint;
use super::walk::{self, Framed, walk};
use crate::base::clock::UnixTime;
use crate::mail::Address;
use openpgp::armor::{Kind, Reader, ReaderMode};
use openpgp::cert::Preferences;
use openpgp::cert::ValidCert;
use openpgp::cert::amalgamation::ValidAmalgamation;
use openpgp::cert::amalgamation::key::{PrimaryKey, ValidErasedKeyAmalgamation};
use openpgp::crypto::SessionKey;
use openpgp::packet::key::{PublicParts, UnspecifiedRole};
use openpgp::packet::pkesk::PKESK3;
use openpgp::packet::{Key, Signature};
use openpgp::parse::Parse;
use openpgp::policy::{AsymmetricAlgorithm, StandardPolicy};
use openpgp::serialize::SerializeInto;
use openpgp::types::{HashAlgorithm, RevocationStatus, SymmetricAlgorithm};
use openpgp::{Cert, KeyHandle, Packet};
use sequoia_openpgp as openpgp;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Octets of an answer that is looked at, armor included. A certificate with ML-DSA and many User
/// IDs has about 30 KiB.
pub const PEER_CERT_BYTES_MAX: usize = 256 * 1024;
/// Certificates in one answer: the draft allows for a few, say an old one beside its successor.
const CERTS_MAX: usize = 8;
/// Packets in one answer. With so many octets there can be more, of a few octets each.
const PACKETS_MAX: usize = 4096;
/// Subkeys of one certificate. A yearly new one for thirty years.
const SUBKEYS_MAX: usize = 32;
/// Signatures by the certificate's own key: each may be verified, and each costs up to a
/// millisecond.
const OWN_SIGNATURES_MAX: usize = 128;
/// Octets of a key packet: the largest that is used (ML-DSA-87 with Ed448) has 2,700.
const KEY_BYTES_MAX: usize = 4096;
/// Octets of a User ID that is compared with an address.
const USER_ID_BYTES_MAX: usize = 1024;

/// A certificate of somebody else and the one key in it that mail is sealed to. Cheap to clone.
#[derive(Clone)]
pub struct PeerCert(Arc<Inner>);

struct Inner {
    bytes: Vec<u8>,
    primary: Fingerprint,
    fingerprint: Fingerprint,
    expires: Option<UnixTime>,
    takes_seipdv2: bool,
    key: Key<PublicParts, UnspecifiedRole>,
}

/// Why a certificate cannot be used to write to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unusable {
    /// These octets are no public certificate.
    Malformed,
    /// It is larger than a limit allows.
    TooLarge,
    /// It names no such address, or has not signed that it does.
    WrongUserId,
    /// Its signatures or its keys rest on algorithms that do not hold any more, such as SHA-1.
    Weak,
    /// It has no key for encryption that is understood here.
    NoEncryptionKey,
    /// It, its User ID or its encryption key was revoked.
    Revoked,
    /// It or its encryption key has expired, or is of a time to come.
    Expired,
}

impl PeerCert {
    /// The certificate, binary, without what was thrown away. [`judge_cert`] takes it again.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The fingerprint of the encryption subkey that mail is sealed to.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// The fingerprint of the certificate: of its primary key.
    pub fn primary(&self) -> Fingerprint {
        self.0.primary
    }

    /// The first second at which the encryption subkey is not valid any more; `None` is never.
    pub fn expires(&self) -> Option<UnixTime> {
        self.0.expires
    }

    /// Whether it has not expired at `now`.
    pub fn is_usable_at(&self, now: UnixTime) -> bool {
        self.0.expires.is_none_or(|expires| now < expires)
    }

    /// Whether its owner's program says that it reads version 2 of encrypted data (AEAD).
    pub fn takes_seipdv2(&self) -> bool {
        self.0.takes_seipdv2
    }

    pub(super) fn key(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.0.key
    }
}

/// Judges what a directory returned for `address`: one or several certificates, perhaps armored.
/// The valid one whose encryption key is newest is taken; without one, the reason that came
/// closest to being usable is told.
pub fn judge_cert(bytes: &[u8], address: &Address, now: UnixTime) -> Result<PeerCert, Unusable> {
    if bytes.len() > PEER_CERT_BYTES_MAX {
        return Err(Unusable::TooLarge);
    }
    let binary = dearmored(bytes)?;
    let time = system_time(now).ok_or(Unusable::Malformed)?;
    let mut best: Option<(SystemTime, PeerCert)> = None;
    let mut reason = Unusable::Malformed;
    for cert in read(&binary, address)? {
        match cert.and_then(|cert| judge_one(&cert, address, time)) {
            Ok(found) if best.as_ref().is_none_or(|best| best.0 < found.0) => best = Some(found),
            Ok(_) => {}
            Err(why) => reason = reason.max(why),
        }
    }
    best.map(|(_, cert)| cert).ok_or(reason)
}

/// The octets without their armor, if they have one. A binary packet has its first bit set.
fn dearmored(bytes: &[u8]) -> Result<Vec<u8>, Unusable> {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(bytes.to_vec());
    }
    let mode = ReaderMode::Tolerant(Some(Kind::PublicKey));
    let mut binary = Vec::new();
    let reader = Reader::from_bytes(bytes, mode);
    reader
        .take(PEER_CERT_BYTES_MAX as u64)
        .read_to_end(&mut binary)
        .map_err(|_| Unusable::Malformed)?;
    Ok(binary)
}

/// The certificates in `binary`, each stripped to what is needed for `address`. Of one that comes
/// twice the halves are put together: a revocation may stand in the second only.
fn read(binary: &[u8], address: &Address) -> Result<Vec<Result<Cert, Unusable>>, Unusable> {
    let mut groups: Vec<Vec<Framed>> = Vec::new();
    for (count, packet) in walk(binary).enumerate() {
        let packet = packet.map_err(|_| Unusable::Malformed)?;
        if count >= PACKETS_MAX {
            return Err(Unusable::TooLarge);
        }
        match packet.tag {
            _ if !packet.is_definite => return Err(Unusable::Malformed),
            walk::PUBLIC_KEY => groups.push(vec![packet]),
            walk::MARKER | walk::TRUST | walk::PADDING | walk::NOT_CRITICAL_FROM.. => {}
            walk::SIGNATURE | walk::USER_ID | walk::USER_ATTRIBUTE | walk::PUBLIC_SUBKEY => {
                groups.last_mut().ok_or(Unusable::Malformed)?.push(packet);
            }
            // Somebody who published secret keys is not to be written to with them.
            _ => return Err(Unusable::Malformed),
        }
    }
    if groups.len() > CERTS_MAX {
        return Err(Unusable::TooLarge);
    }
    let mut certs: Vec<Result<Cert, Unusable>> = Vec::new();
    for group in groups {
        let cert = strip(binary, &group, address);
        let same = |seen: &&mut Result<Cert, Unusable>| match (&**seen, &cert) {
            (Ok(seen), Ok(cert)) => seen.fingerprint() == cert.fingerprint(),
            _ => false,
        };
        match certs.iter_mut().find(same) {
            Some(seen) => *seen = merged(seen.clone(), cert),
            None => certs.push(cert),
        }
    }
    Ok(certs)
}

fn merged(one: Result<Cert, Unusable>, two: Result<Cert, Unusable>) -> Result<Cert, Unusable> {
    one?.merge_public(two?).map_err(|_| Unusable::Malformed)
}

/// Builds a certificate of the packets in `group` (the first is a primary key) without foreign
/// User IDs, pictures, and signatures that other keys have made. Nothing is verified yet.
fn strip(binary: &[u8], group: &[Framed], address: &Address) -> Result<Cert, Unusable> {
    let primary = match parsed(binary, &group[0])? {
        Packet::PublicKey(key) => key,
        _ => return Err(Unusable::Malformed),
    };
    let handle = KeyHandle::from(primary.fingerprint());
    let mut kept = vec![Packet::from(primary)];
    let (mut subkeys, mut signatures, mut named) = (0, 0, false);
    // Whether signatures belong to something that was kept.
    let mut wanted = true;
    for framed in &group[1..] {
        let body = &binary[framed.body_start..framed.whole.end];
        if framed.tag != walk::SIGNATURE {
            wanted = match framed.tag {
                walk::USER_ID => names(body, address),
                walk::PUBLIC_SUBKEY => true,
                _ => false,
            };
            named |= wanted && framed.tag == walk::USER_ID;
            subkeys += usize::from(framed.tag == walk::PUBLIC_SUBKEY);
        }
        // Packets of versions that are not understood are passed over, with their signatures.
        match parsed(binary, framed) {
            _ if !wanted => {}
            Ok(Packet::Signature(signature)) if !is_own(&signature, &handle) => {}
            Ok(Packet::Unknown(_)) | Err(_) => wanted &= framed.tag == walk::SIGNATURE,
            Ok(packet) => {
                signatures += usize::from(framed.tag == walk::SIGNATURE);
                kept.push(packet);
            }
        }
        if subkeys > SUBKEYS_MAX || signatures > OWN_SIGNATURES_MAX {
            return Err(Unusable::TooLarge);
        }
    }
    match named {
        true => Cert::from_packets(kept.into_iter()).map_err(|_| Unusable::Malformed),
        false => Err(Unusable::WrongUserId),
    }
}

fn parsed(binary: &[u8], framed: &Framed) -> Result<Packet, Unusable> {
    let is_key = matches!(framed.tag, walk::PUBLIC_KEY | walk::PUBLIC_SUBKEY);
    if is_key && framed.whole.len() > KEY_BYTES_MAX {
        return Err(Unusable::TooLarge);
    }
    Packet::from_bytes(&binary[framed.whole.clone()]).map_err(|_| Unusable::Malformed)
}

/// Whether a signature says that the primary key has made it.
fn is_own(signature: &Signature, primary: &KeyHandle) -> bool {
    signature.get_issuers().iter().any(|issuer| issuer.aliases(primary))
}

/// Whether a User ID is this address: bare, or in angle brackets at its end.
fn names(user_id: &[u8], address: &Address) -> bool {
    if user_id.len() > USER_ID_BYTES_MAX {
        return false;
    }
    let inside = match user_id.iter().position(|octet| *octet == b'<') {
        None => Some(user_id),
        // A second bracket makes it a matter of taste whose User ID this is.
        Some(open) => user_id[open + 1..]
            .strip_suffix(b">")
            .filter(|inside| !inside.iter().any(|octet| matches!(octet, b'<' | b'>'))),
    };
    let named = inside.and_then(|inside| Address::parse(inside.trim_ascii()).ok());
    named.is_some_and(|named| {
        named.local().eq_ignore_ascii_case(address.local()) && named.domain() == address.domain()
    })
}

/// Judges one stripped certificate; tells when its encryption key was made, too.
fn judge_one(
    cert: &Cert,
    address: &Address,
    time: SystemTime,
) -> Result<(SystemTime, PeerCert), Unusable> {
    let strict = StandardPolicy::at(time);
    let lenient = lenient(time);
    // A revocation counts even where its algorithms are not trusted for anything else.
    if let RevocationStatus::Revoked(_) = cert.revocation_status(&lenient, time) {
        return Err(Unusable::Revoked);
    }
    let judged = cert
        .with_policy(&strict, time)
        .map_err(|_| Unusable::Malformed)
        .and_then(|valid| usable(&valid, address));
    judged.map_err(|reason| match cert.with_policy(&lenient, time) {
        Err(_) => reason,
        Ok(valid) => match usable(&valid, address) {
            Err(with_weak) if with_weak == reason => reason,
            Err(Unusable::Revoked) => Unusable::Revoked,
            _ => Unusable::Weak,
        },
    })
}

/// The standard policy with everything allowed that it knows: only to tell weak from missing.
fn lenient(time: SystemTime) -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::at(time);
    for hash in [HashAlgorithm::SHA1, HashAlgorithm::MD5, HashAlgorithm::RipeMD] {
        policy.accept_hash(hash);
    }
    AsymmetricAlgorithm::variants().for_each(|algorithm| policy.accept_asymmetric_algo(algorithm));
    policy
}

fn usable(valid: &ValidCert, address: &Address) -> Result<(SystemTime, PeerCert), Unusable> {
    let mut user_ids =
        valid.userids().filter(|user_id| names(user_id.userid().value(), address)).peekable();
    user_ids.peek().ok_or(Unusable::WrongUserId)?;
    let revoked = |status| matches!(status, RevocationStatus::Revoked(_));
    if user_ids.all(|user_id| revoked(user_id.revocation_status())) {
        return Err(Unusable::Revoked);
    }
    valid.alive().map_err(|_| Unusable::Expired)?;
    let mut reason = Unusable::NoEncryptionKey;
    let mut best: Option<ValidErasedKeyAmalgamation<PublicParts>> = None;
    for key in valid.keys().filter(|key| key.for_transport_encryption()) {
        match () {
            () if revoked(key.revocation_status()) => reason = reason.max(Unusable::Revoked),
            () if key.alive().is_err() => reason = reason.max(Unusable::Expired),
            () if best.as_ref().is_some_and(|best| rank(best) >= rank(&key)) => {}
            () if can_encrypt(key.key()) => best = Some(key),
            () => {}
        }
    }
    let key = best.ok_or(reason)?;
    let created = key.key().creation_time();
    Ok((created, peer(valid, &key)?))
}

/// Subkeys before the primary key, then the newest; equals are told apart by fingerprint.
fn rank(key: &ValidErasedKeyAmalgamation<PublicParts>) -> (bool, SystemTime, openpgp::Fingerprint) {
    (!key.primary(), key.key().creation_time(), key.key().fingerprint())
}

/// Whether this library can encrypt to a key, tried out: curves, lengths and points that it
/// refuses are found when the key is judged, not when mail waits.
fn can_encrypt(key: &Key<PublicParts, UnspecifiedRole>) -> bool {
    let session_key = SessionKey::from(&[0x5A; 32][..]);
    PKESK3::for_recipient(SymmetricAlgorithm::AES256, &session_key, key).is_ok()
}

fn peer(
    valid: &ValidCert,
    key: &ValidErasedKeyAmalgamation<PublicParts>,
) -> Result<PeerCert, Unusable> {
    let ends = [valid.primary_key().key_expiration_time(), key.key_expiration_time()];
    let features = key.valid_cert().features();
    Ok(PeerCert(Arc::new(Inner {
        bytes: valid.cert().to_vec().map_err(|_| Unusable::Malformed)?,
        primary: Fingerprint::of(&valid.fingerprint()).ok_or(Unusable::Malformed)?,
        fingerprint: Fingerprint::of(&key.key().fingerprint()).ok_or(Unusable::Malformed)?,
        expires: ends.into_iter().flatten().min().map(unix_time),
        takes_seipdv2: features.is_some_and(|features| features.supports_seipdv2()),
        key: key.key().clone(),
    })))
}

/// RFC 9580 §3.5: times are 32-bit counts of seconds since 1970.
fn system_time(time: UnixTime) -> Option<SystemTime> {
    let seconds = u32::try_from(time.0).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds.into()))
}

fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64))
}

impl fmt::Debug for PeerCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCert({})", self.0.fingerprint)
    }
}

impl PartialEq for PeerCert {
    fn eq(&self, other: &PeerCert) -> bool {
        self.0.fingerprint == other.0.fingerprint && self.0.bytes == other.0.bytes
    }
}

impl Eq for PeerCert {}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unusable::Malformed => "what is published is no public certificate",
            Unusable::TooLarge => "the published certificate is too large",
            Unusable::WrongUserId => "the published certificate is not for this address",
            Unusable::Weak => "the published certificate rests on broken algorithms such as SHA-1",
            Unusable::NoEncryptionKey => "the published certificate has no usable encryption key",
            Unusable::Revoked => "the published certificate was revoked",
            Unusable::Expired => "the published certificate has expired",
        })
    }
}

impl std::error::Error for Unusable {}

#[cfg(test)]
mod tests;
