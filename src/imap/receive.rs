//! Cuts what a client sends into commands, within a budget that is checked before octets are kept.
//!
//! A command is one line, or several joined by literals. A literal that the client holds back until
//! it sees `+` is let in only if all before it is right and it fits; one that comes unasked (RFC
//! 7888) and does not fit ends the session, because its octets could not be told from commands. The
//! message of APPEND is not kept here: it is handed on as it comes, or read away where the command
//! is wrong, for a client that sees nothing but the end of the connection tries again for ever.
//!
//! Octets are looked at once; what was read before login (passwords among it) is overwritten.
//!
//! # Standards
//! RFC 3501 §2.2.1, §4.3; RFC 7888.

use super::command::{Append, Command};
use super::grammar::{self, ErrorKind, Prefix, SyntaxError};
use super::limits;
use super::value::Tag;
use crate::base::secret::SecretBytes;
use zeroize::Zeroize;

/// How much a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Octets of a command, literals included.
    pub command_bytes_max: usize,
    /// Octets of one literal.
    pub literal_bytes_max: usize,
    /// Whether APPEND is read at all.
    pub append: bool,
}

impl Budget {
    /// Before login.
    pub const BEFORE_LOGIN: Budget = Budget {
        command_bytes_max: limits::PREAUTH_COMMAND_BYTES_MAX,
        literal_bytes_max: limits::PREAUTH_LITERAL_BYTES_MAX,
        append: false,
    };
    /// After login.
    pub const AFTER_LOGIN: Budget = Budget {
        command_bytes_max: limits::COMMAND_BYTES_MAX,
        literal_bytes_max: limits::COMMAND_BYTES_MAX,
        append: true,
    };
}

/// What came.
#[derive(Debug)]
pub enum Event {
    /// A command.
    Command(Tag, Command),
    /// The client waits for leave to send a literal: write `+ `.
    Continue,
    /// A command that is not carried out; the next one can follow.
    Refused(Option<Tag>, Refused),
    /// The beginning of APPEND. Answer with [`Receiver::accept_append`] or
    /// [`Receiver::refuse_append`] before asking for the next event.
    Append(Tag, Append),
    /// Octets of the message.
    AppendOctets(Vec<u8>),
    /// The message is whole; `false` if the command goes on in a way that it may not: `BAD`.
    AppendEnd(bool),
    /// The line that [`Receiver::expect_line`] asked for, without its line end.
    Line(SecretBytes),
    /// Nothing more can be read: say BYE and close.
    Fatal(Fatal),
}

/// Why a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It cannot be read.
    Syntax(SyntaxError),
    /// A literal is too large; the client has not sent it.
    TooLarge,
}

/// Why the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// A line or a command is longer than the budget.
    TooLong,
    /// A literal that nobody asked for is larger than the budget.
    LiteralTooLarge,
    /// Something follows the message of APPEND that cannot be told from commands.
    OutOfStep,
}

/// What the next octets are.
enum Mode {
    /// A line of a command.
    Text,
    /// A literal of a command.
    Literal { left: usize },
    /// APPEND stands before its message, and nobody has decided yet.
    Undecided { size: u64, waits: bool },
    /// The message of APPEND.
    Message { left: u64 },
    /// The message of an APPEND that was refused or is wrong, and the rest of its line.
    Skip { left: u64 },
    /// What follows the message of APPEND: the rest of the line.
    Tail { refused: bool },
    /// A line that is no command.
    Line,
    /// Nothing is read any more.
    Closed,
}

/// Reads commands from octets.
pub struct Receiver {
    budget: Budget,
    mode: Mode,
    input: Vec<u8>,
    /// Octets of `input` that are done with.
    read: usize,
    command: Vec<u8>,
    literals: usize,
}

impl Receiver {
    /// A receiver that has got nothing yet.
    pub fn new(budget: Budget) -> Receiver {
        let (input, command) = (Vec::new(), Vec::new());
        Receiver { budget, mode: Mode::Text, input, read: 0, command, literals: 0 }
    }

    /// From the next command on, this much may be sent.
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Takes octets from the client. Call [`Receiver::next_event`] until it has no more before
    /// giving it others: what is kept is then bounded by the budget and one call's octets.
    pub fn push(&mut self, octets: &[u8]) {
        if self.read == self.input.len() {
            self.input.zeroize();
            self.read = 0;
        }
        self.input.extend_from_slice(octets);
    }

    /// Whether octets wait that no event has consumed. Behind STARTTLS that ends the session.
    pub fn has_pending(&self) -> bool {
        self.read < self.input.len()
    }

