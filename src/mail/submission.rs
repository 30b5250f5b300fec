//! What the header of a user's own message must be before it goes out (RFC 6409 §6 and §8).
//!
//! [`authors`] says who the message claims to be from, read strictly: what two programs might read
//! differently is refused, because one of them would show a name that was never checked.
//! [`header`] writes the header anew: blind copies out, what is missing in, what tells of the
//! writer's machine out. The content behind the header is not looked at.
//!
//! What a DKIM signature of the writer's program covers is left as it is, but for blind copies.
//!
//! # Standards
//! RFC 5322 §3.6 (which fields, and how often), §3.6.2 (From and Sender), §3.6.3 (Bcc), §3.6.7
//! (Return-Path); RFC 6376 §3.5 (`h=`); RFC 8601 §5 (forged Authentication-Results).
//!
//! # Known gaps
//! A Message-ID that the program made keeps the name of the machine it may hold, because its own
//! copy of the message has the same one.

use std::collections::BTreeSet;

use super::address::Address;
use super::date::DateTime;
use super::forged::is_forged;
use super::header::{Field, fields, header_bytes, unfold, write};
use super::limits::{ADDRESSES_MAX, COMMENT_DEPTH_MAX};
use crate::base::clock::UnixTime;

/// Fields that a message has at most once: RFC 5322 §3.6, and those of MIME, where readers differ
/// about which of two counts. Bcc is not among them, for it is taken out.
const ONCE: [&str; 15] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "Content-ID",
];

/// Who sends on what another wrote (RFC 5322 §3.6.6).
const RESENT: [&str; 2] = ["Resent-From", "Resent-Sender"];

/// Who a message claims to be from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authors {
    /// The addresses of From; none if there is no such field.
    pub from: Vec<Address>,
    /// The address of Sender, where there is one.
    pub sender: Option<Address>,
    /// The addresses of Resent-From and Resent-Sender, of which there may be several (§3.6.6).
    pub resent: Vec<Address>,
}

/// What is wrong with a header. Its `Display` is a sentence for the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A field stands twice.
    Twice(&'static str),
    /// This field holds no address, or something that can be read in two ways.
    Unclear(&'static str),
    /// The header ends at this line, the first being 1, and a blind copy stands below it.
    BlindBelow(usize),
    /// From has several addresses, and there is no Sender (RFC 5322 §3.6.2).
    SenderMissing,
}

/// Reads who `message` claims to be from.
pub fn authors(message: &[u8]) -> Result<Authors, Fault> {
    no_blind_copy_below(message)?;
    let mut seen = [false; ONCE.len()];
    let mut authors = Authors::default();
    for field in fields(message) {
        for name in RESENT.iter().filter(|name| field.is(name)) {
            authors.resent.extend(mailboxes(field.body).ok_or(Fault::Unclear(name))?);
        }
        let Some(at) = ONCE.iter().position(|name| field.is(name)) else { continue };
        if std::mem::replace(&mut seen[at], true) {
            return Err(Fault::Twice(ONCE[at]));
        }
        match ONCE[at] {
            "From" => {
                authors.from = mailboxes(field.body)
                    .filter(|all| !all.is_empty())
                    .ok_or(Fault::Unclear("From"))?;
            }
            "Sender" => {
                let mut all = mailboxes(field.body).ok_or(Fault::Unclear("Sender"))?;
                authors.sender = all.pop().filter(|_| all.is_empty());
                authors.sender.as_ref().ok_or(Fault::Unclear("Sender"))?;
            }
            _ => {}
        }
    }
    match authors.from.len() > 1 && authors.sender.is_none() {
        true => Err(Fault::SenderMissing),
        false => Ok(authors),
    }
}

/// A line that is no field ends the header, and what follows is text for all to read. Where a Bcc
/// field is among it before an empty line comes, the writer's program took it for the header still.
/// Anything else there is let pass: text without an empty line in front, as scripts write it, may
/// begin with lines like `Note: x` or a quoted `From: x`, and nobody is harmed by what it says.
fn no_blind_copy_below(message: &[u8]) -> Result<(), Fault> {
    let end = header_bytes(message);
    let (header, below) = message.split_at(end);
    let is_empty = |line: &[u8]| matches!(line, b"\n" | b"\r\n");
    if header.split_inclusive(|octet| *octet == b'\n').next_back().is_some_and(is_empty) {
        return Ok(());
    }
    let lines = below.split_inclusive(|octet| *octet == b'\n');
    match lines.take_while(|line| !is_empty(line)).any(is_blind_copy) {
        true => Err(Fault::BlindBelow(1 + memchr::memchr_iter(b'\n', header).count())),
        false => Ok(()),
    }
}

/// Whether a line would be a field of blind copies, were it not for blanks in front.
fn is_blind_copy(line: &[u8]) -> bool {
    fields(line.trim_ascii_start())
        .next()
        .is_some_and(|field| field.is("Bcc") || field.is("Resent-Bcc"))
}

/// What [`header`] needs to know.
#[derive(Clone, Debug)]
pub struct Additions<'a> {
    /// Whom a message without From is from.
    pub from: &'a Address,
    /// What goes between the brackets of a missing Message-ID.
    pub message_id: &'a str,
    /// Now, for a missing Date.
    pub now: UnixTime,
    /// The server's own name: results of checks that claim to be its are taken out.
    pub hostname: &'a str,
    /// Names of fields to take out.
    pub strip: &'a [String],
    /// Whether Date is written in UTC, so that it does not tell where the writer is.
    pub utc_date: bool,
}

