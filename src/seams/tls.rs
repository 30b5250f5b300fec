//! Protected connections: what the protocol drivers see of TLS.

use crate::base::BoxFuture;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions: a socket, a TLS session, or a pipe in a test.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Any stream.
pub type BoxStream = Box<dyn Stream>;

/// Does the server's side of a TLS handshake. Implemented by `host`, shared by all connections;
/// certificates are exchanged behind it when the configuration is reloaded.
pub trait UpgradeTls: Send + Sync {
    /// Shakes hands over `stream`.
    ///
    /// The caller must hold no octet that it has read from `stream`: what was pipelined behind
    /// STARTTLS has to end the session, never to reach the protected one. The caller also sets the
    /// time limit by dropping the future.
    fn accept(&self, stream: BoxStream) -> BoxFuture<'_, io::Result<TlsStream>>;
}

/// A protected stream and what is known of it.
pub struct TlsStream {
    /// The plaintext side.
    pub stream: BoxStream,
    /// What was agreed.
    pub facts: TlsFacts,
}

/// What a handshake agreed on, in the words of the registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The protocol version, as in `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as in `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The server name that the client asked for.
    pub server_name: Option<String>,
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("facts", &self.facts).finish_non_exhaustive()
    }
}
