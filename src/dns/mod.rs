//! The domain name system as the rooms see it: names, records, and the trait [`Resolver`].
//!
//! The real resolver is in `host`. What an answer says is kept apart in three: there are records,
//! it is known that there are none, or nothing is known. A caller that treats the third as the
//! second sends plain text because a resolver was down.
//!
//! # Standards
//! RFC 1035, RFC 2181 §11 (names), RFC 4035 §4.3 (what a validated answer is), RFC 5321 §5.1 (MX).

mod name;
mod zone;

pub use name::{Name, NameError};
pub use zone::{Zone, ZoneError};

use crate::base::BoxFuture;
use std::net::IpAddr;

/// Answers questions about names. Implementations bound their own time.
pub trait Resolver: Send + Sync {
    /// A and AAAA. Found if either type has records; known to be absent only if both are.
    fn addresses<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<IpAddr>>;
    /// MX, in no particular order.
    fn mx<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Mx>>;
    /// TXT, each record's strings joined.
    fn txt<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Vec<u8>>>;
}

/// What a question led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// There are records, at least one.
    Found {
        /// They.
        records: Vec<T>,
        /// How far they are to be believed.
        proof: Proof,
    },
    /// There are none, says whoever is asked for the zone.
    Absent {
        /// Whether the name itself does not exist (NXDOMAIN).
        no_name: bool,
        /// How far that is to be believed.
        proof: Proof,
    },
    /// Nothing is known: no answer, SERVFAIL, or an answer that DNSSEC shows to be false.
    Failed(DnsError),
}

/// Whether DNSSEC vouches for an answer (RFC 4035 §4.3). What is bogus or indeterminate is no
/// answer at all: [`DnsError::Bogus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// The zone is not signed: whoever is on the way could have said it.
    Insecure,
    /// Validated from the trust anchor down.
    Secure,
}

/// Why nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsError {
    /// No server answered in time.
    Timeout,
    /// The server could not or would not answer (SERVFAIL, REFUSED).
    Server,
    /// Validation failed.
    Bogus,
}

/// A mail exchanger (RFC 5321 §5.1). A null MX (RFC 7505) has the root as its host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// The host.
    pub host: Name,
}

impl std::fmt::Display for DnsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DnsError::Timeout => "no name server answered in time",
            DnsError::Server => "the name server failed",
            DnsError::Bogus => "the answer is false by DNSSEC",
        })
    }
}

impl std::error::Error for DnsError {}
