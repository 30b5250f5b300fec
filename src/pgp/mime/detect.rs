//! Whether a message is sealed already, told by its structure.
//!
//! A user whose own program encrypts wants his message untouched. Words in a subject or a file name
//! prove nothing (filters that looked for them were fooled and refused real mail); here the armor
//! is decoded and its packets are walked, or the elements of S/MIME (`outline`, `cms`). No key is
//! needed, nothing is decrypted: what has the structure of encrypted mail and encrypts nothing is
//! still taken for it.
//!
//! # Standards
//! RFC 3156 §4 (PGP/MIME), RFC 8551 §3.3 (enveloped data).
//!
//! # Known gaps
//! PGP/MIME whose second part is base64 or quoted-printable is not recognised: RFC 3156 §4 leaves
//! no reason for it. That a message is encrypted does not mean that its recipients can open it.

use super::{armor, cms, outline};
use crate::mail::{Analysis, Content, Encoding, Part, analyse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of PGP/MIME around its armor: delimiters, the parts' headers, a line for old programs.
const AROUND_BYTES_MAX: usize = 1024;

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
    let around = root.body.len().saturating_sub(data.body.len());
    let is_leaf = |part: &Part| part.content == Content::Leaf && is_transparent(part);
    protocol
        && around <= AROUND_BYTES_MAX
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
    armor::has_usual_headers(text)
        && armor::read(text).is_some_and(|binary| outline::is_sealed(&binary))
}

/// Whether the body is enveloped data, whatever a parameter says.
fn is_enveloped(message: &[u8], part: &Part) -> bool {
    let body = &message[part.body.range()];
    match part.encoding {
        Encoding::Base64 => {
            let text: Vec<u8> =
                body.iter().filter(|octet| !octet.is_ascii_whitespace()).copied().collect();
            STANDARD.decode(&text).is_ok_and(|binary| cms::is_enveloped(&binary))
        }
        Encoding::Binary | Encoding::EightBit => cms::is_enveloped(body),
        _ => false,
    }
}
