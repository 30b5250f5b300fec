//! Takes a message apart in one pass: every octet is looked at a bounded number of times, whatever
//! the nesting, because one set of boundaries serves all open multiparts at once.
//!
//! The scanner walks line by line. In a header it looks for the header's end, in a body for a
//! delimiter of any open multipart; a delimiter closes all that is open inside its multipart. A
//! delimiter is a whole line (RFC 2046 §5.1.1) but for white space at its end, so that a boundary
//! which is a prefix of another is not mistaken for it.
//!
//! What cannot be told apart is kept whole: a multipart without a usable boundary or without any
//! part is shown as text/plain (RFC 2045 §5.2), what lies beyond the limits of [`super::limits`]
//! and a nested message that is base64 or quoted-printable as application/octet-stream.
//!
//! # Known gaps
//! Text behind a boundary on the delimiter's line is not accepted as transport padding.

use std::collections::BTreeMap;
use std::ops::Range;

use super::envelope::Envelope;
use super::header::{Field, LineKind, classify, fields, line_of, unfold, without_end};
use super::limits::{
    ADDRESSES_MAX, BOUNDARY_BYTES_MAX, HEADER_FIELDS_MAX, HEADER_INTERPRETED_BYTES_MAX,
    NESTING_DEPTH_MAX, PARTS_MAX,
};
use super::structure::{Content, Encoding, Part, Span, Structure};
use super::{addrlist, mime};

/// What [`analyse`] found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Analysis {
    /// Octets of the header block, the empty line that ends it included.
    pub header_bytes: usize,
    /// The message's envelope.
    pub envelope: Envelope,
    /// Its parts.
    pub structure: Structure,
}

/// Takes `message` apart. Total: any octets give an analysis. Of a message above 4 GiB only the
/// first 4 GiB are looked at.
pub fn analyse(message: &[u8]) -> Analysis {
    let message = &message[..message.len().min(u32::MAX as usize)];
    let mut scanner = Scanner::new(message);
    scanner.run();
    Analysis {
        header_bytes: scanner.parts[0].header.len(),
        envelope: scanner.envelope,
        structure: Structure { parts: scanner.parts },
    }
}

struct Scanner<'a> {
    message: &'a [u8],
    /// Where the current line starts, and the line ends before it.
    at: usize,
    lines: u32,
    parts: Vec<Part>,
    /// The parts that are open, outermost first; the last is the one being read.
    open: Vec<Open>,
    /// The boundary of each multipart that still has delimiters, to its index in `open`.
    boundaries: BTreeMap<Vec<u8>, usize>,
    envelope: Envelope,
    addresses_left: usize,
}

/// An open part.
struct Open {
    part: usize,
    reading: Reading,
    /// Line ends of the message before its body.
    body_lines: u32,
    boundary: Option<Boundary>,
    /// Whether parts of it are left unseparated because there are too many.
    overfull: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Header { seen_field: bool },
    Body,
}

struct Boundary {
    text: Vec<u8>,
    /// The outer multipart that had the same boundary, if any.
    hidden: Option<usize>,
}

/// What a part is before its header is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Default {
    Text,
    Message,
}

impl<'a> Scanner<'a> {
    fn new(message: &'a [u8]) -> Self {
        let mut scanner = Scanner {
            message,
            at: 0,
            lines: 0,
            parts: Vec::new(),
            open: Vec::new(),
            boundaries: BTreeMap::new(),
            envelope: Envelope::default(),
            addresses_left: ADDRESSES_MAX,
        };
        scanner.open_part();
        scanner
    }

    fn run(&mut self) {
        while self.at < self.message.len() {
            if self.boundaries.is_empty() && self.reading() == Reading::Body {
                // Nothing can end this body but the message's end.
                self.lines += memchr::memchr_iter(b'\n', &self.message[self.at..]).count() as u32;
                self.at = self.message.len();
                break;
            }
            if self.reading() == Reading::Body && !self.message[self.at..].starts_with(b"--") {
                self.skip_text();
                continue;
            }
            let line = line_of(&self.message[self.at..]);
            if !self.delimiter(line) {
                self.header_line(line);
            }
        }
        self.close_above(0, self.message.len(), self.lines);
    }

