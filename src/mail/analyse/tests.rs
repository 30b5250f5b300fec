//! The scanner against messages whose structure is known by construction, against mail-parser on
//! sane mail, against the quirks of real mail, and against any octets.

use super::*;
use crate::mail::structure::Section;
use proptest::prelude::*;

/// One line a part: depth, type, header and body as text, line ends.
fn shown(message: &[u8]) -> Vec<String> {
    let analysis = analyse(message);
    check_invariants(message, &analysis);
    let mut out = Vec::new();
    show(message, &analysis.structure, 0, 0, &mut out);
    out
}

fn show(message: &[u8], structure: &Structure, index: usize, depth: usize, out: &mut Vec<String>) {
    let part = &structure.parts[index];
    let body = String::from_utf8_lossy(&message[part.body.range()]).into_owned();
    let body = if part.content == Content::Leaf { format!("{body:?}") } else { String::new() };
    out.push(format!("{}{}/{} {body}", "  ".repeat(depth), part.media_type, part.subtype));
    for child in structure.children(index) {
        show(message, structure, child, depth + 1, out);
    }
}

/// What holds for the analysis of any octets.
fn check_invariants(message: &[u8], analysis: &Analysis) {
    let parts = &analysis.structure.parts;
    assert_eq!(usize::from(parts[0].entries), parts.len());
    assert_eq!(parts[0].header, Span { start: 0, end: analysis.header_bytes as u32 });
    assert_eq!(parts[0].body.start, parts[0].header.end);
    assert_eq!(parts[0].body.end as usize, message.len());
    assert!(parts.len() <= PARTS_MAX);
    for (index, part) in parts.iter().enumerate() {
        assert!(part.header.start <= part.header.end);
        assert_eq!(part.header.end, part.body.start);
        assert!(part.body.start <= part.body.end && part.body.end as usize <= message.len());
        let line_ends = message[part.body.range()].iter().filter(|b| **b == b'\n').count();
        assert_eq!(part.lines as usize, line_ends, "part {index}");
        let children = analysis.structure.children(index);
        match part.content {
            Content::Leaf => assert_eq!(part.entries, 1),
            Content::Multipart => assert!(!children.is_empty()),
            Content::Message(_) => {
                assert_eq!(children, [index + 1]);
                assert_eq!(parts[index + 1].header.start, part.body.start);
                assert_eq!(parts[index + 1].body.end, part.body.end);
            }
        }
        let mut at = part.body.start;
        for child in children {
            assert!(parts[child].header.start >= at && parts[child].body.end <= part.body.end);
            at = parts[child].body.end;
        }
    }
}

#[test]
fn a_plain_message_is_one_leaf() {
    let message = b"From: a@b\r\nSubject: x\r\n\r\nHello\r\nworld\r\n";
    let analysis = analyse(message);
    assert_eq!(analysis.header_bytes, 25);
    assert_eq!(analysis.envelope.subject.as_deref(), Some(b"x".as_slice()));
    assert_eq!(analysis.structure.parts[0].lines, 2);
    assert_eq!(shown(message), ["text/plain \"Hello\\r\\nworld\\r\\n\""]);
    assert_eq!(shown(b""), ["text/plain \"\""]);
    assert_eq!(shown(b"no header at all"), ["text/plain \"no header at all\""]);
    assert_eq!(shown(b"Content-Type: text/html"), ["text/html \"\""]);
}

/// RFC 3501 §6.4.5's example, with bodies.
const NUMBERED: &str = "Subject: top\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n\
preamble\r\n\
--o\r\n\r\none\r\n--o\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n--o\r\n\
Content-Type: message/rfc822\r\nContent-ID: <3>\r\n\r\n\
Subject: three\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n\
--i\r\n\r\n3.1\r\n--i\r\n\r\n3.2\r\n--i--\r\n\
--o\r\nContent-Type: multipart/mixed; boundary=p\r\n\r\n\
--p\r\nContent-Type: image/gif\r\n\r\n4.1\r\n\
--p\r\nContent-Type: message/rfc822\r\n\r\n\
Subject: four\r\n\r\n4.2.1\r\n--p--\r\nepilogue\r\n--o--\r\nlast\r\n";

