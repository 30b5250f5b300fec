//! The grammar: a whole command into a [`Command`], in one pass, without looking back.
//!
//! [`command`] reads a command that has come whole; [`prefix`] reads one as far as a literal that
//! is announced but has not come, so that a client who waits for `+` is told of a mistake instead.
//!
//! # Standards
//! RFC 3501 §9. One file for each family of commands.

mod cursor;
mod fetch;
mod list;
mod mailbox;
mod search;

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;

use cursor::{Cursor, Parsed};
pub use cursor::{ErrorKind, Failure, SyntaxError};

use super::command::{Append, Command};
use super::limits;
use super::sequence::SequenceSet;
use super::value::{Tag, is_astring_char};
use crate::base::secret::SecretBytes;

/// The tag of a command, where it has one: needed to answer even what cannot be read.
pub fn tag(input: &[u8]) -> Option<Tag> {
    let end = input.iter().position(|&byte| byte == b' ')?;
    Tag::new(&input[..end])
}

/// Reads a whole command with its CRLF.
pub fn command(input: &[u8]) -> Result<(Tag, Command), SyntaxError> {
    let mut cursor = Cursor::new(input);
    let read = whole(&mut cursor);
    let end = cursor.at();
    read.map_err(|failure| match failure {
        Failure::Syntax(error) => error,
        Failure::Incomplete => {
            SyntaxError { offset: end, expected: "a literal", kind: ErrorKind::Syntax }
        }
    })
}

/// What a command is as far as it has come.
#[derive(Debug)]
pub enum Prefix {
    /// Right so far; the literal may come.
    Right,
    /// APPEND, and the literal is its message.
    Append(Tag, Append),
}

/// Reads a command as far as the literal that its last line announces.
pub fn prefix(input: &[u8]) -> Result<Prefix, SyntaxError> {
    let mut cursor = Cursor::new(input);
    if let Some((tag, append)) = append_prefix(&mut cursor)? {
        return Ok(Prefix::Append(tag, append));
    }
    let mut cursor = Cursor::new(input);
    match whole(&mut cursor) {
        Err(Failure::Syntax(error)) => Err(error),
        Err(Failure::Incomplete) => Ok(Prefix::Right),
        Ok(_) => Ok(Prefix::Right),
    }
}

/// Whether a command, as far as it has come, is APPEND, right or wrong.
pub fn is_append(input: &[u8]) -> bool {
    let mut cursor = Cursor::new(input);
    let named = read_tag(&mut cursor).and_then(|_| cursor.sp());
    named.is_ok() && cursor.accept_word("APPEND")
}

fn append_prefix(cursor: &mut Cursor<'_>) -> Result<Option<(Tag, Append)>, SyntaxError> {
    let read = (|| {
        let tag = read_tag(cursor)?;
        cursor.sp()?;
        if !cursor.accept_word("APPEND") {
            return Ok(None);
        }
        Ok(Some((tag, mailbox::append(cursor)?)))
    })();
    match read {
        Ok(append) => Ok(append),
        Err(Failure::Incomplete) => Ok(None),
        Err(Failure::Syntax(error)) => Err(error),
    }
}

fn whole(cursor: &mut Cursor<'_>) -> Parsed<(Tag, Command)> {
    let tag = read_tag(cursor)?;
    cursor.sp()?;
    let command = named(cursor)?;
    cursor.crlf()?;
    Ok((tag, command))
}

fn read_tag(cursor: &mut Cursor<'_>) -> Parsed<Tag> {
    let start = cursor.fail("a tag");
    let octets = cursor.take_while(|byte| is_astring_char(byte) && byte != b'+');
    Tag::new(octets).map_or(start, Ok)
}

