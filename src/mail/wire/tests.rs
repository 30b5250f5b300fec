//! Messages before and after: the rules of the wire hold, and mail-parser reads the same in both.

use mail_parser::{MessageParser, PartType};
use proptest::prelude::*;

use super::*;

fn fit(message: &[u8]) -> Vec<u8> {
    let out = conform(message).unwrap().into_owned();
    assert!(is_fit(&out), "{}", String::from_utf8_lossy(&out));
    assert!(matches!(conform(&out), Ok(Cow::Borrowed(_))));
    out
}

/// What a reader gets of a message: its unfolded header values and its decoded contents, line ends
/// of text left aside.
fn meaning(message: &[u8]) -> Vec<String> {
    let message = MessageParser::default().parse(message).expect("a message");
    let mut out = vec![
        message.subject().unwrap_or_default().to_owned(),
        format!("{:?}", message.from()),
        format!("{:?}", message.to()),
        format!("{:?}", message.message_id()),
        format!("{:?}", message.references()),
    ];
    for part in &message.parts {
        out.push(match &part.body {
            PartType::Text(text) | PartType::Html(text) => text.replace("\r\n", "\n"),
            PartType::Binary(octets) | PartType::InlineBinary(octets) => format!("{octets:?}"),
            PartType::Message(_) => "message".to_owned(),
            PartType::Multipart(children) => format!("{children:?}"),
        });
    }
    out
}

fn same(message: &[u8]) -> Vec<u8> {
    let out = fit(message);
    assert_eq!(meaning(message), meaning(&out), "{}", String::from_utf8_lossy(&out));
    out
}

fn long(piece: &str) -> String {
    piece.repeat(2000 / piece.len())
}

#[test]
fn what_is_fit_comes_back_as_it_is() {
    let message = format!("Subject: x\r\n\r\n{}\r\n.\r\n", "y".repeat(998));
    assert!(matches!(conform(message.as_bytes()), Ok(Cow::Borrowed(_))));
    assert!(matches!(conform(b""), Ok(Cow::Borrowed(_))));
    assert_eq!(fit(b"A: b\r\n\r\nc"), b"A: b\r\n\r\nc\r\n");
    assert_eq!(fit(b"A: b\n\nc\n"), b"A: b\r\n\r\nc\r\n");
}

