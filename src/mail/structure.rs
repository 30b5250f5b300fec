//! Where a message's parts lie and what they say of themselves: all that BODYSTRUCTURE and
//! `BODY[section]` need (RFC 3501 §6.4.5, §7.4.2).
//!
//! Parts stand in one flat list in pre-order; each knows how many entries of the list it spans.
//! Spans are octet offsets into the original message.

use serde::{Deserialize, Serialize};

use super::envelope::Envelope;

/// A range of octets of the message, `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Offset of the first octet.
    pub start: u32,
    /// Offset behind the last octet; never below `start`.
    pub end: u32,
}

impl Span {
    /// How many octets.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it holds nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// As a range to index the message with.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The parts of a message, in pre-order. `parts[0]` is the message itself: its type is the
/// message's Content-Type, its header the message's header. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// The list.
    pub parts: Vec<Part>,
}

/// One part: a leaf, a multipart, or a nested message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it holds.
    pub content: Content,
    /// Entries of the list that belong to it, itself included; the next sibling is that far on.
    pub entries: u16,
    /// The media type, lower case: `text`.
    pub media_type: String,
    /// The media subtype, lower case: `plain`.
    pub subtype: String,
    /// Parameters of Content-Type; RFC 2231 continuations are joined (the name then ends in `*` if
    /// the value is still percent-encoded). No charset is made up where there is none.
    pub params: Vec<Param>,
    /// Content-ID.
    pub id: Option<Vec<u8>>,
    /// Content-Description.
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding.
    pub encoding: Encoding,
    /// Content-MD5.
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition.
    pub disposition: Option<Disposition>,
    /// Content-Language.
    pub languages: Vec<String>,
    /// Content-Location.
    pub location: Option<Vec<u8>>,
    /// Its header with the empty line that ends it.
    pub header: Span,
    /// Its body, still encoded, without the line end that belongs to the next delimiter.
    pub body: Span,
    /// Line ends in the body.
    pub lines: u32,
}

/// What a part holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Nothing that is told apart further.
    Leaf,
    /// At least one part; the first stands next in the list.
    Multipart,
    /// A message (message/rfc822, message/global) with this envelope; its root part stands next.
    Message(Box<Envelope>),
}

/// One parameter of Content-Type or Content-Disposition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Its name, lower case.
    pub name: String,
    /// Its value, quotes removed.
    pub value: Vec<u8>,
}

/// Content-Disposition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disposition {
    /// `inline`, `attachment` or another word, lower case.
    pub kind: String,
    /// Its parameters.
    pub params: Vec<Param>,
}

/// Content-Transfer-Encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// `7bit`, also where the field is absent (RFC 2045 §6.1).
    #[default]
    SevenBit,
    /// `8bit`.
    EightBit,
    /// `binary`.
    Binary,
    /// `base64`.
    Base64,
    /// `quoted-printable`.
    QuotedPrintable,
    /// Another token, lower case.
    Other(String),
}

impl Encoding {
    /// The word for it.
    pub fn as_str(&self) -> &str {
        match self {
            Encoding::SevenBit => "7bit",
            Encoding::EightBit => "8bit",
            Encoding::Binary => "binary",
            Encoding::Base64 => "base64",
            Encoding::QuotedPrintable => "quoted-printable",
            Encoding::Other(word) => word,
        }
    }
}

/// What of a part is asked for (RFC 3501 §6.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// `BODY[n]`: the part's body; with an empty path the whole message.
    All,
    /// `BODY[n.MIME]`: the part's own header; `None` with an empty path.
    Mime,
    /// the block from which HEADER.FIELDS selects ([`super::header::select`]).
    Header,
    /// `BODY[n.TEXT]`: the body of that message.
    Text,
}

impl Structure {
    /// The children of the part at `index`, as indices into [`Structure::parts`].
    pub fn children(&self, index: usize) -> Vec<usize> {
        let mut out = Vec::new();
        let Some(parent) = self.parts.get(index) else { return out };
        let end = (index + usize::from(parent.entries)).min(self.parts.len());
        let mut next = index + 1;
        while next < end {
            out.push(next);
            next += usize::from(self.parts[next].entries.max(1));
        }
        out
    }

    /// The index of the part that `path` names (`[2, 1]` for 2.1); `None` if there is none. The
    /// empty path is the message itself.
    pub fn find(&self, path: &[u32]) -> Option<usize> {
        path.iter().try_fold(Place::Message(0), |place, number| self.step(place, *number)).map(
            |place| match place {
                Place::Message(index) | Place::Part(index) => index,
            },
        )
    }

    /// Where the octets of a section lie; `None` if there is no such section.
    pub fn section(&self, path: &[u32], section: Section) -> Option<Span> {
        let index = self.find(path)?;
        let part = self.parts.get(index)?;
        // HEADER and TEXT are those of a message: the one asked for, or the one that the part
        // holds.
        let message = match part.content {
            _ if path.is_empty() => Some(part),
            Content::Message(_) => self.parts.get(index + 1),
            _ => None,
        };
        match section {
            Section::All if path.is_empty() => Some(Span { start: 0, end: part.body.end }),
            Section::All => Some(part.body),
            Section::Mime if path.is_empty() => None,
            Section::Mime => Some(part.header),
            Section::Header => message.map(|message| message.header),
            Section::Text => message.map(|message| message.body),
        }
    }

    /// RFC 3501 §6.4.5: every message has at least part 1; a part that holds a message is numbered
    /// on through that message.
    fn step(&self, place: Place, number: u32) -> Option<Place> {
        let (index, whole) = match place {
            Place::Message(index) => (index, true),
            Place::Part(index) => match self.parts.get(index)?.content {
                Content::Message(_) => (index + 1, true),
                _ => (index, false),
            },
        };
        match self.parts.get(index)?.content {
            Content::Multipart => {
                let nth = usize::try_from(number).ok()?.checked_sub(1)?;
                self.children(index).get(nth).copied().map(Place::Part)
            }
            _ if whole && number == 1 => Some(Place::Part(index)),
            _ => None,
        }
    }
}

/// Where a path has come to: at a message, or at one of its parts.
#[derive(Clone, Copy)]
enum Place {
    Message(usize),
    Part(usize),
}
