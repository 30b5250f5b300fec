//! The framing of a stored message: packet headers with definite lengths, and Padmé.
//!
//! # Standards
//! RFC 9580 §4.2 (headers), §5.9 (literal), §5.13.2 (SEIPDv2), §5.14 (padding).

use super::open::OpenError;
use crate::base::entropy::Entropy;
use openpgp::crypto::SessionKey;
use openpgp::crypto::aead::SEIPv2Schedule;
use openpgp::types::{AEADAlgorithm, SymmetricAlgorithm};
use sequoia_openpgp as openpgp;
use std::ops::Range;

/// Octets of plaintext in a chunk.
pub const CHUNK_BYTES: usize = 4096;
/// Octets of a chunk's tag.
pub const TAG_BYTES: usize = 16;
/// Octets of SEIPDv2's salt.
pub const SALT_BYTES: usize = 32;

/// Public-key encrypted session key.
pub const PKESK: u8 = 1;
/// Symmetric-key encrypted session key (by a password).
pub const SKESK: u8 = 3;
/// Literal data.
pub const LITERAL: u8 = 11;
/// Symmetrically encrypted and integrity protected data.
pub const SEIPD: u8 = 18;
/// Padding.
pub const PADDING: u8 = 21;

/// Version 2, AES-256, OCB, chunks of 2^(6+6) octets (RFC 9580 §5.13.2).
const SEIPD_PARAMETERS: [u8; 4] = [2, 9, 2, 6];

/// Format binary, no file name, no date: nothing that the octets do not say themselves.
const LITERAL_PARAMETERS: [u8; 6] = [b'b', 0, 0, 0, 0, 0];

/// The header of a literal packet with `bytes` octets of data, up to the data.
pub fn literal_head(bytes: usize) -> Vec<u8> {
    let mut head = header(LITERAL, LITERAL_PARAMETERS.len() + bytes);
    head.extend_from_slice(&LITERAL_PARAMETERS);
    head
}

/// The padding packet that brings `plain_bytes` to the next Padmé length.
pub fn padding(plain_bytes: usize, entropy: &dyn Entropy) -> Vec<u8> {
    let gap = padme(plain_bytes + PADDING_BYTES_MIN) - plain_bytes;
    // The one-octet form reaches 191 octets; from there on the five-octet form has no hole, while
    // the two-octet form could not make a packet of exactly 194.
    let mut packet = match gap - PADDING_BYTES_MIN {
        short @ 0..192 => vec![0xC0 | PADDING, short as u8],
        _ => long_header(PADDING, gap - 6),
    };
    let start = packet.len();
    packet.resize(gap, 0);
    // RFC 9580 §5.14: the content SHOULD be random.
    entropy.fill(&mut packet[start..]);
    packet
}

/// The shortest padding packet.
const PADDING_BYTES_MIN: usize = 2;

/// Padmé: the length whose binary form has its low bits cleared, so that only O(log log n) bits of
/// a length remain to be seen; at most 12 % more, and for 1 MiB less than 4 %.
pub fn padme(bytes: usize) -> usize {
    if bytes < 2 {
        return bytes;
    }
    let exponent = bytes.ilog2();
    let mantissa_bits = exponent.checked_ilog2().map_or(0, |log| log + 1);
    let mask = (1usize << (exponent - mantissa_bits.min(exponent))) - 1;
    (bytes + mask) & !mask
}

/// Octets of ciphertext for so much plaintext: its chunks, a tag each, and the last tag.
pub fn sealed_bytes(plain_bytes: usize) -> usize {
    plain_bytes + (plain_bytes.div_ceil(CHUNK_BYTES) + 1) * TAG_BYTES
}

/// Octets of plaintext in so much ciphertext, if any plaintext has it.
pub fn plain_bytes(sealed: usize) -> Option<usize> {
    let chunks = sealed.checked_sub(TAG_BYTES)?;
    let plain = chunks.checked_sub(chunks.div_ceil(CHUNK_BYTES + TAG_BYTES) * TAG_BYTES)?;
    (sealed_bytes(plain) == sealed).then_some(plain)
}

/// The SEIPDv2 packet up to the first chunk.
pub fn seipd_head(plain_bytes: usize, salt: &[u8; SALT_BYTES]) -> Vec<u8> {
    let body = SEIPD_PARAMETERS.len() + SALT_BYTES + sealed_bytes(plain_bytes);
    let mut head = header(SEIPD, body);
    head.extend_from_slice(&SEIPD_PARAMETERS);
    head.extend_from_slice(salt);
    head
}

/// Salt and chunks of an SEIPDv2 packet's body.
pub fn seipd_parts(body: &[u8]) -> Result<(&[u8], &[u8]), OpenError> {
    let parameters = body.get(..SEIPD_PARAMETERS.len()).ok_or(OpenError::Malformed(0))?;
    if parameters != SEIPD_PARAMETERS {
        return Err(OpenError::Algorithm);
    }
    body[SEIPD_PARAMETERS.len()..].split_at_checked(SALT_BYTES).ok_or(OpenError::Malformed(0))
}

/// Keys and nonces of the chunks (RFC 9580 §5.13.2).
pub fn schedule(session_key: &SessionKey, salt: &[u8]) -> Option<SEIPv2Schedule> {
    let (cipher, mode) = (SymmetricAlgorithm::AES256, AEADAlgorithm::OCB);
    SEIPv2Schedule::new(session_key, cipher, mode, CHUNK_BYTES, salt).ok()
}

