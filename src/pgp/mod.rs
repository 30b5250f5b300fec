//! OpenPGP: certificates, seal, open. The only room that names Sequoia.
//!
//! Two kinds of certificate are made here. The *identity* certificate is public and old-fashioned,
//! so that every peer can write to it. The *storage* certificate is never published: one for each
//! epoch, post-quantum, and mail at rest is sealed to its single encryption subkey.
//!
//! Sealing asks neither clock nor policy: a [`SealKey`] is pinned by the fingerprint of one subkey,
//! and mail is accepted with it whatever the date is. Opening releases nothing before the whole
//! message is verified.
//!
//! What is trusted: Sequoia with its backend, and for the session keys of stored mail
//! [`kem`](crate::base::kem), which is faster and held against Sequoia by tests. OpenPGP session
//! keys are drawn from [`Entropy`](crate::base::entropy::Entropy), but what wraps them draws from
//! the system, so that sealed messages are not repeatable from a seed. What is not trusted: every
//! octet that is opened, and every certificate that is parsed.
//!
//! # Standards
//! RFC 9580 (OpenPGP), RFC 9980 (post-quantum OpenPGP).

mod cert;
mod frame;
mod identity_keys;
mod import;
pub mod mime;
mod open;
mod peer;
mod publish;
mod seal;
#[cfg(test)]
pub mod testing;
mod walk;
mod wkd;

pub use cert::{
    CertError, CertPair, Fingerprint, fingerprint, generate_identity, generate_storage,
};
pub use identity_keys::IdentityKeys;
pub use import::{IMPORT_BYTES_MAX, ImportError, Imported, import, needs_passphrase};
pub use mime::{AlreadySealed, MimeError, already_sealed, autocrypt_field, seal_mime};
pub use open::{OpenError, OpenKey, open, recipient};
pub use peer::{PEER_CERT_BYTES_MAX, PeerCert, PeerKind, Unusable, judge_cert};
pub use publish::{CertFacts, KeyFacts, armored, armored_secret, facts, published};
pub use seal::{SealError, SealKey, Sealed, SessionKey};
pub use wkd::wkd_digest;

/// Octets from the start of a sealed message that suffice for [`OpenKey::session_key`]: its whole
/// PKESK to ML-KEM-768+X25519.
pub const PKESK_PREFIX_BYTES: usize = 1200;

#[cfg(test)]
mod tests;
