//! A key wrapped for a pair of public keys, ML-KEM-768 and X25519: who breaks one of the two has
//! nothing.
//!
//! The primitives are aws-lc's; here they are put together as RFC 9980 says. `pgp` holds the result
//! against its OpenPGP library, which opens what is wrapped here and wraps what is opened here.
//! Doing it here takes a third of the time that the library's portable code takes for the same
//! octets, and this is half of what accepting a message costs, and most of what filing it costs.
//!
//! OpenPGP stores an ML-KEM key as the seed it was made from, and aws-lc's interface takes the key
//! that comes of it: the crate `ml-kem` makes the one of the other, once for each key.
//!
//! Randomness is drawn by aws-lc from the system, so that wrapped keys do not repeat from a seed.
//! Its own memory is cleared by it when it is freed.
//!
//! # Standards
//! RFC 9980 §4.2 (ML-KEM + ECDH), FIPS 203 (ML-KEM), RFC 7748 (X25519), FIPS 202 (SHA3-256), RFC
//! 3394 (AES key wrap).

use super::crypto::Key;
use super::secret::{Secret, SecretBytes};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::digest;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use aws_lc_rs::rand::SystemRandom;

/// Octets of an X25519 public key or share (RFC 7748 §5).
pub const X25519_BYTES: usize = 32;
/// Octets of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
pub const MLKEM_KEY_BYTES: usize = 1184;
/// Octets of the seed of an ML-KEM key (FIPS 203 §7.1: `d`, then `z`).
pub const MLKEM_SEED_BYTES: usize = 64;
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

/// The two secret keys of a recipient.
pub struct HybridSecret {
    /// The public half of `x25519`.
    public: [u8; X25519_BYTES],
    x25519: agreement::PrivateKey,
    mlkem: DecapsulationKey,
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
        let kek = agreement::agree_ephemeral(ephemeral, peer, (), |x25519_secret| {
            combine(mlkem_secret.as_ref(), x25519_secret, &share, &self.x25519).ok_or(())
        });
        let mut wrapped = [0; WRAPPED_BYTES];
        let cipher = AesKek::new(&AES_256, kek.ok()?.expose()).ok()?;
        cipher.wrap(key.expose(), &mut wrapped).ok()?;
        let mlkem = ciphertext.as_ref().try_into().ok()?;
        Some(Wrapped { x25519: share, mlkem, wrapped })
    }
}

impl HybridSecret {
    /// Takes the secret keys as OpenPGP stores them; `None` if aws-lc does not take them.
    pub fn new(
        x25519: &[u8; X25519_BYTES],
        mlkem_seed: &[u8; MLKEM_SEED_BYTES],
    ) -> Option<HybridSecret> {
        let x25519 = agreement::PrivateKey::from_private_key(&X25519, x25519).ok()?;
        let public = x25519.compute_public_key().ok()?.as_ref().try_into().ok()?;
        let mlkem = DecapsulationKey::new(&ML_KEM_768, expanded(mlkem_seed).expose()).ok()?;
        Some(HybridSecret { public, x25519, mlkem })
    }

    /// Unwraps a key (RFC 9980 §4.2.4); `None` if it was not wrapped to this recipient, or was
    /// altered.
    pub fn unwrap(&self, wrapped: &Wrapped) -> Option<Key> {
        // A strange ciphertext gives a strange secret (FIPS 203 §6.3); the key wrap below notices.
        let mlkem_secret = self.mlkem.decapsulate(Ciphertext::from(&wrapped.mlkem[..])).ok()?;
        let share = UnparsedPublicKey::new(&X25519, wrapped.x25519);
        let kek = agreement::agree(&self.x25519, share, (), |x25519_secret| {
            combine(mlkem_secret.as_ref(), x25519_secret, &wrapped.x25519, &self.public).ok_or(())
        });
        let cipher = AesKek::new(&AES_256, kek.ok()?.expose()).ok()?;
        let mut key = Key::zeroed();
        let unwrapped = cipher.unwrap(&wrapped.wrapped, key.expose_mut()).ok()?.len();
        (unwrapped == key.expose().len()).then_some(key)
    }
}

/// RFC 9980 §4.2.1: the key that wraps, of both secrets, the sender's share and the recipient's
/// public key.
fn combine(mlkem_secret: &[u8], x25519_secret: &[u8], share: &[u8], public: &[u8]) -> Option<Key> {
    let mut hash = digest::Context::new(&digest::SHA3_256);
    for part in [mlkem_secret, x25519_secret, share, public, BINDING] {
        hash.update(part);
    }
    Secret::copy_from(hash.finish().as_ref())
}

