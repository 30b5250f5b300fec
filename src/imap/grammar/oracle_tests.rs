//! The grammar beside another one: imap-codec, which was written from the same standards.
//!
//! Commands are made from the rules; both must read them, and what the other one writes of what it
//! read must be read here as the same command. Responses that we write must be read by the other
//! one to the last octet.
//!
//! # Exceptions
//! Left out of the comparison, with the reason:
//! - STARTTLS, UID EXPUNGE and NAMESPACE: it does not know them without features;
//! - the initial response of AUTHENTICATE: it decodes base64, we leave that to `sasl`;
//! - extended LIST and LITERAL+ sizes above its own bounds: it does not know RFC 5258;
//! - mailbox names that are no modified UTF-7, and `*` or `%` in them: it takes any string;
//! - 8-bit octets in quoted strings: it refuses them, clients send them in SEARCH;
//! - `\Recent` in flag lists: it refuses it, we drop it;
//! - SEARCH RETURN, SORT, THREAD, QUOTA, METADATA: it reads them, we do not announce them.

use super::super::command::{Command, Partial, SectionItem, SectionText, Spelling};
use super::super::render::{Answer, Message, Plan};
use super::super::respond::Out;
use super::super::{FetchItem, Part};
use super::command;
use crate::base::clock::UnixTime;
use crate::mail::analyse;
use imap_codec::decode::Decoder;
use imap_codec::encode::Encoder;
use imap_codec::{CommandCodec, ResponseCodec};
use proptest::prelude::*;

/// How a command looks to us, without tag: secrets and names are compared by what they are.
fn shape(command: &Command) -> String {
    match command {
        Command::Login { user, password } => format!("{:?} {:?}", user.expose(), password.expose()),
        Command::Select(name, _) | Command::Examine(name, _) => format!("select {}", name.as_str()),
        Command::Create(name)
        | Command::Delete(name)
        | Command::Subscribe(name)
        | Command::Unsubscribe(name) => format!("{command:?} {}", name.as_str()),
        Command::Rename { from, to } => format!("{} {}", from.as_str(), to.as_str()),
        Command::Status(name, items) => format!("{} {items:?}", name.as_str()),
        Command::Copy { set, to, .. } | Command::Move { set, to, .. } => {
            format!("{command:?} {set} {}", to.as_str())
        }
        Command::Store { flags, .. } => {
            let names: Vec<_> = flags.iter().map(|flag| flag.as_str()).collect();
            format!("{command:?} {names:?}")
        }
        other => format!("{other:?}"),
    }
}

fn set() -> impl Strategy<Value = String> {
    "([1-9][0-9]{0,3}|\\*)(:([1-9][0-9]{0,3}|\\*))?(,[1-9][0-9]{0,3}){0,3}"
}

fn astring() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9.$_-]{1,12}".prop_filter("NIL is its own thing", |text| text != "NIL"),
        "\"([a-zA-Z0-9 .(){}]|\\\\\\\\|\\\\\"){0,12}\"",
        "[a-z\\r\\n\"\\\\ ]{1,9}".prop_map(|text| format!("{{{}}}\r\n{text}", text.len())),
    ]
}

fn mailbox() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9.$_-]{1,8}(/[A-Za-z0-9]{1,8}){0,2}",
        Just("inbox".to_owned()),
        Just("\"Kind &APw-\"".to_owned()),
        Just("{4}\r\na&-b".to_owned()),
    ]
}

fn flag() -> impl Strategy<Value = String> {
    prop_oneof!["\\\\(Seen|answered|FLAGGED|Deleted|Draft)", "[$A-Za-z][A-Za-z0-9_]{0,9}",]
}

fn section() -> impl Strategy<Value = String> {
    let part = "([1-9](\\.[1-9]){0,2})?";
    let text = "(HEADER|TEXT|HEADER\\.FIELDS(\\.NOT)? \\((From|Subject|X-Y)( To)?\\))";
    prop_oneof![part, text, "[1-9](\\.[1-9]){0,2}\\.(MIME|HEADER|TEXT)",]
}

fn fetch_item() -> impl Strategy<Value = String> {
    prop_oneof![
        "UID|FLAGS|INTERNALDATE|RFC822\\.SIZE|ENVELOPE|BODY|BODYSTRUCTURE",
        "RFC822|RFC822\\.HEADER|RFC822\\.TEXT",
        (section(), "(<[0-9]{1,4}\\.[1-9][0-9]{0,4}>)?", "(\\.PEEK)?")
            .prop_map(|(section, partial, peek)| format!("BODY{peek}[{section}]{partial}")),
    ]
}