#[test]
fn sections_are_numbered_as_rfc_3501_shows() {
    let message = NUMBERED.as_bytes();
    let structure = analyse(message).structure;
    let get = |path: &[u32], section| {
        let span = structure.section(path, section)?;
        Some(std::str::from_utf8(&message[span.range()]).unwrap())
    };
    assert_eq!(get(&[], Section::All), Some(NUMBERED));
    assert!(get(&[], Section::Header).unwrap().starts_with("Subject: top\r\n"));
    assert!(get(&[], Section::Text).unwrap().starts_with("preamble\r\n"));
    assert_eq!(get(&[], Section::Mime), None);
    assert_eq!(get(&[1], Section::All), Some("one"));
    assert_eq!(get(&[1], Section::Mime), Some("\r\n"));
    assert_eq!(get(&[1], Section::Header), None);
    assert_eq!(get(&[2], Section::All), Some("two"));
    let mime = "Content-Type: message/rfc822\r\nContent-ID: <3>\r\n\r\n";
    assert_eq!(get(&[3], Section::Mime), Some(mime));
    let header = "Subject: three\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n";
    assert_eq!(get(&[3], Section::Header), Some(header));
    let text = "--i\r\n\r\n3.1\r\n--i\r\n\r\n3.2\r\n--i--";
    assert_eq!(get(&[3], Section::Text), Some(text));
    assert_eq!(get(&[3], Section::All), Some(format!("{header}{text}").as_str()));
    assert_eq!(get(&[3, 1], Section::All), Some("3.1"));
    assert_eq!(get(&[3, 2], Section::All), Some("3.2"));
    assert_eq!(get(&[3, 3], Section::All), None);
    assert_eq!(get(&[4, 1], Section::Mime), Some("Content-Type: image/gif\r\n\r\n"));
    assert_eq!(get(&[4, 2], Section::Header), Some("Subject: four\r\n\r\n"));
    assert_eq!(get(&[4, 2, 1], Section::All), Some("4.2.1"));
    assert_eq!(get(&[4, 2, 1], Section::Mime), Some("Subject: four\r\n\r\n"));
    for missing in [&[0][..], &[5], &[1, 1], &[4, 2, 2], &[4, 2, 1, 1], &[u32::MAX]] {
        assert_eq!(get(missing, Section::All), None, "{missing:?}");
    }
    let Content::Message(envelope) = &structure.parts[structure.find(&[3]).unwrap()].content else {
        panic!("part 3 holds a message")
    };
    assert_eq!(envelope.subject.as_deref(), Some(b"three".as_slice()));
    check_invariants(message, &analyse(message));
}

#[test]
fn part_1_of_a_message_without_parts_is_its_body() {
    let message = b"Subject: x\r\n\r\nbody";
    let structure = analyse(message).structure;
    assert_eq!(structure.section(&[1], Section::All), Some(Span { start: 14, end: 18 }));
    assert_eq!(structure.section(&[1], Section::Mime), Some(Span { start: 0, end: 14 }));
    assert_eq!(structure.section(&[1], Section::Text), None);
    assert_eq!(structure.section(&[1, 1], Section::All), None);
}

fn multipart(body: &str) -> Vec<u8> {
    format!("Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n{body}").into_bytes()
}

#[test]
fn quirks_of_multiparts_are_coped_with() {
    let leaf = |text: &str| format!("  text/plain {text:?}");
    let two = |body: &str, first: &str, second: &str| {
        let mixed = "multipart/mixed ".to_owned();
        assert_eq!(shown(&multipart(body)), [mixed, leaf(first), leaf(second)], "{body:?}");
    };
    two("--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n", "x", "y");
    // No closing delimiter; no final line end.
    two("--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n", "x", "y\r\n");
    two("--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--", "x", "y");
    // White space behind the boundary; bare line feeds; preamble and epilogue.
    two("pre\r\n--b \t\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b-- \r\nepi", "x", "y");
    two("--b\n\nx\n--b\n\ny\n--b--\n", "x", "y");
    // A longer boundary is not this one; delimiters behind the closing one count no more.
    two("--b\r\n\r\nx\r\n--bb\r\n--b\r\n\r\ny\r\n--b--\r\n--b\r\n\r\nz", "x\r\n--bb", "y");
    // A part without header, one without empty line, one whose header is cut by the delimiter.
    two("--b\r\ntext\r\n--b\r\nX: y\r\ntext\r\n--b--", "text", "text");
    two("--b\r\nX: y\r\n--b\r\n--b--", "", "");
}

