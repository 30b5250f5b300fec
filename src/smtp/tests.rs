//! Dialogs as they go over the wire, each whole, split at every octet, and octet by octet; the
//! smuggling matrix; injection behind STARTTLS.

use std::sync::Arc;

use super::*;
use proptest::prelude::*;

mod bdat;
mod utf8;

fn options(kind: ListenerKind) -> Options {
    Options {
        hostname: "mx.ours.example".into(),
        kind,
        mechanisms: vec!["PLAIN", "LOGIN"],
        bare_newlines: BareNewlines::Refuse,
        tls_offered: true,
        message_bytes_max: 1000,
        recipients_max: 3,
        errors_max: 5,
        commands_max: 50,
        session_bytes_max: 100_000,
    }
}

/// A session with a driver that knows `alice` and `bob` of ours.example.
struct Wire {
    session: Session<String>,
    output: Vec<u8>,
    /// Reverse path, recipients and content of what was accepted.
    accepted: Vec<(String, Vec<String>, Vec<u8>)>,
}

impl Wire {
    fn new(options: Options) -> Wire {
        let protected = options.kind == ListenerKind::Submissions;
        let mut session = Session::new(Arc::new(options), protected);
        session.greet();
        Wire { session, output: Vec::new(), accepted: Vec::new() }
    }

    fn send(&mut self, input: &[u8]) {
        self.session.feed(input);
        self.turn();
    }

    fn turn(&mut self) {
        while let Some(event) = self.session.next_event() {
            self.answer(event);
        }
        let output = self.session.take_output();
        self.output.extend_from_slice(&output);
    }

    fn answer(&mut self, event: Event<String>) {
        match event {
            Event::StartTls => self.session.tls_established(),
            Event::Auth { mechanism: "PLAIN", initial: None } => self.session.challenge(""),
            Event::Auth { mechanism: "PLAIN", initial: Some(word) } => self.judge(word.expose()),
            Event::Auth { initial: None, .. } => self.session.challenge("VXNlcm5hbWU6"),
            Event::Auth { initial: Some(_), .. } => self.session.challenge("UGFzc3dvcmQ6"),
            Event::AuthLine(line) if line.expose() == b"YWxpY2U=" => {
                self.session.challenge("UGFzc3dvcmQ6");
            }
            Event::AuthLine(line) => self.judge(line.expose()),
            Event::Sender(from) => {
                let local = from.as_ref().map(|from| from.local());
                self.session.answer_sender(match local {
                    Some("mallory") => Err(replies::NOT_YOUR_ADDRESS),
                    _ => Ok(()),
                });
            }
            Event::Recipient(path) => {
                let known = match path {
                    RecipientPath::Postmaster => Ok("postmaster".to_owned()),
                    RecipientPath::Mailbox(address) if address.domain() != "ours.example" => {
                        Err(replies::NO_RELAYING)
                    }
                    RecipientPath::Mailbox(address) => match address.local() {
                        "alice" | "bob" => Ok(address.local().to_owned()),
                        _ => Err(replies::NO_SUCH_MAILBOX),
                    },
                };
                self.session.answer_recipient(known);
            }
            Event::Message { declared_bytes: Some(777) } => {
                self.session.refuse_message(replies::NO_ROOM);
            }
            Event::Message { .. } => self.session.begin_message(b"Trace: x\r\n".to_vec()),
            Event::Received(done) => {
                let from = done.from.map_or("<>".to_owned(), |from| from.to_string());
                let to = done.recipients.into_iter().map(|r| r.tag).collect();
                let content = done.message.strip_prefix(b"Trace: x\r\n").unwrap().to_vec();
                let answer = if content.starts_with(b"Full") {
                    Err(replies::NO_ROOM.into())
                } else {
                    Ok(())
                };
                self.accepted.push((from, to, content));
                self.session.answer_message(answer);
            }
        }
    }

    /// The mechanisms are opaque to the machine, so a few fixed words will do.
    fn judge(&mut self, word: &[u8]) {
        self.session.answer_login(match word {
            b"AGFsaWNlAHNlY3JldA==" | b"c2VjcmV0" => AuthAnswer::Accepted("alice".into()),
            b"AGJ1c3kAeA==" => AuthAnswer::TryLater,
            b"=" => AuthAnswer::Malformed,
            b"!" => AuthAnswer::BadBase64,
            b"*" => AuthAnswer::Cancelled,
            _ => AuthAnswer::Refused,
        });
    }