fn date() -> impl Strategy<Value = String> {
    "([1-9]|[12][0-8])-(Jan|Feb|Mar|Sep|Dec)-(19|20)[0-9]{2}"
}

fn search_key() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "ALL|ANSWERED|DELETED|FLAGGED|NEW|OLD|RECENT|SEEN|UNSEEN|UNDELETED|DRAFT|UNDRAFT",
        ("SUBJECT|FROM|TO|CC|BCC|BODY|TEXT", astring())
            .prop_map(|(key, text)| format!("{key} {text}")),
        (astring(), astring()).prop_map(|(name, text)| format!("HEADER {name} {text}")),
        ("BEFORE|ON|SINCE|SENTBEFORE|SENTON|SENTSINCE", date())
            .prop_map(|(key, date)| format!("{key} {date}")),
        "(LARGER|SMALLER) [0-9]{1,9}",
        "(KEYWORD|UNKEYWORD) [A-Za-z$]{1,9}",
        set(),
        set().prop_map(|set| format!("UID {set}")),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| format!("NOT {key}")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("OR {left} {right}")),
            (inner.clone(), inner).prop_map(|(left, right)| format!("({left} {right})")),
        ]
    })
}

fn list<S: Strategy<Value = String>>(item: S, least: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(item, least..4).prop_map(|items| format!("({})", items.join(" ")))
}

fn any_command() -> impl Strategy<Value = String> {
    let simple = "CAPABILITY|NOOP|LOGOUT|CHECK|CLOSE|EXPUNGE|IDLE|UNSELECT";
    let status = "(MESSAGES|RECENT|UIDNEXT|UIDVALIDITY|UNSEEN)( UNSEEN)?";
    prop_oneof![
        simple,
        (astring(), astring()).prop_map(|(user, pass)| format!("LOGIN {user} {pass}")),
        "AUTHENTICATE PLAIN( AHRpbQB4)?",
        ("SELECT|EXAMINE|CREATE|DELETE|SUBSCRIBE|UNSUBSCRIBE", mailbox())
            .prop_map(|(name, mailbox)| format!("{name} {mailbox}")),
        (mailbox(), mailbox()).prop_map(|(from, to)| format!("RENAME {from} {to}")),
        ("LIST|LSUB", "(\"\"|a/)", "(\\*|%|\"\"|a/%|\"b c*\")")
            .prop_map(|(name, reference, pattern)| format!("{name} {reference} {pattern}")),
        (mailbox(), status).prop_map(|(mailbox, items)| format!("STATUS {mailbox} ({items})")),
        ("(UID )?(COPY|MOVE)", set(), mailbox())
            .prop_map(|(name, set, to)| format!("{name} {set} {to}")),
        (
            "(UID )?FETCH",
            set(),
            prop_oneof![
                Just("ALL".to_owned()),
                Just("FULL".to_owned()),
                fetch_item(),
                list(fetch_item(), 1),
            ]
        )
            .prop_map(|(name, set, items)| format!("{name} {set} {items}")),
        ("(UID )?STORE", set(), "[+-]?FLAGS(\\.SILENT)?", list(flag(), 0))
            .prop_map(|(name, set, mode, flags)| format!("{name} {set} {mode} {flags}")),
        ("(UID )?SEARCH( CHARSET UTF-8)?", prop::collection::vec(search_key(), 1..3))
            .prop_map(|(name, keys)| format!("{name} {}", keys.join(" "))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_read_a_command_and_as_the_same(text in any_command()) {
        let wire = format!("a {text}\r\n");
        let (_, ours) = command(wire.as_bytes())
            .map_err(|error| TestCaseError::fail(format!("we refuse {wire:?}: {error:?}")))?;
        let (rest, theirs) = CommandCodec::default().decode(wire.as_bytes())
            .map_err(|error| TestCaseError::fail(format!("they refuse {wire:?}: {error:?}")))?;
        prop_assert!(rest.is_empty());
        let rewritten = CommandCodec::default().encode(&theirs).dump();
        let (_, again) = command(&rewritten).map_err(|error| {
            TestCaseError::fail(format!("{:?}: {error:?}", String::from_utf8_lossy(&rewritten)))
        })?;
        prop_assert_eq!(shape(&again), shape(&ours), "{:?}", wire);
    }

    #[test]
    fn what_both_refuse_is_refused_however_it_is_broken(
        text in any_command(),
        at in any::<prop::sample::Index>(),
        with in "[ ()\\[\\]<>\"{}\\\\*%+:,.A1]",
    ) {
        // One octet is exchanged. We may be stricter than the other grammar (see the exceptions),
        // but what it refuses, we refuse.
        let mut wire = format!("a {text}\r\n").into_bytes();
        let at = at.index(wire.len());
        wire[at] = with.as_bytes()[0];
        if let Ok((_, ours)) = command(&wire) {
            let theirs = CommandCodec::default().decode(&wire);
            let known = matches!(ours, Command::List(ref list) if list.extended)
                || matches!(ours, Command::Authenticate { .. });
            prop_assert!(known || theirs.is_ok(), "{:?}", String::from_utf8_lossy(&wire));
        }
    }
}

/// Some field of a header, with what senders write into it.
fn field() -> impl Strategy<Value = String> {
    let text = "[ -~]{0,30}";
    prop_oneof![
        ("Subject|Date|Message-ID|In-Reply-To|X-Y|Content-ID|Content-Description", text)
            .prop_map(|(name, text)| format!("{name}: {text}")),
        (
            "From|To|Cc|Bcc|Sender|Reply-To",
            "([a-z]{1,5} )?<?[a-z]{0,5}@[a-z]{0,5}>?|g: a@b, c;|\"x\\\\\"y\" <a@b>"
        )
            .prop_map(|(name, text)| format!("{name}: {text}")),
        ("(attachment|inline)(; filename=\"?[a-z. ]{0,9}\"?)?")
            .prop_map(|text| format!("Content-Disposition: {text}")),
        ("[a-z]{2}(, [a-z]{2})?").prop_map(|text| format!("Content-Language: {text}")),
        "Content-Transfer-Encoding: (7bit|8bit|base64|quoted-printable|[a-z]{1,8})",
    ]
}

fn entity() -> impl Strategy<Value = String> {
    let headers = || prop::collection::vec(field(), 0..5).prop_map(|fields| fields.join("\r\n"));
    let leaf = (
        headers(),
        "Content-Type: (text/plain(; charset=utf-8)?|image/x|[a-z]{0,5}/?[a-z]{0,5})",
        "[ -~\r\n]{0,60}",
    )
        .prop_map(|(head, kind, body)| format!("{head}\r\n{kind}\r\n\r\n{body}"));
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            (headers(), prop::collection::vec(inner.clone(), 0..3), "[a-z]{1,4}").prop_map(
                |(head, parts, boundary)| {
                    let kind = format!("Content-Type: multipart/mixed; boundary={boundary}");
                    let parts: String =
                        parts.iter().map(|part| format!("--{boundary}\r\n{part}\r\n")).collect();
                    format!("{head}\r\n{kind}\r\n\r\n{parts}--{boundary}--\r\n")
                }
            ),
            (headers(), inner).prop_map(|(head, message)| {
                format!("{head}\r\nContent-Type: message/rfc822\r\n\r\n{message}")
            }),
        ]
    })
}

