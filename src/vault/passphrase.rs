//! Secrets that we generate: passphrases to type, app passwords, recovery codes.
//!
//! App passwords and recovery codes hold 128 random bits and are known by their form: a prefix, 26
//! symbols for the bits, four check symbols. So a login knows without trying that no slow KDF is
//! wanted, and a mistyped code is told from a wrong one. Symbols are those of Crockford's base 32,
//! read leniently: capitals, hyphens and spaces do not matter, `o` is `0`, `i` and `l` are `1`.

use super::credential::Form;
use crate::base::crypto;
use crate::base::entropy::Entropy;
use crate::base::secret::{Secret, SecretBytes};
use std::fmt;

/// Entropy of a generated passphrase, in bits: six words of twelve.
pub const PASSPHRASE_BITS: u32 = 72;

const PASSPHRASE_WORDS: usize = 6;
const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aeio";

const SYMBOLS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Symbols for 128 bits at five bits each.
const SECRET_SYMBOLS: usize = 26;
/// Twenty check bits: one chosen password in a million has them by chance.
const CHECK_SYMBOLS: usize = 4;
const GROUP_SYMBOLS: usize = 5;
const PREFIX_BYTES: usize = 3;
const CANONICAL_BYTES: usize = PREFIX_BYTES + SECRET_SYMBOLS + CHECK_SYMBOLS;

/// Octets of a presented text that may still be a generated secret: every symbol with a separator.
const SHOWN_BYTES_MAX: usize = 2 * CANONICAL_BYTES;

/// A generated secret in the form in which it is shown, once, to its owner. ASCII.
pub struct GeneratedSecret(SecretBytes);

impl GeneratedSecret {
    /// The text.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).expect("generated secrets are ASCII")
    }
}

impl fmt::Debug for GeneratedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GeneratedSecret(..)")
    }
}

/// A passphrase of six pronounceable words, to be offered in place of a chosen password. Each word
/// is consonant, vowel, consonant, vowel, drawn evenly: twelve bits.
pub fn generate_passphrase(entropy: &dyn Entropy) -> GeneratedSecret {
    let bits = Secret::<{ PASSPHRASE_WORDS * 4 }>::random(entropy);
    let mut text = SecretBytes::zeroed(PASSPHRASE_WORDS * 5 - 1);
    let places = text.expose_mut().chunks_mut(5);
    for (word, random) in places.zip(bits.expose().chunks(4)) {
        word[0] = CONSONANTS[usize::from(random[0] & 15)];
        word[1] = VOWELS[usize::from(random[1] & 3)];
        word[2] = CONSONANTS[usize::from(random[2] & 15)];
        word[3] = VOWELS[usize::from(random[3] & 3)];
        if let Some(separator) = word.get_mut(4) {
            *separator = b'-';
        }
    }
    GeneratedSecret(text)
}

/// A fresh secret of a generated form, as it is shown: `psa-` or `psr-` and six groups of five.
pub fn generate_code(form: Form, entropy: &dyn Entropy) -> GeneratedSecret {
    let mut code = SecretBytes::zeroed(CANONICAL_BYTES);
    let bits = Secret::<16>::random(entropy);
    let (prefix, symbols) = code.expose_mut().split_at_mut(PREFIX_BYTES);
    prefix.copy_from_slice(form_prefix(form));
    for (at, symbol) in symbols[..SECRET_SYMBOLS].iter_mut().enumerate() {
        *symbol = SYMBOLS[five_bits(bits.expose(), at)];
    }
    let check = check_symbols(prefix, &symbols[..SECRET_SYMBOLS]);
    symbols[SECRET_SYMBOLS..].copy_from_slice(&check);
    GeneratedSecret(grouped(code.expose()))
}

/// The form of a presented text and, if it is a generated one, its canonical spelling.
pub fn recognise(presented: &str) -> Option<(Form, SecretBytes)> {
    if presented.len() > SHOWN_BYTES_MAX {
        return None;
    }
    let mut code = SecretBytes::zeroed(CANONICAL_BYTES);
    let mut length = 0;
    for byte in presented.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
        *code.expose_mut().get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    let form = match code.expose().first_chunk()? {
        prefix if prefix == form_prefix(Form::App) => Form::App,
        prefix if prefix == form_prefix(Form::Recovery) => Form::Recovery,
        _ => return None,
    };
    let (prefix, symbols) = code.expose_mut().split_at_mut(PREFIX_BYTES);
    for symbol in &mut *symbols {
        *symbol = lenient(*symbol);
    }
    let (secret, check) = symbols.split_at(SECRET_SYMBOLS);
    let right = length == CANONICAL_BYTES
        && secret.iter().all(|symbol| SYMBOLS.contains(symbol))
        && crypto::equal(check, &check_symbols(prefix, secret));
    right.then_some((form, code))
}

