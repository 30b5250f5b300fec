//! Which field of a message stands where once it is sealed.
//!
//! Outside stands only what mail needs on its way and what threads it, written anew (see `shown`);
//! everything else is inside only, and there all of it is as it was. That is stricter than
//! `hcp_baseline`: programs put the subject into more places than Subject (Thread-Topic), and names
//! of programs, hosts, lists and languages are nobody's business. Nothing on the way needs to know
//! that a message was resent or is a list's, and who reads it finds that inside.
//!
//! # Standards
//! RFC 9788 §2.2 (HP-Outer), §3 (header confidentiality); RFC 9787 §1.1.1 (structural fields);
//! RFC 5322 §2.1.1 (lines of 998 octets).

use super::{pad, shown};
use crate::mail::header;

/// Octets of a line outside, without its end (RFC 5322 §2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// What stands in the place of a subject (RFC 9788 §3.2.1).
const HIDDEN_SUBJECT: &[u8] = b" [...]";

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
    let (mut content_type, mut accepted) = (None, None);
    for field in header::fields(block) {
        let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
        let prefixed = |prefix: &str| name.starts_with(prefix);
        match name.as_str() {
            name if DROPPED.iter().any(|dropped| dropped.eq_ignore_ascii_case(name)) => {}
            _ if prefixed("arc-") => {}
            // The first is ours. What the writer's program had to say about hosts is its own.
            "received" if accepted.is_none() => {
                push(&mut parted.outer, field.name, field.body);
                accepted = field.body.rsplit(|octet| *octet == b';').next();
            }
            "mime-version" => {}
            // Of a field that stands twice the first counts, here as in every reader.
            "content-type" => drop(content_type.get_or_insert(field.body)),
            _ if prefixed("content-") => push(&mut parted.structural, field.name, field.body),
            name => {
                push(&mut parted.inner, field.name, field.body);
                let body = match name {
                    "subject" => Some(HIDDEN_SUBJECT.to_vec()),
                    // A message needs a date: of one that cannot be read, when we had it.
                    "date" => shown::date(field.body).or_else(|| shown::date(accepted?)),
                    _ => shown::body(name, field.body),
                };
                let body = body.and_then(|body| short_lines(field.name, &body));
                shown.extend(body.map(|body| (field.name, body)));
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

/// A field's body with no line above the limit: folded where there is white space. `None` if that
/// is not possible; the field then stands inside only.
fn short_lines(name: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    // A name and a colon stand in front of the first line.
    let mut column = name.len() + 2;
    for (index, line) in body.split(|octet| *octet == b'\n').enumerate() {
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
    fn what_lists_resenders_and_the_writer_s_hosts_say_stays_inside() {
        let block = "Received: by laptop (merger)\r\nList-Id: merger group <l.b.example>\r\n\
            List-Unsubscribe: <https://b.example/merger>\r\nResent-To: Boss <x@b.example>\r\n\
            Resent-Date: Wed, 25 Nov 2026 13:00:00 +0100\r\nResent-Subject: merger\r\n\
            Disposition-Notification-To: Boss <x@b.example>\r\nPrecedence: merger\r\n";
        let key = "Autocrypt: addr=a@x; keydata=\r\n yv8=\r\n";
        let parted = part(format!("{key}Received: by us\r\n{block}\r\n").as_bytes());
        let outer = format!("Received: by us\r\n{key}");
        assert_eq!(String::from_utf8(parted.outer).unwrap(), outer);
        let inner = format!("{key}{block}HP-Outer: {key}");
        assert_eq!(String::from_utf8(parted.inner).unwrap(), inner);
    }

    #[test]
    fn what_is_shown_is_written_anew_outside_and_stays_as_it_was_inside() {
        let block = "Date: Wed, 25 Nov 2026 13:00:00 +0100 (merger)\r\n\
            Message-ID: <2@x> (merger)\r\nReferences: (the merger) <1@x>\r\n\
            In-Reply-To: Your message about \"the merger\" <1@x>\r\n\
            Auto-Submitted: no (layoffs)\r\n";
        let parted = part(format!("{block}\r\n").as_bytes());
        let outer = "Date: Wed, 25 Nov 2026 12:00:00 +0000\r\nMessage-ID: <2@x>\r\n\
            References: <1@x>\r\nIn-Reply-To: <1@x>\r\nAuto-Submitted: no\r\n";
        assert_eq!(String::from_utf8(parted.outer).unwrap(), outer);
        let told: String = outer.lines().map(|line| format!("HP-Outer: {line}\r\n")).collect();
        assert_eq!(String::from_utf8(parted.inner).unwrap(), format!("{block}{told}"));
    }

    #[test]
    fn a_date_that_is_none_is_when_the_message_was_accepted() {
        let received = "Received: by us\r\n\tid 1; Wed, 25 Nov 2026 12:00:00 +0000\r\n";
        let parted = part(format!("{received}Date: merger day\r\n\r\n").as_bytes());
        let outer = format!("{received}Date: Wed, 25 Nov 2026 12:00:00 +0000\r\n");
        assert_eq!(String::from_utf8(parted.outer).unwrap(), outer);
        assert!(parted.inner.starts_with(b"Date: merger day\r\nHP-Outer: Date: Wed,"));
        assert!(part(b"Date: merger day\r\n\r\n").outer.is_empty());
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