/// The header that `message` goes out with, the empty line included, and how many octets of
/// `message` it stands for. What is missing stands in front.
pub fn header(message: &[u8], additions: &Additions<'_>) -> (Vec<u8>, usize) {
    let taken = header_bytes(message);
    let block = &message[..taken];
    let signed = signed_names(block);
    let has = |name: &str| fields(block).any(|field| field.is(name));
    let mut out = Vec::with_capacity(taken + 256);
    let mut add = |name: &str, value: String| {
        if !has(name) {
            // None of the values can hold what the writer refuses.
            let written = write(&mut out, name, value.as_bytes());
            debug_assert!(written.is_ok());
        }
    };
    add("Date", DateTime::from_unix(additions.now, 0).to_rfc5322());
    add("From", format!("<{}>", additions.from));
    add("Message-ID", format!("<{}>", additions.message_id));
    for field in fields(block) {
        if is_taken_out(field, additions, &signed) {
            continue;
        }
        match utc(field).filter(|_| additions.utc_date && !signed.contains("date")) {
            Some(date) => drop(write(&mut out, "Date", date.as_bytes())),
            None => out.extend_from_slice(field.raw),
        }
        if !out.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    // Also where there was none: what follows must not be taken for fields.
    out.extend_from_slice(b"\r\n");
    (out, taken)
}

fn is_taken_out(field: Field<'_>, additions: &Additions<'_>, signed: &BTreeSet<String>) -> bool {
    let stripped = additions.strip.iter().find(|name| field.is(name));
    field.is("Bcc")
        || field.is("Resent-Bcc")
        || field.is("Return-Path")
        || is_forged(field.raw, additions.hostname)
        || stripped.is_some_and(|name| !signed.contains(&name.to_ascii_lowercase()))
}

/// A Date field in UTC, if it is one and is not in it yet.
fn utc(field: Field<'_>) -> Option<String> {
    let date = DateTime::parse_rfc5322(field.body).filter(|_| field.is("Date"))?;
    let written = DateTime::from_unix(date.unix(), 0).to_rfc5322();
    (unfold(field.body) != written.as_bytes()).then_some(written)
}

/// The fields that DKIM signatures cover, in lower case.
fn signed_names(block: &[u8]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for field in fields(block).filter(|field| field.is("DKIM-Signature")) {
        let text = unfold(field.body);
        for tag in text.split(|octet| *octet == b';') {
            if let Some(names) = tag.trim_ascii().strip_prefix(b"h") {
                let Some(names) = names.trim_ascii_start().strip_prefix(b"=") else { continue };
                let names = names.split(|octet| *octet == b':').map(<[u8]>::trim_ascii);
                out.extend(names.map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()));
            }
        }
    }
    out
}

