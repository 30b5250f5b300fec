//! ASCII armor of messages: written for mail, and read strictly.
//!
//! Written with lines of 76 characters and CRLF. Read: one block and nothing around it but white
//! space; a checksum may stand there and is not compared, for the ciphertext is authenticated by
//! something better.
//!
//! The checksum is for old programs: GnuPG 2.2 reads the closing line as data where the base64
//! before it has no padding of its own and no checksum follows. New programs must not see one.
//!
//! # Standards
//! RFC 9580 §6.2 (armor), §6.2.2 (its headers), §6.1 (the checksum); RFC 2045 §6.8 (lines of
//! base64).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters in a line of base64 (RFC 9580 §6: 76 at most).
const LINE_CHARS: usize = 76;
/// Lines of armor headers that are passed over (`Version`, `Comment`, `Charset`, `Hash`).
const HEADER_LINES_MAX: usize = 32;

/// RFC 9580 §6.2.2, and RFC 4880 §6.2 for MessageID.
const USUAL_HEADERS: [&[u8]; 5] = [b"Version:", b"Comment:", b"Charset:", b"Hash:", b"MessageID:"];
/// Headers that a block usually has at most: a version, and comments, of which some write two.
const USUAL_HEADERS_MAX: usize = 4;
/// Octets in a line of them; a line of base64 has 76 (RFC 9580 §6).
const USUAL_HEADER_BYTES_MAX: usize = 100;

const BEGIN: &[u8] = b"-----BEGIN PGP MESSAGE-----";
const END: &[u8] = b"-----END PGP MESSAGE-----";

/// Whether a checksum is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// For version 1 of encrypted data, which old programs read.
    Written,
    /// For version 2: RFC 9580 §6.1 says MUST NOT.
    None,
}

/// Appends `binary` in armor, lines ended by CRLF.
pub fn write(out: &mut Vec<u8>, binary: &[u8], checksum: Checksum) {
    out.reserve(binary.len() / 3 * 4 * (LINE_CHARS + 2) / LINE_CHARS + 128);
    out.extend_from_slice(BEGIN);
    out.extend_from_slice(b"\r\n\r\n");
    write_base64(out, binary);
    if checksum == Checksum::Written {
        let [_, value @ ..] = crc24(binary).to_be_bytes();
        out.push(b'=');
        write_base64(out, &value);
    }
    out.extend_from_slice(END);
    out.extend_from_slice(b"\r\n");
}

/// Appends `binary` in base64, each line ended by CRLF.
fn write_base64(out: &mut Vec<u8>, binary: &[u8]) {
    // 57 octets are 76 characters exactly.
    let mut line = [0; LINE_CHARS];
    for piece in binary.chunks(LINE_CHARS / 4 * 3) {
        let filled = STANDARD
            .encode_slice(piece, &mut line)
            .expect("a line holds four thirds of its octets");
        out.extend_from_slice(&line[..filled]);
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 9580 §6.1.1: CRC-24, an octet at a time.
fn crc24(binary: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc24_table();
    binary.iter().fold(0x00B7_04CE, |crc, octet| {
        (crc << 8) & 0x00FF_FFFF ^ TABLE[((crc >> 16) as u8 ^ octet) as usize]
    })
}

const fn crc24_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let (mut crc, mut bit) = ((octet as u32) << 16, 0);
        while bit < 8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4CFB;
            }
            bit += 1;
        }
        table[octet] = crc;
        octet += 1;
    }
    table
}

/// The octets in the one armor block that `text` is; `None` if it is anything else.
pub fn read(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.trim_ascii().split(|octet| *octet == b'\n').map(|line| line.trim_ascii());
    if lines.next() != Some(BEGIN) {
        return None;
    }
    let mut headers = lines.by_ref().take(HEADER_LINES_MAX);
    // RFC 9580 §6.2.2: headers, then an empty line, which must be there.
    loop {
        match headers.next()? {
            b"" => break,
            line if line.contains(&b':') => {}
            _ => return None,
        }
    }
    let mut base64 = Vec::with_capacity(text.len());
    let last = loop {
        match lines.next()? {
            // What stands behind it is not base64, so that there is one at most.
            [b'=', checksum @ ..] if checksum.len() == 4 => break lines.next()?,
            END => break END,
            line => base64.extend_from_slice(line),
        }
    };
    if last != END || lines.next().is_some() {
        return None;
    }
    STANDARD.decode(&base64).ok()
}

