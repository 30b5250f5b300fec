//! LIST and LSUB.
//!
//! # Standards
//! RFC 3501 §6.3.8-9, RFC 5258 §6 (extended), RFC 5819 (STATUS), RFC 6154 (SPECIAL-USE).

use super::super::command::{Command, ListCommand, ListReturn, ListSelect};
use super::super::utf7;
use super::super::value::{is_astring_char, is_atom_char};
use super::cursor::{Cursor, ErrorKind, Parsed};
use super::limits;
use super::mailbox::status_items;

/// LIST behind its name.
pub fn list(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.sp()?;
    let mut extended = cursor.peek() == Some(b'(');
    let mut select = Vec::new();
    if extended {
        select = cursor.list(8, true, select_option)?;
        cursor.sp()?;
    }
    let reference = decoded(cursor, |cursor| cursor.astring("a reference name"))?;
    cursor.sp()?;
    let patterns = match cursor.peek() {
        Some(b'(') => {
            extended = true;
            cursor.list(limits::LIST_PATTERNS_MAX, false, |cursor| decoded(cursor, list_mailbox))?
        }
        _ => vec![decoded(cursor, list_mailbox)?],
    };
    let mut returns = Vec::new();
    if cursor.accept(b' ') {
        extended = true;
        if !cursor.accept_word("RETURN") {
            return cursor.fail("RETURN");
        }
        cursor.sp()?;
        returns = cursor.list(8, true, return_option)?;
    }
    check_recursive(cursor, &select)?;
    Ok(Command::List(ListCommand { reference, patterns, select, returns, extended }))
}

/// LSUB behind its name.
pub fn lsub(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.sp()?;
    let reference = decoded(cursor, |cursor| cursor.astring("a reference name"))?;
    cursor.sp()?;
    let pattern = decoded(cursor, list_mailbox)?;
    Ok(Command::Lsub { reference, pattern })
}

/// RFC 5258 §3.1: RECURSIVEMATCH needs a criterion that a child could meet.
fn check_recursive(cursor: &Cursor<'_>, select: &[ListSelect]) -> Parsed<()> {
    let recursive = select.contains(&ListSelect::RecursiveMatch);
    let criterion = [ListSelect::Subscribed, ListSelect::SpecialUse];
    match recursive && !criterion.iter().any(|option| select.contains(option)) {
        true => cursor.fail("another selection option beside RECURSIVEMATCH"),
        false => Ok(()),
    }
}

fn select_option(cursor: &mut Cursor<'_>) -> Parsed<ListSelect> {
    let unknown = cursor.fail("a selection option");
    match cursor.upper_atom("a selection option")?.as_str() {
        "SUBSCRIBED" => Ok(ListSelect::Subscribed),
        "REMOTE" => Ok(ListSelect::Remote),
        "RECURSIVEMATCH" => Ok(ListSelect::RecursiveMatch),
        "SPECIAL-USE" => Ok(ListSelect::SpecialUse),
        _ => unknown,
    }
}

fn return_option(cursor: &mut Cursor<'_>) -> Parsed<ListReturn> {
    let unknown = cursor.fail("a return option");
    match cursor.upper_atom("a return option")?.as_str() {
        "SUBSCRIBED" => Ok(ListReturn::Subscribed),
        "CHILDREN" => Ok(ListReturn::Children),
        "SPECIAL-USE" => Ok(ListReturn::SpecialUse),
        "STATUS" => {
            cursor.sp()?;
            status_items(cursor).map(ListReturn::Status)
        }
        _ => unknown,
    }
}

/// RFC 3501 §9: `list-mailbox = 1*list-char / string`.
fn list_mailbox(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    match cursor.peek() {
        Some(b'"' | b'{') => cursor.string("a pattern"),
        _ => match cursor.take_while(is_list_char) {
            [] => cursor.fail("a pattern"),
            pattern => Ok(pattern.to_vec()),
        },
    }
}

fn is_list_char(byte: u8) -> bool {
    is_atom_char(byte) || is_astring_char(byte) || matches!(byte, b'*' | b'%')
}

fn decoded(
    cursor: &mut Cursor<'_>,
    read: impl Fn(&mut Cursor<'_>) -> Parsed<Vec<u8>>,
) -> Parsed<String> {
    let bad = cursor.fail_as(ErrorKind::MailboxName, "a pattern in modified UTF-7");
    let wire = read(cursor)?;
    let name = utf7::decode(&wire).filter(|name| name.len() <= limits::MAILBOX_BYTES_MAX);
    name.map_or(bad, Ok)
}
