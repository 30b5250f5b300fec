//! Commands that name a mailbox: SELECT to APPEND, STATUS, COPY and MOVE.

use super::super::command::{Append, Command, SelectParam, StatusItem};
use super::super::value::{Flag, MailboxName};
use super::cursor::{Cursor, ErrorKind, Parsed};
use super::{limits, sequence_set};
use crate::mail::DateTime;

/// The command `name`, if it is one of this family.
pub fn named(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Option<Command>> {
    let with: fn(MailboxName) -> Command = match name {
        "SELECT" => return select(cursor, Command::Select).map(Some),
        "EXAMINE" => return select(cursor, Command::Examine).map(Some),
        "RENAME" => return rename(cursor).map(Some),
        "STATUS" => return status(cursor).map(Some),
        "CREATE" => Command::Create,
        "DELETE" => Command::Delete,
        "SUBSCRIBE" => Command::Subscribe,
        "UNSUBSCRIBE" => Command::Unsubscribe,
        // A whole APPEND never comes here: its message is read as a stream.
        "APPEND" => return append(cursor).and_then(|_| cursor.fail("a literal")),
        _ => return Ok(None),
    };
    cursor.sp()?;
    mailbox(cursor).map(with).map(Some)
}

/// RFC 3501 §9: `mailbox`.
pub fn mailbox(cursor: &mut Cursor<'_>) -> Parsed<MailboxName> {
    let bad = cursor.fail_as(ErrorKind::MailboxName, "a mailbox name in modified UTF-7");
    let wire = cursor.astring("a mailbox name")?;
    MailboxName::from_wire(&wire).map_or(bad, Ok)
}

fn select(
    cursor: &mut Cursor<'_>,
    with: fn(MailboxName, Vec<SelectParam>) -> Command,
) -> Parsed<Command> {
    cursor.sp()?;
    let name = mailbox(cursor)?;
    let params = match cursor.accept(b' ') {
        false => Vec::new(),
        // RFC 4466 §2.1. CONDSTORE is not announced; a client that sends it nevertheless is served.
        true => cursor.list(4, false, |cursor| match cursor.accept_word("CONDSTORE") {
            true => Ok(SelectParam::Condstore),
            false => cursor.fail("a parameter that is announced"),
        })?,
    };
    Ok(with(name, params))
}

fn rename(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.sp()?;
    let from = mailbox(cursor)?;
    cursor.sp()?;
    Ok(Command::Rename { from, to: mailbox(cursor)? })
}

fn status(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.sp()?;
    let name = mailbox(cursor)?;
    cursor.sp()?;
    Ok(Command::Status(name, status_items(cursor)?))
}

/// `"(" status-att *(SP status-att) ")"`
pub fn status_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    cursor.list(16, false, |cursor| {
        let unknown = cursor.fail("a status item");
        let name = cursor.upper_atom("a status item")?;
        StatusItem::ALL.into_iter().find(|item| item.as_str() == name).map_or(unknown, Ok)
    })
}

/// COPY behind its name.
pub fn copy(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    let (set, to) = set_and_mailbox(cursor)?;
    Ok(Command::Copy { uid, set, to })
}

/// MOVE behind its name.
pub fn move_(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    let (set, to) = set_and_mailbox(cursor)?;
    Ok(Command::Move { uid, set, to })
}

fn set_and_mailbox(
    cursor: &mut Cursor<'_>,
) -> Parsed<(super::super::sequence::SequenceSet, MailboxName)> {
    cursor.sp()?;
    let set = sequence_set(cursor)?;
    cursor.sp()?;
    Ok((set, mailbox(cursor)?))
}

/// APPEND behind its name, as far as its message. RFC 3501 §6.3.11.
pub fn append(cursor: &mut Cursor<'_>) -> Parsed<Append> {
    cursor.sp()?;
    let mailbox = mailbox(cursor)?;
    cursor.sp()?;
    let flags = match cursor.peek() {
        Some(b'(') => {
            let flags = flag_list(cursor)?;
            cursor.sp()?;
            flags
        }
        _ => Vec::new(),
    };
    let date = match cursor.peek() {
        Some(b'"') => {
            let date = date_time(cursor)?;
            cursor.sp()?;
            Some(date)
        }
        _ => None,
    };
    let waits = !cursor.rest().ends_with(b"+}\r\n");
    let size = cursor.literal_head()?;
    Ok(Append { mailbox, flags, date, size, waits })
}

fn date_time(cursor: &mut Cursor<'_>) -> Parsed<DateTime> {
    let bad = cursor.fail("a date and time");
    let text = cursor.string("a date and time")?;
    DateTime::parse_imap(&text).map_or(bad, Ok)
}

/// RFC 3501 §9: `flag-list`. `\Recent` is dropped: nobody can set it, and some clients send it
/// back.
pub fn flag_list(cursor: &mut Cursor<'_>) -> Parsed<Vec<Flag>> {
    let flags = cursor.list(limits::FLAGS_MAX, true, flag)?;
    Ok(flags.into_iter().flatten().collect())
}

/// One flag; `None` for `\Recent`.
pub fn flag(cursor: &mut Cursor<'_>) -> Parsed<Option<Flag>> {
    if !cursor.accept(b'\\') {
        return keyword(cursor).map(Flag::Keyword).map(Some);
    }
    let unknown = cursor.fail("a system flag");
    match cursor.upper_atom("a system flag")?.as_str() {
        "ANSWERED" => Ok(Some(Flag::Answered)),
        "FLAGGED" => Ok(Some(Flag::Flagged)),
        "DELETED" => Ok(Some(Flag::Deleted)),
        "SEEN" => Ok(Some(Flag::Seen)),
        "DRAFT" => Ok(Some(Flag::Draft)),
        "RECENT" => Ok(None),
        _ => unknown,
    }
}

/// RFC 3501 §9: `flag-keyword = atom`.
pub fn keyword(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let too_long = cursor.fail("a shorter keyword");
    let atom = cursor.atom("a flag")?;
    match atom.len() <= limits::KEYWORD_BYTES_MAX {
        true => Ok(atom.iter().map(|&byte| char::from(byte)).collect()),
        false => too_long,
    }
}
