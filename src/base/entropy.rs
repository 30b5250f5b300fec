//! Randomness comes in from outside.
//!
//! [`Entropy`] is what every key, nonce and identifier is drawn from. The real one is in `host`;
//! [`SeededEntropy`] makes a simulation repeatable and must never reach a real server.

use std::sync::Mutex;

/// A source of bytes that nobody can predict.
pub trait Entropy: Send + Sync {
    /// Fills `buffer`. A source that cannot deliver aborts rather than return weak bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// `N` fresh bytes, for values that are not secret (nonces, identifiers, salts).
pub fn bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut out = [0; N];
    entropy.fill(&mut out);
    out
}

/// A repeatable source for simulations: SplitMix64 from a seed. Predictable by design.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// The source that `seed` stands for.
    pub fn new(seed: u64) -> Self {
        SeededEntropy(Mutex::new(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
