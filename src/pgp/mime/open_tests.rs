//! Opening against messages that the library's own writer makes, and against what attackers make
//! of them.

use super::*;
use crate::base::clock::UnixTime;
use crate::base::entropy::{Entropy, SeededEntropy};
use crate::mail::analyse;
use crate::pgp::{CertPair, IdentityKeys, generate_identity};
use openpgp::cert::{CertBuilder, CipherSuite};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::parse::Parse;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::serialize::stream::{Encryptor, LiteralWriter, Message, Recipient, Signer};
use openpgp::types::{Features, SignatureType};
use openpgp::{Cert, PacketPile};
use sequoia_openpgp as openpgp;
use std::io::Write;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NOW: UnixTime = UnixTime(1_795_000_000);
const LATER: UnixTime = UnixTime(1_795_000_100);
const PAYLOAD: &[u8] = b"Content-Type: text/plain\r\n\r\nthe secret\r\n";

fn time() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(LATER.0 as u64)
}

/// An owner: his certificate with its secrets.
struct Owner {
    cert: Cert,
    keys: IdentityKeys,
}

fn owner_of(pair: &CertPair) -> Owner {
    let cert = Cert::from_bytes(pair.secret.expose()).unwrap();
    Owner { cert, keys: IdentityKeys::from_secrets([&pair.secret]) }
}

/// As accounts have it: version 4, SEIPDv1.
static ALICE: LazyLock<Owner> =
    LazyLock::new(|| owner_of(&generate_identity("alice@example.org", NOW).unwrap()));
static BOB: LazyLock<Owner> =
    LazyLock::new(|| owner_of(&generate_identity("bob@example.org", NOW).unwrap()));
/// Version 6, SEIPDv2.
static CAROL: LazyLock<Owner> = LazyLock::new(|| {
    let (cert, _) = CertBuilder::new()
        .set_profile(openpgp::Profile::RFC9580)
        .and_then(|builder| builder.set_features(Features::empty().set_seipdv2()))
        .unwrap()
        .set_cipher_suite(CipherSuite::Cv25519)
        .set_creation_time(UNIX_EPOCH + Duration::from_secs(NOW.0 as u64))
        .add_userid("carol@example.org")
        .add_signing_subkey()
        .add_transport_encryption_subkey()
        .generate()
        .unwrap();
    let secret = crate::base::secret::SecretBytes::new(cert.as_tsk().to_vec().unwrap());
    Owner { keys: IdentityKeys::from_secrets([&secret]), cert }
});

impl Owner {
    fn public(&self) -> Vec<u8> {
        self.cert.clone().strip_secret_key_material().to_vec().unwrap()
    }

    fn open(&self, message: &[u8]) -> Result<OpenedMime, NotOpened> {
        self.open_from(message, None)
    }

    fn open_from(&self, message: &[u8], sender: Option<&[u8]>) -> Result<OpenedMime, NotOpened> {
        open(message, &analyse(message).structure, &self.keys, sender, LATER)
    }

    /// A literal, signed.
    fn sign(&self, literal: &[u8], intended: Option<&Cert>) -> Vec<u8> {
        let policy = StandardPolicy::new();
        let key = self.cert.keys().with_policy(&policy, time()).for_signing().secret();
        let pair = key.into_iter().next().unwrap().key().clone().into_keypair().unwrap();
        let mut out = Vec::new();
        let mut signer = Signer::new(Message::new(&mut out), pair).unwrap().creation_time(time());
        if let Some(cert) = intended {
            signer = signer.add_intended_recipient(cert);
        }
        let mut writer = LiteralWriter::new(signer.build().unwrap()).build().unwrap();
        writer.write_all(literal).unwrap();
        writer.finalize().unwrap();
        out
    }

    /// Packets, encrypted to this one.
    fn encrypt(&self, packets: &[u8]) -> Vec<u8> {
        encrypt_to(&[self], packets, |recipient| recipient)
    }
}

