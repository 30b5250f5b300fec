//! Wire dialogs: what is said against what is answered, with the stream split in any way.

use super::*;
use crate::base::secret::SecretBytes;
use crate::smtp::{DsnNotify, DsnReturn};
use proptest::prelude::*;
use std::sync::Arc;

const EHLO: &str = "250-mx.example hello\r\n250-PIPELINING\r\n250-SIZE 10000\r\n250-8BITMIME\r\n\
    250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n";
const BARE_EHLO: &str = "250 mx.example\r\n";
const TLS_EHLO: &str = "250-mx.example\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n";

fn options(security: Security, credential: Option<(&str, &str)>) -> Arc<Options> {
    let credential = credential.map(|(user, password)| {
        let password = SecretBytes::copy_from(password.as_bytes());
        Arc::new(Credential { user: user.into(), password })
    });
    Arc::new(Options { hostname: "us.example".into(), security, credential })
}

fn may() -> Client {
    Client::new(options(Security::May, None), false)
}

fn envelope(recipients: &[&str], message: &str) -> Envelope {
    Envelope {
        from: Some("me@us.example".parse().unwrap()),
        recipients: recipients
            .iter()
            .map(|address| Recipient {
                address: address.parse().unwrap(),
                notify: None,
                original: None,
            })
            .collect(),
        envelope_id: None,
        dsn_return: None,
        utf8: false,
        content: Content::new(Arc::new(message.as_bytes().to_vec())).unwrap(),
    }
}

/// Writes all there is, as a driver would.
fn said(client: &mut Client) -> String {
    let out = client.output().concat();
    client.wrote(out.len());
    String::from_utf8(out).unwrap()
}

fn hear(client: &mut Client, input: &str) -> Option<Event> {
    client.feed(input.as_bytes());
    client.next_event()
}

/// A client that has greeted.
fn greeted(ehlo: &str) -> Client {
    let mut client = may();
    assert_eq!(hear(&mut client, "220 mx.example ESMTP\r\n"), None);
    assert_eq!(said(&mut client), "EHLO us.example\r\n");
    assert_eq!(hear(&mut client, ehlo), Some(Event::Ready));
    client
}

fn done(event: Option<Event>) -> Vec<Verdict> {
    match event {
        Some(Event::Done(verdicts)) => verdicts,
        other => panic!("{other:?}"),
    }
}

/// The verdicts in short: the code of the reply, or what else it was.
fn codes(event: Option<Event>) -> Vec<String> {
    let code = |verdict: &Verdict| match verdict {
        Verdict::Accepted(reply) => format!("+{}", reply.code),
        Verdict::Refused(reply) => format!("-{}", reply.code),
        Verdict::Lacking(lack) => format!("{lack:?}"),
        Verdict::Crowded(reply) => format!("crowded {}", reply.code),
        Verdict::Unnamed => "unnamed".into(),
        Verdict::Broken(_) => "broken".into(),
        Verdict::Unknown(_) => "unknown".into(),
    };
    done(event).iter().map(code).collect()
}

