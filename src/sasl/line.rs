//! What SMTP and IMAP put around a mechanism's octets: base64 on a line of its own.

use crate::base::secret::SecretBytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Octets of an encoded line at most, its line end not counted (RFC 4954 §4.9: 12,288).
pub const LINE_BYTES_MAX: usize = 12_288;

/// What a client's line says.
#[derive(Debug)]
pub enum Line {
    /// A response.
    Response(SecretBytes),
    /// `*`: the client gives up (RFC 4954 §4, RFC 9051 §6.2.2).
    Cancel,
}

/// A line that is no base64, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine;

/// Reads the line that answers a challenge, without its line end.
pub fn read(line: &[u8]) -> Result<Line, BadLine> {
    match line {
        b"*" => Ok(Line::Cancel),
        _ if line.len() > LINE_BYTES_MAX => Err(BadLine),
        _ => decode(line).map(Line::Response),
    }
}

/// Reads an initial response: as [`read`], but `=` stands for an empty one (RFC 4954 §4).
pub fn read_initial(word: &[u8]) -> Result<SecretBytes, BadLine> {
    match word {
        b"=" => Ok(SecretBytes::default()),
        _ if word.len() > LINE_BYTES_MAX => Err(BadLine),
        _ => decode(word),
    }
}

/// Writes a challenge.
pub fn write(challenge: &[u8]) -> String {
    STANDARD.encode(challenge)
}

fn decode(text: &[u8]) -> Result<SecretBytes, BadLine> {
    STANDARD.decode(text).map(SecretBytes::new).map_err(|_| BadLine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_base64_the_empty_one_and_the_cancel() {
        let response = |line: &[u8]| match read(line) {
            Ok(Line::Response(response)) => Some(response.expose().to_vec()),
            _ => None,
        };
        assert_eq!(response(b"AHRpbQB4"), Some(b"\0tim\0x".to_vec()));
        assert_eq!(response(b""), Some(Vec::new()));
        assert!(matches!(read(b"*"), Ok(Line::Cancel)));
        for bad in [b"=".as_slice(), b"AH", b"A H=", b"AA==\r", b"**"] {
            assert_eq!(read(bad).err(), Some(BadLine), "{bad:?}");
        }
        assert_eq!(read(&[b'A'; LINE_BYTES_MAX + 4]).err(), Some(BadLine));
    }

    #[test]
    fn an_initial_response_may_be_empty() {
        assert_eq!(read_initial(b"=").unwrap().expose(), b"");
        assert_eq!(read_initial(b"eA==").unwrap().expose(), b"x");
        assert_eq!(read_initial(b"*").err(), Some(BadLine));
        assert_eq!(write(b"Password:"), "UGFzc3dvcmQ6");
    }
}
