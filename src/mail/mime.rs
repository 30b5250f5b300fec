//! What a part's MIME fields say: types, parameters (RFC 2045 §5.1, RFC 2231), dispositions.
//!
//! Lenient where other programs are wrong in known ways (unquoted blanks in a file name, a missing
//! quote), but never guessing: a Content-Type that is none counts as absent.

use super::limits::{COMMENT_DEPTH_MAX, LANGUAGES_MAX, PARAMS_MAX};
use super::structure::{Disposition, Encoding, Param};

/// A Content-Type field, read.
#[derive(Debug)]
pub(super) struct ContentType {
    pub media_type: String,
    pub subtype: String,
    pub params: Vec<Param>,
}

/// Reads a Content-Type; `None` where RFC 2045 §5.2 lets the default stand in.
pub(super) fn content_type(body: &[u8]) -> Option<ContentType> {
    let mut cursor = Cursor { text: body, at: 0 };
    let media_type = cursor.token()?;
    cursor.skip_blanks();
    if !cursor.eat(b'/') {
        return None;
    }
    let subtype = cursor.token()?;
    Some(ContentType { media_type, subtype, params: cursor.params() })
}

/// Reads a Content-Disposition.
pub(super) fn disposition(body: &[u8]) -> Option<Disposition> {
    let mut cursor = Cursor { text: body, at: 0 };
    let kind = cursor.token()?;
    Some(Disposition { kind, params: cursor.params() })
}

/// Reads a Content-Transfer-Encoding; what is no token counts as absent.
pub(super) fn encoding(body: &[u8]) -> Encoding {
    let word = Cursor { text: body, at: 0 }.token().unwrap_or_default();
    match word.as_str() {
        "" | "7bit" => Encoding::SevenBit,
        "8bit" => Encoding::EightBit,
        "binary" => Encoding::Binary,
        "base64" => Encoding::Base64,
        "quoted-printable" => Encoding::QuotedPrintable,
        _ => Encoding::Other(word),
    }
}

/// Reads a Content-Language (RFC 3282): tags with commas between.
pub(super) fn languages(body: &[u8]) -> Vec<String> {
    body.split(|octet| *octet == b',')
        .filter_map(|tag| Cursor { text: tag, at: 0 }.token())
        .take(LANGUAGES_MAX)
        .collect()
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        self.at += usize::from(found);
        found
    }

    /// Steps over white space, folds and comments.
    fn skip_blanks(&mut self) {
        while let Some(octet) = self.peek() {
            match octet {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'(' => self.at += comment_bytes(&self.text[self.at..]),
                _ => return,
            }
        }
    }

    /// RFC 2045 §5.1 `token`, in lower case.
    fn token(&mut self) -> Option<String> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let len = rest.iter().take_while(|octet| is_token_octet(**octet)).count();
        self.at += len;
        // Token octets are ASCII, so nothing is lost here.
        (len > 0).then(|| String::from_utf8_lossy(&rest[..len]).to_ascii_lowercase())
    }

    fn params(&mut self) -> Vec<Param> {
        let mut raw = Vec::new();
        while raw.len() < PARAMS_MAX && self.skip_to_semicolon() {
            let Some(name) = self.token() else { continue };
            self.skip_blanks();
            if self.eat(b'=') {
                raw.push(Param { name, value: self.value() });
            }
        }
        join_continuations(raw)
    }

    fn skip_to_semicolon(&mut self) -> bool {
        while let Some(octet) = self.peek() {
            match octet {
                b'(' => self.at += comment_bytes(&self.text[self.at..]),
                b'"' => drop(self.quoted()),
                _ => self.at += 1,
            }
            if octet == b';' {
                return true;
            }
        }
        false
    }

    fn value(&mut self) -> Vec<u8> {
        self.skip_blanks();
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        let rest = &self.text[self.at..];
        let len = rest.iter().take_while(|octet| !matches!(octet, b';' | b'(')).count();
        self.at += len;
        super::header::unfold(&rest[..len])
    }

    /// A quoted string, unfolded and unescaped; a missing closing quote ends with the field.
    fn quoted(&mut self) -> Vec<u8> {
        let (value, len) = quoted_string(&self.text[self.at..]);
        self.at += len;
        value
    }
}

/// Reads the quoted string at the start of `text`: its value, and how many octets it takes.
pub(super) fn quoted_string(text: &[u8]) -> (Vec<u8>, usize) {
    let mut value = Vec::new();
    let mut at = 1;
    while let Some(octet) = text.get(at) {
        at += 1;
        match octet {
            b'"' => return (value, at),
            b'\\' => {
                value.extend(text.get(at).filter(|octet| !matches!(octet, b'\r' | b'\n' | 0)));
                at += 1;
            }
            b'\r' | b'\n' | 0 => {}
            _ => value.push(*octet),
        }
    }
    (value, text.len())
}

/// How many octets the comment at the start of `text` takes. Comments nest (RFC 5322 §3.2.2), up to
/// a limit; one that is not closed takes all.
pub(super) fn comment_bytes(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(octet) = text.get(at) {
        at += 1;
        match octet {
            b'(' if depth < COMMENT_DEPTH_MAX => depth += 1,
            b')' => depth -= 1,
            b'\\' => at += 1,
            _ => {}
        }
        if depth == 0 {
            return at.min(text.len());
        }
    }
    text.len()
}

fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet)
}

