//! Messages that come in pieces of a length said beforehand (RFC 3030, BDAT).
//!
//! Where a piece ends is a matter of counting; nothing in it ends anything, and no dot is stuffed.
//! Its text is held to the same rules as behind DATA: lines end in CRLF, and there is no NUL. A CR
//! at the end of one piece and an LF at the start of the next are one line end.

/// What BDAT says of the piece that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Its octets.
    pub bytes: u64,
    /// Whether it is the message's last.
    pub last: bool,
}

/// Reads `size [LAST]`; the size has up to 20 digits, and one that does not fit is larger than
/// anything.
pub(super) fn parse(args: &[u8]) -> Option<Chunk> {
    let mut words = args.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    let size = words.next()?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
        Some(_) => return None,
    };
    let digits = (1..=20).contains(&size.len()) && size.iter().all(u8::is_ascii_digit);
    let alone = words.next().is_none();
    let bytes = std::str::from_utf8(size).ok()?.parse().unwrap_or(u64::MAX);
    (digits && alone).then_some(Chunk { bytes, last })
}

/// Reads the pieces of one message.
#[derive(Debug)]
pub(super) struct Chunks {
    /// Octets of the current piece that are still to come.
    pub left: u64,
    /// Whether the current piece is the last.
    pub last: bool,
    normalise: bool,
    /// A CR that is not yet written.
    cr: bool,
    /// A CR or LF stood alone.
    pub bare_newline: bool,
    /// There was a NUL.
    pub nul: bool,
}

impl Chunks {
    /// `normalise` makes CRLF of a CR or LF alone.
    pub fn new(chunk: Chunk, normalise: bool) -> Self {
        let Chunk { bytes, last } = chunk;
        Chunks { left: bytes, last, normalise, cr: false, bare_newline: false, nul: false }
    }

    /// The next piece begins.
    pub fn next(&mut self, chunk: Chunk) {
        (self.left, self.last) = (chunk.bytes, chunk.last);
    }

    /// Takes `input`, appends content to `out`. `Some(n)`: the piece ended behind `n` octets.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let bytes = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        self.left -= bytes as u64;
        self.text(&input[..bytes], out);
        (self.left == 0).then_some(bytes)
    }

    /// The message has ended. As behind DATA, its last line has an end: content that stands in
    /// `out` from `start` on gets one if it has none.
    pub fn finish(&mut self, start: usize, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            self.lone(b'\r', out);
        }
        if out.len() > start && !out[start..].ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
    }

    fn text(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let Some(first) = input.first() else { return };
        let mut from = 0;
        if std::mem::take(&mut self.cr) {
            match first {
                b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    from = 1;
                }
                _ => self.lone(b'\r', out),
            }
        }
        let mut at = from;
        while let Some(found) = memchr::memchr3(b'\r', b'\n', 0, &input[at..]) {
            at += found;
            match (input[at], input.get(at + 1)) {
                (0, _) => {
                    self.nul = true;
                    at += 1;
                }
                (b'\r', Some(b'\n')) => at += 2,
                (b'\r', None) => {
                    self.cr = true;
                    out.extend_from_slice(&input[from..at]);
                    return;
                }
                (lone, _) => {
                    out.extend_from_slice(&input[from..at]);
                    self.lone(lone, out);
                    at += 1;
                    from = at;
                }
            }
        }
        out.extend_from_slice(&input[from..]);
    }

    /// A CR or LF that is not half of a CRLF (RFC 5321 §2.3.8).
    fn lone(&mut self, octet: u8, out: &mut Vec<u8>) {
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

    #[test]
    fn arguments_are_read() {
        let chunk = |bytes, last| Some(Chunk { bytes, last });
        assert_eq!(parse(b"0"), chunk(0, false));
        assert_eq!(parse(b"12  last"), chunk(12, true));
        assert_eq!(parse(b"99999999999999999999 LAST"), chunk(u64::MAX, true));
        for bad in ["", "LAST", "x", "-1", "+1", "1x", "1 LAST LAST", "1 2", "0x10", "1\t2"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse(&[b'0'; 21]), None);
    }

    /// Reads `pieces` and gives content, lone CR or LF, NUL.
    fn read(pieces: &[&[u8]], normalise: bool) -> (Vec<u8>, bool, bool) {
        let (mut out, none) = (Vec::new(), Chunk { bytes: 0, last: false });
        let mut chunks = Chunks::new(none, normalise);
        for piece in pieces {
            chunks.next(Chunk { bytes: piece.len() as u64, last: false });
            assert_eq!(chunks.push(piece, &mut out), Some(piece.len()));
        }
        chunks.finish(0, &mut out);
        (out, chunks.bare_newline, chunks.nul)
    }

    #[test]
    fn text_is_held_to_the_rules_of_data() {
        assert_eq!(read(&[b".\r\n..\r", b"\n"], false), (b".\r\n..\r\n".into(), false, false));
        assert_eq!(read(&[b"a"], false), (b"a\r\n".into(), false, false));
        assert_eq!(read(&[b""], false), (b"".into(), false, false));
        assert_eq!(read(&[b"a\r", b"b"], true), (b"a\r\nb\r\n".into(), false, false));
        for bad in ["a\nb\r\n", "a\rb\r\n", "a\r", "\n", "a\r\r\n"] {
            assert!(read(&[bad.as_bytes()], false).1, "{bad:?}");
            assert!(!read(&[bad.as_bytes()], true).1, "{bad:?}");
        }
        assert!(read(&[b"a\0"], false).2);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            input in "(\r\n|\r|\n|\0|\\.|a|bcd){0,40}",
            cuts in prop::collection::vec(0usize..120, 0..6),
            normalise: bool,
        ) {
            let input = input.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            let whole = read(&[input], normalise);
            prop_assert_eq!(&read(&pieces, normalise), &whole);
            if normalise {
                let text = String::from_utf8(whole.0).unwrap().replace("\r\n", "");
                prop_assert!(!text.contains(['\r', '\n']));
            }
        }
    }
}
