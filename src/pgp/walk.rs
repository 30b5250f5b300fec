//! The frame of foreign packets: tags and lengths of every form, nothing inside.
//!
//! What others write has old-format headers, partial lengths and lengths to the end of the octets.
//! This walk says where each packet begins and ends, so that limits are applied and packets thrown
//! away before anything is parsed. It trusts nothing; it is linear in the number of octets.
//!
//! # Standards
//! RFC 9580 §4.2 (both formats), §4.2.1.4 (partial lengths), §4.2.2 (old lengths).

use std::borrow::Cow;
use std::ops::Range;

/// The types of packets that are told apart here (RFC 9580 §5): a signature.
pub const SIGNATURE: u8 = 2;
/// A public primary key.
pub const PUBLIC_KEY: u8 = 6;
/// A marker, to be ignored.
pub const MARKER: u8 = 10;
/// Trust of a local keyring, to be ignored.
pub const TRUST: u8 = 12;
/// A User ID.
pub const USER_ID: u8 = 13;
/// A public subkey.
pub const PUBLIC_SUBKEY: u8 = 14;
/// A User Attribute: a picture.
pub const USER_ATTRIBUTE: u8 = 17;
/// Padding, to be ignored.
pub const PADDING: u8 = 21;
/// From here on a packet of an unknown type is ignored (RFC 9580 §4.3: types 40 to 63).
pub const NOT_CRITICAL_FROM: u8 = 40;

/// One packet's frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    /// Its type.
    pub tag: u8,
    /// Header and body, as offsets into the octets that are walked.
    pub whole: Range<usize>,
    /// Where its body starts; behind a partial length more lengths stand in the body.
    pub body_start: usize,
    /// Whether one plain length says where it ends.
    pub is_definite: bool,
}

impl Framed {
    /// Its body, joined where it came in parts; `bytes` are those that were walked.
    pub fn body<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let is_current = bytes[self.whole.start] & 0x40 != 0;
        if self.is_definite || !is_current {
            return Cow::Borrowed(&bytes[self.body_start..self.whole.end]);
        }
        let mut joined = Vec::with_capacity(self.whole.len());
        let mut at = self.whole.start + 1;
        while let Some((start, length, partial)) = one_length(bytes, at) {
            at = start + length;
            joined.extend_from_slice(&bytes[start..at]);
            if !partial {
                break;
            }
        }
        Cow::Owned(joined)
    }
}

/// The octets do not go on as a packet; the offset where that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPacket(pub usize);

/// The packets in `bytes`, one after the other. Ends after the first error.
pub fn walk(bytes: &[u8]) -> impl Iterator<Item = Result<Framed, NoPacket>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let framed = framed(bytes, at).ok_or(NoPacket(at));
        at = framed.as_ref().map_or(bytes.len(), |framed| framed.whole.end);
        Some(framed)
    })
}

fn framed(bytes: &[u8], start: usize) -> Option<Framed> {
    let first = *bytes.get(start)?;
    if first & 0x80 == 0 {
        return None;
    }
    let (tag, body_start, end, is_definite) = match first & 0x40 {
        0 => {
            let (body_start, end, is_definite) = old_length(bytes, start + 1, first & 3)?;
            ((first >> 2) & 0x0F, body_start, end, is_definite)
        }
        _ => {
            let (body_start, end, is_definite) = current_length(bytes, start + 1)?;
            (first & 0x3F, body_start, end, is_definite)
        }
    };
    // RFC 9580 §5: type 0 is reserved and must not be used.
    let fits = tag != 0 && end <= bytes.len();
    fits.then_some(Framed { tag, whole: start..end, body_start, is_definite })
}

