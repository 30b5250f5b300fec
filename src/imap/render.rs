//! Renders one FETCH response, from what is known of a message.
//!
//! A [`Plan`] says, for a whole command, how much of each message is needed: the row alone, the
//! arrival record, or the body. UID stands first in every answer, whatever was asked: Thunderbird
//! shows the wrong mail where it does not.
//!
//! # Standards
//! RFC 3501 §7.4.2 (FETCH responses), §6.4.5 (sections).

use super::command::{FetchItem, Part, Partial, SectionItem, SectionText, Spelling};
use super::respond::Out;
use crate::base::clock::UnixTime;
use crate::mail::{
    Content, DateTime, Disposition, Encoding, Envelope, EnvelopeAddress, Param, Section, Structure,
    header,
};

/// What a FETCH command needs of each message.
#[derive(Clone, Debug)]
pub struct Plan {
    items: Vec<FetchItem>,
    uid: bool,
    /// Headers, envelope or structure.
    pub needs_record: bool,
    /// The message's octets.
    pub needs_body: bool,
    /// The command sets `\Seen`.
    pub sets_seen: bool,
    /// The answer has the flags in any case.
    pub wants_flags: bool,
}

impl Plan {
    /// The plan for `items`; `uid` for UID FETCH, which always answers with the UID.
    pub fn new(items: &[FetchItem], uid: bool) -> Plan {
        let mut plan = Plan {
            items: Vec::with_capacity(items.len()),
            uid,
            needs_record: false,
            needs_body: false,
            sets_seen: false,
            wants_flags: false,
        };
        for item in items {
            if !plan.items.contains(item) {
                plan.include(item);
            }
        }
        plan
    }

    fn include(&mut self, item: &FetchItem) {
        match item {
            FetchItem::Uid => return self.uid = true,
            FetchItem::Flags => self.wants_flags = true,
            FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure => {
                self.needs_record = true;
            }
            FetchItem::Section(section) => {
                self.sets_seen |= !section.peek;
                let header_of_message = section.part.path.is_empty()
                    && !matches!(section.part.text, None | Some(SectionText::Text));
                // A part's place is in the structure; TEXT needs the header's length, which a
                // record has too.
                let needs_places = section.part != Part::default();
                self.needs_record |= needs_places;
                self.needs_body |= !header_of_message;
            }
            FetchItem::InternalDate | FetchItem::Rfc822Size => {}
        }
        self.items.push(item.clone());
    }
}

/// What is known of a message. What the plan does not need may be absent.
pub struct Message<'a> {
    /// Its UID.
    pub uid: u32,
    /// Its flags, parted by spaces, `\Recent` among them where it is.
    pub flags: &'a str,
    /// Its INTERNALDATE.
    pub received: UnixTime,
    /// Its exact size in octets.
    pub size: u32,
    /// Its header block with the empty line.
    pub header: Option<&'a [u8]>,
    /// Its envelope.
    pub envelope: Option<&'a Envelope>,
    /// Its parts.
    pub structure: Option<&'a Structure>,
    /// All its octets.
    pub body: Option<&'a [u8]>,
}

/// The answer for one message, `* n FETCH (..)`, and how far it is written. A client may ask for
/// the same large part many times, so that the whole would be too much for one buffer.
#[derive(Debug)]
pub struct Answer {
    number: u32,
    adds_flags: bool,
    begun: bool,
    /// Items that are written.
    items: usize,
    /// The literal of the item behind them, once its head is written.
    literal: Option<Literal>,
}

/// A literal that is being written.
#[derive(Debug)]
struct Literal {
    /// Its octets, where they were picked out and are no span of the message.
    picked: Option<Vec<u8>>,
    /// Octets that are written.
    written: usize,
}

impl Answer {
    /// The answer for the message of this number. `with_flags` adds FLAGS where the plan has not
    /// got them: `\Seen` was set.
    pub fn new(number: u32, with_flags: bool) -> Answer {
        Answer { number, adds_flags: with_flags, begun: false, items: 0, literal: None }
    }

