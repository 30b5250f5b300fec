//! OpenPGP in mail: RFC 3156 around, RFC 9788 inside.
//!
//! [`seal_mime`] makes of a submitted message one that only its recipients read, its subject
//! included. [`open()`] shows what came sealed to one of our users. `detect` tells whether a
//! message is sealed already, by structure and never by words.
//!
//! # Standards
//! RFC 3156 (PGP/MIME), RFC 9788 (header protection), RFC 9580 (OpenPGP), Autocrypt level 1 §2.1.

mod armor;
mod autocrypt;
mod cms;
mod content;
mod decrypt;
mod detect;
mod encrypt;
mod fields;
mod open;
mod outline;
mod packets;
mod pad;
mod seal;
mod shown;
mod signature;
mod text;

pub use autocrypt::autocrypt_field;
pub use content::CONTENT_BYTES_MAX;
pub use detect::{AlreadySealed, already_sealed};
pub use open::{MESSAGE_BYTES_MAX, NotOpened, OpenedMime, is_whole, open, own_parts};
pub use seal::{MimeError, seal_mime};
pub use signature::InnerSignature;

/// How far a peer's clock may be ahead of ours, in seconds (the library's own tolerance).
const CLOCK_SKEW_SECONDS: u64 = 30 * 60;

#[cfg(test)]
mod open_tests;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