fn encrypt_to(
    owners: &[&Owner],
    packets: &[u8],
    name: impl Fn(Recipient<'_>) -> Recipient<'_>,
) -> Vec<u8> {
    let policy = StandardPolicy::new();
    let keys = owners.iter().flat_map(|owner| {
        owner.cert.keys().with_policy(&policy, time()).for_transport_encryption()
    });
    let recipients = keys.map(|key| name(Recipient::from(key)));
    let mut out = Vec::new();
    let message = Message::new(&mut out);
    let mut writer = Encryptor::for_recipients(message, recipients).build().unwrap();
    writer.write_all(packets).unwrap();
    writer.finalize().unwrap();
    out
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[0xC0 | tag, 0xFF], &length[..], body].concat()
}

fn literal(octets: &[u8]) -> Vec<u8> {
    framed(packets::LITERAL, &[b"b\0\0\0\0\0", octets].concat())
}

fn armor(packets: &[u8]) -> Vec<u8> {
    let kind = openpgp::armor::Kind::Message;
    let mut writer = openpgp::armor::Writer::new(Vec::new(), kind).unwrap();
    writer.write_all(packets).unwrap();
    writer.finalize().unwrap()
}

/// RFC 3156 §4 around an armored part.
fn wrap(armored: &[u8]) -> Vec<u8> {
    let head = b"From: bob@example.org\r\nTo: alice@example.org\r\nSubject: ...\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/encrypted;\r\n \
        protocol=\"application/pgp-encrypted\"; boundary=\"b\"\r\n\r\n\
        --b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n\
        --b\r\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\r\n\r\n";
    [head.as_slice(), armored, b"\r\n--b--\r\n"].concat()
}

fn mail(packets: &[u8]) -> Vec<u8> {
    wrap(&armor(packets))
}

fn refused(message: &[u8]) -> NotOpened {
    ALICE.open(message).expect_err("this must stay as it came")
}

/// The bodies of a message's packets, by their tags.
fn split(message: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let packet = packets::next(rest).unwrap();
        found.push((packet.tag, packet.body.to_vec()));
        rest = packet.rest;
    }
    found
}

fn join(packets: &[(u8, Vec<u8>)]) -> Vec<u8> {
    packets.iter().flat_map(|(tag, body)| framed(*tag, body)).collect()
}

#[test]
fn mail_to_old_and_new_certificates_opens_octet_for_octet() {
    for (owner, version) in [(&*ALICE, 1), (&*CAROL, 2)] {
        for octets in [0, 1, 200, 9000, 600_000] {
            let payload = [PAYLOAD, &vec![b'x'; octets]].concat();
            let opened = owner.open(&mail(&owner.encrypt(&literal(&payload)))).unwrap();
            assert_eq!(opened.entity.expose(), payload);
            assert_eq!((opened.signature, opened.version), (InnerSignature::Absent, version));
        }
    }
}

#[test]
fn every_mode_of_version_2_opens_and_no_cut_of_it_does() {
    use openpgp::types::{AEADAlgorithm, SymmetricAlgorithm};
    for mode in [AEADAlgorithm::EAX, AEADAlgorithm::OCB, AEADAlgorithm::GCM] {
        let policy = StandardPolicy::new();
        let keys = CAROL.cert.keys().with_policy(&policy, time()).for_transport_encryption();
        let mut out = Vec::new();
        let mut writer = Encryptor::for_recipients(Message::new(&mut out), keys)
            .symmetric_algo(SymmetricAlgorithm::AES128)
            .aead_algo(mode)
            .build()
            .unwrap();
        writer.write_all(&literal(PAYLOAD)).unwrap();
        writer.finalize().unwrap();
        if !mode.is_supported() {
            continue;
        }
        assert_eq!(CAROL.open(&mail(&out)).unwrap().entity.expose(), PAYLOAD);
        let parts = split(&out);
        for len in 0..parts[1].1.len() {
            let cut = [parts[0].clone(), (parts[1].0, parts[1].1[..len].to_vec())];
            assert!(CAROL.open(&mail(&join(&cut))).is_err());
        }
    }
}