    /// Octets that wait.
    pub fn pending_bytes(&self) -> usize {
        self.input.len() - self.read
    }

    /// The next line is no command: DONE, or a response to a SASL challenge.
    pub fn expect_line(&mut self) {
        self.mode = Mode::Line;
    }

    /// The message of APPEND will be taken. Where the client waits, write `+ `.
    pub fn accept_append(&mut self) {
        if let Mode::Undecided { size, .. } = self.mode {
            self.mode = Mode::Message { left: size };
        }
    }

    /// The message of APPEND is not wanted; the answer to the command is written already. A client
    /// that waits will not send it, and what another sends is read away.
    pub fn refuse_append(&mut self) {
        self.mode = match self.mode {
            Mode::Undecided { waits: true, .. } => Mode::Text,
            Mode::Undecided { size, .. } if size > limits::SKIPPED_APPEND_BYTES_MAX => Mode::Closed,
            Mode::Undecided { size: left, .. } | Mode::Message { left } => Mode::Skip { left },
            _ => return,
        };
    }

    /// The next event, or `None` if more octets are needed for it.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.mode {
                Mode::Text => match self.text()? {
                    Step::Again => {}
                    Step::Event(event) => return Some(event),
                },
                Mode::Literal { left } => self.literal(left)?,
                Mode::Message { left: 0 } => self.mode = Mode::Tail { refused: false },
                Mode::Message { left } => return self.message(left),
                Mode::Skip { left: 0 } => self.mode = Mode::Tail { refused: true },
                Mode::Skip { left } => {
                    let taken = self.take_some(left)?.len() as u64;
                    self.mode = Mode::Skip { left: left - taken };
                }
                Mode::Tail { refused } => {
                    let event = self.tail(refused)?;
                    match event {
                        Step::Again => {}
                        Step::Event(event) => return Some(event),
                    }
                }
                Mode::Line => return self.line(),
                Mode::Undecided { .. } => return None,
                Mode::Closed => return Some(Event::Fatal(Fatal::LiteralTooLarge)),
            }
        }
    }

    /// Takes up to `most` octets; `None` if none are there.
    fn take_some(&mut self, most: u64) -> Option<&[u8]> {
        let there = &self.input[self.read..];
        let taken = most.min(there.len() as u64) as usize;
        self.read += taken;
        (taken > 0).then(|| &self.input[self.read - taken..self.read])
    }

    /// Takes as far as the next line feed, or all; says whether the line feed was there.
    fn take_line(&mut self) -> (std::ops::Range<usize>, bool) {
        let there = &self.input[self.read..];
        let (len, ends) = match there.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (there.len(), false),
        };
        let start = self.read;
        self.read += len;
        (start..start + len, ends)
    }

    fn text(&mut self) -> Option<Step> {
        let (range, ends) = self.take_line();
        if self.command.len() + range.len() > self.budget.command_bytes_max {
            return Some(self.fatal(Fatal::TooLong));
        }
        self.command.extend_from_slice(&self.input[range]);
        if !ends {
            return None;
        }
        Some(match announced(&self.command) {
            None => Step::Event(self.complete()),
            Some(announcement) => self.announce(announcement),
        })
    }

    /// A line has ended with the announcement of a literal.
    fn announce(&mut self, announced: Announcement) -> Step {
        self.literals += 1;
        let prefix = grammar::prefix(&self.command);
        if let (Ok(Prefix::Append(..)), true) = (&prefix, self.budget.append) {
            let Ok(Prefix::Append(tag, append)) = prefix else { return Step::Again };
            self.mode = Mode::Undecided { size: append.size, waits: append.waits };
            self.forget_command();
            return Step::Event(Event::Append(tag, append));
        }
        let room = self.budget.command_bytes_max.saturating_sub(self.command.len());
        let fits = announced.octets <= self.budget.literal_bytes_max.min(room) as u64
            && self.literals <= limits::LITERALS_MAX;
        match (announced.waits, prefix, fits) {
            (true, Err(error), _) => Step::Event(self.refuse(Refused::Syntax(error))),
            (true, Ok(_), false) => Step::Event(self.refuse(Refused::TooLarge)),
            (false, prefix, false) if self.skips(announced) => {
                let refused = prefix.map_or_else(Refused::Syntax, |_| Refused::TooLarge);
                let event = self.refuse(refused);
                self.mode = Mode::Skip { left: announced.octets };
                Step::Event(event)
            }
            (false, _, false) => self.fatal(Fatal::LiteralTooLarge),
            // What comes unasked and fits is read, right or wrong, so that its octets are no
            // commands.
            (waits, _, true) => {
                self.mode = Mode::Literal { left: announced.octets as usize };
                if waits { Step::Event(Event::Continue) } else { Step::Again }
            }
        }
    }

    /// Whether a literal that comes unasked, and is not wanted, is taken for a message. The command
    /// gets an answer with its tag (RFC 3501 §7).
    fn skips(&self, announced: Announcement) -> bool {
        self.budget.append
            && announced.octets <= limits::SKIPPED_APPEND_BYTES_MAX
            && grammar::is_append(&self.command)
    }

    fn literal(&mut self, left: usize) -> Option<()> {
        if left == 0 {
            self.mode = Mode::Text;
            return Some(());
        }
        let there = &self.input[self.read..];
        let taken = left.min(there.len());
        self.command.extend_from_slice(&there[..taken]);
        self.read += taken;
        self.mode = Mode::Literal { left: left - taken };
        (taken > 0).then_some(())
    }

    fn message(&mut self, left: u64) -> Option<Event> {
        let octets = self.take_some(left)?.to_vec();
        self.mode = Mode::Message { left: left - octets.len() as u64 };
        Some(Event::AppendOctets(octets))
    }

    /// Behind the message only CRLF may stand: MULTIAPPEND and CATENATE are not announced.
    fn tail(&mut self, refused: bool) -> Option<Step> {
        let (range, ends) = self.take_line();
        if self.command.len() + range.len() > self.budget.command_bytes_max {
            return Some(self.fatal(Fatal::TooLong));
        }
        self.command.extend_from_slice(&self.input[range]);
        if !ends {
            return None;
        }
        if announced(&self.command).is_some_and(|announced| !announced.waits) {
            return Some(self.fatal(Fatal::OutOfStep));
        }
        let right = self.command == b"\r\n";
        self.forget_command();
        self.mode = Mode::Text;
        Some(if refused { Step::Again } else { Step::Event(Event::AppendEnd(right)) })
    }

    fn line(&mut self) -> Option<Event> {
        let (range, ends) = self.take_line();
        self.command.extend_from_slice(&self.input[range]);
        if self.command.len() > limits::LINE_BYTES_MAX {
            self.mode = Mode::Closed;
            return Some(Event::Fatal(Fatal::TooLong));
        }
        if !ends {
            return None;
        }
        let line = self.command.strip_suffix(b"\n").unwrap_or(&self.command);
        let line = SecretBytes::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec());
        self.forget_command();
        self.mode = Mode::Text;
        Some(Event::Line(line))
    }

    fn complete(&mut self) -> Event {
        let event = match grammar::command(&self.command) {
            Ok((tag, command)) => Event::Command(tag, command),
            Err(error) => Event::Refused(grammar::tag(&self.command), Refused::Syntax(error)),
        };
        self.forget_command();
        event
    }

    fn refuse(&mut self, refused: Refused) -> Event {
        let tag = grammar::tag(&self.command);
        self.forget_command();
        Event::Refused(tag, refused)
    }

    fn fatal(&mut self, fatal: Fatal) -> Step {
        self.mode = Mode::Closed;
        Step::Event(Event::Fatal(fatal))
    }

    fn forget_command(&mut self) {
        // It may hold a password, or words that somebody searched for.
        self.command.zeroize();
        self.literals = 0;
    }
}

