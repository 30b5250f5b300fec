//! Decides whether a message meets a SEARCH program, from what is known of it.
//!
//! The answer may be "not known yet": a program is first tried with a message's row alone, then
//! with its arrival record, and only then is its body opened. Texts are compared without regard to
//! case, in headers with encoded words decoded, in bodies with the transfer encoding undone.
//!
//! # Standards
//! RFC 3501 §6.4.4.
//!
//! # Known gaps
//! Body text in charsets other than UTF-8 and ISO-8859-1 is searched as ISO-8859-1. Case is folded
//! character by character (no full Unicode folding, no normalisation).

use super::command::SearchKey;
use super::value::{Date, Flag};
use crate::base::clock::UnixTime;
use crate::mail::{Content, DateTime, Encoding, Structure, header};
use base64::Engine;

/// What a search program needs to know of each message at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The header block.
    pub record: bool,
    /// The message's octets.
    pub body: bool,
}

/// What `key` needs at most.
pub fn needs(key: &SearchKey) -> Needs {
    match key {
        SearchKey::Sent(..) | SearchKey::Header(..) => Needs { record: true, body: false },
        SearchKey::Body(_) | SearchKey::Text(_) => Needs { record: true, body: true },
        SearchKey::Not(key) => needs(key),
        SearchKey::Or(left, right) => join(needs(left), needs(right)),
        SearchKey::And(keys) => keys.iter().map(needs).fold(Needs::default(), join),
        _ => Needs::default(),
    }
}

fn join(left: Needs, right: Needs) -> Needs {
    Needs { record: left.record || right.record, body: left.body || right.body }
}

/// A message that may be found.
pub trait Candidate {
    /// Whether it has a flag or keyword.
    fn has_flag(&self, flag: &Flag) -> bool;
    /// Whether it is recent for this session.
    fn is_recent(&self) -> bool;
    /// Its UID.
    fn uid(&self) -> u32;
    /// Its number for this client; 0 if it has none.
    fn number(&self) -> u32;
    /// The highest number, and the highest UID: what `*` stands for.
    fn largest(&self) -> (u32, u32);
    /// Its INTERNALDATE.
    fn received(&self) -> UnixTime;
    /// Its size in octets.
    fn size(&self) -> u32;
    /// Its header block, if it is at hand.
    fn header(&self) -> Option<&[u8]>;
    /// Its octets and parts, if they are at hand.
    fn body(&self) -> Option<(&[u8], &Structure)>;

    /// Whether it meets `key`; `None` if that cannot be said with what is at hand.
    fn meets(&self, key: &SearchKey) -> Option<bool> {
        Some(match key {
            SearchKey::All => true,
            SearchKey::Recent => self.is_recent(),
            SearchKey::Flag(flag, set) => self.has_flag(flag) == *set,
            SearchKey::Received(when, day) => {
                let date = DateTime::from_unix(self.received(), 0);
                when.holds(Date(date.day_number()), *day)
            }
            SearchKey::Sent(when, day) => {
                sent_day(self.header()?).is_some_and(|sent| when.holds(sent, *day))
            }
            SearchKey::Larger(octets) => self.size() > *octets,
            SearchKey::Smaller(octets) => self.size() < *octets,
            SearchKey::Header(name, text) => fields_match(self.header()?, name, text),
            SearchKey::Body(text) => {
                let (octets, structure) = self.body()?;
                text_matches(octets, structure, text, false)
            }
            SearchKey::Text(text) => {
                let (octets, structure) = self.body()?;
                text_matches(octets, structure, text, true)
            }
            SearchKey::Uids(set) => within(&set.resolve(self.largest().1), self.uid()),
            SearchKey::Messages(set) => within(&set.resolve(self.largest().0), self.number()),
            SearchKey::Not(key) => !self.meets(key)?,
            SearchKey::Or(left, right) => either(self.meets(left), || self.meets(right), true)?,
            SearchKey::And(keys) => {
                let mut all = Some(true);
                for key in keys {
                    all = either(all, || self.meets(key), false);
                    if all == Some(false) {
                        break;
                    }
                }
                all?
            }
        })
    }
}

