//! Padding in a header field, for readers that know no padding packet.
//!
//! In version 1 of encrypted data nothing but the literal is understood by every program, so the
//! payload itself must be brought to a length of Padmé. A field inside it does that without
//! touching the body. No program shows it.
//!
//! # Known gaps
//! Some programs read the whole header before they show anything, so that it must stay small:
//! beyond 4 MiB the steps are 64 KiB, finer than Padmé's.

use crate::pgp::frame::padme;

/// Octets from one length to the next at most. Between 2 and 4 MiB a step of Padmé has as many.
const STEP_BYTES_MAX: usize = 64 * 1024;
/// From this size on Padmé's own steps are larger than that.
const COARSE_FROM_BYTES: usize = 4 * 1024 * 1024;
/// Octets of one field: parsers have limits of 10,000 and more for one.
const FIELD_BYTES_MAX: usize = 8 * 1024;
/// Characters in a line.
const LINE_CHARS: usize = 70;

/// The name of the field.
pub const NAME: &str = "X-Padding";

/// The shortest field: its name, colon, space, one character, line end.
const FIELD_BYTES_MIN: usize = NAME.len() + 2 + 1 + 2;

/// Fields that bring a payload of `bytes` octets to a length that many payloads have.
pub fn fields(bytes: usize) -> Vec<u8> {
    let mut left = target(bytes + FIELD_BYTES_MIN) - bytes;
    let mut out = Vec::with_capacity(left);
    while left > 0 {
        // What would be left over must be a field, too.
        let bytes = match left {
            small if small <= FIELD_BYTES_MAX => small,
            _ => FIELD_BYTES_MAX.min(left - FIELD_BYTES_MIN),
        };
        field(&mut out, bytes);
        left -= bytes;
    }
    out
}

/// The step must depend on the size alone, not on how far a payload is from the next one.
fn target(bytes: usize) -> usize {
    match bytes >= COARSE_FROM_BYTES {
        true => bytes.next_multiple_of(STEP_BYTES_MAX),
        false => padme(bytes),
    }
}

/// Appends one field of exactly `bytes` octets, folded.
fn field(out: &mut Vec<u8>, bytes: usize) {
    let end = out.len() + bytes - 2;
    out.extend_from_slice(NAME.as_bytes());
    out.extend_from_slice(b": ");
    let mut column = NAME.len() + 2;
    while out.len() < end {
        // A fold has three octets, and a letter must follow.
        if column >= LINE_CHARS && end - out.len() > 3 {
            out.extend_from_slice(b"\r\n ");
            column = 1;
        }
        out.push(b'x');
        column += 1;
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header;

    #[test]
    fn every_length_is_brought_to_a_padded_one_by_whole_fields() {
        let large = [1 << 20, (2 << 20) - 20, (4 << 20) - 15, (4 << 20) - 14, (9 << 20) + 5];
        for bytes in (0..30_000).step_by(7).chain(8100..8300).chain(large) {
            let padding = fields(bytes);
            let total = bytes + padding.len();
            assert!(total == padme(total) || total.is_multiple_of(STEP_BYTES_MAX), "{bytes}");
            assert!(padding.len() <= STEP_BYTES_MAX + FIELD_BYTES_MIN, "{bytes}");
            let named = header::fields(&padding).all(|field| field.is(NAME));
            let read: usize = header::fields(&padding).map(|field| field.raw.len()).sum();
            assert!(named && read == padding.len(), "{bytes}");
            assert!(padding.split(|octet| *octet == b'\n').all(|line| line.len() <= 78));
        }
    }

    #[test]
    fn steps_never_are_larger_than_the_limit() {
        // Padmé's steps in front of the place where it is left are those of the other side.
        assert!(padme((2 << 20) + 1) - (2 << 20) <= STEP_BYTES_MAX);
        assert!(padme((4 << 20) + 1) - (4 << 20) > STEP_BYTES_MAX);
    }
}