fn items() -> Vec<FetchItem> {
    let section = |path: &[u32], text, partial| {
        let part = Part { path: path.to_vec(), text };
        FetchItem::Section(SectionItem { spelling: Spelling::Body, peek: true, part, partial })
    };
    vec![
        FetchItem::Flags,
        FetchItem::InternalDate,
        FetchItem::Rfc822Size,
        FetchItem::Envelope,
        FetchItem::Body,
        FetchItem::BodyStructure,
        section(&[], None, None),
        section(&[], None, Some(Partial { offset: 3, octets: 10 })),
        section(&[1], None, None),
        section(&[2, 1], Some(SectionText::Mime), None),
        section(&[1], Some(SectionText::Header), None),
        section(&[], Some(SectionText::Text), None),
        section(&[], Some(SectionText::HeaderFields(vec!["From".into(), "X".into()])), None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_other_grammar_reads_what_we_write_to_the_last_octet(text in entity()) {
        let octets = text.trim_start().as_bytes();
        let analysis = analyse(octets);
        let message = Message {
            uid: 7,
            flags: "\\Seen $label1 \\Recent",
            received: UnixTime(1_790_000_000),
            size: octets.len() as u32,
            header: octets.get(..analysis.header_bytes),
            envelope: Some(&analysis.envelope),
            structure: Some(&analysis.structure),
            body: Some(octets),
        };
        let mut out = Out::new();
        let plan = Plan::new(&items(), true);
        prop_assert!(Answer::new(3, false).write(&mut out, &plan, &message, usize::MAX));
        let wire = out.take();
        prop_assert!(wire.starts_with(b"* 3 FETCH (UID 7 "));
        match ResponseCodec::default().decode(&wire) {
            Ok((rest, _)) => prop_assert!(rest.is_empty()),
            Err(error) => {
                let shown = String::from_utf8_lossy(&wire).into_owned();
                return Err(TestCaseError::fail(format!("{error:?}: {shown:?}")));
            }
        }
    }
}
