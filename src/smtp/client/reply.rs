//! Replies of a server, read (RFC 5321 §4.2, RFC 2034).
//!
//! What comes is hostile until shown otherwise: lines, their number and the whole are bounded, the
//! text is made printable, and an enhanced code is believed only if it agrees with the code. A line
//! may end in LF alone: a reply carries no content, so nothing hangs on where its lines end.

use super::limits::{REPLY_BYTES_MAX, REPLY_LINE_BYTES_MAX, REPLY_LINES_MAX, REPLY_TEXT_BYTES_MAX};

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits, 200 to 599.
    pub code: u16,
    /// The enhanced code (RFC 3463): the server's, or one derived from the code.
    pub status: Status,
    /// The enhanced code that stands in front of the text, if the server said one there.
    pub said: Option<Status>,
    /// The lines' text without codes, joined by spaces; printable ASCII, bounded.
    pub text: String,
}

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u8, pub u16, pub u16);

/// Why octets are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// A line does not begin with a code, or with another one than the line before.
    Code,
    /// A line is too long.
    LineTooLong,
    /// There are too many lines or octets.
    TooMuch,
}

impl Reply {
    /// Whether it says yes (2xx).
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// Whether it says never (5xx).
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Whether it says that there are too many recipients (RFC 3463 §3.6, X.5.3): fewer may do.
    pub fn is_too_many(&self) -> bool {
        (self.status.1, self.status.2) == (5, 3)
    }
}

/// What the server said and nothing else: reports quote it (RFC 3464 §2.3.6).
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.said {
            write!(f, " {status}")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, " {}", self.text) }
    }
}

impl Status {
    /// Reads `class.subject.detail` of one to three digits each (RFC 3463 §2), and says what stands
    /// behind it.
    fn parse(text: &[u8]) -> Option<(Status, &[u8])> {
        let (class, rest) = number(text)?;
        let (subject, rest) = number(rest.strip_prefix(b".")?)?;
        let (detail, rest) = number(rest.strip_prefix(b".")?)?;
        let ended = rest.first().is_none_or(|octet| *octet == b' ');
        let known = matches!(class, 2 | 4 | 5);
        (ended && known).then_some((Status(class as u8, subject, detail), rest))
    }

    /// What a code says by itself, for servers without RFC 2034. Where it says little, `x.0.0`.
    pub fn of_code(code: u16) -> Status {
        match code {
            421 => Status(4, 3, 2),
            452 => Status(4, 3, 1),
            454 => Status(4, 7, 0),
            455 => Status(4, 5, 4),
            500 => Status(5, 5, 2),
            501 | 504 | 555 => Status(5, 5, 4),
            502 | 503 => Status(5, 5, 1),
            521 => Status(5, 3, 2),
            530 => Status(5, 7, 0),
            535 => Status(5, 7, 8),
            552 => Status(5, 2, 2),
            553 => Status(5, 1, 3),
            556 => Status(5, 1, 10),
            _ => Status((code / 100) as u8, 0, 0),
        }
    }

    /// The same, as something that may be otherwise tomorrow.
    pub fn as_temporary(self) -> Status {
        Status(4, self.1, self.2)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl std::fmt::Display for ReplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReplyError::Code => "what the server said is no SMTP reply",
            ReplyError::LineTooLong => "a line of the server's reply is too long",
            ReplyError::TooMuch => "the server's reply is too long",
        })
    }
}

impl std::error::Error for ReplyError {}