#[test]
fn a_signature_counts_only_by_the_senders_certificate_and_for_this_reader() {
    let (bob, carol) = (BOB.public(), CAROL.public());
    let signature = |packets: &[u8], sender| {
        let opened = ALICE.open_from(&mail(&ALICE.encrypt(packets)), sender).unwrap();
        assert_eq!(opened.entity.expose(), PAYLOAD);
        opened.signature
    };
    let signed = BOB.sign(PAYLOAD, None);
    assert_eq!(signature(&signed, Some(&bob[..])), InnerSignature::Good);
    assert_eq!(signature(&signed, None), InnerSignature::Unknown);
    assert_eq!(signature(&signed, Some(&carol[..])), InnerSignature::Unknown);
    assert_eq!(signature(&signed, Some(b"no certificate")), InnerSignature::Unknown);
    assert_eq!(signature(&literal(PAYLOAD), Some(&bob[..])), InnerSignature::Absent);
    let to_alice = BOB.sign(PAYLOAD, Some(&ALICE.cert));
    assert_eq!(signature(&to_alice, Some(&bob[..])), InnerSignature::Good);
    // Signed for another, and handed on by him.
    let to_carol = BOB.sign(PAYLOAD, Some(&CAROL.cert));
    assert_eq!(signature(&to_carol, Some(&bob[..])), InnerSignature::Bad);
    // The signature of another text.
    let mut packets = split(&BOB.sign(b"the secreT\r\n", None));
    packets[1].1 = [b"b\0\0\0\0\0", PAYLOAD].concat();
    assert_eq!(signature(&join(&packets), Some(&bob[..])), InnerSignature::Bad);
}

#[test]
fn a_signature_is_judged_at_the_time_of_arrival() {
    let message = mail(&ALICE.encrypt(&BOB.sign(PAYLOAD, None)));
    let structure = analyse(&message).structure;
    let at = |seconds: i64| {
        let (keys, bob) = (&ALICE.keys, BOB.public());
        let at = UnixTime(LATER.0 + seconds);
        open(&message, &structure, keys, Some(&bob), at).unwrap().signature
    };
    assert_eq!(at(0), InnerSignature::Good);
    // The sender's clock is ahead by some minutes; by days is another thing.
    assert_eq!(at(-20 * 60), InnerSignature::Good);
    assert_eq!(at(-10 * 24 * 60 * 60), InnerSignature::Bad);
}

#[test]
fn a_signed_multipart_within_is_verified_too() {
    let part = b"Content-Type: text/plain\r\n\r\nsigned text";
    let signature = detached(part);
    let entity = |part: &[u8]| {
        let head = b"Content-Type: multipart/signed; protocol=\"application/pgp-signature\";\r\n \
            micalg=pgp-sha512; boundary=s\r\n\r\n--s\r\n";
        let middle = b"\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\n";
        [head.as_slice(), part, middle, &signature, b"\r\n--s--\r\n"].concat()
    };
    let judge = |part: &[u8]| {
        let message = mail(&ALICE.encrypt(&literal(&entity(part))));
        ALICE.open_from(&message, Some(&BOB.public())).unwrap().signature
    };
    assert_eq!(judge(part), InnerSignature::Good);
    assert_eq!(judge(b"Content-Type: text/plain\r\n\r\nsigned texT"), InnerSignature::Bad);
}

/// Bob's armored signature over a part; it names him.
fn detached(part: &[u8]) -> Vec<u8> {
    let policy = StandardPolicy::new();
    let key = BOB.cert.keys().with_policy(&policy, time()).for_signing().secret();
    let pair = key.into_iter().next().unwrap().key().clone().into_keypair().unwrap();
    let mut out = Vec::new();
    let name = BOB.cert.userids().next().unwrap().userid().value().to_vec();
    let template = SignatureBuilder::new(SignatureType::Binary).set_signers_user_id(name).unwrap();
    let signer = Signer::with_template(Message::new(&mut out), pair, template).unwrap();
    let mut writer = signer.creation_time(time()).detached().build().unwrap();
    writer.write_all(part).unwrap();
    writer.finalize().unwrap();
    let kind = openpgp::armor::Kind::Signature;
    let mut writer = openpgp::armor::Writer::new(Vec::new(), kind).unwrap();
    writer.write_all(&out).unwrap();
    writer.finalize().unwrap()
}

