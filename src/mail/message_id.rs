//! Message ids in the bodies of fields: as they are compared, and as they may be shown.
//!
//! Programs write them without brackets, between words and in comments. Whoever asks whether a
//! message answers another reads leniently ([`named`]); whoever shows a field to strangers takes
//! what is an id and nothing that stands around it ([`proper`]).
//!
//! # Standards
//! RFC 5322 §3.6.4 (`msg-id`), §4.5.4 (phrases between the ids of In-Reply-To and References).

use super::submission::{comment, quoted};

/// Octets of an id without brackets; a line has no more (RFC 5322 §2.1.1).
const BARE_BYTES_MAX: usize = 998;

/// The ids in a body, with brackets; where nothing stands in brackets, the body itself if it is one
/// word.
pub fn named(body: &[u8]) -> impl Iterator<Item = String> {
    let has_brackets = bracketed(body).next().is_some();
    let bare = bare(body).filter(|_| !has_brackets);
    bracketed(body).chain(bare).map(|id| format!("<{}>", String::from_utf8_lossy(id)))
}

/// The ids in a body, without brackets, that are ones by RFC 5322 §3.6.4 (blanks around them let
/// stand). What is in quotes and comments is none; behind one that does not end nothing is read.
pub fn proper(body: &[u8]) -> Vec<&[u8]> {
    let (mut out, mut at, mut has_brackets) = (Vec::new(), 0, false);
    while let Some(octet) = body.get(at) {
        let rest = &body[at..];
        let taken = match octet {
            b'(' => comment(rest),
            b'"' => quoted(rest).map(<[u8]>::len),
            b'<' => {
                has_brackets = true;
                let end = memchr::memchr(b'>', rest);
                let id = end.map(|end| rest[1..end].trim_ascii());
                out.extend(id.filter(|id| is_proper(id)));
                end
            }
            _ => Some(1),
        };
        let Some(taken) = taken else { return out };
        at += taken;
    }
    if !has_brackets {
        out.extend(bare(body).filter(|id| is_proper(id)));
    }
    out
}

fn bracketed(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|octet| *octet == b'<').skip(1).filter_map(|piece| {
        let end = piece.iter().position(|octet| *octet == b'>')?;
        Some(piece[..end].trim_ascii())
    })
}

fn bare(body: &[u8]) -> Option<&[u8]> {
    let word = body.trim_ascii();
    let word = word.strip_prefix(b"<").unwrap_or(word);
    let is_one = !word.iter().any(u8::is_ascii_whitespace);
    (is_one && (1..=BARE_BYTES_MAX).contains(&word.len())).then_some(word)
}

fn is_proper(id: &[u8]) -> bool {
    id.contains(&b'@') && id.iter().all(|octet| octet.is_ascii_graphic() && *octet != b'<')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_found_with_and_without_brackets() {
        for (body, expected) in [
            (" <1@a> < 2@a >\r\n <3@a", &["<1@a>", "<2@a>"][..]),
            ("Your mail <1@a> of today", &["<1@a>"]),
            (" 77@x.example\r\n ", &["<77@x.example>"]),
            ("77", &["<77>"]),
            ("<77@x.example", &["<77@x.example>"]),
            ("77@x.example 78@x.example", &[]),
            (" ", &[]),
            (&"x".repeat(999), &[]),
        ] {
            assert_eq!(named(body.as_bytes()).collect::<Vec<_>>(), expected, "{body}");
        }
    }

    #[test]
    fn only_ids_are_shown() {
        for (body, expected) in [
            (" <1@a>\r\n < 2@a >", &["1@a", "2@a"][..]),
            ("Your message about \"the merger\" <1@a>", &["1@a"]),
            ("\"the <merger@x> \\\" \" (and <plan@x> (or \\) <b@x>)) <1@a>", &["1@a"]),
            ("<the merger> <merger> <the merger@x> <grün@x> <1@a>", &["1@a"]),
            ("(the merger <1@a>", &[]),
            ("<1@a> \"the merger <2@a>", &["1@a"]),
            ("<1@a> <the merger", &["1@a"]),
            (" 77@x.example ", &["77@x.example"]),
            ("merger", &[]),
            ("the merger@x", &[]),
            ("", &[]),
        ] {
            let expected: Vec<&[u8]> = expected.iter().map(|id| id.as_bytes()).collect();
            assert_eq!(proper(body.as_bytes()), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn what_is_proper_is_named(body in "([<>()\"\\\\ @]|[a-z]{1,3}|\r\n ){0,20}") {
            let named: Vec<_> = named(body.as_bytes()).collect();
            for id in proper(body.as_bytes()) {
                let id = format!("<{}>", String::from_utf8_lossy(id));
                prop_assert!(named.contains(&id), "{id} of {named:?}");
            }
        }
    }
}
