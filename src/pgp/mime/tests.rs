//! What is sealed for others is opened with the library's own stream reader, and looked at as a
//! recipient's program would.

use super::*;
use crate::base::clock::UnixTime;
use crate::base::entropy::{Entropy, SeededEntropy};
use crate::mail::{Address, Content, analyse, header};
use crate::pgp::frame::padme;
use crate::pgp::{PeerCert, judge_cert};
use openpgp::Cert;
use openpgp::cert::{CertBuilder, CipherSuite};
use openpgp::parse::Parse;
use openpgp::parse::stream::{DecryptionHelper, DecryptorBuilder, MessageStructure};
use openpgp::parse::stream::{MessageLayer, VerificationHelper};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::types::Features;
use proptest::prelude::*;
use sequoia_openpgp as openpgp;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const NOW: UnixTime = UnixTime(1_795_000_000);

const MAIL: &[u8] =
    b"From: Alice <alice@example.org>\r\nTo: bob@example.net, carol@example.com\r\n\
    Subject: The secret plan\r\nKeywords: hush\r\nDate: Wed, 25 Nov 2026 13:00:00 +0100\r\n\
    Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\
    \r\nContent-Transfer-Encoding: 8bit\r\n\r\nMeet me at noon. \r\n\r\n.\r\nFrom here.\r\n";

/// Somebody elsewhere, with his secret key.
struct Peer {
    secret: Cert,
    cert: Arc<PeerCert>,
}

fn peer(address: &str, features: Features, suite: CipherSuite, v6: bool) -> Peer {
    let mut builder = CertBuilder::new();
    if v6 {
        builder = builder.set_profile(openpgp::Profile::RFC9580).unwrap();
    }
    let (secret, _) = builder
        .set_cipher_suite(suite)
        .set_features(features)
        .unwrap()
        .set_creation_time(UNIX_EPOCH + Duration::from_secs(NOW.0 as u64))
        .add_userid(address)
        .add_transport_encryption_subkey()
        .generate()
        .unwrap();
    let parsed = Address::parse(address.as_bytes()).unwrap();
    let cert = judge_cert(&secret.to_vec().unwrap(), &parsed, NOW).unwrap();
    Peer { secret, cert: Arc::new(cert) }
}

fn old_fashioned(address: &str) -> Peer {
    peer(address, Features::empty().set_seipdv1(), CipherSuite::Cv25519, false)
}

fn modern(address: &str) -> Peer {
    let features = Features::empty().set_seipdv1().set_seipdv2();
    peer(address, features, CipherSuite::Cv25519, true)
}

struct Helper<'a> {
    secret: &'a Cert,
    layers: Vec<String>,
}

impl VerificationHelper for &mut Helper<'_> {
    fn get_certs(&mut self, _: &[openpgp::KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(Vec::new())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        for layer in structure {
            self.layers.push(match layer {
                MessageLayer::Encryption { sym_algo, aead_algo } => {
                    format!("{sym_algo} {aead_algo:?}")
                }
                MessageLayer::Compression { .. } => "compressed".to_owned(),
                MessageLayer::SignatureGroup { .. } => "signed".to_owned(),
            });
        }
        Ok(())
    }
}

impl DecryptionHelper for &mut Helper<'_> {
    fn decrypt(
        &mut self,
        pkesks: &[openpgp::packet::PKESK],
        _: &[openpgp::packet::SKESK],
        algorithm: Option<openpgp::types::SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(
            Option<openpgp::types::SymmetricAlgorithm>,
            &openpgp::crypto::SessionKey,
        ) -> bool,
    ) -> openpgp::Result<Option<Cert>> {
        let subkey = self.secret.keys().subkeys().next().unwrap().key().clone();
        let handle = openpgp::KeyHandle::from(subkey.fingerprint());
        let mut pair = subkey.parts_into_secret()?.into_keypair()?;
        for pkesk in pkesks {
            // Recipients are named: programs that must try every key give up.
            assert!(pkesk.recipient().is_some());
            if !pkesk.recipient().unwrap().aliases(&handle) {
                continue;
            }
            if let Some((algorithm, key)) = pkesk.decrypt(&mut pair, algorithm)
                && decrypt(algorithm, &key)
            {
                break;
            }
        }
        Ok(None)
    }
}

