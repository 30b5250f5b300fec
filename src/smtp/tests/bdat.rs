//! BDAT (RFC 3030): pieces in every order, and the smuggling matrix once more, by counting.

use super::*;

const BEGUN: &str = "C: MAIL FROM:<a@b.example>
    C: RCPT TO:<alice@ours.example>
    S: 250
    S: 250
    ";

fn begun(text: &str) -> Wire {
    mx(&format!("{BEGUN}{text}"))
}

fn content(wire: &Wire) -> Vec<&str> {
    wire.accepted.iter().map(|message| std::str::from_utf8(&message.2).unwrap()).collect()
}

#[test]
fn a_message_comes_in_pieces() {
    let one = begun("C: BDAT 5 LAST\n C: abc\n S: 250 2.0.0 Message accepted");
    assert_eq!(content(&one), ["abc\r\n"]);
    let several = begun(
        "C: BDAT 5
        C: a\\r\\n.\\r\\
        S: 250 2.0.0 The piece
        C: NOOP
        S: 250 2.0.0 Ok
        C: bdat 0
        S: 250 2.0.0 The piece
        C: BDAT 3 last
        C: \\nbc\\
        S: 250 2.0.0 Message accepted
        C: QUIT
        S: 221",
    );
    // The last line has no end on the wire; it gets one, as it would by DATA.
    assert_eq!(content(&several), ["a\r\n.\r\nbc\r\n"]);
    assert_eq!(several.accepted[0].1, ["alice"]);
}

