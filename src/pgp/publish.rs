//! Identity certificates as others see them: cut down to one User ID, described, in armour.
//!
//! # What is trusted
//! Nothing of the octets: a certificate is parsed as a stranger's. Whose it is decides the caller.
//!
//! # Standards
//! RFC 9580 §10.1 (certificates), §6 (armour); draft-koch-openpgp-webkey-service-22 §3.1 (a
//! published certificate has the User ID that was asked for).

use super::cert::{CertError, Fingerprint};
use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use crate::mail::Address;
use openpgp::Cert;
use openpgp::armor::{Kind, Writer};
use openpgp::cert::ValidCert;
use openpgp::packet::UserID;
use openpgp::parse::Parse;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::MarshalInto;
use sequoia_openpgp as openpgp;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Octets of a block's first and last lines and its checksum.
const ARMOUR_BYTES: usize = 256;

/// What people want to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertFacts {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its User IDs, as text.
    pub user_ids: Vec<String>,
    /// Its keys, the primary one first.
    pub keys: Vec<KeyFacts>,
    /// When it was made.
    pub created: UnixTime,
    /// When nobody can encrypt to it any more: it expires, or its last subkey that encrypts does.
    pub expires: Option<UnixTime>,
    /// Whether it is revoked.
    pub revoked: bool,
}

/// One key of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its algorithm's name.
    pub algorithm: String,
    /// Whether mail is encrypted to it.
    pub encrypts: bool,
}

/// The certificate with the User ID of `address` and no other, binary, without what is marked as
/// not for others. [`CertError::UserId`] if it has no such User ID.
pub fn published(cert: &[u8], address: &str) -> Result<Vec<u8>, CertError> {
    let cert = parse(cert)?;
    let user_id = user_id_of(&cert, address)?;
    let cert = cert
        .strip_secret_key_material()
        .retain_userids(|known| known.userid() == &user_id)
        .retain_user_attributes(|_| false);
    cert.export_to_vec().map_err(|_| CertError::Library)
}

/// What a certificate says of itself, seen at `now`.
pub fn facts(cert: &[u8], now: UnixTime) -> Result<CertFacts, CertError> {
    let cert = parse(cert)?;
    let (policy, at) = (StandardPolicy::new(), system_time(now)?);
    let valid = cert.with_policy(&policy, at).ok();
    let encrypts = |key: &openpgp::Fingerprint| {
        valid.as_ref().is_some_and(|valid| {
            let mut keys = valid.keys().for_transport_encryption();
            keys.any(|known| known.key().fingerprint() == *key)
        })
    };
    let key = |key: openpgp::cert::amalgamation::key::ErasedKeyAmalgamation<
        '_,
        openpgp::packet::key::PublicParts,
    >| {
        let fingerprint = key.key().fingerprint();
        Some(KeyFacts {
            fingerprint: Fingerprint::of(&fingerprint)?,
            algorithm: key.key().pk_algo().to_string(),
            encrypts: encrypts(&fingerprint),
        })
    };
    let revoked = cert.revocation_status(&policy, at);
    let ends = valid.as_ref().and_then(ends);
    Ok(CertFacts {
        fingerprint: Fingerprint::of(&cert.fingerprint()).ok_or(CertError::Malformed)?,
        user_ids: cert.userids().map(|id| id.userid().to_string()).collect(),
        keys: cert.keys().filter_map(key).collect(),
        created: unix_time(cert.primary_key().key().creation_time()),
        expires: ends.map(unix_time),
        revoked: matches!(revoked, openpgp::types::RevocationStatus::Revoked(_)),
    })
}

/// The earlier of the certificate's end and that of its last subkey that encrypts.
fn ends(cert: &ValidCert<'_>) -> Option<SystemTime> {
    let whole = cert.primary_key().key_expiration_time();
    let subkeys = cert.keys().for_transport_encryption().revoked(false);
    let each: Vec<_> = subkeys.map(|key| key.key_expiration_time()).collect();
    // One without an end outlives the others.
    let last =
        each.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    whole.into_iter().chain(last).min()
}

/// A public certificate in ASCII armour.
pub fn armored(cert: &[u8]) -> Result<String, CertError> {
    let mut writer = Writer::new(Vec::new(), Kind::PublicKey).map_err(|_| CertError::Library)?;
    writer.write_all(cert).map_err(|_| CertError::Library)?;
    let text = writer.finalize().map_err(|_| CertError::Library)?;
    String::from_utf8(text).map_err(|_| CertError::Library)
}

/// Transferable secret keys in ASCII armour, one block after the other.
pub fn armored_secret<'a>(
    keys: impl IntoIterator<Item = &'a SecretBytes>,
) -> Result<SecretBytes, CertError> {
    let mut text = Vec::new();
    for key in keys {
        // Base64 takes four octets for three, and a newline for 48: no buffer grows and moves.
        let block = Vec::with_capacity(key.expose().len() * 3 / 2 + ARMOUR_BYTES);
        let mut writer = Writer::new(block, Kind::SecretKey).map_err(|_| CertError::Library)?;
        writer.write_all(key.expose()).map_err(|_| CertError::Library)?;
        let block = SecretBytes::new(writer.finalize().map_err(|_| CertError::Library)?);
        text.push(block);
    }
    let parts: Vec<&[u8]> = text.iter().map(SecretBytes::expose).collect();
    Ok(SecretBytes::new(parts.concat()))
}

