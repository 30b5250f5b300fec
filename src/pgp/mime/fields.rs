//! Which field of a message stands where once it is sealed.
//!
//! Outside stands only what mail needs on its way and what threads it; everything else is inside
//! only. That is stricter than `hcp_baseline`: programs put the subject into more places than
//! Subject (Thread-Topic), and names of programs, hosts and languages are nobody's business.
//!
//! # Standards
//! RFC 9788 §2.2 (HP-Outer), §3 (header confidentiality); RFC 9787 §1.1.1 (structural fields);
//! RFC 5322 §2.1.1 (lines of 998 octets).

use super::pad;
use crate::mail::header::{self, Field};

/// Octets of a line outside, without its end (RFC 5322 §2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// What stands in the place of a subject (RFC 9788 §3.2.1).
const HIDDEN_SUBJECT: &[u8] = b" [...]";

/// Fields that are shown outside. Those of lists and of who resends are named one by one: whatever
/// else begins like them (Resent-Subject) may say anything.
const SHOWN: &[&str] = &[
    "date",
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "message-id",
    "in-reply-to",
    "references",
    "autocrypt",
    "auto-submitted",
    "precedence",
    "disposition-notification-to",
    "list-id",
    "list-help",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-subscribe",
    "list-post",
    "list-owner",
    "list-archive",
    "resent-date",
    "resent-from",
    "resent-sender",
    "resent-to",
    "resent-cc",
    "resent-message-id",
];

/// Fields that the message must not carry at all: blind recipients, signatures over what is no
/// more, and what only we write.
const DROPPED: &[&str] = &[
    "bcc",
    "resent-bcc",
    "return-path",
    "dkim-signature",
    "authentication-results",
    "hp-outer",
    pad::NAME,
];

/// A message's header, parted.
pub struct Parted {
    /// For the outer header: trace, then the shown fields in their order.
    pub outer: Vec<u8>,
    /// For the payload: all but the structural ones, then an HP-Outer for each shown one.
    pub inner: Vec<u8>,
    /// For the payload: what says how its body is to be read.
    pub structural: Vec<u8>,
}

/// Parts the header block of a message.
pub fn part(block: &[u8]) -> Parted {
    let mut parted = Parted { outer: Vec::new(), inner: Vec::new(), structural: Vec::new() };
    let mut shown = Vec::new();
    let mut content_type = None;
    for field in header::fields(block) {
        let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
        let prefixed = |prefix: &str| name.starts_with(prefix);
        match name.as_str() {
            name if DROPPED.iter().any(|dropped| dropped.eq_ignore_ascii_case(name)) => {}
            _ if prefixed("arc-") => {}
            "received" => push(&mut parted.outer, field.name, field.body),
            "mime-version" => {}
            // Of a field that stands twice the first counts, here as in every reader.
            "content-type" => drop(content_type.get_or_insert(field.body)),
            _ if prefixed("content-") => push(&mut parted.structural, field.name, field.body),
            name => {
                push(&mut parted.inner, field.name, field.body);
                let listed = SHOWN.contains(&name);
                if name == "subject" {
                    shown.push((field.name, HIDDEN_SUBJECT.to_vec()));
                } else if listed && let Some(body) = short_lines(&field) {
                    shown.push((field.name, body));
                }
            }
        }
    }
    for (name, body) in &shown {
        push(&mut parted.outer, name, body);
        parted.inner.extend_from_slice(b"HP-Outer: ");
        parted.inner.extend_from_slice(name);
        parted.inner.extend_from_slice(b": ");
        parted.inner.extend_from_slice(body.trim_ascii_start());
        parted.inner.extend_from_slice(b"\r\n");
    }
    parted.structural.extend_from_slice(&protected_type(content_type));
    parted
}

