//! Seal and open together, and against the library's own stream reader as another opener.

use super::*;
use crate::base::clock::UnixTime;
use crate::base::entropy::{Entropy, SeededEntropy};
use openpgp::parse::Parse;
use openpgp::parse::stream::VerificationHelper;
use openpgp::parse::stream::{DecryptionHelper, DecryptorBuilder, MessageStructure};
use openpgp::serialize::SerializeInto;
use sequoia_openpgp as openpgp;
use std::io::Read;

const NOW: UnixTime = UnixTime(1_795_000_000);

struct World {
    pair: CertPair,
    seal_key: SealKey,
    open_key: OpenKey,
    entropy: SeededEntropy,
}

fn world() -> World {
    let pair = generate_storage(NOW).unwrap();
    let seal_key = SealKey::from_cert(&pair.public, &pair.subkey).unwrap();
    let open_key = OpenKey::from_secret(&pair.secret, &pair.subkey).unwrap();
    World { pair, seal_key, open_key, entropy: SeededEntropy::new(7) }
}

fn octets(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SeededEntropy::new(len as u64).fill(&mut bytes);
    bytes
}

#[test]
fn what_was_sealed_opens_at_every_seam_of_chunks_and_packets() {
    let world = world();
    let seams = [4096 - 8, 4096 - 10, 8192 - 8, 8192 - 10];
    let lengths = (0..300).chain(seams.iter().flat_map(|seam| seam - 12..seam + 12));
    for len in lengths.chain([100_000]) {
        let literal = octets(len);
        let sealed = world.seal_key.seal(&literal, &world.entropy).unwrap();
        let prefix = &sealed.message[..sealed.message.len().min(PKESK_PREFIX_BYTES)];
        assert_eq!(recipient(prefix), Ok(world.pair.subkey));
        let key = world.open_key.session_key(prefix).unwrap();
        assert_eq!(key.key().expose(), sealed.session_key.key().expose());
        assert_eq!(open(&key, &sealed.message).unwrap().expose(), literal, "{len} octets");
    }
}

#[test]
fn the_prefix_is_exactly_the_pkesk() {
    let world = world();
    let sealed = world.seal_key.seal(b"x", &world.entropy).unwrap();
    assert!(world.open_key.session_key(&sealed.message[..PKESK_PREFIX_BYTES]).is_ok());
    let short = &sealed.message[..PKESK_PREFIX_BYTES - 1];
    assert_eq!(
        world.open_key.session_key(short).unwrap_err(),
        OpenError::Malformed(PKESK_PREFIX_BYTES - 1)
    );
}

#[test]
fn lengths_within_a_padme_step_seal_to_one_length() {
    let world = world();
    let sealed = |len| world.seal_key.seal(&octets(len), &world.entropy).unwrap().message.len();
    assert_eq!(sealed(10_000), sealed(10_200));
    assert_ne!(sealed(10_000), sealed(11_000));
}

#[test]
fn one_flipped_bit_anywhere_releases_nothing() {
    let world = world();
    let sealed = world.seal_key.seal(&octets(5000), &world.entropy).unwrap();
    for at in 0..sealed.message.len() {
        let mut altered = sealed.message.clone();
        altered[at] ^= 1 << (at % 8);
        if at >= PKESK_PREFIX_BYTES {
            assert!(open(&sealed.session_key, &altered).is_err(), "octet {at}");
            continue;
        }
        // The PKESK only leads to the session key: another key opens nothing.
        let key = world.open_key.session_key(&altered);
        assert!(!key.is_ok_and(|key| open(&key, &altered).is_ok()), "octet {at}");
    }
}