    /// Writes on until `out` holds `most` octets; says whether all is written. An item that is no
    /// literal is written whole. Each time the same must be known of the message.
    pub fn write(
        &mut self,
        out: &mut Out,
        plan: &Plan,
        message: &Message<'_>,
        most: usize,
    ) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            out.raw("* ");
            out.number(u64::from(self.number));
            out.raw(" FETCH (");
            if plan.uid {
                out.raw("UID ");
                out.number(u64::from(message.uid));
            }
        }
        while let Some(item) = plan.items.get(self.items) {
            if out.len() >= most || !self.write_item(out, plan, item, message, most) {
                return false;
            }
            self.items += 1;
        }
        if self.adds_flags && !plan.wants_flags {
            self.part(out, plan);
            write_item(out, &FetchItem::Flags, message);
        }
        out.raw(")\r\n");
        true
    }

    /// What stands between two items.
    fn part(&self, out: &mut Out, plan: &Plan) {
        if plan.uid || self.items > 0 {
            out.byte(b' ');
        }
    }

    fn write_item(
        &mut self,
        out: &mut Out,
        plan: &Plan,
        item: &FetchItem,
        message: &Message<'_>,
        most: usize,
    ) -> bool {
        if self.literal.is_none() {
            self.part(out, plan);
            self.literal = write_item(out, item, message);
        }
        let (Some(literal), FetchItem::Section(section)) = (&mut self.literal, item) else {
            return true;
        };
        let octets = match &literal.picked {
            Some(picked) => cut(picked, section.partial),
            None => cut(octets_of(section, message).unwrap_or_default(), section.partial),
        };
        let rest = octets.get(literal.written..).unwrap_or_default();
        let piece = &rest[..rest.len().min(most.saturating_sub(out.len()))];
        out.octets(piece);
        literal.written += piece.len();
        let whole = piece.len() == rest.len();
        if whole {
            self.literal = None;
        }
        whole
    }
}

/// Writes an item, of a literal the head alone.
fn write_item(out: &mut Out, item: &FetchItem, message: &Message<'_>) -> Option<Literal> {
    match item {
        FetchItem::Uid => {}
        FetchItem::Flags => {
            out.raw("FLAGS (");
            out.raw(message.flags);
            out.byte(b')');
        }
        FetchItem::InternalDate => {
            out.raw("INTERNALDATE \"");
            out.raw(&DateTime::from_unix(message.received, 0).to_imap());
            out.byte(b'"');
        }
        FetchItem::Rfc822Size => {
            out.raw("RFC822.SIZE ");
            out.number(u64::from(message.size));
        }
        FetchItem::Envelope => {
            out.raw("ENVELOPE ");
            envelope(out, message.envelope.unwrap_or(&Envelope::default()));
        }
        FetchItem::Body => write_structure(out, "BODY ", message, false),
        FetchItem::BodyStructure => write_structure(out, "BODYSTRUCTURE ", message, true),
        FetchItem::Section(section) => return write_section(out, section, message),
    }
    None
}

fn write_structure(out: &mut Out, name: &str, message: &Message<'_>, extended: bool) {
    out.raw(name);
    match message.structure {
        Some(parts) => structure(out, parts, extended),
        // Nothing is known of it (a placeholder): an opaque leaf of that size.
        None => {
            out.raw("(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"8BIT\" ");
            out.number(u64::from(message.size));
            out.byte(b')');
        }
    }
}

fn write_section(out: &mut Out, item: &SectionItem, message: &Message<'_>) -> Option<Literal> {
    match item.spelling {
        Spelling::Rfc822 => out.raw("RFC822"),
        Spelling::Rfc822Header => out.raw("RFC822.HEADER"),
        Spelling::Rfc822Text => out.raw("RFC822.TEXT"),
        Spelling::Body => {
            out.raw("BODY[");
            write_part(out, &item.part);
            out.byte(b']');
        }
    }
    if let Some(partial) = item.partial {
        out.byte(b'<');
        out.number(u64::from(partial.offset));
        out.byte(b'>');
    }
    out.byte(b' ');
    let Some(octets) = octets_of(item, message) else {
        out.raw("NIL");
        return None;
    };
    // RFC 3501 §6.4.5: HEADER.FIELDS always ends with an empty line.
    let picked = match &item.part.text {
        Some(SectionText::HeaderFields(names)) => Some(header::select(octets, names, false)),
        Some(SectionText::HeaderFieldsNot(names)) => Some(header::select(octets, names, true)),
        _ => None,
    };
    out.literal_head(cut(picked.as_deref().unwrap_or(octets), item.partial).len());
    Some(Literal { picked, written: 0 })
}

/// The octets that an item is made of; `None` if the message has no such section.
fn octets_of<'a>(item: &SectionItem, message: &Message<'a>) -> Option<&'a [u8]> {
    let fields = matches!(
        item.part.text,
        Some(SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_))
    );
    let text = if fields { Some(&SectionText::Header) } else { item.part.text.as_ref() };
    section_octets(&item.part.path, text, message)
}

