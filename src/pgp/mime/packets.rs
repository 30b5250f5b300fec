//! Packets as strangers frame them: both header formats, partial and indeterminate lengths.
//!
//! Everything here is linear in the octets that are given, and total: any octets give packets or an
//! error. What a packet holds is not looked at.
//!
//! # Standards
//! RFC 9580 §4.2 (packet headers), §4.2.1.4 (partial lengths), §4.2.2 (the legacy format).

use std::borrow::Cow;

/// Public-key encrypted session key.
pub const PKESK: u8 = 1;
/// Signature.
pub const SIGNATURE: u8 = 2;
/// Symmetric-key encrypted session key (by a password).
pub const SKESK: u8 = 3;
/// One-pass signature.
pub const ONE_PASS: u8 = 4;
/// Compressed data.
pub const COMPRESSED: u8 = 8;
/// Marker: to be passed over (§5.8).
pub const MARKER: u8 = 10;
/// Literal data.
pub const LITERAL: u8 = 11;
/// Symmetrically encrypted and integrity protected data.
pub const SEIPD: u8 = 18;
/// Padding: to be passed over (§5.14).
pub const PADDING: u8 = 21;

/// A packet and what follows it.
pub struct Packet<'a> {
    /// Its type.
    pub tag: u8,
    /// Its body; joined where it came in parts.
    pub body: Cow<'a, [u8]>,
    /// The octets behind it.
    pub rest: &'a [u8],
}

/// How long a body is.
enum Length {
    /// So many octets.
    Whole(usize),
    /// So many, and another length behind them.
    Partial(usize),
    /// To the end of what there is.
    ToTheEnd,
}

/// The packet at the start of `bytes`, which must be there whole. `None` if there is none.
pub fn next(bytes: &[u8]) -> Option<Packet<'_>> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0xC0.. => current(first & 0x3F, rest),
        0x80.. => legacy(first, rest),
        _ => None,
    }
}

fn current(tag: u8, bytes: &[u8]) -> Option<Packet<'_>> {
    let (length, rest) = length(bytes)?;
    let mut part = match length {
        Length::Partial(bytes) if is_data(tag) => bytes,
        Length::Whole(bytes) => {
            let (body, rest) = rest.split_at_checked(bytes)?;
            return Some(Packet { tag, body: Cow::Borrowed(body), rest });
        }
        _ => return None,
    };
    let mut joined = Vec::with_capacity(rest.len());
    let mut at = rest;
    loop {
        let (body, rest) = at.split_at_checked(part)?;
        joined.extend_from_slice(body);
        let (length, rest) = self::length(rest)?;
        match length {
            Length::Partial(bytes) => (part, at) = (bytes, rest),
            Length::Whole(bytes) => {
                let (body, rest) = rest.split_at_checked(bytes)?;
                joined.extend_from_slice(body);
                return Some(Packet { tag, body: Cow::Owned(joined), rest });
            }
            Length::ToTheEnd => return None,
        }
    }
}

/// A length of the current format (§4.2.1).
fn length(bytes: &[u8]) -> Option<(Length, &[u8])> {
    match bytes {
        [one @ 0..192, rest @ ..] => Some((Length::Whole((*one).into()), rest)),
        [high @ 192..224, low, rest @ ..] => {
            let bytes = (usize::from(*high) - 192) * 256 + usize::from(*low) + 192;
            Some((Length::Whole(bytes), rest))
        }
        [255, a, b, c, d, rest @ ..] => {
            Some((Length::Whole(u32::from_be_bytes([*a, *b, *c, *d]) as usize), rest))
        }
        [power @ 224..=254, rest @ ..] => Some((Length::Partial(1 << (power & 31)), rest)),
        _ => None,
    }
}

fn legacy(first: u8, bytes: &[u8]) -> Option<Packet<'_>> {
    let tag = first >> 2 & 0x0F;
    let (length, rest) = match (first & 3, bytes) {
        (0, [a, rest @ ..]) => (Length::Whole((*a).into()), rest),
        (1, [a, b, rest @ ..]) => (Length::Whole(u16::from_be_bytes([*a, *b]).into()), rest),
        (2, [a, b, c, d, rest @ ..]) => {
            (Length::Whole(u32::from_be_bytes([*a, *b, *c, *d]) as usize), rest)
        }
        (3, rest) => (Length::ToTheEnd, rest),
        _ => return None,
    };
    let (body, rest) = match length {
        Length::Whole(bytes) => rest.split_at_checked(bytes)?,
        Length::ToTheEnd if is_data(tag) => (rest, &rest[rest.len()..]),
        _ => return None,
    };
    Some(Packet { tag, body: Cow::Borrowed(body), rest })
}

/// Only data may have lengths that are not known beforehand (§4.2.1.4).
fn is_data(tag: u8) -> bool {
    matches!(tag, COMPRESSED | LITERAL | SEIPD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_forms_of_a_length_are_read() {
        let body = |bytes: &[u8]| next(bytes).map(|packet| (packet.tag, packet.body.to_vec()));
        assert_eq!(body(b"\xCB\x03abc"), Some((LITERAL, b"abc".to_vec())));
        assert_eq!(body(b"\xCB\xFF\0\0\0\x03abc"), Some((LITERAL, b"abc".to_vec())));
        assert_eq!(body(b"\xAC\x03abc"), Some((LITERAL, b"abc".to_vec())));
        assert_eq!(body(b"\xAD\0\x03abc"), Some((LITERAL, b"abc".to_vec())));
        assert_eq!(body(b"\xAE\0\0\0\x03abc"), Some((LITERAL, b"abc".to_vec())));
        assert_eq!(body(b"\xA3abc"), Some((COMPRESSED, b"abc".to_vec())));
        assert_eq!(body(b"\xCB\xE1ab\xE0c\x02de"), Some((LITERAL, b"abcde".to_vec())));
        let long = [&[0xCB, 0xC0, 0x08][..], &[7; 200]].concat();
        assert_eq!(body(&long), Some((LITERAL, vec![7; 200])));
    }

    #[test]
    fn what_is_cut_or_may_not_be_open_is_no_packet() {
        let bad: [&[u8]; 9] = [
            b"",
            b"\x3F\0",
            b"\xCB",
            b"\xCB\x04abc",
            b"\xCB\xE1ab",
            b"\xCB\xE1ab\xE1c",
            b"\xC1\xE1ab\0",
            b"\x87ab",
            b"\xC0",
        ];
        assert!(bad.iter().all(|bytes| next(bytes).is_none()));
    }

    proptest! {
        #[test]
        fn any_octets_end(bytes in any::<Vec<u8>>()) {
            let mut rest = &bytes[..];
            while let Some(packet) = next(rest) {
                prop_assert!(packet.rest.len() < rest.len());
                rest = packet.rest;
            }
        }
    }
}
