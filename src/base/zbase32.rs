//! z-base-32: octets as letters that people can read aloud, the form of names in a Web Key
//! Directory.
//!
//! # Standards
//! RFC 6189 §5.1.6 (the alphabet; most significant bit first, no padding). Only whole octets are
//! written, and there is no reader: names are compared as text.

/// RFC 6189 §5.1.6.
const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";

/// Bits in a letter.
const LETTER_BITS: u32 = 5;

/// The letters for `octets`: eight for five octets, and as many as needed for a rest.
pub fn encode(octets: &[u8]) -> String {
    let mut letters = String::with_capacity(octets.len().div_ceil(5) * 8);
    let mut held: u32 = 0;
    let mut bits = 0;
    for octet in octets {
        held = (held << 8) | u32::from(*octet);
        bits += 8;
        while bits >= LETTER_BITS {
            bits -= LETTER_BITS;
            letters.push(letter(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        letters.push(letter(held << (LETTER_BITS - bits)));
    }
    letters
}

/// Whether `text` has letters of the alphabet only.
pub fn is_encoded(text: &str) -> bool {
    text.bytes().all(|octet| ALPHABET.contains(&octet))
}

fn letter(bits: u32) -> char {
    char::from(ALPHABET[(bits & 31) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rests_of_every_length_are_written_as_others_write_them() {
        let known: [(&[u8], &str); 7] = [
            (b"", ""),
            (&[0], "yy"),
            (&[0xff], "9h"),
            (&[0xf0, 0xbf, 0xc7], "6n9hq"),
            (&[0xd4, 0x7a, 0x04], "4t7ye"),
            (&[0xff; 5], "99999999"),
            (b"hello", "pb1sa5dx"),
        ];
        for (octets, letters) in known {
            assert_eq!(encode(octets), letters, "{octets:?}");
        }
    }

    proptest! {
        #[test]
        fn no_two_of_one_length_share_letters(one: [u8; 20], other: [u8; 20]) {
            let letters = encode(&one);
            prop_assert_eq!(letters.len(), 32);
            prop_assert!(is_encoded(&letters));
            prop_assert_eq!(one == other, letters == encode(&other));
        }
    }
}