    fn lines(&mut self) -> Vec<String> {
        let output = String::from_utf8(std::mem::take(&mut self.output)).unwrap();
        output.split_terminator("\r\n").map(str::to_owned).collect()
    }
}

/// A dialog: `C:` lines up to the next `S:` line go out together, `S:` lines say how the answers
/// begin. `\r`, `\n`, `\0` are escapes; a line that ends in `\` has no line end.
struct Dialog {
    turns: Vec<(Vec<u8>, Vec<String>)>,
}

impl Dialog {
    fn new(text: &str) -> Dialog {
        let mut turns: Vec<(Vec<u8>, Vec<String>)> = vec![(Vec::new(), Vec::new())];
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            if let Some(sent) = line.strip_prefix("C:") {
                if !turns.last().unwrap().1.is_empty() {
                    turns.push((Vec::new(), Vec::new()));
                }
                let sent = sent.strip_prefix(' ').unwrap_or(sent);
                let text = sent.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
                let wire = match text.strip_suffix('\\') {
                    Some(open) => open.to_owned(),
                    None => format!("{text}\r\n"),
                };
                turns.last_mut().unwrap().0.extend_from_slice(wire.as_bytes());
            } else if let Some(said) = line.strip_prefix("S:") {
                turns.last_mut().unwrap().1.push(said.trim_start().to_owned());
            } else {
                panic!("neither C: nor S: {line}");
            }
        }
        Dialog { turns }
    }

    /// Runs it with each turn cut into pieces by `cut`.
    fn run(&self, options: &Options, cut: impl Fn(usize, &[u8]) -> Vec<Vec<u8>>) -> Wire {
        let mut wire = Wire::new(options.clone());
        for (number, (sent, expected)) in self.turns.iter().enumerate() {
            if sent.is_empty() {
                wire.turn();
            }
            for piece in cut(number, sent) {
                wire.send(&piece);
            }
            let said = wire.lines();
            let fits = |(said, start): (&String, &String)| said.starts_with(start.as_str());
            let all = said.len() == expected.len() && said.iter().zip(expected).all(fits);
            assert!(all, "turn {number} said {said:#?}, expected {expected:#?}");
        }
        wire
    }

    fn whole(&self, options: &Options) -> Wire {
        self.run(options, |_, sent| vec![sent.to_vec()])
    }
}

/// Runs a dialog whole, cut at every octet, and octet by octet. What was accepted is the same.
fn check(kind: ListenerKind, text: &str) -> Wire {
    check_with(&options(kind), text)
}

fn check_with(options: &Options, text: &str) -> Wire {
    let dialog = Dialog::new(text);
    let whole = dialog.whole(options);
    let single = dialog.run(options, |_, sent| sent.iter().map(|b| vec![*b]).collect());
    assert_eq!(whole.accepted, single.accepted);
    for (turn, (sent, _)) in dialog.turns.iter().enumerate() {
        for at in 0..=sent.len() {
            let cut = dialog.run(options, |number, sent| match number == turn {
                true => vec![sent[..at].to_vec(), sent[at..].to_vec()],
                false => vec![sent.to_vec()],
            });
            assert_eq!(whole.accepted, cut.accepted);
        }
    }
    whole
}

const HELLO: &str = "S: 220 mx.ours.example ESMTP
    C: EHLO client.example
    S: 250-mx.ours.example
    S: 250-PIPELINING
    S: 250-SIZE 1000
    S: 250-8BITMIME
    S: 250-ENHANCEDSTATUSCODES
    S: 250-SMTPUTF8
    S: 250-CHUNKING
    S: 250 STARTTLS
    ";

fn mx(text: &str) -> Wire {
    check(ListenerKind::Mx, &format!("{HELLO}{text}"))
}

