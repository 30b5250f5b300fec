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

/// Writes `* n FETCH (..)`. `with_flags` adds FLAGS where the plan has not got them: `\Seen` was
/// set.
pub fn write_fetch(
    out: &mut Out,
    number: u32,
    plan: &Plan,
    message: &Message<'_>,
    with_flags: bool,
) {
    out.raw("* ");
    out.number(u64::from(number));
    out.raw(" FETCH (");
    let mut first = true;
    let mut next = |out: &mut Out| {
        if !std::mem::take(&mut first) {
            out.byte(b' ');
        }
    };
    if plan.uid {
        next(out);
        out.raw("UID ");
        out.number(u64::from(message.uid));
    }
    for item in &plan.items {
        next(out);
        write_item(out, item, message);
    }
    if with_flags && !plan.wants_flags {
        next(out);
        write_item(out, &FetchItem::Flags, message);
    }
    out.raw(")\r\n");
}

fn write_item(out: &mut Out, item: &FetchItem, message: &Message<'_>) {
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
        FetchItem::Section(section) => write_section(out, section, message),
    }
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

fn write_section(out: &mut Out, item: &SectionItem, message: &Message<'_>) {
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
    match &item.part.text {
        Some(SectionText::HeaderFields(names)) => {
            let block = section_octets(&item.part.path, Some(&SectionText::Header), message);
            write_selected(out, block, names, false, item.partial);
        }
        Some(SectionText::HeaderFieldsNot(names)) => {
            let block = section_octets(&item.part.path, Some(&SectionText::Header), message);
            write_selected(out, block, names, true, item.partial);
        }
        text => match section_octets(&item.part.path, text.as_ref(), message) {
            Some(octets) => out.literal(cut(octets, item.partial)),
            None => out.raw("NIL"),
        },
    }
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

/// RFC 3501 §6.4.5: HEADER.FIELDS always ends with an empty line.
fn write_selected(
    out: &mut Out,
    block: Option<&[u8]>,
    names: &[String],
    not: bool,
    partial: Option<Partial>,
) {
    match block {
        Some(block) => out.literal(cut(&header::select(block, names, not), partial)),
        None => out.raw("NIL"),
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
