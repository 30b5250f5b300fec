//! Certificates of every kind that a directory may hand out, made by the library.

use super::*;
use crate::pgp::generate_identity;
use openpgp::cert::{CertBuilder, CertRevocationBuilder, CipherSuite};
use openpgp::packet::key::{Key4, PrimaryRole, SecretParts, SubordinateRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::{Key, UserID};
use openpgp::types::{Features, KeyFlags, ReasonForRevocation, SignatureType};
use proptest::prelude::*;

const NOW: UnixTime = UnixTime(1_795_000_000);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn time(at: UnixTime) -> SystemTime {
    system_time(at).unwrap()
}

fn alice() -> Address {
    Address::parse(b"alice@example.org").unwrap()
}

fn judged(bytes: &[u8]) -> Result<PeerCert, Unusable> {
    judge_cert(bytes, &alice(), NOW)
}

fn builder(user_id: &str) -> CertBuilder<'_> {
    CertBuilder::new()
        .set_cipher_suite(CipherSuite::Cv25519)
        .set_creation_time(time(NOW) - 2 * YEAR)
        .add_userid(user_id)
}

fn made(builder: CertBuilder<'_>) -> Cert {
    builder.generate().unwrap().0
}

fn usual() -> CertBuilder<'static> {
    builder("Alice <alice@example.org>").add_transport_encryption_subkey()
}

fn bytes(cert: &Cert) -> Vec<u8> {
    cert.to_vec().unwrap()
}

fn signer(cert: &Cert) -> openpgp::crypto::KeyPair {
    cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap()
}

/// With other packets behind it.
fn with(cert: &Cert, packets: Vec<Packet>) -> Cert {
    cert.clone().insert_packets(packets).unwrap().0
}

#[test]
fn our_own_identities_are_usable_and_say_what_they_are() {
    let pair = generate_identity("alice@example.org", NOW).unwrap();
    let peer = judged(&pair.public).unwrap();
    assert_eq!((peer.primary(), peer.fingerprint()), (pair.fingerprint, pair.subkey));
    assert_eq!((peer.expires(), peer.takes_seipdv2()), (None, false));
    assert!(peer.is_usable_at(UnixTime(i64::MAX)));
    assert_eq!(judged(peer.bytes()).unwrap(), peer);
    let shouted = Address::parse(b"ALICE@Example.ORG").unwrap();
    assert!(judge_cert(&pair.public, &shouted, NOW).is_ok());
    for other in ["bob@example.org", "alice@example.com", "alice+x@example.org"] {
        let other = Address::parse(other.as_bytes()).unwrap();
        assert_eq!(judge_cert(&pair.public, &other, NOW).unwrap_err(), Unusable::WrongUserId);
    }
}

#[test]
fn features_are_those_of_the_certificate() {
    let cert = made(usual().set_features(Features::sequoia()).unwrap());
    assert!(judged(&bytes(&cert)).unwrap().takes_seipdv2());
}

#[test]
fn user_ids_are_compared_strictly() {
    let yes = ["alice@example.org", "<alice@EXAMPLE.org>", "A. (x) <Alice@example.org>"];
    let no = [
        "alice@example.org <mallory@example.net>",
        "<alice@example.org> <mallory@example.net>",
        "<alice@example.org> (behind)",
        "Alice alice@example.org",
        "alice@example.org, mallory@example.net",
        "alice@example.orgx",
        "",
    ];
    assert!(yes.iter().all(|user_id| names(user_id.as_bytes(), &alice())));
    for user_id in no {
        assert!(!names(user_id.as_bytes(), &alice()), "{user_id}");
    }
}

#[test]
fn foreign_user_ids_and_signatures_are_thrown_away() {
    let cert = made(usual().add_userid("Eve <eve@example.net>"));
    let stranger = made(builder("stranger@example.net"));
    let certification = SignatureBuilder::new(SignatureType::GenericCertification)
        .sign_userid_binding(
            &mut signer(&stranger),
            cert.primary_key().key(),
            cert.userids().next().unwrap().userid(),
        )
        .unwrap();
    let loud = with(&cert, vec![certification.into()]);
    let peer = judged(&bytes(&loud)).unwrap();
    let kept = Cert::from_bytes(peer.bytes()).unwrap();
    assert_eq!(kept.fingerprint(), cert.fingerprint());
    assert_eq!(kept.userids().count(), 1);
    let user_id = kept.userids().next().unwrap();
    assert_eq!(user_id.userid().value(), b"Alice <alice@example.org>");
    assert_eq!(user_id.certifications().count(), 0);
    assert_eq!(user_id.self_signatures().count(), 1);
    assert_eq!(judged(&bytes(&cert)).unwrap().bytes(), peer.bytes());
}

