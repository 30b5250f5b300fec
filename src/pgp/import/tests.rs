//! Own keys of every sort.

use super::*;
use openpgp::cert::{CertBuilder, CertRevocationBuilder, CipherSuite};
use openpgp::serialize::Serialize;
use openpgp::types::ReasonForRevocation;
use std::time::Duration;

const NOW: UnixTime = UnixTime(1_795_000_000);
const ALICE: &str = "alice@example.org";

fn at() -> SystemTime {
    system_time(NOW).unwrap()
}

fn builder(user_id: &str) -> CertBuilder<'_> {
    CertBuilder::new()
        .set_cipher_suite(CipherSuite::Cv25519)
        .set_creation_time(at() - Duration::from_secs(86_400))
        .add_userid(user_id)
        .add_signing_subkey()
        .add_transport_encryption_subkey()
}

fn key(user_id: &str) -> Cert {
    builder(user_id).generate().unwrap().0
}

fn secret(cert: &Cert) -> Vec<u8> {
    cert.as_tsk().to_vec().unwrap()
}

fn take(octets: &[u8]) -> Result<Imported, ImportError> {
    import(octets, ALICE, None, NOW)
}

fn parsed(octets: &[u8]) -> Cert {
    Cert::from_bytes(octets).unwrap()
}

#[test]
fn a_secret_key_comes_with_its_certificate_and_opens() {
    let cert = key("Alice <alice@example.org>");
    let imported = take(&secret(&cert)).unwrap();
    let (public, kept) = (parsed(&imported.public), parsed(imported.secret.unwrap().expose()));
    assert!(!public.is_tsk());
    assert_eq!(public.fingerprint(), cert.fingerprint());
    assert!(kept.keys().all(|key| key.key().has_unencrypted_secret()));
    assert_eq!(kept.keys().count(), 3);
    assert_eq!(Fingerprint::of(&kept.fingerprint()), Some(imported.fingerprint));
}

#[test]
fn what_a_secret_key_announces_is_what_every_program_knows() {
    let modern = Features::empty().set_seipdv1().set_seipdv2();
    let cert = builder(ALICE).set_features(modern).unwrap().generate().unwrap().0;
    let public = parsed(&take(&secret(&cert)).unwrap().public);
    let policy = StandardPolicy::new();
    let valid = public.with_policy(&policy, at()).unwrap();
    let plain = Some(Features::empty().set_seipdv1());
    assert_eq!(valid.primary_userid().unwrap().binding_signature().features(), plain);
    assert_eq!(valid.direct_key_signature().unwrap().features(), plain);
    assert_eq!(
        valid.primary_userid().unwrap().binding_signature().key_flags(),
        cert.with_policy(&policy, at())
            .unwrap()
            .primary_userid()
            .unwrap()
            .binding_signature()
            .key_flags()
    );
}

#[test]
fn a_key_that_needs_no_change_is_signed_by_nobody_anew() {
    let features = Features::empty().set_seipdv1();
    let cert = builder(ALICE).set_features(features).unwrap().generate().unwrap().0;
    assert_eq!(parsed(&take(&secret(&cert)).unwrap().public), cert.strip_secret_key_material());
}

#[test]
fn a_secret_key_of_another_name_is_bound_to_the_address() {
    let public = parsed(&take(&secret(&key("Alice <alice@old.example>"))).unwrap().public);
    let policy = StandardPolicy::new();
    let valid = public.with_policy(&policy, at()).unwrap();
    let ids: Vec<_> = valid.userids().map(|id| id.userid().value().to_vec()).collect();
    assert_eq!(ids, [ALICE.as_bytes()]);
    assert_eq!(public.userids().count(), 1);
}

#[test]
fn a_certificate_alone_must_have_the_address_and_leaves_the_secret_to_its_owner() {
    let cert = key("Alice <Alice@EXAMPLE.org>");
    let imported = take(&cert.to_vec().unwrap()).unwrap();
    assert!(imported.secret.is_none());
    assert_eq!(parsed(&imported.public).fingerprint(), cert.fingerprint());
    let other = key("Alice <alice@old.example>").to_vec().unwrap();
    assert_eq!(take(&other).unwrap_err(), ImportError::OtherAddress);
}

#[test]
fn armour_is_read_too() {
    let cert = key(ALICE);
    let armoured = cert.as_tsk().armored().to_vec().unwrap();
    assert!(armoured.starts_with(b"-----BEGIN PGP PRIVATE KEY BLOCK-----"));
    assert!(take(&armoured).unwrap().secret.is_some());
}

#[test]
fn a_passphrase_is_needed_and_must_be_right() {
    let locked = builder(ALICE).set_password(Some("open sesame".into())).generate().unwrap().0;
    let octets = secret(&locked);
    assert!(needs_passphrase(&octets) && !needs_passphrase(&secret(&key(ALICE))));
    let word = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
    assert_eq!(take(&octets).unwrap_err(), ImportError::Passphrase);
    let wrong = import(&octets, ALICE, Some(&word("open barley")), NOW);
    assert_eq!(wrong.unwrap_err(), ImportError::Passphrase);
    let imported = import(&octets, ALICE, Some(&word("open sesame")), NOW).unwrap();
    let kept = parsed(imported.secret.unwrap().expose());
    assert!(kept.keys().all(|key| key.key().has_unencrypted_secret()));
}

