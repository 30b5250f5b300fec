//! Header blocks written anew: folded where a line is too long, with another transfer encoding.
//!
//! A fold before white space that is there already means nothing (RFC 5322 §2.2.3). Where there is
//! none, fields with lists get a blank behind a comma or semicolon, and a Subject encoded words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Flaws, LINE_BYTES_MAX, Unfit};
use crate::mail::header::{Field, fields, line_of, unfold, without_end};

/// Where lines are folded if there is a choice (RFC 5322 §2.1.1).
const LINE_BYTES: usize = 78;

/// Octets of text in one encoded word: 72 octets with what stands around them (RFC 2047 §2: 75).
const WORD_OCTETS: usize = 45;

/// Fields made of lists: a blank behind a comma or semicolon outside quotes means nothing in them.
const LISTS: [&str; 16] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Mail-Followup-To",
    "Disposition-Notification-To",
    "Content-Type",
    "Content-Disposition",
    "Autocrypt",
    "Keywords",
    "Received",
];

/// The transfer encoding that a part gets.
#[derive(Clone, Copy)]
pub struct NewEncoding {
    /// The word for it.
    pub word: &'static str,
    /// The header is the message's: it must say that MIME is meant (RFC 2045 §4).
    pub top: bool,
}

/// Writes a header block with the empty line that ends it, if it has one.
pub fn block(block: &[u8], new: Option<NewEncoding>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let mut version = false;
    for field in fields(block) {
        version |= field.is("MIME-Version");
        if new.is_none() || !field.is("Content-Transfer-Encoding") {
            write_field(field, out)?;
        }
    }
    if let Some(NewEncoding { word, top }) = new {
        if top && !version {
            out.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        out.extend_from_slice(format!("Content-Transfer-Encoding: {word}\r\n").as_bytes());
    }
    // Encoded text could look like a field: the empty line must be there.
    if new.is_some() || ends_in_empty_line(block) {
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

fn ends_in_empty_line(block: &[u8]) -> bool {
    let before = block.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest));
    before.is_some_and(|before| before.is_empty() || before.ends_with(b"\n"))
}

fn write_field(field: Field<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let flaws = Flaws::of(field.raw);
    if flaws.nul {
        return Err(Unfit::Header);
    }
    if !flaws.any() {
        out.extend_from_slice(field.raw);
        if !field.raw.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
        return Ok(());
    }
    let start = out.len();
    let mut folder = Folder { list: LISTS.iter().any(|name| field.is(name)), quoted: false, out };
    match folder.lines(field) {
        Err(_) if field.is("Subject") => {
            out.truncate(start);
            encoded_subject(field, out)
        }
        done => done,
    }
}

struct Folder<'a> {
    list: bool,
    /// Whether a quoted string is open where the next line starts.
    quoted: bool,
    out: &'a mut Vec<u8>,
}

impl Folder<'_> {
    fn lines(&mut self, field: Field<'_>) -> Result<(), Unfit> {
        let mut rest = field.raw;
        let mut least = rest.iter().position(|octet| *octet == b':').unwrap_or(0) + 1;
        while !rest.is_empty() {
            let line = line_of(rest);
            rest = &rest[line.len()..];
            let text: Vec<u8> = without_end(line)
                .iter()
                .map(|octet| if *octet == b'\r' { b' ' } else { *octet })
                .collect();
            self.line(&text, least)?;
            least = 0;
        }
        Ok(())
    }

    /// Writes a line, folded where it is too long. The first `least` octets stay together.
    fn line(&mut self, text: &[u8], mut least: usize) -> Result<(), Unfit> {
        let (mut rest, mut bytes_max) = (text, LINE_BYTES_MAX);
        while rest.len() > bytes_max {
            let (end, blank) = match (blank_in(rest, least, bytes_max), self.list) {
                (Some(at), _) => (at, false),
                (None, true) => (self.separator_in(rest, bytes_max).ok_or(Unfit::Header)?, true),
                (None, false) => return Err(Unfit::Header),
            };
            let (piece, behind) = rest.split_at(end);
            self.emit(piece);
            (rest, least, bytes_max) = (behind, 0, LINE_BYTES_MAX);
            if blank && !behind.starts_with(b" ") {
                self.out.push(b' ');
                bytes_max -= 1;
            }
        }
        self.emit(rest);
        Ok(())
    }

    fn emit(&mut self, piece: &[u8]) {
        self.quoted = quoted_behind(piece, self.quoted);
        self.out.extend_from_slice(piece);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Behind the last comma or semicolon outside quotes.
    fn separator_in(&self, text: &[u8], bytes_max: usize) -> Option<usize> {
        let (mut quoted, mut escaped, mut found) = (self.quoted, false, None);
        for (at, octet) in text.iter().enumerate().take(bytes_max) {
            match octet {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' | b';' if !quoted && at + 1 < text.len() => found = Some(at + 1),
                _ => {}
            }
        }
        found
    }
}

/// A blank that a fold can stand before: the last one within 78 octets, or else the first within
/// 998. Text stands on both sides of it, for a line of nothing but blanks may be taken for the end
/// of the header.
fn blank_in(text: &[u8], least: usize, bytes_max: usize) -> Option<usize> {
    let is_blank = |octet: u8| matches!(octet, b' ' | b'\t');
    let first = least + text[least..].iter().take_while(|octet| is_blank(**octet)).count();
    let fits = |at: &usize| {
        is_blank(text[*at]) && text.get(at + 1).is_some_and(|behind| !is_blank(*behind))
    };
    let near = (first..text.len().min(LINE_BYTES + 1)).rev().find(fits);
    near.or_else(|| (first..text.len().min(bytes_max + 1)).find(fits))
}

fn quoted_behind(text: &[u8], mut quoted: bool) -> bool {
    let mut escaped = false;
    for octet in text {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    quoted
}

/// A Subject without a blank to fold at, as encoded words.
fn encoded_subject(field: Field<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let text = unfold(field.body);
    let text = std::str::from_utf8(&text).map_err(|_| Unfit::Header)?;
    if text.contains("=?") {
        return Err(Unfit::Header);
    }
    out.extend_from_slice(b"Subject:");
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(WORD_OCTETS);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (word, behind) = rest.split_at(end);
        out.extend_from_slice(format!(" =?utf-8?B?{}?=\r\n", STANDARD.encode(word)).as_bytes());
        rest = behind;
    }
    Ok(())
}