fn named(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let unknown = cursor.fail_as(ErrorKind::UnknownCommand, "a command");
    let Ok(name) = cursor.upper_atom("a command") else { return unknown };
    match name.as_str() {
        "CAPABILITY" => Ok(Command::Capability),
        "NOOP" => Ok(Command::Noop),
        "LOGOUT" => Ok(Command::Logout),
        "STARTTLS" => Ok(Command::StartTls),
        "NAMESPACE" => Ok(Command::Namespace),
        "IDLE" => Ok(Command::Idle),
        "CHECK" => Ok(Command::Check),
        "CLOSE" => Ok(Command::Close),
        "UNSELECT" => Ok(Command::Unselect),
        "EXPUNGE" => Ok(Command::Expunge(None)),
        "ID" => id(cursor),
        "ENABLE" => enable(cursor),
        "LOGIN" => login(cursor),
        "AUTHENTICATE" => authenticate(cursor),
        "UID" => uid(cursor),
        "FETCH" => fetch::fetch(cursor, false),
        "STORE" => fetch::store(cursor, false),
        "SEARCH" => search::search(cursor, false),
        "COPY" => mailbox::copy(cursor, false),
        "MOVE" => mailbox::move_(cursor, false),
        "LIST" => list::list(cursor),
        "LSUB" => list::lsub(cursor),
        name => mailbox::named(cursor, name)?.map_or(unknown, Ok),
    }
}

/// RFC 3501 §6.4.8; RFC 4315 §2.1; RFC 6851.
fn uid(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.sp()?;
    let unknown = cursor.fail_as(ErrorKind::UnknownCommand, "a command that UID can go with");
    match cursor.upper_atom("a command")?.as_str() {
        "FETCH" => fetch::fetch(cursor, true),
        "STORE" => fetch::store(cursor, true),
        "SEARCH" => search::search(cursor, true),
        "COPY" => mailbox::copy(cursor, true),
        "MOVE" => mailbox::move_(cursor, true),
        "EXPUNGE" => {
            cursor.sp()?;
            Ok(Command::Expunge(Some(sequence_set(cursor)?)))
        }
        _ => unknown,
    }
}

fn login(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.sp()?;
    let user = SecretBytes::new(cursor.astring("a user name")?);
    cursor.sp()?;
    let password = SecretBytes::new(cursor.astring("a password")?);
    Ok(Command::Login { user, password })
}

/// RFC 3501 §6.2.2, RFC 4959 §3.
fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.sp()?;
    let mechanism = cursor.upper_atom("a mechanism")?;
    let initial = match cursor.accept(b' ') {
        true => match cursor.take_while(is_base64_char) {
            [] => return cursor.fail("an initial response"),
            response => Some(SecretBytes::new(response.to_vec())),
        },
        false => None,
    };
    Ok(Command::Authenticate { mechanism, initial })
}

fn is_base64_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// RFC 5161 §3.1.
fn enable(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut names = Vec::new();
    while names.is_empty() || cursor.peek() == Some(b' ') {
        if names.len() == limits::FLAGS_MAX {
            return cursor.fail("fewer capabilities");
        }
        cursor.sp()?;
        names.push(cursor.upper_atom("a capability")?);
    }
    Ok(Command::Enable(names))
}

/// RFC 2971 §3.1.
fn id(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.sp()?;
    if cursor.accept_word("NIL") {
        return Ok(Command::Id);
    }
    cursor.list(limits::ID_PAIRS_MAX, true, |cursor| {
        let name = cursor.string("a field")?;
        cursor.sp()?;
        let value = cursor.nstring("a value or NIL")?;
        match name.len().max(value.map_or(0, |value| value.len())) <= limits::ID_VALUE_BYTES_MAX {
            true => Ok(()),
            false => cursor.fail("a shorter value"),
        }
    })?;
    Ok(Command::Id)
}

/// RFC 3501 §9, `sequence-set`.
fn sequence_set(cursor: &mut Cursor<'_>) -> Parsed<SequenceSet> {
    let mut ranges = Vec::new();
    loop {
        if ranges.len() == limits::SEQUENCE_RANGES_MAX {
            return cursor.fail("fewer ranges");
        }
        let first = sequence_number(cursor)?;
        let last = if cursor.accept(b':') { sequence_number(cursor)? } else { first };
        ranges.push((first, last));
        if !cursor.accept(b',') {
            break;
        }
    }
    SequenceSet::new(ranges).map_or_else(|| cursor.fail("a sequence set"), Ok)
}

fn sequence_number(cursor: &mut Cursor<'_>) -> Parsed<Option<u32>> {
    match cursor.peek() {
        Some(b'*') => {
            cursor.accept(b'*');
            Ok(None)
        }
        Some(byte) if byte.is_ascii_digit() => cursor.nz_number().map(Some),
        _ => cursor.fail("a message number or `*`"),
    }
}