#[test]
fn long_lines_of_text_become_quoted_printable() {
    for body in [
        long("word "),
        long("a=bcdefghij"),
        long("Ein längerer Satz mit wenig darin "),
        format!("x\r\n{}\r\n\t \r\n", "-".repeat(3000)),
    ] {
        let message = format!(
            "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n{body}\r\nend\r\n"
        );
        let out = String::from_utf8(same(message.as_bytes())).unwrap();
        assert!(out.starts_with(
            "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        ));
        assert!(out.lines().all(|line| line.len() <= 76));
        assert!(!out.lines().any(|line| line.starts_with('-')));
    }
    // Text without a header for it, and octets of no known charset.
    fit(format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(999)).as_bytes());
    let out = same(
        format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n", long("ü")).as_bytes(),
    );
    assert!(String::from_utf8(out).unwrap().contains("Content-Transfer-Encoding: base64\r\n"));
}

#[test]
fn other_content_becomes_base64_octet_for_octet() {
    let message = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         {}\r\n--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\n\
         Content-Type: text/plain\r\n\r\nshort\r\n--b--\r\nepilogue\r\n",
        long("preamble "),
        long("{\"a\": 1},"),
    );
    let out = String::from_utf8(same(message.as_bytes())).unwrap();
    assert!(out.contains(
        "--b\r\nContent-Type: application/json\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ));
    assert!(
        out.ends_with("\r\n--b\r\nContent-Type: text/plain\r\n\r\nshort\r\n--b--\r\nepilogue\r\n")
    );
    assert!(!out.contains("preamble"));
}

#[test]
fn encodings_that_are_there_are_wrapped() {
    let base64 = long("QUJD");
    let quoted = long("=C3=BC b=3D");
    for (word, body) in [("base64", base64), ("quoted-printable", quoted)] {
        let message = format!(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {word}\r\n\r\n\
             {body}\r\n"
        );
        let out = String::from_utf8(same(message.as_bytes())).unwrap();
        assert_eq!(out.matches("Transfer-Encoding").count(), 1);
        assert!(out.lines().all(|line| line.len() <= 76));
    }
    let odd = format!("Content-Transfer-Encoding: x-uuencode\r\n\r\n{}\r\n", long("x"));
    assert_eq!(conform(odd.as_bytes()), Err(Unfit::Encoding));
    let dash = format!("Content-Transfer-Encoding: base64\r\n\r\n{}\r\n", long("--"));
    assert_eq!(conform(dash.as_bytes()), Err(Unfit::Encoding));
    let message = format!("Content-Type: message/delivery-status\r\n\r\n{}\r\n", long("x"));
    assert_eq!(conform(message.as_bytes()), Err(Unfit::Encoding));
}

#[test]
fn nested_messages_are_mended_inside() {
    let message = format!(
        "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\
         Content-Type: message/rfc822\r\n\r\n\
         Subject: {}\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\n{}\r\n\
         --i--\r\n--o--\r\n",
        long("word "),
        long("x"),
    );
    let out = String::from_utf8(same(message.as_bytes())).unwrap();
    assert!(!out.contains("MIME-Version"));
    assert!(out.contains("--i\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nxxx"));
}

#[test]
fn what_is_signed_or_encrypted_is_never_touched() {
    for kind in ["signed", "encrypted"] {
        let wrap = |inner: &str, subject: &str| {
            format!(
                "Subject: {subject}\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\
                 Content-Type: multipart/{kind}; boundary=i\r\n\r\n--i\r\n\r\n{inner}\r\n--i\r\n\
                 Content-Type: application/pgp-signature\r\n\r\nsig\r\n--i--\r\n--o--\r\n"
            )
        };
        for bad in [long("x"), "a\nb".into(), "a\rb".into(), "a\0b".into()] {
            assert_eq!(conform(wrap(&bad, "x").as_bytes()), Err(Unfit::Protected), "{kind} {bad}");
        }
        // What stands around it may be mended.
        let out = same(wrap("text \r\nof mine", &long("word ")).as_bytes());
        let signed = b"--i\r\n\r\ntext \r\nof mine\r\n--i\r\n";
        assert!(memchr::memmem::find(&out, signed).is_some());
    }
    // A message with the line ends of its machine is signed in its CRLF form.
    let local = "Content-Type: multipart/signed; boundary=i\n\n--i\n\na\n--i\n\nsig\n--i--\n";
    assert_eq!(fit(local.as_bytes()), local.replace('\n', "\r\n").into_bytes());
}

#[test]
fn headers_are_folded_where_that_means_nothing() {
    for header in [
        format!("Subject: {}", long("word ").trim_end()),
        format!("Subject: {}", long("x")),
        format!("Subject: {}", long("ü")),
        format!("To: {}z@x.example", long("abc@x.example,")),
        format!(
            "To: {}\"{}\" <z@x.example>",
            long("abc@x.example,"),
            long("c,d").chars().take(900).collect::<String>()
        ),
        format!("References: {}", long("<abc@x.example> ").trim_end()),
        format!("Subject: {} {}", "x".repeat(990), "y".repeat(990)),
    ] {
        let out = same(format!("{header}\r\n\r\nbody\r\n").as_bytes());
        assert!(out.ends_with(b"\r\n\r\nbody\r\n"));
    }
    let odd = format!("X-Odd: {}\r\n\r\n", long("x"));
    assert_eq!(conform(odd.as_bytes()), Err(Unfit::Header));
    let blanks = format!("X-Odd: {}x\r\n\r\n", long(" "));
    assert_eq!(conform(blanks.as_bytes()), Err(Unfit::Header));
    assert_eq!(conform(b"X: \0\r\n\r\n"), Err(Unfit::Header));
    let words = format!("Subject: =?utf-8?Q?{}?=\r\n\r\n", long("x"));
    assert_eq!(conform(words.as_bytes()), Err(Unfit::Header));
    let boundary = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b{}\r\n",
        long(" ")
    );
    assert_eq!(conform(boundary.as_bytes()), Err(Unfit::Boundary));
}

/// Quadratic work on these would take hours.
#[test]
fn large_hostile_messages_are_gone_through_once() {
    let mib = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let parts = format!("--i\r\n\r\n{}\r\n", "x".repeat(999)).repeat(1000);
    for message in [
        format!("To: {}z\r\n\r\n", mib("a@b,")),
        format!("To: {}\r\n\r\n", mib("\"a, ")),
        format!("Subject: {}\r\n\r\n", mib("\u{fc}")),
        format!("Subject: {}\r\n\r\n", mib("a b ")),
        format!("X: {}\r\n\r\n", mib(" ")),
        format!("X: {}\r\n\r\n{}", "y ".repeat(1000), mib("--i\r\n")),
        format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{}", mib("=")),
        format!("Content-Transfer-Encoding: base64\r\n\r\n{}", mib("A ")),
        format!("Content-Type: text/plain\r\n\r\n{}", mib("-\r")),
        format!("Content-Type: multipart/mixed; boundary=i\r\n\r\n{parts}--i--\r\n"),
    ] {
        if let Ok(out) = conform(message.as_bytes()) {
            assert!(is_fit(&out) && out.len() <= 4 * message.len());
        }
    }
}

proptest! {
    #[test]
    fn any_octets_become_fit_or_are_refused(
        octets in any::<Vec<u8>>(),
        text in "(A: b|Content-Type: (multipart/(mixed|signed)|message/rfc822|text/plain)\
                 |; boundary=i|Content-Transfer-Encoding: (base64|binary)|--i|--i--|\r\n|\r\n|\n\
                 |\r|\0|x{990}|, |;){0,40}",
    ) {
        for message in [&octets[..], text.as_bytes()] {
            if let Ok(out) = conform(message) {
                prop_assert!(is_fit(&out));
                prop_assert!(matches!(conform(&out), Ok(Cow::Borrowed(_))));
            }
        }
    }

    #[test]
    fn the_meaning_stays(
        subject in "[a-zA-Z=?,;ü]{1,20}( [a-z]{1,12}){0,300}",
        body in "([ -~ü\t]{0,300}\r\n){0,3}[ -~ü]{900,1200}(\r\n[ -~]{0,20}){0,3}",
        data in "[ -~]{900,1200}",
    ) {
        let message = format!(
            "Subject: {subject}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b0\r\n\r\n\
             --b0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n\
             --b0\r\nContent-Type: application/x-a\r\n\r\n{data}\r\n--b0--\r\n"
        );
        same(message.as_bytes());
    }
}

#[test]
fn octets_above_127_are_told_apart_by_where_they_stand() {
    let parts = |of_part: &str, text: &str| {
        format!(
            "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
             Content-Description: {of_part}\r\n\r\n{text}\r\n--b--\r\n"
        )
    };
    for (message, expected) in [
        ("Subject: x\r\n\r\nu\r\n".to_owned(), false),
        ("Subject: x\r\n\r\n\u{fc}: \u{fc}\r\n".to_owned(), false),
        ("Subject: \u{fc}\r\n\r\nu\r\n".to_owned(), true),
        (parts("d", "\u{fc}"), false),
        (parts("\u{fc}", "u"), true),
        (String::new(), false),
    ] {
        assert_eq!(has_eight_bit_headers(message.as_bytes()), expected, "{message:?}");
    }
}

#[test]
fn contents_of_eight_bits_are_encoded_for_a_server_of_seven() {
    let parts = |kind: &str| {
        format!(
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e, -- Ann\r\n--b\r\n\
             Content-Type: text/html\r\n\r\n<b>left as it is</b>\r\n--b--\r\n"
        )
    };
    let single = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\
                  Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e\r\n";
    let cyrillic = format!(
        "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\
                            Content-Transfer-Encoding: 8bit\r\n\r\n{}\r\n",
        "\u{416}".repeat(300)
    );
    for message in [single.to_owned(), cyrillic, parts("mixed")] {
        let out = conform_to_seven_bits(message.as_bytes()).unwrap();
        assert!(out.is_ascii() && is_fit(&out), "{}", String::from_utf8_lossy(&out));
        assert_eq!(meaning(message.as_bytes()), meaning(&out));
        assert!(matches!(conform_to_seven_bits(&out), Ok(Cow::Borrowed(_))));
        assert!(matches!(conform(message.as_bytes()), Ok(Cow::Borrowed(_))));
    }
    assert_eq!(conform_to_seven_bits(parts("signed").as_bytes()), Err(Unfit::Protected));
    let field = "Subject: \u{fc}\r\n\r\nu\r\n";
    assert_eq!(conform_to_seven_bits(field.as_bytes()).unwrap(), field.as_bytes());
}
