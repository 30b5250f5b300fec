//! Fields that only this server writes, where others wrote them: whoever reads the mail believes
//! them.
//!
//! # Standards
//! RFC 8601 §5 (Authentication-Results that claim to be ours), §2.2 and §2.5 (how the name of who
//! checked may be written).

use super::address::canonical_domain;
use super::header;
use std::ops::Range;

const NAME: &str = "Authentication-Results";

/// Octets of a field that are read to find whom it names; one that needs more is taken out.
const IDENTIFIER_BYTES_MAX: usize = 1024;

/// How deep comments may nest in front of the identifier before the field is taken out.
const COMMENT_DEPTH_MAX: usize = 8;

/// Takes out of `message` what says to be an Authentication-Results field of `hostname`
/// (RFC 8601 §5), what cannot be told not to be one, and all fields whose names are this program's:
/// what it says of an opened message stands there. Gives the number of fields taken out.
///
/// Looked at are all lines in front of the first empty one, those too that follow a line which ends
/// the header for this house: other programs read on.
pub fn remove_forged(message: &mut Vec<u8>, hostname: &str) -> usize {
    let forged = forged(message, hostname);
    let Some(first) = forged.first() else { return 0 };
    let mut end = first.start;
    for (at, field) in forged.iter().enumerate() {
        let next = forged.get(at + 1).map_or(message.len(), |next| next.start);
        message.copy_within(field.end..next, end);
        end += next - field.end;
    }
    message.truncate(end);
    forged.len()
}

/// Whether the field, with its name, is one that only `hostname` writes, or cannot be told not to
/// be.
pub fn is_forged(field: &[u8], hostname: &str) -> bool {
    let is_ours = |body| identifier(body).is_none_or(|id| is_ours(&id, hostname));
    results_body(field).is_some_and(is_ours) || header::is_named_ours(field)
}

fn forged(message: &[u8], hostname: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(line) = line_at(message, at) {
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        let mut end = at + line.len();
        while matches!(message.get(end), Some(b' ' | b'\t')) {
            end += line_at(message, end).map_or(0, <[u8]>::len);
        }
        if is_forged(&message[at..end], hostname) {
            found.push(at..end);
        }
        at = end;
    }
    found
}

fn line_at(message: &[u8], at: usize) -> Option<&[u8]> {
    let rest = message.get(at..).filter(|rest| !rest.is_empty())?;
    Some(rest.split_inclusive(|octet| *octet == b'\n').next().unwrap_or(rest))
}

/// What stands behind the colon of an Authentication-Results field (RFC 5322 §4.5: with white space
/// before it).
fn results_body(field: &[u8]) -> Option<&[u8]> {
    let (name, rest) = field.split_at_checked(NAME.len())?;
    let rest = rest.trim_ascii_start();
    (name.eq_ignore_ascii_case(NAME.as_bytes()) && rest.first() == Some(&b':')).then(|| &rest[1..])
}

/// Whom a field names: the authserv-id, behind comments, quoted or not. `None` if that cannot be
/// told.
fn identifier(body: &[u8]) -> Option<Vec<u8>> {
    let body = &body[..body.len().min(IDENTIFIER_BYTES_MAX)];
    let mut octets = skip_blanks(body)?.iter().copied();
    let mut id = Vec::new();
    match octets.clone().next()? {
        b'"' => {
            octets.next();
            loop {
                match octets.next()? {
                    b'"' => break,
                    b'\\' => id.push(octets.next()?),
                    b'\r' | b'\n' => {}
                    octet => id.push(octet),
                }
            }
        }
        _ => {
            let word = |b: &u8| !b.is_ascii_whitespace() && !matches!(b, b';' | b'(' | b'"');
            id.extend(octets.take_while(word));
        }
    }
    (!id.is_empty()).then_some(id)
}

/// What stands behind white space and comments.
fn skip_blanks(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = text.trim_ascii_start();
        if text.first() != Some(&b'(') {
            return Some(text);
        }
        text = &text[comment_bytes(text)?..];
    }
}