#[test]
fn a_message_is_taken() {
    let wire = mx("C: MAIL FROM:<a@b.example> SIZE=30 BODY=8BITMIME
        S: 250 2.1.0
        C: RCPT TO:<Alice@Ours.Example>
        S: 550 5.1.1
        C: RCPT TO:<alice@Ours.Example>
        S: 250 2.1.5
        C: DATA
        S: 354
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 2.0.0
        C: QUIT
        S: 221 2.0.0");
    let content = b"Subject: x\r\n\r\n.dot\r\n".to_vec();
    assert_eq!(wire.accepted, [("a@b.example".into(), vec!["alice".into()], content)]);
    assert_eq!(wire.session.waiting(), Waiting::Closed);
    assert_eq!(wire.session.ending(), Some(Ending::Quit));
}

#[test]
fn commands_are_pipelined() {
    let wire = mx("C: MAIL FROM:<>
        C: RCPT TO:<alice@ours.example>
        C: RCPT TO:<nobody@ours.example>
        C: RCPT TO:<postmaster>
        C: DATA
        S: 250 2.1.0
        S: 250 2.1.5
        S: 550 5.1.1
        S: 250 2.1.5
        S: 354
        C: x
        C: .
        C: MAIL FROM:<a@b.example>
        C: RCPT TO:<bob@ours.example>
        C: DATA
        S: 250 2.0.0
        S: 250 2.1.0
        S: 250 2.1.5
        S: 354
        C: .
        C: QUIT
        S: 250 2.0.0
        S: 221");
    assert_eq!(wire.accepted.len(), 2);
    assert_eq!(
        wire.accepted[0],
        ("<>".into(), vec!["alice".into(), "postmaster".into()], b"x\r\n".to_vec())
    );
}

#[test]
fn commands_out_of_order_are_refused() {
    check(
        ListenerKind::Mx,
        "S: 220
        C: MAIL FROM:<a@b.example>
        S: 503 5.5.1
        C: HELO x
        S: 250 mx.ours.example
        C: RCPT TO:<alice@ours.example>
        S: 503 5.5.1
        C: DATA
        S: 503 5.5.1
        C: MAIL FROM:<a@b.example>
        S: 250
        C: MAIL FROM:<a@b.example>
        S: 503 5.5.1
        C: DATA
        S: 554 5.5.1
        S: 421 4.7.0",
    );
}

#[test]
fn ehlo_and_rset_end_a_transaction() {
    for reset in ["RSET\n S: 250", "HELO x\n S: 250"] {
        mx(&format!(
            "C: MAIL FROM:<a@b.example>
            C: RCPT TO:<alice@ours.example>
            S: 250
            S: 250
            C: {reset}
            C: DATA
            S: 503 5.5.1"
        ));
    }
}

#[test]
fn the_small_commands_answer() {
    mx("C: NOOP anything
        S: 250 2.0.0
        C: HELP
        S: 214 2.0.0
        C: VRFY alice
        S: 252 2.0.0
        C: EXPN list
        S: 502 5.5.1
        C: TURN
        S: 502 5.5.1
        C: FOO
        S: 500 5.5.2
        C:
        S: 500 5.5.2
        C: AUTH PLAIN AGEAYg==
        S: 502 5.5.1
        S: 421 4.7.0 Too many errors");
}

/// Mistakes are counted between two messages that were taken: connections of lists and large
/// senders are used again and again, and have gone recipients among others.
#[test]
fn a_message_that_was_taken_wipes_out_the_mistakes_before_it() {
    let message = "C: MAIL FROM:<list@client.example>
        S: 250
        C: RCPT TO:<gone@ours.example>
        S: 550
        C: RCPT TO:<alice@ours.example>
        S: 250
        C: DATA
        S: 354
        C: x
        C: .
        S: 250
        ";
    let wire = mx(&format!("{}C: QUIT\n S: 221", message.repeat(8)));
    assert_eq!(wire.accepted.len(), 8);
}

#[test]
fn a_message_that_is_too_large_is_refused_at_mail_or_at_its_end() {
    let line = "x".repeat(600);
    let wire = mx(&format!(
        "C: MAIL FROM:<a@b.example> SIZE=1001
        S: 552 5.3.4
        C: MAIL FROM:<a@b.example> SIZE=1000
        C: RCPT TO:<alice@ours.example>
        S: 250
        S: 250
        C: DATA
        S: 354
        C: {line}
        C: {line}
        C: .
        S: 552 5.3.4
        C: NOOP
        S: 250"
    ));
    assert!(wire.accepted.is_empty());
}

#[test]
fn what_cannot_be_held_or_stored_is_put_off() {
    let wire = mx("C: MAIL FROM:<a@b.example> SIZE=777
        C: RCPT TO:<alice@ours.example>
        C: DATA
        S: 250
        S: 250
        S: 452 4.3.1
        C: MAIL FROM:<a@b.example>
        C: RCPT TO:<alice@ours.example>
        C: DATA
        S: 250
        S: 250
        S: 354
        C: Full
        C: .
        S: 452 4.3.1
        C: RCPT TO:<alice@ours.example>
        S: 503 5.5.1");
    assert_eq!(wire.accepted.len(), 1);
}

#[test]
fn limits_are_answered_and_end_the_session_where_they_must() {
    mx("C: MAIL FROM:<a@b.example>
        S: 250
        C: RCPT TO:<alice@ours.example>
        C: RCPT TO:<bob@ours.example>
        C: RCPT TO:<alice@ours.example>
        C: RCPT TO:<bob@ours.example>
        S: 250
        S: 250
        S: 250
        S: 452 4.5.3");
    let many = "C: NOOP\nS: 250\n".repeat(49);
    mx(&format!("{many} C: NOOP\n S: 421 4.7.0 Too many commands"));
    let long = format!(
        "{HELLO}C: NOOP {}\nS: 500 5.5.2 The line is too long\nC: NOOP\nS: 250",
        "x".repeat(3000)
    );
    Dialog::new(&long).whole(&options(ListenerKind::Mx));
    let longer =
        format!("{HELLO}C: NOOP {}\nS: 500 5.5.2 The line is too long", "x".repeat(13_000));
    let wire = Dialog::new(&longer).whole(&options(ListenerKind::Mx));
    assert_eq!(wire.session.waiting(), Waiting::Closed);
    let mut few = options(ListenerKind::Mx);
    few.session_bytes_max = 10;
    check_with(&few, "S: 220\nC: EHLO x.example\nS: 421 4.7.0 Too much for one session");
}

#[test]
fn octets_that_are_not_awaited_end_the_session() {
    let mut session = Session::<()>::new(Arc::new(options(ListenerKind::Mx)), false);
    session.feed(b"EHLO x\r\n");
    session.greet();
    assert!(session.next_event().is_none());
    assert!(session.take_output().starts_with(b"554 5.5.0 "));
    assert_eq!(session.ending(), Some(Ending::EarlyTalk));

    let early = format!(
        "{HELLO}C: MAIL FROM:<a@b.example>
        C: RCPT TO:<alice@ours.example>
        C: DATA
        C: x
        C: .
        S: 250
        S: 250
        S: 554 5.5.0"
    );
    let wire = Dialog::new(&early).whole(&options(ListenerKind::Mx));
    assert_eq!(wire.session.ending(), Some(Ending::BehindData));
    assert!(wire.accepted.is_empty());
}

#[test]
fn lone_newlines_in_commands_end_the_session() {
    for line in ["NOOP\\n\\", "NO\\rOP", "NOOP\\r\\r\\n\\", "MAIL FROM:<a@b>\\nRCPT TO:<c@d>"] {
        let text = format!("{HELLO}C: {line}\nS: 500 5.5.2 Lines must end");
        let wire = Dialog::new(&text).whole(&options(ListenerKind::Mx));
        assert_eq!(wire.session.ending(), Some(Ending::BareNewline), "{line}");
        // What comes behind is not heard.
        let text = format!("{HELLO}C: {line}\nC: NOOP\nC: QUIT\nS: 500 5.5.2 Lines must end");
        Dialog::new(&text).whole(&options(ListenerKind::Mx));
    }
    mx("C: NOOP a\\0b\nS: 500 5.5.2 The command holds\nC: NOOP\nS: 250");
}

#[test]
fn lone_newlines_in_a_message_refuse_it_and_end_the_session() {
    let wire = mx("C: MAIL FROM:<a@b.example>
        C: RCPT TO:<alice@ours.example>
        C: DATA
        S: 250
        S: 250
        S: 354
        C: a\\nb
        C: .
        C: NOOP
        S: 550 5.6.0");
    assert!(wire.accepted.is_empty());
    assert_eq!(wire.session.ending(), Some(Ending::BareNewline));
    let wire = mx("C: MAIL FROM:<a@b.example>
        C: RCPT TO:<alice@ours.example>
        C: DATA
        S: 250
        S: 250
        S: 354
        C: a\\0b
        C: .
        C: NOOP
        S: 550 5.6.0
        S: 250");
    assert!(wire.accepted.is_empty());
}

#[test]
fn a_listener_for_old_devices_normalises() {
    let mut old = options(ListenerKind::Mx);
    old.bare_newlines = BareNewlines::Normalise;
    let wire = check_with(
        &old,
        "S: 220
        C: HELO x\\n\\
        S: 250
        C: MAIL FROM:<a@b.example>\\n\\
        S: 250
        C: RCPT TO:<alice@ours.example>
        S: 250
        C: DATA\\n\\
        S: 354
        C: a\\nb\\n.\\nc
        C: .
        S: 250",
    );
    assert_eq!(wire.accepted[0].2, b"a\r\nb\r\n.\r\nc\r\n");
}

/// CVE-2023-51764 and its kin: what stands around a dot, in every combination of five out of LF,
/// CR, CRLF and NUL with the dot at every place, and a second message behind it. Either the first
/// message ended by CRLF.CRLF in a clean text, or there is no message at all; never is there a
/// second one that the sender did not send.
#[test]
fn a_bare_lf_never_ends_data_smuggling_matrix() {
    const PIECES: [&str; 4] = ["\n", "\r", "\r\n", "\0"];
    let inner = "MAIL FROM:<evil@b.example>\r\nRCPT TO:<bob@ours.example>\r\nDATA\r\nevil\r\n.\r\n";
    let (mut tried, mut clean) = (0, 0);
    for code in 0..4usize.pow(5) {
        let pieces: Vec<_> = (0..5).map(|n| PIECES[code / 4usize.pow(n) % 4]).collect();
        for dot in 0..=5 {
            let (head, tail) = pieces.split_at(dot);
            let around = format!("{}.{}", head.concat(), tail.concat());
            let text = format!("first{around}{inner}");
            for policy in [BareNewlines::Refuse, BareNewlines::Normalise] {
                let accepted = smuggle(&text, policy);
                tried += 1;
                let end = text.find("\r\n.\r\n").expect("the inner message ends");
                let before = &text[..end];
                let lone = before.replace("\r\n", "").contains(['\r', '\n']);
                let nul = before.contains('\0');
                let refused = nul || (lone && policy == BareNewlines::Refuse);
                let expected = usize::from(!refused);
                if around.contains("\r\n.\r\n") {
                    // It is the true end; what follows is what the sender means to say.
                    clean += usize::from(!refused);
                    assert!(accepted.first().is_none_or(|m| !m.contains("evil")), "{text:?}");
                    continue;
                }
                assert_eq!(accepted.len(), expected, "{text:?} {policy:?}");
                // The one message there is holds the whole of it, the inner dialog as text.
                assert!(accepted.iter().all(|m| m.contains("MAIL FROM:<evil")), "{text:?}");
            }
        }
    }
    assert_eq!(tried, 1024 * 6 * 2);
    assert!(clean > 0);
}

/// Sends `text` as a message and gives what was accepted.
fn smuggle(text: &str, policy: BareNewlines) -> Vec<String> {
    let mut options = options(ListenerKind::Mx);
    options.bare_newlines = policy;
    let mut wire = Wire::new(options);
    wire.send(b"EHLO x\r\n");
    wire.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@ours.example>\r\nDATA\r\n");
    wire.send(text.as_bytes());
    wire.accepted.iter().map(|m| String::from_utf8_lossy(&m.2).into_owned()).collect()
}

/// CVE-2011-0411: twelve forms of pipelining behind STARTTLS. None may be heard once TLS is on.
#[test]
fn starttls_keeps_no_buffer_twelve_injections() {
    let forms: [&[u8]; 12] = [
        b"NOOP\r\n",
        b"EHLO evil.example\r\n",
        b"RSET\r\n",
        b"MAIL FROM:<evil@b.example>\r\n",
        b"EHLO x\r\nMAIL FROM:<e@b.example>\r\nRCPT TO:<bob@ours.example>\r\nDATA\r\n",
        b"NOOP",
        b"N",
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"STARTTLS\r\n",
    ];
    for form in forms {
        for starttls in ["STARTTLS\r\n", "starttls \r\n"] {
            let mut wire = Wire::new(options(ListenerKind::Mx));
            wire.send(b"EHLO x\r\n");
            wire.lines();
            wire.send(&[starttls.as_bytes(), form].concat());
            let said = wire.lines();
            assert_eq!(said.len(), 1, "{form:?}: {said:?}");
            assert!(said[0].starts_with("554 5.5.0 "), "{form:?}: {said:?}");
            assert_eq!(wire.session.ending(), Some(Ending::BehindStartTls));
            assert!(!wire.session.is_protected());
            wire.send(b"EHLO x\r\n");
            assert!(wire.lines().is_empty());
        }
        // Octets between the answer and the handshake end the session as well.
        let mut session = Session::<()>::new(Arc::new(options(ListenerKind::Mx)), false);
        session.greet();
        session.feed(b"STARTTLS\r\n");
        assert!(matches!(session.next_event(), Some(Event::StartTls)));
        session.feed(form);
        session.tls_established();
        assert!(session.next_event().is_none());
        assert_eq!(session.ending(), Some(Ending::BehindStartTls));
    }
}

#[test]
fn tls_makes_the_session_forget_what_was_said_in_clear() {
    mx("C: MAIL FROM:<a@b.example>
        S: 250
        C: STARTTLS
        S: 220 2.0.0
        C: RCPT TO:<alice@ours.example>
        S: 503 5.5.1 EHLO comes first
        C: MAIL FROM:<a@b.example>
        S: 503 5.5.1 EHLO comes first
        C: STARTTLS
        S: 503 5.5.1
        C: EHLO x
        S: 250-mx
        S: 250-PIPELINING
        S: 250-SIZE
        S: 250-8BITMIME
        S: 250-ENHANCEDSTATUSCODES
        S: 250-SMTPUTF8
        S: 250 CHUNKING");
}

const SUBMISSION: &str = "S: 220
    C: EHLO x
    S: 250-mx
    S: 250-PIPELINING
    S: 250-SIZE
    S: 250-8BITMIME
    S: 250-ENHANCEDSTATUSCODES
    S: 250-SMTPUTF8
    S: 250-CHUNKING
    S: 250-DSN
    S: 250 AUTH PLAIN LOGIN
    ";

fn submissions(text: &str) -> Wire {
    check(ListenerKind::Submissions, &format!("{SUBMISSION}{text}"))
}

#[test]
fn submission_needs_tls_and_a_login() {
    check(
        ListenerKind::Submission,
        "S: 220
        C: EHLO x
        S: 250-mx
        S: 250-PIPELINING
        S: 250-SIZE
        S: 250-8BITMIME
        S: 250-ENHANCEDSTATUSCODES
        S: 250-SMTPUTF8
        S: 250-CHUNKING
        S: 250-DSN
        S: 250 STARTTLS
        C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
        S: 538 5.7.11
        C: MAIL FROM:<alice@ours.example>
        S: 530 5.7.0 STARTTLS comes first
        C: STARTTLS
        S: 220
        C: EHLO x
        S: 250-mx
        S: 250-PIPELINING
        S: 250-SIZE
        S: 250-8BITMIME
        S: 250-ENHANCEDSTATUSCODES
        S: 250-SMTPUTF8
        S: 250-CHUNKING
        S: 250-DSN
        S: 250 AUTH PLAIN LOGIN
        C: MAIL FROM:<alice@ours.example>
        S: 530 5.7.0 Log in first
        C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
        S: 235 2.7.0
        C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
        S: 503
        C: MAIL FROM:<alice@ours.example>
        S: 250
        C: RCPT TO:<bob@ours.example>
        S: 250
        C: RCPT TO:<x@elsewhere.example>
        S: 550 5.7.1 relaying is not offered
        S: 421",
    );
}

#[test]
fn logins_take_the_forms_of_rfc_4954() {
    submissions(
        "C: AUTH PLAIN
        S: 334
        C: AGFsaWNlAHNlY3JldA==
        S: 235",
    );
    submissions(
        "C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: YWxpY2U=
        S: 334 UGFzc3dvcmQ6
        C: c2VjcmV0
        S: 235",
    );
    submissions(
        "C: auth login YWxpY2U=
        S: 334 UGFzc3dvcmQ6
        C: *
        S: 501 5.7.0
        C: AUTH PLAIN =
        S: 501 5.5.2
        C: AUTH PLAIN !
        S: 501 5.5.2
        C: AUTH SCRAM-SHA-256
        S: 504 5.5.4
        C: AUTH
        S: 501 5.5.4
        S: 421",
    );
    submissions(
        "C: AUTH PLAIN AGJ1c3kAeA==
        S: 454 4.7.0
        C: NOOP
        S: 250",
    );
}

#[test]
fn failed_logins_end_the_session() {
    submissions(
        "C: AUTH PLAIN AGFsaWNlAHg=
        S: 535 5.7.8
        C: AUTH PLAIN AG5vYm9keQB4
        S: 535 5.7.8
        C: AUTH PLAIN AGFsaWNlAHg=
        S: 535 5.7.8
        S: 421 4.7.0 Too many failed logins",
    );
}

#[test]
fn a_half_sent_transaction_ends_with_421_a_message_under_way_is_taken() {
    let begun = format!(
        "{HELLO}C: MAIL FROM:<a@b.example>
        C: RCPT TO:<alice@ours.example>
        S: 250
        S: 250"
    );
    let mut wire = Dialog::new(&begun).whole(&options(ListenerKind::Mx));
    wire.session.drain();
    wire.send(b"DATA\r\nx\r\n.\r\n");
    assert_eq!(wire.lines(), ["421 4.3.2 This server is being stopped, try again soon"]);
    assert!(wire.accepted.is_empty());

    let mut wire = Dialog::new(&begun).whole(&options(ListenerKind::Mx));
    wire.send(b"DATA\r\n");
    wire.send(b"x\r\n");
    wire.session.drain();
    wire.turn();
    assert_eq!(wire.session.waiting(), Waiting::Data);
    wire.send(b".\r\n");
    let said = wire.lines();
    assert!(said[1].starts_with("250 2.0.0 ") && said[2].starts_with("421 4.3.2 "), "{said:?}");
    assert_eq!(wire.accepted.len(), 1);
}

#[test]
fn a_message_that_was_abandoned_is_refused_at_its_end() {
    let begun = format!(
        "{HELLO}C: MAIL FROM:<a@b.example>
        C: RCPT TO:<alice@ours.example>
        C: DATA
        S: 250
        S: 250
        S: 354"
    );
    let mut wire = Dialog::new(&begun).whole(&options(ListenerKind::Mx));
    wire.send(b"abc\r\n");
    assert_eq!(wire.session.message_bytes(), 5);
    wire.session.abandon_message(replies::NO_ROOM);
    wire.send(b"def\r\n.\r\n");
    assert_eq!(wire.session.message_bytes(), 0);
    assert!(wire.lines()[0].starts_with("452 4.3.1 "));
    assert!(wire.accepted.is_empty());
}

#[test]
fn answers_to_what_was_not_asked_change_nothing() {
    let mut wire = Dialog::new(HELLO).whole(&options(ListenerKind::Mx));
    wire.session.answer_recipient(Ok("x".into()));
    wire.session.answer_sender(Ok(()));
    wire.session.answer_login(AuthAnswer::Accepted("x".into()));
    wire.session.answer_message(Ok(()));
    wire.session.begin_message(Vec::new());
    wire.session.refuse_message(replies::NO_ROOM);
    wire.session.tls_established();
    wire.send(b"NOOP\r\n");
    assert_eq!(wire.lines(), ["250 2.0.0 Ok"]);
    assert_eq!(wire.session.user(), None);
}

#[test]
fn patience_and_unwanted_connections_end_with_421() {
    let mut wire = Dialog::new(HELLO).whole(&options(ListenerKind::Mx));
    wire.session.time_out();
    wire.turn();
    assert!(wire.lines()[0].starts_with("421 4.4.2 "));
    let mut session = Session::<()>::new(Arc::new(options(ListenerKind::Mx)), false);
    session.refuse(replies::TOO_MANY_SESSIONS);
    session.greet();
    assert!(session.take_output().starts_with(b"421 4.7.0 Too many sessions"));
}

proptest! {
    /// Any octets, in any pieces: no panic, no message that was not ended, and the same outcome
    /// however they are cut (but for what must not be pipelined, which depends on the cut).
    #[test]
    fn any_octets_are_survived(
        text in "(EHLO x|MAIL FROM:<a@b.example>|RCPT TO:<(alice|x)@ours.example>\
                 |RSET|NOOP|AUTH LOGIN|AAAA|\\.|a|\r\n|\r\n|\r\n|\n|\0){0,40}",
        octets in any::<Vec<u8>>(),
        cut in 0usize..200,
    ) {
        for input in [text.as_bytes(), &octets] {
            for kind in [ListenerKind::Mx, ListenerKind::Submissions] {
                let mut whole = Wire::new(options(kind));
                whole.send(input);
                let mut parts = Wire::new(options(kind));
                let (head, tail) = input.split_at(cut.min(input.len()));
                parts.send(head);
                parts.send(tail);
                prop_assert_eq!(whole.lines(), parts.lines());
                prop_assert!(whole.accepted.is_empty());
            }
        }
    }
}
