//! Transfer encodings (RFC 2045 §6.7, §6.8), written. No line made here starts with a hyphen, so
//! that none can be taken for the delimiter of a multipart around it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Unfit;
use crate::mail::header::{line_of, without_end};

/// Octets of an encoded line at most, without its CRLF.
const LINE_BYTES: usize = 76;

/// Octets that one line of base64 stands for.
const BASE64_OCTETS: usize = 57;

/// Whether quoted-printable is shorter than base64, roughly.
pub fn is_mostly_printable(octets: &[u8]) -> bool {
    let odd = octets.iter().filter(|octet| !is_literal(**octet) && !b" \t\r\n".contains(octet));
    odd.count() <= octets.len() / 6
}

/// Text with each LF made CRLF where it is not.
pub fn line_ends(body: &[u8], out: &mut Vec<u8>) {
    for_lines(body, |line, ended| {
        out.extend_from_slice(line);
        end_line(ended, out);
    });
}

/// Text as quoted-printable: its line ends stay line ends, a CR alone stays an octet.
pub fn quoted_printable(body: &[u8], out: &mut Vec<u8>) {
    for_lines(body, |line, ended| {
        let mut column = 0;
        for (at, octet) in line.iter().enumerate() {
            let blank = matches!(octet, b' ' | b'\t') && at + 1 < line.len();
            let first = column == 0 && *octet == b'-';
            match (is_literal(*octet) || blank) && !first {
                true => token(&[*octet], &mut column, out),
                false => token(&escaped(*octet), &mut column, out),
            }
        }
        end_line(ended, out);
    });
}

/// Quoted-printable whose lines are too long, or hold what they must not, with soft line breaks.
pub fn rewrap_quoted_printable(body: &[u8], out: &mut Vec<u8>) {
    for_lines(body, |line, ended| {
        let (mut column, mut at) = (0, 0);
        while let Some(octet) = line.get(at) {
            let piece = match octet {
                b'=' => &line[at..line.len().min(at + 3)],
                _ => &line[at..=at],
            };
            at += piece.len();
            match piece {
                [b'\r' | 0] => token(&escaped(*octet), &mut column, out),
                _ => token(piece, &mut column, out),
            }
        }
        end_line(ended, out);
    });
}

/// Octets as base64. `ended`: the last line gets its CRLF.
pub fn base64(octets: &[u8], ended: bool, out: &mut Vec<u8>) {
    let mut lines = octets.chunks(BASE64_OCTETS).peekable();
    while let Some(chunk) = lines.next() {
        out.extend_from_slice(STANDARD.encode(chunk).as_bytes());
        end_line(ended || lines.peek().is_some(), out);
    }
}

/// Base64 with lines of the right length. Octets that are no base64 make it [`Unfit`].
pub fn rewrap_base64(body: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let blank = |octet: &u8| b" \t\r\n".contains(octet);
    let digit = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
    if !body.iter().all(|octet| blank(octet) || digit(octet)) {
        return Err(Unfit::Encoding);
    }
    let mut column = 0;
    for octet in body.iter().filter(|octet| !blank(octet)) {
        if column == LINE_BYTES {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(*octet);
        column += 1;
    }
    end_line(body.ends_with(b"\n"), out);
    Ok(())
}

/// Calls `each` with every line without its end, and whether it had one.
fn for_lines(body: &[u8], mut each: impl FnMut(&[u8], bool)) {
    let mut rest = body;
    while !rest.is_empty() {
        let line = line_of(rest);
        rest = &rest[line.len()..];
        match line.ends_with(b"\n") {
            true => each(without_end(line), true),
            false => each(line, false),
        }
    }
}

fn end_line(ended: bool, out: &mut Vec<u8>) {
    if ended {
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes what must not be parted, with a soft line break before it where the line is full.
fn token(piece: &[u8], column: &mut usize, out: &mut Vec<u8>) {
    if *column + piece.len() >= LINE_BYTES {
        out.extend_from_slice(b"=\r\n");
        *column = 0;
        if piece == b"-" {
            return token(&escaped(b'-'), column, out);
        }
    }
    out.extend_from_slice(piece);
    *column += piece.len();
}

fn escaped(octet: u8) -> [u8; 3] {
    let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
    [b'=', digit(octet >> 4), digit(octet & 15)]
}

/// RFC 2045 §6.7 rule 2.
fn is_literal(octet: u8) -> bool {
    matches!(octet, 33..=60 | 62..=126)
}
