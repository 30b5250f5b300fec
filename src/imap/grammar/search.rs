//! SEARCH.
//!
//! Nesting is read with recursion, which [`limits::SEARCH_DEPTH_MAX`] bounds.
//!
//! # Standards
//! RFC 3501 §6.4.4, §9 (`search-key`).

use super::super::command::{Command, SearchKey, When};
use super::super::value::{Date, Flag};
use super::cursor::{Cursor, ErrorKind, Parsed};
use super::mailbox::keyword;
use super::{limits, sequence_set};

/// SEARCH behind its name.
pub fn search(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.sp()?;
    if cursor.accept_word("CHARSET") {
        cursor.sp()?;
        charset(cursor)?;
        cursor.sp()?;
    }
    let mut reader = Reader { cursor, keys: 0 };
    let mut keys = vec![reader.key(0)?];
    while reader.cursor.accept(b' ') {
        keys.push(reader.key(0)?);
    }
    Ok(Command::Search { uid, key: all_of(keys) })
}

fn charset(cursor: &mut Cursor<'_>) -> Parsed<()> {
    let unknown = cursor.fail_as(ErrorKind::Charset, "the charset US-ASCII or UTF-8");
    let name = cursor.astring("a charset")?.to_ascii_uppercase();
    match name.as_slice() {
        b"US-ASCII" | b"UTF-8" => Ok(()),
        _ => unknown,
    }
}

fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    match keys.len() {
        1 => keys.remove(0),
        _ => SearchKey::And(keys),
    }
}

struct Reader<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    keys: usize,
}

impl Reader<'_, '_> {
    fn key(&mut self, depth: usize) -> Parsed<SearchKey> {
        self.keys += 1;
        if depth >= limits::SEARCH_DEPTH_MAX || self.keys > limits::SEARCH_KEYS_MAX {
            return self.cursor.fail("a simpler search");
        }
        match self.cursor.peek() {
            Some(b'(') => self.parenthesised(depth),
            Some(b'*' | b'0'..=b'9') => sequence_set(self.cursor).map(SearchKey::Messages),
            _ => self.named(depth),
        }
    }

    fn parenthesised(&mut self, depth: usize) -> Parsed<SearchKey> {
        self.cursor.expect(b'(', "a list of keys")?;
        let mut keys = vec![self.key(depth + 1)?];
        while !self.cursor.accept(b')') {
            self.cursor.sp()?;
            keys.push(self.key(depth + 1)?);
        }
        Ok(all_of(keys))
    }

    fn named(&mut self, depth: usize) -> Parsed<SearchKey> {
        let unknown = self.cursor.fail("a search key");
        let name = self.cursor.upper_atom("a search key")?;
        if let Some(key) = flag_key(&name) {
            return Ok(key);
        }
        if let Some(key) = self.text_key(&name)? {
            return Ok(key);
        }
        match name.as_str() {
            "NOT" => {
                self.cursor.sp()?;
                Ok(SearchKey::Not(Box::new(self.key(depth + 1)?)))
            }
            "OR" => {
                self.cursor.sp()?;
                let left = self.key(depth + 1)?;
                self.cursor.sp()?;
                Ok(SearchKey::Or(Box::new(left), Box::new(self.key(depth + 1)?)))
            }
            _ => self.valued(&name)?.map_or(unknown, Ok),
        }
    }

    /// Keys that take a text.
    fn text_key(&mut self, name: &str) -> Parsed<Option<SearchKey>> {
        Ok(Some(match name {
            "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" => {
                SearchKey::Header(name.to_owned(), self.text()?)
            }
            "HEADER" => {
                let field = self.text()?;
                SearchKey::Header(field, self.text()?)
            }
            "BODY" => SearchKey::Body(self.text()?),
            "TEXT" => SearchKey::Text(self.text()?),
            _ => return Ok(None),
        }))
    }

    /// Keys that take a number, a day, a keyword or a set.
    fn valued(&mut self, name: &str) -> Parsed<Option<SearchKey>> {
        let (received, sent) = (SearchKey::Received, SearchKey::Sent);
        let key = match name {
            "BEFORE" => received(When::Before, self.day()?),
            "ON" => received(When::On, self.day()?),
            "SINCE" => received(When::Since, self.day()?),
            "SENTBEFORE" => sent(When::Before, self.day()?),
            "SENTON" => sent(When::On, self.day()?),
            "SENTSINCE" => sent(When::Since, self.day()?),
            "LARGER" | "SMALLER" | "KEYWORD" | "UNKEYWORD" | "UID" => {
                self.cursor.sp()?;
                match name {
                    "LARGER" => SearchKey::Larger(self.cursor.number()?),
                    "SMALLER" => SearchKey::Smaller(self.cursor.number()?),
                    "UID" => SearchKey::Uids(sequence_set(self.cursor)?),
                    _ => {
                        let keyword = Flag::Keyword(keyword(self.cursor)?);
                        SearchKey::Flag(keyword, name == "KEYWORD")
                    }
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(key))
    }

    /// A text. Without CHARSET it should be ASCII; UTF-8 is read in any case, for clients send it.
    fn text(&mut self) -> Parsed<String> {
        self.cursor.sp()?;
        let bad = self.cursor.fail_as(ErrorKind::Charset, "a text in UTF-8");
        let octets = self.cursor.astring("a text")?;
        String::from_utf8(octets).map_or(bad, Ok)
    }

    /// RFC 3501 §9: `date = date-text / DQUOTE date-text DQUOTE`.
    fn day(&mut self) -> Parsed<Date> {
        self.cursor.sp()?;
        let bad = self.cursor.fail("a date such as 1-Feb-2026");
        let text = self.cursor.astring("a date")?;
        Date::parse(&text).map_or(bad, Ok)
    }
}

fn flag_key(name: &str) -> Option<SearchKey> {
    let flag = |flag, set| Some(SearchKey::Flag(flag, set));
    match name {
        "ALL" => Some(SearchKey::All),
        "ANSWERED" => flag(Flag::Answered, true),
        "UNANSWERED" => flag(Flag::Answered, false),
        "DELETED" => flag(Flag::Deleted, true),
        "UNDELETED" => flag(Flag::Deleted, false),
        "DRAFT" => flag(Flag::Draft, true),
        "UNDRAFT" => flag(Flag::Draft, false),
        "FLAGGED" => flag(Flag::Flagged, true),
        "UNFLAGGED" => flag(Flag::Flagged, false),
        "SEEN" => flag(Flag::Seen, true),
        "UNSEEN" => flag(Flag::Seen, false),
        "RECENT" => Some(SearchKey::Recent),
        "OLD" => Some(SearchKey::Not(Box::new(SearchKey::Recent))),
        "NEW" => {
            let unseen = SearchKey::Flag(Flag::Seen, false);
            Some(SearchKey::And(vec![SearchKey::Recent, unseen]))
        }
        _ => None,
    }
}
