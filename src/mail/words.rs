//! Encoded words (RFC 2047) and charsets, read for searching: leniently, linearly, never refusing.
//!
//! The words are taken apart here; the tables of charsets are mail-parser's.
//!
//! # Known gaps
//! A character that is split between two encoded words comes out broken. Multi-byte charsets of
//! East Asia other than UTF-8 and UTF-16 are read as Windows-1252.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mail_parser::decoders::charsets::map::charset_decoder;

/// The longest encoded word that is looked for. RFC 2047 §2 allows 75 octets; some write longer
/// ones.
const WORD_BYTES_MAX: usize = 1024;

/// The longest name of a charset.
const CHARSET_BYTES_MAX: usize = 45;

/// Base64 as others write it: padding or not, idle bits or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes the encoded words of an unfolded field body. What does not decode is kept.
pub(super) fn decode(text: &[u8]) -> String {
    let (mut out, mut plain_from, mut at) = (String::new(), 0, 0);
    let mut behind_word = false;
    while let Some(found) = memchr::memmem::find(&text[at..], b"=?") {
        at += found;
        let Some((word, bytes)) = encoded_word(&text[at..]) else {
            at += 2;
            continue;
        };
        // RFC 2047 §6.2: white space between two encoded words is not shown.
        let between = &text[plain_from..at];
        if !(behind_word && between.trim_ascii().is_empty()) {
            out.push_str(&String::from_utf8_lossy(between));
        }
        out.push_str(&word);
        at += bytes;
        (plain_from, behind_word) = (at, true);
    }
    out.push_str(&String::from_utf8_lossy(&text[plain_from..]));
    out
}

/// Text in a charset as UTF-8. Without a charset, or with an unknown one, octets that are no UTF-8
/// are taken as Windows-1252, as most such mail means it.
pub fn from_charset(charset: Option<&[u8]>, octets: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(octets)
        && charset.is_none_or(is_ascii_superset)
    {
        return text.to_owned();
    }
    let known = charset.filter(|name| (1..=CHARSET_BYTES_MAX).contains(&name.len()));
    match known.and_then(charset_decoder).or_else(|| charset_decoder(b"windows-1252")) {
        Some(decoder) => decoder(octets),
        None => String::from_utf8_lossy(octets).into_owned(),
    }
}

fn is_ascii_superset(charset: &[u8]) -> bool {
    let named = |name: &str| charset.eq_ignore_ascii_case(name.as_bytes());
    named("utf-8") || named("us-ascii") || named("utf8")
}

/// Reads the encoded word at the start of `text`: what it says, and how many octets it takes.
fn encoded_word(text: &[u8]) -> Option<(String, usize)> {
    let text = &text[..text.len().min(WORD_BYTES_MAX)];
    let charset_end = 2 + memchr::memchr(b'?', text.get(2..)?)?;
    let (kind, mark) = (*text.get(charset_end + 1)?, *text.get(charset_end + 2)?);
    let content_start = charset_end + 3;
    let content_bytes = memchr::memmem::find(text.get(content_start..)?, b"?=")?;
    let content = &text[content_start..content_start + content_bytes];
    // RFC 2231 §5: a language may stand behind the charset.
    let charset = text[2..charset_end].split(|octet| *octet == b'*').next()?;
    if mark != b'?' || charset.is_empty() || charset.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    let octets = match kind {
        b'B' | b'b' => LENIENT.decode(content).ok()?,
        b'Q' | b'q' => q_octets(content),
        _ => return None,
    };
    Some((from_charset(Some(charset), &octets), content_start + content_bytes + 2))
}

/// RFC 2047 §4.2; what is no escape stays.
fn q_octets(content: &[u8]) -> Vec<u8> {
    let hex = |octet: Option<&u8>| octet.and_then(|octet| char::from(*octet).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(content.len()), 0);
    while let Some(octet) = content.get(at) {
        match (octet, hex(content.get(at + 1)), hex(content.get(at + 2))) {
            (b'=', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'_', ..) => out.push(b' '),
            _ => out.push(*octet),
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_of_rfc_2047_are_decoded() {
        let cases: [(&str, &str); 10] = [
            ("=?US-ASCII?Q?Keith_Moore?= <moore@x>", "Keith Moore <moore@x>"),
            ("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?=", "Keld Jørn Simonsen"),
            (
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r \
              =?ISO-8859-2?B?dSB1bmRlcnN0YW5k?=",
                "If you can read this you understand",
            ),
            ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
            ("=?utf-8?q?=C3=BC?=   =?utf-8*de?B?w7w?=", "üü"),
            ("=?broken =?utf-8?Q?a?= =?x?y?z?=", "=?broken a =?x?y?z?="),
            ("=?utf-8?B?!!!?=", "=?utf-8?B?!!!?="),
            ("=?nosuch?Q?=FC?=", "ü"),
            ("plain =3D _", "plain =3D _"),
            ("=?", "=?"),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn charsets_become_utf_8() {
        assert_eq!(from_charset(None, "grüße".as_bytes()), "grüße");
        assert_eq!(from_charset(None, b"gr\xfc\xdfe \x80"), "grüße €");
        assert_eq!(from_charset(Some(b"KOI8-R"), b"\xf2\xf5"), "РУ");
        assert_eq!(from_charset(Some(b"utf-16be"), b"\0a\0b"), "ab");
        assert_eq!(from_charset(Some(b""), b"a\xff"), "aÿ");
    }

    #[test]
    fn unfinished_words_are_passed_in_linear_time() {
        let flood = "=?utf-8?q?x".repeat(200_000);
        assert_eq!(decode(flood.as_bytes()), flood);
    }

    proptest! {
        #[test]
        fn any_octets_are_decoded(
            octets in any::<Vec<u8>>(),
            text in "(=\\?|\\?=|utf-8|utf-7|utf-16|\\?[qb]\\?|[a-c=_ ]){0,30}",
        ) {
            decode(&octets);
            decode(text.as_bytes());
            for charset in [&b"utf-7"[..], b"utf-16", b"utf-16le", b"gbk", &octets] {
                from_charset(Some(charset), &octets);
            }
        }
    }
}