#[test]
fn a_user_id_that_the_key_did_not_sign_does_not_count() {
    let mut packets: Vec<Packet> = made(usual()).into_packets().collect();
    let place = packets.iter().position(|packet| matches!(packet, Packet::UserID(_))).unwrap();
    packets[place] = UserID::from("Alice <alice@example.org>").into();
    packets.remove(place + 1);
    let unsigned = Cert::from_packets(packets.into_iter()).unwrap();
    assert_eq!(judged(&bytes(&unsigned)).unwrap_err(), Unusable::WrongUserId);
    let other = made(builder("mallory@example.net").add_transport_encryption_subkey());
    let claimed = with(&other, vec![UserID::from("alice@example.org").into()]);
    assert_eq!(judged(&bytes(&claimed)).unwrap_err(), Unusable::WrongUserId);
}

#[test]
fn expired_and_early_certificates_are_told() {
    let year_long = made(usual().set_validity_period(YEAR));
    assert_eq!(judged(&bytes(&year_long)).unwrap_err(), Unusable::Expired);
    let longer = made(usual().set_validity_period(3 * YEAR));
    let peer = judged(&bytes(&longer)).unwrap();
    let end = unix_time(time(NOW) + YEAR);
    assert_eq!(peer.expires(), Some(end));
    assert!(peer.is_usable_at(UnixTime(end.0 - 1)) && !peer.is_usable_at(end));
    let for_mail = KeyFlags::empty().set_transport_encryption();
    let subkey = made(builder("alice@example.org").add_subkey(for_mail, Some(YEAR), None));
    assert_eq!(judged(&bytes(&subkey)).unwrap_err(), Unusable::Expired);
    let early = judge_cert(&bytes(&made(usual())), &alice(), UnixTime(NOW.0 - 3 * 365 * 86_400));
    assert!(matches!(early, Err(Unusable::Malformed | Unusable::Expired)), "{early:?}");
}

#[test]
fn revocations_of_all_kinds_are_told() {
    let reason = ReasonForRevocation::KeyCompromised;
    let cert = made(usual());
    let whole = CertRevocationBuilder::new()
        .set_signature_creation_time(time(NOW) - YEAR)
        .unwrap()
        .set_reason_for_revocation(reason, b"")
        .unwrap()
        .build(&mut signer(&cert), &cert, None)
        .unwrap();
    let revoked = with(&cert, vec![whole.into()]);
    assert_eq!(judged(&bytes(&revoked)).unwrap_err(), Unusable::Revoked);
    // The draft lets a directory return the revocation in a second certificate.
    let both = [bytes(&cert), bytes(&revoked)].concat();
    assert_eq!(judged(&both).unwrap_err(), Unusable::Revoked);

    let subkey = cert.keys().subkeys().next().unwrap().key().clone();
    let of_subkey = openpgp::cert::SubkeyRevocationBuilder::new()
        .set_signature_creation_time(time(NOW) - YEAR)
        .unwrap()
        .set_reason_for_revocation(ReasonForRevocation::KeyRetired, b"")
        .unwrap()
        .build(&mut signer(&cert), &cert, &subkey, None)
        .unwrap();
    let revoked = with(&cert, vec![of_subkey.into()]);
    assert_eq!(judged(&bytes(&revoked)).unwrap_err(), Unusable::Revoked);

    let user_id = cert.userids().next().unwrap().userid().clone();
    let of_user_id = openpgp::cert::UserIDRevocationBuilder::new()
        .set_signature_creation_time(time(NOW) - YEAR)
        .unwrap()
        .set_reason_for_revocation(ReasonForRevocation::UIDRetired, b"")
        .unwrap()
        .build(&mut signer(&cert), &cert, &user_id, None)
        .unwrap();
    let revoked = with(&cert, vec![of_user_id.into()]);
    assert_eq!(judged(&bytes(&revoked)).unwrap_err(), Unusable::Revoked);
}