/// Whether the headers of a block are few, short, and of the kinds that the standards know: they
/// are not encrypted. What Version and Comment say is the program's own.
pub fn has_usual_headers(text: &[u8]) -> bool {
    let lines = text.trim_ascii().split(|octet| *octet == b'\n').map(|line| line.trim_ascii());
    let headers = lines.skip(1).take_while(|line| !line.is_empty());
    headers.enumerate().all(|(index, line)| {
        index < USUAL_HEADERS_MAX
            && line.len() <= USUAL_HEADER_BYTES_MAX
            && USUAL_HEADERS.iter().any(|name| line.starts_with(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_checksums_and_bare_line_ends_are_accepted() {
        let texts = [
            "-----BEGIN PGP MESSAGE-----\r\n\r\nyv8=\r\n-----END PGP MESSAGE-----\r\n",
            "-----BEGIN PGP MESSAGE-----\n\nyv8=\n=abcd\n-----END PGP MESSAGE-----",
            "\r\n-----BEGIN PGP MESSAGE-----\r\nVersion: GnuPG v2\r\nComment: x: y\r\n\r\nyv\r\n8=\
             \r\n-----END PGP MESSAGE-----\r\n\r\n",
        ];
        for text in texts {
            assert_eq!(read(text.as_bytes()), Some(vec![0xCA, 0xFF]), "{text}");
        }
    }

    #[test]
    fn anything_before_inside_or_behind_is_refused() {
        let texts = [
            "hello\n-----BEGIN PGP MESSAGE-----\n\nyv8=\n-----END PGP MESSAGE-----",
            "-----BEGIN PGP MESSAGE-----\n\nyv8=\n-----END PGP MESSAGE-----\nbye",
            "-----BEGIN PGP MESSAGE-----\nyv8=\n-----END PGP MESSAGE-----",
            "-----BEGIN PGP MESSAGE-----\n\nyv8=\nhello you\n-----END PGP MESSAGE-----",
            "-----BEGIN PGP MESSAGE-----\n\nyv8=",
            "-----BEGIN PGP MESSAGE-----\n\n=text\nyv8=\n-----END PGP MESSAGE-----",
            "-----BEGIN PGP MESSAGE-----\n\nyv8=\n=more\n=text\n-----END PGP MESSAGE-----",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nyv8=\n-----END PGP PUBLIC KEY BLOCK-----",
        ];
        for text in texts {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn unusual_headers_are_told() {
        let armored = |headers: &str| format!("\n-----BEGIN PGP MESSAGE-----\n{headers}\nyv8=\n");
        for usual in [
            "",
            "Version: OpenPGP.js v4.10.10\nComment: https://openpgpjs.org\n",
            "Comment: GPGTools - https://gpgtools.org\n",
            "Version: PGP 6.5\r\nComment: a\r\nComment: b\r\nCharset: utf-8\r\n",
        ] {
            assert!(has_usual_headers(armored(usual).as_bytes()), "{usual}");
        }
        for odd in [
            "Secret: all of it\n".to_owned(),
            "all of it: Comment: \n".to_owned(),
            format!("Comment: {}\n", "x".repeat(100)),
            "Comment: and so on\n".repeat(5),
        ] {
            assert!(!has_usual_headers(armored(odd.as_str()).as_bytes()), "{odd}");
        }
    }

    #[test]
    fn the_checksum_is_the_published_one_and_can_be_left_out() {
        // The check value of CRC-24/OPENPGP in the catalogue of parametrised CRCs.
        assert_eq!(crc24(b"123456789"), 0x0021_CF02);
        let text = |checksum| {
            let mut out = Vec::new();
            write(&mut out, b"123456789", checksum);
            String::from_utf8(out).unwrap()
        };
        assert!(text(Checksum::Written).contains("\r\nMTIzNDU2Nzg5\r\n=Ic8C\r\n-----END"));
        assert!(text(Checksum::None).contains("\r\nMTIzNDU2Nzg5\r\n-----END"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            binary in proptest::collection::vec(any::<u8>(), 0..400),
            is_v1: bool,
        ) {
            let mut text = Vec::new();
            let checksum = if is_v1 { Checksum::Written } else { Checksum::None };
            write(&mut text, &binary, checksum);
            prop_assert!(text.split(|octet| *octet == b'\n').all(|line| line.len() <= 77));
            prop_assert_eq!(read(&text), Some(binary));
        }

        #[test]
        fn no_octets_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = read(&bytes);
            let _ = read(&[BEGIN, b"\n\n", &bytes, END].concat());
        }
    }
}