fn push(out: &mut Vec<u8>, name: &[u8], body: &[u8]) {
    out.extend_from_slice(name);
    out.push(b':');
    if !body.starts_with(b" ") && !body.starts_with(b"\t") && !body.is_empty() {
        out.push(b' ');
    }
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// The field's body with no line above the limit: folded where there is white space. `None` if that
/// is not possible; the field then stands inside only.
fn short_lines(field: &Field<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(field.body.len());
    // A name and a colon stand in front of the first line.
    let mut column = field.name.len() + 2;
    for (index, line) in field.body.split(|octet| *octet == b'\n').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        let mut line = line.strip_suffix(b"\r").unwrap_or(line);
        while column + line.len() > LINE_BYTES_MAX {
            let room = &line[..LINE_BYTES_MAX.checked_sub(column)?];
            let blank = room.iter().rposition(|octet| matches!(octet, b' ' | b'\t'))?;
            if line[..blank].trim_ascii().is_empty() {
                return None;
            }
            out.extend_from_slice(&line[..blank]);
            out.extend_from_slice(b"\r\n");
            (line, column) = (&line[blank..], 0);
        }
        out.extend_from_slice(line);
    }
    Some(out)
}

/// The Content-Type field of the payload's root: what was submitted, marked as protected both as
/// RFC 9788 §2.1.1 has it and as older programs (Thunderbird, K-9) look for it.
fn protected_type(body: Option<&[u8]>) -> Vec<u8> {
    let mut segments = body.and_then(segments).unwrap_or_default();
    // RFC 2045 §5.2: what has no type that can be read is plain text.
    if !segments.first().is_some_and(|first| is_media_type(first)) {
        segments = vec![b" text/plain"];
    }
    segments.retain(|segment| !is_empty_or_ours(segment));
    let mut out = b"Content-Type:".to_vec();
    if !segments[0].starts_with(b" ") && !segments[0].starts_with(b"\t") {
        out.push(b' ');
    }
    out.extend_from_slice(&segments.join(b";".as_slice()));
    out.extend_from_slice(b";\r\n\thp=\"cipher\"; protected-headers=\"v1\"\r\n");
    out
}

