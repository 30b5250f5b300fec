//! SMTPUTF8 (RFC 6531) and DSN (RFC 3461) in dialogs.

use super::*;

#[test]
fn addresses_in_utf8_need_the_parameter() {
    mx("C: MAIL FROM:<j\u{fc}rgen@b.example>
        S: 553 5.6.7
        C: MAIL FROM:<a@b\u{fc}cher.example>
        S: 553 5.6.7
        C: MAIL FROM:<a@b.example>
        S: 250
        C: RCPT TO:<\u{fc}@ours.example>
        S: 553 5.6.7
        C: RCPT TO:<alice@ours.example>
        S: 250");
    mx("C: MAIL FROM:<j\u{fc}rgen@b.example> SMTPUTF8
        S: 250
        C: RCPT TO:<\u{fc}@ours.example>
        S: 550 5.1.1
        C: RCPT TO:<alice@ours.example>
        S: 250
        C: RSET
        S: 250
        C: MAIL FROM:<> smtputf8 BODY=8BITMIME
        S: 250
        C: RCPT TO:<\"\u{fc} x\"@ours.example>
        S: 550 5.1.1");
    mx("C: MAIL FROM:<a@b.example> SMTPUTF8=1
        S: 501 5.5.4
        C: MAIL FROM:<a@b.example> SMTPUTF8 SMTPUTF8
        S: 501 5.5.4
        C: VRFY j\u{fc}rgen
        S: 252
        C: VRFY j\u{fc}rgen SMTPUTF8
        S: 252");
    let mut wire = Dialog::new(HELLO).whole(&options(ListenerKind::Mx));
    wire.send(b"MAIL FROM:<\xff@b.example> SMTPUTF8\r\nMAIL FROM:<a@b.example> SMTPUTF8\xff\r\n");
    let said = wire.lines();
    assert!(said[0].starts_with("501 5.1.7") && said[1].starts_with("501 5.5.4"), "{said:?}");
}

#[test]
fn a_domain_is_one_in_both_its_forms() {
    let parse = |line: &str| match crate::smtp::command::parse(line.as_bytes()) {
        Ok(crate::smtp::command::Command::Mail(mail)) => mail.from.map(|from| from.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        parse("MAIL FROM:<\u{fc}@B\u{dc}CHER.example> SMTPUTF8"),
        parse("MAIL FROM:<\u{fc}@xn--bcher-kva.example> SMTPUTF8"),
    );
}

#[test]
fn what_is_asked_of_reports_is_handed_on() {
    let mut session = Session::<()>::new(Arc::new(options(ListenerKind::Mx)), false);
    session.greet();
    session.feed(
        b"EHLO x\r\nMAIL FROM:<a@b.example> RET=HDRS ENVID=x+2By SMTPUTF8\r\n\
          RCPT TO:<alice@ours.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@b\r\nBDAT 0 LAST\r\n",
    );
    let mut done = None;
    while let Some(event) = session.next_event() {
        match event {
            Event::Recipient(_) => session.answer_recipient(Ok(())),
            Event::Message { declared_bytes } => {
                assert_eq!(declared_bytes, Some(0));
                session.begin_message(Vec::new());
            }
            Event::Received(transaction) => {
                done = Some(transaction);
                session.answer_message(Ok(()));
            }
            other => panic!("{other:?}"),
        }
    }
    let done = done.unwrap();
    assert!(done.utf8);
    assert_eq!(
        (done.dsn_return, done.envelope_id.as_deref()),
        (Some(DsnReturn::Headers), Some("x+2By"))
    );
    let notify = DsnNotify { success: true, failure: true, delay: false };
    assert_eq!(done.recipients[0].notify, Some(notify));
    assert_eq!(done.recipients[0].original.as_deref(), Some("rfc822;a@b"));
}
