//! Header blocks: iterate over fields, select some, unfold, write new ones that cannot be split.
//!
//! A block is what stands in front of the first empty line. Lines end in LF, with or without CR
//! before it (mail that came by SMTP has CRLF only; APPEND may bring bare LF). A line that is
//! neither a field nor a continuation ends the block although no empty line was seen: its text is
//! body. One mbox `From ` line in front is stepped over.
//!
//! # Standards
//! RFC 5322 §2.2 and §3.6.8 (fields), §4.5 (white space before the colon), RFC 2047 (encoded
//! words).

use super::limits::HEADER_INTERPRETED_BYTES_MAX;

/// One field of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name as written.
    pub name: &'a [u8],
    /// Its body with folds, without the line end that closes it.
    pub body: &'a [u8],
    /// The whole field with its line ends.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether the field has this name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of a header block, in order. Stops at the empty line or the first line that is none.
pub fn fields(block: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = block;
    if is_mbox_line(line_of(rest)) {
        rest = &rest[line_of(rest).len()..];
    }
    std::iter::from_fn(move || {
        let (field, behind) = split_field(rest)?;
        rest = behind;
        Some(field)
    })
}

/// What the names of all fields begin with that this program writes for its users to read. In what
/// comes in they are forged.
const OURS: &[u8] = b"postseal-";

/// Whether the octets begin with a name that only this program gives to a field.
pub fn is_named_ours(raw: &[u8]) -> bool {
    raw.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

/// How many octets the mbox lines at the start of `message` take.
pub fn mbox_bytes(message: &[u8]) -> usize {
    let mut at = 0;
    while is_mbox_line(line_of(&message[at..])) {
        at += line_of(&message[at..]).len();
    }
    at
}

/// How many octets at the start of `message` are its header, the empty line included.
pub fn header_bytes(message: &[u8]) -> usize {
    let mut at = 0;
    let mut seen_field = false;
    while at < message.len() {
        let line = line_of(&message[at..]);
        match classify(line, at == 0, seen_field) {
            LineKind::Empty => return at + line.len(),
            LineKind::Body => return at,
            LineKind::Field => seen_field = true,
            LineKind::Continuation | LineKind::Mbox => {}
        }
        at += line.len();
    }
    at
}

/// RFC 3501 §6.4.5, HEADER.FIELDS and HEADER.FIELDS.NOT: the fields whose name is (with `not`: is
/// not) among `names`, as written, and the empty line that ends a header.
pub fn select<N: AsRef<[u8]>>(block: &[u8], names: &[N], not: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields(block) {
        let named = names.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_ref()));
        if named != not {
            out.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A field's body with folds undone (RFC 5322 §2.2.3) and outer white space removed. Control
/// characters that no IMAP string can carry become spaces.
pub fn unfold(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut octets = body.trim_ascii().iter().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' if octets.peek() == Some(&&b'\n') => {}
            b'\n' => {}
            b'\r' | 0 => out.push(b' '),
            _ => out.push(*octet),
        }
    }
    out
}

/// A field's body for searching: unfolded, encoded words (RFC 2047) decoded to UTF-8, what does not
/// decode kept. At most [`HEADER_INTERPRETED_BYTES_MAX`] octets are looked at.
pub fn decode(body: &[u8]) -> String {
    let text = unfold(&body[..body.len().min(HEADER_INTERPRETED_BYTES_MAX)]);
    super::words::decode(&text)
}

/// Why a field could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// The name is not an RFC 5322 field name.
    Name,
    /// The value holds CR, LF or NUL, at this offset.
    Value {
        /// Octets from the value's start.
        at: usize,
    },
}

/// Appends `name: value` and CRLF to `out`, or refuses and leaves `out` as it was. The value is one
/// line; [`write_folded`] makes several.
pub fn write(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), HeaderError> {
    write_folded(out, name, &[value])
}

/// As [`write()`], with each further piece of the value on a line of its own behind a tab.
pub fn write_folded(out: &mut Vec<u8>, name: &str, pieces: &[&[u8]]) -> Result<(), HeaderError> {
    if name.is_empty() || !name.bytes().all(is_name_octet) {
        return Err(HeaderError::Name);
    }
    for piece in pieces {
        if let Some(at) = piece.iter().position(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
            return Err(HeaderError::Value { at });
        }
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(&pieces.join(b"\r\n\t".as_slice()));
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// What a line at a place in a header block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    Empty,
    Field,
    Continuation,
    Mbox,
    Body,
}

/// Tells what `line` (with its line end) is, `first` in its block or behind a field.
pub(super) fn classify(line: &[u8], first: bool, seen_field: bool) -> LineKind {
    match line {
        b"\n" | b"\r\n" => LineKind::Empty,
        [b' ' | b'\t', ..] if seen_field => LineKind::Continuation,
        _ if name_bytes(line).is_some() => LineKind::Field,
        _ if first && is_mbox_line(line) => LineKind::Mbox,
        _ => LineKind::Body,
    }
}

/// The first line of `bytes` with its line end.
pub(super) fn line_of(bytes: &[u8]) -> &[u8] {
    match memchr::memchr(b'\n', bytes) {
        Some(end) => &bytes[..=end],
        None => bytes,
    }
}

/// A line without LF or CRLF.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn split_field(block: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let first = line_of(block);
    let (name_len, colon) = name_bytes(first)?;
    let mut end = first.len();
    while matches!(block.get(end), Some(b' ' | b'\t')) {
        end += line_of(&block[end..]).len();
    }
    let (raw, rest) = block.split_at(end);
    Some((Field { name: &raw[..name_len], body: without_end(&raw[colon + 1..]), raw }, rest))
}