/// The payload that a peer finds in a sealed message, and the layers around it.
fn opened(message: &[u8], peer: &Peer) -> Option<(Vec<u8>, Vec<String>)> {
    let structure = analyse(message).structure;
    let [_, data] = structure.children(0)[..] else { panic!("not two parts") };
    let armored = &message[structure.parts[data].body.range()];
    let mut helper = Helper { secret: &peer.secret, layers: Vec::new() };
    let policy = StandardPolicy::new();
    let at = UNIX_EPOCH + Duration::from_secs(NOW.0 as u64);
    let mut payload = Vec::new();
    DecryptorBuilder::from_bytes(armored)
        .unwrap()
        .with_policy(&policy, at, &mut helper)
        .ok()?
        .read_to_end(&mut payload)
        .ok()?;
    Some((payload, helper.layers))
}

fn sealed(message: &[u8], to: &[&Peer]) -> Vec<u8> {
    let certs: Vec<_> = to.iter().map(|peer| peer.cert.clone()).collect();
    seal_mime(message, &certs, &SeededEntropy::new(5)).unwrap()
}

fn body(message: &[u8]) -> &[u8] {
    &message[header::header_bytes(message)..]
}

fn field(message: &[u8], name: &str) -> Vec<String> {
    let text = |body: &[u8]| String::from_utf8_lossy(&header::unfold(body)).into_owned();
    header::fields(message).filter(|f| f.is(name)).map(|f| text(f.body)).collect()
}

#[test]
fn every_recipient_opens_the_submitted_octets() {
    let (bob, carol, eve) = (
        old_fashioned("bob@example.net"),
        old_fashioned("carol@example.com"),
        old_fashioned("eve@example.com"),
    );
    let message = sealed(MAIL, &[&bob, &carol]);
    for peer in [&bob, &carol] {
        let (payload, layers) = opened(&message, peer).unwrap();
        assert_eq!(body(&payload), body(MAIL));
        assert_eq!(layers, ["AES-256 None"]);
        assert_eq!(field(&payload, "Subject"), ["The secret plan"]);
        assert_eq!(field(&payload, "Keywords"), ["hush"]);
        assert_eq!(
            field(&payload, "Content-Type"),
            ["text/plain; charset=utf-8;\thp=\"cipher\"; protected-headers=\"v1\""]
        );
        let outer = field(&payload, "HP-Outer");
        assert_eq!(outer.len(), 5);
        assert!(outer.contains(&"Subject: [...]".to_owned()));
        for shown in &outer {
            let (name, value) = shown.split_once(": ").unwrap();
            assert_eq!(field(&message, name), [value]);
        }
    }
    assert!(opened(&message, &eve).is_none());
}

#[test]
fn outside_stands_a_message_that_any_server_takes() {
    let message = sealed(MAIL, &[&old_fashioned("bob@example.net")]);
    assert_eq!(field(&message, "Subject"), ["[...]"]);
    for (name, values) in [("Keywords", 0), ("From", 1), ("Message-ID", 1), ("MIME-Version", 1)] {
        assert_eq!(field(&message, name).len(), values, "{name}");
    }
    assert!(message.is_ascii() && message.ends_with(b"--\r\n"));
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        assert!(line.ends_with(b"\r\n") && line.len() <= 1000);
        assert!(!line[..line.len() - 2].contains(&b'\r'));
    }
    let text = String::from_utf8_lossy(&message).into_owned();
    assert!(!text.contains("secret") && !text.contains("noon") && !text.contains("hush"));
    assert_eq!(already_sealed(&message), Some(AlreadySealed::PgpMime));
    let parts = analyse(&message).structure.parts;
    assert_eq!((parts.len(), parts[0].subtype.as_str()), (3, "encrypted"));
}

#[test]
fn version_two_is_used_only_if_all_read_it() {
    let (bob, carol) = (old_fashioned("bob@example.net"), modern("carol@example.com"));
    let (_, layers) = opened(&sealed(MAIL, &[&carol]), &carol).unwrap();
    assert_eq!(layers, ["AES-256 Some(OCB)"]);
    let both = sealed(MAIL, &[&carol, &bob]);
    for peer in [&bob, &carol] {
        let (payload, layers) = opened(&both, peer).unwrap();
        assert_eq!(layers, ["AES-256 None"]);
        assert_eq!(body(&payload), body(MAIL));
    }
}