#[test]
fn a_boundary_that_is_a_prefix_of_another_is_told_from_it() {
    for (outer, inner) in [("b", "b-x"), ("b-x", "b"), ("b", "b--"), ("b--", "b")] {
        let message = format!(
            "Content-Type: multipart/mixed; boundary=\"{outer}\"\r\n\r\n--{outer}\r\n\
             Content-Type: multipart/alternative; boundary=\"{inner}\"\r\n\r\n\
             --{inner}\r\n\r\n1.1\r\n--{inner}--\r\n\r\n--{outer}\r\n\r\n2\r\n--{outer}--\r\n"
        );
        if outer == "b--" || inner == "b--" {
            // `--b--` closes the one and opens the other: ambiguous; only the invariants hold.
            shown(message.as_bytes());
            continue;
        }
        let expected = [
            "multipart/mixed ",
            "  multipart/alternative ",
            "    text/plain \"1.1\"",
            "  text/plain \"2\"",
        ];
        assert_eq!(shown(message.as_bytes()), expected, "{outer} {inner}");
    }
}

#[test]
fn an_inner_multipart_that_is_not_closed_ends_with_the_outer_delimiter() {
    let message = multipart(
        "--b\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n\
         --b\r\nContent-Type: multipart/related; boundary=i\r\n\r\n\
         --i\r\n\r\ny\r\n--b--\r\n--i\r\n",
    );
    assert_eq!(
        shown(&message),
        [
            "multipart/mixed ",
            "  multipart/alternative ",
            "    text/plain \"x\"",
            "  multipart/related ",
            "    text/plain \"y\"",
        ]
    );
}

#[test]
fn what_is_no_multipart_is_shown_as_text() {
    let text = |header: &str, body: &str| {
        let message = format!("{header}\r\n\r\n{body}");
        assert_eq!(shown(message.as_bytes()), [format!("text/plain {body:?}")], "{header}");
    };
    text("Content-Type: multipart/mixed", "--b\r\n\r\nx");
    text("Content-Type: multipart/mixed; boundary=\"\"", "--\r\n\r\nx");
    text("Content-Type: multipart/mixed; boundary=b", "no delimiter");
    text("Content-Type: multipart/mixed; boundary=b", "--b--\r\n");
    text("Content-Type: nonsense", "x");
    let long = format!("Content-Type: multipart/mixed; boundary={}", "b".repeat(2000));
    text(&long, "x");
}

#[test]
fn parts_of_a_digest_are_messages() {
    let message = "Content-Type: multipart/digest; boundary=b\r\n\r\n\
                   --b\r\n\r\nSubject: s\r\n\r\nx\r\n\
                   --b\r\nContent-Type: text/plain\r\n\r\ny\r\n--b--";
    assert_eq!(
        shown(message.as_bytes()),
        ["multipart/digest ", "  message/rfc822 ", "    text/plain \"x\"", "  text/plain \"y\"",]
    );
}

#[test]
fn an_encoded_message_is_not_looked_into() {
    let message =
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDog";
    assert_eq!(shown(message), ["application/octet-stream \"U3ViamVjdDog\""]);
}

#[test]
fn mime_fields_are_read_once_each() {
    let message = b"Content-Type: text/html; charset=utf-8\r\nContent-Type: image/gif\r\n\
        Content-Transfer-Encoding: Quoted-Printable\r\n\
        Content-Disposition: Attachment;\r\n filename=\"a b\"\r\n\
        Content-Language: de, en (x)\r\nContent-ID: <i>\r\nContent-Description: d\r\n\
        Content-MD5: Q2hl\r\nContent-Location: http://x/\r\n\r\n";
    let part = analyse(message).structure.parts.remove(0);
    assert_eq!((part.media_type.as_str(), part.subtype.as_str()), ("text", "html"));
    assert_eq!(part.encoding, Encoding::QuotedPrintable);
    let disposition = part.disposition.unwrap();
    assert_eq!(disposition.kind, "attachment");
    assert_eq!(disposition.params[0].value, b"a b");
    assert_eq!(part.languages, ["de", "en"]);
    let texts = [part.id, part.description, part.md5, part.location].map(Option::unwrap);
    assert_eq!(texts, [&b"<i>"[..], b"d", b"Q2hl", b"http://x/"]);
}

