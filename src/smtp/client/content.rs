//! A message, looked over once before it may be sent.
//!
//! What another server could read in more than one way does not leave: a CR or LF alone, a NUL, a
//! line that is too long. Such a message is refused, never mended: mending breaks signatures. What
//! passed holds CRLF as its only line end, so that behind the stuffing of dots (RFC 5321 §4.5.2)
//! nothing in it looks like its end but the end. A message without a dot at the start of a line,
//! which is nearly every one, is sent from where it lies.

use super::limits::MESSAGE_LINE_BYTES_MAX;
use std::sync::Arc;

/// A message that may be sent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Content {
    message: Arc<Vec<u8>>,
    /// With dots doubled, where there are any to double.
    stuffed: Option<Arc<Vec<u8>>>,
    eight_bit: bool,
    ends_in_crlf: bool,
}

/// Why a message may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentFault {
    /// A CR or LF is not half of a CRLF (RFC 5321 §2.3.8).
    BareNewline,
    /// There is a NUL (RFC 5322 §4).
    Nul,
    /// A line has more than 998 octets (RFC 5321 §4.5.3.1.6).
    LineTooLong,
}

impl std::fmt::Display for ContentFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ContentFault::BareNewline => "the message holds a CR or LF alone (RFC 5321 2.3.8)",
            ContentFault::Nul => "the message holds a NUL octet (RFC 5322 4)",
            ContentFault::LineTooLong => {
                "the message has a line of more than 998 octets (RFC 5321 4.5.3.1.6)"
            }
        })
    }
}

impl std::error::Error for ContentFault {}

impl Content {
    /// Looks a message over.
    pub fn new(message: Arc<Vec<u8>>) -> Result<Content, ContentFault> {
        let dots = survey(&message)?;
        let stuffed = (!dots.is_empty()).then(|| Arc::new(stuff(&message, &dots)));
        let eight_bit = !message.is_ascii();
        let ends_in_crlf = message.is_empty() || message.ends_with(b"\r\n");
        Ok(Content { message, stuffed, eight_bit, ends_in_crlf })
    }

    /// Octets as SIZE counts them (RFC 1870 §4): line ends as two, no stuffed dots, no end.
    pub fn bytes(&self) -> u64 {
        self.message.len() as u64
    }

    /// Whether an octet is above 127, so that 8BITMIME is needed (RFC 6152).
    pub fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// What goes over the wire before [`Content::end`].
    pub fn wire(&self) -> &[u8] {
        self.stuffed.as_ref().unwrap_or(&self.message)
    }

    /// What ends it: a dot on a line of its own.
    pub fn end(&self) -> &'static [u8] {
        if self.ends_in_crlf { b".\r\n" } else { b"\r\n.\r\n" }
    }
}

/// Where lines begin with a dot; or what is wrong.
fn survey(message: &[u8]) -> Result<Vec<usize>, ContentFault> {
    let mut dots = Vec::new();
    let mut line = 0;
    while line < message.len() {
        let rest = &message[line..];
        if rest[0] == b'.' {
            dots.push(line);
        }
        let found = memchr::memchr3(b'\r', b'\n', 0, rest);
        if found.unwrap_or(rest.len()) > MESSAGE_LINE_BYTES_MAX {
            return Err(ContentFault::LineTooLong);
        }
        let Some(at) = found else { break };
        match (rest[at], rest.get(at + 1)) {
            (b'\r', Some(b'\n')) => line += at + 2,
            (0, _) => return Err(ContentFault::Nul),
            _ => return Err(ContentFault::BareNewline),
        }
    }
    Ok(dots)
}