#[test]
fn post_quantum_and_rsa_recipients_are_sealed_to() {
    let v1 = Features::empty().set_seipdv1();
    let rsa = peer("bob@example.net", v1, CipherSuite::RSA2k, false);
    let quantum = peer(
        "carol@example.com",
        Features::empty().set_seipdv1().set_seipdv2(),
        CipherSuite::MLDSA65_Ed25519,
        true,
    );
    let alone = sealed(MAIL, &[&quantum]);
    assert_eq!(body(&opened(&alone, &quantum).unwrap().0), body(MAIL));
    let both = sealed(MAIL, &[&quantum, &rsa]);
    for peer in [&rsa, &quantum] {
        assert_eq!(body(&opened(&both, peer).unwrap().0), body(MAIL));
    }
}

#[test]
fn lengths_show_padmé_only() {
    let (bob, carol) = (old_fashioned("bob@example.net"), modern("carol@example.com"));
    let text = |bytes: usize| [MAIL, &vec![b'a'; bytes]].concat();
    for peer in [&bob, &carol] {
        let length = |bytes| sealed(&text(bytes), &[peer]).len();
        assert_eq!(length(10_000), length(10_050));
        assert_ne!(length(10_000), length(11_500));
    }
    for bytes in [0, 1, 500, 12_345, 300_000] {
        let (payload, _) = opened(&sealed(&text(bytes), &[&bob]), &bob).unwrap();
        assert_eq!(payload.len(), padme(payload.len()));
        assert_eq!(body(&payload), body(&text(bytes)));
        let (payload, _) = opened(&sealed(&text(bytes), &[&carol]), &carol).unwrap();
        assert!(field(&payload, "X-Padding").is_empty());
    }
}

#[test]
fn a_recipient_who_stands_there_twice_gets_one_session_key() {
    let bob = old_fashioned("bob@example.net");
    let once = sealed(MAIL, &[&bob]);
    assert_eq!(sealed(MAIL, &[&bob, &bob]).len(), once.len());
    let nobody = seal_mime(MAIL, &[], &SeededEntropy::new(1));
    assert_eq!(nobody.unwrap_err(), MimeError::NoRecipients);
}

#[test]
fn multiparts_keep_their_structure_and_bare_bodies_their_octets() {
    let bob = old_fashioned("bob@example.net");
    let mixed = b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=\"x;y\"\r\n\r\n\
        pre\r\n--x;y\r\n\r\none\r\n--x;y\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--x;y--\r\n\
        end";
    let (payload, _) = opened(&sealed(mixed, &[&bob]), &bob).unwrap();
    let parts = analyse(&payload).structure.parts;
    assert_eq!((parts.len(), &parts[0].content), (3, &Content::Multipart));
    assert_eq!(body(&payload), body(mixed));
    // No type, no empty line, binary: still the same octets behind the header.
    for odd in [&b"From: a@b.example\r\nno field at all\r\n"[..], b"From: x\r\n\r\n\0\xFF\n\r"] {
        let (payload, _) = opened(&sealed(odd, &[&bob]), &bob).unwrap();
        assert_eq!(body(&payload), body(odd));
    }
}

/// What one server seals, another opens for its user.
#[test]
fn what_is_sealed_here_is_opened_here() {
    let pair = crate::pgp::generate_identity("bob@example.net", NOW).unwrap();
    let keys = crate::pgp::IdentityKeys::from_secrets([&pair.secret]);
    let address = Address::parse(b"bob@example.net").unwrap();
    let cert = Arc::new(judge_cert(&pair.public, &address, NOW).unwrap());
    let message = seal_mime(MAIL, &[cert], &SeededEntropy::new(5)).unwrap();
    let structure = analyse(&message).structure;
    assert!(is_whole(&structure));
    let opened = open(&message, &structure, &keys, None, NOW).unwrap();
    assert_eq!(body(opened.entity.expose()), body(MAIL));
    assert_eq!(opened.version, 1);
}