#[test]
fn envelopes_hold_what_the_fields_say() {
    let message = "Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nfrom: =?utf-8?q?J=C3=BC?= <j@x.test>\r\n\
        Subject: =?utf-8?q?a?=\r\n b\r\nsubject: second\r\nTo: a@x, b@x\r\nTO: c@x\r\nCc:\r\n\
        In-Reply-To: <1@x>\r\nMessage-ID: <2@x>\r\nSubject\u{fc}: not a field\r\n\r\n";
    let envelope = analyse(message.as_bytes()).envelope;
    assert_eq!(envelope.subject.as_deref(), Some(b"=?utf-8?q?a?= b".as_slice()));
    assert_eq!(envelope.to.len(), 3);
    assert_eq!(envelope.from, envelope.sender_shown());
    assert_eq!(envelope.reply_to_shown(), envelope.from);
    assert!(envelope.cc.is_empty() && envelope.bcc.is_empty());
    assert_eq!(envelope.message_id.as_deref(), Some(b"<2@x>".as_slice()));
}

#[test]
fn nesting_and_numbers_are_bounded() {
    let nested: String = (0..2000)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"))
        .collect();
    let analysis = analyse(nested.as_bytes());
    check_invariants(nested.as_bytes(), &analysis);
    assert_eq!(analysis.structure.parts.len(), NESTING_DEPTH_MAX);
    assert_eq!(analysis.structure.parts[NESTING_DEPTH_MAX - 1].subtype, "octet-stream");

    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(2000);
    check_invariants(messages.as_bytes(), &analyse(messages.as_bytes()));
    assert_eq!(analyse(messages.as_bytes()).structure.parts.len(), NESTING_DEPTH_MAX);

    let many = multipart(&"--b\r\n\r\nx\r\n".repeat(10_000));
    let analysis = analyse(&many);
    check_invariants(&many, &analysis);
    assert_eq!(analysis.structure.parts.len(), PARTS_MAX);

    let addresses = format!("To: {}\r\n\r\n", "a@b,".repeat(25_000));
    assert_eq!(analyse(addresses.as_bytes()).envelope.to.len(), ADDRESSES_MAX);
    let fields = "To: a@b\r\n".repeat(5000);
    assert_eq!(analyse(fields.as_bytes()).envelope.to.len(), HEADER_FIELDS_MAX);
    assert_eq!(analyse(fields.as_bytes()).header_bytes, fields.len());
}

/// Inputs that are slow for parsers which look at an octet once a level. A super-linear scanner
/// would not come back from them.
#[test]
fn worst_cases_come_back() {
    let open: String = (0..NESTING_DEPTH_MAX)
        .map(|n| {
            format!("Content-Type: multipart/mixed; boundary=aaaaaaaa{n}\r\n\r\n--aaaaaaaa{n}\r\n")
        })
        .collect();
    let cases = [
        format!("{open}{}", "--aaaaaaaa\r\n".repeat(50_000)),
        format!("{open}{}", "--aaaaaaaa0\r\n".repeat(50_000)),
        format!("{open}{}", "--".repeat(500_000)),
        format!("To: {}\r\n\r\n", "(".repeat(500_000)),
        format!("To: {}\r\n\r\n", "\"<@:".repeat(500_000)),
        format!("Content-Type: a/b{}\r\n\r\n", ";x*0=(".repeat(500_000)),
        "a:\r\n".repeat(125_000),
        "a:\r\n ".repeat(125_000),
    ];
    for case in cases {
        check_invariants(case.as_bytes(), &analyse(case.as_bytes()));
    }
}

/// A message as a tree, to be written out and found again.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(String),
    Multipart(Vec<Tree>),
    Message(Box<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    tree_of(true)
}

fn tree_of(messages: bool) -> impl Strategy<Value = Tree> {
    let leaf = "[a-z -]{0,12}(\r\n[a-z -]{0,12}){0,3}".prop_map(Tree::Leaf);
    leaf.prop_recursive(5, 30, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tree::Multipart),
            inner.prop_map(move |tree| match messages {
                true => Tree::Message(Box::new(tree)),
                false => tree,
            }),
        ]
    })
}

