//! The rule as a table, and what opened mail looks like.

use super::*;
use crate::mail::ProvedFields;
use crate::pgp::mime::OpenedMime;
use proptest::prelude::*;

fn from(text: &str) -> Author {
    author(format!("Subject: x\r\n{text}\r\n").as_bytes())
}

fn one(text: &str) -> Author {
    Author::One(Address::parse(text.as_bytes()).unwrap())
}

#[test]
fn the_author_is_one_address_in_one_field() {
    assert_eq!(author(b"Subject: x\r\n\r\nFrom: a@b.example\r\n"), Author::Nobody);
    for (text, expected) in [
        ("From: bob@example.org\r\n", one("bob@example.org")),
        ("from : \"B. O. B\" <bob@example.org> (x)\r\n", one("bob@example.org")),
        ("From: =?utf-8?q?a=40b=2Eexample?= <bob@example.org>\r\n", one("bob@example.org")),
        ("From:\r\n \"bob@example.net\" <bob@example.org>\r\n", one("bob@example.org")),
        ("From: \"b b\"@example.org\r\n", one("\"b b\"@example.org")),
        ("From: bob@b\u{fc}cher.example\r\n", one("bob@xn--bcher-kva.example")),
        ("From: bob@example.org, eve@example.net\r\n", Author::Unclear),
        ("From: bob@example.org\r\nFROM: eve@example.net\r\n", Author::Unclear),
        ("From: bob@example.org\r\nFrom: bob@example.org\r\n", Author::Unclear),
        ("From: us: bob@example.org;\r\n", Author::Unclear),
        ("From: bob\r\n", Author::Unclear),
        ("From:\r\n", Author::Unclear),
        ("From: <>\r\n", Author::Unclear),
        ("From: bob@\r\n", Author::Unclear),
    ] {
        assert_eq!(from(text), expected, "{text}");
    }
}

#[test]
fn the_rule() {
    use InnerSignature::{Absent, Bad, Good, Unknown};
    let (bob, eve) = (one("bob@example.org"), one("eve@example.net"));
    let shouted = one("BOB@EXAMPLE.ORG");
    let nobody = || vec![Author::Nobody];
    // Proved on arrival, signature, outer From, inner ones: opened?
    let table = [
        (true, Absent, &bob, nobody(), true),
        (true, Unknown, &bob, nobody(), true),
        (true, Bad, &bob, nobody(), true),
        (true, Good, &bob, nobody(), true),
        (false, Absent, &bob, nobody(), false),
        (false, Unknown, &bob, nobody(), false),
        (false, Bad, &bob, nobody(), false),
        (false, Good, &bob, nobody(), true),
        // What was encrypted says who wrote it.
        (true, Absent, &bob, vec![bob.clone()], true),
        (true, Absent, &bob, vec![shouted.clone()], true),
        (true, Absent, &shouted, vec![bob.clone()], true),
        (false, Good, &bob, vec![bob.clone()], true),
        (false, Absent, &bob, vec![bob.clone()], false),
        // Captured, and mailed again by somebody else.
        (true, Absent, &eve, vec![bob.clone()], false),
        (true, Good, &eve, vec![bob.clone()], false),
        (false, Good, &eve, vec![bob.clone()], false),
        (true, Good, &bob, vec![bob.clone(), eve.clone()], false),
        (true, Good, &bob, vec![Author::Nobody, eve.clone()], false),
        (true, Good, &bob, vec![Author::Nobody, bob.clone()], true),
        // Nothing is guessed.
        (true, Good, &bob, vec![Author::Unclear], false),
        (true, Good, &Author::Nobody, nobody(), false),
        (true, Good, &Author::Unclear, nobody(), false),
        (true, Good, &Author::Nobody, vec![bob.clone()], false),
    ];
    for (from_is_proved, signature, outer, inner, opened) in table {
        let facts = Facts { from_is_proved, signature, outer: outer.clone(), inner };
        assert_eq!(may_open(&facts), opened, "{facts:?}");
    }
}

