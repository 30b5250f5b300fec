//! Mailbox names in modified UTF-7.
//!
//! Decoding is strict: what another spelling of the same name would be is refused, so that a name
//! has exactly one form on the wire (printable ASCII in clear, the rest in one base64 run, no idle
//! bits, no lone surrogates). Control characters are refused in every form.
//!
//! # Standards
//! RFC 3501 §5.1.3; RFC 2152 for UTF-7.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// Base64 with `,` for `/` and without padding; idle bits must be zero.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone),
);

/// A name in UTF-8 from its wire form; `None` if that is not how the name is written.
pub fn decode(wire: &[u8]) -> Option<String> {
    let mut name = String::with_capacity(wire.len());
    let mut rest = wire;
    let mut after_run = false;
    while let Some((&first, tail)) = rest.split_first() {
        match first {
            b'&' => {
                let end = tail.iter().position(|&byte| byte == b'-')?;
                let run = &tail[..end];
                // RFC 3501 §5.1.3: two runs of base64 in succession are one run, written wrongly.
                if after_run && !run.is_empty() {
                    return None;
                }
                decode_run(run, &mut name)?;
                after_run = !run.is_empty();
                rest = &tail[end + 1..];
            }
            0x20..=0x7e => {
                name.push(char::from(first));
                after_run = false;
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(name)
}

fn decode_run(run: &[u8], name: &mut String) -> Option<()> {
    if run.is_empty() {
        name.push('&');
        return Some(());
    }
    let bytes = BASE64.decode(run).ok()?;
    let (pairs, odd) = bytes.as_chunks::<2>();
    if !odd.is_empty() || pairs.is_empty() {
        return None;
    }
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    for unit in char::decode_utf16(units) {
        match unit.ok()? {
            // RFC 3501 §5.1.3: base64 must not stand for what can stand for itself.
            '\x20'..='\x7e' => return None,
            control if control.is_control() => return None,
            other => name.push(other),
        }
    }
    Some(())
}

/// The wire form of a name.
pub fn encode(name: &str) -> String {
    let mut wire = String::with_capacity(name.len());
    let mut units: Vec<u8> = Vec::new();
    for character in name.chars() {
        if matches!(character, '\x20'..='\x7e') {
            flush(&mut units, &mut wire);
            wire.push(character);
            if character == '&' {
                wire.push('-');
            }
        } else {
            let mut pair = [0; 2];
            let encoded = character.encode_utf16(&mut pair);
            encoded.iter().for_each(|unit| units.extend_from_slice(&unit.to_be_bytes()));
        }
    }
    flush(&mut units, &mut wire);
    wire
}

fn flush(units: &mut Vec<u8>, wire: &mut String) {
    if !units.is_empty() {
        wire.push('&');
        BASE64.encode_string(&units, wire);
        wire.push('-');
        units.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_standard_and_of_clients() {
        // RFC 3501 §5.1.3.
        let (wire, name) = ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語");
        assert_eq!(decode(wire.as_bytes()).as_deref(), Some(name));
        assert_eq!(encode(name), wire);
        assert_eq!(decode(b"Kind &APw-").as_deref(), Some("Kind ü"));
        assert_eq!(decode(b"a&-b").as_deref(), Some("a&b"));
        assert_eq!(encode("a&b"), "a&-b");
        assert_eq!(decode(encode("\u{1F4E7}").as_bytes()).as_deref(), Some("\u{1F4E7}"));
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let bad: [&[u8]; 13] = [
            b"&",
            b"&Jjo",
            b"&Jjo!-",
            b"&AGE-",              // "a" in base64
            b"&U,BTFw-&ZeVnLIqe-", // two runs
            b"&2D0-",              // half a surrogate pair
            b"&AAA-",              // NUL
            b"&AAo-",              // line feed
            b"&APx-",              // idle bits set
            b"&APw=-",             // padding
            b"\xc3\xbc",           // raw UTF-8
            b"a\tb",
            b"&APwA-", // odd number of octets
        ];
        for wire in bad {
            assert_eq!(decode(wire), None, "{:?}", String::from_utf8_lossy(wire));
        }
        assert!(decode(b"&APw-").is_some() && decode(b"").is_some());
    }

    proptest! {
        #[test]
        fn names_survive_the_round_trip(name in "[^\\x00-\\x1f\\x7f-\\u{9f}]{0,40}") {
            let wire = encode(&name);
            prop_assert_eq!(decode(wire.as_bytes()), Some(name));
        }

        #[test]
        fn what_decodes_has_one_spelling(wire in "[a-c&,+A-D-]{0,24}") {
            if let Some(name) = decode(wire.as_bytes()) {
                prop_assert_eq!(encode(&name), wire);
            }
        }

        #[test]
        fn no_octets_make_it_panic(wire: Vec<u8>) {
            let _ = decode(&wire);
        }
    }
}
