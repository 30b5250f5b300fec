//! PGP/MIME: OpenPGP in mail.
//!
//! # Standards
//! RFC 3156 (MIME security with OpenPGP), RFC 9580 (OpenPGP).

mod content;
mod decrypt;
mod open;
mod packets;
mod signature;

pub use content::CONTENT_BYTES_MAX;
pub use open::{MESSAGE_BYTES_MAX, NotOpened, OpenedMime, is_whole, open};
pub use signature::InnerSignature;

/// How far a peer's clock may be ahead of ours, in seconds (the library's own tolerance).
const CLOCK_SKEW_SECONDS: u64 = 30 * 60;

#[cfg(test)]
mod open_tests;
#[cfg(test)]
pub mod testing;