fn shown_as(outer: &str, entity: &str, proved: bool, signature: InnerSignature) -> String {
    let proved = if proved { ProvedFields::ALL } else { ProvedFields::NONE };
    shown_with(outer, entity, proved, signature)
}

fn shown_with(
    outer: &str,
    entity: &str,
    proved: ProvedFields,
    signature: InnerSignature,
) -> String {
    let analysis = mail::analyse(entity.as_bytes());
    let entity = SecretBytes::copy_from(entity.as_bytes());
    let opened = OpenedMime { entity, analysis, signature, named_signers: Vec::new(), version: 1 };
    let payload = view::Payload::of(&opened);
    let shown = view::write(outer.as_bytes(), &payload, proved, signature);
    String::from_utf8(shown.expose().to_vec()).unwrap()
}

const OUTER: &str = "Return-Path: <bob@example.org>\r\nReceived: from a by b;\r\n\tdate\r\n\
    Authentication-Results: mx; dkim=pass\r\nDKIM-Signature: v=1\r\nFrom: bob@example.org\r\n\
    To: alice@example.org\r\nCc: carol@example.org\r\nReply-To: eve@example.net\r\n\
    Subject: ...\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\
    Postseal-Opened: forged\r\nMIME-Version: 1.0\r\nContent-Type: multipart/encrypted\r\n\r\n";

#[test]
fn without_a_protected_header_some_outer_fields_are_shown() {
    let entity = "Content-Type: text/plain\r\nSubject: inner\r\n\r\nthe text\r\n";
    let shown = shown_as(OUTER, entity, true, InnerSignature::Absent);
    assert_eq!(
        shown,
        "Postseal-Opened: sealed to you; sender proved on arrival; not signed; \
         header not protected\r\n\
         Return-Path: <bob@example.org>\r\nReceived: from a by b;\r\n\tdate\r\n\
         Authentication-Results: mx; dkim=pass\r\nFrom: bob@example.org\r\n\
         To: alice@example.org\r\nCc: carol@example.org\r\nSubject: ...\r\n\
         Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nthe text\r\n"
    );
    // Only the signature speaks for the sender: the outside is anybody's, and leads no answer away.
    let shown = shown_as(OUTER, entity, false, InnerSignature::Good);
    assert!(shown.contains("proved by his signature; signature good"));
    for name in ["To", "Cc", "Subject", "Comments", "Reply-To"] {
        assert!(!shown.contains(&format!("\r\n{name}: ")), "{name}: {shown}");
    }
    assert!(shown.contains("\r\nX-Unproved-Subject: ...\r\n"), "what came is kept: {shown}");
}

/// A signed message that is mailed again, with more in front.
#[test]
fn outer_fields_that_no_signature_covers_lead_no_answer_astray() {
    let outer = format!(
        "Cc: eve@example.net\r\nComments: answer eve@example.net, too\r\n\
         Message-ID: <eve@example.net>\r\nIn-Reply-To: <0@x> write to eve@example.net\r\n\
         References: <write to\r\n eve@example.net> <0@y>\r\n <0@z> (eve)\r\n\
         Subject: urgent\r\n{OUTER}"
    );
    let entity = "Content-Type: text/plain\r\n\r\nthe text\r\n";
    let shown = |names: &[&str]| {
        let proved = ProvedFields::signed(outer.as_bytes(), names);
        assert!(proved.author());
        shown_with(&outer, entity, proved, InnerSignature::Absent)
    };
    let both = "Cc: eve@example.net\r\n";
    for names in [&["From", "To", "Cc", "Subject"][..], &["From", "To"]] {
        let shown = shown(names);
        let fields = shown.split_once("\r\nFrom: ").unwrap().1;
        assert_eq!(
            fields.split_once("MIME-Version").unwrap().0,
            "bob@example.org\r\nTo: alice@example.org\r\nX-Unproved-Cc: carol@example.org\r\n\
             X-Unproved-Subject: ...\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\
             Message-ID: <1@example.org>\r\nIn-Reply-To: <0@x>\r\nReferences: <0@y>\r\n\t<0@z>\r\n",
            "{shown}"
        );
        assert!(!shown.contains(&format!("\n{both}")) && shown.contains("\nX-Unproved-Comments: "));
    }
    // A signature that covers both.
    assert!(shown(&["From", "Cc", "Cc"]).contains(&format!("\n{both}")));
}