fn write_part(out: &mut Out, part: &Part) {
    for (at, number) in part.path.iter().enumerate() {
        if at > 0 {
            out.byte(b'.');
        }
        out.number(u64::from(*number));
    }
    let Some(text) = &part.text else { return };
    if !part.path.is_empty() {
        out.byte(b'.');
    }
    let (name, fields) = match text {
        SectionText::Header => ("HEADER", None),
        SectionText::Text => ("TEXT", None),
        SectionText::Mime => ("MIME", None),
        SectionText::HeaderFields(fields) => ("HEADER.FIELDS (", Some(fields)),
        SectionText::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT (", Some(fields)),
    };
    out.raw(name);
    if let Some(fields) = fields {
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                out.byte(b' ');
            }
            out.astring(field.as_bytes());
        }
        out.byte(b')');
    }
}

/// The octets of a section; `None` if the message has no such section.
fn section_octets<'a>(
    path: &[u32],
    text: Option<&SectionText>,
    message: &Message<'a>,
) -> Option<&'a [u8]> {
    let wanted = match text {
        None if path.is_empty() => return message.body,
        None => Section::All,
        Some(SectionText::Mime) => Section::Mime,
        Some(SectionText::Text) => Section::Text,
        Some(_) if path.is_empty() && message.header.is_some() => return message.header,
        Some(_) => Section::Header,
    };
    let span = message.structure?.section(path, wanted)?;
    message.body?.get(span.range())
}

/// RFC 3501 §6.4.5: beyond the end there is nothing, not an error.
fn cut(octets: &[u8], partial: Option<Partial>) -> &[u8] {
    match partial {
        None => octets,
        Some(Partial { offset, octets: most }) => {
            let rest = octets.get(offset as usize..).unwrap_or_default();
            &rest[..rest.len().min(most as usize)]
        }
    }
}

/// RFC 3501 §7.4.2: ENVELOPE.
pub fn envelope(out: &mut Out, envelope: &Envelope) {
    out.byte(b'(');
    out.nstring(envelope.date.as_deref());
    out.byte(b' ');
    out.nstring(envelope.subject.as_deref());
    let lists = [
        &envelope.from[..],
        envelope.sender_shown(),
        envelope.reply_to_shown(),
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ];
    for list in lists {
        out.byte(b' ');
        addresses(out, list);
    }
    out.byte(b' ');
    out.nstring(envelope.in_reply_to.as_deref());
    out.byte(b' ');
    out.nstring(envelope.message_id.as_deref());
    out.byte(b')');
}

fn addresses(out: &mut Out, list: &[EnvelopeAddress]) {
    if list.is_empty() {
        return out.raw("NIL");
    }
    out.byte(b'(');
    for address in list {
        let EnvelopeAddress { name, route, mailbox, host } = address;
        for (at, field) in [name, route, mailbox, host].into_iter().enumerate() {
            out.byte(if at == 0 { b'(' } else { b' ' });
            out.nstring(field.as_deref());
        }
        out.byte(b')');
    }
    out.byte(b')');
}

/// RFC 3501 §7.4.2: BODY, and BODYSTRUCTURE where `extended`.
pub fn structure(out: &mut Out, structure: &Structure, extended: bool) {
    part(out, structure, 0, extended);
}

/// One part with all below it. The analysis of mail bounds the depth.
fn part(out: &mut Out, structure: &Structure, index: usize, extended: bool) {
    let Some(this) = structure.parts.get(index) else { return out.raw("NIL") };
    let children = structure.children(index);
    out.byte(b'(');
    match &this.content {
        Content::Multipart if !children.is_empty() => {
            children.into_iter().for_each(|child| part(out, structure, child, extended));
            out.byte(b' ');
            word(out, &this.subtype);
            if extended {
                out.byte(b' ');
                params(out, &this.params);
                extension(out, this);
            }
        }
        content => {
            leaf(out, this, content);
            if let (Content::Message(inner), Some(&root)) = (content, children.first()) {
                out.byte(b' ');
                envelope(out, inner);
                out.byte(b' ');
                part(out, structure, root, extended);
                out.byte(b' ');
                out.number(u64::from(this.lines));
            }
            if extended {
                out.byte(b' ');
                out.nstring(this.md5.as_deref());
                extension(out, this);
            }
        }
    }
    out.byte(b')');
}