/// RFC 9580 §4.2.2: where the body starts and ends, and whether that was said.
fn old_length(bytes: &[u8], at: usize, kind: u8) -> Option<(usize, usize, bool)> {
    let octets = match kind {
        0 => 1,
        1 => 2,
        2 => 4,
        _ => return Some((at, bytes.len(), false)),
    };
    let length = bytes.get(at..at + octets)?.iter().fold(0, |sum, octet| sum << 8 | *octet as u64);
    let body_start = at + octets;
    Some((body_start, body_start.checked_add(usize::try_from(length).ok()?)?, true))
}

/// RFC 9580 §4.2.1: the same for the current format. Partial lengths are added up.
fn current_length(bytes: &[u8], at: usize) -> Option<(usize, usize, bool)> {
    let (body_start, mut length, mut partial) = one_length(bytes, at)?;
    let is_definite = !partial;
    let mut end = body_start.checked_add(length)?;
    while partial {
        let next_start;
        (next_start, length, partial) = one_length(bytes, end)?;
        end = next_start.checked_add(length)?;
    }
    Some((body_start, end, is_definite))
}

/// One length at `at`: what stands behind it, its value, and whether it is partial.
fn one_length(bytes: &[u8], at: usize) -> Option<(usize, usize, bool)> {
    match bytes.get(at..)? {
        [one @ 0..192, ..] => Some((at + 1, usize::from(*one), false)),
        [high @ 192..224, low, ..] => {
            Some((at + 2, (usize::from(*high) - 192) * 256 + usize::from(*low) + 192, false))
        }
        [power @ 224..=254, ..] => Some((at + 1, 1 << (power & 0x1F), true)),
        [255, a, b, c, d, ..] => {
            Some((at + 5, u32::from_be_bytes([*a, *b, *c, *d]) as usize, false))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(bytes: &[u8]) -> Vec<Result<(u8, usize), NoPacket>> {
        walk(bytes).map(|packet| packet.map(|p| (p.tag, p.whole.len()))).collect()
    }

    #[test]
    fn both_formats_and_all_their_lengths_are_framed() {
        let bytes = [
            &[0xC2, 1, 9][..],   // one octet
            &[0xC2, 192, 0][..], // two octets: 192
            &[7; 192],
            &[0xC2, 255, 0, 0, 0, 2, 9, 9],     // five octets
            &[0xD2, 0xE1, 8, 8, 0xE0, 8, 1, 8], // partial: 2, 1, then 1
            &[0x88, 1, 9],                      // old, one octet
            &[0x89, 0, 1, 9],                   // old, two octets
            &[0x8A, 0, 0, 0, 1, 9],             // old, four octets
            &[0xA7, 9, 9],                      // old, to the end
        ];
        let expected = [(2, 3), (2, 195), (2, 8), (18, 8), (2, 3), (2, 4), (2, 6), (9, 3)].map(Ok);
        assert_eq!(tags(&bytes.concat()), expected);
        let definite: Vec<_> = walk(&bytes.concat()).map(|p| p.unwrap().is_definite).collect();
        assert_eq!(definite, [true, true, true, false, true, true, true, false]);
    }

    #[test]
    fn what_ends_too_early_or_begins_wrong_is_named_once() {
        for bytes in [&b"text"[..], &[0xC2, 2, 1], &[0xC2], &[0xD2, 0xE1, 1, 1], &[0x8A, 0, 0]] {
            assert_eq!(tags(bytes), [Err(NoPacket(0))]);
        }
        assert_eq!(tags(&[0xCA, 0, 0, 0]), [Ok((10, 2)), Err(NoPacket(2))]);
        assert_eq!(tags(&[0xC0, 0]), [Err(NoPacket(0))]);
    }

    proptest! {
        #[test]
        fn packets_lie_one_behind_the_other(bytes in any::<Vec<u8>>()) {
            let mut at = 0;
            for packet in walk(&bytes) {
                let Ok(packet) = packet else { break };
                prop_assert_eq!(packet.whole.start, at);
                prop_assert!(packet.whole.end > at && packet.whole.end <= bytes.len());
                prop_assert!(packet.whole.contains(&(packet.body_start - 1)));
                at = packet.whole.end;
            }
        }
    }
}
