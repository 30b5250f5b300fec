//! Whether packets have the outline of an encrypted message: versions, algorithms and lengths that
//! programs write. What is in them is not decrypted, and can be anything.
//!
//! # Standards
//! RFC 9580 §10.3 (what an encrypted message is made of), §5.1, §5.3 (session keys), §3.7 (S2K),
//! §5.8 (marker), §5.13 (encrypted data), §9.1, §9.3, §9.5, §9.6 (algorithms); RFC 9980 (ML-KEM).
//! LibrePGP §5.3, §5.16 (GnuPG's packets of version 5 and of type 20, its Kyber).

use super::packets::{PKESK, SEIPD, SKESK};
use super::text::is_text;
use crate::pgp::walk::{self, MARKER, PADDING};

/// GnuPG's own form of encrypted and protected data.
const OCB: u8 = 20;

/// Octets of a symmetrically encrypted session key of version 4: a cipher's number, and a key.
const SKESK_KEY_BYTES_MAX: usize = 33;
/// Octets behind the S2K of later ones: a nonce (12 to 16), a key (16 to 32), a tag (16).
const SKESK_SEALED_BYTES: std::ops::RangeInclusive<usize> = 44..=64;
/// Octets of an encrypted session key behind an ephemeral one: one above a key, and the wrapping.
const WRAPPED_BYTES_MIN: usize = 24;
/// Octets of a number of RSA or ElGamal: no program takes less than 512 bits.
const NUMBER_BYTES_MIN: usize = 64;
/// Octets of the smallest Kyber ciphertext.
const KYBER_BYTES_MIN: usize = 768;

/// Octets of data of version 1 without content: a block of 8 and two more, and the digest packet.
const V1_BYTES_MIN: usize = 10 + 22;
/// Octets of an authentication tag; one stands behind each chunk, one behind all.
const TAG_BYTES: usize = 16;
/// RFC 9580 §5.13.2: the salt of version 2.
const SALT_BYTES: usize = 32;
/// The largest chunk size octet (RFC 9580 §5.13.2).
const CHUNK_SIZE_MAX: u8 = 16;
/// GnuPG's chunks may be larger.
const OCB_CHUNK_SIZE_MAX: u8 = 56;

/// RFC 9580 §10.3: session keys, at least one, then protected data up to the end. Markers and
/// padding may stand anywhere.
pub fn is_sealed(binary: &[u8]) -> bool {
    let (mut keys, mut data) = (0, 0);
    for packet in walk::walk(binary) {
        let Ok(packet) = packet else { return false };
        let body = packet.body(binary);
        let fits = match packet.tag {
            MARKER => *body == *b"PGP",
            PADDING => true,
            PKESK if data == 0 => {
                keys += 1;
                packet.is_definite && is_public_key(&body).is_some()
            }
            SKESK if data == 0 => {
                keys += 1;
                packet.is_definite && is_password_key(&body).is_some()
            }
            SEIPD | OCB if data == 0 => {
                data += 1;
                is_data(packet.tag, &body)
            }
            _ => false,
        };
        if !fits {
            return false;
        }
    }
    keys > 0 && data == 1
}

/// RFC 9580 §5.1.
fn is_public_key(body: &[u8]) -> Option<()> {
    let (version, algorithm, key) = match body {
        [3, rest @ ..] => {
            let [algorithm, key @ ..] = rest.get(8..)? else { return None };
            (3, *algorithm, key)
        }
        // For nobody named, for a key of version 4, of version 6.
        [6, length @ (0 | 21 | 33), rest @ ..] => {
            let [algorithm, key @ ..] = rest.get(usize::from(*length)..)? else { return None };
            (6, *algorithm, key)
        }
        _ => return None,
    };
    let is_whole = match algorithm {
        1 | 2 => number(key)?.is_empty(),
        16 => number(number(key)?)?.is_empty(),
        18 => is_wrapped(point(key)?),
        25 => is_wrapped(key.get(32..)?),
        26 => is_wrapped(key.get(56..)?),
        // ML-KEM-768 with X25519, ML-KEM-1024 with X448.
        35 => is_wrapped(key.get(32 + 1088..)?),
        36 => is_wrapped(key.get(56 + 1568..)?),
        8 => version == 3 && key.len() >= KYBER_BYTES_MIN,
        _ => false,
    };
    is_whole.then_some(())
}

