//! Whether octets that are said to be encrypted are text that anybody reads.
//!
//! No key is needed to see that. It is a guard against mistakes and the plainest of lies and no
//! more: other octets may still be no cipher's.

/// Octets that are looked at.
const LOOKED_AT_BYTES_MAX: usize = 256;
/// Octets below which a cipher's may be text by chance.
const TEXT_BYTES_MIN: usize = 32;

/// Whether `octets` begin as text in UTF-8: of random ones not one in ten thousand millions does.
pub fn is_text(octets: &[u8]) -> bool {
    let start = &octets[..octets.len().min(LOOKED_AT_BYTES_MAX)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character that the end cuts.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let is_shown = |c: char| !c.is_control() || matches!(c, '\t' | '\r' | '\n');
    octets.len() >= TEXT_BYTES_MIN && text.chars().all(is_shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_what_a_cipher_writes() {
        let long = format!("{}ü and so on", "x".repeat(255));
        for text in
            ["all of my secret,\r\n\tin plain words", &long, "Grüße, an alle; alles ganz geheim!"]
        {
            assert!(is_text(text.as_bytes()), "{text}");
        }
        let key = crate::base::crypto::derive(&[7; 32], b"", "a cipher's octets");
        assert!(!is_text(key.expose()));
        assert!(!is_text(b"short") && !is_text(b"") && !is_text(&[0; 64]));
    }
}
