//! Connections to others: what the relay role sees of the network when it sends.

use super::{BoxStream, TlsStream};
use crate::base::BoxFuture;
use std::io;
use std::net::SocketAddr;

/// Makes connections. Implemented by `host`. Callers set time limits by dropping the futures.
pub trait Dial: Send + Sync {
    /// A plain connection.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>>;

    /// Does the client's side of a TLS handshake over `stream`. The caller must hold no octet that
    /// it has read from it: what a server sent ahead of the handshake does not count (RFC 3207
    /// §4.2).
    fn secure<'a>(
        &'a self,
        stream: BoxStream,
        server_name: &'a str,
        check: PeerCheck,
    ) -> BoxFuture<'a, io::Result<TlsStream>>;
}

/// How much is asked of the other side's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerCheck {
    /// Nothing: opportunistic TLS (RFC 7435) protects from those who only listen.
    Nothing,
    /// It must be valid for the name.
    Name,
}