fn stuff(message: &[u8], dots: &[usize]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + dots.len());
    let mut at = 0;
    for dot in dots {
        out.extend_from_slice(&message[at..*dot]);
        out.push(b'.');
        at = *dot;
    }
    out.extend_from_slice(&message[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::data::Unstuffer;
    use proptest::prelude::*;

    fn content(message: &[u8]) -> Result<Content, ContentFault> {
        Content::new(Arc::new(message.to_vec()))
    }

    fn wire(message: &[u8]) -> Vec<u8> {
        let content = content(message).unwrap();
        [content.wire(), content.end()].concat()
    }

    #[test]
    fn dots_are_stuffed_at_the_start_of_lines_only() {
        assert_eq!(wire(b".\r\n..a\r\nb.\r\n.c\r\n"), b"..\r\n...a\r\nb.\r\n..c\r\n.\r\n");
        assert_eq!(wire(b"a\r\n"), b"a\r\n.\r\n");
        assert_eq!(wire(b"a"), b"a\r\n.\r\n");
        assert_eq!(wire(b"a\r\n."), b"a\r\n..\r\n.\r\n");
        assert_eq!(wire(b""), b".\r\n");
    }

    #[test]
    fn a_message_without_dots_is_not_copied() {
        let message = Arc::new(b"a\r\nb.c\r\n".to_vec());
        let content = Content::new(Arc::clone(&message)).unwrap();
        assert_eq!(content.wire().as_ptr(), message.as_ptr());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let fault = |message: &[u8]| content(message).err();
        for bare in [&b"a\nb\r\n"[..], b"a\rb\r\n", b"a\r\n\n", b"a\r", b"a\r\r\n", b"\n.\r\n"] {
            assert_eq!(fault(bare), Some(ContentFault::BareNewline), "{bare:?}");
        }
        assert_eq!(fault(b"a\0\r\n"), Some(ContentFault::Nul));
        let line = |bytes: usize| [vec![b'x'; bytes], b"\r\ny\r\n".to_vec()].concat();
        assert_eq!(fault(&line(998)), None);
        assert_eq!(fault(&line(999)), Some(ContentFault::LineTooLong));
        assert_eq!(fault(&[b'x'; 999]), Some(ContentFault::LineTooLong));
    }

    #[test]
    fn eight_bit_content_is_noticed() {
        assert!(content("\u{fc}\r\n".as_bytes()).unwrap().is_eight_bit());
        assert!(!content(b"u\r\n").unwrap().is_eight_bit());
    }

    proptest! {
        /// Nothing can be smuggled: whatever a message holds, it is refused, or the other side sees
        /// exactly it, and its end exactly at our end, behind any split.
        #[test]
        fn the_end_is_where_we_put_it(
            message in "(\r\n|\r\n|\r\n\\.|\r|\n|\0|\\.|a|\u{e9}|\r\n\\.\r\n|MAIL FROM:<>){0,30}",
            split in 0usize..100,
        ) {
            let message = message.as_bytes();
            let clean = content(message);
            let lone = message
                .iter()
                .enumerate()
                .any(|(at, octet)| match octet {
                    b'\r' => message.get(at + 1) != Some(&b'\n'),
                    b'\n' => at == 0 || message[at - 1] != b'\r',
                    octet => *octet == 0,
                });
            prop_assert_eq!(clean.is_err(), lone);
            if clean.is_ok() {
                let sent = [wire(message), b"QUIT\r\n".to_vec()].concat();
                let (head, tail) = sent.split_at(split.min(sent.len()));
                let (mut reader, mut got) = (Unstuffer::new(false), Vec::new());
                let ended = match reader.push(head, &mut got) {
                    Some(at) => Some(at),
                    None => reader.push(tail, &mut got).map(|at| head.len() + at),
                };
                let mut expected = message.to_vec();
                if !expected.is_empty() && !expected.ends_with(b"\r\n") {
                    expected.extend_from_slice(b"\r\n");
                }
                prop_assert_eq!(got, expected);
                prop_assert_eq!(ended, Some(sent.len() - 6));
                // No reader that takes something else for the end finds it earlier.
                for other in [&b"\n.\n"[..], b"\n.\r\n", b"\r.\r", b"\r\n.\n"] {
                    let early = sent[..sent.len() - 9].windows(other.len()).any(|w| w == other);
                    prop_assert!(!early);
                }
            }
        }
    }
}
