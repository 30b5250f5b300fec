//! The real world: files, sockets, TLS, clock, entropy, the journal thread, sled.