#[test]
fn rsa_secret_keys_are_taken_only_where_they_are_computed_in_constant_time() {
    let cert = builder(ALICE).set_cipher_suite(CipherSuite::RSA2k).generate().unwrap().0;
    let wanted = match cfg!(feature = "crypto-openssl") {
        true => None,
        false => Some(ImportError::Algorithm),
    };
    assert_eq!(take(&secret(&cert)).err(), wanted);
    assert!(take(&cert.to_vec().unwrap()).is_ok(), "the certificate alone gives nothing away");
}

#[test]
fn what_peers_could_not_write_to_is_refused() {
    let modern = CertBuilder::new()
        .set_profile(openpgp::Profile::RFC9580)
        .unwrap()
        .add_userid(ALICE)
        .add_transport_encryption_subkey()
        .set_creation_time(at())
        .generate()
        .unwrap()
        .0;
    assert_eq!(take(&secret(&modern)).unwrap_err(), ImportError::Version);
    let mute = CertBuilder::new().add_userid(ALICE).set_creation_time(at()).generate().unwrap().0;
    assert_eq!(take(&secret(&mute)).unwrap_err(), ImportError::NoEncryption);
    let brief = builder(ALICE).set_validity_period(Duration::from_secs(60)).generate().unwrap().0;
    assert_eq!(take(&secret(&brief)).unwrap_err(), ImportError::Invalid);
    let early = import(&secret(&key(ALICE)), ALICE, None, UnixTime(NOW.0 - 1_000_000));
    assert_eq!(early.unwrap_err(), ImportError::Invalid);
}

#[test]
fn a_revoked_key_is_refused() {
    let cert = key(ALICE);
    let mut signer =
        cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let revocation = CertRevocationBuilder::new()
        .set_signature_creation_time(at())
        .unwrap()
        .set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"lost")
        .unwrap()
        .build(&mut signer, &cert, None)
        .unwrap();
    let (cert, _) = cert.insert_packets([revocation]).unwrap();
    assert_eq!(take(&secret(&cert)).unwrap_err(), ImportError::Invalid);
}

/// As `gpg --export-secret-subkeys` leaves a key whose primary half is kept elsewhere.
#[test]
fn a_key_without_its_primary_secret_is_taken_as_it_is() {
    let cert = key(ALICE);
    let mut octets = Vec::new();
    let only_subkeys = cert.as_tsk().set_filter(|key| {
        let primary = cert.primary_key().key().fingerprint();
        key.fingerprint() != primary
    });
    only_subkeys.emit_secret_key_stubs(true).serialize(&mut octets).unwrap();
    let kept = parsed(take(&octets).unwrap().secret.unwrap().expose());
    assert!(!kept.primary_key().key().has_secret());
    let other = octets_without_primary(&key("alice@old.example"));
    assert_eq!(take(&other).unwrap_err(), ImportError::OtherAddress, "nobody can sign the name");
}

fn octets_without_primary(cert: &Cert) -> Vec<u8> {
    let primary = cert.primary_key().key().fingerprint();
    cert.as_tsk().set_filter(|key| key.fingerprint() != primary).to_vec().unwrap()
}

#[test]
fn a_secret_that_mail_needs_must_be_there() {
    let cert = key(ALICE);
    let policy = StandardPolicy::new();
    let valid = cert.with_policy(&policy, at()).unwrap();
    let subkey = valid.keys().for_transport_encryption().next().unwrap().key().fingerprint();
    let octets = cert.as_tsk().set_filter(|key| key.fingerprint() != subkey).to_vec().unwrap();
    assert_eq!(take(&octets).unwrap_err(), ImportError::Incomplete);
}

#[test]
fn signatures_of_others_and_other_names_are_left_out() {
    let other = key("mallory@example.com");
    let cert = builder(ALICE).add_userid("Alice <alice@home.example>").generate().unwrap().0;
    let mut signer =
        other.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let id = cert.userids().find(|id| id.userid().value() == ALICE.as_bytes()).unwrap();
    let spam = id.userid().certify(&mut signer, &cert, None, None, Some(at())).unwrap();
    let (cert, _) = cert.insert_packets([spam]).unwrap();
    let public = parsed(&take(&secret(&cert)).unwrap().public);
    assert_eq!(public.userids().count(), 1);
    assert_eq!(public.userids().next().unwrap().certifications().count(), 0);
}

#[test]
fn what_is_no_single_key_is_refused() {
    let two = [secret(&key(ALICE)), secret(&key(ALICE))].concat();
    assert_eq!(take(&two).unwrap_err(), ImportError::Malformed);
    let long = vec![0x99; IMPORT_BYTES_MAX + 1];
    assert_eq!(take(&long).unwrap_err(), ImportError::TooLarge);
    for junk in [&b""[..], b"hello", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"] {
        assert_eq!(take(junk).unwrap_err(), ImportError::Malformed);
    }
    let many = (0..KEYS_MAX).fold(builder(ALICE), |made, _| made.add_signing_subkey());
    assert_eq!(take(&secret(&many.generate().unwrap().0)).unwrap_err(), ImportError::TooLarge);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn broken_keys_break_nothing(at in 0usize..4096, octet: u8) {
        static KEY: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| secret(&key(ALICE)));
        let mut octets = KEY.clone();
        let at = at % octets.len();
        octets[at] = octet;
        let _ = take(&octets);
        let _ = take(&octets[..at]);
        let _ = needs_passphrase(&octets);
    }
}