fn number(text: &[u8]) -> Option<(u16, &[u8])> {
    let digits = text.iter().take(3).take_while(|octet| octet.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    std::str::from_utf8(digits).ok()?.parse().ok().map(|number| (number, rest))
}

/// A reply, and its lines without codes.
pub(super) type WholeReply = (Reply, Vec<Vec<u8>>);

/// Reads replies from a stream of octets.
#[derive(Debug, Default)]
pub(super) struct ReplyReader {
    inbox: Vec<u8>,
    /// How much of `inbox` has been taken, and how much of the rest is known to hold no LF.
    taken: usize,
    scanned: usize,
    /// The reply that is coming in.
    code: u16,
    lines: Vec<Vec<u8>>,
    bytes: usize,
}

impl ReplyReader {
    /// Takes what was read. At most one more read's worth is held than [`ReplyReader::next`] has
    /// been asked for.
    pub fn feed(&mut self, input: &[u8]) {
        self.inbox.drain(..std::mem::take(&mut self.taken));
        self.inbox.extend_from_slice(input);
    }

    /// Whether octets are there that belong to no whole reply yet, or to one that nobody took.
    pub fn has_unread(&self) -> bool {
        self.taken < self.inbox.len() || !self.lines.is_empty()
    }

    /// The next reply; `None` until it is whole. After an error nothing more can be read.
    pub fn next(&mut self) -> Result<Option<WholeReply>, ReplyError> {
        loop {
            let unread = &self.inbox[self.taken..];
            let Some(at) = memchr::memchr(b'\n', &unread[self.scanned..]) else {
                self.scanned = unread.len();
                let waiting = unread.len();
                return if waiting > REPLY_LINE_BYTES_MAX + 1 {
                    Err(ReplyError::LineTooLong)
                } else {
                    Ok(None)
                };
            };
            let line_bytes = self.scanned + at;
            let line = &unread[..line_bytes];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > REPLY_LINE_BYTES_MAX {
                return Err(ReplyError::LineTooLong);
            }
            self.bytes += line_bytes + 1;
            if self.bytes > REPLY_BYTES_MAX || self.lines.len() == REPLY_LINES_MAX {
                return Err(ReplyError::TooMuch);
            }
            let (code, is_last, text) = split_line(line).ok_or(ReplyError::Code)?;
            // RFC 5321 §4.2.1: the code is the same on each line.
            if !self.lines.is_empty() && code != self.code {
                return Err(ReplyError::Code);
            }
            self.code = code;
            self.lines.push(text.to_vec());
            self.taken += line_bytes + 1;
            self.scanned = 0;
            if is_last {
                self.bytes = 0;
                let lines = std::mem::take(&mut self.lines);
                return Ok(Some((assemble(code, &lines), lines)));
            }
        }
    }
}

/// `code SP text`, `code - text` or the code alone.
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) || !(b'2'..=b'5').contains(&code[0]) {
        return None;
    }
    let code = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

fn assemble(code: u16, lines: &[Vec<u8>]) -> Reply {
    let (mut status, mut said) = (None, None);
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let mut rest = line.as_slice();
        if let Some((found, behind)) = Status::parse(line) {
            // RFC 2034 §4: its class is the code's; one that contradicts is text.
            if u16::from(found.0) == code / 100 {
                status.get_or_insert(found);
                if at == 0 {
                    said = Some(found);
                }
                // What each line repeats is said once; anything else stays where it stood.
                if said == Some(found) {
                    rest = behind;
                }
            }
        }
        append_printable(&mut text, rest);
    }
    let status = status.unwrap_or_else(|| Status::of_code(code));
    Reply { code, status, said, text }
}

