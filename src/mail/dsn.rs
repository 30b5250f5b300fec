//! Reports about deliveries, written: what went wrong, what takes long, what was handed on.
//!
//! A report has three parts: words for a person, fields for a program, and of the message what may
//! be shown. Whether anything of it may is the caller's to decide; [`Original::Named`] shows its
//! Message-ID alone. What other servers said is theirs: it is made printable and bounded here, and
//! no line of it can become a field or end a part.
//!
//! # Standards
//! RFC 3462 (multipart/report), RFC 3464 (delivery-status), RFC 3461 §6 (what a report holds), RFC
//! 3834 (Auto-Submitted), RFC 6533 §3 (addresses that are not ASCII).

use super::address::Address;
use super::{DateTime, header};
use crate::base::clock::UnixTime;
use std::fmt::Write;

/// Octets of one text of another server in a report.
const TEXT_BYTES_MAX: usize = 512;

/// Octets of the original's header block that are shown.
const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// Octets of an original that is shown whole; of a larger one only its headers are.
const ORIGINAL_BYTES_MAX: usize = 256 * 1024;

/// Octets of a Message-ID that is shown (RFC 5322 §2.1.1: a line).
const MESSAGE_ID_BYTES_MAX: usize = 998 - 16;

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was given up.
    Failure,
    /// It takes long.
    Delay,
    /// It is kept until somebody decides.
    Hold,
    /// It was handed to a server that makes no reports (RFC 3461 §5.2.2).
    Relayed,
    /// It is in a mailbox here.
    Delivered,
}

/// A report to be written.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// What it says.
    pub kind: Kind,
    /// The name of this server.
    pub server: &'a str,
    /// Who is told.
    pub to: &'a Address,
    /// Now.
    pub now: UnixTime,
    /// When the message came.
    pub arrival: UnixTime,
    /// Until when it is tried.
    pub retry_until: Option<UnixTime>,
    /// What the queue calls the message.
    pub queue_id: &'a str,
    /// ENVID as it was given, in xtext.
    pub envelope_id: Option<&'a str>,
    /// Letters and digits that nobody could foresee: Message-ID and boundary are made of them.
    pub token: &'a str,
    /// Whom it is about.
    pub recipients: Vec<Recipient<'a>>,
    /// What is shown of the message.
    pub original: Original<'a>,
}

/// One recipient in a [`Report`].
#[derive(Clone, Debug)]
pub struct Recipient<'a> {
    /// The address.
    pub address: &'a Address,
    /// ORCPT as it was given: `type;xtext`.
    pub original: Option<&'a str>,
    /// The enhanced status code (RFC 3463).
    pub status: &'a str,
    /// The server that said so, if one did.
    pub host: Option<&'a str>,
    /// What it said, or our sentence.
    pub text: &'a str,
}