    /// Steps over the lines of a body that cannot be delimiters.
    fn skip_text(&mut self) {
        let rest = &self.message[self.at..];
        let len = memchr::memmem::find(rest, b"\n--").map_or(rest.len(), |before| before + 1);
        self.lines += memchr::memchr_iter(b'\n', &rest[..len]).count() as u32;
        self.at += len;
    }

    fn reading(&self) -> Reading {
        self.open.last().map_or(Reading::Body, |open| open.reading)
    }

    /// Handles a line that is a delimiter of an open multipart; `false` if it is none.
    fn delimiter(&mut self, line: &[u8]) -> bool {
        let Some((index, closing)) = self.find_boundary(line) else { return false };
        let full = self.parts.len() >= PARTS_MAX;
        if full && !closing {
            self.open[index].overfull = true;
            self.advance(line);
            return true;
        }
        let (end, end_lines) = self.content_end();
        self.close_above(index + 1, end, end_lines);
        self.advance(line);
        if closing {
            self.forget_boundary(index);
        } else {
            self.open_part();
        }
        true
    }

    /// The innermost open multipart whose delimiter `line` is, and whether it is the closing one.
    fn find_boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let text = line.strip_prefix(b"--")?.trim_ascii_end();
        let opening = self.boundaries.get(text).map(|index| (*index, false));
        let closing = text.strip_suffix(b"--").and_then(|text| self.boundaries.get(text));
        opening.max(closing.map(|index| (*index, true)))
    }

    /// RFC 2046 §5.1.1: the line end before a delimiter belongs to the delimiter. Where the content
    /// before this line ends, and how many line ends the message has up to there.
    fn content_end(&self) -> (usize, u32) {
        let before = &self.message[..self.at];
        let end = without_end(before).len();
        (end, self.lines - u32::from(end < self.at))
    }

    /// Takes a line that is no delimiter.
    fn header_line(&mut self, line: &[u8]) {
        let start = self.at;
        let Some(open) = self.open.last_mut() else { return self.advance(line) };
        let Reading::Header { seen_field } = open.reading else { return self.advance(line) };
        let first = start == self.parts[open.part].header.start as usize;
        match classify(line, first, seen_field) {
            LineKind::Field => {
                open.reading = Reading::Header { seen_field: true };
                self.advance(line);
            }
            LineKind::Continuation | LineKind::Mbox => self.advance(line),
            LineKind::Empty => {
                self.advance(line);
                self.end_header(self.at);
            }
            // The line is looked at again as the body's first.
            LineKind::Body => self.end_header(start),
        }
    }

    fn advance(&mut self, line: &[u8]) {
        self.at += line.len();
        self.lines += u32::from(line.ends_with(b"\n"));
    }

    /// Starts a part whose header begins here.
    fn open_part(&mut self) {
        let at = self.at as u32;
        self.open.push(Open {
            part: self.parts.len(),
            reading: Reading::Header { seen_field: false },
            body_lines: 0,
            boundary: None,
            overfull: false,
        });
        self.parts.push(empty_part(Span { start: at, end: at }));
    }

    /// The header of the innermost part ends at `end`: what it says decides how its body is read.
    fn end_header(&mut self, end: usize) {
        let depth = self.open.len();
        let default = self.default_type();
        let Some(open) = self.open.last_mut() else { return };
        let index = open.part;
        open.reading = Reading::Body;
        open.body_lines = self.lines;
        let part = &mut self.parts[index];
        part.header.end = end as u32;
        part.body = Span { start: end as u32, end: end as u32 };
        let block = part.header.range();
        self.read_header(index, block, default);
        self.descend(index, depth);
    }

    /// RFC 2046 §5.1.5: inside multipart/digest the default is message/rfc822.
    fn default_type(&self) -> Default {
        let parent = self.open.len().checked_sub(2).map(|above| self.open[above].part);
        match parent.map(|parent| &self.parts[parent]) {
            Some(parent) if parent.media_type == "multipart" && parent.subtype == "digest" => {
                Default::Message
            }
            _ => Default::Text,
        }
    }

    /// Makes the part a multipart or a nested message where it is one.
    fn descend(&mut self, index: usize, depth: usize) {
        let part = &mut self.parts[index];
        let multipart = part.media_type == "multipart";
        let message = part.media_type == "message"
            && matches!(part.subtype.as_str(), "rfc822" | "global" | "news");
        if !multipart && !message {
            return;
        }
        let encoded = matches!(part.encoding, Encoding::Base64 | Encoding::QuotedPrintable);
        let full = depth >= NESTING_DEPTH_MAX || self.parts.len() >= PARTS_MAX;
        if full || (message && encoded) {
            self.parts[index].make_opaque();
        } else if message {
            self.parts[index].content = Content::Message(Box::default());
            self.open_part();
        } else {
            match boundary_of(&self.parts[index]) {
                Some(text) => self.watch_for(text),
                None => self.parts[index].make_text(),
            }
        }
    }

    fn watch_for(&mut self, text: Vec<u8>) {
        let index = self.open.len() - 1;
        let hidden = self.boundaries.insert(text.clone(), index);
        self.parts[self.open[index].part].content = Content::Multipart;
        self.open[index].boundary = Some(Boundary { text, hidden });
    }

    fn forget_boundary(&mut self, index: usize) {
        let Some(Boundary { text, hidden }) = self.open[index].boundary.take() else { return };
        match hidden {
            Some(outer) => drop(self.boundaries.insert(text, outer)),
            None => drop(self.boundaries.remove(&text)),
        }
    }

    /// Ends all that is open from `index` inwards, innermost first.
    fn close_above(&mut self, index: usize, end: usize, end_lines: u32) {
        while self.open.len() > index {
            if self.reading() != Reading::Body {
                // The header was cut off by a delimiter or by the message's end; a part that this
                // opens is closed by the next turn. Its header ends where this line starts.
                self.end_header(self.at);
                continue;
            }
            self.forget_boundary(self.open.len() - 1);
            let Some(open) = self.open.pop() else { return };
            let entries = self.parts.len() - open.part;
            let part = &mut self.parts[open.part];
            part.body.end = part.body.start.max(end as u32);
            part.lines = end_lines.saturating_sub(open.body_lines);
            part.entries = entries as u16;
            if part.content == Content::Multipart && entries == 1 {
                if open.overfull { part.make_opaque() } else { part.make_text() }
            }
        }
    }

    /// Reads the fields of the header in `block` into the part and, for a message, its envelope.
    fn read_header(&mut self, index: usize, block: Range<usize>, default: Default) {
        let holder = self.open.len().checked_sub(2).map(|above| self.open[above].part);
        let mut envelope = match holder {
            None => Some(Envelope::default()),
            Some(above) if matches!(self.parts[above].content, Content::Message(_)) => {
                Some(Envelope::default())
            }
            _ => None,
        };
        let mut reader = HeaderReader::new(default);
        let message = self.message;
        for field in interpreted(&message[block]) {
            reader.take(&mut self.parts[index], field);
            if let Some(envelope) = &mut envelope {
                read_envelope(envelope, field, &mut self.addresses_left);
            }
        }
        reader.finish(&mut self.parts[index]);
        match (envelope, holder) {
            (Some(envelope), None) => self.envelope = envelope,
            (Some(envelope), Some(above)) => {
                self.parts[above].content = Content::Message(Box::new(envelope));
            }
            (None, _) => {}
        }
    }
}

