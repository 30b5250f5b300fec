//! The real world: files, sockets, TLS, clock, entropy, the journal thread, sled.
//!
//! Everything below this rank takes these through traits; here they are made of the operating
//! system. This is the only room that names rustls, rustix, sled and the sockets of tokio.

pub mod blocking;
pub mod clock;
pub mod control;
pub mod dial;
pub mod disk;
pub mod dkim_key;
pub mod dns;
pub mod entropy;
pub mod fetch;
pub mod files;
pub mod index_sled;
pub mod journal_thread;
pub mod listen;
pub mod log;
pub mod mailauth;
pub mod notify;
pub mod process;
pub mod roots;
pub mod terminal;
pub mod test_ca;
pub mod tls;