/// What of the original is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original<'a> {
    /// The Message-ID of this message, nothing else.
    Named(&'a [u8]),
    /// Its headers.
    Headers(&'a [u8]),
    /// All of it, if it is not too large.
    Whole(&'a [u8]),
}

/// The report as a message: CRLF line ends, with the Return-Path that a receiver would write.
pub fn write(report: &Report<'_>) -> Vec<u8> {
    let boundary = format!("=_{}", report.token);
    let mut out = head(report, &boundary).into_bytes();
    let mut part = |kind: &str, encoding: &str, body: &[u8]| {
        let fields = format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n");
        out.extend_from_slice(format!("--{boundary}\r\n{fields}\r\n").as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    };
    part("text/plain; charset=utf-8", "8bit", words(report).as_bytes());
    part("message/delivery-status", "7bit", status(report).as_bytes());
    let headers = |message: &[u8]| clean_headers(message);
    match report.original {
        Original::Whole(message) if message.len() <= ORIGINAL_BYTES_MAX => {
            part("message/rfc822", "8bit", message);
        }
        Original::Whole(message) | Original::Headers(message) => {
            part("text/rfc822-headers", "8bit", &headers(message));
        }
        Original::Named(message) => {
            part("text/rfc822-headers", "7bit", message_id(message).as_bytes());
        }
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    out
}

fn head(report: &Report<'_>, boundary: &str) -> String {
    let subject = match report.kind {
        Kind::Failure => "Your message could not be delivered",
        Kind::Delay => "Your message is delayed",
        Kind::Hold => "Your message is held",
        Kind::Relayed => "Your message was handed on",
        Kind::Delivered => "Your message was delivered",
    };
    let date = date(report.now);
    let Report { server, token, to, .. } = report;
    format!(
        "Return-Path: <>\r\n\
         From: Mail Delivery System <MAILER-DAEMON@{server}>\r\n\
         To: <{to}>\r\n\
         Subject: {subject}\r\n\
         Date: {date}\r\n\
         Message-ID: <{token}@{server}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\
         \tboundary=\"{boundary}\"\r\n\r\n"
    )
}

/// The part for a person.
fn words(report: &Report<'_>) -> String {
    let id = report.queue_id;
    let mut out = match report.kind {
        Kind::Failure => "Your message could not be delivered to the recipients below, and will \
                          not be tried\r\nagain for them.\r\n"
            .to_owned(),
        Kind::Delay => {
            let until = report.retry_until.map(|until| format!(" until {}", date(until)));
            let until = until.unwrap_or_default();
            format!(
                "Your message could not be delivered yet to the recipients below. It is tried \
                 again{until}.\r\nThere is nothing that you have to do.\r\n"
            )
        }
        Kind::Hold => format!(
            "Your message is held, and was not sent to the recipients below. Who administers the \
             server can\r\nlet it go to them, unencrypted where that cannot be mended, or take it \
             away:\r\n\r\n    \
             postseal queue release {id}\r\n    postseal queue delete {id}\r\n"
        ),
        Kind::Delivered => {
            "Your message has reached the mailboxes of the recipients below.\r\n".to_owned()
        }
        Kind::Relayed => "Your message was handed on for the recipients below, to servers that \
                          make no reports of\r\ntheir own. This is the last that is known of it \
                          here.\r\n"
            .to_owned(),
    };
    for Recipient { address, status, host, text, .. } in &report.recipients {
        let text = printable(text);
        let said = match host {
            Some(host) => format!("{} said: {text}", printable(host)),
            None => text,
        };
        let _ = write!(out, "\r\n<{address}>\r\n    {said} ({})\r\n", status_code(status, report));
    }
    let _ = write!(out, "\r\nThe message came on {}.\r\n", date(report.arrival));
    out
}

/// The part for a program (RFC 3464 §2).
fn status(report: &Report<'_>) -> String {
    let mut out = String::new();
    let mut field = |name: &str, value: &str| {
        let value: String = value.chars().map(ascii).collect();
        let _ = write!(out, "{name}: {value}\r\n");
    };
    if let Some(id) = report.envelope_id {
        field("Original-Envelope-Id", &xtext(id));
    }
    field("Reporting-MTA", &format!("dns; {}", report.server));
    field("Arrival-Date", &date(report.arrival));
    for recipient in &report.recipients {
        out.push_str("\r\n");
        recipient_status(&mut out, recipient, report);
    }
    out
}

fn recipient_status(out: &mut String, recipient: &Recipient<'_>, report: &Report<'_>) {
    let mut field = |name: &str, value: &str| {
        let value: String = value.chars().map(ascii).collect();
        let _ = write!(out, "{name}: {value}\r\n");
    };
    if let Some((kind, address)) = recipient.original.and_then(|text| text.split_once(';')) {
        // RFC 6533 §3: an address of type utf-8 stays in its encoded form.
        let is_utf8 = kind.eq_ignore_ascii_case("utf-8");
        let address = if is_utf8 { address.to_owned() } else { xtext(address) };
        field("Original-Recipient", &format!("{kind}; {address}"));
    }
    field("Final-Recipient", &typed(recipient.address));
    field(
        "Action",
        match report.kind {
            Kind::Failure => "failed",
            Kind::Delay | Kind::Hold => "delayed",
            Kind::Relayed => "relayed",
            Kind::Delivered => "delivered",
        },
    );
    field("Status", status_code(recipient.status, report));
    if let Some(host) = recipient.host {
        field("Remote-MTA", &format!("dns; {}", printable(host)));
        field("Diagnostic-Code", &format!("smtp; {}", printable(recipient.text)));
    } else {
        field("Diagnostic-Code", &format!("x-postseal; {}", printable(recipient.text)));
    }
    field("Last-Attempt-Date", &date(report.now));
    if let (Kind::Delay, Some(until)) = (report.kind, report.retry_until) {
        field("Will-Retry-Until", &date(until));
    }
}

/// A status code as RFC 3463 §2 has it, or the most general one of its kind.
fn status_code<'a>(status: &'a str, report: &Report<'_>) -> &'a str {
    let mut numbers = status.split('.');
    let is_number = |text: &str, digits_max: usize| {
        (1..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let class = numbers.next().is_some_and(|class| matches!(class, "2" | "4" | "5"));
    let rest = (0..2).all(|_| numbers.next().is_some_and(|text| is_number(text, 3)));
    match (class && rest && numbers.next().is_none(), report.kind) {
        (true, _) => status,
        (false, Kind::Failure) => "5.0.0",
        (false, Kind::Delay | Kind::Hold) => "4.0.0",
        (false, Kind::Relayed | Kind::Delivered) => "2.0.0",
    }
}

/// RFC 3464 §2.3.2, RFC 6533 §3 (utf-8-addr-xtext).
fn typed(address: &Address) -> String {
    let text = address.to_string();
    if text.is_ascii() {
        return format!("rfc822; {text}");
    }
    let mut out = "utf-8; ".to_owned();
    for c in text.chars() {
        match c {
            '!'..='~' if !matches!(c, '+' | '=' | '\\') => out.push(c),
            _ => drop(write!(out, "\\x{{{:X}}}", u32::from(c))),
        }
    }
    out
}

/// Decodes xtext (RFC 3461 §4); what is none, or holds what is not printable, stays as it is.
fn xtext(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '+' {
            out.push(c);
            continue;
        }
        let octet = rest.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match octet {
            Some(octet @ 0x20..=0x7e) => {
                out.push(char::from(octet));
                rest = &rest[2..];
            }
            _ => return text.to_owned(),
        }
    }
    out
}

fn date(at: UnixTime) -> String {
    DateTime::from_unix(at, 0).to_rfc5322()
}

/// One line of bounded length.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}

fn ascii(c: char) -> char {
    if matches!(c, ' '..='~') { c } else { '?' }
}

/// The header block as it is, as far as whole fields fit.
fn clean_headers(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in header::fields(&message[..header::header_bytes(message)]) {
        if out.len() + field.raw.len() > HEADERS_BYTES_MAX {
            break;
        }
        out.extend_from_slice(field.raw);
    }
    out
}

/// The Message-ID field alone, if there is one that is plain.
fn message_id(message: &[u8]) -> String {
    let block = &message[..header::header_bytes(message)];
    let field = header::fields(block).find(|field| field.is("Message-ID"));
    let body = field.map(|field| header::unfold(field.body)).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    let is_id = text.starts_with('<')
        && text.ends_with('>')
        && text.len() <= MESSAGE_ID_BYTES_MAX
        && text.bytes().all(|octet| octet.is_ascii_graphic());
    if is_id { format!("Message-ID: {text}\r\n") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MESSAGE: &[u8] = b"From: ann@a.example\r\nSubject: a canary\r\n\tfolded\r\n\
        Message-ID:\r\n <1@a.example>\r\n\r\nthe body\r\n";

    fn report<'a>(
        kind: Kind,
        to: &'a Address,
        original: Original<'a>,
        text: &'a str,
    ) -> Report<'a> {
        let recipient = Recipient {
            address: to,
            original: Some("rfc822;Bob+2Bx@B.example"),
            status: "5.1.1",
            host: Some("mx.b.example"),
            text,
        };
        Report {
            kind,
            server: "mail.a.example",
            to,
            now: UnixTime(880_127_706),
            arrival: UnixTime(880_027_706),
            retry_until: Some(UnixTime(880_427_706)),
            queue_id: "00AB",
            envelope_id: Some("QQ+3D1"),
            token: "0123abcd",
            recipients: vec![recipient],
            original,
        }
    }

    fn text(kind: Kind, original: Original<'_>) -> String {
        let to: Address = "ann@a.example".parse().unwrap();
        String::from_utf8(write(&report(kind, &to, original, "550 5.1.1 nobody"))).unwrap()
    }

    #[test]
    fn a_failure_says_who_why_and_what() {
        let text = text(Kind::Failure, Original::Headers(MESSAGE));
        for part in [
            "Return-Path: <>\r\nFrom: Mail Delivery System <MAILER-DAEMON@mail.a.example>\r\n",
            "\r\nAuto-Submitted: auto-replied\r\n",
            "multipart/report; report-type=delivery-status;\r\n\tboundary=\"=_0123abcd\"\r\n\r\n",
            "<ann@a.example>\r\n    mx.b.example said: 550 5.1.1 nobody (5.1.1)\r\n",
            "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
             Original-Envelope-Id: QQ=1\r\nReporting-MTA: dns; mail.a.example\r\n\
             Arrival-Date: Thu, 20 Nov 1997 12:08:26 +0000\r\n\r\n\
             Original-Recipient: rfc822; Bob+x@B.example\r\n\
             Final-Recipient: rfc822; ann@a.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Remote-MTA: dns; mx.b.example\r\nDiagnostic-Code: smtp; 550 5.1.1 nobody\r\n",
            "Content-Type: text/rfc822-headers\r\n",
            "Subject: a canary\r\n\tfolded\r\n",
        ] {
            assert!(text.contains(part), "{part}\n in \n{text}");
        }
        assert!(!text.contains("the body"));
        assert!(text.ends_with("\r\n--=_0123abcd--\r\n"));
    }

    #[test]
    fn of_a_confidential_message_the_name_alone_is_shown() {
        let text = text(Kind::Failure, Original::Named(MESSAGE));
        assert!(text.contains("\r\n\r\nMessage-ID: <1@a.example>\r\n\r\n--="), "{text}");
        assert!(!text.contains("canary") && !text.contains("the body") && !text.contains("folded"));
    }

    #[test]
    fn the_whole_message_is_shown_where_it_may_be_and_is_not_too_large() {
        assert!(text(Kind::Delay, Original::Whole(MESSAGE)).contains("the body"));
        let large = [MESSAGE, &vec![b'x'; ORIGINAL_BYTES_MAX]].concat();
        let text = text(Kind::Delay, Original::Whole(&large));
        assert!(text.contains("a canary") && !text.contains("the body"));
    }

    #[test]
    fn each_kind_has_its_action_and_words() {
        for (kind, action, words) in [
            (Kind::Failure, "Action: failed", "not be tried\r\nagain"),
            (Kind::Delay, "Action: delayed", "until Tue, 25 Nov 1997"),
            (Kind::Hold, "Action: delayed", "postseal queue release 00AB"),
            (Kind::Relayed, "Action: relayed", "handed on"),
            (Kind::Delivered, "Action: delivered", "has reached"),
        ] {
            let text = text(kind, Original::Named(MESSAGE));
            assert!(text.contains(action) && text.contains(words), "{text}");
            assert_eq!(text.contains("Will-Retry-Until: "), kind == Kind::Delay);
        }
    }

    #[test]
    fn addresses_that_are_not_ascii_are_written_as_rfc_6533_has_them() {
        let to: Address = "\"jö+\"@b.example".parse().unwrap();
        assert_eq!(typed(&to), "utf-8; j\\x{F6}\\x{2B}@b.example");
    }

    #[test]
    fn codes_that_are_none_become_general_ones() {
        let to: Address = "ann@a.example".parse().unwrap();
        let report = report(Kind::Failure, &to, Original::Named(b""), "x");
        for (given, told) in
            [("5.1.1", "5.1.1"), ("4.4.7", "4.4.7"), ("550", "5.0.0"), ("5.1.1\r\nX: y", "5.0.0")]
        {
            assert_eq!(status_code(given, &report), told);
        }
    }

    /// What a server might say to have a line of a report taken for another.
    const SAID: &str = "\\PC{0,50}|[\r\n:\\-=_a ]{0,80}|(\r\n--=_0123abcd){3}";

    proptest! {
        /// Whatever a server says, no line of it becomes a field or a boundary.
        #[test]
        fn texts_stay_in_their_lines(said in SAID) {
            let to: Address = "ann@a.example".parse().unwrap();
            let plain = write(&report(Kind::Failure, &to, Original::Named(MESSAGE), "x"));
            let mut told = report(Kind::Failure, &to, Original::Named(MESSAGE), &said);
            told.recipients[0].host = Some(&said);
            let told = write(&told);
            let lines = |text: &[u8]| text.split(|octet| *octet == b'\n').count();
            prop_assert_eq!(lines(&plain), lines(&told));
            prop_assert!(!told.contains(&0));
        }

        #[test]
        fn any_message_can_be_named(message in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(message_id(&message).is_ascii());
            let _ = clean_headers(&message);
        }

        #[test]
        fn any_xtext_is_decoded_or_kept(text in "[+0-9A-F a-zü]{0,20}") {
            let _ = xtext(&text);
        }
    }
}