#[test]
fn whom_a_signature_on_a_part_names_is_told() {
    let part = "Content-Type: text/plain\r\n\r\nsigned";
    let signature = String::from_utf8(detached(part.as_bytes())).unwrap();
    let signed = format!(
        "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n{part}\r\n--s\r\n\
         Content-Type: application/pgp-signature\r\n\r\n{signature}\r\n--s--\r\n"
    );
    let mixed =
        format!("Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n{signed}\r\n--m--\r\n");
    let message = format!("Content-Type: message/rfc822\r\n\r\n{mixed}");
    let attached = mixed.replace("--m\r\n", "--m\r\nContent-Type: message/rfc822\r\n\r\n");
    // A file with its signature beside it, whoever made that.
    let beside = mixed.replace("multipart/signed", "multipart/mixed");
    for (entity, names) in [
        (&signed, &["bob@example.org"][..]),
        (&mixed, &["bob@example.org"]),
        (&message, &["bob@example.org"]),
        (&attached, &[]),
        (&beside, &[]),
        (&signed.replace("-----BEGIN", "no armor"), &[]),
    ] {
        let opened = ALICE.open(&mail(&ALICE.encrypt(&literal(entity.as_bytes())))).unwrap();
        assert_eq!(opened.named_signers, names, "{entity}");
    }
}

#[test]
fn compression_is_taken_once_and_within_bounds() {
    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
    let compressed = |algorithm: u8, octets: &[u8]| {
        let data = match algorithm {
            1 => compress_to_vec(octets, 6),
            2 => compress_to_vec_zlib(octets, 6),
            _ => octets.to_vec(),
        };
        framed(packets::COMPRESSED, &[&[algorithm], &data[..]].concat())
    };
    let open = |packets: &[u8]| ALICE.open(&mail(&ALICE.encrypt(packets)));
    for algorithm in 0..3 {
        let opened = open(&compressed(algorithm, &literal(PAYLOAD))).unwrap();
        assert_eq!(opened.entity.expose(), PAYLOAD);
        let signed = compressed(algorithm, &BOB.sign(PAYLOAD, None));
        let signed = ALICE.open_from(&mail(&ALICE.encrypt(&signed)), Some(&BOB.public()));
        assert_eq!(signed.unwrap().signature, InnerSignature::Good);
    }
    // As GnuPG writes it: the old format, of indeterminate length.
    let body = [&[1], &compress_to_vec(&literal(PAYLOAD), 6)[..]].concat();
    assert!(open(&[&[0xA3], &body[..]].concat()).is_ok());
    assert_eq!(open(&compressed(3, b"BZh9")).unwrap_err(), NotOpened::Compression);
    let twice = compressed(1, &compressed(1, &literal(PAYLOAD)));
    assert_eq!(open(&twice).unwrap_err(), NotOpened::Content);
    let bomb = compressed(1, &literal(&vec![0; 20 << 20]));
    assert!(bomb.len() < 30_000);
    assert_eq!(open(&bomb).unwrap_err(), NotOpened::Compression);
    // A bomb of packets that are to be passed over.
    let markers = compressed(1, &framed(packets::MARKER, b"PGP").repeat(6_000));
    assert!(open(&markers).is_err());
}

#[test]
fn what_is_inside_is_one_literal_and_its_signatures() {
    let one = literal(PAYLOAD);
    let marker = framed(packets::MARKER, b"PGP");
    let padding = framed(packets::PADDING, &[7; 40]);
    let open = |packets: &[&[u8]]| ALICE.open(&mail(&ALICE.encrypt(&packets.concat())));
    assert_eq!(open(&[&marker, &one, &padding]).unwrap().entity.expose(), PAYLOAD);
    assert_eq!(open(&[&one, &one]).unwrap_err(), NotOpened::Content);
    assert_eq!(open(&[&ALICE.encrypt(&one)]).unwrap_err(), NotOpened::Content);
    assert_eq!(open(&[]).unwrap_err(), NotOpened::Content);
    assert_eq!(open(&[&one, b"\xCB"]).unwrap_err(), NotOpened::Content);
    assert_eq!(open(&[&framed(packets::LITERAL, b"b\xFFx")]).unwrap_err(), NotOpened::Content);
    // A literal in parts.
    let parts = [&[0xCB, 0xE3][..], b"b\0\0\0\0\0Co", &[33], &PAYLOAD[2..35]].concat();
    assert_eq!(open(&[&parts]).unwrap().entity.expose(), &PAYLOAD[..35]);
}