/// Where the data lies in the opened plaintext: one literal packet, then perhaps one padding
/// packet.
pub fn literal_range(plain: &[u8]) -> Result<Range<usize>, OpenError> {
    let literal = packet(plain, 0)?;
    if literal.tag != LITERAL {
        return Err(OpenError::Malformed(0));
    }
    let start = literal.body.start + LITERAL_PARAMETERS.len();
    if plain.get(literal.body.start..start) != Some(&LITERAL_PARAMETERS[..]) {
        return Err(OpenError::Malformed(literal.body.start));
    }
    let end = literal.body.end;
    // A hostile length may lead behind the plaintext, or before the data that it counts.
    let is_last = match end < plain.len() {
        true => packet(plain, end).map(|rest| rest.tag == PADDING && rest.body.end == plain.len()),
        false => Ok(end == plain.len()),
    }?;
    match is_last && start <= end {
        true => Ok(start..end),
        false => Err(OpenError::Malformed(end)),
    }
}

/// A packet's tag and where its body lies.
pub struct Framed {
    /// The packet's type.
    pub tag: u8,
    /// The body, as offsets into the bytes that were given.
    pub body: Range<usize>,
}

/// The packet at `offset`. Its body may end behind `bytes`: who needs it checks.
pub fn packet(bytes: &[u8], offset: usize) -> Result<Framed, OpenError> {
    let framed = |at: usize, length: usize| {
        let end = at.checked_add(length).ok_or(OpenError::Malformed(offset))?;
        Ok(Framed { tag: bytes[offset] & 0x3F, body: at..end })
    };
    match bytes.get(offset..).unwrap_or_default() {
        // RFC 9580 §4.2: bits 7 and 6 set is the current format; the old one is not ours.
        [tag, ..] if tag & 0xC0 != 0xC0 => Err(OpenError::Malformed(offset)),
        [_, one @ 0..192, ..] => framed(offset + 2, (*one).into()),
        [_, high @ 192..224, low, ..] => {
            framed(offset + 3, (usize::from(*high) - 192) * 256 + usize::from(*low) + 192)
        }
        [_, 255, a, b, c, d, ..] => {
            framed(offset + 6, u32::from_be_bytes([*a, *b, *c, *d]) as usize)
        }
        // Partial lengths (§4.2.1.4) are what a stream writer makes; stored messages have none.
        _ => Err(OpenError::Malformed(offset)),
    }
}

/// Octets of what [`header`] makes at most.
pub const HEADER_BYTES_MAX: usize = 6;

/// The header of a packet with `body` octets of body.
pub fn header(tag: u8, body: usize) -> Vec<u8> {
    match body {
        0..192 => vec![0xC0 | tag, body as u8],
        192..8384 => {
            vec![0xC0 | tag, ((body - 192) / 256 + 192) as u8, ((body - 192) % 256) as u8]
        }
        _ => long_header(tag, body),
    }
}

fn long_header(tag: u8, body: usize) -> Vec<u8> {
    let length = u32::try_from(body).expect("the sealer refuses what needs more than 32 bits");
    let mut header = vec![0xC0 | tag, 0xFF];
    header.extend_from_slice(&length.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::SeededEntropy;

    #[test]
    fn padme_knows_its_published_lengths_and_bounds() {
        // Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", §4.
        assert_eq!([padme(9), padme(100), padme(1000)], [10, 104, 1024]);
        for bytes in (2..200_000).step_by(7) {
            let padded = padme(bytes);
            assert!(padded >= bytes && (padded - bytes) * 100 <= bytes * 12 + 200);
            assert_eq!(padme(padded), padded);
        }
    }

    #[test]
    fn padding_fills_every_gap_exactly() {
        let entropy = SeededEntropy::new(1);
        for plain in (0..40_000).chain([1 << 20, (1 << 20) + 1]) {
            let padding = padding(plain, &entropy);
            let framed = packet(&padding, 0).unwrap();
            assert_eq!((framed.tag, framed.body.end), (PADDING, padding.len()));
            assert_eq!(padme(plain + padding.len()), plain + padding.len());
        }
    }

    #[test]
    fn headers_round_trip_at_the_edges_of_their_forms() {
        for bytes in [0, 1, 191, 192, 8383, 8384, 70_000] {
            let header = header(LITERAL, bytes);
            let framed = packet(&header, 0).unwrap();
            let expected = (LITERAL, header.len()..header.len() + bytes);
            assert_eq!((framed.tag, framed.body), expected);
        }
    }

    #[test]
    fn lengths_of_ciphertext_that_no_plaintext_has_are_refused() {
        for plain in 0..10_000 {
            assert_eq!(plain_bytes(sealed_bytes(plain)), Some(plain));
        }
        let possible = (0..20_000).filter(|sealed| plain_bytes(*sealed).is_some()).count();
        assert!((19_000..20_000).contains(&possible));
        assert_eq!(plain_bytes(15), None);
        assert_eq!(plain_bytes(CHUNK_BYTES + 2 * TAG_BYTES + 1), None);
    }

    #[test]
    fn partial_lengths_old_headers_and_cut_ones_are_refused() {
        for bytes in [&[0xCB, 0xE1, 0, 0][..], &[0xAC, 1, 0], &[0xCB], &[0xCB, 0xFF, 0], &[]] {
            assert!(packet(bytes, 0).is_err());
        }
    }

    #[test]
    fn a_literal_that_says_more_than_there_is_is_refused() {
        let literal =
            |length: u8| [&[0xC0 | LITERAL, length], &LITERAL_PARAMETERS[..], b"abc"].concat();
        assert_eq!(literal_range(&literal(9)), Ok(8..11));
        for length in (0..=191).filter(|length| *length != 9) {
            assert!(literal_range(&literal(length)).is_err(), "{length}");
        }
    }
}