/// The length of the field name that `line` starts with, and where its colon stands.
fn name_bytes(line: &[u8]) -> Option<(usize, usize)> {
    let name = line.iter().take_while(|octet| is_name_octet(**octet)).count();
    // RFC 5322 §4.5: obsolete syntax has white space before the colon.
    let gap = line[name..].iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    let colon = name + gap;
    (name > 0 && line.get(colon) == Some(&b':')).then_some((name, colon))
}

fn is_name_octet(octet: u8) -> bool {
    matches!(octet, 33..=57 | 59..=126)
}

/// `From a@b.example Thu ...`, quoted or not. With a colon behind the blanks it is a field.
fn is_mbox_line(line: &[u8]) -> bool {
    (line.starts_with(b"From ") || line.starts_with(b">From ")) && name_bytes(line).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(block: &[u8]) -> Vec<String> {
        fields(block).map(|f| String::from_utf8_lossy(f.name).into_owned()).collect()
    }

    #[test]
    fn a_block_is_split_into_fields_with_their_folds() {
        let block =
            b"From x Thu\r\nSubject: a\r\n b\r\n\tc\r\nX-Empty:\r\nTo : d\nLast: e\r\n\r\nNo: f";
        assert_eq!(names(block), ["Subject", "X-Empty", "To", "Last"]);
        let subject = fields(block).next().unwrap();
        assert_eq!(subject.body, b" a\r\n b\r\n\tc");
        assert_eq!(subject.raw, b"Subject: a\r\n b\r\n\tc\r\n");
        assert_eq!(unfold(subject.body), b"a b\tc");
        assert_eq!(header_bytes(block), block.len() - 5);
    }

    /// RFC 5322 §4.5: white space before the colon.
    #[test]
    fn a_from_with_a_blank_behind_is_no_mbox_line() {
        for field in ["From : a@b.example\r\n", "From \t : a@b.example\r\n"] {
            let block = format!("{field}To: c\r\n\r\n");
            assert_eq!(names(block.as_bytes()), ["From", "To"]);
            assert_eq!(header_bytes(block.as_bytes()), block.len());
            assert_eq!(mbox_bytes(block.as_bytes()), 0);
        }
        assert_eq!(names(b">From : a\r\n"), [">From"]);
        assert_eq!(mbox_bytes(b"From x 2026\r\n>From y: z\nFrom: a\r\n"), 24);
        assert_eq!((mbox_bytes(b"From x"), mbox_bytes(b"from x\r\n"), mbox_bytes(b"")), (6, 0, 0));
    }

    #[test]
    fn a_missing_empty_line_ends_the_header_at_the_first_line_of_text() {
        let message = b"A: b\r\nthis is text\r\nB: c\r\n";
        assert_eq!(names(message), ["A"]);
        assert_eq!(header_bytes(message), 6);
        assert_eq!(header_bytes(b" leading space: x\r\n"), 0);
        assert_eq!(header_bytes(b"\r\nbody"), 2);
        assert_eq!(header_bytes(b"A: b"), 4);
    }

    #[test]
    fn selected_fields_are_as_written_and_end_in_an_empty_line() {
        let block = b"A: 1\r\nb: 2\r\n x\r\nA: 3\r\n\r\n";
        assert_eq!(select(block, &["a"], false), b"A: 1\r\nA: 3\r\n\r\n");
        assert_eq!(select(block, &[b"A"], true), b"b: 2\r\n x\r\n\r\n");
        assert_eq!(select(b"A: 1", &["A"], false), b"A: 1\r\n\r\n");
        assert_eq!(select(block, &["none"], false), b"\r\n");
    }

    #[test]
    fn encoded_words_are_decoded_for_searching() {
        assert_eq!(
            decode(b" =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?iso-8859-1?B?IPw=?="),
            "Gr\u{fc}\u{df}e \u{fc}"
        );
        assert_eq!(decode("grüße".as_bytes()), "grüße");
        assert_eq!(decode(b"a =?broken b"), "a =?broken b");
    }

    #[test]
    fn the_writer_folds_where_it_is_told() {
        let mut out = Vec::new();
        write_folded(&mut out, "Received", &[b"from a", b"by b;"]).unwrap();
        assert_eq!(out, b"Received: from a\r\n\tby b;\r\n");
        assert_eq!(write(&mut out, "Sub ject", b"x"), Err(HeaderError::Name));
        assert_eq!(write(&mut out, "Subject", b"x\r\nBcc: y"), Err(HeaderError::Value { at: 1 }));
    }

    proptest! {
        #[test]
        fn a_field_that_is_written_is_one_field(name in "[ -~]{0,8}", value in any::<Vec<u8>>()) {
            let mut out = Vec::new();
            if write(&mut out, &name, &value).is_ok() {
                out.extend_from_slice(b"X: y\r\n\r\n");
                let all: Vec<_> = fields(&out).collect();
                prop_assert_eq!(all.len(), 2);
                prop_assert_eq!(all[0].name, name.as_bytes());
                prop_assert_eq!(&all[0].body[1..], &value[..]);
            } else {
                prop_assert!(out.is_empty());
            }
        }

        #[test]
        fn fields_and_header_bytes_agree(text in "([A-B]: ?|\r\n|\n|[ a]|From ){0,30}") {
            let text = text.as_bytes();
            let header = header_bytes(text);
            let sum: usize = fields(text).map(|field| field.raw.len()).sum();
            prop_assert!(sum <= header);
            prop_assert_eq!(names(text), names(&text[..header]));
            decode(text);
        }
    }
}