#[test]
fn one_flipped_bit_anywhere_releases_nothing_else() {
    for owner in [&*ALICE, &*CAROL] {
        let packets = owner.encrypt(&literal(PAYLOAD));
        for at in 0..packets.len() {
            let mut altered = packets.clone();
            altered[at] ^= 1 << (at % 8);
            if let Ok(opened) = owner.open(&mail(&altered)) {
                panic!("octet {at} of {}: {:?}", packets.len(), opened.entity.expose());
            }
        }
        for len in 0..packets.len() {
            assert!(owner.open(&mail(&packets[..len])).is_err(), "cut at {len}");
        }
    }
}

#[test]
fn an_altered_mail_gives_the_same_text_or_none() {
    let message = mail(&ALICE.encrypt(&literal(PAYLOAD)));
    for at in 0..message.len() {
        let mut altered = message.clone();
        altered[at] ^= 1 << (at % 8);
        if let Ok(opened) = ALICE.open(&altered) {
            assert_eq!(opened.entity.expose(), PAYLOAD, "octet {at}");
        }
    }
}

/// EFAIL's second half: the integrity protection is taken off.
#[test]
fn data_without_its_protection_is_refused() {
    let [pkesk, seipd] = &split(&ALICE.encrypt(&literal(PAYLOAD)))[..] else { panic!("two") };
    let with = |tag: u8, body: &[u8]| mail(&join(&[pkesk.clone(), (tag, body.to_vec())]));
    assert!(ALICE.open(&with(packets::SEIPD, &seipd.1)).is_ok());
    // The packet of old that has no protection, with the version taken off, and with it.
    assert_eq!(refused(&with(9, &seipd.1[1..])), NotOpened::Packets);
    assert_eq!(refused(&with(9, &seipd.1)), NotOpened::Packets);
    assert_eq!(refused(&with(20, &seipd.1)), NotOpened::Packets);
    // The MDC is cut off, or part of it.
    for bytes in 1..=seipd.1.len() {
        let cut = &seipd.1[..seipd.1.len() - bytes];
        assert_eq!(refused(&with(packets::SEIPD, cut)), NotOpened::NotAuthentic);
    }
    // Another version on the same octets.
    let renamed = [&[2, 9, 2, 6], &seipd.1[1..]].concat();
    assert_eq!(refused(&with(packets::SEIPD, &renamed)), NotOpened::NoKey);
    // A block of the malleable cipher put in again.
    let doubled = [&seipd.1[..33], &seipd.1[17..]].concat();
    assert_eq!(refused(&with(packets::SEIPD, &doubled)), NotOpened::NotAuthentic);
}

