//! The primitives, all in this file: AES-256-GCM-SIV with random nonces, HKDF-SHA256, HMAC-SHA256,
//! SHA-256, Argon2id. None is ours: aws-lc and RustCrypto compute them.
//!
//! Nonces are random, never counters: a restored copy of the disk would repeat a counter, and with
//! it the nonce. GCM-SIV keeps even a repeated nonce from giving the key away.
//!
//! # Standards
//! RFC 8452 (AES-GCM-SIV), RFC 5869 (HKDF), RFC 2104 (HMAC), RFC 9106 (Argon2).

use super::entropy::{self, Entropy};
use super::secret::{Secret, SecretBytes};
use aws_lc_rs::{aead, digest, hkdf, hmac};

/// Octets that [`seal`] adds: a nonce in front, a tag behind.
pub const SEAL_OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// A 256-bit key.
pub type Key = Secret<32>;

/// Seals `plaintext` under `key`, bound to `aad`: nonce, ciphertext, tag (RFC 8452).
pub fn seal(key: &Key, aad: &[u8], plaintext: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = entropy::bytes(entropy);
    let mut out = Vec::with_capacity(plaintext.len() + SEAL_OVERHEAD_BYTES);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plaintext);
    let tag = cipher(key)
        .seal_in_place_separate_tag(
            aead::Nonce::assume_unique_for_key(nonce),
            aead::Aad::from(aad),
            &mut out[NONCE_BYTES..],
        )
        .expect("AES-256-GCM-SIV refuses only inputs above 64 GiB");
    out.extend_from_slice(tag.as_ref());
    out
}

/// Opens what [`seal`] made; `None` if the key, the binding or a single bit differs.
pub fn open(key: &Key, aad: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES)?;
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
    // What is decrypted before the tag is found to be wrong is zeroed, too.
    let mut buffer = SecretBytes::copy_from(ciphertext);
    let aad = aead::Aad::from(aad);
    let plain = cipher(key).open_in_place(nonce, aad, buffer.expose_mut()).ok()?.len();
    buffer.keep(0..plain);
    Some(buffer)
}

fn cipher(key: &Key) -> aead::LessSafeKey {
    let key = aead::UnboundKey::new(&aead::AES_256_GCM_SIV, key.expose())
        .expect("the key has the cipher's length");
    aead::LessSafeKey::new(key)
}

/// A key for the one use that `label` names, from `root` (RFC 5869, HKDF-SHA256).
pub fn derive(root: &[u8], salt: &[u8], label: &str) -> Key {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(root);
    let mut key = Key::zeroed();
    prk.expand(&[label.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(key.expose_mut()))
        .expect("32 octets are within HKDF's bound");
    key
}

/// HMAC-SHA256 over the concatenation of `parts` (RFC 2104). The caller makes the parts
/// unambiguous.
pub fn hmac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// SHA-256 over the concatenation of `parts`. Never of plaintext that is to be stored (see
/// `manual`).
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Whether two values are equal, in a time that does not depend on where they differ.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// The costs of one Argon2id run (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Argon2Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Argon2Cost {
    /// What chosen passwords pay: 64 MiB, three passes, four lanes (RFC 9106 §4, second choice).
    pub const PASSWORD: Argon2Cost = Argon2Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// The most that a stored parameter set may ask for; beyond it a file is hostile.
    pub const MOST: Argon2Cost = Argon2Cost { memory_kib: 256 * 1024, passes: 4, lanes: 4 };

    /// Whether these costs are within [`Argon2Cost::MOST`] and make a valid Argon2 run.
    pub fn is_acceptable(&self) -> bool {
        self.memory_kib <= Self::MOST.memory_kib
            && self.passes <= Self::MOST.passes
            && self.lanes <= Self::MOST.lanes
            && argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).is_ok()
    }
}

/// Argon2id of a chosen secret; `None` if the costs are not acceptable or the salt is too short.
pub fn argon2id(password: &[u8], salt: &[u8], pepper: &[u8], cost: Argon2Cost) -> Option<Key> {
    if !cost.is_acceptable() {
        return None;
    }
    let params = argon2::Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).ok()?;
    let (algorithm, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
    let machine = argon2::Argon2::new_with_secret(pepper, algorithm, version, params).ok()?;
    let mut key = Key::zeroed();
    machine.hash_password_into(password, salt, key.expose_mut()).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::SeededEntropy;

    #[test]
    fn what_was_sealed_opens_only_with_the_same_key_and_binding() {
        let entropy = SeededEntropy::new(1);
        let (key, other) = (Key::random(&entropy), Key::random(&entropy));
        let sealed = seal(&key, b"account 7", b"plain", &entropy);
        assert_eq!(sealed.len(), 5 + SEAL_OVERHEAD_BYTES);
        assert_eq!(open(&key, b"account 7", &sealed).unwrap().expose(), b"plain");
        assert!(open(&key, b"account 8", &sealed).is_none());
        assert!(open(&other, b"account 7", &sealed).is_none());
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, b"account 7", &flipped).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn the_same_text_sealed_twice_looks_different() {
        let entropy = SeededEntropy::new(2);
        let key = Key::random(&entropy);
        assert_ne!(seal(&key, b"", b"x", &entropy), seal(&key, b"", b"x", &entropy));
    }

    /// A counter would begin anew in a restored copy or after a restart, and repeat.
    #[test]
    fn the_nonce_is_all_of_it_drawn_from_entropy() {
        let key = Key::random(&SeededEntropy::new(3));
        for seed in 4..8 {
            let drawn: [u8; NONCE_BYTES] = entropy::bytes(&SeededEntropy::new(seed));
            let sealed = seal(&key, b"", b"x", &SeededEntropy::new(seed));
            assert_eq!(sealed[..NONCE_BYTES], drawn);
        }
    }

    #[test]
    fn hmac_knows_rfc_4231_case_2_padded_to_our_key_length() {
        // RFC 4231 §4.3: a key shorter than the block is padded with zeros, so the padded key of
        // 32 octets gives the published value.
        let mut key = Key::zeroed();
        key.expose_mut()[..4].copy_from_slice(b"Jefe");
        let mac = hmac(&key, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }

    #[test]
    fn hostile_costs_are_refused_before_memory_is_touched() {
        let terabyte = Argon2Cost { memory_kib: 1 << 30, passes: 3, lanes: 4 };
        assert!(argon2id(b"x", &[0; 16], b"", terabyte).is_none());
    }
}