/// `media-basic body-fields` or `media-text body-fields SP lines`. The grammar gives multipart and
/// message/rfc822 more fields than an opaque leaf has, so that such a leaf is shown as octets.
fn leaf(out: &mut Out, this: &crate::mail::Part, content: &Content) {
    let opaque = matches!(content, Content::Leaf | Content::Multipart)
        && (this.media_type == "multipart"
            || this.media_type == "message" && matches!(&*this.subtype, "rfc822" | "global"));
    match opaque {
        true => out.raw("\"APPLICATION\" \"OCTET-STREAM\""),
        false => {
            word(out, &this.media_type);
            out.byte(b' ');
            word(out, &this.subtype);
        }
    }
    out.byte(b' ');
    params(out, &this.params);
    out.byte(b' ');
    out.nstring(this.id.as_deref());
    out.byte(b' ');
    out.nstring(this.description.as_deref());
    out.byte(b' ');
    encoding(out, &this.encoding);
    out.byte(b' ');
    out.number(this.body.len() as u64);
    if this.media_type == "text" {
        out.byte(b' ');
        out.number(u64::from(this.lines));
    }
}

/// Disposition, language and location, which end every part of BODYSTRUCTURE.
fn extension(out: &mut Out, this: &crate::mail::Part) {
    out.byte(b' ');
    disposition(out, this.disposition.as_ref());
    out.byte(b' ');
    match &this.languages[..] {
        [] => out.raw("NIL"),
        [one] => out.string(one.as_bytes()),
        many => {
            for (at, language) in many.iter().enumerate() {
                out.byte(if at == 0 { b'(' } else { b' ' });
                out.string(language.as_bytes());
            }
            out.byte(b')');
        }
    }
    out.byte(b' ');
    out.nstring(this.location.as_deref());
}

fn disposition(out: &mut Out, disposition: Option<&Disposition>) {
    let Some(disposition) = disposition else { return out.raw("NIL") };
    out.byte(b'(');
    word(out, &disposition.kind);
    out.byte(b' ');
    params(out, &disposition.params);
    out.byte(b')');
}

fn params(out: &mut Out, params: &[Param]) {
    if params.is_empty() {
        return out.raw("NIL");
    }
    for (at, param) in params.iter().enumerate() {
        out.byte(if at == 0 { b'(' } else { b' ' });
        word(out, &param.name);
        out.byte(b' ');
        out.string(&param.value);
    }
    out.byte(b')');
}

fn encoding(out: &mut Out, encoding: &Encoding) {
    word(out, encoding.as_str());
}

/// A word of MIME, in capitals as clients have seen it for thirty years.
fn word(out: &mut Out, word: &str) {
    out.string(word.to_ascii_uppercase().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::{Command, grammar};

    /// The items of a FETCH.
    fn plan(items: &str) -> Plan {
        let line = format!("a FETCH 1 ({items})\r\n");
        match grammar::command(line.as_bytes()).unwrap().1 {
            Command::Fetch { items, .. } => Plan::new(&items, true),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_in_pieces_is_the_whole_and_no_piece_is_large() {
        let plan = plan(
            "FLAGS BODY.PEEK[]<0.9999> BODY.PEEK[] BODY.PEEK[]<90.20> BODY.PEEK[]<9999.1> \
             BODY.PEEK[HEADER] BODY.PEEK[HEADER.FIELDS (A)]<1.6> BODY.PEEK[HEADER.FIELDS.NOT (A)] \
             BODY.PEEK[7] RFC822.SIZE BODY.PEEK[]<1.9999>",
        );
        let header = *b"A: 1\r\nB: 2\r\nA: 3\r\n\r\n";
        let body = [&header[..], &b"0123456789".repeat(40)].concat();
        let message = Message {
            uid: 7,
            flags: "\\Seen",
            received: UnixTime(0),
            size: body.len() as u32,
            header: Some(&header),
            envelope: None,
            structure: None,
            body: Some(&body),
        };
        let mut whole = Out::new();
        assert!(Answer::new(1, true).write(&mut whole, &plan, &message, usize::MAX));
        let text = String::from_utf8_lossy(whole.as_bytes());
        assert!(text.starts_with("* 1 FETCH (UID 7 FLAGS (\\Seen) BODY[]<0> {"), "{text}");
        assert!(text.contains(" BODY[HEADER.FIELDS (A)]<1> {6}\r\n: 1\r\nA BODY["), "{text}");
        assert!(text.contains(" BODY[]<9999> {0}\r\n BODY[HEADER]"), "{text}");
        assert!(text.contains(" BODY[7] NIL RFC822.SIZE "), "{text}");
        for most in 1..100 {
            let (mut answer, mut all, mut done) = (Answer::new(1, true), Vec::new(), false);
            while !done {
                let mut piece = Out::new();
                done = answer.write(&mut piece, &plan, &message, most);
                assert!(piece.len() <= most + 48, "{} octets for {most}", piece.len());
                all.extend(piece.take());
            }
            assert_eq!(all, whole.as_bytes(), "{most}");
        }
    }
}