/// Each wrapper of which a reader that only looks for ciphertext would show the plaintext.
#[test]
fn what_is_not_encrypted_as_a_whole_is_refused() {
    let armored = armor(&ALICE.encrypt(&literal(PAYLOAD)));
    let whole = wrap(&armored);
    assert!(ALICE.open(&whole).is_ok());
    let text = String::from_utf8(whole.clone()).unwrap();
    let part = "--b\r\nContent-Type: application/octet-stream\r\n\r\n";
    let ciphertext = String::from_utf8(armored.clone()).unwrap();
    let html = "--m\r\nContent-Type: text/html\r\n\r\n<img src=\"http://example.net/\r\n";
    let mixed = format!(
        "From: m@example.net\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n{html}--m\r\n{}\
         \r\n{html}--m--\r\n",
        &text[text.find("Content-Type").unwrap()..],
    );
    let nested = format!("Content-Type: message/rfc822\r\n\r\n{text}");
    let digest = format!("Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n{text}");
    let two = text.replace("\r\n--b--", &format!("\r\n{part}{ciphertext}\r\n--b--"));
    let three = text.replace("\r\n--b--", "\r\n--b\r\n\r\nmore\r\n--b--");
    let inline = format!("From: m@example.net\r\n\r\n{ciphertext}");
    let not_whole = [
        mixed,
        nested,
        digest,
        two,
        three,
        inline,
        text.replace("multipart/encrypted", "multipart/mixed"),
        text.replace("protocol=\"application/pgp-encrypted\"", "protocol=\"x/y\""),
        text.replace("protocol=\"application/pgp-encrypted\";", ""),
        text.replace("Version: 1", "Version: 2"),
        text.replace("Version: 1", "Version: 1\r\n<html>"),
        text.replace("Content-Type: application/pgp-encrypted", "Content-Type: text/html"),
        text.replace("application/octet-stream", "text/html"),
        text.replace(
            "\r\n\r\n-----BEGIN",
            "\r\nContent-Transfer-Encoding: base64\r\n\r\n-----BEGIN",
        ),
    ];
    for message in not_whole {
        assert_ne!(message.as_bytes(), whole);
        assert_eq!(refused(message.as_bytes()), NotOpened::NotWhole, "{message}");
    }
}

#[test]
fn an_armor_holds_one_message_and_nothing_is_around_it() {
    let packets = ALICE.encrypt(&literal(PAYLOAD));
    let armored = String::from_utf8(armor(&packets)).unwrap();
    let open = |armored: &str| ALICE.open(&wrap(armored.as_bytes())).map(|_| ());
    let crc = armored.lines().find(|line| line.starts_with('=')).unwrap().to_owned();
    // What is to be forgiven: headers, no or a wrong checksum, other line ends, blanks around.
    for good in [
        armored.replace("MESSAGE-----\n\n", "MESSAGE-----\nVersion: x\nComment: a: b\n\n"),
        armored.replace(&format!("{crc}\n"), ""),
        armored.replace(&crc, "=AAAA"),
        armored.replace('\n', "\r\n"),
        format!("\r\n\r\n{armored}\r\n \r\n"),
    ] {
        assert_eq!(open(&good), Ok(()), "{good}");
    }
    for bad in [
        format!("text\n{armored}"),
        format!("{armored}text\n"),
        format!("{armored}{armored}"),
        armored.replace("PGP MESSAGE", "PGP SIGNATURE"),
        armored.replace("MESSAGE-----\n\n", "MESSAGE-----\n"),
        armored.replace("MESSAGE-----\n\n", "MESSAGE-----\nno header\n\n"),
        armored.replace("-----END PGP MESSAGE-----", ""),
    ] {
        assert_eq!(open(&bad), Err(NotOpened::Armor), "{bad}");
    }
    assert!(open(&armored.replace(&crc, &format!("{crc}\nAAAA"))).is_err());
    // In the armor: something behind, or a second message.
    let one = split(&packets);
    let trailing = [&packets[..], &literal(b"<html>")].concat();
    let twice = [&packets[..], &packets[..]].concat();
    let padded = [&packets[..], &framed(packets::PADDING, b"x")].concat();
    let literal_first = [&literal(b"<html>"), &packets[..]].concat();
    let no_key = join(&one[1..]);
    for bad in [trailing, twice, padded, literal_first] {
        assert_eq!(refused(&mail(&bad)), NotOpened::Packets);
    }
    assert_eq!(refused(&mail(&no_key)), NotOpened::NoKey);
    // A password beside the key is nobody's; a marker is passed over.
    let skesk = (packets::SKESK, vec![4, 9, 0, 8]);
    let marker = (packets::MARKER, b"PGP".to_vec());
    let beside = join(&[marker, skesk.clone(), one[0].clone(), one[1].clone()]);
    assert!(ALICE.open(&mail(&beside)).is_ok());
    assert_eq!(refused(&mail(&join(&[skesk, one[1].clone()]))), NotOpened::NoKey);
}

