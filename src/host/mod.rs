//! The real world: files, sockets, TLS, clock, entropy, the journal thread, sled.

pub mod disk;
pub mod index_sled;
pub mod journal_thread;
