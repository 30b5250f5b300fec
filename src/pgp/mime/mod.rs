//! OpenPGP in mail for others: RFC 3156 around, RFC 9788 inside.
//!
//! [`seal_mime`] makes of a submitted message one that only its recipients read, its subject
//! included. [`detect`] tells whether a message is sealed already, by structure and never by words.
//!
//! # Standards
//! RFC 3156 (PGP/MIME), RFC 9788 (header protection), RFC 9580 (OpenPGP), Autocrypt level 1 §2.1.

mod armor;
mod autocrypt;
mod detect;
mod encrypt;
mod fields;
mod pad;
mod seal;

pub use autocrypt::autocrypt_field;
pub use detect::{AlreadySealed, already_sealed};
pub use seal::{MimeError, seal_mime};

#[cfg(test)]
mod tests;
