//! What may be lost: looked-up keys, the memory of keys once seen, and which messages were
//! confidential.
//!
//! Together these are the social graph, so that on the disk names are HMACed and values are sealed,
//! under keys that come from outside the data directory. The truth is in memory; a key that is seen
//! for the first time is written at once, all else now and then ([`KeyBook::flush`]). The file is
//! read at the start. A file that is damaged is believed as far as it is whole, and a lost one is
//! an empty one: every address is then met for the first time again, and the log says so.
//!
//! What was found to be absent or failed is not written to the disk at all.
//!
//! # Standards
//! None: the file is ours alone. See `manual::formats`.

mod book;
mod bounded;
mod events;
mod file;
mod gate;
mod memory;
mod record;
#[cfg(test)]
mod tests;

pub use book::{KeyBook, Options, Parts, Report};
