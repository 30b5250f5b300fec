//! Makes a message fit for the wire without changing what it means (RFC 5321 §2.3.8, §4.5.3.1.6;
//! RFC 5322 §2.1.1): lines end in CRLF and hold at most 998 octets.
//!
//! What is fit already comes back as it is, borrowed. Otherwise only what breaks a rule is touched:
//! a header line is folded where it holds white space, a part's content gets another transfer
//! encoding. What is signed or encrypted as a whole is never touched: if it is not fit, the message
//! is [`Unfit`], and its sender is told.
//!
//! # Standards
//! RFC 2045 §6 (encodings), RFC 2046 §5.1.1 (text around parts is to be ignored), RFC 2047 (encoded
//! words), RFC 1847 (signed and encrypted contents), RFC 5322 §2.2.3 (folding),
//! RFC 6152 §3 (contents of eight bits for a server of seven).
//!
//! # Known gaps
//! Octets above 127 in header fields and between parts stay, for a server of seven bits too.

mod encode;
mod refold;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::analyse;
use super::header::{fields, header_bytes, line_of, without_end};
use super::mime;
use super::structure::{Content, Encoding, Part};

/// Octets of a line at most, without its CRLF (RFC 5322 §2.1.1).
pub const LINE_BYTES_MAX: usize = 998;

/// Why a message cannot be made fit. Its `Display` is a sentence for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// What is signed or encrypted would have to be changed.
    Protected,
    /// A header line is too long and cannot be folded.
    Header,
    /// The line between two parts is too long.
    Boundary,
    /// A part is encoded in a way that cannot be rewritten.
    Encoding,
}

/// `message`, fit for the wire but for dot-stuffing. Linear, and idempotent: what comes out is fit.
pub fn conform(message: &[u8]) -> Result<Cow<'_, [u8]>, Unfit> {
    conform_to(message, false)
}

/// The same for a server that takes no octets above 127 (RFC 6152 §3): contents that have any get
/// another transfer encoding. Header fields and text between parts keep theirs.
pub fn conform_to_seven_bits(message: &[u8]) -> Result<Cow<'_, [u8]>, Unfit> {
    conform_to(message, true)
}

fn conform_to(message: &[u8], narrow: bool) -> Result<Cow<'_, [u8]>, Unfit> {
    let narrow = narrow && !message.is_ascii();
    if is_fit(message) && !narrow {
        return Ok(Cow::Borrowed(message));
    }
    let lines = local_line_ends(message);
    if is_fit(&lines) && !narrow {
        return Ok(Cow::Owned(lines.into_owned()));
    }
    let parts = analyse(&lines).structure.parts;
    let out = Vec::with_capacity(lines.len() + lines.len() / 16);
    let mut writer = Writer { message: &lines, narrow, at: 0, out };
    writer.message(&parts)?;
    debug_assert!(is_fit(&writer.out));
    Ok(Cow::Owned(writer.out))
}

/// Whether an octet above 127 stands in a header of a message: its own, a part's, or that of a
/// message within (RFC 6532 §3).
pub fn has_eight_bit_headers(message: &[u8]) -> bool {
    if message.is_ascii() {
        return false;
    }
    if !message[..header_bytes(message)].is_ascii() {
        return true;
    }
    let parts = analyse(message).structure.parts;
    parts.iter().any(|part| !message[part.header.range()].is_ascii())
}

/// Whether a message may go over the wire as it is.
fn is_fit(message: &[u8]) -> bool {
    Flaws::of(message) == Flaws::default() && (message.is_empty() || message.ends_with(b"\r\n"))
}

/// A message without a single CRLF was written with the line ends of its machine: each LF means a
/// line end, inside signed contents too (RFC 3156 §5 signs the CRLF form).
fn local_line_ends(message: &[u8]) -> Cow<'_, [u8]> {
    let crlf = memchr::memmem::find(message, b"\r\n").is_some();
    let local = !crlf && memchr::memchr(b'\n', message).is_some();
    if !local && (message.is_empty() || message.ends_with(b"\n")) {
        return Cow::Borrowed(message);
    }
    let mut out = Vec::with_capacity(message.len() + message.len() / 32 + 2);
    let mut rest = message;
    while !rest.is_empty() {
        let line = line_of(rest);
        rest = &rest[line.len()..];
        match local || !line.ends_with(b"\n") {
            true => {
                out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
                out.extend_from_slice(b"\r\n");
            }
            false => out.extend_from_slice(line),
        }
    }
    Cow::Owned(out)
}

/// What keeps octets from the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flaws {
    /// A line of more than 998 octets.
    long: bool,
    /// An LF without CR before it.
    lone_lf: bool,
    /// A CR without LF behind it.
    lone_cr: bool,
    /// A NUL (RFC 5322 §4).
    nul: bool,
    /// An octet above 127 where there may be none.
    eight_bit: bool,
}

impl Flaws {
    fn of(octets: &[u8]) -> Flaws {
        let (mut flaws, mut line_start) = (Flaws::default(), 0);
        for at in memchr::memchr3_iter(b'\r', b'\n', 0, octets) {
            let before = at.checked_sub(1).map(|before| octets[before]);
            match octets[at] {
                0 => flaws.nul = true,
                b'\r' => flaws.lone_cr |= octets.get(at + 1) != Some(&b'\n'),
                _ => {
                    flaws.lone_lf |= before != Some(b'\r');
                    let end = at - usize::from(before == Some(b'\r') && at > line_start);
                    flaws.long |= end - line_start > LINE_BYTES_MAX;
                    line_start = at + 1;
                }
            }
        }
        flaws.long |= octets.len() - line_start > LINE_BYTES_MAX;
        flaws
    }

