//! Reads a message for the texts of a SEARCH program, each octet of it once, in steps.
//!
//! A step takes one piece, undoes its encoding, folds it and looks for all texts that are not
//! decided. What a step takes does not depend on the message, so that a large one can be left and
//! taken up again between two steps.
//!
//! Texts are compared without regard to case, in headers with encoded words decoded, in bodies with
//! the transfer encoding undone.
//!
//! # Known gaps
//! Body text in charsets other than UTF-8 and ISO-8859-1 is searched as ISO-8859-1. Case is folded
//! character by character (no full Unicode folding, no normalisation).

use super::matching::{Known, Place, Program, Text, fold};
use super::part_text::PartText;
use super::value::Date;
use crate::mail::{Content, DateTime, Part, Structure, header};

/// Octets of a header that one step takes, and more only to end a field.
const HEADER_STEP_BYTES: usize = 16 * 1024;
/// What decoding and folding an octet costs, in searches of an octet for one text.
const DECODE_COST: usize = 8;

/// How far a message was read.
#[derive(Default)]
pub struct Scan {
    known: Known,
    head: Block,
    head_read: bool,
    /// The next part.
    part: usize,
    /// Within it.
    block: Block,
    text: PartText,
    /// The end of the folded text before, for what lies across.
    tail: Vec<u8>,
}

/// How far a header block was read.
#[derive(Default)]
struct Block {
    at: usize,
    begun: bool,
}

impl Scan {
    /// What is known so far.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Whether the header was read.
    pub fn is_head_read(&self) -> bool {
        self.head_read
    }

    /// Reads on in the message's header. What it cost, in octets searched for one text; `None` at
    /// the end.
    pub fn step_head(&mut self, program: &Program, block: &[u8]) -> Option<usize> {
        let known = &mut self.known;
        let cost = self.head.step(block, |field| look_at_head(known, program, &field));
        if cost.is_none() {
            self.head_read = true;
            self.known.sent.get_or_insert(None);
            let fields = |text: &&Text| matches!(text.place, Place::Field(_));
            program.texts.iter().filter(fields).for_each(|text| self.known.close(text));
        }
        cost
    }

    /// Reads on in the message's parts, when its header was read. What it cost; `None` at the end.
    pub fn step_body(
        &mut self,
        program: &Program,
        octets: &[u8],
        structure: &Structure,
    ) -> Option<usize> {
        let all_decided = program.texts.iter().all(|text| self.known.is_decided(text));
        let Some(part) = structure.parts.get(self.part).filter(|_| !all_decided) else {
            program.texts.iter().for_each(|text| self.known.close(text));
            return None;
        };
        let cost = match &part.content {
            Content::Multipart => None,
            Content::Message(_) => {
                let nested = structure.parts.get(self.part + 1);
                let block = nested.and_then(|root| octets.get(root.header.range()));
                let known = &mut self.known;
                let look = |field: header::Field<'_>| look_at_line(known, program, &line(&field));
                self.block.step(block.unwrap_or_default(), look)
            }
            Content::Leaf if matches!(&*part.media_type, "text" | "message") => {
                self.step_text(program, part, octets.get(part.body.range()).unwrap_or_default())
            }
            Content::Leaf => None,
        };
        if cost.is_none() {
            self.part += 1;
            (self.block, self.text) = (Block::default(), PartText::default());
            self.tail.clear();
        }
        Some(cost.unwrap_or(1))
    }

    fn step_text(&mut self, program: &Program, part: &Part, body: &[u8]) -> Option<usize> {
        let piece = self.text.next(body, &part.encoding)?;
        let mut window = std::mem::take(&mut self.tail);
        window.extend_from_slice(fold(&piece).as_bytes());
        let searched = look_at_line(&mut self.known, program, &window);
        let kept = window.len().min(program.longest.saturating_sub(1));
        window.drain(..window.len() - kept);
        self.tail = window;
        Some(searched + piece.len() * DECODE_COST)
    }
}

impl Block {
    /// Hands out some more fields.
    fn step(
        &mut self,
        block: &[u8],
        mut look: impl FnMut(header::Field<'_>) -> usize,
    ) -> Option<usize> {
        if !std::mem::replace(&mut self.begun, true) {
            self.at = header::mbox_bytes(block);
        }
        let (start, mut cost) = (self.at, 0);
        for field in header::fields(block.get(start..)?) {
            self.at += field.raw.len();
            cost += look(field) + field.raw.len() * DECODE_COST;
            if self.at - start >= HEADER_STEP_BYTES {
                break;
            }
        }
        (self.at > start).then_some(cost)
    }
}

/// Looks at a field of the message's own header. What that cost.
fn look_at_head(known: &mut Known, program: &Program, field: &header::Field<'_>) -> usize {
    if known.sent.is_none() && field.is("Date") {
        known.sent = Some(sent_day(field.body));
    }
    let line = line(field);
    // The name, a colon and a space stand in front.
    let body = line.get(field.name.len() + 2..).unwrap_or_default();
    let mut cost = 0;
    for text in &program.texts {
        let searched = match &text.place {
            Place::Everywhere => &*line,
            Place::Field(name) if field.is(name) => body,
            Place::Field(_) | Place::Body => continue,
        };
        cost += look_for(known, text, searched);
    }
    cost
}

/// Looks for the texts that a body may hold. What that cost.
fn look_at_line(known: &mut Known, program: &Program, searched: &[u8]) -> usize {
    let in_bodies = |text: &&Text| !matches!(text.place, Place::Field(_));
    program.texts.iter().filter(in_bodies).map(|text| look_for(known, text, searched)).sum()
}

fn look_for(known: &mut Known, text: &Text, searched: &[u8]) -> usize {
    if known.is_decided(text) {
        return 0;
    }
    if text.finder.find(searched).is_some() {
        known.find(text);
    }
    searched.len()
}

/// A field on one line, folded. Names are ASCII, so that folding keeps their length.
fn line(field: &header::Field<'_>) -> Vec<u8> {
    let mut line = field.name.to_ascii_lowercase();
    line.extend_from_slice(b": ");
    line.extend_from_slice(fold(&header::decode(field.body)).as_bytes());
    line
}

/// The day of the Date field as it is written, zone left aside.
fn sent_day(body: &[u8]) -> Option<Date> {
    DateTime::parse_rfc5322(&header::unfold(body)).map(|date| Date(date.day_number()))
}