#[test]
fn a_protected_header_is_the_only_one_that_is_shown() {
    for mark in ["hp=\"cipher\"", "hp=clear", "protected-headers=\"v1\""] {
        let entity = format!(
            "From: Bob <bob@example.org>\r\nSubject: the\r\n subject\r\nReply-To: b@example.org\r\n\
             Received: from inside\r\nAuthentication-Results: mx; dkim=pass (forged)\r\n\
             POSTSEAL-Opened: forged\r\nReturn-Path: <x@y.example>\r\nDKIM-Signature: v=1\r\n\
             HP-Outer: Subject: ...\r\nX-Padding: xx\r\n xxx\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; {mark}\r\nContent-Language: de\r\n\r\nbody\r\n"
        );
        let shown = shown_as(OUTER, &entity, true, InnerSignature::Unknown);
        assert_eq!(
            shown,
            format!(
                "Postseal-Opened: sealed to you; sender proved on arrival; \
                 signature not checked; header protected\r\n\
                 Return-Path: <bob@example.org>\r\nReceived: from a by b;\r\n\tdate\r\n\
                 Authentication-Results: mx; dkim=pass\r\n\
                 From: Bob <bob@example.org>\r\nSubject: the\r\n subject\r\n\
                 Reply-To: b@example.org\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\
                 Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n\
                 Content-Type: text/plain; {mark}\r\nContent-Language: de\r\n\r\nbody\r\n"
            )
        );
    }
}

/// Where a program might show another sender than the one who is proved, nothing is opened.
#[test]
fn every_from_that_could_be_taken_for_the_messages_is_asked() {
    let signed = "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\
        Content-Type: text/plain; protected-headers=v1\r\nFrom: eve@example.net\r\n\r\nx\r\n\
        --s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n";
    let mixed = |part: &str| {
        format!("Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n{part}\r\n--m--\r\n")
    };
    let message = "Content-Type: message/rfc822\r\n\r\nFrom: eve@example.net\r\n\r\nx\r\n";
    let wrapped = signed.replace("text/plain; protected-headers=v1\r\n", "message/rfc822\r\n\r\n");
    for (entity, asked) in [
        (signed.to_owned(), true),
        (mixed(signed), true),
        (mixed(&mixed(signed)), true),
        (message.to_owned(), true),
        (format!("Content-Type: message/rfc822\r\n\r\n{}", mixed(signed)), true),
        (wrapped, true),
        // What is attached may be anybody's.
        (mixed(message), false),
        (mixed(&format!("Content-Type: message/rfc822\r\n\r\n{signed}")), false),
    ] {
        let analysis = mail::analyse(entity.as_bytes());
        let opened = OpenedMime {
            entity: SecretBytes::copy_from(entity.as_bytes()),
            analysis,
            signature: InnerSignature::Absent,
            named_signers: Vec::new(),
            version: 1,
        };
        let payload = view::Payload::of(&opened);
        let named = payload.headers().map(author).any(|author| author == one("eve@example.net"));
        assert_eq!(named, asked, "{entity}");
    }
}

