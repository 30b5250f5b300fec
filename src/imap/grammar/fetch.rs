//! FETCH and STORE.
//!
//! # Standards
//! RFC 3501 §6.4.5-6, §9 (`fetch-att`, `section`, `store-att-flags`).

use super::super::command::{
    Command, FetchItem, Part, Partial, SectionItem, SectionText, Spelling, StoreMode,
};
use super::cursor::{Cursor, Parsed};
use super::mailbox::{flag, flag_list};
use super::{limits, sequence_set};

/// FETCH behind its name.
pub fn fetch(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.sp()?;
    let set = sequence_set(cursor)?;
    cursor.sp()?;
    let items = match cursor.peek() {
        Some(b'(') => cursor.list(limits::FETCH_ITEMS_MAX, false, item)?,
        _ => match fetch_macro(cursor) {
            Some(items) => items,
            None => vec![item(cursor)?],
        },
    };
    Ok(Command::Fetch { uid, set, items })
}

/// RFC 3501 §6.4.5: a macro stands alone.
fn fetch_macro(cursor: &mut Cursor<'_>) -> Option<Vec<FetchItem>> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    let fast = vec![Flags, InternalDate, Rfc822Size];
    let with = |more: &[FetchItem]| [&fast, more].concat();
    if cursor.accept_word("ALL") {
        Some(with(&[Envelope]))
    } else if cursor.accept_word("FULL") {
        Some(with(&[Envelope, Body]))
    } else if cursor.accept_word("FAST") {
        Some(fast)
    } else {
        None
    }
}

fn item(cursor: &mut Cursor<'_>) -> Parsed<FetchItem> {
    let unknown = cursor.fail("a fetch item");
    let name = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let bracket = cursor.peek() == Some(b'[');
    let old = |spelling, text, peek| {
        let part = Part { path: Vec::new(), text };
        Ok(FetchItem::Section(SectionItem { spelling, peek, part, partial: None }))
    };
    match name.to_ascii_uppercase().as_slice() {
        b"BODY" if bracket => section_item(cursor, false),
        b"BODY.PEEK" if bracket => section_item(cursor, true),
        b"UID" => Ok(FetchItem::Uid),
        b"FLAGS" => Ok(FetchItem::Flags),
        b"INTERNALDATE" => Ok(FetchItem::InternalDate),
        b"RFC822.SIZE" => Ok(FetchItem::Rfc822Size),
        b"ENVELOPE" => Ok(FetchItem::Envelope),
        b"BODY" => Ok(FetchItem::Body),
        b"BODYSTRUCTURE" => Ok(FetchItem::BodyStructure),
        b"RFC822" => old(Spelling::Rfc822, None, false),
        b"RFC822.HEADER" => old(Spelling::Rfc822Header, Some(SectionText::Header), true),
        b"RFC822.TEXT" => old(Spelling::Rfc822Text, Some(SectionText::Text), false),
        _ => unknown,
    }
}

fn section_item(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<FetchItem> {
    cursor.expect(b'[', "a section")?;
    let part = section(cursor)?;
    cursor.expect(b']', "the end of a section")?;
    let partial = match cursor.accept(b'<') {
        true => Some(partial(cursor)?),
        false => None,
    };
    Ok(FetchItem::Section(SectionItem { spelling: Spelling::Body, peek, part, partial }))
}

fn partial(cursor: &mut Cursor<'_>) -> Parsed<Partial> {
    let offset = cursor.number()?;
    cursor.expect(b'.', "a dot")?;
    let octets = cursor.nz_number()?;
    cursor.expect(b'>', "the end of a partial")?;
    Ok(Partial { offset, octets })
}

/// RFC 3501 §9: `section-spec`, which may be absent.
fn section(cursor: &mut Cursor<'_>) -> Parsed<Part> {
    let mut path = Vec::new();
    while cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        if path.len() == limits::SECTION_DEPTH_MAX {
            return cursor.fail("a shorter part number");
        }
        path.push(cursor.nz_number()?);
        if !cursor.accept(b'.') {
            return Ok(Part { path, text: None });
        }
    }
    if path.is_empty() && cursor.peek() == Some(b']') {
        return Ok(Part::default());
    }
    let text = section_text(cursor, !path.is_empty())?;
    Ok(Part { path, text: Some(text) })
}

fn section_text(cursor: &mut Cursor<'_>, in_part: bool) -> Parsed<SectionText> {
    let unknown = cursor.fail("HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME");
    let name = cursor.take_while(|byte| byte.is_ascii_alphabetic() || byte == b'.');
    match name.to_ascii_uppercase().as_slice() {
        b"HEADER" => Ok(SectionText::Header),
        b"TEXT" => Ok(SectionText::Text),
        // RFC 3501 §6.4.5: MIME is for parts, the message has HEADER.
        b"MIME" if in_part => Ok(SectionText::Mime),
        b"HEADER.FIELDS" => Ok(SectionText::HeaderFields(field_names(cursor)?)),
        b"HEADER.FIELDS.NOT" => Ok(SectionText::HeaderFieldsNot(field_names(cursor)?)),
        _ => unknown,
    }
}

/// RFC 3501 §9: `header-list`; names as RFC 5322 §3.6.8 has them.
fn field_names(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.sp()?;
    cursor.list(limits::FETCH_FIELDS_MAX, false, |cursor| {
        let bad = cursor.fail("the name of a header field");
        let name = cursor.astring("the name of a header field")?;
        let valid = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
        match !name.is_empty() && name.iter().all(valid) {
            true => Ok(name.iter().map(|&byte| char::from(byte)).collect()),
            false => bad,
        }
    })
}

/// STORE behind its name.
pub fn store(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.sp()?;
    let set = sequence_set(cursor)?;
    cursor.sp()?;
    let mode = match cursor.peek() {
        Some(b'+') => StoreMode::Add,
        Some(b'-') => StoreMode::Remove,
        _ => StoreMode::Replace,
    };
    if mode != StoreMode::Replace {
        cursor.accept(b'+');
        cursor.accept(b'-');
    }
    let silent = cursor.accept_word("FLAGS.SILENT");
    if !silent && !cursor.accept_word("FLAGS") {
        return cursor.fail("FLAGS or FLAGS.SILENT");
    }
    cursor.sp()?;
    let flags = match cursor.peek() {
        Some(b'(') => flag_list(cursor)?,
        _ => bare_flags(cursor)?,
    };
    Ok(Command::Store { uid, set, mode, silent, flags })
}

/// RFC 3501 §9: `flag *(SP flag)` without parentheses.
fn bare_flags(cursor: &mut Cursor<'_>) -> Parsed<Vec<super::super::value::Flag>> {
    let mut flags = Vec::new();
    for _ in 0..limits::FLAGS_MAX {
        flags.extend(flag(cursor)?);
        if !cursor.accept(b' ') {
            return Ok(flags);
        }
    }
    cursor.fail("fewer flags")
}
