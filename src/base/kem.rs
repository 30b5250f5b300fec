//! A key wrapped for a pair of public keys, ML-KEM-768 and X25519: who breaks one of the two has
//! nothing.
//!
//! The primitives are aws-lc's; here they are put together as RFC 9980 says. `pgp` holds the result
//! against its OpenPGP library, which opens what is wrapped here. Doing it here takes a third of
//! the time that the library's portable code takes for the same octets, and this is half of what
//! accepting a message costs.
//!
//! Randomness is drawn by aws-lc from the system, so that wrapped keys do not repeat from a seed.
//!
//! # Standards
//! RFC 9980 §4.2 (ML-KEM + ECDH), FIPS 203 (ML-KEM), RFC 7748 (X25519), FIPS 202 (SHA3-256), RFC
//! 3394 (AES key wrap).

use super::crypto::Key;
use super::secret::Secret;
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::digest;
use aws_lc_rs::kem::{EncapsulationKey, ML_KEM_768};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use aws_lc_rs::rand::SystemRandom;

/// Octets of an X25519 public key or share (RFC 7748 §5).
pub const X25519_BYTES: usize = 32;
/// Octets of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
pub const MLKEM_KEY_BYTES: usize = 1184;
/// Octets of an ML-KEM-768 ciphertext (FIPS 203, table 3).
pub const MLKEM_CIPHERTEXT_BYTES: usize = 1088;
/// Octets of a wrapped 256-bit key (RFC 3394 §2.2.1).
pub const WRAPPED_BYTES: usize = 40;

/// RFC 9980 §4.2.1: algorithm 35, the domain separator and its length.
const BINDING: &[u8] = b"\x23OpenPGPCompositeKDFv1\x15";

/// The two public keys of a recipient.
pub struct HybridKey {
    x25519: [u8; X25519_BYTES],
    mlkem: EncapsulationKey,
}

/// A wrapped key: what the recipient needs to unwrap it.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The ephemeral X25519 key.
    pub x25519: [u8; X25519_BYTES],
    /// The ML-KEM ciphertext.
    pub mlkem: [u8; MLKEM_CIPHERTEXT_BYTES],
    /// The key, under AES key wrap.
    pub wrapped: [u8; WRAPPED_BYTES],
}

impl HybridKey {
    /// Takes the public keys. Whether they are keys shows when one is wrapped to them.
    pub fn new(x25519: &[u8; X25519_BYTES], mlkem: &[u8; MLKEM_KEY_BYTES]) -> Option<HybridKey> {
        let mlkem = EncapsulationKey::new(&ML_KEM_768, mlkem).ok()?;
        Some(HybridKey { x25519: *x25519, mlkem })
    }

    /// Wraps `key` (RFC 9980 §4.2.3); `None` if a public key is none (FIPS 203 §7.2, RFC 7748
    /// §6.1).
    pub fn wrap(&self, key: &Key) -> Option<Wrapped> {
        let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).ok()?;
        let share = ephemeral.compute_public_key().ok()?;
        let share = <[u8; X25519_BYTES]>::try_from(share.as_ref()).ok()?;
        let (ciphertext, mlkem_secret) = self.mlkem.encapsulate().ok()?;
        let peer = UnparsedPublicKey::new(&X25519, self.x25519);
        let kek = agree_ephemeral(ephemeral, peer, (), |x25519_secret| {
            self.combine(mlkem_secret.as_ref(), x25519_secret, &share).ok_or(())
        });
        let mut wrapped = [0; WRAPPED_BYTES];
        let cipher = AesKek::new(&AES_256, kek.ok()?.expose()).ok()?;
        cipher.wrap(key.expose(), &mut wrapped).ok()?;
        let mlkem = ciphertext.as_ref().try_into().ok()?;
        Some(Wrapped { x25519: share, mlkem, wrapped })
    }

    /// RFC 9980 §4.2.1: the key that wraps.
    fn combine(&self, mlkem_secret: &[u8], x25519_secret: &[u8], share: &[u8]) -> Option<Key> {
        let mut hash = digest::Context::new(&digest::SHA3_256);
        for part in [mlkem_secret, x25519_secret, share, &self.x25519, BINDING] {
            hash.update(part);
        }
        Secret::copy_from(hash.finish().as_ref())
    }
}

impl std::fmt::Debug for HybridKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HybridKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::kem::{Ciphertext, DecapsulationKey};

    /// The other side of the standard, by the same primitives; `pgp` has an independent one.
    #[test]
    fn who_has_both_secrets_comes_to_the_same_key() {
        let mlkem = DecapsulationKey::generate(&ML_KEM_768).unwrap();
        let public = mlkem.encapsulation_key().unwrap().key_bytes().unwrap();
        let x25519 = aws_lc_rs::agreement::PrivateKey::generate(&X25519).unwrap();
        let own = <[u8; 32]>::try_from(x25519.compute_public_key().unwrap().as_ref()).unwrap();
        let hybrid = HybridKey::new(&own, public.as_ref().try_into().unwrap()).unwrap();
        let key = Key::copy_from(&[7; 32]).unwrap();
        let wrapped = hybrid.wrap(&key).unwrap();
        let secret = mlkem.decapsulate(Ciphertext::from(&wrapped.mlkem[..])).unwrap();
        let share = UnparsedPublicKey::new(&X25519, wrapped.x25519);
        let kek = aws_lc_rs::agreement::agree(&x25519, share, (), |agreed| {
            hybrid.combine(secret.as_ref(), agreed, &wrapped.x25519).ok_or(())
        })
        .unwrap();
        let mut opened = [0; 32];
        let cipher = AesKek::new(&AES_256, kek.expose()).unwrap();
        assert_eq!(cipher.unwrap(&wrapped.wrapped, &mut opened).unwrap(), [7; 32]);
        assert_ne!(hybrid.wrap(&key).unwrap(), wrapped, "everything is fresh");
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        // Coefficients above the modulus.
        let broken = HybridKey::new(&[9; 32], &[0xff; MLKEM_KEY_BYTES]);
        assert!(broken.is_none_or(|broken| broken.wrap(&Key::zeroed()).is_none()));
        let mlkem = DecapsulationKey::generate(&ML_KEM_768).unwrap();
        let public = mlkem.encapsulation_key().unwrap().key_bytes().unwrap();
        // A point of small order gives a shared secret of zeros.
        let hybrid = HybridKey::new(&[0; 32], public.as_ref().try_into().unwrap()).unwrap();
        assert!(hybrid.wrap(&Key::zeroed()).is_none());
    }
}