#[test]
fn mail_to_others_and_floods_of_keys_cost_little() {
    let packets = literal(PAYLOAD);
    assert_eq!(refused(&mail(&BOB.encrypt(&packets))), NotOpened::NoKey);
    let both = encrypt_to(&[&BOB, &ALICE], &packets, |recipient| recipient);
    assert!(ALICE.open(&mail(&both)).is_ok() && BOB.open(&mail(&both)).is_ok());
    let hidden = |owners: &[&Owner]| {
        mail(&encrypt_to(owners, &packets, |recipient| recipient.set_key_handle(None).unwrap()))
    };
    let bob = &*BOB;
    assert!(ALICE.open(&hidden(&[bob, bob, bob, &ALICE])).is_ok());
    // The fifth is not tried.
    assert_eq!(refused(&hidden(&[bob, bob, bob, bob, &ALICE])), NotOpened::NoKey);
    // One that names the key is found behind any number for others, up to the limit.
    let flood = |count: usize| {
        let both = split(&encrypt_to(&[bob, &ALICE], &packets, |recipient| recipient));
        let mut all = vec![both[0].clone(); count - 1];
        all.extend_from_slice(&both[1..]);
        mail(&join(&all))
    };
    assert!(ALICE.open(&flood(100)).is_ok());
    assert_eq!(refused(&flood(101)), NotOpened::Packets);
    assert_eq!(refused(&flood(1000)), NotOpened::Packets);
    let mut large = split(&ALICE.encrypt(&packets));
    large[0].1.resize(5000, 0);
    assert_eq!(refused(&mail(&join(&large))), NotOpened::Packets);
}

/// Of this size readers with a buffer of 25 MB have handed out 33 MB before the error.
#[test]
fn a_large_message_with_one_flipped_octet_releases_nothing() {
    let mut payload = vec![0; 60_000_000];
    SeededEntropy::new(1).fill(&mut payload);
    let mut packets = ALICE.encrypt(&literal(&payload));
    let last = packets.len() - 1_000_000;
    packets[last] ^= 1;
    assert_eq!(refused(&mail(&packets)), NotOpened::NotAuthentic);
    let too_large = wrap(&vec![b'A'; MESSAGE_BYTES_MAX]);
    assert_eq!(refused(&too_large), NotOpened::TooLarge);
}

#[test]
fn kept_older_identities_open_what_was_written_to_them() {
    let secret = |owner: &Owner| {
        crate::base::secret::SecretBytes::new(owner.cert.as_tsk().to_vec().unwrap())
    };
    let (new, old) = (secret(&CAROL), secret(&ALICE));
    let garbage = crate::base::secret::SecretBytes::copy_from(b"no key");
    let keys = IdentityKeys::from_secrets([&new, &garbage, &old]);
    for owner in [&*ALICE, &*CAROL] {
        let message = mail(&owner.encrypt(&literal(PAYLOAD)));
        let structure = analyse(&message).structure;
        assert!(open(&message, &structure, &keys, None, LATER).is_ok());
    }
}

#[test]
fn hostile_octets_never_panic() {
    use proptest::prelude::*;
    let packets = ALICE.encrypt(&BOB.sign(PAYLOAD, None));
    let edits = proptest::collection::vec((0..packets.len(), any::<u8>()), 0..6);
    let noise = proptest::collection::vec(any::<u8>(), 0..400);
    proptest!(ProptestConfig::with_cases(200), |(edits in edits, noise in noise)| {
        let mut altered = packets.clone();
        let untouched = edits.iter().all(|(at, value)| packets[*at] == *value);
        edits.into_iter().for_each(|(at, value)| altered[at] = value);
        prop_assert_eq!(ALICE.open(&mail(&altered)).is_ok(), untouched);
        prop_assert!(ALICE.open(&mail(&noise)).is_err());
        prop_assert!(ALICE.open(&wrap(&noise)).is_err());
        // Inside the encryption, where an honest writer of bad packets may stand.
        let inside = ALICE.open(&mail(&ALICE.encrypt(&noise)));
        prop_assert!(inside.is_err() || PacketPile::from_bytes(&noise[..]).is_ok());
    });
}
