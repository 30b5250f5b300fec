//! The digest that names a local part in a Web Key Directory.
//!
//! SHA-1 names here and protects nothing: whoever finds a second local part with the same digest
//! gets an answer whose User ID is not the one that was asked for.
//!
//! # Standards
//! draft-koch-openpgp-webkey-service-22 §3.1.

use openpgp::types::HashAlgorithm;
use sequoia_openpgp as openpgp;

/// SHA-1 of `local` with A-Z in lower case; other letters stay as they are.
pub fn wkd_digest(local: &str) -> [u8; 20] {
    let mut digest = [0; 20];
    let mut hash =
        HashAlgorithm::SHA1.context().expect("every backend of the library has SHA-1").for_digest();
    hash.update(local.to_ascii_lowercase().as_bytes());
    hash.digest(&mut digest).expect("the buffer has the digest's size");
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::zbase32;

    #[test]
    fn names_are_those_of_the_draft_and_of_gnupg() {
        for (local, name) in [
            ("Joe.Doe", "iy9q119eutrkn8s1mk4r39qejnbu3n5q"),
            ("joe.doe", "iy9q119eutrkn8s1mk4r39qejnbu3n5q"),
            ("test1", "stnkabub89rpcphiz4ppbxixkwyt1pic"),
            ("patrice.lumumba", "gzfxrwe6o9qrddujrwnjran6nh41hfex"),
            ("test-wkd", "4hg7tescnttreaouu4z1izeuuyibwww1"),
        ] {
            assert_eq!(zbase32::encode(&wkd_digest(local)), name, "{local}");
        }
    }

    #[test]
    fn only_ascii_letters_are_lowered() {
        assert_ne!(wkd_digest("Ä"), wkd_digest("ä"));
        assert_eq!(wkd_digest("Äb"), wkd_digest("ÄB"));
    }
}