/// The addresses of a list of mailboxes (RFC 5322 §3.4), or nothing if the list holds anything
/// that could be read in another way: groups, routes, unclosed quotes, text behind an address, a
/// second address in a name.
pub fn mailboxes(body: &[u8]) -> Option<Vec<Address>> {
    let (mut out, mut item, mut at) = (Vec::new(), Mailbox::default(), 0);
    while let Some(octet) = body.get(at) {
        let rest = &body[at..];
        at += match octet {
            b'(' => {
                // A comment parts words as a blank does.
                item.text(b" ")?;
                comment(rest)?
            }
            b'"' => item.text(quoted(rest)?)?,
            b'<' => item.angle(rest)?,
            b',' => {
                out.push(std::mem::take(&mut item).address()?);
                1
            }
            b':' | b';' | b'>' | b')' | b'\\' | 0 => return None,
            _ => item.text(&rest[..1])?,
        };
        if out.len() > ADDRESSES_MAX {
            return None;
        }
    }
    out.push(item.address()?);
    Some(out)
}

/// What has been read of one mailbox.
#[derive(Default)]
struct Mailbox {
    /// What stands outside brackets and comments, quotes as written.
    outside: Vec<u8>,
    angle: Option<Address>,
    /// There is an `@` outside quotes and brackets.
    at_sign: bool,
}

impl Mailbox {
    /// Takes text, and says how many octets that is.
    fn text(&mut self, text: &[u8]) -> Option<usize> {
        let blank = text.iter().all(|octet| b" \t\r\n".contains(octet));
        if self.angle.is_some() && !blank {
            return None;
        }
        self.at_sign |= text == b"@";
        // A fold is one blank.
        self.outside.extend(text.iter().filter(|octet| !b"\r\n".contains(octet)));
        Some(text.len())
    }

    /// Takes `<address>`.
    fn angle(&mut self, rest: &[u8]) -> Option<usize> {
        let (mut at, mut end) = (1, None);
        while let Some(octet) = rest.get(at) {
            at += match octet {
                b'"' => quoted(&rest[at..])?.len(),
                b'>' => {
                    end = Some(at);
                    break;
                }
                _ => 1,
            };
        }
        let end = end?;
        if self.angle.is_some() {
            return None;
        }
        self.angle = Some(Address::parse(rest[1..end].trim_ascii()).ok()?);
        Some(end + 1)
    }

    fn address(self) -> Option<Address> {
        let outside = self.outside.trim_ascii();
        match self.angle {
            None => Address::parse(outside).ok(),
            // `a@b.example <a@b.example>` is wrong and common; it is clear enough.
            Some(angle) if self.at_sign => {
                Address::parse(outside).ok().filter(|other| *other == angle)
            }
            Some(angle) => Some(angle),
        }
    }
}

/// The quoted string at the start of `text`, if it ends.
pub(super) fn quoted(text: &[u8]) -> Option<&[u8]> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(&text[..=at]),
            b'\\' => at += 2,
            0 => return None,
            _ => at += 1,
        }
    }
}

/// How many octets the comment at the start of `text` takes, if it ends.
pub(super) fn comment(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    loop {
        match text.get(at)? {
            b'(' if depth == COMMENT_DEPTH_MAX => return None,
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'\\' => at += 1,
            0 => return None,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Twice(name) => write!(f, "The message has more than one {name} field"),
            Fault::Unclear(name) => {
                write!(f, "The {name} field does not hold plain addresses, each clear")
            }
            Fault::BlindBelow(line) => {
                write!(f, "Line {line} is no header field, and a Bcc field stands below it")
            }
            Fault::SenderMissing => {
                f.write_str("From has several addresses, so there must be a Sender field")
            }
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests;