/// What stands behind a large number.
fn number(bytes: &[u8]) -> Option<&[u8]> {
    let rest = point(bytes)?;
    (bytes.len() - rest.len() >= NUMBER_BYTES_MIN).then_some(rest)
}

/// What stands behind a number (RFC 9580 §3.2).
fn point(bytes: &[u8]) -> Option<&[u8]> {
    let [high, low, rest @ ..] = bytes else { return None };
    rest.get(usize::from(u16::from_be_bytes([*high, *low])).div_ceil(8)..)
}

/// A length and so many octets.
fn is_wrapped(bytes: &[u8]) -> bool {
    let [length, rest @ ..] = bytes else { return false };
    usize::from(*length) == rest.len() && rest.len() >= WRAPPED_BYTES_MIN
}

/// RFC 9580 §5.3; version 5 is LibrePGP's.
fn is_password_key(body: &[u8]) -> Option<()> {
    let is_whole = match body {
        [4, cipher, rest @ ..] => is_cipher(*cipher) && s2k(rest)?.len() <= SKESK_KEY_BYTES_MAX,
        [5, cipher, mode, rest @ ..] => {
            is_cipher(*cipher) && is_mode(*mode) && SKESK_SEALED_BYTES.contains(&s2k(rest)?.len())
        }
        [6, count, cipher, mode, s2k_bytes, rest @ ..] => {
            let sealed = s2k(rest)?.len();
            is_cipher(*cipher)
                && is_mode(*mode)
                && usize::from(*s2k_bytes) == rest.len() - sealed
                // What it counts ends with the nonce.
                && usize::from(*count).checked_sub(usize::from(*s2k_bytes) + 3)
                    .is_some_and(|nonce| (12..=16).contains(&nonce))
                && SKESK_SEALED_BYTES.contains(&sealed)
        }
        _ => false,
    };
    is_whole.then_some(())
}

/// What stands behind how a password becomes a key (RFC 9580 §3.7.1): simple, salted, iterated,
/// Argon2.
fn s2k(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.first()? {
        0 => bytes.get(2..),
        1 => bytes.get(10..),
        3 => bytes.get(11..),
        4 => bytes.get(20..),
        _ => None,
    }
}

/// RFC 9580 §9.3: 1 to 4 and 7 to 13.
fn is_cipher(cipher: u8) -> bool {
    matches!(cipher, 1..=4 | 7..=13)
}

/// RFC 9580 §9.6.
fn is_mode(mode: u8) -> bool {
    matches!(mode, 1..=3)
}