fn comment_bytes(text: &[u8]) -> Option<usize> {
    let mut depth = 0;
    let mut octets = text.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'\\' => {
                octets.next();
            }
            b'(' if depth == COMMENT_DEPTH_MAX => return None,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// In any case, with or without a dot at the end, as A-labels or U-labels.
fn is_ours(id: &[u8], hostname: &str) -> bool {
    let Ok(id) = std::str::from_utf8(id) else { return true };
    let id = id.trim_matches(|c: char| c == '.' || c.is_whitespace());
    match canonical_domain(id) {
        Ok(id) => id.eq_ignore_ascii_case(hostname),
        Err(_) => id.to_lowercase().contains(&hostname.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOST: &str = "mx.ours.example";

    #[test]
    fn fields_in_our_name_are_taken_out() {
        for forged in [
            "Authentication-Results: mx.ours.example; dkim=pass\r\n",
            "authentication-results : MX.Ours.Example 1; dkim=pass\r\n\theader.d=x\r\n",
            "AUTHENTICATION-RESULTS:\r\n mx.ours.example; spf=pass\r\n",
            "Authentication-Results: (a (b) \\) c) mx.ours.example; none\r\n",
            "Authentication-Results: \"mx.ours.example\"; none\r\n",
            "Authentication-Results: \"mx\\.ours\\.example\"; none\r\n",
            "Authentication-Results: mx.ours.example.; none\r\n",
            "Authentication-Results:mx.ours.example;none\r\n",
            "Authentication-Results: mx.ours.example/1; none\r\n",
            "Authentication-Results: (never closed mx.ours.example; dkim=pass\r\n",
            "Authentication-Results:\r\n",
            "Authentication-Results: ((((((((( mx.ours.example; dkim=pass\r\n",
            "Authentication-Results: \u{ff4d}x.ours.example; dkim=pass\r\n",
            "Postseal-Opened: sealed to you; sender proved on arrival; signature good\r\n",
            "postseal-opened : sealed to you;\r\n signature good\r\n",
            "POSTSEAL-Other: x\r\n",
        ] {
            let mut message = format!("A: b\r\n{forged}C: d\r\n{forged}\r\n{forged}").into_bytes();
            assert_eq!(remove_forged(&mut message, HOST), 2, "{forged}");
            assert_eq!(message, format!("A: b\r\nC: d\r\n\r\n{forged}").as_bytes(), "{forged}");
        }
    }

    #[test]
    fn what_is_not_in_our_name_stays_to_the_octet() {
        for other in [
            "Authentication-Results: mx.theirs.example; dkim=pass\r\n",
            "Authentication-Results: amx.ours.example; dkim=pass\r\n",
            "Authentication-Results: ours.example; x=mx.ours.example\r\n",
            "Authentication-Results: (mx.ours.example) theirs.example; none\r\n",
            "X-Authentication-Results: mx.ours.example; dkim=pass\r\n",
            "ARC-Authentication-Results: i=1; mx.ours.example; dkim=pass\r\n",
            "Received-SPF: pass (mx.ours.example)\r\n",
            "X-Postseal-Opened: x\r\n",
            "Postseal: x\r\n",
            "Subject: a\r\n Authentication-Results: mx.ours.example; none\r\n",
        ] {
            let message = format!("{other}\r\nbody").into_bytes();
            let mut after = message.clone();
            assert_eq!(remove_forged(&mut after, HOST), 0, "{other}");
            assert_eq!(after, message);
        }
    }

    #[test]
    fn a_line_of_text_in_the_header_hides_nothing() {
        let text = "A: b\r\nno field\r\nAuthentication-Results: mx.ours.example; none\r\nC: d";
        let mut message = text.into();
        assert_eq!(remove_forged(&mut message, HOST), 1);
        assert_eq!(message, b"A: b\r\nno field\r\nC: d");
        let mut folded = b" x\r\nAuthentication-Results: mx.ours.example; none".to_vec();
        assert_eq!(remove_forged(&mut folded, HOST), 1);
    }

    proptest! {
        #[test]
        fn nothing_in_our_name_is_left(
            text in "(Authentication-Results:? ?|mx.ours.example|;|\\(|\\)|\"|a|\r\n|\n| ){0,40}",
        ) {
            let mut message = text.into_bytes();
            let before = message.len();
            let count = remove_forged(&mut message, HOST);
            prop_assert_eq!(count == 0, message.len() == before);
            let again = remove_forged(&mut message.clone(), HOST);
            prop_assert_eq!(again, 0);
        }

        #[test]
        fn any_octets_are_looked_at(mut message in any::<Vec<u8>>()) {
            remove_forged(&mut message, HOST);
        }
    }
}
