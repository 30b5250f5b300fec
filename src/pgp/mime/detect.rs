//! Whether a message is sealed already, told by its structure.
//!
//! A user whose own program encrypts wants his message untouched. Words in a subject or a file name
//! prove nothing (filters that looked for them were fooled and refused real mail); here the armor
//! is decoded and its packets are walked. No key is needed, nothing is decrypted.
//!
//! # Standards
//! RFC 3156 §4 (PGP/MIME), RFC 9580 §10.3 (what an encrypted message is made of), RFC 8551 §3.3
//! (enveloped data), RFC 5652 §3 and RFC 5083 (its object identifiers).
//!
//! # Known gaps
//! PGP/MIME whose second part is base64 or quoted-printable is not recognised: RFC 3156 §4 leaves
//! no reason for it. That a message is encrypted does not mean that its recipients can open it.

use super::armor;
use super::packets::{PKESK, SEIPD, SKESK};
use crate::mail::{Analysis, Content, Encoding, Part, analyse};
use crate::pgp::walk;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Public-key and password encrypted session keys (RFC 9580 §5.1, §5.3).
const SESSION_KEYS: [u8; 2] = [PKESK, SKESK];
/// Encrypted and integrity protected data; GnuPG's own form of it has a type of its own.
const PROTECTED: [u8; 2] = [SEIPD, 20];

/// `1.2.840.113549.1.7.3` (RFC 5652 §6) and `1.2.840.113549.1.9.16.1.23` (RFC 5083 §2) in DER.
const ENVELOPED: &[u8] = &[6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3];
const AUTH_ENVELOPED: &[u8] = &[6, 11, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 23];

/// Octets of base64 that are enough to see what an S/MIME body is.
const SMIME_LOOKED_AT_BYTES: usize = 128;

/// How a message is sealed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlreadySealed {
    /// PGP/MIME.
    PgpMime,
    /// S/MIME, enveloped.
    Smime,
    /// A body that is one block of armor.
    Inline,
}

/// Tells whether the whole of `message` is sealed, and how.
pub fn already_sealed(message: &[u8]) -> Option<AlreadySealed> {
    let analysis = analyse(message);
    let root = analysis.structure.parts.first()?;
    match (root.media_type.as_str(), root.subtype.as_str()) {
        ("multipart", "encrypted") => {
            is_pgp_mime(message, &analysis).then_some(AlreadySealed::PgpMime)
        }
        ("application", "pkcs7-mime" | "x-pkcs7-mime") => {
            is_enveloped(message, root).then_some(AlreadySealed::Smime)
        }
        ("text", "plain") if is_transparent(root) => {
            is_sealed_armor(&message[root.body.range()]).then_some(AlreadySealed::Inline)
        }
        _ => None,
    }
}

/// RFC 3156 §4: the protocol, exactly two parts, the version, and a message.
fn is_pgp_mime(message: &[u8], analysis: &Analysis) -> bool {
    let structure = &analysis.structure;
    let root = &structure.parts[0];
    let protocol = root.params.iter().any(|param| {
        param.name == "protocol" && param.value.eq_ignore_ascii_case(b"application/pgp-encrypted")
    });
    let [control, data] = structure.children(0)[..] else { return false };
    let (control, data) = (&structure.parts[control], &structure.parts[data]);
    let is_leaf = |part: &Part| part.content == Content::Leaf && is_transparent(part);
    protocol
        && is_leaf(control)
        && is_leaf(data)
        && (control.media_type.as_str(), control.subtype.as_str())
            == ("application", "pgp-encrypted")
        && (data.media_type.as_str(), data.subtype.as_str()) == ("application", "octet-stream")
        && is_version(&message[control.body.range()])
        && is_sealed_armor(&message[data.body.range()])
}

/// Control information: `Version: 1` and nothing that could be read as text.
fn is_version(body: &[u8]) -> bool {
    let mut words = body.split(|octet| octet.is_ascii_whitespace()).filter(|word| !word.is_empty());
    words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"Version:"))
        && words.next() == Some(b"1")
        && words.next().is_none()
}

fn is_transparent(part: &Part) -> bool {
    matches!(part.encoding, Encoding::SevenBit | Encoding::EightBit | Encoding::Binary)
}

/// Whether text is one block of armor around an encrypted message and nothing else.
fn is_sealed_armor(text: &[u8]) -> bool {
    armor::read(text).is_some_and(|binary| is_sealed(&binary))
}

/// RFC 9580 §10.3: session keys, at least one, then protected data up to the end. Markers and
/// padding may stand anywhere.
fn is_sealed(binary: &[u8]) -> bool {
    let (mut keys, mut data) = (0, 0);
    for packet in walk::walk(binary) {
        match packet.map(|packet| packet.tag) {
            Ok(walk::MARKER | walk::PADDING) => {}
            Ok(tag) if SESSION_KEYS.contains(&tag) && data == 0 => keys += 1,
            Ok(tag) if PROTECTED.contains(&tag) && data == 0 => data += 1,
            _ => return false,
        }
    }
    keys > 0 && data == 1
}

/// RFC 5652 §3: a ContentInfo whose type is enveloped data, whatever a parameter says.
fn is_enveloped(message: &[u8], part: &Part) -> bool {
    let body = &message[part.body.range()];
    let start = match part.encoding {
        Encoding::Base64 => decoded_start(body),
        Encoding::Binary | Encoding::EightBit => {
            body[..body.len().min(SMIME_LOOKED_AT_BYTES)].to_vec()
        }
        _ => return false,
    };
    // SEQUENCE, then its length: short, long, or indefinite (X.690 §8.1.3).
    let content = match start.as_slice() {
        [0x30, 0x80, rest @ ..] | [0x30, 0..=0x7F, rest @ ..] => rest,
        [0x30, 0x81, _, rest @ ..] => rest,
        [0x30, 0x82, _, _, rest @ ..] => rest,
        [0x30, 0x83, _, _, _, rest @ ..] => rest,
        [0x30, 0x84, _, _, _, _, rest @ ..] => rest,
        _ => return false,
    };
    content.starts_with(ENVELOPED) || content.starts_with(AUTH_ENVELOPED)
}

/// The octets that the first characters of base64 stand for.
fn decoded_start(body: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = body
        .iter()
        .filter(|octet| !octet.is_ascii_whitespace())
        .take(SMIME_LOOKED_AT_BYTES)
        .copied()
        .collect();
    text.truncate(text.len() / 4 * 4);
    STANDARD.decode(&text).unwrap_or_default()
}