/// RFC 9580 §5.13: enough octets of a version that is known, which are not text.
fn is_data(tag: u8, body: &[u8]) -> bool {
    let (encrypted, bytes_min) = match (tag, body) {
        (SEIPD, [1, rest @ ..]) => (rest, V1_BYTES_MIN),
        (SEIPD, [2, cipher, mode, size, rest @ ..])
            if is_cipher(*cipher) && is_mode(*mode) && *size <= CHUNK_SIZE_MAX =>
        {
            (rest.get(SALT_BYTES..).unwrap_or_default(), 2 * TAG_BYTES)
        }
        // The nonce has 15 octets, or 16.
        (OCB, [1, cipher, mode, size, rest @ ..])
            if is_cipher(*cipher) && is_mode(*mode) && *size <= OCB_CHUNK_SIZE_MAX =>
        {
            (rest.get(15..).unwrap_or_default(), 2 * TAG_BYTES)
        }
        _ => return false,
    };
    encrypted.len() > bytes_min && !is_text(encrypted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgp::mime::packets::LITERAL;
    use proptest::prelude::*;

    fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[0xC0 | tag, 255][..], &length, body].concat()
    }

    /// Session keys as programs write them.
    fn session_keys() -> Vec<(u8, Vec<u8>)> {
        let number = [&[8, 0][..], &[9; 256]].concat();
        let wrapped = |bytes: u8| [vec![bytes], vec![9; bytes.into()]].concat();
        let v3 = |algorithm: u8, key: &[&[u8]]| {
            (PKESK, [&[3, 1, 2, 3, 4, 5, 6, 7, 8, algorithm][..], &key.concat()].concat())
        };
        let v6 = |named: &[u8], algorithm: u8, key: &[&[u8]]| {
            let length = u8::try_from(named.len()).unwrap();
            (PKESK, [&[6, length], named, &[algorithm], &key.concat()].concat())
        };
        let iterated: &[u8] = &[3, 8, 1, 2, 3, 4, 5, 6, 7, 8, 96];
        let argon2: &[u8] = &[4, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 4, 21];
        vec![
            v3(1, &[&number]),
            v3(16, &[&number, &number]),
            v3(18, &[&[1, 7], &[0x40; 33], &wrapped(48)]),
            v3(25, &[&[9; 32], &wrapped(41)]),
            v3(8, &[&[9; 1200]]),
            v6(&[], 25, &[&[9; 32], &wrapped(40)]),
            v6(&[4; 21], 26, &[&[9; 56], &wrapped(40)]),
            v6(&[6; 33], 35, &[&[9; 1120], &wrapped(40)]),
            v6(&[6; 33], 36, &[&[9; 1624], &wrapped(40)]),
            (SKESK, [&[4, 9], iterated].concat()),
            (SKESK, [&[4, 9], iterated, &[9; 33]].concat()),
            (SKESK, [&[5, 9, 2], iterated, &[9; 15 + 32 + 16]].concat()),
            (SKESK, [&[6, 38, 9, 2, 20], argon2, &[9; 15 + 32 + 16]].concat()),
        ]
    }

    /// Encrypted data as programs write it.
    fn all_data() -> [(u8, Vec<u8>); 3] {
        [
            (SEIPD, [&[1][..], &[0xF9; 40]].concat()),
            (SEIPD, [&[2, 9, 2, 6][..], &[7; 32], &[0xF9; 40]].concat()),
            (OCB, [&[1, 9, 2, 16][..], &[7; 15], &[0xF9; 40]].concat()),
        ]
    }

    fn sealed(parts: &[(u8, Vec<u8>)]) -> bool {
        is_sealed(&parts.iter().flat_map(|(tag, body)| packet(*tag, body)).collect::<Vec<_>>())
    }

    #[test]
    fn what_programs_write_is_known() {
        for key in session_keys() {
            for data in all_data() {
                assert!(sealed(&[key.clone(), data]), "{key:?}");
            }
        }
    }

    #[test]
    fn text_between_the_lines_is_no_session_key_and_no_data() {
        let (key, data) = (session_keys().swap_remove(0), all_data()[0].clone());
        let text = b"all of my secret, in plain words, up to the end of the message".to_vec();
        let after = |head: &[u8]| [head, &text].concat();
        for odd in
            [vec![], vec![3, 0, 0], text.clone(), after(&[3]), after(&[3; 20]), after(&[6, 0, 25])]
        {
            assert!(!sealed(&[(PKESK, odd.clone()), data.clone()]), "{odd:?}");
            assert!(!sealed(&[(SKESK, odd.clone()), data.clone()]), "{odd:?}");
        }
        for odd in [vec![], vec![1, 9, 9], text.clone(), after(&[1]), after(&[3]), vec![0xFF; 80]] {
            assert!(!sealed(&[key.clone(), (SEIPD, odd.clone())]), "{odd:?}");
            assert!(!sealed(&[key.clone(), (OCB, odd.clone())]), "{odd:?}");
        }
        let salted = [&[2, 9, 2, 6][..], &[0xF9; 32], &text].concat();
        assert!(!sealed(&[key.clone(), (SEIPD, salted)]));
        assert!(!sealed(&[(MARKER, text.clone()), key.clone(), data.clone()]));
        assert!(sealed(&[(MARKER, b"PGP".to_vec()), key.clone(), data.clone()]));
        assert!(!sealed(&[key, data, (LITERAL, text)]));
    }

    #[test]
    fn lengths_must_fit() {
        let data = all_data();
        for (tag, body) in session_keys() {
            // Of a key by password all but one has a length that may be less.
            let counted = tag == PKESK && body[9] != 8;
            let longer = [&body[..], &[9; 60]].concat();
            assert!(!counted || !sealed(&[(tag, longer), data[0].clone()]), "{body:?}");
            let shorter = body[..10].to_vec();
            assert!(!sealed(&[(tag, shorter.clone()), data[0].clone()]), "{shorter:?}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(bytes in any::<Vec<u8>>(), first in 0u8..7, tag: u8) {
            is_sealed(&bytes);
            let body = [&[first], &bytes[..]].concat();
            for (tag, body) in [(PKESK, &body), (SKESK, &body), (SEIPD, &body), (tag & 63, &body)] {
                is_sealed(&packet(tag, body));
            }
        }
    }
}
