//! The text of a part, piece by piece, its transfer encoding undone.
//!
//! What is no UTF-8 is taken as ISO-8859-1, each piece for itself.
//!
//! # Standards
//! RFC 2045 §6.7 (quoted-printable), §6.8 (base64).

use crate::mail::Encoding;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Encoded octets of a piece: so few that looking for many texts in it takes some milliseconds, so
/// many that what is looked at twice at the seams does not count.
const PIECE_BYTES: usize = 64 * 1024;

/// How far a part was read.
#[derive(Default)]
pub(super) struct PartText {
    at: usize,
    ended: bool,
    /// Base64 symbols that make no group yet.
    symbols: Vec<u8>,
    /// Octets of a character that goes on in the next piece.
    octets: Vec<u8>,
}

impl PartText {
    /// The next piece of `body`, which is the same at each call; at least one, if empty.
    pub(super) fn next(&mut self, body: &[u8], encoding: &Encoding) -> Option<String> {
        self.next_of(body, encoding, PIECE_BYTES)
    }

    fn next_of(&mut self, body: &[u8], encoding: &Encoding, bytes: usize) -> Option<String> {
        if self.ended {
            return None;
        }
        let rest = body.get(self.at..).unwrap_or_default();
        self.ended = rest.len() <= bytes;
        let piece = match encoding {
            Encoding::QuotedPrintable if !self.ended => whole_escapes(&rest[..bytes]),
            _ => &rest[..rest.len().min(bytes)],
        };
        self.at += piece.len();
        match encoding {
            Encoding::Base64 => self.push_base64(piece),
            Encoding::QuotedPrintable => quoted_printable_octets(piece, &mut self.octets),
            _ => self.octets.extend_from_slice(piece),
        }
        Some(self.text())
    }

    /// Octets outside the alphabet are passed over, and so is a broken end.
    fn push_base64(&mut self, piece: &[u8]) {
        let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        self.symbols.extend(piece.iter().copied().filter(alphabet));
        let whole = self.symbols.len() / 4 * 4;
        let rest = self.symbols.split_off(whole);
        let groups = std::mem::replace(&mut self.symbols, rest);
        self.octets.extend(STANDARD_NO_PAD.decode(&groups).unwrap_or_default());
        if self.ended {
            // The last character may carry idle bits that are not zero; then the group is dropped.
            self.octets.extend(STANDARD_NO_PAD.decode(&self.symbols).unwrap_or_default());
        }
    }

    /// What has come as text, but for a character that is not whole yet.
    fn text(&mut self) -> String {
        let octets = std::mem::take(&mut self.octets);
        match String::from_utf8(octets) {
            Ok(text) => text,
            Err(error) if error.utf8_error().error_len().is_none() && !self.ended => {
                let valid = error.utf8_error().valid_up_to();
                let mut octets = error.into_bytes();
                self.octets = octets.split_off(valid);
                String::from_utf8(octets).unwrap_or_default()
            }
            Err(error) => error.as_bytes().iter().map(|&byte| char::from(byte)).collect(),
        }
    }
}

/// Leaves out an escape at the end that may go on in the next piece.
fn whole_escapes(piece: &[u8]) -> &[u8] {
    match piece {
        [head @ .., b'='] => head,
        [head @ .., b'=', _] => head,
        whole => whole,
    }
}

/// What is no escape stays as it is.
fn quoted_printable_octets(body: &[u8], out: &mut Vec<u8>) {
    let mut rest = body;
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        match (first, tail) {
            (b'=', [b'\r', b'\n', after @ ..] | [b'\n', after @ ..]) => rest = after,
            (b'=', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let value = hex(high).zip(hex(low)).map_or(0, |(high, low)| high * 16 + low);
                out.push(value as u8);
                rest = after;
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &[u8], encoding: &Encoding, bytes: usize) -> String {
        let mut text = PartText::default();
        std::iter::from_fn(|| text.next_of(body, encoding, bytes)).collect()
    }

    proptest! {
        #[test]
        fn pieces_make_the_whole(text in "[aü€=\r\n]{0,30}", plain: Vec<bool>, bytes in 3usize..9) {
            let base64 = base64::engine::general_purpose::STANDARD.encode(&text);
            let lines: Vec<_> = base64.as_bytes().chunks(7).collect();
            let plain = |at: usize| plain.get(at).copied().unwrap_or(false);
            let escape = |(at, byte): (usize, u8)| match byte {
                b'a' if plain(at) => "=\r\na=\n".to_owned(),
                b'a' => "a".to_owned(),
                other => format!("={other:02X}"),
            };
            let quoted: String = text.bytes().enumerate().map(escape).collect();
            for (encoding, body) in [
                (Encoding::Base64, lines.join(&b"\r\n"[..])),
                (Encoding::QuotedPrintable, quoted.into_bytes()),
                (Encoding::EightBit, text.clone().into_bytes()),
            ] {
                prop_assert_eq!(&read(&body, &encoding, bytes), &text, "{:?}", encoding);
            }
        }
    }

    #[test]
    fn broken_ends_and_other_charsets_are_read_as_far_as_they_go() {
        assert_eq!(read(b"R3LDvMOf\r\nZQ==", &Encoding::Base64, 4), "Grüße");
        assert_eq!(read(b"YWJjZ", &Encoding::Base64, 3), "abc");
        assert_eq!(read(b"YWJjZf", &Encoding::Base64, 3), "abc");
        assert_eq!(read(b"a=\r\nb=FC=", &Encoding::QuotedPrintable, 3), "abü=");
        assert_eq!(read(b"", &Encoding::SevenBit, 3), "");
        assert!(PartText::default().next(b"", &Encoding::SevenBit).is_some());
    }
}