#[test]
fn commands_are_pipelined_and_the_message_waits_for_354() {
    let mut client = greeted(EHLO);
    client.begin(Arc::new(envelope(&["a@x.example", "b@x.example"], "Hi\r\n.dot\r\n")));
    assert_eq!(
        said(&mut client),
        "MAIL FROM:<me@us.example> SIZE=10\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\n\
         DATA\r\n"
    );
    assert_eq!(client.waiting(), Waiting::Mail);
    assert_eq!(hear(&mut client, "250 ok\r\n250 ok\r\n"), None);
    assert_eq!(client.waiting(), Waiting::Rcpt);
    assert_eq!(hear(&mut client, "550 5.1.1 no\r\n354 go\r\n"), None);
    assert_eq!(client.waiting(), Waiting::DataBlock);
    assert_eq!(said(&mut client), "Hi\r\n..dot\r\n.\r\n");
    assert_eq!(client.waiting(), Waiting::DataEnd);
    let verdicts = done(hear(&mut client, "250 2.0.0 queued as 1\r\n"));
    assert!(matches!(&verdicts[0], Verdict::Accepted(r) if r.text == "queued as 1"));
    assert!(matches!(&verdicts[1], Verdict::Refused(r) if r.status == Status(5, 1, 1)));
    // The next one needs nothing in between.
    client.begin(Arc::new(envelope(&["c@x.example"], "")));
    assert!(said(&mut client).starts_with("MAIL"));
    assert_eq!(hear(&mut client, "250 ok\r\n250 ok\r\n354 go\r\n"), None);
    assert_eq!(said(&mut client), ".\r\n");
    assert_eq!(codes(hear(&mut client, "250 ok\r\n")), ["+250"]);
    client.quit();
    assert_eq!(said(&mut client), "QUIT\r\n");
    assert_eq!(hear(&mut client, "221 bye\r\n"), None);
    assert_eq!(client.waiting(), Waiting::Closed);
}

#[test]
fn without_pipelining_each_command_waits_for_its_reply() {
    let mut client = greeted(BARE_EHLO);
    client.begin(Arc::new(envelope(&["a@x.example", "b@x.example"], "Hi\r\n")));
    for (command, reply) in [
        ("MAIL FROM:<me@us.example>\r\n", "250 ok\r\n"),
        ("RCPT TO:<a@x.example>\r\n", "450 later\r\n"),
        ("RCPT TO:<b@x.example>\r\n", "250 ok\r\n"),
        ("DATA\r\n", "354 go\r\n"),
    ] {
        assert_eq!(said(&mut client), command);
        assert_eq!(hear(&mut client, reply), None);
    }
    assert_eq!(said(&mut client), "Hi\r\n.\r\n");
    assert_eq!(codes(hear(&mut client, "250 ok\r\n")), ["-450", "+250"]);
}

#[test]
fn a_transaction_cut_short_gives_the_message_to_who_was_accepted() {
    let mut client = greeted(BARE_EHLO);
    let to = ["a@x.example", "b@x.example", "c@x.example", "d@x.example"];
    client.begin(Arc::new(envelope(&to, "Hi\r\n")));
    // Nobody was named yet: without the first one nothing would ever be got on with.
    client.cut_short();
    for _ in 0..3 {
        said(&mut client);
        assert_eq!(hear(&mut client, "250 ok\r\n"), None);
    }
    client.cut_short();
    assert_eq!(said(&mut client), "RCPT TO:<c@x.example>\r\n");
    assert_eq!(hear(&mut client, "550 no\r\n"), None);
    assert_eq!(said(&mut client), "DATA\r\n");
    client.cut_short();
    assert_eq!(hear(&mut client, "354 go\r\n"), None);
    assert_eq!(said(&mut client), "Hi\r\n.\r\n");
    assert_eq!(codes(hear(&mut client, "250 ok\r\n")), ["+250", "+250", "-550", "unnamed"]);
    assert!(client.is_ready());
}

#[test]
fn too_many_recipients_are_told_from_a_full_mailbox() {
    for (first, second, expected) in [
        ("250 ok", "552 too many", ["+250", "crowded 552"]),
        ("250 ok", "552 5.5.3 too many", ["+250", "crowded 552"]),
        ("250 ok", "452 4.5.3 too many", ["+250", "crowded 452"]),
        ("250 ok", "552 5.2.2 full", ["+250", "-552"]),
        ("552 full", "250 ok", ["-552", "+250"]),
        ("550 no", "552 full", ["-550", "-552"]),
    ] {
        let mut client = greeted(EHLO);
        client.begin(Arc::new(envelope(&["a@x.example", "b@x.example"], "Hi\r\n")));
        said(&mut client);
        let mut event = hear(&mut client, &format!("250 ok\r\n{first}\r\n{second}\r\n"));
        let live = expected.contains(&"+250");
        event = event.or(hear(&mut client, if live { "354 go\r\n" } else { "554 none\r\n" }));
        said(&mut client);
        let event = event.or_else(|| hear(&mut client, "250 ok\r\n"));
        assert_eq!(codes(event), expected, "{first} {second}");
    }
}

