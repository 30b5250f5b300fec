//! What is inside an encrypted message: one literal, perhaps compressed once, perhaps signed.
//!
//! It is looked at only after its integrity was verified. Another layer of encryption, a second
//! literal, or compression within compression is no message here.
//!
//! # Standards
//! RFC 9580 §10.3 (the grammar of messages), §5.6 (compressed data), §5.9 (literal data).

use super::NotOpened;
use super::packets::{self, COMPRESSED, LITERAL, MARKER, ONE_PASS, PADDING, SIGNATURE};
use crate::base::secret::SecretBytes;
use miniz_oxide::inflate;
use std::borrow::Cow;
use std::ops::Range;

/// Octets of a message's content. What is larger stays as it came.
pub const CONTENT_BYTES_MAX: usize = 64 << 20;
/// How many times its size compressed data may unfold to: text reaches 10, zeros 1,000.
const UNFOLD_RATIO_MAX: usize = 100;
/// Below this many octets the ratio is not asked.
const UNFOLD_FREE_BYTES: usize = 64 * 1024;
/// Signatures on one message; real ones have one or two.
const SIGNATURES_MAX: usize = 16;
/// Packets of a message's content, markers and padding included.
const PACKETS_MAX: usize = 64;

/// The content of a message.
pub struct Content {
    /// The literal's octets.
    pub literal: SecretBytes,
    /// The packets of a signed message, for who verifies it; `None` if it is not signed.
    pub signed: Option<SecretBytes>,
}

/// Takes a decrypted and verified plaintext apart.
pub fn read(plain: SecretBytes) -> Result<Content, NotOpened> {
    let unfolded = match compressed(plain.expose())? {
        Some(body) => Some(SecretBytes::new(unfold(&body)?)),
        None => None,
    };
    let mut packets = unfolded.unwrap_or(plain);
    let (place, signed) = literal(packets.expose())?;
    let literal = match place {
        // The common case needs no second buffer.
        Place::Within(range) if !signed => {
            packets.keep(range);
            return Ok(Content { literal: packets, signed: None });
        }
        Place::Within(range) => SecretBytes::copy_from(&packets.expose()[range]),
        Place::Joined(octets) => octets,
    };
    Ok(Content { literal, signed: signed.then_some(packets) })
}

/// The body of a compressed packet that is all there is.
fn compressed(plain: &[u8]) -> Result<Option<Cow<'_, [u8]>>, NotOpened> {
    let mut found = None;
    for packet in Packets::new(plain) {
        let packet = packet?;
        match packet.tag {
            COMPRESSED if found.is_none() => found = Some(packet.body),
            _ if found.is_some() => return Err(NotOpened::Content),
            _ => return Ok(None),
        }
    }
    Ok(found)
}

fn unfold(body: &[u8]) -> Result<Vec<u8>, NotOpened> {
    let (algorithm, data) = body.split_first().ok_or(NotOpened::Content)?;
    let most = (data.len().saturating_mul(UNFOLD_RATIO_MAX)).max(UNFOLD_FREE_BYTES);
    let most = most.min(CONTENT_BYTES_MAX);
    // RFC 9580 §9.4; bzip2 is not taken.
    match algorithm {
        0 => Ok(data.to_vec()),
        1 => inflate::decompress_to_vec_with_limit(data, most).map_err(|_| NotOpened::Compression),
        2 => inflate::decompress_to_vec_zlib_with_limit(data, most)
            .map_err(|_| NotOpened::Compression),
        _ => Err(NotOpened::Compression),
    }
}

/// Where the octets of a literal are.
enum Place {
    /// Here, in the packets.
    Within(Range<usize>),
    /// They came in parts.
    Joined(SecretBytes),
}

/// The octets of the one literal, and whether there are signatures around it.
fn literal(plain: &[u8]) -> Result<(Place, bool), NotOpened> {
    let (mut literal, mut signatures) = (None, 0);
    for packet in Packets::new(plain) {
        let packet = packet?;
        match packet.tag {
            ONE_PASS | SIGNATURE if signatures < 2 * SIGNATURES_MAX => signatures += 1,
            LITERAL if literal.is_none() => {
                literal = Some(data(packet.body, plain.len() - packet.rest.len())?);
            }
            _ => return Err(NotOpened::Content),
        }
    }
    Ok((literal.ok_or(NotOpened::Content)?, signatures > 0))
}

/// RFC 9580 §5.9: format, length and octets of a file name, date; the data is behind. `end` is
/// where the packet ends.
fn data(body: Cow<'_, [u8]>, end: usize) -> Result<Place, NotOpened> {
    let name_bytes = usize::from(*body.get(1).ok_or(NotOpened::Content)?);
    let start = 2 + name_bytes + 4;
    let data_bytes = body.len().checked_sub(start).ok_or(NotOpened::Content)?;
    Ok(match body {
        Cow::Borrowed(_) => Place::Within(end - data_bytes..end),
        Cow::Owned(joined) => {
            let mut joined = SecretBytes::new(joined);
            joined.keep(start..start + data_bytes);
            Place::Joined(joined)
        }
    })
}

/// The packets of a content, without those that are to be passed over; an error ends it.
struct Packets<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Packets<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Packets { rest: bytes, left: PACKETS_MAX }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<packets::Packet<'a>, NotOpened>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let packet = self.left.checked_sub(1).and_then(|left| {
                self.left = left;
                packets::next(self.rest)
            });
            let Some(packet) = packet else {
                self.rest = &[];
                return Some(Err(NotOpened::Content));
            };
            self.rest = packet.rest;
            if !matches!(packet.tag, MARKER | PADDING) {
                return Some(Ok(packet));
            }
        }
        None
    }
}