impl Part {
    /// Shows the part as octets of which nothing is known.
    fn make_opaque(&mut self) {
        self.content = Content::Leaf;
        (self.media_type, self.subtype) = ("application".into(), "octet-stream".into());
        self.params.retain(|param| param.name != "boundary");
    }

    /// RFC 2045 §5.2: what has no usable type is plain text.
    fn make_text(&mut self) {
        self.content = Content::Leaf;
        (self.media_type, self.subtype) = ("text".into(), "plain".into());
        self.params.clear();
    }
}

fn empty_part(place: Span) -> Part {
    Part {
        content: Content::Leaf,
        entries: 1,
        media_type: "text".into(),
        subtype: "plain".into(),
        params: Vec::new(),
        id: None,
        description: None,
        encoding: Encoding::SevenBit,
        md5: None,
        disposition: None,
        languages: Vec::new(),
        location: None,
        header: place,
        body: place,
        lines: 0,
    }
}

fn boundary_of(part: &Part) -> Option<Vec<u8>> {
    let value = &part.params.iter().find(|param| param.name == "boundary")?.value;
    // RFC 2046 §5.1.1: a boundary does not end in white space; gateways add it.
    let value = value.trim_ascii_end();
    (1..=BOUNDARY_BYTES_MAX).contains(&value.len()).then(|| value.to_vec())
}