#[test]
fn no_control_character_of_a_field_begins_a_line() {
    let outer = OUTER.replace("Cc: carol", "Cc: a\rTo: eve");
    for fields in
        ["X-A: b\rAuthentication-Results: mx; dkim=pass\r\r\n", "X-A:\0b\u{1}\u{7f}\tc\r\n d\r\r\n"]
    {
        let entity = format!("{fields}Content-Type: text/plain; hp=cipher; x=\"\r\"\r\n\r\nx");
        for entity in [entity.clone(), entity.replace("hp=", "ph=")] {
            let shown = shown_as(&outer, &entity, true, InnerSignature::Absent);
            let rest = shown.replace("\r\n", "");
            assert!(!rest.contains(|c: char| c.is_ascii_control() && c != '\t'), "{rest:?}");
        }
    }
    let entity = "X-A: b\rc\u{fc}\td\r\n\0e\r\r\nContent-Type: text/plain; hp=cipher\r\n\r\nx";
    let entity = entity.replace("\r\n\0e", "\r\n \0e");
    let shown = shown_as(&outer, &entity, true, InnerSignature::Absent);
    assert!(shown.contains("\r\nX-A: b c\u{fc}\td\r\n  e \r\n"), "{shown:?}");
}

/// What is remembered as confidential is the id outside: every program's answer must name it.
#[test]
fn where_the_protected_id_is_another_the_one_outside_is_in_references() {
    let twice = format!("Message-ID: <eve@example.net>\r\n{OUTER}");
    for (outer, inner, references) in [
        (OUTER, "Message-ID: <2@x>\r\n", Some(" <1@example.org>")),
        (&twice, "Message-ID: <2@x>\r\n", Some(" <1@example.org>")),
        (OUTER, "Message-ID: <2@x>\r\nIn-Reply-To: <0@x>\r\n", Some(" <0@x>\r\n\t<1@example.org>")),
        (
            OUTER,
            "References: <8@x>\r\n <9@x>\r\nMessage-ID: <2@x>\r\nIn-Reply-To: <9@x>\r\n",
            Some(" <8@x>\r\n <9@x>\r\n\t<1@example.org>"),
        ),
        (OUTER, "Message-ID: <1@example.org>\r\n", None),
        (OUTER, "Message-ID: <2@x>\r\nReferences: <1@example.org>\r\n", Some(" <1@example.org>")),
        (OUTER, "", None),
        ("From: bob@example.org\r\n\r\n", "Message-ID: <2@x>\r\n", None),
    ] {
        let entity = format!("{inner}Content-Type: text/plain; hp=\"cipher\"\r\n\r\ntext\r\n");
        let shown = shown_as(outer, &entity, true, InnerSignature::Absent);
        let found: Vec<_> =
            header::fields(shown.as_bytes()).filter(|field| field.is("References")).collect();
        let bodies: Vec<_> =
            found.iter().map(|field| str::from_utf8(field.body).unwrap()).collect();
        assert_eq!(bodies, references.as_slice(), "{shown}");
    }
}

/// The header that a signature is over is the message's (RFC 9787 §4.1.2).
#[test]
fn within_a_signed_multipart_the_signed_parts_header_is_shown() {
    let entity = "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\
        Subject: signed\r\nFrom: bob@example.org\r\nContent-Type: text/plain; hp=cipher; \
        hp-legacy-display=1\r\n\r\nSubject: signed\r\n\r\ntext\r\n--s\r\n\
        Content-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n";
    let shown = shown_as(OUTER, entity, true, InnerSignature::Good);
    assert!(shown.contains("\r\nSubject: signed\r\nFrom: bob@example.org\r\n"));
    assert!(shown.contains("\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n"));
    let body = entity.split_once("\r\n\r\n").unwrap().1;
    assert!(shown.ends_with(body), "what is signed is left as it is");
    assert!(shown.contains("header protected; copies of header fields left in the text\r\n"));
}

