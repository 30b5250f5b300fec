//! The packets of strangers' messages: which come in parts, and what stands in them.
//!
//! The frames are read by [`walk`]; here packets whose length is not known beforehand are refused
//! unless they are data, and their parts are joined. What a packet holds is not looked at.
//!
//! # Standards
//! RFC 9580 §4.2.1.4 (which packets may have partial lengths), §5 (their types).

use crate::pgp::walk;
use std::borrow::Cow;

pub use walk::{MARKER, PADDING, SIGNATURE};

/// Public-key encrypted session key.
pub const PKESK: u8 = 1;
/// Symmetric-key encrypted session key (by a password).
pub const SKESK: u8 = 3;
/// One-pass signature.
pub const ONE_PASS: u8 = 4;
/// Compressed data.
pub const COMPRESSED: u8 = 8;
/// Literal data.
pub const LITERAL: u8 = 11;
/// Symmetrically encrypted and integrity protected data.
pub const SEIPD: u8 = 18;

/// A packet and what follows it.
pub struct Packet<'a> {
    /// Its type.
    pub tag: u8,
    /// Its body; joined where it came in parts.
    pub body: Cow<'a, [u8]>,
    /// The octets behind it.
    pub rest: &'a [u8],
}

/// The packet at the start of `bytes`, which must be there whole. `None` if there is none.
pub fn next(bytes: &[u8]) -> Option<Packet<'_>> {
    let framed = walk::walk(bytes).next()?.ok()?;
    let fits = framed.is_definite || is_data(framed.tag);
    fits.then(|| Packet {
        tag: framed.tag,
        body: framed.body(bytes),
        rest: &bytes[framed.whole.end..],
    })
}

/// Only data may have lengths that are not known beforehand.
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