#[test]
fn pieces_are_pipelined_with_everything_around_them() {
    let wire = mx("C: MAIL FROM:<a@b.example>
        C: RCPT TO:<alice@ours.example>
        C: BDAT 3
        C: a
        C: BDAT 0
        C: BDAT 4 LAST
        C: bc
        C: MAIL FROM:<b@b.example>
        C: RCPT TO:<bob@ours.example>
        C: BDAT 3 LAST
        C: x
        S: 250 2.1.0
        S: 250 2.1.5
        S: 250 2.0.0 The piece
        S: 250 2.0.0 The piece
        S: 250 2.0.0 Message accepted
        S: 250 2.1.0
        S: 250 2.1.5
        S: 250 2.0.0 Message accepted");
    assert_eq!(wire.accepted.len(), 2);
}

#[test]
fn an_empty_piece_ends_a_message() {
    let wire = begun("C: BDAT 3\n C: x\n S: 250\n C: BDAT 0 LAST\n S: 250 2.0.0 Message accepted");
    assert_eq!(content(&wire), ["x\r\n"]);
    let empty = begun("C: BDAT 0 LAST\n S: 250 2.0.0 Message accepted");
    assert_eq!(content(&empty), [""]);
}

#[test]
fn pieces_out_of_order_are_passed_over() {
    // The octets look like commands, and are none.
    let wire = mx("C: BDAT 6
        C: QUIT
        S: 503 5.5.1 MAIL comes first
        C: MAIL FROM:<a@b.example>
        C: RCPT TO:<nobody@ours.example>
        C: BDAT 6
        C: QUIT
        C: BDAT 6 LAST
        C: QUIT
        S: 250
        S: 550 5.1.1
        S: 554 5.5.1 No recipient
        S: 554 5.5.1 No recipient
        C: RCPT TO:<alice@ours.example>
        S: 250
        C: BDAT 6 LAST
        C: QUIT
        S: 250 2.0.0 Message accepted");
    assert_eq!(content(&wire), ["QUIT\r\n"]);
    let first = "S: 220\nC: BDAT 6\nC: QUIT\nS: 503 5.5.1 EHLO comes first";
    check_with(&options(ListenerKind::Mx), first);
    let text = "S: 220\nC: EHLO x\nS: 250-mx\nC: BDAT 6\nC: QUIT\nS: 530 5.7.0";
    let ehlo = "S: 250-PIPELINING\nS: 250-SIZE\nS: 250-8BITMIME\nS: 250-ENHANCEDSTATUSCODES\n\
                S: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-DSN\nS: 250 STARTTLS\nC: BDAT";
    check(ListenerKind::Submission, &text.replace("C: BDAT", ehlo));
}

#[test]
fn pieces_and_data_are_not_mixed() {
    let wire = begun(
        "C: BDAT 3
        C: x
        S: 250
        C: DATA
        S: 503 5.5.1 The command does not belong here
        C: MAIL FROM:<b@b.example>
        S: 503 5.5.1
        C: RCPT TO:<bob@ours.example>
        S: 503 5.5.1
        C: BDAT 0 LAST
        S: 250 2.0.0 Message accepted",
    );
    assert_eq!(content(&wire), ["x\r\n"]);
    assert_eq!(wire.accepted[0].1, ["alice"]);
    begun("C: DATA\n S: 354\n C: BDAT 3 LAST\n C: .\n S: 250\n C: BDAT 3\n C: x\n S: 503 5.5.1");
}

#[test]
fn a_message_is_given_up_between_its_pieces() {
    let again = "C: MAIL FROM:<b@b.example>
        C: RCPT TO:<bob@ours.example>
        C: BDAT 3 LAST
        C: y
        S: 250
        S: 250
        S: 250 2.0.0 Message accepted";
    for (command, reply) in [("RSET", "S: 250"), ("HELO x", "S: 250 mx")] {
        let wire = begun(&format!("C: BDAT 3\n C: x\n S: 250\n C: {command}\n {reply}\n {again}"));
        assert_eq!(content(&wire), ["y\r\n"]);
    }
    let mut wire = Dialog::new(&format!("{HELLO}{BEGUN}")).whole(&options(ListenerKind::Mx));
    wire.send(b"BDAT 3\r\nx\r\nSTARTTLS\r\n");
    wire.send(b"EHLO x\r\nBDAT 0 LAST\r\n");
    assert!(wire.lines().last().unwrap().starts_with("503 5.5.1 MAIL"));
    assert!(wire.accepted.is_empty());
}

#[test]
fn what_is_too_large_is_refused_at_the_piece_that_makes_it_so() {
    let octets = "x".repeat(998);
    begun(&format!(
        "C: BDAT 1001 LAST\n C: {octets}y\n S: 552 5.3.4\n C: BDAT 0 LAST\n S: 503 5.5.1 MAIL"
    ));
    let wire = begun(&format!(
        "C: BDAT 1000\n C: {octets}\n S: 250\n C: BDAT 3 LAST\n C: y\n S: 552 5.3.4\n\
         C: NOOP\n S: 250"
    ));
    assert!(wire.accepted.is_empty());
    let wire = begun(&format!("C: BDAT 1000\n C: {octets}\n S: 250\n C: BDAT 0 LAST\n S: 250"));
    assert_eq!(wire.accepted.len(), 1);
    // What the store has no room for.
    mx("C: MAIL FROM:<a@b.example> SIZE=777
        C: RCPT TO:<alice@ours.example>
        C: BDAT 6 LAST
        C: QUIT
        C: NOOP
        S: 250
        S: 250
        S: 452 4.3.1
        S: 250");
    begun("C: BDAT 6 LAST\n C: Full\n S: 452 4.3.1\n C: NOOP\n S: 250");
}

#[test]
fn a_bdat_that_cannot_be_read_ends_the_session() {
    for line in ["BDAT", "BDAT x", "BDAT 1 FIRST", "BDAT -1", "BDAT 1 LAST x", "BDAT\\0 5", "bdat;"]
    {
        let wire = Dialog::new(&format!("{HELLO}{BEGUN}C: {line}\nC: NOOP\nS: 50"))
            .whole(&options(ListenerKind::Mx));
        assert_eq!(wire.session.ending(), Some(Ending::Bdat), "{line}");
    }
    let long = format!("{HELLO}{BEGUN}C: BDAT {}\nC: QUIT\nS: 500 5.5.2", "1 ".repeat(1100));
    let wire = Dialog::new(&long).whole(&options(ListenerKind::Mx));
    assert_eq!(wire.session.ending(), Some(Ending::Bdat));
}

#[test]
fn endless_pieces_end_with_the_session_s_octets_and_commands() {
    let many = "C: BDAT 1\n C: x\\\n S: 250\n".repeat(46);
    let text = format!("{HELLO}{BEGUN}{many} C: NOOP\n S: 250\n C: NOOP\n S: 421 4.7.0 Too many");
    Dialog::new(&text).whole(&options(ListenerKind::Mx));
    let mut wire = Dialog::new(HELLO).whole(&options(ListenerKind::Mx));
    wire.send(b"BDAT 99999999999999999999\r\n");
    for _ in 0..101 {
        wire.send(&[b'x'; 1000]);
    }
    assert!(wire.lines()[0].starts_with("421 4.7.0 Too much for one session"));
    // Large pieces are many in a large message.
    let mut large = options(ListenerKind::Mx);
    (large.message_bytes_max, large.session_bytes_max) = (1_000_000, 10_000_000);
    let mut wire = Dialog::new(&HELLO.replace("1000", "1000000")).whole(&large);
    wire.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@ours.example>\r\n");
    for _ in 0..100 {
        wire.send(b"BDAT 4096\r\n");
        wire.send(&[b'x'; 4096]);
    }
    wire.send(b"BDAT 0 LAST\r\n");
    assert!(wire.lines().last().unwrap().starts_with("250 2.0.0 Message accepted"));
}

#[test]
fn what_a_driver_reserves_for_a_piece_is_known_before_its_octets() {
    let mut wire = Dialog::new(&format!("{HELLO}{BEGUN}")).whole(&options(ListenerKind::Mx));
    wire.send(b"BDAT 100\r\nabc");
    assert_eq!((wire.session.message_bytes(), wire.session.waiting()), (100, Waiting::Data));
    wire.send(&[b'x'; 97]);
    assert_eq!((wire.session.message_bytes(), wire.session.waiting()), (100, Waiting::Data));
    wire.send(b"BDAT 500 LAST\r\n");
    assert_eq!(wire.session.message_bytes(), 600);
    wire.session.abandon_message(replies::NO_ROOM);
    assert_eq!(wire.session.message_bytes(), 0);
    wire.send(&[b'x'; 500]);
    assert!(wire.lines().last().unwrap().starts_with("452 4.3.1"));
    assert!(wire.accepted.is_empty());
    wire.send(b"NOOP\r\n");
    assert_eq!(wire.lines(), ["250 2.0.0 Ok"]);
}

#[test]
fn a_message_of_which_pieces_have_come_may_be_finished_when_the_server_stops() {
    let mut wire = Dialog::new(&format!("{HELLO}{BEGUN}")).whole(&options(ListenerKind::Mx));
    wire.send(b"BDAT 3\r\nx\r\n");
    wire.session.drain();
    wire.turn();
    assert_eq!(wire.session.waiting(), Waiting::Data);
    wire.send(b"BDAT 0 LAST\r\n");
    let said = wire.lines();
    assert!(
        said[1].starts_with("250 2.0.0 Message") && said[2].starts_with("421 4.3.2"),
        "{said:?}"
    );
    let mut wire = Dialog::new(&format!("{HELLO}{BEGUN}")).whole(&options(ListenerKind::Mx));
    wire.send(b"BDAT 3\r\nx\r\n");
    wire.session.drain();
    wire.send(b"RSET\r\n");
    assert!(wire.lines().last().unwrap().starts_with("421 4.3.2"));
}

/// As the matrix for DATA: whatever stands around a dot, inside a piece it ends nothing. A text
/// with a CR, LF or NUL of its own is refused whole (or normalised), and what follows the piece is
/// what the sender meant to say.
#[test]
fn nothing_inside_a_piece_ends_it_smuggling_matrix() {
    const PIECES: [&str; 4] = ["\n", "\r", "\r\n", "\0"];
    let inner =
        "MAIL FROM:<evil@b.example>\r\nRCPT TO:<bob@ours.example>\r\nBDAT 6 LAST\r\nevil\r\n";
    let mut tried = 0;
    for code in 0..4usize.pow(5) {
        let pieces: Vec<_> = (0..5).map(|n| PIECES[code / 4usize.pow(n) % 4]).collect();
        for dot in 0..=5 {
            let (head, tail) = pieces.split_at(dot);
            let text = format!("first{}.{}{inner}", head.concat(), tail.concat());
            for policy in [BareNewlines::Refuse, BareNewlines::Normalise] {
                let cut = code % text.len();
                let accepted = smuggle(&text, cut, policy);
                tried += 1;
                let lone = text.replace("\r\n", "").contains(['\r', '\n']);
                let refused = text.contains('\0') || (lone && policy == BareNewlines::Refuse);
                assert_eq!(accepted.len(), usize::from(!refused) + 1, "{text:?} {policy:?}");
                let (last, first) = accepted.split_last().unwrap();
                assert_eq!(last, "behind\r\n");
                assert!(first.iter().all(|m| m.contains("MAIL FROM:<evil")), "{text:?}");
            }
        }
    }
    assert_eq!(tried, 1024 * 6 * 2);
}

/// Sends `text` in two pieces, a message behind it, and gives what was accepted.
fn smuggle(text: &str, cut: usize, policy: BareNewlines) -> Vec<String> {
    let mut options = options(ListenerKind::Mx);
    options.bare_newlines = policy;
    let mut wire = Wire::new(options);
    wire.send(b"EHLO x\r\n");
    wire.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@ours.example>\r\n");
    let (head, tail) = text.as_bytes().split_at(cut);
    wire.send(&[format!("BDAT {}\r\n", head.len()).as_bytes(), head].concat());
    wire.send(&[format!("BDAT {} LAST\r\n", tail.len()).as_bytes(), tail].concat());
    wire.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@ours.example>\r\n");
    wire.send(b"BDAT 8 LAST\r\nbehind\r\n");
    wire.accepted.iter().map(|m| String::from_utf8_lossy(&m.2).into_owned()).collect()
}

proptest! {
    /// Commands and pieces in any order, with sizes that fit or do not: however they are cut, the
    /// same is said and accepted.
    #[test]
    fn pieces_survive_any_order_and_cut(
        text in "((MAIL FROM:<a@b.example>|RCPT TO:<(alice|x)@ours.example>|BDAT [0-9]{1,2}( LAST)?\
                 |RSET|NOOP|abc)\r\n|a|\r\n|\n|\0){0,30}",
        cuts in prop::collection::vec(0usize..400, 0..4),
    ) {
        let input = format!("EHLO x\r\n{text}");
        let input = input.as_bytes();
        let mut whole = Wire::new(options(ListenerKind::Mx));
        whole.send(input);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let mut parts = Wire::new(options(ListenerKind::Mx));
        for pair in cuts.windows(2) {
            parts.send(&input[pair[0]..pair[1]]);
        }
        prop_assert_eq!(whole.lines(), parts.lines());
        prop_assert_eq!(&whole.accepted, &parts.accepted);
        for (_, _, content) in &whole.accepted {
            let text = String::from_utf8_lossy(content).replace("\r\n", "");
            prop_assert!(!text.contains(['\r', '\n', '\0']));
        }
    }
}