/// A Content-Type's body parted at its semicolons, those in quotes and comments left alone. `None`
/// if a quote or a comment has no end.
fn segments(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut out = Vec::new();
    let (mut start, mut quoted, mut comments, mut escaped) = (0, false, 0usize, false);
    for (at, octet) in body.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted || comments > 0 => escaped = true,
            b'"' if comments == 0 => quoted = !quoted,
            b'(' if !quoted => comments += 1,
            b')' if !quoted => comments = comments.saturating_sub(1),
            b';' if !quoted && comments == 0 => {
                out.push(&body[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&body[start..]);
    (!quoted && comments == 0).then_some(out)
}

fn is_media_type(segment: &[u8]) -> bool {
    let token = |text: &[u8]| text.first().is_some_and(|octet| octet.is_ascii_alphanumeric());
    let slash = segment.iter().position(|octet| *octet == b'/');
    slash.is_some_and(|at| {
        token(segment[..at].trim_ascii()) && token(segment[at + 1..].trim_ascii())
    })
}

/// Whether a parameter is one that only the sealer sets, or none at all.
fn is_empty_or_ours(segment: &[u8]) -> bool {
    let name = segment.split(|octet| *octet == b'=').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
    matches!(name.trim_end_matches('*'), "" | "hp" | "protected-headers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::analyse;
    use proptest::prelude::*;

    fn names(block: &[u8]) -> Vec<String> {
        header::fields(block).map(|f| String::from_utf8_lossy(f.name).into_owned()).collect()
    }

    #[test]
    fn only_what_mail_needs_stands_outside() {
        let parted = part(
            b"Received: by us\r\nFrom: A <a@b.example>\r\nTo: c@d.example\r\nBcc: secret@e.example\
              \r\nSubject: the plan\r\nKeywords: war\r\nComments: x\r\nThread-Topic: the plan\r\n\
              X-Mailer: M\r\nMessage-ID: <1@b>\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\
              Content-Language: de\r\nHP-Outer: To: forged\r\n\r\n",
        );
        assert_eq!(names(&parted.outer), ["Received", "From", "To", "Subject", "Message-ID"]);
        let text = String::from_utf8(parted.inner.clone()).unwrap();
        let inner = names(&parted.inner);
        let fields = ["From", "To", "Subject", "Keywords", "Comments", "Thread-Topic", "X-Mailer"];
        assert_eq!(inner[..7], fields);
        assert!(text.ends_with(
            "HP-Outer: From: A <a@b.example>\r\nHP-Outer: To: c@d.example\r\n\
             HP-Outer: Subject: [...]\r\nHP-Outer: Message-ID: <1@b>\r\n"
        ));
        assert!(!text.contains("secret") && !text.contains("forged"));
        assert_eq!(
            String::from_utf8(parted.structural).unwrap(),
            "Content-Language: de\r\nContent-Type: text/html;\r\n\thp=\"cipher\"; \
             protected-headers=\"v1\"\r\n"
        );
    }

    #[test]
    fn what_only_looks_like_a_field_of_a_list_stays_inside() {
        let parted = part(
            b"List-Id: <l.b.example>\r\nList-Topic: plan\r\nResent-To: x@b.example\r\n\
              Resent-Subject: plan\r\nResent-Comments: plan\r\n\r\n",
        );
        assert_eq!(names(&parted.outer), ["List-Id", "Resent-To"]);
        assert_eq!(names(&parted.inner).len(), 7);
    }

    #[test]
    fn lines_outside_are_folded_and_what_cannot_be_stays_inside() {
        let ids = "<abcdefghijklmnop@example.org> ".repeat(100);
        let block = format!("References: {ids}\r\nIn-Reply-To: <{}>\r\n\r\n", "x".repeat(1100));
        let parted = part(block.as_bytes());
        assert_eq!(names(&parted.outer), ["References"]);
        let longest = parted.outer.split(|octet| *octet == b'\n').map(<[u8]>::len).max();
        assert!(longest <= Some(LINE_BYTES_MAX + 1), "{longest:?}");
        let outer = header::fields(&parted.outer).next().unwrap();
        assert_eq!(header::unfold(outer.body), ids.trim().as_bytes());
        assert_eq!(names(&parted.inner), ["References", "In-Reply-To", "HP-Outer"]);
    }

    #[test]
    fn the_type_is_marked_whatever_it_looked_like() {
        let typed = |body: &str| {
            let field = protected_type(Some(body.as_bytes()));
            let message = [&field[..], b"\r\n--b\r\n\r\nx\r\n--b--\r\n"].concat();
            let part = analyse(&message).structure.parts.swap_remove(0);
            let params: Vec<_> = part
                .params
                .iter()
                .map(|p| format!("{}={}", p.name, String::from_utf8_lossy(&p.value)))
                .collect();
            format!("{}/{} {}", part.media_type, part.subtype, params.join(" "))
        };
        let ours = "hp=cipher protected-headers=v1";
        for (body, expected) in [
            (" text/plain; charset=utf-8;", "text/plain charset=utf-8"),
            ("text/plain", "text/plain"),
            (" multipart/mixed;\r\n boundary=\"b\"", "multipart/mixed boundary=b"),
            (" text/plain; hp=\"clear\"; x=\"a;hp=b\"", "text/plain x=a;hp=b"),
            (" text/plain (a;b) ; protected-headers=v1 ; y=z", "text/plain y=z"),
        ] {
            assert_eq!(typed(body), format!("{expected} {ours}"), "{body}");
        }
        for broken in ["", "text", " text/plain; name=\"open", "/x", "text/plain (open"] {
            assert_eq!(typed(broken), format!("text/plain {ours}"), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_or_a_line_outside_too_long(
            block in "([A-Za-z-]{1,12}:[ -~]{0,1200}\r\n( [ -~]{0,1200}\r\n)?){0,5}",
        ) {
            let parted = part(block.as_bytes());
            let mut lines = parted.outer.split(|octet| *octet == b'\n');
            prop_assert!(lines.all(|line| line.len() <= LINE_BYTES_MAX + 1));
            protected_type(Some(block.as_bytes()));
        }
    }
}
