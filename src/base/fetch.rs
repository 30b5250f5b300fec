//! HTTPS as the rooms below the world see it: one request to one address that was vetted before.

use super::BoxFuture;
use std::net::IpAddr;
use std::time::Duration;

/// Makes one HTTPS request. Implemented by `host`.
///
/// An implementation connects to [`FetchRequest::address`] and to nothing else: it resolves no
/// name, follows no redirect, sends no cookie and no user agent, asks for `identity` encoding, and
/// checks the certificate against [`FetchRequest::host`].
pub trait Fetch: Send + Sync {
    /// Asks with GET.
    fn get(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, FetchError>>;
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// The host name (A-labels): Host, SNI and the name that the certificate must have.
    pub host: String,
    /// Where to connect. Somebody else has looked whether that is allowed.
    pub address: IpAddr,
    /// The port; 443 but for tests.
    pub port: u16,
    /// The path and, behind `?`, the query; percent-encoded.
    pub path: String,
    /// Octets of the body at most; more is [`FetchError::TooLarge`].
    pub body_bytes_max: usize,
    /// How long all of it may take.
    pub time_max: Duration,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The status code.
    pub status: u16,
    /// Content-Type, as sent.
    pub content_type: Option<String>,
    /// Location, as sent.
    pub location: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why nothing usable came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FetchError {
    /// No connection.
    Connect,
    /// No TLS session, or a certificate that is not the host's.
    Tls,
    /// It took too long.
    Timeout,
    /// The body is larger than allowed.
    TooLarge,
    /// The answer is not HTTP, or was cut off.
    Broken,
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FetchError::Connect => "no connection",
            FetchError::Tls => "no TLS session with a valid certificate",
            FetchError::Timeout => "no answer in time",
            FetchError::TooLarge => "the answer is too large",
            FetchError::Broken => "the answer is broken or was cut off",
        })
    }
}

impl std::error::Error for FetchError {}
