//! Secrets that we generate: six-word passphrases, app passwords, recovery codes.

use crate::base::entropy::Entropy;
use crate::base::secret::SecretBytes;
use std::fmt;

/// Entropy of a generated passphrase, in bits.
pub const PASSPHRASE_BITS: u32 = 66;

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

/// A passphrase of six words, to be offered in place of a chosen password.
pub fn generate_passphrase(entropy: &dyn Entropy) -> GeneratedSecret {
    let _ = entropy;
    todo!()
}