enum Step {
    Again,
    Event(Event),
}

/// `{n}` or `{n+}` at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announcement {
    octets: u64,
    waits: bool,
}

/// The literal that a line announces at its end. A number beyond 64 bits counts as the largest.
fn announced(line: &[u8]) -> Option<Announcement> {
    let inner = line.strip_suffix(b"}\r\n").or_else(|| line.strip_suffix(b"}\n"))?;
    let (inner, waits) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let digits = inner.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, number) = inner.split_at(inner.len() - digits);
    if digits == 0 || before.last() != Some(&b'{') {
        return None;
    }
    let text = std::str::from_utf8(number).ok()?;
    Some(Announcement { octets: text.parse().unwrap_or(u64::MAX), waits })
}

/// Whether a mistake is that of somebody who speaks another protocol.
impl Refused {
    /// The command is one that nobody knows, or no command at all.
    pub fn is_unknown_command(&self) -> bool {
        matches!(self, Refused::Syntax(error) if error.kind == ErrorKind::UnknownCommand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every event, in words, with what the driver would do.
    fn events(pieces: &[&[u8]], budget: Budget) -> Vec<String> {
        let mut receiver = Receiver::new(budget);
        let (mut out, mut message) = (Vec::new(), Vec::new());
        for piece in pieces {
            receiver.push(piece);
            while let Some(event) = receiver.next_event() {
                match event {
                    Event::Append(tag, append) => {
                        out.push(format!("{tag:?} append {} {}", append.size, append.waits));
                        if append.size > 100 {
                            receiver.refuse_append();
                        } else {
                            receiver.accept_append();
                        }
                    }
                    Event::AppendOctets(octets) => message.extend(octets),
                    Event::AppendEnd(right) => {
                        out.push(format!("message {message:?} {right}"));
                        message.clear();
                    }
                    Event::Line(line) => out.push(format!("line {:?}", line.expose())),
                    Event::Fatal(fatal) => {
                        out.push(format!("{fatal:?}"));
                        return out;
                    }
                    Event::Command(tag, command) => {
                        out.push(format!("{tag:?} {command:?}"));
                        if matches!(command, Command::Idle) {
                            receiver.expect_line();
                        }
                    }
                    other => out.push(format!("{other:?}")),
                }
            }
        }
        out
    }

    const DIALOGS: &[&str] = &[
        "a NOOP\r\nb SELECT {5}\r\nINBOX\r\n",
        "a LOGIN {3+}\r\ntim {5+}\r\nx\"\\yz\r\nb NOOP\r\n",
        "a APPEND x (\\Seen) {3+}\r\nabc\r\nb NOOP\r\n",
        "a APPEND {1+}\r\nx {3}\r\nabc\r\nb NOOP\r\n",
        "a APPEND x {200+}\r\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\nb NOOP\r\n",
        "a APPEND x {3+}\r\nabc {3}\r\nb NOOP\r\n",
        "a IDLE\r\nDONE\r\nb NOOP\r\n",
        "a FOO {3}\r\nb NOOP\r\n",
        "a NOOP\nb NOOP\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "a SEARCH {999999999999999999999999}\r\nb NOOP\r\n",
        "a SEARCH {999999999999999999999999+}\r\nb NOOP\r\n",
        "a LOGIN \"a{3}\r\nb NOOP\r\n",
        "a LOGIN \"a{3+}\r\nb N\r\nc NOOP\r\n",
        "a APPEND \"bad&name\" {70+}\r\n\
         From: c\r\n\r\nc APPEND x {9+}\r\n\
         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\nb NOOP\r\n",
        "a append x (\\Foo) {66+}\r\n\
         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\nb NOOP\r\n",
        "a APPEND {8+}\r\nbad&name \"1-Foo-2026\" {66+}\r\n\
         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\nb NOOP\r\n",
        "a APPEND x \"1-Foo-2026\" {66}\r\nb NOOP\r\n",
    ];

    /// One in which literals of some dozen octets are too large.
    const SMALL: Budget = Budget { command_bytes_max: 128, literal_bytes_max: 64, append: true };

    #[test]
    fn every_dialog_is_the_same_however_it_is_cut() {
        for (dialog, budget) in DIALOGS.iter().flat_map(|d| [(d, Budget::AFTER_LOGIN), (d, SMALL)])
        {
            let whole = events(&[dialog.as_bytes()], budget);
            assert!(!whole.is_empty());
            for at in 0..dialog.len() {
                let (left, right) = dialog.as_bytes().split_at(at);
                assert_eq!(events(&[left, right], budget), whole, "{dialog:?} at {at}");
            }
            let octets: Vec<&[u8]> = dialog.as_bytes().chunks(1).collect();
            assert_eq!(events(&octets, budget), whole, "{dialog:?}");
        }
    }

    #[test]
    fn what_is_behind_a_literal_is_a_command_again() {
        for dialog in [1, 2, 3, 4, 6, 7, 12, 14, 15, 16, 17] {
            let last = events(&[DIALOGS[dialog].as_bytes()], Budget::AFTER_LOGIN).pop().unwrap();
            assert_eq!(last, "Tag(b) Noop", "{}", DIALOGS[dialog]);
        }
    }

    #[test]
    fn a_wrong_append_is_answered_whatever_the_size_of_its_message() {
        for dialog in &DIALOGS[14..] {
            let small = events(&[dialog.as_bytes()], Budget::AFTER_LOGIN);
            let large = events(&[dialog.as_bytes()], SMALL);
            assert_eq!(small.len(), 2, "{small:?}");
            assert!(large[0].starts_with("Refused(Some(Tag(a)), Syntax"), "{large:?}");
            assert_eq!(large, small, "{dialog}");
        }
        let name = format!("a APPEND {{65537+}}\r\n{}\r\nb NOOP\r\n", "x".repeat(65537));
        let said = events(&[name.as_bytes()], Budget::AFTER_LOGIN);
        assert_eq!(said, ["Refused(Some(Tag(a)), TooLarge)", "Tag(b) Noop"]);
        let beyond = limits::SKIPPED_APPEND_BYTES_MAX + 1;
        for (command, budget) in [
            (format!("a APPEND \"b&\" {{{beyond}+}}\r\n"), Budget::AFTER_LOGIN),
            ("a APPENDIX {70029+}\r\n".to_owned(), Budget::AFTER_LOGIN),
            ("a APPEND \"b&\" {70029+}\r\n".to_owned(), Budget::BEFORE_LOGIN),
        ] {
            assert_eq!(events(&[command.as_bytes()], budget), ["LiteralTooLarge"], "{command}");
        }
    }

    #[test]
    fn a_message_is_handed_on_and_may_be_refused() {
        let said = events(&[DIALOGS[2].as_bytes()], Budget::AFTER_LOGIN);
        assert_eq!(said[..2], ["Tag(a) append 3 false", "message [97, 98, 99] true"]);
        let refused = events(&[DIALOGS[4].as_bytes()], Budget::AFTER_LOGIN);
        assert_eq!(refused, ["Tag(a) append 200 false", "Tag(b) Noop"]);
        let waits = events(&[b"a APPEND x {200}\r\nb NOOP\r\n"], Budget::AFTER_LOGIN);
        assert_eq!(waits, ["Tag(a) append 200 true", "Tag(b) Noop"]);
        let bad = events(&[DIALOGS[5].as_bytes()], Budget::AFTER_LOGIN);
        assert_eq!(bad[1], "message [97, 98, 99] false");
    }

    #[test]
    fn before_login_little_is_kept() {
        let fatal = |text: &[u8]| events(&[text], Budget::BEFORE_LOGIN).pop().unwrap();
        assert_eq!(fatal(b"a LOGIN {4097+}\r\n"), "LiteralTooLarge");
        assert_eq!(fatal(b"a APPEND x {4097+}\r\n"), "LiteralTooLarge");
        assert_eq!(fatal(b"a LOGIN {18446744073709551615+}\r\n"), "LiteralTooLarge");
        assert_eq!(fatal(&[b'x'; 8193]), "TooLong");
        let asked = fatal(b"a LOGIN {4097}\r\n");
        assert!(asked.contains("TooLarge") && asked.contains("Tag(a)"), "{asked}");
        assert_eq!(fatal(b"a LOGIN {4096}\r\n"), "Continue");
    }

    #[test]
    fn many_small_literals_are_one_budget() {
        let most = format!("a LOGIN {}", "{1+}\r\nx".repeat(limits::LITERALS_MAX + 1));
        assert_eq!(events(&[most.as_bytes()], Budget::AFTER_LOGIN), ["LiteralTooLarge"]);
        let large = "{4096+}\r\n".to_owned() + &"x".repeat(4096) + " ";
        let command = format!("a LOGIN {}", large.repeat(3));
        assert_eq!(events(&[command.as_bytes()], Budget::BEFORE_LOGIN), ["LiteralTooLarge"]);
    }

    #[test]
    fn octets_behind_a_command_are_seen_to_wait() {
        let mut receiver = Receiver::new(Budget::BEFORE_LOGIN);
        receiver.push(b"a STARTTLS\r\nb NOOP\r\n");
        assert!(matches!(receiver.next_event(), Some(Event::Command(_, Command::StartTls))));
        assert!(receiver.has_pending());
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic_or_hoard(pieces: Vec<Vec<u8>>) {
            let mut receiver = Receiver::new(Budget::BEFORE_LOGIN);
            for piece in &pieces {
                receiver.push(piece);
                for _ in 0..=piece.len() {
                    if receiver.next_event().is_none() {
                        break;
                    }
                }
                prop_assert!(receiver.command.len() <= limits::PREAUTH_COMMAND_BYTES_MAX);
            }
        }

        #[test]
        fn no_arguments_of_append_lose_the_step(
            arguments in "[ -~]{0,40}",
            message in proptest::collection::vec(any::<u8>(), 65..200),
            at: prop::sample::Index,
        ) {
            let head = format!("a APPEND {arguments} {{{}+}}\r\n", message.len());
            let dialog = [head.as_bytes(), &message, b"\r\nb NOOP\r\n"].concat();
            let (left, right) = dialog.split_at(at.index(dialog.len()));
            let said = events(&[left, right], SMALL);
            prop_assert!(said[0].contains("Tag(a)"), "{said:?}");
            prop_assert_eq!(said.last().unwrap(), "Tag(b) Noop");
        }
    }
}