/// Joins two answers of which `decisive` alone decides: OR with `true`, AND with `false`.
fn either(
    left: Option<bool>,
    right: impl FnOnce() -> Option<bool>,
    decisive: bool,
) -> Option<bool> {
    if left == Some(decisive) {
        return left;
    }
    match (left, right()) {
        (_, Some(right)) if right == decisive => Some(right),
        (Some(left), Some(_)) => Some(left),
        _ => None,
    }
}

fn within(ranges: &[(u32, u32)], number: u32) -> bool {
    let after = ranges.partition_point(|range| range.0 <= number);
    after > 0 && ranges[after - 1].1 >= number
}

/// The day of the Date field as it is written, zone left aside.
fn sent_day(block: &[u8]) -> Option<Date> {
    let field = header::fields(block).find(|field| field.is("Date"))?;
    DateTime::parse_rfc5322(&header::unfold(field.body)).map(|date| Date(date.day_number()))
}

/// Whether a field of that name holds `text`; with an empty text, whether there is such a field.
pub fn fields_match(block: &[u8], name: &str, text: &str) -> bool {
    let pattern = TextPattern::new(text);
    header::fields(block)
        .filter(|field| field.is(name))
        .any(|field| pattern.found_in(&header::decode(field.body)))
}

/// Whether the text of a message holds `text`: its text parts, and with `headers` its header too.
pub fn text_matches(octets: &[u8], structure: &Structure, text: &str, headers: bool) -> bool {
    let pattern = TextPattern::new(text);
    let head = structure.parts.first().and_then(|root| octets.get(root.header.range()));
    if headers && head.is_some_and(|block| header_holds(block, &pattern)) {
        return true;
    }
    structure.parts.iter().enumerate().any(|(index, part)| match &part.content {
        Content::Multipart => false,
        Content::Message(_) => {
            let nested = structure.parts.get(index + 1);
            let block = nested.and_then(|root| octets.get(root.header.range()));
            block.is_some_and(|block| header_holds(block, &pattern))
        }
        Content::Leaf if matches!(&*part.media_type, "text" | "message") => octets
            .get(part.body.range())
            .is_some_and(|body| pattern.found_in(&decoded(body, &part.encoding))),
        Content::Leaf => false,
    })
}

fn header_holds(block: &[u8], pattern: &TextPattern) -> bool {
    header::fields(block).any(|field| {
        let name = String::from_utf8_lossy(field.name);
        pattern.found_in(&format!("{name}: {}", header::decode(field.body)))
    })
}

/// A body's text with its transfer encoding undone; what is no UTF-8 is taken as ISO-8859-1.
fn decoded(body: &[u8], encoding: &Encoding) -> String {
    let octets = match encoding {
        Encoding::Base64 => base64_octets(body),
        Encoding::QuotedPrintable => quoted_printable_octets(body),
        _ => body.to_vec(),
    };
    match String::from_utf8(octets) {
        Ok(text) => text,
        Err(error) => error.as_bytes().iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// RFC 2045 §6.8: octets outside the alphabet are passed over, and so is a broken end.
fn base64_octets(body: &[u8]) -> Vec<u8> {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut text: Vec<u8> = body.iter().copied().filter(alphabet).collect();
    if text.len() % 4 == 1 {
        text.pop();
    }
    // The last character may carry idle bits that are not zero; then the last group is dropped.
    let whole = text.len() / 4 * 4;
    STANDARD_NO_PAD
        .decode(&text)
        .or_else(|_| STANDARD_NO_PAD.decode(&text[..whole]))
        .unwrap_or_default()
}

/// RFC 2045 §6.7; what is no escape stays as it is.
fn quoted_printable_octets(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        match (first, tail) {
            (b'=', [b'\r', b'\n', after @ ..] | [b'\n', after @ ..]) => rest = after,
            (b'=', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let value = hex(high).zip(hex(low)).map_or(0, |(high, low)| high * 16 + low);
                out.push(value as u8);
                rest = after;
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

/// A text to look for, without regard to case.
pub struct TextPattern(String);

impl TextPattern {
    /// The pattern for `text`.
    pub fn new(text: &str) -> TextPattern {
        TextPattern(fold(text))
    }

    /// Whether `text` holds it.
    pub fn found_in(&self, text: &str) -> bool {
        self.0.is_empty() || fold(text).contains(&self.0)
    }
}

fn fold(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.chars().flat_map(char::to_lowercase).collect(),
    }
}