/// Writes `tree` (header and body), noting for each part what is to be found.
fn write(
    tree: &Tree,
    depth: usize,
    number: &mut usize,
    out: &mut String,
    expected: &mut Vec<String>,
) {
    *number += 1;
    let indent = "  ".repeat(depth);
    match tree {
        Tree::Leaf(text) => {
            out.push_str(&format!("Content-Type: text/plain\r\n\r\n{text}"));
            expected.push(format!("{indent}text/plain {text:?}"));
        }
        Tree::Multipart(children) => {
            // Each boundary is a prefix of those that follow inside and behind.
            let boundary = format!("b{}", "=".repeat(*number));
            out.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\npre"
            ));
            expected.push(format!("{indent}multipart/mixed "));
            for child in children {
                out.push_str(&format!("\r\n--{boundary}\r\n"));
                write(child, depth + 1, number, out, expected);
            }
            out.push_str(&format!("\r\n--{boundary}--\r\nepi"));
        }
        Tree::Message(inner) => {
            out.push_str("Content-Type: message/rfc822\r\n\r\n");
            expected.push(format!("{indent}message/rfc822 "));
            write(inner, depth + 1, number, out, expected);
        }
    }
}

/// Lines that make and unmake parts.
const LINES: &str = "(Content-Type: (multipart/(mixed|digest); boundary=[ab]|message/rfc822|text/x)\
                     |--[ab](--)?|x|){0,24}";

proptest! {
    #[test]
    fn a_tree_that_is_written_is_found(tree in tree()) {
        let (mut text, mut expected) = (String::new(), Vec::new());
        write(&tree, 0, &mut 0, &mut text, &mut expected);
        prop_assert_eq!(shown(text.as_bytes()), expected.clone());
        // The same with bare line feeds, as APPEND may bring it.
        let bare: Vec<_> = expected.iter().map(|line| line.replace("\\r\\n", "\\n")).collect();
        prop_assert_eq!(shown(text.replace("\r\n", "\n").as_bytes()), bare);
    }

    /// Without nested messages: mail-parser 0.11.9 loses count of parts behind some of them.
    #[test]
    fn mail_parser_finds_the_same_leaves(tree in tree_of(false)) {
        let (mut text, mut expected) = (String::new(), Vec::new());
        write(&tree, 0, &mut 0, &mut text, &mut expected);
        let text = format!("MIME-Version: 1.0\r\n{text}");
        let parsed = mail_parser::MessageParser::new().parse(text.as_bytes()).unwrap();
        let mut theirs = Vec::new();
        leaves(&parsed, &mut theirs);
        let structure = analyse(text.as_bytes()).structure;
        let leaf = |part: &&Part| part.content == Content::Leaf;
        let ours: Vec<_> = structure.parts.iter().filter(leaf).map(|part| part.body).collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn any_octets_are_taken_apart(
        octets in any::<Vec<u8>>(),
        lines in LINES,
        ends in prop::collection::vec("(\r\n|\n|\r|)", 1..8),
    ) {
        check_invariants(&octets, &analyse(&octets));
        let mut text = String::new();
        let mut ends = ends.iter().cycle();
        for piece in lines.split_inclusive(['x', 'a', 'b', '2']) {
            text.push_str(piece);
            text.push_str(ends.next().unwrap());
        }
        check_invariants(text.as_bytes(), &analyse(text.as_bytes()));
    }

    #[test]
    fn an_analysis_survives_storage(tree in tree()) {
        let (mut text, mut expected) = (String::new(), Vec::new());
        write(&tree, 0, &mut 0, &mut text, &mut expected);
        let analysis = analyse(text.as_bytes());
        let stored = postcard::to_allocvec(&analysis).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Analysis>(&stored).unwrap(), analysis);
    }
}

fn leaves(message: &mail_parser::Message<'_>, out: &mut Vec<Span>) {
    use mail_parser::PartType;
    for part in &message.parts {
        match &part.body {
            PartType::Multipart(_) => {}
            PartType::Message(inner) => leaves(inner, out),
            _ => out.push(Span { start: part.offset_body, end: part.offset_end }),
        }
    }
}
