//! Headers as programs write them, and as those who want to be taken for somebody else do.

use proptest::prelude::*;

use super::*;

fn from(body: &str) -> Result<Vec<String>, Fault> {
    let message = format!("From: {body}\r\nSender: s@x.example\r\n\r\n");
    authors(message.as_bytes()).map(|all| all.from.iter().map(Address::to_string).collect())
}

fn written(message: &str) -> String {
    written_with(message, |_| {})
}

fn written_with(message: &str, change: impl FnOnce(&mut Additions<'_>)) -> String {
    let strip = ["User-Agent".to_owned(), "X-Mailer".to_owned()];
    let mut additions = Additions {
        from: &"alice@ours.example".parse().unwrap(),
        message_id: "1234@ours.example",
        now: UnixTime(880_127_706),
        hostname: "mx.ours.example",
        strip: &strip,
        utc_date: true,
    };
    change(&mut additions);
    let (header, taken) = super::header(message.as_bytes(), &additions);
    String::from_utf8(header).unwrap() + &message[taken..]
}

const DATE: &str = "Date: Fri, 21 Nov 1997 15:55:06 +0000\r\n";
const ID: &str = "Message-ID: <1234@ours.example>\r\n";

#[test]
fn a_clear_from_is_read() {
    for (body, expected) in [
        ("a@x.example", "a@x.example"),
        (" <a@X.Example>", "a@x.example"),
        ("Alice Q. Public <a@x.example>", "a@x.example"),
        ("\"Alice, \\\"Q\\\" <b@y.example>\" <a@x.example>", "a@x.example"),
        ("=?utf-8?q?J=C3=BC?= <a@x.example> (at work)", "a@x.example"),
        ("a@x.example (Alice (me))", "a@x.example"),
        ("Jürgen\r\n <ü@bücher.example>", "ü@xn--bcher-kva.example"),
        ("\"a b\"@x.example", "\"a b\"@x.example"),
        ("a@x.example <a@x.example>", "a@x.example"),
    ] {
        assert_eq!(from(body), Ok(vec![expected.to_owned()]), "{body}");
    }
    assert_eq!(from("a@x.example,\r\n B <b@x.example>").unwrap().len(), 2);
}

#[test]
fn a_from_that_can_be_read_in_two_ways_is_refused() {
    for body in [
        "",
        "Alice",
        "<>",
        "ceo@bank.example <a@x.example>",
        "<ceo@bank.example> <a@x.example>",
        "<a@x.example> ceo@bank.example",
        "<a@x.example>ceo",
        "a@x.example ceo@bank.example",
        "a@x.example (, ceo@bank.example",
        "\"a@x.example, ceo@bank.example",
        "<@bank.example:a@x.example>",
        "group: a@x.example;",
        "a@x.example;",
        "a@x.example>",
        "<a@x.example",
        "a@x.example,,b@x.example",
        "a\\@x.example",
        "a@x.example\0",
        "ceo@bank.example\0 <a@x.example>",
        "<<a@x.example>>",
        "a@[300.1.1.1]",
    ] {
        assert_eq!(from(body), Err(Fault::Unclear("From")), "{body:?}");
    }
}

#[test]
fn fields_that_stand_twice_are_refused_however_they_are_written() {
    for (first, second) in [
        ("From: a@x.example", "fROM : ceo@bank.example"),
        ("From: a@x.example", "FROM\t:\r\n ceo@bank.example"),
        ("Subject: a", "Subject: b"),
        ("Content-Type: text/plain", "content-type: text/html"),
        ("Date: x", "Date: x"),
    ] {
        let message = format!("{first}\r\nX: y\r\n{second}\r\n\r\n");
        assert!(matches!(authors(message.as_bytes()), Err(Fault::Twice(_))), "{second}");
    }
    let several = b"From: a@x.example, b@x.example\r\n\r\n";
    assert_eq!(authors(several), Err(Fault::SenderMissing));
    for sender in ["a@x.example, b@x.example", "", "x"] {
        let message = format!("From: a@x.example\r\nSender: {sender}\r\n\r\n");
        assert_eq!(authors(message.as_bytes()), Err(Fault::Unclear("Sender")), "{sender}");
    }
    // Below the header a field is text.
    let below =
        authors(b"From: a@x.example\r\nno field\r\nFrom: ceo@bank.example\r\n\r\n").unwrap();
    assert_eq!(below.from.len(), 1);
    assert_eq!(authors(b"\r\nFrom: a@x.example\r\n").unwrap(), Authors::default());
}

#[test]
fn a_blind_copy_below_a_line_that_is_no_field_is_refused() {
    for (header, line) in [
        ("From: a@x.example\r\nthis line has no colon\r\nBcc: b@x.example\r\n\r\ntext", 2),
        ("From: a@x.example\r\n\tat x\r\nodd\r\nTo: c@x.example\r\nresent-BCC : b\r\n", 3),
        ("odd\r\nX: y\r\n Bcc: b@x.example", 1),
        (" Bcc: b@x.example\r\nFrom: a@x.example\r\n\r\n", 1),
        ("From: a@x.example\nodd\n \nBcc: b@x.example\n\n", 2),
    ] {
        assert_eq!(authors(header.as_bytes()), Err(Fault::BlindBelow(line)), "{header}");
    }
    for text in [
        "From: a@x.example\r\nBcc: b@x.example\r\n\r\nBcc: text\r\n",
        "\r\nBcc: text\r\n",
        "From: a@x.example\r\nHello,\r\nNote: to all\r\nFrom: b\r\n\r\nBcc: text\r\n",
        "From: a@x.example\r\nHello,\r\n> Bcc: text\r\nBcc text\r\nABcc: text\r\n",
        "From: a@x.example\r\n",
    ] {
        assert!(authors(text.as_bytes()).is_ok(), "{text}");
    }
}

#[test]
fn what_is_missing_is_added() {
    assert_eq!(
        written("Subject: x\r\n\r\nbody\r\n"),
        format!("{DATE}From: <alice@ours.example>\r\n{ID}Subject: x\r\n\r\nbody\r\n")
    );
    // A header that does not end, or is none, does not become one with what is added.
    assert_eq!(
        written("From: a@x.example\r\nno field\r\nFrom: b@x.example\r\n\r\n"),
        format!("{DATE}{ID}From: a@x.example\r\n\r\nno field\r\nFrom: b@x.example\r\n\r\n")
    );
    let none = " x\r\nFrom: ceo@bank.example\r\n";
    assert_eq!(written(none), format!("{DATE}From: <alice@ours.example>\r\n{ID}\r\n{none}"));
    assert_eq!(written(""), format!("{DATE}From: <alice@ours.example>\r\n{ID}\r\n"));
}

#[test]
fn blind_copies_and_traces_of_the_machine_are_taken_out() {
    let whole = format!("{DATE}{ID}From: a@x.example\r\n");
    for bad in [
        "Bcc: b@x.example\r\n",
        "bCC : b@x.example,\r\n\tc@x.example\r\nBCC:\r\n d@x.example\r\n",
        "Resent-Bcc: b@x.example\r\n",
        "Return-Path: <b@x.example>\r\n",
        "user-agent: Program\r\n (on my machine)\r\n",
        "X-Mailer: y\r\nX-Mailer: z\r\n",
        "Authentication-Results: MX.ours.example;\r\n dmarc=pass\r\n",
        "Authentication-Results: mx.ours.example 1; none\r\n",
        "Authentication-Results : mx.ours.example; dmarc=pass\r\n",
        "Authentication-Results: \"mx.ours.example\"; dmarc=pass\r\n",
        "Authentication-Results: (x) mx.ours.example.; dmarc=pass\r\n",
        "Authentication-Results: (never closed mx.ours.example; dmarc=pass\r\n",
        "Postseal-Opened: sealed to you; signature good\r\n",
    ] {
        let body = "Bcc: text\r\n";
        assert_eq!(written(&format!("{bad}{whole}\r\n{body}")), format!("{whole}\r\n{body}"));
        assert_eq!(written(&format!("{whole}{bad}\r\n{body}")), format!("{whole}\r\n{body}"));
    }
    for kept in ["X-Mail: x\r\n", "Authentication-Results: other.example; none\r\n", "Bccx: y\r\n"]
    {
        assert_eq!(written(&format!("{whole}{kept}\r\n")), format!("{whole}{kept}\r\n"));
    }
}

#[test]
fn a_date_does_not_tell_where_its_writer_is() {
    let dated = |date: &str| format!("Date: {date}\r\n{ID}From: a@x.example\r\n\r\n");
    assert_eq!(
        written(&dated("Fri, 21 Nov 1997 09:55:06 -0600 (CST)")),
        dated("Fri, 21 Nov 1997 15:55:06 +0000")
    );
    for kept in ["Fri, 21 Nov 1997 15:55:06 +0000", "yesterday"] {
        assert_eq!(written(&dated(kept)), dated(kept));
    }
    let plain = dated("Fri, 21 Nov 1997 09:55:06 -0600");
    assert_eq!(written_with(&plain, |additions| additions.utc_date = false), plain);
}

#[test]
fn what_a_dkim_signature_covers_stays_but_for_blind_copies() {
    let signed = format!(
        "DKIM-Signature: v=1; d=x.example;\r\n\th=From: date :\r\n\tUser-Agent:Bcc; b=xx==\r\n\
         {ID}From: a@x.example\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\nUser-Agent: y\r\n"
    );
    assert_eq!(
        written(&format!("{signed}X-Mailer: z\r\nBcc: c@x.example\r\n\r\n")),
        format!("{signed}\r\n")
    );
}

proptest! {
    #[test]
    fn any_header_comes_out_with_its_content_behind_it(
        octets in any::<Vec<u8>>(),
        text in "((From|Bcc|bcc|Date|DKIM-Signature|X) ?: ?|a@x.example|h=bcc;|\r\n|\r\n|\n\
                 | |From |<|>|\"|\\(){0,30}",
    ) {
        for message in [&octets[..], text.as_bytes()] {
            let _ = authors(message);
            let additions = Additions {
                from: &"alice@ours.example".parse().unwrap(),
                message_id: "1@ours.example",
                now: UnixTime(0),
                hostname: "mx",
                strip: &[],
                utc_date: true,
            };
            let (mut out, taken) = header(message, &additions);
            prop_assert_eq!(header_bytes(&out), out.len());
            let names = |name: &str| fields(&out).filter(|field| field.is(name)).count();
            prop_assert!(names("Bcc") == 0 && names("Date") > 0 && names("From") > 0);
            // Once more changes nothing.
            out.extend_from_slice(&message[taken..]);
            let behind = message.len() - taken;
            prop_assert_eq!(header(&out, &additions).0, &out[..out.len() - behind]);
        }
    }
}