#[test]
fn one_flipped_bit_is_noticed() {
    for peer in [old_fashioned("bob@example.net"), modern("bob@example.net")] {
        let message = sealed(MAIL, &[&peer]);
        let text = String::from_utf8(message).unwrap();
        let start = text.find("BEGIN PGP MESSAGE-----").unwrap() + 26;
        let end = text.find("-----END PGP").unwrap() - 4;
        for at in (start..end).step_by(41) {
            let mut altered = text.clone().into_bytes();
            let other = if altered[at] == b'A' { b'B' } else { b'A' };
            if matches!(altered[at], b'\r' | b'\n') || altered[at] == b'=' {
                continue;
            }
            altered[at] = other;
            let found = std::panic::catch_unwind(|| opened(&altered, &peer));
            assert!(!matches!(found, Ok(Some(_))), "character {at}");
        }
    }
}

/// A whole message around armor or another body.
fn around(kind: &str, body: &str) -> Vec<u8> {
    format!("From: a@b.example\r\nContent-Type: {kind}\r\n\r\n{body}").into_bytes()
}

fn pgp_mime(control: &str, data: &str) -> Vec<u8> {
    around(
        "multipart/encrypted; boundary=x; protocol=\"application/pgp-encrypted\"",
        &format!(
            "--x\r\nContent-Type: application/pgp-encrypted\r\n\r\n{control}\r\n--x\r\n\
             Content-Type: application/octet-stream\r\n\r\n{data}\r\n--x--\r\n"
        ),
    )
}

fn armored(packets: &[u8]) -> String {
    let mut text = Vec::new();
    armor::write(&mut text, packets, armor::Checksum::None);
    String::from_utf8(text).unwrap()
}

/// A session key packet and encrypted data, by their outlines.
fn pkesk() -> Vec<u8> {
    [&[0xC1, 84, 3, 1, 2, 3, 4, 5, 6, 7, 8, 25][..], &[9; 32], &[41], &[9; 41]].concat()
}

fn seipd() -> Vec<u8> {
    [&[0xD2, 41, 1][..], &[0xF9; 40]].concat()
}

#[test]
fn sealed_mail_is_known_by_its_packets() {
    let (pkesk, seipd) = (&pkesk()[..], &seipd()[..]);
    let good = [
        [pkesk, seipd].concat(),
        [pkesk, &[0xC3, 4, 4, 9, 0, 8], seipd].concat(),
        // GnuPG: old format, partial lengths, its own encrypted data, a marker in front.
        [&[0x85, 0, 84], &pkesk[2..], &[0xD2, 0xE5, 1], &[0xF9; 31], &[9], &[0xF9; 9]].concat(),
        [pkesk, &[0xD4, 59, 1, 9, 2, 16], &[7; 15], &[0xF9; 40]].concat(),
        [&[0xCA, 3, b'P', b'G', b'P'], pkesk, seipd, &[0xD5, 1, 7]].concat(),
    ];
    for packets in &good {
        let message = pgp_mime("Version: 1", &armored(packets));
        assert_eq!(already_sealed(&message), Some(AlreadySealed::PgpMime), "{packets:?}");
        let message = around("text/plain", &armored(packets));
        assert_eq!(already_sealed(&message), Some(AlreadySealed::Inline), "{packets:?}");
    }
    let bad = [
        seipd.to_vec(),
        pkesk.to_vec(),
        [pkesk, seipd, &[0xCB, 2, b'b', 0]].concat(),
        [pkesk, seipd, seipd].concat(),
        [seipd, pkesk].concat(),
        // Encrypted data without protection of its integrity, and a signed message.
        [pkesk, &[0xC9, 1, 9]].concat(),
        vec![0xC4, 1, 3, 0xCB, 2, b'b', 0],
        b"plain text".to_vec(),
        [pkesk, &seipd[..4]].concat(),
        // Nothing in the one, text in the other.
        [&[0xC1, 0], seipd].concat(),
        [pkesk, &[0xD2, 54, 1], &b"all of my secret, in plain words, "[..], &[b'.'; 19]].concat(),
    ];
    for packets in &bad {
        let message = pgp_mime("Version: 1", &armored(packets));
        assert_eq!(already_sealed(&message), None, "{packets:?}");
    }
}

