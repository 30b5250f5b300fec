//! The end of a message: where it is, and the octets before it with the stuffed dots taken out.
//!
//! Only CRLF.CRLF ends a message (RFC 5321 §4.1.1.4). Octets are looked at once and copied in runs
//! that span lines; what a split of the stream leaves undecided (a CR, a dot) is a state, so that
//! any split gives the same result.

/// Reads the octets behind DATA.
#[derive(Debug)]
pub(super) struct Unstuffer {
    at: At,
    normalise: bool,
    /// A CR or LF stood alone.
    pub bare_newline: bool,
    /// There was a NUL.
    pub nul: bool,
}

/// What stands before the next octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// CRLF, or the start.
    LineStart,
    Text,
    /// A CR that is not yet written.
    Cr,
    /// A dot at a line's start; it is never written (RFC 5321 §4.5.2).
    Dot,
    /// That and a CR that is not yet written.
    DotCr,
}

impl Unstuffer {
    /// `normalise` makes CRLF of a CR or LF alone, which still ends nothing.
    pub fn new(normalise: bool) -> Self {
        Unstuffer { at: At::LineStart, normalise, bare_newline: false, nul: false }
    }

    /// Takes `input`, appends content to `out`. `Some(n)`: the message ended behind `n` octets.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let mut at = 0;
        while let Some(octet) = input.get(at).copied() {
            match self.at {
                At::LineStart if octet == b'.' => {
                    self.at = At::Dot;
                    at += 1;
                }
                At::LineStart | At::Text => at += self.run(&input[at..], out),
                At::Cr if octet == b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.at = At::LineStart;
                    at += 1;
                }
                At::Cr => self.lone(b'\r', out),
                At::Dot if octet == b'\r' => {
                    self.at = At::DotCr;
                    at += 1;
                }
                At::Dot => self.at = At::Text,
                At::DotCr if octet == b'\n' => return Some(at + 1),
                At::DotCr => self.lone(b'\r', out),
            }
        }
        None
    }

    /// Copies up to the next place where something must be left out, put in or waited for, and says
    /// how far that was. At a line's start the first octet is no dot.
    fn run(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        self.at = At::Text;
        let mut at = 0;
        while let Some(found) = memchr::memchr3(b'\r', b'\n', 0, &input[at..]) {
            at += found;
            match (input[at], input.get(at + 1)) {
                (0, _) => {
                    self.nul = true;
                    at += 1;
                }
                (b'\r', Some(b'\n')) => {
                    at += 2;
                    if input.get(at).is_none_or(|octet| *octet == b'.') {
                        self.at = At::LineStart;
                        break;
                    }
                }
                (b'\r', None) => {
                    self.at = At::Cr;
                    out.extend_from_slice(&input[..at]);
                    return at + 1;
                }
                (lone, _) => {
                    out.extend_from_slice(&input[..at]);
                    self.lone(lone, out);
                    return at + 1;
                }
            }
        }
        let end = if self.at == At::LineStart { at } else { input.len() };
        out.extend_from_slice(&input[..end]);
        end
    }

    /// A CR or LF that is not half of a CRLF (RFC 5321 §2.3.8): it begins no line.
    fn lone(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.at = At::Text;
        if self.normalise {
            out.extend_from_slice(b"\r\n");
        } else {
            self.bare_newline = true;
            out.push(octet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a whole stream means, the slow way: content, and how many octets it takes if it ends.
    fn reference(input: &[u8], normalise: bool) -> (Vec<u8>, Option<usize>, bool) {
        let (mut out, mut at, mut line_start, mut bare) = (Vec::new(), 0, true, false);
        while at < input.len() {
            let rest = &input[at..];
            if line_start && rest.starts_with(b".\r\n") {
                return (out, Some(at + 3), bare);
            }
            let undecided: [&[u8]; 2] = [b"\r", b".\r"];
            if rest == b"\r" || (line_start && undecided.contains(&rest)) {
                return (out, None, bare);
            }
            if rest.starts_with(b"\r\n") {
                out.extend_from_slice(b"\r\n");
                (at, line_start) = (at + 2, true);
                continue;
            }
            match rest[0] {
                b'.' if line_start => {}
                b'\r' | b'\n' if normalise => out.extend_from_slice(b"\r\n"),
                octet => {
                    bare |= matches!(octet, b'\r' | b'\n');
                    out.push(octet);
                }
            }
            (at, line_start) = (at + 1, false);
        }
        (out, None, bare)
    }

    fn in_pieces(pieces: &[&[u8]], normalise: bool) -> (Vec<u8>, Option<usize>, bool) {
        let (mut unstuffer, mut out, mut before) = (Unstuffer::new(normalise), Vec::new(), 0);
        for piece in pieces {
            if let Some(taken) = unstuffer.push(piece, &mut out) {
                return (out, Some(before + taken), unstuffer.bare_newline);
            }
            before += piece.len();
        }
        (out, None, unstuffer.bare_newline)
    }

    #[test]
    fn dots_are_unstuffed_as_rfc_5321_says() {
        let content = |input: &[u8]| in_pieces(&[input], false).0;
        assert_eq!(content(b"..a\r\n.b\r\n...\r\nc.d\r\n.\r\n"), b".a\r\nb\r\n..\r\nc.d\r\n");
        assert_eq!(in_pieces(&[b".\r\nQUIT\r\n"], false), (Vec::new(), Some(3), false));
        assert_eq!(in_pieces(&[b"a\r\n.\r", b"\n"], false).1, Some(6));
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_message() {
        let ends: [&[u8]; 8] = [
            b"a\n.\n",
            b"a\n.\r\n",
            b"a\r\n.\n",
            b"a\r.\r",
            b"a\r\n.\r\r\n",
            b"a\r\n..\r\n",
            b"a\r\n\0.\r\n",
            b"a\r\n.\0\r\n",
        ];
        for input in ends {
            assert_eq!(in_pieces(&[input], false).1, None, "{input:?}");
            assert_eq!(in_pieces(&[input], true).1, None, "{input:?}");
        }
    }

    #[test]
    fn lone_newlines_become_crlf_where_the_listener_says_so() {
        let content = |input: &[u8]| in_pieces(&[input], true).0;
        assert_eq!(content(b"a\nb\rc\r\n.\r\n"), b"a\r\nb\r\nc\r\n");
        assert_eq!(content(b"a\n.\nb\r\n.\r\n"), b"a\r\n.\r\nb\r\n");
    }

    #[test]
    fn a_nul_is_noticed() {
        let mut unstuffer = Unstuffer::new(false);
        unstuffer.push(b"a\0b\r\n", &mut Vec::new());
        assert!(unstuffer.nul && !unstuffer.bare_newline);
    }

    proptest! {
        #[test]
        fn unstuffing_equals_the_reference_for_any_split(
            input in "(\r\n|\r|\n|\\.|a|bcd|\r\n\\.\r\n){0,40}",
            cuts in prop::collection::vec(0usize..120, 0..6),
            normalise: bool,
        ) {
            let input = input.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            prop_assert_eq!(in_pieces(&pieces, normalise), reference(input, normalise));
        }

        #[test]
        fn what_is_stuffed_comes_back(lines in prop::collection::vec("[.a]{0,4}", 0..10)) {
            let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let stuffed: String = lines
                .iter()
                .map(|line| format!("{}{line}\r\n", if line.starts_with('.') { "." } else { "" }))
                .collect();
            let wire = format!("{stuffed}.\r\n");
            for split in 0..=wire.len() {
                let (head, tail) = wire.as_bytes().split_at(split);
                let expected = (content.clone().into_bytes(), Some(wire.len()), false);
                prop_assert_eq!(in_pieces(&[head, tail], false), expected);
            }
        }
    }
}