/// RFC 9788 appendices E.1 and E.2.
#[test]
fn legacy_display_elements_are_taken_out_where_they_are_simple() {
    let plain = "Subject: Dinner plans\r\nCc: x\r\n\r\nLet's meet at Rama's Roti Shop.\r\n\r\nBob";
    let html = "<html><body><div class=\"header-protection-legacy-display\">\r\n\
        <pre>Subject: Dinner plans</pre>\r\n</div><p>Let's meet</p></body></html>\r\n";
    let entity = |html: &str| {
        format!(
            "Subject: Dinner plans\r\nContent-Type: multipart/alternative; boundary=a; \
             hp=\"cipher\"\r\n\r\n--a\r\nContent-Type: text/plain; hp-legacy-display=\"1\"\r\n\r\n\
             {plain}\r\n--a\r\nContent-Type: text/html; hp-legacy-display=\"1\"\r\n\r\n\
             {html}\r\n--a\r\nContent-Type: text/plain\r\n\r\nA: b\r\n\r\nkept\r\n--a--\r\n"
        )
    };
    let shown = shown_as(OUTER, &entity(html), true, InnerSignature::Absent);
    assert!(shown.contains("\r\n\r\nLet's meet at Rama's Roti Shop.\r\n\r\nBob\r\n--a"), "{shown}");
    assert!(shown.contains("\r\n\r\n<html><body><p>Let's meet</p></body></html>\r\n\r\n--a"));
    assert!(shown.contains("\r\n\r\nA: b\r\n\r\nkept\r\n"));
    assert!(!shown.contains("left in the text"));
    let nested = html.replace("<pre>", "<div><pre>").replace("</pre>", "</pre></div>");
    let shown = shown_as(OUTER, &entity(&nested), true, InnerSignature::Absent);
    assert!(shown.contains(&nested) && shown.contains("left in the text\r\n"));
}

#[test]
fn an_entity_without_header_or_with_bare_line_ends_is_shown() {
    let shown = shown_as(OUTER, "\r\ntext", true, InnerSignature::Absent);
    assert!(shown.ends_with("MIME-Version: 1.0\r\n\r\ntext"));
    let shown = shown_as(OUTER, "text\r\n", true, InnerSignature::Absent);
    assert!(shown.ends_with("MIME-Version: 1.0\r\n\r\ntext\r\n"));
    let entity = "Content-Type: text/plain;\n hp=cipher\nSubject: a\n\nx\ny\n";
    let shown = shown_as(OUTER, entity, true, InnerSignature::Absent);
    assert!(shown.contains("\r\nSubject: a\r\n"), "{shown}");
    assert!(shown.ends_with("Content-Type: text/plain;\r\n hp=cipher\r\n\r\nx\ny\n"));
}

const FIELDS: &[&str] = &[
    "From: bob@example.org\r\n",
    "Subject: x\n y\n",
    "Postseal-Opened: forged\r\n",
    "Postseal-X: forged\r\n",
    "Content-Type: multipart/signed; boundary=a\r\n",
    "Content-Type: text/plain; hp=cipher; hp-legacy-display=1\r\n",
    "no field\r\n",
];

proptest! {
    #[test]
    fn any_entity_is_shown_with_one_verdict_in_front_and_its_body_behind(
        outer in "((From|To|Postseal-Opened|Received): ?[a-z@.;=\"]{0,12}\r\n){0,6}\r\n",
        fields in prop::collection::vec(prop::sample::select(FIELDS), 0..6),
        text in "(\r\n|--a\r\n|--a--|[a-z<>/: ]{0,9}){0,12}",
        proved in any::<bool>(),
    ) {
        let entity = format!("{}{text}", fields.concat());
        let shown = shown_as(&outer, &entity, proved, InnerSignature::Absent);
        prop_assert!(shown.starts_with("Postseal-Opened: sealed to you; "));
        let header = header::header_bytes(shown.as_bytes());
        let verdicts = header::fields(&shown.as_bytes()[..header])
            .filter(|field| field.name.to_ascii_lowercase().starts_with(b"postseal-"));
        prop_assert_eq!(verdicts.count(), 1);
        let whole = mail::analyse(entity.as_bytes());
        if !entity.contains("hp-legacy-display") {
            prop_assert_eq!(&shown[header..], &entity[whole.header_bytes..]);
        }
    }
}