/// The User ID of `address`: its bare form before one with a name.
pub(super) fn user_id_of(cert: &Cert, address: &str) -> Result<UserID, CertError> {
    let wanted = address.parse::<Address>().map_err(|_| CertError::UserId)?;
    let mut ids: Vec<&UserID> =
        cert.userids().map(|id| id.userid()).filter(|id| is_of(id, &wanted)).collect();
    ids.sort_by_key(|id| id.value() != address.as_bytes());
    ids.first().map(|id| UserID::clone(id)).ok_or(CertError::UserId)
}

/// Whether a User ID is an address or `Name <address>` of `wanted`, by the form in which accounts
/// are found.
pub(super) fn is_of(id: &UserID, wanted: &Address) -> bool {
    let named = id.email().ok().flatten();
    let bare = std::str::from_utf8(id.value()).ok();
    [named, bare]
        .into_iter()
        .flatten()
        .filter_map(|text| text.parse::<Address>().ok())
        .any(|known| known.lookup_key() == wanted.lookup_key())
}

fn parse(cert: &[u8]) -> Result<Cert, CertError> {
    Cert::from_bytes(cert).map_err(|_| CertError::Malformed)
}

/// RFC 9580 §3.5: times are 32-bit counts of seconds since 1970.
pub(super) fn system_time(time: UnixTime) -> Result<SystemTime, CertError> {
    let seconds = u32::try_from(time.0).map_err(|_| CertError::Time)?;
    Ok(UNIX_EPOCH + Duration::from_secs(seconds.into()))
}

fn unix_time(time: SystemTime) -> UnixTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UnixTime(i64::try_from(since).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openpgp::cert::CertBuilder;

    const NOW: UnixTime = UnixTime(1_795_000_000);

    fn with_user_ids(ids: &[&str]) -> Vec<u8> {
        let builder = ids.iter().fold(CertBuilder::new(), |made, id| made.add_userid(*id));
        let at = system_time(NOW).unwrap();
        let (cert, _) = builder.set_creation_time(at).generate().unwrap();
        cert.as_tsk().to_vec().unwrap()
    }

    fn user_ids(cert: &[u8]) -> Vec<String> {
        parse(cert).unwrap().userids().map(|id| id.userid().to_string()).collect()
    }

    #[test]
    fn what_is_published_has_one_user_id_and_no_secret() {
        let cert = with_user_ids(&["Al <al@other.example>", "Alice <Alice@Example.org>", "root"]);
        let published = published(&cert, "alice@example.org").unwrap();
        assert_eq!(user_ids(&published), ["Alice <Alice@Example.org>"]);
        assert!(!parse(&published).unwrap().is_tsk());
    }

    #[test]
    fn the_bare_address_comes_before_a_name() {
        let cert = with_user_ids(&["Alice <alice@example.org>", "alice@example.org"]);
        assert_eq!(
            user_ids(&published(&cert, "alice@example.org").unwrap()),
            ["alice@example.org"]
        );
    }

    #[test]
    fn a_certificate_of_somebody_else_is_not_published() {
        let cert = with_user_ids(&["alice@example.com", "alice@example.org.evil", "alice"]);
        assert_eq!(published(&cert, "alice@example.org"), Err(CertError::UserId));
        assert_eq!(published(b"no certificate", "a@example.org"), Err(CertError::Malformed));
    }

    #[test]
    fn a_certificate_ends_with_its_last_subkey_that_encrypts() {
        use crate::pgp::testing::{expiring, expiring_subkey};
        let day = Duration::from_secs(86_400);
        for cert in
            [expiring("a@example.org", NOW, day), expiring_subkey("a@example.org", NOW, day)]
        {
            for now in [NOW, UnixTime(NOW.0 + 2 * 86_400)] {
                assert_eq!(facts(&cert, now).unwrap().expires, Some(UnixTime(NOW.0 + 86_400)));
            }
        }
    }

    #[test]
    fn facts_and_armour_are_what_the_certificate_says() {
        let pair = crate::pgp::generate_identity("alice@example.org", NOW).unwrap();
        let facts = facts(&pair.public, NOW).unwrap();
        assert_eq!((facts.fingerprint, facts.created), (pair.fingerprint, NOW));
        assert_eq!((facts.expires, facts.revoked), (None, false));
        assert_eq!(facts.user_ids, ["alice@example.org"]);
        let encrypts: Vec<_> = facts.keys.iter().map(|key| key.encrypts).collect();
        assert_eq!(encrypts, [false, true]);
        let text = armored(&pair.public).unwrap();
        assert!(text.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"));
        assert_eq!(parse(text.as_bytes()).unwrap(), parse(&pair.public).unwrap());
    }
}