#[test]
fn what_is_sealed_here_is_known_as_sealed() {
    let features = Features::empty().set_seipdv1().set_seipdv2();
    for (suite, v6) in [
        (CipherSuite::MLDSA65_Ed25519, true),
        (CipherSuite::Cv25519, true),
        (CipherSuite::Cv25519, false),
        (CipherSuite::P256, false),
        (CipherSuite::RSA2k, false),
    ] {
        let message = sealed(MAIL, &[&peer("bob@example.net", features.clone(), suite, v6)]);
        assert_eq!(already_sealed(&message), Some(AlreadySealed::PgpMime), "{suite:?}");
    }
}

#[test]
fn words_prove_nothing() {
    let block = armored(&[pkesk(), seipd()].concat());
    let third = pgp_mime("Version: 1", &format!("{block}\r\n--x\r\n\r\nplain"));
    let long_preamble = String::from_utf8(pgp_mime("Version: 1", &block)).unwrap();
    let long_preamble =
        long_preamble.replacen("--x", &format!("{}--x", "all of it\r\n".repeat(99)), 1);
    let long_preamble = long_preamble.into_bytes();
    let cleartext = [
        pgp_mime("Version: 1", "-----BEGIN PGP MESSAGE-----\r\n\r\nhello"),
        pgp_mime("Version: 1\r\nand this secret text", &block),
        pgp_mime("Version: 1", &format!("{block}plain text behind")),
        pgp_mime("Version: 1", &block.replacen("\r\n", "\r\nSecret: all of it\r\n", 1)),
        long_preamble,
        third,
        around(
            "multipart/mixed; boundary=x; protocol=\"application/pgp-encrypted\"",
            &format!("--x\r\n\r\n{block}\r\n--x--\r\n"),
        ),
        around("multipart/encrypted; boundary=x", "--x\r\n\r\nVersion: 1\r\n--x--\r\n"),
        around("text/plain", &format!("Hi,\r\n{block}")),
        around("text/html", &block),
        around("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", "hello"),
        MAIL.to_vec(),
        Vec::new(),
    ];
    for message in cleartext {
        assert_eq!(already_sealed(&message), None, "{}", String::from_utf8_lossy(&message));
    }
}

#[test]
fn smime_is_known_in_base64_and_in_octets() {
    use base64::Engine;
    let encrypted = cms::tests::encrypted();
    let text = base64::engine::general_purpose::STANDARD.encode(&encrypted);
    let (first, second) = text.split_at(100);
    let message = |encoding: &str, body: &[u8]| {
        let kind = format!("application/pkcs7-mime\r\nContent-Transfer-Encoding: {encoding}");
        already_sealed(&[around(&kind, "").as_slice(), body].concat())
    };
    let lines = format!("{first}\r\n{second}\r\n");
    assert_eq!(message("base64", lines.as_bytes()), Some(AlreadySealed::Smime));
    assert_eq!(message("binary", &encrypted), Some(AlreadySealed::Smime));
    assert_eq!(message("base64", first.as_bytes()), None);
    assert_eq!(message("base64", format!("{lines}text").as_bytes()), None);
    assert_eq!(message("7bit", text.as_bytes()), None);
    let object = &encrypted[..15];
    assert_eq!(message("binary", &[object, b"all of my secret"].concat()), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_octets_are_sealed_and_opened(
        head in "([A-Za-z-]{1,9}: [ -~]{0,40}\r\n){0,4}",
        text in any::<Vec<u8>>(),
    ) {
        let bob = old_fashioned("bob@example.net");
        let message = [head.as_bytes(), b"\r\n", &text].concat();
        let (payload, _) = opened(&sealed(&message, &[&bob]), &bob).unwrap();
        prop_assert_eq!(body(&payload), body(&message));
    }

    #[test]
    fn looking_at_any_octets_does_not_panic(bytes in any::<Vec<u8>>(), at in 0usize..600) {
        already_sealed(&bytes);
        let mut message = pgp_mime("Version: 1", &armored(&[pkesk(), seipd()].concat()));
        let at = at % message.len();
        message.truncate(at);
        message.extend_from_slice(&bytes);
        already_sealed(&message);
    }
}

#[test]
fn entropy_is_what_boundaries_come_from() {
    let bob = modern("bob@example.net");
    let certs = [bob.cert.clone()];
    let boundary = |seed| {
        let entropy: &dyn Entropy = &SeededEntropy::new(seed);
        let message = seal_mime(MAIL, &certs, entropy).unwrap();
        field(&message, "Content-Type")
    };
    assert_ne!(boundary(1), boundary(2));
}