    fn any(self) -> bool {
        self != Flaws::default()
    }
}

/// Writes a message anew, part by part.
struct Writer<'a> {
    message: &'a [u8],
    /// Whether contents may hold no octet above 127.
    narrow: bool,
    /// Up to where the message has been written.
    at: usize,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn message(&mut self, parts: &[Part]) -> Result<(), Unfit> {
        let mut index = 0;
        while let Some(part) = parts.get(index) {
            self.between(part.header.start as usize)?;
            let whole = is_protected(part);
            if whole {
                self.protected(part)?;
            } else if part.content == Content::Leaf {
                self.leaf(part, index == 0)?;
            } else {
                let block = &self.message[part.header.range()];
                refold::block(block, None, &mut self.out)?;
                self.at = part.header.end as usize;
            }
            index += if whole { usize::from(part.entries).max(1) } else { 1 };
        }
        self.between(self.message.len())
    }

    /// What stands between parts, up to `end`: delimiters, and text that is to be ignored. A line
    /// of such text that is too long is left out.
    fn between(&mut self, end: usize) -> Result<(), Unfit> {
        while self.at < end {
            let line = line_of(&self.message[self.at..end]);
            self.at += line.len();
            let text = without_end(line);
            match text.len() > LINE_BYTES_MAX {
                true if text.starts_with(b"--") => return Err(Unfit::Boundary),
                true => {}
                false => {
                    let clean = text.iter().map(|octet| match octet {
                        b'\r' | 0 => b' ',
                        octet => *octet,
                    });
                    self.out.extend(clean);
                    self.out.extend_from_slice(b"\r\n");
                }
            }
        }
        Ok(())
    }

    fn flaws(&self, body: &[u8]) -> Flaws {
        Flaws { eight_bit: self.narrow && !body.is_ascii(), ..Flaws::of(body) }
    }

    /// A part whose content is covered by a signature or is a ciphertext: as it is, or not at all.
    fn protected(&mut self, part: &Part) -> Result<(), Unfit> {
        let body = &self.message[part.body.range()];
        if self.flaws(body).any() {
            return Err(Unfit::Protected);
        }
        refold::block(&self.message[part.header.range()], None, &mut self.out)?;
        self.out.extend_from_slice(body);
        self.at = part.body.end as usize;
        Ok(())
    }

    fn leaf(&mut self, part: &Part, top: bool) -> Result<(), Unfit> {
        let block = &self.message[part.header.range()];
        let body = &self.message[part.body.range()];
        self.at = part.body.end as usize;
        let flaws = self.flaws(body);
        if !flaws.any() {
            refold::block(block, None, &mut self.out)?;
            self.out.extend_from_slice(body);
            return Ok(());
        }
        match part.encoding {
            Encoding::Base64 => {
                refold::block(block, None, &mut self.out)?;
                encode::rewrap_base64(body, &mut self.out)
            }
            Encoding::QuotedPrintable => {
                refold::block(block, None, &mut self.out)?;
                encode::rewrap_quoted_printable(body, &mut self.out);
                Ok(())
            }
            Encoding::SevenBit | Encoding::EightBit | Encoding::Binary => {
                self.encode(block, body, flaws, top)
            }
            Encoding::Other(_) => Err(Unfit::Encoding),
        }
    }

    /// A part whose content stands there as it is.
    fn encode(&mut self, block: &[u8], body: &[u8], flaws: Flaws, top: bool) -> Result<(), Unfit> {
        let text = match true_type(block).as_deref() {
            // RFC 2045 §6.4: what is made of parts is never encoded.
            Some("multipart" | "message") => return Err(Unfit::Encoding),
            None | Some("text") => true,
            Some(_) => false,
        };
        if text && (Flaws { lone_lf: false, ..flaws }) == Flaws::default() {
            refold::block(block, None, &mut self.out)?;
            encode::line_ends(body, &mut self.out);
            return Ok(());
        }
        let printable = text && encode::is_mostly_printable(body);
        let word = if printable { "quoted-printable" } else { "base64" };
        refold::block(block, Some(refold::NewEncoding { word, top }), &mut self.out)?;
        match (text, printable) {
            (_, true) => encode::quoted_printable(body, &mut self.out),
            (true, false) => {
                let mut lines = Vec::with_capacity(body.len());
                encode::line_ends(body, &mut lines);
                encode::base64(&lines, body.ends_with(b"\n"), &mut self.out);
            }
            (false, false) => encode::base64(body, body.ends_with(b"\n"), &mut self.out),
        }
        Ok(())
    }
}

/// RFC 1847: the octets inside are what a signature covers, or what a key opens.
fn is_protected(part: &Part) -> bool {
    part.content == Content::Multipart && matches!(part.subtype.as_str(), "signed" | "encrypted")
}

/// The media type that a header names; a part of which too much was asked is shown as another.
fn true_type(block: &[u8]) -> Option<String> {
    let field = fields(block).find(|field| field.is("Content-Type"))?;
    mime::content_type(field.body).map(|read| read.media_type)
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unfit::Protected => {
                "What is signed or encrypted in the message has lines of more than 998 octets, or \
                 line ends other than CR LF; changing them would break it"
            }
            Unfit::Header => "A header line is longer than 998 octets and cannot be folded",
            Unfit::Boundary => "A line between two parts is longer than 998 octets",
            Unfit::Encoding => {
                "A part has lines of more than 998 octets, or line ends other than CR LF, and is \
                 encoded in a way that cannot be rewritten"
            }
        })
    }
}

impl std::error::Error for Unfit {}
