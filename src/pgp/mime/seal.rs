//! A submitted message becomes one that only its recipients read.
//!
//! The body is carried octet for octet: what a recipient's program opens has the submitted fields
//! in front and the submitted body behind. Nothing is signed: the server holds no key that speaks
//! for its user.
//!
//! # What stays visible
//! From, To, Cc, Date, the ids that make threads (see `fields`), the size up to padding, and for
//! whom it is.
//!
//! # Standards
//! RFC 3156 §4 (the two parts), RFC 9788 §5.2 (composing), RFC 2046 §5.1.1 (boundaries).

use super::armor::{self, Checksum};
use super::{encrypt, fields, pad};
use crate::base::entropy::{self, Entropy};
use crate::mail::header;
use crate::pgp::peer::PeerCert;
use std::fmt;
use std::sync::Arc;

/// Octets of a message that is sealed. No server takes as much.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// Why a message was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MimeError {
    /// There is nobody to seal it to.
    NoRecipients,
    /// Above 1 GiB.
    TooLarge,
    /// The OpenPGP library failed.
    Library,
}

/// Seals `message` (CRLF line ends, header and body) to all of `to`, each of whom can see to whom
/// else: blind recipients need calls of their own. A Bcc field is dropped, inside and outside.
///
/// What comes back is a whole message, without a line above 998 octets where the fields shown
/// outside allow it. Takes about a millisecond for a small message and grows with its size; see
/// the caller for what runs where.
pub fn seal_mime(
    message: &[u8],
    to: &[Arc<PeerCert>],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, MimeError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(MimeError::TooLarge);
    }
    let to = each_once(to);
    if to.is_empty() {
        return Err(MimeError::NoRecipients);
    }
    let (block, body) = message.split_at(header::header_bytes(message));
    let parted = fields::part(block);
    let is_v2 = encrypt::all_take_v2(&to);
    let payload = payload(&parted, body, !is_v2);
    let (sealed, checksum) = match is_v2 {
        true => (encrypt::v2(&payload, &to, entropy)?, Checksum::None),
        false => (encrypt::v1(&payload, &to, entropy)?, Checksum::Written),
    };
    Ok(enveloped(parted.outer, &sealed, checksum, entropy))
}

/// Two addresses may have one key.
fn each_once(to: &[Arc<PeerCert>]) -> Vec<Arc<PeerCert>> {
    let mut out: Vec<Arc<PeerCert>> = Vec::new();
    for cert in to {
        if !out.iter().any(|seen| seen.fingerprint() == cert.fingerprint()) {
            out.push(cert.clone());
        }
    }
    out
}

/// What is encrypted: the protected header and the body.
fn payload(parted: &fields::Parted, body: &[u8], padded: bool) -> Vec<u8> {
    let version: &[u8] = b"MIME-Version: 1.0\r\n";
    let pieces = [version, &parted.inner, &parted.structural, b"\r\n", body];
    let bytes = pieces.iter().map(|piece| piece.len()).sum();
    let padding = if padded { pad::fields(bytes) } else { Vec::new() };
    let mut out = Vec::with_capacity(bytes + padding.len());
    for piece in [version, &parted.inner, &padding, &parted.structural, b"\r\n", body] {
        out.extend_from_slice(piece);
    }
    out
}

/// RFC 3156 §4: the outer header and the two parts.
fn enveloped(outer: Vec<u8>, sealed: &[u8], checksum: Checksum, entropy: &dyn Entropy) -> Vec<u8> {
    let random: [u8; 16] = entropy::bytes(entropy);
    let boundary: String = random.iter().map(|octet| format!("{octet:02x}")).collect();
    let mut out = outer;
    let head = format!(
        "MIME-Version: 1.0\r\n\
         Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\r\n\
         \tboundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\n\
         Content-Type: application/pgp-encrypted\r\n\
         Content-Description: PGP/MIME version identification\r\n\r\n\
         Version: 1\r\n\r\n\
         --{boundary}\r\n\
         Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n\
         Content-Description: OpenPGP encrypted message\r\n\
         Content-Disposition: inline; filename=\"encrypted.asc\"\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    armor::write(&mut out, sealed, checksum);
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    out
}

impl fmt::Display for MimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MimeError::NoRecipients => "there is no key to seal to",
            MimeError::TooLarge => "a message above 1 GiB is not sealed",
            MimeError::Library => "the OpenPGP library failed",
        })
    }
}

impl std::error::Error for MimeError {}