fn form_prefix(form: Form) -> &'static [u8; PREFIX_BYTES] {
    match form {
        Form::Recovery => b"psr",
        Form::App | Form::Chosen => b"psa",
    }
}

fn lenient(symbol: u8) -> u8 {
    match symbol {
        b'o' => b'0',
        b'i' | b'l' => b'1',
        other => other,
    }
}

/// The five bits of `bits` that symbol `at` stands for; behind the end there are zeros.
fn five_bits(bits: &[u8; 16], at: usize) -> usize {
    (at * 5..at * 5 + 5).fold(0, |value, bit| {
        let octet = bits.get(bit / 8).copied().unwrap_or(0);
        value << 1 | usize::from(octet >> (7 - bit % 8) & 1)
    })
}

fn check_symbols(prefix: &[u8], secret: &[u8]) -> [u8; CHECK_SYMBOLS] {
    let digest = crypto::sha256(&[b"postseal check digits 1", prefix, secret]);
    std::array::from_fn(|at| SYMBOLS[usize::from(digest[at] & 31)])
}

/// The canonical spelling with hyphens behind the prefix and each group.
fn grouped(code: &[u8]) -> SecretBytes {
    let groups = (SECRET_SYMBOLS + CHECK_SYMBOLS) / GROUP_SYMBOLS;
    let mut shown = SecretBytes::zeroed(CANONICAL_BYTES + groups);
    let places = shown.expose_mut();
    places[..PREFIX_BYTES].copy_from_slice(&code[..PREFIX_BYTES]);
    let symbols = code[PREFIX_BYTES..].chunks(GROUP_SYMBOLS);
    for (place, group) in places[PREFIX_BYTES..].chunks_mut(GROUP_SYMBOLS + 1).zip(symbols) {
        place[0] = b'-';
        place[1..].copy_from_slice(group);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::SeededEntropy;

    #[test]
    fn a_passphrase_has_six_words_and_differs_each_time() {
        let entropy = SeededEntropy::new(1);
        let first = generate_passphrase(&entropy);
        let words: Vec<_> = first.expose().split('-').collect();
        assert_eq!((words.len(), first.expose().len()), (6, 29));
        assert!(words.iter().all(|word| word.len() == 4));
        assert_ne!(first.expose(), generate_passphrase(&entropy).expose());
    }

    #[test]
    fn every_letter_of_a_passphrase_is_drawn_evenly() {
        let entropy = SeededEntropy::new(2);
        let mut seen = [0u32; 256];
        for _ in 0..2000 {
            generate_passphrase(&entropy).expose().bytes().for_each(|b| seen[usize::from(b)] += 1);
        }
        // 24,000 consonants over 16, and as many vowels over 4.
        for (letters, each) in [(&CONSONANTS[..], 1500), (&VOWELS[..], 6000)] {
            for letter in letters {
                let count = seen[usize::from(*letter)];
                assert!((each * 9 / 10..each * 11 / 10).contains(&count), "{letter}: {count}");
            }
        }
    }

    #[test]
    fn a_code_is_known_by_its_form_however_it_is_typed() {
        let entropy = SeededEntropy::new(3);
        for form in [Form::App, Form::Recovery] {
            for _ in 0..100 {
                let code = generate_code(form, &entropy);
                let (found, canonical) = recognise(code.expose()).unwrap();
                assert_eq!((found, canonical.expose().len()), (form, CANONICAL_BYTES));
                let typed = code.expose().to_uppercase().replace('-', "  ").replace('0', "O");
                let typed = typed.replace('1', "l");
                assert_eq!(recognise(&typed).unwrap().1.expose(), canonical.expose());
            }
        }
    }

    #[test]
    fn one_wrong_symbol_is_noticed() {
        let entropy = SeededEntropy::new(4);
        let code = generate_code(Form::App, &entropy).expose().to_owned();
        let mut missed = 0;
        for (at, old) in code.char_indices().filter(|(_, c)| *c != '-').skip(PREFIX_BYTES) {
            for new in SYMBOLS.iter().map(|s| char::from(*s)).filter(|new| *new != old) {
                let mut other = code.clone();
                other.replace_range(at..at + 1, &new.to_string());
                missed += u32::from(recognise(&other).is_some());
            }
        }
        assert_eq!(missed, 0);
        for other in [&code[..code.len() - 1], &format!("{code}0"), "psa-", "", "psx"] {
            assert!(recognise(other).is_none());
        }
    }

    #[test]
    fn all_bits_of_the_secret_stand_in_the_code() {
        let read = |bits: &[u8; 16]| (0..SECRET_SYMBOLS).map(|at| five_bits(bits, at)).collect();
        let zeros: Vec<usize> = read(&[0; 16]);
        for bit in 0..128 {
            let mut bits = [0; 16];
            bits[bit / 8] |= 0x80 >> (bit % 8);
            assert_ne!(read(&bits), zeros, "bit {bit}");
        }
    }
}