#[test]
fn a_cut_at_every_octet_releases_nothing() {
    let world = world();
    let sealed = world.seal_key.seal(&octets(9000), &world.entropy).unwrap();
    for len in 0..sealed.message.len() {
        assert!(open(&sealed.session_key, &sealed.message[..len]).is_err());
    }
    // Cut at a chunk's edge with the packet's length mended: the last tag notices.
    let shorter = world.seal_key.seal(&octets(100), &world.entropy).unwrap();
    assert_eq!(open(&sealed.session_key, &shorter.message).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn more_than_one_recipient_or_a_password_is_refused() {
    let world = world();
    let sealed = world.seal_key.seal(b"mail", &world.entropy).unwrap();
    let (pkesk, seipd) = sealed.message.split_at(PKESK_PREFIX_BYTES);
    let twice = [pkesk, pkesk, seipd].concat();
    assert_eq!(open(&sealed.session_key, &twice).unwrap_err(), OpenError::Recipients);
    let none = seipd.to_vec();
    assert_eq!(open(&sealed.session_key, &none).unwrap_err(), OpenError::Recipients);
    let skesk = [0xC0 | frame::SKESK, 4, 4, 9, 0, 8];
    for message in [[pkesk, &skesk, seipd].concat(), [&skesk, pkesk, seipd].concat()] {
        assert_eq!(open(&sealed.session_key, &message).unwrap_err(), OpenError::Recipients);
    }
    let trailing = [&sealed.message[..], &[0xC0 | frame::PADDING, 0]].concat();
    assert!(open(&sealed.session_key, &trailing).is_err());
}

#[test]
fn another_epochs_key_is_told_apart_and_opens_nothing() {
    let (ours, theirs) = (world(), world());
    let sealed = ours.seal_key.seal(b"mail", &ours.entropy).unwrap();
    assert_eq!(theirs.open_key.session_key(&sealed.message).unwrap_err(), OpenError::OtherKey);
    // The attacker rewrites the fingerprint to that of his subkey: the key does not come out.
    let mut renamed = sealed.message.clone();
    let at = renamed.windows(32).position(|w| w == ours.pair.subkey.as_bytes()).unwrap();
    renamed[at..at + 32].copy_from_slice(theirs.pair.subkey.as_bytes());
    assert_eq!(theirs.open_key.session_key(&renamed).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn sealing_asks_neither_clock_nor_policy() {
    let entropy = SeededEntropy::new(3);
    for made in [UnixTime(0), UnixTime(u32::MAX.into())] {
        let pair = generate_storage(made).unwrap();
        let seal_key = SealKey::from_cert(&pair.public, &pair.subkey).unwrap();
        let sealed = seal_key.seal(b"mail", &entropy).unwrap();
        let open_key = OpenKey::from_secret(&pair.secret, &pair.subkey).unwrap();
        let key = open_key.session_key(&sealed.message).unwrap();
        assert_eq!(open(&key, &sealed.message).unwrap().expose(), b"mail");
    }
}

/// The forgery: the attacker's certificate adopts the victim's subkey beside one of his own, with
/// valid bindings, and even in the first place.
#[test]
fn a_forged_certificate_with_another_encryption_subkey_is_never_used() {
    let (victim, attacker) = (world(), world());
    let forged = adopt(&attacker.pair, &victim.pair);
    let seal_key = SealKey::from_cert(&forged, &victim.pair.subkey).unwrap();
    let sealed = seal_key.seal(b"mail", &victim.entropy).unwrap();
    assert_eq!(recipient(&sealed.message), Ok(victim.pair.subkey));
    assert!(attacker.open_key.session_key(&sealed.message).is_err());
    assert!(victim.open_key.session_key(&sealed.message).is_ok());
    // A certificate without the pinned subkey is not sealed to at all.
    assert_eq!(
        SealKey::from_cert(&attacker.pair.public, &victim.pair.subkey).unwrap_err(),
        CertError::NoSuchSubkey
    );
}

/// Counted by the library's own parser, not by ours.
#[test]
fn a_sealed_message_has_one_recipient_however_many_subkeys_the_certificate_offers() {
    use openpgp::packet::Tag;
    let (ours, theirs) = (world(), world());
    let pairs = [(&ours.pair, &theirs.pair), (&theirs.pair, &ours.pair)];
    for (holder, guest) in pairs {
        let seal_key = SealKey::from_cert(&adopt(holder, guest), &ours.pair.subkey).unwrap();
        let sealed = seal_key.seal(b"mail", &ours.entropy).unwrap();
        let packets = openpgp::PacketPile::from_bytes(&sealed.message).unwrap();
        let tags: Vec<Tag> = packets.children().map(openpgp::Packet::tag).collect();
        assert_eq!(tags, [Tag::PKESK, Tag::SEIP], "one recipient, one sealed packet");
        assert_eq!(recipient(&sealed.message), Ok(ours.pair.subkey));
    }
}

fn adopt(attacker: &CertPair, victim: &CertPair) -> Vec<u8> {
    use openpgp::types::{KeyFlags, SignatureType};
    let theirs = openpgp::Cert::from_bytes(attacker.secret.expose()).unwrap();
    let stolen = openpgp::Cert::from_bytes(&victim.public).unwrap();
    let subkey = stolen.keys().subkeys().next().unwrap().key().clone();
    let secret = theirs.primary_key().key().clone().parts_into_secret().unwrap();
    let mut signer = secret.into_keypair().unwrap();
    let builder = openpgp::packet::signature::SignatureBuilder::new(SignatureType::SubkeyBinding)
        .set_key_flags(KeyFlags::empty().set_storage_encryption())
        .unwrap();
    let binding = subkey.bind(&mut signer, &theirs, builder).unwrap();
    let packets = [openpgp::Packet::from(subkey), binding.into()];
    theirs.insert_packets(packets).unwrap().0.strip_secret_key_material().to_vec().unwrap()
}

struct Keyring(openpgp::Cert);

impl VerificationHelper for Keyring {
    fn get_certs(&mut self, _: &[openpgp::KeyHandle]) -> openpgp::Result<Vec<openpgp::Cert>> {
        Ok(Vec::new())
    }

    fn check(&mut self, _: MessageStructure<'_>) -> openpgp::Result<()> {
        Ok(())
    }
}

impl DecryptionHelper for Keyring {
    fn decrypt(
        &mut self,
        pkesks: &[openpgp::packet::PKESK],
        _: &[openpgp::packet::SKESK],
        algorithm: Option<openpgp::types::SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(
            Option<openpgp::types::SymmetricAlgorithm>,
            &openpgp::crypto::SessionKey,
        ) -> bool,
    ) -> openpgp::Result<Option<openpgp::Cert>> {
        let subkey = self.0.keys().subkeys().next().unwrap().key().clone();
        let mut pair = subkey.parts_into_secret()?.into_keypair()?;
        let (found, key) = pkesks[0].decrypt(&mut pair, algorithm).unwrap();
        assert!(decrypt(found, &key));
        Ok(None)
    }
}

#[test]
fn an_opener_that_is_not_ours_reads_what_we_sealed() {
    let world = world();
    let policy = openpgp::policy::StandardPolicy::new();
    let cert = openpgp::Cert::from_bytes(world.pair.secret.expose()).unwrap();
    for len in [0, 1, 10_240, 300_000] {
        let literal = octets(len);
        let sealed = world.seal_key.seal(&literal, &world.entropy).unwrap();
        let mut reader = DecryptorBuilder::from_bytes(&sealed.message)
            .unwrap()
            .with_policy(&policy, None, Keyring(cert.clone()))
            .unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, literal);
    }
}

#[test]
fn a_session_key_that_the_library_wrapped_comes_out_here() {
    use openpgp::packet::pkesk::PKESK6;
    let world = world();
    let cert = openpgp::Cert::from_bytes(&world.pair.public).unwrap();
    let subkey = cert.keys().subkeys().next().unwrap().key().clone();
    for _ in 0..20 {
        let key = openpgp::crypto::SessionKey::new(32).unwrap();
        let pkesk = PKESK6::for_recipient(&key, &subkey).unwrap();
        let message = openpgp::Packet::from(openpgp::packet::PKESK::from(pkesk)).to_vec().unwrap();
        assert_eq!(message.len(), PKESK_PREFIX_BYTES);
        let found = world.open_key.session_key(&message).unwrap();
        assert_eq!(found.key().expose()[..], key[..]);
    }
}

/// The lengths of a PKESK's fields are fixed; whatever else its own lengths say is no PKESK.
#[test]
fn a_pkesk_of_another_shape_or_algorithm_is_named() {
    let world = world();
    let sealed = world.seal_key.seal(b"x", &world.entropy).unwrap();
    // Behind a header of three octets: version, length, version, fingerprint, algorithm.
    let pkesk = &sealed.message[3..PKESK_PREFIX_BYTES];
    let session_key = |body: &[u8]| {
        let length = body.len() - 192;
        let header = [0xC0 | frame::PKESK, 192 + (length >> 8) as u8, length as u8];
        world.open_key.session_key(&[&header, body].concat()).err()
    };
    assert_eq!(session_key(pkesk), None);
    for body in [&pkesk[..pkesk.len() - 1], &[pkesk, &[0]].concat(), &pkesk[..300]] {
        assert_eq!(session_key(body), Some(OpenError::Malformed(35)));
    }
    let with = |at: usize, octet| [&pkesk[..at], &[octet], &pkesk[at + 1..]].concat();
    assert_eq!(session_key(&with(35, 25)), Some(OpenError::Algorithm), "X25519 alone");
    assert_eq!(session_key(&with(0, 3)), Some(OpenError::Algorithm), "version 3");
    let length_at = pkesk.len() - 41;
    assert_eq!(pkesk[length_at], 40);
    assert_eq!(session_key(&with(length_at, 39)), Some(OpenError::Malformed(35)));
}

#[test]
fn hostile_octets_never_panic() {
    use proptest::prelude::*;
    let world = world();
    let sealed = world.seal_key.seal(&octets(300), &world.entropy).unwrap();
    let key = sealed.session_key.clone();
    let mutations = proptest::collection::vec((0..sealed.message.len(), any::<u8>()), 0..8);
    proptest!(ProptestConfig::with_cases(400), |(
        noise in proptest::collection::vec(any::<u8>(), 0..1500),
        edits in mutations,
        cut in 0..sealed.message.len(),
    )| {
        let mut message = sealed.message.clone();
        for (at, value) in edits {
            message[at] = value;
        }
        message.truncate(cut);
        for bytes in [&noise, &message] {
            let _ = recipient(bytes);
            let _ = world.open_key.session_key(bytes);
            prop_assert!(open(&key, bytes).is_err());
            let _ = SealKey::from_cert(bytes, &world.pair.subkey);
        }
    });
}

/// Figures, not checks: the runner's own time of each, as
/// `cargo nextest run --release --run-ignored only pgp::tests::figures`.
mod figures {
    use super::*;

    const SMALL: (usize, u32) = (10_240, 1000);
    const LARGE: (usize, u32) = (50_000_000, 1);

    fn rounds((len, rounds): (usize, u32), work: impl Fn(&World, &[u8], &Sealed)) {
        let (world, literal) = (world(), octets(len));
        let sealed = world.seal_key.seal(&literal, &world.entropy).unwrap();
        (0..rounds).for_each(|_| work(&world, &literal, &sealed));
    }

    fn seal(size: (usize, u32)) {
        rounds(size, |world, literal, _| drop(world.seal_key.seal(literal, &world.entropy)));
    }

    fn open(size: (usize, u32)) {
        rounds(size, |_, _, sealed| {
            assert!(super::open(&sealed.session_key, &sealed.message).is_ok());
        });
    }

    #[test]
    #[ignore = "a figure"]
    fn seal_10_kb_a_thousand_times() {
        seal(SMALL);
    }

    #[test]
    #[ignore = "a figure"]
    fn recover_the_session_key_a_thousand_times() {
        rounds(SMALL, |world, _, sealed| {
            assert!(world.open_key.session_key(&sealed.message).is_ok());
        });
    }

    #[test]
    #[ignore = "a figure"]
    fn open_10_kb_a_thousand_times() {
        open(SMALL);
    }

    #[test]
    #[ignore = "a figure"]
    fn seal_50_mb_once_more() {
        seal(LARGE);
    }

    #[test]
    #[ignore = "a figure"]
    fn open_50_mb_once() {
        open(LARGE);
    }
}
