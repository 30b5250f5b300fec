//! How a field is written that stands outside a sealed message.
//!
//! What is copied may say anything: a comment, a phrase before an id, an attribute of one's own. So
//! each field is written anew from what it is shown for, or is not shown. Fields of addresses are
//! copied: the names in them are shown on purpose, and programs differ about where they stand.
//!
//! # Standards
//! RFC 5322 §3.6.1 (Date), §3.6.4 (ids); RFC 3834 §5 and RFC 5436 §2.7.1 (Auto-Submitted);
//! RFC 2076 §3.9 (Precedence); Autocrypt level 1 §2.1 (its attributes).

use crate::mail::{DateTime, header, message_id};

/// What Precedence says to programs that answer by themselves.
const PRECEDENCE: &[&str] = &["bulk", "list", "junk"];
const AUTO_SUBMITTED: &[&str] = &["no", "auto-generated", "auto-replied", "auto-notified"];

/// Characters of key data in a line.
const KEYDATA_LINE_CHARS: usize = 76;

/// The body that the field `name` (in lower case) is shown with; `None` if it is not shown.
pub fn body(name: &str, body: &[u8]) -> Option<Vec<u8>> {
    match name {
        "from" | "sender" | "reply-to" | "to" | "cc" => Some(body.to_vec()),
        "date" => date(body),
        "message-id" | "in-reply-to" | "references" => ids(body),
        "auto-submitted" => keyword(body, AUTO_SUBMITTED),
        "precedence" => keyword(body, PRECEDENCE),
        "autocrypt" => autocrypt(body),
        _ => None,
    }
}

/// A date in UTC.
pub fn date(body: &[u8]) -> Option<Vec<u8>> {
    let date = DateTime::parse_rfc5322(body)?;
    Some(format!(" {}", DateTime::from_unix(date.unix(), 0).to_rfc5322()).into_bytes())
}

/// The ids alone.
fn ids(body: &[u8]) -> Option<Vec<u8>> {
    let ids = message_id::proper(body);
    let written: Vec<u8> = ids.iter().flat_map(|id| [b" <", *id, b">"].concat()).collect();
    (!written.is_empty()).then_some(written)
}

/// The first word, if it is a known one.
fn keyword(body: &[u8], known: &[&str]) -> Option<Vec<u8>> {
    let text = header::unfold(body);
    let word = text.split(|octet| b" \t;(".contains(octet)).next().unwrap_or_default();
    let word = known.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(word))?;
    Some(format!(" {word}").into_bytes())
}

/// The attributes that the standard knows, with values that can be nothing else.
fn autocrypt(body: &[u8]) -> Option<Vec<u8>> {
    let (mut addr, mut mutual, mut keydata) = (None, "", Vec::new());
    for attribute in body.split(|octet| *octet == b';') {
        let equals = attribute.iter().position(|octet| *octet == b'=')?;
        let value = attribute[equals + 1..].trim_ascii();
        match &attribute[..equals].trim_ascii().to_ascii_lowercase()[..] {
            b"addr" => addr = std::str::from_utf8(value).ok().filter(|value| is_addr(value)),
            b"prefer-encrypt" if value == b"mutual" => mutual = " prefer-encrypt=mutual;",
            b"keydata" => {
                keydata.extend(value.iter().filter(|octet| !octet.is_ascii_whitespace()));
            }
            _ => {}
        }
    }
    let base64 = |octet: &u8| octet.is_ascii_alphanumeric() || b"+/=".contains(octet);
    if keydata.is_empty() || !keydata.iter().all(base64) {
        return None;
    }
    let mut written = format!(" addr={};{mutual} keydata=", addr?).into_bytes();
    for line in keydata.chunks(KEYDATA_LINE_CHARS) {
        written.extend_from_slice(b"\r\n ");
        written.extend_from_slice(line);
    }
    Some(written)
}

fn is_addr(value: &str) -> bool {
    value.contains('@') && value.bytes().all(|octet| octet.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown_but_what_a_field_is_for() {
        for (name, given, shown) in [
            ("in-reply-to", "Your message about \"the merger\" <1@x>", Some(" <1@x>")),
            ("references", "(the merger) <1@x>\r\n <2@x>", Some(" <1@x> <2@x>")),
            ("message-id", "<2@x> (merger)", Some(" <2@x>")),
            ("message-id", "77@x.example", Some(" <77@x.example>")),
            ("message-id", "merger", None),
            ("precedence", "Bulk", Some(" bulk")),
            ("precedence", "layoffs", None),
            ("auto-submitted", "no (layoffs)", Some(" no")),
            ("auto-submitted", "auto-replied; x=layoffs", Some(" auto-replied")),
            ("auto-submitted", "layoffs", None),
            (
                "date",
                "Wed, 25 Nov 2026 13:00:00 +0100 (merger)",
                Some(" Wed, 25 Nov 2026 12:00:00 +0000"),
            ),
            ("date", "the day of the merger", None),
            ("list-id", "merger working group <l.x>", None),
            ("disposition-notification-to", "Boss <b@x>", None),
            ("resent-date", "Wed, 25 Nov 2026 13:00:00 +0100", None),
            ("to", " Bob <b@x>", Some(" Bob <b@x>")),
        ] {
            let found = body(name, given.as_bytes());
            let found = found.as_deref().map(String::from_utf8_lossy);
            assert_eq!(found.as_deref(), shown, "{name}: {given}");
        }
    }

    #[test]
    fn an_autocrypt_field_shows_an_address_and_a_key() {
        for (given, shown) in [
            ("addr=a@x; _say=merger; keydata=\r\n yv8=", Some(" addr=a@x; keydata=\r\n yv8=")),
            (
                "addr=a@x; prefer-encrypt=mutual; keydata=yv\r\n 8=",
                Some(" addr=a@x; prefer-encrypt=mutual; keydata=\r\n yv8="),
            ),
            ("addr=a@x; prefer-encrypt=merger; keydata=yv8=", Some(" addr=a@x; keydata=\r\n yv8=")),
            ("addr=the merger@x; keydata=yv8=", None),
            ("addr=a@x; keydata=the (merger)", None),
            ("addr=a@x", None),
            ("merger", None),
        ] {
            let found = autocrypt(given.as_bytes()).map(|found| String::from_utf8(found).unwrap());
            assert_eq!(found.as_deref(), shown, "{given}");
        }
    }
}