fn append_printable(text: &mut String, line: &[u8]) {
    let line = line.trim_ascii();
    let room = REPLY_TEXT_BYTES_MAX.saturating_sub(text.len() + 1);
    if line.is_empty() || room == 0 {
        return;
    }
    if !text.is_empty() {
        text.push(' ');
    }
    let printable = |octet: &u8| match octet {
        b' '..=b'~' => char::from(*octet),
        _ => '?',
    };
    text.extend(line.iter().take(room).map(printable));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(input: &[&[u8]]) -> (Vec<Reply>, Option<ReplyError>) {
        let (mut reader, mut out) = (ReplyReader::default(), Vec::new());
        for piece in input {
            reader.feed(piece);
            loop {
                match reader.next() {
                    Ok(Some((reply, _))) => out.push(reply),
                    Ok(None) => break,
                    Err(error) => return (out, Some(error)),
                }
            }
        }
        (out, None)
    }

    fn one(input: &str) -> Reply {
        let (mut replies, error) = all(&[input.as_bytes()]);
        assert_eq!((replies.len(), error), (1, None), "{input:?}");
        replies.remove(0)
    }

    #[test]
    fn replies_are_read_with_and_without_enhanced_codes() {
        let reply = one("550 5.1.1 No such user\r\n");
        assert_eq!((reply.code, reply.status), (550, Status(5, 1, 1)));
        assert_eq!(reply.to_string(), "550 5.1.1 No such user");
        assert_eq!(one("250\r\n").to_string(), "250");
        assert_eq!(one("250 \n").to_string(), "250");
        assert_eq!(one("550 unknown user\r\n").to_string(), "550 unknown user");
        let reply = one("550-No.\r\n550 5.7.1 Not you\r\n");
        assert_eq!(
            (reply.to_string().as_str(), reply.status),
            ("550 No. 5.7.1 Not you", Status(5, 7, 1))
        );
        let reply = one("451-4.7.1 Come\r\n451-4.7.1 back\r\n451 4.7.1 later\r\n");
        assert_eq!(reply.to_string(), "451 4.7.1 Come back later");
        for (line, status) in [
            ("452 full\r\n", Status(4, 3, 1)),
            ("550 no\r\n", Status(5, 0, 0)),
            // A code that contradicts, is cut short or overlong is text.
            ("550 2.1.1 no\r\n", Status(5, 0, 0)),
            ("550 5.1. no\r\n", Status(5, 0, 0)),
            ("550 5.1.1234 no\r\n", Status(5, 0, 0)),
            ("550 5.1.1no\r\n", Status(5, 0, 0)),
            ("550 .1.1 no\r\n", Status(5, 0, 0)),
            ("550 5.999.999\r\n", Status(5, 999, 999)),
        ] {
            assert_eq!(one(line).status, status, "{line:?}");
        }
    }

    #[test]
    fn the_text_is_printable_and_bounded() {
        let reply = one("550 5.1.1 a\x1b[31m\u{e9}\0b\tc\r\n");
        assert_eq!(reply.text, "a?[31m???b?c");
        let line = format!("550-{}\r\n", "x".repeat(900));
        let reply = one(&format!("{}550 end\r\n", line.repeat(20)));
        assert!(reply.text.len() <= REPLY_TEXT_BYTES_MAX && reply.text.starts_with("xxx"));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bad in [
            "hello\r\n",
            "25\r\n",
            "\r\n",
            "150 x\r\n",
            "650 x\r\n",
            "250x\r\n",
            "250_x\r\n",
            "250-a\r\n251 b\r\n",
            "2\u{b2}0 x\r\n",
            " 250 x\r\n",
        ] {
            assert_eq!(all(&[bad.as_bytes()]), (Vec::new(), Some(ReplyError::Code)), "{bad:?}");
        }
    }

    #[test]
    fn endless_replies_meet_a_limit() {
        let error = |input: String| all(&[input.as_bytes()]).1;
        let longest = format!("250 {}\r\n", "x".repeat(REPLY_LINE_BYTES_MAX - 4));
        assert_eq!(error(longest), None);
        let longer = format!("250 {}\r\n", "x".repeat(REPLY_LINE_BYTES_MAX - 3));
        assert_eq!(error(longer), Some(ReplyError::LineTooLong));
        assert_eq!(error("2".repeat(3000)), Some(ReplyError::LineTooLong));
        assert_eq!(error("250-x\r\n".repeat(REPLY_LINES_MAX - 1) + "250 x\r\n"), None);
        assert_eq!(error("250-x\r\n".repeat(REPLY_LINES_MAX + 1)), Some(ReplyError::TooMuch));
        let wide = format!("250-{}\r\n", "x".repeat(2000));
        assert_eq!(error(wide.repeat(17)), Some(ReplyError::TooMuch));
        // Many replies, each within its limits, are no long one.
        assert_eq!(all(&["250 x\r\n".repeat(10_000).as_bytes()]).0.len(), 10_000);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_alike_however_they_are_split(
            input in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "(250[- ](2\\.0\\.0 )?[a-z]{0,8}\r?\n|\r|\n|4|550 5\\.1\\.1 ){0,12}"
                    .prop_map(String::into_bytes),
            ],
            cuts in prop::collection::vec(0usize..200, 0..6),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            let (whole, split) = (all(&[&input]), all(&pieces));
            for reply in &whole.0 {
                prop_assert!((200..600).contains(&reply.code));
                prop_assert!(reply.to_string().bytes().all(|b| (b' '..=b'~').contains(&b)));
                prop_assert_eq!(u16::from(reply.status.0).max(2), reply.code / 100);
            }
            prop_assert_eq!(whole, split);
        }

        #[test]
        fn what_is_written_comes_back(
            code in 200u16..600,
            lines in prop::collection::vec("[!-~]( ?[!-~]){0,20}", 1..6),
        ) {
            let wire: String = lines
                .iter()
                .enumerate()
                .map(|(at, line)| {
                    let gap = if at + 1 < lines.len() { '-' } else { ' ' };
                    format!("{code}{gap}x{line}\r\n")
                })
                .collect();
            let (replies, error) = all(&[wire.as_bytes()]);
            prop_assert_eq!(error, None);
            let text: Vec<_> = lines.iter().map(|line| format!("x{line}")).collect();
            prop_assert_eq!(&replies[0].text, &text.join(" "));
            prop_assert_eq!(replies[0].code, code);
        }
    }
}
