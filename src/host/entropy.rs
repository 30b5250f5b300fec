//! The system's randomness, by way of aws-lc's generator that is seeded from it.

use crate::base::entropy::Entropy;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Bytes that nobody can predict.
#[derive(Clone, Debug, Default)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// The system's source.
    pub fn new() -> Self {
        SystemEntropy(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        if self.0.fill(buffer).is_err() {
            // No key may ever be made of weak bytes, and there is nobody to tell: the trait asks
            // for the end of the process.
            eprintln!("postseal: the system gives no randomness");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::bytes;

    #[test]
    fn two_draws_differ() {
        let entropy = SystemEntropy::new();
        assert_ne!(bytes::<32>(&entropy), bytes::<32>(&entropy));
    }
}