#[test]
fn the_newest_subkey_for_transport_is_taken_and_no_other() {
    let only_signs = made(builder("alice@example.org").add_signing_subkey());
    assert_eq!(judged(&bytes(&only_signs)).unwrap_err(), Unusable::NoEncryptionKey);
    let only_stores = made(builder("alice@example.org").add_storage_encryption_subkey());
    assert_eq!(judged(&bytes(&only_stores)).unwrap_err(), Unusable::NoEncryptionKey);

    let cert = made(usual());
    let newer: Key<SecretParts, SubordinateRole> = Key::V4(Key4::generate_x25519().unwrap());
    let mut newer = newer;
    newer.set_creation_time(time(NOW) - YEAR).unwrap();
    let binding = SignatureBuilder::new(SignatureType::SubkeyBinding)
        .set_signature_creation_time(time(NOW) - YEAR)
        .unwrap()
        .set_key_flags(KeyFlags::empty().set_transport_encryption())
        .unwrap();
    let bound = newer.bind(&mut signer(&cert), &cert, binding).unwrap();
    let fingerprint = Fingerprint::of(&newer.fingerprint()).unwrap();
    let packets = vec![Packet::PublicSubkey(newer.take_secret().0), bound.into()];
    let both = with(&cert, packets);
    assert_eq!(judged(&bytes(&both)).unwrap().fingerprint(), fingerprint);
    assert_ne!(judged(&bytes(&cert)).unwrap().fingerprint(), fingerprint);
}

/// A certificate whose own signatures are made with `hash`.
fn hashed_with(primary: Key<SecretParts, PrimaryRole>, hash: HashAlgorithm) -> Vec<u8> {
    let mut key_pair = primary.clone().into_keypair().unwrap();
    let cert = Cert::from_packets(std::iter::once(Packet::SecretKey(primary))).unwrap();
    let user_id = UserID::from("alice@example.org");
    let signed = |kind: SignatureType, flags: KeyFlags| {
        SignatureBuilder::new(kind)
            .set_hash_algo(hash)
            .set_signature_creation_time(time(NOW) - YEAR)
            .unwrap()
            .set_key_flags(flags)
            .unwrap()
    };
    let certifies = signed(SignatureType::PositiveCertification, KeyFlags::empty().set_signing());
    let encrypts =
        signed(SignatureType::SubkeyBinding, KeyFlags::empty().set_transport_encryption());
    let mut subkey: Key<SecretParts, SubordinateRole> = Key::V4(Key4::generate_x25519().unwrap());
    subkey.set_creation_time(time(NOW) - 2 * YEAR).unwrap();
    let on_user_id = user_id.bind(&mut key_pair, &cert, certifies).unwrap();
    let on_subkey = subkey.bind(&mut key_pair, &cert, encrypts).unwrap();
    let packets = vec![
        user_id.into(),
        on_user_id.into(),
        Packet::PublicSubkey(subkey.take_secret().0),
        on_subkey.into(),
    ];
    bytes(&with(&cert, packets))
}

fn primary(mut key: Key<SecretParts, PrimaryRole>) -> Key<SecretParts, PrimaryRole> {
    key.set_creation_time(time(NOW) - 2 * YEAR).unwrap();
    key
}

#[test]
fn sha1_and_short_keys_are_weak_and_not_merely_missing() {
    let good = || primary(Key::V4(Key4::generate_ed25519().unwrap()));
    let short = primary(Key::V4(Key4::generate_rsa(1024).unwrap()));
    assert!(judged(&hashed_with(good(), HashAlgorithm::SHA256)).is_ok());
    assert_eq!(judged(&hashed_with(good(), HashAlgorithm::SHA1)).unwrap_err(), Unusable::Weak);
    assert_eq!(judged(&hashed_with(short, HashAlgorithm::SHA256)).unwrap_err(), Unusable::Weak);
}