/// The fields of a header block that are within the limits.
fn interpreted(block: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut bytes = 0;
    fields(block).take(HEADER_FIELDS_MAX).take_while(move |field| {
        bytes += field.raw.len();
        bytes <= HEADER_INTERPRETED_BYTES_MAX
    })
}

/// Reads a part's MIME fields; of fields that stand twice the first counts.
struct HeaderReader {
    default: Default,
    seen_type: bool,
    seen_encoding: bool,
    typed: bool,
}

impl HeaderReader {
    fn new(default: Default) -> Self {
        HeaderReader { default, seen_type: false, seen_encoding: false, typed: false }
    }

    fn take(&mut self, part: &mut Part, field: Field<'_>) {
        if !starts_with_content(field.name) {
            return;
        }
        let text = |slot: &mut Option<Vec<u8>>| {
            slot.get_or_insert_with(|| unfold(field.body));
        };
        if field.is("Content-Type") && !std::mem::replace(&mut self.seen_type, true) {
            if let Some(read) = mime::content_type(field.body) {
                (part.media_type, part.subtype) = (read.media_type, read.subtype);
                part.params = read.params;
                self.typed = true;
            }
        } else if field.is("Content-Transfer-Encoding") && !self.seen_encoding {
            self.seen_encoding = true;
            part.encoding = mime::encoding(field.body);
        } else if field.is("Content-Disposition") && part.disposition.is_none() {
            part.disposition = mime::disposition(field.body);
        } else if field.is("Content-Language") && part.languages.is_empty() {
            part.languages = mime::languages(field.body);
        } else if field.is("Content-ID") {
            text(&mut part.id);
        } else if field.is("Content-Description") {
            text(&mut part.description);
        } else if field.is("Content-MD5") {
            text(&mut part.md5);
        } else if field.is("Content-Location") {
            text(&mut part.location);
        }
    }

    fn finish(self, part: &mut Part) {
        // RFC 2045 §5.2: an unreadable type is plain text, whatever the default would be.
        if !self.typed && !self.seen_type && self.default == Default::Message {
            (part.media_type, part.subtype) = ("message".into(), "rfc822".into());
        }
    }
}

fn starts_with_content(name: &[u8]) -> bool {
    name.len() > 8 && name[..8].eq_ignore_ascii_case(b"Content-")
}

fn read_envelope(envelope: &mut Envelope, field: Field<'_>, addresses_left: &mut usize) {
    let text = |slot: &mut Option<Vec<u8>>| {
        slot.get_or_insert_with(|| unfold(field.body));
    };
    let addresses = match field.name.to_ascii_lowercase().as_slice() {
        b"date" => return text(&mut envelope.date),
        b"subject" => return text(&mut envelope.subject),
        b"in-reply-to" => return text(&mut envelope.in_reply_to),
        b"message-id" => return text(&mut envelope.message_id),
        b"from" => &mut envelope.from,
        b"sender" => &mut envelope.sender,
        b"reply-to" => &mut envelope.reply_to,
        b"to" => &mut envelope.to,
        b"cc" => &mut envelope.cc,
        b"bcc" => &mut envelope.bcc,
        _ => return,
    };
    addrlist::read(field.body, addresses, addresses_left);
}

#[cfg(test)]
mod tests;
