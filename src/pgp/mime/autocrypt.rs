//! The Autocrypt field: our user's certificate, carried in the mail that he sends.
//!
//! # Standards
//! Autocrypt level 1 §2.1 (`addr`, `keydata`; fields above 10 KiB are ignored by readers).
//!
//! # Known gaps
//! `prefer-encrypt` is never said: what our users' programs can open is not known here.

use crate::mail::Address;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of the whole field (Autocrypt level 1 §2.1).
const FIELD_BYTES_MAX: usize = 10 * 1024;
/// Characters of key data in a line.
const LINE_CHARS: usize = 76;

/// The field, with its folds and the line end that closes it; `None` if it would be too large, or
/// if the address needs quotes, which readers of the field do not expect.
pub fn autocrypt_field(address: &Address, certificate: &[u8]) -> Option<Vec<u8>> {
    let address = address.to_string();
    let plain = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'"' | b';' | b'=');
    if !address.bytes().all(plain) || certificate.len() > FIELD_BYTES_MAX {
        return None;
    }
    let mut field = format!("Autocrypt: addr={address}; keydata=").into_bytes();
    for line in STANDARD.encode(certificate).as_bytes().chunks(LINE_CHARS) {
        field.extend_from_slice(b"\r\n ");
        field.extend_from_slice(line);
    }
    field.extend_from_slice(b"\r\n");
    (field.len() <= FIELD_BYTES_MAX).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_folded_and_bounded() {
        let address = Address::parse(b"alice@example.org").unwrap();
        let field = autocrypt_field(&address, &[7; 100]).unwrap();
        let text = String::from_utf8(field).unwrap();
        assert!(text.starts_with("Autocrypt: addr=alice@example.org; keydata=\r\n BwcH"));
        assert!(text.ends_with("=\r\n") && text.lines().all(|line| line.len() <= 77));
        assert!(autocrypt_field(&address, &[7; 7000]).is_some());
        assert!(autocrypt_field(&address, &[7; 8000]).is_none());
        let quoted = Address::parse(br#""a;b"@example.org"#).unwrap();
        assert!(autocrypt_field(&quoted, &[7]).is_none());
    }
}