/// The decapsulation key of a seed, in the form of FIPS 203 §7.1.
// The crate advises against storing this form. It is not stored: aws-lc's interface takes no other.
#[expect(deprecated)]
fn expanded(seed: &[u8; MLKEM_SEED_BYTES]) -> SecretBytes {
    use ml_kem::{ExpandedKeyEncoding, MlKem768};
    let key = ml_kem::DecapsulationKey::<MlKem768>::from_seed((*seed).into());
    SecretBytes::new(key.to_expanded_bytes().to_vec())
}

impl std::fmt::Debug for HybridKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HybridKey")
    }
}

impl std::fmt::Debug for HybridSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HybridSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recipient of a made-up seed; `pgp` has an independent implementation of the standard.
    fn recipient(seed: u8) -> (HybridKey, HybridSecret) {
        let secret = HybridSecret::new(&[seed; 32], &[seed; MLKEM_SEED_BYTES]).unwrap();
        let expanded = expanded(&[seed; MLKEM_SEED_BYTES]);
        // FIPS 203 §7.1: behind 1152 octets of the secret vector the public key.
        let mlkem = expanded.expose()[1152..][..MLKEM_KEY_BYTES].try_into().unwrap();
        (HybridKey::new(&secret.public, mlkem).unwrap(), secret)
    }

    fn mlkem_public() -> [u8; MLKEM_KEY_BYTES] {
        let mlkem = DecapsulationKey::generate(&ML_KEM_768).unwrap();
        mlkem.encapsulation_key().unwrap().key_bytes().unwrap().as_ref().try_into().unwrap()
    }

    #[test]
    fn what_is_wrapped_comes_out_for_its_recipient_alone() {
        let ((public, secret), (_, stranger)) = (recipient(1), recipient(2));
        let key = Key::copy_from(&[7; 32]).unwrap();
        let wrapped = public.wrap(&key).unwrap();
        assert_eq!(secret.unwrap(&wrapped).unwrap().expose(), &[7; 32]);
        assert!(stranger.unwrap(&wrapped).is_none());
        assert_ne!(public.wrap(&key).unwrap(), wrapped, "everything is fresh");
    }

    /// Each of the two secrets is needed: with one of them wrong nothing comes out.
    #[test]
    fn one_secret_of_the_two_is_not_enough() {
        let (public, _) = recipient(1);
        let wrapped = public.wrap(&Key::zeroed()).unwrap();
        for (x25519, seed) in [(1, 2), (2, 1)] {
            let half = HybridSecret::new(&[x25519; 32], &[seed; MLKEM_SEED_BYTES]).unwrap();
            assert!(half.unwrap(&wrapped).is_none());
        }
    }

    #[test]
    fn one_altered_octet_in_any_part_unwraps_nothing() {
        let (public, secret) = recipient(1);
        let wrap = || public.wrap(&Key::zeroed()).unwrap();
        for at in 0..X25519_BYTES {
            let mut wrapped = wrap();
            wrapped.x25519[at] ^= 1;
            assert!(secret.unwrap(&wrapped).is_none(), "share, octet {at}");
        }
        for at in (0..MLKEM_CIPHERTEXT_BYTES).step_by(17) {
            let mut wrapped = wrap();
            wrapped.mlkem[at] ^= 1;
            assert!(secret.unwrap(&wrapped).is_none(), "ciphertext, octet {at}");
        }
        for at in 0..WRAPPED_BYTES {
            let mut wrapped = wrap();
            wrapped.wrapped[at] ^= 1;
            assert!(secret.unwrap(&wrapped).is_none(), "wrapped key, octet {at}");
        }
        // A share of small order gives a shared secret of zeros (RFC 7748 §6.1).
        assert!(secret.unwrap(&Wrapped { x25519: [0; X25519_BYTES], ..wrap() }).is_none());
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        // Coefficients above the modulus.
        let broken = HybridKey::new(&[9; 32], &[0xff; MLKEM_KEY_BYTES]);
        assert!(broken.is_none_or(|broken| broken.wrap(&Key::zeroed()).is_none()));
        // A point of small order gives a shared secret of zeros.
        let hybrid = HybridKey::new(&[0; 32], &mlkem_public()).unwrap();
        assert!(hybrid.wrap(&Key::zeroed()).is_none());
    }

    #[test]
    fn keys_are_silent_when_printed() {
        let (public, secret) = recipient(1);
        assert_eq!(format!("{public:?} {secret:?}"), "HybridKey HybridSecret");
    }
}