#[test]
fn of_several_certificates_the_usable_one_is_taken() {
    let old = bytes(&made(usual().set_validity_period(YEAR)));
    let good = made(usual());
    let other = bytes(&made(builder("bob@example.org").add_transport_encryption_subkey()));
    let fingerprint = judged(&bytes(&good)).unwrap().primary();
    for heap in [
        [old.clone(), bytes(&good), other.clone()].concat(),
        [other.clone(), bytes(&good), old.clone()].concat(),
    ] {
        assert_eq!(judged(&heap).unwrap().primary(), fingerprint);
    }
    assert_eq!(judged(&[other, old].concat()).unwrap_err(), Unusable::Expired);
    let nine: Vec<u8> = (0..9).flat_map(|_| bytes(&made(usual()))).collect();
    assert_eq!(judged(&nine).unwrap_err(), Unusable::TooLarge);
}

#[test]
fn armor_is_taken_off() {
    let armored = made(usual()).armored().to_vec().unwrap();
    assert!(judged(&armored).is_ok());
    assert_eq!(judged(&armored[..armored.len() / 2]).unwrap_err(), Unusable::Malformed);
}

#[test]
fn what_is_no_public_certificate_is_malformed() {
    let secret = made(usual()).as_tsk().to_vec().unwrap();
    let cert = bytes(&made(usual()));
    let pages = [&b""[..], b"<html>404</html>", b"-----BEGIN PGP PUBLIC KEY BLOCK-----", &secret];
    for page in pages.into_iter().chain([&cert[..cert.len() - 1], &cert[1..]]) {
        assert_eq!(judged(page).unwrap_err(), Unusable::Malformed);
    }
    // A compressed packet in front of it: nothing here is ever decompressed.
    let bomb = [&[0xC8, 2, 1, 0][..], &cert].concat();
    assert_eq!(judged(&bomb).unwrap_err(), Unusable::Malformed);
}

#[test]
fn heaps_of_strangers_signatures_are_thrown_away_or_refused() {
    let cert = made(usual());
    let stranger = made(builder("stranger@example.net"));
    let user_id = cert.userids().next().unwrap().userid().clone();
    let one = SignatureBuilder::new(SignatureType::GenericCertification)
        .sign_userid_binding(&mut signer(&stranger), cert.primary_key().key(), &user_id)
        .unwrap();
    let one = Packet::from(one).to_vec().unwrap();
    let packets: Vec<Vec<u8>> =
        cert.clone().into_packets().map(|packet| packet.to_vec().unwrap()).collect();
    // The last of them belong to the subkey: the heap goes behind the User ID's own signature.
    let place = packets.len() - 2;
    let flooded = |count: usize| {
        [packets[..place].concat(), one.repeat(count), packets[place..].concat()].concat()
    };
    let most = (PEER_CERT_BYTES_MAX - bytes(&cert).len()) / one.len();
    // How long the two take is measured by tests/peers/pgp.py, outside the library.
    assert_eq!(judged(&flooded(100_000)).unwrap_err(), Unusable::TooLarge);
    let peer = judged(&flooded(most)).unwrap();
    assert_eq!(peer, judged(&bytes(&cert)).unwrap());
}

#[test]
fn too_many_of_its_own_signatures_or_subkeys_are_too_many() {
    let cert = made(usual());
    let packets: Vec<Packet> = cert.clone().into_packets().collect();
    let own = packets[packets.len() - 1].to_vec().unwrap();
    let subkey = packets[packets.len() - 2].to_vec().unwrap();
    let heap = [bytes(&cert), own.repeat(OWN_SIGNATURES_MAX)].concat();
    assert_eq!(judged(&heap).unwrap_err(), Unusable::TooLarge);
    let heap = [bytes(&cert), subkey.repeat(SUBKEYS_MAX)].concat();
    assert_eq!(judged(&heap).unwrap_err(), Unusable::TooLarge);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_octets_make_it_panic(bytes in any::<Vec<u8>>()) {
        let _ = judged(&bytes);
        let _ = judged(&[&[0x98, 0x33][..], &bytes].concat());
    }

    /// What is signed cannot be changed unseen: a certificate with a changed octet has the same
    /// encryption key, or none.
    #[test]
    fn a_changed_octet_never_gives_another_key(seed in any::<u16>(), bit in 0u8..8) {
        let cert = bytes(&made(usual()));
        let mut changed = cert.clone();
        let at = usize::from(seed) % cert.len();
        changed[at] ^= 1 << bit;
        if let Ok(found) = judged(&changed) {
            prop_assert_eq!(found.fingerprint(), judged(&cert).unwrap().fingerprint());
        }
    }
}