/// RFC 2231 §3: `name*0`, `name*1*`, … are pieces of one value. They become one parameter, `name*`
/// if any piece is percent-encoded (the others are then encoded too), else `name`. Pieces behind a
/// gap are dropped. The number of parameters is bounded, so sorting them is too.
fn join_continuations(raw: Vec<Param>) -> Vec<Param> {
    let mut out: Vec<Param> = Vec::new();
    let mut pieces: Vec<(String, u32, bool, Vec<u8>)> = Vec::new();
    for param in raw {
        match continuation(&param.name) {
            Some((base, number, encoded)) => {
                let base = base.to_owned();
                if !pieces.iter().any(|(other, ..)| *other == base) {
                    // Keeps the place; the value is filled in below.
                    out.push(Param { name: base.clone(), value: Vec::new() });
                }
                pieces.push((base, number, encoded, param.value));
            }
            None => out.push(param),
        }
    }
    pieces.sort_by(|left, right| (&left.0, left.1).cmp(&(&right.0, right.1)));
    let mut placed = Vec::new();
    for group in pieces.chunk_by(|left, right| left.0 == right.0) {
        placed.push((group[0].0.clone(), join(group)));
    }
    for param in &mut out {
        let joined =
            placed.iter().position(|(base, _)| *base == param.name && param.value.is_empty());
        if let Some(at) = joined {
            *param = placed.swap_remove(at).1;
        }
    }
    out
}

fn join(group: &[(String, u32, bool, Vec<u8>)]) -> Param {
    let whole = group.iter().enumerate().take_while(|(at, piece)| piece.1 as usize == *at);
    let whole: Vec<_> = whole.map(|(_, piece)| piece).collect();
    let any_encoded = whole.iter().any(|(_, _, encoded, _)| *encoded);
    let mut value = Vec::new();
    for (_, number, encoded, piece) in whole {
        if *encoded || !any_encoded {
            value.extend_from_slice(piece);
            continue;
        }
        if *number == 0 {
            // RFC 2231 §4: an encoded value starts with charset and language, both empty here.
            value.extend_from_slice(b"''");
        }
        for octet in piece {
            match octet {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => value.push(*octet),
                _ => value.extend_from_slice(format!("%{octet:02X}").as_bytes()),
            }
        }
    }
    let star = if any_encoded { "*" } else { "" };
    Param { name: format!("{}{star}", group[0].0), value }
}

/// Splits `name*3*` into `name`, 3 and whether it is percent-encoded; `name*` alone is none.
fn continuation(name: &str) -> Option<(&str, u32, bool)> {
    let (name, encoded) = match name.strip_suffix('*') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let (base, number) = name.rsplit_once('*')?;
    if base.is_empty() || number.len() > 3 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((base, number.parse().ok()?, encoded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params(body: &str) -> Vec<(String, String)> {
        let read = content_type(body.as_bytes()).expect("a content type");
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        read.params.into_iter().map(|p| (p.name, text(p.value))).collect()
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn content_types_are_read_as_rfc_2045_shows() {
        let read = content_type(b" Text/Plain; charset=us-ascii (Plain text)").unwrap();
        assert_eq!((read.media_type.as_str(), read.subtype.as_str()), ("text", "plain"));
        assert_eq!(
            params("text/plain; charset=us-ascii (Plain text)"),
            pairs(&[("charset", "us-ascii")])
        );
        assert_eq!(
            params("multipart/mixed;\r\n\tboundary=\"a \\\"b; c\"; X=y"),
            pairs(&[("boundary", "a \"b; c"), ("x", "y")])
        );
        for bad in [" ", "text", "text/", "/plain", "text plain", "(c"] {
            assert!(content_type(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn known_mistakes_in_parameters_are_forgiven() {
        assert_eq!(params("a/b; name=my file.txt"), pairs(&[("name", "my file.txt")]));
        assert_eq!(params("a/b; name=\"open"), pairs(&[("name", "open")]));
        assert_eq!(params("a/b;; =x; y; z=1;"), pairs(&[("z", "1")]));
        assert_eq!(params("a/b; x=\"1\" junk; y=2"), pairs(&[("x", "1"), ("y", "2")]));
    }

    #[test]
    fn continuations_of_rfc_2231_are_joined() {
        // RFC 2231 §3 and §4.1.
        assert_eq!(
            params(
                "message/external-body; access-type=URL;\r\n URL*0=\"ftp://\";\r\n URL*1=\"cs/x\""
            ),
            pairs(&[("access-type", "URL"), ("url", "ftp://cs/x")])
        );
        assert_eq!(
            params(
                "application/x-stuff; title*1*=%2A%2A%2Afun%2A%2A%2A%20;\
                 title*2=\"isn't it!\"; title*0*=us-ascii'en'This%20is"
            ),
            pairs(&[("title*", "us-ascii'en'This%20is%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it%21")])
        );
        assert_eq!(params("a/b; n*=utf-8''x; n*1=gap"), pairs(&[("n*", "utf-8''x"), ("n", "")]));
    }

    #[test]
    fn a_flood_of_parameters_is_cut() {
        let many: String = (0..10_000).map(|n| format!(";n*{}=v", n % 999)).collect();
        assert!(params(&format!("a/b{many}")).len() <= PARAMS_MAX);
    }

    proptest! {
        #[test]
        fn any_octets_are_read(body in any::<Vec<u8>>(), text in "[a/;=*0-2\"\\\\() \r\n]{0,60}") {
            for body in [&body[..], text.as_bytes()] {
                content_type(body);
                disposition(body);
                encoding(body);
                languages(body);
            }
            content_type(format!("a/b;{text}").as_bytes());
        }
    }
}