#[test]
fn groups_of_commands_end_where_a_transaction_can_be_cut_short() {
    let to: Vec<String> = (0..12).map(|at| format!("r{at}@x.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut client = greeted(EHLO);
    client.begin(Arc::new(envelope(&to, "Hi\r\n")));
    let group = said(&mut client);
    assert_eq!((group.matches("RCPT").count(), group.contains("DATA")), (10, false));
    assert_eq!(hear(&mut client, &"250 ok\r\n".repeat(11)), None);
    assert_eq!(said(&mut client), "RCPT TO:<r10@x.example>\r\nRCPT TO:<r11@x.example>\r\nDATA\r\n");
    assert_eq!(hear(&mut client, "250 ok\r\n250 ok\r\n354 go\r\n"), None);
    said(&mut client);
    assert_eq!(codes(hear(&mut client, "250 ok\r\n")), ["+250"; 12]);
}

#[test]
fn a_refusal_ends_a_transaction_early_and_the_next_begins_with_rset() {
    let mut client = greeted(BARE_EHLO);
    client.begin(Arc::new(envelope(&["a@x.example"], "Hi\r\n")));
    said(&mut client);
    assert_eq!(codes(hear(&mut client, "550 5.7.1 not you\r\n")), ["-550"]);
    assert!(client.is_ready());
    client.begin(Arc::new(envelope(&["a@x.example"], "Hi\r\n")));
    assert_eq!(said(&mut client), "MAIL FROM:<me@us.example>\r\n");
    hear(&mut client, "250 ok\r\n");
    assert_eq!(said(&mut client), "RCPT TO:<a@x.example>\r\n");
    assert_eq!(codes(hear(&mut client, "550 no\r\n")), ["-550"]);
    client.begin(Arc::new(envelope(&["b@x.example"], "Hi\r\n")));
    assert_eq!(said(&mut client), "RSET\r\n");
    assert_eq!(hear(&mut client, "250 ok\r\n"), None);
    assert_eq!(said(&mut client), "MAIL FROM:<me@us.example>\r\n");

    let mut client = greeted(EHLO);
    client.begin(Arc::new(envelope(&["a@x.example"], "Hi\r\n")));
    said(&mut client);
    assert_eq!(codes(hear(&mut client, "250 ok\r\n550 no\r\n554 none\r\n")), ["-550"]);
    client.begin(Arc::new(envelope(&["b@x.example"], "Hi\r\n")));
    assert!(said(&mut client).starts_with("RSET\r\nMAIL FROM"));
    hear(&mut client, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    assert_eq!(said(&mut client), "Hi\r\n.\r\n");
    assert_eq!(codes(hear(&mut client, "250 ok\r\n")), ["+250"]);
}

#[test]
fn a_message_that_nobody_is_to_get_is_sent_empty() {
    for replies in ["550 no\r\n503 what\r\n354 go\r\n", "250 ok\r\n550 no\r\n354 go\r\n"] {
        let mut client = greeted(EHLO);
        client.begin(Arc::new(envelope(&["a@x.example"], "Hi\r\n")));
        said(&mut client);
        assert_eq!(hear(&mut client, replies), None);
        assert_eq!(said(&mut client), ".\r\n");
        assert_eq!(codes(hear(&mut client, "250 fine\r\n")), ["-550"]);
        assert!(client.is_ready());
    }
}

#[test]
fn the_end_of_the_message_decides_for_those_who_were_accepted() {
    for (reply, expected) in [("452 full\r\n", "-452"), ("554 spam\r\n", "-554")] {
        let mut client = greeted(EHLO);
        client.begin(Arc::new(envelope(&["a@x.example", "b@x.example"], "Hi\r\n")));
        said(&mut client);
        hear(&mut client, "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n");
        said(&mut client);
        assert_eq!(codes(hear(&mut client, reply)), [expected, "-550"]);
        assert!(client.is_ready());
    }
}

#[test]
fn old_servers_are_greeted_with_helo() {
    let mut client = may();
    hear(&mut client, "220 old.example\r\n");
    said(&mut client);
    assert_eq!(hear(&mut client, "502 what\r\n"), None);
    assert_eq!(said(&mut client), "HELO us.example\r\n");
    assert_eq!(hear(&mut client, "250 old.example\r\n"), Some(Event::Ready));
    client.begin(Arc::new(envelope(&["a@x.example"], "Hi\r\n")));
    assert_eq!(said(&mut client), "MAIL FROM:<me@us.example>\r\n");
}

#[test]
fn tls_is_taken_where_it_is_offered_and_all_is_forgotten() {
    let mut client = may();
    hear(&mut client, "220 x\r\n");
    said(&mut client);
    assert_eq!(hear(&mut client, TLS_EHLO), None);
    assert_eq!(said(&mut client), "STARTTLS\r\n");
    assert_eq!(hear(&mut client, "220 go\r\n"), Some(Event::StartTls));
    assert!(!client.has_output());
    client.tls_established();
    assert_eq!(client.extensions(), &Extensions::default());
    assert_eq!(said(&mut client), "EHLO us.example\r\n");
    // Offered again within TLS: an odd server, and no reason to ask again.
    assert_eq!(hear(&mut client, TLS_EHLO), Some(Event::Ready));
    assert!(client.is_protected());
}

#[test]
fn octets_around_starttls_end_the_session() {
    let tls = |security| {
        let mut client = Client::new(options(security, None), false);
        hear(&mut client, "220 x\r\n");
        said(&mut client);
        client
    };
    for security in [Security::May, Security::Must] {
        for behind in ["250 mx.example injected\r\n", "2", "\r\n", "\u{16}\u{3}"] {
            // Behind the 220, in the same piece or in the next one.
            let mut client = tls(security);
            hear(&mut client, TLS_EHLO);
            said(&mut client);
            let input = format!("220 go\r\n{behind}");
            let event = hear(&mut client, &input);
            assert_eq!(event, Some(Event::Broken(Broken::Unsolicited)), "{behind:?}");
            client.tls_established();
            assert!(!client.has_output() && client.waiting() == Waiting::Closed);

            let mut client = tls(security);
            hear(&mut client, TLS_EHLO);
            said(&mut client);
            assert_eq!(hear(&mut client, "220 go\r\n"), Some(Event::StartTls));
            let event = hear(&mut client, behind);
            assert_eq!(event, Some(Event::Broken(Broken::Unsolicited)), "{behind:?}");
            client.tls_established();
            assert!(!client.has_output());

            // Ahead of STARTTLS: the answer is there before the question.
            let mut client = tls(security);
            let event = hear(&mut client, &format!("{TLS_EHLO}{behind}"));
            assert_eq!(event, Some(Event::Broken(Broken::Unsolicited)), "{behind:?}");
        }
    }
}

#[test]
fn tls_that_has_to_be_is_not_done_without() {
    for (ehlo, reply) in [(BARE_EHLO, None), (TLS_EHLO, Some("454 not now\r\n"))] {
        let mut client = Client::new(options(Security::Must, None), false);
        hear(&mut client, "220 x\r\n");
        said(&mut client);
        let mut event = hear(&mut client, ehlo);
        if let Some(reply) = reply {
            said(&mut client);
            event = hear(&mut client, reply);
        }
        assert!(matches!(event, Some(Event::Broken(Broken::NoTls(_)))), "{event:?}");
        assert!(!client.has_output());
    }
    let mut client = may();
    hear(&mut client, "220 x\r\n");
    said(&mut client);
    hear(&mut client, TLS_EHLO);
    said(&mut client);
    assert_eq!(hear(&mut client, "454 not now\r\n"), Some(Event::Ready));
    let mut client = Client::new(options(Security::Never, None), false);
    hear(&mut client, "220 x\r\n");
    said(&mut client);
    assert_eq!(hear(&mut client, TLS_EHLO), Some(Event::Ready));
}

#[test]
fn a_password_goes_out_only_within_tls() {
    // The server offers AUTH in clear and no STARTTLS.
    for security in [Security::May, Security::Must, Security::Never] {
        let mut client = Client::new(options(security, Some(("me", "secret"))), false);
        hear(&mut client, "220 x\r\n");
        said(&mut client);
        let event = hear(&mut client, "250-x\r\n250 AUTH PLAIN LOGIN\r\n");
        assert_eq!(event, Some(Event::Broken(Broken::NoTls(None))));
        assert!(!client.has_output());
    }
}

fn protected(ehlo: &str) -> (Client, Option<Event>) {
    let mut client = Client::new(options(Security::Must, Some(("me", "secret"))), true);
    hear(&mut client, "220 x\r\n");
    said(&mut client);
    let event = hear(&mut client, ehlo);
    (client, event)
}

#[test]
fn plain_and_login_are_spoken() {
    let (mut client, event) = protected("250-x\r\n250 AUTH LOGIN PLAIN\r\n");
    assert_eq!(event, None);
    // base64 of NUL me NUL secret
    assert_eq!(said(&mut client), "AUTH PLAIN AG1lAHNlY3JldA==\r\n");
    assert!(client.outbox.is_empty() && client.outbox.capacity() > 0);
    assert_eq!(hear(&mut client, "235 2.7.0 hello\r\n"), Some(Event::Ready));

    let (mut client, _) = protected("250-x\r\n250 AUTH LOGIN\r\n");
    assert_eq!(said(&mut client), "AUTH LOGIN\r\n");
    assert_eq!(hear(&mut client, "334 VXNlcm5hbWU6\r\n"), None);
    assert_eq!(said(&mut client), "bWU=\r\n");
    assert_eq!(hear(&mut client, "334 UGFzc3dvcmQ6\r\n"), None);
    assert_eq!(said(&mut client), "c2VjcmV0\r\n");
    assert_eq!(hear(&mut client, "235 ok\r\n"), Some(Event::Ready));

    let (_, event) = protected("250-x\r\n250 AUTH GSSAPI\r\n");
    assert_eq!(event, Some(Event::Broken(Broken::NoLogin)));
    for (ehlo, reply) in [
        ("250 AUTH PLAIN", "535 5.7.8 no\r\n"),
        ("250 AUTH LOGIN", "535 5.7.8 no\r\n"),
        ("250 AUTH PLAIN", "334 more\r\n"),
        ("250 AUTH LOGIN", "235 already\r\n"),
        ("250 AUTH PLAIN", "250 ok\r\n"),
    ] {
        let (mut client, _) = protected(&format!("250-x\r\n{ehlo}\r\n"));
        said(&mut client);
        let event = hear(&mut client, reply);
        assert!(matches!(event, Some(Event::Broken(_))), "{ehlo} {reply}: {event:?}");
    }
}

#[test]
fn parameters_are_passed_on_where_they_are_offered() {
    let mut with = envelope(&["a@x.example"], "\u{fc}\r\n");
    with.from = None;
    with.envelope_id = Some("id+2B1".into());
    with.dsn_return = Some(DsnReturn::Headers);
    with.utf8 = true;
    let notify = DsnNotify { success: true, failure: true, delay: false };
    with.recipients[0].notify = Some(notify);
    with.recipients[0].original = Some("rfc822;a@x.example".into());
    let mut client = greeted(EHLO);
    client.begin(Arc::new(with.clone()));
    assert_eq!(
        said(&mut client),
        "MAIL FROM:<> SIZE=4 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B1\r\n\
         RCPT TO:<a@x.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@x.example\r\nDATA\r\n"
    );
    // Where they are not, they are left out; and what could end a line never goes out.
    (with.utf8, with.content) = (false, envelope(&[], "u\r\n").content);
    let mut client = greeted(BARE_EHLO);
    client.begin(Arc::new(with.clone()));
    assert_eq!(said(&mut client), "MAIL FROM:<>\r\n");
    with.envelope_id = Some("a\r\nRSET".into());
    with.recipients[0].original = Some("rfc822;a b".into());
    with.recipients[0].notify = Some(DsnNotify::default());
    let mut client = greeted(EHLO);
    client.begin(Arc::new(with));
    let said = said(&mut client);
    assert!(!said.contains("ENVID") && said.contains("<a@x.example> NOTIFY=NEVER\r\n"), "{said}");
}

#[test]
fn what_a_server_cannot_take_is_not_offered_to_it() {
    let lack = |ehlo: &str, envelope: Envelope| {
        let mut client = greeted(ehlo);
        client.begin(Arc::new(envelope));
        assert!(!client.has_output());
        let codes = codes(client.next_event());
        assert!(client.is_ready());
        codes
    };
    let large = "x\r\n".repeat(4000);
    assert_eq!(lack(EHLO, envelope(&["a@x.example"], &large)), ["Size"]);
    assert_eq!(lack(BARE_EHLO, envelope(&["a@x.example"], "\u{fc}\r\n")), ["EightBit"]);
    assert_eq!(lack(BARE_EHLO, envelope(&["\u{fc}@x.example"], "u\r\n")), ["Utf8"]);
    let mut utf8 = envelope(&["a@x.example", "b@x.example"], "u\r\n");
    utf8.utf8 = true;
    assert_eq!(lack(BARE_EHLO, utf8), ["Utf8", "Utf8"]);
    let mut client = greeted(BARE_EHLO);
    client.begin(Arc::new(envelope(&[], "u\r\n")));
    assert_eq!(done(client.next_event()), []);
}

/// The replies of a whole session, one for each thing that is said.
const SCRIPT: [&str; 8] = [
    "220 x\r\n",
    "250-x\r\n250 STARTTLS\r\n",
    "220 go\r\n",
    "250 x\r\n",
    "250 ok\r\n",
    "250 ok\r\n",
    "354 go\r\n",
    "250 ok\r\n",
];

/// Plays the first `count` replies.
fn played(count: usize) -> Client {
    let mut client = may();
    for reply in SCRIPT.iter().take(count) {
        let event = hear(&mut client, reply);
        match event {
            Some(Event::StartTls) => client.tls_established(),
            Some(Event::Ready) => client.begin(Arc::new(envelope(&["a@x.example"], "Hi\r\n"))),
            _ => {}
        }
        said(&mut client);
    }
    client
}

/// A session broken at any point: nobody is told that mail was accepted, and whether it may have
/// been is told only behind the end of the message.
#[test]
fn whatever_comes_at_whatever_point_ends_the_session_cleanly() {
    for count in 0..SCRIPT.len() {
        for input in ["421 4.3.2 bye\r\n", "999 x\r\n", "hello\r\n", "354 what\r\n", "299", ""] {
            let mut client = played(count);
            let mut event = hear(&mut client, input);
            if event.is_none() && (count, input) != (6, "354 what\r\n") {
                client.give_up(Broken::Closed);
                event = client.next_event();
            }
            if let Some(Event::Done(verdicts)) = &event {
                assert!(count >= 4, "{count} {input:?}");
                match &verdicts[0] {
                    Verdict::Refused(reply) => assert_eq!(reply.code, 421),
                    Verdict::Unknown(_) => assert_eq!(count, 7),
                    Verdict::Broken(_) => assert!(count < 7),
                    other => panic!("{count} {input:?}: {other:?}"),
                }
            }
            let stays = (count, input) == (6, "354 what\r\n");
            assert_eq!(event.is_some(), !stays, "{count} {input:?}");
            assert!(stays || client.waiting() == Waiting::Closed, "{count} {input:?}");
            assert!(stays || !client.has_output());
        }
    }
    let mut client = played(SCRIPT.len());
    assert!(client.is_ready());
    assert_eq!(
        hear(&mut client, "421 bye\r\n").map(|event| matches!(event, Event::Broken(_))),
        Some(true)
    );
}

#[test]
fn an_answer_ahead_of_the_end_accepts_nothing() {
    for (early, expected) in [("250 ok\r\n", "broken"), ("552 5.3.4 large\r\n", "-552")] {
        for written in [0, 3] {
            let mut client = greeted(EHLO);
            client.begin(Arc::new(envelope(&["a@x.example"], "Hi\r\n")));
            said(&mut client);
            hear(&mut client, "250 ok\r\n250 ok\r\n354 go\r\n");
            client.wrote(written);
            assert_eq!(codes(hear(&mut client, early)), [expected]);
            assert!(!client.is_ready() && !client.has_output());
        }
    }
    // All answers at once, before anything was asked.
    let mut client = greeted(EHLO);
    client.feed(b"250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n");
    client.begin(Arc::new(envelope(&["a@x.example"], "Hi\r\n")));
    assert_eq!(codes(client.next_event()), ["broken"]);
    let mut client = greeted(EHLO);
    client.begin(Arc::new(envelope(&["a@x.example"], "Hi\r\n")));
    said(&mut client);
    let all = "250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n";
    assert_eq!(codes(hear(&mut client, all)), ["broken"]);
}

#[test]
fn a_session_that_is_refused_early_ends_with_quit_too() {
    let ends = |security, credential, protected, replies: &[&str]| {
        let mut client = Client::new(options(security, credential), protected);
        let mut event = None;
        for reply in replies {
            event = hear(&mut client, reply);
            if event.is_none() {
                said(&mut client);
            }
        }
        assert!(matches!(event, Some(Event::Broken(_))), "{event:?}");
        assert!(!client.has_output() && !client.is_ready());
        client.quit();
        let said = said(&mut client);
        if !said.is_empty() {
            assert_eq!(client.waiting(), Waiting::Quit);
            hear(&mut client, "221 bye\r\n");
        }
        assert_eq!(client.waiting(), Waiting::Closed);
        said
    };
    let login = Some(("me", "secret"));
    for (security, credential, protected, replies) in [
        (Security::May, None, false, &["554 no\r\n"][..]),
        (Security::May, None, false, &["220 x\r\n", "521 no mail here\r\n"]),
        (Security::May, None, false, &["220 x\r\n", "500 what\r\n", "550 no\r\n"]),
        (Security::Must, None, false, &["220 x\r\n", BARE_EHLO]),
        (Security::Must, None, false, &["220 x\r\n", TLS_EHLO, "454 no\r\n"]),
        (Security::Never, login, false, &["220 x\r\n", BARE_EHLO]),
        (Security::May, login, true, &["220 x\r\n", BARE_EHLO]),
        (Security::May, login, true, &["220 x\r\n", TLS_EHLO, "535 no\r\n"]),
    ] {
        assert_eq!(ends(security, credential, protected, replies), "QUIT\r\n", "{replies:?}");
    }
    // Where it closes by itself, has said more than it was asked, or does not make sense.
    for replies in [
        &["421 bye\r\n"][..],
        &["554 no\r\n5"],
        &["nonsense\r\n"],
        &["250 x\r\n"],
        &["220 x\r\n", "421 bye\r\n"],
    ] {
        assert_eq!(ends(Security::May, None, false, replies), "", "{replies:?}");
    }
}

#[test]
fn a_server_is_called_by_the_name_it_gives() {
    assert_eq!(greeted("250 MX.Example at your service\r\n").server_name(), "mx.example");
    assert_eq!(greeted("250 a\x1bb\r\n").server_name(), "ab");
}

/// Runs a session against `script`, split at `cuts`, with writes of at most `write` octets.
fn run(script: &str, cuts: &[usize], write: usize) -> (Vec<String>, Option<Vec<String>>) {
    let (mut client, mut out, mut begun) = (may(), Vec::new(), false);
    let mut ended = None;
    let mut last = 0;
    let mut pieces: Vec<usize> = cuts.iter().map(|cut| cut % (script.len() + 1)).collect();
    pieces.push(script.len());
    pieces.sort_unstable();
    for cut in pieces {
        client.feed(&script.as_bytes()[last..cut]);
        last = cut;
        loop {
            match client.next_event() {
                Some(Event::Ready) if !begun => {
                    begun = true;
                    let envelope = envelope(&["a@x.example", "b@x.example"], "Hi\r\n.\r\n");
                    client.begin(Arc::new(envelope));
                }
                Some(Event::Done(verdicts)) => ended = Some(codes(Some(Event::Done(verdicts)))),
                Some(event) => out.push(format!("{event:?}")),
                None if client.has_output() => {
                    let said: Vec<u8> = client.output().concat().into_iter().take(write).collect();
                    client.wrote(said.len());
                }
                None => break,
            }
        }
    }
    (out, ended)
}

proptest! {
    #[test]
    fn any_server_is_survived(
        script in "(220 x\r\n|250[ -]PIPELINING\r\n|250[ -]STARTTLS\r\n|354 \r\n|421 x\r\n\
                   |5[0-9]{2} x\r\n|[0-9]{3}|[\r\n -]|4|\u{fc}|\0){0,20}",
        cuts in prop::collection::vec(0usize..1000, 0..8),
        write in 1usize..80,
    ) {
        let (_, ended) = run(&script, &cuts, write);
        if let Some(ended) = ended {
            prop_assert_eq!(ended.len(), 2);
        }
    }
}

/// The same words and the same verdicts, whatever the pieces in which replies come and words go.
#[test]
fn a_session_is_the_same_however_it_is_split() {
    for read in 1..60 {
        for write in [1, 2, 3, 7, 1000] {
            let (heard, verdicts) = in_pieces(read, write);
            assert_eq!(
                heard,
                "EHLO us.example\r\nMAIL FROM:<me@us.example>\r\nRCPT TO:<a@x.example>\r\n\
                 RCPT TO:<b@x.example>\r\nDATA\r\nHi\r\n..\r\n.\r\n",
            );
            assert_eq!(verdicts, ["+250", "-550"], "{read} {write}");
        }
    }
}

fn in_pieces(read: usize, write: usize) -> (String, Vec<String>) {
    let replies = [
        "220-x\r\n220 y\r\n",
        "250-x\r\n250 PIPELINING\r\n",
        "250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 one\r\n354 go\r\n",
        "250-2.0.0 a\r\n250 2.0.0 b\r\n",
    ];
    let (mut client, mut heard, mut verdicts) = (may(), Vec::new(), Vec::new());
    for piece in replies.iter().flat_map(|reply| reply.as_bytes().chunks(read)) {
        client.feed(piece);
        match client.next_event() {
            Some(Event::Ready) => {
                let envelope = envelope(&["a@x.example", "b@x.example"], "Hi\r\n.\r\n");
                client.begin(Arc::new(envelope));
            }
            Some(event) => verdicts = codes(Some(event)),
            None => {}
        }
        while client.has_output() {
            let said: Vec<u8> = client.output().concat().into_iter().take(write).collect();
            client.wrote(said.len());
            heard.extend(said);
        }
    }
    (String::from_utf8(heard).unwrap(), verdicts)
}
