//! What the grammar reads, what it refuses, and that nothing upsets it.

use super::super::command::{Command, FetchItem, Part, Partial, SearchKey, SectionText};
use super::super::limits;
use super::{ErrorKind, Prefix, command, prefix};
use proptest::prelude::*;

fn read(text: &str) -> Result<Command, super::SyntaxError> {
    command(format!("a {text}\r\n").as_bytes()).map(|(_, command)| command)
}

fn section(text: &str) -> (Part, Option<Partial>) {
    match read(&format!("FETCH 1 {text}")) {
        Ok(Command::Fetch { items, .. }) => match &items[..] {
            [FetchItem::Section(item)] => (item.part.clone(), item.partial),
            other => panic!("{text}: {other:?}"),
        },
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn sections_are_read_to_the_last_bracket() {
    let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let part = |path: &[u32], text| (Part { path: path.to_vec(), text }, None);
    assert_eq!(section("BODY[]"), part(&[], None));
    assert_eq!(section("BODY.PEEK[1.2.MIME]"), part(&[1, 2], Some(SectionText::Mime)));
    assert_eq!(section("body[3.HEADER]"), part(&[3], Some(SectionText::Header)));
    assert_eq!(
        section("BODY.PEEK[HEADER.FIELDS (From \"To\")]"),
        part(&[], Some(SectionText::HeaderFields(fields(&["From", "To"]))))
    );
    assert_eq!(
        section("BODY[HEADER.FIELDS.NOT (X)]<0.2048>"),
        (
            Part { path: vec![], text: Some(SectionText::HeaderFieldsNot(fields(&["X"]))) },
            Some(Partial { offset: 0, octets: 2048 })
        )
    );
    for bad in ["BODY[MIME]", "BODY[0]", "BODY[1.]", "BODY[HEADER.FIELDS ()]", "BODY[]<1.0>"] {
        assert!(read(&format!("FETCH 1 {bad}")).is_err(), "{bad}");
    }
    assert!(read("FETCH 1 BODY[HEADER.FIELDS (a:b)]").is_err());
}

#[test]
fn macros_stand_alone() {
    assert!(read("FETCH 1 FULL").is_ok());
    assert!(read("FETCH 1 (FULL)").is_err());
    assert!(read("FETCH 1 ()").is_err());
}

#[test]
fn what_is_not_announced_is_refused() {
    for text in [
        "SEARCH RETURN (MIN) ALL",
        "FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
        "STORE 1 (UNCHANGEDSINCE 1) FLAGS ()",
        "SELECT x (QRESYNC (1 2))",
        "XLIST \"\" *",
        "COMPRESS DEFLATE",
        "CREATE x (USE (\\Sent))",
        "STATUS x (HIGHESTMODSEQ)",
        "LIST (RECURSIVEMATCH) \"\" *",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(read("SELECT x (CONDSTORE)").is_ok(), "passed over");
}

#[test]
fn errors_say_where_and_what_kind() {
    assert_eq!(read("FOO").unwrap_err().kind, ErrorKind::UnknownCommand);
    assert_eq!(read("UID FOO 1").unwrap_err().kind, ErrorKind::UnknownCommand);
    assert_eq!(read("SELECT &").unwrap_err().kind, ErrorKind::MailboxName);
    assert_eq!(read("SEARCH CHARSET X ALL").unwrap_err().kind, ErrorKind::Charset);
    assert_eq!(read("FETCH 0 UID").unwrap_err().offset, 8);
    assert_eq!(command(b"a NOOP\n").unwrap_err().offset, 6, "a line ends with CRLF");
    assert!(command(b"a LOGIN {3}\r\na\0b x\r\n").is_err(), "no NUL in a literal");
}

#[test]
fn nesting_is_bounded_and_deep_enough_for_clients() {
    let nested = |depth: usize| format!("SEARCH {}ALL", "NOT ".repeat(depth));
    assert!(read(&nested(limits::SEARCH_DEPTH_MAX - 1)).is_ok());
    assert!(read(&nested(limits::SEARCH_DEPTH_MAX)).is_err());
    assert!(read(&format!("SEARCH {}", "(".repeat(60_000))).is_err());
    let chain = format!("SEARCH {}SUBJECT x", "OR SUBJECT x ".repeat(200));
    assert!(matches!(read(&chain), Ok(Command::Search { key: SearchKey::Or(..), .. })));
    let many = format!("SEARCH{}", " ALL".repeat(limits::SEARCH_KEYS_MAX + 1));
    assert!(read(&many).is_err());
}

#[test]
fn a_prefix_is_right_wrong_or_an_append() {
    assert!(matches!(prefix(b"a LOGIN {3}\r\n"), Ok(Prefix::Right)));
    assert!(matches!(prefix(b"a LOGIN x {0}\r\n"), Ok(Prefix::Right)));
    assert!(prefix(b"a NOOP {3}\r\n").is_err());
    assert!(prefix(b"a FETCH x {3}\r\n").is_err());
    let append = prefix(b"a APPEND x (\\Seen) \" 1-Feb-2020 00:00:00 +0000\" {300+}\r\n");
    let Ok(Prefix::Append(tag, append)) = append else { panic!("{append:?}") };
    assert_eq!((tag.as_str(), append.size, append.waits), ("a", 300, false));
    assert!(append.date.is_some() && append.flags.len() == 1);
    assert!(matches!(prefix(b"a APPEND {1}\r\n"), Ok(Prefix::Right)), "the mailbox's name");
    assert!(prefix(b"a APPEND x (\\Foo) {3}\r\n").is_err());
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(octets: Vec<u8>) {
        let _ = command(&octets);
        let _ = prefix(&octets);
    }

    #[test]
    fn nothing_that_looks_like_a_command_makes_it_panic(
        name in "(UID )?(FETCH|STORE|SEARCH|LIST|APPEND|STATUS|ID|ENABLE)",
        rest in "[A-Z0-9 ()\\[\\]<>.:*,\"{}\\\\+-]{0,60}",
    ) {
        let line = format!("a {name} {rest}\r\n").into_bytes();
        let _ = command(&line);
        let _ = prefix(&line);
        // A command that is cut off is never read as a whole one.
        for end in 0..line.len() {
            prop_assert!(command(&line[..end]).is_err());
        }
    }
}
